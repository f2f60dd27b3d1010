//! One association: the handshake, whom it proved, and what may be taken from it when the right one was proven.

use super::certificate::{Certificate, Expected, PeerCertificate};
use super::engine::{Engine, EngineOutput, Established, Handshake, SrtpKeys};
use super::is_dtls;
use super::records::Records;
use crate::clock::{Instant, TimerTable, ms};
use crate::limits::{DTLS_AFTERWARDS_MAX, DTLS_OUTGOING_MAX};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a handshake may take. Three flights are lost and repeated in that time, and a caller has not hung up yet.
const GIVE_UP: core::time::Duration = ms(10_000);

/// Who begins: `a=setup:active` is the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Role {
    Client,
    Server,
}

/// What an association is made from.
#[derive(Clone, Debug)]
pub struct Params {
    /// Our part.
    pub role: Role,
    /// What we show.
    pub certificate: Arc<Certificate>,
    /// What the peer must show; `None` until its SDP is known ([`Association::expect`]).
    pub expected: Option<Expected>,
    /// SRTP protection profiles that we take (RFC 5764 s.4.1.2), best first; empty when no voice goes by these keys. [`super::Dimpl`] offers
    /// all three in any case, and fails when one is agreed on that is not named here.
    pub srtp: Vec<u16>,
    /// Octets of the largest datagram of a flight.
    pub mtu: u16,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The handshake is complete. Nothing may be taken before [`Event::Proven`], which follows at once if it is known who was expected.
    Connected(Connected),
    /// The peer is one that was expected: [`Association::take_records`] and [`Association::srtp`] give what there is.
    Proven,
    /// It is over before it was of use; why, in words.
    Failed(String),
    /// The peer has closed.
    Closed,
}

/// Whom a handshake proved, and how.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Whose key was proven.
    pub peer: PeerCertificate,
    /// `DTLS 1.2` or `DTLS 1.3`.
    pub version: &'static str,
    /// `AES-128-GCM` or `AES-256-GCM`.
    pub cipher: &'static str,
    /// The SRTP profile that was agreed on.
    pub srtp_profile: Option<u16>,
}

/// How the peer's certificate stands to what was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The handshake is not complete, or nobody said who is expected.
    Open,
    /// It is one that was expected.
    Proven,
    /// It is another.
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    GiveUp,
}

enum State {
    Shaking,
    Complete(Box<Complete>),
    Over,
}

struct Complete {
    peer: PeerCertificate,
    /// Taken out once.
    records: Option<Box<Records>>,
    srtp: Option<SrtpKeys>,
    proven: bool,
    /// Datagrams that the engine may still send.
    afterwards: usize,
}

/// A handshake and what it proved. Drive it like every machine: `handle_*`, then `poll_transmit` and `poll_event` until `None`.
pub struct Association {
    role: Role,
    engine: Option<Box<dyn Handshake>>,
    expected: Option<Expected>,
    srtp_offered: Vec<u16>,
    state: State,
    refused: bool,
    timers: TimerTable<Timer, 1>,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Association {
    /// Begins. A client's first flight is there to be polled; its peer has 10 s from now. A server's has them from its first datagram, or
    /// from [`Association::peer_told`].
    pub fn new(now: Instant, params: Params, engine: &dyn Engine) -> Association {
        let begun = engine.begin(now, &params);
        let mut association = Association {
            role: params.role,
            engine: None,
            expected: params.expected,
            srtp_offered: params.srtp,
            state: State::Shaking,
            refused: false,
            timers: TimerTable::new([Timer::GiveUp]),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        };
        match begun {
            Ok(engine) => association.engine = Some(engine),
            Err(why) => association.fail(why),
        }
        if params.role == Role::Client {
            association.peer_told(now);
        }
        association.drain();
        association
    }

    /// The peer knows that it is to begin: from now on it has 10 s.
    pub fn peer_told(&mut self, now: Instant) {
        if matches!(self.state, State::Shaking) && self.timers.get(Timer::GiveUp).is_none() {
            self.timers.set(Timer::GiveUp, now + GIVE_UP);
        }
    }

    /// Says who the peer must be. Later words replace earlier ones as long as nothing was proven by those.
    pub fn expect(&mut self, expected: Expected) {
        if self.verdict() != Verdict::Proven {
            self.expected = Some(expected);
            self.judge();
        }
    }

    /// How the peer's certificate stands to what was expected.
    pub fn verdict(&self) -> Verdict {
        match &self.state {
            _ if self.refused => Verdict::Refused,
            State::Complete(c) if c.proven => Verdict::Proven,
            _ => Verdict::Open,
        }
    }
    /// The peer's certificate, once it was proven to be the peer's.
    pub fn peer(&self) -> Option<&PeerCertificate> {
        match &self.state {
            State::Complete(c) => Some(&c.peer),
            _ => None,
        }
    }
    /// Our part in it.
    pub fn role(&self) -> Role {
        self.role
    }
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The record layer, once: two of them would use nonces twice. `None` before [`Event::Proven`].
    pub fn take_records(&mut self) -> Option<Box<Records>> {
        match &mut self.state {
            State::Complete(c) if c.proven => c.records.take(),
            _ => None,
        }
    }
    /// The keys of SRTP. `None` before [`Event::Proven`], and when none were agreed on.
    pub fn srtp(&self) -> Option<&SrtpKeys> {
        match &self.state {
            State::Complete(c) if c.proven => c.srtp.as_ref(),
            _ => None,
        }
    }

    /// A datagram from the peer; what is not DTLS is dropped.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if !datagram.first().is_some_and(|b| is_dtls(*b)) {
            return;
        }
        // Application data of DTLS 1.2 that overtakes the end of a flight: its number would push the flight out of the engine's window.
        // After the handshake it is the record layer's.
        if datagram[0] == 23 {
            return;
        }
        self.peer_told(now);
        // Application data of DTLS 1.3 looks like the rest. Until the record layer is elsewhere, it tells them apart: the engine's window
        // must not go past what the peer's engine still has to say. The data is lost, as what comes before one listens is.
        if let State::Complete(c) = &mut self.state
            && let Some(records) = &mut c.records
            && !records.peek(datagram)
        {
            return;
        }
        if let Some(engine) = &mut self.engine {
            engine.handle_datagram(now, datagram);
        }
        self.drain();
    }

    /// A timer is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timers.take_due(now).is_some() {
            self.fail("no complete DTLS handshake within 10 s".into());
        }
        if let Some(engine) = &mut self.engine
            && engine.poll_timeout().is_some_and(|at| at <= now)
        {
            engine.handle_timeout(now);
        }
        self.drain();
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = self.timers.next().map(|(at, _)| at);
        let engine = self.engine.as_ref().and_then(|e| e.poll_timeout());
        [own, engine].into_iter().flatten().min()
    }
    /// A datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.as_mut().and_then(|e| e.poll()) {
            match output {
                EngineOutput::Datagram(datagram) => {
                    if let State::Complete(c) = &mut self.state {
                        let Some(left) = c.afterwards.checked_sub(1) else { continue };
                        c.afterwards = left;
                    }
                    self.send(datagram);
                }
                EngineOutput::Established(established) => self.complete(*established),
                EngineOutput::Closed => {
                    if !self.is_over() {
                        self.over();
                        self.events.push_back(Event::Closed);
                    }
                }
                EngineOutput::Failed(why) => self.fail(why),
            }
        }
    }

    fn send(&mut self, datagram: Vec<u8>) {
        // A driver that drains after each call never has a handful; what does not fit is lost as on the network.
        if self.outgoing.len() < DTLS_OUTGOING_MAX {
            self.outgoing.push_back(datagram);
        }
    }

    fn complete(&mut self, established: Established) {
        if !matches!(self.state, State::Shaking) {
            return;
        }
        let Established { peer_der, secrets, srtp } = established;
        let srtp = srtp.filter(|_| !self.srtp_offered.is_empty());
        if let Some(keys) = &srtp
            && !self.srtp_offered.contains(&keys.profile)
        {
            return self.fail(format!("SRTP profile {:#06x} was agreed on, which is not wanted here", keys.profile));
        }
        self.timers.stop_all();
        let peer = PeerCertificate::new(peer_der);
        self.events.push_back(Event::Connected(Connected {
            peer: peer.clone(),
            version: secrets.version(),
            cipher: secrets.cipher(),
            srtp_profile: srtp.as_ref().map(|k| k.profile),
        }));
        let records = Some(Box::new(Records::new(&secrets, self.role)));
        self.state = State::Complete(Box::new(Complete { peer, records, srtp, proven: false, afterwards: DTLS_AFTERWARDS_MAX }));
        self.judge();
    }

    fn judge(&mut self) {
        let (State::Complete(c), Some(expected)) = (&mut self.state, &self.expected) else { return };
        if expected.admits(&c.peer) {
            if !core::mem::replace(&mut c.proven, true) {
                self.events.push_back(Event::Proven);
            }
            return;
        }
        let (mut alert, records) = ([0; 64], c.records.take());
        let n = records.and_then(|mut r| r.refuse(&mut alert)).unwrap_or(0);
        let shown = c.peer.fingerprint;
        self.refused = true;
        self.send(alert[..n].to_vec());
        self.fail(format!("the peer showed another certificate ({shown}) than the one that was expected"));
    }

    fn fail(&mut self, why: String) {
        if !self.is_over() {
            self.over();
            self.events.push_back(Event::Failed(why));
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.engine = None;
        self.timers.stop_all();
    }
}

impl core::fmt::Debug for Association {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Association({:?}, {:?})", self.role, self.verdict())
    }
}
