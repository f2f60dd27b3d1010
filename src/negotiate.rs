//! What to send over a session: our needs, what both ends can do, and the policy, in one place (B-2's question in SDP's words).
//!
//! Pure functions over session descriptions (RFC 3264; T.38 annex D for `m=image`): an offer of ours, the answer to an offer, and what a
//! session agreed on means for a leg. The form of the descriptions is `sdp`'s business, and so is what was said before in a dialog
//! (`sdp::Negotiation`: versions, order of lines): what is made here are drafts for it. How media is protected is [`protection`]'s.

mod protection;

pub use protection::{Association, ClearPermit, OwnDtls, Policy, Protection, Sdes, Shield};

use crate::fax::t38::relay::{SourcePolicy, T38Config};
use crate::fax::t38::udptl::ErrorCorrection;
use crate::key::Fingerprint;
use crate::media::jitter;
use crate::media::{AudioConfig, Direction, Protection as LegProtection};
use crate::sdp::build::{self, LineAnswer, Local};
use crate::sdp::{self, Agreed, Capabilities, Carriage, Codec, Kind, Media, Proto, Session, Side, T38};
use std::net::SocketAddr;
use tipring_dsp::g711::Law;

/// Payload type on which we offer RFC 4733 events. 101 is what most of the world uses.
const TELEPHONE_EVENT_PT: u8 = 101;
/// Payload type on which we offer T.38 in RTP.
const RTP_T38_PT: u8 = 98;
/// What our relay can hold before it is played, as declared to peers.
const T38_MAX_BUFFER_BYTES: u32 = 1800;

/// What this gateway offers and accepts.
#[derive(Clone, Debug)]
pub struct MediaPolicy {
    /// In order of preference.
    pub laws: Vec<Law>,
    /// The largest playout delay.
    pub jitter_max_ms: u32,
    /// A leg without media for so long is silent.
    pub watchdog_ms: u32,
    /// `None`: no T.38.
    pub t38: Option<T38Policy>,
}

/// What this gateway's T.38 can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct T38Policy {
    /// Largest datagram we take.
    pub max_datagram: u16,
    /// Repeats with control packets.
    pub redundancy_control: u8,
    /// Repeats with image packets.
    pub redundancy_image: u8,
    /// Machines may use error correction.
    pub ecm: bool,
}

/// What was agreed.
#[derive(Clone, PartialEq, Debug)]
pub enum Choice {
    /// G.711.
    Audio(AudioChoice),
    /// T.38 over UDPTL.
    T38(T38Choice),
}

impl Choice {
    /// How the leg is protected.
    pub fn protection(&self) -> &Protection {
        match self {
            Choice::Audio(audio) => &audio.protection,
            Choice::T38(t38) => &t38.protection,
        }
    }
    /// Where its datagrams go.
    pub fn remote(&self) -> SocketAddr {
        match self {
            Choice::Audio(audio) => audio.remote_rtp,
            Choice::T38(t38) => t38.remote,
        }
    }
}

/// G.711, agreed.
#[derive(Clone, PartialEq, Debug)]
pub struct AudioChoice {
    /// Which law.
    pub law: Law,
    /// On which payload type.
    pub payload_type: u8,
    /// Events, if both can.
    pub telephone_event_pt: Option<u8>,
    /// Where RTP goes.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// The peer carries modem and fax tones untouched on this codec once it hears them (V.152).
    pub vbd: bool,
    /// Who sends, seen from here.
    pub direction: Direction,
    /// How it is protected.
    pub protection: Protection,
}

/// What T.38's packets travel in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum T38Path {
    /// UDPTL, plain or in DTLS.
    Udptl,
    /// RTP (RFC 4612).
    Rtp {
        /// On this payload type.
        payload_type: u8,
        /// Copies of earlier packets on this one (RFC 2198), if both take them.
        redundancy_pt: Option<u8>,
    },
}

/// T.38, agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct T38Choice {
    /// What its packets travel in.
    pub path: T38Path,
    /// How that is protected.
    pub protection: Protection,
    /// Where they go.
    pub remote: SocketAddr,
    /// T38FaxVersion.
    pub version: u8,
    /// The largest datagram the peer takes.
    pub max_datagram: usize,
    /// How ours are protected.
    pub error_correction: ErrorCorrection,
    /// Fastest image modem.
    pub max_bps: u32,
    /// Fill bits are taken out.
    pub fill_bit_removal: bool,
}

/// Why a description cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is none.
    NoOffer,
    /// It cannot be read.
    Unreadable(String),
    /// No line that we can do.
    NothingInCommon,
    /// Every line that would do has been closed (port 0).
    NothingOpen,
    /// It wants T.38, and we are set not to.
    NoT38,
    /// It is in the clear, and the route is not to be.
    InTheClear,
    /// It wants media encrypted, and has no keys, or none that we can use.
    NoKeys,
    /// It says its keys in signalling that others can read.
    KeysInTheOpen,
}

impl Refusal {
    /// For logs.
    pub fn words(&self) -> String {
        match self {
            Refusal::NoOffer => "there is no session description".into(),
            Refusal::Unreadable(why) => format!("the session description cannot be read: {why}"),
            Refusal::NothingInCommon => "no media line that both gateways can do".into(),
            Refusal::NothingOpen => "every media line is closed".into(),
            Refusal::NoT38 => "T.38 is switched off here".into(),
            Refusal::InTheClear => "media in the clear, where encryption is required".into(),
            Refusal::NoKeys => "encrypted media without keys that both can use".into(),
            Refusal::KeysInTheOpen => "its keys (SDES) came over signalling that is not encrypted".into(),
        }
    }
    /// What the offerer is told.
    pub fn sip_status(&self) -> u16 {
        match self {
            Refusal::Unreadable(_) => 400,
            Refusal::NoOffer
            | Refusal::NothingInCommon
            | Refusal::NothingOpen
            | Refusal::NoT38
            | Refusal::InTheClear
            | Refusal::NoKeys
            | Refusal::KeysInTheOpen => 488,
        }
    }
    /// The code of the Warning header that goes along (RFC 3261 s.20.43), where one helps: 302 transport protocol, 304 media type, 305 media
    /// format.
    pub fn warning(&self) -> Option<u16> {
        match self {
            Refusal::InTheClear | Refusal::NoKeys | Refusal::KeysInTheOpen => Some(302),
            Refusal::NoT38 => Some(304),
            Refusal::NothingInCommon => Some(305),
            Refusal::NoOffer | Refusal::Unreadable(_) | Refusal::NothingOpen => None,
        }
    }
}

/// The law of an RTP encoding name.
pub fn law(name: &str) -> Option<Law> {
    match name.to_ascii_uppercase().as_str() {
        "PCMU" => Some(Law::Mu),
        "PCMA" => Some(Law::A),
        _ => None,
    }
}

/// The RTP encoding name of a law.
pub fn codec_name(law: Law) -> &'static str {
    match law {
        Law::Mu => "PCMU",
        Law::A => "PCMA",
    }
}

fn codec(law: Law) -> Codec {
    match law {
        Law::Mu => Codec::Pcmu,
        Law::A => Codec::Pcma,
    }
}

fn our_audio(policy: &MediaPolicy, carriage: Carriage) -> build::Audio {
    build::Audio {
        carriage,
        codecs: policy.laws.iter().copied().map(codec).collect(),
        telephone_event: Some(TELEPHONE_EVENT_PT),
        ptime_ms: 20,
        direction: sdp::Direction::SendRecv,
        rtcp_mux: true,
        vbd: true,
    }
}

fn our_t38(policy: &T38Policy) -> T38 {
    T38 {
        // Version 0 is what every gateway speaks; nothing of the later ones is missed below V.34.
        version: 0,
        max_bit_rate: Some(14_400),
        rate_management: sdp::RateManagement::TransferredTcf,
        max_buffer_bytes: Some(T38_MAX_BUFFER_BYTES),
        max_datagram_bytes: Some(u32::from(policy.max_datagram)),
        udp_ec: Some(sdp::UdpEc::Redundancy),
        ..T38::default()
    }
}

/// The `o=` line is the dialog's: see [`sdp::Negotiation`].
fn local(at: SocketAddr) -> Local {
    Local { address: at.ip(), session_id: 0, version: 0 }
}

/// What we could do beside what we offer (RFC 3407): T.38 is said before anybody needs it, so that the peer's gateway knows that a re-INVITE
/// will be taken.
fn capability_set(policy: &MediaPolicy) -> Capabilities {
    let clear = our_audio(policy, Carriage::clear(Proto::RtpAvp));
    let audio = build::offer_audio(&local(SocketAddr::from(([0, 0, 0, 0], 0))), 0, &clear);
    let payloads = audio.media.iter().flat_map(|m| &m.payloads).map(|p| p.pt.to_string()).collect();
    let mut entries = vec![(Kind::Audio, Proto::RtpAvp, payloads)];
    if policy.t38.is_some() {
        entries.push((Kind::Image, Proto::Udptl, vec!["t38".into()]));
        entries.push((Kind::Audio, Proto::RtpSavp, vec![RTP_T38_PT.to_string()]));
    }
    let mut set = Capabilities::of(&entries);
    if let Some(rtp) = set.list.last_mut().filter(|_| policy.t38.is_some()) {
        rtp.parameters.push(format!("a=rtpmap:{RTP_T38_PT} {}", Codec::RtpT38.rtpmap()));
    }
    set
}

/// An offer of audio at `rtp`, with the keys that may be said. The error: there are none, and the route wants some.
pub fn audio_offer(policy: &MediaPolicy, shield: &Shield, rtp: SocketAddr) -> Result<Session, Refusal> {
    let carriage = shield.audio_offer()?;
    let mut offer = build::offer_audio(&local(rtp), rtp.port(), &our_audio(policy, carriage));
    if policy.t38.is_some() {
        offer.capabilities = capability_set(policy);
    }
    Ok(offer)
}

/// A way to carry a fax as T.38, to be offered in the middle of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaxWay {
    /// UDPTL in the association that the audio is keyed by (RFC 7345): at the audio's port, so that no handshake is needed.
    Dtls,
    /// T.38 as a payload of the SRTP that the audio is in (RFC 4612).
    Rtp,
    /// UDPTL in the clear. Of what the permit allows.
    Clear(ClearPermit),
}

impl FaxWay {
    /// For logs.
    pub fn words(self) -> &'static str {
        match self {
            FaxWay::Dtls => "T.38 in DTLS",
            FaxWay::Rtp => "T.38 in SRTP",
            FaxWay::Clear(_) => "T.38",
        }
    }
}

/// The ways to offer T.38, the best first, as far as the audio that stands and the route allow. `in_rtp`: whether the peer says that it reads
/// T.38 in RTP.
pub fn fax_ways(policy: &MediaPolicy, shield: &Shield, in_rtp: bool) -> Vec<FaxWay> {
    if policy.t38.is_none() {
        return Vec::new();
    }
    let dtls = shield.dtls_image().map(|_| FaxWay::Dtls);
    let rtp = shield.rtp_image().filter(|_| in_rtp).map(|_| FaxWay::Rtp);
    let clear = shield.policy.permit_clear().map(FaxWay::Clear);
    [dtls, rtp, clear].into_iter().flatten().collect()
}

/// The way that a fax under way goes, for an offer that only says where we are.
pub fn way_of(choice: &T38Choice) -> FaxWay {
    match (choice.path, &choice.protection) {
        (T38Path::Rtp { .. }, _) => FaxWay::Rtp,
        (T38Path::Udptl, Protection::Clear(permit)) => FaxWay::Clear(*permit),
        (T38Path::Udptl, Protection::Sdes(_) | Protection::Dtls(_)) => FaxWay::Dtls,
    }
}

/// An offer of T.38; `None` if this gateway does none, or not so.
pub fn t38_offer(policy: &MediaPolicy, shield: &Shield, way: FaxWay, rtp: SocketAddr, udptl: SocketAddr) -> Option<Session> {
    let t38 = our_t38(policy.t38.as_ref()?);
    Some(match way {
        FaxWay::Clear(_) => build::offer_t38(&local(udptl), udptl.port(), &t38),
        FaxWay::Dtls => build::offer_t38_by(&local(rtp), rtp.port(), &t38, &shield.dtls_image()?),
        FaxWay::Rtp => build::offer_rtp_t38(&local(rtp), rtp.port(), RTP_T38_PT, &t38, &shield.rtp_image()?),
    })
}

/// What OPTIONS is answered with: everything we can do, on no port (RFC 3264 s.9), and as a capability set (RFC 3407).
pub fn capabilities(policy: &MediaPolicy, identifier: Option<Fingerprint>, at: SocketAddr) -> Vec<u8> {
    let nowhere = SocketAddr::new(at.ip(), 0);
    let audio = build::offer_audio(&local(nowhere), 0, &our_audio(policy, Carriage::clear(Proto::RtpAvp)));
    let mut session = Session { capabilities: capability_set(policy), ..audio };
    if let Some(t38) = &policy.t38 {
        session = build::with_t38(session, &local(nowhere), 0, &our_t38(t38));
    }
    // Our identifier, stated: who cannot see it proven in a handshake asks for it here.
    session.security.fingerprints.extend(identifier.map(|f| sdp::Fingerprint { hash: "sha-256".into(), digest: f.0.to_vec() }));
    session.emit()
}

/// What a peer says that it can do, in its answer to OPTIONS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// T.38, over whatever. `None`: it was not named, in a description that does not claim to be complete.
    pub t38: Option<bool>,
    /// Voice codecs by their names, in the peer's order; the static ones without a name by their payload type.
    pub audio: Vec<String>,
    /// It carries the tones of modems and fax machines untouched on one of them (V.152).
    pub vbd: bool,
    /// Keys as events (RFC 4733).
    pub telephone_event: bool,
    /// T.38 as an RTP payload (RFC 4612).
    pub t38_in_rtp: bool,
    /// The identifier that it states.
    pub identifier: Option<Fingerprint>,
}

impl Abilities {
    /// For logs and records.
    pub fn words(&self) -> String {
        let fax = match self.t38 {
            Some(true) => "T.38",
            Some(false) => "no T.38",
            None => "(nothing said of T.38)",
        };
        let said = [(self.vbd, "voice-band data (V.152)"), (self.telephone_event, "telephone-event")];
        let rest = said.into_iter().filter(|(yes, _)| *yes).map(|(_, words)| words);
        core::iter::once(fax).chain(self.audio.iter().map(String::as_str)).chain(rest).collect::<Vec<_>>().join(", ")
    }
}

/// Reads them from a description with a media line for each medium (RFC 3264 s.9: port 0 is no refusal here), or with a capability set
/// (RFC 3407). `None`: it cannot be read, or names no medium, which says nothing.
///
/// Many devices answer with the session that they are in, or would open: audio on a port. That says what they do now, not all that they
/// could, so that a medium which is missing there is not denied. Only a description of what could be done denies: one without an open line
/// (port 0 is what RFC 3264 s.9 asks for there), or one with a capability set.
pub fn abilities(sdp: &[u8]) -> Option<Abilities> {
    let session = Session::parse(sdp).ok()?;
    let sets = || session.media.iter().map(|m| &m.capabilities).chain([&session.capabilities]).flat_map(|c| &c.list);
    if session.media.is_empty() && sets().next().is_none() {
        return None;
    }
    let complete = sets().next().is_some() || !session.media.iter().any(Media::is_open);
    let image = session.media.iter().any(|m| m.kind == Kind::Image || m.t38.is_some()) || sets().any(|c| c.kind == Kind::Image);
    let in_rtp = session.media.iter().flat_map(|m| &m.payloads).any(|p| p.codec == Codec::RtpT38);
    let payloads = || session.media.iter().filter(|m| m.kind == Kind::Audio).flat_map(|m| &m.payloads);
    let voice = payloads().filter(|p| !matches!(p.codec, Codec::TelephoneEvent | Codec::ComfortNoise | Codec::RtpT38));
    let name = |p: &sdp::Payload| match p.codec.rtpmap().split('/').next() {
        None | Some("") => p.pt.to_string(),
        Some(name) => name.to_owned(),
    };
    Some(Abilities {
        t38: (image || in_rtp || complete).then_some(image || in_rtp),
        audio: voice.map(name).collect(),
        vbd: payloads().any(sdp::Payload::is_vbd),
        telephone_event: payloads().any(|p| p.codec == Codec::TelephoneEvent),
        t38_in_rtp: in_rtp || says_t38_in_rtp(&session),
        identifier: identifier(&session),
    })
}

/// Whether a description's capability sets name T.38 in RTP (RFC 3407, RFC 4612).
pub fn says_t38_in_rtp(session: &Session) -> bool {
    let sets = session.media.iter().map(|m| &m.capabilities).chain([&session.capabilities]);
    let named = |parameter: &String| parameter.to_ascii_lowercase().contains(Codec::RtpT38.rtpmap());
    sets.flat_map(|c| &c.list).any(|c| c.proto.is_rtp() && c.parameters.iter().any(named))
}

/// The identifier that a description states: a SHA-256 of the session, not of a line, whose fingerprint is a handshake's matter.
fn identifier(session: &Session) -> Option<Fingerprint> {
    let sha256 = session.security.fingerprints.iter().find(|f| f.hash == "sha-256")?;
    sha256.digest.as_slice().try_into().ok().map(Fingerprint)
}

/// What an answer depends on beside the offer.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The session in force, if there is one.
    pub before: Option<&'a Agreed>,
    /// A fax machine is known to be at our end: the port is one's, or it was heard.
    pub fax: bool,
}

/// Which line of an offer we take, and how it is carried. Where audio and T.38 are both open it depends on who sits at our end: a fax machine gets
/// T.38, a telephone its audio (trunks offer both on every call). A T.38 line that opens in the middle of a call is meant: there is a page in hand.
/// Of two lines of one kind the first that can be encrypted goes before one in the clear.
fn choose_line(policy: &MediaPolicy, shield: &Shield, offer: &Session, situation: Situation<'_>) -> Result<(usize, Carriage), Refusal> {
    let local_tcf = |m: &Media| m.t38.as_ref().is_some_and(|t| t.rate_management == sdp::RateManagement::LocalTcf);
    let is_image = |m: &Media| m.is_t38() && !local_tcf(m) || m.rtp_t38().is_some();
    let is_audio = |m: &Media| m.kind == Kind::Audio && m.is_open() && m.proto.is_rtp() && m.payloads.iter().any(|p| ours(policy, p));
    let mut why = None;
    let mut find = |wanted: &dyn Fn(&Media) -> bool| {
        let mut clear = None;
        for (i, line) in offer.media.iter().enumerate().filter(|(_, m)| wanted(m)) {
            match shield.answer(offer, line) {
                Ok(carriage) if carriage.security.is_empty() => clear = clear.or(Some((i, carriage))),
                Ok(carriage) => return Some((i, carriage)),
                Err(refusal) => why = why.take().or(Some(refusal)),
            }
        }
        clear
    };
    let image = if policy.t38.is_some() { find(&is_image) } else { None };
    let audio = find(&is_audio);
    match (image, audio) {
        (Some(image), Some(audio)) => {
            let before = situation.before;
            let t38 = |m: &Media| m.is_t38() || m.rtp_t38().is_some();
            let was_open =
                |i: usize| before.is_some_and(|b| b.open_lines().any(|(_, theirs)| t38(theirs)) && b.remote.media.get(i).is_some_and(t38));
            let (image_at, audio_at) = (image.0, audio.0);
            let opens = before.is_some() && !was_open(image_at);
            let fax = situation.fax || opens || was_open(image_at);
            // One line with both in it: voice, until a fax is meant.
            Ok(if fax && (image_at != audio_at || situation.fax) { image } else { audio })
        }
        (Some(line), None) | (None, Some(line)) => Ok(line),
        (None, None) => Err(why.unwrap_or_else(|| why_not(policy, offer))),
    }
}

fn why_not(policy: &MediaPolicy, offer: &Session) -> Refusal {
    let open = || offer.media.iter().filter(|m| m.is_open());
    match () {
        () if open().next().is_none() => Refusal::NothingOpen,
        () if policy.t38.is_none() && open().any(|m| m.is_t38() || m.rtp_t38().is_some()) => Refusal::NoT38,
        () => Refusal::NothingInCommon,
    }
}

fn ours(policy: &MediaPolicy, payload: &sdp::Payload) -> bool {
    policy.laws.iter().any(|l| codec(*l) == payload.codec)
}

/// Reads a description.
pub fn read(sdp: &[u8]) -> Result<Session, Refusal> {
    Session::parse(sdp).map_err(|e| Refusal::Unreadable(e.to_string()))
}

/// Whether an offer could be answered, without answering it.
pub fn check_offer(policy: &MediaPolicy, shield: &Shield, offer: &Session) -> Result<(), Refusal> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    answer(policy, shield, offer, Situation { before: None, fax: true }, nowhere, nowhere).map(|_| ())
}

/// The answer to an offer: one line taken, the others closed in their places.
pub fn answer(
    policy: &MediaPolicy,
    shield: &Shield,
    offer: &Session,
    situation: Situation<'_>,
    rtp: SocketAddr,
    udptl: SocketAddr,
) -> Result<Session, Refusal> {
    let (chosen, carriage) = choose_line(policy, shield, offer, situation)?;
    let line = &offer.media[chosen];
    let t38 = policy.t38.as_ref().map(our_t38);
    let plain_udptl = line.proto == Proto::Udptl;
    let port = if plain_udptl { udptl.port() } else { rtp.port() };
    let fax = line.is_t38() || line.rtp_t38().is_some() && (situation.fax || !line.payloads.iter().any(|p| ours(policy, p)));
    let audio = our_audio(policy, carriage.clone());
    let take = match &t38 {
        Some(t38) if fax => LineAnswer::T38By(port, t38, &carriage),
        _ => LineAnswer::Audio(port, &audio),
    };
    let lines: Vec<LineAnswer<'_>> = (0..offer.media.len()).map(|i| if i == chosen { take } else { LineAnswer::Refuse }).collect();
    build::answer(&local(rtp), offer, &lines).map_err(|_| Refusal::NothingInCommon)
}

/// What a session that both sides agreed on means for our leg.
pub fn choice(policy: &MediaPolicy, shield: &Shield, agreed: &Agreed) -> Result<Choice, Refusal> {
    let answer = |(ours, theirs): (&Media, &Media)| if agreed.offerer == Side::Ours { theirs.clone() } else { ours.clone() };
    let line = |(ours, theirs): (&Media, &Media)| {
        let protection = protection::protection(shield, agreed, ours, theirs)?;
        let in_rtp = answer((ours, theirs)).rtp_t38();
        match (&ours.kind, in_rtp, &policy.t38) {
            (Kind::Image, _, Some(t38)) => t38_choice(t38, ours, theirs, agreed.offerer, protection).map(Choice::T38),
            (Kind::Audio, Some(pt), Some(t38)) => rtp_t38_choice(t38, pt, ours, theirs, agreed.offerer, protection).map(Choice::T38),
            (Kind::Image, _, None) | (Kind::Audio, Some(_), None) => Err(Refusal::NoT38),
            (Kind::Audio, None, _) => audio_choice(policy, ours, theirs, agreed.offerer, protection).map(Choice::Audio),
            (Kind::Other(_), _, _) => Err(Refusal::NothingInCommon),
        }
    };
    // Of several lines that are open (a peer took more than we would) T.38 is the one with a page in hand.
    let image = agreed.open_lines().find(|(ours, _)| ours.kind == Kind::Image);
    image.or_else(|| agreed.open_lines().next()).map_or(Err(Refusal::NothingOpen), line)
}

/// The proto of the audio that was agreed on, for later offers.
pub fn audio_proto(agreed: &Agreed) -> Option<Proto> {
    agreed.open_lines().find(|(ours, _)| ours.kind == Kind::Audio).map(|(ours, _)| ours.proto.clone())
}

fn audio_choice(
    policy: &MediaPolicy,
    local: &Media,
    remote: &Media,
    offerer: Side,
    protection: Protection,
) -> Result<AudioChoice, Refusal> {
    let answer = if offerer == Side::Ours { remote } else { local };
    // Payload types are the offerer's in both directions; the answerer's first codec is the one that is used.
    let voice = answer.payloads.iter().find(|p| ours(policy, p)).ok_or(Refusal::NothingInCommon)?;
    let law = policy.laws.iter().copied().find(|l| codec(*l) == voice.codec).ok_or(Refusal::NothingInCommon)?;
    let remote_rtp = remote.destination().ok_or(Refusal::NothingInCommon)?;
    let rtcp_mux = local.rtcp_mux && remote.rtcp_mux;
    let remote_rtcp = remote.rtcp_destination(rtcp_mux).unwrap_or(remote_rtp);
    // c=0.0.0.0 is the hold of RFC 2543: there is nowhere to send to.
    let nowhere = remote_rtp.ip().is_unspecified();
    let sends = local.direction.sends() && remote.direction.receives() && !nowhere;
    let direction = match (sends, local.direction.receives() && remote.direction.sends() && !nowhere) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    };
    let vbd = remote.payloads.iter().any(|p| p.pt == voice.pt && p.is_vbd());
    let telephone_event_pt = answer.telephone_event();
    Ok(AudioChoice { law, payload_type: voice.pt, telephone_event_pt, remote_rtp, remote_rtcp, rtcp_mux, vbd, direction, protection })
}

/// The peer's line says what it can take, the answer (whoever wrote it) what both hold to.
fn t38_choice(policy: &T38Policy, local: &Media, remote: &Media, offerer: Side, protection: Protection) -> Result<T38Choice, Refusal> {
    let remote_at = remote.destination().ok_or(Refusal::NothingInCommon)?;
    let agreed = if offerer == Side::Ours { remote } else { local };
    let (declared, agreed) = (remote.t38.clone().unwrap_or_default(), agreed.t38.clone().unwrap_or_default());
    let error_correction = match agreed.udp_ec {
        Some(sdp::UdpEc::NoEc) => ErrorCorrection::None,
        // FEC is never offered nor answered by us; a peer that answers it to an offer of redundancy gets redundancy, which it must read.
        Some(sdp::UdpEc::Redundancy | sdp::UdpEc::Fec) | None => {
            ErrorCorrection::Redundancy { control: policy.redundancy_control, image: policy.redundancy_image }
        }
    };
    Ok(T38Choice {
        path: T38Path::Udptl,
        protection,
        remote: remote_at,
        version: agreed.version,
        max_datagram: declared.max_datagram_bytes.map_or(usize::from(policy.max_datagram), |n| n as usize),
        error_correction,
        max_bps: agreed.max_bit_rate.unwrap_or(14_400).clamp(2_400, 14_400),
        fill_bit_removal: agreed.fill_bit_removal,
    })
}

/// The same of T.38 in RTP, whose attributes stand in the fmtp.
fn rtp_t38_choice(
    policy: &T38Policy,
    pt: u8,
    local: &Media,
    remote: &Media,
    offerer: Side,
    protection: Protection,
) -> Result<T38Choice, Refusal> {
    let remote_at = remote.destination().ok_or(Refusal::NothingInCommon)?;
    let agreed_line = if offerer == Side::Ours { remote } else { local };
    let fmtp = agreed_line.payloads.iter().find(|p| p.pt == pt).and_then(|p| p.fmtp.as_deref()).unwrap_or_default();
    let agreed = T38::of_fmtp(fmtp);
    Ok(T38Choice {
        path: T38Path::Rtp { payload_type: pt, redundancy_pt: agreed_line.redundancy() },
        protection,
        remote: remote_at,
        version: agreed.version,
        max_datagram: usize::from(policy.max_datagram),
        error_correction: ErrorCorrection::Redundancy { control: policy.redundancy_control, image: policy.redundancy_image },
        max_bps: agreed.max_bit_rate.unwrap_or(14_400).clamp(2_400, 14_400),
        fill_bit_removal: agreed.fill_bit_removal,
    })
}

/// The audio leg of a choice.
pub fn audio_leg(
    policy: &MediaPolicy,
    choice: &AudioChoice,
    protection: LegProtection,
    ssrc: u32,
    first_sequence: u16,
    first_timestamp: u32,
) -> AudioConfig {
    let mut cname = heapless::String::new();
    let _fits = core::fmt::Write::write_fmt(&mut cname, format_args!("{ssrc:08x}@tipring"));
    AudioConfig {
        law: choice.law,
        payload_type: choice.payload_type,
        telephone_event_pt: choice.telephone_event_pt,
        remote_rtp: choice.remote_rtp,
        remote_rtcp: choice.remote_rtcp,
        rtcp_mux: choice.rtcp_mux,
        direction: choice.direction,
        ssrc,
        first_sequence,
        first_timestamp,
        cname,
        jitter: jitter::Limits { max_ms: policy.jitter_max_ms.min(500) as u16, ..jitter::Limits::default() },
        watchdog_ms: policy.watchdog_ms,
        pass_through: false,
        protection,
    }
}

/// The T.38 leg of a choice.
pub fn t38_leg(policy: &MediaPolicy, choice: &T38Choice) -> T38Config {
    T38Config {
        version: choice.version,
        max_datagram: choice.max_datagram,
        error_correction: choice.error_correction,
        source: SourcePolicy::Latch,
        ecm: policy.t38.as_ref().is_none_or(|t| t.ecm),
        max_bps: choice.max_bps,
        fill_bit_removal: choice.fill_bit_removal,
        ..T38Config::to(choice.remote)
    }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
