#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tipring::enum_door::fuzz::query(bytes));
