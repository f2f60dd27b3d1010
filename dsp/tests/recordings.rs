//! The line watch on recordings that nobody of this project made: speech, real keypads, whole fax calls.
//!
//! They lie outside the repository (`TIPRING_SHARED`, or `../../shared` from here) and may not be copied into it; where the folder is
//! absent the tests say so and pass.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use tipring_dsp::Frame;
use tipring_dsp::g711::Law;
use tipring_dsp::watch::{FaxTone, Finding, Watch};

fn recordings() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Beside the repository, or beside the folder of its worktrees.
    let places =
        [std::env::var_os("TIPRING_SHARED").map(PathBuf::from), Some(here.join("../../shared")), Some(here.join("../../../shared"))];
    let folder = places.into_iter().flatten().map(|f| f.join("recordings")).find(|f| f.is_dir());
    if folder.is_none() {
        println!("skipped: no shared/recordings (set TIPRING_SHARED)");
    }
    folder
}

/// Channels of a RIFF WAVE at 8 kHz, 16 bit.
fn read(path: &Path) -> Vec<Vec<i16>> {
    let b = std::fs::read(path).unwrap();
    let u16_at = |i: usize| usize::from(u16::from_le_bytes([b[i], b[i + 1]]));
    let u32_at = |i: usize| u16_at(i) + (u16_at(i + 2) << 16);
    let (mut at, mut format, mut samples) = (12, (0, 0, 0, 0), Vec::new());
    while at + 8 <= b.len() {
        let length = u32_at(at + 4);
        let body = at + 8;
        match &b[at..at + 4] {
            b"fmt " => format = (u16_at(body), u16_at(body + 2), u32_at(body + 4), u16_at(body + 14)),
            b"data" => {
                let data = &b[body..(body + length).min(b.len())];
                samples = match (format.0, format.3) {
                    (7, 8) => data.iter().map(|o| Law::Mu.decode(*o)).collect(),
                    (1, 8) => data.iter().map(|o| (i16::from(*o) - 128) << 8).collect(),
                    (1, 16) => data.chunks_exact(2).map(|c| i16::from_le_bytes([c[0], c[1]])).collect(),
                    other => panic!("{}: format {other:?}", path.display()),
                };
            }
            _ => {}
        }
        at = body + length + length % 2;
    }
    (0..format.1).map(|c| to_8k(&samples.iter().skip(c).step_by(format.1).copied().collect::<Vec<_>>(), format.2)).collect()
}

/// Any rate to 8 kHz, by a Hann-windowed sinc: slow, and only for tests.
fn to_8k(x: &[i16], rate: usize) -> Vec<i16> {
    if rate == 8000 {
        return x.to_vec();
    }
    let ratio = rate as f64 / 8000.0;
    let half = (16.0 * ratio) as i64;
    (0..(x.len() as f64 / ratio) as usize)
        .map(|n| {
            let centre = n as f64 * ratio;
            let mut sum = 0.0;
            for k in centre as i64 - half..centre as i64 + half {
                let Some(s) = usize::try_from(k).ok().and_then(|k| x.get(k)) else { continue };
                let d = (k as f64 - centre) / ratio;
                let y = std::f64::consts::PI * d * 0.95;
                let sinc = if y.abs() < 1e-9 { 1.0 } else { y.sin() / y };
                sum += f64::from(*s) * sinc * (0.5 + 0.5 * (std::f64::consts::PI * d / 17.0).cos()) * 0.95 / ratio;
            }
            sum.clamp(-32768.0, 32767.0) as i16
        })
        .collect()
}

fn listen(samples: &[i16]) -> Vec<Finding> {
    let mut w = Watch::new();
    let mut found = Vec::new();
    let mut take = |f: &Frame| found.extend_from_slice(w.rx(f));
    for c in samples.chunks(160) {
        let mut f = [0; 160];
        f[..c.len()].copy_from_slice(c);
        take(&f);
    }
    (0..10).for_each(|_| take(&[0; 160]));
    found
}

fn digits(found: &[Finding]) -> String {
    found.iter().filter_map(|f| if let Finding::DigitStarted { digit, .. } = f { Some(*digit as char) } else { None }).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "wav")).collect();
    all.sort();
    all
}

#[test]
fn speech_is_no_digit_no_tone_and_no_preamble_at_any_level() {
    let Some(folder) = recordings() else { return };
    for path in files(&folder.join("voice")) {
        for channel in read(&path) {
            for gain in [0.1, 0.5, 1.0, 3.0] {
                let louder: Vec<i16> = channel.iter().map(|s| (f32::from(*s) * gain).clamp(-32768.0, 32767.0) as i16).collect();
                assert_eq!(listen(&louder), [], "{} x {gain}", path.display());
            }
        }
    }
}

#[test]
fn real_keypads_are_read_as_dialled() {
    let Some(folder) = recordings() else { return };
    for (file, want) in [
        ("fast-80-digits", "06966753564646415180233673141636083381604400826146625368963884821381785073643399"),
        ("sixteen-keys", "1234567890#*ABCD"),
        ("pz-4digits", "2596"),
        ("modem-dial-11", "15702340003"),
    ] {
        let channels = read(&folder.join("dtmf").join(format!("{file}.wav")));
        assert_eq!(digits(&listen(&channels[0])), want, "{file}");
    }
    let channels = read(&folder.join("dtmf/stereo-overlapping.wav"));
    assert_eq!((digits(&listen(&channels[0])).as_str(), digits(&listen(&channels[1])).as_str()), ("135790", "2468"));
}

#[test]
fn whole_fax_calls_bring_cng_ced_and_preambles_and_nothing_false() {
    let Some(folder) = recordings() else { return };
    for path in files(&folder.join("generated")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (side, channel) in read(&path).iter().enumerate() {
            let found = listen(channel);
            let started = |t: FaxTone| found.iter().filter(|f| matches!(f, Finding::ToneStarted { tone, .. } if *tone == t)).count();
            let preambles = found.iter().filter(|f| matches!(f, Finding::V21Preamble { .. })).count();
            assert_eq!(digits(&found), "", "{name} {side}");
            assert_eq!(started(FaxTone::AnsAm), 0, "{name} {side}: {found:?}");
            assert!(preambles >= 2, "{name} {side}: {preambles} preambles");
            if !name.starts_with("t38") {
                let want = if side == 0 { (1, 0) } else { (0, 1) };
                assert_eq!((started(FaxTone::Cng), started(FaxTone::Ced)), want, "{name} {side}: {found:?}");
            }
        }
    }
}
