//! New terminals without manual work (C-11): `POST /v1/enrol` makes an account for a terminal that has none, where `[enrol]` allows it.
//!
//! The account is named after the print of the terminal's instance, has a password that is told once and never again, and no number of its own:
//! registering gives it one of the pool. Whoever asks for an instance that has its account hears 409, whoever he is; the operator removes
//! the account to let the terminal enrol anew. Passwords travel by HTTPS or on this machine only. One enrolment at a time: what is looked at
//! before is still true when the account is made.

#![allow(clippy::result_large_err)] // the error of a check is the response to send; it is moved once

use super::directory::Shared;
use super::http::{At, From, Peer, again, answer, banned, error, failed, json, ok};
use super::{accounts, clock, state_folder};
use crate::api::enrol::{EnrolAnswer, EnrolRequest};
use crate::clock::Instant;
use crate::config::enrol::{Enrol, key_in};
use crate::digest;
use crate::directory::logins::LogGate;
use crate::directory::{Instance, Mac, Request as Ask, Response as Answer, User};
use crate::limits::{ENROL_SOURCES_MAX, ENROLMENTS_PER_SOURCE_MAX};
use crate::sip::source_of;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

/// How the accounts made here begin.
const PREFIX: &str = "enrolled-";
/// Enrolments of a source are counted over so long, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// The name under which wrong keys count towards a ban.
const KEY_ACCOUNT: &str = "enrol";

/// The door's part of a directory.
pub(super) struct Enrolment {
    policy: Option<Enrol>,
    key: Option<String>,
    turn: tokio::sync::Mutex<()>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    sources: HashMap<IpAddr, (Instant, u32)>,
    lines: LogGate,
}

impl Tally {
    /// Counts a try; false: this source has had its due.
    fn pass(&mut self, now: Instant, source: IpAddr) -> bool {
        let source = source_of(source);
        let recent = |since: Instant| now.ms_since(since) < WINDOW_MS;
        if self.sources.len() >= ENROL_SOURCES_MAX && !self.sources.contains_key(&source) {
            self.sources.retain(|_, (since, _)| recent(*since));
            if self.sources.len() >= ENROL_SOURCES_MAX {
                return false;
            }
        }
        let (since, count) = self.sources.entry(source).or_insert((now, 0));
        if !recent(*since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= ENROLMENTS_PER_SOURCE_MAX
    }
}

impl Enrolment {
    /// By this policy; the error says what is wrong with the key's file.
    pub(super) fn open(policy: Option<Enrol>) -> Result<Enrolment, String> {
        let key = policy.as_ref().and_then(|p| p.key_file.as_deref()).map(key_in).transpose()?;
        Ok(Enrolment { policy, key, turn: tokio::sync::Mutex::default(), tally: Mutex::default() })
    }

    fn say(&self, source: IpAddr, what: &str) {
        let mut tally = self.tally.lock().expect("nothing panics while it holds the tally");
        if let Some(more) = tally.lines.pass(clock::now(), source) {
            tracing::warn!("enrolment refused: source={source} why={what} passed_over={more}");
        }
    }
}

/// The account of a terminal that enrols under this name.
fn user_of(instance: &Instance) -> User {
    let print: String = Sha256::digest(instance.as_str().as_bytes())[..16].iter().map(|b| format!("{b:02x}")).collect();
    User::parse(&format!("{PREFIX}{print}")).expect("hex behind a plain word is a name")
}

/// Whether this source may enrol at all; what it hears if not.
fn may(shared: &Shared, peer: Peer) -> Result<&Enrol, Response> {
    let enrolment = &shared.enrolment;
    let no = |status, code, words: &str| {
        enrolment.say(peer.ip(), code);
        Err(error(status, code, words))
    };
    let Some(policy) = &enrolment.policy else {
        return no(StatusCode::FORBIDDEN, "enrolment_closed", "no terminal enrols by itself here: an operator makes its account");
    };
    if !policy.networks.iter().any(|n| n.contains(peer.ip().to_canonical())) {
        return no(StatusCode::FORBIDDEN, "not_from_here", "terminals do not enrol from this network (enrol.networks of the directory)");
    }
    if !peer.is_private() {
        return no(StatusCode::FORBIDDEN, "https_wanted", "the password of a new account is told by HTTPS only");
    }
    let passes = enrolment.tally.lock().expect("nothing panics while it holds the tally").pass(clock::now(), peer.ip());
    if !passes {
        enrolment.say(peer.ip(), "too_many_enrolments");
        let words = "too many enrolments from here: come again later";
        let mut refused = error(StatusCode::TOO_MANY_REQUESTS, "too_many_enrolments", words);
        refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(WINDOW_MS / 1000));
        return Err(refused);
    }
    Ok(policy)
}

pub(super) async fn enrol(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let policy = match may(&shared, peer) {
        Ok(policy) => policy,
        Err(refused) => return refused,
    };
    let left_s = shared.machines().bans.left_s(clock::now(), peer.ip(), KEY_ACCOUNT);
    if let Some(left_s) = left_s {
        return banned(left_s);
    }
    let ask: EnrolRequest = match json(request).await {
        Ok(ask) => ask,
        Err(refused) => return refused,
    };
    if let Some(key) = &shared.enrolment.key
        && !ask.key.as_deref().is_some_and(|said| digest::same(said.as_bytes(), key.as_bytes()))
    {
        failed(&mut shared.machines(), clock::now(), peer, KEY_ACCOUNT, "http");
        return error(
            StatusCode::FORBIDDEN,
            "wrong_key",
            "the enrolment key is missing or wrong (directory.enrol_key_file of the gateway)",
        );
    }
    let Ok(instance) = Instance::parse(&ask.instance) else {
        return error(StatusCode::BAD_REQUEST, "bad_field", "instance cannot be read");
    };
    if ask.mac.as_deref().is_some_and(|mac| Mac::parse(mac).is_none()) {
        return error(StatusCode::BAD_REQUEST, "bad_field", "mac cannot be read");
    }
    let user = user_of(&instance);
    let _turn = shared.enrolment.turn.lock().await;
    let (known, made) = {
        let machines = shared.machines();
        let made = machines.directory.accounts_from(PREFIX).take_while(|a| a.user.as_str().starts_with(PREFIX)).take(policy.max).count();
        (machines.directory.account(user.as_str()).is_some(), made)
    };
    if known {
        shared.enrolment.say(peer.ip(), "already_enrolled");
        let words = format!("this terminal has its account ({user}); an operator removes it to let the terminal enrol anew");
        return error(StatusCode::CONFLICT, "already_enrolled", &words);
    }
    if made >= policy.max {
        shared.enrolment.say(peer.ip(), "enrolment_full");
        return error(StatusCode::FORBIDDEN, "enrolment_full", "as many terminals as may (enrol.max of the directory) have enrolled");
    }
    let password = state_folder::fresh_secret();
    let account = accounts::account(user.clone(), None, &password, &shared.config.domain, &shared.config.policy.plan);
    match shared.ask(Ask::SetAccount(account)).await {
        Ok(Answer::Done) => {
            let mac = ask.mac.map(|mac| format!(" mac={mac}")).unwrap_or_default();
            tracing::info!("enrolled: source={} instance={instance}{mac} account={user}", peer.ip());
            ok(&EnrolAnswer { user: user.to_string(), password })
        }
        Err(_) => again("not_written", "the account could not be written to disk"),
        refused => answer(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_due_and_sources_made_up_by_an_attacker_take_no_room() {
        let mut tally = Tally::default();
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        let passed = (0..1000).filter(|_| tally.pass(Instant::from_ms(5), source)).count();
        assert_eq!(passed, ENROLMENTS_PER_SOURCE_MAX as usize);
        assert!(tally.pass(Instant::from_ms(5), "192.0.2.8".parse().unwrap()), "another source");
        assert!(tally.pass(Instant::from_ms(5 + WINDOW_MS), source), "a minute later");
        for i in 0..100_000u32 {
            tally.pass(Instant::from_ms(6 + WINDOW_MS), IpAddr::from(i.to_be_bytes()));
        }
        assert!(tally.sources.len() <= ENROL_SOURCES_MAX);
    }
}
