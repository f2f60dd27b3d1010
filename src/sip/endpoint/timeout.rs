//! Deadlines that came: repeats, and the exits of every state.

use super::*;
use crate::limits::SIP_TIMERS_PER_CALL_MAX;
use crate::sip::transaction::{Fired, T2_MS};

impl Endpoint {
    /// Time has passed. Bounded work; what is still due is said by `poll_timeout` at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..SIP_TIMERS_PER_CALL_MAX {
            let Some(owner) = self.deadlines.take_due(now) else { return };
            self.counters.timers += 1;
            match owner {
                Owner::Client(id) => self.client_timeout(now, id),
                Owner::Server(id) => self.server_timeout(now, id),
                Owner::Dialog(id) => self.dialog_timeout(now, id),
            }
        }
    }

    fn client_timeout(&mut self, now: Instant, id: u64) {
        let Some(record) = self.clients.get_mut(&id) else { return };
        let fired = match &mut record.machine {
            ClientMachine::Invite(m) => m.handle_timeout(now),
            ClientMachine::Other(m) => m.handle_timeout(now),
        };
        let purpose = record.purpose;
        match fired {
            None => self.sync_client(id),
            Some(Fired::Repeat) => {
                let (at, bytes) = (record.at.clone(), record.bytes.clone());
                self.counters.repeated += 1;
                self.transmit(&at, bytes);
                self.sync_client(id);
            }
            Some(Fired::RangTooLong) => {
                self.sync_client(id);
                match purpose {
                    Purpose::Invite(dialog) => self.rang_too_long(now, id, dialog),
                    Purpose::ReInvite(dialog) => {
                        self.reinvite_failed(now, id, dialog, 408);
                        self.forget_client(id);
                    }
                    _ => {}
                }
            }
            Some(Fired::TimedOut) if !response::in_dialog(purpose) && self.move_on(now, id) => self.forget_client(id),
            Some(Fired::TimedOut) => self.client_failed(now, id, 408),
            Some(Fired::Done) => self.forget_client(id),
        }
    }

    /// Timer C: nobody lifts the receiver. The call is taken back and waits for its 487.
    fn rang_too_long(&mut self, now: Instant, tx: u64, id: DialogId) {
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.giving_up = EndCause::RangTooLong;
            self.send_cancel(now, id);
        } else {
            self.forget_client(tx);
        }
    }

    fn server_timeout(&mut self, now: Instant, id: u64) {
        let Some(record) = self.servers.get_mut(&id) else { return };
        let fired = match &mut record.machine {
            ServerMachine::Invite(m) => m.handle_timeout(now),
            ServerMachine::Other(m) => m.handle_timeout(now),
        };
        match fired {
            Some(Fired::Repeat) => {
                if let Some(bytes) = record.last.clone() {
                    let to = record.back.to;
                    self.counters.repeated += 1;
                    self.transmit(&(to, None), bytes);
                }
                self.sync_server(id);
            }
            None => self.sync_server(id),
            Some(Fired::Done | Fired::TimedOut | Fired::RangTooLong) => self.forget_server(id),
        }
    }

    fn dialog_timeout(&mut self, now: Instant, id: DialogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let timer = usage.timers.take_due(now);
        match (timer, &mut usage.state) {
            (Some(Timer::Answer), State::Confirmed { unacked: Some(unacked), .. }) => {
                unacked.repeat_ms = (2 * unacked.repeat_ms).min(T2_MS);
                usage.timers.set(Timer::Answer, now + ms(unacked.repeat_ms));
                let (to, bytes) = (unacked.back.to, unacked.bytes.clone());
                self.counters.repeated += 1;
                self.transmit(&(to, None), bytes);
            }
            (Some(Timer::AckWait), State::Confirmed { closing, unacked, .. }) => {
                let cause = if *closing { EndCause::HungUp } else { EndCause::NoAck };
                let never_confirmed = unacked.as_ref().is_some_and(|u| u.first);
                // Nobody has ever shown that he is where this caller says: he is told once, not for 32 s.
                if let Some(bye) = self.send_bye(now, id).filter(|_| never_confirmed) {
                    self.forget_client(bye);
                }
                return self.end(id, Event::Ended { dialog: id, cause, q850: None });
            }
            (Some(Timer::Reliable), _) => self.repeat_provisional(now, id),
            (Some(Timer::PrackWait), State::Ringing { tx, .. }) => {
                // RFC 3262 s.3: without PRACK there is no way to this caller.
                let tx = *tx;
                let response = self.response(tx, 504);
                self.respond(now, tx, response);
                return self.end(id, Event::Ended { dialog: id, cause: EndCause::NoPrack, q850: None });
            }
            (Some(Timer::UpdateWait), _) => {
                if let Some(tx) = usage.updated.take() {
                    let response = self.response(tx, 488);
                    self.respond(now, tx, response);
                    self.go_on_ringing(now, id);
                }
            }
            (Some(Timer::Refresh), _) => self.refresh(now, id),
            (Some(Timer::Expiry), State::Confirmed { .. }) => {
                self.send_bye(now, id);
                return self.end(id, Event::Ended { dialog: id, cause: EndCause::Expired, q850: None });
            }
            (Some(Timer::Trying), State::Ringing { tx, .. }) => {
                let tx = *tx;
                if self.is_unsaid(tx) {
                    let trying = self.response(tx, 100);
                    self.respond(now, tx, trying);
                }
            }
            (Some(Timer::Remind), State::Ringing { .. }) => self.remind(now, id),
            (Some(Timer::Ring), State::Ringing { tx, .. }) => {
                let tx = *tx;
                let response = self.response(tx, 480);
                self.respond(now, tx, response);
                return self.end(id, Event::Ended { dialog: id, cause: EndCause::RangTooLong, q850: None });
            }
            (Some(Timer::Ring), State::Confirmed { theirs, .. }) => {
                // Our side never answered the re-INVITE: refuse it, the session stays.
                if let Some(tx) = theirs.take() {
                    let response = self.response(tx, 488);
                    self.respond(now, tx, response);
                    self.events.push_back(Event::ReInviteCancelled { dialog: id });
                }
            }
            _ => {}
        }
        self.sync_dialog(id);
    }
}
