//! What to send over a session: our needs, what both ends can do, and the policy, in one place (B-2's question in SDP's words).
//!
//! Pure functions over session descriptions (RFC 3264; T.38 annex D for `m=image`): an offer of ours, the answer to an offer, and what a
//! session agreed on means for a leg. The form of the descriptions is `sdp`'s business, and so is what was said before in a dialog
//! (`sdp::Negotiation`: versions, order of lines): what is made here are drafts for it.

use crate::fax::t38::relay::{SourcePolicy, T38Config};
use crate::fax::t38::udptl::ErrorCorrection;
use crate::media::jitter;
use crate::media::{AudioConfig, Direction, Protection};
use crate::sdp::build::{self, LineAnswer, Local};
use crate::sdp::{self, Agreed, Capabilities, Codec, Kind, Media, Proto, Session, Side, T38};
use std::net::SocketAddr;
use tipring_dsp::g711::Law;

/// Payload type on which we offer RFC 4733 events. 101 is what most of the world uses.
const TELEPHONE_EVENT_PT: u8 = 101;
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
}

/// T.38, agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct T38Choice {
    /// Where UDPTL goes.
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
    /// It wants media that is encrypted, by this proto, which is not built yet.
    Secure(String),
    /// It wants T.38 in RTP (RFC 4612), for which there is no leg.
    RtpT38,
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
            Refusal::Secure(proto) => format!("media over {proto} is not built yet"),
            Refusal::RtpT38 => "T.38 as an RTP payload (RFC 4612) is not built yet".into(),
        }
    }
    /// What the offerer is told.
    pub fn sip_status(&self) -> u16 {
        match self {
            Refusal::Unreadable(_) => 400,
            Refusal::NoOffer | Refusal::NothingInCommon | Refusal::NothingOpen | Refusal::NoT38 | Refusal::Secure(_) | Refusal::RtpT38 => {
                488
            }
        }
    }
    /// The code of the Warning header that goes along (RFC 3261 s.20.43), where one helps: 302 transport protocol, 304 media type, 305 media
    /// format.
    pub fn warning(&self) -> Option<u16> {
        match self {
            Refusal::Secure(_) => Some(302),
            Refusal::NoT38 => Some(304),
            Refusal::NothingInCommon | Refusal::RtpT38 => Some(305),
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

fn our_audio(policy: &MediaPolicy) -> build::Audio {
    build::Audio {
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
    let audio = build::offer_audio(&local(SocketAddr::from(([0, 0, 0, 0], 0))), 0, &our_audio(policy));
    let payloads = audio.media.iter().flat_map(|m| &m.payloads).map(|p| p.pt.to_string()).collect();
    let mut entries = vec![(Kind::Audio, Proto::RtpAvp, payloads)];
    if policy.t38.is_some() {
        entries.push((Kind::Image, Proto::Udptl, vec!["t38".into()]));
    }
    Capabilities::of(&entries)
}

/// An offer of audio at `rtp`.
pub fn audio_offer(policy: &MediaPolicy, rtp: SocketAddr) -> Session {
    let mut offer = build::offer_audio(&local(rtp), rtp.port(), &our_audio(policy));
    if policy.t38.is_some() {
        offer.capabilities = capability_set(policy);
    }
    offer
}

/// An offer of T.38 at `udptl`; `None` if this gateway does none.
pub fn t38_offer(policy: &MediaPolicy, udptl: SocketAddr) -> Option<Session> {
    let t38 = policy.t38.as_ref()?;
    Some(build::offer_t38(&local(udptl), udptl.port(), &our_t38(t38)))
}

/// What OPTIONS is answered with: everything we can do, on no port (RFC 3264 s.9), and as a capability set (RFC 3407).
pub fn capabilities(policy: &MediaPolicy, at: SocketAddr) -> Vec<u8> {
    let nowhere = SocketAddr::new(at.ip(), 0);
    let mut session = Session { capabilities: capability_set(policy), ..audio_offer(policy, nowhere) };
    if let Some(image) = t38_offer(policy, nowhere) {
        for line in image.media {
            session.media.push(line).expect("two lines fit");
        }
    }
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
    })
}

/// What an answer depends on beside the offer.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The session in force, if there is one.
    pub before: Option<&'a Agreed>,
    /// A fax machine is known to be at our end: the port is one's, or it was heard.
    pub fax: bool,
}

/// Which line of an offer we take. Where audio and T.38 are both open it depends on who sits at our end: a fax machine gets T.38, a
/// telephone its audio (trunks offer both on every call). A T.38 line that opens in the middle of a call is meant: there is a page in hand.
fn choose_line(policy: &MediaPolicy, offer: &Session, situation: Situation<'_>) -> Result<usize, Refusal> {
    let local_tcf = |m: &Media| m.t38.as_ref().is_some_and(|t| t.rate_management == sdp::RateManagement::LocalTcf);
    let is_image = |m: &Media| m.is_t38() && m.proto == Proto::Udptl && !local_tcf(m);
    let is_audio = |m: &Media| {
        m.kind == Kind::Audio && m.is_open() && !m.proto.is_secure() && m.proto.is_rtp() && m.payloads.iter().any(|p| ours(policy, p))
    };
    let image = offer.media.iter().position(|m| policy.t38.is_some() && is_image(m));
    let audio = offer.media.iter().position(is_audio);
    match (image, audio) {
        (Some(image), Some(audio)) => {
            let before = situation.before;
            let was_open = |i: usize| {
                before
                    .is_some_and(|b| b.open_lines().any(|(_, theirs)| theirs.is_t38()) && b.remote.media.get(i).is_some_and(Media::is_t38))
            };
            let opens = before.is_some() && !was_open(image);
            Ok(if situation.fax || opens || was_open(image) { image } else { audio })
        }
        (Some(line), None) | (None, Some(line)) => Ok(line),
        (None, None) => Err(why_not(policy, offer)),
    }
}

fn why_not(policy: &MediaPolicy, offer: &Session) -> Refusal {
    let open = || offer.media.iter().filter(|m| m.is_open());
    if open().next().is_none() {
        return Refusal::NothingOpen;
    }
    if policy.t38.is_none() && open().any(|m| m.is_t38() && m.proto == Proto::Udptl) {
        return Refusal::NoT38;
    }
    if let Some(secure) = open().find(|m| m.proto.is_secure()) {
        return Refusal::Secure(secure.proto.as_str().into());
    }
    if open().any(|m| m.payloads.iter().any(|p| p.codec == Codec::RtpT38)) { Refusal::RtpT38 } else { Refusal::NothingInCommon }
}

fn ours(policy: &MediaPolicy, payload: &sdp::Payload) -> bool {
    policy.laws.iter().any(|l| codec(*l) == payload.codec)
}

/// Reads a description.
pub fn read(sdp: &[u8]) -> Result<Session, Refusal> {
    Session::parse(sdp).map_err(|e| Refusal::Unreadable(e.to_string()))
}

/// Whether an offer could be answered, without answering it.
pub fn check_offer(policy: &MediaPolicy, offer: &Session) -> Result<(), Refusal> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    answer(policy, offer, Situation { before: None, fax: true }, nowhere, nowhere).map(|_| ())
}

/// The answer to an offer: one line taken, the others closed in their places.
pub fn answer(
    policy: &MediaPolicy,
    offer: &Session,
    situation: Situation<'_>,
    rtp: SocketAddr,
    udptl: SocketAddr,
) -> Result<Session, Refusal> {
    let chosen = choose_line(policy, offer, situation)?;
    let (audio, t38) = (our_audio(policy), policy.t38.as_ref().map(our_t38));
    let take = match &t38 {
        Some(t38) if offer.media[chosen].is_t38() => LineAnswer::T38(udptl.port(), t38),
        _ => LineAnswer::Audio(rtp.port(), &audio),
    };
    let lines: Vec<LineAnswer<'_>> = (0..offer.media.len()).map(|i| if i == chosen { take } else { LineAnswer::Refuse }).collect();
    build::answer(&local(rtp), offer, &lines).map_err(|_| Refusal::NothingInCommon)
}

/// What a session that both sides agreed on means for our leg.
pub fn choice(policy: &MediaPolicy, agreed: &Agreed) -> Result<Choice, Refusal> {
    let line = |(ours, theirs): (&Media, &Media)| match (&ours.kind, &policy.t38) {
        (Kind::Image, Some(t38)) => t38_choice(t38, ours, theirs, agreed.offerer).map(Choice::T38),
        (Kind::Image, None) => Err(Refusal::NoT38),
        (Kind::Audio, _) => audio_choice(policy, ours, theirs, agreed.offerer).map(Choice::Audio),
        (Kind::Other(_), _) => Err(Refusal::NothingInCommon),
    };
    // Of several lines that are open (a peer took more than we would) T.38 is the one with a page in hand.
    let image = agreed.open_lines().find(|(ours, _)| ours.kind == Kind::Image);
    image.or_else(|| agreed.open_lines().next()).map_or(Err(Refusal::NothingOpen), line)
}

fn audio_choice(policy: &MediaPolicy, local: &Media, remote: &Media, offerer: Side) -> Result<AudioChoice, Refusal> {
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
    Ok(AudioChoice { law, payload_type: voice.pt, telephone_event_pt, remote_rtp, remote_rtcp, rtcp_mux, vbd, direction })
}

/// The peer's line says what it can take, the answer (whoever wrote it) what both hold to.
fn t38_choice(policy: &T38Policy, local: &Media, remote: &Media, offerer: Side) -> Result<T38Choice, Refusal> {
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
        remote: remote_at,
        version: agreed.version,
        max_datagram: declared.max_datagram_bytes.map_or(usize::from(policy.max_datagram), |n| n as usize),
        error_correction,
        max_bps: agreed.max_bit_rate.unwrap_or(14_400).clamp(2_400, 14_400),
        fill_bit_removal: agreed.fill_bit_removal,
    })
}

/// The audio leg of a choice.
pub fn audio_leg(policy: &MediaPolicy, choice: &AudioChoice, ssrc: u32, first_sequence: u16, first_timestamp: u32) -> AudioConfig {
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
        protection: Protection::Clear,
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
