//! Between the decoder and the engine: only legal orders pass.
//!
//! **Order.** Data follows the indicator that announces it (a lost indicator is put back), a carrier carries either HDLC or non-ECM data
//! and the kind that T.30 has agreed on, a frame has a bounded length, a carrier ends once and never without having carried anything
//! (libspandsp would then send flags for ever). An HDLC frame is handed over whole: libspandsp begins to send one that is still arriving,
//! and if it dries up takes the rest for another frame. The preamble passes at once, so the machine on the line hears flags meanwhile.
//!
//! **Direction.** Fax is half duplex and an engine has one image modem. libspandsp keeps the one for sending and the one for receiving
//! in the same memory and runs wild if one begins while the other is in use; fuzzing without this filter finds it in seconds. So an
//! engine serves one direction of images: [`Side::Net`] once an image carrier, DCS or CTC came from the network, [`Side::Line`]
//! once DCS or CTC came from the line or DTC from the network. To turn it round it is reset; if the line
//! did it, that costs one repetition of its DCS.
//! While the engine speaks it is deaf to the line, which also keeps the echo of our own DCS out of its ears.
//!
//! **Clearance.** Until it is known who the peer is, nothing of a page leaves: not the image, not its training check, and not the DCS (nor NSS,
//! CTC) that would announce it. A DCS is cut off where it is known for one; T.30 repeats it after 3 s, three times in all, so that a verdict
//! within 8 s costs nothing but a repetition. What comes in is not held: pages of others are theirs to send.
//!
//! **Time.** An engine that goes on speaking long after its last order is reset, and so is one that is given more than it can hold: its
//! queue is a ring that overwrites itself (see [`Backlog`]).

use super::engine::Step;
use super::ifp::{Data, DataType, FieldType, Indicator, Packet};
use crate::fax::t30::frame::{self, Fcf, bit};
use crate::fax::t30::observer::Side;
use crate::limits::{ENGINE_BACKLOG, HDLC_FRAME_BYTES_MAX};
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
    /// Times the engine was reset: the direction turned, it would not stop, or its queue was full.
    pub resets: u32,
    /// Frames and signals that came far faster than the line can carry them: they filled the queue.
    pub too_fast: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    Hdlc,
    NonEcm,
}

/// Frames of silence after which the engine has ceased to speak: 75 ms lie between two signals, so two whole frames are silent.
const QUIET_FRAMES: u16 = 2;
/// An engine that speaks this long after its last order does not stop by itself: its longest queue is 256 frames of ECM, 37 s.
const RUNAWAY_FRAMES: u16 = 45 * 50;

/// Ticks of silence after which the engine has nothing left to say: between two signals are 75 ms, before CED 200 ms.
const EMPTY_FRAMES: u16 = 25;
/// The same while it may be sending CNG, which is silent for 3 s in between.
const EMPTY_FRAMES_CNG: u16 = 200;

/// What still waits in the engine for the line, by an estimate that is never too low: each entry is taken to last longer than it does.
struct Backlog {
    /// Milliseconds of each entry, oldest first.
    entries: heapless::Deque<u32, ENGINE_BACKLOG>,
    /// How much of the oldest is spoken.
    spoken_ms: u32,
    /// CNG is being sent: that goes on until the line answers, and nothing behind it moves.
    cng: bool,
}

impl Backlog {
    const NEW: Backlog = Backlog { entries: heapless::Deque::new(), spoken_ms: 0, cng: false };
    /// False if there is no room.
    fn push(&mut self, ms: u32) -> bool {
        self.entries.push_back(ms).is_ok()
    }
    /// 20 ms of sound went to the line.
    fn spoken(&mut self) {
        if self.entries.is_empty() || self.cng {
            self.spoken_ms = 0;
            return;
        }
        self.spoken_ms += 20;
        while let Some(ms) = self.entries.front().copied().filter(|ms| *ms <= self.spoken_ms) {
            self.spoken_ms -= ms;
            self.entries.pop_front();
        }
    }
    fn clear(&mut self) {
        self.entries.clear();
        (self.spoken_ms, self.cng) = (0, false);
    }
}

/// How long a signal lasts at most before its data, in ms: the longest training and its flags take 1.7 s.
const SIGNAL_MS: u32 = 2000;
/// How long CED lasts at most, in ms, with the silence around it.
const CED_MS: u32 = 5000;
/// How long the end of a carrier takes at most, in ms.
const END_MS: u32 = 300;
/// Octets of a page that libspandsp holds: so much may follow the end of a carrier without ECM.
const NON_ECM_OCTETS: u32 = 16384;

/// How long a frame lasts at most, in ms: with FCS, flag and every fifth bit stuffed.
fn frame_ms(modem: DataType, octets: usize) -> u32 {
    let bits = (octets as u32 + 4) * 8 * 6 / 5;
    1 + bits * 1000 / modem.bps().max(300)
}

/// What becomes of a packet that the engine made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// It goes to the network.
    Send,
    /// It does not: an image without clearance.
    Hold,
    /// It does, and then the engine must be reset: the line has become the sender.
    SendAndReset,
    /// It does not, and the engine must be reset all the same.
    HoldAndReset,
}

impl Outgoing {
    /// Whether it goes to the network.
    pub const fn goes_out(self) -> bool {
        matches!(self, Outgoing::Send | Outgoing::SendAndReset)
    }
    /// Whether the engine must be reset.
    pub const fn resets(self) -> bool {
        matches!(self, Outgoing::SendAndReset | Outgoing::HoldAndReset)
    }
}

/// An HDLC frame from the network, on its way to being whole.
struct Collected {
    octets: heapless::Vec<u8, HDLC_FRAME_BYTES_MAX>,
    spoilt: bool,
}

impl Collected {
    const NEW: Collected = Collected { octets: heapless::Vec::new(), spoilt: false };
    fn restart(&mut self) {
        self.octets.clear();
        self.spoilt = false;
    }
    fn head(&self) -> Head {
        let mut head = Head::NEW;
        head.push(&self.octets);
        head
    }
}

/// The start of an HDLC frame, enough to know it by: address, control, FCF, and the FIF as far as bit 32.
#[derive(Clone, Copy)]
struct Head {
    octets: [u8; 7],
    len: usize,
}

impl Head {
    const NEW: Head = Head { octets: [0; 7], len: 0 };
    fn push(&mut self, data: &[u8]) {
        for b in data {
            if let Some(o) = self.octets.get_mut(self.len) {
                *o = *b;
            }
            self.len += 1;
        }
    }
    /// The FCF, once it is there. The engine looks at the third octet whatever the first two are, and so does this.
    fn fcf(&self) -> Option<Fcf> {
        if self.len >= 3 { Fcf::of(self.octets[2]) } else { None }
    }
    fn fif(&self) -> &[u8] {
        &self.octets[3..self.len.clamp(3, 7)]
    }
}

/// Looks for DCS and CTC anywhere in what the line says by V.21. The engine may begin a frame anew without telling (its carrier detectors
/// disagree, or a CFR from the network restarts it), and then what looks like the middle of one frame is the start of another.
struct Watch {
    last: [u8; 5],
    /// The modem that was named since the last end of a frame.
    named: Option<&'static str>,
    /// Two different ones.
    torn: bool,
}

impl Watch {
    const NEW: Watch = Watch { last: [0; 5], named: None, torn: false };
    fn push(&mut self, octet: u8) {
        self.last.rotate_left(1);
        self.last[4] = octet;
        if let [0xFF, 0xC0 | 0xC8, fcf, fif @ ..] = &self.last
            && matches!(Fcf::of(*fcf), Some(Fcf::Dcs | Fcf::Ctc))
        {
            let modem = frame::dcs(fif).rate.map_or("", frame::Rate::modem);
            self.torn |= self.named.is_some_and(|n| n != modem);
            self.named = Some(modem);
        }
    }
}

/// The filter of one relay.
pub struct Filter {
    indicator: Indicator,
    carries: Carries,
    /// This carrier has carried something whole.
    carried: bool,
    /// What is left of this carrier is not passed on: the engine was reset under it.
    dropping: bool,
    net: Collected,
    line: Head,
    watch: Watch,
    /// Who sends images, once that is known.
    sender: Option<Side>,
    /// ECM was commanded.
    ecm: bool,
    /// The modem that the engine listens with, by its Recommendation, since the last reset; empty if DTC did not tell.
    armed: Option<&'static str>,
    /// The next thing the line says may name another modem: nothing is confirmed (CFR) since then.
    training: bool,
    /// Training is over: image carriers carry images, not TCF.
    images: bool,
    quiet_out: u16,
    idle_orders: u16,
    backlog: Backlog,
    cleared: bool,
    /// What the line says up to its next silence or preamble is held back.
    withheld: bool,
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
            carried: false,
            dropping: false,
            net: Collected::NEW,
            line: Head::NEW,
            watch: Watch::NEW,
            sender: None,
            ecm: false,
            armed: None,
            training: true,
            images: false,
            quiet_out: QUIET_FRAMES,
            idle_orders: 0,
            backlog: Backlog::NEW,
            cleared: true,
            withheld: false,
            stats: FilterStats {
                not_group_3: 0,
                wrong_direction: 0,
                out_of_order: 0,
                too_long: 0,
                indicators_restored: 0,
                no_clearance: 0,
                resets: 0,
                too_fast: 0,
            },
        }
    }
    /// Lets the line's pages out (true), or only tones and frames of T.30 that announce none (false).
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
        self.quiet_out < QUIET_FRAMES
    }
    /// A packet that the engine made of the line's signal.
    pub fn from_line(&mut self, packet: &Packet) -> Outgoing {
        let (image, turned) = match packet {
            Packet::Indicator(i) => {
                (self.line, self.watch) = (Head::NEW, Watch::NEW);
                if !i.is_fast() {
                    self.withheld = false;
                }
                // The line's flags end our CNG.
                self.backlog.cng &= *i != Indicator::V21Preamble;
                // Begun anew while only flags pass, the engine hears the DCS with no modem of the last one in the way.
                let again = *i == Indicator::V21Preamble && self.armed.is_some() && self.training;
                (i.is_fast(), again)
            }
            Packet::Data(d) if d.modem() == DataType::V21 => (false, self.line_frames(d)),
            Packet::Data(d) => (d.modem().is_fast(), false),
        };
        self.withheld |= image && !self.cleared;
        match () {
            () if self.withheld => {
                self.stats.no_clearance = self.stats.no_clearance.saturating_add(1);
                if turned {
                    self.reset();
                    return Outgoing::HoldAndReset;
                }
                Outgoing::Hold
            }
            () if turned => {
                self.reset();
                Outgoing::SendAndReset
            }
            () => Outgoing::Send,
        }
    }
    /// The frame that the engine has just put on the line. True if the engine must be reset: it would never stop.
    #[must_use]
    pub fn to_line(&mut self, frame: &Frame) -> bool {
        let silent = frame.iter().all(|s| *s == 0);
        self.quiet_out = if silent { self.quiet_out.saturating_add(1) } else { 0 };
        self.idle_orders = if self.deaf() { self.idle_orders.saturating_add(1) } else { 0 };
        if silent && self.quiet_out >= if self.backlog.cng { EMPTY_FRAMES_CNG } else { EMPTY_FRAMES } {
            self.backlog.clear();
        } else if !silent {
            self.backlog.spoken();
        }
        let runaway = self.idle_orders >= RUNAWAY_FRAMES;
        if runaway {
            self.reset();
        }
        runaway
    }

    /// The engine begins anew, and so does what is known of it.
    fn reset(&mut self) {
        let (cleared, withheld, mut stats) = (self.cleared, self.withheld, self.stats);
        stats.resets = stats.resets.saturating_add(1);
        *self = Filter { cleared, withheld, stats, dropping: true, sender: self.sender.filter(|s| *s == Side::Line), ..Filter::new() };
    }
    /// Follows the frames of the line. True if one of them turns the direction.
    fn line_frames(&mut self, d: &Data) -> bool {
        let mut turned = false;
        for field in d.fields() {
            self.line.push(field.data);
            field.data.iter().for_each(|o| self.watch.push(*o));
            // Any commands that announce a page; where frames are torn, the watch sees what the head does not.
            let announces = matches!(self.line.fcf(), Some(Fcf::Dcs | Fcf::Ctc | Fcf::Nss)) || self.watch.named.is_some();
            self.withheld |= announces && !self.cleared;
            if matches!(self.line.fcf(), Some(Fcf::Dcs | Fcf::Ctc)) {
                turned |= self.sender == Some(Side::Net);
                self.sender = Some(Side::Line);
            }
            if field.kind.fcs() == Some(true) {
                let head = self.line;
                let named = matches!(head.fcf(), Some(Fcf::Dcs | Fcf::Ctc)).then_some("");
                if let Some(modem) = self.watch.named.or(named) {
                    // Another modem while one listens: libspandsp would put it in the place of the one at work.
                    turned |= self.watch.torn || self.sender == Some(Side::Net) || self.armed.is_some_and(|armed| armed != modem);
                    (self.armed, self.sender) = (Some(modem), Some(Side::Line));
                }
                self.agreed(&head);
            }
            if field.kind.fcs().is_some() || field.kind.ends_signal() {
                (self.line, self.watch) = (Head::NEW, Watch::NEW);
            }
        }
        turned
    }
    /// A whole frame passed, in either direction: what the machines have agreed on decides what image carriers carry.
    fn agreed(&mut self, head: &Head) {
        match head.fcf() {
            Some(Fcf::Cfr | Fcf::Ctr) => self.training = false,
            Some(Fcf::Ftt | Fcf::Rtn | Fcf::Rtp | Fcf::Eom | Fcf::Dis | Fcf::Dtc) => self.training = true,
            Some(Fcf::Pps | Fcf::Eor) => self.training |= head.fif().first().copied().and_then(Fcf::of) == Some(Fcf::Eom),
            _ => {}
        }
        match head.fcf() {
            Some(Fcf::Dcs | Fcf::Dtc) => (self.ecm, self.images) = (bit(head.fif(), 27), false),
            Some(Fcf::Cfr) => self.images = true,
            Some(Fcf::Ftt | Fcf::Rtn | Fcf::Rtp) => self.images = false,
            _ => {}
        }
    }
    /// May an image from the network reach the engine?
    fn image_may_pass(&mut self) -> bool {
        if self.sender == Some(Side::Line) {
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
        if i == self.indicator && !self.dropping {
            // Indicators come three times.
            return;
        }
        if i == Indicator::Cng && !self.backlog.entries.is_empty() {
            // Behind something else it would block what follows; nobody calls in the middle of a fax.
            self.stats.out_of_order = self.stats.out_of_order.saturating_add(1);
            return;
        }
        if i.is_fast() && !self.image_may_pass() {
            return;
        }
        self.start(i, to_engine);
    }
    fn start(&mut self, i: Indicator, to_engine: &mut impl FnMut(Step<'_>)) {
        // A carrier that was not ended (its end is lost) is ended.
        if let Some(modem) = self.indicator.announces() {
            self.finish(modem, to_engine);
            if i == Indicator::NoSignal {
                return;
            }
        }
        if i.is_fast() {
            self.sender = Some(Side::Net);
        }
        self.begin(i, to_engine);
    }
    fn begin(&mut self, i: Indicator, to_engine: &mut impl FnMut(Step<'_>)) {
        let ms = match self.indicator.announces() {
            Some(modem) if i == Indicator::NoSignal && self.carries == Carries::NonEcm => NON_ECM_OCTETS * 8000 / modem.bps().max(300),
            _ if i == Indicator::NoSignal => END_MS,
            _ if i == Indicator::Ced => CED_MS,
            _ => SIGNAL_MS,
        };
        if !self.backlog.push(ms) {
            let sender = self.sender;
            self.overflow(to_engine);
            self.sender = sender;
            let _ = self.backlog.push(ms);
        }
        self.backlog.cng |= i == Indicator::Cng;
        self.indicator = i;
        (self.carries, self.carried, self.dropping) = (Carries::Nothing, false, false);
        self.net.restart();
        self.idle_orders = 0;
        to_engine(Step::Indicator(i));
    }
    /// Nobody sends that fast: what waits is forgotten, so that nothing is overwritten.
    fn overflow(&mut self, to_engine: &mut impl FnMut(Step<'_>)) {
        self.stats.too_fast = self.stats.too_fast.saturating_add(1);
        self.reset();
        to_engine(Step::Reset);
    }
    /// Which kind of data this carrier has to carry.
    fn hdlc_agreed(&self, modem: DataType) -> bool {
        modem == DataType::V21 || self.ecm && self.images
    }
    /// Brings the carrier in use to an end that the engine understands.
    fn finish(&mut self, modem: DataType, to_engine: &mut impl FnMut(Step<'_>)) {
        let hdlc = self.hdlc_agreed(modem);
        if hdlc && !self.carried && !self.backlog.push(frame_ms(modem, 1)) {
            return self.overflow(to_engine);
        }
        let mut say = |kind, data: &[u8]| to_engine(Step::Field { modem, kind, data });
        if hdlc && !self.carried {
            // One octet with a bad FCS is what every receiver ignores.
            say(FieldType::HdlcData, &[0xFF]);
            say(FieldType::HdlcFcsBad, &[]);
        }
        if !hdlc && !self.carried {
            say(FieldType::T4NonEcmData, &[0x00]);
        }
        say(if hdlc { FieldType::HdlcSigEnd } else { FieldType::T4NonEcmSigEnd }, &[]);
        self.begin(Indicator::NoSignal, to_engine);
    }
    fn data(&mut self, d: &Data, to_engine: &mut impl FnMut(Step<'_>)) {
        let modem = d.modem();
        if modem > DataType::V17At14400 {
            self.stats.not_group_3 = self.stats.not_group_3.saturating_add(1);
            return;
        }
        for field in d.fields() {
            if self.dropping {
                return;
            }
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
        self.idle_orders = 0;
        match kind {
            FieldType::T4NonEcmData => self.non_ecm(modem, data, to_engine),
            FieldType::HdlcData => self.hdlc(modem, data),
            FieldType::T4NonEcmSigEnd => {
                self.non_ecm(modem, data, to_engine);
                self.finish(modem, to_engine);
            }
            // Seen in the field: the HDLC end behind non-ECM data. Which end the engine hears is decided by what was agreed.
            FieldType::HdlcSigEnd => self.finish(modem, to_engine),
            FieldType::HdlcFcsOk | FieldType::HdlcFcsBad | FieldType::HdlcFcsOkSigEnd | FieldType::HdlcFcsBadSigEnd => {
                // Seen in the field: data inside the field that should only judge it.
                self.hdlc(modem, data);
                self.frame_ended(modem, kind.fcs() == Some(true), to_engine);
                if kind.ends_signal() && !self.dropping {
                    self.finish(modem, to_engine);
                }
            }
            FieldType::CmMessage | FieldType::JmMessage | FieldType::CiMessage | FieldType::V34Rate => {}
        }
    }
    fn non_ecm(&mut self, modem: DataType, data: &[u8], to_engine: &mut impl FnMut(Step<'_>)) {
        if data.is_empty() {
            return;
        }
        if self.hdlc_agreed(modem) || self.carries == Carries::Hdlc {
            self.stats.out_of_order = self.stats.out_of_order.saturating_add(1);
            return;
        }
        (self.carries, self.carried) = (Carries::NonEcm, true);
        to_engine(Step::Field { modem, kind: FieldType::T4NonEcmData, data });
    }
    fn hdlc(&mut self, modem: DataType, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if !self.hdlc_agreed(modem) || self.carries == Carries::NonEcm {
            self.stats.out_of_order = self.stats.out_of_order.saturating_add(1);
            return;
        }
        self.carries = Carries::Hdlc;
        if self.net.octets.extend_from_slice(data).is_err() {
            self.stats.too_long = self.stats.too_long.saturating_add(1);
            self.net.spoilt = true;
        }
    }
    /// Notes who sends images by the frame that comes from the network. True if that turns the direction.
    fn turns(&mut self, head: &Head) -> bool {
        let before = self.sender;
        match head.fcf() {
            // CTC too: it would change the rate of the modem that listens to the line, to one that modem does not have.
            Some(Fcf::Dcs | Fcf::Ctc) => {
                self.sender = Some(Side::Net);
                before == Some(Side::Line)
            }
            // Also when the line sends already: it may name another modem while the one that listens is at work.
            Some(Fcf::Dtc) => {
                self.sender = Some(Side::Line);
                self.armed = Some("");
                before.is_some()
            }
            _ => false,
        }
    }
    fn frame_ended(&mut self, modem: DataType, good: bool, to_engine: &mut impl FnMut(Step<'_>)) {
        if self.net.octets.is_empty() {
            return;
        }
        let good = good && !self.net.spoilt;
        if modem == DataType::V21 && good {
            let head = self.net.head();
            if self.turns(&head) {
                let (octets, sender, armed) = (core::mem::take(&mut self.net.octets), self.sender, head.fcf() == Some(Fcf::Dtc));
                self.reset();
                to_engine(Step::Reset);
                self.begin(Indicator::V21Preamble, to_engine);
                (self.net.octets, self.sender, self.armed) = (octets, sender, armed.then_some(""));
            }
            self.agreed(&head);
        }
        if !self.backlog.push(frame_ms(modem, self.net.octets.len())) {
            self.overflow(to_engine);
            return;
        }
        to_engine(Step::Field { modem, kind: FieldType::HdlcData, data: &self.net.octets });
        to_engine(Step::Field { modem, kind: if good { FieldType::HdlcFcsOk } else { FieldType::HdlcFcsBad }, data: &[] });
        self.carried = true;
        self.net.restart();
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
mod tests;
