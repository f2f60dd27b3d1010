//! Digits outside the audio: RFC 4733 telephone-event, from the line's DTMF receiver to packets, and from packets to tones on the line.
//!
//! A digit is named by the timestamp of its start: whatever packets of it are lost or repeated, it is one digit. A digit that is still
//! held is reported every tick with a growing duration, so the far line hears it as long as it is pressed. The last packet goes three
//! times. Read RFC 4733 clauses 2.3 and 2.5 (2.5.1.3 for events longer than the duration field; 2.5.2.2 for a receiver that missed parts).

use crate::clock::Instant;
use crate::limits::DIGITS_QUEUED_MAX;
use heapless::Deque;
use tipring_dsp::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ};

/// Bytes of an event payload.
pub const PAYLOAD_BYTES: usize = 4;
/// Event code of a hook flash.
pub const FLASH: u8 = 16;
/// The key by which a hook flash is named where keys are named.
pub const FLASH_KEY: u8 = b'!';
/// A tone to the line is at least this long, however short the peer says it was: Q.24 receivers want 40 ms, old PBXs more.
const TONE_MIN_SAMPLES: u32 = 480;
/// Silence between two tones to the line.
const GAP_SAMPLES: u32 = 400;
/// A digit whose end has not come and that is not heard of for this long has ended: three lost updates and some jitter.
const UNHEARD_MS: u64 = 90;
/// The last packet of an event is sent this many times (RFC 4733 clause 2.5.1.4).
const END_PACKETS: u8 = 3;
/// Starts of events that are remembered against repeats.
const SEEN_MAX: usize = 16;
/// Level of each of the two frequencies toward the line: -8 dBm0, a telephone's own.
const TONE_PEAK: f64 = 9100.0;
/// The volume field that we send: -10 dBm0 as most do.
const VOLUME_SENT: u8 = 10;

/// What the line's DTMF receiver says of the frame just heard. Keys are ASCII: `0` to `9`, `*`, `#`, `A` to `D`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LineDigit {
    /// No digit.
    #[default]
    None,
    /// Perhaps the start of one: the audio is withheld.
    Suspected,
    /// This key is down.
    On(u8),
    /// The key went up; it was down this long. May come without any `On` if it was short.
    Ended {
        /// The key.
        key: u8,
        /// How long it was down.
        duration_ms: u16,
    },
}

/// Event code of a key (RFC 4733 table 3), if there is one.
pub fn code_of(key: u8) -> Option<u8> {
    match key {
        b'0'..=b'9' => Some(key - b'0'),
        b'*' => Some(10),
        b'#' => Some(11),
        b'A'..=b'D' => Some(12 + key - b'A'),
        b'a'..=b'd' => Some(12 + key - b'a'),
        FLASH_KEY => Some(FLASH),
        _ => None,
    }
}

/// Key of an event code, if it is a digit or a flash.
pub fn key_of(code: u8) -> Option<u8> {
    match code {
        0..=9 => Some(b'0' + code),
        10 => Some(b'*'),
        11 => Some(b'#'),
        12..=15 => Some(b'A' + code - 12),
        FLASH => Some(FLASH_KEY),
        _ => None,
    }
}

/// The event payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// Event code.
    pub event: u8,
    /// This is its end.
    pub end: bool,
    /// Level below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted so far.
    pub duration_samples: u16,
}

impl Payload {
    /// Reads the first event of a payload; more than one is legal but no gateway sends it.
    pub fn parse(bytes: &[u8]) -> Option<Payload> {
        let [event, flags, high, low] = *bytes.first_chunk::<PAYLOAD_BYTES>()?;
        Some(Payload { event, end: flags & 0x80 != 0, volume: flags & 0x3F, duration_samples: u16::from_be_bytes([high, low]) })
    }
    /// The four bytes.
    pub fn emit(&self) -> [u8; PAYLOAD_BYTES] {
        let [high, low] = self.duration_samples.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume & 0x3F, high, low]
    }
}

/// An event packet to be sent: the caller gives it sequence number and SSRC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventPacket {
    /// Timestamp of the event's start.
    pub timestamp: u32,
    /// First packet of the event.
    pub marker: bool,
    /// The payload.
    pub payload: [u8; PAYLOAD_BYTES],
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    code: u8,
    /// Start of the event, or of its current segment.
    timestamp: u32,
    /// Of the current segment.
    duration: u32,
    /// Of the segments before it.
    earlier: u32,
    announced: bool,
}

/// The sending side: one digit at a time, as the line says.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    active: Option<Sending>,
    ending: Option<(Sending, u8)>,
    /// A digit that we closed because the line fell silent about it, until the line's own word for its end.
    presumed_over: Option<(u8, u32)>,
    digits: u64,
}

impl Sender {
    /// Nothing to send.
    pub fn new() -> Self {
        Sender::default()
    }

    /// One tick: `timestamp` is that of the frame that `digit` is about. Calls `send` for each packet, in order.
    ///
    /// True if an event stands in for the audio in this tick.
    pub fn tick(&mut self, digit: LineDigit, timestamp: u32, send: &mut dyn FnMut(EventPacket)) -> bool {
        match digit {
            LineDigit::On(key) => match code_of(key) {
                Some(code) => self.key_down(code, timestamp, send),
                None => self.presume_over(timestamp),
            },
            LineDigit::Ended { key, duration_ms } => match code_of(key) {
                Some(code) => self.key_up(code, u32::from(duration_ms) * 8, timestamp, send),
                None => self.presume_over(timestamp),
            },
            LineDigit::None | LineDigit::Suspected => self.presume_over(timestamp),
        }
        match self.active {
            Some(_) => {
                self.send_update(send);
                true
            }
            None => self.send_end(send),
        }
    }

    /// Media stops (hold): what was being sent is not taken up again later.
    pub fn abandon(&mut self) {
        *self = Sender { digits: self.digits, ..Sender::default() };
    }

    /// Digits sent so far.
    pub fn digits(&self) -> u64 {
        self.digits
    }

    fn key_down(&mut self, code: u8, timestamp: u32, send: &mut dyn FnMut(EventPacket)) {
        match &mut self.active {
            Some(s) if s.code == code => s.duration += FRAME_SAMPLES as u32,
            Some(_) | None => {
                self.finish(0);
                self.flush(send);
                self.begin(code, timestamp, FRAME_SAMPLES as u32);
            }
        }
    }

    fn key_up(&mut self, code: u8, samples: u32, timestamp: u32, send: &mut dyn FnMut(EventPacket)) {
        match self.active {
            Some(s) if s.code == code => self.finish(samples),
            Some(_) | None => {
                if let Some((over, began)) = self.presumed_over.take()
                    && over == code
                    && timestamp.wrapping_sub(began) <= samples + 5 * FRAME_SAMPLES as u32
                {
                    return;
                }
                self.finish(0);
                self.flush(send);
                self.begin(code, timestamp, samples.clamp(1, u32::from(u16::MAX)));
                self.finish(0);
            }
        }
    }

    fn begin(&mut self, code: u8, timestamp: u32, duration: u32) {
        self.digits += 1;
        self.presumed_over = None;
        self.active = Some(Sending { code, timestamp, duration, earlier: 0, announced: false });
    }

    /// The line no longer speaks of the digit: it is over, as long as we have said.
    fn presume_over(&mut self, timestamp: u32) {
        if let Some(s) = self.active {
            self.presumed_over = Some((s.code, s.timestamp.wrapping_sub(s.earlier)));
            self.finish(0);
        } else if let Some((_, began)) = self.presumed_over
            && timestamp.wrapping_sub(began) > 10 * SAMPLE_RATE_HZ
        {
            self.presumed_over = None;
        }
    }

    fn finish(&mut self, in_all: u32) {
        if let Some(mut s) = self.active.take() {
            // What was said already cannot be taken back; a segment cannot outgrow its field.
            s.duration = s.duration.max(in_all.saturating_sub(s.earlier)).min(u32::from(u16::MAX));
            self.ending = Some((s, END_PACKETS));
        }
    }

    /// A new digit does not wait: what is left of the last one's end goes first.
    fn flush(&mut self, send: &mut dyn FnMut(EventPacket)) {
        while self.ending.is_some() {
            self.send_end(send);
        }
    }

    fn send_update(&mut self, send: &mut dyn FnMut(EventPacket)) {
        if let Some(s) = &mut self.active {
            let most = u32::from(u16::MAX);
            if s.duration > most {
                send(s.packet(false, most));
                s.timestamp = s.timestamp.wrapping_add(most);
                s.earlier += most;
                s.duration -= most;
            }
            send(s.packet(false, s.duration));
            s.announced = true;
        }
    }

    fn send_end(&mut self, send: &mut dyn FnMut(EventPacket)) -> bool {
        let Some((s, left)) = &mut self.ending else { return false };
        // The first end packet stands for this tick's audio, its repeats go beside it.
        let instead_of_audio = *left == END_PACKETS;
        send(s.packet(true, s.duration));
        s.announced = true;
        *left -= 1;
        if *left == 0 {
            self.ending = None;
        }
        instead_of_audio
    }
}

impl Sending {
    fn packet(&self, end: bool, duration: u32) -> EventPacket {
        let payload = Payload { event: self.code, end, volume: VOLUME_SENT, duration_samples: duration as u16 };
        EventPacket { timestamp: self.timestamp, marker: !self.announced, payload: payload.emit() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    code: u8,
    timestamp: u32,
    duration: u32,
    earlier: u32,
    ended: bool,
    heard: Instant,
}

/// The receiving side: packets to digits, each once, and digits to tones on the line.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    queue: Deque<Pending, DIGITS_QUEUED_MAX>,
    /// Starts that were heard, newest last; those of segments too.
    seen: Deque<u32, SEEN_MAX>,
    /// Samples of the front digit that were played.
    played: u32,
    /// Samples of silence still due after the last tone.
    gap: u32,
    tone: Tone,
    digits: u64,
    overflow: u64,
}

/// What an event packet brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A key that was not heard of before.
    NewDigit(u8),
    /// More about a digit that is known.
    Known,
    /// An event that is neither digit nor flash.
    Other,
    /// Too short to be an event.
    Malformed,
}

impl Receiver {
    /// Nothing heard.
    pub fn new() -> Self {
        Receiver::default()
    }

    /// Takes an event packet's payload.
    pub fn rx(&mut self, now: Instant, timestamp: u32, bytes: &[u8]) -> Heard {
        let Some(p) = Payload::parse(bytes) else { return Heard::Malformed };
        let Some(key) = key_of(p.event) else { return Heard::Other };
        let duration = u32::from(p.duration_samples);
        if let Some(known) = self.queue.iter_mut().rev().find(|d| d.timestamp == timestamp) {
            if known.code == p.event {
                known.duration = known.duration.max(duration);
                known.ended |= p.end;
                known.heard = now;
            }
            return Heard::Known;
        }
        if self.seen.iter().any(|t| *t == timestamp) {
            return Heard::Known;
        }
        self.remember(timestamp);
        if let Some(d) = self.queue.back_mut()
            && d.code == p.event
            && !d.ended
            && d.continues_at(timestamp)
        {
            d.earlier += u32::from(u16::MAX);
            (d.timestamp, d.duration, d.ended, d.heard) = (timestamp, duration, p.end, now);
            return Heard::Known;
        }
        self.digits += 1;
        if p.event != FLASH {
            let digit = Pending { code: p.event, timestamp, duration, earlier: 0, ended: p.end, heard: now };
            if self.queue.push_back(digit).is_err() {
                self.overflow += 1;
            }
        }
        Heard::NewDigit(key)
    }

    /// Takes a digit that did not come in RTP, whole as it is. False for what is no digit, or with the queue full (counted).
    pub fn play(&mut self, now: Instant, key: u8, duration_ms: u16) -> bool {
        let Some(code) = code_of(key).filter(|c| *c != FLASH) else { return false };
        self.digits += 1;
        // It is over before it is played, so that no event packet can be taken for more of it.
        let duration = u32::from(duration_ms) * SAMPLE_RATE_HZ / 1000;
        let digit = Pending { code, timestamp: 0, duration, earlier: 0, ended: true, heard: now };
        let kept = self.queue.push_back(digit).is_ok();
        self.overflow += u64::from(!kept);
        kept
    }

    /// Overwrites `frame` with what of a tone belongs in it; true if any of it is tone or the silence around one.
    pub fn tick(&mut self, now: Instant, frame: &mut Frame) -> bool {
        let mut at = 0;
        while at < FRAME_SAMPLES {
            let room = (FRAME_SAMPLES - at) as u32;
            if self.gap > 0 && !self.queue.is_empty() {
                let n = self.gap.min(room);
                frame[at..at + n as usize].fill(0);
                self.gap -= n;
                at += n as usize;
                continue;
            }
            let Some(digit) = self.queue.front().copied() else { break };
            let left = digit.samples_wanted(now, self.played).saturating_sub(self.played);
            if left == 0 {
                self.queue.pop_front();
                self.played = 0;
                self.gap = GAP_SAMPLES;
                continue;
            }
            if self.played == 0 {
                self.tone = Tone::of(digit.code);
            }
            let n = left.min(room);
            self.tone.tx(&mut frame[at..at + n as usize], self.played == 0, left <= room);
            self.played += n;
            at += n as usize;
        }
        // The silence after the last tone need not be silent, but it counts.
        self.gap = self.gap.saturating_sub((FRAME_SAMPLES - at) as u32);
        at > 0
    }

    /// Nothing more is played of what was heard so far; it still counts, and its repeats are still known.
    pub fn hush(&mut self) {
        self.queue.clear();
        (self.played, self.gap) = (0, 0);
    }

    /// Digits (and flashes) heard so far.
    pub fn digits(&self) -> u64 {
        self.digits
    }
    /// Digits that found the queue to the line full.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    fn remember(&mut self, timestamp: u32) {
        if self.seen.is_full() {
            self.seen.pop_front();
        }
        let _ = self.seen.push_back(timestamp);
    }
}

impl Pending {
    /// The next segment of a long event starts where this one's duration field ended.
    fn continues_at(&self, timestamp: u32) -> bool {
        timestamp == self.timestamp.wrapping_add(u32::from(u16::MAX))
    }
    /// How long the tone must be, as far as is known; a digit that still goes on wants one frame more than was played.
    fn samples_wanted(&self, now: Instant, played: u32) -> u32 {
        let known = (self.earlier + self.duration).max(TONE_MIN_SAMPLES);
        if !self.ended && now.ms_since(self.heard) < UNHEARD_MS { known.max(played + FRAME_SAMPLES as u32) } else { known }
    }
}

/// Two sines by recurrence.
#[derive(Clone, Copy, Debug, Default)]
struct Tone {
    sines: [Sine; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sine {
    twice_cos: f64,
    y1: f64,
    y2: f64,
}

impl Sine {
    fn of(hz: f64) -> Self {
        let w = core::f64::consts::TAU * hz / f64::from(SAMPLE_RATE_HZ);
        // Starts at phase nought: y[-1] = -sin(w), y[-2] = -sin(2w).
        Sine { twice_cos: 2.0 * w.cos(), y1: -w.sin(), y2: -(2.0 * w).sin() }
    }
    fn next(&mut self) -> f64 {
        let y = self.twice_cos * self.y1 - self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

impl Tone {
    /// The frequencies of ITU-T Q.23 for an event code 0 to 15.
    fn of(code: u8) -> Self {
        const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
        const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
        let (row, column) = match code {
            0 => (3, 1),
            1..=9 => (usize::from(code - 1) / 3, usize::from(code - 1) % 3),
            10 => (3, 0),
            11 => (3, 2),
            _ => (usize::from(code & 3), 3),
        };
        Tone { sines: [Sine::of(LOW[row]), Sine::of(HIGH[column])] }
    }
    /// Fills `out`; the first and last 2 ms of the whole tone are faded, so that it does not click.
    fn tx(&mut self, out: &mut [i16], starts: bool, ends: bool) {
        const FADE: usize = 16;
        let n = out.len();
        for (i, s) in out.iter_mut().enumerate() {
            let rise = if starts && i < FADE { (i + 1) as f64 / FADE as f64 } else { 1.0 };
            let fall = if ends && n - i <= FADE { (n - i) as f64 / FADE as f64 } else { 1.0 };
            let [a, b] = &mut self.sines;
            *s = ((a.next() + b.next()) * TONE_PEAK * rise.min(fall)) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;
    use proptest::prelude::*;

    /// Runs the line's words through a sender, one a tick.
    fn sent(line: &[LineDigit]) -> Vec<(usize, EventPacket)> {
        let mut s = Sender::new();
        let mut out = Vec::new();
        for (t, digit) in line.iter().enumerate() {
            s.tick(*digit, (t * 160) as u32, &mut |p| out.push((t, p)));
        }
        out
    }

    /// What a receiver makes of packets, with the milliseconds of tone that the line got.
    fn received(packets: &[(usize, EventPacket)]) -> (String, usize) {
        let mut r = Receiver::new();
        let (mut keys, mut tone) = (String::new(), 0);
        for t in 0..packets.last().map_or(0, |p| p.0) + 60 {
            let now = Instant::ZERO + ms(t as u64 * 20);
            for (_, p) in packets.iter().filter(|p| p.0 == t) {
                if let Heard::NewDigit(key) = r.rx(now, p.timestamp, &p.payload) {
                    keys.push(char::from(key));
                }
            }
            let mut frame = [0; FRAME_SAMPLES];
            r.tick(now, &mut frame);
            tone += frame.iter().filter(|s| **s != 0).count();
        }
        (keys, tone / 8)
    }

    fn press(key: u8, ticks: usize) -> Vec<LineDigit> {
        let mut line = vec![LineDigit::Suspected];
        line.extend(vec![LineDigit::On(key); ticks]);
        line.push(LineDigit::Ended { key, duration_ms: (ticks * 20 + 30) as u16 });
        line.extend([LineDigit::None; 5]);
        line
    }

    #[test]
    fn a_digit_is_started_updated_and_ended_three_times() {
        let packets = sent(&press(b'5', 4));
        let shape: Vec<_> = packets.iter().map(|(t, p)| (*t, p.marker, Payload::parse(&p.payload).unwrap())).collect();
        let p = |end, duration_samples| Payload { event: 5, end, volume: 10, duration_samples };
        assert_eq!(
            shape,
            [
                (1, true, p(false, 160)),
                (2, false, p(false, 320)),
                (3, false, p(false, 480)),
                (4, false, p(false, 640)),
                (5, false, p(true, 880)),
                (6, false, p(true, 880)),
                (7, false, p(true, 880)),
            ]
        );
        assert!(packets.iter().all(|(_, p)| p.timestamp == 160));
        assert_eq!(received(&packets).0, "5");
    }

    #[test]
    fn a_digit_survives_any_one_packet() {
        let packets = sent(&press(b'#', 4));
        for only in &packets {
            let (keys, tone_ms) = received(&[*only]);
            assert_eq!(keys, "#");
            assert!((58..=120).contains(&tone_ms), "{tone_ms}");
        }
    }

    #[test]
    fn a_digit_shorter_than_a_tick_still_goes_out() {
        let packets = sent(&[LineDigit::None, LineDigit::Ended { key: b'7', duration_ms: 12 }, LineDigit::None, LineDigit::None]);
        assert_eq!(packets.len(), 3);
        assert!(packets[0].1.marker && !packets[1].1.marker);
        let (keys, tone_ms) = received(&packets);
        assert_eq!(keys, "7");
        assert!((58..=60).contains(&tone_ms), "the line hears a digit long enough to be one: {tone_ms}");
    }

    #[test]
    fn the_same_key_pressed_twice_is_two_digits_with_a_gap() {
        let mut line = press(b'1', 2);
        line.truncate(4);
        line.extend(press(b'1', 2));
        let (keys, tone_ms) = received(&sent(&line));
        assert_eq!(keys, "11");
        assert!((130..=142).contains(&tone_ms), "{tone_ms}");
    }

    #[test]
    fn a_silence_about_a_digit_and_then_its_end_is_one_digit() {
        let on = LineDigit::On(b'9');
        let end = LineDigit::Ended { key: b'9', duration_ms: 100 };
        assert_eq!(received(&sent(&[on, on, LineDigit::None, end, LineDigit::None, LineDigit::None])).0, "9");
        assert_eq!(received(&sent(&[on, LineDigit::On(b'8'), end, LineDigit::None, LineDigit::None, LineDigit::None])).0, "989");
    }

    #[test]
    fn a_key_held_for_ten_seconds_is_one_long_tone() {
        let packets = sent(&press(b'0', 500));
        let (keys, tone_ms) = received(&packets);
        assert_eq!(keys, "0");
        assert!((9_950..=10_060).contains(&tone_ms), "{tone_ms}");
    }

    #[test]
    fn the_duration_of_the_tone_is_what_was_reported() {
        for ticks in [3usize, 5, 10, 25] {
            let want = ticks * 20 + 30;
            let (_, tone_ms) = received(&sent(&press(b'2', ticks)));
            assert!(tone_ms.abs_diff(want) <= 20, "{tone_ms} for {want}");
        }
    }

    proptest! {
        #[test]
        fn payloads_go_there_and_back(event: u8, end: bool, volume in 0u8..64, duration_samples: u16) {
            let p = Payload { event, end, volume, duration_samples };
            prop_assert_eq!(Payload::parse(&p.emit()), Some(p));
        }

        #[test]
        fn no_digit_is_doubled_whatever_is_lost_repeated_or_swapped(seed: u64) {
            let mut rng = crate::clock::Rng::new(seed);
            let mut line = Vec::new();
            for k in 0..8u8 {
                line.extend(press(b'0' + k, 1 + rng.below(6) as usize));
            }
            let mut packets = Vec::new();
            for (t, p) in sent(&line) {
                for _ in 0..rng.below(3) {
                    packets.push((t + rng.below(4) as usize, p));
                }
            }
            packets.sort_by_key(|p| p.0);
            let (keys, _) = received(&packets);
            let mut unique: Vec<char> = keys.chars().collect();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), keys.len());
        }
    }
}
