//! What a line is plugged into.
//!
//! A [`Port`] is one socket of the gateway: an FXS port of a card, a modem, or a simulated line with a phone or fax machine at its far
//! end. The board exchanges one 20 ms frame with every port per tick and hears of hook changes; everything else (dial tone, digits,
//! ringing cadence, flash or hang-up) is decided above, in the line machine. `hw` knows `dsp` and nothing of `tipring`.

pub mod faulty;
pub mod limits;
pub mod pair;
pub mod sim;
pub mod tap;
pub mod wav;

pub use sim::control::{Control, ControlError, SimEvent};
pub use tipring_dsp::Frame;

/// What a port can do. The line machine asks before it rings or sends caller ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// What stands behind the port: a station we feed (FXS) or an exchange line we borrow (FXO).
    pub kind: PortKind,
    /// Can put ringing current on the line.
    pub rings: bool,
    /// Can reverse the line's polarity (answer and disconnect supervision).
    pub reverses_polarity: bool,
    /// Tells hook flash and dial pulses apart by itself and reports them as such; otherwise the line machine times the hook.
    pub times_hook: bool,
}

/// FXS or FXO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// Foreign exchange station: a phone or fax machine is plugged in here.
    Fxs,
    /// Foreign exchange office: this port is plugged into somebody's exchange.
    Fxo,
}

/// What happened at the port since the last exchange. `at_ms` is the offset within the frame just exchanged, 0 to 19.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortEvent {
    /// The loop was closed.
    OffHook {
        /// Offset in the frame.
        at_ms: u8,
    },
    /// The loop was opened (hang-up, flash and dial pulses alike; the line machine tells them apart by time).
    OnHook {
        /// Offset in the frame.
        at_ms: u8,
    },
    /// The device no longer answers (card pulled, modem unplugged). Frames are silence until [`PortEvent::Back`].
    Gone,
    /// The device answers again; the line machine starts from on hook.
    Back,
}

/// What the gateway asks of the port's hardware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortCommand {
    /// Ringing current on or off. The cadence is the line machine's.
    Ring(bool),
    /// Reversed battery (true) or normal (false).
    Polarity(bool),
    /// Feed battery (true) or open the loop (false): kewl-start disconnect supervision.
    Battery(bool),
}

/// One socket of the gateway. All calls are made by the board's thread; none may block, allocate or log.
pub trait Port: Send {
    /// What this port can do; constant over its life.
    fn capabilities(&self) -> Capabilities;
    /// One 20 ms turn: `to_line` goes out on the wire, what came in lands in `from_line` (silence if nothing did).
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame);
    /// The next hook or device event, oldest first; drained after each exchange.
    fn poll_event(&mut self) -> Option<PortEvent>;
    /// Sets ringing, polarity or battery. A port that cannot do it ignores it (see [`Capabilities`]).
    fn command(&mut self, command: PortCommand);
    /// What a person would do at the machine on this port. Only simulated ports can; they may allocate here and nowhere else.
    fn control(&mut self, _control: Control) -> Result<(), ControlError> {
        Err(ControlError::NotSimulated)
    }
    /// What a simulated machine noticed, oldest first.
    fn poll_sim(&mut self) -> Option<SimEvent> {
        None
    }
}
