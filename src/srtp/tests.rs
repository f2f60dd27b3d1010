//! The room from outside: what passes, what does not, and what stays after it.

mod hostile;
mod peers;
mod properties;
mod vectors;

use super::{Dropped, Keys, MasterKey, Profile, Session};

const SSRC: u32 = 0xCAFE_BABE;
const ROOM: usize = 400;

fn key(profile: Profile, n: u8) -> MasterKey {
    let octets: Vec<u8> = (0..44u8).map(|i| i.wrapping_mul(73).wrapping_add(n.wrapping_mul(151)) ^ n).collect();
    MasterKey::from_octets(profile, &octets[..MasterKey::octets_of(profile)]).unwrap()
}

fn keys(profile: Profile, send: u8, receive: u8) -> Keys {
    Keys::new(profile, key(profile, send), key(profile, receive)).unwrap()
}

/// Two ends of a leg.
fn pair(profile: Profile) -> (Session, Session) {
    (Session::new(&keys(profile, 1, 2)), Session::new(&keys(profile, 2, 1)))
}

fn rtp(ssrc: u32, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|n| (n as u8).wrapping_mul(7) ^ sequence as u8));
    packet
}

fn report(ssrc: u32, words: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1 + words as u8];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..4 * words).map(|n| n as u8 ^ 0x5A));
    packet
}

fn protect(session: &mut Session, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; ROOM];
    buffer[..packet.len()].copy_from_slice(packet);
    let is_rtcp = (192..=223).contains(&packet[1]);
    let n = match is_rtcp {
        true => session.protect_rtcp(&mut buffer, packet.len()),
        false => session.protect_rtp(&mut buffer, packet.len()),
    };
    buffer[..n.unwrap()].to_vec()
}

fn unprotect(session: &mut Session, packet: &[u8]) -> Result<Vec<u8>, Dropped> {
    let mut buffer = packet.to_vec();
    let result = match (192..=223).contains(&packet[1]) {
        true => session.unprotect_rtcp(&mut buffer),
        false => session.unprotect_rtp(&mut buffer),
    };
    match result {
        Ok(n) => Ok(buffer[..n].to_vec()),
        Err(dropped) => {
            assert_eq!(buffer, packet, "what is refused is left as it came");
            Err(dropped)
        }
    }
}

#[test]
fn what_goes_in_comes_out_and_is_not_to_be_seen_between() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for n in 0..300u16 {
            let (packet, about) = (rtp(SSRC, 1000 + n, 160), report(SSRC, 6));
            let sealed = protect(&mut a, &packet);
            assert_eq!(sealed.len(), packet.len() + profile.rtp_tag_bytes());
            assert_eq!(sealed[..12], packet[..12], "the header stays");
            assert!(!sealed.windows(16).any(|w| packet[12..].windows(16).any(|p| p == w)));
            assert_eq!(unprotect(&mut b, &sealed), Ok(packet));
            let sealed = protect(&mut a, &about);
            assert_eq!(sealed.len(), about.len() + profile.rtcp_tag_bytes() + 4);
            assert!(!sealed.windows(8).any(|w| about[8..].windows(8).any(|p| p == w)));
            assert_eq!(unprotect(&mut b, &sealed), Ok(about));
        }
        assert_eq!(b.counts().passed, 600);
        // One tag a packet, and one more for the first if it could have been beyond a roll-over.
        assert_eq!(b.counts().tags_checked, 600);
    }
}

#[test]
fn headers_with_csrcs_and_extension_stay_in_the_clear() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let mut packet = rtp(SSRC, 7, 0);
        packet[0] = 0x92;
        packet.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0]);
        let head = packet.len();
        packet.extend(*b"sample");
        let sealed = protect(&mut a, &packet);
        assert_eq!(sealed[..head], packet[..head]);
        assert_ne!(sealed[head..packet.len()], packet[head..]);
        assert_eq!(unprotect(&mut b, &sealed), Ok(packet));
    }
}

#[test]
fn nothing_passes_twice_or_changed_or_under_another_key() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let mut stranger = Session::new(&keys(profile, 2, 3));
        for packet in [rtp(SSRC, 1, 40), report(SSRC, 3)] {
            let sealed = protect(&mut a, &packet);
            for at in 0..sealed.len() {
                for bit in 0..8 {
                    let mut changed = sealed.clone();
                    changed[at] ^= 1 << bit;
                    assert!(unprotect(&mut b, &changed).is_err(), "{profile:?}: octet {at}, bit {bit}");
                }
            }
            assert_eq!(unprotect(&mut stranger, &sealed), Err(Dropped::NotAuthentic));
            assert_eq!(unprotect(&mut b, &sealed), Ok(packet));
            assert_eq!(unprotect(&mut b, &sealed), Err(Dropped::Replayed));
        }
        assert_eq!(b.sources(), 1);
    }
}

#[test]
fn a_replay_costs_no_tag() {
    let (mut a, mut b) = pair(Profile::AesCm128HmacSha1_80);
    let sealed: Vec<Vec<u8>> = (0..500).map(|n| protect(&mut a, &rtp(SSRC, n, 160))).collect();
    sealed.iter().for_each(|p| drop(unprotect(&mut b, p).unwrap()));
    let before = b.counts().tags_checked;
    assert!(sealed.iter().all(|p| unprotect(&mut b, p) == Err(Dropped::Replayed)));
    assert_eq!((b.counts().tags_checked, b.counts().replayed), (before, 500));
}

#[test]
fn the_same_keys_again_change_nothing() {
    let profile = Profile::AeadAes128Gcm;
    let (mut a, mut b) = pair(profile);
    let first = protect(&mut a, &rtp(SSRC, 65_535, 20));
    unprotect(&mut b, &first).unwrap();
    a.rekey(&keys(profile, 1, 2));
    b.rekey(&keys(profile, 2, 1));
    let second = protect(&mut a, &rtp(SSRC, 0, 20));
    // Beyond the roll-over, and the replay window is still there.
    assert_eq!(unprotect(&mut b, &second), Ok(rtp(SSRC, 0, 20)));
    assert_eq!(unprotect(&mut b, &first), Err(Dropped::Replayed));
    assert_eq!(b.counts().tags_checked, 2);
}

#[test]
fn a_new_key_is_taken_up_while_packets_under_the_old_are_under_way() {
    for (old, new) in [(Profile::AesCm128HmacSha1_80, Profile::AesCm128HmacSha1_80), (Profile::AesCm128HmacSha1_32, Profile::AeadAes256Gcm)]
    {
        let (mut a, mut b) = pair(old);
        // Beyond two roll-overs: counters go on under the new key (RFC 3711 clause 3.3.1).
        a.set_sent(SSRC, 2 << 16 | 99);
        b.set_received(SSRC, 2 << 16 | 99);
        let under_way: Vec<_> = (100..105).map(|n| protect(&mut a, &rtp(SSRC, n, 30))).collect();
        b.rekey(&keys(new, 2, 4));
        assert_eq!(unprotect(&mut b, &under_way[0]), Ok(rtp(SSRC, 100, 30)));
        assert_eq!(unprotect(&mut b, &under_way[0]), Err(Dropped::Replayed));
        assert!(!b.is_proven());
        a.rekey(&keys(new, 4, 2));
        assert_eq!(unprotect(&mut b, &under_way[1]), Ok(rtp(SSRC, 101, 30)));
        let sealed = protect(&mut a, &rtp(SSRC, 105, 30));
        assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, 105, 30)));
        assert!(b.is_proven());
        // From here on the old key is nothing.
        assert!(unprotect(&mut b, &under_way[2]).is_err());
        let sealed = protect(&mut a, &rtp(SSRC, 106, 30));
        let before = b.counts().tags_checked;
        assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, 106, 30)));
        assert_eq!(b.counts().tags_checked, before + 1);
    }
}

#[test]
fn a_new_key_proven_by_a_report_lets_the_counter_of_the_audio_go_on() {
    let profile = Profile::AeadAes128Gcm;
    let (mut a, mut b) = pair(profile);
    a.set_sent(SSRC, 5 << 16);
    b.set_received(SSRC, 5 << 16);
    a.rekey(&keys(profile, 6, 2));
    b.rekey(&keys(profile, 2, 6));
    let about = protect(&mut a, &report(SSRC, 2));
    unprotect(&mut b, &about).unwrap();
    let sealed = protect(&mut a, &rtp(SSRC, 1, 30));
    assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, 1, 30)));
}

#[test]
fn a_peer_that_counts_from_nought_under_a_new_key_is_heard_too() {
    let profile = Profile::AesCm128HmacSha1_80;
    let (_, mut b) = pair(profile);
    b.set_received(SSRC, 3 << 16 | 5000);
    b.rekey(&keys(profile, 2, 9));
    let mut forgetful = Session::new(&keys(profile, 9, 2));
    for n in 5001..5100 {
        let sealed = protect(&mut forgetful, &rtp(SSRC, n, 30));
        assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, n, 30)));
    }
}

#[test]
fn keys_that_never_spoke_do_not_push_out_the_one_that_did() {
    let profile = Profile::AesCm128HmacSha1_80;
    let (mut a, mut b) = pair(profile);
    let heard = protect(&mut a, &rtp(SSRC, 1, 30));
    unprotect(&mut b, &heard).unwrap();
    b.rekey(&keys(profile, 2, 7));
    b.rekey(&keys(profile, 2, 8));
    let sealed = protect(&mut a, &rtp(SSRC, 2, 30));
    assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, 2, 30)));
    // Back to the first: what was heard stays heard.
    b.rekey(&keys(profile, 2, 1));
    assert_eq!(unprotect(&mut b, &heard), Err(Dropped::Replayed));
    assert_eq!(unprotect(&mut b, &sealed), Err(Dropped::Replayed));
}

#[test]
fn key_stream_is_never_used_twice() {
    for profile in Profile::ALL {
        let (mut a, _) = pair(profile);
        let mut buffer = [0; ROOM];
        let mut send = |ssrc, sequence| {
            let packet = rtp(ssrc, sequence, 20);
            buffer[..32].copy_from_slice(&packet);
            a.protect_rtp(&mut buffer, 32)
        };
        assert!(send(SSRC, 500).is_ok());
        assert_eq!(send(SSRC, 500), Err(Dropped::Exhausted));
        assert_eq!(send(SSRC, 499), Err(Dropped::Exhausted));
        assert!(send(SSRC + 1, 500).is_ok());
        // Coming back to an SSRC does not begin it again.
        assert_eq!(send(SSRC, 400), Err(Dropped::Exhausted));
        assert!(send(SSRC, 501).is_ok());
    }
}

#[test]
fn a_key_ends_before_its_counters_do() {
    let (mut a, mut b) = pair(Profile::AesCm128HmacSha1_80);
    let last = (1 << 48) - 1;
    a.set_sent(SSRC, last - 1);
    b.set_received(SSRC, last - 1);
    let sealed = protect(&mut a, &rtp(SSRC, 65_535, 20));
    assert!(unprotect(&mut b, &sealed).is_ok());
    let mut buffer = [0; ROOM];
    buffer[..32].copy_from_slice(&rtp(SSRC, 0, 20));
    assert_eq!(a.protect_rtp(&mut buffer, 32), Err(Dropped::Exhausted));
    assert_eq!(b.unprotect_rtp(&mut buffer[..42]), Err(Dropped::Exhausted));

    a.set_rtcp_sent((1 << 31) - 2);
    let sealed = protect(&mut a, &report(SSRC, 2));
    assert!(unprotect(&mut b, &sealed).is_ok());
    buffer[..16].copy_from_slice(&report(SSRC, 2));
    assert_eq!(a.protect_rtcp(&mut buffer, 16), Err(Dropped::Exhausted));
}

#[test]
fn a_stream_that_rolled_over_before_we_listened_is_heard() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for n in 65_530..=65_535 {
            protect(&mut a, &rtp(SSRC, n, 20));
        }
        for n in 0..40 {
            let sealed = protect(&mut a, &rtp(SSRC, n, 20));
            assert_eq!(unprotect(&mut b, &sealed), Ok(rtp(SSRC, n, 20)));
        }
    }
}

#[test]
fn a_buffer_without_room_is_refused_and_left() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for packet in [rtp(SSRC, 9, 20), report(SSRC, 2)] {
            let is_rtcp = packet[1] == 201;
            let need = if is_rtcp { profile.rtcp_tag_bytes() + 4 } else { profile.rtp_tag_bytes() };
            for room in 0..need {
                let mut buffer = packet.clone();
                buffer.resize(packet.len() + room, 0);
                let result = if is_rtcp { a.protect_rtcp(&mut buffer, packet.len()) } else { a.protect_rtp(&mut buffer, packet.len()) };
                assert_eq!(result, Err(Dropped::NoRoom));
                assert_eq!(buffer[..packet.len()], packet);
            }
            assert_eq!(a.protect_rtp(&mut packet.clone(), packet.len() + 1), Err(Dropped::NoRoom));
            // And the index was not used up: the packet can still be sent.
            let sealed = protect(&mut a, &packet);
            assert!(unprotect(&mut b, &sealed).is_ok());
        }
    }
}

#[test]
fn the_corpus_is_replayed() {
    let mut seen = 0;
    for folder in ["fixtures/corpus/srtp", "fixtures/corpus/grown/srtp"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            super::fuzz::session(&std::fs::read(entry.path()).unwrap());
            seen += 1;
        }
    }
    assert!(seen >= 4, "the corpus is missing");
}

#[test]
fn the_fuzz_body_holds_for_a_while_of_octets_made_from_the_corpus() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/srtp");
    let files: Vec<Vec<u8>> = std::fs::read_dir(path).unwrap().flatten().map(|e| std::fs::read(e.path()).unwrap()).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for _ in 0..3000 {
        let mut octets = files[random(files.len())].clone();
        for _ in 0..1 + random(20) {
            let at = random(octets.len());
            match random(3) {
                0 => octets[at] ^= 1 << random(8),
                1 => octets.truncate(at.max(1)),
                _ => octets.insert(at, random(256) as u8),
            }
        }
        super::fuzz::session(&octets);
    }
}
