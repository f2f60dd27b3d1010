//! Captures as they come from real networks, made here packet by packet.

use super::flows::Player;
use super::pcap::{Datagram, Transport};
use super::survey::{Known, Plan, Survey};
use super::{Listener, fuzz};
use crate::decode::Direction;
use crate::fax::t38::ifp::{Data, DataType, FieldType, Indicator, Packet, Syntax};
use crate::fax::t38::udptl::{Class, ErrorCorrection, Sender};
use crate::media::rtp;
use core::net::SocketAddr;
use tipring_dsp::g711::Law;

/// Writes down what it is told.
#[derive(Default)]
struct Heard {
    audio: [Vec<i16>; 2],
    digits: Vec<(f64, Direction, char, u32)>,
    t38: Vec<(Direction, Packet)>,
    missing: usize,
    warnings: Vec<String>,
}

impl Listener for Heard {
    fn feed(&mut self, channel: usize, samples: &[i16]) {
        self.audio[channel].extend_from_slice(samples);
    }
    fn t38(&mut self, _t: f64, direction: Direction, packet: &Packet) {
        self.t38.push((direction, packet.clone()));
    }
    fn t38_missing(&mut self, _t: f64, _direction: Direction) {
        self.missing += 1;
    }
    fn telephone_event(&mut self, t: f64, direction: Direction, digit: char, ms: u32) {
        self.digits.push(((t * 1000.0).round() / 1000.0, direction, digit, ms));
    }
    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

struct Captured {
    ms: u64,
    from: &'static str,
    to: &'static str,
    bytes: Vec<u8>,
}

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:5000";
const A_SIP: &str = "192.0.2.1:5060";
const B_SIP: &str = "192.0.2.2:5060";

fn read_with(captured: &[Captured], known: Known) -> (Plan, Heard) {
    let address = |s: &str| -> SocketAddr { s.parse().unwrap() };
    let each = |act: &mut dyn FnMut(&Datagram<'_>)| {
        for c in captured {
            let at_ns = 1_700_000_000_000_000_000 + c.ms * 1_000_000;
            act(&Datagram { at_ns, transport: Transport::Udp, source: address(c.from), destination: address(c.to), payload: &c.bytes });
        }
    };
    let mut survey = Survey::new(known);
    each(&mut |d| survey.datagram(d));
    let plan = survey.finish();
    let (mut player, mut heard) = (Player::new(&plan), Heard::default());
    each(&mut |d| player.datagram(d, &mut heard));
    player.finish(&mut heard);
    (plan, heard)
}
fn read(captured: &[Captured]) -> (Plan, Heard) {
    read_with(captured, Known::default())
}

fn rtp_bytes(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12 + payload.len()];
    let n = rtp::Packet { payload_type, marker: false, sequence, timestamp, ssrc, payload }.emit(&mut bytes).unwrap();
    bytes.truncate(n);
    bytes
}

/// A ramp that says of every sample which it is, as coarse as mu-law allows: 100 ms blocks of one value.
fn value_at(sample: u64) -> i16 {
    Law::Mu.decode(Law::Mu.encode(1000 + 300 * (sample / 800 % 90) as i16))
}
fn audio(ms: u64, sequence: u16, sample: u64, count: u64, first_timestamp: u32) -> Captured {
    let payload: Vec<u8> = (sample..sample + count).map(|n| Law::Mu.encode(value_at(n))).collect();
    Captured { ms, from: A, to: B, bytes: rtp_bytes(0, sequence, first_timestamp.wrapping_add(sample as u32), 7, &payload) }
}

#[test]
fn audio_lies_where_its_timestamps_say_whatever_the_order_and_size_of_packets() {
    // 20 ms packets, one lost (5), two swapped (8, 9), then packets of 30 ms; the timestamp wraps on the way.
    let start = u32::MAX - 900;
    let mut packets: Vec<Captured> = (0..20).map(|i| audio(20 * i, 65_530u16.wrapping_add(i as u16), 160 * i, 160, start)).collect();
    packets.remove(5);
    packets.swap(7, 8);
    packets.extend((0..20).map(|i| audio(400 + 30 * i, 14 + i as u16, 3200 + 240 * i, 240, start)));
    let (plan, heard) = read(&packets);
    assert_eq!((plan.channels, plan.streams.len()), (1, 1));
    assert_eq!(heard.audio[0].len(), 3200 + 240 * 20);
    for (n, s) in heard.audio[0].iter().enumerate() {
        let want = if (800..960).contains(&n) { 0 } else { value_at(n as u64) };
        assert_eq!(*s, want, "sample {n}");
    }
    assert_eq!(heard.warnings, [""; 0]);
}

#[test]
fn silence_suppression_keeps_time_and_a_jumped_timestamp_is_put_where_it_was_captured() {
    let mut packets: Vec<Captured> = (0..10).map(|i| audio(20 * i, i as u16, 160 * i, 160, 0)).collect();
    packets.push(Captured { ms: 200, from: A, to: B, bytes: rtp_bytes(13, 10, 1600, 7, &[60]) });
    // Two seconds of comfort noise, then talk: timestamps went on.
    packets.extend((0..10).map(|i| audio(2200 + 20 * i, 11 + i as u16, 17_600 + 160 * i, 160, 0)));
    // On hold for a second; the gateway begins anew at some other timestamp.
    packets.extend((0..10).map(|i| audio(3400 + 20 * i, 21 + i as u16, 27_200 + 160 * i, 160, 0x5000_0000)));
    let (_, heard) = read(&packets);
    let audio = &heard.audio[0];
    assert_eq!((audio[1599], audio[1600], audio[17_599], audio[17_600]), (value_at(1599), 0, 0, value_at(17_600)));
    assert_eq!((audio[27_199], audio[27_200], audio.len()), (0, value_at(27_200), 28_800));
    assert!(heard.warnings.iter().any(|w| w.contains("jumped 1 times")), "{:?}", heard.warnings);
}

fn event(ms: u64, sequence: u16, timestamp: u32, code: u8, end: bool, duration: u16) -> Captured {
    let [high, low] = duration.to_be_bytes();
    Captured { ms, from: A, to: B, bytes: rtp_bytes(101, sequence, timestamp, 7, &[code, u8::from(end) << 7 | 10, high, low]) }
}

#[test]
fn an_event_is_one_digit_however_its_packets_were_lost_or_repeated() {
    let mut packets: Vec<Captured> = (0..50).map(|i| audio(20 * i, i as u16, 160 * i, 160, 0)).collect();
    for i in 0..5 {
        packets.push(event(1000 + 20 * i, 50 + i as u16, 8000, 5, false, 160 * (i as u16 + 1)));
    }
    (0..3).for_each(|i| packets.push(event(1100, 55 + i, 8000, 5, true, 800)));
    // The end of this one is lost: audio behind it ends it.
    packets.push(event(1200, 58, 9600, 11, false, 160));
    packets.push(event(1240, 59, 9600, 11, false, 480));
    packets.extend((0..30).map(|i| audio(1400 + 20 * i, 60 + i as u16, 11_200 + 160 * i, 160, 0)));
    let (_, heard) = read(&packets);
    assert_eq!(heard.digits, [(1.0, Direction::Unknown, '5', 100), (1.2, Direction::Unknown, '#', 60)]);
}

fn sip(ms: u64, from: &'static str, to: &'static str, lines: &[&str], body: &str) -> Captured {
    let text = format!("{}\r\nContent-Length: {}\r\n\r\n{body}", lines.join("\r\n"), body.len());
    Captured { ms, from, to, bytes: text.into_bytes() }
}

#[test]
fn sip_says_who_called_what_dynamic_payload_types_are_and_which_digits_were_sent() {
    let common = ["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "To: <sip:b@192.0.2.2>", "Call-ID: one", "Max-Forwards: 70"];
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:98 telephone-event/8000\r\n";
    let invite = [
        "INVITE sip:b@192.0.2.2 SIP/2.0",
        common[0],
        common[1],
        "From: <sip:a@192.0.2.1>;tag=a",
        common[2],
        "CSeq: 1 INVITE",
        common[3],
        "Content-Type: application/sdp",
    ];
    let info = [
        "INFO sip:b@192.0.2.2 SIP/2.0",
        common[0],
        "To: <sip:b@192.0.2.2>;tag=b",
        "From: <sip:a@192.0.2.1>;tag=a",
        common[2],
        "CSeq: 2 INFO",
        common[3],
        "Content-Type: application/dtmf-relay",
    ];
    let mut packets = vec![sip(0, A_SIP, B_SIP, &invite, sdp)];
    let octets = vec![Law::A.encode(4000); 160];
    for i in 0..30u16 {
        let timestamp = u32::from(i) * 160;
        packets.push(Captured { ms: 100 + 20 * u64::from(i), from: B, to: A, bytes: rtp_bytes(97, i, timestamp, 1, &[0xD5; 160]) });
        packets.push(Captured { ms: 100 + 20 * u64::from(i), from: A, to: B, bytes: rtp_bytes(97, i, timestamp, 2, &octets) });
    }
    // The request, and its retransmission.
    packets.push(sip(700, A_SIP, B_SIP, &info, "Signal=*\r\nDuration=250\r\n"));
    packets.push(sip(1200, A_SIP, B_SIP, &info, "Signal=*\r\nDuration=250\r\n"));
    let (plan, heard) = read(&packets);
    assert_eq!(plan.channels, 2);
    let caller = plan.streams.iter().find(|s| s.direction == Direction::Caller).unwrap();
    assert_eq!((caller.key.ssrc, caller.channel), (2, 0));
    assert_eq!(heard.audio[0][1000], Law::A.decode(Law::A.encode(4000)));
    assert_eq!(heard.audio[1][1000], Law::A.decode(0xD5));
    assert_eq!(heard.digits, [(0.7, Direction::Caller, '*', 250)]);
}

#[test]
fn t38_lost_on_the_way_comes_back_by_redundancy_and_by_fec() {
    for correction in [ErrorCorrection::Redundancy { control: 3, image: 2 }, ErrorCorrection::Fec { span: 3, entries: 2 }] {
        let mut sender = Sender::new(correction, 400);
        let mut sent = Vec::new();
        let mut captured = Vec::new();
        for i in 0..60u8 {
            let packet = match i {
                0 => Packet::Indicator(Indicator::Cng),
                _ => Packet::Data(Data::one(DataType::V21, FieldType::HdlcData, &[i]).unwrap()),
            };
            let (mut ifp, mut datagram) = ([0; 100], [0; 400]);
            let n = packet.emit(Syntax::Asn1998, &mut ifp).unwrap();
            let n = sender.emit(&ifp[..n], Class::Control, &mut datagram).unwrap();
            sent.push((Direction::Caller, packet));
            if i % 7 != 5 {
                captured.push(Captured { ms: 100 + 30 * u64::from(i), from: A, to: B, bytes: datagram[..n].to_vec() });
            }
        }
        let (plan, heard) = read(&captured);
        assert_eq!((plan.t38.len(), plan.streams.len()), (1, 0), "{correction:?}");
        assert_eq!(heard.missing, 0);
        assert!(heard.t38 == sent, "{correction:?}: {} of {} packets", heard.t38.len(), sent.len());
        assert!(heard.warnings.iter().any(|w| w.contains("8 packets recovered by") || w.contains("8 by FEC")), "{:?}", heard.warnings);
    }
}

#[test]
fn wild_timestamps_and_clocks_stay_in_bounds() {
    let mut packets: Vec<Captured> = (0..20).map(|i| audio(20 * i, i as u16, 160 * i, 160, 0)).collect();
    // Timestamps without sense, then a clock that jumps by two hours and back.
    packets.extend((0..20).map(|i| audio(400 + 20 * i, 20 + i as u16, 0x1234_5678 * i, 160, 0)));
    packets.extend((0..20).map(|i| audio(7_200_000 + 20 * i, 40 + i as u16, 160 * i, 160, 0)));
    packets.extend((0..20).map(|i| audio(20 * i, 60 + i as u16, 160 * i, 160, 0)));
    let (_, heard) = read(&packets);
    assert!(heard.audio[0].len() <= 3_610 * 8000, "{}", heard.audio[0].len());
    assert!(heard.warnings.iter().any(|w| w.contains("was shortened")), "{:?}", heard.warnings);
}

#[test]
fn one_side_of_two_overlapping_streams_is_read_and_the_other_named() {
    let mut packets = Vec::new();
    for i in 0..40u16 {
        packets.push(audio(20 * u64::from(i), i, 160 * u64::from(i), 160, 0));
        let twin = rtp_bytes(0, i, u32::from(i) * 160, 99, &[0xFF; 160]);
        if i < 35 {
            packets.push(Captured { ms: 20 * u64::from(i), from: "192.0.2.1:4000", to: "192.0.2.9:6000", bytes: twin });
        }
    }
    let (plan, heard) = read(&packets);
    assert_eq!(plan.streams[0].key.ssrc, 7);
    assert_eq!(heard.audio[0].len(), 6400);
}

/// Rounds of the mutation test; `TIPRING_FUZZ_ROUNDS=1000000 cargo test --lib mutated` for an hour of it without a fuzzer.
fn rounds() -> u64 {
    std::env::var("TIPRING_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// A fuzz target, and a file of its corpus.
type Case = (fn(&[u8]), Vec<u8>);

fn corpora() -> Vec<Case> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus");
    let mut all = Vec::new();
    for (folder, target, least) in [("wav", fuzz::wav as fn(&[u8]), 6), ("pcap", fuzz::pcap, 5)] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(folder)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= least, "{folder}");
        all.extend(files.iter().map(|f| (target, std::fs::read(f).unwrap())));
    }
    all
}

#[test]
fn the_corpora_run_through_their_fuzz_targets_whole_and_cut() {
    for (target, bytes) in corpora() {
        target(&bytes);
        (0..bytes.len()).step_by(bytes.len() / 40 + 1).for_each(|n| target(&bytes[..n]));
    }
}

#[test]
fn mutated_recordings_do_not_panic() {
    let corpora = corpora();
    for round in 0..rounds() {
        let mut rng = crate::clock::Rng::new(round);
        let (target, whole) = &corpora[rng.below(corpora.len() as u64) as usize];
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(8) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][rng.below(5) as usize],
                2 => bytes.truncate(at + 1),
                _ => {
                    let part = bytes[at..bytes.len().min(at + 40)].to_vec();
                    let to = rng.below(bytes.len() as u64) as usize;
                    bytes.splice(to..to, part);
                }
            }
        }
        target(&bytes);
    }
}
