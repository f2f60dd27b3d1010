//! Master keys: from `a=crypto` (RFC 4568), from DTLS (RFC 5764), never shown, and wiped when they are dropped.

use super::profile::Profile;
use core::fmt;
use zeroize::Zeroize;

/// The longest master key with its salt: AES-256 in GCM has 44 octets, AES-128 with a salt of 14 has 30.
const OCTETS_MAX: usize = 44;
/// Text of the longest key parameter that is read: a key, a lifetime, and something to refuse.
const TEXT_BYTES_MAX: usize = 256;

/// Why a key was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// The key parameter does not begin with `inline:`.
    NotInline,
    /// Not Base64.
    NotBase64,
    /// More or fewer octets than the profile has.
    Length,
    /// A lifetime that is no power of two and no number, or of no packets at all.
    Lifetime,
    /// A master key identifier: we send and expect none (RFC 4568 clause 6.1 lets an answerer refuse it).
    Mki,
    /// More than one key, which only a master key identifier could tell apart.
    SeveralKeys,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::NotInline => "the key is not given inline",
            KeyError::NotBase64 => "the key is not Base64",
            KeyError::Length => "the key has not the length of its crypto suite",
            KeyError::Lifetime => "the lifetime of the key is not a number of packets",
            KeyError::Mki => "the key has a master key identifier, which is not supported",
            KeyError::SeveralKeys => "there are several keys, which is not supported",
        })
    }
}

/// A master key and its master salt.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    octets: [u8; OCTETS_MAX],
    key_bytes: u8,
    salt_bytes: u8,
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Key and salt of a profile, one behind the other. The caller wipes what it took them from.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<MasterKey, KeyError> {
        if key.len() != profile.key_bytes() || salt.len() != profile.salt_bytes() {
            return Err(KeyError::Length);
        }
        let mut octets = [0; OCTETS_MAX];
        octets[..key.len()].copy_from_slice(key);
        octets[key.len()..][..salt.len()].copy_from_slice(salt);
        Ok(MasterKey { octets, key_bytes: key.len() as u8, salt_bytes: salt.len() as u8 })
    }

    /// The same from one slice: random octets, say, of which there must be [`MasterKey::octets_of`].
    pub fn from_octets(profile: Profile, octets: &[u8]) -> Result<MasterKey, KeyError> {
        let (key, salt) = octets.split_at_checked(profile.key_bytes()).ok_or(KeyError::Length)?;
        MasterKey::new(profile, key, salt)
    }

    /// Octets of key and salt of a profile.
    pub const fn octets_of(profile: Profile) -> usize {
        profile.key_bytes() + profile.salt_bytes()
    }

    /// Reads the key parameter of an `a=crypto` line: `inline:` Base64, and perhaps a lifetime (RFC 4568 clause 6.1). The lifetime bounds what
    /// its author sends, so there is nothing to do about it here but to see that it is one.
    pub fn from_inline(profile: Profile, text: &str) -> Result<MasterKey, KeyError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(KeyError::Length);
        }
        let rest = text.get(..7).filter(|t| t.eq_ignore_ascii_case("inline:")).map(|_| &text[7..]).ok_or(KeyError::NotInline)?;
        if rest.contains(';') {
            return Err(KeyError::SeveralKeys);
        }
        let mut parts = rest.split('|');
        let key = parts.next().unwrap_or("");
        for part in parts {
            match part {
                _ if part.contains(':') => return Err(KeyError::Mki),
                _ if is_lifetime(part) => {}
                _ => return Err(KeyError::Lifetime),
            }
        }
        MasterKey::from_base64(profile, key)
    }

    /// Reads key and salt as Base64 alone, padded or not.
    pub fn from_base64(profile: Profile, text: &str) -> Result<MasterKey, KeyError> {
        let mut octets = [0u8; OCTETS_MAX];
        let read = base64(text, &mut octets).and_then(|n| MasterKey::from_octets(profile, &octets[..n]));
        octets.zeroize();
        read
    }

    /// Writes the key parameter of an `a=crypto` line: `inline:` and Base64.
    pub fn to_inline(&self) -> heapless::String<72> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = heapless::String::new();
        // 44 octets are 60 characters, and `inline:` is seven.
        let mut put = |c: char| text.push(c).expect("key and salt of any profile fit");
        "inline:".chars().for_each(&mut put);
        for three in self.octets[..self.len()].chunks(3) {
            let word = three.iter().enumerate().fold(0u32, |w, (i, o)| w | u32::from(*o) << (16 - 8 * i));
            for i in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
                put(if i <= three.len() { char::from(digit) } else { '=' });
            }
        }
        text
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.octets[..usize::from(self.key_bytes)]
    }
    pub(super) fn salt(&self) -> &[u8] {
        &self.octets[usize::from(self.key_bytes)..self.len()]
    }
    fn len(&self) -> usize {
        usize::from(self.key_bytes) + usize::from(self.salt_bytes)
    }
    fn is_of(&self, profile: Profile) -> bool {
        self.key().len() == profile.key_bytes() && self.salt().len() == profile.salt_bytes()
    }
}

/// `2^n`, or packets as a number.
fn is_lifetime(text: &str) -> bool {
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u64>().ok()).flatten();
    match text.strip_prefix("2^") {
        Some(power) => number(power).is_some_and(|n| n <= 48),
        None => number(text).is_some_and(|n| n > 0 && n <= 1 << 48),
    }
}

/// Reads Base64 (both alphabets of RFC 4648, as captures have both) into `out`; says how many octets that made.
fn base64(text: &str, out: &mut [u8]) -> Result<usize, KeyError> {
    let digits = text.trim_end_matches('=').as_bytes();
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return Err(KeyError::NotBase64);
    }
    let bytes = digits.len() * 3 / 4;
    if bytes > out.len() {
        return Err(KeyError::Length);
    }
    for (four, three) in digits.chunks(4).zip(out[..bytes].chunks_mut(3)) {
        let mut word = 0u32;
        for (i, c) in four.iter().enumerate() {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return Err(KeyError::NotBase64),
            };
            word |= u32::from(value) << (18 - 6 * i);
        }
        three.iter_mut().zip(&word.to_be_bytes()[1..]).for_each(|(to, from)| *to = *from);
    }
    Ok(bytes)
}

/// Which side of a DTLS handshake we were: it says whose key is whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// We sent the ClientHello.
    Client,
    /// The peer did.
    Server,
}

/// What a leg needs to be protected: a profile and a key each way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    profile: Profile,
    send: MasterKey,
    receive: MasterKey,
}

impl Keys {
    /// Keys that have the lengths of `profile`.
    pub fn new(profile: Profile, send: MasterKey, receive: MasterKey) -> Result<Keys, KeyError> {
        if !send.is_of(profile) || !receive.is_of(profile) {
            return Err(KeyError::Length);
        }
        Ok(Keys { profile, send, receive })
    }

    /// From the keying material that DTLS exports under the label `EXTRACTOR-dtls_srtp`: both keys, then both salts, the client's first
    /// (RFC 5764 clause 4.2).
    pub fn from_dtls(profile: Profile, material: &[u8], role: Role) -> Result<Keys, KeyError> {
        if material.len() != profile.keying_material_bytes() {
            return Err(KeyError::Length);
        }
        let (keys, salts) = material.split_at(2 * profile.key_bytes());
        let (client_key, server_key) = keys.split_at(profile.key_bytes());
        let (client_salt, server_salt) = salts.split_at(profile.salt_bytes());
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, server_salt)?;
        match role {
            Role::Client => Keys::new(profile, client, server),
            Role::Server => Keys::new(profile, server, client),
        }
    }

    /// How packets are protected.
    pub fn profile(&self) -> Profile {
        self.profile
    }
    /// The key of what we send.
    pub fn send(&self) -> &MasterKey {
        &self.send
    }
    /// The key of what the peer sends.
    pub fn receive(&self) -> &MasterKey {
        &self.receive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CM: Profile = Profile::AesCm128HmacSha1_80;

    #[test]
    fn keys_are_read_from_sdp_as_rfc_4568_writes_them() {
        let written = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        for text in [written.to_owned(), format!("{written}|2^20"), format!("{written}|1048576"), format!("{written}|2^31")] {
            let key = MasterKey::from_inline(CM, &text).unwrap();
            assert_eq!((key.key(), key.salt()), (&b"YS___semctl () {"[..], &b"\t220;}\n}\nunles"[..]));
            assert_eq!(key.to_inline(), written);
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_by_name() {
        let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        for (text, error) in [
            (format!("inline:{key}|2^20|1:4"), KeyError::Mki),
            (format!("inline:{key}|1:32"), KeyError::Mki),
            (format!("inline:{key}|2^20|1:4;inline:{key}|2^20|2:4"), KeyError::SeveralKeys),
            (format!("inline:{key}|"), KeyError::Lifetime),
            (format!("inline:{key}|0"), KeyError::Lifetime),
            (format!("inline:{key}|2^"), KeyError::Lifetime),
            (format!("inline:{key}|2^49"), KeyError::Lifetime),
            (format!("inline:{key}|+7"), KeyError::Lifetime),
            (format!("uri:{key}"), KeyError::NotInline),
            ("inline".to_owned(), KeyError::NotInline),
            ("\u{e9}\u{e9}\u{e9}\u{e9}".to_owned(), KeyError::NotInline),
            (String::new(), KeyError::NotInline),
            ("inline:".to_owned(), KeyError::Length),
            (format!("inline:{}", &key[..36]), KeyError::Length),
            (format!("inline:{key}AAAA"), KeyError::Length),
            (format!("inline:{}", "A".repeat(1000)), KeyError::Length),
            (format!("inline:{}*", &key[..39]), KeyError::NotBase64),
            (format!("inline:{key}A==="), KeyError::NotBase64),
            (format!("inline: {key}"), KeyError::NotBase64),
        ] {
            assert_eq!(MasterKey::from_inline(CM, &text), Err(error), "{text}");
        }
    }

    #[test]
    fn every_profile_writes_what_it_reads() {
        for profile in Profile::ALL {
            let octets: Vec<u8> = (0..MasterKey::octets_of(profile) as u8).map(|n| n.wrapping_mul(37)).collect();
            let key = MasterKey::from_octets(profile, &octets).unwrap();
            let text = key.to_inline();
            assert_eq!(MasterKey::from_inline(profile, &text), Ok(key.clone()));
            assert_eq!(MasterKey::from_inline(profile, text.trim_end_matches('=')), Ok(key));
            assert_eq!(MasterKey::from_octets(profile, &octets[1..]), Err(KeyError::Length));
        }
        // AES-128 with GCM wants 28 octets, not 30.
        let long = MasterKey::from_octets(CM, &[1; 30]).unwrap();
        assert_eq!(Keys::new(Profile::AeadAes128Gcm, long.clone(), long), Err(KeyError::Length));
    }

    #[test]
    fn dtls_material_is_cut_into_keys_then_salts() {
        let material: Vec<u8> = (0..60).collect();
        let client = Keys::from_dtls(CM, &material, Role::Client).unwrap();
        let server = Keys::from_dtls(CM, &material, Role::Server).unwrap();
        assert_eq!((client.send.key()[0], client.receive.key()[0], client.send.salt()[0], client.receive.salt()[0]), (0, 16, 32, 46));
        assert_eq!((client.send(), client.receive()), (server.receive(), server.send()));
        assert_eq!(Keys::from_dtls(CM, &material[1..], Role::Client), Err(KeyError::Length));
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = MasterKey::from_octets(CM, &[0xAB; 30]).unwrap();
        let keys = Keys::new(CM, key.clone(), key.clone()).unwrap();
        for shown in [format!("{key:?}"), format!("{keys:#?}")] {
            assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab,"), "{shown}");
        }
    }
}
