//! The analysis against recordings whose answers are known (`../shared/recordings`).

use super::report::ToneKind;
use super::*;
use std::path::{Path, PathBuf};

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("TIPRING_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let dir = if dir.is_dir() { dir } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared") };
    dir.is_dir().then_some(dir)
}

/// Channels of a WAV at 8 kHz, by way of sox.
pub fn samples(path: &Path) -> Option<Vec<Vec<i16>>> {
    let sox = |args: &[&str]| std::process::Command::new("sox").args(args).output().ok().filter(|o| o.status.success());
    let channels: usize = match std::process::Command::new("soxi").arg("-c").arg(path).output() {
        Ok(o) => String::from_utf8_lossy(&o.stdout).trim().parse().ok()?,
        Err(_) => return None,
    };
    let raw = sox(&["-D", path.to_str()?, "-t", "raw", "-r", "8000", "-b", "16", "-e", "signed", "-L", "-"])?.stdout;
    let all: Vec<i16> = raw.chunks_exact(2).map(|c| i16::from_le_bytes([c[0], c[1]])).collect();
    Some((0..channels).map(|c| all.iter().skip(c).step_by(channels).copied().collect()).collect())
}

/// The report of a file.
pub fn decode(path: &Path) -> Option<Report> {
    let channels = samples(path)?;
    let mut d = Decoder::new(Options { channels: channels.len(), ..Options::default() });
    let longest = channels.iter().map(Vec::len).max().unwrap_or(0);
    for at in (0..longest).step_by(1000) {
        for (n, c) in channels.iter().enumerate() {
            d.feed(n, &c[at.min(c.len())..(at + 1000).min(c.len())]);
        }
    }
    Some(d.finish())
}

/// `DECODE=file[:file] cargo test decode::tests::print -- --nocapture` prints reports; with `PAGES=file.tif` it compares.
#[test]
fn print() {
    let Some(files) = std::env::var_os("DECODE") else { return };
    for file in std::env::split_paths(&files) {
        let Some(r) = decode(&file) else {
            println!("{}: cannot be read", file.display());
            continue;
        };
        println!("== {} {:.1} s", file.display(), r.seconds);
        println!("digits {}", r.digits.iter().map(|d| d.digit).collect::<String>());
        for t in &r.tones {
            println!("{:9.3} tone {} {} ms {} {}", t.t, t.kind.name(), t.ms, t.direction.name(), t.text);
        }
        for f in &r.t30 {
            println!("{:9.3} {:8} {} {} {} [{}]", f.t, f.direction.name(), f.frame, if f.crc_ok { "" } else { "BAD" }, f.text, f.hex);
        }
        for t in &r.training {
            println!(
                "{:9.3} training {} {} tcf {:?} trained {} short {} zeros {}",
                t.t, t.modem, t.bps, t.tcf_ok, t.trained, t.short, t.zeros_ms
            );
        }
        for p in &r.pages {
            println!(
                "{:9.3} page {}x{} bad {} {} {} ecm {} {} missing {}",
                p.t, p.columns, p.rows, p.bad_rows, p.coding, p.resolution, p.ecm, p.bps, p.frames_missing
            );
        }
        for c in &r.caller_id {
            println!("{:9.3} {c:?}", c.t);
        }
        for w in &r.warnings {
            println!("warning: {w}");
        }
        for p in &r.phases {
            print!(" {}:{:.1}-{:.1}", p.phase, p.t, p.end);
        }
        println!("\nVERDICT {}\nREASON {}", r.verdict, r.reason);
        println!("{}", against(&file, &r));
        if let Some(out) = std::env::var_os("OUT") {
            let pages: Vec<_> = r.pages.iter().map(|p| p.image.clone()).collect();
            let tif = tipring_dsp::page::tiff::write(&pages, Default::default());
            let name = file.file_stem().and_then(|s| s.to_str()).unwrap_or("x");
            let _ = std::fs::write(Path::new(&out).join(format!("{name}.tif")), if pages.is_empty() { Vec::new() } else { tif });
        }
    }
}

/// Where the expected pages of a recording lie.
fn expected(file: &Path) -> PathBuf {
    let name = file.file_stem().and_then(|s| s.to_str()).unwrap_or("");
    let name = name.strip_suffix(".a").or(name.strip_suffix(".b")).unwrap_or(name);
    file.with_file_name(format!("{name}.expected.tif"))
}

/// How the pages compare with `*.expected.tif` beside the file.
fn against(file: &Path, r: &Report) -> String {
    let Ok(tif) = std::fs::read(expected(file)) else { return "no expected pages".into() };
    let Ok(want) = tipring_dsp::page::tiff::read_all(&tif) else { return "expected pages unreadable".into() };
    let mut s = format!("pages {} of {}:", r.pages.len(), want.len());
    for (i, w) in want.iter().enumerate() {
        s += &match r.pages.get(i) {
            Some(p) if p.image.bits() == w.page.bits() => " SAME".to_string(),
            Some(p) => format!(" {:?}", tipring_dsp::page::compare(&w.page, &p.image)),
            None => " MISSING".into(),
        };
    }
    s
}

/// Recordings of a folder that can be read here; empty, with a word why, where they are not.
fn recordings(folder: &str) -> Vec<(PathBuf, Report)> {
    let Some(dir) = shared().map(|s| s.join("recordings").join(folder)) else {
        eprintln!("skipped: no ../shared (set TIPRING_SHARED)");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e == "wav"));
    files.sort();
    let read: Vec<_> = files.iter().filter_map(|f| Some((f.clone(), decode(f)?))).collect();
    if read.is_empty() {
        eprintln!("skipped: nothing in {} that sox can read here", dir.display());
    }
    read
}

fn digits(r: &Report) -> String {
    r.digits.iter().map(|d| d.digit).collect()
}

fn count(r: &Report, kind: ToneKind) -> usize {
    r.tones.iter().filter(|t| t.kind == kind).count()
}

#[test]
#[cfg(feature = "spandsp")]
fn every_recorded_fax_gives_its_pages_pel_for_pel() {
    for folder in ["fax", "generated", "stacks"] {
        for (file, r) in recordings(folder) {
            let Ok(tif) = std::fs::read(expected(&file)) else { continue };
            let want = tipring_dsp::page::tiff::read_all(&tif).expect("the expected pages are a TIFF");
            assert_eq!(r.pages.len(), want.len(), "{} {:?}", file.display(), r.warnings);
            for (page, want) in r.pages.iter().zip(&want) {
                assert!(page.image.bits() == want.page.bits(), "{}: {}", file.display(), against(&file, &r));
                assert_eq!((page.bad_rows, page.frames_missing, page.direction), (0, 0, Direction::Caller), "{}", file.display());
            }
            assert_eq!(r.delivered, Some(true), "{} {}", file.display(), r.verdict);
            assert!(r.t30.iter().all(|f| f.crc_ok && f.direction != Direction::Unknown), "{}", file.display());
            assert_eq!(r.t30.iter().filter(|f| f.frame == "DCS").count(), r.training.iter().filter(|t| t.tcf_ok.is_some()).count());
            assert_eq!(r.digits.len(), if folder == "fax" { 2 } else { 0 }, "{}", file.display());
        }
    }
}

#[test]
#[cfg(feature = "spandsp")]
fn the_real_call_is_told_from_dialling_to_disconnect() {
    let Some((_, r)) = recordings("fax").into_iter().find(|(f, _)| f.ends_with("faxstf3-to-officejet8620.wav")) else { return };
    let frames: Vec<&str> = r.t30.iter().map(|f| f.frame.as_str()).collect();
    assert_eq!(frames, ["NSF", "CSI", "DIS", "TSI", "DCS", "CFR", "EOP", "MCF", "DCN"]);
    assert_eq!((digits(&r).as_str(), r.t30[1].text.as_str(), r.pages[0].rows, r.pages[0].bad_rows), ("36", "31", 1121, 0));
    assert!(r.t30[4].text.starts_with("V.17 14400, fine, 1728, MH"), "{}", r.t30[4].text);
    let cng: Vec<f64> = r.tones.iter().filter(|t| t.kind == ToneKind::Cng).map(|t| t.t).collect();
    // The times of the answer key are those of another detector's decision, 0.42 s after the tone begins.
    for want in [8.75, 12.25, 15.76] {
        assert!(cng.iter().any(|t| (t + 0.42 - want).abs() < 0.02), "{want} {cng:?}");
    }
    assert_eq!(r.phases.iter().map(|p| p.phase).collect::<String>(), "ABCDE");
    assert_eq!(r.verdict, "A fax of 1 page went through: the receiving machine confirmed the last page.");
    assert_eq!(r.reason, "1 page, V.17 14400, delivered (MCF seen for last page)");
}

#[test]
fn dialled_digits_are_told_once_each() {
    let want = [
        ("fast-80-digits.wav", "06966753564646415180233673141636083381604400826146625368963884821381785073643399"),
        ("modem-dial-11.wav", "15702340003"),
        ("pz-4digits.wav", "2596"),
        ("sixteen-keys.wav", "1234567890#*ABCD"),
        ("stereo-overlapping.wav", "1234567890"),
    ];
    for (file, r) in recordings("dtmf") {
        let (_, want) = want.iter().find(|(name, _)| file.ends_with(name)).expect("every recording has an answer");
        assert_eq!(digits(&r), *want, "{}", file.display());
        assert_eq!(r.t30.len() + r.pages.len() + r.caller_id.len(), 0);
    }
}

#[test]
fn callers_are_named_from_real_lines_and_simulators() {
    /// File, then number, name and date of each message on it.
    type Want<'a> = (&'a str, &'a [(&'a str, &'a str, &'a str)]);
    let want: &[Want<'_>] = &[
        ("jenil_CallerID-1.wav", &[("05271036", "8128771511", "ROSE HULMAN INS")]),
        ("jenil_test2.wav", &[("08131853", "4806343526", "Cell Phone   AZ")]),
        ("verizon_REC003.wav", &[("11011903", "2024561414", "WHITE HOUSE    "), ("11011904", "7184397500", "PUERTO RICO RES")]),
        ("jenil_CID-4_16.wav", &[("06070809", "8002404637", "CallerID.com")]),
        ("jenil_CID_sim_12ko.wav", &[("06070809", "9987654321", "John Smith")]),
    ];
    for (file, r) in recordings("cid") {
        let (_, want) = want.iter().find(|(name, _)| file.ends_with(name)).expect("every recording has an answer");
        let got: Vec<_> = r.caller_id.iter().map(|c| (c.date.as_str(), c.number.as_str(), c.name.as_str())).collect();
        assert_eq!(&got[..], *want, "{}", file.display());
        assert!(r.caller_id.iter().all(|c| c.standard == "bell202" && c.checksum_ok), "{}", file.display());
        assert_eq!(r.digits, [], "{}", file.display());
    }
}

#[test]
fn a_data_modem_is_no_fax() {
    for (file, r) in recordings("modem") {
        assert_eq!((digits(&r).as_str(), r.t30.len(), r.pages.len(), r.delivered), ("15702340003", 0, 0, None), "{}", file.display());
        assert!(count(&r, ToneKind::Modem) > 0 && count(&r, ToneKind::V21) == 0 && count(&r, ToneKind::Dial) == 1, "{:?}", r.tones);
        assert_eq!(r.verdict, "A data modem called another after dialling 15702340003; this is no fax.");
    }
}

#[test]
fn speech_is_neither_digits_nor_fax() {
    for (file, r) in recordings("voice") {
        assert_eq!((&r.digits[..], &r.tones[..], &r.t30[..], &r.caller_id[..]), (&[][..], &[][..], &[][..], &[][..]), "{}", file.display());
    }
}

/// V.21 frames of a made-up call, at 8 kHz: what was said, by whom, with a second's flags before each.
fn v21(frames: &[&[u8]], level_dbm0: f32) -> Vec<i16> {
    use tipring_dsp::{fsk, hdlc};
    let mut out = vec![0i16; 4000];
    let mut m = fsk::Modulator::new(fsk::V21_CHANNEL_2, level_dbm0);
    for f in frames {
        (0..37).for_each(|_| hdlc::flag(|b| m.tx(b, &mut out)));
        hdlc::bits_of(f, |b| m.tx(b, &mut out));
        (0..3).for_each(|_| hdlc::flag(|b| m.tx(b, &mut out)));
        out.extend([0; 4000]);
    }
    out
}

fn heard(samples: &[i16]) -> Report {
    let mut d = Decoder::new(Options::default());
    samples.chunks(777).for_each(|s| d.feed(0, s));
    d.finish()
}

#[test]
fn frames_are_heard_from_very_loud_to_very_quiet_and_told_who_said_them() {
    for level in [0.0, -20.0, -45.0] {
        let r = heard(&v21(&[&[0xFF, 0xC8, 0x01, 0x00, 0x74, 0x00], &[0xFF, 0xC8, 0xC1, 0x00, 0x44, 0x00], &[0xFF, 0xC8, 0x22]], level));
        let said: Vec<_> = r.t30.iter().map(|f| (f.frame.as_str(), f.direction, f.crc_ok)).collect();
        assert_eq!(
            said,
            [("DIS", Direction::Answerer, true), ("DCS", Direction::Caller, true), ("FTT", Direction::Answerer, true)],
            "{level}"
        );
        assert_eq!(r.verdict, "The recording ends while the fax machines were still trying out the line.");
        assert!(r.reason.contains("FTT once"), "{}", r.reason);
        assert_eq!(count(&r, ToneKind::V21), 3);
    }
}

#[test]
fn half_a_call_or_the_beginning_of_one_is_not_judged_as_a_failure() {
    const DIS: &[u8] = &[0xFF, 0xC8, 0x01, 0x00, 0x74, 0x00];
    const DCS: &[u8] = &[0xFF, 0xC8, 0xC1, 0x00, 0x44, 0x00];
    const CFR: &[u8] = &[0xFF, 0xC8, 0x21];
    const EOP: &[u8] = &[0xFF, 0xC8, 0xF4];
    const MCF: &[u8] = &[0xFF, 0xC8, 0x31];
    const DCN: &[u8] = &[0xFF, 0xC8, 0xDF];
    let silence = [0i16; 32_000];
    let quiet_after = |frames: &[&[u8]]| [&v21(frames, -12.0)[..], &silence].concat();
    // What is on the recording, the verdict, and whether it was delivered.
    let table = [
        (
            quiet_after(&[DIS, CFR, MCF]),
            "Only the answering fax machine is heard on this recording: it confirmed once that something arrived, and whether that was all \
             cannot be told.",
            None,
        ),
        (
            quiet_after(&[DCS, EOP, DCN]),
            "Only the calling fax machine is heard on this recording: nothing tells what became of the fax.",
            None,
        ),
        (v21(&[DIS], -12.0), "The recording ends while the fax machines were still introducing themselves.", Some(false)),
        (quiet_after(&[DIS]), "A fax machine answered and said what it can do; the calling machine never replied.", Some(false)),
        (v21(&[DIS, DCS], -12.0), "The recording ends while the fax machines were still trying out the line.", Some(false)),
        (
            quiet_after(&[DIS, DCS]),
            "The sending machine said how it would send and tried the line, and the receiving machine did not reply.",
            Some(false),
        ),
        (
            v21(&[DIS, DCS, CFR, EOP], -12.0),
            "The recording ends after 0 pages, before the receiving machine could confirm the last one.",
            Some(false),
        ),
        (
            quiet_after(&[DIS, DCS, CFR, EOP, MCF, DCN]),
            "A fax of 1 page went through: the receiving machine confirmed the last page.",
            Some(true),
        ),
    ];
    for (samples, verdict, delivered) in table {
        let r = heard(&samples);
        assert_eq!((r.verdict.as_str(), r.delivered), (verdict, delivered));
    }
}

/// Where the noise is nearer to the signal than the carrier detector would go down of itself.
#[test]
#[cfg(feature = "spandsp")]
fn a_page_is_read_from_a_quiet_line_with_much_noise() {
    let Some(file) = shared().map(|s| s.join("recordings/generated/v27ter-4800-mh.wav")) else { return };
    let Some(channels) = samples(&file) else { return };
    let mut chance = tipring_dsp::noise::Gauss::new(3);
    // The call at -36 dBm0, the noise 16 dB below it: louder than a cutoff that hangs on the level of the DCS alone.
    let noise = tipring_dsp::level::power_of(-52.5).sqrt();
    let mut d = Decoder::new(Options { channels: 2, ..Options::default() });
    for at in (0..channels[0].len()).step_by(1000) {
        for (n, c) in channels.iter().enumerate() {
            let part = &c[at..(at + 1000).min(c.len())];
            let noisy: Vec<i16> = part.iter().map(|s| (f32::from(*s) * 0.063 + noise * chance.sample()) as i16).collect();
            d.feed(n, &noisy);
        }
    }
    let r = d.finish();
    assert!(r.training.iter().any(|t| t.tcf_ok == Some(true)), "{:?}", r.training);
    assert_eq!(r.pages.len(), 1, "{:?}", r.warnings);
    assert!(r.pages[0].rows >= 1100 && r.pages[0].bad_rows < r.pages[0].rows / 20, "{} {}", r.pages[0].rows, r.pages[0].bad_rows);
}

#[test]
fn a_caller_without_number_or_name_is_told_so_under_either_standard() {
    use tipring_dsp::{callerid, fsk};
    let sdmf = |body: &[u8]| {
        let mut bytes = [&[0x04, body.len() as u8][..], body].concat();
        bytes.push(bytes.iter().fold(0u8, |s, b| s.wrapping_sub(*b)));
        bytes
    };
    // Message, why there is no number and no name, number, verdict.
    let table = [
        (sdmf(b"11281200P"), "sdmf", "private", "", "", "The phone was told who is calling: a caller who withholds the number."),
        (sdmf(b"11281200O"), "sdmf", "unavailable", "", "", "The phone was told who is calling: a caller whose number is not known."),
        (sdmf(b"112812000755551234"), "sdmf", "", "", "0755551234", "The phone was told who is calling: 0755551234."),
        (
            callerid::mdmf(&[(1, b"11281200"), (4, b"P"), (8, b"O")]),
            "mdmf",
            "private",
            "unavailable",
            "",
            "The phone was told who is calling: a caller who withholds the number.",
        ),
        (
            callerid::mdmf(&[(1, b"11281200"), (2, b"555"), (8, b"P")]),
            "mdmf",
            "",
            "private",
            "555",
            "The phone was told who is calling: 555.",
        ),
    ];
    for (spec, standard) in [(fsk::BELL_202, "bell202"), (fsk::V23, "v23")] {
        for (bytes, format, number_absent, name_absent, number, verdict) in &table {
            // Ringing (25 Hz, much louder) up to half a second before the message, as a recorder across the line has it.
            let ring = |n: usize| (15_000.0 * (core::f32::consts::TAU * 25.0 * n as f32 / 8000.0).sin()) as i16;
            let mut samples: Vec<i16> = (0..8000).map(ring).chain([0; 4000]).collect();
            let mut m = fsk::Modulator::new(spec, -16.0);
            (0..300).for_each(|i| m.tx(i % 2 == 1, &mut samples));
            (0..180).for_each(|_| m.tx(true, &mut samples));
            bytes.iter().for_each(|b| m.tx_byte(*b, &mut samples));
            (0..10).for_each(|_| m.tx(true, &mut samples));
            samples.extend((0..12_000).map(|n| if n < 4000 { 0 } else { ring(n) }));
            let r = heard(&samples);
            let said: Vec<_> = r
                .caller_id
                .iter()
                .map(|c| (c.standard, c.format, c.number_absent, c.name_absent, c.number.as_str(), c.checksum_ok))
                .collect();
            assert_eq!(said, [(standard, *format, *number_absent, *name_absent, *number, true)]);
            assert_eq!(r.verdict, *verdict);
        }
    }
}

/// Mains hum of `dbm0` with a third harmonic 10 dB below it, added to samples.
fn with_hum(samples: &[i16], hz: f32, dbm0: f32) -> Vec<i16> {
    let (amplitude, w) = (tipring_dsp::level::amplitude_of(dbm0), core::f32::consts::TAU * hz / 8000.0);
    let hum = |n: usize| amplitude * ((w * n as f32).sin() + 0.3 * (3.0 * w * n as f32 + 1.0).sin());
    samples.iter().enumerate().map(|(n, s)| (f32::from(*s) + hum(n)) as i16).collect()
}

#[test]
fn frames_are_heard_through_hum_that_is_louder_than_they_are() {
    let said = v21(&[&[0xFF, 0xC8, 0x01, 0x00, 0x74, 0x00], &[0xFF, 0xC8, 0xC1, 0x00, 0x44, 0x00]], -38.0);
    for hz in [50.0, 60.0] {
        let r = heard(&with_hum(&said, hz, -30.0));
        let frames: Vec<_> = r.t30.iter().map(|f| (f.frame.as_str(), f.crc_ok)).collect();
        assert_eq!(frames, [("DIS", true), ("DCS", true)], "{hz} Hz");
    }
}

/// The recording's carriers are at -36 dBm0; the hum that is added is louder, and louder still once the receiver has its gain.
#[test]
#[cfg(feature = "spandsp")]
fn a_page_is_read_from_a_quiet_line_with_louder_hum() {
    let Some(file) = shared().map(|s| s.join("recordings/generated/v17-14400-mr-low-level.wav")) else { return };
    let Some(channels) = samples(&file) else { return };
    let r = heard(&with_hum(&channels[0], 50.0, -30.0));
    assert!(r.training.iter().any(|t| t.tcf_ok == Some(true)), "{:?}", r.training);
    assert_eq!(r.pages.len(), 1, "{:?}", r.warnings);
    assert!(r.pages[0].rows >= 1100 && r.pages[0].bad_rows < r.pages[0].rows / 20, "{} {}", r.pages[0].rows, r.pages[0].bad_rows);
}

/// Without hum to speak of nothing is filtered: what a slip of the line's clock does to the image modem would last longer, and cost rows.
#[test]
#[cfg(feature = "spandsp")]
fn a_sample_repeated_every_eleven_seconds_costs_no_row() {
    let Some(file) = shared().map(|s| s.join("recordings/fax/faxstf3-to-officejet8620.wav")) else { return };
    let Some(channels) = samples(&file) else { return };
    let mut slipped = channels[0].clone();
    let mut at = 88_000;
    while at < slipped.len() {
        slipped.insert(at, slipped[at - 1]);
        at += 88_000;
    }
    let r = heard(&slipped);
    assert_eq!(r.pages.iter().map(|p| (p.rows, p.bad_rows)).collect::<Vec<_>>(), [(1121, 0)], "{:?}", r.warnings);
}

#[test]
fn a_fax_that_cannot_be_read_is_no_data_modem() {
    use tipring_dsp::tone::{CED, ToneGenerator};
    let mut g = ToneGenerator::new(&CED);
    let mut samples = vec![0i16; 4000];
    for _ in 0..175 {
        let mut f = [0; 160];
        g.tx(&mut f);
        samples.extend(f);
    }
    // Flags after the answer tone, a frame with a wrong check sequence, then a carrier like a page's.
    let mut bad = vec![0xFF, 0xC8, 0x01];
    bad.extend([0xAA; 4]);
    let mut bits = Vec::new();
    tipring_dsp::hdlc::bits_of(&bad, |b| bits.push(b));
    bits[40] = !bits[40];
    let mut m = tipring_dsp::fsk::Modulator::new(tipring_dsp::fsk::V21_CHANNEL_2, -12.0);
    (0..37).for_each(|_| tipring_dsp::hdlc::flag(|b| m.tx(b, &mut samples)));
    bits.iter().for_each(|b| m.tx(*b, &mut samples));
    samples.extend([0; 4000]);
    let mut chance = tipring_dsp::noise::Gauss::new(2);
    samples.extend((0..40_000).map(|_| (3000.0 * chance.sample()) as i16));
    let r = heard(&samples);
    assert_eq!((count(&r, ToneKind::V21), count(&r, ToneKind::Modem)), (1, 0), "{:?}", r.tones);
    assert_eq!(r.verdict, "A fax machine began to speak, but nothing it said could be read.");
}

#[test]
fn an_echo_is_no_second_frame() {
    let said = v21(&[&[0xFF, 0xC8, 0x31]], -12.0);
    let mut with_echo = said.clone();
    with_echo.extend([0; 8000]);
    // Half a second later and 15 dB down, long after the frame itself.
    for (i, s) in said.iter().enumerate() {
        with_echo[i + 4000] = with_echo[i + 4000].saturating_add(s / 6);
    }
    assert_eq!(heard(&with_echo).t30.len(), 1);
}

#[test]
fn sides_that_are_the_other_way_round_are_put_right() {
    let mut d = Decoder::new(Options { channels: 2, ..Options::default() });
    let said = v21(&[&[0xFF, 0xC8, 0x01, 0x00, 0x74, 0x00]], -12.0);
    d.feed(0, &said);
    d.feed(1, &vec![0; said.len()]);
    let r = d.finish();
    assert_eq!((r.t30[0].frame.as_str(), r.t30[0].direction), ("DIS", Direction::Answerer));
    assert!(r.warnings.iter().any(|w| w.contains("the other way round")), "{:?}", r.warnings);
}

#[test]
fn memory_does_not_grow_with_silence_and_nothing_panics_on_noise() {
    let mut chance = tipring_dsp::noise::Gauss::new(6);
    let mut d = Decoder::new(Options { channels: 2, ..Options::default() });
    for i in 0..400 {
        let loud = if i % 3 == 0 { 30_000.0 } else { 300.0 };
        let samples: Vec<i16> = (0..1000).map(|_| (loud * chance.sample()) as i16).collect();
        d.feed(i % 2, &samples);
        d.feed(7, &samples);
    }
    let r = d.finish();
    assert_eq!((r.t30.len(), r.pages.len(), r.digits.len(), r.caller_id.len()), (0, 0, 0, 0));
    assert!(r.levels.iter().all(|l| l.len() <= limits::LEVELS_MAX));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000)) {
        fuzz::hdlc(&bytes);
        fuzz::t30(&bytes);
        fuzz::caller_id(&bytes);
        fuzz::samples(&bytes);
    }
}
