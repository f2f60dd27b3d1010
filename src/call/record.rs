//! The call record (CDR): one a call, written when its legs have given back their counters.

use super::question::PeerSays;
use crate::audit::Event as AuditEvent;
use crate::clock::WallMs;
use crate::fax::t38::relay::FaxStats;
use crate::identity::Proof;
use crate::key::Fingerprint;
use crate::media::AudioStats;
use std::net::SocketAddr;

/// Of a fax for which the peer wanted T.38 in the clear, on a route that is to be encrypted.
pub const REFUSED_IN_THE_CLEAR: &str = "refused: in the clear";

/// Which way a call went, seen from this gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// One of our ports called a peer.
    Outgoing,
    /// A peer called one of our ports (or a service).
    Incoming,
    /// Between two of our ports, or a port and a service.
    Local,
}

impl Direction {
    /// The word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Outgoing => "outgoing",
            Direction::Incoming => "incoming",
            Direction::Local => "local",
        }
    }
}

/// Everything worth keeping of one call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Our id of the call, as in the logs.
    pub call: String,
    /// The dialog's Call-ID, as in the peer's logs; empty on a local call.
    pub sip_call_id: String,
    /// Which way.
    pub direction: Direction,
    /// The calling number, empty if it was not told.
    pub from: String,
    /// The caller does not want to be shown: a port of ours that called withheld its number, or the peer's caller did, whose number then
    /// stands nowhere here.
    pub private: bool,
    /// The calling number that a trusted peer vouches for (P-Asserted-Identity, RFC 3325).
    pub asserted: Option<String>,
    /// Whose number was called first, and why the call came here instead (Diversion, RFC 5806).
    pub diverted_from: Option<(String, Option<String>)>,
    /// The called number as dialled.
    pub to: String,
    /// Names of our ports in it: caller's, then called's.
    pub ports: Vec<String>,
    /// When it was dialled or came in.
    pub started: WallMs,
    /// When it was answered.
    pub answered: Option<WallMs>,
    /// When it was over.
    pub ended: WallMs,
    /// How the place to call was found: `port`, `service`, `learned`, `directory`, `account`, `emergency`, empty on incoming calls.
    pub route: &'static str,
    /// The peer gateway.
    pub peer: Option<SocketAddr>,
    /// The account at an outside server that it went or came through.
    pub account: Option<String>,
    /// True when the call did what it was made for.
    pub completed: bool,
    /// The end in words.
    pub result: String,
    /// Q.850 cause of the end.
    pub q850: u8,
    /// From the answer to the end, by the monotone clock.
    pub talked_ms: Option<u64>,
    /// The voice leg: codec name and counters (added up, if there was more than one).
    pub audio: Option<(&'static str, AudioStats)>,
    /// The fax leg.
    pub fax: Option<FaxStats>,
    /// What the peer answered when it was asked what it can do (question.rs); `None`: it was not asked, or the call was over before.
    pub peer_says: Option<PeerSays>,
    /// How a fax in this call went, and why so.
    pub fax_choice: Option<String>,
    /// A fax machine answered, and the peer had no T.38: its tones went as audio. Nobody here can say what became of the pages.
    pub fax_as_audio: bool,
    /// How media were protected: `in the clear`, `SRTP (SDES)`, `DTLS`. `None`: there were none, or the call was local.
    pub protection: Option<&'static str>,
    /// The same of the fax, where it went as T.38; or [`REFUSED_IN_THE_CLEAR`].
    pub fax_protection: Option<&'static str>,
    /// By what: DTLS version and suite, SRTP profile.
    pub cipher: Option<String>,
    /// The key that the peer showed in the handshake.
    pub peer_key: Option<Fingerprint>,
    /// How the peer was verified before anything left; `None`: it was not.
    pub verified: Option<Proof>,
    /// The CSI with which the called machine answered.
    pub csi: Option<String>,
    /// Why something did not leave, or was sent elsewhere.
    pub suspicion: Option<String>,
}

impl CallRecord {
    /// The call for the audit trail: who was there, by what that is known, and what left or would have.
    pub(super) fn audit(&self) -> AuditEvent {
        let by = self.verified.map_or("nothing", |proof| match proof {
            Proof::Proven => "handshake",
            Proof::Signed => "directory",
            Proof::Stated => "stated",
            Proof::CsiMatched => "csi",
            Proof::FlaggedByPolicy => "policy",
        });
        let decision = match (self.verified, &self.suspicion, self.answered) {
            (Some(_), _, _) => "cleared",
            (None, Some(_), _) => "suppressed",
            (None, None, Some(_)) => "not judged",
            (None, None, None) => "not answered",
        };
        let held_back = self.verified.is_none() && self.suspicion.is_some();
        let ports = self.ports.join(" and ");
        AuditEvent {
            what: "call",
            call: Some(self.call.clone()),
            number: Some(if self.direction == Direction::Incoming { self.from.clone() } else { self.to.clone() }),
            peer: self.peer.map(|p| p.to_string()),
            key: self.peer_key.map(|k| k.to_string()),
            verified_by: Some(by.into()),
            cipher: Some(self.cipher.clone().unwrap_or_else(|| "none".into())),
            decision: Some(decision.into()),
            would_have_sent: held_back.then(|| format!("whatever {ports} says or sends to {}", self.to)),
            words: match &self.suspicion {
                Some(why) => format!("{}; {why}", self.result),
                None => self.result.clone(),
            },
        }
    }
}

/// Counters of a leg that followed another in the same call: counts add up, the rest is the later leg's.
pub(super) fn summed(before: Option<AudioStats>, mut now: AudioStats) -> AudioStats {
    if let Some(before) = before {
        now.sent += before.sent;
        now.received += before.received;
        now.lost += before.lost;
        now.late += before.late;
        now.duplicate += before.duplicate;
        now.reordered += before.reordered;
        now.garbage += before.garbage;
        now.foreign += before.foreign;
        now.concealed_ms += before.concealed_ms;
        now.digits_sent += before.digits_sent;
        now.digits_received += before.digits_received;
        now.srtp += before.srtp;
        now.without_keys += before.without_keys;
    }
    now
}
