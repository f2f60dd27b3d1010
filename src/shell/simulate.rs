//! Simulated ports of a running gateway: what is plugged in, what `tipring sim` does to it, and what it noticed.

use super::clock;
use crate::api::gateway::{SimAction, SimNote};
use crate::config::gateway::{GatewayConfig, PortKind};
use crate::id::PortId;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use tipring_dsp::line_model::LineParams;
use tipring_dsp::page::{Page, tiff};
use tipring_dsp::progress::ProgressTone;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::Port;
use tipring_hw::sim::{Control, ControlError, FaxDirection, FaxReport, Happening, Phone, SimEvent, SimPort};
use tipring_hw::wav::{self, Coding};

/// Notes kept per port; older ones are forgotten.
const NOTES_MAX: usize = 256;
/// Longest recording of one call, and longest speech into it: what a simulated phone takes.
const RECORD_SECONDS_MAX: usize = 600;
/// Largest file that is read, and all pages of one fax together: an hour of PCM16, or some two thousand dense pages.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Faxes that may wait at one machine, as many as it takes in: so that it never has to refuse one.
const FAXES_WAITING_MAX: usize = 32;
/// Digits of one turn at a dial that a simulated phone takes.
const PULSE_DIGITS_MAX: usize = 40;

/// Builds the simulated machines of a configuration, each behind a line of a house.
pub fn ports(config: &GatewayConfig, state: &Path) -> Result<Vec<Box<dyn Port>>, String> {
    let plan = TonePlan::of(&config.line.country).ok_or_else(|| format!("no tone plan for {}", config.line.country))?;
    let seed = clock::seed();
    let mut ports: Vec<Box<dyn Port>> = Vec::with_capacity(config.ports.len());
    for (i, port) in config.ports.iter().enumerate() {
        let seed = seed.wrapping_add(i as u64);
        ports.push(match port.kind {
            PortKind::SimPhone => {
                let mut line = SimPort::new(Phone::new(plan), LineParams::HOUSE, seed);
                if port.answer_rings > 0 {
                    let control = Control::AutoAnswer { after_rings: Some(port.answer_rings) };
                    line.control(control).map_err(|e| format!("{}: {e}", port.name))?;
                }
                Box::new(line)
            }
            PortKind::SimFax => fax_port(port, plan, state, seed)?,
        });
    }
    Ok(ports)
}

#[cfg(feature = "spandsp")]
fn fax_port(port: &crate::config::gateway::Port, plan: &'static TonePlan, state: &Path, seed: u64) -> Result<Box<dyn Port>, String> {
    use tipring_hw::sim::fax::{FaxMachine, FaxSettings};
    let folder = received_folder(state, &port.name);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let settings = FaxSettings {
        plan,
        ident: port.number.clone().unwrap_or_else(|| port.name.clone()),
        ecm: port.ecm,
        max_bps: port.max_bps,
        answer_after_rings: (port.answer_rings > 0).then_some(port.answer_rings),
        receive_into: Some(folder),
        name: port.name.clone(),
    };
    Ok(Box::new(SimPort::new(FaxMachine::new(settings), LineParams::HOUSE, seed)))
}

#[cfg(not(feature = "spandsp"))]
fn fax_port(port: &crate::config::gateway::Port, _: &'static TonePlan, _: &Path, _: u64) -> Result<Box<dyn Port>, String> {
    Err(format!("{}: a simulated fax machine needs the Cargo feature `spandsp`", port.name))
}

/// Where a simulated fax machine puts what it receives.
pub fn received_folder(state: &Path, port: &str) -> PathBuf {
    state.join("received").join(port)
}

/// A command of `tipring sim`, checked and with its files read: nothing is left to do that could block the daemon.
pub struct Prepared {
    control: Control,
    record_into: Option<PathBuf>,
    fax: Option<OutboxFile>,
}

/// Pages on their way to a fax machine; the file is gone when nobody needs it any more.
struct OutboxFile(PathBuf);

impl Drop for OutboxFile {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _left = std::fs::remove_file(&self.0);
    }
}

/// The folder of pages on their way, made if need be, and emptied of what an earlier run left.
pub fn outbox(state: &Path) -> Result<PathBuf, String> {
    let folder = state.join("outbox");
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|x| x == "tif") {
            std::fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(folder)
}

/// Checks a command for a machine and reads its files. Blocks as files do; what is wrong is told in words.
pub fn prepare(kind: PortKind, action: SimAction, outbox: &Path) -> Result<Prepared, String> {
    suits(kind, &action)?;
    let (mut record_into, mut fax) = (None, None);
    let control = match action {
        SimAction::OffHook => Control::OffHook,
        SimAction::OnHook => Control::OnHook,
        SimAction::Flash => Control::Flash { ms: 300 },
        SimAction::Dial { digits, pulse: false } => {
            keys(&digits, "0123456789*#ABCD", tipring_dsp::dtmf::DIGITS_MAX)?;
            Control::Dial { keys: digits, on_ms: 80, off_ms: 80 }
        }
        SimAction::Dial { digits, pulse: true } => {
            keys(&digits, "0123456789", PULSE_DIGITS_MAX)?;
            Control::PulseDial { digits, pulses_per_second: 10, break_percent: 60 }
        }
        SimAction::Play { file } => {
            let samples = read_wav(Path::new(&file))?;
            if samples.len() > RECORD_SECONDS_MAX * tipring_dsp::SAMPLE_RATE_HZ as usize {
                return Err(format!("{file}: longer than {RECORD_SECONDS_MAX} s"));
            }
            Control::Play { samples }
        }
        SimAction::Record { file } => {
            let file = PathBuf::from(file);
            recordable(&file)?;
            record_into = Some(file);
            Control::RecordStart { samples_max: RECORD_SECONDS_MAX * tipring_dsp::SAMPLE_RATE_HZ as usize }
        }
        SimAction::StopRecording => Control::RecordStop,
        SimAction::SendFax { number, pages } => {
            keys(&number, "0123456789*#", tipring_dsp::dtmf::DIGITS_MAX)?;
            let bound = bind_pages(&read_pages(&pages)?, outbox)?;
            let tiff = bound.0.clone();
            fax = Some(bound);
            Control::SendFax { number, tiff }
        }
        SimAction::FetchFax { number } => {
            keys(&number, "0123456789*#", tipring_dsp::dtmf::DIGITS_MAX)?;
            Control::FetchFax { number }
        }
        SimAction::Receive { dir } => {
            std::fs::create_dir_all(&dir).map_err(|e| format!("{dir}: {e}"))?;
            Control::ReceiveInto { folder: PathBuf::from(dir) }
        }
    };
    Ok(Prepared { control, record_into, fax })
}

/// Whether a machine of this kind has what the command wants to use.
fn suits(kind: PortKind, action: &SimAction) -> Result<(), String> {
    let (what, wanted) = match action {
        // A fax machine's start and stop keys.
        SimAction::OffHook | SimAction::OnHook => return Ok(()),
        SimAction::Flash => ("flash", PortKind::SimPhone),
        SimAction::Dial { .. } => ("dial", PortKind::SimPhone),
        SimAction::Play { .. } => ("play", PortKind::SimPhone),
        SimAction::Record { .. } => ("record", PortKind::SimPhone),
        SimAction::StopRecording => ("stop-recording", PortKind::SimPhone),
        SimAction::SendFax { .. } => ("send-fax", PortKind::SimFax),
        SimAction::FetchFax { .. } => ("fetch-fax", PortKind::SimFax),
        SimAction::Receive { .. } => ("receive", PortKind::SimFax),
    };
    if kind == wanted { Ok(()) } else { Err(format!("{what} needs a {}; this port is a {}", wanted.word(), kind.word())) }
}

/// Whether these can be dialled.
fn keys(typed: &str, there_are: &str, most: usize) -> Result<(), String> {
    if typed.is_empty() {
        return Err("there is no key to press".into());
    }
    if let Some(wrong) = typed.chars().find(|c| !there_are.contains(*c)) {
        return Err(format!("{typed:?}: no key is called {wrong:?}; there are {there_are}"));
    }
    if typed.len() > most {
        return Err(format!("{} keys at a time are too many; {most} are possible", typed.len()));
    }
    Ok(())
}

/// Reads a regular file of at most [`FILE_BYTES_MAX`]. A pipe or a device is refused instead of waited for.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let too_large = || format!("{}: larger than {} MB", path.display(), FILE_BYTES_MAX >> 20);
    // Without O_NONBLOCK the open itself waits for the writer of a pipe.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{}: not a regular file", path.display()));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // It may grow while it is read.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

/// Reads speech for a phone.
pub fn read_wav(path: &Path) -> Result<Vec<i16>, String> {
    wav::parse(&read_file(path)?).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads the pages to send. Anything that is no bilevel TIFF of a fax page's width is refused here, before the call.
pub fn read_pages(files: &[String]) -> Result<Vec<Page>, String> {
    let (mut pages, mut bytes_read) = (Vec::new(), 0);
    for file in files {
        let bytes = read_file(Path::new(file))?;
        bytes_read += bytes.len() as u64;
        if bytes_read > FILE_BYTES_MAX {
            return Err(format!("{file}: with it the pages are larger than {} MB", FILE_BYTES_MAX >> 20));
        }
        let read = tiff::read_all(&bytes).map_err(|e| format!("{file}: {e}"))?;
        for (i, page) in read.into_iter().enumerate() {
            if page.bad_rows > 0 {
                return Err(format!("{file}: page {} has {} rows that cannot be decoded", i + 1, page.bad_rows));
            }
            if !matches!(page.page.columns(), 1728 | 2048 | 2432) {
                return Err(format!("{file}: page {} is {} pels wide; a fax page is 1728, 2048 or 2432", i + 1, page.page.columns()));
            }
            pages.push(page.page);
        }
    }
    if pages.is_empty() { Err("there is no page to send".into()) } else { Ok(pages) }
}

/// Puts the pages in one file for the machine, readable by the daemon's user only.
fn bind_pages(pages: &[Page], outbox: &Path) -> Result<OutboxFile, String> {
    let path = outbox.join(format!("{:016x}.tif", clock::seed()));
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    let bound = OutboxFile(path.clone());
    file.write_all(&tiff::write(pages, tiff::Options::default())).map_err(failed)?;
    Ok(bound)
}

/// Whether a recording can be written there: a new file in a folder that exists, or in the place of an earlier recording.
fn recordable(path: &Path) -> Result<(), String> {
    match earlier_recording(path)? {
        Some(_) => Ok(()),
        None => match path.parent() {
            Some(folder) if !folder.is_dir() => Err(format!("{}: there is no folder {}", path.display(), folder.display())),
            _ => Ok(()),
        },
    }
}

/// The WAV (or empty) file that stands there, opened to be written over; `None` if nothing does. Anything else stays as it is.
fn earlier_recording(path: &Path) -> Result<Option<File>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{}: not a regular file", path.display()));
    }
    let mut head = [0; 4];
    if metadata.len() > 0 && (file.read_exact(&mut head).is_err() || head != *b"RIFF") {
        return Err(format!("{}: stands there already and is no WAV file; a recording does not replace it", path.display()));
    }
    Ok(Some(file))
}

/// Writes a recording.
fn write_wav(path: &Path, samples: &[i16]) -> Result<(), String> {
    use std::io::Seek as _;
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = match earlier_recording(path)? {
        Some(mut file) => {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
            file
        }
        None => OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?,
    };
    file.write_all(&wav::emit(samples, Coding::Pcm16)).map_err(failed)
}

/// What the simulated machines told, per port, and the files that recordings go to.
pub struct Notes {
    ports: Vec<PortNotes>,
    /// Recordings are written beside the daemon; how that went comes back here.
    written: (mpsc::Sender<Written>, mpsc::Receiver<Written>),
}

struct Written {
    port: PortId,
    detail: String,
    ok: bool,
}

#[derive(Default)]
struct PortNotes {
    next: u64,
    notes: VecDeque<SimNote>,
    record_into: Option<PathBuf>,
    /// As far as it is known: a command on its way counts.
    off_hook: bool,
    /// Faxes that the machine has taken in and not yet told the end of, in order.
    faxes: VecDeque<OutboxFile>,
}

impl Notes {
    /// Empty notes for `ports` ports.
    pub fn new(ports: usize) -> Self {
        Notes { ports: (0..ports).map(|_| PortNotes { next: 1, ..PortNotes::default() }).collect(), written: mpsc::channel() }
    }

    /// Takes a command's part that the machine does not need, and gives the rest for it; or why it cannot be done as things are now.
    pub fn order(&mut self, port: PortId, prepared: Prepared) -> Result<Control, String> {
        let p = self.ports.get_mut(usize::from(port.0)).ok_or("there is no such port")?;
        let Prepared { control, record_into, fax } = prepared;
        match &control {
            Control::OffHook => p.off_hook = true,
            Control::OnHook => p.off_hook = false,
            Control::Dial { .. } | Control::PulseDial { .. } | Control::Flash { .. } if !p.off_hook => {
                return Err("the receiver is on the hook".into());
            }
            Control::RecordStop if p.record_into.is_none() => return Err("nothing is being recorded".into()),
            Control::SendFax { .. } if p.faxes.len() >= FAXES_WAITING_MAX => {
                return Err(format!("{FAXES_WAITING_MAX} faxes wait at this machine already"));
            }
            _ => {}
        }
        if record_into.is_some() {
            p.record_into = record_into;
        }
        p.faxes.extend(fax);
        Ok(control)
    }

    /// Notes of a port after number `after`.
    pub fn after(&mut self, port: PortId, after: u64) -> Vec<SimNote> {
        while let Ok(Written { port, detail, ok }) = self.written.1.try_recv() {
            if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
                p.push("recorded", detail, Some(ok));
            }
        }
        self.ports.get(usize::from(port.0)).map_or_else(Vec::new, |p| p.notes.iter().filter(|n| n.seq > after).cloned().collect())
    }

    /// Takes what a machine told. Recordings are written to their file, pages that were sent are dropped.
    pub fn take(&mut self, port: PortId, event: &SimEvent) {
        let Some(p) = self.ports.get_mut(usize::from(port.0)) else { return };
        match &event.what {
            Happening::OffHook => p.off_hook = true,
            Happening::OnHook => p.off_hook = false,
            Happening::FaxDone(FaxReport { direction: FaxDirection::Sent, file: Some(file), .. }) => p.faxes.retain(|f| f.0 != *file),
            _ => {}
        }
        let (what, detail, ok) = match &event.what {
            Happening::OffHook => ("off-hook", String::new(), None),
            Happening::OnHook => ("on-hook", String::new(), None),
            Happening::RingStarted => ("ringing", String::new(), None),
            Happening::RingStopped => ("ringing-stopped", String::new(), None),
            Happening::ToneStarted(tone) => (tone_word(*tone), "started".into(), None),
            Happening::ToneStopped(tone) => (tone_word(*tone), "stopped".into(), None),
            Happening::Dialled => ("dialled", String::new(), None),
            Happening::NoTone(tone) => ("no-tone", tone_word(*tone).into(), Some(false)),
            Happening::Played => ("played", String::new(), None),
            Happening::Recorded(samples) => match p.record_into.take() {
                Some(file) => return write_beside(self.written.0.clone(), port, file, samples.clone()),
                None => ("recorded", "nobody said where to write it".into(), Some(false)),
            },
            Happening::FaxDone(report) => fax_note(report),
        };
        p.push(what, detail, ok);
    }

    /// The machine refused what it was asked to do.
    pub fn refused(&mut self, port: PortId, why: ControlError) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
            // Busy is a fax machine that was lifted in vain: it cannot be full, see `order`. Any other refusal is of what came last.
            if why != ControlError::Busy {
                p.faxes.pop_back();
            }
            p.push("refused", why.to_string(), Some(false));
        }
    }
}

impl PortNotes {
    fn push(&mut self, what: &str, detail: String, ok: Option<bool>) {
        let note = SimNote { seq: self.next, at: clock::rfc3339(clock::wall()), what: what.into(), detail, ok };
        self.next += 1;
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }
}

/// Writes a recording without holding the daemon up.
fn write_beside(written: mpsc::Sender<Written>, port: PortId, file: PathBuf, samples: Vec<i16>) {
    tokio::task::spawn_blocking(move || {
        let (detail, ok) = match write_wav(&file, &samples) {
            Ok(()) => (file.display().to_string(), true),
            Err(why) => (why, false),
        };
        // A daemon that has ended asks for no notes.
        let _nobody_asks = written.send(Written { port, detail, ok });
    });
}

fn fax_note(report: &FaxReport) -> (&'static str, String, Option<bool>) {
    let what = match report.direction {
        FaxDirection::Sent => "fax-sent",
        FaxDirection::Received => "fax-received",
    };
    let file = report.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
    let words = format!("{} pages, {} bit/s{}, {}; {file}", report.pages, report.bps, if report.ecm { ", ECM" } else { "" }, report.text);
    (what, words, Some(report.ok))
}

fn tone_word(tone: ProgressTone) -> &'static str {
    match tone {
        ProgressTone::Dial => "dial-tone",
        ProgressTone::Ringback => "ringback",
        ProgressTone::Busy => "busy-tone",
        ProgressTone::Reorder => "reorder-tone",
    }
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
