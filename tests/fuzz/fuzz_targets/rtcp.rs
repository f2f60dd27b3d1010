#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::media::fuzz::rtcp(data));
