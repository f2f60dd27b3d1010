//! The code words of T.4 (tables 2, 3a, 3b for runs, table 4 for the two-dimensional modes), printed as the Recommendation prints them.
//!
//! From the printed words the compiler makes the tables that are used: one look-up a word, both ways.

/// A code word: the value in the low `len` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub value: u16,
    pub len: u8,
}

const fn word(printed: &str) -> Word {
    let bits = printed.as_bytes();
    let mut value = 0;
    let mut i = 0;
    while i < bits.len() {
        value = value << 1 | (bits[i] - b'0') as u16;
        i += 1;
    }
    Word { value, len: bits.len() as u8 }
}

const fn words<const N: usize>(printed: [&str; N]) -> [Word; N] {
    let mut out = [Word { value: 0, len: 0 }; N];
    let mut i = 0;
    while i < N {
        out[i] = word(printed[i]);
        i += 1;
    }
    out
}

/// Zeros of an EOL before its one.
pub(super) const EOL_ZEROS: usize = 11;
/// End of line (T.4 4.1.2).
pub(super) const EOL: Word = word("000000000001");

/// Pass mode.
pub(super) const PASS: Word = word("0001");
/// Horizontal mode; two run words follow.
pub(super) const HORIZONTAL: Word = word("001");
/// Vertical modes: a1 is 3 left, 2 left, 1 left, under, 1 right, 2 right, 3 right of b1.
pub(super) const VERTICAL: [Word; 7] = words(["0000010", "000010", "010", "1", "011", "000011", "0000011"]);

/// White and black runs of 0 to 63 pels (table 2), indexed by colour and length.
pub(super) const TERMINATING: [[Word; 64]; 2] = [
    words([
        "00110101", "000111", "0111", "1000", "1011", "1100", "1110", "1111", "10011", "10100", "00111", "01000", "001000", "000011",
        "110100", "110101", "101010", "101011", "0100111", "0001100", "0001000", "0010111", "0000011", "0000100", "0101000", "0101011",
        "0010011", "0100100", "0011000", "00000010", "00000011", "00011010", "00011011", "00010010", "00010011", "00010100", "00010101",
        "00010110", "00010111", "00101000", "00101001", "00101010", "00101011", "00101100", "00101101", "00000100", "00000101", "00001010",
        "00001011", "01010010", "01010011", "01010100", "01010101", "00100100", "00100101", "01011000", "01011001", "01011010", "01011011",
        "01001010", "01001011", "00110010", "00110011", "00110100",
    ]),
    words([
        "0000110111",
        "010",
        "11",
        "10",
        "011",
        "0011",
        "0010",
        "00011",
        "000101",
        "000100",
        "0000100",
        "0000101",
        "0000111",
        "00000100",
        "00000111",
        "000011000",
        "0000010111",
        "0000011000",
        "0000001000",
        "00001100111",
        "00001101000",
        "00001101100",
        "00000110111",
        "00000101000",
        "00000010111",
        "00000011000",
        "000011001010",
        "000011001011",
        "000011001100",
        "000011001101",
        "000001101000",
        "000001101001",
        "000001101010",
        "000001101011",
        "000011010010",
        "000011010011",
        "000011010100",
        "000011010101",
        "000011010110",
        "000011010111",
        "000001101100",
        "000001101101",
        "000011011010",
        "000011011011",
        "000001010100",
        "000001010101",
        "000001010110",
        "000001010111",
        "000001100100",
        "000001100101",
        "000001010010",
        "000001010011",
        "000000100100",
        "000000110111",
        "000000111000",
        "000000100111",
        "000000101000",
        "000001011000",
        "000001011001",
        "000000101011",
        "000000101100",
        "000001011010",
        "000001100110",
        "000001100111",
    ]),
];

/// White and black runs of 64, 128 ... 1728 pels (table 3a).
const MAKE_UP_BY_COLOUR: [[Word; 27]; 2] = [
    words([
        "11011",
        "10010",
        "010111",
        "0110111",
        "00110110",
        "00110111",
        "01100100",
        "01100101",
        "01101000",
        "01100111",
        "011001100",
        "011001101",
        "011010010",
        "011010011",
        "011010100",
        "011010101",
        "011010110",
        "011010111",
        "011011000",
        "011011001",
        "011011010",
        "011011011",
        "010011000",
        "010011001",
        "010011010",
        "011000",
        "010011011",
    ]),
    words([
        "0000001111",
        "000011001000",
        "000011001001",
        "000001011011",
        "000000110011",
        "000000110100",
        "000000110101",
        "0000001101100",
        "0000001101101",
        "0000001001010",
        "0000001001011",
        "0000001001100",
        "0000001001101",
        "0000001110010",
        "0000001110011",
        "0000001110100",
        "0000001110101",
        "0000001110110",
        "0000001110111",
        "0000001010010",
        "0000001010011",
        "0000001010100",
        "0000001010101",
        "0000001011010",
        "0000001011011",
        "0000001100100",
        "0000001100101",
    ]),
];

/// Runs of 1792, 1856 ... 2560 pels of either colour (table 3b).
const MAKE_UP_EXTENDED: [Word; 13] = words([
    "00000001000",
    "00000001100",
    "00000001101",
    "000000010010",
    "000000010011",
    "000000010100",
    "000000010101",
    "000000010110",
    "000000010111",
    "000000011100",
    "000000011101",
    "000000011110",
    "000000011111",
]);

/// Make-up words by colour and run / 64 - 1, up to 2560 pels.
pub(super) const MAKE_UP: [[Word; 40]; 2] = [make_up(0), make_up(1)];
/// The longest run of one make-up word. Longer ones repeat it (T.4 note 2 of table 3b).
pub(super) const MAKE_UP_RUN_MAX: i32 = 2560;

const fn make_up(colour: usize) -> [Word; 40] {
    let mut out = [EOL; 40];
    let mut i = 0;
    while i < 27 {
        out[i] = MAKE_UP_BY_COLOUR[colour][i];
        i += 1;
    }
    while i < 40 {
        out[i] = MAKE_UP_EXTENDED[i - 27];
        i += 1;
    }
    out
}

/// Bits that are looked up at once to read a run word: the longest has 13.
pub(super) const RUN_LOOK_UP_BITS: u32 = 13;
/// For the next 13 bits: run << 4 | length of the word. 0: no word starts so.
pub(super) static RUN_LOOK_UP: [[u16; 1 << RUN_LOOK_UP_BITS]; 2] = [run_look_up(0), run_look_up(1)];

const fn run_look_up(colour: usize) -> [u16; 1 << RUN_LOOK_UP_BITS] {
    let mut out = [0; 1 << RUN_LOOK_UP_BITS];
    let mut i = 0;
    while i < 64 + 40 {
        let (word, run) = if i < 64 { (TERMINATING[colour][i], i) } else { (MAKE_UP[colour][i - 64], (i - 63) * 64) };
        let free = RUN_LOOK_UP_BITS - word.len as u32;
        let first = (word.value as usize) << free;
        let mut k = 0;
        while k < 1 << free {
            assert!(out[first + k] == 0, "no word is the start of another");
            out[first + k] = (run << 4) as u16 | word.len as u16;
            k += 1;
        }
        i += 1;
    }
    out
}

/// A mode of two-dimensional coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Pass,
    Horizontal,
    /// a1 - b1.
    Vertical(i8),
    /// An extension (uncompressed mode), the start of an EOL, or nothing at all.
    Unknown,
}

/// Bits that are looked up at once to read a mode.
pub(super) const MODE_LOOK_UP_BITS: u32 = 7;
/// The mode that the next 7 bits start with, and the length of its word.
pub(super) static MODE_LOOK_UP: [(Mode, u8); 1 << MODE_LOOK_UP_BITS] = mode_look_up();

const fn mode_look_up() -> [(Mode, u8); 1 << MODE_LOOK_UP_BITS] {
    let mut out = [(Mode::Unknown, 0); 1 << MODE_LOOK_UP_BITS];
    let mut i = 0;
    while i < 9 {
        let (word, mode) = match i {
            7 => (PASS, Mode::Pass),
            8 => (HORIZONTAL, Mode::Horizontal),
            _ => (VERTICAL[i], Mode::Vertical(i as i8 - 3)),
        };
        let free = MODE_LOOK_UP_BITS - word.len as u32;
        let mut k = 0;
        while k < 1 << free {
            out[((word.value as usize) << free) + k] = (mode, word.len);
            k += 1;
        }
        i += 1;
    }
    out
}
