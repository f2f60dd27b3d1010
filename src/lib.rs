//! tipring: ordinary telephones and G3 fax machines on IP. The map of this folder is `ARCHITECTURE.md`.
//!
//! Everything but `shell` is the core: no I/O, no clock, no thread; it builds without tokio and runs in virtual time.

pub mod clock;
pub mod digit_map;
pub mod fax;
pub mod id;
pub mod limits;
pub mod line;
pub mod number;
