//! WAV files, fed in pieces of any size: RIFF, RIFX and RF64; PCM of 8 to 32 bits, float, both G.711 laws, IMA ADPCM, and all of these
//! behind WAVE_FORMAT_EXTENSIBLE.
//!
//! Read Microsoft's "Multiple Channel Audio Data and WAVE Files" for the extensible form. Lengths in the headers are not believed:
//! recorders that were cut off leave 0 or 0xFFFFFFFF there, so the end of the file is the end of the data, with a warning where it differs.

use super::ima_adpcm;
use super::limits::{CHANNELS_MAX, FORMAT_BYTES_MAX};
use core::fmt;
use tipring_dsp::g711::Law;
use tipring_dsp::rate;

/// How samples are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// Unsigned, one octet.
    Pcm8,
    /// Signed, this many octets (2 to 4).
    Pcm(u8),
    /// IEEE float, 4 or 8 octets.
    Float(u8),
    /// G.711.
    G711(Law),
    /// IMA ADPCM.
    ImaAdpcm,
}

/// What the `fmt ` chunk says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// How samples are written.
    pub coding: Coding,
    /// Channels.
    pub channels: u16,
    /// Samples a second.
    pub rate_hz: u32,
    /// Bytes that belong together: one sample of every channel, or a block of ADPCM.
    pub block_bytes: usize,
}

/// Why a file is unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WavError {
    /// It does not begin as a WAV file.
    NotWav,
    /// The data come before any `fmt ` chunk, or there is none.
    NoFormat,
    /// The file ends before its data begin.
    NoData,
    /// A coding we do not read, by its format tag and bits.
    Coding(u16, u16),
    /// No channels, or more than [`CHANNELS_MAX`].
    Channels(u16),
    /// A rate outside [`rate::RATES_HZ`].
    Rate(u32),
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::NotWav => f.write_str("this is no WAV file"),
            WavError::NoFormat => f.write_str("the WAV file has no fmt chunk before its data"),
            WavError::NoData => f.write_str("the WAV file ends before its data begin"),
            WavError::Coding(tag, bits) => {
                write!(f, "WAV format {tag:#06x} with {bits} bits is not read here; convert it with: sox IN -r 8000 OUT.wav")
            }
            WavError::Channels(n) => write!(f, "a WAV file of {n} channels is not read"),
            WavError::Rate(hz) => write!(f, "a WAV file of {hz} samples a second is not read"),
        }
    }
}
impl std::error::Error for WavError {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Head,
    Chunk,
    Format(usize),
    /// The `ds64` chunk of RF64, which has the lengths that do not fit 32 bits.
    LongSizes(usize),
    Skip(u64),
    /// Bytes to come, if the length is believed.
    Data(Option<u64>),
    /// Everything that matters was read.
    Over,
}

/// Reads a WAV file.
#[derive(Debug)]
pub struct Reader {
    expect: Expect,
    pending: Vec<u8>,
    big_endian: bool,
    format: Option<Format>,
    /// The length of the data in an RF64 file.
    long_data: Option<u64>,
    data_bytes: u64,
    warnings: super::Warnings,
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

impl Reader {
    /// A reader at the start of a file.
    pub fn new() -> Reader {
        Reader {
            expect: Expect::Head,
            pending: Vec::new(),
            big_endian: false,
            format: None,
            long_data: None,
            data_bytes: 0,
            warnings: super::Warnings::default(),
        }
    }

    /// Takes the next bytes of the file and appends the samples of the first two channels (one channel is doubled), at the file's rate.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<[i16; 2]>) -> Result<(), WavError> {
        while !bytes.is_empty() {
            bytes = match self.expect {
                Expect::Skip(n) => {
                    let k = n.min(bytes.len() as u64);
                    self.expect = if k == n { Expect::Chunk } else { Expect::Skip(n - k) };
                    &bytes[k as usize..]
                }
                Expect::Data(left) => self.data(bytes, left, out)?,
                Expect::Over => return Ok(()),
                Expect::Head => self.gather(bytes, 12, Self::head)?,
                Expect::Chunk => self.gather(bytes, 8, Self::chunk)?,
                Expect::Format(n) => self.gather(bytes, n, Self::fmt)?,
                Expect::LongSizes(n) => self.gather(bytes, n, Self::ds64)?,
            };
        }
        Ok(())
    }

    /// The file is over.
    pub fn finish(&mut self, out: &mut Vec<[i16; 2]>) -> Result<(), WavError> {
        match self.expect {
            Expect::Head => return Err(WavError::NotWav),
            Expect::Data(left) => {
                if let Some(format) = self.format {
                    if format.coding == Coding::ImaAdpcm && !self.pending.is_empty() {
                        ima_adpcm::decode_block(&self.pending, usize::from(format.channels), out);
                    } else if !self.pending.is_empty() {
                        self.warnings.say(format!("the WAV file ends in the middle of a sample ({} bytes left over)", self.pending.len()));
                    }
                }
                if let Some(left) = left.filter(|n| *n > 0) {
                    self.warnings.say(format!(
                        "the WAV file is cut off: its header promises {} bytes of audio, {} are there",
                        self.data_bytes + left,
                        self.data_bytes
                    ));
                }
            }
            Expect::Over | Expect::Chunk | Expect::Format(_) | Expect::LongSizes(_) | Expect::Skip(_) => {}
        }
        match (self.format, self.data_bytes) {
            (None, _) => Err(WavError::NoFormat),
            (Some(_), 0) => Err(WavError::NoData),
            (Some(_), _) => Ok(()),
        }
    }

    /// The format, once it is known.
    pub fn format(&self) -> Option<Format> {
        self.format
    }
    /// What was odd.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.take()
    }

    /// Collects `n` bytes, then acts on them; returns what is left of `bytes`.
    fn gather<'a>(&mut self, bytes: &'a [u8], n: usize, act: fn(&mut Self, &[u8]) -> Result<(), WavError>) -> Result<&'a [u8], WavError> {
        let (part, rest) = bytes.split_at(bytes.len().min(n - self.pending.len()));
        self.pending.extend_from_slice(part);
        if self.pending.len() == n {
            let whole = core::mem::take(&mut self.pending);
            act(self, &whole)?;
        }
        Ok(rest)
    }

    fn head(&mut self, h: &[u8]) -> Result<(), WavError> {
        self.big_endian = h.starts_with(b"RIFX");
        let known = [&b"RIFF"[..], b"RIFX", b"RF64"].iter().any(|m| h.starts_with(m));
        if !known || &h[8..12] != b"WAVE" {
            return Err(WavError::NotWav);
        }
        self.expect = Expect::Chunk;
        Ok(())
    }

    fn chunk(&mut self, h: &[u8]) -> Result<(), WavError> {
        let length = self.u32(&h[4..]);
        // Chunks are padded to an even length.
        let padded = u64::from(length) + u64::from(length & 1);
        self.expect = match &h[..4] {
            b"fmt " if (14..=FORMAT_BYTES_MAX as u32).contains(&length) && self.format.is_none() => Expect::Format(padded as usize),
            // 28 bytes: sizes of the file, of the data, of samples.
            b"ds64" if (16..=FORMAT_BYTES_MAX as u32).contains(&length) => Expect::LongSizes(padded as usize),
            b"data" if self.format.is_none() => return Err(WavError::NoFormat),
            b"data" => Expect::Data(match (length, self.long_data) {
                (u32::MAX, Some(long)) => Some(long),
                (0 | u32::MAX, _) => {
                    self.warnings.say("the WAV header does not say how long the audio is; read to the end of the file");
                    None
                }
                (n, _) => Some(u64::from(n)),
            }),
            id if !id.iter().all(|b| (0x20..0x7F).contains(b)) && self.data_bytes > 0 => {
                self.warnings.say(format!(
                    "behind the {} bytes of audio that the WAV header promises there is something that is no chunk; it was not read",
                    self.data_bytes
                ));
                Expect::Over
            }
            b"fmt " if self.format.is_none() => return Err(WavError::NoFormat),
            _ => Expect::Skip(padded),
        };
        Ok(())
    }

    fn ds64(&mut self, f: &[u8]) -> Result<(), WavError> {
        self.expect = Expect::Chunk;
        self.long_data = f.get(8..16).and_then(|b| b.first_chunk()).map(|b| u64::from_le_bytes(*b));
        Ok(())
    }

    fn fmt(&mut self, f: &[u8]) -> Result<(), WavError> {
        self.expect = Expect::Chunk;
        let [tag, channels] = [self.u16(f), self.u16(&f[2..])];
        let rate_hz = self.u32(&f[4..]);
        let block = usize::from(self.u16(&f[12..]));
        let bits = f.get(14..16).map_or(8, |b| self.u16(b));
        if channels == 0 || channels > CHANNELS_MAX {
            return Err(WavError::Channels(channels));
        }
        if !rate::RATES_HZ.contains(&rate_hz) {
            return Err(WavError::Rate(rate_hz));
        }
        // WAVE_FORMAT_EXTENSIBLE: the first two bytes of the sub-format's GUID are the old tag.
        let tag = if tag == 0xFFFE { f.get(24..26).map_or(tag, |b| self.u16(b)) } else { tag };
        let container = match block / usize::from(channels) {
            n @ 1..=8 => n as u8,
            _ => bits.div_ceil(8).min(255) as u8,
        };
        let coding = match (tag, container) {
            (1, 1) => Coding::Pcm8,
            (1, n @ 2..=4) => Coding::Pcm(n),
            (3, n @ (4 | 8)) => Coding::Float(n),
            (6, 1) => Coding::G711(Law::A),
            (7, 1) => Coding::G711(Law::Mu),
            (0x11, _) if bits == 4 && block >= ima_adpcm::HEADER_BYTES * usize::from(channels) => Coding::ImaAdpcm,
            _ => return Err(WavError::Coding(tag, bits)),
        };
        let block_bytes = if coding == Coding::ImaAdpcm { block } else { usize::from(container) * usize::from(channels) };
        if block != block_bytes {
            self.warnings.say(format!("the WAV header says {block} bytes a sample frame where its format needs {block_bytes}"));
        }
        self.format = Some(Format { coding, channels, rate_hz, block_bytes });
        Ok(())
    }

    fn data<'a>(&mut self, bytes: &'a [u8], left: Option<u64>, out: &mut Vec<[i16; 2]>) -> Result<&'a [u8], WavError> {
        let format = self.format.ok_or(WavError::NoFormat)?;
        let k = left.unwrap_or(u64::MAX).min(bytes.len() as u64) as usize;
        let (mut part, rest) = bytes.split_at(k);
        self.data_bytes += k as u64;
        let odd = self.data_bytes & 1;
        self.expect = match left.map(|n| n - k as u64) {
            Some(0) => Expect::Skip(odd),
            left => Expect::Data(left),
        };
        let block = format.block_bytes;
        if !self.pending.is_empty() {
            let (head, tail) = part.split_at(part.len().min(block - self.pending.len()));
            self.pending.extend_from_slice(head);
            part = tail;
            if self.pending.len() == block {
                let whole = core::mem::take(&mut self.pending);
                self.decode(&whole, format, out);
            }
        }
        let whole = part.len() / block * block;
        self.decode(&part[..whole], format, out);
        self.pending.extend_from_slice(&part[whole..]);
        if matches!(self.expect, Expect::Skip(_)) {
            if format.coding == Coding::ImaAdpcm {
                ima_adpcm::decode_block(&self.pending, usize::from(format.channels), out);
            }
            self.pending.clear();
            if self.expect == Expect::Skip(0) {
                self.expect = Expect::Chunk;
            }
        }
        Ok(rest)
    }

    fn decode(&mut self, blocks: &[u8], format: Format, out: &mut Vec<[i16; 2]>) {
        let channels = usize::from(format.channels);
        if format.coding == Coding::ImaAdpcm {
            blocks.chunks_exact(format.block_bytes).for_each(|b| ima_adpcm::decode_block(b, channels, out));
            return;
        }
        let one = format.block_bytes / channels;
        let second = if channels > 1 { one } else { 0 };
        let big = self.big_endian;
        out.extend(
            blocks
                .chunks_exact(format.block_bytes)
                .map(|b| [sample(&b[..one], format.coding, big), sample(&b[second..second + one], format.coding, big)]),
        );
    }

    fn u16(&self, b: &[u8]) -> u16 {
        let pair = b.first_chunk().copied().unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }
    fn u32(&self, b: &[u8]) -> u32 {
        let four = b.first_chunk().copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }
}

/// One sample as 16 bits: the upper ones of longer integers, floats by full scale.
fn sample(b: &[u8], coding: Coding, big_endian: bool) -> i16 {
    let mut le = [0u8; 8];
    if big_endian {
        le.iter_mut().zip(b.iter().rev()).for_each(|(l, b)| *l = *b);
    } else {
        le[..b.len()].copy_from_slice(b);
    }
    let of_float = |x: f64| (x * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
    match coding {
        Coding::Pcm8 => (i16::from(le[0]) - 128) << 8,
        Coding::Pcm(n) => i16::from_le_bytes([le[usize::from(n) - 2], le[usize::from(n) - 1]]),
        Coding::Float(4) => of_float(f64::from(f32::from_le_bytes([le[0], le[1], le[2], le[3]]))),
        Coding::Float(_) => of_float(f64::from_le_bytes(le)),
        Coding::G711(law) => law.decode(le[0]),
        Coding::ImaAdpcm => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tag: u16, channels: u16, rate: u32, bits: u16, block: u16, data: &[u8]) -> Vec<u8> {
        let mut f = b"RIFF\0\0\0\0WAVEjunk\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        f.extend(tag.to_le_bytes());
        f.extend(channels.to_le_bytes());
        f.extend(rate.to_le_bytes());
        f.extend((rate * u32::from(block)).to_le_bytes());
        f.extend(block.to_le_bytes());
        f.extend(bits.to_le_bytes());
        f.extend(b"data");
        f.extend((data.len() as u32).to_le_bytes());
        f.extend(data);
        f
    }

    /// Reads a file in pieces of `piece` bytes.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<[i16; 2]>, Vec<String>), WavError> {
        let (mut r, mut out) = (Reader::new(), Vec::new());
        for part in bytes.chunks(piece) {
            r.push(part, &mut out)?;
        }
        r.finish(&mut out)?;
        Ok((out, r.take_warnings()))
    }

    #[test]
    fn every_coding_gives_the_same_sample() {
        let float = |x: f32| x.to_le_bytes().to_vec();
        let table: &[(u16, u16, u16, Vec<u8>)] = &[
            (1, 8, 1, vec![0xC0]),
            (1, 16, 2, vec![0x00, 0x40]),
            (1, 24, 3, vec![0xFF, 0x00, 0x40]),
            (1, 32, 4, vec![0xFF, 0xFF, 0x00, 0x40]),
            (3, 32, 4, float(0.5)),
            (3, 64, 8, 0.5f64.to_le_bytes().to_vec()),
            (6, 8, 1, vec![Law::A.encode(16384)]),
            (7, 8, 1, vec![Law::Mu.encode(16384)]),
        ];
        for (tag, bits, block, octets) in table {
            let (out, warnings) = read(&file(*tag, 1, 8000, *bits, *block, &octets.repeat(4)), 5).unwrap();
            assert_eq!(out.len(), 4, "tag {tag}, {bits} bits");
            assert!((i32::from(out[3][0]) - 16384).abs() <= 512 && out[3][0] == out[3][1], "tag {tag}, {bits} bits: {:?}", out[3]);
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn stereo_keeps_its_sides_in_pieces_of_any_size() {
        let data: Vec<u8> = (0..100i16).flat_map(|n| [n, -n]).flat_map(i16::to_le_bytes).collect();
        let f = file(1, 2, 44_100, 16, 4, &data);
        for piece in [1, 2, 3, 7, 64, 10_000] {
            let (out, _) = read(&f, piece).unwrap();
            assert_eq!(out, (0..100i16).map(|n| [n, -n]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn audio_behind_the_promised_length_is_spoken_of() {
        let mut f = file(1, 1, 8000, 16, 2, &[1, 0, 2, 0]);
        f.extend([0xF3; 64]);
        let (out, warnings) = read(&f, 9).unwrap();
        assert!(out.len() == 2 && warnings.len() == 1 && warnings[0].contains("behind the 4 bytes"), "{warnings:?}");
    }

    #[test]
    fn extensible_hides_the_tag_in_its_guid() {
        let mut f = b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0".to_vec();
        f.extend([0xFE, 0xFF, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 22, 0, 8, 0, 4, 0, 0, 0, 7, 0]);
        f.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
        f.extend(b"data\x02\0\0\0\x80\x00");
        assert_eq!(read(&f, 3).unwrap().0, [[32124; 2], [-32124; 2]]);
    }

    #[test]
    fn a_cut_file_gives_what_is_there_and_says_so() {
        let f = file(1, 1, 8000, 16, 2, &[1; 1000]);
        let (out, warnings) = read(&f[..f.len() - 501], 100).unwrap();
        assert_eq!(out.len(), 249);
        assert!(warnings.iter().any(|w| w.contains("promises 1000 bytes of audio, 499 are there")), "{warnings:?}");
        let mut endless = f.clone();
        let at = f.len() - 1004;
        endless[at..at + 4].fill(0xFF);
        assert_eq!(read(&endless, 100).unwrap().0.len(), 500);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let ok = file(1, 1, 8000, 16, 2, &[0; 8]);
        let no_format = b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd".to_vec();
        let table: &[(Vec<u8>, WavError)] = &[
            (b"OggS".to_vec(), WavError::NotWav),
            (b"RIFF____AVI LIST".to_vec(), WavError::NotWav),
            (no_format, WavError::NoFormat),
            (ok[..ok.len() - 8].to_vec(), WavError::NoData),
            (file(0x55, 1, 8000, 0, 1, &[0; 8]), WavError::Coding(0x55, 0)),
            (file(1, 0, 8000, 16, 2, &[0; 8]), WavError::Channels(0)),
            (file(1, 1, 3, 16, 2, &[0; 8]), WavError::Rate(3)),
            (file(0x11, 2, 8000, 4, 7, &[0; 8]), WavError::Coding(0x11, 4)),
        ];
        for (bytes, error) in table {
            assert_eq!(read(bytes, 9).as_ref(), Err(error));
        }
    }
}
