//! `tipring lab takeover`: a peer's address is given to another gateway (DHCP), which has the same number, and the next fax goes there.
//!
//! The oldest way for a page to reach the wrong machine: A has learned that 3003 is at an address; B, whose number it is, gets another one; a
//! gateway C that knows nothing of the house's directory, but has a 3003 of its own, gets B's. A's fax machine sends its page. Each seed draws
//! how bad the network is, who is restarted when, and what C can do. The page must reach B, without a person, and C must get nothing.
//!
//! With the check switched off (`--check off`) the same seeds show that the scene is a real one: then pages arrive at C.

use super::fax::Tray;
use super::netem::Params;
use super::world::{FaxSpec, GatewaySpec, PortSpec, SecuritySpec, World, WorldSpec};
use crate::clock::{Rng, ms};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use tipring_dsp::page::{self, Page, tiff};
use tipring_hw::Control;
use tipring_hw::sim::{FaxReport, Happening};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const NUMBER: &str = "3003";
/// A fax machine tries so often by itself before it calls for a person.
const TRIES: usize = 4;
/// Between two tries, in milliseconds.
const PAUSE_MS: u64 = 20_000;
const CALL_MAX_MS: u64 = 10 * 60_000;

/// What came of the seeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakeoverOutcome {
    /// Seeds run.
    pub runs: u32,
    /// In which a page, or part of one, reached the wrong machine.
    pub leaks: u32,
    /// In which the page reached the right one, pel for pel.
    pub delivered: u32,
    /// In which A's gateway saw that somebody else is there, and sent nothing.
    pub suppressed: u32,
    /// One sentence a seed that leaked or did not deliver.
    pub failures: Vec<String>,
}

/// Runs `runs` seeds from `first`. `check`: whether A looks who is there.
pub fn run(page: &Page, first: u64, runs: u32, check: bool, tray: &mut dyn Tray) -> io::Result<TakeoverOutcome> {
    let document = tray.put(&tiff::write(core::slice::from_ref(page), tiff::Options::default()))?;
    let mut outcome = TakeoverOutcome::default();
    for seed in (first..).take(runs as usize) {
        let (mut world, chaos) = scene(seed, check, tray);
        let found = one(&mut world, chaos, page, &document, tray)?;
        outcome.runs += 1;
        outcome.leaks += u32::from(found.leaked);
        outcome.delivered += u32::from(found.delivered);
        outcome.suppressed += u32::from(found.suppressed);
        if found.leaked || !found.delivered {
            let record = world.records(A).last().map_or_else(String::new, |r| r.result.clone());
            let why = world.violation().map_or(record, str::to_owned);
            let what = if found.leaked { "a page reached the wrong machine" } else { "the page did not arrive" };
            outcome.failures.push(format!("seed {seed}: {what}; {why}"));
        }
    }
    Ok(outcome)
}

/// What a seed draws beside the world.
struct Chaos {
    rng: Rng,
    /// Who is restarted during the second fax, and how long after it began, in milliseconds.
    restart: Option<(usize, u64)>,
    /// A is restarted between the faxes: what it knows is on disk.
    forgetful: bool,
    /// The directory is down while the second fax begins, for so long, in milliseconds.
    directory_down_ms: u64,
}

#[derive(Default)]
struct Found {
    leaked: bool,
    delivered: bool,
    suppressed: bool,
}

fn scene(seed: u64, check: bool, tray: &dyn Tray) -> (World, Chaos) {
    let mut rng = Rng::new(seed ^ 0x0074_616b_656f_7665);
    let fax = |wanted: bool| FaxSpec { ecm: wanted, max_bps: 14_400, receive_into: Some(tray.folder()) };
    let mut office = |name, number| {
        let mut gateway = GatewaySpec::new(name, vec![PortSpec::fax(number, fax(rng.below(2) == 0))]);
        gateway.security = SecuritySpec::USUAL;
        gateway
    };
    let (mut a, b, mut c) = (office("a", "2003"), office("b", NUMBER), office("c", NUMBER));
    if !check {
        a.security = SecuritySpec::CHECK_IS_OFF;
    }
    c.standalone = true;
    // Some gateways have no keys, and some no T.38.
    c.security.has_key = rng.below(8) != 0;
    if rng.below(4) == 0 {
        c.media.t38 = None;
    }
    let mut spec = WorldSpec::new(seed, vec![a, b, c]);
    spec.link = Params { loss: rng.below(40) as f64 / 1000.0, delay: ms(1 + rng.below(60)), jitter: ms(rng.below(15)), ..spec.link };
    let restart = match rng.below(4) {
        0 => Some((rng.below(3) as usize, rng.below(40_000))),
        _ => None,
    };
    let forgetful = rng.below(4) == 0;
    let directory_down_ms = if rng.below(4) == 0 { rng.below(20_000) } else { 0 };
    (World::new(spec), Chaos { restart, forgetful, directory_down_ms, rng })
}

fn one(world: &mut World, mut chaos: Chaos, page: &Page, document: &Path, tray: &mut dyn Tray) -> io::Result<Found> {
    let mut found = Found::default();
    world.run_until(20_000, |w| w.site(A).registered() == 1 && w.site(B).registered() == 1);
    // The first fax, by which A learns where 3003 is and which key is there.
    for _ in 0..TRIES {
        if send(world, document, None, 0) {
            break;
        }
        world.run_ms(PAUSE_MS);
    }
    drain(world, B, tray)?;
    drain(world, C, tray)?;
    world.forget_happenings();
    let old = world.site(B).address();
    let host = |last: u64| Some(IpAddr::V4(Ipv4Addr::new(10, 0, 9, last as u8)));
    let fresh = host(1 + chaos.rng.below(200));
    world.set_address(B, fresh);
    world.set_address(C, old);
    if chaos.forgetful {
        world.kill(A);
        world.run_ms(1_000);
        world.start(A);
    }
    world.run_ms(3_000 + chaos.rng.below(5_000));
    if chaos.directory_down_ms > 0 {
        world.kill_directory();
    }
    for n in 0..TRIES {
        let restart = chaos.restart.filter(|_| n == 0);
        let sent = send(world, document, restart, if n == 0 { chaos.directory_down_ms } else { 0 });
        // What came in at the wrong place counts whether the sender knows of it or not.
        found.leaked |= received(world, C).is_some_and(|r| r.pages > 0) | !drain(world, C, tray)?.is_empty();
        let arrived = drain(world, B, tray)?;
        found.delivered |= arrived.iter().any(|p| page::compare(page, p).is_none());
        if sent || found.delivered {
            break;
        }
        world.forget_happenings();
        world.run_ms(PAUSE_MS);
    }
    found.suppressed = world.records(A).iter().any(|r| r.suspicion.is_some())
        || world.journal(A).logs.iter().any(|(_, l)| l.words.contains("is not cleared"));
    Ok(found)
}

/// One try of A's machine; true if it believes that the page arrived.
fn send(world: &mut World, document: &Path, restart: Option<(usize, u64)>, directory_down_ms: u64) -> bool {
    world.control(A, 0, Control::SendFax { number: NUMBER.into(), tiff: document.to_owned() });
    let begun = world.now();
    let mut restart = restart;
    let mut directory_is_down = directory_down_ms > 0;
    world.run_until(CALL_MAX_MS, |w| {
        let past_ms = w.now().ms_since(begun);
        if let Some((who, _)) = restart.filter(|(_, at)| past_ms >= *at) {
            restart = None;
            w.kill(who);
            w.start(who);
        }
        if directory_is_down && past_ms >= directory_down_ms {
            directory_is_down = false;
            w.start_directory();
        }
        sent(w).is_some()
    });
    if directory_is_down {
        world.start_directory();
    }
    // The other end's last words.
    world.run_ms(15_000);
    sent(world).is_some_and(|r| r.ok)
}

fn sent(world: &World) -> Option<FaxReport> {
    received(world, A)
}

fn received(world: &World, site: usize) -> Option<FaxReport> {
    let done = |h: &Happening| match h {
        Happening::FaxDone(report) => Some(report.clone()),
        _ => None,
    };
    world.happenings(site, 0).filter_map(|(_, h)| done(h)).last()
}

/// The pages that a machine has put out so far.
fn drain(world: &World, site: usize, tray: &mut dyn Tray) -> io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let files = world.happenings(site, 0).filter_map(|(_, h)| match h {
        Happening::FaxDone(report) => report.file.clone(),
        _ => None,
    });
    for file in files.collect::<Vec<_>>() {
        if let Ok(bytes) = tray.take(&file) {
            pages.extend(tiff::read_all(&bytes).map(|all| all.into_iter().map(|p| p.page).collect::<Vec<_>>()).unwrap_or_default());
        }
    }
    Ok(pages)
}
