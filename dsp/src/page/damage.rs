//! Tests of damaged lines and files: what is bad is said, what is good is kept.

use super::*;
use chart::Letter;

fn letter() -> Page {
    Letter { rows: 300, ..Letter::new(21, 1, 1) }.draw().expect("in bounds")
}

/// The line with bit `at` turned over.
fn flip(line: &[u8], at: usize) -> Vec<u8> {
    let mut out = line.to_vec();
    out[at / 8] ^= 0x80 >> (at % 8);
    out
}

#[test]
fn an_mh_row_with_a_flipped_bit_costs_that_row_and_no_other() {
    let page = letter();
    let line = t4::encode(&page, t4::Coding::Mh, t4::Dress::line(0));
    let (mut flips, mut found) = (0, 0);
    for at in (12..line.len() * 8 - 80).step_by(37) {
        let back = t4::decode(&flip(&line, at), 1728, 1000, t4::Coding::Mh, t4::Framing::Eol, page.resolution).unwrap();
        flips += 1;
        found += usize::from(!back.bad_rows.is_empty());
        // A flipped EOL joins two rows, a flipped bit can make one too many; all others are in place.
        assert!(back.page.rows().abs_diff(300) <= 1, "bit {at}: {} rows", back.page.rows());
        assert!(back.bad_rows.len() <= 2, "bit {at}: {:?}", back.bad_rows);
        let difference = compare(&page, &back.page);
        if difference.rows == 0 {
            assert!(difference.differing_rows <= 2, "bit {at}: {difference:?} {:?}", back.bad_rows);
        }
        for bad in &back.bad_rows {
            let above = if bad.row == 0 { vec![0; 216] } else { back.page.row(bad.row - 1).to_vec() };
            assert_eq!(back.page.row(bad.row), above, "a bad row shows the row above");
        }
    }
    // Run lengths of a row have to add up to its columns, so nearly every flip is noticed.
    assert!(found * 100 >= flips * 95, "{found} of {flips}");
}

#[test]
fn an_mr_row_with_a_flipped_bit_costs_the_rows_up_to_the_next_one_dimensional_one() {
    let page = letter();
    let coding = t4::Coding::Mr { k: 4 };
    let line = t4::encode(&page, coding, t4::Dress::line(0));
    for at in (13..line.len() * 8 - 90).step_by(29) {
        let back = t4::decode(&flip(&line, at), 1728, 1000, coding, t4::Framing::Eol, page.resolution).unwrap();
        assert!(back.page.rows().abs_diff(300) <= 1, "bit {at}: {} rows", back.page.rows());
        // A damaged EOL can hide a one-dimensional row, so two groups of four at most.
        assert!(back.bad_rows.len() <= 8, "bit {at}: {:?}", back.bad_rows);
        if back.page.rows() == 300 {
            assert!(compare(&page, &back.page).differing_rows <= 8, "bit {at}");
        }
    }
}

#[test]
fn t6_stops_at_the_first_fault_and_keeps_what_was_good() {
    let page = letter();
    let data = t6::encode(&page);
    let mut damaged = 0;
    for at in (0..data.len() * 8 - 24).step_by(31) {
        let back = t6::decode(&flip(&data, at), 1728, 300, page.resolution).unwrap();
        match back.end {
            t6::End::Damaged { row, .. } => {
                damaged += 1;
                assert_eq!(row, back.page.rows());
            }
            t6::End::Eofb | t6::End::AllRows | t6::End::DataEnded => {}
        }
    }
    assert!(damaged > 20, "{damaged}");
    let cut = t6::decode(&data[..data.len() / 2], 1728, 300, page.resolution).unwrap();
    assert!(cut.page.rows() > 50 && matches!(cut.end, t6::End::Damaged { .. } | t6::End::DataEnded));
    assert!((0..cut.page.rows()).all(|row| cut.page.row(row) == page.row(row)));
}

/// A little-endian TIFF of one page with this SHORT or LONG tag set to `value`.
fn with_tag(tag: u16, value: u32) -> Vec<u8> {
    let mut file = tiff::write(&[letter()], tiff::Options::default());
    let directory = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes(file[directory..directory + 2].try_into().unwrap()));
    for entry in (0..entries).map(|i| directory + 2 + 12 * i) {
        if file[entry..entry + 2] == tag.to_le_bytes() {
            file[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
            return file;
        }
    }
    panic!("no tag {tag} in our own file");
}

#[test]
fn what_is_not_a_fax_page_is_refused_by_tag_and_value() {
    for (tag, value) in [(258, 8), (277, 3), (262, 2), (262, 3), (259, 5), (259, 7), (266, 3), (274, 6)] {
        let error = tiff::read_all(&with_tag(tag, value)).unwrap_err();
        assert_eq!(error, tiff::TiffError::NotFax { tag, value });
    }
    assert_eq!(tiff::read_all(&with_tag(258, 8)).unwrap_err().to_string(), "BitsPerSample (258) is 8: not a bilevel fax page");
    assert_eq!(tiff::read_all(b"%PDF-1.4").unwrap_err(), tiff::TiffError::NotTiff);
    assert!(tiff::read_all(&with_tag(258, 1)).is_ok());
}

#[test]
fn what_is_too_large_or_points_nowhere_is_refused_without_work() {
    use tiff::TiffError;
    assert_eq!(tiff::read_all(&with_tag(256, 1 << 20)).unwrap_err(), TiffError::Page(PageError::Columns(1 << 20)));
    assert_eq!(tiff::read_all(&with_tag(257, u32::MAX)).unwrap_err(), TiffError::Page(PageError::Rows(u32::MAX)));
    assert_eq!(tiff::read_all(&with_tag(256, 0)).unwrap_err(), TiffError::Missing { tag: 256 });
    assert_eq!(tiff::read_all(&with_tag(278, 1)).unwrap_err(), TiffError::Strips { found: 1, wanted: 300 });
    assert_eq!(tiff::read_all(&with_tag(273, u32::MAX)).unwrap_err(), TiffError::OutsideFile { tag: 273, offset: u64::from(u32::MAX) });
    // A directory whose next is itself.
    let mut file = tiff::write(&[letter()], tiff::Options::default());
    let directory = u32::from_le_bytes(file[4..8].try_into().unwrap());
    let entries = u16::from_le_bytes(file[directory as usize..directory as usize + 2].try_into().unwrap());
    let link = directory as usize + 2 + 12 * usize::from(entries);
    file[link..link + 4].copy_from_slice(&directory.to_le_bytes());
    assert_eq!(tiff::read_all(&file).unwrap_err(), TiffError::DirectoryLoop);
}

#[test]
fn a_strip_cut_short_gives_white_rows_and_their_number() {
    let page = letter();
    let whole = tiff::read_all(&with_tag(279, 200)).unwrap();
    assert_eq!(whole[0].page.rows(), 300);
    let bad = whole[0].bad_rows;
    assert!(bad > 100 && bad < 300, "{bad}");
    assert!((0..300 - bad).all(|row| whole[0].page.row(row) == page.row(row)));
    assert!((300 - bad..300).all(|row| whole[0].page.row(row).iter().all(|&b| b == 0)));
}

#[test]
fn photometric_1_turns_black_and_white_over() {
    let page = letter();
    let turned = &tiff::read_all(&with_tag(262, 1)).unwrap()[0].page;
    assert_eq!(turned.black_pels() + page.black_pels(), 1728 * 300);
}

#[test]
fn resolutions_are_known_by_inch_and_by_centimetre() {
    for (x, y, named) in
        [(204, 98, Resolution::STANDARD), (203, 98, Resolution::STANDARD), (204, 196, Resolution::FINE), (204, 392, Resolution::SUPERFINE)]
    {
        assert_eq!(Resolution { x_dpi: x, y_dpi: y }.named(), named);
    }
    let inch = Resolution { x_dpi: 200, y_dpi: 100 };
    assert_eq!(inch.named(), inch);
    // 80 by 77 a centimetre is 8 by 7.7 a millimetre.
    let mut file = with_tag(296, 3);
    let directory = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    for (tag, per_cm) in [(282u16, 80u32), (283, 77)] {
        let entry = (0..18).map(|i| directory + 2 + 12 * i).find(|&at| file[at..at + 2] == tag.to_le_bytes()).unwrap();
        let far = u32::from_le_bytes(file[entry + 8..entry + 12].try_into().unwrap()) as usize;
        file[far..far + 4].copy_from_slice(&per_cm.to_le_bytes());
    }
    assert_eq!(tiff::read_all(&file).unwrap()[0].page.resolution, Resolution::FINE);
}

#[test]
fn the_corpus_is_survived() {
    let corpus = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/corpus"));
    for (folder, target) in [("t4", fuzz::t4 as fn(&[u8])), ("t6", fuzz::t6), ("tiff", fuzz::tiff)] {
        let mut files = 0;
        for entry in std::fs::read_dir(corpus.join(folder)).expect("the corpus is part of the tree").flatten() {
            let bytes = std::fs::read(entry.path()).expect("a file of the corpus");
            target(&bytes);
            // And what is near it: every 11th byte turned over, and cut there.
            for at in (0..bytes.len()).step_by(11) {
                let mut near = bytes.clone();
                near[at] ^= 1 << (at % 8);
                target(&near);
                target(&bytes[..at]);
            }
            files += 1;
        }
        assert!(files >= 4, "{folder}: {files} files");
    }
}
