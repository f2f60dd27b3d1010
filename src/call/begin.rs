//! A call begins: a row of the table, and the record that will be written of it.

use super::emergency::Hunt;
use super::question::Question;
use super::session::Talk;
use super::terminals::Terminals;
use super::{Call, CallRecord, Direction, End, Gateway, State, Wait};
use crate::clock::{Instant, TimerTable};
use crate::id::CallId;

impl Gateway {
    /// A new row; nobody has been called yet.
    pub(super) fn new_call(&mut self, now: Instant, from: End, to: End, direction: Direction, caller: String, dialled: String) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        let wall = self.wall(now);
        let sdp_session = self.prints.number() >> 2;
        let record = CallRecord {
            call: id.to_string(),
            sip_call_id: String::new(),
            direction,
            from: caller.clone(),
            private: false,
            asserted: None,
            diverted_from: None,
            to: dialled.clone(),
            ports: Vec::new(),
            started: wall,
            answered: None,
            ended: wall,
            route: "",
            peer: None,
            account: None,
            completed: false,
            result: String::new(),
            q850: 0,
            talked_ms: None,
            audio: None,
            fax: None,
            peer_says: None,
            fax_choice: None,
            fax_as_audio: false,
            protection: None,
            fax_protection: None,
            cipher: None,
            peer_key: None,
            verified: None,
            csi: None,
            suspicion: None,
        };
        let timers = TimerTable::new([
            Wait::Answer,
            Wait::LearnedRoute,
            Wait::Silence,
            Wait::Question,
            Wait::Switchover,
            Wait::Moved,
            Wait::Identity,
            Wait::Counters,
            Wait::Resolve,
        ]);
        let call = Call {
            from,
            to,
            caller,
            dialled,
            state: State::Resolving,
            talk: Talk::new(sdp_session),
            dialog: None,
            query: None,
            asked_again: false,
            target: None,
            terminals: Terminals::default(),
            emergency: false,
            hunt: Hunt::default(),
            question: Question::default(),
            account: None,
            outside: None,
            timers,
            cause: None,
            answered_at: None,
            ended_at: None,
            record,
        };
        self.calls.insert(id, call);
        id
    }
}
