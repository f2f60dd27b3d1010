//! Bilevel pages from and to TIFF files by libtiff, which libspandsp links anyway. It reads every coding that a fax machine stores, so it is
//! the judge in tests: what left one machine is compared bit by bit with what arrived at the other.

use super::Error;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::NonNull;
use std::ffi::CString;
use std::path::Path;

/// A page, one bit a pixel, 1 is black, rows padded to octets, first pixel most significant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    /// Pixels in a row.
    pub width: u32,
    /// Rows, top first.
    pub rows: Vec<Vec<u8>>,
    /// Pixels an inch across.
    pub x_dpi: u32,
    /// Rows an inch.
    pub y_dpi: u32,
}

/// Reads all pages of a file. A page taller than `rows_max` is refused.
pub fn read(path: &Path, rows_max: u32) -> Result<Vec<Bitmap>, Error> {
    let file = File::open(path, c"r")?;
    let mut pages = Vec::new();
    loop {
        let (width, height) = (file.field_u32(WIDTH), file.field_u32(LENGTH));
        // SAFETY: the file is open.
        let row_bytes = usize::try_from(unsafe { TIFFScanlineSize(file.0.as_ptr()) }).map_err(|_| Error::Refused("the TIFF page"))?;
        if width == 0 || height > rows_max || row_bytes < width.div_ceil(8) as usize || row_bytes > 1 << 16 {
            return Err(Error::Refused("the TIFF page"));
        }
        let black_is_one = file.field_u16(PHOTOMETRIC) == 0;
        let mut rows = Vec::new();
        for y in 0..height {
            let mut row = vec![0u8; row_bytes];
            // SAFETY: the buffer has the size that libtiff announced for a row.
            if unsafe { TIFFReadScanline(file.0.as_ptr(), row.as_mut_ptr().cast(), y, 0) } < 0 {
                return Err(Error::Refused("a row of the TIFF page"));
            }
            if !black_is_one {
                row.iter_mut().for_each(|b| *b = !*b);
            }
            row.truncate(width.div_ceil(8) as usize);
            if width % 8 != 0
                && let Some(last) = row.last_mut()
            {
                *last &= 0xFFu8 << (8 - width % 8);
            }
            rows.push(row);
        }
        pages.push(Bitmap { width, rows, x_dpi: file.field_dpi(X_RESOLUTION), y_dpi: file.field_dpi(Y_RESOLUTION) });
        // SAFETY: the file is open.
        if unsafe { TIFFReadDirectory(file.0.as_ptr()) } == 0 {
            return Ok(pages);
        }
    }
}

/// Writes pages as T.6.
pub fn write(path: &Path, pages: &[Bitmap]) -> Result<(), Error> {
    let file = File::open(path, c"w")?;
    let f = file.0.as_ptr();
    for page in pages {
        // SAFETY: the file is open; the variadic arguments have the types that libtiff documents for these tags.
        let ok = unsafe {
            for (tag, value) in [(WIDTH, page.width), (LENGTH, page.rows.len() as u32), (ROWS_PER_STRIP, page.rows.len() as u32)] {
                TIFFSetField(f, tag, value);
            }
            let shorts: [(u32, c_int); 7] =
                [(BITS, 1), (SAMPLES, 1), (COMPRESSION, 4), (PHOTOMETRIC, 0), (FILL_ORDER, 1), (PLANAR, 1), (RESOLUTION_UNIT, 2)];
            for (tag, value) in shorts {
                TIFFSetField(f, tag, value);
            }
            TIFFSetField(f, X_RESOLUTION, f64::from(page.x_dpi));
            TIFFSetField(f, Y_RESOLUTION, f64::from(page.y_dpi));
            page.rows.iter().enumerate().all(|(y, row)| {
                let mut row = row.clone();
                row.resize(page.width.div_ceil(8) as usize, 0);
                TIFFWriteScanline(f, row.as_mut_ptr().cast(), y as u32, 0) >= 0
            }) && TIFFWriteDirectory(f) != 0
        };
        if !ok {
            return Err(Error::Refused("the TIFF page"));
        }
    }
    Ok(())
}

struct File(NonNull<c_void>);

impl File {
    fn open(path: &Path, mode: &core::ffi::CStr) -> Result<Self, Error> {
        let path = path.to_str().and_then(|p| CString::new(p).ok()).ok_or(Error::BadText("path"))?;
        // SAFETY: both texts are NUL-terminated; a null handler makes libtiff keep its opinions to itself.
        unsafe {
            TIFFSetWarningHandler(core::ptr::null_mut());
            TIFFSetErrorHandler(core::ptr::null_mut());
            NonNull::new(TIFFOpen(path.as_ptr(), mode.as_ptr())).map(File).ok_or(Error::Refused("the TIFF file"))
        }
    }
    fn field_u32(&self, tag: u32) -> u32 {
        let mut v = 0u32;
        // SAFETY: these tags are stored as 32 bits by libtiff.
        unsafe { TIFFGetField(self.0.as_ptr(), tag, &mut v as *mut u32) };
        v
    }
    fn field_u16(&self, tag: u32) -> u16 {
        let mut v = 0u16;
        // SAFETY: these tags are stored as 16 bits by libtiff.
        unsafe { TIFFGetField(self.0.as_ptr(), tag, &mut v as *mut u16) };
        v
    }
    fn field_dpi(&self, tag: u32) -> u32 {
        let mut v = 0f32;
        // SAFETY: resolutions are handed out as `float`.
        unsafe { TIFFGetField(self.0.as_ptr(), tag, &mut v as *mut f32) };
        let per_inch = if self.field_u16(RESOLUTION_UNIT) == 3 { v * 2.54 } else { v };
        per_inch.round().clamp(0.0, 10_000.0) as u32
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { TIFFClose(self.0.as_ptr()) }
    }
}

// TIFF 6.0 tags.
const WIDTH: u32 = 256;
const LENGTH: u32 = 257;
const BITS: u32 = 258;
const COMPRESSION: u32 = 259;
const PHOTOMETRIC: u32 = 262;
const FILL_ORDER: u32 = 266;
const SAMPLES: u32 = 277;
const ROWS_PER_STRIP: u32 = 278;
const X_RESOLUTION: u32 = 282;
const Y_RESOLUTION: u32 = 283;
const PLANAR: u32 = 284;
const RESOLUTION_UNIT: u32 = 296;

// SAFETY: the declarations of tiffio.h (libtiff 4); spandsp-sys links the library.
unsafe extern "C" {
    fn TIFFOpen(name: *const c_char, mode: *const c_char) -> *mut c_void;
    fn TIFFClose(tiff: *mut c_void);
    fn TIFFGetField(tiff: *mut c_void, tag: u32, ...) -> c_int;
    fn TIFFSetField(tiff: *mut c_void, tag: u32, ...) -> c_int;
    fn TIFFScanlineSize(tiff: *mut c_void) -> isize;
    fn TIFFReadScanline(tiff: *mut c_void, buf: *mut c_void, row: u32, sample: u16) -> c_int;
    fn TIFFWriteScanline(tiff: *mut c_void, buf: *mut c_void, row: u32, sample: u16) -> c_int;
    fn TIFFReadDirectory(tiff: *mut c_void) -> c_int;
    fn TIFFWriteDirectory(tiff: *mut c_void) -> c_int;
    fn TIFFSetWarningHandler(handler: *mut c_void) -> *mut c_void;
    fn TIFFSetErrorHandler(handler: *mut c_void) -> *mut c_void;
}
