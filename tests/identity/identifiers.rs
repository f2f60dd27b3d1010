//! the gateway of a known key is found where it is now, at the directory or at a second server.

use super::stage::{Folder, block, directory, gateway, until};
use std::sync::Arc;
use tipring::number::Number;
use tipring::resolve::{Answer, NoRoute};
use tipring::shell::identity_key::{GATEWAY, Keyring};
use tipring::shell::registrations::Directory;

#[test]
fn req_a6_a_gateway_is_found_by_the_key_that_a_number_was_learned_with() {
    let folder = Folder::new("identifier");
    let lan = directory(&folder, "");
    let b = gateway(&folder, "b", "3001", lan.ports, "");
    lan.start();
    b.start().registered();
    let key = b.text(&["identity"], "identity");
    let number = Number::parse("3001").unwrap();
    // The asker's own: a configuration as a gateway reads it, whose directory is nobody and whose second server is this one.
    let open = |name: &str, api: u16, more: &str| {
        let asker = gateway(&folder, name, "2001", api, more);
        let config = tipring::config::gateway(&asker.config).unwrap();
        let state = folder.0.join(name);
        std::fs::create_dir_all(&state).unwrap();
        let keyring = Arc::new(Keyring::open(&state, GATEWAY).unwrap());
        Directory::of(&config, &state, &keyring).unwrap().unwrap()
    };
    let found = |directory: &Directory, key: &str| block(directory.find_identifier(&number, key, None));
    let (own, second) = (open("own", lan.ports, ""), open("second", 9, &format!("identifiers = \"127.0.0.1:{}\"", lan.ports)));
    let at: std::net::SocketAddr = ([127, 0, 0, 1], b.ports).into();
    for directory in [&own, &second] {
        let there = Answer::Found { number: number.clone(), contact: at, fingerprint: Some(key.clone()), signed: true };
        assert_eq!(found(directory, &key), there);
        assert_eq!(found(directory, &key.replace(&key[8..10], "00")), Answer::No(NoRoute::Unknown));
    }
    // Rotated meanwhile: the old key leads to the new one, by its word.
    let fresh = b.text(&["identity", "rotate"], "identity");
    until("the directory has the new key", || (lan.row("3001")["fingerprint"] == fresh.as_str()).then_some(()));
    assert!(matches!(found(&own, &key), Answer::Found { fingerprint: Some(f), signed: true, .. } if f == fresh));
    // Somebody else on the number is not who was known.
    let thief = folder.stranger("thief");
    let stolen = tipring::api::directory::RegisterRequest {
        contact: "127.0.1.9:5060".into(),
        instance: "thief".into(),
        fingerprint: Some(thief.keys().current.fingerprint().to_string()),
        ..Default::default()
    };
    block(lan.client().with_key(thief).register(&super::stage::login("3001"), &stolen)).unwrap();
    assert!(!matches!(found(&own, &key), Answer::Found { contact, .. } if contact.ip() != at.ip()), "a password is no identity");
}
