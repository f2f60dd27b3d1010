//! A thousand seeds of anything at any time over a network that loses, doubles and reorders: in the end nothing is left, every dialog
//! has said its last word exactly once, and the work done is bounded.

use super::*;
use std::collections::BTreeSet;

/// What one run came to, for the totals.
#[derive(Default)]
struct Totals {
    answered: u64,
    changed: u64,
    cancelled: u64,
    sent: u64,
}

fn flow(seed: u64, totals: &mut Totals) {
    let mut rng = Rng::new(seed ^ 0x5151);
    let link = Link {
        loss: [0.0, 0.05, 0.2, 0.5][rng.below(4) as usize],
        duplicate: [0.0, 0.1, 0.5][rng.below(3) as usize],
        delay_ms: rng.below(200),
        jitter_ms: [0, 50, 900][rng.below(3) as usize],
    };
    let mut w = World::new(link, seed);
    let mut open: [BTreeSet<DialogId>; 2] = Default::default();
    let mut closed: [BTreeSet<DialogId>; 2] = Default::default();
    let calls = 1 + rng.below(3);
    for _ in 0..calls {
        open[0].insert(w.call());
    }
    let steps = 10 + rng.below(60);
    for step in 0..steps + 2 {
        w.run_ms(rng.below(700));
        for n in 0..2 {
            for event in w.take(n) {
                let Some(id) = event.dialog() else { continue };
                assert!(!closed[n].contains(&id), "seed {seed}: {event:?} after the last word");
                match event {
                    Event::Incoming { .. } => drop(open[n].insert(id)),
                    Event::Answered { .. } => totals.answered += 1,
                    Event::ReInviteAnswered { .. } => totals.changed += 1,
                    Event::Ended { cause: EndCause::Cancelled, .. } => totals.cancelled += 1,
                    _ => {}
                }
                if event.is_last() {
                    assert!(open[n].remove(&id));
                    closed[n].insert(id);
                }
            }
        }
        if step >= steps {
            // The end of the day: everybody hangs up whatever there is.
            for n in 0..2 {
                for id in open[n].clone() {
                    let _ = w.ends[n].hangup(w.now, id, None);
                }
            }
            continue;
        }
        let n = rng.below(2) as usize;
        let Some(id) = open[n].iter().nth(rng.below(3) as usize).copied() else { continue };
        // Whatever fits or does not: a command in the wrong state is refused and changes nothing.
        let _ = match rng.below(12) {
            0 | 1 => w.ends[n].ringing(w.now, id),
            2..=4 => w.ends[n].answer(w.now, id, b"v=0 answer".to_vec()),
            5..=8 => w.ends[n].reinvite(w.now, id, b"v=0 again".to_vec()),
            9 => w.ends[n].reject(w.now, id, 488, None),
            _ if rng.chance(0.4) => w.ends[n].hangup(w.now, id, Some(16)),
            _ => Ok(()),
        };
    }
    w.run_ms(500_000);
    for n in 0..2 {
        for event in w.take(n) {
            let Some(id) = event.dialog() else { continue };
            if matches!(event, Event::Incoming { .. }) {
                open[n].insert(id);
            }
            assert!(!closed[n].contains(&id), "seed {seed}: {event:?} after the last word");
            if event.is_last() {
                assert!(open[n].remove(&id));
                closed[n].insert(id);
            }
        }
        assert!(open[n].is_empty(), "seed {seed}: end {n} never heard the end of {:?}", open[n]);
        assert_eq!(w.ends[n].alive(), Alive::default(), "seed {seed}");
        assert_eq!(w.ends[n].poll_timeout(), None);
        let counters = w.ends[n].counters();
        // 11 repeats a transaction at most, each doubled by the peer's; a few dozen transactions a run.
        assert!(counters.sent < 4_000 && counters.timers < 4_000, "seed {seed}: {counters:?}");
        totals.sent += counters.sent;
    }
}

#[test]
fn a_thousand_random_flows_over_a_bad_network_leave_nothing_behind() {
    let mut totals = Totals::default();
    for seed in 0..1_000 {
        flow(seed, &mut totals);
    }
    println!(
        "1000 flows: {} answered, {} re-INVITEs answered, {} cancelled, {} messages",
        totals.answered, totals.changed, totals.cancelled, totals.sent
    );
    assert!(totals.answered > 500 && totals.changed > 300 && totals.cancelled > 50, "the flows reach what they are for");
}

#[test]
fn the_same_seed_makes_the_same_flow() {
    let run = |seed| {
        let mut totals = Totals::default();
        flow(seed, &mut totals);
        (totals.sent, totals.answered)
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
}
