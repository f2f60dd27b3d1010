//! The body of the fuzz target `dtls`: datagrams at an association in every state, and at the record layer behind it.

use super::{Association, Certificate, Dimpl, Event, Expected, Params, Role, is_dtls};
use crate::clock::{Instant, ms};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::sync::{Arc, OnceLock};

/// A fresh ECDSA certificate. A gateway's own is made by the shell; this is for tests that have no shell.
pub fn certificate() -> Certificate {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).expect("there are random bytes");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).expect("it was just made");
    let der = super::simulation::self_signed(1, pair.public_key().as_ref(), |text| {
        pair.sign(&rng, text).expect("there are random bytes").as_ref().to_vec()
    });
    Certificate::new(der, key.as_ref().to_vec())
}

/// Parameters for tests: voice and fax, and who is expected.
pub fn params(role: Role, certificate: &Arc<Certificate>, expected: Option<Expected>) -> Params {
    Params { role, certificate: certificate.clone(), expected, srtp: vec![0x0008, 0x0007, 0x0001], mtu: 1200 }
}

/// Lets two associations speak until neither has anything to say; `on_the_way(from, datagram)` may change, or by `false` lose, what passes.
/// Returns the flights (turns of speaking) that it took, and what happened at each side.
pub fn speak(
    now: Instant,
    sides: [&mut Association; 2],
    on_the_way: &mut dyn FnMut(usize, &mut Vec<u8>) -> bool,
) -> (usize, [Vec<Event>; 2]) {
    let (mut flights, mut events) = (0, [Vec::new(), Vec::new()]);
    let [a, b] = sides;
    let mut sides = [a, b];
    for turn in 0..40 {
        let from = turn % 2;
        let mut spoke = false;
        while let Some(mut datagram) = sides[from].poll_transmit() {
            spoke = true;
            if on_the_way(from, &mut datagram) {
                sides[1 - from].handle_datagram(now, &datagram);
            }
        }
        flights += usize::from(spoke);
        for (side, events) in sides.iter_mut().zip(&mut events) {
            events.extend(core::iter::from_fn(|| side.poll_event()));
        }
    }
    (flights, events)
}

/// Each chunk of `data` is an octet that says what, one of length, and octets: a datagram made of them for one of the two sides, the next
/// datagram of the handshake with them laid over it, the same untouched, or time. Afterwards, what is there of it goes to the record layer.
pub fn association(data: &[u8]) {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let [ours, theirs] = CERTIFICATES.get_or_init(|| [Arc::new(certificate()), Arc::new(certificate())]);
    let mut now = Instant::from_ms(5000);
    let expected = |c: &Certificate| Some(Expected::one(c.fingerprint()));
    let mut sides = [
        Association::new(now, params(Role::Client, ours, expected(theirs)), &Dimpl),
        Association::new(now, params(Role::Server, theirs, expected(ours)), &Dimpl),
    ];
    let mut records = [None, None];
    let mut rest = data;
    while let [what, length, tail @ ..] = rest {
        let (octets, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let from = usize::from(what & 1);
        match what >> 1 & 3 {
            0 => {
                sides[1 - from].handle_datagram(now, octets);
                if let Some(r) = &mut records[1 - from] {
                    let r: &mut Box<super::Records> = r;
                    assert_eq!(r.open(octets, &mut |_| {}).data, 0, "nobody but the peer can have sealed it");
                }
            }
            1 => {
                if let Some(mut datagram) = sides[from].poll_transmit() {
                    let at = usize::from(what >> 3) * 16;
                    datagram.iter_mut().skip(at).zip(octets).for_each(|(d, o)| *d ^= o);
                    sides[1 - from].handle_datagram(now, &datagram);
                }
            }
            2 => {
                while let Some(datagram) = sides[from].poll_transmit() {
                    assert!(datagram.len() <= 1400 && is_dtls(datagram[0]));
                    sides[1 - from].handle_datagram(now, &datagram);
                }
            }
            _ => {
                now = now + ms(u64::from(*length) * 20);
                sides.iter_mut().for_each(|s| s.handle_timeout(now));
            }
        }
        for (side, records) in sides.iter_mut().zip(&mut records) {
            while side.poll_event().is_some() {}
            *records = records.take().or_else(|| side.take_records());
        }
    }
    if let [Some(a), Some(b)] = &mut records {
        let (mut wire, mut heard) = ([0; 200], 0);
        let n = if a.is_closed() { 0 } else { a.seal(b"page", &mut wire).expect("it fits") };
        b.open(&wire[..n], &mut |d| heard += usize::from(d == b"page"));
        assert!(n == 0 || b.is_closed() || heard == 1);
    }
}
