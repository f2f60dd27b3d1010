//! Packets that want to do harm, as a table: all of them are dropped by a session without harm, and the bare crate that we do not use is
//! shown to fail at some. That is the negative control: the table can fail.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

fn peers_number(profile: Profile) -> ProtectionProfile {
    match profile {
        Profile::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Profile::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

/// The bare crate as it comes: what it receives is under the key that our `pair` sends with.
pub fn bare(profile: Profile) -> Context {
    let key = key(profile, 1);
    Context::new(key.key(), key.salt(), peers_number(profile), None, None).unwrap()
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Rtp,
    Rtcp,
}

struct Attack {
    name: &'static str,
    kind: Kind,
    packets: Vec<Vec<u8>>,
}

/// Attacks on a receiver of `a`'s, which has sent what is replayed and changed here.
fn attacks(a: &mut Session) -> Vec<Attack> {
    let profile = a.profile();
    let cm = matches!(profile, Profile::AesCm128HmacSha1_80 | Profile::AesCm128HmacSha1_32);
    let short = |first: u8, second: u8| (0..64).map(|n| [vec![first, second], vec![0; 62]].concat()[..n].to_vec()).collect();
    let good = protect(a, &report(SSRC, 4));
    let at = if cm { good.len() - 14 } else { good.len() - 4 };
    let mut not_encrypted = good.clone();
    not_encrypted[at] &= 0x7F;
    // A BYE in the clear, with an E bit of 0 and a tag that is made of nothing.
    let mut bye = vec![0x81, 203, 0, 1];
    bye.extend(SSRC.to_be_bytes());
    let bye = if cm { [bye, vec![0, 0, 0, 99], vec![0; 10]].concat() } else { [bye, vec![0; 16], vec![0, 0, 0, 99]].concat() };
    let lying_words = |words: u16| {
        let mut p = rtp(SSRC, 1, 60);
        p[0] = 0x90;
        p[14..16].copy_from_slice(&words.to_be_bytes());
        p
    };
    let with_octet = |at: usize, octet: u8, mut p: Vec<u8>| {
        p[at] = octet;
        p
    };
    let voice = protect(a, &rtp(SSRC, 40_000, 160));
    vec![
        Attack { name: "RTCP of nought to 63 octets", kind: Kind::Rtcp, packets: short(0x80, 200) },
        Attack { name: "RTP of nought to 63 octets", kind: Kind::Rtp, packets: short(0x80, 0) },
        Attack { name: "RTP whose CSRCs are not there", kind: Kind::Rtp, packets: short(0x8F, 0) },
        Attack { name: "RTP whose extension is not there", kind: Kind::Rtp, packets: short(0x90, 0) },
        Attack {
            name: "an extension longer than the packet",
            kind: Kind::Rtp,
            packets: vec![lying_words(0xFFFF), lying_words(14), lying_words(11)],
        },
        Attack {
            name: "versions 0, 1 and 3",
            kind: Kind::Rtp,
            packets: [0x00, 0x40, 0xC0].map(|v| with_octet(0, v, voice.clone())).to_vec(),
        },
        Attack { name: "a report with its E bit taken off", kind: Kind::Rtcp, packets: vec![not_encrypted] },
        Attack { name: "a forged BYE that says it is not encrypted", kind: Kind::Rtcp, packets: vec![bye] },
        Attack { name: "RTP as RTCP", kind: Kind::Rtcp, packets: vec![voice.clone()] },
        Attack { name: "RTCP as RTP", kind: Kind::Rtp, packets: vec![good] },
        Attack { name: "a tag cut off", kind: Kind::Rtp, packets: (1..=16).map(|n| voice[..voice.len() - n].to_vec()).collect() },
        Attack { name: "an octet more", kind: Kind::Rtp, packets: vec![[voice.clone(), vec![0]].concat()] },
        Attack { name: "another sequence number", kind: Kind::Rtp, packets: vec![with_octet(2, 1, voice.clone())] },
        Attack { name: "another SSRC", kind: Kind::Rtp, packets: vec![with_octet(8, 1, voice)] },
    ]
}

#[test]
fn the_table_does_no_harm() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let heard = protect(&mut a, &rtp(SSRC, 39_999, 160));
        unprotect(&mut b, &heard).unwrap();
        for attack in attacks(&mut a) {
            for packet in attack.packets {
                let mut buffer = packet.clone();
                let tags = b.counts().tags_checked;
                let result = if attack.kind == Kind::Rtp { b.unprotect_rtp(&mut buffer) } else { b.unprotect_rtcp(&mut buffer) };
                assert!(result.is_err(), "{profile:?}: {} of {} octets passed", attack.name, packet.len());
                assert_eq!(buffer, packet, "{}", attack.name);
                assert!(b.counts().tags_checked <= tags + 1, "{}", attack.name);
                assert_eq!(b.sources(), 1, "{}", attack.name);
            }
        }
        // And the peer is still heard.
        let voice = protect(&mut a, &rtp(SSRC, 40_001, 160));
        assert!(unprotect(&mut b, &voice).is_ok());
    }
}

/// What of the table gets through the bare crate, or makes it panic, by name.
fn harm_to_the_bare_crate(profile: Profile) -> Vec<(&'static str, &'static str)> {
    let (mut a, _) = pair(profile);
    let mut crate_alone = bare(profile);
    let heard = protect(&mut a, &rtp(SSRC, 39_999, 160));
    crate_alone.decrypt_rtp(&heard).unwrap();
    let mut harm = Vec::new();
    for attack in attacks(&mut a) {
        for packet in attack.packets {
            let result = catch_unwind(AssertUnwindSafe(|| match attack.kind {
                Kind::Rtp => crate_alone.decrypt_rtp(&packet).is_ok(),
                Kind::Rtcp => crate_alone.decrypt_rtcp(&packet).is_ok(),
            }));
            let how = match result {
                Err(_) => "panics",
                Ok(true) => "passes",
                Ok(false) => continue,
            };
            if harm.last() != Some(&(attack.name, how)) {
                harm.push((attack.name, how));
            }
        }
    }
    harm
}

#[test]
fn the_bare_crate_is_harmed_by_it() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let harm = Profile::ALL.map(harm_to_the_bare_crate);
    std::panic::set_hook(quiet);
    for (profile, harm) in Profile::ALL.into_iter().zip(&harm) {
        assert!(harm.contains(&("RTCP of nought to 63 octets", "panics")), "{profile:?}: {harm:?}");
    }
    for harm in &harm[..2] {
        assert!(harm.contains(&("a forged BYE that says it is not encrypted", "passes")), "{harm:?}");
    }
}

#[test]
fn forged_sources_cost_one_tag_and_no_memory() {
    let profile = Profile::AesCm128HmacSha1_80;
    let (mut a, mut b) = pair(profile);
    let heard = protect(&mut a, &rtp(SSRC, 1, 160));
    unprotect(&mut b, &heard).unwrap();
    let mut packet = heard;
    for ssrc in 0..20_000u32 {
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        assert_eq!(unprotect(&mut b, &packet), Err(Dropped::NotAuthentic));
    }
    // The first packet of all was tried on both sides of a roll-over only if it was not authentic at once.
    assert_eq!((b.sources(), b.counts().tags_checked, b.counts().not_authentic), (1, 20_001, 20_000));
}

#[test]
fn authentic_sources_are_bounded_and_none_of_them_can_be_replayed() {
    let (mut a, mut b) = pair(Profile::AeadAes128Gcm);
    let max = crate::limits::SRTP_SOURCES_MAX as u32;
    let first: Vec<_> = (0..max).map(|ssrc| protect(&mut a, &rtp(ssrc, 10, 20))).collect();
    first.iter().for_each(|p| drop(unprotect(&mut b, p).unwrap()));
    let mut buffer = [0; ROOM];
    buffer[..32].copy_from_slice(&rtp(max, 10, 20));
    assert_eq!(a.protect_rtp(&mut buffer, 32), Err(Dropped::TooManySources));
    let mut other = Session::new(&keys(Profile::AeadAes128Gcm, 1, 2));
    let one_more = protect(&mut other, &rtp(max, 10, 20));
    assert_eq!(unprotect(&mut b, &one_more), Err(Dropped::TooManySources));
    assert!(first.iter().all(|p| unprotect(&mut b, p) == Err(Dropped::Replayed)));
    // Those that are known go on.
    let next = protect(&mut a, &rtp(3, 11, 20));
    assert!(unprotect(&mut b, &next).is_ok());
}
