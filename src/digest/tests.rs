use super::server::Window;
use super::*;
use crate::clock::Instant;
use crate::limits::{CHALLENGES_MAX, NONCE_WINDOW, NONCES_MAX};
use core::net::IpAddr;
use proptest::prelude::*;

const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

#[test]
fn the_example_of_rfc_7616_clause_3_9_1_comes_out() {
    let ha1 = Ha1::of("Mufasa", "http-auth@example.org", "Circle of Life");
    let asked = Asked { method: "GET", uri: "/dir/index.html", body: b"" };
    let by = |algorithm| response(algorithm, &ha1, &asked, NONCE, Some(Qop::Auth), 1, CNONCE).unwrap();
    assert_eq!(by(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    assert_eq!(by(Algorithm::Sha256), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

#[test]
fn the_example_of_rfc_2617_without_qop_and_sha_512_256_come_out() {
    // RFC 2617 clause 3.5's account, as a server of RFC 2069 would check it: H(H(A1):nonce:H(A2)).
    let ha1 = Ha1::of("Mufasa", "testrealm@host.com", "Circle Of Life");
    let asked = Asked { method: "GET", uri: "/dir/index.html", body: b"" };
    let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
    assert_eq!(response(Algorithm::Md5, &ha1, &asked, nonce, None, 0, "").unwrap(), "670fd8c2df070c60b045671b8b24ff02");
    assert_eq!(response(Algorithm::Md5, &ha1, &asked, nonce, Some(Qop::Auth), 1, "0a4f113b").unwrap(), "6629fae49393a05397450978507c4ef1");
    // FIPS 180-4's own example of the hash: "abc" under SHA-512/256.
    let abc = <sha2::Sha512_256 as sha2::Digest>::digest(b"abc");
    assert_eq!(abc[..4], [0x53, 0x04, 0x8e, 0x26]);
    let whole = Ha1::of("J", "r", "p");
    let old = Ha1 { sha512_256: None, ..whole };
    assert!(response(Algorithm::Sha512_256, &old, &asked, "n", Some(Qop::Auth), 1, "c").is_none(), "not kept: not usable");
    assert!(response(Algorithm::Sha256, &old, &asked, "n", Some(Qop::Auth), 1, "c").is_some());
    assert!(old.same_password(&whole) && !old.same_password(&Ha1::of("J", "r", "q")));
}

#[test]
fn auth_int_covers_the_body_and_auth_does_not() {
    let ha1 = Ha1::of("2001", "lan.test", "p");
    for algorithm in Algorithm::ALL {
        let by = |qop, body: &[u8]| {
            response(algorithm, &ha1, &Asked { method: "MESSAGE", uri: "sip:x", body }, NONCE, Some(qop), 1, CNONCE).unwrap()
        };
        assert_eq!(by(Qop::Auth, b"one"), by(Qop::Auth, b"two"));
        assert_ne!(by(Qop::AuthInt, b"one"), by(Qop::AuthInt, b"two"));
        assert_ne!(by(Qop::AuthInt, b""), by(Qop::Auth, b""));
    }
}

#[test]
fn several_challenges_in_one_header_are_told_apart() {
    let text = "Digest realm=\"a, b\", nonce=\"n1\", algorithm=SHA-512-256, qop=\"auth,auth-int\", \
                Basic realm=\"x\",Negotiate, Digest realm=\"a \\\" Digest q=\" , nonce=\"n1\",algorithm=SHA-256,qop=auth-int,\
                Digest realm=\"c\", nonce=\"n2\", Digest realm=\"d\", nonce=\"n3\", algorithm=SHA-3";
    let found = Challenge::parse_all(text);
    let read: Vec<_> = found.iter().map(|c| (c.realm.as_str(), c.nonce.as_str(), c.algorithm, c.auth, c.auth_int)).collect();
    assert_eq!(
        read,
        [
            ("a, b", "n1", Algorithm::Sha512_256, true, true),
            ("a \" Digest q=", "n1", Algorithm::Sha256, false, true),
            ("c", "n2", Algorithm::Md5, false, false),
        ]
    );
    assert_eq!((found[0].qop(false), found[0].qop(true)), (Some(Qop::Auth), Some(Qop::AuthInt)));
    assert_eq!((found[1].qop(false), found[2].qop(true)), (Some(Qop::AuthInt), None));
    let joined: Vec<String> = found.iter().map(Challenge::emit).collect();
    assert_eq!(Challenge::parse_all(&joined.join(", ")), found);
    let many = "Digest realm=\"r\", nonce=\"n\",".repeat(50);
    assert_eq!(Challenge::parse_all(&many[..CHALLENGES_MAX * 28]).len(), CHALLENGES_MAX);
    assert!(Challenge::parse_all(&many).len() <= CHALLENGES_MAX);
    assert!(Challenge::parse_all("").is_empty() && Challenge::parse_all(",,,").is_empty());
}

#[test]
fn the_headers_of_rfc_7616_are_read() {
    let text = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm=MD5, \
                nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", \
                qop=auth, response=\"8ca523f5e9506fed4657c9700eebdbec\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let c = Credentials::parse(text).unwrap();
    assert_eq!((c.username.as_str(), c.nonce.as_str(), c.nc, c.algorithm), ("Mufasa", NONCE, 1, Algorithm::Md5));
    assert_eq!(Credentials::parse(&c.emit()), Ok(c));
    let challenge = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, nonce=\"abc\", opaque=\"x\"";
    assert_eq!(Challenge::parse(challenge).unwrap().algorithm, Algorithm::Sha256);
    let unknown = challenge.replace("auth, auth-int", "auth-sealed");
    assert_eq!(Challenge::parse(&unknown), Err(Malformed::Unsupported));
    for (bad, why) in [
        ("Basic abc=", Malformed::NotDigest),
        ("Digest username=\"a", Malformed::BadSyntax),
        ("Digest realm=x, realm=y", Malformed::BadSyntax),
        (&text.replace("qop=auth,", ""), Malformed::Unsupported),
        (&text.replace("nc=00000001", "nc=1"), Malformed::BadParameter("nc")),
        (&text.replace("=MD5", "=SHA-1"), Malformed::Unsupported),
        (&text.replace("username=\"Mufasa\", ", ""), Malformed::BadParameter("username")),
    ] {
        assert_eq!(Credentials::parse(bad), Err(why), "{bad}");
    }
}

const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::LOCALHOST);
const ASKED: Asked<'_> = Asked { method: "REGISTER", uri: "sip:lan.test", body: b"" };

struct Door {
    server: Authenticator,
    now: Instant,
}

impl Door {
    fn new() -> Self {
        Door { server: Authenticator::new("lan.test", [7; 32], 300), now: Instant::from_ms(1_000_000) }
    }
    fn challenge(&mut self, algorithm: Algorithm) -> Challenge {
        let now = self.now;
        self.server.challenge(now, false, HERE).into_iter().find(|c| c.algorithm == algorithm).unwrap()
    }
    fn log_in(&mut self, challenge: &Challenge, user: &str, password: &str, nc: u32) -> Verdict {
        let ha1 = Ha1::of(user, "lan.test", password);
        let c = challenge.answer(user, &ha1, &ASKED, Some(Qop::Auth), nc, "c");
        self.check(&c.unwrap())
    }
    fn check(&mut self, c: &Credentials) -> Verdict {
        self.server.check(self.now, &ASKED, c, |u| matches!(u, "2001" | "2002").then(|| Ha1::of(u, "lan.test", &format!("pw{u}"))))
    }
}

#[test]
fn req_d2_the_right_password_is_known_and_nothing_else_is() {
    for algorithm in Algorithm::ALL {
        let mut door = Door::new();
        let c = door.challenge(algorithm);
        assert_eq!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Is);
        assert_eq!(door.log_in(&c, "2001", "pw2002", 2), Verdict::Wrong);
        assert_eq!(door.log_in(&c, "2003", "pw2003", 2), Verdict::Wrong, "no such account");
        let ha1 = Ha1::of("2001", "lan.test", "pw2001");
        let elsewhere = Asked { uri: "sip:other.test", ..ASKED };
        let elsewhere = c.answer("2001", &ha1, &elsewhere, Some(Qop::Auth), 3, "c").unwrap();
        assert_eq!(door.check(&elsewhere), Verdict::Wrong, "proof for another URI");
        let other_method = Asked { method: "INVITE", ..ASKED };
        let other_method = c.answer("2001", &ha1, &other_method, Some(Qop::Auth), 3, "c").unwrap();
        assert_eq!(door.check(&other_method), Verdict::Wrong);
        let uncounted = c.answer("2001", &ha1, &ASKED, None, 0, "").unwrap();
        assert_eq!(door.check(&uncounted), Verdict::Wrong, "without qop nothing is counted");
        assert_eq!(door.check(&Credentials { response: String::new(), ..uncounted }), Verdict::Wrong);
        let whole = c.answer("2001", &ha1, &ASKED, Some(Qop::AuthInt), 9, "c").unwrap();
        assert_eq!(door.check(&whole), Verdict::Is);
        assert_eq!(door.log_in(&c, "2001", "pw2001", 2), Verdict::Is, "failures spend no count");
    }
}

#[test]
fn one_nonce_stands_in_all_challenges_and_serves_any_user() {
    let mut door = Door::new();
    let [a, b, c] = door.server.challenge(door.now, false, HERE);
    assert_eq!((a.nonce.as_str(), a.nonce.as_str()), (b.nonce.as_str(), c.nonce.as_str()));
    assert_ne!(door.challenge(Algorithm::Md5).nonce, a.nonce);
    assert!(matches!(door.log_in(&a, "2001", "pw2001", 1), Verdict::Is));
    assert!(matches!(door.log_in(&b, "2002", "pw2002", 2), Verdict::Is));
}

#[test]
fn a_nonce_says_to_whom_it_was_issued() {
    let mut door = Door::new();
    let nonce = door.challenge(Algorithm::Md5).nonce;
    let elsewhere = IpAddr::from([192, 0, 2, 7]);
    assert!(door.server.issued_to(door.now, &nonce, HERE) && !door.server.issued_to(door.now, &nonce, elsewhere));
    let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    assert!(door.server.issued_to(door.now, &nonce, mapped), "the same address in another spelling");
    let late = door.now + core::time::Duration::from_secs(301);
    assert!(!door.server.issued_to(late, &nonce, HERE) && !door.server.issued_to(door.now, "made up", HERE));
}

#[test]
fn a_replay_is_stale_and_requests_may_overtake_each_other_within_the_window() {
    let mut door = Door::new();
    let c = door.challenge(Algorithm::Sha256);
    let mut at = |nc| matches!(door.log_in(&c, "2001", "pw2001", nc), Verdict::Is);
    assert!(at(NONCE_WINDOW) && !at(NONCE_WINDOW));
    assert!((1..NONCE_WINDOW).rev().all(&mut at), "all the others, backwards");
    assert!(!(1..=NONCE_WINDOW).any(&mut at), "none twice");
    assert!(at(5 * NONCE_WINDOW) && at(4 * NONCE_WINDOW + 1) && !at(4 * NONCE_WINDOW));
    assert!(!at(0));
}

#[test]
fn nonces_end_with_their_lifetime_and_with_the_server() {
    let mut door = Door::new();
    let c = door.challenge(Algorithm::Sha256);
    door.now = door.now + core::time::Duration::from_secs(299);
    assert!(matches!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Is));
    door.now = door.now + core::time::Duration::from_secs(2);
    assert_eq!(door.log_in(&c, "2001", "pw2001", 2), Verdict::Stale);
    assert_eq!(door.log_in(&c, "2001", "wrong", 3), Verdict::Wrong, "stale is told only to who has the password");
    let mut forged = door.challenge(Algorithm::Sha256);
    forged.nonce.replace_range(68..72, "0000");
    assert_eq!(door.log_in(&forged, "2001", "pw2001", 1), Verdict::Stale);
    let c = door.challenge(Algorithm::Sha256);
    door.server = Authenticator::new("lan.test", [8; 32], 300);
    assert_eq!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Stale, "after a restart");
}

#[test]
fn memory_for_nonces_is_bounded_and_a_pushed_out_one_cannot_be_replayed() {
    let mut door = Door::new();
    let first = door.challenge(Algorithm::Sha256);
    assert!(matches!(door.log_in(&first, "2001", "pw2001", 1), Verdict::Is));
    for _ in 0..NONCES_MAX {
        let c = door.challenge(Algorithm::Sha256);
        assert!(door.server.take(door.now, &c.nonce, 1));
    }
    assert_eq!(door.server.nonces_in_use(), NONCES_MAX);
    assert_eq!(door.log_in(&first, "2001", "pw2001", 1), Verdict::Stale);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(Digest )?[ -~]{0,200}") {
        if let Ok(c) = Credentials::parse(&text) {
            prop_assert_eq!(Credentials::parse(&c.emit()), Ok(c));
        }
        let _ = Challenge::parse(&text);
        prop_assert!(Challenge::parse_all(&text).len() <= CHALLENGES_MAX);
    }
    #[test]
    fn credentials_read_what_they_print(user in "[ -~]{1,20}", nonce in "[ -~]{1,20}", uri in "[ -~]{1,20}", nc: u32, opaque in proptest::option::of("[ -~]{0,9}")) {
        let c = Credentials { username: user, realm: "r".into(), nonce, uri, algorithm: Algorithm::Sha256, qop: Some(Qop::AuthInt), nc, cnonce: "c".into(), response: "ab".into(), opaque };
        prop_assert_eq!(Credentials::parse(&c.emit()), Ok(c));
    }
    #[test]
    fn the_window_takes_each_count_once(counts in proptest::collection::vec(1u32..1000, 0..400)) {
        let mut window = Window::default();
        let (mut taken, mut highest) = (std::collections::BTreeSet::new(), 0);
        for nc in counts {
            let in_window = nc > highest || highest - nc < NONCE_WINDOW;
            highest = highest.max(nc);
            prop_assert_eq!(window.take(nc), in_window && taken.insert(nc));
        }
    }
}
