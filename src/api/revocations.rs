//! The JSON of revoked keys, and of the keys of single calls.

use super::keys::{Seal, Signed, SignedJson};
use crate::directory::revocations::Revocation;
use crate::key::Fingerprint;
use serde::{Deserialize, Serialize};

/// `GET /v1/revocations`: the whole list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevocationsAnswer {
    /// Larger after each change.
    pub serial: u64,
    /// The keys, 64 digits of hex each.
    pub keys: Vec<String>,
    /// The same with reasons, for the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RevocationRow>,
    /// The directory's word for it, where the question had a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedJson>,
}

/// One row, for the operator; and the body of `POST /v1/revocations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevocationRow {
    /// `sha-256 AA:BB:..`.
    pub key: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// RFC 3339; not read in a request.
    #[serde(default)]
    pub at: Option<String>,
}

/// Hex of a key, as the list has it.
pub fn hex(key: Fingerprint) -> String {
    key.0.iter().map(|b| format!("{b:02x}")).collect()
}

impl RevocationsAnswer {
    /// The answer of this list; `at` writes times, where the operator asks.
    pub fn of<'a>(serial: u64, rows: impl Iterator<Item = &'a Revocation>, at: Option<impl Fn(&Revocation) -> String>) -> Self {
        let (mut keys, mut told) = (Vec::new(), Vec::new());
        for row in rows {
            keys.push(hex(row.key));
            if let Some(at) = &at {
                told.push(RevocationRow { key: row.key.to_string(), why: row.why.to_string(), at: Some(at(row)) });
            }
        }
        RevocationsAnswer { serial, keys, rows: told, signed: None }
    }
}

impl Signed for RevocationsAnswer {
    fn text(&self, seal: &Seal<'_>) -> String {
        let text = seal.text("revocations").fact("serial", self.serial);
        self.keys.iter().fold(text, |text, key| text.fact("revoked", key)).end()
    }
    fn signed(&self) -> Option<&SignedJson> {
        self.signed.as_ref()
    }
}

/// `POST /v1/calls/key`: the key of one call (D-5). Asked by the called side when it answers, then by the caller's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallKeyRequest {
    /// The SIP Call-ID.
    pub call_id: String,
    /// The calling number.
    pub from: String,
    /// The called number.
    pub to: String,
    /// `callee` or `caller`, needed only where both numbers are the asker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// What the called side encrypts with (an SDES suite, RFC 4568 s.6.2 and RFC 7714 s.14.2); left out: `AES_CM_128_HMAC_SHA1_80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
}

/// The answer: what the other side hears as `send` is our `receive`. Base64 of master key and salt, as SDES writes them after `inline:`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallKeyAnswer {
    /// The suite.
    pub suite: String,
    /// What the asker protects with.
    pub send: String,
    /// What the other side protects with.
    pub receive: String,
}

impl core::fmt::Debug for CallKeyAnswer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "CallKeyAnswer({})", self.suite)
    }
}
