//! What the call asks of the line.

/// What the call asks of the line. One that makes no sense where the line stands (the person was faster) changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Ring the phone. Answered by [`Event::RingRefused`] if it is not on hook.
    Ring {
        /// Distinctive cadence (on, off ... in ms); the country's own if `None`.
        cadence_ms: Option<&'static [u32]>,
    },
    /// Stop ringing: the caller gave up.
    StopRinging,
    /// The far end rings: ringback tone.
    Ringback,
    /// No tone while the call goes on being made.
    Silence,
    /// Connect audio, both ways.
    Connect,
    /// Busy tone.
    Busy,
    /// Reorder tone.
    Reorder,
    /// The other side hung up.
    FarEndGone,
    /// Dial tone and a new number (after a flash).
    DialTone,
    /// Messages wait, or no longer: dial tone stutters from the next time on.
    MessagesWaiting(bool),
    /// Whatever it was doing, it ends: an idle line, or silence until the phone is hung up.
    Reset,
}
