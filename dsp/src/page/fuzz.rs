//! The bodies of the fuzz targets (`tests/fuzz`), so that the corpus also runs as a plain test. Each asserts what must hold of any bytes.

use super::{Resolution, compare};
use super::{limits, row_bytes, t4, t6, tiff};

/// The first bytes choose the columns, the coding and the framing; the rest is line data.
pub fn t4(bytes: &[u8]) {
    let Some((&[columns_high, columns_low, choice], data)) = bytes.split_first_chunk::<3>() else { return };
    let columns = u32::from(u16::from_be_bytes([columns_high, columns_low])) % 2600 + 1;
    let coding = if choice & 1 == 0 { t4::Coding::Mh } else { t4::Coding::Mr { k: 4 } };
    let framing = [t4::Framing::Eol, t4::Framing::Sense, t4::Framing::Bytes][usize::from(choice / 2 % 3)];
    let decoded = t4::decode(data, columns, 300, coding, framing, Resolution::FINE).expect("the columns are in bounds");
    assert!(decoded.page.rows() <= 300 && decoded.bad_rows.len() <= decoded.page.rows() as usize);
    // What was read is a page: it goes out and comes back.
    let line = t4::encode(&decoded.page, coding, t4::Dress::line(0));
    let again = t4::decode(&line, columns, 300, coding, t4::Framing::Eol, Resolution::FINE).expect("the columns are in bounds");
    assert!(again.bad_rows.is_empty() && compare(&decoded.page, &again.page).is_none());
}

/// The first bytes choose the columns; the rest is T.6.
pub fn t6(bytes: &[u8]) {
    let Some((&[columns_high, columns_low], data)) = bytes.split_first_chunk::<2>() else { return };
    let columns = u32::from(u16::from_be_bytes([columns_high, columns_low])) % 2600 + 1;
    let decoded = t6::decode(data, columns, 300, Resolution::FINE).expect("the columns are in bounds");
    let again = t6::decode(&t6::encode(&decoded.page), columns, limits::ROWS_MAX, Resolution::FINE).expect("the columns are in bounds");
    assert!(again.end == t6::End::Eofb && compare(&decoded.page, &again.page).is_none());
}

/// A file.
pub fn tiff(bytes: &[u8]) {
    let Ok(reader) = tiff::Reader::new(bytes) else { return };
    for page in 0..reader.pages().min(4) {
        // Large pages cost time and find nothing that small ones do not.
        if reader.page_bytes(page).is_ok_and(|size| size > 1 << 20) {
            continue;
        }
        if let Ok(read) = reader.page(page) {
            assert_eq!(read.page.bits().len(), row_bytes(read.page.columns()) * read.page.rows() as usize);
            let pages = [read.page];
            let back = tiff::read_all(&tiff::write(&pages, tiff::Options::default())).expect("our own file");
            assert!(back.len() == 1 && back[0].bad_rows == 0 && compare(&pages[0], &back[0].page).is_none());
        }
    }
}
