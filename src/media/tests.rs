//! Two legs and two links between them, in virtual time.

mod secure;

use super::fuzz::config;
use super::{AudioConfig, AudioLeg, Channel, Direction, LineDigit, rtp};
use crate::clock::{Instant, Rng, ms};
use crate::lab::netem::{Netem, Params};
use core::net::SocketAddr;
use core::time::Duration;
use tipring_dsp::{FRAME_SAMPLES, Frame, SILENCE};

type Datagram = (Channel, Vec<u8>);

fn near() -> AudioConfig {
    config()
}

fn far() -> AudioConfig {
    AudioConfig { remote_rtp: at(1, 4000), remote_rtcp: at(1, 4001), ssrc: 0x2222_2222, first_sequence: 9, first_timestamp: 77, ..config() }
}

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

/// One end: a leg, its tick, and the link that brings it datagrams.
struct End {
    leg: AudioLeg,
    next_tick: Instant,
    period: Duration,
    from_net: Netem<Datagram>,
    peer: [SocketAddr; 2],
    heard: Vec<i16>,
    keep: bool,
}

impl End {
    fn drain(&mut self, now: Instant) {
        while let Some((arrived, (channel, bytes))) = self.from_net.poll_at(now) {
            self.leg.from_net(arrived, channel, self.peer[usize::from(channel == Channel::Rtcp)], &bytes);
        }
    }
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

impl Pair {
    /// `phase` is how long after the near end's tick the far end's comes; `ppm` how much the near clock is faster.
    fn new(params: Params, seed: u64, phase: Duration, ppm: f64) -> Self {
        Pair::of([near(), far()], params, seed, phase, ppm)
    }

    fn of([near, far]: [AudioConfig; 2], params: Params, seed: u64, phase: Duration, ppm: f64) -> Self {
        let end = |config: AudioConfig, peer: u8, start: Instant, period, seed| End {
            leg: AudioLeg::new(config, seed),
            next_tick: start,
            period,
            from_net: Netem::new(params, seed),
            peer: [at(peer, 4000), at(peer, 4001)],
            heard: Vec::new(),
            keep: false,
        };
        let start = Instant::from_ms(5000);
        let period = |ppm: f64| Duration::from_nanos((20e6 * (1.0 - ppm / 1e6)) as u64);
        Pair { ends: [end(near, 2, start, period(ppm), seed * 2 + 1), end(far, 1, start + phase, period(0.0), seed * 2 + 2)], now: start }
    }

    /// Runs to the next tick of either end; says which.
    fn step(&mut self, line: &mut dyn FnMut(usize, u64, &mut Frame) -> LineDigit) -> usize {
        let who = usize::from(self.ends[1].next_tick < self.ends[0].next_tick);
        let now = self.ends[who].next_tick;
        self.now = now;
        let mut from_line = SILENCE;
        let digit = line(who, now.as_us(), &mut from_line);
        let [a, b] = &mut self.ends;
        let (me, other) = if who == 0 { (a, b) } else { (b, a) };
        me.drain(now);
        let mut to_line = SILENCE;
        let wire = &mut other.from_net;
        me.leg.tick(now, &from_line, digit, &mut to_line, &mut |channel, _, bytes| wire.send(now, (channel, bytes.to_vec())));
        if me.keep {
            me.heard.extend_from_slice(&to_line);
        }
        me.next_tick = now + me.period;
        who
    }

    fn run_ms(&mut self, n: u64, line: &mut dyn FnMut(usize, u64, &mut Frame) -> LineDigit) {
        let end = self.now + ms(n);
        while self.ends.iter().any(|e| e.next_tick < end) {
            self.step(line);
        }
    }
}

/// Something that is never silent, the same at both ends.
fn talk(_: usize, us: u64, frame: &mut Frame) -> LineDigit {
    for (i, s) in frame.iter_mut().enumerate() {
        let t = us as f64 / 1e6 + i as f64 / 8000.0;
        *s = (6000.0 * (t * 2700.0).sin() + 2000.0 * (t * 900.0).sin()) as i16;
    }
    LineDigit::None
}

/// Talk with pauses of a second in three.
fn conversation(who: usize, us: u64, frame: &mut Frame) -> LineDigit {
    if (us / 1_000_000).is_multiple_of(3) { LineDigit::None } else { talk(who, us, frame) }
}

/// Milliseconds from the mouth (the middle of a frame on the near line) to the ear (the same click on the far line).
fn mouth_to_ear_ms(params: Params, phase: Duration, settle_ms: u64) -> f64 {
    let mut pair = Pair::new(params, 5, phase, 0.0);
    pair.run_ms(settle_ms, &mut talk);
    let mut spoken_us = None;
    for _ in 0..40 {
        let mut click = |who: usize, us: u64, frame: &mut Frame| {
            if who == 0 && spoken_us.is_none() {
                // The frame handed in at `us` was spoken in the 20 ms before.
                frame[80] = 20_000;
                spoken_us = Some(us as f64 - 10_000.0);
            }
            LineDigit::None
        };
        pair.ends[1].keep = true;
        if pair.step(&mut click) == 1 {
            let heard = &mut pair.ends[1].heard;
            if let Some(i) = heard.iter().position(|s| *s > 10_000)
                && let Some(spoken) = spoken_us
            {
                // The frame given at `now` is heard in the 20 ms after.
                return (pair.now.as_us() as f64 + i as f64 * 125.0 - spoken) / 1000.0;
            }
            heard.clear();
        }
    }
    panic!("the click was never heard");
}

#[test]
fn req_k5_k6_mouth_to_ear_in_a_quiet_network_is_under_70_ms_at_any_phase() {
    let mut worst = (0.0f64, 0.0f64);
    for phase_us in (0..20_000).step_by(500) {
        let params = Params { delay: Duration::from_micros(500), jitter: Duration::from_micros(1000), ..Params::default() };
        let fresh = mouth_to_ear_ms(params, Duration::from_micros(phase_us), 400);
        let settled = mouth_to_ear_ms(params, Duration::from_micros(phase_us), 30_000);
        worst = (worst.0.max(fresh), worst.1.max(settled));
    }
    println!("mouth to ear, worst of 40 phases: {:.1} ms after 0.4 s, {:.1} ms after 30 s", worst.0, worst.1);
    assert!(worst.0 < 70.0 && worst.1 < 70.0, "{worst:?}");
}

#[test]
fn req_k6_no_digit_is_lost_or_doubled_over_200_seeds_of_a_bad_network() {
    for seed in 0..200u64 {
        let params = Params { loss: 0.05, delay: ms(30), jitter: ms(40), duplicate: 0.02, ..Params::default() };
        let mut pair = Pair::new(params, seed, ms(7), 0.0);
        let mut rng = Rng::new(seed);
        let dialled: String = (0..10).map(|_| char::from(b"0123456789*#"[rng.below(12) as usize])).collect();
        let keys = dialled.as_bytes();
        let mut tick = 0usize;
        // 60 ms down (one tick suspected), 80 ms up.
        let mut line = |who: usize, us: u64, frame: &mut Frame| {
            if who == 1 {
                return LineDigit::None;
            }
            talk(who, us, frame);
            tick += 1;
            let Some(key) = keys.get(tick / 7) else { return LineDigit::None };
            match tick % 7 {
                0 => LineDigit::Suspected,
                1 | 2 => LineDigit::On(*key),
                3 => LineDigit::Ended { key: *key, duration_ms: 60 },
                _ => LineDigit::None,
            }
        };
        pair.run_ms(3000, &mut line);
        let mut heard = String::new();
        while let Some(key) = pair.ends[1].leg.take_digit() {
            heard.push(char::from(key));
        }
        assert_eq!(heard, dialled, "seed {seed}");
        assert_eq!(pair.ends[0].leg.stats().digits_sent, 10);
    }
}

#[test]
fn a_suspected_digit_is_not_heard_in_band_and_without_events_it_is() {
    for events in [true, false] {
        let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
        if !events {
            for end in &mut pair.ends {
                end.leg.set_payload(config().law, 0, None);
            }
        }
        let mut line = |who: usize, us: u64, frame: &mut Frame| {
            talk(who, us, frame);
            if us >= 5_400_000 { LineDigit::Suspected } else { LineDigit::None }
        };
        pair.run_ms(600, &mut line);
        pair.ends[1].keep = true;
        pair.run_ms(200, &mut line);
        let peak = pair.ends[1].heard.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert_eq!(peak < 40, events, "peak {peak}");
        assert!(peak > 0, "muted is not dead");
    }
}

#[test]
fn clock_drift_of_200_ppm_for_ten_minutes_costs_a_frame_now_and_then_and_no_more() {
    for ppm in [200.0, -200.0] {
        let params = Params { delay: ms(20), jitter: ms(2), ..Params::default() };
        let mut pair = Pair::new(params, 11, ms(3), ppm);
        let mut worst_delay = 0;
        for _ in 0..600 {
            pair.run_ms(1000, &mut conversation);
            worst_delay = worst_delay.max(pair.ends[1].leg.stats().playout_delay_ms);
        }
        let s = pair.ends[1].leg.stats();
        println!(
            "{ppm} ppm, 600 s: held {} dropped {} resyncs {} late {} concealed {} ms, delay now {} ms, at most {} ms, measured {:.0} ppm",
            s.playout.held, s.playout.dropped, s.playout.resyncs, s.late, s.concealed_ms, s.playout_delay_ms, worst_delay, s.drift_ppm
        );
        // 200 ppm of 600 s is 120 ms: six frames.
        let net = s.playout.dropped as i64 - s.playout.held as i64;
        assert!((net - if ppm > 0.0 { 6 } else { -6 }).abs() <= 1, "{net}");
        assert!(s.playout.dropped + s.playout.held <= 14, "{:?}", s.playout);
        assert!(worst_delay <= 60 && s.playout.resyncs == 0 && s.concealed_ms < 1000 && s.late < 30, "{s:?}");
        assert!((f64::from(s.drift_ppm) - ppm).abs() < 20.0, "{}", s.drift_ppm);
    }
}

#[test]
fn the_delay_grows_with_jitter_and_comes_back() {
    let quiet = Params { delay: ms(20), jitter: ms(1), ..Params::default() };
    let mut pair = Pair::new(quiet, 3, ms(10), 0.0);
    pair.run_ms(10_000, &mut conversation);
    let before = pair.ends[1].leg.stats().playout_delay_ms;
    pair.ends[1].from_net.set_params(Params { jitter: ms(80), ..quiet });
    pair.run_ms(20_000, &mut conversation);
    let during = pair.ends[1].leg.stats();
    pair.run_ms(10_000, &mut conversation);
    let settled = pair.ends[1].leg.stats();
    pair.ends[1].from_net.set_params(quiet);
    pair.run_ms(60_000, &mut conversation);
    let after = pair.ends[1].leg.stats().playout_delay_ms;
    println!(
        "playout delay {before} ms, {} ms in 80 ms of jitter ({} of {} late), then {after} ms",
        during.playout_delay_ms, during.late, during.received
    );
    assert!(before <= 40 && (70..=130).contains(&during.playout_delay_ms) && after <= 40, "{before} {during:?} {after}");
    assert!(settled.late - during.late <= 25, "of 500 packets: {}", settled.late - during.late);
}

#[test]
fn garbage_neither_panics_nor_stops_the_stream_nor_moves_it() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    pair.run_ms(1000, &mut talk);
    let mut rng = Rng::new(99);
    let mut good = [0u8; 172];
    let sample = rtp::Packet { payload_type: 0, marker: false, sequence: 1, timestamp: 1, ssrc: 0x1111_1111, payload: &[0x55; 160] };
    sample.emit(&mut good).unwrap();
    let before = pair.ends[1].leg.stats();
    let peer = pair.ends[1].leg.peer();
    for n in 0..100_000u32 {
        let now = pair.now;
        let mut bytes = [0u8; 200];
        let len = rng.below(200) as usize;
        match n % 4 {
            0 => bytes.iter_mut().for_each(|b| *b = rng.next_u64() as u8),
            1 => {
                bytes[..172].copy_from_slice(&good);
                bytes[rng.below(12) as usize] ^= 1 << rng.below(8);
            }
            2 => {
                bytes[0] = 0x80 | rng.next_u64() as u8 & 0x3F;
                bytes[1] = 200 + rng.below(5) as u8;
                bytes[3] = rng.below(50) as u8;
            }
            _ => {
                bytes[..172].copy_from_slice(&good);
                for _ in 0..4 {
                    bytes[rng.below(172) as usize] = rng.next_u64() as u8;
                }
            }
        }
        let channel = if rng.chance(0.5) { Channel::Rtp } else { Channel::Rtcp };
        // Half from a stranger, half forged in the peer's name; of the mutated packets a few keep even its SSRC.
        let from = if rng.chance(0.5) { at(9, 9) } else { at(1, 4000) };
        if from == at(1, 4000) && n % 20 != 3 {
            bytes[8] ^= 0x40;
        }
        pair.ends[1].leg.from_net(now, channel, from, &bytes[..len]);
        if n % 100 == 0 {
            pair.run_ms(20, &mut talk);
        }
    }
    pair.run_ms(2000, &mut talk);
    let after = pair.ends[1].leg.stats();
    assert!(after.garbage + after.foreign > before.garbage + before.foreign + 85_000, "{after:?}");
    assert_eq!(pair.ends[1].leg.peer(), peer);
    pair.ends[1].keep = true;
    let concealed = pair.ends[1].leg.stats().concealed_ms;
    pair.run_ms(1000, &mut talk);
    assert_eq!(pair.ends[1].leg.stats().concealed_ms, concealed, "the stream goes on whole");
    assert!(pair.ends[1].heard.iter().any(|s| *s > 5000));
}

#[test]
fn hold_and_resume_keep_sequence_and_timestamp() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    pair.run_ms(1000, &mut talk);
    pair.ends[0].leg.set_direction(Direction::Inactive);
    pair.ends[1].leg.set_direction(Direction::Inactive);
    pair.run_ms(200, &mut talk);
    let sent = pair.ends[0].leg.stats().sent;
    pair.ends[1].keep = true;
    pair.run_ms(30_000, &mut talk);
    assert_eq!(pair.ends[0].leg.stats().sent, sent);
    assert!(pair.ends[1].heard.iter().all(|s| *s == 0));
    assert!(!pair.ends[1].leg.is_silent(pair.now), "nobody expects media on hold");
    pair.ends[0].leg.set_direction(Direction::SendRecv);
    pair.ends[1].leg.set_direction(Direction::SendRecv);
    pair.run_ms(100, &mut talk);
    pair.ends[1].heard.clear();
    pair.run_ms(1000, &mut talk);
    let s = pair.ends[1].leg.stats();
    assert_eq!((s.lost, s.late, s.garbage), (0, 0, 0));
    assert!(pair.ends[1].heard.chunks(FRAME_SAMPLES).all(|f| f.iter().any(|s| s.abs() > 1000)));
}

#[test]
fn a_peer_that_starts_over_with_another_ssrc_is_followed() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    pair.run_ms(1000, &mut talk);
    pair.ends[0].leg = AudioLeg::new(AudioConfig { ssrc: 0x3333_3333, first_sequence: 30_000, first_timestamp: 5, ..near() }, 77);
    pair.run_ms(200, &mut talk);
    pair.ends[1].keep = true;
    pair.run_ms(1000, &mut talk);
    assert_eq!(pair.ends[1].leg.stats().ssrc_changes, 1);
    assert!(pair.ends[1].heard.chunks(FRAME_SAMPLES).all(|f| f.iter().any(|s| s.abs() > 1000)));
}

#[test]
fn sequence_and_timestamp_wrap_unheard() {
    // The near end starts 36 packets before the wrap of its numbers and half a second before that of its timestamps.
    let mut pair = Pair::new(Params { loss: 0.0, jitter: ms(5), delay: ms(5), ..Params::default() }, 1, ms(5), 0.0);
    pair.run_ms(3000, &mut talk);
    let s = pair.ends[1].leg.stats();
    assert_eq!((s.lost, s.garbage, s.playout.resyncs, s.ssrc_changes), (0, 0, 0, 0));
    assert!(s.concealed_ms <= 40, "{}", s.concealed_ms);
}

#[test]
fn a_peer_behind_translation_is_found_and_a_stranger_is_not() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    pair.ends[1].peer = [at(200, 61_000), at(200, 61_001)];
    pair.run_ms(1000, &mut talk);
    assert_eq!(pair.ends[1].leg.peer(), at(200, 61_000));
    assert_eq!(pair.ends[1].leg.stats().address_changes, 1);
    let mut bytes = [0u8; 172];
    for n in 0..200u16 {
        let p = rtp::Packet {
            payload_type: 0,
            marker: false,
            sequence: n,
            timestamp: 160 * u32::from(n),
            ssrc: 0x1111_1111,
            payload: &[0x55; 160],
        };
        p.emit(&mut bytes).unwrap();
        let now = pair.now;
        pair.ends[1].leg.from_net(now, Channel::Rtp, at(66, 6), &bytes);
        pair.run_ms(20, &mut talk);
    }
    assert_eq!(pair.ends[1].leg.peer(), at(200, 61_000));
    assert_eq!(pair.ends[1].leg.stats().foreign, 202, "two before the latch closed and two hundred of the stranger's");
}

#[test]
fn reports_tell_round_trip_loss_and_good_bye() {
    let mut pair = Pair::new(Params { delay: ms(40), loss: 0.1, ..Params::default() }, 8, ms(5), 0.0);
    pair.run_ms(120_000, &mut talk);
    for end in &pair.ends {
        let s = end.leg.stats();
        let rtt = s.rtt_ms.expect("two minutes of reports");
        // The link is 80 ms there and back; reports wait for the tick on both sides.
        assert!((80.0..=121.0).contains(&rtt), "{rtt}");
        assert!((400..=800).contains(&s.far_lost), "{}", s.far_lost);
        assert!((0.02..0.25).contains(&s.far_fraction_lost), "{}", s.far_fraction_lost);
        assert!((10..=40).contains(&s.rtcp_received), "{}", s.rtcp_received);
    }
    let mut bytes = Vec::new();
    pair.ends[0].leg.finish(&mut |channel, to, b| bytes.push((channel, to, b.to_vec())));
    assert_eq!((bytes.len(), bytes[0].0, bytes[0].1), (1, Channel::Rtcp, at(2, 4001)));
    let now = pair.now;
    pair.ends[1].leg.from_net(now, Channel::Rtcp, at(1, 4001), &bytes[0].2);
    assert!(pair.ends[1].leg.stats().far_said_bye);
}

#[test]
fn a_dead_peer_is_noticed_by_the_watchdog() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    pair.run_ms(2000, &mut talk);
    pair.ends[1].from_net.set_params(Params { loss: 1.0, ..Params::default() });
    pair.run_ms(9_000, &mut talk);
    assert!(!pair.ends[1].leg.is_silent(pair.now));
    pair.run_ms(1_200, &mut talk);
    assert!(pair.ends[1].leg.is_silent(pair.now), "{}", pair.ends[1].leg.silent_ms(pair.now));
}

#[test]
fn a_muted_peer_that_only_sends_reports_is_alive_until_it_says_good_bye() {
    let mut leg = AudioLeg::new(far(), 1);
    let mut peer = AudioLeg::new(AudioConfig { direction: Direction::Inactive, ..config() }, 2);
    let (mut to_line, mut reports, mut worst) = (SILENCE, Vec::new(), 0);
    for n in 0..6000u64 {
        let now = Instant::from_ms(1000 + n * 20);
        reports.clear();
        peer.tick(now, &SILENCE, LineDigit::None, &mut to_line, &mut |channel, _, b| reports.push((channel, b.to_vec())));
        for (channel, bytes) in &reports {
            assert_eq!(*channel, Channel::Rtcp);
            leg.from_net(now, Channel::Rtcp, at(1, 4001), bytes);
        }
        leg.tick(now, &SILENCE, LineDigit::None, &mut to_line, &mut |_, _, _| {});
        worst = worst.max(leg.silent_ms(now));
    }
    assert!(leg.stats().rtcp_received > 10 && worst < 10_000, "{worst} ms in {} reports", leg.stats().rtcp_received);
    // Without reports it is silent after all, and a good-bye is no sign of life.
    let later = Instant::from_ms(1000 + 6000 * 20 + 20_000);
    let mut byes = Vec::new();
    peer.finish(&mut |_, _, b| byes.push(b.to_vec()));
    for bye in &byes {
        leg.from_net(later, Channel::Rtcp, at(1, 4001), bye);
    }
    assert!(leg.stats().far_said_bye && leg.silent_ms(later) >= 20_000, "{}", leg.silent_ms(later));
}

#[test]
fn comfort_noise_packets_are_noise_on_the_line_and_not_concealment() {
    let mut leg = AudioLeg::new(far(), 1);
    let (mut bytes, mut to_line, mut now) = ([0u8; 172], SILENCE, Instant::from_ms(1000));
    let mut sequence = 0u16;
    for n in 0..200u32 {
        now = now + ms(20);
        let audio = !(50..100).contains(&n);
        let payload: &[u8] = if audio { &[0x20; 160] } else { &[50] };
        if audio || n == 50 {
            let payload_type = if audio { 0 } else { rtp::PT_COMFORT_NOISE };
            let p = rtp::Packet { payload_type, marker: false, sequence, timestamp: n * 160, ssrc: 5, payload };
            sequence += 1;
            let len = p.emit(&mut bytes).unwrap();
            leg.from_net(now, Channel::Rtp, at(1, 4000), &bytes[..len]);
        }
        leg.tick(now, &SILENCE, LineDigit::None, &mut to_line, &mut |_, _, _| {});
        let peak = to_line.iter().map(|s| s.unsigned_abs()).max().unwrap();
        match n {
            60..=99 => assert!((100..400).contains(&peak), "tick {n}: -50 dBov is 104 rms, {peak}"),
            110.. => assert!(peak > 1000, "tick {n}: {peak}"),
            _ => {}
        }
    }
    assert_eq!(leg.stats().concealed_ms, 0);
}

#[test]
fn pass_through_keeps_its_depth_and_invents_nothing() {
    let mut pair = Pair::new(Params { delay: ms(20), jitter: ms(60), ..Params::default() }, 6, ms(5), 0.0);
    for end in &mut pair.ends {
        end.leg.set_pass_through(true);
    }
    pair.run_ms(60_000, &mut talk);
    let s = pair.ends[1].leg.stats();
    assert_eq!((s.playout, s.late, s.concealed_ms), (Default::default(), 0, 0), "{s:?}");
}

#[test]
fn fuzz_corpora_hold() {
    let rtp: [&[u8]; 5] = [
        include_bytes!("../../fixtures/corpus/rtp/pcmu.bin"),
        include_bytes!("../../fixtures/corpus/rtp/event_end.bin"),
        include_bytes!("../../fixtures/corpus/rtp/extension_csrc_padding.bin"),
        include_bytes!("../../fixtures/corpus/rtp/extension_too_long.bin"),
        include_bytes!("../../fixtures/corpus/rtp/padding_too_long.bin"),
    ];
    let rtcp: [&[u8]; 5] = [
        include_bytes!("../../fixtures/corpus/rtcp/sr_sdes.bin"),
        include_bytes!("../../fixtures/corpus/rtcp/rr_sdes_bye.bin"),
        include_bytes!("../../fixtures/corpus/rtcp/length_too_long.bin"),
        include_bytes!("../../fixtures/corpus/rtcp/four_bytes.bin"),
        include_bytes!("../../fixtures/corpus/rtcp/xr_inside.bin"),
    ];
    for bytes in rtp.iter().chain(&rtcp) {
        super::fuzz::rtp(bytes);
        super::fuzz::rtcp(bytes);
        super::fuzz::telephone_event(bytes);
        super::fuzz::leg(bytes);
    }
    // What the files' names promise.
    let good = |b: &[u8]| rtp::Packet::parse(b).is_ok();
    assert_eq!(rtp.map(good), [true, true, true, false, false]);
    let good = |b: &[u8]| super::rtcp::Compound::parse(b, 1).is_ok();
    assert_eq!(rtcp.map(good), [true, true, false, false, true]);
}

#[test]
fn fuzz_bodies_hold_for_a_while_of_random_bytes() {
    let mut rng = Rng::new(4);
    for _ in 0..20_000 {
        let mut bytes = [0u8; 128];
        bytes.iter_mut().for_each(|b| *b = rng.next_u64() as u8);
        bytes[0] = 0x80 | bytes[0] & 0x3F;
        let n = rng.below(128) as usize;
        super::fuzz::rtp(&bytes[..n]);
        super::fuzz::telephone_event(&bytes[..n]);
        super::fuzz::leg(&bytes[..n]);
        bytes[1] = 200 + bytes[1] % 5;
        (bytes[2], bytes[3]) = (0, bytes[3] % 32);
        super::fuzz::rtcp(&bytes[..n]);
    }
}

/// What a user gets for a network: percent of frames made up, and the delay paid for it.
#[test]
fn loss_and_jitter_cost_what_the_table_says() {
    println!("jitter_ms loss_pct burst | made up % | late % | playout ms | reordered duplicate");
    // Uniform jitter, loss, mean burst; the most that may be made up (percent) and the most delay.
    let rows = [
        (0, 0.00, 1.0, 0.1, 25),
        (10, 0.00, 1.0, 0.5, 35),
        (40, 0.00, 1.0, 2.5, 70),
        (80, 0.00, 1.0, 2.5, 110),
        (120, 0.00, 1.0, 2.5, 150),
        (10, 0.05, 1.0, 6.0, 35),
        (10, 0.05, 4.0, 7.0, 35),
        (40, 0.20, 1.0, 23.0, 70),
    ];
    for (jitter, loss, burst, made_up_max, delay_max) in rows {
        let params = Params { delay: ms(20), jitter: ms(jitter), loss, burst, duplicate: 0.01, ..Params::default() };
        let mut pair = Pair::new(params, 21, ms(9), 0.0);
        pair.run_ms(10_000, &mut conversation);
        let before = pair.ends[1].leg.stats();
        pair.run_ms(120_000, &mut conversation);
        let s = pair.ends[1].leg.stats();
        let made_up = (s.concealed_ms - before.concealed_ms) as f64 / 1200.0;
        let late = (s.late - before.late) as f64 / 60.0;
        println!(
            "{jitter:9} {:8.0} {burst:5} | {made_up:9.2} | {late:6.2} | {:10} | {} {}",
            loss * 100.0,
            s.playout_delay_ms,
            s.reordered,
            s.duplicate
        );
        assert!(made_up <= made_up_max && s.playout_delay_ms <= delay_max, "{s:?}");
        assert!(s.duplicate > 20 && (jitter < 30 || s.reordered > 100) && s.garbage == 0);
        let lost = s.lost as f64 / 6500.0;
        assert!((lost - loss).abs() < 0.02, "{lost}");
    }
}

#[test]
fn an_echo_test_that_reflects_our_packets_is_heard() {
    let mut leg = AudioLeg::new(near(), 1);
    let (mut to_line, mut now, mut frame) = (SILENCE, Instant::from_ms(1000), SILENCE);
    talk(0, 0, &mut frame);
    for _ in 0..50 {
        now = now + ms(20);
        let mut back = Vec::new();
        leg.tick(now, &frame, LineDigit::None, &mut to_line, &mut |c, _, b| back.push((c, b.to_vec())));
        for (channel, bytes) in back {
            leg.from_net(now + ms(3), channel, at(2, 4000), &bytes);
        }
    }
    assert_eq!(leg.stats().ssrc_collisions, 1);
    assert!(to_line.iter().any(|s| s.abs() > 1000));
}

#[test]
fn a_link_that_stalls_is_ridden_out_and_the_delay_comes_back() {
    let stalls = Params { delay: ms(20), jitter: ms(5), stall_chance: 0.004, stall: ms(250), in_order: true, ..Params::default() };
    let mut pair = Pair::new(stalls, 17, ms(9), 0.0);
    let mut worst = 0;
    for _ in 0..600 {
        pair.run_ms(100, &mut conversation);
        worst = worst.max(pair.ends[1].leg.stats().playout_delay_ms);
    }
    let s = pair.ends[1].leg.stats();
    pair.ends[1].from_net.set_params(Params { stall_chance: 0.0, ..stalls });
    pair.run_ms(20_000, &mut conversation);
    let after = pair.ends[1].leg.stats().playout_delay_ms;
    println!(
        "stalls of 250 ms: late {} of {}, made up {} ms, delay at most {worst} ms, {after} ms 20 s later",
        s.late, s.received, s.concealed_ms
    );
    assert!(worst <= 240 && after <= 40, "{worst} {after}");
    assert!(s.concealed_ms < 6000, "{s:?}");
}

#[test]
fn packets_of_every_length_with_loss_make_whole_speech() {
    for packet_ms in [10u64, 20, 30, 40, 60] {
        let mut leg = AudioLeg::new(far(), 1);
        let mut link = Netem::new(Params { loss: 0.05, delay: ms(10), jitter: ms(5), ..Params::default() }, packet_ms);
        let mut to_line = SILENCE;
        let mut dead = 0;
        for t in (0..60_000u64).step_by(10) {
            let now = Instant::from_ms(1000 + t);
            if t % packet_ms == 0 {
                let n = (t / packet_ms) as u16;
                let payload = [0x10u8; 480];
                let timestamp = t as u32 * 8;
                let p = rtp::Packet {
                    payload_type: 0,
                    marker: false,
                    sequence: n,
                    timestamp,
                    ssrc: 5,
                    payload: &payload[..packet_ms as usize * 8],
                };
                let mut bytes = [0u8; 500];
                let len = p.emit(&mut bytes).unwrap();
                link.send(now, bytes[..len].to_vec());
            }
            while let Some((arrived, bytes)) = link.poll_at(now) {
                leg.from_net(arrived, Channel::Rtp, at(1, 4000), &bytes);
            }
            if t % 20 == 0 {
                leg.tick(now, &SILENCE, LineDigit::None, &mut to_line, &mut |_, _, _| {});
                dead += usize::from(t > 200 && to_line.contains(&0));
            }
        }
        let s = leg.stats();
        let made_up = s.concealed_ms as f64 / 600.0;
        println!(
            "{packet_ms} ms packets, 5 % loss: {made_up:.1} % made up, delay {} ms, late {}, silent frames {dead}",
            s.playout_delay_ms, s.late
        );
        assert!((3.0..7.5).contains(&made_up), "{s:?}");
        assert!(dead <= 40, "{dead}");
    }
}

#[test]
fn a_digit_on_a_clean_network_is_a_tone_and_no_concealment() {
    let mut pair = Pair::new(Params::default(), 1, ms(5), 0.0);
    let mut line = |who: usize, us: u64, frame: &mut Frame| {
        talk(who, us, frame);
        match us {
            _ if who == 1 => LineDigit::None,
            5_500_000..5_520_000 => LineDigit::Suspected,
            5_520_000..5_600_000 => LineDigit::On(b'8'),
            5_600_000..5_620_000 => LineDigit::Ended { key: b'8', duration_ms: 100 },
            _ => LineDigit::None,
        }
    };
    pair.run_ms(500, &mut line);
    pair.ends[1].keep = true;
    pair.run_ms(1000, &mut line);
    let s = pair.ends[1].leg.stats();
    assert_eq!((s.digits_received, s.concealed_ms, s.lost), (1, 0, 0));
    // 852 and 1336 Hz stand in the line's audio for the hundred milliseconds; 1209 Hz does not.
    let power = |hz: f64, at_ms: usize| {
        let part = &pair.ends[1].heard[at_ms * 8..(at_ms + 40) * 8];
        let sum = part.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, s)| {
            let w = core::f64::consts::TAU * hz * i as f64 / 8000.0;
            (re + f64::from(*s) * w.cos(), im + f64::from(*s) * w.sin())
        });
        (sum.0.hypot(sum.1) / 160.0) as i32
    };
    assert!(power(852.0, 60) > 8000 && power(1336.0, 60) > 8000 && power(1209.0, 60) < 500);
    assert!(power(852.0, 250) < 500);
}

#[test]
fn req_k5_pass_through_follows_the_senders_clock_without_dropping_a_sample() {
    for ppm in [200.0, -200.0] {
        let params = Params { delay: ms(20), jitter: ms(10), ..Params::default() };
        let mut pair = Pair::new(params, 31, ms(3), ppm);
        for end in &mut pair.ends {
            end.leg.set_pass_through(true);
        }
        pair.run_ms(30_000, &mut talk);
        let early = pair.ends[1].leg.stats();
        pair.run_ms(1_770_000, &mut talk);
        let s = pair.ends[1].leg.stats();
        println!(
            "{ppm} ppm, half an hour of pass-through: waits {} ms, then {} ms; {:?}",
            early.playout_delay_ms, s.playout_delay_ms, s.playout
        );
        assert_eq!((s.playout, s.late), (Default::default(), 0));
        // Unfollowed it would be 360 ms off.
        assert!(s.playout_delay_ms.abs_diff(early.playout_delay_ms) <= 12, "{s:?}");
    }
}

#[test]
fn pass_through_leaves_a_modems_carrier_whole() {
    // A 1800 Hz carrier through a drifting path: what comes out is one sine, its phase never jumps.
    let mut pair = Pair::new(Params { delay: ms(20), jitter: ms(5), ..Params::default() }, 3, ms(3), 150.0);
    for end in &mut pair.ends {
        end.leg.set_pass_through(true);
    }
    let mut sample = [0u64; 2];
    let mut carrier = |who: usize, _: u64, frame: &mut Frame| {
        for s in frame.iter_mut() {
            *s = (8000.0 * (core::f64::consts::TAU * 1800.0 * sample[who] as f64 / 8000.0).sin()) as i16;
            sample[who] += 1;
        }
        LineDigit::None
    };
    pair.run_ms(60_000, &mut carrier);
    pair.ends[1].keep = true;
    pair.run_ms(60_000, &mut carrier);
    let heard = &pair.ends[1].heard;
    // A sine obeys y[n] = 2 cos(w) y[n-1] - y[n-2]; a slip of one sample breaks it by thousands, G.711's steps by some hundred.
    let twice_cos = 2.0 * (core::f64::consts::TAU * 1800.0 / 8000.0).cos();
    let worst = heard.windows(3).map(|w| (f64::from(w[2]) - twice_cos * f64::from(w[1]) + f64::from(w[0])).abs()).fold(0.0, f64::max);
    println!("carrier in pass-through at 150 ppm: worst step {worst:.0} of 8000");
    assert!(worst < 900.0, "{worst}");
}

#[test]
fn a_call_that_turns_into_a_fax_gets_its_depth_without_losing_a_sample() {
    let mut pair = Pair::new(Params { delay: ms(20), jitter: ms(10), ..Params::default() }, 6, ms(5), 0.0);
    pair.run_ms(10_000, &mut talk);
    let before = pair.ends[1].leg.stats();
    for end in &mut pair.ends {
        end.leg.set_pass_through(true);
    }
    pair.run_ms(10_000, &mut talk);
    let s = pair.ends[1].leg.stats();
    let held = s.playout.held - before.playout.held;
    assert_eq!((s.playout.dropped, s.playout.resyncs, s.late), (before.playout.dropped, 0, 0));
    assert!((160..=185).contains(&s.playout_delay_ms) && (6..=9).contains(&held), "{held} {s:?}");
    for end in &mut pair.ends {
        end.leg.set_pass_through(false);
    }
    pair.run_ms(30_000, &mut conversation);
    assert!(pair.ends[1].leg.stats().playout_delay_ms <= 60, "{:?}", pair.ends[1].leg.stats());
}
