//! Machines behind outside numbers in the calls of a gateway. On the stage of the accounts' tests; that a page is held without clearance is
//! shown where it is held (`fax::t38::filter`), and that DIS is told where it is heard (`fax::t30::observer`).

use super::*;
use crate::call::session::Flow;
use crate::call::{CallRecord, State};
use crate::fax::t30::frame::Ident;
use crate::fax::t30::observer::{FaxRecord, FaxResult};
use crate::fax::t38::relay::{FaxNews, FaxStats};
use crate::identity::{Foreign, Policy, Proof};

/// A fax call to 05001 that stands, in T.38. `known`: what its machine called itself before.
fn faxing(policy: Policy, known: Option<&str>) -> Stage {
    let mut s = Stage::made(vec![office()], OutsideCaps::default(), |config, _| config.security.identity = policy);
    s.gateway.set_known_csi(known.map(|csi| (Number::parse("05001").unwrap(), csi.to_owned())));
    s.says = 180;
    s.dial_and_wait(0, "05001", false);
    let now = s.now;
    let (&id, call) = s.gateway.calls.iter_mut().next().expect("the call");
    (call.state, call.talk.flow) = (State::Up, Flow::T38);
    call.timers.stop(crate::call::Wait::Answer);
    s.gateway.check_peer(now, id);
    s.settle();
    s
}
fn news(s: &mut Stage, news: FaxNews) {
    s.gateway.handle_tick_event(s.now, Event::Fax(PortId(0), news));
    s.settle();
}
fn station(s: &mut Stage, csi: Option<&str>) {
    news(s, FaxNews::Station(csi.map(|csi| Ident::try_from(csi).unwrap())));
}
fn cleared(s: &Stage) -> Option<Proof> {
    s.gateway.clearance_of(PortId(0)).map(|c| c.by())
}
/// The page arrived, and the caller hangs up.
fn delivered(mut s: Stage) -> (CallRecord, Vec<(String, Option<String>)>) {
    let call = s.gateway.calls.values_mut().next().expect("the call");
    call.record.fax =
        Some(FaxStats { record: FaxRecord { result: Some(FaxResult::Delivered), ..FaxRecord::default() }, ..FaxStats::default() });
    s.line(0, LineEvent::WentOnHook);
    (s.records.pop().expect("a record"), s.csi)
}

#[test]
fn req_a4_a_machine_that_calls_itself_otherwise_than_before_gets_no_page_and_the_call_ends() {
    let usual = Policy::default();
    for (policy, known, says) in [(usual, Some("CLINIC"), "PIZZA"), (Policy { foreign: Foreign::Csi, ..usual }, None, "+49 30 99 88 77 66")]
    {
        let mut s = faxing(policy, known);
        assert_eq!((cleared(&s), s.cleared.len()), (None, 0), "nothing of a page leaves before it has said who it is");
        station(&mut s, Some(says));
        let record = s.records.pop().expect("the call is over");
        assert_eq!((record.verified, record.csi.as_deref(), s.cleared.len()), (None, Some(says), 0), "{:?}", s.words);
        assert!(record.suspicion.is_some_and(|why| why.contains(says)) && !record.completed);
        assert_eq!(s.csi, [], "and it is not what is known from now on");
        // The control: with the check off the same machine gets it.
        let mut s = faxing(Policy { check_is_off: true, ..policy }, known);
        station(&mut s, Some(says));
        assert_eq!((cleared(&s), s.records.len()), (Some(Proof::FlaggedByPolicy), 0));
    }
}

#[test]
fn req_a7_a_csi_is_learned_from_a_fax_that_arrived_and_lets_the_next_one_go() {
    // Never called before: sent and flagged, and learned; but not if nothing arrived.
    let mut s = faxing(Policy::default(), None);
    assert_eq!(cleared(&s), Some(Proof::FlaggedByPolicy));
    station(&mut s, Some("CLINIC"));
    let (record, learned) = delivered(s);
    assert_eq!((record.verified, record.csi.as_deref()), (Some(Proof::FlaggedByPolicy), Some("CLINIC")));
    assert_eq!(learned, [("05001".to_owned(), Some("CLINIC".to_owned()))]);
    let mut s = faxing(Policy::default(), None);
    station(&mut s, Some("CLINIC"));
    s.line(0, LineEvent::WentOnHook);
    assert_eq!((s.records.len(), s.csi.len()), (1, 0));
    // The same again: held until it says so, then let through.
    let mut s = faxing(Policy::default(), Some("CLINIC"));
    assert_eq!(cleared(&s), None);
    station(&mut s, Some("CLINIC"));
    assert_eq!((cleared(&s), s.cleared.as_slice()), (Some(Proof::CsiMatched), &[PortId(0)][..]));
    let (record, learned) = delivered(s);
    assert_eq!((record.verified.map(Proof::word), learned.len()), (Some("csi"), 0), "nothing new");
    assert_eq!(record.audit().verified_by.as_deref(), Some("csi"));
    // Where the operator says that another machine is there, whoever answers next is learned.
    let mut s = faxing(Policy::default(), Some("CLINIC"));
    assert!(s.gateway.forget_csi(&Number::parse("05001").unwrap()) && !s.gateway.forget_csi(&Number::parse("05002").unwrap()));
    s.settle();
    assert_eq!(s.csi, [("05001".to_owned(), None)]);
}

#[test]
fn a_page_waits_eight_seconds_for_a_csi_and_no_longer() {
    let strict = Policy { foreign: Foreign::Csi, ..Policy::default() };
    let mut s = faxing(strict, None);
    // However long somebody talks first.
    s.wait(60_000);
    assert_eq!((cleared(&s), s.records.len()), (None, 0), "{:?}", s.words);
    station(&mut s, None);
    news(&mut s, FaxNews::PageHeld);
    s.wait(7_900);
    assert_eq!(s.records.len(), 0, "its DIS may come again, with a CSI");
    s.wait(200);
    assert_eq!((s.records.len(), s.records.first().and_then(|r| r.verified)), (1, None), "{:?}", s.words);
    let mut s = faxing(strict, None);
    station(&mut s, None);
    news(&mut s, FaxNews::PageHeld);
    s.wait(3_000);
    station(&mut s, Some("+49 30 5001"));
    assert_eq!(cleared(&s), Some(Proof::CsiMatched));
}
