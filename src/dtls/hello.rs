//! Which of two engines speaks with a peer of whom nothing is known: the server hears it from the peer's hello.
//!
//! Who offers DTLS 1.3 has a stack like ours, and ECDSA; all others are met by the engine that knows RSA, too. A client has to begin before
//! it heard anything, so it begins with the latter: whom the directory or a pin knows for one of ours is to be met by [`super::Dimpl`].

use super::association::{Params, Role};
use super::engine::{Engine, EngineOutput, Handshake};
use crate::clock::Instant;
use std::sync::Arc;

/// The engine is chosen by the peer's hello.
#[derive(Clone)]
pub struct ByHello {
    /// For peers that offer DTLS 1.3.
    pub newer: Arc<dyn Engine>,
    /// For all others.
    pub older: Arc<dyn Engine>,
}

impl Engine for ByHello {
    fn begin(&self, now: Instant, params: &Params) -> Result<Box<dyn Handshake>, String> {
        match params.role {
            Role::Client => self.older.begin(now, params),
            Role::Server => Ok(Box::new(Waiting { engines: self.clone(), params: params.clone(), chosen: None, failed: None })),
        }
    }
}

struct Waiting {
    engines: ByHello,
    params: Params,
    chosen: Option<Box<dyn Handshake>>,
    failed: Option<String>,
}

impl Handshake for Waiting {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.chosen.is_none() {
            let Some(newer) = offers_13(datagram) else { return };
            let engine = if newer { &self.engines.newer } else { &self.engines.older };
            match engine.begin(now, &self.params) {
                Ok(handshake) => self.chosen = Some(handshake),
                Err(why) => self.failed = Some(why),
            }
        }
        if let Some(handshake) = &mut self.chosen {
            handshake.handle_datagram(now, datagram);
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        if let Some(handshake) = &mut self.chosen {
            handshake.handle_timeout(now);
        }
    }
    fn poll(&mut self) -> Option<EngineOutput> {
        let failed = self.failed.take().map(EngineOutput::Failed);
        failed.or_else(|| self.chosen.as_mut()?.poll())
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.chosen.as_ref()?.poll_timeout()
    }
}

/// Whether a ClientHello offers DTLS 1.3 (RFC 9147 s.5.3), as far as its first datagram says; `None` when it is none.
fn offers_13(datagram: &[u8]) -> Option<bool> {
    const CLIENT_HELLO: u8 = 1;
    const SUPPORTED_VERSIONS: u16 = 43;
    let header = datagram.get(..25)?;
    // A handshake record in the clear, with the first fragment of the message.
    if header[0] != 22 || header[3..5] != [0, 0] || header[13] != CLIENT_HELLO || header[19..22] != [0, 0, 0] {
        return None;
    }
    Some(extension(&datagram[25..], SUPPORTED_VERSIONS).is_some_and(|versions| {
        let list = versions.get(1..).unwrap_or_default();
        list.chunks_exact(2).any(|v| v == [0xFE, 0xFC])
    }))
}

/// The extension `wanted` of a ClientHello's body.
fn extension(body: &[u8], wanted: u16) -> Option<&[u8]> {
    let word = |bytes: &[u8]| Some(usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?])));
    // Version, random; then session id, cookie, cipher suites, compression methods, each behind its length.
    let mut rest = body.get(34..)?;
    for wide in [false, false, true, false] {
        let (n, head) = if wide { (word(rest)?, 2) } else { (usize::from(*rest.first()?), 1) };
        rest = rest.get(head + n..)?;
    }
    rest = rest.get(2..)?;
    while !rest.is_empty() {
        let (kind, n) = (word(rest)?, word(rest.get(2..)?)?);
        let value = rest.get(4..4 + n)?;
        if kind == usize::from(wanted) {
            return Some(value);
        }
        rest = &rest[4 + n..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::fuzz::{certificate, params};
    use crate::dtls::{Association, Dimpl};

    #[test]
    fn a_hello_says_whether_it_offers_13_whatever_is_cut_from_it() {
        let certificate = Arc::new(certificate());
        let mut client = Association::new(Instant::from_ms(1), params(Role::Client, &certificate, None), &Dimpl);
        let hello = client.poll_transmit().expect("a client begins");
        assert_eq!(offers_13(&hello), Some(true));
        let at = hello.windows(5).position(|w| w == [4, 0xFE, 0xFC, 0xFE, 0xFD]).expect("both versions are offered");
        let older = [&hello[..at], &[4, 0xFE, 0xFD, 0xFE, 0xFF], &hello[at + 5..]].concat();
        assert_eq!(offers_13(&older), Some(false));
        for cut in 0..hello.len() {
            assert_eq!(offers_13(&hello[..cut]).is_some(), cut >= 25, "{cut}");
        }
        let mut rng = crate::clock::Rng::new(1);
        for _ in 0..10_000 {
            let mut broken = hello.clone();
            broken.truncate(30 + rng.below(200) as usize);
            let at = rng.below(broken.len() as u64) as usize;
            broken[at] = rng.next_u64() as u8;
            let _any = offers_13(&broken);
        }
    }
}
