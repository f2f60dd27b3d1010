//! The gateway's local API: HTTP on loopback, JSON. What `tipring status`, `ports`, `calls`, `routes`, `lookup` and `sim` speak to.
//!
//! All but [`health`] is the operator's, who shows by the token of the state folder (`admin.token`) that he may read it. A `Host` that is
//! not loopback is a web page's doing (DNS rebinding) and is sent away. Bounded: connections, heads, bodies, and the time for each.

pub mod health;

use super::clock::{self, rfc3339};
use super::gateway::{Daemon, kind_word};
use super::log::Seldom;
use super::{directory, http, identity_key, simulate, sip_accounts};
use crate::api::gateway::{Call, MediaCounters, Port, Registration, Route, SimAction, SipMessageCounters, Status};
use crate::config::gateway::{GatewayConfig, PortKind};
use crate::id::PortId;
use crate::key::Fingerprint;
use crate::limits::API_BODY_BYTES_MAX;
use crate::number::Number;
use crate::resolve;
use axum::body::Body;
use axum::extract::{Path, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Connections at a time. The operator's tools make one each and close it.
const CONNECTIONS_MAX: usize = 64;
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What the API asks of the daemon; each carries the way back.
pub struct Request {
    /// The question.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// The answer: a value, or a status with words.
pub type Answer = Result<Value, (StatusCode, String)>;

/// The questions.
pub enum Ask {
    /// `GET /health`
    Health,
    /// `GET /ready`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /v1/status`
    Status,
    /// `GET /v1/ports`
    Ports,
    /// `GET /v1/calls`
    Calls,
    /// `GET /v1/routes`
    Routes,
    /// `POST /v1/routes`
    AddRoute(Route),
    /// `DELETE /v1/routes/{number}`
    RemoveRoute(String),
    /// `GET /v1/lookup/{number}`
    Lookup(String),
    /// `POST /v1/identity/rotate`
    RotateIdentity,
    /// `DELETE /v1/identity/directory`
    ForgetDirectory,
    /// `POST /v1/sim/{port}`
    Simulate(PortId, simulate::Prepared),
    /// `GET /v1/sim/{port}?after=N`
    SimNotes(String, u64),
}

type Asker = mpsc::Sender<Request>;

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// What stands between the network and the daemon.
pub struct Door {
    requests: Asker,
    token: String,
    outbox: PathBuf,
    ports: Vec<(String, PortKind)>,
    /// One command's files at a time are read: each may be large.
    reading: Arc<Semaphore>,
}

type At = State<Arc<Door>>;

impl Door {
    /// Makes (or reads) the operator's token and empties the outbox.
    pub fn open(requests: Asker, config: &GatewayConfig, state: &std::path::Path) -> Result<Self, String> {
        let token = directory::admin_token(state).map_err(|e| e.to_string())?;
        let ports = config.ports.iter().map(|p| (p.name.clone(), p.kind)).collect();
        Ok(Door { requests, token, outbox: simulate::outbox(state)?, ports, reading: Arc::new(Semaphore::new(1)) })
    }
}

fn routes_of(door: Arc<Door>) -> Router {
    Router::new()
        .merge(health::routes())
        .route("/v1/status", get(|d: At| ask(d, Ask::Status)))
        .route("/v1/ports", get(|d: At| ask(d, Ask::Ports)))
        .route("/v1/calls", get(|d: At| ask(d, Ask::Calls)))
        .route("/v1/routes", get(|d: At| ask(d, Ask::Routes)).post(|d: At, Json(r): Json<Route>| ask(d, Ask::AddRoute(r))))
        .route("/v1/routes/{number}", delete(|d: At, Path(n): Path<String>| ask(d, Ask::RemoveRoute(n))))
        .route("/v1/lookup/{number}", get(|d: At, Path(n): Path<String>| ask(d, Ask::Lookup(n))))
        .route("/v1/identity/directory", delete(|d: At| ask(d, Ask::ForgetDirectory)))
        .route("/v1/identity/rotate", post(|d: At| ask(d, Ask::RotateIdentity)))
        .route("/v1/sim/{port}", post(prepare))
        .route("/v1/sim/{port}", get(|d: At, Path(p): Path<String>, Query(a): Query<After>| ask(d, Ask::SimNotes(p, a.after))))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is no such resource") })
        .layer(middleware::from_fn_with_state(door.clone(), guard))
        .with_state(door)
}

/// Serves the API until the task is dropped.
pub async fn serve(listener: tokio::net::TcpListener, door: Arc<Door>) {
    serve_bounded(listener, routes_of(door), "API").await;
}

/// Serves these routes on a listener, [`CONNECTIONS_MAX`] connections at a time. `name` is for the log.
async fn serve_bounded(listener: tokio::net::TcpListener, routes: Router, name: &'static str) {
    let service = TowerToHyperService::new(routes);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of descriptors, most likely: without a pause this would spin.
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("{name}: accept: {e} ({more} more were not logged)");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // When it is full, a newcomer is closed on at once.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let service = service.clone();
        tokio::spawn(async move {
            // A client that breaks off has itself to blame.
            let _broken_off = http::http1(IDLE).serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

/// Whom the door lets in, and a body of bounded size and patience.
async fn guard(State(door): At, request: HttpRequest, next: Next) -> Response {
    if !is_for_loopback(request.headers()) {
        return refused(StatusCode::MISDIRECTED_REQUEST, "this is answered under a loopback address only");
    }
    if !health::PATHS.contains(&request.uri().path()) && !http::bears(request.headers(), &door.token) {
        let mut refused = refused(StatusCode::UNAUTHORIZED, "this is the operator's, with the token of the state folder");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        return refused;
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(http::BODY_WITHIN, axum::body::to_bytes(body, API_BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => next.run(HttpRequest::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off"),
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
    }
}

/// Whether the client meant this machine: `127.0.0.1:6180`, `[::1]:6180`, `localhost`.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return ip.is_loopback();
    }
    host.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("localhost"))
}

/// `POST /v1/sim/{port}`: everything that touches files is done here, before the daemon hears of it.
async fn prepare(State(door): At, Path(port): Path<String>, Json(action): Json<SimAction>) -> Response {
    let Some(i) = door.ports.iter().position(|(name, _)| *name == port) else {
        let names: Vec<&str> = door.ports.iter().map(|(name, _)| name.as_str()).collect();
        return refused(StatusCode::NOT_FOUND, &no_port(&port, &names));
    };
    let (kind, outbox) = (door.ports[i].1, door.outbox.clone());
    let turn = door.reading.clone().acquire_owned().await.expect("the semaphore is never closed");
    let prepared = tokio::task::spawn_blocking(move || {
        let prepared = simulate::prepare(kind, action, &outbox);
        drop(turn);
        prepared
    });
    match prepared.await {
        Ok(Ok(prepared)) => ask(State(door), Ask::Simulate(PortId(i as u16), prepared)).await,
        Ok(Err(words)) => refused(StatusCode::BAD_REQUEST, &words),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the files could not be read"),
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": {"code": status.as_u16(), "message": message}}))).into_response()
}

fn no_port(name: &str, there_are: &[&str]) -> String {
    format!("no port {name:?} here; there are {}", there_are.join(", "))
}

async fn ask(State(door): At, ask: Ask) -> Response {
    match requested(&door, ask).await {
        Ok(value) => Json(value).into_response(),
        Err((status, message)) => refused(status, &message),
    }
}

async fn requested(door: &Door, ask: Ask) -> Answer {
    let (reply, answer) = oneshot::channel();
    let gone = || (StatusCode::SERVICE_UNAVAILABLE, "the gateway is going down".to_owned());
    match door.requests.send(Request { ask, reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
        Err(_) => Err(gone()),
    }
}

/// Answers one question from the daemon's state.
pub fn answer(daemon: &mut Daemon, request: Request) {
    let answer = match request.ask {
        Ask::Health => health::health(daemon),
        Ask::Ready => health::ready(daemon),
        Ask::Metrics => health::page(daemon),
        Ask::Status => Ok(status(daemon)),
        Ask::Ports => Ok(ports(daemon)),
        Ask::Calls => Ok(calls(daemon)),
        Ask::Routes => Ok(routes(daemon)),
        Ask::AddRoute(route) => add_route(daemon, &route),
        Ask::RemoveRoute(number) => remove_route(daemon, &number),
        Ask::Lookup(number) => return daemon.look_up_for(&number, request.reply),
        Ask::ForgetDirectory => match &daemon.directory {
            Some(directory) => {
                let forgotten = directory.pins.forget();
                forgotten.map(|()| json!({"done": true})).map_err(|words| (StatusCode::INTERNAL_SERVER_ERROR, words))
            }
            None => Err((StatusCode::NOT_FOUND, "this gateway has no directory".into())),
        },
        Ask::RotateIdentity => daemon
            .rotate_identity()
            .map(|()| identity_key::shown(&daemon.keyring))
            .map_err(|words| (StatusCode::INTERNAL_SERVER_ERROR, words)),
        Ask::Simulate(port, prepared) => simulate(daemon, port, prepared),
        Ask::SimNotes(port, after) => port_of(daemon, &port).map(|p| json!(daemon.notes.after(p, after))),
    };
    // A client that went away does not want it.
    let _nobody_waits = request.reply.send(answer);
}

fn bad(message: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, message.into())
}

fn port_of(daemon: &Daemon, name: &str) -> Result<PortId, (StatusCode, String)> {
    let names = || daemon.config.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>();
    let found = daemon.config.ports.iter().position(|p| p.name == name);
    found.map(|i| PortId(i as u16)).ok_or_else(|| (StatusCode::NOT_FOUND, no_port(name, &names())))
}

fn status(daemon: &mut Daemon) -> Value {
    let media = &daemon.media;
    let count = |v: &std::sync::atomic::AtomicU64| v.load(Ordering::Relaxed);
    let counters = MediaCounters {
        ticks: count(&media.ticks),
        ticks_skipped: count(&media.ticks_skipped),
        tick_us_p50: media.tick_us.quantile_us(0.5),
        tick_us_p99: media.tick_us.quantile_us(0.99),
        tick_cpu_us_p99: media.tick_cpu_us.quantile_us(0.99),
        exchange_us_p99: media.exchange_us.quantile_us(0.99),
        late_us_p99: media.late_us.quantile_us(0.99),
        events_lost: count(&media.events_lost),
        stray_datagrams: count(&media.stray_datagrams),
        send_errors: count(&media.send_errors),
    };
    let registrations = daemon.registrants.iter().map(|r| Registration {
        port: daemon.config.ports[usize::from(r.port.0)].name.clone(),
        number: r.registrant.number().map(ToString::to_string),
        state: r.words(),
    });
    let enrolling = daemon.enrolling.iter().map(|e| Registration {
        port: daemon.config.ports[usize::from(e.port.0)].name.clone(),
        number: None,
        state: e.words.clone(),
    });
    let registrations = registrations.chain(enrolling).collect();
    let views = daemon.gateway.ports();
    let messages = daemon.gateway.sip().counters();
    let status = Status {
        name: daemon.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: clock::now().ms_since(daemon.started) / 1000,
        sip: daemon.told_address.to_string(),
        identity: Some(daemon.keyring.keys().current.fingerprint().to_string()),
        directory_keys: daemon.directory.as_ref().map(|d| d.pins.all().into_iter().collect()).unwrap_or_default(),
        ports: views.len(),
        ports_in_call: views.iter().filter(|p| p.call.is_some()).count(),
        calls: daemon.gateway.calls().len(),
        calls_total: daemon.totals.calls,
        calls_completed: daemon.totals.completed,
        fax_pages_total: daemon.totals.fax_pages,
        routes: daemon.gateway.resolver().learned().count(),
        registrations,
        accounts: daemon.gateway.accounts().into_iter().map(sip_accounts::row).collect(),
        media: counters,
        sip_garbage: messages.garbage,
        sip_messages: SipMessageCounters {
            garbage: messages.garbage,
            malformed: messages.malformed,
            stray_responses: messages.stray_responses,
            stray_acks: messages.stray_acks,
            refused: messages.refused,
            full: messages.full,
            crowded: messages.crowded,
            heavy: messages.heavy,
            sent: messages.sent,
            repeated: messages.repeated,
            failovers: messages.failovers,
        },
        sip_transport: daemon.sip_counters.into(),
    };
    json!(status)
}

fn ports(daemon: &Daemon) -> Value {
    let rows = daemon.gateway.ports().into_iter().enumerate().map(|(i, p)| Port {
        name: p.name,
        kind: kind_word(&daemon.config, i).into(),
        number: p.number.map(|n| n.to_string()),
        state: p.state.into(),
        call: p.call.map(|c| c.to_string()),
    });
    json!(rows.collect::<Vec<_>>())
}

fn calls(daemon: &Daemon) -> Value {
    let rows = daemon.gateway.calls().into_iter().map(|c| Call {
        call: c.call.to_string(),
        direction: c.direction.word().into(),
        from: c.from,
        to: c.to,
        state: c.state.into(),
        media: c.media.into(),
        started: rfc3339(c.started),
        peer: c.peer.map(|p| p.to_string()),
        peer_says: c.peer_says.as_ref().map(super::records::peer_says),
        fax_choice: c.fax_choice,
    });
    json!(rows.collect::<Vec<_>>())
}

fn routes(daemon: &mut Daemon) -> Value {
    let rows = daemon.gateway.resolver().learned().map(|(dialled, r)| Route {
        number: dialled.to_string(),
        contact: r.contact.to_string(),
        fingerprint: r.fingerprint.clone(),
        signed: r.signed,
        learned_at: Some(rfc3339(r.learned_at)),
        expires_at: r.expires_at.map(rfc3339),
        days: None,
    });
    json!(rows.collect::<Vec<_>>())
}

fn add_route(daemon: &mut Daemon, route: &Route) -> Answer {
    let number = Number::parse(&route.number).map_err(|e| bad(format!("{}: {e}", route.number)))?;
    let contact = route.contact.parse().map_err(|_| bad(format!("{:?} is not ADDRESS:PORT", route.contact)))?;
    let fingerprint = match &route.fingerprint {
        Some(text) => {
            Some(Fingerprint::parse(text).ok_or_else(|| bad(format!("{text:?} is no identifier: sha-256 AA:BB:..")))?.to_string())
        }
        None => None,
    };
    if route.days.is_some_and(|days| !(1..=3650).contains(&days)) {
        return Err(bad("days: 1 to 3650"));
    }
    daemon.gateway.resolver().learn_for(clock::wall(), number, contact, fingerprint, route.days);
    daemon.gateway.flush_routes();
    Ok(routes(daemon))
}

fn remove_route(daemon: &mut Daemon, number: &str) -> Answer {
    let parsed = Number::parse(number).map_err(|e| bad(format!("{number}: {e}")))?;
    // The machine that is behind an outside number now may be another, too: what it calls itself is learned anew.
    let csi = daemon.gateway.forget_csi(&parsed);
    if !daemon.gateway.resolver().forget(&parsed) && !csi {
        return Err((StatusCode::NOT_FOUND, format!("no learned route to {number}")));
    }
    daemon.gateway.flush_routes();
    Ok(routes(daemon))
}

fn simulate(daemon: &mut Daemon, id: PortId, prepared: simulate::Prepared) -> Answer {
    let port = daemon.config.ports[usize::from(id.0)].name.clone();
    let control = daemon.notes.order(id, prepared).map_err(|why| (StatusCode::CONFLICT, format!("{port}: {why}")))?;
    daemon.simulate(id, control);
    Ok(json!({"port": port}))
}

/// A look-up's answer as JSON.
pub fn lookup_json(answer: &resolve::Answer, how: &str) -> Value {
    match answer {
        resolve::Answer::Found { number, contact, fingerprint, signed } => {
            json!({"found": true, "number": number.to_string(), "contact": contact.to_string(), "fingerprint": fingerprint, "signed": signed,
                "by": how})
        }
        resolve::Answer::Terminals { number, ring, at, signed } => {
            let ring = if *ring == resolve::Ring::All { "all" } else { "in-order" };
            let contacts: Vec<Value> = at.iter().map(|(c, f)| json!({"contact": c.to_string(), "fingerprint": f})).collect();
            let (contact, fingerprint) = at.first().cloned().unzip();
            json!({"found": true, "number": number.to_string(), "contact": contact.map(|c| c.to_string()), "fingerprint": fingerprint.flatten(),
                "signed": signed, "ring": ring, "contacts": contacts, "by": how})
        }
        resolve::Answer::No(why) => json!({"found": false, "why": why.words(), "by": how}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_host_is_let_in() {
        let host = |h: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, h.parse().unwrap());
            is_for_loopback(&headers)
        };
        for good in ["127.0.0.1:6180", "127.0.0.1", "[::1]:6180", "[::1]", "localhost", "LocalHost:6180"] {
            assert!(host(good), "{good}");
        }
        for bad in ["evil.example:6180", "localhost.evil.example", "192.0.2.1:6180", "", "127.0.0.1.evil.example", "0.0.0.0:6180"] {
            assert!(!host(bad), "{bad}");
        }
        assert!(!is_for_loopback(&HeaderMap::new()));
    }
}
