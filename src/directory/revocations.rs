//! Keys that are worth nothing any more, whoever has them: what registers with one is refused, what is registered with one is told to nobody, and
//! gateways that know one forget it. The operator's word alone.
//!
//! The list has a serial that changes with it; gateways hear it with every answer and ask for the list when it is another.

use crate::clock::WallMs;
use crate::key::Fingerprint;
use crate::limits::{REVOCATION_WHY_BYTES_MAX, REVOCATIONS_MAX};
use std::collections::BTreeMap;

/// One revoked key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Which.
    pub key: Fingerprint,
    /// Why, for people.
    pub why: Box<str>,
    /// When.
    pub at: WallMs,
    /// The serial of the list from then on.
    pub serial: u64,
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    rows: BTreeMap<Fingerprint, Revocation>,
    serial: u64,
}

impl Revocations {
    /// The serial: larger after each change.
    pub fn serial(&self) -> u64 {
        self.serial
    }
    /// Whether a key is worth nothing.
    pub fn has(&self, key: Fingerprint) -> bool {
        self.rows.contains_key(&key)
    }
    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.rows.values()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// The row that would revoke a key; `None`: the list is full.
    pub fn row(&self, key: Fingerprint, why: &str, at: WallMs) -> Option<Revocation> {
        if self.rows.len() >= REVOCATIONS_MAX && !self.has(key) {
            return None;
        }
        let mut end = why.len().min(REVOCATION_WHY_BYTES_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        Some(Revocation { key, why: why[..end].into(), at, serial: self.serial + 1 })
    }
    pub(super) fn put(&mut self, row: Revocation) {
        self.serial = self.serial.max(row.serial);
        self.rows.insert(row.key, row);
    }
    /// A key is good again, from this serial on.
    pub(super) fn take(&mut self, key: Fingerprint, serial: u64) {
        self.serial = self.serial.max(serial);
        self.rows.remove(&key);
    }
}
