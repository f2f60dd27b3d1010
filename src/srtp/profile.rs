//! Protection profiles: which cipher, which tag, and what SDP and DTLS call them.

/// How packets are protected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Profile {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits: what every peer has.
    AesCm128HmacSha1_80,
    /// The same with 32-bit tags on RTP (RTCP keeps 80). By SDES only: a forger hits such a tag after 2^31 tries on average, and with DTLS
    /// there is always something better.
    AesCm128HmacSha1_32,
    /// AES-128 in Galois counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois counter mode (RFC 7714).
    AeadAes256Gcm,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 4] =
        [Profile::AesCm128HmacSha1_80, Profile::AesCm128HmacSha1_32, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];

    /// The crypto suite of an `a=crypto` line (RFC 4568 clause 6.2, RFC 7714 clause 14.1). Also the name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Profile::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Profile::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The profile of a crypto suite. Its name is a token, and compared as such (RFC 4568 clause 9.2: case counts).
    pub fn from_name(suite: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|p| p.name() == suite)
    }

    /// The number in DTLS's `use_srtp` (RFC 5764 clause 4.1.2, RFC 7714 clause 14.2); none for what we do by SDES only.
    pub const fn dtls_number(self) -> Option<u16> {
        match self {
            Profile::AesCm128HmacSha1_80 => Some(0x0001),
            Profile::AesCm128HmacSha1_32 => None,
            Profile::AeadAes128Gcm => Some(0x0007),
            Profile::AeadAes256Gcm => Some(0x0008),
        }
    }

    /// The profile of a number in `use_srtp`.
    pub fn from_dtls_number(number: u16) -> Option<Profile> {
        Profile::ALL.into_iter().find(|p| p.dtls_number() == Some(number))
    }

    /// Octets of a master key (and of the session keys of encryption).
    pub const fn key_bytes(self) -> usize {
        match self {
            Profile::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Octets of a master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Profile::AesCm128HmacSha1_80 | Profile::AesCm128HmacSha1_32 => 14,
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 12,
        }
    }

    /// Octets that SRTP adds to an RTP packet.
    pub const fn rtp_tag_bytes(self) -> usize {
        match self {
            Profile::AesCm128HmacSha1_80 => 10,
            Profile::AesCm128HmacSha1_32 => 4,
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 16,
        }
    }

    /// Octets of the tag of an RTCP packet; the index takes four more.
    pub const fn rtcp_tag_bytes(self) -> usize {
        match self {
            Profile::AesCm128HmacSha1_80 | Profile::AesCm128HmacSha1_32 => 10,
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 16,
        }
    }

    /// Octets of keying material that DTLS exports for both directions (RFC 5764 clause 4.2).
    pub const fn keying_material_bytes(self) -> usize {
        2 * (self.key_bytes() + self.salt_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
            if let Some(number) = profile.dtls_number() {
                assert_eq!(Profile::from_dtls_number(number), Some(profile));
            }
        }
        // SRTP_AES128_CM_HMAC_SHA1_32 of RFC 5764 is not taken from DTLS, and NULL ciphers are nothing we know.
        for number in [0, 2, 5, 6, 9] {
            assert_eq!(Profile::from_dtls_number(number), None);
        }
        assert_eq!(Profile::from_name("aes_cm_128_hmac_sha1_80"), None);
        assert_eq!(Profile::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn keying_material_is_as_long_as_the_standards_say() {
        assert_eq!(Profile::ALL.map(Profile::keying_material_bytes), [60, 60, 56, 88]);
    }
}
