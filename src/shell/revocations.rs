//! The directory's door for revoked keys and for the keys of single calls.

#![allow(clippy::result_large_err)] // the error of a check is the response to send; it is moved once

use super::clock;
use super::directory::Shared;
use super::http::{At, From, answer, error, is_operator, json, logged_in, not_a_number, ok, operator};
use super::signed_answer;
use crate::api::revocations::{CallKeyAnswer, CallKeyRequest, RevocationRow, RevocationsAnswer};
use crate::audit::Event;
use crate::directory::revocations::Revocation;
use crate::directory::station_keys::{Asked, NoKey, Side, side_of};
use crate::directory::{Disclosure, Request as Ask, Response as Answer};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::proof::base64;
use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/revocations", get(list).post(revoke))
        .route("/v1/revocations/{key}", delete(unrevoke))
        .route("/v1/calls/key", post(call_key))
}

async fn list(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let is_operator = is_operator(&shared, peer, request.headers());
    if !is_operator
        && shared.config.policy.disclosure != Disclosure::Anyone
        && let Err(refused) = logged_in(&shared, peer, request.method(), request.uri(), request.headers())
    {
        return refused;
    }
    let at = is_operator.then_some(|row: &Revocation| clock::rfc3339(row.at));
    let mut answer = {
        let machines = shared.machines();
        let revocations = machines.directory.revocations();
        RevocationsAnswer::of(revocations.serial(), revocations.iter(), at)
    };
    answer.signed = signed_answer::sign(&shared, signed_answer::nonce_of(request.uri()), &answer);
    ok(&answer)
}

async fn revoke(State(shared): At, Extension(peer): From, request: Request) -> Response {
    if let Err(refused) = operator(&shared, peer, request.headers()) {
        return refused;
    }
    let row: RevocationRow = match json(request).await {
        Ok(row) => row,
        Err(refused) => return refused,
    };
    let Some(key) = Fingerprint::parse(&row.key) else { return bad_key() };
    let why = row.why.clone();
    let decided = shared.ask(Ask::Revoke { key, why: row.why }).await;
    if decided.as_ref().is_ok_and(|a| *a == Answer::Done) {
        tracing::warn!("the key {key} is revoked");
        shared.audit.write(Event::of_key("key-revoked", key, why));
    }
    answer(decided)
}

async fn unrevoke(State(shared): At, Extension(peer): From, Path(key): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let Some(key) = Fingerprint::parse(&key) else { return bad_key() };
    let decided = shared.ask(Ask::Unrevoke(key)).await;
    if decided.as_ref().is_ok_and(|a| *a == Answer::Done) {
        tracing::warn!("the key {key} is revoked no longer");
        shared.audit.write(Event::of_key("key-good-again", key, "the operator says so"));
    }
    answer(decided)
}

fn bad_key() -> Response {
    error(StatusCode::BAD_REQUEST, "bad_field", "key is not sha-256 and 32 bytes of hex")
}

/// D-5. Nothing of the key is logged or stored, here or behind.
async fn call_key(State(shared): At, Extension(peer): From, request: Request) -> Response {
    if !peer.is_private() {
        return error(StatusCode::FORBIDDEN, "https_wanted", "keys are given by HTTPS, or on this machine");
    }
    let user = match logged_in(&shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    let ask: CallKeyRequest = match json(request).await {
        Ok(ask) => ask,
        Err(refused) => return refused,
    };
    let said = match ask.side.as_deref() {
        None => None,
        Some("caller") => Some(Side::Caller),
        Some("callee") => Some(Side::Callee),
        Some(_) => return error(StatusCode::BAD_REQUEST, "bad_field", "side is not caller or callee"),
    };
    let mut machines = shared.machines();
    let terminal = |text: &str| Number::parse(text).ok().and_then(|n| machines.directory.policy().plan.terminal(&n));
    let (Some(from), Some(to)) = (terminal(&ask.from), terminal(&ask.to)) else { return not_a_number() };
    let now = clock::now();
    let side = side_of(&machines.directory, now, &user, &from, &to, said);
    let asked = side.map(|side| Asked { call_id: &ask.call_id, from, to, side, suite: ask.suite.as_deref() });
    let outcome = match asked {
        Some(asked) => machines.station_keys.ask(now, &asked, || [clock::random(), clock::random()]),
        None => Err(NoKey::NotYours),
    };
    drop(machines);
    let (status, code, words) = match outcome {
        Ok(key) => {
            let (send, receive) = (base64::encode(&key.send), base64::encode(&key.receive));
            return ok(&CallKeyAnswer { suite: key.suite.name.to_owned(), send, receive });
        }
        Err(NoKey::NotYours) => (StatusCode::FORBIDDEN, "not_your_call", "this account is no side of this call"),
        Err(NoKey::NotAnswered) => (StatusCode::NOT_FOUND, "not_answered", "the called side has not answered, or too long ago"),
        Err(NoKey::Spent) => (StatusCode::GONE, "key_spent", "both sides had the key of this call"),
        Err(NoKey::Unreadable) => (StatusCode::BAD_REQUEST, "bad_field", "call_id or suite cannot be read"),
        Err(NoKey::Full) => (StatusCode::SERVICE_UNAVAILABLE, "overload", "too many calls wait for their keys"),
    };
    error(status, code, words)
}
