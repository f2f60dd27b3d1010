//! Keys and proof in one call: handshakes that run beside the signalling, the keys that legs get from them, and what the verdict on the peer
//! (`identity`) does to the call.
//!
//! ```text
//!   our INVITE (setup:actpass) -----> the callee's gateway answers with a ClientHello while the bell rings
//!        its RTP socket  <===== handshake =====>  ours            (RFC 5763 s.5: media may come before the answer)
//!   200 OK (fingerprint) ------> the handshake that showed this certificate is the session's: keys into the leg, no round trip more
//!                           \--> its key is the number's?  yes: the line is put through.  no: not a sample, not a pel; the route is dropped and
//!                                                          the first server asked again (A-8)
//! ```
//! Handshakes are kept by call and by the address they come from: before the answer several terminals may begin one. Only hosts that were called
//! or that answered may; each call has few ([`HANDSHAKES_PER_CALL_MAX`]), so a flood of ClientHellos costs a bounded search. A callee begins only
//! towards the host that the INVITE came from: a forged INVITE makes us greet nobody else.
//!
//! One association serves voice and fax: DTLS-SRTP (RFC 5764) keys the audio, and UDPTL goes in the same association at the same port (RFC 7345),
//! so that a fax needs no further handshake. It travels into the T.38 leg as `dtls::Records` and comes back with the leg.

use super::session::Flow;
use super::{Cause, Gateway, State};
use crate::clock::{Instant, ms};
use crate::dtls::{self, Role};
use crate::id::{CallId, LegId, PortId};
use crate::identity::{self, Check, Clearance, Expected, Verdict};
use crate::key::Fingerprint;
use crate::limits::{HANDSHAKE_DATAGRAMS_MAX, HANDSHAKES_PER_CALL_MAX};
use crate::media::Protection as LegProtection;
use crate::negotiate::{Association, Choice, OwnDtls, Policy, Protection, Shield};
use crate::number::Number;
use crate::resolve::Target;
use crate::sdp::{Crypto, Proto};
use crate::sip::Transport;
use crate::srtp;
use crate::tick::Command;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Profiles in the order in which we like them.
const SUITES: [srtp::Profile; 4] =
    [srtp::Profile::AeadAes256Gcm, srtp::Profile::AeadAes128Gcm, srtp::Profile::AesCm128HmacSha1_80, srtp::Profile::AesCm128HmacSha1_32];
/// The first octet of a datagram that begins a handshake (RFC 6347 s.4.1: content type 22).
const HANDSHAKE: u8 = 22;
/// Octets of the largest datagram of a flight: fits every path that carries a SIP INVITE in one.
const MTU_BYTES: u16 = 1200;

/// What a gateway holds to: of media, and of whom it speaks with.
#[derive(Clone)]
pub struct SecurityConfig {
    /// For numbers of the directory, learned routes, and whoever calls.
    pub media: Policy,
    /// Whom pages go to.
    pub identity: identity::Policy,
    /// Our certificate, whose fingerprint is our identifier. `None`: no DTLS.
    pub certificate: Option<Arc<dtls::Certificate>>,
    /// Nobody else reads the signalling, whatever it goes by: keys may stand in it (a closed network; the laboratory's).
    pub private_signalling: bool,
    /// What makes handshakes.
    pub engine: EngineFor,
}

/// What makes the handshake with a peer: `true`, if its key is on record (so it is a gateway like ours), and a seed for who needs one.
pub type EngineFor = Arc<dyn Fn(bool, u64) -> Box<dyn dtls::Engine> + Send + Sync>;

impl SecurityConfig {
    /// Everything in the clear, and nobody asked who they are. For tests of other things.
    pub fn off() -> SecurityConfig {
        SecurityConfig {
            media: Policy::Off,
            identity: identity::Policy { peers: identity::Peers::Flag, ..identity::Policy::default() },
            certificate: None,
            private_signalling: false,
            engine: Arc::new(|_, _| Box::new(dtls::Dimpl)),
        }
    }
}

impl core::fmt::Debug for SecurityConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecurityConfig({} {:?})", self.media.word(), self.identity)
    }
}

/// A datagram for the socket of a leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaTransmit {
    /// Whose RTP socket.
    pub leg: LegId,
    /// To whom.
    pub dst: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// One handshake of a call.
struct Handshake {
    call: CallId,
    leg: LegId,
    remote: SocketAddr,
    role: Role,
    /// What it was begun for, where that is known: our offer's handshakes begin before the answer.
    wanted: Option<Association>,
    association: dtls::Association,
    /// The record layer, between two faxes.
    records: Option<Box<dtls::Records>>,
    /// Whom it has shown, and how.
    shown: Option<dtls::Connected>,
    /// It was woken and has nothing to do: not before this again, whatever its engine says.
    not_before: Instant,
}

impl Handshake {
    fn due(&self) -> Option<Instant> {
        self.association.poll_timeout().map(|at| at.max(self.not_before))
    }
}

/// A handshake whose engine asks to be woken for nothing rests so long, in milliseconds.
const REST_MS: u64 = 20;

/// What a handshake is begun with.
struct Begun {
    call: CallId,
    leg: LegId,
    remote: SocketAddr,
    role: Role,
    wanted: Option<Association>,
}

/// All handshakes.
#[derive(Default)]
pub(super) struct Handshakes {
    all: Vec<Handshake>,
    out: std::collections::VecDeque<MediaTransmit>,
}

/// What of keys and proof belongs to one call.
pub(super) struct Secrecy {
    /// What may be said of keys in the dialog.
    pub(super) shield: Shield,
    /// Who is expected, and what was seen.
    pub(super) check: Check,
    /// The verdict that let things through.
    pub(super) clearance: Option<Clearance>,
    /// What our handshakes of this call show: the certificate that our descriptions name, though it be replaced meanwhile.
    certificate: Option<Arc<dtls::Certificate>>,
    /// The line is not put through before the verdict.
    pub(super) held: bool,
    /// It was said that a fax in audio tells nobody who is there.
    pub(super) unread_told: bool,
    /// The association whose keys the leg has.
    pub(super) keyed_by: Option<Association>,
    /// The SRTP keys of that association, for legs that are made later.
    pub(super) keys: Option<srtp::Keys>,
}

impl Secrecy {
    /// Nothing said, nobody expected.
    pub(super) fn new(shield: Shield, check: Check) -> Secrecy {
        Secrecy { shield, check, certificate: None, clearance: None, held: false, unread_told: false, keyed_by: None, keys: None }
    }
}

impl Gateway {
    /// What of keys may be said to a peer reached (or heard) by `transport`.
    pub(super) fn shield(&mut self, policy: Policy, transport: Transport, knows_dtls: bool) -> Shield {
        let private = (transport == Transport::Tls || self.config.security.private_signalling) && policy.encrypts();
        let mut own_keys = Vec::new();
        for (i, profile) in SUITES.into_iter().enumerate().filter(|_| private) {
            let mut octets = Vec::with_capacity(48);
            while octets.len() < srtp::MasterKey::octets_of(profile) {
                octets.extend_from_slice(&self.prints.number().to_be_bytes());
            }
            octets.truncate(srtp::MasterKey::octets_of(profile));
            if let Ok(key) = srtp::MasterKey::from_octets(profile, &octets) {
                let keys = key.to_inline().as_str().to_owned();
                own_keys.push(Crypto { tag: i as u32 + 1, suite: profile.name().into(), keys, parameters: None });
            }
        }
        let dtls = self.config.security.certificate.as_ref().filter(|_| policy.encrypts()).map(|c| c.fingerprint());
        let dtls = dtls.map(|fingerprint| OwnDtls { fingerprint, tls_id: self.tls_id() });
        let knows_dtls = knows_dtls && dtls.is_some();
        Shield::new(policy, own_keys, dtls, knows_dtls)
    }

    /// Our key was replaced: handshakes that begin from now on show the new one, and so does who asks for our identifier.
    pub fn set_certificate(&mut self, certificate: dtls::Certificate) {
        let at = self.config.legs.first().map_or(IpAddr::from([0, 0, 0, 0]), |leg| leg.rtp.ip());
        let identifier = Some(certificate.fingerprint());
        if self.config.security.certificate.is_some() {
            self.config.security.certificate = Some(Arc::new(certificate));
        }
        self.sip.set_capabilities(crate::negotiate::capabilities(&self.config.media, identifier, SocketAddr::new(at, 0)));
    }

    /// A name of an association (RFC 8842 s.4: at least 120 bits by chance).
    fn tls_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.prints.number(), self.prints.number())
    }

    /// The peer's new offer may mean another association than the one in force: then ours has another name, too (RFC 8842 s.5.3).
    pub(super) fn name_association(&mut self, id: CallId) {
        let fresh = self.tls_id();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(offer) = call.talk.negotiation.open_offer() else { return };
        let Some(kept) = call.talk.secrecy.shield.association() else { return };
        let of_line = |m: &crate::sdp::Media| m.security.tls_id.clone().or_else(|| offer.security.tls_id.clone());
        let named: Vec<Option<String>> = offer.media.iter().filter(|m| m.is_open()).map(of_line).collect();
        if !named.contains(&kept.peer_tls_id)
            && let Some(dtls) = &mut call.talk.secrecy.shield.dtls
        {
            dtls.tls_id = fresh;
        }
    }

    /// Our offer in a 200, to a caller who made none.
    pub(super) fn offer_late(&mut self, id: CallId) -> Result<Vec<u8>, crate::negotiate::Refusal> {
        let offer = self.make_offer(id, super::session::Want::Audio).ok_or(crate::negotiate::Refusal::NoOffer)?;
        self.listen_for_handshakes(id);
        Ok(offer)
    }

    /// A peer of the directory, or of a learned route, is to be called.
    pub(super) fn expect_target(&mut self, id: CallId, target: &Target) {
        let policy = self.config.security.media;
        let emergency = self.calls.get(&id).is_some_and(|c| c.emergency);
        let expected = self.expected_of_target(id, target);
        let knows_dtls = matches!(expected, Expected::Keys(_));
        let policy = if emergency && policy == Policy::Required { Policy::Preferred } else { policy };
        if let Some(call) = self.calls.get_mut(&id).filter(|c| c.terminals.ring_together()) {
            // One association is offered to all that ring; whose key it must show is known when one of them answers.
            call.talk.secrecy.shield.knows_dtls = knows_dtls && call.talk.secrecy.shield.dtls.is_some();
            return;
        }
        let shield = self.shield(policy, Transport::Udp, knows_dtls);
        self.expect(id, shield, expected);
    }

    /// Of several that rang this one answers.
    pub(super) fn expect_this_one(&mut self, id: CallId, target: &Target) {
        let expected = self.expected_of_target(id, target);
        let check = Check::new(self.config.security.identity, expected, &self.revoked);
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.secrecy.check = check;
        }
    }

    fn is_by_hand(&self, id: CallId, target: &Target) -> bool {
        let dialled = self.calls.get(&id).and_then(|c| Number::parse(&c.dialled).ok());
        let route = dialled.and_then(|n| self.resolver.learned().find(|(known, _)| **known == n).map(|(_, route)| route));
        target.learned && !target.signed && route.is_some_and(|r| r.expires_at.is_none() && r.contact == target.contact)
    }

    fn expected_of_target(&self, id: CallId, target: &Target) -> Expected {
        let emergency = self.calls.get(&id).is_some_and(|c| c.emergency);
        let key = target.fingerprint.as_deref().and_then(Fingerprint::parse);
        match (emergency, key) {
            // Help is not asked for its papers.
            (true, _) => Expected::ByHand,
            (false, Some(key)) => Expected::Keys(vec![key]),
            // A route that never ends was made by hand; whatever else is not signed is nobody's word.
            (false, None) if self.is_by_hand(id, target) => Expected::ByHand,
            (false, None) => Expected::Record { signed: target.signed && !target.learned },
        }
    }

    /// Whom this call is for, and what may be said of keys to them.
    pub(super) fn expect(&mut self, id: CallId, shield: Shield, expected: Expected) {
        let check = Check::new(self.config.security.identity, expected, &self.revoked);
        self.handshakes.all.retain(|h| h.call != id);
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.secrecy = Secrecy { certificate: self.config.security.certificate.clone(), ..Secrecy::new(shield, check) };
        }
    }

    /// Our offer is out: handshakes may come to its socket.
    pub(super) fn listen_for_handshakes(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        if let (Some(leg), Some(_)) = (call.talk.leg, &call.talk.secrecy.shield.dtls) {
            self.commands.push_back(Command::Listen(leg, true));
        }
    }

    /// An offer came with the means of DTLS: the handshake runs while it rings, if it is ours to begin.
    pub(super) fn begin_early(&mut self, now: Instant, id: CallId) {
        let Some(association) = self.early_association(id) else { return };
        let Some(call) = self.calls.get(&id) else { return };
        let Some((association, remote)) = Some(association).filter(|(_, at)| call.record.peer.is_some_and(|p| p.ip() == at.ip())) else {
            return self.listen_for_handshakes(id);
        };
        self.listen_for_handshakes(id);
        if association.role == Role::Client {
            self.begin_handshake(now, id, remote, &association);
        }
    }

    /// What our answer to the open offer will agree on.
    fn early_association(&mut self, id: CallId) -> Option<(Association, SocketAddr)> {
        let mut negotiation = self.calls.get(&id)?.talk.negotiation.clone();
        let draft = self.draft_answer(id).ok()?;
        negotiation.send_answer(draft).ok()?;
        let call = self.calls.get(&id)?;
        let choice = crate::negotiate::choice(&self.config.media, &call.talk.secrecy.shield, negotiation.agreed()?).ok()?;
        match choice.protection() {
            Protection::Dtls(association) => Some((association.clone(), choice.remote())),
            Protection::Clear(_) | Protection::Sdes(_) => None,
        }
    }

    fn begin_handshake(&mut self, now: Instant, id: CallId, remote: SocketAddr, wanted: &Association) {
        let of_call = self.handshakes.all.iter().filter(|h| h.call == id).count();
        let of_this = self.calls.get(&id).map(|c| (c.talk.secrecy.certificate.clone(), c.talk.leg));
        let Some((Some(certificate), Some(leg))) = of_this else {
            return;
        };
        if of_call >= HANDSHAKES_PER_CALL_MAX {
            return self.log(Some(id), true, "too many handshakes in one call; this one is not begun".into());
        }
        let expected = expected_of(wanted);
        self.start(now, Begun { call: id, leg, remote, role: wanted.role, wanted: Some(wanted.clone()) }, certificate, expected);
    }

    fn start(&mut self, now: Instant, begun: Begun, certificate: Arc<dtls::Certificate>, expected: Option<dtls::Expected>) {
        let Begun { call, leg, remote, role, wanted } = begun;
        // Who names its associations (RFC 8842) is of this time, and so are its keys; RSA is met at those who do not.
        let named = wanted.as_ref().is_some_and(|w| w.peer_tls_id.is_some());
        let known = named || self.calls.get(&call).is_some_and(|c| matches!(c.talk.secrecy.check.expected(), Expected::Keys(_)));
        let params = dtls::Params { role, certificate, expected, srtp: srtp_profiles(), mtu: MTU_BYTES };
        let engine = (self.config.security.engine)(known, self.prints.number());
        let association = dtls::Association::new(now, params, &*engine);
        self.handshakes.all.push(Handshake { call, leg, remote, role, wanted, association, records: None, shown: None, not_before: now });
        let last = self.handshakes.all.len() - 1;
        self.drive(now, last);
    }

    /// A DTLS datagram came to a leg's socket.
    pub fn handle_handshake(&mut self, now: Instant, leg: LegId, src: SocketAddr, bytes: &[u8]) {
        let known = self.handshakes.all.iter().position(|h| h.leg == leg && h.remote == src);
        let at = known.or_else(|| self.admit_handshake(now, leg, src, bytes));
        if let Some(h) = at.and_then(|at| self.handshakes.all.get_mut(at)) {
            h.association.handle_datagram(now, bytes);
            self.drive(now, at.unwrap_or_default());
            self.drain_sip(now);
        }
    }

    /// The first datagram of a handshake: let in from hosts that were called or that answered, into a call that waits for one.
    fn admit_handshake(&mut self, now: Instant, leg: LegId, src: SocketAddr, bytes: &[u8]) -> Option<usize> {
        let (&id, call) = self.calls.iter().find(|(_, c)| c.talk.leg == Some(leg) && c.state != State::Closing)?;
        let association = call.talk.secrecy.shield.association().cloned();
        // In the answer to an offer of the peer's the handshake may be the peer's to begin.
        let ours_to_hear = association.as_ref().is_none_or(|a| a.role == Role::Server);
        let hosts = self.hosts_of(id);
        self.make_room_for_handshake(id);
        let of_call = self.handshakes.all.iter().filter(|h| h.call == id).count();
        let certificate = self.calls.get(&id)?.talk.secrecy.certificate.clone()?;
        let shielded = self.calls.get(&id)?.talk.secrecy.shield.dtls.is_some();
        if bytes.first() != Some(&HANDSHAKE)
            || !ours_to_hear
            || !shielded
            || !hosts.contains(&src.ip())
            || of_call >= HANDSHAKES_PER_CALL_MAX
        {
            return None;
        }
        let expected = association.as_ref().and_then(expected_of);
        let before = self.handshakes.all.len();
        self.start(now, Begun { call: id, leg, remote: src, role: Role::Server, wanted: association }, certificate, expected);
        (self.handshakes.all.len() > before).then_some(before)
    }

    /// The oldest handshake that has shown nothing goes, if there are as many as there may be: a flood of first datagrams costs the real one a
    /// repeat, and no more.
    fn make_room_for_handshake(&mut self, id: CallId) {
        let of_call = self.handshakes.all.iter().filter(|h| h.call == id).count();
        let idle = |h: &Handshake| h.call == id && h.shown.is_none() && h.wanted.is_none();
        if of_call >= HANDSHAKES_PER_CALL_MAX
            && let Some(oldest) = self.handshakes.all.iter().position(idle)
        {
            self.handshakes.all.remove(oldest);
        }
    }

    /// The hosts that belong to a call's other end.
    fn hosts_of(&self, id: CallId) -> Vec<IpAddr> {
        let Some(call) = self.calls.get(&id) else { return Vec::new() };
        let signalled = call.dialog.and_then(|dialog| self.sip.seen_at(dialog)).map(|hop| hop.addr.ip());
        let media = call.talk.remote().map(|at| at.ip());
        let branches = call.terminals.hosts();
        call.record.peer.map(|p| p.ip()).into_iter().chain(signalled).chain(media).chain(branches).collect()
    }

    /// Takes what a handshake has to say.
    fn drive(&mut self, now: Instant, at: usize) {
        let Some(h) = self.handshakes.all.get_mut(at) else { return };
        while let Some(bytes) = h.association.poll_transmit() {
            if self.handshakes.out.len() < HANDSHAKE_DATAGRAMS_MAX {
                self.handshakes.out.push_back(MediaTransmit { leg: h.leg, dst: h.remote, bytes });
            }
        }
        let (id, remote) = (h.call, h.remote);
        let mut news = false;
        while let Some(event) = h.association.poll_event() {
            match event {
                dtls::Event::Connected(shown) => (h.shown, news) = (Some(shown), true),
                dtls::Event::Proven => news = true,
                dtls::Event::Failed(why) => {
                    self.handshakes.all.remove(at);
                    self.log(Some(id), true, format!("the DTLS handshake with {remote} failed: {why}"));
                    return self.keys_failed(now, id, remote);
                }
                dtls::Event::Closed => {}
            }
        }
        if news {
            self.take_keys(now, id);
        }
    }

    /// A handshake of the session itself failed: where nothing else can key it, that is the end of it.
    fn keys_failed(&mut self, now: Instant, id: CallId, remote: SocketAddr) {
        let Some(call) = self.calls.get(&id) else { return };
        let of_session = call.talk.secrecy.shield.association().is_some() && call.talk.remote() == Some(remote);
        let keyed = call.talk.secrecy.keyed_by.is_some();
        // Where a proof is awaited its limit decides: one handshake that failed may be anybody's.
        if of_session && !keyed && call.state == State::Up && !call.talk.secrecy.check.holds_voice() {
            self.close(now, id, Cause::NotEncrypted("the DTLS handshake failed".into()));
        }
    }

    /// The handshake whose certificate the session names, once both are there: keys for the leg, and the key for the check.
    pub(super) fn take_keys(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(agreed) = call.talk.secrecy.shield.association().cloned() else { return };
        if call.talk.secrecy.keyed_by.as_ref().is_some_and(|k| k.is_same(&agreed)) {
            return;
        }
        let expected = expected_of(&agreed);
        let may_be = |h: &Handshake| h.call == id && h.role == agreed.role && h.wanted.as_ref().is_none_or(|w| w.is_same(&agreed));
        for h in self.handshakes.all.iter_mut().filter(|h| may_be(h) && h.wanted.is_none()) {
            if let Some(expected) = &expected {
                h.association.expect(expected.clone());
            }
        }
        let Some(at) = self.handshakes.all.iter().position(|h| may_be(h) && h.association.verdict() == dtls::Verdict::Proven) else {
            return;
        };
        let h = &mut self.handshakes.all[at];
        h.wanted = Some(agreed.clone());
        let Some(shown) = &h.shown else { return };
        let key = shown.peer.fingerprint;
        let keys = h.association.srtp().and_then(|srtp| {
            let profile = srtp::Profile::from_dtls_number(srtp.profile)?;
            let role = if agreed.role == Role::Client { srtp::Role::Client } else { srtp::Role::Server };
            srtp::Keys::from_dtls(profile, &srtp.material, role).ok()
        });
        let srtp = keys.as_ref().map(|k| format!(", {}", k.profile().name())).unwrap_or_default();
        let cipher = format!("{} {}{srtp}", shown.version, shown.cipher);
        if let Some(call) = self.calls.get_mut(&id) {
            call.record.cipher = Some(cipher);
            call.record.peer_key = Some(key);
            call.talk.secrecy.check.shown(key);
            (call.talk.secrecy.keyed_by, call.talk.secrecy.keys) = (Some(agreed), keys);
            if let Verdict::Wrong(why) = call.talk.secrecy.check.verdict() {
                // The leg never gets these keys: whoever is there hears nothing.
                call.talk.secrecy.keys = None;
                if call.state == State::Up {
                    self.suspect(now, id, why, true);
                }
                return;
            }
        }
        // The others of before the answer are of no use any more.
        let mut i = 0;
        self.handshakes.all.retain(|h| {
            i += 1;
            h.call != id || i - 1 == at
        });
        self.key_leg(id);
        self.judge(now, id);
    }

    /// The leg on the board gets the keys that have come.
    fn key_leg(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(port) = call.port().filter(|_| call.talk.legs_out > 0) else { return };
        match call.talk.flow {
            Flow::Audio(_) | Flow::PassThrough(_) => {
                if let Some(keys) = &call.talk.secrecy.keys {
                    self.commands.push_back(Command::Secure(port, Box::new(srtp::Session::new(keys))));
                }
            }
            Flow::T38 if call.talk.is_rtp_fax() => {
                if let Some(keys) = &call.talk.secrecy.keys {
                    self.commands.push_back(Command::Secure(port, Box::new(srtp::Session::new(keys))));
                }
            }
            Flow::T38 => {
                if let Some(records) = self.take_records(id) {
                    self.commands.push_back(Command::SecureFax(port, records));
                }
            }
            Flow::None | Flow::Patch => {}
        }
    }

    /// How a new leg is protected under what was agreed.
    pub(super) fn protect(&self, id: CallId, by: &Protection) -> LegProtection {
        let keys = match by {
            Protection::Clear(_) => return LegProtection::Clear,
            Protection::Sdes(sdes) => sdes.keys(),
            Protection::Dtls(_) => self.calls.get(&id).and_then(|c| c.talk.secrecy.keys.clone()),
        };
        keys.map_or(LegProtection::Awaiting, |keys| LegProtection::Srtp(Box::new(srtp::Session::new(&keys))))
    }

    /// The records of the session's association, for a T.38 leg.
    pub(super) fn take_records(&mut self, id: CallId) -> Option<Box<dtls::Records>> {
        let keyed_by = self.calls.get(&id)?.talk.secrecy.keyed_by.clone()?;
        let of = |h: &&mut Handshake| h.call == id && h.wanted.as_ref().is_some_and(|w| w.is_same(&keyed_by));
        let h = self.handshakes.all.iter_mut().find(of)?;
        h.records.take().or_else(|| h.association.take_records())
    }

    /// A T.38 leg gives the records back: the next fax of the call goes on with them, for a number that was used must not be used again.
    pub(super) fn records_back(&mut self, id: CallId, records: Box<dtls::Records>) {
        let keyed_by = self.calls.get(&id).and_then(|c| c.talk.secrecy.keyed_by.clone());
        let of = |h: &&mut Handshake| h.call == id && h.wanted.as_ref().zip(keyed_by.as_ref()).is_some_and(|(w, k)| w.is_same(k));
        if let Some(h) = self.handshakes.all.iter_mut().find(of) {
            h.records = Some(records);
            // The next fax may have begun without them.
            if self.calls.get(&id).is_some_and(|c| c.talk.flow == Flow::T38 && c.state == State::Up) {
                self.key_leg(id);
            }
        }
    }

    /// What was agreed is in force: the handshake that it needs, if there is none yet.
    pub(super) fn secure_session(&mut self, now: Instant, id: CallId, choice: &Choice, audio: Option<Proto>) {
        let (by, remote) = (choice.protection(), choice.remote());
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.talk.secrecy.shield.settle(audio, by);
        // A fax in the clear beside encrypted audio is told as what it is.
        match choice {
            Choice::Audio(_) => call.record.protection = Some(by.word()),
            Choice::T38(_) => call.record.fax_protection = Some(by.word()),
        }
        let Protection::Dtls(agreed) = by else {
            if let Protection::Sdes(sdes) = by {
                call.record.cipher = Some(sdes.ours.suite.clone());
            }
            return;
        };
        if call.talk.secrecy.keyed_by.as_ref().is_some_and(|k| k.is_same(agreed)) {
            return;
        }
        if call.talk.secrecy.keyed_by.take().is_some() {
            // Another association takes the place of the one that was.
            call.talk.secrecy.keys = None;
            self.handshakes.all.retain(|h| h.call != id);
        }
        self.listen_for_handshakes(id);
        let same = |h: &Handshake| h.call == id && h.wanted.as_ref().is_some_and(|w| w.is_same(agreed));
        if agreed.role == Role::Client && !self.handshakes.all.iter().any(same) {
            self.begin_handshake(now, id, remote, agreed);
        }
        self.take_keys(now, id);
    }

    /// Deadlines of handshakes and of the identifier.
    pub(super) fn handshake_timeouts(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.handshakes.all.len() {
            let before = self.handshakes.all.len();
            let h = &mut self.handshakes.all[at];
            if h.due().is_some_and(|due| due <= now) {
                h.association.handle_timeout(now);
                if h.association.poll_timeout().is_some_and(|again| again <= now) {
                    h.not_before = now + ms(REST_MS);
                }
                self.drive(now, at);
            }
            // One that failed has left its place to the next.
            at += usize::from(self.handshakes.all.len() >= before);
        }
    }

    /// The earliest of them.
    pub(super) fn handshake_due(&self) -> Option<Instant> {
        self.handshakes.all.iter().filter_map(Handshake::due).min()
    }

    /// What is to be sent from a leg's RTP socket.
    pub fn poll_media_transmit(&mut self) -> Option<MediaTransmit> {
        self.handshakes.out.pop_front()
    }

    /// The call is over: so are its handshakes.
    pub(super) fn end_handshakes(&mut self, id: CallId) {
        self.handshakes.all.retain(|h| h.call != id);
        if let Some(leg) = self.calls.get(&id).and_then(|c| c.talk.leg) {
            self.commands.push_back(Command::Listen(leg, false));
        }
    }

    /// Whether the port's line may speak to the network: for invariants of the simulator.
    pub fn clearance_of(&self, port: PortId) -> Option<Clearance> {
        self.call_of(port).and_then(|id| self.calls.get(&id)).and_then(|c| c.talk.secrecy.clearance)
    }
}

/// The DTLS-SRTP profiles that we offer, the best first (RFC 5764, RFC 7714). Those with a 32-bit tag are not for DTLS here.
fn srtp_profiles() -> Vec<u16> {
    SUITES.into_iter().filter_map(srtp::Profile::dtls_number).collect()
}

fn expected_of(association: &Association) -> Option<dtls::Expected> {
    dtls::Expected::of(association.fingerprints.iter().map(|f| (f.hash.as_str(), f.digest.as_slice())))
}
