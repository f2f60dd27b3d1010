//! Structured logs on stderr: one line a decision, with the call's id. `TIPRING_LOG` chooses the level (`info`, `tipring=debug`, ...),
//! `TIPRING_LOG_JSON=1` the form.

use tracing_subscriber::EnvFilter;

/// Starts logging. Called once, by a daemon.
pub fn start() {
    let filter = EnvFilter::try_from_env("TIPRING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (in a test) keeps the first.
    let _already_started = if std::env::var("TIPRING_LOG_JSON").is_ok_and(|v| v == "1") {
        builder.json().try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
}
