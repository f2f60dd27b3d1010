//! What a recording said, as plain values: the fields of `tipring decode --json` and what the HTML page wants beside them.
//!
//! Times `t` are seconds from the start of the recording to the start of the event. Every list is in order of time and bounded (see
//! `limits`); what did not fit is counted in a warning.

use super::limits::{EVENTS_MAX, WARNINGS_MAX};
use tipring_dsp::callerid;
use tipring_dsp::page::Page;

/// Who sent something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Direction {
    /// The side that dialled.
    Caller,
    /// The side that was called.
    Answerer,
    /// A recording of both sides mixed does not say, and neither does the signal.
    #[default]
    Unknown,
}

impl Direction {
    /// The word of the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Caller => "caller",
            Direction::Answerer => "answerer",
            Direction::Unknown => "unknown",
        }
    }
    /// The other side; unknown stays unknown.
    pub const fn other(self) -> Direction {
        match self {
            Direction::Caller => Direction::Answerer,
            Direction::Answerer => Direction::Caller,
            Direction::Unknown => Direction::Unknown,
        }
    }
}

/// A DTMF digit or an RFC 4733 event.
#[derive(Clone, PartialEq, Debug)]
pub struct Digit {
    /// Start, s.
    pub t: f64,
    /// The key.
    pub digit: char,
    /// Length, ms.
    pub ms: u32,
    /// Who pressed it.
    pub direction: Direction,
}

/// Kinds of tone, by the words of the JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ToneKind {
    /// 1100 Hz of a calling fax machine.
    Cng,
    /// 2100 Hz of an answering machine, plain.
    Ced,
    /// 2100 Hz with phase reversals or amplitude modulation (V.8, V.25).
    Ansam,
    /// Dial tone.
    Dial,
    /// Ringing heard by the caller.
    Ringback,
    /// Busy.
    Busy,
    /// Congestion.
    Reorder,
    /// HDLC flags on V.21 channel 2.
    V21,
    /// Signals of a data modem.
    Modem,
}

impl ToneKind {
    /// The word of the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            ToneKind::Cng => "cng",
            ToneKind::Ced => "ced",
            ToneKind::Ansam => "ansam",
            ToneKind::Dial => "dial",
            ToneKind::Ringback => "ringback",
            ToneKind::Busy => "busy",
            ToneKind::Reorder => "reorder",
            ToneKind::V21 => "v21",
            ToneKind::Modem => "modem",
        }
    }
}

/// A tone.
#[derive(Clone, PartialEq, Debug)]
pub struct Tone {
    /// Start, s.
    pub t: f64,
    /// Which.
    pub kind: ToneKind,
    /// Length, ms.
    pub ms: u32,
    /// On which side it was heard.
    pub direction: Direction,
    /// More in words ("V.8 CM", "440 + 350 Hz"); may be empty.
    pub text: String,
}

/// A caller-ID message.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallerId {
    /// Start of the message, s.
    pub t: f64,
    /// `bell202` or `v23`.
    pub standard: &'static str,
    /// `sdmf` or `mdmf`.
    pub format: &'static str,
    /// The caller's number; empty if there is none.
    pub number: String,
    /// The caller's name, as sent (padding kept); empty if there is none.
    pub name: String,
    /// MMDDhhmm.
    pub date: String,
    /// Why there is no number: `private`, `unavailable` or empty.
    pub number_absent: &'static str,
    /// Why there is no name: `private`, `unavailable` or empty.
    pub name_absent: &'static str,
    /// The checksum is right.
    pub checksum_ok: bool,
}

impl From<&callerid::Message> for CallerId {
    fn from(m: &callerid::Message) -> Self {
        let why = |a| match a {
            callerid::Absence::None => "",
            callerid::Absence::Unavailable => "unavailable",
            callerid::Absence::Private => "private",
        };
        CallerId {
            t: m.at as f64 / 8000.0,
            standard: match m.standard {
                callerid::Standard::Bell202 => "bell202",
                callerid::Standard::V23 => "v23",
            },
            format: match m.format {
                callerid::Format::Sdmf => "sdmf",
                callerid::Format::Mdmf => "mdmf",
            },
            number: m.number.as_str().into(),
            name: m.name.as_str().into(),
            date: m.date.as_str().into(),
            number_absent: why(m.number_absence),
            name_absent: why(m.name_absence),
            checksum_ok: m.checksum_ok,
        }
    }
}

/// An HDLC frame of T.30.
#[derive(Clone, PartialEq, Debug)]
pub struct T30Entry {
    /// Start of the frame, s.
    pub t: f64,
    /// End of the frame, s.
    pub end: f64,
    /// Who sent it.
    pub direction: Direction,
    /// Its name, as T.30 has it ("DCS"); "?" if T.30 knows none.
    pub frame: String,
    /// Its octets from the address on, without FCS, in hexadecimal; first bit on the line the most significant.
    pub hex: String,
    /// The frame check sequence is right.
    pub crc_ok: bool,
    /// What it says, in words; may be empty.
    pub text: String,
}

/// A training of an image modem, for TCF or a page.
#[derive(Clone, PartialEq, Debug)]
pub struct Training {
    /// Start of the carrier, s.
    pub t: f64,
    /// `v17`, `v29` or `v27ter`.
    pub modem: &'static str,
    /// Bits a second.
    pub bps: u32,
    /// The training check followed: zeros for long enough. `None` where a page followed.
    pub tcf_ok: Option<bool>,
    /// The training could be followed.
    pub trained: bool,
    /// Short training (V.17 before a page).
    pub short: bool,
    /// Longest run of zeros of the TCF, ms.
    pub zeros_ms: u32,
    /// Who sent it.
    pub direction: Direction,
}

/// A page.
#[derive(Clone, PartialEq, Debug)]
pub struct PageEntry {
    /// Start of its first carrier, s.
    pub t: f64,
    /// Pels of a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Rows that could not be read, shown as copies of the row above.
    pub bad_rows: u32,
    /// `MH`, `MR`, `MMR` or `JBIG`.
    pub coding: &'static str,
    /// `standard`, `fine`, `superfine`, `300dpi` or `400dpi`.
    pub resolution: &'static str,
    /// Error correction.
    pub ecm: bool,
    /// Bits a second of its last carrier.
    pub bps: u32,
    /// Modem of its last carrier: `v17`, `v29`, `v27ter`.
    pub modem: &'static str,
    /// ECM frames that never came.
    pub frames_missing: u32,
    /// Who sent it.
    pub direction: Direction,
    /// The pels, with the resolution for the tags.
    pub image: Page,
}

/// A phase of the fax call (T.30 clause 5.2), with its start and end.
#[derive(Clone, PartialEq, Debug)]
pub struct PhaseSpan {
    /// Start, s.
    pub t: f64,
    /// End, s.
    pub end: f64,
    /// 'A' to 'E'.
    pub phase: char,
}

/// One side stopped and the other began.
#[derive(Clone, PartialEq, Debug)]
pub struct Turn {
    /// When the answer began, s.
    pub t: f64,
    /// Silence before it, s.
    pub after: f64,
    /// Who answered.
    pub direction: Direction,
    /// "DIS -> DCS".
    pub text: String,
}

/// All that was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Length of the recording, s.
    pub seconds: f64,
    /// Digits, once each.
    pub digits: Vec<Digit>,
    /// Tones.
    pub tones: Vec<Tone>,
    /// Caller-ID messages.
    pub caller_id: Vec<CallerId>,
    /// T.30 frames.
    pub t30: Vec<T30Entry>,
    /// Trainings.
    pub training: Vec<Training>,
    /// Pages, in the order sent.
    pub pages: Vec<PageEntry>,
    /// What could not be read or believed, in words.
    pub warnings: Vec<String>,
    /// One sentence for a receptionist.
    pub verdict: String,
    /// What an engineer searches for: how the T.30 call ended. Empty where there was no fax.
    pub reason: String,
    /// A fax was on it, and its last page was confirmed.
    pub delivered: Option<bool>,
    /// Phases of the fax call.
    pub phases: Vec<PhaseSpan>,
    /// Who answered whom, after how long.
    pub turns: Vec<Turn>,
    /// Level of each channel, one value for every [`Report::level_step`] seconds.
    pub levels: [Vec<f32>; 2],
    /// Seconds that one value of [`Report::levels`] covers (it doubles as the recording grows, so that the lists are bounded).
    pub level_step: f64,
}

impl Report {
    /// Adds a warning; says when there are too many.
    pub fn warn(&mut self, text: String) {
        match self.warnings.len().cmp(&WARNINGS_MAX) {
            core::cmp::Ordering::Less => self.warnings.push(text),
            core::cmp::Ordering::Equal => self.warnings.push("there are more warnings than are kept".into()),
            core::cmp::Ordering::Greater => {}
        }
    }
    /// Caller and answerer were taken for each other.
    pub fn swap_directions(&mut self) {
        let digits = self.digits.iter_mut().map(|x| &mut x.direction);
        let tones = self.tones.iter_mut().map(|x| &mut x.direction);
        let t30 = self.t30.iter_mut().map(|x| &mut x.direction);
        let training = self.training.iter_mut().map(|x| &mut x.direction);
        let pages = self.pages.iter_mut().map(|x| &mut x.direction);
        let turns = self.turns.iter_mut().map(|x| &mut x.direction);
        digits.chain(tones).chain(t30).chain(training).chain(pages).chain(turns).for_each(|d| *d = d.other());
    }
    /// Adds a frame, if there is room.
    pub fn add_t30(&mut self, entry: T30Entry) {
        if self.t30.len() < EVENTS_MAX {
            self.t30.push(entry);
        }
    }
    /// Adds a training, if there is room.
    pub fn add_training(&mut self, entry: Training) {
        if self.training.len() < EVENTS_MAX {
            self.training.push(entry);
        }
    }
    /// Adds a caller-ID message, if there is room.
    pub fn add_caller_id(&mut self, message: CallerId) {
        if self.caller_id.len() < EVENTS_MAX {
            self.caller_id.push(message);
        }
    }
    /// Adds a tone, if there is room.
    pub fn add_tone(&mut self, tone: Tone) {
        if self.tones.len() < EVENTS_MAX {
            self.tones.push(tone);
        }
    }
    /// Adds a digit, if there is room.
    pub fn add_digit(&mut self, digit: Digit) {
        if self.digits.len() < EVENTS_MAX {
            self.digits.push(digit);
        }
    }
}
