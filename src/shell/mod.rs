//! The only I/O: clock, sockets, files, threads. Everything decided here is decided by a machine of the core.

pub mod accounts;
pub mod clock;
pub mod directory;
pub mod directory_client;
pub mod http;
pub mod png;
pub mod store;
