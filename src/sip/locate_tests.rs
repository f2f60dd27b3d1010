//! RFC 3263 by table: a zone, a URI, the hops; then chance, bounds, time and any answers at all.

use super::*;
use crate::clock::Rng;
use proptest::prelude::*;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// `name KIND value...` a line.
fn zone(text: &str) -> BTreeMap<Question, Vec<Record>> {
    let mut zone: BTreeMap<Question, Vec<Record>> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse().expect("a number");
        let (kind, record) = match words[1] {
            "NAPTR" => (
                Kind::Naptr,
                Record::Naptr {
                    order: number(2),
                    preference: number(3),
                    flags: words[4].into(),
                    service: words[5].into(),
                    replacement: words[6].into(),
                },
            ),
            "SRV" => (Kind::Srv, Record::Srv { priority: number(2), weight: number(3), port: number(4), target: words[5].into() }),
            "A" => (Kind::A, Record::Address(words[2].parse().expect("an address"))),
            _ => (Kind::Aaaa, Record::Address(words[2].parse().expect("an address"))),
        };
        zone.entry(Question { name: words[0].into(), kind }).or_default().push(record);
    }
    zone
}

fn locate_with(
    zone: &BTreeMap<Question, Vec<Record>>,
    target: Target,
    speaks: &[Transport],
    seed: u64,
) -> (Result<Vec<Located>, Nowhere>, usize) {
    let mut locator = Locator::new(Instant::ZERO, target, speaks, Rng::new(seed));
    let mut questions = 0;
    while let Some(question) = locator.poll_question() {
        questions += 1;
        assert!(questions <= 1 + 3 + 8 + 2 * LOCATE_TARGETS_MAX, "it asks for ever");
        let answer = zone.get(&question).map_or(Answer::None(60), |records| Answer::Records(records.clone(), 60));
        locator.handle_answer(&question, answer);
    }
    (locator.outcome().expect("every question was answered").clone(), questions)
}

fn hops(zone_text: &str, uri: &str) -> Vec<String> {
    let (outcome, _) = locate_with(&zone(zone_text), Target::parse(uri).expect("a target"), &ALL, 1);
    match outcome {
        Ok(hops) => {
            hops.iter().map(|(hop, name)| format!("{hop}{}", name.as_deref().map(|n| format!(" as {n}")).unwrap_or_default())).collect()
        }
        Err(nowhere) => vec![format!("{nowhere:?}")],
    }
}

const PROVIDER: &str = "
example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com.
example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com
example.com NAPTR 100 50 s SIP+D2U _sip._udp.example.com
example.com NAPTR 10 10 u E2U+sip x.example.com
_sips._tcp.example.com SRV 1 0 5061 a.example.com
_sip._tcp.example.com SRV 2 0 5060 b.example.com
_sip._tcp.example.com SRV 1 0 5070 A.example.com.
_sip._udp.example.com SRV 1 0 5060 a.example.com
a.example.com A 192.0.2.1
a.example.com AAAA 2001:db8::1
b.example.com A 192.0.2.2
plain.example.com A 192.0.2.9
udp.example.com A 192.0.2.8
_sip._udp.udp.example.com SRV 1 1 5080 b.example.com
none.example.com A 192.0.2.7
_sip._udp.none.example.com SRV 0 0 0 .
";

#[test]
fn uris_lead_where_rfc_3263_says() {
    let table: &[(&str, &[&str])] = &[
        // s.4.2: an address is an address; the port and transport as said or by default.
        ("sip:192.0.2.5", &["192.0.2.5:5060"]),
        ("192.0.2.5:5070", &["192.0.2.5:5070"]),
        ("sip:x@[2001:db8::5];transport=tcp", &["[2001:db8::5]:5060/TCP"]),
        ("sips:192.0.2.5", &["192.0.2.5:5061/TLS"]),
        ("sips:192.0.2.5;transport=tcp", &["192.0.2.5:5061/TLS"]),
        ("sip:192.0.2.5;transport=TLS", &["192.0.2.5:5061/TLS"]),
        // A port: no NAPTR, no SRV.
        ("sip:a.example.com:5099", &["192.0.2.1:5099", "[2001:db8::1]:5099"]),
        ("sip:example.com:5060", &["NoSuchHost"]),
        ("sips:a.example.com:5099", &["192.0.2.1:5099/TLS as a.example.com", "[2001:db8::1]:5099/TLS as a.example.com"]),
        // A transport: SRV of it; the name to prove is the URI's, not the server's (RFC 5922).
        ("sip:example.com;transport=tcp", &["192.0.2.1:5070/TCP", "[2001:db8::1]:5070/TCP", "192.0.2.2:5060/TCP"]),
        ("sip:example.com;transport=udp", &["192.0.2.1:5060", "[2001:db8::1]:5060"]),
        ("sip:Example.COM;transport=tls", &["192.0.2.1:5061/TLS as example.com", "[2001:db8::1]:5061/TLS as example.com"]),
        ("sip:plain.example.com;transport=tcp", &["192.0.2.9:5060/TCP"]),
        // Nothing said: NAPTR in its order.
        (
            "sip:2001@example.com",
            &[
                "192.0.2.1:5061/TLS as example.com",
                "[2001:db8::1]:5061/TLS as example.com",
                "192.0.2.1:5070/TCP",
                "[2001:db8::1]:5070/TCP",
                "192.0.2.2:5060/TCP",
                "192.0.2.1:5060",
                "[2001:db8::1]:5060",
            ],
        ),
        ("sips:example.com", &["192.0.2.1:5061/TLS as example.com", "[2001:db8::1]:5061/TLS as example.com"]),
        // No NAPTR: SRV of what we speak; none: the name.
        ("sip:udp.example.com", &["192.0.2.2:5080"]),
        ("sip:plain.example.com", &["192.0.2.9:5060"]),
        ("sips:plain.example.com", &["192.0.2.9:5061/TLS as plain.example.com"]),
        ("sip:nobody.example.com", &["NoSuchHost"]),
        ("sip:none.example.com", &["NoService"]),
        // maddr replaces where to, not whom.
        ("sip:example.com;maddr=192.0.2.77;transport=tls", &["192.0.2.77:5061/TLS as example.com"]),
    ];
    for (uri, expected) in table {
        assert_eq!(hops(PROVIDER, uri), *expected, "{uri}");
    }
}

#[test]
fn what_is_no_target_is_told_at_once() {
    for (text, expected) in [
        ("tel:+15551234", Nowhere::NotAnAddress),
        ("sip:", Nowhere::NotAnAddress),
        ("sip:a..b", Nowhere::NotAnAddress),
        ("sip:x;transport=sctp", Nowhere::Transport),
        ("sips:x;transport=udp", Nowhere::Transport),
    ] {
        assert_eq!(Target::parse(text), Err(expected), "{text}");
    }
    assert_eq!(Target::parse(&"a".repeat(64)), Err(Nowhere::NotAnAddress));
    let only_udp = locate_with(&zone(PROVIDER), Target::parse("sips:example.com").unwrap(), &[Transport::Udp], 1);
    assert_eq!(only_udp, (Err(Nowhere::Transport), 0));
}

#[test]
fn services_that_are_not_spoken_here_are_passed_over() {
    let target = Target::parse("example.com").unwrap();
    let (outcome, _) = locate_with(&zone(PROVIDER), target, &[Transport::Udp], 1);
    let hops: Vec<String> = outcome.unwrap().iter().map(|(hop, _)| hop.to_string()).collect();
    assert_eq!(hops, ["192.0.2.1:5060", "[2001:db8::1]:5060"]);
}

#[test]
fn weights_share_the_calls_and_priorities_do_not() {
    let text = "
_sip._udp.w.test SRV 1 90 5060 a.w.test
_sip._udp.w.test SRV 1 10 5060 b.w.test
_sip._udp.w.test SRV 1 0 5060 z.w.test
_sip._udp.w.test SRV 2 65535 5060 c.w.test
a.w.test A 192.0.2.1
b.w.test A 192.0.2.2
z.w.test A 192.0.2.3
c.w.test A 192.0.2.4";
    let zone = zone(text);
    let mut first = BTreeMap::new();
    for seed in 0..2000 {
        let target = Target::parse("sip:w.test;transport=udp").unwrap();
        let hops = locate_with(&zone, target, &ALL, seed).0.unwrap();
        assert_eq!((hops.len(), hops[3].0.addr.to_string().as_str()), (4, "192.0.2.4:5060"), "the second priority is last");
        *first.entry(hops[0].0.addr.to_string()).or_insert(0) += 1;
    }
    let share = |ip: &str| first.get(ip).copied().unwrap_or(0);
    assert!((1700..1880).contains(&share("192.0.2.1:5060")), "{first:?}");
    assert!((130..280).contains(&share("192.0.2.2:5060")), "{first:?}");
    assert!((1..60).contains(&share("192.0.2.3:5060")), "weight 0 has a small chance: {first:?}");
}

#[test]
fn silence_is_told_from_absence_and_does_not_last() {
    let target = || Target::parse("example.com").unwrap();
    let mut locator = Locator::new(Instant::ZERO, target(), &ALL, Rng::new(1));
    while let Some(question) = locator.poll_question() {
        locator.handle_answer(&question, Answer::Failed);
    }
    assert_eq!(locator.outcome(), Some(&Err(Nowhere::Silent)));

    // NAPTR is never answered; the time is up.
    let mut locator = Locator::new(Instant::ZERO, target(), &ALL, Rng::new(1));
    assert!(locator.poll_question().is_some());
    locator.handle_timeout(Instant::from_ms(LOCATE_MS - 1));
    assert_eq!(locator.outcome(), None);
    locator.handle_timeout(Instant::from_ms(LOCATE_MS));
    assert_eq!(locator.outcome(), Some(&Err(Nowhere::Silent)));
    assert_eq!((locator.poll_question(), locator.poll_timeout()), (None, None));

    // One server's addresses came, the other's did not: the one is tried.
    let zone = zone(PROVIDER);
    let mut locator = Locator::new(Instant::ZERO, Target::parse("sip:example.com;transport=tcp").unwrap(), &ALL, Rng::new(1));
    while let Some(question) = locator.poll_question() {
        if question.name != "a.example.com" {
            locator.handle_answer(&question, zone.get(&question).map_or(Answer::None(1), |r| Answer::Records(r.clone(), 1)));
        }
    }
    locator.handle_timeout(Instant::from_ms(LOCATE_MS));
    assert_eq!(locator.outcome().unwrap().as_ref().unwrap()[0].0, Hop::tcp("192.0.2.2:5060".parse().unwrap()));
}

#[test]
fn large_answers_are_cut() {
    let mut text = String::new();
    for i in 0..100 {
        text += &format!("_sip._udp.big.test SRV 1 1 5060 s{i}.big.test\n");
        for k in 0..100 {
            text += &format!("s{i}.big.test A 10.{i}.{k}.1\n");
        }
    }
    let target = Target::parse("sip:big.test;transport=udp").unwrap();
    let (outcome, questions) = locate_with(&zone(&text), target, &ALL, 1);
    assert_eq!((outcome.unwrap().len(), questions), (LOCATE_HOPS_MAX, 1 + 2 * LOCATE_TARGETS_MAX));
}

#[test]
fn the_cache_believes_within_bounds() {
    let mut cache = Cache::default();
    let ask = |name: String| Question { name, kind: Kind::A };
    let some = |ttl| Answer::Records(vec![Record::Address("192.0.2.1".parse().unwrap())], ttl);
    let at = |s: u64| Instant::from_ms(s * 1000);
    cache.put(at(0), ask("a".into()), some(60));
    assert_eq!((cache.get(at(59), &ask("a".into())), cache.get(at(60), &ask("a".into()))), (Some(some(60)), None));
    cache.put(at(0), ask("b".into()), some(u32::MAX));
    assert!(
        cache.get(at(u64::from(TTL_MAX_S) - 1), &ask("b".into())).is_some()
            && cache.get(at(u64::from(TTL_MAX_S)), &ask("b".into())).is_none()
    );
    cache.put(at(0), ask("c".into()), Answer::None(86_400));
    assert!(cache.get(at(299), &ask("c".into())).is_some() && cache.get(at(300), &ask("c".into())).is_none());
    cache.put(at(0), ask("d".into()), Answer::Failed);
    cache.put(at(0), ask("e".into()), some(0));
    assert_eq!(cache.len(), 3);
    for i in 0..2 * DNS_CACHE_MAX {
        cache.put(at(1), ask(format!("n{i}")), some(30));
    }
    assert_eq!(cache.len(), DNS_CACHE_MAX);
    assert!(cache.get(at(2), &ask(format!("n{}", 2 * DNS_CACHE_MAX - 1))).is_some(), "the newest is in");
}

fn any_record() -> impl Strategy<Value = Record> {
    let name = prop_oneof![
        "[a-c]{0,3}(\\.[a-c]{1,2}){0,2}",
        Just("example.com".to_owned()),
        Just(".".to_owned()),
        Just("1.2.3.4".to_owned()),
        Just("a".repeat(300))
    ];
    let service = prop_oneof![Just("SIP+D2U"), Just("sips+d2t"), Just("SIP+D2T"), Just("x")];
    prop_oneof![
        (any::<u16>(), any::<u16>(), "[sSuaP]{0,1}", service, name.clone()).prop_map(|(order, preference, flags, service, replacement)| {
            Record::Naptr { order, preference, flags, service: service.into(), replacement }
        }),
        (0u16..3, any::<u16>(), any::<u16>(), name).prop_map(|(priority, weight, port, target)| Record::Srv {
            priority,
            weight,
            port,
            target
        }),
        any::<u32>().prop_map(|ip| Record::Address(IpAddr::V4(ip.into()))),
        any::<u128>().prop_map(|ip| Record::Address(IpAddr::V6(ip.into()))),
    ]
}

proptest! {
    /// Whatever DNS says, in whatever order: it ends, within bounds, and sips never leaves TLS.
    #[test]
    fn any_answers_end_within_bounds(
        uri in prop_oneof![Just("sip:example.com"), Just("sips:example.com"), Just("sip:example.com;transport=tcp"), Just("sip:a.b:5060")],
        answers in prop::collection::vec((prop::collection::vec(any_record(), 0..40), any::<bool>()), 40),
        order in any::<u64>(),
        lost in 0usize..40,
    ) {
        let mut locator = Locator::new(Instant::ZERO, Target::parse(uri).unwrap(), &ALL, Rng::new(order));
        let mut rng = Rng::new(order);
        let (mut open, mut asked) = (Vec::new(), 0);
        loop {
            while let Some(question) = locator.poll_question() {
                prop_assert!(question.name.len() <= NAME_BYTES_MAX + 16 && !question.name.is_empty());
                open.push(question);
            }
            if open.is_empty() {
                break;
            }
            let question = open.swap_remove(rng.below(open.len() as u64) as usize);
            let (records, failed) = answers[asked % answers.len()].clone();
            asked += 1;
            prop_assert!(asked <= 1 + LOCATE_TARGETS_MAX + 2 * LOCATE_TARGETS_MAX);
            if asked != lost {
                locator.handle_answer(&question, if failed { Answer::Failed } else { Answer::Records(records, 1) });
            }
        }
        locator.handle_timeout(Instant::from_ms(LOCATE_MS));
        if let Ok(hops) = locator.outcome().expect("time was up") {
            prop_assert!(!hops.is_empty() && hops.len() <= LOCATE_HOPS_MAX);
            for (hop, name) in hops {
                prop_assert!(!uri.starts_with("sips") || hop.transport == Transport::Tls);
                prop_assert_eq!(name.is_some(), hop.transport == Transport::Tls);
                prop_assert!(hop.addr.port() != 0);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Target::parse(&text);
        let _ = Target::parse(&String::from_utf8_lossy(&bytes));
    }
}
