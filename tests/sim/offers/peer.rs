//! The other end: a user agent over the same endpoint and negotiation that does what the world does. It holds, moves, offers late or
//! everything at once, refuses T.38 in every way there is; with a [`Bug`] it breaks a rule.

use super::office::number_of;
use super::wire::Parcel;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tipring::clock::Instant;
use tipring::negotiate::{self, MediaPolicy, Shield, Situation};
use tipring::sdp::offer_answer::State;
use tipring::sdp::{Agreed, Direction, Kind, Media, Negotiation, Proto, Session, Side};
use tipring::sip::{Config, DialogId, Endpoint, Event, Invite};

/// How it takes an offer of T.38.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    Takes,
    Refuses(u16),
    /// 200, and every line closed.
    ClosesAll,
    /// 200 without a description.
    SaysNothing,
    /// 200 with a line too many.
    WrongCount,
    /// 200 with audio in the place of the image.
    WrongKind,
    /// No final response at all.
    Silent,
}

/// A rule switched off, for the negative controls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    None,
    /// An offer that was refused counts as agreed.
    RefusedIsAgreed,
    /// A new offer leaves out lines that are closed.
    LinesGoAway,
}

pub struct Peer {
    sip: Endpoint,
    pub at: SocketAddr,
    other: SocketAddr,
    policy: MediaPolicy,
    pub manners: Manners,
    pub bug: Bug,
    fax: bool,
    dialog: Option<DialogId>,
    pub up: bool,
    ringing: bool,
    /// Where it takes media: 0 and 2 above this. Goes up when it moves.
    port: u16,
    direction: Direction,
    /// c=0.0.0.0 says it, as in RFC 2543.
    old_hold: bool,
    pub n: Negotiation,
    /// What it wrongly takes for the session in force.
    pub believes: Option<Agreed>,
    pub refusals: Vec<u16>,
    pub statuses: Vec<u16>,
}

impl Peer {
    pub fn new(at: SocketAddr, other: SocketAddr, policy: MediaPolicy, manners: Manners, fax: bool, seed: u64) -> Peer {
        Peer {
            sip: Endpoint::new(Config::new(at, "peer"), seed),
            at,
            other,
            policy,
            manners,
            bug: Bug::None,
            fax,
            dialog: None,
            up: false,
            ringing: false,
            port: 20_000,
            direction: Direction::SendRecv,
            old_hold: false,
            n: Negotiation::new(seed),
            believes: None,
            refusals: Vec::new(),
            statuses: Vec::new(),
        }
    }

    /// What it answers OPTIONS with.
    pub fn can(&mut self, sdp: Vec<u8>) {
        self.sip.set_capabilities(sdp);
    }
    fn rtp(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), self.port)
    }
    fn udptl(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), self.port + 2)
    }
    /// Its own will about who sends, put on an audio line.
    fn held(&self, mut session: Session) -> Session {
        for m in session.media.iter_mut().filter(|m| m.kind == Kind::Audio && m.is_open()) {
            m.direction = self.direction;
            if self.old_hold {
                m.address = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            }
        }
        session
    }
    fn audio(&self) -> Session {
        self.held(negotiate::audio_offer(&self.policy, &Shield::none(), self.rtp()).expect("the clear is allowed"))
    }
    fn image(&self) -> Session {
        let clear = negotiate::FaxWay::Clear(negotiate::Policy::Off.permit_clear().expect("off allows the clear"));
        negotiate::t38_offer(&self.policy, &Shield::none(), clear, self.rtp(), self.udptl()).unwrap_or_else(|| self.audio())
    }
    fn both(&self) -> Session {
        let mut both = self.audio();
        for line in self.image().media.into_iter().filter(|m| m.kind == Kind::Image) {
            let _room = both.media.push(line);
        }
        both
    }
    /// An offer of nothing that anybody takes.
    fn secure(&self) -> Session {
        let mut session = self.audio();
        session.media.iter_mut().for_each(|m| m.proto = Proto::RtpSavp);
        session
    }

    pub fn call(&mut self, now: Instant, late: bool, both: bool) {
        if self.dialog.is_some() {
            return;
        }
        self.begin();
        let offer = if both { self.both() } else { self.audio() };
        let offer = if late { Vec::new() } else { self.n.send_offer(offer).expect("a new dialog").emit() };
        let invite = Invite {
            to: number_of(self.other).into(),
            targets: vec![(self.other.into(), None)],
            from: number_of(self.at).into(),
            offer,
            ..Invite::default()
        };
        self.dialog = self.sip.invite(now, invite).ok();
    }
    fn begin(&mut self) {
        self.n = Negotiation::new(u64::from(self.port));
        (self.up, self.ringing, self.believes) = (false, false, None);
        (self.direction, self.old_hold) = (Direction::SendRecv, false);
    }
    /// Says 183 with its answer before it answers the call: reliably, since both ends can.
    pub fn announce(&mut self, now: Instant) {
        let (Some(dialog), true, State::Asked) = (self.dialog, self.ringing, self.n.state()) else { return };
        if let Some(answer) = self.answer() {
            let _cancelled = self.sip.progress(now, dialog, answer.emit());
        }
    }
    pub fn lift(&mut self, now: Instant) {
        let (Some(dialog), true) = (self.dialog, self.ringing) else { return };
        let body = match (self.n.state(), self.n.agreed()) {
            (State::Asked, _) => self.answer(),
            (_, Some(agreed)) => Some(agreed.local.clone()),
            (_, None) => self.n.send_offer(self.audio()).ok(),
        };
        match body {
            Some(body) => {
                // While the 183 is not acknowledged yet, the 200 waits for that.
                if self.sip.answer(now, dialog, body.emit()).is_ok() {
                    (self.ringing, self.up) = (false, true);
                }
            }
            None => {
                let _cancelled = self.sip.reject(now, dialog, 488, None);
            }
        }
    }
    pub fn hang_up(&mut self, now: Instant) {
        if let Some(dialog) = self.dialog {
            let _gone = self.sip.hangup(now, dialog, Some(16));
        }
    }
    pub fn hold(&mut self, now: Instant, direction: Direction, old: bool) {
        (self.direction, self.old_hold) = (direction, old);
        let offer = self.audio();
        self.offer(now, Some(offer));
    }
    /// The same by UPDATE, which may also come before the answer.
    pub fn updates(&mut self, now: Instant, direction: Direction) {
        let (Some(dialog), State::Stable, true) = (self.dialog, self.n.state(), self.n.agreed().is_some()) else { return };
        self.direction = direction;
        let offer = self.n.send_offer(self.audio()).expect("nothing is open");
        if self.sip.update(now, dialog, offer.emit()).is_err() {
            self.n.offer_refused().expect("it waits");
        }
    }
    pub fn offers_t38(&mut self, now: Instant) {
        let offer = self.image();
        self.offer(now, Some(offer));
    }
    pub fn offers_both(&mut self, now: Instant) {
        let offer = self.both();
        self.offer(now, Some(offer));
    }
    pub fn offers_secure(&mut self, now: Instant) {
        let offer = self.secure();
        self.offer(now, Some(offer));
    }
    pub fn asks_for_offer(&mut self, now: Instant) {
        self.offer(now, None);
    }
    /// The same media from another port.
    pub fn moves(&mut self, now: Instant) {
        self.port += 4;
        let fax = self.n.agreed().is_some_and(|a| a.open_lines().any(|(m, _)| m.kind == Kind::Image));
        let offer = if fax { self.image() } else { self.audio() };
        self.offer(now, Some(offer));
    }
    fn offer(&mut self, now: Instant, draft: Option<Session>) {
        let (Some(dialog), true, State::Stable) = (self.dialog, self.up, self.n.state()) else { return };
        let bytes = match draft {
            Some(draft) => {
                let mut offer = self.n.send_offer(draft).expect("nothing is open");
                if self.bug == Bug::LinesGoAway {
                    offer.media.retain(Media::is_open);
                }
                offer.emit()
            }
            None => Vec::new(),
        };
        if self.sip.reinvite(now, dialog, bytes).is_err() && self.n.state() == State::Waiting {
            self.n.offer_refused().expect("it waits");
        }
    }

    fn draft(&self, offer: &Session) -> Result<Session, negotiate::Refusal> {
        let situation = Situation { before: self.n.agreed(), fax: self.fax };
        let mut draft = negotiate::answer(&self.policy, &Shield::none(), offer, situation, self.rtp(), self.udptl())?;
        for (ours, theirs) in draft.media.iter_mut().zip(&offer.media).filter(|(m, _)| m.kind == Kind::Audio && m.is_open()) {
            let wanted = if theirs.address.is_some_and(|a| a.is_unspecified()) { Direction::Inactive } else { theirs.direction };
            ours.direction = wanted.answer(self.direction);
        }
        Ok(draft)
    }
    /// The answer to the open offer; refused inside if it cannot be answered.
    fn answer(&mut self) -> Option<Session> {
        let offer = self.n.open_offer().cloned()?;
        match self.draft(&offer) {
            Ok(draft) => self.n.send_answer(draft).ok(),
            Err(_) => {
                self.n.refuse_offer().expect("it was open");
                None
            }
        }
    }

    /// Datagrams that it sends now; `bytes`: one that came in.
    pub fn turn(&mut self, now: Instant, came: Option<Parcel>) -> Vec<Parcel> {
        match came {
            Some(parcel) => self.sip.handle_datagram(now, parcel.src, &parcel.bytes),
            None => self.sip.handle_timeout(now),
        }
        while let Some(event) = self.sip.poll_event() {
            self.event(now, event);
        }
        let mut out = Vec::new();
        while let Some(t) = self.sip.poll_transmit() {
            out.push(Parcel { src: self.at, dst: t.dst.addr, bytes: t.bytes });
        }
        out
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sip.poll_timeout().map(|(at, _)| at)
    }
    pub fn unrest(&self) -> Option<String> {
        let alive = self.sip.alive();
        (self.dialog.is_some() || alive != Default::default()).then(|| format!("{:?} {alive:?}", self.dialog))
    }

    fn event(&mut self, now: Instant, event: Event) {
        let ours = event.dialog().is_some_and(|d| self.dialog == Some(d));
        match event {
            Event::Incoming { dialog, offer, .. } => {
                let offer = offer.map(|o| Session::parse(&o).expect("a gateway's offer can be read"));
                if self.dialog.is_some() {
                    let _ = self.sip.reject(now, dialog, 486, None);
                    return;
                }
                self.begin();
                (self.dialog, self.ringing) = (Some(dialog), true);
                if let Some(offer) = offer {
                    self.n.receive_offer(offer).expect("a new dialog");
                }
                let _ = self.sip.ringing(now, dialog);
            }
            Event::Answered { dialog, sdp } if ours => {
                self.up = true;
                let said = Session::parse(&sdp).ok();
                let fine = match (self.n.state(), said) {
                    (State::Waiting, said) => self.n.receive_final_answer(said).is_ok(),
                    (_, Some(offer)) => self.acknowledge(dialog, offer),
                    (_, None) => false,
                };
                if !fine {
                    self.hang_up(now);
                }
            }
            Event::ReInvited { dialog, offer } if ours => self.re_invited(now, dialog, offer),
            Event::UpdateOffered { dialog, offer } if ours => self.re_invited(now, dialog, Some(offer)),
            Event::ReInviteAnswered { dialog, sdp } | Event::UpdateAnswered { dialog, sdp } if ours => {
                let said = Session::parse(&sdp).ok();
                let fine = match (self.n.state(), said) {
                    (State::Waiting, Some(answer)) => self.n.receive_answer(answer).is_ok(),
                    (State::Waiting, None) => false,
                    (_, Some(offer)) => self.acknowledge(dialog, offer),
                    (_, None) => true,
                };
                if !fine {
                    self.hang_up(now);
                }
            }
            Event::ReInviteFailed { status, .. } | Event::UpdateFailed { status, .. } if ours => {
                self.statuses.push(status);
                if let (Bug::RefusedIsAgreed, State::Waiting) = (self.bug, self.n.state()) {
                    let offer = self.n.open_offer().cloned().expect("it waits");
                    let remote = self.n.agreed().map_or_else(|| offer.clone(), |a| a.remote.clone());
                    self.believes = Some(Agreed { local: offer, remote, offerer: Side::Ours });
                }
                let _a_late_one_has_no_offer = self.n.offer_refused();
            }
            Event::ReInviteCancelled { .. } if ours => {
                let _ = self.n.refuse_offer();
            }
            Event::Acked { sdp, .. } if ours && self.n.state() == State::Waiting => {
                let fine = sdp.and_then(|s| Session::parse(&s).ok()).is_some_and(|answer| self.n.receive_answer(answer).is_ok());
                if !fine {
                    let _ = self.n.offer_refused();
                    self.hang_up(now);
                }
            }
            Event::Failed { .. } | Event::Ended { .. } if ours => {
                self.dialog = None;
                (self.up, self.ringing) = (false, false);
            }
            _ => {}
        }
    }

    /// The peer's late offer, answered in the ACK.
    fn acknowledge(&mut self, dialog: DialogId, offer: Session) -> bool {
        if self.n.receive_offer(offer).is_err() {
            return false;
        }
        let answer = self.answer();
        let taken = answer.is_some();
        let _ended = self.sip.acknowledge(dialog, answer.map_or_else(Vec::new, |a| a.emit()));
        taken
    }

    fn re_invited(&mut self, now: Instant, dialog: DialogId, offer: Option<Vec<u8>>) {
        let Some(offer) = offer else {
            let fax = self.n.agreed().is_some_and(|a| a.open_lines().any(|(m, _)| m.kind == Kind::Image));
            let draft = if fax { self.image() } else { self.audio() };
            if let Ok(offer) = self.n.send_offer(draft) {
                let _ = self.sip.answer(now, dialog, offer.emit());
            }
            return;
        };
        let offer = Session::parse(&offer).expect("a gateway's offer can be read");
        let t38 = offer.t38().is_some();
        if let Err(why) = self.n.receive_offer(offer.clone()) {
            let _ = self.sip.reject(now, dialog, why.sip_status(), None);
            return;
        }
        let body = match self.manners {
            Manners::Refuses(status) if t38 => {
                self.refusals.push(status);
                self.n.refuse_offer().expect("it is open");
                let _ = self.sip.reject(now, dialog, status, None);
                return;
            }
            Manners::ClosesAll if t38 => {
                let mut closed = offer;
                closed.media.iter_mut().for_each(|m| m.port = 0);
                closed.capabilities = Default::default();
                self.n.send_answer(closed).ok()
            }
            // What follows is wrong by any reading; it goes on as if it had been right.
            Manners::SaysNothing if t38 => {
                self.n.refuse_offer().expect("it is open");
                let _ = self.sip.answer(now, dialog, Vec::new());
                return;
            }
            Manners::WrongCount | Manners::WrongKind if t38 => {
                self.n.refuse_offer().expect("it is open");
                let mut wrong = self.audio();
                if self.manners == Manners::WrongCount {
                    let line = wrong.media[0].clone();
                    let _ = wrong.media.push(line);
                }
                let _ = self.sip.answer(now, dialog, wrong.emit());
                return;
            }
            Manners::Silent if t38 => {
                self.n.refuse_offer().expect("it is open");
                return;
            }
            _ => self.answer(),
        };
        match body {
            Some(body) => {
                let _ = self.sip.answer(now, dialog, body.emit());
            }
            None => {
                let _ = self.sip.reject(now, dialog, 488, None);
            }
        }
    }
}
