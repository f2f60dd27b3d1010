//! What the board tells the event domain: a fixed-size enum in a bounded queue.

use super::leg::Leg;
use crate::dtls::Records;
use crate::fax::t38::relay::FaxNews;
use crate::id::{LegId, PortId};
use crate::line::Event as LineEvent;
use crate::srtp::Session;
use tipring_hw::sim::{ControlError, SimEvent};

/// Something that happened in the tick domain.
pub enum Event {
    /// The line machine of a port speaks.
    Line(PortId, LineEvent),
    /// The machine at this port sends V.21 HDLC flags: it is a fax machine and it is answering.
    V21Preamble(PortId),
    /// A calling fax machine's CNG was heard from this port. A hint only.
    Cng(PortId),
    /// 2100 Hz (CED, or ANSam) was heard from this port. A hint only.
    AnswerTone(PortId),
    /// The first valid media came from the network on this port's leg: early media is really there (RFC 3960 s.3.2).
    MediaArrived(PortId),
    /// Nothing valid came from the network on this port's leg for this long; said once per silence.
    LegSilent {
        /// Whose leg.
        port: PortId,
        /// For how long, in milliseconds.
        silent_ms: u64,
    },
    /// The T.38 leg of this port has heard the called machine, or holds a page back.
    Fax(PortId, FaxNews),
    /// A leg was taken off its port; its counters are final. Dropped (and freed) by the receiver.
    Retired {
        /// Whose leg it was.
        port: PortId,
        /// Which sockets are free again.
        leg_id: LegId,
        /// The machine, for its counters.
        leg: Box<Leg>,
    },
    /// A session of SRTP that is not needed: its keys were taken over, or there was no leg for it. Dropped (and wiped, and freed) by the receiver.
    Spent(Box<Session>),
    /// A record layer of DTLS that is not needed: there is another in its place, or there was no fax in DTLS. It can be used for another leg.
    SpentRecords(Box<Records>),
    /// The simulated machine at a port tells what it heard or did.
    Sim(PortId, Box<SimEvent>),
    /// A `Simulate` command was refused by the port: it is a real one, or its machine cannot do that now.
    SimRefused(PortId, ControlError),
}
