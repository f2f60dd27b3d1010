//! Round trips of made pages and of the recorded ones, through all codings and the file.

use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

/// A page from lists of run lengths: what fax coding is about, with rows that resemble the one above.
fn pages() -> impl Strategy<Value = Page> {
    let run = prop_oneof![4 => 0u32..20, 2 => 0u32..200, 1 => 0u32..3000];
    let row = (proptest::collection::vec(run, 0..40), any::<u8>());
    (prop_oneof![1u32..70, 1700u32..1760, Just(2432), 5000u32..5400], proptest::collection::vec(row, 0..24)).prop_map(|(columns, rows)| {
        let mut page = Page::white(columns, rows.len() as u32, Resolution::FINE).expect("small");
        for (y, (runs, kind)) in rows.iter().enumerate() {
            if kind % 3 != 0 && y > 0 {
                // As above, moved a little.
                for x in 0..columns {
                    if page.is_black((x + u32::from(kind % 4)).saturating_sub(1), y as u32 - 1) {
                        page.blacken(x, y as u32, 1, 1);
                    }
                }
            }
            if kind % 3 != 1 {
                let mut x = 0;
                for (i, run) in runs.iter().enumerate() {
                    if i % 2 == 1 {
                        page.blacken(x, y as u32, *run, 1);
                    }
                    x = (x + run).min(columns);
                }
            }
        }
        page
    })
}

const CODINGS: [t4::Coding; 4] = [t4::Coding::Mh, t4::Coding::Mr { k: 2 }, t4::Coding::Mr { k: 4 }, t4::Coding::Mr { k: u32::MAX }];

proptest! {
    #[test]
    fn t6_gives_back_any_page(page in pages()) {
        let back = t6::decode(&t6::encode(&page), page.columns(), limits::ROWS_MAX, page.resolution).unwrap();
        prop_assert_eq!(back.end, t6::End::Eofb);
        prop_assert_eq!(&back.page, &page);
    }

    #[test]
    fn t4_gives_back_any_page(page in pages(), coding in 0usize..4, row_bits_min in prop_oneof![Just(0u32), Just(288), Just(4000)]) {
        let coding = CODINGS[coding];
        let line = t4::encode(&page, coding, t4::Dress::line(row_bits_min));
        let back = t4::decode(&line, page.columns(), limits::ROWS_MAX, coding, t4::Framing::Eol, page.resolution).unwrap();
        prop_assert!(back.bad_rows.is_empty(), "{:?}", back.bad_rows);
        prop_assert_eq!(back.end, t4::End::Rtc);
        prop_assert_eq!(&back.page, &page);
        if row_bits_min > 0 {
            prop_assert!(line.len() * 8 >= (row_bits_min * page.rows()) as usize);
        }
    }

    #[test]
    fn t4_gives_the_same_rows_from_bytes_that_come_a_few_at_a_time(page in pages(), coding in 0usize..4, piece in 1usize..50) {
        let coding = CODINGS[coding];
        let line = t4::encode(&page, coding, t4::Dress::line(100));
        let mut decoder = t4::Decoder::new(page.columns(), coding, t4::Framing::Eol).unwrap();
        let (mut position, mut rows) = (0, Vec::new());
        let mut row = vec![0; row_bytes(page.columns())];
        let mut came = 0;
        while came < line.len() {
            came = (came + piece).min(line.len());
            let mut bits = bits::Bits::partial(&line[..came], position);
            while let t4::Row::Good = decoder.row(&mut bits, &mut row) {
                rows.extend_from_slice(&row);
            }
            position = bits.position();
        }
        prop_assert_eq!(&rows[..], page.bits());
    }

    #[test]
    fn a_damaged_line_gives_the_same_rows_whole_and_a_few_bytes_at_a_time(
        page in pages(), coding in 0usize..4, piece in 1usize..50, hits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..10)
    ) {
        let coding = CODINGS[coding];
        let mut line = t4::encode(&page, coding, t4::Dress::line(64));
        for (at, value) in hits {
            let at = at % line.len();
            line[at] = value;
        }
        let mut whole = Vec::new();
        let mut decoder = t4::Decoder::new(page.columns(), coding, t4::Framing::Eol).unwrap();
        let mut row = vec![0; row_bytes(page.columns())];
        let mut bits = bits::Bits::new(&line);
        while let outcome @ (t4::Row::Good | t4::Row::Bad(_)) = decoder.row(&mut bits, &mut row) {
            whole.push((outcome, row.clone()));
        }
        let mut decoder = t4::Decoder::new(page.columns(), coding, t4::Framing::Eol).unwrap();
        let (mut position, mut came, mut pieces, mut done) = (0, 0, Vec::new(), false);
        while came < line.len() && !done {
            came = (came + piece).min(line.len());
            let mut bits = if came < line.len() { bits::Bits::partial(&line[..came], position) } else { bits::Bits::rest(&line, position) };
            loop {
                match decoder.row(&mut bits, &mut row) {
                    outcome @ (t4::Row::Good | t4::Row::Bad(_)) => pieces.push((outcome, row.clone())),
                    t4::Row::NeedMore => break,
                    t4::Row::Rtc | t4::Row::DataEnded => {
                        done = true;
                        break;
                    }
                }
            }
            position = bits.position();
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn t6_gives_the_same_rows_from_bytes_that_come_a_few_at_a_time(page in pages(), piece in 1usize..50) {
        let data = t6::encode(&page);
        let mut decoder = t6::Decoder::new(page.columns()).unwrap();
        let (mut position, mut rows, mut came) = (0, Vec::new(), 0);
        let mut row = vec![0; row_bytes(page.columns())];
        let mut last = t6::Row::NeedMore;
        while came < data.len() {
            came = (came + piece).min(data.len());
            let mut bits = bits::Bits::partial(&data[..came], position);
            last = decoder.row(&mut bits, &mut row);
            while last == t6::Row::Good {
                rows.extend_from_slice(&row);
                last = decoder.row(&mut bits, &mut row);
            }
            position = bits.position();
        }
        prop_assert_eq!(last, t6::Row::Eofb);
        prop_assert_eq!(&rows[..], page.bits());
    }

    #[test]
    fn the_file_gives_back_any_pages(
        pages in proptest::collection::vec(pages(), 1..4), compression in 0usize..5, lsb in any::<bool>(), big in any::<bool>()
    ) {
        let pages: Vec<Page> = pages.into_iter().filter(|page| page.rows() > 0).collect();
        if pages.is_empty() {
            return Ok(());
        }
        let compression = [
            tiff::Compression::None, tiff::Compression::Rle, tiff::Compression::T4(t4::Coding::Mh),
            tiff::Compression::T4(t4::Coding::Mr { k: 4 }), tiff::Compression::T6,
        ][compression];
        let fill_order = if lsb { tiff::FillOrder::LsbFirst } else { tiff::FillOrder::MsbFirst };
        let byte_order = if big { tiff::ByteOrder::BigEndian } else { tiff::ByteOrder::LittleEndian };
        let back = tiff::read_all(&tiff::write(&pages, tiff::Options { compression, fill_order, byte_order })).unwrap();
        prop_assert_eq!(back.len(), pages.len());
        for (read, page) in back.iter().zip(&pages) {
            prop_assert_eq!(read.bad_rows, 0);
            prop_assert_eq!(&read.page, page);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz::t4(&bytes);
        fuzz::t6(&bytes);
        let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
        file.extend_from_slice(&bytes);
        fuzz::tiff(&file);
    }

    #[test]
    fn a_file_with_changed_bytes_is_survived(page in pages(), changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        if page.rows() == 0 {
            return Ok(());
        }
        let mut file = tiff::write(&[page], tiff::Options::default());
        for (at, value) in changes {
            let len = file.len();
            // Mostly in the directory, which is at the end.
            file[len - 1 - at % len.min(300)] = value;
        }
        fuzz::tiff(&file);
    }
}

/// The recordings, or `None` with a word on where they should be.
fn shared(folder: &str) -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("TIPRING_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let folder = root.join("recordings").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return None;
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "tif")).collect();
    files.sort();
    Some(files)
}

#[test]
fn recorded_pages_come_back_from_every_coding_and_from_the_file() {
    for path in ["pages", "generated", "fax", "stacks"].into_iter().filter_map(shared).flatten() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read = tiff::read_all(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (number, ReadRow { page, bad_rows }) in read.iter().map(|r| ReadRow { page: &r.page, bad_rows: r.bad_rows }).enumerate() {
            assert_eq!(bad_rows, 0, "{name} page {number}");
            assert!(page.black_pels() > 0, "{name} page {number}");
            let mmr = t6::encode(page);
            assert_eq!(&t6::decode(&mmr, page.columns(), limits::ROWS_MAX, page.resolution).unwrap().page, page, "{name} MMR");
            let mut sizes = vec![mmr.len()];
            for coding in CODINGS {
                let line = t4::encode(page, coding, t4::Dress::line(0));
                let back = t4::decode(&line, page.columns(), limits::ROWS_MAX, coding, t4::Framing::Sense, page.resolution).unwrap();
                assert!(back.bad_rows.is_empty() && back.end == t4::End::Rtc && back.page == *page, "{name} {coding:?}");
                sizes.push(line.len());
            }
            println!("{name} page {number}: {page:?} bytes MMR/MH/MR2/MR4/MRmax {sizes:?}");
        }
    }
}

struct ReadRow<'a> {
    page: &'a Page,
    bad_rows: u32,
}
