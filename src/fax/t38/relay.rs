//! The T.38 side of a fax call in the tick domain: datagrams on one side, 20 ms of line audio on the other.
//!
//! A [`T38Leg`] owns the whole path: UDPTL receiver and sender, IFP codec, filter, engine, observer. All memory is taken in `new`;
//! `from_net` and `tick` allocate nothing, read no clock and do bounded work. Read T.38 clause 9.1 (UDPTL) and clause 8 (T.30 over IFP).
//!
//! Switch-over: the leg is made when a re-INVITE is answered, some hundred milliseconds after the called machine began its V.21 preamble.
//! [`T38Leg::prime`] lets it hear what was on the line meanwhile, so that the DIS is not lost; the caller's leg starts idle.

mod latch;

use self::latch::Latch;
use super::engine::{Engine, LINE_SAMPLES, Step};
use super::filter::{Filter, FilterStats};
use super::ifp::{self, DataType, Indicator, Packet, Syntax};
use super::transport::{Arrived, Transport};
use super::udptl::{self, Class, ErrorCorrection, Receiver, ReceiverStats, Sender};
use crate::clock::Instant;
use crate::dtls::Records;
use crate::fax::t30::frame::Ident;
use crate::fax::t30::observer::{FaxRecord, Observer, Side};
use crate::identity::Clearance;
use crate::limits::{DATAGRAM_BYTES_MAX, IFP_BYTES_MAX, IFP_QUEUE};
use crate::srtp::{Counts, Session};
use core::net::{IpAddr, SocketAddr};
use tipring_dsp::{Frame, SILENCE};

/// From which address datagrams are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SourcePolicy {
    /// Only from the negotiated one.
    Exact,
    /// From the negotiated one; or from another port of the same host, or of the one that the peer's signalling comes from (a NAT in
    /// between), that sends a few valid datagrams in a row while the negotiated one is silent. Answers go there from then on, and nowhere
    /// else.
    #[default]
    Latch,
}

/// What was negotiated for the leg.
#[derive(Clone, Copy, Debug)]
pub struct T38Config {
    /// `T38FaxVersion` agreed: 0 speaks the ASN.1 of 1998, later ones that of 2002.
    pub version: u8,
    /// The peer's `T38FaxMaxDatagram`: no datagram to it is longer.
    pub max_datagram: usize,
    /// How our packets are protected.
    pub error_correction: ErrorCorrection,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// From where it may send.
    pub source: SourcePolicy,
    /// The host that the peer's signalling comes from.
    pub also_from: Option<IpAddr>,
    /// Lets the machines agree on ECM.
    pub ecm: bool,
    /// The fastest image modem, in bit/s (`T38MaxBitRate`).
    pub max_bps: u32,
    /// `T38FaxFillBitRemoval`.
    pub fill_bit_removal: bool,
    /// Leave for images to go out from the start (see [`T38Leg::set_cleared`]).
    pub cleared: Option<Clearance>,
}

impl T38Config {
    /// What a leg to this peer uses unless the negotiation says otherwise.
    pub const fn to(remote: SocketAddr) -> Self {
        T38Config {
            version: 0,
            max_datagram: 400,
            error_correction: ErrorCorrection::Redundancy { control: 3, image: 2 },
            remote,
            source: SourcePolicy::Latch,
            also_from: None,
            ecm: true,
            max_bps: 14400,
            fill_bit_removal: false,
            cleared: None,
        }
    }

    /// The same for a relay that stands in no call, and so waits for nobody to be verified.
    pub fn without_a_call(remote: SocketAddr) -> Self {
        T38Config { cleared: Some(Clearance::without_a_call()), ..T38Config::to(remote) }
    }
}

/// What a leg counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaxStats {
    /// The fax itself.
    pub record: FaxRecord,
    /// Datagrams taken from the peer.
    pub datagrams_in: u64,
    /// Datagrams given out, repeats included.
    pub datagrams_out: u64,
    /// Order and loss of what came in.
    pub received: ReceiverStats,
    /// Datagrams that are no UDPTL and packets that are no IFP.
    pub garbage: u64,
    /// Datagrams from strangers.
    pub foreign: u64,
    /// Packets that do not fit the peer's datagrams.
    pub unsendable: u64,
    /// Datagrams that were not sent because there were no keys for them (or no more).
    pub withheld: u64,
    /// Datagrams that the keys did not open: forged, repeated, or before there were any.
    pub unopened: u64,
    /// The SRTP profile's name, of a fax in RTP.
    pub protected_by: Option<&'static str>,
    /// What SRTP dropped, by reason.
    pub srtp: Counts,
    /// What the filter kept away.
    pub filtered: FilterStats,
    /// Packets the engine lost.
    pub engine_faults: u32,
}

/// What the event domain wants to know of a fax while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FaxNews {
    /// The called machine, behind the network, sent DIS: with this CSI before it, or with none.
    Station(Option<Ident>),
    /// Our machine announced a page, and that is held: there is no clearance. Said once.
    PageHeld,
}

/// A datagram is repeated this long after the last one went out: it keeps NAT bindings open and the peer's watchdog quiet while our side
/// only listens. It bears its old sequence number, so a receiver drops it.
const KEEPALIVE_MS: u64 = 1000;
/// Over RTP a repeat is no sign of life, so something is said anew: rarely, since it is heard.
const RTP_KEEPALIVE_MS: u64 = 3000;

/// Datagrams that open the way, one a tick: as many as a peer wants to see before it follows.
const OPENING: u8 = 3;

/// The T.38 leg of one call.
pub struct T38Leg {
    syntax: Syntax,
    /// Where signalling says the peer is.
    negotiated: SocketAddr,
    latch: Latch,
    source: SourcePolicy,
    transport: Transport,
    receiver: Receiver,
    sender: Sender,
    filter: Filter,
    engine: Box<dyn Engine>,
    observer: Observer,
    correction: ErrorCorrection,
    last: Box<[u8; DATAGRAM_BYTES_MAX]>,
    last_len: usize,
    last_sent: Instant,
    repeats: u8,
    opening: u8,
    /// The engine has said something but no-signal.
    spoke: bool,
    /// What goes on on the line here, as an indicator that can be said again.
    saying: Indicator,
    heard: Option<Instant>,
    /// When our side last had something other than no-signal to send.
    busy: Option<Instant>,
    now: Instant,
    started: Option<Instant>,
    counts: FaxStats,
    hold_told: bool,
}

#[cfg(feature = "spandsp")]
impl T38Leg {
    /// A leg over libspandsp's engine.
    pub fn new(config: &T38Config) -> Result<Self, tipring_dsp::spandsp::Error> {
        use tipring_dsp::spandsp::t38_gateway::GatewayConfig;
        let engine = super::engine::SpandspEngine::new(&GatewayConfig {
            ecm: config.ecm,
            max_bps: config.max_bps,
            fill_bit_removal: config.fill_bit_removal,
            ..GatewayConfig::default()
        })?;
        Ok(T38Leg::with_engine(config, Box::new(engine)))
    }
}

impl T38Leg {
    /// A leg over any engine.
    pub fn with_engine(config: &T38Config, engine: Box<dyn Engine>) -> Self {
        let mut filter = Filter::new();
        filter.set_cleared(config.cleared.is_some());
        T38Leg {
            syntax: Syntax::of_version(config.version),
            negotiated: config.remote,
            latch: Latch::new(config.remote, config.also_from),
            source: config.source,
            transport: Transport::default(),
            receiver: Receiver::new(),
            sender: Sender::new(config.error_correction, config.max_datagram),
            filter,
            engine,
            observer: Observer::new(),
            correction: config.error_correction,
            last: Box::new([0; DATAGRAM_BYTES_MAX]),
            last_len: 0,
            last_sent: Instant::ZERO,
            repeats: 0,
            opening: 0,
            spoke: false,
            saying: Indicator::NoSignal,
            heard: None,
            busy: None,
            now: Instant::ZERO,
            started: None,
            counts: FaxStats::default(),
            hold_told: false,
        }
    }
    /// Lets what the machine here sends of pages out. Before, only tones and T.30's control frames that say nothing of a page go: DCS, the
    /// training check and images wait until it is known who the peer is.
    pub fn set_cleared(&mut self, _by: Clearance) {
        self.filter.set_cleared(true);
    }
    /// What carries the packets, for a leg that has not begun.
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }
    /// What carries the packets.
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }
    /// The record layer is there, or there is another. Gives back the one that is not needed.
    pub fn secure(&mut self, records: Box<Records>) -> Option<Box<Records>> {
        self.transport.secure(records)
    }
    /// The SRTP keys of a fax in RTP are there, or there are new ones. Gives back the box that is not needed.
    pub fn secure_rtp(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        self.transport.secure_rtp(session)
    }
    /// Gives the record layer back, for the next leg of the same association: no two may seal under the same keys.
    pub fn take_records(&mut self) -> Option<Box<Records>> {
        self.transport.take_records()
    }
    /// The peer moved by signalling (re-INVITE in the middle of the fax): the stream goes on there. The same address again changes nothing
    /// that was learned since.
    pub fn redirect(&mut self, remote: SocketAddr, also_from: Option<IpAddr>, max_datagram: usize, correction: ErrorCorrection) {
        if self.negotiated != remote {
            self.negotiated = remote;
            self.latch = Latch::new(remote, also_from);
        }
        self.latch.set_also_from(also_from);
        self.correction = correction;
        self.sender.set_terms(correction, max_datagram);
    }
    /// Whether the peer ever sent anything.
    pub const fn has_media(&self) -> bool {
        self.heard.is_some()
    }
    /// Lets the engine hear what was on the line before the leg was made, oldest first: call it once, before the first tick. The packets
    /// this makes go out at once.
    pub fn prime(&mut self, now: Instant, heard: &[Frame], out: &mut dyn FnMut(SocketAddr, &[u8])) {
        self.begin(now);
        for frame in heard {
            self.hear_line(frame, out);
        }
    }
    /// A datagram came in. Strangers and garbage are counted and dropped. Returns whether it is (also) for the DTLS association.
    pub fn from_net(&mut self, now: Instant, src: SocketAddr, datagram: &[u8]) -> bool {
        self.begin(now);
        let known = src == self.remote();
        let may_latch = self.source == SourcePolicy::Latch && self.latch.may_be(src);
        if !known && !may_latch {
            self.counts.foreign += 1;
            return false;
        }
        // Out for a moment, so that what is in it can be handed to the rest of the leg.
        let mut transport = core::mem::take(&mut self.transport);
        let Arrived { dropped, for_association, .. } = transport.open(datagram, &mut |udptl| self.take_udptl(now, src, known, udptl));
        self.transport = transport;
        self.counts.unopened += u64::from(dropped);
        for_association
    }
    fn take_udptl(&mut self, now: Instant, src: SocketAddr, known: bool, datagram: &[u8]) {
        let Ok(parsed) = udptl::parse(datagram) else {
            self.counts.garbage += 1;
            return;
        };
        if !known && ifp::parse(parsed.primary, self.syntax).is_err() {
            self.counts.garbage += 1;
            return;
        }
        if !self.latch.admit(now, src, parsed.seq, self.receiver.newest()) {
            self.counts.foreign += 1;
            return;
        }
        self.counts.datagrams_in += 1;
        self.heard = Some(now);
        self.receiver.receive(&parsed);
        self.deliver(now);
    }
    /// 20 ms passed: `from_line` was heard, `to_line` is to be spoken, datagrams go to `out`.
    pub fn tick(&mut self, now: Instant, from_line: &Frame, to_line: &mut Frame, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        self.begin(now);
        self.deliver(now);
        let sent = self.counts.datagrams_out;
        self.hear_line(if self.filter.deaf() { &SILENCE } else { from_line }, out);
        self.engine.to_line(to_line);
        if self.filter.to_line(to_line) {
            self.engine.from_net(Step::Reset);
        }
        if !self.spoke && self.heard.is_none() && (self.opening < OPENING || self.now.ms_since(self.last_sent) >= KEEPALIVE_MS) {
            // A NAT on our side lets nothing in before something went out, and the machine here may be the one that listens first. Each is
            // a datagram of its own, so that a peer who looks for us elsewhere than we are can tell by their numbers where that is.
            self.opening = self.opening.saturating_add(1);
            self.send(&Packet::Indicator(Indicator::NoSignal), 1, out);
        }
        if self.counts.datagrams_out == sent {
            self.repeat(out);
        }
    }
    /// What the leg counts, and the record of the fax as it stands. Fixed size, no allocation.
    pub fn stats(&self) -> FaxStats {
        let (protected_by, srtp) = self.transport.srtp();
        FaxStats {
            protected_by,
            srtp,
            record: self.observer.record(),
            received: self.receiver.stats(),
            filtered: self.filter.stats(),
            engine_faults: self.engine.faults(),
            ..self.counts.clone()
        }
    }
    /// What happened that somebody outside must judge. Allocates nothing.
    pub fn poll_news(&mut self) -> Option<FaxNews> {
        if let Some(csi) = self.observer.poll_station() {
            return Some(FaxNews::Station(csi));
        }
        let held = !self.hold_told && self.filter.stats().no_clearance > 0;
        self.hold_told |= held;
        held.then_some(FaxNews::PageHeld)
    }
    /// How long the peer has been silent without a reason, in ms: since its last valid datagram, or since our side last had something to
    /// send (a peer that receives a page may send nothing for minutes), or since the leg began.
    pub fn silent_ms(&self) -> u64 {
        self.heard.max(self.busy).or(self.started).map_or(0, |t| self.now.ms_since(t))
    }
    /// Where datagrams go to: the negotiated address, or the one that was latched.
    pub const fn remote(&self) -> SocketAddr {
        self.latch.peer()
    }

    fn begin(&mut self, now: Instant) {
        self.now = now;
        self.transport.begin(now);
        if self.started.is_none() {
            (self.started, self.last_sent) = (Some(now), now);
        }
    }
    /// Hands to the engine what the receiver has ready.
    fn deliver(&mut self, now: Instant) {
        let T38Leg { receiver, filter, engine, observer, counts, syntax, .. } = self;
        while let Some(r) = receiver.pop(now) {
            if r.missing > 0 {
                observer.missing(Side::Net);
                filter.missing(r.missing, |step| engine.from_net(step));
            }
            let parsed = if r.padded { ifp::parse_padded(r.ifp, *syntax) } else { ifp::parse(r.ifp, *syntax) };
            match parsed {
                Ok(packet) => {
                    observer.packet(Side::Net, &packet);
                    filter.from_net(&packet, |step| engine.from_net(step));
                }
                Err(_) => {
                    // A hole in the stream like any other.
                    counts.garbage += 1;
                    observer.missing(Side::Net);
                    filter.missing(1, |step: Step<'_>| engine.from_net(step));
                }
            }
        }
    }
    fn hear_line(&mut self, frame: &Frame, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        for samples in frame.chunks_exact(LINE_SAMPLES) {
            self.engine.from_line(samples);
            self.collect(out);
        }
    }
    /// Sends what the engine has made.
    fn collect(&mut self, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        // An engine holds no more than its queue; the bound is for one that would not stop.
        for _ in 0..IFP_QUEUE {
            let Some((packet, copies)) = self.engine.poll() else { return };
            self.spoke |= !matches!(packet, Packet::Indicator(Indicator::NoSignal));
            self.observer.packet(Side::Line, &packet);
            let fate = self.filter.from_line(&packet);
            if fate.goes_out() {
                self.send(&packet, copies, out);
            }
            if fate.resets() {
                self.engine.from_net(Step::Reset);
            }
        }
    }
    fn send(&mut self, packet: &Packet, copies: u8, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        if self.correction == ErrorCorrection::None {
            // The new datagram will not protect the last one: its copies go out first.
            while self.repeats > 0 {
                self.repeat(out);
            }
        }
        if !matches!(packet, Packet::Indicator(Indicator::NoSignal)) {
            self.busy = Some(self.now);
        }
        self.saying = match packet {
            Packet::Indicator(indicator) => *indicator,
            // What follows the end of data, if nothing does.
            Packet::Data(_) => Indicator::NoSignal,
        };
        let class = match packet {
            Packet::Data(d) if d.modem() != DataType::V21 => Class::Image,
            Packet::Data(_) | Packet::Indicator(_) => Class::Control,
        };
        let mut octets = [0u8; IFP_BYTES_MAX + 16];
        let sent = packet.emit(self.syntax, &mut octets).ok().and_then(|n| self.sender.emit(&octets[..n], class, &mut self.last[..]));
        match sent {
            Some(len) => {
                self.last_len = len;
                self.repeats = copies.saturating_sub(1);
                self.put(out);
            }
            None => self.counts.unsendable += 1,
        }
    }
    /// A tick without anything new: the copies that are due, or a sign of life.
    fn repeat(&mut self, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        if self.repeats == 0 && self.transport.hears_no_repeats() {
            if self.last_len > 0 && self.now.ms_since(self.last_sent) >= RTP_KEEPALIVE_MS {
                self.send(&Packet::Indicator(self.saying), 1, out);
            }
            return;
        }
        if self.last_len > 0 && (self.repeats > 0 || self.now.ms_since(self.last_sent) >= KEEPALIVE_MS) {
            self.repeats = self.repeats.saturating_sub(1);
            self.put(out);
        }
    }
    fn put(&mut self, out: &mut dyn FnMut(SocketAddr, &[u8])) {
        self.last_sent = self.now;
        let Some(datagram) = self.transport.seal(&self.last[..self.last_len]) else {
            self.counts.withheld += 1;
            return;
        };
        self.counts.datagrams_out += 1;
        out(self.latch.peer(), datagram);
    }
}

#[cfg(all(test, feature = "spandsp"))]
mod dtls_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(all(test, feature = "spandsp"))]
mod rtp_tests;
#[cfg(test)]
mod tests;
