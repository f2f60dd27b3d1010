//! The JSON of keys: proofs, and what old keys say of new ones. Certificates and signatures are Base64 of DER.

use crate::key::Fingerprint;
use crate::limits::SUCCESSIONS_MAX;
use crate::proof::{Succession, base64};
use serde::{Deserialize, Serialize};

/// Shows that a key is a gateway's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProofJson {
    /// The certificate whose SHA-256 the fingerprint is.
    pub certificate: String,
    /// By its key, over `proof::text::registration` with the nonce of the log-in.
    pub signature: String,
    /// What earlier keys said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<SuccessionJson>,
}

/// An old key says that a new one follows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SuccessionJson {
    /// The old key's certificate.
    pub certificate: String,
    /// The key that follows, `sha-256 AA:BB:..`.
    pub followed_by: String,
    /// By the old key.
    pub signature: String,
}

impl SuccessionJson {
    /// The statement, unchecked.
    pub fn read(&self) -> Option<Succession> {
        Some(Succession {
            certificate: base64::decode(&self.certificate)?,
            new: Fingerprint::parse(&self.followed_by)?,
            signature: base64::decode(&self.signature)?,
        })
    }
}

impl From<&Succession> for SuccessionJson {
    fn from(s: &Succession) -> Self {
        SuccessionJson {
            certificate: base64::encode(&s.certificate),
            followed_by: s.new.to_string(),
            signature: base64::encode(&s.signature),
        }
    }
}

/// The statements of a list that can be read, at most as many as anybody looks at.
pub fn successions(rows: &[SuccessionJson]) -> Vec<Succession> {
    rows.iter().take(SUCCESSIONS_MAX).filter_map(SuccessionJson::read).collect()
}
