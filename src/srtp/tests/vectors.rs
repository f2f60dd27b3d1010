//! The test vectors of the standards.

use super::super::transform::{Kind, Transform, apply_key_stream, derive};
use super::*;
use aes::Aes128Enc;
use aes::cipher::KeyInit;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

#[test]
fn rfc_3711_b_2_key_stream() {
    let cipher = Aes128Enc::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
    let mut data = vec![0u8; 16 * 0xFF02];
    apply_key_stream(&cipher, iv, &mut data);
    for (block, stream) in [
        (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xFEFF, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xFF00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xFF01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        assert_eq!(data[16 * block..][..16], hex(stream), "{block:x}");
    }
}

#[test]
fn rfc_3711_b_3_key_derivation() {
    let master = Aes128Enc::new_from_slice(&hex("E1F97A0D3E018BE0D64FA32C06DE4139")).unwrap();
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let (mut encryption, mut authentication, mut session_salt) = ([0; 16], [0; 94], [0; 14]);
    derive(&master, &salt, 0).into_parts(&mut encryption, &mut authentication, &mut session_salt);
    assert_eq!(encryption[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(session_salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    let all = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
               6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
    assert_eq!(authentication[..], hex(all));
}

const GALLIA: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";
const REPORT: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";

/// RFC 7714 clauses 16 (SRTP) and 17 (SRTCP): session keys are given, so the transform is asked.
#[test]
fn rfc_7714_packets() {
    let (key, salt) = (hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), hex("517569642070726f2071756f"));
    for (profile, srtp, srtcp) in [
        (
            Profile::AeadAes128Gcm,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833
             899d7f27 beb16a91 52cf765e e4390cce",
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
             0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        ),
        (
            Profile::AeadAes256Gcm,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b
             7aa3db36 dfffd6b0 f9bb7878 d7a76c13",
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047
             6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        ),
    ] {
        let key = &key[..profile.key_bytes()];
        let transform = Transform::new(profile, Kind::Rtp, key, &[], &salt);
        let (clear, sealed) = (hex(GALLIA), hex(srtp));
        let mut buffer = clear.clone();
        buffer.resize(clear.len() + 16, 0);
        assert_eq!(transform.seal_rtp(&mut buffer, 12, 0x5501a0b2, 0xf17b), sealed.len());
        assert_eq!(buffer, sealed);
        assert_eq!(transform.open_rtp(&mut buffer, 12, 0x5501a0b2, 0xf17b), Some(clear.len()));
        assert_eq!(buffer[..clear.len()], clear);

        let transform = Transform::new(profile, Kind::Rtcp, key, &[], &salt);
        let (clear, sealed) = (hex(REPORT), hex(srtcp));
        let mut buffer = clear.clone();
        buffer.resize(clear.len() + 20, 0);
        assert_eq!(transform.seal_rtcp(&mut buffer, clear.len(), 0x4d617273, 0x5d4), sealed.len());
        assert_eq!(buffer, sealed);
        let word = transform.rtcp_word(&buffer);
        assert_eq!(word, 0x800005d4);
        assert_eq!(transform.open_rtcp(&mut buffer, 0x4d617273, word), Some(clear.len()));
        assert_eq!(buffer[..clear.len()], clear);
    }
}
