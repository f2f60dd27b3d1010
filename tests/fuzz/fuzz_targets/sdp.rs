#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tipring::sdp::fuzz::description(bytes));
