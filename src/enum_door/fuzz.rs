//! Body of the fuzz target in `tests/fuzz`, and the small directory it asks; ordinary tests replay `fixtures/corpus/enum_door` through it.

use super::*;
use crate::clock::WallMs;
use crate::digest::Ha1;
use crate::directory::registrar::{AddressConflict, Bind, Change, Wish};
use crate::directory::{Account, Disclosure, Policy, Request, User};
use crate::limits::BINDINGS_PER_NUMBER_MAX;
use crate::number::Number;
use crate::sip::Transport;
use std::sync::OnceLock;

/// When the stage was set up.
pub(super) const NOW: Instant = Instant::from_ms(5_000_000);
const WALL: WallMs = WallMs(1_700_000_000_000);

fn number(text: &str) -> Number {
    Number::parse(text).expect("digits")
}

/// A contact to register.
pub(super) fn wish(uri: &str, address: &str, transport: Transport, q: u16, lease_s: u32) -> Wish {
    let address = address.parse().expect("an address");
    Wish { uri: uri.into(), address, transport, hidden: false, instance: None, q, lease_s: Some(lease_s) }
}

/// Puts `contacts` in the place of what `user` has.
pub(super) fn register(directory: &mut Directory, user: &str, contacts: Vec<Wish>, order: u32) {
    let user = User::parse(user).expect("a name");
    let decision =
        directory.handle(NOW, WALL, Request::Bind(Bind { user, wanted: None, change: Change::Contacts(contacts), order: (1, order) }));
    assert!(matches!(decision.response, Response::Bound { .. }), "{decision:?}");
}

/// 2001 has a telephone, 2002 is away, 2003 has as many contacts as there may be.
pub(super) fn directory() -> Directory {
    directory_of(Disclosure::Anyone)
}

/// The same, where look-ups are for these.
pub(super) fn directory_of(disclosure: Disclosure) -> Directory {
    let policy = Policy {
        lease_default_s: 3600,
        lease_min_s: 1,
        lease_max_s: 7200,
        address_conflict: AddressConflict::Report,
        dynamic: None,
        dynamic_kept_s: 1000,
        disclosure,
        ..Policy::new(plan())
    };
    let mut directory = Directory::new(policy);
    for name in ["2001", "2002", "2003"] {
        let ha1 = Ha1::of(name, "lan.test", "secret of the stage");
        directory.handle(
            NOW,
            WALL,
            Request::SetAccount(Account { user: User::parse(name).expect("a name"), number: Some(number(name)), ha1 }),
        );
    }
    register(&mut directory, "2001", vec![wish("sip:2001@10.0.0.7:5060", "10.0.0.7:5060", Transport::Udp, 1000, 3600)], 1);
    let many = (0..BINDINGS_PER_NUMBER_MAX as u16).map(|n| {
        let address = format!("[2001:db8:1111:2222:3333:4444:5555:{n}]:50{n:02}");
        wish(&format!("sip:2003@{address};transport=tls"), &address, Transport::Tls, 1000 - n, 3600)
    });
    register(&mut directory, "2003", many.collect(), 1);
    directory
}

fn plan() -> NumberPlan {
    NumberPlan::new(number("1"), 4).expect("short numbers")
}

/// Settings of the stage: a zone of its own, one for an office's numbers, one of a single label.
pub(super) fn settings() -> Settings {
    let zone = |apex: &str, strip: &str| Zone { apex: Apex::parse(apex).expect("a name"), strip: strip.into(), add: String::new() };
    Settings {
        zones: vec![zone("enum.lan.test", ""), zone("e164.arpa", "44207946"), zone("lan", "")],
        plan: plan(),
        ttl_max_s: 60,
        ttl_none_s: 15,
        allow: Vec::new(),
        addresses: vec!["192.0.2.53".parse().expect("an address"), "2001:db8::53".parse().expect("an address")],
        serial: 2_026_112_801,
    }
}

/// One query: no panic; an answer that is one, of the length that its carrier allows.
pub fn query(bytes: &[u8]) {
    let (door, directory) = stage();
    let source = [192, 0, 2, 9].into();
    for carrier in [Carrier::Datagram, Carrier::Stream] {
        // Something stands before it in the buffer, as in a batch.
        let mut out = b"before".to_vec();
        let outcome = door.handle(NOW, source, carrier, bytes, directory, &mut out);
        let answer = out.strip_prefix(b"before").expect("what stood there stands there");
        assert_eq!(answer.is_empty(), outcome == Outcome::Dropped);
        if !answer.is_empty() {
            assert_eq!((&answer[..2], answer[2] & 0x80), (&bytes[..2], 0x80), "an answer to this");
            walk(answer).expect("an answer is well-formed");
            assert!(carrier == Carrier::Stream || answer.len() <= DNS_DATAGRAM_BYTES_MAX);
        }
    }
    let mut out = Vec::new();
    door.slip(bytes, &mut out);
    assert!(out.len() <= bytes.len(), "a slip is no longer than its question");
    if !out.is_empty() {
        walk(&out).expect("a slip is well-formed");
    }
}

fn stage() -> &'static (Door, Directory) {
    static STAGE: OnceLock<(Door, Directory)> = OnceLock::new();
    STAGE.get_or_init(|| (Door::new(settings()), directory()))
}

/// One query of the stage, answered: for measuring.
pub fn answer(bytes: &[u8], out: &mut Vec<u8>) -> Outcome {
    let (door, directory) = stage();
    door.handle(NOW, [192, 0, 2, 9].into(), Carrier::Datagram, bytes, directory, out)
}

/// Reads a message to its last byte: `None` if a record is not where its count says.
pub(super) fn walk(message: &[u8]) -> Option<[u16; 4]> {
    let counts = [4, 6, 8, 10].map(|at| u16::from_be_bytes([message[at], message[at + 1]]));
    let mut at = 12;
    for _ in 0..counts[0] {
        at = name(message, at)? + 4;
    }
    for _ in 0..counts[1..].iter().sum() {
        at = name(message, at)? + 10;
        let length = u16::from_be_bytes(message.get(at - 2..at)?.try_into().ok()?);
        at += usize::from(length);
    }
    (at == message.len()).then_some(counts)
}

/// Behind the name at `at`; what it points to must stand before it.
fn name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            n @ 1..=63 => at += 1 + usize::from(n),
            n => {
                let to = usize::from(n & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                return (n >= 192 && to < at && name(message, to).is_some()).then_some(at + 2);
            }
        }
    }
}
