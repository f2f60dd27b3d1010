//! The table of what the receiver must take and must refuse (Q.24, and the bars above it), measured on made-up lines.

use super::*;
use crate::front::FrontEnd;
use crate::level::amplitude_of;
use crate::noise::Gauss;
use crate::tone::sine;

/// What stands on the line while digits are sent.
#[derive(Clone, Copy)]
struct Line {
    level_dbm0: f32,
    /// High tone against low, dB.
    twist_db: f32,
    offset: f32,
    on_ms: usize,
    off_ms: usize,
    snr_db: f32,
    dial_tone_dbm0: f32,
    digits: usize,
}

const CLEAN: Line =
    Line { level_dbm0: -10.0, twist_db: 0.0, offset: 0.0, on_ms: 50, off_ms: 50, snr_db: 40.0, dial_tone_dbm0: -200.0, digits: 320 };

struct Score {
    found: usize,
    extra: usize,
    start_error: u64,
    duration_error: u64,
}

fn turn(hz: f32, n: usize) -> u32 {
    (f64::from(hz) / 8000.0 * 4_294_967_296.0 * n as f64) as u64 as u32
}

fn run(line: Line) -> Score {
    let mut chance = Gauss::new(11);
    let low = amplitude_of(line.level_dbm0 - line.twist_db.max(0.0));
    let high = amplitude_of(line.level_dbm0 + line.twist_db.min(0.0));
    let noise = ((low * low + high * high) / 2.0).sqrt() * 10f32.powf(-line.snr_db / 20.0);
    let dial = amplitude_of(line.dial_tone_dbm0);
    let mut wave = vec![0.0f32; 8000];
    let mut sent = Vec::new();
    for i in 0..line.digits {
        let key = i * 7 % 16;
        let phases = (chance.bits() as u32, chance.bits() as u32);
        sent.push((KEYS[key], wave.len()));
        for n in 0..line.on_ms * 8 {
            let a = sine(phases.0.wrapping_add(turn(ROWS_HZ[key / 4] * (1.0 + line.offset), n)));
            let b = sine(phases.1.wrapping_add(turn(COLUMNS_HZ[key % 4] * (1.0 + line.offset), n)));
            wave.push(low * a + high * b);
        }
        wave.resize(wave.len() + line.off_ms * 8 + chance.bits() as usize % 100, 0.0);
    }
    wave.resize(wave.len() + 1600, 0.0);
    let (mut front, mut receiver) = (FrontEnd::new(), Receiver::new());
    let mut score = Score { found: 0, extra: 0, start_error: 0, duration_error: 0 };
    let mut open = None;
    for (i, chunk) in wave.chunks_exact(160).enumerate() {
        let frame = core::array::from_fn(|n| {
            let t = i * 160 + n;
            let dial_tone = dial * (sine(turn(350.0, t)) + sine(turn(440.0, t)));
            (chunk[n] + dial_tone + noise * chance.sample()).round().clamp(-32768.0, 32767.0) as i16
        });
        let mut events = DigitEvents::new();
        receiver.rx(front.rx(&frame), &mut events);
        for e in events {
            match e {
                DigitEvent::Started { digit, at } => {
                    assert!(open.replace(digit).is_none(), "a digit starts in a digit");
                    match sent.iter().position(|(d, from)| *d == digit && at.abs_diff(*from as u64) < 8 * line.on_ms as u64) {
                        Some(k) => {
                            score.found += 1;
                            score.start_error = score.start_error.max(at.abs_diff(sent[k].1 as u64));
                            // Found once, a digit is not there to be found again.
                            sent.remove(k);
                        }
                        None => score.extra += 1,
                    }
                }
                DigitEvent::Ended { digit, duration_ms, .. } => {
                    assert_eq!(open.take(), Some(digit), "an end belongs to its start");
                    score.duration_error = score.duration_error.max(u64::from(duration_ms).abs_diff(line.on_ms as u64));
                }
            }
        }
    }
    score
}

#[test]
fn req_k3_dtmf_accepts_all_that_it_must_exactly_once() {
    let table: [(&str, Line); 22] = [
        ("as sent", CLEAN),
        ("SNR 8 dB", Line { snr_db: 8.0, digits: 1000, ..CLEAN }),
        ("SNR 8 dB, 40 ms", Line { snr_db: 8.0, on_ms: 40, off_ms: 40, ..CLEAN }),
        ("+1.5 %", Line { offset: 0.015, ..CLEAN }),
        ("-1.5 %", Line { offset: -0.015, ..CLEAN }),
        ("+1.8 %", Line { offset: 0.018, ..CLEAN }),
        ("-1.8 %", Line { offset: -0.018, ..CLEAN }),
        ("+1.5 % at SNR 15 dB", Line { offset: 0.015, snr_db: 15.0, ..CLEAN }),
        ("-1.5 % at SNR 15 dB", Line { offset: -0.015, snr_db: 15.0, ..CLEAN }),
        ("twist +6 dB", Line { twist_db: 6.0, ..CLEAN }),
        ("twist -10 dB", Line { twist_db: -10.0, ..CLEAN }),
        ("36 ms", Line { on_ms: 36, off_ms: 40, ..CLEAN }),
        ("40 ms on and off", Line { on_ms: 40, off_ms: 40, ..CLEAN }),
        ("2 s", Line { on_ms: 2000, digits: 16, ..CLEAN }),
        ("pause 20 ms", Line { off_ms: 20, ..CLEAN }),
        ("40 ms, pause 20 ms", Line { on_ms: 40, off_ms: 20, ..CLEAN }),
        ("-45 dBm0", Line { level_dbm0: -45.0, ..CLEAN }),
        ("0 dBm0", Line { level_dbm0: 0.0, ..CLEAN }),
        ("dial tone at 0 dB", Line { level_dbm0: -13.0, dial_tone_dbm0: -13.0, ..CLEAN }),
        ("dial tone at 0 dB, quiet", Line { level_dbm0: -30.0, dial_tone_dbm0: -30.0, ..CLEAN }),
        ("dial tone 6 dB louder, 40 ms", Line { level_dbm0: -20.0, dial_tone_dbm0: -14.0, on_ms: 40, off_ms: 40, ..CLEAN }),
        ("SNR 15 dB, 40 ms, twist +4", Line { twist_db: 4.0, snr_db: 15.0, on_ms: 40, off_ms: 40, ..CLEAN }),
    ];
    for (what, line) in table {
        let s = run(line);
        assert_eq!((s.found, s.extra), (line.digits, 0), "{what}");
        assert!(s.start_error <= 40, "{what}: start off by {} samples", s.start_error);
        assert!(s.duration_error <= 6, "{what}: duration off by {} ms", s.duration_error);
    }
}

#[test]
fn req_k3_dtmf_refuses_all_that_it_must() {
    let table: [(&str, Line); 8] = [
        ("20 ms", Line { on_ms: 20, ..CLEAN }),
        ("20 ms, SNR 15 dB", Line { on_ms: 20, snr_db: 15.0, ..CLEAN }),
        ("+3.0 %", Line { offset: 0.03, ..CLEAN }),
        ("-3.0 %", Line { offset: -0.03, ..CLEAN }),
        ("+3.5 %, SNR 15 dB", Line { offset: 0.035, snr_db: 15.0, ..CLEAN }),
        ("-3.5 %, SNR 15 dB", Line { offset: -0.035, snr_db: 15.0, ..CLEAN }),
        ("-55 dBm0", Line { level_dbm0: -55.0, ..CLEAN }),
        ("one tone", Line { twist_db: 40.0, ..CLEAN }),
    ];
    for (what, line) in table {
        let s = run(line);
        assert_eq!((s.found, s.extra), (0, 0), "{what}");
    }
}

#[test]
fn the_first_digit_is_heard_over_the_dial_tone_of_every_country() {
    use crate::tone::{Cadence, ToneGenerator};
    for plan in &crate::tone_plan::PLANS {
        for cadence in [plan.dial, plan.stutter_dial] {
            for key in 0..16 {
                let mut dial = ToneGenerator::new(&Cadence { level_dbm0: -13.0, ..cadence });
                let (mut front, mut receiver, mut events) = (FrontEnd::new(), Receiver::new(), DigitEvents::new());
                let a = amplitude_of(-13.0);
                for i in 0..60 {
                    let mut frame = [0; 160];
                    dial.tx(&mut frame);
                    for (n, s) in frame.iter_mut().enumerate() {
                        let t = i * 160 + n;
                        if (6040..6440).contains(&t) {
                            *s += (a * (sine(turn(ROWS_HZ[key / 4], t)) + sine(turn(COLUMNS_HZ[key % 4], t)))) as i16;
                        }
                    }
                    receiver.rx(front.rx(&frame), &mut events);
                }
                let found = matches!(events[..], [DigitEvent::Started { digit, .. }, DigitEvent::Ended { .. }] if digit == KEYS[key]);
                assert!(found, "{} key {}: {events:?}", plan.country, KEYS[key] as char);
            }
        }
    }
}

#[test]
fn breaks_of_up_to_ten_ms_do_not_split_a_digit() {
    let (mut front, mut receiver) = (FrontEnd::new(), Receiver::new());
    let mut starts = 0;
    for i in 0..50 {
        let frame = core::array::from_fn(|n| {
            let t = i * 160 + n;
            // 200 ms of "5" with a hole of 10 ms every 60.
            let on = (800..2400).contains(&t) && (t - 800) % 480 < 400;
            let v = amplitude_of(-10.0) * (sine(turn(770.0, t)) + sine(turn(1336.0, t)));
            if on { v as i16 } else { 0 }
        });
        let mut events = DigitEvents::new();
        receiver.rx(front.rx(&frame), &mut events);
        starts += events.iter().filter(|e| matches!(e, DigitEvent::Started { digit: b'5', .. })).count();
    }
    assert_eq!(starts, 1);
}

/// Frame ends (ms after the start of the digit) at which it is first suspected, and at which it is confirmed; and whether the
/// suspicion held in between.
fn first_signs(key: usize, snr_db: f32, starts_before_frame_end_ms: usize) -> (usize, usize, bool) {
    let mut chance = Gauss::new(key as u64);
    let (mut front, mut receiver) = (FrontEnd::new(), Receiver::new());
    let a = amplitude_of(-12.0);
    let start = 9 * 160 - 8 * starts_before_frame_end_ms;
    let (mut suspected, mut held) = (None, true);
    for i in 0..20 {
        let frame = core::array::from_fn(|n| {
            let t = i * 160 + n;
            let on = t >= start;
            let v = if on { a * (sine(turn(ROWS_HZ[key / 4], t)) + sine(turn(COLUMNS_HZ[key % 4], t))) } else { 0.0 };
            (v + chance.sample() * a * 10f32.powf(-snr_db / 20.0)) as i16
        });
        receiver.rx(front.rx(&frame), &mut DigitEvents::new());
        let age_ms = ((i + 1) * 160).saturating_sub(start) / 8;
        if receiver.suspect() {
            suspected.get_or_insert(age_ms);
        }
        held &= suspected.is_none() || receiver.suspect();
        if receiver.digit().is_some() {
            return (suspected.unwrap(), age_ms, held);
        }
    }
    panic!("key {key} is not heard at all");
}

#[test]
fn a_digit_is_suspected_within_15_ms_and_until_it_is_confirmed() {
    for key in 0..16 {
        for snr_db in [40.0, 15.0, 10.0] {
            for ms in 15..21 {
                let (suspected, confirmed, held) = first_signs(key, snr_db, ms);
                assert_eq!((suspected, held), (ms, true), "key {key}, SNR {snr_db}");
                assert!(confirmed > 30, "key {key}: confirmed after {confirmed} ms");
            }
        }
    }
}

#[test]
fn two_keys_at_once_are_no_key_and_a_short_rival_is_borne() {
    let keys_heard = |rival_ms: usize| {
        let (mut front, mut receiver) = (FrontEnd::new(), Receiver::new());
        let wave: Vec<i16> = (0..12_000)
            .map(|n| {
                let mut x = 0.0;
                if (1600..9600).contains(&n) {
                    x += sine(turn(852.0, n)) + sine(turn(1209.0, n));
                }
                if (4000..4000 + rival_ms * 8).contains(&n) {
                    x += sine(turn(852.0, n)) + sine(turn(1336.0, n));
                }
                (4000.0 * x) as i16
            })
            .collect();
        let mut heard = Vec::new();
        for chunk in wave.chunks_exact(160) {
            let mut events = DigitEvents::new();
            receiver.rx(front.rx(chunk.try_into().unwrap()), &mut events);
            heard.extend(events.iter().filter_map(|e| match e {
                DigitEvent::Started { digit, .. } => Some(char::from(*digit)),
                DigitEvent::Ended { .. } => None,
            }));
        }
        heard.into_iter().collect::<String>()
    };
    assert_eq!(keys_heard(0), "7");
    assert_eq!(keys_heard(60), "7");
    assert_eq!(keys_heard(300), "77");
}
