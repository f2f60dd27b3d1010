//! The torture messages of RFC 4475, each given to the user agent as a datagram: what must be read, what must be refused and with which
//! status, and what must be met with silence. And a second reader, the crate `rsip`: wherever it reads a message, both say the same of it.
//!
//! The messages are not part of the repository: the tests find them by `TIPRING_SHARED` or beside the checkout, and say so when they are
//! absent. The folder holds the 49 messages of the RFC and one more (`test`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use proptest::prelude::*;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tipring::clock::Instant;
use tipring::sip::message::{Message, Method, NameAddr, ParseError, Scheme, Uri, Via, unescape};
use tipring::sip::{Config, Endpoint, Event};

/// What the reader makes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    /// It is read.
    Well,
    /// It is refused, and its sender can be told.
    Refused(u16),
    /// It is dropped: a response that is wrong, or no SIP.
    Dropped,
}
use Read::{Dropped, Refused, Well};

/// What the user agent says to it within 200 ms (s.17.2.1 of RFC 3261, for a call that nobody decides about). `0`: nothing.
type Answer = u16;

/// File, section of the RFC, what the reader makes of it, what the user agent answers. Where the RFC leaves a choice, a word on ours.
const TABLE: &[(&str, &str, Read, Answer)] = &[
    // Valid, and to be processed. The To tag of wsinv names a dialog that is not here: 481 is the answer to a request that was read.
    ("wsinv", "3.1.1.1", Well, 481),
    ("intmeth", "3.1.1.2", Well, 501),
    ("esc01", "3.1.1.3", Well, 100),
    // A user agent is no registrar: a REGISTER that was read is answered 405.
    ("escnull", "3.1.1.4", Well, 405),
    ("esc02", "3.1.1.5", Well, 501),
    ("lwsdisp", "3.1.1.6", Well, 200),
    ("longreq", "3.1.1.7", Well, 100),
    ("dblreq", "3.1.1.8", Well, 405),
    ("semiuri", "3.1.1.9", Well, 200),
    ("transports", "3.1.1.10", Well, 200),
    ("mpart01", "3.1.1.11", Well, 405),
    ("unreason", "3.1.1.12", Well, 0),
    ("noreason", "3.1.1.13", Well, 0),
    // Invalid.
    ("badinv01", "3.1.2.1", Refused(400), 400),
    ("clerr", "3.1.2.2", Refused(400), 400),
    ("ncl", "3.1.2.3", Refused(400), 400),
    ("scalar02", "3.1.2.4", Refused(400), 400),
    ("scalarlg", "3.1.2.5", Dropped, 0),
    ("quotbal", "3.1.2.6", Refused(400), 400),
    ("ltgtruri", "3.1.2.7", Refused(400), 400),
    // In the next four the RFC lets a reader guess what was meant; we do not.
    ("lwsruri", "3.1.2.8", Refused(400), 400),
    ("lwsstart", "3.1.2.9", Refused(400), 400),
    ("trws", "3.1.2.10", Refused(400), 400),
    ("escruri", "3.1.2.11", Refused(400), 400),
    // A Date of another zone may be ignored by who does not need it.
    ("baddate", "3.1.2.12", Well, 100),
    ("regbadct", "3.1.2.13", Refused(400), 400),
    ("badaspec", "3.1.2.14", Refused(400), 400),
    ("baddn", "3.1.2.15", Refused(400), 400),
    ("badvers", "3.1.2.16", Refused(505), 505),
    ("mismatch01", "3.1.2.17", Refused(400), 400),
    // 400 or 501, as one looks at it.
    ("mismatch02", "3.1.2.18", Refused(400), 400),
    ("bigcode", "3.1.2.19", Dropped, 0),
    // Transaction layer: the bare cookie is no branch, and the client one of RFC 2543.
    ("badbranch", "3.2.1", Well, 200),
    // Application layer.
    ("insuf", "3.3.1", Refused(400), 400),
    ("unkscm", "3.3.2", Well, 416),
    ("novelsc", "3.3.3", Well, 416),
    ("unksm2", "3.3.4", Well, 405),
    ("bext01", "3.3.5", Well, 420),
    ("invut", "3.3.6", Well, 415),
    ("regaut01", "3.3.7", Well, 405),
    ("multi01", "3.3.8", Refused(400), 400),
    ("mcl01", "3.3.9", Refused(400), 400),
    // A response that was meant for somebody else: two Vias.
    ("bcast", "3.3.10", Well, 0),
    // Only a proxy minds: it would have to send it on.
    ("zeromf", "3.3.11", Well, 200),
    ("cparam01", "3.3.12", Well, 405),
    ("cparam02", "3.3.13", Well, 405),
    ("regescrt", "3.3.14", Well, 405),
    ("sdp01", "3.3.15", Well, 406),
    // Backward compatibility: no branch, no tag, no Max-Forwards, no Contact.
    ("inv2543", "3.4.1", Well, 100),
    // Not of the RFC: a request line without a version.
    ("test", "", Dropped, 0),
];

fn folder() -> Option<PathBuf> {
    let near = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("TIPRING_SHARED").map(PathBuf::from);
    let places = shared.into_iter().chain([near.join("../shared"), near.join("../../shared")]);
    let found = places.map(|s| s.join("recordings/sip/rfc4475")).find(|d| d.is_dir());
    if found.is_none() {
        eprintln!("skipped: no messages of RFC 4475 (set TIPRING_SHARED)");
    }
    found
}

fn torture(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(folder()?.join(format!("{name}.dat"))).unwrap())
}

/// A torture message, read.
fn well(name: &str) -> Option<Message> {
    Some(Message::parse(&torture(name)?).unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn here() -> Endpoint {
    Endpoint::new(Config::new("192.0.2.250:5060".parse().unwrap(), "tipring"), 4475)
}

/// What an endpoint says and tells when this datagram comes and nobody on our side says anything.
fn put(endpoint: &mut Endpoint, bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Event>) {
    endpoint.handle_datagram(Instant::from_ms(1_000_000), "192.0.2.77:5999".parse().unwrap(), bytes);
    endpoint.handle_timeout(Instant::from_ms(1_000_200));
    let said = std::iter::from_fn(|| endpoint.poll_transmit()).map(|t| t.bytes).collect();
    (said, std::iter::from_fn(|| endpoint.poll_event()).collect())
}

fn status(bytes: &[u8]) -> u16 {
    let line = String::from_utf8_lossy(bytes);
    line.strip_prefix("SIP/2.0 ").and_then(|l| l.get(..3)?.parse().ok()).unwrap_or_else(|| panic!("no response: {line}"))
}

fn header<'a>(bytes: &'a [u8], name: &str) -> Vec<&'a str> {
    let head = std::str::from_utf8(bytes).unwrap().split("\r\n\r\n").next().unwrap();
    head.lines().filter_map(|l| l.split_once(": ")).filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
}

#[test]
fn rfc4475_every_message_is_read_or_refused_and_answered_as_the_rfc_asks() {
    let Some(folder) = folder() else { return };
    let named: BTreeSet<String> = TABLE.iter().map(|(name, ..)| format!("{name}.dat")).collect();
    let there: BTreeSet<String> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(named, there, "every message stands in the table");
    assert_eq!(TABLE.iter().filter(|(_, section, ..)| !section.is_empty()).count(), 49);
    let mut wrong = Vec::new();
    for (name, section, read, answer) in TABLE {
        let bytes = torture(name).unwrap();
        let got = match Message::parse(&bytes) {
            Ok(message) => {
                // What is read goes round: what we do not know is kept.
                let again = Message::parse(&message.emit()).unwrap();
                let known = |m: &Message| {
                    let mut headers = m.headers.clone();
                    headers.remove("Content-Length");
                    headers
                };
                assert_eq!((&again.start, known(&again), &again.body), (&message.start, known(&message), &message.body), "{name}");
                Well
            }
            Err(ParseError::Refused { fault, .. }) => Refused(fault.status),
            Err(ParseError::Garbage(_)) => Dropped,
        };
        let mut endpoint = here();
        let (said, events) = put(&mut endpoint, &bytes);
        let statuses: Vec<u16> = said.iter().map(|b| status(b)).collect();
        let wanted: Vec<u16> = [*answer].into_iter().filter(|s| *s != 0).collect();
        if (got, &statuses) != (*read, &wanted) {
            wrong.push(format!("{name} (s.{section}): {got:?} and {statuses:?}, should be {read:?} and {wanted:?}"));
        }
        if matches!(events.first(), Some(Event::Incoming { .. })) != (*answer == 100) || events.len() > 1 {
            wrong.push(format!("{name} (s.{section}): {events:?}"));
        }
        // Whatever came: whoever asks next is answered.
        let ping = "OPTIONS sip:ping@192.0.2.250 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKping\r\nFrom: <sip:p@192.0.2.77>;tag=p\r\n\
                    To: <sip:ping@192.0.2.250>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n";
        assert_eq!(put(&mut endpoint, ping.as_bytes()).0.iter().map(|b| status(b)).collect::<Vec<_>>(), [200], "after {name}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn rfc4475_an_answer_gives_back_what_its_asker_knows_it_by() {
    if folder().is_none() {
        return;
    }
    for (name, _, _, answer) in TABLE.iter().filter(|(_, _, read, answer)| *answer != 0 && *read == Well) {
        let request = well(name).unwrap();
        let (said, _) = put(&mut here(), &torture(name).unwrap());
        let response = Message::parse(&said[0]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(response.status(), Some(*answer), "{name}");
        assert_eq!(response.call_id(), request.call_id(), "{name}");
        assert_eq!(response.headers.get("CSeq"), request.headers.get("CSeq"), "{name}");
        assert_eq!(response.headers.get("From"), request.headers.get("From"), "{name}");
        let vias = |m: &Message| m.headers.values("Via").skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(vias(&response), vias(&request), "{name}");
        assert_eq!(response.to_tag().is_some(), *answer != 100 || request.to_tag().is_some(), "{name}");
    }
}

#[test]
fn rfc4475_refusals_say_what_would_be_accepted() {
    let Some(bytes) = torture("bext01") else { return };
    let unsupported = header(&put(&mut here(), &bytes).0[0], "Unsupported").join(", ");
    assert_eq!(unsupported, "nothingSupportsThis, nothingSupportsThisEither");
    assert!(header(&put(&mut here(), &torture("invut").unwrap()).0[0], "Accept").join(",").contains("application/sdp"));
    for name in ["regaut01", "mpart01"] {
        assert!(header(&put(&mut here(), &torture(name).unwrap()).0[0], "Allow").join(",").contains("INVITE"), "{name}");
    }
}

#[test]
fn rfc4475_values_are_read_as_their_sections_say() {
    let Some(wsinv) = well("wsinv") else { return };
    // 3.1.1.1: three Vias, of which the first has no branch of RFC 3261; odd spaces and folds; a To tag; escapes in a display name.
    let vias: Vec<Via> = wsinv.headers.values("Via").map(|v| Via::parse(v).unwrap()).collect();
    assert_eq!(vias.iter().map(|v| &*v.transport).collect::<Vec<_>>(), ["UDP", "TCP", "UDP"]);
    assert_eq!((vias[0].branch(), vias[1].branch()), (None, Some(&b"z9hG4bK9ikj8"[..])));
    assert_eq!((wsinv.to_tag(), wsinv.from_tag()), (Some(&b"1918181833n"[..]), Some(&b"98asjd8"[..])));
    assert_eq!(wsinv.from().unwrap().display.as_deref(), Some(&br#"J Rosenberg \""#[..]));
    assert_eq!((wsinv.max_forwards(), wsinv.cseq().unwrap().number), (Some(68), 9));
    assert_eq!(wsinv.headers.get("NewFangledHeader"), Some(&b"newfangled value continued newfangled value"[..]));
    assert_eq!(wsinv.headers.get("Subject"), Some(&b""[..]));
    let contact = wsinv.contact().unwrap();
    assert_eq!((contact.display.as_deref(), contact.params.get("q")), (Some(&br#"Quoted string """#[..]), Some(&b"0.33"[..])));
    // 3.1.1.2: every mark of a token, NUL in a display name, a parameter in UTF-8.
    let intmeth = well("intmeth").unwrap();
    assert_eq!(intmeth.method(), Some(&Method::Other("!interesting-Method0123456789_*+`.%indeed'~".into())));
    assert_eq!(intmeth.to().unwrap().display.as_deref(), Some(&b"BEL:\x07 NUL:\0 DEL:\x7f"[..]));
    assert_eq!(intmeth.from().unwrap().display.as_deref(), Some(&b"token1~` token2'+_ token3*%!.-"[..]));
    assert_eq!(intmeth.from_tag(), Some(&b"_token~1'+`*%!-."[..]));
    assert_eq!(intmeth.request_uri().unwrap().password(), Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..]));
    // 3.1.1.3 to 3.1.1.5: escapes are resolved where they are read, once, and nowhere else.
    let esc01 = well("esc01").unwrap();
    assert_eq!(esc01.request_uri().unwrap().user_text(), "sips:user@example.com");
    assert_eq!((esc01.request_uri().unwrap().scheme, esc01.to().unwrap().uri.user_text().as_str()), (Scheme::Sip, "user"));
    let contact = esc01.contact().unwrap().uri;
    assert!(contact.is_equivalent(&Uri::parse(b"sip:caller@host5.example.net;lr;name=value%25%34%31").unwrap()));
    assert_eq!(
        contact.params.iter().nth(1).map(|(n, v)| (unescape(n), unescape(v.unwrap()))),
        Some((b"name".to_vec(), b"value%41".to_vec()))
    );
    let escnull = well("escnull").unwrap();
    let users: Vec<Vec<u8>> =
        escnull.headers.values("Contact").map(|v| unescape(NameAddr::parse(v).unwrap().uri.user().unwrap())).collect();
    assert_eq!(users, [&b"\0"[..], b"\0\0"]);
    let esc02 = well("esc02").unwrap();
    assert_eq!((esc02.method().unwrap().as_str(), esc02.headers.count("Contact")), ("RE%47IST%45R", 2));
    // 3.1.1.6: no space before the bracket.
    assert_eq!(well("lwsdisp").unwrap().from().unwrap().display.as_deref(), Some(&b"caller"[..]));
    // 3.1.1.7: long values, 34 Vias, the topmost by its compact name.
    let longreq = well("longreq").unwrap();
    assert_eq!(longreq.headers.values("Via").count(), 34);
    // 3.1.1.9: a user with a semicolon.
    assert_eq!(well("semiuri").unwrap().request_uri().unwrap().user_text(), "user;par=u@example.net");
    // 3.1.1.11: a part with NULs in it.
    assert!(well("mpart01").unwrap().body.contains(&0));
    // 3.1.1.12 and 3.1.1.13: a reason of other letters, and none.
    assert!(well("unreason").unwrap().reason_phrase().contains("девяносто девять"));
    assert_eq!(well("noreason").unwrap().reason_phrase(), "");
    // 3.3.12 to 3.3.14: whose parameter it is, and a header in a Contact.
    let contact = well("cparam01").unwrap().contact().unwrap();
    assert!(contact.params.has("unknownparam") && !contact.uri.params.has("unknownparam"));
    let contact = well("cparam02").unwrap().contact().unwrap();
    assert!(!contact.params.has("unknownparam") && contact.uri.params.has("unknownparam"));
    assert_eq!(well("regescrt").unwrap().contact().unwrap().uri.headers(), Some(&b"Route=%3Csip:sip.example.com%3E"[..]));
}

/// What both readers say of a message: method or status, and the words that name transaction and dialog. Empty where there is none.
type Said = BTreeMap<&'static str, String>;

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
}

fn ours(message: &Message) -> Said {
    let start = match message.method() {
        Some(method) => method.to_string(),
        None => message.status().unwrap().to_string(),
    };
    let cseq = message.cseq().unwrap();
    BTreeMap::from([
        ("start", start),
        ("call-id", text(message.call_id().ok())),
        ("cseq", format!("{} {}", cseq.number, cseq.method)),
        ("from tag", text(message.from_tag())),
        ("to tag", text(message.to_tag())),
        ("branch", text(message.top_via().unwrap().params.get("branch"))),
    ])
}

/// `Err`: the second reader refuses the whole message. A field that it does not find or cannot read is left out.
fn theirs(bytes: &[u8]) -> Result<Said, String> {
    let message = rsip::SipMessage::try_from(bytes.to_vec()).map_err(|e| e.to_string())?;
    let start = match &message {
        rsip::SipMessage::Request(r) => r.method.to_string(),
        rsip::SipMessage::Response(r) => r.status_code.code().to_string(),
    };
    let mut said = Said::from([("start", start)]);
    if let Ok(id) = message.call_id_header() {
        said.insert("call-id", id.value().to_owned());
    }
    if let Ok(cseq) = message.cseq_header().and_then(|h| h.typed()) {
        said.insert("cseq", format!("{} {}", cseq.seq, cseq.method));
    }
    if let Ok(from) = message.from_header().and_then(|h| h.typed()) {
        said.insert("from tag", from.tag().map(|t| t.value().to_owned()).unwrap_or_default());
    }
    if let Ok(to) = message.to_header().and_then(|h| h.typed()) {
        said.insert("to tag", to.tag().map(|t| t.value().to_owned()).unwrap_or_default());
    }
    if let Ok(via) = message.via_header().and_then(|h| h.typed()) {
        said.insert("branch", via.branch().map(|b| b.value().to_owned()).unwrap_or_default());
    }
    Ok(said)
}

/// How many fields both read and agree on; `Err` names the first on which they do not.
fn agree(message: &Message, second: &Said) -> Result<usize, String> {
    let first = ours(message);
    for (field, said) in second {
        if first[field] != *said {
            return Err(format!("{field}: we read {:?}, the second reader {said:?}", first[field]));
        }
    }
    Ok(second.len())
}

/// Both readers over named messages that we read. Gives the names that the second refuses, and how many fields they agreed on.
fn compare(messages: impl Iterator<Item = (String, Vec<u8>)>) -> (Vec<String>, usize) {
    let (mut refused, mut agreed, mut wrong) = (Vec::new(), 0, Vec::new());
    for (name, bytes) in messages {
        let Ok(message) = Message::parse(&bytes) else { continue };
        match theirs(&bytes) {
            Ok(second) => match agree(&message, &second) {
                Ok(fields) => agreed += fields,
                Err(why) => wrong.push(format!("{name}: {why}")),
            },
            Err(_) => refused.push(name),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    (refused, agreed)
}

/// Messages of the RFC that we read, as it asks, and that the second reader refuses whole: why it is only the second.
const REFUSED_BY_THE_SECOND: &[&str] = &["wsinv", "intmeth", "esc01", "esc02", "longreq", "semiuri", "unkscm"];

#[test]
fn rfc4475_a_second_reader_agrees_wherever_it_reads() {
    if folder().is_none() {
        return;
    }
    let (refused, agreed) = compare(TABLE.iter().map(|(name, ..)| ((*name).to_owned(), torture(name).unwrap())));
    assert_eq!(refused, REFUSED_BY_THE_SECOND);
    assert!(agreed >= 60, "{agreed} fields");
}

#[test]
fn a_second_reader_agrees_over_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/sip");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let named = |p: PathBuf| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap());
    let (refused, agreed) = compare(files.into_iter().map(named));
    println!("refused by the second reader: {refused:?}; {agreed} fields agreed on");
    assert!(agreed >= 12, "{agreed} fields");
}

#[test]
fn a_second_reader_that_disagrees_is_heard() {
    let said = |text: &str| theirs(text.as_bytes()).unwrap();
    let text = "OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx\r\nFrom: <sip:b@192.0.2.2>;tag=1\r\n\
                To: <sip:a@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(agree(&message, &said(text)), Ok(6));
    for (from, to) in [("tag=1", "tag=2"), ("bKx", "bKy"), ("ID: c", "ID: d"), ("1 OPTIONS", "2 OPTIONS")] {
        assert!(agree(&message, &said(&text.replace(from, to))).is_err(), "{from} -> {to}");
    }
}

/// What the user agent writes when this call comes: refusals, 100, and the rest of its answer.
fn answers_to(invite: &[u8], and_then: u8) -> Vec<Vec<u8>> {
    let mut endpoint = here();
    let (mut said, events) = put(&mut endpoint, invite);
    let now = Instant::from_ms(1_000_000);
    if let Some(Event::Incoming { dialog, .. }) = events.first() {
        let _ = match and_then {
            0 => endpoint.ringing(now, *dialog),
            1 => endpoint.answer(now, *dialog, b"v=0\r\n".to_vec()),
            2 => endpoint.reject(now, *dialog, 486, Some(17)),
            _ => endpoint.hangup(now, *dialog, None),
        };
        said.extend(std::iter::from_fn(|| endpoint.poll_transmit()).map(|t| t.bytes));
    }
    said
}

proptest! {
    /// Requests as we write them, and the responses that our user agent gives to them.
    #[test]
    fn a_second_reader_agrees_on_what_we_write(
        user in "[0-9a-zA-Z*#+ ]{0,20}",
        display in proptest::option::of("[a-zA-Z0-9 .\"\\\\]{0,12}"),
        tag in "[0-9a-zA-Z._~*+-]{1,20}",
        branch in "[0-9a-zA-Z.-]{1,24}",
        call_id in "[0-9a-zA-Z.-]{1,20}(@[a-z0-9.]{1,12})?",
        number in 0u32..0x8000_0000,
        method in proptest::sample::select(vec![Method::Invite, Method::Options, Method::Bye, Method::Register, Method::Info, Method::Update]),
        port in 1u16..,
        routes in 0usize..3,
        body in "[ -~]{0,40}",
        and_then in 0u8..4,
    ) {
        let uri = Uri::sip(&user, std::net::SocketAddr::from(([192, 0, 2, 1], port)));
        let mut from = NameAddr::new(uri.clone());
        from.display = display.map(String::into_bytes);
        from.params.set("tag", tag.as_bytes());
        let mut request = Message::request(method.clone(), uri.as_bytes())
            .with("Via", format!("SIP/2.0/UDP 192.0.2.77:{port};rport;branch=z9hG4bK{branch}"))
            .with("Max-Forwards", "70")
            .with("From", from.emit())
            .with("To", NameAddr::new(uri.clone()).emit())
            .with("Call-ID", &call_id)
            .with("CSeq", format!("{number} {method}"))
            .with("Contact", NameAddr::new(uri).emit());
        for n in 0..routes {
            request = request.with("Record-Route", format!("<sip:192.0.2.{n};lr>"));
        }
        if !body.is_empty() {
            request = request.with_body(if and_then == 3 { "text/plain" } else { "application/sdp" }, body.clone().into_bytes());
        }
        let bytes = request.emit();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(&message.body, body.as_bytes());
        prop_assert_eq!(message.request_uri().unwrap().user_text(), user);
        prop_assert_eq!(message.from().unwrap(), from);
        prop_assert_eq!(agree(&message, &theirs(&bytes).unwrap()), Ok(6));
        for response in answers_to(&bytes, and_then) {
            let second = theirs(&response).unwrap();
            let response = Message::parse(&response).unwrap();
            prop_assert_eq!(agree(&response, &second), Ok(6));
            let via = response.top_via().unwrap();
            prop_assert_eq!(text(via.branch()), format!("z9hG4bK{branch}"));
        }
    }
}
