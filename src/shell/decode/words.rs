//! The report as short lines: a timeline, the pages, the verdict.

use super::Decoded;
use crate::decode::{Direction, Report};
use std::fmt::Write;

/// A line of the timeline.
pub struct Line {
    /// Start, s.
    pub t: f64,
    /// Who.
    pub direction: Direction,
    /// What, in a word ("DCS", "CNG", "digits").
    pub what: String,
    /// More of it.
    pub more: String,
    /// It is a frame or a carrier from one side to the other.
    pub is_signal: bool,
    /// Something is wrong with it.
    pub is_bad: bool,
}

/// Digits closer than this belong to one number, s.
const DIGITS_APART_S: f64 = 4.0;

/// All that happened, in order of time.
pub fn timeline(r: &Report) -> Vec<Line> {
    let line = |t: f64, direction: Direction, what: &str, more: String| Line {
        t,
        direction,
        what: what.into(),
        more,
        is_signal: false,
        is_bad: false,
    };
    let mut lines: Vec<Line> = Vec::new();
    let mut last_digit = f64::NEG_INFINITY;
    for d in &r.digits {
        match lines.last_mut() {
            Some(l) if d.t - last_digit < DIGITS_APART_S && l.direction == d.direction => l.more.push(d.digit),
            _ => lines.push(line(d.t, d.direction, "digits", d.digit.to_string())),
        }
        last_digit = d.t + f64::from(d.ms) / 1000.0;
    }
    for t in &r.tones {
        let text = if t.text.is_empty() { String::new() } else { format!(", {}", t.text) };
        lines.push(line(t.t, t.direction, tone_word(t.kind.name()), format!("{:.2} s{text}", f64::from(t.ms) / 1000.0)));
    }
    for c in &r.caller_id {
        let or = |s: &str, absent: &str| match (s.is_empty(), absent.is_empty()) {
            (false, _) => s.trim().to_string(),
            (true, false) => absent.to_string(),
            (true, true) => "none".to_string(),
        };
        let mut more = format!("number {}, name {}", or(&c.number, c.number_absent), or(&c.name, c.name_absent));
        if !c.date.is_empty() {
            let _ = write!(more, ", date {}", c.date);
        }
        let _ = write!(more, " ({}, {}{})", c.standard, c.format, if c.checksum_ok { "" } else { ", CHECKSUM WRONG" });
        lines.push(Line { is_bad: !c.checksum_ok, ..line(c.t, Direction::Unknown, "caller ID", more) });
    }
    for f in &r.t30 {
        let mut more = f.text.clone();
        if !f.crc_ok {
            more = format!("FCS wrong{}{more}", if more.is_empty() { "" } else { ": " });
        }
        lines.push(Line { is_signal: true, is_bad: !f.crc_ok, ..line(f.t, f.direction, &f.frame, more) });
    }
    for t in &r.training {
        let (more, is_bad) = match (t.trained, t.tcf_ok) {
            (false, _) => ("could not be followed".to_string(), true),
            (true, Some(true)) => (format!("training check good ({} ms of zeros)", t.zeros_ms), false),
            (true, Some(false)) => (format!("training check BAD (longest run of zeros {} ms)", t.zeros_ms), true),
            (true, None) => (if t.short { "image data, short training" } else { "image data" }.to_string(), false),
        };
        let name = format!("{} {}", modem_word(t.modem), t.bps);
        lines.push(Line { is_signal: true, is_bad, ..line(t.t, t.direction, &name, more) });
    }
    lines.sort_by(|a, b| a.t.total_cmp(&b.t));
    lines
}

/// A page in words.
pub fn page(r: &Report, i: usize) -> String {
    let Some(p) = r.pages.get(i) else { return String::new() };
    let damage = match (p.bad_rows, p.frames_missing) {
        (0, 0) => "no bad rows".to_string(),
        (rows, 0) => format!("{rows} BAD ROW{}", if rows == 1 { "" } else { "S" }),
        (rows, frames) => {
            let s = |n: u32| if n == 1 { "" } else { "S" };
            format!("{rows} BAD ROW{}, {frames} ECM FRAME{} MISSING", s(rows), s(frames))
        }
    };
    let ecm = if p.ecm { ", ECM" } else { "" };
    format!("{} x {}, {}, {}{ecm}, {} {}, {damage}", p.columns, p.rows, p.resolution, p.coding, modem_word(p.modem), p.bps)
}

/// All of it for a terminal.
pub fn of(d: &Decoded) -> String {
    let r = &d.report;
    let mut s = format!("{}: {:.1} s, {}\n", d.file.display(), r.seconds, d.what);
    for l in timeline(r) {
        let who = if l.direction == Direction::Unknown { "" } else { l.direction.name() };
        let _ = writeln!(s, "{:8.2}  {who:8}  {:12}  {}", l.t, l.what, l.more);
    }
    for i in 0..r.pages.len() {
        let file = d.page_files.get(i).map_or_else(String::new, |f| format!(" -> {}", f.display()));
        let _ = writeln!(s, "page {}: {}{file}", i + 1, page(r, i));
    }
    for x in &d.srtp {
        let _ = writeln!(s, "SRTP {:08x}: {} packets, {} authentic", x.ssrc, x.packets, x.authenticated);
    }
    for w in &r.warnings {
        let _ = writeln!(s, "warning: {w}");
    }
    if !r.verdict.is_empty() {
        let _ = writeln!(s, "{}", r.verdict);
    }
    if !r.reason.is_empty() {
        let _ = writeln!(s, "T.30: {}", r.reason);
    }
    s
}

fn tone_word(kind: &str) -> &str {
    match kind {
        "cng" => "CNG",
        "ced" => "CED",
        "ansam" => "ANSam",
        "dial" => "dial tone",
        "v21" => "V.21 flags",
        "modem" => "data modem",
        other => other,
    }
}

/// A modem as people write it.
pub fn modem_word(modem: &str) -> &str {
    match modem {
        "v17" => "V.17",
        "v29" => "V.29",
        "v27ter" => "V.27ter",
        other => other,
    }
}
