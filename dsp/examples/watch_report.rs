//! Runs the line watch over files and prints findings; measures its cost.
//!
//! `watch_report FILE.raw ...` (8 kHz signed 16 bit mono).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::time::Instant;

use tipring_dsp::watch::{Finding, Watch};

fn main() {
    for f in std::env::args().skip(1) {
        let raw: Vec<i16> = std::fs::read(&f).unwrap().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let mut w = Watch::new();
        let mut findings = Vec::new();
        let t = Instant::now();
        for frame in raw.chunks_exact(160) {
            findings.extend_from_slice(w.rx(frame.try_into().unwrap()));
        }
        let ns = t.elapsed().as_nanos() as f64 / raw.len() as f64;
        println!("{f}: {:.2} h, {ns:.1} ns/sample, {} findings", raw.len() as f64 / 28.8e6, findings.len());
        for x in findings.iter().take(60) {
            let at = match x {
                Finding::DigitStarted { at, .. } | Finding::DigitEnded { at, .. } | Finding::ToneStarted { at, .. } => at,
                Finding::ToneEnded { at, .. } | Finding::V21Preamble { at } | Finding::V21Ended { at } => at,
            };
            println!("  {:8.3} s  {x:?}", *at as f64 / 8000.0);
        }
    }
}
