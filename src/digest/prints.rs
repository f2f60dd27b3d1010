//! Numbers and names for the wire, of which none tells anything of another: prints of a count, or of what they name, under a key that never
//! leaves. The generator of `clock` goes backwards: who sees one of its numbers knows all of them, so none of those may be seen outside.

use crate::clock::Rng;
use core::fmt;
use sha2::{Digest as _, Sha256};

/// What a print is of; it stands before all else, so that no two kinds ever have the same text.
#[derive(Clone, Copy)]
enum Of {
    Seed,
    Count,
    Parts,
    Child,
}

/// A source of prints: SHA-256 over a key and a text that is told apart from every other; only a part of the hash is ever shown, so that
/// nobody can go on with it.
#[derive(Clone)]
pub struct Prints {
    key: [u8; 32],
    count: u64,
}

impl From<[u8; 32]> for Prints {
    /// With a key of the operating system.
    fn from(key: [u8; 32]) -> Prints {
        Prints { key, count: 0 }
    }
}

impl From<u64> for Prints {
    /// The same for the same seed: for virtual time and tests. 64 bits can be tried out by who has the time, so a daemon gives a key.
    fn from(seed: u64) -> Prints {
        let none = Prints { key: [0; 32], count: 0 };
        Prints { key: none.hash(Of::Seed, &[&seed.to_be_bytes()]), count: 0 }
    }
}

impl Prints {
    fn hash(&self, of: Of, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update([of as u8]);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
    fn next(&mut self, of: Of) -> [u8; 32] {
        self.count += 1;
        self.hash(of, &[&self.count.to_be_bytes()])
    }
    /// The next 128 bits.
    pub fn wide(&mut self) -> u128 {
        head(&self.next(Of::Count))
    }
    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        (self.wide() >> 64) as u64
    }
    /// A number in `0..n` (`n > 0`).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(n.max(1))) >> 64) as u64
    }
    /// 64 bits that are the same for the same parts, and that nobody else can make.
    pub fn of(&self, parts: &[&[u8]]) -> u64 {
        (head(&self.hash(Of::Parts, parts)) >> 64) as u64
    }
    /// A source of its own, of which nothing leads back here.
    pub fn fork(&mut self) -> Prints {
        Prints { key: self.next(Of::Child), count: 0 }
    }
    /// A generator for what is no secret, as jitter is.
    pub fn rng(&mut self) -> Rng {
        Rng::new(self.number())
    }
}

/// The half of a hash that may be shown.
fn head(hash: &[u8; 32]) -> u128 {
    hash[..16].iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

impl fmt::Debug for Prints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prints(number {})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_are_told_apart_and_tell_no_key() {
        let mut a = Prints::from(7);
        let numbers: Vec<u64> = (0..100).map(|_| a.number()).collect();
        assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
        let mut same = Prints::from(7);
        assert!(numbers.iter().all(|n| *n == same.number()));
        assert_ne!(Prints::from(8).number(), numbers[0]);
        assert_ne!(Prints::from([8; 32]).number(), Prints::from([9; 32]).number());
        // Where one part ends and the next begins is part of it; a child's are none of its parent's.
        assert_eq!(a.of(&[b"ab", b"c"]), a.of(&[b"ab", b"c"]));
        assert_ne!(a.of(&[b"ab", b"c"]), a.of(&[b"a", b"bc"]));
        assert_ne!(a.of(&[&1_u64.to_be_bytes()]), numbers[0]);
        assert_ne!(Prints::from(7).fork().number(), numbers[0]);
        assert!((0..1_000).all(|_| a.below(6) < 6));
        assert_eq!(format!("{:?}", Prints::from([0x41; 32])), "Prints(number 0)");
    }
}
