//! The JSON of keys: proofs, and what old keys say of new ones. Certificates and signatures are Base64 of DER.

use super::directory::{ContactJson, ElsewhereJson, FoundJson};
use super::numbers::IdentifierAnswer;
use crate::key::Fingerprint;
use crate::limits::SUCCESSIONS_MAX;
use crate::proof::text::Text;
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

/// The directory's signature under an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedJson {
    /// The asker's, from its `?nonce=`: the answer is to this question and no older one.
    pub nonce: String,
    /// The serial of the list of revoked keys.
    pub revocations: u64,
    /// The directory's certificate; its SHA-256 is the key that gateways pin.
    pub certificate: String,
    /// By its key, over the text of the answer.
    pub signature: String,
    /// What the directory's earlier keys said of those that followed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<SuccessionJson>,
}

/// What is signed beside the answer itself.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    /// The directory's key.
    pub key: Fingerprint,
    /// See [`SignedJson::nonce`].
    pub nonce: &'a str,
    /// See [`SignedJson::revocations`].
    pub revocations: u64,
}

impl Seal<'_> {
    /// The head of the text of an answer of this kind.
    pub fn text(&self, kind: &str) -> Text {
        Text::new(kind).fact("key", self.key).fact("nonce", self.nonce).fact("revocations", self.revocations)
    }
}

/// An answer that a directory signs.
pub trait Signed {
    /// All that the asker goes by, as text.
    fn text(&self, seal: &Seal<'_>) -> String;
    /// The signature that came with it.
    fn signed(&self) -> Option<&SignedJson>;
}

fn contact(text: Text, c: &ContactJson) -> Text {
    let key = if c.proven { "proven" } else { "stated" };
    text.fact("contact", c.address)
        .fact("transport", &c.transport)
        .fact("uri", &c.uri)
        .fact("q", c.q)
        .maybe("private", c.private_address)
        .maybe("fingerprint", c.fingerprint.as_deref())
        .fact("fingerprint-is", key)
}

impl Signed for FoundJson {
    fn text(&self, seal: &Seal<'_>) -> String {
        let text = seal.text("record").fact("number", &self.number).fact("lan-number", &self.lan_number).fact("ring", &self.ring);
        let text = text.fact("at", self.contact).fact("transport", &self.transport).maybe("private", self.private_address);
        let text = text.maybe("fingerprint", self.fingerprint.as_deref()).fact("proven", self.proven);
        self.contacts.iter().fold(text.fact("expires-in-s", self.expires_in_s), contact).end()
    }
    fn signed(&self) -> Option<&SignedJson> {
        self.signed.as_ref()
    }
}

impl Signed for IdentifierAnswer {
    fn text(&self, seal: &Seal<'_>) -> String {
        let text = seal.text("identifier").fact("identifier", &self.identifier);
        self.contacts.iter().fold(text, |text, c| contact(text.fact("number", &c.number), &c.contact)).end()
    }
    fn signed(&self) -> Option<&SignedJson> {
        self.signed.as_ref()
    }
}

impl Signed for ElsewhereJson {
    fn text(&self, seal: &Seal<'_>) -> String {
        let text = seal.text("elsewhere").fact("number", &self.number).fact("server", &self.server).fact("sip", &self.sip);
        text.maybe("api", self.api.as_deref()).maybe("fingerprint", self.fingerprint.as_deref()).end()
    }
    fn signed(&self) -> Option<&SignedJson> {
        self.signed.as_ref()
    }
}
