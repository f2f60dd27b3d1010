//! Lines with simulated machines at the far end: what a person at the phone meets, through the samples.

use super::*;
use crate::digit_map::DigitMap;
use std::sync::Arc;
use tipring_dsp::line_model::LineParams;
use tipring_dsp::progress::ProgressTone;
use tipring_dsp::tone_plan::TonePlan;
use tipring_dsp::watch::Watch;
use tipring_hw::sim::{Control, Happening, Phone, SimEvent, SimPort};
use tipring_hw::{Port, PortEvent};

/// One port of a small exchange.
struct Set<P: Port> {
    port: P,
    line: Line,
    watch: Watch,
    to_line: Frame,
    from_line: Frame,
    audio: Audio,
    said: Vec<Event>,
    noticed: Vec<SimEvent>,
}

fn line(country: &str) -> Line {
    let map = DigitMap::parse("{ x+ | 2xxx | 3xxx }", &["112"]).expect("map");
    Line::new(LineConfig::new(TonePlan::of(country).expect("listed"), Arc::new(map)))
}

impl<P: Port> Set<P> {
    fn new(port: P, country: &str) -> Self {
        Set {
            port,
            line: line(country),
            watch: Watch::new(),
            to_line: SILENCE,
            from_line: SILENCE,
            audio: Audio::Own,
            said: vec![],
            noticed: vec![],
        }
    }
    /// One turn; `from_call` is what the other side says.
    fn turn(&mut self, from_call: &Frame) {
        self.port.exchange(&self.to_line, &mut self.from_line);
        let mut events: heapless::Vec<PortEvent, 16> = heapless::Vec::new();
        while let Some(event) = self.port.poll_event() {
            events.push(event).expect("a machine makes no more hook changes in a turn");
        }
        let findings = self.watch.rx(&self.from_line);
        self.to_line = *from_call;
        self.audio = self.line.tick(&events, findings, &mut self.to_line);
        while let Some(event) = self.line.poll_event() {
            self.said.push(event);
        }
        while let Some(command) = self.line.poll_port_command() {
            self.port.command(command);
        }
        while let Some(event) = self.port.poll_sim() {
            self.noticed.push(event);
        }
    }
    fn heard(&self, happening: &Happening) -> bool {
        self.noticed.iter().any(|e| e.what == *happening)
    }
}

fn phone(country: &str, seed: u64) -> Set<SimPort<Phone>> {
    let plan = TonePlan::of(country).expect("listed");
    Set::new(SimPort::new(Phone::new(plan), LineParams::HOUSE, seed), country)
}

/// Two sets and the wire between them, as the call would connect them.
fn exchange<A: Port, B: Port>(a: &mut Set<A>, b: &mut Set<B>, turns: u32) {
    for _ in 0..turns {
        let talking = a.audio == Audio::Connected && b.audio == Audio::Connected;
        let (from_a, from_b) = if talking { (a.from_line, b.from_line) } else { (SILENCE, SILENCE) };
        a.turn(&from_b);
        b.turn(&from_a);
    }
}

#[test]
fn a_phone_hears_dial_tone_dials_by_tone_and_the_line_says_what_was_dialled_in_every_country() {
    for plan in &tipring_dsp::tone_plan::PLANS {
        let mut a = phone(plan.country, 1);
        a.port.control(Control::Call { number: "3001".into() }).expect("a phone can call");
        for _ in 0..250 {
            a.turn(&SILENCE);
        }
        assert!(a.heard(&Happening::ToneStarted(ProgressTone::Dial)), "{}: {:?}", plan.country, a.noticed);
        let keys = DialString::parse("3001").expect("keys");
        assert_eq!(a.said, [Event::WentOffHook, Event::Dialled { keys, emergency: false }], "{}", plan.country);
    }
}

#[test]
fn a_phone_dials_by_pulses_and_flashes() {
    let mut a = phone("DE", 2);
    a.port
        .control(Control::Script {
            controls: vec![
                Control::OffHook,
                Control::Wait { ms: 1000 },
                Control::PulseDial { digits: "3001".into(), pulses_per_second: 10, break_percent: 60 },
            ],
        })
        .expect("a phone has a dial");
    for _ in 0..350 {
        a.turn(&SILENCE);
    }
    let keys = DialString::parse("3001").expect("keys");
    assert_eq!(a.said, [Event::WentOffHook, Event::Dialled { keys, emergency: false }]);
    a.line.command(Command::Connect);
    a.port.control(Control::Flash { ms: 300 }).expect("a phone has a flash key");
    for _ in 0..50 {
        a.turn(&SILENCE);
    }
    assert_eq!(a.said[2..], [Event::Flash]);
}

#[test]
fn two_phones_call_ring_answer_talk_and_hang_up() {
    let (mut a, mut b) = (phone("DE", 3), phone("DE", 4));
    b.port.control(Control::AutoAnswer { after_rings: Some(2) }).expect("phone");
    a.port.control(Control::Call { number: "3001".into() }).expect("phone");
    exchange(&mut a, &mut b, 200);
    assert!(matches!(a.said.last(), Some(Event::Dialled { .. })), "{:?}", a.said);
    a.line.command(Command::Ringback);
    b.line.command(Command::Ring { cadence_ms: None });
    exchange(&mut a, &mut b, 330);
    assert!(a.heard(&Happening::ToneStarted(ProgressTone::Ringback)), "{:?}", a.noticed);
    assert!(b.heard(&Happening::RingStarted));
    assert_eq!(b.said, [Event::Answered]);
    a.line.command(Command::Connect);
    b.line.command(Command::Connect);
    // A says a tone of 1000 Hz; B records it.
    let says: Vec<i16> = (0..8000).map(|n| (8000.0 * (f64::from(n) * 1000.0 / 8000.0 * core::f64::consts::TAU).sin()) as i16).collect();
    b.port.control(Control::RecordStart { samples_max: 16_000 }).expect("phone");
    a.port.control(Control::Play { samples: says }).expect("phone");
    exchange(&mut a, &mut b, 75);
    b.port.control(Control::RecordStop).expect("phone");
    exchange(&mut a, &mut b, 5);
    let recorded = b
        .noticed
        .iter()
        .find_map(|e| match &e.what {
            Happening::Recorded(samples) => Some(samples),
            _ => None,
        })
        .expect("a recording");
    let loud = recorded.iter().filter(|s| s.unsigned_abs() > 1000).count();
    assert!((6000..9000).contains(&loud), "{loud} loud samples");
    a.port.control(Control::OnHook).expect("phone");
    exchange(&mut a, &mut b, 50);
    assert_eq!(a.said.last(), Some(&Event::WentOnHook));
    b.line.command(Command::FarEndGone);
    exchange(&mut a, &mut b, 200);
    assert!(b.heard(&Happening::ToneStarted(ProgressTone::Reorder)), "{:?}", b.noticed);
}

#[test]
fn an_idle_line_costs_next_to_nothing_and_wakes_at_once() {
    let mut a = phone("US", 5);
    for _ in 0..100 {
        a.turn(&SILENCE);
    }
    assert_eq!(a.from_line, SILENCE);
    a.port.control(Control::OffHook).expect("phone");
    let turns = (0..10).find(|_| {
        a.turn(&SILENCE);
        a.to_line != SILENCE
    });
    assert!(turns.is_some_and(|n| n <= 4), "dial tone within 100 ms: {turns:?}");
}

#[cfg(feature = "spandsp")]
mod fax {
    use super::*;
    use tipring_hw::sim::{FaxMachine, FaxSettings};

    fn fax(name: &str, folder: &std::path::Path) -> Set<SimPort<FaxMachine>> {
        let settings = FaxSettings {
            plan: TonePlan::of("DE").expect("listed"),
            ident: name.into(),
            ecm: true,
            max_bps: 14400,
            answer_after_rings: Some(1),
            receive_into: Some(folder.into()),
            name: name.into(),
        };
        Set::new(SimPort::new(FaxMachine::new(settings), LineParams::HOUSE, 7), "DE")
    }

    fn done<P: Port>(set: &Set<P>) -> Option<tipring_hw::sim::FaxReport> {
        set.noticed.iter().find_map(|e| match &e.what {
            Happening::FaxDone(report) => Some(report.clone()),
            _ => None,
        })
    }

    #[test]
    fn a_fax_machine_that_hears_busy_gives_up_and_hangs_up() {
        let folder = std::env::temp_dir();
        let mut a = fax("busy-caller", &folder);
        a.port.control(Control::SendFax { number: "3003".into(), tiff: folder.join("no-such-page.tif") }).expect("a fax machine can");
        for _ in 0..200 {
            a.turn(&SILENCE);
        }
        assert!(matches!(a.said.last(), Some(Event::Dialled { .. })), "{:?}", a.said);
        a.line.command(Command::Busy);
        for _ in 0..500 {
            a.turn(&SILENCE);
        }
        let report = done(&a).expect("the call is over");
        assert!(!report.ok);
        assert_eq!(report.text, "Busy tone was heard");
        assert_eq!(a.said.last(), Some(&Event::WentOnHook));
        assert_eq!(a.line.state(), State::OnHook);
    }

    /// A page of A4 width with a text-like pattern, by seed-free arithmetic.
    fn page() -> tipring_dsp::spandsp::tiff::Bitmap {
        let rows = (0..400u32)
            .map(|y| (0..216u32).map(|x| if (x / 3 + y / 5) % 4 == 0 && y % 17 < 9 { (x * 37 + y * 11) as u8 } else { 0 }).collect())
            .collect();
        tipring_dsp::spandsp::tiff::Bitmap { width: 1728, rows, x_dpi: 204, y_dpi: 196 }
    }

    #[test]
    fn a_fax_machine_dials_sends_its_page_and_the_other_stores_it_identical() {
        let folder = std::env::temp_dir().join(format!("tipring-line-fax-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let sent = folder.join("page.tif");
        tipring_dsp::spandsp::tiff::write(&sent, &[page()]).expect("writes the page");
        let (mut a, mut b) = (fax("2003", &folder), fax("3003", &folder));
        a.port.control(Control::SendFax { number: "3003".into(), tiff: sent.clone() }).expect("a fax machine can");
        let mut called = false;
        let mut turns = 0;
        while (done(&a).is_none() || done(&b).is_none()) && turns < 50 * 120 {
            exchange(&mut a, &mut b, 1);
            turns += 1;
            if !called && matches!(a.said.last(), Some(Event::Dialled { .. })) {
                called = true;
                a.line.command(Command::Ringback);
                b.line.command(Command::Ring { cadence_ms: None });
            }
            if b.said.contains(&Event::Answered) && a.line.state() != State::Talking && !a.said.contains(&Event::WentOnHook) {
                a.line.command(Command::Connect);
                b.line.command(Command::Connect);
            }
        }
        let (from, to) = (done(&a).expect("the sender reports"), done(&b).expect("the receiver reports"));
        assert!(from.ok && to.ok, "{from:?} {to:?}");
        assert_eq!((from.pages, to.pages, to.remote_ident.as_str()), (1, 1, "2003"));
        let stored = tipring_dsp::spandsp::tiff::read(&to.file.expect("a file"), 4000).expect("a TIFF");
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].rows, page().rows);
        exchange(&mut a, &mut b, 100);
        assert_eq!((a.line.state(), b.line.state()), (State::OnHook, State::OnHook));
        std::fs::remove_dir_all(&folder).expect("its own folder");
    }
}
