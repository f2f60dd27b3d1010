//! SIP: the user agent of the gateway, sans-I/O.
//!
//! `message` reads and writes; `transaction` repeats and absorbs (RFC 3261 s.17, RFC 6026); `dialog` keeps what two ends agreed on
//! (s.12); `endpoint` is the machine that the rest of the gateway speaks to. Time is an argument; messages come in by
//! [`Endpoint::handle_message`] and go out by [`Endpoint::poll_transmit`]. Nothing here knows of fax, ports or calls.

pub mod auth;
pub mod dialog;
pub mod endpoint;
pub mod fuzz;
mod hop;
pub mod locate;
pub mod message;
mod network;
pub mod register;
pub mod stream;
pub mod transaction;

pub use endpoint::{
    Alive, CommandError, Config, Counters, DialogId, Diversion, EndCause, Endpoint, Event, Identity, Invite, LimitReached, OptionsId,
    RequestId, TimerReason, Transmit,
};
pub use hop::{Hop, Target, Transport};
pub use network::{Network, NetworkError, is_inside, source_of};
