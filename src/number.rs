//! What people dial, parsed once at the edge.
//!
//! A [`DialString`] is what came from the keys of a phone, `*` and `#` included. A [`Number`] is what names a terminal: digits only
//! (LAN telephone number or E.164 without the plus). Below the edge there are only these two, never a bare string.

use crate::limits::{DIAL_STRING_MAX, NUMBER_DIGITS_MAX};
use core::fmt;

/// Keys dialled on a phone, in order: `0`-`9`, `*`, `#`, `A`-`D`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DialString(heapless::String<DIAL_STRING_MAX>);

/// Why a text is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// There is nothing in it.
    Empty,
    /// Longer than the bound in `limits.rs`.
    TooLong,
    /// This character is not a digit (of a dial string: not a key).
    BadCharacter(char),
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberError::Empty => write!(f, "the number is empty"),
            NumberError::TooLong => write!(f, "the number is longer than {NUMBER_DIGITS_MAX} digits"),
            NumberError::BadCharacter(c) => write!(f, "{c:?} is not a digit"),
        }
    }
}
impl std::error::Error for NumberError {}

impl DialString {
    /// An empty dial string.
    pub const fn new() -> Self {
        DialString(heapless::String::new())
    }
    /// Parses keys; letters `a`-`d` are taken as `A`-`D`.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let mut s = DialString::new();
        for c in text.chars() {
            let c = c.to_ascii_uppercase();
            if !matches!(c, '0'..='9' | '*' | '#' | 'A'..='D') {
                return Err(NumberError::BadCharacter(c));
            }
            s.push(c as u8).map_err(|()| NumberError::TooLong)?;
        }
        if s.is_empty() { Err(NumberError::Empty) } else { Ok(s) }
    }
    /// Adds a key (ASCII). `Err` when the string is full: the caller refuses the call, it does not forget digits.
    #[expect(clippy::result_unit_err, reason = "there is one way to fail, and the caller says what it means for the call")]
    pub fn push(&mut self, key: u8) -> Result<(), ()> {
        debug_assert!(matches!(key, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'));
        self.0.push(char::from(key)).map_err(|_| ())
    }
    /// The keys as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// True when nothing was dialled.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl fmt::Debug for DialString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DialString({})", self.0)
    }
}
impl fmt::Display for DialString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is dialled in front of a number so that the called side does not see who calls, or does, for this call alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallerIdCodes {
    /// Withholds the number (`*67`).
    pub withhold: Option<DialString>,
    /// Shows the number of a port that withholds it (`*82`).
    pub show: Option<DialString>,
}

impl CallerIdCodes {
    fn all(&self) -> impl Iterator<Item = (&str, bool)> {
        let withhold = self.withhold.iter().map(|code| (code.as_str(), true));
        withhold.chain(self.show.iter().map(|code| (code.as_str(), false)))
    }
    /// What stands behind a code, and whether that code withholds the number. `None`: no code stands there.
    pub fn split<'a>(&self, keys: &'a str) -> (&'a str, Option<bool>) {
        let behind = |(code, withholds): (&str, bool)| keys.strip_prefix(code).map(|rest| (rest, Some(withholds)));
        self.all().find_map(behind).unwrap_or((keys, None))
    }
    /// Whether these keys are the beginning of a code.
    pub fn may_follow(&self, keys: &str) -> bool {
        self.all().any(|(code, _)| code.len() > keys.len() && code.starts_with(keys))
    }
}

/// The number of a terminal: 1 to [`NUMBER_DIGITS_MAX`] decimal digits. Numbers are in the order of their texts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number {
    /// Zeroes behind the last digit, so that comparing these compares the texts.
    digits: [u8; NUMBER_DIGITS_MAX],
    len: u8,
}

impl Number {
    /// Parses digits; a leading `+` and the visual separators of RFC 3966 (`-`, `.`, `(`, `)`) and spaces are dropped.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let mut number = Number { digits: [0; NUMBER_DIGITS_MAX], len: 0 };
        for (i, c) in text.char_indices() {
            match c {
                '0'..='9' => {
                    *number.digits.get_mut(usize::from(number.len)).ok_or(NumberError::TooLong)? = c as u8;
                    number.len += 1;
                }
                '+' if i == 0 => {}
                '-' | '.' | '(' | ')' | ' ' => {}
                other => return Err(NumberError::BadCharacter(other)),
            }
        }
        if number.len == 0 { Err(NumberError::Empty) } else { Ok(number) }
    }
    /// The digits as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.digits[..usize::from(self.len)]).expect("only ASCII digits are put in")
    }
}

/// Eight digits at a time: numbers are compared for every step of every look-up.
impl Ord for Number {
    fn cmp(&self, other: &Number) -> core::cmp::Ordering {
        let words = |n: &Number| -> [u64; 3] {
            let (words, _) = n.digits.as_chunks::<8>();
            [0, 1, 2].map(|i| words.get(i).map_or(0, |w| u64::from_be_bytes(*w)))
        };
        words(self).cmp(&words(other))
    }
}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
const _: () = assert!(NUMBER_DIGITS_MAX == 24, "three words of digits; a digit is never zero, so they tell lengths too");

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({})", self.as_str())
    }
}
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_drop_separators_and_refuse_letters() {
        assert_eq!(Number::parse("+44 (20) 7946-0000").map(|n| n.to_string()), Ok("442079460000".into()));
        assert_eq!(Number::parse("12a"), Err(NumberError::BadCharacter('a')));
        assert_eq!(Number::parse(""), Err(NumberError::Empty));
        assert_eq!(Number::parse(&"1".repeat(NUMBER_DIGITS_MAX + 1)), Err(NumberError::TooLong));
    }

    #[test]
    fn a_code_is_taken_off_the_front_once() {
        let code = |text| DialString::parse(text).ok();
        let codes = CallerIdCodes { withhold: code("*67"), show: code("*82") };
        assert_eq!(codes.split("*673001"), ("3001", Some(true)));
        assert_eq!(codes.split("*82911"), ("911", Some(false)));
        assert_eq!(codes.split("3001*67"), ("3001*67", None));
        assert_eq!(codes.split("*67*823001"), ("*823001", Some(true)));
        let beginnings = ["", "*", "*6", "*8", "*67", "6"].map(|keys| codes.may_follow(keys));
        assert_eq!(beginnings, [true, true, true, true, false, false]);
        assert_eq!(CallerIdCodes::default().split("*673001"), ("*673001", None));
    }

    #[test]
    fn a_dial_string_keeps_star_and_hash() {
        assert_eq!(DialString::parse("*21#").map(|d| d.to_string()), Ok("*21#".into()));
        assert_eq!(DialString::parse("2x"), Err(NumberError::BadCharacter('X')));
    }
}
