//! Bodies of fuzz targets: any bytes as what a line may carry. None may panic.

use super::{Decoder, Direction, Options};
use crate::fax::t30::{frame, words};
use tipring_dsp::{callerid, hdlc};

/// Any bytes as the bits of an HDLC channel: frames keep to their bounds, and what has a good FCS has it by the book.
pub fn hdlc(bytes: &[u8]) {
    let mut receiver = hdlc::Receiver::new();
    for byte in bytes {
        for i in (0..8).rev() {
            if let Some(hdlc::Event::Frame { octets, fcs_ok }) = receiver.rx(byte >> i & 1 == 1) {
                assert!(octets.len() >= 3 && octets.len() <= hdlc::FRAME_OCTETS_MAX);
                if fcs_ok {
                    t30(octets);
                }
            }
        }
    }
}

/// Any bytes as a T.30 frame, put in words.
pub fn t30(bytes: &[u8]) {
    if let Some(f) = frame::parse(bytes) {
        assert!(words::of(f.fcf, f.fif).len() < 16 * (bytes.len() + 200));
    }
    for fcf in frame::Fcf::ALL {
        words::of(*fcf, bytes);
    }
}

/// Any bytes as a caller-ID message: texts keep to their bounds.
pub fn caller_id(bytes: &[u8]) {
    if let Some(m) = callerid::parse(bytes) {
        assert!(m.number.len().max(m.name.len()).max(m.date.len()) <= callerid::TEXT_MAX);
    }
}

/// Any bytes as linear samples of two channels.
pub fn samples(bytes: &[u8]) {
    let samples: Vec<i16> = bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let mut decoder = Decoder::new(Options { channels: 2, direction: Direction::Unknown });
    let (left, right) = samples.split_at(samples.len() / 2);
    decoder.feed(0, left);
    decoder.feed(1, right);
    let report = decoder.finish();
    assert!(!report.verdict.is_empty());
}
