//! A row as its changing elements (T.4 4.2.1.1): the columns where the colour is not that of the pel to the left, white before the row.
//!
//! All coding works on these and not on pels: a row of text has a few dozen. Packed rows become edges 64 pels at a time.

use super::bits::{BitWriter, Bits};
use super::codes::{
    HORIZONTAL, MAKE_UP, MAKE_UP_RUN_MAX, MODE_LOOK_UP, MODE_LOOK_UP_BITS, Mode, PASS, RUN_LOOK_UP, RUN_LOOK_UP_BITS, TERMINATING,
    VERTICAL, Word,
};

/// What was wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bits are no code word (an EOL inside the row is one way).
    BadCode,
    /// The runs go beyond the last column.
    TooLong,
    /// A vertical mode went to the left of where the row already was.
    Backwards,
    /// The row has its columns, but no EOL follows.
    NoEol,
    /// The row is coded against a row that was itself bad (MR only).
    ReferenceLost,
    /// The data ended inside the row.
    Truncated,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::BadCode => "no code word",
            Fault::TooLong => "runs beyond the last column",
            Fault::Backwards => "a changing element left of the one before",
            Fault::NoEol => "no EOL after the row",
            Fault::ReferenceLost => "coded against a bad row",
            Fault::Truncated => "the data ended inside the row",
        })
    }
}

/// The changing elements of a row of `columns` pels, ascending, each once; even places turn black, odd ones white.
#[derive(Clone, Debug)]
pub(super) struct Edges {
    columns: i32,
    /// Ends in `SENTINELS` times `columns` once the row is whole.
    at: Vec<i32>,
}

/// b1 and b2 may be asked for this far behind the last changing element, so as many stand there, all on the imaginary pel after the row.
const SENTINELS: usize = 4;

impl Edges {
    /// A white row.
    pub fn white(columns: u32) -> Self {
        let columns = columns as i32;
        let mut at = Vec::with_capacity(columns as usize + SENTINELS);
        at.resize(SENTINELS, columns);
        Edges { columns, at }
    }
    fn clear(&mut self) {
        self.at.clear();
    }
    /// The colour turns at `column`. Twice at the same place is not at all.
    #[inline]
    fn turn(&mut self, column: i32) {
        if self.at.last() == Some(&column) {
            self.at.pop();
        } else {
            self.at.push(column);
        }
    }
    #[inline]
    fn end(&mut self) {
        let columns = self.columns;
        self.at.extend_from_slice(&[columns; SENTINELS]);
    }

    /// The edges of a packed row.
    pub fn read(&mut self, row: &[u8]) {
        self.clear();
        let mut last_pel = 0u64;
        let mut column = 0i32;
        for chunk in row.chunks(8) {
            let word = match <[u8; 8]>::try_from(chunk) {
                Ok(eight) => u64::from_be_bytes(eight),
                Err(_) => {
                    let mut eight = [0; 8];
                    eight[..chunk.len()].copy_from_slice(chunk);
                    u64::from_be_bytes(eight)
                }
            };
            let mut turns = word ^ (word >> 1 | last_pel << 63);
            while turns != 0 {
                let lead = turns.leading_zeros();
                let at = column + lead as i32;
                if at >= self.columns {
                    break;
                }
                self.at.push(at);
                turns &= !(1 << (63 - lead));
            }
            last_pel = word & 1;
            column += 64;
        }
        self.end();
    }

    /// Paints the row: black from each even edge to the next.
    pub fn paint(&self, row: &mut [u8]) {
        row.fill(0);
        let turns = &self.at[..self.at.len() - SENTINELS];
        for black in turns.chunks(2) {
            let end = black.get(1).copied().unwrap_or(self.columns);
            super::paint_black(row, black[0] as usize, end as usize);
        }
    }

    /// Reads a row in one-dimensional coding.
    pub fn decode_1d(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        self.clear();
        let outcome = self.runs_1d(bits);
        self.end();
        outcome
    }
    fn runs_1d(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        let mut a0 = 0;
        let mut colour = 0;
        loop {
            a0 += take_run(bits, colour, self.columns - a0)?;
            if a0 == self.columns {
                return Ok(());
            }
            self.turn(a0);
            colour ^= 1;
        }
    }

    /// Reads a row in two-dimensional coding against the row above.
    pub fn decode_2d(&mut self, bits: &mut Bits<'_>, above: &Edges) -> Result<(), Fault> {
        self.clear();
        let outcome = self.modes_2d(bits, &above.at);
        self.end();
        outcome
    }
    fn modes_2d(&mut self, bits: &mut Bits<'_>, above: &[i32]) -> Result<(), Fault> {
        let columns = self.columns;
        let mut a0 = -1;
        let mut colour = 0;
        let mut b1 = 0;
        while a0 < columns {
            let (mode, len) = MODE_LOOK_UP[bits.peek(MODE_LOOK_UP_BITS) as usize];
            bits.skip(u32::from(len));
            match mode {
                Mode::Vertical(offset) => {
                    let a1 = above[b1] + i32::from(offset);
                    if a1 < a0.max(0) {
                        return Err(Fault::Backwards);
                    }
                    if a1 > columns {
                        return Err(Fault::TooLong);
                    }
                    a0 = a1;
                    if a0 == columns {
                        break;
                    }
                    self.turn(a0);
                    colour ^= 1;
                    b1 = if b1 > 0 { b1 - 1 } else { 1 };
                }
                Mode::Pass => a0 = above[b1 + 1],
                Mode::Horizontal => {
                    a0 = a0.max(0);
                    a0 += take_run(bits, colour, columns - a0)?;
                    let a1 = a0;
                    a0 += take_run(bits, colour ^ 1, columns - a0)?;
                    if a1 < columns {
                        self.turn(a1);
                    }
                    if a0 < columns {
                        self.turn(a0);
                    }
                }
                Mode::Unknown => return Err(Fault::BadCode),
            }
            while above[b1] <= a0 && above[b1] < columns {
                b1 += 2;
            }
        }
        Ok(())
    }

    /// Writes the row in one-dimensional coding.
    pub fn encode_1d(&self, out: &mut BitWriter) {
        let mut a0 = 0;
        let mut colour = 0;
        for &a1 in &self.at[..=self.at.len() - SENTINELS] {
            put_run(out, colour, a1 - a0);
            a0 = a1;
            colour ^= 1;
        }
    }

    /// Writes the row in two-dimensional coding against the row above (the flow of T.4 figure 7).
    pub fn encode_2d(&self, above: &Edges, out: &mut BitWriter) {
        let columns = self.columns;
        let (here, above) = (&self.at, &above.at);
        let mut a0 = -1;
        let mut colour = 0;
        let (mut a, mut b) = (0, 0);
        loop {
            while above[b] <= a0 && above[b] < columns {
                b += 2;
            }
            let (a1, b1, b2) = (here[a], above[b], above[b + 1]);
            if b2 < a1 {
                put(out, PASS);
                a0 = b2;
                continue;
            }
            let offset = a1 - b1;
            if (-3..=3).contains(&offset) {
                put(out, VERTICAL[(offset + 3) as usize]);
                a0 = a1;
                colour ^= 1;
                a += 1;
                b = if b > 0 { b - 1 } else { 1 };
            } else {
                put(out, HORIZONTAL);
                let a2 = here[a + 1];
                put_run(out, colour, a1 - a0.max(0));
                put_run(out, colour ^ 1, a2 - a1);
                a0 = a2;
                a += 2;
            }
            if a0 >= columns {
                return;
            }
        }
    }
}

/// Takes the words of one run: make-up words, then a terminating one. `room` is what is left of the row.
#[inline]
fn take_run(bits: &mut Bits<'_>, colour: usize, room: i32) -> Result<i32, Fault> {
    let table = &RUN_LOOK_UP[colour];
    let mut total = 0;
    loop {
        let entry = table[bits.peek(RUN_LOOK_UP_BITS) as usize];
        if entry == 0 {
            return Err(Fault::BadCode);
        }
        bits.skip(u32::from(entry & 15));
        let run = i32::from(entry >> 4);
        total += run;
        if total > room {
            return Err(Fault::TooLong);
        }
        if run < 64 {
            return Ok(total);
        }
    }
}

#[inline]
fn put(out: &mut BitWriter, word: Word) {
    out.put(u32::from(word.value), u32::from(word.len));
}

#[inline]
fn put_run(out: &mut BitWriter, colour: usize, mut run: i32) {
    while run > MAKE_UP_RUN_MAX + 63 {
        put(out, MAKE_UP[colour][MAKE_UP[colour].len() - 1]);
        run -= MAKE_UP_RUN_MAX;
    }
    if run >= 64 {
        put(out, MAKE_UP[colour][(run / 64 - 1) as usize]);
    }
    put(out, TERMINATING[colour][(run % 64) as usize]);
}
