//! What a person does at a simulated machine, and what the machine notices. `tipring sim PORT ...` is these, one to one.

use std::fmt;
use std::path::PathBuf;
use tipring_dsp::progress::ProgressTone;

/// A command to a simulated machine.
#[derive(Clone, PartialEq, Debug)]
pub enum Control {
    /// Lift (a ringing machine answers).
    OffHook,
    /// Hang up; whatever was going on at the machine ends.
    OnHook,
    /// Press the flash key: the loop opens for this long, ms.
    Flash {
        /// Length of the break, ms.
        ms: u32,
    },
    /// Press keys, by tone.
    Dial {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        keys: String,
        /// Length of a digit, ms.
        on_ms: u32,
        /// Pause after it, ms.
        off_ms: u32,
    },
    /// Turn the dial.
    PulseDial {
        /// `0`-`9`.
        digits: String,
        /// Pulses a second, 8 to 22.
        pulses_per_second: u32,
        /// Share of the break, percent, 30 to 70.
        break_percent: u32,
    },
    /// Lift, wait for dial tone, press keys.
    Call {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        number: String,
    },
    /// Several in a row: each that takes time is waited for by the next. Hanging up is a step like any other here.
    Script {
        /// Any but `AutoAnswer`, `Script` and those for fax machines.
        controls: Vec<Control>,
    },
    /// Wait until this tone is heard; if it does not come, the rest of the script is dropped.
    Expect {
        /// The tone.
        tone: ProgressTone,
        /// How long to wait, ms.
        within_ms: u32,
    },
    /// Do nothing for this long (in a script).
    Wait {
        /// ms.
        ms: u32,
    },
    /// Say this into the handset; 8 kHz linear samples.
    Play {
        /// The samples.
        samples: Vec<i16>,
    },
    /// Record what is heard while off hook.
    RecordStart {
        /// Longest recording, samples.
        samples_max: usize,
    },
    /// End of the recording; it comes back as [`Happening::Recorded`].
    RecordStop,
    /// Lift by itself after so many rings; `None` for never.
    AutoAnswer {
        /// Rings, from 1.
        after_rings: Option<u8>,
    },
    /// Send these pages.
    SendFax {
        /// What to dial.
        number: String,
        /// A TIFF file, one or more pages.
        tiff: PathBuf,
    },
    /// Dial, and receive what the called machine has to send.
    FetchFax {
        /// What to dial.
        number: String,
    },
    /// Where received pages are stored from now on.
    ReceiveInto {
        /// An existing folder.
        folder: PathBuf,
    },
}

/// Why a control was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlError {
    /// The port is a real one: a person has to go there.
    NotSimulated,
    /// This machine has no such key (a phone sends no fax).
    NotThisMachine,
    /// It is in the middle of something else.
    Busy,
    /// This character is on no key.
    BadKey(char),
    /// A number out of its range, or more than fits.
    OutOfRange,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NotSimulated => write!(f, "this port is not simulated"),
            ControlError::NotThisMachine => write!(f, "the machine on this port cannot do that"),
            ControlError::Busy => write!(f, "the machine is busy"),
            ControlError::BadKey(c) => write!(f, "no key is called {c:?}"),
            ControlError::OutOfRange => write!(f, "a value is out of range"),
        }
    }
}
impl std::error::Error for ControlError {}

/// Something that a simulated machine noticed or finished.
#[derive(Clone, PartialEq, Debug)]
pub struct SimEvent {
    /// Milliseconds since the machine was made, by its port's turns.
    pub at_ms: u64,
    /// What.
    pub what: Happening,
}

/// What a simulated machine noticed or finished.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// The handset was lifted.
    OffHook,
    /// The handset was put back.
    OnHook,
    /// The bell began to ring.
    RingStarted,
    /// The bell has been quiet for so long that the caller gave up.
    RingStopped,
    /// A call-progress tone is heard.
    ToneStarted(ProgressTone),
    /// It has stopped.
    ToneStopped(ProgressTone),
    /// All keys were sent.
    Dialled,
    /// A script waited for a tone that did not come; the rest of it was dropped.
    NoTone(ProgressTone),
    /// All samples were said.
    Played,
    /// What was heard.
    Recorded(Vec<i16>),
    /// A fax call is over.
    FaxDone(FaxReport),
}

/// Which way the pages went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaxDirection {
    /// This machine sent.
    Sent,
    /// This machine received.
    Received,
}

/// How a fax call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaxReport {
    /// Which way.
    pub direction: FaxDirection,
    /// Everything arrived and was confirmed.
    pub ok: bool,
    /// In words.
    pub text: String,
    /// Pages that went across.
    pub pages: u32,
    /// Rate of the image modem, bit/s.
    pub bps: u32,
    /// Error correction was used.
    pub ecm: bool,
    /// What the other machine called itself.
    pub remote_ident: String,
    /// Rows of the last page that could not be decoded.
    pub bad_rows: u32,
    /// The file sent or written.
    pub file: Option<PathBuf>,
}
