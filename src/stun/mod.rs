//! STUN on the SIP port (RFC 8489; for the UDP keep-alives of RFC 5626 s.3.5.2 and s.8): Binding requests, and their answer, which is the
//! sender's address as it is seen, XORed. Nothing else of STUN: no credentials, no other methods. [`Client`] asks.

mod client;
pub mod fuzz;

pub use client::Client;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// What an answer may carry that means nothing to who has no credentials: MAPPED-ADDRESS (it is what NATs rewrite, hence the XORed one),
/// MESSAGE-INTEGRITY and its successor, REALM, NONCE.
const WITHOUT_MEANING: [u16; 5] = [0x0001, 0x0008, 0x001C, 0x0014, 0x0015];
/// Bytes of the header (s.6).
const HEADER: usize = 20;
/// Attributes that must be understood and are not are named in the refusal, up to so many.
const UNKNOWN_NAMED_MAX: usize = 4;

/// Whether a datagram on the SIP port is STUN: two zero bits, the magic cookie, a length that fits (s.8).
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes[0] & 0xC0 == 0
        && bytes[4..8] == MAGIC_COOKIE
        && usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) == bytes.len() - HEADER
}

/// A Binding request with this transaction id (s.5: 96 bits that nobody can guess).
pub fn binding_request(transaction: [u8; 12]) -> Vec<u8> {
    let mut id = [0u8; 16];
    id[..4].copy_from_slice(&MAGIC_COOKIE);
    id[4..].copy_from_slice(&transaction);
    frame(BINDING_REQUEST, &id, &[])
}

/// What answers a Binding request of this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Which request.
    pub transaction: [u8; 12],
    /// Our address as the server sees it; `None`: it refuses, or says it in a way that we cannot read.
    pub mapped: Option<SocketAddr>,
}

/// Whether it answers a Binding request, well or not.
pub fn is_answer(bytes: &[u8]) -> bool {
    is_stun(bytes) && (bytes[..2] == BINDING_SUCCESS || bytes[..2] == BINDING_ERROR)
}

/// Reads the answer to a Binding request; `None` for whatever is none.
pub fn read_answer(bytes: &[u8]) -> Option<Answered> {
    if !is_answer(bytes) {
        return None;
    }
    let id: [u8; 16] = bytes[4..HEADER].try_into().ok()?;
    let transaction: [u8; 12] = bytes[8..HEADER].try_into().ok()?;
    let mapped = if bytes[..2] == BINDING_SUCCESS { mapped_address(&bytes[HEADER..], &id) } else { None };
    Some(Answered { transaction, mapped })
}

/// XOR-MAPPED-ADDRESS (s.14.2), unless something stands beside it that must be understood and is not (s.6.3.3).
fn mapped_address(attributes: &[u8], id: &[u8; 16]) -> Option<SocketAddr> {
    let mut mapped = None;
    let mut all = Attributes(attributes);
    for (kind, value) in all.by_ref() {
        if kind == XOR_MAPPED_ADDRESS {
            // The first counts (s.14).
            mapped = mapped.or(unxor(value, id));
        } else if kind < 0x8000 && !WITHOUT_MEANING.contains(&kind) {
            return None;
        }
    }
    mapped.filter(|_| all.0.is_empty())
}

fn unxor(value: &[u8], id: &[u8; 16]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ 0x2112;
    let plain = |i: usize| value[4 + i] ^ id[i];
    let ip = match (value[1], value.len()) {
        (1, 8) => IpAddr::V4(Ipv4Addr::from(core::array::from_fn(plain))),
        (2, 20) => IpAddr::V6(Ipv6Addr::from(core::array::from_fn::<u8, 16, _>(plain))),
        _ => return None,
    };
    let nowhere = ip.is_unspecified() || ip.is_multicast() || port == 0;
    (!nowhere).then(|| SocketAddr::new(ip, port))
}

/// The attributes of a message. What is left of it behind the last is no attribute.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let kind = u16::from_be_bytes([*self.0.first()?, *self.0.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*self.0.get(2)?, *self.0.get(3)?]));
        let value = self.0.get(4..4 + length)?;
        self.0 = self.0.get(4 + length.next_multiple_of(4)..)?;
        Some((kind, value))
    }
}

/// The answer to a Binding request that came from `source`; `None` for what is none (an indication, an answer, a broken one).
pub fn binding_answer(bytes: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    if !is_stun(bytes) || bytes[..2] != BINDING_REQUEST {
        return None;
    }
    let id: [u8; 16] = bytes[4..HEADER].try_into().ok()?;
    let unknown = unknown_attributes(&bytes[HEADER..])?;
    if !unknown.is_empty() {
        // s.7.3.1: 420 with their names.
        let names: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        let mut body = Vec::new();
        put(&mut body, ERROR_CODE, b"\x00\x00\x04\x14Unknown Attribute");
        put(&mut body, UNKNOWN_ATTRIBUTES, &names);
        return Some(frame(BINDING_ERROR, &id, &body));
    }
    let mut value = vec![0, if source.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&(source.port() ^ 0x2112).to_be_bytes());
    match source.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets().iter().zip(&id).map(|(a, b)| a ^ b)),
        IpAddr::V6(ip) => value.extend(ip.octets().iter().zip(&id).map(|(a, b)| a ^ b)),
    }
    let mut body = Vec::new();
    put(&mut body, XOR_MAPPED_ADDRESS, &value);
    Some(frame(BINDING_SUCCESS, &id, &body))
}

/// Types of the attributes that must be understood (below 0x8000) and are not: a Binding request without credentials needs none.
/// `None` if the attributes do not fill the message.
fn unknown_attributes(attributes: &[u8]) -> Option<Vec<u16>> {
    let mut all = Attributes(attributes);
    let unknown = all.by_ref().map(|(kind, _)| kind).filter(|kind| *kind < 0x8000).take(UNKNOWN_NAMED_MAX).collect();
    // Those beyond the bound are read all the same.
    all.by_ref().for_each(drop);
    all.0.is_empty().then_some(unknown)
}

fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&kind.to_be_bytes());
    body.extend_from_slice(&(value.len() as u16).to_be_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A message: its type, its length, cookie and transaction, its attributes.
fn frame(kind: [u8; 2], id: &[u8; 16], body: &[u8]) -> Vec<u8> {
    [&kind[..], &(body.len() as u16).to_be_bytes(), id, body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        frame(BINDING_REQUEST, b"\x21\x12\xA4\x42abcdefghijkl", attributes)
    }

    #[test]
    fn the_senders_address_comes_back_xored() {
        let answer = binding_answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        // The port and address of RFC 5769 s.2.2.
        assert_eq!(answer[..4], [1, 1, 0, 12]);
        assert_eq!(answer[4..20], *b"\x21\x12\xA4\x42abcdefghijkl");
        assert_eq!(answer[20..], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
    }

    #[test]
    fn ipv6_is_xored_with_the_transaction_too() {
        let id = b"\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        let ask = frame(BINDING_REQUEST, id, &[]);
        let answer = binding_answer(&ask, "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()).unwrap();
        // RFC 5769 s.2.3.
        let expected = b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        assert_eq!(answer[20..], *expected);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused_by_name() {
        let source = "192.0.2.1:1".parse().unwrap();
        let answer = binding_answer(&request(b"\x00\x06\x00\x03abc\x00"), source).unwrap();
        assert_eq!(answer[..2], BINDING_ERROR);
        assert!(answer.ends_with(b"\x00\x0a\x00\x02\x00\x06\x00\x00"), "{answer:?}");
        let software = binding_answer(&request(b"\x80\x22\x00\x01x\x00\x00\x00"), source).unwrap();
        assert_eq!(software[..2], BINDING_SUCCESS);
    }

    #[test]
    fn nothing_else_is_answered() {
        let source = "192.0.2.1:1".parse().unwrap();
        let good = request(&[]);
        for end in 0..good.len() {
            assert_eq!(binding_answer(&good[..end], source), None);
        }
        for wrong in
            [&b"OPTIONS sip:a SIP/2.0\r\n\r\n"[..], &frame([0, 0x11], b"\x21\x12\xA4\x42abcdefghijkl", &[]), &request(b"\x80\x22\x00\x09x")]
        {
            assert_eq!(binding_answer(wrong, source), None);
        }
        let answer = binding_answer(&good, source).unwrap();
        assert_eq!(binding_answer(&answer, source), None, "two of us do not talk in circles");
    }

    #[test]
    fn our_address_is_read_from_the_answer_in_both_families() {
        for text in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let source: SocketAddr = text.parse().unwrap();
            let ask = binding_request(*b"abcdefghijkl");
            assert!(is_stun(&ask) && ask.len() == 20);
            let answer = binding_answer(&ask, source).unwrap();
            assert_eq!(read_answer(&answer), Some(Answered { transaction: *b"abcdefghijkl", mapped: Some(source) }));
            for end in 0..answer.len() {
                assert_eq!(read_answer(&answer[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_says_no_address_and_a_question_is_no_answer() {
        let id = b"\x21\x12\xA4\x42abcdefghijkl";
        let good = b"\x00\x20\x00\x08\x00\x01\xA1\x47\xE1\x12\xA6\x43";
        let says = |kind: [u8; 2], body: &[u8]| read_answer(&frame(kind, id, body)).and_then(|a| a.mapped);
        assert!(says(BINDING_SUCCESS, good).is_some());
        // With SOFTWARE behind it, and MESSAGE-INTEGRITY that we cannot check.
        assert!(says(BINDING_SUCCESS, &[&good[..], b"\x80\x22\x00\x02ab\x00\x00"].concat()).is_some());
        assert!(says(BINDING_SUCCESS, &[&good[..], b"\x00\x08\x00\x04abcd"].concat()).is_some());
        for bad in [
            &b""[..],
            // Something else that must be understood; a family that is none; too short; port 0; 0.0.0.0; a length beyond the end.
            &[&good[..], b"\x00\x25\x00\x00"].concat(),
            b"\x00\x20\x00\x08\x00\x03\xA1\x47\xE1\x12\xA6\x43",
            b"\x00\x20\x00\x04\x00\x01\xA1\x47",
            b"\x00\x20\x00\x08\x00\x01\x21\x12\xE1\x12\xA6\x43",
            b"\x00\x20\x00\x08\x00\x01\xA1\x47\x21\x12\xA4\x42",
            b"\x00\x20\x00\x09\x00\x01\xA1\x47\xE1\x12\xA6\x43",
        ] {
            assert_eq!(says(BINDING_SUCCESS, bad), None, "{bad:?}");
        }
        assert_eq!(read_answer(&frame(BINDING_ERROR, id, good)), Some(Answered { transaction: *b"abcdefghijkl", mapped: None }));
        assert_eq!(read_answer(&binding_request(*b"abcdefghijkl")), None);
    }

    #[test]
    fn the_corpus_runs_whole_cut_and_broken() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/stun");
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            files += 1;
            fuzz::message(&bytes);
            for at in 0..bytes.len() {
                fuzz::message(&bytes[..at]);
                for bit in 0..8 {
                    let mut broken = bytes.clone();
                    broken[at] ^= 1 << bit;
                    fuzz::message(&broken);
                }
            }
        }
        assert!(files >= 10);
    }
}
