//! The second pass over a capture: streams of G.711 become channels of audio, placed by their timestamps; events, SIP INFO and T.38 go
//! beside them into the decoder.
//!
//! A stream's timestamps say where its samples lie, so late, early and reordered packets cost nothing; only where they contradict the time of
//! capture by more than [`TRUST_SAMPLES`] (a restart, a new source behind the same SSRC, a gateway whose clock stood still on hold) the
//! stream is put where it was captured. Samples are held [`HOLD_SAMPLES`] for stragglers; what is later than that is counted.

use super::limits::{CAPTURE_S_MAX, GAP_S_MAX};
use super::pcap::{Datagram, Transport};
use super::survey::{Plan, StreamKey, StreamPlan, T38Plan, Use, looks_like_sip, sender_of};
use super::{Listener, Warnings, srtp};
use crate::clock::Instant;
use crate::fax::t38::ifp;
use crate::fax::t38::udptl::{self, Receiver};
use crate::media::rtp;
use crate::media::telephone_event::{self, Payload as EventPayload};
use crate::sip::message::{Message, Method};
use std::collections::BTreeMap;

/// How far a timestamp may lie from the time of capture, 0.75 s: more than any network delays, less than a pause people notice.
const TRUST_SAMPLES: i64 = 6000;
/// How long samples wait for packets that were captured late.
const HOLD_SAMPLES: u64 = 8000;
/// Ring of one channel: the hold, the trust, and the longest packet.
const RING_SAMPLES: u64 = 32_768;
/// Samples handed to the listener at a time, of each channel by turns.
const TURN_SAMPLES: usize = 4000;
/// Samples in a packet that are taken: a second.
const PACKET_SAMPLES_MAX: usize = 8000;

/// What an SRTP stream was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SrtpStream {
    /// SSRC.
    pub ssrc: u32,
    /// Packets of it.
    pub packets: u64,
    /// Packets whose tag was right.
    pub authenticated: u64,
}

/// Plays a capture to a listener.
pub struct Player {
    start_ns: u64,
    /// Gaps taken out of the time so far, and the last time seen, ns.
    skipped_ns: u64,
    last_ns: u64,
    streams: BTreeMap<StreamKey, Stream>,
    images: Vec<Image>,
    lanes: Vec<Lane>,
    callers: BTreeMap<Vec<u8>, Vec<u8>>,
    info_seen: Vec<(Vec<u8>, u32)>,
    /// All packets have the same time: only timestamps place them.
    timeless: bool,
    scratch: Vec<u8>,
    warnings: Warnings,
}

struct Stream {
    plan: StreamPlan,
    srtp: Option<srtp::Context>,
    /// A timestamp and the sample where it lies.
    anchor: Option<(u32, i64)>,
    event: Option<Event>,
    /// Timestamps of events that are told.
    told: [Option<u32>; 8],
    told_at: usize,
    late: u64,
    jumps: u64,
}

#[derive(Clone, Copy)]
struct Event {
    timestamp: u32,
    code: u8,
    at: i64,
    samples: u16,
}

struct Image {
    plan: T38Plan,
    receiver: Receiver,
    bad_datagrams: u64,
    bad_packets: u64,
}

/// One channel of audio in the making.
struct Lane {
    ring: Vec<i16>,
    /// Samples handed to the listener.
    told: u64,
    /// End of what was written.
    written: u64,
}

impl Player {
    /// A player of what the survey found.
    pub fn new(plan: &Plan) -> Player {
        let streams = plan.streams.iter().map(|p| {
            let srtp = p.srtp.as_ref().map(srtp::Context::new);
            (p.key, Stream { plan: p.clone(), srtp, anchor: None, event: None, told: [None; 8], told_at: 0, late: 0, jumps: 0 })
        });
        let images = plan.t38.iter().map(|p| Image { plan: *p, receiver: Receiver::new(), bad_datagrams: 0, bad_packets: 0 });
        let lane = || Lane { ring: vec![0; RING_SAMPLES as usize], told: 0, written: 0 };
        let lanes = if plan.streams.is_empty() { 0 } else { plan.channels };
        Player {
            start_ns: plan.start_ns,
            skipped_ns: 0,
            last_ns: plan.start_ns,
            streams: streams.collect(),
            images: images.collect(),
            lanes: (0..lanes).map(|_| lane()).collect(),
            callers: plan.callers.clone(),
            info_seen: Vec::new(),
            timeless: plan.seconds == 0.0,
            scratch: Vec::new(),
            warnings: Warnings::default(),
        }
    }

    /// Takes a datagram.
    pub fn datagram(&mut self, d: &Datagram<'_>, to: &mut dyn Listener) {
        let t = self.time(d.at_ns);
        if looks_like_sip(d.payload) {
            return self.sip(t, d.payload, to);
        }
        if d.transport != Transport::Udp {
            return;
        }
        if !self.rtp(t, d, to) {
            self.t38(t, d, to);
        }
    }

    /// The capture is over.
    pub fn finish(&mut self, to: &mut dyn Listener) {
        for s in self.streams.values_mut() {
            s.tell_event(to);
            let ssrc = s.plan.key.ssrc;
            if s.late > 0 {
                self.warnings.say(format!("stream {ssrc:08x}: {} packets came more than a second late and were left out", s.late));
            }
            if s.jumps > 0 {
                self.warnings
                    .say(format!("stream {ssrc:08x}: timestamps jumped {} times; the audio was put where it was captured", s.jumps));
            }
            if let Some(c) = s.srtp.as_ref().filter(|c| c.authenticated() < c.packets()) {
                self.warnings.say(format!(
                    "stream {ssrc:08x}: {} of {} SRTP packets are not authentic",
                    c.packets() - c.authenticated(),
                    c.packets()
                ));
            }
        }
        let end = self.lanes.iter().map(|l| l.written.max(l.told)).max().unwrap_or(0);
        self.play_to(end, to);
        // What redundancy could not fill until now is told at the end, on the same shortened clock as all before it.
        let t = self.time(self.last_ns);
        for image in &mut self.images {
            image.tell(t, Instant::from_ms(u64::MAX / 2_000_000), to);
            let stats = image.receiver.stats();
            let name = format!("T.38 {} -> {}", image.plan.source, image.plan.destination);
            if stats.by_redundancy + stats.by_fec + stats.lost > 0 {
                self.warnings.say(format!(
                    "{name}: {} packets recovered by redundancy, {} by FEC, {} lost",
                    stats.by_redundancy, stats.by_fec, stats.lost
                ));
            }
            if image.bad_datagrams + image.bad_packets > 0 {
                self.warnings
                    .say(format!("{name}: {} datagrams were not UDPTL, {} packets were not IFP", image.bad_datagrams, image.bad_packets));
            }
        }
        for w in self.warnings.take() {
            to.warn(w);
        }
    }

    /// SRTP streams and how many of their packets were authentic.
    pub fn srtp(&self) -> Vec<SrtpStream> {
        let of = |s: &Stream| {
            s.srtp.as_ref().map(|c| SrtpStream { ssrc: s.plan.key.ssrc, packets: c.packets(), authenticated: c.authenticated() })
        };
        self.streams.values().filter_map(of).collect()
    }

    /// Seconds from the start of the recording, with gaps that no recording has taken out.
    fn time(&mut self, at_ns: u64) -> f64 {
        let gap = at_ns.saturating_sub(self.last_ns);
        let gap_max = (GAP_S_MAX * 1e9) as u64;
        if gap > gap_max {
            self.skipped_ns += gap - gap_max;
            self.warnings.say(format!("a gap of {:.0} s in the capture was shortened to {GAP_S_MAX:.0} s", gap as f64 * 1e-9));
        }
        self.last_ns = self.last_ns.max(at_ns);
        (at_ns.saturating_sub(self.start_ns).saturating_sub(self.skipped_ns) as f64 * 1e-9).min(CAPTURE_S_MAX)
    }

    /// True if it was RTP of a stream that is played.
    fn rtp(&mut self, t: f64, d: &Datagram<'_>, to: &mut dyn Listener) -> bool {
        if rtp::looks_like_rtcp(d.payload) {
            return false;
        }
        let Ok(packet) = rtp::Packet::parse(d.payload) else { return false };
        let key = StreamKey { source: d.source, destination: d.destination, ssrc: packet.ssrc };
        let Some(stream) = self.streams.get_mut(&key) else { return false };
        let mut clear = core::mem::take(&mut self.scratch);
        let packet = match &mut stream.srtp {
            None => Some(packet),
            Some(context) => {
                if context.unprotect(d.payload, &mut clear) {
                    rtp::Packet::parse(&clear).ok()
                } else {
                    None
                }
            }
        };
        let captured = if self.timeless { None } else { Some((t * 8000.0) as i64) };
        let mut due = captured.unwrap_or(0);
        if let Some(p) = packet {
            let lane = self.lanes.get_mut(stream.plan.channel);
            match (stream.plan.uses.get(&p.payload_type).copied(), lane) {
                (Some(Use::Audio(law)), Some(lane)) => {
                    stream.tell_event_before(p.timestamp, to);
                    let octets = &p.payload[..p.payload.len().min(PACKET_SAMPLES_MAX)];
                    let at = stream.place(p.timestamp, captured, 0);
                    due = due.max(at);
                    // What is further ahead than the ring reaches makes the ring move on.
                    let end = at.max(0) as u64 + octets.len() as u64;
                    if end > lane.told + RING_SAMPLES {
                        let told = end - RING_SAMPLES;
                        play(&mut self.lanes, told, to);
                    }
                    if let Some(lane) = self.lanes.get_mut(stream.plan.channel) {
                        stream.late += u64::from(!lane.write(at, octets.iter().map(|o| law.decode(*o))));
                    }
                }
                (Some(Use::Event), _) => {
                    if let Some(e) = EventPayload::parse(p.payload) {
                        stream.event(&p, e, captured, to);
                    }
                }
                _ => {
                    stream.place(p.timestamp, captured, 0);
                }
            }
        }
        self.scratch = clear;
        let told = u64::try_from(due).unwrap_or(0).saturating_sub(HOLD_SAMPLES);
        self.play_to(told, to);
        true
    }

    fn play_to(&mut self, end: u64, to: &mut dyn Listener) {
        play(&mut self.lanes, end, to);
    }

    fn t38(&mut self, t: f64, d: &Datagram<'_>, to: &mut dyn Listener) {
        let Some(image) = self.images.iter_mut().find(|i| i.plan.source == d.source && i.plan.destination == d.destination) else { return };
        match udptl::parse(d.payload) {
            Ok(datagram) => {
                image.receiver.receive(&datagram);
                image.tell(t, Instant::from_us((t * 1e6) as u64), to);
            }
            // RTP of the same ports before the call switched to T.38.
            Err(_) if d.payload.first().is_some_and(|b| b & 0xC0 == 0x80) => {}
            Err(_) => image.bad_datagrams += 1,
        }
    }

    fn sip(&mut self, t: f64, bytes: &[u8], to: &mut dyn Listener) {
        let Ok(message) = Message::parse(bytes) else { return };
        if message.method() != Some(&Method::Info) {
            return;
        }
        let Some((digit, ms)) = info_digit(&message) else { return };
        // A retransmission, or the same request seen before and behind a proxy.
        let (Ok(call_id), Ok(cseq)) = (message.call_id(), message.cseq()) else { return };
        let from_tag = message.from().ok().and_then(|f| f.tag().map(<[u8]>::to_vec)).unwrap_or_default();
        let name = ([call_id, &from_tag[..]].concat(), cseq.number);
        if self.info_seen.contains(&name) {
            return;
        }
        if self.info_seen.len() == 64 {
            self.info_seen.remove(0);
        }
        self.info_seen.push(name);
        to.telephone_event(t, sender_of(&message, &self.callers), digit, ms);
    }
}

/// The digit of an INFO: `application/dtmf-relay` ("Signal=5", "Duration=160") or `application/dtmf` ("5").
fn info_digit(message: &Message) -> Option<(char, u32)> {
    let kind = message.content_type()?.to_ascii_lowercase();
    if !kind.starts_with("application/dtmf") {
        return None;
    }
    let body = core::str::from_utf8(&message.body).ok()?;
    let (mut signal, mut ms) = (None, 0);
    for line in body.lines() {
        match line.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("signal") => signal = Some(value.trim()),
            Some((name, value)) if name.trim().eq_ignore_ascii_case("duration") => ms = value.trim().parse().unwrap_or(0),
            Some(_) => {}
            None => signal = signal.or(Some(line.trim()).filter(|l| !l.is_empty())),
        }
    }
    let digit = match signal?.as_bytes() {
        [one] => char::from(one.to_ascii_uppercase()),
        b"10" => '*',
        b"11" => '#',
        _ => return None,
    };
    telephone_event::code_of(digit as u8).map(|_| (digit, ms))
}

impl Stream {
    /// Where a timestamp lies, in samples from the start of the recording. `behind`: how long before its capture it was the time.
    fn place(&mut self, timestamp: u32, captured: Option<i64>, behind: i64) -> i64 {
        let expected = captured.map(|c| c - behind);
        let at = match (self.anchor, expected) {
            (None, expected) => expected.unwrap_or(0),
            (Some((then, at)), expected) => {
                let by_timestamp = at + i64::from(timestamp.wrapping_sub(then) as i32);
                match expected {
                    Some(e) if (by_timestamp - e).abs() > TRUST_SAMPLES => {
                        self.jumps += 1;
                        e
                    }
                    _ => by_timestamp,
                }
            }
        };
        // Within a day of eight thousand samples a second, whatever the timestamps do.
        let at = at.clamp(0, (CAPTURE_S_MAX * 8000.0) as i64);
        self.anchor = Some((timestamp, at));
        at
    }

    fn event(&mut self, packet: &rtp::Packet<'_>, e: EventPayload, captured: Option<i64>, to: &mut dyn Listener) {
        if self.told.contains(&Some(packet.timestamp)) {
            return;
        }
        match &mut self.event {
            Some(active) if active.timestamp == packet.timestamp => active.samples = active.samples.max(e.duration_samples),
            _ => {
                self.tell_event(to);
                let at = self.place(packet.timestamp, captured, i64::from(e.duration_samples));
                self.event = Some(Event { timestamp: packet.timestamp, code: e.event, at, samples: e.duration_samples });
            }
        }
        if e.end {
            self.tell_event(to);
        }
    }

    /// Audio behind an event whose end was lost ends it.
    fn tell_event_before(&mut self, timestamp: u32, to: &mut dyn Listener) {
        if let Some(e) = self.event
            && timestamp.wrapping_sub(e.timestamp) as i32 > i32::from(e.samples) + 800
        {
            self.tell_event(to);
        }
    }

    fn tell_event(&mut self, to: &mut dyn Listener) {
        let Some(e) = self.event.take() else { return };
        self.told[self.told_at] = Some(e.timestamp);
        self.told_at = (self.told_at + 1) % self.told.len();
        if let Some(key) = telephone_event::key_of(e.code) {
            to.telephone_event(e.at as f64 / 8000.0, self.plan.direction, char::from(key), u32::from(e.samples) / 8);
        }
    }
}

impl Image {
    /// Hands on the packets whose turn has come.
    fn tell(&mut self, t: f64, now: Instant, to: &mut dyn Listener) {
        let (direction, syntax) = (self.plan.direction, self.plan.syntax);
        while let Some(received) = self.receiver.pop(now) {
            if received.missing > 0 {
                to.t38_missing(t, direction);
            }
            let parsed = if received.padded { ifp::parse_padded(received.ifp, syntax) } else { ifp::parse(received.ifp, syntax) };
            match parsed {
                Ok(packet) => to.t38(t, direction, &packet),
                Err(_) => {
                    self.bad_packets += 1;
                    to.t38_missing(t, direction);
                }
            }
        }
    }
}

/// Hands all lanes to the listener up to `end`, by turns.
fn play(lanes: &mut [Lane], end: u64, to: &mut dyn Listener) {
    while lanes.iter().any(|l| l.told < end) {
        for (channel, lane) in lanes.iter_mut().enumerate() {
            lane.tell(channel, end, to);
        }
    }
}

impl Lane {
    /// False if it is too late for all of it.
    fn write(&mut self, at: i64, samples: impl ExactSizeIterator<Item = i16>) -> bool {
        let (at, count) = (at.max(0) as u64, samples.len() as u64);
        let end = at + count;
        if end <= self.told || end > self.told + RING_SAMPLES {
            return count == 0;
        }
        for (n, s) in (at..end).zip(samples) {
            if n >= self.told {
                self.ring[(n % RING_SAMPLES) as usize] = s;
            }
        }
        self.written = self.written.max(end);
        true
    }

    fn tell(&mut self, channel: usize, end: u64, to: &mut dyn Listener) {
        let from = (self.told % RING_SAMPLES) as usize;
        let count = (end.saturating_sub(self.told) as usize).min(TURN_SAMPLES).min(self.ring.len() - from);
        let part = &mut self.ring[from..from + count];
        to.feed(channel, part);
        part.fill(0);
        self.told += count as u64;
    }
}
