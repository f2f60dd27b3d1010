//! Base64 (RFC 4648 clause 4): certificates and signatures in JSON, pictures inside an HTML page.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as Base64, padded.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            text.push(if i <= three.len() { char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes of padded Base64 in its one canonical form; `None` for anything else, line ends included.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for four in bytes[..bytes.len() - padding].chunks(4) {
        let mut word = 0u32;
        for b in four {
            let value = DIGITS.iter().position(|d| d == b)?;
            word = word << 6 | value as u32;
        }
        let octets = four.len() * 6 / 8;
        word <<= 6 * (4 - four.len());
        // Bits beyond the last octet are zero, so that no two texts are the same bytes.
        if octets == 0 || word & ((1 << (24 - 8 * octets)) - 1) != 0 {
            return None;
        }
        out.extend((0..octets).map(|i| (word >> (16 - 8 * i)) as u8));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn test_vectors_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(super::encode(bytes.as_bytes()), text);
            assert_eq!(super::decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Zg", "Zh==", "Zm9=", "Zg==Zg==", "====", "Z===", "Zm 9", "Zm9\n"] {
            assert_eq!(super::decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(super::decode(&super::encode(&bytes)), Some(bytes));
        }
        #[test]
        fn only_what_is_written_is_read(text in "[A-Za-z0-9+/=]{0,40}") {
            if let Some(bytes) = super::decode(&text) {
                prop_assert_eq!(super::encode(&bytes), text);
            }
        }
    }
}
