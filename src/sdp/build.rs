//! Offers and answers of ours (RFC 3264 s.5, 6 and 8). Ports and codecs are the caller's choice; the form is made here.

use super::{Capabilities, Codec, Direction, Kind, Media, Origin, Payload, Proto, Security, Session, T38};
use core::net::IpAddr;

/// Our side of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Where we take media.
    pub address: IpAddr,
    /// The session id: one number for the life of the dialog.
    pub session_id: u64,
    /// One more with each description that differs from the last: a [`super::Negotiation`] counts it, whatever stands here.
    pub version: u64,
}

/// How a line is carried, and the keys that stand on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carriage {
    /// The proto of the line.
    pub proto: Proto,
    /// `crypto`, `fingerprint`, `setup`, `tls-id`. On a line whose proto does not ask for keys they are an offer to use them all the same
    /// (opportunistic SRTP, RFC 8643).
    pub security: Security,
}

impl Carriage {
    /// In the clear, by this proto.
    pub fn clear(proto: Proto) -> Carriage {
        Carriage { proto, security: Security::default() }
    }
}

/// Audio we can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audio {
    /// How it is carried.
    pub carriage: Carriage,
    /// Codecs, the best first.
    pub codecs: Vec<Codec>,
    /// The payload type that we offer telephone events on, if we do.
    pub telephone_event: Option<u8>,
    /// Packet time in ms.
    pub ptime_ms: u16,
    /// What we want to do.
    pub direction: Direction,
    /// RTCP may share the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// The codecs also carry modem and fax tones untouched once they are heard (V.152).
    pub vbd: bool,
}

impl Default for Audio {
    /// Both G.711 laws with telephone events, 20 ms.
    fn default() -> Self {
        Audio {
            carriage: Carriage::clear(Proto::RtpAvp),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: Some(101),
            ptime_ms: 20,
            direction: Direction::SendRecv,
            rtcp_mux: false,
            vbd: false,
        }
    }
}

fn session(local: &Local) -> Session {
    Session {
        origin: Origin {
            username: "-".into(),
            session_id: local.session_id.to_string(),
            version: local.version,
            address: local.address.to_string(),
        },
        name: "-".into(),
        attributes: Vec::new(),
        security: Security::default(),
        capabilities: Capabilities::default(),
        media: heapless::Vec::new(),
    }
}

fn with_media(mut session: Session, media: Media) -> Session {
    session.media.push(media).expect("a new session has room for its first line");
    session
}

fn audio_line(local: &Local, port: u16, audio: &Audio) -> Media {
    let mut media = Media::new(Kind::Audio, audio.carriage.proto.clone(), port, Some(local.address));
    media.security = audio.carriage.security.clone();
    let mut dynamic = 96..;
    for codec in &audio.codecs {
        let pt = match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::ComfortNoise => 13,
            Codec::TelephoneEvent | Codec::RtpT38 | Codec::Other(_) => dynamic.find(|pt| audio.telephone_event != Some(*pt)).unwrap_or(127),
        };
        media.payloads.push(Payload { gpmd: gpmd(audio, codec), ..Payload::new(pt, codec.clone()) });
    }
    media.payloads.extend(audio.telephone_event.map(Payload::telephone_event));
    media.ptime_ms = Some(audio.ptime_ms);
    media.direction = audio.direction;
    media.rtcp_mux = audio.rtcp_mux;
    media
}

/// Only a codec that leaves the waveform alone can carry a modem (V.152 s.6).
fn gpmd(audio: &Audio, codec: &Codec) -> Option<String> {
    (audio.vbd && matches!(codec, Codec::Pcmu | Codec::Pcma)).then(|| "vbd=yes".into())
}

fn t38_line(local: &Local, port: u16, t38: &T38, carriage: &Carriage) -> Media {
    let mut media = Media::new(Kind::Image, carriage.proto.clone(), port, Some(local.address));
    media.security = carriage.security.clone();
    media.formats.push("t38".into());
    media.t38 = Some(t38.clone());
    media
}

/// An offer of one audio line.
pub fn offer_audio(local: &Local, port: u16, audio: &Audio) -> Session {
    with_media(session(local), audio_line(local, port, audio))
}

/// T.38 as an RTP payload (RFC 4612): an audio line whose payload is fax, its attributes in the fmtp (s.3.1).
fn rtp_t38_line(local: &Local, port: u16, pt: u8, t38: &T38, carriage: &Carriage) -> Media {
    let mut media = Media::new(Kind::Audio, carriage.proto.clone(), port, Some(local.address));
    media.security = carriage.security.clone();
    media.payloads.push(Payload { fmtp: Some(t38.fmtp()), ..Payload::new(pt, Codec::RtpT38) });
    // Copies of earlier packets (RFC 2198): the packet and two before it.
    let red = Payload::new(pt + 1, Codec::Other(super::payload::RED.into()));
    media.payloads.push(Payload { fmtp: Some(format!("{pt}/{pt}/{pt}")), ..red });
    media.rtcp_mux = true;
    media
}

/// An offer of one T.38 line.
pub fn offer_t38(local: &Local, port: u16, t38: &T38) -> Session {
    offer_t38_by(local, port, t38, &Carriage::clear(Proto::Udptl))
}

/// The same, carried so.
pub fn offer_t38_by(local: &Local, port: u16, t38: &T38, carriage: &Carriage) -> Session {
    with_media(session(local), t38_line(local, port, t38, carriage))
}

/// An offer of T.38 in RTP.
pub fn offer_rtp_t38(local: &Local, port: u16, pt: u8, t38: &T38, carriage: &Carriage) -> Session {
    with_media(session(local), rtp_t38_line(local, port, pt, t38, carriage))
}

/// The offer with a T.38 line behind its others: audio and fax said at once (T.38 Annex D.2.3), the peer takes what it can.
/// The offer comes back as it was if it has no room.
pub fn with_t38(mut offer: Session, local: &Local, port: u16, t38: &T38) -> Session {
    // A full session keeps its lines: the early word about T.38 is a courtesy, the re-INVITE comes anyway.
    let _ = offer.media.push(t38_line(local, port, t38, &Carriage::clear(Proto::Udptl)));
    offer
}

/// What to do with one offered line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineAnswer<'a> {
    /// Port 0.
    Refuse,
    /// Take it as audio on this port.
    Audio(u16, &'a Audio),
    /// Take it as T.38 on this port.
    T38(u16, &'a T38),
    /// Take it as T.38, carried so: in UDPTL, or as an RTP payload where the line is audio.
    T38By(u16, &'a T38, &'a Carriage),
}

/// No line of the offer can be taken: 488 Not Acceptable Here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NothingInCommon;

impl core::fmt::Display for NothingInCommon {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the offer has nothing that we can do")
    }
}
impl std::error::Error for NothingInCommon {}

/// The answer to `offer`, line by line. A line without a [`LineAnswer`], or that cannot be what it is to be (no common codec, another
/// kind or proto), is refused. `Err` when nothing is left open: then the offer is refused as a whole (488).
pub fn answer(local: &Local, offer: &Session, lines: &[LineAnswer<'_>]) -> Result<Session, NothingInCommon> {
    let mut answer = session(local);
    for (i, offered) in offer.media.iter().enumerate() {
        let line = match lines.get(i).copied().unwrap_or(LineAnswer::Refuse) {
            LineAnswer::Refuse => None,
            LineAnswer::Audio(port, audio) => answer_audio(local, offered, port, audio),
            LineAnswer::T38(port, t38) => answer_t38(local, offered, port, t38, &Carriage::clear(Proto::Udptl)),
            LineAnswer::T38By(port, t38, by) if offered.kind == Kind::Audio => answer_rtp_t38(local, offered, port, t38, by),
            LineAnswer::T38By(port, t38, by) => answer_t38(local, offered, port, t38, by),
        };
        let line = line.unwrap_or_else(|| Media { address: Some(local.address), ..refused(offered) });
        answer.media.push(line).expect("as many lines as the offer, which is bounded alike");
    }
    if answer.media.iter().any(Media::is_open) { Ok(answer) } else { Err(NothingInCommon) }
}

/// The line closed: port 0, in its place.
pub(super) fn refused(offered: &Media) -> Media {
    let mut media = Media::new(offered.kind.clone(), offered.proto.clone(), 0, offered.address);
    // A refused line still needs a format (RFC 3264 s.6).
    media.payloads = offered.payloads.iter().take(1).map(|p| Payload::new(p.pt, p.codec.clone())).collect();
    media.formats = offered.formats.iter().take(1).cloned().collect();
    media
}

/// The offerer's first codec that is ours too, on its payload type, and its telephone events.
fn answer_audio(local: &Local, offered: &Media, port: u16, audio: &Audio) -> Option<Media> {
    // With feedback or without (AVPF, RFC 4585): the answer has the offer's word, and none is asked for.
    let same = offered.proto == audio.carriage.proto || offered.proto == Proto::RtpAvpf && audio.carriage.proto == Proto::RtpAvp;
    if offered.kind != Kind::Audio || !offered.is_open() || !same {
        return None;
    }
    let codec = offered.payloads.iter().find(|p| audio.codecs.contains(&p.codec))?;
    let mut media = Media::new(Kind::Audio, offered.proto.clone(), port, Some(local.address));
    media.security = audio.carriage.security.clone();
    // V.152 s.7: voice-band data only where the offer has it too.
    let vbd = gpmd(audio, &codec.codec).filter(|_| codec.is_vbd());
    media.payloads.push(Payload { gpmd: vbd, ..Payload::new(codec.pt, codec.codec.clone()) });
    media.rtcp_mux = audio.rtcp_mux && offered.rtcp_mux;
    if let (Some(_), Some(pt)) = (audio.telephone_event, offered.telephone_event()) {
        media.payloads.push(Payload::telephone_event(pt));
    }
    media.ptime_ms = Some(offered.maxptime_ms.map_or(audio.ptime_ms, |most| audio.ptime_ms.min(most)));
    // Hold by c=0.0.0.0 (RFC 2543) wants nothing from us.
    let wanted = if offered.address.is_some_and(|a| a.is_unspecified()) { Direction::Inactive } else { offered.direction };
    media.direction = wanted.answer(audio.direction);
    Some(media)
}

fn answer_t38(local: &Local, offered: &Media, port: u16, ours: &T38, carriage: &Carriage) -> Option<Media> {
    if !offered.is_t38() || offered.proto != carriage.proto {
        return None;
    }
    let agreed = offered.t38.clone().unwrap_or_default().answer(ours)?;
    Some(t38_line(local, port, &agreed, carriage))
}

fn answer_rtp_t38(local: &Local, offered: &Media, port: u16, ours: &T38, carriage: &Carriage) -> Option<Media> {
    let payload = offered.payloads.iter().find(|p| p.codec == Codec::RtpT38).filter(|_| offered.is_open())?;
    if offered.proto != carriage.proto {
        return None;
    }
    let agreed = T38::of_fmtp(payload.fmtp.as_deref().unwrap_or_default()).answer(ours)?;
    let mut media = rtp_t38_line(local, port, payload.pt, &agreed, carriage);
    match (offered.redundancy(), media.payloads.pop()) {
        (Some(pt), Some(red)) => media.payloads.push(Payload { pt, ..red }),
        (None, _) | (Some(_), None) => {}
    }
    media.rtcp_mux = offered.rtcp_mux;
    Some(media)
}
