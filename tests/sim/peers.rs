//! Peers that are not ours: one that puts calls on hold, and strangers who send whatever they like.

use crate::stage::*;
use std::net::SocketAddr;
use tipring::clock::{Rng, ms};
use tipring::lab::netem::Params;
use tipring::lab::world::{World, sip_address};
use tipring::sip::{Config, DialogId, Endpoint, Event, Invite};

/// A SIP telephone outside, played by the test.
struct Outsider {
    sip: Endpoint,
    at: SocketAddr,
    events: Vec<Event>,
    rtp: usize,
}

impl Outsider {
    fn new() -> Self {
        let at: SocketAddr = "203.0.113.5:5060".parse().expect("a literal address");
        Outsider { sip: Endpoint::new(Config::new(at, "outsider"), 99), at, events: Vec::new(), rtp: 0 }
    }
    fn sdp(version: u32, direction: &str) -> Vec<u8> {
        format!(
            "v=0\r\no=- 1 {version} IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )
        .into_bytes()
    }
    /// Lets time pass on both sides; sends RTP itself if `talks`. Counts the RTP that comes.
    fn live(&mut self, world: &mut World, for_ms: u64, talks: Option<SocketAddr>) {
        let end = world.now() + ms(for_ms);
        let mut sequence = 0u16;
        while world.now() < end {
            world.step();
            let now = world.now();
            self.sip.handle_timeout(now);
            while let Some((src, dst, bytes)) = world.poll_outside() {
                if dst == self.at {
                    self.sip.handle_datagram(now, src, &bytes);
                } else if dst.port() == 4000 {
                    self.rtp += 1;
                }
            }
            while let Some(t) = self.sip.poll_transmit() {
                world.inject(self.at, t.dst.addr, &t.bytes);
            }
            while let Some(e) = self.sip.poll_event() {
                self.events.push(e);
            }
            if let Some(dst) = talks
                && now.as_ms() / 20 != u64::from(sequence)
            {
                sequence = (now.as_ms() / 20) as u16;
                let mut packet = vec![0x80, 0, (sequence >> 8) as u8, sequence as u8];
                packet.extend((u32::from(sequence) * 160).to_be_bytes());
                packet.extend([1, 2, 3, 4]);
                packet.extend([0xD5; 160]);
                world.inject("203.0.113.5:4000".parse().expect("a literal address"), dst, &packet);
            }
        }
    }
    fn call(&mut self, world: &mut World, number: &str) -> DialogId {
        let invite = Invite {
            to: number.into(),
            targets: vec![(sip_address(B).into(), None)],
            from: "8888".into(),
            offer: Self::sdp(1, "sendrecv"),
            ..Invite::default()
        };
        self.sip.invite(world.now(), invite).expect("room for one call")
    }
    /// Where the peer's answer says RTP goes.
    fn answer_rtp(&self) -> SocketAddr {
        let sdp = self.events.iter().find_map(|e| match e {
            Event::Answered { sdp, .. } => Some(String::from_utf8_lossy(sdp).into_owned()),
            _ => None,
        });
        let sdp = sdp.expect("the call was answered");
        let port = sdp.lines().find_map(|l| l.strip_prefix("m=audio ")).and_then(|l| l.split(' ').next()).and_then(|p| p.parse().ok());
        SocketAddr::new(sip_address(B).ip(), port.expect("an audio line"))
    }
}

#[test]
fn a_peer_puts_the_call_on_hold_for_a_minute_and_takes_it_back() {
    let mut world = registered(two_offices(201));
    let mut peer = Outsider::new();
    let dialog = peer.call(&mut world, "3001");
    peer.live(&mut world, 1_000, None);
    world.lift(B, 0);
    peer.live(&mut world, 1_000, None);
    let rtp = peer.answer_rtp();
    let heard = peer.rtp;
    peer.live(&mut world, 2_000, Some(rtp));
    assert!(peer.rtp > heard + 90, "{} packets in 2 s", peer.rtp - heard);
    for direction in ["sendonly", "inactive"] {
        peer.sip.reinvite(world.now(), dialog, Outsider::sdp(2, direction)).expect("in a call");
        peer.live(&mut world, 500, Some(rtp));
        let before = peer.rtp;
        // Longer than the watchdog of the leg: a held call is not a dead one.
        peer.live(&mut world, 60_000, (direction == "sendonly").then_some(rtp));
        assert_eq!(peer.rtp, before, "{direction}: nothing is sent to one who does not listen: {}", story(&world));
    }
    peer.sip.reinvite(world.now(), dialog, Outsider::sdp(3, "sendrecv")).expect("in a call");
    peer.live(&mut world, 500, Some(rtp));
    let before = peer.rtp;
    peer.live(&mut world, 2_000, Some(rtp));
    assert!(peer.rtp > before + 90, "{} packets in 2 s after the hold: {}", peer.rtp - before, story(&world));
    peer.sip.hangup(world.now(), dialog, None).expect("in a call");
    peer.live(&mut world, 1_000, None);
    let call = record(&mut world, B, 0, 5_000);
    assert!(call.completed, "{call:?}");
    comes_to_rest(&mut world);
}

#[test]
fn a_peer_that_never_acknowledges_is_given_up() {
    let mut world = registered(two_offices(202));
    let mut peer = Outsider::new();
    peer.call(&mut world, "3001");
    peer.live(&mut world, 1_000, None);
    world.lift(B, 0);
    // The peer is gone: nothing is taken out of the world any more.
    let call = record(&mut world, B, 0, 45_000);
    assert!(!call.completed, "{call:?}");
    hears(&mut world, B, 0, tipring_dsp::progress::ProgressTone::Reorder, 5_000);
    comes_to_rest(&mut world);
}

#[test]
fn garbage_on_every_socket_disturbs_no_call() {
    let mut world = registered(two_offices(203));
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 10_000);
    world.lift(B, 0);
    world.run_ms(500);
    let mut rng = Rng::new(5);
    for _ in 0..3_000 {
        let len = rng.below(400) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        if rng.chance(0.5) && !bytes.is_empty() {
            bytes[0] = 0x80;
        }
        let port = [5060, 10_000, 10_001, 10_002, 10_004][rng.below(5) as usize];
        let dst = SocketAddr::new(sip_address(rng.below(2) as usize).ip(), port);
        world.inject("203.0.113.9:4444".parse().expect("a literal address"), dst, &bytes);
        if rng.chance(0.2) {
            world.run_ms(1);
        }
    }
    let (there, _) = says(&mut world, (A, 0), (B, 0), 1, 2_000);
    let (back, _) = says(&mut world, (B, 0), (A, 0), 2, 2_000);
    assert!(there > 0.9 && back > 0.9, "{there} {back} {}", story(&world));
    world.hang_up(A, 0);
    let (a, b) = (record(&mut world, A, 0, 5_000), record(&mut world, B, 0, 5_000));
    assert!(a.completed && b.completed);
    comes_to_rest(&mut world);
}

#[test]
fn speech_survives_loss_jitter_duplicates_and_reordering() {
    let bad = Params { loss: 0.05, delay: ms(60), jitter: ms(40), duplicate: 0.05, reorder: 0.05, ..Params::default() };
    let mut spec = two_offices(204);
    spec.link = bad;
    let mut world = registered(spec);
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 20_000);
    world.lift(B, 0);
    world.run_ms(3_000);
    let (there, there_ms) = says(&mut world, (A, 0), (B, 0), 1, 3_000);
    let (back, back_ms) = says(&mut world, (B, 0), (A, 0), 2, 3_000);
    println!("60 ms + 0 to 40 ms jitter, 5 % loss: correlation {there:.3} {back:.3}, mouth to ear {there_ms:.1} {back_ms:.1} ms");
    assert!(there > 0.6 && back > 0.6, "{there} {back} {}", story(&world));
    assert!(there_ms < 220.0 && back_ms < 220.0, "{there_ms} {back_ms}");
    world.hang_up(A, 0);
    let call = record(&mut world, A, 0, 10_000);
    let (_, stats) = call.audio.expect("an audio leg");
    assert!(stats.lost > 0 && stats.duplicate > 0 && stats.reordered > 0, "{stats:?}");
    comes_to_rest(&mut world);
}

#[test]
fn a_cut_of_three_seconds_is_a_silence_and_no_more() {
    let mut world = registered(two_offices(205));
    world.dial(A, 0, "3001");
    rings(&mut world, B, 0, 20_000);
    world.lift(B, 0);
    world.run_ms(2_000);
    world.partition(A, B, true);
    world.run_ms(3_000);
    world.partition(A, B, false);
    world.run_ms(1_000);
    let (there, _) = says(&mut world, (A, 0), (B, 0), 1, 2_000);
    assert!(there > 0.9, "{there} {}", story(&world));
    world.hang_up(B, 0);
    let call = record(&mut world, A, 0, 5_000);
    assert_eq!((call.completed, call.result.as_str()), (true, "the called side hung up"));
    comes_to_rest(&mut world);
}
