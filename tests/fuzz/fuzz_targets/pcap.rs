#![no_main]
//! The body and what it asserts: `tipring::decode::input::fuzz::pcap`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tipring::decode::input::fuzz::pcap(data));
