//! Between the decoder and the engine: only legal orders pass.
//!
//! Two duties. **Order**: data follows the indicator that announces it (a lost indicator is put back), one carrier carries either HDLC or
//! non-ECM data, a frame has a bounded length, an end of signal is an end and comes once. **Direction**: fax is half duplex. An engine has
//! one image modem; libspandsp even one piece of memory for sending and receiving, and runs wild if an image carrier begins in one
//! direction while the other is armed. So an image from the network passes only while the engine cannot be waiting for one from the
//! line, and the engine is deaf to the line while it speaks (which also keeps the echo of our own DCS out of its ears).
//!
//! When is the engine armed for an image from the line? From the moment it hears DCS or CTC on the line, or DTC from the network; it
//! stays so until DCS comes from the network *and* a V.21 carrier on the line has ended after that. Doubt counts as armed.

use super::engine::Step;
use super::ifp::{Data, DataType, FieldType, Indicator, Packet};
use crate::limits::HDLC_FRAME_BYTES_MAX;
use tipring_dsp::Frame;

/// What the filter kept away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FilterStats {
    /// Packets and fields of V.8, V.34, V.33: no business of a group 3 relay.
    pub not_group_3: u32,
    /// Image carriers from the network while the line was to send one.
    pub wrong_direction: u32,
    /// Data that does not fit the carrier it came with.
    pub out_of_order: u32,
    /// HDLC frames longer than any.
    pub too_long: u32,
    /// Indicators put back because the data came without.
    pub indicators_restored: u32,
    /// Image packets held back because the call has no clearance.
    pub no_clearance: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    Hdlc,
    NonEcm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// No image from the network is on its way to the line.
    No,
    /// One was passed on and is not over. `on_air`: heard on the line; `quiet`: frames of silence since; `age`: frames altogether.
    Image { on_air: bool, quiet: u16, age: u16 },
}

/// The frames of silence that end an image: 75 ms lie between two signals, so two whole frames at least are silent.
const QUIET_FRAMES: u16 = 2;
/// Frames after which an image that never got on the line is forgotten: 30 s.
const STALE_FRAMES: u16 = 1500;

/// FCFs that arm the image modem, X bit clear except where it is part of the code.
const DCS: u8 = 0x41;
const CTC: u8 = 0x48;
const DTC: u8 = 0x81;

/// The start of an HDLC frame, enough to know it by.
#[derive(Clone, Copy)]
struct Head {
    octets: [u8; 3],
    len: usize,
    spoilt: bool,
}

impl Head {
    const NEW: Head = Head { octets: [0; 3], len: 0, spoilt: false };
    fn push(&mut self, data: &[u8]) {
        for b in data {
            if let Some(o) = self.octets.get_mut(self.len) {
                *o = *b;
            }
            self.len += 1;
        }
    }
    fn fcf(&self) -> Option<u8> {
        (self.len >= 3).then_some(self.octets[2])
    }
}

/// The filter of one relay.
pub struct Filter {
    indicator: Indicator,
    carries: Carries,
    net: Head,
    line: Head,
    /// The engine knows which image modem to listen with.
    commanded: bool,
    /// It may be listening with it.
    armed: bool,
    sending: Sending,
    quiet_out: u16,
    cleared: bool,
    stats: FilterStats,
}

impl Default for Filter {
    fn default() -> Self {
        Filter::new()
    }
}

impl Filter {
    /// A filter for an engine that has just been made.
    pub const fn new() -> Self {
        Filter {
            indicator: Indicator::NoSignal,
            carries: Carries::Nothing,
            net: Head::NEW,
            line: Head::NEW,
            commanded: false,
            armed: false,
            sending: Sending::No,
            quiet_out: QUIET_FRAMES,
            cleared: true,
            stats: FilterStats {
                not_group_3: 0,
                wrong_direction: 0,
                out_of_order: 0,
                too_long: 0,
                indicators_restored: 0,
                no_clearance: 0,
            },
        }
    }
    /// Lets images pass (true) or only tones and V.21 (false): T.30 may go on, pages wait for who the peer is.
    pub fn set_cleared(&mut self, cleared: bool) {
        self.cleared = cleared;
    }
    /// What was kept away.
    pub const fn stats(&self) -> FilterStats {
        self.stats
    }
    /// Packets from the network are lost.
    pub fn missing(&mut self, n: u16, mut to_engine: impl FnMut(Step<'_>)) {
        self.net.spoilt = true;
        to_engine(Step::Missing(n));
    }
    /// A packet from the network: what of it the engine may hear is passed to `to_engine`.
    pub fn from_net(&mut self, packet: &Packet, mut to_engine: impl FnMut(Step<'_>)) {
        match packet {
            Packet::Indicator(i) => self.indicator(*i, &mut to_engine),
            Packet::Data(d) => self.data(d, &mut to_engine),
        }
    }
    /// True if the engine should hear silence in place of the line this tick.
    pub fn deaf(&self) -> bool {
        self.quiet_out < QUIET_FRAMES || self.sending != Sending::No
    }
    /// A packet that the engine made of the line's signal. False if it must not go out (an image without clearance).
    pub fn from_line(&mut self, packet: &Packet) -> bool {
        let data = match packet {
            Packet::Indicator(i) => {
                self.line = Head::NEW;
                if *i == Indicator::NoSignal {
                    self.line_carrier_ended();
                }
                return self.cleared || !self.hold(i.is_fast());
            }
            Packet::Data(d) => d,
        };
        if data.modem() == DataType::V21 {
            for field in data.fields() {
                self.line.push(field.data);
                if let Some(good) = field.kind.fcs() {
                    if good && self.line.fcf().is_some_and(|f| matches!(f & 0x7F, DCS | CTC)) {
                        (self.commanded, self.armed) = (true, true);
                    }
                    self.line = Head::NEW;
                }
                if field.kind.ends_signal() {
                    self.line = Head::NEW;
                    self.line_carrier_ended();
                }
            }
        }
        self.cleared || !self.hold(data.modem().is_fast())
    }
    /// The frame that the engine has just put on the line.
    pub fn to_line(&mut self, frame: &Frame) {
        let silent = frame.iter().all(|s| *s == 0);
        self.quiet_out = if silent { self.quiet_out.saturating_add(1) } else { 0 };
        if let Sending::Image { on_air, quiet, age } = self.sending {
            let (on_air, quiet) = if silent { (on_air, quiet.saturating_add(1)) } else { (true, 0) };
            let over = on_air && quiet >= QUIET_FRAMES && !self.indicator.is_fast();
            self.sending = if over || age >= STALE_FRAMES { Sending::No } else { Sending::Image { on_air, quiet, age: age + 1 } };
        }
    }

    fn hold(&mut self, is_image: bool) -> bool {
        if is_image {
            self.stats.no_clearance = self.stats.no_clearance.saturating_add(1);
        }
        is_image
    }
    fn line_carrier_ended(&mut self) {
        // The engine chooses its receiver anew at this moment.
        self.armed = self.commanded;
    }
    /// May an image from the network reach the engine?
    fn image_may_pass(&mut self) -> bool {
        if !self.cleared {
            return !self.hold(true);
        }
        if self.commanded || self.armed {
            self.stats.wrong_direction = self.stats.wrong_direction.saturating_add(1);
            return false;
        }
        true
    }
    fn indicator(&mut self, i: Indicator, to_engine: &mut impl FnMut(Step<'_>)) {
        // A relay below version 3 must not let V.8 through: ANSam, without its modulation, is CED.
        let i = if i == Indicator::V8Ansam { Indicator::Ced } else { i };
        if i > Indicator::V17Long14400 {
            self.stats.not_group_3 = self.stats.not_group_3.saturating_add(1);
            return;
        }
        if i == self.indicator {
            // Indicators come three times.
            return;
        }
        if i.is_fast() && !self.image_may_pass() {
            return;
        }
        self.start(i, to_engine);
    }
    fn start(&mut self, i: Indicator, to_engine: &mut impl FnMut(Step<'_>)) {
        self.indicator = i;
        self.carries = Carries::Nothing;
        self.net = Head::NEW;
        if i.is_fast() {
            self.sending = Sending::Image { on_air: false, quiet: 0, age: 0 };
        }
        to_engine(Step::Indicator(i));
    }
    fn data(&mut self, d: &Data, to_engine: &mut impl FnMut(Step<'_>)) {
        let modem = d.modem();
        if modem > DataType::V17At14400 {
            self.stats.not_group_3 = self.stats.not_group_3.saturating_add(1);
            return;
        }
        for field in d.fields() {
            if field.kind > FieldType::T4NonEcmSigEnd {
                self.stats.not_group_3 = self.stats.not_group_3.saturating_add(1);
                continue;
            }
            if self.indicator.announces() != Some(modem) {
                // An end, or the end of a frame, of a carrier that is no more: one of the three copies, or what a loss left behind.
                if field.data.is_empty() {
                    continue;
                }
                if modem.is_fast() && !self.image_may_pass() {
                    continue;
                }
                self.stats.indicators_restored = self.stats.indicators_restored.saturating_add(1);
                self.start(training_for(modem), to_engine);
                // All frames of fax start with FF; one that does not has lost its beginning with the indicator.
                self.net.spoilt = field.data.first() != Some(&0xFF);
            }
            self.field(modem, field.kind, field.data, to_engine);
        }
    }
    fn field(&mut self, modem: DataType, kind: FieldType, data: &[u8], to_engine: &mut impl FnMut(Step<'_>)) {
        match kind {
            FieldType::T4NonEcmData => self.non_ecm(modem, data, to_engine),
            FieldType::T4NonEcmSigEnd if self.carries == Carries::Hdlc => self.end(modem, FieldType::HdlcSigEnd, to_engine),
            FieldType::T4NonEcmSigEnd => {
                self.non_ecm(modem, data, to_engine);
                self.end(modem, FieldType::T4NonEcmSigEnd, to_engine);
            }
            // Seen in the field: the HDLC end behind non-ECM data.
            FieldType::HdlcSigEnd if self.carries == Carries::NonEcm => self.end(modem, FieldType::T4NonEcmSigEnd, to_engine),
            FieldType::HdlcSigEnd => self.end(modem, FieldType::HdlcSigEnd, to_engine),
            FieldType::HdlcData => self.hdlc(modem, data, to_engine),
            FieldType::HdlcFcsOk | FieldType::HdlcFcsBad | FieldType::HdlcFcsOkSigEnd | FieldType::HdlcFcsBadSigEnd => {
                // Seen in the field: data inside the field that should only judge it.
                self.hdlc(modem, data, to_engine);
                self.frame_ended(modem, kind.fcs() == Some(true), to_engine);
                if kind.ends_signal() {
                    self.end(modem, FieldType::HdlcSigEnd, to_engine);
                }
            }
            FieldType::CmMessage | FieldType::JmMessage | FieldType::CiMessage | FieldType::V34Rate => {}
        }
    }
    fn non_ecm(&mut self, modem: DataType, data: &[u8], to_engine: &mut impl FnMut(Step<'_>)) {
        if data.is_empty() {
            return;
        }
        if self.carries == Carries::Hdlc || modem == DataType::V21 {
            self.stats.out_of_order = self.stats.out_of_order.saturating_add(1);
            return;
        }
        self.carries = Carries::NonEcm;
        to_engine(Step::Field { modem, kind: FieldType::T4NonEcmData, data });
    }
    fn hdlc(&mut self, modem: DataType, data: &[u8], to_engine: &mut impl FnMut(Step<'_>)) {
        if data.is_empty() {
            return;
        }
        if self.carries == Carries::NonEcm {
            self.stats.out_of_order = self.stats.out_of_order.saturating_add(1);
            return;
        }
        self.carries = Carries::Hdlc;
        if self.net.len + data.len() > HDLC_FRAME_BYTES_MAX {
            self.stats.too_long = self.stats.too_long.saturating_add(1);
            self.net.spoilt = true;
            return;
        }
        self.net.push(data);
        to_engine(Step::Field { modem, kind: FieldType::HdlcData, data });
    }
    fn frame_ended(&mut self, modem: DataType, good: bool, to_engine: &mut impl FnMut(Step<'_>)) {
        let head = core::mem::replace(&mut self.net, Head::NEW);
        if head.len == 0 || self.carries == Carries::NonEcm {
            return;
        }
        let mut good = good && !head.spoilt;
        if good && modem == DataType::V21 {
            match head.fcf() {
                // The line would become the sender while an image is on its way to it.
                Some(DTC) if self.sending != Sending::No => good = false,
                Some(DTC) => (self.commanded, self.armed) = (true, true),
                Some(fcf) if fcf & 0x7F == DCS => self.commanded = false,
                _ => {}
            }
        }
        let kind = if good { FieldType::HdlcFcsOk } else { FieldType::HdlcFcsBad };
        to_engine(Step::Field { modem, kind, data: &[] });
    }
    fn end(&mut self, modem: DataType, kind: FieldType, to_engine: &mut impl FnMut(Step<'_>)) {
        to_engine(Step::Field { modem, kind, data: &[] });
        self.start(Indicator::NoSignal, to_engine);
    }
}

/// The indicator that announces data of this modem. Of V.17, the long training: the machine on the line takes both.
const fn training_for(modem: DataType) -> Indicator {
    match modem {
        DataType::V27At2400 => Indicator::V27Training2400,
        DataType::V27At4800 => Indicator::V27Training4800,
        DataType::V29At7200 => Indicator::V29Training7200,
        DataType::V29At9600 => Indicator::V29Training9600,
        DataType::V17At7200 => Indicator::V17Long7200,
        DataType::V17At9600 => Indicator::V17Long9600,
        DataType::V17At12000 => Indicator::V17Long12000,
        DataType::V17At14400 => Indicator::V17Long14400,
        _ => Indicator::V21Preamble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{V17At14400, V21};
    use FieldType::*;

    fn passed(f: &mut Filter, packets: &[Packet]) -> Vec<String> {
        let mut got = Vec::new();
        for p in packets {
            f.from_net(p, |s| {
                got.push(match s {
                    Step::Indicator(i) => i.to_string(),
                    Step::Field { modem, kind, data } => format!("{modem} {kind} {}", data.len()),
                    Step::Missing(n) => format!("missing {n}"),
                });
            });
        }
        got
    }
    fn d(modem: DataType, kind: FieldType, data: &[u8]) -> Packet {
        Packet::Data(Data::one(modem, kind, data).unwrap())
    }
    fn i(i: Indicator) -> Packet {
        Packet::Indicator(i)
    }
    fn frame(fcf: u8) -> [Packet; 3] {
        [i(Indicator::V21Preamble), d(V21, HdlcData, &[0xFF, 0xC8, fcf]), d(V21, HdlcFcsOkSigEnd, &[])]
    }

    #[test]
    fn what_is_legal_passes_as_it_is() {
        let mut f = Filter::new();
        let got = passed(&mut f, &frame(0x21));
        assert_eq!(got, ["v21-preamble", "v21 hdlc-data 3", "v21 hdlc-fcs-OK 0", "v21 hdlc-sig-end 0", "no-signal"]);
        let page = [i(Indicator::V17Long14400), d(V17At14400, T4NonEcmData, &[0; 9]), d(V17At14400, T4NonEcmSigEnd, &[1])];
        let got = passed(&mut f, &page);
        assert_eq!(
            got,
            [
                "v17-14400-long-training",
                "v17-14400 t4-non-ecm-data 9",
                "v17-14400 t4-non-ecm-data 1",
                "v17-14400 t4-non-ecm-sig-end 0",
                "no-signal"
            ]
        );
        assert_eq!(f.stats(), FilterStats::default());
    }

    #[test]
    fn copies_of_an_end_are_not_passed_twice() {
        let mut f = Filter::new();
        passed(&mut f, &frame(0x21));
        assert_eq!(passed(&mut f, &[d(V21, HdlcFcsOkSigEnd, &[]), d(V21, HdlcSigEnd, &[]), i(Indicator::NoSignal)]), [""; 0]);
    }

    #[test]
    fn a_lost_indicator_is_put_back_and_the_frame_it_lost_is_not_believed() {
        let mut f = Filter::new();
        let got = passed(&mut f, &[d(V21, HdlcData, &[0x31]), d(V21, HdlcFcsOk, &[])]);
        assert_eq!(got, ["v21-preamble", "v21 hdlc-data 1", "v21 hdlc-fcs-BAD 0"]);
    }

    #[test]
    fn an_image_from_the_network_does_not_pass_while_the_line_sends() {
        let mut f = Filter::new();
        for p in frame(0x41) {
            f.from_line(&p);
        }
        assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400), d(V17At14400, T4NonEcmData, &[0])]), [""; 0]);
        assert_eq!(f.stats().wrong_direction, 2);
        // The tables turn: DCS from the network, then the end of a V.21 carrier on the line.
        passed(&mut f, &frame(0xC1));
        assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400)]), [""; 0]);
        f.from_line(&d(V21, HdlcSigEnd, &[]));
        assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400)]), ["v17-14400-long-training"]);
    }

    #[test]
    fn carriers_do_not_mix_and_strangers_do_not_pass() {
        let mut f = Filter::new();
        passed(&mut f, &[i(Indicator::V17Long14400), d(V17At14400, HdlcData, &[0xFF; 200])]);
        assert_eq!(passed(&mut f, &[d(V17At14400, T4NonEcmData, &[0])]), [""; 0]);
        assert_eq!(passed(&mut f, &[d(V17At14400, HdlcData, &[0xFF; 61]), d(V17At14400, HdlcFcsOk, &[])]), ["v17-14400 hdlc-fcs-BAD 0"]);
        assert_eq!(passed(&mut f, &[i(Indicator::V34PrimaryChannel), d(DataType::V8, CmMessage, b"1")]), [""; 0]);
        assert_eq!(passed(&mut f, &[i(Indicator::V8Ansam)]), ["ced"]);
        let s = f.stats();
        assert_eq!((s.out_of_order, s.too_long, s.not_group_3), (1, 1, 2));
    }

    #[test]
    fn without_clearance_only_the_handshake_passes() {
        let mut f = Filter::new();
        f.set_cleared(false);
        assert_eq!(passed(&mut f, &frame(0x41)).len(), 5);
        assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400), d(V17At14400, T4NonEcmData, &[0])]), [""; 0]);
        assert!(f.from_line(&i(Indicator::V21Preamble)));
        assert!(!f.from_line(&i(Indicator::V17Long14400)) && !f.from_line(&d(V17At14400, T4NonEcmData, &[0])));
        f.set_cleared(true);
        assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400)]).len(), 1);
    }

    #[test]
    fn the_engine_is_deaf_while_it_speaks() {
        let mut f = Filter::new();
        assert!(!f.deaf());
        f.to_line(&[100; 160]);
        assert!(f.deaf());
        f.to_line(&[0; 160]);
        f.to_line(&[0; 160]);
        assert!(!f.deaf());
        passed(&mut f, &[i(Indicator::V17Long14400)]);
        assert!(f.deaf(), "an image is on its way");
        f.to_line(&[100; 160]);
        passed(&mut f, &[i(Indicator::NoSignal)]);
        f.to_line(&[0; 160]);
        f.to_line(&[0; 160]);
        assert!(!f.deaf());
    }
}
