//! `tipring accounts`: terminals' accounts and people, listed, made, removed, imported. Passwords are read from the terminal without
//! showing them, or as one line of standard input; never from the command line, which others on the machine can read.

use super::{AccountChange, Daemon, Outcome, ask, config_path, problems};
use crate::config;
use crate::shell::state_folder::FIRST_ADMIN_TOKEN;
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

pub async fn run(daemon: &Daemon, wanted: Option<AccountChange>) -> Outcome {
    match wanted {
        None | Some(AccountChange::List) => list(daemon).await,
        Some(AccountChange::Add { user, role: Some(role), number, account, keep_password }) => {
            let mut person = json!({"user": user, "role": role, "numbers": number, "accounts": account});
            if !keep_password {
                match password() {
                    Ok(password) => person["password"] = password.into(),
                    Err(outcome) => return outcome,
                }
            }
            ask::change(daemon, "POST", "/v1/people", Some(person)).await
        }
        Some(AccountChange::Add { user, role: None, number, .. }) => {
            if number.len() > 1 {
                return Outcome::Unusable("a terminal's account has one number of its own; reserve further ones for it".into());
            }
            match password() {
                Ok(password) => {
                    let account = json!({"user": user, "number": number.first(), "password": password});
                    ask::change(daemon, "POST", "/v1/accounts", Some(account)).await
                }
                Err(outcome) => outcome,
            }
        }
        Some(AccountChange::Remove { user, person }) => {
            let table = if person { "people" } else { "accounts" };
            ask::change(daemon, "DELETE", &format!("/v1/{table}/{user}"), None).await
        }
        Some(AccountChange::Import { file, role: None }) => import(daemon, &file),
        Some(AccountChange::Import { file, role: Some(role) }) => import_people(daemon, &file, &role).await,
        Some(AccountChange::FirstAdmin { user, token }) => first_admin(daemon, &user, token).await,
    }
}

async fn list(daemon: &Daemon) -> Outcome {
    let lists = (ask::ask(daemon, "GET", "/v1/accounts", None).await, ask::ask(daemon, "GET", "/v1/people", None).await);
    let (terminals, people) = match lists {
        (Ok(terminals), Ok(people)) => (terminals, people),
        (Err(outcome), _) | (_, Err(outcome)) => return outcome,
    };
    let rows = |list: Value| list.as_array().cloned().unwrap_or_default();
    let words = |list: &Value| list.as_array().map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    let mut all = Vec::new();
    for mut row in rows(terminals) {
        row["role"] = "terminal".into();
        all.push(row);
    }
    for row in rows(people) {
        let mine = [words(&row["accounts"]), words(&row["numbers"])].into_iter().flatten().filter(|w| !w.is_empty()).collect::<Vec<_>>();
        let number = if mine.is_empty() { Value::Null } else { mine.join(" ").into() };
        all.push(
            json!({"user": row["user"], "number": number, "role": row["role"], "accounts": row["accounts"], "numbers": row["numbers"]}),
        );
    }
    ask::print_rows(daemon, &Value::Array(all), &["user", "role", "number"])
}

fn import(daemon: &Daemon, file: &Path) -> Outcome {
    let path = match config_path(daemon) {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    let config = match config::directory(&path) {
        Ok(config) => config,
        Err(found) => return problems(&found),
    };
    match crate::shell::accounts::import(&config, file) {
        Ok(count) => counted(daemon, count, "accounts"),
        Err(e) => Outcome::Unusable(format!("{}: {e}", file.display())),
    }
}

/// How many there were.
pub(super) fn counted(daemon: &Daemon, count: usize, what: &str) -> Outcome {
    if daemon.json {
        println!("{}", json!({"imported": count}));
    } else {
        println!("{count} {what}");
    }
    Outcome::Yes
}

async fn import_people(daemon: &Daemon, file: &Path, role: &str) -> Outcome {
    let unusable = |line: usize, why: &str| Outcome::Unusable(format!("{}: line {line}: {why}", file.display()));
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => return Outcome::Unusable(format!("{}: {e}", file.display())),
    };
    let rows = match crate::shell::csv::read(&text) {
        Ok(rows) => rows,
        Err(e) => return unusable(e.line, e.why),
    };
    let mut count = 0;
    for (line, fields) in rows {
        let [user, password, numbers @ ..] = fields.as_slice() else { return unusable(line, "it is not name,password[,number...]") };
        if line == 1 && user == "user" && password == "password" {
            continue;
        }
        let numbers: Vec<&String> = numbers.iter().filter(|n| !n.is_empty()).collect();
        let person = json!({"user": user, "password": password, "role": role, "numbers": numbers});
        if let Err(outcome) = ask::ask(daemon, "POST", "/v1/people", Some(&person)).await {
            eprintln!("{}: line {line} is not taken; {count} people before it are", file.display());
            return outcome;
        }
        count += 1;
    }
    counted(daemon, count, "people")
}

async fn first_admin(daemon: &Daemon, user: &str, token: Option<String>) -> Outcome {
    let token = match token {
        Some(token) => token,
        None => {
            let state = match ask::api_of(daemon) {
                Ok((_, state)) => state,
                Err(outcome) => return outcome,
            };
            let path = state.join(FIRST_ADMIN_TOKEN);
            match std::fs::read_to_string(&path) {
                Ok(token) => token.trim().to_owned(),
                Err(e) => return Outcome::Unusable(format!("{}: {e}; there may be an admin already", path.display())),
            }
        }
    };
    match password() {
        Ok(password) => {
            let admin = json!({"token": token, "user": user, "password": password});
            ask::change(daemon, "POST", "/v1/first-admin", Some(admin)).await
        }
        Err(outcome) => outcome,
    }
}

/// A password: typed twice without being shown, or one line of standard input.
fn password() -> Result<String, Outcome> {
    let unusable = |why: &str| Outcome::Unusable(format!("the password: {why}"));
    let line = || {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|e| unusable(&e.to_string()))?;
        let password = line.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() { Err(unusable("there is none on standard input")) } else { Ok(password) }
    };
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let quiet = Quiet::begin();
    let typed = |prompt: &str| {
        eprint!("{prompt}: ");
        let _shown = std::io::stderr().flush();
        let password = line();
        eprintln!();
        password
    };
    let (first, second) = (typed("password")?, typed("again")?);
    drop(quiet);
    if first == second { Ok(first) } else { Err(unusable("these are two")) }
}

/// The terminal does not show what is typed until this is dropped.
struct Quiet(Option<rustix::termios::Termios>);

impl Quiet {
    fn begin() -> Quiet {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _shown = tcsetattr(std::io::stdin(), OptionalActions::Now, &silent);
        }
        Quiet(before)
    }
}
impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _as_it_was = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}
