//! The registration against registrars of a virtual network: by table, and by seed.

use super::*;
use crate::digest::{Algorithm, Asked, Challenge, Ha1, Qop, response};
use crate::limits::SIP_BYTES_MAX;

const WORD: &str = "opensesame";

/// What a registrar does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    Well,
    Silent,
    Unreachable,
    Says(u16),
}

struct Registrar {
    mood: Mood,
    password: Option<&'static str>,
    min_expires_s: u32,
    /// Leases are cut to this.
    max_expires_s: u32,
    /// Which server.
    id: usize,
    nonce: u32,
    /// Uses of a nonce before it is stale.
    nonce_uses: u32,
    seen_nc: u32,
    service_route: Option<&'static str>,
    until: Option<Instant>,
    heard: Vec<(Instant, Message)>,
    refused_passwords: u32,
}

impl Registrar {
    fn new(id: usize) -> Registrar {
        Registrar {
            id,
            mood: Mood::Well,
            password: Some(WORD),
            min_expires_s: 0,
            max_expires_s: 100_000,
            nonce: 1,
            nonce_uses: u32::MAX,
            seen_nc: 0,
            service_route: None,
            until: None,
            heard: Vec::new(),
            refused_passwords: 0,
        }
    }

    fn field(header: &str, name: &str) -> Option<String> {
        let all = header.strip_prefix("Digest ")?;
        all.split(", ").find_map(|p| p.strip_prefix(&format!("{name}="))).map(|v| v.trim_matches('"').to_owned())
    }

    fn fresh(&self) -> String {
        format!("{}nonce{}", self.id, self.nonce)
    }

    fn challenge(&self, request: &Message, stale: bool) -> Message {
        let nonce = self.fresh();
        let one = |algorithm| Challenge {
            realm: "r".into(),
            nonce: nonce.clone(),
            algorithm,
            auth: true,
            auth_int: false,
            stale,
            opaque: Some("o".into()),
        };
        let all = [Algorithm::Md5, Algorithm::Sha256];
        all.into_iter().fold(Message::response_to(request, 401, "Unauthorized"), |m, a| m.with("WWW-Authenticate", one(a).emit()))
    }

    fn answer(&mut self, now: Instant, request: &Message) -> Message {
        self.heard.push((now, request.clone()));
        if let Mood::Says(status) = self.mood {
            return Message::response_to(request, status, "As Told").with("Contact", "<sip:elsewhere.example>");
        }
        if let Some(password) = self.password {
            let Some(header) = request.headers.get("Authorization").map(|h| String::from_utf8(h.to_vec()).unwrap()) else {
                return self.challenge(request, false);
            };
            let get = |n: &str| Self::field(&header, n).unwrap_or_default();
            let nc = u32::from_str_radix(&get("nc"), 16).unwrap();
            let asked = Asked { method: "REGISTER", uri: &get("uri"), body: b"" };
            let algorithm = Algorithm::parse(&get("algorithm")).unwrap();
            let right = response(algorithm, &Ha1::of("4930", "r", password), &asked, &get("nonce"), Some(Qop::Auth), nc, &get("cnonce"));
            if right.as_deref() != Some(get("response").as_str()) {
                self.refused_passwords += 1;
                self.nonce += 1;
                self.seen_nc = 0;
                return self.challenge(request, false);
            }
            assert_eq!((algorithm, get("opaque").as_str()), (Algorithm::Sha256, "o"));
            if get("nonce") != self.fresh() || nc > self.nonce_uses {
                self.nonce += 1;
                self.seen_nc = 0;
                return self.challenge(request, true);
            }
            // What was lost on the way was counted too.
            assert!(nc > self.seen_nc, "the count of a nonce rises");
            self.seen_nc = nc;
        }
        let asked: u32 = String::from_utf8_lossy(request.headers.get("Expires").unwrap()).parse().unwrap();
        if asked != 0 && asked < self.min_expires_s {
            return Message::response_to(request, 423, "Interval Too Brief").with("Min-Expires", self.min_expires_s.to_string());
        }
        let lease = asked.min(self.max_expires_s);
        self.until = (lease > 0).then(|| now + ms(u64::from(lease) * 1000));
        let contact = request.contact().unwrap();
        let bound = format!("<{}>;expires={lease}", String::from_utf8_lossy(contact.uri.as_bytes()));
        let mut ok = Message::response_to(request, 200, "OK").with("Contact", format!("<sip:4930@192.0.2.99>;expires=7, {bound}"));
        if let Some(route) = self.service_route {
            ok = ok.with("Service-Route", route);
        }
        ok
    }
}

struct World {
    now: Instant,
    rng: Rng,
    loss: f64,
    registration: Registration,
    servers: Vec<Registrar>,
    under_way: Vec<(Instant, u64, u16, Option<Message>)>,
    sent: u64,
    states: Vec<(Instant, State)>,
    /// The last part of our address.
    here: u8,
}

fn target(server: usize) -> Target {
    (Hop::udp(([192, 0, 2, 1 + server as u8], 5060).into()), None)
}

impl World {
    fn new(servers: usize, seed: u64) -> World {
        World::with(servers, seed, 600, WORD)
    }
    fn with(servers: usize, seed: u64, expires_s: u32, password: &str) -> World {
        let login = Some(Login::with_password("4930", password));
        let config = Config { domain: "example.net".into(), user: "4930".into(), expires_s, route: None, fax: None, login };
        let names = (0..servers).map(|i| format!("sip:s{i}.example.net")).collect();
        let mut registration = Registration::new(config, names, seed);
        registration.start(Instant::ZERO);
        assert_eq!(registration.state(), State::Trying);
        for i in 0..servers {
            registration.set_targets(Instant::ZERO, i, vec![target(i)]);
        }
        World {
            now: Instant::ZERO,
            rng: Rng::new(seed ^ 99),
            loss: 0.0,
            registration,
            servers: (0..servers).map(Registrar::new).collect(),
            under_way: Vec::new(),
            sent: 0,
            states: Vec::new(),
            here: 50,
        }
    }

    fn send(&mut self) {
        let here = self.here;
        let contact = |user: &str, _: Hop| Uri::sip(user, ([192, 0, 2, here], 5060).into());
        while let Some(out) = self.registration.poll_request(self.now, contact) {
            self.sent += 1;
            let bytes = out.message.clone().with("Via", "SIP/2.0/UDP 192.0.2.50;branch=z9hG4bKx").emit();
            assert!(bytes.len() < SIP_BYTES_MAX && Message::parse(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            let i = (0..self.servers.len()).find(|i| target(*i) == out.target).unwrap();
            let lost = self.rng.chance(self.loss);
            let (delay, status, response) = match self.servers[i].mood {
                Mood::Unreachable => (5, 503, None),
                Mood::Silent => (32_000, 408, None),
                _ if lost => (32_000, 408, None),
                Mood::Well | Mood::Says(_) => {
                    let response = self.servers[i].answer(self.now, &out.message);
                    (40, response.status().unwrap(), Some(response))
                }
            };
            self.under_way.push((self.now + ms(delay), out.serial, status, response));
        }
        let state = self.registration.state();
        if self.states.last().is_none_or(|(_, s)| *s != state) {
            self.states.push((self.now, state));
        }
    }

    fn run_until(&mut self, end: Instant) {
        for _ in 0..1_000_000 {
            self.send();
            let answer = self.under_way.iter().map(|u| u.0).min();
            let next = [answer, self.registration.poll_timeout()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            assert!(at >= self.now, "time does not run back");
            self.now = at;
            if let Some(i) = self.under_way.iter().position(|u| u.0 == at) {
                let (_, serial, status, response) = self.under_way.remove(i);
                self.registration.handle_response(at, serial, status, response.as_ref());
            }
            self.registration.handle_timeout(at);
        }
        self.now = end;
    }
    fn run_s(&mut self, seconds: u64) {
        self.run_until(self.now + ms(1000 * seconds));
    }
    fn heard(&self, server: usize) -> &[(Instant, Message)] {
        &self.servers[server].heard
    }
}

#[test]
fn registers_with_digest_and_renews_at_a_jittered_part_of_the_lease() {
    let mut parts = Vec::new();
    for seed in 0..50 {
        let mut w = World::new(1, seed);
        w.run_s(3_600);
        assert_eq!(w.registration.state(), State::Registered);
        assert_eq!(w.registration.server(), Some("sip:s0.example.net"));
        assert_eq!(w.servers[0].refused_passwords, 0);
        let heard = w.heard(0);
        let ids: std::collections::BTreeSet<&[u8]> = heard.iter().map(|(_, m)| m.call_id().unwrap()).collect();
        assert_eq!(ids.len(), 1, "one Call-ID for life");
        assert!(heard.windows(2).all(|w| w[0].1.cseq().unwrap().number < w[1].1.cseq().unwrap().number));
        // The first is challenged; from then on credentials go along unasked, so there is one request a renewal.
        assert!(heard[1..].iter().all(|(_, m)| m.headers.count("Authorization") == 1));
        let renewals: Vec<u64> = heard[1..].windows(2).map(|w| w[1].0.ms_since(w[0].0)).collect();
        assert!(renewals.len() >= 6);
        assert!(renewals.iter().all(|ms| (480_000..=570_100).contains(ms)), "{renewals:?}");
        parts.extend(renewals);
    }
    let spread = parts.iter().max().unwrap() - parts.iter().min().unwrap();
    assert!(spread > 60_000, "they do not all come at once: {spread} ms");
}

#[test]
fn req_c10_a_changed_address_is_registered_at_once_and_the_old_one_taken_back() {
    let contacts = |m: &Message| m.headers.values("Contact").map(|v| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>();
    let mut w = World::new(1, 3);
    w.run_s(10);
    w.here = 51;
    w.registration.way_changed(w.now, true);
    w.run_s(1);
    let (at, last) = w.heard(0).last().unwrap();
    assert!(w.now.ms_since(*at) <= 1_000);
    assert_eq!(contacts(last), ["<sip:4930@192.0.2.51:5060>;expires=600", "<sip:4930@192.0.2.50:5060>;expires=0"]);
    w.run_s(600);
    assert_eq!(contacts(&w.heard(0).last().unwrap().1), ["<sip:4930@192.0.2.51:5060>;expires=600"], "once is enough");
    // No way for an hour, then there is one.
    w.servers[0].mood = Mood::Unreachable;
    w.run_s(3_600);
    assert_eq!(w.registration.state(), State::Failed);
    w.servers[0].mood = Mood::Well;
    w.registration.way_changed(w.now, false);
    w.run_s(1);
    assert!(w.registration.is_registered());
    // A registration that holds is left alone; one that was refused is not asked more often for it.
    let sent = w.sent;
    w.registration.way_changed(w.now, false);
    w.run_s(1);
    w.servers[0].mood = Mood::Says(403);
    w.run_s(600);
    assert_eq!((w.registration.state(), w.sent > sent), (State::Refused, true));
    let sent = w.sent;
    w.registration.way_changed(w.now, true);
    w.run_s(1);
    assert_eq!(w.sent, sent);
}

#[test]
fn leases_of_every_length_are_renewed_in_time() {
    for (max, asked) in [(10, 600), (30, 600), (60, 60), (90, 600), (120, 120), (600, 600), (100_000, 3600)] {
        for seed in 0..20 {
            let mut w = World::with(1, seed, asked, WORD);
            w.servers[0].max_expires_s = max;
            w.run_s(1);
            let lease = u64::from(max.min(asked));
            for _ in 0..200 {
                w.run_until(w.now + ms(lease * 50));
                assert!(w.registration.is_registered() && w.servers[0].until.is_some_and(|at| at > w.now), "lease {max} seed {seed}");
            }
            assert!(w.sent < 40, "and not more often than needed: {}", w.sent);
        }
    }
}

#[test]
fn a_lease_that_is_too_brief_for_the_server_is_asked_for_longer() {
    let mut w = World::new(1, 3);
    w.servers[0].min_expires_s = 1800;
    w.run_s(2);
    assert!(w.registration.is_registered());
    assert_eq!(w.heard(0).last().unwrap().1.headers.get("Expires"), Some(&b"1800"[..]));
    assert_eq!(w.registration.registered_until().unwrap().ms_since(w.now) / 1000, 1798);
}

#[test]
fn a_server_that_fails_is_left_for_the_next_and_taken_again_when_it_recovers() {
    for mood in [Mood::Silent, Mood::Unreachable, Mood::Says(503), Mood::Says(500), Mood::Says(408)] {
        for seed in 0..20 {
            let mut w = World::new(3, seed);
            w.servers[0].mood = mood;
            w.run_s(20);
            assert_eq!(w.registration.server(), Some("sip:s1.example.net"), "{mood:?}");
            // It dies under way, and the second has to step back behind the third.
            w.servers[1].mood = mood;
            w.run_s(700);
            assert_eq!(w.registration.server(), Some("sip:s2.example.net"), "{mood:?}");
            let registered: Vec<State> = w.states.iter().map(|(_, s)| *s).collect();
            assert_eq!(registered, [State::Trying, State::Registered], "nobody was without a server meanwhile");
            // The first is probed, though the lease is long, and found.
            w.servers[0].mood = Mood::Well;
            w.run_s(700);
            assert_eq!(w.registration.server(), Some("sip:s0.example.net"), "{mood:?}");
        }
    }
}

#[test]
fn the_first_server_is_probed_within_a_minute_and_a_probe_that_fails_costs_nothing() {
    let mut w = World::new(2, 5);
    w.servers[0].mood = Mood::Silent;
    w.run_s(60);
    assert_eq!(w.registration.server(), Some("sip:s1.example.net"));
    w.servers[0].mood = Mood::Says(403);
    w.run_s(200);
    assert_eq!((w.registration.server(), w.registration.state()), (Some("sip:s1.example.net"), State::Registered));
    assert!(!w.heard(0).is_empty(), "it was asked");
    let mut w = World::new(2, 6);
    w.servers[0].mood = Mood::Unreachable;
    w.run_s(10);
    w.servers[0].mood = Mood::Well;
    w.run_s(70);
    assert_eq!(w.registration.server(), Some("sip:s0.example.net"));
}

#[test]
fn a_stale_nonce_is_no_wrong_password() {
    for uses in [1, 2, 3] {
        let mut w = World::new(1, uses.into());
        w.servers[0].nonce_uses = uses;
        w.run_s(7_200);
        assert_eq!(w.states.iter().map(|(_, s)| *s).collect::<Vec<_>>(), [State::Trying, State::Registered]);
        assert_eq!(w.servers[0].refused_passwords, 0);
        assert!(w.servers[0].nonce > 3, "nonces did go stale");
    }
}

#[test]
fn a_wrong_password_is_given_up_in_words_and_not_tried_into_a_ban() {
    let mut w = World::with(2, 1, 600, "guess");
    w.run_s(3_600);
    assert_eq!(w.registration.state(), State::Refused);
    assert_eq!(w.registration.last_words(), Some("wrong user or password for realm \"r\""));
    assert!((2..=5).contains(&w.servers[0].refused_passwords), "{}", w.servers[0].refused_passwords);
    assert!(w.heard(1).is_empty(), "another server of the same provider is no other password");
    // The operator of the server mends it: found within the hour.
    w.servers[0].password = Some("guess");
    w.run_s(4_000);
    assert_eq!(w.registration.state(), State::Registered);
    assert_eq!(w.registration.last_words(), None);
}

#[test]
fn refusals_are_kept_in_words() {
    for (status, says) in [
        (403, "403 As Told"),
        (404, "404 As Told"),
        (302, "302 As Told: sends us to sip:elsewhere.example, which the configuration does not name"),
    ] {
        let mut w = World::new(1, 1);
        w.servers[0].mood = Mood::Says(status);
        w.run_s(60);
        assert_eq!((w.registration.state(), w.registration.last_words()), (State::Refused, Some(says)));
        assert_eq!(w.sent, 1);
    }
    let config = Config { domain: "example.net".into(), user: "4930".into(), expires_s: 600, route: None, fax: None, login: None };
    let mut w = World::new(1, 1);
    w.registration = Registration::new(config, vec!["sip:s0".into()], 1);
    w.registration.set_targets(w.now, 0, vec![target(0)]);
    w.registration.start(w.now);
    w.run_s(5);
    assert_eq!(w.registration.last_words(), Some("the server asks for a password and none is configured"));
}

#[test]
fn a_dead_provider_is_asked_with_patience_and_found_when_it_returns() {
    for seed in 0..20 {
        let mut w = World::new(2, seed);
        w.servers.iter_mut().for_each(|s| s.mood = Mood::Unreachable);
        w.run_s(6 * 3_600);
        assert_eq!(w.registration.state(), State::Failed);
        assert!(w.registration.last_words().unwrap().ends_with("cannot be reached"));
        assert!((70..200).contains(&w.sent), "{} requests in six hours", w.sent);
        w.servers[1].mood = Mood::Well;
        w.run_s(BACK_OFF_MAX_MS / 1000 + 10);
        assert_eq!(w.registration.state(), State::Registered);
    }
}

#[test]
fn nothing_is_lost_for_good_by_loss() {
    for seed in 0..100 {
        let mut w = World::new(2, seed);
        w.loss = 0.3;
        for _ in 0..100 {
            w.run_s(60);
            if w.registration.is_registered() {
                let kept = w.servers.iter().any(|s| s.until.is_some_and(|at| at + ms(100) >= w.now));
                assert!(kept, "seed {seed}: we say registered and no server says so");
            }
        }
        w.loss = 0.0;
        w.run_s(1_300);
        assert_eq!((w.registration.state(), w.registration.server()), (State::Registered, Some("sip:s0.example.net")), "seed {seed}");
    }
}

#[test]
fn it_is_taken_back_at_the_end_whatever_the_server_does() {
    for mood in [Mood::Well, Mood::Silent, Mood::Unreachable, Mood::Says(500)] {
        let mut w = World::new(1, 4);
        w.servers[0].nonce_uses = 2;
        w.run_s(5);
        w.servers[0].mood = mood;
        w.registration.shut_down(w.now);
        w.run_s(3);
        assert_eq!(w.registration.state(), State::Stopped, "{mood:?}");
        assert_eq!(w.registration.poll_timeout(), None);
        assert_eq!(w.servers[0].until.is_none(), mood == Mood::Well, "{mood:?}");
        if mood == Mood::Well {
            assert_eq!(w.heard(0).last().unwrap().1.headers.get("Expires"), Some(&b"0"[..]));
        }
    }
    // Nothing was registered: nothing to take back.
    let mut w = World::new(1, 4);
    w.servers[0].mood = Mood::Says(403);
    w.run_s(5);
    w.registration.shut_down(w.now);
    assert_eq!(w.registration.state(), State::Stopped);
    w.run_s(5);
    assert_eq!(w.sent, 1);
}

#[test]
fn the_service_route_is_kept_as_long_as_the_registration() {
    let mut w = World::new(1, 4);
    w.servers[0].service_route = Some("<sip:p1.example.net;lr>, <sip:p2.example.net;lr>, nonsense");
    w.run_s(5);
    assert_eq!(w.registration.service_route(), ["<sip:p1.example.net;lr>", "<sip:p2.example.net;lr>"]);
    w.servers[0].mood = Mood::Says(403);
    w.run_s(700);
    assert!(w.registration.service_route().is_empty() && !w.registration.is_registered());
}

#[test]
fn a_broken_connection_is_registered_over_anew_and_silence_of_udp_is_none() {
    for (hop, again) in [(Hop::tcp(target(0).0.addr), true), (target(0).0, false)] {
        let mut w = World::new(1, 4);
        w.run_s(5);
        // As if it had been registered over this hop.
        w.registration.registered_at = Some(Place { server: 0, target: (hop, None) });
        let before = w.registration.poll_timeout().unwrap();
        w.registration.handle_transport_failure(w.now, hop);
        let soon = w.registration.poll_timeout().unwrap().ms_since(w.now) <= 1_000;
        assert_eq!(soon, again, "{hop}: {before:?}");
        w.registration.handle_transport_failure(w.now, Hop::tcp(([192, 0, 2, 200], 5060).into()));
    }
}

#[test]
fn a_user_with_odd_characters_makes_an_address() {
    assert_eq!(address("4930", "example.net"), "sip:4930@example.net");
    assert_eq!(address("a b@c", "[::1]:5070"), "sip:a%20b%40c@[::1]:5070");
    assert!(Uri::parse(address("a\u{e9}\"<>", "x").as_bytes()).is_ok());
}
