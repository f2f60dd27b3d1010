//! What the owner of a number (or the operator) wants of it: who may learn its address, which of its terminals ring, whether it takes a
//! second call, and the address of a terminal that is always on and never registers (D-14).

use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use std::net::SocketAddr;

/// Who may learn where a number is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Disclosure {
    /// Anybody who asks.
    Anyone,
    /// Who has an account here.
    #[default]
    Accounts,
    /// Nobody before its owner consented to the call; the owner and the operator excepted.
    Consent,
}

/// Which terminals of a number are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ring {
    /// The one that registered last: a gateway that registers a number takes it from where it was. SIP phones, which RFC 3261 lets register
    /// several contacts for one number, share it among themselves.
    #[default]
    Newest,
    /// All of them at once.
    All,
    /// One after the other, by preference.
    InOrder,
}

/// The address of a terminal that is always there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fixed {
    /// Where it takes SIP.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The key to expect there.
    pub fingerprint: Option<Fingerprint>,
}

/// The settings of one number; what is `None` is as the directory's policy says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The terminal number.
    pub number: Number,
    /// Who may learn its address.
    pub disclosure: Option<Disclosure>,
    /// Which of its terminals ring.
    pub ring: Option<Ring>,
    /// It takes a second call while it is busy (D-3).
    pub call_waiting: bool,
    /// It takes no call now.
    pub do_not_disturb: bool,
    /// Who looks it up is told whether it is busy.
    pub presence: bool,
    /// Where it is when nothing registered for it (D-14).
    pub fixed: Option<Fixed>,
}

impl Settings {
    /// What holds for a number without settings of its own.
    pub fn usual(number: Number) -> Settings {
        Settings { number, disclosure: None, ring: None, call_waiting: false, do_not_disturb: false, presence: false, fixed: None }
    }
}

macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),*) => {
        impl $name {
            /// As configurations and the API write it.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
            /// Reads [`Self::word`].
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}
words!(Disclosure: Anyone = "anyone", Accounts = "accounts", Consent = "consent");
words!(Ring: Newest = "newest", All = "all", InOrder = "in-order");
