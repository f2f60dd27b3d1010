//! Accounts in the calls of a gateway: what leaves, what does not, and who may call in. The outside server is played by the test.

use super::*;
use crate::call::{CallRecord, Config, EmergencyPlan, EmergencyTarget, LegSockets, PortConfig, SecurityConfig};
use crate::clock::WallMs;
use crate::line::{Command as LineCommand, Event as LineEvent};
use crate::negotiate::MediaPolicy;
use crate::number::{CallerIdCodes, DialString, Number};
use crate::resolve::Resolver;
use crate::resolve::cache::RouteCache;
use crate::resolve::prefix::{PrefixRoute, PrefixRoutes};
use crate::sip::message::{Message, Method};
use crate::sip::{self, Endpoint};
use crate::tick::{Command, Event};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tipring_dsp::g711::Law;

fn server(n: u8) -> SocketAddr {
    ([192, 0, 2, n], 5060).into()
}
fn account(name: &str, user: Option<&str>, n: u8) -> AccountConfig {
    AccountConfig {
        name: name.into(),
        servers: vec![format!("sip:192.0.2.{n}")],
        proxy: None,
        domain: "office.example".into(),
        user: user.map(str::to_owned),
        login: None,
        register_s: user.map(|_| 600),
        caller_id: CallerId::Account,
        calls_max: None,
        calls_per_hour: None,
        fax: None,
        media: None,
        dtls: false,
    }
}

struct Stage {
    now: Instant,
    gateway: Gateway,
    registered: u32,
    register: Option<Message>,
    invites: Vec<(Hop, Message)>,
    /// What every INVITE gets; 0: nothing.
    says: u16,
    service_route: Option<&'static str>,
    records: Vec<CallRecord>,
    words: Vec<String>,
    lines: Vec<(PortId, LineCommand)>,
    answers: Vec<(Hop, u16)>,
    located: Vec<(LocateId, String)>,
    csi: Vec<(String, Option<String>)>,
    /// Ports whose fax got leave to go.
    cleared: Vec<PortId>,
}

impl Stage {
    fn new(accounts: Vec<AccountConfig>, caps: OutsideCaps) -> Stage {
        Stage::made(accounts, caps, |_, _| {})
    }

    /// The same with other settings of calls and SIP.
    fn made(accounts: Vec<AccountConfig>, caps: OutsideCaps, change: impl Fn(&mut Config, &mut sip::Config)) -> Stage {
        let port = |i: u16| PortConfig {
            name: format!("phone{i}"),
            number: Number::parse(&format!("200{i}")).ok(),
            account: (i < 2).then_some(AccountId(0)),
            outside: caps,
            fax: false,
            anonymous: false,
        };
        let ports: Vec<PortConfig> = (0..3).map(port).collect();
        let numbers: BTreeMap<Number, PortId> =
            ports.iter().enumerate().map(|(i, p)| (p.number.clone().unwrap(), PortId(i as u16))).collect();
        let mut resolver = Resolver::new(numbers, None, RouteCache::new(10), 500);
        let mut routes = PrefixRoutes::new();
        for (prefix, strip, way) in [("0", 1, Way::Account(AccountId(0))), ("1", 1, Way::Own), ("7", 0, Way::Account(AccountId(1)))] {
            routes.add(PrefixRoute { prefix: prefix.into(), strip, add: String::new(), way }).unwrap();
        }
        resolver.set_prefix_routes(routes);
        let leg = |i: u16| LegSockets { rtp: ([127, 0, 0, 1], 4 * i + 20_000).into(), udptl: ([127, 0, 0, 1], 4 * i + 20_002).into() };
        let mut config = Config {
            ports,
            services: 0,
            legs: (0..4).map(leg).collect(),
            media: MediaPolicy { laws: vec![Law::Mu], jitter_max_ms: 200, watchdog_ms: 30_000, t38: None },
            emergency: EmergencyPlan {
                targets: vec![EmergencyTarget::Account(AccountId(0)), EmergencyTarget::Port(PortId(2))],
                ..EmergencyPlan::default()
            },
            accounts,
            codes: CallerIdCodes { withhold: DialString::parse("*67").ok(), show: DialString::parse("*82").ok() },
            no_answer_ms: 60_000,
            learned_silence_ms: 2_000,
            calls_max: 16,
            security: SecurityConfig::off(),
        };
        let mut sip = sip::Config::new(([192, 0, 2, 100], 5060).into(), "test");
        change(&mut config, &mut sip);
        let sip = Endpoint::new(sip, 1);
        let mut gateway = Gateway::new(config, sip, resolver, 2);
        gateway.set_wall(Instant::ZERO, WallMs(1));
        let mut stage = Stage {
            now: Instant::ZERO,
            gateway,
            registered: 0,
            register: None,
            invites: Vec::new(),
            says: 486,
            service_route: None,
            records: Vec::new(),
            words: Vec::new(),
            lines: Vec::new(),
            answers: Vec::new(),
            located: Vec::new(),
            csi: Vec::new(),
            cleared: Vec::new(),
        };
        stage.gateway.start_accounts(stage.now);
        stage.settle();
        stage
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let mut idle = true;
            while let Some(transmit) = self.gateway.poll_transmit() {
                idle = false;
                self.hear(transmit.dst, &Message::parse(&transmit.bytes).unwrap());
            }
            while let Some(action) = self.gateway.poll_action() {
                idle = false;
                match action {
                    Action::Lookup(query, _) | Action::FindIdentifier(query, ..) => {
                        let unknown = crate::resolve::Answer::No(crate::resolve::NoRoute::Unknown);
                        self.gateway.handle_lookup(self.now, query, unknown);
                    }
                    Action::Record(record) => self.records.push(*record),
                    Action::Log(line) => self.words.push(line.words),
                    Action::Locate(id, uri) => self.located.push((id, uri)),
                    Action::Csi(number, csi) => self.csi.push((number.to_string(), csi)),
                    Action::Route(..) | Action::Audit(_) => {}
                }
            }
            while let Some(command) = self.gateway.poll_command() {
                if let Command::Clear(port, _) = &command {
                    self.cleared.push(*port);
                }
                if let Command::Line(port, line) = command {
                    self.lines.push((port, line));
                }
            }
            if idle {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// The server's side.
    fn hear(&mut self, from: Hop, message: &Message) {
        let status = match message.method() {
            None => return self.answers.push((from, message.status().unwrap())),
            Some(Method::Register) => {
                self.register = Some(message.clone());
                self.registered += 1;
                200
            }
            Some(Method::Invite) => {
                self.invites.push((from, message.clone()));
                self.says
            }
            Some(Method::Ack) => return,
            Some(_) => 200,
        };
        if status == 0 {
            return;
        }
        let mut response = Message::response_to(message, status, "As Told");
        if message.method() == Some(&Method::Register) {
            response.headers.push("Contact", message.headers.get("Contact").unwrap());
            if let Some(route) = self.service_route {
                response.headers.push("Service-Route", route);
            }
        }
        self.gateway.handle_message(self.now, from, &response.emit());
    }

    fn line(&mut self, port: u16, event: LineEvent) {
        self.gateway.handle_tick_event(self.now, Event::Line(PortId(port), event));
        self.settle();
    }
    /// Lifts, dials, and hangs up when the call is over.
    fn dial(&mut self, port: u16, digits: &str, emergency: bool) {
        self.dial_and_wait(port, digits, emergency);
        self.line(port, LineEvent::WentOnHook);
    }
    fn dial_and_wait(&mut self, port: u16, digits: &str, emergency: bool) {
        let keys = DialString::parse(digits).unwrap();
        self.line(port, LineEvent::WentOffHook);
        self.line(port, LineEvent::Dialled { keys, emergency });
    }
    /// Time passes, as far as the gateway notices it.
    fn wait(&mut self, for_ms: u64) {
        let end = self.now + ms(for_ms);
        while let Some(at) = self.gateway.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.gateway.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }
    /// Ports that a bell was asked for, in order.
    fn rung(&self) -> Vec<u16> {
        self.lines.iter().filter(|(_, l)| matches!(l, LineCommand::Ring { .. })).map(|(p, _)| p.0).collect()
    }

    fn call_in(&mut self, from: SocketAddr, user: &str) {
        self.call_in_saying(from, user, "");
    }
    fn call_in_saying(&mut self, from: SocketAddr, user: &str, headers: &str) {
        let n = self.answers.len() + self.words.len();
        let invite = format!(
            "INVITE sip:{user}@192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:5550100@office.example>;tag=t{n}\r\nTo: <sip:{user}@office.example>\r\nCall-ID: c{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:x@{from}>\r\n{headers}\r\n"
        );
        self.gateway.handle_message(self.now, Hop::udp(from), invite.as_bytes());
        self.settle();
    }

    fn header(&self, name: &str) -> String {
        let invite = &self.invites.last().expect("an INVITE went out").1;
        String::from_utf8_lossy(invite.headers.get(name).unwrap_or_default()).into_owned()
    }
    fn called(&self) -> String {
        self.invites.last().map_or_else(String::new, |(_, m)| String::from_utf8_lossy(m.request_uri().unwrap().as_bytes()).into_owned())
    }
}

#[test]
fn what_a_route_names_goes_through_its_account_and_nothing_else_leaves() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1), account("trunk", None, 2)], OutsideCaps::default());
    assert_eq!(s.registered, 1, "only the one with a user registers");
    // Named by no row: 5001, and a local number. Not even with an account at the port.
    for digits in ["5001", "2001", "911"] {
        s.dial(0, digits, false);
    }
    assert!(s.invites.is_empty(), "{:?}", s.invites);
    assert_eq!(s.records[0].result, "no such number");
    // The control: with a row it goes.
    s.dial(0, "05001", false);
    assert_eq!((s.called().as_str(), s.invites[0].0), ("sip:5001@office.example", Hop::udp(server(1))));
    assert!(s.header("From").starts_with("<sip:4930@office.example>"), "{}", s.header("From"));
    let record = s.records.last().unwrap();
    assert_eq!((record.route, record.account.as_deref(), record.result.as_str()), ("account", Some("office"), "the called line is busy"));
    s.dial(2, "7123", false);
    assert_eq!((s.called().as_str(), s.invites[1].0), ("sip:7123@office.example", Hop::udp(server(2))));
    assert!(s.header("From").starts_with("<sip:2002@office.example>"), "an account without a user has no other name");
}

#[test]
fn a_route_to_own_is_for_ports_that_have_one() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps::default());
    s.dial(1, "1555", false);
    assert_eq!(s.called(), "sip:555@office.example");
    s.dial(2, "1555", false);
    assert_eq!(s.invites.len(), 1);
    assert_eq!(s.records.last().unwrap().result, "the port has no account of its own for this route");
    assert!(s.lines.contains(&(PortId(2), LineCommand::Reorder)));
}

#[test]
fn caps_are_kept_and_an_emergency_passes_them_by() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps { at_once: 1, per_hour: 3 });
    for _ in 0..5 {
        s.dial(0, "05001", false);
    }
    assert_eq!(s.invites.len(), 3);
    assert!(s.records[4].result.contains("outside_calls_per_hour") && s.records[4].q850 == 21, "{:?}", s.records[4]);
    assert_eq!(s.lines.iter().filter(|l| **l == (PortId(0), LineCommand::Reorder)).count(), 2);
    s.dial(1, "05001", false);
    assert_eq!(s.invites.len(), 4, "each port has its own count");
    s.dial(0, "911", true);
    assert_eq!((s.invites.len(), s.called().as_str()), (5, "sip:911@office.example"));
    assert_eq!(s.records.last().unwrap().route, "emergency");
    s.now = s.now + ms(3_600_000);
    s.dial(0, "05001", false);
    assert_eq!(s.invites.len(), 6, "an hour later there is room");

    let mut none = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps { at_once: 0, per_hour: 60 });
    none.dial(0, "05001", false);
    assert!(none.invites.is_empty() && none.records[0].result.contains("outside_calls_max"));
}

fn office() -> AccountConfig {
    account("office", Some("4930"), 1)
}

#[test]
fn an_account_bounds_what_its_ports_do_together_in_both_directions() {
    let mut s = Stage::new(vec![AccountConfig { calls_max: Some(2), ..office() }], OutsideCaps::default());
    s.says = 180;
    s.dial_and_wait(0, "05001", false);
    s.call_in(server(1), "4930");
    assert_eq!((s.invites.len(), s.rung()), (1, vec![1]));
    // One out, one in: that is all.
    s.dial(2, "05001", false);
    assert_eq!(s.invites.len(), 1);
    let refused = s.records.last().unwrap();
    assert!(refused.result.contains("calls_max") && refused.q850 == 21, "{refused:?}");
    s.call_in(server(1), "4930");
    assert_eq!((s.answers.last().unwrap().1, s.rung()), (486, vec![1]));
    assert!(s.words.iter().any(|w| w.contains("refused: 486") && w.contains("calls_max")), "{:?}", s.words);
    // An emergency is not counted and not refused; nor does it take a place from others.
    s.dial_and_wait(2, "911", true);
    assert_eq!((s.invites.len(), s.called().as_str()), (2, "sip:911@office.example"));
    s.line(0, LineEvent::WentOnHook);
    s.wait(2_000);
    s.dial_and_wait(0, "05001", false);
    assert_eq!(s.invites.len(), 3, "with one call gone there is room beside the emergency: {:?}", s.words);
    // The control: without a bound of its own the account takes what its ports make.
    let mut s = Stage::new(vec![office()], OutsideCaps::default());
    s.says = 180;
    for port in 0..3 {
        s.dial_and_wait(port, "05001", false);
    }
    assert_eq!(s.invites.len(), 3);
}

#[test]
fn an_account_bounds_what_goes_out_through_it_in_an_hour() {
    let mut s = Stage::new(vec![AccountConfig { calls_per_hour: Some(3), ..office() }], OutsideCaps::default());
    for port in [0, 1, 0, 1, 2] {
        s.dial(port, "05001", false);
    }
    assert_eq!(s.invites.len(), 3, "together");
    assert!(s.records[3].result.contains("calls_per_hour") && s.records[4].result.contains("calls_per_hour"), "{:?}", s.records);
    s.dial(2, "911", true);
    assert_eq!(s.invites.len(), 4);
    // What the account refused does not count against the port.
    s.now = s.now + ms(3_600_000);
    s.dial(1, "05001", false);
    assert_eq!(s.invites.len(), 5);
    let mut s = Stage::new(vec![AccountConfig { calls_per_hour: Some(1), ..office() }], OutsideCaps { at_once: 1, per_hour: 2 });
    for _ in 0..4 {
        s.dial(0, "05001", false);
    }
    assert!(s.records[1..].iter().all(|r| r.result.contains("calls_per_hour") && !r.result.contains("outside")), "{:?}", s.records);
}

#[test]
fn an_emergency_call_tries_every_server_of_an_account_for_a_moment_and_then_the_next_target() {
    let servers = vec!["sip:192.0.2.1".to_owned(), "sip:192.0.2.2".to_owned()];
    let two = || Stage::new(vec![AccountConfig { servers: servers.clone(), register_s: None, ..office() }], OutsideCaps::default());
    // Silent, both of them: 4 s each, then the desk.
    let mut s = two();
    s.says = 0;
    s.dial_and_wait(0, "911", true);
    s.wait(3_900);
    assert!(s.invites.iter().all(|(hop, _)| *hop == Hop::udp(server(1))), "{:?}", s.invites);
    s.wait(200);
    assert_eq!(s.invites.last().unwrap().0, Hop::udp(server(2)));
    assert!(s.lines.contains(&(PortId(0), LineCommand::Ringback)) && s.rung().is_empty());
    s.wait(4_000);
    assert_eq!(s.rung(), [2], "{:?}", s.words);
    // What is known to be broken costs no time at all.
    let mut s = two();
    s.says = 0;
    s.dial_and_wait(0, "911", true);
    for n in [1, 2] {
        s.gateway.handle_transport_failure(s.now, Hop::udp(server(n)));
        s.settle();
    }
    assert_eq!((s.invites.last().unwrap().0, s.rung()), (Hop::udp(server(2)), vec![2]), "{:?}", s.words);
    // A server that refuses has spoken for the account; one that is not well (503) has not.
    for (says, asked) in [(403, 1), (503, 2)] {
        let mut s = two();
        s.says = says;
        s.dial_and_wait(0, "911", true);
        assert_eq!((s.invites.len(), s.rung()), (asked, vec![2]), "{says}");
    }
    // The control: an ordinary call waits for SIP's own patience.
    let mut s = two();
    s.says = 0;
    s.dial_and_wait(0, "05001", false);
    s.wait(20_000);
    assert!(s.invites.iter().all(|(hop, _)| *hop == Hop::udp(server(1))));
}

#[test]
fn a_number_is_withheld_by_its_port_or_a_code_and_never_in_an_emergency() {
    // The port withholds; what is dialled; whether the number is shown.
    let table = [
        (false, "05001", true),
        (true, "05001", false),
        (false, "*6705001", false),
        (true, "*6705001", false),
        (true, "*8205001", true),
        (false, "*8205001", true),
    ];
    for (anonymous, dialled, shown) in table {
        for trusted in [false, true] {
            let mut s =
                Stage::made(vec![AccountConfig { caller_id: CallerId::Port, ..office() }], OutsideCaps::default(), |config, sip| {
                    config.ports[0].anonymous = anonymous;
                    if trusted {
                        sip.trusted.push("192.0.2.0/24".parse().unwrap());
                    }
                });
            s.dial(0, dialled, false);
            let case = format!("{anonymous} {dialled} {trusted}: {:?}", s.invites.last());
            assert_eq!(s.called(), "sip:5001@office.example", "{case}");
            assert_eq!(s.header("From").starts_with("<sip:2000@"), shown, "{case}");
            assert_eq!(s.header("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), !shown, "{case}");
            assert_eq!(s.header("Privacy"), if shown { "" } else { "id" }, "{case}");
            // The account is told to whom it may be told: as its own if it vouches there, as a wish where the number is shown anyway.
            assert_eq!(s.header("P-Asserted-Identity"), if trusted { "<sip:4930@office.example>" } else { "" }, "{case}");
            assert_eq!(s.header("P-Preferred-Identity"), if !trusted && shown { "<sip:4930@office.example>" } else { "" }, "{case}");
            let text = String::from_utf8_lossy(&s.invites.last().unwrap().1.emit()).into_owned();
            assert!(shown || trusted || !(text.contains("2000@") || text.contains("4930")), "{case}\n{text}");
            let record = s.records.last().unwrap();
            assert_eq!((record.private, record.from.as_str(), record.to.as_str()), (!shown, "2000", "05001"), "{case}");
        }
    }
    let mut s = Stage::made(vec![office()], OutsideCaps::default(), |config, _| config.ports[0].anonymous = true);
    for dialled in ["911", "*67911"] {
        s.dial(0, dialled, true);
        assert_eq!((s.called().as_str(), s.header("Privacy").as_str()), ("sip:911@office.example", ""), "{dialled}");
        assert!(s.header("From").starts_with("<sip:4930@"), "help must be able to call back: {}", s.header("From"));
    }
}

#[test]
fn a_caller_who_withholds_the_number_is_shown_nowhere() {
    let asserted = "P-Asserted-Identity: <sip:5550199@office.example>\r\n";
    for (headers, private, from, told) in [
        (asserted.to_owned(), false, "5550100", Some("5550199")),
        (format!("{asserted}Privacy: id\r\n"), true, "", None),
        (format!("{asserted}Privacy: header;user\r\n"), true, "", None),
        (format!("{asserted}Privacy: none\r\n"), false, "5550100", Some("5550199")),
    ] {
        let mut s = Stage::made(vec![office()], OutsideCaps::default(), |_, sip| sip.trusted.push("192.0.2.1".parse().unwrap()));
        s.call_in_saying(server(1), "4930", &headers);
        assert_eq!((s.rung(), s.gateway.calls()[0].from.as_str()), (vec![0], from), "{headers}");
        s.gateway.shut_down(s.now);
        s.settle();
        s.wait(2_000);
        let record = s.records.last().unwrap();
        assert_eq!((record.private, record.from.as_str(), record.asserted.as_deref()), (private, from, told), "{headers}");
        let said = s.words.iter().any(|w| w.contains("5550100") || w.contains("5550199"));
        assert_eq!(said, !private, "{:?}", s.words);
    }
    // From a stranger nothing is believed, and a refusal is logged without the number too.
    let mut s = Stage::new(vec![office()], OutsideCaps::default());
    s.call_in_saying(server(66), "4930", &format!("{asserted}Privacy: id\r\n"));
    assert!(s.words.iter().any(|w| w.starts_with("call from somebody who withholds the number")), "{:?}", s.words);
}

#[test]
fn a_fax_machines_account_says_so_when_it_registers_and_calls() {
    for fax in [None, Some("t38"), Some("passthrough")] {
        let mut s = Stage::made(vec![AccountConfig { fax, ..office() }], OutsideCaps::default(), |config, _| {
            config.ports[0].fax = fax.is_some();
        });
        let contact = s.register.as_ref().and_then(|m| m.headers.get("Contact")).map(|c| String::from_utf8_lossy(c).into_owned()).unwrap();
        let tag = fax.map(|how| format!("+sip.fax=\"{how}\""));
        assert_eq!(contact.split(';').find(|p| p.starts_with("+sip.fax")), tag.as_deref(), "{contact}");
        assert_eq!(s.gateway.accounts()[0].state, "registered", "the lease of our own contact is found all the same");
        s.dial(0, "05001", false);
        assert_eq!(s.header("Accept-Contact").contains("sip.fax"), fax.is_some());
        s.dial(1, "05001", false);
        assert_eq!(s.header("Accept-Contact"), "", "a telephone asks for no machine");
    }
}

#[test]
fn an_emergency_call_goes_on_to_the_next_target_when_the_server_does_not_take_it() {
    for says in [486, 403, 503] {
        let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps::default());
        s.says = says;
        s.dial(0, "911", true);
        assert_eq!(s.called(), "sip:911@office.example");
        assert!(s.lines.contains(&(PortId(2), LineCommand::Ring { cadence_ms: None })), "{says}: {:?}", s.words);
        // The control: an ordinary call that is refused rings nobody.
        let rung = s.lines.len();
        s.dial(0, "05001", false);
        assert!(!s.lines[rung..].iter().any(|(_, l)| matches!(l, LineCommand::Ring { .. })));
    }
    // A server without an address is no target at all.
    let mut named = account("office", Some("4930"), 1);
    named.servers = vec!["sip:office.example".into()];
    let mut s = Stage::new(vec![named], OutsideCaps::default());
    s.dial(0, "911", true);
    assert!(s.invites.is_empty() && s.lines.contains(&(PortId(2), LineCommand::Ring { cadence_ms: None })));
}

#[test]
fn a_call_for_the_account_rings_its_first_idle_port_and_comes_from_its_server_only() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps::default());
    s.call_in(server(66), "4930");
    assert_eq!(s.answers.last(), Some(&(Hop::udp(server(66)), 404)), "a stranger who knows the number");
    assert!(!s.lines.iter().any(|(_, l)| matches!(l, LineCommand::Ring { .. })));
    let rings = |s: &Stage| s.lines.iter().filter(|(_, l)| matches!(l, LineCommand::Ring { .. })).map(|(p, _)| p.0).collect::<Vec<_>>();
    for (ringing, status) in [(vec![0], 180), (vec![0, 1], 180), (vec![0, 1], 486)] {
        s.call_in(server(1), "4930");
        assert_eq!((rings(&s), s.answers.last().unwrap().1), (ringing, status));
    }
    assert_eq!(s.gateway.accounts()[0].calls, 2);
    s.call_in(server(1), "4931");
    assert_eq!(s.answers.last().unwrap().1, 404, "another user of the same server");
}

#[test]
fn a_call_that_is_refused_hears_that_alone_and_leaves_nothing_in_the_endpoint() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps::default());
    // The control: a call that rings is kept. The account has two ports; a third call finds them busy.
    let empty = s.gateway.sip().alive();
    s.call_in(server(1), "4930");
    s.call_in(server(1), "4930");
    let two = s.gateway.sip().alive();
    assert_eq!((two.server_transactions, two.dialogs), (empty.server_transactions + 2, empty.dialogs + 2));
    let video = "Content-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.66\r\ns=-\r\nc=IN IP4 192.0.2.66\r\nt=0 0\r\n\
         m=video 4000 RTP/AVP 34\r\n";
    for (from, user, headers, status) in [
        (66, "4930", "", 404),
        (66, "7777", "", 404),
        (66, "nobody", "", 404),
        (1, "4930", "", 486),
        (66, "2002", "Require: x\r\n", 420),
        (66, "2002", video, 488),
    ] {
        let before = s.answers.len();
        s.call_in_saying(server(from), user, headers);
        assert_eq!(s.answers[before..], [(Hop::udp(server(from)), status)], "{user}: one answer, no 100");
        assert_eq!(s.gateway.sip().alive(), two, "{user} {status}");
    }
    let before = s.answers.len();
    s.wait(2_000);
    assert_eq!(s.answers[before..], [], "nothing is repeated, though no ACK came");
}

#[test]
fn routes_identity_and_servers_follow_the_configuration_and_the_registrar() {
    let mut through_proxy = account("office", Some("4930"), 1);
    through_proxy.proxy = Some("sip:192.0.2.9:5070".into());
    through_proxy.caller_id = CallerId::Port;
    let mut s = Stage::new(vec![through_proxy], OutsideCaps::default());
    s.service_route = Some("<sip:edge.office.example;lr>");
    s.now = s.now + ms(600_000);
    s.gateway.handle_timeout(s.now);
    s.settle();
    s.dial(0, "05001", false);
    let (hop, invite) = s.invites.last().unwrap();
    assert_eq!(*hop, Hop::udp("192.0.2.9:5070".parse().unwrap()));
    let routes: Vec<&[u8]> = invite.headers.values("Route").collect();
    assert_eq!(routes, [&b"<sip:192.0.2.9:5070;lr>"[..], b"<sip:edge.office.example;lr>"]);
    assert!(s.header("From").starts_with("<sip:2000@office.example>"));
    assert_eq!(s.header("P-Preferred-Identity"), "<sip:4930@office.example>");
}

#[test]
fn a_server_that_is_named_is_looked_for_and_without_an_address_nothing_is_called() {
    let mut named = account("office", Some("4930"), 1);
    named.servers = vec!["sip:office.example;transport=tcp".into()];
    let mut s = Stage::new(vec![named], OutsideCaps::default());
    let (id, uri) = s.located.pop().unwrap();
    assert_eq!(uri, "sip:office.example;transport=tcp");
    s.gateway.handle_located(s.now, id, Vec::new());
    s.dial(0, "05001", false);
    assert_eq!(s.records[0].result, "no address is known of any server of account office");
    assert_eq!(s.gateway.accounts()[0].state, "trying");
    // Asked for again soon, and found.
    s.now = s.now + ms(16_000);
    s.gateway.handle_timeout(s.now);
    s.settle();
    let (id, _) = s.located.pop().expect("asked again");
    s.gateway.handle_located(s.now, id, vec![(Hop::tcp(server(5)), None)]);
    s.settle();
    assert_eq!((s.gateway.accounts()[0].state, s.registered), ("registered", 1));
    assert!(s.words.iter().any(|w| w.starts_with("account office: registered: sip:office.example;transport=tcp at 192.0.2.5:5060/TCP")));
    s.dial(0, "05001", false);
    assert_eq!(s.invites.last().unwrap().0, Hop::tcp(server(5)));
    let told = s.words.iter().filter(|w| w.starts_with("account office: registered")).count();
    assert_eq!(told, 1, "each change is said once");
}

#[test]
fn a_shutdown_takes_the_registration_back() {
    let mut s = Stage::new(vec![account("office", Some("4930"), 1)], OutsideCaps::default());
    assert!(!s.gateway.accounts_are_gone());
    s.gateway.shut_down(s.now);
    s.settle();
    assert!(s.gateway.accounts_are_gone());
    assert_eq!((s.registered, s.gateway.accounts()[0].state), (2, "stopped"));
}

#[test]
fn the_realm_that_an_account_is_registered_in_is_the_only_one_for_its_calls() {
    let mut config = account("office", Some("3001"), 1);
    config.login = Some(Login::with_password("3001", "secret"));
    let mut office = Account::new(config, &mut Prints::from(1));
    let registration = office.registration.as_mut().unwrap();
    registration.set_targets(Instant::ZERO, 0, vec![(Hop::udp(server(1)), None)]);
    registration.start(Instant::ZERO);
    let asked = registration.poll_request(Instant::ZERO, |user, hop| crate::sip::message::Uri::sip(user, hop.addr)).unwrap();
    // Nothing is known yet: the first that asks will be it.
    assert_eq!(format!("{:?}", office.login().unwrap()), "Login(3001, realms [])");
    let challenge = "Digest realm=\"office.example\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
    let refusal = Message::response_to(&asked.message, 401, "Unauthorized").with("WWW-Authenticate", challenge);
    office.registration.as_mut().unwrap().handle_response(Instant::ZERO, asked.serial, 401, Some(&refusal));
    assert_eq!(format!("{:?}", office.login().unwrap()), "Login(3001, realms [\"office.example\"])");
    // Also when the password is not taken any more.
    let registration = office.registration.as_mut().unwrap();
    let asked = registration.poll_request(Instant::ZERO, |user, hop| crate::sip::message::Uri::sip(user, hop.addr)).unwrap();
    registration.handle_response(Instant::ZERO, asked.serial, 401, Some(&refusal));
    assert_eq!(registration.state(), register::State::Refused);
    assert_eq!(format!("{:?}", office.login().unwrap()), "Login(3001, realms [\"office.example\"])");
    // Unless the configuration says which.
    office.config.login = Some(Login::with_password("3001", "secret").only_for("sip.example"));
    assert_eq!(format!("{:?}", office.login().unwrap()), "Login(3001, realms [\"sip.example\"])");
}

#[path = "incoming_tests.rs"]
mod incoming;
#[path = "station_tests.rs"]
mod station;
