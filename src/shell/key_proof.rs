//! Whether the key that a registration names is the asker's: what the directory checks before its registrar hears of it. A signature is
//! checked outside the lock, and only where the same was not proven before.

use super::clock;
use super::directory::Shared;
use crate::api::directory::RegisterRequest;
use crate::api::keys::{ProofJson, successions};
use crate::digest::Credentials;
use crate::directory::{Proof, Refusal, Register};
use crate::key::Fingerprint;
use crate::proof::{self, base64, text};
use axum::http::{HeaderMap, header};

/// What stands behind the key of `ask`, as `request` carried it under the credentials in `headers`.
pub(super) fn of(shared: &Shared, headers: &HeaderMap, request: &RegisterRequest, ask: &Register) -> Result<Proof, Refusal> {
    let Some(key) = ask.fingerprint else {
        return if request.proof.is_some() { Err(Refusal::KeyFalse) } else { Ok(Proof::None) };
    };
    if shared.machines().directory.stands_proven(clock::now(), ask) {
        return Ok(Proof::Stands);
    }
    let shown = request.proof.as_ref().ok_or(Refusal::KeyNotProven)?;
    let nonce = nonce_of(headers).ok_or(Refusal::KeyFalse)?;
    let claimed = text(&shared.config.domain, &nonce, ask.user.as_str(), request, key);
    is_by(shown, &claimed, key).ok_or(Refusal::KeyFalse)?;
    Ok(Proof::Shown(proof::chain(key, &successions(&shown.previous)).into()))
}

/// The text that a gateway signs when it registers, from the request as it is written.
pub(super) fn text(realm: &str, nonce: &str, user: &str, request: &RegisterRequest, key: Fingerprint) -> String {
    text::registration(realm, nonce, user, &request.instance, request.number.as_deref(), &request.contact, key)
}

fn is_by(shown: &ProofJson, text: &str, key: Fingerprint) -> Option<()> {
    let certificate = base64::decode(&shown.certificate)?;
    let signature = base64::decode(&shown.signature)?;
    // Whose key it claims to be costs nothing to see; the signature is looked at after that.
    (Fingerprint::of(&certificate) == key && proof::verify(&certificate, text, &signature).is_ok()).then_some(())
}

/// The nonce of a log-in that was checked: the directory's own, and fresh.
fn nonce_of(headers: &HeaderMap) -> Option<String> {
    let credentials = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Credentials::parse(credentials).ok().map(|c| c.nonce)
}
