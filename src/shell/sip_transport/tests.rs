//! The transport against real sockets on loopback: reuse, failures, time limits, TLS with its negative controls.

use super::*;
use crate::shell::tls;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(150);

fn message(text: &str) -> Vec<u8> {
    format!("OPTIONS sip:{text} SIP/2.0\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn settings() -> Settings {
    let tls = tls::Settings::default();
    Settings {
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls_listen: Vec::new(),
        dscp: 24,
        tls,
        access: Arc::default(),
        patience: Patience::default(),
    }
}

/// The port that UDP gets may be taken for TCP: then another.
fn open(settings: Settings) -> SipTransport {
    let mut tries = (0..20).map(|_| SipTransport::open(settings.clone()));
    let last = tries.next().expect("there is a first");
    tries.fold(last, |got, next| if got.is_ok() { got } else { next }).expect("a free port")
}

fn local(transport: &SipTransport, kind: Transport) -> SocketAddr {
    transport.local().iter().find(|hop| hop.transport == kind).expect("it listens").addr
}

async fn next(transport: &mut SipTransport) -> Incoming {
    timeout(SOON, transport.recv()).await.expect("something comes")
}

async fn next_message(transport: &mut SipTransport) -> (Hop, Vec<u8>) {
    match next(transport).await {
        Incoming::Message { src, bytes } => (src, bytes),
        other @ (Incoming::Failed { .. } | Incoming::Stun { .. }) => panic!("{other:?}"),
    }
}

async fn next_failure(transport: &mut SipTransport) -> (Hop, String) {
    match next(transport).await {
        Incoming::Failed { dst, why } => (dst, why),
        other @ (Incoming::Message { .. } | Incoming::Stun { .. }) => panic!("{other:?}"),
    }
}

/// Everything until the other end closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end too.
    let _reset = timeout(SOON, stream.read_to_end(&mut all)).await.expect("it is closed");
    all
}

async fn read_exactly(stream: &mut (impl tokio::io::AsyncRead + Unpin), expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut got)).await.expect("it comes").expect("it stays open");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

#[tokio::test]
async fn udp_goes_both_ways_and_stun_is_answered_by_itself() {
    let mut t = open(settings());
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let there = local(&t, Transport::Udp);
    let binding = b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl";
    peer.send_to(binding, there).await.unwrap();
    peer.send_to(&message("a"), there).await.unwrap();
    let src = Hop::udp(peer.local_addr().unwrap());
    assert_eq!(next_message(&mut t).await, (src, message("a")));
    let mut buffer = [0; 100];
    let (n, _) = timeout(SOON, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..2], n), (&[1u8, 1][..], 32));
    t.send(src, None, b"answer".to_vec());
    let (n, from) = timeout(SOON, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..n], from), (&b"answer"[..], there));
    assert_eq!(t.counters().stun_answered, 1);
}

#[tokio::test]
async fn an_unreachable_udp_peer_is_told() {
    let mut t = open(settings());
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    t.send(closed, None, message("a"));
    let (dst, why) = next_failure(&mut t).await;
    assert_eq!(dst, Hop::udp(closed));
    assert!(why.contains("refused"), "{why}");
    // The error of that datagram does not cost the next one its way.
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..3 {
        t.send(closed, None, message("a"));
        t.send(peer.local_addr().unwrap(), None, message("b"));
    }
    for _ in 0..3 {
        assert_eq!(timeout(SOON, peer.recv_from(&mut [0; 100])).await.unwrap().unwrap().0, message("b").len());
    }
    t.send("[2001:db8::1]:5060".parse::<SocketAddr>().unwrap(), None, message("c"));
    let told = loop {
        let (dst, why) = next_failure(&mut t).await;
        if dst.addr.is_ipv6() {
            break why;
        }
    };
    assert_eq!(told, "nothing here speaks IPv6");
}

#[tokio::test]
async fn both_ends_use_one_tcp_connection() {
    let (mut a, mut b) = (open(settings()), open(settings()));
    let to_b = Hop::tcp(local(&b, Transport::Tcp));
    a.send(to_b, None, message("1"));
    a.send(to_b, None, message("2"));
    let (from_a, first) = next_message(&mut b).await;
    assert_eq!(first, message("1"));
    assert_eq!(next_message(&mut b).await, (from_a, message("2")), "the same connection");
    b.send(from_a, None, message("answer"));
    assert_eq!(next_message(&mut a).await, (to_b, message("answer")));
    assert_eq!((a.counters().open_out, a.counters().open_in, b.counters().open_in, b.counters().open_out), (1, 0, 1, 0));
    // b goes: a hears of it, and opens another when it comes back.
    b.close().await;
    assert_eq!(next_failure(&mut a).await.0, to_b);
    assert_eq!(a.counters().open_out, 0);
    a.send(to_b, None, message("3"));
    let (dst, why) = next_failure(&mut a).await;
    assert!(dst == to_b && why.contains("refused"), "{why}");
}

#[tokio::test]
async fn closing_writes_what_is_queued() {
    let mut t = open(settings());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Hop::tcp(listener.local_addr().unwrap());
    t.send(to, None, message("1"));
    let mut stream = listener.accept().await.unwrap().0;
    read_exactly(&mut stream, &message("1")).await;
    t.send(to, None, message("bye"));
    t.send(to, None, message("bye again"));
    t.close().await;
    assert_eq!(rest(&mut stream).await, [message("bye"), message("bye again")].concat());
}

#[tokio::test]
async fn pings_are_answered_and_an_end_waits_for_answers() {
    let mut t = open(settings());
    let mut stream = TcpStream::connect(local(&t, Transport::Tcp)).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    read_exactly(&mut stream, b"\r\n").await;
    stream.write_all(&message("last")).await.unwrap();
    stream.shutdown().await.unwrap();
    let (src, _) = next_message(&mut t).await;
    t.send(src, None, message("answer"));
    read_exactly(&mut stream, &message("answer")).await;
    assert_eq!(t.counters().pings_answered, 1);
}

#[tokio::test]
async fn what_is_no_sip_is_cut_off_and_what_cannot_be_measured_is_answered_first() {
    let mut t = open(settings());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x00\x05hello\n", &[b'x'; 70_000]] {
        let mut stream = TcpStream::connect(local(&t, Transport::Tcp)).await.unwrap();
        // The other end may have had enough before all is written.
        let _cut = stream.write_all(garbage).await;
        assert_eq!(rest(&mut stream).await, b"");
    }
    // Nothing was told of those three, who never said a word of SIP: the first thing that comes is a message.
    let head = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n";
    let mut stream = TcpStream::connect(local(&t, Transport::Tcp)).await.unwrap();
    stream.write_all(head).await.unwrap();
    let (src, bytes) = next_message(&mut t).await;
    assert_eq!(bytes, head);
    t.send(src, None, b"SIP/2.0 400 Bad\r\n\r\n".to_vec());
    assert_eq!(rest(&mut stream).await, b"SIP/2.0 400 Bad\r\n\r\n");
    assert_eq!(t.counters().garbage, 4);
}

#[tokio::test]
async fn every_wait_has_its_end() {
    let patience = Patience { message: SHORT, first_message: SHORT, idle: 3 * SHORT, handshake: SHORT, ..Patience::default() };
    let folder = Folder::new("waits");
    let mut t = open(Settings { patience, tls_listen: vec![([127, 0, 0, 1], 0).into()], tls: folder.tls(&["lan.test"]), ..settings() });
    let tcp = local(&t, Transport::Tcp);
    // A stranger who says nothing; one who never finishes; one who dribbles, which moves nothing; one who finished once and sleeps; one who
    // never shakes hands.
    let mut silent = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(rest(&mut silent).await, b"");
    let mut half = TcpStream::connect(tcp).await.unwrap();
    half.write_all(b"OPTIONS sip:a SIP/2.0\r\nX: ").await.unwrap();
    assert_eq!(rest(&mut half).await, b"");
    let mut dribble = TcpStream::connect(tcp).await.unwrap();
    let mut sent = 0;
    while sent < 1000 && dribble.write_all(if sent == 0 { b"OPTIONS sip:a SIP/2.0\r\nX: " } else { b"x" }).await.is_ok() {
        sent += 1;
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!((2..500).contains(&sent), "{sent}");
    // The connections of strangers end without a word to anybody: the next thing that comes is a message.
    let mut sleeper = TcpStream::connect(tcp).await.unwrap();
    sleeper.write_all(&message("a")).await.unwrap();
    assert_eq!(next_message(&mut t).await.1, message("a"));
    assert_eq!(rest(&mut sleeper).await, b"");
    let mut mute = TcpStream::connect(local(&t, Transport::Tls)).await.unwrap();
    assert_eq!(rest(&mut mute).await, b"");
    assert_eq!((t.counters().timed_out, t.counters().open_in), (5, 0));
}

#[tokio::test]
async fn our_pings_find_the_dead_among_those_who_ever_answered() {
    let patience = Patience { ping: SHORT, pong: SHORT, ..Patience::default() };
    let mut t = open(Settings { patience, ..settings() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Hop::tcp(listener.local_addr().unwrap());
    t.send(to, None, message("1"));
    let mut stream = listener.accept().await.unwrap().0;
    read_exactly(&mut stream, &message("1")).await;
    // One that knows nothing of pings is left alone.
    for _ in 0..3 {
        read_exactly(&mut stream, b"\r\n\r\n").await;
    }
    assert_eq!(t.counters().open_out, 1);
    // One that answers, and then does not, is dead.
    stream.write_all(b"\r\n").await.unwrap();
    let (dst, why) = next_failure(&mut t).await;
    assert_eq!((dst, why.as_str()), (to, "the peer does not answer pings any more"));
}

#[tokio::test]
async fn who_does_not_read_is_given_up_and_holds_nobody_up() {
    let mut t = open(settings());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = Hop::tcp(listener.local_addr().unwrap());
    let big = [message("big"), vec![b'x'; 60_000]].concat();
    for _ in 0..1000 {
        t.send(deaf, None, big.clone());
        tokio::task::yield_now().await;
    }
    let (dst, why) = next_failure(&mut t).await;
    assert_eq!((dst, why.as_str()), (deaf, "the peer does not read what it is sent"));
    let mut b = open(settings());
    t.send(Hop::tcp(local(&b, Transport::Tcp)), None, message("b"));
    assert_eq!(next_message(&mut b).await.1, message("b"));
}

#[tokio::test]
async fn both_families_are_listened_on_and_each_peer_keeps_its_socket() {
    let v6 = TcpListener::bind("[::1]:0").await;
    if v6.is_err() {
        eprintln!("skipped: this host has no IPv6");
        return;
    }
    let mut t =
        open(Settings { listen: vec![([127, 0, 0, 1], 0).into(), "[::1]:0".parse().unwrap(), ([127, 0, 0, 2], 0).into()], ..settings() });
    let udp: Vec<SocketAddr> = t.local().iter().filter(|h| h.transport == Transport::Udp).map(|h| h.addr).collect();
    for there in udp {
        let peer = UdpSocket::bind((there.ip(), 0)).await.unwrap();
        peer.send_to(&message("a"), there).await.unwrap();
        let (src, _) = next_message(&mut t).await;
        t.send(src, None, message("answer"));
        let (_, from) = timeout(SOON, peer.recv_from(&mut [0; 100])).await.unwrap().unwrap();
        assert_eq!(from, there, "the answer comes whence it was asked");
    }
    let tcp6 = t.local().iter().find(|h| h.transport == Transport::Tcp && h.addr.is_ipv6()).unwrap().addr;
    let mut stream = TcpStream::connect(tcp6).await.unwrap();
    stream.write_all(&message("six")).await.unwrap();
    let (src, _) = next_message(&mut t).await;
    t.send(src, None, message("answer"));
    read_exactly(&mut stream, &message("answer")).await;
}

// ---- TLS ----

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tipring-sip-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn tls(&self, names: &[&str]) -> tls::Settings {
        tls::Settings { state: self.0.clone(), names: names.iter().map(|n| (*n).into()).collect(), ..tls::Settings::default() }
    }
    fn certificate(&self) -> PathBuf {
        self.0.join("tls-certificate.pem")
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// One that listens for TLS with a certificate of its own.
fn open_tls(folder: &Folder, names: &[&str], change: impl FnOnce(&mut tls::Settings)) -> SipTransport {
    let mut tls = folder.tls(names);
    change(&mut tls);
    open(Settings { tls_listen: vec![([127, 0, 0, 1], 0).into()], tls, ..settings() })
}

fn trusts(file: &Path) -> impl FnOnce(&mut tls::Settings) {
    let file = file.to_owned();
    move |tls| tls.ca = Some(file)
}

#[tokio::test]
async fn tls_needs_the_name_and_somebody_who_vouches_for_it() {
    let (server, client) = (Folder::new("server"), Folder::new("client"));
    let mut b = open_tls(&server, &["b.test", "127.0.0.1"], |_| {});
    let to = Hop::tls(local(&b, Transport::Tls));
    let name = |n: &str| Some(Arc::<str>::from(n));
    // Nobody vouches: the system's roots do not know it.
    let mut nobody = open_tls(&client, &["a.test"], |_| {});
    nobody.send(to, name("b.test"), message("secret"));
    let (_, why) = next_failure(&mut nobody).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    // Vouched for, but another name.
    let mut a = open_tls(&client, &["a.test"], trusts(&server.certificate()));
    a.send(to, name("other.test"), message("secret"));
    let (_, why) = next_failure(&mut a).await;
    assert!(why.contains("not valid for name") || why.contains("NotValidForName"), "{why}");
    // The right name; the answer comes back; what needs no name goes over the same connection.
    a.send(to, name("b.test"), message("1"));
    let (from_a, bytes) = next_message(&mut b).await;
    assert_eq!((from_a.transport, bytes), (Transport::Tls, message("1")), "nothing of the failed ones arrived");
    b.send(from_a, None, message("answer"));
    assert_eq!(next_message(&mut a).await, (to, message("answer")));
    a.send(to, None, message("2"));
    assert_eq!(next_message(&mut b).await, (from_a, message("2")));
    // A name that was not proven does not ride on it.
    a.send(to, name("other.test"), message("secret"));
    assert_eq!(next_failure(&mut a).await.0, to);
    // An address, where it is among the names.
    let mut c = open_tls(&client, &["a.test"], trusts(&server.certificate()));
    c.send(to, None, message("3"));
    assert_eq!(next_message(&mut b).await.1, message("3"));
    // Told to ask nobody.
    let mut d = open_tls(&client, &["a.test"], |tls| tls.trusts_any_server = true);
    d.send(to, name("other.test"), message("4"));
    assert_eq!(next_message(&mut b).await.1, message("4"));
}

#[tokio::test]
async fn mutual_tls_turns_strangers_away_and_lets_the_known_be_called_back() {
    let (server, client, stranger) = (Folder::new("m-server"), Folder::new("m-client"), Folder::new("m-stranger"));
    // Makes the client's certificate.
    drop(open_tls(&client, &["127.0.0.1"], |_| {}));
    let known = client.certificate();
    let mut b = open_tls(&server, &["b.test"], |tls| tls.client_ca = Some(known.clone()));
    let to = Hop::tls(local(&b, Transport::Tls));
    let name = Some(Arc::<str>::from("b.test"));
    for stranger in [
        open_tls(&stranger, &["127.0.0.1"], trusts(&server.certificate())),
        // One without any certificate.
        open(Settings { tls: tls::Settings { ca: Some(server.certificate()), ..tls::Settings::default() }, ..settings() }),
    ] {
        let mut stranger = stranger;
        stranger.send(to, name.clone(), message("let me in"));
        assert_eq!(next_failure(&mut stranger).await.0, to);
    }
    assert_eq!(b.counters().handshakes_failed, 2);
    let mut a = open_tls(&client, &["127.0.0.1"], trusts(&server.certificate()));
    let here = local(&a, Transport::Tls);
    let ask = |alias: &str| {
        let head = format!(
            "OPTIONS sip:b.test SIP/2.0\r\nVia: SIP/2.0/TLS {here};branch=z9hG4bK1{alias}\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n"
        );
        format!("{head}Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    a.send(to, name, ask(";alias"));
    let (from_a, _) = next_message(&mut b).await;
    assert_ne!(from_a.addr, here);
    b.send(Hop::tls(here), None, message("call back"));
    assert_eq!(next_message(&mut a).await, (to, message("call back")), "over the connection that a opened");
    assert_eq!(b.counters().open_out, 0);
}

#[tokio::test]
async fn without_proof_nobody_draws_anothers_calls_to_itself() {
    let (server, client) = (Folder::new("p-server"), Folder::new("p-client"));
    let mut b = open_tls(&server, &["b.test"], |_| {});
    let mut a = open_tls(&client, &["127.0.0.1"], trusts(&server.certificate()));
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let head =
        format!("OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/TLS {victim};branch=z9hG4bK1;alias\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n");
    let ask = format!("{head}Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n").into_bytes();
    a.send(Hop::tls(local(&b, Transport::Tls)), Some("b.test".into()), ask);
    next_message(&mut b).await;
    b.send(Hop::tls(victim), None, message("for the victim"));
    assert_eq!(next_failure(&mut b).await.0, Hop::tls(victim), "b tried the victim itself");
}
