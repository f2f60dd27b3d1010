//! The judgement: one sentence for whoever answers the phone, and the words an engineer searches for.

use super::report::{Direction, Report, ToneKind};
use crate::fax::t30::observer::{FaxRecord, FaxResult};

/// Writes the verdict of a fax call, or of what else was on the line, into the report.
pub fn judge(report: &mut Report, fax: Option<FaxRecord>) {
    match fax {
        Some(record) => of_fax(report, &record),
        None => report.verdict = of_other(report),
    }
}

fn pages(n: usize) -> String {
    if n == 1 { "1 page".into() } else { format!("{n} pages") }
}

fn of_fax(report: &mut Report, record: &FaxRecord) {
    let result = record.result.unwrap_or(FaxResult::NobodySpoke);
    // Both sides have to be on the recording for a judgement of how it ended.
    let heard = |side: Direction| report.t30.iter().any(|f| f.crc_ok && f.direction == side);
    if let Some(side) = only_side(report) {
        return of_half(report, record, side);
    }
    let seen = pages(report.pages.len());
    let bad: u32 = report.pages.iter().map(|p| p.bad_rows).sum();
    let damage = match bad {
        0 => String::new(),
        1 => ", one row of it damaged on this line".into(),
        n => format!(", {n} rows damaged on this line"),
    };
    let confirmed = pages(usize::from(record.pages));
    report.delivered = Some(record.delivered());
    report.reason = record.words();
    report.verdict = match result {
        FaxResult::NoCommand | FaxResult::NobodySpoke if ends_early(report) => {
            "The recording ends while the fax machines were still introducing themselves.".into()
        }
        FaxResult::NoResponseToDcs | FaxResult::CannotTrain(_) if ends_early(report) => {
            "The recording ends while the fax machines were still trying out the line.".into()
        }
        FaxResult::CarrierLost if ends_early(report) && report.pages.is_empty() => {
            "The recording ends just as the fax was to be sent.".into()
        }
        FaxResult::CarrierLost if ends_early(report) => {
            "The recording ends in the middle of a page; its beginning can be seen here.".into()
        }
        FaxResult::NoResponseToPage if ends_early(report) => {
            format!("The recording ends after {seen}, before the receiving machine could confirm the last one.")
        }
        FaxResult::NotCorrected if ends_early(report) => {
            "The recording ends while damaged parts of a page were still to be sent again.".into()
        }
        FaxResult::Dropped if ends_early(report) => {
            format!("The recording ends before the call does: {confirmed} confirmed so far, and more was to come.")
        }
        FaxResult::Delivered => format!("A fax of {confirmed} went through: the receiving machine confirmed the last page{damage}."),
        FaxResult::NoCommand if heard(Direction::Answerer) && !heard(Direction::Caller) && record.sender.is_none() => {
            "A fax machine answered and said what it can do; the calling machine never replied.".into()
        }
        FaxResult::NobodySpoke | FaxResult::NoCommand => "A fax machine answered, but the two machines never agreed how to send.".into(),
        FaxResult::NoResponseToDcs => {
            "The sending machine said how it would send and tried the line, and the receiving machine did not reply.".into()
        }
        FaxResult::CannotTrain(_) => {
            "The fax failed: the line was too poor for the machines to agree on a speed, at every speed they tried.".into()
        }
        FaxResult::CarrierLost => format!("The fax broke off in the middle of a page ({seen} of it can be seen here)."),
        FaxResult::NoResponseToPage => {
            format!(
                "{seen} {} sent, but the receiving machine never said that it has the last one.",
                if report.pages.len() == 1 { "was" } else { "were" }
            )
        }
        FaxResult::NotReady => {
            "The receiving machine kept saying that it was not ready (out of paper or memory, or busy printing), and never took the last page.".into()
        }
        FaxResult::PageRefused => "The receiving machine refused the last page because it arrived too badly damaged.".into(),
        FaxResult::PageGivenUp => "The fax arrived damaged: the sending machine gave up sending the missing parts of a page again.".into(),
        FaxResult::NotCorrected => {
            "The receiving machine asked for damaged parts of a page again, and the call ended before it had them.".into()
        }
        FaxResult::DisconnectedAfterPage => "The receiving machine hung up after a page instead of confirming it.".into(),
        FaxResult::Dropped => {
            let were = if record.pages == 1 { "was" } else { "were" };
            format!("The call ended early: {confirmed} {were} confirmed by the receiving machine, and more was to come.")
        }
    };
}

/// How long a machine waits for an answer before it speaks again (T.30 timer T4, 3 s): a recording that ends sooner has not heard it out.
const ANSWER_S: f64 = 3.0;

/// Nobody hung up, and there was no time for the next answer.
fn ends_early(report: &Report) -> bool {
    let flags = report.tones.iter().filter(|t| t.kind == ToneKind::V21).map(|t| t.t + f64::from(t.ms) / 1000.0);
    let last = report.phases.iter().map(|p| p.end).chain(flags).fold(0.0, f64::max);
    report.seconds - last < ANSWER_S && !report.t30.iter().any(|f| f.crc_ok && f.frame == "DCN")
}

/// The only side whose frames are on the recording, where they answer frames that are not.
fn only_side(report: &Report) -> Option<Direction> {
    let said = |side: Direction| report.t30.iter().filter(move |f| f.crc_ok && f.direction == side).map(|f| f.frame.as_str());
    let answers = |frame: &str| ANSWERS.contains(&frame);
    match (said(Direction::Caller).count(), said(Direction::Answerer).count()) {
        (0, 1..) if said(Direction::Answerer).any(answers) => Some(Direction::Answerer),
        // A DCS answers a DIS.
        (1.., 0) if said(Direction::Caller).any(|f| f == "DCS" || answers(f)) => Some(Direction::Caller),
        _ => None,
    }
}

/// Frames that nobody sends unasked.
const ANSWERS: &[&str] = &["CFR", "FTT", "CTR", "MCF", "RTP", "RTN", "PIP", "PIN", "PPR", "RNR", "ERR"];

/// How it ended cannot be told by one side alone.
fn of_half(report: &mut Report, record: &FaxRecord, side: Direction) {
    let count = |names: &[&str]| report.t30.iter().filter(|f| f.crc_ok && names.contains(&f.frame.as_str())).count();
    let who = match side {
        Direction::Answerer => "answering",
        Direction::Caller | Direction::Unknown => "calling",
    };
    let sent = report.pages.len();
    let did = match (sent, count(&["MCF", "RTP", "PIP"]), count(&["RTN", "PIN", "FTT"])) {
        (0, 0, 0) => "nothing tells what became of the fax".into(),
        (0, 0, _) => "it was not content with what it got, and what became of the fax cannot be told".into(),
        (0, 1, _) => "it confirmed once that something arrived, and whether that was all cannot be told".into(),
        (0, n, _) => format!("it confirmed {n} times that something arrived, and whether that was all cannot be told"),
        (1, ..) => "it sent 1 page, and whether that arrived cannot be told".into(),
        (n, ..) => format!("it sent {n} pages, and whether they arrived cannot be told"),
    };
    report.verdict = format!("Only the {who} fax machine is heard on this recording: {did}.");
    let rate = record.rate.map_or_else(String::new, |r| format!(", {r}"));
    report.reason = format!("only the frames of the {} are on the recording{rate}", side.name());
    report.delivered = None;
}

fn of_other(report: &Report) -> String {
    let has = |kind: ToneKind| report.tones.iter().any(|t| t.kind == kind);
    let digits: String = report.digits.iter().map(|d| d.digit).collect();
    let dialled = if digits.is_empty() { String::new() } else { format!(" after dialling {digits}") };
    if report.tones.iter().any(|t| t.kind == ToneKind::Modem && t.text.contains("fax")) {
        return "Two fast fax machines agreed to use V.34, which this program does not read.".into();
    }
    if has(ToneKind::Modem) {
        return format!("A data modem called another{dialled}; this is no fax.");
    }
    if let Some(id) = report.caller_id.first() {
        let who = match (id.name.trim(), id.number.as_str()) {
            ("", "") if id.number_absent == "private" => "a caller who withholds the number".to_string(),
            ("", "") => "a caller whose number is not known".to_string(),
            ("", number) => number.to_string(),
            (name, "") => name.to_string(),
            (name, number) => format!("{name}, {number}"),
        };
        let more = match report.caller_id.len() {
            1 => String::new(),
            n => format!(" ({n} calls in all)"),
        };
        return format!("The phone was told who is calling: {who}{more}.");
    }
    if has(ToneKind::V21) {
        return "A fax machine began to speak, but nothing it said could be read.".into();
    }
    if has(ToneKind::Cng) && (has(ToneKind::Ced) || has(ToneKind::Ansam)) {
        return "A fax machine called and a machine answered, but they never spoke to each other.".into();
    }
    if has(ToneKind::Cng) {
        return format!("A fax machine called{dialled}, and no fax machine answered.");
    }
    if has(ToneKind::Ced) || has(ToneKind::Ansam) {
        return "A machine answered with its tone, and nothing came of it.".into();
    }
    let end = match () {
        () if has(ToneKind::Busy) => Some("was busy"),
        () if has(ToneKind::Reorder) => Some("could not be reached"),
        () if has(ToneKind::Ringback) => Some("rang"),
        () => None,
    };
    match (digits.is_empty(), end) {
        (false, Some(end)) => format!("Somebody dialled {digits}, and the line {end}."),
        (false, None) => format!("Somebody dialled {digits}; there is no fax on this recording."),
        (true, Some(end)) => format!("The line {end}; there is no fax on this recording."),
        (true, None) => "There is no fax, no modem and no dialling on this recording.".into(),
    }
}
