//! The zones that we speak for, and what the names in them mean.

use crate::directory::NumberPlan;
use crate::limits::NUMBER_DIGITS_MAX;
use crate::number::Number;
use core::fmt;

/// Digits of a name, in the order in which they are dialled.
pub(super) type Digits = heapless::String<{ 2 * NUMBER_DIGITS_MAX }>;

/// Bytes of a zone's name, so that any number fits in front of it: 255, less two for each of as many digits as [`Digits`] has.
const APEX_BYTES_MAX: usize = 255 - 4 * NUMBER_DIGITS_MAX;

/// The name of a zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Apex {
    /// Lower-case labels as on the wire, with the root.
    wire: Box<[u8]>,
    labels: usize,
}

/// A text is no name of a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadApex;

impl fmt::Display for BadApex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is no domain name of at most {APEX_BYTES_MAX} bytes")
    }
}
impl core::error::Error for BadApex {}

impl Apex {
    /// Reads a domain name; a dot at its end may stand or not.
    pub fn parse(text: &str) -> Result<Apex, BadApex> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut labels = 0;
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let fits = (1..=63).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
            if !fits {
                return Err(BadApex);
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|c| c.to_ascii_lowercase()));
            labels += 1;
        }
        wire.push(0);
        if wire.len() > APEX_BYTES_MAX { Err(BadApex) } else { Ok(Apex { wire: wire.into(), labels }) }
    }
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }
    pub(super) fn labels(&self) -> usize {
        self.labels
    }
}

impl fmt::Display for Apex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &*self.wire;
        while let Some((length, more)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, more) = more.split_at(usize::from(*length));
            write!(f, "{}.", label.escape_ascii())?;
            rest = more;
        }
        Ok(())
    }
}
impl fmt::Debug for Apex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apex({self})")
    }
}

/// A zone, and how its digits become numbers of the directory: `strip` goes from their front, then `add` comes to it. In `e164.arpa` as a
/// company sees it the office's own `44207946` is stripped; below a delegated `6.4.9.7.0.2.4.4.e164.arpa` nothing is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Its name.
    pub apex: Apex,
    /// Digits that every number in this zone begins with, and the directory's do not.
    pub strip: String,
    /// Digits that the directory's numbers begin with, and those of this zone do not.
    pub add: String,
}

/// What stands before a zone's name.
pub(super) enum Below {
    /// Nothing: it is the zone itself.
    Apex,
    /// `ns`, the name server.
    NameServer,
    /// Digits.
    Digits(Digits),
    /// Something that is no number.
    Other,
}

/// What digits are in a zone.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// As long as a number is; `beginning`: of a longer one, too.
    Number {
        /// It.
        number: Number,
        /// Longer numbers may begin like this.
        beginning: bool,
    },
    /// Numbers may begin like this.
    Beginning,
    /// No number is or begins like this.
    Nothing,
}

impl Zone {
    /// What digits of this zone mean in a directory of this plan.
    pub(super) fn meaning(&self, digits: &str, plan: &NumberPlan) -> Meaning {
        let Some(rest) = digits.strip_prefix(&*self.strip) else {
            return if self.strip.starts_with(digits) { Meaning::Beginning } else { Meaning::Nothing };
        };
        let (server, terminal_digits) = (plan.server().as_str(), plan.terminal_digits());
        let length = self.add.len() + rest.len();
        let mut wanted = Digits::new();
        if wanted.push_str(&self.add).and_then(|()| wanted.push_str(rest)).is_err() {
            return Meaning::Nothing;
        }
        let full = server.len() + terminal_digits;
        let beginning = length < terminal_digits || length < full && (wanted.starts_with(server) || server.starts_with(&*wanted));
        let number = match length == terminal_digits || length == full && wanted.starts_with(server) {
            true => Number::parse(&wanted).ok(),
            false => None,
        };
        match number {
            Some(number) => Meaning::Number { number, beginning },
            None if beginning => Meaning::Beginning,
            None => Meaning::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_zones_are_read_and_written() {
        for (text, written) in [("e164.arpa", "e164.arpa."), ("Enum.LAN.test.", "enum.lan.test."), ("1.2.3.e164.arpa", "1.2.3.e164.arpa.")]
        {
            assert_eq!(Apex::parse(text).unwrap().to_string(), written);
        }
        let long = ["a"; 90].join(".");
        for text in ["", ".", "a..b", "a b", "é.test", &"x".repeat(64), &long] {
            assert_eq!(Apex::parse(text), Err(BadApex), "{text}");
        }
    }

    #[test]
    fn digits_are_numbers_beginnings_or_nothing() {
        let plan = NumberPlan::new(Number::parse("1").unwrap(), 4).unwrap();
        let zone = |strip: &str, add: &str| Zone { apex: Apex::parse("enum.lan.test").unwrap(), strip: strip.into(), add: add.into() };
        let say = |zone: &Zone, digits: &str| match zone.meaning(digits, &plan) {
            Meaning::Number { number, beginning } => format!("{number}{}", if beginning { "+" } else { "" }),
            Meaning::Beginning => "+".into(),
            Meaning::Nothing => "-".into(),
        };
        let own = zone("", "");
        for (digits, means) in
            [("2", "+"), ("200", "+"), ("2001", "2001"), ("1200", "1200+"), ("12001", "12001"), ("22001", "-"), ("120011", "-")]
        {
            assert_eq!(say(&own, digits), means, "{digits}");
        }
        let office = zone("44207946", "");
        for (digits, means) in [("4", "+"), ("44207946", "+"), ("45", "-"), ("442079462", "+"), ("442079462001", "2001"), ("2001", "-")] {
            assert_eq!(say(&office, digits), means, "{digits}");
        }
        let last_three = zone("", "2");
        for (digits, means) in [("0", "+"), ("001", "2001"), ("0011", "-")] {
            assert_eq!(say(&last_three, digits), means, "{digits}");
        }
        assert_eq!(say(&zone("", ""), &"1".repeat(2 * NUMBER_DIGITS_MAX)), "-");
    }
}
