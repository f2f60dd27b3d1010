//! People at the HTTP door: log-in, log-out, who they are, and the table of them.
//!
//! A password is taken only where nobody on the way can read it: by HTTPS, or on this machine. It is hashed beside the event thread, and
//! an unknown name costs the same work as a known one. A member sees and changes what is theirs ([`member_of`]).

use super::{At, From, Peer, answer, banned, bearer, error, failed, json, ok, operator};
use crate::api::directory::BadField;
use crate::api::people as api;
use crate::directory::people::Change;
use crate::directory::sessions::{SESSION_IDLE_S, Sessions, TokenPrint};
use crate::directory::{Directory, Person, Request as Ask, Response as Answer, Role, User};
use crate::number::Number;
use crate::shell::directory::{Machines, Shared};
use crate::shell::passwords::{self, Busy};
use crate::shell::{clock, state_folder};
use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, post};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/login", post(login))
        .route("/v1/logout", post(logout))
        .route("/v1/first-admin", post(first_admin))
        .route("/v1/me", get(me))
        .route("/v1/me/numbers/{number}", get(my_number))
        .route("/v1/me/password", post(change_password))
        .route("/v1/people", get(list).post(set))
        .route("/v1/people/{user}", delete(remove))
}

fn print_of(token: &str) -> TokenPrint {
    Sha256::digest(token.as_bytes()).into()
}

/// The person whose session this request carries. Takes the lock of the machines.
pub(in crate::shell) fn session(shared: &Shared, peer: Peer, headers: &HeaderMap) -> Option<Person> {
    if !peer.private {
        return None;
    }
    let print = print_of(bearer(headers)?);
    let mut machines = shared.machines();
    let user = machines.sessions.user(clock::now(), &print)?;
    machines.directory.people().get(user.as_str()).cloned()
}

fn person(shared: &Shared, peer: Peer, headers: &HeaderMap) -> Result<Person, Response> {
    session(shared, peer, headers).ok_or_else(|| {
        let mut refused = error(StatusCode::UNAUTHORIZED, "log_in", "log in first: POST /v1/login");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        refused
    })
}

/// The member (or admin) whose session this is, if `number` is theirs: the guard of whatever people change about their own numbers.
pub(in crate::shell) fn member_of(shared: &Shared, peer: Peer, headers: &HeaderMap, number: &Number) -> Result<Person, Response> {
    let person = person(shared, peer, headers)?;
    if is_theirs(shared, &person, number) || person.role == Role::Admin {
        Ok(person)
    } else {
        Err(error(StatusCode::FORBIDDEN, "not_yours", "this number is not yours"))
    }
}

/// Whether this number is this person's. Takes the lock of the machines.
pub(in crate::shell) fn is_theirs(shared: &Shared, person: &Person, number: &Number) -> bool {
    let machines = shared.machines();
    let terminal = machines.directory.policy().plan.terminal(number);
    terminal.is_some_and(|n| machines.directory.numbers_of(person).contains(&n))
}

/// Passwords do not travel in the clear.
fn private(peer: Peer) -> Result<(), Response> {
    if peer.private { Ok(()) } else { Err(error(StatusCode::FORBIDDEN, "https_wanted", "passwords are taken by HTTPS only")) }
}

fn busy() -> Response {
    super::again("busy", "too many passwords wait to be checked")
}

/// The one answer to whatever was wrong.
fn wrong() -> Response {
    error(StatusCode::UNAUTHORIZED, "wrong_credentials", "user or password is wrong")
}

fn bad(BadField(field): BadField) -> Response {
    error(StatusCode::BAD_REQUEST, "bad_field", &format!("{field} cannot be read"))
}

/// How failures of people are counted: apart from those of a terminal's account of the same name.
fn account_of(user: &str) -> String {
    format!("person:{}", user.chars().take(crate::limits::USER_BYTES_MAX).collect::<String>())
}

/// Whether `password` is that of the person `user`, with bans before and after: whoever guesses in parallel gains nothing.
async fn prove(shared: &Shared, peer: Peer, user: &str, password: String) -> Result<Person, Response> {
    let account = account_of(user);
    if let Some(left_s) = shared.machines().bans.left_s(clock::now(), peer.ip(), &account) {
        return Err(banned(left_s));
    }
    let known = shared.machines().directory.people().get(user).map(|p| p.password.clone());
    let is = match password.len() > crate::limits::PASSWORD_BYTES_MAX {
        true => false,
        false => shared.passwords.is(peer.ip(), password, known.clone()).await.map_err(|Busy| busy())?,
    };
    let now = clock::now();
    let mut machines = shared.machines();
    if let Some(left_s) = machines.bans.left_s(now, peer.ip(), &account) {
        return Err(banned(left_s));
    }
    // Removed or changed meanwhile: what was proven is worth nothing.
    match machines.directory.people().get(user).filter(|p| is && Some(&p.password) == known.as_ref()).cloned() {
        Some(person) => {
            machines.bans.succeeded(peer.ip(), &account);
            Ok(person)
        }
        None => {
            failed(&mut machines, now, peer, &account, "http");
            Err(wrong())
        }
    }
}

async fn login(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let begin = async {
        private(peer)?;
        let ask: api::LoginRequest = json(request).await?;
        let person = prove(&shared, peer, &ask.user, ask.password).await?;
        let token = state_folder::fresh_secret();
        {
            let mut machines = shared.machines();
            let Machines { directory, sessions, .. } = &mut *machines;
            begin_session(directory, sessions, print_of(&token), &person)?;
        }
        let (user, role) = (person.user.to_string(), person.role.as_str().to_owned());
        Ok(ok(&api::LoginAnswer { token, user, role, idle_s: SESSION_IDLE_S }))
    };
    begin.await.unwrap_or_else(|refused| refused)
}

/// Begins the session of a person whose password was proven a moment ago. Under the lock under which passwords change and people go: who did so
/// in between ended the sessions that there were, and this one is not begun after them.
fn begin_session(directory: &Directory, sessions: &mut Sessions, print: TokenPrint, proven: &Person) -> Result<(), Response> {
    if directory.people().get(proven.user.as_str()).is_none_or(|p| p.password != proven.password) {
        return Err(wrong());
    }
    match sessions.begin(clock::now(), print, &proven.user) {
        true => Ok(()),
        false => Err(super::again("full", "too many people are logged in")),
    }
}

async fn logout(State(shared): At, headers: HeaderMap) -> Response {
    let ended = bearer(&headers).is_some_and(|token| shared.machines().sessions.end(&print_of(token)));
    ok(&serde_json::json!({ "ended": ended }))
}

async fn first_admin(State(shared): At, Extension(peer): From, request: Request) -> Response {
    const ACCOUNT: &str = "person:first-admin";
    let make = async {
        private(peer)?;
        let ask: api::FirstAdminRequest = json(request).await?;
        let now = clock::now();
        {
            let mut machines = shared.machines();
            if let Some(left_s) = machines.bans.left_s(now, peer.ip(), ACCOUNT) {
                return Err(banned(left_s));
            }
            if !shared.first_admin.is(&ask.token) {
                failed(&mut machines, now, peer, ACCOUNT, "http");
                return Err(error(StatusCode::FORBIDDEN, "wrong_credentials", "the token is wrong, or there is an admin already"));
            }
        }
        let made =
            api::PersonRequest { user: ask.user, password: None, role: Role::Admin.as_str().into(), accounts: vec![], numbers: vec![] };
        let person = made.read().map_err(bad)?;
        let person = Person { password: hashed(&shared, peer, &person.user, ask.password).await?, ..person };
        let decided = shared.ask(Ask::People(Change::First(person))).await;
        if decided == Ok(Answer::Done) {
            shared.first_admin.used();
        }
        Ok(answer(decided))
    };
    make.await.unwrap_or_else(|refused| refused)
}

/// The hash of a new password, if it is one that we take.
async fn hashed(shared: &Shared, peer: Peer, user: &User, password: String) -> Result<Box<str>, Response> {
    match passwords::fault(user.as_str(), &password) {
        Some(why) => Err(error(StatusCode::BAD_REQUEST, "weak_password", &why)),
        None => shared.passwords.hash(peer.ip(), password).await.map_err(|Busy| busy()),
    }
}

async fn me(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    let person = match person(&shared, peer, &headers) {
        Ok(person) => person,
        Err(refused) => return refused,
    };
    let machines = shared.machines();
    let mine = machines.directory.numbers_of(&person).iter().map(|number| row_of(&machines.directory, number)).collect();
    ok(&api::MeAnswer { person: (&person).into(), mine })
}

/// One number of one's own; an admin's are all.
async fn my_number(State(shared): At, Extension(peer): From, Path(number): Path<String>, headers: HeaderMap) -> Response {
    let Ok(number) = Number::parse(&number) else { return super::not_a_number() };
    match member_of(&shared, peer, &headers, &number) {
        Ok(_person) => ok(&row_of(&shared.machines().directory, &number)),
        Err(refused) => refused,
    }
}

fn row_of(directory: &Directory, number: &Number) -> api::MyNumber {
    let plan = &directory.policy().plan;
    let number = plan.terminal(number).unwrap_or_else(|| number.clone());
    let (state, expires_in_s) = match directory.lookup(clock::now(), &number) {
        Answer::Found(found) => ("registered", Some(found.expires_in_s)),
        _ => ("away", None),
    };
    let lan_number = if number.as_str().len() == plan.terminal_digits() { plan.full(&number) } else { number.clone() };
    api::MyNumber { number: number.to_string(), lan_number: lan_number.to_string(), state: state.into(), expires_in_s }
}

async fn change_password(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let change = async {
        let Person { user, .. } = person(&shared, peer, request.headers())?;
        let ask: api::PasswordRequest = json(request).await?;
        let Person { password: was, .. } = prove(&shared, peer, user.as_str(), ask.old).await?;
        let now = hashed(&shared, peer, &user, ask.new).await?;
        let decided = shared.ask(Ask::People(Change::Password { user: user.clone(), was, now })).await;
        if decided == Ok(Answer::Done) {
            shared.machines().sessions.end_all_of(&user);
        }
        Ok::<_, Response>(answer(decided))
    };
    change.await.unwrap_or_else(|refused| refused)
}

async fn list(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let rows: Vec<api::PersonRow> = shared.machines().directory.people().iter().map(Into::into).collect();
    ok(&rows)
}

async fn set(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let set = async {
        operator(&shared, peer, request.headers())?;
        let ask: api::PersonRequest = json(request).await?;
        let person = ask.read().map_err(bad)?;
        if ask.password.is_some() {
            private(peer)?;
        }
        let user = person.user.clone();
        let person = match ask.password {
            Some(password) => Person { password: hashed(&shared, peer, &user, password).await?, ..person },
            None => person,
        };
        let changes_password = !person.password.is_empty();
        let decided = shared.ask(Ask::People(Change::Set(person))).await;
        if decided == Ok(Answer::Done) {
            if changes_password {
                shared.machines().sessions.end_all_of(&user);
            }
            if shared.machines().directory.people().has_admin() {
                shared.first_admin.used();
            }
        }
        Ok::<_, Response>(answer(decided))
    };
    set.await.unwrap_or_else(|refused| refused)
}

async fn remove(State(shared): At, Extension(peer): From, Path(user): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let Ok(user) = User::parse(&user) else { return bad(BadField("user")) };
    let decided = shared.ask(Ask::People(Change::Remove(user.clone()))).await;
    if decided == Ok(Answer::Done) {
        shared.machines().sessions.end_all_of(&user);
    }
    answer(decided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{NumberPlan, Policy};

    #[test]
    fn req_d17_no_session_begins_once_the_password_that_was_proven_is_another_or_the_person_gone() {
        let mut directory = Directory::new(Policy::new(NumberPlan::new(Number::parse("1").unwrap(), 4).unwrap()));
        let mut sessions = Sessions::default();
        let ann = |password: &str| Person {
            user: User::parse("ann").unwrap(),
            password: password.into(),
            role: Role::Member,
            accounts: Box::default(),
            numbers: Box::default(),
        };
        let change = |directory: &mut Directory, change| {
            assert_eq!(directory.handle(clock::now(), clock::wall(), Ask::People(change)).response, Answer::Done);
        };
        let proven = ann("$argon2id$1");
        change(&mut directory, Change::Set(proven.clone()));
        // Who changes something else ends no session.
        change(&mut directory, Change::Set(Person { accounts: Box::new([User::parse("2003").unwrap()]), ..proven.clone() }));
        assert!(begin_session(&directory, &mut sessions, [1; 32], &proven).is_ok());
        change(&mut directory, Change::Set(ann("$argon2id$2")));
        let status = |refused: Result<(), Response>| refused.map_err(|r| r.status());
        assert_eq!(status(begin_session(&directory, &mut sessions, [2; 32], &proven)), Err(StatusCode::UNAUTHORIZED));
        assert!(begin_session(&directory, &mut sessions, [3; 32], &ann("$argon2id$2")).is_ok());
        change(&mut directory, Change::Remove(proven.user.clone()));
        assert_eq!(status(begin_session(&directory, &mut sessions, [4; 32], &ann("$argon2id$2"))), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(sessions.count(), 2);
    }
}
