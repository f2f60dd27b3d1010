use super::*;
use proptest::prelude::*;

const AUDIO: &str = "v=0\r\no=- 2890844526 2890842807 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
a=fingerprint:sha-256 AB:CD\r\nm=audio 49170 RTP/AVP 18 8 0 96 13\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n\
a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\na=ptime:20\r\na=rtcp:49180\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n\
a=odd:thing\r\na=sendonly\r\nm=video 5000 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n";

const T38_OFFER: &str = "v=0\no=x 1 2 IN IP4 192.0.2.10\ns=-\nt=0 0\nm=image 4000 UDPTL T38\nc=IN IP4 192.0.2.11\na=T38FaxVersion: 3\n\
a=t38FaxMaxBitRate:14400\na=T38FaxFillBitRemoval:0\na=T38FaxTranscodingMMR\na=T38FaxTranscodingJBIG:1\na=T38FaxRateManagement:transferredTCF\n\
a=T38FaxMaxBuffer:1024\na=T38FaxMaxDatagram:238\na=T38FaxMaxIFP:40\na=T38FaxUdpEC:t38UDPFEC\na=T38FaxUdpECDepth:1 3\n\
a=T38FaxUdpFECMaxSpan:3\na=T38VendorInfo:0 0 37\na=T38ModemType:t38G3FaxOnly\n";

fn local() -> Local {
    Local { address: [198, 51, 100, 7].into(), session_id: 77, version: 1 }
}

fn ours() -> T38 {
    T38 {
        version: 0,
        max_bit_rate: Some(14_400),
        fill_bit_removal: true,
        transcoding_mmr: true,
        max_datagram_bytes: Some(400),
        udp_ec: Some(UdpEc::Redundancy),
        ..T38::default()
    }
}

#[test]
fn audio_lines_are_read_with_all_that_belongs_to_them() {
    let s = Session::parse(AUDIO.as_bytes()).unwrap();
    assert_eq!((s.origin.version, s.security.len(), s.media.len()), (2890842807, 1, 2));
    let m = s.audio().unwrap();
    assert_eq!(m.destination(), Some("192.0.2.10:49170".parse().unwrap()));
    assert_eq!((m.direction, m.ptime_ms, m.rtcp_port), (Direction::SendOnly, Some(20), Some(49180)));
    assert_eq!(m.voice().unwrap().pt, 8);
    assert_eq!(m.telephone_event(), Some(96));
    assert_eq!(m.payloads[0].codec, Codec::Other("G729/8000".into()));
    assert_eq!(m.payloads[4].codec, Codec::ComfortNoise);
    assert_eq!(m.attributes, ["odd:thing"]);
    let crypto = Crypto { tag: 1, suite: "AES_CM_128_HMAC_SHA1_80".into(), keys: "inline:x".into(), parameters: None };
    assert_eq!(s.crypto_of(m).collect::<Vec<_>>(), [&crypto]);
    assert!(!format!("{crypto:?}").contains("inline:x"), "keys are not for logs");
    assert_eq!(s.fingerprints_of(m), [Fingerprint { hash: "sha-256".into(), digest: vec![0xAB, 0xCD] }]);
    assert!(!m.listens());
    assert_eq!(s.media[1].address, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(Session::parse(&s.emit()), Ok(s));
}

#[test]
fn t38_attributes_are_read_in_every_spelling() {
    let s = Session::parse(T38_OFFER.as_bytes()).unwrap();
    let m = s.t38().unwrap();
    assert_eq!(m.destination(), Some("192.0.2.11:4000".parse().unwrap()));
    let want = T38 {
        version: 3,
        max_bit_rate: Some(14_400),
        fill_bit_removal: false,
        transcoding_mmr: true,
        transcoding_jbig: true,
        rate_management: RateManagement::TransferredTcf,
        max_buffer_bytes: Some(1024),
        max_datagram_bytes: Some(238),
        max_ifp_bytes: Some(40),
        udp_ec: Some(UdpEc::Fec),
        udp_ec_depth: Some((1, Some(3))),
        fec_max_span: Some(3),
        vendor_info: Some("0 0 37".into()),
        modem_type: Some("t38G3FaxOnly".into()),
    };
    assert_eq!(m.t38.as_ref(), Some(&want));
    assert_eq!(Session::parse(&s.emit()).unwrap(), s);
    let spelled = |a: &str, b: &str| Session::parse(T38_OFFER.replace(a, b).as_bytes()).unwrap().t38().unwrap().t38.clone().unwrap();
    assert_eq!(spelled("t38FaxMaxBitRate", "T38MaxBitRate").max_bit_rate, Some(14_400));
    assert!(spelled("FillBitRemoval:0", "FillBitRemoval").fill_bit_removal);
    assert!(!spelled("JBIG:1", "JBIG:0").transcoding_jbig);
    assert!(spelled("JBIG:1", "JBIG").transcoding_jbig);
    assert_eq!(spelled("transferredTCF", "localTCF").rate_management, RateManagement::LocalTcf);
    assert_eq!(spelled("t38UDPFEC", "T38UDPRedundancy").udp_ec, Some(UdpEc::Redundancy));
    assert_eq!(spelled("Depth:1 3", "Depth:2").udp_ec_depth, Some((2, None)));
}

#[test]
fn a_t38_answer_never_exceeds_the_offer_and_declares_its_own_datagram() {
    let offer = Session::parse(T38_OFFER.as_bytes()).unwrap();
    for (offered, mine, agreed) in [(3, 0, 0), (0, 3, 0), (2, 3, 2), (3, 3, 3)] {
        let mut offer = offer.clone();
        offer.media[0].t38.as_mut().unwrap().version = offered;
        let answer = answer(&local(), &offer, &[LineAnswer::T38(5000, &T38 { version: mine, ..ours() })]).unwrap();
        let t38 = answer.t38().unwrap().t38.clone().unwrap();
        assert_eq!(t38.version, agreed);
        assert_eq!(t38.max_datagram_bytes, Some(400), "declared, not negotiated");
        assert_eq!((t38.udp_ec, t38.fill_bit_removal, t38.transcoding_mmr), (Some(UdpEc::Redundancy), false, true));
    }
    let text = T38_OFFER.replace("transferredTCF", "localTCF");
    let tcp_like = Session::parse(text.as_bytes()).unwrap();
    assert_eq!(answer(&local(), &tcp_like, &[LineAnswer::T38(5000, &ours())]), Err(NothingInCommon));
}

#[test]
fn an_answer_keeps_the_order_of_lines_and_closes_what_it_refuses() {
    let offer = Session::parse([AUDIO, &T38_OFFER[T38_OFFER.find("m=").unwrap()..]].concat().as_bytes()).unwrap();
    let audio = Audio::default();
    let a = answer(&local(), &offer, &[LineAnswer::Audio(6000, &audio)]).unwrap();
    let ports: Vec<_> = a.media.iter().map(|m| (m.kind.clone(), m.port)).collect();
    assert_eq!(ports, [(Kind::Audio, 6000), (Kind::Other("video".into()), 0), (Kind::Image, 0)]);
    // The offerer's order: G.729 is not ours, A-law stands before mu-law; events on its number; hold answered by recvonly.
    let pts: Vec<_> = a.media[0].payloads.iter().map(|p| p.pt).collect();
    assert_eq!((pts, a.media[0].direction), (vec![8, 96], Direction::RecvOnly));
    let b = answer(&local(), &offer, &[LineAnswer::Refuse, LineAnswer::Refuse, LineAnswer::T38(6002, &ours())]).unwrap();
    assert_eq!(b.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 0, 6002]);
    assert_eq!(answer(&local(), &offer, &[]), Err(NothingInCommon));
    assert_eq!(Session::parse(&a.emit()), Ok(a));
    assert_eq!(Session::parse(&b.emit()), Ok(b));
}

#[test]
fn audio_and_t38_are_offered_at_once() {
    let offer = with_t38(offer_audio(&local(), 4000, &Audio::default()), &local(), 4002, &ours());
    let offer = Session::parse(&offer.emit()).unwrap();
    assert_eq!((offer.audio().unwrap().port, offer.t38().unwrap().port), (4000, 4002));
    let (audio, t38) = (Audio::default(), ours());
    let both = answer(&local(), &offer, &[LineAnswer::Audio(6000, &audio), LineAnswer::T38(6002, &t38)]).unwrap();
    assert!(both.audio().is_some() && both.t38().is_some());
}

#[test]
fn hold_is_answered_in_all_its_forms() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (offered, ours, want) in [
        (SendRecv, SendRecv, SendRecv),
        (SendOnly, SendRecv, RecvOnly),
        (RecvOnly, SendRecv, SendOnly),
        (Inactive, SendRecv, Inactive),
        (SendOnly, SendOnly, Inactive),
        (SendRecv, RecvOnly, RecvOnly),
    ] {
        assert_eq!(offered.answer(ours), want);
    }
    let old = AUDIO.replacen("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0", 1).replace("a=sendonly", "a=sendrecv");
    let offer = Session::parse(old.as_bytes()).unwrap();
    assert!(!offer.audio().unwrap().listens());
    let a = answer(&local(), &offer, &[LineAnswer::Audio(6000, &Audio::default())]).unwrap();
    assert_eq!(a.media[0].direction, Inactive);
}

#[test]
fn security_attributes_are_typed_and_what_cannot_be_read_is_kept() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=image 4000 UDP/TLS/UDPTL t38\na=setup:ActPass\n\
        a=fingerprint:SHA-256 4a:ad:b9:b1\na=tls-id:abc3de65cddef001be82\na=fingerprint:sha-1 zz\na=ice-ufrag:x\n\
        m=audio 4002 RTP/SAVP 0\na=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:k1|2^20;inline:k2 KDR=1 UNENCRYPTED_SRTCP\na=crypto:x\n";
    let s = Session::parse(text.as_bytes()).unwrap();
    let (fax, voice) = (&s.media[0].security, &s.media[1].security);
    assert_eq!(
        (fax.setup, fax.setup.map(Setup::answer), fax.tls_id.as_deref()),
        (Some(Setup::ActPass), Some(Setup::Active), Some("abc3de65cddef001be82"))
    );
    assert_eq!(fax.fingerprints, [Fingerprint { hash: "sha-256".into(), digest: vec![0x4a, 0xad, 0xb9, 0xb1] }]);
    assert_eq!(fax.other, ["fingerprint:sha-1 zz", "ice-ufrag:x"]);
    assert_eq!(voice.crypto[0].parameters.as_deref(), Some("KDR=1 UNENCRYPTED_SRTCP"));
    assert_eq!(voice.other, ["crypto:x"]);
    assert!(s.media.iter().all(|m| m.proto.is_secure()));
    // Neither is taken today.
    assert_eq!(answer(&local(), &s, &[LineAnswer::T38(6000, &ours()), LineAnswer::Audio(6002, &Audio::default())]), Err(NothingInCommon));
    assert_eq!(Session::parse(&s.emit()), Ok(s));
}

#[test]
fn capability_sets_are_read_and_written() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\na=sqn: 0\na=cdsc: 1 audio RTP/AVP 0 18 96\n\
        a=cpar: a=fmtp:96 0-16,32-35\na=cdsc: 4 image udptl t38\nm=audio 3456 RTP/AVP 0\n";
    let s = Session::parse(text.as_bytes()).unwrap();
    assert_eq!((s.capabilities.sqn, s.capabilities.list.len(), s.can_t38()), (Some(0), 2, true));
    assert_eq!(s.capabilities.list[0].parameters, ["a=fmtp:96 0-16,32-35"]);
    assert_eq!((s.capabilities.list[1].number, &s.capabilities.list[1].kind), (4, &Kind::Image));
    let made =
        Capabilities::of(&[(Kind::Audio, Proto::RtpAvp, vec!["0".into(), "8".into()]), (Kind::Image, Proto::Udptl, vec!["t38".into()])]);
    assert_eq!(made.list.iter().map(|c| c.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(Session::parse(&s.emit()), Ok(s));
}

#[test]
fn rtcp_packet_times_and_voice_band_data_are_read() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 3456 RTP/AVP 8 0 96 100\na=rtcp:53020 IN IP4 126.16.64.4\n\
        a=rtcp-mux\na=ptime:30.0\na=maxptime:60\na=gpmd:8 vbd=yes;ecan=on\na=gpmd:0 VBD = no\na=gpmd:99 vbd=yes\na=rtpmap:96 t38/8000\n";
    let s = Session::parse(text.as_bytes()).unwrap();
    let m = &s.media[0];
    assert_eq!((m.rtcp_destination(false), m.rtcp_destination(true)), ("126.16.64.4:53020".parse().ok(), "192.0.2.1:3456".parse().ok()));
    assert_eq!((m.rtcp_mux, m.ptime_ms, m.maxptime_ms), (true, Some(30), Some(60)));
    assert_eq!(m.payloads.iter().map(Payload::is_vbd).collect::<Vec<_>>(), [true, false, false, false]);
    assert_eq!(m.payloads[2].codec, Codec::RtpT38);
    let ours = Audio { rtcp_mux: true, vbd: true, ..Audio::default() };
    let a = answer(&local(), &s, &[LineAnswer::Audio(6000, &ours)]).unwrap();
    assert_eq!((a.media[0].rtcp_mux, a.media[0].payloads[0].pt, a.media[0].payloads[0].is_vbd()), (true, 8, true));
    assert_eq!(Session::parse(&s.emit()), Ok(s));
}

#[test]
fn t38_attributes_above_the_image_line_hold_for_it() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\na=T38FaxVersion:2\na=T38FaxMaxDatagram:200\nm=image 4000 udptl t38\n\
        a=T38FaxMaxDatagram:300\nm=audio 4002 RTP/AVP 0\n";
    let s = Session::parse(text.as_bytes()).unwrap();
    let t38 = s.media[0].t38.as_ref().unwrap();
    assert_eq!((t38.version, t38.max_datagram_bytes, s.media[1].t38.is_none()), (2, Some(300), true));
}

#[test]
fn a_second_reader_reads_our_offers() {
    for session in [offer_audio(&local(), 4000, &Audio::default()), offer_t38(&local(), 4000, &ours())] {
        let bytes = session.emit();
        let theirs = sdp_types::Session::parse(&bytes).unwrap();
        assert_eq!(theirs.medias.len(), 1);
        let mut again = Vec::new();
        theirs.write(&mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(bytes).unwrap());
    }
    let text = String::from_utf8(offer_audio(&local(), 4000, &Audio::default()).emit()).unwrap();
    assert_eq!(
        text,
        "v=0\r\no=- 77 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn what_cannot_be_read_is_refused_and_bounds_hold() {
    for (text, error) in [
        ("", SdpError::NoVersion),
        ("v=1\r\n", SdpError::NoVersion),
        ("v=0\r\ns=-\r\n", SdpError::NoOrigin),
        ("v=0\r\no=a b\r\n", SdpError::BadLine(2)),
        ("v=0\r\no=- 1 1 IN IP4 a\r\nm=audio 70000 RTP/AVP 0\r\n", SdpError::BadLine(3)),
        ("v=0\r\no=- 1 1 IN IP4 a\r\nm=audio 7000 RTP/AVP 200\r\n", SdpError::BadLine(3)),
        ("v=0\r\ntesting=123\r\n", SdpError::BadLine(2)),
    ] {
        assert_eq!(Session::parse(text.as_bytes()), Err(error), "{text:?}");
    }
    let many = format!("v=0\no=- 1 1 IN IP4 a\n{}", "m=audio 1 RTP/AVP 0\n".repeat(SDP_MEDIA_MAX + 1));
    assert_eq!(Session::parse(many.as_bytes()), Err(SdpError::TooMany));
    let long = format!("v=0\no=- 1 1 IN IP4 a\nm=audio 1 RTP/AVP 0\n{}", "a=x\n".repeat(SDP_ATTRIBUTES_MAX + 1));
    assert_eq!(Session::parse(long.as_bytes()), Err(SdpError::TooMany));
}

#[test]
fn the_corpus_runs_through_the_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/sdp");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 5);
    let mut rng = crate::clock::Rng::new(8866);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(Session::parse(&bytes).is_ok(), "{}", file.display());
        fuzz::description(&bytes);
        (0..500).for_each(|_| fuzz::description(&crate::sip::fuzz::mutate(&bytes, &mut rng)));
    }
}

#[test]
fn broken_descriptions_do_not_panic() {
    let mut rng = crate::clock::Rng::new(4566);
    for seed in [AUDIO, T38_OFFER] {
        for _ in 0..5_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=rng.below(5) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = b"0=:/ \r\na9\xff"[rng.below(10) as usize],
                    1 => drop(bytes.splice(at..(at + 3).min(bytes.len()), [])),
                    _ => bytes.insert(at, b"0=:/ \r\na9\xff"[rng.below(10) as usize]),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            fuzz::description(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn t38_goes_round(version in 0u8..5, rate in any::<Option<u32>>(), flags in any::<[bool; 3]>(), sizes in any::<[Option<u32>; 3]>(),
        ec in 0usize..4, depth in any::<Option<(u8, Option<u8>)>>(), span in any::<Option<u8>>(), local_tcf in any::<bool>()) {
        let t38 = T38 {
            version, max_bit_rate: rate, fill_bit_removal: flags[0], transcoding_mmr: flags[1], transcoding_jbig: flags[2],
            rate_management: if local_tcf { RateManagement::LocalTcf } else { RateManagement::TransferredTcf },
            max_buffer_bytes: sizes[0], max_datagram_bytes: sizes[1], max_ifp_bytes: sizes[2],
            udp_ec: [None, Some(UdpEc::NoEc), Some(UdpEc::Redundancy), Some(UdpEc::Fec)][ec],
            udp_ec_depth: depth, fec_max_span: span, vendor_info: None, modem_type: None,
        };
        let s = offer_t38(&local(), 4000, &t38);
        prop_assert_eq!(Session::parse(&s.emit()), Ok(s));
    }
}
