//! The gateway's local API: HTTP on loopback, JSON. What `tipring status`, `ports`, `calls`, `routes`, `lookup` and `sim` speak to.

use super::clock::{self, rfc3339};
use super::gateway::{Daemon, kind_word};
use super::simulate;
use crate::api::gateway::{Call, MediaCounters, Port, Registration, Route, SimAction, Status};
use crate::id::PortId;
use crate::number::Number;
use crate::resolve;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

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
    /// `POST /v1/sim/{port}`
    Simulate(String, SimAction),
    /// `GET /v1/sim/{port}?after=N`
    SimNotes(String, u64),
}

type Asker = mpsc::Sender<Request>;

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// Serves the API until the task is dropped.
pub async fn serve(listener: tokio::net::TcpListener, requests: Asker) {
    let app = Router::new()
        .route("/health", get(|| async { Json(json!({"ok": true})) }))
        .route("/v1/status", get(|s: State<Asker>| ask(s, Ask::Status)))
        .route("/v1/ports", get(|s: State<Asker>| ask(s, Ask::Ports)))
        .route("/v1/calls", get(|s: State<Asker>| ask(s, Ask::Calls)))
        .route(
            "/v1/routes",
            get(|s: State<Asker>| ask(s, Ask::Routes)).post(|s: State<Asker>, Json(r): Json<Route>| ask(s, Ask::AddRoute(r))),
        )
        .route("/v1/routes/{number}", delete(|s: State<Asker>, Path(n): Path<String>| ask(s, Ask::RemoveRoute(n))))
        .route("/v1/lookup/{number}", get(|s: State<Asker>, Path(n): Path<String>| ask(s, Ask::Lookup(n))))
        .route("/v1/sim/{port}", post(|s: State<Asker>, Path(p): Path<String>, Json(a): Json<SimAction>| ask(s, Ask::Simulate(p, a))))
        .route("/v1/sim/{port}", get(|s: State<Asker>, Path(p): Path<String>, Query(a): Query<After>| ask(s, Ask::SimNotes(p, a.after))))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(requests);
    if let Err(e) = axum::serve(listener, app).await {
        tracing::error!("the API stopped: {e}");
    }
}

async fn ask(State(requests): State<Asker>, ask: Ask) -> Response {
    let (reply, answer) = oneshot::channel();
    let gone = || (StatusCode::SERVICE_UNAVAILABLE, "the gateway is going down".to_owned());
    let answer = match requests.send(Request { ask, reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
        Err(_) => Err(gone()),
    };
    match answer {
        Ok(value) => Json(value).into_response(),
        Err((status, message)) => (status, Json(json!({"error": {"code": status.as_u16(), "message": message}}))).into_response(),
    }
}

/// Answers one question from the daemon's state.
pub fn answer(daemon: &mut Daemon, request: Request) {
    let answer = match request.ask {
        Ask::Status => Ok(status(daemon)),
        Ask::Ports => Ok(ports(daemon)),
        Ask::Calls => Ok(calls(daemon)),
        Ask::Routes => Ok(routes(daemon)),
        Ask::AddRoute(route) => add_route(daemon, &route),
        Ask::RemoveRoute(number) => remove_route(daemon, &number),
        Ask::Lookup(number) => return daemon.look_up_for(&number, request.reply),
        Ask::Simulate(port, action) => simulate(daemon, &port, action),
        Ask::SimNotes(port, after) => port_of(daemon, &port).map(|p| json!(daemon.notes.after(p, after))),
    };
    // A client that went away does not want it.
    let _nobody_waits = request.reply.send(answer);
}

fn bad(message: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, message.into())
}

fn port_of(daemon: &Daemon, name: &str) -> Result<PortId, (StatusCode, String)> {
    let names = || daemon.config.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = daemon.config.ports.iter().position(|p| p.name == name);
    found.map(|i| PortId(i as u16)).ok_or_else(|| (StatusCode::NOT_FOUND, format!("no port {name:?} here; there are {}", names())))
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
    let registrations = registrations.collect();
    let views = daemon.gateway.ports();
    let status = Status {
        name: daemon.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: clock::now().ms_since(daemon.started) / 1000,
        sip: daemon.config.sip.listen.to_string(),
        ports: views.len(),
        ports_in_call: views.iter().filter(|p| p.call.is_some()).count(),
        calls: daemon.gateway.calls().len(),
        calls_total: daemon.totals.calls,
        calls_completed: daemon.totals.completed,
        fax_pages_total: daemon.totals.fax_pages,
        routes: daemon.gateway.resolver().learned().count(),
        registrations,
        media: counters,
        sip_garbage: daemon.gateway.sip().counters().garbage,
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
    });
    json!(rows.collect::<Vec<_>>())
}

fn routes(daemon: &mut Daemon) -> Value {
    let rows = daemon.gateway.resolver().learned().map(|(dialled, r)| Route {
        number: dialled.to_string(),
        contact: r.contact.to_string(),
        fingerprint: r.fingerprint.clone(),
        learned_at: Some(rfc3339(r.learned_at)),
    });
    json!(rows.collect::<Vec<_>>())
}

fn add_route(daemon: &mut Daemon, route: &Route) -> Answer {
    let number = Number::parse(&route.number).map_err(|e| bad(format!("{}: {e}", route.number)))?;
    let contact = route.contact.parse().map_err(|_| bad(format!("{:?} is not ADDRESS:PORT", route.contact)))?;
    daemon.gateway.resolver().learn(clock::wall(), number, contact, route.fingerprint.clone());
    daemon.gateway.flush_routes();
    Ok(routes(daemon))
}

fn remove_route(daemon: &mut Daemon, number: &str) -> Answer {
    let parsed = Number::parse(number).map_err(|e| bad(format!("{number}: {e}")))?;
    if !daemon.gateway.resolver().forget(&parsed) {
        return Err((StatusCode::NOT_FOUND, format!("no learned route to {number}")));
    }
    daemon.gateway.flush_routes();
    Ok(routes(daemon))
}

fn simulate(daemon: &mut Daemon, port: &str, action: SimAction) -> Answer {
    let id = port_of(daemon, port)?;
    if let SimAction::Record { file } = &action {
        daemon.notes.record_into(id, file.into());
    }
    for control in simulate::controls(action).map_err(bad)? {
        daemon.simulate(id, control);
    }
    Ok(json!({"port": port}))
}

/// A look-up's answer as JSON.
pub fn lookup_json(answer: &resolve::Answer, how: &str) -> Value {
    match answer {
        resolve::Answer::Found { number, contact, fingerprint } => {
            json!({"found": true, "number": number.to_string(), "contact": contact.to_string(), "fingerprint": fingerprint, "by": how})
        }
        resolve::Answer::No(why) => json!({"found": false, "why": why.words(), "by": how}),
    }
}
