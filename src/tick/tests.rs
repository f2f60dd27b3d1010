//! Two boards with a phone each and a network between them that is quiet but not instant.

use super::*;
use crate::digit_map::DigitMap;
use crate::line::{Command as LineCommand, LineConfig};
use crate::media::{AudioLeg, fuzz};
use std::collections::VecDeque;
use std::sync::Arc;
use tipring_dsp::line_model::LineParams;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::sim::{Control, Phone, SimPort};

/// Dials `keys` in conversation; digits sent and received, first by the dialling board, then by the other.
fn digits_of_a_conversation(keys: &str, delay_ticks: u64) -> [(u64, u64); 2] {
    let plan = TonePlan::of("US").expect("a listed country");
    let map = Arc::new(DigitMap::parse("xxxx", &[]).expect("a map"));
    let mut boards = [0, 1].map(|_| Board::new(vec![LineConfig::new(plan, map.clone())], 0, 1, 60_000));
    let mut ports: [Vec<Box<dyn Port>>; 2] =
        [1, 2].map(|seed| vec![Box::new(SimPort::new(Phone::new(plan), LineParams::HOUSE, seed)) as Box<dyn Port>]);
    let mut network: [VecDeque<(u64, Channel, Vec<u8>)>; 2] = Default::default();
    let mut stats = [(0, 0); 2];
    let end = 250 + 12 * keys.len() as u64;
    for turn in 0..end {
        let now = Instant::from_ms(1000 + 20 * turn);
        for b in 0..2 {
            let (first, second) = network.split_at_mut(1);
            let (arriving, leaving) = if b == 0 { (&mut second[0], &mut first[0]) } else { (&mut first[0], &mut second[0]) };
            let mut out =
                |_: LegId, channel: Channel, _: SocketAddr, bytes: &[u8]| leaving.push_back((turn + delay_ticks, channel, bytes.to_vec()));
            let mut order = |board: &mut Board, command| board.command(now, command, &mut ports[b], &mut out);
            match turn {
                1 if b == 1 => order(&mut boards[b], Command::Line(PortId(0), LineCommand::Ring { cadence_ms: None })),
                5 => order(&mut boards[b], Command::Simulate(PortId(0), Box::new(Control::OffHook))),
                30 if b == 0 => order(
                    &mut boards[b],
                    Command::Simulate(PortId(0), Box::new(Control::Dial { keys: "1111".into(), on_ms: 60, off_ms: 60 })),
                ),
                100 => {
                    let mut config = fuzz::config();
                    config.ssrc = 77 + b as u32;
                    let leg = Box::new(Leg::Audio(AudioLeg::new(config, b as u64)));
                    order(&mut boards[b], Command::Connect { port: PortId(0), leg_id: LegId(0), leg });
                    order(&mut boards[b], Command::Line(PortId(0), LineCommand::Connect));
                }
                150 if b == 0 => order(
                    &mut boards[b],
                    Command::Simulate(PortId(0), Box::new(Control::Dial { keys: keys.into(), on_ms: 80, off_ms: 80 })),
                ),
                _ if turn == end - 1 => order(&mut boards[b], Command::Disconnect(PortId(0))),
                _ => {}
            }
            boards[b].gather(&mut ports[b]);
            while arriving.front().is_some_and(|(due, ..)| *due <= turn) {
                let (_, channel, bytes) = arriving.pop_front().expect("looked at");
                boards[b].from_net(now, LegId(0), channel, fuzz::config().remote_rtp, &bytes);
            }
            boards[b].tick(now, &mut out);
            while let Some(event) = boards[b].poll_event() {
                if let Event::Retired { leg, .. } = event
                    && let Leg::Audio(leg) = *leg
                {
                    let s = leg.stats();
                    stats[b] = (s.digits_sent, s.digits_received);
                }
            }
        }
    }
    stats
}

#[test]
fn the_echo_of_a_played_key_is_not_sent_back_and_hides_no_key_pressed_here() {
    for keys in ["2468", "9876543210", "123456789*0#ABCD", "5555"] {
        for delay_ticks in 1..8 {
            let n = keys.len() as u64;
            assert_eq!(digits_of_a_conversation(keys, delay_ticks), [(n, 0), (0, n)], "{keys}, {delay_ticks} ticks");
        }
    }
}

/// What an in-band leg sends that is joined to the line in the very turn in which the number is complete, while the last key is still held
/// down, and of a key pressed in the conversation: loudest samples.
#[test]
fn the_rest_of_the_last_dialled_key_is_kept_from_a_peer_that_answers_at_once() {
    let (tail, pressed, _) = after_the_last_key(false);
    assert!(tail < 300, "the peer gets {tail} of the key that ended dialling");
    assert!(pressed > 3000, "a key pressed in conversation is heard, {pressed}");
    let (_, _, events) = after_the_last_key(true);
    assert_eq!(events, 1, "the key pressed in conversation, and not the one that ended dialling");
}

fn after_the_last_key(as_events: bool) -> (u16, u16, u64) {
    let plan = TonePlan::of("US").expect("a listed country");
    let map = Arc::new(DigitMap::parse("xxx", &[]).expect("a map"));
    let mut board = Board::new(vec![LineConfig::new(plan, map)], 0, 1, 60_000);
    let mut ports: Vec<Box<dyn Port>> = vec![Box::new(SimPort::new(Phone::new(plan), LineParams::HOUSE, 3))];
    let key = |keys: &str| Command::Simulate(PortId(0), Box::new(Control::Dial { keys: keys.into(), on_ms: 300, off_ms: 60 }));
    let (mut connected_at, mut tail, mut pressed, mut events) = (None, 0, 0, 0);
    for turn in 0..300 {
        let now = Instant::from_ms(1000 + 20 * turn);
        let mut loudest = 0;
        let mut out = |_: LegId, channel: Channel, _: SocketAddr, bytes: &[u8]| {
            if channel == Channel::Rtp {
                let law = fuzz::config().law;
                loudest = bytes[12..].iter().map(|b| law.decode(*b).unsigned_abs()).max().unwrap_or(0);
            }
        };
        match turn {
            5 => board.command(now, Command::Simulate(PortId(0), Box::new(Control::OffHook)), &mut ports, &mut out),
            30 => board.command(now, key("102"), &mut ports, &mut out),
            200 => board.command(now, key("5"), &mut ports, &mut out),
            290 => board.command(now, Command::Disconnect(PortId(0)), &mut ports, &mut out),
            _ => {}
        }
        board.gather(&mut ports);
        board.tick(now, &mut out);
        let mut dialled = false;
        while let Some(event) = board.poll_event() {
            dialled |= matches!(event, Event::Line(_, crate::line::Event::Dialled { .. }));
            if let Event::Retired { leg, .. } = event
                && let Leg::Audio(leg) = *leg
            {
                events = leg.stats().digits_sent;
            }
        }
        if dialled {
            let mut config = fuzz::config();
            if !as_events {
                config.telephone_event_pt = None;
            }
            let leg = Box::new(Leg::Audio(AudioLeg::new(config, 1)));
            board.command(now, Command::Connect { port: PortId(0), leg_id: LegId(0), leg }, &mut ports, &mut out);
            board.command(now, Command::Line(PortId(0), LineCommand::Connect), &mut ports, &mut out);
            connected_at = Some(turn);
        }
        match connected_at {
            Some(_) if turn >= 200 => pressed = pressed.max(loudest),
            Some(_) => tail = tail.max(loudest),
            None => {}
        }
    }
    assert!(connected_at.is_some(), "the number was dialled");
    (tail, pressed, events)
}

#[cfg(feature = "spandsp")]
#[test]
fn a_fax_in_dtls_has_the_rtp_socket_sends_nothing_without_keys_and_leaves_handshakes_to_others() {
    use crate::dtls::fuzz::{certificate, params, speak};
    use crate::dtls::{Association, Dimpl, Expected, Role};
    use crate::fax::t38::relay::{T38Config, T38Leg};
    use crate::fax::t38::transport::Transport;
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let mut now = Instant::from_ms(1000);
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let mut client = Association::new(now, params(Role::Client, &certificates[0], expected(1)), &Dimpl);
    let mut server = Association::new(now, params(Role::Server, &certificates[1], expected(0)), &Dimpl);
    let mut hello = Vec::new();
    speak(now, [&mut client, &mut server], &mut |_, d| {
        if hello.is_empty() {
            hello.clone_from(d);
        }
        true
    });
    let (ours, mut peers) = (client.take_records().unwrap(), server.take_records().unwrap());
    let mut board = Board::new(Vec::new(), 1, 1, 60_000);
    let peer = fuzz::config().remote_rtp;
    let (mut sent, mut ports) = (Vec::new(), Vec::new());
    let mut turns = |board: &mut Board, now: &mut Instant, command: Option<Command>| {
        sent.clear();
        let mut out = |_: LegId, channel: Channel, to: SocketAddr, bytes: &[u8]| sent.push((channel, to, bytes.to_vec()));
        command.into_iter().for_each(|c| board.command(*now, c, &mut ports, &mut out));
        for _ in 0..100 {
            *now = *now + crate::clock::ms(20);
            board.tick(*now, &mut out);
        }
        sent.clone()
    };
    let leg = T38Leg::new(&T38Config::to(peer)).unwrap().over(Transport::dtls(None));
    let connect = Command::Connect { port: PortId(0), leg_id: LegId(0), leg: Box::new(Leg::T38(leg)) };
    assert!(turns(&mut board, &mut now, Some(connect)).is_empty());
    board.from_net(now, LegId(0), Channel::Rtp, peer, &hello);
    assert_eq!(board.poll_handshake().map(|h| h.bytes.to_vec()), Some(hello.clone()));
    let datagrams = turns(&mut board, &mut now, Some(Command::SecureFax(PortId(0), ours)));
    assert!(!datagrams.is_empty() && datagrams.iter().all(|(channel, to, _)| *channel == Channel::Rtp && *to == peer));
    assert_eq!(peers.open(&datagrams[0].2, &mut |_| {}).data, 1);
    // Data stays here, a handshake does not; what comes to the socket of UDPTL is nobody's.
    let mut wire = [0; 100];
    let n = peers.seal(&datagrams[0].2, &mut [0; 200]).and_then(|_| peers.seal(b"no UDPTL", &mut wire)).unwrap();
    board.from_net(now, LegId(0), Channel::Rtp, peer, &wire[..n]);
    assert!(board.poll_handshake().is_none());
    board.from_net(now, LegId(0), Channel::Rtp, peer, &hello);
    board.from_net(now, LegId(0), Channel::Udptl, peer, &hello);
    assert!(board.poll_handshake().is_some() && board.poll_handshake().is_none());
    // One that does not fit comes back.
    let [mut a, mut b] = [0, 1].map(|i| {
        let role = if i == 0 { Role::Client } else { Role::Server };
        Association::new(now, params(role, &certificates[i], expected(1 - i)), &Dimpl)
    });
    speak(now, [&mut a, &mut b], &mut |_, _| true);
    turns(&mut board, &mut now, Some(Command::SecureFax(PortId(7), a.take_records().unwrap())));
    assert!(core::iter::from_fn(|| board.poll_event()).any(|e| matches!(e, Event::SpentRecords(_))));
}
