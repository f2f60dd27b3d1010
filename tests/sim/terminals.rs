//! One number on two gateways: both ring and one talks, or one after the other rings.

use crate::stage::*;
use std::time::Duration;
use tipring::directory::Ring;
use tipring::lab::netem::Params;
use tipring::lab::world::{DirectorySpec, GatewaySpec, PortSpec, World, WorldSpec, sip_address};
use tipring::number::Number;
use tipring_dsp::progress::ProgressTone;
use tipring_hw::sim::Happening;

/// The gateway beside B that has its number, too.
const C: usize = 2;
/// What an unanswered call rings in these scenes, in ms.
const NO_ANSWER_MS: u64 = 50_000;
/// A bell has its pauses: for so long a phone cannot know that it will not go on, in ms.
const PAUSE_MS: u64 = 9_000;

/// Who calls at A; 3001 at B and at C, which came last and so is the first that is called in order. The network loses a little.
fn shared(seed: u64, ring: Ring) -> World {
    let gateway =
        |name, number: &'static str| GatewaySpec { no_answer_ms: NO_ANSWER_MS, ..GatewaySpec::new(name, vec![PortSpec::phone(number)]) };
    let also_3001 = GatewaySpec { account_of: Some(1), ..gateway("c", "3001") };
    let mut spec = WorldSpec::new(seed, vec![gateway("a", "2001"), gateway("b", "3001"), also_3001]);
    spec.link = Params { loss: 0.05, delay: Duration::from_millis(1 + seed % 30), jitter: Duration::from_millis(seed % 5), ..spec.link };
    spec.directory = Some(DirectorySpec { ring: vec![("3001", ring)], ..DirectorySpec::default() });
    registered(spec)
}

fn has_rung(world: &World, site: usize) -> bool {
    noticed(world, site, 0, &Happening::RingStarted)
}
fn rings_now(world: &World, site: usize) -> bool {
    let bell = |h: &&Happening| matches!(h, Happening::RingStarted | Happening::RingStopped);
    world.happenings(site, 0).map(|(_, h)| h).filter(bell).last() == Some(&Happening::RingStarted)
}
/// The called site `at` hears A, and A hears it: over a network that has recovered, for it is not the speech that is tried here.
fn talk(world: &mut World, at: usize, seed: u64) {
    world.set_links(A, at, Params { delay: Duration::from_millis(5), ..Params::default() });
    for (from, to) in [(A, at), (at, A)] {
        let (heard, _) = says(world, (from, 0), (to, 0), seed + from as u64, 1_500);
        assert!(heard > 0.7, "seed {seed}: {from} to {to}: {heard}: {}", story(world));
    }
}
/// The bell of a site does not ring, nor begin again.
fn is_quiet(world: &mut World, site: usize, for_ms: u64) {
    world.run_ms(PAUSE_MS);
    let begins = |w: &World| w.happenings(site, 0).filter(|(_, h)| **h == Happening::RingStarted).count();
    let before = begins(world);
    world.run_ms(for_ms);
    assert!(!rings_now(world, site) && begins(world) == before, "site {site} is quiet: {}", story(world));
}
fn calls_up(world: &mut World, site: usize) -> usize {
    world.site(site).calls().iter().filter(|c| c.state == "up").count()
}

#[test]
fn all_terminals_of_a_number_ring_and_the_one_that_answers_talks_alone() {
    for seed in 1..=6 {
        let mut world = shared(seed, Ring::All);
        world.dial(A, 0, "3001");
        assert!(world.run_until(12_000, |w| has_rung(w, B) && has_rung(w, C)), "seed {seed}: both ring: {}", story(&world));
        hears(&mut world, A, 0, ProgressTone::Ringback, 5_000);
        let (answers, other) = if seed % 2 == 0 { (B, C) } else { (C, B) };
        world.lift(answers, 0);
        world.run_ms(3_500);
        is_quiet(&mut world, other, 3_000);
        talk(&mut world, answers, seed);
        assert_eq!([calls_up(&mut world, A), calls_up(&mut world, answers), calls_up(&mut world, other)], [1, 1, 0], "{}", story(&world));
        // the one that answered is what is known without the directory.
        let number = Number::parse("3001").expect("digits");
        assert_eq!(world.site(A).disk.get(&number).map(|r| (r.contact, r.several)), Some((sip_address(answers), true)));
        world.hang_up(A, 0);
        let call = record(&mut world, A, 0, 10_000);
        assert!(call.completed && call.peer == Some(sip_address(answers)), "seed {seed}: {call:?}");
        let missed = record(&mut world, other, 0, 10_000);
        assert!(missed.answered.is_none(), "seed {seed}: {missed:?}");
        comes_to_rest(&mut world);
    }
}

#[test]
fn a_number_whose_newest_terminal_rings_leaves_the_other_alone() {
    // The control of the scene above: it is the setting that makes both ring.
    let mut world = shared(11, Ring::Newest);
    world.dial(A, 0, "3001");
    world.run_until(12_000, |w| has_rung(w, B) || has_rung(w, C));
    world.run_ms(4_000);
    assert!(has_rung(&world, B) != has_rung(&world, C), "{}", story(&world));
    comes_to_rest(&mut world);
}

#[test]
fn two_answers_that_cross_leave_one_talk_and_one_caller_told_that_it_is_over() {
    let mut crossed = 0;
    for seed in 21..=30 {
        let mut world = shared(seed, Ring::All);
        world.dial(A, 0, "3001");
        assert!(world.run_until(12_000, |w| has_rung(w, B) && has_rung(w, C)), "seed {seed}: {}", story(&world));
        world.lift(B, 0);
        world.lift(C, 0);
        world.run_ms(6_000);
        crossed += usize::from([B, C].iter().all(|s| world.journal(*s).logs.iter().any(|(_, l)| l.words.starts_with("answered"))));
        assert_eq!(calls_up(&mut world, A), 1, "seed {seed}: {}", story(&world));
        let up: Vec<usize> = [B, C].into_iter().filter(|s| calls_up(&mut world, *s) == 1).collect();
        assert_eq!(up.len(), 1, "seed {seed}: exactly one talks: {}", story(&world));
        talk(&mut world, up[0], seed);
        world.hang_up(A, 0);
        comes_to_rest(&mut world);
    }
    assert!(crossed >= 5, "both lines were answered in {crossed} of 10 scenes: the scene shows nothing otherwise");
}

#[test]
fn who_gives_up_while_all_ring_stops_every_bell() {
    for seed in 41..=46 {
        let mut world = shared(seed, Ring::All);
        world.dial(A, 0, "3001");
        let wait_ms = 600 + seed * 137 % 4_000;
        world.run_ms(3_000 + wait_ms);
        world.hang_up(A, 0);
        world.run_ms(5_000);
        for site in [B, C] {
            is_quiet(&mut world, site, 3_000);
        }
        assert_eq!(record(&mut world, A, 0, 40_000).result, "the caller gave up before the answer", "seed {seed}");
        comes_to_rest(&mut world);
    }
}

#[test]
fn all_fail_only_when_the_last_of_them_has() {
    for seed in 51..=54 {
        let mut world = shared(seed, Ring::All);
        // One is busy at once, the other's gateway is gone: the call goes on for as long as one may still answer, and then says the better word.
        world.lift(B, 0);
        world.run_ms(500);
        world.dial(A, 0, "3001");
        assert!(world.run_until(12_000, |w| has_rung(w, C)), "seed {seed}: {}", story(&world));
        world.run_ms(5_000);
        assert!(rings_now(&world, C), "seed {seed}: the busy one ends nothing: {}", story(&world));
        world.kill(C);
        hears(&mut world, A, 0, ProgressTone::Reorder, NO_ANSWER_MS + 20_000);
        comes_to_rest(&mut world);

        let mut world = shared(seed + 100, Ring::All);
        world.lift(B, 0);
        world.lift(C, 0);
        world.run_ms(500);
        world.dial(A, 0, "3001");
        hears(&mut world, A, 0, ProgressTone::Busy, 15_000);
        assert_eq!(record(&mut world, A, 0, 10_000).result, "the called line is busy");
        comes_to_rest(&mut world);
    }
}

#[test]
fn in_order_the_next_rings_when_the_first_is_busy_dead_or_rang_for_its_share() {
    for seed in 61..=66 {
        let mut world = shared(seed, Ring::InOrder);
        world.dial(A, 0, "3001");
        let first_rings = world.run_until(12_000, |w| has_rung(w, B) || has_rung(w, C));
        assert!(first_rings, "seed {seed}: {}", story(&world));
        let (first, second) = if has_rung(&world, B) { (B, C) } else { (C, B) };
        world.run_ms(NO_ANSWER_MS / 2 - 4_000);
        assert!(rings_now(&world, first) && !has_rung(&world, second), "seed {seed}: one at a time: {}", story(&world));
        assert!(world.run_until(9_000, |w| has_rung(w, second)), "seed {seed}: its share is over: {}", story(&world));
        is_quiet(&mut world, first, 2_000);
        world.lift(second, 0);
        world.run_ms(3_000);
        talk(&mut world, second, seed);
        world.hang_up(A, 0);
        comes_to_rest(&mut world);

        // Busy: at once. Dead: after some seconds, not after SIP's 32.
        for dead in [false, true] {
            let mut world = shared(seed, Ring::InOrder);
            if dead {
                world.kill(first);
            } else {
                world.lift(first, 0);
            }
            world.run_ms(500);
            world.dial(A, 0, "3001");
            let within_ms = if dead { 10_000 } else { 7_000 };
            assert!(world.run_until(within_ms, |w| has_rung(w, second)), "seed {seed}, dead {dead}: {}", story(&world));
            world.lift(second, 0);
            world.run_ms(3_000);
            talk(&mut world, second, seed);
            world.hang_up(A, 0);
            comes_to_rest(&mut world);
        }
    }
}

#[test]
fn req_a1_a8_the_terminal_that_answered_is_called_when_the_directory_is_gone() {
    let mut world = shared(71, Ring::All);
    world.dial(A, 0, "3001");
    assert!(world.run_until(12_000, |w| has_rung(w, B) && has_rung(w, C)), "{}", story(&world));
    world.lift(C, 0);
    world.run_ms(3_000);
    world.hang_up(A, 0);
    world.run_ms(1_000);
    world.hang_up(C, 0);
    world.run_ms(2_000);
    world.kill_directory();
    world.forget_happenings();
    world.dial(A, 0, "3001");
    assert!(world.run_until(12_000, |w| has_rung(w, C)), "{}", story(&world));
    assert!(!has_rung(&world, B));
    world.lift(C, 0);
    world.run_ms(3_000);
    talk(&mut world, C, 71);
    world.hang_up(A, 0);
    assert_eq!(record(&mut world, A, 1, 5_000).route, "learned");
    comes_to_rest(&mut world);
}

#[test]
fn an_address_that_changes_while_all_ring_calls_them_again() {
    for seed in 81..=83 {
        let mut world = shared(seed, Ring::All);
        world.dial(A, 0, "3001");
        assert!(world.run_until(12_000, |w| has_rung(w, B) && has_rung(w, C)), "seed {seed}: {}", story(&world));
        world.set_address(A, Some(std::net::IpAddr::from([10, 0, 9, 7])));
        world.run_ms(PAUSE_MS + 1_000);
        let ringing: Vec<usize> = [B, C].into_iter().filter(|s| rings_now(&world, *s)).collect();
        assert!(!ringing.is_empty(), "seed {seed}: {}", story(&world));
        world.lift(ringing[0], 0);
        world.run_ms(3_000);
        talk(&mut world, ringing[0], seed);
        world.hang_up(A, 0);
        comes_to_rest(&mut world);
    }
}
