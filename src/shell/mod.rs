//! The only I/O: clock, sockets, files, threads. Everything decided here is decided by a machine of the core.

pub mod accounts;
pub mod api_client;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod decode;
pub mod demo;
pub mod directory;
pub mod directory_client;
mod directory_sip;
pub mod dns;
pub mod gateway;
pub mod gateway_api;
pub mod http;
pub mod lab;
pub mod log;
pub mod media_thread;
pub mod png;
pub mod records;
pub mod registrations;
pub mod routes_file;
pub mod simulate;
pub mod sip_accounts;
pub mod sip_transport;
pub mod store;
pub mod sys;
pub mod tls;
