//! What strangers may cost us. A call that is refused before anything was said to it, and any request from outside a dialog that is refused,
//! is answered once for each time it comes and leaves nothing here (RFC 3261 s.8.2.7): no 100, no repeats, no wait for the ACK. Its To tag is
//! a print of the request, so every repeat gets the same one, and its ACK is known when it comes. A refusal that is lost is asked for again,
//! for its caller was told nothing; whoever heard a 1xx waits in silence, so from then on a refusal is repeated until its ACK is here.
//! A repeat that was under way already must not ring, though, for its caller is done with it: of a refused INVITE its print and its status
//! are remembered for as long as it may be repeated ([`TurnedAway`]: a few bytes each, the oldest forgotten first). Should one be forgotten
//! too early and ring again, the ACK of its refusal ends it.
//!
//! Calls that are taken are counted by their source until they are answered: one source gets a part of the places, never all.

use super::*;
use crate::limits::{SIP_REFUSALS_MAX, SIP_RINGING_PER_SOURCE_MAX};
use crate::sip::network::source_of;
use crate::sip::transaction::{server, server_invite};

impl Endpoint {
    /// The To tag of a request of which nothing is kept, the same for its repeats and its ACK (s.8.2.7); and of a call that it begins.
    pub(super) fn tag_for(&self, key: &ServerKey, request: &Message) -> Vec<u8> {
        let number = request.cseq().map_or(0, |c| c.number).to_be_bytes();
        let (call_id, from_tag) = (request.call_id().unwrap_or_default(), request.from_tag().unwrap_or_default());
        self.print(&[&key.branch, key.sent_by.as_bytes(), call_id, from_tag, &number])
    }

    /// A transaction for a request that came, of `bytes` in all.
    /// `tag`: ours, where the request names none.
    pub(super) fn add_server(&mut self, now: Instant, src: Hop, arrived: Arrived<'_>, tag: Vec<u8>) -> u64 {
        let Arrived { key, request, bytes, back } = arrived;
        let reliable = src.transport.is_reliable();
        let machine = match key.method {
            Method::Invite => ServerMachine::Invite(ServerInvite::new(reliable)),
            _ => ServerMachine::Other(Server::new(now, reliable)),
        };
        let tx = self.next_id();
        let merge = request::merge_key(request);
        // Only one that is not answered yet stands in the way of another (s.8.2.2.2).
        if !self.merge_index.get(&merge).is_some_and(|first| self.is_open(*first)) {
            self.merge_index.insert(merge.clone(), tx);
        }
        self.server_index.insert(key.clone(), tx);
        let record = ServerRecord {
            machine,
            key,
            merge,
            request: Message { body: Vec::new(), ..request.clone() },
            request_bytes: bytes.saturating_sub(request.body.len()),
            kept: 0,
            offerless: request.sdp().is_none(),
            last: None,
            back,
            local_tag: tag,
            dialog: None,
        };
        self.servers.insert(tx, record);
        if reliable {
            self.at_hop.insert((back.to, Owner::Server(tx)));
        }
        self.weigh_server(tx);
        self.sync_server(tx);
        tx
    }

    /// No final answer to it is out.
    fn is_open(&self, tx: u64) -> bool {
        self.servers.get(&tx).is_some_and(|r| match &r.machine {
            ServerMachine::Invite(m) => m.state() == server_invite::State::Proceeding,
            ServerMachine::Other(m) => m.state() == server::State::Trying,
        })
    }

    /// The same request came by another way and is not answered yet.
    pub(super) fn is_merged(&self, tx: u64) -> bool {
        self.servers.get(&tx).and_then(|r| self.merge_index.get(&r.merge)).is_some_and(|first| *first != tx)
    }

    /// Its sender has heard nothing of it yet.
    pub(super) fn is_unsaid(&self, tx: u64) -> bool {
        self.servers.get(&tx).is_some_and(|r| r.last.is_none()) && self.is_open(tx)
    }

    /// Refuses a request whose sender has heard nothing yet, and forgets it.
    pub(super) fn refuse_once(&mut self, now: Instant, tx: u64, response: &Message) {
        if let Some(record) = self.servers.get(&tx) {
            let (to, status) = (record.back.to, response.status().unwrap_or(500));
            if record.key.method == Method::Invite {
                self.turned_away.add(now, &record.local_tag, status);
            }
            self.counters.refused += 1;
            self.transmit(&(to, None), response.emit());
        }
        self.forget_server(tx);
    }

    /// The repeat of an INVITE that was refused gets the same status.
    pub(super) fn refuse_again(&mut self, now: Instant, request: &Message, tag: &[u8], to: Hop) -> bool {
        let Some(status) = self.turned_away.status(now, tag) else { return false };
        let mut response = Message::response_to(request, status, reason_phrase(status)).with("Server", &self.config.user_agent);
        tag_response(&mut response, tag);
        self.counters.refused += 1;
        self.transmit(&(to, None), response.emit());
        true
    }

    /// The ACK of a refusal came for a call that rings: its caller is gone, what rings is a repeat that was judged anew.
    pub(super) fn acked_while_it_rings(&mut self, now: Instant, tx: u64) {
        let id = self.servers.get(&tx).and_then(|r| r.dialog);
        let Some(id) = id.filter(|id| matches!(self.usages.get(id).map(|u| &u.state), Some(State::Ringing { .. }))) else { return };
        if let Some(open) = self.usages.get_mut(&id).and_then(|u| u.updated.take()) {
            let response = self.response(open, 487);
            self.respond(now, open, response);
        }
        self.forget_server(tx);
        self.end(id, Event::Ended { dialog: id, cause: EndCause::Cancelled, q850: None });
    }

    /// Who a call from there is counted for, if one more may ring. Trusted peers are not counted.
    pub(super) fn may_ring(&self, src: Hop) -> Option<Option<IpAddr>> {
        if self.trusts(src) {
            return Some(None);
        }
        let source = source_of(src.addr.ip());
        (self.ringing_from.get(&source).copied().unwrap_or(0) < SIP_RINGING_PER_SOURCE_MAX).then_some(Some(source))
    }

    pub(super) fn rings(&mut self, source: Option<IpAddr>) -> Option<IpAddr> {
        if let Some(source) = source {
            *self.ringing_from.entry(source).or_insert(0) += 1;
        }
        source
    }

    pub(super) fn rings_no_more(&mut self, source: Option<IpAddr>) {
        let Some(source) = source else { return };
        let left = self.ringing_from.get(&source).map_or(0, |n| n - 1);
        match left {
            0 => drop(self.ringing_from.remove(&source)),
            _ => drop(self.ringing_from.insert(source, left)),
        }
    }
}

/// A request as it came.
pub(super) struct Arrived<'a> {
    pub(super) key: ServerKey,
    pub(super) request: &'a Message,
    /// Its size.
    pub(super) bytes: usize,
    pub(super) back: WayBack,
}

/// The INVITEs that were refused and forgotten: their prints (which are their To tags) and the status that they got. Looked at when a
/// request comes and never else, so nothing waits for its end.
#[derive(Clone, Debug, Default)]
pub(super) struct TurnedAway {
    status: BTreeMap<[u8; 16], u16>,
    /// In the order of their refusal.
    order: VecDeque<(Instant, [u8; 16])>,
}

impl TurnedAway {
    pub(super) fn add(&mut self, now: Instant, tag: &[u8], status: u16) {
        self.forget_old(now);
        // A request inside a dialog has none.
        let Ok(print) = <[u8; 16]>::try_from(tag) else { return };
        if self.status.insert(print, status).is_some() {
            return;
        }
        self.order.push_back((now, print));
        if self.order.len() > SIP_REFUSALS_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.status.remove(&oldest);
        }
    }
    pub(super) fn status(&mut self, now: Instant, tag: &[u8]) -> Option<u16> {
        self.forget_old(now);
        self.status.get(tag).copied()
    }
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.status.len(), self.order.len())
    }
    /// An INVITE is repeated for 64*T1 (s.17.1.1.2).
    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| now.ms_since(*at) >= T1_64_MS) {
            let Some((_, print)) = self.order.pop_front() else { return };
            self.status.remove(&print);
        }
    }
}
