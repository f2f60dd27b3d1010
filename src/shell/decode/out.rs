//! What `--out DIR` gets: page-N.tif (G4, resolution tags), page-N.png, and report.html.

use super::{Decoded, html};
use crate::shell::png;
use std::fs;
use std::io;
use std::path::Path;
use tipring_dsp::page::tiff;

/// The page to open in a browser.
pub const REPORT_FILE: &str = "report.html";
/// Widest PNG of a page: all pels of a fine A4.
const PNG_COLUMNS: u32 = 1728;

/// Writes all of it, and notes where the pages lie.
pub(super) fn write(dir: &Path, decoded: &mut Decoded) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (i, page) in decoded.report.pages.iter().enumerate() {
        let name = dir.join(format!("page-{}.tif", i + 1));
        fs::write(&name, tiff::write(std::slice::from_ref(&page.image), tiff::Options::default()))?;
        if page.image.rows() > 0 {
            png::write_page_png(&name.with_extension("png"), &page.image, PNG_COLUMNS)?;
        }
        decoded.page_files.push(name);
    }
    fs::write(dir.join(REPORT_FILE), html::of(decoded))
}
