//! The key schedule behind the record layer: from the secrets of a handshake to the keys of application data.
//!
//! DTLS 1.2: the key block of RFC 5246 s.6.3. DTLS 1.3: HKDF-Expand-Label with DTLS' own prefix (RFC 9147 s.5.9). Only AES-GCM is agreed
//! on, so the hash of the suite says its cipher: SHA-256 goes with AES-128, SHA-384 with AES-256.

use aws_lc_rs::hmac::{Algorithm, Context, HMAC_SHA256, HMAC_SHA384, Key};
use core::fmt;

/// Octets that are wiped when they are dropped, and that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the octets; no other copy of them should stay.
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretBytes(bytes)
    }
}

impl core::ops::Deref for SecretBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.fill(0);
        // Somebody might look at it, for all that the compiler knows: so the zeros are written.
        core::hint::black_box(&self.0);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secret octets>", self.0.len())
    }
}

/// The hash of a cipher suite, and with it the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordHash {
    /// AES-128-GCM.
    Sha256,
    /// AES-256-GCM.
    Sha384,
}

impl RecordHash {
    /// Octets of the cipher's key.
    pub(super) const fn key_bytes(self) -> usize {
        match self {
            RecordHash::Sha256 => 16,
            RecordHash::Sha384 => 32,
        }
    }
    const fn algorithm(self) -> Algorithm {
        match self {
            RecordHash::Sha256 => HMAC_SHA256,
            RecordHash::Sha384 => HMAC_SHA384,
        }
    }
}

/// The secrets that a handshake ends with.
#[derive(Clone)]
pub enum Secrets {
    /// DTLS 1.2.
    V12 {
        /// The hash of the PRF.
        hash: RecordHash,
        /// The master secret, 48 octets.
        master: SecretBytes,
        /// server_random and client_random, in this order.
        randoms: [u8; 64],
    },
    /// DTLS 1.3.
    V13 {
        /// The hash of the key schedule.
        hash: RecordHash,
        /// client_application_traffic_secret_0.
        client: SecretBytes,
        /// server_application_traffic_secret_0.
        server: SecretBytes,
    },
}

/// Key material of one direction.
pub(super) struct DirectionKeys {
    pub(super) key: SecretBytes,
    /// 4 octets in DTLS 1.2, 12 in 1.3.
    pub(super) iv: SecretBytes,
    /// Of record numbers, DTLS 1.3 only.
    pub(super) sn: SecretBytes,
}

impl Secrets {
    pub(super) const fn hash(&self) -> RecordHash {
        match self {
            Secrets::V12 { hash, .. } | Secrets::V13 { hash, .. } => *hash,
        }
    }
    /// `DTLS 1.2` or `DTLS 1.3`.
    pub const fn version(&self) -> &'static str {
        match self {
            Secrets::V12 { .. } => "DTLS 1.2",
            Secrets::V13 { .. } => "DTLS 1.3",
        }
    }
    /// The cipher of the records.
    pub const fn cipher(&self) -> &'static str {
        match self.hash() {
            RecordHash::Sha256 => "AES-128-GCM",
            RecordHash::Sha384 => "AES-256-GCM",
        }
    }
    /// Keys of what the client writes, and of what the server does.
    pub(super) fn directions(&self) -> (DirectionKeys, DirectionKeys) {
        match self {
            Secrets::V12 { hash, master, randoms } => {
                let n = hash.key_bytes();
                let block = prf(*hash, master, b"key expansion", randoms, 2 * n + 8);
                let part = |from: usize, len: usize| SecretBytes::new(block[from..from + len].to_vec());
                let side = |i: usize| DirectionKeys { key: part(i * n, n), iv: part(2 * n + i * 4, 4), sn: SecretBytes::default() };
                (side(0), side(1))
            }
            Secrets::V13 { hash, client, server } => {
                let side = |secret: &[u8]| DirectionKeys {
                    key: expand_label(*hash, secret, b"key", hash.key_bytes()),
                    iv: expand_label(*hash, secret, b"iv", 12),
                    sn: expand_label(*hash, secret, b"sn", hash.key_bytes()),
                };
                (side(client), side(server))
            }
        }
    }
}

/// The pseudorandom function of TLS 1.2 (RFC 5246 s.5).
fn prf(hash: RecordHash, secret: &[u8], label: &[u8], seed: &[u8], bytes: usize) -> SecretBytes {
    let key = Key::new(hash.algorithm(), secret);
    let sign = |parts: &[&[u8]]| {
        let mut context = Context::with_key(&key);
        parts.iter().for_each(|p| context.update(p));
        context.sign()
    };
    let mut out = Vec::with_capacity(bytes + 48);
    let mut a = sign(&[label, seed]);
    while out.len() < bytes {
        out.extend_from_slice(sign(&[a.as_ref(), label, seed]).as_ref());
        a = sign(&[a.as_ref()]);
    }
    out.truncate(bytes);
    SecretBytes::new(out)
}

/// HKDF-Expand-Label of DTLS 1.3, without context; what it is used for fits in one block.
fn expand_label(hash: RecordHash, secret: &[u8], label: &[u8], bytes: usize) -> SecretBytes {
    let key = Key::new(hash.algorithm(), secret);
    let mut context = Context::with_key(&key);
    context.update(&(bytes as u16).to_be_bytes());
    context.update(&[(6 + label.len()) as u8]);
    context.update(b"dtls13");
    context.update(label);
    context.update(&[0, 1]);
    SecretBytes::new(context.sign().as_ref()[..bytes].to_vec())
}
