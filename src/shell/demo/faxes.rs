//! The demo's faxes: pages in at A, pages out at B, compared pel by pel.

use super::processes::Process;
use super::{Stage, records};
use crate::api::gateway::SimAction;
use std::path::{Path, PathBuf};
use tipring_dsp::page::chart::{Letter, Text};
use tipring_dsp::page::{self, Page, tiff};

/// The longest a fax of `n` pages may take before the demo gives up on it.
fn limit_s(pages: usize) -> u64 {
    60 + 90 * pages as u64
}

/// One fax to be sent.
pub struct Fax {
    /// Its pages.
    pub pages: Vec<Page>,
    /// Where they came from.
    pub from: String,
}

/// Reads the given files, or draws the demo's own: one page, and one of two pages.
pub fn prepare(files: &[PathBuf], seed: u64) -> Result<Vec<Fax>, String> {
    if files.is_empty() {
        let letter = |page, pages, rows| {
            let mut letter = Letter::new(seed, page, pages).with_rows(rows);
            letter.text = Text::Light;
            letter.draw().map_err(|e| e.to_string())
        };
        return Ok(vec![
            Fax { pages: vec![letter(1, 1, 700)?], from: "a letter of one page".into() },
            Fax { pages: vec![letter(1, 2, 700)?, letter(2, 2, 500)?], from: "a letter of two pages".into() },
        ]);
    }
    let read = |file: &PathBuf| {
        // The same check as every fax gets before it is dialled.
        let from = file.display().to_string();
        Ok(Fax { pages: crate::shell::simulate::read_pages(std::slice::from_ref(&from))?, from })
    };
    files.iter().map(read).collect()
}

fn read_pages(file: &Path) -> Result<Vec<Page>, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let pages = tiff::read_all(&bytes).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(pages.into_iter().map(|p| p.page).collect())
}

/// Sends all: odd ones from fax1@A (without error correction), even ones from fax2@A (with it), both lines at once.
pub async fn send_all(stage: &Stage, a: &Process, b: &Process, faxes: &[Fax]) -> Result<(), String> {
    let line = |wanted: usize| async move {
        for (i, fax) in faxes.iter().enumerate().filter(|(i, _)| i % 2 == wanted) {
            send(stage, a, b, i, fax).await?;
        }
        Ok::<(), String>(())
    };
    let (one, two) = tokio::join!(line(0), line(1));
    one.and(two)
}

async fn send(stage: &Stage, a: &Process, b: &Process, index: usize, fax: &Fax) -> Result<(), String> {
    let (port, number) = if index.is_multiple_of(2) { ("fax1", "3003") } else { ("fax2", "3004") };
    let sent_file = stage.own.join(format!("sent-{}.tif", index + 1));
    std::fs::write(&sent_file, tiff::write(&fax.pages, tiff::Options::default())).map_err(|e| format!("{}: {e}", sent_file.display()))?;
    let (mark_a, mark_b) = (a.mark(port).await?, b.mark(port).await?);
    stage.story.tell(
        true,
        format!("{port}@A dials {number} with {} ({} page{})", fax.from, fax.pages.len(), if fax.pages.len() == 1 { "" } else { "s" }),
    );
    a.sim(port, SimAction::SendFax { number: number.into(), pages: vec![sent_file.display().to_string()] }).await?;
    let sent = a.expect(port, mark_a, &["fax-sent"], limit_s(fax.pages.len())).await?;
    let received = b.expect(port, mark_b, &["fax-received"], 30).await?;
    if sent.ok != Some(true) || received.ok != Some(true) {
        return Err(format!("fax {}: {port}@A says: {}; {port}@B says: {}", index + 1, sent.detail, received.detail));
    }
    let file = received.detail.rsplit("; ").next().unwrap_or_default();
    let arrived = read_pages(Path::new(file))?;
    let copy = stage.out.join(format!("received-{}.tif", index + 1));
    std::fs::copy(file, &copy).map_err(|e| format!("{file}: {e}"))?;
    for (n, page) in arrived.iter().enumerate() {
        let png = stage.out.join(format!("page-{}-{}.png", index + 1, n + 1));
        crate::shell::png::write_page_png(&png, page, 864).map_err(|e| format!("{}: {e}", png.display()))?;
    }
    compare(stage, index, fax, &arrived);
    record(stage, a, index, port, fax.pages.len()).await
}

fn compare(stage: &Stage, index: usize, fax: &Fax, arrived: &[Page]) {
    let mut same = arrived.len() == fax.pages.len();
    let mut pels = 0u64;
    for (sent, got) in fax.pages.iter().zip(arrived) {
        let difference = page::compare(sent, got);
        same &= difference.is_none();
        pels += u64::from(sent.columns()) * u64::from(sent.rows());
        if !difference.is_none() {
            stage.story.tell(false, format!("fax {}: a page differs: {difference:?}", index + 1));
        }
    }
    stage.story.tell(
        same,
        format!("fax {}: {} of {} pages arrived, every one of {pels} pels compared and equal", index + 1, arrived.len(), fax.pages.len()),
    );
}

/// The call record says how the fax went; the leg must have been T.38 in DTLS, to a peer that has proven its key.
async fn record(stage: &Stage, a: &Process, index: usize, port: &str, pages: usize) -> Result<(), String> {
    for _ in 0..100 {
        let found = records(a).into_iter().rev().find(|r| r["ports"][0] == port && !r["fax"].is_null());
        if let Some(r) = found {
            let fax = &r["fax"];
            // Even lines of the demo's machines use error correction, odd ones do not; the record must say so.
            let ecm = !index.is_multiple_of(2);
            let security = &r["security"];
            let proven = security["verified"] == "proven" && security["fax"] == "DTLS";
            let ok = fax["mode"] == "t38" && fax["delivered"] == true && fax["ecm"] == ecm && fax["pages"] == pages && proven;
            stage.story.tell(
                ok,
                format!(
                    "fax {}, from the call record: T.38 in {} to {}, which proved its key ({}): {}",
                    index + 1,
                    security["cipher"].as_str().and_then(|c| c.split(',').next()).unwrap_or("the clear"),
                    r["peer"].as_str().unwrap_or("?"),
                    security["verified"].as_str().unwrap_or("not verified"),
                    r["result"].as_str().unwrap_or("?")
                ),
            );
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("fax {}: no call record with a T.38 leg", index + 1))
}
