//! SIP's streams from outside: a real `tipring gateway`, spoken to by raw TCP and TLS clients that split, join, garble, dawdle and crowd.
//! Waits are reads with a bound; nothing is proven by a sleep.

#![cfg(feature = "shell")]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first of 32 ports that nobody uses now, below the range from which the system hands out its own.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 300) as u16;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < 360, "no 32 free ports on loopback");
        let base = 20_000 + (begin + n) % 360 * 32;
        let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..base + 32).all(free) {
            return base;
        }
    }
}

/// A folder of one test, gone with it unless it failed.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tipring-st-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
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

/// A gateway with one phone and the echo service, no directory.
struct Gateway {
    folder: Folder,
    process: Child,
    sip: SocketAddr,
    tls: SocketAddr,
}

impl Gateway {
    /// `ip` is where it listens; `more` are further keys of `[sip]`, made from the base of its ports.
    fn start(name: &str, ip: &str, more: impl FnOnce(&Folder, u16) -> String) -> Gateway {
        Gateway::start_with(name, ip, "", more)
    }
    /// `tables` come behind all others.
    fn start_with(name: &str, ip: &str, tables: &str, more: impl FnOnce(&Folder, u16) -> String) -> Gateway {
        let (folder, base) = (Folder::new(name), free_ports());
        let more = more(&folder, base);
        let listen = if more.contains("\nlisten =") { String::new() } else { format!("listen = \"{ip}:{base}\"\n") };
        let text = format!(
            "[sip]\n{listen}tls_listen = \"{ip}:{}\"\n{more}\n[api]\nlisten = \"127.0.0.1:{}\"\n[media]\nports = [{}, {}]\n[line]\ndigit_map = \"9000|x.T\"\n\
             [[port]]\nname = \"phone1\"\nkind = \"sim-phone\"\nnumber = \"2001\"\n{tables}",
            base + 1,
            base + 2,
            base + 4,
            base + 31
        );
        let config = folder.0.join("g.toml");
        std::fs::write(&config, text).expect("the test's folder can be written");
        let log = std::fs::File::create(folder.0.join("g.log")).expect("a log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tipring"))
            .args(["gateway", "--config"])
            .arg(&config)
            .env("TIPRING_STATE", &folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("tipring runs");
        let at = |port: u16| format!("{ip}:{port}").parse().expect("an address");
        let began = Instant::now();
        loop {
            let up = std::fs::read_to_string(folder.0.join("g.log")).unwrap_or_default();
            if up.contains("gateway g up") {
                break;
            }
            let ended = process.try_wait().expect("our child");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "the gateway does not come up: {up}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Gateway { folder, process, sip: at(base), tls: at(base + 1) }
    }
    fn ask(&self, args: &[&str]) -> Value {
        let config = self.folder.0.join("g.toml");
        let out = self.folder.tipring(&[args, &["--json", "--config", config.to_str().expect("a plain path")]].concat());
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&out.stderr)))
    }
    fn sim(&self, args: &[&str]) {
        let config = self.folder.0.join("g.toml");
        let out = self.folder.tipring(&[&["sim", "phone1"], args, &["--config", config.to_str().expect("a plain path")]].concat());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    /// The phone dials this, hears what it hears until `done`, and hangs up. The call's record.
    fn phone_dials(&self, digits: &str, done: impl Fn() -> bool) -> Value {
        let until = |what: &str, look: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !look() {
                assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
                std::thread::sleep(Duration::from_millis(60));
            }
        };
        let notes = || self.ask(&["sim", "phone1", "notes"]).as_array().cloned().unwrap_or_default();
        let records = || std::fs::read_to_string(self.folder.0.join("g/calls.jsonl")).unwrap_or_default();
        let (before, lines) = (notes().len(), records().lines().count());
        self.sim(&["off-hook"]);
        until("dial tone", &|| notes().iter().skip(before).any(|n| n["what"] == "dial-tone"));
        self.sim(&["dial", digits]);
        until("the call", &done);
        self.sim(&["on-hook"]);
        until("the record", &|| records().lines().count() > lines);
        until("idle", &|| self.ask(&["ports"])[0]["state"] == "idle");
        serde_json::from_str(records().lines().last().expect("there is one")).expect("a record is JSON")
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("g.log")).unwrap_or_default()
    }
    fn plain(name: &str) -> Gateway {
        Gateway::start(name, "127.0.0.1", |_, _| String::new())
    }
    fn tcp(&self) -> Talk<TcpStream> {
        Talk::over("TCP", connect(self.sip))
    }
    /// A TLS client that trusts the certificate which the gateway made for itself.
    fn tls(
        &self,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> io::Result<Talk<StreamOwned<ClientConnection, TcpStream>>> {
        let file = self.folder.0.join("g/tls-certificate.pem");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).expect("the gateway made one")).expect("it is one");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("the usual ones");
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("they fit"),
        };
        let connection = ClientConnection::new(Arc::new(config), ServerName::from(self.tls.ip())).expect("a name");
        let mut stream = StreamOwned::new(connection, connect(self.tls));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Talk::over("TLS", stream))
    }
    /// OPTIONS by UDP: how long until the answer.
    fn ask_by_udp(&self) -> Duration {
        let socket = UdpSocket::bind((self.sip.ip(), 0)).expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be bounded");
        let began = Instant::now();
        socket
            .send_to(&request("OPTIONS", "x", "UDP", "SIP/2.0", &socket.local_addr().expect("it is bound").to_string(), "", ""), self.sip)
            .expect("it leaves");
        let mut buffer = [0; 4096];
        let n = socket.recv(&mut buffer).expect("an answer by UDP");
        assert!(buffer[..n].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&buffer[..n]));
        began.elapsed()
    }
}
impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.0.join("g.log")).unwrap_or_default());
        }
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_nodelay(true).expect("it can be set");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be bounded");
    stream
}

/// A request with its own branch and Call-ID.
fn request(method: &str, user: &str, transport: &str, version: &str, via: &str, more: &str, body: &str) -> Vec<u8> {
    static SERIAL: AtomicU32 = AtomicU32::new(1);
    let n = SERIAL.fetch_add(1, Ordering::Relaxed);
    let length = body.len();
    format!(
        "{method} sip:{user}@gateway.test {version}\r\nVia: SIP/2.0/{transport} {via};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:test@client.test>;tag=f{n}\r\nTo: <sip:{user}@gateway.test>\r\nCall-ID: c{n}@client.test\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:test@{via}>\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn options(transport: &str) -> Vec<u8> {
    request("OPTIONS", "x", transport, "SIP/2.0", "127.0.0.1:9", "", "")
}

fn header(message: &str, name: &str) -> String {
    let wanted = format!("{name}: ");
    message.lines().find_map(|l| l.strip_prefix(&wanted)).unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

/// A client on one connection.
struct Talk<S> {
    transport: &'static str,
    stream: S,
    held: Vec<u8>,
}

impl<S: Read + Write> Talk<S> {
    fn over(transport: &'static str, stream: S) -> Self {
        Talk { transport, stream, held: Vec::new() }
    }
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).expect("it can be written");
    }
    /// The next message, whole; line ends before it are passed over.
    fn receive(&mut self) -> String {
        loop {
            while self.held.starts_with(b"\r\n") {
                self.held.drain(..2);
            }
            if let Some(end) = self.held.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
                let length: usize = header(&head, "Content-Length").parse().expect("a length");
                if self.held.len() >= end + 4 + length {
                    let message: Vec<u8> = self.held.drain(..end + 4 + length).collect();
                    return String::from_utf8(message).expect("ours are text");
                }
            }
            let mut piece = [0; 4096];
            let n = self.stream.read(&mut piece).expect("an answer");
            assert!(n > 0, "closed instead of an answer; held: {}", String::from_utf8_lossy(&self.held));
            self.held.extend_from_slice(&piece[..n]);
        }
    }
    /// An answer to this request, with this status.
    fn answered(&mut self, request: &[u8], status: &str) -> String {
        let answer = self.receive();
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{answer}");
        assert_eq!(header(&answer, "Call-ID"), header(&String::from_utf8_lossy(request), "Call-ID"));
        answer
    }
    fn ask(&mut self) {
        let ask = options(self.transport);
        self.send(&ask);
        self.answered(&ask, "200");
    }
    /// Whether the other end closes before `within`.
    fn is_closed(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
    /// Calls the echo, speaks, hears itself, hangs up.
    fn call_echo(&mut self, ip: &str) {
        let rtp = UdpSocket::bind((ip, 0)).expect("a port");
        rtp.set_read_timeout(Some(Duration::from_millis(20))).expect("it can be bounded");
        let (family, port) = (if ip.contains(':') { "IP6" } else { "IP4" }, rtp.local_addr().expect("it is bound").port());
        let offer = format!("v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n");
        let via = if ip.contains(':') { format!("[{ip}]:9") } else { format!("{ip}:9") };
        let invite = request("INVITE", "9000", self.transport, "SIP/2.0", &via, "Content-Type: application/sdp\r\n", &offer);
        self.send(&invite);
        let answer = loop {
            let answer = self.receive();
            if !answer.starts_with("SIP/2.0 1") {
                break answer;
            }
        };
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let contact = header(&answer, "Contact");
        assert!(contact.contains(&format!(";transport={}", self.transport.to_lowercase())), "{contact}");
        let line = answer.lines().find_map(|l| l.strip_prefix("m=audio ")).expect("audio");
        let there: u16 = line.split(' ').next().and_then(|p| p.parse().ok()).expect("a port");
        let said = String::from_utf8_lossy(&invite).into_owned();
        let uri = contact.trim_start_matches('<').split('>').next().expect("a URI").to_owned();
        let in_dialog = |method: &str, cseq: u32| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{} {via};branch=z9hG4bK{method}{there};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
                 Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
                self.transport,
                header(&said, "From"),
                header(&answer, "To"),
                header(&said, "Call-ID"),
            )
            .into_bytes()
        };
        let (ack, bye) = (in_dialog("ACK", 1), in_dialog("BYE", 2));
        self.send(&ack);
        // A square wave at 400 Hz; the echo starts when the media thread has set up its leg.
        let mut heard = 0;
        for n in 0..200u32 {
            let mut packet = vec![0x80, 0, (n >> 8) as u8, n as u8];
            packet.extend_from_slice(&(n * 160).to_be_bytes());
            packet.extend_from_slice(&[1, 2, 3, 4]);
            packet.extend((0..160).map(|i| if i / 10 % 2 == 0 { 0x90u8 } else { 0x10 }));
            rtp.send_to(&packet, (ip, there)).expect("it leaves");
            let mut buffer = [0; 400];
            // One for one: the gateway sends as often as we do.
            if let Ok(got) = rtp.recv(&mut buffer) {
                heard += usize::from(got > 100 && buffer[12..got].iter().filter(|b| **b & 0x7F < 0x30).count() > 100);
            }
            if heard >= 10 {
                break;
            }
        }
        assert!(heard >= 10, "{heard} packets came back loud");
        self.send(&bye);
        self.answered(&bye, "200");
    }
}

#[test]
fn a_message_split_at_every_byte_is_read_whole_by_tcp_and_tls() {
    let gateway = Gateway::plain("split");
    let mut tcp = gateway.tcp();
    let length = options("TCP").len();
    for at in 1..length {
        let ask = options("TCP");
        let (first, second) = ask.split_at(at.min(ask.len() - 1));
        tcp.send(first);
        // So that the two are two reads at the other end too, mostly.
        std::thread::sleep(Duration::from_micros(500));
        tcp.send(second);
        tcp.answered(&ask, "200");
    }
    let mut tls = gateway.tls(None).expect("the handshake");
    let ask = options("TLS");
    for byte in &ask {
        tls.send(std::slice::from_ref(byte));
    }
    tls.answered(&ask, "200");
}

#[test]
fn several_messages_in_one_write_are_answered_each_and_pings_between() {
    let gateway = Gateway::plain("joined");
    let mut tcp = gateway.tcp();
    let asks: Vec<Vec<u8>> = (0..20).map(|_| options("TCP")).collect();
    let mut joined = b"\r\n\r\n".to_vec();
    for ask in &asks {
        joined.extend_from_slice(ask);
        joined.extend_from_slice(b"\r\n");
    }
    tcp.send(&joined);
    for ask in &asks {
        tcp.answered(ask, "200");
    }
    tcp.send(b"\r\n\r\n");
    let mut pong = [0; 2];
    tcp.stream.read_exact(&mut pong).expect("a pong");
    assert_eq!(&pong, b"\r\n");
}

#[test]
fn calls_to_the_echo_by_tcp_and_tls() {
    let gateway = Gateway::plain("echo");
    gateway.tcp().call_echo("127.0.0.1");
    gateway.tls(None).expect("the handshake").call_echo("127.0.0.1");
}

#[test]
fn ipv6_speaks_all_three() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this host has no IPv6");
        return;
    }
    let gateway = Gateway::start("six", "[::1]", |_, _| String::new());
    gateway.ask_by_udp();
    gateway.tcp().call_echo("::1");
    gateway.tls(None).expect("the handshake").call_echo("::1");
    drop(gateway);
    let both = Gateway::start("both", "127.0.0.1", |_, base| format!("\nlisten = [\"127.0.0.1:{base}\", \"[::1]:{base}\"]\n"));
    both.ask_by_udp();
    both.tcp().ask();
    Talk::over("TCP", connect(SocketAddr::new("::1".parse().expect("an address"), both.sip.port()))).ask();
}

#[test]
fn garbage_closes_its_connection_and_nothing_else() {
    let gateway = Gateway::plain("garbage");
    let mut good = gateway.tcp();
    good.ask();
    let mut noise = tipring::clock::Rng::new(7);
    let random: Vec<u8> = (0..100_000).map(|_| noise.next_u64() as u8).collect();
    for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", &[b'A'; 200_000], &random]
    {
        let mut bad = gateway.tcp();
        // The other end may have had enough before all is written.
        let _cut = bad.stream.write_all(garbage);
        assert!(bad.is_closed(), "{:?}", &garbage[..10]);
    }
    // What can be answered is, before the end.
    for (wrong, status) in [("Content-Length: x", "400"), ("Content-Length: 99999999", "513")] {
        let mut bad = gateway.tcp();
        let ask = String::from_utf8(options("TCP")).expect("ours are text").replace("Content-Length: 0", wrong);
        bad.send(ask.as_bytes());
        let answer = bad.receive();
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")) || answer.starts_with("SIP/2.0 400 "), "{wrong}: {answer}");
        assert!(bad.is_closed(), "{wrong}");
    }
    // A TLS port that is spoken to in the clear.
    let mut bad = Talk::over("TLS", connect(gateway.tls));
    bad.send(&options("TLS"));
    assert!(bad.is_closed());
    good.ask();
    gateway.ask_by_udp();
}

/// A connection from one of the addresses of loopback.
fn connect_from(ip: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((ip, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

#[test]
fn a_thousand_idle_connections_stop_nobody_and_one_source_gets_its_share_only() {
    tipring::shell::sys::raise_descriptor_limit();
    let gateway = Gateway::plain("crowd");
    let crowd: Vec<TcpStream> = (0..1000).map(|i| connect_from([127, 0, 1, (i % 5) as u8], gateway.sip).expect("there is room")).collect();
    for _ in 0..20 {
        let took = gateway.ask_by_udp();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    gateway.tcp().ask();
    // Every one of them still works.
    for stream in crowd.iter().step_by(100) {
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be bounded");
        Talk::over("TCP", stream.try_clone().expect("a second handle")).ask();
    }
    let greedy: Vec<TcpStream> = (0..300).filter_map(|_| connect_from([127, 0, 2, 1], gateway.sip).ok()).collect();
    let mut refused = 0;
    for stream in &greedy[256..] {
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be bounded");
        refused += usize::from(Talk::over("TCP", stream.try_clone().expect("a second handle")).is_closed());
    }
    assert_eq!(refused, greedy.len() - 256, "what is above the share is closed");
    Talk::over("TCP", greedy[0].try_clone().expect("a second handle")).ask();
    drop(greedy);
    gateway.ask_by_udp();
    drop(crowd);
}

#[test]
fn who_dribbles_is_cut_off_and_who_does_not_is_not() {
    let gateway = Gateway::plain("slow");
    let (mut slow, mut good) = (gateway.tcp(), gateway.tcp());
    good.ask();
    let began = Instant::now();
    slow.send(b"OPTIONS sip:x@gateway.test SIP/2.0\r\nX: ");
    slow.stream.set_read_timeout(Some(Duration::from_millis(100))).expect("it can be bounded");
    let mut piece = [0; 10];
    while began.elapsed() < PATIENCE && slow.stream.write_all(b"x").is_ok() && !matches!(slow.stream.read(&mut piece), Ok(0)) {}
    assert!((8..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    good.ask();
    gateway.ask_by_udp();
}

fn certificate_of(pair: &KeyPair) -> CertificateDer<'static> {
    let params = CertificateParams::new(vec!["client.test".to_owned()]).expect("a name");
    params.self_signed(pair).expect("it can be signed").der().clone()
}

fn pem(path: &Path, pair: &KeyPair) -> CertificateDer<'static> {
    let params = CertificateParams::new(vec!["client.test".to_owned()]).expect("a name");
    let made = params.self_signed(pair).expect("it can be signed");
    std::fs::write(path, made.pem()).expect("the test's folder can be written");
    made.der().clone()
}

#[test]
fn mutual_tls_refuses_strangers() {
    let known = KeyPair::generate().expect("a key");
    let mut certificate = None;
    let gateway = Gateway::start("mutual", "127.0.0.1", |folder, _| {
        certificate = Some(pem(&folder.0.join("clients.pem"), &known));
        "tls_client_ca = \"clients.pem\"\ntls_verify = \"required\"".into()
    });
    let key = |pair: &KeyPair| PrivateKeyDer::try_from(pair.serialize_der()).expect("a key");
    let stranger = KeyPair::generate().expect("a key");
    for own in [None, Some((certificate_of(&stranger), key(&stranger)))] {
        // In TLS 1.3 the client hears of its refusal after its own handshake: by then nothing it said was read.
        if let Ok(mut talk) = gateway.tls(own) {
            let _cut = talk.stream.write_all(&options("TLS"));
            let mut piece = [0; 100];
            let read = talk.stream.read(&mut piece);
            assert!(!matches!(read, Ok(n) if n > 0), "a stranger was answered");
        }
    }
    let mut talk = gateway.tls(Some((certificate.expect("it was made"), key(&known)))).expect("the handshake");
    talk.ask();
    talk.call_echo("127.0.0.1");
}

/// A name server of our own, for as long as the test runs.
fn name_server(rows: Vec<(&'static str, RData)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((n, src)) = socket.recv_from(&mut buffer) {
            let Ok(ask) = Message::from_vec(&buffer[..n]) else { continue };
            let Some(query) = ask.queries.first().cloned() else { continue };
            let name = query.name().to_ascii().to_ascii_lowercase();
            let of_name: Vec<_> = rows.iter().filter(|(n, _)| *n == name).collect();
            let mut answer = Message::response(ask.metadata.id, ask.metadata.op_code);
            answer.metadata.recursion_available = true;
            answer.metadata.response_code = if of_name.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
            answer.add_query(query.clone());
            for (_, data) in of_name.into_iter().filter(|(_, data)| data.record_type() == query.query_type()) {
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
            }
            let _gone = socket.send_to(&answer.to_vec().expect("it is small"), src);
        }
    });
    address
}

/// The whole way out: a domain's NAPTR, its SRV, a server that is not there, and the next one, which must prove the domain by TLS.
#[test]
fn a_call_finds_its_way_by_dns_fails_over_and_reaches_only_who_proves_the_name() {
    let b = Gateway::start("far", "127.0.0.1", |folder, _| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["good.test".to_owned()]).expect("a name");
        let made = params.self_signed(&key).expect("it can be signed");
        std::fs::write(folder.0.join("c.pem"), made.pem()).expect("the test's folder can be written");
        std::fs::write(folder.0.join("k.pem"), key.serialize_pem()).expect("the test's folder can be written");
        "tls_cert = \"c.pem\"\ntls_key = \"k.pem\"".into()
    });
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let name = |n: &str| Name::from_ascii(n).expect("a name");
    let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    let naptr = |order, service: &str, to: &str| RData::NAPTR(NAPTR::new(order, 1, bytes("s"), bytes(service), bytes(""), name(to)));
    let tls = |port| RData::SRV(SRV::new(1, 1, port, name("server.test.")));
    let dns = name_server(vec![
        ("good.test.", naptr(1, "SIP+D2T", "_sip._tcp.good.test.")),
        ("good.test.", naptr(2, "SIPS+D2T", "_sips._tcp.good.test.")),
        ("_sip._tcp.good.test.", tls(dead)),
        ("_sips._tcp.good.test.", tls(b.tls.port())),
        ("bad.test.", naptr(1, "SIPS+D2T", "_sips._tcp.bad.test.")),
        ("_sips._tcp.bad.test.", tls(b.tls.port())),
        ("server.test.", RData::A(A::new(127, 0, 0, 1))),
    ]);
    let tables = "[[account]]\nname = \"good\"\nserver = \"sip:good.test\"\nregister = false\nuser = \"a\"\n\
                  [[account]]\nname = \"bad\"\nserver = \"sip:bad.test\"\nregister = false\nuser = \"a\"\n\
                  [[route]]\nprefix = \"7\"\nstrip = 1\naccount = \"good\"\n[[route]]\nprefix = \"6\"\nstrip = 1\naccount = \"bad\"\n";
    let ca = b.folder.0.join("c.pem");
    let a = Gateway::start_with("near", "127.0.0.1", tables, |_, _| format!("dns = \"{dns}\"\ntls_ca = \"{}\"", ca.display()));
    let in_call = || a.ask(&["calls"])[0]["state"] == "talking" || b.log().contains("to 9000");
    let record = a.phone_dials("79000#", in_call);
    assert_eq!(record["completed"], true, "{record}\n{}", a.log());
    assert_eq!(b.log().matches("to 9000").count(), 1, "{}", b.log());
    let (near, far) = (a.ask(&["status"]), b.ask(&["status"]));
    assert_eq!((&near["sip_transport"]["open_out"], &far["sip_transport"]["open_in"]), (&1.into(), &1.into()), "one TLS connection");
    // The same server under a name that it cannot prove hears nothing.
    let failed = || a.log().contains("503 No way there");
    let record = a.phone_dials("69000#", failed);
    assert_eq!(record["completed"], false, "{record}");
    assert_eq!(b.log().matches("to 9000").count(), 1, "{}", b.log());
}

#[test]
fn check_says_how_sip_stands_and_names_every_fault() {
    let folder = Folder::new("check");
    let config = |sip: &str| {
        let path = folder.0.join("g.toml");
        let text = format!(
            "[sip]\n{sip}\n[api]\nlisten = \"127.0.0.1:2\"\n[media]\nports = [26000, 26063]\n[[port]]\nname = \"p\"\nkind = \"sim-phone\"\nnumber = \"2001\"\n"
        );
        std::fs::write(&path, text).expect("the test's folder can be written");
        let out = folder.tipring(&["check", "--config", path.to_str().expect("a plain path")]);
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (ok, said) = config("listen = [\"127.0.0.1:5060\", \"[::1]:5060\"]\ntls_listen = \"127.0.0.1:5061\"");
    assert!(
        ok && said.contains("SIP on 127.0.0.1:5060, [::1]:5060 (UDP, TCP), 127.0.0.1:5061 (TLS), certificate made by itself"),
        "{said}"
    );
    assert!(!said.contains("WARNING: sip"), "{said}");
    let (ok, said) = config("listen = \"127.0.0.1:5060\"\ntls_verify_peer = false");
    assert!(ok && said.contains("WARNING: sip.tls_verify_peer = false"), "{said}");
    // A wildcard tells peers what the machine's address is at the time.
    let (ok, said) = config("listen = \"0.0.0.0:5060\"");
    assert!(ok && said.contains("peers are told this machine's address toward the directory"), "{said}");
    std::fs::write(folder.0.join("bad.pem"), "not a certificate").expect("the test's folder can be written");
    for (sip, fault) in [
        ("listen = \"127.0.0.1\"", "g.toml:2: listen: "),
        ("listen = \"127.0.0.1:5060\"\ntls_ca = \"bad.pem\"", "g.toml:3: sip.tls_ca: "),
        ("listen = \"127.0.0.1:5060\"\ntls_ca = \"none.pem\"", "none.pem: No such file"),
        ("listen = \"127.0.0.1:5060\"\ntls_cert = \"bad.pem\"\ntls_key = \"bad.pem\"", "g.toml:3: sip.tls_cert: "),
        ("listen = \"127.0.0.1:5060\"\ntls_verify = \"required\"", "g.toml:3: sip.tls_verify: "),
    ] {
        let (ok, said) = config(sip);
        assert!(!ok && said.contains(fault), "{sip}: {said}");
    }
}
