//! A G3 fax machine with its telephone part: it dials, waits, sends, hangs up; it answers and stores what comes.
//!
//! ```text
//!   Idle --SendFax--> AwaitDialTone --> Dialling --> Calling (T.30) --+--> Ending --> Idle
//!    |                     | 10 s           (busy or reorder heard) --+ 3 s of quiet on hook
//!    +--N rings--> Answering (T.30) ----------------------------------+
//! ```
//!
//! The T.30 side is libspandsp's terminal, deliberately not our own: it is the independent machine that our relay has to satisfy.

use super::phone::check_keys;
use super::{Bell, BellChange, Control, ControlError, FaxDirection, FaxReport, Happening, HookChange, Machine, SimEvent, Wire};
use crate::Frame;
use crate::limits::SIM_EVENTS_MAX;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tipring_dsp::SILENCE;
use tipring_dsp::dtmf::{Generator, Sending};
use tipring_dsp::progress::{ProgressDetector, ProgressEvent, ProgressTone};
use tipring_dsp::spandsp::terminal::{Terminal, TerminalConfig};
use tipring_dsp::tone_plan::TonePlan;

const TURN_MS: u64 = 20;
/// How long the machine waits for dial tone.
const DIAL_TONE_WAIT_MS: u64 = 10_000;
/// Dial tone is listened to for so long before the first digit.
const REACTION_MS: u64 = 200;
/// Busy or reorder tone for so long means that the call has failed.
const FAILED_TONE_MS: u64 = 4_000;
/// After the outcome is known the machine may take so long to say DCN and fall silent.
const RELEASE_MS: u64 = 5_000;
/// The line rests for so long between two calls.
const REST_MS: u64 = 3_000;
/// Faxes that wait to be sent.
const QUEUE_MAX: usize = 32;
/// A call that T.30's own timers did not end. The longest page takes a few minutes.
const CALL_MAX_MS: u64 = 3_600_000;

/// How a fax machine is set up.
#[derive(Clone, Debug)]
pub struct FaxSettings {
    /// The country whose tones it knows.
    pub plan: &'static TonePlan,
    /// Its own number (CSI, TSI), up to 20 characters.
    pub ident: String,
    /// Error correction mode.
    pub ecm: bool,
    /// Fastest modem, bit/s: 14400, 12000, 9600, 7200, 4800 or 2400.
    pub max_bps: u32,
    /// Answers after so many rings; `None` for never.
    pub answer_after_rings: Option<u8>,
    /// Where received pages go; without it, it does not answer.
    pub receive_into: Option<PathBuf>,
    /// What the files are called: `received-NAME-1.tif` and so on.
    pub name: String,
}

/// A fax machine.
pub struct FaxMachine {
    settings: FaxSettings,
    now_ms: u64,
    state: State,
    since_ms: u64,
    off_hook: bool,
    hook: heapless::Deque<HookChange, 4>,
    bell: Bell,
    ear: ProgressDetector,
    /// Since when busy or reorder has been heard.
    failed_tone: Option<(ProgressTone, u64)>,
    keys: Generator,
    waiting: VecDeque<Job>,
    job: Option<Job>,
    received: u32,
    file: Option<PathBuf>,
    events: heapless::Deque<SimEvent, SIM_EVENTS_MAX>,
    events_lost: u32,
}

#[derive(Clone, Debug)]
struct Job {
    number: String,
    /// What is to be sent; `None` to receive (somebody dials by hand and presses the start key).
    tiff: Option<PathBuf>,
}

enum State {
    Idle,
    AwaitDialTone,
    Dialling,
    /// The T.30 machine is on the line; the time at which its outcome was known.
    InCall {
        terminal: Box<Terminal>,
        direction: FaxDirection,
        over_at: Option<u64>,
    },
    Resting,
}

impl FaxMachine {
    /// A machine, on hook.
    pub fn new(settings: FaxSettings) -> Self {
        FaxMachine {
            ear: ProgressDetector::new(settings.plan),
            settings,
            now_ms: 0,
            state: State::Idle,
            since_ms: 0,
            off_hook: false,
            hook: heapless::Deque::new(),
            bell: Bell::default(),
            failed_tone: None,
            keys: Generator::new(Sending::default()),
            waiting: VecDeque::new(),
            job: None,
            received: 0,
            file: None,
            events: heapless::Deque::new(),
            events_lost: 0,
        }
    }

    /// Nothing to do and nothing waiting.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.waiting.is_empty()
    }

    /// Events that nobody fetched in time.
    pub fn events_lost(&self) -> u32 {
        self.events_lost
    }

    fn notice(&mut self, what: Happening) {
        if self.events.push_back(SimEvent { at_ms: self.now_ms, what }).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.since_ms = self.now_ms;
    }

    fn in_state_ms(&self) -> u64 {
        self.now_ms - self.since_ms
    }

    fn move_hook(&mut self, closed: bool) {
        if self.off_hook != closed {
            self.off_hook = closed;
            let _ = self.hook.push_back(HookChange { closed, at_ms: 5 });
            self.notice(if closed { Happening::OffHook } else { Happening::OnHook });
        }
    }

    fn lift(&mut self) {
        self.bell = Bell::default();
        self.ear = ProgressDetector::new(self.settings.plan);
        self.failed_tone = None;
        self.move_hook(true);
    }

    fn dial_next(&mut self) {
        if let Some(job) = self.waiting.pop_front() {
            self.job = Some(job);
            self.lift();
            self.enter(State::AwaitDialTone);
        }
    }

    fn answer(&mut self) {
        let Some(folder) = self.settings.receive_into.clone() else { return };
        self.lift();
        self.receive(&folder);
    }

    fn receive(&mut self, folder: &Path) {
        // A file that lies there from an earlier run is not written over.
        let path = loop {
            self.received += 1;
            let path = folder.join(format!("received-{}-{}.tif", self.settings.name, self.received));
            if !path.exists() {
                break path;
            }
        };
        self.file = Some(path.clone());
        // T.30 knows no other roles: who receives is the called terminal, whoever dialled.
        let config = TerminalConfig { calling: false, receive_tiff: Some(path), ..self.terminal_config() };
        self.start(&config, FaxDirection::Received);
    }

    /// What the call is made for.
    fn wanted(&self) -> FaxDirection {
        if self.job.as_ref().is_some_and(|j| j.tiff.is_none()) { FaxDirection::Received } else { FaxDirection::Sent }
    }

    fn terminal_config(&self) -> TerminalConfig {
        TerminalConfig {
            ident: self.settings.ident.clone(),
            ecm: self.settings.ecm,
            max_bps: self.settings.max_bps,
            ..TerminalConfig::default()
        }
    }

    fn start(&mut self, config: &TerminalConfig, direction: FaxDirection) {
        match Terminal::new(config) {
            Ok(terminal) => self.enter(State::InCall { terminal: Box::new(terminal), direction, over_at: None }),
            Err(e) => self.fail(direction, format!("the fax machine does not start: {e}")),
        }
    }

    /// The call came to nothing before T.30 had a word to say.
    fn fail(&mut self, direction: FaxDirection, text: String) {
        let file = self.job.take().and_then(|j| j.tiff);
        self.notice(Happening::FaxDone(FaxReport {
            direction,
            ok: false,
            text,
            pages: 0,
            bps: 0,
            ecm: false,
            remote_ident: String::new(),
            bad_rows: 0,
            file,
        }));
        self.rest();
    }

    fn rest(&mut self) {
        self.keys.stop();
        self.move_hook(false);
        self.enter(State::Resting);
    }

    /// Hangs up on the T.30 machine and reports how it went.
    fn finish(&mut self, why: Option<&str>) {
        let State::InCall { mut terminal, direction, .. } = core::mem::replace(&mut self.state, State::Resting) else { return };
        if terminal.outcome().is_none() {
            terminal.hang_up();
        }
        let outcome = terminal.outcome();
        // Closes the file before anybody is told of it.
        drop(terminal);
        let file = match direction {
            FaxDirection::Sent => self.job.take().and_then(|j| j.tiff),
            FaxDirection::Received => {
                self.job = None;
                self.file.take().filter(|f| f.exists())
            }
        };
        let report = match outcome {
            Some(o) => FaxReport {
                direction,
                ok: o.ok() && why.is_none(),
                text: why.map_or_else(|| o.text.to_owned(), str::to_owned),
                pages: if direction == FaxDirection::Sent { o.pages_sent } else { o.pages_received },
                bps: o.bps,
                ecm: o.ecm,
                remote_ident: o.remote_ident,
                bad_rows: o.bad_rows,
                file,
            },
            None => FaxReport {
                direction,
                ok: false,
                text: why.unwrap_or("The call dropped prematurely").to_owned(),
                pages: 0,
                bps: 0,
                ecm: false,
                remote_ident: String::new(),
                bad_rows: 0,
                file,
            },
        };
        self.notice(Happening::FaxDone(report));
        self.rest();
    }

    fn listen(&mut self, hears: &Frame) {
        match self.ear.rx(hears) {
            Some(ProgressEvent::Started { tone, .. }) => {
                self.notice(Happening::ToneStarted(tone));
                if matches!(tone, ProgressTone::Busy | ProgressTone::Reorder) {
                    self.failed_tone = Some((tone, self.now_ms));
                }
            }
            Some(ProgressEvent::Ended { tone, .. }) => {
                self.notice(Happening::ToneStopped(tone));
                self.failed_tone = None;
            }
            None => {}
        }
    }

    fn failed_tone_text(&self) -> Option<&'static str> {
        let (tone, since) = self.failed_tone?;
        (self.now_ms - since >= FAILED_TONE_MS).then_some(match tone {
            ProgressTone::Busy => "Busy tone was heard",
            ProgressTone::Reorder => "Reorder tone was heard",
            ProgressTone::Dial | ProgressTone::Ringback => "A call-progress tone was heard",
        })
    }

    fn step(&mut self, hears: &Frame, speaks: &mut Frame) {
        let failed = self.failed_tone_text();
        let waited_ms = self.in_state_ms();
        match &mut self.state {
            State::Idle => {
                if self.bell.answers(self.settings.answer_after_rings) {
                    self.answer();
                } else if self.bell.rings == 0 {
                    self.dial_next();
                }
            }
            State::AwaitDialTone => {
                if self.ear.current() == Some(ProgressTone::Dial) && waited_ms >= REACTION_MS {
                    let number = self.job.as_ref().map_or(String::new(), |j| j.number.clone());
                    for key in number.bytes() {
                        // The control checked keys and length.
                        let _ = self.keys.push(key);
                    }
                    self.enter(State::Dialling);
                } else if waited_ms >= DIAL_TONE_WAIT_MS {
                    self.fail(self.wanted(), "No dial tone".to_owned());
                }
            }
            State::Dialling => {
                if !self.keys.tx(speaks) || self.keys.is_idle() {
                    self.notice(Happening::Dialled);
                    let tiff = self.job.as_ref().and_then(|j| j.tiff.clone());
                    match (tiff, self.settings.receive_into.clone()) {
                        (None, Some(folder)) => self.receive(&folder),
                        (tiff, _) => {
                            let config = TerminalConfig { calling: true, send_tiff: tiff, ..self.terminal_config() };
                            self.start(&config, FaxDirection::Sent);
                        }
                    }
                }
            }
            State::InCall { terminal, over_at, .. } => {
                terminal.rx(hears);
                terminal.tx(speaks);
                if terminal.outcome().is_some() && over_at.is_none() {
                    *over_at = Some(self.now_ms);
                }
                let released = over_at.is_some_and(|at| !terminal.active() || self.now_ms - at >= RELEASE_MS);
                if released {
                    self.finish(None);
                } else if over_at.is_none() && failed.is_some() {
                    self.finish(failed);
                } else if waited_ms >= CALL_MAX_MS {
                    self.finish(Some("The call took too long"));
                }
            }
            State::Resting => {
                if waited_ms >= REST_MS {
                    self.enter(State::Idle);
                }
            }
        }
    }
}

impl Machine for FaxMachine {
    fn turn(&mut self, hears: &Frame, wire: Wire, speaks: &mut Frame) {
        *speaks = SILENCE;
        match self.bell.turn(wire.ringing && !self.off_hook) {
            Some(BellChange::Started) => self.notice(Happening::RingStarted),
            Some(BellChange::Stopped) => self.notice(Happening::RingStopped),
            None => {}
        }
        if self.off_hook {
            self.listen(hears);
        }
        self.step(hears, speaks);
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
            Control::SendFax { number, tiff } => {
                check_keys(&number)?;
                if self.waiting.len() == QUEUE_MAX {
                    return Err(ControlError::Busy);
                }
                self.waiting.push_back(Job { number, tiff: Some(tiff) });
                Ok(())
            }
            Control::FetchFax { number } => {
                check_keys(&number)?;
                if self.settings.receive_into.is_none() {
                    return Err(ControlError::NotThisMachine);
                }
                if self.waiting.len() == QUEUE_MAX {
                    return Err(ControlError::Busy);
                }
                self.waiting.push_back(Job { number, tiff: None });
                Ok(())
            }
            Control::ReceiveInto { folder } => {
                self.settings.receive_into = Some(folder);
                Ok(())
            }
            Control::AutoAnswer { after_rings } => {
                self.settings.answer_after_rings = after_rings;
                Ok(())
            }
            // The start key of a ringing machine.
            Control::OffHook if matches!(self.state, State::Idle) && self.bell.rings > 0 => {
                self.answer();
                Ok(())
            }
            // The stop key.
            Control::OnHook => {
                match self.state {
                    State::Idle | State::Resting => {}
                    State::AwaitDialTone | State::Dialling => self.fail(self.wanted(), "Stopped at the machine".to_owned()),
                    State::InCall { .. } => self.finish(Some("Stopped at the machine")),
                }
                Ok(())
            }
            Control::OffHook => Err(ControlError::Busy),
            Control::Flash { .. }
            | Control::Dial { .. }
            | Control::PulseDial { .. }
            | Control::Call { .. }
            | Control::Script { .. }
            | Control::Expect { .. }
            | Control::Wait { .. }
            | Control::Play { .. }
            | Control::RecordStart { .. }
            | Control::RecordStop => Err(ControlError::NotThisMachine),
        }
    }

    fn poll_sim(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }
}
