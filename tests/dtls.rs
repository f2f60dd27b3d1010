//! Our DTLS against OpenSSL's `s_client` and `s_server` as processes, RSA and ECDSA, in both roles; and our two engines against each other.

#![cfg(feature = "shell")]
#![allow(missing_docs, clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test may say what it expects by falling over")]
#![allow(clippy::single_element_loop, reason = "a table with one row for now")]

mod skip;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tipring::dtls::fuzz::{certificate, params, speak};
use tipring::dtls::{
    Association, ByHello, Certificate, Connected, Dimpl, Engine, Event, Expected, PeerCertificate, Records, Role, is_dtls,
};
use tipring::shell::clock;
use tipring::shell::dtls_openssl::OpenSsl;

const PROFILES: &str = "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM";
const PATIENCE: Duration = Duration::from_secs(10);

fn openssl_is_there() -> bool {
    let there = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        skip::skip("there is no openssl program");
    }
    there
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tipring-dtls-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// A key and a certificate made by OpenSSL; the certificate in DER, too.
fn identity(dir: &Path, kind: &str) -> PeerCertificate {
    let key = match kind {
        "rsa" => &["-newkey", "rsa:2048"][..],
        _ => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    };
    let run =
        |args: &[&str]| assert!(Command::new("openssl").args(args).current_dir(dir).stderr(Stdio::null()).status().unwrap().success());
    run(&[&["req", "-x509", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=peer"], key].concat());
    run(&["x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der"]);
    PeerCertificate::new(std::fs::read(dir.join("cert.der")).unwrap())
}

/// A running `openssl s_client` or `s_server`.
struct Program {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<String>>,
}

impl Program {
    fn start(dir: &Path, verb: &str, args: &[&str]) -> Program {
        let mut child = Command::new("openssl")
            .args([verb, "-dtls1_2", "-cert", "cert.pem", "-key", "key.pem", "-use_srtp", PROFILES, "-mtu", "1200"])
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "56"])
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                *heard.lock().unwrap() += &format!("{}\n", String::from_utf8_lossy(&line));
            }
        });
        Program { child, stdin, said }
    }
    fn says(&self, words: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.said.lock().unwrap().contains(words) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Drives an association over a socket until it is proven or has failed.
fn handshake(association: &mut Association, socket: &UdpSocket, mut peer: Option<SocketAddr>) -> Result<Connected, String> {
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut connected = None;
    loop {
        while let Some(event) = association.poll_event() {
            match event {
                Event::Connected(c) => connected = Some(c),
                Event::Proven => {
                    while let Some(datagram) = association.poll_transmit() {
                        socket.send_to(&datagram, peer.expect("a peer was heard")).unwrap();
                    }
                    return Ok(connected.expect("it is told first"));
                }
                Event::Failed(why) => return Err(why),
                Event::Closed => return Err("closed".into()),
            }
        }
        while let Some(datagram) = association.poll_transmit() {
            assert!(datagram.len() <= 1200, "the MTU is held");
            if let Some(peer) = peer {
                socket.send_to(&datagram, peer).unwrap();
            }
        }
        let mut buffer = [0; 2048];
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            peer = Some(from);
            association.handle_datagram(clock::now(), &buffer[..n]);
        }
        if association.poll_timeout().is_some_and(|at| at <= clock::now()) {
            association.handle_timeout(clock::now());
        }
    }
}

/// Application data both ways.
fn converse(records: &mut Records, program: &mut Program, socket: &UdpSocket, peer: SocketAddr) {
    let mut wire = [0; 1500];
    let n = records.seal(b"a page for openssl\n", &mut wire).unwrap();
    socket.send_to(&wire[..n], peer).unwrap();
    assert!(program.says("a page for openssl"), "{}", program.said.lock().unwrap());
    program.stdin.write_all(b"a confirmation\n").unwrap();
    let until = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while Instant::now() < until && heard.is_empty() {
        if let Ok(n) = socket.recv(&mut wire) {
            assert!(is_dtls(wire[0]));
            records.open(&wire[..n], &mut |d| heard.extend_from_slice(d));
        }
    }
    assert_eq!(String::from_utf8_lossy(&heard), "a confirmation\n");
}

/// For peers of whom nothing is known.
fn any_peer() -> ByHello {
    ByHello { newer: Arc::new(Dimpl), older: Arc::new(OpenSsl) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// One peer of `kind`, which is the server if `we` are the client.
fn meet(kind: &str, we: Role, engine: &dyn Engine) -> Result<Connected, String> {
    static MET: AtomicUsize = AtomicUsize::new(0);
    let dir = folder(&format!("{kind}-{we:?}-{}", MET.fetch_add(1, Ordering::Relaxed)));
    let theirs = identity(&dir, kind);
    let ours = Arc::new(certificate());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut p = params(we, &ours, Some(Expected::one(theirs.fingerprint)));
    p.srtp = vec![0x0007, 0x0001];
    let (mut program, peer) = match we {
        Role::Client => {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let program = Program::start(&dir, "s_server", &["-accept", &free.to_string(), "-Verify", "1"]);
            assert!(program.says("ACCEPT"));
            (program, Some(free))
        }
        Role::Server => (Program::start(&dir, "s_client", &["-connect", &socket.local_addr().unwrap().to_string()]), None),
    };
    let mut association = Association::new(clock::now(), p, engine);
    let connected = handshake(&mut association, &socket, peer)?;
    assert_eq!(connected.peer, theirs);
    let keys = association.srtp().expect("use_srtp was agreed on");
    assert_eq!(connected.srtp_profile, Some(keys.profile));
    assert!(program.says(&hex(&keys.material[..56.min(keys.material.len())])), "the same keying material at both ends");
    let peer = peer.unwrap_or_else(|| {
        // A client speaks from a port of its own; it was connected to by what it sent.
        socket.peer_addr().ok().unwrap_or_else(|| last_peer(&socket, &mut program))
    });
    let mut records = association.take_records().expect("it is proven");
    converse(&mut records, &mut program, &socket, peer);
    // OpenSSL hears that we close.
    let mut wire = [0; 100];
    let n = records.close(&mut wire).unwrap();
    socket.send_to(&wire[..n], peer).unwrap();
    let until = Instant::now() + PATIENCE;
    // The server says so and waits for the next; the client goes.
    let ends = |program: &mut Program| program.child.try_wait().unwrap().is_some() || program.said.lock().unwrap().contains("\nDONE\n");
    while !ends(&mut program) {
        assert!(Instant::now() < until, "openssl did not hear the end: {}", program.said.lock().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::remove_dir_all(dir).ok();
    Ok(connected)
}

/// Whence the program sends: it is asked for a word, which is then lost.
fn last_peer(socket: &UdpSocket, program: &mut Program) -> SocketAddr {
    program.stdin.write_all(b"where are you\n").unwrap();
    let mut buffer = [0; 2048];
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok((_, from)) = socket.recv_from(&mut buffer) {
            return from;
        }
        assert!(Instant::now() < until, "nothing came");
    }
}

#[test]
fn openssl_with_an_rsa_certificate_in_both_roles() {
    if openssl_is_there() {
        for we in [Role::Client, Role::Server] {
            for engine in [&OpenSsl as &dyn Engine, &any_peer()] {
                let c = meet("rsa", we, engine).unwrap();
                assert_eq!(c.version, "DTLS 1.2", "{we:?}");
            }
        }
    }
}

#[test]
fn openssl_with_an_ecdsa_certificate_in_both_roles_and_by_both_engines() {
    if openssl_is_there() {
        for we in [Role::Client, Role::Server] {
            for engine in [&Dimpl as &dyn Engine, &OpenSsl] {
                let c = meet("ec", we, engine).unwrap();
                assert_eq!(c.version, "DTLS 1.2", "{we:?}");
            }
        }
    }
}

#[test]
fn an_rsa_certificate_is_named_as_the_reason_where_only_ecdsa_is_known() {
    if openssl_is_there() {
        // The server's certificate decides the cipher suite, so there is none in common.
        let why = meet("rsa", Role::Client, &Dimpl).unwrap_err();
        assert!(why.contains("handshake_failure"), "{why}");
        let why = meet("rsa", Role::Server, &Dimpl).unwrap_err();
        assert!(why.contains("no ECDSA certificate"), "{why}");
    }
}

/// Two engines in one process: `(flights, version)`, and records that pass both ways.
fn pair(client: &dyn Engine, server: &dyn Engine) -> (usize, &'static str) {
    let now = clock::now();
    let certificates: [Arc<Certificate>; 2] = [Arc::new(certificate()), Arc::new(certificate())];
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let mut client = Association::new(now, params(Role::Client, &certificates[0], expected(1)), client);
    let mut server = Association::new(now, params(Role::Server, &certificates[1], expected(0)), server);
    let (flights, events) = speak(now, [&mut client, &mut server], &mut |_, _| true);
    let Some(Event::Connected(c)) = events[0].first() else { panic!("{events:?}") };
    assert_eq!(client.srtp().unwrap().material, server.srtp().unwrap().material);
    let (mut a, mut b) = (client.take_records().unwrap(), server.take_records().unwrap());
    for _ in 0..3 {
        for (from, to) in [(&mut a, &mut b)] {
            let (mut wire, mut heard) = ([0; 200], Vec::new());
            let n = from.seal(b"there", &mut wire).unwrap();
            to.open(&wire[..n], &mut |d| heard.extend_from_slice(d));
            assert_eq!(heard, b"there");
            let n = to.seal(b"and back", &mut wire).unwrap();
            from.open(&wire[..n], &mut |d| heard.extend_from_slice(d));
            assert_eq!(heard, b"thereand back");
        }
    }
    (flights, c.version)
}

#[test]
fn our_two_engines_understand_each_other() {
    assert_eq!(pair(&Dimpl, &OpenSsl), (4, "DTLS 1.2"));
    assert_eq!(pair(&OpenSsl, &Dimpl), (4, "DTLS 1.2"));
    assert_eq!(pair(&OpenSsl, &OpenSsl), (4, "DTLS 1.2"));
    assert_eq!(pair(&Dimpl, &Dimpl), (4, "DTLS 1.3"));
    assert_eq!(pair(&Dimpl, &any_peer()), (4, "DTLS 1.3"), "who offers 1.3 gets it");
    assert_eq!(pair(&OpenSsl, &any_peer()), (4, "DTLS 1.2"));
    assert_eq!(pair(&any_peer(), &Dimpl), (4, "DTLS 1.2"));
}
