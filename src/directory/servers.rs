//! The server management table (C-3): which directory has the numbers that begin with which server number. A look-up of such a number is
//! answered with that directory's address, never carried there: one step, however many directories there are.

use crate::key::Fingerprint;
use crate::number::Number;
use std::collections::BTreeMap;

/// Another directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its server management number.
    pub number: Number,
    /// Digits of its terminal numbers.
    pub terminal_digits: u8,
    /// Its SIP door, `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`, with `;transport=..` where it is not UDP.
    pub sip: Box<str>,
    /// Its API, `https://HOST:PORT` or `ADDRESS:PORT`.
    pub api: Option<Box<str>>,
    /// The one certificate that its API shows by HTTPS, for those whom we send there. Without it they go by the authorities that they trust.
    pub fingerprint: Option<Fingerprint>,
    /// The secret shared with it, under which referrals are signed, so that it answers those whom we send.
    pub secret: Option<Box<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_number: BTreeMap<Number, Server>,
}

impl Servers {
    pub fn put(&mut self, server: Server) {
        self.by_number.insert(server.number.clone(), server);
    }
    pub fn remove(&mut self, number: &Number) -> bool {
        self.by_number.remove(number).is_some()
    }
    pub fn get(&self, number: &Number) -> Option<&Server> {
        self.by_number.get(number)
    }
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.by_number.values()
    }
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whose number this is: the longest server number in front that leaves a terminal's digits.
    pub fn owner(&self, number: &Number) -> Option<&Server> {
        let digits = number.as_str();
        let of = |len: usize| {
            let server = self.by_number.get(&Number::parse(&digits[..len]).ok()?)?;
            (usize::from(server.terminal_digits) == digits.len() - len).then_some(server)
        };
        (1..digits.len()).rev().find_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn req_c3_a_number_is_the_longest_server_numbers_that_leaves_a_terminal() {
        let number = |text: &str| Number::parse(text).unwrap();
        let mut servers = Servers::default();
        for (n, terminal_digits) in [("2", 4), ("21", 4), ("21", 3), ("3", 7)] {
            servers.put(Server { number: number(n), terminal_digits, sip: n.into(), api: None, fingerprint: None, secret: None });
        }
        let whose = |n: &str| servers.owner(&number(n)).map(|s| s.number.to_string());
        assert_eq!(servers.len(), 3, "the second entry of 21 took the place of the first");
        for (n, server) in
            [("21234", Some("21")), ("22345", Some("2")), ("212345", None), ("31234567", Some("3")), ("3123", None), ("2", None)]
        {
            assert_eq!(whose(n).as_deref(), server, "{n}");
        }
        assert!(servers.remove(&number("21")) && !servers.remove(&number("21")));
        assert_eq!(servers.owner(&number("21234")).map(|s| s.number.to_string()).as_deref(), Some("2"));
    }
}
