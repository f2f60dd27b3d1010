#![no_main]
//! The body and what it asserts: `tipring::decode::fuzz::t30`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::decode::fuzz::t30(data));
