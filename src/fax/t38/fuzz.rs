//! Bodies of the fuzz targets in `tests/fuzz`: ordinary functions, so that ordinary tests replay `fixtures/corpus` through them.
//!
//! Each takes any bytes and must neither panic nor break the property it states.

// `from_line` and `to_line` name places; they convert nothing.
#![allow(clippy::wrong_self_convention)]

#[cfg(feature = "spandsp")]
use super::ifp::Packet;
use super::ifp::{self, Syntax};
use super::udptl::{self, Receiver};
use crate::clock::Instant;
#[cfg(feature = "spandsp")]
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::limits::IFP_BYTES_MAX;

/// Any bytes as a UDPTL datagram: what is read can be received, and each packet comes out once.
pub fn udptl(bytes: &[u8]) {
    let Ok(datagram) = udptl::parse(bytes) else { return };
    let mut receiver = Receiver::new();
    receiver.receive(&datagram);
    receiver.receive(&datagram);
    let mut seen: Option<u16> = None;
    // A copy that is there only in name leaves a gap at the start, which is held for a while.
    for at_ms in [0, 1000] {
        while let Some(r) = receiver.pop(Instant::from_ms(at_ms)) {
            assert!(!r.ifp.is_empty() && r.ifp.len() <= IFP_BYTES_MAX);
            assert!(seen.is_none_or(|s| r.seq == s.wrapping_add(1 + r.missing)), "packets come in order and gaps are announced");
            seen = Some(r.seq);
            ifp(r.ifp);
        }
    }
    assert_eq!(seen, Some(datagram.seq));
}

/// Any bytes as an IFP packet in both syntaxes: what is read can be written and is read back as the same.
pub fn ifp(bytes: &[u8]) {
    for syntax in [Syntax::Asn1998, Syntax::Asn2002] {
        let parsed = [ifp::parse(bytes, syntax), ifp::parse_padded(bytes, syntax)];
        for packet in parsed.into_iter().flatten() {
            let mut out = [0u8; 2 * IFP_BYTES_MAX];
            let n = packet.emit(syntax, &mut out).expect("what was read within the bounds can be written");
            assert_eq!(ifp::parse(&out[..n], syntax).as_ref(), Ok(&packet));
        }
    }
}

/// A stream of datagrams, each behind two octets of length: received in any state, packets leave in order.
pub fn udptl_stream(bytes: &[u8]) {
    let mut receiver = Receiver::new();
    let mut now = 0;
    let mut last: Option<u16> = None;
    let mut restarts = 0;
    for datagram in pieces(bytes) {
        now += 20;
        if let Ok(d) = udptl::parse(datagram) {
            receiver.receive(&d);
        }
        if receiver.stats().restarts != restarts {
            (restarts, last) = (receiver.stats().restarts, None);
        }
        while let Some(r) = receiver.pop(Instant::from_ms(now)) {
            assert!(last.is_none_or(|l| r.seq.wrapping_sub(l) != 0 && r.seq.wrapping_sub(l) < 0x8000), "never backwards");
            last = Some(r.seq);
        }
    }
}

/// A relay and its engine under any sequence of packets and line signals. Octets are commands: see the code. With libspandsp behind it this
/// is what finds orders that crash it.
#[cfg(feature = "spandsp")]
pub fn t38_sequence(bytes: &[u8]) {
    use super::ifp::{Data, DataType, FieldType, Indicator};
    use super::relay::{T38Config, T38Leg};
    use tipring_dsp::SILENCE;
    let remote = core::net::SocketAddr::from(([192, 0, 2, 1], 4000));
    let config = T38Config { version: bytes.first().map_or(0, |b| b & 1), ..T38Config::without_a_call(remote) };
    // A second engine stands on the line and is commanded too: its audio is what the relay hears.
    let (Ok(mut leg), Ok(mut line)) = (T38Leg::new(&config), line_engine()) else { return };
    let syntax = Syntax::of_version(config.version);
    let (mut seq, mut now) = (0u16, 0u64);
    let (mut heard, mut spoken) = (SILENCE, SILENCE);
    // With the top bit of the first octet, bursts of noise fall on the line: modems train on anything.
    let first = bytes.first().copied().unwrap_or(0);
    let (noisy, amplitude) = (first & 0x80 != 0, 300.0 * f64::from(1 << (first >> 4 & 7)));
    let mut rng = crate::clock::Rng::new(u64::from(first));
    let mut burst = 0;
    let mut commands = bytes.iter().copied().skip(1);
    while let (Some(op), Some(arg)) = (commands.next(), commands.next()) {
        let packet = match op & 7 {
            0 | 1 => Packet::Indicator(Indicator::ALL[usize::from(arg) % Indicator::ALL.len()]),
            2..=5 => {
                let modem = DataType::ALL[usize::from(arg & 15) % DataType::ALL.len()];
                let kind = FieldType::ALL[usize::from(arg >> 4) % FieldType::ALL.len()];
                let mut data = [0u8; 300];
                let len = match commands.next() {
                    Some(n) if n >= 250 => 260 + usize::from(n - 250),
                    n => usize::from(n.unwrap_or(0)),
                };
                match op >> 3 & 3 {
                    0 => data[..3].copy_from_slice(&[0xFF, 0xC8, commands.next().unwrap_or(0)]),
                    1 => data[..8].copy_from_slice(&[
                        0xFF,
                        0xC8,
                        commands.next().unwrap_or(0),
                        0,
                        commands.next().unwrap_or(0),
                        0x21,
                        0x20,
                        0,
                    ]),
                    2 => data.fill(commands.next().unwrap_or(0)),
                    _ => data.iter_mut().for_each(|d| *d = commands.next().unwrap_or(0)),
                }
                let Ok(d) = Data::one(modem, kind, &data[..len]) else { continue };
                Packet::Data(d)
            }
            _ => {
                // The world goes on for a while.
                for _ in 0..=arg >> 1 {
                    now += 20;
                    line.to_line(&mut heard);
                    if noisy && rng.chance(0.05) {
                        burst = 1 + rng.below(20);
                    }
                    if burst > 0 {
                        burst -= 1;
                        heard.iter_mut().for_each(|s| *s = s.saturating_add(((rng.unit() * 2.0 - 1.0) * amplitude) as i16));
                    }
                    leg.tick(Instant::from_ms(now), &heard, &mut spoken, &mut |_, _| {});
                    line.from_line(&spoken);
                }
                continue;
            }
        };
        if op & 0x80 != 0 {
            line.hear(&packet);
            continue;
        }
        let mut out = [0u8; DATAGRAM_BYTES_MAX];
        let mut octets = [0u8; IFP_BYTES_MAX + 16];
        let Ok(n) = packet.emit(syntax, &mut octets) else { continue };
        if let Some(n) =
            udptl::Sender::new(udptl::ErrorCorrection::None, DATAGRAM_BYTES_MAX).emit(&octets[..n], udptl::Class::Control, &mut out)
        {
            out[..2].copy_from_slice(&seq.to_be_bytes());
            leg.from_net(Instant::from_ms(now), remote, &out[..n]);
            // Now and then a number is skipped: a loss.
            seq = seq.wrapping_add(1 + u16::from(op & 0x60 == 0x60));
        }
    }
    let _ = leg.stats();
}

/// The engine on the line, behind a filter of its own: it is commanded by the same octets and must not fall either.
#[cfg(feature = "spandsp")]
struct LineEngine {
    engine: super::engine::SpandspEngine,
    filter: super::filter::Filter,
}

#[cfg(feature = "spandsp")]
fn line_engine() -> Result<LineEngine, tipring_dsp::spandsp::Error> {
    let engine = super::engine::SpandspEngine::new(&tipring_dsp::spandsp::t38_gateway::GatewayConfig::default())?;
    Ok(LineEngine { engine, filter: super::filter::Filter::new() })
}

#[cfg(feature = "spandsp")]
impl LineEngine {
    fn hear(&mut self, packet: &Packet) {
        use super::engine::Engine;
        self.filter.from_net(packet, |s| self.engine.from_net(s));
    }
    fn to_line(&mut self, frame: &mut tipring_dsp::Frame) {
        use super::engine::Engine;
        self.engine.to_line(frame);
        if self.filter.to_line(frame) {
            self.engine.from_net(super::engine::Step::Reset);
        }
    }
    fn from_line(&mut self, frame: &tipring_dsp::Frame) {
        use super::engine::Engine;
        let frame = if self.filter.deaf() { &tipring_dsp::SILENCE } else { frame };
        for samples in frame.chunks_exact(super::engine::LINE_SAMPLES) {
            self.engine.from_line(samples);
            while self.poll().is_some() {}
        }
    }
    fn poll(&mut self) -> Option<(Packet, u8)> {
        use super::engine::Engine;
        let made = self.engine.poll()?;
        if self.filter.from_line(&made.0).resets() {
            self.engine.from_net(super::engine::Step::Reset);
        }
        Some(made)
    }
}

/// Cuts a stream into pieces, each behind two octets of length; the last may be shorter than it says.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (piece, after) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
        bytes = after;
        Some(piece)
    })
}

/// A file of the shared folder (`TIPRING_SHARED`, or `../shared` beside the tree), or `None` with the reason printed.
#[cfg(test)]
pub(crate) fn shared_file(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("TIPRING_SHARED")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), std::path::PathBuf::from);
    let file = std::fs::read(root.join(path));
    if file.is_err() {
        println!("skipped: no {path} in the shared folder");
    }
    file.ok()
}

/// Source port and payload of the UDP datagrams of a classic pcap file with Ethernet, Linux cooked or raw IPv4 frames.
#[cfg(test)]
pub(crate) fn udp_payloads_of_pcap(file: &[u8]) -> Vec<(u16, &[u8])> {
    let u32_at = |at: usize, little: bool| {
        let b = [file[at], file[at + 1], file[at + 2], file[at + 3]];
        if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) }
    };
    let little = file[0] == 0xD4 || file[0] == 0x4D;
    let link = match u32_at(20, little) {
        1 => 14,
        113 => 16,
        _ => 0,
    };
    let mut payloads = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let len = u32_at(at + 8, little) as usize;
        let frame = &file[at + 16..(at + 16 + len).min(file.len())];
        at += 16 + len;
        let Some(ip) = frame.get(link..) else { continue };
        if ip.len() < 28 || ip[0] >> 4 != 4 || ip[9] != 17 {
            continue;
        }
        let header = usize::from(ip[0] & 15) * 4;
        if let Some(payload) = ip.get(header + 8..) {
            payloads.push((u16::from_be_bytes([ip[header], ip[header + 1]]), payload));
        }
    }
    payloads
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_does_no_harm() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus");
        let mut replayed = 0;
        let mut replay = |folder: &str, body: fn(&[u8])| {
            for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
                body(&std::fs::read(entry.path()).expect("a corpus file can be read"));
                replayed += 1;
            }
        };
        replay("udptl", super::udptl);
        replay("udptl", super::udptl_stream);
        replay("ifp", super::ifp);
        #[cfg(feature = "spandsp")]
        replay("t38seq", super::t38_sequence);
        assert!(replayed > 0, "the corpus is part of the tree");
    }
}
