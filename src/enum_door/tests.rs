//! The door without sockets: queries by bytes in, answers out, read by another's reader where that is here.

use super::fuzz::{NOW, directory, register, settings, walk, wish};
use super::*;
use crate::directory::Disclosure;
use crate::limits::BINDINGS_PER_NUMBER_MAX;
use crate::sip::Transport;
use proptest::prelude::*;
use std::path::Path;

const OUTSIDER: &str = "203.0.113.5";

/// A query as a resolver writes it; `edns`: the size that it takes.
fn ask(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut q = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name.split('.').filter(|l| !l.is_empty()) {
        q.push(label.len() as u8);
        q.extend_from_slice(label.as_bytes());
    }
    q.push(0);
    q.extend_from_slice(&kind.to_be_bytes());
    q.extend_from_slice(&[0, 1]);
    if let Some(size) = edns {
        q.extend_from_slice(&[0, 0, 41, (size >> 8) as u8, size as u8, 0, 0, 0x80, 0, 0, 0]);
    }
    q
}

struct Stage {
    door: Door,
    directory: Directory,
}

#[derive(PartialEq, Eq, Debug)]
struct Said {
    outcome: Outcome,
    code: u8,
    flags: u16,
    counts: [u16; 4],
    bytes: Vec<u8>,
}

impl Stage {
    fn new() -> Stage {
        Stage { door: Door::new(settings()), directory: directory() }
    }
    fn send(&self, carrier: Carrier, source: &str, bytes: &[u8]) -> Said {
        let mut out = Vec::new();
        let outcome = self.door.handle(NOW, source.parse().unwrap(), carrier, bytes, &self.directory, &mut out);
        let counts = walk(&out).expect("an answer");
        Said { outcome, code: out[3] & 15, flags: u16::from_be_bytes([out[2], out[3]]), counts, bytes: out }
    }
    fn ask(&self, name: &str, kind: u16) -> Said {
        self.send(Carrier::Datagram, OUTSIDER, &ask(name, kind, Some(1232)))
    }
}

#[test]
fn req_c9_a_number_is_asked_over_dns_and_its_contact_comes_with_a_ttl_within_its_lease() {
    let mut s = Stage::new();
    for name in ["1.0.0.2.enum.lan.test", "1.0.0.2.1.enum.lan.test", "1.0.0.2.EnUm.LAN.test", "1.0.0.2.6.4.9.7.0.2.4.4.e164.arpa"] {
        let said = s.ask(name, kind::NAPTR);
        assert_eq!((said.outcome, said.code, said.counts), (Outcome::Found, 0, [1, 1, 0, 1]), "{name}");
        assert_eq!(said.flags & 0x8500, 0x8500, "an answer (QR), for our zone (AA), of what was asked so (RD)");
        let text = said.bytes.escape_ascii().to_string();
        assert!(text.contains("E2U+sip\\x1d!^.*$!sip:2001@10.0.0.7:5060!"), "{text}");
        assert!(said.bytes.windows(name.len().min(7)).any(|w| w == &ask(name, 0, None)[12..][..w.len()]), "the question as it was asked");
    }
    let ttl = |said: &Said| {
        let at = said.bytes.windows(4).position(|w| w == [0, 35, 0, 1] && said.bytes[0] == 0x12).unwrap();
        let second = said.bytes[at + 4..].windows(4).position(|w| w == [0, 35, 0, 1]).unwrap() + at + 4;
        u32::from_be_bytes(said.bytes[second + 4..][..4].try_into().unwrap())
    };
    assert_eq!(ttl(&s.ask("1.0.0.2.enum.lan.test", kind::NAPTR)), 60, "the longest allowed");
    register(&mut s.directory, "2002", vec![wish("sip:2002@10.0.0.8", "10.0.0.8:5060", Transport::Tcp, 1000, 20)], 1);
    let said = s.ask("2.0.0.2.enum.lan.test", kind::NAPTR);
    assert!((18..=20).contains(&ttl(&said)), "{}", ttl(&said));
    assert!(said.bytes.escape_ascii().to_string().contains("!sip:2002@10.0.0.8:5060;transport=tcp!"));
}

#[test]
fn what_is_away_unknown_between_or_not_ours_is_told_apart() {
    let s = Stage::new();
    let table: &[(&str, u16, Outcome, u8, [u16; 4])] = &[
        // Away; unknown; on the way to numbers; no number; below a number.
        ("2.0.0.2.enum.lan.test", kind::NAPTR, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("9.9.0.2.enum.lan.test", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        ("0.0.2.enum.lan.test", kind::NAPTR, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("2.enum.lan.test", kind::NS, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("9.9.9.1.enum.lan.test", kind::NAPTR, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("1.0.0.2.3.enum.lan.test", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        ("7.1.0.0.2.enum.lan.test", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        ("www.enum.lan.test", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        ("10.0.2.enum.lan.test", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        ("9.7.0.2.4.4.e164.arpa", kind::NAPTR, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("8.7.0.2.4.4.e164.arpa", kind::NAPTR, Outcome::Unknown, 3, [1, 0, 1, 1]),
        // A number has no other records; all of its records are its NAPTRs.
        ("1.0.0.2.enum.lan.test", kind::A, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("1.0.0.2.enum.lan.test", kind::ANY, Outcome::Found, 0, [1, 1, 0, 1]),
        // The zone itself, and its name server.
        ("enum.lan.test", kind::SOA, Outcome::Found, 0, [1, 1, 0, 1]),
        ("enum.lan.test", kind::NS, Outcome::Found, 0, [1, 1, 0, 3]),
        ("enum.lan.test", kind::ANY, Outcome::Found, 0, [1, 2, 0, 3]),
        ("enum.lan.test", kind::NAPTR, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("ns.enum.lan.test", kind::A, Outcome::Found, 0, [1, 1, 0, 1]),
        ("ns.enum.lan.test", kind::AAAA, Outcome::Found, 0, [1, 1, 0, 1]),
        ("ns.enum.lan.test", 15, Outcome::Empty, 0, [1, 0, 1, 1]),
        ("ns.lan", kind::A, Outcome::Found, 0, [1, 1, 0, 1]),
        // Not ours; a zone is not its parent, nor what ends alike.
        ("1.0.0.2.enum.example", kind::NAPTR, Outcome::Refused, 5, [1, 0, 0, 1]),
        ("lan.test", kind::SOA, Outcome::Refused, 5, [1, 0, 0, 1]),
        ("xenum.lan.test", kind::SOA, Outcome::Refused, 5, [1, 0, 0, 1]),
        ("", kind::NS, Outcome::Refused, 5, [1, 0, 0, 1]),
        ("enum.lan.test", 252, Outcome::Refused, 5, [1, 0, 0, 1]),
    ];
    for (name, kind, outcome, code, counts) in table {
        let said = s.ask(name, *kind);
        assert_eq!((said.outcome, said.code, said.counts), (*outcome, *code, *counts), "{name} {kind}");
    }
    let mut chaos = ask("enum.lan.test", kind::SOA, None);
    *chaos.last_mut().unwrap() = 3;
    assert_eq!(s.send(Carrier::Datagram, OUTSIDER, &chaos).outcome, Outcome::Refused);
}

#[test]
fn addresses_are_told_only_to_whom_look_ups_are_allowed() {
    let door = Door::new(Settings { allow: vec!["10.0.0.0/8".parse().unwrap()], ..settings() });
    let s = Stage { door, directory: super::fuzz::directory_of(Disclosure::Accounts) };
    let query = ask("1.0.0.2.enum.lan.test", kind::NAPTR, None);
    let refused = s.send(Carrier::Datagram, OUTSIDER, &query);
    assert_eq!((refused.outcome, refused.counts), (Outcome::Refused, [1, 0, 0, 0]));
    assert_eq!(s.send(Carrier::Stream, OUTSIDER, &query).outcome, Outcome::Refused);
    assert_eq!(s.send(Carrier::Datagram, "10.1.2.3", &query).outcome, Outcome::Found);
    assert_eq!(s.send(Carrier::Datagram, "::ffff:10.1.2.3", &query).outcome, Outcome::Found);
}

#[test]
fn several_contacts_are_ordered_by_preference_and_what_does_not_fit_comes_over_tcp() {
    let s = Stage::new();
    let all = BINDINGS_PER_NUMBER_MAX as u16;
    for (carrier, edns, fits) in [
        (Carrier::Datagram, None, false),
        (Carrier::Datagram, Some(0), false),
        (Carrier::Datagram, Some(1232), true),
        (Carrier::Datagram, Some(65_535), true),
        (Carrier::Stream, None, true),
    ] {
        let said = s.send(carrier, OUTSIDER, &ask("3.0.0.2.enum.lan.test", kind::NAPTR, edns));
        let extra = u16::from(edns.is_some());
        let (outcome, truncated, counts) =
            if fits { (Outcome::Found, 0, [1, all, 0, extra]) } else { (Outcome::Truncated, 0x0200, [1, 0, 0, extra]) };
        assert_eq!((said.outcome, said.flags & 0x0200, said.counts), (outcome, truncated, counts), "{carrier:?} {edns:?}");
    }
}

#[test]
fn contacts_that_ring_in_order_have_rising_preferences_and_who_is_not_to_be_disturbed_is_told_all_the_same() {
    let mut s = Stage::new();
    let alike =
        |n: u16| wish(&format!("sip:2002@10.0.0.{n}"), &format!("10.0.0.{n}:5060"), Transport::Udp, if n < 4 { 1000 } else { 999 }, 3600);
    register(&mut s.directory, "2002", (1..=5).map(alike).collect(), 1);
    let mut told = |ring: Ring, do_not_disturb: bool| -> Vec<u16> {
        let number = crate::number::Number::parse("2002").unwrap();
        let wanted =
            crate::directory::Settings { ring: Some(ring), do_not_disturb, presence: true, ..crate::directory::Settings::usual(number) };
        let set = crate::directory::Request::Set { by: None, settings: wanted };
        assert_eq!(s.directory.handle(NOW, crate::clock::WallMs(1_700_000_000_000), set).response, Response::Done);
        let bytes = s.ask("2.0.0.2.enum.lan.test", kind::NAPTR).bytes;
        bytes.windows(6).filter(|w| w[..2] == [0, 100] && w[4..] == *b"\x01u").map(|w| u16::from_be_bytes([w[2], w[3]])).collect()
    };
    assert_eq!(told(Ring::InOrder, false), [10, 11, 12, 13, 14]);
    assert_eq!(told(Ring::InOrder, true), [10, 11, 12, 13, 14], "a cache would keep that it does not want to be disturbed");
    assert_eq!(told(Ring::All, false), [10, 10, 10, 11, 11], "the control: who rings at once is as good as the others");
}

#[test]
fn what_is_no_query_is_not_answered_and_what_is_broken_is_told_so() {
    let s = Stage::new();
    let good = ask("1.0.0.2.enum.lan.test", kind::NAPTR, Some(1232));
    let silent = |bytes: &[u8]| {
        let mut out = Vec::new();
        let outcome = s.door.handle(NOW, [10, 0, 0, 1].into(), Carrier::Datagram, bytes, &s.directory, &mut out);
        outcome == Outcome::Dropped && out.is_empty()
    };
    let with = |at: usize, byte: u8| {
        let mut q = good.clone();
        q[at] = byte;
        q
    };
    assert!(silent(b"") && silent(&good[..11]) && silent(&with(2, 0x81)));
    let opt = good.len() - 11;
    for (what, query, code) in [
        ("cut in the name", good[..20].to_vec(), 1),
        ("cut in the OPT record", good[..good.len() - 1].to_vec(), 1),
        ("more than it says", [&good[..], &[0]].concat(), 1),
        ("no question", with(5, 0), 1),
        ("two questions", with(5, 2), 1),
        ("a pointer for a name", with(12, 0xc0), 1),
        ("records that are not there", with(7, 1), 1),
        ("an OPT record that is an answer", [&good[..7], &[1, 0, 0, 0, 0], &good[12..]].concat(), 1),
        ("an OPT record with a name", [&good[..opt], &[1, b'a'], &good[opt..]].concat(), 1),
        ("two OPT records", [&with(11, 2)[..], &good[opt..]].concat(), 1),
        ("NOTIFY", with(2, 0x20), 4),
        ("UPDATE", with(2, 0x28), 4),
    ] {
        let said = s.send(Carrier::Datagram, OUTSIDER, &query);
        assert_eq!((said.outcome, said.code, said.counts), (Outcome::Malformed, code, [0; 4]), "{what}");
        assert_eq!(said.bytes.len(), 12);
    }
    let said = s.send(Carrier::Datagram, OUTSIDER, &with(opt + 6, 1));
    // BADVERS is 16: its upper bits stand in the OPT record.
    assert_eq!((said.outcome, said.code, said.bytes[said.bytes.len() - 6]), (Outcome::Malformed, 0, 1));
    // Another record behind the OPT record (a signature) is passed over.
    let signed = [&with(11, 2)[..], &[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 2, 7, 7]].concat();
    assert_eq!(s.send(Carrier::Datagram, OUTSIDER, &signed).outcome, Outcome::Found);
}

#[test]
fn a_users_name_that_means_something_in_an_expression_is_not_put_there() {
    let mut s = Stage::new();
    let users = ["line-1", "a!b", "a\\1b", "a%21", "", &"x".repeat(65)];
    for (n, user) in users.into_iter().enumerate() {
        let uri = if user.is_empty() { "sip:10.0.0.8".to_owned() } else { format!("sip:{user}@10.0.0.8") };
        let gone = vec![wish("sip:gone@10.0.0.8", "10.0.0.8:5060", Transport::Udp, 1000, 0)];
        register(&mut s.directory, "2002", gone, 2 * n as u32 + 1);
        register(&mut s.directory, "2002", vec![wish(&uri, "10.0.0.8:5060", Transport::Udp, 1000, 60)], 2 * n as u32 + 2);
        let text = s.ask("2.0.0.2.enum.lan.test", kind::NAPTR).bytes.escape_ascii().to_string();
        let wanted = if n == 0 { "!^.*$!sip:line-1@10.0.0.8:5060!" } else { "!^.*$!sip:2002@10.0.0.8:5060!" };
        assert!(text.contains(wanted), "{user}: {text}");
        assert_eq!(text.matches('!').count() % 3, 0, "{text}");
    }
}

#[test]
fn a_source_that_asks_too_much_is_told_to_come_over_tcp_in_no_more_bytes_than_it_sent() {
    let s = Stage::new();
    for edns in [None, Some(4096)] {
        let query = ask("3.0.0.2.enum.lan.test", kind::NAPTR, edns);
        let mut out = Vec::new();
        assert_eq!(s.door.slip(&query, &mut out), Outcome::Truncated);
        assert_eq!((out.len(), out[2] & 2), (query.len(), 2));
    }
    assert_eq!(s.door.slip(b"no query", &mut Vec::new()), Outcome::Dropped);
}

/// Another's reader of DNS says the same.
#[cfg(feature = "shell")]
#[test]
fn hickory_reads_what_we_write() {
    use hickory_resolver::proto::op::Message;
    use hickory_resolver::proto::rr::{RData, RecordType};
    let s = Stage::new();
    let said = s.ask("3.0.0.2.enum.lan.test", kind::NAPTR);
    let read = Message::from_vec(&said.bytes).unwrap();
    let preferences: Vec<u16> = read
        .answers
        .iter()
        .map(|r| match &r.data {
            RData::NAPTR(n) => {
                assert_eq!((n.order, &*n.flags, &*n.services, n.replacement.is_root()), (100, &b"u"[..], &b"E2U+sip"[..], true));
                let regexp = String::from_utf8(n.regexp.to_vec()).unwrap();
                assert!(regexp.starts_with("!^.*$!sip:2003@[2001:db8:1111:2222:3333:4444:5555:"), "{regexp}");
                n.preference
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(preferences, (0..BINDINGS_PER_NUMBER_MAX as u16).map(|n| 10 + n).collect::<Vec<_>>());
    let none = Message::from_vec(&s.ask("9.9.0.2.enum.lan.test", kind::NAPTR).bytes).unwrap();
    match &none.authorities[0].data {
        RData::SOA(soa) => {
            assert_eq!((soa.mname.to_string(), soa.rname.to_string()), ("ns.enum.lan.test.".into(), "hostmaster.enum.lan.test.".into()));
            assert_eq!((soa.serial, soa.minimum, none.authorities[0].ttl), (2_026_112_801, 15, 15));
        }
        other => panic!("{other}"),
    }
    let ns = Message::from_vec(&s.ask("enum.lan.test", kind::NS).bytes).unwrap();
    assert!(matches!(&ns.answers[0].data, RData::NS(n) if n.0.to_string() == "ns.enum.lan.test."));
    let glue: Vec<_> = ns.additionals.iter().map(|r| (r.name.to_string(), r.record_type())).collect();
    assert_eq!(glue, [RecordType::A, RecordType::AAAA].map(|t| ("ns.enum.lan.test.".to_owned(), t)));
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/enum_door");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap()).collect();
    assert!(files.len() >= 8);
    files
}

#[test]
fn the_corpus_runs_through_the_fuzz_target_whole_cut_and_broken() {
    for file in corpus() {
        fuzz::query(&file);
        for cut in 0..file.len() {
            fuzz::query(&file[..cut]);
            for bit in 0..8 {
                let mut broken = file.clone();
                broken[cut] ^= 1 << bit;
                fuzz::query(&broken);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_behind_a_querys_header_are_answered_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..300), counts in 0u8..3) {
        fuzz::query(&[&[1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, counts], &bytes[..]].concat());
        fuzz::query(&bytes);
    }
}
