//! The analysis against recordings whose answers are known (`../shared/recordings`).

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
            println!("{:9.3} training {} {} tcf {:?} trained {} short {} zeros {}", t.t, t.modem, t.bps, t.tcf_ok, t.trained, t.short, t.zeros_ms);
        }
        for p in &r.pages {
            println!("{:9.3} page {}x{} bad {} {} {} ecm {} {} missing {}", p.t, p.columns, p.rows, p.bad_rows, p.coding, p.resolution, p.ecm, p.bps, p.frames_missing);
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

/// How the pages compare with `*.expected.tif` beside the file.
fn against(file: &Path, r: &Report) -> String {
    let name = file.file_stem().and_then(|s| s.to_str()).unwrap_or("");
    let name = name.strip_suffix(".a").or(name.strip_suffix(".b")).unwrap_or(name);
    let Ok(tif) = std::fs::read(file.with_file_name(format!("{name}.expected.tif"))) else { return "no expected pages".into() };
    let Ok(want) = tipring_dsp::page::tiff::read_all(&tif) else { return "expected pages unreadable".into() };
    let mut s = format!("pages {} of {}:", r.pages.len(), want.len());
    for (i, w) in want.iter().enumerate() {
        match r.pages.get(i) {
            Some(p) => s += &format!(" {}", if p.image.bits() == w.page.bits() { "SAME".to_string() } else { format!("{:?}", tipring_dsp::page::compare(&w.page, &p.image)) }),
            None => s += " MISSING",
        }
    }
    s
}
