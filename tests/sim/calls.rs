//! Calls between phones.

use crate::stage::*;
use tipring::lab::world::World;
use tipring_dsp::progress::ProgressTone;

/// A conversation 2001 -> 3001, both ways, hung up by the caller.
fn conversation(world: &mut World) -> (f64, f64) {
    world.dial(A, 0, "3001");
    rings(world, B, 0, 10_000);
    hears(world, A, 0, ProgressTone::Ringback, 6_000);
    world.lift(B, 0);
    world.run_ms(1_000);
    let there = says(world, (A, 0), (B, 0), 1, 2_000);
    let back = says(world, (B, 0), (A, 0), 2, 2_000);
    assert!(there.0 > 0.9 && back.0 > 0.9, "heard both ways: {there:?} {back:?}");
    world.hang_up(A, 0);
    (there.1, back.1)
}

#[test]
fn req_k6_c10_a_phone_dials_by_dtmf_the_far_phone_rings_and_both_hear_each_other() {
    let mut world = registered(two_offices(1));
    let (there_ms, back_ms) = conversation(&mut world);
    println!("mouth to ear: {there_ms:.2} ms there, {back_ms:.2} ms back");
    // Which gateway's turn comes how much later is chance: one direction's gain is the other's loss. Both lines and the network are 1 ms.
    assert!((there_ms + back_ms) / 2.0 < 70.0 + 1.0, "{there_ms} {back_ms}");
    assert!(there_ms < 80.0 && back_ms < 80.0, "{there_ms} {back_ms}");
    hears(&mut world, B, 0, ProgressTone::Reorder, 5_000);
    world.hang_up(B, 0);
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    assert!(a.completed && b.completed, "{a:?} {b:?}");
    assert_eq!((a.to.as_str(), a.route, a.result.as_str()), ("3001", "directory", "the caller hung up"));
    assert_eq!((b.from.as_str(), b.sip_call_id.as_str()), ("2001", a.sip_call_id.as_str()));
    comes_to_rest(&mut world);
}

#[test]
fn one_seed_sends_the_same_bytes_twice_and_another_seed_sends_others() {
    let run = |seed| {
        let mut world = registered(two_offices(seed));
        conversation(&mut world);
        world.run_ms(5_000);
        (world.fingerprint(), world.network().datagrams())
    };
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first.0, run(8).0);
    assert!(first.1 > 400, "{first:?}");
}
