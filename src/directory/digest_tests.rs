use super::*;
use proptest::prelude::*;

const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

#[test]
fn the_example_of_rfc_7616_clause_3_9_1_comes_out() {
    let ha1 = Ha1::of("Mufasa", "http-auth@example.org", "Circle of Life");
    let by = |algorithm| response(algorithm, &ha1, "GET", "/dir/index.html", NONCE, 1, CNONCE);
    assert_eq!(by(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    assert_eq!(by(Algorithm::Sha256), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
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
        self.server.challenge(now, false).into_iter().find(|c| c.algorithm == algorithm).unwrap()
    }
    fn log_in(&mut self, challenge: &Challenge, user: &str, password: &str, nc: u32) -> Verdict {
        let ha1 = Ha1::of(user, "lan.test", password);
        let c = challenge.answer(user, &ha1, "REGISTER", "sip:lan.test", nc, "c");
        self.check(&c)
    }
    fn check(&mut self, c: &Credentials) -> Verdict {
        self.server.check(self.now, "REGISTER", "sip:lan.test", c, |u| {
            matches!(u, "2001" | "2002").then(|| Ha1::of(u, "lan.test", &format!("pw{u}")))
        })
    }
}

#[test]
fn req_d2_the_right_password_is_known_and_nothing_else_is() {
    for algorithm in Algorithm::ALL {
        let mut door = Door::new();
        let c = door.challenge(algorithm);
        assert_eq!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Is(User::parse("2001").unwrap()));
        assert_eq!(door.log_in(&c, "2001", "pw2002", 2), Verdict::Wrong);
        assert_eq!(door.log_in(&c, "2003", "pw2003", 2), Verdict::Wrong, "no such account");
        let ha1 = Ha1::of("2001", "lan.test", "pw2001");
        let elsewhere = c.answer("2001", &ha1, "REGISTER", "sip:other.test", 3, "c");
        assert_eq!(door.check(&elsewhere), Verdict::Wrong, "proof for another URI");
        let other_method = c.answer("2001", &ha1, "INVITE", "sip:lan.test", 3, "c");
        assert_eq!(door.check(&other_method), Verdict::Wrong);
        assert_eq!(door.log_in(&c, "2001", "pw2001", 2), Verdict::Is(User::parse("2001").unwrap()), "failures spend no count");
    }
}

#[test]
fn one_nonce_stands_in_all_challenges_and_serves_any_user() {
    let mut door = Door::new();
    let [a, b] = door.server.challenge(door.now, false);
    assert_eq!(a.nonce, b.nonce);
    assert_ne!(door.challenge(Algorithm::Md5).nonce, a.nonce);
    assert!(matches!(door.log_in(&a, "2001", "pw2001", 1), Verdict::Is(_)));
    assert!(matches!(door.log_in(&b, "2002", "pw2002", 2), Verdict::Is(_)));
}

#[test]
fn a_replay_is_stale_and_requests_may_overtake_each_other_within_the_window() {
    let mut door = Door::new();
    let c = door.challenge(Algorithm::Sha256);
    let mut at = |nc| matches!(door.log_in(&c, "2001", "pw2001", nc), Verdict::Is(_));
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
    assert!(matches!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Is(_)));
    door.now = door.now + core::time::Duration::from_secs(2);
    assert_eq!(door.log_in(&c, "2001", "pw2001", 2), Verdict::Stale);
    assert_eq!(door.log_in(&c, "2001", "wrong", 3), Verdict::Wrong, "stale is told only to who has the password");
    let mut forged = door.challenge(Algorithm::Sha256);
    forged.nonce.replace_range(60..64, "0000");
    assert_eq!(door.log_in(&forged, "2001", "pw2001", 1), Verdict::Stale);
    let c = door.challenge(Algorithm::Sha256);
    door.server = Authenticator::new("lan.test", [8; 32], 300);
    assert_eq!(door.log_in(&c, "2001", "pw2001", 1), Verdict::Stale, "after a restart");
}

#[test]
fn memory_for_nonces_is_bounded_and_a_pushed_out_one_cannot_be_replayed() {
    let mut door = Door::new();
    let first = door.challenge(Algorithm::Sha256);
    assert!(matches!(door.log_in(&first, "2001", "pw2001", 1), Verdict::Is(_)));
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
    }
    #[test]
    fn credentials_read_what_they_print(user in "[ -~]{1,20}", nonce in "[ -~]{1,20}", uri in "[ -~]{1,20}", nc: u32, opaque in proptest::option::of("[ -~]{0,9}")) {
        let c = Credentials { username: user, realm: "r".into(), nonce, uri, algorithm: Algorithm::Sha256, nc, cnonce: "c".into(), response: "ab".into(), opaque };
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
