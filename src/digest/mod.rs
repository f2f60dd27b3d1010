//! Digest access authentication, both sides. Read RFC 7616 clauses 3.3 to 3.5 (and RFC 8760 for SIP) before changing anything here.
//!
//! Neutral of transport: a method, a URI and header values as text; HTTP uses it as SIP does. Passwords are not kept: H(A1) is.
//! [`algorithm`] makes the proof, [`header`] reads and writes challenges and credentials, [`server`] issues nonces and checks proofs.

pub mod algorithm;
pub mod header;
pub mod prints;
pub mod server;

pub use algorithm::{Algorithm, Asked, Ha1, Qop, from_hex, response};
pub use header::{Challenge, Credentials, Malformed};
pub use prints::Prints;
pub use server::{Authenticator, Verdict, same};

/// HMAC-SHA256 of `text` under a secret (RFC 2104).
pub fn keyed_print(secret: &[u8], text: &[u8]) -> [u8; 32] {
    use hmac::{Hmac, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
