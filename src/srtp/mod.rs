//! SRTP: RTP and RTCP that nobody on the way can read, change, or play again. Read RFC 3711, then RFC 7714 (GCM), RFC 4568 (keys in SDP) and
//! RFC 5764 clause 4 (keys from DTLS).
//!
//! A [`Session`] is both directions of one leg: [`Session::protect_rtp`] and its three siblings work in place on the caller's buffer and
//! never allocate, whatever comes in: they are called in the tick. A packet that is not what it claims to be costs a look at its head and
//! its place in the replay window, then at most one tag (while keys change: one for each key that may be meant); nothing is kept of an SSRC
//! until a packet of it was authentic.
//!
//! ```text
//! guard (length, version, payload type, E bit) -> index (roll-over, RFC 3711 3.3.1) -> replay window -> tag -> decrypt -> window moves
//! ```
//!
//! | file | is about |
//! |---|---|
//! | `profile` | the four protection profiles: names, numbers, lengths |
//! | `master_key` | master key and salt: SDES, DTLS keying material, wiped on drop |
//! | `transform` | session keys, and one packet under them: nothing here knows what came before |
//! | `window` | which packet index a sequence number means, and whether it was seen |
//! | `session` | who sends and who is heard, roll-over counters, rekeying, counts |

pub mod fuzz;
mod master_key;
mod profile;
mod session;
mod transform;
mod window;

#[cfg(test)]
mod tests;

pub use master_key::{KeyError, Keys, MasterKey, Role};
pub use profile::Profile;
pub use session::{Counts, Dropped, Session};

/// What protection adds to a packet at most, in octets: the tag of GCM and the index of SRTCP.
pub const OVERHEAD_BYTES_MAX: usize = 20;
