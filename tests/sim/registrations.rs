//! Gateways and their numbers at the directory: at start, while they run, at the end, and when something dies.

use crate::stage::*;
use tipring::lab::world::{DirectorySpec, GatewaySpec, PortSpec, World, WorldSpec, sip_address};
use tipring::number::Number;

fn short_lease(seed: u64) -> WorldSpec {
    let mut spec = two_offices(seed);
    spec.directory = Some(DirectorySpec { lease_s: 30, ..DirectorySpec::default() });
    spec
}

/// Where the directory says a number is.
pub fn contact(world: &World, number: &str) -> Option<std::net::SocketAddr> {
    let number = Number::parse(number).expect("digits");
    let machine = world.registry()?.machine()?;
    machine.registrations(world.now(), None).find(|r| *r.number == number).and_then(|r| r.contact())
}

#[test]
fn req_c4_c11_every_port_registers_by_itself_at_start_and_is_told_its_number() {
    let mut world = World::new(two_offices(101));
    assert_eq!(contact(&world, "2001"), None);
    world.run_ms(1_000);
    for (number, site) in [("2001", A), ("2002", A), ("3001", B), ("3002", B)] {
        assert_eq!(contact(&world, number), Some(sip_address(site)), "{number}");
    }
    let numbers: Vec<_> =
        world.site(A).gateway().expect("it runs").ports().iter().map(|p| p.number.as_ref().map(|n| n.to_string())).collect();
    assert_eq!(numbers, [Some("2001".to_owned()), Some("2002".to_owned())]);
}

#[test]
fn req_c4_leases_are_renewed_for_as_long_as_a_gateway_runs() {
    let mut world = registered(short_lease(102));
    for _ in 0..30 {
        world.run_ms(10_000);
        assert_eq!(contact(&world, "3001"), Some(sip_address(B)), "{:?}", world.now());
    }
}

#[test]
fn req_c5_a_gateway_that_ends_gives_its_numbers_back_and_others_get_them() {
    let mut spec = short_lease(103);
    // Two more with no number of their own: the server picks from a pool of one.
    let any = || PortSpec { number: None, ..PortSpec::phone("any") };
    spec.gateways.push(GatewaySpec::new("c", vec![any()]));
    spec.gateways.push(GatewaySpec::new("d", vec![any()]));
    spec.directory = Some(DirectorySpec { lease_s: 30, dynamic: Some(("5000", "5000")), kept_s: 60, ..DirectorySpec::default() });
    let mut world = World::new(spec);
    world.run_ms(2_000);
    let (c, d) = (world.site(2).registered(), world.site(3).registered());
    assert_eq!(c + d, 1, "one number for two");
    let (first, second) = if c == 1 { (2, 3) } else { (3, 2) };
    assert_eq!(contact(&world, "5000"), Some(sip_address(first)));
    world.shut_down(first);
    assert!(world.run_until(5_000, |w| !w.site(first).is_up()));
    assert_eq!(contact(&world, "5000"), None, "the address is erased at once");
    let taken = world.run_until(300_000, |w| contact(w, "5000") == Some(sip_address(second)));
    assert!(taken, "free again after the time it is kept: {:?}", world.unrest());
}

#[test]
fn req_c6_a_reserved_number_goes_to_its_owner_only_and_dynamic_ones_are_picked_from_the_free() {
    let mut spec = two_offices(104);
    // D asks for 3001, which is kept for B; its second port takes whatever there is.
    let any = PortSpec { number: None, ..PortSpec::phone("any") };
    spec.gateways.push(GatewaySpec::new("c", vec![any]));
    spec.directory = Some(DirectorySpec { dynamic: Some(("3001", "3003")), ..DirectorySpec::default() });
    spec.gateways[B].ports.pop();
    let mut world = registered(spec);
    let numbers: Vec<_> =
        world.site(2).gateway().expect("it runs").ports().iter().map(|p| p.number.as_ref().map(|n| n.to_string())).collect();
    assert_eq!(numbers, [Some("3002".to_owned())], "3001 is reserved");
    world.dial(A, 0, "3002");
    rings(&mut world, 2, 0, 10_000);
}

#[test]
fn req_c4_the_lease_of_a_dead_gateway_ends_and_callers_are_told() {
    let mut world = registered(short_lease(105));
    world.kill(B);
    world.run_ms(5_000);
    assert!(contact(&world, "3001").is_some(), "the directory cannot know yet");
    world.run_ms(31_000);
    assert_eq!(contact(&world, "3001"), None);
    world.dial(A, 0, "3001");
    let call = record(&mut world, A, 0, 30_000);
    assert_eq!(call.result, "nobody is registered for this number now");
    world.start(B);
    assert!(world.run_until(5_000, |w| contact(w, "3001").is_some()), "and it is back at once when B is");
}

#[test]
fn what_the_directory_acknowledged_it_still_knows_after_a_power_cut() {
    for cut_us in (0..12_000).step_by(500) {
        let mut world = World::new(two_offices(106));
        world.run_until(1_000, |w| w.now().as_us() >= cut_us);
        let acknowledged: Vec<bool> = (0..2).map(|s| world.site(s).registered() == 2).collect();
        world.kill_directory();
        world.run_ms(2_000);
        world.start_directory();
        for (site, number) in [(A, "2002"), (B, "3002")] {
            assert!(!acknowledged[site] || contact(&world, number).is_some(), "cut at {cut_us} us");
        }
        assert!(world.run_until(30_000, |w| (0..2).all(|s| w.site(s).registered() == 2)), "and the others come again");
    }
}

#[test]
fn calls_go_through_again_when_the_directory_is_back() {
    let mut world = registered(short_lease(107));
    world.kill_directory();
    world.run_ms(60_000);
    world.dial(A, 0, "3001");
    let call = record(&mut world, A, 0, 30_000);
    assert_eq!(call.result, "the directory does not answer and no route was learned");
    world.hang_up(A, 0);
    world.start_directory();
    assert!(world.run_until(90_000, |w| contact(w, "3001").is_some()));
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 10_000);
}
