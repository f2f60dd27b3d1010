//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz t38seq fixtures/corpus/t38seq`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tipring::fax::t38::fuzz::t38_sequence(data);
});
