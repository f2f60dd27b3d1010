//! The whole product in virtual time, from one seed: gateways with machines on their lines, a directory, and the network between them.
//!
//! Nothing in it knows that it is not real: the same boards, calls, SIP, media, resolver, registrants and directory machine as in the
//! daemons, composed as `shell` composes them, without its threads. Time goes from one due thing to the next:
//!
//! ```text
//!   step:  what the network delivers -> the directory's disk and leases -> deadlines of the event domains -> turns of the boards
//! ```
//! in that order and by index, so that a run follows from its seed and what was done to it. After every turn the invariants of the
//! product are checked ([`site`]); the first one broken is kept ([`World::violation`]) and ends the run.

mod answers;
pub mod attacker;
pub mod nat;
pub mod network;
mod place;
mod plug;
pub mod registry;
pub mod site;
pub mod spec;

pub use nat::NatSpec;
pub use network::{Host, Network};
pub use place::{STUN_SERVER, sip_address};
pub use site::{Journal, Site};
#[cfg(feature = "spandsp")]
pub use spec::FaxSpec;
pub use spec::{DirectorySpec, EmergencySpec, GatewaySpec, MachineSpec, PortSpec, SecuritySpec, WorldSpec};

use crate::call::CallRecord;
use crate::clock::{Instant, Rng, WallMs, ms};
use crate::digest::Ha1;
use crate::directory::{Account, Record, Reservation, Ring, Settings};
use crate::lab::netem::Params;
use crate::number::Number;
use crate::stun;
use network::Parcel;
use registry::Registry;
use site::{Out, user_of};
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use tipring_hw::Control;
use tipring_hw::sim::Happening;

/// What the wall clock says at the beginning: 2026-01-01T00:00:00Z.
const WALL_AT_START_MS: i64 = 1_767_225_600_000;
/// Things done at one instant. More means that something asks to be woken and does nothing.
const WORK_PER_INSTANT_MAX: u32 = 10_000;

/// Datagrams for hosts that are not of the world, kept for a test that plays such a host.
const OUTSIDE_MAX: usize = 4096;

/// A world.
pub struct World {
    now: Instant,
    rng: Rng,
    network: Network,
    sites: Vec<Site>,
    registry: Option<Registry>,
    violation: Option<String>,
    work_at: (Instant, u32),
    /// Addresses that some site has, or had: what is sent to one that nobody has now is lost.
    inside: BTreeSet<IpAddr>,
    wall_offset_ms: i64,
    outside: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    attacker: Option<Box<dyn attacker::Attacker>>,
}

impl World {
    /// Builds and starts everything.
    pub fn new(spec: WorldSpec) -> Self {
        let mut rng = Rng::new(spec.seed);
        let n = spec.gateways.len();
        let nats: Vec<IpAddr> = spec.gateways.iter().filter_map(|g| g.nat).map(|nat| nat.outside).collect();
        let network = Network::new(n, spec.link, spec.directory_link, &mut rng);
        let registry = spec.directory.clone().map(|d| {
            let disk = accounts(&spec.gateways, &d.ring);
            Registry::new(d, Instant::ZERO, WallMs(WALL_AT_START_MS), disk)
        });
        let sites = spec.gateways.into_iter().enumerate().map(|(i, g)| {
            let knows_directory = registry.is_some() && !g.standalone;
            Site::new(i, g, knows_directory, &mut rng)
        });
        let sites = sites.collect();
        let mut world = World {
            now: Instant::ZERO,
            rng,
            network,
            sites,
            registry,
            violation: None,
            work_at: (Instant::ZERO, 0),
            inside: (0..n).map(place::home).chain(nats).collect(),
            wall_offset_ms: 0,
            outside: VecDeque::new(),
            attacker: None,
        };
        for i in 0..world.sites.len() {
            world.start(i);
        }
        world
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.now
    }
    /// What the wall clock says.
    pub fn wall(&self) -> WallMs {
        WallMs(WALL_AT_START_MS + self.wall_offset_ms + self.now.as_ms() as i64)
    }
    /// The first invariant that broke, and when.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }
    /// The fingerprint of all that was sent.
    pub fn fingerprint(&self) -> u64 {
        self.network.fingerprint()
    }
    /// The network.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }
    /// The directory's host.
    pub fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }
    /// A site.
    pub fn site(&mut self, site: usize) -> &mut Site {
        &mut self.sites[site]
    }
    /// How many sites.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }
    /// The directory's host number.
    pub fn directory_host(&self) -> Host {
        self.sites.len()
    }
    /// What was seen at a site.
    pub fn journal(&self, site: usize) -> &Journal {
        &self.sites[site].journal
    }
    /// A site's call records.
    pub fn records(&self, site: usize) -> &[CallRecord] {
        &self.sites[site].journal.records
    }
    /// What a machine noticed, with the time.
    pub fn happenings(&self, site: usize, port: u16) -> impl Iterator<Item = (Instant, &Happening)> {
        self.sites[site].journal.happenings.iter().filter(move |(_, p, _)| p.0 == port).map(|(at, _, e)| (*at, &e.what))
    }

    /// Forgets what the machines noticed so far, so that the next scene speaks of itself.
    pub fn forget_happenings(&mut self) {
        for site in &mut self.sites {
            site.journal.happenings.clear();
        }
    }

    // ---- what people do ----

    /// What a person does at a machine. The control must be one the machine knows.
    pub fn control(&mut self, site: usize, port: u16, control: Control) {
        if let Err(why) = self.sites[site].control(port, control.clone()) {
            self.break_off(format!("{control:?} at site {site} port {port}: {why}"));
        }
    }
    /// Lifts, waits for dial tone, dials.
    pub fn dial(&mut self, site: usize, port: u16, number: &str) {
        self.control(site, port, Control::Call { number: number.to_owned() });
    }
    /// Lifts.
    pub fn lift(&mut self, site: usize, port: u16) {
        self.control(site, port, Control::OffHook);
    }
    /// Hangs up.
    pub fn hang_up(&mut self, site: usize, port: u16) {
        self.control(site, port, Control::OnHook);
    }

    // ---- what goes wrong ----

    /// A gateway loses power.
    pub fn kill(&mut self, site: usize) {
        self.sites[site].kill();
    }
    /// A gateway starts (again).
    pub fn start(&mut self, site: usize) {
        let wall = self.wall();
        let mut rng = self.rng.fork();
        self.sites[site].start(self.now, wall, &mut rng);
        self.sites[site].handle_timeout(self.now, wall);
        self.carry(site);
    }
    /// A gateway is told to end (SIGTERM).
    pub fn shut_down(&mut self, site: usize) {
        let wall = self.wall();
        self.sites[site].shut_down(self.now, wall);
        self.carry(site);
    }
    /// The directory loses power.
    pub fn kill_directory(&mut self) {
        if let Some(registry) = &mut self.registry {
            registry.kill();
        }
    }
    /// The directory starts again.
    pub fn start_directory(&mut self) {
        let wall = self.wall();
        if let Some(registry) = &mut self.registry {
            registry.start(self.now, wall);
        }
    }
    /// Other faults between two gateways, both ways.
    pub fn set_links(&mut self, a: Host, b: Host, params: Params) {
        self.network.set_link(a, b, params);
        self.network.set_link(b, a, params);
    }
    /// Cuts or mends the network between two hosts, both ways.
    pub fn partition(&mut self, a: Host, b: Host, cut: bool) {
        self.network.set_cut(a, b, cut);
        self.network.set_cut(b, a, cut);
    }
    /// A site's address changes (DHCP), goes (`None`: the cable is pulled) or comes back; another site may have had it before. The address of
    /// two sites at a time is nobody's to give.
    pub fn set_address(&mut self, site: usize, to: Option<IpAddr>) {
        let taken = to.is_some_and(|ip| self.sites.iter().enumerate().any(|(i, s)| i != site && s.address() == Some(ip)));
        assert!(!taken, "{to:?} is another site's");
        self.inside.extend(to);
        self.sites[site].set_address(self.now, to);
    }
    /// Somebody is in the path between the sites from now on, or nobody.
    pub fn set_attacker(&mut self, attacker: Option<Box<dyn attacker::Attacker>>) {
        self.attacker = attacker;
    }
    /// Everybody's wall clock jumps.
    pub fn jump_wall(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
    }
    /// A site no longer asks how its NAT shows it, nor keeps the NAT open: the control of scenes in which that matters.
    pub fn stop_keeping_open(&mut self, site: usize) {
        self.sites[site].mute = true;
    }
    /// The NAT of a site is switched off and on, and has another address.
    pub fn restart_nat(&mut self, site: usize, outside: IpAddr) {
        self.inside.insert(outside);
        if let Some(nat) = self.sites[site].nat() {
            nat.restart(outside);
        }
    }
    fn site_of(&self, address: SocketAddr) -> Option<usize> {
        self.sites.iter().position(|s| s.reached() == Some(address.ip()))
    }
    /// A stranger's datagram arrives at a gateway.
    pub fn inject(&mut self, src: SocketAddr, dst: SocketAddr, bytes: &[u8]) {
        let wall = self.wall();
        if let Some(site) = self.site_of(dst) {
            self.sites[site].handle_datagram(self.now, wall, src, dst, bytes);
            self.carry(site);
        }
    }

    /// The next datagram that somebody sent to a host that is not of this world: from, to, what.
    pub fn poll_outside(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.outside.pop_front()
    }

    // ---- time ----

    /// Goes to the next due thing and does all that is due then.
    pub fn step(&mut self) {
        let turns = self.sites.iter().map(Site::next_turn).min();
        let events = self.sites.iter().filter_map(Site::poll_timeout).min();
        let registry = self.registry.as_ref().and_then(Registry::poll_timeout);
        let due = [turns, events, registry, self.network.poll_timeout()].into_iter().flatten().min();
        self.now = self.now.max(due.unwrap_or(self.now + ms(20)));
        self.count_work();
        let (now, wall) = (self.now, self.wall());
        while let Some((from, to, parcel)) = self.network.poll(now) {
            self.deliver(from, to, parcel);
        }
        if let Some(registry) = &mut self.registry {
            registry.handle_timeout(now, wall);
            while let Some((site, reply)) = registry.poll_reply(now) {
                let directory = self.sites.len();
                self.network.send(now, directory, site, reply);
            }
        }
        for i in 0..self.sites.len() {
            if self.sites[i].poll_timeout().is_some_and(|at| at <= now) {
                self.sites[i].handle_timeout(now, wall);
                self.carry(i);
            }
            if self.sites[i].next_turn() <= now {
                if let Err(what) = self.sites[i].turn(now, wall) {
                    self.break_off(format!("site {i}: {what}"));
                }
                self.carry(i);
            }
        }
    }

    /// Goes on until `until` holds or `within_ms` are over; true if it held.
    pub fn run_until(&mut self, within_ms: u64, mut until: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + ms(within_ms);
        while self.violation.is_none() {
            if until(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.step();
        }
        false
    }
    /// Lets time pass.
    pub fn run_ms(&mut self, for_ms: u64) {
        let end = self.now + ms(for_ms);
        while self.violation.is_none() && self.now < end {
            self.step();
        }
    }
    /// Why the world is not at rest, if it is not.
    pub fn unrest(&self) -> Option<String> {
        let at = |i: usize, why: String| format!("site {i}: {why}");
        self.violation.clone().or_else(|| self.sites.iter().enumerate().find_map(|(i, s)| s.unrest().map(|why| at(i, why))))
    }

    fn deliver(&mut self, _from: Host, to: Host, parcel: Parcel) {
        let (now, wall) = (self.now, self.wall());
        match parcel {
            Parcel::Datagram { src, dst, bytes } => {
                let Some(site) = self.sites.get_mut(to) else { return };
                let inside = match site.nat() {
                    Some(nat) => nat.inward(now, src, dst),
                    None => Some(dst),
                };
                if let Some(dst) = inside {
                    site.handle_datagram(now, wall, src, dst, &bytes);
                    self.carry(to);
                }
            }
            Parcel::Ask { site, life, ticket, request } => {
                if let Some(registry) = &mut self.registry {
                    registry.handle_request(now, wall, site, life, ticket, request);
                }
            }
            Parcel::Reply { life, ticket, response } => {
                if let Some(site) = self.sites.get_mut(to).filter(|s| s.connection() == life) {
                    site.handle_reply(now, wall, ticket, response);
                    self.carry(to);
                }
            }
        }
    }

    /// Puts on the network what a site wants sent.
    fn carry(&mut self, site: usize) {
        let directory = self.sites.len();
        let (life, now) = (self.sites[site].connection(), self.now);
        for out in self.sites[site].take_out() {
            match out {
                Out::Datagram { src, dst, bytes } => {
                    let src = self.sites[site].nat().map_or(src, |nat| nat.out(now, src, dst));
                    self.send(site, src, dst, bytes);
                }
                Out::Ask(ticket, request) => self.network.send(self.now, site, directory, Parcel::Ask { site, life, ticket, request }),
            }
        }
    }

    /// A datagram that has left a site.
    fn send(&mut self, site: usize, src: SocketAddr, dst: SocketAddr, bytes: Vec<u8>) {
        let directory = self.sites.len();
        if dst == STUN_SERVER {
            if let Some(answer) = stun::binding_answer(&bytes, src) {
                self.network.send(self.now, directory, site, Parcel::Datagram { src: dst, dst: src, bytes: answer });
            }
            return;
        }
        let Some(mut attacker) = self.attacker.take() else { return self.put_on_the_way(site, src, dst, bytes) };
        let mut on = Vec::new();
        attacker.on_datagram(self.now, (src, dst, bytes), &mut on);
        self.attacker = Some(attacker);
        for (src, dst, bytes) in on {
            self.put_on_the_way(site, src, dst, bytes);
        }
    }

    fn put_on_the_way(&mut self, site: usize, src: SocketAddr, dst: SocketAddr, bytes: Vec<u8>) {
        match self.site_of(dst) {
            Some(to) => self.network.send(self.now, site, to, Parcel::Datagram { src, dst, bytes }),
            None if self.inside.contains(&dst.ip()) => {}
            None if self.outside.len() < OUTSIDE_MAX => self.outside.push_back((src, dst, bytes)),
            None => {}
        }
    }

    fn count_work(&mut self) {
        self.work_at = if self.work_at.0 == self.now { (self.now, self.work_at.1 + 1) } else { (self.now, 1) };
        if self.work_at.1 > WORK_PER_INSTANT_MAX {
            self.break_off("time stands still: something asks to be woken and does nothing".into());
        }
    }

    fn break_off(&mut self, what: String) {
        if self.violation.is_none() {
            self.violation = Some(format!("{:?}: {what}", self.now));
        }
    }
}

/// The rows an operator made before the first start: an account a gateway, its numbers reserved for it.
fn accounts(gateways: &[GatewaySpec], ring: &[(&str, Ring)]) -> Vec<Record> {
    let mut rows = Vec::new();
    for (i, gateway) in gateways.iter().enumerate().filter(|(_, g)| !g.standalone) {
        let user = user_of(gateway.account_of.unwrap_or(i));
        rows.push(Record::Account(Account { user: user.clone(), number: None, ha1: Ha1::NOBODY }));
        for number in gateway.ports.iter().filter_map(|p| p.number) {
            let number = Number::parse(number).expect("a literal number");
            rows.push(Record::Reservation(Reservation { number, user: user.clone(), mac: None }));
        }
    }
    for (number, ring) in ring {
        let number = Number::parse(number).expect("a literal number");
        rows.push(Record::Settings(Settings { ring: Some(*ring), ..Settings::usual(number) }));
    }
    rows
}
