//! Call records on disk: one JSON line a call in `calls.jsonl`. Names are fixed; add beside them.

use super::clock::rfc3339;
use crate::call::{CallRecord, PeerSays};
use serde_json::{Value, json};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file. A record that cannot be written is logged in full instead, so that it is not lost.
pub struct RecordsFile {
    path: PathBuf,
    file: Option<std::fs::File>,
}

impl RecordsFile {
    /// Opens (or starts) the file in the state folder.
    pub fn open(state: &Path) -> Self {
        let path = state.join("calls.jsonl");
        let file = std::fs::OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file = file.and_then(|mut file| end_the_last_line(&mut file).map(|()| file));
        if let Err(e) = &file {
            tracing::error!("{}: {e}; call records go to the log", path.display());
        }
        RecordsFile { path, file: file.ok() }
    }

    /// Appends one record.
    pub fn write(&mut self, record: &CallRecord) {
        let line = format!("{}\n", to_json(record));
        let written = self.file.as_mut().map(|f| f.write_all(line.as_bytes()).and_then(|()| f.flush()));
        if !matches!(written, Some(Ok(()))) {
            tracing::error!("{} cannot be written: {}", self.path.display(), line.trim_end());
        }
    }
}

/// A crash in the middle of a line must not spoil the next one.
fn end_the_last_line(file: &mut std::fs::File) -> std::io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// The record as JSON.
pub fn to_json(r: &CallRecord) -> Value {
    let audio = r.audio.as_ref().map(|(codec, a)| {
        let expected = a.received + a.lost;
        json!({
            "codec": codec, "sent": a.sent, "received": a.received, "lost": a.lost,
            "loss_pct": if expected == 0 { 0.0 } else { round2(100.0 * a.lost as f64 / expected as f64) },
            "late": a.late, "duplicate": a.duplicate, "garbage": a.garbage, "foreign": a.foreign,
            "jitter_ms": round2(f64::from(a.jitter_ms)), "playout_delay_ms": a.playout_delay_ms, "concealed_ms": a.concealed_ms,
            "rtt_ms": a.rtt_ms.map(|v| round2(f64::from(v))), "drift_ppm": round2(f64::from(a.drift_ppm)),
            "digits_sent": a.digits_sent, "digits_received": a.digits_received, "far_lost": a.far_lost,
            "srtp": a.protected_by, "srtp_dropped": a.srtp.malformed + a.srtp.not_encrypted + a.srtp.replayed + a.srtp.not_authentic + a.without_keys,
        })
    });
    json!({
        "call": r.call, "sip_call_id": r.sip_call_id, "direction": r.direction.word(), "from": r.from, "private": r.private, "asserted": r.asserted, "to": r.to,
        "diverted_from": r.diverted_from.as_ref().map(|(number, _)| number), "diverted_why": r.diverted_from.as_ref().and_then(|(_, why)| why.as_ref()),
        "ports": r.ports,
        "started": rfc3339(r.started), "answered": r.answered.map(rfc3339), "ended": rfc3339(r.ended),
        "seconds": r.talked_ms.map(|ms| round2(ms as f64 / 1000.0)),
        "route": r.route, "peer": r.peer.map(|p| p.to_string()), "account": r.account, "completed": r.completed, "result": r.result, "q850": r.q850,
        "peer_says": r.peer_says.as_ref().map(peer_says), "fax_choice": r.fax_choice,
        "security": {
            "media": r.protection, "fax": r.fax_protection, "cipher": r.cipher, "peer_key": r.peer_key.map(|k| k.to_string()),
            "verified": r.verified.map(crate::identity::Proof::word), "csi": r.csi, "suspicion": r.suspicion,
        },
        "audio": audio, "fax": r.fax.as_ref().map(fax_json).or_else(|| r.fax_as_audio.then(|| json!({"mode": "g711"}))),
    })
}

/// What the peer answered when it was asked, as in the records and in `calls`.
pub fn peer_says(says: &PeerSays) -> Value {
    match &says.can {
        Some(can) => json!({
            "status": says.status, "t38": can.t38, "audio": can.audio, "vbd": can.vbd, "telephone_event": can.telephone_event,
        }),
        None => json!({"status": says.status, "t38": null}),
    }
}

fn fax_json(f: &crate::fax::t38::relay::FaxStats) -> Value {
    let r = &f.record;
    json!({
        "mode": "t38", "pages": r.pages, "bps": r.bps, "rate": r.rate.map(|v| v.to_string()), "ecm": r.ecm,
        "coding": r.coding.map(|c| format!("{c:?}").to_uppercase()),
        "caller_ident": r.caller_ident.to_string(), "called_ident": r.called_ident.to_string(),
        "result": r.words(), "delivered": r.delivered(), "training_failures": r.training_failures, "repeat_requests": r.repeat_requests,
        "datagrams_in": f.datagrams_in, "datagrams_out": f.datagrams_out, "lost": f.received.lost, "recovered": f.received.by_redundancy + f.received.by_fec,
        "garbage": f.garbage, "foreign": f.foreign,
    })
}

fn round2(v: f64) -> f64 {
    (v * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_short_is_ended_before_the_next() {
        let state = std::env::temp_dir().join(format!("tipring-records-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        let path = state.join("calls.jsonl");
        for (before, after) in [("", ""), ("{}\n", "{}\n"), ("{}\n{\"call", "{}\n{\"call\n")] {
            std::fs::write(&path, before).unwrap();
            let opened = RecordsFile::open(&state);
            assert!(opened.file.is_some());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        std::fs::remove_dir_all(&state).unwrap();
    }
}
