//! Keys from outside: gateways and a directory as processes, and a stranger who tries.

#![cfg(all(feature = "shell", feature = "spandsp"))]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // Real processes in real time: this is the outside.

mod audit;
mod directory_key;
mod identifiers;
mod keys;
mod revocations;
mod routes;
mod stage;
mod station_keys;
