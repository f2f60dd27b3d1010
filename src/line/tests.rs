use super::*;
use crate::digit_map::DigitMap;
use proptest::prelude::*;
use std::sync::Arc;
use tipring_dsp::tone_plan::TonePlan;

/// A line and what happened on it, in virtual turns.
struct Bench {
    line: Line,
    said: Vec<Event>,
    ring: Vec<(u64, bool)>,
    turn: u64,
    /// Hook changes still to come: at this ms, closed or open.
    hook: Vec<(u64, bool)>,
    heard: Frame,
    audio: Audio,
}

fn bench() -> Bench {
    bench_with(|_| {})
}

fn bench_with(change: impl FnOnce(&mut LineConfig)) -> Bench {
    let map = DigitMap::parse("{ x+ | 2xxx | 3xxx | *xx | xxxxxT }", &["112", "911"]).expect("map");
    let mut config = LineConfig::new(TonePlan::of("DE").expect("a listed country"), Arc::new(map));
    change(&mut config);
    Bench { line: Line::new(config), said: vec![], ring: vec![], turn: 0, hook: vec![], heard: SILENCE, audio: Audio::Own }
}

impl Bench {
    fn now_ms(&self) -> u64 {
        self.turn * TURN_MS
    }
    fn turn_with(&mut self, events: &[PortEvent], findings: &[Finding]) {
        let from = self.now_ms();
        let mut all: Vec<PortEvent> = events.to_vec();
        self.hook.retain(|(at, closed)| {
            let due = (from..from + TURN_MS).contains(at);
            if due {
                let at_ms = (at - from) as u8;
                all.push(if *closed { PortEvent::OffHook { at_ms } } else { PortEvent::OnHook { at_ms } });
            }
            !due
        });
        self.audio = self.line.tick(&all, findings, &mut self.heard);
        while let Some(event) = self.line.poll_event() {
            self.said.push(event);
        }
        while let Some(command) = self.line.poll_port_command() {
            if let PortCommand::Ring(on) = command {
                self.ring.push((self.turn * TURN_MS, on));
            }
        }
        self.turn += 1;
    }
    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / TURN_MS {
            self.turn_with(&[], &[]);
        }
    }
    fn lift(&mut self) {
        self.turn_with(&[PortEvent::OffHook { at_ms: 3 }], &[]);
    }
    fn hang_up(&mut self) {
        self.turn_with(&[PortEvent::OnHook { at_ms: 3 }], &[]);
    }
    /// A break of the loop, starting with the next turn.
    fn break_ms(&mut self, ms: u64) {
        let at = self.now_ms();
        self.hook.extend([(at, false), (at + ms, true)]);
        self.run_ms((ms / TURN_MS + 1) * TURN_MS);
    }
    fn key(&mut self, digit: u8) {
        self.turn_with(&[], &[Finding::DigitStarted { digit, at: 0 }]);
        self.run_ms(60);
        self.turn_with(&[], &[Finding::DigitEnded { digit, at: 0, duration_ms: 80 }]);
    }
    fn dial(&mut self, keys: &str) {
        keys.bytes().for_each(|k| self.key(k));
    }
    fn pulse_digit(&mut self, pulses: u64, break_ms: u64, make_ms: u64) {
        let at = self.now_ms() + 5;
        for n in 0..pulses {
            let start = at + n * (break_ms + make_ms);
            self.hook.extend([(start, false), (start + break_ms, true)]);
        }
        self.run_ms((pulses * (break_ms + make_ms) + 300) / TURN_MS * TURN_MS);
    }
    fn tone_is_heard(&self) -> bool {
        self.heard != SILENCE
    }
    fn command(&mut self, command: Command) {
        self.line.command(command);
        self.run_ms(20);
    }
}

fn keys(text: &str) -> DialString {
    DialString::parse(text).expect("keys")
}
fn dialled(text: &str) -> Event {
    Event::Dialled { keys: keys(text), emergency: false }
}

#[test]
fn dial_tone_comes_in_the_turn_of_lifting_and_the_first_digit_stops_it() {
    let mut b = bench();
    b.run_ms(100);
    assert!(!b.tone_is_heard());
    b.lift();
    assert!(b.tone_is_heard());
    assert_eq!(b.said, [Event::WentOffHook]);
    b.run_ms(500);
    b.turn_with(&[], &[Finding::DigitStarted { digit: b'3', at: 0 }]);
    assert!(!b.tone_is_heard());
    assert_eq!(b.line.state(), State::Dialling);
}

#[test]
fn ringback_that_is_asked_for_again_keeps_its_cadence_and_may_last_longer() {
    let mut b = bench();
    b.lift();
    b.dial("3001");
    let limit_ms = b.line.config.timeouts.await_call_max_ms;
    let heard = |again_after_ms: Option<u32>| {
        let mut b = bench();
        b.lift();
        b.dial("3001");
        b.command(Command::Ringback);
        (0..300u32)
            .map(|turn| {
                if Some(turn * 20) == again_after_ms {
                    b.line.command(Command::Ringback);
                }
                b.run_ms(20);
                b.tone_is_heard()
            })
            .collect::<Vec<_>>()
    };
    assert!(heard(None).contains(&false), "the cadence has a pause");
    // In the middle of the pause, where a new beginning would be heard.
    let pause = heard(None).iter().position(|on| !on).unwrap() as u32 * 20 + 400;
    assert_eq!(heard(Some(pause)), heard(None));
    b.command(Command::Ringback);
    for _ in 0..4 {
        b.run_ms(u64::from(limit_ms / 2));
        b.command(Command::Ringback);
    }
    assert_eq!(b.line.state(), State::AwaitingCall { ringback: true });
    b.run_ms(u64::from(limit_ms) + 100);
    assert_ne!(b.line.state(), State::AwaitingCall { ringback: true }, "but not for ever");
}

#[test]
fn four_digits_of_the_plan_are_dialled_at_once_and_connect_opens_the_audio() {
    let mut b = bench();
    b.lift();
    b.dial("3001");
    assert_eq!(b.said, [Event::WentOffHook, dialled("3001")]);
    assert!(!b.tone_is_heard());
    b.command(Command::Ringback);
    assert!(b.tone_is_heard());
    assert_eq!(b.audio, Audio::Own);
    b.command(Command::Connect);
    assert_eq!(b.audio, Audio::Connected);
    b.key(b'5');
    b.hang_up();
    b.run_ms(680);
    assert_eq!(b.said.len(), 2, "a flash is still possible");
    b.run_ms(60);
    assert_eq!(b.said[2..], [Event::WentOnHook]);
    assert_eq!(b.line.state(), State::OnHook);
}

#[test]
fn emergency_numbers_are_dialled_at_once_whatever_the_map_says() {
    let mut b = bench();
    b.lift();
    b.dial("11");
    b.turn_with(&[], &[Finding::DigitStarted { digit: b'2', at: 0 }]);
    assert_eq!(b.said[1..], [Event::Dialled { keys: keys("112"), emergency: true }]);
}

#[test]
fn a_number_that_could_be_longer_waits_for_the_inter_digit_time_or_the_hash_key() {
    let mut b = bench();
    b.lift();
    b.dial("55");
    b.run_ms(3900);
    assert_eq!(b.said.len(), 1);
    b.run_ms(120);
    assert_eq!(b.said[1..], [dialled("55")]);

    let mut b = bench();
    b.lift();
    b.dial("55#");
    assert_eq!(b.said[1..], [dialled("55")]);

    let mut b = bench();
    b.lift();
    b.dial("55555");
    b.run_ms(2020);
    assert_eq!(b.said[1..], [dialled("55555")], "T is the short timer");
}

#[test]
fn a_held_key_does_not_run_into_the_inter_digit_time_but_is_not_waited_for_for_ever() {
    let mut b = bench();
    b.lift();
    b.turn_with(&[], &[Finding::DigitStarted { digit: b'*', at: 0 }]);
    b.run_ms(9900);
    assert_eq!(b.line.state(), State::Dialling);
    b.run_ms(200);
    assert_eq!(b.said[1..], [Event::DialTimeout(keys("*"))]);
}

#[test]
fn nothing_or_nonsense_dialled_gives_reorder_then_the_howler_then_silence() {
    let mut b = bench();
    b.lift();
    b.run_ms(15_020);
    assert_eq!(b.said[1..], [Event::DialTimeout(DialString::new())]);
    assert_eq!(b.line.state(), State::FailureTone(FailureTone::Reorder));
    b.run_ms(20_000);
    assert_eq!(b.line.state(), State::Howler);
    b.run_ms(60_000);
    assert_eq!(b.line.state(), State::LockedOut);
    assert!(!b.tone_is_heard());
    b.hang_up();
    b.run_ms(240);
    assert_eq!(b.said[2..], [Event::LockedOut, Event::WentOnHook]);

    let mut b = bench();
    b.lift();
    b.dial("*#");
    assert_eq!(b.said[1..], [Event::Misdialled(keys("*#"))]);
}

#[test]
fn pulse_dialling_is_counted_at_10_and_20_pulses_a_second_for_every_ratio_and_the_digit_zero() {
    for (break_ms, make_ms) in [(40, 60), (50, 50), (60, 40), (67, 33), (20, 30), (25, 25), (30, 20), (84, 41), (49, 76)] {
        let mut b = bench();
        b.lift();
        b.run_ms(400);
        for digit in [3u64, 10, 10, 1] {
            b.pulse_digit(digit, break_ms, make_ms);
            assert!(!b.tone_is_heard());
        }
        assert_eq!(b.said, [Event::WentOffHook, dialled("3001")], "break {break_ms} make {make_ms}");
    }
}

#[test]
fn pulses_count_for_nothing_where_pulse_dialling_is_off() {
    let mut b = bench_with(|c| c.pulse_dialling = false);
    b.lift();
    b.pulse_digit(3, 60, 40);
    assert_eq!(b.line.state(), State::DialTone);
    assert_eq!(b.said, [Event::WentOffHook]);
}

#[test]
fn a_hook_flash_is_told_from_a_hang_up_by_its_length() {
    for (break_ms, expected) in [
        (5, vec![]),
        (60, vec![]),
        (100, vec![Event::Flash]),
        (400, vec![Event::Flash]),
        (690, vec![Event::Flash]),
        (760, vec![Event::WentOnHook, Event::WentOffHook]),
    ] {
        let mut b = bench();
        b.lift();
        b.dial("3001");
        b.command(Command::Connect);
        b.said.clear();
        b.break_ms(break_ms);
        b.run_ms(1000);
        assert_eq!(b.said, expected, "{break_ms} ms");
    }
}

#[test]
fn a_break_while_dialling_starts_again_with_dial_tone() {
    let mut b = bench();
    b.lift();
    b.dial("55");
    b.break_ms(300);
    assert_eq!(b.said, [Event::WentOffHook, Event::WentOnHook, Event::WentOffHook]);
    assert!(b.tone_is_heard());
    b.dial("3001");
    assert_eq!(b.said[3..], [dialled("3001")]);
}

#[test]
fn the_bell_follows_the_cadence_of_the_country_and_stops_when_it_is_lifted() {
    let mut b = bench_with(|c| c.tones = TonePlan::of("GB").expect("listed"));
    b.command(Command::Ring { cadence_ms: None });
    b.run_ms(3400);
    assert_eq!(b.ring.iter().map(|r| r.1).collect::<Vec<_>>(), [true, false, true, false, true, false]);
    let gaps: Vec<u64> = b.ring.windows(2).map(|w| w[1].0 - w[0].0).collect();
    // The first section begins between two turns and so is seen one turn short.
    assert_eq!(gaps[1..], [200, 400, 2000, 400]);
    assert!((380..=400).contains(&gaps[0]));
}

#[test]
fn lifting_while_ringing_answers_also_within_a_burst() {
    for wait_ms in [500, 2000] {
        let mut b = bench();
        b.command(Command::Ring { cadence_ms: None });
        b.run_ms(wait_ms);
        b.lift();
        assert_eq!(b.ring.last().map(|r| r.1), Some(false), "the current stops in the turn of lifting");
        b.run_ms(60);
        assert_eq!(b.said, [Event::Answered]);
        b.command(Command::Connect);
        assert_eq!(b.audio, Audio::Connected);
        b.hang_up();
        b.run_ms(800);
        assert_eq!(b.said, [Event::Answered, Event::WentOnHook]);
    }
}

#[test]
fn a_bell_tap_is_no_answer_and_ringing_goes_on() {
    let mut b = bench();
    b.command(Command::Ring { cadence_ms: None });
    b.run_ms(500);
    b.turn_with(&[PortEvent::OffHook { at_ms: 2 }, PortEvent::OnHook { at_ms: 12 }], &[]);
    b.run_ms(20);
    assert_eq!(b.line.state(), State::Ringing);
    assert!(b.said.is_empty());
    b.command(Command::StopRinging);
    assert_eq!(b.line.state(), State::OnHook);
    assert_eq!(b.ring.last().map(|r| r.1), Some(false));
}

#[test]
fn glare_the_one_who_lifts_first_gets_dial_tone_and_the_call_is_refused() {
    let mut b = bench();
    b.lift();
    b.command(Command::Ring { cadence_ms: None });
    assert_eq!(b.said, [Event::WentOffHook, Event::RingRefused]);
    assert!(b.tone_is_heard());
    // The other way round: the ring command came first, so lifting answers even before the bell was heard.
    let mut b = bench();
    b.line.command(Command::Ring { cadence_ms: None });
    b.lift();
    b.run_ms(60);
    assert_eq!(b.said, [Event::Answered]);
}

#[test]
fn lifting_as_the_caller_gives_up_gives_dial_tone() {
    let mut b = bench();
    b.command(Command::Ring { cadence_ms: None });
    b.lift();
    b.command(Command::StopRinging);
    assert_eq!(b.said, [Event::WentOffHook]);
    assert!(b.tone_is_heard());
}

#[test]
fn the_far_end_hanging_up_opens_the_loop_for_a_while_and_gives_reorder() {
    let mut b = bench_with(|c| c.disconnect_break_ms = 500);
    b.lift();
    b.dial("3001");
    b.command(Command::Connect);
    b.line.command(Command::FarEndGone);
    assert_eq!(b.line.poll_port_command(), Some(PortCommand::Battery(false)));
    for _ in 0..25 {
        b.line.tick(&[], &[], &mut b.heard);
    }
    assert_eq!(b.line.poll_port_command(), Some(PortCommand::Battery(true)));
    assert!(matches!(b.line.state(), State::FailureTone(FailureTone::Reorder)));
}

#[test]
fn dial_tone_stutters_while_messages_wait() {
    let quiet_turns = |waiting| {
        let mut b = bench_with(|c| c.tones = TonePlan::of("US").expect("listed"));
        b.command(Command::MessagesWaiting(waiting));
        b.lift();
        (0..50)
            .filter(|_| {
                b.run_ms(20);
                !b.tone_is_heard()
            })
            .count()
    };
    assert_eq!(quiet_turns(false), 0);
    assert_eq!(quiet_turns(true), 15, "three pauses of 100 ms");
}

#[test]
fn a_device_that_vanishes_ends_the_call_and_comes_back_on_hook() {
    let mut b = bench();
    b.lift();
    b.dial("3001");
    b.command(Command::Connect);
    b.turn_with(&[PortEvent::Gone], &[]);
    assert_eq!(b.said[2..], [Event::WentOnHook, Event::PortGone]);
    b.command(Command::Ring { cadence_ms: None });
    assert_eq!(b.said[4..], [Event::RingRefused]);
    b.turn_with(&[PortEvent::Back], &[]);
    b.lift();
    assert_eq!(b.said[5..], [Event::PortBack, Event::WentOffHook]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Port(PortEvent),
    Key(u8),
    KeyUp,
    Command(Command),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..25).prop_map(|at_ms| Step::Port(PortEvent::OffHook { at_ms })),
        (0u8..25).prop_map(|at_ms| Step::Port(PortEvent::OnHook { at_ms })),
        prop_oneof![Just(PortEvent::Gone), Just(PortEvent::Back)].prop_map(Step::Port),
        prop::sample::select(b"0123456789*#ABCD".to_vec()).prop_map(Step::Key),
        Just(Step::KeyUp),
        prop::sample::select(vec![
            Command::Ring { cadence_ms: None },
            Command::Ring { cadence_ms: Some(&[0, 0, 100]) },
            Command::StopRinging,
            Command::Ringback,
            Command::Silence,
            Command::Connect,
            Command::Busy,
            Command::Reorder,
            Command::FarEndGone,
            Command::DialTone,
            Command::MessagesWaiting(true),
            Command::Reset,
        ])
        .prop_map(Step::Command),
        (0u16..900).prop_map(Step::Wait),
    ]
}

fn after(steps: &[Step]) -> Bench {
    let mut b = bench_with(|c| c.disconnect_break_ms = 300);
    for s in steps {
        match *s {
            Step::Port(event) => b.turn_with(&[event], &[]),
            Step::Key(digit) => b.turn_with(&[], &[Finding::DigitStarted { digit, at: 0 }]),
            Step::KeyUp => b.turn_with(&[], &[Finding::DigitEnded { digit: b'1', at: 0, duration_ms: 80 }]),
            Step::Command(command) => b.line.command(command),
            Step::Wait(ms) => b.run_ms(u64::from(ms)),
        }
    }
    b
}

proptest! {
    #[test]
    fn hanging_up_leads_to_on_hook_within_the_guard_time_from_everywhere(steps in prop::collection::vec(step(), 0..40)) {
        let mut b = after(&steps);
        let gone = b.line.state() == State::Gone;
        b.hang_up();
        b.run_ms(720);
        let ended = b.line.state();
        prop_assert!(ended == State::OnHook || ended == State::Ringing || gone && ended == State::Gone, "{ended:?}");
        prop_assert_eq!(b.line.events_lost(), 0);
        // Each beginning has its end, in turn.
        let mut off_hook = false;
        for event in &b.said {
            match event {
                Event::WentOffHook | Event::Answered => {
                    prop_assert!(!off_hook, "lifted twice: {:?}", b.said);
                    off_hook = true;
                }
                Event::WentOnHook => {
                    prop_assert!(off_hook, "hung up without lifting: {:?}", b.said);
                    off_hook = false;
                }
                _ => {}
            }
        }
        prop_assert!(!off_hook, "{:?}", b.said);
    }

    #[test]
    fn every_state_comes_to_rest_by_itself_when_nothing_more_happens(steps in prop::collection::vec(step(), 0..30)) {
        let mut b = after(&steps);
        b.run_ms(300_000);
        prop_assert!(matches!(b.line.state(), State::OnHook | State::Talking | State::LockedOut | State::Gone), "{:?}", b.line.state());
        prop_assert_eq!(b.line.waits_for(), None);
    }
}
