//! Fax pages: black and white pels, their codings (T.4: [`t4`], T.6: [`t6`]), their file (TIFF class F: [`tiff`]), test pages ([`chart`])
//! and the reduction for a screen ([`grey`]). Bytes in, bytes out: no file is opened here.
//!
//! A [`Page`] is packed as the line sends it: the first pel of a row is the most significant bit of its first byte, 1 is black, every row
//! starts at a byte, and the bits behind the last column are 0. All sizes are bounded by [`limits`]; what is too large is refused.

pub mod bits;
pub mod chart;
mod codes;
mod edges;
pub mod fuzz;
pub mod grey;
pub mod t4;
pub mod t6;
pub mod tiff;

pub use edges::Fault;

/// Bounds of a page and of a file of pages.
pub mod limits {
    /// Pels of a row: A3 at 1200 dpi (T.30 table 2) is the widest that T.30 can name.
    pub const COLUMNS_MAX: u32 = 14_592;
    /// Rows of a page: 2 m of paper at 400 lines an inch.
    pub const ROWS_MAX: u32 = 32_768;
    /// Bytes of the pels of a page: A3 at 600 dpi is 9.1 MB.
    pub const PAGE_BYTES_MAX: usize = 16 << 20;
    /// Pages of a file. The longest faxes people send are a few hundred.
    pub const PAGES_MAX: usize = 1000;
    /// Bytes of the pels of a file, all pages: 512 A4 pages at fine resolution.
    pub const FILE_BYTES_MAX: usize = 256 << 20;
    /// Fields of a TIFF directory that are looked at. Fax files have about twenty, in ascending order, all among TIFF's lowest numbers.
    pub const TIFF_FIELDS_MAX: usize = 512;
    const _: () = assert!(FILE_BYTES_MAX >= PAGE_BYTES_MAX);
}

/// Pels in an inch, along the row and down the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Along the row.
    pub x_dpi: u16,
    /// Down the page.
    pub y_dpi: u16,
}

impl Resolution {
    /// 8 pels/mm by 3.85 lines/mm (T.4 2).
    pub const STANDARD: Resolution = Resolution { x_dpi: 204, y_dpi: 98 };
    /// 8 pels/mm by 7.7 lines/mm.
    pub const FINE: Resolution = Resolution { x_dpi: 204, y_dpi: 196 };
    /// 8 pels/mm by 15.4 lines/mm.
    pub const SUPERFINE: Resolution = Resolution { x_dpi: 204, y_dpi: 391 };
    /// 300 by 300 an inch.
    pub const DPI_300: Resolution = Resolution { x_dpi: 300, y_dpi: 300 };
    /// 16 pels/mm by 15.4 lines/mm, which T.30 takes as the same as 400 by 400 an inch.
    pub const DPI_400: Resolution = Resolution { x_dpi: 408, y_dpi: 391 };

    /// The named resolution within 1.5 % of `self` (files round 8.04 pels/mm in several ways), or `self`.
    pub fn named(self) -> Resolution {
        let near = |a: u16, b: u16| u32::from(a.abs_diff(b)) * 1000 <= u32::from(b) * 15;
        [Self::STANDARD, Self::FINE, Self::SUPERFINE, Self::DPI_300, Self::DPI_400]
            .into_iter()
            .find(|r| near(self.x_dpi, r.x_dpi) && near(self.y_dpi, r.y_dpi))
            .unwrap_or(self)
    }
}

/// Why a page cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// No columns, or more than [`limits::COLUMNS_MAX`].
    Columns(u32),
    /// More rows than [`limits::ROWS_MAX`].
    Rows(u32),
    /// More than [`limits::PAGE_BYTES_MAX`].
    Bytes(usize),
    /// The bits given are not `rows` times the bytes of a row.
    Length(usize),
}

impl core::fmt::Display for PageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PageError::Columns(n) => write!(f, "{n} columns: a page has 1 to {}", limits::COLUMNS_MAX),
            PageError::Rows(n) => write!(f, "{n} rows: a page has at most {}", limits::ROWS_MAX),
            PageError::Bytes(n) => write!(f, "{n} bytes of pels: a page has at most {}", limits::PAGE_BYTES_MAX),
            PageError::Length(n) => write!(f, "{n} bytes are not the rows of this page"),
        }
    }
}

impl core::error::Error for PageError {}

/// The pels of a page.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    columns: u32,
    rows: u32,
    bits: Vec<u8>,
    /// How the pels lie on paper.
    pub resolution: Resolution,
}

impl core::fmt::Debug for Page {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Page({} x {}, {} x {} dpi)", self.columns, self.rows, self.resolution.x_dpi, self.resolution.y_dpi)
    }
}

impl Page {
    /// A white page.
    pub fn white(columns: u32, rows: u32, resolution: Resolution) -> Result<Page, PageError> {
        let bytes = check_size(columns, rows)?;
        Ok(Page { columns, rows, bits: vec![0; bytes], resolution })
    }
    /// A page of packed rows (1 is black). Bits behind the last column are made 0.
    pub fn from_bits(columns: u32, rows: u32, mut bits: Vec<u8>, resolution: Resolution) -> Result<Page, PageError> {
        if check_size(columns, rows)? != bits.len() {
            return Err(PageError::Length(bits.len()));
        }
        if !columns.is_multiple_of(8) {
            let stride = row_bytes(columns);
            bits.chunks_exact_mut(stride).for_each(|row| row[stride - 1] &= 0xff << (8 - columns % 8));
        }
        Ok(Page { columns, rows, bits, resolution })
    }
    /// Pels of a row.
    pub fn columns(&self) -> u32 {
        self.columns
    }
    /// Rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }
    /// The packed pels, all rows.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }
    /// Row `row` packed; empty below the page.
    pub fn row(&self, row: u32) -> &[u8] {
        let stride = row_bytes(self.columns);
        self.bits.get(row as usize * stride..(row as usize + 1) * stride).unwrap_or(&[])
    }
    /// The rows from the top, packed.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bits.chunks_exact(row_bytes(self.columns))
    }
    /// Whether a pel is black; outside the page all is white.
    pub fn is_black(&self, column: u32, row: u32) -> bool {
        column < self.columns && self.row(row).get(column as usize / 8).is_some_and(|byte| byte >> (7 - column % 8) & 1 == 1)
    }
    /// Blackens the pels of a rectangle, as far as it is on the page.
    pub fn blacken(&mut self, left: u32, top: u32, width: u32, height: u32) {
        let stride = row_bytes(self.columns);
        let right = left.saturating_add(width).min(self.columns);
        let bottom = top.saturating_add(height).min(self.rows);
        for row in top..bottom {
            let at = row as usize * stride;
            paint_black(&mut self.bits[at..at + stride], left.min(right) as usize, right as usize);
        }
    }
    /// Black pels.
    pub fn black_pels(&self) -> u64 {
        self.bits.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }
    /// One more row; the caller keeps to [`limits`].
    fn append_row(&mut self, row: &[u8]) {
        self.bits.extend_from_slice(row);
        self.rows += 1;
    }
}

/// What two pages differ in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Pels that are not the same; what only one page has counts where it is black.
    pub differing_pels: u64,
    /// Rows with such pels, and rows that only one page has.
    pub differing_rows: u32,
    /// Columns of the second page less those of the first.
    pub columns: i64,
    /// Rows of the second page less those of the first.
    pub rows: i64,
}

impl Difference {
    /// The pages have the same size and the same pels.
    pub fn is_none(&self) -> bool {
        *self == Difference::default()
    }
}

/// Compares two pages pel by pel from the top left. Resolutions are not compared.
pub fn compare(first: &Page, second: &Page) -> Difference {
    let mut difference = Difference {
        columns: i64::from(second.columns) - i64::from(first.columns),
        rows: i64::from(second.rows) - i64::from(first.rows),
        ..Difference::default()
    };
    for row in 0..first.rows.max(second.rows) {
        let (a, b) = (first.row(row), second.row(row));
        let wide = a.len().max(b.len());
        let byte = |row: &[u8], i: usize| row.get(i).copied().unwrap_or(0);
        let pels: u64 = (0..wide).map(|i| u64::from((byte(a, i) ^ byte(b, i)).count_ones())).sum();
        difference.differing_pels += pels;
        if pels > 0 || a.is_empty() || b.is_empty() {
            difference.differing_rows += 1;
        }
    }
    difference
}

/// Bytes of a packed row.
pub fn row_bytes(columns: u32) -> usize {
    columns.div_ceil(8) as usize
}

/// The bytes of such a page, if it may be.
fn check_size(columns: u32, rows: u32) -> Result<usize, PageError> {
    if columns == 0 || columns > limits::COLUMNS_MAX {
        return Err(PageError::Columns(columns));
    }
    if rows > limits::ROWS_MAX {
        return Err(PageError::Rows(rows));
    }
    let bytes = row_bytes(columns) * rows as usize;
    if bytes > limits::PAGE_BYTES_MAX {
        return Err(PageError::Bytes(bytes));
    }
    Ok(bytes)
}

/// Blackens the pels from `from` up to but not including `to` of a packed row.
#[inline]
fn paint_black(row: &mut [u8], from: usize, to: usize) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 8, (to - 1) / 8);
    let head = 0xffu8 >> (from % 8);
    let tail = 0xffu8 << (7 - (to - 1) % 8);
    if first == last {
        row[first] |= head & tail;
    } else {
        row[first] |= head;
        row[first + 1..last].fill(0xff);
        row[last] |= tail;
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
