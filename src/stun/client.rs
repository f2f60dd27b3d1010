//! Which address a NAT gives to our SIP socket, and keeping it: a Binding request to a server beyond the NAT, from that very socket.
//!
//! ```text
//!  start --> Asking --answer--> Resting --20 to 29 s--> Asking     (RFC 5626 s.4.4.2: a NAT forgets a mapping after 30 s at the earliest)
//!             |  ^                                        ^
//!   repeated at |                                         |
//!   500 ms, 1 s, 2 s ..: no answer --> Resting -----------/        (the last answer stands: a server that is away moves nobody)
//! ```
//! It sends nothing itself: [`Client::poll_transmit`] says what goes to the server from the SIP socket, and [`Client::handle_answer`] takes
//! what came from there.

use super::{binding_request, read_answer};
use crate::clock::{Instant, TimerTable, ms};
use crate::digest::Prints;
use core::net::SocketAddr;

/// The first wait for an answer, in milliseconds; it doubles (RFC 8489 s.6.2.1).
pub const RTO_MS: u64 = 500;
/// Times that a request is sent (s.6.2.1: Rc).
pub const SENT_MAX: u32 = 7;
/// How long the last one is waited for, in times of [`RTO_MS`] (s.6.2.1: Rm).
pub const LAST_WAIT: u64 = 16;
/// Between an answer and the next request, in milliseconds, at least and at most.
pub const REST_MS: (u64, u64) = (20_000, 29_000);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// The request is sent (again), or given up.
    Again,
    /// The next request.
    Next,
}

/// Asks one server.
#[derive(Debug)]
pub struct Client {
    prints: Prints,
    /// The request under way, how often it was sent, and whether it is to be sent now.
    asking: Option<([u8; 12], u32, bool)>,
    mapped: Option<SocketAddr>,
    silent: bool,
    timers: TimerTable<Reason, 2>,
}

impl Client {
    /// Not started. `prints` makes transaction ids that nobody can guess.
    pub fn new(prints: impl Into<Prints>) -> Client {
        Client { prints: prints.into(), asking: None, mapped: None, silent: false, timers: TimerTable::new([Reason::Again, Reason::Next]) }
    }

    /// Asks now: at the start, and whenever our own address changed.
    pub fn start(&mut self, now: Instant) {
        let wide = self.prints.wide().to_be_bytes();
        let transaction = core::array::from_fn(|i| wide[i]);
        self.asking = Some((transaction, 1, true));
        self.timers.stop(Reason::Next);
        self.timers.set(Reason::Again, now + ms(RTO_MS));
    }

    /// The request to send to the server now, once.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let (transaction, _, due) = self.asking.as_mut().filter(|(.., due)| *due)?;
        *due = false;
        Some(binding_request(*transaction))
    }

    /// A STUN message came from the server. Our address, if it is another than before.
    pub fn handle_answer(&mut self, now: Instant, bytes: &[u8]) -> Option<SocketAddr> {
        let answered = read_answer(bytes)?;
        self.asking.filter(|(transaction, ..)| *transaction == answered.transaction)?;
        self.rest(now);
        self.silent = answered.mapped.is_none();
        let new = answered.mapped.filter(|new| self.mapped != Some(*new))?;
        self.mapped = Some(new);
        Some(new)
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(reason) = self.timers.take_due(now) {
            match (reason, &mut self.asking) {
                (Reason::Again, Some((_, sent, due))) if *sent < SENT_MAX => {
                    (*sent, *due) = (*sent + 1, true);
                    let wait = if *sent == SENT_MAX { LAST_WAIT } else { 1 << (*sent - 1) };
                    self.timers.set(Reason::Again, now + ms(RTO_MS * wait));
                }
                (Reason::Again, _) => {
                    self.silent = true;
                    self.rest(now);
                }
                (Reason::Next, _) => self.start(now),
            }
        }
    }

    /// When [`Client::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Our address as the server saw it last.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }
    /// The last request had no answer, or none that says an address.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    fn rest(&mut self, now: Instant) {
        self.asking = None;
        self.timers.stop(Reason::Again);
        let (least, most) = REST_MS;
        self.timers.set(Reason::Next, now + ms(least + self.prints.below(most - least)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::binding_answer;

    fn t(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }
    fn nat(port: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 7], port))
    }
    /// Runs until `end`; when something was sent.
    fn run(client: &mut Client, from: u64, end: u64, mut answer: impl FnMut(u64, &[u8]) -> Option<Vec<u8>>) -> (Vec<u64>, Vec<SocketAddr>) {
        let (mut now, mut sent, mut told) = (from, Vec::new(), Vec::new());
        loop {
            while let Some(request) = client.poll_transmit() {
                sent.push(now);
                told.extend(answer(now, &request).and_then(|a| client.handle_answer(t(now), &a)));
            }
            let Some(at) = client.poll_timeout().filter(|at| *at <= t(end)) else { return (sent, told) };
            now = at.as_ms();
            client.handle_timeout(at);
        }
    }

    #[test]
    fn the_mapping_is_asked_for_every_twenty_to_twenty_nine_seconds_and_a_new_one_told_once() {
        let mut client = Client::new(1);
        client.start(t(0));
        let (sent, told) = run(&mut client, 0, 600_000, |now, ask| binding_answer(ask, nat(if now < 300_000 { 1 } else { 2 })));
        assert_eq!(told, [nat(1), nat(2)]);
        assert_eq!(client.mapped(), Some(nat(2)));
        assert!(sent.windows(2).all(|w| (20_000..29_001).contains(&(w[1] - w[0]))), "{sent:?}");
        assert!((20..=30).contains(&sent.len()), "{sent:?}");
    }

    #[test]
    fn a_silent_server_is_asked_by_the_book_and_moves_nobody() {
        let mut client = Client::new(2);
        client.start(t(0));
        run(&mut client, 0, 10, |_, ask| binding_answer(ask, nat(1)));
        client.start(t(100));
        let (sent, told) = run(&mut client, 100, 41_000, |_, _| None);
        assert_eq!(sent, [100, 600, 1_600, 3_600, 7_600, 15_600, 31_600]);
        assert!(told.is_empty() && client.is_silent() && client.mapped() == Some(nat(1)));
        // And when it is back, it is heard.
        let (_, told) = run(&mut client, 41_000, 100_000, |_, ask| binding_answer(ask, nat(3)));
        assert_eq!((told, client.is_silent()), (vec![nat(3)], false));
    }

    #[test]
    fn what_nobody_asked_for_tells_nothing() {
        let mut client = Client::new(3);
        assert_eq!(client.poll_timeout(), None);
        client.start(t(0));
        let old = client.poll_transmit().unwrap();
        client.start(t(10));
        let new = client.poll_transmit().unwrap();
        assert_ne!(old, new);
        for forged in [binding_answer(&old, nat(9)), binding_answer(&binding_request([0; 12]), nat(9)), Some(new.clone()), Some(Vec::new())]
        {
            assert_eq!(client.handle_answer(t(20), &forged.unwrap()), None);
        }
        let answer = binding_answer(&new, nat(1)).unwrap();
        assert_eq!(client.handle_answer(t(20), &answer), Some(nat(1)));
        assert_eq!(client.handle_answer(t(30), &binding_answer(&new, nat(2)).unwrap()), None, "it was answered already");
    }
}
