//! Emergency calls that their first target does not take: whatever it does instead, the next one rings, and the caller hears that
//! something goes on. The targets outside are played by the test ([`Exchange`]).

use crate::stage::*;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tipring::call::CallRecord;
use tipring::clock::{Instant, Rng, ms};
use tipring::lab::world::{EmergencySpec, World, WorldSpec};
use tipring::sip::message::{Message, Method};
use tipring::sip::{Config, DialogId, Endpoint, Event};
use tipring_dsp::progress::ProgressTone;
use tipring_hw::sim::Happening;

/// What a target outside does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    /// Nobody is there.
    Nothing,
    /// A proxy says 100 and no more.
    TryingOnly,
    /// Refuses at once.
    Refuses(u16),
    /// Announces something (early media), then refuses.
    AnnouncesAndRefuses,
    /// Announces something (all operators are busy), and never answers.
    AnnouncesOnly,
    /// Rings until it is taken back.
    Rings,
    /// Rings so long, then answers.
    RingsAndAnswers(u64),
    /// Answers with media that nobody can do.
    AnswersNonsense,
}

/// A telephone exchange at an address outside.
struct Exchange {
    sip: Endpoint,
    at: SocketAddr,
    does: Does,
    /// When each call came.
    called: Vec<Instant>,
    ringing: Option<(DialogId, Instant)>,
    /// Calls that were taken back, and when.
    cancelled: Vec<Instant>,
    up: bool,
    packets: u16,
}

impl Exchange {
    fn new(n: u8, does: Does) -> Exchange {
        let at = SocketAddr::from(([203, 0, 113, n], 5060));
        let sip = Endpoint::new(Config::new(at, "exchange"), u64::from(n));
        Exchange { sip, at, does, called: Vec::new(), ringing: None, cancelled: Vec::new(), up: false, packets: 0 }
    }
    fn target(&self) -> EmergencySpec {
        EmergencySpec::Outside(self.at)
    }
    fn sdp(&self, codec: u8) -> Vec<u8> {
        let ip = self.at.ip();
        format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {codec}\r\n").into_bytes()
    }

    fn hear(&mut self, world: &mut World, src: SocketAddr, bytes: &[u8]) {
        let now = world.now();
        match self.does {
            Does::Nothing => {
                if Message::parse(bytes).is_ok_and(|m| m.method() == Some(&Method::Invite)) {
                    self.called.push(now);
                }
            }
            Does::TryingOnly => {
                if let Ok(invite) = Message::parse(bytes)
                    && invite.method() == Some(&Method::Invite)
                {
                    self.called.push(now);
                    world.inject(self.at, src, &Message::response_to(&invite, 100, "Trying").emit());
                }
            }
            _ => self.sip.handle_datagram(now, src, bytes),
        }
    }

    fn live(&mut self, world: &mut World) {
        let now = world.now();
        self.sip.handle_timeout(now);
        while let Some(event) = self.sip.poll_event() {
            match event {
                Event::Incoming { dialog, .. } => {
                    self.called.push(now);
                    self.ringing = Some((dialog, now));
                    let _ = match self.does {
                        Does::Refuses(status) => self.sip.reject(now, dialog, status, None),
                        Does::AnnouncesAndRefuses | Does::AnnouncesOnly => self.sip.progress(now, dialog, self.sdp(0)),
                        Does::AnswersNonsense => self.sip.answer(now, dialog, self.sdp(18)),
                        _ => self.sip.ringing(now, dialog),
                    };
                }
                Event::Ended { .. } => {
                    self.cancelled.push(now);
                    (self.ringing, self.up) = (None, false);
                }
                _ => {}
            }
        }
        if let Some((dialog, since)) = self.ringing {
            let for_ms = now.ms_since(since);
            match self.does {
                Does::AnnouncesAndRefuses if for_ms >= 3_000 => {
                    let _ = self.sip.reject(now, dialog, 503, None);
                    self.ringing = None;
                }
                Does::RingsAndAnswers(after_ms) if for_ms >= after_ms && !self.up => {
                    self.up = self.sip.answer(now, dialog, self.sdp(0)).is_ok();
                }
                _ => {}
            }
            let announces = matches!(self.does, Does::AnnouncesAndRefuses | Does::AnnouncesOnly) && self.ringing.is_some();
            if (announces || self.up) && for_ms / 20 > u64::from(self.packets) {
                self.packets += 1;
                let mut packet = vec![0x80, 0, (self.packets >> 8) as u8, self.packets as u8];
                packet.extend((u32::from(self.packets) * 160).to_be_bytes());
                packet.extend([1, 2, 3, 4]);
                packet.extend([0x55; 160]);
                let from = SocketAddr::new(self.at.ip(), 4000);
                // The first leg of A; that it is so is not what is tested here.
                for leg in 0..6u16 {
                    world.inject(from, SocketAddr::from(([10, 0, 0, 1], 10_000 + 4 * leg)), &packet);
                }
            }
        }
        while let Some(t) = self.sip.poll_transmit() {
            world.inject(self.at, t.dst.addr, &t.bytes);
        }
    }
}

/// Office A with two phones, whose emergency calls go to these exchanges, and then perhaps to its second phone.
struct Scene {
    world: World,
    exchanges: Vec<Exchange>,
}

impl Scene {
    fn new(seed: u64, does: &[Does], and_desk: bool) -> Scene {
        let exchanges: Vec<Exchange> = does.iter().enumerate().map(|(i, d)| Exchange::new(i as u8 + 7, *d)).collect();
        let mut spec: WorldSpec = two_offices(seed);
        spec.gateways[A].emergency = exchanges.iter().map(Exchange::target).collect();
        if and_desk {
            spec.gateways[A].emergency.push(EmergencySpec::Port(1));
        }
        spec.gateways[A].emergency_no_answer_ms = 15_000;
        let mut scene = Scene { world: registered(spec), exchanges };
        scene.world.dial(A, 0, "999");
        scene
    }
    fn run_until(&mut self, within_ms: u64, mut until: impl FnMut(&Scene) -> bool) -> bool {
        let end = self.world.now() + ms(within_ms);
        let mut carried: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)> = VecDeque::new();
        while self.world.now() < end && self.world.violation().is_none() {
            if until(self) {
                return true;
            }
            self.world.step();
            while let Some(parcel) = self.world.poll_outside() {
                carried.push_back(parcel);
            }
            while let Some((src, dst, bytes)) = carried.pop_front() {
                if let Some(exchange) = self.exchanges.iter_mut().find(|e| e.at == dst) {
                    exchange.hear(&mut self.world, src, &bytes);
                }
            }
            for exchange in &mut self.exchanges {
                exchange.live(&mut self.world);
            }
        }
        false
    }
    /// Until the desk's bell rings: how long after the first exchange was called.
    fn desk_rings(&mut self, within_ms: u64) -> u64 {
        let rang = self.run_until(within_ms, |s| noticed(&s.world, A, 1, &Happening::RingStarted));
        assert!(rang, "the desk rings: {}", story(&self.world));
        self.world.now().ms_since(self.exchanges[0].called[0])
    }
    fn record(&mut self, within_ms: u64) -> CallRecord {
        assert!(self.run_until(within_ms, |s| !s.world.records(A).is_empty()), "the record: {}", story(&self.world));
        self.world.records(A)[0].clone()
    }
    /// The desk answers, both talk, and the call is a good one.
    fn desk_answers(&mut self) {
        self.world.lift(A, 1);
        self.run_until(1_000, |_| false);
        let (heard, _) = says(&mut self.world, (A, 0), (A, 1), 8, 1_000);
        assert!(heard > 0.9, "{heard} {}", story(&self.world));
        self.world.hang_up(A, 0);
        let record = self.record(5_000);
        assert_eq!((record.route, record.completed), ("emergency", true), "{record:?}");
        assert_eq!(record.ports, ["phone-2001", "phone-2002"]);
        comes_to_rest(&mut self.world);
    }
}

/// For each thing that a first target can do instead of answering: between which times after its INVITE the desk rings, in ms.
const LEADS_ON: &[(Does, u64, u64)] = &[
    (Does::Refuses(486), 0, 100),
    (Does::Refuses(403), 0, 100),
    (Does::Refuses(503), 0, 100),
    (Does::Refuses(603), 0, 100),
    (Does::AnswersNonsense, 0, 100),
    (Does::AnnouncesAndRefuses, 3_000, 3_100),
    (Does::Nothing, 4_000, 4_200),
    (Does::TryingOnly, 12_000, 12_200),
    (Does::Rings, 15_000, 15_200),
    (Does::AnnouncesOnly, 15_000, 15_200),
];

#[test]
fn whatever_the_first_target_does_instead_of_answering_the_next_one_rings() {
    for (i, (does, least_ms, most_ms)) in LEADS_ON.iter().enumerate() {
        let mut scene = Scene::new(301 + i as u64, &[*does], true);
        let after_ms = scene.desk_rings(30_000);
        assert!((*least_ms..=*most_ms).contains(&after_ms), "{does:?}: the desk rings after {after_ms} ms");
        // The caller hears ringback meanwhile: not the silence of a line that has died, and not what the first target said.
        scene.run_until(8_000, |_| false);
        let last = scene.world.happenings(A, 0).filter(|(_, h)| matches!(h, Happening::ToneStarted(_))).last();
        assert!(matches!(last, Some((_, Happening::ToneStarted(ProgressTone::Ringback)))), "{does:?}: {}", story(&scene.world));
        scene.desk_answers();
    }
}

#[test]
fn a_target_that_takes_its_time_to_answer_is_not_left() {
    // Longer than the silence that a dead one is given, and shorter than what one that rings is given.
    let mut scene = Scene::new(321, &[Does::RingsAndAnswers(13_000)], true);
    assert!(scene.run_until(30_000, |s| s.exchanges[0].up), "{}", story(&scene.world));
    assert!(!noticed(&scene.world, A, 1, &Happening::RingStarted));
    scene.run_until(3_000, |_| false);
    scene.world.hang_up(A, 0);
    let record = scene.record(5_000);
    assert!(record.completed && record.peer == Some(scene.exchanges[0].at), "{record:?}");
}

#[test]
fn the_list_is_gone_through_to_its_end_and_the_call_ends_when_nobody_is_left() {
    let does = [Does::Nothing, Does::AnnouncesAndRefuses, Does::Refuses(486), Does::AnswersNonsense];
    let mut scene = Scene::new(322, &does, false);
    let record = scene.record(60_000);
    assert!(!record.completed && record.answered.is_none(), "{record:?}");
    // The second rang (it announced something), so it alone is tried once more; the dead one does not cost another 4 s.
    let asked = |n: usize| scene.exchanges[n].called.len();
    assert_eq!((asked(1), asked(2), asked(3)), (2, 1, 1), "{}", story(&scene.world));
    let shouted = scene.world.journal(A).logs.iter().any(|(_, l)| l.warn && l.words.starts_with("AN EMERGENCY CALL WAS TAKEN BY NOBODY"));
    assert!(shouted, "{}", story(&scene.world));
    hears(&mut scene.world, A, 0, ProgressTone::Reorder, 5_000);
}

#[test]
fn targets_that_rang_are_rung_once_more_and_the_last_of_them_rings_until_the_caller_hangs_up() {
    let mut scene = Scene::new(323, &[Does::Rings, Does::Rings], false);
    // Four times 15 s, and then as much again.
    scene.run_until(120_000, |_| false);
    let [first, last] = &scene.exchanges[..] else { panic!("two") };
    let turns = [(first.called.len(), first.cancelled.len()), (last.called.len(), last.cancelled.len())];
    assert_eq!(turns, [(2, 2), (2, 1)], "{}", story(&scene.world));
    scene.world.hang_up(A, 0);
    assert_eq!(scene.record(5_000).result, "the caller gave up before the answer");
    assert!(scene.run_until(5_000, |s| s.exchanges[1].cancelled.len() == 2), "{}", story(&scene.world));
}

#[test]
fn the_only_target_that_rings_keeps_its_place_in_the_queue() {
    for (i, does) in [vec![Does::RingsAndAnswers(25_000)], vec![Does::Nothing, Does::RingsAndAnswers(25_000)]].into_iter().enumerate() {
        let mut scene = Scene::new(324 + i as u64, &does, false);
        let last = does.len() - 1;
        assert!(scene.run_until(40_000, |s| s.exchanges[last].up), "{}", story(&scene.world));
        let exchange = &scene.exchanges[last];
        assert_eq!((exchange.called.len(), exchange.cancelled.len()), (1, 0), "never taken back: {}", story(&scene.world));
    }
    // Longer than the caller's line waits for anything else: who is called rings, and who calls hears it.
    let mut scene = Scene::new(326, &[Does::Rings], false);
    scene.run_until(170_000, |_| false);
    assert_eq!((scene.exchanges[0].called.len(), scene.exchanges[0].cancelled.len()), (1, 0), "{}", story(&scene.world));
    // The endpoint's own patience (timer C) takes it back after three minutes, and it is rung again.
    scene.run_until(230_000, |_| false);
    let last = scene.world.happenings(A, 0).filter(|(_, h)| matches!(h, Happening::ToneStarted(_))).last();
    assert!(matches!(last, Some((_, Happening::ToneStarted(ProgressTone::Ringback)))), "{}", story(&scene.world));
    let exchange = &scene.exchanges[0];
    assert_eq!(exchange.called.len(), exchange.cancelled.len() + 1, "it rings now: {}", story(&scene.world));
    scene.world.hang_up(A, 0);
    assert_eq!(scene.record(5_000).result, "the caller gave up before the answer");
}

#[test]
fn a_desk_that_is_off_its_hook_loses_the_call_to_the_next_target_unless_it_is_the_only_one() {
    for alone in [false, true] {
        let mut spec = two_offices(327);
        spec.gateways[A].ports.push(tipring::lab::world::PortSpec::phone("2003"));
        spec.gateways[A].emergency =
            if alone { vec![EmergencySpec::Port(1)] } else { vec![EmergencySpec::Port(1), EmergencySpec::Port(2)] };
        let mut world = registered(spec);
        world.lift(A, 1);
        world.run_ms(500);
        world.dial(A, 0, "999");
        let rang = world.run_until(20_000, |w| noticed(w, A, 2, &Happening::RingStarted));
        assert_eq!(rang, !alone, "{}", story(&world));
        if alone {
            world.hang_up(A, 1);
            rings(&mut world, A, 1, 5_000);
        }
        comes_to_rest(&mut world);
    }
}

#[test]
fn a_caller_who_hangs_up_between_two_targets_leaves_nothing_behind() {
    for seed in 0..20u64 {
        let mut rng = Rng::new(330 + seed);
        let all = [Does::Nothing, Does::AnnouncesAndRefuses, Does::Rings, Does::Refuses(500), Does::TryingOnly, Does::AnswersNonsense];
        let does = [all[rng.below(6) as usize], all[rng.below(6) as usize]];
        let mut scene = Scene::new(330 + seed, &does, rng.chance(0.5));
        let for_ms = 3_000 + rng.below(25_000);
        scene.run_until(for_ms, |_| false);
        scene.world.hang_up(A, 0);
        scene.record(60_000);
        // Whatever was left at the exchanges is taken back too.
        let rests = scene.run_until(90_000, |s| s.world.unrest().is_none());
        assert!(rests, "seed {seed} {does:?}: {:?} {}", scene.world.unrest(), story(&scene.world));
        assert!(scene.exchanges.iter().all(|e| !e.up), "seed {seed} {does:?}: {}", story(&scene.world));
    }
}

#[test]
fn an_ordinary_call_that_is_refused_rings_no_emergency_target() {
    let mut spec = two_offices(329);
    spec.gateways[A].emergency = vec![EmergencySpec::Port(1)];
    let mut world = registered(spec);
    world.lift(B, 0);
    world.run_ms(500);
    world.dial(A, 0, "3001");
    hears(&mut world, A, 0, ProgressTone::Busy, 15_000);
    assert!(!noticed(&world, A, 1, &Happening::RingStarted));
    comes_to_rest(&mut world);
}
