//! A machine that serves the city: a real [`Directory`] behind a model of what it costs.
//!
//! ```text
//!  datagrams -> socket buffer -> a core (challenge | decide | 503) -> store's queue -> commit (many at once) -> 200
//!               full: lost                   full: 503, Retry-After
//! ```
//! What is real: every decision, rows, leases. What is a model, with the daemon's own bounds: service times, the socket, the disk, nonces that are
//! forgotten when too many are in use, and answers kept for repeats.

use super::Cost;
use crate::clock::{Instant, WallMs};
use crate::directory::{Directory, Request, Response};
use crate::limits::{NONCES_MAX, SIP_RECEIVE_BYTES, SIP_REPEATS_MAX, STORE_BATCH, STORE_QUEUE};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// REGISTERs that the socket buffer holds, at 2.5 kB as the system counts a datagram.
pub const SOCKET_PLACES: usize = SIP_RECEIVE_BYTES / 2_500;
/// How long an answer is kept for repeats (64*T1), in microseconds.
const REPEATS_KEPT_US: u64 = 32_000_000;
/// What a busy machine says, in seconds: the SIP door's Retry-After.
pub const RETRY_AFTER_S: u32 = 1;
/// The wall clock at the start of a simulation: any will do.
const WALL_START_MS: i64 = 1_700_000_000_000;

/// When it was issued, in microseconds, and its number.
pub type Nonce = (u64, u32);

/// A REGISTER.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Whose.
    pub terminal: u32,
    /// Its CSeq: a repeat has the same.
    pub cseq: u32,
    /// The nonce of its credentials, if it has any.
    pub nonce: Option<Nonce>,
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// 401.
    Challenge(Nonce),
    /// 200.
    Granted,
    /// 503 with [`RETRY_AFTER_S`].
    Unavailable,
    /// Any other refusal.
    Refused,
}

/// What a core is busy with, and leaves behind.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// A repeat of what waits for the disk.
    Nothing,
    /// An answer.
    Reply(Message, Reply),
    /// A record for the disk.
    Write(Message),
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Messages that a core worked on.
    pub served: u64,
    /// Registrations on disk and answered 200.
    pub granted: u64,
    /// 503.
    pub unavailable: u64,
    /// Datagrams for which the socket buffer had no room.
    pub lost: u64,
    /// Repeats recognized.
    pub repeats: u64,
    /// Right credentials with a nonce that was used or forgotten: challenged again.
    pub stale: u64,
    /// Refused by the registrar: there should be none.
    pub refused: u64,
    /// Most datagrams in the socket buffer.
    pub queue_highest: usize,
    /// Most records that waited for the disk.
    pub store_highest: usize,
    /// Transactions of the store.
    pub commits: u64,
    /// Time that cores were busy, in microseconds, all of them together.
    pub busy_us: u64,
}

/// One machine.
pub struct Machine {
    /// The registrar.
    pub directory: Directory,
    /// What was counted.
    pub counters: Counters,
    cost: Cost,
    idle: u32,
    socket: VecDeque<Message>,
    /// Decided on by a core that has not finished.
    deciding: usize,
    waiting: VecDeque<Message>,
    committing: Vec<Message>,
    /// Requests with credentials: true when answered.
    repeats: BTreeMap<(u32, u32), bool>,
    repeats_by_age: VecDeque<(u64, (u32, u32))>,
    nonces_issued: u32,
    nonces_used: BTreeSet<Nonce>,
    nonces_forgotten_to: Option<Nonce>,
}

/// The wall clock of the simulation.
pub fn wall(now: Instant) -> WallMs {
    WallMs(WALL_START_MS + now.as_ms() as i64)
}

impl Machine {
    /// An idle one.
    pub fn new(directory: Directory, cost: Cost) -> Self {
        Machine {
            directory,
            counters: Counters::default(),
            cost,
            idle: cost.cores,
            socket: VecDeque::new(),
            deciding: 0,
            waiting: VecDeque::new(),
            committing: Vec::new(),
            repeats: BTreeMap::new(),
            repeats_by_age: VecDeque::new(),
            nonces_issued: 0,
            nonces_used: BTreeSet::new(),
            nonces_forgotten_to: None,
        }
    }

    /// Ends leases that are due. Free of cost here: a microsecond each at most.
    pub fn pass_time(&mut self, now: Instant) {
        while self.directory.poll_timeout().is_some_and(|at| at <= now) {
            self.directory.handle_timeout(now, wall(now));
        }
    }

    /// A datagram comes in.
    pub fn arrive(&mut self, message: Message) {
        if self.socket.len() >= SOCKET_PLACES {
            self.counters.lost += 1;
            return;
        }
        self.socket.push_back(message);
        self.counters.queue_highest = self.counters.queue_highest.max(self.socket.len());
    }

    /// An idle core takes the next datagram: how long it takes, and what comes of it ([`Machine::finish`]).
    pub fn begin(&mut self, now: Instant, request: impl Fn(Message) -> Request) -> Option<(Duration, Effect)> {
        if self.idle == 0 {
            return None;
        }
        let message = self.socket.pop_front()?;
        self.idle -= 1;
        self.counters.served += 1;
        let effect = self.serve(now, message, request);
        let us = match effect {
            Effect::Write(_) | Effect::Reply(_, Reply::Refused) => self.cost.decide_us(),
            _ => self.cost.challenge_us(),
        };
        self.counters.busy_us += us;
        Some((Duration::from_micros(us), effect))
    }

    /// The core is done; an answer may leave.
    pub fn finish(&mut self, effect: Effect) -> Option<(Message, Reply)> {
        self.idle += 1;
        match effect {
            Effect::Nothing => None,
            Effect::Reply(message, reply) => Some((message, reply)),
            Effect::Write(message) => {
                self.deciding -= 1;
                self.waiting.push_back(message);
                self.counters.store_highest = self.counters.store_highest.max(self.waiting.len());
                None
            }
        }
    }

    /// An idle disk takes what waits: how long that takes ([`Machine::commit_ended`]).
    pub fn begin_commit(&mut self) -> Option<Duration> {
        if !self.committing.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let count = self.waiting.len().min(STORE_BATCH);
        self.committing.extend(self.waiting.drain(..count));
        self.counters.commits += 1;
        Some(Duration::from_micros(self.cost.commit_us + self.cost.commit_us_per_record * count as u64))
    }

    /// It is on disk: who is answered 200.
    pub fn commit_ended(&mut self) -> Vec<Message> {
        let answered = core::mem::take(&mut self.committing);
        self.counters.granted += answered.len() as u64;
        for message in &answered {
            if let Some(kept) = self.repeats.get_mut(&(message.terminal, message.cseq)) {
                *kept = true;
            }
        }
        answered
    }

    fn serve(&mut self, now: Instant, message: Message, request: impl Fn(Message) -> Request) -> Effect {
        let Some(nonce) = message.nonce else { return Effect::Reply(message, self.challenge(now)) };
        match self.repeats.get(&(message.terminal, message.cseq)) {
            Some(answered) => {
                self.counters.repeats += 1;
                return if *answered { Effect::Reply(message, Reply::Granted) } else { Effect::Nothing };
            }
            None if self.deciding + self.waiting.len() + self.committing.len() >= STORE_QUEUE => {
                self.counters.unavailable += 1;
                return Effect::Reply(message, Reply::Unavailable);
            }
            None => {}
        }
        if !self.take(nonce) {
            self.counters.stale += 1;
            return Effect::Reply(message, self.challenge(now));
        }
        self.pass_time(now);
        let decision = self.directory.handle(now, wall(now), request(message));
        if matches!(decision.response, Response::Refused(_)) || decision.writes.is_empty() {
            self.counters.refused += 1;
            return Effect::Reply(message, Reply::Refused);
        }
        self.keep(now, (message.terminal, message.cseq));
        self.deciding += 1;
        Effect::Write(message)
    }

    fn challenge(&mut self, now: Instant) -> Reply {
        self.nonces_issued += 1;
        Reply::Challenge((now.as_us(), self.nonces_issued))
    }

    /// As [`crate::digest::server::Authenticator`] does it, without the seal: a nonce serves once here (`nc` 1), and the oldest is forgotten when
    /// too many are in use, and with it all that were issued before it.
    fn take(&mut self, nonce: Nonce) -> bool {
        if self.nonces_used.contains(&nonce) || self.nonces_forgotten_to.is_some_and(|to| nonce <= to) {
            return false;
        }
        if self.nonces_used.len() >= NONCES_MAX
            && let Some(oldest) = self.nonces_used.pop_first()
        {
            self.nonces_forgotten_to = self.nonces_forgotten_to.max(Some(oldest));
            if nonce <= oldest {
                return false;
            }
        }
        self.nonces_used.insert(nonce)
    }

    fn keep(&mut self, now: Instant, key: (u32, u32)) {
        let too_old = |at: u64| at + REPEATS_KEPT_US <= now.as_us();
        while self.repeats.len() >= SIP_REPEATS_MAX || self.repeats_by_age.front().is_some_and(|(at, _)| too_old(*at)) {
            let Some((_, oldest)) = self.repeats_by_age.pop_front() else { break };
            self.repeats.remove(&oldest);
        }
        self.repeats.insert(key, false);
        self.repeats_by_age.push_back((now.as_us(), key));
    }
}
