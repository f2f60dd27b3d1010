use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

const INVITE: &str = "INVITE sip:2001@192.0.2.7:5060 SIP/2.0\r\nv: SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKnashds8;rport, SIP/2.0/TCP \
b.example;branch=z9hG4bK2\r\nf: \"A \\\"B\\\" <x>\" <sip:1%200@a.example;user=phone>;tag=88sja8x\r\nt: tel:+44-20-7946-0000;phone-context=x\r\n\
i: 987@h\r\nCSeq: 4711  INVITE\r\nX-Odd:  caf\u{e9} ; \r\n  folded\r\nm: <sip:a@[2001:db8::9]:5070;transport=udp>;+sip.fax=\"t38\"\r\n\
l: 3\r\n\r\nabcdef";

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(text.as_bytes())
}

#[test]
fn compact_forms_folding_ipv6_and_tel_are_read() {
    let m = parse(INVITE).unwrap();
    assert_eq!(m.method(), Some(&Method::Invite));
    let vias: Vec<_> = m.headers.values("Via").map(|v| Via::parse(v).unwrap()).collect();
    assert_eq!(vias.len(), 2);
    assert_eq!(vias[0].sent_by(), "[2001:db8::9]:5070");
    assert_eq!(vias[0].branch(), Some(&b"z9hG4bKnashds8"[..]));
    assert!(vias[0].params.has("rport"));
    let from = m.from().unwrap();
    assert_eq!(from.display.as_deref(), Some(&b"A \"B\" <x>"[..]));
    assert_eq!(from.uri.user_text(), "1 0");
    assert_eq!(from.tag(), Some(&b"88sja8x"[..]));
    let to = m.to().unwrap();
    assert_eq!((to.uri.scheme, to.uri.user_text().as_str()), (Scheme::Tel, "+44-20-7946-0000"));
    assert_eq!(to.tag(), None);
    assert_eq!(m.cseq().unwrap().number, 4711);
    assert_eq!(m.contact().unwrap().uri.socket_addr().unwrap().to_string(), "[2001:db8::9]:5070");
    assert_eq!(m.contact().unwrap().params.get("+sip.fax"), Some(&b"t38"[..]));
    assert_eq!(m.headers.get("X-Odd"), Some("caf\u{e9} ; folded".as_bytes()));
    assert_eq!(m.body, b"abc");
}

#[test]
fn what_is_not_known_goes_round_in_its_order_and_its_bytes() {
    let mut bytes = INVITE.replace("\r\n  folded", "").into_bytes();
    bytes.extend_from_slice(b"xx");
    let at = bytes.windows(2).position(|w| w == "\u{e9}".as_bytes()).unwrap();
    bytes[at] = 0xff;
    let m = Message::parse(&bytes).unwrap();
    let again = Message::parse(&m.emit()).unwrap();
    assert_eq!(m, again);
    let names: Vec<_> = again.headers.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["v", "f", "t", "i", "CSeq", "X-Odd", "m", "l"]);
}

#[test]
fn faults_are_told_with_their_status() {
    let refused = |from: &str, to: &str| match parse(&INVITE.replace(from, to)) {
        Err(ParseError::Refused { fault, .. }) => fault.status,
        other => panic!("{from} -> {to}: {other:?}"),
    };
    for (from, to, status) in [
        ("SIP/2.0\r\nv", "SIP/3.0\r\nv", 505),
        ("4711  INVITE", "4711 BYE", 400),
        ("4711  INVITE", "2147483648 INVITE", 400),
        ("l: 3", "l: 300", 400),
        ("l: 3", "l: -3", 400),
        ("l: 3", "l: 3\r\nContent-Length: 2", 400),
        ("i: 987@h", "i: 987@h\r\nCall-ID: 2", 400),
        ("i: 987@h\r\n", "", 400),
        ("SIP/2.0/UDP", "SIP/1.0/UDP", 400),
        (";rport", ";;rport", 400),
        (";rport", ";x=\"y", 400),
        (";tag=88sja8x", ";tag=<88", 400),
        (";tag=88sja8x", ";a b=c", 400),
        ("i: 987@h", "i: 98\x007@h", 400),
        ("sip:2001@192.0.2.7:5060", "sip:20\x0001@192.0.2.7:5060", 400),
        ("sip:2001@192.0.2.7:5060", "sip:2001@2001:db8::9:5060", 400),
        ("sip:2001@192.0.2.7:5060", "sip:2001@192.0.2.7:66000", 400),
        (" SIP/2.0\r\nv", " SIP/2.0\r\n folded\r\nv", 400),
        ("X-Odd:", "no colon\r\n X-Odd:", 400),
    ] {
        assert_eq!(refused(from, to), status, "{from} -> {to}");
    }
    assert!(parse(&INVITE.replace("l: 3\r\n", "")).unwrap().body == b"abcdef", "without Content-Length the datagram is the body");
}

#[test]
fn garbage_is_garbage() {
    for bytes in
        [&b""[..], b"\r\n\r\n", b"\0\x01\0\0\x21\x12\xa4\x42", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 99 x\r\n\r\n", b"SIP/2.0 1000\r\n\r\n"]
    {
        assert!(matches!(Message::parse(bytes), Err(ParseError::Garbage(_))), "{bytes:?}");
    }
}

#[test]
fn a_header_value_cannot_smuggle_a_line() {
    let m = parse(INVITE).unwrap().with("Subject", "a\r\nEvil: 1");
    assert!(!m.emit().windows(6).any(|w| w == b"\nEvil:"));
}

#[test]
fn a_stream_is_cut_by_content_length() {
    assert_eq!(stream_message_len(&INVITE.as_bytes()[..100]), Ok(None));
    let whole = INVITE.len() - 3;
    assert_eq!(stream_message_len(INVITE.as_bytes()), Ok(Some(whole)));
    assert_eq!(stream_message_len(&[b"\r\n\r\n", INVITE.as_bytes()].concat()), Ok(Some(whole + 4)));
}

#[test]
fn a_lone_lf_ends_a_line_for_the_framing_as_for_the_reading() {
    for ends in ["\n", "\r\n"] {
        let text = INVITE.replace("\r\n", ends);
        assert_eq!(parse(&text).unwrap().body, b"abc");
        assert_eq!(stream_message_len(text.as_bytes()), Ok(Some(text.len() - 3)), "{ends:?}");
    }
    // An empty line of another kind does not hide a message inside a message.
    let mixed = INVITE.replace("\r\n\r\n", "\n\nOPTIONS sip:x SIP/2.0\r\n\r\n");
    let whole = stream_message_len(mixed.as_bytes()).unwrap().unwrap();
    assert_eq!(Message::parse(&mixed.as_bytes()[..whole]).unwrap().body, b"OPT");
    assert_eq!(&mixed.as_bytes()[whole..whole + 6], b"IONS s");
}

#[test]
fn a_stream_waits_for_every_byte_of_the_head_and_reads_a_folded_length() {
    let text = INVITE.replace("l: 3", "l:\r\n 3");
    let head = text.len() - 6;
    for cut in 0..text.len() {
        let got = stream_message_len(&text.as_bytes()[..cut]);
        assert_eq!(got, Ok((cut >= head).then_some(head + 3)), "{cut}");
    }
    assert!(stream_message_len(text.replace("\r\n 3", "x").as_bytes()).is_err(), "nobody knows where the next one begins");
    assert!(stream_message_len(text.replace("\r\n 3", "3\r\nContent-Length: 4").as_bytes()).is_err());
    assert_eq!(stream_message_len(text.replace("l:\r\n 3\r\n", "").as_bytes()), Ok(Some(head - "l:\r\n 3\r\n".len())));
}

#[test]
fn what_is_too_large_is_513_and_what_just_fits_is_read() {
    use crate::limits::{SIP_BYTES_MAX, SIP_HEAD_BYTES_MAX, SIP_HEADERS_MAX};
    let with = |more: &str| INVITE.replace("X-Odd:", &format!("{more}X-Odd:"));
    let status = |text: &str| match parse(text) {
        Ok(_) => 0,
        Err(ParseError::Refused { fault, message }) => {
            assert!(message.top_via().is_ok() && message.body.is_empty(), "it can be answered");
            fault.status
        }
        Err(garbage) => panic!("{garbage}"),
    };
    let lines = parse(INVITE).unwrap().headers.len();
    assert_eq!(status(&with(&"A: b\r\n".repeat(SIP_HEADERS_MAX - lines))), 0);
    assert_eq!(status(&with(&"A: b\r\n".repeat(SIP_HEADERS_MAX - lines + 1))), 513);
    let long = |n: usize| with(&format!("A: {}\r\n", "b".repeat(n)));
    assert_eq!(status(&long(SIP_HEAD_BYTES_MAX - 1000)), 0);
    assert_eq!(status(&long(SIP_HEAD_BYTES_MAX)), 513);
    // On a stream the sender may not keep us collecting for ever.
    let endless = [INVITE.as_bytes()[..100].to_vec(), vec![b'x'; SIP_HEAD_BYTES_MAX]].concat();
    assert_eq!(stream_message_len(&endless).unwrap_err().status, 513);
    assert_eq!(stream_message_len(long(SIP_HEAD_BYTES_MAX).as_bytes()).unwrap_err().status, 513);
    assert_eq!(stream_message_len(INVITE.replace("l: 3", &format!("l: {}", SIP_BYTES_MAX + 1)).as_bytes()).unwrap_err().status, 513);
}

#[test]
fn several_values_stand_in_lines_or_behind_commas_and_commas_in_quotes_are_none() {
    let text = INVITE.replace("m: <sip:a@", "Contact: \"A, \\\"B, C\" <sip:x,y@c.example>;z=\"1,2\" ,, <sip:d@e.example>\r\nm: <sip:a@");
    let m = parse(&text).unwrap();
    let contacts: Vec<NameAddr> = m.headers.values("contact").map(|v| NameAddr::parse(v).unwrap()).collect();
    assert_eq!(contacts.len(), 3);
    assert_eq!(contacts[0].display.as_deref(), Some(&b"A, \"B, C"[..]));
    assert_eq!((contacts[0].uri.user_text().as_str(), contacts[0].params.get("Z")), ("x,y", Some(&b"1,2"[..])));
    assert_eq!(contacts[1].uri.user_text(), "d");
}

#[test]
fn parameters_keep_their_order_their_case_and_their_quotes() {
    let text = b" ; Tag = 1 ;b; c=\"x;y=\\\"z\" ;d=";
    let mut p = Params::parse(text).unwrap();
    let emit = |p: &Params| {
        let mut out = Vec::new();
        p.emit(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(emit(&p), ";Tag=1;b;c=\"x;y=\\\"z\";d=");
    assert_eq!((p.get("tag"), p.get("B"), p.get("d"), p.get("e")), (Some(&b"1"[..]), Some(&b""[..]), Some(&b""[..]), None));
    p.set("TAG", "2");
    p.set("e", "1;f=2\r\n");
    p.remove("b");
    assert_eq!(emit(&p), ";Tag=2;c=\"x;y=\\\"z\";d=;e=1f=2");
}

/// The pairs of RFC 3261 s.19.1.4, of RFC 3966 s.4, and some of ours.
#[test]
fn uris_compare_by_the_rules_of_their_schemes() {
    let same = [
        ("sip:%61lice@atlanta.example;transport=TCP", "sip:alice@AtLanTa.example;Transport=tcp"),
        ("sip:carol@chicago.example", "sip:carol@chicago.example;newparam=5"),
        ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;newparam=5"),
        (
            "sip:biloxi.example;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.example",
            "sip:biloxi.example;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.example",
        ),
        ("sip:alice@atlanta.example?subject=project%20x&priority=urgent", "sip:alice@atlanta.example?priority=urgent&subject=project%20x"),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"),
        ("sip:a%3Bb@c.example", "sip:a%3bb@c.example"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:7042;phone-context=Example.com;isub=1", "tel:70-42;isub=1;phone-context=example.com"),
        ("tel:863-1234;phone-context=+1-914-555", "TEL:8631234;Phone-Context=+1914555"),
    ];
    let different = [
        ("SIP:ALICE@AtLanTa.example;Transport=udp", "sip:alice@AtLanTa.example;Transport=UDP"),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060"),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example;transport=udp"),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example:6000;transport=tcp"),
        ("sip:carol@chicago.example", "sip:carol@chicago.example?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.example", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;security=off"),
        ("sip:a@b.example", "sips:a@b.example"),
        ("sip:a@b.example", "sip:a:word@b.example"),
        ("sip:a@b.example", "sip:b.example"),
        ("sip:a;b@c.example", "sip:a%3Bb@c.example"),
        ("sip:a@b.example", "sip:a@b.example;maddr=192.0.2.1"),
        ("tel:+12015550123", "tel:2015550123"),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.net"),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.com;ext=1"),
        ("tel:7042", "sip:7042@example.com"),
    ];
    let read = |text: &str| Uri::parse(text.as_bytes()).unwrap();
    for (pairs, wanted) in [(&same[..], true), (&different[..], false)] {
        for (a, b) in pairs {
            assert_eq!((read(a).is_equivalent(&read(b)), read(b).is_equivalent(&read(a))), (wanted, wanted), "{a} and {b}");
        }
    }
}

#[test]
fn telephone_numbers_are_found_in_tel_and_in_sip_with_user_phone() {
    let read = |text: &str| Uri::parse(text.as_bytes()).unwrap().subscriber();
    let number = |text: &str| read(text).map(|s| s.number);
    assert_eq!(number("tel:+44-(20)-7946.0000").as_deref(), Some("+442079460000"));
    assert_eq!(number("sips:+44-20-7946-0000@gw.example;user=phone").as_deref(), Some("+442079460000"));
    assert_eq!(number("sip:*21%23@gw.example;user=Phone").as_deref(), Some("*21#"));
    let s = read("sip:70-42;phone-context=PBX.example.com;isub=14%2011;ext=1-2@gw.example;user=phone").unwrap();
    assert_eq!((s.number.as_str(), s.context.as_deref()), ("7042", Some("pbx.example.com")));
    assert_eq!((s.subaddress.as_deref(), s.extension.as_deref()), (Some("14 11"), Some("12")));
    assert_eq!(read("tel:7042;phone-context=+1-914;isub=9").unwrap().context.as_deref(), Some("+1-914"));
    for none in ["sip:2001@gw.example", "sip:alice@gw.example;user=phone", "tel:--", "tel:1+2", "urn:service:sos"] {
        assert_eq!(number(none), None, "{none}");
    }
}

#[test]
fn a_uri_says_its_transport_and_a_port_that_goes_with_it() {
    let at = |text: &str| {
        let uri = Uri::parse(text.as_bytes()).unwrap();
        (uri.transport(), uri.socket_addr().map(|a| a.to_string()))
    };
    use crate::sip::Transport::{Tcp, Tls};
    assert_eq!(at("sip:192.0.2.1"), (None, Some("192.0.2.1:5060".into())));
    assert_eq!(at("sip:192.0.2.1;transport=TCP"), (Some(Tcp), Some("192.0.2.1:5060".into())));
    assert_eq!(at("sip:192.0.2.1;transport=tls"), (Some(Tls), Some("192.0.2.1:5061".into())));
    assert_eq!(at("sips:[2001:db8::1]"), (Some(Tls), Some("[2001:db8::1]:5061".into())));
    assert_eq!(at("sips:192.0.2.1:7000;transport=tcp"), (Some(Tls), Some("192.0.2.1:7000".into())));
    assert_eq!(at("sip:host.example;transport=sctp"), (None, None));
    let via = |text: &str| Via::parse(text.as_bytes()).unwrap().sent_by();
    assert_eq!((via("SIP/2.0/TLS [2001:db8::1]"), via("SIP/2.0/TCP a.example")), ("[2001:db8::1]:5061".into(), "a.example:5060".into()));
}

#[test]
fn every_header_is_found_by_every_spelling_of_its_name() {
    for (long, compact) in [("From", "f"), ("Via", "v"), ("Call-ID", "i"), ("Session-Expires", "x"), ("Supported", "k"), ("Identity", "y")]
    {
        for spelled in [long.to_owned(), long.to_uppercase(), long.to_lowercase(), compact.to_owned(), compact.to_uppercase()] {
            let m = Message::request(Method::Options, "sip:a").with(&spelled, "value").with("X-Other", "x");
            assert_eq!((m.headers.get(long), m.headers.count(&long.to_uppercase())), (Some(&b"value"[..]), 1), "{spelled}");
            assert_eq!(m.headers.iter().next().unwrap().name.as_str(), spelled, "and keeps it");
            assert_eq!(canonical_name(compact), long);
        }
    }
    let m = Message::request(Method::Options, "sip:a").with("X-Other", "x").with("q", "y").with("Not a\r\ntoken", "z");
    assert_eq!((m.headers.get("x-otheR"), m.headers.get("Q"), m.headers.get("Queue")), (Some(&b"x"[..]), Some(&b"y"[..]), None));
    assert_eq!(m.headers.get("Notatoken"), Some(&b"z"[..]));
}

#[test]
fn the_session_description_is_found_in_a_multipart_body() {
    let body =
        "preamble\r\n--xx\r\nContent-Type: text/plain\r\n\r\nhi\r\n--xx\r\nContent-Type: application/SDP; a=b\r\n\r\nv=0\r\n\r\n--xx--\r\n";
    let m = Message::request(Method::Invite, "sip:a").with_body("multipart/mixed; boundary=\"xx\"", body.into());
    assert_eq!(m.sdp(), Some(&b"v=0\r\n"[..]));
}

#[test]
fn via_is_stamped_after_rfc_3581() {
    let source = "192.0.2.9:40000".parse().unwrap();
    let mut via = Via::parse(b"SIP / 2.0 / UDP 10.0.0.1 : 5061 ; branch = z9hG4bKx;rport").unwrap();
    via.stamp(source);
    assert_eq!(via.emit(), b"SIP/2.0/UDP 10.0.0.1:5061;branch=z9hG4bKx;rport=40000;received=192.0.2.9");
    assert_eq!(via.response_addr(source), source);
    let mut old = Via::parse(b"SIP/2.0/UDP a.example:5061;branch=z9hG4bKx").unwrap();
    old.stamp(source);
    assert_eq!(old.response_addr(source).to_string(), "192.0.2.9:5061");
}

pub(crate) fn torture_folder() -> Option<PathBuf> {
    let root = std::env::var_os("TIPRING_SHARED").map(PathBuf::from);
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = root
        .into_iter()
        .chain([near.join("../shared"), near.join("../../shared")])
        .map(|r| r.join("recordings/sip/rfc4475"))
        .find(|f| f.is_dir());
    if folder.is_none() {
        println!("skipped: the RFC 4475 messages are not here (set TIPRING_SHARED)");
    }
    folder
}

#[test]
fn a_torture_message_broken_anywhere_does_not_panic() {
    let mut seeds = vec![INVITE.as_bytes().to_vec()];
    if let Some(folder) = torture_folder() {
        // What each of them is answered with stands in tests/rfc4475.rs.
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 49);
        seeds.extend(files.iter().map(|f| std::fs::read(f).unwrap()));
    }
    let mut rng = crate::clock::Rng::new(4475);
    for seed in &seeds {
        for _ in 0..200 {
            let mut bytes = seed.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(4) {
                    0 => bytes[at] = rng.below(256) as u8,
                    1 => bytes.truncate(at + 1),
                    2 => bytes.insert(at, b"\r\n;,<>\"%:@ "[rng.below(11) as usize]),
                    _ => {
                        bytes.remove(at);
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
            super::super::fuzz::message(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        super::super::fuzz::message(&bytes);
    }

    #[test]
    fn built_messages_are_read_by_a_second_reader(user in "[0-9a-zA-Z*#+ ]{1,20}", display in "[a-zA-Z\"\\\\ ]{0,12}", body in "[ -~]{0,40}") {
        let addr = "192.0.2.1:5060".parse().unwrap();
        let uri = Uri::sip(&user, addr);
        let mut from = NameAddr::new(uri.clone());
        from.display = Some(display.into_bytes());
        from.params.set("tag", "abc");
        let m = Message::request(Method::Invite, uri.as_bytes()).with("Via", "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKabc")
            .with("Max-Forwards", "70").with("From", from.emit()).with("To", NameAddr::new(uri.clone()).emit())
            .with("Call-ID", "x").with("CSeq", "1 INVITE").with_body("text/plain", body.clone().into_bytes());
        let bytes = m.emit();
        let ours = Message::parse(&bytes).unwrap();
        prop_assert_eq!(ours.request_uri().unwrap().user_text(), user);
        prop_assert_eq!(ours.from().unwrap(), from);
        let theirs = rsip::Request::try_from(bytes).unwrap();
        prop_assert_eq!(theirs.body, body.into_bytes());
        prop_assert_eq!(theirs.headers.iter().count(), ours.headers.len());
    }
}

#[test]
fn a_header_that_is_changed_is_the_only_one_that_is_read_again() {
    let text = "OPTIONS sip:a@b.test SIP/2.0\r\nv: SIP/2.0/UDP c.test;branch=z9hG4bK1\r\nFrom: <sip:a@b.test>;tag=1\r\nTo: <sip:c@d.test>;tag=2\r\n\
        m: <sip:e@f.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let known = |m: &Message| {
        let read = m.headers.read();
        [read.via.is_some(), read.from.is_some(), read.to.is_some(), read.contact.is_some()]
    };
    let mut m = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(known(&m), [true; 4]);
    m.headers.set("Subject", "x");
    m.headers.remove("Subject");
    assert_eq!(known(&m), [true; 4]);
    m.headers.set("Via", "SIP/2.0/UDP a.much.longer.name.than.before.test;branch=z9hG4bK2;received=192.0.2.1");
    assert_eq!(known(&m), [false, true, true, true]);
    assert_eq!(m.top_via().unwrap().branch(), Some(&b"z9hG4bK2"[..]));
    assert_eq!((m.from_tag(), m.to_tag()), (Some(&b"1"[..]), Some(&b"2"[..])));
    assert_eq!(m.contact().unwrap().uri.as_bytes(), b"sip:e@f.test");
    m.headers.set("f", "<sip:a@b.test>;tag=9");
    m.headers.remove("Contact");
    assert_eq!(known(&m), [false, false, true, false]);
    assert_eq!((m.from_tag(), m.contact()), (Some(&b"9"[..]), None));
}

#[test]
fn whatever_counts_as_a_space_around_a_mark_is_left_out() {
    for space in [" ", "\t", "\u{c}", " \u{c} "] {
        let via = Via::parse(format!("SIP/2.0/UDP a.test;{space}branch{space}={space}z9hG4bK1{space};rport").as_bytes()).unwrap();
        assert_eq!(String::from_utf8(via.emit()).unwrap(), "SIP/2.0/UDP a.test;branch=z9hG4bK1;rport", "{space:?}");
    }
}
