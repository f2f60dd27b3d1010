//! What the scenes share: the usual two gateways, and what one says of a run.

use tipring::call::CallRecord;
use tipring::lab::hearing;
use tipring::lab::world::{GatewaySpec, PortSpec, World, WorldSpec};
use tipring_dsp::progress::ProgressTone;
use tipring_hw::Control;
use tipring_hw::sim::Happening;

pub const A: usize = 0;
pub const B: usize = 1;

/// Two gateways with two phones each: 2001 and 2002, 3001 and 3002.
pub fn two_offices(seed: u64) -> WorldSpec {
    WorldSpec::new(
        seed,
        vec![
            GatewaySpec::new("a", vec![PortSpec::phone("2001"), PortSpec::phone("2002")]),
            GatewaySpec::new("b", vec![PortSpec::phone("3001"), PortSpec::phone("3002")]),
        ],
    )
}

/// A world whose ports have all registered.
pub fn registered(spec: WorldSpec) -> World {
    let mut world = World::new(spec);
    let up = world.run_until(5_000, |w| (0..w.sites()).all(|s| w.site(s).registered() == w.site(s).spec().ports.len()));
    assert!(up, "everybody registers at start: {:?}", world.violation());
    world
}

pub fn noticed(world: &World, site: usize, port: u16, what: &Happening) -> bool {
    world.happenings(site, port).any(|(_, h)| h == what)
}

pub fn hears(world: &mut World, site: usize, port: u16, tone: ProgressTone, within_ms: u64) {
    let heard = world.run_until(within_ms, |w| noticed(w, site, port, &Happening::ToneStarted(tone)));
    assert!(heard, "{tone:?} is heard at site {site} port {port}: {}", story(world));
}

pub fn rings(world: &mut World, site: usize, port: u16, within_ms: u64) {
    let heard = world.run_until(within_ms, |w| noticed(w, site, port, &Happening::RingStarted));
    assert!(heard, "the phone at site {site} port {port} rings: {}", story(world));
}

/// Waits for the record of a site's `n`th call.
pub fn record(world: &mut World, site: usize, n: usize, within_ms: u64) -> CallRecord {
    let written = world.run_until(within_ms, |w| w.records(site).len() > n);
    assert!(written, "record {n} of site {site}: {}", story(world));
    world.records(site)[n].clone()
}

/// All phones down, time for SIP's last timers, and nothing is left.
pub fn comes_to_rest(world: &mut World) {
    for site in 0..world.sites() {
        for port in 0..world.site(site).spec().ports.len() as u16 {
            world.hang_up(site, port);
        }
    }
    let rests = world.run_until(120_000, |w| w.unrest().is_none());
    assert!(rests, "{:?}: {}", world.unrest(), story(world));
}

/// What happened, for a failed assertion.
pub fn story(world: &World) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for site in 0..world.sites() {
        let journal = world.journal(site);
        lines.extend(journal.logs.iter().map(|(at, l)| (at.as_us(), format!("site {site} {:?}: {}", l.call.map(|c| c.0), l.words))));
        lines.extend(journal.happenings.iter().map(|(at, p, e)| {
            let what = match &e.what {
                Happening::Recorded(samples) => format!("Recorded({})", samples.len()),
                other => format!("{other:?}"),
            };
            (at.as_us(), format!("site {site} {p}: {what}"))
        }));
    }
    lines.sort_by_key(|l| l.0);
    let skipped = lines.len().saturating_sub(80);
    lines.drain(20.min(skipped)..20.min(skipped) + skipped);
    let text: Vec<String> = lines.iter().map(|(us, l)| format!("  {:>9.3} {l}", *us as f64 / 1e6)).collect();
    format!("at {:?}, violation {:?}\n{}", world.now(), world.violation(), text.join("\n"))
}

/// One says something for `ms`, the other listens: how well it was heard, and how late, in milliseconds from mouth to ear.
pub fn says(world: &mut World, from: (usize, u16), to: (usize, u16), seed: u64, ms: u64) -> (f64, f64) {
    let said = hearing::speech(seed, ms as usize * 8);
    let before = (count(world, from, is_played), count(world, to, is_recorded));
    world.control(to.0, to.1, Control::RecordStart { samples_max: (ms as usize + 2000) * 8 });
    world.run_ms(100);
    world.control(from.0, from.1, Control::Play { samples: said.clone() });
    assert!(world.run_until(ms + 500, |w| count(w, from, is_played) > before.0), "{}", story(world));
    world.run_ms(600);
    world.control(to.0, to.1, Control::RecordStop);
    assert!(world.run_until(500, |w| count(w, to, is_recorded) > before.1), "{}", story(world));
    let (played_at, _) = world.happenings(from.0, from.1).filter(|(_, h)| is_played(h)).last().expect("waited for");
    let (recorded_at, heard) = world.happenings(to.0, to.1).filter(|(_, h)| is_recorded(h)).last().expect("waited for");
    let Happening::Recorded(heard) = heard else { unreachable!("filtered") };
    // The turn in which the last sample was said ends when it was said; so does the recording's last turn.
    let mouth_us = played_at.as_us() as f64 - said.len() as f64 * 125.0;
    let ear_us = recorded_at.as_us() as f64 - heard.len() as f64 * 125.0;
    let found = hearing::find(&said, heard, 6000);
    let delay_ms = (ear_us + found.lag as f64 * 125.0 - mouth_us) / 1000.0;
    (found.correlation, delay_ms)
}

fn count(world: &World, at: (usize, u16), which: fn(&Happening) -> bool) -> usize {
    world.happenings(at.0, at.1).filter(|(_, h)| which(h)).count()
}
fn is_played(h: &Happening) -> bool {
    matches!(h, Happening::Played)
}
fn is_recorded(h: &Happening) -> bool {
    matches!(h, Happening::Recorded(_))
}
