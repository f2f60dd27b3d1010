//! Addresses that change: while nothing happens, in the middle of a call, in the middle of a page; that go for an hour, or to somebody else.

use crate::registrations::contact;
use crate::stage::*;
use std::net::{IpAddr, Ipv4Addr};
use tipring::lab::netem::Params;
use tipring::lab::world::{DirectorySpec, GatewaySpec, PortSpec, World, WorldSpec, sip_address};
use tipring_dsp::progress::ProgressTone;
#[cfg(feature = "spandsp")]
use {crate::faxes::*, tipring::call::Direction, tipring_hw::Control};

/// What the directory must know of a change, in milliseconds from the kernel's word (C-10).
const REGISTERED_WITHIN_MS: u64 = 2_000;

/// An address that no site has at first.
fn other(last: u8) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::new(10, 0, 9, last)))
}

/// Two offices some way apart, on a network that also loses a little.
pub fn far_offices(seed: u64) -> WorldSpec {
    let mut spec = two_offices(seed);
    let ms = core::time::Duration::from_millis;
    spec.link = Params { loss: 0.005, delay: ms(1 + seed % 40), jitter: ms(seed % 7), ..spec.link };
    spec
}

/// 2001 calls 3001, who answers.
pub fn calls(world: &mut World) {
    world.forget_happenings();
    world.dial(A, 0, "3001");
    rings(world, B, 0, 10_000);
    world.lift(B, 0);
    world.run_ms(1_500);
}

/// Whole words are heard in both directions.
pub fn both_hear(world: &mut World, seed: u64) {
    for (from, to) in [(A, B), (B, A)] {
        let (heard, delay_ms) = says(world, (from, 0), (to, 0), seed + from as u64, 1_500);
        assert!(heard > 0.85 && delay_ms < 400.0, "{from} to {to}: {heard} after {delay_ms} ms: {}", story(world));
    }
}

pub fn hang_up(world: &mut World) {
    world.hang_up(A, 0);
    world.run_ms(1_000);
    world.hang_up(B, 0);
    world.run_ms(1_000);
}

fn is_known_elsewhere(world: &mut World, number: &str, site: usize) {
    let there = Some(world.site(site).sip_address());
    let known = world.run_until(REGISTERED_WITHIN_MS, |w| contact(w, number) == there);
    assert!(known, "{number} is known at {there:?}, not {:?}: {}", contact(world, number), story(world));
}

pub fn learned(world: &mut World, site: usize, number: &str) -> Option<std::net::SocketAddr> {
    let number = tipring::number::Number::parse(number).expect("digits");
    world.site(site).disk.get(&number).map(|route| route.contact)
}

#[test]
fn req_c4_c10_a8_a_gateway_that_got_another_address_is_found_there_by_the_next_call() {
    for seed in 1..=6 {
        let mut world = registered(far_offices(seed));
        calls(&mut world);
        hang_up(&mut world);
        assert_eq!(learned(&mut world, A, "3001"), Some(sip_address(B)));
        world.set_address(B, other(1));
        is_known_elsewhere(&mut world, "3001", B);
        assert_eq!(contact(&world, "3002"), contact(&world, "3001"), "all its numbers");
        // The caller's gateway knows nothing of it: its learned route leads to where nobody is.
        calls(&mut world);
        both_hear(&mut world, seed);
        assert_eq!(learned(&mut world, A, "3001"), Some(world.site(B).sip_address()));
        hang_up(&mut world);
        assert_eq!(record(&mut world, A, 1, 5_000).route, "directory");
        // And back the other way: 3001 calls 2001, whose gateway never moved.
        world.forget_happenings();
        world.dial(B, 0, "2001");
        rings(&mut world, A, 0, 10_000);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c10_a_talk_goes_on_when_either_end_gets_another_address() {
    for seed in 1..=6 {
        for moved in [A, B] {
            let mut world = registered(far_offices(seed));
            calls(&mut world);
            both_hear(&mut world, seed);
            world.set_address(moved, other(7));
            // DHCP's burst, the re-INVITE, one lost and repeated.
            world.run_ms(1_500);
            both_hear(&mut world, seed + 50);
            let said = "the peer knows our new address";
            assert!(world.journal(moved).logs.iter().any(|(_, l)| l.words == said), "{}", story(&world));
            is_known_elsewhere(&mut world, if moved == A { "2001" } else { "3001" }, moved);
            // Who called 3001 knows by the dialog where it is now, and does not have to ask.
            if moved == B {
                assert_eq!(learned(&mut world, A, "3001"), Some(world.site(B).sip_address()), "{}", story(&world));
            }
            hang_up(&mut world);
            for site in [A, B] {
                let call = record(&mut world, site, 0, 10_000);
                assert!(call.completed && call.result == "the caller hung up", "seed {seed}: {} {}", call.result, story(&world));
            }
            calls(&mut world);
            hang_up(&mut world);
            comes_to_rest(&mut world);
        }
    }
}

#[test]
fn req_c10_both_ends_of_a_talk_may_move_one_after_the_other_and_again() {
    for seed in 1..=4 {
        let mut world = registered(far_offices(seed));
        calls(&mut world);
        for (n, moved) in [B, A, B, B, A].into_iter().enumerate() {
            world.set_address(moved, other(20 + n as u8));
            world.run_ms(1_500);
        }
        both_hear(&mut world, seed);
        // A burst that changes its mind in the middle of what it says.
        for n in 0..4 {
            world.set_address(B, other(40 + n));
            world.run_ms(130);
        }
        world.run_ms(3_000);
        both_hear(&mut world, seed + 10);
        hang_up(&mut world);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c10_a_bell_that_rings_is_answered_though_the_caller_or_the_called_moved_meanwhile() {
    for seed in 1..=4 {
        for moved in [A, B] {
            let mut world = registered(two_offices(seed));
            world.dial(A, 0, "3001");
            rings(&mut world, B, 0, 10_000);
            world.run_ms(300 * seed);
            world.set_address(moved, other(3));
            // To the person at the bell it is one ringing, whoever rings.
            world.run_ms(8_000);
            let stopped = noticed(&world, B, 0, &tipring_hw::sim::Happening::RingStopped);
            let state = world.site(B).gateway().map(|g| g.ports()[0].state);
            assert!(!stopped && state == Some("ringing"), "{state:?} {}", story(&world));
            world.lift(B, 0);
            world.run_ms(2_000);
            both_hear(&mut world, seed);
            hang_up(&mut world);
            comes_to_rest(&mut world);
        }
    }
}

#[cfg(feature = "spandsp")]
#[test]
fn req_c10_a_page_under_way_by_t38_arrives_though_either_gateway_moves() {
    for (seed, moved, ecm) in [(31, A, true), (32, B, true), (33, B, true), (34, A, true)] {
        let tray = Tray::new(&format!("moves{seed}"));
        let pages = letters(seed, 1);
        let mut spec = fax_offices(seed, &tray, ecm);
        spec.link = Params { delay: core::time::Duration::from_millis(seed % 20), ..spec.link };
        let mut world = registered(spec);
        let tiff = tray.put("sent.tif", &pages);
        world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
        let port = tipring::id::PortId(1);
        assert!(world.run_until(60_000, |w| w.site(A).gateway().is_some_and(|g| g.is_t38(port))), "{}", story(&world));
        // Into the page: training and DCS take some seconds, the page some more.
        world.run_ms(9_000 + 700 * (seed % 3));
        world.set_address(moved, other(5));
        let sent = report(&mut world, A, 300_000);
        let received = report(&mut world, B, 20_000);
        assert!(sent.ok && received.ok, "seed {seed}: {sent:?} {received:?} {}", story(&world));
        assert_identical(&pages, &received);
        let (a, b) = (record(&mut world, A, 0, 20_000), record(&mut world, B, 0, 20_000));
        assert!(a.completed && b.completed && b.direction == Direction::Incoming, "{} {}", a.result, b.result);
        let there = world.journal(if moved == A { B } else { A }).logs.iter();
        assert!(there.clone().any(|(_, l)| l.words.starts_with("the peer's fax goes on at 10.0.9.5")), "{}", story(&world));
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c4_c10_a_cable_that_was_out_for_an_hour_ends_leases_and_when_it_is_back_all_is_found_at_once() {
    for (seed, out_s) in [(1, 3_600), (2, 300), (3, 400)] {
        let mut world = registered(far_offices(seed));
        let home = world.site(B).address();
        world.set_address(B, None);
        world.run_ms(30_000);
        assert!(contact(&world, "3001").is_some(), "the lease runs on");
        world.run_ms(out_s * 1_000 - 30_000);
        assert_eq!(contact(&world, "3001"), None, "the leases have ended");
        world.dial(A, 0, "3001");
        hears(&mut world, A, 0, ProgressTone::Reorder, 30_000);
        assert_eq!(record(&mut world, A, 0, 30_000).result, "nobody is registered for this number now");
        world.hang_up(A, 0);
        world.run_ms(2_000);
        world.set_address(B, home);
        is_known_elsewhere(&mut world, "3001", B);
        is_known_elsewhere(&mut world, "3002", B);
        calls(&mut world);
        both_hear(&mut world, seed);
        hang_up(&mut world);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c10_a_cable_that_is_out_for_some_seconds_ends_no_call() {
    for seed in 1..=4 {
        for back_at_another in [false, true] {
            let mut world = registered(far_offices(seed));
            calls(&mut world);
            let home = world.site(B).address();
            world.set_address(B, None);
            world.run_ms(4_000 + 2_000 * seed);
            // A DHCP server that gives the same lease again, or a new one.
            world.set_address(B, if back_at_another { other(9) } else { home });
            world.run_ms(2_000);
            both_hear(&mut world, seed);
            is_known_elsewhere(&mut world, "3001", B);
            hang_up(&mut world);
            comes_to_rest(&mut world);
        }
    }
}

#[test]
fn req_c4_a8_an_address_that_another_gateway_has_taken_does_not_answer_for_the_old_ones_numbers() {
    for seed in 1..=6 {
        let mut spec = far_offices(seed);
        spec.gateways.push(GatewaySpec::new("c", vec![PortSpec::phone("4001")]));
        spec.directory = Some(DirectorySpec { lease_s: 60, ..DirectorySpec::default() });
        let mut world = registered(spec);
        calls(&mut world);
        hang_up(&mut world);
        let old = world.site(B).address();
        // B gets another lease, and C the one that B had.
        world.set_address(B, other(1));
        world.run_ms(50);
        world.set_address(2, old);
        is_known_elsewhere(&mut world, "3001", B);
        is_known_elsewhere(&mut world, "4001", 2);
        assert_eq!(learned(&mut world, A, "3001").map(|at| at.ip()), old, "the caller's gateway believes what it learned");
        world.forget_happenings();
        world.dial(A, 0, "3001");
        rings(&mut world, B, 0, 10_000);
        assert!(!noticed(&world, 2, 0, &tipring_hw::sim::Happening::RingStarted), "C has no such number: {}", story(&world));
        world.lift(B, 0);
        world.run_ms(1_500);
        both_hear(&mut world, seed);
        assert_eq!(learned(&mut world, A, "3001"), Some(world.site(B).sip_address()));
        hang_up(&mut world);
        // C is called at the address that was B's.
        world.dial(A, 0, "4001");
        rings(&mut world, 2, 0, 10_000);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c4_a_wall_clock_that_jumps_by_a_day_ends_no_lease_and_no_call() {
    const DAY_MS: i64 = 86_400_000;
    for seed in 1..=2 {
        for jumps in [[DAY_MS, -2 * DAY_MS], [-DAY_MS, 2 * DAY_MS]] {
            let mut world = registered(far_offices(seed));
            calls(&mut world);
            for by in jumps {
                world.jump_wall(by);
                for _ in 0..12 {
                    world.run_ms(10_000);
                    assert!(contact(&world, "3001").is_some() && contact(&world, "2002").is_some(), "{}", story(&world));
                }
            }
            both_hear(&mut world, seed);
            // A lease still ends, and by its own time, not the calendar's.
            world.kill(B);
            world.jump_wall(-DAY_MS);
            world.run_ms(62_000);
            assert_eq!(contact(&world, "3001"), None);
        }
    }
}

/// The control: a gateway that does not hear of its changes is not found, cannot be hung up on, and finishes no page.
#[test]
fn without_the_kernels_word_the_scenes_above_fail() {
    let deaf = |mut spec: WorldSpec| {
        spec.gateways[B].hears_of_changes = false;
        spec
    };
    let mut world = registered(deaf(far_offices(1)));
    world.set_address(B, other(1));
    world.run_ms(REGISTERED_WITHIN_MS);
    assert_eq!(contact(&world, "3001"), Some(sip_address(B)), "idle: known where it was");

    let mut world = registered(deaf(far_offices(1)));
    calls(&mut world);
    world.set_address(B, other(7));
    world.run_ms(1_500);
    world.hang_up(A, 0);
    world.run_ms(10_000);
    assert_eq!(world.records(B).len(), 0, "talking: the BYE goes to where it was");

    let mut world = registered(deaf(far_offices(2)));
    let home = world.site(B).address();
    world.set_address(B, None);
    world.run_ms(400_000);
    world.set_address(B, home);
    world.run_ms(REGISTERED_WITHIN_MS);
    assert_eq!(contact(&world, "3001"), None, "the cable: it waits for its back-off");
}

#[cfg(feature = "spandsp")]
#[test]
fn without_the_kernels_word_a_page_under_way_does_not_arrive() {
    let tray = Tray::new("moves-not");
    let pages = letters(33, 1);
    let mut spec = fax_offices(33, &tray, true);
    spec.gateways[B].hears_of_changes = false;
    let mut world = registered(spec);
    let tiff = tray.put("sent.tif", &pages);
    world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
    let port = tipring::id::PortId(1);
    assert!(world.run_until(60_000, |w| w.site(A).gateway().is_some_and(|g| g.is_t38(port))), "{}", story(&world));
    world.run_ms(9_000);
    world.set_address(B, other(5));
    assert!(!report(&mut world, A, 300_000).ok);
}
