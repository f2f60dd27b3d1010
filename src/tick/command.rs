//! What the event domain asks of the board: a fixed-size enum in a bounded queue.

use super::leg::Leg;
use crate::dtls::Records;
use crate::fax::t38::udptl::ErrorCorrection;
use crate::id::{LegId, PortId};
use crate::identity::Clearance;
use crate::line::Command as LineCommand;
use crate::media::Direction;
use crate::srtp::Session;
use std::net::{IpAddr, SocketAddr};
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
    /// RTCP shares the RTP port.
    pub rtcp_mux: bool,
    /// Who sends.
    pub direction: Direction,
}

/// What a re-INVITE changes of a T.38 leg that goes on: the fax in it, its sequence numbers and its counters stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// Where UDPTL goes.
    pub remote: SocketAddr,
    /// The host that the peer's signalling comes from, which may be the peer's too.
    pub also_from: Option<IpAddr>,
    /// The largest datagram the peer takes.
    pub max_datagram: usize,
    /// How ours are protected.
    pub error_correction: ErrorCorrection,
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
    /// The RTP socket of these legs is (or is no longer) listened to for DTLS before anything is connected there: handshakes run while it
    /// rings.
    Listen(LegId, bool),
    /// Takes off whatever is connected to the port (leg or patch, both ends of it).
    Disconnect(PortId),
    /// The audio leg of this port goes on under new terms.
    Retune(PortId, Retune),
    /// It is known who the peer of this port's fax is: images may pass.
    Clear(PortId, Clearance),
    /// The T.38 leg of this port goes on under new terms.
    Redirect(PortId, Redirect),
    /// The leg of this port has keys from now on, or new ones. The box that is not needed any more comes back as `Event::Spent`.
    Secure(PortId, Box<Session>),
    /// The fax leg of this port, which carries DTLS, has its record layer: the peer is proven.
    SecureFax(PortId, Box<Records>),
    /// A digit that came by signalling is played to this port's line, like one that came in RTP: the key, and for how long in ms.
    PlayDigit(PortId, u8, u16),
    /// The audio leg of this port carries fax tones from now on: fixed playout, no concealment.
    PassThrough(PortId),
    /// For the simulated machine at a port's far end (`tipring sim`). A real port refuses it.
    Simulate(PortId, Box<Control>),
}
