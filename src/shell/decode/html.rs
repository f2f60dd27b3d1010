//! The report as one HTML file that needs nothing beside it: verdict, level and spectrogram over time, the ladder of T.30 frames, pages.

use super::Decoded;
use super::spectrogram::{ROWS, Spectrogram};
use super::words::{Line, page, timeline};
use crate::decode::{Direction, Report};
use crate::proof::base64;
use crate::shell::png;
use std::fmt::Write;

/// Width of everything that has time along it, in CSS pixels, and the margin for its labels.
const WIDTH: f64 = 1040.0;
const MARGIN: f64 = 56.0;
/// Pages shown inside; the files of the others are named.
const PAGES_SHOWN: usize = 40;
/// Rows of the ladder; a longer call is cut with a word.
const LADDER_MAX: usize = 3000;
/// Widest picture of a page inside.
const PAGE_COLUMNS: u32 = 864;

const STYLE: &str = "
:root { --ink: #1c2330; --soft: #5d6779; --line: #d8dde6; --caller: #0b6bcb; --answerer: #b3430f; --bad: #c4122f; --good: #13733a; --paper: #fff; --back: #f3f5f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 22px; margin: 0 0 2px; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 34px 0 10px; }
.soft { color: var(--soft); } .mono { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, monospace; }
.verdict { background: var(--paper); border: 1px solid var(--line); border-left: 6px solid var(--soft); border-radius: 6px; padding: 14px 18px; margin: 18px 0; font-size: 18px; }
.verdict.good { border-left-color: var(--good); } .verdict.bad { border-left-color: var(--bad); } .verdict small { display: block; color: var(--soft); font-size: 14px; margin-top: 4px; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 12px; overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; } svg text { font: 12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: var(--ink); } svg text.soft { fill: var(--soft); } svg .name { font-weight: 600; }
svg .caller { stroke: var(--caller); } svg .answerer { stroke: var(--answerer); } svg .unknown { stroke: #46506180; } svg polyline.unknown { stroke: var(--ink); } svg .bad { stroke: var(--bad); }
svg tspan.caller, svg tspan.answerer, svg tspan.unknown { stroke: none; } svg text.caller { fill: var(--caller); stroke: none; } svg text.answerer { fill: var(--answerer); stroke: none; } svg text.bad { fill: var(--bad); stroke: none; } svg text.unknown { fill: var(--soft); stroke: none; }
.pages { display: flex; flex-wrap: wrap; gap: 18px; } figure { margin: 0; background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 10px; width: 360px; }
figure img { width: 100%; border: 1px solid var(--line); display: block; background: #fff; } figcaption { font-size: 13px; margin-top: 8px; } figure img:hover { outline: 2px solid var(--caller); }
ul { margin: 6px 0; padding-left: 20px; } .warn li { color: #7a4b00; } table { border-collapse: collapse; font-size: 14px; } td, th { padding: 3px 14px 3px 0; text-align: left; vertical-align: top; } th { color: var(--soft); font-weight: 500; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); }
";

/// The file.
pub(super) fn of(d: &Decoded) -> String {
    let r = &d.report;
    let lines = timeline(r);
    let name = d.file.file_name().map_or_else(|| d.file.display().to_string(), |n| n.to_string_lossy().into_owned());
    let mut s = String::with_capacity(1 << 16);
    let _ = writeln!(
        s,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{0}: tipring decode</title><style>{STYLE}</style>\n<main><h1>{0}</h1><div class=\"soft\">{1:.1} s &middot; {2}</div>",
        escape(&name),
        r.seconds,
        escape(&d.what)
    );
    verdict(&mut s, r);
    facts(&mut s, r);
    if !r.warnings.is_empty() {
        s.push_str("<ul class=\"warn\">");
        r.warnings.iter().for_each(|w| {
            let _ = write!(s, "<li>{}</li>", escape(w));
        });
        s.push_str("</ul>\n");
    }
    pages(&mut s, d);
    over_time(&mut s, d);
    ladder(&mut s, &lines);
    frames(&mut s, r);
    s.push_str("</main></html>\n");
    s
}

fn verdict(s: &mut String, r: &Report) {
    let class = match r.delivered {
        Some(true) => "good",
        Some(false) => "bad",
        None => "",
    };
    let words = if r.verdict.is_empty() { "Nothing was recognised on this recording." } else { &r.verdict };
    let _ = write!(s, "<div class=\"verdict {class}\">{}", escape(words));
    if !r.reason.is_empty() {
        let _ = write!(s, "<small>T.30: {}</small>", escape(&r.reason));
    }
    s.push_str("</div>\n");
}

/// Digits and caller ID: what people look for first.
fn facts(s: &mut String, r: &Report) {
    let digits: String = r.digits.iter().map(|d| d.digit).collect();
    if digits.is_empty() && r.caller_id.is_empty() {
        return;
    }
    s.push_str("<table>");
    if !digits.is_empty() {
        let _ = write!(s, "<tr><th>Digits</th><td class=\"mono\">{}</td></tr>", escape(&digits));
    }
    for c in &r.caller_id {
        let number = if c.number.is_empty() { c.number_absent } else { &c.number };
        let name = if c.name.is_empty() { c.name_absent } else { c.name.trim() };
        let _ = write!(
            s,
            "<tr><th>Caller ID</th><td>{} {} <span class=soft>{} ({})</span></td></tr>",
            escape(number),
            escape(name),
            escape(&c.date),
            c.standard
        );
    }
    s.push_str("</table>\n");
}

fn pages(s: &mut String, d: &Decoded) {
    if d.report.pages.is_empty() {
        return;
    }
    s.push_str("<h2>Pages</h2><div class=\"pages\">\n");
    for (i, p) in d.report.pages.iter().enumerate() {
        let file = d.page_files.get(i).and_then(|f| f.file_name()).map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        s.push_str("<figure>");
        let mut picture = Vec::new();
        if i < PAGES_SHOWN && png::write_page(&mut picture, &p.image, PAGE_COLUMNS).is_ok() {
            let link = escape(&file.replace(".tif", ".png"));
            let _ =
                write!(s, "<a href=\"{link}\"><img alt=\"page {}\" src=\"data:image/png;base64,{}\"></a>", i + 1, base64::encode(&picture));
        }
        let _ = writeln!(
            s,
            "<figcaption><b>Page {}</b> {}<br><a href=\"{file}\">{file}</a></figcaption></figure>",
            i + 1,
            escape(&page(&d.report, i)),
            file = escape(&file)
        );
    }
    s.push_str("</div>\n");
}

/// Level and spectrogram of each channel on one axis of time.
fn over_time(s: &mut String, d: &Decoded) {
    let r = &d.report;
    let seconds = r.seconds.max(0.1);
    let sides = d.spectrograms.len();
    let name = |channel: usize| match (sides, channel) {
        (2, 0) => ("Caller", "caller"),
        (2, _) => ("Answerer", "answerer"),
        (_, _) => ("", "unknown"),
    };
    let heard: Vec<usize> = (0..sides).filter(|c| d.spectrograms[*c].columns() > 0).collect();
    if heard.is_empty() {
        return;
    }
    let x = |t: f64| MARGIN + (t / seconds).clamp(0.0, 1.0) * WIDTH;
    s.push_str("<h2>Over time</h2><div class=\"card\">\n");
    // Of a single line nothing needs naming.
    let caption = if sides == 2 { 30.0 } else { 14.0 };
    let (level_height, picture_height) = (90.0, 140.0);
    let has_phases = !r.phases.is_empty();
    let top = if has_phases { 24.0 } else { 4.0 };
    let height = top + level_height + 22.0 + heard.len() as f64 * (picture_height + caption) + 24.0;
    let _ = writeln!(s, "<svg width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\">", WIDTH + MARGIN + 12.0);
    for (i, p) in r.phases.iter().enumerate() {
        let (from, to) = (x(p.t), x(p.end));
        let shade = if i % 2 == 0 { "#e8edf5" } else { "#dbe3ef" };
        let _ = write!(
            s,
            "<rect x=\"{from:.1}\" y=\"2\" width=\"{:.1}\" height=\"16\" fill=\"{shade}\"><title>phase {}: {:.2} to {:.2} s</title></rect>",
            to - from,
            p.phase,
            p.t,
            p.end
        );
        if to - from > 14.0 {
            let _ = write!(s, "<text class=\"soft\" x=\"{:.1}\" y=\"14\" text-anchor=\"middle\">{}</text>", (from + to) / 2.0, p.phase);
        }
    }
    if has_phases {
        let _ = write!(s, "<text class=\"soft\" x=\"0\" y=\"14\">phase</text>");
    }
    levels(s, r, &name, top, level_height, &x);
    let mut y = top + level_height + 22.0;
    for channel in heard {
        y += caption;
        picture(s, &d.spectrograms[channel], name(channel), y, picture_height, &x);
        y += picture_height;
    }
    seconds_axis(s, seconds, y, &x);
    s.push_str("</svg></div>\n");
}

fn levels(s: &mut String, r: &Report, name: &dyn Fn(usize) -> (&'static str, &'static str), top: f64, height: f64, x: &dyn Fn(f64) -> f64) {
    let y = |db: f64| top + height * (db / -60.0).clamp(0.0, 1.0);
    for db in [0, -20, -40, -60] {
        let at = y(f64::from(db));
        let _ = write!(
            s,
            "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#e4e8ef\"/><text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{db}</text>",
            MARGIN + WIDTH,
            MARGIN - 6.0,
            at + 4.0
        );
    }
    let _ = write!(s, "<text class=\"soft\" x=\"{MARGIN}\" y=\"{}\">level, dBm0", top + height + 15.0);
    for (channel, _) in r.levels.iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        let (word, class) = name(channel);
        let _ = write!(s, " <tspan class=\"{class}\" fill=\"var(--{})\">{word}</tspan>", if class == "unknown" { "soft" } else { class });
    }
    s.push_str("</text>\n");
    for (channel, values) in r.levels.iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        // A point a pixel is enough: the loudest of those that fall on it.
        let per_pixel = (values.len() as f64 / WIDTH).ceil().max(1.0) as usize;
        let _ = write!(s, "<polyline class=\"{}\" fill=\"none\" stroke-width=\"1.2\" points=\"", name(channel).1);
        for (i, part) in values.chunks(per_pixel).enumerate() {
            let loudest = part.iter().copied().fold(-90.0f32, f32::max);
            let _ = write!(s, "{:.1},{:.1} ", x((i * per_pixel) as f64 * r.level_step), y(f64::from(loudest)));
        }
        s.push_str("\"/>\n");
    }
}

fn picture(s: &mut String, p: &Spectrogram, (word, class): (&str, &str), y: f64, height: f64, x: &dyn Fn(f64) -> f64) {
    let width = x(p.columns() as f64 * p.column_s()) - MARGIN;
    let _ = write!(
        s,
        "<image x=\"{MARGIN}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{}\"/>",
        base64::encode(&p.png())
    );
    for khz in 0..=4 {
        let at = y + height * (1.0 - f64::from(khz) / (ROWS as f64 * 31.25 / 1000.0));
        let _ = write!(
            s,
            "<line x1=\"{}\" x2=\"{MARGIN}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#9aa3b2\"/><text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{khz} kHz</text>",
            MARGIN - 4.0,
            MARGIN - 6.0,
            at + 4.0
        );
    }
    let _ = writeln!(s, "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{}\">{word}</text>", y - 6.0);
}

fn seconds_axis(s: &mut String, seconds: f64, y: f64, x: &dyn Fn(f64) -> f64) {
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0]
        .into_iter()
        .find(|s| seconds / s <= 14.0)
        .unwrap_or(14_400.0);
    let mut t = 0.0;
    while t <= seconds {
        let _ = write!(
            s,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#9aa3b2\"/><text class=\"soft\" x=\"{0:.1}\" y=\"{3}\" text-anchor=\"middle\">{t} s</text>",
            x(t),
            y,
            y + 5.0,
            y + 18.0
        );
        t += step;
    }
}

/// Frames and carriers as arrows between two life lines, one row an event.
fn ladder(s: &mut String, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    let (left, right, row) = (150.0, 560.0, 26.0);
    let shown = &lines[..lines.len().min(LADDER_MAX)];
    let height = 40.0 + row * shown.len() as f64 + 16.0;
    s.push_str("<h2>Ladder</h2><div class=\"card\">\n");
    let _ = write!(s, "<svg width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\"><defs>", WIDTH + MARGIN + 12.0);
    for side in ["caller", "answerer", "soft", "bad"] {
        let _ = write!(
            s,
            "<marker id=\"to-{side}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 10 5 0 10z\" fill=\"var(--{side})\"/></marker>"
        );
    }
    let _ = writeln!(
        s,
        "</defs><text class=\"name caller\" x=\"{left}\" y=\"18\" text-anchor=\"middle\">Caller</text><text class=\"name answerer\" x=\"{right}\" y=\"18\" text-anchor=\"middle\">Answerer</text>\
         <line x1=\"{left}\" x2=\"{left}\" y1=\"26\" y2=\"{0}\" stroke=\"#b9c2d0\"/><line x1=\"{right}\" x2=\"{right}\" y1=\"26\" y2=\"{0}\" stroke=\"#b9c2d0\"/>",
        height - 8.0
    );
    let mut before = f64::NEG_INFINITY;
    for (i, l) in shown.iter().enumerate() {
        let y = 52.0 + row * i as f64;
        let gap = if l.t - before >= 1.0 && before.is_finite() { format!("+{:.1}", l.t - before) } else { String::new() };
        let _ = write!(
            s,
            "<text class=\"mono soft\" x=\"52\" y=\"{y}\" text-anchor=\"end\">{:.2} s</text><text class=\"soft\" x=\"104\" y=\"{y}\" text-anchor=\"end\">{gap}</text>",
            l.t
        );
        rung(s, l, y, left, right);
        before = l.t;
    }
    s.push_str("</svg>");
    if shown.len() < lines.len() {
        let _ = write!(s, "<p class=\"soft\">{} more events are in the JSON.</p>", lines.len() - shown.len());
    }
    s.push_str("</div>\n");
}

fn rung(s: &mut String, l: &Line, y: f64, left: f64, right: f64) {
    let class = if l.is_bad { "bad" } else { l.direction.name() };
    let colour = match (l.is_bad, l.direction) {
        (true, _) => "bad",
        (false, Direction::Caller) => "caller",
        (false, Direction::Answerer) => "answerer",
        (false, Direction::Unknown) => "soft",
    };
    let middle = (left + right) / 2.0;
    let arrow = match (l.is_signal, l.direction) {
        (true, Direction::Caller) => Some((left + 3.0, right - 3.0)),
        (true, Direction::Answerer) => Some((right - 3.0, left + 3.0)),
        (true, Direction::Unknown) | (false, _) => None,
    };
    match (arrow, l.direction) {
        (Some((from, to)), _) => {
            let _ = write!(
                s,
                "<line class=\"{class}\" stroke-width=\"1.5\" x1=\"{from}\" x2=\"{to}\" y1=\"{0}\" y2=\"{0}\" marker-end=\"url(#to-{colour})\"/>",
                y + 4.0
            );
            let _ = write!(s, "<text class=\"name {class}\" x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escape(&l.what));
        }
        (None, Direction::Unknown) => {
            let _ = write!(
                s,
                "<line class=\"{class}\" stroke-width=\"1\" stroke-dasharray=\"3 4\" x1=\"{}\" x2=\"{}\" y1=\"{2}\" y2=\"{2}\"/>",
                left + 3.0,
                right - 3.0,
                y + 4.0
            );
            let _ = write!(s, "<text class=\"name {class}\" x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escape(&l.what));
        }
        (None, side) => {
            let (dot, at, anchor) = if side == Direction::Caller { (left, left + 10.0, "start") } else { (right, right - 10.0, "end") };
            let _ = write!(s, "<circle cx=\"{dot}\" cy=\"{}\" r=\"4\" fill=\"var(--{colour})\"/>", y - 4.0);
            let _ = write!(s, "<text class=\"{class}\" x=\"{at}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escape(&l.what));
        }
    }
    let more: String = if l.more.chars().count() > 80 { l.more.chars().take(78).chain("…".chars()).collect() } else { l.more.clone() };
    let _ = writeln!(
        s,
        "<text class=\"{}\" x=\"{}\" y=\"{y}\">{}<title>{}</title></text>",
        if l.is_bad { "bad" } else { "soft" },
        right + 20.0,
        escape(&more),
        escape(&l.more)
    );
}

/// The octets, for who wants to see them.
fn frames(s: &mut String, r: &Report) {
    if r.t30.is_empty() {
        return;
    }
    s.push_str("<details><summary>Octets of the T.30 frames</summary><div class=\"card\"><table><tr><th>t</th><th>from</th><th>frame</th><th>octets</th><th>says</th></tr>");
    for f in r.t30.iter().take(LADDER_MAX) {
        let _ = write!(
            s,
            "<tr><td>{:.2}</td><td>{}</td><td>{}</td><td class=\"mono\" style=\"overflow-wrap:anywhere;max-width:420px\">{}</td><td>{}</td></tr>",
            f.t,
            f.direction.name(),
            escape(&f.frame),
            escape(&f.hex),
            escape(&f.text)
        );
    }
    s.push_str("</table></div></details>\n");
}

fn escape(text: &str) -> String {
    let mut s = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => s.push_str("&lt;"),
            '>' => s.push_str("&gt;"),
            '&' => s.push_str("&amp;"),
            '"' => s.push_str("&quot;"),
            c if c.is_control() => s.push('\u{FFFD}'),
            c => s.push(c),
        }
    }
    s
}
