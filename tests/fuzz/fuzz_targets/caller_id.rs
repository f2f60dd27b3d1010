#![no_main]
//! The body and what it asserts: `tipring::decode::fuzz::caller_id`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::decode::fuzz::caller_id(data));
