//! The rows of a page without ECM, as several receivers have them, made into one page.
//!
//! Every ear reads the same carrier, so a row begins and ends at nearly the same bit for each. Rows are matched by that: where one ear
//! has a bad row, or several that ran together, another mostly has good ones; and a row that is wrong but looks right stands alone.

use tipring_dsp::page::bits::Bits;
use tipring_dsp::page::{Page, PageError, Resolution, limits, t4};

/// Bits by which the ears may differ in where a row begins: the end of a training and a lost symbol or two. The shortest row has 29.
const TOLERANCE: usize = 13;

/// A row and where it lies in the stream.
#[derive(Clone, Debug)]
struct Row {
    start: usize,
    end: usize,
    good: bool,
    bits: Box<[u8]>,
}

impl Row {
    fn is_where(&self, start: usize, end: usize) -> bool {
        self.starts_at(start) && self.ends_at(end)
    }
    fn starts_at(&self, start: usize) -> bool {
        self.start.abs_diff(start) <= TOLERANCE
    }
    fn ends_at(&self, end: usize) -> bool {
        self.end.abs_diff(end) <= TOLERANCE
    }
}

/// What one ear has.
pub struct Reading {
    rows: Vec<Row>,
}

impl Reading {
    /// Reads a stream of coded bits.
    pub fn new(data: &[u8], columns: u32, coding: t4::Coding) -> Result<Reading, PageError> {
        let mut decoder = t4::Decoder::new(columns, coding, t4::Framing::Eol)?;
        let stride = (columns as usize).div_ceil(8);
        let rows_max = (limits::ROWS_MAX as usize).min(limits::PAGE_BYTES_MAX / stride);
        let mut bits = Bits::new(data);
        // A page begins with an EOL (T.4 4.1.2); bits before it are what the modem made of the end of its training.
        bits.hunt_eol();
        let mut row = vec![0; stride];
        let mut rows: Vec<Row> = Vec::new();
        while rows.len() < rows_max {
            let start = bits.position();
            let good = match decoder.row(&mut bits, &mut row) {
                t4::Row::Good => true,
                t4::Row::Bad(_) => false,
                t4::Row::Rtc | t4::Row::DataEnded | t4::Row::NeedMore => break,
            };
            rows.push(Row { start, end: bits.position(), good, bits: row.as_slice().into() });
        }
        Ok(Reading { rows })
    }
    /// Good rows less bad ones.
    pub fn score(&self) -> i64 {
        self.rows.iter().map(|r| if r.good { 1 } else { -1 }).sum()
    }
    /// Makes this, the best, better by the others. Every row is decided by all who have it good at the same place; a stretch of bad
    /// rows is taken from whoever has only good ones from its beginning to its end.
    fn mend(&mut self, others: &[Reading]) {
        for row in self.rows.iter_mut().filter(|r| r.good) {
            let same_place: Vec<&Row> = others
                .iter()
                .filter_map(|o| o.at(row.start).map(|i| &o.rows[i]).filter(|r| r.good && r.is_where(row.start, row.end)))
                .collect();
            let votes = |bits: &[u8]| same_place.iter().filter(|r| *r.bits == *bits).count();
            let own = 1 + votes(&row.bits);
            if let Some(better) = same_place.iter().max_by_key(|r| votes(&r.bits))
                && votes(&better.bits) > own
            {
                row.bits = better.bits.clone();
            }
        }
        let mut mended = Vec::with_capacity(self.rows.len());
        let mut i = 0;
        while i < self.rows.len() {
            if self.rows[i].good {
                mended.push(self.rows[i].clone());
                i += 1;
                continue;
            }
            let bad = self.rows[i..].iter().take_while(|r| !r.good).count();
            let (start, end) = (self.rows[i].start, self.rows[i + bad - 1].end);
            match others.iter().find_map(|o| o.good_stretch(start, end)) {
                Some(good) => mended.extend_from_slice(good),
                None => mended.extend_from_slice(&self.rows[i..i + bad]),
            }
            i += bad;
        }
        self.rows = mended;
    }
    /// The row that begins at `start`.
    fn at(&self, start: usize) -> Option<usize> {
        let first = self.rows.partition_point(|r| r.start + TOLERANCE < start);
        self.rows.get(first).filter(|r| r.starts_at(start)).map(|_| first)
    }
    /// Rows from `start` to `end`, if all are good.
    fn good_stretch(&self, start: usize, end: usize) -> Option<&[Row]> {
        let first = self.at(start)?;
        let stop = first + self.rows[first..].partition_point(|r| r.end + TOLERANCE < end);
        let stretch = self.rows.get(first..=stop)?;
        (stretch.iter().all(|r| r.good) && stretch.last()?.ends_at(end)).then_some(stretch)
    }
    /// The page, and how many of its rows are bad.
    fn page(self, columns: u32, resolution: Resolution) -> Result<(Page, u32), PageError> {
        let bad = self.rows.iter().filter(|r| !r.good).count() as u32;
        let mut bits = Vec::with_capacity(self.rows.len() * (columns as usize).div_ceil(8));
        // A bad row that stayed bad shows the good one above it.
        let mut above: Option<&[u8]> = None;
        for r in &self.rows {
            let shown = if r.good { &r.bits } else { above.unwrap_or(&r.bits) };
            bits.extend_from_slice(shown);
            above = Some(shown);
        }
        Ok((Page::from_bits(columns, self.rows.len() as u32, bits, resolution)?, bad))
    }
}

/// One page of what the ears have, and how many of its rows are bad.
pub fn combine(mut readings: Vec<Reading>, columns: u32, resolution: Resolution) -> Result<(Page, u32), PageError> {
    // Of equals the first ear's, which hears the recording as it is: the last of equals wins.
    let best = (0..readings.len()).rev().max_by_key(|i| readings[*i].score());
    let Some(best) = best else { return Ok((Page::white(columns, 0, resolution)?, 0)) };
    let mut best = readings.swap_remove(best);
    best.mend(&readings);
    best.page(columns, resolution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipring_dsp::page::{chart, t4::Dress};

    #[test]
    fn what_is_bad_for_one_ear_is_taken_from_another() {
        let page = chart_page();
        let coded =
            t4::encode(&page, t4::Coding::Mh, Dress { framing: t4::Framing::Eol, eols_at_bytes: false, row_bits_min: 0, rtc: true });
        let hurt = |places: &[usize]| {
            let mut c = coded.clone();
            for p in places {
                c[*p] ^= 0x5A;
                c[*p + 1] ^= 0xFF;
            }
            c
        };
        let n = coded.len();
        let readings = |all: &[Vec<u8>]| all.iter().map(|d| Reading::new(d, page.columns(), t4::Coding::Mh).expect("sizes")).collect();
        let (one, bad) = combine(readings(&[hurt(&[n / 3])]), page.columns(), page.resolution).expect("a page");
        assert!(bad > 0 && one != page);
        let all = [hurt(&[n / 3, n / 2]), hurt(&[n / 5]), hurt(&[3 * n / 4])];
        let (mended, bad) = combine(readings(&all), page.columns(), page.resolution).expect("a page");
        assert_eq!(bad, 0);
        assert!(mended == page);
    }

    fn chart_page() -> Page {
        chart::Letter::new(3, 1, 1).with_rows(500).draw().expect("a page")
    }
}
