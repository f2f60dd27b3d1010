#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::srtp::fuzz::session(data));
