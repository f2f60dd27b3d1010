//! WAV files: 8 kHz, one channel, PCM of 16 bits, A-law or mu-law; and a port that plays one into the gateway and records what it hears.
//!
//! Read the RIFF specification (IBM and Microsoft, 1991) and RFC 2361 for the format tags. [`parse`] is a pure function of bytes; the
//! sizes in a file are claims and are checked against what is there. A file that was cut short, as recorders leave them, or whose data
//! size was never filled in, gives the samples that it has.

use crate::limits::{RECORD_SAMPLES_MAX, WAV_BYTES_MAX, WAV_CHUNKS_MAX};
use crate::{Capabilities, Frame, Port, PortCommand, PortEvent, PortKind};
use std::fmt;
use tipring_dsp::g711::Law;
use tipring_dsp::{SAMPLE_RATE_HZ, SILENCE};

/// How the samples are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// 16 bits, linear (format tag 1).
    Pcm16,
    /// G.711 A-law (6).
    ALaw,
    /// G.711 mu-law (7).
    MuLaw,
}

/// Why bytes are no WAV file that a line can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WavError {
    /// Larger than the bound in `limits.rs`.
    TooLarge,
    /// Does not begin with RIFF and WAVE.
    NotWav,
    /// There is no complete `fmt ` chunk before the samples.
    NoFormat,
    /// There is no `data` chunk.
    NoData,
    /// More chunks than anybody writes.
    TooManyChunks,
    /// A format tag that is not 1, 6 or 7, or a sample size that does not go with it.
    Coding {
        /// The format tag.
        tag: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// Not 8000 samples a second.
    Rate(u32),
    /// Not one channel.
    Channels(u16),
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::TooLarge => write!(f, "the WAV file is larger than {WAV_BYTES_MAX} bytes"),
            WavError::NotWav => write!(f, "not a WAV file"),
            WavError::NoFormat => write!(f, "the WAV file does not say how its samples are coded"),
            WavError::NoData => write!(f, "the WAV file has no samples"),
            WavError::TooManyChunks => write!(f, "the WAV file has more than {WAV_CHUNKS_MAX} chunks before its samples"),
            WavError::Coding { tag, bits } => {
                write!(f, "WAV format {tag} with {bits} bits; a line takes 16-bit PCM (1), A-law (6) or mu-law (7)")
            }
            WavError::Rate(hz) => write!(f, "the WAV file has {hz} samples a second; a line has {SAMPLE_RATE_HZ}"),
            WavError::Channels(n) => write!(f, "the WAV file has {n} channels; a line has one"),
        }
    }
}
impl std::error::Error for WavError {}

/// The samples of a WAV file.
pub fn parse(bytes: &[u8]) -> Result<Vec<i16>, WavError> {
    if bytes.len() > WAV_BYTES_MAX {
        return Err(WavError::TooLarge);
    }
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err(WavError::NotWav);
    }
    let mut rest = &bytes[12..];
    let mut coding = None;
    for _ in 0..WAV_CHUNKS_MAX {
        let (Some(id), Some(size)) = (rest.get(..4), u32_at(rest, 4)) else {
            return Err(if coding.is_none() { WavError::NoFormat } else { WavError::NoData });
        };
        let size = size as usize;
        let body = &rest[8..];
        let present = &body[..size.min(body.len())];
        match id {
            b"fmt " => coding = Some(parse_format(present)?),
            b"data" => {
                // Recorders that never came to fill in the size leave 0 or all ones.
                let samples = if size == 0 || size == u32::MAX as usize { body } else { present };
                return Ok(decode(coding.ok_or(WavError::NoFormat)?, samples));
            }
            _ => {}
        }
        // Chunks are padded to an even size.
        rest = body.get(size.saturating_add(size & 1)..).unwrap_or(&[]);
    }
    Err(WavError::TooManyChunks)
}

fn parse_format(chunk: &[u8]) -> Result<Coding, WavError> {
    let field = |at| u16_at(chunk, at).ok_or(WavError::NoFormat);
    let (tag, channels, bits) = (field(0)?, field(2)?, field(14)?);
    let rate_hz = u32_at(chunk, 4).ok_or(WavError::NoFormat)?;
    // WAVE_FORMAT_EXTENSIBLE carries the tag in the first two bytes of its GUID.
    let tag = if tag == 0xfffe { field(24)? } else { tag };
    let coding = match (tag, bits) {
        (1, 16) => Coding::Pcm16,
        (6, 8) => Coding::ALaw,
        (7, 8) => Coding::MuLaw,
        (tag, bits) => return Err(WavError::Coding { tag, bits }),
    };
    if rate_hz != SAMPLE_RATE_HZ {
        return Err(WavError::Rate(rate_hz));
    }
    if channels != 1 {
        return Err(WavError::Channels(channels));
    }
    Ok(coding)
}

fn decode(coding: Coding, bytes: &[u8]) -> Vec<i16> {
    match coding {
        Coding::Pcm16 => bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect(),
        Coding::ALaw => bytes.iter().map(|b| Law::A.decode(*b)).collect(),
        Coding::MuLaw => bytes.iter().map(|b| Law::Mu.decode(*b)).collect(),
    }
}

/// A WAV file of these samples.
pub fn emit(samples: &[i16], coding: Coding) -> Vec<u8> {
    let (tag, bits) = match coding {
        Coding::Pcm16 => (1u16, 16u16),
        Coding::ALaw => (6, 8),
        Coding::MuLaw => (7, 8),
    };
    let octets_a_sample = u32::from(bits / 8);
    let data_bytes = samples.len() as u32 * octets_a_sample;
    let mut out = Vec::with_capacity(46 + data_bytes as usize);
    out.extend_from_slice(b"RIFF");
    // Everything behind this field: WAVE, the format chunk of 18 bytes, the data chunk and its padding.
    out.extend_from_slice(&(4 + 8 + 18 + 8 + data_bytes + (data_bytes & 1)).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&18u32.to_le_bytes());
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&SAMPLE_RATE_HZ.to_le_bytes());
    out.extend_from_slice(&(SAMPLE_RATE_HZ * octets_a_sample).to_le_bytes());
    out.extend_from_slice(&(bits / 8).to_le_bytes());
    out.extend_from_slice(&bits.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data_bytes.to_le_bytes());
    match coding {
        Coding::Pcm16 => samples.iter().for_each(|s| out.extend_from_slice(&s.to_le_bytes())),
        Coding::ALaw => out.extend(samples.iter().map(|s| Law::A.encode(*s))),
        Coding::MuLaw => out.extend(samples.iter().map(|s| Law::Mu.encode(*s))),
    }
    if data_bytes % 2 == 1 {
        out.push(0);
    }
    out
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A port whose far end is a recording: it lifts, plays it to the end, hangs up, and keeps what it heard meanwhile.
///
/// Files are read and written by the caller; the port holds samples only, in memory taken once.
pub struct WavPort {
    plays: Vec<i16>,
    at: usize,
    heard: Vec<i16>,
    heard_max: usize,
    event: Option<PortEvent>,
    off_hook: bool,
}

impl WavPort {
    /// A port that plays these samples from its first turn on and records until the end of them, at most ten minutes.
    pub fn new(plays: Vec<i16>) -> Self {
        let heard_max = plays.len().min(RECORD_SAMPLES_MAX);
        WavPort { plays, at: 0, heard: Vec::with_capacity(heard_max), heard_max, event: None, off_hook: false }
    }
    /// What was heard till now.
    pub fn heard(&self) -> &[i16] {
        &self.heard
    }
    /// Everything was played, and the port has hung up.
    pub fn finished(&self) -> bool {
        self.at == self.plays.len() && !self.off_hook
    }
}

impl Port for WavPort {
    fn capabilities(&self) -> Capabilities {
        Capabilities { kind: PortKind::Fxs, rings: false, reverses_polarity: false, times_hook: false }
    }
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        *from_line = SILENCE;
        let left = &self.plays[self.at..];
        let off_hook = !left.is_empty();
        if off_hook != self.off_hook {
            self.off_hook = off_hook;
            self.event = Some(if off_hook { PortEvent::OffHook { at_ms: 0 } } else { PortEvent::OnHook { at_ms: 0 } });
        }
        let n = left.len().min(from_line.len());
        from_line[..n].copy_from_slice(&left[..n]);
        self.at += n;
        let room = (self.heard_max - self.heard.len()).min(n);
        self.heard.extend_from_slice(&to_line[..room]);
    }
    fn poll_event(&mut self) -> Option<PortEvent> {
        self.event.take()
    }
    fn command(&mut self, _command: PortCommand) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_emitted_is_parsed_again() {
        let samples: Vec<i16> = (-300..301).map(|n| n * 109).collect();
        assert_eq!(parse(&emit(&samples, Coding::Pcm16)), Ok(samples.clone()));
        for coding in [Coding::ALaw, Coding::MuLaw] {
            let back = parse(&emit(&samples, coding)).expect("our own file");
            assert_eq!(back.len(), samples.len());
            // G.711 errs by at most half its largest step.
            assert!(back.iter().zip(&samples).all(|(a, b)| (i32::from(*a) - i32::from(*b)).abs() <= 644), "{coding:?}");
            assert_eq!(parse(&emit(&back, coding)), Ok(back));
        }
    }

    #[test]
    fn errors_say_what_the_file_is() {
        let good = emit(&[1, 2, 3], Coding::Pcm16);
        let with = |at: usize, value: u16| {
            let mut bytes = good.clone();
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            parse(&bytes)
        };
        assert_eq!(with(20, 85), Err(WavError::Coding { tag: 85, bits: 16 }));
        assert_eq!(with(34, 24), Err(WavError::Coding { tag: 1, bits: 24 }));
        assert_eq!(with(22, 2), Err(WavError::Channels(2)));
        assert_eq!(with(24, 44100), Err(WavError::Rate(44100)));
        assert_eq!(parse(b"OggS"), Err(WavError::NotWav));
        assert_eq!(parse(&good[..20]), Err(WavError::NoFormat));
        assert_eq!(parse(&good[..40]), Err(WavError::NoData));
        assert_eq!(parse(&good[..good.len() - 3]), Ok(vec![1]), "a file cut short gives what it has");
        let mut unfilled = good.clone();
        unfilled[42..46].fill(0xff);
        assert_eq!(parse(&unfilled), Ok(vec![1, 2, 3]));
        let mut many = good[..12].to_vec();
        for _ in 0..WAV_CHUNKS_MAX {
            many.extend_from_slice(b"LIST\0\0\0\0");
        }
        assert_eq!(parse(&many), Err(WavError::TooManyChunks));
    }

    #[test]
    fn a_recording_lifts_plays_and_hangs_up_while_it_records() {
        let mut port = WavPort::new(vec![5; 400]);
        let mut events = vec![];
        for n in 0..5 {
            let mut from_line = SILENCE;
            port.exchange(&[n; 160], &mut from_line);
            events.extend(port.poll_event());
        }
        assert_eq!(events, [PortEvent::OffHook { at_ms: 0 }, PortEvent::OnHook { at_ms: 0 }]);
        assert_eq!((port.heard().len(), port.heard()[399]), (400, 2));
        assert!(port.finished());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(tail in prop::collection::vec(any::<u8>(), 0..200), flips in prop::collection::vec((0usize..60, any::<u8>()), 0..6)) {
            let mut bytes = emit(&[1, 2, 3, 4, 5], Coding::MuLaw);
            for (at, value) in flips {
                if let Some(b) = bytes.get_mut(at) {
                    *b = value;
                }
            }
            bytes.extend(&tail);
            if let Ok(samples) = parse(&bytes) {
                prop_assert!(samples.len() <= bytes.len());
            }
            let _ = parse(&tail);
        }
    }
}
