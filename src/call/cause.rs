//! Why calls end: one list, with the words for the record, the tone for the caller, the SIP status for the peer and the Q.850 cause.

use crate::line::Command as LineCommand;
use crate::resolve::NoRoute;

/// The end of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The caller hung up after the answer.
    CallerHungUp,
    /// The called side hung up after the answer.
    CalledHungUp,
    /// The caller gave up before the answer.
    CallerGaveUp,
    /// The called line is busy.
    Busy,
    /// It rang, and nobody answered within the limit.
    NoAnswer,
    /// The dialled string is no number.
    BadNumber,
    /// No route, and why.
    NoRoute(NoRoute),
    /// The port may not call outside now; why.
    NotAllowed(&'static str),
    /// No address is known of any server of this account.
    NoServer(String),
    /// The outside server does not take the account's user and password; with this status.
    LoginRefused(u16),
    /// The peer gateway did not answer at all.
    PeerSilent,
    /// The peer refused, with this status and reason.
    PeerRefused(u16, String),
    /// Nothing in the offer that both sides can do.
    NoCommonMedia,
    /// Somebody else is where the number led; what it showed, and what was expected.
    WrongIdentity(String),
    /// Whoever is there did not say, or could not prove, who it is; why.
    NoIdentity(String),
    /// The call is to be encrypted, and cannot be; why.
    NotEncrypted(String),
    /// The network went quiet in the middle of the call.
    MediaSilent(u64),
    /// A table of ours is full; which one.
    LimitReached(&'static str),
    /// An emergency call needed the line.
    Preempted,
    /// The device behind our port vanished.
    DeviceGone,
    /// The dialog ended for a reason of its own (in SIP's words).
    DialogEnded(String),
    /// The gateway is being shut down.
    ShuttingDown,
}

impl Cause {
    /// True for an end that users call a success, once the call was answered.
    pub fn is_normal(&self) -> bool {
        matches!(self, Cause::CallerHungUp | Cause::CalledHungUp)
    }

    /// True where we ended it ourselves: no keys, or no proof.
    pub fn is_for_want_of_trust(&self) -> bool {
        matches!(self, Cause::NotEncrypted(_) | Cause::WrongIdentity(_) | Cause::NoIdentity(_))
    }

    /// The sentence of the record.
    pub fn words(&self) -> String {
        match self {
            Cause::CallerHungUp => "the caller hung up".into(),
            Cause::CalledHungUp => "the called side hung up".into(),
            Cause::CallerGaveUp => "the caller gave up before the answer".into(),
            Cause::Busy => "the called line is busy".into(),
            Cause::NoAnswer => "it rang, nobody answered".into(),
            Cause::BadNumber => "what was dialled is no number".into(),
            Cause::NoRoute(why) => why.words().into(),
            Cause::NotAllowed(why) => (*why).into(),
            Cause::NoServer(account) => format!("no address is known of any server of account {account}"),
            Cause::LoginRefused(status) => format!("the server does not take the user and password of the account ({status})"),
            Cause::PeerSilent => "the peer gateway does not answer".into(),
            Cause::PeerRefused(status, reason) => format!("the peer refused: {status} {reason}"),
            Cause::NoCommonMedia => "nothing in the offer that both gateways can do".into(),
            Cause::WrongIdentity(why) => format!("the wrong machine answers, so nothing was sent: {why}"),
            Cause::NoIdentity(why) => format!("the machine that answers is not verified, so nothing was sent: {why}"),
            Cause::NotEncrypted(why) => format!("the call is to be encrypted, and cannot be: {why}"),
            Cause::MediaSilent(ms) => format!("nothing came from the network for {} s", ms / 1000),
            Cause::LimitReached(what) => format!("a table is full: {what}"),
            Cause::Preempted => "ended to make room for an emergency call".into(),
            Cause::DeviceGone => "the device behind the port vanished".into(),
            Cause::DialogEnded(words) => words.clone(),
            Cause::ShuttingDown => "the gateway was shut down".into(),
        }
    }

    /// Q.850 cause value.
    pub fn q850(&self) -> u8 {
        match self {
            Cause::CallerHungUp | Cause::CalledHungUp | Cause::CallerGaveUp | Cause::DialogEnded(_) => 16,
            Cause::Busy => 17,
            Cause::NoAnswer => 19,
            Cause::BadNumber => 28,
            Cause::NoRoute(NoRoute::Unknown) => 1,
            Cause::NoRoute(NoRoute::Away) => 20,
            Cause::NoRoute(NoRoute::Refused | NoRoute::Forged) => 21,
            Cause::NoRoute(NoRoute::DirectorySilent) => 3,
            Cause::NoRoute(NoRoute::Overloaded) | Cause::LimitReached(_) => 42,
            Cause::NotAllowed(_) | Cause::LoginRefused(_) => 21,
            Cause::NoServer(_) => 38,
            Cause::PeerSilent => 102,
            Cause::PeerRefused(status, _) => match status {
                404 => 1,
                480 => 20,
                486 | 600 => 17,
                403 | 603 => 21,
                488 | 606 => 65,
                503 => 42,
                _ => 127,
            },
            Cause::NoCommonMedia => 65,
            // "Call rejected": ours to reject. "Bearer capability not authorized" is 57.
            Cause::WrongIdentity(_) | Cause::NoIdentity(_) => 21,
            Cause::NotEncrypted(_) => 57,
            Cause::MediaSilent(_) => 41,
            Cause::Preempted => 8,
            Cause::DeviceGone => 27,
            Cause::ShuttingDown => 41,
        }
    }

    /// What an unanswered INVITE of the peer gets.
    pub fn sip_status(&self) -> u16 {
        match self {
            Cause::Busy => 486,
            Cause::NoAnswer | Cause::NoRoute(NoRoute::Away) => 480,
            Cause::BadNumber => 484,
            Cause::NoRoute(NoRoute::Unknown) => 404,
            Cause::NoRoute(NoRoute::Refused | NoRoute::Forged) | Cause::NotAllowed(_) => 403,
            Cause::NoCommonMedia | Cause::NotEncrypted(_) => 488,
            Cause::WrongIdentity(_) | Cause::NoIdentity(_) => 403,
            Cause::NoRoute(NoRoute::DirectorySilent | NoRoute::Overloaded)
            | Cause::LimitReached(_)
            | Cause::NoServer(_)
            | Cause::DeviceGone
            | Cause::ShuttingDown
            | Cause::Preempted => 503,
            Cause::CallerHungUp
            | Cause::CalledHungUp
            | Cause::CallerGaveUp
            | Cause::PeerSilent
            | Cause::LoginRefused(_)
            | Cause::PeerRefused(..)
            | Cause::MediaSilent(_)
            | Cause::DialogEnded(_) => 480,
        }
    }

    /// What the caller's line plays before the answer was there: busy for busy, reorder for everything that will not work on a
    /// second try of the same kind.
    pub fn tone(&self) -> LineCommand {
        match self {
            Cause::Busy | Cause::PeerRefused(486 | 600, _) => LineCommand::Busy,
            _ => LineCommand::Reorder,
        }
    }
}
