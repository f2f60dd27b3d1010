//! V.8 overheard: CM on V.21 channel 1 and JM on channel 2, which say what kind of call it is. Read V.8 clauses 5 and 6.
//!
//! Ten ones, a synchronisation octet, the call function, the modulations, over and over: a call function that is heard twice in the
//! same words is believed.

use crate::fsk::{Character, Demodulator, Uart, V21_CHANNEL_1, V21_CHANNEL_2};

/// What the call is for (V.8 table 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallFunction {
    /// A data modem.
    Data,
    /// A fax machine that wants to send, with V.34.
    FaxFromCaller,
    /// A fax machine that wants to receive, with V.34.
    FaxToCaller,
    /// A text telephone (V.18).
    TextTelephone,
    /// H.324 multimedia, T.101 videotex, or an extension.
    Other,
}

/// A menu that was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Menu {
    /// Sample of its end.
    pub at: u64,
    /// JM, the answer; else CM.
    pub joint: bool,
    /// What it asks for.
    pub function: CallFunction,
}

/// The octet before a CM or JM: start bit, 00000111, stop bit.
const SYNC: u8 = 0xE0;
/// Characters of a menu end 33 ms apart, two menus 67 ms; after such a pause it is over, samples.
const PAUSE: u64 = 800;

/// One direction.
#[derive(Clone, Debug)]
struct Ear {
    demodulator: Demodulator,
    uart: Uart,
    last: u64,
    octets: heapless::Vec<u8, 16>,
    before: heapless::Vec<u8, 16>,
    synced: bool,
    told: bool,
}

/// Listens for menus of both sides.
#[derive(Clone, Debug)]
pub struct Receiver {
    ears: [Ear; 2],
    samples: u64,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A receiver that has heard nothing.
    pub fn new() -> Self {
        let ear = |spec| Ear {
            demodulator: Demodulator::new(spec),
            uart: Uart::new(300.0, 0.0),
            last: 0,
            octets: heapless::Vec::new(),
            before: heapless::Vec::new(),
            synced: false,
            told: false,
        };
        Receiver { ears: [ear(V21_CHANNEL_1), ear(V21_CHANNEL_2)], samples: 0 }
    }
    /// Takes samples; tells each menu once.
    pub fn rx(&mut self, samples: &[i16], mut tell: impl FnMut(Menu)) {
        for sample in samples {
            for (i, ear) in self.ears.iter_mut().enumerate() {
                let soft = ear.demodulator.rx(*sample);
                if let Some(character) = ear.uart.rx(soft)
                    && let Some(function) = ear.character(character, self.samples)
                {
                    tell(Menu { at: self.samples, joint: i == 1, function });
                }
            }
            self.samples += 1;
        }
    }
}

impl Ear {
    fn character(&mut self, character: Character, now: u64) -> Option<CallFunction> {
        if now - self.last > PAUSE {
            self.synced = false;
            if now - self.last > 20 * PAUSE {
                self.before.clear();
                self.told = false;
            }
        }
        self.last = now;
        let Character::Byte(octet) = character else {
            self.synced = false;
            return None;
        };
        // A carrier, not noise: one bit's power lies at the two frequencies.
        if self.demodulator.share() < 0.4 {
            self.synced = false;
            return None;
        }
        if octet == SYNC {
            let heard = core::mem::take(&mut self.octets);
            let same = self.synced && heard.len() >= 2 && heard == self.before;
            self.before = heard;
            self.synced = true;
            if same && !self.told {
                self.told = true;
                return self.before.first().and_then(|o| function(*o));
            }
        } else if self.synced && self.octets.push(octet).is_err() {
            self.synced = false;
        }
        None
    }
}

/// Tag 1 in the low five bits, the function above.
fn function(octet: u8) -> Option<CallFunction> {
    if octet & 0x1F != 0x01 {
        return None;
    }
    Some(match octet >> 5 {
        2 => CallFunction::TextTelephone,
        4 => CallFunction::FaxFromCaller,
        5 => CallFunction::FaxToCaller,
        6 => CallFunction::Data,
        _ => CallFunction::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsk::{Modulator, Spec};
    use crate::noise::Gauss;

    fn heard(spec: Spec, function: u8) -> Vec<Menu> {
        let mut samples = vec![0; 800];
        let mut m = Modulator::new(spec, -20.0);
        for _ in 0..4 {
            (0..10).for_each(|_| m.tx(true, &mut samples));
            [SYNC, function, 0x05, 0x10].iter().for_each(|o| m.tx_byte(*o, &mut samples));
        }
        samples.extend([0; 800]);
        let mut found = Vec::new();
        Receiver::new().rx(&samples, |m| found.push(m));
        found
    }

    #[test]
    fn a_data_modem_and_a_fast_fax_are_told_apart() {
        for (spec, joint) in [(V21_CHANNEL_1, false), (V21_CHANNEL_2, true)] {
            for (octet, want) in [(0xC1, CallFunction::Data), (0x81, CallFunction::FaxFromCaller), (0xA1, CallFunction::FaxToCaller)] {
                let found = heard(spec, octet);
                assert_eq!(found.iter().map(|m| (m.joint, m.function)).collect::<Vec<_>>(), [(joint, want)]);
            }
        }
    }

    #[test]
    fn noise_is_no_menu() {
        let mut chance = Gauss::new(4);
        let noise: Vec<i16> = (0..800_000).map(|_| (2000.0 * chance.sample()) as i16).collect();
        Receiver::new().rx(&noise, |m| panic!("{m:?}"));
    }
}
