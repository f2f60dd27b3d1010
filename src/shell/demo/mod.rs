//! `tipring demo`: the whole product on one machine, in real time, with real processes and real packets.
//!
//! A directory and two gateways on loopback; two phones talk, fax machines send pages, the directory is killed and a call is made
//! without it. Everything is checked: the sound by correlation, the pages pel by pel. What was sent comes from outside (`--page`,
//! `--speech`) or from a seed; what is compared is what the far machine wrote.

pub(super) mod faxes;
mod processes;
mod report;
mod speech;
mod voice;

use super::cli::Outcome;
use super::clock;
use crate::clock::Instant;
use processes::{Ports, Process};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of `tipring demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Folder for WAVs, received pages and the report
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
    /// A fax to send (bilevel TIFF, one or more pages); repeatable, one fax each
    #[arg(long = "page")]
    pages: Vec<PathBuf>,
    /// What the callers say (WAV, 8 kHz)
    #[arg(long)]
    speech: Option<PathBuf>,
    /// Seed of the demo's own pages and speech
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// One thing that the demo did and checked.
pub struct Step {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// It held.
    pub ok: bool,
    /// What, in words.
    pub words: String,
}

/// The story so far: printed as it happens, kept for the report.
pub struct Story {
    started: Instant,
    json: bool,
    steps: std::sync::Mutex<Vec<Step>>,
}

impl Story {
    /// Something that holds, or does not.
    pub fn tell(&self, ok: bool, words: impl Into<String>) {
        let step = Step { at_ms: clock::now().ms_since(self.started), ok, words: words.into() };
        if !self.json {
            println!("{:5.1} s  {}  {}", step.at_ms as f64 / 1000.0, if ok { "ok  " } else { "FAIL" }, step.words);
        }
        self.steps.lock().expect("no thread panics while it tells").push(step);
    }
}

/// What the demo hands to its parts.
pub struct Stage {
    /// Where files for people go.
    pub out: PathBuf,
    /// The demo's own folder in it: states, logs, configurations.
    pub own: PathBuf,
    /// Files of the user that lay there before.
    theirs: Vec<String>,
    /// Of the demo's own inputs.
    pub seed: u64,
    /// The story.
    pub story: Story,
}

/// Runs the demo.
pub(super) async fn run(options: Options) -> Outcome {
    let seed = options.seed.unwrap_or_else(|| clock::seed() % 1_000_000);
    let faxes = match faxes::prepare(&options.pages, seed) {
        Ok(faxes) => faxes,
        Err(why) => return Outcome::Unusable(why),
    };
    let speech = match &options.speech {
        Some(file) => match super::simulate::read_wav(file) {
            Ok(samples) if samples.len() >= 8000 => samples,
            Ok(_) => return Outcome::Unusable(format!("{}: less than a second of sound", file.display())),
            Err(why) => return Outcome::Unusable(why),
        },
        None => speech::make(seed, 4.0),
    };
    if let Err(e) = std::fs::create_dir_all(&options.out) {
        return Outcome::Unusable(format!("{}: {e}", options.out.display()));
    }
    let out = match std::path::absolute(&options.out) {
        Ok(out) => out,
        Err(e) => return Outcome::Unusable(format!("{}: {e}", options.out.display())),
    };
    let inputs: Vec<PathBuf> = options.pages.iter().chain(&options.speech).cloned().collect();
    if let Err(why) = clear(&out, &inputs) {
        return Outcome::Unusable(why);
    }
    let theirs = report::files(&out);
    let stage = Stage {
        own: out.join(OWN),
        theirs,
        out,
        seed,
        story: Story { started: clock::now(), json: options.json, steps: std::sync::Mutex::default() },
    };
    if !options.json {
        println!("tipring {} demo, seed {seed}: one directory and two gateways as processes on 127.0.0.1\n", env!("CARGO_PKG_VERSION"));
    }
    let held = play(&stage, faxes, &speech).await;
    if let Err(why) = &held {
        stage.story.tell(false, why.clone());
    }
    finish(&stage, options.json)
}

/// The demo's own folder in the output folder: states, logs, configurations, and the list of what it wrote beside it.
const OWN: &str = "tipring-demo";
/// The list, in [`OWN`].
const WRITTEN: &str = "written.txt";

/// Removes what an earlier demo wrote here, and nothing else: its own folder, and the files that its list names.
fn clear(out: &std::path::Path, inputs: &[PathBuf]) -> Result<(), String> {
    let own = out.join(OWN);
    let list = own.join(WRITTEN);
    if own.exists() {
        let written =
            std::fs::read_to_string(&list).map_err(|e| format!("{} is not of a demo ({e}); choose another --out", own.display()))?;
        let inputs: Vec<_> = inputs.iter().filter_map(|p| p.canonicalize().ok()).collect();
        for name in written.lines().filter(|n| !n.is_empty() && !n.contains('/')) {
            let file = out.join(name);
            if !file.canonicalize().is_ok_and(|f| inputs.contains(&f)) {
                let _gone_already = std::fs::remove_file(file);
            }
        }
        std::fs::remove_dir_all(&own).map_err(|e| format!("{}: {e}", own.display()))?;
    }
    for folder in ["log", "config"] {
        std::fs::create_dir_all(own.join(folder)).map_err(|e| format!("{}: {e}", own.display()))?;
    }
    std::fs::write(&list, "").map_err(|e| format!("{}: {e}", list.display()))
}

/// Notes what lies in the output folder now, so that the next demo may remove it.
fn note_written(stage: &Stage) -> std::io::Result<()> {
    let names: Vec<String> = report::files(&stage.out).into_iter().filter(|n| !stage.theirs.contains(n)).collect();
    std::fs::write(stage.own.join(WRITTEN), names.join("\n"))
}

async fn play(stage: &Stage, faxes: Vec<faxes::Fax>, speech: &[i16]) -> Result<(), String> {
    let tell = |ok: bool, words: String| stage.story.tell(ok, words);
    let ports = Ports::free()?;
    processes::write_configs(&stage.own.join("config"), &ports)?;
    let mut directory = Process::start("directory", "directory", &stage.own, ports.directory)?;
    directory.up().await?;
    let mut a = Process::start("gateway", "gateway-a", &stage.own, ports.gateways[0].1)?;
    let mut b = Process::start("gateway", "gateway-b", &stage.own, ports.gateways[1].1)?;
    a.up().await?;
    b.up().await?;
    let pid = |p: &Process| p.pid().map_or_else(|| "?".into(), |id| id.to_string());
    tell(
        true,
        format!("three processes up: directory (pid {}), gateway A (pid {}), gateway B (pid {})", pid(&directory), pid(&a), pid(&b)),
    );
    for gateway in [&a, &b] {
        let numbers = registered(gateway).await?;
        tell(true, format!("{} registered its ports at the directory: {}", gateway.name, numbers.join(", ")));
    }

    // The faxes run beside the voice part.
    let fax_part = faxes::send_all(stage, &a, &b, &faxes);
    let voice_part = async {
        voice::call(stage, &a, &b, "phone1", "3001", speech, "first").await?;
        voice::unknown_number(stage, &a).await
    };
    let (faxed, talked) = tokio::join!(fax_part, voice_part);
    if let Err(why) = faxed {
        tell(false, why);
    }
    if let Err(why) = talked {
        tell(false, why);
    }

    directory.kill().await?;
    tell(true, "the directory was killed (SIGKILL)".into());
    voice::call(stage, &a, &b, "phone1", "3001", &speech[..speech.len().min(16_000)], "learned").await?;
    let calls = records(&a);
    let learned = calls.last().is_some_and(|c| c["route"] == "learned" && c["completed"] == true);
    tell(learned, "the call went by the learned route, straight to the peer, with no directory".into());

    let mut directory = Process::start("directory", "directory", &stage.own, ports.directory)?;
    directory.up().await?;
    let kept = registrations(&directory).await?;
    tell(kept.len() == 8, format!("the directory is back and has kept all registrations it had acknowledged: {} of 8", kept.len()));
    a.terminate().await?;
    b.terminate().await?;
    let left = registrations(&directory).await?;
    tell(left.is_empty(), format!("both gateways ended on SIGTERM and took their numbers back: {} registrations left", left.len()));
    directory.terminate().await
}

/// Waits until all four ports of a gateway have their number.
async fn registered(gateway: &Process) -> Result<Vec<String>, String> {
    let mut last = Value::Null;
    for _ in 0..200 {
        last = gateway.get("/v1/status").await?;
        let rows = last["registrations"].as_array().cloned().unwrap_or_default();
        if rows.len() == 4 && rows.iter().all(|r| r["state"] == "registered") {
            return Ok(rows
                .iter()
                .map(|r| format!("{} {}", r["port"].as_str().unwrap_or("?"), r["number"].as_str().unwrap_or("?")))
                .collect());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("{} did not register within 10 s: {}", gateway.name, last["registrations"]))
}

async fn registrations(directory: &Process) -> Result<Vec<Value>, String> {
    let page = directory.get("/v1/registrations").await?;
    let rows = page["registrations"].as_array().cloned().unwrap_or_default();
    // A number that is kept for its terminal, but reached nowhere, is not registered.
    Ok(rows.into_iter().filter(|r| !r["contact"].is_null()).collect())
}

/// A gateway's call records, oldest first.
pub fn records(gateway: &Process) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.state.join("calls.jsonl")).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

fn finish(stage: &Stage, json: bool) -> Outcome {
    let report = report::write(stage).and_then(|()| note_written(stage));
    let steps = stage.story.steps.lock().expect("no thread panics while it tells");
    let ok = steps.iter().all(|s| s.ok) && report.is_ok();
    let seconds = steps.last().map_or(0.0, |s| s.at_ms as f64 / 1000.0);
    let files = report::files(&stage.out);
    if json {
        let rows: Vec<Value> = steps.iter().map(|s| json!({"t": s.at_ms as f64 / 1000.0, "ok": s.ok, "what": s.words})).collect();
        println!(
            "{}",
            json!({"ok": ok, "seed": stage.seed, "seconds": seconds, "steps": rows, "out": stage.out.display().to_string(), "files": files})
        );
    } else {
        println!(
            "\n{} in {seconds:.0} s. Sound, pages and the report are in {}",
            if ok { "Everything held" } else { "NOT everything held" },
            stage.out.display()
        );
        println!("  {}", files.join("  "));
    }
    if let Err(why) = report {
        eprintln!("the report could not be written: {why}");
    }
    if ok { Outcome::Yes } else { Outcome::No }
}
