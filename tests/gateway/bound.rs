//! A number that is bound to a device (C-7), and a number whose gateway is another all of a sudden, through real processes.

use super::*;

#[test]
fn req_c7_a_number_bound_to_a_hardware_address_is_that_gateways_alone() {
    let folder = Folder::new("bound");
    let lan = directory(&folder);
    lan.start();
    assert!(lan.ask(&["reservations", "add", "2001", "2001", "--mac", "02:00:00:00:00:0a"]).status.success());
    let with = |name, mac| Plan { name, directory: Some(lan.ports), ports: &PHONES_A[..1], at_directory: mac, ..Plan::default() };
    let state = |g: &Daemon<'_>| g.json(&["status"])["registrations"][0]["state"].as_str().unwrap_or_default().to_owned();
    // On loopback there is no hardware address to tell; another's is told by name.
    for (name, mac) in [("none", ""), ("other", "mac = \"02:00:00:00:00:0b\"")] {
        let wrong = gateway(&folder, &with(name, mac));
        wrong.start();
        until("the refusal stands in the status", || state(&wrong).contains("bound to another hardware address").then_some(()));
        assert!(!lan.ask(&["lookup", "2001"]).status.success(), "{name}");
        assert!(wrong.signal("-TERM").success());
    }
    assert_eq!(lan.log().matches("why=wrong_mac").count(), 1, "one line a source and minute:\n{}", lan.log());
    let right = gateway(&folder, &with("right", "mac = \"02:00:00:00:00:0a\""));
    right.start().registered();
    assert!(lan.ask(&["lookup", "2001"]).status.success());

    // The device breaks, and its owner puts another under the number: let in by the operator, and noticed by its key.
    assert!(right.signal("-TERM").success());
    assert!(lan.ask(&["reservations", "add", "2001", "2001", "--mac", "02:00:00:00:00:0b"]).status.success());
    let fresh = gateway(&folder, &with("fresh", "mac = \"02:00:00:00:00:0b\""));
    fresh.start().registered();
    assert_eq!(lan.json(&["status"])["alarms"], 1, "{}", lan.log());
    assert_eq!(lan.log().matches("alarm: number=2001").count(), 1, "{}", lan.log());
}
