//! How a gateway is, for who watches it: `/health` (200 only while everything of its own works), `/ready` (its numbers are registered too),
//! `/metrics`. On the API without a token, and on the address of `[metrics]` for whoever reaches it: they tell counts, and nothing of anybody.

use super::{Answer, Ask, At, Door, refused, requested};
use crate::shell::clock;
use crate::shell::gateway::Daemon;
use crate::shell::metrics::Page;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The daemon's loop must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The board must have turned within this time, in milliseconds. It turns fifty times a second.
const TURN_WITHIN_MS: u64 = 2000;

/// What needs no token.
pub(super) const PATHS: [&str; 3] = ["/health", "/ready", "/metrics"];

pub(super) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/health", get(|d: At| told(d, Ask::Health)))
        .route("/ready", get(|d: At| told(d, Ask::Ready)))
        .route("/metrics", get(metrics))
}

/// Serves the address of `[metrics]` until the task is dropped.
pub async fn serve(listener: tokio::net::TcpListener, door: Arc<Door>) {
    let nothing = || async { refused(StatusCode::NOT_FOUND, "there is no such resource") };
    super::serve_bounded(listener, routes().fallback(nothing).with_state(door), "metrics").await;
}

async fn within(at: At, ask: Ask) -> Answer {
    let silent = || Err((StatusCode::SERVICE_UNAVAILABLE, "the gateway's loop does not answer".to_owned()));
    tokio::time::timeout(ANSWER_WITHIN, requested(&at.0, ask)).await.unwrap_or_else(|_| silent())
}

async fn told(at: At, ask: Ask) -> Response {
    match within(at, ask).await {
        Ok(value) => Json(value).into_response(),
        Err((status, why)) => (status, Json(json!({"ok": false, "why": why}))).into_response(),
    }
}

async fn metrics(at: At) -> Response {
    match within(at, Ask::Metrics).await {
        Ok(Value::String(text)) => Page::answer_of(text),
        Ok(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "there are no counts"),
        Err((status, why)) => refused(status, &why),
    }
}

/// Why something does not work, if something does not.
pub(in crate::shell) fn fault(daemon: &Daemon) -> Option<&'static str> {
    if daemon.is_stopping() {
        return Some("the gateway is ending");
    }
    (daemon.board_still_ms(clock::now()) > TURN_WITHIN_MS).then_some("the media thread stands still")
}

pub(super) fn health(daemon: &Daemon) -> Answer {
    match fault(daemon) {
        None => Ok(json!({"ok": true})),
        Some(why) => Err((StatusCode::SERVICE_UNAVAILABLE, why.into())),
    }
}

pub(super) fn ready(daemon: &Daemon) -> Answer {
    health(daemon)?;
    match daemon.registrants.iter().find(|r| !r.registrant.is_registered()) {
        None => Ok(json!({"ok": true})),
        Some(r) => {
            let name = daemon.config.ports.get(usize::from(r.port.0)).map_or("a port", |p| p.name.as_str());
            Err((StatusCode::SERVICE_UNAVAILABLE, format!("{name}: {}", r.words())))
        }
    }
}

pub(super) fn page(daemon: &Daemon) -> Answer {
    let (media, messages, sip) = (&daemon.media, daemon.gateway.sip().counters(), &daemon.sip_counters);
    let load = |v: &std::sync::atomic::AtomicU64| v.load(Ordering::Relaxed);
    let us = |us: u64| usize::try_from(us).unwrap_or(usize::MAX);
    let ports = daemon.gateway.ports();
    let registered = daemon.registrants.iter().filter(|r| r.registrant.is_registered()).count();
    let mut page = Page::of("gateway");
    page.gauge("uptime_seconds", "Seconds since start", us(clock::now().ms_since(daemon.started) / 1000))
        .gauge("ports", "Ports", ports.len())
        .gauge("ports_in_call", "Ports in a call now", ports.iter().filter(|p| p.call.is_some()).count())
        .gauge("calls", "Calls now", daemon.gateway.calls().len())
        .gauge("registrations_wanted", "Ports that are to be registered at the directory", daemon.registrants.len())
        .gauge("registrations", "Ports that are", registered)
        .counter("calls_ended", "Calls that ended", daemon.totals.calls)
        .counter("calls_completed", "Calls that were answered, and ended", daemon.totals.completed)
        .counter("fax_pages", "Fax pages confirmed", daemon.totals.fax_pages)
        .counter("ticks", "Turns of the board", load(&media.ticks))
        .counter("ticks_skipped", "Turns skipped because the thread woke up too late", load(&media.ticks_skipped))
        .gauge("tick_us_p99", "The gateway's own part of a turn, 99th percentile, in microseconds", us(media.tick_us.quantile_us(0.99)))
        .gauge("late_us_p99", "How late the thread wakes up, 99th percentile, in microseconds", us(media.late_us.quantile_us(0.99)))
        .counter("events_lost", "Events lost for a full queue", load(&media.events_lost))
        .counter("stray_datagrams", "Media datagrams for nobody", load(&media.stray_datagrams))
        .counter("media_send_errors", "Media datagrams that could not be sent", load(&media.send_errors))
        .counter("sip_sent", "SIP messages sent, repeats included", messages.sent)
        .counter("sip_repeated", "SIP messages sent again", messages.repeated)
        .counter("sip_garbage", "Datagrams that are no SIP", messages.garbage)
        .counter("sip_malformed", "SIP requests refused for how they are written", messages.malformed)
        .counter("sip_refused", "SIP requests refused that left nothing behind", messages.refused)
        .counter("sip_full", "SIP requests refused because a table is full", messages.full)
        .gauge("sip_connections_in", "SIP connections open now that others opened", sip.open_in)
        .gauge("sip_connections_out", "SIP connections open now that we opened", sip.open_out);
    Ok(Value::String(page.text()))
}
