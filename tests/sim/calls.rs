//! Calls between phones.

use crate::stage::*;
use tipring::lab::world::{EmergencySpec, GatewaySpec, PortSpec, World, WorldSpec, sip_address};
use tipring_dsp::progress::ProgressTone;
use tipring_hw::Control;
use tipring_hw::sim::Happening;

/// A conversation 2001 -> 3001, both ways, hung up by the caller.
fn conversation(world: &mut World) -> (f64, f64) {
    world.forget_happenings();
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
    // Inside the two boxes; both lines and the network are 1 ms.
    assert!(there_ms < 70.0 + 1.0 && back_ms < 70.0 + 1.0, "{there_ms} {back_ms}");
    hears(&mut world, B, 0, ProgressTone::Reorder, 5_000);
    world.hang_up(B, 0);
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    assert!(a.completed && b.completed, "{a:?} {b:?}");
    assert_eq!((a.to.as_str(), a.route, a.result.as_str()), ("3001", "directory", "the caller hung up"));
    assert_eq!((b.from.as_str(), b.sip_call_id.as_str()), ("2001", a.sip_call_id.as_str()));
    comes_to_rest(&mut world);
}

/// A gateway that was never called before rings a small office's every bell: its calls are as good as those of eight strangers.
#[test]
fn an_office_calls_another_with_all_its_telephones_at_once() {
    let phones = |numbers: [&'static str; 8]| numbers.into_iter().map(PortSpec::phone).collect();
    let a = GatewaySpec::new("a", phones(["2001", "2002", "2003", "2004", "2005", "2006", "2007", "2008"]));
    let b = GatewaySpec::new("b", phones(["3001", "3002", "3003", "3004", "3005", "3006", "3007", "3008"]));
    let spec = WorldSpec::new(21, vec![a, b]);
    let mut world = registered(spec);
    for port in 0..8 {
        world.dial(A, port, &(3001 + port).to_string());
    }
    for port in 0..8 {
        rings(&mut world, B, port, 12_000);
    }
    for port in 0..8 {
        world.lift(B, port);
    }
    world.run_ms(2_000);
    for port in 0..8 {
        world.hang_up(A, port);
        world.hang_up(B, port);
    }
    for n in 0..8 {
        let b = record(&mut world, B, n, 5_000);
        assert!(b.completed, "{b:?}");
    }
    comes_to_rest(&mut world);
}

#[test]
fn datagrams_stamped_on_arrival_save_most_of_a_frame_of_delay() {
    let mean_ms = |stamped: bool| {
        let delays = (1..=4).map(|seed| {
            let mut spec = two_offices(seed);
            spec.gateways.iter_mut().for_each(|g| g.receive_timestamps = stamped);
            let (there, back) = conversation(&mut registered(spec));
            println!("seed {seed}, stamps {stamped}: {there:.1} ms there, {back:.1} ms back");
            assert!(!stamped || there.max(back) < 70.0 + 1.0, "seed {seed}: {there} {back}");
            there + back
        });
        delays.sum::<f64>() / 8.0
    };
    let (without, with) = (mean_ms(false), mean_ms(true));
    println!("mouth to ear, mean: {without:.1} ms, with arrival stamps {with:.1} ms");
    assert!(with < without - 5.0, "{with} {without}");
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

/// Dials 3001 from 2001 and has it answered.
fn connect(world: &mut World) {
    world.dial(A, 0, "3001");
    rings(world, B, 0, 10_000);
    world.lift(B, 0);
    let up = world.run_until(5_000, |w| {
        let up = |w: &mut World, site| w.site(site).gateway().is_some_and(|g| g.calls().iter().any(|c| c.state == "up"));
        up(w, A) && up(w, B)
    });
    assert!(up, "{}", story(world));
}

#[test]
fn req_k4_c9_a3_the_first_call_asks_the_directory_and_the_answer_is_kept_on_disk() {
    let mut world = registered(two_offices(2));
    assert!(world.site(A).disk.is_empty());
    conversation(&mut world);
    assert_eq!(record(&mut world, A, 0, 5_000).route, "directory");
    let (number, route) = world.site(A).disk.iter().next().map(|(n, r)| (n.to_string(), r.contact)).expect("learned");
    assert_eq!((number.as_str(), route), ("3001", sip_address(B)));
}

#[test]
fn req_a2_the_second_call_goes_straight_to_the_peer_with_the_directory_dead_and_the_gateway_restarted() {
    let mut world = registered(two_offices(3));
    conversation(&mut world);
    record(&mut world, A, 0, 5_000);
    world.hang_up(B, 0);
    world.kill_directory();
    world.run_ms(1_000);
    conversation(&mut world);
    let second = record(&mut world, A, 1, 5_000);
    assert_eq!((second.route, second.completed), ("learned", true));
    world.hang_up(B, 0);
    world.run_ms(1_000);
    world.kill(A);
    world.run_ms(1_000);
    world.start(A);
    world.run_ms(1_000);
    conversation(&mut world);
    let third = record(&mut world, A, 2, 5_000);
    assert_eq!((third.route, third.completed), ("learned", true), "the table was on disk");
    comes_to_rest(&mut world);
}

#[test]
fn req_a8_a_learned_route_to_where_the_number_was_is_corrected_by_the_directory() {
    // Once the old place says 404, once it is silent.
    for dead in [false, true] {
        let mut spec = two_offices(4);
        spec.gateways.push(GatewaySpec::new("c", vec![PortSpec::phone("4001")]));
        let mut world = registered(spec);
        world.site(A).learn("4001", sip_address(B));
        if dead {
            world.kill(B);
        }
        world.dial(A, 0, "4001");
        rings(&mut world, 2, 0, 60_000);
        world.lift(2, 0);
        world.run_ms(1_000);
        let (heard, _) = says(&mut world, (A, 0), (2, 0), 3, 1_000);
        assert!(heard > 0.9, "{heard}");
        world.hang_up(A, 0);
        let call = record(&mut world, A, 0, 5_000);
        assert_eq!((call.route, call.completed, call.peer), ("directory", true, Some(sip_address(2))), "{}", story(&world));
        let corrected: Vec<_> = world.site(A).disk.values().map(|r| r.contact).collect();
        assert_eq!(corrected, [sip_address(2)]);
        comes_to_rest(&mut world);
    }
}

#[test]
fn an_unknown_number_ends_in_reorder_tone() {
    let mut world = registered(two_offices(5));
    world.dial(A, 0, "7777");
    hears(&mut world, A, 0, ProgressTone::Reorder, 15_000);
    world.hang_up(A, 0);
    let call = record(&mut world, A, 0, 5_000);
    assert_eq!((call.completed, call.q850, call.result.as_str()), (false, 1, "no such number"));
    comes_to_rest(&mut world);
}

#[test]
fn a_number_whose_gateway_is_gone_ends_in_reorder_tone_and_says_so() {
    let mut world = registered(two_offices(6));
    world.shut_down(B);
    assert!(world.run_until(5_000, |w| !w.site(B).is_up()), "{}", story(&world));
    world.dial(A, 0, "3001");
    hears(&mut world, A, 0, ProgressTone::Reorder, 15_000);
    assert_eq!(record(&mut world, A, 0, 5_000).result, "nobody is registered for this number now");
    comes_to_rest(&mut world);
}

#[test]
fn a_busy_phone_is_heard_as_busy_whether_far_or_near() {
    for (busy, number) in [((B, 0), "3001"), ((A, 1), "2002")] {
        let mut world = registered(two_offices(8));
        world.lift(busy.0, busy.1);
        world.run_ms(500);
        world.dial(A, 0, number);
        hears(&mut world, A, 0, ProgressTone::Busy, 15_000);
        let call = record(&mut world, A, 0, 5_000);
        assert_eq!((call.q850, call.completed), (17, false), "{call:?}");
        comes_to_rest(&mut world);
    }
}

#[test]
fn a_caller_who_gives_up_stops_the_bell() {
    let mut world = registered(two_offices(9));
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 10_000);
    world.run_ms(3_000);
    world.hang_up(A, 0);
    let quiet = world.run_until(12_000, |w| noticed(w, B, 0, &Happening::RingStopped));
    assert!(quiet, "{}", story(&world));
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    assert_eq!((a.result.as_str(), b.result.as_str()), ("the caller gave up before the answer", "the caller gave up before the answer"));
    comes_to_rest(&mut world);
}

#[test]
fn a_phone_lifted_in_the_moment_it_is_called_is_busy_or_answers_and_nothing_hangs() {
    for late_ms in (0..200).step_by(10) {
        let mut world = registered(two_offices(10));
        world.dial(A, 0, "3001");
        let dialled = world.run_until(10_000, |w| noticed(w, A, 0, &Happening::Dialled));
        assert!(dialled);
        world.run_ms(late_ms);
        world.lift(B, 0);
        world.run_ms(3_000);
        world.hang_up(A, 0);
        let a = record(&mut world, A, 0, 5_000);
        assert!(a.q850 == 17 || a.answered.is_some() || a.q850 == 16, "{late_ms}: {a:?}");
        comes_to_rest(&mut world);
    }
}

#[test]
fn nobody_answers() {
    let mut spec = two_offices(11);
    spec.gateways[B].no_answer_ms = 10_000;
    let mut world = registered(spec);
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 10_000);
    hears(&mut world, A, 0, ProgressTone::Reorder, 30_000);
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    assert_eq!((a.completed, a.result.as_str(), b.result.as_str()), (false, "it rang, nobody answered", "it rang, nobody answered"));
    comes_to_rest(&mut world);
}

#[test]
fn a_learned_place_that_rang_in_vain_is_not_rung_a_second_time() {
    let mut spec = two_offices(19);
    spec.gateways[B].no_answer_ms = 10_000;
    let mut world = registered(spec);
    world.site(A).learn("3001", sip_address(B));
    world.dial(A, 0, "3001");
    let a = record(&mut world, A, 0, 30_000);
    assert_eq!((a.route, a.result.as_str()), ("learned", "it rang, nobody answered"));
    world.run_ms(10_000);
    assert_eq!(world.records(B).len(), 1, "{}", story(&world));
    assert_eq!(world.site(A).disk.len(), 1, "the route was right");
    comes_to_rest(&mut world);
}

#[test]
fn the_echo_service_answers_9000_with_ones_own_voice() {
    let mut world = registered(two_offices(12));
    world.dial(A, 0, "9000");
    world.run_ms(4_000);
    let (heard, delay_ms) = says(&mut world, (A, 0), (A, 0), 5, 2_000);
    assert!(heard > 0.9, "{heard} {}", story(&world));
    assert!((10.0..150.0).contains(&delay_ms), "{delay_ms}");
    world.hang_up(A, 0);
    assert_eq!(record(&mut world, A, 0, 5_000).route, "service");
    comes_to_rest(&mut world);
}

#[test]
fn a_call_between_two_ports_of_one_gateway_needs_no_network() {
    let mut world = registered(two_offices(13));
    world.kill_directory();
    let before = world.network().datagrams();
    world.dial(A, 0, "2002");
    rings(&mut world, A, 1, 10_000);
    world.lift(A, 1);
    world.run_ms(1_000);
    let (there, _) = says(&mut world, (A, 0), (A, 1), 6, 1_500);
    let (back, delay_ms) = says(&mut world, (A, 1), (A, 0), 7, 1_500);
    assert!(there > 0.9 && back > 0.9 && delay_ms < 65.0, "{there} {back} {delay_ms}");
    world.hang_up(A, 1);
    let call = record(&mut world, A, 0, 5_000);
    assert_eq!((call.route, call.result.as_str(), call.completed), ("port", "the called side hung up", true));
    assert_eq!(world.network().datagrams(), before);
    comes_to_rest(&mut world);
}

#[test]
fn an_emergency_call_takes_a_busy_line_and_room_in_a_full_table_and_is_never_learned() {
    let mut spec = two_offices(14);
    // Emergency calls of A go to its own second port, which is in a call; the table is full with that.
    spec.gateways[A].emergency = vec![EmergencySpec::Port(1)];
    spec.gateways[A].calls_max = 1;
    let mut world = registered(spec);
    world.dial(A, 1, "3002");
    rings(&mut world, B, 1, 10_000);
    world.lift(B, 1);
    world.run_ms(1_000);
    world.dial(A, 0, "999");
    let preempted = record(&mut world, A, 0, 15_000);
    assert_eq!(preempted.result, "ended to make room for an emergency call");
    hears(&mut world, A, 1, ProgressTone::Reorder, 5_000);
    world.hang_up(A, 1);
    rings(&mut world, A, 1, 10_000);
    world.lift(A, 1);
    world.run_ms(1_000);
    let (heard, _) = says(&mut world, (A, 0), (A, 1), 8, 1_000);
    assert!(heard > 0.9, "{heard} {}", story(&world));
    world.hang_up(A, 0);
    let call = record(&mut world, A, 1, 5_000);
    assert_eq!((call.route, call.completed), ("emergency", true));
    assert!(world.site(A).disk.keys().all(|n| n.as_str() != "999"));
    comes_to_rest(&mut world);
}

#[test]
fn an_emergency_call_from_the_target_itself_goes_to_the_second_target_and_two_do_not_end_each_other() {
    let mut spec = two_offices(19);
    spec.gateways[A].ports.push(PortSpec::phone("2003"));
    spec.gateways[A].emergency = vec![EmergencySpec::Port(0), EmergencySpec::Port(1)];
    let mut world = registered(spec);
    world.dial(A, 0, "999");
    rings(&mut world, A, 1, 10_000);
    world.lift(A, 1);
    world.run_ms(1_000);
    // Both targets are in that call now: a third caller hears busy, and the first two go on talking.
    world.dial(A, 2, "999");
    hears(&mut world, A, 2, ProgressTone::Busy, 15_000);
    let (heard, _) = says(&mut world, (A, 0), (A, 1), 8, 1_000);
    assert!(heard > 0.9, "{heard} {}", story(&world));
    world.hang_up(A, 2);
    world.hang_up(A, 0);
    let calls = [record(&mut world, A, 0, 5_000), record(&mut world, A, 1, 5_000)];
    assert!(calls.iter().all(|c| c.result != "ended to make room for an emergency call"), "{calls:?}");
    comes_to_rest(&mut world);
}

#[test]
fn an_emergency_call_to_a_peer_goes_out_with_the_directory_dead() {
    let mut spec = two_offices(15);
    spec.gateways[A].emergency = vec![EmergencySpec::Site(B)];
    // At B the number is a port's.
    spec.gateways[B].ports.push(PortSpec::phone("999"));
    spec.directory = None;
    let mut world = World::new(spec);
    world.dial(A, 0, "999");
    rings(&mut world, B, 2, 10_000);
    world.lift(B, 2);
    world.run_ms(500);
    world.hang_up(A, 0);
    let call = record(&mut world, A, 0, 5_000);
    assert_eq!((call.route, call.completed), ("emergency", true), "{}", story(&world));
    assert!(world.site(A).disk.is_empty());
    comes_to_rest(&mut world);
}

#[test]
fn a_peer_that_dies_in_a_call_is_noticed_and_the_phone_is_told() {
    let mut spec = two_offices(16);
    spec.gateways[A].media.watchdog_ms = 5_000;
    let mut world = registered(spec);
    connect(&mut world);
    world.kill(B);
    hears(&mut world, A, 0, ProgressTone::Reorder, 15_000);
    let call = record(&mut world, A, 0, 5_000);
    assert!(!call.completed && call.result.starts_with("nothing came from the network"), "{call:?}");
    world.start(B);
    world.run_ms(5_000);
    comes_to_rest(&mut world);
}

#[test]
fn a_gateway_that_is_told_to_end_hangs_up_and_gives_its_numbers_back() {
    let mut world = registered(two_offices(17));
    connect(&mut world);
    world.shut_down(B);
    assert!(world.run_until(5_000, |w| !w.site(B).is_up()), "{}", story(&world));
    hears(&mut world, A, 0, ProgressTone::Reorder, 5_000);
    assert_eq!(world.records(B)[0].result, "the gateway was shut down");
    let counts = world.registry().and_then(|r| r.machine()).expect("it runs").counts();
    assert_eq!(counts.registered, 2, "only A's are left");
}

#[test]
fn a_digit_pressed_in_a_call_arrives_as_an_event() {
    let mut world = registered(two_offices(18));
    connect(&mut world);
    world.control(A, 0, Control::Dial { keys: "5".into(), on_ms: 100, off_ms: 100 });
    world.run_ms(2_000);
    world.hang_up(A, 0);
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    let digits = |r: &tipring::call::CallRecord| r.audio.map(|(_, s)| (s.digits_sent, s.digits_received));
    assert_eq!((digits(&a), digits(&b)), (Some((1, 0)), Some((0, 1))));
    comes_to_rest(&mut world);
}

#[test]
#[allow(clippy::disallowed_methods)] // What is measured is the machine this runs on.
fn the_world_is_many_times_faster_than_real_time() {
    let began = std::time::Instant::now();
    let mut world = registered(two_offices(20));
    connect(&mut world);
    world.run_ms(120_000);
    let talking = world.now().as_ms() as f64 / began.elapsed().as_millis().max(1) as f64;
    world.hang_up(A, 0);
    world.hang_up(B, 0);
    let (at, began) = (world.now(), std::time::Instant::now());
    world.run_ms(600_000);
    let idle = world.now().ms_since(at) as f64 / began.elapsed().as_millis().max(1) as f64;
    println!("two gateways: {talking:.0} times real time in a call, {idle:.0} times idle");
    assert!(talking > 5.0 && idle > 20.0, "{talking} {idle}");
}
