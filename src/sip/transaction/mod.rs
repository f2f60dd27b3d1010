//! Transactions: what repeats a message until it is answered, and answers a repeated message without asking again.
//! RFC 3261 s.17, with the Accepted states of RFC 6026. Over a reliable transport there are no A, E and G, and D, I, J and K are zero.
//!
//! The four machines are pure: they say what to do with the stored bytes (repeat, pass up, forget), the endpoint does it.

pub mod client;
pub mod client_invite;
pub mod server;
pub mod server_invite;

pub use client::Client;
pub use client_invite::ClientInvite;
pub use server::Server;
pub use server_invite::ServerInvite;

use super::message::{Message, Method};
use crate::clock::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Round-trip estimate, in ms (RFC 3261 table 4).
pub const T1_MS: u64 = 500;
/// Longest interval between repeats, in ms.
pub const T2_MS: u64 = 4_000;
/// Longest a message stays in the network, in ms.
pub const T4_MS: u64 = 5_000;
/// How long anything is repeated: 64 * T1, in ms.
pub const T1_64_MS: u64 = 64 * T1_MS;
/// How long a call may wait for its first word, in ms: then it is told 100 Trying (RFC 3261 s.17.2.1).
pub const TRYING_MS: u64 = 200;
/// How often who rings is told that it still does, in ms, lest a proxy takes its call for lost (RFC 3261 s.13.3.1.1).
pub const REMIND_MS: u64 = 60_000;
/// How long an INVITE may ring without a word, in ms (Timer C, RFC 3261 s.16.6 asks for more than three minutes of a proxy).
pub const TIMER_C_MS: u64 = 180_000;

/// Every timer of this folder by its letter in RFC 3261 table 4, and those of the dialogs above it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// Repeat the INVITE.
    A,
    /// Give up the INVITE: nobody answers.
    B,
    /// The INVITE rings too long; after CANCEL: no final answer comes.
    C,
    /// Keep answering repeats of a failure with ACK.
    D,
    /// Repeat another request.
    E,
    /// Give up another request.
    F,
    /// Repeat a failure of an INVITE.
    G,
    /// No ACK to a failure comes.
    H,
    /// Absorb repeats of the ACK.
    I,
    /// Absorb repeats of another request.
    J,
    /// Absorb repeats of its answer.
    K,
    /// Absorb repeats of an accepted INVITE.
    L,
    /// Wait for 2xx of further forks.
    M,
    /// Repeat the 200 to an INVITE.
    Answer,
    /// No ACK to the 200 comes.
    AckWait,
    /// Nobody said anything to an incoming call yet: 100 Trying (RFC 3261 s.17.2.1).
    Trying,
    /// An incoming call still rings: its caller is told again (RFC 3261 s.13.3.1.1).
    Remind,
    /// An incoming call rings too long.
    Ring,
    /// Repeat a provisional response that asks for PRACK (RFC 3262 s.3).
    Reliable,
    /// No PRACK to it comes.
    PrackWait,
    /// Our side does not answer the peer's offer in an UPDATE or PRACK.
    UpdateWait,
    /// Refresh the session (RFC 4028 s.7.2).
    Refresh,
    /// The session was not refreshed in its time (RFC 4028 s.10).
    Expiry,
}

/// What a client machine makes of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// For the user of the transaction.
    PassUp,
    /// A repeat of the failure: the ACK goes out again.
    AckAgain,
    /// Nothing to do.
    Absorbed,
}

/// What a timer of a machine asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fired {
    /// Send the stored message again.
    Repeat,
    /// Tell the user that no answer comes; the transaction is over.
    TimedOut,
    /// Ring limit: the user cancels.
    RangTooLong,
    /// The transaction is over, quietly.
    Done,
}

/// What a server machine makes of a repeated request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeated {
    /// Send the last response again.
    AnswerAgain,
    /// Nothing to do.
    Absorbed,
}

/// What names a server transaction (RFC 3261 s.17.2.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServerKey {
    /// The branch; for a client of RFC 2543, what stands in for it.
    pub branch: Vec<u8>,
    /// Who sent it, as its Via says.
    pub sent_by: String,
    /// The method; ACK counts as INVITE.
    pub method: Method,
}

impl ServerKey {
    /// The key of a request. `None` if its Via cannot be read.
    pub fn of(request: &Message) -> Option<ServerKey> {
        let via = request.top_via().ok()?;
        let method = match request.method()? {
            Method::Ack => Method::Invite,
            other => other.clone(),
        };
        let branch = match via.branch() {
            Some(branch) => branch.to_vec(),
            None => {
                // RFC 2543: Call-ID, From tag and CSeq number with the Via. The To tag is left out: the ACK has one, the INVITE not.
                let mut parts = request.call_id().ok()?.to_vec();
                parts.push(0);
                parts.extend_from_slice(request.from().ok()?.tag().unwrap_or_default());
                parts.push(0);
                parts.extend_from_slice(&request.cseq().ok()?.number.to_be_bytes());
                parts.extend_from_slice(via.params.get("branch").unwrap_or_default());
                parts
            }
        };
        Some(ServerKey { branch, sent_by: via.sent_by(), method })
    }
}

/// The next deadline of many owners: set, moved and taken in logarithmic time.
#[derive(Clone, Debug)]
pub struct Deadlines<K: Copy + Ord> {
    by_time: BTreeSet<(Instant, K)>,
    of: BTreeMap<K, Instant>,
}

impl<K: Copy + Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_time: BTreeSet::new(), of: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Sets, moves or (with `None`) takes away the deadline of `owner`.
    pub fn set(&mut self, owner: K, at: Option<Instant>) {
        if let Some(old) = self.of.remove(&owner) {
            self.by_time.remove(&(old, owner));
        }
        if let Some(at) = at {
            self.of.insert(owner, at);
            self.by_time.insert((at, owner));
        }
    }
    /// The earliest.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.by_time.first().copied()
    }
    /// Takes one that is due.
    pub fn take_due(&mut self, now: Instant) -> Option<K> {
        let (at, owner) = self.next()?;
        if at > now {
            return None;
        }
        self.set(owner, None);
        Some(owner)
    }
    /// How many are armed.
    pub fn len(&self) -> usize {
        self.of.len()
    }
    /// True when none is armed.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests;
