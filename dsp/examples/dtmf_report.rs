//! Prints how well the DTMF receiver does, point by point: SNR, frequency, twist, duration, pause, level, dial tone, speech, talk-off.
//!
//! `cargo run --release -p tipring-dsp --no-default-features --example dtmf_report -- [quick] [FILE.raw ...]`: files are talk-off
//! material, 8 kHz signed 16 bit mono; the first one is also the speech that digits are mixed with.
#![allow(clippy::unwrap_used, missing_docs)]

use std::f64::consts::TAU;

use tipring_dsp::dtmf::{COLUMNS_HZ, DigitEvent, KEYS, ROWS_HZ, Receiver};
use tipring_dsp::front::FrontEnd;
use tipring_dsp::level::amplitude_of;
use tipring_dsp::noise::Gauss;

struct Point {
    level: f32,
    twist: f32,
    offset: f64,
    on_ms: usize,
    off_ms: usize,
    snr: f32,
    dial: Option<f32>,
    speech: Option<f32>,
}

const BASE: Point = Point { level: -10.0, twist: 0.0, offset: 0.0, on_ms: 50, off_ms: 50, snr: 40.0, dial: None, speech: None };

/// (found, extra, greatest error of the duration in ms)
fn trial(n: usize, p: &Point, speech: &[i16], seed: u64) -> (f64, usize, i64) {
    let mut g = Gauss::new(seed);
    let (mut front, mut rx) = (FrontEnd::new(), Receiver::new());
    let mut samples: Vec<i16> = Vec::new();
    let mut truth = Vec::new();
    let srms = (speech.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / speech.len().max(1) as f64).sqrt();
    let mut wave: Vec<f64> = vec![0.0; 4000];
    for _ in 0..n {
        let k = (g.bits() % 16) as usize;
        let low = f64::from(amplitude_of(p.level - p.twist.max(0.0)));
        let high = f64::from(amplitude_of(p.level + p.twist.min(0.0)));
        let start = wave.len();
        let gap = p.off_ms * 8 + (g.bits() % 102) as usize;
        let (p1, p2) = ((g.bits() >> 40) as f64, (g.bits() >> 40) as f64);
        for j in 0..p.on_ms * 8 + gap {
            let t = TAU * j as f64 / 8000.0 * (1.0 + p.offset);
            let on = j < p.on_ms * 8;
            wave.push(if on {
                low * (p1 + t * f64::from(ROWS_HZ[k / 4])).sin() + high * (p2 + t * f64::from(COLUMNS_HZ[k % 4])).sin()
            } else {
                0.0
            });
        }
        truth.push((KEYS[k], start, start + p.on_ms * 8));
    }
    wave.extend([0.0; 2000]);
    let low = f64::from(amplitude_of(p.level - p.twist.max(0.0)));
    let high = f64::from(amplitude_of(p.level + p.twist.min(0.0)));
    let noise = ((low * low + high * high) / 2.0).sqrt() * 10f64.powf(-f64::from(p.snr) / 20.0);
    for (i, w) in wave.iter().enumerate() {
        let mut v = w + noise * f64::from(g.sample());
        let t = i as f64 * TAU / 8000.0;
        if let Some(ratio) = p.dial {
            v += f64::from(amplitude_of(p.level - ratio)) * ((350.0 * t).sin() + (440.0 * t).sin());
        }
        if let Some(ratio) = p.speech {
            v += f64::from(speech[i % speech.len()]) / srms * low * 10f64.powf(-f64::from(ratio) / 20.0);
        }
        samples.push(v.round().clamp(-32768.0, 32767.0) as i16);
    }
    let mut found: Vec<(u8, u64, u64)> = Vec::new();
    for f in samples.chunks_exact(160) {
        let mut events = heapless::Vec::new();
        rx.rx(front.rx(f.try_into().unwrap()), &mut events);
        for e in &events {
            match e {
                DigitEvent::Started { digit, at } => found.push((*digit, *at, *at)),
                DigitEvent::Ended { at, .. } => found.last_mut().unwrap().2 = *at,
            }
        }
    }
    let (mut hits, mut extra, mut worst) = (0, 0, 0i64);
    let mut used = vec![false; truth.len()];
    for (d, from, to) in &found {
        let mid = ((from + to) / 2) as usize;
        match truth.iter().position(|(k, a, b)| k == d && mid + 80 >= *a && mid <= *b + 80) {
            Some(i) if !used[i] => {
                used[i] = true;
                hits += 1;
                worst = worst.max(((to - from) as i64 / 8 - p.on_ms as i64).abs());
            }
            _ => extra += 1,
        }
    }
    (100.0 * f64::from(hits) / n as f64, extra, worst)
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.first().is_some_and(|a| a == "quick");
    if quick {
        args.remove(0);
    }
    let n = if quick { 500 } else { 2000 };
    let read = |f: &String| -> Vec<i16> { std::fs::read(f).unwrap().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect() };
    let speech = args.first().map(read).unwrap_or_default();
    let row = |what: String, p: &Point| {
        let (hit, extra, worst) = trial(n, p, &speech, 7);
        println!("{what:<36} {hit:7.2} %  extra {extra:3}  duration off by at most {worst} ms");
    };
    for snr in [4, 6, 7, 8, 9, 10, 12, 15] {
        row(format!("SNR {snr} dB"), &Point { snr: snr as f32, ..BASE });
    }
    for o in [-35, -30, -28, -26, -24, -22, -20, -18, -15, 0, 15, 18, 20, 22, 24, 26, 28, 30, 35] {
        row(format!("frequency {:+.1} %", f64::from(o) / 10.0), &Point { offset: f64::from(o) / 1000.0, ..BASE });
    }
    for t in [-14, -12, -11, -10, -8, 0, 4, 6, 7, 8, 10] {
        row(format!("twist {t:+} dB"), &Point { twist: t as f32, ..BASE });
    }
    for d in [16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 40, 80] {
        row(format!("duration {d} ms (60 off)"), &Point { on_ms: d, off_ms: 60, ..BASE });
    }
    for d in [10, 15, 20, 25, 30, 40] {
        row(format!("pause {d} ms (50 on)"), &Point { off_ms: d, ..BASE });
    }
    for d in [20, 30, 40] {
        row(format!("40 ms on, pause {d} ms, SNR 15 dB"), &Point { on_ms: 40, off_ms: d, snr: 15.0, ..BASE });
    }
    for l in [-50, -48, -46, -45, -42, -30, -10, -3, -1, 0] {
        row(format!("level {l} dBm0 a tone"), &Point { level: l as f32, snr: 60.0, ..BASE });
    }
    for r in [12, 4, 0, -2, -4] {
        row(format!("dial tone, ratio {r} dB"), &Point { dial: Some(r as f32), level: -13.0, on_ms: 60, off_ms: 60, ..BASE });
    }
    if !speech.is_empty() {
        for r in [0, 4, 8, 12, 16] {
            row(format!("under speech, ratio {r} dB"), &Point { speech: Some(r as f32), level: -13.0, on_ms: 60, off_ms: 60, ..BASE });
        }
    }
    for f in &args {
        let raw = read(f);
        let (mut front, mut rx) = (FrontEnd::new(), Receiver::new());
        let (mut digits, mut suspect) = (String::new(), 0usize);
        let mut gone = false;
        for frame in raw.chunks_exact(160) {
            let mut events = heapless::Vec::new();
            rx.rx(front.rx(frame.try_into().unwrap()), &mut events);
            for e in &events {
                if let DigitEvent::Started { digit, at } = e {
                    digits += &format!(" {}@{:.2}s", *digit as char, *at as f64 / 8000.0);
                }
            }
            suspect += usize::from(rx.suspect() && !gone);
            gone = rx.suspect();
        }
        let hours = raw.len() as f64 / 8000.0 / 3600.0;
        println!("talk-off {f}: {hours:.2} h, false digits: [{digits} ], suspicions {:.0}/h", suspect as f64 / hours);
    }
}
