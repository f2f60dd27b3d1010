//! A telephone and the person at it: lifts, listens, presses keys or turns a dial, speaks, records, answers.
//!
//! The person hears: dial tone, ringback, busy and reorder are recognised by ear (the progress detector of the country), never by
//! looking at the gateway's state. Commands are steps of one script; those that take time are waited for by the ones behind them.

use super::{Bell, BellChange, Control, ControlError, Happening, HookChange, Machine, SimEvent, Wire};
use crate::Frame;
use crate::limits::{HOOK_CHANGES_MAX, RECORD_SAMPLES_MAX, SCRIPT_STEPS_MAX, SIM_EVENTS_MAX};
use std::collections::VecDeque;
use tipring_dsp::SILENCE;
use tipring_dsp::dtmf::{Generator, Sending, row_and_column};
use tipring_dsp::progress::{ProgressDetector, ProgressEvent, ProgressTone};
use tipring_dsp::tone_plan::TonePlan;

const TURN_MS: u64 = 20;
/// How long a person listens for dial tone before giving up.
const DIAL_TONE_WAIT_MS: u32 = 10_000;
/// A key is pressed this long after dial tone was recognised.
const REACTION_MS: u32 = 200;
/// Between two digits of a dial, ms.
const PULSE_DIGIT_GAP_MS: u64 = 700;

/// A phone.
pub struct Phone {
    now_ms: u64,
    off_hook: bool,
    /// Contacts still to open or close: when, closed.
    contacts: VecDeque<(u64, bool)>,
    hook: heapless::Deque<HookChange, HOOK_CHANGES_MAX>,
    script: VecDeque<Step>,
    wait_until: Option<u64>,
    keys: Generator,
    dialling: bool,
    saying: Vec<i16>,
    said: usize,
    recording: Option<Vec<i16>>,
    record_max: usize,
    ear: ProgressDetector,
    plan: &'static TonePlan,
    bell: Bell,
    auto_answer: Option<u8>,
    events: heapless::Deque<SimEvent, SIM_EVENTS_MAX>,
    events_lost: u32,
}

/// One step of the script.
#[derive(Clone, PartialEq, Debug)]
enum Step {
    Lift,
    HangUp,
    Break {
        ms: u32,
    },
    Keys {
        keys: String,
        on_ms: u32,
        off_ms: u32,
    },
    Pulses {
        digits: String,
        period_ms: u64,
        break_ms: u64,
    },
    ExpectTone {
        tone: ProgressTone,
        within_ms: u32,
    },
    Wait {
        ms: u32,
    },
    Say {
        samples: Vec<i16>,
    },
    /// An empty buffer of the capacity wanted: taken from memory when commanded, not in a turn.
    RecordStart {
        buffer: Vec<i16>,
    },
    RecordStop,
}

impl Phone {
    /// A phone, on hook, used by somebody who knows the tones of `plan`.
    pub fn new(plan: &'static TonePlan) -> Self {
        Phone {
            now_ms: 0,
            off_hook: false,
            contacts: VecDeque::with_capacity(SCRIPT_STEPS_MAX),
            hook: heapless::Deque::new(),
            script: VecDeque::new(),
            wait_until: None,
            keys: Generator::new(Sending::default()),
            dialling: false,
            saying: Vec::new(),
            said: 0,
            recording: None,
            record_max: 0,
            ear: ProgressDetector::new(plan),
            plan,
            bell: Bell::default(),
            auto_answer: None,
            events: heapless::Deque::new(),
            events_lost: 0,
        }
    }

    /// The tone that is heard.
    pub fn hears(&self) -> Option<ProgressTone> {
        self.ear.current()
    }

    /// Events that nobody fetched in time.
    pub fn events_lost(&self) -> u32 {
        self.events_lost
    }

    fn notice(&mut self, what: Happening) {
        let event = SimEvent { at_ms: self.now_ms, what };
        if self.events.push_back(event).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }

    fn queue(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<(), ControlError> {
        for step in steps {
            if self.script.len() == SCRIPT_STEPS_MAX {
                return Err(ControlError::OutOfRange);
            }
            self.script.push_back(step);
        }
        Ok(())
    }

    /// Nothing that takes time is going on.
    fn free(&self) -> bool {
        self.contacts.is_empty() && !self.dialling && self.said == self.saying.len() && self.wait_until.is_none()
    }

    fn contact(&mut self, closed: bool, at_ms: u64) {
        self.contacts.push_back((at_ms, closed));
    }

    /// Moves the contact now.
    fn move_hook(&mut self, closed: bool, at_ms: u8) {
        if self.off_hook == closed {
            return;
        }
        self.off_hook = closed;
        let _ = self.hook.push_back(HookChange { closed, at_ms });
    }

    fn lift(&mut self) {
        if !self.off_hook {
            self.bell = Bell::default();
            self.ear = ProgressDetector::new(self.plan);
            self.move_hook(true, 5);
            self.notice(Happening::OffHook);
        }
    }

    fn hang_up(&mut self) {
        self.contacts.clear();
        self.keys.stop();
        self.dialling = false;
        self.said = self.saying.len();
        self.wait_until = None;
        if self.off_hook {
            self.move_hook(false, 5);
            self.notice(Happening::OnHook);
        }
    }

    /// Takes steps until one needs time.
    fn run_script(&mut self) {
        // Each step is taken once; a step that waits stays in front.
        for _ in 0..self.script.len() {
            if !self.free() && !matches!(self.script.front(), Some(Step::HangUp | Step::RecordStart { .. } | Step::RecordStop)) {
                return;
            }
            let Some(step) = self.script.pop_front() else { return };
            match step {
                Step::Lift => self.lift(),
                Step::HangUp => self.hang_up(),
                // Nothing to break, and nothing to dial with, while on hook.
                Step::Break { .. } | Step::Pulses { .. } if !self.off_hook => {}
                Step::Break { ms } => {
                    self.contact(false, self.now_ms);
                    self.contact(true, self.now_ms + u64::from(ms));
                }
                Step::Keys { keys, on_ms, off_ms } => {
                    self.keys = Generator::new(Sending { on_ms, off_ms, ..Sending::default() });
                    // The control checked keys and length.
                    self.dialling = keys.bytes().all(|k| self.keys.push(k).is_ok());
                }
                Step::Pulses { digits, period_ms, break_ms } => self.turn_dial(&digits, period_ms, break_ms),
                Step::ExpectTone { tone, within_ms } => {
                    if self.ear.current() == Some(tone) {
                        continue;
                    }
                    if within_ms < TURN_MS as u32 {
                        self.script.clear();
                        self.notice(Happening::NoTone(tone));
                        return;
                    }
                    self.script.push_front(Step::ExpectTone { tone, within_ms: within_ms - TURN_MS as u32 });
                    return;
                }
                Step::Wait { ms } => self.wait_until = Some(self.now_ms + u64::from(ms)),
                Step::Say { samples } => {
                    self.saying = samples;
                    self.said = 0;
                }
                Step::RecordStart { buffer } => {
                    self.record_max = buffer.capacity();
                    self.recording = Some(buffer);
                }
                Step::RecordStop => {
                    if let Some(samples) = self.recording.take() {
                        self.notice(Happening::Recorded(samples));
                    }
                }
            }
        }
    }

    fn turn_dial(&mut self, digits: &str, period_ms: u64, break_ms: u64) {
        let mut at = self.now_ms;
        for digit in digits.bytes() {
            let pulses = if digit == b'0' { 10 } else { u64::from(digit - b'0') };
            for _ in 0..pulses {
                self.contact(false, at);
                self.contact(true, at + break_ms);
                at += period_ms;
            }
            at += PULSE_DIGIT_GAP_MS;
        }
    }

    fn speak(&mut self, speaks: &mut Frame) {
        *speaks = SILENCE;
        if self.dialling {
            if !self.keys.tx(speaks) || self.keys.is_idle() {
                self.dialling = false;
                self.notice(Happening::Dialled);
            }
            return;
        }
        let left = &self.saying[self.said..];
        let n = left.len().min(speaks.len());
        if n > 0 {
            speaks[..n].copy_from_slice(&left[..n]);
            self.said += n;
            if self.said == self.saying.len() {
                self.notice(Happening::Played);
            }
        }
    }

    fn listen(&mut self, hears: &Frame) {
        match self.ear.rx(hears) {
            Some(ProgressEvent::Started { tone, .. }) => self.notice(Happening::ToneStarted(tone)),
            Some(ProgressEvent::Ended { tone, .. }) => self.notice(Happening::ToneStopped(tone)),
            None => {}
        }
        if let Some(recording) = &mut self.recording {
            let n = (self.record_max - recording.len()).min(hears.len());
            recording.extend_from_slice(&hears[..n]);
        }
    }
}

impl Machine for Phone {
    fn turn(&mut self, hears: &Frame, wire: Wire, speaks: &mut Frame) {
        match self.bell.turn(wire.ringing && !self.off_hook) {
            Some(BellChange::Started) => self.notice(Happening::RingStarted),
            Some(BellChange::Stopped) => self.notice(Happening::RingStopped),
            None => {}
        }
        if self.bell.answers(self.auto_answer) {
            self.lift();
        }
        if self.off_hook {
            self.listen(hears);
        }
        if self.wait_until.is_some_and(|until| until <= self.now_ms) {
            self.wait_until = None;
        }
        self.run_script();
        while let Some((at, closed)) = self.contacts.front().copied().filter(|(at, _)| *at < self.now_ms + TURN_MS) {
            self.contacts.pop_front();
            self.move_hook(closed, at.saturating_sub(self.now_ms).min(19) as u8);
            if self.contacts.is_empty() {
                self.wait_until = Some(self.now_ms + 2 * TURN_MS);
            }
        }
        self.speak(speaks);
        self.now_ms += TURN_MS;
    }

    fn poll_hook(&mut self) -> Option<HookChange> {
        self.hook.pop_front()
    }

    fn is_off_hook(&self) -> bool {
        self.off_hook
    }

    fn control(&mut self, control: Control) -> Result<(), ControlError> {
        match control {
            // A person who hangs up drops what they meant to do.
            Control::OnHook => {
                self.script.clear();
                self.queue([Step::HangUp])
            }
            Control::AutoAnswer { after_rings } => {
                self.auto_answer = after_rings;
                Ok(())
            }
            Control::Script { controls } => {
                let mut steps = Vec::new();
                for control in controls {
                    steps.extend(steps_of(control)?);
                }
                self.queue(steps)
            }
            one => {
                let steps = steps_of(one)?;
                self.queue(steps)
            }
        }
    }

    fn poll_sim(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }
}

/// What a control means in steps; nothing of it is done yet.
fn steps_of(control: Control) -> Result<Vec<Step>, ControlError> {
    let usual = Sending::default();
    Ok(match control {
        Control::OffHook => vec![Step::Lift],
        Control::OnHook => vec![Step::HangUp],
        Control::Flash { ms } if (10..=2000).contains(&ms) => vec![Step::Break { ms }],
        Control::Dial { keys, on_ms, off_ms } => {
            check_keys(&keys)?;
            if !(10..=5000).contains(&on_ms) || !(10..=5000).contains(&off_ms) {
                return Err(ControlError::OutOfRange);
            }
            vec![Step::Keys { keys, on_ms, off_ms }]
        }
        Control::PulseDial { digits, pulses_per_second, break_percent } => {
            if let Some(c) = digits.chars().find(|c| !c.is_ascii_digit()) {
                return Err(ControlError::BadKey(c));
            }
            if !(8..=22).contains(&pulses_per_second) || !(30..=70).contains(&break_percent) || digits.len() > 40 {
                return Err(ControlError::OutOfRange);
            }
            let period_ms = 1000 / u64::from(pulses_per_second);
            vec![Step::Pulses { digits, period_ms, break_ms: period_ms * u64::from(break_percent) / 100 }]
        }
        Control::Call { number } => {
            check_keys(&number)?;
            vec![
                Step::Lift,
                Step::ExpectTone { tone: ProgressTone::Dial, within_ms: DIAL_TONE_WAIT_MS },
                Step::Wait { ms: REACTION_MS },
                Step::Keys { keys: number, on_ms: usual.on_ms, off_ms: usual.off_ms },
            ]
        }
        Control::Expect { tone, within_ms } => vec![Step::ExpectTone { tone, within_ms }],
        Control::Wait { ms } => vec![Step::Wait { ms }],
        Control::Play { samples } if samples.len() <= RECORD_SAMPLES_MAX => vec![Step::Say { samples }],
        Control::RecordStart { samples_max } if samples_max <= RECORD_SAMPLES_MAX => {
            vec![Step::RecordStart { buffer: Vec::with_capacity(samples_max) }]
        }
        Control::RecordStop => vec![Step::RecordStop],
        Control::Flash { .. } | Control::Play { .. } | Control::RecordStart { .. } => return Err(ControlError::OutOfRange),
        Control::SendFax { .. }
        | Control::FetchFax { .. }
        | Control::ReceiveInto { .. }
        | Control::AutoAnswer { .. }
        | Control::Script { .. } => {
            return Err(ControlError::NotThisMachine);
        }
    })
}

/// Keys that a phone has, and no more of them than the generator queues.
pub(super) fn check_keys(keys: &str) -> Result<(), ControlError> {
    if keys.is_empty() || keys.len() > tipring_dsp::dtmf::DIGITS_MAX {
        return Err(ControlError::OutOfRange);
    }
    match keys.chars().find(|c| !c.is_ascii() || row_and_column(*c as u8).is_none()) {
        Some(c) => Err(ControlError::BadKey(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Wire = Wire { ringing: false, battery: true, reversed: false };

    fn phone() -> Phone {
        Phone::new(TonePlan::of("GB").expect("a listed country"))
    }
    /// Turns on a silent wire; the hook changes by time in ms.
    fn run(phone: &mut Phone, turns: u64, ringing: impl Fn(u64) -> bool) -> Vec<(u64, bool)> {
        let mut changes = vec![];
        for _ in 0..turns {
            let now_ms = phone.now_ms;
            phone.turn(&SILENCE, Wire { ringing: ringing(now_ms), ..QUIET }, &mut [0; 160]);
            while let Some(change) = phone.poll_hook() {
                changes.push((now_ms + u64::from(change.at_ms), change.closed));
            }
        }
        changes
    }
    fn events(phone: &mut Phone) -> Vec<Happening> {
        core::iter::from_fn(|| phone.poll_sim()).map(|e| e.what).collect()
    }

    #[test]
    fn the_double_ring_of_britain_is_one_ring() {
        let british = |ms: u64| matches!(ms % 3000, 0..400 | 600..1000);
        let mut p = phone();
        p.control(Control::AutoAnswer { after_rings: Some(2) }).expect("a phone can");
        let changes = run(&mut p, 300, british);
        assert_eq!(changes, [(3505, true)], "half a second into the second ring");
        assert_eq!(events(&mut p), [Happening::RingStarted, Happening::OffHook]);
    }

    #[test]
    fn a_caller_who_gives_up_is_noticed() {
        let mut p = phone();
        run(&mut p, 700, |ms| ms < 1000);
        assert_eq!(events(&mut p), [Happening::RingStarted, Happening::RingStopped]);
    }

    #[test]
    fn a_dial_makes_its_pulses_in_time() {
        let mut p = phone();
        p.control(Control::Script {
            controls: vec![Control::OffHook, Control::PulseDial { digits: "20".into(), pulses_per_second: 20, break_percent: 60 }],
        })
        .expect("a phone has a dial");
        let changes = run(&mut p, 200, |_| false);
        assert_eq!(changes.len(), 1 + 2 * 12);
        let breaks: Vec<u64> = changes[1..].chunks(2).map(|c| c[1].0 - c[0].0).collect();
        assert_eq!(breaks, [30; 12]);
        assert!(changes.last().is_some_and(|c| c.1), "it ends off hook");
    }

    #[test]
    fn without_dial_tone_a_caller_gives_up_on_the_script() {
        let mut p = phone();
        p.control(Control::Call { number: "3001".into() }).expect("a phone can");
        run(&mut p, 600, |_| false);
        assert_eq!(events(&mut p), [Happening::OffHook, Happening::NoTone(ProgressTone::Dial)]);
    }

    #[test]
    fn hanging_up_drops_what_was_meant_to_come() {
        let mut p = phone();
        p.control(Control::Call { number: "3001".into() }).expect("a phone can");
        run(&mut p, 10, |_| false);
        p.control(Control::OnHook).expect("a phone can");
        let changes = run(&mut p, 600, |_| false);
        assert_eq!(changes.iter().map(|c| c.1).collect::<Vec<_>>(), [false]);
        assert_eq!(events(&mut p), [Happening::OffHook, Happening::OnHook]);
    }

    #[test]
    fn what_a_phone_cannot_do_is_refused_with_the_reason() {
        let mut p = phone();
        let dial = |keys: &str| Control::Dial { keys: keys.into(), on_ms: 80, off_ms: 80 };
        assert_eq!(p.control(dial("12x")), Err(ControlError::BadKey('x')));
        assert_eq!(p.control(dial("")), Err(ControlError::OutOfRange));
        assert_eq!(p.control(Control::Flash { ms: 5 }), Err(ControlError::OutOfRange));
        assert_eq!(p.control(Control::SendFax { number: "1".into(), tiff: "a.tif".into() }), Err(ControlError::NotThisMachine));
        assert!(run(&mut p, 10, |_| false).is_empty());
    }
}
