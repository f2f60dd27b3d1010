//! Real `tipring` processes on loopback: a directory, gateways that register there, and what a person asks them.

use serde_json::Value;
use std::cell::RefCell;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tipring::shell::directory_client::{ClientError, DirectoryClient, Login, Timeouts};
use tipring::shell::identity_key::Keyring;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// The first of 64 ports that nobody uses now, below the range from which the system hands out its own and beside that of `tests/gateway.rs`.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 100) as u16;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < 100, "no 64 free ports on loopback");
        let base = 12_000 + (begin + n) % 100 * 64;
        let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..base + 64).all(free) {
            return base;
        }
    }
}

/// A folder of one test, gone with it unless it failed.
pub struct Folder(pub PathBuf);
impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tipring-id-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the test's folder can be written");
        path
    }
    /// A key of nobody that runs.
    pub fn stranger(&self, name: &str) -> Arc<Keyring> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).expect("the test's folder can be written");
        Arc::new(Keyring::open(&folder, tipring::shell::identity_key::GATEWAY).expect("a key"))
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
pub struct Daemon<'f> {
    pub folder: &'f Folder,
    verb: &'static str,
    pub name: String,
    pub config: PathBuf,
    pub ports: u16,
    process: RefCell<Option<Child>>,
}

impl Daemon<'_> {
    pub fn start(&self) -> &Self {
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
        until(&format!("{} is up:\n{}", self.name, self.log()), || self.ask(&["status"]).status.success().then_some(()));
        self
    }
    pub fn stop(&self) {
        let mut child = self.process.borrow_mut().take().expect("it runs");
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        until(&format!("{} ends", self.name), || child.try_wait().expect("our child"));
    }
    fn log_path(&self) -> PathBuf {
        self.folder.0.join(format!("{}.log", self.name))
    }
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
    /// What lies in its state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.0.join(&self.name)
    }
    pub fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).args(["--json", "--config"]).arg(&self.config).env("TIPRING_STATE", &self.folder.0).stdin(Stdio::null());
        command.env_remove("TIPRING_CONFIG").output().expect("tipring runs")
    }
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ask(args);
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{} {args:?}: {e}: {}", self.name, String::from_utf8_lossy(&out.stderr)))
    }
    /// What `args` print of this key, as text.
    pub fn text(&self, args: &[&str], key: &str) -> String {
        let said = self.json(args);
        said[key].as_str().unwrap_or_else(|| panic!("{args:?} says no {key}: {said}")).to_owned()
    }
    /// The directory's row of a number.
    pub fn row(&self, number: &str) -> Value {
        let rows = self.json(&["registrations"]);
        rows.as_array().and_then(|rows| rows.iter().find(|r| r["number"] == number)).cloned().unwrap_or_default()
    }
    pub fn registered(&self) -> &Self {
        until(&format!("{} is registered: {}", self.name, self.log()), || {
            let status = self.json(&["status"]);
            status["registrations"].as_array().expect("a list").iter().all(|r| r["state"] == "registered").then_some(())
        });
        self
    }
    /// A client of this directory's API.
    pub fn client(&self) -> DirectoryClient {
        DirectoryClient::new(([127, 0, 0, 1], self.ports).into(), Timeouts::default())
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

pub const ACCOUNTS: &str = "2001,pw2001\n2002,pw2002\n3001,pw3001\n3002,pw3002\n";

pub fn login(number: &str) -> Login {
    Login { user: number.into(), password: format!("pw{number}") }
}

/// A directory; `more` goes into `[registration]`.
pub fn directory<'f>(folder: &'f Folder, more: &str) -> Daemon<'f> {
    let ports = free_ports();
    folder.write("accounts.csv", ACCOUNTS);
    let text = format!(
        "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\nlisten = \"127.0.0.1:{ports}\"\n[lookup]\ncredentials = \"accounts\"\n[accounts]\nfile = \"accounts.csv\"\n[registration]\nlease_default_s = 60\nlease_min_s = 2\n{more}\n"
    );
    let config = folder.write("lan.toml", &text);
    Daemon { folder, verb: "directory", name: "lan".into(), config, ports, process: RefCell::new(None) }
}

/// A gateway with one simulated phone of this number; `more` goes into `[directory]`.
pub fn gateway<'f>(folder: &'f Folder, name: &str, number: &str, directory: u16, more: &str) -> Daemon<'f> {
    let ports = free_ports();
    let text = format!(
        "[sip]\nlisten = \"127.0.0.1:{ports}\"\n[api]\nlisten = \"127.0.0.1:{}\"\n[media]\nports = [{}, {}]\n[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"{number}\"\npassword = \"pw{number}\"\n[directory]\napi = \"127.0.0.1:{directory}\"\nlookup_timeout_ms = 1000\nlease_s = 4\n{more}\n",
        ports + 1,
        ports + 32,
        ports + 63
    );
    let config = folder.write(&format!("{name}.toml"), &text);
    Daemon { folder, verb: "gateway", name: name.into(), config, ports, process: RefCell::new(None) }
}

/// Runs this in a runtime of its own.
pub fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Status and code of a refusal.
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Err(ClientError::Refused { status, code, .. }) => (status, code),
        other => panic!("not refused: {other:?}"),
    }
}
