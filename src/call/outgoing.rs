//! A port dials: number, route, and the call to it (port, echo service, or peer gateway).

use super::session::{Flow, Talk, Want};
use super::{Cause, Direction, End, Gateway, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::{CallId, PortId};
use crate::line::Command as LineCommand;
use crate::number::{DialString, Number};
use crate::resolve::{NoRoute, Route, Step, Target};
use crate::sip::message::readable;
use crate::sip::{Hop, Invite};
use crate::tick::Command;

impl Gateway {
    /// A port's line machine has a whole dial string.
    pub(super) fn dialled(&mut self, now: Instant, port: PortId, keys: &DialString, emergency: bool) {
        if self.call_of(port).is_some() {
            return;
        }
        let (text, code) = self.config.codes.split(keys.as_str());
        let text = text.to_owned();
        // Help must be able to call back.
        let private = !emergency && code.unwrap_or_else(|| self.config.ports.get(usize::from(port.0)).is_some_and(|p| p.anonymous));
        let caller = self.ports[usize::from(port.0)].number.as_ref().map_or_else(String::new, ToString::to_string);
        let number = Number::parse(&text);
        if emergency {
            self.make_room_in_table(now);
        } else if self.table_full() || self.shutting_down {
            self.log(None, true, format!("{}: {text} refused, the call table is full", self.port_name(port)));
            self.commands.push_back(Command::Line(port, LineCommand::Busy));
            return;
        }
        let id = self.new_call(now, End::Port(port), End::Peer, Direction::Outgoing, caller, text.clone());
        self.ports[usize::from(port.0)].call = Some(id);
        let name = self.port_name(port);
        let how = match (emergency, private) {
            (true, _) => " (emergency)",
            (false, true) => ", its number withheld",
            (false, false) => "",
        };
        self.log(Some(id), emergency, format!("{name} dialled {text}{how}"));
        let call = self.calls.get_mut(&id).expect("just inserted");
        call.record.ports.push(name);
        call.emergency = emergency;
        call.record.private = private;
        call.talk.fax = self.ports[usize::from(port.0)].fax;
        let Ok(number) = number else {
            self.close(now, id, Cause::BadNumber);
            return;
        };
        if emergency {
            self.place_emergency(now, id, number);
        } else {
            let step = self.resolver.resolve(now, &number);
            self.resolving(now, id, step);
        }
        self.drain_sip(now);
    }

    pub(super) fn resolving(&mut self, now: Instant, id: CallId, step: Step) {
        self.drain_resolver();
        match step {
            Step::Done(outcome) => self.routed(now, id, outcome),
            Step::Asked(query) => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.query = Some(query);
                // The resolver gives up first; this timer is the exit if its answer gets lost.
                call.timers.set(Wait::Resolve, now + ms(30_000));
            }
        }
    }

    /// The chain has an answer: for a call that waits for it, or for one whose learned route is silent.
    pub(super) fn routed(&mut self, now: Instant, id: CallId, outcome: Result<Route, NoRoute>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // The directory has spoken (or is silent); it is not asked twice in one call.
        call.asked_again |= call.query.take().is_some();
        call.timers.stop(Wait::Resolve);
        match (call.state, outcome) {
            (State::Resolving, Ok(Route::Port(port))) => self.call_port(now, id, port, "port"),
            (State::Resolving, Ok(Route::Echo)) => self.call_echo(now, id),
            (State::Resolving, Ok(Route::Peer(target))) => self.call_peer(now, id, target),
            (State::Resolving | State::Inviting, Ok(Route::Terminals(terminals))) => self.call_terminals(now, id, terminals),
            (State::Resolving, Ok(Route::Outside(outside))) => match call.from {
                End::Port(port) => self.call_outside(now, id, port, &outside),
                // Who calls us is not passed on to others: a gateway is no relay.
                End::Peer => self.close(now, id, Cause::NoRoute(NoRoute::Unknown)),
            },
            // A learned route led to a refusal, and the directory knows no better: the refusal stands.
            (State::Resolving, Err(why)) => {
                let refused = call.cause.take().filter(|_| matches!(why, NoRoute::Unknown | NoRoute::DirectorySilent));
                self.close(now, id, refused.unwrap_or(Cause::NoRoute(why)));
            }
            (State::Inviting, Ok(Route::Peer(target))) => self.moved(now, id, target),
            // The directory has nothing better: the first try goes on to its own end.
            (State::Inviting, _) | (State::Alerting | State::Up | State::Closing, _) => {}
        }
    }

    /// A learned route has not said a word: the first server is asked again.
    pub(super) fn ask_directory_too(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state != State::Inviting || call.asked_again {
            return;
        }
        call.asked_again = true;
        let dialled = call.dialled.clone();
        self.log(Some(id), false, format!("the learned route to {dialled} is silent; asking the directory"));
        if let Ok(number) = Number::parse(&dialled) {
            let step = self.resolver.ask_again(now, &number);
            self.resolving(now, id, step);
        }
    }

    /// The directory knows the number somewhere else than where we are trying.
    fn moved(&mut self, now: Instant, id: CallId, target: Target) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let same = call.target.as_ref().is_some_and(|t| t.contact == target.contact && t.number == target.number);
        if same {
            return;
        }
        self.log(Some(id), false, format!("{} has moved to {}", target.number, target.contact));
        self.leave_dialog(now, id);
        self.call_peer(now, id, target);
    }

    /// Gives up the present INVITE without ending the call.
    pub(super) fn leave_dialog(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.stop(Wait::LearnedRoute);
        let dialog = call.dialog.take();
        self.forget_negotiation(id);
        if let Some(dialog) = dialog {
            self.hang_up_dialog(now, dialog, 16);
        }
    }

    /// Another dialog begins with nothing said. A leg that early media made stays for it.
    pub(super) fn forget_negotiation(&mut self, id: CallId) {
        let session_id = self.prints.number() >> 2;
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.negotiation = Talk::new(session_id).negotiation;
        }
    }

    /// INVITE to a peer gateway.
    pub(super) fn call_peer(&mut self, now: Instant, id: CallId, target: Target) {
        if let Err(why) = self.try_peer(now, id, target) {
            self.target_failed(now, id, why);
        }
    }

    /// The same; the error says why no INVITE went out.
    pub(super) fn try_peer(&mut self, now: Instant, id: CallId, target: Target) -> Result<(), Cause> {
        let learned = target.learned;
        self.expect_target(id, &target);
        let Some(call) = self.calls.get(&id) else { return Ok(()) };
        let hop = Hop::from(target.contact);
        // Who is trusted is told, also what others are not.
        let told = self.sip.trusts(hop) && !call.caller.is_empty();
        let invite = Invite {
            to: target.number.to_string(),
            targets: vec![(hop, None)],
            from: call.caller.clone(),
            asserted: told.then(|| readable(self.sip.contact_uri(&call.caller, hop).as_bytes())),
            anonymous: call.record.private,
            fax: call.talk.fax,
            ..Invite::default()
        };
        let route = match (call.emergency, learned) {
            (true, _) => "emergency",
            (false, true) => "learned",
            (false, false) => "directory",
        };
        let how = match route {
            "directory" => "from the directory",
            other => other,
        };
        let words = format!("calling {} at {} ({how})", target.number, target.contact);
        self.try_invite(now, id, invite, route, words)?;
        if let Some(call) = self.calls.get_mut(&id) {
            if learned {
                call.timers.set(Wait::LearnedRoute, now + ms(self.config.learned_silence_ms));
            }
            call.target = Some(target);
        }
        Ok(())
    }

    /// Sends an INVITE with our offer, and waits for an answer; or that place has failed.
    pub(super) fn send_invite(&mut self, now: Instant, id: CallId, invite: Invite, route: &'static str, words: String) {
        if let Err(why) = self.try_invite(now, id, invite, route, words) {
            self.target_failed(now, id, why);
        }
    }

    fn try_invite(&mut self, now: Instant, id: CallId, mut invite: Invite, route: &'static str, words: String) -> Result<(), Cause> {
        if self.calls.get(&id).is_some_and(|c| c.emergency && c.talk.leg.is_none()) {
            self.make_room_for_leg(now);
        }
        let Some(call) = self.calls.get_mut(&id) else { return Ok(()) };
        if call.talk.leg.is_none() {
            call.talk.leg = Some(self.free_legs.pop_front().ok_or(Cause::LimitReached("media sockets"))?);
        }
        // Whom we call decides which of our addresses it is told.
        call.record.peer = invite.targets.first().map(|(hop, _)| hop.addr);
        invite.offer = self.first_offer(id)?;
        let dialog = self.sip.invite(now, invite).map_err(|_| Cause::LimitReached("SIP dialogs"))?;
        let sip_call_id = self.sip.call_id(dialog).unwrap_or_default();
        let call = self.calls.get_mut(&id).expect("looked up above");
        call.dialog = Some(dialog);
        call.state = State::Inviting;
        call.record.sip_call_id = sip_call_id;
        // What was learned is only named while nothing better was found.
        if call.record.route.is_empty() || route != "learned" {
            call.record.route = route;
        }
        self.watch_target(now, id);
        self.listen_for_handshakes(id);
        self.log(Some(id), false, words);
        Ok(())
    }

    /// The offer of an INVITE.
    fn first_offer(&mut self, id: CallId) -> Result<Vec<u8>, Cause> {
        if let Some(offer) = self.make_offer(id, Want::Audio) {
            return Ok(offer);
        }
        let without_keys = self.calls.get(&id).is_some_and(|c| c.talk.secrecy.shield.policy.permit_clear().is_none());
        Err(match without_keys {
            true => Cause::NotEncrypted("neither DTLS nor private signalling (TLS) for keys of SDES".into()),
            false => Cause::LimitReached("media sockets"),
        })
    }

    /// A refusal of the place that was called, as the caller and the record are told.
    pub(super) fn refined(&self, id: CallId, cause: Cause) -> Cause {
        match cause {
            Cause::PeerRefused(status @ (401 | 407), _) if self.calls.get(&id).is_some_and(|c| c.account.is_some()) => {
                Cause::LoginRefused(status)
            }
            Cause::PeerRefused(404, _) => Cause::NoRoute(NoRoute::Unknown),
            Cause::PeerRefused(480, _) => Cause::NoRoute(NoRoute::Away),
            Cause::PeerRefused(486 | 600, _) => Cause::Busy,
            other => other,
        }
    }

    /// The peer refused or stayed silent: a learned route gets one more chance through the directory.
    pub(super) fn peer_failed(&mut self, now: Instant, id: CallId, cause: Cause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.dialog = None;
        self.forget_negotiation(id);
        if self.has_terminals(id) {
            return self.terminal_failed(now, id, cause);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let learned = call.target.as_ref().is_some_and(|t| t.learned);
        // A place that rang was the right one, whatever it says afterwards.
        // The gateway whose key is on record does DTLS: who refuses it there is somebody else.
        let refuses_keys = call.talk.secrecy.check.holds_voice() && matches!(cause, Cause::PeerRefused(488 | 415 | 606, _));
        let stale = call.state == State::Inviting
            && (refuses_keys || matches!(cause, Cause::PeerSilent | Cause::PeerRefused(404 | 410 | 480 | 604 | 408, _)));
        let words = cause.words();
        let cause = self.refined(id, cause);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.emergency {
            return self.target_failed(now, id, cause);
        }
        if learned && stale {
            call.cause = Some(cause.clone());
        }
        if learned && stale && call.query.is_some() {
            // Asked already; the answer decides.
            call.state = State::Resolving;
            call.target = None;
            return;
        }
        if learned && stale && !call.asked_again {
            call.asked_again = true;
            call.state = State::Resolving;
            call.target = None;
            call.timers.stop(Wait::LearnedRoute);
            let dialled = call.dialled.clone();
            self.log(Some(id), false, format!("the learned route is stale ({words}); asking the directory"));
            if let Ok(number) = Number::parse(&dialled) {
                let step = self.resolver.ask_again(now, &number);
                self.resolving(now, id, step);
            }
            return;
        }
        self.close(now, id, cause);
    }

    /// A call between two of our ports.
    pub(super) fn call_port(&mut self, now: Instant, id: CallId, port: PortId, route: &'static str) {
        let emergency = self.calls.get(&id).is_some_and(|c| c.emergency);
        if emergency && let Some(other) = self.call_of(port).filter(|other| *other != id) {
            self.log(Some(id), true, format!("{} is taken from {other} for an emergency call", self.port_name(port)));
            self.close(now, other, Cause::Preempted);
        }
        let state = &self.ports[usize::from(port.0)];
        let (busy, gone) = (state.call.is_some() || (state.off_hook && !emergency), !state.present);
        let name = state.name.clone();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.to = End::Port(port);
        call.record.direction = if call.from == End::Peer { Direction::Incoming } else { Direction::Local };
        call.record.ports.push(name);
        call.record.route = route;
        if busy || gone || call.from == End::Port(port) {
            call.to = End::Peer;
            self.target_failed(now, id, if gone { Cause::DeviceGone } else { Cause::Busy });
            return;
        }
        call.state = State::Alerting;
        let caller = call.from;
        self.watch_target(now, id);
        self.ports[usize::from(port.0)].call = Some(id);
        self.commands.push_back(Command::Line(port, LineCommand::Ring { cadence_ms: None }));
        if let End::Port(from) = caller {
            self.commands.push_back(Command::Line(from, LineCommand::Ringback));
        }
    }

    /// A call to the echo service: answered at once.
    pub(super) fn call_echo(&mut self, now: Instant, id: CallId) {
        let free = self.service_busy.iter().position(Option::is_none);
        let Some(service) = free else {
            self.close(now, id, Cause::LimitReached("echo places"));
            return;
        };
        self.service_busy[service] = Some(id);
        let place = PortId((self.ports.len() + service) as u16);
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.to = End::Port(place);
        call.record.ports.push("echo".into());
        call.record.route = "service";
        match call.from {
            End::Port(from) => {
                call.record.direction = Direction::Local;
                call.record.answered = Some(wall);
                call.answered_at = Some(now);
                call.state = State::Up;
                call.talk.flow = Flow::Patch;
                self.commands.push_back(Command::Patch(from, place));
                self.commands.push_back(Command::Line(from, LineCommand::Connect));
            }
            End::Peer => {
                call.state = State::Alerting;
                self.line_answered(now, place);
            }
        }
    }
}
