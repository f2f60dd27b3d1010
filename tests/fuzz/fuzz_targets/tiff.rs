#![no_main]
//! The body and what it asserts: `tipring_dsp::page::fuzz::tiff`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring_dsp::page::fuzz::tiff(data));
