//! `tipring lab fax`: the same fax again and again over a network and lines as bad as asked for, in virtual time.
//!
//! Two fax machines (libspandsp's terminals) at two gateways of a [`super::world`]; what arrives is compared pel by pel. Files are the
//! machines' business and the caller's: a [`Tray`] puts the pages to be sent somewhere and reads back what was received.

use super::netem::Params;
use super::world::{FaxSpec, GatewaySpec, PortSpec, SecuritySpec, World, WorldSpec};
use crate::clock::ms;
use crate::negotiate::T38Policy;
use std::io;
use std::path::{Path, PathBuf};
use tipring_dsp::line_model::LineParams;
use tipring_dsp::page::{self, Page, tiff};
use tipring_hw::Control;
use tipring_hw::sim::{FaxReport, Happening};

/// What the fax machines send images at (measured on libspandsp's terminal; its V.21 is 3 dB softer), dBm0: the signal of
/// [`FaxParams::snr_db`].
pub const FAX_LEVEL_DBM0: f32 = -11.0;
/// Noise stays below this, dBm0: modems must see a carrier from -43 dBm0 on (V.17 3.2), and may from -48.
const NOISE_MAX_DBM0: f32 = -50.0;
/// A run that takes longer has failed: a page at 2400 bit/s and all of T.30's retries fit.
const RUN_MAX_MS: u64 = 30 * 60_000;

/// How the pages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As audio: both gateways refuse T.38.
    G711,
    /// T.38 over UDPTL.
    T38,
    /// T.38 in DTLS.
    T38Dtls,
    /// T.38 in SRTP.
    T38Srtp,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct FaxParams {
    /// The document.
    pub pages: Vec<Page>,
    /// How it travels.
    pub mode: Mode,
    /// Fraction of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Mean length of a loss burst, datagrams.
    pub burst: f64,
    /// Further delay, uniform from nought to this, ms.
    pub jitter_ms: u64,
    /// Delay, ms.
    pub delay_ms: u64,
    /// By how much the answering gateway's clock is fast, parts per million.
    pub drift_ppm: f64,
    /// Signal to noise at every ear, dB over 0 to 4 kHz; `None`: a quiet line.
    pub snr_db: Option<f32>,
    /// Copies of older packets in each UDPTL datagram; `None`: 3 for control, 2 for image.
    pub redundancy: Option<u8>,
    /// Error correction in the machines.
    pub ecm: bool,
    /// The machines' fastest modem, bit/s.
    pub bps: u32,
    /// How often.
    pub runs: u32,
    /// Decides everything by chance; run `n` has `seed + n`.
    pub seed: u64,
}

impl Default for FaxParams {
    fn default() -> Self {
        FaxParams {
            pages: Vec::new(),
            mode: Mode::T38,
            loss: 0.0,
            burst: 1.0,
            jitter_ms: 0,
            delay_ms: 0,
            drift_ppm: 0.0,
            snr_db: None,
            redundancy: None,
            ecm: true,
            bps: 14_400,
            runs: 1,
            seed: 1,
        }
    }
}

/// What came of it: the object of `lab fax --json` but for `cpu_seconds`, which only the shell can know.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FaxOutcome {
    /// Runs made.
    pub runs: u32,
    /// Runs in which both machines report success and every page is identical.
    pub completed: u32,
    /// Pages handed to the sender, all runs.
    pub pages_sent: u32,
    /// Pages that arrived pel for pel.
    pub pages_identical: u32,
    /// Median time from lifting to the end of the sender's T.30, seconds, of completed runs.
    pub seconds_p50: f64,
    /// Longest such time.
    pub seconds_max: f64,
    /// Median rate of the image modem, bit/s, of completed runs.
    pub bps_p50: u32,
    /// Virtual time of all runs, seconds.
    pub virtual_seconds: f64,
    /// One sentence a run that did not complete: seed and why.
    pub failures: Vec<String>,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum FaxError {
    /// No page to send.
    NoPages,
    /// The tray failed.
    Tray(io::Error),
}

impl core::fmt::Display for FaxError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FaxError::NoPages => f.write_str("there is no page to send"),
            FaxError::Tray(e) => write!(f, "the pages' folder: {e}"),
        }
    }
}
impl std::error::Error for FaxError {}

/// Where the machines' files lie: the only part that touches a disk.
pub trait Tray {
    /// The folder for received files; it exists.
    fn folder(&self) -> PathBuf;
    /// Stores the document and says where.
    fn put(&mut self, tiff: &[u8]) -> io::Result<PathBuf>;
    /// Reads a received file and removes it.
    fn take(&mut self, file: &Path) -> io::Result<Vec<u8>>;
}

/// Sends the document `runs` times.
pub fn run(params: &FaxParams, tray: &mut dyn Tray) -> Result<FaxOutcome, FaxError> {
    if params.pages.is_empty() {
        return Err(FaxError::NoPages);
    }
    let document = tray.put(&tiff::write(&params.pages, tiff::Options::default())).map_err(FaxError::Tray)?;
    let mut outcome = FaxOutcome::default();
    let (mut seconds, mut rates) = (Vec::new(), Vec::new());
    for n in 0..params.runs {
        let seed = params.seed.wrapping_add(u64::from(n));
        let mut world = World::new(world_spec(params, seed, tray.folder()));
        let (sent, received) = one_fax(&mut world, &document);
        let file = received.as_ref().and_then(|r| r.file.clone());
        let bytes = file.map(|f| tray.take(&f)).transpose().map_err(FaxError::Tray)?;
        let arrived = bytes.and_then(|b| tiff::read_all(&b).ok()).unwrap_or_default();
        let identical = params.pages.iter().zip(&arrived).filter(|(s, r)| page::compare(s, &r.page).is_none()).count() as u32;
        outcome.runs += 1;
        outcome.pages_sent += params.pages.len() as u32;
        outcome.pages_identical += identical;
        outcome.virtual_seconds += world.now().as_ms() as f64 / 1000.0;
        let whole = identical as usize == params.pages.len() && arrived.len() == params.pages.len();
        match (&sent, &received) {
            // A page that went another way than was asked for proves nothing of this one.
            (Some((report, took_s)), Some(r)) if report.ok && r.ok && whole && went_so(&world, params.mode) => {
                outcome.completed += 1;
                seconds.push(*took_s);
                rates.push(report.bps);
            }
            _ => outcome.failures.push(failure(&world, seed, sent.as_ref().map(|s| &s.0), received.as_ref(), identical)),
        }
    }
    seconds.sort_by(f64::total_cmp);
    rates.sort_unstable();
    outcome.seconds_p50 = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    outcome.seconds_max = seconds.last().copied().unwrap_or(0.0);
    outcome.bps_p50 = rates.get(rates.len() / 2).copied().unwrap_or(0);
    Ok(outcome)
}

fn world_spec(params: &FaxParams, seed: u64, folder: PathBuf) -> WorldSpec {
    let line = params.snr_db.map_or(LineParams::HOUSE, |snr| noisy_line(params.mode, snr));
    let fax = FaxSpec { ecm: params.ecm, max_bps: params.bps, receive_into: Some(folder) };
    let t38 = (params.mode != Mode::G711).then(|| {
        let (control, image) = params.redundancy.map_or((3, 2), |n| (n, n));
        T38Policy { max_datagram: 1400, redundancy_control: control, redundancy_image: image, ecm: params.ecm }
    });
    let office = |name, number, ppm| {
        let mut gateway = GatewaySpec::new(name, vec![PortSpec { line, ..PortSpec::fax(number, fax.clone()) }]);
        gateway.media.t38 = t38;
        gateway.security = match params.mode {
            Mode::G711 | Mode::T38 => SecuritySpec::default(),
            Mode::T38Dtls => SecuritySpec::USUAL,
            Mode::T38Srtp => SecuritySpec::SDES,
        };
        gateway.clock_ppm = ppm;
        gateway
    };
    let mut spec = WorldSpec::new(seed, vec![office("caller", "2003", 0.0), office("answerer", "3003", params.drift_ppm)]);
    spec.link =
        Params { loss: params.loss, burst: params.burst, delay: ms(params.delay_ms), jitter: ms(params.jitter_ms), ..Params::default() };
    spec
}

/// Whether the fax went as the mode has it, by the record of who sent it.
fn went_so(world: &World, mode: Mode) -> bool {
    let Some(record) = world.records(0).last() else { return mode == Mode::G711 };
    match mode {
        Mode::G711 => record.fax.is_none(),
        Mode::T38 => record.fax.is_some(),
        Mode::T38Dtls => record.fax.is_some() && record.fax_protection == Some("DTLS"),
        Mode::T38Srtp => record.fax.is_some() && record.fax_protection == Some("SRTP (SDES)"),
    }
}

/// A line with this ratio at every ear. It is long enough (loses enough) for the noise to stay below what a modem takes for a carrier:
/// on a short line with loud noise libspandsp's receivers never see a carrier end, which is not what is to be measured. It is not longer
/// than libspandsp's V.21 receiver hears (-30 dBm0).
fn noisy_line(mode: Mode, snr_db: f32) -> LineParams {
    let loss_db = (FAX_LEVEL_DBM0 - snr_db - NOISE_MAX_DBM0).clamp(1.0, 15.0);
    // T.38 begins anew at the second line; audio comes to it as weak as the first one left it.
    let (second_db, before_db) = if mode == Mode::G711 { (1.0, loss_db) } else { (loss_db, 0.0) };
    LineParams {
        loss_from_machine_db: loss_db,
        noise_from_machine_dbm0: FAX_LEVEL_DBM0 - loss_db - snr_db,
        loss_to_machine_db: second_db,
        noise_to_machine_dbm0: FAX_LEVEL_DBM0 - before_db - second_db - snr_db,
        ..LineParams::HOUSE
    }
}

/// One call: the sender's report with the seconds it took, and the receiver's.
fn one_fax(world: &mut World, document: &Path) -> (Option<(FaxReport, f64)>, Option<FaxReport>) {
    world.run_until(10_000, |w| (0..2).all(|s| w.site(s).registered() == 1));
    world.control(0, 0, Control::SendFax { number: "3003".into(), tiff: document.to_owned() });
    world.run_until(RUN_MAX_MS, |w| report(w, 0).is_some());
    world.run_until(60_000, |w| report(w, 1).is_some());
    // The calls' ends, and their records.
    world.run_ms(4_000);
    let lifted = world.happenings(0, 0).find(|(_, h)| **h == Happening::OffHook).map(|(at, _)| at);
    let sent = report(world, 0).map(|(at, report)| (report, lifted.map_or(0.0, |l| at.since(l).as_secs_f64())));
    (sent, report(world, 1).map(|(_, report)| report))
}

fn report(world: &World, site: usize) -> Option<(crate::clock::Instant, FaxReport)> {
    world.happenings(site, 0).find_map(|(at, h)| match h {
        Happening::FaxDone(report) => Some((at, report.clone())),
        _ => None,
    })
}

fn failure(world: &World, seed: u64, sent: Option<&FaxReport>, received: Option<&FaxReport>, identical: u32) -> String {
    if let Some(broken) = world.violation() {
        return format!("seed {seed}: {broken}");
    }
    let says = |r: Option<&FaxReport>| r.map_or_else(|| "nothing".to_owned(), |r| r.text.clone());
    let record = world.records(0).first().map_or_else(String::new, |r| format!("; the call: {}", r.result));
    format!("seed {seed}: sender says {}, receiver says {}, {identical} pages identical{record}", says(sent), says(received))
}
