//! Bits in the order of the line: the most significant bit of a byte is the first one sent (T.4 2.1; TIFF calls it FillOrder 1).
//!
//! The reader never runs off its bytes: past the end it gives zeros and remembers that it did ([`Bits::overrun`]). Zeros are no code
//! word of T.4 or T.6, so whatever is being read stops by itself.

/// Reads bits from bytes, most significant first.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    partial: bool,
}

impl<'a> Bits<'a> {
    /// A reader of all the bytes there will ever be.
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, position: 0, partial: false }
    }
    /// A reader of the bytes that have come so far, from bit `position` on: more may follow, so an unfinished row is not yet a bad row.
    pub fn partial(bytes: &'a [u8], position: usize) -> Self {
        Bits { bytes, position, partial: true }
    }
    /// A reader of the last bytes, from bit `position` on: nothing more will come.
    pub fn rest(bytes: &'a [u8], position: usize) -> Self {
        Bits { bytes, position, partial: false }
    }
    /// Whether more bytes may follow these.
    pub fn is_partial(&self) -> bool {
        self.partial
    }
    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.position
    }
    pub(super) fn seek(&mut self, position: usize) {
        self.position = position;
    }
    /// Bits not yet read.
    pub fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.position)
    }
    /// Whether bits past the end were read.
    pub fn overrun(&self) -> bool {
        self.position > self.bytes.len() * 8
    }

    /// The next bits, left aligned; at least 57 of them count. Zeros past the end.
    #[inline]
    pub(super) fn window(&self) -> u64 {
        let byte = self.position >> 3;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_be_bytes(eight.try_into().expect("the slice was cut to 8 bytes")),
            None => self.window_at_the_end(byte),
        };
        word << (self.position & 7)
    }
    #[cold]
    fn window_at_the_end(&self, byte: usize) -> u64 {
        let mut eight = [0u8; 8];
        if let Some(rest) = self.bytes.get(byte..) {
            eight[..rest.len()].copy_from_slice(rest);
        }
        u64::from_be_bytes(eight)
    }
    /// The next `count` bits (1 to 32), not taken.
    #[inline]
    pub fn peek(&self, count: u32) -> u32 {
        debug_assert!((1..=32).contains(&count));
        (self.window() >> (64 - count)) as u32
    }
    /// Takes `count` bits without looking.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.position += count as usize;
    }
    /// Goes on to the next whole byte.
    pub fn align(&mut self) {
        self.position = (self.position + 7) & !7;
    }

    /// Zeros from here to the next one, or to the end of the bytes (then `None` for where the one is).
    fn zeros(&self) -> (usize, bool) {
        let mut ahead = *self;
        while ahead.left() > 0 {
            let zeros = ahead.window().leading_zeros() as usize;
            if zeros < 57 {
                let at = ahead.position + zeros;
                return if at < self.bytes.len() * 8 { (at - self.position, true) } else { (self.left(), false) };
            }
            ahead.position += 57;
        }
        (self.left(), false)
    }
    /// Whether nothing but zeros is left.
    pub fn only_zeros_left(&self) -> bool {
        !self.zeros().1
    }
    /// Takes an EOL with the fill before it: at least eleven zeros and a one (T.4 4.1.2, 4.1.3). Takes nothing if there is none here.
    pub fn take_eol(&mut self) -> bool {
        let (zeros, ended_by_one) = self.zeros();
        let eol = ended_by_one && zeros >= super::codes::EOL_ZEROS;
        if eol {
            self.position += zeros + 1;
        }
        eol
    }
    /// Whether an EOL (with any fill) is next.
    pub fn at_eol(&self) -> bool {
        let mut ahead = *self;
        ahead.take_eol()
    }
    /// Goes to the next EOL and stays before it. Without one it goes to the end, less the zeros that may be the start of one.
    pub fn hunt_eol(&mut self) -> bool {
        while self.left() > 0 {
            let (zeros, ended_by_one) = self.zeros();
            if !ended_by_one {
                return false;
            }
            if zeros >= super::codes::EOL_ZEROS {
                return true;
            }
            self.position += zeros + 1;
        }
        false
    }
}

/// Writes bits into bytes, most significant first.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Appends the low `count` bits (at most 32) of `value`.
    #[inline]
    pub fn put(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32);
        self.pending = (self.pending << count) | u64::from(value);
        self.pending_bits += count;
        if self.pending_bits >= 32 {
            self.pending_bits -= 32;
            self.bytes.extend_from_slice(&((self.pending >> self.pending_bits) as u32).to_be_bytes());
        }
    }
    /// Appends `count` zeros.
    pub fn zeros(&mut self, mut count: usize) {
        while count > 0 {
            let now = count.min(32);
            self.put(0, now as u32);
            count -= now;
        }
    }
    /// Bits written so far.
    pub fn len_bits(&self) -> usize {
        self.bytes.len() * 8 + self.pending_bits as usize
    }
    /// Fills the last byte with zeros.
    pub fn align(&mut self) {
        self.zeros(self.len_bits().wrapping_neg() & 7);
    }
    /// The bytes, the last one filled with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        self.align();
        let whole = (self.pending_bits / 8) as usize;
        let rest = (self.pending as u32).to_be_bytes();
        self.bytes.extend_from_slice(&rest[4 - whole..]);
        self.bytes
    }
}

/// Turns every byte around: between FillOrder 1 and 2 of TIFF, or a line that sends the least significant bit first.
pub fn reverse_bits(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = byte.reverse_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((any::<u32>(), 1u32..=32), 0..200)) {
            let mut writer = BitWriter::default();
            for &(value, count) in &fields {
                writer.put((u64::from(value) & ((1u64 << count) - 1)) as u32, count);
            }
            let bytes = writer.finish();
            let mut bits = Bits::new(&bytes);
            for &(value, count) in &fields {
                prop_assert_eq!(u64::from(bits.peek(count)), u64::from(value) & ((1u64 << count) - 1));
                bits.skip(count);
            }
            prop_assert!(!bits.overrun());
        }
    }

    #[test]
    fn an_eol_is_found_behind_any_fill_and_not_in_ten_zeros() {
        for fill in 0..300 {
            let mut writer = BitWriter::default();
            writer.put(0b1011, 4);
            writer.zeros(10);
            writer.put(1, 1);
            writer.zeros(fill);
            writer.put(1, 12);
            let bytes = writer.finish();
            let mut bits = Bits::new(&bytes);
            bits.skip(4);
            assert!(!bits.take_eol());
            assert!(bits.hunt_eol());
            assert_eq!(bits.position(), 15);
            assert!(bits.take_eol());
            assert_eq!(bits.position(), 15 + fill + 12);
            assert!(!bits.hunt_eol());
        }
    }
}
