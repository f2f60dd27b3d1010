//! `[security]` and `[identity]` of a gateway: whether media are encrypted, and whom pages may go to. What is not said here is the safe side.

use crate::identity::{self, Foreign, Peers};
use crate::negotiate::Policy;
use serde::Deserialize;

/// Whether media are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Encrypted, or not at all.
    Required,
    /// Encrypted where the peer can.
    #[default]
    Preferred,
    /// In the clear.
    Off,
}

impl Media {
    /// As the calls know it.
    pub fn policy(self) -> Policy {
        match self {
            Media::Required => Policy::Required,
            Media::Preferred => Policy::Preferred,
            Media::Off => Policy::Off,
        }
    }
}

/// Where the keys of an account's media come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// In the signalling (RFC 4568), which must be TLS for that.
    #[default]
    Sdes,
    /// By a handshake (RFC 5763).
    Dtls,
}

/// `[security]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Calls to numbers of the directory and learned routes, and whoever calls; an `[[account]]` may say otherwise.
    pub media: Media,
    /// Keys by DTLS. Without it gateways cannot prove who they are.
    pub dtls: Dtls,
}

/// `security.dtls`: on unless switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(transparent)]
pub struct Dtls(pub bool);

impl Default for Dtls {
    fn default() -> Self {
        Dtls(true)
    }
}

/// `[identity]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Numbers of the directory: `prove`, `state`, `flag`.
    pub directory: Directory,
    /// Outside numbers: `flag`, `csi`, `refuse`.
    pub foreign: Outside,
    /// So long after the answer an identifier may take.
    pub limit_ms: u64,
}

impl Default for Identity {
    fn default() -> Self {
        Identity { directory: Directory::default(), foreign: Outside::default(), limit_ms: identity::LIMIT_MS }
    }
}

/// `identity.directory`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directory {
    /// The key on record is shown in a handshake.
    #[default]
    Prove,
    /// Where there is no handshake, stating the identifier is enough.
    State,
    /// Whoever answers.
    Flag,
}

/// `identity.foreign`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// Sent and flagged; a CSI that changed is refused.
    #[default]
    Flag,
    /// The CSI must end like the number.
    Csi,
    /// No page goes there.
    Refuse,
}

impl Identity {
    /// As the calls know it.
    pub fn policy(&self) -> identity::Policy {
        identity::Policy {
            peers: match self.directory {
                Directory::Prove => Peers::Prove,
                Directory::State => Peers::State,
                Directory::Flag => Peers::Flag,
            },
            foreign: match self.foreign {
                Outside::Flag => Foreign::Flag,
                Outside::Csi => Foreign::Csi,
                Outside::Refuse => Foreign::Refuse,
            },
            limit_ms: self.limit_ms,
            check_is_off: false,
        }
    }
}
