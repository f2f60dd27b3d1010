//! A directory and a gateway as those see them who look after them: HTTPS, people, access, backup, disks that are full, health. Through the
//! real program.
#![cfg(feature = "shell")]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // a test may
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

mod daemons;
mod https;
mod people;
#[path = "../skip/mod.rs"]
mod skip;
mod stage;
mod store;
