//! What is read of a certificate (RFC 5280): its public key, and nothing else. Nobody signs gateways; who they are is the SHA-256 of these
//! bytes, so names, dates and issuers in them say nothing and a clock that is not set does no harm.

use core::ops::Range;

/// Object identifiers as they stand in the DER: id-ecPublicKey (RFC 5480 s.2.1.1) and secp256r1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`, left out by version 1.
const VERSION: u8 = 0xa0;

/// One DER element: its tag, and where its content lies.
struct Reader<'a> {
    der: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn new(der: &'a [u8]) -> Self {
        Reader { der, at: 0, end: der.len() }
    }

    /// What the next element, of this tag, is made of.
    fn inside(&mut self, tag: u8) -> Option<Reader<'a>> {
        let content = self.take(tag)?;
        Some(Reader { der: self.der, at: content.start, end: content.end })
    }

    fn byte(&mut self) -> Option<u8> {
        let b = (self.at < self.end).then(|| self.der[self.at])?;
        self.at += 1;
        Some(b)
    }

    fn next(&mut self) -> Option<(u8, Range<usize>)> {
        let tag = self.byte()?;
        let first = self.byte()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // Two octets of length are 64 kB; no certificate that comes to us is longer.
            0x81 => usize::from(self.byte()?),
            0x82 => usize::from(self.byte()?) << 8 | usize::from(self.byte()?),
            _ => return None,
        };
        let start = self.at;
        self.at = start.checked_add(length).filter(|end| *end <= self.end)?;
        Some((tag, start..self.at))
    }

    fn take(&mut self, tag: u8) -> Option<Range<usize>> {
        self.next().filter(|(t, _)| *t == tag).map(|(_, content)| content)
    }
}

/// The point of the certificate's P-256 key, uncompressed (65 bytes). `None`: no certificate, or another kind of key.
pub(super) fn p256_point(certificate: &[u8]) -> Option<&[u8]> {
    let mut top = Reader::new(certificate);
    let mut parts = top.inside(SEQUENCE)?;
    if parts.end != certificate.len() {
        return None;
    }
    let mut body = parts.inside(SEQUENCE)?;
    let (tag, _) = body.next()?;
    if tag == VERSION {
        body.take(INTEGER)?;
    } else if tag != INTEGER {
        return None;
    }
    // Signature algorithm, issuer, validity, subject.
    for _ in 0..4 {
        body.take(SEQUENCE)?;
    }
    let mut key = body.inside(SEQUENCE)?;
    let mut algorithm = key.inside(SEQUENCE)?;
    let is = |range: Range<usize>, id: &[u8]| &certificate[range] == id;
    if !is(algorithm.take(OBJECT)?, EC_PUBLIC_KEY) || !is(algorithm.take(OBJECT)?, SECP256R1) {
        return None;
    }
    // The first octet of a bit string counts unused bits; 4 begins an uncompressed point (SEC 1 s.2.3.3).
    match &certificate[key.take(BIT_STRING)?] {
        [0, point @ ..] if point.len() == 65 && point[0] == 4 => Some(point),
        _ => None,
    }
}
