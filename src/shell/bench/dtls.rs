//! What DTLS costs: a handshake in the event domain, a record in the tick, and a whole fax call in records.

use super::Figure;
use super::measure::{Budget, best};
use crate::clock::Instant;
use crate::dtls::fuzz::{certificate, params, speak};
use crate::dtls::{Association, Certificate, Dimpl, Engine, Expected, Records, Role};
use crate::shell::dtls_openssl::OpenSsl;
use std::sync::Arc;

const NOW: Instant = Instant::from_ms(1_000_000);

/// Both ends of a handshake, from nothing to records.
fn shake(certificates: &[Arc<Certificate>; 2], engines: [&dyn Engine; 2]) -> Option<[Box<Records>; 2]> {
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let mut client = Association::new(NOW, params(Role::Client, &certificates[0], expected(1)), engines[0]);
    let mut server = Association::new(NOW, params(Role::Server, &certificates[1], expected(0)), engines[1]);
    speak(NOW, [&mut client, &mut server], &mut |_, _| true);
    Some([client.take_records()?, server.take_records()?])
}

fn handshake(budget: &Budget, engines: [&dyn Engine; 2]) -> Result<Figure, String> {
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let mut failed = false;
    let ns = best(budget, 1, || failed |= shake(&certificates, engines).is_none());
    if failed { Err("a handshake failed".into()) } else { Ok(Figure::Per("handshake", ns)) }
}

/// DTLS 1.3: dimpl at both ends.
pub fn handshake_13(budget: &Budget) -> Result<Figure, String> {
    handshake(budget, [&Dimpl, &Dimpl])
}

/// DTLS 1.2: dimpl and OpenSSL.
pub fn handshake_12(budget: &Budget) -> Result<Figure, String> {
    handshake(budget, [&Dimpl, &OpenSsl])
}

/// Records under one key, before the key would be used up.
const RECORDS: usize = 1000;

/// A datagram of UDPTL with redundancy, sealed and opened.
pub fn record(budget: &Budget) -> Result<Figure, String> {
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let Some([mut from, mut to]) = shake(&certificates, [&Dimpl, &Dimpl]) else { return Err("the handshake failed".into()) };
    let (mut wire, mut opened, mut sealed) = ([0; 200], 0u64, 0u64);
    let ns = best(budget, RECORDS as u64, || {
        for _ in 0..RECORDS {
            if let Some(n) = from.seal(std::hint::black_box(&[7; 60]), &mut wire) {
                sealed += 1;
                to.open(&wire[..n], &mut |_| opened += 1);
            } else if let Some([a, b]) = shake(&certificates, [&Dimpl, &Dimpl]) {
                // The key is used up: millions of records ago.
                (from, to) = (a, b);
            }
        }
    });
    if sealed == opened { Ok(Figure::Per("record", ns)) } else { Err("a record was not opened".into()) }
}

/// The fax call of `relay_call_mean`, in DTLS: what comes was sealed beforehand, under keys that are fresh for each run.
#[cfg(feature = "spandsp")]
pub fn relay_call_mean(budget: &Budget) -> Result<Figure, String> {
    use super::measure::cpu_ns;
    use crate::fax::t38::transport::Transport;
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let scripts = super::fax_call::record()?;
    let mut total = 0.0;
    for script in &scripts {
        let (mut least, mut spent, mut runs) = (f64::INFINITY, 0, 0);
        while runs < 3 || spent < budget.cpu_ns / 2 {
            let Some([ours, mut peers]) = shake(&certificates, [&Dimpl, &Dimpl]) else { return Err("the handshake failed".into()) };
            let sealed = script.through(&mut |datagram| {
                let mut wire = [0; 1600];
                let n = peers.seal(datagram, &mut wire)?;
                Some(wire[..n].to_vec())
            });
            let mut leg = script.leg()?.over(Transport::dtls(Some(ours)));
            let start = cpu_ns();
            sealed.play(&mut leg);
            let took = cpu_ns() - start;
            if !script.agrees(&leg) {
                return Err("a leg did not do the same again".into());
            }
            least = least.min(took as f64 / (script.lines.len() * tipring_dsp::FRAME_SAMPLES) as f64);
            spent += took;
            runs += 1;
        }
        total += least;
    }
    Ok(Figure::PerSample(total / scripts.len() as f64))
}
