use super::*;
use crate::clock::ms;
use crate::digest::Ha1;
use crate::directory::{Capabilities, Mac};
use crate::key::Fingerprint;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}
fn user(text: &str) -> User {
    User::parse(text).unwrap()
}
fn policy() -> Policy {
    Policy {
        lease_default_s: 3600,
        lease_min_s: 60,
        lease_max_s: 7200,
        address_conflict: AddressConflict::Refuse,
        dynamic: Some((number("4000"), number("4003"))),
        dynamic_kept_s: 1000,
        ..Policy::new(NumberPlan::new(number("1"), 4).unwrap())
    }
}

/// A directory with its disk: what it wrote is all that a restart finds.
struct World {
    directory: Directory,
    disk: Vec<Record>,
    now: Instant,
    wall: WallMs,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut w =
            World { directory: Directory::new(policy), disk: Vec::new(), now: Instant::from_ms(5_000_000), wall: WallMs(1_000_000_000) };
        for name in ["2001", "2002", "2003"] {
            let account = Account { user: user(name), number: Some(number(name)), ha1: Ha1::of(name, "lan.test", "x") };
            assert_eq!(w.ask(Request::SetAccount(account)), Response::Done);
        }
        w
    }
    fn ask(&mut self, request: Request) -> Response {
        let decision = self.directory.handle(self.now, self.wall, request);
        self.disk.extend(decision.writes);
        decision.response
    }
    fn pass(&mut self, seconds: u64) {
        self.now = self.now + ms(seconds * 1000);
        self.wall.0 += seconds as i64 * 1000;
        while self.directory.poll_timeout().is_some_and(|at| at <= self.now) {
            self.disk.extend(self.directory.handle_timeout(self.now, self.wall));
        }
    }
    fn restart(&mut self) {
        self.now = Instant::from_ms(1000);
        self.directory = Directory::new(self.directory.policy().clone());
        for record in self.disk.clone() {
            self.directory.apply(self.now, self.wall, record);
        }
        self.pass(0);
    }
    fn register(&mut self, ask: Register) -> Response {
        self.ask(Request::Register(ask))
    }
    fn lookup(&mut self, n: &str) -> Response {
        self.ask(Request::Lookup { number: number(n) })
    }
}

fn of(name: &str, instance: &str, contact: &str) -> Register {
    Register {
        user: user(name),
        wanted: None,
        instance: Instance::parse(instance).unwrap(),
        contact: contact.parse().unwrap(),
        transport: crate::sip::Transport::Udp,
        fingerprint: Some(Fingerprint([9; 32])),
        proof: Default::default(),
        capabilities: Capabilities { fax: true, t38_version: Some(0), ..Capabilities::default() },
        private: None,
        mac: None,
        lease_s: None,
        calls: 0,
    }
}
fn granted(response: &Response) -> Option<&str> {
    match response {
        Response::Registered { number, .. } => Some(number.as_str()),
        _ => None,
    }
}

#[test]
fn req_c2_c4_a_terminal_registers_and_is_found_by_short_and_full_number_until_it_leaves() {
    let mut w = World::new(policy());
    assert_eq!(w.lookup("2001"), Response::Away(number("2001")));
    assert_eq!(w.lookup("2009"), Response::Unknown(number("2009")));
    let response = w.register(of("2001", "a", "10.0.0.1:5060"));
    assert!(matches!(response, Response::Registered { lease_s: 3600, renewed: false, .. }), "{response:?}");
    for dialled in ["2001", "12001"] {
        let Response::Found(found) = w.lookup(dialled) else { panic!("{dialled} is not found") };
        assert_eq!((found.contact.to_string().as_str(), found.full, found.expires_in_s), ("10.0.0.1:5060", number("12001"), 3600));
        assert_eq!((found.fingerprint, found.capabilities.t38_version), (Some(Fingerprint([9; 32])), Some(0)));
    }
    assert!(matches!(w.register(of("2001", "a", "10.0.0.1:5060")), Response::Registered { renewed: true, .. }));
    // C-5
    let leave = Request::Deregister { user: user("2001"), number: number("2001"), instance: None };
    assert_eq!(w.ask(leave.clone()), Response::Deregistered { number: number("2001"), was_registered: true });
    assert_eq!(w.ask(leave), Response::Deregistered { number: number("2001"), was_registered: false });
    assert_eq!(w.lookup("2001"), Response::Away(number("2001")));
}

#[test]
fn req_c4_an_address_that_is_anothers_is_refused_reported_or_taken_by_policy() {
    let here = "10.0.0.1:5060";
    for (rule, first_after) in [(AddressConflict::Refuse, true), (AddressConflict::Report, true), (AddressConflict::Replace, false)] {
        let mut w = World::new(Policy { address_conflict: rule, ..policy() });
        assert!(granted(&w.register(of("2001", "a", here))).is_some());
        let second = w.register(of("2002", "b", here));
        match rule {
            AddressConflict::Refuse => assert_eq!(second, Response::Refused(Refusal::AddressInUse(vec![number("2001")]))),
            AddressConflict::Report => {
                assert!(matches!(&second, Response::Registered { also_here, .. } if *also_here == [number("2001")]), "{second:?}");
            }
            AddressConflict::Replace => assert!(matches!(&second, Response::Registered { also_here, .. } if also_here.is_empty())),
        }
        assert_eq!(matches!(w.lookup("2001"), Response::Found(_)), first_after);
    }
}

#[test]
fn req_c10_the_ports_of_one_gateway_share_a_contact_and_req_c5_an_address_may_be_used_again() {
    let mut w = World::new(policy());
    assert_eq!(granted(&w.register(of("2001", "gw", "10.0.0.1:5060"))), Some("2001"));
    assert_eq!(granted(&w.register(of("2002", "gw", "10.0.0.1:5060"))), Some("2002"));
    for n in ["2001", "2002"] {
        w.ask(Request::Deregister { user: user(n), number: number(n), instance: None });
    }
    assert_eq!(granted(&w.register(of("2003", "other", "10.0.0.1:5060"))), Some("2003"));
    // A dynamic address: the adapter comes back elsewhere.
    assert_eq!(granted(&w.register(of("2003", "other", "10.0.0.77:5060"))), Some("2003"));
    assert!(matches!(w.lookup("2003"), Response::Found(f) if f.contact.to_string() == "10.0.0.77:5060"));
}

#[test]
fn req_c6_reserved_numbers_are_their_users_and_others_are_picked_and_kept() {
    let mut w = World::new(policy());
    w.ask(Request::Reserve(Reservation { number: number("4001"), user: user("2001"), mac: None }));
    let wanting = |mut ask: Register, n: &str| {
        ask.wanted = Some(number(n));
        ask
    };
    assert_eq!(w.register(wanting(of("2002", "b", "10.0.0.2:5060"), "2001")), Response::Refused(Refusal::NumberTaken));
    assert_eq!(w.register(wanting(of("2002", "b", "10.0.0.2:5060"), "4001")), Response::Refused(Refusal::NumberTaken));
    assert_eq!(w.register(wanting(of("2002", "b", "10.0.0.2:5060"), "2777")), Response::Refused(Refusal::NotEntitled));
    assert_eq!(w.register(wanting(of("2002", "b", "10.0.0.2:5060"), "22777")), Response::Refused(Refusal::NotOurNumber));
    assert_eq!(granted(&w.register(wanting(of("2001", "a", "10.0.0.1:5060"), "14001"))), Some("4001"));
    // Dynamic: the lowest free one that is not reserved, the same again on return, until it is forgotten.
    assert_eq!(granted(&w.register(of("lan", "x", "10.0.1.1:5060"))), Some("4000"));
    assert_eq!(granted(&w.register(of("lan", "y", "10.0.1.2:5060"))), Some("4002"));
    w.ask(Request::Deregister { user: user("lan"), number: number("4000"), instance: None });
    assert_eq!(granted(&w.register(of("lan", "z", "10.0.1.3:5060"))), Some("4003"), "4000 is kept for x");
    assert_eq!(w.register(of("lan", "u", "10.0.1.4:5060")), Response::Refused(Refusal::NoneFree));
    w.pass(999);
    w.restart();
    assert_eq!(granted(&w.register(of("lan", "x", "10.0.9.1:5060"))), Some("4000"), "also after a restart");
    w.ask(Request::Deregister { user: user("lan"), number: number("4000"), instance: None });
    w.pass(1001);
    assert_eq!(granted(&w.register(of("lan", "u", "10.0.1.4:5060"))), Some("4000"), "forgotten, so it is free");
}

#[test]
fn req_c6_one_account_cannot_empty_the_pool_by_inventing_terminals() {
    let mut w = World::new(Policy { dynamic: Some((number("4000"), number("4099"))), ..policy() });
    let most = crate::limits::DYNAMIC_NUMBERS_PER_USER_MAX;
    for n in 0..most {
        assert!(granted(&w.register(of("mallory", &format!("i{n}"), "10.0.0.1:5060"))).is_some(), "{n}");
    }
    let mut by_name = of("mallory", "y", "10.0.0.1:5060");
    by_name.wanted = Some(number("4090"));
    for ask in [of("mallory", "x", "10.0.0.1:5060"), by_name] {
        assert_eq!(w.register(ask), Response::Refused(Refusal::TooManyNumbers));
    }
    // Leaving does not make room at once, for the number is kept; the terminals known renew, others' accounts get theirs.
    w.ask(Request::Deregister { user: user("mallory"), number: number("4000"), instance: None });
    w.restart();
    assert_eq!(w.register(of("mallory", "x", "10.0.0.1:5060")), Response::Refused(Refusal::TooManyNumbers), "also after a restart");
    assert_eq!(granted(&w.register(of("mallory", "i3", "10.0.0.1:5060"))), Some("4003"));
    assert_eq!(granted(&w.register(of("lan", "x", "10.0.0.2:5060"))), Some("4008"));
    w.pass(1001);
    assert_eq!(granted(&w.register(of("mallory", "x", "10.0.0.1:5060"))), Some("4000"), "forgotten, so there is room");
}

#[test]
fn req_c7_a_number_bound_to_a_mac_is_refused_to_another() {
    let mut w = World::new(policy());
    let mac = Mac::parse("02:00:00:00:00:01").unwrap();
    w.ask(Request::Reserve(Reservation { number: number("2001"), user: user("2001"), mac: Some(mac) }));
    assert_eq!(w.register(of("2001", "a", "10.0.0.1:5060")), Response::Refused(Refusal::WrongMac));
    assert!(granted(&w.register(Register { mac: Some(mac), ..of("2001", "a", "10.0.0.1:5060") })).is_some());
}

#[test]
fn only_its_holder_ends_a_registration_and_an_old_terminal_does_not_end_a_new_ones() {
    let mut w = World::new(policy());
    w.register(of("2001", "old", "10.0.0.1:5060"));
    w.register(of("2001", "new", "10.0.0.2:5060"));
    let by = |u: &str, i: Option<&str>| Request::Deregister {
        user: user(u),
        number: number("2001"),
        instance: i.map(|i| Instance::parse(i).unwrap()),
    };
    assert_eq!(w.ask(by("2002", None)), Response::Refused(Refusal::NotEntitled));
    assert_eq!(w.ask(by("2001", Some("old"))), Response::Refused(Refusal::NotThisTerminal));
    assert!(matches!(w.lookup("2001"), Response::Found(_)));
    assert!(matches!(w.ask(by("2001", Some("new"))), Response::Deregistered { was_registered: true, .. }));
}

#[test]
fn leases_end_by_the_monotone_clock_whatever_the_wall_clock_does() {
    let mut w = World::new(policy());
    w.register(Register { lease_s: Some(100), ..of("2001", "a", "10.0.0.1:5060") });
    w.wall.0 += 10 * 365 * 86_400_000;
    w.pass(99);
    assert!(matches!(w.lookup("2001"), Response::Found(_)), "the wall clock jumped ten years");
    w.wall.0 -= 20 * 365 * 86_400_000;
    w.pass(2);
    assert_eq!(w.lookup("2001"), Response::Away(number("2001")));
    assert_eq!(w.directory.counts().registered, 0);
    // Over a restart the wall clock carries on, and a wrong one never makes a lease longer than it was.
    w.register(Register { lease_s: Some(100), ..of("2001", "a", "10.0.0.1:5060") });
    w.pass(40);
    w.restart();
    assert!(matches!(w.lookup("2001"), Response::Found(f) if f.expires_in_s == 60));
    w.wall.0 -= 86_400_000;
    w.restart();
    assert!(matches!(w.lookup("2001"), Response::Found(f) if f.expires_in_s == 100));
}

#[test]
fn addresses_that_nobody_can_call_are_refused() {
    let mut w = World::new(policy());
    for contact in ["0.0.0.0:5060", "10.0.0.1:0", "224.0.0.1:5060", "[::]:5060"] {
        assert_eq!(w.register(of("2001", "a", contact)), Response::Refused(Refusal::BadContact), "{contact}");
    }
}

#[test]
fn req_c2_state_is_the_fold_of_what_was_written_whatever_happened() {
    for seed in 0..40 {
        let mut rng = crate::clock::Rng::new(seed);
        let mut w =
            World::new(Policy { address_conflict: [AddressConflict::Refuse, AddressConflict::Replace][seed as usize % 2], ..policy() });
        for _ in 0..200 {
            let name = ["2001", "2002", "2003", "lan"][rng.below(4) as usize];
            let instance = ["a", "b", "c", "d", "e"][rng.below(5) as usize];
            let n = ["2001", "2002", "4000", "4001", "4002"][rng.below(5) as usize];
            match rng.below(6) {
                0..3 => {
                    let mut ask = of(name, instance, &format!("10.0.0.{}:5060", rng.below(4) + 1));
                    ask.wanted = rng.chance(0.3).then(|| number(n));
                    ask.lease_s = Some(60 + rng.below(200) as u32);
                    w.register(ask);
                }
                3 => {
                    w.ask(Request::Deregister { user: user(name), number: number(n), instance: None });
                }
                4 if rng.chance(0.3) => {
                    w.ask(Request::Reserve(Reservation { number: number(n), user: user(name), mac: None }));
                }
                _ => w.pass(rng.below(90)),
            }
            let live = |d: &Directory, now| {
                d.registrations(now, None)
                    .filter_map(|r| r.expires_in_s().map(|left| (r.number.clone(), r.contact(), r.keys.to_vec(), left)))
                    .collect::<Vec<_>>()
            };
            let before = live(&w.directory, w.now);
            assert_eq!(before.len(), w.directory.counts().registered, "seed {seed}");
            let mut again = Directory::new(w.directory.policy().clone());
            for record in w.disk.clone() {
                again.apply(w.now, w.wall, record);
            }
            assert_eq!(live(&again, w.now), before, "seed {seed}");
            // Filled from a store, which has one row of each, it is the same, and goes on the same way.
            let mut rows = BTreeMap::new();
            let mut accounts = BTreeMap::new();
            let mut filled = Directory::new(w.directory.policy().clone());
            for record in w.disk.clone() {
                match record {
                    Record::Registration(r) => drop(rows.insert(r.number.clone(), *r)),
                    Record::Forgotten(n) => drop(rows.remove(&n)),
                    Record::Account(a) => drop(accounts.insert(a.user.clone(), a)),
                    _ => {}
                }
            }
            filled.fill(w.now, w.wall, accounts.into_values().collect(), rows.into_values().collect());
            assert_eq!(live(&filled, w.now), before, "seed {seed}");
            let renew = || Request::Register(of("lan", "a", "10.0.0.9:5060"));
            let reservations: Vec<_> = w.directory.reservations().cloned().collect();
            for reservation in reservations {
                filled.apply(w.now, w.wall, Record::Reservation(reservation));
            }
            assert_eq!(filled.handle(w.now, w.wall, renew()), again.handle(w.now, w.wall, renew()), "seed {seed}");
            assert_eq!(filled.poll_timeout(), again.poll_timeout(), "seed {seed}");
        }
    }
}
