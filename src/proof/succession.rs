//! One key follows another: the old one says so, once, with its signature. Whoever knew the old key knows the new one by that statement alone,
//! over however many rotations it missed.

use super::{Fault, Signer, text, verify};
use crate::key::Fingerprint;
use crate::limits::SUCCESSIONS_MAX;

/// A statement of the old key that a new one follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Succession {
    /// The certificate of the old key, DER.
    pub certificate: Vec<u8>,
    /// The key that follows.
    pub new: Fingerprint,
    /// By the old key.
    pub signature: Vec<u8>,
}

impl Succession {
    /// `old` says that `new` follows it.
    pub fn sign(old: &Signer, new: Fingerprint) -> Succession {
        let signature = old.sign(&text::succession(old.fingerprint(), new));
        Succession { certificate: old.certificate().to_vec(), new, signature }
    }

    /// The key that speaks.
    pub fn old(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Whether the old key said it.
    pub fn verify(&self) -> Result<(), Fault> {
        verify(&self.certificate, &text::succession(self.old(), self.new), &self.signature).map(|_| ())
    }
}

/// Of these statements those that lead to `to` without a gap, each proven, the oldest first.
pub fn chain(to: Fingerprint, statements: &[Succession]) -> Vec<Succession> {
    let (mut at, mut chain) = (to, Vec::new());
    while chain.len() < statements.len().min(SUCCESSIONS_MAX) {
        let Some(before) = statements.iter().take(SUCCESSIONS_MAX).find(|s| s.new == at && s.verify().is_ok()) else { break };
        at = before.old();
        chain.push(before.clone());
    }
    chain.reverse();
    chain
}

/// Whether these statements lead from a key that is known to `to`, each proven by the one before. At most [`SUCCESSIONS_MAX`] are looked at,
/// and none that does not stand on the way costs a signature check.
pub fn leads(known: Fingerprint, to: Fingerprint, statements: &[Succession]) -> Result<(), Fault> {
    let mut at = known;
    for _ in 0..statements.len().min(SUCCESSIONS_MAX) {
        if at == to {
            break;
        }
        let next = statements.iter().take(SUCCESSIONS_MAX).find(|s| s.old() == at).ok_or(Fault::OtherKey)?;
        next.verify()?;
        at = next.new;
    }
    if at == to { Ok(()) } else { Err(Fault::OtherKey) }
}
