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

/// An offer in the clear.
fn audio_offer(policy: &MediaPolicy, rtp: SocketAddr) -> Session {
    super::audio_offer(policy, &Shield::none(), rtp).expect("the clear is allowed")
}
fn t38_offer(policy: &MediaPolicy, udptl: SocketAddr) -> Option<Session> {
    let clear = FaxWay::Clear(Policy::Off.permit_clear()?);
    super::t38_offer(policy, &Shield::none(), clear, at(4000), udptl)
}

/// One exchange over the wire: what the offerer and the answerer think afterwards.
fn exchange(offerer: &MediaPolicy, answerer: &MediaPolicy, offer: Session) -> Result<(Choice, Choice), Refusal> {
    let (mut here, mut there) = (Negotiation::new(1), Negotiation::new(2));
    let offer = read(&here.send_offer(offer).expect("a new dialog").emit())?;
    there.receive_offer(offer.clone()).expect("a new dialog");
    let answer = there.send_answer(answer(answerer, &Shield::none(), &offer, NEW, at(5000), at(5002))?).expect("it is asked");
    here.receive_answer(read(&answer.emit())?).expect("it answers our offer");
    let seen = |policy, negotiation: &Negotiation| choice(policy, &Shield::none(), negotiation.agreed().expect("answered"));
    Ok((seen(offerer, &here)?, seen(answerer, &there)?))
}

/// Our answer to this offer, and what it means for us.
fn answered(policy: &MediaPolicy, offer: &str, situation: Situation<'_>) -> Result<(Session, Choice), Refusal> {
    let offer = read(offer.as_bytes())?;
    let local = answer(policy, &Shield::none(), &offer, situation, at(5000), at(5002))?;
    let agreed = Agreed { local: local.clone(), remote: offer, offerer: Side::Theirs };
    Ok((local, choice(policy, &Shield::none(), &agreed)?))
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
    assert!(matches!(choice(&only_a, &Shield::none(), &agreed), Ok(Choice::Audio(c)) if c.law == Law::A && c.payload_type == 8));
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
    choice(&policy(true), &Shield::none(), agreed).expect("one open line")
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
        ("m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", Refusal::NoKeys, Some(302)),
        ("m=image 6000 UDP/TLS/UDPTL t38\r\n", Refusal::NoKeys, Some(302)),
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
    let sdp = read(&capabilities(&policy(true), None, at(5060))).expect("ours can be read");
    assert_eq!(ports(&sdp), [0, 0]);
    assert!(sdp.can_t38() && sdp.capabilities.has_t38());
    let words: Vec<_> = sdp.capabilities.list.iter().map(|c| (c.number, c.formats.join(" "))).collect();
    assert_eq!(words, [(1, "0 8 101".to_owned()), (4, "t38".to_owned()), (5, "98".to_owned())]);
    assert!(says_t38_in_rtp(&sdp));
    let none = read(&capabilities(&policy(false), None, at(5060))).expect("ours can be read");
    assert_eq!((ports(&none), none.can_t38()), (vec![0], false));
    // The first offer of a call says it ahead, in two lines.
    assert!(audio_offer(&policy(true), at(4000)).capabilities.has_t38());
}

/// A shield that can do both: DTLS, and keys in signalling that is private.
fn shield(policy: Policy, knows_dtls: bool, n: u8) -> Shield {
    let key = |tag, profile: crate::srtp::Profile| {
        let octets = vec![n; crate::srtp::MasterKey::octets_of(profile)];
        let key = crate::srtp::MasterKey::from_octets(profile, &octets).expect("the right length");
        sdp::Crypto { tag, suite: profile.name().into(), keys: key.to_inline().as_str().into(), parameters: None }
    };
    use crate::srtp::Profile::{AeadAes128Gcm, AesCm128HmacSha1_80};
    let dtls = OwnDtls { fingerprint: Fingerprint([n; 32]), tls_id: format!("tls-id-of-{n}-0123456789") };
    Shield::new(policy, vec![key(1, AeadAes128Gcm), key(2, AesCm128HmacSha1_80)], Some(dtls), knows_dtls)
}
fn only_sdes(shield: Shield) -> Shield {
    Shield::new(shield.policy, shield.own_keys, None, shield.knows_dtls)
}
fn only_dtls(shield: Shield) -> Shield {
    Shield::new(shield.policy, Vec::new(), shield.dtls, shield.knows_dtls)
}

/// Both ends of one exchange, or who refuses.
fn agree(a: &Shield, b: &Shield) -> Result<(Protection, Protection), Refusal> {
    let policy = policy(true);
    let (mut here, mut there) = (Negotiation::new(1), Negotiation::new(2));
    let offer = read(&here.send_offer(super::audio_offer(&policy, a, at(4000))?).expect("new").emit())?;
    there.receive_offer(offer.clone()).expect("new");
    let reply = there.send_answer(answer(&policy, b, &offer, NEW, at(5000), at(5002))?).expect("asked");
    here.receive_answer(read(&reply.emit())?).expect("answered");
    let seen = |shield, negotiation: &Negotiation| choice(&policy, shield, negotiation.agreed().expect("answered"));
    Ok((seen(a, &here)?.protection().clone(), seen(b, &there)?.protection().clone()))
}

#[test]
fn req_k5_two_gateways_that_nobody_switched_anything_at_agree_on_dtls() {
    for knows in [true, false] {
        let (a, b) = (only_dtls(shield(Policy::Preferred, knows, 1)), only_dtls(shield(Policy::Preferred, false, 2)));
        let Ok((Protection::Dtls(here), Protection::Dtls(there))) = agree(&a, &b) else { panic!("DTLS") };
        assert_eq!((here.role, there.role), (crate::dtls::Role::Server, crate::dtls::Role::Client), "who is asked begins, while it rings");
        assert_eq!((here.fingerprints[0].digest[0], there.fingerprints[0].digest[0]), (2, 1));
        assert_eq!((&here.tls_id, &here.peer_tls_id), (&there.peer_tls_id, &there.tls_id));
    }
}

#[test]
fn keys_of_the_signalling_are_mirrored_and_the_answerer_takes_the_best_suite_it_has() {
    let (a, b) = (only_sdes(shield(Policy::Required, false, 1)), only_sdes(shield(Policy::Required, false, 2)));
    let Ok((Protection::Sdes(here), Protection::Sdes(there))) = agree(&a, &b) else { panic!("SDES") };
    assert_eq!((here.ours.suite.as_str(), &here.ours, &here.theirs), ("AEAD_AES_128_GCM", &there.theirs, &there.ours));
    let (sends, hears) = (here.keys().expect("keys"), there.keys().expect("keys"));
    assert_eq!((sends.send(), sends.receive()), (hears.receive(), hears.send()));
    // Opportunistic (RFC 8643): preferred on one side, and a peer that only reads `crypto`.
    assert!(matches!(
        agree(&shield(Policy::Preferred, false, 1), &only_sdes(shield(Policy::Preferred, false, 2))),
        Ok((Protection::Sdes(_), _))
    ));
}

#[test]
fn req_k5_where_encryption_is_required_there_is_no_way_into_the_clear() {
    let required = |n| shield(Policy::Required, false, n);
    let off = Shield::none();
    for (a, b) in [(required(1), off.clone()), (off.clone(), required(1)), (shield(Policy::Preferred, false, 1), off.clone())] {
        let clear = matches!(agree(&a, &b), Ok((Protection::Clear(_), Protection::Clear(_))));
        assert_eq!(clear, a.policy == Policy::Preferred, "{a:?} {b:?}");
    }
    assert_eq!(agree(&off, &required(1)), Err(Refusal::InTheClear));
    // An answer from which somebody has taken the keys is not one to go on with.
    let policy = policy(true);
    let offer = super::audio_offer(&policy, &only_dtls(required(1)), at(4000)).expect("DTLS");
    let stripped = |text: &str| read(format!("{HEAD}{text}").as_bytes()).expect("it can be read");
    let seen = |remote| choice(&policy, &only_dtls(required(1)), &Agreed { local: offer.clone(), remote, offerer: Side::Ours });
    assert_eq!(seen(stripped("m=audio 6000 RTP/AVP 0\r\n")), Err(Refusal::InTheClear));
    assert_eq!(seen(stripped("m=audio 6000 UDP/TLS/RTP/SAVP 0\r\n")), Err(Refusal::NoKeys));
    // The fax of an encrypted call: a clear image is refused, whatever the call was set up with.
    let image = read(format!("{HEAD}m=image 6002 udptl t38\r\n").as_bytes()).expect("it can be read");
    assert_eq!(check_offer(&policy, &required(1), &image), Err(Refusal::InTheClear));
    assert_eq!(check_offer(&policy, &shield(Policy::Preferred, false, 1), &image), Ok(()));
    let mut encrypted = required(1);
    encrypted.settle(None, &Protection::Clear(Policy::Off.permit_clear().expect("off")));
    assert!(fax_ways(&policy, &encrypted, true).iter().all(|w| !matches!(w, FaxWay::Clear(_))));
}

#[test]
fn what_cannot_be_used_of_crypto_and_fingerprint_lines_is_not() {
    let key = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let b = only_sdes(shield(Policy::Required, false, 2));
    for (line, usable) in [
        (format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}"), true),
        (format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}|2^31"), true),
        (format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}|2^31|1:4"), false),
        (format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key} UNENCRYPTED_SRTP"), false),
        (format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key} -SOMETHING"), true),
        (format!("a=crypto:1 F8_128_HMAC_SHA1_80 {key}"), false),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAEC".into(), false),
    ] {
        let offer = read(format!("{HEAD}m=audio 6000 RTP/SAVP 0\r\n{line}\r\n").as_bytes()).expect("it can be read");
        assert_eq!(check_offer(&policy(true), &b, &offer).is_ok(), usable, "{line}");
    }
    let b = only_dtls(shield(Policy::Required, false, 2));
    for (line, usable) in [("sha-1 ".to_owned() + &["00"; 20].join(":"), false), ("sha-256 ".to_owned() + &["00"; 32].join(":"), true)] {
        let lines = format!("m=audio 6000 UDP/TLS/RTP/SAVP 0\r\na=setup:actpass\r\na=fingerprint:{line}\r\n");
        let offer = read(format!("{HEAD}{lines}").as_bytes()).expect("it can be read");
        assert_eq!(check_offer(&policy(true), &b, &offer).is_ok(), usable, "{line}");
    }
    // Keys that came over open signalling are not answered: ours would be no secret either.
    let offer =
        read(format!("{HEAD}m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n").as_bytes()).expect("it can be read");
    assert_eq!(check_offer(&policy(true), &only_dtls(shield(Policy::Preferred, false, 2)), &offer), Err(Refusal::KeysInTheOpen));
}

#[test]
fn a_fax_goes_in_the_association_of_the_audio_and_keeps_it() {
    let policy = policy(true);
    let (mut a, mut b) = (only_dtls(shield(Policy::Preferred, true, 1)), only_dtls(shield(Policy::Preferred, false, 2)));
    let (mut here, mut there) = (Negotiation::new(1), Negotiation::new(2));
    let mut talk = |a: &Shield, b: &Shield, offer: Session, fax: bool| {
        let offer = read(&here.send_offer(offer).expect("stable").emit()).expect("ours");
        there.receive_offer(offer.clone()).expect("stable");
        let situation = Situation { before: there.agreed(), fax };
        let draft = answer(&policy, b, &offer, situation, at(5000), at(5002)).expect("it can be answered");
        let reply = there.send_answer(draft).expect("asked");
        here.receive_answer(read(&reply.emit()).expect("ours")).expect("answered");
        let seen = |shield, negotiation: &Negotiation| choice(&policy, shield, negotiation.agreed().expect("answered")).expect("agreed");
        (seen(a, &here), seen(b, &there))
    };
    let offer = super::audio_offer(&policy, &a, at(4000)).expect("DTLS");
    let (first, other) = talk(&a, &b, offer, false);
    let (Protection::Dtls(first_a), Protection::Dtls(first_b)) = (first.protection().clone(), other.protection().clone()) else { panic!() };
    a.settle(Some(Proto::UdpTlsRtpSavp), first.protection());
    b.settle(Some(Proto::UdpTlsRtpSavp), other.protection());
    assert_eq!(fax_ways(&policy, &b, true).first(), Some(&FaxWay::Dtls));
    let offer = super::t38_offer(&policy, &a, FaxWay::Dtls, at(4000), at(4002)).expect("T.38 in DTLS");
    let (fax_a, fax_b) = talk(&a, &b, offer, true);
    let (Choice::T38(fax_a), Choice::T38(fax_b)) = (fax_a, fax_b) else { panic!("T.38") };
    assert_eq!((fax_a.remote, fax_b.remote), (at(5000), at(4000)), "at the audio's ports");
    let (Protection::Dtls(now_a), Protection::Dtls(now_b)) = (&fax_a.protection, &fax_b.protection) else { panic!("in DTLS") };
    assert!(first_a.is_same(now_a) && first_b.is_same(now_b), "{first_b:?} {now_b:?}");
    let back = super::audio_offer(&policy, &a, at(4000)).expect("DTLS");
    let (audio, _) = talk(&a, &b, back, false);
    let Protection::Dtls(again) = audio.protection() else { panic!("DTLS") };
    assert!(first_a.is_same(again));
}

#[test]
fn a_fax_goes_in_the_srtp_of_a_call_that_has_its_keys_from_the_signalling() {
    let policy = policy(true);
    let (mut a, mut b) = (only_sdes(shield(Policy::Required, false, 1)), only_sdes(shield(Policy::Required, false, 2)));
    let Ok((here, there)) = agree(&a, &b) else { panic!("SDES") };
    a.settle(Some(Proto::RtpSavp), &here);
    b.settle(Some(Proto::RtpSavp), &there);
    assert_eq!((fax_ways(&policy, &b, true), fax_ways(&policy, &b, false)), (vec![FaxWay::Rtp], vec![]), "and none in the clear");
    let offer = super::t38_offer(&policy, &b, FaxWay::Rtp, at(5000), at(5002)).expect("T.38 in RTP");
    let offer = read(&offer.emit()).expect("ours");
    let local = answer(&policy, &a, &offer, Situation { before: None, fax: true }, at(4000), at(4002)).expect("it can be answered");
    let agreed = Agreed { local, remote: offer, offerer: Side::Theirs };
    let Ok(Choice::T38(fax)) = choice(&policy, &a, &agreed) else { panic!("T.38") };
    assert_eq!(fax.path, T38Path::Rtp { payload_type: 98, redundancy_pt: Some(99) });
    let Protection::Sdes(keys) = &fax.protection else { panic!("SRTP") };
    let Protection::Sdes(before) = &here else { panic!("SRTP") };
    assert_eq!((&keys.ours, &keys.theirs.keys), (&before.ours, &before.theirs.keys), "the same keys");
    assert_eq!((fax.max_bps, fax.remote), (14_400, at(5000)));
}
