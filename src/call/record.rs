//! The call record (CDR): one a call, written when its legs have given back their counters.

use crate::clock::WallMs;
use crate::fax::t38::relay::FaxStats;
use crate::media::AudioStats;
use std::net::SocketAddr;

/// Which way a call went, seen from this gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// One of our ports called a peer.
    Outgoing,
    /// A peer called one of our ports (or a service).
    Incoming,
    /// Between two of our ports, or a port and a service.
    Local,
}

impl Direction {
    /// The word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Outgoing => "outgoing",
            Direction::Incoming => "incoming",
            Direction::Local => "local",
        }
    }
}

/// Everything worth keeping of one call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Our id of the call, as in the logs.
    pub call: String,
    /// The dialog's Call-ID, as in the peer's logs; empty on a local call.
    pub sip_call_id: String,
    /// Which way.
    pub direction: Direction,
    /// The calling number, empty if it was not told.
    pub from: String,
    /// The called number as dialled.
    pub to: String,
    /// Names of our ports in it: caller's, then called's.
    pub ports: Vec<String>,
    /// When it was dialled or came in.
    pub started: WallMs,
    /// When it was answered.
    pub answered: Option<WallMs>,
    /// When it was over.
    pub ended: WallMs,
    /// How the place to call was found: `port`, `service`, `learned`, `directory`, `emergency`, empty on incoming calls.
    pub route: &'static str,
    /// The peer gateway.
    pub peer: Option<SocketAddr>,
    /// True when the call did what it was made for.
    pub completed: bool,
    /// The end in words.
    pub result: String,
    /// Q.850 cause of the end.
    pub q850: u8,
    /// The voice leg: codec name and counters.
    pub audio: Option<(&'static str, AudioStats)>,
    /// The fax leg.
    pub fax: Option<FaxStats>,
}
