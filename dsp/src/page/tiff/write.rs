//! Writing: header, then for each page its strip and its directory, as small files of RFC 2306 have it.

use super::super::bits::reverse_bits;
use super::super::{Page, t4, t6};
use super::{field_type, tag};

/// How the pels are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all (1).
    None,
    /// T.4 one-dimensional rows at bytes, without EOL (2).
    Rle,
    /// T.4 (3), EOLs ending at bytes.
    T4(t4::Coding),
    /// T.6 (4).
    T6,
}

/// Which bit of a byte is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillOrder {
    /// The most significant (1).
    MsbFirst,
    /// The least significant (2), as a serial line has it.
    LsbFirst,
}

/// Which byte of a number is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// `II`.
    LittleEndian,
    /// `MM`.
    BigEndian,
}

/// How to write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of the pels.
    pub compression: Compression,
    /// Of the strip.
    pub fill_order: FillOrder,
    /// Of the directories.
    pub byte_order: ByteOrder,
}

impl Default for Options {
    fn default() -> Self {
        Options { compression: Compression::T6, fill_order: FillOrder::MsbFirst, byte_order: ByteOrder::LittleEndian }
    }
}

/// The software tag.
const SOFTWARE: &[u8] = b"tipring\0";

/// The pages as a TIFF file. No pages give a header with no directory, which is no valid TIFF: do not ask for it.
pub fn write(pages: &[Page], options: Options) -> Vec<u8> {
    let mut file = Sink { bytes: Vec::new(), big_endian: options.byte_order == ByteOrder::BigEndian };
    file.bytes.extend_from_slice(if file.big_endian { b"MM" } else { b"II" });
    file.u16(42);
    let mut link = file.bytes.len();
    file.u32(0);
    for (number, page) in pages.iter().enumerate() {
        let strip_offset = file.bytes.len() as u32;
        let mut strip = strip(page, options.compression);
        if options.fill_order == FillOrder::LsbFirst {
            reverse_bits(&mut strip);
        }
        file.bytes.extend_from_slice(&strip);
        file.even();
        let directory = file.bytes.len() as u32;
        file.patch_u32(link, directory);
        link = file.directory(page, number, pages.len(), strip_offset, strip.len() as u32, options);
    }
    file.bytes
}

fn strip(page: &Page, compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => page.bits().to_vec(),
        Compression::Rle => t4::encode(page, t4::Coding::Mh, t4::Dress::TIFF_RLE),
        Compression::T4(coding) => t4::encode(page, coding, t4::Dress::TIFF_F),
        Compression::T6 => t6::encode(page),
    }
}

struct Sink {
    bytes: Vec<u8>,
    big_endian: bool,
}

/// A field's value, and by it its type.
enum Value {
    Short(u16),
    Long(u32),
    /// Two shorts.
    Shorts(u16, u16),
    /// A whole number as a RATIONAL.
    Rational(u32),
    Ascii(&'static [u8]),
}

impl Sink {
    fn u16(&mut self, n: u16) {
        self.bytes.extend_from_slice(&if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() });
    }
    fn u32(&mut self, n: u32) {
        self.bytes.extend_from_slice(&if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() });
    }
    fn patch_u32(&mut self, at: usize, n: u32) {
        self.bytes[at..at + 4].copy_from_slice(&if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() });
    }
    /// Directories begin at an even offset (TIFF 6.0 section 2).
    fn even(&mut self) {
        if self.bytes.len() % 2 == 1 {
            self.bytes.push(0);
        }
    }

    /// Writes a directory, and gives the place of its link to the next.
    fn directory(&mut self, page: &Page, number: usize, pages: usize, strip_offset: u32, strip_bytes: u32, options: Options) -> usize {
        let compression = match options.compression {
            Compression::None => 1,
            Compression::Rle => 2,
            Compression::T4(_) => 3,
            Compression::T6 => 4,
        };
        let fill_order = if options.fill_order == FillOrder::LsbFirst { 2 } else { 1 };
        // Ascending by tag, as TIFF 6.0 wants them.
        let mut fields = vec![
            // Bit 1: a page of a document of several.
            (tag::NEW_SUBFILE_TYPE, Value::Long(2)),
            (tag::IMAGE_WIDTH, Value::Long(page.columns())),
            (tag::IMAGE_LENGTH, Value::Long(page.rows())),
            (tag::BITS_PER_SAMPLE, Value::Short(1)),
            (tag::COMPRESSION, Value::Short(compression)),
            (tag::PHOTOMETRIC_INTERPRETATION, Value::Short(0)),
            (tag::FILL_ORDER, Value::Short(fill_order)),
            (tag::STRIP_OFFSETS, Value::Long(strip_offset)),
            (tag::ORIENTATION, Value::Short(1)),
            (tag::SAMPLES_PER_PIXEL, Value::Short(1)),
            (tag::ROWS_PER_STRIP, Value::Long(page.rows())),
            (tag::STRIP_BYTE_COUNTS, Value::Long(strip_bytes)),
            (tag::X_RESOLUTION, Value::Rational(u32::from(page.resolution.x_dpi))),
            (tag::Y_RESOLUTION, Value::Rational(u32::from(page.resolution.y_dpi))),
        ];
        match options.compression {
            // Bit 0: two-dimensional; bit 2: EOLs end at bytes.
            Compression::T4(t4::Coding::Mh) => fields.push((tag::T4_OPTIONS, Value::Long(4))),
            Compression::T4(t4::Coding::Mr { .. }) => fields.push((tag::T4_OPTIONS, Value::Long(5))),
            Compression::T6 => fields.push((tag::T6_OPTIONS, Value::Long(0))),
            Compression::None | Compression::Rle => {}
        }
        fields.push((tag::RESOLUTION_UNIT, Value::Short(2)));
        fields.push((tag::PAGE_NUMBER, Value::Shorts(number as u16, pages as u16)));
        fields.push((tag::SOFTWARE, Value::Ascii(SOFTWARE)));

        let mut far = self.bytes.len() + 2 + 12 * fields.len() + 4;
        let mut tail = Sink { bytes: Vec::new(), big_endian: self.big_endian };
        self.u16(fields.len() as u16);
        for (tag, value) in fields {
            self.u16(tag);
            match value {
                Value::Short(n) => self.inline(field_type::SHORT, 1, [n, 0]),
                Value::Shorts(a, b) => self.inline(field_type::SHORT, 2, [a, b]),
                Value::Long(n) => {
                    self.u16(field_type::LONG);
                    self.u32(1);
                    self.u32(n);
                }
                Value::Rational(n) => {
                    self.far(field_type::RATIONAL, 1, far);
                    tail.u32(n);
                    tail.u32(1);
                    far += 8;
                }
                Value::Ascii(text) => {
                    self.far(field_type::ASCII, text.len() as u32, far);
                    tail.bytes.extend_from_slice(text);
                    far += text.len();
                }
            }
        }
        let link = self.bytes.len();
        self.u32(0);
        self.bytes.extend_from_slice(&tail.bytes);
        self.even();
        link
    }
    fn inline(&mut self, field_type: u16, count: u32, values: [u16; 2]) {
        self.u16(field_type);
        self.u32(count);
        values.into_iter().for_each(|n| self.u16(n));
    }
    fn far(&mut self, field_type: u16, count: u32, at: usize) {
        self.u16(field_type);
        self.u32(count);
        self.u32(at as u32);
    }
}
