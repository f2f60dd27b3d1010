//! A whole fax call in virtual time, written down: what each leg's line said and which datagrams came, turn by turn.
//!
//! A leg has no chance in it, so playing the script to a fresh leg makes it do exactly the same work again, without the two fax machines.

use crate::clock::Instant;
use crate::fax::t38::relay::{T38Config, T38Leg};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tipring_dsp::page::chart::{Letter, Text};
use tipring_dsp::page::tiff;
use tipring_dsp::spandsp::terminal::{Terminal, TerminalConfig};
use tipring_dsp::{Frame, SILENCE};

/// A folder of this run, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it. `what` keeps several apart.
    pub fn new(what: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("tipring-bench-{}-{what}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Writes a page closely covered with text; returns its file.
    pub fn letter(&self, seed: u64) -> Result<PathBuf, String> {
        let page = Letter { text: Text::Dense, ..Letter::new(seed, 1, 1) }.draw().map_err(|e| format!("{e:?}"))?;
        let path = self.0.join(format!("letter-{seed}.tif"));
        std::fs::write(&path, tiff::write(&[page], tiff::Options::default())).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

/// What one leg met.
pub struct Script {
    config: T38Config,
    /// 20 ms of the line each.
    pub lines: Vec<Frame>,
    /// Datagrams before the tick of that turn.
    datagrams: Vec<Vec<Vec<u8>>>,
    from: SocketAddr,
    sent: u64,
}

/// Plain datagrams in order: one turn of delay.
const TURNS_MAX: u64 = 50 * 300;

/// A call of one closely written page with ECM at 14400 bit/s: the caller's leg, the called machine's leg.
pub fn record() -> Result<[Script; 2], String> {
    let scratch = Scratch::new("call")?;
    let address = |n: u8| SocketAddr::from(([192, 0, 2, n], 4000));
    let letter = scratch.letter(1)?;
    let machine = |calling: bool| {
        let (send_tiff, receive_tiff) = if calling { (Some(letter.clone()), None) } else { (None, Some(scratch.path().join("got.tif"))) };
        let ident = if calling { "2001" } else { "3001" }.into();
        Terminal::new(&TerminalConfig { calling, send_tiff, receive_tiff, ident, ..TerminalConfig::default() }).map_err(|e| e.to_string())
    };
    let mut machines = [machine(true)?, machine(false)?];
    let configs = [T38Config::without_a_call(address(2)), T38Config::without_a_call(address(1))];
    let leg = |config: &T38Config| T38Leg::new(config).map_err(|e| e.to_string());
    let mut legs = [leg(&configs[0])?, leg(&configs[1])?];
    let script = |i: usize| Script { config: configs[i], lines: Vec::new(), datagrams: Vec::new(), from: configs[i].remote, sent: 0 };
    let mut scripts = [script(0), script(1)];
    let mut wires: [Vec<Vec<u8>>; 2] = Default::default();
    for turn in 1..=TURNS_MAX {
        let now = Instant::from_ms(20 * turn);
        let mut next: [Vec<Vec<u8>>; 2] = Default::default();
        for side in 0..2 {
            let arrived = std::mem::take(&mut wires[side]);
            for datagram in &arrived {
                legs[side].from_net(now, scripts[side].from, datagram);
            }
            let (mut from_line, mut to_line) = (SILENCE, SILENCE);
            machines[side].tx(&mut from_line);
            legs[side].tick(now, &from_line, &mut to_line, &mut |_, bytes| next[1 - side].push(bytes.to_vec()));
            machines[side].rx(&to_line);
            scripts[side].lines.push(from_line);
            scripts[side].datagrams.push(arrived);
        }
        wires = next;
        if machines.iter().all(|m| !m.active()) {
            break;
        }
    }
    for (script, leg) in scripts.iter_mut().zip(&legs) {
        script.sent = leg.stats().datagrams_out;
    }
    machines.iter_mut().for_each(Terminal::hang_up);
    match machines[0].outcome() {
        Some(o) if o.ok() && o.pages_sent == 1 => Ok(scripts),
        o => Err(format!("the fax call to measure with failed: {}", o.map_or("no outcome", |o| o.text))),
    }
}

impl Script {
    /// A leg that has met nothing yet.
    pub fn leg(&self) -> Result<T38Leg, String> {
        T38Leg::new(&self.config).map_err(|e| e.to_string())
    }
    /// The same call with each datagram as `wrap` makes it; what it cannot make is left out.
    pub fn through(&self, wrap: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Script {
        let datagrams = self.datagrams.iter().map(|turn| turn.iter().filter_map(|d| wrap(d)).collect()).collect();
        Script { config: self.config, lines: self.lines.clone(), datagrams, from: self.from, sent: self.sent }
    }
    /// Plays the call to a fresh leg.
    pub fn play(&self, leg: &mut T38Leg) {
        let mut to_line = SILENCE;
        for (turn, (line, datagrams)) in self.lines.iter().zip(&self.datagrams).enumerate() {
            let now = Instant::from_ms(20 * (turn as u64 + 1));
            for datagram in datagrams {
                leg.from_net(now, self.from, datagram);
            }
            leg.tick(now, line, &mut to_line, &mut |_, bytes| {
                std::hint::black_box(bytes);
            });
        }
    }
    /// The leg did what it did in the call.
    pub fn agrees(&self, leg: &T38Leg) -> bool {
        leg.stats().datagrams_out == self.sent
    }
}
