//! Simulated ports of a running gateway: what is plugged in, what `tipring sim` does to it, and what it noticed.

use super::clock;
use crate::api::gateway::{SimAction, SimNote};
use crate::config::gateway::{GatewayConfig, PortKind};
use crate::id::PortId;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tipring_dsp::line_model::LineParams;
use tipring_dsp::progress::ProgressTone;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::Port;
use tipring_hw::sim::{Control, ControlError, FaxDirection, FaxReport, Happening, Phone, SimEvent, SimPort};
use tipring_hw::wav::{self, Coding};

/// Notes kept per port; older ones are forgotten.
const NOTES_MAX: usize = 256;
/// Longest recording of one call.
const RECORD_SECONDS_MAX: usize = 600;

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

/// A command of `tipring sim` for a machine. Files are read here; what is wrong with them is told in words.
pub fn controls(action: SimAction) -> Result<Vec<Control>, String> {
    Ok(vec![match action {
        SimAction::OffHook => Control::OffHook,
        SimAction::OnHook => Control::OnHook,
        SimAction::Flash => Control::Flash { ms: 300 },
        SimAction::Dial { digits, pulse: false } => Control::Dial { keys: digits, on_ms: 80, off_ms: 80 },
        SimAction::Dial { digits, pulse: true } => Control::PulseDial { digits, pulses_per_second: 10, break_percent: 60 },
        SimAction::Play { file } => Control::Play { samples: read_wav(Path::new(&file))? },
        SimAction::Record { .. } => Control::RecordStart { samples_max: RECORD_SECONDS_MAX * tipring_dsp::SAMPLE_RATE_HZ as usize },
        SimAction::StopRecording => Control::RecordStop,
        SimAction::SendFax { number, pages } => Control::SendFax { number, tiff: bind_pages(&pages)? },
        SimAction::Receive { dir } => {
            std::fs::create_dir_all(&dir).map_err(|e| format!("{dir}: {e}"))?;
            Control::ReceiveInto { folder: PathBuf::from(dir) }
        }
    }])
}

/// Reads speech for a phone.
pub fn read_wav(path: &Path) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    wav::parse(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads the pages to send and puts them in one file for the machine. Anything that is no bilevel TIFF is refused here, before the call.
pub fn bind_pages(files: &[String]) -> Result<PathBuf, String> {
    let mut pages = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
        let read = tipring_dsp::page::tiff::read_all(&bytes).map_err(|e| format!("{file}: {e}"))?;
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
    if pages.is_empty() {
        return Err("there is no page to send".into());
    }
    let bound = std::env::temp_dir().join(format!("tipring-fax-{}-{:016x}.tif", std::process::id(), clock::seed()));
    let options = tipring_dsp::page::tiff::Options::default();
    std::fs::write(&bound, tipring_dsp::page::tiff::write(&pages, options)).map_err(|e| format!("{}: {e}", bound.display()))?;
    Ok(bound)
}

/// What the simulated machines told, per port, and the files that recordings go to.
pub struct Notes {
    ports: Vec<PortNotes>,
}

#[derive(Default)]
struct PortNotes {
    next: u64,
    notes: VecDeque<SimNote>,
    record_into: Option<PathBuf>,
}

impl Notes {
    /// Empty notes for `ports` ports.
    pub fn new(ports: usize) -> Self {
        Notes { ports: (0..ports).map(|_| PortNotes { next: 1, ..PortNotes::default() }).collect() }
    }

    /// Where the next recording of this port goes.
    pub fn record_into(&mut self, port: PortId, file: PathBuf) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
            p.record_into = Some(file);
        }
    }

    /// Notes of a port after number `after`.
    pub fn after(&self, port: PortId, after: u64) -> Vec<SimNote> {
        self.ports.get(usize::from(port.0)).map_or_else(Vec::new, |p| p.notes.iter().filter(|n| n.seq > after).cloned().collect())
    }

    /// Takes what a machine told; recordings are written to their file.
    pub fn take(&mut self, port: PortId, event: &SimEvent) {
        let Some(p) = self.ports.get_mut(usize::from(port.0)) else { return };
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
            Happening::Recorded(samples) => recorded(p.record_into.take(), samples),
            Happening::FaxDone(report) => fax_note(report),
        };
        p.push(what, detail, ok);
    }

    /// The machine refused what it was asked to do.
    pub fn refused(&mut self, port: PortId, why: ControlError) {
        if let Some(p) = self.ports.get_mut(usize::from(port.0)) {
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

fn recorded(file: Option<PathBuf>, samples: &[i16]) -> (&'static str, String, Option<bool>) {
    let Some(file) = file else { return ("recorded", "nobody said where to write it".into(), Some(false)) };
    match std::fs::write(&file, wav::emit(samples, Coding::Pcm16)) {
        Ok(()) => ("recorded", file.display().to_string(), Some(true)),
        Err(e) => ("recorded", format!("{}: {e}", file.display()), Some(false)),
    }
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
