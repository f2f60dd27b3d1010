//! How long pages take: `cargo run --release -p tipring-dsp --no-default-features --example page_bench -- FILE.tif ...`
//! Best of 20, in milliseconds, first page of each file.
#![allow(clippy::disallowed_methods)] // A bench is what reads the clock.

use std::hint::black_box;
use std::time::Instant;

use tipring_dsp::page::{Page, chart::Letter, grey, t4, t6, tiff};

fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    (0..20)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    println!(
        "{:28} {:>9} {:>15} {:>15} {:>15} {:>8} {:>8}",
        "page", "MMR byte", "MMR enc/dec", "MH enc/dec", "MR4 enc/dec", "TIFF rd", "grey864"
    );
    let mut pages: Vec<(String, Page)> = std::env::args()
        .skip(1)
        .filter_map(|name| {
            let read = tiff::Reader::new(&std::fs::read(&name).ok()?).ok()?.page(0).ok()?;
            Some((name.rsplit('/').next().unwrap_or("").to_owned(), read.page))
        })
        .collect();
    pages.push(("letter".into(), Letter::new(1, 1, 1).draw().expect("in bounds")));
    for (name, page) in pages {
        let mmr = t6::encode(&page);
        let file = tiff::write(std::slice::from_ref(&page), tiff::Options::default());
        let group3 = |coding| {
            let line = t4::encode(&page, coding, t4::Dress::line(0));
            let decode = || t4::decode(&line, page.columns(), 40_000, coding, t4::Framing::Eol, page.resolution).map(|d| d.page.rows());
            format!("{:.2} / {:.2}", best(|| t4::encode(&page, coding, t4::Dress::line(0))), best(decode))
        };
        println!(
            "{name:28} {:>9} {:>15} {:>15} {:>15} {:>8.2} {:>8.2}",
            mmr.len(),
            format!("{:.2} / {:.2}", best(|| t6::encode(&page)), best(|| t6::decode(&mmr, page.columns(), 40_000, page.resolution))),
            group3(t4::Coding::Mh),
            group3(t4::Coding::Mr { k: 4 }),
            best(|| tiff::read_all(&file)),
            best(|| grey::reduce(&page, 864)),
        );
    }
}
