//! DTLS for media: one handshake proves both ends and gives the keys of voice (SRTP, RFC 5764) and of fax (UDPTL in DTLS, RFC 7345).
//!
//! Two halves, one for each domain of time. [`Association`] is the handshake, in the event domain: it costs a millisecond of CPU and
//! allocates as it likes. It speaks through an [`Engine`]: [`Dimpl`] for DTLS 1.3 and 1.2 with ECDSA certificates, OpenSSL in the shell for
//! peers that have RSA ([`ByHello`] tells them apart), [`SeededForSimulation`] where every octet must be the same in two runs. [`Records`] is what the handshake was for,
//! in the tick domain: it opens and seals application data under the keys of the handshake and allocates nothing. It is handed out once
//! ([`Association::take_records`]), and only when the peer's certificate is one that was expected; so are the SRTP keys.
//!
//! The association stays where it is after that: records that are not application data (a repeated flight, an acknowledgement) are told
//! apart by [`Records::open`] and go to [`Association::handle_datagram`], which says again what the peer did not hear.
//!
//! Read RFC 6347, RFC 9147 s.4, RFC 5763 s.5, RFC 8122 and RFC 8842.

mod association;
mod certificate;
mod dimpl_engine;
mod engine;
pub mod fuzz;
mod hello;
mod keys;
mod records;
mod simulation;
#[cfg(test)]
mod tests;

pub use association::{Association, Connected, Event, Params, Role, Verdict};
pub use certificate::{Certificate, Expected, Hash, PeerCertificate};
pub use dimpl_engine::Dimpl;
pub use engine::{Engine, EngineOutput, Established, Handshake, SrtpKeys, alert_words};
pub use hello::ByHello;
pub use keys::{RecordHash, SecretBytes, Secrets};
pub use records::{ENGINE_RECORDS, Opened, RECORD_OVERHEAD_MAX, Records};
pub use simulation::SeededForSimulation;

/// Whether a datagram that begins with this octet is DTLS (RFC 7983 s.7): STUN is below, RTP and RTCP are above, and UDPTL's never is, for
/// its sequence numbers are not told apart by their first octet and share no port with DTLS in the clear.
pub const fn is_dtls(first_octet: u8) -> bool {
    matches!(first_octet, 20..=63)
}
