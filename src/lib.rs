//! tipring: ordinary telephones and G3 fax machines on IP. The map of this folder is `ARCHITECTURE.md`.
//!
//! Everything but `shell` is the core: no I/O, no clock, no thread; it builds without tokio and runs in virtual time.

#[cfg(feature = "shell")]
pub mod api;
pub mod audit;
pub mod call;
pub mod clock;
#[cfg(feature = "shell")]
pub mod config;
pub mod decode;
pub mod digest;
pub mod digit_map;
pub mod directory;
pub mod dtls;
pub mod enum_door;
pub mod fax;
pub mod id;
pub mod identity;
pub mod key;
pub mod lab;
pub mod limits;
pub mod line;
pub mod media;
pub mod negotiate;
pub mod number;
pub mod proof;
pub mod registration;
pub mod resolve;
pub mod sdp;
#[cfg(feature = "shell")]
pub mod shell;
pub mod sip;
pub mod sip_door;
pub mod srtp;
pub mod stun;
pub mod tick;
