//! What an image modem's receiver is, whoever made it: V.27ter, V.29 and V.17 behind one trait.

/// A modem and its rate, by Recommendation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modem {
    /// V.27ter, 2400 or 4800 bit/s.
    V27ter,
    /// V.29, 7200 or 9600 bit/s.
    V29,
    /// V.17, 7200 to 14400 bit/s.
    V17,
}

/// What a receiver says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// There is power on the line.
    CarrierUp,
    /// The training was followed: bits are next.
    Trained,
    /// It was no training, or was not followed. Nothing more comes until the carrier has gone.
    TrainingFailed,
    /// A bit.
    Bit(bool),
    /// The carrier has gone.
    CarrierDown,
}

/// A receiver.
pub trait ModemReceiver: Send {
    /// Waits for a training of this modem and rate, `short` as V.17 has it after a long one, with what that one taught. False if there
    /// is no such rate.
    fn restart(&mut self, modem: Modem, bps: u32, short: bool) -> bool;
    /// Quieter than this, dBm0, is no carrier.
    fn set_cutoff_dbm0(&mut self, dbm0: f32);
    /// Hears samples, and tells what is in them.
    fn rx(&mut self, samples: &[i16], tell: &mut dyn FnMut(Output));
}
