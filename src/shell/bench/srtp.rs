//! What protecting a packet of 20 ms and opening it again costs: both ends' work for 160 octets of audio.

use super::Figure;
use super::measure::{Budget, best};
use crate::srtp::{Keys, MasterKey, OVERHEAD_BYTES_MAX, Profile, Session};

/// Header and audio.
const PACKET_BYTES: usize = 12 + 160;
/// Packets a run, so that sequence numbers go on over roll-overs.
const PACKETS: u64 = 1000;

pub fn cm(budget: &Budget) -> Result<Figure, String> {
    packet(budget, Profile::AesCm128HmacSha1_80)
}
pub fn gcm_128(budget: &Budget) -> Result<Figure, String> {
    packet(budget, Profile::AeadAes128Gcm)
}
pub fn gcm_256(budget: &Budget) -> Result<Figure, String> {
    packet(budget, Profile::AeadAes256Gcm)
}

/// A forged packet: what it costs to find out.
pub fn forged(budget: &Budget) -> Result<Figure, String> {
    let (_, mut receiver) = ends(Profile::AesCm128HmacSha1_80)?;
    let mut ssrc = 0u32;
    let mut packet = [0x80; PACKET_BYTES + 10];
    let ns = best(budget, PACKETS, || {
        for _ in 0..PACKETS {
            ssrc = ssrc.wrapping_add(1);
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let _ = std::hint::black_box(receiver.unprotect_rtp(&mut packet));
        }
    });
    if receiver.counts().passed > 0 { Err("a forged packet passed".into()) } else { Ok(Figure::Per("packet", ns)) }
}

fn ends(profile: Profile) -> Result<(Session, Session), String> {
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 44][..MasterKey::octets_of(profile)]);
    let keys = |send, receive| Keys::new(profile, key(send)?, key(receive)?);
    let made = keys(1, 2).and_then(|a| Ok((Session::new(&a), Session::new(&keys(2, 1)?))));
    made.map_err(|why| why.to_string())
}

fn packet(budget: &Budget, profile: Profile) -> Result<Figure, String> {
    let (mut sender, mut receiver) = ends(profile)?;
    let mut sequence = 0u16;
    let mut fault = None;
    let ns = best(budget, PACKETS, || {
        for _ in 0..PACKETS {
            let mut packet = [0x55; PACKET_BYTES + OVERHEAD_BYTES_MAX];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            sequence = sequence.wrapping_add(1);
            let opened = sender.protect_rtp(&mut packet, PACKET_BYTES).and_then(|n| receiver.unprotect_rtp(&mut packet[..n]));
            if opened != Ok(PACKET_BYTES) || packet[PACKET_BYTES - 1] != 0x55 {
                fault = Some(format!("packet {sequence}: {opened:?}"));
            }
        }
    });
    fault.map_or(Ok(Figure::Per("packet", ns)), Err)
}
