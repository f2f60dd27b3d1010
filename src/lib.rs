//! tipring: ordinary telephones and G3 fax machines on IP. The map of this folder is `ARCHITECTURE.md`.
//!
//! Everything but `shell` is the core: no I/O, no clock, no thread; it builds without tokio and runs in virtual time.

pub mod clock;
pub mod id;
pub mod limits;
pub mod number;
pub mod directory;
pub mod key;
#[cfg(feature = "shell")]
pub mod api;
#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
pub mod shell;
pub mod registration;
