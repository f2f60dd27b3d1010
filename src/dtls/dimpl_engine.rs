//! The engine for most handshakes: dimpl, DTLS 1.3 and 1.2 (`new_auto`), ECDSA certificates.
//!
//! dimpl makes the handshake; its own record layer would allocate for each datagram (two boxes when one comes in), which the tick may not,
//! and it tells nobody its traffic keys. But it derives them through the HMAC of the `CryptoProvider` that it is given: ours is theirs with
//! an ear (`KeyLog`), as a key log file is one. What it heard is taken where it was heard, on the same thread, in the same call.
//!
//! No cookies: a handshake belongs to a call whose peer the signalling named, so there is nobody to be protected from, and a round trip to
//! be won. Times: a flight is repeated after 250 ms (a call waits), which the resources of a gateway with 96 calls allow.

use super::association::{Params, Role};
use super::engine::{Engine, EngineOutput, Established, Handshake, SrtpKeys};
use super::keys::{RecordHash, SecretBytes, Secrets};
use crate::clock::Instant;
use crate::limits::DTLS_FLIGHT_BYTES_MAX;
use core::cell::RefCell;
use core::time::Duration;
use dimpl::crypto::{CryptoProvider, Dtls12CipherSuite, Dtls13CipherSuite, HashAlgorithm, HmacProvider, NamedGroup};
use dimpl::{Config, CryptoError, Dtls, DtlsCertificate, Output, UnexpectedMessageError};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// dimpl with the operating system's chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dimpl;

impl Engine for Dimpl {
    fn begin(&self, now: Instant, params: &Params) -> Result<Box<dyn Handshake>, String> {
        static USUAL: OnceLock<Arc<Config>> = OnceLock::new();
        let usual = 1200;
        let config = match params.mtu {
            mtu if mtu == usual => USUAL.get_or_init(|| configuration(usual, None)).clone(),
            mtu => configuration(mtu, None),
        };
        Ok(Box::new(Running::new(now, params, config, None)))
    }
}

/// What dimpl is told; `simulated` brings a seed and what makes chance out of it.
pub(super) fn configuration(mtu: u16, simulated: Option<(u64, CryptoProvider)>) -> Arc<Config> {
    let builder = Config::builder()
        .mtu(usize::from(mtu).clamp(256, DTLS_FLIGHT_BYTES_MAX))
        .use_server_cookie(false)
        .require_client_certificate(true)
        .flight_start_rto(Duration::from_millis(250))
        .flight_retries(6)
        .handshake_timeout(Duration::from_secs(10))
        .dtls13_cipher_suites(&[Dtls13CipherSuite::AES_128_GCM_SHA256, Dtls13CipherSuite::AES_256_GCM_SHA384])
        .kx_groups(&[NamedGroup::X25519, NamedGroup::Secp256r1]);
    let builder = match simulated {
        // DTLS 1.2 puts the time of day into its hello.
        Some((seed, provider)) => {
            builder.dtls12_cipher_suites(&[]).kx_groups(&[NamedGroup::X25519]).dangerously_set_rng_seed(seed).with_crypto_provider(provider)
        }
        None => builder
            .dtls12_cipher_suites(&[Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256, Dtls12CipherSuite::ECDHE_ECDSA_AES256_GCM_SHA384])
            .with_crypto_provider(with_key_log(dimpl::crypto::aws_lc_rs::default_provider())),
    };
    Arc::new(builder.build().expect("the numbers stand above, and the provider passes its own test vectors"))
}

/// The provider with our ear at its HMAC.
pub(super) fn with_key_log(provider: CryptoProvider) -> CryptoProvider {
    CryptoProvider { hmac_provider: &KeyLog, ..provider }
}

thread_local! {
    /// What [`KeyLog`] heard during the call into dimpl that is under way on this thread.
    static HEARD: RefCell<Heard> = RefCell::default();
}

/// The secrets of one handshake, as they become known.
#[derive(Default)]
struct Heard {
    v12: Option<Secrets>,
    client: Option<(RecordHash, SecretBytes)>,
    server: Option<(RecordHash, SecretBytes)>,
}

impl Heard {
    fn secrets(&mut self) -> Option<Secrets> {
        if let Some(secrets) = self.v12.take() {
            return Some(secrets);
        }
        let ((hash, client), (_, server)) = (self.client.take()?, self.server.take()?);
        Some(Secrets::V13 { hash, client, server })
    }
    fn add(&mut self, newer: Heard) {
        self.v12 = newer.v12.or(self.v12.take());
        self.client = newer.client.or(self.client.take());
        self.server = newer.server.or(self.server.take());
    }
}

/// dimpl's HMAC, which everything is derived by.
#[derive(Debug)]
struct KeyLog;

impl HmacProvider for KeyLog {
    fn hmac(&self, hash: HashAlgorithm, key: &[u8], data: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        static THEIRS: OnceLock<CryptoProvider> = OnceLock::new();
        let n = THEIRS.get_or_init(dimpl::crypto::aws_lc_rs::default_provider).hmac_provider.hmac(hash, key, data, out)?;
        let hash = match hash {
            HashAlgorithm::SHA256 => RecordHash::Sha256,
            HashAlgorithm::SHA384 => RecordHash::Sha384,
            _ => return Ok(n),
        };
        // A(1) of the key block (RFC 5246 s.6.3), under the master secret.
        if let Some(randoms) = data.strip_prefix(b"key expansion").and_then(|r| <[u8; 64]>::try_from(r).ok()) {
            let secrets = Secrets::V12 { hash, master: SecretBytes::new(key.to_vec()), randoms };
            HEARD.with_borrow_mut(|h| h.v12 = Some(secrets));
        }
        // HkdfLabel: length, then the label behind its own length (RFC 8446 s.7.1).
        let label = data.get(3..).unwrap_or_default();
        let secret = || Some((hash, SecretBytes::new(out[..n].to_vec())));
        if label.starts_with(b"dtls13c ap traffic") {
            HEARD.with_borrow_mut(|h| h.client = secret());
        } else if label.starts_with(b"dtls13s ap traffic") {
            HEARD.with_borrow_mut(|h| h.server = secret());
        }
        Ok(n)
    }
}

/// dimpl wants instants of std; only their differences count, so any zero does.
fn zero() -> std::time::Instant {
    static ZERO: OnceLock<std::time::Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an arbitrary zero: only differences to it are used")]
    *ZERO.get_or_init(std::time::Instant::now)
}

fn to_std(at: Instant) -> std::time::Instant {
    zero() + Duration::from_micros(at.as_us())
}

/// A handshake under way.
pub(super) struct Running {
    dtls: Dtls,
    heard: Heard,
    /// What chance is made from in simulation, put in place around each call.
    chance: Option<crate::clock::Rng>,
    peer: Option<Vec<u8>>,
    srtp: Option<SrtpKeys>,
    connected: bool,
    over: bool,
    at: Option<Instant>,
    out: VecDeque<EngineOutput>,
}

impl Running {
    pub(super) fn new(now: Instant, params: &Params, config: Arc<Config>, chance: Option<crate::clock::Rng>) -> Running {
        let certificate =
            DtlsCertificate { certificate: params.certificate.der().to_vec(), private_key: params.certificate.key_der().to_vec() };
        let mut running = Running {
            dtls: Dtls::new_auto(config, certificate, to_std(now)),
            heard: Heard::default(),
            chance,
            peer: None,
            srtp: None,
            connected: false,
            over: false,
            at: None,
            out: VecDeque::new(),
        };
        running.call(|dtls| {
            dtls.set_active(params.role == Role::Client);
            dtls.handle_timeout(to_std(now))
        });
        running
    }

    fn call(&mut self, step: impl FnOnce(&mut Dtls) -> Result<(), dimpl::Error>) {
        if self.over {
            return;
        }
        HEARD.with_borrow_mut(|h| *h = Heard::default());
        let result = super::simulation::with_chance(&mut self.chance, || step(&mut self.dtls));
        self.heard.add(HEARD.with_borrow_mut(core::mem::take));
        match result {
            // A client that does not know its version yet is told by anybody's datagram; dimpl keeps its state and so do we.
            Err(dimpl::Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse)) | Ok(()) => self.drain(),
            // Nobody acknowledged the end of our last flight. We are complete all the same, and whether the peer is, is told by what it sends.
            Err(dimpl::Error::Timeout(_)) if self.connected => self.over = true,
            Err(error) => {
                self.drain();
                self.over = true;
                self.out.push_back(EngineOutput::Failed(words(&error)));
            }
        }
    }

    fn drain(&mut self) {
        let mut buffer = vec![0; 2048];
        let mut complete = false;
        loop {
            match super::simulation::with_chance(&mut self.chance, || self.dtls.poll_output(&mut buffer)) {
                Output::Packet(datagram) => self.out.push_back(EngineOutput::Datagram(datagram.to_vec())),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Connected => complete = true,
                Output::PeerCert(der) => self.peer = Some(der.to_vec()),
                Output::KeyingMaterial(material, profile) => {
                    let profile = match profile {
                        dimpl::SrtpProfile::AES128_CM_SHA1_80 => 0x0001,
                        dimpl::SrtpProfile::AEAD_AES_128_GCM => 0x0007,
                        dimpl::SrtpProfile::AEAD_AES_256_GCM => 0x0008,
                        _ => continue,
                    };
                    self.srtp = Some(SrtpKeys { profile, material: SecretBytes::new(material.to_vec()) });
                }
                Output::CloseNotify => self.out.push_back(EngineOutput::Closed),
                Output::Timeout(at) => {
                    // Rounded up: called a nanosecond early, dimpl would name the same time again.
                    self.at = Some(Instant::from_us(at.saturating_duration_since(zero()).as_nanos().div_ceil(1000) as u64));
                    break;
                }
                // Application data is the record layer's.
                _ => {}
            }
        }
        if complete && !core::mem::replace(&mut self.connected, true) {
            let established = self.peer.take().zip(self.heard.secrets());
            self.out.push_back(match established {
                Some((peer_der, secrets)) => EngineOutput::Established(Box::new(Established { peer_der, secrets, srtp: self.srtp.take() })),
                None => EngineOutput::Failed("the peer showed no certificate".into()),
            });
        }
    }
}

impl Handshake for Running {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.call(|dtls| {
            dtls.handle_timeout(to_std(now))?;
            dtls.handle_packet(datagram)
        });
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.call(|dtls| dtls.handle_timeout(to_std(now)));
    }
    fn poll(&mut self) -> Option<EngineOutput> {
        self.out.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.at.filter(|_| !self.over)
    }
}

/// Why it failed, for people.
fn words(error: &dimpl::Error) -> String {
    use dimpl::{CertificateError, Error, SecurityError};
    match error {
        Error::SecurityError(SecurityError::FatalAlert { description }) => {
            format!("the peer ended the DTLS handshake: {}", super::engine::alert_words(*description))
        }
        Error::CryptoError(
            CryptoError::UnsupportedPublicKeyAlgorithm | CryptoError::MissingEcCurveParameter | CryptoError::InvalidEcCurveParameter,
        )
        | Error::CertificateError(CertificateError::MissingEcCurveParameter | CertificateError::InvalidEcCurveParameter) => {
            "the peer's certificate has a key that is not ECDSA".into()
        }
        Error::CertificateError(CertificateError::NoClientCertificateReceived | CertificateError::NoServerCertificateReceived) => {
            "the peer showed no ECDSA certificate".into()
        }
        Error::Timeout(_) => "no answer to the DTLS handshake".into(),
        other => format!("the DTLS handshake failed: {other}"),
    }
}
