//! What each part of the signal path costs, in ns per sample, best of five.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use tipring_dsp::Frame;
use tipring_dsp::dtmf::{Generator, Sending};
use tipring_dsp::front::FrontEnd;
use tipring_dsp::g711::Law;
use tipring_dsp::line_model::{LineModel, LineParams};
use tipring_dsp::noise::{ComfortNoise, Gauss};
use tipring_dsp::plc::Concealer;
use tipring_dsp::progress::ProgressDetector;
use tipring_dsp::resample::Resampler;
use tipring_dsp::tone::ToneGenerator;
use tipring_dsp::tone_plan::TonePlan;
use tipring_dsp::watch::Watch;

const FRAMES: usize = 5000;

fn cost(what: &str, mut work: impl FnMut(usize)) {
    let best = (0..5)
        .map(|_| {
            let t = Instant::now();
            (0..FRAMES).for_each(&mut work);
            t.elapsed().as_nanos() as f64 / (FRAMES * 160) as f64
        })
        .fold(f64::MAX, f64::min);
    println!("{what:<44} {best:7.2} ns/sample");
}

fn main() {
    let mut g = Gauss::new(1);
    let mut speech: Vec<Frame> = (0..FRAMES).map(|_| std::array::from_fn(|_| (g.sample() * 900.0) as i16)).collect();
    if let Some(f) = std::env::args().nth(1) {
        let raw: Vec<i16> = std::fs::read(f).unwrap().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        for (s, c) in speech.iter_mut().zip(raw.chunks_exact(160)) {
            s.copy_from_slice(c);
        }
    }
    let digits: Vec<Frame> = {
        let mut d = Generator::new(Sending::default());
        (0..FRAMES)
            .map(|i| {
                let mut f = [0; 160];
                let _ = d.push(b"159D*0#"[i % 7]);
                d.tx(&mut f);
                f
            })
            .collect()
    };
    let mut octets = [0u8; 160];
    let mut out = [0i16; 160];
    for law in [Law::Mu, Law::A] {
        cost(&format!("G.711 {law:?} encode"), |i| {
            law.encode_block(black_box(&speech[i]), &mut octets);
            black_box(&octets);
        });
        cost(&format!("G.711 {law:?} decode"), |_| {
            law.decode_block(black_box(&octets), &mut out);
            black_box(&out);
        });
    }
    let mut front = FrontEnd::new();
    cost("front end alone", |i| {
        black_box(front.rx(&speech[i]));
    });
    let mut w = Watch::new();
    cost("watch (all detectors), speech or noise", |i| {
        black_box(w.rx(&speech[i]));
    });
    cost("watch (all detectors), digits all the time", |i| {
        black_box(w.rx(&digits[i]));
    });
    let plan = TonePlan::of("US").unwrap();
    let mut p = ProgressDetector::new(plan);
    cost("progress tones (simulated phones)", |i| {
        black_box(p.rx(&speech[i]));
    });
    let mut t = ToneGenerator::new(&plan.dial);
    cost("tone generator, two tones", |_| {
        t.tx(&mut out);
        black_box(&out);
    });
    let mut c = Concealer::new();
    cost("concealment, no loss", |i| {
        let mut f = speech[i];
        c.rx(black_box(&mut f));
    });
    cost("concealment, 5 % loss", |i| {
        let mut f = speech[i];
        if i % 20 == 0 { c.fill_in(black_box(&mut f)) } else { c.rx(black_box(&mut f)) }
    });
    let mut n = ComfortNoise::new(-60.0, 1);
    cost("comfort noise", |_| {
        n.tx(&mut out);
        black_box(&out);
    });
    let mut r = Resampler::new(100.0);
    cost("resampler, 100 ppm", |i| {
        let wanted = r.wants(160).min(160);
        black_box(r.process(&speech[i][..wanted], &mut out));
    });
    let mut line = LineModel::new(LineParams { clock_offset_ppm: 50.0, delay_samples: 40, ..LineParams::HOUSE }, 1);
    let mut heard = [0; 160];
    cost("line model, both directions, drift and echo", |i| {
        line.exchange(&speech[i], &digits[i], &mut out, &mut heard);
        black_box((&out, &heard));
    });
    println!("state of a watch: {} bytes", size_of::<Watch>());
}
