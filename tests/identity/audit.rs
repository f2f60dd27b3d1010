//! The audit trail: what keys did is in it, and whoever touches it is found out.

use super::stage::{Daemon, Folder, directory, gateway};

fn events(daemon: &Daemon) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(daemon.state().join("audit.jsonl")).expect("there is a trail");
    let row = |line: &str| {
        let read: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        (read["event"].as_str().unwrap_or_default().to_owned(), read["key"].as_str().unwrap_or_default().to_owned())
    };
    text.lines().map(row).collect()
}

#[test]
fn the_trail_holds_what_keys_did_and_is_verified_from_outside() {
    let folder = Folder::new("audit");
    let lan = directory(&folder, "");
    let a = gateway(&folder, "a", "2001", lan.ports, "");
    lan.start();
    a.start().registered();
    let first = a.text(&["identity"], "identity");
    a.json(&["lookup", "2002"]);
    let second = a.text(&["identity", "rotate"], "identity");
    assert!(lan.ask(&["identity", "revoke", &first, "--why", "lost"]).status.success());
    let key = lan.text(&["identity"], "identity");
    lan.stop();
    a.stop();
    assert_eq!(events(&lan), [("key-made".to_owned(), key), ("key-revoked".into(), first.clone())]);
    let of_a = events(&a);
    assert_eq!(of_a[0], ("key-made".to_owned(), first));
    assert!(of_a.contains(&("key-rotated".into(), second)), "{of_a:?}");
    for daemon in [&lan, &a] {
        let out = daemon.ask(&["audit", "verify"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
    let said = lan.json(&["audit", "verify"]);
    assert_eq!((said["ok"].as_bool(), said["lines"].as_u64()), (Some(true), Some(2)), "{said}");
    let head = said["head"].as_str().unwrap().to_owned();
    // It goes on over a restart, and a head that was noted is still in it.
    lan.start();
    assert!(lan.ask(&["identity", "rotate"]).status.success());
    lan.stop();
    assert!(lan.ask(&["audit", "verify", "--head", &head]).status.success());
    assert_eq!(lan.ask(&["audit", "verify", "--head", &head.replace(&head[..2], "zz")]).status.code(), Some(2));
    let path = lan.state().join("audit.jsonl");
    let good = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let bad = |text: String, line: u64, words: &str| {
        std::fs::write(&path, text).unwrap();
        let out = lan.ask(&["audit", "verify"]);
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((out.status.code(), said["first_bad"]["line"].as_u64()), (Some(1), Some(line)), "{said}");
        assert!(said["words"].as_str().unwrap().contains(words), "{said}");
    };
    bad(good.replace("lost", "kept"), 3, "does not hold the hash");
    bad(format!("{}\n{}\n", lines[0], lines[2]), 2, "line 2 comes next");
    bad(format!("{}\n{}\n", lines[0], lines[1]), 2, "cut off");
    bad(format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]), 1, "line 1 comes next");
    std::fs::write(&path, &good).unwrap();
    assert!(lan.ask(&["audit", "verify"]).status.success(), "and as it was");
}
