//! Two fax machines, two legs and a network that loses datagrams, in virtual time.

#![cfg(feature = "spandsp")]

use super::*;
use crate::clock::Rng;
use std::collections::VecDeque;
use std::path::PathBuf;
use tipring_dsp::spandsp::terminal::{Outcome, Terminal, TerminalConfig};
use tipring_dsp::spandsp::tiff::{self, Bitmap};

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 4000 + u16::from(n)))
}

pub(super) struct World {
    pub machines: [Terminal; 2],
    pub legs: [T38Leg; 2],
    /// Datagrams on their way to each leg: due, octets.
    pub wires: [VecDeque<(u64, Vec<u8>)>; 2],
    pub rng: Rng,
    pub loss: f64,
    pub delay_ms: u64,
    pub jitter_ms: u64,
    /// Noise on the caller's line, as the amplitude of a uniform distribution.
    pub noise: f64,
    pub now_ms: u64,
    pub dir: PathBuf,
    pub sent: Vec<Bitmap>,
}

pub(super) struct Scene {
    pub name: &'static str,
    pub pages: usize,
    pub ecm: bool,
    pub max_bps: u32,
    pub correction: ErrorCorrection,
    pub version: u8,
    pub loss: f64,
    pub jitter_ms: u64,
    pub seed: u64,
}

impl Default for Scene {
    fn default() -> Self {
        Scene {
            name: "plain",
            pages: 1,
            ecm: false,
            max_bps: 14400,
            correction: ErrorCorrection::default(),
            version: 0,
            loss: 0.0,
            jitter_ms: 0,
            seed: 1,
        }
    }
}

fn page(rows: usize, seed: u64) -> Bitmap {
    let mut rng = Rng::new(seed);
    let row = |y: usize, rng: &mut Rng| -> Vec<u8> {
        let bar = |i: usize| if (i / (2 + y / 64)).is_multiple_of(3) { 0xF0 } else { 0 };
        (0..216).map(|i| bar(i) ^ if rng.chance(0.005) { 0x18 } else { 0 }).collect()
    };
    Bitmap { width: 1728, rows: (0..rows).map(|y| row(y, &mut rng)).collect(), x_dpi: 204, y_dpi: 196 }
}

impl World {
    pub fn new(s: &Scene) -> Self {
        let dir = std::env::temp_dir().join(format!("tipring-relay-{}-{}-{}", std::process::id(), s.name, s.seed));
        std::fs::create_dir_all(&dir).expect("a folder for the test");
        let sent: Vec<_> = (0..s.pages as u64).map(|i| page(250, i + 1)).collect();
        tiff::write(&dir.join("sent.tif"), &sent).expect("the page is written");
        let machine = |calling: bool| {
            let (send_tiff, receive_tiff) = if calling { (Some(dir.join("sent.tif")), None) } else { (None, Some(dir.join("got.tif"))) };
            let ident = if calling { "2001" } else { "3001" }.to_string();
            Terminal::new(&TerminalConfig {
                calling,
                send_tiff,
                receive_tiff,
                ident,
                ecm: s.ecm,
                max_bps: s.max_bps,
                ..TerminalConfig::default()
            })
            .expect("a fax machine")
        };
        let machines = [machine(true), machine(false)];
        let leg = |to: u8| {
            T38Leg::new(&T38Config { version: s.version, error_correction: s.correction, ..T38Config::without_a_call(address(to)) })
                .expect("a leg")
        };
        World {
            machines,
            legs: [leg(2), leg(1)],
            wires: [VecDeque::new(), VecDeque::new()],
            rng: Rng::new(s.seed),
            loss: s.loss,
            delay_ms: 20,
            jitter_ms: s.jitter_ms,
            noise: 0.0,
            now_ms: 0,
            dir,
            sent,
        }
    }
    pub fn tick(&mut self) {
        self.now_ms += 20;
        let now = Instant::from_ms(self.now_ms);
        for side in 0..2 {
            // Not in order of sending: jitter makes datagrams overtake.
            while let Some(i) = self.wires[side].iter().position(|(due, _)| *due <= self.now_ms) {
                let (_, octets) = self.wires[side].remove(i).expect("just found");
                self.legs[side].from_net(now, address(2 - side as u8), &octets);
            }
            let (mut from_line, mut to_line) = (SILENCE, SILENCE);
            self.machines[side].tx(&mut from_line);
            if side == 0 && self.noise > 0.0 {
                from_line.iter_mut().for_each(|s| *s = s.saturating_add(((self.rng.unit() * 2.0 - 1.0) * self.noise) as i16));
            }
            let (rng, wire) = (&mut self.rng, &mut self.wires[1 - side]);
            let (loss, delay, jitter, at) = (self.loss, self.delay_ms, self.jitter_ms, self.now_ms);
            self.legs[side].tick(now, &from_line, &mut to_line, &mut |_, octets| {
                if !rng.chance(loss) {
                    wire.push_back((at + delay + rng.below(jitter + 1), octets.to_vec()));
                }
            });
            self.machines[side].rx(&to_line);
        }
    }
    pub fn run(&mut self) -> (Outcome, Outcome) {
        for _ in 0..50 * 240 {
            self.tick();
            if self.machines.iter().all(|m| !m.active()) {
                break;
            }
        }
        self.machines.iter_mut().for_each(Terminal::hang_up);
        (self.machines[0].outcome().expect("ended"), self.machines[1].outcome().expect("ended"))
    }
    /// The pages that arrived, after the machines have closed their files.
    pub fn arrived(self) -> (Vec<Bitmap>, Vec<Bitmap>) {
        let World { machines, dir, sent, .. } = self;
        drop(machines);
        let got = tiff::read(&dir.join("got.tif"), 5000).unwrap_or_default();
        std::fs::remove_dir_all(dir).ok();
        (sent, got)
    }
}

#[test]
fn req_k5_a_page_crosses_two_relays_without_error_correction() {
    let mut w = World::new(&Scene::default());
    let (sender, receiver) = w.run();
    assert_eq!((sender.text, sender.pages_sent, receiver.pages_received, receiver.bad_rows), ("OK", 1, 1, 0));
    for leg in &w.legs {
        let s = leg.stats();
        assert_eq!(s.record.words(), "1 page, V.17 14400, delivered (MCF seen for last page)");
        assert_eq!((s.record.caller_ident.as_str(), s.record.called_ident.as_str()), ("2001", "3001"));
        assert_eq!((s.garbage, s.foreign, s.received.lost, s.unsendable, s.engine_faults), (0, 0, 0, 0, 0));
        assert!(leg.silent_ms() <= 1100, "keep-alives are heard: {}", leg.silent_ms());
    }
    let (sent, got) = w.arrived();
    assert_eq!(sent, got);
}

#[test]
fn two_pages_cross_two_relays_with_ecm_in_both_syntaxes() {
    for version in [0, 3] {
        let mut w = World::new(&Scene { name: "ecm", pages: 2, ecm: true, version, ..Scene::default() });
        let (sender, receiver) = w.run();
        assert_eq!((sender.text, sender.pages_sent, receiver.pages_received, sender.ecm), ("OK", 2, 2, true));
        assert_eq!(w.legs[1].stats().record.words(), "2 pages, V.17 14400, ECM, delivered (MCF seen for last page)");
        let (sent, got) = w.arrived();
        assert_eq!(sent, got);
    }
}

#[test]
fn every_modem_crosses() {
    for max_bps in [4800, 9600, 14400] {
        let mut w = World::new(&Scene { name: "modems", max_bps, ..Scene::default() });
        let (sender, _) = w.run();
        assert_eq!((sender.text, sender.bps), ("OK", max_bps));
        let (sent, got) = w.arrived();
        assert_eq!(sent, got);
    }
}

#[test]
fn a_leg_made_in_the_middle_of_the_preamble_does_not_lose_the_call() {
    // The called machine has sent flags for 400 ms, heard by nobody, when its leg is made; the caller's leg begins idle.
    for primed in [false, true] {
        let mut w = World::new(&Scene { name: if primed { "primed" } else { "late" }, ..Scene::default() });
        let mut heard = VecDeque::new();
        let mut frame = SILENCE;
        // CED 2.6 to 4 s, 75 ms of silence, then the preamble: run until it has gone on for 20 frames.
        let mut preamble = 0;
        for _ in 0..50 * 8 {
            w.machines[1].tx(&mut frame);
            w.machines[1].rx(&SILENCE);
            w.machines[0].tx(&mut { SILENCE });
            w.machines[0].rx(&SILENCE);
            w.now_ms += 20;
            heard.push_back(frame);
            if heard.len() > 25 {
                heard.pop_front();
            }
            if w.machines[1].phase() != tipring_dsp::spandsp::terminal::Phase::A {
                preamble += 1;
            }
            if preamble == 20 {
                break;
            }
        }
        assert_eq!(preamble, 20);
        if primed {
            let (now, wire) = (Instant::from_ms(w.now_ms), &mut w.wires[0]);
            let due = w.now_ms + 20;
            w.legs[1].prime(now, heard.make_contiguous(), &mut |_, o| wire.push_back((due, o.to_vec())));
        }
        let (sender, _) = w.run();
        assert_eq!(sender.text, "OK", "primed: {primed}");
        println!("primed {primed}: the call took {} ms after the switch", w.now_ms);
        let (sent, got) = w.arrived();
        assert_eq!(sent, got);
    }
}

#[test]
fn loss_against_protection_is_as_the_table_says() {
    let redundancy = |control, image| ErrorCorrection::Redundancy { control, image };
    let table = [
        ("none", ErrorCorrection::None),
        ("redundancy 1/1", redundancy(1, 1)),
        ("redundancy 3/2", redundancy(3, 2)),
        ("redundancy 5/4", redundancy(5, 4)),
        ("FEC 3x3", ErrorCorrection::Fec { span: 3, entries: 3 }),
        ("FEC 4x5", ErrorCorrection::Fec { span: 4, entries: 5 }),
    ];
    // Whole calls of this many pages, each intact bit by bit.
    const CALLS: u64 = 8;
    println!("pages intact of {CALLS} | loss: 0 %, 0.5 %, 1 %, 2 %, 3 %, 5 %   (non-ECM / ECM)");
    let mut at_default = Vec::new();
    for (name, correction) in table {
        let mut row = String::new();
        for loss in [0.0, 0.005, 0.01, 0.02, 0.03, 0.05] {
            let mut intact = [0; 2];
            for ecm in [false, true] {
                for seed in 0..CALLS {
                    let mut w = World::new(&Scene { name: "loss", ecm, correction, loss, seed: 100 + seed, ..Scene::default() });
                    w.run();
                    let (sent, got) = w.arrived();
                    intact[usize::from(ecm)] += u32::from(sent == got);
                }
            }
            row += &format!("  {}/{}", intact[0], intact[1]);
            if correction == redundancy(3, 2) {
                at_default.push((loss, intact));
            }
        }
        println!("{name:15} {row}");
    }
    for (loss, [plain, ecm]) in at_default {
        if loss <= 0.02 {
            assert!(u64::from(ecm) == CALLS && u64::from(plain) >= CALLS - 1, "default protection at {loss}: {plain}/{ecm}");
        }
    }
}

#[test]
fn a_spoilt_training_check_is_answered_by_ftt_and_the_call_goes_on() {
    for at in [76, 90, 104, 118] {
        let mut w = World::new(&Scene { name: "ftt", seed: at, ..Scene::default() });
        let mut since_dcs = 0;
        for _ in 0..50 * 30 {
            let record = w.legs[0].stats().record;
            // Noise falls into the TCF of the first try: it begins 75 ms after DCS and trains for 1.4 s.
            since_dcs += u64::from(record.rate.is_some());
            w.noise = if (at..at + 25).contains(&since_dcs) { 6000.0 } else { 0.0 };
            w.tick();
        }
        let (sender, _) = w.run();
        let record = w.legs[0].stats().record;
        println!("{} after {} FTT (the machine: {} at {})", record.words(), record.training_failures, sender.text, sender.bps);
        assert!(record.training_failures > 0, "the noise fell into the TCF");
        assert_eq!((sender.text, record.result), ("OK", Some(crate::fax::t30::observer::FaxResult::Delivered)));
        let (sent, got) = w.arrived();
        assert!(sent == got, "noise {} ms behind DCS: {} of {} rows", at * 20, got.first().map_or(0, |g| g.rows.len()), sent[0].rows.len());
    }
}
