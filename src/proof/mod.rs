//! Signatures: ECDSA on P-256 with SHA-256 (FIPS 186-5), over short texts that say what is meant. A gateway proves by them that a key is its
//! own, a directory that an answer is its own, and an old key that a new one follows it.
//!
//! Each kind of text begins with its own first line, so that what was signed for one purpose never serves another. Freshness comes from a
//! value that the other side chose (a nonce), never from a clock: a gateway's may not be set when it boots.

pub mod base64;
mod certificate;
mod succession;
pub mod text;

use crate::key::Fingerprint;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use core::fmt;
pub use succession::{Succession, chain, leads};

/// What is wrong with a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The certificate cannot be read, or its key is not on P-256.
    Certificate,
    /// The signature is not this key's, or of another text.
    Signature,
    /// A statement is about other keys than these.
    OtherKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Certificate => "the certificate has no P-256 key that can be read",
            Fault::Signature => "the signature is not made by this key over this text",
            Fault::OtherKey => "the statement is about another key",
        })
    }
}
impl std::error::Error for Fault {}

/// Checks that the key of `certificate` (DER) signed `text`, and says whose it is.
pub fn verify(certificate: &[u8], text: &str, signature: &[u8]) -> Result<Fingerprint, Fault> {
    let point = certificate::p256_point(certificate).ok_or(Fault::Certificate)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(text.as_bytes(), signature).map_err(|_| Fault::Signature)?;
    Ok(Fingerprint::of(certificate))
}

/// A private key with the certificate that shows its public half.
pub struct Signer {
    pair: EcdsaKeyPair,
    certificate: Vec<u8>,
    fingerprint: Fingerprint,
}

impl Signer {
    /// From a key (PKCS#8, DER) and its certificate (DER); `None` if they do not belong together.
    pub fn of(key: &[u8], certificate: Vec<u8>) -> Option<Signer> {
        use aws_lc_rs::signature::KeyPair as _;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).ok()?;
        let shown = certificate::p256_point(&certificate)?;
        let fingerprint = Fingerprint::of(&certificate);
        (pair.public_key().as_ref() == shown).then_some(Signer { pair, certificate, fingerprint })
    }

    /// The SHA-256 of the certificate: who this is.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The signature of a text.
    pub fn sign(&self, text: &str) -> Vec<u8> {
        let signed = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        signed.expect("the operating system gives random bytes, and a key that was read can sign").as_ref().to_vec()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.fingerprint)
    }
}

#[cfg(all(test, feature = "shell"))]
mod tests;
