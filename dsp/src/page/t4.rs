//! T.4 ("Group 3"): MH, one row at a time, and MR, where up to K - 1 rows after a one-dimensional one are coded against the row above.
//! Read T.4 clauses 4.1 and 4.2.
//!
//! ```text
//! MH:  EOL row fill EOL row fill ... EOL x 6            MR:  EOL+1 row  EOL+0 row ... (EOL+1) x 6
//! ```
//! The decoder lives with lines that lose bits. A bad row is counted and shown as a copy of the last good row (white at the top); reading
//! goes on at the next EOL, in MR at the next EOL+1, and the two-dimensional rows in between count as bad too, since what they refer to is
//! not known. A lost EOL joins two rows into one bad row, so a damaged page can be shorter than it was.

use super::bits::{BitWriter, Bits};
use super::codes::EOL;
use super::edges::{Edges, Fault};
use super::{Page, PageError, Resolution, check_size, limits, row_bytes};

/// How rows are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One-dimensional.
    Mh,
    /// Two-dimensional: at most `k` - 1 rows in a row against the one above. T.4 says 2 at standard, 4 at fine resolution. Only the encoder
    /// looks at `k`.
    Mr {
        /// The parameter K; 0 and 1 make every row one-dimensional.
        k: u32,
    },
}

impl Coding {
    /// MR with the K of T.4 4.2.2 for this resolution.
    pub fn mr_for(resolution: Resolution) -> Coding {
        Coding::Mr { k: if resolution.y_dpi < 150 { 2 } else { 4 } }
    }
}

/// What separates rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// An EOL before each row and RTC at the end, as on the line.
    Eol,
    /// As the first row has it: EOLs if one is there, else one row right after the other (MH only).
    Sense,
    /// No EOL, each row at a byte (TIFF compression 2).
    Bytes,
}

/// One row, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The row is written.
    Good,
    /// The row is bad: a copy of the last good row is written.
    Bad(Fault),
    /// Six EOLs in a row: return to control.
    Rtc,
    /// Nothing is left.
    DataEnded,
    /// The bits given so far do not hold the whole row: give more, from [`Bits::position`] on.
    NeedMore,
}

/// A fault this near the end of what has come may be a cut word: EOL is 12 bits, the longest run 13.
const LONGEST_WORD_BITS: usize = 13;
/// EOLs of an RTC.
const RTC_EOLS: u32 = 6;

/// Reads rows from bits, as they come.
#[derive(Clone, Debug)]
pub struct Decoder {
    coding: Coding,
    framing: Framing,
    above: Edges,
    here: Edges,
    stride: usize,
    /// A bad row of which the end has not come yet.
    hunting: Option<Fault>,
    reference_lost: bool,
    row_bits_max: usize,
}

impl Decoder {
    /// A decoder of rows of `columns` pels.
    pub fn new(columns: u32, coding: Coding, framing: Framing) -> Result<Decoder, PageError> {
        check_size(columns, 0)?;
        Ok(Decoder {
            coding,
            framing,
            above: Edges::white(columns),
            here: Edges::white(columns),
            stride: row_bytes(columns),
            hunting: None,
            reference_lost: false,
            // The longest row of sense is white and black pels by turns, in horizontal mode 12 bits for two; twice that is no row.
            row_bits_max: 12 * columns as usize + 256,
        })
    }

    /// The next row into `row` (as many bytes as a packed row has, or nothing is read: `Bad`).
    pub fn row(&mut self, bits: &mut Bits<'_>, row: &mut [u8]) -> Row {
        if row.len() != self.stride {
            return Row::Bad(Fault::TooLong);
        }
        if let Some(fault) = self.hunting.take() {
            return self.hunt(bits, fault, row);
        }
        let start = bits.position();
        if self.framing == Framing::Bytes {
            bits.align();
        }
        let tag = match self.take_eols(bits) {
            Ok(tag) => tag,
            Err(Row::NeedMore) => {
                bits.seek(start);
                return Row::NeedMore;
            }
            Err(end) => return end,
        };
        if self.reference_lost && tag == Tag::TwoDimensional {
            return self.hunt(bits, Fault::ReferenceLost, row);
        }
        let data = bits.position();
        let outcome = match tag {
            Tag::OneDimensional => self.here.decode_1d(bits),
            Tag::TwoDimensional => self.here.decode_2d(bits, &self.above),
        };
        // A word may be cut, or the EOL after the row.
        let unfinished = bits.overrun()
            || match outcome {
                Ok(()) => self.framing == Framing::Eol && bits.only_zeros_left(),
                Err(_) => bits.left() < LONGEST_WORD_BITS,
            };
        if unfinished && bits.is_partial() && bits.position() - data < self.row_bits_max {
            bits.seek(start);
            return Row::NeedMore;
        }
        let outcome = match outcome {
            _ if bits.overrun() => Err(Fault::Truncated),
            Ok(()) if self.framing == Framing::Eol && !bits.at_eol() && !bits.only_zeros_left() => Err(Fault::NoEol),
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {
                self.reference_lost = false;
                core::mem::swap(&mut self.here, &mut self.above);
                self.above.paint(row);
                Row::Good
            }
            Err(fault) => {
                // Codes read out of step may have eaten the head of the EOL, so it is looked for from the start of the row.
                bits.seek(data);
                self.hunt(bits, fault, row)
            }
        }
    }

    /// Takes the EOLs before a row, and says how the row is coded.
    fn take_eols(&mut self, bits: &mut Bits<'_>) -> Result<Tag, Row> {
        let mut eols = 0;
        let mut tag = match self.coding {
            Coding::Mh => Tag::OneDimensional,
            Coding::Mr { .. } => Tag::TwoDimensional,
        };
        while self.framing != Framing::Bytes && bits.take_eol() {
            eols += 1;
            if matches!(self.coding, Coding::Mr { .. }) {
                tag = if bits.peek(1) == 1 { Tag::OneDimensional } else { Tag::TwoDimensional };
                bits.skip(1);
            }
            if eols == RTC_EOLS {
                return Err(Row::Rtc);
            }
        }
        if bits.only_zeros_left() {
            return Err(if bits.is_partial() { Row::NeedMore } else { Row::DataEnded });
        }
        if self.framing == Framing::Sense && (eols > 0 || matches!(self.coding, Coding::Mr { .. })) {
            self.framing = Framing::Eol;
        }
        Ok(tag)
    }

    /// Ends a bad row: goes on to the next EOL and shows the last good row again.
    fn hunt(&mut self, bits: &mut Bits<'_>, fault: Fault, row: &mut [u8]) -> Row {
        self.reference_lost = true;
        let found = bits.hunt_eol();
        if !found && bits.is_partial() {
            self.hunting = Some(fault);
            return Row::NeedMore;
        }
        if !found {
            bits.seek(bits.position() + bits.left());
        }
        self.above.paint(row);
        Row::Bad(fault)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    OneDimensional,
    TwoDimensional,
}

/// A row that was not as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// From 0 at the top.
    pub row: u32,
    /// What was wrong.
    pub fault: Fault,
}

/// How the data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Return to control.
    Rtc,
    /// As many rows as were asked for are there.
    AllRows,
    /// The data ended with no RTC.
    DataEnded,
}

/// The rows of a page. Each bad row shows the last good row above it (white at the top).
#[derive(Clone, Debug)]
pub struct Decoded {
    /// All rows, good and bad.
    pub page: Page,
    /// The bad ones, from the top.
    pub bad_rows: Vec<BadRow>,
    /// Why there are no more.
    pub end: End,
}

/// Reads at most `rows_max` rows of `columns` pels.
pub fn decode(
    bytes: &[u8],
    columns: u32,
    rows_max: u32,
    coding: Coding,
    framing: Framing,
    resolution: Resolution,
) -> Result<Decoded, PageError> {
    let mut decoder = Decoder::new(columns, coding, framing)?;
    let mut page = Page::white(columns, 0, resolution)?;
    let rows_max = rows_max.min(limits::ROWS_MAX).min((limits::PAGE_BYTES_MAX / row_bytes(columns)) as u32);
    let mut bits = Bits::new(bytes);
    let mut row = vec![0; row_bytes(columns)];
    let mut bad_rows = Vec::new();
    let end = loop {
        if page.rows() == rows_max {
            break End::AllRows;
        }
        match decoder.row(&mut bits, &mut row) {
            Row::Good => {}
            Row::Bad(fault) => bad_rows.push(BadRow { row: page.rows(), fault }),
            Row::Rtc => break End::Rtc,
            Row::DataEnded | Row::NeedMore => break End::DataEnded,
        }
        page.append_row(&row);
    };
    Ok(Decoded { page, bad_rows, end })
}

/// What the encoder puts around the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dress {
    /// As for the decoder; `Sense` writes as `Eol`.
    pub framing: Framing,
    /// Fill so that each EOL ends at a byte (TIFF T4Options bit 2).
    pub eols_at_bytes: bool,
    /// The fewest bits of a row from EOL to EOL: T.30's minimum scan line time at the line's rate. 0: no fill.
    pub row_bits_min: u32,
    /// An RTC after the last row. TIFF-F leaves it out, the line needs it.
    pub rtc: bool,
}

impl Dress {
    /// As on the line, with this minimum.
    pub fn line(row_bits_min: u32) -> Dress {
        Dress { framing: Framing::Eol, eols_at_bytes: false, row_bits_min, rtc: true }
    }
    /// As TIFF compression 3 has it in class F: EOLs at bytes, no RTC.
    pub const TIFF_F: Dress = Dress { framing: Framing::Eol, eols_at_bytes: true, row_bits_min: 0, rtc: false };
    /// As TIFF compression 2 has it.
    pub const TIFF_RLE: Dress = Dress { framing: Framing::Bytes, eols_at_bytes: false, row_bits_min: 0, rtc: false };
}

/// Writes rows.
#[derive(Clone, Debug)]
pub struct Encoder {
    coding: Coding,
    dress: Dress,
    above: Edges,
    here: Edges,
    out: BitWriter,
    rows_since_1d: u32,
    row_start: Option<usize>,
}

impl Encoder {
    /// An encoder of rows of `columns` pels. Rows without EOL are one-dimensional whatever `coding` says: MR needs the tag bit.
    pub fn new(columns: u32, coding: Coding, dress: Dress) -> Result<Encoder, PageError> {
        check_size(columns, 0)?;
        let coding = if dress.framing == Framing::Bytes { Coding::Mh } else { coding };
        Ok(Encoder {
            coding,
            dress,
            above: Edges::white(columns),
            here: Edges::white(columns),
            out: BitWriter::default(),
            rows_since_1d: 0,
            row_start: None,
        })
    }
    /// Appends a packed row; what it lacks of the columns is white.
    pub fn row(&mut self, row: &[u8]) {
        self.here.read(row);
        let one_dimensional = match self.coding {
            Coding::Mh => true,
            Coding::Mr { k } => self.row_start.is_none() || self.rows_since_1d + 1 >= k,
        };
        self.rows_since_1d = if one_dimensional { 0 } else { self.rows_since_1d + 1 };
        self.separate(one_dimensional);
        match one_dimensional {
            true => self.here.encode_1d(&mut self.out),
            false => self.here.encode_2d(&self.above, &mut self.out),
        }
        core::mem::swap(&mut self.here, &mut self.above);
    }
    /// The bytes of all rows, with RTC where asked for.
    pub fn finish(mut self) -> Vec<u8> {
        if self.dress.rtc && self.dress.framing != Framing::Bytes {
            self.separate(true);
            for _ in 1..RTC_EOLS {
                self.put_eol(true);
            }
        }
        self.out.finish()
    }
    /// Fill and EOL between two rows.
    fn separate(&mut self, next_is_one_dimensional: bool) {
        if self.dress.framing == Framing::Bytes {
            self.out.align();
            return;
        }
        if let Some(start) = self.row_start {
            let row_bits = self.out.len_bits() - start + self.eol_bits();
            self.out.zeros((self.dress.row_bits_min as usize).saturating_sub(row_bits));
        }
        if self.dress.eols_at_bytes {
            // The twelve bits of the EOL end at a byte; the tag bit of MR is behind it.
            self.out.zeros((self.out.len_bits() + usize::from(EOL.len)).wrapping_neg() & 7);
        }
        self.put_eol(next_is_one_dimensional);
        self.row_start = Some(self.out.len_bits());
    }
    fn put_eol(&mut self, next_is_one_dimensional: bool) {
        self.out.put(u32::from(EOL.value), u32::from(EOL.len));
        if let Coding::Mr { .. } = self.coding {
            self.out.put(u32::from(next_is_one_dimensional), 1);
        }
    }
    fn eol_bits(&self) -> usize {
        usize::from(EOL.len) + usize::from(matches!(self.coding, Coding::Mr { .. }))
    }
}

/// The page in T.4.
pub fn encode(page: &Page, coding: Coding, dress: Dress) -> Vec<u8> {
    let mut encoder = Encoder::new(page.columns(), coding, dress).expect("a page has columns in bounds");
    page.iter_rows().for_each(|row| encoder.row(row));
    encoder.finish()
}
