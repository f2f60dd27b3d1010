//! Pages as PNG, for the browser and for mail that a person opens without a fax viewer.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use tipring_dsp::page::{Page, grey};

/// Writes a page as an 8-bit grey PNG of at most `width` pixels a row, square on the screen whatever its resolution.
pub fn write_page_png(path: &Path, page: &Page, width: u32) -> io::Result<()> {
    write_page(BufWriter::new(File::create(path)?), page, width)
}

/// The same into any sink.
pub fn write_page(sink: impl io::Write, page: &Page, width: u32) -> io::Result<()> {
    let image = grey::reduce(page, width);
    if image.height == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a page with no rows has no picture"));
    }
    let mut encoder = png::Encoder::new(sink, image.width, image.height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.pixels)?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipring_dsp::page::chart::Letter;

    #[test]
    fn a_letter_becomes_a_picture_that_opens_with_its_size() {
        let page = Letter::new(5, 1, 1).draw().unwrap();
        let mut file = Vec::new();
        write_page(&mut file, &page, 600).unwrap();
        let decoder = png::Decoder::new(io::Cursor::new(&file));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (600, 828));
        assert_eq!(pixels, grey::reduce(&page, 600).pixels);
    }
}
