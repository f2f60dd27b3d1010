//! `tipring decode FILE`: reads the file, lets the core hear it, and prints or writes what it found.
//!
//! Files are read in pieces and twice: the first pass finds the streams of a capture and whether both channels of a WAV are the same.

mod html;
mod json;
mod out;
mod spectrogram;
mod words;

use super::cli::Outcome;
use crate::decode::input::flows::{Player, SrtpStream};
use crate::decode::input::survey::{Known, Survey};
use crate::decode::input::{self, Kind, Listener, pcap, srtp, wav};
use crate::decode::{self, Decoder, Direction, Report};
use crate::fax::t38::ifp::Packet;
use spectrogram::Spectrogram;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use tipring_dsp::g711;
use tipring_dsp::rate::RateConverter;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Which channel of a stereo recording is heard.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// The caller's
    Left,
    /// The answerer's
    Right,
    /// Both, added to one
    Mix,
}

/// A G.711 law by its letter.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// Mu-law
    U,
    /// A-law
    A,
}

/// Say what is on a recording of a phone line
#[derive(clap::Args)]
pub struct Options {
    /// WAV, pcap or pcapng (with --law also bare G.711 octets at 8 kHz)
    file: PathBuf,
    /// Hear only one channel, or both as one; otherwise left is the caller and right the answerer
    #[arg(long)]
    channel: Option<Channel>,
    /// Write pages (TIFF, PNG) and report.html here
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Key of an SRTP stream: SSRC in hex, then key and salt in Base64 (30 bytes, or 28 or 44 of GCM; before it `SUITE:`, if its length does not say)
    #[arg(long, value_name = "SSRC=BASE64")]
    srtp_key: Vec<String>,
    /// Law of payload types (or of a bare file) that nothing explains
    #[arg(long)]
    law: Option<Law>,
}

/// Keys by SSRC.
type SrtpKeys = BTreeMap<u32, srtp::Key>;

/// `deadbeef=BASE64`; Base64 may end in `=` itself, so the first one splits.
fn srtp_key(text: &str) -> Result<(u32, srtp::Key), String> {
    let (ssrc, key) = text.split_once('=').ok_or("SSRC=BASE64 is wanted")?;
    let ssrc = ssrc.trim_start_matches("0x");
    let ssrc = u32::from_str_radix(ssrc, 16).map_err(|_| "what stands before the = is no SSRC in hex")?;
    let key = srtp::Key::read(key).ok_or("the key is not Base64 of 30 bytes (AES_CM_128_HMAC_SHA1_80), 28 (AEAD_AES_128_GCM) or 44 (AEAD_AES_256_GCM), with or without `SUITE:` before it")?;
    Ok((ssrc, key))
}

/// What a file said.
pub(super) struct Decoded {
    pub file: PathBuf,
    /// "WAV, 8000 Hz, mono".
    pub what: String,
    pub report: Report,
    pub srtp: Vec<SrtpStream>,
    /// Of each channel; empty unless pictures are wanted.
    pub spectrograms: Vec<Spectrogram>,
    /// The TIFF of each page, if written.
    pub page_files: Vec<PathBuf>,
}

/// The verb.
pub(super) fn run(options: &Options) -> Outcome {
    // Not clap's to say: it would take three lines, and show the key.
    let srtp_keys = match options.srtp_key.iter().map(|text| srtp_key(text)).collect() {
        Ok(keys) => keys,
        Err(why) => return Outcome::Unusable(format!("--srtp-key: {why}")),
    };
    let mut decoded = match read(options, srtp_keys) {
        Ok(decoded) => decoded,
        Err(why) => return Outcome::Unusable(format!("{}: {why}", options.file.display())),
    };
    if let Some(dir) = &options.out
        && let Err(e) = out::write(dir, &mut decoded)
    {
        return Outcome::Unusable(format!("{}: {e}", dir.display()));
    }
    if options.json {
        println!("{}", json::of(&decoded));
    } else {
        print!("{}", words::of(&decoded));
        if let Some(dir) = &options.out {
            println!("report: {}", dir.join(out::REPORT_FILE).display());
        }
    }
    Outcome::Yes
}

fn read(options: &Options, srtp_keys: SrtpKeys) -> Result<Decoded, String> {
    let mut file = File::open(&options.file).map_err(|e| e.to_string())?;
    let what = file.metadata().map_err(|e| e.to_string())?;
    if !what.is_file() && !what.is_dir() {
        return Err("a recording is read twice, and a pipe can be read only once: save it to a file first".into());
    }
    let mut head = [0u8; 16];
    let mut got = 0;
    while got < head.len() {
        match file.read(&mut head[got..]).map_err(|e| e.to_string())? {
            0 => break,
            n => got += n,
        }
    }
    match (input::kind(&head[..got]), options.law) {
        (Some(Kind::Wav), _) => read_wav(options),
        (Some(Kind::Pcap), _) => read_pcap(options, srtp_keys),
        (None, Some(law)) if got > 0 => read_bare(options, law.into()),
        (None, _) if got == 0 => Err("the file is empty".into()),
        (None, _) => Err("this is neither WAV nor pcap nor pcapng (--law u|a reads it as bare G.711)".into()),
    }
}

impl From<Law> for g711::Law {
    fn from(law: Law) -> Self {
        match law {
            Law::U => g711::Law::Mu,
            Law::A => g711::Law::A,
        }
    }
}

/// The decoder, and what is drawn beside it.
struct Ear {
    decoder: Decoder,
    spectrograms: Vec<Spectrogram>,
}

impl Ear {
    fn new(options: &Options, channels: usize, direction: Direction) -> Ear {
        let spectrograms = if options.out.is_some() { (0..channels).map(|_| Spectrogram::new()).collect() } else { Vec::new() };
        Ear { decoder: Decoder::new(decode::Options { channels, direction }), spectrograms }
    }
    fn finish(self, options: &Options, what: String, srtp: Vec<SrtpStream>) -> Decoded {
        Decoded {
            file: options.file.clone(),
            what,
            report: self.decoder.finish(),
            srtp,
            spectrograms: self.spectrograms,
            page_files: Vec::new(),
        }
    }
}

impl Listener for Ear {
    fn feed(&mut self, channel: usize, samples: &[i16]) {
        self.decoder.feed(channel, samples);
        if let Some(s) = self.spectrograms.get_mut(channel) {
            s.feed(samples);
        }
    }
    fn t38(&mut self, t: f64, direction: Direction, packet: &Packet) {
        self.decoder.t38(t, direction, packet);
    }
    fn t38_missing(&mut self, t: f64, direction: Direction) {
        self.decoder.t38_missing(t, direction);
    }
    fn telephone_event(&mut self, t: f64, direction: Direction, digit: char, ms: u32) {
        self.decoder.telephone_event(t, direction, digit, ms);
    }
    fn warn(&mut self, text: String) {
        self.decoder.warn(text);
    }
}

/// Hands a file on in pieces. An error of the disk in the middle is a warning: what was read was read.
fn pieces(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<Option<String>, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let mut progress = Progress::new(file.metadata().map_or(0, |m| m.len()));
    let mut buffer = vec![0; PIECE_BYTES];
    let mut any = false;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                take(&buffer[..n])?;
                progress.made(n as u64);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if any => return Ok(Some(format!("the file could not be read to its end: {e}"))),
            Err(e) => return Err(e.to_string()),
        }
        any = true;
    }
}

/// Percent on stderr, for a person who waits for a long file.
struct Progress {
    bytes: u64,
    done: u64,
    shown: bool,
}

/// Files below this are read in a second or two.
const LONG_FILE_BYTES: u64 = 32 << 20;

impl Progress {
    fn new(bytes: u64) -> Progress {
        Progress { bytes, done: 0, shown: bytes >= LONG_FILE_BYTES && std::io::stderr().is_terminal() }
    }
    fn made(&mut self, bytes: u64) {
        let before = self.done * 100 / self.bytes.max(1);
        self.done += bytes;
        let now = self.done * 100 / self.bytes.max(1);
        if self.shown && now != before {
            eprint!("\r{now:3} %");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r     \r");
        }
    }
}

/// How the channels of a WAV are heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mixing {
    First,
    Second,
    Sum,
    Both,
}

fn read_wav(options: &Options) -> Result<Decoded, String> {
    let (format, alike) = survey_wav(&options.file)?;
    let stereo = format.channels > 1;
    let (mixing, direction) = match options.channel {
        Some(Channel::Left) if stereo => (Mixing::First, Direction::Caller),
        Some(Channel::Right) if stereo => (Mixing::Second, Direction::Answerer),
        Some(Channel::Mix) if stereo => (Mixing::Sum, Direction::Unknown),
        Some(_) | None if !stereo || alike => (Mixing::First, Direction::Unknown),
        Some(_) | None => (Mixing::Both, Direction::Unknown),
    };
    let channels = if mixing == Mixing::Both { 2 } else { 1 };
    let mut ear = Ear::new(options, channels, direction);
    let new_converter = || RateConverter::new(format.rate_hz).ok_or("a sample rate that is not read");
    let mut converters = [new_converter()?, new_converter()?];
    let mut reader = wav::Reader::new();
    let (mut frames, mut mono, mut at_8k) = (Vec::new(), Vec::new(), Vec::new());
    let mut play = |frames: &[[i16; 2]], ear: &mut Ear, over: bool| {
        for channel in 0..channels {
            mono.clear();
            mono.extend(frames.iter().map(|f| match mixing {
                Mixing::First => f[0],
                Mixing::Second => f[1],
                Mixing::Sum => f[0].saturating_add(f[1]),
                Mixing::Both => f[channel],
            }));
            at_8k.clear();
            converters[channel].process(&mono, &mut at_8k);
            if over {
                converters[channel].finish(&mut at_8k);
            }
            ear.feed(channel, &at_8k);
        }
    };
    let cut = pieces(&options.file, |bytes| {
        frames.clear();
        reader.push(bytes, &mut frames).map_err(|e| e.to_string())?;
        // A piece of a compressed or low-rate file may be many seconds: the channels go by turns of less than one.
        frames.chunks(PIECE_BYTES / 16).for_each(|part| play(part, &mut ear, false));
        Ok(())
    })?;
    frames.clear();
    reader.finish(&mut frames).map_err(|e| e.to_string())?;
    play(&frames, &mut ear, true);
    for w in reader.take_warnings().into_iter().chain(cut) {
        ear.warn(w);
    }
    if alike && options.channel.is_none() {
        ear.warn("both channels are the same: read as one, and who said what is not known from the channel".into());
    }
    if !stereo && options.channel.is_some() {
        ear.warn("--channel has no meaning: the file has one channel".into());
    }
    if format.channels > 2 {
        ear.warn(format!("the file has {} channels; the first two are read", format.channels));
    }
    let what = format!("WAV, {}, {} Hz, {}", coding_name(format.coding), format.rate_hz, if stereo { "stereo" } else { "mono" });
    Ok(ear.finish(options, what, Vec::new()))
}

/// The format, and whether both channels carry the same (a mono recording saved as stereo).
fn survey_wav(path: &Path) -> Result<(wav::Format, bool), String> {
    let mut reader = wav::Reader::new();
    let mut frames = Vec::new();
    let (mut left, mut right, mut both) = (0f64, 0f64, 0f64);
    let mut sum = |frames: &[[i16; 2]]| {
        for [l, r] in frames {
            let (l, r) = (f64::from(*l), f64::from(*r));
            (left, right, both) = (left + l * l, right + r * r, both + l * r);
        }
    };
    let ended = pieces(path, |bytes| {
        frames.clear();
        reader.push(bytes, &mut frames).map_err(|e| e.to_string())?;
        match reader.format() {
            Some(f) if f.channels == 1 && !frames.is_empty() => Err(String::new()),
            _ => {
                sum(&frames);
                Ok(())
            }
        }
    });
    let format = match ended {
        Err(why) if !why.is_empty() => return Err(why),
        Ok(_) | Err(_) => match reader.format() {
            Some(f) => f,
            None => return Err(reader.finish(&mut frames).err().map_or_else(|| "no audio".into(), |e| e.to_string())),
        },
    };
    // What is left of one channel without its part that is a copy of the other: 1 % in a copy that went through a lossy codec. A side that
    // is only the other's echo is a copy too, but a quiet one.
    let residue = if left > 0.0 { right - both * both / left } else { right };
    let alike = format.channels > 1 && left > 0.0 && residue < 0.01 * right && (0.5..2.0).contains(&(right / left));
    Ok((format, alike))
}

fn coding_name(coding: wav::Coding) -> String {
    match coding {
        wav::Coding::Pcm8 => "PCM 8 bit".into(),
        wav::Coding::Pcm(n) => format!("PCM {} bit", 8 * u32::from(n)),
        wav::Coding::Float(n) => format!("float {} bit", 8 * u32::from(n)),
        wav::Coding::G711(g711::Law::Mu) => "mu-law".into(),
        wav::Coding::G711(g711::Law::A) => "A-law".into(),
        wav::Coding::ImaAdpcm => "IMA ADPCM".into(),
    }
}

fn read_bare(options: &Options, law: g711::Law) -> Result<Decoded, String> {
    let mut ear = Ear::new(options, 1, Direction::Unknown);
    let mut samples = vec![0; PIECE_BYTES];
    let cut = pieces(&options.file, |bytes| {
        let n = law.decode_block(bytes, &mut samples);
        ear.feed(0, &samples[..n]);
        Ok(())
    })?;
    cut.into_iter().for_each(|w| ear.warn(w));
    ear.warn("no header: read as G.711 at 8000 Hz, as --law says".into());
    Ok(ear.finish(options, "bare G.711".into(), Vec::new()))
}

fn read_pcap(options: &Options, srtp_keys: SrtpKeys) -> Result<Decoded, String> {
    let known = Known { srtp_keys, law: options.law.map(Into::into) };
    let mut survey = Survey::new(known);
    let mut reader = pcap::Reader::new();
    let cut = pieces(&options.file, |bytes| reader.push(bytes, &mut |d| survey.datagram(&d)).map_err(|e| e.to_string()))?;
    reader.finish().map_err(|e| e.to_string())?;
    if reader.packets() == 0 {
        return Err(match reader.take_warnings().first() {
            Some(why) => format!("no packet could be read: {why}"),
            None => "the capture has no packets".into(),
        });
    }
    let packets = reader.packets();
    let warnings = reader.take_warnings();
    let mut plan = survey.finish();
    match options.channel {
        Some(Channel::Left | Channel::Right) if plan.channels == 2 => {
            let kept = if options.channel == Some(Channel::Left) { Direction::Caller } else { Direction::Answerer };
            plan.streams.retain(|s| s.direction == kept);
            plan.t38.retain(|f| f.direction == kept);
            plan.streams.iter_mut().for_each(|s| s.channel = 0);
            (plan.channels, plan.direction) = (1, kept);
        }
        Some(_) => plan.warnings.push("--channel is not for this capture: its streams are told apart by their packets".into()),
        None => {}
    }
    let mut ear = Ear::new(options, plan.channels, plan.direction);
    let mut player = Player::new(&plan);
    let mut reader = pcap::Reader::new();
    pieces(&options.file, |bytes| reader.push(bytes, &mut |d| player.datagram(&d, &mut ear)).map_err(|e| e.to_string()))?;
    player.finish(&mut ear);
    warnings.into_iter().chain(cut).chain(plan.warnings.iter().cloned()).for_each(|w| ear.warn(w));
    let mut carried = Vec::new();
    for s in &plan.streams {
        carried.push(format!("RTP {:08x} {}", s.key.ssrc, s.direction.name()));
    }
    for f in &plan.t38 {
        carried.push(format!("T.38 from {} {}", f.source, f.direction.name()));
    }
    let what = format!("capture of {packets} packets: {}", if carried.is_empty() { "no phone call".into() } else { carried.join(", ") });
    let srtp = player.srtp();
    if plan.t38.is_empty() && !srtp.is_empty() && srtp.len() == plan.streams.len() && srtp.iter().all(|s| s.authenticated == 0) {
        return Err("no packet of its SRTP is authentic: the key is another's".into());
    }
    let mut decoded = ear.finish(options, what, srtp);
    decoded.report.seconds = decoded.report.seconds.max(plan.seconds.min(input::limits::CAPTURE_S_MAX));
    Ok(decoded)
}
