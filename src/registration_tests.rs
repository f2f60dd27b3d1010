//! Registrants and a directory in virtual time, over a link that loses and with a directory that goes away.

use super::*;
use crate::clock::WallMs;
use crate::directory::registrar::AddressConflict;
use crate::directory::{Capabilities, Directory, Instance, NumberPlan, Policy, Record, Request, Reservation, Response, User};

struct World {
    now: Instant,
    rng: Rng,
    ports: Vec<Registrant>,
    directory: Option<Directory>,
    disk: Vec<Record>,
    /// Requests and answers under way: when they arrive, at which port, serial, and what.
    to_directory: Vec<(Instant, usize, Outgoing)>,
    to_port: Vec<(Instant, usize, u64, Outcome)>,
    loss: f64,
    requests: usize,
}

fn number(i: usize) -> Number {
    Number::parse(&format!("{}", 2001 + i)).unwrap()
}
fn policy() -> Policy {
    Policy {
        lease_default_s: 600,
        lease_min_s: 60,
        lease_max_s: 3600,
        address_conflict: AddressConflict::Refuse,
        dynamic: None,
        dynamic_kept_s: 0,
        ..Policy::new(NumberPlan::new(Number::parse("1").unwrap(), 4).unwrap())
    }
}

impl World {
    fn new(seed: u64, ports: usize, loss: f64) -> Self {
        let mut rng = Rng::new(seed);
        let registrant = |i, rng: Rng| {
            let register = Register {
                user: User::parse("gw").unwrap(),
                wanted: Some(number(i)),
                instance: Instance::parse("gw-a").unwrap(),
                contact: "10.0.0.1:5060".parse().unwrap(),
                transport: crate::sip::Transport::Udp,
                fingerprint: None,
                proof: Default::default(),
                capabilities: Capabilities::default(),
                private: None,
                mac: None,
                lease_s: Some(600),
                calls: 0,
            };
            Registrant::new(register, rng)
        };
        let ports = (0..ports).map(|i| registrant(i, rng.fork())).collect::<Vec<_>>();
        let reserved = |i| Record::Reservation(Reservation { number: number(i), user: User::parse("gw").unwrap(), mac: None });
        let disk = (0..ports.len()).map(reserved).collect();
        let mut w =
            World { now: Instant::ZERO, rng, ports, directory: None, disk, to_directory: vec![], to_port: vec![], loss, requests: 0 };
        w.directory_up();
        w
    }
    fn wall(&self) -> WallMs {
        WallMs(self.now.as_ms() as i64)
    }
    fn directory_up(&mut self) {
        let mut d = Directory::new(policy());
        self.disk.iter().for_each(|r| d.apply(self.now, WallMs(self.now.as_ms() as i64), r.clone()));
        self.directory = Some(d);
    }
    fn run(&mut self, seconds: u64) {
        let end = self.now + ms(seconds * 1000);
        while self.now < end {
            self.step();
            self.now = self.now + ms(50);
        }
    }
    fn step(&mut self) {
        let now = self.now;
        for (i, port) in self.ports.iter_mut().enumerate() {
            port.handle_timeout(now);
            if let Some(out) = port.poll_request() {
                self.requests += 1;
                if !self.rng.chance(self.loss) {
                    self.to_directory.push((now + ms(20 + self.rng.below(200)), i, out));
                }
            }
        }
        let wall = self.wall();
        let Some(directory) = &mut self.directory else {
            self.to_directory.clear();
            return;
        };
        self.disk.extend(directory.handle_timeout(now, wall));
        let due: Vec<_> = self.to_directory.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, port, out) in due {
            let request = match out.ask {
                Ask::Register(register) => Request::Register(register),
                Ask::Deregister { number, instance } => {
                    Request::Deregister { user: User::parse("gw").unwrap(), number, instance: Some(instance) }
                }
            };
            let decision = directory.handle(now, wall, request);
            self.disk.extend(decision.writes);
            let outcome = match decision.response {
                Response::Registered { number, lease_s, .. } => Outcome::Granted { number, lease_s },
                Response::Deregistered { .. } => Outcome::Ended,
                other => Outcome::Refused { why: format!("{other:?}") },
            };
            if !self.rng.chance(self.loss) {
                self.to_port.push((now + ms(20 + self.rng.below(200)), port, out.serial, outcome));
            }
        }
        let due: Vec<_> = self.to_port.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, port, serial, outcome) in due {
            self.ports[port].handle_response(now, serial, outcome);
        }
    }
    fn found(&self) -> usize {
        let Some(d) = &self.directory else { return 0 };
        (0..self.ports.len()).filter(|i| matches!(d.lookup(self.now, &number(*i)), Response::Found(_))).count()
    }
    fn start(&mut self) {
        let now = self.now;
        self.ports.iter_mut().for_each(|p| p.start(now));
    }
}

#[test]
fn req_c4_c5_c10_every_port_registers_by_itself_stays_registered_and_leaves_at_shutdown() {
    let mut w = World::new(1, 8, 0.0);
    w.start();
    w.run(2);
    assert_eq!(w.found(), 8);
    for _ in 0..20 {
        w.run(300);
        assert_eq!(w.found(), 8);
        assert!(w.ports.iter().all(Registrant::is_registered));
    }
    // 6000 s at about 300 s each: 20 renewals a port, plus the first.
    assert!((8 * 18..=8 * 24).contains(&w.requests), "{} requests", w.requests);
    let now = w.now;
    w.ports.iter_mut().for_each(|p| p.shut_down(now));
    w.run(2);
    assert_eq!(w.found(), 0);
    assert!(w.ports.iter().all(|p| p.state() == State::Stopped && p.poll_timeout().is_none()));
}

#[test]
fn req_c4_registrations_hold_over_a_link_that_loses_a_fifth_each_way() {
    for seed in 0..20 {
        let mut w = World::new(seed, 4, 0.2);
        w.start();
        w.run(60);
        let mut missing = 0;
        for _ in 0..60 {
            w.run(60);
            missing += 4 - w.found();
        }
        assert_eq!(missing, 0, "seed {seed}: half a lease leaves time for many tries");
    }
}

#[test]
fn req_c2_a_directory_that_is_away_loses_nobody_and_finds_all_within_a_minute_and_a_quarter_after_the_leases_ended() {
    let mut w = World::new(3, 8, 0.0);
    w.start();
    w.run(10);
    w.directory = None;
    w.run(5);
    w.directory_up();
    assert_eq!(w.found(), 8, "at once after a short absence: nothing was lost");
    w.directory = None;
    let before = w.requests;
    w.run(1200);
    assert!(w.ports.iter().all(|p| !p.is_registered() && p.failures() > 3 && p.last_error() == Some("no answer")));
    assert!(w.requests - before < 8 * 30, "backing off: {} requests in 20 minutes", w.requests - before);
    w.directory_up();
    assert_eq!(w.found(), 0, "the leases are over");
    w.run(85);
    assert_eq!(w.found(), 8);
    assert!(w.ports.iter().all(|p| p.failures() == 0 && p.last_error().is_none()));
}

#[test]
fn a_refusal_is_shown_and_asked_again_slowly_until_the_operator_mends_it() {
    let mut w = World::new(4, 1, 0.0);
    let directory = w.directory.as_mut().unwrap();
    directory.handle(w.now, WallMs(0), Request::Unreserve(number(0)));
    w.start();
    w.run(300);
    assert!(w.ports[0].last_error().is_some_and(|e| e.contains("NotEntitled")));
    assert!(w.requests <= 6, "{} requests", w.requests);
    let reservation = Reservation { number: number(0), user: User::parse("gw").unwrap(), mac: None };
    w.directory.as_mut().unwrap().handle(w.now, WallMs(0), Request::Reserve(reservation));
    w.run(76);
    assert!(w.ports[0].is_registered());
}

#[test]
fn req_c10_a_changed_address_is_registered_at_once() {
    let mut w = World::new(5, 1, 0.0);
    w.start();
    w.run(2);
    let now = w.now;
    w.ports[0].moved(now, "10.0.0.2:5060".parse().unwrap(), None);
    w.run(1);
    let found = w.directory.as_ref().unwrap().lookup(w.now, &number(0));
    assert!(matches!(found, Response::Found(f) if f.contact.to_string() == "10.0.0.2:5060"));
}

#[test]
fn req_c10_who_failed_while_there_was_no_way_asks_at_once_when_there_is_one() {
    for told in [true, false] {
        let mut w = World::new(7, 4, 0.0);
        w.start();
        w.run(10);
        w.directory = None;
        w.run(1200);
        w.directory_up();
        let now = w.now;
        w.ports.iter_mut().filter(|_| told).for_each(|p| p.way_is_back(now));
        w.run(1);
        assert_eq!(w.found() == 4, told, "the back-off is a minute by now: {}", w.found());
        let before = w.requests;
        let now = w.now;
        w.ports.iter_mut().filter(|p| p.is_registered()).for_each(|p| p.way_is_back(now));
        w.run(1);
        assert!(w.requests - before < 4, "a registration that holds needs nothing");
    }
}

#[test]
fn shutdown_ends_in_time_though_nobody_answers() {
    let mut w = World::new(6, 2, 0.0);
    w.start();
    w.run(2);
    w.directory = None;
    let now = w.now;
    w.ports.iter_mut().for_each(|p| p.shut_down(now));
    w.run(FAREWELLS_MAX as u64 * FAREWELL_WITHIN_MS / 1000 + 1);
    assert!(w.ports.iter().all(|p| p.state() == State::Stopped));
}
