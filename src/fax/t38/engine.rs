//! What turns a line's audio into IFP packets and back. The relay knows only this trait, so that our own modems can take libspandsp's place.

// `from_` and `to_` name places (the line, the network), as everywhere outside `dsp`; they convert nothing.
#![allow(clippy::wrong_self_convention)]

use super::ifp::{DataType, FieldType, Indicator, Packet};
use tipring_dsp::Frame;

/// What the network says to the engine: one thing at a time, decoded and in a legal order (see [`super::filter`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// The far line's signal changes.
    Indicator(Indicator),
    /// A piece of data. Only fields of group 3 come here.
    Field {
        /// By this modem.
        modem: DataType,
        /// What it is.
        kind: FieldType,
        /// Its octets, perhaps none.
        data: &'a [u8],
    },
    /// This many packets are lost just here.
    Missing(u16),
    /// Forget everything and begin anew, with a silent line on both sides.
    Reset,
}

/// Samples of the line that an engine hears at a time, before it is asked for packets. Two are less than a symbol of the fastest modem
/// (2400 baud), so nothing that the end of training sets off can come between the modem and its first octet (see
/// [`tipring_dsp::spandsp::t38_gateway::Gateway::rx`]); and the filter acts on a frame before the next sample is heard.
pub const LINE_SAMPLES: usize = 2;
const _: () = assert!(tipring_dsp::FRAME_SAMPLES.is_multiple_of(LINE_SAMPLES), "a frame is whole pieces");

/// Audio on one side, T.38 on the other. No method allocates, blocks or fails: an engine in trouble is silent and says so in its counts.
pub trait Engine: Send {
    /// Hears the line's next samples: [`LINE_SAMPLES`] of them.
    fn from_line(&mut self, samples: &[i16]);
    /// Speaks 20 ms to the line.
    fn to_line(&mut self, frame: &mut Frame);
    /// Hears the network.
    fn from_net(&mut self, step: Step<'_>);
    /// The next packet for the network and how many times it should be sent.
    fn poll(&mut self) -> Option<(Packet, u8)>;
    /// Packets the engine lost by its own fault.
    fn faults(&self) -> u32;
}

#[cfg(feature = "spandsp")]
pub use by_spandsp::SpandspEngine;

#[cfg(feature = "spandsp")]
mod by_spandsp {
    use super::{Engine, Step};
    use crate::fax::t38::ifp::{self, Data, Packet, Syntax};
    use tipring_dsp::Frame;
    use tipring_dsp::spandsp::{Error, t38_gateway};

    /// libspandsp's gateway. Between us and the C only the 1998 syntax is spoken, one field a packet, whatever the peer speaks.
    pub struct SpandspEngine {
        gateway: t38_gateway::Gateway,
        seq: u16,
        unreadable: u32,
    }

    impl SpandspEngine {
        /// An engine whose line is silent.
        pub fn new(config: &t38_gateway::GatewayConfig) -> Result<Self, Error> {
            Ok(SpandspEngine { gateway: t38_gateway::Gateway::new(config)?, seq: 0, unreadable: 0 })
        }
    }

    impl Engine for SpandspEngine {
        fn from_line(&mut self, samples: &[i16]) {
            self.gateway.rx(samples);
        }
        fn to_line(&mut self, frame: &mut Frame) {
            self.gateway.tx(frame);
        }
        fn from_net(&mut self, step: Step<'_>) {
            let packet = match step {
                // A gap in the numbers is how the C learns of it; it takes jumps below 2000 for a gap.
                Step::Missing(n) => {
                    self.seq = self.seq.wrapping_add(n.min(1000));
                    return;
                }
                Step::Reset => return self.gateway.reset(),
                Step::Indicator(i) => Packet::Indicator(i),
                Step::Field { modem, kind, data } => match Data::one(modem, kind, data) {
                    Ok(d) => Packet::Data(d),
                    Err(_) => return,
                },
            };
            let mut octets = [0u8; crate::limits::IFP_BYTES_MAX + 16];
            if let Ok(n) = packet.emit(Syntax::Asn1998, &mut octets) {
                self.gateway.from_ifp(&octets[..n], self.seq);
                self.seq = self.seq.wrapping_add(1);
            }
        }
        fn poll(&mut self) -> Option<(Packet, u8)> {
            loop {
                let made = self.gateway.poll_ifp()?;
                match ifp::parse(made.bytes(), Syntax::Asn1998) {
                    Ok(packet) => return Some((packet, made.copies)),
                    Err(_) => self.unreadable = self.unreadable.saturating_add(1),
                }
            }
        }
        fn faults(&self) -> u32 {
            let s = self.gateway.stats();
            s.overflowed.saturating_add(s.refused).saturating_add(self.unreadable)
        }
    }
}
