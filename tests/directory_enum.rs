//! ENUM through its sockets: `tipring directory` as a process, asked by `dig`, by hickory's resolver and by hand.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)] // a test may
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

mod skip;

use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use skip::skip;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tipring::api::directory::RegisterRequest;
use tipring::digest::{Asked, Challenge, Ha1, Qop};
use tipring::limits::BINDINGS_PER_NUMBER_MAX;
use tipring::shell::directory_client::{DirectoryClient, Login, Timeouts};
use tipring::sip::message::Message;

/// A directory with its folder, both gone with the test.
struct Stage {
    folder: PathBuf,
    dns: SocketAddr,
    api: SocketAddr,
    sip: SocketAddr,
    daemon: Child,
}

impl Stage {
    /// `ip` is where DNS listens; `more` goes into `[enum]`, and behind it.
    fn new(name: &str, ip: &str, more: &str) -> Stage {
        let folder = std::env::temp_dir().join(format!("tipring-enum-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let dns = SocketAddr::new(ip.parse().unwrap(), free_port(ip));
        let [api, sip] = [(), ()].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port("127.0.0.1"))));
        let text = format!(
            "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\nlisten = \"{api}\"\n[sip]\nlisten = \"{sip}\"\n[accounts]\nfile = \"accounts.csv\"\n\
             [enum]\nlisten = \"{dns}\"\n{more}\n"
        );
        std::fs::write(folder.join("lan.toml"), text).unwrap();
        let accounts: String = (2001..2010).map(|n| format!("{n},pw{n}\n")).collect();
        std::fs::write(folder.join("accounts.csv"), accounts).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(["directory", "--config", folder.join("lan.toml").to_str().unwrap()]);
        let daemon = command.env("TIPRING_STATE", &folder).stderr(Stdio::from(log)).stdout(Stdio::null()).spawn().unwrap();
        let stage = Stage { folder, dns, api, sip, daemon };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(dns).is_err() || TcpStream::connect(api).is_err() {
            assert!(Instant::now() < until, "the directory does not listen: {}", stage.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        stage
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
    async fn register(&self, number: &str, contact: &str, lease_s: u32) {
        let login = Login { user: number.into(), password: format!("pw{number}") };
        let ask =
            RegisterRequest { contact: contact.into(), instance: format!("t-{number}"), lease_s: Some(lease_s), ..Default::default() };
        DirectoryClient::new(self.api, Timeouts::default()).register(&login, &ask).await.unwrap();
    }
    /// Several phones of one number register by SIP, in one REGISTER with digest.
    fn register_many(&self, number: &str, contacts: usize) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.sip).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let (here, mut login) = (socket.local_addr().unwrap(), String::new());
        let phones: String = (0..contacts).map(|n| format!("Contact: <sip:{number}-{n}@192.0.2.{n}:50{n:02}>;q=0.{n}\r\n")).collect();
        for cseq in 1..3 {
            let text = format!(
                "REGISTER sip:lan.test SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{cseq};rport\r\nMax-Forwards: 70\r\nFrom: <sip:{number}@lan.test>;tag=t\r\n\
                 To: <sip:{number}@lan.test>\r\nCall-ID: many@test\r\nCSeq: {cseq} REGISTER\r\n{login}{phones}Content-Length: 0\r\n\r\n"
            );
            socket.send(text.as_bytes()).unwrap();
            let mut buffer = [0; 4000];
            let n = socket.recv(&mut buffer).unwrap();
            let said = Message::parse(&buffer[..n]).unwrap();
            if cseq == 2 {
                assert_eq!((said.status(), said.headers.values("Contact").count()), (Some(200), contacts));
                return;
            }
            let challenge = std::str::from_utf8(said.headers.get("WWW-Authenticate").unwrap()).unwrap();
            let challenge = Challenge::parse_all(challenge).remove(0);
            let ha1 = Ha1::of(number, "lan.test", &format!("pw{number}"));
            let asked = Asked { method: "REGISTER", uri: "sip:lan.test", body: b"" };
            login = format!("Authorization: {}\r\n", challenge.answer(number, &ha1, &asked, Some(Qop::Auth), 1, "c").unwrap().emit());
        }
    }
    fn dig(&self, more: &[&str]) -> String {
        let mut dig = Command::new("dig");
        dig.arg(format!("@{}", self.dns.ip())).args(["-p", &self.dns.port().to_string(), "+tries=1", "+time=3"]);
        let out = dig.args(more).output().unwrap();
        // It lines columns up with tabs and spaces.
        let lines =
            String::from_utf8_lossy(&out.stdout).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        lines.join("\n")
    }
    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.dns.ip(), 0)).unwrap();
        socket.connect(self.dns).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket
    }
}
impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port(ip: &str) -> u16 {
    loop {
        let port = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        if std::net::TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
}

/// A question for NAPTR.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut q = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        q.push(label.len() as u8);
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, 35, 0, 1]);
    q
}

fn dig_is_here() -> bool {
    let here = Command::new("dig").arg("-v").output().is_ok();
    if !here {
        skip("dig is not installed (scripts/setup test)");
    }
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn req_c9_dig_finds_a_number_over_udp_and_tcp_and_is_told_what_is_away_and_what_is_not() {
    if !dig_is_here() {
        return;
    }
    let office = "[[enum.zone]]\nname = \"enum.lan.test\"\n[[enum.zone]]\nname = \"e164.arpa\"\nstrip = \"44207946\"\n[registration]\nlease_min_s = 10\n";
    let s = Stage::new("dig", "127.0.0.1", office);
    s.register("2001", "192.0.2.7:5060", 3600).await;
    s.register("2002", "[2001:db8::7]:5070", 20).await;
    let naptr = "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:2001@192.0.2.7:5060!\" .";
    for (name, more) in [
        ("1.0.0.2.enum.lan.test", "+noedns"),
        ("1.0.0.2.enum.lan.test", "+tcp"),
        ("1.0.0.2.1.enum.lan.test", "+norec"),
        ("1.0.0.2.6.4.9.7.0.2.4.4.e164.arpa", "+dnssec"),
    ] {
        let said = s.dig(&["NAPTR", name, more]);
        assert!(said.contains("status: NOERROR") && said.contains(&format!("{name}. 60 IN NAPTR {naptr}")), "{said}");
        assert!(said.contains("flags: qr aa"), "{said}");
        assert!(!said.contains("WARNING: Message parser") && !said.contains("malformed"), "{said}");
    }
    let soon = s.dig(&["NAPTR", "2.0.0.2.enum.lan.test", "+short"]);
    assert_eq!(soon.trim(), "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:2002@[2001:db8::7]:5070!\" .");
    let ttl = s.dig(&["NAPTR", "2.0.0.2.enum.lan.test", "+noall", "+answer"]);
    let ttl: u32 = ttl.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((10..20).contains(&ttl), "{ttl} s of a lease of 20");
    let away = s.dig(&["NAPTR", "3.0.0.2.enum.lan.test"]);
    assert!(away.contains("status: NOERROR") && away.contains("ANSWER: 0") && away.contains("15 IN SOA ns.enum.lan.test."), "{away}");
    let unknown = s.dig(&["NAPTR", "9.9.9.2.enum.lan.test"]);
    assert!(unknown.contains("status: NXDOMAIN") && unknown.contains("15 IN SOA ns.enum.lan.test."), "{unknown}");
    assert!(s.dig(&["NAPTR", "1.0.0.2.enum.example"]).contains("status: REFUSED"));
    assert!(s.dig(&["AXFR", "enum.lan.test"]).contains("Transfer failed"));
    let ns = s.dig(&["NS", "enum.lan.test"]);
    assert!(ns.contains("NS ns.enum.lan.test.") && ns.contains("ns.enum.lan.test. 3600 IN A 127.0.0.1"), "{ns}");
    assert!(s.dig(&["SOA", "enum.lan.test", "+short"]).starts_with("ns.enum.lan.test. hostmaster.enum.lan.test. "));
    assert!(s.dig(&["TXT", "version.bind", "CH"]).contains("status: REFUSED"));
    assert!(s.dig(&["NAPTR", "1.0.0.2.enum.lan.test", "+edns=5", "+noednsneg"]).contains("status: BADVERS"));
    assert!(s.dig(&["NAPTR", "1.0.0.2.enum.lan.test", "+opcode=NOTIFY"]).contains("status: NOTIMP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_finds_numbers_and_asks_over_tcp_for_what_does_not_fit() {
    for ip in ["127.0.0.1", "::1"] {
        if UdpSocket::bind((ip, 0)).is_err() {
            continue;
        }
        let s = Stage::new(&format!("hickory-{}", ip.len()), ip, "[lookup]\ncredentials = \"anyone\"\n");
        s.register("2001", "192.0.2.7:5060", 3600).await;
        let at = |mut c: ConnectionConfig| {
            c.port = s.dns.port();
            c
        };
        let server = NameServerConfig::new(s.dns.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())]);
        let mut options = ResolverOpts::default();
        options.edns0 = ip == "::1";
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().unwrap();
        let found = resolver.lookup("1.0.0.2.enum.lan.test.", RecordType::NAPTR).await.unwrap();
        let regexps: Vec<String> = found
            .answers()
            .iter()
            .filter_map(|r| match &r.data {
                RData::NAPTR(n) => Some(String::from_utf8(n.regexp.to_vec()).unwrap()),
                _ => None,
            })
            .collect();
        assert_eq!(regexps, ["!^.*$!sip:2001@192.0.2.7:5060!"]);
        // Without EDNS eight contacts are more than a datagram may have, so these came over TCP; either way the best is first.
        s.register_many("2003", BINDINGS_PER_NUMBER_MAX);
        let mut buffer = [0; 600];
        let socket = s.udp();
        socket.send(&query(9, "3.0.0.2.enum.lan.test")).unwrap();
        socket.recv(&mut buffer).unwrap();
        assert_eq!((buffer[2] & 2, buffer[7]), (2, 0), "cut off (TC), and no record");
        let many = resolver.lookup("3.0.0.2.enum.lan.test.", RecordType::NAPTR).await.unwrap();
        assert_eq!(many.answers().len(), BINDINGS_PER_NUMBER_MAX);
        let best = many
            .answers()
            .iter()
            .filter_map(|r| if let RData::NAPTR(n) = &r.data { Some(n) } else { None })
            .min_by_key(|n| n.preference)
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&best.regexp), "!^.*$!sip:2003-7@192.0.2.7:5007!");
        let none = resolver.lookup("9.9.9.2.enum.lan.test.", RecordType::NAPTR).await.unwrap_err();
        assert!(none.is_nx_domain(), "{none}");
        let away = resolver.lookup("2.0.0.2.enum.lan.test.", RecordType::NAPTR).await.unwrap_err();
        assert!(away.is_no_records_found() && !away.is_nx_domain(), "{away}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_up_is_refused_and_a_flood_of_it_makes_one_line() {
    let s = Stage::new("refused", "127.0.0.1", "allow = [\"192.0.2.0/24\"]\n");
    s.register("2001", "192.0.2.7:5060", 3600).await;
    let socket = s.udp();
    let mut buffer = [0; 600];
    for id in 0..500 {
        socket.send(&query(id, "1.0.0.2.enum.lan.test")).unwrap();
        let n = socket.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..2], buffer[3] & 15, n), (&id.to_be_bytes()[..], 5, query(id, "1.0.0.2.enum.lan.test").len()));
    }
    // Over connections it is the same source, and makes no line of its own.
    for id in 0..5 {
        let mut stream = TcpStream::connect(s.dns).unwrap();
        let q = query(id, "1.0.0.2.enum.lan.test");
        stream.write_all(&[&(q.len() as u16).to_be_bytes()[..], &q].concat()).unwrap();
        stream.read_exact(&mut buffer[..q.len() + 2]).unwrap();
        assert_eq!(buffer[5] & 15, 5);
    }
    // The negative control: the same source, allowed, is answered (every other test here).
    assert_eq!(s.log().matches("ENUM query refused").count(), 1, "{}", s.log());
}

#[test]
fn many_queries_at_once_are_all_answered_and_what_is_none_is_passed_over() {
    let s = Stage::new("many", "127.0.0.1", "");
    let socket = s.udp();
    for round in 0..20u16 {
        for n in 0..50 {
            socket.send(&query(round * 50 + n, "5.0.0.2.enum.lan.test")).unwrap();
            socket.send(b"no query").unwrap();
        }
        let mut ids: Vec<u16> = (0..50)
            .map(|_| {
                let mut buffer = [0; 600];
                socket.recv(&mut buffer).unwrap();
                u16::from_be_bytes([buffer[0], buffer[1]])
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (round * 50..round * 50 + 50).collect::<Vec<_>>());
    }
}

#[test]
fn a_connection_carries_many_queries_and_ends_with_what_is_none() {
    let s = Stage::new("tcp", "127.0.0.1", "");
    let framed = |id| {
        let q = query(id, "5.0.0.2.enum.lan.test");
        [&(q.len() as u16).to_be_bytes()[..], &q].concat()
    };
    let mut stream = TcpStream::connect(s.dns).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // All at once, and the last in two halves.
    let mut all: Vec<u8> = (0..200).flat_map(framed).collect();
    let rest = all.split_off(all.len() - 9);
    stream.write_all(&all).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(&rest).unwrap();
    for id in 0..200u16 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((&answer[..2], answer[3] & 15), (&id.to_be_bytes()[..], 0));
    }
    for junk in [&b"\xff\xff"[..], b"\0\0", b"\0\x0c\x01\x02\x80answers"] {
        let mut stream = TcpStream::connect(s.dns).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(junk).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed");
    }
    let held: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(s.dns).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let lives = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.write_all(&framed(7)).is_ok() && stream.read(&mut [0; 600]).is_ok_and(|n| n > 0)
    };
    let living = held.into_iter().filter_map(|mut s| lives(&mut s).then_some(())).count();
    // One source's, less the first connection above.
    assert_eq!(living, tipring::limits::DNS_CONNECTIONS_PER_SOURCE_MAX - 1);
    assert_eq!(s.udp().send(&query(1, "5.0.0.2.enum.lan.test")).unwrap(), framed(1).len() - 2);
}
