//! The first pass over a capture: which flows there are, what they carry, and who called.
//!
//! Told in this order: SDP (who wrote it owns the address in it; the sender of the first INVITE called), then what is heard (a fax machine that
//! calls sends CNG, one that answers sends CED; T.30 frames carry an X bit that the caller sets), then who sent first.
//! Of streams that overlap in time on one side, the one with the most packets is taken: a capture at a border controller has each call twice.

use super::limits::{FLOWS_MAX, MEDIA_MAX, SURVEY_PACKETS_MAX};
use super::pcap::{Datagram, Transport};
use super::{Warnings, srtp};
use crate::decode::Direction;
use crate::fax::t38::ifp::{self, DataType, Indicator, Packet, Syntax};
use crate::fax::t38::udptl;
use crate::media::rtp;
use crate::media::telephone_event::Payload as EventPayload;
use crate::sdp::{Codec, Crypto, Session};
use crate::sip::message::{Message, Method, StartLine};
use core::net::SocketAddr;
use std::collections::BTreeMap;
use tipring_dsp::g711::Law;

/// What the user knows and the file does not say.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Keys by SSRC.
    pub srtp_keys: BTreeMap<u32, srtp::Key>,
    /// The law of payload types that no SDP explains.
    pub law: Option<Law>,
}

/// A stream's name: where it came from, where it went, and its SSRC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamKey {
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// RTP synchronisation source.
    pub ssrc: u32,
}

/// What a payload type of a stream carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// G.711.
    Audio(Law),
    /// RFC 4733 events.
    Event,
    /// Comfort noise, or a codec we do not read: time passes.
    Silent,
}

/// A stream to be played in the second pass.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// Which.
    pub key: StreamKey,
    /// Whose it is.
    pub direction: Direction,
    /// On which channel it is heard.
    pub channel: usize,
    /// What its payload types carry.
    pub uses: BTreeMap<u8, Use>,
    /// It is SRTP, with this key.
    pub srtp: Option<srtp::Key>,
}

/// A T.38 flow to be read in the second pass.
#[derive(Clone, Copy, Debug)]
pub struct T38Plan {
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// Whose it is.
    pub direction: Direction,
    /// Its ASN.1.
    pub syntax: Syntax,
}

/// What the second pass does.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Streams, the main one of each side first.
    pub streams: Vec<StreamPlan>,
    /// T.38 flows.
    pub t38: Vec<T38Plan>,
    /// Dialogs' callers: digits of an INFO belong to a side.
    pub callers: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Channels of the decoder, 1 or 2.
    pub channels: usize,
    /// For one channel: who is on it.
    pub direction: Direction,
    /// Time of the first packet, ns.
    pub start_ns: u64,
    /// From the first packet to the last, s.
    pub seconds: f64,
    /// What was odd.
    pub warnings: Vec<String>,
}

/// An address that an SDP gave.
#[derive(Clone, Debug)]
struct Media {
    owner: Direction,
    uses: Vec<(u8, Codec)>,
    /// T.38 version, if it is UDPTL.
    t38: Option<u8>,
    secure: bool,
    /// SDES key that the owner sends with.
    key: Option<srtp::Key>,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    packets: u32,
    in_order: u32,
    last: u16,
    first_ns: u64,
    last_ns: u64,
    /// Packets and payload bytes of each type.
    types: BTreeMap<u8, (u32, u64)>,
    events: BTreeMap<u8, u32>,
    cng: ToneRun,
    ced: ToneRun,
}

#[derive(Clone, Copy, Debug, Default)]
struct Image {
    packets: u32,
    parsed: [u32; 2],
    refused: u32,
    first_ns: u64,
    last_ns: u64,
    caller_signs: u32,
    answerer_signs: u32,
    /// Octets of the V.21 frame at hand, and the first three of them.
    octets: usize,
    head: [u8; 3],
}

/// Listens to a capture for the first time.
#[derive(Debug, Default)]
pub struct Survey {
    known: Known,
    first_ns: Option<u64>,
    last_ns: u64,
    media: BTreeMap<SocketAddr, Media>,
    callers: BTreeMap<Vec<u8>, Vec<u8>>,
    streams: BTreeMap<StreamKey, Stream>,
    images: BTreeMap<(SocketAddr, SocketAddr), Image>,
    warnings: Warnings,
}

impl Survey {
    /// A survey that has seen nothing.
    pub fn new(known: Known) -> Survey {
        Survey { known, ..Survey::default() }
    }

    /// Takes a datagram.
    pub fn datagram(&mut self, d: &Datagram<'_>) {
        self.first_ns = Some(self.first_ns.map_or(d.at_ns, |f| f.min(d.at_ns)));
        self.last_ns = self.last_ns.max(d.at_ns);
        if looks_like_sip(d.payload) {
            return self.sip(d.payload);
        }
        if d.transport == Transport::Udp {
            self.rtp(d);
            self.t38(d);
        }
    }

    fn sip(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        let (Ok(call_id), Ok(from)) = (message.call_id(), message.from()) else { return };
        let from_tag = from.tag().unwrap_or_default().to_vec();
        let to_tagged = message.to().is_ok_and(|to| to.tag().is_some());
        if message.method() == Some(&Method::Invite) && !to_tagged && self.callers.len() < FLOWS_MAX {
            self.callers.entry(call_id.to_vec()).or_insert(from_tag);
        }
        let sender = sender_of(&message, &self.callers);
        if let Some(session) = message.sdp().and_then(|b| Session::parse(b).ok()) {
            self.sdp(sender, &session);
        }
    }

    fn sdp(&mut self, owner: Direction, session: &Session) {
        for m in session.media.iter().filter(|m| m.is_open()) {
            let Some(address) = m.destination() else { continue };
            if self.media.len() == MEDIA_MAX && !self.media.contains_key(&address) {
                return self.warnings.say(format!("more than {MEDIA_MAX} media addresses in the capture; the rest is told by its packets"));
            }
            let key = session.crypto_of(m).find_map(sdes_key);
            let secure = m.proto.as_str().contains("SAVP");
            let uses = m.payloads.iter().map(|p| (p.pt, p.codec.clone())).collect();
            let t38 = m.is_t38().then(|| m.t38.as_ref().map_or(0, |t| t.version));
            let media = Media { owner, uses, t38, secure, key };
            // The same port may carry audio first and T.38 after a re-INVITE: what the audio was stays known.
            match self.media.get_mut(&address) {
                Some(old) if t38.is_some() => old.t38 = t38,
                Some(old) => *old = Media { t38: old.t38, ..media },
                None => {
                    self.media.insert(address, media);
                }
            }
        }
    }

    fn rtp(&mut self, d: &Datagram<'_>) {
        if rtp::looks_like_rtcp(d.payload) {
            return;
        }
        let Ok(packet) = rtp::Packet::parse(d.payload) else { return };
        let key = StreamKey { source: d.source, destination: d.destination, ssrc: packet.ssrc };
        if !self.streams.contains_key(&key) && self.streams.len() == FLOWS_MAX {
            // Noise that looks like RTP makes one-packet streams: they give way.
            let one_off = self.streams.iter().find(|(_, s)| s.packets == 1).map(|(k, _)| *k);
            match one_off {
                Some(k) => self.streams.remove(&k),
                None => return self.warnings.say(format!("more than {FLOWS_MAX} RTP streams in the capture; the rest is not read")),
            };
        }
        let law = self.known.law;
        let secure = self.known.srtp_keys.contains_key(&packet.ssrc) || self.of_stream(&key).is_some_and(|m| m.secure);
        let s = self.streams.entry(key).or_insert_with(|| Stream { first_ns: d.at_ns, ..Stream::default() });
        s.in_order += u32::from(s.packets > 0 && (1..=8).contains(&packet.sequence.wrapping_sub(s.last)));
        s.packets = s.packets.saturating_add(1);
        s.last = packet.sequence;
        s.last_ns = d.at_ns;
        let of_type = s.types.entry(packet.payload_type).or_default();
        *of_type = (of_type.0 + 1, of_type.1 + packet.payload.len() as u64);
        if packet.payload_type >= 96 && packet.payload.len() == 4 && EventPayload::parse(packet.payload).is_some_and(|e| e.event <= 16) {
            *s.events.entry(packet.payload_type).or_default() += 1;
        }
        let heard = match packet.payload_type {
            0 => Some(Law::Mu),
            8 => Some(Law::A),
            _ => law,
        };
        if let (Some(law), false) = (heard, secure) {
            s.cng.rx(1100.0, law, packet.payload);
            s.ced.rx(2100.0, law, packet.payload);
        }
    }

    fn t38(&mut self, d: &Datagram<'_>) {
        let key = (d.source, d.destination);
        let parsed =
            udptl::parse(d.payload).ok().map(|u| [Syntax::Asn1998, Syntax::Asn2002].map(|syntax| ifp::parse(u.primary, syntax).ok()));
        let good = parsed.as_ref().is_some_and(|p| p.iter().any(Option::is_some));
        let Some(image) = self.images.get_mut(&key) else {
            if good && self.images.len() < FLOWS_MAX {
                let image = Image { first_ns: d.at_ns, last_ns: d.at_ns, ..Image::default() };
                self.images.insert(key, image);
                return self.t38_packet(key, d.at_ns, parsed);
            }
            return;
        };
        if good {
            return self.t38_packet(key, d.at_ns, parsed);
        }
        // Datagrams that are RTP of the same ports, before the call switched to T.38, say nothing against it.
        if d.payload.first().is_none_or(|b| b & 0xC0 != 0x80) {
            image.refused += 1;
        }
    }

    fn t38_packet(&mut self, key: (SocketAddr, SocketAddr), at_ns: u64, parsed: Option<[Option<Packet>; 2]>) {
        let (Some(image), Some(parsed)) = (self.images.get_mut(&key), parsed) else { return };
        image.packets += 1;
        image.last_ns = at_ns;
        for (count, packet) in image.parsed.iter_mut().zip(&parsed) {
            *count += u32::from(packet.is_some());
        }
        if image.packets < SURVEY_PACKETS_MAX
            && let Some(packet) = parsed.into_iter().flatten().next()
        {
            image.sign(&packet);
        }
    }

    /// The SDP that a stream belongs to: the one of its destination, which says what the sender may send, else that of its source.
    fn of_stream(&self, key: &StreamKey) -> Option<&Media> {
        self.media.get(&key.destination).or_else(|| self.media.get(&key.source))
    }

    /// What to do in the second pass.
    pub fn finish(mut self) -> Plan {
        let start_ns = self.first_ns.unwrap_or(0);
        let t38 = self.plan_t38();
        let streams = self.plan_streams(!t38.is_empty());
        let channels = if streams.iter().any(|s| s.channel == 1) { 2 } else { 1 };
        let direction = if channels == 1 { streams.first().map_or(Direction::Unknown, |s| s.direction) } else { Direction::Unknown };
        let seconds = self.last_ns.saturating_sub(start_ns) as f64 * 1e-9;
        Plan { streams, t38, callers: self.callers, channels, direction, start_ns, seconds, warnings: self.warnings.take() }
    }

    fn plan_t38(&mut self) -> Vec<T38Plan> {
        let mut found: Vec<((SocketAddr, SocketAddr), Image)> = core::mem::take(&mut self.images)
            .into_iter()
            .filter(|(key, i)| {
                let by_sdp = [key.0, key.1].iter().any(|a| self.media.get(a).is_some_and(|m| m.t38.is_some()));
                by_sdp && i.packets > 0 || i.packets >= 4 && i.packets > 4 * i.refused
            })
            .collect();
        found.sort_by_key(|(key, i)| (core::cmp::Reverse(i.packets), *key));
        let mut plans: Vec<(T38Plan, Image)> = Vec::new();
        for (key, image) in found {
            let by_sdp = owner_of(&self.media, key.0, key.1);
            let by_signs = match image.caller_signs.cmp(&image.answerer_signs) {
                core::cmp::Ordering::Greater => Direction::Caller,
                core::cmp::Ordering::Less => Direction::Answerer,
                core::cmp::Ordering::Equal => Direction::Unknown,
            };
            let partner = plans.iter().find(|(p, _)| p.source.ip() == key.1.ip() && p.destination.ip() == key.0.ip() && p.source != key.0);
            let by_partner = partner.map_or(Direction::Unknown, |(p, _)| p.direction.other());
            let direction = [by_sdp, by_signs, by_partner].into_iter().find(|d| *d != Direction::Unknown).unwrap_or_default();
            let times = (image.first_ns, image.last_ns);
            let overlap = plans
                .iter()
                .find(|(p, i)| p.direction == direction && direction != Direction::Unknown && overlap((i.first_ns, i.last_ns), times));
            if let Some((p, _)) = overlap {
                self.warnings.say(format!(
                    "the T.38 flow {} -> {} overlaps {} -> {} and is not read (the same call twice, or two calls at a time)",
                    key.0, key.1, p.source, p.destination
                ));
                continue;
            }
            let version = self.media.get(&key.1).or_else(|| self.media.get(&key.0)).and_then(|m| m.t38);
            let syntax = match (image.parsed[0].cmp(&image.parsed[1]), version) {
                (core::cmp::Ordering::Less, _) | (core::cmp::Ordering::Equal, Some(1..)) => Syntax::Asn2002,
                (core::cmp::Ordering::Greater | core::cmp::Ordering::Equal, _) => Syntax::Asn1998,
            };
            plans.push((T38Plan { source: key.0, destination: key.1, direction, syntax }, image));
        }
        plans.into_iter().map(|(p, _)| p).collect()
    }

    fn plan_streams(&mut self, has_t38: bool) -> Vec<StreamPlan> {
        let streams = core::mem::take(&mut self.streams);
        let mut found: Vec<(StreamKey, Stream)> = streams
            .into_iter()
            .filter(|(key, s)| {
                let told = self.of_stream(key).is_some() || self.known.srtp_keys.contains_key(&key.ssrc);
                2 * s.in_order >= s.packets && s.in_order >= if told { 1 } else { 3 }
            })
            .collect();
        found.sort_by_key(|(key, s)| (core::cmp::Reverse(s.packets), *key));
        let mut chosen: Vec<(StreamPlan, Stream)> = Vec::new();
        for (key, stream) in found {
            let Some((uses, srtp)) = self.uses(&key, &stream) else { continue };
            let direction = self.stream_direction(&key, &stream, &chosen);
            chosen.push((StreamPlan { key, direction, channel: 0, uses, srtp }, stream));
        }
        if chosen.is_empty() && !has_t38 {
            self.warnings.say("no RTP of G.711 and no T.38 was found in the capture");
        }
        self.settle_directions(&mut chosen);
        let both = [Direction::Caller, Direction::Answerer].iter().all(|d| chosen.iter().any(|(p, _)| p.direction == *d));
        let mut kept: Vec<(StreamPlan, Stream)> = Vec::new();
        for (mut plan, stream) in chosen {
            plan.channel = usize::from(both && plan.direction == Direction::Answerer);
            let times = (stream.first_ns, stream.last_ns);
            let overlap = kept.iter().find(|(p, s)| p.channel == plan.channel && overlap((s.first_ns, s.last_ns), times));
            match overlap {
                Some((p, _)) => self.warnings.say(format!(
                    "stream {:08x} {} -> {} overlaps stream {:08x} of the same side and is not read (the same call twice, or two calls at a time)",
                    plan.key.ssrc, plan.key.source, plan.key.destination, p.key.ssrc
                )),
                None => kept.push((plan, stream)),
            }
        }
        kept.into_iter().map(|(p, _)| p).collect()
    }

    /// What the payload types of a stream carry; `None` if nothing of it can be read.
    fn uses(&mut self, key: &StreamKey, stream: &Stream) -> Option<(BTreeMap<u8, Use>, Option<srtp::Key>)> {
        let media = self.of_stream(key);
        let (secure, sdes) = (media.is_some_and(|m| m.secure), self.media.get(&key.source).and_then(|m| m.key.clone()));
        let told: Vec<(u8, Codec)> = media.map(|m| m.uses.clone()).unwrap_or_default();
        let srtp = self.known.srtp_keys.get(&key.ssrc).cloned().or(sdes.filter(|_| secure));
        if secure && srtp.is_none() {
            self.warnings.say(format!("stream {:08x} is SRTP and no key is known: --srtp-key {:08x}=BASE64", key.ssrc, key.ssrc));
            return None;
        }
        if srtp.is_none() && stream.types.values().all(|(packets, bytes)| looks_encrypted(*packets, *bytes)) {
            self.warnings.say(format!(
                "stream {:08x} looks like SRTP (its packets have room for a tag); if it is, what was heard on it is noise: --srtp-key {:08x}=BASE64",
                key.ssrc, key.ssrc
            ));
        }
        let mut uses = BTreeMap::new();
        for (pt, (packets, bytes)) in &stream.types {
            let by_sdp = told.iter().find(|(p, _)| p == pt).map(|(_, codec)| codec.clone());
            let codec = by_sdp.unwrap_or_else(|| Codec::of_static(*pt));
            let mean = bytes / u64::from(*packets).max(1);
            let is_event = stream.events.get(pt).is_some_and(|n| 2 * n > *packets) || srtp.is_some() && *pt >= 96 && mean <= 4 + 16;
            let used = match codec {
                Codec::Pcmu => Use::Audio(Law::Mu),
                Codec::Pcma => Use::Audio(Law::A),
                Codec::TelephoneEvent => Use::Event,
                Codec::ComfortNoise | Codec::RtpT38 => Use::Silent,
                Codec::Other(_) if is_event => Use::Event,
                Codec::Other(name) => match self.known.law {
                    Some(law) => Use::Audio(law),
                    None => {
                        let name = if name.is_empty() { format!("payload type {pt}") } else { name };
                        self.warnings.say(format!(
                            "stream {:08x} carries {name} ({packets} packets), which is not G.711; --law u|a if it is",
                            key.ssrc
                        ));
                        Use::Silent
                    }
                },
            };
            uses.insert(*pt, used);
        }
        uses.values().any(|u| *u != Use::Silent).then_some((uses, srtp))
    }

    fn stream_direction(&self, key: &StreamKey, stream: &Stream, chosen: &[(StreamPlan, Stream)]) -> Direction {
        let by_sdp = owner_of(&self.media, key.source, key.destination);
        let by_tone = match (stream.cng.heard, stream.ced.heard) {
            (true, false) => Direction::Caller,
            (false, true) => Direction::Answerer,
            (true, true) | (false, false) => Direction::Unknown,
        };
        let same = chosen.iter().find(|(p, _)| p.key.source == key.source && p.key.destination == key.destination);
        let by_same = same.map_or(Direction::Unknown, |(p, _)| p.direction);
        [by_sdp, by_tone, by_same].into_iter().find(|d| *d != Direction::Unknown).unwrap_or_default()
    }

    /// The partner of a caller is an answerer; where nothing tells, the first to send is taken for the caller.
    fn settle_directions(&mut self, chosen: &mut [(StreamPlan, Stream)]) {
        for i in 0..chosen.len() {
            if chosen[i].0.direction != Direction::Unknown {
                continue;
            }
            let key = chosen[i].0.key;
            let partner = (0..chosen.len()).filter(|j| *j != i).find(|j| are_partners(&chosen[*j].0.key, &key));
            // In some captures only addresses of one side are seen twice; with two streams in all, they are partners.
            let alone = chosen.len() == 2 && chosen[0].0.key.source != chosen[1].0.key.source;
            let partner = partner.or(alone.then_some(1 - i));
            let Some(j) = partner else { continue };
            if chosen[j].0.direction == Direction::Unknown {
                let first = if chosen[i].1.first_ns <= chosen[j].1.first_ns { i } else { j };
                chosen[first].0.direction = Direction::Caller;
                self.warnings.say("nothing in the capture says who called; the side that sent first is taken for the caller");
            }
            if chosen[i].0.direction == Direction::Unknown {
                chosen[i].0.direction = chosen[j].0.direction.other();
            }
        }
    }
}

/// Packets of 5 ms or a multiple, and each with the 10 or 4 bytes of an SRTP tag (RFC 3711 clause 4.2) behind them.
fn looks_encrypted(packets: u32, bytes: u64) -> bool {
    let packets = u64::from(packets);
    packets >= 10 && bytes.is_multiple_of(packets) && bytes / packets > 40 && matches!(bytes / packets % 40, 4 | 10)
}

/// Two flows sound at the same time, for more than a hand-over from one to the next takes.
fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    let common = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    let shorter = (a.1.saturating_sub(a.0)).min(b.1.saturating_sub(b.0));
    common > 1_000_000_000 || common > shorter / 2
}

fn are_partners(a: &StreamKey, b: &StreamKey) -> bool {
    let turned = a.source.ip() == b.destination.ip() && a.destination.ip() == b.source.ip();
    turned && (a.source.ip() != a.destination.ip() || a.source.port() == b.destination.port() || a.destination.port() == b.source.port())
}

/// Who sends from `source` to `destination`, by the SDP that named either.
fn owner_of(media: &BTreeMap<SocketAddr, Media>, source: SocketAddr, destination: SocketAddr) -> Direction {
    match (media.get(&source), media.get(&destination)) {
        (Some(m), _) => m.owner,
        (None, Some(m)) => m.owner.other(),
        (None, None) => Direction::Unknown,
    }
}

/// Which side of its call a message came from.
pub fn sender_of(message: &Message, callers: &BTreeMap<Vec<u8>, Vec<u8>>) -> Direction {
    let (Ok(call_id), Ok(from)) = (message.call_id(), message.from()) else { return Direction::Unknown };
    let Some(caller) = callers.get(call_id) else { return Direction::Unknown };
    let by_caller = from.tag().unwrap_or_default() == caller.as_slice();
    match (&message.start, by_caller) {
        (StartLine::Request { .. }, true) | (StartLine::Response { .. }, false) => Direction::Caller,
        (StartLine::Request { .. }, false) | (StartLine::Response { .. }, true) => Direction::Answerer,
    }
}

/// True for what begins like a SIP request or response.
pub fn looks_like_sip(payload: &[u8]) -> bool {
    let Some(line) = payload.get(..payload.len().min(4096)).and_then(|b| b.split(|c| *c == b'\n').next()) else { return false };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0") && line.first().is_some_and(u8::is_ascii_uppercase)
}

/// The key of `crypto:1 AES_CM_128_HMAC_SHA1_80 inline:BASE64|...`.
fn sdes_key(crypto: &Crypto) -> Option<srtp::Key> {
    srtp::Key::of_suite(&crypto.suite, crypto.keys.strip_prefix("inline:")?.split(['|', ';']).next()?)
}

impl Image {
    /// Who speaks, by a packet.
    fn sign(&mut self, packet: &Packet) {
        match packet {
            Packet::Indicator(i) => {
                self.octets = 0;
                match i {
                    Indicator::Cng => self.caller_signs += 10,
                    Indicator::Ced => self.answerer_signs += 10,
                    _ => {}
                }
            }
            Packet::Data(data) if data.modem() == DataType::V21 => {
                for field in data.fields() {
                    for octet in field.data {
                        if let Some(h) = self.head.get_mut(self.octets) {
                            *h = *octet;
                        }
                        self.octets += 1;
                    }
                    if field.kind.fcs().is_some() {
                        // T.30 clause 5.3.6.1: X is 1 in frames of the station that received a DIS.
                        if let (true, [0xFF, 0xC0 | 0xC8, fcf]) = (field.kind.fcs() == Some(true) && self.octets >= 3, self.head) {
                            if fcf & 0x80 == 0 { self.answerer_signs += 1 } else { self.caller_signs += 1 }
                        }
                        self.octets = 0;
                    }
                }
            }
            Packet::Data(_) => {}
        }
    }
}

/// Whether a tone fills packets for long enough to be one of a fax machine.
#[derive(Clone, Copy, Debug, Default)]
struct ToneRun {
    samples: usize,
    heard: bool,
}

/// Shortest tone that counts: CNG is 0.5 s, CED 2.6 s; no voice holds a tone that long.
const TONE_SAMPLES: usize = 2800;

impl ToneRun {
    fn rx(&mut self, hz: f32, law: Law, octets: &[u8]) {
        if self.heard || octets.len() < 40 {
            return;
        }
        let w = core::f32::consts::TAU * hz / 8000.0;
        let (coefficient, mut s1, mut s2, mut power) = (2.0 * w.cos(), 0.0f32, 0.0f32, 0.0f32);
        for o in octets {
            let x = f32::from(law.decode(*o));
            power += x * x;
            let s0 = x + coefficient * s1 - s2;
            (s2, s1) = (s1, s0);
        }
        let n = octets.len() as f32;
        let tone = (s1 * s1 + s2 * s2 - coefficient * s1 * s2) * 2.0 / n;
        // At least -45 dBm0, and nearly all of it the tone.
        let pure = power / n > 90.0 * 90.0 && tone > 0.8 * power;
        self.samples = if pure { self.samples + octets.len() } else { 0 };
        self.heard = self.samples >= TONE_SAMPLES;
    }
}
