//! Two policies, and what they agree on.

use super::*;
use crate::sdp::Negotiation;

fn policy(t38: bool) -> MediaPolicy {
    let t38 = t38.then_some(T38Policy { max_datagram: 400, redundancy_control: 3, redundancy_image: 2, ecm: true });
    MediaPolicy { laws: vec![Law::Mu, Law::A], jitter_max_ms: 200, watchdog_ms: 30_000, t38 }
}
fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}
const NEW: Situation<'static> = Situation { before: None, fax: false };

/// One exchange over the wire: what the offerer and the answerer think afterwards.
fn exchange(offerer: &MediaPolicy, answerer: &MediaPolicy, offer: Session) -> Result<(Choice, Choice), Refusal> {
    let (mut here, mut there) = (Negotiation::new(1), Negotiation::new(2));
    let offer = read(&here.send_offer(offer).expect("a new dialog").emit())?;
    there.receive_offer(offer.clone()).expect("a new dialog");
    let answer = there.send_answer(answer(answerer, &offer, NEW, at(5000), at(5002))?).expect("it is asked");
    here.receive_answer(read(&answer.emit())?).expect("it answers our offer");
    Ok((choice(offerer, here.agreed().expect("answered"))?, choice(answerer, there.agreed().expect("answered"))?))
}

/// Our answer to this offer, and what it means for us.
fn answered(policy: &MediaPolicy, offer: &str, situation: Situation<'_>) -> Result<(Session, Choice), Refusal> {
    let offer = read(offer.as_bytes())?;
    let local = answer(policy, &offer, situation, at(5000), at(5002))?;
    let agreed = Agreed { local: local.clone(), remote: offer, offerer: Side::Theirs };
    Ok((local, choice(policy, &agreed)?))
}
fn ports(session: &Session) -> Vec<u16> {
    session.media.iter().map(|m| m.port).collect()
}

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";
const BOTH: &str = "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\nm=image 6002 udptl t38\r\na=T38FaxVersion:0\r\n";

#[test]
fn both_ends_agree_on_what_was_offered() {
    let (ours, theirs) = (policy(true), policy(true));
    let (here, there) = exchange(&ours, &theirs, audio_offer(&ours, at(4000))).expect("equal policies have audio in common");
    let (Choice::Audio(here), Choice::Audio(there)) = (here, there) else { panic!("audio was offered") };
    assert_eq!((here.law, here.payload_type, here.telephone_event_pt), (there.law, there.payload_type, there.telephone_event_pt));
    assert_eq!((here.remote_rtp, there.remote_rtp), (at(5000), at(4000)));
    // Both can share a port for RTCP, and both carry faxes untouched.
    assert_eq!((here.remote_rtcp, here.rtcp_mux, there.rtcp_mux, here.vbd, there.vbd), (at(5000), true, true, true, true));
    assert_eq!(here.direction, Direction::SendRecv);
}

#[test]
fn t38_is_agreed_on_and_refused_where_it_is_off() {
    let offer = t38_offer(&policy(true), at(4002)).expect("T.38 is on");
    let (here, there) = exchange(&policy(true), &policy(true), offer.clone()).expect("both do T.38");
    let (Choice::T38(here), Choice::T38(there)) = (here, there) else { panic!("an image line was offered") };
    assert_eq!((there.remote, there.max_datagram, here.remote), (at(4002), 400, at(5002)));
    assert_eq!(exchange(&policy(true), &policy(false), offer).map(|_| ()), Err(Refusal::NoT38));
}

#[test]
fn a_law_that_only_one_end_has_is_not_chosen() {
    let only_a = MediaPolicy { laws: vec![Law::A], ..policy(true) };
    let Ok((_, Choice::Audio(there))) = exchange(&policy(true), &only_a, audio_offer(&policy(true), at(4000))) else { panic!("PCMA") };
    assert_eq!((there.law, there.payload_type), (Law::A, 8));
    let only_mu = MediaPolicy { laws: vec![Law::Mu], ..policy(true) };
    assert_eq!(exchange(&only_mu, &only_a, audio_offer(&only_mu, at(4000))).map(|_| ()), Err(Refusal::NothingInCommon));
    // A peer that answers with more codecs than one, the first of them none of ours.
    let offer = audio_offer(&only_a, at(4000));
    let remote = read(format!("{HEAD}m=audio 6000 RTP/AVP 0 8\r\n").as_bytes()).expect("it can be read");
    let agreed = Agreed { local: offer, remote, offerer: Side::Ours };
    assert!(matches!(choice(&only_a, &agreed), Ok(Choice::Audio(c)) if c.law == Law::A && c.payload_type == 8));
}

#[test]
fn hold_is_seen_from_our_side_both_ways() {
    for (theirs, ours, word) in [
        ("a=sendonly\r\n", Direction::RecvOnly, "recvonly"),
        ("a=recvonly\r\n", Direction::SendOnly, "sendonly"),
        ("a=inactive\r\n", Direction::Inactive, "inactive"),
        ("c=IN IP4 0.0.0.0\r\n", Direction::Inactive, "inactive"),
        ("", Direction::SendRecv, "sendrecv"),
    ] {
        let (local, choice) = answered(&policy(true), &format!("{HEAD}m=audio 6000 RTP/AVP 0\r\n{theirs}"), NEW).expect("audio");
        let Choice::Audio(audio) = choice else { panic!("audio") };
        assert_eq!((audio.direction, local.media[0].direction.as_str()), (ours, word));
        // And where the peer answers our offer with it.
        let remote = read(format!("{HEAD}m=audio 6000 RTP/AVP 0\r\n{theirs}").as_bytes()).expect("it can be read");
        let agreed = Agreed { local: audio_offer(&policy(true), at(4000)), remote, offerer: Side::Ours };
        assert!(matches!(choice_of(&agreed), Choice::Audio(c) if c.direction == ours), "{theirs}");
    }
}
fn choice_of(agreed: &Agreed) -> Choice {
    choice(&policy(true), agreed).expect("one open line")
}

#[test]
fn audio_and_t38_in_one_offer_are_taken_by_who_sits_at_our_end() {
    let both = format!("{HEAD}{BOTH}");
    let (phone, choice) = answered(&policy(true), &both, NEW).expect("audio at least");
    assert_eq!((ports(&phone), matches!(choice, Choice::Audio(_))), (vec![5000, 0], true));
    let (fax, choice) = answered(&policy(true), &both, Situation { fax: true, ..NEW }).expect("T.38");
    assert_eq!((ports(&fax), matches!(choice, Choice::T38(_))), (vec![0, 5002], true));
    let (off, choice) = answered(&policy(false), &both, Situation { fax: true, ..NEW }).expect("audio at least");
    assert_eq!((ports(&off), matches!(choice, Choice::Audio(_))), (vec![5000, 0], true));
    // In the middle of a call a T.38 line that opens is meant, and one that stays open is kept.
    let audio_only = both.replace("m=image 6002", "m=image 0");
    let remote = read(audio_only.as_bytes()).expect("it can be read");
    let before = Agreed { local: phone, remote, offerer: Side::Theirs };
    let (now, _) = answered(&policy(true), &both, Situation { before: Some(&before), fax: false }).expect("T.38");
    assert_eq!(ports(&now), [0, 5002]);
    let before = Agreed { local: now, remote: read(both.as_bytes()).expect("it can be read"), offerer: Side::Theirs };
    let (kept, _) = answered(&policy(true), &both, Situation { before: Some(&before), fax: false }).expect("T.38");
    assert_eq!(ports(&kept), [0, 5002]);
}

#[test]
fn what_is_refused_says_why() {
    let refused = |media: &str| answered(&policy(true), &format!("{HEAD}{media}"), NEW).map(|_| ()).expect_err(media);
    let table = [
        ("m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", Refusal::Secure("RTP/SAVP".into()), Some(302)),
        ("m=image 6000 UDP/TLS/UDPTL t38\r\n", Refusal::Secure("UDP/TLS/UDPTL".into()), Some(302)),
        ("m=audio 6000 RTP/AVP 96\r\na=rtpmap:96 t38/8000\r\n", Refusal::RtpT38, Some(305)),
        ("m=audio 6000 RTP/AVP 18\r\n", Refusal::NothingInCommon, Some(305)),
        ("m=image 6000 TCP t38\r\n", Refusal::NothingInCommon, Some(305)),
        ("m=audio 0 RTP/AVP 0\r\n", Refusal::NothingOpen, None),
        ("m=image 6000 udptl t38\r\na=T38FaxRateManagement:localTCF\r\n", Refusal::NothingInCommon, Some(305)),
    ];
    for (media, why, warning) in table {
        assert_eq!(refused(media), why, "{media}");
        assert_eq!((why.sip_status(), why.warning()), (488, warning));
    }
    // A plain line beside the secure one is taken.
    let (local, _) = answered(&policy(true), &format!("{HEAD}m=audio 6000 RTP/SAVP 0\r\nm=audio 6002 RTP/AVP 0\r\n"), NEW).expect("plain");
    assert_eq!(ports(&local), [0, 5000]);
    assert!(matches!(read(b"hello"), Err(why @ Refusal::Unreadable(_)) if why.sip_status() == 400));
}

#[test]
fn an_options_answer_says_what_could_be_done_on_no_port() {
    let sdp = read(&capabilities(&policy(true), at(5060))).expect("ours can be read");
    assert_eq!(ports(&sdp), [0, 0]);
    assert!(sdp.can_t38() && sdp.capabilities.has_t38());
    let words: Vec<_> = sdp.capabilities.list.iter().map(|c| (c.number, c.formats.join(" "))).collect();
    assert_eq!(words, [(1, "0 8 101".to_owned()), (4, "t38".to_owned())]);
    let none = read(&capabilities(&policy(false), at(5060))).expect("ours can be read");
    assert_eq!((ports(&none), none.can_t38()), (vec![0], false));
    // The first offer of a call says it ahead, in two lines.
    assert!(audio_offer(&policy(true), at(4000)).capabilities.has_t38());
}
