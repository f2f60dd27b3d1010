//! What the directory's SIP door costs without its sockets and its disk: a hundred thousand numbers, telephones as they send.

use super::Figure;
use super::measure::{Budget, cpu_ns};
use crate::clock::{Instant, Rng, WallMs};
use crate::digest::{Algorithm, Asked, Authenticator, Challenge, Ha1, Qop};
use crate::directory::bans::{BanPolicy, Bans};
use crate::directory::logins::Failures;
use crate::directory::{Account, Directory, Disclosure, NumberPlan, Policy, Request, User};
use crate::number::Number;
use crate::sip::Hop;
use crate::sip::message::Message;
use crate::sip_door::{Config, Door, Handled, Rooms};
use std::hint::black_box;

const NUMBERS: usize = 100_000;
/// Messages measured together: some milliseconds, against the clock's own cost.
const CHUNK: usize = 400;

/// The door with its rooms, every number registered.
struct Stage {
    door: Door,
    directory: Directory,
    authenticator: Authenticator,
    failures: Failures,
    bans: Bans,
    rng: Rng,
    nc: u32,
    challenge: Option<Challenge>,
}

impl Stage {
    fn new() -> Result<Stage, String> {
        let server = Number::parse("9").map_err(|e| e.to_string())?;
        let plan = NumberPlan::new(server, 7).map_err(|e| e.to_string())?;
        let policy = Policy { disclosure: Disclosure::Anyone, lease_min_s: 1, ..Policy::new(plan) };
        let config = Config { domain: "lan.test".into(), addresses: Vec::new(), hashes: Algorithm::ALL.to_vec() };
        let mut s = Stage {
            door: Door::new(config, 7),
            directory: Directory::new(policy),
            authenticator: Authenticator::new("lan.test", [9; 32], 3600),
            failures: Failures::default(),
            bans: Bans::new(BanPolicy::default()),
            rng: Rng::new(3261),
            nc: 0,
            challenge: None,
        };
        let ha1 = Ha1::of("0000000", "lan.test", "pw");
        for n in 0..NUMBERS {
            let name = format!("{n:07}");
            let account = Account {
                user: User::parse(&name).map_err(|e| e.to_string())?,
                number: Some(Number::parse(&name).map_err(|e| e.to_string())?),
                // One for all but the hash is what is measured, not whose.
                ha1: Ha1 { md5: Ha1::of(&name, "lan.test", "pw").md5, ..ha1 },
            };
            s.directory.handle(Instant::from_ms(1000), WallMs(0), Request::SetAccount(account));
        }
        let refused = s.handle(&s.text("REGISTER", 0, 1, ""))?.ok_or("no challenge came")?;
        let header = refused.headers.iter().find_map(|h| {
            let text = core::str::from_utf8(h.value).ok().filter(|_| h.is("WWW-Authenticate"))?;
            Challenge::parse_all(text).into_iter().find(|c| c.algorithm == Algorithm::Md5)
        });
        s.challenge = Some(header.ok_or("no challenge of MD5")?);
        for n in 0..NUMBERS {
            let register = s.register(n)?;
            let answer = s.handle(&register)?.and_then(|m| m.status());
            if answer != Some(200) {
                return Err(format!("number {n} was answered {answer:?}"));
            }
        }
        Ok(s)
    }

    fn text(&self, method: &str, n: usize, serial: u32, more: &str) -> Vec<u8> {
        let (uri, to) = match method {
            "REGISTER" => ("sip:lan.test".to_owned(), format!("{n:07}")),
            "OPTIONS" => ("sip:ping@lan.test".to_owned(), "ping".to_owned()),
            _ => (format!("sip:{n:07}@lan.test"), format!("{n:07}")),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK0.{n}.{serial};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{n:07}@lan.test>;tag=f{serial:x}\r\nTo: <sip:{to}@lan.test>\r\nCall-ID: u{n:07}-1a2b3c4d@10.0.0.1\r\n\
             CSeq: {serial} {method}\r\n{more}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn register(&mut self, n: usize) -> Result<Vec<u8>, String> {
        self.nc += 1;
        let challenge = self.challenge.as_ref().ok_or("there is no challenge yet")?;
        let name = format!("{n:07}");
        let ha1 = Ha1 { md5: Ha1::of(&name, "lan.test", "pw").md5, ..Ha1::of("0000000", "lan.test", "pw") };
        let asked = Asked { method: "REGISTER", uri: "sip:lan.test", body: b"" };
        let login = challenge.answer(&name, &ha1, &asked, Some(Qop::Auth), self.nc, "c0").ok_or("MD5 is known")?.emit();
        let contact = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
        let more = format!("Contact: <sip:{name}@{contact}:5060>\r\nExpires: 3600\r\nAuthorization: {login}\r\n");
        Ok(self.text("REGISTER", n, self.nc + 1, &more))
    }

    fn handle(&mut self, bytes: &[u8]) -> Result<Option<Message>, String> {
        self.answer(bytes).map(|bytes| Message::parse(&bytes).map_err(|e| e.to_string())).transpose()
    }

    /// What a datagram costs: everything from its bytes to those of its answer, as if the disk were there at once.
    fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Stage { door, directory, authenticator, failures, bans, .. } = self;
        let (now, wall) = (Instant::from_ms(2000), WallMs(0));
        let src = Hop::udp(([127, 0, 0, 1], 40_001).into());
        match door.handle(now, wall, src, bytes, &mut Rooms { directory, authenticator, failures, bans }, true) {
            Handled::Nothing => None,
            Handled::Answer(answer) => Some(answer.bytes),
            Handled::Write { writes, pending } => {
                drop(black_box(writes));
                Some(door.settled(now, pending, true).bytes)
            }
        }
    }

    /// The best chunk of as many as fit into the budget; each must be answered so.
    fn best(
        &mut self,
        budget: &Budget,
        status: &str,
        make: impl Fn(&mut Stage, usize) -> Result<Vec<u8>, String>,
    ) -> Result<Figure, String> {
        let (mut best, mut spent) = (f64::INFINITY, 0);
        let status = format!("SIP/2.0 {status} ");
        for _ in 0..1000 {
            let mut chunk = Vec::with_capacity(CHUNK);
            for _ in 0..CHUNK {
                let n = self.rng.below(NUMBERS as u64) as usize;
                chunk.push(make(self, n)?);
            }
            let start = cpu_ns();
            let answers: Vec<_> = chunk.iter().map(|bytes| self.answer(black_box(bytes))).collect();
            let took = cpu_ns() - start;
            if let Some(other) = answers.iter().find(|a| !a.as_ref().is_some_and(|a| a.starts_with(status.as_bytes()))) {
                return Err(format!("answered {:?}", other.as_ref().map(|o| String::from_utf8_lossy(o))));
            }
            best = best.min(took as f64 / CHUNK as f64);
            spent += took;
            if spent >= budget.cpu_ns {
                break;
            }
        }
        Ok(Figure::Per("message", best))
    }
}

/// OPTIONS that asks whether the directory lives.
pub fn options(budget: &Budget) -> Result<Figure, String> {
    Stage::new()?.best(budget, "200", |s, n| Ok(s.text("OPTIONS", n, 1, "")))
}

/// A look-up by INVITE.
pub fn lookup(budget: &Budget) -> Result<Figure, String> {
    Stage::new()?.best(budget, "302", |s, n| Ok(s.text("INVITE", n, 1, "")))
}

/// REGISTER without credentials, challenged.
pub fn challenge(budget: &Budget) -> Result<Figure, String> {
    Stage::new()?.best(budget, "401", |s, n| Ok(s.text("REGISTER", n, 1, "")))
}

/// REGISTER with credentials by a nonce that serves, granted.
pub fn register(budget: &Budget) -> Result<Figure, String> {
    Stage::new()?.best(budget, "200", |s, n| s.register(n))
}
