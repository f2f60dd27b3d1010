//! TIFF as fax uses it: class F (RFC 2306, RFC 3949 profiles S and F) read generously and written strictly. TIFF 6.0 is the format.
//!
//! Read: both byte orders; compression 1, 2, 3, 4 and 32773; both fill orders and both photometric meanings; any strips. Not bilevel
//! means refused, naming the tag and its value. A file is looked at through its directory chain, never allocating more than the bounds of
//! [`super::limits`]; strips may not add up to more than the file, so no byte is decoded over and over.
//!
//! Written: one strip a page, T.6 unless asked otherwise, the tags RFC 2306 requires.

mod read;
mod write;

pub use read::{ReadPage, Reader, TiffError, read_all};
pub use write::{ByteOrder, Compression, FillOrder, Options, write};

/// Tag numbers of TIFF 6.0 and RFC 2306.
mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const IMAGE_WIDTH: u16 = 256;
    pub const IMAGE_LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC_INTERPRETATION: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const X_RESOLUTION: u16 = 282;
    pub const Y_RESOLUTION: u16 = 283;
    pub const T4_OPTIONS: u16 = 292;
    pub const T6_OPTIONS: u16 = 293;
    pub const RESOLUTION_UNIT: u16 = 296;
    pub const PAGE_NUMBER: u16 = 297;
    pub const SOFTWARE: u16 = 305;
    pub const TILE_WIDTH: u16 = 322;

    /// The name TIFF 6.0 gives a tag, for an error a person reads.
    pub fn name(tag: u16) -> &'static str {
        match tag {
            NEW_SUBFILE_TYPE => "NewSubfileType",
            IMAGE_WIDTH => "ImageWidth",
            IMAGE_LENGTH => "ImageLength",
            BITS_PER_SAMPLE => "BitsPerSample",
            COMPRESSION => "Compression",
            PHOTOMETRIC_INTERPRETATION => "PhotometricInterpretation",
            FILL_ORDER => "FillOrder",
            STRIP_OFFSETS => "StripOffsets",
            ORIENTATION => "Orientation",
            SAMPLES_PER_PIXEL => "SamplesPerPixel",
            ROWS_PER_STRIP => "RowsPerStrip",
            STRIP_BYTE_COUNTS => "StripByteCounts",
            X_RESOLUTION => "XResolution",
            Y_RESOLUTION => "YResolution",
            T4_OPTIONS => "T4Options",
            T6_OPTIONS => "T6Options",
            RESOLUTION_UNIT => "ResolutionUnit",
            PAGE_NUMBER => "PageNumber",
            SOFTWARE => "Software",
            TILE_WIDTH => "TileWidth",
            _ => "tag",
        }
    }
}

/// Field types of TIFF 6.0 that fax files use.
mod field_type {
    pub const BYTE: u16 = 1;
    pub const ASCII: u16 = 2;
    pub const SHORT: u16 = 3;
    pub const LONG: u16 = 4;
    pub const RATIONAL: u16 = 5;
}
