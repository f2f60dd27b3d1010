//! The audio leg: one direction of frames from the line to RTP, the other from RTP to the line.
//!
//! Sans-I/O and in the tick domain: [`AudioLeg::from_net`] for each datagram as it came, [`AudioLeg::tick`] once a frame; nothing is
//! allocated after [`AudioLeg::new`]. Every packet passes through [`Protection`], and what is not authentic has never been here.
//!
//! ```text
//! from_net -> open -> rtp::parse -> payload? -> latch -> rtp::Source -> jitter::Buffer -> plc -> to_line
//!                                                                    \-> telephone_event::Receiver -^
//! from_line -> mute while a digit is suspected -> g711 -> rtp::emit -> seal -> out
//! digit     -> telephone_event::Sender -------------------^
//! ```

use super::Channel;
use super::audio_config::{AudioConfig, Direction};
use super::audio_stats::AudioStats;
use super::comfort_noise::{MUTED_RMS, Noise, rms_of_dbov};
use super::jitter::{Buffer, Inserted, Playout, Pulled};
use super::latch::{Admission, Latch};
use super::protection::Protection;
use super::rtcp::{self, COMPOUND_BYTES_MAX, Compound, Outgoing, ReportBlock, Schedule, SenderInfo};
use super::rtp::{self, Arrival, HEADER_BYTES, PT_COMFORT_NOISE, Packet, Source};
use super::telephone_event::{self, EventPacket, Heard, LineDigit};
use crate::clock::{Instant, Rng};
use crate::limits::{AUDIO_PACKET_SAMPLES_MAX, DATAGRAM_BYTES_MAX, DIGITS_QUEUED_MAX};
use crate::srtp::{OVERHEAD_BYTES_MAX, Session};
use core::net::SocketAddr;
use heapless::Deque;
use tipring_dsp::g711::Law;
use tipring_dsp::plc::Concealer;
use tipring_dsp::resample::Resampler;
use tipring_dsp::{FRAME_SAMPLES, Frame, SILENCE};

/// Playout of fax over G.711: deep enough for most paths, short enough for T.30's timers.
const PASS_THROUGH_DEPTH_MS: u16 = 160;
/// Samples over which audio fades around a muted digit, and gaps are blended.
const FADE_SAMPLES: usize = 40;
/// No media for this long: what is played is no longer concealment of a loss.
const CONCEAL_MS: u64 = 1000;
/// So long after an event packet a gap in the audio is the peer's: it sent the event instead, and our playout lags behind.
const EVENT_GAP_MS: u64 = 300;

/// Takes a datagram of the leg: channel, destination, bytes.
pub type Out<'a> = dyn FnMut(Channel, SocketAddr, &[u8]) + 'a;

#[derive(Clone, Copy, Debug)]
struct ComfortNoise {
    rms: f32,
    /// Audio has come since; the first whole frame of it ends the noise.
    audio_follows: bool,
}

/// The leg.
#[derive(Debug)]
pub struct AudioLeg {
    config: AudioConfig,
    stats: AudioStats,
    rng: Rng,
    noise: Noise,

    // To the net.
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    bytes_sent: u64,
    /// The next audio packet opens a talk spurt.
    opens_spurt: bool,
    muted: bool,
    digits_out: telephone_event::Sender,

    // From the net.
    latch: Latch,
    source: Option<Source>,
    /// An SSRC that may replace the source's, and the sequence number that would prove it.
    next_source: Option<(u32, u16)>,
    buffer: Buffer,
    plc: Concealer,
    /// For pass-through.
    resampler: Resampler,
    comfort: Option<ComfortNoise>,
    digits_in: telephone_event::Receiver,
    heard_keys: Deque<u8, DIGITS_QUEUED_MAX>,
    lost_before: i64,

    // Reports and time.
    schedule: Schedule,
    remote_rtcp: SocketAddr,
    last_sr: Option<(u32, Instant)>,
    sent_at_report: u64,
    now: Option<Instant>,
    last_media: Option<Instant>,
    last_report: Option<Instant>,
    last_event: Option<Instant>,
}

impl AudioLeg {
    /// A leg that has neither sent nor heard anything. `seed` is for RTCP timing and noise.
    pub fn new(config: AudioConfig, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        AudioLeg {
            stats: AudioStats::default(),
            noise: Noise::new(rng.fork()),
            ssrc: config.ssrc,
            // In the lower half, so that a peer that misses our first packets does not take a roll-over for a beginning (RFC 3711 clause 3.3.1).
            sequence: if config.protection.is_wanted() { config.first_sequence & 0x7FFF } else { config.first_sequence },
            timestamp: config.first_timestamp,
            bytes_sent: 0,
            opens_spurt: true,
            muted: false,
            digits_out: telephone_event::Sender::new(),
            latch: Latch::new(config.remote_rtp),
            source: None,
            next_source: None,
            buffer: Buffer::new(config.jitter, playout(config.pass_through)),
            plc: Concealer::new(),
            resampler: Resampler::new(0.0),
            comfort: None,
            digits_in: telephone_event::Receiver::new(),
            heard_keys: Deque::new(),
            lost_before: 0,
            schedule: Schedule::new(rng.fork()),
            remote_rtcp: config.remote_rtcp,
            last_sr: None,
            sent_at_report: 0,
            now: None,
            last_media: None,
            last_report: None,
            last_event: None,
            rng,
            config,
        }
    }

    /// A datagram came in at `now` (the kernel's receive time, if the shell has it).
    pub fn from_net(&mut self, now: Instant, channel: Channel, source: SocketAddr, datagram: &[u8]) {
        self.begin(now);
        let is_rtcp = match channel {
            Channel::Rtp => rtp::looks_like_rtcp(datagram),
            Channel::Rtcp => true,
            Channel::Udptl => {
                self.stats.garbage += 1;
                return;
            }
        };
        if !self.config.protection.is_wanted() {
            return self.clear_from_net(now, is_rtcp, source, datagram);
        }
        let mut room = [0; DATAGRAM_BYTES_MAX];
        match self.config.protection.open(is_rtcp, datagram, &mut room) {
            Some(n) => self.clear_from_net(now, is_rtcp, source, &room[..n]),
            None => self.stats.without_keys += u64::from(matches!(self.config.protection, Protection::Awaiting)),
        }
    }

    fn clear_from_net(&mut self, now: Instant, is_rtcp: bool, source: SocketAddr, packet: &[u8]) {
        match is_rtcp {
            true => self.rtcp_from_net(now, source, packet),
            false => self.rtp_from_net(now, source, packet),
        }
    }

    /// 20 ms passed: `from_line` and what its DTMF receiver made of it go out, `to_line` is what the line hears next.
    pub fn tick(&mut self, now: Instant, from_line: &Frame, digit: LineDigit, to_line: &mut Frame, out: &mut Out) {
        self.begin(now);
        self.now = Some(now);
        self.play(now, to_line);
        self.send(from_line, digit, out);
        if self.schedule.is_due(now) {
            self.report(now, false, out);
        }
    }

    /// Hold, resume (RFC 3264 clause 8.4).
    pub fn set_direction(&mut self, direction: Direction) {
        if direction == self.config.direction {
            return;
        }
        if !direction.receives() {
            self.buffer.reset();
            self.comfort = None;
            self.digits_in.hush();
        }
        if !direction.sends() {
            self.digits_out.abandon();
        }
        self.opens_spurt = true;
        self.config.direction = direction;
        // The watchdog counts from here: a held peer had no reason to send.
        self.last_media = self.now;
    }

    /// The peer moved by signalling (re-INVITE). The same address again changes nothing that was learned since.
    pub fn set_remote(&mut self, rtp: SocketAddr, rtcp: SocketAddr) {
        if rtp == self.config.remote_rtp && rtcp == self.config.remote_rtcp {
            return;
        }
        if rtp != self.config.remote_rtp {
            self.latch = Latch::new(rtp);
            self.forget_source();
            self.last_media = self.now;
        }
        self.remote_rtcp = rtcp;
        (self.config.remote_rtp, self.config.remote_rtcp) = (rtp, rtcp);
    }

    /// RTCP on the RTP port or beside it.
    pub fn set_rtcp_mux(&mut self, shared: bool) {
        self.config.rtcp_mux = shared;
    }

    /// The keys are there, or there are new ones. Gives back the box that it does not need, to be freed elsewhere.
    pub fn secure(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        self.config.protection.secure(session)
    }

    /// Plays a digit that came by signalling (SIP INFO), behind those that came in RTP.
    pub fn play_digit(&mut self, now: Instant, key: u8, duration_ms: u16) {
        if self.config.direction.receives() && self.digits_in.play(now, key, duration_ms) {
            self.last_event = Some(now);
        }
    }

    /// Fax over G.711 on or off.
    pub fn set_pass_through(&mut self, on: bool) {
        self.config.pass_through = on;
        self.buffer.set_playout(playout(on));
    }

    /// Another law or payload type was agreed on.
    pub fn set_payload(&mut self, law: Law, payload_type: u8, telephone_event_pt: Option<u8>) {
        (self.config.law, self.config.payload_type, self.config.telephone_event_pt) = (law, payload_type, telephone_event_pt);
    }

    /// The next key that came as an event, for who wants to act on it; the line hears it in any case.
    pub fn take_digit(&mut self) -> Option<u8> {
        self.heard_keys.pop_front()
    }

    /// Says good-bye by RTCP, if anything was ever said (RFC 3550 clause 6.3.7).
    pub fn finish(&mut self, out: &mut Out) {
        if let Some(now) = self.now
            && (self.stats.sent > 0 || self.stats.rtcp_sent > 0)
        {
            self.report(now, true, out);
        }
    }

    /// What the leg has seen.
    pub fn stats(&self) -> AudioStats {
        let lost = self.lost_before + self.source.as_ref().map_or(0, Source::lost);
        AudioStats {
            lost: lost.max(0) as u64,
            jitter_ms: self.source.as_ref().map_or(0.0, |s| s.jitter_samples() as f32 / 8.0),
            playout_delay_ms: self.buffer.delay_ms(),
            playout: self.buffer.counters(),
            drift_ppm: self.buffer.drift_ppm(),
            digits_sent: self.digits_out.digits(),
            digits_received: self.digits_in.digits(),
            digits_overflow: self.digits_in.overflow(),
            protected_by: self.config.protection.name(),
            srtp: self.config.protection.counts(),
            ..self.stats
        }
    }

    /// Milliseconds since the last valid media or RTCP report (a muted peer that sends no silence lives by its reports); nought while we
    /// do not want any media.
    pub fn silent_ms(&self, now: Instant) -> u64 {
        if !self.config.direction.receives() {
            return 0;
        }
        self.last_media.max(self.last_report).map_or(0, |at| now.ms_since(at))
    }

    /// Neither media nor reports for longer than the watchdog allows.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.silent_ms(now) >= u64::from(self.config.watchdog_ms)
    }

    /// Whether media ever came.
    pub fn has_media(&self) -> bool {
        self.stats.received > 0
    }
    /// Who sends.
    pub fn direction(&self) -> Direction {
        self.config.direction
    }
    /// Where RTP goes at present.
    pub fn peer(&self) -> SocketAddr {
        self.latch.peer()
    }
    /// Our SSRC at present.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    fn begin(&mut self, now: Instant) {
        // The watchdog counts from the leg's first sign of life.
        self.last_media.get_or_insert(now);
    }
}

/// From the net.
impl AudioLeg {
    fn rtp_from_net(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Ok(packet) = Packet::parse(datagram) else {
            self.stats.garbage += 1;
            return;
        };
        let Some(payload) = self.payload_of(&packet) else {
            self.stats.garbage += 1;
            return;
        };
        let known = self.source.as_ref().map(Source::ssrc);
        match self.latch.admit(now, from, packet.ssrc, packet.sequence, known) {
            Admission::Peer => {}
            Admission::Moved => {
                self.stats.address_changes += 1;
                self.remote_rtcp = SocketAddr::new(from.ip(), self.remote_rtcp.port());
            }
            Admission::Foreign => {
                self.stats.foreign += 1;
                return;
            }
        }
        if self.collides(packet.ssrc) || !self.is_news(&packet) {
            return;
        }
        self.stats.received += 1;
        self.last_media = Some(now);
        if !self.config.direction.receives() {
            return;
        }
        match payload {
            Payload::Audio => self.audio_from_net(now, &packet),
            Payload::Event => self.event_from_net(now, &packet),
            Payload::ComfortNoise => {
                self.comfort = Some(ComfortNoise { rms: rms_of_dbov(packet.payload[0]), audio_follows: false });
            }
        }
    }

    fn payload_of(&self, packet: &Packet) -> Option<Payload> {
        let bytes = packet.payload.len();
        match packet.payload_type {
            pt if pt == self.config.payload_type => (1..=AUDIO_PACKET_SAMPLES_MAX).contains(&bytes).then_some(Payload::Audio),
            pt if Some(pt) == self.config.telephone_event_pt => (bytes >= telephone_event::PAYLOAD_BYTES).then_some(Payload::Event),
            PT_COMFORT_NOISE => (bytes >= 1).then_some(Payload::ComfortNoise),
            _ => None,
        }
    }

    /// Our own SSRC came from the peer: a collision (RFC 3550 clause 8.2). We take another, and the packet is not played. If that does
    /// not help it is our own stream coming back, from an echo test that reflects packets as they are: then it is what the peer sends.
    fn collides(&mut self, ssrc: u32) -> bool {
        if ssrc != self.ssrc || self.stats.ssrc_collisions > 0 {
            return false;
        }
        self.stats.ssrc_collisions += 1;
        self.ssrc = self.rng.next_u64() as u32;
        if self.config.protection.is_wanted() {
            // As at the beginning: another SSRC has a roll-over counter of its own.
            self.sequence &= 0x7FFF;
        }
        self.opens_spurt = true;
        true
    }

    /// True if the packet is one of the stream we follow and not seen before.
    fn is_news(&mut self, packet: &Packet) -> bool {
        let Some(source) = &mut self.source else {
            self.source = Some(Source::new(packet.ssrc, packet.sequence));
            return true;
        };
        if source.ssrc() != packet.ssrc {
            return self.is_proven_new_source(packet);
        }
        self.next_source = None;
        match source.update(packet.sequence) {
            Arrival::InOrder | Arrival::Restarted => true,
            Arrival::Reordered => {
                self.stats.reordered += 1;
                true
            }
            Arrival::Duplicate => {
                self.stats.duplicate += 1;
                false
            }
            Arrival::Jump => {
                self.stats.garbage += 1;
                false
            }
        }
    }

    /// Another SSRC from the peer's address takes over with its second packet in a row (RFC 3550 A.1: MIN_SEQUENTIAL).
    fn is_proven_new_source(&mut self, packet: &Packet) -> bool {
        if self.next_source != Some((packet.ssrc, packet.sequence)) {
            self.next_source = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
            self.stats.garbage += 1;
            return false;
        }
        self.forget_source();
        self.stats.ssrc_changes += 1;
        self.source = Some(Source::new(packet.ssrc, packet.sequence));
        true
    }

    fn forget_source(&mut self) {
        self.lost_before += self.source.take().map_or(0, |s| s.lost());
        self.next_source = None;
        self.buffer.reset();
        self.comfort = None;
        self.last_sr = None;
    }

    fn audio_from_net(&mut self, now: Instant, packet: &Packet) {
        let mut samples = [0i16; AUDIO_PACKET_SAMPLES_MAX];
        let n = self.config.law.decode_block(packet.payload, &mut samples);
        let source = self.source.as_mut().expect("is_news has set the source of every packet that comes here");
        if let Some(comfort) = &mut self.comfort {
            comfort.audio_follows = true;
        }
        match self.buffer.insert(now, packet.timestamp, &samples[..n]) {
            Inserted::Kept => source.arrived(now, packet.timestamp),
            Inserted::Late => {
                source.arrived(now, packet.timestamp);
                self.stats.late += 1;
            }
            Inserted::OutOfRange => self.stats.garbage += 1,
            Inserted::Resynced => source.forget_transit(),
        }
    }

    fn event_from_net(&mut self, now: Instant, packet: &Packet) {
        self.last_event = Some(now);
        match self.digits_in.rx(now, packet.timestamp, packet.payload) {
            Heard::NewDigit(key) => {
                // Full means that nobody takes them; who starts to wants the newest. The line has its own queue.
                if self.heard_keys.is_full() {
                    self.heard_keys.pop_front();
                }
                let _ = self.heard_keys.push_back(key);
            }
            Heard::Known | Heard::Other => {}
            Heard::Malformed => self.stats.garbage += 1,
        }
    }

    fn rtcp_from_net(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Ok(compound) = Compound::parse(datagram, self.ssrc) else {
            self.stats.garbage += 1;
            return;
        };
        self.schedule.saw(datagram.len());
        let peer_ssrc = self.source.as_ref().map(Source::ssrc);
        let ours = (from == self.remote_rtcp || from.ip() == self.latch.peer().ip()) && peer_ssrc.is_none_or(|s| s == compound.from_ssrc);
        if !ours {
            self.stats.foreign += 1;
            return;
        }
        if peer_ssrc.is_some() && !self.config.rtcp_mux {
            self.remote_rtcp = from;
        }
        self.stats.rtcp_received += 1;
        if !compound.bye {
            self.last_report = Some(now);
        }
        self.stats.far_said_bye |= compound.bye;
        if let Some(sender) = compound.sender {
            self.last_sr = Some((rtcp::ntp_middle(sender.ntp), now));
        }
        if let Some(block) = compound.about_us {
            self.stats.far_lost = block.lost;
            self.stats.far_fraction_lost = f32::from(block.fraction_lost) / 256.0;
            self.stats.far_jitter_ms = block.jitter_samples as f32 / 8.0;
            if let Some(us) = rtcp::round_trip_us(now, &block) {
                self.stats.rtt_ms = Some(us as f32 / 1000.0);
            }
        }
    }
}

/// To the line.
impl AudioLeg {
    fn play(&mut self, now: Instant, to_line: &mut Frame) {
        if !self.config.direction.receives() {
            *to_line = SILENCE;
            return;
        }
        let made_up = if self.config.pass_through { self.pass_through(now, to_line) } else { self.play_voice(now, to_line) };
        let is_tone = self.digits_in.tick(now, to_line);
        let is_alive = self.last_media.is_some_and(|at| now.ms_since(at) < CONCEAL_MS);
        let is_event = self.last_event.is_some_and(|at| now.ms_since(at) < EVENT_GAP_MS);
        if !is_tone && !is_event && is_alive {
            self.stats.concealed_ms += made_up as u64 / 8;
        }
    }

    fn play_voice(&mut self, now: Instant, to_line: &mut Frame) -> usize {
        let mut present = [false; FRAME_SAMPLES];
        let pulled = self.buffer.pull(now, to_line, &mut present);
        self.conceal(pulled, to_line, &present)
    }

    /// Fax: nothing is made up, and the two clocks are brought together sample by fraction of a sample.
    fn pass_through(&mut self, now: Instant, to_line: &mut Frame) -> usize {
        // At 300 ppm the resampler wants one sample more or less than a frame.
        let (mut samples, mut present) = ([0i16; FRAME_SAMPLES + 8], [false; FRAME_SAMPLES + 8]);
        self.resampler.set_ppm(self.buffer.read_ppm());
        let n = self.resampler.wants(FRAME_SAMPLES).min(samples.len());
        self.buffer.pull(now, &mut samples[..n], &mut present[..n]);
        *to_line = SILENCE;
        self.resampler.process(&samples[..n], to_line);
        0
    }

    /// Fills what was not received; says how many samples that were.
    fn conceal(&mut self, pulled: Pulled, frame: &mut Frame, present: &[bool; FRAME_SAMPLES]) -> usize {
        match pulled {
            Pulled::Whole | Pulled::Merged => {
                self.comfort = self.comfort.filter(|c| !c.audio_follows);
                self.plc.rx(frame);
                0
            }
            Pulled::Part => {
                let mut stand_in = SILENCE;
                self.fill_in(&mut stand_in);
                join(frame, &stand_in, present);
                self.plc.rx(frame);
                present.iter().filter(|p| !**p).count()
            }
            Pulled::Missing | Pulled::Held => {
                self.fill_in(frame);
                if self.comfort.is_some() { 0 } else { FRAME_SAMPLES }
            }
            Pulled::Idle | Pulled::Filling => {
                self.fill_in(frame);
                0
            }
        }
    }

    fn fill_in(&mut self, frame: &mut Frame) {
        match self.comfort {
            Some(c) => self.noise.tx(c.rms, frame),
            None => self.plc.fill_in(frame),
        }
    }
}

/// To the net.
impl AudioLeg {
    fn send(&mut self, from_line: &Frame, digit: LineDigit, out: &mut Out) {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(FRAME_SAMPLES as u32);
        if !self.config.direction.sends() {
            return;
        }
        if matches!(self.config.protection, Protection::Awaiting) {
            self.stats.without_keys += 1;
            return;
        }
        let event_pt = self.config.telephone_event_pt.filter(|_| !self.config.pass_through);
        let Some(event_pt) = event_pt else {
            return self.send_audio(from_line, timestamp, out);
        };
        let mut events: heapless::Vec<EventPacket, 8> = heapless::Vec::new();
        // At most three ends of the last digit, one segment, one update: the vector cannot be full.
        let instead = self.digits_out.tick(digit, timestamp, &mut |e| {
            let _ = events.push(e);
        });
        for e in &events {
            self.send_packet(event_pt, e.marker, e.timestamp, &e.payload, out);
        }
        let frame = self.without_digit(from_line, digit);
        if !instead {
            self.send_audio(&frame, timestamp, out);
        }
    }

    /// The frame with the digit's in-band tone replaced by quiet noise, faded at both ends.
    fn without_digit(&mut self, from_line: &Frame, digit: LineDigit) -> Frame {
        let mute = digit != LineDigit::None;
        let was_muted = core::mem::replace(&mut self.muted, mute);
        if !mute && !was_muted {
            return *from_line;
        }
        let mut frame = SILENCE;
        self.noise.tx(MUTED_RMS, &mut frame);
        for i in 0..FRAME_SAMPLES {
            let toward_end = i.min(FADE_SAMPLES) as i32;
            let share = match (was_muted, mute) {
                (false, _) => FADE_SAMPLES as i32 - toward_end,
                (true, false) => toward_end,
                (true, true) => 0,
            };
            let audio = i32::from(from_line[i]) * share / FADE_SAMPLES as i32;
            frame[i] = (audio + i32::from(frame[i])).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
        frame
    }

    fn send_audio(&mut self, frame: &Frame, timestamp: u32, out: &mut Out) {
        let mut payload = [0u8; FRAME_SAMPLES];
        self.config.law.encode_block(frame, &mut payload);
        let marker = core::mem::take(&mut self.opens_spurt);
        self.send_packet(self.config.payload_type, marker, timestamp, &payload, out);
    }

    fn send_packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8], out: &mut Out) {
        let mut datagram = [0u8; HEADER_BYTES + FRAME_SAMPLES + OVERHEAD_BYTES_MAX];
        let packet = Packet { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        if let Ok(n) = packet.emit(&mut datagram) {
            self.sequence = self.sequence.wrapping_add(1);
            let Some(n) = self.config.protection.seal(false, &mut datagram, n) else { return };
            self.stats.sent += 1;
            self.bytes_sent += payload.len() as u64;
            out(Channel::Rtp, self.latch.peer(), &datagram[..n]);
        }
    }

    fn report(&mut self, now: Instant, bye: bool, out: &mut Out) {
        if matches!(self.config.protection, Protection::Awaiting) {
            return;
        }
        let sent_lately = self.stats.sent > self.sent_at_report;
        self.sent_at_report = self.stats.sent;
        let sender = sent_lately.then(|| SenderInfo {
            ntp: rtcp::ntp(now),
            rtp_timestamp: self.timestamp,
            packets: self.stats.sent as u32,
            bytes: self.bytes_sent as u32,
        });
        let last_sr = self.last_sr;
        let block = self.source.as_mut().map(|s| ReportBlock {
            ssrc: s.ssrc(),
            fraction_lost: s.take_fraction_lost(),
            lost: s.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_extended: s.highest_extended(),
            jitter_samples: s.jitter_samples(),
            last_sr: last_sr.map_or(0, |(middle, _)| middle),
            delay_since_last_sr: last_sr.map_or(0, |(_, at)| (now.since(at).as_micros() as u64 * 65_536 / 1_000_000) as u32),
        });
        let mut compound = [0u8; COMPOUND_BYTES_MAX];
        let n = Outgoing { ssrc: self.ssrc, sender, block, cname: &self.config.cname, bye }.emit(&mut compound);
        let mut datagram = [0u8; COMPOUND_BYTES_MAX + OVERHEAD_BYTES_MAX];
        datagram[..n].copy_from_slice(&compound[..n]);
        let Some(n) = self.config.protection.seal(true, &mut datagram, n) else { return };
        self.schedule.saw(n);
        self.stats.rtcp_sent += 1;
        match self.config.rtcp_mux {
            true => out(Channel::Rtp, self.latch.peer(), &datagram[..n]),
            false => out(Channel::Rtcp, self.remote_rtcp, &datagram[..n]),
        }
    }
}

#[derive(Clone, Copy)]
enum Payload {
    Audio,
    Event,
    ComfortNoise,
}

fn playout(pass_through: bool) -> Playout {
    if pass_through { Playout::Fixed { depth_ms: PASS_THROUGH_DEPTH_MS } } else { Playout::Adaptive }
}

/// Puts `stand_in` where `frame` has gaps, blended over a few samples where the one meets the other.
fn join(frame: &mut Frame, stand_in: &Frame, present: &[bool; FRAME_SAMPLES]) {
    const BLEND: usize = 16;
    let mut since_gap = BLEND;
    for i in 0..FRAME_SAMPLES {
        since_gap = if present[i] { (since_gap + 1).min(BLEND) } else { 0 };
        let before_gap = (i..(i + BLEND).min(FRAME_SAMPLES)).position(|k| !present[k]).unwrap_or(BLEND);
        let real = since_gap.min(before_gap) as i32;
        let blended = i32::from(frame[i]) * real + i32::from(stand_in[i]) * (BLEND as i32 - real);
        frame[i] = (blended / BLEND as i32) as i16;
    }
}
