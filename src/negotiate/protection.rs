//! How media is protected: what we may say of keys in one dialog ([`Shield`]), and what was agreed ([`Protection`]).
//!
//! Three ways, read off the lines of a session: DTLS (`fingerprint` and `setup`; RFC 5763 and 5764 for RTP, RFC 7345 for UDPTL), keys in the
//! signalling (`crypto`, RFC 4568), or none. A line whose proto wants no keys may bear them all the same (opportunistic, RFC 8643): a peer that
//! knows what they are answers with its own, any other answers as ever.
//!
//! *In the clear* is a thing that must be allowed: [`Protection::Clear`] holds a [`ClearPermit`], which only a [`Policy`] gives, and `Required`
//! gives none. So whatever an offer, an answer or a re-INVITE says, there is no way to a leg in the clear on a route that is not to have one.

use super::Refusal;
use crate::dtls::Role;
use crate::key::Fingerprint as OwnFingerprint;
use crate::sdp::{Agreed, Carriage, Crypto, Fingerprint, Kind, Media, Proto, Security, Session, Setup, Side};
use crate::srtp;

/// What a route wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Encrypted, or not at all.
    Required,
    /// Encrypted where the peer can.
    #[default]
    Preferred,
    /// In the clear.
    Off,
}

impl Policy {
    /// Leave to carry media in the clear.
    pub fn permit_clear(self) -> Option<ClearPermit> {
        match self {
            Policy::Required => None,
            Policy::Preferred | Policy::Off => Some(ClearPermit(())),
        }
    }
    /// Whether keys are offered and taken.
    pub fn encrypts(self) -> bool {
        self != Policy::Off
    }
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Required => "required",
            Policy::Preferred => "preferred",
            Policy::Off => "off",
        }
    }
}

/// Leave to carry media in the clear. Made by [`Policy::permit_clear`] and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClearPermit(());

/// A DTLS association that was agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Association {
    /// Ours in it.
    pub role: Role,
    /// What the peer's certificate must match: any of these.
    pub fingerprints: Vec<Fingerprint>,
    /// Our name of it (RFC 8842).
    pub tls_id: Option<String>,
    /// The peer's name of it.
    pub peer_tls_id: Option<String>,
}

impl Association {
    /// Whether a later description means the same association (RFC 8842 s.5.2 and 5.3): the same names, or, from a peer that gives none, the same
    /// fingerprints and roles.
    pub fn is_same(&self, later: &Association) -> bool {
        self.tls_id == later.tls_id
            && self.peer_tls_id == later.peer_tls_id
            && self.fingerprints == later.fingerprints
            && (self.peer_tls_id.is_some() || self.role == later.role)
    }
}

/// Keys that were exchanged in the signalling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sdes {
    /// The line that we send under.
    pub ours: Crypto,
    /// The line that the peer sends under.
    pub theirs: Crypto,
}

impl Sdes {
    /// The keys. `None`: one of them cannot be read, which [`protection`] has ruled out.
    pub fn keys(&self) -> Option<srtp::Keys> {
        let profile = srtp::Profile::from_name(&self.ours.suite)?;
        let key = |crypto: &Crypto| srtp::MasterKey::from_inline(profile, &crypto.keys).ok();
        srtp::Keys::new(profile, key(&self.ours)?, key(&self.theirs)?).ok()
    }
}

/// How a line is protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Not at all, and that is allowed.
    Clear(ClearPermit),
    /// SRTP under keys of the signalling.
    Sdes(Sdes),
    /// By what a DTLS handshake yields.
    Dtls(Association),
}

impl Protection {
    /// For logs and records.
    pub fn word(&self) -> &'static str {
        match self {
            Protection::Clear(_) => "in the clear",
            Protection::Sdes(_) => "SRTP (SDES)",
            Protection::Dtls(_) => "DTLS",
        }
    }
}

/// Our part of DTLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnDtls {
    /// Our certificate's.
    pub fingerprint: OwnFingerprint,
    /// Our name of the association that holds, or is to be made.
    pub tls_id: String,
}

/// What holds between us and the peer since the last exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Settled {
    /// The proto of the audio line, if there was one.
    audio: Option<Proto>,
    by: Protection,
}

/// What we may say of keys in one dialog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shield {
    /// What the route wants.
    pub policy: Policy,
    /// One key for each suite, the best first. Empty where the signalling is not private: RFC 4568 s.7 lets none be said there.
    pub own_keys: Vec<Crypto>,
    /// Our part of DTLS, where it is switched on.
    pub dtls: Option<OwnDtls>,
    /// The peer is known to do DTLS: it is offered nothing less at first.
    pub knows_dtls: bool,
    settled: Option<Settled>,
}

impl Shield {
    /// Nothing but the clear.
    pub fn none() -> Shield {
        Shield { policy: Policy::Off, ..Shield::default() }
    }

    /// What may be said at the beginning.
    pub fn new(policy: Policy, own_keys: Vec<Crypto>, dtls: Option<OwnDtls>, knows_dtls: bool) -> Shield {
        Shield { policy, own_keys, dtls, knows_dtls, settled: None }
    }

    /// What was agreed is in force: later offers go on with it.
    pub fn settle(&mut self, audio: Option<Proto>, by: &Protection) {
        let before = self.settled.take().and_then(|s| s.audio);
        self.settled = Some(Settled { audio: audio.or(before), by: by.clone() });
    }

    /// The association in force.
    pub fn association(&self) -> Option<&Association> {
        match self.settled.as_ref().map(|s| &s.by) {
            Some(Protection::Dtls(association)) => Some(association),
            Some(Protection::Clear(_) | Protection::Sdes(_)) | None => None,
        }
    }

    /// What is in force.
    pub fn in_force(&self) -> Option<&Protection> {
        self.settled.as_ref().map(|s| &s.by)
    }

    /// How the audio line of our offer is carried.
    pub(super) fn audio_offer(&self) -> Result<Carriage, Refusal> {
        if let Some(Settled { audio, by }) = &self.settled {
            return Ok(self.carried_on(by, audio.clone()));
        }
        match (self.policy, &self.dtls) {
            (Policy::Off, _) => Ok(Carriage::clear(Proto::RtpAvp)),
            (_, Some(dtls)) if self.knows_dtls => {
                Ok(Carriage { proto: Proto::UdpTlsRtpSavp, security: dtls_security(dtls, Setup::ActPass) })
            }
            (Policy::Required, _) if !self.own_keys.is_empty() => Ok(Carriage { proto: Proto::RtpSavp, security: self.sdes_security() }),
            (Policy::Required, Some(dtls)) => Ok(Carriage { proto: Proto::UdpTlsRtpSavp, security: dtls_security(dtls, Setup::ActPass) }),
            (Policy::Required, None) => Err(Refusal::NoKeys),
            (Policy::Preferred, dtls) => {
                let mut security = self.sdes_security();
                if let Some(dtls) = dtls {
                    let Security { fingerprints, setup, tls_id, .. } = dtls_security(dtls, Setup::ActPass);
                    security = Security { fingerprints, setup, tls_id, ..security };
                }
                Ok(Carriage { proto: Proto::RtpAvp, security })
            }
        }
    }

    /// The line of an offer in the middle of a call: the same keys, the same association.
    fn carried_on(&self, by: &Protection, audio: Option<Proto>) -> Carriage {
        match (by, &self.dtls) {
            (Protection::Dtls(_), Some(dtls)) => {
                Carriage { proto: audio.unwrap_or(Proto::UdpTlsRtpSavp), security: dtls_security(dtls, Setup::ActPass) }
            }
            (Protection::Sdes(sdes), _) => Carriage {
                proto: audio.unwrap_or(Proto::RtpSavp),
                security: Security { crypto: vec![sdes.ours.clone()], ..Security::default() },
            },
            (Protection::Clear(_) | Protection::Dtls(_), _) => Carriage::clear(audio.unwrap_or(Proto::RtpAvp)),
        }
    }

    fn sdes_security(&self) -> Security {
        Security { crypto: self.own_keys.clone(), ..Security::default() }
    }

    /// How an image line of ours is carried, in UDPTL over the association in force.
    pub(super) fn dtls_image(&self) -> Option<Carriage> {
        let dtls = self.dtls.as_ref().filter(|_| self.association().is_some())?;
        Some(Carriage { proto: Proto::UdpTlsUdptl, security: dtls_security(dtls, Setup::ActPass) })
    }

    /// How a line of T.38 in RTP is carried: like the audio that is encrypted now.
    pub(super) fn rtp_image(&self) -> Option<Carriage> {
        let settled = self.settled.as_ref()?;
        match &settled.by {
            Protection::Clear(_) => None,
            by => Some(self.carried_on(by, settled.audio.clone())),
        }
    }

    /// How we take a line of the peer's offer, if we do.
    pub(super) fn answer(&self, offer: &Session, line: &Media) -> Result<Carriage, Refusal> {
        let fingerprints = usable_fingerprints(offer.fingerprints_of(line));
        let asks_dtls = matches!(line.proto, Proto::UdpTlsRtpSavp | Proto::UdpTlsRtpSavpf | Proto::UdpTlsUdptl);
        let asks_sdes = matches!(line.proto, Proto::RtpSavp | Proto::RtpSavpf);
        let carriage = |security| Carriage { proto: line.proto.clone(), security };
        let may = self.policy.encrypts() || asks_dtls || asks_sdes;
        if let Some(dtls) = self.dtls.as_ref().filter(|_| may && !fingerprints.is_empty() && line.kind_may_be_in_dtls()) {
            let setup = line.security.setup.or(offer.security.setup).unwrap_or(Setup::Active);
            let kept = self.association().filter(|a| a.peer_tls_id == tls_id(offer, line) && a.fingerprints == fingerprints);
            let ours = match (setup, kept.map(|a| a.role)) {
                (Setup::ActPass, Some(Role::Server)) => Setup::Passive,
                (setup, _) => setup.answer(),
            };
            if ours != Setup::HoldConn {
                return Ok(carriage(dtls_security(dtls, ours)));
            }
        }
        if line.proto.is_rtp()
            && let Some((theirs, suite)) = offer.crypto_of(line).find_map(|c| usable(c).map(|suite| (c, suite)))
            && may
        {
            // Our key of that suite goes back under the tag of theirs. Where the signalling is open to all, so is this; a peer that says its keys
            // there gets ours, which is no worse than the clear, and `required` is not met by it.
            let ours = self.own_keys.iter().find(|c| c.suite == suite.name());
            match ours {
                Some(ours) => {
                    let crypto = Crypto { tag: theirs.tag, parameters: None, ..ours.clone() };
                    return Ok(carriage(Security { crypto: vec![crypto], ..Security::default() }));
                }
                None if asks_sdes => return Err(Refusal::KeysInTheOpen),
                None => {}
            }
        }
        if line.proto.is_secure() {
            return Err(Refusal::NoKeys);
        }
        self.policy.permit_clear().map(|_| carriage(Security::default())).ok_or(Refusal::InTheClear)
    }
}

impl Media {
    /// RTP and UDPTL can go in DTLS; what says by its proto that it is plain UDPTL is plain.
    fn kind_may_be_in_dtls(&self) -> bool {
        self.kind != Kind::Image || self.proto == Proto::UdpTlsUdptl
    }
}

fn dtls_security(dtls: &OwnDtls, setup: Setup) -> Security {
    let fingerprint = Fingerprint { hash: "sha-256".into(), digest: dtls.fingerprint.0.to_vec() };
    Security { fingerprints: vec![fingerprint], setup: Some(setup), tls_id: Some(dtls.tls_id.clone()), ..Security::default() }
}

fn tls_id(session: &Session, line: &Media) -> Option<String> {
    line.security.tls_id.clone().or_else(|| session.security.tls_id.clone())
}

/// Those made with a hash that still means something (RFC 8122 s.5 forbids MD2 and MD5; SHA-1 can be forged today).
fn usable_fingerprints(all: &[Fingerprint]) -> Vec<Fingerprint> {
    let octets = |hash: &str| match hash {
        "sha-256" => Some(32),
        "sha-384" => Some(48),
        "sha-512" => Some(64),
        _ => None,
    };
    all.iter().filter(|f| octets(&f.hash) == Some(f.digest.len())).cloned().collect()
}

/// The suite of a crypto line that we can use: known, its key readable and without MKI, and no session parameter that changes what SRTP does
/// (RFC 4568 s.6.3: one that is not known makes the line unusable unless it begins with `-`).
fn usable(crypto: &Crypto) -> Option<srtp::Profile> {
    let profile = srtp::Profile::from_name(&crypto.suite)?;
    let plain = |word: &str| {
        let upper = word.to_ascii_uppercase();
        upper.starts_with('-') || upper.starts_with("WSH=") || upper == "KDR=0"
    };
    let parameters = crypto.parameters.as_deref().unwrap_or_default().split_whitespace().all(plain);
    (parameters && srtp::MasterKey::from_inline(profile, &crypto.keys).is_ok()).then_some(profile)
}

/// How a line that both sides agreed on is protected.
pub(super) fn protection(shield: &Shield, agreed: &Agreed, ours: &Media, theirs: &Media) -> Result<Protection, Refusal> {
    let (local, remote) = (&agreed.local, &agreed.remote);
    let answer = if agreed.offerer == Side::Ours { theirs } else { ours };
    let fingerprints = usable_fingerprints(remote.fingerprints_of(theirs));
    let named = !local.fingerprints_of(ours).is_empty() && !fingerprints.is_empty();
    if named && shield.dtls.is_some() && ours.kind_may_be_in_dtls() && theirs.kind_may_be_in_dtls() {
        let said = match agreed.offerer {
            Side::Ours => theirs.security.setup.or(remote.security.setup),
            Side::Theirs => ours.security.setup,
        };
        let active = match said.unwrap_or(Setup::Active) {
            Setup::Active => true,
            Setup::Passive => false,
            Setup::ActPass | Setup::HoldConn => return Err(Refusal::NoKeys),
        };
        let role = if active == (agreed.offerer == Side::Theirs) { Role::Client } else { Role::Server };
        let (tls_id, peer_tls_id) = (ours.security.tls_id.clone(), tls_id(remote, theirs));
        return Ok(Protection::Dtls(Association { role, fingerprints, tls_id, peer_tls_id }));
    }
    let offered = if agreed.offerer == Side::Ours { ours } else { theirs };
    if let Some(chosen) = answer.security.crypto.first().filter(|_| answer.proto.is_rtp()) {
        let other = offered.security.crypto.iter().find(|c| c.tag == chosen.tag && c.suite.eq_ignore_ascii_case(&chosen.suite));
        let (Some(other), Some(_)) = (other, usable(chosen)) else { return Err(Refusal::NoKeys) };
        usable(other).ok_or(Refusal::NoKeys)?;
        let (ours, theirs) = if agreed.offerer == Side::Ours { (other, chosen) } else { (chosen, other) };
        return Ok(Protection::Sdes(Sdes { ours: ours.clone(), theirs: theirs.clone() }));
    }
    if answer.proto.is_secure() {
        return Err(Refusal::NoKeys);
    }
    shield.policy.permit_clear().map(Protection::Clear).ok_or(Refusal::InTheClear)
}
