//! T.6 (MMR, "Group 4"): every row in two-dimensional coding against the row above, the first against white; no EOL, so the first fault
//! ends the page. Read T.6 clause 2 and T.4 clause 4.2.
//!
//! With ECM the line delivers all of it or nothing; a fault here means a file that is damaged or another coding than its label says.

use super::bits::{BitWriter, Bits};
use super::edges::{Edges, Fault};
use super::{Page, PageError, Resolution, check_size, limits, row_bytes};

/// EOFB is two EOLs (T.6 2.4.1).
const EOFB: u32 = 0x001001;
const EOFB_BITS: u32 = 24;

/// How the data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An end-of-facsimile-block.
    Eofb,
    /// As many rows as were asked for are there.
    AllRows,
    /// The data ended behind a whole row, with no EOFB.
    DataEnded,
    /// This row (counted from 0) is bad, and nothing after it can be read.
    Damaged {
        /// How many rows are good: the bad row's number.
        row: u32,
        /// What was wrong with it.
        fault: Fault,
    },
}

/// The rows that were good, and how they ended.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Exactly the good rows.
    pub page: Page,
    /// Why there are no more.
    pub end: End,
}

/// One row, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The row is written.
    Good,
    /// EOFB.
    Eofb,
    /// No bits are left.
    DataEnded,
    /// The row is bad; the rest cannot be read.
    Bad(Fault),
    /// The bits given so far do not hold the whole row: nothing was taken, give more.
    NeedMore,
}

/// Reads rows from bits, as they come.
#[derive(Clone, Debug)]
pub struct Decoder {
    above: Edges,
    here: Edges,
    stride: usize,
}

impl Decoder {
    /// A decoder of rows of `columns` pels.
    pub fn new(columns: u32) -> Result<Decoder, PageError> {
        check_size(columns, 0)?;
        Ok(Decoder { above: Edges::white(columns), here: Edges::white(columns), stride: row_bytes(columns) })
    }
    /// The next row into `row` (as many bytes as a packed row has, or nothing is read: `Bad`).
    pub fn row(&mut self, bits: &mut Bits<'_>, row: &mut [u8]) -> Row {
        if row.len() != self.stride {
            return Row::Bad(Fault::TooLong);
        }
        if bits.peek(EOFB_BITS) == EOFB {
            bits.skip(EOFB_BITS);
            return if bits.overrun() { Row::DataEnded } else { Row::Eofb };
        }
        if bits.left() < 8 && bits.only_zeros_left() {
            return if bits.is_partial() { Row::NeedMore } else { Row::DataEnded };
        }
        let start = bits.position();
        let outcome = self.here.decode_2d(bits, &self.above);
        // A word, or the EOFB, may be cut.
        let cut = bits.overrun() || (outcome.is_err() && bits.left() < EOFB_BITS as usize);
        if cut && bits.is_partial() {
            bits.seek(start);
            return Row::NeedMore;
        }
        if bits.overrun() {
            bits.seek(start);
            return Row::Bad(Fault::Truncated);
        }
        match outcome {
            Ok(()) => {
                self.here.paint(row);
                core::mem::swap(&mut self.here, &mut self.above);
                Row::Good
            }
            // A lone EOL is half an EOFB: some senders stop there.
            Err(Fault::BadCode) if at_lone_eol(bits, start) => Row::Eofb,
            Err(fault) => {
                bits.seek(start);
                Row::Bad(fault)
            }
        }
    }
}

fn at_lone_eol(bits: &Bits<'_>, start: usize) -> bool {
    let mut ahead = *bits;
    ahead.seek(start);
    ahead.take_eol() && ahead.only_zeros_left()
}

/// Reads at most `rows_max` rows of `columns` pels.
pub fn decode(bytes: &[u8], columns: u32, rows_max: u32, resolution: Resolution) -> Result<Decoded, PageError> {
    let mut decoder = Decoder::new(columns)?;
    let mut page = Page::white(columns, 0, resolution)?;
    let rows_max = rows_max.min(limits::ROWS_MAX).min((limits::PAGE_BYTES_MAX / row_bytes(columns)) as u32);
    let mut bits = Bits::new(bytes);
    let mut row = vec![0; row_bytes(columns)];
    let end = loop {
        if page.rows() == rows_max {
            break End::AllRows;
        }
        match decoder.row(&mut bits, &mut row) {
            Row::Good => page.append_row(&row),
            Row::Eofb => break End::Eofb,
            Row::DataEnded | Row::NeedMore => break End::DataEnded,
            Row::Bad(fault) => break End::Damaged { row: page.rows(), fault },
        }
    };
    Ok(Decoded { page, end })
}

/// Writes rows, with an EOFB at the end.
#[derive(Clone, Debug)]
pub struct Encoder {
    above: Edges,
    here: Edges,
    out: BitWriter,
}

impl Encoder {
    /// An encoder of rows of `columns` pels.
    pub fn new(columns: u32) -> Result<Encoder, PageError> {
        check_size(columns, 0)?;
        Ok(Encoder { above: Edges::white(columns), here: Edges::white(columns), out: BitWriter::default() })
    }
    /// Appends a packed row; what it lacks of the columns is white.
    pub fn row(&mut self, row: &[u8]) {
        self.here.read(row);
        self.here.encode_2d(&self.above, &mut self.out);
        core::mem::swap(&mut self.here, &mut self.above);
    }
    /// The bytes of all rows with EOFB.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.put(EOFB, EOFB_BITS);
        self.out.finish()
    }
}

/// The page in T.6, with EOFB.
pub fn encode(page: &Page) -> Vec<u8> {
    let mut encoder = Encoder::new(page.columns()).expect("a page has columns in bounds");
    page.iter_rows().for_each(|row| encoder.row(row));
    encoder.finish()
}
