//! `tipring sim`: hands for the simulated machines of a running gateway.

use super::ask::{api_of, ask};
use super::{Daemon, Outcome};
use crate::api::gateway::SimAction;
use clap::Subcommand;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Action {
    /// Lift the receiver (a ringing phone is answered)
    OffHook,
    /// Hang up
    OnHook,
    /// Press the flash key
    Flash,
    /// Press keys
    Dial {
        /// The keys
        digits: String,
        /// Dial pulses
        #[arg(long)]
        pulse: bool,
    },
    /// Speak a WAV file (8 kHz) into the receiver
    Play {
        /// The file
        file: PathBuf,
    },
    /// Record what the receiver gives out until `stop-recording`; the file is there when that has returned
    Record {
        /// The file to write
        file: PathBuf,
    },
    /// End the recording
    StopRecording,
    /// Put pages into the fax machine and dial
    SendFax {
        /// The number
        number: String,
        /// Bilevel TIFF files
        #[arg(required = true)]
        pages: Vec<PathBuf>,
    },
    /// Dial, and receive what the called machine has to send
    FetchFax {
        /// The number
        number: String,
    },
    /// Copy the faxes that the machine has received into a folder
    Received {
        /// The folder
        dir: PathBuf,
    },
    /// What the machine noticed
    Notes,
}

pub async fn run(daemon: &Daemon, port: &str, action: Action) -> Outcome {
    let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let action = match action {
        Action::OffHook => SimAction::OffHook,
        Action::OnHook => SimAction::OnHook,
        Action::Flash => SimAction::Flash,
        Action::Dial { digits, pulse } => SimAction::Dial { digits, pulse },
        Action::Play { file } => SimAction::Play { file: full(&file) },
        Action::Record { file } => SimAction::Record { file: full(&file) },
        Action::StopRecording => SimAction::StopRecording,
        Action::SendFax { number, pages } => SimAction::SendFax { number, pages: pages.iter().map(|p| full(p)).collect() },
        Action::FetchFax { number } => SimAction::FetchFax { number },
        Action::Received { dir } => {
            return match api_of(daemon) {
                Ok((_, state)) => received(&state, port, &dir, daemon.json),
                Err(outcome) => outcome,
            };
        }
        Action::Notes => return super::ask::rows(daemon, &format!("/v1/sim/{port}"), &["seq", "at", "what", "ok", "detail"]).await,
    };
    let body = match serde_json::to_value(&action) {
        Ok(body) => body,
        Err(e) => return Outcome::Unusable(e.to_string()),
    };
    match ask(daemon, "POST", &format!("/v1/sim/{port}"), Some(&body)).await {
        Ok(answer) => {
            if daemon.json {
                println!("{answer}");
            }
            Outcome::Yes
        }
        Err(outcome) => outcome,
    }
}

fn received(state: &Path, port: &str, dir: &Path, json: bool) -> Outcome {
    let from = crate::shell::simulate::received_folder(state, port);
    let unusable = |path: &Path, e: std::io::Error| Outcome::Unusable(format!("{}: {e}", path.display()));
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&from) {
        Ok(entries) => entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "tif")).collect(),
        Err(e) => return unusable(&from, e),
    };
    let written = |p: &PathBuf| p.metadata().and_then(|m| m.modified()).ok();
    files.sort_by_key(|p| (written(p), p.clone()));
    if let Err(e) = std::fs::create_dir_all(dir) {
        return unusable(dir, e);
    }
    let mut copied = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let to = dir.join(format!("received-{}.tif", i + 1));
        if let Err(e) = std::fs::copy(file, &to) {
            return unusable(&to, e);
        }
        copied.push(to.display().to_string());
    }
    if json {
        println!("{}", serde_json::json!({ "received": copied }));
    } else {
        copied.iter().for_each(|f| println!("{f}"));
    }
    if copied.is_empty() { Outcome::No } else { Outcome::Yes }
}
