//! One number on two gateways; a number of another directory; what a gateway says of its calls.

use super::*;

/// A directory of this server number, with further lines of configuration.
pub fn directory_as<'f>(folder: &'f Folder, name: &str, server: &str, more: &str) -> Daemon<'f> {
    let ports = free_ports();
    folder.write("accounts.csv", ACCOUNTS);
    let text = format!(
        "domain = \"{name}.test\"\nserver_number = \"{server}\"\nterminal_digits = 4\n[api]\nlisten = \"127.0.0.1:{ports}\"\n[lookup]\ncredentials = \"accounts\"\n[accounts]\nfile = \"accounts.csv\"\n{more}\n"
    );
    let config = folder.write(&format!("{name}.toml"), &text);
    Daemon { folder, verb: "directory", name: name.into(), config, ports, process: RefCell::new(None) }
}

fn told(daemon: &Daemon, args: &[&str]) {
    let out = daemon.ask(args);
    assert!(out.status.success(), "{} {args:?}: {}", daemon.name, String::from_utf8_lossy(&out.stderr));
}
pub fn up(daemon: &Daemon) {
    until(&format!("a call of {} is up; log:\n{}", daemon.name, daemon.log()), || {
        (daemon.json(&["calls"])[0]["state"] == "up").then_some(())
    });
}
fn rung_since(daemon: &Daemon, mark: u64) -> bool {
    daemon.notes("phone1").iter().any(|(seq, what, _)| *seq >= mark && what == "ringing")
}

const SILENT_3001: &[(&str, &str, &str, &str)] = &[("phone1", "sim-phone", "3001", "answer_rings = 0")];

#[test]
fn one_number_at_two_gateways_rings_at_both_and_stops_where_nobody_answered() {
    let folder = Folder::new("terminals");
    let lan = directory(&folder);
    lan.start();
    told(&lan, &["numbers", "set", "3001", "--ring", "all"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let ports = if name == "a" { PHONES_A } else { SILENT_3001 };
        gateway(&folder, &Plan { name, directory: Some(lan.ports), ports, ..Plan::default() })
    });
    for daemon in [&a, &b, &c] {
        daemon.start().registered();
    }
    let found = a.json(&["lookup", "3001"]);
    assert_eq!((&found["ring"], found["contacts"].as_array().map(Vec::len)), (&"all".into(), Some(2)), "{found}");

    // All at once: both bells ring, B answers, C's stops.
    let (at_b, at_c) = (b.mark("phone1"), c.mark("phone1"));
    a.dial("phone1", "3001");
    b.noticed("phone1", at_b, "ringing");
    c.noticed("phone1", at_c, "ringing");
    b.sim(&["phone1", "off-hook"]);
    up(&a);
    c.noticed("phone1", at_c, "ringing-stopped");
    c.all_idle();
    let seed = seed();
    let (there, back) = (say(&folder, (&a, "phone1"), (&b, "phone1"), seed, 3), say(&folder, (&b, "phone1"), (&a, "phone1"), seed + 1, 3));
    assert!(there > 0.9 && back > 0.9, "there {there:.3}, back {back:.3}");
    assert!(!c.notes("phone1").iter().rev().take_while(|n| n.1 != "ringing-stopped").any(|n| n.1 == "ringing"), "it rings no more");
    a.hang_up("phone1");
    b.hang_up("phone1");
    let (placed, missed) = (a.record(0), c.record(0));
    assert_eq!((&placed["completed"], &placed["peer"]), (&true.into(), &format!("127.0.0.1:{}", b.ports).into()), "{placed}");
    assert_eq!(missed["completed"], false, "{missed}");
    assert_eq!(a.json(&["routes"])[0]["contact"], format!("127.0.0.1:{}", b.ports), "the one that answered is learned (A-1)");
    a.all_idle();

    // In order: one rings alone; it is busy, and so the other rings.
    told(&lan, &["numbers", "set", "3001", "--ring", "in-order"]);
    let (at_b, at_c) = (b.mark("phone1"), c.mark("phone1"));
    a.dial("phone1", "3001");
    let (first, second) = until("one of them rings", || match (rung_since(&b, at_b), rung_since(&c, at_c)) {
        (true, false) => Some((&b, &c)),
        (false, true) => Some((&c, &b)),
        (true, true) => panic!("one at a time"),
        (false, false) => None,
    });
    a.hang_up("phone1");
    first.all_idle();
    first.sim(&["phone1", "off-hook"]);
    let mark = second.mark("phone1");
    a.dial("phone1", "3001");
    second.noticed("phone1", mark, "ringing");
    second.sim(&["phone1", "off-hook"]);
    up(&a);
    assert_eq!(a.json(&["calls"])[0]["state"], "up");
    for daemon in [&a, first, second] {
        daemon.hang_up("phone1");
    }
    [&a, &b, &c].into_iter().for_each(Daemon::all_idle);
}

#[test]
fn req_c3_a2_d6_a_phone_dials_a_number_of_another_directory_which_may_then_die() {
    let folder = Folder::new("referral");
    let (one, two) = (directory_as(&folder, "one", "1", ""), directory_as(&folder, "two", "7", ""));
    one.start();
    two.start();
    let secret = folder.write("secret", "what both directories know\n");
    let secret = secret.to_str().expect("a plain path");
    let api = |d: &Daemon| format!("127.0.0.1:{}", d.ports);
    told(&one, &["servers", "add", "7", "4", "127.0.0.1:9", "--api", &api(&two), "--secret-file", secret]);
    told(&two, &["servers", "add", "1", "4", "127.0.0.1:9", "--api", &api(&one), "--secret-file", secret]);
    let line = "digit_map = \"2xxx|3xxx|7xxxx\"";
    let a = gateway(&folder, &Plan { name: "a", directory: Some(one.ports), ports: PHONES_A, line, ..Plan::default() });
    let b = gateway(&folder, &Plan { name: "b", directory: Some(two.ports), ports: PHONES_B, line, ..Plan::default() });
    let c = gateway(
        &folder,
        &Plan { name: "c", directory: Some(two.ports), ports: &[("phone1", "sim-phone", "3002", "")], line, ..Plan::default() },
    );
    for daemon in [&a, &b, &c] {
        daemon.start().registered();
    }
    told(&two, &["numbers", "set", "3001", "--presence", "true"]);
    let busy = |gateway: &Daemon| gateway.json(&["lookup", "3001"])["presence"]["busy"].clone();
    assert_eq!(busy(&c), false);

    // The second directory is dead: the caller hears so within the time of a look-up.
    two.signal("-KILL");
    let mark = a.mark("phone1");
    let began = Instant::now();
    a.dial("phone1", "73001");
    a.noticed("phone1", mark, "reorder-tone");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    a.hang_up("phone1");
    let failed = a.record(0);
    assert_eq!(failed["result"], "the directory does not answer and no route was learned", "{failed}");
    let told_by_log = a.log().contains(&format!("look-up of 73001: the directory cannot be reached: {}", api(&two)));
    assert!(told_by_log, "the log names the directory that is dead: {}", a.log());

    // It lives: referred, called directly, and learned.
    two.start();
    b.registered();
    let rung = b.mark("phone1");
    a.dial("phone1", "73001");
    b.noticed("phone1", rung, "off-hook");
    up(&a);
    let seed = seed();
    let heard = say(&folder, (&a, "phone1"), (&b, "phone1"), seed, 3);
    assert!(heard > 0.9, "{heard:.3}");
    // D-6: meanwhile others see that it is busy, and afterwards that it is not.
    until("3001 is seen to be busy", || (busy(&c) == true).then_some(()));
    a.hang_up("phone1");
    b.noticed("phone1", rung, "reorder-tone");
    b.hang_up("phone1");
    until("3001 is seen to be idle", || (busy(&c) == false).then_some(()));
    assert_eq!(a.record(1)["route"], "directory");

    // what was learned goes on without it, and without our own.
    two.signal("-KILL");
    one.signal("-KILL");
    let rung = b.mark("phone1");
    a.dial("phone1", "73001");
    b.noticed("phone1", rung, "off-hook");
    up(&a);
    a.hang_up("phone1");
    assert_eq!(a.record(2)["route"], "learned");
}
