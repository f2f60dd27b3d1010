//! Bodies of the fuzz targets in `tests/fuzz`: what must hold for any bytes. The corpora in `fixtures/corpus` are replayed by the tests.

use super::audio_config::{AudioConfig, Direction};
use super::audio_stats::AudioStats;
use super::leg::AudioLeg;
use super::rtcp::{COMPOUND_BYTES_MAX, Compound, Outgoing};
use super::rtp::Packet;
use super::telephone_event::{Payload, Receiver};
use super::{Channel, LineDigit, Protection, jitter};
use crate::clock::{Instant, ms};
use crate::srtp::{Keys, MasterKey, Profile, Session};
use core::net::SocketAddr;
use tipring_dsp::g711::Law;
use tipring_dsp::{FRAME_SAMPLES, SILENCE};

/// RTP: what parses is emitted and parsed to the same.
pub fn rtp(data: &[u8]) {
    if let Ok(packet) = Packet::parse(data) {
        let mut bytes = [0u8; 2048];
        if let Ok(n) = packet.emit(&mut bytes) {
            assert_eq!(Packet::parse(&bytes[..n]), Ok(packet));
        }
    }
}

/// RTCP: what parses is emitted and parsed to the same, as far as we emit it.
pub fn rtcp(data: &[u8]) {
    let ours = data.get(8..12).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    if let Ok(c) = Compound::parse(data, ours) {
        let mut bytes = [0u8; COMPOUND_BYTES_MAX];
        let n = Outgoing { ssrc: c.from_ssrc, sender: c.sender, block: c.about_us, cname: "", bye: c.bye }.emit(&mut bytes);
        let back = Compound::parse(&bytes[..n], ours);
        assert_eq!(back, Ok(Compound { cname_bytes: Some(0), ..c }));
    }
}

/// Events: each 9 bytes are a time step, a timestamp and a payload; no digit is counted more often than there are timestamps.
pub fn telephone_event(data: &[u8]) {
    let mut receiver = Receiver::new();
    let mut now = Instant::ZERO;
    let mut frame = SILENCE;
    for chunk in data.chunks_exact(9) {
        now = now + ms(u64::from(chunk[0]));
        let timestamp = u32::from_be_bytes([chunk[1], chunk[2], chunk[3], chunk[4]]);
        if let Some(p) = Payload::parse(&chunk[5..]) {
            assert_eq!(Payload::parse(&p.emit()).map(|q| q.duration_samples), Some(p.duration_samples));
        }
        receiver.rx(now, timestamp, &chunk[5..]);
        receiver.tick(now, &mut frame);
    }
    assert!(receiver.digits() <= (data.len() / 9) as u64);
}

/// A whole leg: each chunk is a byte of length, a byte of time and channel, and a datagram. In the clear, and then as octets for a leg that
/// takes nothing but SRTP.
pub fn leg(data: &[u8]) {
    run(data, config());
    let stats = run(data, AudioConfig { protection: protection(0x11, 0x22), ..config() });
    assert_eq!((stats.received, stats.rtcp_received, stats.address_changes), (0, 0, 0), "nobody has the key");
}

/// SRTP with keys made of these octets; the peer has them the other way round.
pub fn protection(send: u8, receive: u8) -> Protection {
    let profile = Profile::AesCm128HmacSha1_80;
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 30]).expect("thirty octets");
    let keys = Keys::new(profile, key(send), key(receive)).expect("both are of the profile");
    Protection::Srtp(Box::new(Session::new(&keys)))
}

fn run(data: &[u8], config: AudioConfig) -> AudioStats {
    let peer = config.remote_rtp;
    let mut leg = AudioLeg::new(config, 1);
    let mut now = Instant::from_ms(1000);
    let mut to_line = SILENCE;
    let mut rest = data;
    while let [length, how, tail @ ..] = rest {
        let n = usize::from(*length).min(tail.len());
        let (datagram, next) = tail.split_at(n);
        let channel = if how & 1 == 0 { Channel::Rtp } else { Channel::Rtcp };
        leg.from_net(now, channel, peer, datagram);
        for _ in 0..how >> 6 {
            now = now + ms(20);
            leg.tick(now, &[100; FRAME_SAMPLES], LineDigit::None, &mut to_line, &mut |_, _, _| {});
        }
        rest = next;
    }
    let stats = leg.stats();
    assert!(stats.playout_delay_ms < 2000 && stats.lost < u64::from(u32::MAX) * 4);
    stats
}

/// A configuration with documentation addresses: two of these with their addresses swapped are a pair.
pub fn config() -> AudioConfig {
    AudioConfig {
        law: Law::Mu,
        payload_type: 0,
        telephone_event_pt: Some(101),
        remote_rtp: SocketAddr::from(([192, 0, 2, 2], 4000)),
        remote_rtcp: SocketAddr::from(([192, 0, 2, 2], 4001)),
        rtcp_mux: false,
        direction: Direction::SendRecv,
        ssrc: 0x1111_1111,
        first_sequence: 65_500,
        first_timestamp: 0xFFFF_F000,
        cname: heapless::String::try_from("gateway").expect("seven bytes fit"),
        jitter: jitter::Limits::default(),
        watchdog_ms: 10_000,
        pass_through: false,
        protection: Protection::Clear,
    }
}
