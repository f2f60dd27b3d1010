//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz udptl fixtures/corpus/udptl`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tipring::fax::t38::fuzz::udptl(data);
    tipring::fax::t38::fuzz::udptl_stream(data);
});
