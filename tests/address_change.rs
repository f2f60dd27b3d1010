//! A gateway's address changes for real: a directory and two gateways as processes, each in a network namespace of its own, on one bridge;
//! the kernel's addresses are changed under them in the middle of a call. Needs to be root, or a system that lets users have namespaces;
//! where neither is so the test says that it did not run.

#![cfg(all(feature = "shell", feature = "spandsp", target_os = "linux"))]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

mod skip;

use serde_json::Value;
use skip::skip;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tipring::lab::hearing;
use tipring_hw::wav::{self, Coding};

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(15);
/// From the kernel's change until the directory knows (C-10).
const REGISTERED_WITHIN: Duration = Duration::from_secs(2);
/// Said to the process that runs inside.
const INSIDE: &str = "TIPRING_TEST_INSIDE_NAMESPACES";

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {} s in vain for: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    let words = || format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    if out.status.success() { Ok(()) } else { Err(words()) }
}

fn ip(args: &str) {
    run("ip", &args.split(' ').collect::<Vec<_>>()).expect("as at the first time");
}

/// The family of a scene.
#[derive(Clone, Copy)]
struct Net {
    v6: bool,
}

impl Net {
    fn ip(self, last: &str) -> String {
        if self.v6 { format!("fd77::{last}") } else { format!("10.77.0.{last}") }
    }
    fn at(self, last: &str, port: u16) -> String {
        if self.v6 { format!("[fd77::{last}]:{port}") } else { format!("10.77.0.{last}:{port}") }
    }
    /// Adds or deletes an address; without the second for which IPv6 looks whether somebody else has it.
    fn change(self, name: &str, how: &str, last: &str) -> Result<(), String> {
        let address = format!("{}/{}", self.ip(last), if self.v6 { 64 } else { 24 });
        let mut args = vec!["-n", name, "addr", how, &address, "dev", "eth0"];
        if self.v6 && how == "add" {
            args.push("nodad");
        }
        run("ip", &args)
    }
}

/// A bridge and three namespaces on it, in a network and a view of files of our own: nothing is left of it when this process ends.
fn bridge(net: Net) -> Result<(), String> {
    run("mount", &["-t", "tmpfs", "none", "/run"])?;
    run("ip", &["link", "add", "br0", "type", "bridge"])?;
    run("ip", &["link", "set", "br0", "up"])?;
    for (name, last) in [("lan", "1"), ("a", "2"), ("b", "3")] {
        run("ip", &["netns", "add", name])?;
        let outside = format!("to-{name}");
        run("ip", &["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run("ip", &["link", "set", &outside, "master", "br0", "up"])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        net.change(name, "add", last)?;
    }
    Ok(())
}

/// A daemon in the namespace of its name.
struct Daemon<'f> {
    folder: &'f Path,
    name: &'static str,
    process: Option<Child>,
}

impl<'f> Daemon<'f> {
    fn start(folder: &'f Path, name: &'static str, verb: &str, config: &str) -> Daemon<'f> {
        std::fs::write(folder.join(format!("{name}.toml")), config).expect("the test's folder can be written");
        let mut daemon = Daemon { folder, name, process: None };
        let log = std::fs::File::create(daemon.file("log")).expect("a log");
        let child = daemon.tipring(&[verb]).stdout(Stdio::null()).stderr(log).spawn().expect("nsenter runs");
        daemon.process = Some(child);
        let up = if verb == "gateway" { "status" } else { "registrations" };
        let mut said = String::new();
        let began = Instant::now();
        while said != "up" {
            let out = daemon.ask(&[up]);
            said = if out.status.success() { "up".into() } else { String::from_utf8_lossy(&out.stderr).into_owned() };
            assert!(began.elapsed() < PATIENCE, "{name} does not come up: {said}");
        }
        daemon
    }
    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }
    fn tipring(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg(env!("CARGO_BIN_EXE_tipring")).args(args);
        command.arg("--config").arg(self.file("toml"));
        command.env("TIPRING_STATE", self.folder).env_remove("TIPRING_CONFIG").stdin(Stdio::null());
        command
    }
    fn ask(&self, args: &[&str]) -> Output {
        self.tipring(&[args, &["--json"]].concat()).output().expect("nsenter runs")
    }
    fn json(&self, args: &[&str]) -> Value {
        let out = self.ask(args);
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{} {args:?}: {e}: {}\n{}", self.name, String::from_utf8_lossy(&out.stderr), self.log()))
    }
    fn sim(&self, args: &[&str]) {
        let out = self.ask(&[&["sim", "phone1"], args].concat());
        assert!(out.status.success(), "{} sim {args:?}: {}", self.name, String::from_utf8_lossy(&out.stderr));
    }
    fn notes(&self) -> Vec<(u64, String)> {
        let rows = self.json(&["sim", "phone1", "notes"]);
        let note = |n: &Value| (n["seq"].as_u64().unwrap_or(0), n["what"].as_str().unwrap_or("").to_owned());
        rows.as_array().expect("a list").iter().filter(|n| n["detail"] != "stopped").map(note).collect()
    }
    fn mark(&self) -> u64 {
        self.notes().last().map_or(0, |n| n.0 + 1)
    }
    fn noticed(&self, mark: u64, what: &str) {
        until(&format!("{what} at {}:\n{}", self.name, self.log()), || {
            self.notes().iter().any(|(seq, noted)| *seq >= mark && noted == what).then_some(())
        });
    }
    fn registered(&self) {
        until(&format!("{} is registered:\n{}", self.name, self.log()), || {
            let status = self.json(&["status"]);
            status["registrations"].as_array().expect("a list").iter().all(|r| r["state"] == "registered").then_some(())
        });
    }
    /// Where this directory says a number is.
    fn contact(&self, number: &str) -> String {
        let rows = self.json(&["registrations"]);
        let row = rows.as_array().expect("a list").iter().find(|r| r["number"] == number).cloned().unwrap_or_default();
        row["contact"].as_str().unwrap_or("").to_owned()
    }
    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(self.name).join("calls.jsonl")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).expect("a record is JSON")).collect()
    }
}
impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _dead = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, self.log());
        }
    }
}

/// What is said at one phone is recorded at the other: how well its loudest tenths of a second are found in it, on average.
fn say(from: &Daemon, to: &Daemon, seed: u64) -> f64 {
    let said = hearing::speech(seed, 8_000);
    let (spoken, recorded) = (from.folder.join(format!("said-{seed}.wav")), from.folder.join(format!("heard-{seed}.wav")));
    std::fs::write(&spoken, wav::emit(&said, Coding::Pcm16)).expect("a recording");
    let (from_mark, to_mark) = (from.mark(), to.mark());
    to.sim(&["record", recorded.to_str().expect("a plain path")]);
    from.sim(&["play", spoken.to_str().expect("a plain path")]);
    from.noticed(from_mark, "played");
    std::thread::sleep(Duration::from_millis(400));
    to.sim(&["stop-recording"]);
    to.noticed(to_mark, "recorded");
    let heard = wav::parse(&std::fs::read(&recorded).expect("the recording")).expect("a WAV file");
    // Loud parts, so that a pause between syllables proves nothing.
    let mut pieces: Vec<&[i16]> = said.chunks_exact(800).collect();
    pieces.sort_by_key(|p| std::cmp::Reverse(p.iter().map(|s| i64::from(*s).pow(2)).sum::<i64>()));
    let found = pieces[..3].iter().map(|p| hearing::find(p, &heard, heard.len()).correlation).sum::<f64>() / 3.0;
    println!("{} -> {}: {found:.3}", from.name, to.name);
    found
}

/// Words come through in both directions. A machine that is busy with other things takes pieces out of them, so they may be said again;
/// where there is no way, or only one, nothing of them ever comes, and other words are found to less than 0.3.
fn both_hear(a: &Daemon, b: &Daemon, seed: u64) {
    for (from, to) in [(a, b), (b, a)] {
        let heard = (0..3).any(|again| say(from, to, seed + 100 * again) > 0.8);
        assert!(heard, "{} does not hear {}:\n{}\n{}", to.name, from.name, a.log(), b.log());
    }
}

/// How long it takes until the directory knows.
fn known_at(lan: &Daemon, number: &str, contact: &str, since: Instant) {
    until(&format!("{number} is known at {contact}, not {}", lan.contact(number)), || (lan.contact(number) == contact).then_some(()));
    let took = since.elapsed();
    println!("{number} is known at {contact} {} ms after the kernel's change", took.as_millis());
    assert!(took < REGISTERED_WITHIN, "{took:?}");
}

fn gateway(net: Net, number: &str, certificate: &str) -> String {
    let (any, api) = (if net.v6 { "[::]" } else { "0.0.0.0" }, net.at("1", 6081));
    format!(
        "[sip]\nlisten = \"{any}:5060\"\n[api]\nlisten = \"127.0.0.1:6180\"\n[media]\nports = [26000, 26063]\n[line]\ncountry = \"US\"\n\
         [emergency]\ntarget = \"port:phone1\"\n[directory]\napi = \"https://{api}\"\nfingerprint = \"{certificate}\"\nlookup_timeout_ms = 1000\nlease_s = 60\n\
         [[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"{number}\"\npassword = \"a long word for {number}\"\n"
    )
}

#[test]
fn req_c4_c10_a8_real_processes_in_namespaces_keep_their_call_and_their_numbers_when_an_address_changes() {
    in_namespaces("4");
}

#[test]
fn req_c4_c10_a8_the_same_by_ipv6() {
    in_namespaces("6");
}

/// A NAT is what a STUN server sees of us: here one that sees what it likes.
#[test]
fn req_c10_a_gateway_tells_peers_what_a_stun_server_sees_of_its_sip_socket() {
    let folder = std::env::temp_dir().join(format!("tipring-stun-{}", std::process::id()));
    let _old = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let server = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    server.set_read_timeout(Some(PATIENCE)).expect("a socket can wait");
    let free = |_| UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("loopback has free ports").port();
    let [sip, api] = [0, 1].map(free);
    let config = folder.join("s.toml");
    let text = format!(
        "[sip]\nlisten = \"127.0.0.1:{sip}\"\nstun = \"{}\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[media]\nports = [27900, 27931]\n[line]\n\
         country = \"US\"\n[emergency]\ntarget = \"port:phone1\"\n[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\n",
        server.local_addr().expect("it is bound")
    );
    std::fs::write(&config, text).expect("it can be written");
    let tipring = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args([verb, "--config"]).arg(&config).env("TIPRING_STATE", &folder).stdin(Stdio::null());
        command
    };
    let mut gateway = tipring("gateway").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tipring runs");
    let mut asked = [0u8; 1_500];
    let heard = server.recv_from(&mut asked);
    let seen: SocketAddr = "198.51.100.7:31000".parse().expect("a literal address");
    let told = heard.map(|(n, from)| {
        assert_eq!(from.port(), sip, "from the SIP socket itself");
        let answer = tipring::stun::binding_answer(&asked[..n], seen).expect("a Binding request");
        server.send_to(&answer, from).expect("loopback takes it");
        let began = Instant::now();
        loop {
            let out = tipring("status").arg("--json").output().expect("tipring runs");
            let status: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
            if status["sip"] == seen.to_string() || began.elapsed() > PATIENCE {
                return status["sip"].clone();
            }
        }
    });
    let _dead = gateway.kill();
    let _reaped = gateway.wait();
    let _gone = std::fs::remove_dir_all(&folder);
    assert_eq!(told.expect("it asks"), seen.to_string());
}

fn in_namespaces(family: &str) {
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]).args(args);
        command
    };
    match unshare(&["true"]).output() {
        Ok(out) if out.status.success() => {}
        Ok(out) => return skip(&format!("no namespaces here: {}", String::from_utf8_lossy(&out.stderr).trim())),
        Err(e) => return skip(&format!("unshare: {e}")),
    }
    let me = std::env::current_exe().expect("this test has a file");
    let me = me.to_str().expect("a plain path");
    let inside =
        unshare(&[me, "--ignored", "--exact", "inside", "--nocapture"]).env(INSIDE, family).output().expect("unshare ran just now");
    let said = String::from_utf8_lossy(&inside.stdout);
    println!("{said}{}", String::from_utf8_lossy(&inside.stderr));
    assert!(inside.status.success(), "see above");
    assert!(said.contains("skipped: ") || said.contains("all of it held"), "the inner test did run");
}

#[test]
#[ignore = "started by the tests above, inside of namespaces"]
fn inside() {
    let Some(family) = std::env::var_os(INSIDE) else {
        return println!("skipped: this is the inner half of another test");
    };
    let net = Net { v6: family == "6" };
    if let Err(why) = bridge(net) {
        return skip(&why);
    }
    let folder = std::env::temp_dir().join(format!("tipring-moves-{}-{}", net.ip("0"), std::process::id()));
    let _old = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    std::fs::write(folder.join("accounts.csv"), "2001,a long word for 2001\n3001,a long word for 3001\n").expect("it can be written");
    scene(&folder, net);
    let _gone = std::fs::remove_dir_all(&folder);
    println!("all of it held");
}

fn scene(folder: &Path, net: Net) {
    let lan = Daemon::start(
        folder,
        "lan",
        "directory",
        &format!(
            "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\nlisten = \"127.0.0.1:6080\"\ntls_listen = \"{}\"\n[registration]\n\
         lease_default_s = 60\nlease_min_s = 2\n[lookup]\ncredentials = \"accounts\"\n[accounts]\nfile = \"accounts.csv\"\n",
            net.at("1", 6081)
        ),
    );
    let certificate = until("the directory's certificate", || {
        let log = lan.log();
        let (_, certificate) = log.split_once(", certificate ")?;
        Some(certificate.lines().next()?.to_owned())
    });
    let a = Daemon::start(folder, "a", "gateway", &gateway(net, "2001", &certificate));
    let b = Daemon::start(folder, "b", "gateway", &gateway(net, "3001", &certificate));
    a.registered();
    b.registered();
    assert_eq!((lan.contact("2001"), lan.contact("3001")), (net.at("2", 5060), net.at("3", 5060)));

    let (mark, rung) = (a.mark(), b.mark());
    a.sim(&["off-hook"]);
    a.noticed(mark, "dial-tone");
    a.sim(&["dial", "3001"]);
    b.noticed(rung, "off-hook");
    both_hear(&a, &b, 10);

    // A new lease in the middle of the call: the old address goes, the new one comes.
    let since = Instant::now();
    net.change("b", "del", "3").expect("it is there");
    net.change("b", "add", "33").expect("as at the first time");
    known_at(&lan, "3001", &net.at("33", 5060), since);
    both_hear(&a, &b, 20);
    assert_eq!(a.json(&["routes"])[0]["contact"], net.at("33", 5060), "the caller's gateway has learned it by the call: {}", a.log());

    if net.v6 {
        // The rest does not ask for the family, and takes its time.
        return;
    }

    // The caller's too, and its cable is out for a moment.
    ip("-n a link set eth0 down");
    std::thread::sleep(Duration::from_secs(1));
    ip("-n a addr flush dev eth0");
    let since = Instant::now();
    ip("-n a link set eth0 up");
    net.change("a", "add", "22").expect("as at the first time");
    known_at(&lan, "2001", &net.at("22", 5060), since);
    both_hear(&a, &b, 30);

    let rung = b.mark();
    a.sim(&["on-hook"]);
    b.noticed(rung, "reorder-tone");
    b.sim(&["on-hook"]);
    let one = |gateway: &Daemon| until("a record", || gateway.records().first().cloned());
    for record in [one(&a), one(&b)] {
        assert!(record["completed"] == true && record["seconds"].as_f64() > Some(5.0), "{record}\n{}\n{}", a.log(), b.log());
    }

    // Called anew, the other way: found where it is now.
    until("both phones rest", || [&a, &b].iter().all(|g| g.json(&["ports"])[0]["state"] == "idle").then_some(()));
    let (mark, rung) = (b.mark(), a.mark());
    b.sim(&["off-hook"]);
    b.noticed(mark, "dial-tone");
    b.sim(&["dial", "2001"]);
    a.noticed(rung, "off-hook");
    assert_eq!(b.json(&["routes"])[0]["contact"], net.at("22", 5060));
}
