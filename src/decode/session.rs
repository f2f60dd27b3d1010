//! A fax call as both sides have it: frames come in, and what they mean decides which carrier is expected next and what its bits are.
//! Read T.30 clause 5 and annex A.
//!
//! Audio and T.38 both end here: audio as frames of the V.21 receiver and bits of an image modem, T.38 as frames and bytes.

use super::limits::{PAGES_MAX, TALKS_MAX};
use super::pages::{Assembly, Built, EARS, Head};
use super::report::{Direction, PhaseSpan, Report, T30Entry, Training, Turn};
use crate::fax::t30::frame::{self, Dcs, Fcf, Rate, T30Frame};
use crate::fax::t30::observer::{FaxRecord, Observer, Phase, Side};
use crate::fax::t30::words;
use tipring_dsp::hdlc;

/// The JSON's word for the modem of a rate.
pub const fn modem_word(rate: Rate) -> &'static str {
    match rate {
        Rate::V27At2400 | Rate::V27At4800 => "v27ter",
        Rate::V29At7200 | Rate::V29At9600 => "v29",
        Rate::V17At7200 | Rate::V17At9600 | Rate::V17At12000 | Rate::V17At14400 => "v17",
    }
}

/// A T.30 frame as it was heard.
#[derive(Clone, Debug)]
pub struct FrameHeard<'a> {
    /// First sample, s.
    pub t: f64,
    /// Last sample, s.
    pub end: f64,
    /// The channel, where there are two.
    pub channel: usize,
    /// Who sent it, where that is certain.
    pub direction: Direction,
    /// From the address on, without FCS.
    pub octets: &'a [u8],
    /// The check sequence is right.
    pub fcs_ok: bool,
    /// Level.
    pub dbm0: f32,
}

/// What the image modem is to do now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Listen {
    /// Go on with what it does.
    Same,
    /// Nothing is expected.
    Nothing,
    /// Wait for this carrier.
    For {
        /// On this channel.
        channel: usize,
        /// Modem and rate.
        rate: Rate,
        /// After a short training.
        short: bool,
        /// Level of the frame that announced it, dBm0.
        dbm0: f32,
    },
}

/// What a carrier brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Nothing,
    Tcf,
    Image,
}

/// The DCS in force.
#[derive(Clone, Copy, Debug)]
struct InForce {
    dcs: Dcs,
    rate: Rate,
    direction: Direction,
    channel: usize,
    dbm0: f32,
}

/// A carrier under way.
#[derive(Clone, Copy, Debug)]
struct Carrier {
    t: f64,
    tcf: bool,
    short: bool,
    rate: Rate,
    direction: Direction,
    /// Ears that are on it, a bit each.
    ears: u8,
    /// Zeros in a row now, and the longest run, of each ear.
    zeros: [(u64, u64); EARS],
}

/// A stretch in which one side spoke.
#[derive(Clone, Debug)]
struct Talk {
    t: f64,
    end: f64,
    direction: Direction,
    text: String,
}

/// A frame that may come again as its own echo.
struct Recent {
    end: f64,
    channel: usize,
    dbm0: f32,
    octets: Vec<u8>,
}

/// Frames that are remembered for their echo, and for how long.
const RECENT: usize = 8;
/// See [`RECENT`]: a satellite hop and its echo.
const ECHO_S: f64 = 1.5;
/// An echo is at least this much weaker, dB.
const ECHO_LOSS_DB: f32 = 6.0;

/// Everything known of the fax call.
pub struct Session {
    /// What the observer made of the frames.
    observer: Observer,
    dcs: Option<InForce>,
    expect: Expect,
    short: bool,
    carrier: Option<Carrier>,
    pages: Assembly,
    hdlc: [hdlc::Receiver; EARS],
    sender_is_answerer: bool,
    recent: std::collections::VecDeque<Recent>,
    talks: Vec<Talk>,
    phases: Vec<PhaseSpan>,
    last_t: f64,
    /// Frames whose check sequence was wrong.
    pub bad_frames: u32,
    /// T.30 was spoken.
    pub spoken: bool,
    /// Frames whose kind says that they come from the side they were heard on, less those whose kind says the opposite.
    agreeing: i32,
}

impl Session {
    /// Nobody has spoken.
    pub fn new() -> Self {
        Session {
            observer: Observer::new(),
            dcs: None,
            expect: Expect::Nothing,
            short: false,
            carrier: None,
            pages: Assembly::default(),
            hdlc: core::array::from_fn(|_| hdlc::Receiver::new()),
            sender_is_answerer: false,
            recent: std::collections::VecDeque::with_capacity(RECENT),
            talks: Vec::new(),
            phases: Vec::new(),
            last_t: 0.0,
            bad_frames: 0,
            spoken: false,
            agreeing: 0,
        }
    }

    /// Who sends a frame of this kind.
    fn direction_of(&self, fcf: Option<Fcf>, octet: u8) -> Direction {
        let x = if octet & 0x80 != 0 { Direction::Caller } else { Direction::Answerer };
        let sender = if self.sender_is_answerer { Direction::Answerer } else { Direction::Caller };
        match fcf {
            None => Direction::Unknown,
            Some(Fcf::Dis | Fcf::Csi | Fcf::Nsf) => Direction::Answerer,
            Some(Fcf::Dtc | Fcf::Cig | Fcf::Nsc | Fcf::Pwd | Fcf::Sep | Fcf::Psa | Fcf::Cia | Fcf::Isp) => Direction::Caller,
            Some(Fcf::Dcs | Fcf::Tsi | Fcf::Nss | Fcf::Sub | Fcf::Sid | Fcf::Tsa | Fcf::Ira | Fcf::Ctc) => sender,
            Some(
                Fcf::Eom
                | Fcf::Mps
                | Fcf::Eop
                | Fcf::PriEom
                | Fcf::PriMps
                | Fcf::PriEop
                | Fcf::Eos
                | Fcf::Pps
                | Fcf::Eor
                | Fcf::Rr
                | Fcf::Fcd
                | Fcf::Rcp,
            ) => sender,
            Some(
                Fcf::Cfr
                | Fcf::Ftt
                | Fcf::Ctr
                | Fcf::Csa
                | Fcf::Mcf
                | Fcf::Rtp
                | Fcf::Rtn
                | Fcf::Pip
                | Fcf::Pin
                | Fcf::Pid
                | Fcf::Ppr
                | Fcf::Rnr
                | Fcf::Err
                | Fcf::Fdm,
            ) => sender.other(),
            Some(Fcf::Dcn | Fcf::Crp | Fcf::Fnv | Fcf::Tnr | Fcf::Tr | Fcf::Dnk) => x,
        }
    }

    /// The same octets, weaker, a moment after they were sent.
    fn is_echo(&self, f: &FrameHeard<'_>) -> bool {
        self.recent.iter().any(|r| {
            let weaker = r.dbm0 - f.dbm0;
            r.octets == f.octets && f.end - r.end < ECHO_S && (weaker > ECHO_LOSS_DB || r.channel != f.channel)
        })
    }

    /// A frame was heard.
    pub fn frame(&mut self, f: &FrameHeard<'_>, report: &mut Report) -> Listen {
        if self.is_echo(f) {
            return Listen::Same;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { end: f.end, channel: f.channel, dbm0: f.dbm0, octets: f.octets.to_vec() });
        let parsed = frame::parse(f.octets);
        let known = f.octets.get(2).copied().and_then(Fcf::of);
        // Noise begins with FF now and then: a bad frame is shown if it is like one.
        if !f.fcs_ok && (known.is_none() || !matches!(f.octets.get(1), Some(0xC0 | 0xC8))) {
            self.bad_frames += u32::from(self.spoken);
            return Listen::Same;
        }
        if f.fcs_ok && matches!(known, Some(Fcf::Dtc)) {
            self.sender_is_answerer = true;
        }
        let fcf_octet = f.octets.get(2).copied().unwrap_or(0);
        let by_kind = self.direction_of(known, fcf_octet);
        if f.fcs_ok && f.direction != Direction::Unknown && by_kind != Direction::Unknown {
            self.agreeing += if by_kind == f.direction { 1 } else { -1 };
        }
        let direction = if f.direction == Direction::Unknown { by_kind } else { f.direction };
        let name = known.map_or_else(|| "?".to_string(), |k| k.to_string());
        report.add_t30(T30Entry {
            t: f.t,
            end: f.end,
            direction,
            frame: name.clone(),
            hex: f.octets.iter().map(|o| format!("{o:02x}")).collect(),
            crc_ok: f.fcs_ok,
            text: known.map_or_else(String::new, |k| words::of(k, f.octets.get(3..).unwrap_or(&[]))),
        });
        self.last_t = self.last_t.max(f.end);
        if !f.fcs_ok {
            self.bad_frames += 1;
            return Listen::Same;
        }
        self.spoken = true;
        // T.30 is half-duplex: who speaks V.21 ends the image carrier, though noise may hold its detector on.
        self.carrier_gone(f.t, report);
        self.talk(f.t, f.end, direction, &name);
        let side = if direction == Direction::Answerer { Side::Net } else { Side::Line };
        self.observer.frame_heard(side, f.octets);
        self.phase(f.t);
        match parsed {
            Some(t30) => self.obey(&t30, direction, f, report),
            None => Listen::Same,
        }
    }

    /// What a good frame means for the carriers and the pages.
    fn obey(&mut self, t30: &T30Frame<'_>, direction: Direction, f: &FrameHeard<'_>, report: &mut Report) -> Listen {
        match t30.fcf {
            Fcf::Dcs => {
                self.close_page(report);
                let dcs = frame::dcs(t30.fif);
                let Some(rate) = dcs.rate else {
                    report.warn(format!("the DCS at {:.1} s commands a modem that T.30 reserves", f.t));
                    self.dcs = None;
                    self.expect = Expect::Nothing;
                    return Listen::Nothing;
                };
                self.dcs = Some(InForce { dcs, rate, direction, channel: f.channel, dbm0: f.dbm0 });
                (self.expect, self.short) = (Expect::Tcf, false);
                self.listen()
            }
            Fcf::Cfr => {
                self.expect = if self.dcs.is_some() { Expect::Image } else { Expect::Nothing };
                self.short = true;
                self.listen()
            }
            Fcf::Ctr => {
                // Continue to correct: the rate of the CTC, and a long training.
                self.short = false;
                self.listen()
            }
            Fcf::Ctc => {
                if let Some(force) = &mut self.dcs
                    && let Some(rate) = frame::dcs(t30.fif).rate
                {
                    force.rate = rate;
                    force.dcs.rate = Some(rate);
                }
                self.short = false;
                self.listen()
            }
            Fcf::Ftt => {
                self.expect = Expect::Nothing;
                Listen::Nothing
            }
            Fcf::Pps => {
                if let &[end, page, block, frames, ..] = t30.fif {
                    let (page, block) = (page.reverse_bits(), block.reverse_bits());
                    let frames = u16::from(frames.reverse_bits()) + 1;
                    let (before, _) = self.pages.partial_page(page, block, frames, end & 0x7F != 0);
                    self.keep(before, report);
                }
                self.listen()
            }
            Fcf::Eor => {
                if self.pages.block_done() {
                    self.close_page(report);
                }
                self.listen()
            }
            Fcf::Eom | Fcf::Mps | Fcf::Eop | Fcf::PriEom | Fcf::PriMps | Fcf::PriEop => {
                self.close_page(report);
                self.listen()
            }
            Fcf::Mcf | Fcf::Rtp | Fcf::Rtn | Fcf::Pip | Fcf::Pin => {
                if self.pages.block_done() {
                    self.close_page(report);
                }
                self.listen()
            }
            Fcf::Dcn => {
                self.close_page(report);
                self.expect = Expect::Nothing;
                Listen::Nothing
            }
            Fcf::Dis | Fcf::Dtc => {
                self.expect = Expect::Nothing;
                Listen::Nothing
            }
            _ => self.listen(),
        }
    }

    /// What the image modem waits for now.
    pub fn listen(&self) -> Listen {
        match (self.expect, self.dcs) {
            (Expect::Nothing, _) | (_, None) => Listen::Nothing,
            (_, Some(d)) => {
                let short = self.short && modem_word(d.rate) == "v17";
                Listen::For { channel: d.channel, rate: d.rate, short, dbm0: d.dbm0 }
            }
        }
    }

    /// An image modem has trained, on a carrier that began at `t`.
    pub fn carrier(&mut self, ear: usize, t: f64) {
        let Some(d) = self.dcs else { return };
        self.hdlc[ear].restart();
        if let Some(c) = &mut self.carrier {
            c.ears |= 1 << ear;
            return;
        }
        let tcf = self.expect == Expect::Tcf;
        let short = self.short && modem_word(d.rate) == "v17";
        self.carrier = Some(Carrier { t, tcf, short, rate: d.rate, direction: d.direction, ears: 1 << ear, zeros: [(0, 0); EARS] });
        if !tcf {
            self.pages.begin(Head { t, dcs: d.dcs, direction: d.direction });
        }
        self.phase_is(if tcf { 'B' } else { 'C' }, t);
    }
    /// A bit of the carrier, as `ear` has it.
    pub fn bit(&mut self, ear: usize, bit: bool) {
        let Some(c) = &mut self.carrier else { return };
        if c.tcf {
            let (run, longest) = &mut c.zeros[ear];
            *run = if bit { 0 } else { *run + 1 };
            *longest = (*longest).max(*run);
        } else if self.dcs.is_some_and(|d| d.dcs.ecm) {
            if let Some(hdlc::Event::Frame { octets, fcs_ok: true }) = self.hdlc[ear].rx(bit) {
                self.pages.fast_frame(octets);
            }
        } else {
            self.pages.bit(ear, bit);
        }
    }
    /// Bytes of a carrier that crossed as T.38.
    pub fn bytes(&mut self, bytes: &[u8]) {
        match self.carrier {
            Some(c) if !c.tcf => self.pages.bytes(bytes),
            Some(_) => bytes.iter().for_each(|b| (0..8).rev().for_each(|i| self.bit(0, b >> i & 1 == 1))),
            None => {}
        }
    }
    /// A frame of a carrier that crossed as T.38.
    pub fn fast_frame(&mut self, octets: &[u8]) {
        if self.carrier.is_some_and(|c| !c.tcf) {
            self.pages.fast_frame(octets);
        }
    }
    /// True while a carrier is followed.
    pub fn in_carrier(&self) -> bool {
        self.carrier.is_some()
    }
    /// The carrier has gone for this ear. Says what to wait for next, once it has gone for all that were on it.
    pub fn ear_lost(&mut self, ear: usize, end: f64, report: &mut Report) -> Listen {
        let Some(c) = &mut self.carrier else { return Listen::Same };
        c.ears &= !(1 << ear);
        if c.ears == 0 { self.carrier_gone(end, report) } else { Listen::Same }
    }
    /// The carrier has gone at `end`. Says what to wait for next.
    pub fn carrier_gone(&mut self, end: f64, report: &mut Report) -> Listen {
        let Some(c) = self.carrier.take() else { return Listen::Same };
        let longest = c.zeros.iter().map(|z| z.1).max().unwrap_or(0);
        let zeros_ms = (longest * 1000 / u64::from(c.rate.bps())) as u32;
        report.add_training(Training {
            t: c.t,
            modem: modem_word(c.rate),
            bps: c.rate.bps(),
            tcf_ok: c.tcf.then_some(zeros_ms >= TCF_ZEROS_MS),
            trained: true,
            short: c.short,
            zeros_ms: if c.tcf { zeros_ms } else { 0 },
            direction: c.direction,
        });
        self.last_t = self.last_t.max(end);
        self.talk(c.t, end, c.direction, if c.tcf { "TCF" } else { "page" });
        if c.tcf {
            // The answer may be lost to us, and the next carrier is then the page; a DCS says otherwise.
            (self.expect, self.short) = (Expect::Image, true);
        }
        self.listen()
    }
    /// A carrier was there, and could not be followed.
    pub fn not_trained(&mut self, t: f64, end: f64, report: &mut Report) {
        let Some(d) = self.dcs else { return };
        let tcf = self.expect == Expect::Tcf;
        report.add_training(Training {
            t,
            modem: modem_word(d.rate),
            bps: d.rate.bps(),
            tcf_ok: tcf.then_some(false),
            trained: false,
            short: self.short && modem_word(d.rate) == "v17",
            zeros_ms: 0,
            direction: d.direction,
        });
        self.talk(t, end, d.direction, if tcf { "TCF" } else { "page" });
        if !tcf {
            report.warn(format!("the {} carrier at {t:.1} s could not be followed: its page is lost", d.rate));
        }
    }

    fn close_page(&mut self, report: &mut Report) {
        let built = self.pages.close();
        self.keep(built, report);
    }
    fn keep(&mut self, built: Option<Built>, report: &mut Report) {
        match built {
            Some(Built::Page(page, remark)) => {
                report.warnings.extend(remark);
                if page.frames_missing > 0 {
                    let (n, t) = (page.frames_missing, page.t);
                    report.warn(format!("{n} ECM frames of the page at {t:.1} s were never heard right"));
                }
                if report.pages.len() < PAGES_MAX {
                    report.pages.push(*page);
                } else {
                    report.warn(format!("only the first {PAGES_MAX} pages are kept"));
                }
            }
            Some(Built::Nothing(why)) => report.warn(why),
            None => {}
        }
    }

    fn talk(&mut self, t: f64, end: f64, direction: Direction, text: &str) {
        let room = self.talks.len() < TALKS_MAX;
        match self.talks.last_mut() {
            Some(last) if last.direction == direction && t - last.end < 1.0 => {
                last.end = end;
                if last.text.len() < 60 {
                    last.text += " ";
                    last.text += text;
                }
            }
            _ if room => self.talks.push(Talk { t, end, direction, text: text.to_string() }),
            _ => {}
        }
    }
    fn phase(&mut self, t: f64) {
        let phase = match self.observer.record().phase {
            Phase::A => 'A',
            Phase::B => 'B',
            Phase::C => 'C',
            Phase::D => 'D',
            Phase::E => 'E',
        };
        // After CFR phase C begins with the carrier.
        if phase != 'C' {
            self.phase_is(phase, t);
        }
    }
    /// CNG or an answer tone was heard.
    pub fn establishing(&mut self, t: f64) {
        if self.phases.is_empty() {
            self.phase_is('A', t);
        }
    }
    /// The call is in this phase from `t` on.
    fn phase_is(&mut self, phase: char, t: f64) {
        match self.phases.last_mut() {
            Some(last) if last.phase == phase => {}
            last => {
                if let Some(last) = last {
                    last.end = t;
                }
                if self.phases.len() < TALKS_MAX {
                    self.phases.push(PhaseSpan { t, end: t, phase });
                }
            }
        }
    }
    /// The recording is over. The record of the call, if there was one.
    pub fn finish(mut self, seconds: f64, report: &mut Report) -> Option<FaxRecord> {
        self.carrier_gone(seconds, report);
        self.close_page(report);
        if let Some(last) = self.phases.last_mut() {
            last.end = self.last_t.max(last.t);
        }
        report.phases = core::mem::take(&mut self.phases);
        report.turns = self
            .talks
            .windows(2)
            .filter(|w| w[0].direction != w[1].direction)
            .map(|w| Turn {
                t: w[1].t,
                after: w[1].t - w[0].end,
                direction: w[1].direction,
                text: format!("{} -> {}", w[0].text, w[1].text),
            })
            .collect();
        if self.agreeing < 0 {
            report.swap_directions();
            report.warn("the sides are the other way round on this recording: the caller is where the answerer should be".into());
        }
        if self.bad_frames > 0 {
            let n = self.bad_frames;
            report.warn(format!("{n} T.30 frame{} had a wrong check sequence", if n == 1 { "" } else { "s" }));
        }
        self.spoken.then(|| self.observer.record())
    }
}

/// Zeros in a row that make a TCF good: 1 s of the 1.5 s +-10 % that T.30 5.3.6.1.3 wants sent.
const TCF_ZEROS_MS: u32 = 1000;
