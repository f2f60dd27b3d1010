//! What the directory remembers, and the records its state is the fold of.
//!
//! A [`Record`] says the whole new value of one row, so that writing it twice does no harm and the last one counts. The store keeps the
//! rows; [`super::Directory::apply`] turns records into state, at start as in service.

use super::contact::Binding;
use super::revocations::Revocation;
use super::servers::Server;
use super::settings::Settings;
use crate::clock::WallMs;
use crate::key::Fingerprint;
use crate::limits::{INSTANCE_BYTES_MAX, USER_BYTES_MAX};
use crate::number::Number;
use core::fmt;
use std::sync::Arc;

/// The name an account logs in with. One text is shared by all that name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(Arc<str>);

/// What tells one terminal (gateway, soft phone) from another for good: the same after a restart and at another address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(Box<str>);

/// A name was empty, too long, or has characters that no name has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadName;

impl User {
    /// Parses 1 to [`USER_BYTES_MAX`] letters, digits and `-_.+@`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"-_.+@".contains(&c);
        if text.is_empty() || text.len() > USER_BYTES_MAX || !text.bytes().all(fits) { Err(BadName) } else { Ok(User(text.into())) }
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl core::borrow::Borrow<str> for User {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Instance {
    /// Parses 1 to [`INSTANCE_BYTES_MAX`] printable ASCII characters without spaces (a `urn:uuid:` of RFC 5626, or any stable name).
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > INSTANCE_BYTES_MAX || !text.bytes().all(|c| c.is_ascii_graphic()) {
            Err(BadName)
        } else {
            Ok(Instance(text.into()))
        }
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads six hex bytes between `:` or `-`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split([':', '-']);
        let mut bytes = [0; 6];
        for b in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_hexdigit()))?;
            *b = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(bytes))
    }

    /// The hardware address in a phone's name: the node of a `urn:uuid:` of version 1, which RFC 5626 s.4.1 lets phones make from theirs. A node
    /// with the multicast bit was drawn at random (RFC 9562 s.6.10) and is none.
    pub fn in_name(name: &Instance) -> Option<Self> {
        let uuid = name.as_str().get(..9).filter(|p| p.eq_ignore_ascii_case("urn:uuid:")).and_then(|_| name.as_str().get(9..))?;
        let groups: Vec<&str> = uuid.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|g| g.len()).collect();
        if lengths != [8, 4, 4, 4, 12] || !groups[2].starts_with('1') || !groups[4].bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let node = u64::from_str_radix(groups[4], 16).ok()?.to_be_bytes();
        let mac: [u8; 6] = node[2..].try_into().ok()?;
        (mac[0] & 1 == 0).then_some(Mac(mac))
    }
}

/// What the equipment behind a number can do, as it said when it registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// A person can be talked to there.
    pub voice: bool,
    /// A fax machine stands there.
    pub fax: bool,
    /// The T.38 version its gateway speaks (`T38FaxVersion`), if any.
    pub t38_version: Option<u8>,
    /// Its gateway speaks SRTP.
    pub srtp: bool,
}

/// A number and where it is reached: the row of C-2's terminal control table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The terminal number, without the server's prefix.
    pub number: Number,
    /// The account that registered it.
    pub user: User,
    /// The terminal that the server picked this number for: it is kept for it for a while after it left, then given to others. `None`: the
    /// number was not picked.
    pub picked_for: Option<Instance>,
    /// The keys that gateways of this number proved or stated, so that a new one is noticed.
    pub keys: Box<[Fingerprint]>,
    /// Where it is reached, each with the end of its lease by the wall clock, which is read only at start, when there is no monotone clock
    /// to continue. None: away (the row then only remembers whose the number was).
    pub contacts: Box<[(Binding, WallMs)]>,
}

/// A number kept for a user (C-6), perhaps on one device only (C-7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// The number kept.
    pub number: Number,
    /// For whom.
    pub user: User,
    /// On which device only.
    pub mac: Option<Mac>,
}

/// Who may register. The password itself is nowhere: only what RFC 7616 calls H(A1), which is worth nothing in another realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name to log in with.
    pub user: User,
    /// The number that is this account's own.
    pub number: Option<Number>,
    /// H(A1) by algorithm.
    pub ha1: crate::digest::Ha1,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({} number {:?})", self.user, self.number)
    }
}

/// One row set or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A registration made, renewed, or (no contact) ended.
    Registration(Box<Registration>),
    /// A registration row forgotten altogether.
    Forgotten(Number),
    /// A number reserved.
    Reservation(Reservation),
    /// A number no longer reserved.
    Unreserved(Number),
    /// An account made or changed.
    Account(Account),
    /// An account removed.
    AccountRemoved(User),
    /// A person made or changed.
    Person(super::people::Person),
    /// A person removed.
    PersonRemoved(User),
    /// What a number's owner wants of it.
    Settings(Settings),
    /// The settings of a number are the usual ones again.
    SettingsRemoved(Number),
    /// Another directory.
    Server(Server),
    /// A directory, by its server number, is no longer known.
    ServerRemoved(Number),
    /// A key is worth nothing any more.
    Revoked(Revocation),
    /// It is good again; the serial of the list from then on.
    Unrevoked(Fingerprint, u64),
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )*};
}
as_text!(User, Instance);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name is empty, too long, or has characters that no name has")
    }
}
impl std::error::Error for BadName {}
