//! The answer to STUN Binding requests on the SIP port (RFC 5389 s.7.3.1, for the UDP keep-alives of RFC 5626 s.3.5.2): the sender's address
//! as we see it, XORed. Nothing else of STUN: no credentials, no other methods.

use core::net::{IpAddr, SocketAddr};

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
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
fn unknown_attributes(mut rest: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !rest.is_empty() {
        let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        if kind < 0x8000 && unknown.len() < UNKNOWN_NAMED_MAX {
            unknown.push(kind);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    Some(unknown)
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
}
