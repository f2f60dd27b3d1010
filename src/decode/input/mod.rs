//! Bytes of a recording in, samples and packets out. Nothing here opens a file: the shell feeds pieces of any size, and memory stays flat in
//! the length of the file.
//!
//! ```text
//! WAV  -> wav (any coding, any rate) -> 8 kHz, two channels at most ------------------------------+
//! pcap -> pcap (datagrams) -> survey (first pass: which flows, who calls) -> flows (second pass) -+-> decode::Decoder
//! ```
//! A recording is read twice: what the first pass learns (both channels the same, which stream is the caller's, which SDP holds) is needed
//! from the first sample of the second.

pub mod flows;
mod fragments;
pub mod fuzz;
pub mod ima_adpcm;
pub mod pcap;
pub mod srtp;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod wav;

use crate::decode::{Decoder, Direction};
use crate::fax::t38::ifp::Packet;

/// Bounds of the readers; what passes them is left out with a warning.
pub mod limits {
    /// Bytes of one captured packet: tcpdump's own largest snapshot.
    pub const PACKET_BYTES_MAX: usize = 256 * 1024;
    /// Bytes of one pcapng block that is not a packet (name tables, comments) and is stepped over. Longer ones are a broken file.
    pub const BLOCK_BYTES_MAX: usize = 16 << 20;
    /// Interfaces of a pcapng section.
    pub const INTERFACES_MAX: usize = 256;
    /// Bytes of a WAV `fmt ` chunk; the longest real one (WAVE_FORMAT_EXTENSIBLE) has 40.
    pub const FORMAT_BYTES_MAX: usize = 4096;
    /// Channels of a WAV file; the first two are read.
    pub const CHANNELS_MAX: u16 = 64;
    /// Streams and T.38 flows told apart in a capture. A capture of a busy trunk has more; the first ones are read.
    pub const FLOWS_MAX: usize = 256;
    /// Media addresses learned from SDP.
    pub const MEDIA_MAX: usize = 512;
    /// Warnings kept; the rest is counted.
    pub const WARNINGS_MAX: usize = 64;
    /// Silence that one gap of a capture may put into a recording, s. An hour lies between two calls in one capture; a year is a wrong clock.
    pub const GAP_S_MAX: f64 = 3600.0;
    /// Length of a capture as audio, s: a day.
    pub const CAPTURE_S_MAX: f64 = 86_400.0;
    /// Datagrams of one flow looked at to tell what it carries.
    pub const SURVEY_PACKETS_MAX: u32 = 2000;
}

/// Who takes what the readers find: [`Decoder`], or something that also draws it.
pub trait Listener {
    /// Samples of a channel, 8000 a second.
    fn feed(&mut self, channel: usize, samples: &[i16]);
    /// A T.38 packet, in order.
    fn t38(&mut self, t: f64, direction: Direction, packet: &Packet);
    /// T.38 packets just before `t` are lost for good.
    fn t38_missing(&mut self, t: f64, direction: Direction);
    /// An RFC 4733 event or a digit of SIP INFO.
    fn telephone_event(&mut self, t: f64, direction: Direction, digit: char, ms: u32);
    /// Something odd.
    fn warn(&mut self, text: String);
}

impl Listener for Decoder {
    fn feed(&mut self, channel: usize, samples: &[i16]) {
        Decoder::feed(self, channel, samples);
    }
    fn t38(&mut self, t: f64, direction: Direction, packet: &Packet) {
        Decoder::t38(self, t, direction, packet);
    }
    fn t38_missing(&mut self, t: f64, direction: Direction) {
        Decoder::t38_missing(self, t, direction);
    }
    fn telephone_event(&mut self, t: f64, direction: Direction, digit: char, ms: u32) {
        Decoder::telephone_event(self, t, direction, digit, ms);
    }
    fn warn(&mut self, text: String) {
        Decoder::warn(self, text);
    }
}

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// RIFF WAVE, or RF64.
    Wav,
    /// pcap or pcapng.
    Pcap,
}

/// Tells the kind of a file by its first 12 bytes or more.
pub fn kind(head: &[u8]) -> Option<Kind> {
    match head {
        [b'R', b'I', b'F', b'F' | b'X', ..] | [b'R', b'F', b'6', b'4', ..] => Some(Kind::Wav),
        [a, b, c, d, ..] if pcap::is_magic([*a, *b, *c, *d]) => Some(Kind::Pcap),
        _ => None,
    }
}

/// Warnings with a bound.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    texts: Vec<String>,
    more: u64,
}

impl Warnings {
    /// Takes one, unless it was said before.
    pub fn say(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.texts.contains(&text) {
        } else if self.texts.len() < limits::WARNINGS_MAX {
            self.texts.push(text);
        } else {
            self.more += 1;
        }
    }
    /// All of them, and how many did not fit.
    pub fn take(&mut self) -> Vec<String> {
        let more = core::mem::take(&mut self.more);
        let mut texts = core::mem::take(&mut self.texts);
        if more > 0 {
            texts.push(format!("{more} more warnings of the reader left out"));
        }
        texts
    }
}
