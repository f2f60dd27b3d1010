//! The directory's HTTP door: JSON in and out, Digest credentials (RFC 7616) for terminals, a session for people ([`people`]), a token from
//! loopback for the operator. In the clear on loopback, by HTTPS beyond.
//!
//! Whoever fails to prove who he is hears one answer, whatever was wrong, and after some tries from one source nothing but 429 (D-17).
//! Bounded on every side: connections, bytes of a body, time for a head and a body, rows of an answer.

#![allow(clippy::result_large_err)] // the error of a check is the response to send; it is moved once

pub(super) mod health;
pub(super) mod people;

use crate::api::directory as api;
use crate::api::{ErrorAnswer, ErrorBody};
use crate::clock::Instant;
use crate::digest::{self, Algorithm, Asked, Authenticator, Credentials, Qop, Verdict};
use crate::directory::logins::registration_refused;
use crate::directory::{Instance as Terminal, Request as Ask, Response as Answer, Role, User};
use crate::enum_door::Outcome;
use crate::limits::API_BODY_BYTES_MAX;
use crate::number::Number;
use crate::shell::directory::{Machines, Shared, Unanswered};
use crate::shell::numbers;
use crate::shell::{accounts, clock, enrol, key_proof, revocations};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A body that takes longer is given up.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Rows of one page of a list, unless fewer are asked for.
const PAGE_ROWS_MAX: usize = 1000;
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A handshake that takes longer is given up.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(6);

/// Who is at the other end of the connection.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    at: SocketAddr,
    /// Nobody on the way reads or changes what is said.
    private: bool,
}

impl Peer {
    /// What is said can be read by nobody on the way.
    pub(super) fn is_private(self) -> bool {
        self.private
    }
    pub(super) fn ip(self) -> std::net::IpAddr {
        self.at.ip()
    }
}

/// The way a connection came.
pub(super) enum Way {
    /// HTTP.
    Clear,
    /// HTTPS.
    Tls(TlsAcceptor),
    /// HTTP, for counts alone.
    Metrics,
}

pub(super) type At = State<Arc<Shared>>;
pub(super) type From = Extension<Peer>;

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/lookup/{number}", get(lookup))
        .route("/v1/registrations", get(registrations).post(register))
        .route("/v1/registrations/{number}", delete(deregister))
        .merge(numbers::routes())
        .merge(revocations::routes())
        .route("/v1/reservations", get(reservations).post(reserve))
        .route("/v1/reservations/{number}", delete(unreserve))
        .route("/v1/accounts", get(list_accounts).post(set_account))
        .route("/v1/accounts/{user}", delete(remove_account))
        .route("/v1/enrol", post(enrol::enrol))
        .merge(people::routes())
        .merge(health::routes())
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no_such_resource", "there is no such resource") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not this method here") })
        .with_state(shared)
}

/// The API on its way to connections: its routes are laid once.
pub(super) struct Api {
    shared: Arc<Shared>,
    all: Router,
    counts: Router,
}

impl Api {
    /// The API of a directory.
    pub fn new(shared: Arc<Shared>) -> Api {
        Api { all: routes(shared.clone()), counts: health::routes_beside(shared.clone()), shared }
    }

    /// Serves one connection until it ends, is idle too long, or the daemon stops.
    pub fn accept(&self, stream: TcpStream, at: SocketAddr, way: Way, mut stopping: watch::Receiver<bool>) {
        let shared = self.shared.clone();
        if !shared.api_access.admits(at.ip()) {
            return;
        }
        let refused = || {
            shared.refused_full.fetch_add(1, Ordering::Relaxed);
        };
        let Some(seat) = shared.api_seats.take(at.ip()) else { return refused() };
        if shared.connections.fetch_add(1, Ordering::AcqRel) >= shared.config.api.connections_max {
            shared.connections.fetch_sub(1, Ordering::AcqRel);
            return refused();
        }
        let _ = stream.set_nodelay(true);
        let peer = Peer { at, private: matches!(way, Way::Tls(_)) || at.ip().to_canonical().is_loopback() };
        let routes = if matches!(way, Way::Metrics) { &self.counts } else { &self.all };
        let service = Known { peer, routes: TowerToHyperService::new(routes.clone()) };
        tokio::spawn(async move {
            match way {
                Way::Clear | Way::Metrics => serve(&shared, stream, service, stopping).await,
                Way::Tls(acceptor) => {
                    let handshake = tokio::select! {
                        done = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)) => done.ok().and_then(Result::ok),
                        _ = stopping.changed() => None,
                    };
                    if let Some(stream) = handshake {
                        serve(&shared, stream, service, stopping).await;
                    }
                }
            }
            shared.connections.fetch_sub(1, Ordering::AcqRel);
            drop(seat);
        });
    }
}

/// The routes, told with each request who is at the other end.
struct Known {
    peer: Peer,
    routes: TowerToHyperService<Router>,
}

impl hyper::service::Service<hyper::Request<hyper::body::Incoming>> for Known {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = <TowerToHyperService<Router> as hyper::service::Service<hyper::Request<hyper::body::Incoming>>>::Future;
    fn call(&self, mut request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.routes.call(request)
    }
}

async fn serve<S>(shared: &Shared, stream: S, service: Known, mut stopping: watch::Receiver<bool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let http = http1(Duration::from_secs(u64::from(shared.config.api.idle_s)));
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// HTTP/1.1 with bounds: a head must be complete, and short, before a connection has been idle for so long.
pub(super) fn http1(idle: Duration) -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(HEAD_BYTES_MAX);
    http
}

// ---- terminals ----

async fn register(State(shared): At, Extension(peer): From, request: Request) -> Response {
    let headers = request.headers().clone();
    let user = match logged_in(&shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    let ask: api::RegisterRequest = match json(request).await {
        Ok(ask) => ask,
        Err(refused) => return refused,
    };
    match ask.read(user.clone()) {
        Ok(mut read) => {
            let decided = match key_proof::of(&shared, &headers, &ask, &read) {
                Ok(proof) => {
                    read.proof = proof;
                    shared.ask(Ask::Register(read)).await
                }
                Err(why) => Ok(Answer::Refused(why)),
            };
            if let Ok(Answer::Refused(why)) = &decided
                && why.is_news()
                && let Some(more) = shared.machines().refusal_lines.pass(clock::now(), peer.ip())
            {
                tracing::warn!("{}", registration_refused(peer.ip(), user.as_str(), why.word(), more, "http"));
            }
            match decided {
                Ok(Answer::Registered { number, full, lease_s, renewed, also_here }) => ok(&api::RegisterAnswer {
                    number: number.to_string(),
                    lan_number: full.to_string(),
                    lease_s,
                    renewed,
                    also_here: also_here.iter().map(Number::to_string).collect(),
                    proven: ask.fingerprint.is_some(),
                    revocations: shared.revocations(),
                }),
                decided => answer(decided),
            }
        }
        Err(api::BadField(field)) => error(StatusCode::BAD_REQUEST, "bad_field", &format!("{field} cannot be read")),
    }
}

#[derive(Deserialize)]
struct OfInstance {
    instance: Option<String>,
}

async fn deregister(
    State(shared): At,
    Extension(peer): From,
    Path(number): Path<String>,
    Query(of): Query<OfInstance>,
    request: Request,
) -> Response {
    let Ok(number) = Number::parse(&number) else { return not_a_number() };
    if is_operator(&shared, peer, request.headers()) {
        return answer(shared.ask(Ask::Evict(number)).await);
    }
    let user = match logged_in(&shared, peer, request.method(), request.uri(), request.headers()) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    let Ok(instance) = of.instance.as_deref().map(Terminal::parse).transpose() else {
        return error(StatusCode::BAD_REQUEST, "bad_field", "instance cannot be read");
    };
    answer(shared.ask(Ask::Deregister { user, number, instance }).await)
}

async fn lookup(State(shared): At, Extension(peer): From, Path(number): Path<String>, request: Request) -> Response {
    numbers::lookup(&shared, peer, &number, &request)
}

/// The user whose credentials the request carries; else the challenge to answer.
#[expect(clippy::result_large_err, reason = "the error is the HTTP answer itself, made once a refused request")]
pub(super) fn logged_in(shared: &Shared, peer: Peer, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<User, Response> {
    let now = clock::now();
    let mut machines = shared.machines();
    let Machines { directory, authenticator, bans, .. } = &mut *machines;
    let Some(header) = headers.get(header::AUTHORIZATION) else {
        return Err(challenge(authenticator, now, peer, false, "credentials_wanted", "log in with Digest credentials"));
    };
    let credentials = header.to_str().map_err(|_| digest::Malformed::BadSyntax).and_then(Credentials::parse);
    let credentials = match credentials {
        Ok(c) if c.algorithm == Algorithm::Sha256 && c.qop == Some(Qop::Auth) => c,
        Ok(_) | Err(digest::Malformed::Unsupported | digest::Malformed::NotDigest) => {
            let wanted = "log in with Digest credentials, algorithm SHA-256, qop auth";
            return Err(challenge(authenticator, now, peer, false, "credentials_wanted", wanted));
        }
        Err(_) => return Err(error(StatusCode::BAD_REQUEST, "bad_credentials", "the Authorization header cannot be read")),
    };
    if let Some(left_s) = bans.left_s(now, peer.ip(), &credentials.username) {
        return Err(banned(left_s));
    }
    let target = uri.path_and_query().map_or("/", |p| p.as_str());
    let ha1 = |user: &str| directory.account(user).map(|a| a.ha1);
    // The body is not read before it is known from whom it comes, so no proof covers it.
    match authenticator.check(now, &Asked { method: method.as_str(), uri: target, body: b"" }, &credentials, ha1) {
        Verdict::Is => {
            machines.bans.succeeded(peer.ip(), &credentials.username);
            let account = machines.directory.account(&credentials.username).map(|a| a.user.clone());
            account.ok_or_else(|| error(StatusCode::FORBIDDEN, "not_an_account", "this is not a name of an account"))
        }
        Verdict::Stale => Err(challenge(&mut machines.authenticator, now, peer, true, "stale_nonce", "log in again with the new nonce")),
        Verdict::Wrong => {
            // A connection stands: the source is no forgery.
            failed(&mut machines, now, peer, &credentials.username, "http");
            Err(challenge(&mut machines.authenticator, now, peer, false, "wrong_credentials", "user or password is wrong"))
        }
    }
}

/// A log-in failed: it is counted, and told in the log as far as that is bounded.
pub(super) fn failed(machines: &mut Machines, now: Instant, peer: Peer, account: &str, door: &str) {
    if let Some(line) = machines.failures.failed(now, peer.ip(), account) {
        tracing::warn!("{line} door={door}");
    }
    if let Some(ban) = machines.bans.failed(now, peer.ip(), account)
        && machines.ban_lines.pass(now, peer.ip()).is_some()
    {
        tracing::warn!("{ban}");
    }
}

/// Whoever failed too often hears nothing else, with the right password too.
pub(super) fn banned(left_s: u32) -> Response {
    let mut refused = error(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", "too many log-ins failed from here: come again later");
    refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(left_s));
    refused
}

fn challenge(authenticator: &mut Authenticator, now: Instant, peer: Peer, stale: bool, code: &str, message: &str) -> Response {
    // HTTP clients are ours or new: no MD5 here, whatever SIP needs.
    let [_sha512_256, sha256, _md5] = authenticator.challenge(now, stale, peer.ip());
    let mut refused = error(StatusCode::UNAUTHORIZED, code, message);
    let value = HeaderValue::from_str(&sha256.emit()).expect("a realm is a domain name, checked by the configuration");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    refused
}

// ---- the operator ----

/// The operator, or a person who may the same.
pub(super) fn is_operator(shared: &Shared, peer: Peer, headers: &HeaderMap) -> bool {
    peer.ip().is_loopback() && bears(headers, &shared.admin_token)
        || people::session(shared, peer, headers).is_some_and(|person| person.role == Role::Admin)
}

/// Whether a request carries this token (RFC 6750).
pub(super) fn bears(headers: &HeaderMap, token: &str) -> bool {
    bearer(headers).is_some_and(|t| digest::same(t.as_bytes(), token.as_bytes()))
}

/// The token that a request carries.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "))
}

#[expect(clippy::result_large_err, reason = "the error is the HTTP answer itself, made once a refused request")]
pub(super) fn operator(shared: &Shared, peer: Peer, headers: &HeaderMap) -> Result<(), Response> {
    if is_operator(shared, peer, headers) {
        Ok(())
    } else {
        let whose = "this is for admins, and for the operator: from loopback, with the token of the state directory";
        Err(error(StatusCode::FORBIDDEN, "operator_only", whose))
    }
}

async fn status(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if !peer.ip().is_loopback() && !is_operator(&shared, peer, &headers) {
        return error(StatusCode::FORBIDDEN, "operator_only", "the status is told on loopback only");
    }
    let machines = shared.machines();
    let now = clock::now();
    let (counts, plan, written) = (machines.directory.counts(), &machines.directory.policy().plan, &shared.writer.written);
    ok(&api::StatusAnswer {
        domain: shared.config.domain.clone(),
        server_number: plan.server().to_string(),
        terminal_digits: plan.terminal_digits(),
        registered: counts.registered,
        remembered: counts.remembered,
        reservations: counts.reservations,
        accounts: counts.accounts,
        people: machines.directory.people().len(),
        sessions: machines.sessions.count(),
        uptime_s: (clock::now() - shared.started).as_secs(),
        servers: counts.servers,
        alarms: counts.alarms,
        records_written: written.records.load(Ordering::Relaxed),
        commits: written.commits.load(Ordering::Relaxed),
        write_failures: written.failures.load(Ordering::Relaxed),
        failed_logins: machines.failures.total(),
        banned: machines.bans.count(now),
        turned_away: shared.api_access.turned_away() + shared.sip_access.turned_away() + shared.enum_access.turned_away(),
        identity: Some(shared.keyring.keys().current.fingerprint().to_string()),
        revoked: machines.directory.revocations().len(),
        tls_fingerprint: shared.fingerprint.map(|f| f.to_string()),
        store: if written.is_failing() { "cannot write" } else { "writes" }.into(),
        sip_answered: shared.sip_answered.load(Ordering::Relaxed),
        sip_dropped: shared.sip_dropped.load(Ordering::Relaxed),
        enum_answered: shared.dns.answered(),
        enum_found: shared.dns.of(Outcome::Found),
        enum_dropped: shared.dns.of(Outcome::Dropped) + shared.dns.held_back.load(Ordering::Relaxed),
        connections: shared.connections.load(Ordering::Relaxed),
        refused_full: shared.refused_full.load(Ordering::Relaxed),
    })
}

#[derive(Deserialize)]
struct Page {
    from: Option<String>,
    limit: Option<usize>,
}

async fn registrations(State(shared): At, Extension(peer): From, Query(page): Query<Page>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let Ok(from) = page.from.as_deref().map(Number::parse).transpose() else { return not_a_number() };
    let limit = page.limit.unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
    let machines = shared.machines();
    let mut rows = machines.directory.registrations(clock::now(), from.as_ref()).map(api::RegistrationRow::from);
    let registrations: Vec<_> = rows.by_ref().take(limit).collect();
    ok(&api::RegistrationPage { registrations, next: rows.next().map(|r| r.number) })
}

async fn reservations(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let rows: Vec<api::ReservationJson> = shared.machines().directory.reservations().map(Into::into).collect();
    ok(&rows)
}

async fn reserve(State(shared): At, Extension(peer): From, request: Request) -> Response {
    if let Err(refused) = operator(&shared, peer, request.headers()) {
        return refused;
    }
    match json::<api::ReservationJson>(request).await.map(|r| r.read()) {
        Ok(Ok(reservation)) => answer(shared.ask(Ask::Reserve(reservation)).await),
        Ok(Err(api::BadField(field))) => error(StatusCode::BAD_REQUEST, "bad_field", &format!("{field} cannot be read")),
        Err(refused) => refused,
    }
}

async fn unreserve(State(shared): At, Extension(peer): From, Path(number): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    match Number::parse(&number) {
        Ok(number) => answer(shared.ask(Ask::Unreserve(number)).await),
        Err(_) => not_a_number(),
    }
}

async fn list_accounts(State(shared): At, Extension(peer): From, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    let rows: Vec<api::AccountRow> = shared.machines().directory.accounts().map(Into::into).collect();
    ok(&rows)
}

async fn set_account(State(shared): At, Extension(peer): From, request: Request) -> Response {
    if let Err(refused) = operator(&shared, peer, request.headers()) {
        return refused;
    }
    let ask: api::AccountRequest = match json(request).await {
        Ok(ask) => ask,
        Err(refused) => return refused,
    };
    let Ok(user) = User::parse(&ask.user) else { return error(StatusCode::BAD_REQUEST, "bad_field", "user cannot be read") };
    let Ok(number) = ask.number.as_deref().map(Number::parse).transpose() else { return not_a_number() };
    if ask.password.is_empty() {
        return error(StatusCode::BAD_REQUEST, "bad_field", "the password is empty");
    }
    let account = accounts::account(user, number, &ask.password, &shared.config.domain, &shared.config.policy.plan);
    if !shared.config.loopback_only() && accounts::known_to_everybody([&account], &shared.config.domain).is_some() {
        return error(StatusCode::BAD_REQUEST, "demo_account", "this password is the demo's, which everybody knows");
    }
    answer(shared.ask(Ask::SetAccount(account)).await)
}

async fn remove_account(State(shared): At, Extension(peer): From, Path(user): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&shared, peer, &headers) {
        return refused;
    }
    match User::parse(&user) {
        Ok(user) => answer(shared.ask(Ask::RemoveAccount(user)).await),
        Err(_) => error(StatusCode::BAD_REQUEST, "bad_field", "user cannot be read"),
    }
}

// ---- answers ----

pub(super) fn answer(decided: Result<Answer, Unanswered>) -> Response {
    match decided {
        Ok(Answer::Deregistered { number, was_registered }) => ok(&api::DeregisterAnswer { number: number.to_string(), was_registered }),
        Ok(Answer::Found(found)) => ok(&api::LookupAnswer::Found(found.as_ref().into())),
        Ok(Answer::Away(number)) => ok(&api::LookupAnswer::Away { number: number.to_string() }),
        Ok(Answer::Unknown(number)) => error(StatusCode::NOT_FOUND, "unknown_number", &format!("nobody has the number {number}")),
        // Asked by SIP only, and answered where it is asked.
        Ok(Answer::Bound { .. } | Answer::Registered { .. }) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "wrong_door", "contacts are told by SIP")
        }
        // Before these, `numbers` asked who it is.
        Ok(Answer::LogIn) => error(StatusCode::UNAUTHORIZED, "credentials_wanted", "log in with Digest credentials"),
        Ok(Answer::Withheld(number)) => {
            error(StatusCode::FORBIDDEN, "withheld", &format!("where {number} is reached is told to nobody before its owner consents"))
        }
        Ok(Answer::Elsewhere(server, number)) => ok(&api::LookupAnswer::Elsewhere(numbers::elsewhere(&server, &number, None))),
        Ok(Answer::Done) => ok(&serde_json::json!({ "done": true })),
        Ok(Answer::Refused(why)) => {
            let (status, code, message) = api::refusal(&why);
            let mut refused = error(StatusCode::from_u16(status).expect("the table holds HTTP statuses"), code, &message);
            if status == 503 {
                refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            refused
        }
        Err(Unanswered::Overload) => again("overload", "too many writes wait for the disk"),
        Err(Unanswered::NotWritten) => again("not_written", "the registration could not be written to disk"),
    }
}

pub(super) fn again(code: &str, message: &str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, code, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(super) fn not_a_number() -> Response {
    error(StatusCode::BAD_REQUEST, "not_a_number", "this is not a number")
}

pub(super) fn ok<T: serde::Serialize>(value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("answers are plain structs with string keys");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let mut response = ok(&ErrorAnswer { error: ErrorBody { code: code.to_owned(), message: message.to_owned() } });
    *response.status_mut() = status;
    response
}

pub(super) async fn json<T: DeserializeOwned>(request: Request<Body>) -> Result<T, Response> {
    let body = tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(request.into_body(), API_BODY_BYTES_MAX)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(error(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too long or broke off")),
        Err(_) => return Err(error(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come")),
    };
    serde_json::from_slice(&body).map_err(|e| error(StatusCode::BAD_REQUEST, "bad_json", &e.to_string()))
}
