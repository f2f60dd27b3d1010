//! The stage: a state folder, daemons of the real program with their logs, and a plain HTTP client.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tipring::api::directory::RegisterRequest;
use tipring::shell::directory_client::Login;
use tipring::shell::tls::https::{self, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A folder of one test, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tipring-ops-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
    /// A directory's configuration `lan.toml`.
    pub fn directory(&self, api: &str, more: &str) -> PathBuf {
        let text = format!("domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\n{api}\n{more}\n");
        self.write("lan.toml", &text)
    }
    /// Accounts 2001 to 2000 + n, with their passwords.
    pub fn accounts(&self, n: usize) -> PathBuf {
        self.write("accounts.csv", &(1..=n).map(|i| format!("{},pw{}\n", 2000 + i, 2000 + i)).collect::<String>())
    }
    pub fn tipring(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).env("TIPRING_STATE", &self.0).env_remove("NOTIFY_SOCKET");
        command
    }
    pub fn run(&self, args: &[&str]) -> Output {
        self.tipring(args).stdin(Stdio::null()).output().unwrap()
    }
    /// The same, with something to read.
    pub fn say(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.tipring(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
    pub fn start(&self, verb: &str, config: &str) -> Daemon {
        self.start_with(self.tipring(&[verb, "--config", self.0.join(config).to_str().unwrap()]), config)
    }
    pub fn start_with(&self, mut command: Command, config: &str) -> Daemon {
        let log = self.0.join(format!("{config}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stderr(Stdio::from(file)).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        Daemon { child, log }
    }
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.0.join("lan/admin.token")).unwrap()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed with the test.
pub struct Daemon {
    pub child: Child,
    log: PathBuf,
}
impl Daemon {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
    pub fn terminate(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
    pub fn kill(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
    /// Waits until something answers on this port.
    pub fn up(&mut self, at: SocketAddr) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(at).is_err() {
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < until, "it does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free for TCP and UDP.
pub fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
/// Ports for the media of one more gateway.
pub fn media_ports() -> [u16; 2] {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(27_000);
    let first = NEXT.fetch_add(64, std::sync::atomic::Ordering::Relaxed);
    [first, first + 63]
}
pub fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

pub fn login(n: usize) -> Login {
    Login { user: n.to_string(), password: format!("pw{n}") }
}
pub fn terminal(n: usize) -> RegisterRequest {
    RegisterRequest { contact: format!("127.0.1.1:{}", 10_000 + n), instance: format!("terminal-{n}"), ..RegisterRequest::default() }
}

/// An answer as it came.
pub struct Heard {
    pub status: u16,
    pub head: String,
    pub body: String,
}
impl Heard {
    fn read(text: &str) -> Heard {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Heard { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn request(method: &str, path: &str, bearer: &str, body: &str) -> String {
    let token = if bearer.is_empty() { String::new() } else { format!("Authorization: Bearer {bearer}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request in the clear, from `from`.
pub fn ask_from(from: &str, to: SocketAddr, method: &str, path: &str, bearer: &str, body: &str) -> Option<Heard> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request(method, path, bearer, body).as_bytes()).ok()?;
    let mut out = String::new();
    let _cut_off = stream.read_to_string(&mut out);
    (!out.is_empty()).then(|| Heard::read(&out))
}
/// A request in the clear, from this machine.
pub fn ask(to: SocketAddr, method: &str, path: &str, bearer: &str, body: &str) -> Heard {
    ask_from("127.0.0.1", to, method, path, bearer, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}
/// A request by HTTPS.
pub async fn ask_tls(to: SocketAddr, trust: &Trust, method: &str, path: &str, bearer: &str, body: &str) -> Result<Heard, String> {
    let connector = https::connector(trust)?;
    let stream = tokio::net::TcpStream::connect(to).await.map_err(|e| e.to_string())?;
    let mut stream = https::connect(&connector, stream, &to.ip().to_string()).await?;
    stream.write_all(request(method, path, bearer, body).as_bytes()).await.map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let _cut_off = stream.read_to_end(&mut out).await;
    Ok(Heard::read(&String::from_utf8_lossy(&out)))
}
