//! Pages put together: from the bits of one carrier, or with ECM from the frames of several (T.4 annex A, T.30 annex A).

use super::report::{Direction, PageEntry};
use super::rows::{self, Reading};
use crate::fax::t30::frame::{Coding, Dcs};
use std::collections::BTreeMap;
use tipring_dsp::page::{PageError, Resolution, limits as page_limits, t4, t6};

/// Coded bytes of a page, at most: an hour at 14400 bit/s is 6.5 MB.
const CODED_BYTES_MAX: usize = 8 << 20;
/// Rows that are looked at.
const ROWS_MAX: u32 = page_limits::ROWS_MAX;

/// What a page is made of, known when its first carrier begins.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Start, s.
    pub t: f64,
    /// What the DCS commanded.
    pub dcs: Dcs,
    /// Who sends.
    pub direction: Direction,
}

/// Receivers that listen to the same carrier; see `fast`.
pub const EARS: usize = 5;

/// Coded bits.
#[derive(Default)]
struct Stream {
    data: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
    too_long: bool,
}

impl Stream {
    fn bit(&mut self, bit: bool) {
        if self.free == 0 {
            if self.data.len() == CODED_BYTES_MAX {
                self.too_long = true;
                return;
            }
            self.data.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if bit && let Some(last) = self.data.last_mut() {
            *last |= 1 << self.free;
        }
    }
    fn bytes(&mut self, bytes: &[u8]) {
        let room = CODED_BYTES_MAX - self.data.len();
        self.too_long |= bytes.len() > room;
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.free = 0;
    }
}

/// The page at hand.
#[derive(Default)]
pub struct Assembly {
    head: Option<Head>,
    /// What each ear has of the page; with ECM only the first is used.
    streams: [Stream; EARS],
    /// ECM: frames of the carrier under way, by number.
    arriving: BTreeMap<u8, Vec<u8>>,
    /// ECM: frames of the block, whose end (PPS) was heard.
    block: BTreeMap<u8, Vec<u8>>,
    /// Page and block counter of `block`, and how many frames it has.
    id: Option<(u8, u8, u16)>,
    missing: u32,
    /// The PPS said that the page ends with this block.
    last_block: bool,
}

impl Assembly {
    /// A carrier with image data begins.
    pub fn begin(&mut self, head: Head) {
        match &mut self.head {
            // The rate may have changed between two carriers of a page.
            Some(h) => h.dcs = head.dcs,
            None => self.head = Some(head),
        }
    }
    /// A bit of a page without ECM, as `ear` has it.
    pub fn bit(&mut self, ear: usize, bit: bool) {
        self.streams[ear].bit(bit);
    }
    /// Bytes of a page without ECM.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.streams[0].bytes(bytes);
    }
    /// A good HDLC frame of a fast carrier, from the address on. True if it was facsimile data.
    pub fn fast_frame(&mut self, octets: &[u8]) -> bool {
        let &[0xFF, _, fcf, number, ref data @ ..] = octets else { return false };
        // FCD is 0x60 with either value of the bit that is X elsewhere.
        if fcf & 0x7F != 0x60 || data.len() > 256 {
            return false;
        }
        self.arriving.insert(number.reverse_bits(), data.to_vec());
        true
    }
    /// A partial page signal: these frames are block `block` of page `page`, `frames` in all. Gives the page before, if this begins
    /// another, and how many frames of the block are still missing.
    pub fn partial_page(&mut self, page: u8, block: u8, frames: u16, last_block: bool) -> (Option<Built>, u32) {
        let mut before = None;
        if let Some((p, b, _)) = self.id
            && (p, b) != (page, block)
        {
            self.block_done();
            if p != page {
                let (head, arriving) = (self.head, core::mem::take(&mut self.arriving));
                before = self.close();
                (self.head, self.arriving) = (head, arriving);
            }
        }
        if self.arriving.is_empty() && self.id.is_none() {
            // Said again, after the answer was lost: the block is done already.
            return (before, 0);
        }
        self.block.append(&mut self.arriving);
        self.id = Some((page, block, frames));
        self.last_block = last_block;
        (before, u32::from(frames).saturating_sub(self.block.len() as u32))
    }
    /// The block was confirmed, or given up: it joins the page. True if that was the last one.
    pub fn block_done(&mut self) -> bool {
        let Some((_, _, frames)) = self.id.take() else { return false };
        let block = core::mem::take(&mut self.block);
        self.missing += (0..frames).filter(|n| !block.contains_key(&(*n as u8))).count() as u32;
        for data in block.values() {
            self.streams[0].bytes(data);
        }
        self.last_block
    }
    /// The page is over.
    pub fn close(&mut self) -> Option<Built> {
        if self.head.is_some_and(|h| h.dcs.ecm) {
            if self.id.is_none() && !self.arriving.is_empty() {
                // The call broke off before the PPS.
                self.block = core::mem::take(&mut self.arriving);
                let last = self.block.keys().last().copied().unwrap_or(0);
                self.id = Some((0, 0, u16::from(last) + 1));
            }
            self.block_done();
        }
        self.arriving.clear();
        let head = self.head.take();
        let streams = core::mem::take(&mut self.streams);
        let missing = core::mem::take(&mut self.missing);
        self.last_block = false;
        let head = head?;
        if streams.iter().all(|s| s.data.is_empty()) {
            return None;
        }
        Some(decode(head, &streams, missing))
    }
}

/// A page decoded, or why there is none.
pub enum Built {
    /// A page, and a remark about it.
    Page(Box<PageEntry>, Option<String>),
    /// No row could be read, and why.
    Nothing(String),
}

fn decode(head: Head, streams: &[Stream; EARS], frames_missing: u32) -> Built {
    let d = head.dcs;
    let resolution = resolution(&d);
    let columns = u32::from(d.width);
    let too_long = streams.iter().any(|s| s.too_long);
    let mut remark = too_long.then(|| format!("the page at {:.1} s is longer than {CODED_BYTES_MAX} bytes; its end was not read", head.t));
    let read = match d.coding {
        Coding::T4OneD | Coding::T4TwoD => {
            let coding = if d.coding == Coding::T4OneD { t4::Coding::Mh } else { t4::Coding::Mr { k: 4 } };
            let with_data = streams.iter().filter(|s| !s.data.is_empty());
            let readings: Result<Vec<Reading>, PageError> = with_data.map(|s| Reading::new(&s.data, columns, coding)).collect();
            readings.and_then(|r| rows::combine(r, columns, resolution))
        }
        Coding::T6 => t6::decode(&streams[0].data, columns, ROWS_MAX, resolution).map(|decoded| {
            let damaged = if let t6::End::Damaged { row, .. } = decoded.end {
                remark = Some(format!("the page at {:.1} s is damaged at row {row}; T.6 cannot be read beyond that", head.t));
                1
            } else {
                0
            };
            (decoded.page, damaged)
        }),
        Coding::Jbig => return Built::Nothing(format!("the page at {:.1} s is coded as T.85 (JBIG), which is not read", head.t)),
    };
    let (page, bad_rows) = match read {
        Ok(read) => read,
        Err(e) => return Built::Nothing(e.to_string()),
    };
    if page.rows() == 0 {
        return Built::Nothing(format!("no row of the page at {:.1} s could be read", head.t));
    }
    let entry = PageEntry {
        t: head.t,
        columns,
        rows: page.rows(),
        bad_rows,
        coding: match d.coding {
            Coding::T4OneD => "MH",
            Coding::T4TwoD => "MR",
            Coding::T6 => "MMR",
            Coding::Jbig => "JBIG",
        },
        resolution: match resolution {
            Resolution::STANDARD => "standard",
            Resolution::FINE => "fine",
            Resolution::SUPERFINE => "superfine",
            Resolution::DPI_300 => "300dpi",
            _ => "400dpi",
        },
        ecm: d.ecm,
        bps: d.rate.map_or(0, |r| r.bps()),
        modem: d.rate.map_or("", super::session::modem_word),
        frames_missing,
        direction: head.direction,
        image: page,
    };
    Built::Page(Box::new(entry), remark)
}

fn resolution(d: &Dcs) -> Resolution {
    match d.rows_per_cm {
        154 if d.width >= 3456 => Resolution::DPI_400,
        154 => Resolution::SUPERFINE,
        118 => Resolution::DPI_300,
        77 => Resolution::FINE,
        _ => Resolution::STANDARD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipring_dsp::page::{chart::Letter, t6};

    fn head() -> Head {
        // V.17 14400, ECM, T.6.
        let fif = [0x00, 0x04, 0x01, 0x22];
        Head { t: 1.0, dcs: crate::fax::t30::frame::dcs(&fif), direction: Direction::Caller }
    }

    fn send(a: &mut Assembly, blocks: &[u8], numbers: impl Iterator<Item = u8>) {
        for n in numbers {
            let data = blocks.chunks(256).nth(usize::from(n)).expect("a frame of the block");
            let mut frame = vec![0xFF, 0xC0, 0x60, n.reverse_bits()];
            frame.extend_from_slice(data);
            assert!(a.fast_frame(&frame));
        }
    }

    #[test]
    fn frames_that_come_again_complete_their_block_and_pages_follow_each_other() {
        let letter = Letter::new(5, 1, 1).draw().expect("a page");
        let coded = t6::encode(&letter);
        let frames = coded.len().div_ceil(256) as u8;
        assert!(frames > 6, "{frames}");
        let mut a = Assembly::default();
        a.begin(head());
        send(&mut a, &coded, (0..frames).filter(|n| n % 3 != 1));
        let (before, missing) = a.partial_page(0, 0, u16::from(frames), true);
        assert!(before.is_none() && missing == u32::from((0..frames).filter(|n| n % 3 == 1).count() as u8));
        send(&mut a, &coded, (0..frames).filter(|n| n % 3 == 1));
        assert_eq!(a.partial_page(0, 0, u16::from(frames), true).1, 0);
        // The answer is lost and the PPS of the next page comes: the first page is handed out.
        a.begin(head());
        send(&mut a, &coded, 0..frames);
        let Some(Built::Page(first, None)) = a.partial_page(1, 0, u16::from(frames), true).0 else { panic!("the first page") };
        assert!(first.image.bits() == letter.bits() && first.frames_missing == 0 && first.ecm);
        assert!(a.block_done());
        let Some(Built::Page(second, None)) = a.close() else { panic!("the second page") };
        assert!(second.image.bits() == letter.bits());
        assert!(a.close().is_none());
    }

    #[test]
    fn a_frame_that_never_came_is_counted() {
        let coded = t6::encode(&Letter::new(5, 1, 1).draw().expect("a page"));
        let frames = coded.len().div_ceil(256) as u8;
        let mut a = Assembly::default();
        a.begin(head());
        send(&mut a, &coded, (0..frames).filter(|n| *n != 4));
        a.partial_page(0, 0, u16::from(frames), true);
        a.block_done();
        let Some(Built::Page(page, Some(remark))) = a.close() else { panic!("a damaged page") };
        assert_eq!((page.frames_missing, page.bad_rows), (1, 1));
        assert!(remark.contains("damaged at row"), "{remark}");
    }
}
