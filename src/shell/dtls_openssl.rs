//! The engine for peers whose certificate may be RSA: OpenSSL, DTLS 1.2. dimpl has ECDSA only, and PBXs have what their operator gave them.
//!
//! OpenSSL sees a stream whose every read is one datagram and whose every write is one, so that their borders stay. It makes the handshake
//! and says its last flight again where the peer did not hear it; application data goes through `dtls::Records`, as with every engine, under
//! keys made from the master secret. It keeps its own time (RFC 6347 s.4.2.4, from 1 s on), of which it is reminded by being called.
//!
//! Any certificate is taken here: what it must be is decided by its fingerprint (RFC 8122), not by who signed it.

use crate::clock::{Instant, ms};
use crate::dtls::{Engine, EngineOutput, Established, Handshake, Params, RecordHash, Role, SecretBytes, Secrets, SrtpKeys, alert_words};
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, ShutdownState, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// How often OpenSSL is asked whether a flight is due again.
const REMINDER_MS: u64 = 100;
/// AES-GCM with forward secrecy, for both kinds of key.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
/// Datagrams of OpenSSL that wait to be taken out: a flight is at most a dozen.
const OUT_MAX: usize = 32;

/// OpenSSL's DTLS 1.2.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenSsl;

impl Engine for OpenSsl {
    fn begin(&self, now: Instant, params: &Params) -> Result<Box<dyn Handshake>, String> {
        let stream = stream(params).map_err(|e| format!("OpenSSL cannot begin: {e}"))?;
        let mut running = Running { stream, connected: false, over: false, reminder: now, out: VecDeque::new() };
        running.step(now);
        Ok(Box::new(running))
    }
}

fn stream(params: &Params) -> Result<SslStream<Datagrams>, openssl::error::ErrorStack> {
    let context = context(params)?.build();
    let mut ssl = openssl::ssl::Ssl::new(&context)?;
    ssl.set_mtu(u32::from(params.mtu))?;
    match params.role {
        Role::Client => ssl.set_connect_state(),
        Role::Server => ssl.set_accept_state(),
    }
    SslStream::new(ssl, Datagrams::default())
}

fn context(params: &Params) -> Result<SslContextBuilder, openssl::error::ErrorStack> {
    let mut context = SslContext::builder(SslMethod::dtls())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list(CIPHERS)?;
    context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_certificate(X509::from_der(params.certificate.der())?.as_ref())?;
    context.set_private_key(PKey::private_key_from_der(params.certificate.key_der())?.as_ref())?;
    context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    let profile = |p: &u16| match p {
        0x0001 => Some("SRTP_AES128_CM_SHA1_80"),
        0x0007 => Some("SRTP_AEAD_AES_128_GCM"),
        0x0008 => Some("SRTP_AEAD_AES_256_GCM"),
        _ => None,
    };
    let profiles: Vec<&str> = params.srtp.iter().filter_map(profile).collect();
    if !profiles.is_empty() {
        context.set_tlsext_use_srtp(&profiles.join(":"))?;
    }
    Ok(context)
}

/// What OpenSSL reads from and writes to: datagrams.
#[derive(Default)]
struct Datagrams {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Read for Datagrams {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        let n = datagram.len().min(buf.len());
        buf[..n].copy_from_slice(&datagram[..n]);
        Ok(n)
    }
}

impl Write for Datagrams {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // One that does not fit is lost, as on the network.
        if self.outgoing.len() < OUT_MAX {
            self.outgoing.push_back(buf.to_vec());
        }
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Running {
    stream: SslStream<Datagrams>,
    connected: bool,
    over: bool,
    reminder: Instant,
    out: VecDeque<EngineOutput>,
}

impl Running {
    fn step(&mut self, now: Instant) {
        if self.over {
            return;
        }
        self.reminder = now + ms(REMINDER_MS);
        let result = match self.connected {
            false => self.stream.do_handshake(),
            true => self.listen(),
        };
        while let Some(datagram) = self.stream.get_mut().outgoing.pop_front() {
            self.out.push_back(EngineOutput::Datagram(datagram));
        }
        match result {
            Ok(()) if !self.connected => {
                self.connected = true;
                match self.established() {
                    Some(established) => self.out.push_back(EngineOutput::Established(Box::new(established))),
                    None => self.fail("the peer showed no certificate".into()),
                }
            }
            Ok(()) => {}
            Err(e) if matches!(e.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {}
            Err(e) if e.code() == ErrorCode::ZERO_RETURN => {
                self.over = true;
                self.out.push_back(EngineOutput::Closed);
            }
            Err(e) => self.fail(words(&e)),
        }
    }
    /// After the handshake: repeated flights are answered. Application data is not for this engine.
    fn listen(&mut self) -> Result<(), openssl::ssl::Error> {
        let mut nobody = [0; 2048];
        while self.stream.ssl_read(&mut nobody)? > 0 {}
        if self.stream.get_shutdown().contains(ShutdownState::RECEIVED) {
            self.over = true;
            self.out.push_back(EngineOutput::Closed);
        }
        Ok(())
    }
    fn established(&self) -> Option<Established> {
        let ssl = self.stream.ssl();
        let peer_der = ssl.peer_certificate()?.to_der().ok()?;
        let hash = if ssl.current_cipher()?.name().ends_with("SHA384") { RecordHash::Sha384 } else { RecordHash::Sha256 };
        let (mut master, mut randoms) = (vec![0; 48], [0; 64]);
        if ssl.session()?.master_key(&mut master) != 48 {
            return None;
        }
        let (server, client) = randoms.split_at_mut(32);
        ssl.server_random(server);
        ssl.client_random(client);
        let srtp = ssl.selected_srtp_profile().and_then(|chosen| {
            let profile = u16::try_from(chosen.id().as_raw()).ok()?;
            let bytes = match profile {
                0x0001 => 2 * (16 + 14),
                0x0007 => 2 * (16 + 12),
                0x0008 => 2 * (32 + 12),
                _ => return None,
            };
            let mut material = vec![0; bytes];
            ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None).ok()?;
            Some(SrtpKeys { profile, material: SecretBytes::new(material) })
        });
        Some(Established { peer_der, secrets: Secrets::V12 { hash, master: SecretBytes::new(master), randoms }, srtp })
    }
    fn fail(&mut self, why: String) {
        self.over = true;
        self.out.push_back(EngineOutput::Failed(why));
    }
}

impl Handshake for Running {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.stream.get_mut().incoming = Some(datagram.to_vec());
        self.step(now);
        self.stream.get_mut().incoming = None;
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.step(now);
    }
    fn poll(&mut self) -> Option<EngineOutput> {
        self.out.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (!self.connected && !self.over).then_some(self.reminder)
    }
}

/// Why it failed, for people.
fn words(error: &openssl::ssl::Error) -> String {
    let first = error.ssl_error().and_then(|stack| stack.errors().first().cloned());
    match first {
        // 1000 and an alert of the peer.
        Some(e) if (1000..1256).contains(&e.reason_code()) => {
            format!("the peer ended the DTLS handshake: {}", alert_words((e.reason_code() - 1000) as u8))
        }
        Some(e) => format!("the DTLS handshake failed: {}", e.reason().unwrap_or("for no stated reason")),
        None => format!("the DTLS handshake failed: {error}"),
    }
}
