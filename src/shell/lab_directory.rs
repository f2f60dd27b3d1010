//! `tipring lab directory`: how many machines a city takes ([`crate::lab::city`]), found by trying one, two, four and so on.

use super::cli::Outcome;
use crate::lab::city::{self, Cost, Params, Report, Scene, TERMINALS_MAX};
use serde_json::{Value, json};

/// The largest number of machines that is tried.
const MACHINES_MAX: u32 = 64;

/// Options of `lab directory`.
#[derive(clap::Args)]
pub struct LabDirectory {
    /// Terminals that come and go
    #[arg(long, default_value_t = 100_000)]
    terminals: u32,
    /// everyday, power-cut, power-cut-expired, or all three
    #[arg(long, default_value = "all")]
    scene: String,
    /// Cores of one machine
    #[arg(long, default_value_t = 1)]
    cores: u32,
    /// Only this number of machines. Without it: 1, 2, 4 .. until more do not help
    #[arg(long)]
    machines: Option<u32>,
    /// CPU of a REGISTER with its challenge, us
    #[arg(long, default_value_t = 30)]
    register_us: u64,
    /// What a commit takes, ms
    #[arg(long, default_value_t = 4.0)]
    commit_ms: f64,
    /// And for each record in it, us
    #[arg(long, default_value_t = 8)]
    commit_us_per_record: u64,
    /// All come back within this time after the power cut, s
    #[arg(long, default_value_t = 60)]
    window_s: u64,
    /// SIP phones among the terminals, percent; the others are gateways
    #[arg(long, default_value_t = 50)]
    phones: u32,
    /// Decides everything by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(asked: &LabDirectory) -> Outcome {
    let scenes = match asked.scene.as_str() {
        "all" => vec![Scene::Everyday, Scene::PowerCut, Scene::PowerCutExpired],
        "everyday" => vec![Scene::Everyday],
        "power-cut" => vec![Scene::PowerCut],
        "power-cut-expired" => vec![Scene::PowerCutExpired],
        other => return Outcome::Unusable(format!("--scene {other:?} is none of everyday, power-cut, power-cut-expired, all")),
    };
    if asked.terminals == 0 || asked.terminals > TERMINALS_MAX || asked.phones > 100 || !(1..=3600).contains(&asked.window_s) {
        return Outcome::Unusable(format!("--terminals is 1 to {TERMINALS_MAX}, --phones 0 to 100, --window-s 1 to 3600"));
    }
    let counts = |n: Option<u32>| n.is_none_or(|n| (1..=MACHINES_MAX).contains(&n));
    if !counts(Some(asked.cores)) || !counts(asked.machines) || !(2..=1_000_000).contains(&asked.register_us) {
        return Outcome::Unusable(format!("--cores and --machines are 1 to {MACHINES_MAX}, --register-us 2 to 1000000"));
    }
    if !(0.0..=60_000.0).contains(&asked.commit_ms) || asked.commit_us_per_record > 1_000_000 {
        return Outcome::Unusable("--commit-ms is 0 to 60000, --commit-us-per-record 0 to 1000000".into());
    }
    let mut all_well = true;
    let mut found = Vec::new();
    for scene in scenes {
        let runs = search(asked, scene);
        all_well &= runs.last().is_some_and(|(_, r)| scene == Scene::Everyday || r.all_s.is_some());
        if !asked.json {
            tell(asked, scene, &runs);
        }
        found.push(scene_json(scene, &runs));
    }
    if asked.json {
        let object = json!({
            "terminals": asked.terminals, "cores": asked.cores, "register_us": asked.register_us, "commit_ms": asked.commit_ms,
            "commit_us_per_record": asked.commit_us_per_record, "window_s": asked.window_s, "phones_percent": asked.phones,
            "seed": asked.seed, "process_bytes_per_terminal": peak_bytes().map(|b| b / u64::from(asked.terminals)), "scenes": found,
        });
        println!("{object}");
    } else if let Some(bytes) = peak_bytes() {
        println!(
            "{} bytes a terminal at most, of this whole process: its row and account, and its simulation",
            bytes / u64::from(asked.terminals)
        );
    }
    if all_well { Outcome::Yes } else { Outcome::No }
}

/// One run, or several with more machines each until the last terminal is registered as soon as it is back.
fn search(asked: &LabDirectory, scene: Scene) -> Vec<(u32, Report)> {
    let mut runs = Vec::new();
    let mut machines = asked.machines.unwrap_or(1);
    while machines <= MACHINES_MAX {
        let cost = Cost {
            cores: asked.cores,
            register_us: asked.register_us,
            commit_us: (asked.commit_ms * 1000.0) as u64,
            commit_us_per_record: asked.commit_us_per_record,
        };
        let (window_s, seed) = (asked.window_s, asked.seed);
        let params = Params { scene, terminals: asked.terminals, phones_percent: asked.phones, machines, cost, window_s, seed };
        let report = city::run(&params);
        let more_help = scene != Scene::Everyday && !within(&report, asked.window_s as f64 + 1.0);
        runs.push((machines, report));
        if asked.machines.is_some() || !more_help {
            break;
        }
        machines *= 2;
    }
    runs
}

fn within(report: &Report, seconds: f64) -> bool {
    report.all_s.is_some_and(|s| s <= seconds)
}

fn word(scene: Scene) -> &'static str {
    match scene {
        Scene::Everyday => "everyday",
        Scene::PowerCut => "power-cut",
        Scene::PowerCutExpired => "power-cut-expired",
    }
}

/// The fewest machines tried with which all were registered so soon.
fn fewest(runs: &[(u32, Report)], seconds: f64) -> Option<u32> {
    runs.iter().find(|(_, r)| within(r, seconds)).map(|(n, _)| *n)
}

fn scene_json(scene: Scene, runs: &[(u32, Report)]) -> Value {
    let run = |(machines, r): &(u32, Report)| {
        let c = &r.machines;
        json!({
            "machines": machines, "registered": r.registered.0, "returns": r.registered.1, "half_s": r.half_s, "p99_s": r.most_s, "all_s": r.all_s,
            "wait_p50_s": r.wait_s[0], "wait_p99_s": r.wait_s[1], "wait_max_s": r.wait_s[2], "served": c.served, "granted": c.granted,
            "unavailable": c.unavailable, "lost": c.lost, "repeats": c.repeats, "stale": c.stale, "refused": c.refused,
            "retransmissions": r.retransmissions, "abandoned": r.abandoned, "queue_highest": c.queue_highest,
            "store_highest": c.store_highest, "commits": c.commits, "busy": r.busy, "busy_peak": r.busy_peak, "rows": r.rows,
            "rows_before": r.rows_before, "virtual_s": r.virtual_s, "terminal_bytes": r.terminal_bytes,
        })
    };
    json!({
        "scene": word(scene), "machines_for_60_s": fewest(runs, 60.0), "machines_for_90_s": fewest(runs, 90.0),
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}

fn tell(asked: &LabDirectory, scene: Scene, runs: &[(u32, Report)]) {
    println!("{}: {} terminals, {} us a REGISTER, {} core(s) a machine", word(scene), asked.terminals, asked.register_us, asked.cores);
    for (machines, r) in runs {
        let s = |t: Option<f64>| t.map_or("never".to_owned(), |t| format!("{t:.2} s"));
        let c = &r.machines;
        println!(
            "  {machines} machine(s): 50 % after {}, 99 % {}, all {} ({} of {}); own wait {:.2} / {:.2} / {:.2} s (median, 99 %, longest)",
            s(r.half_s),
            s(r.most_s),
            s(r.all_s),
            r.registered.0,
            r.registered.1,
            r.wait_s[0],
            r.wait_s[1],
            r.wait_s[2]
        );
        println!(
            "    {} served, {} granted, {} x 503, {} lost, {} repeated, {} abandoned, {} stale; queue {}, store {}, {} commits; busy {:.1} % (peak {:.1} %)",
            c.served,
            c.granted,
            c.unavailable,
            c.lost,
            r.retransmissions,
            r.abandoned,
            c.stale,
            c.queue_highest,
            c.store_highest,
            c.commits,
            100.0 * r.busy,
            100.0 * r.busy_peak
        );
    }
    if scene != Scene::Everyday {
        let n = |s| fewest(runs, s).map_or("not reached".to_owned(), |n| n.to_string());
        println!("  machines for all within 60 s: {}; within 90 s: {}", n(60.0), n(90.0));
    }
}

/// The most memory this process has had, in bytes.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}
