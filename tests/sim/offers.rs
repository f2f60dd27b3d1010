//! Offers and answers between two ends over a network that loses, doubles and reorders: whatever is said in whatever order, nobody answers
//! an offer twice, both ends hold to the same media afterwards, T.38 refused leaves working audio, and the call ends cleanly.
//!
//! The ends are the product without its board ([`office`]) against itself, and against a user agent that does what the world does
//! ([`peer`]). Shapes of faults that other stacks had (a refusal that leaves no audio, an answer with the wrong lines, T.38 offered twice,
//! a way back that loses the audio line, glare that ends the call) have scenes of their own below the property.

mod office;
mod peer;
mod question;
mod wire;

use office::Office;
use peer::{Bug, Manners, Peer};
use proptest::prelude::*;
use proptest::test_runner::{Config as TestConfig, TestError, TestRng, TestRunner};
use std::net::SocketAddr;
use tipring::clock::{Instant, ms};
use tipring::line::Command as LineCommand;
use tipring::media::Direction as Flow;
use tipring::negotiate::{self, Choice, MediaPolicy, T38Policy};
use tipring::sdp::offer_answer::State;
use tipring::sdp::{Agreed, Direction, Kind, Session};
use tipring::tick::Leg;
use tipring_dsp::g711::Law;
use wire::{CALM, Link, Parcel, Wire};

/// What happens at one end.
#[derive(Clone, Copy, Debug)]
enum Act {
    Call,
    CallLate,
    CallWithBoth,
    Announce,
    Lift,
    HangUp,
    /// V.21 from the machine at the end; a peer offers T.38.
    Fax,
    Hold(Direction, bool),
    Update(Direction),
    Both,
    Secure,
    /// A re-INVITE without an offer.
    Late,
    /// The same media from another port.
    Move,
}

/// One end.
enum End {
    Office(Box<Office>),
    Peer(Box<Peer>),
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    link: Link,
    /// Whether each end is a user agent of the world's, and how it takes T.38; else the product.
    peers: [Option<Manners>; 2],
    t38: [bool; 2],
    laws: [u8; 2],
    fax: [bool; 2],
    caller: usize,
    late: bool,
    script: Vec<(u64, usize, Act)>,
}

struct Scene {
    now: Instant,
    ends: [End; 2],
    wire: Wire,
    policies: [MediaPolicy; 2],
}

fn at(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, end as u8 + 1], 5060))
}

fn policy(t38: bool, laws: u8) -> MediaPolicy {
    let laws = [vec![Law::Mu, Law::A], vec![Law::A, Law::Mu], vec![Law::A]][usize::from(laws) % 3].clone();
    let t38 = t38.then_some(T38Policy { max_datagram: 400, redundancy_control: 3, redundancy_image: 2, ecm: true });
    MediaPolicy { laws, jitter_max_ms: 200, watchdog_ms: 30_000, t38 }
}

impl Scene {
    fn new(case: &Case, bug: Bug) -> Scene {
        let policies = [0, 1].map(|i| policy(case.t38[i], case.laws[i]));
        let end = |i: usize| match case.peers[i] {
            None => End::Office(Box::new(Office::new(at(i), at(1 - i), policies[i].clone(), case.fax[i], case.seed ^ (i as u64 + 1)))),
            Some(manners) => {
                let mut peer = Peer::new(at(i), at(1 - i), policies[i].clone(), manners, case.fax[i], case.seed ^ (i as u64 + 1));
                peer.bug = bug;
                End::Peer(Box::new(peer))
            }
        };
        let ends = [end(0), end(1)];
        let mut wire = Wire::new(case.link, case.seed);
        wire.listener.products = (0..2).filter(|i| case.peers[*i].is_none()).map(at).collect();
        // The manners that are faults.
        let wrong = |m: Manners| matches!(m, Manners::SaysNothing | Manners::WrongCount | Manners::WrongKind);
        wire.listener.exempt = (0..2).find(|i| case.peers[*i].is_some_and(wrong)).map(at);
        Scene { now: Instant::from_ms(1_000_000), ends, wire, policies }
    }

    fn carry(&mut self, i: usize, came: Option<Parcel>) {
        let now = self.now;
        let out = match &mut self.ends[i] {
            End::Peer(peer) => peer.turn(now, came),
            End::Office(office) => {
                match came {
                    Some(parcel) => office.gateway.handle_message(now, tipring::sip::Hop::udp(parcel.src), &parcel.bytes),
                    None => office.gateway.handle_timeout(now),
                }
                office.pump(now)
            }
        };
        out.into_iter().for_each(|parcel| self.wire.send(now, parcel));
    }

    fn run_ms(&mut self, for_ms: u64) {
        let end = self.now + ms(for_ms);
        for _ in 0..100_000 {
            let timers = [0, 1].map(|i| match &self.ends[i] {
                End::Office(office) => office.gateway.poll_timeout(),
                End::Peer(peer) => peer.poll_timeout(),
            });
            let next = timers.into_iter().flatten().chain(self.wire.next()).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(parcel) = self.wire.poll(self.now) {
                let i = usize::from(parcel.dst == at(1));
                self.carry(i, Some(parcel));
            }
            for i in 0..2 {
                if timers[i].is_some_and(|at| at <= self.now) {
                    self.carry(i, None);
                }
            }
        }
        panic!("time stands still\n{}", self.wire.story());
    }

    fn act(&mut self, i: usize, act: Act) {
        let now = self.now;
        match &mut self.ends[i] {
            End::Office(office) => match act {
                Act::Call | Act::CallLate | Act::CallWithBoth => office.dial(now),
                Act::Lift => office.lift(now),
                Act::HangUp => office.hang_up(now),
                Act::Fax => office.fax_answers(now),
                Act::Announce | Act::Hold(..) | Act::Update(_) | Act::Both | Act::Secure | Act::Late | Act::Move => {}
            },
            End::Peer(peer) => match act {
                Act::Call => peer.call(now, false, false),
                Act::CallLate => peer.call(now, true, false),
                Act::CallWithBoth => peer.call(now, false, true),
                Act::Announce => peer.announce(now),
                Act::Lift => peer.lift(now),
                Act::HangUp => peer.hang_up(now),
                Act::Fax => peer.offers_t38(now),
                Act::Hold(direction, old) => peer.hold(now, direction, old),
                Act::Update(direction) => peer.updates(now, direction),
                Act::Both => peer.offers_both(now),
                Act::Secure => peer.offers_secure(now),
                Act::Late => peer.asks_for_offer(now),
                Act::Move => peer.moves(now),
            },
        }
        self.carry(i, None);
    }

    fn is_up(&self, i: usize) -> bool {
        match &self.ends[i] {
            End::Office(office) => office.is_up(),
            End::Peer(peer) => peer.up,
        }
    }
    /// What an end holds to.
    fn session(&self, i: usize) -> Option<(State, Option<Agreed>)> {
        match &self.ends[i] {
            End::Office(office) => office.gateway.negotiation_of(tipring::id::PortId(0)).map(|n| (n.state(), n.agreed().cloned())),
            End::Peer(peer) => Some((peer.n.state(), peer.believes.clone().or_else(|| peer.n.agreed().cloned()))),
        }
    }
    fn office(&mut self, i: usize) -> &mut Office {
        match &mut self.ends[i] {
            End::Office(office) => office,
            End::Peer(_) => panic!("end {i} is a peer"),
        }
    }
    fn peer(&mut self, i: usize) -> &mut Peer {
        match &mut self.ends[i] {
            End::Peer(peer) => peer,
            End::Office(_) => panic!("end {i} is the product"),
        }
    }

    /// Nothing is on its way: both ends must hold to the same.
    fn check_agreement(&self) -> Result<(), String> {
        if let Some(fault) = self.wire.fault() {
            return Err(fault.to_owned());
        }
        if self.is_up(0) != self.is_up(1) {
            return Err(format!("one end is in a call, the other not: {} {}", self.is_up(0), self.is_up(1)));
        }
        if !self.is_up(0) {
            return Ok(());
        }
        let (Some((state_a, Some(a))), Some((state_b, Some(b)))) = (self.session(0), self.session(1)) else {
            return Err("a call is up, and nothing is agreed".into());
        };
        if (state_a, state_b) != (State::Stable, State::Stable) {
            return Err(format!("an offer stays open: {state_a:?} {state_b:?}"));
        }
        // Who offered last may be seen differently: the endpoint answers a refresh that changes nothing by itself.
        if lines(&a.local) != lines(&b.remote) || lines(&a.remote) != lines(&b.local) {
            return Err(format!("the ends hold to different sessions:\n{a:?}\n{b:?}"));
        }
        let choices = [(&a, 0), (&b, 1)].map(|(agreed, i)| negotiate::choice(&self.policies[i], &negotiate::Shield::none(), agreed));
        match &choices {
            [Ok(Choice::Audio(a)), Ok(Choice::Audio(b))] => {
                let mirrored = a.direction.sends() == b.direction.receives() && a.direction.receives() == b.direction.sends();
                if (a.law, a.payload_type, a.telephone_event_pt, a.rtcp_mux) != (b.law, b.payload_type, b.telephone_event_pt, b.rtcp_mux)
                    || !mirrored
                {
                    return Err(format!("audio is understood differently: {a:?} {b:?}"));
                }
            }
            [Ok(Choice::T38(a)), Ok(Choice::T38(b))] => {
                if (a.version, a.max_bps, a.fill_bit_removal) != (b.version, b.max_bps, b.fill_bit_removal) {
                    return Err(format!("T.38 is understood differently: {a:?} {b:?}"));
                }
            }
            other => return Err(format!("a call without media, or with one medium at each end: {other:?}")),
        }
        for (i, choice) in choices.iter().enumerate() {
            if let (End::Office(office), Ok(choice)) = (&self.ends[i], choice) {
                carried_out(office, choice)?;
            }
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        for end in &self.ends {
            let unrest = match end {
                End::Office(office) => office.unrest(),
                End::Peer(peer) => peer.unrest(),
            };
            if let Some(unrest) = unrest {
                return Err(format!("not at rest: {unrest}"));
            }
        }
        Ok(())
    }
}

/// Lines as they go over the wire.
fn lines(session: &Session) -> Vec<(Kind, u16, Direction)> {
    session.media.iter().map(|m| (m.kind.clone(), m.port, m.direction)).collect()
}

/// The leg on the board is what was agreed.
fn carried_out(office: &Office, choice: &Choice) -> Result<(), String> {
    let fits = match (office.leg.as_ref().map(|(_, leg)| &**leg), choice) {
        (Some(Leg::Audio(leg)), Choice::Audio(c)) => {
            (leg.peer(), leg.direction()) == (c.remote_rtp, c.direction) && office.media() == negotiate::codec_name(c.law)
        }
        (Some(Leg::T38(leg)), Choice::T38(c)) => leg.remote() == c.remote && office.media() == "T.38",
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("the board does not do what was agreed: {choice:?}, {} flows", office.media())) }
}

/// A whole case, to its end.
fn run(case: &Case, bug: Bug, second_answer: bool) -> Result<Scene, String> {
    let mut scene = Scene::new(case, bug);
    scene.wire.second_answer = second_answer;
    scene.act(case.caller, if case.late { Act::CallLate } else { Act::Call });
    for (wait_ms, end, act) in &case.script {
        scene.run_ms(*wait_ms);
        scene.act(*end, *act);
    }
    scene.wire.link = CALM;
    // Longer than any transaction, back-off or patience.
    scene.run_ms(200_000);
    let outcome = scene.check_agreement();
    for i in 0..2 {
        scene.act(i, Act::HangUp);
    }
    scene.run_ms(200_000);
    let outcome = outcome.and_then(|()| scene.wire.fault().map_or(Ok(()), |f| Err(f.to_owned()))).and_then(|()| scene.check_rest());
    let logs: Vec<String> = scene.ends.iter().filter_map(|e| if let End::Office(o) = e { Some(o.log.join("\n")) } else { None }).collect();
    outcome.map_err(|why| format!("{why}\n{case:?}\n{}\n{}", scene.wire.story(), logs.join("\n--\n")))?;
    Ok(scene)
}

fn acts() -> impl Strategy<Value = Act> {
    let direction =
        || prop_oneof![Just(Direction::SendOnly), Just(Direction::Inactive), Just(Direction::RecvOnly), Just(Direction::SendRecv)];
    prop_oneof![
        4 => Just(Act::Lift),
        1 => Just(Act::HangUp),
        5 => Just(Act::Fax),
        2 => direction().prop_map(Act::Update),
        4 => (direction(), any::<bool>()).prop_map(|(d, old)| Act::Hold(d, old && d != Direction::SendRecv)),
        2 => Just(Act::Both),
        1 => Just(Act::Secure),
        2 => Just(Act::Late),
        2 => Just(Act::Move),
        2 => Just(Act::Announce),
        1 => Just(Act::Call),
        1 => Just(Act::CallWithBoth),
    ]
}

fn manners() -> impl Strategy<Value = Manners> {
    prop_oneof![
        6 => Just(Manners::Takes),
        4 => prop_oneof![Just(415), Just(488), Just(606), Just(491), Just(500), Just(603), Just(408), Just(481)].prop_map(Manners::Refuses),
        1 => Just(Manners::ClosesAll),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let link = (prop_oneof![3 => Just(0u8), 1 => Just(10), 1 => Just(35)], prop_oneof![Just(0u8), Just(20)], 0u8..200, 0u8..150)
        .prop_map(|(loss_percent, duplicate_percent, delay_ms, jitter_ms)| Link { loss_percent, duplicate_percent, delay_ms, jitter_ms });
    // The product against itself, or against a peer at either end.
    let peers = (proptest::option::weighted(0.75, manners()), any::<bool>())
        .prop_map(|(peer, first)| if first { [peer, None] } else { [None, peer] });
    let script = proptest::collection::vec((prop_oneof![Just(0u64), 0u64..40, 0u64..3_000], 0usize..2, acts()), 0..12);
    let setup = (any::<[bool; 2]>(), any::<[u8; 2]>(), any::<[bool; 2]>(), 0usize..2, proptest::bool::weighted(0.2));
    (any::<u64>(), link, peers, setup, 200u64..3_000, script).prop_map(
        |(seed, link, peers, (t38, laws, fax, caller, late), lift_ms, mut script)| {
            // Most calls are answered.
            script.insert(0, (lift_ms, 1 - caller, Act::Lift));
            if seed % 4 == 0 {
                // Some say something before.
                script.insert(0, (lift_ms / 2, 1 - caller, Act::Announce));
                script.insert(1, (lift_ms / 3, 1 - caller, Act::Update(Direction::SendRecv)));
            }
            let t38 = [t38[0] || seed % 3 > 0, t38[1] || seed % 3 > 0];
            // A peer does what it says whatever its own policy is.
            Case { seed, link, peers, t38, laws, fax, caller, late, script }
        },
    )
}

fn runner(cases: u32) -> TestRunner {
    let config = TestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..TestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha))
}

#[test]
fn whatever_is_said_in_whatever_order_both_ends_agree_and_part_cleanly() {
    use core::cell::RefCell;
    // A property over calls that never came about would prove little.
    let tally = RefCell::new([0u32; 4]);
    let outcome = runner(1_500).run(&cases(), |case| {
        let scene = run(&case, Bug::None, false).map_err(TestCaseError::fail)?;
        let mut tally = tally.borrow_mut();
        tally[0] += 1;
        for (i, end) in scene.ends.iter().enumerate() {
            if let End::Office(office) = end {
                tally[1] += office.records.iter().filter(|r| r.answered.is_some()).count() as u32;
                tally[2] += office.records.iter().filter(|r| r.fax.is_some()).count() as u32;
                tally[3] += u32::from(scene.wire.t38_offers(at(i)) > 0);
            }
        }
        Ok(())
    });
    println!("cases, answered calls, faxes on T.38, calls with our offer of it: {:?}", tally.borrow());
    if let Err(TestError::Fail(why, case)) = &outcome {
        panic!("{why}\nsmallest: {case:?}");
    }
    outcome.expect("enough cases");
    let [_, answered, faxes, offered] = *tally.borrow();
    assert!(answered > 900 && faxes > 150 && offered > 80, "{tally:?}");
}

/// The same property, with one rule switched off: it must fail, and by what it says about that rule.
#[test]
fn the_property_notices_a_rule_that_is_switched_off() {
    for (bug, second_answer, said) in [
        (Bug::RefusedIsAgreed, false, "the ends hold to different sessions"),
        (Bug::LinesGoAway, false, "media lines went away"),
        (Bug::None, true, "two answers to one offer"),
    ] {
        let outcome = runner(1_500).run(&cases(), |case| run(&case, bug, second_answer).map(drop).map_err(TestCaseError::fail));
        match outcome {
            Err(TestError::Fail(why, _)) => assert!(why.message().contains(said), "{bug:?}: {why}"),
            other => panic!("{bug:?}: nothing noticed: {other:?}"),
        }
    }
}

// ---- scenes ----

/// A peer with these manners, called by (or, `they_call`, calling) the product at end 1.
fn scene(manners: Manners, they_call: Option<Act>) -> Scene {
    let case = Case {
        seed: 7,
        link: CALM,
        peers: [Some(manners), None],
        t38: [true; 2],
        laws: [0; 2],
        fax: [false; 2],
        caller: 0,
        late: false,
        script: Vec::new(),
    };
    let mut scene = Scene::new(&case, Bug::None);
    match they_call {
        Some(call) => scene.act(0, call),
        None => scene.act(1, Act::Call),
    }
    scene.run_ms(300);
    scene
}
/// The same, answered.
fn in_a_call(manners: Manners) -> Scene {
    let mut scene = scene(manners, Some(Act::Call));
    scene.act(1, Act::Lift);
    scene.run_ms(300);
    assert_eq!(scene.office(1).media(), "PCMU");
    scene
}
fn agrees(scene: &Scene) {
    scene.check_agreement().unwrap_or_else(|why| panic!("{why}\n{}", scene.wire.story()));
}
fn parts_cleanly(mut scene: Scene) {
    scene.act(0, Act::HangUp);
    scene.run_ms(1_000);
    scene.act(1, Act::HangUp);
    scene.run_ms(200_000);
    scene.check_rest().unwrap_or_else(|why| panic!("{why}\n{}", scene.wire.story()));
}

#[test]
fn t38_refused_in_any_way_leaves_audio_that_carries_the_fax() {
    let refusals = [488, 415, 606, 603, 500, 501, 400, 408].map(Manners::Refuses);
    let others = [Manners::ClosesAll, Manners::WrongCount, Manners::WrongKind, Manners::SaysNothing, Manners::Silent];
    for manners in refusals.into_iter().chain(others) {
        let mut scene = in_a_call(manners);
        scene.act(1, Act::Fax);
        // T.30 cannot wait for SIP's own patience.
        scene.run_ms(4_000);
        assert!(scene.office(1).passes_through, "{manners:?}: {:?}", scene.office(1).log);
        // Silence lasts until somebody's patience with a re-INVITE is over.
        scene.run_ms(if manners == Manners::Silent { 250_000 } else { 60_000 });
        let office = scene.office(1);
        assert!(office.is_up() && office.passes_through && office.media() == "PCMU", "{manners:?}: {:?}", office.log);
        agrees(&scene);
        // Heard again, and not offered again.
        scene.act(1, Act::Fax);
        scene.run_ms(10_000);
        assert_eq!(scene.wire.t38_offers(at(1)), 1, "{manners:?}");
        // The state was not lost with the refusal: a hold of the peer's is answered as ever.
        scene.act(0, Act::Hold(Direction::SendOnly, false));
        scene.run_ms(1_000);
        agrees(&scene);
        assert!(matches!(&scene.office(1).leg, Some((_, leg)) if matches!(&**leg, Leg::Audio(a) if a.direction() == Flow::RecvOnly)));
        scene.act(0, Act::Hold(Direction::SendRecv, false));
        scene.run_ms(1_000);
        agrees(&scene);
        parts_cleanly(scene);
    }
}

#[test]
fn a_peer_that_refused_t38_may_still_ask_for_it_later_itself() {
    let mut scene = in_a_call(Manners::Refuses(488));
    scene.act(1, Act::Fax);
    scene.run_ms(1_000);
    scene.act(0, Act::Fax);
    scene.run_ms(1_000);
    agrees(&scene);
    assert_eq!(scene.office(1).media(), "T.38");
    parts_cleanly(scene);
}

#[test]
fn a_fax_under_way_follows_its_peer_to_another_port_and_goes_back_to_audio() {
    let mut scene = in_a_call(Manners::Takes);
    scene.act(1, Act::Fax);
    scene.run_ms(1_000);
    let leg = |scene: &mut Scene| match &scene.office(1).leg {
        Some((_, leg)) => match &**leg {
            Leg::T38(leg) => (leg.remote().port(), core::ptr::from_ref(leg) as usize),
            Leg::Audio(_) => panic!("audio"),
        },
        None => panic!("nothing"),
    };
    let before = leg(&mut scene);
    scene.act(0, Act::Move);
    scene.run_ms(1_000);
    agrees(&scene);
    let after = leg(&mut scene);
    assert_eq!((before.0 + 4, before.1), (after.0, after.1), "the same leg, with the fax in it, sends to the new port");
    // A refresh that says the same changes nothing.
    scene.act(0, Act::Fax);
    scene.run_ms(1_000);
    assert_eq!(leg(&mut scene), after);
    // Back to audio after the fax, in the line where it was; the machine's next V.21 does not start a game of offers.
    scene.act(0, Act::Hold(Direction::SendRecv, false));
    scene.run_ms(1_000);
    agrees(&scene);
    assert_eq!(scene.office(1).media(), "PCMU");
    scene.act(1, Act::Fax);
    scene.run_ms(5_000);
    assert_eq!((scene.wire.t38_offers(at(1)), scene.office(1).passes_through), (1, true));
    agrees(&scene);
    parts_cleanly(scene);
}

#[test]
fn t38_offered_by_both_at_once_is_agreed_on_once() {
    for first in [0, 1] {
        let mut scene = in_a_call(Manners::Takes);
        scene.act(first, Act::Fax);
        scene.act(1 - first, Act::Fax);
        scene.run_ms(20_000);
        agrees(&scene);
        assert_eq!(scene.office(1).media(), "T.38", "{}", scene.wire.story());
        assert!(scene.wire.story().contains(" 491 "));
        parts_cleanly(scene);
    }
}

#[test]
fn a_hold_that_crosses_our_offer_of_t38_ends_neither() {
    let mut scene = in_a_call(Manners::Takes);
    scene.act(0, Act::Hold(Direction::SendOnly, false));
    scene.act(1, Act::Fax);
    scene.run_ms(20_000);
    agrees(&scene);
    assert_eq!(scene.office(1).media(), "T.38", "{}", scene.wire.story());
    parts_cleanly(scene);
}

#[test]
fn an_invite_without_an_offer_gets_ours_and_answers_in_the_ack() {
    let mut scene = scene(Manners::Takes, Some(Act::CallLate));
    scene.act(1, Act::Lift);
    scene.run_ms(300);
    agrees(&scene);
    // And so does a re-INVITE, in audio and on T.38.
    for fax in [false, true] {
        if fax {
            scene.act(1, Act::Fax);
            scene.run_ms(500);
        }
        scene.act(0, Act::Late);
        scene.run_ms(500);
        agrees(&scene);
        assert_eq!(scene.office(1).media(), if fax { "T.38" } else { "PCMU" }, "{}", scene.wire.story());
    }
    parts_cleanly(scene);
}

#[test]
fn hold_in_every_way_stops_what_we_send_and_comes_back() {
    let mut scene = in_a_call(Manners::Takes);
    for (direction, old, ours) in [
        (Direction::SendOnly, false, Flow::RecvOnly),
        (Direction::Inactive, false, Flow::Inactive),
        (Direction::SendRecv, true, Flow::Inactive),
        (Direction::RecvOnly, false, Flow::SendOnly),
        (Direction::SendRecv, false, Flow::SendRecv),
    ] {
        scene.act(0, Act::Hold(direction, old));
        scene.run_ms(500);
        agrees(&scene);
        assert!(
            matches!(&scene.office(1).leg, Some((_, leg)) if matches!(&**leg, Leg::Audio(a) if a.direction() == ours)),
            "{direction:?}"
        );
    }
    parts_cleanly(scene);
}

#[test]
fn an_update_before_the_answer_and_in_the_call_is_answered() {
    let mut scene = scene(Manners::Takes, None);
    scene.act(0, Act::Announce);
    scene.run_ms(300);
    scene.act(0, Act::Update(Direction::SendOnly));
    scene.run_ms(300);
    let direction = |scene: &mut Scene| match scene.office(1).leg.as_ref().map(|(_, leg)| &**leg) {
        Some(Leg::Audio(leg)) => leg.direction(),
        _ => panic!("no audio leg: {}", scene.wire.story()),
    };
    assert_eq!(direction(&mut scene), Flow::RecvOnly, "{}", scene.wire.story());
    scene.act(0, Act::Lift);
    scene.run_ms(500);
    agrees(&scene);
    scene.act(0, Act::Update(Direction::SendRecv));
    scene.run_ms(300);
    agrees(&scene);
    assert_eq!(direction(&mut scene), Flow::SendRecv);
    parts_cleanly(scene);
}

#[test]
fn a_digit_in_signalling_is_played_to_the_line() {
    let mut scene = in_a_call(Manners::Takes);
    let kept = |line: &&str| ["Via", "From", "To", "Call-ID", "Max-Forwards"].iter().any(|name| line.starts_with(&format!("{name}:")));
    let ack = scene.wire.listener.last_ack.clone();
    let target = ack.split(' ').nth(1).expect("an ACK was sent").to_owned();
    let headers: Vec<String> = ack.lines().filter(kept).map(|l| l.replace("branch=z9hG4bK", "branch=z9hG4bKinfo")).collect();
    let body = "Signal=5\r\nDuration=250\r\n";
    let info = format!(
        "INFO {target} SIP/2.0\r\n{}\r\nCSeq: 90000 INFO\r\nContent-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
        headers.join("\r\n"),
        body.len()
    );
    scene.carry(1, Some(Parcel { src: at(0), dst: at(1), bytes: info.into_bytes() }));
    let digits = scene.office(1).digits.clone();
    assert_eq!(digits, [(b'5', 250)], "{}", scene.wire.story());
    // The dialog goes on with its own numbers, which the peer does not know of: it is left.
    scene.act(1, Act::HangUp);
    scene.run_ms(1_000);
    assert!(scene.office(1).gateway.is_idle());
}

#[test]
fn what_we_cannot_do_is_refused_with_the_reason_and_changes_nothing() {
    let mut scene = in_a_call(Manners::Takes);
    scene.act(0, Act::Secure);
    scene.run_ms(500);
    assert_eq!(scene.peer(0).statuses, [488]);
    agrees(&scene);
    parts_cleanly(scene);
}

#[test]
fn audio_and_t38_in_the_first_offer_ring_a_telephone_with_audio() {
    let mut scene = scene(Manners::Takes, Some(Act::CallWithBoth));
    scene.act(1, Act::Lift);
    scene.run_ms(500);
    agrees(&scene);
    assert_eq!(scene.office(1).media(), "PCMU");
    // A machine answers after all: its line of the two is opened, the other closed, in their places.
    scene.act(1, Act::Fax);
    scene.run_ms(500);
    agrees(&scene);
    let (_, agreed) = scene.session(1).expect("in a call");
    let local: Vec<_> = agreed.expect("agreed").local.media.iter().map(|m| (m.kind.clone(), m.is_open())).collect();
    assert_eq!(local, [(Kind::Audio, false), (Kind::Image, true)]);
    parts_cleanly(scene);
}

#[test]
fn ringback_is_ours_until_the_peers_own_is_really_heard() {
    let mut scene = scene(Manners::Takes, None);
    assert_eq!(scene.office(1).heard, Some(LineCommand::Ringback), "180 without a description");
    scene.act(0, Act::Announce);
    scene.run_ms(300);
    assert!(scene.office(1).leg.is_some(), "the leg listens");
    assert_eq!(scene.office(1).heard, Some(LineCommand::Ringback), "183 with a description alone is not heard");
    // A place that only rings may be silent for as long as it rings.
    let now = scene.now;
    scene.office(1).silence(now);
    scene.carry(1, None);
    assert!(!scene.office(1).gateway.is_idle());
    let now = scene.now;
    scene.office(1).media_arrives(now);
    scene.carry(1, None);
    assert_eq!(scene.office(1).heard, Some(LineCommand::Connect));
    scene.act(0, Act::Lift);
    scene.run_ms(300);
    agrees(&scene);
    // Silence in the call is another thing.
    let now = scene.now;
    scene.office(1).silence(now);
    scene.carry(1, None);
    scene.run_ms(1_000);
    assert!(scene.office(1).gateway.is_idle());
    parts_cleanly(scene);
}
