//! What the fuzzers have found to reach new code (`scripts/fuzz`, `scripts/soak`) runs through the bodies of their targets, once each. The small
//! corpora made by hand, beside them in `fixtures/corpus`, are replayed whole, cut and broken by the tests of their rooms.

#![cfg(feature = "spandsp")]
#![allow(missing_docs)]

use std::path::Path;

#[test]
fn what_fuzzing_found_runs_through_its_targets() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 11] = [
        ("sip", tipring::sip::fuzz::message),
        ("sip", |bytes| {
            tipring::sip::fuzz::conversation(bytes);
        }),
        ("uri", tipring::sip::fuzz::uri),
        ("sdp", tipring::sdp::fuzz::description),
        ("pcap", tipring::decode::input::fuzz::pcap),
        ("wav", tipring::decode::input::fuzz::wav),
        ("hdlc", tipring::decode::fuzz::hdlc),
        ("t30_frame", tipring::decode::fuzz::t30),
        ("t4", tipring_dsp::page::fuzz::t4),
        ("t4", tipring_dsp::page::fuzz::t6),
        ("enum_door", tipring::enum_door::fuzz::query),
    ];
    let grown = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/grown");
    for (folder, target) in targets {
        let mut files = 0;
        for file in std::fs::read_dir(grown.join(folder)).expect("the corpus is part of the tree") {
            let path = file.expect("a file of the corpus").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("a file of the corpus"));
            files += 1;
        }
        assert!(files > 0, "{folder} is empty");
    }
}
