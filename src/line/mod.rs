//! The line: what the person at the phone experiences. Dial tone, digits, waiting, talking, the tones of failure, ringing.
//!
//! One machine per port, in the tick domain: it allocates nothing, reads no clock (its time is the count of its turns), and speaks
//! with the call above it by [`Command`] and [`Event`]. What is dialled means nothing to it beyond "enough" (the digit map).
//!
//! ```text
//!              lift                      first digit               map says enough
//!   OnHook ----------> DialTone ----------------------> Dialling --------------------> AwaitingCall <-- Ringback, Silence
//!    |  ^                 | 15 s                          | 4 s, no row                  | Connect     ^  | 180 s
//!    |  | hang up         v                               v                              v             |  v
//!    |  +--- (from     FailureTone <----------------------+------- Busy, Reorder ----- Talking --------+ FailureTone
//!    |       anywhere)    | 20 s        (FarEndGone comes here from Talking)             ^
//!    |                    v                                                              | Connect
//!    | Ring             Howler --- 60 s ---> LockedOut (silence until hung up)           |
//!    v                                                                                   |
//!   Ringing ---- lift ----> RingTrip ---- 40 ms closed ----> AwaitingCall (Answered) ----+
//!    |  ^                      | opened again
//!    |  +----------------------+            Gone: the device does not answer; Back leads to OnHook
//!    +-- 180 s, StopRinging --> OnHook
//! ```
//!
//! Every state but the resting ones (OnHook, Talking, LockedOut, Gone) is left by a timer if nothing else happens, and hanging up leads
//! to OnHook from each, with one [`Event::WentOnHook`], within [`Timeouts::hang_up_ms`] (while Talking: within the flash window).

mod command;
mod config;
mod event;
mod hook;
mod ringing;

pub use command::Command;
pub use config::{LineConfig, Timeouts};
pub use event::Event;

use crate::clock::{Instant, TimerTable, ms};
use crate::digit_map::Verdict;
use crate::limits::LINE_EVENTS_MAX;
use crate::number::DialString;
use hook::{Closed, Hook, Meaning};
use ringing::Ringing;
use tipring_dsp::tone::{Cadence, ToneGenerator};
use tipring_dsp::watch::Finding;
use tipring_dsp::{Frame, SILENCE};
use tipring_hw::{PortCommand, PortEvent};

/// Length of a turn.
const TURN_MS: u64 = 20;

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Idle.
    OnHook,
    /// Lifted; dial tone.
    DialTone,
    /// At least one digit; silence.
    Dialling,
    /// Dialled or answered; the call is being made. Silence, or ringback where this holds true.
    AwaitingCall {
        /// Ringback tone is heard.
        ringback: bool,
    },
    /// Audio is connected.
    Talking,
    /// Busy or reorder tone.
    FailureTone(FailureTone),
    /// The howler: put the receiver back.
    Howler,
    /// Off hook for too long: silence until it is hung up.
    LockedOut,
    /// The bell rings, by cadence.
    Ringing,
    /// Lifted while ringing, not yet for long enough to be an answer.
    RingTrip,
    /// The device does not answer.
    Gone,
}

/// Why the call came to nothing, in tones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureTone {
    /// The number is busy.
    Busy,
    /// The call cannot be completed.
    Reorder,
}

/// Whose samples go to the phone in this turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audio {
    /// The call's: the frame was left as it is.
    Connected,
    /// The line's own: tone or silence was written.
    Own,
}

/// Why a line waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// First digit, next digit, or `T`.
    Digit,
    /// A break of the loop is undecided.
    Break,
    /// A pulse train may be over.
    PulseDigit,
    /// The section of the ring cadence.
    RingSection,
    /// Loop closed while ringing.
    RingTrip,
    /// The state's own limit: ringing, awaiting, failure tone, howler.
    Limit,
    /// The disconnect break of the battery.
    Battery,
}

/// The logical line on one port.
#[derive(Debug)]
pub struct Line {
    config: LineConfig,
    state: State,
    now: Instant,
    timers: TimerTable<Timer, 7>,
    hook: Hook,
    dialled: DialString,
    ringing: Ringing,
    tone: Option<ToneGenerator>,
    messages_waiting: bool,
    events: heapless::Deque<Event, LINE_EVENTS_MAX>,
    events_lost: u32,
    wanted: Wire,
    sent: Wire,
}

/// What the port is told to do with the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wire {
    ring: bool,
    reversed: bool,
    battery: bool,
}

const QUIET_WIRE: Wire = Wire { ring: false, reversed: false, battery: true };

impl Line {
    /// A line, on hook.
    pub fn new(config: LineConfig) -> Self {
        let ringing = Ringing::start(config.tones.ring_ms);
        Line {
            config,
            state: State::OnHook,
            now: Instant::ZERO,
            timers: TimerTable::new([
                Timer::Digit,
                Timer::Break,
                Timer::PulseDigit,
                Timer::RingSection,
                Timer::RingTrip,
                Timer::Limit,
                Timer::Battery,
            ]),
            hook: Hook::on_hook(),
            dialled: DialString::new(),
            ringing,
            tone: None,
            messages_waiting: false,
            events: heapless::Deque::new(),
            events_lost: 0,
            wanted: QUIET_WIRE,
            sent: QUIET_WIRE,
        }
    }

    /// One turn: what the port reported and what was heard in this frame, then what goes to the phone. `to_line` is written unless
    /// the answer is [`Audio::Connected`].
    pub fn tick(&mut self, events: &[PortEvent], findings: &[Finding], to_line: &mut Frame) -> Audio {
        let start = self.now;
        for event in events {
            match *event {
                PortEvent::OffHook { at_ms } => {
                    self.advance(start, at_ms);
                    self.loop_closed();
                }
                PortEvent::OnHook { at_ms } => {
                    self.advance(start, at_ms);
                    self.loop_opened();
                }
                PortEvent::Gone => self.port_gone(),
                PortEvent::Back => self.port_back(),
            }
        }
        for finding in findings {
            match *finding {
                Finding::DigitStarted { digit, .. } => self.digit(digit, self.config.timeouts.key_held_max_ms),
                Finding::DigitEnded { .. } => self.digit_ended(),
                Finding::ToneStarted { .. } | Finding::ToneEnded { .. } | Finding::V21Preamble { .. } | Finding::V21Ended { .. } => {}
            }
        }
        self.advance(start, TURN_MS as u8);
        if self.state == State::Talking {
            return Audio::Connected;
        }
        match &mut self.tone {
            Some(tone) => tone.tx(to_line),
            None => *to_line = SILENCE,
        }
        Audio::Own
    }

    /// What the call wants. Takes effect at once; heard from the next turn on.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::Ring { cadence_ms } => self.ring(cadence_ms),
            Command::StopRinging => match self.state {
                State::Ringing => self.enter(State::OnHook),
                // Lifted in the moment the caller gave up: to the person it is a line like any other.
                State::RingTrip => self.seize(),
                _ => {}
            },
            // Said again (a peer's reminder each minute): the cadence goes on as it is heard, and the wait may last longer.
            Command::Ringback if self.state == (State::AwaitingCall { ringback: true }) => {
                let limit = ms(u64::from(self.config.timeouts.await_call_max_ms));
                self.timers.set(Timer::Limit, self.now + limit);
            }
            Command::Ringback => self.enter_if(State::is_in_call, State::AwaitingCall { ringback: true }),
            Command::Silence => self.enter_if(State::is_in_call, State::AwaitingCall { ringback: false }),
            Command::Connect => {
                self.enter_if(State::is_in_call, State::Talking);
                self.wanted.reversed = self.config.answer_reversal && self.state == State::Talking;
            }
            Command::Busy => self.enter_if(State::is_off_hook, State::FailureTone(FailureTone::Busy)),
            Command::Reorder => self.enter_if(State::is_off_hook, State::FailureTone(FailureTone::Reorder)),
            Command::FarEndGone => {
                if self.state.is_in_call() {
                    if self.config.disconnect_break_ms > 0 {
                        self.wanted.battery = false;
                        self.timers.set(Timer::Battery, self.now + ms(u64::from(self.config.disconnect_break_ms)));
                    }
                    self.enter(State::FailureTone(self.config.far_end_gone));
                }
            }
            Command::DialTone => self.enter_if(State::is_off_hook, State::DialTone),
            Command::MessagesWaiting(waiting) => self.messages_waiting = waiting,
            Command::Reset => {
                self.wanted = QUIET_WIRE;
                self.timers.stop(Timer::Battery);
                match self.state {
                    State::Gone | State::OnHook => {}
                    State::Ringing => self.enter(State::OnHook),
                    State::RingTrip => self.seize(),
                    _ => self.enter(State::LockedOut),
                }
            }
        }
    }

    /// The next thing to tell the call, oldest first. To be drained every turn.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to tell the port, until `None`.
    pub fn poll_port_command(&mut self) -> Option<PortCommand> {
        if self.sent.ring != self.wanted.ring {
            self.sent.ring = self.wanted.ring;
            return Some(PortCommand::Ring(self.wanted.ring));
        }
        if self.sent.reversed != self.wanted.reversed {
            self.sent.reversed = self.wanted.reversed;
            return Some(PortCommand::Polarity(self.wanted.reversed));
        }
        if self.sent.battery != self.wanted.battery {
            self.sent.battery = self.wanted.battery;
            return Some(PortCommand::Battery(self.wanted.battery));
        }
        None
    }

    /// Where the line stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The next deadline and what it is for.
    pub fn waits_for(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// Events that found no room because nobody drained them: a fault of the board, counted.
    pub fn events_lost(&self) -> u32 {
        self.events_lost
    }

    // --- time -----------------------------------------------------------------------------------------------------------------

    /// Moves on to `at_ms` in the turn that began at `start`, firing what falls due on the way. A port that reports out of order is
    /// taken at the time reached.
    fn advance(&mut self, start: Instant, at_ms: u8) {
        let until = (start + ms(u64::from(at_ms).min(TURN_MS))).max(self.now);
        while let Some((at, _)) = self.timers.next() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            if let Some(timer) = self.timers.take_due(at) {
                self.timer_due(timer);
            }
        }
        self.now = until;
    }

    fn timer_due(&mut self, timer: Timer) {
        match timer {
            Timer::Digit => self.digits_over(),
            Timer::Break => {
                if self.hook.hung_up() {
                    self.hung_up();
                }
            }
            Timer::PulseDigit => {
                if let Some(digit) = self.hook.take_digit() {
                    self.digit(digit, self.config.timeouts.inter_digit_ms);
                    self.digit_ended();
                }
            }
            Timer::RingSection => {
                self.ringing.advance();
                self.wanted.ring = self.ringing.current();
                self.timers.set(Timer::RingSection, self.ringing.section_end(self.now));
            }
            Timer::RingTrip => {
                self.enter(State::AwaitingCall { ringback: false });
                self.say(Event::Answered);
            }
            Timer::Limit => self.limit_reached(),
            Timer::Battery => self.wanted.battery = true,
        }
    }

    /// The state has lasted as long as it may.
    fn limit_reached(&mut self) {
        match self.state {
            State::Ringing => {
                self.enter(State::OnHook);
                self.say(Event::RingTimeout);
            }
            // Lifted in the last moment, too late for the caller.
            State::RingTrip => {
                self.say(Event::RingTimeout);
                self.seize();
            }
            State::AwaitingCall { .. } => {
                self.enter(State::FailureTone(FailureTone::Reorder));
                self.say(Event::CallTimeout);
            }
            State::FailureTone(_) => self.enter(State::Howler),
            State::Howler => {
                self.enter(State::LockedOut);
                self.say(Event::LockedOut);
            }
            State::OnHook | State::DialTone | State::Dialling | State::Talking | State::LockedOut | State::Gone => {}
        }
    }

    // --- hook -----------------------------------------------------------------------------------------------------------------

    fn meaning_of_a_break(&self) -> Meaning {
        let t = &self.config.timeouts;
        let dialling = matches!(self.state, State::DialTone | State::Dialling);
        Meaning {
            pulses: dialling && self.config.pulse_dialling,
            flash_ms: (self.state == State::Talking && self.config.flash).then_some((u64::from(t.flash_min_ms), u64::from(t.flash_max_ms))),
            hang_up_ms: u64::from(t.hang_up_ms).max(hook::PULSE_BREAK_MAX_MS + 1),
        }
    }

    fn loop_closed(&mut self) {
        if self.state == State::Gone {
            return;
        }
        let meaning = self.meaning_of_a_break();
        let closed = self.hook.close(self.now, meaning);
        if self.state == State::Ringing {
            self.wanted.ring = false;
            self.state = State::RingTrip;
            self.timers.stop(Timer::RingSection);
            self.timers.set(Timer::RingTrip, self.now + ms(u64::from(self.config.timeouts.ring_trip_ms)));
            return;
        }
        self.timers.stop(Timer::Break);
        match closed {
            Closed::Lifted => {
                if self.state == State::OnHook {
                    self.seize();
                }
            }
            Closed::Pulse => self.timers.set(Timer::PulseDigit, self.now + ms(hook::PULSE_DIGIT_END_MS)),
            Closed::Flash => self.say(Event::Flash),
            Closed::Nothing => {
                if self.hook.digit_pending() {
                    self.timers.set(Timer::PulseDigit, self.now + ms(hook::PULSE_DIGIT_END_MS));
                }
            }
        }
    }

    fn loop_opened(&mut self) {
        let meaning = self.meaning_of_a_break();
        let Some(decide_at) = self.hook.open(self.now, meaning) else { return };
        match self.state {
            State::RingTrip => {
                // Not an answer: the bell tapped. On with the cadence, from its start.
                self.hook.hung_up();
                self.timers.stop(Timer::RingTrip);
                self.start_cadence();
            }
            State::OnHook | State::Ringing | State::Gone => {
                self.hook.hung_up();
            }
            State::DialTone
            | State::Dialling
            | State::AwaitingCall { .. }
            | State::Talking
            | State::FailureTone(_)
            | State::Howler
            | State::LockedOut => {
                self.timers.set(Timer::Break, decide_at);
                self.timers.stop(Timer::PulseDigit);
                if meaning.pulses {
                    // The first break of the first pulse ends dial tone; if it was a hang-up nobody listens.
                    self.tone = None;
                    self.wait_for_digit(self.config.timeouts.inter_digit_ms);
                }
            }
        }
    }

    /// Lifted to make a call.
    fn seize(&mut self) {
        self.enter(State::DialTone);
        self.say(Event::WentOffHook);
    }

    fn hung_up(&mut self) {
        self.enter(State::OnHook);
        self.wanted = QUIET_WIRE;
        self.timers.stop(Timer::Battery);
        self.say(Event::WentOnHook);
    }

    fn port_gone(&mut self) {
        if self.state == State::Gone {
            return;
        }
        let was_off_hook = self.state.is_off_hook();
        if self.hook.is_closed() || was_off_hook {
            self.hook = Hook::on_hook();
        }
        self.enter(State::Gone);
        self.wanted = QUIET_WIRE;
        self.timers.stop_all();
        if was_off_hook {
            self.say(Event::WentOnHook);
        }
        self.say(Event::PortGone);
    }

    fn port_back(&mut self) {
        if self.state == State::Gone {
            // The device may have forgotten what it was told.
            self.sent = Wire { ring: false, reversed: false, battery: true };
            self.hook = Hook::on_hook();
            self.enter(State::OnHook);
            self.say(Event::PortBack);
        }
    }

    // --- digits ---------------------------------------------------------------------------------------------------------------

    /// A digit, by tone or pulse; the next is due within `wait_ms`.
    fn digit(&mut self, key: u8, wait_ms: u32) {
        match self.state {
            State::DialTone => self.enter(State::Dialling),
            State::Dialling => {}
            // Digits of a call belong to the call.
            _ => return,
        }
        let mut with_key = self.dialled.clone();
        if with_key.push(key).is_err() {
            return self.misdialled();
        }
        let verdict = self.config.digit_map.verdict(&with_key);
        if key == b'#' && verdict == Verdict::NoMatch && self.is_enough() {
            return self.complete();
        }
        self.dialled = with_key;
        match verdict {
            Verdict::NoMatch => self.misdialled(),
            Verdict::Complete => self.complete(),
            Verdict::Partial | Verdict::CompleteAfterT | Verdict::CompleteUnlessLonger => self.wait_for_digit(wait_ms),
        }
    }

    /// The key was released.
    fn digit_ended(&mut self) {
        if self.state == State::Dialling {
            let t = &self.config.timeouts;
            let wait_ms = match self.config.digit_map.verdict(&self.dialled) {
                Verdict::CompleteAfterT => t.short_ms,
                Verdict::NoMatch | Verdict::Partial | Verdict::Complete | Verdict::CompleteUnlessLonger => t.inter_digit_ms,
            };
            self.wait_for_digit(wait_ms);
        }
    }

    fn wait_for_digit(&mut self, wait_ms: u32) {
        self.timers.set(Timer::Digit, self.now + ms(u64::from(wait_ms)));
    }

    fn is_enough(&self) -> bool {
        match self.config.digit_map.verdict(&self.dialled) {
            Verdict::Complete | Verdict::CompleteAfterT | Verdict::CompleteUnlessLonger => !self.dialled.is_empty(),
            Verdict::NoMatch | Verdict::Partial => false,
        }
    }

    /// No further digit came in time.
    fn digits_over(&mut self) {
        if self.is_enough() {
            return self.complete();
        }
        let keys = self.dialled.clone();
        self.enter(State::FailureTone(FailureTone::Reorder));
        self.say(Event::DialTimeout(keys));
    }

    fn complete(&mut self) {
        let keys = self.dialled.clone();
        let emergency = self.config.digit_map.is_emergency(&keys);
        self.enter(State::AwaitingCall { ringback: false });
        self.say(Event::Dialled { keys, emergency });
    }

    fn misdialled(&mut self) {
        let keys = self.dialled.clone();
        self.enter(State::FailureTone(FailureTone::Reorder));
        self.say(Event::Misdialled(keys));
    }

    // --- ringing --------------------------------------------------------------------------------------------------------------

    fn ring(&mut self, cadence_ms: Option<&'static [u32]>) {
        if self.state != State::OnHook {
            self.say(Event::RingRefused);
            return;
        }
        self.ringing = Ringing::start(cadence_ms.unwrap_or(self.config.tones.ring_ms));
        self.enter(State::Ringing);
        self.start_cadence();
    }

    fn start_cadence(&mut self) {
        self.state = State::Ringing;
        self.ringing.restart();
        self.wanted.ring = true;
        self.timers.set(Timer::RingSection, self.ringing.section_end(self.now));
    }

    // --- states ---------------------------------------------------------------------------------------------------------------

    fn enter_if(&mut self, allowed: fn(&State) -> bool, state: State) {
        if allowed(&self.state) {
            self.enter(state);
        }
    }

    /// Enters a state: its tone, its timers, and nothing left of the one before but the hook.
    fn enter(&mut self, state: State) {
        let t = self.config.timeouts;
        let tones = self.config.tones;
        let (tone, limit_ms): (Option<&Cadence>, Option<u32>) = match state {
            State::OnHook | State::Talking | State::LockedOut | State::Gone => (None, None),
            State::DialTone if self.messages_waiting => (Some(&tones.stutter_dial), None),
            State::DialTone => (Some(&tones.dial), None),
            State::Dialling => (None, None),
            State::AwaitingCall { ringback: true } => (Some(&tones.ringback), Some(t.await_call_max_ms)),
            State::AwaitingCall { ringback: false } => (None, Some(t.await_call_max_ms)),
            State::FailureTone(FailureTone::Busy) => (Some(&tones.busy), Some(t.failure_tone_ms)),
            State::FailureTone(FailureTone::Reorder) => (Some(&tones.reorder), Some(t.failure_tone_ms)),
            State::Howler => (Some(&tones.howler), Some(t.howler_ms)),
            State::Ringing | State::RingTrip => (None, Some(t.ringing_max_ms)),
        };
        if self.state == State::Talking && state != State::Talking {
            self.wanted.reversed = false;
        }
        self.state = state;
        self.tone = tone.map(ToneGenerator::new);
        self.wanted.ring = false;
        for timer in [Timer::Digit, Timer::PulseDigit, Timer::RingSection, Timer::RingTrip, Timer::Limit] {
            self.timers.stop(timer);
        }
        if let Some(limit_ms) = limit_ms {
            self.timers.set(Timer::Limit, self.now + ms(u64::from(limit_ms)));
        }
        match state {
            State::DialTone => {
                self.dialled.clear();
                self.hook.take_digit();
                self.timers.set(Timer::Digit, self.now + ms(u64::from(t.first_digit_ms)));
            }
            State::Dialling => self.wait_for_digit(t.inter_digit_ms),
            _ => {}
        }
    }

    fn say(&mut self, event: Event) {
        if self.events.push_back(event).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }
}

impl State {
    /// The loop is closed as far as the call is concerned.
    pub fn is_off_hook(&self) -> bool {
        match self {
            State::OnHook | State::Ringing | State::RingTrip | State::Gone => false,
            State::DialTone
            | State::Dialling
            | State::AwaitingCall { .. }
            | State::Talking
            | State::FailureTone(_)
            | State::Howler
            | State::LockedOut => true,
        }
    }

    /// A call is being made or talked in.
    fn is_in_call(&self) -> bool {
        matches!(self, State::AwaitingCall { .. } | State::Talking)
    }
}

#[cfg(test)]
mod on_the_wire;
#[cfg(test)]
mod tests;
