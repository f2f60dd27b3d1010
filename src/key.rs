//! Fingerprints of public keys: how a gateway is known for good, whatever its address. RFC 8122 clause 5 has the text form.

use core::fmt;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a gateway's certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate (DER).
    pub fn of(certificate: &[u8]) -> Self {
        Fingerprint(Sha256::digest(certificate).into())
    }

    /// Reads `sha-256 AA:BB:..` (RFC 8122), with or without the algorithm's name and the colons. `None` when it is not 32 bytes of hex.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hex = match text.split_once(' ') {
            Some((name, rest)) if name.eq_ignore_ascii_case("sha-256") => rest.trim(),
            Some(_) => return None,
            None => text,
        };
        let mut bytes = [0; 32];
        let mut digits = 0;
        for c in hex.bytes().filter(|c| *c != b':') {
            let value = char::from(c).to_digit(16)? as u8;
            let byte = bytes.get_mut(digits / 2)?;
            *byte = *byte << 4 | value;
            digits += 1;
        }
        (digits == 64).then_some(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (i, b) in self.0.iter().enumerate() {
            write!(f, "{}{b:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_what_it_prints() {
        let f = Fingerprint(core::array::from_fn(|i| i as u8 * 7));
        assert_eq!(Fingerprint::parse(&f.to_string()), Some(f));
        assert_eq!(Fingerprint::parse(&f.to_string()[8..].replace(':', "").to_lowercase()), Some(f));
        assert_eq!(Fingerprint::parse("sha-1 00"), None);
        assert_eq!(Fingerprint::parse(&"0".repeat(66)), None);
    }
}
