//! How the directory is, for who watches it: `/health` (200 only while everything works, else 503 with the reason), `/ready` (it answers
//! look-ups), `/metrics` (counts, on loopback or on the address of `[metrics]`).

use super::{At, From, error};
use crate::enum_door::Outcome;
use crate::shell::clock;
use crate::shell::directory::Shared;
use crate::shell::metrics::Page;
use crate::shell::store::Beat;
use axum::Router;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The SIP door says every second that it lives; silent for so long, it does not, in milliseconds.
const SIP_SILENT_MS: u64 = 5000;
/// The ENUM door's threads look around five times a second, likewise.
const DNS_SILENT_MS: u64 = 5000;

/// On the API.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/health", get(health)).route("/ready", get(ready)).route("/metrics", get(metrics))
}

/// On an address of its own, for whoever reaches it.
pub(super) fn routes_beside(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(|State(shared): At| async move { page(&shared).answer() }))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no_such_resource", "there is no such resource") })
        .with_state(shared)
}

/// Why the doors are not open, if they are not.
fn closed(shared: &Shared) -> Option<&'static str> {
    if shared.stopping.load(Ordering::Acquire) {
        return Some("the directory is ending");
    }
    let silent = clock::now().as_ms().saturating_sub(shared.sip_alive_ms.load(Ordering::Acquire));
    if shared.config.sip.is_some() && silent > SIP_SILENT_MS {
        return Some("the SIP door does not answer");
    }
    let listeners = shared.config.enum_dns.as_ref().map_or(0, |dns| dns.listen.len());
    let silent = clock::now().as_ms().saturating_sub(shared.dns.alive_ms(listeners));
    (listeners > 0 && silent > DNS_SILENT_MS).then_some("the ENUM door does not answer")
}

/// The daemon goes on: what does not mend itself by a new start (a full disk) is no reason for one.
pub(in crate::shell) fn is_alive(shared: &Shared) -> bool {
    closed(shared).is_none()
}

/// Why something does not work, if something does not.
async fn fault(shared: &Shared) -> Option<&'static str> {
    if let Some(why) = closed(shared) {
        return Some(why);
    }
    match shared.writer.beat().await {
        Beat::Works => None,
        Beat::NotWritten => Some("the store cannot write: registrations are refused, look-ups go on"),
        Beat::Full => Some("too many writes wait for the disk: registrations are refused, look-ups go on"),
        Beat::Silent => Some("the store does not answer"),
    }
}

fn told(why: Option<&str>) -> Response {
    match why {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn health(State(shared): At) -> Response {
    told(fault(&shared).await)
}

async fn ready(State(shared): At) -> Response {
    told(closed(&shared))
}

async fn metrics(State(shared): At, Extension(peer): From) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        page(&shared).answer()
    } else {
        error(StatusCode::FORBIDDEN, "operator_only", "counts are told on loopback, and where [metrics] says")
    }
}

fn page(shared: &Shared) -> Page {
    let now = clock::now();
    let (counts, failed_logins, banned, people, sessions) = {
        let m = shared.machines();
        (m.directory.counts(), m.failures.total(), m.bans.count(now), m.directory.people().len(), m.sessions.count())
    };
    let written = &shared.writer.written;
    let load = |v: &std::sync::atomic::AtomicU64| v.load(Ordering::Relaxed);
    let mut page = Page::of("directory");
    page.gauge("uptime_seconds", "Seconds since start", usize::try_from((now - shared.started).as_secs()).unwrap_or(usize::MAX))
        .gauge("registered", "Numbers with an address now", counts.registered)
        .gauge("remembered", "Numbers remembered, registered or not", counts.remembered)
        .gauge("reservations", "Reserved numbers", counts.reservations)
        .gauge("accounts", "Accounts of terminals", counts.accounts)
        .gauge("people", "People who may log in", people)
        .gauge("sessions", "Sessions of people that run", sessions)
        .gauge("banned", "Sources, and accounts of sources, that are banned now", banned)
        .gauge("api_connections", "Connections to the API that are open now", shared.connections.load(Ordering::Relaxed))
        .gauge("store_failing", "1 while the store cannot write", usize::from(written.is_failing()))
        .counter("store_records", "Records written to disk", load(&written.records))
        .counter("store_commits", "Transactions they took", load(&written.commits))
        .counter("store_failures", "Transactions that failed", load(&written.failures))
        .counter("failed_logins", "Log-ins that failed, at every door", failed_logins)
        .counter("sip_answered", "SIP requests answered, by whatever answer", load(&shared.sip_answered))
        .counter("sip_dropped", "SIP messages dropped", load(&shared.sip_dropped))
        .counter("refused_full", "Connections and requests refused because a bound was reached", load(&shared.refused_full))
        .counter("turned_away_sip", "Datagrams and connections of SIP turned away by the access list", shared.sip_access.turned_away())
        .counter("enum_answered", "ENUM queries answered, by whatever answer", shared.dns.answered())
        .counter("enum_found", "Of them, those that gave contacts", shared.dns.of(Outcome::Found))
        .counter("enum_unknown", "Of them, those for names that are not there", shared.dns.of(Outcome::Unknown))
        .counter("enum_refused", "Of them, those refused", shared.dns.of(Outcome::Refused))
        .counter("enum_malformed", "Of them, those that could not be read", shared.dns.of(Outcome::Malformed))
        .counter("enum_truncated", "Of them, those sent to TCP", shared.dns.of(Outcome::Truncated))
        .counter("enum_held_back", "ENUM queries beyond the rate of their source, not answered", load(&shared.dns.held_back))
        .counter("enum_not_sent", "ENUM answers that could not be sent", load(&shared.dns.not_sent))
        .counter("enum_refused_full", "ENUM connections turned away because there were too many", load(&shared.dns.turned_away))
        .counter("turned_away_enum", "Queries and connections of ENUM turned away by the access list", shared.enum_access.turned_away())
        .counter("turned_away_api", "Connections to the API turned away by the access list", shared.api_access.turned_away());
    page
}
