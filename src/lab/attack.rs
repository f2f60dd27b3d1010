//! `tipring lab attack`: somebody in the path of a call, who reads, changes, drops, replays and injects, all of it in every run.
//!
//! Two gateways that know each other by the directory; between them sits [`Path`]. Beside what it does to media in every run, it does one of four
//! things to the signalling, by seed: nothing, or it leads media to itself, or takes the keys out (down to the clear), or puts its own certificate
//! in the place of the peer's and shakes hands with both sides. A telephone speaks and a fax machine sends a page; then it is asked what the
//! attacker has: samples that are like what was said, image packets that can be read, datagrams that were led to it.
//!
//! What is proven is what A's side says: it calls, and looks who answers. Whoever is called hears a stranger's call as what it is.

use super::fax::Tray;
use super::hearing;
use super::world::attacker::{Attacker, Passing};
use super::world::{FaxSpec, GatewaySpec, PortSpec, SecuritySpec, World, WorldSpec};
use crate::clock::{Instant, Rng};
use crate::dtls::{self, Role};
use crate::fax::t38::{ifp, udptl};
use crate::identity;
use crate::negotiate::Policy;
use crate::srtp;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tipring_dsp::g711::Law;
use tipring_dsp::page::{self, Page, tiff};
use tipring_hw::Control;
use tipring_hw::sim::Happening;

const A: usize = 0;
const B: usize = 1;
/// The attacker's own machine, to which it leads media.
const MALLORY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 66, 0, 1));
/// What counts as having heard what was said: unrelated sounds stay far below.
const HEARD: f64 = 0.5;
/// Datagrams that the attacker keeps.
const KEPT_MAX: usize = 40_000;

/// What the attacker does to the signalling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signalling {
    Nothing,
    /// Media are to come to its own host.
    Redirect,
    /// The keys are taken out, and the protos are those of the clear.
    Downgrade,
    /// Its own certificate stands in the place of either end's.
    Substitute,
}

/// What came of the seeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttackOutcome {
    /// Seeds run.
    pub runs: u32,
    /// In which the attacker has samples of what the caller said.
    pub audio_learned: u32,
    /// In which it has image packets that it can read.
    pub pels_learned: u32,
    /// In which media in the clear left the caller's gateway.
    pub sent_in_the_clear: u32,
    /// In which the caller's gateway sent media, in whatever form, to the attacker's host.
    pub redirected: u32,
    /// In which the talk stood and was heard at the right place, or the page arrived: an attacker in the path can always cut.
    pub talks: u32,
    /// See above.
    pub pages: u32,
    /// What it did to media, all runs together.
    pub changed: u64,
    /// See above.
    pub dropped: u64,
    /// See above.
    pub replayed: u64,
    /// See above.
    pub injected: u64,
    /// One sentence a seed in which it learned something.
    pub failures: Vec<String>,
}

/// Runs `runs` seeds from `first`; `safe`: media are `required` and the caller looks who answers. Without it, the control, neither is so.
pub fn run(page: &Page, first: u64, runs: u32, safe: bool, tray: &mut dyn Tray) -> io::Result<AttackOutcome> {
    let document = tray.put(&tiff::write(core::slice::from_ref(page), tiff::Options::default()))?;
    let mut outcome = AttackOutcome::default();
    for seed in (first..).take(runs as usize) {
        let path = Rc::new(RefCell::new(Path::new(seed)));
        let mut world = scene(seed, safe, tray);
        world.run_until(20_000, |w| (0..2).all(|s| w.site(s).registered() == 2));
        world.set_attacker(Some(Box::new(Shared(path.clone()))));
        let said = talk(&mut world, seed);
        let heard = path.borrow().hears(&said);
        let stood = heard_at_b(&world, &said);
        outcome.talks += u32::from(stood);
        world.hang_up(A, 0);
        world.hang_up(B, 0);
        world.run_ms(5_000);
        world.forget_happenings();
        world.control(A, 1, Control::SendFax { number: "3002".into(), tiff: document.clone() });
        let done = |w: &World| w.happenings(A, 1).any(|(_, h)| matches!(h, Happening::FaxDone(_)));
        world.run_until(6 * 60_000, |w| done(w));
        world.run_ms(10_000);
        outcome.pages += u32::from(arrived(&world, page, tray)?);
        let path = path.borrow();
        let seen = (heard > HEARD, path.images > 0, path.clear > 0, path.led > 0);
        outcome.runs += 1;
        outcome.audio_learned += u32::from(seen.0);
        outcome.pels_learned += u32::from(seen.1);
        outcome.sent_in_the_clear += u32::from(seen.2);
        outcome.redirected += u32::from(seen.3);
        outcome.changed += path.changed;
        outcome.dropped += path.dropped;
        outcome.replayed += path.replayed;
        outcome.injected += path.injected;
        if let Some(broken) = world.violation() {
            outcome.failures.push(format!("seed {seed}: {broken}"));
        } else if seen != (false, false, false, false) {
            let Path { images, clear, led, signalling, .. } = &*path;
            outcome.failures.push(format!(
                "seed {seed} ({signalling:?}): what it heard is like what was said by {heard:.2}; {images} image packets, {clear} in the clear, {led} led to it"
            ));
        }
    }
    Ok(outcome)
}

fn scene(seed: u64, safe: bool, tray: &dyn Tray) -> World {
    let fax = || FaxSpec { ecm: true, max_bps: 14_400, receive_into: Some(tray.folder()) };
    let office = |name, phone, number| {
        let mut gateway = GatewaySpec::new(name, vec![PortSpec::phone(phone), PortSpec::fax(number, fax())]);
        gateway.security = match safe {
            true => SecuritySpec { media: Policy::Required, ..SecuritySpec::USUAL },
            false => {
                SecuritySpec { identity: identity::Policy { check_is_off: true, ..SecuritySpec::USUAL.identity }, ..SecuritySpec::USUAL }
            }
        };
        gateway
    };
    World::new(WorldSpec::new(seed, vec![office("a", "2001", "2002"), office("b", "3001", "3002")]))
}

/// 2001 calls 3001 and speaks, if somebody answers. What was said.
fn talk(world: &mut World, seed: u64) -> Vec<i16> {
    let said = hearing::speech(seed, 3 * 8_000);
    world.dial(A, 0, "3001");
    world.run_until(10_000, |w| w.happenings(B, 0).any(|(_, h)| *h == Happening::RingStarted));
    world.lift(B, 0);
    world.run_ms(1_500);
    world.control(B, 0, Control::RecordStart { samples_max: 6 * 8_000 });
    world.run_ms(100);
    // Whoever hears nothing yet speaks all the same.
    world.control(A, 0, Control::Play { samples: said.clone() });
    world.run_ms(4_500);
    world.control(B, 0, Control::RecordStop);
    world.run_ms(200);
    said
}

fn heard_at_b(world: &World, said: &[i16]) -> bool {
    let recorded = world.happenings(B, 0).find_map(|(_, h)| match h {
        Happening::Recorded(samples) => Some(samples.clone()),
        _ => None,
    });
    recorded.is_some_and(|heard| likeness(said, &heard) > HEARD)
}

/// How much of what was said is in these samples: the best of three half seconds, for over a longer time playout moves by a sample or two.
fn likeness(said: &[i16], samples: &[i16]) -> f64 {
    let windows = [4_000, 10_000, 16_000].map(|from| said.get(from..from + 4_000));
    let found = windows.into_iter().flatten().map(|words| hearing::find(words, samples, samples.len()).correlation);
    found.fold(0.0, f64::max)
}

fn arrived(world: &World, page: &Page, tray: &mut dyn Tray) -> io::Result<bool> {
    let files: Vec<_> = world
        .happenings(B, 1)
        .filter_map(|(_, h)| match h {
            Happening::FaxDone(report) => report.file.clone(),
            _ => None,
        })
        .collect();
    for file in files {
        let read = tray.take(&file).ok().and_then(|bytes| tiff::read_all(&bytes).ok());
        if read.is_some_and(|pages| pages.iter().any(|p| page::compare(page, &p.page).is_none())) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Shared(Rc<RefCell<Path>>);

impl Attacker for Shared {
    fn on_datagram(&mut self, now: Instant, passing: Passing, on: &mut Vec<Passing>) {
        self.0.borrow_mut().on_datagram(now, passing, on);
    }
}

/// One of the attacker's own handshakes: it plays `as_if` to `with`.
struct Greeting {
    with: SocketAddr,
    as_if: SocketAddr,
    association: dtls::Association,
    keys: Option<srtp::Keys>,
    session: Option<srtp::Session>,
    records: Option<Box<dtls::Records>>,
}

struct Path {
    rng: Rng,
    seed: u64,
    signalling: Signalling,
    certificate: Arc<dtls::Certificate>,
    greetings: Vec<Greeting>,
    /// What came from A's media ports, as far as it can be read as G.711: payloads in order.
    audio: Vec<u8>,
    kept: Vec<Passing>,
    images: u64,
    clear: u64,
    led: u64,
    changed: u64,
    dropped: u64,
    replayed: u64,
    injected: u64,
}

impl Path {
    fn new(seed: u64) -> Path {
        let signalling = [Signalling::Nothing, Signalling::Redirect, Signalling::Downgrade, Signalling::Substitute][seed as usize % 4];
        Path {
            rng: Rng::new(seed ^ 0x6d61_6c6c_6f72_7900),
            seed,
            signalling,
            certificate: Arc::new(dtls::Certificate::for_simulation(0x6d61_6c6c)),
            greetings: Vec::new(),
            audio: Vec::new(),
            kept: Vec::new(),
            images: 0,
            clear: 0,
            led: 0,
            changed: 0,
            dropped: 0,
            replayed: 0,
            injected: 0,
        }
    }

    /// How much of what it has is like what was said.
    fn hears(&self, said: &[i16]) -> f64 {
        let mut samples = vec![0i16; self.audio.len()];
        Law::Mu.decode_block(&self.audio, &mut samples);
        if samples.len() < said.len() / 4 {
            return 0.0;
        }
        likeness(said, &samples)
    }

    fn on_datagram(&mut self, now: Instant, (src, dst, bytes): Passing, on: &mut Vec<Passing>) {
        if dst.port() == 5060 || src.port() == 5060 {
            let bytes = self.rewrite(&bytes, src);
            return on.push((src, dst, bytes));
        }
        let from_a = src.ip() == super::world::sip_address(A).ip();
        self.read(&bytes, src, dst, from_a);
        if dst.ip() == MALLORY {
            self.led += u64::from(from_a && !dtls::is_dtls(bytes.first().copied().unwrap_or_default()));
            return;
        }
        if self.signalling == Signalling::Substitute && bytes.first().is_some_and(|b| dtls::is_dtls(*b)) {
            return self.greet(now, src, dst, &bytes, on);
        }
        self.spoil(src, dst, bytes, on);
    }

    /// Whatever can be read is.
    fn read(&mut self, bytes: &[u8], src: SocketAddr, dst: SocketAddr, from_a: bool) {
        if !from_a || bytes.is_empty() {
            return;
        }
        if bytes[0] >> 6 == 2 {
            let is_rtcp = bytes.len() > 1 && (192..=223).contains(&bytes[1]);
            let mut packet = bytes.to_vec();
            let opened = self.greetings.iter_mut().find(|g| g.with == src).and_then(|g| g.session.as_mut());
            if let Some(Ok(n)) = opened.map(|session| session.unprotect_rtp(&mut packet)) {
                packet.truncate(n);
            }
            if !is_rtcp && packet.len() > 12 && packet[1] & 0x7f == 0 && self.audio.len() < 8_000 * 60 {
                self.audio.extend_from_slice(&packet[12..]);
            }
            // A tag stands behind what is protected: G.711 of 20 ms in the clear is 172 octets.
            self.clear += u64::from(!is_rtcp && bytes.len() == 172);
            return;
        }
        let opened = self.greetings.iter_mut().find(|g| g.with == src && g.as_if == dst).and_then(|g| g.records.as_mut());
        let mut inside = Vec::new();
        if let Some(records) = opened {
            records.open(bytes, &mut |data: &[u8]| inside.push(data.to_vec()));
        }
        if inside.is_empty() && !dtls::is_dtls(bytes[0]) {
            inside.push(bytes.to_vec());
        }
        for datagram in inside {
            let Ok(parsed) = udptl::parse(&datagram) else { continue };
            if let Ok(ifp::Packet::Data(data)) = ifp::parse(parsed.primary, ifp::Syntax::Asn1998) {
                self.clear += 1;
                self.images += u64::from(data.modem().is_fast());
            }
        }
    }

    /// Changes, drops, replays and injects.
    fn spoil(&mut self, src: SocketAddr, dst: SocketAddr, mut bytes: Vec<u8>, on: &mut Vec<Passing>) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push((src, dst, bytes.clone()));
        }
        match self.rng.below(100) {
            0 => {
                self.dropped += 1;
                return;
            }
            1 | 2 => {
                let at = self.rng.below(bytes.len().max(1) as u64) as usize;
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << self.rng.below(8);
                }
                self.changed += 1;
            }
            3 | 4 => {
                let at = self.rng.below(self.kept.len() as u64) as usize;
                on.push(self.kept[at].clone());
                self.replayed += 1;
            }
            5 | 6 => {
                let mut forged: Vec<u8> = (0..172).map(|_| self.rng.next_u64() as u8).collect();
                (forged[0], forged[1]) = (0x80, if self.rng.below(8) == 0 { 203 } else { 0 });
                if self.rng.below(2) == 0 && bytes.len() >= 12 && bytes[0] >> 6 == 2 {
                    // In the name of who speaks, as the next packet of the stream.
                    forged[2..12].copy_from_slice(&bytes[2..12]);
                    forged[3] = forged[3].wrapping_add(1);
                }
                on.push((src, dst, forged));
                self.injected += 1;
            }
            _ => {}
        }
        on.push((src, dst, bytes));
    }

    /// The peer's part of a handshake, to both sides.
    fn greet(&mut self, now: Instant, src: SocketAddr, dst: SocketAddr, bytes: &[u8], on: &mut Vec<Passing>) {
        let known = self.greetings.iter().position(|g| g.with == src && g.as_if == dst);
        let at = match known {
            Some(at) => at,
            None if bytes.first() == Some(&22) && self.greetings.len() < 8 => {
                // Whoever greets is answered, and so is the one that was meant: a client here, a server there.
                self.begin(now, src, dst, Role::Server);
                self.begin(now, dst, src, Role::Client);
                self.greetings.len() - 2
            }
            None => return,
        };
        self.greetings[at].association.handle_datagram(now, bytes);
        for g in &mut self.greetings {
            g.association.handle_timeout(now);
            while let Some(datagram) = g.association.poll_transmit() {
                on.push((g.as_if, g.with, datagram));
            }
            while let Some(event) = g.association.poll_event() {
                if let dtls::Event::Connected(shown) = event {
                    g.association.expect(dtls::Expected::one(shown.peer.fingerprint));
                }
            }
            if g.keys.is_none() && g.association.verdict() == dtls::Verdict::Proven {
                let role = if g.role_is_server() { srtp::Role::Server } else { srtp::Role::Client };
                g.keys = g.association.srtp().and_then(|s| {
                    let profile = srtp::Profile::from_dtls_number(s.profile)?;
                    srtp::Keys::from_dtls(profile, &s.material, role).ok()
                });
                g.session = g.keys.as_ref().map(srtp::Session::new);
                g.records = g.association.take_records();
            }
        }
    }

    fn begin(&mut self, now: Instant, with: SocketAddr, as_if: SocketAddr, role: Role) {
        let params =
            dtls::Params { role, certificate: self.certificate.clone(), expected: None, srtp: vec![0x0008, 0x0007, 0x0001], mtu: 1200 };
        let engine = dtls::SeededForSimulation(self.seed ^ self.rng.next_u64());
        let association = dtls::Association::new(now, params, &engine);
        self.greetings.push(Greeting { with, as_if, association, keys: None, session: None, records: None });
    }

    /// What it makes of a SIP message.
    fn rewrite(&self, bytes: &[u8], src: SocketAddr) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| body.contains("m=")) else { return bytes.to_vec() };
        let ours = self.certificate.fingerprint().to_string();
        let line = |line: &str| -> Option<String> {
            let media = ["a=fingerprint", "a=setup", "a=tls-id", "a=crypto"].iter().any(|k| line.starts_with(k));
            match self.signalling {
                Signalling::Nothing => Some(line.to_owned()),
                Signalling::Redirect if line.starts_with("c=IN IP4") => Some(format!("c=IN IP4 {MALLORY}")),
                Signalling::Downgrade if media => None,
                Signalling::Downgrade => Some(line.replace("UDP/TLS/RTP/SAVP", "RTP/AVP").replace("UDP/TLS/UDPTL", "udptl")),
                Signalling::Substitute if line.starts_with("a=fingerprint") => Some(format!("a=fingerprint:{ours}")),
                Signalling::Redirect | Signalling::Substitute => Some(line.to_owned()),
            }
        };
        let _who = src;
        let body: String = body.lines().filter_map(line).map(|l| l + "\r\n").collect();
        let length = |h: &str| match h.to_ascii_lowercase().starts_with("content-length") {
            true => format!("Content-Length: {}", body.len()),
            false => h.to_owned(),
        };
        let head: Vec<String> = head.split("\r\n").map(length).collect();
        format!("{}\r\n\r\n{body}", head.join("\r\n")).into_bytes()
    }
}

impl Greeting {
    /// Who greeted first is answered as a server does.
    fn role_is_server(&self) -> bool {
        self.association.role() == Role::Server
    }
}
