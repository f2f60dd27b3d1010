//! Late offers (RFC 3261 s.13.2.1): an INVITE of ours without a description is answered by the peer's offer, and our answer goes in the
//! ACK. So that ACK waits for its owner, who brings the answer at once; until then repeats of the 200 are not acknowledged.

use super::*;

impl Ack {
    /// It waits for the answer that it is to carry.
    pub(super) fn waits(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Endpoint {
    /// Sends the ACK of the 200 whose offer came with `Answered` or `ReInviteAnswered`, with our answer; empty: without one, which leaves
    /// the peer nothing but to end the dialog. Only for an INVITE that went out without a description.
    pub fn acknowledge(&mut self, id: DialogId, answer: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get(&id).ok_or(CommandError::UnknownDialog)?;
        if !matches!(usage.state, State::Confirmed { .. }) || !self.release_ack(id, answer) {
            return Err(CommandError::WrongState);
        }
        Ok(())
    }

    /// Sends the ACK that waits in this dialog, if there is one.
    pub(super) fn release_ack(&mut self, id: DialogId, answer: Vec<u8>) -> bool {
        let waits = |r: &ClientRecord| r.purpose.is_invite_of(id) && r.acks.iter().any(Ack::waits);
        let Some(tx) = self.clients.iter().find(|(_, r)| waits(r)).map(|(tx, _)| *tx) else { return false };
        let taken = self.clients.get_mut(&tx).and_then(|r| r.acks.iter().position(Ack::waits).map(|at| r.acks.remove(at)));
        let Some(mut ack) = taken else { return false };
        if !answer.is_empty() {
            ack.message = ack.message.with_body("application/sdp", answer);
        }
        self.address_ack(&mut ack);
        self.keep_ack(tx, ack);
        true
    }

    /// The 200 brings the offer: our request had none, and this is the dialog that goes on (the 200 of another fork is hung up).
    pub(super) fn is_late_offer(&self, tx: u64, id: DialogId, response: &Message) -> bool {
        let asked = self.clients.get(&tx).is_some_and(|r| r.request.sdp().is_none());
        let wanted = self.usages.get(&id).is_some_and(|u| match &u.state {
            State::Calling { cancelling, .. } => *cancelling == Cancelling::No,
            State::Confirmed { ours, closing, .. } => *ours == Some(tx) && !*closing,
            State::Ringing { .. } => false,
        });
        asked && wanted && response.sdp().is_some()
    }
}

impl Purpose {
    fn is_invite_of(self, id: DialogId) -> bool {
        matches!(self, Purpose::Invite(of) | Purpose::ReInvite(of) if of == id)
    }
}
