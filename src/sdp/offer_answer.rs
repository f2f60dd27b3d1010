//! Who may offer and who may answer when (RFC 3264 s.4, RFC 3261 s.13.2.1 and 14, RFC 3262 s.5, RFC 3311 s.5, RFC 6337). One
//! [`Negotiation`] a dialog, and the only place that knows what was said in it.
//!
//! ```text
//!          send_offer                      receive_offer
//! Waiting <---------- Stable (or nothing) ------------> Asked
//!    | receive_answer: new session           send_answer: new session |
//!    | offer_refused:  session as it was     refuse_offer: as it was  |
//!    \------------------------> Stable <------------------------------/
//! ```
//! It owns the two descriptions in force, the offer that is open, the version in our `o=` line, and the order and number of media lines:
//! lines never go away in a dialog, a refused one stays with port 0 (RFC 3264 s.6 and s.8). A refused T.38 offer therefore leaves the audio
//! session in force: nobody has to remember it. SIP says which of the two ways a message goes (INVITE, 200, ACK, 183, PRACK, UPDATE carry
//! them alike); bytes and sockets are elsewhere.

use super::build::refused;
use super::{Kind, Media, Session};
use core::fmt;

/// Where the exchange stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum State {
    /// No offer is open.
    #[default]
    Stable,
    /// Our offer waits for its answer.
    Waiting,
    /// The peer's offer waits for ours.
    Asked,
}

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// This one.
    Ours,
    /// The peer.
    Theirs,
}

/// What both sides said, together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Our description.
    pub local: Session,
    /// The peer's.
    pub remote: Session,
    /// Who offered. The other's description is the answer, and says which of the offered things are used.
    pub offerer: Side,
}

impl Agreed {
    /// The description that decides.
    pub fn answer(&self) -> &Session {
        match self.offerer {
            Side::Ours => &self.remote,
            Side::Theirs => &self.local,
        }
    }
    /// Media lines that are open on both sides: ours with the peer's.
    pub fn open_lines(&self) -> impl Iterator<Item = (&Media, &Media)> {
        self.local.media.iter().zip(&self.remote.media).filter(|(a, b)| a.is_open() && b.is_open() && a.kind == b.kind)
    }
}

/// Why a message does not fit. The peer's are answered or ignored as said; ours are faults of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferAnswerError {
    /// Both offer at once: answer 491.
    Glare,
    /// The peer offers while its earlier offer is open: answer 500.
    PeerStillAsked,
    /// An answer nobody asked for, a second one among them: ignore it.
    NoOfferOpen,
    /// The peer's answer has another number of media lines (RFC 3264 s.6). The old session stands here; the peer must be told of it by a
    /// new offer, or left.
    LineCount {
        /// Lines of our offer.
        offered: usize,
        /// Lines of its answer.
        answered: usize,
    },
    /// The peer's answer opens this line (from 0) as another kind of media than was offered. As above.
    LineKind(usize),
    /// We may not offer or answer in this state.
    NotNow(State),
}

impl OfferAnswerError {
    /// What the peer's offer is answered with.
    pub fn sip_status(self) -> u16 {
        match self {
            OfferAnswerError::Glare => 491,
            OfferAnswerError::PeerStillAsked
            | OfferAnswerError::NoOfferOpen
            | OfferAnswerError::LineCount { .. }
            | OfferAnswerError::LineKind(_)
            | OfferAnswerError::NotNow(_) => 500,
        }
    }
}

impl fmt::Display for OfferAnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfferAnswerError::Glare => write!(f, "both sides offer at once"),
            OfferAnswerError::PeerStillAsked => write!(f, "the peer offers again before its offer is answered"),
            OfferAnswerError::NoOfferOpen => write!(f, "an answer to no offer"),
            OfferAnswerError::LineCount { offered, answered } => write!(f, "{answered} media lines answer {offered}"),
            OfferAnswerError::LineKind(line) => write!(f, "media line {} is answered as another kind of media", line + 1),
            OfferAnswerError::NotNow(state) => write!(f, "not while {state:?}"),
        }
    }
}
impl std::error::Error for OfferAnswerError {}

/// The offer/answer machine of one dialog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Negotiation {
    session_id: u64,
    state: State,
    open: Option<Session>,
    /// The peer's answer in a provisional response that may get lost or come from another fork than the 200 (RFC 6337 s.3.1.1).
    early: Option<Session>,
    agreed: Option<Agreed>,
    /// Exchanges that came to an end with an answer.
    exchanges: u32,
    /// Our last description, whatever became of it: versions count from here.
    said: Option<Session>,
}

impl Negotiation {
    /// Nothing said yet. `session_id` stands in every `o=` line of ours.
    pub fn new(session_id: u64) -> Negotiation {
        Negotiation { session_id, ..Negotiation::default() }
    }

    /// Our offer goes out: `draft` with every line of the session before it in its place, and with its version. Send what comes back.
    pub fn send_offer(&mut self, draft: Session) -> Result<Session, OfferAnswerError> {
        self.expect(State::Stable)?;
        let draft = match &self.agreed {
            Some(agreed) => arranged(draft, &agreed.local),
            None => draft,
        };
        let offer = self.say(draft);
        self.state = State::Waiting;
        self.open = Some(offer.clone());
        Ok(offer)
    }

    /// The peer's offer came.
    pub fn receive_offer(&mut self, offer: Session) -> Result<(), OfferAnswerError> {
        match self.state {
            State::Stable => {
                self.state = State::Asked;
                self.open = Some(offer);
                Ok(())
            }
            State::Waiting => Err(OfferAnswerError::Glare),
            State::Asked => Err(OfferAnswerError::PeerStillAsked),
        }
    }

    /// Our answer goes out, and is in force. Send what comes back. A draft that does not have the offer's lines is a fault of the caller's,
    /// and is not sent.
    pub fn send_answer(&mut self, draft: Session) -> Result<Session, OfferAnswerError> {
        self.expect(State::Asked)?;
        let Some(offer) = self.open.as_ref() else { return Err(OfferAnswerError::NoOfferOpen) };
        let draft = fitted(offer, draft)?;
        let local = self.say(draft);
        self.conclude(Side::Theirs, local.clone());
        Ok(local)
    }

    /// The peer's answer came, and is in force.
    pub fn receive_answer(&mut self, answer: Session) -> Result<(), OfferAnswerError> {
        let offer = match (&self.open, self.state) {
            (Some(offer), State::Waiting) => offer,
            _ => return Err(OfferAnswerError::NoOfferOpen),
        };
        match fitted(offer, answer) {
            Ok(answer) => {
                self.conclude(Side::Ours, answer);
                Ok(())
            }
            Err(why) => {
                self.forget_offer();
                Err(why)
            }
        }
    }

    /// A provisional response brought an answer that is not the last word: it is what may be heard until then. `None` if it fits nothing.
    pub fn preview_answer(&mut self, answer: Session) -> Option<Agreed> {
        let offer = self.open.as_ref().filter(|_| self.state == State::Waiting)?;
        let answer = fitted(offer, answer).ok()?;
        self.early = Some(answer.clone());
        Some(Agreed { local: offer.clone(), remote: answer, offerer: Side::Ours })
    }

    /// The 200 to our first INVITE came. Its description is the answer; without one, that of the provisional responses is. Where the
    /// exchange is over already (a reliable 183), a description can only come from another fork, which then is the peer.
    pub fn receive_final_answer(&mut self, answer: Option<Session>) -> Result<(), OfferAnswerError> {
        match (self.state, answer.or_else(|| self.early.take())) {
            (State::Waiting, Some(answer)) => self.receive_answer(answer),
            (State::Waiting, None) => {
                self.forget_offer();
                Err(OfferAnswerError::NoOfferOpen)
            }
            (State::Stable, Some(answer)) if self.exchanges == 1 => {
                let Some(agreed) = self.agreed.as_mut().filter(|a| a.offerer == Side::Ours) else { return Ok(()) };
                agreed.remote = fitted(&agreed.local, answer)?;
                Ok(())
            }
            (State::Stable, _) if self.agreed.is_some() => Ok(()),
            (state, _) => Err(OfferAnswerError::NotNow(state)),
        }
    }

    /// The session was refreshed with our words as they stand (RFC 4028), and the peer answered with other words than before.
    pub fn receive_refresh(&mut self, answer: Session) -> Result<(), OfferAnswerError> {
        self.expect(State::Stable)?;
        let Some(agreed) = self.agreed.as_mut() else { return Err(OfferAnswerError::NoOfferOpen) };
        agreed.remote = fitted(&agreed.local, answer)?;
        agreed.offerer = Side::Ours;
        Ok(())
    }

    /// The peer refuses our offer (or never answers it): all is as it was.
    pub fn offer_refused(&mut self) -> Result<(), OfferAnswerError> {
        self.expect(State::Waiting)?;
        self.forget_offer();
        Ok(())
    }

    /// We refuse the peer's offer, or it takes it back: all is as it was.
    pub fn refuse_offer(&mut self) -> Result<(), OfferAnswerError> {
        self.expect(State::Asked)?;
        self.forget_offer();
        Ok(())
    }

    fn expect(&self, state: State) -> Result<(), OfferAnswerError> {
        if self.state == state { Ok(()) } else { Err(OfferAnswerError::NotNow(self.state)) }
    }
    fn forget_offer(&mut self) {
        self.state = State::Stable;
        (self.open, self.early) = (None, None);
    }
    fn conclude(&mut self, offerer: Side, answer: Session) {
        let Some(offer) = self.open.take() else { return };
        let (local, remote) = match offerer {
            Side::Ours => (offer, answer),
            Side::Theirs => (answer, offer),
        };
        self.agreed = Some(Agreed { local, remote, offerer });
        self.exchanges += 1;
        self.forget_offer();
    }
    /// The same words keep their version; others count one up (RFC 3264 s.8).
    fn say(&mut self, mut draft: Session) -> Session {
        draft.origin.session_id = self.session_id.to_string();
        draft.origin.version = match &self.said {
            Some(said) if (Session { origin: draft.origin.clone(), ..said.clone() }) == draft => said.origin.version,
            Some(said) => said.origin.version.wrapping_add(1),
            None => 1,
        };
        self.said = Some(draft.clone());
        draft
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }
    /// The offer that waits, ours or the peer's by [`Negotiation::state`].
    pub fn open_offer(&self) -> Option<&Session> {
        self.open.as_ref()
    }
    /// The session in force.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }
}

/// `draft` with the lines of `last`, our description in force, in their places (RFC 3264 s.8). A wanted line takes the place of one of its
/// kind; where there is none, the place of an open line, whose media type changes (s.8.3.3 recommends that for voice and fax of one
/// stream); else a new place. Every other line is closed.
fn arranged(mut draft: Session, last: &Session) -> Session {
    let mut places: Vec<Option<Media>> = vec![None; last.media.len()];
    for wanted in &draft.media {
        let free = |i: &usize| places[*i].is_none();
        let all = || (0..last.media.len()).filter(free);
        let of_kind = |open: bool| all().find(|i| last.media[*i].kind == wanted.kind && last.media[*i].is_open() == open);
        let place = of_kind(true)
            .or_else(|| of_kind(false))
            .or_else(|| all().find(|i| last.media[*i].is_open() || Kind::Audio == last.media[*i].kind));
        match place {
            Some(i) => places[i] = Some(wanted.clone()),
            None => places.push(Some(wanted.clone())),
        }
    }
    let address = draft.media.first().and_then(|m| m.address);
    draft.media.clear();
    for (i, place) in places.into_iter().enumerate() {
        let closed = || last.media.get(i).map(|old| Media { address, ..refused(old) });
        // Bounded alike: a line beyond the bound is one that was wanted in addition, and is left out.
        if let Some(line) = place.or_else(closed) {
            let _full = draft.media.push(line);
        }
    }
    draft
}

/// The answer, if it can be one to this offer: as many lines, none of another kind. A line that the offer closed stays closed, whatever the
/// answer says.
fn fitted(offer: &Session, mut answer: Session) -> Result<Session, OfferAnswerError> {
    let (offered, answered) = (offer.media.len(), answer.media.len());
    if offered != answered {
        return Err(OfferAnswerError::LineCount { offered, answered });
    }
    for (i, (theirs, line)) in offer.media.iter().zip(&mut answer.media).enumerate() {
        if !theirs.is_open() {
            line.port = 0;
        }
        if line.is_open() && line.kind != theirs.kind {
            return Err(OfferAnswerError::LineKind(i));
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::{Audio, Local, T38, offer_audio, offer_t38, with_t38};
    use super::*;
    use std::collections::{BTreeSet, VecDeque};

    /// Told from others by its port.
    fn description(n: u64) -> Session {
        offer_audio(&local(), n as u16, &Audio::default())
    }
    fn local() -> Local {
        Local { address: [192, 0, 2, 1].into(), session_id: 1, version: 0 }
    }
    fn number(s: &Session) -> u64 {
        u64::from(s.media[0].port)
    }

    /// What SIP carries between two ends. Each INVITE has its final answer; each 2xx its ACK is below this.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Message {
        Offer(u64),
        Answer(u64),
        Refusal,
    }

    /// Numbers alone: state, open offer, agreed local and remote.
    type EndKey = (State, Option<u64>, Option<(u64, u64)>);

    #[derive(Clone, Default)]
    struct World {
        ends: [Negotiation; 2],
        /// What is on its way to each end; it arrives in any order.
        flying: [VecDeque<Message>; 2],
        offers: u64,
    }

    impl World {
        /// A name for the state, so that the walk ends.
        fn key(&self) -> (Vec<EndKey>, [VecDeque<Message>; 2]) {
            let version = number;
            let end = |n: &Negotiation| {
                let agreed = n.agreed().map(|a| (version(&a.local), version(&a.remote)));
                (n.state(), n.open_offer().map(version), agreed)
            };
            (self.ends.iter().map(end).collect(), self.flying.clone())
        }

        fn deliver(&mut self, to: usize, message: Message) {
            match message {
                Message::Offer(v) => {
                    if self.ends[to].receive_offer(description(v)).is_err() {
                        self.flying[1 - to].push_back(Message::Refusal);
                    }
                }
                Message::Answer(v) => self.ends[to].receive_answer(description(v)).unwrap(),
                Message::Refusal => self.ends[to].offer_refused().unwrap(),
            }
        }

        /// Every world that can come next: an offer, a decision, an arrival in any order; or an offer lost for good, which SIP turns
        /// into a refusal (408) at its sender's end. A final answer is never lost for good while the dialog lives: SIP repeats it.
        fn next(&self) -> Vec<World> {
            let mut all = Vec::new();
            for n in 0..2 {
                if self.offers < 6 && self.ends[n].state() == State::Stable {
                    let mut w = self.clone();
                    w.offers += 1;
                    w.ends[n].send_offer(description(w.offers)).unwrap();
                    w.flying[1 - n].push_back(Message::Offer(w.offers));
                    all.push(w);
                }
                if self.ends[n].state() == State::Asked {
                    let v = number(self.ends[n].open_offer().unwrap());
                    let mut yes = self.clone();
                    yes.ends[n].send_answer(description(100 + v)).unwrap();
                    yes.flying[1 - n].push_back(Message::Answer(100 + v));
                    let mut no = self.clone();
                    no.ends[n].refuse_offer().unwrap();
                    no.flying[1 - n].push_back(Message::Refusal);
                    all.extend([yes, no]);
                }
                for (i, message) in self.flying[n].iter().copied().enumerate() {
                    let mut w = self.clone();
                    w.flying[n].remove(i);
                    w.deliver(n, message);
                    all.push(w);
                    if matches!(message, Message::Offer(_)) {
                        // The offer never arrives: its INVITE times out, and nothing happened.
                        let mut lost = self.clone();
                        lost.flying[n].remove(i);
                        lost.ends[1 - n].offer_refused().unwrap();
                        all.push(lost);
                    }
                }
            }
            all
        }
    }

    #[test]
    fn in_every_order_of_events_two_ends_agree_when_nothing_is_on_its_way() {
        let mut seen = BTreeSet::new();
        let mut open = vec![World::default()];
        let (mut quiet, mut sessions) = (0, BTreeSet::new());
        while let Some(world) = open.pop() {
            if !seen.insert((world.key(), world.offers)) {
                continue;
            }
            let next = world.next();
            if world.flying.iter().all(VecDeque::is_empty) && world.ends.iter().all(|e| e.state() == State::Stable) {
                quiet += 1;
                match (world.ends[0].agreed(), world.ends[1].agreed()) {
                    (None, None) => {}
                    (Some(a), Some(b)) => {
                        assert_eq!((&a.local.media, &a.remote.media), (&b.remote.media, &b.local.media));
                        assert_ne!(a.offerer, b.offerer);
                        sessions.insert((number(&a.local), number(&a.remote)));
                    }
                    other => panic!("one end has a session, the other none: {other:?}"),
                }
            } else {
                assert!(!next.is_empty(), "stuck: {:?}", world.key());
            }
            open.extend(next);
        }
        println!("{} states, {quiet} of them at rest, {} sessions", seen.len(), sessions.len());
        assert!(seen.len() > 1_000 && sessions.len() == 12, "both ends' offers 1 to 6 come into force somewhere");
    }

    #[test]
    fn there_is_one_answer_to_an_offer_and_a_refusal_leaves_the_session() {
        let mut n = Negotiation::new(1);
        n.send_offer(description(1)).unwrap();
        assert_eq!(n.send_offer(description(2)), Err(OfferAnswerError::NotNow(State::Waiting)));
        assert_eq!(n.receive_offer(description(9)), Err(OfferAnswerError::Glare));
        n.receive_answer(description(10)).unwrap();
        let before = n.agreed().cloned();
        assert_eq!(n.receive_answer(description(11)), Err(OfferAnswerError::NoOfferOpen));
        assert_eq!(n.send_answer(description(3)), Err(OfferAnswerError::NotNow(State::Stable)));
        n.send_offer(description(2)).unwrap();
        n.offer_refused().unwrap();
        n.receive_offer(description(11)).unwrap();
        assert_eq!(n.receive_offer(description(12)), Err(OfferAnswerError::PeerStillAsked));
        n.refuse_offer().unwrap();
        assert_eq!(n.agreed().cloned(), before);
        n.send_offer(description(3)).unwrap();
        let mut short = description(12);
        short.media.clear();
        assert_eq!(n.receive_answer(short), Err(OfferAnswerError::LineCount { offered: 1, answered: 0 }));
        assert_eq!((n.state(), n.agreed().cloned()), (State::Stable, before));
    }

    fn t38() -> Session {
        offer_t38(&local(), 6000, &T38::default())
    }
    fn ports(s: &Session) -> Vec<(Kind, u16)> {
        s.media.iter().map(|m| (m.kind.clone(), m.port)).collect()
    }
    /// An answer that takes every open line on port 9000 + i.
    fn takes_all(offer: &Session) -> Session {
        let mut answer = offer.clone();
        for (i, m) in answer.media.iter_mut().enumerate().filter(|(_, m)| m.is_open()) {
            m.port = 9000 + i as u16;
        }
        answer
    }
    /// A session that began with this offer of the peer's, of which `ours` are the ports of our answer.
    fn begun(offer: Session, ours: &[u16]) -> Negotiation {
        let mut n = Negotiation::new(7);
        let mut answer = offer.clone();
        answer.media.iter_mut().zip(ours).for_each(|(m, port)| m.port = *port);
        n.receive_offer(offer).unwrap();
        n.send_answer(answer).unwrap();
        n
    }

    #[test]
    fn versions_count_words_that_change_and_only_those() {
        let mut n = Negotiation::new(7);
        let first = n.send_offer(description(4000)).unwrap();
        assert_eq!((first.origin.session_id.as_str(), first.origin.version), ("7", 1));
        n.receive_answer(description(1)).unwrap();
        n.receive_offer(description(1)).unwrap();
        assert_eq!(n.send_answer(description(4000)).unwrap().origin.version, 1, "the same words");
        assert_eq!(n.send_offer(t38()).unwrap().origin.version, 2);
        n.offer_refused().unwrap();
        n.receive_offer(description(1)).unwrap();
        assert_eq!(n.send_answer(description(4000)).unwrap().origin.version, 3, "version 2 was other words");
    }

    #[test]
    fn fax_takes_the_place_of_voice_and_gives_it_back() {
        let mut n = begun(description(1), &[4000]);
        let fax = n.send_offer(t38()).unwrap();
        assert_eq!(ports(&fax), [(Kind::Image, 6000)]);
        n.receive_answer(takes_all(&fax)).unwrap();
        let voice = n.send_offer(description(4000)).unwrap();
        assert_eq!(ports(&voice), [(Kind::Audio, 4000)]);
    }

    #[test]
    fn a_line_that_was_refused_once_keeps_its_place_for_ever() {
        let both = with_t38(offer_audio(&local(), 1, &Audio::default()), &local(), 2, &T38::default());
        let mut n = begun(both, &[4000, 0]);
        let fax = n.send_offer(t38()).unwrap();
        assert_eq!(ports(&fax), [(Kind::Audio, 0), (Kind::Image, 6000)]);
        n.receive_answer(takes_all(&fax)).unwrap();
        let voice = n.send_offer(description(4000)).unwrap();
        assert_eq!(ports(&voice), [(Kind::Audio, 4000), (Kind::Image, 0)]);
        n.receive_answer(takes_all(&voice)).unwrap();
        // The peer adds a line of its own: from now on there are three.
        let mut more = n.agreed().unwrap().remote.clone();
        more.media.push(Media::new(Kind::Other("video".into()), crate::sdp::Proto::RtpAvp, 5000, None)).unwrap();
        n.receive_offer(more.clone()).unwrap();
        assert!(matches!(n.send_answer(description(4000)), Err(OfferAnswerError::LineCount { offered: 3, answered: 1 })));
        more.media[0].port = 4000;
        more.media[2].port = 0;
        n.send_answer(more).unwrap();
        assert_eq!(n.send_offer(t38()).unwrap().media.len(), 3);
    }

    #[test]
    fn an_answer_cannot_open_what_was_not_offered_nor_turn_voice_into_fax() {
        let both = with_t38(offer_audio(&local(), 1, &Audio::default()), &local(), 2, &T38::default());
        let mut n = begun(both, &[4000, 0]);
        let before = n.agreed().cloned();
        let offer = n.send_offer(description(4002)).unwrap();
        let mut answer = takes_all(&offer);
        answer.media[1].port = 7777;
        n.receive_answer(answer).unwrap();
        assert_eq!(n.agreed().unwrap().open_lines().count(), 1);
        let mut n = begun(before.unwrap().remote, &[4000, 0]);
        let offer = n.send_offer(t38()).unwrap();
        let mut answer = takes_all(&offer);
        answer.media[1].kind = Kind::Audio;
        assert_eq!(n.receive_answer(answer), Err(OfferAnswerError::LineKind(1)));
        assert_eq!(ports(&n.agreed().unwrap().local), [(Kind::Audio, 4000), (Kind::Image, 0)], "as it was");
    }

    #[test]
    fn what_a_provisional_response_says_holds_until_the_200_says_otherwise() {
        let mut n = Negotiation::new(7);
        n.send_offer(description(4000)).unwrap();
        assert_eq!(number(&n.preview_answer(description(1)).unwrap().remote), 1);
        assert_eq!(n.receive_offer(description(5)), Err(OfferAnswerError::Glare));
        n.receive_final_answer(None).unwrap();
        assert_eq!(number(&n.agreed().unwrap().remote), 1);
        // Another fork than that of a reliable 183 answers the call.
        let mut n = Negotiation::new(7);
        n.send_offer(description(4000)).unwrap();
        n.receive_answer(description(1)).unwrap();
        n.receive_final_answer(Some(description(2))).unwrap();
        assert_eq!(number(&n.agreed().unwrap().remote), 2);
        // But not after the session was changed since.
        n.receive_offer(description(3)).unwrap();
        n.send_answer(description(4001)).unwrap();
        n.receive_final_answer(Some(description(4))).unwrap();
        assert_eq!(number(&n.agreed().unwrap().remote), 3);
        let mut n = Negotiation::new(7);
        n.send_offer(description(4000)).unwrap();
        assert_eq!(n.receive_final_answer(None), Err(OfferAnswerError::NoOfferOpen));
    }
}
