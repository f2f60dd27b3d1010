//! Whole turns of a board with 48 ports: what `tipring gateway` does every 20 ms, without the sockets.
//!
//! Counted is the gateway's own part of a turn (commands, datagrams into the legs, tick, events out), not the exchange with the ports:
//! behind those stand simulated machines that do more work than the gateway. For faxes there are two boards, and every port of one is in
//! a call with a port of the other; half of the calls go one way and half the other, so each board has 24 senders and 24 receivers. The
//! calls are made the long way round, dialled digits, ringing, voice and switch-over included; a call's few decisions are made here.

use super::Figure;
use super::measure::{Budget, Turns, cpu_ns};
use crate::clock::Instant;
use crate::digit_map::DigitMap;
use crate::line::LineConfig;
use crate::tick::{Board, Command, Event};
use std::sync::Arc;
use tipring_dsp::line_model::LineParams;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::Port;
use tipring_hw::sim::{Phone, SimPort};

/// Ports of a board.
const PORTS: usize = 48;
/// Seed of line noise and of when calls begin.
const SEED: u64 = 48;

fn plan() -> Result<&'static TonePlan, String> {
    TonePlan::of("US").ok_or_else(|| "no tone plan".into())
}

fn board() -> Result<Board, String> {
    let map = DigitMap::parse("[2-8]xxx", &[]).map_err(|e| format!("digit map: {e:?}"))?;
    let config = LineConfig::new(plan()?, Arc::new(map));
    Ok(Board::new(vec![config; PORTS], 0, PORTS, 60_000))
}

/// 48 phones and fax machines on hook (there is nothing to hear on an open loop).
pub fn idle(budget: &Budget) -> Result<Figure, String> {
    let plan = plan()?;
    let mut board = board()?;
    let mut ports: Vec<Box<dyn Port>> =
        (0..PORTS as u64).map(|i| Box::new(SimPort::new(Phone::new(plan), LineParams::HOUSE, SEED + i)) as Box<dyn Port>).collect();
    let (mut took, mut spent, mut now) = (Vec::new(), 0, Instant::from_ms(1000));
    while spent < budget.cpu_ns || took.len() < 1000 {
        now = now + crate::clock::ms(20);
        board.gather(&mut ports);
        let begin = cpu_ns();
        board.tick(now, &mut |_, _, _, _| {});
        let mut events = 0;
        while board.poll_event().is_some() {
            events += 1;
        }
        let ns = cpu_ns() - begin;
        if events > 0 {
            return Err("an idle board had something to say".into());
        }
        took.push(ns);
        // What the exchange costs is part of how long this takes, and of nothing else.
        spent += ns + 2_000;
    }
    Turns::of(took).map(Figure::Turns).ok_or_else(|| "no turns".into())
}

#[cfg(feature = "spandsp")]
pub use fax::fax;

#[cfg(feature = "spandsp")]
mod fax {
    use super::super::fax_call::Scratch;
    use super::*;
    use crate::clock::Rng;
    use crate::fax::t38::relay::{T38Config, T38Leg};
    use crate::id::{LegId, PortId};
    use crate::line::{Command as LineCommand, Event as LineEvent};
    use crate::media::{AudioConfig, AudioLeg, Channel, Direction, jitter};
    use crate::tick::Leg;
    use std::net::SocketAddr;
    use tipring_dsp::g711::Law;
    use tipring_hw::sim::fax::{FaxMachine, FaxSettings};
    use tipring_hw::{Control, sim::Happening};

    /// Virtual time after which calls that are not over have failed.
    const TURNS_MAX: u64 = 50 * 180;
    /// All calls begin within this time; much less than they last.
    const SPREAD_MS: u64 = 2000;

    /// Datagrams that left one board in one turn and come to the other in the next. Memory is taken once.
    struct Wire {
        octets: Vec<u8>,
        rows: Vec<(LegId, Channel, usize)>,
    }

    impl Wire {
        fn new() -> Self {
            Wire { octets: Vec::with_capacity(1 << 20), rows: Vec::with_capacity(1 << 12) }
        }
    }

    /// A board with its machines.
    struct Side {
        board: Board,
        ports: Vec<Box<dyn Port>>,
        commands: Vec<Command>,
        events: Vec<Event>,
        /// To this board.
        arriving: Wire,
    }

    /// Where a call stands. Call `i` joins port `i` of both boards.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Stage {
        Dialling,
        Voice,
        T38,
        Over,
    }

    fn address(side: usize, port: usize, channel: Channel) -> SocketAddr {
        let offset = match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
            Channel::Udptl => 2,
        };
        SocketAddr::from(([192, 0, 2, 1 + side as u8], 4000 + 4 * port as u16 + offset))
    }

    fn audio(side: usize, port: usize) -> Leg {
        let config = AudioConfig {
            law: Law::Mu,
            payload_type: 0,
            telephone_event_pt: Some(101),
            remote_rtp: address(1 - side, port, Channel::Rtp),
            remote_rtcp: address(1 - side, port, Channel::Rtcp),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            ssrc: (1 + side * PORTS + port) as u32,
            first_sequence: 1,
            first_timestamp: 1,
            cname: heapless::String::try_from("bench").expect("five bytes fit"),
            jitter: jitter::Limits::default(),
            watchdog_ms: 60_000,
            pass_through: false,
            protection: crate::media::Protection::Clear,
        };
        Leg::Audio(AudioLeg::new(config, (side * PORTS + port) as u64))
    }

    fn t38(side: usize, port: usize) -> Result<Leg, String> {
        T38Leg::new(&T38Config::without_a_call(address(1 - side, port, Channel::Udptl))).map(Leg::T38).map_err(|e| e.to_string())
    }

    impl Side {
        fn new(side: usize, scratch: &Scratch) -> Result<Self, String> {
            let plan = plan()?;
            let ports = (0..PORTS).map(|i| {
                let settings = FaxSettings {
                    plan,
                    ident: format!("{}{i:03}", 2 + side),
                    // As machines are: most correct errors, some do not.
                    ecm: i % 4 != 3,
                    max_bps: 14400,
                    answer_after_rings: Some(1),
                    receive_into: Some(scratch.path().into()),
                    name: format!("{side}-{i}"),
                };
                Box::new(SimPort::new(FaxMachine::new(settings), LineParams::HOUSE, SEED + (side * PORTS + i) as u64)) as Box<dyn Port>
            });
            Ok(Side { board: board()?, ports: ports.collect(), commands: Vec::new(), events: Vec::new(), arriving: Wire::new() })
        }

        fn line(&mut self, port: usize, command: LineCommand) {
            self.commands.push(Command::Line(PortId(port as u16), command));
        }

        fn connect(&mut self, port: usize, leg: Leg) {
            self.commands.push(Command::Connect { port: PortId(port as u16), leg_id: LegId(port as u16), leg: Box::new(leg) });
        }

        /// The gateway's part of a turn; returns its CPU time, ns.
        fn turn(&mut self, here: usize, now: Instant, leaving: &mut Wire) -> u64 {
            let Side { board, ports, commands, events, arriving } = self;
            board.gather(ports);
            // What the shell's `send_to` would copy is copied here.
            let mut out = |leg: LegId, channel: Channel, _: SocketAddr, bytes: &[u8]| {
                leaving.octets.extend_from_slice(bytes);
                leaving.rows.push((leg, channel, bytes.len()));
            };
            let begin = cpu_ns();
            for command in commands.drain(..) {
                board.command(now, command, ports, &mut out);
            }
            let mut rest = &arriving.octets[..];
            for (leg, channel, length) in arriving.rows.drain(..) {
                let (datagram, after) = rest.split_at(length);
                rest = after;
                board.from_net(now, leg, channel, address(1 - here, usize::from(leg.0), channel), datagram);
            }
            board.tick(now, &mut out);
            while let Some(event) = board.poll_event() {
                events.push(event);
            }
            let took = cpu_ns() - begin;
            arriving.octets.clear();
            took
        }
    }

    /// Two boards, 48 calls.
    struct World {
        sides: [Side; 2],
        stages: [Stage; PORTS],
        delivered: usize,
        faults: Vec<String>,
    }

    impl World {
        /// Which board's machine calls.
        fn caller(port: usize) -> usize {
            port % 2
        }

        fn both(&mut self, port: usize, command: LineCommand) {
            self.sides.iter_mut().for_each(|s| s.line(port, command));
        }

        fn event(&mut self, side: usize, event: Event) -> Result<(), String> {
            match event {
                Event::Line(PortId(p), event) => self.line_event(side, usize::from(p), event),
                Event::V21Preamble(PortId(p)) => {
                    let p = usize::from(p);
                    if side != Self::caller(p) && self.stages[p] == Stage::Voice {
                        self.stages[p] = Stage::T38;
                        for side in 0..2 {
                            let leg = t38(side, p)?;
                            self.sides[side].connect(p, leg);
                        }
                    }
                }
                Event::Sim(PortId(p), told) => {
                    if let Happening::FaxDone(report) = told.what {
                        self.delivered += usize::from(report.ok && report.pages == 1);
                        if !report.ok {
                            self.faults.push(format!("board {side} port {p}: {}", report.text));
                        }
                    }
                }
                Event::Cng(_) | Event::AnswerTone(_) | Event::Retired { .. } | Event::Spent(_) | Event::SpentRecords(_) => {}
                Event::MediaArrived(_) | Event::Fax(..) => {}
                Event::LegSilent { port, silent_ms } => {
                    self.faults.push(format!("board {side} {port}: nothing from the other for {silent_ms} ms"))
                }
                Event::SimRefused(port, why) => self.faults.push(format!("board {side} {port}: {why}")),
            }
            Ok(())
        }

        fn line_event(&mut self, side: usize, p: usize, event: LineEvent) {
            match event {
                LineEvent::Dialled { .. } => {
                    self.sides[side].line(p, LineCommand::Ringback);
                    self.sides[1 - side].line(p, LineCommand::Ring { cadence_ms: None });
                }
                LineEvent::Answered => {
                    self.stages[p] = Stage::Voice;
                    for side in 0..2 {
                        self.sides[side].connect(p, audio(side, p));
                    }
                    self.both(p, LineCommand::Connect);
                }
                LineEvent::WentOnHook if self.stages[p] != Stage::Over => {
                    self.stages[p] = Stage::Over;
                    self.sides[1 - side].line(p, LineCommand::FarEndGone);
                    self.sides.iter_mut().for_each(|s| s.commands.push(Command::Disconnect(PortId(p as u16))));
                }
                LineEvent::WentOffHook | LineEvent::WentOnHook | LineEvent::Flash => {}
                other => self.faults.push(format!("board {side} port {p}: {other:?}")),
            }
        }
    }

    /// 48 ports in fax calls over T.38. The budget does not matter: it takes the calls' length.
    pub fn fax(_: &Budget) -> Result<Figure, String> {
        let scratch = Scratch::new("board")?;
        let letter = scratch.letter(SEED)?;
        let sides = [Side::new(0, &scratch)?, Side::new(1, &scratch)?];
        let mut world = World { sides, stages: [Stage::Dialling; PORTS], delivered: 0, faults: Vec::new() };
        let mut rng = Rng::new(SEED);
        let begins: Vec<u64> = (0..PORTS).map(|_| 1 + rng.below(SPREAD_MS / 20)).collect();
        let mut wires = [Wire::new(), Wire::new()];
        let mut took = Vec::new();
        for turn in 1..=TURNS_MAX {
            let now = Instant::from_ms(1000 + 20 * turn);
            for p in (0..PORTS).filter(|p| begins[*p] == turn) {
                let control = Control::SendFax { number: format!("3{p:03}"), tiff: letter.clone() };
                world.sides[World::caller(p)].commands.push(Command::Simulate(PortId(p as u16), Box::new(control)));
            }
            let all_t38 = world.stages.iter().all(|s| *s == Stage::T38);
            for side in 0..2 {
                let ns = world.sides[side].turn(side, now, &mut wires[1 - side]);
                if all_t38 {
                    took.push(ns);
                }
            }
            for (side, wire) in wires.iter_mut().enumerate() {
                std::mem::swap(&mut world.sides[side].arriving, wire);
            }
            for side in 0..2 {
                for event in std::mem::take(&mut world.sides[side].events) {
                    world.event(side, event)?;
                }
            }
            if world.delivered == 2 * PORTS {
                break;
            }
        }
        if world.delivered != 2 * PORTS || !world.faults.is_empty() {
            return Err(format!("{} of {} machines confirm their page; {}", world.delivered, 2 * PORTS, world.faults.join(", ")));
        }
        Turns::of(took).map(Figure::Turns).ok_or_else(|| "the calls were never all on T.38 at a time".into())
    }
}
