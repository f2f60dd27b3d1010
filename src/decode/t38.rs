//! A T.38 call as the session wants it: IFP packets to frames, carriers and bytes. One assembler for each direction.

use super::report::{Direction, Report, Tone, ToneKind};
use super::session::{FrameHeard, Session};
use crate::fax::t38::ifp::{DataType, Indicator, Packet};
use crate::limits::HDLC_FRAME_BYTES_MAX;

/// One direction.
#[derive(Default)]
pub struct Ear {
    bytes: heapless::Vec<u8, HDLC_FRAME_BYTES_MAX>,
    spoilt: bool,
    began: Option<f64>,
    /// A tone that an indicator announced and the next one ends.
    tone: Option<(ToneKind, f64)>,
    /// The fast modem whose data is under way.
    fast: Option<DataType>,
}

impl Ear {
    /// Packets were lost here.
    pub fn missing(&mut self) {
        self.spoilt = true;
    }
    fn restart(&mut self) {
        self.bytes.clear();
        self.spoilt = false;
        self.began = None;
    }
    fn end_tone(&mut self, t: f64, direction: Direction, report: &mut Report) {
        if let Some((kind, from)) = self.tone.take() {
            report.add_tone(Tone { t: from, kind, ms: ((t - from) * 1000.0).max(0.0) as u32, direction, text: "T.38 indicator".into() });
        }
    }
    /// A packet.
    pub fn packet(&mut self, t: f64, direction: Direction, packet: &Packet, session: &mut Session, report: &mut Report) {
        let data = match packet {
            Packet::Indicator(indicator) => {
                let kind = match indicator {
                    Indicator::Cng => Some(ToneKind::Cng),
                    Indicator::Ced => Some(ToneKind::Ced),
                    Indicator::V8Ansam => Some(ToneKind::Ansam),
                    Indicator::V21Preamble => Some(ToneKind::V21),
                    _ => None,
                };
                if self.tone.map(|(k, _)| k) != kind {
                    self.end_tone(t, direction, report);
                    self.tone = kind.map(|k| (k, t));
                }
                // Indicators are sent several times over.
                let same = indicator.announces().is_some() && indicator.announces() == self.fast;
                if !same {
                    self.end_fast(t, session, report);
                    self.restart();
                }
                return;
            }
            Packet::Data(data) => data,
        };
        if data.modem() != DataType::V21 && data.modem().is_fast() && self.fast.is_none() {
            self.fast = Some(data.modem());
            session.carrier(0, t);
            self.restart();
        }
        for field in data.fields() {
            if field.kind == crate::fax::t38::ifp::FieldType::T4NonEcmData || field.kind == crate::fax::t38::ifp::FieldType::T4NonEcmSigEnd
            {
                session.bytes(field.data);
            } else {
                if self.bytes.is_empty() && !field.data.is_empty() {
                    self.began = Some(t);
                }
                self.spoilt |= self.bytes.extend_from_slice(field.data).is_err();
                if let Some(good) = field.kind.fcs() {
                    if !self.bytes.is_empty() {
                        self.frame(t, direction, good && !self.spoilt, data.modem() == DataType::V21, session, report);
                    }
                    self.restart();
                }
            }
            if field.kind.ends_signal() {
                self.end_fast(t, session, report);
                self.end_tone(t, direction, report);
                self.restart();
            }
        }
    }
    fn frame(&mut self, t: f64, direction: Direction, fcs_ok: bool, v21: bool, session: &mut Session, report: &mut Report) {
        if v21 {
            let channel = usize::from(direction == Direction::Answerer);
            let began = self.began.unwrap_or(t);
            let heard = FrameHeard { t: began, end: t, channel, direction, octets: &self.bytes, fcs_ok, dbm0: 0.0 };
            session.frame(&heard, report);
        } else if fcs_ok {
            session.fast_frame(&self.bytes);
        }
    }
    fn end_fast(&mut self, t: f64, session: &mut Session, report: &mut Report) {
        if self.fast.take().is_some() {
            session.carrier_gone(t, report);
        }
    }
    /// The capture is over.
    pub fn finish(&mut self, t: f64, direction: Direction, session: &mut Session, report: &mut Report) {
        self.end_fast(t, session, report);
        self.end_tone(t, direction, report);
    }
}
