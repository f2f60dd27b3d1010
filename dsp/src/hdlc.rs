//! HDLC frames out of bits: flags, inserted zeros, the 16-bit frame check sequence. Read ISO/IEC 13239 clause 4 and T.30 clause 5.3.
//!
//! Octets come out as T.38 carries them: the first bit on the line is the most significant.

/// Octets of a frame with its FCS: an ECM frame is 4 + 256 + 2; the rest is room.
pub const FRAME_OCTETS_MAX: usize = 300;
/// Remainder of a frame with a good FCS, bits in the order of the line.
const GOOD_FCS: u16 = 0x1D0F;
/// X^16 + X^12 + X^5 + 1.
const POLYNOMIAL: u16 = 0x1021;

/// What the bits said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A flag, in a row of at least two.
    Flag,
    /// A frame of at least three octets between two flags, without its FCS.
    Frame {
        /// Address, control, and so on.
        octets: &'a [u8],
        /// The check sequence is right.
        fcs_ok: bool,
    },
    /// Seven ones or more.
    Abort,
}

/// Takes frames apart.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The last eight bits, oldest on top.
    last: u8,
    ones: u32,
    octets: [u8; FRAME_OCTETS_MAX],
    len: usize,
    octet: u8,
    bits: u32,
    crc: u16,
    in_frame: bool,
    /// Bits since the last flag ended.
    since_flag: u32,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A receiver that waits for a flag.
    pub fn new() -> Self {
        Receiver { last: 0, ones: 0, octets: [0; FRAME_OCTETS_MAX], len: 0, octet: 0, bits: 0, crc: 0xFFFF, in_frame: false, since_flag: 0 }
    }
    /// Takes a bit; tells what it completed.
    #[inline]
    pub fn rx(&mut self, bit: bool) -> Option<Event<'_>> {
        self.last = self.last << 1 | u8::from(bit);
        self.since_flag = self.since_flag.saturating_add(1);
        if bit {
            self.ones += 1;
            if self.ones == 7 {
                let was = core::mem::replace(&mut self.in_frame, false);
                return was.then_some(Event::Abort);
            }
            // The sixth one is part of a flag or of an abort.
            if self.ones < 6 {
                self.data(true);
            }
            return None;
        }
        let ones = core::mem::replace(&mut self.ones, 0);
        match ones {
            5 => None,
            6 if self.last == 0x7E => {
                let frame = self.in_frame.then_some((self.len, self.bits, self.crc));
                let gap = self.since_flag;
                (self.in_frame, self.len, self.bits, self.octet, self.crc, self.since_flag) = (true, 0, 0, 0, 0xFFFF, 0);
                match frame {
                    // The flag's own first bits (0 and five ones) have been taken for data: six bits beyond the last whole octet.
                    Some((len, 6, _)) if len >= 5 => {
                        let fcs_ok = crc(&self.octets[..len]) == GOOD_FCS;
                        Some(Event::Frame { octets: &self.octets[..len - 2], fcs_ok })
                    }
                    // Not a whole number of octets: bits were lost or gained.
                    Some((len, _, _)) if len >= 5 => Some(Event::Frame { octets: &self.octets[..len], fcs_ok: false }),
                    _ if gap <= 8 => Some(Event::Flag),
                    _ => None,
                }
            }
            7.. => None,
            _ => {
                self.data(false);
                None
            }
        }
    }
    #[inline]
    fn data(&mut self, bit: bool) {
        if !self.in_frame {
            return;
        }
        self.octet = self.octet << 1 | u8::from(bit);
        self.bits += 1;
        if self.bits == 8 {
            self.bits = 0;
            if self.len == FRAME_OCTETS_MAX {
                self.in_frame = false;
                return;
            }
            self.octets[self.len] = self.octet;
            self.len += 1;
        }
    }
    /// Bits since the last flag.
    pub fn bits_since_flag(&self) -> u32 {
        self.since_flag
    }
    /// The frame under way is given up.
    pub fn restart(&mut self) {
        (self.in_frame, self.ones, self.last) = (false, 0, 0);
    }
}

/// The remainder of octets in the order of the line, from all ones.
pub fn crc(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |c, _| if c & 0x8000 != 0 { c << 1 ^ POLYNOMIAL } else { c << 1 })
    })
}

/// The bits of a frame: inserted zeros, FCS and the closing flag. For tests and simulated machines.
pub fn bits_of(octets: &[u8], mut out: impl FnMut(bool)) {
    let fcs = !crc(octets);
    let mut ones = 0;
    for octet in octets.iter().copied().chain(fcs.to_be_bytes()) {
        for i in (0..8).rev() {
            let bit = octet >> i & 1 == 1;
            out(bit);
            ones = if bit { ones + 1 } else { 0 };
            if ones == 5 {
                out(false);
                ones = 0;
            }
        }
    }
    flag(out);
}

/// The bits of a flag.
pub fn flag(mut out: impl FnMut(bool)) {
    (0..8).for_each(|i| out((1..7).contains(&i)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bits: &[bool]) -> Vec<(Vec<u8>, bool)> {
        let mut r = Receiver::new();
        let mut out = Vec::new();
        for b in bits {
            if let Some(Event::Frame { octets, fcs_ok }) = r.rx(*b) {
                out.push((octets.to_vec(), fcs_ok));
            }
        }
        out
    }

    #[test]
    fn the_fcs_is_that_of_the_standard() {
        // X.25's check value of "123456789" is 906E, bits in the order of the line.
        let line: Vec<u8> = b"123456789".iter().map(|b| b.reverse_bits()).collect();
        assert_eq!((!crc(&line)).reverse_bits(), 0x906E);
    }

    #[test]
    fn flags_and_aborts_are_told() {
        let mut r = Receiver::new();
        let mut bits = Vec::new();
        (0..4).for_each(|_| flag(|b| bits.push(b)));
        let flags = bits.iter().filter(|b| r.rx(**b) == Some(Event::Flag)).count();
        assert!(flags >= 3, "{flags}");
        assert_eq!((0..9).filter_map(|_| r.rx(true).map(|e| e == Event::Abort)).collect::<Vec<_>>(), [true]);
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 3..280), 1..4)) {
            let mut bits = Vec::new();
            flag(|b| bits.push(b));
            list.iter().for_each(|f| bits_of(f, |b| bits.push(b)));
            let want: Vec<_> = list.into_iter().map(|f| (f, true)).collect();
            prop_assert_eq!(frames(&bits), want);
        }
        #[test]
        fn one_wrong_bit_is_never_a_good_frame(f in proptest::collection::vec(any::<u8>(), 3..60), at in 8usize..400) {
            let mut bits = Vec::new();
            flag(|b| bits.push(b));
            bits_of(&f, |b| bits.push(b));
            prop_assume!(at + 8 < bits.len());
            bits[at] = !bits[at];
            prop_assert!(frames(&bits).iter().all(|(_, ok)| !ok));
        }
        #[test]
        fn any_bits_at_all_are_taken(bits in proptest::collection::vec(any::<bool>(), 0..6000)) {
            frames(&bits);
        }
    }
}
