//! Sites behind NATs: how they are registered, what their peers are told, how media open the way from both sides, and what keeps it open.
//!
//! The NATs here let in only whom the inside socket has spoken to, from the very port, and forget after 30 s, which is the least that RFC 4787
//! asks for; the port of SIP is forwarded where a scene calls into a site.

use crate::moves::{both_hear, calls, hang_up};
use crate::stage::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tipring::lab::world::{NatSpec, World, WorldSpec};
use tipring::number::Number;
#[cfg(feature = "spandsp")]
use {crate::faxes::*, tipring_hw::Control};

fn outside(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))
}

fn nat(last: u8, keeps_ports: bool, forwards_sip: bool) -> Option<NatSpec> {
    Some(NatSpec { outside: outside(last), keeps_ports, forwards_sip, forgets_ms: 30_000 })
}

/// Two offices some way apart.
fn offices(seed: u64) -> WorldSpec {
    let mut spec = two_offices(seed);
    spec.link.delay = core::time::Duration::from_millis(seed * 7);
    spec
}

/// Everybody is registered, and a site without a NAT has an address of the world.
fn settled(spec: WorldSpec) -> World {
    let mut world = registered(spec);
    for site in 0..world.sites() {
        if world.site(site).spec().nat.is_none() {
            world.set_address(site, Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10 + site as u8))));
        }
    }
    world.run_ms(2_000);
    world
}

/// Where the directory has a number, and how its gateway sees itself.
fn row(world: &World, number: &str) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let number = Number::parse(number).expect("digits");
    let machine = world.registry().and_then(|r| r.machine()).expect("it runs");
    let listed = machine.registrations(world.now(), None).find(|r| *r.number == number);
    listed.map_or((None, None), |r| (r.contact(), r.contacts.first().and_then(|(b, _)| b.private())))
}

#[test]
fn req_c4_c10_a_gateway_behind_a_nat_registers_what_the_nat_shows_and_talks_both_ways() {
    for seed in 1..=3 {
        for keeps_ports in [true, false] {
            let mut spec = offices(seed);
            spec.gateways[B].nat = nat(7, keeps_ports, true);
            let mut world = settled(spec);
            let own = world.site(B).sip_address();
            assert_eq!(row(&world, "3001"), (Some(SocketAddr::new(outside(7), 5060)), Some(own)), "{}", story(&world));
            assert_eq!(row(&world, "2001").1, None, "no NAT there");
            calls(&mut world);
            world.run_ms(1_000);
            both_hear(&mut world, seed);
            hang_up(&mut world);
            // The other way.
            world.forget_happenings();
            world.dial(B, 0, "2001");
            rings(&mut world, A, 0, 10_000);
            world.lift(A, 0);
            world.run_ms(2_500);
            both_hear(&mut world, seed + 20);
            world.hang_up(B, 0);
            world.run_ms(1_000);
            for site in [A, B] {
                assert!((0..2).all(|n| world.records(site).get(n).is_some_and(|r| r.completed)), "{}", story(&world));
            }
            comes_to_rest(&mut world);
        }
    }
}

#[test]
fn req_c10_media_open_the_way_from_both_sides_where_both_are_behind_nats() {
    for seed in 1..=3 {
        let mut spec = offices(seed);
        spec.gateways[A].nat = nat(6, true, true);
        spec.gateways[B].nat = nat(7, true, true);
        let mut world = settled(spec);
        calls(&mut world);
        world.run_ms(1_000);
        both_hear(&mut world, seed);
        hang_up(&mut world);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_c10_what_a_peer_says_late_in_a_call_gets_in_through_a_nat_that_forgets() {
    for (seed, kept_open) in [(1, true), (2, true), (3, false)] {
        let mut spec = offices(seed);
        spec.gateways[B].nat = nat(7, false, false);
        let mut world = settled(spec);
        world.dial(B, 0, "2001");
        rings(&mut world, A, 0, 10_000);
        world.lift(A, 0);
        world.run_ms(2_500);
        both_hear(&mut world, seed);
        if !kept_open {
            // The control: nothing that B sends to the STUN server or as a sign of life leaves it. Its media do.
            world.stop_keeping_open(B);
        }
        world.run_ms(100_000);
        world.hang_up(A, 0);
        world.run_ms(5_000);
        assert_eq!(world.records(B).len() == 1, kept_open, "the BYE came in: {}", story(&world));
    }
}

#[test]
fn req_c4_c10_a_nat_that_gets_another_address_in_the_middle_of_a_talk_is_followed() {
    for seed in 1..=3 {
        let mut spec = offices(seed);
        spec.gateways[B].nat = nat(7, seed % 2 == 0, true);
        let mut world = settled(spec);
        calls(&mut world);
        world.run_ms(1_000);
        both_hear(&mut world, seed);
        world.restart_nat(B, outside(8));
        let there = Some(SocketAddr::new(outside(8), 5060));
        assert!(world.run_until(30_000, |w| row(w, "3001").0 == there), "asked at least every 29 s: {}", story(&world));
        world.run_ms(2_000);
        both_hear(&mut world, seed + 20);
        hang_up(&mut world);
        let call = record(&mut world, B, 0, 10_000);
        assert!(call.completed, "{} {}", call.result, story(&world));
        calls(&mut world);
        hang_up(&mut world);
        comes_to_rest(&mut world);
    }
}

#[cfg(feature = "spandsp")]
#[test]
fn req_c10_a_page_crosses_by_t38_into_and_out_of_a_site_behind_a_nat() {
    // One NAT that gives ports of its own, or two that keep them.
    for (seed, behind) in [(41, &[B][..]), (42, &[A][..]), (43, &[A, B][..])] {
        let tray = Tray::new(&format!("nats{seed}"));
        let pages = letters(seed, 1);
        let mut spec = fax_offices(seed, &tray, true);
        for site in behind {
            spec.gateways[*site].nat = nat(6 + *site as u8, behind.len() == 2, true);
        }
        let mut world = settled(spec);
        let tiff = tray.put("sent.tif", &pages);
        world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
        let sent = report(&mut world, A, 300_000);
        let received = report(&mut world, B, 20_000);
        assert!(sent.ok && received.ok, "seed {seed}: {sent:?} {received:?} {}", story(&world));
        assert_identical(&pages, &received);
        for site in [A, B] {
            let call = record(&mut world, site, 0, 20_000);
            assert!(call.completed && call.fax.is_some(), "{}: {}", call.result, story(&world));
        }
        comes_to_rest(&mut world);
    }
}
