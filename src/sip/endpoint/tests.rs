//! Two endpoints and a network between them, in virtual time.

use super::*;
use std::collections::BTreeMap;

mod early;
mod flows;
mod ghosts;
mod hops;
mod ladder;
mod refresh;
mod secrets;
mod strangers;
mod words;

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 5060))
}

/// The value of a header as text; empty if it is not there.
fn header(message: &Message, name: &str) -> String {
    String::from_utf8_lossy(message.headers.get(name).unwrap_or_default()).into_owned()
}

/// A response of a far end of tag `tag` to a request that was sent.
fn reply(request: &Message, status: u16, tag: &str) -> Message {
    let mut m = Message::response_to(request, status, "x");
    tag_response(&mut m, tag.as_bytes());
    m.with("Contact", "<sip:far@192.0.2.2>")
}

/// How bad the network is.
#[derive(Clone, Copy)]
struct Link {
    loss: f64,
    duplicate: f64,
    delay_ms: u64,
    jitter_ms: u64,
}

const GOOD: Link = Link { loss: 0.0, duplicate: 0.0, delay_ms: 10, jitter_ms: 0 };

/// Endpoints 0 (at .1) and 1 (at .2), and what is on its way.
struct World {
    now: Instant,
    ends: [Endpoint; 2],
    events: [Vec<Event>; 2],
    link: Link,
    rng: Rng,
    flying: BTreeMap<(Instant, u64), (Hop, Transmit)>,
    count: u64,
    /// Who sent which first line when, for asserting ladders.
    log: Vec<(u8, String)>,
    /// Datagrams to nobody we run: outside parties of a test.
    outside: Vec<Transmit>,
}

impl World {
    fn new(link: Link, seed: u64) -> World {
        let end = |n: u8| Endpoint::new(Config::new(addr(n), "tipring"), seed.wrapping_mul(2) + u64::from(n));
        World {
            now: Instant::from_ms(1_000_000),
            ends: [end(1), end(2)],
            events: Default::default(),
            link,
            rng: Rng::new(seed),
            flying: BTreeMap::new(),
            count: 0,
            log: Vec::new(),
            outside: Vec::new(),
        }
    }

    fn call(&mut self) -> DialogId {
        let call = Invite {
            to: "2001".into(),
            targets: vec![(addr(2).into(), None)],
            from: "3001".into(),
            display: Some("Ada".into()),
            offer: b"v=0 offer".to_vec(),
            ..Invite::default()
        };
        self.ends[0].invite(self.now, call).unwrap()
    }

    /// Takes out what the endpoints want sent and said.
    fn drain(&mut self) {
        for n in 0..2 {
            while let Some(transmit) = self.ends[n].poll_transmit() {
                let line = String::from_utf8_lossy(&transmit.bytes).lines().next().unwrap_or_default().to_owned();
                let word = line.strip_prefix("SIP/2.0 ").unwrap_or(&line).split(' ').next().unwrap_or_default().to_owned();
                self.log.push((n as u8, word));
                let copies = if self.rng.chance(self.link.duplicate) { 2 } else { 1 };
                for _ in 0..copies {
                    if self.rng.chance(self.link.loss) {
                        continue;
                    }
                    let at = self.now + ms(self.link.delay_ms + self.rng.below(self.link.jitter_ms + 1));
                    self.count += 1;
                    self.flying.insert((at, self.count), (Hop { addr: addr(n as u8 + 1), ..transmit.dst }, transmit.clone()));
                }
            }
            while let Some(event) = self.ends[n].poll_event() {
                self.events[n].push(event);
            }
        }
    }

    /// One step: the next datagram or deadline until `end`. False when nothing is left to come until then.
    fn step(&mut self, end: Instant) -> bool {
        self.drain();
        let flight = self.flying.keys().next().map(|k| k.0);
        let timer = self.ends.iter().filter_map(|e| e.poll_timeout()).map(|t| t.0).min();
        let Some(at) = flight.into_iter().chain(timer).min().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        if flight == Some(at) {
            let (_, (src, transmit)) = self.flying.pop_first().unwrap();
            match (0..2).find(|n| addr(*n as u8 + 1) == transmit.dst.addr) {
                Some(n) => self.ends[n].handle_message(self.now, src, &transmit.bytes),
                None => self.outside.push(transmit),
            }
        } else {
            self.ends.iter_mut().for_each(|e| e.handle_timeout(self.now));
        }
        true
    }

    fn run_ms(&mut self, n: u64) {
        let end = self.now + ms(n);
        while self.step(end) {}
    }

    fn take(&mut self, n: usize) -> Vec<Event> {
        self.drain();
        std::mem::take(&mut self.events[n])
    }

    fn ladder(&mut self) -> String {
        let log = std::mem::take(&mut self.log);
        log.iter().map(|(n, word)| format!("{}{word}", if *n == 0 { ">" } else { "<" })).collect::<Vec<_>>().join(" ")
    }

    /// Hands a message to endpoint `n` as if it came from there.
    fn hear(&mut self, n: usize, src: impl Into<Hop>, bytes: impl AsRef<[u8]>) {
        self.ends[n].handle_message(self.now, src.into(), bytes.as_ref());
    }

    /// What endpoint `n` wants sent, read; nothing of it is delivered.
    fn sent(&mut self, n: usize) -> Vec<(Hop, Message)> {
        core::iter::from_fn(|| self.ends[n].poll_transmit()).map(|t| (t.dst, Message::parse(&t.bytes).unwrap())).collect()
    }

    /// The dialog of the call that came in at endpoint 1.
    fn incoming(&mut self) -> DialogId {
        match &self.take(1)[..] {
            [Event::Incoming { dialog, to_user, from_user, display, source, offer, .. }] => {
                assert_eq!((to_user.as_str(), from_user.as_str(), display.as_deref()), ("2001", "3001", Some("Ada")));
                assert_eq!((source.addr, offer.as_deref()), (addr(1), Some(&b"v=0 offer"[..])));
                *dialog
            }
            other => panic!("{other:?}"),
        }
    }

    /// A call set up and acknowledged: the dialog at each end.
    fn connected(&mut self) -> (DialogId, DialogId) {
        let a = self.call();
        self.run_ms(100);
        let b = self.incoming();
        self.ends[1].answer(self.now, b, b"v=0 answer".to_vec()).unwrap();
        self.run_ms(100);
        assert_eq!(self.take(0), [Event::Answered { dialog: a, sdp: b"v=0 answer".to_vec() }]);
        assert_eq!(self.take(1), [Event::Acked { dialog: b, sdp: None }]);
        self.ladder();
        (a, b)
    }

    /// Lets all timers run out; then nothing may be left.
    fn assert_all_gone(&mut self) {
        self.run_ms(400_000);
        for end in &self.ends {
            assert_eq!(end.alive(), Alive::default());
            assert_eq!(end.poll_timeout(), None);
        }
        assert!(self.flying.is_empty());
    }
}
