//! The ways a number is had and told: on any device of a user, on several terminals, always on, by key, by whom it may be known.

use super::super::settings::Fixed;
use super::super::{Account, Capabilities, Mac, NumberPlan};
use super::*;
use crate::clock::ms;
use crate::digest::Ha1;
use crate::key::Fingerprint;
use crate::sip::Transport;
use std::net::SocketAddr;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}
fn user(text: &str) -> User {
    User::parse(text).unwrap()
}
fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
const KEY: Fingerprint = Fingerprint([1; 32]);
const OTHER_KEY: Fingerprint = Fingerprint([2; 32]);

struct World {
    directory: Directory,
    disk: Vec<Record>,
    now: Instant,
    wall: WallMs,
    cseq: u32,
}

impl World {
    fn new(change: impl FnOnce(&mut Policy)) -> World {
        let mut policy = Policy::new(NumberPlan::new(number("1"), 4).unwrap());
        change(&mut policy);
        let (now, wall) = (Instant::from_ms(5_000_000), WallMs(1_000_000_000));
        let mut w = World { directory: Directory::new(policy), disk: Vec::new(), now, wall, cseq: 0 };
        for name in ["2001", "2002", "anna"] {
            let own = number(if name == "anna" { "2003" } else { name });
            w.ask(Request::SetAccount(Account { user: user(name), number: Some(own), ha1: Ha1::of(name, "lan.test", "x") }));
        }
        w
    }
    fn ask(&mut self, request: Request) -> Response {
        let Decision { response, writes } = self.directory.handle(self.now, self.wall, request);
        self.disk.extend(writes);
        response
    }
    fn restart(&mut self) {
        self.now = Instant::from_ms(1000);
        self.directory = Directory::new(self.directory.policy().clone());
        for record in self.disk.clone() {
            self.directory.apply(self.now, self.wall, record);
        }
    }
    fn gateway(&mut self, name: &str, instance: &str, contact: &str, key: Option<Fingerprint>) -> Response {
        self.ask(Request::Register(Register {
            user: user(name),
            wanted: None,
            instance: Instance::parse(instance).unwrap(),
            contact: at(contact),
            transport: Transport::Udp,
            fingerprint: key,
            proof: Default::default(),
            capabilities: Capabilities::default(),
            private: None,
            mac: None,
            lease_s: None,
            calls: 0,
        }))
    }
    fn phone(&mut self, name: &str, contact: &str, instance: Option<&str>) -> Response {
        self.cseq += 1;
        let wish = Wish {
            uri: format!("sip:{name}@{contact}").into(),
            address: at(contact),
            transport: Transport::Udp,
            hidden: false,
            instance: instance.map(|i| Instance::parse(i).unwrap()),
            q: 500,
            lease_s: None,
        };
        let change = Change::Contacts(vec![wish]);
        self.ask(Request::Bind(Bind { user: user(name), wanted: None, change, order: (1, self.cseq) }))
    }
    fn set(&mut self, by: Option<&str>, settings: Settings) -> Response {
        self.ask(Request::Set { by: by.map(user), settings })
    }
    fn look_up(&self, n: &str, asker: Asker<'_>) -> Response {
        self.directory.look_up(self.now, &number(n), asker)
    }
    fn places(&self, n: &str) -> Vec<String> {
        match self.look_up(n, Asker::Operator) {
            Response::Found(found) => found.contacts.iter().map(|(b, _)| b.address.to_string()).collect(),
            _ => Vec::new(),
        }
    }
}

#[test]
fn req_c7_a_sip_phone_shows_its_mac_in_the_name_that_it_made_from_it() {
    let mac = Mac::parse("00:0b:82:01:02:03").unwrap();
    let name = |text: &str| Mac::in_name(&Instance::parse(text).unwrap());
    assert_eq!(name("urn:uuid:00000000-0000-1000-8000-000B82010203"), Some(mac));
    assert_eq!(name("URN:UUID:f81d4fae-7dec-11d0-a765-000b82010203"), Some(mac));
    for none in [
        "urn:uuid:f81d4fae-7dec-41d0-a765-000b82010203",
        "urn:uuid:00000000-0000-1000-8000-010B82010203",
        "tipring-1",
        "urn:uuid:",
        "urn:uuid:é",
    ] {
        assert_eq!(Instance::parse(none).ok().and_then(|i| Mac::in_name(&i)), None, "{none}: version 4, a multicast node, no UUID");
    }
    let mut w = World::new(|_| ());
    w.ask(Request::Reserve(Reservation { number: number("2001"), user: user("2001"), mac: Some(mac) }));
    assert_eq!(w.phone("2001", "10.0.0.1:5060", None), Response::Refused(Refusal::WrongMac));
    let other = "urn:uuid:00000000-0000-1000-8000-000B82010204";
    assert_eq!(w.phone("2001", "10.0.0.1:5060", Some(other)), Response::Refused(Refusal::WrongMac));
    assert!(w.places("2001").is_empty() && w.disk.len() == 4, "nothing changed");
    assert!(matches!(w.phone("2001", "10.0.0.1:5060", Some("urn:uuid:00000000-0000-1000-8000-000B82010203")), Response::Bound { .. }));
}

#[test]
fn req_c8_a_user_keeps_the_number_on_any_device() {
    let mut w = World::new(|_| ());
    for (device, contact) in [("desk", "10.0.0.1:5060"), ("home", "10.9.0.1:5060"), ("hotel", "172.16.0.1:5060")] {
        let Response::Registered { number: n, .. } = w.gateway("anna", device, contact, None) else { panic!() };
        assert_eq!(n, number("2003"));
        assert_eq!(w.places("2003"), [contact], "the device of before is not called any more");
    }
    assert_eq!(w.directory.number_of("anna"), Some(&number("2003")));
    assert!(matches!(w.phone("anna", "10.0.0.7:5060", None), Response::Bound { .. }));
    assert_eq!(w.places("2003"), ["10.0.0.7:5060"]);
}

#[test]
fn several_terminals_have_one_number_where_it_is_set_so() {
    let mut w = World::new(|_| ());
    w.set(None, Settings { ring: Some(Ring::All), ..Settings::usual(number("2001")) });
    w.gateway("2001", "a", "10.0.0.1:5060", None);
    w.gateway("2001", "b", "10.0.0.2:5060", None);
    w.phone("2001", "10.0.0.3:5060", None);
    w.restart();
    assert_eq!(w.places("2001"), ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"], "the phone's q is less");
    let Response::Found(found) = w.look_up("2001", Asker::Operator) else { panic!() };
    assert_eq!(found.ring, Ring::All);
    // One moves, one leaves: the others stay.
    w.gateway("2001", "a", "10.0.0.9:5060", None);
    let leave = |i: &str| Request::Deregister { user: user("2001"), number: number("2001"), instance: Some(Instance::parse(i).unwrap()) };
    assert!(matches!(w.ask(leave("b")), Response::Deregistered { was_registered: true, .. }));
    assert_eq!(w.ask(leave("c")), Response::Refused(Refusal::NotThisTerminal));
    assert_eq!(w.places("2001"), ["10.0.0.9:5060", "10.0.0.3:5060"]);
    // As many as one number has, and no more.
    for i in 2..crate::limits::BINDINGS_PER_NUMBER_MAX {
        assert!(matches!(w.gateway("2001", &format!("t{i}"), &format!("10.0.1.{i}:5060"), None), Response::Registered { .. }));
    }
    assert_eq!(w.gateway("2001", "more", "10.0.2.1:5060", None), Response::Refused(Refusal::TooManyContacts));
    w.restart();
    assert_eq!(w.places("2001").len(), crate::limits::BINDINGS_PER_NUMBER_MAX);
}

#[test]
fn req_d14_a_terminal_that_is_always_on_is_found_without_registering() {
    let mut w = World::new(|_| ());
    let fixed = |address: &str| Some(Fixed { address: at(address), transport: Transport::Tcp, fingerprint: Some(KEY) });
    let settings = Settings { fixed: fixed("10.0.0.50:5060"), ..Settings::usual(number("2009")) };
    assert_eq!(w.look_up("2009", Asker::Operator), Response::Unknown(number("2009")));
    assert_eq!(w.set(None, settings.clone()), Response::Done);
    w.restart();
    let Response::Found(found) = w.look_up("12009", Asker::Operator) else { panic!() };
    assert_eq!((found.contact, found.transport, found.fingerprint), (at("10.0.0.50:5060"), Transport::Tcp, Some(KEY)));
    // Where it is called is not for its user to say, and what cannot be called is refused.
    assert_eq!(w.set(Some("2001"), settings), Response::Refused(Refusal::NotEntitled));
    w.set(Some("2001"), Settings { presence: true, fixed: fixed("10.6.6.6:5060"), ..Settings::usual(number("2001")) });
    assert_eq!(w.look_up("2001", Asker::Operator), Response::Away(number("2001")), "an owner's word does not make an address");
    let nowhere = Settings { fixed: fixed("0.0.0.0:5060"), ..Settings::usual(number("2009")) };
    assert_eq!(w.set(None, nowhere), Response::Refused(Refusal::BadContact));
    assert_eq!(w.set(None, Settings::usual(number("2009"))), Response::Done);
    assert_eq!(w.look_up("2009", Asker::Operator), Response::Unknown(number("2009")));
}

#[test]
fn req_d3_d6_who_is_in_a_call_is_busy_for_those_who_may_see_it_until_the_call_ends() {
    let mut w = World::new(|_| ());
    w.gateway("2001", "a", "10.0.0.1:5060", None);
    let anna = user("anna");
    let seen = |w: &World| match w.look_up("2001", Asker::Account(&anna)) {
        Response::Found(found) => found.presence.map(|p| (p.is_busy(), p.do_not_disturb)),
        other => panic!("{other:?}"),
    };
    let calls = |name: &str, calls| Request::Calls { user: user(name), number: number("2001"), calls };
    assert_eq!(w.ask(calls("2001", 1)), Response::Done);
    assert_eq!(seen(&w), None, "nobody allowed it");
    let settings = Settings { presence: true, ..Settings::usual(number("2001")) };
    assert_eq!(w.set(Some("2001"), settings.clone()), Response::Done);
    assert_eq!(seen(&w), Some((true, false)));
    assert_eq!(w.ask(calls("2002", 0)), Response::Refused(Refusal::NotEntitled));
    w.set(Some("2001"), Settings { call_waiting: true, do_not_disturb: true, ..settings.clone() });
    assert_eq!(seen(&w), Some((false, true)), "a second call is taken");
    w.set(Some("2001"), settings);
    assert_eq!(seen(&w), Some((true, false)));
    w.ask(calls("2001", 0));
    assert_eq!(seen(&w), Some((false, false)));
    // Who leaves in the middle of a call and comes back has none.
    w.ask(calls("2001", 1));
    w.ask(Request::Deregister { user: user("2001"), number: number("2001"), instance: None });
    w.gateway("2001", "a", "10.0.0.1:5060", None);
    assert_eq!(seen(&w), Some((false, false)));
}

#[test]
fn req_a6_an_identifier_is_resolved_to_the_address_of_the_moment() {
    let mut w = World::new(|_| ());
    let places = |w: &World, key| -> Vec<(String, String)> {
        let found = w.directory.look_up_key(w.now, key, Asker::Operator);
        found.iter().map(|(n, b, _)| (n.to_string(), b.address.to_string())).collect()
    };
    w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
    w.gateway("2002", "gw", "10.0.0.1:5060", Some(KEY));
    w.gateway("anna", "other", "10.0.0.2:5060", Some(OTHER_KEY));
    let both = |address: &str| vec![("2001".to_string(), address.to_string()), ("2002".into(), address.into())];
    assert_eq!(places(&w, KEY), both("10.0.0.1:5060"));
    for name in ["2001", "2002"] {
        w.gateway(name, "gw", "192.0.2.77:5060", Some(KEY));
    }
    assert_eq!(places(&w, KEY), both("192.0.2.77:5060"), "it moved");
    w.restart();
    assert_eq!(places(&w, KEY), both("192.0.2.77:5060"));
    assert_eq!(places(&w, OTHER_KEY), [("2003".to_string(), "10.0.0.2:5060".to_string())]);
    assert!(places(&w, Fingerprint([9; 32])).is_empty());
    assert!(w.directory.look_up_key(w.now, KEY, Asker::Stranger).is_empty(), "not for everybody");
    w.now = w.now + ms(3_600_000);
    assert!(places(&w, KEY).is_empty(), "its lease ended");
}

#[test]
fn a_new_key_on_a_number_raises_an_alarm_and_by_policy_gets_nothing() {
    for rule in [NewKey::Report, NewKey::Refuse] {
        let mut w = World::new(|p| p.new_key = rule);
        w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
        w.gateway("2001", "gw", "10.0.0.2:5060", Some(KEY));
        assert_eq!(w.directory.poll_alarm(), None, "the same key elsewhere is no news");
        w.ask(Request::Deregister { user: user("2001"), number: number("2001"), instance: None });
        w.restart();
        // Another key, none by the API, none by SIP: the password alone is not the gateway.
        let tries: [&dyn Fn(&mut World) -> Response; 3] =
            [&|w| w.gateway("2001", "gw", "10.6.6.6:5060", Some(OTHER_KEY)), &|w| w.gateway("2001", "gw2", "10.6.6.6:5060", None), &|w| {
                w.phone("2001", "10.6.6.7:5060", None)
            }];
        for (i, attempt) in tries.iter().enumerate() {
            let response = attempt(&mut w);
            let alarm = w.directory.poll_alarm().unwrap_or_else(|| panic!("{rule:?} {i}: no alarm"));
            let key = (i == 0).then_some(OTHER_KEY);
            let from = at(if i == 2 { "10.6.6.7:5060" } else { "10.6.6.6:5060" });
            assert_eq!((alarm.contact, alarm.key, alarm.refused), (from, key, rule == NewKey::Refuse));
            assert_eq!(response == Response::Refused(Refusal::NewKey), rule == NewKey::Refuse, "{rule:?} {i}: {response:?}");
            assert_eq!(w.places("2001").is_empty(), rule == NewKey::Refuse);
        }
        assert_eq!(w.directory.counts().alarms, 3);
        w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
        assert_eq!(w.directory.poll_alarm(), None, "{rule:?}: the key of old");
        // The operator knows of the new gateway.
        w.ask(Request::ForgetKeys(number("2001")));
        assert!(matches!(w.gateway("2001", "gw", "10.0.0.3:5060", Some(Fingerprint([5; 32]))), Response::Registered { .. }));
        assert_eq!(w.directory.poll_alarm(), None);
    }
}

#[test]
fn an_address_is_told_to_whom_its_number_allows() {
    let (anna, own) = (user("anna"), user("2001"));
    let askers = [Asker::Stranger, Asker::Account(&anna), Asker::Referred, Asker::Account(&own), Asker::Operator];
    for (default, own_rule) in [
        (Disclosure::Accounts, None),
        (Disclosure::Anyone, None),
        (Disclosure::Accounts, Some(Disclosure::Anyone)),
        (Disclosure::Anyone, Some(Disclosure::Accounts)),
        (Disclosure::Anyone, Some(Disclosure::Consent)),
    ] {
        let mut w = World::new(|p| p.disclosure = default);
        w.gateway("2001", "a", "10.0.0.1:5060", Some(KEY));
        w.set(Some("2001"), Settings { disclosure: own_rule, ..Settings::usual(number("2001")) });
        let told: Vec<bool> = askers.iter().map(|a| matches!(w.look_up("2001", *a), Response::Found(_))).collect();
        let should = match own_rule.unwrap_or(default) {
            Disclosure::Anyone => [true; 5],
            Disclosure::Accounts => [false, true, true, true, true],
            Disclosure::Consent => [false, false, false, true, true],
        };
        assert_eq!(told, should, "{default:?} {own_rule:?}");
        let by_key: Vec<bool> = askers.iter().map(|a| !w.directory.look_up_key(w.now, KEY, *a).is_empty()).collect();
        assert_eq!(by_key, should, "by key: {default:?} {own_rule:?}");
        // A stranger does not even hear whether a number exists, where look-ups are for accounts.
        if default == Disclosure::Accounts {
            assert_eq!([w.look_up("2009", askers[0]), w.look_up("999999", askers[0])], [Response::LogIn, Response::LogIn]);
        }
    }
}

#[test]
fn req_c3_a_number_of_another_directory_is_answered_with_where_that_is() {
    let mut w = World::new(|_| ());
    let server = |n: &str, digits| Server {
        number: number(n),
        terminal_digits: digits,
        sip: "192.0.2.2:6060".into(),
        api: None,
        fingerprint: None,
        secret: None,
    };
    assert_eq!(w.ask(Request::SetServer(server("2", 5))), Response::Done);
    assert_eq!(w.ask(Request::SetServer(server("1", 4))), Response::Refused(Refusal::NumberTaken), "that is us");
    assert_eq!(w.ask(Request::SetServer(server("3", 0))), Response::Refused(Refusal::NumberTaken));
    w.restart();
    assert_eq!(w.look_up("234567", Asker::Referred), Response::Elsewhere(Box::new(server("2", 5)), number("234567")));
    assert_eq!(w.look_up("23456", Asker::Referred), Response::Unknown(number("23456")));
    assert_eq!(w.look_up("234567", Asker::Stranger), Response::LogIn);
    assert_eq!(w.ask(Request::RemoveServer(number("2"))), Response::Done);
    assert_eq!(w.ask(Request::RemoveServer(number("2"))), Response::Refused(Refusal::NoSuchRow));
    assert_eq!(w.look_up("234567", Asker::Referred), Response::Unknown(number("234567")));
}

#[test]
fn req_c4_a_host_is_one_terminals_where_the_policy_says_so_and_nats_hide_many() {
    let mut w = World::new(|p| p.address_is_host = true);
    w.gateway("2001", "a", "10.0.0.1:5060", None);
    assert_eq!(w.gateway("2002", "b", "10.0.0.1:5070", None), Response::Refused(Refusal::AddressInUse(vec![number("2001")])));
    assert!(matches!(w.gateway("2002", "a", "10.0.0.1:5070", None), Response::Registered { .. }), "another port of the same gateway");
    // Behind a NAT.
    let hidden = |w: &mut World, name: &str, port: u16| {
        w.cseq += 1;
        let wish = Wish {
            uri: format!("sip:{name}@192.168.1.2").into(),
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            transport: Transport::Udp,
            hidden: true,
            instance: None,
            q: 1000,
            lease_s: None,
        };
        w.ask(Request::Bind(Bind { user: user(name), wanted: None, change: Change::Contacts(vec![wish]), order: (1, w.cseq) }))
    };
    assert!(matches!(hidden(&mut w, "anna", 40001), Response::Bound { .. }));
    assert!(matches!(hidden(&mut w, "2001", 40002), Response::Bound { .. }));
    assert_eq!(hidden(&mut w, "2002", 40001), Response::Refused(Refusal::AddressInUse(vec![number("2003")])), "the very same door");
}

#[test]
fn a_gateways_name_without_its_key_is_not_the_gateway() {
    for by_sip in [false, true] {
        let mut w = World::new(|p| p.new_key = NewKey::Refuse);
        w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
        let refused = match by_sip {
            true => w.phone("2001", "203.0.113.66:5060", Some("gw")),
            false => w.gateway("2001", "gw", "203.0.113.66:5060", None),
        };
        assert_eq!((refused, w.directory.counts().alarms), (Response::Refused(Refusal::NewKey), 1), "by SIP: {by_sip}");
        assert_eq!(w.places("2001"), ["10.0.0.1:5060"]);
    }
    // A phone that was let in without a key renews where it stands, and nothing is said of it again.
    let mut w = World::new(|_| ());
    w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
    w.phone("2001", "10.0.0.2:5060", Some("phone"));
    w.phone("2001", "10.0.0.2:5060", Some("phone"));
    assert_eq!(w.directory.counts().alarms, 1);
}

#[test]
fn a_number_that_changes_hands_leaves_its_terminals_and_its_settings_behind() {
    let account = |u: &str, n: &str| Account { user: user(u), number: Some(number(n)), ha1: Ha1::of(u, "lan.test", "x") };
    for by_import in [false, true] {
        let mut w = World::new(|p| p.ring = Ring::All);
        w.phone("2001", "10.0.0.1:5060", None);
        w.set(Some("2001"), Settings { disclosure: Some(Disclosure::Anyone), ..Settings::usual(number("2001")) });
        if by_import {
            let mut all: Vec<Account> = w.directory.accounts().filter(|a| a.user != user("2001")).cloned().collect();
            all.extend([account("2001", "2009"), account("bob", "2001")]);
            all.sort_by(|a, b| a.user.cmp(&b.user));
            let ended = w.directory.replace_accounts(w.now, w.wall, all.clone());
            // The accounts are on disk already; what ended with them comes behind.
            w.disk.extend(all.into_iter().map(Record::Account));
            w.disk.extend(ended);
        } else {
            assert_eq!(w.ask(Request::SetAccount(account("2001", "2009"))), Response::Done);
            assert_eq!(w.ask(Request::SetAccount(account("bob", "2001"))), Response::Done);
        }
        for restarted in [false, true] {
            if restarted {
                w.restart();
            }
            assert!(w.places("2001").is_empty(), "import {by_import} restarted {restarted}");
            assert_eq!(w.look_up("2001", Asker::Stranger), Response::LogIn, "import {by_import} restarted {restarted}");
        }
        w.phone("bob", "10.0.0.2:5060", None);
        assert_eq!(w.places("2001"), ["10.0.0.2:5060"]);
    }
}

#[test]
fn the_next_holder_of_a_pool_number_does_not_inherit_what_the_last_one_wanted() {
    let mut w = World::new(|p| {
        p.dynamic = Some((number("2500"), number("2501")));
        p.dynamic_kept_s = 10;
        p.disclosure = Disclosure::Consent;
    });
    for u in ["eve", "bob"] {
        w.ask(Request::SetAccount(Account { user: user(u), number: None, ha1: Ha1::of(u, "lan.test", "x") }));
    }
    w.phone("eve", "10.0.0.1:5060", None);
    let wanted = Settings { disclosure: Some(Disclosure::Anyone), do_not_disturb: true, ..Settings::usual(number("2500")) };
    assert_eq!(w.set(Some("eve"), wanted), Response::Done);
    for seconds in [3601, 11] {
        w.now = w.now + ms(seconds * 1000);
        let writes = w.directory.handle_timeout(w.now, w.wall);
        w.disk.extend(writes);
    }
    assert_eq!(w.look_up("2500", Asker::Operator), Response::Unknown(number("2500")));
    w.restart();
    w.phone("bob", "10.0.0.2:5060", None);
    assert_eq!(w.look_up("2500", Asker::Stranger), Response::LogIn);
    assert!(matches!(w.look_up("2500", Asker::Operator), Response::Found(_)), "and nobody is disturbed by eve's wish");
}

#[test]
fn req_d6_a_gateway_that_comes_back_after_a_crash_is_idle() {
    let mut w = World::new(|_| ());
    w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
    w.set(None, Settings { presence: true, ..Settings::usual(number("2001")) });
    w.ask(Request::Calls { user: user("2001"), number: number("2001"), calls: 1 });
    let busy = |w: &World| match w.look_up("2001", Asker::Operator) {
        Response::Found(found) => found.presence.is_some_and(|p| p.is_busy()),
        other => panic!("{other:?}"),
    };
    assert!(busy(&w));
    // A new process registers, and says that it has no calls.
    w.gateway("2001", "gw", "10.0.0.1:5060", Some(KEY));
    assert!(!busy(&w));
}

#[test]
fn req_c5_an_ended_lease_stays_ended_over_a_wall_clock_that_was_put_back_and_a_restart() {
    let mut w = World::new(|_| ());
    w.phone("2001", "10.0.0.1:5060", None);
    w.now = w.now + ms(3_700_000);
    w.wall = WallMs(w.wall.0 + 3_700_000);
    let writes = w.directory.handle_timeout(w.now, w.wall);
    w.disk.extend(writes);
    w.wall = WallMs(w.wall.0 - 3_600_000);
    w.restart();
    assert!(w.places("2001").is_empty());
}

#[test]
fn who_does_not_want_to_be_disturbed_is_away_where_he_may_not_be_seen() {
    let mut w = World::new(|_| ());
    w.phone("2001", "10.0.0.1:5060", None);
    let anna = user("anna");
    for presence in [false, true] {
        w.set(Some("2001"), Settings { do_not_disturb: true, presence, ..Settings::usual(number("2001")) });
        match (presence, w.look_up("2001", Asker::Account(&anna))) {
            (false, Response::Away(_)) => {}
            (true, Response::Found(found)) => assert!(found.presence.is_some_and(|p| p.do_not_disturb)),
            other => panic!("{other:?}"),
        }
    }
}
