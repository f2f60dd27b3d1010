//! Answers to requests that proved a password, kept for the repeats of UDP: the only state that the door has. Strangers cannot fill it.

use crate::clock::{Instant, ms};
use crate::limits::SIP_REPEATS_MAX;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Repeats of a request come for so long (64*T1, RFC 3261 s.17.1.2.2), in milliseconds.
const KEPT_MS: u64 = 32_000;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// It waits for the disk.
    Waits,
    /// It was answered so.
    Answered(Box<[u8]>),
}

/// Prints are drawn evenly, and under a key: they need no hashing.
type Printed = BuildHasherDefault<AsItIs>;

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }
    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Requests of late, by their print.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kept: HashMap<u128, Kept, Printed>,
    /// In the order of their coming.
    order: VecDeque<(Instant, u128)>,
}

impl Repeats {
    /// What became of this one, if it was here.
    pub(super) fn get(&self, key: u128) -> Option<&Kept> {
        self.kept.get(&key)
    }
    /// Keeps what becomes of it. The oldest makes room.
    pub(super) fn keep(&mut self, now: Instant, key: u128, what: Kept) {
        while let Some((at, oldest)) = self.order.front()
            && (self.kept.len() >= SIP_REPEATS_MAX || self.order.len() >= 2 * SIP_REPEATS_MAX || *at + ms(KEPT_MS) < now)
        {
            self.kept.remove(oldest);
            self.order.pop_front();
        }
        if self.kept.insert(key, what).is_none() {
            self.order.push_back((now, key));
        }
    }
    /// It may be tried again.
    pub(super) fn forget(&mut self, key: u128) {
        self.kept.remove(&key);
    }
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}
