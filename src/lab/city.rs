//! `tipring lab directory`: a city's terminals and the directories that they register at, in virtual time.
//!
//! The question is how many machines it takes when the power comes back and everybody registers within a minute. Terminals ([`terminal`])
//! keep the timing of ours and of SIP phones; machines ([`machine`]) are real directories behind a model of cores, socket and disk. Each
//! machine is a directory of its own (a server number of C-1) with an equal share of the numbers: that is how directories are added.

pub mod machine;
pub mod terminal;

use crate::clock::{Instant, Rng, ms};
use crate::digest::Ha1;
use crate::directory::registrar::{Bind, Change, Wish};
use crate::directory::{Account, Capabilities, Directory, Instance, NumberPlan, Policy, Record, Register, Request, User};
use crate::limits::AUTH_ROUNDS_MAX;
use crate::number::Number;
use crate::registration::State;
use crate::sip::Transport;
use core::cmp::Reverse;
use core::time::Duration;
use machine::{Counters, Effect, Machine, Message, Nonce, RETRY_AFTER_S, Reply};
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use terminal::{Kind, Outcome, Terminal};

/// The lease that terminals ask for, in seconds.
pub const LEASE_S: u32 = 3600;
/// One way between a terminal and a machine, in milliseconds.
pub const ONE_WAY_MS: u64 = 10;
/// RFC 3261 s.17.1.2.2: the first wait before a repeat, in milliseconds.
pub const T1_MS: u64 = 500;
/// The longest, in milliseconds.
pub const T2_MS: u64 = 4_000;
/// Of the everyday scene: one terminal in so many is unplugged within the hour, without a word, and comes back.
pub const UNPLUGGED_ONE_IN: u64 = 10;
/// How long at most, in seconds.
pub const UNPLUGGED_S: u64 = 600;
/// Terminals that a simulation takes: the numbers of seven digits, each with an address in 10.0.0.0/8.
pub const TERMINALS_MAX: u32 = 2_000_000;
/// How long the scenes of the power cut wait for the last terminal, in seconds.
const PATIENCE_S: u64 = 3_600;
/// When scenes begin: an hour on the clock, so that there can have been an hour before.
const START: Instant = Instant::from_ms(2 * LEASE_S as u64 * 1000);

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scene {
    /// An hour: all are registered, renew at half of the lease, and some are unplugged and come back.
    Everyday,
    /// Ten minutes without power; leases still run.
    PowerCut,
    /// Power was away for longer than a lease.
    PowerCutExpired,
}

/// What a machine is made of, and what it costs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Cores that serve its one queue.
    pub cores: u32,
    /// CPU of a whole REGISTER with its challenge, in microseconds.
    pub register_us: u64,
    /// A transaction of the store with nothing in it (the sync), in microseconds.
    pub commit_us: u64,
    /// Each record more, in microseconds.
    pub commit_us_per_record: u64,
}

impl Cost {
    /// Of the whole, what the message without credentials takes: 13 of 30, since a refresh that needs no challenge takes 17. What is
    /// turned away (503, a repeat) costs as much.
    pub fn challenge_us(&self) -> u64 {
        (self.register_us * 13).div_ceil(30)
    }
    /// The other message.
    pub fn decide_us(&self) -> u64 {
        self.register_us - self.challenge_us().min(self.register_us)
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// What happens.
    pub scene: Scene,
    /// Terminals, [`TERMINALS_MAX`] at most.
    pub terminals: u32,
    /// SIP phones among them, percent; the others are our gateways.
    pub phones_percent: u32,
    /// Machines, each with an equal share of the numbers.
    pub machines: u32,
    /// What each is.
    pub cost: Cost,
    /// Within how many seconds all come back after the power cut, evenly spread.
    pub window_s: u64,
    /// Decides everything by chance.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Seconds from the return of the power (everyday: the start of the hour) until 50 % of those who came back were registered.
    pub half_s: Option<f64>,
    /// 99 %.
    pub most_s: Option<f64>,
    /// All.
    pub all_s: Option<f64>,
    /// Of a terminal, from its own return to its registration, in seconds: median, 99 %, longest.
    pub wait_s: [f64; 3],
    /// Returns that were registered in the end, and all returns.
    pub registered: (u64, u64),
    /// Repeats that terminals sent.
    pub retransmissions: u64,
    /// Requests that were given up without an answer.
    pub abandoned: u64,
    /// Rows with an address in the directories at the end.
    pub rows: usize,
    /// Rows with an address when the power came back.
    pub rows_before: usize,
    /// What the machines counted: sums, and the highest of the highest.
    pub machines: Counters,
    /// Of the busiest machine: share of its cores' time, from the start to the end of the scene, 0 to 1.
    pub busy: f64,
    /// Of the busiest machine in its busiest second, 0 to 1.
    pub busy_peak: f64,
    /// Bytes of one simulated terminal.
    pub terminal_bytes: usize,
    /// Virtual seconds.
    pub virtual_s: f64,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Return(u32),
    Unplug(u32),
    Wake(u32),
    Resend(u32, u32),
    Arrive(Message),
    Done(u32, Effect),
    Committed(u32),
    Reply(Message, Reply),
}

struct Due(Instant, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.1 == other.1
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Due) -> core::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// A terminal and its transaction.
struct Seat {
    terminal: Terminal,
    cseq: u32,
    nonce: Option<Nonce>,
    resend_ms: u16,
    rounds: u8,
    /// When it came back, until it is registered.
    back: Option<Instant>,
}

struct City {
    params: Params,
    now: Instant,
    serial: u64,
    due: BinaryHeap<Reverse<Due>>,
    seats: Vec<Seat>,
    machines: Vec<Machine>,
    rng: Rng,
    returns: u64,
    /// Of each return that ended in a registration: when, since the start, and after how long; in milliseconds.
    done: Vec<(u32, u32)>,
    retransmissions: u64,
    abandoned: u64,
    busy_peak_us: u64,
    second: (Instant, Vec<u64>),
}

/// Runs a scene.
pub fn run(params: &Params) -> Report {
    let mut city = City::new(*params);
    let mut rows_before = 0;
    let until = match params.scene {
        Scene::Everyday => city.everyday(),
        Scene::PowerCut => city.power_cut(600, &mut rows_before),
        Scene::PowerCutExpired => city.power_cut(u64::from(LEASE_S) + 60, &mut rows_before),
    };
    while let Some(Reverse(next)) = city.due.pop() {
        let Due(at, _, event) = next;
        if at > until || (params.scene != Scene::Everyday && city.done.len() as u64 == city.returns) {
            break;
        }
        city.now = at;
        city.happens(event);
    }
    city.report(rows_before)
}

impl City {
    fn new(params: Params) -> City {
        let mut rng = Rng::new(params.seed);
        let plan = NumberPlan::new(Number::parse("1").expect("a digit is a number"), 7).expect("eight digits fit a number");
        let mut machines: Vec<Machine> =
            (0..params.machines.max(1)).map(|_| Machine::new(Directory::new(Policy::new(plan.clone())), params.cost)).collect();
        let ha1 = Ha1::of("city", "city.test", "secret");
        let mut seats = Vec::with_capacity(params.terminals as usize);
        for t in 0..params.terminals {
            let at = t as usize % machines.len();
            let account = Account { user: user(t), number: Some(number(t)), ha1 };
            machines[at].directory.apply(Instant::ZERO, machine::wall(Instant::ZERO), Record::Account(account));
            let kind = if rng.below(100) < u64::from(params.phones_percent) { Kind::Phone } else { Kind::Gateway };
            // Everybody has been registered before, some time in the last half of a lease.
            let ago_ms = rng.below(u64::from(LEASE_S) * 450);
            let then = Instant::from_ms(START.as_ms() - ago_ms);
            let first = Message { terminal: t, cseq: 1, nonce: None };
            machines[at].directory.handle(then, machine::wall(then), request(first, kind));
            let terminal = Terminal::registered(kind, rng.fork(), then, LEASE_S);
            seats.push(Seat { terminal, cseq: 1, nonce: None, resend_ms: 0, rounds: 0, back: None });
        }
        let second = (START, vec![0; machines.len()]);
        City {
            params,
            now: START,
            serial: 0,
            due: BinaryHeap::new(),
            seats,
            machines,
            rng,
            returns: 0,
            done: Vec::new(),
            retransmissions: 0,
            abandoned: 0,
            busy_peak_us: 0,
            second,
        }
    }

    fn everyday(&mut self) -> Instant {
        for t in 0..self.params.terminals {
            self.wake(t);
            if self.rng.below(UNPLUGGED_ONE_IN) == 0 {
                let unplugged_ms = self.rng.below(u64::from(LEASE_S) * 1000 - UNPLUGGED_S * 1000);
                let back_ms = unplugged_ms + 1000 + self.rng.below(UNPLUGGED_S * 1000 - 1000);
                self.at(START + ms(unplugged_ms), Event::Unplug(t));
                self.at(START + ms(back_ms), Event::Return(t));
                self.returns += 1;
            }
        }
        START + Duration::from_secs(u64::from(LEASE_S))
    }

    fn power_cut(&mut self, away_s: u64, rows_before: &mut usize) -> Instant {
        let back = START + Duration::from_secs(away_s);
        for machine in &mut self.machines {
            machine.pass_time(back);
            *rows_before += machine.directory.counts().registered;
        }
        self.now = back;
        self.second.0 = back;
        for t in 0..self.params.terminals {
            let after_us = self.rng.below(self.params.window_s.max(1) * 1_000_000);
            self.at(back + Duration::from_micros(after_us), Event::Return(t));
            self.unplug(t);
        }
        self.returns = u64::from(self.params.terminals);
        back + Duration::from_secs(self.params.window_s + PATIENCE_S)
    }

    fn start(&self) -> Instant {
        match self.params.scene {
            Scene::Everyday => START,
            Scene::PowerCut => START + Duration::from_secs(600),
            Scene::PowerCutExpired => START + Duration::from_secs(u64::from(LEASE_S) + 60),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.due.push(Reverse(Due(at, self.serial, event)));
    }
    fn wake(&mut self, t: u32) {
        if let Some(at) = self.seats[t as usize].terminal.poll_timeout() {
            self.at(at, Event::Wake(t));
        }
    }
    fn unplug(&mut self, t: u32) {
        let rng = self.rng.fork();
        let seat = &mut self.seats[t as usize];
        seat.terminal = Terminal::new(seat.terminal.kind(), rng);
        seat.cseq += 1;
    }

    fn happens(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Unplug(t) => self.unplug(t),
            Event::Return(t) => {
                let seat = &mut self.seats[t as usize];
                seat.back = Some(now);
                if seat.terminal.start(now) {
                    self.asks(t);
                }
            }
            Event::Wake(t) => {
                let terminal = &mut self.seats[t as usize].terminal;
                if terminal.poll_timeout().is_none_or(|at| at > now) {
                    return;
                }
                match terminal.handle_timeout(now, &mut self.abandoned) {
                    true => self.asks(t),
                    false => self.wake(t),
                }
            }
            Event::Resend(t, cseq) => {
                let seat = &mut self.seats[t as usize];
                if seat.cseq == cseq && seat.terminal.state() == State::Registering {
                    let message = Message { terminal: t, cseq, nonce: seat.nonce };
                    seat.resend_ms = (u64::from(seat.resend_ms) * 2).min(T2_MS) as u16;
                    let again = now + ms(u64::from(seat.resend_ms));
                    self.retransmissions += 1;
                    self.at(now + ms(ONE_WAY_MS), Event::Arrive(message));
                    self.at(again, Event::Resend(t, cseq));
                }
            }
            Event::Arrive(message) => {
                let m = self.home(message.terminal);
                self.machines[m].arrive(message);
                self.work(m);
            }
            Event::Done(m, effect) => {
                if let Some((message, reply)) = self.machines[m as usize].finish(effect) {
                    self.at(now + ms(ONE_WAY_MS), Event::Reply(message, reply));
                }
                self.commit(m as usize);
                self.work(m as usize);
            }
            Event::Committed(m) => {
                for message in self.machines[m as usize].commit_ended() {
                    self.at(now + ms(ONE_WAY_MS), Event::Reply(message, Reply::Granted));
                }
                self.commit(m as usize);
            }
            Event::Reply(message, reply) => self.answered(message, reply),
        }
    }

    fn home(&self, t: u32) -> usize {
        t as usize % self.machines.len()
    }

    fn work(&mut self, m: usize) {
        if self.now.since(self.second.0) >= Duration::from_secs(1) {
            self.second.0 = self.now;
            for (before, machine) in self.second.1.iter_mut().zip(&self.machines) {
                self.busy_peak_us = self.busy_peak_us.max(machine.counters.busy_us - *before);
                *before = machine.counters.busy_us;
            }
        }
        let (seats, now) = (&self.seats, self.now);
        let asked = |message: Message| request(message, seats[message.terminal as usize].terminal.kind());
        if let Some((takes, effect)) = self.machines[m].begin(now, asked) {
            self.at(now + takes, Event::Done(m as u32, effect));
        }
    }
    fn commit(&mut self, m: usize) {
        if let Some(takes) = self.machines[m].begin_commit() {
            self.at(self.now + takes, Event::Committed(m as u32));
        }
    }

    /// A new request of a terminal: without credentials.
    fn asks(&mut self, t: u32) {
        let seat = &mut self.seats[t as usize];
        (seat.nonce, seat.rounds) = (None, 0);
        self.send(t);
    }
    fn send(&mut self, t: u32) {
        let now = self.now;
        let seat = &mut self.seats[t as usize];
        seat.cseq += 1;
        seat.resend_ms = T1_MS as u16;
        let (message, kind) = (Message { terminal: t, cseq: seat.cseq, nonce: seat.nonce }, seat.terminal.kind());
        self.at(now + ms(ONE_WAY_MS), Event::Arrive(message));
        if kind == Kind::Phone {
            self.at(now + ms(T1_MS), Event::Resend(t, message.cseq));
        }
        self.wake(t);
    }
    fn answered(&mut self, message: Message, reply: Reply) {
        let (now, start, t) = (self.now, self.start(), message.terminal);
        let seat = &mut self.seats[t as usize];
        if seat.cseq != message.cseq || seat.terminal.state() != State::Registering {
            return;
        }
        let serial = seat.terminal.serial();
        let outcome = match reply {
            Reply::Challenge(nonce) if seat.rounds < AUTH_ROUNDS_MAX => {
                (seat.nonce, seat.rounds) = (Some(nonce), seat.rounds + 1);
                seat.terminal.answers_challenge(now);
                return self.send(t);
            }
            Reply::Challenge(_) => Outcome::Failed(None),
            Reply::Granted => Outcome::Granted(LEASE_S),
            Reply::Unavailable => Outcome::Failed(Some(RETRY_AFTER_S)),
            Reply::Refused => Outcome::Refused,
        };
        seat.terminal.handle_response(now, serial, outcome);
        if seat.terminal.state() == State::Registered
            && let Some(back) = seat.back.take()
        {
            self.done.push((now.ms_since(start) as u32, now.ms_since(back) as u32));
        }
        self.wake(t);
    }

    fn report(mut self, rows_before: usize) -> Report {
        let virtual_s = self.now.since(self.start()).as_secs_f64();
        let mut waits: Vec<u32> = self.done.iter().map(|d| d.1).collect();
        waits.sort_unstable();
        self.done.sort_unstable();
        let s = |ms: u32| f64::from(ms) / 1000.0;
        // The return that brings `percent` of all returns; none when so many did not come through.
        let reached = |percent: u64| {
            let nth = (self.returns * percent).div_ceil(100).max(1) as usize;
            self.done.get(nth - 1).map(|d| s(d.0))
        };
        let wait = |percent: usize| waits.get((waits.len() * percent).div_ceil(100).saturating_sub(1)).map_or(0.0, |w| s(*w));
        let mut sum = Counters::default();
        let mut busiest_us = 0;
        for c in self.machines.iter().map(|m| m.counters) {
            sum.served += c.served;
            sum.granted += c.granted;
            sum.unavailable += c.unavailable;
            sum.lost += c.lost;
            sum.repeats += c.repeats;
            sum.stale += c.stale;
            sum.refused += c.refused;
            sum.commits += c.commits;
            sum.busy_us += c.busy_us;
            sum.queue_highest = sum.queue_highest.max(c.queue_highest);
            sum.store_highest = sum.store_highest.max(c.store_highest);
            busiest_us = busiest_us.max(c.busy_us);
        }
        let cores = f64::from(self.params.cost.cores);
        Report {
            half_s: reached(50),
            most_s: reached(99),
            all_s: reached(100),
            wait_s: [wait(50), wait(99), wait(100)],
            registered: (self.done.len() as u64, self.returns),
            retransmissions: self.retransmissions,
            abandoned: self.abandoned,
            rows: self.machines.iter().map(|m| m.directory.counts().registered).sum(),
            rows_before,
            machines: sum,
            busy: busiest_us as f64 / 1e6 / cores / virtual_s.max(1e-6),
            busy_peak: self.busy_peak_us as f64 / 1e6 / cores,
            terminal_bytes: size_of::<Seat>(),
            virtual_s,
        }
    }
}

fn number(t: u32) -> Number {
    Number::parse(&format!("{t:07}")).expect("seven digits are a number")
}
fn user(t: u32) -> User {
    User::parse(&format!("{t:07}")).expect("seven digits are a name")
}
fn address(t: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + t), 5060))
}

/// What a terminal asks of the registrar once its password is proven.
fn request(message: Message, kind: Kind) -> Request {
    let (t, transport) = (message.terminal, Transport::Udp);
    match kind {
        Kind::Phone => {
            let wish = Wish {
                uri: format!("sip:{t:07}@{}", address(t)).into(),
                address: address(t),
                transport,
                hidden: false,
                instance: None,
                q: 1000,
                lease_s: Some(LEASE_S),
            };
            let order = (u64::from(t), message.cseq);
            Request::Bind(Bind { user: user(t), wanted: None, change: Change::Contacts(vec![wish]), order })
        }
        Kind::Gateway => Request::Register(Register {
            user: user(t),
            wanted: None,
            instance: Instance::parse(&format!("gw-{t:07}")).expect("letters and digits are a name"),
            contact: address(t),
            transport,
            fingerprint: None,
            proof: Default::default(),
            capabilities: Capabilities { voice: true, ..Capabilities::default() },
            private: None,
            mac: None,
            lease_s: Some(LEASE_S),
            calls: 0,
        }),
    }
}

#[cfg(test)]
mod tests;
