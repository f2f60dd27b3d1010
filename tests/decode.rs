//! `tipring decode` over every recording with a known answer, through the real program. The recordings are not part of the repository: the
//! test finds them by `TIPRING_SHARED` or beside the checkout, and says so when they are absent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![cfg(all(feature = "shell", feature = "spandsp"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tipring_dsp::page::{compare, tiff};

fn recordings() -> Option<PathBuf> {
    let shared = std::env::var_os("TIPRING_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let found =
        [shared.join("recordings"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings")].into_iter().find(|d| d.is_dir());
    if found.is_none() {
        eprintln!("skipped: no recordings (set TIPRING_SHARED)");
    }
    found
}

fn tipring(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tipring")).arg("decode").args(arguments).output().expect("the program was built with this test")
}

/// A directory of this test run for the pages of one recording.
fn out_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("decode").join(name.replace('/', "-"));
    let _absent = std::fs::remove_dir_all(&dir);
    dir
}

fn decode(file: &Path, name: &str, more: &[&str]) -> Result<Value, String> {
    let out = out_dir(name);
    let (file, out) = (file.display().to_string(), out.display().to_string());
    let run = tipring(&[&[&file, "--json", "--out", &out], more].concat());
    if run.status.code() != Some(0) {
        return Err(format!("exit {:?}: {}", run.status.code(), String::from_utf8_lossy(&run.stderr)));
    }
    serde_json::from_slice(&run.stdout).map_err(|e| format!("no JSON: {e}"))
}

const KEYS: [&str; 9] = ["file", "seconds", "digits", "tones", "caller_id", "t30", "training", "pages", "warnings"];

fn list<'a>(v: &'a Value, key: &str) -> &'a [Value] {
    v[key].as_array().map_or(&[], Vec::as_slice)
}
fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or("")
}
fn digits(v: &Value) -> String {
    list(v, "digits").iter().map(|d| text(d, "digit")).collect()
}
fn tones(v: &Value, kinds: &[&str]) -> Vec<f64> {
    list(v, "tones").iter().filter(|t| kinds.contains(&text(t, "kind"))).filter_map(|t| t["t"].as_f64()).collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: {got:?}, expected {want:?}")) }
}

/// Every page is, pel by pel, the one that was sent.
fn pages_are(got: &Value, expected: &Path) -> Result<(), String> {
    let bytes = std::fs::read(expected).map_err(|e| format!("{}: {e}", expected.display()))?;
    let want = tiff::read_all(&bytes).map_err(|e| format!("{e:?}"))?;
    let pages = list(got, "pages");
    expect("pages", pages.len(), want.len())?;
    for (i, (page, want)) in pages.iter().zip(&want).enumerate() {
        let read = tiff::read_all(&std::fs::read(text(page, "file")).map_err(|e| e.to_string())?).map_err(|e| format!("{e:?}"))?;
        let difference = compare(&read[0].page, &want.page);
        if !difference.is_none() {
            return Err(format!("page {}: {difference:?}", i + 1));
        }
        expect("resolution tags", read[0].page.resolution.named(), want.page.resolution.named())?;
        expect("bad rows", page["bad_rows"].as_u64(), Some(0))?;
    }
    Ok(())
}

fn frames_in_order(got: &Value, want: &[Value]) -> Result<(), String> {
    let mut frames = list(got, "t30").iter().filter(|f| f["crc_ok"] == true).map(|f| text(f, "frame"));
    for name in want {
        if !frames.any(|f| Some(f) == name.as_str()) {
            return Err(format!("frame {name} is missing (in its order)"));
        }
    }
    Ok(())
}

fn ident(got: &Value, frame: &str, want: &str) -> Result<(), String> {
    let found = list(got, "t30").iter().any(|f| text(f, "frame") == frame && text(f, "text").contains(want));
    if found { Ok(()) } else { Err(format!("no {frame} says {want}")) }
}

/// What `expected.json` says of one recording.
fn check(root: &Path, got: &Value, want: &Value) -> Result<(), String> {
    for key in KEYS {
        if got.get(key).is_none() {
            return Err(format!("key {key} is missing"));
        }
    }
    match text(want, "kind") {
        "fax-audio" => {
            pages_are(got, &root.join(text(want, "page_tif")))?;
            let page = &got["pages"][0];
            expect("coding", text(page, "coding"), text(want, "coding"))?;
            expect("ECM", page["ecm"].as_bool(), want["ecm"].as_bool())?;
            expect("bps", page["bps"].as_u64(), text(want, "modem").rsplit(' ').next().and_then(|n| n.parse().ok()))?;
            if let Some(rows) = want["rows"].as_u64() {
                expect("rows", page["rows"].as_u64(), Some(rows))?;
            }
            frames_in_order(got, list(want, "frames"))?;
            for (key, frame) in [("csi", "CSI"), ("tsi", "TSI")] {
                if let Some(name) = want[key].as_str() {
                    ident(got, frame, name)?;
                }
            }
            // The answers give the times at which a detector spoke, up to half a second into the tone.
            for t in list(want, "cng_at").iter().filter_map(Value::as_f64) {
                if !tones(got, &["cng"]).iter().any(|g| (0.0..0.5).contains(&(t - g))) {
                    return Err(format!("no CNG at {t} s: {:?}", tones(got, &["cng"])));
                }
            }
            if let Some(dialled) = want["dtmf"].as_str() {
                expect("digits", digits(got).as_str(), dialled)?;
            }
            let trained = list(got, "training").iter().any(|t| t["tcf_ok"] == true);
            expect("a good training check", trained, true)
        }
        "rtp-pcap" => {
            frames_in_order(got, list(want, "frames"))?;
            // The preamble of the answerer is steady for two seconds and is no data modem.
            expect("data modems", tones(got, &["modem"]), Vec::new())?;
            ident(got, "NSF", "Panasonic")?;
            expect("CNG bursts", tones(got, &["cng"]).len(), 2)
        }
        "cid" => {
            let said: Vec<[&str; 3]> =
                list(got, "caller_id").iter().map(|m| [text(m, "date"), text(m, "number"), text(m, "name")]).collect();
            let wanted: Vec<[&str; 3]> =
                list(want, "messages").iter().map(|m| [text(m, "date"), text(m, "number"), text(m, "name")]).collect();
            expect("messages", said, wanted)
        }
        "dtmf" => expect("digits", digits(got).as_str(), text(want, "digits")),
        "rtpevent" => {
            let keys: String =
                list(want, "events").iter().filter_map(Value::as_u64).filter_map(|e| "0123456789*#ABCD".chars().nth(e as usize)).collect();
            expect("digits", digits(got), keys)
        }
        "modem" => {
            expect("digits", digits(got).as_str(), text(want, "dtmf"))?;
            expect("fax tones", tones(got, &["cng", "ced", "v21"]), Vec::new())?;
            expect("T.30 frames", list(got, "t30").len(), 0)?;
            expect("pages", list(got, "pages").len(), 0)
        }
        "srtp" => {
            let stream = &got["srtp"][0];
            expect("ssrc", text(stream, "ssrc"), text(want, "ssrc"))?;
            expect("packets", stream["packets"].as_u64(), want["packets"].as_u64())?;
            expect("authenticated", stream["authenticated"].as_u64(), want["packets"].as_u64())
        }
        "talk-off" => {
            expect("digits", digits(got).as_str(), "")?;
            expect("fax tones", tones(got, &["cng", "ced", "ansam", "v21", "modem"]), Vec::new())?;
            expect("T.30 frames", list(got, "t30").len(), 0)
        }
        other => Err(format!("what to check of kind {other:?} is not known")),
    }
}

/// Runs all rows, prints the table and fails if any row failed.
fn table(rows: Vec<(String, Result<(), String>)>) {
    let mut failed = 0;
    for (name, result) in &rows {
        match result {
            Ok(()) => println!("ok    {name}"),
            Err(why) => {
                failed += 1;
                println!("FAIL  {name}: {why}");
            }
        }
    }
    assert!(failed == 0, "{failed} of {} recordings are not read as they should be (see the table above)", rows.len());
}

#[test]
fn every_recording_with_a_known_answer_is_read_right() {
    let Some(root) = recordings() else { return };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(root.join("expected.json")).expect("the answers lie beside the recordings")).unwrap();
    let mut rows = Vec::new();
    for (name, want) in expected.as_object().expect("an object of recordings") {
        let files: Vec<PathBuf> = match name.strip_suffix('*') {
            None => vec![root.join(name)],
            Some(folder) => {
                let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
                files.sort();
                files
            }
        };
        for file in files {
            let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
            let key = format!("{}={}", text(want, "ssrc"), text(want, "key"));
            let more: &[&str] = match text(want, "kind") {
                "srtp" => &["--srtp-key", &key],
                // The answer is that of both channels added; read apart they are the next test.
                "dtmf" if text(want, "note").contains("mixed") => &["--channel", "mix"],
                _ => &[],
            };
            let result = decode(&file, &name, more).and_then(|got| check(&root, &got, want));
            rows.push((name, result));
        }
    }
    table(rows);
}

#[test]
fn every_generated_call_gives_its_pages_pel_by_pel() {
    let Some(root) = recordings() else { return };
    let folder = root.join("generated");
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).expect("the list of calls");
    let mut rows = Vec::new();
    for line in manifest.lines().filter(|l| !l.trim().is_empty()) {
        let want: Value = serde_json::from_str(line).unwrap();
        let stem = text(&want, "file").rsplit_once('.').map_or("", |(stem, _)| stem).to_string();
        let expected = folder.join(format!("{stem}.expected.tif"));
        let of_call = |f: &str| f == text(&want, "file") || f.starts_with(&format!("{stem}.")) && f.ends_with(".wav");
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|f| of_call(f))
            .collect();
        files.sort();
        for file in files {
            let result = decode(&folder.join(&file), &format!("generated/{file}"), &[]).and_then(|got| {
                pages_are(&got, &expected)?;
                let page = &got["pages"][0];
                expect("bps", page["bps"].as_u64(), want["bit_rate"].as_u64())?;
                expect("ECM", page["ecm"].as_bool(), want["ecm"].as_u64().map(|n| n != 0))?;
                let coding = match text(&want, "coding") {
                    "T.4 1-D" => "MH",
                    "T.4 2-D" => "MR",
                    "T.6" => "MMR",
                    other => other,
                };
                expect("coding", text(page, "coding"), coding)?;
                // Also where left is the answering side (`.b`): T.30's X bit knows better than the channel.
                expect("directions", text(page, "direction"), "caller")?;
                expect("delivered", got["delivered"].as_bool(), Some(true))
            });
            rows.push((file, result));
        }
    }
    assert!(rows.is_empty() || rows.len() >= 19, "the list of calls is shorter than it was");
    table(rows);
}

#[test]
fn both_channels_of_a_stereo_file_are_read_apart() {
    let Some(root) = recordings() else { return };
    let got = decode(&root.join("dtmf/stereo-overlapping.wav"), "stereo", &[]).unwrap();
    let of =
        |side: &str| -> String { list(&got, "digits").iter().filter(|d| text(d, "direction") == side).map(|d| text(d, "digit")).collect() };
    assert_eq!((of("caller").as_str(), of("answerer").as_str()), ("135790", "2468"));
    let left = decode(&root.join("dtmf/stereo-overlapping.wav"), "left", &["--channel", "left"]).unwrap();
    assert_eq!(digits(&left), "135790");
}

#[test]
fn broken_and_hostile_captures_are_read_as_far_as_they_go() {
    let Some(root) = recordings() else { return };
    let mut rows = Vec::new();
    for name in [
        "t38/sip-megaco-t38-declined-truncated.pcap",
        "t38/udptl-hostile-ast-2016-003.pcap",
        "sip/aaa-proxy-auth.pcap",
        "sip/sip-rtp-g711.pcap",
    ] {
        rows.push((name.to_string(), decode(&root.join(name), name, &[]).map(|_| ())));
    }
    // A real call cut off in the middle of its page: what came before is there, and a warning.
    let whole = std::fs::read(root.join("fax/faxstf3-to-officejet8620.wav")).unwrap();
    let cut = out_dir("cut").with_extension("wav");
    std::fs::create_dir_all(cut.parent().unwrap()).unwrap();
    std::fs::write(&cut, &whole[..2 * 8000 * 38 + 1]).unwrap();
    let result = decode(&cut, "cut", &[]).and_then(|got| {
        expect("warned", list(&got, "warnings").is_empty(), false)?;
        frames_in_order(&got, &["DIS".into(), "DCS".into(), "CFR".into()])
    });
    rows.push(("a fax cut off in its page".to_string(), result));
    table(rows);
}

#[test]
fn what_cannot_be_read_ends_with_2_and_one_line() {
    let dir = out_dir("unreadable");
    std::fs::create_dir_all(&dir).unwrap();
    let empty_capture = [&[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0][..], &[0; 8], &[0xFF, 0xFF, 0, 0, 1, 0, 0, 0]].concat();
    let table: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"this is not a recording at all"),
        ("riff-avi", b"RIFF\x00\x00\x00\x00AVI LIST\x00\x00\x00\x00"),
        ("no-format", b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd"),
        ("head-only", b"RIFF\x00\x00\x00\x00WAVEfmt "),
        ("empty-capture", &empty_capture),
    ];
    for (name, bytes) in table {
        let file = dir.join(name);
        std::fs::write(&file, bytes).unwrap();
        let run = tipring(&[&file.display().to_string(), "--json"]);
        let words = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{name}: {words}");
        assert!(words.lines().count() == 1 && words.contains(name) && run.stdout.is_empty(), "{name}: {words:?}");
    }
    assert_eq!(tipring(&[&dir.join("absent").display().to_string()]).status.code(), Some(2));
}

#[test]
fn every_key_is_there_even_when_nothing_is_on_it() {
    let file = out_dir("silence").with_extension("wav");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut wav =
        b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x80\x3e\x00\x00"
            .to_vec();
    wav.resize(wav.len() + 16_000, 0);
    std::fs::write(&file, &wav).unwrap();
    let run = tipring(&[&file.display().to_string(), "--json"]);
    let got: Value = serde_json::from_slice(&run.stdout).unwrap();
    for key in KEYS.iter().skip(2).chain(&["srtp"]) {
        assert_eq!(got[*key], Value::Array(vec![]), "{key}");
    }
    assert_eq!(got["seconds"], 1.0);
}

#[test]
fn encrypted_audio_is_never_taken_for_a_quiet_line() {
    let Some(root) = recordings() else { return };
    let file = root.join("srtp/marseillaise-aes-cm-128-sha1-80.pcap").display().to_string();
    let wrong = format!("deadbeef={}", "A".repeat(40));
    let run = tipring(&[&file, "--srtp-key", &wrong]);
    let words = String::from_utf8_lossy(&run.stderr);
    assert_eq!((run.status.code(), words.lines().count()), (Some(2), 1), "{words}");
    // Without a key it may be anything: it is read, and the reader is told.
    let got = decode(Path::new(&file), "srtp-no-key", &[]).unwrap();
    assert!(list(&got, "warnings").iter().any(|w| w.as_str().is_some_and(|w| w.contains("looks like SRTP"))), "{got}");
}

#[test]
fn a_key_that_is_none_ends_with_2_and_one_line_that_does_not_show_it() {
    let file = out_dir("no-matter").display().to_string();
    for key in ["nonsense", "xyz=AAAA", "deadbeef=tooShortSecret", "=", ""] {
        let run = tipring(&[&file, "--srtp-key", key]);
        let words = String::from_utf8_lossy(&run.stderr);
        assert_eq!((run.status.code(), words.lines().count(), run.stdout.len()), (Some(2), 1, 0), "{key}: {words}");
        assert!(words.contains("--srtp-key") && !words.contains("Secret"), "{key}: {words}");
    }
}

/// Peak resident memory of a run, KiB, by watching the process.
fn peak_kib(arguments: &[&str]) -> u64 {
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_tipring")).arg("decode").args(arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        peak = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
    }
    peak
}

#[test]
#[ignore = "writes 115 MB and takes a minute; run with --ignored when the readers change"]
fn memory_is_flat_in_the_length_of_the_file() {
    let peak_of = |minutes: u32, out: bool| {
        let file = out_dir(&format!("long-{minutes}")).with_extension("wav");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let bytes = minutes * 60 * 16_000 * 4;
        let mut wav =
            b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x80\x3e\x00\x00\x00\xfa\x00\x00\x04\x00\x10\x00data".to_vec();
        wav.extend(bytes.to_le_bytes());
        // Both sides: noise, and a key pressed every ten seconds.
        let mut seed = 1u32;
        for n in 0..minutes * 60 * 16_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (noise, at) = ((seed >> 16) as i16 / 300, f64::from(n % 160_000) / 16_000.0);
            let key = if at < 0.1 { 6000.0 * ((4379.0 * at).sin() + (8398.0 * at).sin()) } else { 0.0 };
            wav.extend((key as i16 + noise).to_le_bytes());
            wav.extend(noise.to_le_bytes());
        }
        std::fs::write(&file, wav).unwrap();
        let (file, dir) = (file.display().to_string(), out_dir("long-out").display().to_string());
        let more: &[&str] = if out { &["--out", &dir] } else { &[] };
        peak_kib(&[&[&file[..]], more].concat())
    };
    for out in [false, true] {
        let (short, long) = (peak_of(3, out), peak_of(30, out));
        println!("peak of 3 minutes {short} KiB, of 30 minutes {long} KiB");
        assert!(short > 0 && long < short + 2048, "{short} KiB became {long} KiB");
    }
}
