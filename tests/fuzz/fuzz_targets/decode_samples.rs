#![no_main]
//! The body and what it asserts: `tipring::decode::fuzz::samples`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::decode::fuzz::samples(data));
