//! The directory's SIP door through its sockets: `tipring directory` as a process, phones as plain sockets on loopback.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)] // a test may
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tipring::digest::{Algorithm, Asked, Challenge, Ha1, Qop};
use tipring::sip::message::{Message, stream_message_len};

/// A directory with its folder, both gone with the test.
struct Stage {
    folder: PathBuf,
    sip: SocketAddr,
    daemon: Option<Child>,
}

impl Stage {
    fn new(name: &str, more: &str) -> Stage {
        Stage::of(name, "1", more)
    }
    fn of(name: &str, server: &str, more: &str) -> Stage {
        let folder = std::env::temp_dir().join(format!("tipring-sip-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let [sip, api] = [(), ()].map(|()| free_port());
        let text = format!(
            "domain = \"lan.test\"\nserver_number = \"{server}\"\nterminal_digits = 4\n[sip]\nlisten = \"127.0.0.1:{sip}\"\n\
             [api]\nlisten = \"127.0.0.1:{api}\"\n[accounts]\nfile = \"accounts.csv\"\n{more}\n"
        );
        std::fs::write(folder.join("lan.toml"), text).unwrap();
        let accounts: String = (2001..2030).map(|n| format!("{n},pw{n}\n")).collect();
        std::fs::write(folder.join("accounts.csv"), accounts).unwrap();
        let mut stage = Stage { folder, sip: ([127, 0, 0, 1], sip).into(), daemon: None };
        stage.start();
        stage
    }
    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(["directory", "--config", self.folder.join("lan.toml").to_str().unwrap()]);
        self.daemon = Some(command.env("TIPRING_STATE", &self.folder).stderr(Stdio::from(log)).stdout(Stdio::null()).spawn().unwrap());
        let phone = Phone::udp(self.sip);
        let until = Instant::now() + Duration::from_secs(20);
        while phone.ask("OPTIONS", "sip:ping@lan.test", "").is_none() {
            assert!(Instant::now() < until, "the directory does not answer: {}", self.log());
        }
    }
    /// A verb of the program about this directory, which must succeed.
    fn tipring(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
        command.args(args).args(["--config", self.folder.join("lan.toml").to_str().unwrap()]).env("TIPRING_STATE", &self.folder);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
    /// SIGKILL.
    fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
impl Drop for Stage {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.kill();
        }
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A phone: a socket, and what it says of itself.
struct Phone {
    wire: Wire,
    here: SocketAddr,
    serial: AtomicU32,
}

impl Phone {
    fn udp(to: SocketAddr) -> Phone {
        Phone::udp_from("127.0.0.1", to)
    }
    fn udp_from(from: &str, to: SocketAddr) -> Phone {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Phone { here: socket.local_addr().unwrap(), wire: Wire::Udp(socket), serial: AtomicU32::new(1) }
    }
    fn tcp(to: SocketAddr) -> Phone {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Phone { here: stream.local_addr().unwrap(), wire: Wire::Tcp(stream), serial: AtomicU32::new(1) }
    }
    fn text(&self, method: &str, uri: &str, to: &str, more: &str) -> String {
        let n = self.serial.fetch_add(1, Ordering::Relaxed);
        let (here, by) = (self.here, if matches!(self.wire, Wire::Udp(_)) { "UDP" } else { "TCP" });
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{by} {here};branch=z9hG4bK{}-{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:p@lan.test>;tag=t{n}\r\nTo: <{to}>\r\nCall-ID: {}-{n}@test\r\nCSeq: {n} {method}\r\n{more}Content-Length: 0\r\n\r\n",
            here.port(),
            here.port()
        )
    }
    fn send(&self, text: &str) -> Option<Message> {
        match &self.wire {
            Wire::Udp(socket) => {
                socket.send(text.as_bytes()).ok()?;
                let mut buffer = [0; 65_535];
                let n = socket.recv(&mut buffer).ok()?;
                Some(Message::parse(&buffer[..n]).unwrap())
            }
            Wire::Tcp(stream) => {
                let mut stream = stream;
                stream.write_all(text.as_bytes()).unwrap();
                let mut have = Vec::new();
                loop {
                    if let Some(n) = stream_message_len(&have).unwrap().filter(|n| *n <= have.len()) {
                        return Some(Message::parse(&have[..n]).unwrap());
                    }
                    let mut buffer = [0; 4096];
                    match stream.read(&mut buffer) {
                        Ok(n) if n > 0 => have.extend_from_slice(&buffer[..n]),
                        _ => return None,
                    }
                }
            }
        }
    }
    fn ask(&self, method: &str, uri: &str, more: &str) -> Option<Message> {
        self.send(&self.text(method, uri, uri, more))
    }
    fn status(&self, method: &str, uri: &str) -> Option<u16> {
        self.ask(method, uri, "")?.status()
    }
    fn challenge(&self, algorithm: Algorithm) -> Challenge {
        let answer = self.send(&self.text("REGISTER", "sip:lan.test", "sip:2001@lan.test", "")).unwrap();
        assert_eq!(answer.status(), Some(401));
        let values = answer.headers.iter().filter(|h| h.is("WWW-Authenticate"));
        let mut all = values.flat_map(|h| Challenge::parse_all(std::str::from_utf8(h.value).unwrap()));
        all.find(|c| c.algorithm == algorithm).unwrap()
    }
    /// A REGISTER with credentials.
    fn proven(&self, c: &Challenge, nc: u32, qop: Qop, user: &str, password: &str, more: &str) -> String {
        let ha1 = Ha1::of(user, "lan.test", password);
        let asked = Asked { method: "REGISTER", uri: "sip:lan.test", body: b"" };
        let login = c.answer(user, &ha1, &asked, Some(qop), nc, "c").unwrap().emit();
        self.text("REGISTER", "sip:lan.test", &format!("sip:{user}@lan.test"), &format!("Authorization: {login}\r\n{more}"))
    }
    fn register(&self, algorithm: Algorithm, user: &str, password: &str, more: &str) -> Message {
        let c = self.challenge(algorithm);
        self.send(&self.proven(&c, 1, Qop::Auth, user, password, more)).unwrap()
    }
    fn contact(&self) -> String {
        format!("Contact: <sip:x@{}>\r\n", self.here)
    }
}

fn contacts(m: &Message) -> Vec<String> {
    m.headers.values("Contact").map(|v| String::from_utf8_lossy(v).into_owned()).collect()
}

const OPEN: &str = "[lookup]\ncredentials = \"anyone\"";

#[test]
fn req_c4_c5_d2_phones_register_with_each_hash_are_found_and_leave() {
    let stage = Stage::new("register", OPEN);
    for (algorithm, qop, user) in
        [(Algorithm::Md5, Qop::Auth, "2001"), (Algorithm::Sha256, Qop::AuthInt, "2002"), (Algorithm::Sha512_256, Qop::Auth, "2003")]
    {
        let (phone, password, uri) = (Phone::udp(stage.sip), format!("pw{user}"), format!("sip:{user}@lan.test"));
        assert_eq!(phone.status("INVITE", &uri), Some(480), "known, and away");
        let c = phone.challenge(algorithm);
        let first = phone.proven(&c, 1, qop, user, &password, &format!("{}Expires: 600\r\n", phone.contact()));
        let ok = phone.send(&first).unwrap();
        assert_eq!((ok.status(), contacts(&ok)), (Some(200), vec![format!("<sip:x@{}>;expires=600", phone.here)]));
        assert_eq!(phone.send(&first).unwrap(), ok, "a repeat gets the same answer");
        let replay = Phone::udp(stage.sip).send(&first).unwrap_or_else(|| panic!("the replay's answer goes to its sender"));
        assert_eq!(replay.status(), Some(401), "from another socket it is a replay");
        let moved = phone.ask("INVITE", &uri, "").unwrap();
        assert_eq!((moved.status(), contacts(&moved).len()), (Some(302), 1));
        assert!(contacts(&moved)[0].starts_with(&format!("<sip:x@{}>;expires=", phone.here)));
        assert_eq!(phone.status("OPTIONS", &uri), Some(200));
        assert_eq!(phone.send(&phone.proven(&c, 2, qop, user, &password, &phone.contact())).unwrap().status(), Some(200), "refreshed");
        let gone = phone.send(&phone.proven(&c, 3, qop, user, &password, "Contact: *\r\nExpires: 0\r\n")).unwrap();
        assert_eq!((gone.status(), contacts(&gone).len()), (Some(200), 0));
        assert_eq!([phone.status("INVITE", &uri), phone.status("INVITE", "sip:2999@lan.test")], [Some(480), Some(404)]);
    }
}

#[test]
fn req_c2_a_registration_that_was_acknowledged_survives_sigkill() {
    let mut stage = Stage::new("kill", OPEN);
    let phones: Vec<(Phone, String)> = (2001..2021).map(|n| (Phone::udp(stage.sip), n.to_string())).collect();
    for (phone, user) in &phones {
        assert_eq!(phone.register(Algorithm::Sha256, user, &format!("pw{user}"), &phone.contact()).status(), Some(200));
    }
    stage.kill();
    stage.start();
    for (phone, user) in &phones {
        let moved = Phone::udp(stage.sip).ask("INVITE", &format!("sip:{user}@lan.test"), "").unwrap();
        assert_eq!(moved.status(), Some(302), "{user}");
        assert!(contacts(&moved)[0].starts_with(&format!("<sip:x@{}>", phone.here)));
    }
}

#[test]
fn who_guesses_is_banned_and_others_go_on() {
    let bans = "[bans]\naccount_failures = 3\nsource_failures = 10\nban_s = 2\n[lookup]\ncredentials = \"anyone\"";
    let stage = Stage::new("bans", bans);
    let bad = Phone::udp_from("127.0.0.2", stage.sip);
    let good = Phone::udp(stage.sip);
    for _ in 0..3 {
        assert_eq!(bad.register(Algorithm::Md5, "2001", "guess", "").status(), Some(401));
    }
    let banned = bad.register(Algorithm::Md5, "2001", "pw2001", "");
    assert_eq!(banned.status(), Some(403), "with the right password too");
    assert!(banned.headers.get("Retry-After").is_some());
    assert_eq!(good.register(Algorithm::Md5, "2001", "pw2001", "").status(), Some(200), "its owner elsewhere");
    assert_eq!(bad.status("OPTIONS", "sip:ping@lan.test"), Some(200));
    assert_eq!(bad.status("INVITE", "sip:2002@lan.test"), Some(480), "look-ups go on");
    let log = stage.log();
    let of_bad = |what: &str| log.lines().filter(|l| l.contains(what) && l.contains("source=127.0.0.2 account=\"2001\"")).count();
    assert_eq!((of_bad("log-in failed:"), of_bad("banned:")), (1, 1), "{log}");
    let until = Instant::now() + Duration::from_secs(10);
    while bad.register(Algorithm::Md5, "2001", "pw2001", "").status() != Some(200) {
        assert!(Instant::now() < until, "the ban does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_phone_over_tcp_registers_with_its_transport() {
    let stage = Stage::new("tcp", OPEN);
    let phone = Phone::tcp(stage.sip);
    let contact = "Contact: <sip:x@127.0.0.1:5070;transport=tcp>\r\n";
    let ok = phone.register(Algorithm::Sha512_256, "2001", "pw2001", contact);
    assert_eq!((ok.status(), contacts(&ok).len()), (Some(200), 1));
    let moved = Phone::udp(stage.sip).ask("INVITE", "sip:2001@lan.test", "").unwrap();
    assert!(contacts(&moved)[0].starts_with("<sip:x@127.0.0.1:5070;transport=tcp>;expires="), "{:?}", contacts(&moved));
    assert_eq!(phone.status("OPTIONS", "sip:2001@lan.test"), Some(200), "over the same connection");
}

#[test]
fn look_ups_need_an_account_unless_said_otherwise() {
    let stage = Stage::new("lookup", "");
    let phone = Phone::udp(stage.sip);
    let asked = phone.ask("INVITE", "sip:2001@lan.test", "").unwrap();
    assert_eq!(asked.status(), Some(401));
    let header = asked.headers.iter().find(|h| h.is("WWW-Authenticate")).unwrap();
    let c = Challenge::parse(std::str::from_utf8(header.value).unwrap()).unwrap();
    let (uri, ha1) = ("sip:2001@lan.test", Ha1::of("2009", "lan.test", "pw2009"));
    let login = c.answer("2009", &ha1, &Asked { method: "INVITE", uri, body: b"" }, Some(Qop::Auth), 1, "c").unwrap().emit();
    assert_eq!(phone.ask("INVITE", uri, &format!("Authorization: {login}\r\n")).unwrap().status(), Some(480));
    assert_eq!(phone.status("OPTIONS", "sip:lan.test"), Some(200));
}

#[test]
fn a_sip_listener_beyond_loopback_does_not_start_with_the_demo_accounts() {
    let folder = std::env::temp_dir().join(format!("tipring-sip-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let accounts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/accounts.csv");
    let text = format!(
        "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[sip]\nlisten = \"0.0.0.0:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [accounts]\nfile = \"{}\"\n",
        accounts.display()
    );
    std::fs::write(folder.join("lan.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipring"));
    command.args(["directory", "--config", folder.join("lan.toml").to_str().unwrap()]).env("TIPRING_STATE", &folder);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && said.contains("account of the demo"), "{said}");
    let _gone = std::fs::remove_dir_all(&folder);
}

#[test]
fn req_c1_c3_a_number_of_another_directory_is_one_step_away_and_its_directory_answers_whom_we_send() {
    let (one, two) = (Stage::of("one", "1", ""), Stage::of("two", "2", ""));
    let secret = one.folder.join("secret");
    std::fs::write(&secret, "what both of them know\n").unwrap();
    let (secret, door) = (secret.to_str().unwrap(), two.sip.to_string());
    one.tipring(&["servers", "add", "2", "4", &door, "--secret-file", secret]);
    two.tipring(&["servers", "add", "1", "4", &one.sip.to_string(), "--secret-file", secret]);
    let listed = one.tipring(&["servers"]);
    assert!(listed.contains(&door) && !listed.contains("what both"), "{listed}");
    let callee = Phone::udp(two.sip);
    assert_eq!(callee.register(Algorithm::Sha256, "2007", "pw2007", &callee.contact()).status(), Some(200));
    // A phone with an account at the first directory.
    let caller = Phone::udp(one.sip);
    let invite = |uri: &str| {
        let asked = caller.ask("INVITE", uri, "").unwrap();
        let header = asked.headers.iter().find(|h| h.is("WWW-Authenticate")).unwrap();
        let c = Challenge::parse(std::str::from_utf8(header.value).unwrap()).unwrap();
        let ha1 = Ha1::of("2001", "lan.test", "pw2001");
        let login = c.answer("2001", &ha1, &Asked { method: "INVITE", uri, body: b"" }, Some(Qop::Auth), 1, "c").unwrap().emit();
        caller.ask("INVITE", uri, &format!("Authorization: {login}\r\n")).unwrap()
    };
    let moved = invite("sip:22007@lan.test");
    assert_eq!(moved.status(), Some(302));
    let there = contacts(&moved)[0].trim_matches(['<', '>']).to_owned();
    assert!(there.starts_with(&format!("sip:22007@{door};tipring-referral=1.22007.")), "{there}");
    // It follows the Contact, as RFC 3261 has it, and has no account there.
    let direct = Phone::udp(two.sip);
    let found = direct.ask("INVITE", &there, "").unwrap();
    assert_eq!((found.status(), contacts(&found).len()), (Some(302), 1));
    assert!(contacts(&found)[0].starts_with(&format!("<sip:x@{}>", callee.here)), "{:?}", contacts(&found));
    // Without the referral, or with one for another number, it is a stranger there.
    assert_eq!(direct.status("INVITE", &format!("sip:22007@{door}")), Some(401));
    assert_eq!(direct.status("INVITE", &there.replacen("22007@", "22008@", 1)), Some(401));
    assert_eq!(direct.status("INVITE", &there.replace("1.22007", "1.22008")), Some(401));
    // After a change of the secret, what was signed under the old one is worth nothing.
    std::fs::write(one.folder.join("secret"), "what the other does not know").unwrap();
    one.tipring(&["servers", "add", "2", "4", &door, "--secret-file", secret]);
    let moved = invite("sip:22007@lan.test");
    assert_eq!(direct.status("INVITE", contacts(&moved)[0].trim_matches(['<', '>'])), Some(401));
    one.tipring(&["servers", "remove", "2"]);
    assert_eq!(invite("sip:22007@lan.test").status(), Some(404));
}

#[test]
fn req_c7_d14_numbers_are_as_their_settings_say_for_any_phone() {
    let stage = Stage::new("numbers", OPEN);
    let invite = |n: &str| {
        let answer = Phone::udp(stage.sip).ask("INVITE", &format!("sip:{n}@lan.test"), "").unwrap();
        (answer.status().unwrap(), contacts(&answer))
    };
    // C-7: the phone's name carries its hardware address (RFC 5626 s.4.1).
    stage.tipring(&["reservations", "add", "2001", "2001", "--mac", "00:0b:82:01:02:03"]);
    let phone = Phone::udp(stage.sip);
    let named = |mac: &str| format!("Contact: <sip:x@{}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-{mac}>\"\r\n", phone.here);
    assert_eq!(phone.register(Algorithm::Sha256, "2001", "pw2001", &phone.contact()).status(), Some(403));
    assert_eq!(phone.register(Algorithm::Sha256, "2001", "pw2001", &named("000B82010204")).status(), Some(403));
    assert_eq!(invite("2001").0, 480);
    assert_eq!(phone.register(Algorithm::Sha256, "2001", "pw2001", &named("000B82010203")).status(), Some(200));
    // D-14: always on, without registering.
    stage.tipring(&["numbers", "set", "2555", "--fixed", "192.0.2.55:5070", "--fixed-transport", "tcp"]);
    let (status, at) = invite("2555");
    assert_eq!((status, at[0].split('>').next()), (302, Some("<sip:2555@192.0.2.55:5070;transport=tcp")));
    stage.tipring(&["numbers", "reset", "2555"]);
    assert_eq!(invite("2555").0, 404);
    stage.tipring(&["registrations", "add", "2556", "192.0.2.56:5060"]);
    let listed = stage.tipring(&["registrations"]);
    assert!(listed.lines().any(|l| l.starts_with("2556") && l.contains("192.0.2.56:5060")), "{listed}");
    assert_eq!(invite("2556").0, 302);
    stage.tipring(&["registrations", "remove", "2556"]);
    assert_eq!(invite("2556").0, 404);
    // Several terminals of one number, one after the other.
    for p in [&Phone::udp(stage.sip), &Phone::udp(stage.sip)] {
        assert_eq!(p.register(Algorithm::Md5, "2002", "pw2002", &p.contact()).status(), Some(200));
    }
    let qs = |contacts: &[String]| contacts.iter().filter_map(|c| c.split(";q=").nth(1).map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!((invite("2002").1.len(), qs(&invite("2002").1).len()), (2, 0), "alike, so at once");
    stage.tipring(&["numbers", "set", "2002", "--ring", "in-order"]);
    assert_eq!(qs(&invite("2002").1), ["0.999"], "the second after the first");
    // Do not disturb, where it may be seen; and nobody is told before consent.
    stage.tipring(&["numbers", "set", "2002", "--do-not-disturb", "true", "--presence", "true"]);
    assert_eq!(invite("2002").0, 480);
    stage.tipring(&["numbers", "set", "2002", "--do-not-disturb", "false", "--disclosure", "consent"]);
    assert_eq!(invite("2002").0, 401);
    assert!(stage.tipring(&["numbers"]).contains("in-order"));
}

/// Each kind of bad input has its SIP code and its one line in the log, and changes nothing.
#[test]
fn what_is_refused_has_its_code_and_its_line_and_changes_nothing() {
    let stage = Stage::new(
        "refused",
        "[lookup]\ncredentials = \"anyone\"\n[registration]\nlease_min_s = 1\nnumbers_max = 2\n[bans]\naccount_failures = 0",
    );
    stage.tipring(&["reservations", "add", "2001", "2001", "--mac", "00:0b:82:01:02:03"]);
    stage.tipring(&["reservations", "add", "2100", "2009"]);
    // Two numbers fill the table; one of them is away again by the end.
    let (stays, leaves) = (Phone::udp(stage.sip), Phone::udp(stage.sip));
    assert_eq!(stays.register(Algorithm::Sha256, "2002", "pw2002", &stays.contact()).status(), Some(200));
    assert_eq!(leaves.register(Algorithm::Sha256, "2003", "pw2003", &format!("{}Expires: 1\r\n", leaves.contact())).status(), Some(200));
    let before = stage.tipring(&["registrations", "list"]);
    // Each from an address of its own, for a source has one line a minute; twice, for the second makes none.
    let wanting = |from: &str, user: &str, number: &str, password: &str, contact: &str| {
        let phone = Phone::udp_from(from, stage.sip);
        let c = phone.challenge(Algorithm::Sha256);
        let ha1 = Ha1::of(user, "lan.test", password);
        let login =
            c.answer(user, &ha1, &Asked { method: "REGISTER", uri: "sip:lan.test", body: b"" }, Some(Qop::Auth), 1, "c").unwrap().emit();
        let contact = contact.replace("HERE", &phone.here.to_string());
        let text =
            phone.text("REGISTER", "sip:lan.test", &format!("sip:{number}@lan.test"), &format!("Authorization: {login}\r\n{contact}"));
        phone.send(&text).unwrap().status()
    };
    let plain = "Contact: <sip:x@HERE>\r\n";
    for (i, (user, number, password, contact, status, line)) in [
        ("2004", "2004", "guess", plain, 401, "log-in failed: source=127.0.1.1 account=\"2004\""),
        ("2001", "2001", "pw2001", plain, 403, "registration refused: source=127.0.1.2 account=\"2001\" why=wrong_mac"),
        ("2004", "2100", "pw2004", plain, 403, "registration refused: source=127.0.1.3 account=\"2004\" why=number_taken"),
        ("2004", "2777", "pw2004", plain, 403, "registration refused: source=127.0.1.4 account=\"2004\" why=not_entitled"),
        ("2004", "2004", "pw2004", plain, 503, "registration refused: source=127.0.1.5 account=\"2004\" why=full"),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("127.0.1.{}", i + 1);
        for _ in 0..2 {
            assert_eq!(wanting(&from, user, number, password, contact), Some(status), "{line}");
        }
        assert_eq!(stage.log().matches(line).count(), 1, "{line}: {}", stage.log());
    }
    for (from, whole, broken) in
        [("127.0.1.8", "Content-Length: 0", "Content-Length: 9999"), ("127.0.1.9", "Max-Forwards: 70", "Contact: <sip:")]
    {
        let phone = Phone::udp_from(from, stage.sip);
        for _ in 0..2 {
            let text = phone.text("REGISTER", "sip:lan.test", "sip:2001@lan.test", "").replace(whole, broken);
            assert_eq!(phone.send(&text).unwrap().status(), Some(400), "{broken}");
        }
        assert_eq!(stage.log().matches(&format!("SIP from {from}")).count(), 1, "{broken}: {}", stage.log());
    }
    let numbers = |list: &str| list.lines().map(|l| l.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let until = Instant::now() + Duration::from_secs(10);
    while Phone::udp(stage.sip).status("INVITE", "sip:2003@lan.test") != Some(480) {
        assert!(Instant::now() < until, "an ended lease is away");
    }
    let after = stage.tipring(&["registrations", "list"]);
    let kept = |list: &str| numbers(list).into_iter().filter(|l| !l.starts_with("2003")).collect::<Vec<_>>();
    assert_eq!(kept(&after), kept(&before), "nothing else changed");
}
