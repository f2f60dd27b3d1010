//! A request that is sent again, changed: with credentials (401, 407), with a longer interval (422), or by its next way.
//! Always a new transaction, in the same Call-ID; where the request itself changes, with the next CSeq (RFC 3261 s.8.1.3.5).

use super::*;
use crate::sip::message::decimal;

/// Session intervals beyond a day are not agreed to.
const LONGEST_SESSION_S: u32 = 86_400;

impl Endpoint {
    /// What was done about a response that asks for the request once more; `false`: it is the final word.
    pub(super) fn ask_again(&mut self, now: Instant, tx: u64, status: u16, response: &Message) -> bool {
        let Some(record) = self.clients.get(&tx) else { return false };
        let purpose = record.purpose;
        if matches!(purpose, Purpose::Outside(_) | Purpose::Options(_)) || !self.is_wanted(purpose) || self.clients.len() >= self.half() {
            return false;
        }
        match status {
            401 | 407 => self.answer_challenge(now, tx, purpose, response),
            422 => self.lengthen(now, tx, purpose, response),
            _ => false,
        }
    }

    fn answer_challenge(&mut self, now: Instant, tx: u64, purpose: Purpose, response: &Message) -> bool {
        let Some(record) = self.clients.get_mut(&tx) else { return false };
        let from = record.at.0.addr.ip();
        let login = match purpose {
            Purpose::Invite(id) | Purpose::ReInvite(id) | Purpose::Update(id) | Purpose::Prack(id) => {
                self.usages.get_mut(&id).and_then(|u| u.login.as_deref_mut())
            }
            _ => record.login.as_deref_mut(),
        };
        let Some(login) = login else { return false };
        if !login.may_be_shown_to(from) {
            return false;
        }
        let mut attempt = record.attempt.unwrap_or_else(|| login.begin());
        let answered = match purpose {
            Purpose::Invite(_) => login.challenged(&mut attempt, response),
            _ => login.challenged_again(&mut attempt, response),
        };
        if answered.is_err() {
            return false;
        }
        record.attempt = Some(attempt);
        self.send_again(now, tx, |_| {});
        true
    }

    /// 422: the peer, or a proxy, wants the session refreshed less often (RFC 4028 s.7.3).
    fn lengthen(&mut self, now: Instant, tx: u64, purpose: Purpose, response: &Message) -> bool {
        let (Purpose::Invite(id) | Purpose::ReInvite(id) | Purpose::Update(id)) = purpose else { return false };
        let least = response.headers.get("Min-SE").and_then(|v| decimal(session::first_word(v))).and_then(|n| u32::try_from(n).ok());
        let Some(usage) = self.usages.get_mut(&id) else { return false };
        let Some(least) = least.filter(|n| *n > usage.session.least_s && *n <= LONGEST_SESSION_S) else { return false };
        usage.session.least_s = least;
        self.send_again(now, tx, |request| {
            let old = request.headers.get("Session-Expires").map(<[u8]>::to_vec).unwrap_or_default();
            let refresher = old.iter().position(|b| *b == b';').map_or(&[][..], |at| &old[at..]);
            let expires = session::read_expires(&old).map_or(least, |e| e.seconds.max(least));
            request.headers.set("Session-Expires", [expires.to_string().as_bytes(), refresher].concat());
            request.headers.set("Min-SE", least.to_string().into_bytes());
        });
        true
    }

    fn send_again(&mut self, now: Instant, tx: u64, change: impl FnOnce(&mut Message)) {
        let Some(record) = self.clients.get_mut(&tx) else { return };
        let purpose = core::mem::replace(&mut record.purpose, Purpose::Farewell);
        let further: VecDeque<Target> = core::iter::once(record.at.clone()).chain(record.further.drain(..)).collect();
        let (mut request, tcp_tried, dialog) = (record.request.clone(), record.tcp_tried, record.dialog.clone());
        let (attempt, login) = (record.attempt, record.login.take());
        let to_tag = request.to_tag().map(<[u8]>::to_vec).unwrap_or_default();
        let number = match purpose {
            Purpose::ReInvite(id) | Purpose::Update(id) | Purpose::Prack(id) => {
                self.usages.get_mut(&id).and_then(|u| u.dialog_mut(&to_tag)).map(Dialog::next_cseq)
            }
            _ => None,
        };
        let number = number.unwrap_or_else(|| (request.cseq().map_or(0, |c| c.number) + 1) & 0x7fff_ffff);
        let method = request.method().cloned().unwrap_or(Method::Bye);
        request.headers.set("CSeq", format!("{number} {method}").into_bytes());
        change(&mut request);
        let next = self.launch(now, Launch { request, further, tcp_tried, purpose, dialog, attempt, login });
        self.rewire(purpose, next);
    }

    /// Sends the request of `id` by its next way, in a transaction of its own. False when there is none, or nobody wants it any more.
    pub(super) fn move_on(&mut self, now: Instant, id: u64) -> bool {
        let Some(record) = self.clients.get(&id) else { return false };
        if record.further.is_empty() || self.clients.len() >= self.half() || !self.is_wanted(record.purpose) {
            return false;
        }
        let Some(record) = self.clients.get_mut(&id) else { return false };
        let further = core::mem::take(&mut record.further);
        let purpose = core::mem::replace(&mut record.purpose, Purpose::Farewell);
        let (request, tcp_tried, dialog) = (record.request.clone(), record.tcp_tried, record.dialog.clone());
        let (attempt, login) = (record.attempt, record.login.take());
        self.counters.failovers += 1;
        let next = self.launch(now, Launch { request, further, tcp_tried, purpose, dialog, attempt, login });
        self.rewire(purpose, next);
        true
    }

    /// Somebody still waits for the outcome.
    fn is_wanted(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Invite(id) => {
                matches!(self.usages.get(&id).map(|u| &u.state), Some(State::Calling { cancelling: Cancelling::No, .. }))
            }
            Purpose::ReInvite(id) | Purpose::Update(id) | Purpose::Prack(id) => self.usages.contains_key(&id),
            Purpose::Farewell | Purpose::Options(_) | Purpose::Outside(_) => true,
        }
    }

    /// The transaction that stands for a usage's request is another now.
    fn rewire(&mut self, purpose: Purpose, next: u64) {
        let (Purpose::Invite(id) | Purpose::ReInvite(id) | Purpose::Update(id)) = purpose else { return };
        let Some(usage) = self.usages.get_mut(&id) else { return };
        match (purpose, &mut usage.state) {
            (Purpose::Invite(_), State::Calling { tx, early, .. }) => {
                *tx = next;
                early.clear();
            }
            (Purpose::ReInvite(_), State::Confirmed { ours, .. }) => *ours = Some(next),
            (Purpose::Update(_), _) => usage.update = Some(next),
            _ => {}
        }
    }
}

/// A client transaction to be made.
pub(super) struct Launch {
    pub(super) request: Message,
    pub(super) further: VecDeque<Target>,
    pub(super) tcp_tried: Option<SocketAddr>,
    pub(super) purpose: Purpose,
    pub(super) dialog: Option<Dialog>,
    pub(super) attempt: Option<Attempt>,
    pub(super) login: Option<Box<Authorizer>>,
}
