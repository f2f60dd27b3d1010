//! Our pages against others' code: crate `fax` for T.6, and libtiff's tools for whole files. Skips (and says so) without the tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use tipring_dsp::page::chart::{Letter, Text};
use tipring_dsp::page::tiff::{ByteOrder, Compression, FillOrder, Options, read_all, write};
use tipring_dsp::page::{Page, Resolution, compare, t4, t6};

fn letters() -> Vec<Page> {
    let standard = Letter::new(11, 1, 3);
    let fine = Letter { resolution: Resolution::FINE, rows: 2292, text: Text::Dense, page_number: 2, ..standard };
    let wide = Letter { resolution: Resolution::DPI_300, columns: 2592, rows: 1000, page_number: 3, ..standard };
    [standard, fine, wide].iter().map(|letter| letter.draw().expect("in bounds")).collect()
}

fn have(tool: &str) -> bool {
    let there = Command::new(tool).arg("-h").output().is_ok();
    if !there {
        println!("skipped: no {tool} here (Debian: libtiff-tools)");
    }
    there
}

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("tipring-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Folder(folder)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(tool: &str, arguments: &[&str], files: &[&Path]) -> String {
    let out = Command::new(tool).args(arguments).args(files).output().expect("the tool was there");
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{tool} {arguments:?}: {text}");
    text
}

#[test]
fn libtiff_reads_every_kind_of_file_that_is_written() {
    if !have("tiffcp") || !have("tiffcmp") || !have("tiffinfo") {
        return;
    }
    let folder = Folder::new("written");
    let pages = letters();
    let reference = folder.0.join("reference.tif");
    std::fs::write(&reference, write(&pages, Options { compression: Compression::None, ..Options::default() })).unwrap();
    for compression in
        [Compression::T6, Compression::T4(t4::Coding::Mh), Compression::T4(t4::Coding::Mr { k: 4 }), Compression::Rle, Compression::None]
    {
        for (fill_order, byte_order) in [(FillOrder::MsbFirst, ByteOrder::LittleEndian), (FillOrder::LsbFirst, ByteOrder::BigEndian)] {
            let ours = folder.0.join("ours.tif");
            std::fs::write(&ours, write(&pages, Options { compression, fill_order, byte_order })).unwrap();
            let info = run("tiffinfo", &["-D"], &[&ours]);
            assert!(!info.to_lowercase().contains("warning") && !info.contains("error"), "{compression:?}: {info}");
            assert_eq!(info.matches("Image Width").count(), 3);
            // What libtiff decodes, read back plain: the pels must be ours.
            let plain = folder.0.join("plain.tif");
            let words = run("tiffcp", &["-c", "none"], &[&ours, &plain]);
            assert!(words.is_empty(), "{compression:?} {fill_order:?}: {words}");
            let back = read_all(&std::fs::read(&plain).unwrap()).unwrap();
            assert!(back.iter().zip(&pages).all(|(b, p)| compare(&b.page, p).is_none()), "{compression:?} {fill_order:?}");
            assert_eq!(back.len(), 3);
        }
    }
}

#[test]
fn every_kind_of_file_that_libtiff_writes_is_read() {
    if !have("tiffcp") {
        return;
    }
    let folder = Folder::new("read");
    let pages = letters();
    let ours = folder.0.join("ours.tif");
    std::fs::write(&ours, write(&pages, Options::default())).unwrap();
    for arguments in [
        "-c g4",
        "-c g3",
        "-c g3:1d",
        "-c g3:2d",
        "-c g3:fill",
        "-c g3:2d:fill",
        "-c none",
        "-c packbits",
        "-c g4 -f lsb2msb",
        "-c g3:2d -f lsb2msb",
        "-c g4 -r 64",
        "-c g3:1d -r 100",
        "-c g3:2d -r 33",
        "-c none -r 7",
        "-c packbits -r 50",
        "-c g4 -B",
        "-c g3 -B",
        "-c none -f lsb2msb",
    ] {
        let theirs = folder.0.join("theirs.tif");
        run("tiffcp", &arguments.split(' ').collect::<Vec<_>>(), &[&ours, &theirs]);
        let back = read_all(&std::fs::read(&theirs).unwrap()).unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert_eq!(back.len(), 3, "{arguments}");
        for (read, page) in back.iter().zip(&pages) {
            assert_eq!(read.bad_rows, 0, "{arguments}");
            assert!(compare(&read.page, page).is_none(), "{arguments}: {:?}", compare(&read.page, page));
            assert_eq!(read.page.resolution, page.resolution, "{arguments}");
        }
    }
}

#[test]
fn crate_fax_reads_our_t6_and_we_read_its() {
    for page in letters() {
        let columns = page.columns();
        let mut rows = Vec::new();
        let whole = fax::decoder::decode_g4(t6::encode(&page).into_iter(), columns, None, |transitions| {
            let mut row = vec![0u8; page.columns().div_ceil(8) as usize];
            for (x, pel) in fax::decoder::pels(transitions, columns).enumerate() {
                if matches!(pel, fax::Color::Black) {
                    row[x / 8] |= 0x80 >> (x % 8);
                }
            }
            rows.extend_from_slice(&row);
        });
        assert!(whole.is_some());
        assert_eq!(rows, page.bits());

        let mut encoder = fax::encoder::Encoder::new(fax::VecWriter::new());
        for y in 0..page.rows() {
            let pels = (0..page.columns()).map(|x| if page.is_black(x, y) { fax::Color::Black } else { fax::Color::White });
            encoder.encode_line(pels, columns).expect("a Vec takes all");
        }
        let theirs = encoder.finish().expect("a Vec takes all").finish();
        assert_eq!(t6::decode(&theirs, page.columns(), 10_000, page.resolution).unwrap().page, page);
        assert_eq!(theirs, t6::encode(&page), "both write the one T.6 there is");
    }
}

#[test]
fn recorded_pages_are_read_as_libtiff_reads_them() {
    let root = std::env::var_os("TIPRING_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
        .join("recordings");
    if !have("tiffcp") {
        return;
    }
    let folder = Folder::new("recorded");
    let plain = folder.0.join("plain.tif");
    for sub in ["pages", "generated", "fax", "stacks"] {
        let Ok(entries) = std::fs::read_dir(root.join(sub)) else {
            println!("skipped: no recordings at {}", root.join(sub).display());
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "tif")) {
            let ours = read_all(&std::fs::read(&path).unwrap()).unwrap();
            run("tiffcp", &["-c", "none"], &[&path, &plain]);
            let theirs = read_all(&std::fs::read(&plain).unwrap()).unwrap();
            assert_eq!(ours.len(), theirs.len(), "{}", path.display());
            assert!(ours.iter().zip(&theirs).all(|(a, b)| compare(&a.page, &b.page).is_none()), "{}", path.display());
        }
    }
}
