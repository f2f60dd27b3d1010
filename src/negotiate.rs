//! What to send over a session: our needs, what both ends can do, and the policy, in one place (B-2's question in SDP's words).
//!
//! Pure functions over session descriptions (RFC 3264; T.38 annex D for `m=image`): an offer of ours, the answer to an offer, the
//! reading of an answer. The form of the descriptions is `sdp`'s business; the order of offers and answers in a dialog is `sip`'s.

use crate::fax::t38::relay::{SourcePolicy, T38Config};
use crate::fax::t38::udptl::ErrorCorrection;
use crate::media::jitter;
use crate::media::{AudioConfig, Direction};
use crate::sdp::build::{self, LineAnswer, Local};
use crate::sdp::{self, Codec, Media, Session, T38};
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
    /// It wants T.38, and we are set not to.
    NoT38,
}

impl Refusal {
    /// For logs.
    pub fn words(&self) -> String {
        match self {
            Refusal::NoOffer => "there is no session description".into(),
            Refusal::Unreadable(why) => format!("the session description cannot be read: {why}"),
            Refusal::NothingInCommon => "no media line that both gateways can do".into(),
            Refusal::NoT38 => "T.38 is switched off here".into(),
        }
    }
    /// What the offerer is told.
    pub fn sip_status(&self) -> u16 {
        match self {
            Refusal::Unreadable(_) => 400,
            Refusal::NoOffer | Refusal::NothingInCommon | Refusal::NoT38 => 488,
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
    let codecs = policy.laws.iter().copied().map(codec).collect();
    build::Audio { codecs, telephone_event: Some(TELEPHONE_EVENT_PT), ptime_ms: 20, direction: sdp::Direction::SendRecv }
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

fn local(at: SocketAddr, session_id: u64, version: u64) -> Local {
    Local { address: at.ip(), session_id, version }
}

/// An offer of audio at `rtp`.
pub fn audio_offer(policy: &MediaPolicy, rtp: SocketAddr, session_id: u64, version: u64) -> Session {
    build::offer_audio(&local(rtp, session_id, version), rtp.port(), &our_audio(policy))
}

/// An offer of T.38 at `udptl`; `None` if this gateway does none.
pub fn t38_offer(policy: &MediaPolicy, udptl: SocketAddr, session_id: u64, version: u64) -> Option<Session> {
    let t38 = policy.t38.as_ref()?;
    Some(build::offer_t38(&local(udptl, session_id, version), udptl.port(), &our_t38(t38)))
}

/// What OPTIONS is answered with: everything we can do, on no port.
pub fn capabilities(policy: &MediaPolicy, at: SocketAddr) -> Vec<u8> {
    let mut session = audio_offer(policy, SocketAddr::new(at.ip(), 0), 0, 0);
    if let Some(image) = t38_offer(policy, SocketAddr::new(at.ip(), 0), 0, 0) {
        for line in image.media {
            session.media.push(line).expect("two lines fit");
        }
    }
    session.emit()
}

/// Which line of an offer we take. T.38 wins over audio where both are offered: nobody offers an image line without a page in hand.
fn choose_line(policy: &MediaPolicy, offer: &Session) -> Result<usize, Refusal> {
    let usable = |m: &Media| match policy.t38 {
        Some(_) => m.is_t38() && m.proto == sdp::Proto::Udptl,
        None => false,
    };
    let audio = |m: &Media| m.kind == sdp::Kind::Audio && m.is_open() && m.voice().is_some();
    if let Some(i) = offer.media.iter().position(usable).or_else(|| offer.media.iter().position(audio)) {
        return Ok(i);
    }
    let wants_t38 = offer.media.iter().any(|m| m.is_t38() && m.proto == sdp::Proto::Udptl);
    Err(if wants_t38 { Refusal::NoT38 } else { Refusal::NothingInCommon })
}

/// Whether an offer could be answered, without answering it.
pub fn check_offer(policy: &MediaPolicy, offer: &[u8]) -> Result<(), Refusal> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    answer(policy, offer, nowhere, nowhere, 0, 0).map(|_| ())
}

/// The answer to an offer, and what it means for us.
pub fn answer(
    policy: &MediaPolicy,
    offer: &[u8],
    rtp: SocketAddr,
    udptl: SocketAddr,
    session_id: u64,
    version: u64,
) -> Result<(Session, Choice), Refusal> {
    let offer = Session::parse(offer).map_err(|e| Refusal::Unreadable(e.to_string()))?;
    let chosen = choose_line(policy, &offer)?;
    let (audio, t38) = (our_audio(policy), policy.t38.as_ref().map(our_t38));
    let is_t38 = offer.media[chosen].is_t38();
    let take = match (&t38, is_t38) {
        (Some(t38), true) => LineAnswer::T38(udptl.port(), t38),
        _ => LineAnswer::Audio(rtp.port(), &audio),
    };
    let lines: Vec<LineAnswer<'_>> = (0..offer.media.len()).map(|i| if i == chosen { take } else { LineAnswer::Refuse }).collect();
    let answer = build::answer(&local(rtp, session_id, version), &offer, &lines).map_err(|_| Refusal::NothingInCommon)?;
    let (theirs, ours) = (&offer.media[chosen], &answer.media[chosen]);
    let choice = if is_t38 {
        Choice::T38(t38_choice(policy, theirs, ours)?)
    } else {
        // Payload types are the offerer's in both directions; who sends is what our answer says.
        Choice::Audio(audio_choice(policy, theirs, ours.voice(), ours.telephone_event(), ours.direction)?)
    };
    Ok((answer, choice))
}

/// What the answer to an offer of ours means for us.
pub fn read_answer(policy: &MediaPolicy, answer: &[u8]) -> Result<Choice, Refusal> {
    let answer = Session::parse(answer).map_err(|e| Refusal::Unreadable(e.to_string()))?;
    if let (Some(image), Some(_)) = (answer.t38(), &policy.t38) {
        return t38_choice(policy, image, image).map(Choice::T38);
    }
    let theirs = answer.audio().ok_or(Refusal::NothingInCommon)?;
    // Their direction is seen from there: what they only send, we only receive.
    let direction = theirs.direction.answer(sdp::Direction::SendRecv);
    audio_choice(policy, theirs, theirs.voice(), theirs.telephone_event(), direction).map(Choice::Audio)
}

fn audio_choice(
    policy: &MediaPolicy,
    theirs: &Media,
    voice: Option<&sdp::Payload>,
    telephone_event_pt: Option<u8>,
    direction: sdp::Direction,
) -> Result<AudioChoice, Refusal> {
    let voice = voice.ok_or(Refusal::NothingInCommon)?;
    let law = policy.laws.iter().copied().find(|l| codec(*l) == voice.codec).ok_or(Refusal::NothingInCommon)?;
    let remote_rtp = theirs.destination().ok_or(Refusal::NothingInCommon)?;
    let rtcp_port = theirs.rtcp_port.unwrap_or(remote_rtp.port().saturating_add(1));
    // c=0.0.0.0 is the hold of RFC 2543: there is nowhere to send to.
    let nowhere = remote_rtp.ip().is_unspecified();
    let direction = match (direction.sends() && !nowhere, direction.receives()) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    };
    let remote_rtcp = SocketAddr::new(remote_rtp.ip(), rtcp_port);
    Ok(AudioChoice { law, payload_type: voice.pt, telephone_event_pt, remote_rtp, remote_rtcp, direction })
}

/// `theirs` says what the peer can take, `agreed` what both hold to (the answer, whoever wrote it).
fn t38_choice(policy: &MediaPolicy, theirs: &Media, agreed: &Media) -> Result<T38Choice, Refusal> {
    let ours = policy.t38.as_ref().ok_or(Refusal::NoT38)?;
    let remote = theirs.destination().ok_or(Refusal::NothingInCommon)?;
    let (declared, agreed) = (theirs.t38.clone().unwrap_or_default(), agreed.t38.clone().unwrap_or_default());
    let error_correction = match agreed.udp_ec {
        Some(sdp::UdpEc::NoEc) => ErrorCorrection::None,
        // FEC is never offered nor answered by us; a peer that answers it to an offer of redundancy gets redundancy, which it must read.
        Some(sdp::UdpEc::Redundancy | sdp::UdpEc::Fec) | None => {
            ErrorCorrection::Redundancy { control: ours.redundancy_control, image: ours.redundancy_image }
        }
    };
    let max_datagram = declared.max_datagram_bytes.map_or(usize::from(ours.max_datagram), |n| n as usize);
    Ok(T38Choice {
        remote,
        version: agreed.version,
        max_datagram,
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
        rtcp_mux: false,
        direction: choice.direction,
        ssrc,
        first_sequence,
        first_timestamp,
        cname,
        jitter: jitter::Limits { max_ms: policy.jitter_max_ms.min(500) as u16, ..jitter::Limits::default() },
        watchdog_ms: policy.watchdog_ms,
        pass_through: false,
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
mod tests {
    use super::*;

    fn policy(t38: bool) -> MediaPolicy {
        let t38 = t38.then_some(T38Policy { max_datagram: 400, redundancy_control: 3, redundancy_image: 2, ecm: true });
        MediaPolicy { laws: vec![Law::Mu, Law::A], jitter_max_ms: 200, watchdog_ms: 30_000, t38 }
    }
    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn both_ends_agree_on_what_was_offered() {
        let (ours, theirs) = (policy(true), policy(true));
        let offer = audio_offer(&ours, at(4000), 1, 1).emit();
        let (answer_sdp, there) = answer(&theirs, &offer, at(5000), at(5002), 2, 1).expect("equal policies have audio in common");
        let here = read_answer(&ours, &answer_sdp.emit()).expect("the answer is to our offer");
        let (Choice::Audio(here), Choice::Audio(there)) = (here, there) else { panic!("audio was offered") };
        assert_eq!((here.law, here.payload_type, here.telephone_event_pt), (there.law, there.payload_type, there.telephone_event_pt));
        assert_eq!((here.remote_rtp, there.remote_rtp), (at(5000), at(4000)));
        assert_eq!((here.remote_rtcp, here.direction), (at(5001), Direction::SendRecv));
    }

    #[test]
    fn t38_is_agreed_on_and_refused_where_it_is_off() {
        let offer = t38_offer(&policy(true), at(4002), 1, 2).expect("T.38 is on").emit();
        let (sdp, choice) = answer(&policy(true), &offer, at(5000), at(5002), 2, 2).expect("both do T.38");
        let Choice::T38(choice) = choice else { panic!("an image line was offered") };
        assert_eq!((choice.remote, choice.max_datagram), (at(4002), 400));
        assert!(matches!(read_answer(&policy(true), &sdp.emit()), Ok(Choice::T38(c)) if c.remote == at(5002)));
        assert_eq!(answer(&policy(false), &offer, at(5000), at(5002), 2, 2).map(|_| ()), Err(Refusal::NoT38));
    }

    #[test]
    fn a_law_that_only_one_end_has_is_not_chosen() {
        let only_a = MediaPolicy { laws: vec![Law::A], ..policy(true) };
        let offer = audio_offer(&policy(true), at(4000), 1, 1).emit();
        let Ok((_, Choice::Audio(choice))) = answer(&only_a, &offer, at(5000), at(5002), 2, 1) else { panic!("PCMA is in common") };
        assert_eq!((choice.law, choice.payload_type), (Law::A, 8));
        let only_mu = MediaPolicy { laws: vec![Law::Mu], ..policy(true) };
        let offer = audio_offer(&only_mu, at(4000), 1, 1).emit();
        assert_eq!(answer(&only_a, &offer, at(5000), at(5002), 2, 1).map(|_| ()), Err(Refusal::NothingInCommon));
    }

    #[test]
    fn hold_is_seen_from_our_side() {
        let sdp = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=sendonly\r\n";
        let Ok((answer_sdp, Choice::Audio(choice))) = answer(&policy(true), sdp, at(5000), at(5002), 2, 1) else { panic!("audio") };
        assert_eq!(choice.direction, Direction::RecvOnly);
        assert!(String::from_utf8_lossy(&answer_sdp.emit()).contains("a=recvonly"));
    }

    #[test]
    fn nonsense_is_unreadable() {
        assert!(matches!(check_offer(&policy(true), b"hello"), Err(Refusal::Unreadable(_))));
    }
}
