//! The API about numbers: look-ups by number, user and identifier, what owners want of their numbers, and other directories.

#![allow(clippy::result_large_err)] // the error of a check is the response to send; it is moved once

use crate::api::directory as api;
use crate::api::numbers as said;
use crate::audit::Event;
use crate::clock::WallMs;
use crate::directory::{Asker, Disclosure, Request as Ask, Response as Answer, Server, User, referral};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::shell::clock;
use crate::shell::directory::{Machines, Shared};
use crate::shell::http::people;
use crate::shell::http::{At, From, Peer, answer, error, is_operator, json, logged_in, not_a_number, ok, operator};
use crate::shell::{identity_key, signed_answer};
use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use std::sync::Arc;

/// The header that a referral comes in.
pub(super) const REFERRAL: &str = "tipring-referral";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/identity/rotate", post(rotate))
        .route("/v1/identifiers/{fingerprint}", get(identifier))
        .route("/v1/registrations/{number}/calls", put(calls))
        .route("/v1/registrations/{number}/keys", delete(forget_keys))
        .route("/v1/settings", get(list_settings))
        .route("/v1/settings/{number}", get(settings).put(set))
        .route("/v1/servers", get(list_servers).post(set_server))
        .route("/v1/servers/{number}", delete(remove_server))
}

/// A look-up by number as dialled, or by the name of a user (C-8).
pub(super) fn lookup(shared: &Shared, peer: Peer, what: &str, request: &Request) -> Response {
    let number = match Number::parse(what) {
        Ok(number) => number,
        Err(_) => {
            let Ok(user) = User::parse(what) else { return not_a_number() };
            let own = shared.machines().directory.number_of(user.as_str()).cloned();
            match own {
                Some(number) => number,
                None if may_look_up(shared, peer, request) => return unknown_user(what),
                None => return log_in(shared, peer, request),
            }
        }
    };
    let (now, wall) = (clock::now(), clock::wall());
    if is_operator(shared, peer, request.headers()) {
        let found = shared.machines().directory.look_up(now, &number, Asker::Operator);
        return told(shared, request, wall, found, true);
    }
    if let Some(person) = people::session(shared, peer, request.headers()) {
        // A person's name is no account's, whatever it looks like: as to others' numbers, one who is known here.
        let asker = if people::is_theirs(shared, &person, &number) { Asker::Operator } else { Asker::Referred };
        let found = shared.machines().directory.look_up(now, &number, asker);
        return told(shared, request, wall, found, true);
    }
    let referral = request.headers().get(REFERRAL).and_then(|v| v.to_str().ok());
    let first = {
        let machines = shared.machines();
        let directory = &machines.directory;
        let referred = referral.is_some_and(|r| referral::is_good(r, &number, wall, |from| directory.server(from)));
        directory.look_up(now, &number, if referred { Asker::Referred } else { Asker::Stranger })
    };
    // Who wants to be vouched for at another directory says who it is, though an open one asks nobody.
    let elsewhere = matches!(first, Answer::Elsewhere(..)) && request.headers().contains_key(header::AUTHORIZATION);
    if first != Answer::LogIn && !elsewhere {
        return told(shared, request, wall, first, false);
    }
    match logged_in(shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => {
            let found = shared.machines().directory.look_up(now, &number, Asker::Account(&user));
            told(shared, request, wall, found, true)
        }
        Err(refused) => refused,
    }
}

/// The answer to a look-up, signed where the question has a nonce. `vouched`: the asker is known here, so that we may vouch for it elsewhere; a stranger, or whom another sent, goes there as one.
fn told(shared: &Shared, request: &Request, wall: WallMs, found: Answer, vouched: bool) -> Response {
    let nonce = signed_answer::nonce_of(request.uri());
    let (server, number) = match found {
        Answer::Found(found) => {
            let mut found = api::FoundJson::from(found.as_ref());
            found.signed = signed_answer::sign(shared, nonce, &found);
            return ok(&api::LookupAnswer::Found(found));
        }
        Answer::Elsewhere(server, number) => (server, number),
        other => return answer(Ok(other)),
    };
    let sign = || referral::sign(shared.config.policy.plan.server(), &server, &number, wall);
    let signed = if vouched { sign() } else { None };
    let mut elsewhere = elsewhere(&server, &number, signed);
    elsewhere.signed = signed_answer::sign(shared, nonce, &elsewhere);
    ok(&api::LookupAnswer::Elsewhere(elsewhere))
}

pub(super) fn elsewhere(server: &Server, number: &Number, referral: Option<String>) -> api::ElsewhereJson {
    api::ElsewhereJson {
        number: number.to_string(),
        server: server.number.to_string(),
        sip: server.sip.to_string(),
        api: server.api.as_deref().map(str::to_owned),
        fingerprint: server.fingerprint.map(|f| f.to_string()),
        referral,
        signed: None,
    }
}

fn may_look_up(shared: &Shared, peer: Peer, request: &Request) -> bool {
    shared.config.policy.disclosure == Disclosure::Anyone || is_operator(shared, peer, request.headers())
}

fn log_in(shared: &Shared, peer: Peer, request: &Request) -> Response {
    match logged_in(shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(_) => unknown_user(request.uri().path()),
        Err(refused) => refused,
    }
}

fn unknown_user(what: &str) -> Response {
    error(StatusCode::NOT_FOUND, "unknown_number", &format!("{what:?} is neither a number nor the name of a user who has one"))
}

/// where the gateway of this key is now.
async fn identifier(State(shared): At, Extension(peer): From, Path(key): Path<String>, request: Request) -> Response {
    let Some(key) = Fingerprint::parse(&key.replace('+', " ")) else {
        return error(StatusCode::BAD_REQUEST, "bad_field", "fingerprint cannot be read");
    };
    let nonce = signed_answer::nonce_of(request.uri());
    let tell = |asker: Asker<'_>| {
        let found = shared.machines().directory.look_up_key(clock::now(), key, asker);
        match found.is_empty() {
            true => error(StatusCode::NOT_FOUND, "unknown_identifier", "no gateway of this key is registered, or not for you to know"),
            false => {
                let contact = |(number, binding, left)| said::IdentifierContact {
                    number: Number::to_string(&number),
                    contact: (&(binding, left)).into(),
                };
                let contacts = found.into_iter().map(contact).collect();
                let mut answer = said::IdentifierAnswer { identifier: key.to_string(), contacts, signed: None };
                answer.signed = signed_answer::sign(&shared, nonce, &answer);
                ok(&answer)
            }
        }
    };
    if is_operator(&shared, peer, request.headers()) {
        return tell(Asker::Operator);
    }
    match logged_in(&shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => tell(Asker::Account(&user)),
        Err(refused) => refused,
    }
}

/// D-6: how many calls a number has, from its gateway.
async fn calls(State(shared): At, Extension(peer): From, Path(number): Path<String>, request: Request) -> Response {
    let Ok(number) = Number::parse(&number) else { return not_a_number() };
    let user = match logged_in(&shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    match json::<said::CallsRequest>(request).await {
        Ok(said::CallsRequest { calls }) => answer(shared.ask(Ask::Calls { user, number, calls }).await),
        Err(refused) => refused,
    }
}

async fn forget_keys(State(shared): At, Extension(peer): From, Path(number): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    match Number::parse(&number) {
        Ok(number) => answer(shared.ask(Ask::ForgetKeys(number)).await),
        Err(_) => not_a_number(),
    }
}

async fn list_settings(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let rows: Vec<said::SettingsJson> = shared.machines().directory.all_settings().map(Into::into).collect();
    ok(&rows)
}

/// Who asks about a number's settings.
enum By {
    Operator,
    /// Whose number it is.
    Person,
    /// Whose it must be.
    Account(User),
}

impl By {
    fn account(self) -> Option<User> {
        match self {
            By::Account(user) => Some(user),
            By::Operator | By::Person => None,
        }
    }
}

fn who(shared: &Shared, peer: Peer, request: &Request, number: &Number) -> Result<By, Response> {
    if is_operator(shared, peer, request.headers()) {
        return Ok(By::Operator);
    }
    if people::session(shared, peer, request.headers()).is_some() {
        return people::member_of(shared, peer, request.headers(), number).map(|_| By::Person);
    }
    logged_in(shared, peer, request.method(), request.uri(), request.headers()).map(By::Account)
}

async fn settings(State(shared): At, Extension(peer): From, Path(number): Path<String>, request: Request) -> Response {
    let Ok(number) = Number::parse(&number) else { return not_a_number() };
    let by = match who(&shared, peer, &request, &number) {
        Ok(by) => by.account(),
        Err(refused) => return refused,
    };
    let machines = shared.machines();
    let Machines { directory, .. } = &*machines;
    match directory.settings_for(by.as_ref(), &number) {
        Ok(settings) => ok(&said::SettingsJson::from(&settings)),
        Err(why) => answer(Ok(Answer::Refused(why))),
    }
}

async fn set(State(shared): At, Extension(peer): From, Path(number): Path<String>, request: Request) -> Response {
    let Ok(named) = Number::parse(&number) else { return not_a_number() };
    let by = match who(&shared, peer, &request, &named) {
        Ok(by) => by,
        Err(refused) => return refused,
    };
    let ask: said::SettingsJson = match json(request).await {
        Ok(ask) => ask,
        Err(refused) => return refused,
    };
    let mut settings = match (said::SettingsJson { number, ..ask }).read() {
        Ok(settings) => settings,
        Err(api::BadField(field)) => return error(StatusCode::BAD_REQUEST, "bad_field", &format!("{field} cannot be read")),
    };
    if matches!(by, By::Person) {
        // Where a number is called that nothing registered for is the operator's word alone.
        settings.fixed = shared.machines().directory.settings_for(None, &named).ok().and_then(|s| s.fixed);
    }
    answer(shared.ask(Ask::Set { by: by.account(), settings }).await)
}

/// A new key of the directory in place of the one in use.
async fn rotate(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    match shared.keyring.rotate() {
        Ok(keys) => {
            tracing::warn!("the key of this directory is replaced: {}", keys.current.fingerprint());
            shared.audit.write(Event::of_key("key-rotated", keys.current.fingerprint(), "the new key of this directory"));
            ok(&identity_key::shown(&shared.keyring))
        }
        Err(words) => error(StatusCode::INTERNAL_SERVER_ERROR, "not_rotated", &words),
    }
}

async fn list_servers(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let rows: Vec<said::ServerJson> = shared.machines().directory.servers().map(Into::into).collect();
    ok(&rows)
}

async fn set_server(State(shared): At, Extension(peer): From, request: Request) -> Response {
    if let Err(refused) = operator(&shared, peer, request.headers()) {
        return refused;
    }
    match json::<said::ServerJson>(request).await.map(said::ServerJson::read) {
        Ok(Ok(server)) => answer(shared.ask(Ask::SetServer(server)).await),
        Ok(Err(api::BadField(field))) => error(StatusCode::BAD_REQUEST, "bad_field", &format!("{field} cannot be read")),
        Err(refused) => refused,
    }
}

async fn remove_server(State(shared): At, Extension(peer): From, Path(number): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    match Number::parse(&number) {
        Ok(number) => answer(shared.ask(Ask::RemoveServer(number)).await),
        Err(_) => not_a_number(),
    }
}
