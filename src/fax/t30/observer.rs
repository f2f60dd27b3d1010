//! An ear on a fax call: it watches the IFP packets of both directions and tells what became of the pages.
//!
//! It only listens. The record it makes is what a person wants to read in the call log: pages, rate, ECM, idents, and how it ended, in
//! words that name the phase and, where libspandsp has a text for the same thing, that text, because administrators search for it.
//! Read T.30 clause 5.2 (phases) and annex A (ECM) first.

use super::frame::{self, Coding, Dcs, Fcf, Ident, Rate};
use crate::fax::t38::ifp::{DataType, Packet};
use crate::limits::HDLC_FRAME_BYTES_MAX;
use core::fmt;

/// Where a packet came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The fax machine on our line.
    Line,
    /// The machine behind the network.
    Net,
}

/// Phase of the call (T.30 clause 5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[allow(missing_docs)] // the names are the Recommendation's
pub enum Phase {
    #[default]
    A,
    B,
    C,
    D,
    E,
}

/// How the call ended, or stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaxResult {
    /// The last page was announced as the last (EOP) and confirmed (MCF).
    Delivered,
    /// Nobody said a word of T.30.
    NobodySpoke,
    /// DIS was heard, no DCS answered it.
    NoCommand,
    /// DCS was sent and neither CFR nor FTT came.
    NoResponseToDcs,
    /// Training failed this many times (FTT) and never succeeded after that.
    CannotTrain(u16),
    /// Training succeeded, no page came to its end.
    CarrierLost,
    /// A page was sent and nothing answered it.
    NoResponseToPage,
    /// The receiver refused the last page (RTN).
    PageRefused,
    /// The sender gave up correcting a page (EOR, ERR), so that parts of it never arrived.
    PageGivenUp,
    /// The receiver asked for frames of a page again (PPR), and they never came.
    NotCorrected,
    /// The receiver said that it is not ready (RNR) and never said anything else.
    NotReady,
    /// The receiver hung up (DCN) in answer to a page.
    DisconnectedAfterPage,
    /// Pages were confirmed, but the sender had more to say and did not.
    Dropped,
}

impl FaxResult {
    /// libspandsp's text for it.
    pub const fn spandsp_text(self) -> &'static str {
        match self {
            FaxResult::Delivered => "OK",
            FaxResult::NobodySpoke => "Timed out waiting for initial communication",
            FaxResult::NoCommand => "Timed out waiting for the first message",
            FaxResult::NoResponseToDcs => "Received no response to DCS or TCF",
            FaxResult::CannotTrain(_) => "Failed to train with any of the compatible modems",
            FaxResult::CarrierLost => "Carrier lost during fax receive",
            FaxResult::NoResponseToPage => "No response after sending a page",
            FaxResult::PageRefused => "Invalid response after sending a page",
            FaxResult::NotReady => "RNR retries exceeded", // not a text of libspandsp's, which has none for it
            FaxResult::PageGivenUp | FaxResult::NotCorrected => "Disconnected after permitted retries",
            FaxResult::DisconnectedAfterPage => "Received a DCN from remote after sending a page",
            FaxResult::Dropped => "The call dropped prematurely",
        }
    }
    /// The phase in which the call failed.
    const fn phase(self) -> &'static str {
        match self {
            FaxResult::NobodySpoke => "A",
            FaxResult::NoCommand | FaxResult::NoResponseToDcs | FaxResult::CannotTrain(_) => "B",
            FaxResult::CarrierLost => "C",
            FaxResult::NoResponseToPage
            | FaxResult::PageRefused
            | FaxResult::PageGivenUp
            | FaxResult::NotCorrected
            | FaxResult::NotReady
            | FaxResult::DisconnectedAfterPage
            | FaxResult::Dropped => "D",
            FaxResult::Delivered => "E",
        }
    }
}

impl fmt::Display for FaxResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaxResult::Delivered => return f.write_str("delivered (MCF seen for last page)"),
            _ => write!(f, "failed in phase {}: ", self.phase())?,
        }
        match self {
            FaxResult::NobodySpoke => f.write_str("no T.30 frame was heard")?,
            FaxResult::NoCommand => f.write_str("DIS was not answered by DCS")?,
            FaxResult::NoResponseToDcs => f.write_str("neither CFR nor FTT answered DCS")?,
            FaxResult::CannotTrain(1) => f.write_str("FTT once")?,
            FaxResult::CannotTrain(2) => f.write_str("FTT twice")?,
            FaxResult::CannotTrain(3) => f.write_str("FTT three times")?,
            FaxResult::CannotTrain(n) => write!(f, "FTT {n} times")?,
            FaxResult::CarrierLost => f.write_str("no page came to its end after CFR")?,
            FaxResult::NoResponseToPage => f.write_str("nothing answered the end of the page")?,
            FaxResult::PageRefused => f.write_str("RTN for the last page")?,
            FaxResult::PageGivenUp => f.write_str("EOR: the correction of a page was given up")?,
            FaxResult::NotCorrected => f.write_str("what PPR asked for never came")?,
            FaxResult::NotReady => f.write_str("RNR was the last answer to the page")?,
            FaxResult::DisconnectedAfterPage => f.write_str("DCN answered the page")?,
            FaxResult::Dropped => f.write_str("the call ended before EOP was confirmed")?,
            FaxResult::Delivered => {}
        }
        write!(f, " ({})", self.spandsp_text())
    }
}

/// What a call record keeps of a fax.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaxRecord {
    /// Pages confirmed by the receiver (MCF, RTP, PIP).
    pub pages: u16,
    /// The last rate commanded, in bit/s.
    pub bps: u32,
    /// The modem of that rate.
    pub rate: Option<Rate>,
    /// Error correction in use.
    pub ecm: bool,
    /// Coding of the pages.
    pub coding: Option<Coding>,
    /// TSI (or CIG).
    pub caller_ident: Ident,
    /// CSI.
    pub called_ident: Ident,
    /// Who sends the pages.
    pub sender: Option<Side>,
    /// Where the call stands.
    pub phase: Phase,
    /// Trainings that failed (FTT).
    pub training_failures: u16,
    /// Partial page requests (PPR): blocks of which frames were sent again.
    pub repeat_requests: u16,
    /// Pages refused (RTN).
    pub pages_refused: u16,
    /// T.30 frames with a bad FCS, both directions.
    pub bad_frames: u16,
    /// How it ended, or would if it ended here.
    pub result: Option<FaxResult>,
}

impl FaxRecord {
    /// The last page was confirmed by the receiver.
    pub fn delivered(&self) -> bool {
        self.result == Some(FaxResult::Delivered)
    }
    /// The line for the call log: "2 pages, V.17 14400, ECM, delivered (MCF seen for last page)". Allocates.
    pub fn words(&self) -> String {
        let mut s = if self.pages == 1 { "1 page".to_string() } else { format!("{} pages", self.pages) };
        if let Some(rate) = self.rate {
            s += &format!(", {rate}");
        }
        if self.ecm {
            s += ", ECM";
        }
        if let Some(result) = self.result {
            s += &format!(", {result}");
        }
        s
    }
}

/// HDLC frames put together again from the pieces that IFP packets carry.
#[derive(Clone)]
struct Assembly {
    bytes: heapless::Vec<u8, HDLC_FRAME_BYTES_MAX>,
    spoilt: bool,
}

impl Assembly {
    const NEW: Assembly = Assembly { bytes: heapless::Vec::new(), spoilt: false };
    fn restart(&mut self) {
        self.bytes.clear();
        self.spoilt = false;
    }
    fn push(&mut self, octets: &[u8]) {
        self.spoilt |= self.bytes.extend_from_slice(octets).is_err();
    }
}

/// The listener.
pub struct Observer {
    assembly: [Assembly; 2],
    record: FaxRecord,
    dis_seen: bool,
    dcs_unanswered: bool,
    /// FTT since the last CFR.
    failures_in_a_row: u16,
    trained: bool,
    /// The post-page command that waits for an answer.
    page_unanswered: Option<Fcf>,
    /// The command that the last confirmation answered.
    confirmed: Option<Fcf>,
    refused_last: bool,
    /// The last block ended with EOR, and its answer is not here yet.
    giving_up: bool,
    /// A page was given up.
    given_up: bool,
    /// PPR was the last answer to the page.
    asked_again: bool,
    /// RNR was the last answer.
    not_ready: bool,
    disconnected_after_page: bool,
    /// The CSI of the machine behind the network, of this or an earlier signal of its.
    station: Option<Ident>,
    /// A DIS of that machine was told to who asks; `Some(true)`: with a CSI.
    station_told: Option<bool>,
    station_news: bool,
}

impl Default for Observer {
    fn default() -> Self {
        Observer::new()
    }
}

impl Observer {
    /// A listener that has heard nothing.
    pub fn new() -> Self {
        Observer {
            assembly: [Assembly::NEW; 2],
            record: FaxRecord::default(),
            dis_seen: false,
            dcs_unanswered: false,
            failures_in_a_row: 0,
            trained: false,
            page_unanswered: None,
            confirmed: None,
            refused_last: false,
            giving_up: false,
            given_up: false,
            asked_again: false,
            not_ready: false,
            disconnected_after_page: false,
            station: None,
            station_told: None,
            station_news: false,
        }
    }
    /// The called machine is behind the network and has sent DIS: with this CSI before it, or (`None`, or blank) with none. Told once, and once
    /// more if the first came without: T.30 repeats both until a command comes.
    pub fn poll_station(&mut self) -> Option<Option<Ident>> {
        core::mem::take(&mut self.station_news).then(|| self.station.clone())
    }
    /// The record as it stands. Fixed size, no allocation.
    pub fn record(&self) -> FaxRecord {
        FaxRecord { result: Some(self.result()), ..self.record.clone() }
    }
    /// Packets of this side are missing: a frame in the making is worthless.
    pub fn missing(&mut self, side: Side) {
        self.assembly[side as usize].spoilt = true;
    }
    /// A packet passed by. Tells the name of the T.30 frame that it completed.
    pub fn packet(&mut self, side: Side, packet: &Packet) -> Option<Fcf> {
        let data = match packet {
            Packet::Indicator(_) => {
                self.assembly[side as usize].restart();
                return None;
            }
            Packet::Data(data) => data,
        };
        if data.modem() != DataType::V21 {
            if data.modem().is_fast() && self.trained && self.page_unanswered.is_none() {
                self.record.phase = Phase::C;
            }
            return None;
        }
        let mut completed = None;
        for field in data.fields() {
            let a = &mut self.assembly[side as usize];
            a.push(field.data);
            match field.kind.fcs() {
                Some(true) if !a.spoilt && !a.bytes.is_empty() => {
                    let frame = core::mem::replace(a, Assembly::NEW);
                    completed = self.frame(side, &frame.bytes).or(completed);
                }
                Some(good) => {
                    if !good && !a.bytes.is_empty() {
                        self.record.bad_frames = self.record.bad_frames.saturating_add(1);
                    }
                    a.restart();
                }
                None if field.kind.ends_signal() => a.restart(),
                None => {}
            }
        }
        completed
    }
    /// A frame with good FCS was heard on a line, from the address on, without its FCS.
    pub fn frame_heard(&mut self, side: Side, octets: &[u8]) -> Option<Fcf> {
        self.frame(side, octets)
    }
    /// A frame with good FCS was heard.
    fn frame(&mut self, side: Side, octets: &[u8]) -> Option<Fcf> {
        let f = frame::parse(octets)?;
        match f.fcf {
            Fcf::Dis | Fcf::Dtc => {
                self.dis_seen = true;
                self.record.phase = Phase::B;
                let named = self.station.as_ref().is_some_and(|csi| !csi.is_empty());
                if side == Side::Net && f.fcf == Fcf::Dis && self.station_told.is_none_or(|with_csi| named && !with_csi) {
                    (self.station_told, self.station_news) = (Some(named), true);
                }
            }
            Fcf::Csi => {
                self.record.called_ident = frame::ident(f.fif);
                if side == Side::Net {
                    self.station = Some(self.record.called_ident.clone());
                }
            }
            Fcf::Tsi | Fcf::Cig => self.record.caller_ident = frame::ident(f.fif),
            Fcf::Dcs => self.dcs(side, &frame::dcs(f.fif)),
            Fcf::Cfr => {
                (self.trained, self.dcs_unanswered, self.failures_in_a_row) = (true, false, 0);
                self.record.phase = Phase::C;
            }
            Fcf::Ftt => {
                self.dcs_unanswered = false;
                self.trained = false;
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.record.training_failures = self.record.training_failures.saturating_add(1);
            }
            Fcf::Mps | Fcf::Eom | Fcf::Eop | Fcf::PriMps | Fcf::PriEom | Fcf::PriEop | Fcf::Eos => self.page_ended(f.fcf),
            Fcf::Pps | Fcf::Eor => {
                self.giving_up = f.fcf == Fcf::Eor;
                (self.asked_again, self.not_ready) = (false, false);
                // The second FCF says what kind of end this is; none of them: more blocks of this page follow.
                if let Some(end) = f.fif.first().copied().and_then(Fcf::of) {
                    self.page_ended(end);
                }
                self.record.phase = Phase::D;
            }
            // T.30 annex A.4.3: the answer to EOR. It confirms that the sender goes on, not that the page arrived.
            Fcf::Err | Fcf::Mcf if self.giving_up => self.page_given_up(),
            Fcf::Mcf | Fcf::Rtp | Fcf::Pip => self.page_confirmed(),
            Fcf::Rtn | Fcf::Pin if self.page_unanswered.take().is_some() => {
                self.refused_last = true;
                self.record.pages_refused = self.record.pages_refused.saturating_add(1);
            }
            Fcf::Ppr => {
                (self.asked_again, self.not_ready) = (true, false);
                self.record.repeat_requests = self.record.repeat_requests.saturating_add(1);
            }
            Fcf::Rnr => self.not_ready = true,
            Fcf::Dcn => {
                self.disconnected_after_page = self.page_unanswered.is_some() && self.record.sender != Some(side);
                self.record.phase = Phase::E;
            }
            _ => {}
        }
        Some(f.fcf)
    }
    fn dcs(&mut self, side: Side, d: &Dcs) {
        self.record.sender = Some(side);
        self.record.rate = d.rate;
        self.record.bps = d.rate.map_or(0, Rate::bps);
        self.record.ecm = d.ecm;
        self.record.coding = Some(d.coding);
        self.record.phase = Phase::B;
        self.dcs_unanswered = true;
        self.trained = false;
    }
    fn page_ended(&mut self, command: Fcf) {
        self.page_unanswered = Some(command);
        self.record.phase = Phase::D;
    }
    fn page_confirmed(&mut self) {
        // A repeated confirmation answers nothing and counts nothing.
        if let Some(command) = self.page_unanswered.take() {
            self.record.pages = self.record.pages.saturating_add(1);
            self.confirmed = Some(command);
            self.refused_last = false;
            self.record.phase = phase_after(command);
        }
    }
    fn page_given_up(&mut self) {
        (self.giving_up, self.given_up, self.refused_last) = (false, true, false);
        // Of a block that ends no page the rest of the page follows.
        if let Some(command) = self.page_unanswered.take() {
            self.confirmed = Some(command);
            self.record.phase = phase_after(command);
        }
    }
    fn result(&self) -> FaxResult {
        let delivered = self.page_unanswered.is_none() && matches!(self.confirmed, Some(Fcf::Eop | Fcf::PriEop));
        match () {
            () if delivered && !self.refused_last && self.given_up => FaxResult::PageGivenUp,
            () if delivered && !self.refused_last => FaxResult::Delivered,
            () if self.disconnected_after_page => FaxResult::DisconnectedAfterPage,
            () if self.not_ready && self.page_unanswered.is_some() => FaxResult::NotReady,
            () if self.asked_again => FaxResult::NotCorrected,
            () if self.page_unanswered.is_some() => FaxResult::NoResponseToPage,
            () if self.refused_last => FaxResult::PageRefused,
            () if self.failures_in_a_row > 0 => FaxResult::CannotTrain(self.failures_in_a_row),
            () if self.dcs_unanswered => FaxResult::NoResponseToDcs,
            () if self.given_up => FaxResult::PageGivenUp,
            () if self.record.pages > 0 => FaxResult::Dropped,
            () if self.trained => FaxResult::CarrierLost,
            () if self.dis_seen => FaxResult::NoCommand,
            () => FaxResult::NobodySpoke,
        }
    }
}

/// Where a call goes once this command is answered (T.30 clause 5.3.6.1.6).
const fn phase_after(command: Fcf) -> Phase {
    match command {
        Fcf::Mps | Fcf::PriMps => Phase::C,
        Fcf::Eom | Fcf::PriEom | Fcf::Eos => Phase::B,
        _ => Phase::E,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fax::t38::ifp::{Data, FieldType, Indicator};

    const DCS_V17_ECM: [u8; 4] = [0x00, 0x04, 0x01, 0x20];

    fn say(o: &mut Observer, side: Side, fcf: u8, fif: &[u8]) -> Option<Fcf> {
        o.packet(side, &Packet::Indicator(Indicator::V21Preamble));
        let mut octets = vec![0xFF, 0xC8, fcf];
        octets.extend_from_slice(fif);
        let mut name = None;
        for piece in octets.chunks(2) {
            o.packet(side, &Packet::Data(Data::one(DataType::V21, FieldType::HdlcData, piece).unwrap()));
        }
        for kind in [FieldType::HdlcFcsOk, FieldType::HdlcSigEnd] {
            name = o.packet(side, &Packet::Data(Data::one(DataType::V21, kind, &[]).unwrap())).or(name);
        }
        name
    }

    fn heard(frames: &[(Side, u8, &[u8])]) -> FaxRecord {
        let mut o = Observer::new();
        for (side, fcf, fif) in frames {
            say(&mut o, *side, *fcf, fif);
        }
        o.record()
    }

    #[test]
    fn a_call_of_two_pages_is_told_in_words() {
        let csi: Vec<u8> = format!("{:>20}", "3001").bytes().rev().map(u8::reverse_bits).collect();
        let (l, n) = (Side::Line, Side::Net);
        let r = heard(&[
            (n, 0x02, &csi),
            (n, 0x01, &[0, 0x74, 0]),
            (l, 0xC1, &DCS_V17_ECM),
            (n, 0x21, &[]),
            (l, 0xFD, &[0xF2, 0, 0, 1]),
            (n, 0x31, &[]),
            (n, 0x31, &[]),
            (l, 0xFD, &[0xF4, 1, 0, 1]),
            (n, 0x31, &[]),
            (l, 0xDF, &[]),
        ]);
        assert_eq!(r.words(), "2 pages, V.17 14400, ECM, delivered (MCF seen for last page)");
        assert_eq!((r.called_ident.as_str(), r.sender, r.phase), ("3001", Some(Side::Line), Phase::E));
    }

    #[test]
    fn every_way_to_fail_has_its_words() {
        let (l, n) = (Side::Line, Side::Net);
        let dis: (Side, u8, &[u8]) = (n, 0x01, &[0, 0x74, 0]);
        let dcs: (Side, u8, &[u8]) = (l, 0xC1, &DCS_V17_ECM);
        let (cfr, ftt, eop, rtn, dcn): (_, _, _, _, (Side, u8, &[u8])) =
            ((n, 0x21, &[][..]), (n, 0x22, &[][..]), (l, 0xF4, &[][..]), (n, 0x32, &[][..]), (n, 0x5F, &[]));
        type Heard<'a> = &'a [(Side, u8, &'a [u8])];
        let table: &[(Heard<'_>, &str)] = &[
            (&[], "0 pages, failed in phase A: no T.30 frame was heard (Timed out waiting for initial communication)"),
            (&[dis], "0 pages, failed in phase B: DIS was not answered by DCS (Timed out waiting for the first message)"),
            (
                &[dis, dcs],
                "0 pages, V.17 14400, ECM, failed in phase B: neither CFR nor FTT answered DCS (Received no response to DCS or TCF)",
            ),
            (
                &[dis, dcs, ftt, dcs, ftt, dcs, ftt],
                "0 pages, V.17 14400, ECM, failed in phase B: FTT three times (Failed to train with any of the compatible modems)",
            ),
            (
                &[dis, dcs, cfr],
                "0 pages, V.17 14400, ECM, failed in phase C: no page came to its end after CFR (Carrier lost during fax receive)",
            ),
            (
                &[dis, dcs, cfr, eop],
                "0 pages, V.17 14400, ECM, failed in phase D: nothing answered the end of the page (No response after sending a page)",
            ),
            (
                &[dis, dcs, cfr, eop, rtn],
                "0 pages, V.17 14400, ECM, failed in phase D: RTN for the last page (Invalid response after sending a page)",
            ),
            (
                &[dis, dcs, cfr, eop, dcn],
                "0 pages, V.17 14400, ECM, failed in phase D: DCN answered the page (Received a DCN from remote after sending a page)",
            ),
        ];
        for (frames, words) in table {
            assert_eq!(heard(frames).words(), *words);
        }
    }

    #[test]
    fn a_page_that_correction_did_not_mend_was_not_delivered() {
        type Frame = (Side, u8, &'static [u8]);
        let (l, n) = (Side::Line, Side::Net);
        let begin: [(Side, u8, &[u8]); 3] = [(n, 0x01, &[0, 0x74, 0]), (l, 0xC1, &DCS_V17_ECM), (n, 0x21, &[])];
        // Page and block ends: PPS-EOP, PPS-NULL, PPS-MPS, EOR-EOP, EOR-NULL, EOR-MPS.
        let (pps_eop, pps_null, pps_mps): (Frame, Frame, Frame) =
            ((l, 0xFD, &[0xF4, 0, 0, 1]), (l, 0xFD, &[0, 0, 0, 1]), (l, 0xFD, &[0xF2, 0, 0, 1]));
        let (eor_eop, eor_null, eor_mps): (Frame, Frame, Frame) = ((l, 0xF3, &[0xF4]), (l, 0xF3, &[0]), (l, 0xF3, &[0xF2]));
        let (ppr, err, mcf, dcn): (Frame, Frame, Frame, Frame) = ((n, 0x3D, &[0xFF]), (n, 0x38, &[]), (n, 0x31, &[]), (l, 0xDF, &[]));
        let (theirs, given_up, not_corrected) = ((n, 0x5F, &[][..]), FaxResult::PageGivenUp, FaxResult::NotCorrected);
        let (rnr, rr): (Frame, Frame) = ((n, 0x37, &[]), (l, 0xF6, &[]));
        type Heard<'a> = &'a [(Side, u8, &'a [u8])];
        let table: &[(Heard<'_>, FaxResult, u16)] = &[
            (&[pps_eop, ppr, eor_eop, err, dcn], given_up, 0),
            (&[pps_eop, ppr, eor_eop, err, err, dcn], given_up, 0),
            (&[pps_null, ppr, eor_null, err, pps_eop, mcf, dcn], given_up, 1),
            (&[pps_mps, ppr, eor_mps, err, pps_eop, mcf, dcn], given_up, 1),
            (&[pps_mps, ppr, eor_mps, err, dcn], given_up, 0),
            (&[pps_eop, ppr, eor_eop], FaxResult::NoResponseToPage, 0),
            (&[pps_eop, ppr, dcn], not_corrected, 0),
            (&[pps_null, ppr, dcn], not_corrected, 0),
            (&[pps_eop, ppr, pps_eop, dcn], FaxResult::NoResponseToPage, 0),
            (&[pps_eop, ppr, theirs], FaxResult::DisconnectedAfterPage, 0),
            (&[pps_eop, ppr, pps_eop, mcf, dcn], FaxResult::Delivered, 1),
            // Not ready: said, asked again with RR, and then one of the ends it can come to.
            (&[pps_eop, rnr, rr, rnr, dcn], FaxResult::NotReady, 0),
            (&[pps_eop, rnr, rr, rnr], FaxResult::NotReady, 0),
            (&[pps_eop, rnr, rr, mcf, dcn], FaxResult::Delivered, 1),
            (&[pps_eop, rnr, rr, ppr, dcn], not_corrected, 0),
            (&[pps_eop, rnr, rr, theirs], FaxResult::DisconnectedAfterPage, 0),
        ];
        for (frames, result, pages) in table {
            let r = heard(&[&begin[..], frames].concat());
            assert_eq!((r.result, r.pages, r.delivered()), (Some(*result), *pages, *result == FaxResult::Delivered), "{frames:?}");
        }
        assert_eq!(
            heard(&[&begin[..], &[pps_eop, ppr, dcn]].concat()).words(),
            "0 pages, V.17 14400, ECM, failed in phase D: what PPR asked for never came (Disconnected after permitted retries)"
        );
    }

    #[test]
    fn the_called_machine_is_told_of_once_with_its_csi() {
        let ident = |s: &str| s.bytes().rev().map(u8::reverse_bits).collect::<Vec<u8>>();
        let mut o = Observer::new();
        // What the machine here says of itself is no news.
        say(&mut o, Side::Line, 0x02, &ident("OURS"));
        say(&mut o, Side::Line, 0x01, &[0, 0x46, 0]);
        assert_eq!(o.poll_station(), None);
        // Without a CSI, then with one, then no more.
        for (csi, told) in [(None, Some(None)), (None, None), (Some("CLINIC"), Some(Some("CLINIC"))), (Some("PIZZA"), None)] {
            if let Some(csi) = csi {
                say(&mut o, Side::Net, 0x02, &ident(csi));
                assert_eq!(o.poll_station(), None, "DIS is still to come");
            }
            say(&mut o, Side::Net, 0x01, &[0, 0x46, 0]);
            let heard = o.poll_station();
            assert_eq!(heard.as_ref().map(|csi| csi.as_deref()), told, "{csi:?}");
            assert_eq!(o.poll_station(), None);
        }
    }

    #[test]
    fn a_frame_with_missing_pieces_is_not_believed() {
        let mut o = Observer::new();
        o.packet(Side::Net, &Packet::Data(Data::one(DataType::V21, FieldType::HdlcData, &[0xFF, 0xC8]).unwrap()));
        o.missing(Side::Net);
        let end = Data::one(DataType::V21, FieldType::HdlcFcsOk, &[0x31]).unwrap();
        assert_eq!(o.packet(Side::Net, &Packet::Data(end)), None);
        assert_eq!(say(&mut o, Side::Net, 0x31, &[]), Some(Fcf::Mcf));
    }

    #[test]
    fn the_record_of_a_captured_call_is_what_its_maker_says() {
        use crate::clock::Instant;
        use crate::fax::t38::{fuzz, ifp, udptl};
        // Made by libspandsp 0.0.6 (see the shared folder's manifest).
        let table = [
            ("t38-term-term-mh", "2 pages, V.17 14400, delivered (MCF seen for last page)"),
            ("t38-gw-gw-ecm-mmr", "1 page, V.17 14400, ECM, delivered (MCF seen for last page)"),
            ("t38-term-gw-v29-mr", "1 page, V.29 9600, delivered (MCF seen for last page)"),
            ("t38-loss3-ecm", "1 page, V.17 14400, ECM, delivered (MCF seen for last page)"),
            ("t38-nored-v27", "1 page, V.27ter 4800, delivered (MCF seen for last page)"),
        ];
        for (name, words) in table {
            let Some(file) = fuzz::shared_file(&format!("recordings/generated/{name}.pcap")) else { return };
            let mut o = Observer::new();
            let mut receivers = [udptl::Receiver::new(), udptl::Receiver::new()];
            let mut first_port = None;
            let mut unread = 0;
            for (n, (port, payload)) in fuzz::udp_payloads_of_pcap(&file).into_iter().enumerate() {
                let side = if *first_port.get_or_insert(port) == port { Side::Line } else { Side::Net };
                let r = &mut receivers[side as usize];
                r.receive(&udptl::parse(payload).expect("a good datagram"));
                while let Some(p) = r.pop(Instant::from_ms(20 * n as u64)) {
                    match ifp::parse_padded(p.ifp, ifp::Syntax::Asn1998) {
                        Ok(packet) => drop(o.packet(side, &packet)),
                        Err(_) => unread += 1,
                    }
                }
            }
            assert_eq!((o.record().words().as_str(), unread), (words, 0), "{name}: {:?}", receivers.each_ref().map(|r| r.stats()));
        }
    }
}
