//! The texts that are signed. One line a fact, `name: value`, in a fixed order, so that both sides write the same bytes from what they hold;
//! no value can hold a line end (numbers, addresses, hex and fingerprints have none, other words are escaped).

use crate::key::Fingerprint;
use core::fmt::Write as _;

/// A text under way.
pub struct Text(String);

impl Text {
    /// Begins a text of this kind.
    pub fn new(kind: &str) -> Text {
        Text(format!("tipring {kind} 1\n"))
    }

    /// One more fact.
    pub fn fact(mut self, name: &str, value: impl core::fmt::Display) -> Text {
        let value = value.to_string();
        let escaped = value.escape_default();
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name}: {escaped}");
        self
    }

    /// One more, if there is one; nothing there is a fact, too.
    pub fn maybe(self, name: &str, value: Option<impl core::fmt::Display>) -> Text {
        match value {
            Some(value) => self.fact(name, value),
            None => self.fact(name, "-"),
        }
    }

    /// The whole text.
    pub fn end(self) -> String {
        self.0
    }
}

/// `old` says that `new` follows it.
pub(super) fn succession(old: Fingerprint, new: Fingerprint) -> String {
    Text::new("succession").fact("old", old).fact("new", new).end()
}

/// A gateway proves to a directory that a key is its own. `realm` and `nonce` are the directory's of this log-in, so that no proof that was
/// overheard serves twice, or at another directory.
pub fn registration(realm: &str, nonce: &str, user: &str, instance: &str, wanted: Option<&str>, contact: &str, key: Fingerprint) -> String {
    Text::new("registration")
        .fact("realm", realm)
        .fact("nonce", nonce)
        .fact("account", user)
        .fact("instance", instance)
        .maybe("number", wanted)
        .fact("contact", contact)
        .fact("key", key)
        .end()
}
