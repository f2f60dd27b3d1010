//! What a DTLS implementation must do for an association. Engines speak the handshake only; application data is [`super::Records`]' work.

use super::association::Params;
use super::keys::{SecretBytes, Secrets};
use crate::clock::Instant;

/// Begins handshakes.
pub trait Engine: Send + Sync {
    /// A handshake in the role, and with the certificate, of `params`. A client's first flight is there to be polled. `Err`: in words why
    /// there can be none, such as a key that the engine cannot use.
    fn begin(&self, now: Instant, params: &Params) -> Result<Box<dyn Handshake>, String>;
}

/// One handshake. Nothing that comes from outside may panic, and what is kept of it is bounded.
pub trait Handshake: Send {
    /// A datagram from the peer.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]);
    /// The time that `poll_timeout` named has come.
    fn handle_timeout(&mut self, now: Instant);
    /// What there is to do, until `None`.
    fn poll(&mut self) -> Option<EngineOutput>;
    /// When the engine wants to be called if nothing happens before.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What an engine says.
pub enum EngineOutput {
    /// To be sent.
    Datagram(Vec<u8>),
    /// The handshake is complete, and the peer has proven to hold the key of this certificate.
    Established(Box<Established>),
    /// The peer has closed.
    Closed,
    /// It is over; why, in words.
    Failed(String),
}

/// What a complete handshake gives.
pub struct Established {
    /// The peer's certificate in DER.
    pub peer_der: Vec<u8>,
    /// The secrets of the record layer.
    pub secrets: Secrets,
    /// The keys of SRTP, when `use_srtp` was agreed on.
    pub srtp: Option<SrtpKeys>,
}

/// Keying material for SRTP (RFC 5764 s.4.2).
#[derive(Clone)]
pub struct SrtpKeys {
    /// The protection profile: 0x0001 (AES128_CM_SHA1_80), 0x0007, 0x0008 (AEAD_AES_128_GCM, 256; RFC 7714).
    pub profile: u16,
    /// client_write_key, server_write_key, client_write_salt, server_write_salt.
    pub material: SecretBytes,
}

impl core::fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SrtpKeys({:#06x})", self.profile)
    }
}

/// What an alert of TLS is called (RFC 8446 s.6).
pub fn alert_words(description: u8) -> String {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        109 => "missing_extension",
        110 => "unsupported_extension",
        116 => "certificate_required",
        _ => return format!("alert {description}"),
    };
    format!("{name} (alert {description})")
}
