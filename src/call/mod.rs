//! The calls of one gateway: the event domain's machine.
//!
//! It joins what the other rooms do not know of each other: lines (by `tick::Command` and `tick::Event`), numbers (`resolve`), the peer
//! (`sip`), and what both can do (`negotiate`). Sans-I/O: `handle_*(now, ..)`, `poll_*`, `poll_timeout`.
//!
//! ```text
//!   Dialled                INVITE from a peer
//!      |                        |
//!   Resolving --no route--+     |
//!      |                  |     |
//!   Inviting --refused----+     |            (to a peer; a learned route that stays silent asks the directory again)
//!      |                  |     |
//!   Alerting <---------------- Alerting      (a port of ours, or the peer's, rings)
//!      |                  |     |
//!      Up ----------------+-----+            (audio; a V.21 preamble of the called machine turns it to T.38: switchover.rs)
//!      |                  |
//!   Closing <-------------+                  (legs give back their counters, then the record is written)
//! ```
//!
//! Hanging up works from every state: `close` is the only way out, and every waiting state has a timer that leads there.

mod accounts;
mod answer;
mod begin;
mod cause;
mod emergency;
mod incoming;
mod moving;
mod outgoing;
mod question;
mod record;
mod refusals;
mod secure;
mod session;
mod station;
mod switchover;
mod terminals;
mod verdict;
mod view;

pub use accounts::{AccountConfig, AccountView, CallerId, LocateId, OutsideCaps};
pub use cause::Cause;
pub use emergency::{EmergencyPlan, EmergencyTarget};
pub use moving::Addresses;
pub use question::PeerSays;
pub use record::{CallRecord, Direction};
pub use secure::{MediaTransmit, SecurityConfig};
pub use view::{CallView, PortView};

use crate::audit::Event as AuditEvent;
use crate::clock::{Instant, TimerTable, WallMs, ms};
use crate::digest::Prints;
use crate::id::{AccountId, CallId, LegId, PortId};
use crate::key::Fingerprint;
use crate::limits::{CALLS_MAX, LOG_LINES_MAX};
use crate::line::{Command as LineCommand, Event as LineEvent};
use crate::negotiate::MediaPolicy;
use crate::number::{CallerIdCodes, Number};
use crate::resolve::{self, NoRoute, QueryId, Resolver, Target};
use crate::sip::{self, DialogId, Endpoint};
use crate::tick::{Command, Event};
use accounts::Accounts;
use emergency::Hunt;
use question::Question;
use session::{Flow, Talk};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use terminals::Terminals;

/// The sockets of one leg, as the peer is told of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LegSockets {
    /// Where RTP arrives. RTCP is one above.
    pub rtp: SocketAddr,
    /// Where UDPTL arrives.
    pub udptl: SocketAddr,
}

/// What is known of a port from the configuration.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Its name in the configuration (`phone1`).
    pub name: String,
    /// Its number, if fixed; the directory may give one later ([`Gateway::set_port_number`]).
    pub number: Option<Number>,
    /// Its account at an outside server: calls to it ring here.
    pub account: Option<AccountId>,
    /// What it may do outside.
    pub outside: OutsideCaps,
    /// A fax machine is plugged into it: a caller who offers audio and T.38 at once gets T.38.
    pub fax: bool,
    /// Its number is withheld unless the caller says otherwise.
    pub anonymous: bool,
}

/// The gateway's settings that the calls need.
#[derive(Clone, Debug)]
pub struct Config {
    /// In port order.
    pub ports: Vec<PortConfig>,
    /// How many echo places the board has behind the ports.
    pub services: usize,
    /// The sockets of each leg, in `LegId` order.
    pub legs: Vec<LegSockets>,
    /// Codecs, telephone events, T.38.
    pub media: MediaPolicy,
    /// Where emergency calls go, and how long each place may take.
    pub emergency: EmergencyPlan,
    /// Accounts at outside servers, in `AccountId` order.
    pub accounts: Vec<AccountConfig>,
    /// What is dialled in front of a number to withhold or show one's own.
    pub codes: CallerIdCodes,
    /// A called line rings at most so long.
    pub no_answer_ms: u64,
    /// A learned route that says nothing for so long makes us ask the directory too.
    pub learned_silence_ms: u64,
    /// Calls at a time; at most [`CALLS_MAX`].
    pub calls_max: usize,
    /// Keys, and whom pages go to.
    pub security: SecurityConfig,
}

/// What the shell must do.
#[derive(Debug)]
pub enum Action {
    /// Ask the directory, and bring the answer to [`Gateway::handle_lookup`].
    Lookup(QueryId, Number),
    /// Ask where the gateway of this identifier is, which the number was known by, and bring the answer there, too.
    FindIdentifier(QueryId, Number, String),
    /// Find an account's server by its URI (RFC 3263), and bring what was found to [`Gateway::handle_located`].
    Locate(LocateId, String),
    /// Keep (or, `None`, drop) a learned route on disk.
    Route(Number, Option<resolve::cache::LearnedRoute>),
    /// Keep (or, `None`, drop) the CSI with which the machine behind an outside number answers.
    Csi(Number, Option<String>),
    /// Write the record.
    Record(Box<CallRecord>),
    /// For the audit trail.
    Audit(Box<AuditEvent>),
    /// Log one decision.
    Log(LogLine),
}

/// One decision, for the person at two in the morning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Which call, if one.
    pub call: Option<CallId>,
    /// True for what needs a person.
    pub warn: bool,
    /// What was decided and why.
    pub words: String,
}

/// What a call waits for. One timer each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The called line to be answered.
    Answer,
    /// Any sign from a learned route.
    LearnedRoute,
    /// Any sign from the target of an emergency call, or from one of several terminals called in order.
    Silence,
    /// The moment to ask the peer what it can do.
    Question,
    /// Another try of an offer of ours after both sides asked at once (491); or the peer's answer to T.38, for so long as the fax can wait.
    Switchover,
    /// Another try to tell the peer where we are now.
    Moved,
    /// The peer to show who it is (A-5).
    Identity,
    /// Legs to give back their counters.
    Counters,
    /// Too long in a state that should pass quickly (resolving).
    Resolve,
}

/// One end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// A port of ours, or (behind the ports) an echo place.
    Port(PortId),
    /// The peer gateway.
    Peer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Resolving,
    Inviting,
    Alerting,
    Up,
    Closing,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Resolving => "resolving",
            State::Inviting => "inviting",
            State::Alerting => "ringing",
            State::Up => "up",
            State::Closing => "closing",
        }
    }
}

struct Call {
    from: End,
    to: End,
    caller: String,
    dialled: String,
    state: State,
    /// What is agreed with the peer, and what flows.
    talk: Talk,
    dialog: Option<DialogId>,
    /// A second INVITE, to where the directory says the number is now, while the learned route is silent.
    query: Option<QueryId>,
    asked_again: bool,
    target: Option<Target>,
    /// The number has several terminals: how far they have been called.
    terminals: Terminals,
    emergency: bool,
    /// How far an emergency call has come in the list of targets.
    hunt: Hunt,
    /// Whether the peer was asked what it can do.
    question: Question,
    /// It goes (or came) through this account.
    account: Option<AccountId>,
    /// The number as it is called there.
    outside: Option<String>,
    timers: TimerTable<Wait, 9>,
    cause: Option<Cause>,
    answered_at: Option<Instant>,
    ended_at: Option<Instant>,
    record: CallRecord,
}

impl Call {
    fn has(&self, port: PortId) -> bool {
        self.from == End::Port(port) || self.to == End::Port(port)
    }
    fn port(&self) -> Option<PortId> {
        match (self.from, self.to) {
            (End::Port(p), End::Peer) | (End::Peer, End::Port(p)) => Some(p),
            (End::Port(p), End::Port(_)) => Some(p),
            (End::Peer, End::Peer) => None,
        }
    }
}

struct PortState {
    name: String,
    number: Option<Number>,
    fax: bool,
    call: Option<CallId>,
    off_hook: bool,
    present: bool,
}

/// The calls of one gateway.
pub struct Gateway {
    config: Config,
    sip: Endpoint,
    resolver: Resolver,
    ports: Vec<PortState>,
    service_busy: Vec<Option<CallId>>,
    free_legs: VecDeque<LegId>,
    calls: BTreeMap<CallId, Call>,
    handshakes: secure::Handshakes,
    /// Keys that nobody may use any more.
    revoked: Vec<Fingerprint>,
    /// The CSI of machines behind outside numbers, by the number as it is dialled here.
    known_csi: BTreeMap<Number, String>,
    accounts: Accounts,
    actions: VecDeque<Action>,
    commands: VecDeque<Command>,
    log_lost: u64,
    refusals: refusals::Refusals,
    /// What is seen outside: SSRCs, session ids.
    prints: Prints,
    next_call: u64,
    wall_minus_now_ms: i64,
    shutting_down: bool,
    /// The host that our NAT shows to those beyond it.
    outside: Option<IpAddr>,
}

impl Gateway {
    /// A gateway with these settings. `seed` decides tags, SSRCs and jitter.
    pub fn new(mut config: Config, sip: Endpoint, resolver: Resolver, seed: impl Into<Prints>) -> Self {
        if cfg!(not(feature = "spandsp")) {
            // No engine, no T.38: faxes go as audio.
            config.media.t38 = None;
        }
        let ports = config.ports.iter().map(|p| PortState {
            name: p.name.clone(),
            number: p.number.clone(),
            fax: p.fax,
            call: None,
            off_hook: false,
            present: true,
        });
        let mut prints = seed.into();
        let accounts = Accounts::new(core::mem::take(&mut config.accounts), config.ports.len(), &mut prints);
        Gateway {
            ports: ports.collect(),
            service_busy: vec![None; config.services],
            free_legs: (0..config.legs.len() as u16).map(LegId).collect(),
            config,
            sip,
            resolver,
            calls: BTreeMap::new(),
            handshakes: secure::Handshakes::default(),
            revoked: Vec::new(),
            known_csi: BTreeMap::new(),
            accounts,
            actions: VecDeque::new(),
            commands: VecDeque::new(),
            log_lost: 0,
            refusals: refusals::Refusals::default(),
            prints,
            next_call: 1,
            wall_minus_now_ms: 0,
            shutting_down: false,
            outside: None,
        }
    }

    /// Says what wall time it is, for records.
    pub fn set_wall(&mut self, now: Instant, wall: WallMs) {
        self.wall_minus_now_ms = wall.0 - now.as_ms() as i64;
        self.resolver.set_wall(wall);
    }

    fn wall(&self, now: Instant) -> WallMs {
        WallMs(now.as_ms() as i64 + self.wall_minus_now_ms)
    }

    /// The directory gave (or took) a port's number.
    pub fn set_port_number(&mut self, port: PortId, number: Option<Number>) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
            p.number = number.clone();
            self.resolver.set_port_number(port, number);
        }
    }

    /// What happened on a line or leg.
    pub fn handle_tick_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Line(port, event) => self.handle_line(now, port, event),
            Event::V21Preamble(port) => self.fax_answers(now, port),
            Event::Cng(port) => self.fax_tone(now, port, "CNG heard: a fax machine is calling"),
            Event::AnswerTone(port) => self.fax_tone(now, port, "2100 Hz heard: a modem or fax machine is answering"),
            Event::MediaArrived(port) => self.media_arrived(port),
            Event::Fax(port, news) => self.fax_news(now, port, news),
            Event::LegSilent { port, silent_ms } => self.leg_silent(now, port, silent_ms),
            Event::Retired { port, leg_id, leg } => self.leg_retired(now, port, leg_id, *leg),
            Event::Sim(..) | Event::Spent(_) | Event::SpentRecords(_) => {}
            Event::SimRefused(port, why) => self.log(None, true, format!("{}: {why}", self.port_name(port))),
        }
    }

    fn handle_line(&mut self, now: Instant, port: PortId, event: LineEvent) {
        let p = usize::from(port.0);
        match event {
            LineEvent::WentOffHook => self.ports[p].off_hook = true,
            LineEvent::Dialled { keys, emergency } => self.dialled(now, port, &keys, emergency),
            LineEvent::Misdialled(keys) => {
                self.log(None, false, format!("{}: dialled {keys}, which no row of the digit map begins with", self.port_name(port)))
            }
            LineEvent::Answered => {
                self.ports[p].off_hook = true;
                self.line_answered(now, port);
            }
            LineEvent::WentOnHook => {
                self.ports[p].off_hook = false;
                if let Some(id) = self.emergency_waits_for(port) {
                    self.commands.push_back(Command::Line(port, LineCommand::Ring { cadence_ms: None }));
                    self.target_rings(now, id);
                } else if let Some(id) = self.call_of(port) {
                    let call = &self.calls[&id];
                    let cause = match (call.from == End::Port(port), call.state) {
                        (true, State::Up) => Cause::CallerHungUp,
                        (true, _) => Cause::CallerGaveUp,
                        (false, _) => Cause::CalledHungUp,
                    };
                    self.close(now, id, cause);
                }
            }
            LineEvent::DialTimeout(keys) => {
                let words = if keys.is_empty() { "nothing dialled".to_owned() } else { format!("only {keys} dialled") };
                self.log(None, false, format!("{}: off hook, {words}", self.port_name(port)));
            }
            LineEvent::Flash => self.hint(port, "hook flash"),
            LineEvent::RingTimeout => match self.emergency_waits_for(port) {
                Some(id) => self.bell_worn_out(now, id, port),
                None => self.close_port(now, port, Cause::NoAnswer),
            },
            LineEvent::CallTimeout => self.close_port(now, port, Cause::NoAnswer),
            // Whoever was talking there has just lost the call to an emergency: it rings when they put the receiver down.
            LineEvent::RingRefused => match self.emergency_waits_for(port) {
                Some(id) => self.target_off_hook(now, id),
                None => self.close_port(now, port, Cause::Busy),
            },
            LineEvent::LockedOut => self.log(None, true, format!("{}: left off hook", self.port_name(port))),
            LineEvent::PortGone => self.device(now, port, false),
            LineEvent::PortBack => self.device(now, port, true),
        }
    }

    /// The emergency call that is to ring this port.
    fn emergency_waits_for(&self, port: PortId) -> Option<CallId> {
        let waits = |c: &Call| c.emergency && c.to == End::Port(port) && c.state == State::Alerting;
        self.call_of(port).filter(|id| self.calls.get(id).is_some_and(waits))
    }

    fn device(&mut self, now: Instant, port: PortId, present: bool) {
        self.ports[usize::from(port.0)].present = present;
        self.log(None, !present, format!("{}: the device {}", self.port_name(port), if present { "is back" } else { "vanished" }));
        if !present {
            self.close_port(now, port, Cause::DeviceGone);
        }
    }

    fn close_port(&mut self, now: Instant, port: PortId, cause: Cause) {
        match (self.emergency_waits_for(port), self.call_of(port)) {
            (Some(id), _) => self.target_failed(now, id, cause),
            (None, Some(id)) => self.close(now, id, cause),
            (None, None) => {}
        }
    }

    fn hint(&mut self, port: PortId, words: &str) {
        if let Some(id) = self.call_of(port) {
            self.log(Some(id), false, format!("{}: {words}", self.port_name(port)));
        }
    }

    /// A SIP message.
    pub fn handle_message(&mut self, now: Instant, src: sip::Hop, bytes: &[u8]) {
        self.sip.handle_message(now, src, bytes);
        self.drain_sip(now);
    }
    /// A way to a peer is broken: connecting failed, a connection ended, or the network says that nobody is there.
    pub fn handle_transport_failure(&mut self, now: Instant, dst: sip::Hop) {
        self.sip.handle_transport_failure(now, dst);
        self.account_way_broken(now, dst);
        self.drain_sip(now);
    }

    /// The directory's answer to a look-up.
    pub fn handle_lookup(&mut self, now: Instant, query: QueryId, answer: resolve::Answer) {
        let wall = self.wall(now);
        let outcome = self.resolver.handle_answer(wall, query, answer);
        self.drain_resolver();
        if let (Some(outcome), Some(id)) = (outcome, self.call_of_query(query)) {
            self.routed(now, id, outcome);
        }
        self.drain_sip(now);
    }

    /// Deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sip.handle_timeout(now);
        self.drain_sip(now);
        self.account_timeouts(now);
        self.handshake_timeouts(now);
        for (query, outcome) in self.resolver.handle_timeout(now) {
            if let Some(id) = self.call_of_query(query) {
                self.routed(now, id, outcome);
            }
        }
        self.drain_resolver();
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            while let Some(wait) = self.calls.get_mut(&id).and_then(|c| c.timers.take_due(now)) {
                self.timed_out(now, id, wait);
            }
        }
        self.drain_sip(now);
    }

    fn timed_out(&mut self, now: Instant, id: CallId, wait: Wait) {
        match wait {
            Wait::Answer => self.not_answered(now, id),
            Wait::Silence => self.target_silent(now, id),
            Wait::Question => self.ask_peer(now, id),
            Wait::Resolve => self.close(now, id, Cause::NoRoute(NoRoute::DirectorySilent)),
            Wait::LearnedRoute => self.ask_directory_too(now, id),
            Wait::Switchover => self.switch_due(now, id),
            Wait::Moved => self.say_where(now, id),
            Wait::Identity => self.judge(now, id),
            Wait::Counters => self.finish(now, id),
        }
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(|c| c.timers.next().map(|(at, _)| at)).min();
        let sip = self.sip.poll_timeout().map(|(at, _)| at);
        [calls, sip, self.resolver.poll_timeout(), self.accounts.poll_timeout(), self.handshake_due()].into_iter().flatten().min()
    }

    /// What to send on the SIP socket.
    pub fn poll_transmit(&mut self) -> Option<sip::Transmit> {
        self.sip.poll_transmit()
    }
    /// What the shell must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        let next = self.actions.pop_front();
        if next.is_none() && self.log_lost > 0 {
            let words = format!("{} log lines were lost in a burst", core::mem::take(&mut self.log_lost));
            return Some(Action::Log(LogLine { call: None, warn: true, words }));
        }
        next
    }
    /// What the board must do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Ends every call; new ones are refused from now on.
    pub fn shut_down(&mut self, now: Instant) {
        self.shutting_down = true;
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.close(now, id, Cause::ShuttingDown);
        }
        self.stop_accounts(now);
        self.drain_sip(now);
    }

    /// True when no call is left.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    // ---- ends ------------------------------------------------------------------------------------------------------------------

    /// The only way out of a call. Tones for our lines, the right word for the peer, legs back, then the record.
    fn close(&mut self, now: Instant, id: CallId, cause: Cause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == State::Closing {
            return;
        }
        let before = call.state;
        call.state = State::Closing;
        call.timers.stop_all();
        call.query = None;
        let (from, to, dialog, flow) = (call.from, call.to, call.dialog.take(), call.talk.flow);
        call.cause = Some(cause.clone());
        call.ended_at = Some(now);
        call.timers.set(Wait::Counters, now + ms(1000));
        let others = call.terminals.take_dialogs();
        others.into_iter().for_each(|dialog| self.hang_up_dialog(now, dialog, cause.q850()));
        if let Some(dialog) = dialog {
            if from == End::Peer && before != State::Up {
                self.refuse_dialog(now, dialog, cause.sip_status(), Some(cause.q850()));
            } else {
                self.hang_up_dialog(now, dialog, cause.q850());
            }
        }
        for (end, is_caller) in [(from, true), (to, false)] {
            let End::Port(port) = end else { continue };
            if flow != Flow::None {
                self.commands.push_back(Command::Disconnect(port));
            }
            let command = match (before, is_caller) {
                (State::Up, _) => LineCommand::FarEndGone,
                (_, true) => cause.tone(),
                (_, false) => LineCommand::StopRinging,
            };
            self.commands.push_back(Command::Line(port, command));
            self.free_place(port, id);
        }
        self.log(Some(id), !matches!(cause, Cause::CallerHungUp | Cause::CalledHungUp | Cause::CallerGaveUp), cause.words());
        if self.calls[&id].talk.legs_out == 0 {
            self.finish(now, id);
        }
    }

    /// Writes the record and forgets the call.
    fn finish(&mut self, now: Instant, id: CallId) {
        let wall = self.wall(now);
        self.end_handshakes(id);
        let Some(mut call) = self.calls.remove(&id) else { return };
        if let Some(leg) = call.talk.leg.take() {
            self.free_legs.push_back(leg);
        }
        let cause = call.cause.unwrap_or(Cause::ShuttingDown);
        call.record.ended = wall;
        call.record.talked_ms = call.answered_at.zip(call.ended_at).map(|(from, to)| to.ms_since(from));
        call.record.q850 = cause.q850();
        call.record.csi = call.talk.secrecy.check.said().map(str::to_owned);
        call.record.completed =
            call.record.answered.is_some() && cause.is_normal() && call.record.fax.as_ref().is_none_or(|f| f.record.delivered());
        call.record.result = match &call.record.fax {
            // Where it was for keys or proof, T.30 only knows that nobody spoke.
            Some(fax) if fax.record.delivered() || !cause.is_for_want_of_trust() => fax.record.words(),
            Some(_) | None => cause.words(),
        };
        let csi = call.talk.secrecy.check.new_csi().filter(|_| call.record.verified.is_some()).map(str::to_owned);
        if let Some(csi) = csi.filter(|_| call.record.fax.as_ref().is_some_and(|fax| fax.record.delivered())) {
            self.learn_csi(&call.record.to, csi);
        }
        if call.record.fax_protection == Some(record::REFUSED_IN_THE_CLEAR) {
            call.record.result.push_str("; the peer's T.38 was refused, for it was in the clear and encryption is required");
        }
        if call.record.peer.is_some() {
            self.actions.push_back(Action::Audit(Box::new(call.record.audit())));
        }
        self.actions.push_back(Action::Record(Box::new(call.record)));
    }

    // ---- small look-ups ----------------------------------------------------------------------------------------------------------

    fn call_of(&self, port: PortId) -> Option<CallId> {
        let p = usize::from(port.0);
        match self.ports.get(p) {
            Some(state) => state.call,
            None => self.service_busy.get(p - self.ports.len()).copied().flatten(),
        }
    }
    fn call_of_query(&self, query: QueryId) -> Option<CallId> {
        self.calls.iter().find(|(_, c)| c.query == Some(query)).map(|(id, _)| *id)
    }
    fn call_of_dialog(&self, dialog: DialogId) -> Option<CallId> {
        self.calls.iter().find(|(_, c)| c.dialog == Some(dialog)).map(|(id, _)| *id)
    }
    fn free_place(&mut self, port: PortId, id: CallId) {
        let p = usize::from(port.0);
        let ports = self.ports.len();
        let slot = if p < ports { Some(&mut self.ports[p].call) } else { self.service_busy.get_mut(p - ports) };
        if let Some(slot) = slot
            && *slot == Some(id)
        {
            *slot = None;
        }
    }
    fn port_name(&self, port: PortId) -> String {
        self.ports.get(usize::from(port.0)).map_or_else(|| "echo".into(), |p| p.name.clone())
    }
    fn log(&mut self, call: Option<CallId>, warn: bool, words: String) {
        if self.actions.len() >= LOG_LINES_MAX {
            self.log_lost += 1;
            return;
        }
        self.actions.push_back(Action::Log(LogLine { call, warn, words }));
    }
    fn drain_resolver(&mut self) {
        while let Some(action) = self.resolver.poll_action() {
            self.actions.push_back(match action {
                resolve::Action::Ask(query, number) => Action::Lookup(query, number),
                resolve::Action::AskIdentifier(query, number, key) => Action::FindIdentifier(query, number, key),
                resolve::Action::Store(number, route) => Action::Route(number, Some(route)),
                resolve::Action::Forget(number) => Action::Route(number, None),
            });
        }
    }

    fn table_full(&self) -> bool {
        self.calls.len() >= self.config.calls_max.min(CALLS_MAX)
    }
}
