//! The network between two ends, and the one who listens on it: what nobody may ever say is told from the datagrams alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tipring::clock::{Instant, Rng, ms};
use tipring::sdp::{Kind, Session};
use tipring::sip::message::{Message, Method};

/// How bad it is.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub loss_percent: u8,
    pub duplicate_percent: u8,
    pub delay_ms: u8,
    pub jitter_ms: u8,
}

pub const CALM: Link = Link { loss_percent: 0, duplicate_percent: 0, delay_ms: 5, jitter_ms: 0 };

/// What becomes of answers to OPTIONS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Options {
    Kept,
    /// Another status, and nothing said.
    Becomes(u16),
    Lost,
    /// Nobody's Allow names it.
    Unnamed,
}

/// A datagram on its way.
pub struct Parcel {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub bytes: Vec<u8>,
}

/// An INVITE as it was seen: Call-ID, number, who sent it.
type Asked = (Vec<u8>, u32, SocketAddr);

/// The network.
pub struct Wire {
    pub link: Link,
    rng: Rng,
    flying: BTreeMap<(Instant, u64), Parcel>,
    count: u64,
    /// A rule switched off: the repeat of an answer has other words.
    pub second_answer: bool,
    pub options: Options,
    pub listener: Listener,
}

impl Wire {
    pub fn new(link: Link, seed: u64) -> Wire {
        Wire {
            link,
            rng: Rng::new(seed),
            flying: BTreeMap::new(),
            count: 0,
            second_answer: false,
            options: Options::Kept,
            listener: Listener::default(),
        }
    }

    pub fn send(&mut self, now: Instant, mut parcel: Parcel) {
        if self.second_answer && self.listener.is_repeated_answer(&parcel) {
            let text = String::from_utf8_lossy(&parcel.bytes).replace("a=sendrecv", "a=recvonly");
            parcel.bytes = text.into_bytes();
        }
        if self.options == Options::Unnamed {
            // Descriptions hold no such words, so no length changes but that of the head.
            parcel.bytes = String::from_utf8_lossy(&parcel.bytes).replace("CANCEL, OPTIONS, ", "CANCEL, ").into_bytes();
        } else if self.options != Options::Kept
            && let Some(answer) = Message::parse(&parcel.bytes).ok().filter(|m| m.status().is_some())
            && answer.cseq().is_ok_and(|c| c.method == Method::Options)
        {
            let Options::Becomes(status) = self.options else { return };
            let mut other = Message::response_to(&answer, status, "As Told");
            other.body.clear();
            parcel.bytes = other.emit();
        }
        self.listener.hear(&parcel);
        let copies = if self.rng.below(100) < u64::from(self.link.duplicate_percent) { 2 } else { 1 };
        for _ in 0..copies {
            if self.rng.below(100) < u64::from(self.link.loss_percent) {
                continue;
            }
            // Jitter lets datagrams overtake each other.
            let at = now + ms(u64::from(self.link.delay_ms) + self.rng.below(u64::from(self.link.jitter_ms) + 1));
            self.count += 1;
            let Parcel { src, dst, ref bytes } = parcel;
            self.flying.insert((at, self.count), Parcel { src, dst, bytes: bytes.clone() });
        }
    }
    pub fn next(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }
    pub fn poll(&mut self, now: Instant) -> Option<Parcel> {
        let key = *self.flying.first_key_value().filter(|((at, _), _)| *at <= now)?.0;
        self.flying.remove(&key)
    }
    /// The first rule that somebody broke.
    pub fn fault(&self) -> Option<&str> {
        self.listener.fault.as_deref()
    }
    /// First lines and media lines, for the story of a failed run.
    pub fn story(&self) -> String {
        self.listener.story.join("\n")
    }
    /// Offers of T.38 in INVITEs that this end sent.
    pub fn t38_offers(&self, by: SocketAddr) -> usize {
        self.listener.t38_offers.iter().filter(|(_, _, from)| *from == by).count()
    }
}

/// The one who listens.
#[derive(Default)]
pub struct Listener {
    /// Ends that are the product: they offer T.38 once.
    pub products: Vec<SocketAddr>,
    /// An end that is known to break rules.
    pub exempt: Option<SocketAddr>,
    /// The last ACK: whoever writes a request of that dialog by hand begins with it.
    pub last_ack: String,
    offers: BTreeMap<Asked, Option<Session>>,
    /// The description in the 2xx of an INVITE, by its bytes.
    answers: BTreeMap<(Asked, Vec<u8>), Vec<u8>>,
    acks: BTreeMap<(Asked, Vec<u8>), Vec<u8>>,
    /// Media lines that a dialog has.
    lines: BTreeMap<Vec<u8>, usize>,
    t38_offers: BTreeSet<Asked>,
    /// Ends whose T.38 offer got its last word.
    t38_over: BTreeSet<(Vec<u8>, SocketAddr)>,
    story: Vec<String>,
    fault: Option<String>,
}

impl Listener {
    fn is_repeated_answer(&self, parcel: &Parcel) -> bool {
        let Ok(message) = Message::parse(&parcel.bytes) else { return false };
        let Some((asked, tag)) = asked(&message, parcel.dst) else { return false };
        message.status() == Some(200) && message.sdp().is_some() && self.answers.contains_key(&(asked, tag))
    }

    fn hear(&mut self, parcel: &Parcel) {
        let Ok(message) = Message::parse(&parcel.bytes) else { return self.fault("what is sent cannot be read") };
        let first = String::from_utf8_lossy(&parcel.bytes).lines().next().unwrap_or_default().to_owned();
        let sdp = message.sdp().map(Session::parse);
        let media: Vec<String> = sdp
            .iter()
            .flatten()
            .flat_map(|s| &s.media)
            .map(|m| format!("{}:{} {}", m.kind.as_str(), m.port, m.direction.as_str()))
            .collect();
        let cseq = message.cseq().map_or(0, |c| c.number);
        self.story.push(format!("{} -> {} {first} ({cseq}) {media:?}", parcel.src, parcel.dst));
        if self.exempt == Some(parcel.src) {
            return;
        }
        let sdp = match sdp.transpose() {
            Ok(sdp) => sdp,
            Err(why) => return self.fault(&format!("a description that cannot be read: {why}")),
        };
        if message.method() == Some(&Method::Ack) {
            self.last_ack = String::from_utf8_lossy(&parcel.bytes).into_owned();
        }
        match (message.method(), message.status()) {
            (Some(Method::Invite | Method::Update), _) => self.invite(parcel, &message, sdp),
            (Some(Method::Ack), _) => self.ack(parcel, &message),
            (None, Some(status)) if message.cseq().is_ok_and(|c| matches!(c.method, Method::Invite | Method::Update)) => {
                self.response(parcel, &message, status, sdp)
            }
            _ => {}
        }
    }

    fn invite(&mut self, parcel: &Parcel, message: &Message, sdp: Option<Session>) {
        let Some((asked, _)) = asked(message, parcel.src) else { return };
        if let Some(sdp) = &sdp {
            if self.lines.get(&asked.0).is_some_and(|had| sdp.media.len() < *had) {
                self.fault("media lines went away");
            }
            if sdp.t38().is_some() {
                let over = self.t38_over.contains(&(asked.0.clone(), parcel.src)) && !self.t38_offers.contains(&asked);
                if over && self.products.contains(&parcel.src) {
                    self.fault("T.38 is offered a second time");
                }
                self.t38_offers.insert(asked.clone());
            }
        }
        let before = self.offers.entry(asked).or_insert_with(|| sdp.clone());
        if *before != sdp {
            self.fault("one INVITE with two offers");
        }
    }

    fn response(&mut self, parcel: &Parcel, message: &Message, status: u16, sdp: Option<Session>) {
        let Some((asked, tag)) = asked(message, parcel.dst) else { return };
        if status >= 200 && status != 491 && self.t38_offers.contains(&asked) {
            self.t38_over.insert((asked.0.clone(), parcel.dst));
        }
        let (200..300, Some(sdp)) = (status, sdp) else { return };
        let bytes = message.sdp().unwrap_or_default().to_vec();
        let before = self.answers.entry((asked.clone(), tag)).or_insert_with(|| bytes.clone()).clone();
        if before != bytes {
            self.fault("two answers to one offer");
        }
        if let Some(Some(offer)) = self.offers.get(&asked).cloned() {
            self.pair(&asked.0, &offer, &sdp);
        }
    }

    fn ack(&mut self, parcel: &Parcel, message: &Message) {
        let (Some((asked, tag)), Some(sdp)) = (asked(message, parcel.src), message.sdp()) else { return };
        let before = self.acks.entry((asked.clone(), tag.clone())).or_insert_with(|| sdp.to_vec());
        if before != sdp {
            self.fault("two answers to one late offer");
        }
        if matches!(self.offers.get(&asked), Some(Some(_))) {
            self.fault("an ACK with a description, to an INVITE with one");
        }
        let offer = self.answers.get(&(asked.clone(), tag)).and_then(|o| Session::parse(o).ok());
        if let (Some(offer), Ok(answer)) = (offer, Session::parse(sdp)) {
            self.pair(&asked.0, &offer, &answer);
        }
    }

    /// An answer has the lines of its offer, and opens none that was closed.
    fn pair(&mut self, call_id: &[u8], offer: &Session, answer: &Session) {
        if offer.media.len() != answer.media.len() {
            return self.fault("an answer with another number of media lines");
        }
        for (offered, answered) in offer.media.iter().zip(&answer.media) {
            if answered.is_open() && (!offered.is_open() || offered.kind != answered.kind) {
                self.fault("an answer opens what was not offered");
            }
            if answered.kind == Kind::Image
                && answered.is_open()
                && answered.t38.as_ref().map(|t| t.version) > offered.t38.as_ref().map(|t| t.version)
            {
                self.fault("an answer with a later version of T.38 than was offered");
            }
        }
        self.lines.insert(call_id.to_vec(), offer.media.len());
    }

    fn fault(&mut self, what: &str) {
        self.story.push(format!("^^^ {what}"));
        self.fault.get_or_insert_with(|| what.to_owned());
    }
}

/// The INVITE that a message is or belongs to, and the To tag.
fn asked(message: &Message, by: SocketAddr) -> Option<(Asked, Vec<u8>)> {
    let tag = message.to_tag().unwrap_or_default().to_vec();
    Some(((message.call_id().ok()?.to_vec(), message.cseq().ok()?.number, by), tag))
}
