//! Verbs that ask a running daemon, or change it, over its local API.

use super::{Daemon, Outcome, ReservationChange, RouteChange, config_path, problems};
use crate::config::{self, AnyConfig};
use crate::shell::api_client::{self, ApiError};
use crate::shell::state_folder::ADMIN_TOKEN;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Address of the API and the state folder of the daemon that `--config` names.
pub fn api_of(daemon: &Daemon) -> Result<(SocketAddr, PathBuf), Outcome> {
    let path = config_path(daemon)?;
    match config::any(&path).map_err(|found| problems(&found))? {
        AnyConfig::Gateway(c) => Ok((c.api.listen, config::state_root().join(config::name(&path)))),
        AnyConfig::Directory(c) => Ok((c.api.listen, c.state_dir)),
    }
}

/// What an error of the API means for the exit code: a refusal is an answer; silence, or input that cannot be used, is not. One line.
fn failed(error: ApiError) -> Outcome {
    let words = plain(&error.to_string());
    match error {
        ApiError::Unreachable(..) => Outcome::Unusable(format!("{words}; is the daemon running?")),
        // 400: the input is wrong; 401: the state folder is not the daemon's or cannot be read.
        ApiError::Refused(400 | 401, _) => Outcome::Unusable(words),
        ApiError::Refused(..) => {
            eprintln!("{words}");
            Outcome::No
        }
    }
}

/// Text from elsewhere, for a terminal: nothing in it moves the cursor, breaks the line or worse.
fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// Asks the daemon, as its operator.
pub async fn ask(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Outcome> {
    let (api, state) = api_of(daemon)?;
    // A daemon's operator is who can read its state folder.
    let token = std::fs::read_to_string(state.join(ADMIN_TOKEN)).ok();
    api_client::request_as(api, token.as_deref().map(str::trim), method, path, body).await.map_err(failed)
}

/// Whether somebody listens where the daemon's API would.
pub(super) async fn is_running(daemon: &Daemon) -> bool {
    match api_of(daemon) {
        Ok((api, _)) => tokio::net::TcpStream::connect(api).await.is_ok(),
        Err(_) => false,
    }
}

/// A list: JSON as it came, or a table of the named columns.
pub async fn rows(daemon: &Daemon, path: &str, columns: &[&str]) -> Outcome {
    match ask(daemon, "GET", path, None).await {
        Ok(value) => print_rows(daemon, &value, columns),
        Err(outcome) => outcome,
    }
}

pub(super) fn print_rows(daemon: &Daemon, value: &Value, columns: &[&str]) -> Outcome {
    if daemon.json {
        println!("{value}");
        return Outcome::Yes;
    }
    let empty = Vec::new();
    let cell = |row: &Value, column: &str| match row.get(column) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(s)) => plain(s),
        Some(other) => plain(&other.to_string()),
    };
    let mut table: Vec<Vec<String>> = vec![columns.iter().map(|c| (*c).to_owned()).collect()];
    table.extend(value.as_array().unwrap_or(&empty).iter().map(|row| columns.iter().map(|c| cell(row, c)).collect()));
    let width = |i: usize| table.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}", w = *w)).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    Outcome::Yes
}

pub async fn status(daemon: &Daemon) -> Outcome {
    let value = match ask(daemon, "GET", "/v1/status", None).await {
        Ok(value) => value,
        Err(outcome) => return outcome,
    };
    if daemon.json {
        println!("{value}");
        return Outcome::Yes;
    }
    print_tree(&value, 0);
    Outcome::Yes
}

/// A JSON object as indented `name: value` lines.
pub(super) fn print_tree(value: &Value, depth: usize) {
    let Some(object) = value.as_object() else { return };
    for (key, value) in object {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                println!("{indent}{key}:");
                print_tree(value, depth + 1);
            }
            Value::Array(rows) => {
                println!("{indent}{key}:");
                for row in rows {
                    let words: Vec<String> = row.as_object().map_or_else(
                        || vec![row.to_string()],
                        |o| {
                            o.values()
                                .map(|v| v.as_str().map_or_else(|| if v.is_null() { "-".into() } else { v.to_string() }, str::to_owned))
                                .collect()
                        },
                    );
                    println!("{indent}  {}", plain(&words.join("  ")));
                }
            }
            Value::String(s) => println!("{indent}{key}: {}", plain(s)),
            other => println!("{indent}{key}: {other}"),
        }
    }
}

pub async fn lookup(daemon: &Daemon, number: &str) -> Outcome {
    match ask(daemon, "GET", &format!("/v1/lookup/{number}"), None).await {
        Ok(value) => {
            // A gateway says `found`, a directory `status`.
            let found =
                value.get("found").and_then(Value::as_bool).unwrap_or_else(|| value.get("status").and_then(Value::as_str) == Some("found"));
            if daemon.json {
                println!("{value}");
            } else {
                print_tree(&value, 0);
            }
            if found { Outcome::Yes } else { Outcome::No }
        }
        Err(outcome) => outcome,
    }
}

pub(super) async fn change(daemon: &Daemon, method: &str, path: &str, body: Option<Value>) -> Outcome {
    match ask(daemon, method, path, body.as_ref()).await {
        Ok(value) => {
            if daemon.json {
                println!("{value}");
            }
            Outcome::Yes
        }
        Err(outcome) => outcome,
    }
}

pub async fn routes(daemon: &Daemon, wanted: Option<RouteChange>) -> Outcome {
    match wanted {
        None | Some(RouteChange::List) => {
            rows(daemon, "/v1/routes", &["number", "contact", "learned_at", "expires_at", "fingerprint", "signed"]).await
        }
        Some(RouteChange::Add { number, contact, fingerprint, days }) => {
            let route = json!({"number": number, "contact": contact, "fingerprint": fingerprint, "days": days});
            change(daemon, "POST", "/v1/routes", Some(route)).await
        }
        Some(RouteChange::Edit { number, contact, fingerprint, no_fingerprint, days }) => {
            let known = match ask(daemon, "GET", "/v1/routes", None).await {
                Ok(rows) => rows.as_array().and_then(|rows| rows.iter().find(|r| r["number"] == number.as_str())).cloned(),
                Err(outcome) => return outcome,
            };
            let Some(known) = known else {
                eprintln!("no learned route to {}", plain(&number));
                return Outcome::No;
            };
            let contact = contact.map_or_else(|| known["contact"].clone(), Value::from);
            let fingerprint = match fingerprint {
                Some(fingerprint) => Value::from(fingerprint),
                None if no_fingerprint => Value::Null,
                None => known["fingerprint"].clone(),
            };
            let route = json!({"number": number, "contact": contact, "fingerprint": fingerprint, "days": days});
            change(daemon, "POST", "/v1/routes", Some(route)).await
        }
        Some(RouteChange::Remove { number }) => change(daemon, "DELETE", &format!("/v1/routes/{number}"), None).await,
    }
}

pub async fn registrations(daemon: &Daemon) -> Outcome {
    let mut after = String::new();
    let mut all = Vec::new();
    loop {
        // The directory answers in pages, so that a list of a million numbers holds nobody up.
        let page = match ask(daemon, "GET", &format!("/v1/registrations{after}"), None).await {
            Ok(page) => page,
            Err(outcome) => return outcome,
        };
        all.extend(page.get("registrations").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("?from={next}"),
            None => break,
        }
    }
    // Terminals that are always on stand among them, without a user and an end.
    let fixed = match ask(daemon, "GET", "/v1/settings", None).await {
        Ok(Value::Array(rows)) => rows,
        Ok(_) => Vec::new(),
        Err(outcome) => return outcome,
    };
    let live = |number: &Value| all.iter().any(|row| row["number"] == *number && !row["contact"].is_null());
    let always: Vec<Value> = fixed
        .into_iter()
        .filter(|row| row["fixed"].is_string() && !live(&row["number"]))
        .map(|row| {
            json!({"number": row["number"], "user": null, "contact": row["fixed"], "transport": row.get("fixed_transport"),
                   "fingerprint": row.get("fixed_fingerprint"), "expires_in_s": null, "always_on": true})
        })
        .collect();
    all.extend(always);
    print_rows(daemon, &Value::Array(all), &["number", "user", "contact", "expires_in_s", "fingerprint", "proven"])
}

pub async fn reservations(daemon: &Daemon, wanted: Option<ReservationChange>) -> Outcome {
    match wanted {
        None | Some(ReservationChange::List) => rows(daemon, "/v1/reservations", &["number", "user", "mac"]).await,
        Some(ReservationChange::Add { number, user, mac }) => {
            change(daemon, "POST", "/v1/reservations", Some(json!({"number": number, "user": user, "mac": mac}))).await
        }
        Some(ReservationChange::Remove { number }) => change(daemon, "DELETE", &format!("/v1/reservations/{number}"), None).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{9b}d\u{7f}"), "a\\u{1b}[2Jb\\nc\\u{9b}d\\u{7f}");
        assert_eq!(plain("Zoë 2001, \"quoted\""), "Zoë 2001, \"quoted\"");
    }

    #[test]
    fn wrong_input_is_unusable_and_a_refusal_is_a_no() {
        let outcome = |status| failed(ApiError::Refused(status, "no\nno".into()));
        assert!(matches!(outcome(400), Outcome::Unusable(words) if !words.contains('\n')));
        assert!(matches!(outcome(401), Outcome::Unusable(_)));
        assert!(matches!(outcome(404), Outcome::No));
        assert!(matches!(outcome(409), Outcome::No));
        let silent = failed(ApiError::Unreachable(([127, 0, 0, 1], 1).into(), "refused".into()));
        assert!(matches!(silent, Outcome::Unusable(words) if words.contains("127.0.0.1:1") && !words.contains('\n')));
    }
}
