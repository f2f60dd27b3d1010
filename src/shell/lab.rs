//! `tipring lab`: measurements in virtual time, repeatable by seed.

use super::cli::Outcome;
use clap::Subcommand;
use std::path::PathBuf;

/// What is measured.
#[derive(Subcommand)]
pub enum Lab {
    /// The same fax again and again over a network and lines as bad as asked for
    Fax(Fax),
    /// A fax whose peer's address was given to another gateway: where the page goes
    Takeover(Takeover),
    /// Somebody in the path of a call, who reads, changes, drops, replays and injects: what is learned
    Attack(Attack),
    /// A city's terminals register at directories: how long it takes, and how many machines
    Directory(super::lab_directory::LabDirectory),
}

/// Options of `lab fax`.
#[derive(clap::Args)]
pub struct Fax {
    /// A bilevel TIFF; repeatable. Without one: a letter drawn from the seed
    #[arg(long = "page")]
    pages: Vec<PathBuf>,
    /// g711, t38, t38-dtls or t38-srtp
    #[arg(long, default_value = "t38")]
    mode: String,
    /// Datagrams lost, percent
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Mean length of a loss burst, datagrams
    #[arg(long, default_value_t = 1.0)]
    burst: f64,
    /// Further delay, uniform from nought to this, ms
    #[arg(long, default_value_t = 0)]
    jitter: u64,
    /// Delay, ms
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// By how much the answering gateway's clock is fast
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    drift_ppm: f64,
    /// Signal to noise at every ear, dB over 0 to 4 kHz
    #[arg(long)]
    snr: Option<f32>,
    /// Copies of older packets in each UDPTL datagram
    #[arg(long)]
    redundancy: Option<u8>,
    /// Error correction in the machines: on or off
    #[arg(long, default_value = "on")]
    ecm: String,
    /// The machines' fastest modem, bit/s
    #[arg(long, default_value_t = 14_400)]
    bps: u32,
    /// How often
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Decides everything by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `lab attack`.
#[derive(clap::Args)]
pub struct Attack {
    /// How many seeds
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// on or off: whether media must be encrypted and the caller looks who answers (off is the control)
    #[arg(long, default_value = "on")]
    check: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `lab takeover`.
#[derive(clap::Args)]
pub struct Takeover {
    /// How many seeds
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// on or off: whether the sender's gateway looks who is there (off is the control)
    #[arg(long, default_value = "on")]
    check: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs a measurement.
pub(super) fn run(lab: Lab) -> Outcome {
    match lab {
        Lab::Fax(fax) => run_fax(&fax),
        Lab::Takeover(asked) => run_takeover(&asked),
        Lab::Attack(asked) => run_attack(&asked),
        Lab::Directory(asked) => super::lab_directory::run(&asked),
    }
}

#[cfg(not(feature = "spandsp"))]
fn run_takeover(_: &Takeover) -> Outcome {
    Outcome::Unusable("lab takeover needs fax machines: build with the Cargo feature `spandsp`".into())
}

#[cfg(not(feature = "spandsp"))]
fn run_attack(_: &Attack) -> Outcome {
    Outcome::Unusable("lab attack needs fax machines: build with the Cargo feature `spandsp`".into())
}

/// A page drawn from the seed, a folder for the machines, and the CPU that a measurement took.
#[cfg(feature = "spandsp")]
fn with_a_page<T>(
    seed: u64,
    check: &str,
    measure: impl FnOnce(&tipring_dsp::page::Page, bool, &mut DiskTray) -> std::io::Result<T>,
) -> Result<(T, f64), Outcome> {
    let check = match check {
        "on" => true,
        "off" => false,
        other => return Err(Outcome::Unusable(format!("--check {other:?} is neither on nor off"))),
    };
    let faxes = super::demo::faxes::prepare(&[], seed).map_err(Outcome::Unusable)?;
    let page = faxes.into_iter().flat_map(|f| f.pages).next();
    let page = page.ok_or_else(|| Outcome::Unusable("there is no page to send".into()))?;
    let folder = std::env::temp_dir().join(format!("tipring-lab-{}-{:016x}", std::process::id(), super::clock::seed()));
    let unusable = |e: std::io::Error| Outcome::Unusable(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    let before = cpu_seconds();
    let found = measure(&page, check, &mut DiskTray { folder: folder.clone() });
    let cpu = cpu_seconds() - before;
    let _left_for_the_system = std::fs::remove_dir_all(&folder);
    found.map(|found| (found, cpu)).map_err(unusable)
}

#[cfg(feature = "spandsp")]
fn run_takeover(asked: &Takeover) -> Outcome {
    let run = |page: &_, check, tray: &mut DiskTray| crate::lab::takeover::run(page, asked.seed, asked.runs, check, tray);
    let (found, cpu) = match with_a_page(asked.seed, &asked.check, run) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    if asked.json {
        let object = serde_json::json!({
            "runs": found.runs, "leaks": found.leaks, "delivered": found.delivered, "suppressed": found.suppressed, "cpu_seconds": cpu,
            "failures": found.failures,
        });
        println!("{object}");
    } else {
        println!("{} seeds: a page reached the wrong machine in {}, the right one in {}", found.runs, found.leaks, found.delivered);
        println!("in {} the gateway saw that somebody else is there; {cpu:.1} s of CPU", found.suppressed);
        found.failures.iter().for_each(|f| println!("  {f}"));
    }
    if found.leaks == 0 && found.delivered == found.runs { Outcome::Yes } else { Outcome::No }
}

#[cfg(feature = "spandsp")]
fn run_attack(asked: &Attack) -> Outcome {
    let run = |page: &_, check, tray: &mut DiskTray| crate::lab::attack::run(page, asked.seed, asked.runs, check, tray);
    let (found, cpu) = match with_a_page(asked.seed, &asked.check, run) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let learned = found.audio_learned + found.pels_learned + found.sent_in_the_clear + found.redirected;
    if asked.json {
        let object = serde_json::json!({
            "runs": found.runs, "audio_learned": found.audio_learned, "pels_learned": found.pels_learned,
            "sent_in_the_clear": found.sent_in_the_clear, "redirected": found.redirected, "talks": found.talks, "pages": found.pages,
            "changed": found.changed, "dropped": found.dropped, "replayed": found.replayed, "injected": found.injected, "cpu_seconds": cpu,
            "failures": found.failures,
        });
        println!("{object}");
    } else {
        println!("{} seeds: what was said was learned in {}, image packets in {}", found.runs, found.audio_learned, found.pels_learned);
        println!("media in the clear in {}, led to the attacker in {}", found.sent_in_the_clear, found.redirected);
        println!("the talk stood in {}, the page arrived in {}", found.talks, found.pages);
        println!(
            "datagrams of media changed {}, dropped {}, replayed {}, injected {}; {cpu:.1} s of CPU",
            found.changed, found.dropped, found.replayed, found.injected
        );
        found.failures.iter().for_each(|f| println!("  {f}"));
    }
    if learned == 0 { Outcome::Yes } else { Outcome::No }
}

#[cfg(not(feature = "spandsp"))]
fn run_fax(_: &Fax) -> Outcome {
    Outcome::Unusable("lab fax needs fax machines: build with the Cargo feature `spandsp`".into())
}

#[cfg(feature = "spandsp")]
fn run_fax(fax: &Fax) -> Outcome {
    use crate::lab::fax::{self, FaxParams, Mode};
    let mode = match fax.mode.as_str() {
        "g711" => Mode::G711,
        "t38" => Mode::T38,
        "t38-dtls" => Mode::T38Dtls,
        "t38-srtp" => Mode::T38Srtp,
        other => return Outcome::Unusable(format!("--mode {other:?} is none of g711, t38, t38-dtls, t38-srtp")),
    };
    let ecm = match fax.ecm.as_str() {
        "on" => true,
        "off" => false,
        other => return Outcome::Unusable(format!("--ecm {other:?} is neither on nor off")),
    };
    if !(0.0..=100.0).contains(&fax.loss) || fax.burst < 1.0 || !matches!(fax.bps, 2400 | 4800 | 7200 | 9600 | 12_000 | 14_400) {
        return Outcome::Unusable("--loss is 0 to 100, --burst at least 1, --bps a G3 rate (2400 to 14400)".into());
    }
    let pages = match super::demo::faxes::prepare(&fax.pages, fax.seed) {
        Ok(faxes) if fax.pages.is_empty() => faxes.into_iter().take(1).flat_map(|f| f.pages).collect(),
        Ok(faxes) => faxes.into_iter().flat_map(|f| f.pages).collect(),
        Err(why) => return Outcome::Unusable(why),
    };
    let params = FaxParams {
        pages,
        mode,
        loss: fax.loss / 100.0,
        burst: fax.burst,
        jitter_ms: fax.jitter,
        delay_ms: fax.delay,
        drift_ppm: fax.drift_ppm,
        snr_db: fax.snr,
        redundancy: fax.redundancy,
        ecm,
        bps: fax.bps,
        runs: fax.runs,
        seed: fax.seed,
    };
    let folder = std::env::temp_dir().join(format!("tipring-lab-{}-{:016x}", std::process::id(), super::clock::seed()));
    if let Err(e) = std::fs::create_dir_all(&folder) {
        return Outcome::Unusable(format!("{}: {e}", folder.display()));
    }
    let before = cpu_seconds();
    let outcome = fax::run(&params, &mut DiskTray { folder: folder.clone() });
    let cpu = cpu_seconds() - before;
    let _left_for_the_system = std::fs::remove_dir_all(&folder);
    let found = match outcome {
        Ok(found) => found,
        Err(e) => return Outcome::Unusable(e.to_string()),
    };
    if fax.json {
        let object = serde_json::json!({
            "runs": found.runs, "completed": found.completed, "pages_sent": found.pages_sent, "pages_identical": found.pages_identical,
            "seconds_p50": found.seconds_p50, "seconds_max": found.seconds_max, "bps_p50": found.bps_p50,
            "virtual_seconds": found.virtual_seconds, "cpu_seconds": cpu, "failures": found.failures,
        });
        println!("{object}");
    } else {
        println!(
            "{} of {} faxes completed, {} of {} pages identical",
            found.completed, found.runs, found.pages_identical, found.pages_sent
        );
        println!("{:.1} s a fax (median; longest {:.1} s), {} bit/s", found.seconds_p50, found.seconds_max, found.bps_p50);
        println!("{:.0} s of virtual time in {cpu:.1} s of CPU", found.virtual_seconds);
        found.failures.iter().for_each(|f| println!("  {f}"));
    }
    if found.completed == found.runs { Outcome::Yes } else { Outcome::No }
}

#[cfg(feature = "spandsp")]
fn cpu_seconds() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// The machines' files, in a folder of their own.
#[cfg(feature = "spandsp")]
struct DiskTray {
    folder: PathBuf,
}

#[cfg(feature = "spandsp")]
impl crate::lab::fax::Tray for DiskTray {
    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }
    fn put(&mut self, tiff: &[u8]) -> std::io::Result<PathBuf> {
        let file = self.folder.join("document.tif");
        std::fs::write(&file, tiff)?;
        Ok(file)
    }
    fn take(&mut self, file: &std::path::Path) -> std::io::Result<Vec<u8>> {
        let bytes = std::fs::read(file)?;
        std::fs::remove_file(file)?;
        Ok(bytes)
    }
}
