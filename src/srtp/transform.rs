//! One packet under session keys: counter mode with HMAC-SHA1 (RFC 3711 clause 4), or Galois counter mode (RFC 7714). In place, without
//! allocation; what came before is nobody's business here.

use super::master_key::MasterKey;
use super::profile::Profile;
use aes::cipher::{Block, BlockEncrypt, BlockSizeUser, KeyInit, consts::U12, consts::U16};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{AesGcm, Tag};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroize;

/// Octets of an RTCP packet that stay in the clear: its first header and the sender's SSRC.
pub const RTCP_HEADER_BYTES: usize = 8;
/// Octets of the SRTCP index with its E bit.
pub const INDEX_BYTES: usize = 4;
/// The E bit of SRTCP: the packet is encrypted.
pub const E_BIT: u32 = 1 << 31;
/// Blocks of key stream made at a time; the AES instructions work on eight side by side.
const BLOCKS: usize = 8;

/// Session keys of one direction, for RTP or for RTCP: the labels of key derivation begin at 0 or at 3 (RFC 3711 clause 4.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// SRTP.
    Rtp,
    /// SRTCP.
    Rtcp,
}

/// The cipher, keyed. It lies where its session lies: a rekeying in the tick must not allocate, so nothing here is boxed.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
enum Cipher {
    Cm { cipher: Aes128Enc, mac: Hmac<Sha1> },
    Gcm128(AesGcm<Aes128Enc, U12>),
    Gcm256(AesGcm<Aes256Enc, U12>),
}

/// Session keys of one direction, for RTP or for RTCP.
#[derive(Clone)]
pub struct Transform {
    cipher: Cipher,
    salt: [u8; 14],
    tag_bytes: usize,
}

impl Drop for Transform {
    fn drop(&mut self) {
        // The ciphers wipe their own keys.
        self.salt.zeroize();
    }
}

impl Transform {
    /// Derives session keys from a master key (key derivation rate 0: once).
    pub fn derive(profile: Profile, master: &MasterKey, kind: Kind) -> Transform {
        let (mut key, mut authentication, mut salt) = ([0u8; 32], [0u8; 20], [0u8; 14]);
        let key = &mut key[..profile.key_bytes()];
        let label = if kind == Kind::Rtp { 0 } else { 3 };
        let part = &mut salt[..profile.salt_bytes()];
        const LENGTH: &str = "a master key has the length of its profile";
        match profile {
            Profile::AeadAes256Gcm => {
                let cipher = Aes256Enc::new_from_slice(master.key()).expect(LENGTH);
                derive(&cipher, master.salt(), label).into_parts(key, &mut authentication, part);
            }
            _ => {
                let cipher = Aes128Enc::new_from_slice(master.key()).expect(LENGTH);
                derive(&cipher, master.salt(), label).into_parts(key, &mut authentication, part);
            }
        }
        let made = Transform::new(profile, kind, key, &authentication, part);
        key.zeroize();
        authentication.zeroize();
        salt.zeroize();
        made
    }

    /// Session keys as they are: what the test vectors of the standards begin from.
    pub fn new(profile: Profile, kind: Kind, key: &[u8], authentication: &[u8], salt: &[u8]) -> Transform {
        const LENGTH: &str = "the caller cut the key to the length that the profile has";
        let cipher = match profile {
            Profile::AesCm128HmacSha1_80 | Profile::AesCm128HmacSha1_32 => Cipher::Cm {
                cipher: Aes128Enc::new_from_slice(key).expect(LENGTH),
                mac: <Hmac<Sha1> as Mac>::new_from_slice(authentication).expect("HMAC takes keys of any length"),
            },
            Profile::AeadAes128Gcm => Cipher::Gcm128(AesGcm::new_from_slice(key).expect(LENGTH)),
            Profile::AeadAes256Gcm => Cipher::Gcm256(AesGcm::new_from_slice(key).expect(LENGTH)),
        };
        let mut whole = [0; 14];
        whole[..salt.len()].copy_from_slice(salt);
        let tag_bytes = if kind == Kind::Rtp { profile.rtp_tag_bytes() } else { profile.rtcp_tag_bytes() };
        Transform { cipher, salt: whole, tag_bytes }
    }

    /// Octets of its tags.
    pub fn tag_bytes(&self) -> usize {
        self.tag_bytes
    }

    /// Protects an RTP packet: `packet` is the packet and room for the tag behind it, and the first `header` octets stay as they are. Says
    /// the new length.
    pub fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> usize {
        let length = packet.len();
        let (message, tag) = packet.split_at_mut(length - self.tag_bytes);
        match &self.cipher {
            Cipher::Cm { cipher, mac } => {
                apply_key_stream(cipher, self.counter_block(ssrc, index), &mut message[header..]);
                let made = sign(mac, message, &roll_over(index));
                tag.copy_from_slice(&made[..tag.len()]);
            }
            cipher => {
                let (head, text) = message.split_at_mut(header);
                tag.copy_from_slice(&cipher.seal(&self.rtp_nonce(ssrc, index), head, text));
            }
        }
        length
    }

    /// Checks an SRTP packet and decrypts it; says the length of what is left, or none if it is not authentic, and then nothing is changed.
    /// The caller has seen that header and tag are there.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        let length = packet.len() - self.tag_bytes;
        let (message, tag) = packet.split_at_mut(length);
        match &self.cipher {
            Cipher::Cm { cipher, mac } => {
                verify(mac, message, &roll_over(index), tag)?;
                apply_key_stream(cipher, self.counter_block(ssrc, index), &mut message[header..]);
            }
            cipher => {
                let (head, text) = message.split_at_mut(header);
                cipher.open(&self.rtp_nonce(ssrc, index), head, text, tag)?;
            }
        }
        Some(length)
    }

    /// Protects an RTCP packet of `length` octets, with room behind it for the tag and the index. Says the new length.
    pub fn seal_rtcp(&self, packet: &mut [u8], length: usize, ssrc: u32, index: u32) -> usize {
        let word = (E_BIT | index).to_be_bytes();
        let (message, trailer) = packet.split_at_mut(length);
        match &self.cipher {
            Cipher::Cm { cipher, mac } => {
                apply_key_stream(cipher, self.counter_block(ssrc, u64::from(index)), &mut message[RTCP_HEADER_BYTES..]);
                let made = sign(mac, message, &word);
                trailer[..INDEX_BYTES].copy_from_slice(&word);
                trailer[INDEX_BYTES..][..self.tag_bytes].copy_from_slice(&made[..self.tag_bytes]);
            }
            cipher => {
                let (head, text) = message.split_at_mut(RTCP_HEADER_BYTES);
                let tag = cipher.seal(&self.rtcp_nonce(ssrc, index), &rtcp_associated(head, word), text);
                trailer[..self.tag_bytes].copy_from_slice(&tag);
                trailer[self.tag_bytes..][..INDEX_BYTES].copy_from_slice(&word);
            }
        }
        length + self.tag_bytes + INDEX_BYTES
    }

    /// The word of an SRTCP packet that holds the E bit and the index. The caller has seen that it is there.
    pub fn rtcp_word(&self, packet: &[u8]) -> u32 {
        let behind = if matches!(self.cipher, Cipher::Cm { .. }) { self.tag_bytes } else { 0 };
        let at = packet.len() - behind - INDEX_BYTES;
        u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
    }

    /// Checks an SRTCP packet and decrypts it, as [`Transform::open_rtp`] does. `word` is what [`Transform::rtcp_word`] said, E bit and all.
    pub fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<usize> {
        let length = packet.len() - self.tag_bytes - INDEX_BYTES;
        let (message, trailer) = packet.split_at_mut(length);
        let index = word & !E_BIT;
        match &self.cipher {
            Cipher::Cm { cipher, mac } => {
                verify(mac, message, &word.to_be_bytes(), &trailer[INDEX_BYTES..])?;
                apply_key_stream(cipher, self.counter_block(ssrc, u64::from(index)), &mut message[RTCP_HEADER_BYTES..]);
            }
            cipher => {
                let (head, text) = message.split_at_mut(RTCP_HEADER_BYTES);
                let associated = rtcp_associated(head, word.to_be_bytes());
                cipher.open(&self.rtcp_nonce(ssrc, index), &associated, text, &trailer[..self.tag_bytes])?;
            }
        }
        Some(length)
    }

    /// IV of counter mode: (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16) (RFC 3711 clause 4.1.1).
    fn counter_block(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        iv
    }

    /// Nonce of SRTP in GCM: two zeros, SSRC, roll-over counter and sequence number, xor salt (RFC 7714 clause 8.1).
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce = self.salt_of_gcm();
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        nonce
    }

    /// Nonce of SRTCP in GCM: two zeros, SSRC, two zeros, index, xor salt (RFC 7714 clause 9.1).
    fn rtcp_nonce(&self, ssrc: u32, index: u32) -> [u8; 12] {
        let mut nonce = self.salt_of_gcm();
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[8..12], &index.to_be_bytes());
        nonce
    }

    fn salt_of_gcm(&self) -> [u8; 12] {
        core::array::from_fn(|i| self.salt[i])
    }
}

impl Cipher {
    /// GCM only: encrypts `text` and makes the tag.
    fn seal(&self, nonce: &[u8; 12], associated: &[u8], text: &mut [u8]) -> Tag {
        const SHORT: &str = "a datagram is shorter than GCM's 64 GB";
        match self {
            Cipher::Cm { .. } => unreachable!("counter mode is handled where it is matched"),
            Cipher::Gcm128(aead) => aead.encrypt_in_place_detached(nonce.into(), associated, text).expect(SHORT),
            Cipher::Gcm256(aead) => aead.encrypt_in_place_detached(nonce.into(), associated, text).expect(SHORT),
        }
    }

    /// GCM only: checks the tag, then decrypts.
    fn open(&self, nonce: &[u8; 12], associated: &[u8], text: &mut [u8], tag: &[u8]) -> Option<()> {
        let tag = Tag::from_slice(tag);
        match self {
            Cipher::Cm { .. } => unreachable!("counter mode is handled where it is matched"),
            Cipher::Gcm128(aead) => aead.decrypt_in_place_detached(nonce.into(), associated, text, tag).ok(),
            Cipher::Gcm256(aead) => aead.decrypt_in_place_detached(nonce.into(), associated, text, tag).ok(),
        }
    }
}

/// Key derivation with a master cipher (RFC 3711 clause 4.3).
pub struct Derivation<'a, C> {
    master: &'a C,
    salt: &'a [u8],
    label: u8,
}

/// Session keys from `label` on.
pub fn derive<'a, C>(master: &'a C, salt: &'a [u8], label: u8) -> Derivation<'a, C> {
    Derivation { master, salt, label }
}

impl<C: BlockEncrypt + BlockSizeUser<BlockSize = U16>> Derivation<'_, C> {
    /// Encryption key, authentication key and salt, each as long as it is wanted.
    pub fn into_parts(self, encryption: &mut [u8], authentication: &mut [u8], salt: &mut [u8]) {
        for (label, out) in [(0, encryption), (1, authentication), (2, salt)] {
            let mut iv = [0u8; 16];
            // A salt of 96 bits stands to the left, too (RFC 7714 clause 11).
            iv[..self.salt.len()].copy_from_slice(self.salt);
            // The label stands before the 48 bits of the packet index, which is 0 here.
            iv[7] ^= self.label + label;
            apply_key_stream(self.master, iv, out);
            iv.zeroize();
        }
    }
}

/// Exclusive-or with AES in counter mode; the last two octets of the IV count.
pub fn apply_key_stream<C: BlockEncrypt + BlockSizeUser<BlockSize = U16>>(cipher: &C, iv: [u8; 16], data: &mut [u8]) {
    let mut counter = 0u16;
    for part in data.chunks_mut(16 * BLOCKS) {
        let mut stream = [Block::<C>::from(iv); BLOCKS];
        let blocks = &mut stream[..part.len().div_ceil(16)];
        for block in blocks.iter_mut() {
            block[14..].copy_from_slice(&counter.to_be_bytes());
            counter = counter.wrapping_add(1);
        }
        cipher.encrypt_blocks(blocks);
        part.chunks_mut(16).zip(blocks).for_each(|(text, stream)| xor(text, stream));
    }
}

fn xor(to: &mut [u8], with: &[u8]) {
    to.iter_mut().zip(with).for_each(|(a, b)| *a ^= b);
}

/// The roll-over counter as it is authenticated behind an RTP packet.
fn roll_over(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn sign(mac: &Hmac<Sha1>, message: &[u8], behind: &[u8; 4]) -> [u8; 20] {
    let mut mac = mac.clone();
    mac.update(message);
    mac.update(behind);
    mac.finalize().into_bytes().into()
}

fn verify(mac: &Hmac<Sha1>, message: &[u8], behind: &[u8; 4], tag: &[u8]) -> Option<()> {
    let mut mac = mac.clone();
    mac.update(message);
    mac.update(behind);
    mac.verify_truncated_left(tag).ok()
}

/// What GCM authenticates of an RTCP packet beside its text: the header and the word with the index (RFC 7714 clause 9.2).
fn rtcp_associated(header: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER_BYTES + INDEX_BYTES] {
    let mut all = [0; RTCP_HEADER_BYTES + INDEX_BYTES];
    all[..RTCP_HEADER_BYTES].copy_from_slice(header);
    all[RTCP_HEADER_BYTES..].copy_from_slice(&word);
    all
}
