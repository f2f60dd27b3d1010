//! The board: all ports that share one clock, and one turn of them every 20 ms.
//!
//! ```text
//!   gather   one frame from and to every port; datagrams into legs; commands           (the driver, see shell/media_thread)
//!   tick     per line: watch -> line machine -> leg -> line                            (here, pure)
//!   scatter  datagrams out of the legs, events out of the queue                        (the driver)
//! ```
//!
//! The middle allocates nothing, locks nothing, logs nothing and reads no clock (`tests/tick_alloc.rs` holds it to that). Boxes that
//! come in with a command leave again in an event; the board never frees one.

pub mod command;
mod echo;
pub mod event;
pub mod leg;

pub use command::Command;
pub use event::Event;
pub use leg::Leg;

use crate::clock::{Instant, Tick};
use crate::dtls::is_dtls;
use crate::id::{LegId, PortId};
use crate::limits::{BOARD_EVENTS_MAX, DATAGRAM_BYTES_MAX, HANDSHAKES_QUEUED_MAX, PRIME_FRAMES};
use crate::line::{Audio, Line, LineConfig, State};
use crate::media::{Channel, LineDigit};
use echo::EchoGuard;
use heapless::Deque;
use std::net::SocketAddr;
use tipring_dsp::watch::{FINDINGS_MAX, FaxTone, Finding, Watch};
use tipring_dsp::{Frame, SILENCE};
use tipring_hw::sim::ControlError;
use tipring_hw::{Port, PortEvent};

/// What a line's audio is joined to.
enum Connection {
    None,
    Leg { id: LegId, leg: Box<Leg>, silent_told: bool, media_told: bool },
    Patch(usize),
}

/// One place on the board: a port with its line, or a service place without a port, which echoes what it hears (number 9000).
struct Place {
    /// `None` at a service place.
    line: Option<Line>,
    watch: Watch,
    /// Keeps our own signal, back from the hybrid, out of the findings.
    echo: EchoGuard,
    connection: Connection,
    events: heapless::Vec<PortEvent, 16>,
    from_line: Frame,
    to_line: Frame,
    digit: LineDigit,
    /// The line's audio is through to the connection: in conversation, or a service place.
    talks: bool,
    /// The key that ended dialling is still held down (or ends in this turn): a peer that answers at once does not get the rest of it.
    last_key_held: bool,
    /// The last frames heard, so that a T.38 relay that starts in the middle of a V.21 preamble hears its beginning too.
    heard: Deque<Frame, PRIME_FRAMES>,
    keep_heard: bool,
}

impl Place {
    /// What the line says goes to the other end.
    fn is_heard(&self) -> bool {
        self.talks && !self.last_key_held
    }
}

/// Counters of one board.
#[derive(Clone, Copy, Default, Debug)]
pub struct BoardStats {
    /// Ticks since the start.
    pub ticks: u64,
    /// Events that found the queue full. Not zero means a bug.
    pub events_lost: u64,
    /// Port events beyond the bound of one frame.
    pub port_events_lost: u64,
    /// Datagrams for legs that are not connected.
    pub stray_datagrams: u64,
    /// DTLS datagrams that found their queue full: the peer sends them again.
    pub handshakes_lost: u64,
}

/// A DTLS datagram on its way to the event domain, where handshakes are.
#[derive(Clone, Debug)]
pub struct HandshakeDatagram {
    /// On whose RTP socket it came.
    pub leg: LegId,
    /// From whom.
    pub src: SocketAddr,
    /// What.
    pub bytes: heapless::Vec<u8, DATAGRAM_BYTES_MAX>,
}

/// The lines of one clock. See the module's story for the order of a turn.
pub struct Board {
    places: Vec<Place>,
    /// Which place a leg's sockets belong to at present.
    place_of_leg: Vec<Option<u16>>,
    /// Legs whose RTP socket may hear handshakes.
    listening: Vec<bool>,
    /// DTLS that came in, for the event domain.
    handshakes: Box<Deque<HandshakeDatagram, HANDSHAKES_QUEUED_MAX>>,
    events: Deque<Event, BOARD_EVENTS_MAX>,
    watchdog_ms: u64,
    tick: Tick,
    stats: BoardStats,
}

impl Board {
    /// A board of `lines` (port 0 first), `services` echo places behind them, and `legs` pairs of sockets.
    /// `watchdog_ms`: a leg that hears nothing valid for so long is reported.
    pub fn new(lines: Vec<LineConfig>, services: usize, legs: usize, watchdog_ms: u64) -> Self {
        let place = |line| Place {
            line,
            watch: Watch::new(),
            echo: EchoGuard::new(),
            connection: Connection::None,
            events: heapless::Vec::new(),
            from_line: SILENCE,
            to_line: SILENCE,
            digit: LineDigit::None,
            talks: true,
            last_key_held: false,
            heard: Deque::new(),
            keep_heard: false,
        };
        let mut places: Vec<Place> = lines.into_iter().map(|config| place(Some(Line::new(config)))).collect();
        places.extend((0..services).map(|_| place(None)));
        Board {
            places,
            place_of_leg: vec![None; legs],
            listening: vec![false; legs],
            handshakes: Box::new(Deque::new()),
            events: Deque::new(),
            watchdog_ms,
            tick: Tick(0),
            stats: BoardStats::default(),
        }
    }

    /// Exchanges one frame with every port: plays what the last tick made, takes what came in.
    pub fn gather(&mut self, ports: &mut [Box<dyn Port>]) {
        for (i, (place, port)) in self.places.iter_mut().zip(ports.iter_mut()).enumerate() {
            if let Some(line) = &mut place.line {
                while let Some(command) = line.poll_port_command() {
                    port.command(command);
                }
            }
            port.exchange(&place.to_line, &mut place.from_line);
            place.events.clear();
            while let Some(event) = port.poll_event() {
                if place.events.push(event).is_err() {
                    self.stats.port_events_lost += 1;
                }
            }
            while let Some(sim) = port.poll_sim() {
                if self.events.push_back(Event::Sim(PortId(i as u16), Box::new(sim))).is_err() {
                    self.stats.events_lost += 1;
                }
            }
        }
    }

    /// A datagram from the sockets of `leg`.
    pub fn from_net(&mut self, now: Instant, leg: LegId, channel: Channel, src: SocketAddr, datagram: &[u8]) {
        let dtls = channel == Channel::Rtp && datagram.first().is_some_and(|first| is_dtls(*first));
        if dtls && self.listens(leg) && !self.reads_dtls(leg) {
            return self.hand_over(leg, src, datagram);
        }
        let place = self.place_of_leg.get(usize::from(leg.0)).copied().flatten();
        match place.and_then(|p| self.places.get_mut(usize::from(p))) {
            Some(Place { connection: Connection::Leg { leg, silent_told, .. }, .. }) => {
                *silent_told = false;
                if !leg.from_net(now, channel, src, datagram) {
                    return;
                }
            }
            _ => return self.stats.stray_datagrams += 1,
        }
        self.hand_over(leg, src, datagram);
    }

    /// Whether handshakes of `leg` are awaited.
    pub fn listens(&self, leg: LegId) -> bool {
        self.listening.get(usize::from(leg.0)).copied().unwrap_or(false)
    }

    /// The next DTLS datagram for the event domain, oldest first.
    pub fn poll_handshake(&mut self) -> Option<HandshakeDatagram> {
        self.handshakes.pop_front()
    }

    /// Whether what is connected there opens DTLS by itself: a fax in DTLS.
    fn reads_dtls(&self, leg: LegId) -> bool {
        let place = self.place_of_leg.get(usize::from(leg.0)).copied().flatten().and_then(|p| self.places.get(usize::from(p)));
        matches!(place.map(|p| &p.connection), Some(Connection::Leg { leg, .. }) if leg.reads_dtls())
    }

    fn hand_over(&mut self, leg: LegId, src: SocketAddr, datagram: &[u8]) {
        let Ok(bytes) = heapless::Vec::from_slice(datagram) else {
            self.stats.handshakes_lost += 1;
            return;
        };
        if self.handshakes.push_back(HandshakeDatagram { leg, src, bytes }).is_err() {
            self.stats.handshakes_lost += 1;
        }
    }

    /// True while some place uses the sockets of `leg`.
    pub fn leg_in_use(&self, leg: LegId) -> bool {
        self.place_of_leg.get(usize::from(leg.0)).is_some_and(Option::is_some)
    }

    /// Carries out one order.
    pub fn command(&mut self, now: Instant, command: Command, ports: &mut [Box<dyn Port>], out: Out<'_>) {
        match command {
            Command::Line(port, c) => {
                if let Some(Place { line: Some(line), .. }) = self.places.get_mut(usize::from(port.0)) {
                    line.command(c);
                }
            }
            Command::Connect { port, leg_id, leg } => self.connect(now, port, leg_id, leg, out),
            Command::Listen(leg, on) => {
                if let Some(listening) = self.listening.get_mut(usize::from(leg.0)) {
                    *listening = on;
                }
            }
            Command::Patch(a, b) => self.patch(a, b, out),
            Command::Disconnect(port) => self.disconnect(usize::from(port.0), out),
            Command::Retune(port, to) => {
                if let Some(Place { connection: Connection::Leg { leg, .. }, .. }) = self.places.get_mut(usize::from(port.0))
                    && let Leg::Audio(audio) = &mut **leg
                {
                    audio.set_payload(to.law, to.payload_type, to.telephone_event_pt);
                    audio.set_remote(to.remote_rtp, to.remote_rtcp);
                    audio.set_rtcp_mux(to.rtcp_mux);
                    audio.set_direction(to.direction);
                }
            }
            Command::Redirect(port, to) => {
                if let Some(Place { connection: Connection::Leg { leg, .. }, .. }) = self.places.get_mut(usize::from(port.0))
                    && let Leg::T38(t38) = &mut **leg
                {
                    t38.redirect(to.remote, to.also_from, to.max_datagram, to.error_correction);
                }
            }
            Command::Secure(port, session) => {
                let spent = match self.places.get_mut(usize::from(port.0)).map(|p| &mut p.connection) {
                    Some(Connection::Leg { leg, .. }) => leg.secure(session),
                    _ => Some(session),
                };
                if let Some(session) = spent {
                    push(&mut self.events, &mut self.stats, Event::Spent(session));
                }
            }
            Command::SecureFax(port, records) => {
                let spent = match self.places.get_mut(usize::from(port.0)).map(|p| &mut p.connection) {
                    Some(Connection::Leg { leg, .. }) => leg.secure_fax(records),
                    _ => Some(records),
                };
                if let Some(records) = spent {
                    push(&mut self.events, &mut self.stats, Event::SpentRecords(records));
                }
            }
            Command::Clear(port, clearance) => {
                if let Some(Place { connection: Connection::Leg { leg, .. }, .. }) = self.places.get_mut(usize::from(port.0))
                    && let Leg::T38(t38) = &mut **leg
                {
                    t38.set_cleared(clearance);
                }
            }
            Command::PlayDigit(port, key, duration_ms) => {
                if let Some(Place { connection: Connection::Leg { leg, .. }, .. }) = self.places.get_mut(usize::from(port.0))
                    && let Leg::Audio(audio) = &mut **leg
                {
                    audio.play_digit(now, key, duration_ms);
                }
            }
            Command::PassThrough(port) => {
                if let Some(Place { connection: Connection::Leg { leg, .. }, .. }) = self.places.get_mut(usize::from(port.0))
                    && let Leg::Audio(audio) = &mut **leg
                {
                    audio.set_pass_through(true);
                }
            }
            Command::Simulate(port, control) => {
                let done = ports.get_mut(usize::from(port.0)).map_or(Err(ControlError::NotSimulated), |p| p.control(*control));
                if let Err(why) = done {
                    push(&mut self.events, &mut self.stats, Event::SimRefused(port, why));
                }
            }
        }
    }

    fn connect(&mut self, now: Instant, port: PortId, leg_id: LegId, mut leg: Box<Leg>, out: Out<'_>) {
        let p = usize::from(port.0);
        let known = p < self.places.len() && usize::from(leg_id.0) < self.place_of_leg.len();
        if !known {
            push(&mut self.events, &mut self.stats, Event::Retired { port, leg_id, leg });
            return;
        }
        self.disconnect(p, out);
        if let Leg::T38(t38) = &mut *leg {
            // What the machine said while the re-INVITE was under way, so that no DIS is lost.
            let place = &mut self.places[p];
            let channel = leg::fax_channel(t38);
            t38.prime(now, place.heard.make_contiguous(), &mut |to, bytes| out(leg_id, channel, to, bytes));
            place.heard.clear();
            // Nobody watches the line while the relay has it; who does so afterwards begins anew.
            (place.watch, place.echo) = (Watch::new(), EchoGuard::new());
        }
        self.place_of_leg[usize::from(leg_id.0)] = Some(port.0);
        self.places[p].connection = Connection::Leg { id: leg_id, leg, silent_told: false, media_told: false };
    }

    fn patch(&mut self, a: PortId, b: PortId, out: Out<'_>) {
        let (a, b) = (usize::from(a.0), usize::from(b.0));
        if a == b || a >= self.places.len() || b >= self.places.len() {
            return;
        }
        self.disconnect(a, out);
        self.disconnect(b, out);
        self.places[a].connection = Connection::Patch(b);
        self.places[b].connection = Connection::Patch(a);
    }

    fn disconnect(&mut self, p: usize, out: Out<'_>) {
        let Some(place) = self.places.get_mut(p) else { return };
        match core::mem::replace(&mut place.connection, Connection::None) {
            Connection::None => {}
            Connection::Leg { id, mut leg, .. } => {
                leg.finish(&mut |channel, to, bytes| out(id, channel, to, bytes));
                self.place_of_leg[usize::from(id.0)] = None;
                push(&mut self.events, &mut self.stats, Event::Retired { port: PortId(p as u16), leg_id: id, leg });
            }
            Connection::Patch(other) => self.places[other].connection = Connection::None,
        }
        self.places[p].to_line = SILENCE;
    }

    /// One turn of every line. `out` takes the datagrams of the legs.
    pub fn tick(&mut self, now: Instant, out: Out<'_>) {
        self.tick.0 += 1;
        self.stats.ticks += 1;
        for p in 0..self.places.len() {
            self.observe(p);
        }
        for p in 0..self.places.len() {
            self.speak(now, p, out);
        }
    }

    /// What the line heard: detectors, then the line machine.
    fn observe(&mut self, p: usize) {
        let port = PortId(p as u16);
        let (events, stats) = (&mut self.events, &mut self.stats);
        let Place {
            line,
            watch,
            echo,
            events: port_events,
            from_line,
            to_line,
            digit,
            heard,
            keep_heard,
            connection,
            talks,
            last_key_held,
        } = &mut self.places[p];
        let Some(line) = line else { return };
        let listening = is_off_hook(line);
        // The relay hears for itself, and digits, CNG or a preamble mean nothing to anybody else: the two watches would cost more than it.
        let t38 = matches!(connection, Connection::Leg { leg, .. } if matches!(**leg, Leg::T38(_)));
        let watching = listening && !(t38 && *talks);
        let mut findings: heapless::Vec<Finding, FINDINGS_MAX> = heapless::Vec::new();
        if watching {
            findings.extend(watch.rx(from_line).iter().copied());
            if *talks {
                echo.sift(to_line, from_line, *digit, &mut findings);
            }
        }
        // The echo of a played key is kept from the network like a key: over there it would lie under the next one that is pressed.
        *digit = if watching { line_digit(*digit, &findings, watch.digit_suspected()) } else { LineDigit::None };
        for finding in &findings {
            match finding {
                Finding::V21Preamble { .. } => {
                    *keep_heard = true;
                    push(events, stats, Event::V21Preamble(port));
                }
                Finding::ToneStarted { tone: FaxTone::Cng, .. } => push(events, stats, Event::Cng(port)),
                Finding::ToneStarted { tone: FaxTone::Ced | FaxTone::AnsAm, .. } => {
                    *keep_heard = true;
                    push(events, stats, Event::AnswerTone(port));
                }
                Finding::DigitStarted { .. } | Finding::DigitEnded { .. } | Finding::ToneEnded { .. } | Finding::V21Ended { .. } => {}
            }
        }
        if t38 || !listening {
            *keep_heard = false;
            heard.clear();
        }
        if *keep_heard {
            if heard.is_full() {
                heard.pop_front();
            }
            let _never_full = heard.push_back(*from_line);
        }
        let talked = core::mem::replace(talks, line.tick(port_events, &findings, to_line) == Audio::Connected);
        *last_key_held = *talks && (*last_key_held || !talked) && *digit != LineDigit::None;
        if !is_off_hook(line) && listening {
            *watch = Watch::new();
            *echo = EchoGuard::new();
        }
        while let Some(event) = line.poll_event() {
            push(events, stats, Event::Line(port, event));
        }
    }

    /// What the line is to hear, and what the network is to get.
    fn speak(&mut self, now: Instant, p: usize, out: Out<'_>) {
        let watchdog_ms = self.watchdog_ms;
        if let Connection::Patch(other) = self.places[p].connection {
            let heard = if self.places[other].is_heard() { self.places[other].from_line } else { SILENCE };
            let place = &mut self.places[p];
            if place.talks {
                place.to_line = heard;
            }
            if place.line.is_none() {
                place.from_line = heard;
            }
            return;
        }
        let (events, stats) = (&mut self.events, &mut self.stats);
        let place = &mut self.places[p];
        let (talks, heard) = (place.talks, place.is_heard());
        let Connection::Leg { id, leg, silent_told, media_told } = &mut place.connection else { return };
        let (id, mut from_net) = (*id, SILENCE);
        let from_line = if heard { place.from_line } else { SILENCE };
        let digit = if heard { place.digit } else { LineDigit::None };
        leg.tick(now, &from_line, digit, &mut from_net, &mut |channel, to, bytes| out(id, channel, to, bytes));
        if !*media_told && leg.has_media() {
            *media_told = true;
            push(events, stats, Event::MediaArrived(PortId(p as u16)));
        }
        if let Leg::T38(t38) = &mut **leg {
            while let Some(news) = t38.poll_news() {
                push(events, stats, Event::Fax(PortId(p as u16), news));
            }
        }
        let silent_ms = leg.silent_ms(now);
        if silent_ms >= watchdog_ms && !*silent_told {
            *silent_told = true;
            push(events, stats, Event::LegSilent { port: PortId(p as u16), silent_ms });
        }
        if talks {
            place.to_line = from_net;
        }
        if place.line.is_none() {
            place.from_line = from_net;
        }
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counters.
    pub fn stats(&self) -> BoardStats {
        self.stats
    }

    /// The line machine of a port, for `status`.
    pub fn line(&self, port: PortId) -> Option<&Line> {
        self.places.get(usize::from(port.0)).and_then(|p| p.line.as_ref())
    }
}

/// Where the legs of a board put what they send.
pub type Out<'a> = &'a mut dyn FnMut(LegId, Channel, SocketAddr, &[u8]);

fn push(events: &mut Deque<Event, BOARD_EVENTS_MAX>, stats: &mut BoardStats, event: Event) {
    if let Err(lost) = events.push_back(event) {
        // Freed here, in the tick: losing an event is a bug already counted, and keeping it would be a leak.
        drop(lost);
        stats.events_lost += 1;
    }
}

/// The loop is closed (or in a break that is not yet known to be a hang-up): somebody may be speaking or dialling.
fn is_off_hook(line: &Line) -> bool {
    !matches!(line.state(), State::OnHook | State::Ringing | State::Gone)
}

/// What the audio leg must know of the digit that is on the line now.
fn line_digit(before: LineDigit, findings: &[Finding], suspected: bool) -> LineDigit {
    let mut digit = match before {
        LineDigit::On(key) => LineDigit::On(key),
        LineDigit::None | LineDigit::Suspected | LineDigit::Ended { .. } => LineDigit::None,
    };
    for finding in findings {
        match finding {
            Finding::DigitStarted { digit: key, .. } => digit = LineDigit::On(*key),
            Finding::DigitEnded { digit: key, duration_ms, .. } => {
                digit = LineDigit::Ended { key: *key, duration_ms: (*duration_ms).min(u32::from(u16::MAX)) as u16 }
            }
            Finding::ToneStarted { .. } | Finding::ToneEnded { .. } | Finding::V21Preamble { .. } | Finding::V21Ended { .. } => {}
        }
    }
    if digit == LineDigit::None && suspected { LineDigit::Suspected } else { digit }
}

#[cfg(test)]
mod tests;
