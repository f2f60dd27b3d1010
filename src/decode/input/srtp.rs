//! SRTP of a capture opened with a key: AES_CM_128_HMAC_SHA1_80, receiving only. Read RFC 3711 clauses 3.3, 4.1.1, 4.2 and 4.3.
//!
//! This reads recordings and nothing else: no replay list (a captured duplicate is harmless here), no lifetime, no sending. The SRTP of live
//! calls is media's business.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Bytes of key and salt together.
pub const KEY_BYTES: usize = 30;
/// Bytes of the authentication tag.
pub const TAG_BYTES: usize = 10;

/// Master key and master salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; KEY_BYTES]);

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads the Base64 of 30 bytes, as `a=crypto` and Wireshark write it.
    pub fn from_base64(text: &str) -> Option<Key> {
        let mut bytes = [0u8; KEY_BYTES];
        let digits = text.trim_end_matches('=');
        if digits.len() != KEY_BYTES / 3 * 4 {
            return None;
        }
        for (three, four) in bytes.chunks_exact_mut(3).zip(digits.as_bytes().chunks_exact(4)) {
            let mut word = 0u32;
            for c in four {
                let value = match c {
                    b'A'..=b'Z' => c - b'A',
                    b'a'..=b'z' => c - b'a' + 26,
                    b'0'..=b'9' => c - b'0' + 52,
                    b'+' | b'-' => 62,
                    b'/' | b'_' => 63,
                    _ => return None,
                };
                word = word << 6 | u32::from(value);
            }
            three.copy_from_slice(&word.to_be_bytes()[1..]);
        }
        Some(Key(bytes))
    }
}

/// One SSRC's cryptographic context.
pub struct Context {
    cipher: Aes128,
    salt: [u8; 14],
    mac: Hmac<Sha1>,
    /// Roll-over counter and highest sequence number that were authentic.
    newest: Option<(u32, u16)>,
    packets: u64,
    authenticated: u64,
}

impl Context {
    /// The session keys of a master key (key derivation rate 0).
    pub fn new(key: &Key) -> Context {
        let (master, salt) = key.0.split_at(16);
        let master = Aes128::new_from_slice(master).expect("sixteen bytes are an AES-128 key");
        let salt: [u8; 14] = salt.try_into().expect("the rest of thirty bytes is fourteen");
        let derive = |label: u8, out: &mut [u8]| {
            let mut iv = [0u8; 16];
            iv[..14].copy_from_slice(&salt);
            // The label stands before the 48 bits of the packet index, which is 0 here.
            iv[7] ^= label;
            out.fill(0);
            apply_key_stream(&master, iv, out);
        };
        let (mut encryption, mut authentication, mut session_salt) = ([0u8; 16], [0u8; 20], [0u8; 14]);
        derive(0, &mut encryption);
        derive(1, &mut authentication);
        derive(2, &mut session_salt);
        Context {
            cipher: Aes128::new(&encryption.into()),
            salt: session_salt,
            mac: <Hmac<Sha1> as Mac>::new_from_slice(&authentication).expect("HMAC takes keys of any length"),
            newest: None,
            packets: 0,
            authenticated: 0,
        }
    }

    /// Checks and decrypts a packet into `out` (the RTP packet without the tag). False, and `out` empty, if it is not authentic.
    pub fn unprotect(&mut self, packet: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        self.packets += 1;
        let Some(header) = header_bytes(packet) else { return false };
        let Some(split) = packet.len().checked_sub(TAG_BYTES).filter(|n| *n >= header) else { return false };
        let (message, tag) = packet.split_at(split);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let Some(roll_over) = self.candidates(sequence).into_iter().flatten().find(|r| self.is_authentic(message, *r, tag)) else {
            return false;
        };
        self.authenticated += 1;
        let newer = self.newest.is_none_or(|(r, s)| (roll_over, sequence) > (r, s));
        if newer {
            self.newest = Some((roll_over, sequence));
        }
        out.extend_from_slice(message);
        // IV = (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16).
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt);
        let index = u64::from(roll_over) << 16 | u64::from(sequence);
        iv[4..8].iter_mut().zip(&packet[8..12]).for_each(|(i, s)| *i ^= s);
        iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(i, n)| *i ^= n);
        apply_key_stream(&self.cipher, iv, &mut out[header..]);
        true
    }

    /// Packets that were tried.
    pub fn packets(&self) -> u64 {
        self.packets
    }
    /// Packets whose tag was right.
    pub fn authenticated(&self) -> u64 {
        self.authenticated
    }

    /// Roll-over counters that this sequence number may have, the likeliest first (RFC 3711 clause 3.3.1). A capture that begins in the
    /// middle of a call may have missed a roll-over or two.
    fn candidates(&self, sequence: u16) -> [Option<u32>; 3] {
        let Some((roll_over, newest)) = self.newest else { return [Some(0), Some(1), Some(2)] };
        let ahead = sequence.wrapping_sub(newest) < 0x8000;
        match (ahead, sequence < newest) {
            (true, true) => [roll_over.checked_add(1), None, None],
            (false, false) if sequence != newest => [roll_over.checked_sub(1), Some(roll_over), None],
            _ => [Some(roll_over), None, None],
        }
    }

    fn is_authentic(&self, message: &[u8], roll_over: u32, tag: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.update(&roll_over.to_be_bytes());
        mac.verify_truncated_left(tag).is_ok()
    }
}

/// Exclusive-or with AES in counter mode; the last two bytes of the IV count.
fn apply_key_stream(cipher: &Aes128, mut iv: [u8; 16], data: &mut [u8]) {
    for (n, block) in data.chunks_mut(16).enumerate() {
        iv[14..].copy_from_slice(&(n as u16).to_be_bytes());
        let mut stream = iv.into();
        cipher.encrypt_block(&mut stream);
        block.iter_mut().zip(stream).for_each(|(b, s)| *b ^= s);
    }
}

/// Length of the RTP header with CSRCs and extension: they are not encrypted.
fn header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let fixed = 12 + 4 * usize::from(first & 15);
    if first & 0x10 == 0 {
        return (packet.len() >= fixed).then_some(fixed);
    }
    let words = packet.get(fixed + 2..fixed + 4)?;
    let all = fixed + 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    (packet.len() >= all).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_derivation_follows_rfc_3711_b_3() {
        let key = Key([
            0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39, 0x0E, 0xC6, 0x75, 0xAD, 0x49,
            0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
        ]);
        assert_eq!(Context::new(&key).salt, [0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C, 0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1]);
    }

    #[test]
    fn the_key_stream_is_that_of_rfc_3711_b_2() {
        let cipher = Aes128::new(&[0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C].into());
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&[0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD]);
        let mut data = [0u8; 32];
        apply_key_stream(&cipher, iv, &mut data);
        assert_eq!(data[..4], [0xE0, 0x3E, 0xAD, 0x09]);
        assert_eq!(data[16..20], [0xD2, 0x35, 0x13, 0x16]);
    }

    #[test]
    fn a_forged_packet_is_not_opened_and_nothing_short_panics() {
        let mut c = Context::new(&Key([7; KEY_BYTES]));
        let mut out = Vec::new();
        for n in 0..60 {
            for first in [0x80, 0x90, 0x8F, 0x9F] {
                let mut p = vec![first; n];
                if let Some(f) = p.first_mut() {
                    *f = first;
                }
                assert!(!c.unprotect(&p, &mut out) && out.is_empty());
            }
        }
        assert_eq!((c.packets(), c.authenticated()), (240, 0));
    }

    #[test]
    fn keys_are_thirty_bytes_of_base64() {
        let key = Key::from_base64("aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZXRz").unwrap();
        assert_eq!(&key.0, b"i know all your little secrets");
        for bad in ["", "aSBr", "aSBrbm93IGFsbCB5b3VyIGxpdHRsZSBzZWNyZXR*"] {
            assert!(Key::from_base64(bad).is_none());
        }
    }
}
