//! Accounts at an outside SIP server, from outside: real gateways in real time, and between them a server that the test plays, which
//! registers with digest and passes calls on. What leaves, what comes in, and what does neither, is judged by what the server heard.

#![cfg(all(feature = "shell", feature = "spandsp"))]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tipring::digest::{Asked, Authenticator, Credentials, Ha1, Verdict};
use tipring::sip::message::{Message, Method, StartLine};

const PATIENCE: Duration = Duration::from_secs(30);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {} s in vain for: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// The first of 64 ports that nobody uses now, below the range from which the system hands out its own.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 170) as u16;
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

// ---- the server ------------------------------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Book {
    /// Where each user is.
    bindings: BTreeMap<String, SocketAddr>,
    /// Method and called user of each request that was heard.
    heard: Vec<(String, String)>,
    /// Calls taken only with the password, and how many showed it.
    proven_calls: usize,
    /// Where each call went.
    calls: BTreeMap<Vec<u8>, SocketAddr>,
}

/// A registrar and a proxy that keeps no state but its book.
struct Server {
    at: SocketAddr,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const REALM: &str = "office.test";

struct Desk {
    socket: UdpSocket,
    book: Arc<Mutex<Book>>,
    authenticator: Authenticator,
    began: Instant,
    /// Numbers that begin with 3 are there.
    threes: SocketAddr,
}

impl Server {
    fn start(at: SocketAddr, threes: SocketAddr) -> Server {
        let socket = UdpSocket::bind(at).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket takes a timeout");
        let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
        let authenticator = Authenticator::new(REALM, [7; 32], 300);
        let mut desk = Desk { socket, book: book.clone(), authenticator, began: Instant::now(), threes };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut bytes = [0u8; 65_535];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((n, from)) = desk.socket.recv_from(&mut bytes)
                    && let Ok(message) = Message::parse(&bytes[..n])
                {
                    desk.take(message, from);
                }
            }
        });
        Server { at, book, stop, thread: Some(thread) }
    }
    fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.lock().expect("the server's thread does not panic"))
    }
    fn heard(&self, method: &str) -> Vec<String> {
        self.book(|b| b.heard.iter().filter(|(m, _)| m == method).map(|(_, u)| u.clone()).collect())
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Desk {
    fn take(&mut self, message: Message, from: SocketAddr) {
        let Some(method) = message.method().cloned() else { return self.pass_back(message) };
        let called = message.request_uri().map(|u| u.user_text()).unwrap_or_default();
        self.book.lock().expect("one thread").heard.push((method.to_string(), called.clone()));
        let call_id = message.call_id().unwrap_or_default().to_vec();
        let known = self.book.lock().expect("one thread").calls.get(&call_id).copied();
        match (&method, known) {
            (Method::Register, _) => self.register(&message, from),
            // A call of our own people shows the password; one from elsewhere only reaches our people.
            (Method::Invite, _) => {
                let ours = message.from().is_ok_and(|f| f.uri.user_text() == "4930");
                if ours && !self.is_proven(&message, "Proxy-Authorization", "Proxy-Authenticate", 407, from) {
                    return;
                }
                self.book.lock().expect("one thread").proven_calls += usize::from(ours);
                let bound = self.book.lock().expect("one thread").bindings.get(&called).copied();
                match bound.or_else(|| called.starts_with('3').then_some(self.threes)) {
                    Some(to) => {
                        self.book.lock().expect("one thread").calls.insert(call_id, to);
                        self.pass_on(message, &called, to);
                    }
                    None => self.answer(&message, 404, from),
                }
            }
            (Method::Ack | Method::Cancel, Some(to)) => self.pass_on(message, &called, to),
            _ => {}
        }
    }

    fn answer(&self, request: &Message, status: u16, to: SocketAddr) {
        self.send(&Message::response_to(request, status, "As It Is"), to);
    }
    fn send(&self, message: &Message, to: SocketAddr) {
        let _ = self.socket.send_to(&message.emit(), to).expect("loopback takes it");
    }

    /// Whether it shows the password; if not, it is asked for.
    fn is_proven(&mut self, request: &Message, shown_in: &str, asked_in: &str, status: u16, from: SocketAddr) -> bool {
        let now = tipring::clock::Instant::from_us(self.began.elapsed().as_micros() as u64);
        let shown = request.headers.get(shown_in).and_then(|v| Credentials::parse(&String::from_utf8_lossy(v)).ok());
        let StartLine::Request { method, uri } = &request.start else { return false };
        let uri = String::from_utf8_lossy(uri);
        let verdict = shown.map(|credentials| {
            let asked = Asked { method: method.as_str(), uri: &uri, body: &request.body };
            assert_eq!(credentials.uri, uri, "what is proven is what is asked");
            let ha1 = |user: &str| (user == "gate").then(|| Ha1::of("gate", REALM, "open sesame"));
            self.authenticator.check(now, &asked, &credentials, ha1)
        });
        if verdict == Some(Verdict::Is) {
            return true;
        }
        let ip: IpAddr = from.ip();
        let challenges = self.authenticator.challenge(now, verdict == Some(Verdict::Stale), ip);
        let refusal = Message::response_to(request, status, "Who Are You");
        self.send(&challenges.iter().fold(refusal, |m, c| m.with(asked_in, c.emit())), from);
        false
    }

    fn register(&mut self, request: &Message, from: SocketAddr) {
        if !self.is_proven(request, "Authorization", "WWW-Authenticate", 401, from) {
            return;
        }
        let user = request.to().map(|t| t.uri.user_text()).unwrap_or_default();
        let contact = request.contact().expect("a contact");
        let expires = contact.params.get("expires").map(|e| String::from_utf8_lossy(e).into_owned()).unwrap_or_default();
        {
            let mut book = self.book.lock().expect("one thread");
            match expires.as_str() {
                "0" => book.bindings.remove(&user),
                _ => book.bindings.insert(user, contact.uri.socket_addr().expect("a contact with an address")),
            };
        }
        self.send(&Message::response_to(request, 200, "OK").with("Contact", contact.emit()), from);
    }

    fn pass_on(&self, mut message: Message, called: &str, to: SocketAddr) {
        let StartLine::Request { uri, .. } = &mut message.start else { return };
        *uri = format!("sip:{called}@{to}").into_bytes();
        let vias: Vec<Vec<u8>> = message.headers.values("Via").map(<[u8]>::to_vec).collect();
        let branch = message.top_via().ok().and_then(|v| v.branch().map(<[u8]>::to_vec)).unwrap_or_default();
        message.headers.remove("Via");
        message.headers.remove("Proxy-Authorization");
        let ours = format!("SIP/2.0/UDP {};branch={}p", self.socket.local_addr().expect("bound"), String::from_utf8_lossy(&branch));
        message.headers.push("Via", ours.into_bytes());
        vias.into_iter().for_each(|v| message.headers.push("Via", v));
        self.send(&message, to);
    }

    fn pass_back(&self, mut message: Message) {
        let vias: Vec<Vec<u8>> = message.headers.values("Via").map(<[u8]>::to_vec).skip(1).collect();
        message.headers.remove("Via");
        vias.into_iter().for_each(|v| message.headers.push("Via", v));
        let Ok(next) = message.top_via() else { return };
        if let Ok(to) = next.sent_by().parse() {
            self.send(&message, to);
        }
    }
}

// ---- the gateways ----------------------------------------------------------------------------------------------------------------------

struct Gateway {
    folder: PathBuf,
    name: &'static str,
    ports: u16,
    child: Option<Child>,
}

impl Gateway {
    fn start(name: &'static str, ports: u16, rest: &str) -> Gateway {
        Gateway::start_with(name, ports, "", rest)
    }
    /// The same with more lines of `[sip]`.
    fn start_with(name: &'static str, ports: u16, sip: &str, rest: &str) -> Gateway {
        let folder = std::env::temp_dir().join(format!("tipring-accounts-{name}-{}-{ports}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let text = format!(
            "[sip]\nlisten = \"127.0.0.1:{ports}\"\n{sip}\n[api]\nlisten = \"127.0.0.1:{}\"\n[media]\nports = [{}, {}]\n{rest}",
            ports + 1,
            ports + 32,
            ports + 63
        );
        std::fs::write(folder.join(format!("{name}.toml")), text).expect("the folder can be written");
        let mut gateway = Gateway { folder, name, ports, child: None };
        let log = std::fs::File::create(gateway.folder.join("log")).expect("a log");
        let command = gateway.command(&["gateway"]).stdout(Stdio::null()).stderr(log).spawn();
        gateway.child = Some(command.expect("tipring runs"));
        until(&format!("{name} is up"), || gateway.ask(&["status"]).status.success().then_some(()));
        gateway
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).arg("--config").arg(self.folder.join(format!("{}.toml", self.name)));
        command.env("TIPRING_STATE", &self.folder).env_remove("TIPRING_CONFIG").stdin(Stdio::null());
        command
    }
    fn sip(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports).into()
    }
    fn ask(&self, args: &[&str]) -> Output {
        self.command(&[args, &["--json"]].concat()).output().expect("tipring runs")
    }
    fn json(&self, args: &[&str]) -> Value {
        let out = self.ask(args);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&out.stderr)))
    }
    fn account(&self) -> Value {
        self.json(&["status"])["accounts"][0].clone()
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(self.name).join("calls.jsonl")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).expect("a record is JSON")).collect()
    }
    fn record(&self, n: usize) -> Value {
        until(&format!("record {n} of {}; log:\n{}", self.name, self.log()), || self.records().get(n).cloned())
    }
    fn sim(&self, args: &[&str]) {
        let out = self.ask(&[&["sim"], args].concat());
        assert!(out.status.success(), "{} sim {args:?}: {}", self.name, String::from_utf8_lossy(&out.stderr));
    }
    fn noticed(&self, port: &str, mark: u64, what: &str) {
        until(&format!("{what} at {} {port}; log:\n{}", self.name, self.log()), || {
            let notes = self.json(&["sim", port, "notes"]);
            let new = |n: &Value| n["seq"].as_u64() >= Some(mark) && n["what"] == what && n["detail"] != "stopped";
            notes.as_array().expect("a list").iter().any(new).then_some(())
        });
    }
    fn mark(&self, port: &str) -> u64 {
        self.json(&["sim", port, "notes"]).as_array().and_then(|n| n.last()?["seq"].as_u64()).map_or(0, |n| n + 1)
    }
    fn dial(&self, port: &str, number: &str) -> u64 {
        let mark = self.mark(port);
        self.sim(&[port, "off-hook"]);
        self.noticed(port, mark, "dial-tone");
        self.sim(&[port, "dial", number]);
        mark
    }
    fn hang_up(&self, port: &str) {
        self.sim(&[port, "on-hook"]);
        until(&format!("{} {port} is on hook", self.name), || {
            let ports = self.json(&["ports"]);
            ports.as_array().expect("a list").iter().any(|p| p["name"] == port && p["state"] == "idle").then_some(())
        });
    }
    fn in_call(&self, n: usize) {
        until(&format!("{n} call up at {}; log:\n{}", self.name, self.log()), || {
            let calls = self.json(&["calls"]);
            (calls.as_array().expect("a list").iter().filter(|c| c["state"] == "up").count() == n).then_some(())
        });
    }
    fn terminate(&mut self) {
        let mut child = self.child.take().expect("it runs");
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs").success());
        until(&format!("{} ends", self.name), || child.try_wait().expect("our child"));
    }
}
impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _dead = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} ({}):\n{}", self.name, self.folder.display(), self.log());
        } else {
            let _gone = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn account(servers: &str, password: &str) -> String {
    format!(
        "[[account]]\nname = \"office\"\nserver = {servers}\ndomain = \"office.test\"\nuser = \"4930\"\nauth_user = \"gate\"\n\
         password = \"{password}\"\nexpires_s = 120\n"
    )
}
const PHONE_A: &str =
    "[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\naccount = \"office\"\noutside_calls_per_hour = 3\n";
const PHONE_B: &str = "[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"3001\"\n";
const ROUTE_A: &str = "[[route]]\nprefix = \"0\"\nstrip = 1\naccount = \"office\"\n";

#[test]
fn calls_go_out_and_come_in_through_a_registered_account_and_nothing_else_leaves() {
    let (pa, pb, ps) = (free_ports(), free_ports(), free_ports());
    let b = Gateway::start("b", pb, &format!("[[route]]\nprefix = \"4\"\nto = \"sip:127.0.0.1:{ps}\"\n{PHONE_B}"));
    let server = Server::start(([127, 0, 0, 1], ps).into(), b.sip());
    let mut a = Gateway::start("a", pa, &format!("{}{ROUTE_A}{PHONE_A}", account(&format!("\"127.0.0.1:{ps}\""), "open sesame")));

    // Registered, with digest, where the gateway listens; `status` says so.
    until(&format!("a is registered; log:\n{}", a.log()), || (a.account()["state"] == "registered").then_some(()));
    assert_eq!(server.book(|s| s.bindings.get("4930").copied()), Some(a.sip()));
    let row = a.account();
    assert_eq!((row["account"].as_str(), row["address"].as_str()), (Some("office"), Some("sip:4930@office.test")));
    assert!(row["expires_in_s"].as_u64().is_some_and(|s| (100..=120).contains(&s)), "{row}");
    assert!(row["server"].as_str().is_some_and(|s| s.contains(&server.at.to_string())), "{row}");
    let lookup = a.json(&["lookup", "03001"]);
    assert_eq!((lookup["account"].as_str(), lookup["number"].as_str()), (Some("office"), Some("3001")));

    // Out: 0 3001 is called at the server as 3001, with the password, in the account's name.
    let mark = b.mark("phone1");
    a.dial("phone1", "03001#");
    b.noticed("phone1", mark, "ringing");
    a.in_call(1);
    std::thread::sleep(Duration::from_millis(600));
    a.hang_up("phone1");
    b.hang_up("phone1");
    let (ours, theirs) = (a.record(0), b.record(0));
    assert_eq!(
        (ours["route"].as_str(), ours["account"].as_str(), ours["completed"].as_bool()),
        (Some("account"), Some("office"), Some(true))
    );
    assert!(ours["audio"]["received"].as_u64().is_some_and(|n| n > 10), "{ours}");
    assert_eq!((theirs["from"].as_str(), theirs["to"].as_str()), (Some("4930"), Some("3001")));
    assert_eq!(server.book(|s| s.proven_calls), 1);

    // In: what the server sends to the account rings its port.
    let mark = a.mark("phone1");
    b.dial("phone1", "4930");
    a.noticed("phone1", mark, "ringing");
    b.in_call(1);
    b.hang_up("phone1");
    let ours = a.record(1);
    assert_eq!((ours["direction"].as_str(), ours["account"].as_str()), (Some("incoming"), Some("office")));
    assert_eq!(ours["ports"][0], "phone1");
    a.hang_up("phone1");

    // A stranger who knows the account's user gets what all strangers get.
    let stranger = UdpSocket::bind("127.0.0.2:0").expect("another address of loopback");
    stranger.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket takes a timeout");
    let me = stranger.local_addr().expect("bound");
    let invite = format!(
        "INVITE sip:4930@{} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: <sip:x@{me}>;tag=1\r\n\
         To: <sip:4930@office.test>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{me}>\r\n\r\n",
        a.sip()
    );
    let _ = stranger.send_to(invite.as_bytes(), a.sip()).expect("loopback takes it");
    let mut bytes = [0u8; 4096];
    let status = until("the stranger's answer", || {
        let n = stranger.recv(&mut bytes).ok()?;
        Message::parse(&bytes[..n]).ok()?.status()
    });
    assert_eq!(status, 404, "the first word");
    // And the only one: who gave a false address has nobody else bombarded with repeats until an ACK comes.
    stranger.set_read_timeout(Some(Duration::from_millis(1_700))).expect("a socket takes a timeout");
    assert!(stranger.recv(&mut bytes).is_err(), "said again");

    // What no route names leaves for nobody: no request at the server names it. The control is the call above.
    let mark = a.dial("phone1", "5001");
    a.noticed("phone1", mark, "reorder-tone");
    a.hang_up("phone1");
    assert_eq!(a.record(2)["result"], "no such number");
    // The cap of three an hour: one call was made; two more go, the next does not.
    for n in [3, 4, 5] {
        let mark = a.dial("phone1", "05999#");
        a.noticed("phone1", mark, "reorder-tone");
        a.hang_up("phone1");
        let record = a.record(n);
        assert_eq!(record["result"].as_str().is_some_and(|r| r.contains("outside_calls_per_hour")), n == 5, "{record}");
    }
    let called = server.heard("INVITE");
    assert!(!called.iter().any(|u| u == "5001") && called.iter().any(|u| u == "3001"), "{called:?}");
    assert!((2..=4).contains(&called.iter().filter(|u| *u == "5999").count()), "{called:?}");

    // At the end it is taken back.
    a.terminate();
    assert!(server.book(|s| s.bindings.is_empty()));
    let told = a.log().lines().filter(|l| l.contains("account office: registered")).count();
    assert_eq!(told, 1, "each change is logged once:\n{}", a.log());
}

#[test]
fn a_withheld_number_is_shown_by_code_and_in_an_emergency_which_passes_a_deaf_target_by() {
    let (pa, pb) = (free_ports(), free_ports());
    // The first target takes every datagram and says nothing.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let sip = "trusted = [\"127.0.0.0/8\"]\nsession_expires_s = 300";
    let phones = "[[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"3001\"\n[[port]]\nname = \"desk\"\nkind = \"sim-phone\"\nnumber = \"911\"\n";
    let b = Gateway::start_with("b", pb, sip, phones);
    let a = Gateway::start_with(
        "a",
        pa,
        sip,
        &format!(
            "[emergency]\ntarget = \"sip:{}\"\nsecond_target = \"sip:127.0.0.1:{pb}\"\nsilence_ms = 1000\n\
             [[route]]\nprefix = \"3\"\nto = \"sip:127.0.0.1:{pb}\"\n\
             [[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\nanonymous = true\n",
            deaf.local_addr().expect("bound")
        ),
    );
    for (n, dialled, callee, to, from) in
        [(0, "3001", "phone1", "3001", ""), (1, "*823001", "phone1", "3001", "2001"), (2, "*67911", "desk", "911", "2001")]
    {
        let mark = b.mark(callee);
        let began = Instant::now();
        a.dial("phone1", dialled);
        b.noticed(callee, mark, "ringing");
        a.in_call(1);
        let took = began.elapsed();
        a.hang_up("phone1");
        b.hang_up(callee);
        let (ours, theirs) = (a.record(n), b.record(n));
        assert_eq!(
            (ours["completed"].as_bool(), ours["to"].as_str(), ours["from"].as_str()),
            (Some(true), Some(to), Some("2001")),
            "{ours}"
        );
        assert_eq!((theirs["from"].as_str(), theirs["private"].as_bool()), (Some(from), Some(from.is_empty())), "{theirs}");
        assert_eq!(ours["private"], theirs["private"]);
        if to == "911" {
            assert_eq!(
                (ours["route"].as_str(), ours["peer"].as_str()),
                (Some("emergency"), Some(format!("127.0.0.1:{pb}").as_str())),
                "{ours}"
            );
            assert!(took < Duration::from_secs(15), "{took:?}: a deaf target cost 32 s once");
            assert!(a.log().contains("trying the next target"), "{}", a.log());
        }
    }
    assert_eq!(b.log().matches("call from 2001 at").count(), 2, "not of the first call:\n{}", b.log());
}

#[test]
fn a_dead_server_is_left_for_the_second_and_a_wrong_password_is_said_in_words() {
    let (pa, pc, ps) = (free_ports(), free_ports(), free_ports());
    let nobody: SocketAddr = ([127, 0, 0, 1], ps + 9).into();
    let server = Server::start(([127, 0, 0, 1], ps).into(), nobody);
    let a = Gateway::start(
        "a",
        pa,
        &format!("{}{PHONE_A}", account(&format!("[\"127.0.0.1:{}\", \"127.0.0.1:{ps}\"]", ps + 1), "open sesame")),
    );
    until(&format!("a is registered; log:\n{}", a.log()), || (a.account()["state"] == "registered").then_some(()));
    assert!(a.account()["server"].as_str().is_some_and(|s| s.contains(&server.at.to_string())), "{}", a.account());

    let c = Gateway::start("c", pc, &format!("{}{PHONE_A}", account(&format!("\"127.0.0.1:{ps}\""), "open barley")));
    let row = until(&format!("c is refused; log:\n{}", c.log()), || Some(c.account()).filter(|r| r["state"] == "refused"));
    assert_eq!(row["words"], "wrong user or password for realm \"office.test\"");
    assert!(c.log().contains("account office: refused: wrong user or password"), "{}", c.log());
    assert!(!c.log().contains("barley"));
}
