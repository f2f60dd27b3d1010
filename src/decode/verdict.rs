//! The judgement: one sentence for whoever answers the phone, and the words an engineer searches for.

use super::report::{Report, ToneKind};
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
    let heard = |answerer: bool| {
        report.t30.iter().any(|f| f.crc_ok && f.direction == if answerer { super::Direction::Answerer } else { super::Direction::Caller })
    };
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
        FaxResult::Delivered => format!("A fax of {confirmed} went through: the receiving machine confirmed the last page{damage}."),
        FaxResult::NoCommand if heard(true) && !heard(false) && record.sender.is_none() => {
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
        FaxResult::PageRefused => "The receiving machine refused the last page because it arrived too badly damaged.".into(),
        FaxResult::DisconnectedAfterPage => "The receiving machine hung up after a page instead of confirming it.".into(),
        FaxResult::Dropped => format!("The call ended early: {confirmed} arrived and were confirmed, and more was to come."),
    };
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
