//! `tipring audit`: whether the audit trail of a daemon is whole. It is read where it lies, whether the daemon runs or not.

use super::identity::state_of;
use super::{Daemon, Outcome};
use crate::audit::{hex, unhex};
use crate::shell::audit_file::{self, Verdict};
use clap::Subcommand;
use serde_json::json;
use std::time::Duration;

#[derive(Subcommand)]
pub(super) enum Ask {
    /// Read it all, and name the first line that does not belong
    Verify {
        /// The first line that is still here, where the files before it were put elsewhere
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// A head that was noted before: the trail must hold that line
        #[arg(long)]
        head: Option<String>,
    },
}

pub(super) async fn run(daemon: &Daemon, ask: Ask) -> Outcome {
    let Ask::Verify { from, head } = ask;
    let wanted = match head.as_deref().map(|text| unhex(text).ok_or(text)) {
        Some(Err(text)) => return Outcome::Unusable(format!("--head {text:?} is not 64 digits of hex")),
        Some(Ok(wanted)) => Some(wanted),
        None => None,
    };
    let (state, _) = match state_of(daemon) {
        Ok(state) => state,
        Err(outcome) => return outcome,
    };
    let mut tries = 0;
    loop {
        match audit_file::verify(&state, from, wanted) {
            Err(e) => return Outcome::Unusable(format!("{}: {e}", state.display())),
            // A daemon that writes meanwhile is ahead of the head that we read first.
            Ok(verdict) if verdict.fault.is_some() && tries < 5 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                drop(verdict);
            }
            Ok(verdict) => return told(daemon, &verdict),
        }
    }
}

fn told(daemon: &Daemon, verdict: &Verdict) -> Outcome {
    let Verdict { lines, files, head, fault, misses } = verdict;
    let ok = fault.is_none() && !misses;
    let words = match fault {
        Some((file, line, fault)) => format!("{file}: line {line} {fault}"),
        None if *misses => "the head that was noted is not in this trail: it was made anew since".to_owned(),
        None => format!("{lines} lines in {files} files, whole; head {}", hex(&head.hash)),
    };
    if daemon.json {
        let bad = fault.as_ref().map(|(file, line, fault)| json!({"file": file, "line": line, "why": fault.to_string()}));
        println!("{}", json!({"ok": ok, "lines": lines, "files": files, "head": hex(&head.hash), "first_bad": bad, "words": words}));
    } else if ok {
        println!("{words}");
    } else {
        eprintln!("{words}");
    }
    if ok { Outcome::Yes } else { Outcome::No }
}
