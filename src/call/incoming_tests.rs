//! Who is turned away, what that costs, and who is let in all the same; and what an emergency takes from whom. On the stage of the
//! accounts' tests.

use super::*;

const VIDEO: &str = "Content-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.66\r\ns=-\r\nc=IN IP4 192.0.2.66\r\nt=0 0\r\n\
     m=video 4000 RTP/AVP 34\r\n";
const NONSENSE: &str = "Content-Type: application/sdp\r\n\r\nhello\r\n";

/// A gateway with the echo service at 3000.
fn with_echo(places: usize, change: impl Fn(&mut Config, &mut sip::Config)) -> Stage {
    let mut s = Stage::made(vec![office()], OutsideCaps::default(), |c, sip| {
        c.services = places;
        change(c, sip);
    });
    let numbers = (0..s.gateway.ports.len()).map(|i| (Number::parse(&format!("200{i}")).unwrap(), PortId(i as u16))).collect();
    s.gateway.resolver = Resolver::new(numbers, Number::parse("3000").ok(), RouteCache::new(10), 500);
    s
}

/// So many telephones, 2000 and on, each with its sockets.
fn telephones(c: &mut Config, n: u16) {
    c.ports = (0..n).map(|i| PortConfig { name: format!("phone{i}"), number: None, account: None, ..c.ports[2].clone() }).collect();
    c.legs = (0..n)
        .map(|i| LegSockets { rtp: ([127, 0, 0, 1], 4 * i + 20_000).into(), udptl: ([127, 0, 0, 1], 4 * i + 20_002).into() })
        .collect();
}

#[test]
fn a_hundred_refused_calls_of_one_source_in_a_minute_are_one_line_and_one_record_at_most() {
    let stage = || with_echo(2, |_, _| {});
    let busy = || {
        let mut s = stage();
        s.line(2, LineEvent::WentOffHook);
        s
    };
    let gone = || {
        let mut s = stage();
        s.line(2, LineEvent::PortGone);
        s
    };
    let no_sockets = || with_echo(2, |c, _| c.legs.clear());
    let no_table = || with_echo(2, |c, _| c.calls_max = 0);
    let no_places = || with_echo(0, |_, _| {});
    let no_line = || Stage::new(vec![AccountConfig { calls_max: Some(0), ..office() }], OutsideCaps::default());
    // Its calls to these have its share already.
    let at_share = |mut s: Stage, users: &[&str]| {
        for user in users {
            s.call_in(server(66), user);
        }
        s
    };
    let eight = ["2000", "2001", "2002", "2003", "2004", "2005", "2006", "2007"];
    let table: Vec<(&str, Stage, u8, &str, &str, u16, usize)> = vec![
        ("unknown", stage(), 66, "7777", "", 404, 0),
        ("no number", stage(), 66, "nobody", "", 404, 0),
        ("busy", busy(), 66, "2002", "", 486, 1),
        ("gone", gone(), 66, "2002", "", 503, 1),
        ("video", stage(), 66, "2002", VIDEO, 488, 0),
        ("no description", stage(), 66, "2002", NONSENSE, 400, 0),
        ("no sockets", no_sockets(), 66, "2002", "", 503, 1),
        ("no table", no_table(), 66, "2002", "", 503, 0),
        ("no echo places", no_places(), 66, "3000", "", 503, 1),
        ("calls_max", no_line(), 1, "4930", "", 486, 0),
        ("its ports", at_share(with_echo(2, |c, _| telephones(c, 9)), &eight), 66, "2008", "", 503, 1),
        ("its echo places", at_share(stage(), &["3000"]), 66, "3000", "", 503, 1),
    ];
    for (what, mut s, from, user, headers, status, records) in table {
        // Each call is another: the number in the branch counts answers.
        let before = (s.words.len(), s.records.len(), s.answers.len(), s.gateway.calls.len());
        for _ in 0..100 {
            s.call_in_saying(server(from), user, headers);
        }
        let answers: Vec<u16> = s.answers[before.2..].iter().map(|(_, status)| *status).collect();
        assert_eq!(answers, [status; 100], "{what}");
        assert_eq!((s.words.len() - before.0, s.records.len() - before.1), (1, records), "{what}: {:?}", s.words);
        assert!(s.words.last().unwrap().contains(&format!("refused: {status} ")), "{what}: {:?}", s.words);
        assert_eq!(s.gateway.calls.len(), before.3, "{what}: nothing is kept");
        // After the minute there is another line, which says how many it stands for.
        s.now = s.now + ms(60_000);
        s.call_in_saying(server(from), user, headers);
        assert!(s.words.iter().any(|w| w.contains("; 99 more before it")), "{what}: {:?}", s.words);
    }
}

#[test]
fn a_caller_who_finds_the_line_busy_is_in_the_records_with_all_that_is_known() {
    let mut s = Stage::new(vec![office()], OutsideCaps::default());
    s.line(2, LineEvent::WentOffHook);
    s.call_in(server(66), "2002");
    let record = s.records.last().expect("one record");
    assert_eq!((record.result.as_str(), record.q850, record.completed), ("the called line is busy", 17, false));
    assert_eq!((record.direction, record.from.as_str(), record.to.as_str()), (crate::call::Direction::Incoming, "5550100", "2002"));
    assert_eq!((record.ports.as_slice(), record.peer), (&["phone2".to_owned()][..], Some(server(66))));
    assert!(record.sip_call_id.starts_with('c'), "{record:?}");
    // Another source has its own line and record.
    s.call_in(server(67), "2002");
    assert_eq!(s.records.len(), 2);
    // A trunk brings many callers: one line, and a record of each, within reason.
    for _ in 0..100 {
        s.call_in(server(1), "2002");
    }
    let lines = s.words.iter().filter(|w| w.contains("192.0.2.1:5060 to 2002 refused")).count();
    assert_eq!((lines, s.records.len()), (1, 32));
}

#[test]
fn one_stranger_rings_half_of_the_ports_and_no_more() {
    let call_all = |s: &mut Stage, from: u8| {
        let before = s.rung().len();
        for i in 0..16 {
            s.call_in(server(from), &format!("200{i}"));
        }
        s.rung().len() - before
    };
    let mut s = with_echo(2, |c, _| telephones(c, 16));
    assert_eq!(call_all(&mut s, 66), 8);
    assert_eq!(s.answers.last().unwrap().1, 503);
    assert!(s.words.last().unwrap().contains("calls of one source that are not answered yet"), "{:?}", s.words);
    // Somebody else finds the rest free. One that is answered counts no more.
    s.call_in(server(67), "20015");
    assert_eq!(s.rung(), [0, 1, 2, 3, 4, 5, 6, 7, 15]);
    s.line(0, LineEvent::Answered);
    s.call_in(server(66), "20014");
    assert_eq!(s.rung(), [0, 1, 2, 3, 4, 5, 6, 7, 15, 14]);
    // The controls: who is trusted, a server of an account, a gateway that was called before, the one that emergencies go to.
    let mut s = with_echo(2, |c, sip| {
        telephones(c, 16);
        sip.trusted.push("192.0.2.66".parse().unwrap());
    });
    assert_eq!(call_all(&mut s, 66), 16);
    let mut s = with_echo(2, |c, _| telephones(c, 16));
    assert_eq!(call_all(&mut s, 1), 16, "the account's server");
    let mut s = with_echo(2, |c, _| telephones(c, 16));
    s.gateway.resolver.learn(WallMs(1), Number::parse("9001").unwrap(), server(66), None);
    assert_eq!(call_all(&mut s, 66), 16);
    let mut s = with_echo(2, |c, _| {
        telephones(c, 16);
        c.emergency.targets.push(EmergencyTarget::Peer(server(66)));
    });
    assert_eq!(call_all(&mut s, 66), 16);
    // In a small gateway all of them: two offices' phones and fax machines call each other at the same time.
    let mut s = with_echo(2, |c, _| telephones(c, 4));
    assert_eq!(call_all(&mut s, 66), 4);
    // Echo places likewise.
    let mut s = with_echo(3, |_, _| {});
    let statuses = |s: &Stage| s.gateway.service_busy.iter().flatten().count();
    for (from, taken) in [(66, 1), (66, 2), (66, 2), (67, 3), (68, 3)] {
        s.call_in(server(from), "3000");
        assert_eq!(statuses(&s), taken, "{from}: {:?}", s.words);
    }
}

/// One pair of sockets, and emergencies that go to the port first.
fn one_leg() -> Stage {
    let mut s = Stage::made(vec![office()], OutsideCaps::default(), |c, _| {
        c.legs.truncate(1);
        c.emergency.targets = vec![EmergencyTarget::Port(PortId(2)), EmergencyTarget::Account(AccountId(0))];
    });
    s.says = 0;
    s
}

#[test]
fn an_emergency_call_has_sockets_at_its_second_target_too() {
    let mut s = one_leg();
    s.dial_and_wait(0, "911", true);
    s.call_in(server(1), "4930");
    assert_eq!(s.rung(), [2, 1], "the ordinary call has the only sockets");
    s.wait(41_000);
    assert_eq!((s.invites.is_empty(), s.called().as_str()), (false, "sip:911@office.example"), "{:?}", s.words);
    assert_eq!(s.records.last().map(|r| r.result.as_str()), Some("ended to make room for an emergency call"), "{:?}", s.words);
    // The control: an ordinary call takes nobody's, and an emergency that needs none leaves others in peace.
    let mut s = one_leg();
    s.call_in(server(1), "4930");
    s.dial(1, "05001", false);
    assert!(s.invites.is_empty() && s.records.iter().all(|r| !r.result.contains("to make room")), "{:?}", s.words);
    s.dial_and_wait(1, "911", true);
    s.wait(10_000);
    assert_eq!((s.rung(), s.gateway.calls().len()), (vec![0, 2], 2), "both ring: {:?}", s.words);
}

#[test]
fn the_only_emergency_target_rings_until_the_caller_hangs_up() {
    let mut s = Stage::made(vec![office()], OutsideCaps::default(), |c, _| c.emergency.targets = vec![EmergencyTarget::Port(PortId(2))]);
    s.dial_and_wait(0, "911", true);
    for minute in 1..=10 {
        let renewed = s.lines.iter().filter(|l| **l == (PortId(0), LineCommand::Ringback)).count();
        s.wait(60_000);
        assert_eq!(s.gateway.calls().len(), 1, "minute {minute}: {:?}", s.words);
        assert!(s.lines.iter().filter(|l| **l == (PortId(0), LineCommand::Ringback)).count() > renewed, "its line waits on");
    }
    assert_eq!(s.rung(), [2], "never taken back");
    // A line of ours stops its bell by itself after a while: it is asked for again.
    s.line(2, LineEvent::RingTimeout);
    assert_eq!((s.rung(), s.gateway.calls().len()), (vec![2, 2], 1));
    s.line(0, LineEvent::WentOnHook);
    s.wait(2_000);
    assert_eq!(s.records.last().unwrap().result, "the caller gave up before the answer");
    assert!(s.lines.contains(&(PortId(2), LineCommand::StopRinging)));
    // The control: an ordinary call to a bell that nobody hears ends.
    s.dial_and_wait(0, "2002", false);
    s.wait(61_000);
    assert_eq!((s.gateway.calls().len(), s.records.last().unwrap().result.as_str()), (0, "it rang, nobody answered"));
}
