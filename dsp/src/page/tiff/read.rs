//! Reading: directories, then strips, then pels.

use super::super::bits::reverse_bits;
use super::super::{Page, PageError, Resolution, limits, row_bytes, t4, t6};
use super::{field_type, tag};

/// Why a file, or a page of it, is not read. The file is at fault, never the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TiffError {
    /// The first bytes are not those of a TIFF.
    NotTiff,
    /// The file ends before this offset that it refers to.
    OutsideFile {
        /// What refers there: a tag, or 0 for a directory.
        tag: u16,
        /// Where to, in bytes from the start.
        offset: u64,
    },
    /// The chain of directories comes back on itself.
    DirectoryLoop,
    /// More pages than [`limits::PAGES_MAX`].
    TooManyPages,
    /// All pages together are more than [`limits::FILE_BYTES_MAX`].
    FileTooLarge,
    /// A tag that every page must have is not there, or not of a type it may have.
    Missing {
        /// Which.
        tag: u16,
    },
    /// A tag has a value that no fax page has (grey, colour, tiles ...).
    NotFax {
        /// Which.
        tag: u16,
        /// The value.
        value: u32,
    },
    /// Fewer strips than the rows need, or strips of more bytes than the file.
    Strips {
        /// Strips, or bytes, that the page names.
        found: u64,
        /// What it needs, or may.
        wanted: u64,
    },
    /// The page is larger than a page may be.
    Page(PageError),
    /// There is no such page.
    NoSuchPage(usize),
}

impl core::fmt::Display for TiffError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            TiffError::NotTiff => write!(f, "not a TIFF file"),
            TiffError::OutsideFile { tag: 0, offset } => write!(f, "a directory at {offset} is outside the file"),
            TiffError::OutsideFile { tag, offset } => write!(f, "{} ({tag}) points to {offset}, outside the file", tag::name(tag)),
            TiffError::DirectoryLoop => write!(f, "the directories go in a circle"),
            TiffError::TooManyPages => write!(f, "more than {} pages", limits::PAGES_MAX),
            TiffError::FileTooLarge => write!(f, "more than {} bytes of pels", limits::FILE_BYTES_MAX),
            TiffError::Missing { tag } => write!(f, "{} ({tag}) is missing or of a wrong type", tag::name(tag)),
            TiffError::NotFax { tag, value } => write!(f, "{} ({tag}) is {value}: not a bilevel fax page", tag::name(tag)),
            TiffError::Strips { found, wanted } => write!(f, "the strips do not fit the page: {found} against {wanted}"),
            TiffError::Page(ref error) => write!(f, "{error}"),
            TiffError::NoSuchPage(page) => write!(f, "there is no page {page}"),
        }
    }
}

impl core::error::Error for TiffError {}

impl From<PageError> for TiffError {
    fn from(error: PageError) -> Self {
        TiffError::Page(error)
    }
}

/// A page as read.
#[derive(Clone, Debug)]
pub struct ReadPage {
    /// As many rows as the file says there are.
    pub page: Page,
    /// Rows that were damaged (they show the row above) or missing at the end of a strip (they are white). 0 for a sound file.
    pub bad_rows: u32,
}

/// A file whose directories have been found. Each page is decoded when asked for.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    file: File<'a>,
    directories: Vec<usize>,
}

impl<'a> Reader<'a> {
    /// Looks at the header and the chain of directories.
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>, TiffError> {
        let big_endian = match bytes.get(..4) {
            Some(b"II\x2a\0") => false,
            Some(b"MM\0\x2a") => true,
            _ => return Err(TiffError::NotTiff),
        };
        let file = File { bytes, big_endian };
        let mut directories = Vec::new();
        let mut next = file.u32_at(4, 0)? as usize;
        while next != 0 {
            if directories.contains(&next) {
                return Err(TiffError::DirectoryLoop);
            }
            if directories.len() == limits::PAGES_MAX {
                return Err(TiffError::TooManyPages);
            }
            directories.push(next);
            let entries = usize::from(file.u16_at(next, 0)?);
            // Some writers leave the last link away with the end of the file.
            next = file.u32_at(next + 2 + 12 * entries, 0).unwrap_or(0) as usize;
        }
        Ok(Reader { file, directories })
    }
    /// Pages in the file.
    pub fn pages(&self) -> usize {
        self.directories.len()
    }
    /// Decodes page `page`, from 0.
    pub fn page(&self, page: usize) -> Result<ReadPage, TiffError> {
        let at = *self.directories.get(page).ok_or(TiffError::NoSuchPage(page))?;
        self.file.directory(at)?.decode()
    }
    /// The bytes that the pels of page `page` will take.
    pub fn page_bytes(&self, page: usize) -> Result<usize, TiffError> {
        let at = *self.directories.get(page).ok_or(TiffError::NoSuchPage(page))?;
        let directory = self.file.directory(at)?;
        Ok(row_bytes(directory.columns) * directory.rows as usize)
    }
}

/// All pages of a file, within [`limits::FILE_BYTES_MAX`].
pub fn read_all(bytes: &[u8]) -> Result<Vec<ReadPage>, TiffError> {
    let reader = Reader::new(bytes)?;
    let mut total = 0;
    for page in 0..reader.pages() {
        total += reader.page_bytes(page)?;
        if total > limits::FILE_BYTES_MAX {
            return Err(TiffError::FileTooLarge);
        }
    }
    (0..reader.pages()).map(|page| reader.page(page)).collect()
}

#[derive(Clone, Copy, Debug)]
struct File<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

/// A field of a directory: `count` values of a type, at an offset in the file.
#[derive(Clone, Copy, Debug)]
struct Field {
    tag: u16,
    field_type: u16,
    count: usize,
    at: usize,
}

impl<'a> File<'a> {
    fn u16_at(&self, at: usize, tag: u16) -> Result<u16, TiffError> {
        let two = self.bytes.get(at..at.saturating_add(2)).and_then(|b| <[u8; 2]>::try_from(b).ok());
        let two = two.ok_or(TiffError::OutsideFile { tag, offset: at as u64 })?;
        Ok(if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }
    fn u32_at(&self, at: usize, tag: u16) -> Result<u32, TiffError> {
        let four = self.bytes.get(at..at.saturating_add(4)).and_then(|b| <[u8; 4]>::try_from(b).ok());
        let four = four.ok_or(TiffError::OutsideFile { tag, offset: at as u64 })?;
        Ok(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }
    fn field(&self, at: usize) -> Result<Field, TiffError> {
        let tag = self.u16_at(at, 0)?;
        let field_type = self.u16_at(at + 2, tag)?;
        let count = self.u32_at(at + 4, tag)? as usize;
        let value_bytes = match field_type {
            field_type::BYTE | field_type::ASCII => 1,
            field_type::SHORT => 2,
            field_type::LONG => 4,
            _ => 8,
        };
        let inside = count.saturating_mul(value_bytes) <= 4;
        Ok(Field { tag, field_type, count, at: if inside { at + 8 } else { self.u32_at(at + 8, tag)? as usize } })
    }
    /// Value `i` of a field of whole numbers.
    fn value(&self, field: Field, i: usize) -> Result<u32, TiffError> {
        if i >= field.count {
            return Err(TiffError::Missing { tag: field.tag });
        }
        match field.field_type {
            field_type::BYTE => {
                let at = field.at.saturating_add(i);
                self.bytes.get(at).map(|&byte| u32::from(byte)).ok_or(TiffError::OutsideFile { tag: field.tag, offset: at as u64 })
            }
            field_type::SHORT => self.u16_at(field.at.saturating_add(2 * i), field.tag).map(u32::from),
            field_type::LONG => self.u32_at(field.at.saturating_add(4 * i), field.tag),
            _ => Err(TiffError::Missing { tag: field.tag }),
        }
    }
    /// A RATIONAL (or whole) number; `None` where it is no number.
    fn rational(&self, field: Field) -> Result<Option<f64>, TiffError> {
        if field.field_type != field_type::RATIONAL {
            return self.value(field, 0).map(|n| Some(f64::from(n)));
        }
        let (over, under) = (self.u32_at(field.at, field.tag)?, self.u32_at(field.at.saturating_add(4), field.tag)?);
        Ok((under != 0).then(|| f64::from(over) / f64::from(under)))
    }

    fn directory(&self, at: usize) -> Result<Directory<'a>, TiffError> {
        let mut d = Directory {
            file: *self,
            columns: 0,
            rows: 0,
            compression: 1,
            black_is_zero: false,
            lsb_first: false,
            two_dimensional: false,
            rows_per_strip: u32::MAX,
            strip_offsets: None,
            strip_byte_counts: None,
            resolution: Resolution::FINE,
        };
        let (mut x, mut y, mut per_cm) = (None, None, false);
        // Tags ascend, and those of a fax page come first.
        for i in 0..usize::from(self.u16_at(at, 0)?).min(limits::TIFF_FIELDS_MAX) {
            let field = self.field(at + 2 + 12 * i)?;
            let only = |allowed: &[u32]| {
                let value = self.value(field, 0)?;
                if allowed.contains(&value) { Ok(value) } else { Err(TiffError::NotFax { tag: field.tag, value }) }
            };
            match field.tag {
                tag::IMAGE_WIDTH => d.columns = self.value(field, 0)?,
                tag::IMAGE_LENGTH => d.rows = self.value(field, 0)?,
                tag::BITS_PER_SAMPLE | tag::SAMPLES_PER_PIXEL | tag::ORIENTATION => _ = only(&[1])?,
                tag::COMPRESSION => d.compression = only(&[1, 2, 3, 4, 32773])?,
                tag::PHOTOMETRIC_INTERPRETATION => d.black_is_zero = only(&[0, 1])? == 1,
                tag::FILL_ORDER => d.lsb_first = only(&[1, 2])? == 2,
                tag::STRIP_OFFSETS => d.strip_offsets = Some(field),
                tag::ROWS_PER_STRIP => d.rows_per_strip = self.value(field, 0)?.max(1),
                tag::STRIP_BYTE_COUNTS => d.strip_byte_counts = Some(field),
                tag::X_RESOLUTION => x = self.rational(field)?,
                tag::Y_RESOLUTION => y = self.rational(field)?,
                // Bit 1 allows uncompressed mode, which no fax machine sends: where a row really uses it, that row is bad.
                tag::T4_OPTIONS => d.two_dimensional = self.value(field, 0)? & 1 == 1,
                tag::RESOLUTION_UNIT => per_cm = self.value(field, 0)? == 3,
                tag::TILE_WIDTH => return Err(TiffError::NotFax { tag: field.tag, value: self.value(field, 0)? }),
                _ => {}
            }
        }
        for (tag, value) in [(tag::IMAGE_WIDTH, d.columns), (tag::IMAGE_LENGTH, d.rows)] {
            if value == 0 {
                return Err(TiffError::Missing { tag });
            }
        }
        super::super::check_size(d.columns, d.rows)?;
        if let (Some(x), Some(y)) = (x, y) {
            let inch = if per_cm { 2.54 } else { 1.0 };
            let dpi = |n: f64| (n * inch).round().clamp(1.0, f64::from(u16::MAX)) as u16;
            d.resolution = Resolution { x_dpi: dpi(x), y_dpi: dpi(y) }.named();
        }
        Ok(d)
    }
}

/// A directory: one page, not yet decoded.
struct Directory<'a> {
    file: File<'a>,
    columns: u32,
    rows: u32,
    compression: u32,
    black_is_zero: bool,
    lsb_first: bool,
    two_dimensional: bool,
    rows_per_strip: u32,
    strip_offsets: Option<Field>,
    strip_byte_counts: Option<Field>,
    resolution: Resolution,
}

impl<'a> Directory<'a> {
    fn decode(&self) -> Result<ReadPage, TiffError> {
        let strips = self.strips()?;
        let stride = row_bytes(self.columns);
        let mut pels = Vec::with_capacity(stride * self.rows as usize);
        let mut bad_rows = 0;
        for (strip, first_row) in strips.into_iter().zip((0..self.rows).step_by(self.rows_per_strip as usize)) {
            let rows = self.rows_per_strip.min(self.rows - first_row);
            let turned;
            let data = if self.lsb_first {
                let mut copy = strip.to_vec();
                reverse_bits(&mut copy);
                turned = copy;
                &turned[..]
            } else {
                strip
            };
            let (strip_pels, bad) = self.decode_strip(data, rows)?;
            let whole = stride * rows as usize;
            let missing = (whole - strip_pels.len().min(whole)).div_ceil(stride) as u32;
            bad_rows += bad + missing;
            pels.extend_from_slice(&strip_pels[..strip_pels.len().min(whole)]);
            // White, whichever way white is written.
            let fill = if self.compression_is_raw() && self.black_is_zero { 0xff } else { 0 };
            pels.resize(stride * (first_row + rows) as usize, fill);
        }
        if self.black_is_zero {
            pels.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Ok(ReadPage { page: Page::from_bits(self.columns, self.rows, pels, self.resolution)?, bad_rows })
    }

    fn compression_is_raw(&self) -> bool {
        matches!(self.compression, 1 | 32773)
    }

    /// The packed rows of a strip, at most `rows`, and how many of them are bad.
    fn decode_strip(&self, data: &[u8], rows: u32) -> Result<(Vec<u8>, u32), TiffError> {
        let whole = row_bytes(self.columns) * rows as usize;
        let t4 = |coding, framing| {
            let decoded = t4::decode(data, self.columns, rows, coding, framing, self.resolution)?;
            Ok((decoded.page.bits, decoded.bad_rows.len() as u32))
        };
        match self.compression {
            1 => Ok((data[..data.len().min(whole)].to_vec(), 0)),
            32773 => Ok((unpack_bits(data, whole), 0)),
            2 => t4(t4::Coding::Mh, t4::Framing::Bytes),
            3 if self.two_dimensional => t4(t4::Coding::Mr { k: 0 }, t4::Framing::Eol),
            3 => t4(t4::Coding::Mh, t4::Framing::Sense),
            4 => Ok((t6::decode(data, self.columns, rows, self.resolution)?.page.bits, 0)),
            value => Err(TiffError::NotFax { tag: tag::COMPRESSION, value }),
        }
    }

    /// The bytes of every strip; a file cut short gives what is there.
    fn strips(&self) -> Result<Vec<&'a [u8]>, TiffError> {
        let offsets = self.strip_offsets.ok_or(TiffError::Missing { tag: tag::STRIP_OFFSETS })?;
        let wanted = self.rows.div_ceil(self.rows_per_strip) as usize;
        if offsets.count < wanted {
            return Err(TiffError::Strips { found: offsets.count as u64, wanted: wanted as u64 });
        }
        let mut strips = Vec::with_capacity(wanted);
        let mut total = 0;
        for i in 0..wanted {
            let offset = self.file.value(offsets, i)? as usize;
            let rest = self.file.bytes.get(offset..).ok_or(TiffError::OutsideFile { tag: tag::STRIP_OFFSETS, offset: offset as u64 })?;
            let count = match self.strip_byte_counts {
                Some(counts) => self.file.value(counts, i)? as usize,
                None if wanted == 1 => rest.len(),
                None => return Err(TiffError::Missing { tag: tag::STRIP_BYTE_COUNTS }),
            };
            let strip = &rest[..count.min(rest.len())];
            total += strip.len();
            strips.push(strip);
        }
        if total > self.file.bytes.len() {
            return Err(TiffError::Strips { found: total as u64, wanted: self.file.bytes.len() as u64 });
        }
        Ok(strips)
    }
}

/// PackBits (TIFF 6.0 section 9), at most `whole` bytes.
fn unpack_bits(data: &[u8], whole: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(whole);
    let mut rest = data;
    while let Some((&head, tail)) = rest.split_first() {
        if out.len() >= whole {
            break;
        }
        let head = head as i8;
        rest = match head {
            -128 => tail,
            0.. => {
                let count = (head as usize + 1).min(tail.len());
                out.extend_from_slice(&tail[..count]);
                &tail[count..]
            }
            _ => match tail.split_first() {
                Some((&byte, after)) => {
                    out.resize(out.len() + (1 - isize::from(head)) as usize, byte);
                    after
                }
                None => tail,
            },
        };
    }
    out.truncate(whole);
    out
}
