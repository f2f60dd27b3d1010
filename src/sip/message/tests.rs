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

/// What RFC 4475 asks of a reader at this layer: `Ok`, a status to refuse with, or `Drop`.
enum Wanted {
    Ok,
    Refuse(&'static [u16]),
    Drop,
}

const TORTURE: &[(&str, Wanted)] = &[
    ("wsinv", Wanted::Ok),
    ("intmeth", Wanted::Ok),
    ("esc01", Wanted::Ok),
    ("escnull", Wanted::Ok),
    ("esc02", Wanted::Ok),
    ("lwsdisp", Wanted::Ok),
    ("longreq", Wanted::Ok),
    ("dblreq", Wanted::Ok),
    ("semiuri", Wanted::Ok),
    ("transports", Wanted::Ok),
    ("mpart01", Wanted::Ok),
    ("unreason", Wanted::Ok),
    ("noreason", Wanted::Ok),
    ("badinv01", Wanted::Refuse(&[400])),
    ("clerr", Wanted::Refuse(&[400])),
    ("ncl", Wanted::Refuse(&[400])),
    ("scalar02", Wanted::Refuse(&[400])),
    ("scalarlg", Wanted::Drop),
    ("quotbal", Wanted::Refuse(&[400])),
    ("ltgtruri", Wanted::Refuse(&[400])),
    ("lwsruri", Wanted::Refuse(&[400])),
    ("lwsstart", Wanted::Refuse(&[400])),
    ("trws", Wanted::Refuse(&[400])),
    ("escruri", Wanted::Refuse(&[400])),
    // The Date of another zone is no business of ours (s.3.1.2.12: "not required to reject").
    ("baddate", Wanted::Ok),
    ("regbadct", Wanted::Refuse(&[400])),
    ("badaspec", Wanted::Refuse(&[400])),
    ("baddn", Wanted::Refuse(&[400])),
    ("badvers", Wanted::Refuse(&[505])),
    ("mismatch01", Wanted::Refuse(&[400])),
    ("mismatch02", Wanted::Refuse(&[400, 501])),
    ("bigcode", Wanted::Drop),
    ("badbranch", Wanted::Ok),
    ("insuf", Wanted::Refuse(&[400])),
    ("unkscm", Wanted::Ok),
    ("novelsc", Wanted::Ok),
    ("unksm2", Wanted::Ok),
    ("bext01", Wanted::Ok),
    ("invut", Wanted::Ok),
    ("regaut01", Wanted::Ok),
    ("multi01", Wanted::Refuse(&[400])),
    ("mcl01", Wanted::Refuse(&[400])),
    ("bcast", Wanted::Ok),
    ("zeromf", Wanted::Ok),
    ("cparam01", Wanted::Ok),
    ("cparam02", Wanted::Ok),
    ("regescrt", Wanted::Ok),
    ("sdp01", Wanted::Ok),
    ("inv2543", Wanted::Ok),
    ("test", Wanted::Drop),
];

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
fn rfc_4475_messages_are_read_or_refused_as_it_asks() {
    let Some(folder) = torture_folder() else { return };
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, TORTURE.len(), "every file of the folder stands in the table");
    let mut wrong = Vec::new();
    for (name, wanted) in TORTURE {
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).unwrap();
        let got = Message::parse(&bytes);
        let fine = match (wanted, &got) {
            (Wanted::Ok, Ok(_)) => {
                super::super::fuzz::message(&bytes); // asserts the round trip
                true
            }
            (Wanted::Refuse(statuses), Err(ParseError::Refused { fault, .. })) => statuses.contains(&fault.status),
            (Wanted::Drop, Err(ParseError::Garbage(_))) => true,
            _ => false,
        };
        if !fine {
            wrong.push(format!("{name}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_torture_message_broken_anywhere_does_not_panic() {
    let mut seeds = vec![INVITE.as_bytes().to_vec()];
    if let Some(folder) = torture_folder() {
        seeds.extend(TORTURE.iter().map(|(n, _)| std::fs::read(folder.join(format!("{n}.dat"))).unwrap()));
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
