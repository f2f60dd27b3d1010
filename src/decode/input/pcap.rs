//! Captures: pcap and pcapng, fed in pieces of any size, down to UDP datagrams (and TCP segments, for SIP).
//!
//! Read draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng for the files; link types are at tcpdump.org/linktypes.html. A file that is broken in
//! the middle gives the packets before that, and a warning; nothing is searched for behind a length that cannot be.

use super::fragments::{Fragments, Name, Piece};
use super::limits::{BLOCK_BYTES_MAX, INTERFACES_MAX, PACKET_BYTES_MAX};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which transport carried it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// A TCP segment: good for SIP messages that fit one.
    Tcp,
}

/// One datagram of a capture.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Datagram<'a> {
    /// When it was captured, ns since the epoch of the capture (1970 as a rule).
    pub at_ns: u64,
    /// UDP or TCP.
    pub transport: Transport,
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// What it carried, as far as it was captured.
    pub payload: &'a [u8],
}

/// Why a file is unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PcapError {
    /// It does not begin as a capture.
    NotPcap,
}

impl fmt::Display for PcapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no pcap or pcapng file")
    }
}
impl std::error::Error for PcapError {}

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET_OLD: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;

/// True for the first four bytes of a pcap (either byte order, us or ns) or a pcapng.
pub fn is_magic(b: [u8; 4]) -> bool {
    let n = u32::from_le_bytes(b);
    n == SECTION || [0xA1B2_C3D4u32, 0xA1B2_3C4D].iter().any(|m| n == *m || n == m.swap_bytes())
}

/// What an interface says of its packets.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    /// Ticks of its clock a second.
    ticks: u64,
    offset_s: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Pcap,
    PcapNg,
    /// The rest is not readable.
    Broken,
}

/// Reads a capture.
#[derive(Debug)]
pub struct Reader {
    state: State,
    pending: Vec<u8>,
    big_endian: bool,
    interfaces: Vec<Interface>,
    packets: u64,
    fragments: Fragments,
    other: u64,
    cut: u64,
    last_ns: u64,
    warnings: super::Warnings,
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

impl Reader {
    /// A reader at the start of a file.
    pub fn new() -> Reader {
        Reader {
            state: State::Start,
            pending: Vec::new(),
            big_endian: false,
            interfaces: Vec::new(),
            packets: 0,
            fragments: Fragments::default(),
            other: 0,
            cut: 0,
            last_ns: 0,
            warnings: super::Warnings::default(),
        }
    }

    /// Takes the next bytes of the file; calls `tell` for every datagram in them.
    pub fn push(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Datagram<'_>)) -> Result<(), PcapError> {
        if self.state == State::Broken {
            return Ok(());
        }
        let mut pending = core::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let used = match self.state {
                State::Start => self.start(&pending[at..])?,
                State::Pcap => self.record(&pending[at..], tell),
                State::PcapNg => self.block(&pending[at..], tell),
                State::Broken => 0,
            };
            at += used;
            if used == 0 {
                break;
            }
        }
        if self.state != State::Broken {
            pending.drain(..at);
            self.pending = pending;
        }
        Ok(())
    }

    /// The file is over.
    pub fn finish(&mut self) -> Result<(), PcapError> {
        if self.state == State::Start {
            return Err(PcapError::NotPcap);
        }
        if !self.pending.is_empty() {
            self.warnings.say(format!("the capture ends in the middle of a packet ({} bytes left over)", self.pending.len()));
        }
        for (count, what) in [
            (self.fragments.left_out(), "IP fragments were left out: the rest of their datagrams is not there"),
            (self.cut, "packets were captured only in part (tcpdump -s 0 captures whole ones)"),
            (self.other, "packets of link types or protocols that are not read were left out"),
        ] {
            if count > 0 {
                self.warnings.say(format!("{count} {what}"));
            }
        }
        Ok(())
    }

    /// Packets read so far, of whatever kind.
    pub fn packets(&self) -> u64 {
        self.packets
    }
    /// What was odd.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.take()
    }

    /// The file header; 0 if there is not enough yet.
    fn start(&mut self, b: &[u8]) -> Result<usize, PcapError> {
        let Some(magic) = b.first_chunk::<4>() else { return Ok(0) };
        if !is_magic(*magic) {
            return Err(PcapError::NotPcap);
        }
        let n = u32::from_le_bytes(*magic);
        if n == SECTION {
            self.state = State::PcapNg;
            return Ok(self.block(b, &mut |_| {}));
        }
        if b.len() < 24 {
            return Ok(0);
        }
        self.big_endian = n != 0xA1B2_C3D4 && n != 0xA1B2_3C4D;
        let ticks = if self.u32(b) == 0xA1B2_3C4D { 1_000_000_000 } else { 1_000_000 };
        // The upper half of the word is flags (length of the frame check sequence).
        self.interfaces = vec![Interface { link: self.u32(&b[20..]) as u16, ticks, offset_s: 0 }];
        self.state = State::Pcap;
        Ok(24)
    }

    fn record(&mut self, b: &[u8], tell: &mut dyn FnMut(Datagram<'_>)) -> usize {
        if b.len() < 16 {
            return 0;
        }
        let (seconds, fraction) = (u64::from(self.u32(b)), u64::from(self.u32(&b[4..])));
        let (length, original) = (self.u32(&b[8..]) as usize, self.u32(&b[12..]) as usize);
        if length > PACKET_BYTES_MAX {
            return self
                .give_up(format!("packet {} of the capture claims {length} bytes; the rest of the file is not read", self.packets + 1));
        }
        let Some(data) = b.get(16..16 + length) else { return 0 };
        let interface = self.interfaces[0];
        let at_ns = seconds * 1_000_000_000 + fraction * (1_000_000_000 / interface.ticks);
        self.packet(interface.link, at_ns, data, original, tell);
        16 + length
    }

    fn block(&mut self, b: &[u8], tell: &mut dyn FnMut(Datagram<'_>)) -> usize {
        if b.len() < 12 {
            return 0;
        }
        // The section header's type reads the same both ways; its byte order stands behind the length.
        if self.u32(b) == SECTION {
            self.big_endian = u32::from_be_bytes([b[8], b[9], b[10], b[11]]) == BYTE_ORDER;
            self.interfaces.clear();
            if self.u32(&b[8..]) != BYTE_ORDER {
                return self.give_up("a pcapng section without byte order; the rest of the file is not read".into());
            }
        }
        let (kind, length) = (self.u32(b), self.u32(&b[4..]) as usize);
        if length < 12 || length % 4 != 0 || length > BLOCK_BYTES_MAX {
            return self.give_up(format!("a pcapng block claims {length} bytes; the rest of the file is not read"));
        }
        let Some(whole) = b.get(..length) else { return 0 };
        self.block_body(kind, &whole[8..length - 4], tell);
        length
    }

    fn block_body(&mut self, kind: u32, body: &[u8], tell: &mut dyn FnMut(Datagram<'_>)) {
        match kind {
            INTERFACE if body.len() >= 8 => self.interface(body),
            ENHANCED_PACKET | PACKET_OLD if body.len() >= 20 => {
                let id = if kind == PACKET_OLD { u32::from(self.u16(body)) } else { self.u32(body) };
                let Some(interface) = self.interfaces.get(id as usize).copied() else {
                    self.warnings.say("a pcapng packet of an interface that was not announced was left out");
                    return;
                };
                let ticks = u64::from(self.u32(&body[4..])) << 32 | u64::from(self.u32(&body[8..]));
                let (length, original) = (self.u32(&body[12..]) as usize, self.u32(&body[16..]) as usize);
                let Some(data) = body[20..].get(..length) else {
                    self.warnings.say("a pcapng packet longer than its block was left out");
                    return;
                };
                let ns = i128::from(ticks) * 1_000_000_000 / i128::from(interface.ticks) + i128::from(interface.offset_s) * 1_000_000_000;
                self.packet(interface.link, ns.clamp(0, i128::from(u64::MAX)) as u64, data, original, tell);
            }
            SIMPLE_PACKET if body.len() >= 4 => {
                let original = self.u32(body) as usize;
                let Some(interface) = self.interfaces.first().copied() else { return };
                self.warnings.say("pcapng simple packets carry no time; audio is placed by its own timestamps only");
                let data = &body[4..4 + original.min(body.len() - 4)];
                self.packet(interface.link, self.last_ns, data, original, tell);
            }
            // Names, statistics, decryption secrets, custom blocks.
            _ => {}
        }
    }

    fn interface(&mut self, body: &[u8]) {
        if self.interfaces.len() == INTERFACES_MAX {
            return self.warnings.say(format!("more than {INTERFACES_MAX} interfaces in the capture; the rest is not read"));
        }
        let mut i = Interface { link: self.u16(body), ticks: 1_000_000, offset_s: 0 };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, length) = (self.u16(options), usize::from(self.u16(&options[2..])));
            let Some(value) = options[4..].get(..length) else { break };
            match (code, value) {
                (0, _) => break,
                // if_tsresol: a power of ten, or of two with the top bit.
                (9, [r]) => {
                    let power = if r & 0x80 == 0 { 10u64.checked_pow(u32::from(*r)) } else { 2u64.checked_pow(u32::from(r & 0x7F)) };
                    i.ticks = power.unwrap_or(1_000_000);
                }
                (14, v) if v.len() == 8 => {
                    let eight = v.first_chunk().copied().unwrap_or_default();
                    i.offset_s = if self.big_endian { i64::from_be_bytes(eight) } else { i64::from_le_bytes(eight) };
                }
                _ => {}
            }
            let step = 4 + length.next_multiple_of(4);
            options = options.get(step..).unwrap_or(&[]);
        }
        self.interfaces.push(i);
    }

    fn packet(&mut self, link: u16, at_ns: u64, data: &[u8], original: usize, tell: &mut dyn FnMut(Datagram<'_>)) {
        self.packets += 1;
        self.last_ns = at_ns;
        let whole;
        let carried = match network(link, data).and_then(|(ether_type, rest)| internet(ether_type, rest)) {
            Ok(Internet::Whole(carried)) => Ok(carried),
            Ok(Internet::Piece(piece)) => {
                let Some(bytes) = self.fragments.take(at_ns, &piece) else { return };
                whole = bytes;
                transport(piece.name.protocol, piece.name.source, piece.name.destination, &whole)
            }
            Err(why) => Err(why),
        };
        match carried {
            Ok((transport, source, destination, payload)) => {
                self.cut += u64::from(data.len() < original);
                tell(Datagram { at_ns, transport, source, destination, payload });
            }
            Err(Skip::Cut) => self.cut += 1,
            Err(Skip::LinkType(link)) => {
                self.other += 1;
                self.warnings.say(format!("link type {link} is not read"));
            }
            Err(Skip::Other) => {}
        }
    }

    fn give_up(&mut self, why: String) -> usize {
        self.warnings.say(why);
        self.state = State::Broken;
        0
    }

    fn u16(&self, b: &[u8]) -> u16 {
        let two = b.first_chunk().copied().unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }
    fn u32(&self, b: &[u8]) -> u32 {
        let four = b.first_chunk().copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }
}

/// Why a packet gives no datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Skip {
    Cut,
    LinkType(u16),
    /// ARP, ICMP and the like: nobody misses them.
    Other,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;

fn be16(b: &[u8], at: usize) -> Result<u16, Skip> {
    b.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or(Skip::Cut)
}

/// Takes the link header off: EtherType and what follows.
fn network(link: u16, data: &[u8]) -> Result<(u16, &[u8]), Skip> {
    let behind = |n: usize| data.get(n..).ok_or(Skip::Cut);
    let by_version = |b: &[u8]| match b.first().map(|v| v >> 4) {
        Some(4) => Ok(IPV4),
        Some(6) => Ok(IPV6),
        Some(_) => Err(Skip::Other),
        None => Err(Skip::Cut),
    };
    match link {
        // Ethernet.
        1 => vlan(be16(data, 12)?, behind(14)?),
        // BSD null (host order) and OpenBSD loop: a family in four bytes; the IP version says the same.
        0 | 108 => Ok((by_version(behind(4)?)?, behind(4)?)),
        // Raw IP, under its several numbers.
        12 | 14 | 101 => Ok((by_version(data)?, data)),
        228 => Ok((IPV4, data)),
        229 => Ok((IPV6, data)),
        // Linux cooked, versions 1 and 2.
        113 => vlan(be16(data, 14)?, behind(16)?),
        276 => vlan(be16(data, 0)?, behind(20)?),
        other => Err(Skip::LinkType(other)),
    }
}

/// Steps over VLAN tags (802.1Q, 802.1ad and the older Q-in-Q) and PPPoE session headers.
fn vlan(mut ether_type: u16, mut rest: &[u8]) -> Result<(u16, &[u8]), Skip> {
    for _ in 0..4 {
        match ether_type {
            0x8100 | 0x88A8 | 0x9100 => {
                ether_type = be16(rest, 2)?;
                rest = &rest[4..];
            }
            0x8864 => {
                ether_type = if be16(rest, 6)? == 0x0057 { IPV6 } else { IPV4 };
                rest = &rest[8..];
            }
            _ => break,
        }
    }
    Ok((ether_type, rest))
}

type Carried<'a> = (Transport, SocketAddr, SocketAddr, &'a [u8]);

/// What an IP packet carries.
enum Internet<'a> {
    Whole(Carried<'a>),
    Piece(Piece<'a>),
}

fn internet(ether_type: u16, b: &[u8]) -> Result<Internet<'_>, Skip> {
    match ether_type {
        IPV4 => {
            let head = b.get(..20).ok_or(Skip::Cut)?;
            let header = usize::from(head[0] & 15) * 4;
            if head[0] >> 4 != 4 || header < 20 {
                return Err(Skip::Other);
            }
            // A total length of 0 is what segmentation offload leaves in captures on the sender.
            let total = match usize::from(be16(b, 2)?) {
                0 => b.len(),
                n => n.min(b.len()),
            };
            let rest = b.get(header..total).ok_or(Skip::Cut)?;
            let ip = |at: usize| IpAddr::V4(Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]));
            let fragment = be16(b, 6)?;
            if fragment & 0x3FFF != 0 {
                let name = Name { source: ip(12), destination: ip(16), protocol: head[9], id: u32::from(be16(b, 4)?) };
                let (offset, more) = (usize::from(fragment & 0x1FFF) * 8, fragment & 0x2000 != 0);
                return Ok(Internet::Piece(Piece { name, offset, more, data: rest }));
            }
            transport(head[9], ip(12), ip(16), rest).map(Internet::Whole)
        }
        IPV6 => {
            let head = b.get(..40).ok_or(Skip::Cut)?;
            let end = (40 + usize::from(be16(b, 4)?)).min(b.len());
            let ip = |at: usize| IpAddr::V6(Ipv6Addr::from(b[at..at + 16].first_chunk::<16>().copied().unwrap_or_default()));
            let (source, destination) = (ip(8), ip(24));
            let (mut next, mut rest) = (head[6], &b[40..end]);
            // Hop-by-hop, routing and destination options.
            for _ in 0..8 {
                match next {
                    0 | 43 | 60 => {
                        let [following, length, ..] = *rest else { return Err(Skip::Cut) };
                        rest = rest.get(8 + 8 * usize::from(length)..).ok_or(Skip::Cut)?;
                        next = following;
                    }
                    44 => {
                        let [protocol, _, high, low, a, b, c, d, ref data @ ..] = *rest else { return Err(Skip::Cut) };
                        let fragment = u16::from_be_bytes([high, low]);
                        let (offset, more) = (usize::from(fragment & 0xFFF8), fragment & 1 != 0);
                        if offset == 0 && !more {
                            // An atomic fragment (RFC 6946): whole as it is.
                            (next, rest) = (protocol, data);
                            continue;
                        }
                        let name = Name { source, destination, protocol, id: u32::from_be_bytes([a, b, c, d]) };
                        return Ok(Internet::Piece(Piece { name, offset, more, data }));
                    }
                    _ => break,
                }
            }
            transport(next, source, destination, rest).map(Internet::Whole)
        }
        _ => Err(Skip::Other),
    }
}

fn transport(protocol: u8, source: IpAddr, destination: IpAddr, b: &[u8]) -> Result<Carried<'_>, Skip> {
    match protocol {
        17 => {
            let (from, to) = (be16(b, 0)?, be16(b, 2)?);
            let length = match usize::from(be16(b, 4)?) {
                n @ 0..8 => {
                    if n != 0 {
                        return Err(Skip::Other);
                    }
                    b.len()
                }
                n => n.min(b.len()),
            };
            let payload = b.get(8..length).ok_or(Skip::Cut)?;
            Ok((Transport::Udp, SocketAddr::new(source, from), SocketAddr::new(destination, to), payload))
        }
        6 => {
            let (from, to) = (be16(b, 0)?, be16(b, 2)?);
            let header = usize::from(*b.get(12).ok_or(Skip::Cut)? >> 4) * 4;
            let payload = b.get(header.max(20)..).ok_or(Skip::Cut)?;
            Ok((Transport::Tcp, SocketAddr::new(source, from), SocketAddr::new(destination, to), payload))
        }
        _ => Err(Skip::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 UDP packet with this payload.
    fn ipv4(payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        p[3] = 28 + payload.len() as u8;
        p.extend([0x10, 0x00, 0x20, 0x00, 0, 8 + payload.len() as u8, 0, 0]);
        p.extend(payload);
        p
    }
    fn ipv6(payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0, 0, 8 + 8 + payload.len() as u8, 0, 64];
        p.extend([0xFD; 16]);
        p.extend([0xFE; 16]);
        // An empty hop-by-hop header on the way.
        p.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        p.extend([0x10, 0x00, 0x20, 0x00, 0, 8 + payload.len() as u8, 0, 0]);
        p.extend(payload);
        p
    }
    fn pcap(big: bool, nanos: bool, link: u32, packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
        let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut f = w(if nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
        [0x0002_0004, 0, 0, 65535, link].iter().for_each(|n| f.extend(w(*n)));
        for (s, part, data) in packets {
            [*s, *part, data.len() as u32, data.len() as u32].iter().for_each(|n| f.extend(w(*n)));
            f.extend(data);
        }
        f
    }
    type Seen = (u64, SocketAddr, SocketAddr, Vec<u8>);
    fn read(bytes: &[u8], piece: usize) -> (Vec<Seen>, Vec<String>) {
        let (mut r, mut seen) = (Reader::new(), Vec::new());
        for part in bytes.chunks(piece) {
            r.push(part, &mut |d| seen.push((d.at_ns, d.source, d.destination, d.payload.to_vec()))).unwrap();
        }
        r.finish().unwrap();
        (seen, r.take_warnings())
    }

    #[test]
    fn both_byte_orders_and_clocks_give_the_same() {
        for (big, nanos) in [(false, false), (false, true), (true, false), (true, true)] {
            let f = pcap(big, nanos, 101, &[(5, 7, ipv4(b"abc")), (6, 0, ipv4(b""))]);
            for piece in [1, 13, 1000] {
                let (seen, warnings) = read(&f, piece);
                assert_eq!(seen.len(), 2);
                assert_eq!(seen[0].0, 5_000_000_000 + if nanos { 7 } else { 7000 });
                assert_eq!((seen[0].1.to_string(), seen[0].2.port(), &seen[0].3[..]), ("192.0.2.1:4096".into(), 8192, &b"abc"[..]));
                assert_eq!(warnings, [""; 0]);
            }
        }
    }

    #[test]
    fn every_link_type_leads_to_the_datagram() {
        let with = |head: &[u8], rest: Vec<u8>| [head, &rest].concat();
        let table: Vec<(u32, Vec<u8>)> = vec![
            (1, with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], ipv4(b"x"))),
            (1, with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 5, 0x81, 0, 0, 6, 8, 0], ipv4(b"x"))),
            (1, with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xDD], ipv6(b"x"))),
            (0, with(&[2, 0, 0, 0], ipv4(b"x"))),
            (108, with(&[0, 0, 0, 24], ipv6(b"x"))),
            (101, ipv6(b"x")),
            (12, ipv4(b"x")),
            (228, ipv4(b"x")),
            (229, ipv6(b"x")),
            (113, with(&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], ipv4(b"x"))),
            (276, with(&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], ipv4(b"x"))),
        ];
        for (link, data) in table {
            let (seen, warnings) = read(&pcap(false, false, link, &[(1, 0, data)]), 1000);
            assert_eq!((seen.len(), warnings.len()), (1, 0), "link type {link}: {warnings:?}");
            assert_eq!(seen[0].3, b"x");
        }
    }

    fn ng_block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = 12 + body.len().next_multiple_of(4) as u32;
        let mut b = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        b.extend(body);
        b.resize(length as usize - 4, 0);
        b.extend(length.to_le_bytes());
        b
    }

    #[test]
    fn pcapng_with_two_interfaces_and_their_clocks() {
        let mut f = ng_block(SECTION, &[&BYTE_ORDER.to_le_bytes()[..], &[1, 0, 0, 0], &[0xFF; 8]].concat());
        f.extend(ng_block(INTERFACE, &[101, 0, 0, 0, 0, 0, 0, 0]));
        // Nanoseconds, and an offset of two seconds.
        f.extend(ng_block(INTERFACE, &[101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        f.extend(ng_block(0x0BAD, b"custom"));
        let packet = |id: u32, ticks: u32, data: Vec<u8>| {
            let mut b: Vec<u8> = [id, 0, ticks, data.len() as u32, data.len() as u32].iter().flat_map(|n| n.to_le_bytes()).collect();
            b.extend(data);
            ng_block(ENHANCED_PACKET, &b)
        };
        f.extend(packet(0, 1_500_000, ipv4(b"one")));
        f.extend(packet(1, 1_500_000, ipv4(b"two")));
        f.extend(packet(2, 1_500_000, ipv4(b"of nowhere")));
        let data = ipv4(b"three");
        f.extend(ng_block(SIMPLE_PACKET, &[&(data.len() as u32).to_le_bytes()[..], &data].concat()));
        for piece in [1, 31, 10_000] {
            let (seen, warnings) = read(&f, piece);
            let got: Vec<(u64, &[u8])> = seen.iter().map(|s| (s.0, &s.3[..])).collect();
            assert_eq!(got, [(1_500_000_000, &b"one"[..]), (2_001_500_000, b"two"), (2_001_500_000, b"three")]);
            assert_eq!(warnings.len(), 2, "{warnings:?}");
        }
    }

    #[test]
    fn a_broken_capture_gives_what_came_before() {
        let good = pcap(false, false, 101, &[(1, 0, ipv4(b"a")), (2, 0, ipv4(b"b"))]);
        let (seen, warnings) = read(&good[..good.len() - 3], 50);
        assert_eq!((seen.len(), warnings.len()), (1, 1), "{warnings:?}");
        let mut wild = good.clone();
        wild.extend([0xFF; 100]);
        let (seen, warnings) = read(&wild, 50);
        assert_eq!((seen.len(), warnings.len()), (2, 1), "{warnings:?}");
        // The two halves of a datagram, the second first; then one that stays alone.
        let whole = ipv4(&[b'd'; 24]);
        let half = |from: usize, to: usize, more: u8| {
            let mut p = [&whole[..20], &whole[20 + from..20 + to]].concat();
            (p[3], p[6], p[7]) = (20 + (to - from) as u8, more << 5, (from / 8) as u8);
            p
        };
        let (seen, warnings) = read(&pcap(false, false, 101, &[(1, 0, half(16, 32, 0)), (1, 1, half(0, 16, 1))]), 50);
        assert_eq!((seen.len(), warnings.len()), (1, 0), "{warnings:?}");
        assert_eq!(seen[0].3, [b'd'; 24]);
        let mut fragment = ipv4(b"cccccccc");
        fragment[6] = 0x20;
        let (seen, warnings) = read(&pcap(false, false, 101, &[(1, 0, fragment)]), 50);
        assert!(seen.is_empty() && warnings[0].contains("1 IP fragments"), "{warnings:?}");
        assert_eq!(Reader::new().push(b"nonsense", &mut |_| {}), Err(PcapError::NotPcap));
    }
}
