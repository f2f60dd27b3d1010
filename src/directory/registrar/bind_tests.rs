use super::super::{Policy, Register, Request};
use super::*;
use crate::clock::ms;
use crate::digest::Ha1;
use crate::directory::{Account, Capabilities, NumberPlan};

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}
fn user(text: &str) -> User {
    User::parse(text).unwrap()
}
fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct World {
    directory: Directory,
    disk: Vec<Record>,
    now: Instant,
    wall: WallMs,
    cseq: u32,
}

impl World {
    fn new(address_conflict: AddressConflict) -> World {
        let policy = Policy {
            lease_default_s: 3600,
            lease_min_s: 60,
            lease_max_s: 7200,
            address_conflict,
            dynamic: None,
            dynamic_kept_s: 0,
            ..Policy::new(NumberPlan::new(number("1"), 4).unwrap())
        };
        let mut w = World {
            directory: Directory::new(policy),
            disk: Vec::new(),
            now: Instant::from_ms(5_000_000),
            wall: WallMs(1_000_000_000),
            cseq: 0,
        };
        for name in ["2001", "2002"] {
            w.ask(Request::SetAccount(Account { user: user(name), number: Some(number(name)), ha1: Ha1::of(name, "lan.test", "x") }));
        }
        w
    }
    fn ask(&mut self, request: Request) -> Response {
        let decision = self.directory.handle(self.now, self.wall, request);
        self.disk.extend(decision.writes);
        decision.response
    }
    fn bind(&mut self, name: &str, contact: &str, lease_s: Option<u32>) -> Response {
        self.cseq += 1;
        let wish = Wish {
            uri: format!("sip:{name}@{contact}").into(),
            address: at(contact),
            transport: Transport::Udp,
            hidden: false,
            instance: None,
            q: 1000,
            lease_s,
        };
        let bind = Bind { user: user(name), wanted: Some(number(name)), change: Change::Contacts(vec![wish]), order: (1, self.cseq) };
        self.ask(Request::Bind(bind))
    }
    fn restart(&mut self, wall: WallMs) {
        (self.now, self.wall) = (Instant::from_ms(1000), wall);
        self.directory = Directory::new(self.directory.policy().clone());
        for record in self.disk.clone() {
            self.directory.apply(self.now, self.wall, record);
        }
    }
    fn left(&self, name: &str) -> Vec<(String, u32)> {
        match self.directory.lookup(self.now, &number(name)) {
            Response::Found(found) => found.contacts.iter().map(|(b, left)| (b.address.to_string(), *left)).collect(),
            _ => Vec::new(),
        }
    }
}

#[test]
fn req_c2_contacts_outlive_a_restart_with_what_is_left_of_each_lease() {
    let mut w = World::new(AddressConflict::Refuse);
    w.bind("2001", "10.0.0.1:5060", Some(100));
    w.bind("2001", "10.0.0.2:5060", Some(1000));
    let wall = WallMs(w.wall.0 + 40_000);
    w.restart(wall);
    assert_eq!(w.left("2001"), [("10.0.0.2:5060".into(), 960), ("10.0.0.1:5060".into(), 60)]);
    w.restart(WallMs(0));
    assert_eq!(
        w.left("2001"),
        [("10.0.0.2:5060".into(), 1000), ("10.0.0.1:5060".into(), 100)],
        "a clock that lost its time expires nobody"
    );
    w.now = w.now + ms(1_000_000);
    w.disk.extend(w.directory.handle_timeout(w.now, w.wall));
    assert!(w.left("2001").is_empty() && w.directory.counts().registered == 0);
}

#[test]
fn req_c4_an_address_is_one_numbers_whichever_of_its_contacts_it_is() {
    let mut w = World::new(AddressConflict::Refuse);
    w.bind("2001", "10.0.0.1:5060", None);
    w.bind("2001", "10.0.0.2:5060", None);
    for contact in ["10.0.0.1:5060", "10.0.0.2:5060"] {
        assert_eq!(w.bind("2002", contact, None), Response::Refused(Refusal::AddressInUse(vec![number("2001")])));
    }
    w.bind("2001", "10.0.0.1:5060", Some(0));
    assert!(matches!(w.bind("2002", "10.0.0.1:5060", None), Response::Bound { .. }), "it was given up");
    let mut w = World::new(AddressConflict::Replace);
    w.bind("2001", "10.0.0.1:5060", None);
    w.bind("2002", "10.0.0.1:5060", None);
    assert_eq!((w.left("2001").len(), w.left("2002").len()), (0, 1));
}

#[test]
fn a_terminal_of_the_api_and_phones_take_turns() {
    let mut w = World::new(AddressConflict::Refuse);
    let register = |contact: &str| {
        Request::Register(Register {
            user: user("2001"),
            wanted: None,
            instance: Instance::parse("gateway").unwrap(),
            contact: at(contact),
            transport: Transport::Tls,
            fingerprint: None,
            proof: Default::default(),
            capabilities: Capabilities::default(),
            private: None,
            mac: None,
            lease_s: None,
            calls: 0,
        })
    };
    w.ask(register("10.0.0.9:5061"));
    let Response::Found(found) = w.directory.lookup(w.now, &number("2001")) else { panic!() };
    assert_eq!(&*found.contacts[0].0.uri, "sip:2001@10.0.0.9:5061;transport=tls");
    w.bind("2001", "10.0.0.1:5060", None);
    assert_eq!(w.left("2001"), [("10.0.0.1:5060".into(), 3600)]);
    w.ask(register("10.0.0.9:5061"));
    assert_eq!(w.left("2001"), [("10.0.0.9:5061".into(), 3600)]);
    assert_eq!(w.directory.counts().registered, 1);
}
