//! A gateway's key: made, registered with its proof, replaced.

use super::stage::{Folder, block, directory, gateway, login, refused, until};
use std::os::unix::fs::MetadataExt as _;
use tipring::api::directory::{LookupAnswer, RegisterRequest};
use tipring::api::keys::{ProofJson, successions};
use tipring::key::Fingerprint;
use tipring::proof::{base64, leads};

#[test]
fn req_a1_a_gateway_is_registered_under_the_key_that_it_made_and_stays_it() {
    let folder = Folder::new("made");
    let lan = directory(&folder, "");
    let a = gateway(&folder, "a", "2001", lan.ports, "");
    lan.start();
    assert!(!a.ask(&["identity"]).status.success(), "before its first start it has no key");
    a.start().registered();
    let identity = a.text(&["status"], "identity");
    assert_eq!(a.text(&["identity", "show"], "identity"), identity);
    assert_eq!(std::fs::metadata(a.state().join("identity.key")).unwrap().mode() & 0o777, 0o600);
    let row = lan.row("2001");
    assert_eq!((row["fingerprint"].as_str(), row["proven"].as_bool()), (Some(identity.as_str()), Some(true)), "{row}");
    // Renewed several times (the lease is 4 s), restarted, and restarted with the directory: it is the same.
    std::thread::sleep(std::time::Duration::from_secs(3));
    a.stop();
    a.start().registered();
    assert_eq!(a.text(&["status"], "identity"), identity);
    lan.stop();
    lan.start();
    assert_eq!(lan.row("2001")["proven"], true, "on disk, too");
    assert_eq!(lan.json(&["status"])["alarms"], 0);
}

#[test]
fn req_a1_a_rotated_key_is_taken_where_no_new_key_is_and_found_by_the_old_one() {
    let folder = Folder::new("rotated");
    let lan = directory(&folder, "new_key = \"refuse\"");
    let a = gateway(&folder, "a", "2001", lan.ports, "");
    lan.start();
    a.start().registered();
    let first = a.text(&["identity"], "identity");
    // Twice, the second time with nobody running: whoever missed one rotation is led over both.
    a.json(&["identity", "rotate"]);
    a.stop();
    let third = a.text(&["identity", "rotate"], "identity");
    a.start();
    until("the directory has the new key", || (lan.row("2001")["fingerprint"] == third.as_str()).then_some(()));
    assert_eq!((lan.row("2001")["proven"].as_bool(), lan.json(&["status"])["alarms"].as_u64()), (Some(true), Some(0)));
    let c = lan.client();
    block(async {
        let found = c.identifier(&login("3001"), &first).await.expect("it is found by the key that it had");
        let contact = &found.contacts[0].contact;
        assert_eq!(contact.fingerprint.as_deref(), Some(third.as_str()));
        let (old, new) = (Fingerprint::parse(&first).unwrap(), Fingerprint::parse(&third).unwrap());
        assert_eq!(leads(old, new, &successions(&contact.previous)), Ok(()), "who knew the first key knows the third");
        // Negative control: without a statement a new key is refused here.
        let stranger = folder.stranger("stranger");
        let ask = claim(&stranger.keys().current.fingerprint().to_string());
        let c = lan.client().with_key(stranger);
        assert_eq!(refused(c.register(&login("2001"), &ask).await), (403, "new_key".into()));
        // And the key that was replaced is a stranger's by now.
        let previous = Fingerprint::parse(&a.text(&["identity"], "previous")).unwrap();
        assert_ne!(previous, old);
        for (from, to) in [("identity.previous.key", "identity.key"), ("identity.previous.crt", "identity.crt")] {
            std::fs::create_dir_all(folder.0.join("thief")).unwrap();
            std::fs::copy(a.state().join(from), folder.0.join("thief").join(to)).unwrap();
        }
        let thief = folder.stranger("thief");
        assert_eq!(thief.keys().current.fingerprint(), previous);
        let ask = claim(&previous.to_string());
        assert_eq!(refused(lan.client().with_key(thief).register(&login("2001"), &ask).await), (403, "new_key".into()));
    });
}

fn claim(key: &str) -> RegisterRequest {
    RegisterRequest {
        contact: "127.0.1.1:5070".into(),
        instance: "stranger".into(),
        fingerprint: Some(key.into()),
        ..RegisterRequest::default()
    }
}

#[test]
fn req_a1_a_key_is_taken_only_from_who_has_it() {
    let folder = Folder::new("claimed");
    let lan = directory(&folder, "");
    let a = gateway(&folder, "a", "2001", lan.ports, "");
    lan.start();
    a.start().registered();
    let theirs = a.text(&["status"], "identity");
    let stranger = folder.stranger("stranger");
    block(async {
        let c = lan.client();
        // Claimed without a word, and with another key's signature under its certificate.
        for _ in 0..3 {
            assert_eq!(refused(c.register(&login("3001"), &claim(&theirs)).await), (403, "key_not_proven".into()));
        }
        let pem = std::fs::read_to_string(a.state().join("identity.crt")).unwrap();
        let certificate: String = pem.lines().filter(|l| !l.starts_with("---")).collect();
        let signed = stranger.keys().current.sign("anything");
        let proof = ProofJson { certificate, signature: base64::encode(&signed), previous: Vec::new() };
        let forged = RegisterRequest { proof: Some(proof), ..claim(&theirs) };
        assert_eq!(refused(c.register(&login("3001"), &forged).await), (403, "key_false".into()));
        // Without a key it may register, as phones do; nobody is told of a proven one there.
        let bare = RegisterRequest { fingerprint: None, ..claim("") };
        let granted = c.register(&login("3001"), &bare).await.unwrap();
        assert!(!granted.proven);
        let LookupAnswer::Found(found) = c.lookup(Some(&login("3002")), "3001").await.unwrap() else { panic!("it is there") };
        assert_eq!((found.fingerprint, found.proven), (None, false));
        // Its own key, proven.
        let own = claim(&stranger.keys().current.fingerprint().to_string());
        assert!(
            lan.client()
                .with_key(stranger)
                .register(&login("3002"), &RegisterRequest { contact: "127.0.1.2:5070".into(), ..own })
                .await
                .unwrap()
                .proven
        );
    });
    let lines = lan.log().lines().filter(|l| l.contains("why=key_")).count();
    assert_eq!(lines, 1, "four refusals of one source within a minute are one line:\n{}", lan.log());
}
