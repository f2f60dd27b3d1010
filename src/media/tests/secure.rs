//! The leg behind SRTP: what is heard, what is not, and who is followed.

use super::super::Protection;
use super::super::fuzz::protection;
use super::*;
use crate::media::rtp::Packet;
use crate::srtp::{Keys, MasterKey, Profile, Session};

fn secured() -> [AudioConfig; 2] {
    [AudioConfig { protection: protection(1, 2), ..near() }, AudioConfig { protection: protection(2, 1), ..far() }]
}

fn session(profile: Profile, send: u8, receive: u8) -> Box<Session> {
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 44][..MasterKey::octets_of(profile)]).unwrap();
    Box::new(Session::new(&Keys::new(profile, key(send), key(receive)).unwrap()))
}

fn rough() -> Params {
    Params { delay: ms(20), jitter: ms(15), loss: 0.03, ..Params::default() }
}

fn loudness(heard: &[i16]) -> f64 {
    (heard.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / heard.len().max(1) as f64).sqrt()
}

#[test]
fn req_k5_a_secured_call_is_heard_as_a_clear_one_is() {
    let mut clear = Pair::new(rough(), 3, ms(7), 0.0);
    let mut secure = Pair::of(secured(), rough(), 3, ms(7), 0.0);
    for pair in [&mut clear, &mut secure] {
        pair.run_ms(2000, &mut talk);
        pair.ends.iter_mut().for_each(|e| e.keep = true);
        pair.run_ms(20_000, &mut talk);
    }
    for (c, s) in clear.ends.iter().zip(&secure.ends) {
        let (loud, stats) = (loudness(&s.heard), s.leg.stats());
        assert!((loud / loudness(&c.heard) - 1.0).abs() < 0.1 && loud > 3000.0, "{loud}");
        assert_eq!(stats.protected_by, Some("AES_CM_128_HMAC_SHA1_80"));
        assert_eq!((stats.srtp.not_authentic, stats.srtp.replayed, stats.srtp.malformed, stats.garbage), (0, 0, 0, 0));
        assert!(stats.received > 1000 && stats.rtcp_received > 2, "{stats:?}");
        assert!(stats.rtt_ms.is_some());
    }
}

#[test]
fn nothing_of_a_secured_leg_goes_out_in_the_clear_reports_and_good_bye_neither() {
    for rtcp_mux in [false, true] {
        let mut leg = AudioLeg::new(AudioConfig { protection: protection(1, 2), rtcp_mux, ..near() }, 1);
        let mut peer = session(Profile::AesCm128HmacSha1_80, 2, 1);
        let (mut sound, mut reports, mut byes) = (0, 0, 0);
        let mut out = |channel: Channel, _: SocketAddr, bytes: &[u8]| {
            let mut opened = bytes.to_vec();
            if rtp::looks_like_rtcp(bytes) {
                assert_eq!(channel, if rtcp_mux { Channel::Rtp } else { Channel::Rtcp });
                // Nobody would take it as it is, and the CNAME is not to be seen.
                assert!(!bytes.windows(7).any(|w| w == b"gateway"));
                let n = peer.unprotect_rtcp(&mut opened).expect("ours");
                assert!(opened[..n].windows(7).any(|w| w == b"gateway"));
                reports += 1;
                byes += usize::from(super::super::rtcp::Compound::parse(&opened[..n], 0).unwrap().bye);
            } else {
                assert_eq!(bytes.len(), 12 + FRAME_SAMPLES + 10);
                let n = peer.unprotect_rtp(&mut opened).expect("ours");
                assert_ne!(opened[12..n], bytes[12..n]);
                sound += 1;
            }
        };
        let mut to_line = SILENCE;
        for n in 0..1500 {
            let mut frame = SILENCE;
            talk(0, n * 20_000, &mut frame);
            leg.tick(Instant::from_ms(5000 + n * 20), &frame, LineDigit::None, &mut to_line, &mut out);
        }
        leg.finish(&mut out);
        assert!(sound == 1500 && reports > 3 && byes == 1, "{sound} {reports} {byes}");
    }
}

#[test]
fn a_leg_that_awaits_keys_says_and_hears_nothing_and_then_does() {
    let [a, b] = secured();
    let mut pair = Pair::of([AudioConfig { protection: Protection::Awaiting, ..a }, b], Params::default(), 5, ms(3), 0.0);
    pair.run_ms(10_000, &mut talk);
    let (awaiting, far) = (pair.ends[0].leg.stats(), pair.ends[1].leg.stats());
    assert_eq!((awaiting.sent, awaiting.rtcp_sent, awaiting.received, awaiting.rtcp_received), (0, 0, 0, 0));
    assert_eq!((far.received, far.rtcp_received, far.srtp.malformed, far.srtp.not_authentic), (0, 0, 0, 0));
    // What came, and what was not sent.
    assert!(awaiting.without_keys > 950, "{}", awaiting.without_keys);
    pair.ends[0].leg.finish(&mut |_, _, _| panic!("a good-bye before there were keys"));
    assert!(pair.ends[0].leg.secure(session(Profile::AesCm128HmacSha1_80, 1, 2)).is_none());
    pair.run_ms(1000, &mut talk);
    pair.ends.iter_mut().for_each(|e| e.keep = true);
    pair.run_ms(2000, &mut talk);
    assert!(pair.ends.iter().all(|e| loudness(&e.heard) > 3000.0 && e.leg.stats().received >= 140));
}

#[test]
fn new_keys_in_a_running_call_cost_no_packet_that_both_can_read() {
    let mut pair = Pair::of(secured(), Params { delay: ms(30), ..Params::default() }, 8, ms(5), 0.0);
    pair.run_ms(3000, &mut talk);
    for (round, profile) in [Profile::AeadAes256Gcm, Profile::AesCm128HmacSha1_32, Profile::AeadAes128Gcm].into_iter().enumerate() {
        let n = 10 * round as u8;
        // The answerer has the keys before the offerer does. What it says meanwhile is lost, as it is with any other stack.
        for (end, keys) in [(1, session(profile, n + 4, n + 3)), (0, session(profile, n + 3, n + 4))] {
            assert!(pair.ends[end].leg.secure(keys).is_some(), "the box comes back");
            pair.run_ms(60, &mut talk);
        }
        pair.run_ms(3000, &mut talk);
        assert!(pair.ends.iter().all(|e| e.leg.stats().protected_by == Some(profile.name())));
    }
    // The same again: nothing happens.
    let before = pair.ends.each_ref().map(|e| e.leg.stats().srtp);
    for (end, keys) in [(0, session(Profile::AeadAes128Gcm, 23, 24)), (1, session(Profile::AeadAes128Gcm, 24, 23))] {
        assert!(pair.ends[end].leg.secure(keys).is_some());
    }
    pair.run_ms(3000, &mut talk);
    let [a, b] = pair.ends.each_ref().map(|e| e.leg.stats());
    assert_eq!((b.srtp.not_authentic, b.srtp.malformed, b.lost), (0, 0, 0), "the answerer takes the old until it hears the new: {b:?}");
    assert!((1..=15).contains(&a.srtp.not_authentic), "{a:?}");
    assert_eq!((a.srtp.not_authentic, b.srtp.not_authentic), (before[0].not_authentic, before[1].not_authentic));
}

/// A peer made by hand: packets of talk, protected.
struct Peer {
    session: Box<Session>,
    sequence: u16,
    ssrc: u32,
}

impl Peer {
    fn packet(&mut self) -> Vec<u8> {
        let mut bytes = [0; 200];
        let (sequence, timestamp) = (self.sequence, u32::from(self.sequence).wrapping_mul(160));
        let p = Packet { payload_type: 0, marker: false, sequence, timestamp, ssrc: self.ssrc, payload: &[0x55; 160] };
        let n = p.emit(&mut bytes).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
        let n = self.session.protect_rtp(&mut bytes, n).unwrap();
        bytes[..n].to_vec()
    }
}

fn turn(leg: &mut AudioLeg, now: &mut Instant, packets: &[(SocketAddr, Vec<u8>)]) {
    for (from, packet) in packets {
        leg.from_net(*now, Channel::Rtp, *from, packet);
    }
    leg.tick(*now, &SILENCE, LineDigit::None, &mut SILENCE.clone(), &mut |_, _, _| {});
    *now = *now + ms(20);
}

#[test]
fn only_authentic_packets_move_the_leg_and_the_counter_goes_with_the_peer() {
    let mut leg = AudioLeg::new(AudioConfig { protection: protection(1, 2), ..near() }, 1);
    let mut peer = Peer { session: session(Profile::AesCm128HmacSha1_80, 2, 1), sequence: 65_400, ssrc: 77 };
    let mut now = Instant::from_ms(5000);
    let mut recorded = Vec::new();
    for _ in 0..100 {
        let packet = peer.packet();
        recorded.push(packet.clone());
        turn(&mut leg, &mut now, &[(at(2, 4000), packet)]);
    }
    // The peer is silent, and a stranger has all that was ever said, also with the numbers that would come next, and a leg's own echo.
    let mut stranger = Peer { session: session(Profile::AesCm128HmacSha1_80, 9, 1), sequence: peer.sequence, ssrc: 77 };
    for n in 0..100 {
        let forged = stranger.packet();
        let mut clear = forged[..172].to_vec();
        clear[12..].fill(0x55);
        turn(&mut leg, &mut now, &[(at(9, 9), recorded[n].clone()), (at(9, 9), forged), (at(9, 9), clear)]);
    }
    let stats = leg.stats();
    assert_eq!((leg.peer(), stats.address_changes, stats.received), (at(2, 4000), 0, 100));
    assert_eq!((stats.srtp.replayed, stats.srtp.not_authentic), (100, 200));
    // The peer comes from elsewhere, beyond a roll-over of its sequence numbers.
    for _ in 0..100 {
        let packet = peer.packet();
        turn(&mut leg, &mut now, &[(at(3, 6000), packet)]);
    }
    let stats = leg.stats();
    assert!(peer.sequence < 200 && stats.received >= 197, "{stats:?}");
    assert_eq!((leg.peer(), stats.address_changes, stats.srtp.not_authentic), (at(3, 6000), 1, 200));
    // And by signalling: the stream is the same, so its roll-over counter is.
    leg.set_remote(at(4, 4000), at(4, 4001));
    for _ in 0..100 {
        let packet = peer.packet();
        turn(&mut leg, &mut now, &[(at(4, 4000), packet)]);
    }
    assert_eq!((leg.peer(), leg.stats().received, leg.stats().srtp.not_authentic), (at(4, 4000), stats.received + 100, 200));
}

#[test]
fn the_same_ssrc_on_both_sides_is_resolved_behind_srtp_too() {
    let [a, b] = secured();
    let ssrc = a.ssrc;
    let mut pair = Pair::of([a, AudioConfig { ssrc, ..b }], Params::default(), 5, ms(3), 0.0);
    pair.run_ms(2000, &mut talk);
    pair.ends.iter_mut().for_each(|e| e.keep = true);
    pair.run_ms(3000, &mut talk);
    let stats = pair.ends.each_ref().map(|e| e.leg.stats());
    assert!(stats.iter().all(|s| s.srtp.not_authentic == 0 && s.srtp.exhausted == 0), "{stats:?}");
    assert!(stats.iter().any(|s| s.ssrc_collisions == 1) && pair.ends[0].leg.ssrc() != pair.ends[1].leg.ssrc());
    assert!(pair.ends.iter().all(|e| loudness(&e.heard) > 3000.0));
}

#[test]
fn a_forged_good_bye_is_nobodys_word() {
    let mut leg = AudioLeg::new(AudioConfig { protection: protection(1, 2), ..near() }, 1);
    let mut peer = Peer { session: session(Profile::AesCm128HmacSha1_80, 2, 1), sequence: 10, ssrc: 77 };
    let mut now = Instant::from_ms(5000);
    for _ in 0..50 {
        let packet = peer.packet();
        turn(&mut leg, &mut now, &[(at(2, 4000), packet)]);
    }
    let rr_and_bye = [&[0x80, 201, 0, 1, 0, 0, 0, 77][..], &[0x81, 203, 0, 1, 0, 0, 0, 77]].concat();
    let not_encrypted = [rr_and_bye.as_slice(), &[0, 0, 0, 5], &[0; 10]].concat();
    for forged in [rr_and_bye.clone(), not_encrypted, [rr_and_bye.as_slice(), &[0x80, 0, 0, 5], &[0; 10]].concat()] {
        leg.from_net(now, Channel::Rtcp, at(2, 4001), &forged);
    }
    assert!(!leg.stats().far_said_bye && leg.stats().rtcp_received == 0);
    // Negative control: the same, from who has the key.
    let mut bye = [0; 40];
    bye[..16].copy_from_slice(&rr_and_bye);
    let n = peer.session.protect_rtcp(&mut bye, 16).unwrap();
    leg.from_net(now, Channel::Rtcp, at(2, 4001), &bye[..n]);
    assert!(leg.stats().far_said_bye);
}
