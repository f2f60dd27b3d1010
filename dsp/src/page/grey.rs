//! A page as a person sees it on a screen: grey, as wide as asked for, with square pixels (98 lines an inch are stretched).
//!
//! Each pixel is the share of white in its box of pels, so thin lines fade and do not vanish.

use super::Page;

/// An 8-bit grey image, rows from the top, 0 black, 255 white.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width` times `height` bytes.
    pub pixels: Vec<u8>,
}

impl Grey {
    /// The rows from the top.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.width.max(1) as usize)
    }
}

/// No page is stretched or flattened more than this, whatever resolution its file claims.
const ASPECT_MAX: f64 = 4.0;

/// Reduces a page to `width` pixels a row (at least 1, at most its columns) and as many rows as keep its shape on paper.
pub fn reduce(page: &Page, width: u32) -> Grey {
    let width = width.clamp(1, page.columns());
    let aspect = f64::from(page.resolution.x_dpi.max(1)) / f64::from(page.resolution.y_dpi.max(1));
    let scale = f64::from(width) / f64::from(page.columns()) * aspect.clamp(1.0 / ASPECT_MAX, ASPECT_MAX);
    let height = ((f64::from(page.rows()) * scale).round() as u32).max(u32::from(page.rows() > 0));
    let share = |i: u32, of: u32, whole: u32| (u64::from(i) * u64::from(whole) / u64::from(of.max(1))) as u32;

    let edges: Vec<u32> = (0..=width).map(|x| share(x, width, page.columns())).collect();
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    let mut black = vec![0u32; width as usize];
    for y in 0..height {
        let top = share(y, height, page.rows());
        let bottom = share(y + 1, height, page.rows()).max(top + 1);
        black.fill(0);
        for row in top..bottom {
            let row = page.row(row);
            // Most rows of a letter are white.
            if row.iter().all(|&byte| byte == 0) {
                continue;
            }
            for (edge, sum) in edges.windows(2).zip(&mut black) {
                *sum += count_black(row, edge[0], edge[1]);
            }
        }
        for (edge, sum) in edges.windows(2).zip(&black) {
            let pels = u64::from(edge[1] - edge[0]) * u64::from(bottom - top);
            pixels.push((255 - u64::from(*sum) * 255 / pels.max(1)) as u8);
        }
    }
    Grey { width, height, pixels }
}

/// Black pels of a packed row from column `from` up to but not including `to`.
fn count_black(row: &[u8], from: u32, to: u32) -> u32 {
    let mut count = 0;
    let mut column = from;
    while column < to {
        let in_byte = (8 - column % 8).min(to - column);
        let byte = row.get(column as usize / 8).copied().unwrap_or(0);
        let field = byte >> (8 - column % 8 - in_byte) & (0xffu16 >> (8 - in_byte)) as u8;
        count += field.count_ones();
        column += in_byte;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::Resolution;
    use super::*;

    #[test]
    fn a_standard_page_becomes_twice_as_high_as_its_rows_say() {
        let mut page = Page::white(1728, 1145, Resolution::STANDARD).unwrap();
        page.blacken(0, 0, 864, 1145);
        let grey = reduce(&page, 864);
        assert_eq!((grey.width, grey.height), (864, 1192));
        assert!(grey.rows().all(|row| row[..432].iter().all(|&p| p == 0) && row[432..].iter().all(|&p| p == 255)));
    }

    #[test]
    fn every_black_pel_darkens_by_its_share() {
        for width in [1, 3, 7, 64, 100, 576] {
            let mut page = Page::white(576, 40, Resolution { x_dpi: 200, y_dpi: 200 }).unwrap();
            for i in 0..40 {
                page.blacken(i * 13, i, 5, 1);
            }
            let grey = reduce(&page, width);
            assert_eq!(grey.pixels.len(), (grey.width * grey.height) as usize);
            if width == 576 {
                assert!((0..40).all(|y| (0..576).all(|x| (grey.pixels[(y * 576 + x) as usize] == 0) == page.is_black(x, y))));
            }
            let darkness: f64 = grey.pixels.iter().map(|&p| f64::from(255 - p) / 255.0).sum::<f64>() / grey.pixels.len() as f64;
            let share = page.black_pels() as f64 / (576.0 * 40.0);
            assert!((darkness - share).abs() < 0.006, "width {width}: {darkness} against {share}");
        }
    }

    #[test]
    fn an_absurd_resolution_does_not_make_an_absurd_image() {
        let page = Page::white(64, 64, Resolution { x_dpi: 65535, y_dpi: 1 }).unwrap();
        assert_eq!(reduce(&page, 64).height, 256);
        let page = Page::white(64, 0, Resolution::FINE).unwrap();
        assert_eq!(reduce(&page, 64).pixels.len(), 0);
    }
}
