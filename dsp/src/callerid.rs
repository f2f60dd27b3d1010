//! Caller ID as it is sent on a line: Bell 202 or V.23, SDMF or MDMF. Read Telcordia GR-30-CORE clause 2 and ETSI EN 300 659-1 and -3.
//!
//! ```text
//! channel seizure (0101..., on hook) | marks | type length body checksum | marks
//! ```
//! The receiver is not told where a message begins: it takes start-stop characters apart all the time, with five ideas of the sender's
//! clock, and looks for a message whose checksum, stop bits and contents are right when the burst is over.

use crate::front::Phasor;
use crate::fsk::{BELL_202, Character, Demodulator, Spec, Uart, V23};

/// Bytes of a burst that are kept: a message is at most 3 + 255, seizure 38.
const BYTES_MAX: usize = 384;
/// Characters of a number or name.
pub const TEXT_MAX: usize = 64;
/// The clocks that are tried, as errors; the best first.
const CLOCKS: [f32; 5] = [0.0, 0.025, -0.025, 0.05, -0.05];
/// A start-stop character of 10 bits, samples.
const CHARACTER: u64 = 67;
/// The burst is over after so long without a character or without a carrier, samples.
const GAP: u32 = 400;
/// Mean share of power at the two frequencies for a carrier.
const SHARE_ON: f32 = 0.45;
/// Quietest carrier, mean square: -48 dBm0.
const POWER_MIN: f32 = 4100.0;
/// Soft value of a bit that is all mark, though of the other standard's.
const PURE_MARK: f32 = 0.7;
/// A result waits so long for that of the other standard, samples.
const RIVAL: u32 = 1200;
/// Single data message: date and number.
const SDMF: u8 = 0x04;
/// Multiple data message, call setup.
const MDMF: u8 = 0x80;

/// Text of a message.
pub type Text = heapless::String<TEXT_MAX>;

/// Modem of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standard {
    /// Bell 202.
    #[default]
    Bell202,
    /// V.23.
    V23,
}

/// Layout of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Single data message format.
    #[default]
    Sdmf,
    /// Multiple data message format.
    Mdmf,
}

/// Why a number or a name is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Absence {
    /// It is there, or nothing was said of it.
    #[default]
    None,
    /// The network does not know it.
    Unavailable,
    /// The caller withholds it.
    Private,
}

impl Absence {
    fn of(c: u8) -> Absence {
        match c {
            b'P' => Absence::Private,
            _ => Absence::Unavailable,
        }
    }
}

/// A message.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Message {
    /// Sample at which its first byte began, about.
    pub at: u64,
    /// Modem.
    pub standard: Standard,
    /// Layout.
    pub format: Format,
    /// MMDDhhmm.
    pub date: Text,
    /// The caller's number.
    pub number: Text,
    /// The caller's name, as sent.
    pub name: Text,
    /// Why there is no number.
    pub number_absence: Absence,
    /// Why there is no name.
    pub name_absence: Absence,
    /// The checksum is right.
    pub checksum_ok: bool,
}

/// Reads a message: type, length, body, checksum. `None` if it is none, or says nothing.
pub fn parse(bytes: &[u8]) -> Option<Message> {
    let &[kind, length, ref rest @ ..] = bytes else { return None };
    let body = rest.get(..usize::from(length))?;
    let sum = bytes.get(..usize::from(length) + 3)?.iter().fold(0u8, |s, b| s.wrapping_add(*b));
    let mut m = Message { checksum_ok: sum == 0, ..Message::default() };
    match kind {
        SDMF => {
            m.format = Format::Sdmf;
            let (date, number) = body.split_at_checked(8)?;
            m.date = text(date, |c| c.is_ascii_digit())?;
            match number {
                [c @ (b'O' | b'P')] => m.number_absence = Absence::of(*c),
                _ => m.number = text(number, dialable)?,
            }
        }
        MDMF => {
            m.format = Format::Mdmf;
            let mut rest = body;
            while let &[parameter, length, ref more @ ..] = rest {
                let (value, after) = more.split_at_checked(usize::from(length))?;
                rest = after;
                match (parameter, value) {
                    (0x01, _) => m.date = text(value, |c| c.is_ascii_digit())?,
                    (0x02, &[c @ (b'O' | b'P')]) | (0x04, &[c, ..]) => m.number_absence = Absence::of(c),
                    (0x02, _) => m.number = text(value, dialable)?,
                    // The number as it can be dialled, where the calling number itself is not given.
                    (0x03, _) if m.number.is_empty() => m.number = text(value, dialable)?,
                    (0x07, &[c @ (b'O' | b'P')]) | (0x08, &[c, ..]) => m.name_absence = Absence::of(c),
                    (0x07, _) => m.name = text(value, |c| (0x20..0x7F).contains(&c) || c >= 0xA0)?,
                    _ => {}
                }
            }
            if !rest.is_empty() {
                return None;
            }
        }
        _ => return None,
    }
    let says = !m.number.is_empty() || !m.name.is_empty() || m.number_absence != Absence::None || m.name_absence != Absence::None;
    says.then_some(m)
}

fn dialable(c: u8) -> bool {
    c.is_ascii_digit() || matches!(c, b'*' | b'#' | b'+' | b'-' | b' ' | b'(' | b')' | b'A'..=b'D')
}

/// Bytes as Latin text, if all are of the right kind.
fn text(bytes: &[u8], right: impl Fn(u8) -> bool) -> Option<Text> {
    let mut s = Text::new();
    for b in bytes {
        if !right(*b) {
            return None;
        }
        s.push(char::from(*b)).ok()?;
    }
    Some(s)
}

/// One idea of the clock, and the characters it found.
#[derive(Clone, Debug)]
struct Reader {
    uart: Uart,
    bytes: heapless::Vec<u8, BYTES_MAX>,
    /// Characters without a stop bit, by position.
    broken: heapless::Vec<u16, BYTES_MAX>,
    /// Sample at which each byte ended.
    times: heapless::Vec<u64, BYTES_MAX>,
    last: u64,
}

impl Reader {
    fn new(spec: Spec, clock: f32) -> Self {
        Reader {
            uart: Uart::new(spec.baud, clock),
            bytes: heapless::Vec::new(),
            broken: heapless::Vec::new(),
            times: heapless::Vec::new(),
            last: 0,
        }
    }
    fn clear(&mut self) {
        self.bytes.clear();
        self.times.clear();
        self.broken.clear();
    }
    /// Neither burst nor message is as long as what was read: something else sounds. Its older half is given up.
    fn forget_half(&mut self) {
        let half = self.bytes.len() / 2;
        self.bytes = self.bytes.iter().skip(half).copied().collect();
        self.times = self.times.iter().skip(half).copied().collect();
        self.broken = self.broken.iter().filter_map(|b| b.checked_sub(half as u16)).collect();
    }
    #[inline]
    fn rx(&mut self, soft: f32, now: u64) {
        let Some(character) = self.uart.rx(soft) else { return };
        if self.bytes.is_full() {
            return;
        }
        let _ = self.times.push(now);
        self.last = now;
        let byte = match character {
            Character::Byte(b) => b,
            Character::NoStop(b) => {
                let _ = self.broken.push(self.bytes.len() as u16);
                b
            }
        };
        let _ = self.bytes.push(byte);
    }
    /// The message in what was read, and how little is wrong with it: 0 is nothing.
    fn message(&self) -> Option<(Message, usize)> {
        let mut best: Option<(Message, usize)> = None;
        for at in 0..self.bytes.len().saturating_sub(3) {
            let tail = &self.bytes[at..];
            if !matches!(tail[0], SDMF | MDMF) {
                continue;
            }
            let span = at..at + usize::from(tail[1]) + 3;
            let broken = self.broken.iter().filter(|b| span.contains(&usize::from(**b))).count();
            if 8 * broken > span.len() {
                continue;
            }
            let Some(mut m) = parse(tail) else { continue };
            m.at = self.times[at].saturating_sub(CHARACTER);
            let faults = broken + if m.checksum_ok { 0 } else { 100 };
            if best.as_ref().is_none_or(|(_, f)| faults < *f) {
                best = Some((m, faults));
            }
        }
        best
    }
}

/// One standard.
#[derive(Clone, Debug)]
struct Ear {
    standard: Standard,
    demodulator: Demodulator,
    readers: [Reader; CLOCKS.len()],
    share: f32,
    power: f32,
    quiet: u32,
    burst: bool,
    /// How the mark turned between samples, summed over the burst: its angle is how far the sender's mark is from this standard's.
    turn: Phasor,
    last_mark: Phasor,
}

impl Ear {
    fn new(standard: Standard) -> Self {
        let spec = match standard {
            Standard::Bell202 => BELL_202,
            Standard::V23 => V23,
        };
        Ear {
            standard,
            demodulator: Demodulator::new(spec),
            readers: CLOCKS.map(|c| Reader::new(spec, c)),
            share: 0.0,
            power: 0.0,
            quiet: 0,
            burst: false,
            turn: Phasor::default(),
            last_mark: Phasor::default(),
        }
    }
    /// How far the sender's mark is from this standard's, as an angle a sample; half a turn if there was none.
    fn mark_error(&self) -> f32 {
        if self.turn.energy() > 0.0 { self.turn.angle().abs() } else { core::f32::consts::PI }
    }
    /// A message and its quality, when a burst is over.
    #[inline]
    fn rx(&mut self, sample: i16, now: u64) -> Option<(Message, f32)> {
        let soft = self.demodulator.rx(sample);
        if now.is_multiple_of(8) {
            let share = self.demodulator.share();
            self.share += (share - self.share) * (8.0 / 80.0);
            self.power += (self.demodulator.power() - self.power) * (8.0 / 80.0);
            let carrier = self.power > POWER_MIN && self.share > SHARE_ON;
            if carrier {
                (self.quiet, self.burst) = (0, true);
            } else {
                self.quiet += 8;
            }
        }
        if !self.burst {
            return None;
        }
        let mark = self.demodulator.mark_phasor();
        let last = core::mem::replace(&mut self.last_mark, mark);
        if soft > PURE_MARK {
            self.turn = self.turn.plus(Phasor::from_to(last, mark));
        }
        for r in &mut self.readers {
            r.rx(soft, now);
        }
        let silent = self.readers.iter().all(|r| r.bytes.is_empty() || now.saturating_sub(r.last) > u64::from(GAP));
        let over = self.quiet >= GAP || (silent && self.readers.iter().any(|r| r.bytes.len() > 8));
        // Noise beside the message: it goes on for ever, and the message is in it.
        let full = self.readers.iter().any(|r| r.bytes.is_full());
        if !over && !full {
            return None;
        }
        let found = self
            .readers
            .iter()
            .filter_map(Reader::message)
            .min_by_key(|(_, faults)| *faults)
            .map(|(m, faults)| (Message { standard: self.standard, ..m }, -self.mark_error() - faults as f32));
        if !over && found.is_none() {
            self.readers.iter_mut().for_each(Reader::forget_half);
            return None;
        }
        self.readers.iter_mut().for_each(Reader::clear);
        self.turn = Phasor::default();
        self.burst = self.quiet < GAP;
        found
    }
}

/// The receiver: both standards at once.
#[derive(Clone, Debug)]
pub struct Receiver {
    ears: [Ear; 2],
    samples: u64,
    held: Option<(Message, f32, u32)>,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A receiver that has heard nothing.
    pub fn new() -> Self {
        Receiver { ears: [Ear::new(Standard::Bell202), Ear::new(Standard::V23)], samples: 0, held: None }
    }
    /// Takes samples; gives a message about 0.2 s after its end.
    pub fn rx(&mut self, samples: &[i16], mut tell: impl FnMut(Message)) {
        for sample in samples {
            for ear in &mut self.ears {
                if let Some((message, quality)) = ear.rx(*sample, self.samples) {
                    match &self.held {
                        Some((_, held, _)) if *held >= quality => {}
                        _ => self.held = Some((message, quality, 0)),
                    }
                }
            }
            self.samples += 1;
            if let Some((_, _, age)) = &mut self.held {
                *age += 1;
                if *age > RIVAL
                    && let Some((message, _, _)) = self.held.take()
                {
                    tell(message);
                }
            }
        }
    }
}

/// A message's bytes, for tests and simulated exchanges.
pub fn mdmf(parameters: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![MDMF, 0];
    for (kind, value) in parameters {
        bytes.push(*kind);
        bytes.push(value.len() as u8);
        bytes.extend_from_slice(value);
    }
    bytes[1] = (bytes.len() - 2) as u8;
    bytes.push(bytes.iter().fold(0u8, |s, b| s.wrapping_sub(*b)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsk::Modulator;
    use crate::noise::Gauss;
    use proptest::prelude::*;

    fn burst(spec: Spec, level: f32, seizure: usize, bytes: &[u8]) -> Vec<i16> {
        let mut out = vec![0; 2000];
        let mut m = Modulator::new(spec, level);
        (0..seizure).for_each(|i| m.tx(i % 2 == 1, &mut out));
        (0..120).for_each(|_| m.tx(true, &mut out));
        bytes.iter().for_each(|b| m.tx_byte(*b, &mut out));
        (0..20).for_each(|_| m.tx(true, &mut out));
        out.resize(out.len() + 3000, 0);
        out
    }

    fn heard(samples: &[i16], noise_dbm0: f32) -> Vec<Message> {
        let mut chance = Gauss::new(9);
        let noise = crate::level::power_of(noise_dbm0).sqrt();
        let noisy: Vec<i16> = samples.iter().map(|s| (f32::from(*s) + noise * chance.sample()).clamp(-32768.0, 32767.0) as i16).collect();
        let mut found = Vec::new();
        let mut receiver = Receiver::new();
        receiver.rx(&noisy, |m| found.push(m));
        receiver.rx(&[0; 3000], |m| found.push(m));
        found
    }

    #[test]
    fn both_standards_are_heard_and_told_apart_at_any_level_clock_and_noise() {
        let bytes = mdmf(&[(1, b"08281200"), (2, b"0755551234"), (7, b"A B")]);
        for (spec, standard) in [(BELL_202, Standard::Bell202), (V23, Standard::V23)] {
            for (level, clock, noise) in [
                (-10.0, 0.0, -90.0),
                (-40.0, 0.0, -70.0),
                (-14.0, 0.05, -60.0),
                (-14.0, -0.05, -60.0),
                (-10.0, 0.01, -26.0),
                (0.0, 0.0, -50.0),
            ] {
                for seizure in [300, 0] {
                    let sent = Spec { baud: spec.baud * (1.0 + clock), ..spec };
                    let found = heard(&burst(sent, level, seizure, &bytes), noise);
                    assert_eq!(found.len(), 1, "{standard:?} {level} {clock} {noise} {seizure}");
                    let m = &found[0];
                    assert_eq!((m.date.as_str(), m.number.as_str(), m.name.as_str()), ("08281200", "0755551234", "A B"));
                    assert_eq!((m.standard, m.format, m.checksum_ok), (standard, Format::Mdmf, true), "{level} {clock} {noise}");
                }
            }
        }
    }

    #[test]
    fn absent_numbers_say_why() {
        let m = parse(&mdmf(&[(1, b"01020304"), (4, b"P"), (8, b"O")])).expect("says something");
        assert_eq!((m.number_absence, m.name_absence, m.number.as_str()), (Absence::Private, Absence::Unavailable, ""));
        let mut sdmf = vec![SDMF, 9];
        sdmf.extend_from_slice(b"01020304O");
        sdmf.push(sdmf.iter().fold(0u8, |s, b| s.wrapping_sub(*b)));
        let m = parse(&sdmf).expect("says something");
        assert_eq!((m.number_absence, m.date.as_str(), m.checksum_ok), (Absence::Unavailable, "01020304", true));
    }

    #[test]
    fn a_wrong_checksum_is_told() {
        let mut bytes = mdmf(&[(2, b"123")]);
        *bytes.last_mut().expect("a checksum") ^= 1;
        let found = heard(&burst(BELL_202, -12.0, 300, &bytes), -70.0);
        assert_eq!(found.iter().map(|m| m.checksum_ok).collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn noise_is_no_message() {
        assert_eq!(heard(&vec![0; 400_000], -12.0), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(m) = parse(&bytes) {
                prop_assert!(m.date.len() <= TEXT_MAX);
            }
            let mut typed = vec![MDMF];
            typed.extend_from_slice(&bytes);
            parse(&typed);
        }
        #[test]
        fn any_samples_are_taken(samples in proptest::collection::vec(any::<i16>(), 0..4000)) {
            Receiver::new().rx(&samples, |_| {});
        }
    }
}
