//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz ifp fixtures/corpus/ifp`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tipring::fax::t38::fuzz::ifp(data);
});
