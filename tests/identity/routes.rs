//! Learned routes: listed, added, edited, removed, kept over restarts; and found again by who is there.

use super::stage::{Daemon, Folder, directory, gateway, until};

fn route(daemon: &Daemon, number: &str) -> serde_json::Value {
    let rows = daemon.json(&["routes", "list"]);
    rows.as_array().and_then(|rows| rows.iter().find(|r| r["number"] == number)).cloned().unwrap_or_default()
}

#[test]
fn req_a1_routes_are_added_edited_and_removed_by_hand_and_survive_a_restart() {
    let folder = Folder::new("routes");
    let a = gateway(&folder, "a", "2001", 9, "routes_days = 7");
    a.start();
    let key = format!("sha-256 {}", ["AB"; 32].join(":"));
    assert_eq!(a.ask(&["routes", "add", "3001", "192.0.2.1:5060", "--fingerprint", "AB"]).status.code(), Some(2), "no fingerprint");
    assert!(a.ask(&["routes", "add", "3001", "192.0.2.1:5060", "--fingerprint", &key]).status.success());
    assert!(a.ask(&["routes", "add", "3002", "192.0.2.2:5060", "--days", "3"]).status.success());
    assert!(route(&a, "3001")["expires_at"].is_null(), "made by hand");
    assert!(route(&a, "3002")["expires_at"].is_string());
    assert!(a.ask(&["routes", "edit", "3001", "--contact", "192.0.2.9:5060"]).status.success());
    assert_eq!(a.ask(&["routes", "edit", "3009", "--contact", "192.0.2.9:5060"]).status.code(), Some(1));
    a.stop();
    a.start();
    let row = route(&a, "3001");
    assert_eq!(
        (row["contact"].as_str(), row["fingerprint"].as_str(), row["signed"].as_bool()),
        (Some("192.0.2.9:5060"), Some(&*key), Some(false))
    );
    assert!(row["expires_at"].is_null() && route(&a, "3002")["expires_at"].is_string());
    assert!(a.ask(&["routes", "edit", "3001", "--no-fingerprint", "--days", "5"]).status.success());
    assert!(route(&a, "3001")["fingerprint"].is_null() && route(&a, "3001")["expires_at"].is_string());
    assert!(a.ask(&["routes", "remove", "3001"]).status.success());
    assert_eq!(a.ask(&["routes", "remove", "3001"]).status.code(), Some(1));
    assert!(route(&a, "3001").is_null());
}

#[test]
fn req_a1_a3_what_the_directory_said_is_learned_with_its_word_and_its_end() {
    let folder = Folder::new("learned");
    let lan = directory(&folder, "");
    let (a, b) = (gateway(&folder, "a", "2001", lan.ports, ""), gateway(&folder, "b", "3001", lan.ports, ""));
    lan.start();
    a.start().registered();
    b.start().registered();
    assert!(a.ask(&["sim", "phone1", "off-hook"]).status.success());
    assert!(a.ask(&["sim", "phone1", "dial", "3001"]).status.success());
    until(&format!("a route is learned:\n{}", a.log()), || (!route(&a, "3001").is_null()).then_some(()));
    let row = route(&a, "3001");
    assert_eq!((row["signed"].as_bool(), row["fingerprint"].as_str()), (Some(true), Some(&*b.text(&["identity"], "identity"))), "{row}");
    assert!(row["expires_at"].is_string());
    assert!(a.ask(&["sim", "phone1", "on-hook"]).status.success());
}
