//! The jitter buffer: samples in by timestamp, frames out by the tick, with as little delay as the network allows.
//!
//! A ring of samples addressed by RTP timestamp. Packets of any length, in any order, land where they belong; the playout point only
//! moves forward, so nothing can be reordered and nothing is played twice. The delay is what adapts. For each packet we note the
//! playout offset that it would have needed; the playout point is kept above a high quantile of those. Too low: a frame is held back
//! (concealed) once. Too high for some seconds: a frame is dropped, in silence if there is any, else blended into its neighbour. Clock
//! drift between the ends is the same thing, slowly. Nothing stretches time here; in fixed playout (fax over G.711, where a dropped frame
//! costs a page) the buffer only says by how many parts per million its reader should, see [`Buffer::read_ppm`]. RFC 3550 appendix A.8 is not used for this: its mean
//! says nothing of the tail, and the tail is what is late.

use crate::clock::{Instant, ms};
use crate::limits::{JITTER_SAMPLES, JITTER_WINDOW};
use tipring_dsp::{FRAME_SAMPLES, SILENCE};

/// Microseconds of one sample.
const SAMPLE_US: i64 = 125;
/// Microseconds of one frame.
const FRAME_US: i64 = 20_000;
/// Kept between the quantile of arrivals and playout: the tick's own lateness and the clocks' grain.
const GUARD_US: i64 = 2_000;
/// Further slack wanted before a frame is dropped, so that drop and hold do not alternate.
const HYSTERESIS_US: i64 = 4_000;
/// Too much delay for this long: a silent frame is dropped.
const SHRINK_SILENT_TICKS: u32 = 150;
/// Too much delay for this long and no silence: a frame is blended away.
const SHRINK_LOUD_TICKS: u32 = 500;
/// Too little delay for this many ticks and no silence or gap to hide in: a frame is held anyway.
const GROW_LOUD_TICKS: u32 = 3;
/// Nothing but late packets for this long is a new path, not jitter.
const LATE_RUN_MS: u64 = 160;
/// No audio for this long: the next packet starts afresh (a pause, hold, or a restarted sender).
const STARVED_SAMPLES: i64 = 8000;
/// Two packets that are out of range but this near each other are believed.
const AGREE_SAMPLES: u32 = 1600;
/// Mean magnitude under which a frame counts as silent: about -45 dBm0.
const SILENT_MEAN: u32 = 90;

/// Fixed playout: a depth that is off is won back over this many seconds.
const FOLLOW_S: f64 = 40.0;
/// Fixed playout: no two clocks differ by more, and modems follow this much.
const FOLLOW_PPM_MAX: f64 = 300.0;

/// Bounds of the playout delay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The least time that the fastest packet waits.
    pub min_ms: u16,
    /// The least time that the first packet waits.
    pub start_ms: u16,
    /// The most time that the fastest packet waits.
    pub max_ms: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { min_ms: 2, start_ms: 20, max_ms: 200 }
    }
}

/// Whether the delay follows the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Playout {
    /// Voice: as short as the network allows.
    Adaptive,
    /// Fax over G.711: this deep, no frame dropped or held; the reader follows the sender's clock.
    Fixed {
        /// How long the first packet waits.
        depth_ms: u16,
    },
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// All of it will be played.
    Kept,
    /// Some or all of it came after its time.
    Late,
    /// Its timestamp is nowhere near; dropped, but remembered.
    OutOfRange,
    /// The second of its kind: playout started over with it.
    Resynced,
}

/// What a frame pulled from the buffer is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pulled {
    /// Nothing has come, or nothing for a second.
    Idle,
    /// The first packet waits for its time.
    Filling,
    /// Every sample is there.
    Whole,
    /// Some samples are missing; see `present`.
    Part,
    /// All samples are missing.
    Missing,
    /// Two frames blended into one: the delay shrank.
    Merged,
    /// Nothing was taken: the delay grew. To be concealed.
    Held,
}

/// How often the buffer did what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames held back to grow the delay.
    pub held: u64,
    /// Frames dropped or merged to shrink it.
    pub dropped: u64,
    /// Times that playout started over.
    pub resyncs: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Empty,
    Filling { ticks_left: u8 },
    Playing,
}

/// The buffer of one receiving direction.
#[derive(Clone, Debug)]
pub struct Buffer {
    limits: Limits,
    playout: Playout,
    samples: Box<[i16]>,
    present: Box<[bool]>,
    state: State,
    /// Extended timestamp of the next sample to be played.
    play: i64,
    /// Extended timestamp after the newest sample.
    newest: i64,
    /// An extended timestamp and its RTP form, from which others are extended.
    anchor: (i64, u32),
    /// When the next pull is expected.
    next_tick: Instant,
    needs: Needs,
    /// Where to start the next time: what the last stretch turned out to need.
    learned_us: i64,
    shrink_ticks: u32,
    grow_ticks: u32,
    late_since: Option<Instant>,
    stranger: Option<u32>,
    drift: Drift,
    /// Fixed playout: how long the fastest packets waited at the beginning.
    nominal_wait_us: Option<i64>,
    read_ppm: f64,
    /// Frames to hold back until fixed playout has its depth.
    holds_left: u8,
    counters: Counters,
}

impl Buffer {
    /// An empty buffer. The only place that allocates.
    pub fn new(limits: Limits, playout: Playout) -> Self {
        Buffer {
            limits,
            playout,
            samples: vec![0; JITTER_SAMPLES].into_boxed_slice(),
            present: vec![false; JITTER_SAMPLES].into_boxed_slice(),
            state: State::Empty,
            play: 0,
            newest: 0,
            anchor: (0, 0),
            next_tick: Instant::ZERO,
            needs: Needs::new(),
            learned_us: 0,
            shrink_ticks: 0,
            grow_ticks: 0,
            late_since: None,
            stranger: None,
            drift: Drift::default(),
            nominal_wait_us: None,
            read_ppm: 0.0,
            holds_left: 0,
            counters: Counters::default(),
        }
    }

    /// Changes how playout works, in the stream: nothing that was received is lost. Fixed playout gets its depth by holding frames back.
    pub fn set_playout(&mut self, playout: Playout) {
        if playout == self.playout {
            return;
        }
        self.playout = playout;
        (self.nominal_wait_us, self.read_ppm, self.holds_left) = (None, 0.0, 0);
        if let (Playout::Fixed { depth_ms }, State::Playing) = (playout, self.state) {
            let waits = self.next_tick.as_us() as i64 - self.play * SAMPLE_US - self.needs.least;
            self.holds_left = ((i64::from(depth_ms) * 1000 - waits + FRAME_US - 1) / FRAME_US).clamp(0, 15) as u8;
        }
    }

    /// Forgets the stream (a new SSRC, a new peer) but not the counters.
    pub fn reset(&mut self) {
        self.present.fill(false);
        self.state = State::Empty;
        self.needs.clear();
        self.learned_us = 0;
        self.late_since = None;
        self.stranger = None;
        self.drift = Drift::default();
        (self.nominal_wait_us, self.read_ppm, self.holds_left) = (None, 0.0, 0);
    }

    /// Takes a packet's samples, at most [`crate::limits::AUDIO_PACKET_SAMPLES_MAX`] of them.
    pub fn insert(&mut self, now: Instant, timestamp: u32, samples: &[i16]) -> Inserted {
        if self.state == State::Empty {
            self.start(now, timestamp);
            self.write(timestamp, samples);
            return Inserted::Kept;
        }
        let at = self.extend(timestamp);
        let end = at + samples.len() as i64;
        let ring = JITTER_SAMPLES as i64;
        if end > self.play + ring || at < self.play - ring {
            return self.meet_stranger(now, timestamp, samples);
        }
        self.stranger = None;
        if at < self.play && matches!(self.state, State::Filling { .. }) && self.newest.max(end) - at <= ring {
            // A reordered first packet, and playout has not begun: it goes first.
            self.play = at;
        }
        self.needs.push(self.need_us(now, at));
        self.drift.rx(now, now.as_us() as i64 - at * SAMPLE_US);
        if end <= self.play {
            return self.came_late(now, timestamp, samples);
        }
        self.late_since = None;
        let late = at < self.play;
        self.write(timestamp, samples);
        if late { Inserted::Late } else { Inserted::Kept }
    }

    /// The next 20 ms: a frame, or with fixed playout as many samples as the reader's resampler wants for one. `present` is as long as
    /// `out` and says for each sample whether it was received; the others are nought.
    pub fn pull(&mut self, now: Instant, out: &mut [i16], present: &mut [bool]) -> Pulled {
        self.next_tick = now + ms(20);
        out.fill(0);
        present.fill(false);
        match self.state {
            State::Empty => Pulled::Idle,
            State::Filling { ticks_left } if ticks_left > 0 => {
                self.state = State::Filling { ticks_left: ticks_left - 1 };
                Pulled::Filling
            }
            State::Filling { .. } => {
                self.state = State::Playing;
                self.take(out, present)
            }
            State::Playing if self.play - self.newest > STARVED_SAMPLES => {
                self.learned_us = self.needs.spread_us();
                self.present.fill(false);
                self.needs.clear();
                self.state = State::Empty;
                Pulled::Idle
            }
            State::Playing => self.play(now, out, present),
        }
    }

    /// How long the fastest recent packet waits before it is played, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        match self.state {
            State::Empty => 0,
            State::Filling { .. } | State::Playing => {
                let offset = self.next_tick.as_us() as i64 - self.play * SAMPLE_US;
                ((offset - self.needs.least).max(0) / 1000) as u32
            }
        }
    }
    /// Samples between the playout point and the newest sample; never above [`JITTER_SAMPLES`].
    pub fn depth_samples(&self) -> usize {
        (self.newest - self.play).max(0) as usize
    }
    /// How much faster the sender's clock runs than ours, in parts per million; 0 until 20 s were heard.
    pub fn drift_ppm(&self) -> f32 {
        self.drift.ppm
    }
    /// With fixed playout: by how much faster than its own clock the reader should read, in parts per million.
    pub fn read_ppm(&self) -> f64 {
        self.read_ppm
    }
    /// How often the buffer did what.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn start(&mut self, now: Instant, timestamp: u32) {
        let at = i64::from(timestamp);
        (self.play, self.newest, self.anchor) = (at, at, (at, timestamp));
        let wanted = match self.playout {
            Playout::Adaptive => {
                let learned = self.learned_us + GUARD_US;
                learned.clamp(i64::from(self.limits.start_ms) * 1000, i64::from(self.limits.max_ms.max(self.limits.start_ms)) * 1000)
            }
            Playout::Fixed { depth_ms } => i64::from(depth_ms) * 1000,
        };
        // A tick that is overdue may come at once: nothing is to be hoped from it.
        let first = self.next_tick.since(now).as_micros() as i64;
        let ticks = ((wanted - first).max(0) + FRAME_US - 1) / FRAME_US;
        self.state = State::Filling { ticks_left: ticks.min(15) as u8 };
        self.needs.push(now.as_us() as i64 - at * SAMPLE_US);
        self.drift.rx(now, now.as_us() as i64 - at * SAMPLE_US);
        (self.shrink_ticks, self.grow_ticks, self.late_since, self.stranger) = (0, 0, None, None);
    }

    fn extend(&self, timestamp: u32) -> i64 {
        self.anchor.0 + i64::from(timestamp.wrapping_sub(self.anchor.1) as i32)
    }

    /// The playout offset (time minus timestamp) that would just have been enough for this packet, given where frames begin.
    fn need_us(&self, now: Instant, at: i64) -> i64 {
        let into_frame = match self.playout {
            Playout::Adaptive => (at - self.play).rem_euclid(FRAME_SAMPLES as i64),
            // Read by fractions, frames begin anywhere; the depth has room for it.
            Playout::Fixed { .. } => 0,
        };
        now.as_us() as i64 - (at - into_frame) * SAMPLE_US
    }

    fn write(&mut self, timestamp: u32, samples: &[i16]) {
        let at = self.extend(timestamp);
        for (i, s) in samples.iter().enumerate() {
            let t = at + i as i64;
            if t >= self.play {
                let slot = (t as usize) & (JITTER_SAMPLES - 1);
                self.samples[slot] = *s;
                self.present[slot] = true;
            }
        }
        let end = at + samples.len() as i64;
        if end > self.newest {
            self.newest = end;
            self.anchor = (at, timestamp);
        }
    }

    fn came_late(&mut self, now: Instant, timestamp: u32, samples: &[i16]) -> Inserted {
        let since = *self.late_since.get_or_insert(now);
        if now.ms_since(since) < LATE_RUN_MS {
            return Inserted::Late;
        }
        self.resync(now, timestamp, samples)
    }

    fn meet_stranger(&mut self, now: Instant, timestamp: u32, samples: &[i16]) -> Inserted {
        match self.stranger.replace(timestamp) {
            Some(before) if timestamp.wrapping_sub(before) <= AGREE_SAMPLES => self.resync(now, timestamp, samples),
            Some(_) | None => Inserted::OutOfRange,
        }
    }

    fn resync(&mut self, now: Instant, timestamp: u32, samples: &[i16]) -> Inserted {
        let learned = self.needs.spread_us();
        self.reset();
        self.learned_us = learned;
        self.counters.resyncs += 1;
        self.start(now, timestamp);
        self.write(timestamp, samples);
        Inserted::Resynced
    }

    fn play(&mut self, now: Instant, out: &mut [i16], present: &mut [bool]) -> Pulled {
        self.needs.settle();
        if self.playout != Playout::Adaptive {
            if self.holds_left > 0 {
                self.holds_left -= 1;
                self.counters.held += 1;
                return Pulled::Held;
            }
            self.follow(now);
            return self.take(out, present);
        }
        let offset = now.as_us() as i64 - self.play * SAMPLE_US;
        if self.wants_more(offset) {
            self.grow_ticks += 1;
            if self.grow_ticks > GROW_LOUD_TICKS || self.is_quiet(self.play) {
                self.grow_ticks = 0;
                self.counters.held += 1;
                return Pulled::Held;
            }
        } else {
            self.grow_ticks = 0;
        }
        if self.shrink(offset) { self.merge(out, present) } else { self.take(out, present) }
    }

    fn wants_more(&self, offset: i64) -> bool {
        offset < self.needs.quantile + GUARD_US && offset - self.needs.least < i64::from(self.limits.max_ms) * 1000
    }

    fn shrink(&mut self, offset: i64) -> bool {
        if offset - self.needs.least > i64::from(self.limits.max_ms) * 1000 + FRAME_US {
            return true;
        }
        let after = offset - FRAME_US;
        let spare = after - (self.needs.quantile + GUARD_US + HYSTERESIS_US);
        let enough = after - self.needs.least >= i64::from(self.limits.min_ms) * 1000;
        if spare < 0 || !enough {
            self.shrink_ticks = 0;
            return false;
        }
        self.shrink_ticks += 1;
        if self.shrink_ticks > SHRINK_SILENT_TICKS && self.is_quiet(self.play) {
            // More of it may go in the same silence.
            self.shrink_ticks -= 10;
            return true;
        }
        let overdue = self.shrink_ticks > SHRINK_LOUD_TICKS;
        if overdue {
            self.shrink_ticks -= 50;
        }
        overdue
    }

    /// The frame at `at` is silent or not there.
    fn is_quiet(&self, at: i64) -> bool {
        let sum: u32 = (at..at + FRAME_SAMPLES as i64)
            .map(|t| (t as usize) & (JITTER_SAMPLES - 1))
            .map(|slot| if self.present[slot] { u32::from(self.samples[slot].unsigned_abs()) } else { 0 })
            .sum();
        sum < SILENT_MEAN * FRAME_SAMPLES as u32
    }

    fn take(&mut self, out: &mut [i16], present: &mut [bool]) -> Pulled {
        let mut got = 0;
        let n = out.len().min(present.len());
        for i in 0..n {
            let slot = ((self.play + i as i64) as usize) & (JITTER_SAMPLES - 1);
            if self.present[slot] {
                out[i] = self.samples[slot];
                present[i] = true;
                self.present[slot] = false;
                got += 1;
            }
        }
        self.play += n as i64;
        match got {
            0 => Pulled::Missing,
            _ if got == n => Pulled::Whole,
            _ => Pulled::Part,
        }
    }

    /// The reader's rate in fixed playout: what the clocks differ by, and enough beside it to win back the depth of the beginning.
    fn follow(&mut self, now: Instant) {
        let Some(least) = self.drift.take_closed_window() else { return };
        let waits = now.as_us() as i64 - self.play * SAMPLE_US - least;
        let nominal = *self.nominal_wait_us.get_or_insert(waits);
        let ppm = f64::from(self.drift.ppm) + (waits - nominal) as f64 / FOLLOW_S;
        self.read_ppm = ppm.clamp(-FOLLOW_PPM_MAX, FOLLOW_PPM_MAX);
    }

    fn merge(&mut self, out: &mut [i16], present: &mut [bool]) -> Pulled {
        self.counters.dropped += 1;
        let (mut first, mut had) = (SILENCE, [false; FRAME_SAMPLES]);
        self.take(&mut first, &mut had);
        let second = self.take(out, present);
        if second != Pulled::Whole {
            return second;
        }
        for i in 0..FRAME_SAMPLES.min(out.len()) {
            if had[i] {
                let (a, b) = (i32::from(first[i]), i32::from(out[i]));
                out[i] = ((a * (FRAME_SAMPLES - i) as i32 + b * i as i32) / FRAME_SAMPLES as i32) as i16;
            }
        }
        Pulled::Merged
    }
}

/// The playout offsets that the recent packets needed.
#[derive(Clone, Debug)]
struct Needs {
    window: [i64; JITTER_WINDOW],
    len: usize,
    next: usize,
    stale: bool,
    quantile: i64,
    least: i64,
}

impl Needs {
    fn new() -> Self {
        Needs { window: [0; JITTER_WINDOW], len: 0, next: 0, stale: false, quantile: 0, least: 0 }
    }
    fn clear(&mut self) {
        (self.len, self.next) = (0, 0);
    }
    fn push(&mut self, need_us: i64) {
        self.window[self.next] = need_us;
        self.next = (self.next + 1) % JITTER_WINDOW;
        self.len = (self.len + 1).min(JITTER_WINDOW);
        if self.len == 1 {
            (self.quantile, self.least) = (need_us, need_us);
        }
        self.stale = true;
    }
    /// Works the quantile out anew: one packet in fifty may be late; while there are fewer, none.
    fn settle(&mut self) {
        if !self.stale || self.len == 0 {
            return;
        }
        self.stale = false;
        let mut sorted = self.window;
        let sorted = &mut sorted[..self.len];
        let rank = self.len - 1 - self.len / 50;
        let (below, at, _) = sorted.select_nth_unstable(rank);
        self.quantile = *at;
        self.least = below.iter().copied().min().unwrap_or(*at);
    }
    fn spread_us(&self) -> i64 {
        self.quantile - self.least
    }
}

/// The sender's clock against ours: how the fastest packets' transit moves over ten-second windows.
#[derive(Clone, Debug, Default)]
struct Drift {
    first: Option<(Instant, i64)>,
    window: Option<(Instant, i64)>,
    closed: Option<i64>,
    ppm: f32,
}

impl Drift {
    fn rx(&mut self, now: Instant, transit_us: i64) {
        let (since, least) = *self.window.get_or_insert((now, transit_us));
        if now.ms_since(since) < 10_000 {
            self.window = Some((since, least.min(transit_us)));
            return;
        }
        self.window = Some((now, transit_us));
        self.closed = Some(least);
        let (began, base) = *self.first.get_or_insert((since, least));
        let us = (since - began).as_micros() as f32;
        if us > 0.0 {
            self.ppm = (base - least) as f32 / us * 1e6;
        }
    }
    /// The fastest packet's transit of a window that has just closed.
    fn take_closed_window(&mut self) -> Option<i64> {
        self.closed.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Rng;
    use proptest::prelude::*;
    use tipring_dsp::Frame;

    struct Rig {
        buffer: Buffer,
        now: Instant,
    }

    impl Rig {
        fn new(playout: Playout) -> Self {
            Rig { buffer: Buffer::new(Limits::default(), playout), now: Instant::from_ms(1000) }
        }
        /// The sample at a timestamp says where it belongs; never silent.
        fn sample(timestamp: u32) -> i16 {
            (timestamp % 20_000) as i16 + 1000
        }
        fn insert(&mut self, timestamp: u32, n: u32) -> Inserted {
            let samples: Vec<i16> = (0..n).map(|i| Self::sample(timestamp.wrapping_add(i))).collect();
            self.buffer.insert(self.now, timestamp, &samples)
        }
        fn pull(&mut self) -> (Pulled, Frame) {
            let (mut frame, mut present) = (SILENCE, [false; FRAME_SAMPLES]);
            let pulled = self.buffer.pull(self.now, &mut frame, &mut present);
            (pulled, frame)
        }
    }

    #[test]
    fn the_first_packet_waits_one_frame_and_reordered_ones_are_put_right() {
        let mut r = Rig::new(Playout::Adaptive);
        r.pull();
        r.now = r.now + ms(10);
        r.insert(320, 160);
        r.insert(160, 160);
        r.now = r.now + ms(10);
        assert_eq!(r.pull().0, Pulled::Filling);
        r.now = r.now + ms(20);
        let (pulled, frame) = r.pull();
        assert_eq!((pulled, frame[0], frame[159]), (Pulled::Whole, Rig::sample(160), Rig::sample(319)));
        r.now = r.now + ms(20);
        assert_eq!(r.pull().1[0], Rig::sample(320));
        r.now = r.now + ms(20);
        assert_eq!(r.pull().0, Pulled::Missing);
    }

    #[test]
    fn packets_of_every_length_become_whole_frames() {
        for packet_ms in [10u32, 20, 30, 40, 60] {
            let mut r = Rig::new(Playout::Adaptive);
            let mut whole = 0;
            for step in 0..600u32 {
                r.now = r.now + ms(10);
                if step % (packet_ms / 10) == 0 {
                    r.insert(step * 80, packet_ms * 8);
                }
                if step % 2 == 1 {
                    whole += u32::from(r.pull().0 == Pulled::Whole);
                }
            }
            assert!(whole >= 290, "{packet_ms} ms: {whole}");
        }
    }

    #[test]
    fn a_timestamp_jump_is_believed_the_second_time() {
        let mut r = Rig::new(Playout::Adaptive);
        for n in 0..50 {
            r.now = r.now + ms(20);
            r.insert(n * 160, 160);
            r.pull();
        }
        assert_eq!(r.insert(3_000_000_000, 160), Inserted::OutOfRange);
        assert_eq!(r.insert(50 * 160, 160), Inserted::Kept, "one mad packet changes nothing");
        assert_eq!(r.insert(3_000_000_000, 160), Inserted::OutOfRange);
        assert_eq!(r.insert(3_000_000_160, 160), Inserted::Resynced);
    }

    #[test]
    fn a_path_that_becomes_longer_than_the_buffer_is_followed() {
        let mut r = Rig::new(Playout::Adaptive);
        let mut whole_at_end = 0;
        for n in 0..300u32 {
            r.now = r.now + ms(20);
            let sent = if n < 100 { Some(n) } else { n.checked_sub(18).filter(|s| *s >= 100) };
            if let Some(s) = sent {
                r.insert(s * 160, 160);
            }
            let (pulled, _) = r.pull();
            whole_at_end += u32::from(n >= 200 && pulled == Pulled::Whole);
        }
        assert!(whole_at_end >= 99, "{whole_at_end}");
    }

    proptest! {
        #[test]
        fn nothing_is_reordered_and_the_bound_holds(seed: u64, jitter_ms in 0u64..300, loss in 0.0f64..0.4, fixed: bool,
                                                    start: u32, samples in prop::sample::select(vec![80u32, 160, 240, 320, 480])) {
            let mut r = Rig::new(if fixed { Playout::Fixed { depth_ms: 200 } } else { Playout::Adaptive });
            let mut rng = Rng::new(seed);
            let mut flying: Vec<(u64, u32)> = Vec::new();
            let mut last: Option<u32> = None;
            let packet_ms = u64::from(samples / 8);
            for t in 0..4000u64 {
                r.now = Instant::from_ms(1000 + t);
                if t % packet_ms == 0 && !rng.chance(loss) {
                    flying.push((t + rng.below(jitter_ms + 1), (t * 8) as u32));
                }
                while let Some(i) = flying.iter().position(|(due, _)| *due <= t) {
                    let (_, at) = flying.remove(i);
                    // Values are relative to the start, so that order can be read off the samples.
                    let content: Vec<i16> = (0..samples).map(|i| (at + i) as i16 | 0x4000).collect();
                    r.buffer.insert(r.now, start.wrapping_add(at), &content);
                }
                prop_assert!(r.buffer.depth_samples() <= JITTER_SAMPLES);
                if t % 20 == 13 {
                    let (mut frame, mut present) = (SILENCE, [false; FRAME_SAMPLES]);
                    let resyncs = r.buffer.counters().resyncs;
                    let pulled = r.buffer.pull(r.now, &mut frame, &mut present);
                    if resyncs == 0 && matches!(pulled, Pulled::Whole | Pulled::Part) {
                        for i in 0..FRAME_SAMPLES {
                            if present[i] {
                                let v = u32::from(frame[i] as u16) & 0x3FFF;
                                if let Some(before) = last {
                                    let step = v.wrapping_sub(before) & 0x3FFF;
                                    prop_assert!(step > 0 && step < 0x2000, "went back from {before} to {v}");
                                }
                                last = Some(v);
                            }
                        }
                    }
                }
            }
        }
    }
}
