//! `tipring check`: is the file right, and what would run.

use super::{Daemon, Outcome, config_path, problems};
use crate::config::AnyConfig;
use serde_json::json;

pub fn run(daemon: &Daemon) -> Outcome {
    let path = match config_path(daemon) {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    let config = match crate::config::any(&path) {
        Ok(config) => config,
        Err(found) if daemon.json => {
            let rows: Vec<_> = found
                .iter()
                .map(|e| json!({"file": e.file.display().to_string(), "line": e.line, "key": e.key, "message": e.message}))
                .collect();
            println!("{}", json!({"ok": false, "problems": rows}));
            return problems(&found);
        }
        Err(found) => return problems(&found),
    };
    let explained = match &config {
        AnyConfig::Gateway(c) => gateway(c),
        AnyConfig::Directory(c) => vec![
            format!(
                "a directory of domain {}, server number {}, terminal numbers of {} digits",
                c.domain,
                c.policy.plan.server(),
                c.policy.plan.terminal_digits()
            ),
            format!("API on {}", c.api_listen),
            format!("state in {}", c.state_dir.display()),
        ],
    };
    if daemon.json {
        println!("{}", json!({"ok": true, "problems": [], "runs": explained}));
    } else {
        println!("{}: ok", path.display());
        for line in explained {
            println!("  {line}");
        }
    }
    Outcome::Yes
}

fn gateway(c: &crate::config::gateway::GatewayConfig) -> Vec<String> {
    let mut lines = vec![
        format!("a gateway: SIP on {} (UDP), API on {}", c.sip.listen, c.api.listen),
        format!(
            "media on UDP {} to {}: {} legs; codecs {}; T.38 {}",
            c.media.ports[0],
            c.media.ports[1],
            c.legs(),
            c.media.codecs.join(", "),
            if c.media.t38 { "on" } else { "off" }
        ),
        format!("tones of {}, digit map {}", c.line.country, c.line.digit_map),
        match &c.emergency.target {
            Some(target) => format!("emergency numbers {} go to {target}", c.emergency_numbers().join(", ")),
            None => format!("WARNING: emergency numbers {} go nowhere: set emergency.target", c.emergency_numbers().join(", ")),
        },
        match &c.directory {
            Some(d) => format!("numbers registered at {}, lease {} s", d.api, d.lease_s),
            None => "no directory: the numbers below are its own".into(),
        },
    ];
    lines.extend(
        c.ports
            .iter()
            .map(|p| format!("port {}: {}, number {}", p.name, p.kind.word(), p.number.as_deref().unwrap_or("given by the directory"))),
    );
    lines.extend(crate::config::accounts::explained(c));
    lines
}
