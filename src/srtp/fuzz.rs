//! Body of the fuzz target in `tests/fuzz`: what must hold for any octets. The corpus in `fixtures/corpus` is replayed by the tests.

use super::{Keys, MasterKey, OVERHEAD_BYTES_MAX, Profile, Session};

/// The first octet chooses a profile; then each chunk is an octet of length, one of what is done, and a packet.
pub fn session(data: &[u8]) {
    let [first, rest @ ..] = data else { return };
    let profile = Profile::ALL[usize::from(first & 3)];
    let (mut ours, mut peer) = (Session::new(&keys(profile, 1, 2)), Session::new(&keys(profile, 2, 1)));
    let mut rest = rest;
    while let [length, how, tail @ ..] = rest {
        let n = usize::from(*length).min(tail.len());
        let (packet, next) = tail.split_at(n);
        let mut buffer = [0u8; 255 + OVERHEAD_BYTES_MAX];
        buffer[..n].copy_from_slice(packet);
        match how & 7 {
            // What was never protected does not pass, and is left as it came.
            0 => refused(ours.unprotect_rtp(&mut buffer[..n]), &buffer[..n], packet),
            1 => refused(ours.unprotect_rtcp(&mut buffer[..n]), &buffer[..n], packet),
            // What was passes once; how large the room is depends on the input, too.
            2..=4 => {
                let room = if how & 0x80 == 0 { buffer.len() } else { n + usize::from(how >> 3 & 15) };
                let Ok(sealed) = peer.protect_rtp(&mut buffer[..room], n) else {
                    rest = next;
                    continue;
                };
                let again = buffer;
                // A leap of more than half of the sequence numbers is one that no receiver can follow.
                if let Ok(opened) = ours.unprotect_rtp(&mut buffer[..sealed]) {
                    assert_eq!(&buffer[..opened], packet);
                    buffer = again;
                    assert!(ours.unprotect_rtp(&mut buffer[..sealed]).is_err());
                }
            }
            5 | 6 => {
                if let Ok(sealed) = peer.protect_rtcp(&mut buffer, n) {
                    let again = buffer;
                    if let Ok(opened) = ours.unprotect_rtcp(&mut buffer[..sealed]) {
                        assert_eq!(&buffer[..opened], packet);
                        buffer = again;
                        assert!(ours.unprotect_rtcp(&mut buffer[..sealed]).is_err());
                    }
                }
            }
            _ => {
                let (a, b) = (how >> 3, how >> 3 ^ 31);
                ours.rekey(&keys(profile, a, b));
                peer.rekey(&keys(profile, b, a));
            }
        }
        rest = next;
    }
    let counts = ours.counts();
    assert!(counts.tags_checked <= 3 * data.len() as u64);
}

fn refused(result: Result<usize, super::Dropped>, now: &[u8], before: &[u8]) {
    assert!(result.is_err() && now == before);
}

fn keys(profile: Profile, send: u8, receive: u8) -> Keys {
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 44][..MasterKey::octets_of(profile)]).expect("cut to its length");
    Keys::new(profile, key(send), key(receive)).expect("both keys are of the profile")
}
