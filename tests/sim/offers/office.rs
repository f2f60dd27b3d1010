//! One end that is the product: `call::Gateway` with one port, without a board. The person at the phone, or the fax machine, is the test.

use super::wire::Parcel;
use std::net::SocketAddr;
use tipring::call::{Action, CallRecord, Config, EmergencyPlan, Gateway, LegSockets, OutsideCaps, PortConfig, SecurityConfig};
use tipring::clock::Instant;
use tipring::id::{LegId, PortId};
use tipring::line::{Command as LineCommand, Event as LineEvent};
use tipring::negotiate::MediaPolicy;
use tipring::number::{CallerIdCodes, DialString, Number};
use tipring::resolve::cache::RouteCache;
use tipring::resolve::{Answer, Resolver};
use tipring::sip::{Config as SipConfig, Endpoint};
use tipring::tick::{Command, Event, Leg};

const PORT: PortId = PortId(0);

pub struct Office {
    pub gateway: Gateway,
    pub at: SocketAddr,
    other: SocketAddr,
    /// What is on the board.
    pub leg: Option<(LegId, Box<Leg>)>,
    pub passes_through: bool,
    pub off_hook: bool,
    pub ringing: bool,
    /// The last thing that the line was told to do.
    pub heard: Option<LineCommand>,
    /// Digits to be played to the line: which, and for how long in ms.
    pub digits: Vec<(u8, u16)>,
    pub records: Vec<CallRecord>,
    pub log: Vec<String>,
}

impl Office {
    pub fn new(at: SocketAddr, other: SocketAddr, media: MediaPolicy, fax: bool, seed: u64) -> Office {
        let number = Number::parse(number_of(at)).expect("a literal number");
        let leg = |n: u16| LegSockets { rtp: SocketAddr::new(at.ip(), 10_000 + 4 * n), udptl: SocketAddr::new(at.ip(), 10_002 + 4 * n) };
        let config = Config {
            ports: vec![PortConfig {
                name: "phone".into(),
                number: Some(number.clone()),
                account: None,
                outside: OutsideCaps { at_once: 0, per_hour: 0 },
                fax,
                anonymous: false,
            }],
            services: 0,
            legs: (0..4).map(leg).collect(),
            media,
            emergency: EmergencyPlan::default(),
            accounts: Vec::new(),
            codes: CallerIdCodes::default(),
            no_answer_ms: 60_000,
            learned_silence_ms: 2_000,
            calls_max: 8,
            security: SecurityConfig::off(),
        };
        let sip = Endpoint::new(SipConfig::new(at, "office"), seed);
        let resolver = Resolver::new([(number, PORT)].into(), None, RouteCache::new(8), 2_000);
        Office {
            gateway: Gateway::new(config, sip, resolver, seed),
            at,
            other,
            leg: None,
            passes_through: false,
            off_hook: false,
            ringing: false,
            heard: None,
            digits: Vec::new(),
            records: Vec::new(),
            log: Vec::new(),
        }
    }

    fn line(&mut self, now: Instant, event: LineEvent) {
        self.gateway.handle_tick_event(now, Event::Line(PORT, event));
    }
    pub fn dial(&mut self, now: Instant) {
        if !self.off_hook && !self.ringing {
            self.off_hook = true;
            self.line(now, LineEvent::WentOffHook);
            let keys = DialString::parse(number_of(self.other)).expect("a literal number");
            self.line(now, LineEvent::Dialled { keys, emergency: false });
        }
    }
    pub fn lift(&mut self, now: Instant) {
        if self.ringing {
            (self.ringing, self.off_hook) = (false, true);
            self.line(now, LineEvent::Answered);
        }
    }
    pub fn hang_up(&mut self, now: Instant) {
        if self.off_hook {
            self.off_hook = false;
            self.line(now, LineEvent::WentOnHook);
        }
    }
    /// The machine at the port sends V.21 flags.
    pub fn fax_answers(&mut self, now: Instant) {
        if self.off_hook {
            self.gateway.handle_tick_event(now, Event::V21Preamble(PORT));
        }
    }
    /// RTP came in.
    pub fn media_arrives(&mut self, now: Instant) {
        self.gateway.handle_tick_event(now, Event::MediaArrived(PORT));
    }
    pub fn silence(&mut self, now: Instant) {
        self.gateway.handle_tick_event(now, Event::LegSilent { port: PORT, silent_ms: 30_000 });
    }

    pub fn is_up(&self) -> bool {
        self.gateway.calls().iter().any(|c| c.state == "up")
    }
    pub fn media(&self) -> &'static str {
        self.gateway.calls().iter().find(|c| c.state == "up").map_or("", |c| c.media)
    }

    /// Carries out what the gateway asks for.
    pub fn pump(&mut self, now: Instant) -> Vec<Parcel> {
        let mut out = Vec::new();
        loop {
            let mut idle = true;
            while let Some(action) = self.gateway.poll_action() {
                idle = false;
                match action {
                    Action::Lookup(query, number) => {
                        self.gateway.handle_lookup(
                            now,
                            query,
                            Answer::Found { number, contact: self.other, fingerprint: None, signed: false },
                        );
                    }
                    Action::Record(record) => self.records.push(*record),
                    Action::Log(line) => self.log.push(line.words),
                    Action::Route(..) | Action::Locate(..) | Action::FindIdentifier(..) | Action::Audit(_) | Action::Csi(..) => {}
                }
            }
            while let Some(command) = self.gateway.poll_command() {
                idle = false;
                self.command(now, command);
            }
            while let Some(transmit) = self.gateway.poll_transmit() {
                out.push(Parcel { src: self.at, dst: transmit.dst.addr, bytes: transmit.bytes });
            }
            if idle {
                return out;
            }
        }
    }

    /// As the board does.
    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Line(_, line) => {
                self.heard = Some(line);
                match line {
                    LineCommand::Ring { .. } if self.off_hook => self.line(now, LineEvent::RingRefused),
                    LineCommand::Ring { .. } => self.ringing = true,
                    LineCommand::StopRinging => self.ringing = false,
                    _ => {}
                }
            }
            Command::Connect { leg_id, leg, .. } => {
                self.retire(now);
                self.leg = Some((leg_id, leg));
                self.passes_through = false;
            }
            Command::Disconnect(_) => self.retire(now),
            Command::Listen(..) | Command::Clear(..) => {}
            Command::Retune(_, to) => {
                let Some((_, leg)) = &mut self.leg else { panic!("nothing to retune") };
                let Leg::Audio(audio) = &mut **leg else { panic!("a fax is retuned as audio") };
                audio.set_payload(to.law, to.payload_type, to.telephone_event_pt);
                audio.set_remote(to.remote_rtp, to.remote_rtcp);
                audio.set_direction(to.direction);
            }
            Command::Redirect(_, to) => {
                let Some((_, leg)) = &mut self.leg else { panic!("nothing to redirect") };
                let Leg::T38(fax) = &mut **leg else { panic!("audio is redirected as a fax") };
                fax.redirect(to.remote, to.also_from, to.max_datagram, to.error_correction);
            }
            Command::Secure(_, session) => {
                let Some((_, leg)) = &mut self.leg else { panic!("nothing to secure") };
                leg.secure(session);
            }
            Command::SecureFax(_, records) => {
                let Some((_, leg)) = &mut self.leg else { panic!("nothing to secure") };
                leg.secure_fax(records);
            }
            Command::PassThrough(_) => self.passes_through = true,
            Command::PlayDigit(_, key, duration_ms) => self.digits.push((key, duration_ms)),
            Command::Patch(..) | Command::Simulate(..) => {}
        }
    }
    fn retire(&mut self, now: Instant) {
        if let Some((leg_id, leg)) = self.leg.take() {
            self.gateway.handle_tick_event(now, Event::Retired { port: PORT, leg_id, leg });
        }
    }

    /// What is left over, if anything is.
    pub fn unrest(&self) -> Option<String> {
        let alive = self.gateway.sip().alive();
        if !self.gateway.is_idle() || self.gateway.free_legs() != 4 || self.leg.is_some() || self.ringing || alive != Default::default() {
            return Some(format!(
                "{:?}, {} legs free, ringing {}, {alive:?}",
                self.gateway.calls(),
                self.gateway.free_legs(),
                self.ringing
            ));
        }
        None
    }
}

/// Each host has one number.
pub fn number_of(at: SocketAddr) -> &'static str {
    if at.to_string().starts_with("10.0.0.1:") { "2001" } else { "3001" }
}
