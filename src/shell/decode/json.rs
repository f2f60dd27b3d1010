//! The report as the JSON that scripts rely on: every key always there.

use super::Decoded;
use serde_json::{Value, json};

/// The object.
pub fn of(d: &Decoded) -> Value {
    let r = &d.report;
    let pages: Vec<Value> = r
        .pages
        .iter()
        .enumerate()
        .map(|(i, p)| {
            json!({
                "file": d.page_files.get(i).map_or_else(String::new, |f| f.display().to_string()),
                "t": ms(p.t), "direction": p.direction.name(),
                "columns": p.columns, "rows": p.rows, "bad_rows": p.bad_rows, "coding": p.coding, "resolution": p.resolution, "ecm": p.ecm,
                "bps": p.bps, "modem": p.modem, "frames_missing": p.frames_missing,
            })
        })
        .collect();
    json!({
        "file": d.file.display().to_string(),
        "seconds": ms(r.seconds),
        "digits": r.digits.iter().map(|x| json!({"t": ms(x.t), "digit": x.digit.to_string(), "ms": x.ms, "direction": x.direction.name()})).collect::<Vec<_>>(),
        "tones": r.tones.iter().map(|x| json!({"t": ms(x.t), "kind": x.kind.name(), "ms": x.ms, "direction": x.direction.name(), "text": x.text})).collect::<Vec<_>>(),
        "caller_id": r.caller_id.iter().map(|x| json!({
            "t": ms(x.t), "standard": x.standard, "format": x.format, "number": x.number, "name": x.name, "date": x.date,
            "number_absent": x.number_absent, "name_absent": x.name_absent, "checksum_ok": x.checksum_ok,
        })).collect::<Vec<_>>(),
        "t30": r.t30.iter().map(|x| json!({
            "t": ms(x.t), "direction": x.direction.name(), "frame": x.frame, "hex": x.hex, "crc_ok": x.crc_ok, "text": x.text,
        })).collect::<Vec<_>>(),
        "training": r.training.iter().map(|x| json!({
            "t": ms(x.t), "direction": x.direction.name(), "modem": x.modem, "bps": x.bps, "tcf_ok": x.tcf_ok, "trained": x.trained,
            "short": x.short, "zeros_ms": x.zeros_ms,
        })).collect::<Vec<_>>(),
        "pages": pages,
        "srtp": d.srtp.iter().map(|s| json!({
            "ssrc": format!("{:08x}", s.ssrc), "packets": s.packets, "authenticated": s.authenticated,
        })).collect::<Vec<_>>(),
        "phases": r.phases.iter().map(|p| json!({"t": ms(p.t), "end": ms(p.end), "phase": p.phase.to_string()})).collect::<Vec<_>>(),
        "turns": r.turns.iter().map(|t| json!({"t": ms(t.t), "after": ms(t.after), "direction": t.direction.name(), "text": t.text})).collect::<Vec<_>>(),
        "verdict": r.verdict,
        "reason": r.reason,
        "delivered": r.delivered,
        "warnings": r.warnings,
    })
}

/// To the millisecond.
fn ms(t: f64) -> f64 {
    (t * 1000.0).round() / 1000.0
}
