//! The directory's key: pinned by gateways, followed over rotations, and what a directory is told that has another.

use super::stage::{Folder, directory, gateway};

#[test]
fn req_a3_a_gateway_believes_the_directory_that_it_knows_and_no_other() {
    let folder = Folder::new("pinned");
    let lan = directory(&folder, "");
    let (a, b) = (gateway(&folder, "a", "2001", lan.ports, ""), gateway(&folder, "b", "3001", lan.ports, ""));
    lan.start();
    a.start().registered();
    b.start().registered();
    let found = a.json(&["lookup", "3001"]);
    assert_eq!((found["found"].as_bool(), found["signed"].as_bool()), (Some(true), Some(true)), "{found}");
    assert_eq!(found["fingerprint"].as_str(), Some(b.text(&["identity"], "identity").as_str()));
    let key = lan.text(&["identity"], "identity");
    assert_eq!(lan.text(&["status"], "identity"), key);
    let known = |daemon: &super::stage::Daemon| daemon.json(&["status"])["directory_keys"].to_string();
    assert!(known(&a).contains(&key), "{}", known(&a));
    // Replaced twice, while it runs and while it does not, and the gateway restarted: its word leads there.
    lan.json(&["identity", "rotate"]);
    lan.stop();
    let third = lan.text(&["identity", "rotate"], "identity");
    lan.start();
    a.stop();
    a.start().registered();
    assert_eq!(a.json(&["lookup", "3001"])["signed"], true);
    assert!(known(&a).contains(&third));
    // Somebody else in its place, with all that it knew but the key.
    lan.stop();
    for file in ["directory.key", "directory.crt", "directory.successions"] {
        std::fs::remove_file(lan.state().join(file)).unwrap();
    }
    lan.start();
    let found = a.json(&["lookup", "3001"]);
    assert_eq!(found["found"], false, "{found}");
    assert!(found["why"].as_str().unwrap().contains("not signed by the key"), "{found}");
    assert!(a.log().contains("did not say that this one follows it"), "{}", a.log());
    // A gateway that was told the key is not even taken in at first contact.
    let c = gateway(&folder, "c", "2002", lan.ports, &format!("key = \"{third}\""));
    c.start().registered();
    assert_eq!(c.json(&["lookup", "3001"])["found"], false);
    // The operator's word.
    assert!(a.ask(&["identity", "forget-directory"]).status.success());
    assert_eq!(a.json(&["lookup", "3001"])["signed"], true);
}
