//! `backup`, `restore`, `export`, `import`: what is done with a directory's data beside the daemon.

use super::{Daemon, Outcome, accounts, config_path, problems};
use crate::config;
use crate::config::directory::Config;
use crate::shell::tables::{self, Table};
use crate::shell::{backup, state_folder};
use serde_json::json;
use std::path::Path;

fn config_of(daemon: &Daemon) -> Result<Config, Outcome> {
    let path = config_path(daemon)?;
    config::directory(&path).map_err(|found| problems(&found))
}

pub fn backup(daemon: &Daemon, out: &Path) -> Outcome {
    let config = match config_of(daemon) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    match backup::backup(&config, out) {
        Ok(held) => {
            if daemon.json {
                println!("{}", json!({"file": out, "schema": held.schema, "rows": held.rows, "unreadable": held.unreadable}));
            } else {
                println!("{}: {} rows", out.display(), held.rows);
            }
            Outcome::Yes
        }
        Err(e) => Outcome::Unusable(e.to_string()),
    }
}

pub fn restore(daemon: &Daemon, file: &Path) -> Outcome {
    let config = match config_of(daemon) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    match backup::restore(&config, file) {
        Ok((held, before)) => {
            if daemon.json {
                println!("{}", json!({"schema": held.schema, "rows": held.rows, "unreadable": held.unreadable, "before": before}));
            } else {
                println!("{}: {} rows are in place", file.display(), held.rows);
                if let Some(before) = before {
                    println!("what was there before lies in {}", before.display());
                }
            }
            Outcome::Yes
        }
        Err(e) => Outcome::Unusable(e.to_string()),
    }
}

pub fn export(daemon: &Daemon, table: Table, out: Option<&Path>, with_hashes: bool) -> Outcome {
    let config = match config_of(daemon) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    let (text, count) = match tables::export(&config, table, with_hashes) {
        Ok(exported) => exported,
        Err(e) => return Outcome::Unusable(e.to_string()),
    };
    let Some(out) = out else {
        print!("{text}");
        return Outcome::Yes;
    };
    // Who is where, and whoever's hashes: for the owner's eyes.
    if let Err(e) = state_folder::put(out, text.as_bytes(), 0o600) {
        return Outcome::Unusable(format!("{}: {e}", out.display()));
    }
    if daemon.json {
        println!("{}", json!({"file": out, "rows": count}));
    } else {
        println!("{}: {count} rows", out.display());
    }
    Outcome::Yes
}

pub fn import(daemon: &Daemon, table: Table, file: &Path) -> Outcome {
    let config = match config_of(daemon) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => return Outcome::Unusable(format!("{}: {e}", file.display())),
    };
    match tables::import(&config, table, &text) {
        Ok(count) => accounts::counted(daemon, count, "rows"),
        Err(e) => Outcome::Unusable(format!("{}: {e}", file.display())),
    }
}
