//! Certificates by their prints: ours, the peer's, and what the SDP says that the peer's must be (RFC 8122).

use crate::key::Fingerprint;
use crate::limits::FINGERPRINTS_MAX;
use core::fmt;
use sha2::Digest;

/// A hash of RFC 8122 s.5 that is strong enough to name a certificate by. MD2, MD5, SHA-1 and SHA-224 are not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The hash of this name in SDP, whatever its case. `None` for those that are not taken.
    pub fn named(name: &str) -> Option<Hash> {
        let known = [("sha-256", Hash::Sha256), ("sha-384", Hash::Sha384), ("sha-512", Hash::Sha512)];
        known.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, h)| *h)
    }
    /// The digest of `der`.
    pub fn digest(self, der: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => sha2::Sha256::digest(der).to_vec(),
            Hash::Sha384 => sha2::Sha384::digest(der).to_vec(),
            Hash::Sha512 => sha2::Sha512::digest(der).to_vec(),
        }
    }
}

/// Our certificate with its private key. Its fingerprint is our identifier.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key_der: super::SecretBytes,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// A certificate in DER and its private key in PKCS#8 (ECDSA on P-256 or P-384 for [`super::Dimpl`]). Whether they belong together is
    /// not looked at here; a handshake with a wrong key fails.
    pub fn new(der: Vec<u8>, key_der: Vec<u8>) -> Self {
        let fingerprint = PeerCertificate::new(der.clone()).fingerprint;
        Certificate { der, key_der: super::SecretBytes::new(key_der), fingerprint }
    }
    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// The private key, for an engine.
    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }
    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint)
    }
}

/// The certificate that a peer showed, and whose key it has proven to hold.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// As it came.
    pub der: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
}

impl PeerCertificate {
    /// The certificate with its print.
    pub fn new(der: Vec<u8>) -> Self {
        let fingerprint = Fingerprint(sha2::Sha256::digest(&der).into());
        PeerCertificate { der, fingerprint }
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({})", self.fingerprint)
    }
}

/// What the peer's certificate must hash to: any of the digests under the strongest hash that the peer's SDP names (RFC 8122 s.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    hash: Hash,
    digests: Vec<Vec<u8>>,
}

impl Expected {
    /// From the lines of an SDP: name of the hash and digest. Those under weak or unknown hashes, and of a wrong length, count for nothing;
    /// `None` when nothing is left.
    pub fn of<'a>(lines: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Expected> {
        let mut taken: Vec<(Hash, &[u8])> = Vec::new();
        for (name, digest) in lines {
            let Some(hash) = Hash::named(name) else { continue };
            let bytes = match hash {
                Hash::Sha256 => 32,
                Hash::Sha384 => 48,
                Hash::Sha512 => 64,
            };
            if digest.len() == bytes && taken.len() < FINGERPRINTS_MAX {
                taken.push((hash, digest));
            }
        }
        let hash = taken.iter().map(|(h, _)| *h).max()?;
        Some(Expected { hash, digests: taken.into_iter().filter(|(h, _)| *h == hash).map(|(_, d)| d.to_vec()).collect() })
    }
    /// Exactly this certificate.
    pub fn one(fingerprint: Fingerprint) -> Expected {
        Expected { hash: Hash::Sha256, digests: vec![fingerprint.0.to_vec()] }
    }
    /// Whether `certificate` is one of those.
    pub fn admits(&self, certificate: &PeerCertificate) -> bool {
        let digest = self.hash.digest(&certificate.der);
        self.digests.contains(&digest)
    }
}
