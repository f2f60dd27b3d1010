//! The directory signs what it answers: whoever put himself in its place, or between, cannot say where a number is.

use super::directory::Shared;
use crate::api::keys::{Seal, Signed, SignedJson};
use crate::proof::base64;
use axum::http::Uri;

/// Characters of a nonce that is signed.
const NONCE: core::ops::RangeInclusive<usize> = 16..=64;

/// The nonce of a question, if it has one that can be signed.
pub(super) fn nonce_of(uri: &Uri) -> Option<&str> {
    let nonce = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("nonce="))?;
    (NONCE.contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(nonce)
}

/// The signature of an answer to a question with this nonce.
pub(super) fn sign(shared: &Shared, nonce: Option<&str>, answer: &impl Signed) -> Option<SignedJson> {
    let keys = shared.keyring.keys();
    let seal = Seal { key: keys.current.fingerprint(), nonce: nonce?, revocations: shared.revocations() };
    Some(SignedJson {
        nonce: seal.nonce.to_owned(),
        revocations: seal.revocations,
        certificate: base64::encode(keys.current.certificate()),
        signature: base64::encode(&keys.current.sign(&answer.text(&seal))),
        previous: keys.successions.iter().map(Into::into).collect(),
    })
}
