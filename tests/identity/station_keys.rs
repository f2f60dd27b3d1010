//! D-5: the key of one call, from the directory to both of its sides and to nobody else.

use super::stage::{Folder, block, directory, login, refused};
use tipring::api::directory::RegisterRequest;
use tipring::api::revocations::CallKeyRequest;
use tipring::proof::base64;

#[test]
fn req_d5_both_sides_of_a_call_get_its_key_and_it_lies_nowhere() {
    let folder = Folder::new("station");
    let lan = directory(&folder, "");
    lan.start();
    let c = lan.client();
    let answers = block(async {
        for (number, host) in [("2001", 1), ("3001", 2), ("3002", 3)] {
            let contact = format!("127.0.1.{host}:5060");
            let ask = RegisterRequest { contact, instance: format!("terminal-of-{number}"), ..RegisterRequest::default() };
            c.register(&login(number), &ask).await.unwrap();
        }
        let ask = CallKeyRequest { call_id: "one@127.0.0.1".into(), from: "2001".into(), to: "3001".into(), ..CallKeyRequest::default() };
        // Before the called side answers there is none, whoever asks.
        assert_eq!(refused(c.call_key(&login("2001"), &ask).await), (404, "not_answered".into()));
        assert_eq!(refused(c.call_key(&login("3002"), &ask).await), (403, "not_your_call".into()));
        // Who is not registered is no side, whatever its account's number is.
        let unregistered = CallKeyRequest { to: "2002".into(), ..ask.clone() };
        assert_eq!(refused(c.call_key(&login("2002"), &unregistered).await), (403, "not_your_call".into()));
        let callee = c.call_key(&login("3001"), &ask).await.unwrap();
        assert_eq!(refused(c.call_key(&login("3002"), &ask).await), (403, "not_your_call".into()));
        let pretends = CallKeyRequest { side: Some("callee".into()), ..ask.clone() };
        assert_eq!(refused(c.call_key(&login("2001"), &pretends).await), (403, "not_your_call".into()));
        let caller = c.call_key(&login("2001"), &ask).await.unwrap();
        assert_eq!((&caller.send, &caller.receive), (&callee.receive, &callee.send));
        assert_eq!(base64::decode(&caller.send).map(|k| k.len()), Some(30), "{}", caller.suite);
        assert_eq!(refused(c.call_key(&login("2001"), &ask).await), (410, "key_spent".into()));
        // Another call has another key, and the suite that was asked for.
        let other = CallKeyRequest { call_id: "two@127.0.0.1".into(), suite: Some("AEAD_AES_256_GCM".into()), ..ask };
        let second = c.call_key(&login("3001"), &other).await.unwrap();
        assert_eq!(base64::decode(&second.send).map(|k| k.len()), Some(44));
        [caller, second]
    });
    // While it runs and when it has ended: not in the log, the database, its journal, or anything else that it wrote.
    let everything = || {
        let mut all = lan.log().into_bytes();
        for file in std::fs::read_dir(lan.state()).unwrap().flatten() {
            all.extend(std::fs::read(file.path()).unwrap_or_default());
        }
        all
    };
    let holds = |all: &[u8], what: &[u8]| all.windows(what.len()).any(|w| w == what);
    let check = |all: &[u8]| {
        assert!(holds(all, b"terminal-of-2001"), "what is stored is found this way");
        for text in answers.iter().flat_map(|a| [&a.send, &a.receive]) {
            let raw = base64::decode(text).unwrap();
            let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
            for form in [text.as_bytes(), &raw, hex.as_bytes(), &raw[..16]] {
                assert!(!holds(all, form), "a key lies about");
            }
        }
    };
    check(&everything());
    lan.stop();
    check(&everything());
}
