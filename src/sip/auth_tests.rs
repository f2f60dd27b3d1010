//! The client's side of digest against servers of every kind, each checked by the hash that the server itself would make.

use super::*;
use crate::digest::{Qop, response};
use crate::sip::message::Method;

const USER: &str = "4930";
const WORD: &str = "opensesame";

fn authorizer() -> Authorizer {
    Authorizer::new(Login::with_password(USER, WORD), 7)
}
fn register() -> Message {
    Message::request(Method::Register, "sip:example.net").with("CSeq", "1 REGISTER")
}
fn refusal(status: u16, challenges: &[&str]) -> Message {
    let name = if status == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
    let empty = Message::response_to(&register(), status, "Unauthorized");
    challenges.iter().fold(empty, |m, c| m.with(name, c))
}
fn field(header: &str, name: &str) -> Option<String> {
    let all = header.strip_prefix("Digest ").unwrap();
    all.split(", ").find_map(|p| p.strip_prefix(&format!("{name}="))).map(|v| v.trim_matches('"').to_owned())
}
fn answers(request: &Message, name: &str) -> Vec<String> {
    request.headers.iter().filter(|h| h.is(name)).map(|h| String::from_utf8(h.value.to_vec()).unwrap()).collect()
}
/// What the server computes from the header, knowing the password.
fn is_right(header: &str, method: &str, body: &[u8], realm: &str) -> bool {
    let get = |n: &str| field(header, n);
    let algorithm = get("algorithm").and_then(|a| Algorithm::parse(&a)).unwrap_or(Algorithm::Md5);
    let uri = get("uri").unwrap();
    let asked = Asked { method, uri: &uri, body };
    let nc = get("nc").map_or(0, |nc| u32::from_str_radix(&nc, 16).unwrap());
    let qop = get("qop").and_then(|q| Qop::parse(&q));
    let cnonce = get("cnonce").unwrap_or_default();
    let wanted = response(algorithm, &Ha1::of(USER, realm, WORD), &asked, &get("nonce").unwrap(), qop, nc, &cnonce);
    wanted == get("response") && get("realm").as_deref() == Some(realm) && get("username").as_deref() == Some(USER)
}

#[test]
fn the_strongest_hash_that_is_known_is_answered_whatever_the_order_and_the_number_of_headers() {
    let md5 = "Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\", opaque=\"o1\"";
    let sha = "Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth\"";
    let sha512 = "Digest realm=\"r\", nonce=\"n3\", algorithm=SHA-512-256, qop=\"auth\"";
    let later = "Digest realm=\"r\", nonce=\"n4\", algorithm=SHA3-512, qop=\"auth\"";
    let basic = "Basic realm=\"r\"";
    let plain = "Digest realm=\"r\", nonce=\"n5\"";
    let one_line = format!("{later}, {md5}, {sha}");
    for (case, challenges, nonce, opaque) in [
        ("MD5 alone", &[md5][..], "n1", Some("o1")),
        ("no algorithm means MD5", &[plain], "n5", None),
        ("weak first", &[md5, sha, sha512], "n3", None),
        ("strong first", &[sha512, sha, md5], "n3", None),
        ("unknown skipped", &[later, md5, sha], "n2", None),
        ("another scheme skipped", &[basic, md5], "n1", Some("o1")),
        ("all in one header", &[one_line.as_str()], "n2", None),
    ] {
        for status in [401, 407] {
            let mut a = authorizer();
            let mut attempt = a.begin();
            assert_eq!(a.challenged(&mut attempt, &refusal(status, challenges)), Ok(()), "{case}");
            let mut request = register();
            a.authorize(&mut request);
            let found = answers(&request, if status == 407 { "Proxy-Authorization" } else { "Authorization" });
            let [header] = &found[..] else { panic!("{case}: {found:?}") };
            assert_eq!((field(header, "nonce").as_deref(), field(header, "opaque").as_deref()), (Some(nonce), opaque), "{case}");
            assert!(is_right(header, "REGISTER", b"", "r"), "{case}: {header}");
            // Negative control: the check itself tells a wrong proof.
            assert!(!is_right(header, "INVITE", b"", "r"));
        }
    }
}

#[test]
fn what_cannot_be_answered_is_said_in_words() {
    for (challenges, realm, says) in [
        (&["Basic realm=\"r\""][..], None, GiveUp::NothingToAnswer),
        (&["Digest realm=\"r\", nonce=\"n\", algorithm=WHIRL"], None, GiveUp::NothingToAnswer),
        (&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\""], None, GiveUp::NothingToAnswer),
        (&["Digest nonce=\"n\""], None, GiveUp::NothingToAnswer),
        (&["\u{0}\u{ff}\"\"\"\\"], None, GiveUp::NothingToAnswer),
        (&[], None, GiveUp::NothingToAnswer),
        (&["Digest realm=\"other\", nonce=\"n\""], Some("mine"), GiveUp::OtherRealm("other".into())),
    ] {
        let login = Login::with_password(USER, WORD);
        let login = realm.map_or(login.clone(), |r| login.only_for(r));
        let mut a = Authorizer::new(login, 1);
        let mut attempt = a.begin();
        assert_eq!(a.challenged(&mut attempt, &refusal(401, challenges)), Err(says));
        let mut request = register();
        a.authorize(&mut request);
        assert!(answers(&request, "Authorization").is_empty());
    }
}

#[test]
fn the_body_is_covered_only_where_nothing_else_is_offered() {
    for (qop, wanted) in [("auth", Some("auth")), ("auth,auth-int", Some("auth")), ("auth-int", Some("auth-int")), ("", None)] {
        let mut a = authorizer();
        let mut attempt = a.begin();
        let qop = if qop.is_empty() { String::new() } else { format!(", qop=\"{qop}\"") };
        a.challenged(&mut attempt, &refusal(401, &[&format!("Digest realm=\"r\", nonce=\"n\"{qop}")])).unwrap();
        let mut request = Message::request(Method::Invite, "sip:1@example.net").with_body("application/sdp", b"v=0\r\n".to_vec());
        a.authorize(&mut request);
        let header = &answers(&request, "Authorization")[0];
        assert_eq!(field(header, "qop").as_deref(), wanted);
        // A server of RFC 2069 knows neither count nor client's nonce.
        assert_eq!((field(header, "nc").is_some(), field(header, "cnonce").is_some()), (wanted.is_some(), wanted.is_some()));
        assert!(is_right(header, "INVITE", b"v=0\r\n", "r"), "{header}");
        if wanted == Some("auth-int") {
            assert!(!is_right(header, "INVITE", b"v=1\r\n", "r"));
        }
    }
}

#[test]
fn a_nonce_is_used_again_with_a_rising_count_before_anybody_asks() {
    let mut a = authorizer();
    let mut attempt = a.begin();
    a.challenged(&mut attempt, &refusal(401, &["Digest realm=\"r\", nonce=\"n\", qop=\"auth\""])).unwrap();
    let mut cnonces = std::collections::BTreeSet::new();
    for nc in 1..=5u32 {
        let mut request = register();
        a.authorize(&mut request);
        let [header] = &answers(&request, "Authorization")[..] else { panic!() };
        assert_eq!(field(header, "nc"), Some(format!("{nc:08x}")));
        assert!(is_right(header, "REGISTER", b"", "r"));
        assert!(cnonces.insert(field(header, "cnonce").unwrap()), "each use has a client's nonce of its own");
        // Authorizing one request again replaces what stands there.
        a.begin();
    }
    // The next nonce comes before the old one is worn out.
    let info = Message::response_to(&register(), 200, "OK").with("Authentication-Info", "qop=auth, nextnonce=\"n2\"");
    a.accepted(&info);
    let mut request = register();
    a.authorize(&mut request);
    let header = &answers(&request, "Authorization")[0];
    assert_eq!((field(header, "nonce").as_deref(), field(header, "nc").as_deref()), (Some("n2"), Some("00000001")));
}

#[test]
fn stale_is_no_wrong_password_and_a_second_refusal_is() {
    let fresh = |n: u32| format!("Digest realm=\"r\", nonce=\"n{n}\", qop=\"auth\"");
    let stale = |n: u32| format!("{}, stale=true", fresh(n));
    // (what the server says to one request in turn, whether the last is given up)
    for (says, ends) in [
        (vec![fresh(1)], Ok(())),
        (vec![fresh(1), stale(2)], Ok(())),
        (vec![fresh(1), stale(2), stale(3)], Ok(())),
        (vec![fresh(1), fresh(2)], Err(GiveUp::WrongPassword("r".into()))),
        (vec![fresh(1), stale(2), fresh(3)], Err(GiveUp::WrongPassword("r".into()))),
        ((1..=6).map(stale).collect(), Err(GiveUp::TooOften)),
    ] {
        let mut a = authorizer();
        let mut attempt = a.begin();
        let mut last = Ok(());
        for challenge in &says {
            let mut request = register();
            a.authorize(&mut request);
            last = a.challenged(&mut attempt, &refusal(401, &[challenge]));
        }
        assert_eq!(last, ends, "{says:?}");
    }
    // Credentials from memory that a server has forgotten, without the word stale: one answer more, then it is the password.
    let mut a = authorizer();
    let mut attempt = a.begin();
    a.challenged(&mut attempt, &refusal(401, &[&fresh(1)])).unwrap();
    let mut next = a.begin();
    assert_eq!(a.challenged(&mut next, &refusal(401, &[&fresh(9)])), Ok(()));
    assert_eq!(a.challenged(&mut next, &refusal(401, &[&fresh(10)])), Err(GiveUp::WrongPassword("r".into())));
    assert!(!a.is_primed_for([192, 0, 2, 1].into()), "what was refused is not sent again unasked");
}

#[test]
fn several_realms_are_answered_and_their_table_is_bounded() {
    let mut a = authorizer();
    let mut attempt = a.begin();
    let both = refusal(407, &["Digest realm=\"p\", nonce=\"n1\", qop=\"auth\""])
        .with("WWW-Authenticate", "Digest realm=\"s\", nonce=\"n2\", qop=\"auth\"")
        .with("Proxy-Authenticate", "Digest realm=\"q\", nonce=\"n3\", qop=\"auth\"");
    a.challenged(&mut attempt, &both).unwrap();
    let mut request = register();
    a.authorize(&mut request);
    assert_eq!(answers(&request, "Proxy-Authorization").len(), 2);
    assert!(is_right(&answers(&request, "Authorization")[0], "REGISTER", b"", "s"));
    for n in 0..20 {
        let mut attempt = a.begin();
        a.challenged(&mut attempt, &refusal(401, &[&format!("Digest realm=\"r{n}\", nonce=\"n\"")])).unwrap();
    }
    a.authorize(&mut request);
    assert_eq!(answers(&request, "Authorization").len() + answers(&request, "Proxy-Authorization").len(), AUTH_REALMS_MAX);
}

#[test]
fn secrets_are_not_printed_and_a_hash_serves_its_realm_only() {
    let login = Login::with_ha1(USER, "r", Ha1::of(USER, "r", WORD));
    let mut a = Authorizer::new(login.clone(), 3);
    let mut attempt = a.begin();
    assert!(a.challenged(&mut attempt, &refusal(401, &["Digest realm=\"x\", nonce=\"n\""])).is_err());
    a.challenged(&mut attempt, &refusal(401, &["Digest realm=\"r\", nonce=\"n\", qop=\"auth\""])).unwrap();
    let mut request = register();
    a.authorize(&mut request);
    assert!(is_right(&answers(&request, "Authorization")[0], "REGISTER", b"", "r"));
    let printed = format!("{login:?} {a:?} {:?}", Login::with_password(USER, WORD));
    assert!(!printed.contains(WORD) && printed.contains(USER), "{printed}");
}
