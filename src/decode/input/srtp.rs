//! SRTP of a capture opened with a key: the room `srtp`, listening only, and counting what was authentic. A captured duplicate is harmless
//! here, and a capture may begin in the middle of a call.

use crate::srtp::{Keys, MasterKey, Profile, Session};

/// Key of one stream, and how its packets are protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    profile: Profile,
    master: MasterKey,
}

impl Key {
    /// Reads the Base64 of key and salt, as `a=crypto` and Wireshark write it. How long they are says which profile is meant, but that tags
    /// of 32 bits must be said: `AES_CM_128_HMAC_SHA1_32:BASE64`.
    pub fn read(text: &str) -> Option<Key> {
        if let Some((suite, key)) = text.split_once(':') {
            return Key::of_suite(suite, key);
        }
        [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm].into_iter().find_map(|p| Key::of(p, text))
    }

    /// The key of an `a=crypto` line. None if we know no such suite, too.
    pub fn of_suite(suite: &str, key: &str) -> Option<Key> {
        Key::of(Profile::from_name(suite)?, key)
    }

    fn of(profile: Profile, key: &str) -> Option<Key> {
        Some(Key { profile, master: MasterKey::from_base64(profile, key).ok()? })
    }
}

/// One SSRC's packets.
pub struct Context {
    session: Session,
    packets: u64,
    authenticated: u64,
}

impl Context {
    /// A stream under `key`.
    pub fn new(key: &Key) -> Context {
        let keys = Keys::new(key.profile, key.master.clone(), key.master.clone()).expect("the key was read for its profile");
        Context { session: Session::of_recording(&keys), packets: 0, authenticated: 0 }
    }

    /// Checks and decrypts a packet into `out` (the RTP packet without the tag). False, and `out` empty, if it is not authentic.
    pub fn unprotect(&mut self, packet: &[u8], out: &mut Vec<u8>) -> bool {
        self.packets += 1;
        out.clear();
        out.extend_from_slice(packet);
        let opened = self.session.unprotect_rtp(out);
        out.truncate(opened.unwrap_or(0));
        self.authenticated += u64::from(opened.is_ok());
        opened.is_ok()
    }

    /// Packets that were tried.
    pub fn packets(&self) -> u64 {
        self.packets
    }
    /// Packets whose tag was right.
    pub fn authenticated(&self) -> u64 {
        self.authenticated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_packet_is_not_opened_and_nothing_short_panics() {
        let mut c = Context::new(&Key::read(&"Bwc/".repeat(10)).unwrap());
        let mut out = Vec::new();
        for n in 0..60 {
            for first in [0x80, 0x90, 0x8F, 0x9F] {
                let p = vec![first; n];
                assert!(!c.unprotect(&p, &mut out) && out.is_empty());
            }
        }
        assert_eq!((c.packets(), c.authenticated()), (240, 0));
    }

    #[test]
    fn the_length_of_a_key_says_its_profile_or_a_word_does() {
        let read = |text: &str| Key::read(text).map(|k| k.profile);
        let forty = "aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZXRz";
        assert_eq!(read(forty), Some(Profile::AesCm128HmacSha1_80));
        assert_eq!(read(&format!("AES_CM_128_HMAC_SHA1_32:{forty}")), Some(Profile::AesCm128HmacSha1_32));
        assert_eq!(read(&format!("{}==", &forty[..38])), Some(Profile::AeadAes128Gcm));
        assert_eq!(read(&format!("{}=", &forty.repeat(2)[..59])), Some(Profile::AeadAes256Gcm));
        for bad in [
            "",
            "aSBr",
            "aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZXR*",
            &format!("F8_128_HMAC_SHA1_80:{forty}"),
            &format!("AEAD_AES_256_GCM:{forty}"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_recording_from_the_middle_of_a_call_with_packets_twice_is_read_whole() {
        for key in ["aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZXRz", "aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZQ=="] {
            let key = Key::read(key).unwrap();
            let mut sender = Session::new(&Keys::new(key.profile, key.master.clone(), key.master.clone()).unwrap());
            let (mut context, mut out) = (Context::new(&key), Vec::new());
            for index in (0..150_000u32).step_by(50) {
                let clear = [&[0x80, 0][..], &(index as u16).to_be_bytes(), &[0; 4], &[9; 4], b"sound"].concat();
                let mut packet = [clear.as_slice(), &[0; 20]].concat();
                let n = sender.protect_rtp(&mut packet, clear.len()).unwrap();
                if index > 140_000 {
                    assert!(context.unprotect(&packet[..n], &mut out) && out == clear);
                    assert!(context.unprotect(&packet[..n], &mut out) && out == clear);
                }
            }
            assert_eq!(context.packets(), context.authenticated());
        }
    }
}
