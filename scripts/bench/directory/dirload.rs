//! Load for number directories that speak SIP over UDP: registrations with digest, look-ups, OPTIONS, in a closed loop or at a rate, with
//! retransmissions; one line of JSON at the end. Standard library only:
//!
//!   rustc -O dirload.rs -o dirload
//!   dirload register|unregister|redirect|options --target HOST:PORT [--users N] [--first K] [--count C] [--window W] [--threads T]
//!           [--realm R] [--domain D] [--password TEMPLATE] [--expires S] [--nonce fresh|reuse|none] [--seconds S] [--rate PER_S]
//!           [--order seq|rand] [--digits D] [--prefix P] [--acked FILE] [--only FILE] [--expect CODE] [--follow]
//!
//!   dirload echo --target HOST:PORT      the smallest server: a yardstick for all others
//!
//! `{user}` in the password becomes the number. `--acked` writes down every number that succeeded; `--only` takes the numbers from such a file;
//! `--expect` is the code that counts as success, where it is not 200 (of `redirect`: 302 with the number's contact).
//! `--follow` asks where the first 302 leads to, once, and counts the answer from there.

use std::collections::HashMap;
use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn md5(data: &[u8]) -> [u8; 16] {
    const S: [u32; 16] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
    static K: std::sync::OnceLock<[u32; 64]> = std::sync::OnceLock::new();
    let k = K.get_or_init(|| {
        let mut k = [0u32; 64];
        for i in 0..64 {
            k[i] = (((i as f64 + 1.0).sin()).abs() * 4294967296.0) as u32;
        }
        k
    });
    let (mut a0, mut b0, mut c0, mut d0) = (0x67452301u32, 0xefcdab89u32, 0x98badcfeu32, 0x10325476u32);
    let mut m = data.to_vec();
    m.push(0x80);
    while m.len() % 64 != 56 {
        m.push(0);
    }
    m.extend_from_slice(&((data.len() as u64) * 8).to_le_bytes());
    for ch in m.chunks(64) {
        let mut w = [0u32; 16];
        for i in 0..16 {
            w[i] = u32::from_le_bytes([ch[i * 4], ch[i * 4 + 1], ch[i * 4 + 2], ch[i * 4 + 3]]);
        }
        let (mut a, mut b, mut c, mut d) = (a0, b0, c0, d0);
        for i in 0..64 {
            let (f, g) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let f2 = f.wrapping_add(a).wrapping_add(k[i]).wrapping_add(w[g]);
            a = d;
            d = c;
            c = b;
            b = b.wrapping_add(f2.rotate_left(S[(i / 16) * 4 + i % 4]));
        }
        a0 = a0.wrapping_add(a);
        b0 = b0.wrapping_add(b);
        c0 = c0.wrapping_add(c);
        d0 = d0.wrapping_add(d);
    }
    let mut o = [0u8; 16];
    o[0..4].copy_from_slice(&a0.to_le_bytes());
    o[4..8].copy_from_slice(&b0.to_le_bytes());
    o[8..12].copy_from_slice(&c0.to_le_bytes());
    o[12..16].copy_from_slice(&d0.to_le_bytes());
    o
}
fn hex(b: &[u8]) -> String {
    let mut s = String::with_capacity(b.len() * 2);
    for x in b {
        s.push_str(&format!("{:02x}", x));
    }
    s
}
fn md5h(s: &str) -> String {
    hex(&md5(s.as_bytes()))
}

#[derive(Clone)]
struct Cfg {
    mode: String,
    target: String,
    users: u64,
    first: u64,
    count: u64,
    window: usize,
    threads: usize,
    realm: String,
    domain: String,
    password: String,
    expires: u32,
    nonce: String,
    seconds: f64,
    rate: f64,
    rand: bool,
    digits: usize,
    prefix: String,
    runid: u64,
    acked: String,
    expect: u16,
    follow: bool,
    only: std::sync::Arc<Vec<u64>>,
}

struct Slot {
    busy: bool,
    user: u64,
    gen: u64,
    stage: u8,
    t0: Instant,
    sent: Instant,
    msg: Vec<u8>,
    retx: u32,
    to: Option<std::net::SocketAddr>,
}
#[derive(Default)]
struct Stats {
    ok: u64,
    bad: HashMap<u16, u64>,
    timeouts: u64,
    retx: u64,
    msgs: u64,
    lat: Vec<u32>,
    challenges: u64,
}

fn header<'a>(m: &'a str, names: &[&str]) -> Option<&'a str> {
    for l in m.split("\r\n").skip(1) {
        if l.is_empty() {
            break;
        }
        if let Some(p) = l.find(':') {
            let n = l[..p].trim();
            if names.iter().any(|x| n.eq_ignore_ascii_case(x)) {
                return Some(l[p + 1..].trim());
            }
        }
    }
    None
}
fn param<'a>(h: &'a str, name: &str) -> Option<&'a str> {
    let mut i = 0;
    while let Some(p) = h[i..].find(name) {
        let s = i + p;
        let before_ok = s == 0 || matches!(h.as_bytes()[s - 1], b' ' | b',' | b';');
        let after = s + name.len();
        if before_ok && h[after..].starts_with('=') {
            let v = &h[after + 1..];
            return Some(if v.starts_with('"') {
                let e = v[1..].find('"')?;
                &v[1..1 + e]
            } else {
                let e = v.find(|c| c == ',' || c == ' ' || c == ';').unwrap_or(v.len());
                &v[..e]
            });
        }
        i = after;
    }
    None
}

struct Worker {
    c: Cfg,
    tid: usize,
    sock: UdpSocket,
    lport: u16,
    nonce: String,
    realm: String,
    qop: bool,
    nc: u32,
    st: Stats,
}
impl Worker {
    /// Where a look-up was sent on to, or the target.
    fn tx(&self, to: Option<std::net::SocketAddr>, bytes: &[u8]) {
        let _ = match (to, self.c.follow) {
            (Some(to), _) => self.sock.send_to(bytes, to),
            (None, true) => self.sock.send_to(bytes, self.c.target.as_str()),
            (None, false) => self.sock.send(bytes),
        };
    }
    fn number(&self, u: u64) -> String {
        format!("{}{:0w$}", self.c.prefix, u, w = self.c.digits)
    }
    fn auth(&mut self, user: &str, method: &str, uri: &str, hname: &str) -> String {
        let pw = self.c.password.replace("{user}", user);
        let ha1 = md5h(&format!("{}:{}:{}", user, self.realm, pw));
        let ha2 = md5h(&format!("{}:{}", method, uri));
        self.nc += 1;
        if self.qop {
            let nc = if self.c.nonce == "fresh" { 1 } else { self.nc };
            let r = md5h(&format!("{}:{}:{:08x}:c{:x}:auth:{}", ha1, self.nonce, nc, self.tid, ha2));
            format!("{}: Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", qop=auth, nc={:08x}, cnonce=\"c{:x}\", response=\"{}\", algorithm=MD5\r\n",
                hname, user, self.realm, self.nonce, uri, nc, self.tid, r)
        } else {
            let r = md5h(&format!("{}:{}:{}", ha1, self.nonce, ha2));
            format!(
                "{}: Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", algorithm=MD5\r\n",
                hname, user, self.realm, self.nonce, uri, r
            )
        }
    }
    fn build(&mut self, slot: usize, s: &mut Slot, authed: bool) {
        let user = self.number(s.user);
        let d = self.c.domain.clone();
        let m: &str = match self.c.mode.as_str() {
            "register" | "unregister" => "REGISTER",
            "redirect" => "INVITE",
            _ => "OPTIONS",
        };
        let uri = if m == "REGISTER" {
            format!("sip:{}", d)
        } else if m == "OPTIONS" {
            format!("sip:ping@{}", d)
        } else {
            format!("sip:{}@{}", user, d)
        };
        let auth = if authed { self.auth(&user, m, &uri, "Authorization") } else { String::new() };
        let br = format!("z9hG4bK{}.{}.{}.{}", self.tid, slot, s.gen, s.stage);
        let n = s.user;
        let ip = format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
        let (from, call) = if m == "REGISTER" {
            (user.clone(), format!("u{}-{:x}@{}", user, self.c.runid, ip))
        } else {
            (format!("caller{}", self.tid), format!("i{}-{}-{}-{:x}", self.tid, slot, s.gen, self.c.runid))
        };
        s.msg.clear();
        let _ = write!(s.msg, "{} {} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch={};rport\r\nMax-Forwards: 70\r\nFrom: <sip:{}@{}>;tag=f{:x}{}\r\nTo: <sip:{}@{}>\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            m, uri, self.lport, br, from, d, s.gen, slot, user, d, call, s.gen * 4 + s.stage as u64 + 1, m);
        if m == "REGISTER" {
            let e = if self.c.mode == "unregister" { 0 } else { self.c.expires };
            let _ = write!(
                s.msg,
                "Contact: <sip:{}@{}:5060>\r\nExpires: {}\r\nUser-Agent: dirload/1\r\n{}Content-Length: 0\r\n\r\n",
                user, ip, e, auth
            );
        } else if m == "INVITE" {
            let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
            let _ = write!(
                s.msg,
                "Contact: <sip:caller@127.0.0.1:{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
                self.lport,
                body.len(),
                body
            );
        } else {
            let _ = write!(s.msg, "Content-Length: 0\r\n\r\n");
        }
    }
    fn ack(&self, slot: usize, s: &Slot, to: &str) -> Vec<u8> {
        let user = self.number(s.user);
        let d = &self.c.domain;
        format!("ACK sip:{}@{} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK{}.{}.{}.{};rport\r\nMax-Forwards: 70\r\nFrom: <sip:caller{}@{}>;tag=f{:x}{}\r\nTo: {}\r\nCall-ID: i{}-{}-{}-{:x}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
            user, d, self.lport, self.tid, slot, s.gen, s.stage, self.tid, d, s.gen, slot, to, self.tid, slot, s.gen, self.c.runid, s.gen * 4 + s.stage as u64 + 1).into_bytes()
    }
    fn run(&mut self) {
        let per = self.c.count / self.c.threads as u64 + if (self.tid as u64) < self.c.count % self.c.threads as u64 { 1 } else { 0 };
        let w = self.c.window;
        let now = Instant::now();
        let mut slots: Vec<Slot> = (0..w)
            .map(|_| Slot { busy: false, user: 0, gen: 0, stage: 0, t0: now, sent: now, msg: Vec::with_capacity(1200), retx: 0, to: None })
            .collect();
        let (mut started, mut done, mut gen) = (0u64, 0u64, 0u64);
        let mut rng = 0x9E3779B97F4A7C15u64 ^ ((self.tid as u64 + 1) << 32) ^ self.c.runid;
        let mut free: Vec<usize> = (0..w).rev().collect();
        let mut buf = vec![0u8; 65536];
        let name = (!self.c.acked.is_empty()).then(|| std::fs::OpenOptions::new().create(true).append(true).open(&self.c.acked).unwrap());
        let mut acked = name.map(std::io::LineWriter::new);
        let begin = Instant::now();
        let mut last_sweep = Instant::now();
        loop {
            if (started >= per || (self.c.seconds > 0.0 && begin.elapsed().as_secs_f64() > self.c.seconds)) && free.len() == w {
                break;
            }
            let stop = self.c.seconds > 0.0 && begin.elapsed().as_secs_f64() > self.c.seconds;
            while !stop && started < per && !free.is_empty() {
                if self.c.rate > 0.0 && (started as f64) > begin.elapsed().as_secs_f64() * self.c.rate / self.c.threads as f64 {
                    break;
                }
                let i = free.pop().unwrap();
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                let k = if self.c.rand { rng % self.c.users } else { (started * self.c.threads as u64 + self.tid as u64) % self.c.users };
                gen += 1;
                started += 1;
                let mut s = std::mem::replace(
                    &mut slots[i],
                    Slot { busy: false, user: 0, gen: 0, stage: 0, t0: now, sent: now, msg: Vec::new(), retx: 0, to: None },
                );
                s.busy = true;
                s.user = if self.c.only.is_empty() { self.c.first + k } else { self.c.only[k as usize] };
                s.gen = gen;
                s.stage = 0;
                s.retx = 0;
                s.to = None;
                s.t0 = Instant::now();
                s.sent = s.t0;
                let authed = self.c.nonce == "reuse" && !self.nonce.is_empty();
                self.build(i, &mut s, authed);
                self.tx(s.to, &s.msg);
                self.st.msgs += 1;
                slots[i] = s;
            }
            if let Ok((n, _)) = self.sock.recv_from(&mut buf) {
                let m = match std::str::from_utf8(&buf[..n]) {
                    Ok(m) => m,
                    Err(_) => continue,
                };
                if !m.starts_with("SIP/2.0 ") {
                    continue;
                }
                let code: u16 = m[8..11].parse().unwrap_or(0);
                if code < 200 {
                    continue;
                }
                let via = match header(m, &["Via", "v"]) {
                    Some(v) => v,
                    None => continue,
                };
                let br = match param(via, "branch") {
                    Some(b) => b,
                    None => continue,
                };
                let mut it = br.trim_start_matches("z9hG4bK").split('.');
                let _t = it.next();
                let i: usize = it.next().and_then(|x| x.parse().ok()).unwrap_or(usize::MAX);
                let g: u64 = it.next().and_then(|x| x.parse().ok()).unwrap_or(0);
                let stg: u8 = it.next().and_then(|x| x.parse().ok()).unwrap_or(0);
                if i >= w || !slots[i].busy || slots[i].gen != g || slots[i].stage != stg {
                    continue;
                }
                if (code == 401 || code == 407) && self.c.nonce != "none" && slots[i].stage < 2 {
                    self.st.challenges += 1;
                    let h = header(m, &["WWW-Authenticate", "Proxy-Authenticate"]).unwrap_or("");
                    self.nonce = param(h, "nonce").unwrap_or("").to_string();
                    self.realm = param(h, "realm").unwrap_or("").to_string();
                    self.qop = param(h, "qop").is_some();
                    self.nc = 0;
                    let mut s = std::mem::replace(
                        &mut slots[i],
                        Slot { busy: false, user: 0, gen: 0, stage: 0, t0: now, sent: now, msg: Vec::new(), retx: 0, to: None },
                    );
                    s.stage += 1;
                    self.build(i, &mut s, true);
                    s.sent = Instant::now();
                    self.tx(s.to, &s.msg);
                    self.st.msgs += 1;
                    slots[i] = s;
                    continue;
                }
                if self.c.mode == "redirect" && code >= 300 {
                    let a = self.ack(i, &slots[i], header(m, &["To", "t"]).unwrap_or(""));
                    self.tx(slots[i].to, &a);
                    self.st.msgs += 1;
                }
                if self.c.follow && code == 302 && slots[i].stage == 0 {
                    let contact = header(m, &["Contact", "m"]).and_then(|c| Some(c.split_once('<')?.1.split_once('>')?.0.to_string()));
                    let place = contact.as_ref().and_then(|c| c.split_once('@')?.1.split(';').next()?.parse().ok());
                    if let (Some(uri), Some(place)) = (contact, place) {
                        let mut s = std::mem::replace(
                            &mut slots[i],
                            Slot { busy: false, user: 0, gen: 0, stage: 0, t0: now, sent: now, msg: Vec::new(), retx: 0, to: None },
                        );
                        s.stage = 1;
                        s.to = Some(place);
                        self.build(i, &mut s, false);
                        let rest = s.msg.iter().position(|b| *b == b'\r').unwrap_or(0);
                        s.msg.splice(..rest, format!("INVITE {} SIP/2.0", uri).into_bytes());
                        s.sent = Instant::now();
                        self.tx(s.to, &s.msg);
                        self.st.msgs += 1;
                        slots[i] = s;
                        continue;
                    }
                }
                let good = match self.c.mode.as_str() {
                    _ if self.c.expect > 0 => code == self.c.expect,
                    "redirect" => {
                        code == 302
                            && header(m, &["Contact", "m"])
                                .map_or(false, |c| c.contains(&self.number(slots[i].user)[self.c.prefix.len()..]))
                    }
                    _ => code == 200,
                };
                if good {
                    self.st.ok += 1;
                    if let Some(acked) = &mut acked {
                        let _ = writeln!(acked, "{}", slots[i].user);
                    }
                    self.st.lat.push(slots[i].t0.elapsed().as_micros() as u32);
                } else {
                    *self.st.bad.entry(code).or_insert(0) += 1;
                }
                slots[i].busy = false;
                free.push(i);
                done += 1;
            }
            if last_sweep.elapsed() > Duration::from_millis(100) {
                last_sweep = Instant::now();
                for i in 0..w {
                    if slots[i].busy && slots[i].sent.elapsed() > Duration::from_millis(500) {
                        if slots[i].retx >= 6 {
                            self.st.timeouts += 1;
                            slots[i].busy = false;
                            free.push(i);
                            done += 1;
                            continue;
                        }
                        slots[i].retx += 1;
                        slots[i].sent = Instant::now();
                        self.st.retx += 1;
                        self.tx(slots[i].to, &slots[i].msg);
                    }
                }
            }
        }
        let _ = done;
    }
}
/// Answers every request 200 with its own headers: what a datagram in and one out cost on this machine, whoever serves.
fn echo(at: &str) -> ! {
    let socket = UdpSocket::bind(at).unwrap();
    let (mut buf, mut out) = (vec![0u8; 65536], Vec::new());
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buf) else { continue };
        let headers = buf[..n].iter().position(|b| *b == b'\n').unwrap_or(0);
        out.clear();
        out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        out.extend_from_slice(&buf[headers + 1..n]);
        let _ = socket.send_to(&out, from);
    }
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| -> String {
        a.iter().position(|x| x == &format!("--{}", k)).and_then(|i| a.get(i + 1).cloned()).unwrap_or(d.to_string())
    };
    let target = get("target", "127.0.0.1:5060");
    if a.get(1).map(String::as_str) == Some("echo") {
        echo(&target);
    }
    let only: Vec<u64> = match get("only", "").as_str() {
        "" => Vec::new(),
        file => std::fs::read_to_string(file).unwrap().lines().map(|l| l.parse().unwrap()).collect(),
    };
    let c = Cfg {
        mode: a.get(1).cloned().unwrap_or("options".into()),
        users: if only.is_empty() { get("users", "10000").parse().unwrap() } else { only.len() as u64 },
        first: get("first", "0").parse().unwrap(),
        count: get("count", "10000").parse().unwrap(),
        window: get("window", "32").parse().unwrap(),
        threads: get("threads", "1").parse().unwrap(),
        realm: get("realm", "lan.test"),
        domain: get("domain", "lan.test"),
        password: get("password", "pw{user}"),
        expires: get("expires", "3600").parse().unwrap(),
        nonce: get("nonce", "fresh"),
        seconds: get("seconds", "0").parse().unwrap(),
        rate: get("rate", "0").parse().unwrap(),
        rand: get("order", "seq") == "rand",
        digits: get("digits", "7").parse().unwrap(),
        prefix: get("prefix", ""),
        target,
        acked: get("acked", ""),
        expect: get("expect", "0").parse().unwrap(),
        follow: a.iter().any(|x| x == "--follow"),
        only: std::sync::Arc::new(only),
        runid: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 & 0xffffffffff,
    };
    assert_eq!(md5h("abc"), "900150983cd24fb0d6963f7d28e17f72");
    let t0 = Instant::now();
    let hs: Vec<_> = (0..c.threads)
        .map(|tid| {
            let c = c.clone();
            std::thread::spawn(move || {
                let sock = UdpSocket::bind("127.0.0.1:0").unwrap();
                if !c.follow {
                    sock.connect(&c.target).unwrap();
                }
                sock.set_read_timeout(Some(Duration::from_millis(if c.rate > 0.0 { 1 } else { 50 }))).unwrap();
                let lport = sock.local_addr().unwrap().port();
                let mut w =
                    Worker { realm: c.realm.clone(), c, tid, sock, lport, nonce: String::new(), qop: false, nc: 0, st: Stats::default() };
                w.run();
                w.st
            })
        })
        .collect();
    let mut tot = Stats::default();
    for h in hs {
        let s = h.join().unwrap();
        tot.ok += s.ok;
        tot.timeouts += s.timeouts;
        tot.retx += s.retx;
        tot.msgs += s.msgs;
        tot.challenges += s.challenges;
        tot.lat.extend(s.lat);
        for (k, v) in s.bad {
            *tot.bad.entry(k).or_insert(0) += v;
        }
    }
    let dt = t0.elapsed().as_secs_f64();
    tot.lat.sort_unstable();
    let p = |q: f64| if tot.lat.is_empty() { 0 } else { tot.lat[((tot.lat.len() - 1) as f64 * q) as usize] };
    let mut bad: Vec<String> = tot.bad.iter().map(|(k, v)| format!("\"{}\":{}", k, v)).collect();
    bad.sort();
    println!("{{\"mode\":\"{}\",\"ok\":{},\"bad\":{{{}}},\"timeouts\":{},\"retx\":{},\"challenges\":{},\"msgs_sent\":{},\"secs\":{:.3},\"per_s\":{:.0},\"p50_us\":{},\"p99_us\":{},\"max_us\":{}}}",
        c.mode, tot.ok, bad.join(","), tot.timeouts, tot.retx, tot.challenges, tot.msgs, dt, tot.ok as f64 / dt, p(0.5), p(0.99), p(1.0));
}
