//! The whole from outside: real `tipring` processes on loopback in real time, driven as a person would (`tipring sim`), judged by what the
//! simulated machines heard, what was recorded, and what the call records say. Waits are polls with a bound; nothing is proven by a sleep.

#![cfg(all(feature = "shell", feature = "spandsp"))]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

#[path = "gateway/bound.rs"]
mod bound;
#[path = "gateway/configuration.rs"]
mod configuration;
#[path = "gateway/enrolment.rs"]
mod enrolment;
#[path = "gateway/terminals.rs"]
mod terminals;

use serde_json::Value;
use std::cell::RefCell;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tipring::clock::Rng;
use tipring_dsp::page::{self, chart::Letter, tiff};
use tipring_hw::wav::{self, Coding};

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, &mut look)
}

fn until_within<T>(limit: Duration, what: &str, look: &mut dyn FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {} s in vain for: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// The first of 64 ports that nobody uses now, below the range from which the system hands out its own.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 150) as u16;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < 180, "no 64 free ports on loopback");
        let base = 20_000 + (begin + n) % 180 * 64;
        let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..base + 64).all(free) {
            return base;
        }
    }
}

/// A folder of one test, gone with it unless it failed.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tipring-gw-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the test's folder can be written");
        path
    }
    fn tipring(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).env("TIPRING_STATE", &self.0).env_remove("TIPRING_CONFIG").stdin(Stdio::null());
        command.output().expect("tipring runs")
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept: {}", self.0.display());
        } else {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// One daemon: its configuration, its process while it runs, its log.
struct Daemon<'f> {
    folder: &'f Folder,
    verb: &'static str,
    name: String,
    config: PathBuf,
    ports: u16,
    process: RefCell<Option<Child>>,
}

impl<'f> Daemon<'f> {
    fn start(&self) -> &Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_tipring"))
            .args([self.verb, "--config"])
            .arg(&self.config)
            .env("TIPRING_STATE", &self.folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("tipring runs");
        *self.process.borrow_mut() = Some(child);
        let up = if self.verb == "gateway" { "status" } else { "registrations" };
        until(&format!("{} is up", self.name), || self.ask(&[up]).status.success().then_some(()));
        self
    }
    fn log_path(&self) -> PathBuf {
        self.folder.0.join(format!("{}.log", self.name))
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
    fn signal(&self, signal: &str) -> std::process::ExitStatus {
        let mut child = self.process.borrow_mut().take().expect("it runs");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        until_within(Duration::from_secs(10), &format!("{} ends", self.name), &mut || child.try_wait().expect("our child"))
    }
    fn ask(&self, args: &[&str]) -> Output {
        let config = self.config.to_str().expect("a plain path");
        self.folder.tipring(&[args, &["--json", "--config", config]].concat())
    }
    fn json(&self, args: &[&str]) -> Value {
        let out = self.ask(args);
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{} {args:?}: {e}: {}", self.name, String::from_utf8_lossy(&out.stderr)))
    }
    /// Does what a person at a port would do.
    fn sim(&self, args: &[&str]) {
        let out = self.ask(&[&["sim"], args].concat());
        assert!(out.status.success(), "{} sim {args:?}: {}", self.name, String::from_utf8_lossy(&out.stderr));
    }
    fn notes(&self, port: &str) -> Vec<(u64, String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        let rows = self.json(&["sim", port, "notes"]);
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().map(|n| (n["seq"].as_u64().expect("a number"), text(&n["what"]), text(&n["detail"]))).collect()
    }
    /// Notes from here on are new.
    fn mark(&self, port: &str) -> u64 {
        self.notes(port).last().map_or(0, |n| n.0 + 1)
    }
    /// Waits for a note of `what` since `mark` (for a tone: its start).
    fn noticed(&self, port: &str, mark: u64, what: &str) -> String {
        self.noticed_within(PATIENCE, port, mark, what)
    }
    fn noticed_within(&self, limit: Duration, port: &str, mark: u64, what: &str) -> String {
        until_within(limit, &format!("{what} at {} {port}; log:\n{}", self.name, self.log()), &mut || {
            self.notes(port).into_iter().find(|(seq, w, detail)| *seq >= mark && w == what && detail != "stopped").map(|n| n.2)
        })
    }
    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.0.join(&self.name).join("calls.jsonl")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).expect("a record is JSON")).collect()
    }
    fn record(&self, n: usize) -> Value {
        until(&format!("record {n} of {}; log:\n{}", self.name, self.log()), || self.records().get(n).cloned())
    }
    fn all_idle(&self) {
        until(&format!("all ports of {} idle: {}", self.name, self.json(&["ports"])), || {
            let (ports, calls) = (self.json(&["ports"]), self.json(&["calls"]));
            let idle = ports.as_array().expect("a list").iter().all(|p| p["state"] == "idle" && p["call"].is_null());
            (idle && calls.as_array().expect("a list").is_empty()).then_some(())
        });
    }
    /// Lifts, waits for dial tone by ear, dials.
    fn dial(&self, port: &str, number: &str) -> u64 {
        let mark = self.mark(port);
        self.sim(&[port, "off-hook"]);
        self.noticed(port, mark, "dial-tone");
        self.sim(&[port, "dial", number]);
        mark
    }
    /// Hangs up, and leaves the receiver on its hook until the gateway has seen more than a flash in it.
    fn hang_up(&self, port: &str) {
        self.sim(&[port, "on-hook"]);
        until(&format!("{} {port} is on hook", self.name), || {
            let ports = self.json(&["ports"]);
            ports.as_array().expect("a list").iter().any(|p| p["name"] == port && p["state"] == "idle").then_some(())
        });
    }
    fn registered(&self) -> &Self {
        until(&format!("{} is registered", self.name), || {
            let status = self.json(&["status"]);
            status["registrations"].as_array().expect("a list").iter().all(|r| r["state"] == "registered").then_some(())
        });
        self
    }
    fn media(&self) -> u16 {
        self.ports + 32
    }
}
impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.borrow_mut().take() {
            let _dead = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, self.log());
        }
    }
}

const ACCOUNTS: &str = "2001,pw2001\n2002,pw2002\n2003,pw2003\n3001,pw3001\n3002,pw3002\n3003,pw3003\n";

fn directory(folder: &Folder) -> Daemon<'_> {
    let ports = free_ports();
    folder.write("accounts.csv", ACCOUNTS);
    let text = format!(
        "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\nlisten = \"127.0.0.1:{ports}\"\n[registration]\nlease_default_s = 60\nlease_min_s = 2\n[lookup]\ncredentials = \"accounts\"\n[accounts]\nfile = \"accounts.csv\"\n"
    );
    let config = folder.write("lan.toml", &text);
    Daemon { folder, verb: "directory", name: "lan".into(), config, ports, process: RefCell::new(None) }
}

/// What a gateway is made of; the rest is the same for all.
#[derive(Default)]
struct Plan<'a> {
    name: &'a str,
    directory: Option<u16>,
    lease_s: u32,
    /// Name, kind, number, more lines.
    ports: &'a [(&'a str, &'a str, &'a str, &'a str)],
    media: &'a str,
    line: &'a str,
    emergency: &'a str,
    password: Option<&'a str>,
    /// More lines of `[directory]`.
    at_directory: &'a str,
}

fn gateway<'f>(folder: &'f Folder, plan: &Plan) -> Daemon<'f> {
    let ports = free_ports();
    let Plan { name, media, line, emergency, .. } = plan;
    let mut text = format!(
        "[sip]\nlisten = \"127.0.0.1:{ports}\"\n[api]\nlisten = \"127.0.0.1:{}\"\n[media]\nports = [{}, {}]\n{media}\n[line]\n{line}\n[emergency]\n{emergency}\n",
        ports + 1,
        ports + 32,
        ports + 63
    );
    if let Some(api) = plan.directory {
        let lease_s = if plan.lease_s == 0 { 60 } else { plan.lease_s };
        text += &format!("[directory]\napi = \"127.0.0.1:{api}\"\nlookup_timeout_ms = 1000\nlease_s = {lease_s}\n{}\n", plan.at_directory);
    }
    for (port, kind, number, more) in plan.ports {
        text += &format!("[[port]]\nname = \"{port}\"\nkind = \"{kind}\"\nnumber = \"{number}\"\n{more}\n");
        if plan.directory.is_some() {
            text += &format!("password = \"{}\"\n", plan.password.map_or(format!("pw{number}"), str::to_owned));
        }
    }
    let config = folder.write(&format!("{name}.toml"), &text);
    Daemon { folder, verb: "gateway", name: (*name).into(), config, ports, process: RefCell::new(None) }
}

/// Something like speech: syllables of a wandering pitch and its harmonics, pauses between, from a seed.
fn speech(seed: u64, seconds: usize) -> Vec<i16> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(seconds * 8000);
    let mut phase = 0f64;
    while out.len() < seconds * 8000 {
        let (length, pitch, glide) = (800 + rng.below(1600) as usize, 90.0 + rng.unit() * 130.0, 1.0 + (rng.unit() - 0.5) * 0.4);
        let formants: Vec<f64> = [500.0, 1500.0, 2500.0].iter().map(|f| f * (0.6 + 0.8 * rng.unit())).collect();
        for i in 0..length {
            let x = i as f64 / length as f64;
            let hz = pitch * (1.0 + (glide - 1.0) * x);
            phase += hz / 8000.0;
            let harmonics = (1..20).map(|k| k as f64).take_while(|k| k * hz < 3300.0);
            let voice: f64 = harmonics
                .map(|k| {
                    (std::f64::consts::TAU * k * phase).sin()
                        * formants.iter().map(|f| (-((k * hz - f) / 250.0).powi(2)).exp()).sum::<f64>()
                })
                .sum();
            out.push((voice * 2500.0 * (std::f64::consts::PI * x).sin()) as i16);
        }
        out.extend(std::iter::repeat_n(0i16, 200 + rng.below(900) as usize));
    }
    out.truncate(seconds * 8000);
    out
}

fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let sum = |x: &[i16], y: &[i16]| x.iter().zip(y).map(|(p, q)| f64::from(*p) * f64::from(*q)).sum::<f64>();
    let power = (sum(a, a) * sum(b, b)).sqrt();
    if power == 0.0 { 0.0 } else { sum(a, b) / power }
}

/// How well `said` is found in `heard`: aligned by the half second in the middle, then each half second where it is best within 60 ms of
/// that (playout grows and shrinks on a busy machine), averaged by power.
fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    const PIECE: usize = 4000;
    let at = |from: usize, piece: &[i16]| heard.get(from..from + PIECE).map_or(0.0, |h| correlation(piece, h));
    let middle = said.len() / 2;
    let probe = &said[middle..middle + PIECE];
    let last = heard.len().saturating_sub(PIECE);
    let found = (0..=last).map(|from| (from, at(from, probe))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |b| b.0);
    let (mut total, mut weight) = (0.0, 0.0);
    for (i, piece) in said.chunks_exact(PIECE).enumerate() {
        let expected = (found + i * PIECE) as i64 - middle as i64;
        let near = (expected - 480..=expected + 480).filter_map(|from| usize::try_from(from).ok());
        let best = near.map(|from| at(from, piece)).fold(0.0, f64::max);
        let power: f64 = piece.iter().map(|s| f64::from(*s).powi(2)).sum();
        total += best * power;
        weight += power;
    }
    total / weight
}

/// `from` speaks, `to` records; the likeness of the two.
fn say(folder: &Folder, from: (&Daemon, &str), to: (&Daemon, &str), seed: u64, seconds: usize) -> f64 {
    let said = speech(seed, seconds);
    let spoken = folder.0.join(format!("said-{seed}.wav"));
    let recorded = folder.0.join(format!("heard-{seed}.wav"));
    std::fs::write(&spoken, wav::emit(&said, Coding::Pcm16)).expect("a recording");
    let (from_mark, to_mark) = (from.0.mark(from.1), to.0.mark(to.1));
    to.0.sim(&[to.1, "record", recorded.to_str().expect("a plain path")]);
    from.0.sim(&[from.1, "play", spoken.to_str().expect("a plain path")]);
    from.0.noticed(from.1, from_mark, "played");
    // The last of it is still on its way through the jitter buffer: as much again as it may hold, by the recording's own clock.
    let enough = Instant::now() + Duration::from_millis(400);
    until("the tail of the speech", || (Instant::now() > enough).then_some(()));
    to.0.sim(&[to.1, "stop-recording"]);
    to.0.noticed(to.1, to_mark, "recorded");
    let heard = wav::parse(&std::fs::read(&recorded).expect("the recording")).expect("a WAV file");
    let likeness = likeness(&said, &heard);
    println!("{} {} -> {} {}: correlation {likeness:.4} (seed {seed})", from.0.name, from.1, to.0.name, to.1);
    likeness
}

fn seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64 % 1_000_000_007
}

const PHONES_A: &[(&str, &str, &str, &str)] = &[("phone1", "sim-phone", "2001", ""), ("phone2", "sim-phone", "2002", "")];
const PHONES_B: &[(&str, &str, &str, &str)] = &[("phone1", "sim-phone", "3001", "")];

#[test]
fn req_k1_k3_k4_k6_a1_a2_a3_c9_c10_a_phone_calls_another_gateways_phone_and_the_route_outlives_the_directory() {
    let folder = Folder::new("voice");
    let lan = directory(&folder);
    lan.start();
    let a = gateway(&folder, &Plan { name: "a", directory: Some(lan.ports), ports: PHONES_A, ..Plan::default() });
    let b = gateway(&folder, &Plan { name: "b", directory: Some(lan.ports), ports: PHONES_B, ..Plan::default() });
    a.start();
    b.start();
    a.registered();
    b.registered();
    assert!(a.json(&["routes"]).as_array().expect("a list").is_empty());

    // Dialled by DTMF, found through the directory, rung, answered, spoken both ways.
    let rung = b.mark("phone1");
    a.dial("phone1", "3001");
    b.noticed("phone1", rung, "ringing");
    b.noticed("phone1", rung, "off-hook");
    let seed = seed();
    let there = say(&folder, (&a, "phone1"), (&b, "phone1"), seed, 4);
    let back = say(&folder, (&b, "phone1"), (&a, "phone1"), seed + 1, 4);
    assert!(there > 0.9 && back > 0.9, "there {there:.3}, back {back:.3}");
    a.hang_up("phone1");
    b.noticed("phone1", rung, "reorder-tone");
    b.hang_up("phone1");
    let (placed, taken) = (a.record(0), b.record(0));
    assert_eq!((&placed["from"], &placed["to"], &placed["route"]), (&"2001".into(), &"3001".into(), &"directory".into()), "{placed}");
    assert_eq!((&taken["direction"], &taken["from"], &taken["completed"]), (&"incoming".into(), &"2001".into(), &true.into()), "{taken}");
    for record in [&placed, &taken] {
        assert_eq!((&record["completed"], &record["audio"]["codec"]), (&true.into(), &"PCMU".into()), "{record}");
        assert!(record["audio"]["received"].as_u64() > Some(300) && record["audio"]["loss_pct"].as_f64() < Some(1.0), "{record}");
        assert!(record["seconds"].as_f64() > Some(8.0), "{record}");
    }
    a.all_idle();
    b.all_idle();

    // address and identifier were stored.
    let routes = a.json(&["routes"]);
    assert_eq!(routes[0]["number"], "3001");
    assert_eq!(routes[0]["contact"], format!("127.0.0.1:{}", b.ports));
    assert!(routes[0]["fingerprint"].as_str().is_some_and(|f| f.len() >= 64), "{routes}");

    // directly, with the directory dead; and so after a restart of the caller.
    lan.signal("-KILL");
    for restarted in [false, true] {
        if restarted {
            assert!(a.signal("-TERM").success());
            a.start();
        }
        let rung = b.mark("phone1");
        a.dial("phone2", "3001");
        b.noticed("phone1", rung, "off-hook");
        until("the call is up at a", || (a.json(&["calls"])[0]["state"] == "up").then_some(()));
        a.hang_up("phone2");
        b.noticed("phone1", rung, "reorder-tone");
        b.hang_up("phone1");
        let record = a.record(1 + usize::from(restarted));
        assert_eq!((&record["route"], &record["completed"]), (&"learned".into(), &true.into()), "{record}");
    }
    a.all_idle();
    b.all_idle();
}

#[test]
fn req_c2_c4_c5_c6_ports_register_leave_come_back_and_a_wrong_password_gets_nowhere() {
    let folder = Folder::new("register");
    let lan = directory(&folder);
    lan.start();
    let a = gateway(&folder, &Plan { name: "a", directory: Some(lan.ports), lease_s: 4, ports: PHONES_A, ..Plan::default() });
    a.start().registered();
    let listed = || -> Vec<(String, String, i64)> {
        let rows = lan.json(&["registrations"]);
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        // The table keeps a row for a number it knows, blank while it is off (C-2).
        let rows = rows.as_array().expect("a list").iter().filter(|r| !r["contact"].is_null());
        rows.map(|r| (text(&r["number"]), text(&r["contact"]), r["expires_in_s"].as_i64().unwrap_or(-1))).collect()
    };
    let at = format!("127.0.0.1:{}", a.ports);
    let both =
        || listed().iter().map(|r| (r.0.clone(), r.1 == at)).collect::<Vec<_>>() == [("2001".to_owned(), true), ("2002".to_owned(), true)];
    assert!(both(), "{:?}", listed());

    // Killed and started again, the directory still knows them, and they keep refreshing: longer than one lease later they stand.
    lan.signal("-KILL");
    lan.start();
    assert!(both(), "{:?}", listed());
    let later = Instant::now() + Duration::from_millis(4500);
    until("a lease has gone by", || {
        assert!(both(), "{:?}; {}", listed(), a.log());
        (Instant::now() > later).then_some(())
    });
    a.registered();

    // A gateway with a wrong password: refused, said once a burst however many ports and tries, nothing learned.
    let wrong = Plan {
        name: "wrong",
        directory: Some(lan.ports),
        ports: &[("p1", "sim-phone", "3001", ""), ("p2", "sim-phone", "3002", "")],
        password: Some("no"),
        ..Plan::default()
    };
    let b = gateway(&folder, &wrong);
    b.start();
    until("the refusal stands in the status", || {
        let status = b.json(&["status"]);
        let rows = status["registrations"].as_array().expect("a list");
        rows.iter().all(|r| r["state"].as_str().is_some_and(|s| s.starts_with("not registered"))).then_some(())
    });
    // Started over and over: more tries of the same two users, no more lines.
    for _ in 0..2 {
        b.signal("-KILL");
        b.start();
        let mark = b.log().matches("gateway wrong up").count();
        until("refused again", || (b.log().matches("not registered").count() >= 2 * mark).then_some(()));
    }
    assert_eq!(b.log().matches("not registered").count(), 6, "once a port and start:\n{}", b.log());
    let said = lan.log().lines().filter(|l| l.contains("WARN") && l.contains("log-in failed")).count();
    // Both users failed from one source; the line of the first says so for both (one line a source and minute).
    assert_eq!(said, 1, "once a source and minute:\n{}", lan.log());
    assert!(both(), "{:?}", listed());
    assert!(!a.ask(&["lookup", "3001"]).status.success());

    // SIGTERM gives the numbers back.
    assert!(a.signal("-TERM").success());
    until("the numbers are gone", || listed().is_empty().then_some(()));
    a.start().registered();
    assert!(both(), "{:?}", listed());
}

#[test]
fn req_k1_busy_unknown_absent_and_unanswered_numbers_are_told_by_ear_and_leave_nothing_behind() {
    let folder = Folder::new("tones");
    let lan = directory(&folder);
    lan.start();
    let a = gateway(&folder, &Plan { name: "a", directory: Some(lan.ports), ports: PHONES_A, ..Plan::default() });
    let silent: &[(&str, &str, &str, &str)] = &[("phone1", "sim-phone", "3001", "answer_rings = 0")];
    let b = gateway(&folder, &Plan { name: "b", directory: Some(lan.ports), ports: silent, line: "no_answer_s = 3", ..Plan::default() });
    a.start();
    b.start();
    a.registered();
    b.registered();
    let call = |port: &str, number: &str, tone: &str, result: &str, n: usize| {
        let mark = a.dial(port, number);
        a.noticed(port, mark, tone);
        a.hang_up(port);
        let record = a.record(n);
        assert_eq!((&record["completed"], record["result"].as_str()), (&false.into(), Some(result)), "{record}");
    };
    // Nobody answers: the called gateway gives up after its limit.
    let mark = b.mark("phone1");
    call("phone1", "3001", "reorder-tone", "it rang, nobody answered", 0);
    b.noticed("phone1", mark, "ringing");
    b.noticed("phone1", mark, "ringing-stopped");
    // Busy: the called phone is off hook.
    b.sim(&["phone1", "off-hook"]);
    b.noticed("phone1", mark, "dial-tone");
    call("phone1", "3001", "busy-tone", "the called line is busy", 1);
    b.hang_up("phone1");
    // No such number; a number whose terminal is not registered.
    call("phone1", "7777", "reorder-tone", "no such number", 2);
    call("phone2", "3002", "reorder-tone", "nobody is registered for this number now", 3);
    a.all_idle();
    b.all_idle();
    assert_eq!(a.json(&["status"])["media"]["events_lost"], 0);
}

#[test]
fn req_k1_when_the_called_gateway_dies_in_the_middle_the_caller_is_told_and_freed() {
    let folder = Folder::new("killed");
    let a = gateway(&folder, &Plan { name: "a", ports: PHONES_A, media: "watchdog_s = 2", ..Plan::default() });
    let b = gateway(&folder, &Plan { name: "b", ports: PHONES_B, ..Plan::default() });
    a.start();
    b.start();
    // Without a directory: a route by hand.
    assert!(a.ask(&["routes", "add", "3001", &format!("127.0.0.1:{}", b.ports)]).status.success());
    let rung = b.mark("phone1");
    let mark = a.dial("phone1", "3001");
    b.noticed("phone1", rung, "off-hook");
    until("the call is up", || (a.json(&["calls"])[0]["state"] == "up").then_some(()));
    b.signal("-KILL");
    a.noticed("phone1", mark, "reorder-tone");
    a.hang_up("phone1");
    let record = a.record(0);
    assert!(record["result"].as_str().is_some_and(|r| r.starts_with("nothing came from the network for 2")), "{record}");
    a.all_idle();
    // And the next call finds it dead, says so, and ends.
    let mark = a.dial("phone1", "3001");
    a.noticed_within(Duration::from_secs(40), "phone1", mark, "reorder-tone");
    a.hang_up("phone1");
    assert_eq!(a.record(1)["completed"], false);
    a.all_idle();
}

#[test]
fn req_k1_garbage_on_every_port_is_counted_and_the_call_goes_on() {
    let folder = Folder::new("garbage");
    let a = gateway(&folder, &Plan { name: "a", ports: PHONES_A, ..Plan::default() });
    let b = gateway(&folder, &Plan { name: "b", ports: PHONES_B, ..Plan::default() });
    a.start();
    b.start();
    assert!(a.ask(&["routes", "add", "3001", &format!("127.0.0.1:{}", b.ports)]).status.success());
    let rung = b.mark("phone1");
    a.dial("phone1", "3001");
    b.noticed("phone1", rung, "off-hook");
    until("the call is up", || (a.json(&["calls"])[0]["state"] == "up").then_some(()));
    let seed = seed();
    println!("garbage from seed {seed}");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let likeness = std::thread::scope(|scope| {
        let (sip, media, stopped) = (b.ports, b.media(), &stop);
        scope.spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let mut rng = Rng::new(seed);
            let mut bytes = [0u8; 600];
            for n in 0..10_000u16 {
                bytes.iter_mut().for_each(|b| *b = rng.next_u64() as u8);
                let len = rng.below(600) as usize;
                let (head, port): (&[u8], u16) = match n % 8 {
                    0 => (b"INVITE sip:3001@x SIP/2.0\r\n", sip),
                    1 => (b"", sip),
                    // A likely RTP header, RTCP, UDPTL, and nothing of the kind.
                    2 => (&[0x80, 0], media),
                    3 => (&[0x80, 200, 0, 6], media + 1),
                    4 => (&[0, 1, 2], media + 2),
                    _ => (b"", media + rng.below(32) as u16),
                };
                bytes[..head.len()].copy_from_slice(head);
                let _refused = socket.send_to(&bytes[..len.max(head.len())], ("127.0.0.1", port));
                // 5,000 a second: more than any call brings, and no flood that the kernel drops.
                if n % 10 == 9 {
                    std::thread::sleep(Duration::from_millis(2));
                }
                if stopped.load(Ordering::Relaxed) && n > 9000 {
                    break;
                }
            }
        });
        let likeness = say(&folder, (&a, "phone1"), (&b, "phone1"), seed, 4);
        stop.store(true, Ordering::Relaxed);
        likeness
    });
    assert!(likeness > 0.9, "{likeness:.3}");
    a.hang_up("phone1");
    b.noticed("phone1", rung, "reorder-tone");
    b.hang_up("phone1");
    let (record, status) = (b.record(0), b.json(&["status"]));
    assert_eq!(record["completed"], true, "{record}");
    let audio = &record["audio"];
    let dropped: u64 = ["garbage", "foreign", "srtp_dropped"].iter().filter_map(|k| audio[k].as_u64()).sum();
    assert!(dropped > 500, "{audio}");
    assert!(status["sip_garbage"].as_u64() > Some(1000), "{status}");
    assert!(status["media"]["stray_datagrams"].as_u64() > Some(100), "{status}");
    b.all_idle();
}

#[test]
fn req_k1_a_full_call_table_refuses_with_busy_and_an_emergency_call_is_placed_all_the_same() {
    let folder = Folder::new("full");
    let ports: &[(&str, &str, &str, &str)] =
        &[("phone1", "sim-phone", "2001", ""), ("phone2", "sim-phone", "2002", ""), ("desk", "sim-phone", "2003", "")];
    let a = gateway(&folder, &Plan { name: "a", ports, line: "calls_max = 1", emergency: "target = \"port:desk\"", ..Plan::default() });
    a.start();
    // The only place in the table is taken by a call to the echo service.
    a.dial("phone1", "9000");
    until("the echo answers", || (a.json(&["calls"])[0]["state"] == "up").then_some(()));
    let mark = a.dial("phone2", "2003");
    a.noticed("phone2", mark, "busy-tone");
    assert!(a.log().contains("2003 refused, the call table is full"), "{}", a.log());
    a.hang_up("phone2");
    // 911 is dialled at once, takes the place of the ordinary call, and rings the desk.
    let (mark, desk) = (a.mark("phone1"), a.mark("desk"));
    a.dial("phone2", "911");
    a.noticed("desk", desk, "off-hook");
    a.noticed("phone1", mark, "reorder-tone");
    until("the emergency call is up", || {
        let calls = a.json(&["calls"]);
        (calls[0]["to"] == "911" && calls[0]["state"] == "up").then_some(())
    });
    assert_eq!(a.record(0)["result"], "ended to make room for an emergency call");
    ["phone1", "phone2", "desk"].iter().for_each(|p| a.hang_up(p));
    assert_eq!(a.record(1)["route"], "emergency");
    a.all_idle();
    assert!(a.json(&["routes"]).as_array().expect("a list").is_empty(), "never learned");
}

/// An 8-bit grey TIFF, as a scanner makes it, with one strip.
fn grey_tiff(columns: u32, rows: u32) -> Vec<u8> {
    let pels = columns * rows;
    let mut out = b"II*\0".to_vec();
    out.extend((8 + pels).to_le_bytes());
    out.extend((0..pels).map(|i| i as u8));
    let fields: [(u16, u16, u32); 9] = [
        (256, 4, columns),
        (257, 4, rows),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, rows),
        (279, 4, pels),
    ];
    out.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, value) in fields {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    out
}

#[test]
fn req_b2_k1_k3_a_page_arrives_pel_by_pel_over_t38_and_what_is_no_page_is_refused_before_the_call() {
    let folder = Folder::new("fax");
    let fax = |number: &'static str| [("fax1", "sim-fax", number, "")];
    let a = gateway(&folder, &Plan { name: "a", ports: &fax("2003"), ..Plan::default() });
    let b = gateway(&folder, &Plan { name: "b", ports: &fax("3003"), ..Plan::default() });
    a.start();
    b.start();
    assert!(a.ask(&["routes", "add", "3003", &format!("127.0.0.1:{}", b.ports)]).status.success());

    let wrong: [(&str, Vec<u8>); 3] = [("grey.tif", grey_tiff(1728, 20)), ("text.tif", b"Dear Sir".to_vec()), ("missing.tif", Vec::new())];
    for (name, bytes) in wrong {
        let path = folder.0.join(name);
        if name != "missing.tif" {
            std::fs::write(&path, bytes).expect("a file");
        }
        let out = a.ask(&["sim", "fax1", "send-fax", "3003", path.to_str().expect("a plain path")]);
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        println!("{name}: {}", words.trim());
        assert!(out.status.code() == Some(2) && words.contains(name) && words.len() > name.len() + 10, "{name}: {:?} {words}", out.status);
    }
    assert!(a.json(&["calls"]).as_array().expect("a list").is_empty() && a.notes("fax1").is_empty(), "no call was made");

    let seed = seed();
    println!("page from seed {seed}");
    let sent = Letter::new(seed, 1, 1).with_rows(700).draw().expect("a page");
    let file = folder.0.join("page.tif");
    std::fs::write(&file, tiff::write(std::slice::from_ref(&sent), tiff::Options::default())).expect("a page");
    let (a_mark, b_mark) = (a.mark("fax1"), b.mark("fax1"));
    a.sim(&["fax1", "send-fax", "3003", file.to_str().expect("a plain path")]);
    let limit = Duration::from_secs(75);
    let words = b.noticed_within(limit, "fax1", b_mark, "fax-received");
    a.noticed_within(limit, "fax1", a_mark, "fax-sent");
    let outbox = std::fs::read_dir(folder.0.join("a").join("outbox")).expect("the outbox");
    assert_eq!(outbox.count(), 0, "pages that were sent are not kept");
    println!("{words}");
    let out = folder.0.join("out");
    let received = b.json(&["sim", "fax1", "received", out.to_str().expect("a plain path")]);
    let received = Path::new(received["received"][0].as_str().expect("one fax")).to_owned();
    let pages = tiff::read_all(&std::fs::read(received).expect("the fax")).expect("a TIFF");
    assert_eq!((pages.len(), pages[0].bad_rows), (1, 0));
    let difference = page::compare(&sent, &pages[0].page);
    assert!(difference.is_none(), "{difference:?}");
    for record in [a.record(0), b.record(0)] {
        let fax = &record["fax"];
        assert_eq!(
            (&record["completed"], &fax["mode"], &fax["pages"], &fax["ecm"]),
            (&true.into(), &"t38".into(), &1.into(), &true.into()),
            "{record}"
        );
        assert_eq!((&fax["bps"], &fax["delivered"]), (&14_400.into(), &true.into()), "{record}");
        assert_eq!((&record["peer_says"]["status"], &record["peer_says"]["t38"]), (&200.into(), &true.into()), "{record}");
        assert_eq!((&fax["caller_ident"], &fax["called_ident"]), (&"2003".into(), &"3003".into()), "{record}");
    }
    a.all_idle();
    b.all_idle();
}

/// A raw request to a daemon's API; the status of its answer.
fn raw(api: u16, request: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", api)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn what_a_machine_cannot_do_is_told_at_once_and_only_the_operator_may_ask() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("hands");
    let ports = [("phone1", "sim-phone", "2001", ""), ("fax1", "sim-fax", "2003", "")];
    let a = gateway(&folder, &Plan { name: "a", ports: &ports, ..Plan::default() });
    a.start();
    let at = |name: &str| folder.0.join(name).to_str().expect("a plain path").to_owned();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo runs").success());
    std::fs::write(at("letter.txt"), "Dear Sir").expect("a file");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["phone1", "dial", "2003"], 1, "on the hook"),
        (&["phone1", "flash"], 1, "on the hook"),
        (&["phone1", "stop-recording"], 1, "nothing is being recorded"),
        (&["phone1", "dial", "20x3"], 2, "'x'"),
        (&["phone1", "dial", "20#", "--pulse"], 2, "'#'"),
        (&["phone1", "dial", ""], 2, "no key"),
        (&["phone1", "send-fax", "2003", &at("letter.txt")], 2, "sim-fax"),
        (&["fax1", "dial", "2001"], 2, "sim-phone"),
        (&["fax1", "send-fax", "none", &at("letter.txt")], 2, "'n'"),
        (&["fax1", "send-fax", "2001", &at("pipe")], 2, "not a regular file"),
        (&["fax1", "send-fax", "2001", "/dev/zero"], 2, "not a regular file"),
        (&["phone1", "play", &at("pipe")], 2, "not a regular file"),
        (&["phone1", "record", &at("nowhere/heard.wav")], 2, "no folder"),
        (&["phone1", "record", &at("letter.txt")], 2, "no WAV file"),
        (&["phone1", "record", &at("pipe")], 2, "not a regular file"),
    ];
    for (args, code, words) in cases {
        let out = a.ask(&[&["sim"], *args].concat());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(*code) && said.contains(words) && said.trim_end().lines().count() == 1,
            "{args:?}: {} {said}",
            out.status
        );
    }
    assert!(a.notes("phone1").is_empty() && a.notes("fax1").is_empty(), "nothing was begun");
    assert_eq!(std::fs::read_to_string(at("letter.txt")).expect("it is there"), "Dear Sir");

    let api = a.ports + 1;
    let token_file = folder.0.join("a").join("admin.token");
    assert_eq!(std::fs::metadata(&token_file).expect("a token").permissions().mode() & 0o777, 0o600);
    let bearer = format!("Authorization: Bearer {}", std::fs::read_to_string(&token_file).expect("a token").trim());
    let here = format!("Host: 127.0.0.1:{api}");
    assert_eq!(raw(api, &format!("GET /health HTTP/1.1\r\n{here}")), "200");
    for path in ["/v1/status", "/v1/ports", "/v1/calls", "/v1/routes", "/v1/lookup/2001", "/v1/sim/phone1", "/v1/nothing"] {
        assert_eq!(raw(api, &format!("GET {path} HTTP/1.1\r\n{here}")), "401", "{path}");
        assert_eq!(raw(api, &format!("GET {path} HTTP/1.1\r\n{here}\r\nAuthorization: Bearer 0123")), "401", "{path}");
    }
    assert_eq!(raw(api, &format!("GET /v1/status HTTP/1.1\r\n{here}\r\n{bearer}")), "200");
    assert_eq!(raw(api, &format!("GET /v1/nothing HTTP/1.1\r\n{here}\r\n{bearer}")), "404");
    for path in ["/v1/status", "/health"] {
        assert_eq!(raw(api, &format!("GET {path} HTTP/1.1\r\nHost: rebound.example:{api}\r\n{bearer}")), "421", "{path}");
    }
    // As many as hold a place each, and say nothing: the next is closed on, and all is well when they are gone.
    let held: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(("127.0.0.1", api)).expect("it listens")).collect();
    until("the API is full", || (!a.ask(&["status"]).status.success()).then_some(()));
    drop(held);
    until("the API has room again", || a.ask(&["status"]).status.success().then_some(()));
}
