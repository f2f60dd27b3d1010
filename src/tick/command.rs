//! What the event domain asks of the board: a fixed-size enum in a bounded queue.

use super::leg::Leg;
use crate::id::{LegId, PortId};
use crate::line::Command as LineCommand;
use crate::media::Direction;
use std::net::SocketAddr;
use tipring_dsp::g711::Law;
use tipring_hw::sim::Control;

/// What a re-INVITE changes of an audio leg that goes on: its SSRC, its playout and its counters stay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retune {
    /// Companding law.
    pub law: Law,
    /// Its payload type.
    pub payload_type: u8,
    /// Payload type of telephone-event.
    pub telephone_event_pt: Option<u8>,
    /// Where RTP goes.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// Who sends.
    pub direction: Direction,
}

/// One order to the board. Orders are carried out at the next tick, in order.
pub enum Command {
    /// Something for the line machine of a port: ring, play a tone, connect the audio.
    Line(PortId, LineCommand),
    /// Puts a network leg on a port, in place of whatever is there; the old one comes back as `Event::Retired`.
    Connect {
        /// Whose audio.
        port: PortId,
        /// Which sockets.
        leg_id: LegId,
        /// The machine itself.
        leg: Box<Leg>,
    },
    /// Joins two ports of this board: a local call.
    Patch(PortId, PortId),
    /// Takes off whatever is connected to the port (leg or patch, both ends of it).
    Disconnect(PortId),
    /// The audio leg of this port goes on under new terms.
    Retune(PortId, Retune),
    /// The audio leg of this port carries fax tones from now on: fixed playout, no concealment.
    PassThrough(PortId),
    /// For the simulated machine at a port's far end (`tipring sim`). A real port refuses it.
    Simulate(PortId, Box<Control>),
}
