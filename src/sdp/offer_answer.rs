//! Who may offer and who may answer when (RFC 3264 s.4, RFC 3261 s.13.2.1 and 14, RFC 6337). One [`Negotiation`] a dialog.
//!
//! ```text
//!          send_offer                      receive_offer
//! Waiting <---------- Stable (or nothing) ------------> Asked
//!    | receive_answer: new session           send_answer: new session |
//!    | offer_refused:  session as it was     refuse_offer: as it was  |
//!    \------------------------> Stable <------------------------------/
//! ```
//! A refused T.38 offer therefore leaves the audio session in force: nobody has to remember it. SIP says which of the two ways a message
//! goes; bytes and sockets are elsewhere.

use super::Session;
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

/// What both sides said, together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Our description.
    pub local: Session,
    /// The peer's.
    pub remote: Session,
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
    /// The peer's answer has another number of media lines (RFC 3264 s.6): end the dialog. The old session stands.
    LineCount {
        /// Lines of our offer.
        offered: usize,
        /// Lines of its answer.
        answered: usize,
    },
    /// We may not offer or answer in this state.
    NotNow(State),
}

impl fmt::Display for OfferAnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfferAnswerError::Glare => write!(f, "both sides offer at once"),
            OfferAnswerError::PeerStillAsked => write!(f, "the peer offers again before its offer is answered"),
            OfferAnswerError::NoOfferOpen => write!(f, "an answer to no offer"),
            OfferAnswerError::LineCount { offered, answered } => write!(f, "{answered} media lines answer {offered}"),
            OfferAnswerError::NotNow(state) => write!(f, "not while {state:?}"),
        }
    }
}
impl std::error::Error for OfferAnswerError {}

/// The offer/answer machine of one dialog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Negotiation {
    state: State,
    open: Option<Session>,
    agreed: Option<Agreed>,
}

impl Negotiation {
    /// Nothing said yet.
    pub fn new() -> Negotiation {
        Negotiation::default()
    }

    /// Our offer goes out.
    pub fn send_offer(&mut self, offer: Session) -> Result<(), OfferAnswerError> {
        self.expect(State::Stable)?;
        self.state = State::Waiting;
        self.open = Some(offer);
        Ok(())
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

    /// Our answer goes out, and is in force.
    pub fn send_answer(&mut self, answer: Session) -> Result<(), OfferAnswerError> {
        self.expect(State::Asked)?;
        self.conclude(|offer| Agreed { local: answer, remote: offer });
        Ok(())
    }

    /// The peer's answer came, and is in force.
    pub fn receive_answer(&mut self, answer: Session) -> Result<(), OfferAnswerError> {
        let offer = match (&self.open, self.state) {
            (Some(offer), State::Waiting) => offer,
            _ => return Err(OfferAnswerError::NoOfferOpen),
        };
        let (offered, answered) = (offer.media.len(), answer.media.len());
        if offered != answered {
            self.state = State::Stable;
            self.open = None;
            return Err(OfferAnswerError::LineCount { offered, answered });
        }
        self.conclude(|offer| Agreed { local: offer, remote: answer });
        Ok(())
    }

    /// The peer refuses our offer (or never answers it): all is as it was.
    pub fn offer_refused(&mut self) -> Result<(), OfferAnswerError> {
        self.close(State::Waiting)
    }

    /// We refuse the peer's offer, or it takes it back: all is as it was.
    pub fn refuse_offer(&mut self) -> Result<(), OfferAnswerError> {
        self.close(State::Asked)
    }

    fn expect(&self, state: State) -> Result<(), OfferAnswerError> {
        if self.state == state { Ok(()) } else { Err(OfferAnswerError::NotNow(self.state)) }
    }
    fn close(&mut self, state: State) -> Result<(), OfferAnswerError> {
        self.expect(state)?;
        self.state = State::Stable;
        self.open = None;
        Ok(())
    }
    fn conclude(&mut self, agreed: impl FnOnce(Session) -> Agreed) {
        self.agreed = self.open.take().map(agreed);
        self.state = State::Stable;
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

#[cfg(test)]
mod tests {
    use super::super::{Audio, Local, offer_audio};
    use super::*;
    use std::collections::{BTreeSet, VecDeque};

    fn description(version: u64) -> Session {
        let local = Local { address: [192, 0, 2, 1].into(), session_id: 1, version };
        offer_audio(&local, 4000, &Audio::default())
    }

    /// What SIP carries between two ends. Each INVITE has its final answer; each 2xx its ACK is below this.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Message {
        Offer(u64),
        Answer(u64),
        Refusal,
    }

    /// Versions alone: state, open offer, agreed local and remote.
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
            let version = |s: &Session| s.origin.version;
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
                    let v = self.ends[n].open_offer().unwrap().origin.version;
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
                        assert_eq!((&a.local, &a.remote), (&b.remote, &b.local));
                        sessions.insert((a.local.origin.version, a.remote.origin.version));
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
        let mut n = Negotiation::new();
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
}
