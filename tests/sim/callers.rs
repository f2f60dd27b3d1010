//! Who calls, and who is told: numbers withheld by a port or by a code, and peers that are trusted with them.

use crate::stage::*;
use tipring::call::CallRecord;
use tipring::lab::world::{World, sip_address};
use tipring::number::{CallerIdCodes, DialString};
use tipring::sip::Network;

/// 2001 calls 3001, which answers: both records, and every INVITE that went over the wire.
fn call(seed: u64, anonymous: bool, dialled: &str, trust: bool) -> (CallRecord, CallRecord, String) {
    let mut spec = two_offices(seed);
    spec.gateways[A].ports[0].anonymous = anonymous;
    spec.gateways[A].codes = CallerIdCodes { withhold: DialString::parse("*67").ok(), show: DialString::parse("*82").ok() };
    if trust {
        for (here, there) in [(A, B), (B, A)] {
            spec.gateways[here].trusted.push(Network::host(sip_address(there).ip()));
        }
    }
    let mut world: World = registered(spec);
    world.dial(A, 0, dialled);
    rings(&mut world, B, 0, 15_000);
    let sent = (0..64).filter_map(|age| world.network().overheard(age)).map(|(_, _, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    let invites: String = sent.filter(|m| m.starts_with("INVITE ")).collect();
    assert!(!invites.is_empty());
    world.lift(B, 0);
    world.run_ms(1_000);
    world.hang_up(A, 0);
    let records = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    let logged = world.journal(B).logs.iter().any(|(_, l)| l.words.contains("2001"));
    assert_eq!(logged, !records.1.private, "{}", story(&world));
    comes_to_rest(&mut world);
    (records.0, records.1, invites)
}

#[test]
fn a_withheld_number_crosses_to_trusted_peers_only_and_is_shown_to_nobody() {
    // The port withholds, what is dialled, whether the gateways trust each other; then: shown, and the number is on the wire.
    for (i, (anonymous, dialled, trust, shown, on_the_wire)) in [
        (false, "3001", false, true, true),
        (false, "3001", true, true, true),
        (true, "3001", false, false, false),
        (true, "3001", true, false, true),
        (false, "*673001", false, false, false),
        (true, "*823001", false, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let (a, b, invites) = call(350 + i as u64, anonymous, dialled, trust);
        let case = format!("{anonymous} {dialled} {trust}\n{invites}");
        assert!(a.completed && b.completed, "{case} {a:?}");
        assert_eq!((a.from.as_str(), a.to.as_str(), a.private), ("2001", "3001", !shown), "{case}");
        assert_eq!((b.from.as_str(), b.private), (if shown { "2001" } else { "" }, !shown), "{case}");
        assert_eq!(b.asserted.as_deref(), (shown && trust).then_some("2001"), "{case}");
        assert_eq!(invites.contains("2001"), on_the_wire, "{case}");
    }
}
