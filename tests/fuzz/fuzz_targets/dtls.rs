#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tipring::dtls::fuzz::association(bytes));
