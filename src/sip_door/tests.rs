//! The door without sockets: whole messages in, whole messages out.

use super::*;
use crate::clock::ms;
use crate::digest::{Asked as Proven, Challenge, Ha1, Qop};
use crate::directory::Disclosure;
use crate::directory::bans::BanPolicy;
use crate::directory::registrar::AddressConflict;
use crate::directory::{Account, NumberPlan, Policy, Request, Response, User};
use crate::limits::SIP_REPEATS_MAX;
use crate::number::Number;
use core::net::SocketAddr;
use proptest::prelude::*;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}
fn udp(text: &str) -> Hop {
    Hop::udp(text.parse().unwrap())
}
const PHONE: &str = "10.0.0.7:5060";

struct Stage {
    door: Door,
    directory: Directory,
    authenticator: Authenticator,
    failures: Failures,
    bans: Bans,
    now: Instant,
    wall: WallMs,
    disk_writes: bool,
    written: usize,
    serial: u32,
}

impl Stage {
    fn new(lookups_need_account: bool) -> Stage {
        let policy = Policy {
            lease_default_s: 3600,
            lease_min_s: 60,
            lease_max_s: 7200,
            address_conflict: AddressConflict::Refuse,
            dynamic: Some((number("4000"), number("4003"))),
            dynamic_kept_s: 1000,
            disclosure: if lookups_need_account { Disclosure::Accounts } else { Disclosure::Anyone },
            ..Policy::new(NumberPlan::new(number("1"), 4).unwrap())
        };
        let mut directory = Directory::new(policy);
        let (now, wall) = (Instant::from_ms(5_000_000), WallMs(1_700_000_000_000));
        for name in ["2001", "2002", "2003", "anna"] {
            let own = name.bytes().all(|b| b.is_ascii_digit()).then(|| number(name));
            let ha1 = Ha1::of(name, "lan.test", &format!("pw{name}"));
            directory.handle(now, wall, Request::SetAccount(Account { user: User::parse(name).unwrap(), number: own, ha1 }));
        }
        Stage {
            door: Door::new(Config { domain: "lan.test".into(), addresses: Vec::new(), hashes: Algorithm::ALL.to_vec() }, 7),
            directory,
            authenticator: Authenticator::new("lan.test", [9; 32], 300),
            failures: Failures::default(),
            bans: Bans::new(BanPolicy { account_failures: 3, source_failures: 8, within_s: 300, ban_s: 600 }),
            now,
            wall,
            disk_writes: true,
            written: 0,
            serial: 0,
        }
    }
    fn handle(&mut self, src: Hop, bytes: &[u8], may_write: bool) -> Handled {
        let Stage { door, directory, authenticator, failures, bans, .. } = self;
        door.handle(self.now, self.wall, src, bytes, &mut Rooms { directory, authenticator, failures, bans }, may_write)
    }
    fn send(&mut self, src: Hop, text: &str) -> Option<(Hop, Message)> {
        let answer = match self.handle(src, text.as_bytes(), true) {
            Handled::Nothing => return None,
            Handled::Answer(answer) => answer,
            Handled::Write { writes, pending } => {
                self.written += writes.len();
                self.door.settled(self.now, pending, self.disk_writes)
            }
        };
        Some((answer.dst, Message::parse(&answer.bytes).expect("we write what we can read")))
    }
    fn status(&mut self, src: Hop, text: &str) -> u16 {
        self.send(src, text).map_or(0, |(_, m)| m.status().unwrap())
    }
    fn request(&mut self, method: &str, uri: &str, to: &str, more: &str) -> String {
        self.serial += 1;
        let n = self.serial;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:x@lan.test>;tag=f{n}\r\nTo: <{to}>\r\nCall-ID: c{n}@x\r\nCSeq: {n} {method}\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }
    fn challenge(&mut self, src: Hop, algorithm: Algorithm) -> Challenge {
        let ask = self.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", "");
        let (_, answer) = self.send(src, &ask).unwrap();
        assert_eq!(answer.status(), Some(401));
        pick(&answer, algorithm)
    }
    fn register(&mut self, src: Hop, aor: &str, user: &str, more: &str) -> Message {
        let c = self.challenge(src, Algorithm::Sha256);
        let login = credentials(&c, user, &format!("pw{user}"), "REGISTER", "sip:lan.test", Qop::Auth, 1);
        let ask = self.request("REGISTER", "sip:lan.test", &format!("sip:{aor}@lan.test"), &format!("{login}{more}"));
        self.send(src, &ask).unwrap().1
    }
    fn ask(&mut self, method: &str, user: &str) -> Message {
        let uri = format!("sip:{user}@lan.test");
        let ask = self.request(method, &uri, &uri, "");
        self.send(udp("10.0.0.99:5060"), &ask).unwrap().1
    }
}

/// An answer that waits for the disk, for tests of what it waits for.
pub(crate) fn pending() -> Pending {
    let mut s = Stage::new(false);
    let c = s.challenge(udp(PHONE), Algorithm::Sha256);
    let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
    let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}Contact: <sip:2001@10.0.0.7>\r\n"));
    match s.handle(udp(PHONE), ask.as_bytes(), true) {
        Handled::Write { pending, .. } => pending,
        other => panic!("{other:?}"),
    }
}

fn pick(answer: &Message, algorithm: Algorithm) -> Challenge {
    let all: Vec<_> = answer.headers.iter().filter(|h| h.is("WWW-Authenticate")).collect();
    let all: Vec<_> = all.iter().flat_map(|h| Challenge::parse_all(core::str::from_utf8(h.value).unwrap())).collect();
    assert_eq!(all.iter().map(|c| c.algorithm).collect::<Vec<_>>(), Algorithm::ALL, "best first");
    assert!(all.iter().all(|c| c.nonce == all[0].nonce && c.auth && c.auth_int), "one nonce, both qops");
    all.into_iter().find(|c| c.algorithm == algorithm).unwrap()
}
fn credentials(c: &Challenge, user: &str, password: &str, method: &str, uri: &str, qop: Qop, nc: u32) -> String {
    let ha1 = Ha1::of(user, &c.realm, password);
    let answer = c.answer(user, &ha1, &Proven { method, uri, body: b"" }, Some(qop), nc, "cnonce").unwrap();
    format!("Authorization: {}\r\n", answer.emit())
}
fn contacts(m: &Message) -> Vec<String> {
    m.headers.values("Contact").map(|v| String::from_utf8_lossy(v).into_owned()).collect()
}
fn header(m: &Message, name: &str) -> String {
    m.headers.get(name).map_or(String::new(), |v| String::from_utf8_lossy(v).into_owned())
}

#[test]
fn a_phone_registers_by_every_hash_and_qop_and_is_found_until_it_leaves() {
    for algorithm in Algorithm::ALL {
        for qop in [Qop::Auth, Qop::AuthInt] {
            let mut s = Stage::new(false);
            let src = udp(PHONE);
            let c = s.challenge(src, algorithm);
            let contact = "Contact: <sip:2001@10.0.0.7:5060>;expires=120\r\n";
            let go = |s: &mut Stage, nc, more: &str| {
                let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", qop, nc);
                let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}{more}"));
                s.send(src, &ask).unwrap().1
            };
            let ok = go(&mut s, 1, contact);
            assert_eq!(ok.status(), Some(200), "{algorithm:?} {qop:?}");
            assert_eq!(contacts(&ok), ["<sip:2001@10.0.0.7:5060>;expires=120"]);
            assert_eq!(header(&ok, "Date"), "Tue, 14 Nov 2023 22:13:20 GMT");
            assert_eq!(contacts(&s.ask("INVITE", "2001")), ["<sip:2001@10.0.0.7:5060>;expires=120"]);
            s.now = s.now + ms(100_000);
            s.wall.0 += 100_000;
            assert_eq!(contacts(&go(&mut s, 2, "")), ["<sip:2001@10.0.0.7:5060>;expires=20"], "asked without a contact");
            assert_eq!(contacts(&go(&mut s, 3, contact)), ["<sip:2001@10.0.0.7:5060>;expires=120"], "refreshed");
            let gone = go(&mut s, 4, "Contact: <sip:2001@10.0.0.7:5060>\r\nExpires: 0\r\n");
            assert_eq!((gone.status(), contacts(&gone).len()), (Some(200), 0));
            assert_eq!(s.ask("INVITE", "2001").status(), Some(480));
            assert_eq!(s.written, 3, "a question writes nothing");
        }
    }
}

#[test]
fn every_request_gets_the_answer_of_its_rfc_clause() {
    let mut s = Stage::new(false);
    s.register(udp(PHONE), "2001", "2001", "Contact: <sip:2001@10.0.0.7:5060>\r\n");
    let table: &[(&str, &str, &str, u16)] = &[
        ("OPTIONS", "sip:lan.test", "", 200),
        ("OPTIONS", "sip:ping@LAN.test", "", 200),
        ("OPTIONS", "sip:ping@10.9.9.9", "", 200),
        ("OPTIONS", "sip:ping@other.test", "", 404),
        ("OPTIONS", "sip:2001@lan.test", "", 200),
        ("OPTIONS", "sip:2002@lan.test", "", 480),
        ("OPTIONS", "sip:2999@lan.test", "", 404),
        ("INVITE", "sip:2001@lan.test", "", 302),
        ("INVITE", "sip:12001@lan.test;user=phone", "", 302),
        ("INVITE", "tel:12001", "", 302),
        ("INVITE", "sip:2002@lan.test", "", 480),
        ("INVITE", "sip:anna@lan.test", "", 404),
        ("INVITE", "sip:lan.test", "", 404),
        ("INVITE", "sip:2001@lan.test", "Require: 100rel, timer\r\n", 420),
        ("INVITE", "mailto:2001@lan.test", "", 416),
        ("REGISTER", "tel:2001", "", 416),
        ("REGISTER", "sip:other.test", "", 404),
        ("REGISTER", "sip:lan.test", "Contact: *\r\nExpires: 10\r\n", 400),
        ("REGISTER", "sip:lan.test", "Contact: *, <sip:a@b>\r\nExpires: 0\r\n", 400),
        ("REGISTER", "sip:lan.test", "Contact: <mailto:a@b>\r\n", 400),
        ("REGISTER", "sip:lan.test", "Authorization: Basic eDp5\r\n", 401),
        ("REGISTER", "sip:lan.test", "Authorization: Digest realm=\"lan.test\r\n", 400),
        ("REGISTER", "sip:lan.test", "Require: path\r\n", 420),
        ("MESSAGE", "sip:2001@lan.test", "", 405),
        ("BYE", "sip:2001@lan.test", "", 405),
        ("FETCH", "sip:2001@lan.test", "", 501),
        ("CANCEL", "sip:2001@lan.test", "", 481),
        ("ACK", "sip:2001@lan.test", "", 0),
    ];
    for (method, uri, more, status) in table {
        let ask = s.request(method, uri, "sip:2001@lan.test", more);
        assert_eq!(s.status(udp(PHONE), &ask), *status, "{method} {uri} {more}");
        // Nobody remembers the first: the second answer is the same, tag and all, but for a fresh nonce.
        let [a, b] = [(), ()].map(|()| s.send(udp(PHONE), &ask).map(|(_, m)| header(&m, "To")));
        assert!(a == b && (*status == 0 || a.unwrap().contains(";tag=")));
    }
    for (in_dialog, status) in [("INVITE", 481), ("BYE", 481), ("OPTIONS", 481)] {
        let ask = s
            .request(in_dialog, "sip:2001@lan.test", "sip:2001@lan.test", "")
            .replace("To: <sip:2001@lan.test>", "To: <sip:2001@lan.test>;tag=x");
        assert_eq!(s.status(udp(PHONE), &ask), status);
    }
    let ask = s.request("OPTIONS", "sip:lan.test", "sip:lan.test", "").replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia");
    assert_eq!(s.status(udp(PHONE), &ask), 505);
    let refused = s.request("INVITE", "sip:2001@lan.test", "sip:2001@lan.test", "Require: a\r\nRequire: b\r\n");
    assert_eq!(header(&s.send(udp(PHONE), &refused).unwrap().1, "Unsupported"), "a, b");
    let dropped = s.door.counters().garbage;
    for junk in ["\r\n\r\n", "", "hello", "\0\0\0\0", "SIP/2.0 200 OK\r\n\r\n"] {
        assert_eq!(s.status(udp(PHONE), junk), 0);
    }
    assert_eq!(s.door.counters().garbage, dropped + 5);
}

#[test]
fn answers_go_back_where_the_request_came_from() {
    let mut s = Stage::new(false);
    let ask = s.request("OPTIONS", "sip:lan.test", "sip:lan.test", "");
    let (dst, answer) = s.send(udp("192.0.2.9:40000"), &ask).unwrap();
    assert_eq!(dst, udp("192.0.2.9:40000"));
    assert!(header(&answer, "Via").ends_with(";rport=40000;received=192.0.2.9") || header(&answer, "Via").contains("received=192.0.2.9"));
    let (dst, _) = s.send(udp("192.0.2.9:40000"), &ask.replace(";rport", "")).unwrap();
    assert_eq!(dst, udp("192.0.2.9:5060"), "without rport: the port of sent-by");
    let stream = Hop::tcp("192.0.2.9:40000".parse().unwrap());
    assert_eq!(s.send(stream, &ask.replace(";rport", "")).unwrap().0, stream);
}

#[test]
fn a_repeat_gets_the_same_answer_and_a_replay_does_not() {
    let mut s = Stage::new(false);
    let src = udp(PHONE);
    let c = s.challenge(src, Algorithm::Md5);
    let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
    let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}Contact: <sip:2001@10.0.0.7>\r\n"));
    // The first is on its way to the disk: a repeat waits with it.
    let Handled::Write { pending, .. } = s.handle(src, ask.as_bytes(), true) else { panic!() };
    assert!(matches!(s.handle(src, ask.as_bytes(), true), Handled::Nothing));
    let first = s.door.settled(s.now, pending, true);
    let Handled::Answer(second) = s.handle(src, ask.as_bytes(), true) else { panic!() };
    assert_eq!(first, second);
    // From elsewhere, and as another request: the nonce count is spent.
    for (src, ask) in [(udp("10.0.0.66:5060"), ask.clone()), (src, ask.replace("z9hG4bK", "z9hG4bKother"))] {
        let (_, answer) = s.send(src, &ask).unwrap();
        assert_eq!(answer.status(), Some(401));
        assert!(pick(&answer, Algorithm::Md5).stale);
    }
    assert_eq!((s.failures.total(), s.bans.count(s.now)), (0, 0), "a replay is nobody's wrong password");
    s.now = s.now + ms(40_000);
    s.register(src, "2001", "2001", "");
    assert_eq!(s.status(src, &ask), 401, "half a minute later it is no repeat any more");
}

#[test]
fn what_the_disk_refuses_is_not_acknowledged() {
    let mut s = Stage::new(false);
    s.disk_writes = false;
    let answer = s.register(udp(PHONE), "2001", "2001", "Contact: <sip:2001@10.0.0.7>\r\n");
    assert_eq!((answer.status(), contacts(&answer).len(), header(&answer, "Retry-After")), (Some(503), 0, "1".into()));
    s.disk_writes = true;
    assert_eq!(s.register(udp(PHONE), "2001", "2001", "Contact: <sip:2001@10.0.0.7>\r\n").status(), Some(200));
    let c = s.challenge(udp(PHONE), Algorithm::Md5);
    let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
    let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &login);
    let Handled::Answer(full) = s.handle(udp(PHONE), ask.as_bytes(), false) else { panic!() };
    assert!(full.bytes.starts_with(b"SIP/2.0 503 "), "no room: refused before the nonce is spent");
    assert_eq!(s.status(udp(PHONE), &ask), 200, "so that the same may be tried again");
}

#[test]
fn a_wrong_password_is_told_and_after_some_the_source_is_not_heard() {
    let mut s = Stage::new(false);
    let (bad, good) = (udp("192.0.2.66:5060"), udp(PHONE));
    let guess = |s: &mut Stage, src, user: &str, password: &str| {
        let c = s.challenge(src, Algorithm::Sha256);
        let login = credentials(&c, user, password, "REGISTER", "sip:lan.test", Qop::Auth, 1);
        let ask = s.request("REGISTER", "sip:lan.test", &format!("sip:{user}@lan.test"), &login);
        s.send(src, &ask).unwrap().1
    };
    for _ in 0..3 {
        assert_eq!(guess(&mut s, bad, "2001", "guess").status(), Some(401));
    }
    let banned = guess(&mut s, bad, "2001", "pw2001");
    assert_eq!((banned.status(), header(&banned, "Retry-After")), (Some(403), "600".into()), "even with the right one");
    assert_eq!(guess(&mut s, good, "2001", "pw2001").status(), Some(200), "its owner elsewhere goes on");
    let ping = s.request("OPTIONS", "sip:ping@lan.test", "sip:ping@lan.test", "");
    assert_eq!(s.status(bad, &ping), 200);
    let ask = s.request("INVITE", "sip:2002@lan.test", "sip:2002@lan.test", "");
    assert_eq!(s.status(bad, &ask), 480, "look-ups go on");
    let lines: Vec<_> = std::iter::from_fn(|| s.door.poll_log()).collect();
    assert_eq!(
        lines,
        [
            "log-in failed: source=192.0.2.66 account=\"2001\" passed_over=0 door=sip",
            "banned: source=192.0.2.66 account=\"2001\" seconds=600"
        ]
    );
    for user in ["2002", "nobody", "2002", "2003", "nobody"] {
        guess(&mut s, bad, user, "guess");
    }
    assert_eq!(guess(&mut s, bad, "2003", "pw2003").status(), Some(403), "eight failures: no account is heard from there");
    s.now = s.now + ms(601_000);
    assert_eq!(guess(&mut s, bad, "2003", "pw2003").status(), Some(200), "for a while");
}

#[test]
fn forged_sources_ban_nobody_and_learn_nothing() {
    let mut s = Stage::new(false);
    let (victim, attacker) = (udp(PHONE), udp("192.0.2.66:5060"));
    // The attacker has a nonce, and writes the victim's address on his datagrams; and he tries passwords with a nonce of his own make.
    let c = s.challenge(attacker, Algorithm::Sha256);
    let made_up = Challenge { nonce: "00".repeat(36), ..c.clone() };
    for (c, src, password) in [(&c, victim, "guess"), (&made_up, attacker, "guess"), (&made_up, attacker, "pw2001")].repeat(10) {
        let login = credentials(c, "2001", password, "REGISTER", "sip:lan.test", Qop::Auth, 1);
        let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &login);
        let (_, answer) = s.send(src, &ask).unwrap();
        assert!(answer.status() == Some(401) && pick(&answer, Algorithm::Md5).stale, "right or wrong, the answer is one");
    }
    assert_eq!((s.failures.total(), s.bans.count(s.now)), (0, 0));
    assert_eq!(s.register(victim, "2001", "2001", "").status(), Some(200));
}

#[test]
fn a_user_registers_what_is_its_own() {
    let mut s = Stage::new(false);
    let at = |n: u8| (udp(&format!("10.0.0.{n}:5060")), format!("Contact: <sip:x@10.0.0.{n}:5060>\r\n"));
    let mut go = |aor: &str, user: &str, n| {
        let (src, contact) = at(n);
        let answer = s.register(src, aor, user, &contact);
        (answer.status().unwrap(), answer.reason_phrase())
    };
    assert_eq!(go("2001", "2001", 1).0, 200);
    assert_eq!(go("12001", "2001", 1).0, 200, "the full number is the same number");
    assert_eq!(go("2001", "2002", 2), (403, "The Number Is Somebody Else's".into()));
    assert_eq!(go("anna", "2002", 2).0, 403);
    assert_eq!(go("nobody", "2002", 2).0, 404);
    assert_eq!(go("2999", "2002", 2).0, 403);
    assert_eq!(go("22001", "2002", 2).0, 404, "another server's number");
    assert_eq!(go("2002", "2002", 1), (403, "The Contact Is Another Number's".into()));
    assert_eq!(go("anna", "anna", 3).0, 200, "a number of the pool");
    assert_eq!(contacts(&s.ask("INVITE", "4000")), ["<sip:x@10.0.0.3:5060>;expires=3600"]);
}

#[test]
fn contacts_are_several_and_have_leases_and_preferences_of_their_own() {
    let mut s = Stage::new(false);
    let src = udp(PHONE);
    let two = "Contact: <sip:a@10.0.0.7:5060>;q=0.3;expires=100, \"Desk\" <sip:b@10.0.0.7:5062;transport=tcp>\r\nExpires: 300\r\n";
    let ok = s.register(src, "2001", "2001", two);
    assert_eq!(contacts(&ok), ["<sip:b@10.0.0.7:5062;transport=tcp>;expires=300", "<sip:a@10.0.0.7:5060>;expires=100;q=0.300"]);
    let Response::Found(found) = s.directory.lookup(s.now, &number("2001")) else { panic!() };
    assert_eq!((found.contact, found.transport), ("10.0.0.7:5062".parse::<SocketAddr>().unwrap(), Transport::Tcp), "the best");
    s.now = s.now + ms(150_000);
    s.wall.0 += 150_000;
    assert_eq!(contacts(&s.ask("INVITE", "2001")), ["<sip:b@10.0.0.7:5062;transport=tcp>;expires=150"], "the other's lease is over");
    // The same phone at another address is the same contact (RFC 5626); the URI in another spelling too (RFC 3261 s.19.1.4).
    let named = |port: u16| format!("Contact: <sip:c@10.0.0.7:{port}>;+sip.instance=\"<urn:uuid:7>\";reg-id=1\r\n");
    s.register(src, "2001", "2001", &named(5070));
    let moved = s.register(src, "2001", "2001", &named(5071));
    assert_eq!(contacts(&moved)[0], "<sip:c@10.0.0.7:5071>;expires=3600;+sip.instance=\"<urn:uuid:7>\"");
    let spelt = s.register(src, "2001", "2001", "Contact: <SIP:%62@10.0.0.7:5062;Transport=TCP>;expires=0\r\n");
    assert_eq!(contacts(&spelt).len(), 1);
    let brief = s.register(src, "2001", "2001", "Contact: <sip:d@10.0.0.7>;expires=59\r\n");
    assert_eq!((brief.status(), header(&brief, "Min-Expires")), (Some(423), "60".into()));
    let many: String = (0..9).map(|i| format!("Contact: <sip:m{i}@10.0.0.7>\r\n")).collect();
    assert_eq!(s.register(src, "2001", "2001", &many).status(), Some(403));
    let long = s.register(src, "2001", "2001", "Contact: <sip:d@10.0.0.7>;expires=99999999999\r\n");
    assert!(contacts(&long).contains(&"<sip:d@10.0.0.7>;expires=7200".to_owned()), "cut to the longest lease");
    let odd = s.register(src, "2001", "2001", "Contact: <sip:d@10.0.0.7>;expires=soon\r\n");
    assert!(contacts(&odd).contains(&"<sip:d@10.0.0.7>;expires=3600".to_owned()));
    assert_eq!(s.register(src, "2001", "2001", "Contact: <sip:x@224.0.0.1>\r\n").status(), Some(400));
    let none = s.register(src, "2001", "2001", "Contact: *\r\nExpires: 0\r\n");
    assert_eq!((none.status(), contacts(&none).len()), (Some(200), 0));
    assert_eq!(s.ask("OPTIONS", "2001").status(), Some(480));
}

#[test]
fn a_late_register_does_not_undo_a_newer_one() {
    let mut s = Stage::new(false);
    let src = udp(PHONE);
    let go = |s: &mut Stage, cseq: u32, more: &str| {
        let c = s.challenge(src, Algorithm::Sha256);
        let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
        let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}Contact: <sip:2001@10.0.0.7>{more}\r\n"));
        let n = s.serial;
        s.status(src, &ask.replace(&format!("Call-ID: c{n}@x"), "Call-ID: same").replace(&format!("CSeq: {n} "), &format!("CSeq: {cseq} ")))
    };
    assert_eq!([go(&mut s, 10, ""), go(&mut s, 11, ""), go(&mut s, 9, ";expires=0")], [200, 200, 500]);
    assert_eq!(s.ask("INVITE", "2001").status(), Some(302));
}

#[test]
fn a_phone_behind_a_nat_is_called_in_front_of_it() {
    let mut s = Stage::new(false);
    let nat = udp("203.0.113.5:31000");
    s.register(nat, "2001", "2001", "Contact: <sip:2001@192.168.1.7:5060;ob>\r\n");
    assert_eq!(contacts(&s.ask("INVITE", "2001")), ["<sip:2001@203.0.113.5:31000>;expires=3600"]);
    let Response::Found(found) = s.directory.lookup(s.now, &number("2001")) else { panic!() };
    assert_eq!(
        (found.contact.to_string(), found.private.map(|p| p.to_string())),
        ("203.0.113.5:31000".into(), Some("192.168.1.7:5060".into()))
    );
    // The answer to the phone names the contact as the phone did, or it would not know it again.
    let query = s.register(nat, "2001", "2001", "");
    assert_eq!(contacts(&query), ["<sip:2001@192.168.1.7:5060;ob>;expires=3600"]);
    let tls = Hop::tls("203.0.113.6:31001".parse().unwrap());
    s.register(tls, "2002", "2002", "Contact: <sip:2002@df7jal23ls0d.invalid;transport=ws>\r\n");
    assert_eq!(contacts(&s.ask("INVITE", "2002")), ["<sip:2002@203.0.113.6:31001;transport=tls>;expires=3600"]);
    // Two machines of one network: the contact is another's, and meant so.
    s.register(udp("10.0.0.3:5060"), "2003", "2003", "Contact: <sip:2003@10.0.0.4:5060>\r\n");
    assert_eq!(contacts(&s.ask("INVITE", "2003")), ["<sip:2003@10.0.0.4:5060>;expires=3600"]);
}

#[test]
fn look_ups_need_an_account_where_the_operator_says_so() {
    let mut s = Stage::new(true);
    assert_eq!(s.ask("INVITE", "2002").status(), Some(401));
    assert_eq!(s.ask("OPTIONS", "2002").status(), Some(401));
    assert_eq!(s.ask("OPTIONS", "ping").status(), Some(200));
    let src = udp(PHONE);
    let c = s.challenge(src, Algorithm::Sha512_256);
    let uri = "sip:2002@lan.test";
    let login = credentials(&c, "2001", "pw2001", "INVITE", uri, Qop::Auth, 1);
    let ask = s.request("INVITE", uri, uri, &login);
    assert_eq!([s.status(src, &ask), s.status(src, &ask)], [480, 480], "and a repeat is no replay");
}

#[test]
fn credentials_may_name_our_address_for_our_domain_but_nobody_elses() {
    for (uri, status) in [("sip:10.0.0.1:5060", 200), ("sip:lan.test:5060", 200), ("sip:other.test", 400), ("sip:2002@lan.test", 400)] {
        let mut s = Stage::new(false);
        let c = s.challenge(udp(PHONE), Algorithm::Md5);
        let login = credentials(&c, "2001", "pw2001", "REGISTER", uri, Qop::Auth, 1);
        let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}Contact: <sip:2001@10.0.0.7>\r\n"));
        assert_eq!(s.status(udp(PHONE), &ask), status, "{uri}");
    }
}

#[test]
fn the_operator_says_which_hashes_are_offered_and_in_which_order() {
    let offered = |s: &mut Stage| -> Vec<Challenge> {
        let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", "");
        let (_, answer) = s.send(udp(PHONE), &ask).unwrap();
        let all = answer.headers.iter().filter(|h| h.is("WWW-Authenticate"));
        all.flat_map(|h| Challenge::parse_all(core::str::from_utf8(h.value).unwrap())).collect()
    };
    let mut s = Stage::new(false);
    s.door.config.hashes = vec![Algorithm::Md5, Algorithm::Sha256];
    let all = offered(&mut s);
    assert_eq!(all.iter().map(|c| c.algorithm).collect::<Vec<_>>(), [Algorithm::Md5, Algorithm::Sha256]);
    // A hash that is not offered is not taken, even with the right password; one that is, is.
    for (hash, status) in [(Algorithm::Sha512_256, 401), (Algorithm::Md5, 200)] {
        let c = Challenge { algorithm: hash, ..all[0].clone() };
        let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
        let ask = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &format!("{login}Contact: <sip:2001@10.0.0.7>\r\n"));
        assert_eq!(s.status(udp(PHONE), &ask), status, "{hash:?}");
    }
}

#[test]
fn a_phone_that_gives_up_at_a_hash_it_does_not_know_is_offered_md5_alone_when_it_comes_again() {
    let mut s = Stage::new(false);
    let (src, ask) = (udp(PHONE), s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", ""));
    let n = s.serial;
    let again =
        |cseq: u32, more: &str| ask.replace(&format!("CSeq: {n} "), &format!("CSeq: {cseq} ")).replace("Max-F", &format!("{more}Max-F"));
    let offered = |s: &mut Stage, ask: &str| -> Vec<Challenge> {
        let (_, answer) = s.send(src, ask).unwrap();
        assert_eq!(answer.status(), Some(401));
        let all = answer.headers.iter().filter(|h| h.is("WWW-Authenticate"));
        all.flat_map(|h| Challenge::parse_all(core::str::from_utf8(h.value).unwrap())).collect()
    };
    assert_eq!([offered(&mut s, &ask).len(), offered(&mut s, &ask).len()], [3, 3], "a repeat is no giving up");
    let other = ask.replace("Call-ID: ", "Call-ID: other");
    assert_eq!(offered(&mut s, &other).len(), 3, "nor is another phone");
    s.now = s.now + ms(40_000);
    let [md5] = offered(&mut s, &again(n + 1, ""))[..].to_vec().try_into().unwrap();
    assert_eq!(md5.algorithm, Algorithm::Md5);
    let login = credentials(&md5, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
    assert_eq!(s.status(src, &again(n + 2, &login)), 200);
    s.now = s.now + ms(1_000_000);
    let [stale] = offered(&mut s, &again(n + 3, &login))[..].to_vec().try_into().unwrap();
    assert!(stale.stale && stale.algorithm == Algorithm::Md5, "it is still the same phone");
    // Who answers with a better hash knows them all.
    let c = s.challenge(src, Algorithm::Sha256);
    let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::Auth, 1);
    assert_eq!(s.status(src, &again(n + 4, &login)), 200);
    assert_eq!([offered(&mut s, &again(n + 5, "")).len(), offered(&mut s, &again(n + 5, "")).len()], [3, 3]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut s = Stage::new(false);
    let mut repeats = Repeats::default();
    let mut offers = Offers::default();
    for i in 0..5 * crate::limits::SIP_UNANSWERED_MAX as u64 {
        offers.md5_alone(Instant::from_ms(i), i / 2, i as u32, false);
    }
    assert!(offers.len() <= crate::limits::SIP_UNANSWERED_MAX);
    for i in 0..3 * SIP_REPEATS_MAX {
        repeats.keep(s.now, i as u128, Kept::Waits);
    }
    assert!(repeats.len() <= SIP_REPEATS_MAX);
    assert!(repeats.get(0).is_none() && repeats.get(3 * SIP_REPEATS_MAX as u128 - 1).is_some());
    for i in 0..5000u32 {
        let src = Hop::udp(SocketAddr::new(i.to_be_bytes().into(), 5060));
        s.send(src, "OPTIONS sip:lan.test SIP/2.0\r\nVia: nonsense\r\n\r\n");
    }
    let lines = std::iter::from_fn(|| s.door.poll_log()).count();
    assert!((1..=25).contains(&lines), "{lines} lines");
}

proptest! {
    /// A message of a phone with bytes changed, doubled and taken out: an answer that can be read, or none.
    #[test]
    fn no_mutation_of_a_register_breaks_the_door(at in proptest::collection::vec((0usize..900, 0u8..4, any::<u8>()), 1..12)) {
        let mut s = Stage::new(false);
        let c = s.challenge(udp(PHONE), Algorithm::Sha256);
        let login = credentials(&c, "2001", "pw2001", "REGISTER", "sip:lan.test", Qop::AuthInt, 1);
        let more = format!("{login}Contact: <sip:2001@10.0.0.7;x=y>;expires=100;q=0.5;+sip.instance=\"<urn:uuid:1>\", *\r\nExpires: 9\r\n");
        let mut bytes = s.request("REGISTER", "sip:lan.test", "sip:2001@lan.test", &more).into_bytes();
        for (at, how, byte) in at {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => { let tail = bytes[at..].to_vec(); bytes.extend(tail); bytes.truncate(4000); }
            }
        }
        match s.handle(udp(PHONE), &bytes, true) {
            Handled::Nothing => {}
            Handled::Answer(answer) => prop_assert!(answer.bytes.starts_with(b"SIP/2.0 ")),
            Handled::Write { pending, .. } => prop_assert!(s.door.settled(s.now, pending, true).bytes.starts_with(b"SIP/2.0 200 ")),
        }
    }
}
