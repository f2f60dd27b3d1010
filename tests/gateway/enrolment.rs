//! New terminals without manual work: a gateway that nobody made an account for.

use super::terminals::{directory_as, up};
use super::*;
use std::os::unix::fs::PermissionsExt;

const KEY: &str = "a key that the office knows";
const POOL: &str = "[dynamic]\nfirst = \"4000\"\nlast = \"4009\"\n";

/// A gateway of two phones that says nothing of numbers or passwords.
fn fresh<'f>(folder: &'f Folder, name: &'static str, directory: u16, key: bool) -> Daemon<'f> {
    let ports = free_ports();
    let key = if key { format!("enrol_key_file = \"{}\"\n", folder.0.join("enrol.key").display()) } else { String::new() };
    let text = format!(
        "[sip]\nlisten = \"127.0.0.1:{ports}\"\n[api]\nlisten = \"127.0.0.1:{}\"\n[media]\nports = [{}, {}]\n[directory]\napi = \"127.0.0.1:{directory}\"\nlookup_timeout_ms = 1000\nenrol = true\n{key}[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\n[[port]]\nname = \"phone2\"\nkind = \"sim-phone\"\n",
        ports + 1,
        ports + 32,
        ports + 63
    );
    let config = folder.write(&format!("{name}.toml"), &text);
    Daemon { folder, verb: "gateway", name: name.into(), config, ports, process: RefCell::new(None) }
}
fn numbers(gateway: &Daemon) -> Vec<String> {
    let status = gateway.json(&["status"]);
    let mut rows: Vec<(String, String)> = status["registrations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (r["port"].as_str().unwrap_or_default().to_owned(), r["number"].as_str().unwrap_or_default().to_owned()))
        .collect();
    rows.sort();
    rows.into_iter().map(|r| r.1).collect()
}
/// What a port that gets nowhere says of itself.
fn says(gateway: &Daemon, words: &str) {
    until(&format!("{} says {words:?}: {}; log:\n{}", gateway.name, gateway.json(&["status"]), gateway.log()), || {
        let status = gateway.json(&["status"]);
        let all = status["registrations"].as_array().expect("a list");
        (!all.is_empty() && all.iter().all(|r| r["state"].as_str().is_some_and(|s| s.contains(words)))).then_some(())
    });
    assert!(gateway.log().contains(words), "the log says it too: {}", gateway.log());
}
fn accounts_made(lan: &Daemon) -> Vec<String> {
    let rows = lan.json(&["accounts"]);
    let names = rows.as_array().expect("a list").iter().filter_map(|r| r["user"].as_str().map(str::to_owned));
    names.filter(|n| n.starts_with("enrolled-")).collect()
}

#[test]
fn req_c11_c6_c4_a_gateway_without_an_account_gets_numbers_by_itself_is_called_and_keeps_them() {
    let folder = Folder::new("enrol");
    folder.write("enrol.key", &format!("{KEY}\n"));
    let lan = directory_as(&folder, "lan", "1", &format!("{POOL}[enrol]\nnetworks = [\"127.0.0.0/8\"]\nkey_file = \"enrol.key\"\nmax = 4"));
    // The gateway is there first: it waits for its directory.
    let a = fresh(&folder, "a", lan.ports, true);
    a.start();
    says(&a, "not enrolled: the directory cannot be reached");
    lan.start();
    let b = fresh(&folder, "b", lan.ports, true);
    b.start();
    for gateway in [&a, &b] {
        until(&format!("{} has numbers; log:\n{}", gateway.name, gateway.log()), || {
            numbers(gateway).iter().all(|n| !n.is_empty()).then_some(())
        });
        gateway.registered();
    }
    let (of_a, of_b) = (numbers(&a), numbers(&b));
    let mut all = [of_a.clone(), of_b.clone()].concat();
    all.sort();
    assert_eq!(all, ["4000", "4001", "4002", "4003"], "four ports, the lowest four of the pool");
    assert_eq!(b.json(&["ports"])[0]["number"], of_b[0].as_str(), "`tipring ports` tells it, too");
    let kept = folder.0.join("a/enrolled.json");
    assert_eq!(std::fs::metadata(&kept).expect("it is kept").permissions().mode() & 0o777, 0o600);
    assert_eq!(accounts_made(&lan).len(), 4);

    let call = || {
        let rung = b.mark("phone1");
        a.dial("phone1", &of_b[0]);
        b.noticed("phone1", rung, "off-hook");
        up(&a);
        a.hang_up("phone1");
        b.noticed("phone1", rung, "reorder-tone");
        b.hang_up("phone1");
    };
    call();
    // Restarted, both, and the directory with them: the same numbers, no further account.
    for daemon in [&a, &b, &lan] {
        assert!(daemon.signal("-TERM").success());
    }
    for daemon in [&lan, &a, &b] {
        daemon.start();
    }
    a.registered();
    b.registered();
    assert_eq!((numbers(&a), numbers(&b), accounts_made(&lan).len()), (of_a.clone(), of_b.clone(), 4));
    call();

    // A third is one too many.
    let c = fresh(&folder, "c", lan.ports, true);
    c.start();
    says(&c, "enrolment_full");
    assert_eq!(accounts_made(&lan).len(), 4);

    // Whoever says that he is A hears no password, not even A; until the operator removes the accounts.
    assert!(a.signal("-TERM").success());
    std::fs::remove_file(&kept).expect("the test may");
    a.start();
    says(&a, "already_enrolled");
    assert_eq!(accounts_made(&lan).len(), 4);
    let log = a.log();
    let said: std::collections::BTreeSet<&str> = log.split("its account (").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(said.len(), 2, "the words name the accounts: {log}");
    for user in said {
        assert!(lan.ask(&["accounts", "remove", user]).status.success());
    }
    assert!(a.signal("-TERM").success());
    a.start();
    until("it is enrolled anew", || numbers(&a).iter().all(|n| !n.is_empty()).then_some(()));
    a.registered();
}

#[test]
fn req_c11_d17_who_may_not_enrol_hears_why_and_changes_nothing() {
    let folder = Folder::new("enrol-no");
    folder.write("enrol.key", &format!("{KEY}\n"));
    let tried = [
        ("closed", "", "enrolment_closed"),
        ("nobody", "[enrol]", "not_from_here"),
        ("elsewhere", "[enrol]\nnetworks = [\"192.0.2.0/24\"]", "not_from_here"),
        ("keyed", "[enrol]\nnetworks = [\"127.0.0.1\"]\nkey_file = \"enrol.key\"", "wrong_key"),
    ];
    for (name, enrol, code) in tried {
        let lan = directory_as(&folder, name, "1", &format!("{POOL}{enrol}"));
        lan.start();
        let gateway =
            fresh(&folder, ["g0", "g1", "g2", "g3"][tried.iter().position(|t| t.0 == name).expect("it is one")], lan.ports, false);
        gateway.start();
        says(&gateway, code);
        assert!(accounts_made(&lan).is_empty());
        assert!(lan.json(&["registrations"]).as_array().is_some_and(Vec::is_empty));
        let said = if code == "wrong_key" { "log-in failed: source=127.0.0.1 account=\"enrol\"".to_owned() } else { format!("why={code}") };
        assert!(lan.log().contains(&said), "the directory's log: {}", lan.log());
    }
}
