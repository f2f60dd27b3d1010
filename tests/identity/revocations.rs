//! A key is revoked: refused, told to nobody, forgotten by who knew it.

use super::stage::{Folder, block, directory, gateway, login, until};
use tipring::api::directory::LookupAnswer;

#[test]
fn req_a1_a_revoked_key_is_refused_told_to_nobody_and_forgotten_by_who_learned_it() {
    let folder = Folder::new("revoked");
    let lan = directory(&folder, "");
    let (a, b) = (gateway(&folder, "a", "2001", lan.ports, ""), gateway(&folder, "b", "3001", lan.ports, ""));
    lan.start();
    a.start().registered();
    b.start().registered();
    let key = b.text(&["identity"], "identity");
    assert!(a.ask(&["sim", "phone1", "off-hook"]).status.success());
    assert!(a.ask(&["sim", "phone1", "dial", "3001"]).status.success());
    let learned = || a.json(&["routes"]).to_string().contains(&key);
    until(&format!("a route is learned:\n{}", a.log()), || learned().then_some(()));
    assert!(a.ask(&["sim", "phone1", "on-hook"]).status.success());

    assert_eq!(lan.ask(&["identity", "unrevoke", &key]).status.code(), Some(1), "it is not");
    assert!(lan.ask(&["identity", "revoke", &key, "--why", "the box was stolen"]).status.success());
    let list = lan.json(&["identity", "list"]);
    assert_eq!((list[0]["key"].as_str(), list[0]["why"].as_str()), (Some(&*key), Some("the box was stolen")), "{list}");
    let c = lan.client();
    let look_up = || block(c.lookup(Some(&login("2002")), "3001")).unwrap();
    assert_eq!(look_up(), LookupAnswer::Away { number: "3001".into() });
    assert!(block(c.identifier(&login("2002"), &key)).is_err());
    // Both hear of it when they renew (the lease is 4 s), and nobody called.
    until(&format!("a forgets it:\n{}", a.log()), || (!learned()).then_some(()));
    until("b is refused", || b.json(&["status"])["registrations"].to_string().contains("key_revoked").then_some(()));
    // Told again, it is not taken: a directory of before, or one that lies.
    assert!(a.state().join("revoked.json").exists());
    a.stop();
    a.start().registered();
    assert_eq!(a.json(&["lookup", "3001"])["found"], false);
    // A new key, which the revoked one cannot speak for.
    let fresh = b.text(&["identity", "rotate"], "identity");
    until("b registers with a new key", || (lan.row("3001")["fingerprint"] == fresh.as_str()).then_some(()));
    assert_eq!(lan.json(&["status"])["alarms"], 1, "the operator hears of it as of any stranger's");
    assert!(matches!(look_up(), LookupAnswer::Found(f) if f.fingerprint.as_deref() == Some(&*fresh) && f.contacts[0].previous.is_empty()));
    // It is on disk, and good again when the operator says so.
    lan.stop();
    lan.start();
    assert_eq!(lan.json(&["status"])["revoked"], 1);
    assert!(lan.ask(&["identity", "unrevoke", &key]).status.success());
    assert_eq!(lan.json(&["identity", "list"]).as_array().map(Vec::len), Some(0));
    until("a hears that none is revoked", || {
        let file = std::fs::read_to_string(a.state().join("revoked.json")).unwrap();
        file.contains("\"keys\": []").then_some(())
    });
}
