//! Who is at the other end, and whether pages (or a voice) may go there (A-4, A-5, A-7, A-8).
//!
//! A call may stand with nobody proven: the proof arrives on it. What leaves this gateway meanwhile is handshakes, tones and T.30's control
//! frames. Images, and the voice of a call to a number whose gateway has a key, need a [`Clearance`], and only [`Check`] makes one.
//!
//! ```text
//!                    +-- the handshake showed the key on record ------------------> Cleared (Proven)
//!                    +-- it showed another ----------------------------------------> Wrong
//!   Expected::Key ---+-- no handshake in this session: the identifier is asked for
//!                    |        stated, the same, and the policy is content ---------> Cleared (Stated)
//!                    |        another, or none within the limit --------------------> Wrong / NoIdentifier
//!                    +-- neither within the limit (A-5) ----------------------------> NoIdentifier
//!   Expected::Record -- a fresh directory record, signed, that names no key -------> Cleared (Signed)
//!   Expected::Foreign - an outside number: sent and flagged; or the CSI it gave before is awaited (csi.rs)
//! ```
//! The room decides and says why, in words for the operator; it sends nothing and knows no SIP.

mod csi;

pub use csi::{Csi, judge, trailing_digits};

use crate::clock::{Instant, ms};
use crate::key::Fingerprint;
use core::fmt;

/// Leave for pages, and for the voice of a call that must be proven, to go out. Made by [`Check`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clearance {
    by: Proof,
}

impl Clearance {
    /// How the peer was verified.
    pub fn by(self) -> Proof {
        self.by
    }
    /// For a relay that stands in no call: benchmarks, fuzzing, tests of the fax leg. The calls have no use for it (`tests/tidy.rs`).
    pub fn without_a_call() -> Clearance {
        Clearance { by: Proof::FlaggedByPolicy }
    }
}

/// How a peer was verified, the strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Proof {
    /// It holds the key on record: the handshake showed it.
    Proven,
    /// The directory's signed record, fresh, leads there, and names no key.
    Signed,
    /// It states the identifier on record, by SIP.
    Stated,
    /// The machine's CSI is the number that was dialled, or the one it had before.
    CsiMatched,
    /// Not at all: the policy lets such calls through, and the record says so.
    FlaggedByPolicy,
}

impl Proof {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Proof::Proven => "proven",
            Proof::Signed => "signed",
            Proof::Stated => "stated",
            Proof::CsiMatched => "csi",
            Proof::FlaggedByPolicy => "flagged",
        }
    }
}

/// What is content for a peer of the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Peers {
    /// The key on record must be shown.
    #[default]
    Prove,
    /// Where no handshake is possible, stating the identifier on record is enough.
    State,
    /// Whoever answers.
    Flag,
}

/// What is content for an outside number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Foreign {
    /// Sent and flagged; a machine whose CSI has changed is refused.
    #[default]
    Flag,
    /// Its CSI must end like the number dialled (or be the one it had before).
    Csi,
    /// No page goes there.
    Refuse,
}

/// The rules of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// For numbers of the directory.
    pub peers: Peers,
    /// For outside numbers.
    pub foreign: Foreign,
    /// So long after the answer an identifier may take (A-5), in milliseconds.
    pub limit_ms: u64,
    /// The control of the safety tests: whoever answers is cleared, whatever it shows. Never on in a daemon: no configuration sets it.
    pub check_is_off: bool,
}

/// How long a page may wait for the CSI of the called machine, in milliseconds: T.30 sends an unanswered DCS three times, 3 s apart.
pub const CSI_LIMIT_MS: u64 = 8_000;
/// How long an identifier may take unless the configuration says otherwise.
pub const LIMIT_MS: u64 = 4_000;

impl Default for Policy {
    fn default() -> Self {
        Policy { peers: Peers::Prove, foreign: Foreign::Flag, limit_ms: LIMIT_MS, check_is_off: false }
    }
}

/// What is known of whom we call, before it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// The keys that are its number's: the one on record first, then one that it may still have during a rotation.
    Keys(Vec<Fingerprint>),
    /// A number of the directory without a key. `signed`: the directory has just said so under its own key.
    Record {
        /// See above.
        signed: bool,
    },
    /// The operator's own route, without a key: it leads where the operator says.
    ByHand,
    /// An outside number, reached through an account.
    Foreign,
    /// It called us: what leaves is what its machine polls.
    Caller,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing may leave yet.
    Waiting,
    /// It may.
    Cleared(Clearance),
    /// Somebody else is there.
    Wrong(Suspicion),
    /// No identifier came in time, or none can.
    NoIdentifier(Suspicion),
}

/// Why nothing leaves, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suspicion(pub String);

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The check of one peer in one call.
#[derive(Clone, Debug)]
pub struct Check {
    expected: Expected,
    policy: Policy,
    shown: Option<Fingerprint>,
    /// A handshake is part of the session that was agreed on.
    handshake: Option<bool>,
    stated: Option<Option<Fingerprint>>,
    due: Option<Instant>,
    over: bool,
    revoked: Vec<Fingerprint>,
    station: Station,
}

/// What is known of a machine behind an outside number.
#[derive(Clone, Debug, Default)]
struct Station {
    dialled: String,
    /// The CSI with which it answered before.
    known: Option<String>,
    /// What it says now.
    said: Option<Csi>,
}

impl Check {
    /// Nothing seen yet. `revoked`: keys that nobody may use any more.
    pub fn new(policy: Policy, expected: Expected, revoked: &[Fingerprint]) -> Check {
        let revoked = match &expected {
            Expected::Keys(keys) => keys.iter().filter(|k| revoked.contains(k)).copied().collect(),
            _ => Vec::new(),
        };
        Check { expected, policy, shown: None, handshake: None, stated: None, due: None, over: false, revoked, station: Station::default() }
    }
    /// The outside number that is called, and the CSI with which its machine answered before, if it has.
    pub fn of_station(mut self, dialled: String, known: Option<String>) -> Check {
        self.station = Station { dialled, known, said: None };
        self
    }

    /// The peer answered: the limit runs. `handshake`: whether what was agreed brings one.
    pub fn answered(&mut self, now: Instant, handshake: bool) {
        self.handshake = Some(handshake);
        // A machine speaks when it answers, which may be long after a person did.
        if self.expected != Expected::Foreign {
            self.due.get_or_insert(now + ms(self.policy.limit_ms));
        }
    }
    /// The handshake showed the key of who is there: it holds the private half of it.
    pub fn shown(&mut self, key: Fingerprint) {
        self.shown = Some(key);
    }
    /// Asked for its identifier, the peer stated this one, or none.
    pub fn stated(&mut self, key: Option<Fingerprint>) {
        self.stated = Some(key);
    }
    /// The called machine sent DIS, with or without a CSI.
    pub fn csi(&mut self, csi: Csi) {
        self.station.said = Some(csi);
    }
    /// The first page waits for leave to go: the limit for the CSI runs ([`CSI_LIMIT_MS`]).
    pub fn page_held(&mut self, now: Instant) {
        self.due.get_or_insert(now + ms(CSI_LIMIT_MS));
    }
    /// Pages wait for the CSI of the called machine.
    pub fn waits_for_csi(&self) -> bool {
        let asks = self.policy.foreign == Foreign::Csi || self.station.known.is_some();
        self.expected == Expected::Foreign && asks && self.policy.foreign != Foreign::Refuse && !self.policy.check_is_off
    }
    /// The CSI that the called machine gave, if it gave one.
    pub fn said(&self) -> Option<&str> {
        match &self.station.said {
            Some(Csi::Said(text)) if !text.trim().is_empty() => Some(text.trim()),
            Some(Csi::Said(_) | Csi::None) | None => None,
        }
    }
    /// A CSI to be kept for the next call to this number: none was, or another.
    pub fn new_csi(&self) -> Option<&str> {
        let foreign = self.expected == Expected::Foreign;
        self.said().filter(|said| foreign && self.station.known.as_deref() != Some(said))
    }
    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.over |= self.due.is_some_and(|due| due <= now);
    }
    /// When the limit is over. `None`: it does not run.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.over && self.verdict() == Verdict::Waiting)
    }

    /// Whether the identifier should be asked for by SIP: a key is expected, and no handshake will show one.
    pub fn wants_statement(&self) -> bool {
        matches!(self.expected, Expected::Keys(_))
            && self.handshake == Some(false)
            && self.stated.is_none()
            && self.policy.peers != Peers::Flag
    }

    /// Whether the voice, too, waits for the verdict: the number has a key, and whoever answers must show it.
    pub fn holds_voice(&self) -> bool {
        matches!(self.expected, Expected::Keys(_)) && self.policy.peers != Peers::Flag && !self.policy.check_is_off
    }

    /// The key that the handshake showed, if one did.
    pub fn key(&self) -> Option<Fingerprint> {
        self.shown
    }
    /// What was expected.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// What follows from all that.
    pub fn verdict(&self) -> Verdict {
        let cleared = |by| Verdict::Cleared(Clearance { by });
        if self.policy.check_is_off {
            return cleared(Proof::FlaggedByPolicy);
        }
        match &self.expected {
            Expected::Keys(keys) => self.of_keys(keys),
            Expected::Record { signed: true } => cleared(Proof::Signed),
            Expected::Record { signed: false } if self.policy.peers == Peers::Flag => cleared(Proof::FlaggedByPolicy),
            Expected::Record { signed: false } => Verdict::NoIdentifier(Suspicion(
                "the number has no key, and no fresh record of the directory says that it leads there".into(),
            )),
            Expected::ByHand | Expected::Caller => cleared(Proof::FlaggedByPolicy),
            Expected::Foreign if self.policy.foreign == Foreign::Refuse => Verdict::NoIdentifier(Suspicion(
                "an outside number cannot be verified, and the policy wants it ([identity] foreign)".into(),
            )),
            Expected::Foreign => self.of_machine(),
        }
    }

    /// A machine behind an outside number, by its CSI. One that sent none may still: its DIS is repeated with it.
    fn of_machine(&self) -> Verdict {
        let Station { dialled, known, said } = &self.station;
        let judged = |csi| judge(&self.policy, dialled, known.as_deref(), csi);
        match said {
            None if !self.waits_for_csi() => Verdict::Cleared(Clearance { by: Proof::FlaggedByPolicy }),
            None if !self.over => Verdict::Waiting,
            None => judged(&Csi::None),
            Some(csi) => match judged(csi) {
                Verdict::NoIdentifier(_) if !self.over => Verdict::Waiting,
                verdict => verdict,
            },
        }
    }

    fn of_keys(&self, keys: &[Fingerprint]) -> Verdict {
        let cleared = |by| Verdict::Cleared(Clearance { by });
        let expected = || keys.first().map_or_else(|| "a key".into(), ToString::to_string);
        if let Some(shown) = self.shown {
            return match keys.contains(&shown) {
                true if self.revoked.contains(&shown) => Verdict::Wrong(Suspicion(format!("its key {shown} is revoked"))),
                true => cleared(Proof::Proven),
                false if self.policy.peers == Peers::Flag => cleared(Proof::FlaggedByPolicy),
                false => Verdict::Wrong(Suspicion(format!("it showed the key {shown}; the number's is {}", expected()))),
            };
        }
        if self.policy.peers == Peers::Flag && self.handshake == Some(false) {
            return cleared(Proof::FlaggedByPolicy);
        }
        let Some(false) = self.handshake else {
            let late = || Suspicion(format!("it did not prove the key {} within {} ms", expected(), self.policy.limit_ms));
            return if self.over { Verdict::NoIdentifier(late()) } else { Verdict::Waiting };
        };
        match (self.stated, self.policy.peers) {
            (Some(Some(stated)), _) if !keys.contains(&stated) => {
                Verdict::Wrong(Suspicion(format!("it says that its key is {stated}; the number's is {}", expected())))
            }
            (Some(Some(stated)), Peers::State) if !self.revoked.contains(&stated) => cleared(Proof::Stated),
            (Some(Some(_)), Peers::Prove) => {
                Verdict::NoIdentifier(Suspicion(format!("it states the key {} and can not prove it: no DTLS in the session", expected())))
            }
            (Some(_), _) => Verdict::NoIdentifier(Suspicion("asked for its identifier, it gave none".into())),
            (None, _) if self.over => {
                Verdict::NoIdentifier(Suspicion(format!("asked for its identifier, it gave none within {} ms", self.policy.limit_ms)))
            }
            (None, _) => Verdict::Waiting,
        }
    }
}

#[cfg(test)]
mod tests;
