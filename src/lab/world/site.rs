//! One gateway of the world: the same parts as the daemon composes, and beside them what outlives it (the disk, the machines on its lines).
//!
//! The machines live on when the gateway is killed: a phone that was off hook then is off hook when it comes back.

use super::answers::{answer_of, outcome_of};
use super::nat::Nat;
use super::network::Ticket;
use super::place::{Found, Place, SIP_PORT, STUN_SERVER, home, sip_address};
use super::plug::Plug;
use super::spec::{GatewaySpec, MachineSpec, PortSpec, SecuritySpec};
use crate::audit::Event as AuditEvent;
use crate::call::{self, Action, Addresses, CallRecord, Gateway, LegSockets, LogLine, PortConfig, SecurityConfig};
use crate::clock::{Instant, Rng, WallMs};
use crate::digit_map::{DigitMap, emergency_numbers};
use crate::directory::{Capabilities, Instance, Register, Request, Response, User};
use crate::dtls::{Certificate, SeededForSimulation};
use crate::id::{CallId, LegId, PortId};
use crate::limits::{COMMAND_QUEUE, DATAGRAMS_PER_TICK_MAX, EVENT_QUEUE};
use crate::line::{LineConfig, State as LineState};
use crate::media::Channel;
use crate::number::Number;
use crate::registration::{Ask, Registrant};
use crate::resolve::cache::{LearnedRoute, RouteCache};
use crate::resolve::{Answer, NoRoute, Resolver};
use crate::sip::{Config as SipConfig, Endpoint};
use crate::tick::{Board, Command, Event};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tipring_dsp::SILENCE;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::sim::{Phone, SimPort};
use tipring_hw::{Control, ControlError, Port, PortCommand, SimEvent};

/// The country of every line: two emergency numbers that differ, a double ring.
const COUNTRY: &str = "GB";
/// What can be dialled: four digits, or `0` and a LAN telephone number.
const DIGIT_MAP: &str = "[2-9]xxx|1xxxx|99x";
/// The echo service.
const ECHO: &str = "9000";
/// Datagrams a socket holds before the system drops further ones.
const SOCKET_DATAGRAMS_MAX: usize = 256;
const FIRST_MEDIA_PORT: u16 = 10_000;
/// A port with a call whose line has been on hook for so many turns: the call was forgotten.
const FORGOTTEN_TURNS: u32 = 100;

/// What a site asks of the world, in order.
pub enum Out {
    /// Send this datagram.
    Datagram {
        /// From.
        src: SocketAddr,
        /// To.
        dst: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Ask the directory.
    Ask(Ticket, Request),
}

/// What was seen at a site, for tests and reports.
#[derive(Default)]
pub struct Journal {
    /// Call records, in order.
    pub records: Vec<CallRecord>,
    /// What went into the audit trail.
    pub audit: Vec<AuditEvent>,
    /// Decisions.
    pub logs: Vec<(Instant, LogLine)>,
    /// What the simulated machines noticed.
    pub happenings: Vec<(Instant, PortId, SimEvent)>,
    /// Datagrams that found their socket full.
    pub socket_overflows: u64,
    /// The most commands that waited for one turn.
    pub commands_max: usize,
    /// The most datagrams the event domain sent in answer to one thing.
    pub burst_max: usize,
}

/// What waits in a socket: when it arrived, from whom, what.
type Socket = VecDeque<(Instant, SocketAddr, Vec<u8>)>;

/// The running gateway: all this is lost when it is killed.
struct Running {
    board: Board,
    gateway: Gateway,
    registrants: Vec<(PortId, Registrant)>,
    commands: VecDeque<Command>,
    sockets: BTreeMap<(LegId, Channel), Socket>,
    begun: BTreeSet<CallId>,
    ended: BTreeSet<String>,
    /// Turns that a port has been on hook with a call.
    forgotten: Vec<u32>,
    stopping: bool,
}

impl Running {
    /// Calls and registrations hear where peers reach us.
    fn readdress(&mut self, now: Instant, to: &Addresses) {
        self.gateway.readdress(now, to);
        if let Some((contact, private)) = to.registered() {
            self.registrants.iter_mut().for_each(|(_, r)| r.moved(now, contact, private));
        }
    }
}

/// One site.
pub struct Site {
    index: usize,
    spec: GatewaySpec,
    ports: Vec<Box<dyn Port>>,
    tell_again: Vec<Arc<AtomicBool>>,
    running: Option<Running>,
    /// How many times it was started.
    pub life: u32,
    place: Place,
    /// It neither asks how it is seen nor keeps a NAT open.
    pub(super) mute: bool,
    /// Learned routes: they are on disk, and so outlive the gateway.
    pub disk: BTreeMap<Number, LearnedRoute>,
    certificate: Arc<Certificate>,
    /// Phase of its turns, and how many it has made.
    first_turn_us: u64,
    turns: u64,
    /// What was seen.
    pub journal: Journal,
    out: Vec<Out>,
    has_directory: bool,
    emergency: call::EmergencyPlan,
}

impl Site {
    /// The machines, and no gateway yet.
    pub fn new(index: usize, spec: GatewaySpec, has_directory: bool, rng: &mut Rng) -> Self {
        let tell_again: Vec<_> = spec.ports.iter().map(|_| Arc::new(AtomicBool::new(false))).collect();
        let ports = spec.ports.iter().zip(&tell_again).map(|(port, flag)| {
            let plug = Plug::new(machine(port, rng.next_u64()), flag.clone());
            Box::new(plug) as Box<dyn Port>
        });
        let targets = spec.emergency.iter().map(|e| e.target(sip_address)).collect();
        let emergency = call::EmergencyPlan { targets, silence_ms: spec.emergency_silence_ms, no_answer_ms: spec.emergency_no_answer_ms };
        Site {
            index,
            place: Place::new(index, !spec.hears_of_changes, spec.nat),
            mute: false,
            ports: ports.collect(),
            tell_again,
            spec,
            running: None,
            life: 0,
            disk: BTreeMap::new(),
            certificate: Arc::new(Certificate::for_simulation(0x7172 + index as u64)),
            // Gateways do not start in the same microsecond: each has its own phase of the 20 ms.
            first_turn_us: 1 + rng.below(20_000),
            turns: 0,
            journal: Journal::default(),
            out: Vec::new(),
            has_directory,
            emergency,
        }
    }

    /// Starts the gateway.
    pub fn start(&mut self, now: Instant, wall: WallMs, rng: &mut Rng) {
        self.life += 1;
        self.place.start(now, rng);
        let tones = TonePlan::of(COUNTRY).expect("a listed country");
        let map = DigitMap::parse(DIGIT_MAP, emergency_numbers(COUNTRY)).expect("a digit map that was tried");
        let map = Arc::new(map.with_codes(self.spec.codes.clone()));
        let lines = self.spec.ports.iter().map(|_| LineConfig::new(tones, map.clone())).collect();
        let board = Board::new(lines, self.spec.services, self.spec.legs, u64::from(self.spec.media.watchdog_ms));
        let number = |p: &PortSpec| p.number.map(|n| Number::parse(n).expect("a literal number"));
        // With a directory the numbers are the directory's to give, as in the daemon.
        let given = |p: &PortSpec| if self.has_directory { None } else { number(p) };
        let port = |p: &PortSpec| PortConfig {
            name: p.name.clone(),
            number: given(p),
            account: None,
            outside: call::OutsideCaps::default(),
            fax: !matches!(p.machine, MachineSpec::Phone),
            anonymous: p.anonymous,
        };
        let ports: Vec<PortConfig> = self.spec.ports.iter().map(port).collect();
        let numbers = ports.iter().enumerate().filter_map(|(i, p)| p.number.clone().map(|n| (n, PortId(i as u16)))).collect();
        let mut cache = RouteCache::new(crate::limits::ROUTES_MAX);
        for (dialled, route) in &self.disk {
            cache.learn(dialled.clone(), route.clone());
        }
        let resolver = Resolver::new(numbers, Number::parse(ECHO).ok(), cache, self.spec.lookup_ms + 500);
        let leg =
            |i: u16| LegSockets { rtp: self.media_address(LegId(i), Channel::Rtp), udptl: self.media_address(LegId(i), Channel::Udptl) };
        let config = call::Config {
            ports,
            services: self.spec.services,
            legs: (0..self.spec.legs as u16).map(leg).collect(),
            media: self.spec.media.clone(),
            emergency: self.emergency.clone(),
            accounts: Vec::new(),
            codes: self.spec.codes.clone(),
            no_answer_ms: self.spec.no_answer_ms,
            learned_silence_ms: self.spec.learned_silence_ms,
            calls_max: self.spec.calls_max,
            security: self.security(),
        };
        let sip = SipConfig { trusted: self.spec.trusted.clone(), ..SipConfig::new(self.told_sip(), "tipring-lab") };
        let mut sip = Endpoint::new(sip, rng.next_u64());
        let identifier = self.certificate().map(|c| c.fingerprint());
        sip.set_capabilities(crate::negotiate::capabilities(&self.spec.media, identifier, SocketAddr::new(self.place.told, 0)));
        let mut gateway = Gateway::new(config, sip, resolver, rng.next_u64());
        gateway.set_wall(now, wall);
        let mut registrants = Vec::new();
        if self.has_directory {
            for (i, port) in self.spec.ports.iter().enumerate() {
                let mut registrant = Registrant::new(self.register_of(port), rng.fork());
                registrant.start(now);
                registrants.push((PortId(i as u16), registrant));
            }
        }
        for flag in &self.tell_again {
            flag.store(true, Ordering::Relaxed);
        }
        for port in &mut self.ports {
            port.command(PortCommand::Ring(false));
            port.command(PortCommand::Battery(true));
        }
        self.running = Some(Running {
            board,
            gateway,
            registrants,
            commands: VecDeque::new(),
            sockets: BTreeMap::new(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            forgotten: vec![0; self.spec.ports.len()],
            stopping: false,
        });
    }

    fn register_of(&self, port: &PortSpec) -> Register {
        let fax = !matches!(port.machine, MachineSpec::Phone);
        Register {
            user: self.user(),
            wanted: port.number.map(|n| Number::parse(n).expect("a literal number")),
            instance: Instance::parse(&format!("urn:lab:{}:{}", self.spec.name, port.name)).expect("names of the lab are short"),
            contact: self.told_sip(),
            transport: crate::sip::Transport::Udp,
            fingerprint: self.certificate().map(|c| c.fingerprint()),
            proof: Default::default(),
            capabilities: Capabilities {
                voice: !fax,
                fax,
                t38_version: self.spec.media.t38.map(|_| 0),
                srtp: self.spec.security.media.encrypts(),
            },
            private: None,
            mac: None,
            lease_s: None,
            calls: 0,
        }
    }

    /// The gateway's key: on disk, so the same in each of its lives.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.spec.security.has_key.then(|| self.certificate.clone())
    }

    fn security(&self) -> SecurityConfig {
        let SecuritySpec { media, identity, private_signalling, .. } = self.spec.security;
        SecurityConfig {
            media,
            identity,
            certificate: self.certificate(),
            private_signalling,
            engine: Arc::new(|_, seed| Box::new(SeededForSimulation(seed))),
        }
    }

    fn media_address(&self, leg: LegId, channel: Channel) -> SocketAddr {
        let offset = match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
            Channel::Udptl => 2,
        };
        SocketAddr::new(self.place.told, FIRST_MEDIA_PORT + 4 * leg.0 + offset)
    }

    /// Power off: everything but disk and machines is gone.
    pub fn kill(&mut self) {
        self.running = None;
        for port in &mut self.ports {
            port.command(PortCommand::Ring(false));
            port.command(PortCommand::Battery(false));
        }
    }

    /// Ends calls, gives numbers back, then stops by itself.
    pub fn shut_down(&mut self, now: Instant, wall: WallMs) {
        let Some(running) = &mut self.running else { return };
        running.stopping = true;
        running.gateway.set_wall(now, wall);
        running.gateway.shut_down(now);
        for (_, registrant) in &mut running.registrants {
            registrant.shut_down(now);
        }
        self.settle(now);
    }

    /// The machine's address changes (DHCP), goes (`None`: the cable is pulled), or comes back. The gateway hears of it a moment later.
    pub fn set_address(&mut self, now: Instant, to: Option<IpAddr>) {
        self.place.change(now, to);
    }
    /// The machine's address.
    pub fn address(&self) -> Option<IpAddr> {
        self.place.here
    }
    /// Where others send to, and the NAT that stands there, if one does.
    pub(super) fn reached(&self) -> Option<IpAddr> {
        self.place.reached()
    }
    pub(super) fn nat(&mut self) -> Option<&mut Nat> {
        self.place.nat.as_mut()
    }
    /// Where the machine takes SIP now, had it an address or not.
    pub fn sip_address(&self) -> SocketAddr {
        SocketAddr::new(self.place.here.unwrap_or(home(self.index)), SIP_PORT)
    }
    /// Names its connections: neither a restarted gateway nor one at another address hears the answer to what it asked before.
    pub fn connection(&self) -> u32 {
        (self.life << 16) | (self.place.changes & 0xffff)
    }
    fn user(&self) -> User {
        user_of(self.spec.account_of.unwrap_or(self.index))
    }
    fn told_sip(&self) -> SocketAddr {
        SocketAddr::new(self.place.told, SIP_PORT)
    }

    /// True while the gateway runs.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }
    /// The gateway's calls.
    pub fn gateway(&mut self) -> Option<&mut Gateway> {
        self.running.as_mut().map(|r| &mut r.gateway)
    }
    /// The gateway's board.
    pub fn board(&self) -> Option<&Board> {
        self.running.as_ref().map(|r| &r.board)
    }
    /// How it was made.
    pub fn spec(&self) -> &GatewaySpec {
        &self.spec
    }
    /// Ports with a registration that holds.
    pub fn registered(&self) -> usize {
        self.running.as_ref().map_or(0, |r| r.registrants.iter().filter(|(_, r)| r.is_registered()).count())
    }
    /// Makes the gateway believe that it learned a route some time ago.
    pub fn learn(&mut self, number: &str, contact: SocketAddr) {
        let (Some(running), Ok(number)) = (&mut self.running, Number::parse(number)) else { return };
        running.gateway.resolver().learn(WallMs(0), number, contact, None);
        running.gateway.flush_routes();
        self.settle(Instant::ZERO);
    }
    /// What a person does at a port's machine. Works on a dead gateway too: the machine is the person's.
    pub fn control(&mut self, port: u16, control: Control) -> Result<(), ControlError> {
        self.ports.get_mut(usize::from(port)).map_or(Err(ControlError::OutOfRange), |p| p.control(control))
    }

    /// What the site wants sent.
    pub fn take_out(&mut self) -> Vec<Out> {
        core::mem::take(&mut self.out)
    }

    /// When its next turn is.
    pub fn next_turn(&self) -> Instant {
        let period_us = 20_000.0 * (1.0 - self.spec.clock_ppm * 1e-6);
        Instant::from_us(self.first_turn_us + (self.turns as f64 * period_us) as u64)
    }

    /// When the event domain is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let registrations = running.registrants.iter().filter_map(|(_, r)| r.poll_timeout()).min();
        [running.gateway.poll_timeout(), registrations, self.place.poll_timeout()].into_iter().flatten().min()
    }

    /// A datagram arrived at one of our addresses.
    pub fn handle_datagram(&mut self, now: Instant, wall: WallMs, src: SocketAddr, dst: SocketAddr, bytes: &[u8]) {
        let Some(running) = &mut self.running else { return };
        if self.place.here != Some(dst.ip()) {
            return;
        }
        if src == STUN_SERVER {
            if self.place.handle_stun(now, bytes) {
                running.gateway.set_wall(now, wall);
                running.readdress(now, &self.place.addresses());
            }
            self.settle(now);
            return;
        }
        if dst.port() == SIP_PORT {
            running.gateway.set_wall(now, wall);
            running.gateway.handle_message(now, src.into(), bytes);
            self.settle(now);
            return;
        }
        let Some(offset) = dst.port().checked_sub(FIRST_MEDIA_PORT) else { return };
        let channel = match offset % 4 {
            0 => Channel::Rtp,
            1 => Channel::Rtcp,
            2 => Channel::Udptl,
            _ => return,
        };
        let socket = running.sockets.entry((LegId(offset / 4), channel)).or_default();
        if socket.len() < SOCKET_DATAGRAMS_MAX {
            socket.push_back((now, src, bytes.to_vec()));
        } else {
            self.journal.socket_overflows += 1;
        }
    }

    /// The directory answered something asked in this life.
    pub fn handle_reply(&mut self, now: Instant, wall: WallMs, ticket: Ticket, response: Response) {
        let Some(running) = &mut self.running else { return };
        running.gateway.set_wall(now, wall);
        match ticket {
            Ticket::Lookup(query) => running.gateway.handle_lookup(now, query, answer_of(response)),
            Ticket::Registration(port, serial) => {
                let stopping = running.stopping;
                let Some((port, registrant)) = running.registrants.get_mut(usize::from(port)) else { return };
                registrant.handle_response(now, serial, outcome_of(response));
                if let (false, Some(number)) = (stopping, registrant.number().cloned()) {
                    running.gateway.set_port_number(*port, Some(number));
                }
            }
        }
        self.settle(now);
    }

    /// Deadlines of the event domain.
    pub fn handle_timeout(&mut self, now: Instant, wall: WallMs) {
        let Some(running) = &mut self.running else { return };
        match self.place.look(now) {
            Found::Moved => {
                running.gateway.set_wall(now, wall);
                running.readdress(now, &self.place.addresses());
            }
            Found::Back => {
                running.gateway.way_is_back(now);
                running.registrants.iter_mut().for_each(|(_, r)| r.way_is_back(now));
            }
            Found::Nothing => {}
        }
        if running.gateway.poll_timeout().is_some_and(|at| at <= now) {
            running.gateway.set_wall(now, wall);
            running.gateway.handle_timeout(now);
        }
        for (_, registrant) in &mut running.registrants {
            if registrant.poll_timeout().is_some_and(|at| at <= now) {
                registrant.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    /// One turn of the board, as the media thread makes it.
    pub fn turn(&mut self, now: Instant, wall: WallMs) -> Result<(), String> {
        self.turns += 1;
        let Some(running) = &mut self.running else {
            self.idle_machines(now);
            return Ok(());
        };
        let (board, ports, out) = (&mut running.board, &mut self.ports, &mut self.out);
        // Without an address nothing leaves the machine.
        let me = self.place.here;
        board.gather(ports);
        let mut send = |leg: LegId, channel: Channel, to: SocketAddr, bytes: &[u8]| {
            let offset = match channel {
                Channel::Rtp => 0,
                Channel::Rtcp => 1,
                Channel::Udptl => 2,
            };
            let Some(me) = me else { return };
            let src = SocketAddr::new(me, FIRST_MEDIA_PORT + 4 * leg.0 + offset);
            out.push(Out::Datagram { src, dst: to, bytes: bytes.to_vec() });
        };
        self.journal.commands_max = self.journal.commands_max.max(running.commands.len());
        if running.commands.len() > COMMAND_QUEUE {
            return Err(format!("{} commands wait for one turn", running.commands.len()));
        }
        while let Some(command) = running.commands.pop_front() {
            if let Command::Connect { leg_id, .. } = &command
                && !board.leg_in_use(*leg_id)
            {
                for channel in [Channel::Rtp, Channel::Rtcp, Channel::Udptl] {
                    running.sockets.remove(&(*leg_id, channel));
                }
            }
            board.command(now, command, ports, &mut send);
        }
        for ((leg, channel), socket) in &mut running.sockets {
            if board.leg_in_use(*leg) || board.listens(*leg) {
                for (arrived, src, bytes) in socket.drain(..socket.len().min(DATAGRAMS_PER_TICK_MAX)) {
                    let at = if self.spec.receive_timestamps { arrived } else { now };
                    board.from_net(at, *leg, *channel, src, &bytes);
                }
            }
        }
        board.tick(now, &mut send);
        running.gateway.set_wall(now, wall);
        while let Some(d) = running.board.poll_handshake() {
            running.gateway.handle_handshake(now, d.leg, d.src, &d.bytes);
        }
        let mut events = 0;
        while let Some(event) = running.board.poll_event() {
            events += 1;
            match event {
                Event::Sim(port, happening) => self.journal.happenings.push((now, port, *happening)),
                event => running.gateway.handle_tick_event(now, event),
            }
        }
        if events > EVENT_QUEUE {
            return Err(format!("{events} events in one turn"));
        }
        self.settle(now);
        self.check()
    }

    /// The gateway is dead: its machines hear nothing.
    fn idle_machines(&mut self, now: Instant) {
        let mut from_line = SILENCE;
        for (i, port) in self.ports.iter_mut().enumerate() {
            port.exchange(&SILENCE, &mut from_line);
            while port.poll_event().is_some() {}
            while let Some(happening) = port.poll_sim() {
                self.journal.happenings.push((now, PortId(i as u16), happening));
            }
        }
    }

    /// Carries out what the event domain asks for.
    fn settle(&mut self, now: Instant) {
        let user = self.user();
        let Some(running) = &mut self.running else { return };
        while let Some(action) = running.gateway.poll_action() {
            match action {
                // Without an address it is asked in vain, and the resolver's own time ends.
                Action::Lookup(..) | Action::FindIdentifier(..) if self.has_directory && self.place.here.is_none() => {}
                Action::Lookup(query, number) if self.has_directory => {
                    self.out.push(Out::Ask(Ticket::Lookup(query), Request::Lookup { number }))
                }
                Action::FindIdentifier(query, number, key) if self.has_directory => {
                    let key = crate::key::Fingerprint::parse(&key).expect("it was learned from the world's directory");
                    self.out.push(Out::Ask(Ticket::Lookup(query), Request::Identify { number, key }));
                }
                Action::Lookup(query, _) | Action::FindIdentifier(query, ..) => {
                    running.gateway.handle_lookup(now, query, Answer::No(NoRoute::Unknown))
                }
                // No site has accounts with servers outside of its world.
                Action::Locate(..) | Action::Csi(..) => {}
                Action::Route(number, Some(route)) => {
                    self.disk.insert(number, route);
                }
                Action::Route(number, None) => {
                    self.disk.remove(&number);
                }
                Action::Record(record) => {
                    running.ended.insert(record.call.clone());
                    self.journal.records.push(*record);
                }
                Action::Audit(event) => self.journal.audit.push(*event),
                Action::Log(line) => self.journal.logs.push((now, line)),
            }
        }
        for (i, (_, registrant)) in running.registrants.iter_mut().enumerate() {
            while let Some(outgoing) = registrant.poll_request() {
                let request = match outgoing.ask {
                    Ask::Register(register) => Request::Register(register),
                    Ask::Deregister { number, instance } => Request::Deregister { user: user.clone(), number, instance: Some(instance) },
                };
                if self.place.here.is_some() {
                    self.out.push(Out::Ask(Ticket::Registration(i as u16, outgoing.serial), request));
                }
            }
        }
        while let (Some(ask), Some(here), false) = (self.place.poll_transmit(), self.place.here, self.mute) {
            self.out.push(Out::Datagram { src: SocketAddr::new(here, SIP_PORT), dst: STUN_SERVER, bytes: ask });
            running.gateway.keep_open();
        }
        let mut burst = 0;
        while let Some(transmit) = running.gateway.poll_transmit() {
            burst += 1;
            let Some(here) = self.place.here else { continue };
            self.out.push(Out::Datagram { src: SocketAddr::new(here, SIP_PORT), dst: transmit.dst.addr, bytes: transmit.bytes });
        }
        while let Some(transmit) = running.gateway.poll_media_transmit() {
            let Some(here) = self.place.here else { continue };
            let src = SocketAddr::new(here, FIRST_MEDIA_PORT + 4 * transmit.leg.0);
            self.out.push(Out::Datagram { src, dst: transmit.dst, bytes: transmit.bytes });
        }
        self.journal.burst_max = self.journal.burst_max.max(burst);
        while let Some(command) = running.gateway.poll_command() {
            running.commands.push_back(command);
        }
        if running.stopping
            && running.gateway.is_idle()
            && running.registrants.iter().all(|(_, r)| r.state() == crate::registration::State::Stopped)
        {
            self.kill();
        }
    }

    /// What must hold after every turn.
    fn check(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let stats = running.board.stats();
        if stats.events_lost + stats.port_events_lost > 0 {
            return Err(format!("the board lost events: {stats:?}"));
        }
        if running.gateway.sip().counters().transmits_lost > 0 {
            return Err("the SIP endpoint lost datagrams of its own".into());
        }
        running.begun.extend(running.gateway.call_ids());
        let alive: BTreeSet<CallId> = running.gateway.call_ids().collect();
        let silent = running.begun.iter().find(|id| !alive.contains(id) && !running.ended.contains(&id.to_string()));
        if let Some(id) = silent {
            return Err(format!("{id} is gone without a record"));
        }
        running.begun.retain(|id| alive.contains(id));
        for (p, turns) in running.forgotten.iter_mut().enumerate() {
            let port = PortId(p as u16);
            let on_hook = running.board.line(port).is_some_and(|l| l.state() == LineState::OnHook);
            *turns = if on_hook && running.gateway.call_of_port(port).is_some() { *turns + 1 } else { 0 };
            if *turns > FORGOTTEN_TURNS {
                return Err(format!("{port} has been on hook for {turns} turns and still has a call"));
            }
        }
        Ok(())
    }

    /// The calls of its gateway.
    pub fn calls(&self) -> Vec<crate::call::CallView> {
        self.running.as_ref().map_or_else(Vec::new, |r| r.gateway.calls())
    }

    /// Why the site is not at rest: with every machine on hook and time for SIP's last timers, there is nothing to say.
    pub fn unrest(&self) -> Option<String> {
        let running = self.running.as_ref()?;
        if let Some(p) =
            (0..self.spec.ports.len()).find(|p| running.board.line(PortId(*p as u16)).is_some_and(|l| l.state() != LineState::OnHook))
        {
            let state = running.board.line(PortId(p as u16)).map(crate::line::Line::state);
            return Some(format!("the line of {} is {state:?}", self.spec.ports[p].name));
        }
        if !running.gateway.is_idle() {
            return Some(format!("calls are left: {:?}", running.gateway.calls()));
        }
        if let Some(leg) = (0..self.spec.legs as u16).map(LegId).find(|l| running.board.leg_in_use(*l)) {
            return Some(format!("{leg} is still on the board"));
        }
        if running.gateway.free_legs() != self.spec.legs {
            return Some(format!("{} of {} legs are free", running.gateway.free_legs(), self.spec.legs));
        }
        let alive = running.gateway.sip().alive();
        if alive != crate::sip::Alive::default() {
            return Some(format!("SIP is not at rest: {alive:?}"));
        }
        None
    }
}

/// The account of a site.
pub fn user_of(site: usize) -> User {
    User::parse(&format!("gateway-{site}")).expect("a short name")
}

fn machine(port: &PortSpec, seed: u64) -> Box<dyn Port> {
    let plan = TonePlan::of(COUNTRY).expect("a listed country");
    match &port.machine {
        MachineSpec::Phone => Box::new(SimPort::new(Phone::new(plan), port.line, seed)),
        #[cfg(feature = "spandsp")]
        MachineSpec::Fax(fax) => {
            let settings = tipring_hw::sim::FaxSettings {
                plan,
                ident: port.number.unwrap_or("0").to_owned(),
                ecm: fax.ecm,
                max_bps: fax.max_bps,
                answer_after_rings: Some(1),
                receive_into: fax.receive_into.clone(),
                name: port.name.clone(),
            };
            Box::new(SimPort::new(tipring_hw::sim::FaxMachine::new(settings), port.line, seed))
        }
    }
}
