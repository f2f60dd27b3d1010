//! The digit map: when has the caller dialled enough? Read RFC 3435 section 2.1.5 first; the notation is the one that people paste
//! from other gateways: `{ x+ | 2xxx | 0xx. | [2-9]11 | *xx | xxxxxT }`.
//!
//! A row is a run of places. `x` is a decimal digit, `0`-`9`, `*`, `#`, `A`-`D` themselves, `[2-57*]` one of a set, `.` after a place means
//! that it may come any number of times (none included), `+` once or more, and `T` at the end of a row asks for the short timer. Rows
//! stand between `|` in `{}`, `()` or bare; blanks do not matter.
//!
//! Three rules on top of RFC 3435, which is silent about what people have come to rely on:
//! - a row of fixed length completes at once unless another row of fixed length can still go on; an open row (`.`, `+`, `T`) beside it is
//!   the catch-all and does not delay it, else writing `2xxx` beside `x+` would be of no use;
//! - an emergency number is complete at its last digit whatever the rows say, and is never refused;
//! - `#` after something complete ends dialling and is not part of the number, unless a row has a place for it.

use crate::limits::{DIAL_STRING_MAX, DIGIT_MAP_ROWS_MAX, EMERGENCY_NUMBERS_MAX};
use crate::number::{CallerIdCodes, DialString};
use core::fmt;

/// A parsed digit map with the emergency numbers of the place. Matching it allocates nothing.
#[derive(Clone, Debug)]
pub struct DigitMap {
    rows: Vec<Row>,
    emergency: heapless::Vec<DialString, EMERGENCY_NUMBERS_MAX>,
    codes: CallerIdCodes,
}

/// What the map says of the keys dialled so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// No row begins like this: the caller gets reorder tone.
    NoMatch,
    /// The beginning of some row.
    Partial,
    /// Enough; place the call at once.
    Complete,
    /// Enough as soon as the short timer (`T`) has run out.
    CompleteAfterT,
    /// Enough if no more digits come within the inter-digit time.
    CompleteUnlessLonger,
}

/// Why a text is no digit map, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigitMapError {
    /// The character at fault, counted from 1. One past the end when something is missing there.
    pub at: usize,
    /// What is wrong with it.
    pub fault: DigitMapFault,
}

/// What can be wrong in a digit map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigitMapFault {
    /// Not part of the notation.
    BadCharacter(char),
    /// A row without places.
    EmptyRow,
    /// `.` or `+` with nothing before it to repeat.
    NothingToRepeat,
    /// `T` anywhere but at the end of a row.
    TimerNotLast,
    /// A set `[...]` that does not end, is empty, or holds something that is no key.
    BadSet,
    /// A range whose end comes before its start, or that is not of digits.
    BadRange,
    /// `{` or `(` without its partner, or text after it.
    Unbalanced,
    /// More places in a row than a dial string has keys.
    RowTooLong,
    /// More rows than the bound in `limits.rs`.
    TooManyRows,
    /// This emergency number (counted from 1 in `at`) is not 1 to 40 keys.
    BadEmergencyNumber,
    /// More emergency numbers than the bound in `limits.rs`.
    TooManyEmergencyNumbers,
}

impl fmt::Display for DigitMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.fault {
            DigitMapFault::BadCharacter(c) => write!(f, "digit map, character {at}: {c:?} has no meaning here"),
            DigitMapFault::EmptyRow => write!(f, "digit map, character {at}: a row without digits"),
            DigitMapFault::NothingToRepeat => write!(f, "digit map, character {at}: nothing before it to repeat"),
            DigitMapFault::TimerNotLast => write!(f, "digit map, character {at}: T may only end a row"),
            DigitMapFault::BadSet => write!(f, "digit map, character {at}: this set of keys is not closed, is empty or holds no key"),
            DigitMapFault::BadRange => write!(f, "digit map, character {at}: a range runs from a lower to a higher digit"),
            DigitMapFault::Unbalanced => write!(f, "digit map, character {at}: the brackets around the map do not pair"),
            DigitMapFault::RowTooLong => write!(f, "digit map, character {at}: a row has at most {DIAL_STRING_MAX} places"),
            DigitMapFault::TooManyRows => write!(f, "digit map, character {at}: more than {DIGIT_MAP_ROWS_MAX} rows"),
            DigitMapFault::BadEmergencyNumber => write!(f, "emergency number {at} is not made of 1 to {DIAL_STRING_MAX} keys"),
            DigitMapFault::TooManyEmergencyNumbers => write!(f, "more than {EMERGENCY_NUMBERS_MAX} emergency numbers"),
        }
    }
}
impl std::error::Error for DigitMapError {}

/// The emergency numbers of a country (ISO 3166 two-letter code, any case), the ones that reach help by voice. For a country
/// that is not listed, the two numbers that mobile networks everywhere understand (3GPP TS 22.101 clause 10.1.1).
pub fn emergency_numbers(country: &str) -> &'static [&'static str] {
    let mut code = [0u8; 2];
    if let [a, b] = *country.as_bytes() {
        code = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    }
    match &code {
        b"US" | b"CA" => &["911"],
        b"GB" | b"IE" => &["999", "112"],
        b"AU" => &["000", "112"],
        b"NZ" => &["111"],
        b"JP" => &["110", "118", "119"],
        b"CN" => &["110", "119", "120", "122"],
        b"KR" => &["112", "119"],
        b"IN" => &["112", "100", "101", "108"],
        b"BR" => &["190", "192", "193"],
        b"ZA" => &["112", "10111", "10177"],
        b"CH" => &["112", "117", "118", "144"],
        b"FR" => &["112", "15", "17", "18"],
        b"DE" => &["112", "110"],
        b"IT" => &["112", "113", "115", "118"],
        b"AT" => &["112", "122", "133", "144"],
        b"ES" | b"PT" | b"NL" | b"BE" | b"LU" | b"DK" | b"SE" | b"FI" | b"NO" | b"IS" | b"PL" | b"CZ" | b"SK" | b"HU" | b"RO" | b"BG"
        | b"GR" | b"HR" | b"SI" | b"EE" | b"LV" | b"LT" | b"CY" | b"MT" | b"TR" => &["112"],
        _ => &["112", "911"],
    }
}

/// The codes of a country that begin with a star, and so with no number. Elsewhere they are digits or vary by operator: the configuration
/// says them.
pub fn caller_id_codes(country: &str) -> CallerIdCodes {
    match country.to_ascii_uppercase().as_str() {
        "US" | "CA" => CallerIdCodes { withhold: DialString::parse("*67").ok(), show: DialString::parse("*82").ok() },
        _ => CallerIdCodes::default(),
    }
}

impl DigitMap {
    /// Parses the rows and the emergency numbers. Work and result are bounded by the length of `text` and the limits.
    pub fn parse(text: &str, emergency: &[&str]) -> Result<Self, DigitMapError> {
        let mut map = DigitMap { rows: parse_rows(text)?, emergency: heapless::Vec::new(), codes: CallerIdCodes::default() };
        for (i, number) in emergency.iter().enumerate() {
            let keys = DialString::parse(number).map_err(|_| DigitMapError { at: i + 1, fault: DigitMapFault::BadEmergencyNumber })?;
            map.emergency.push(keys).map_err(|_| DigitMapError { at: i + 1, fault: DigitMapFault::TooManyEmergencyNumbers })?;
        }
        Ok(map)
    }

    /// With codes that may stand in front of any number; what follows them is matched as if they were not there.
    pub fn with_codes(self, codes: CallerIdCodes) -> Self {
        DigitMap { codes, ..self }
    }

    /// What to do now that these keys were dialled. Work is at most rows x keys.
    pub fn verdict(&self, dialled: &DialString) -> Verdict {
        let (keys, code) = self.codes.split(dialled.as_str());
        let keys = keys.as_bytes();
        if self.is_emergency(dialled) {
            return Verdict::Complete;
        }
        let mut fixed_full = false;
        let mut fixed_longer = false;
        let mut timed_full = false;
        let mut open_full = false;
        let mut alive = false;
        for row in &self.rows {
            let places = row.follow(keys);
            let full = places >> row.places.len() & 1 == 1;
            let longer = places & ((1u64 << row.places.len()) - 1) != 0;
            alive |= longer;
            fixed_longer |= longer && !row.open && !row.timed;
            timed_full |= full && row.timed;
            open_full |= full && row.open && !row.timed;
            fixed_full |= full && !row.open && !row.timed;
        }
        alive |= code.is_none() && self.codes.may_follow(dialled.as_str());
        alive |= !keys.is_empty() && self.emergency.iter().any(|e| e.as_str().as_bytes().starts_with(keys)) || keys.is_empty();
        match () {
            () if fixed_full && !fixed_longer => Verdict::Complete,
            () if timed_full => Verdict::CompleteAfterT,
            () if fixed_full || open_full => Verdict::CompleteUnlessLonger,
            () if alive => Verdict::Partial,
            () => Verdict::NoMatch,
        }
    }

    /// True when these keys are one of the emergency numbers, with a code in front or not.
    pub fn is_emergency(&self, dialled: &DialString) -> bool {
        let (keys, _) = self.codes.split(dialled.as_str());
        self.emergency.iter().any(|e| e.as_str() == keys)
    }
}

/// One alternative: its places in order.
#[derive(Clone, Debug)]
struct Row {
    places: heapless::Vec<Place, DIAL_STRING_MAX>,
    /// Some place repeats.
    open: bool,
    /// Ends in `T`.
    timed: bool,
}

/// One place: which keys fit (one bit a key) and whether any number of them may come.
#[derive(Clone, Copy, Debug)]
struct Place {
    keys: u16,
    repeats: bool,
}

const DIGITS: u16 = 0x03ff;

fn bit_of(key: u8) -> u16 {
    match key {
        b'0'..=b'9' => 1 << (key - b'0'),
        b'*' => 1 << 10,
        b'#' => 1 << 11,
        b'A'..=b'D' => 1 << (12 + key - b'A'),
        b'a'..=b'd' => 1 << (12 + key - b'a'),
        _ => 0,
    }
}

impl Row {
    /// The places that may come next after `keys`, one bit each; bit `places.len()` is the end of the row.
    fn follow(&self, keys: &[u8]) -> u64 {
        let mut at = self.skip(1);
        for key in keys {
            let bit = bit_of(*key);
            let mut next = 0u64;
            for (i, place) in self.places.iter().enumerate() {
                if at >> i & 1 == 1 && place.keys & bit != 0 {
                    next |= if place.repeats { 1 << i } else { 1 << (i + 1) };
                }
            }
            at = self.skip(next);
        }
        at
    }

    /// A repeating place may be passed over.
    fn skip(&self, mut at: u64) -> u64 {
        for (i, place) in self.places.iter().enumerate() {
            if place.repeats && at >> i & 1 == 1 {
                at |= 1 << (i + 1);
            }
        }
        at
    }

    fn push(&mut self, place: Place, at: usize) -> Result<(), DigitMapError> {
        self.places.push(place).map_err(|_| DigitMapError { at, fault: DigitMapFault::RowTooLong })
    }
}

const _: () = assert!(DIAL_STRING_MAX < 64, "the places of a row and its end fit in one 64-bit set");

fn parse_rows(text: &str) -> Result<Vec<Row>, DigitMapError> {
    let mut chars = text.chars().enumerate().map(|(i, c)| (i + 1, c)).filter(|(_, c)| !c.is_whitespace()).peekable();
    let end = text.chars().count() + 1;
    let err = |at, fault| Err(DigitMapError { at, fault });
    let close = match chars.peek() {
        Some((_, '{')) => Some('}'),
        Some((_, '(')) => Some(')'),
        Some(_) | None => None,
    };
    if close.is_some() {
        chars.next();
    }
    let mut rows = Vec::new();
    let mut row = Row { places: heapless::Vec::new(), open: false, timed: false };
    let mut closed = false;
    loop {
        let (at, c) = chars.next().unwrap_or((end, '|'));
        if closed && at != end {
            return err(at, DigitMapFault::Unbalanced);
        }
        match c {
            '|' | '}' | ')' => {
                if c != '|' && close != Some(c) || at == end && close.is_some() && !closed {
                    return err(at, DigitMapFault::Unbalanced);
                }
                if !closed {
                    if row.places.is_empty() {
                        return err(at, DigitMapFault::EmptyRow);
                    }
                    if rows.len() == DIGIT_MAP_ROWS_MAX {
                        return err(at, DigitMapFault::TooManyRows);
                    }
                    rows.push(core::mem::replace(&mut row, Row { places: heapless::Vec::new(), open: false, timed: false }));
                }
                closed |= c != '|';
                if at == end {
                    return Ok(rows);
                }
            }
            _ if row.timed => return err(at, DigitMapFault::TimerNotLast),
            'x' | 'X' => row.push(Place { keys: DIGITS, repeats: false }, at)?,
            '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d' => row.push(Place { keys: bit_of(c as u8), repeats: false }, at)?,
            '[' => {
                let keys = parse_set(&mut chars, at)?;
                row.push(Place { keys, repeats: false }, at)?;
            }
            '.' | '+' => {
                let Some(last) = row.places.last_mut() else { return err(at, DigitMapFault::NothingToRepeat) };
                let keys = last.keys;
                if last.repeats {
                    return err(at, DigitMapFault::NothingToRepeat);
                }
                if c == '.' {
                    last.repeats = true;
                } else {
                    row.push(Place { keys, repeats: true }, at)?;
                }
                row.open = true;
            }
            'T' | 't' if row.places.is_empty() => return err(at, DigitMapFault::EmptyRow),
            'T' | 't' => row.timed = true,
            other => return err(at, DigitMapFault::BadCharacter(other)),
        }
    }
}

/// The keys between `[` and `]`; `start` is where the set opened.
fn parse_set(chars: &mut impl Iterator<Item = (usize, char)>, start: usize) -> Result<u16, DigitMapError> {
    let mut keys = 0u16;
    let mut last_digit: Option<u8> = None;
    let mut range_from: Option<u8> = None;
    loop {
        let Some((at, c)) = chars.next() else { return Err(DigitMapError { at: start, fault: DigitMapFault::BadSet }) };
        match c {
            ']' if keys == 0 || range_from.is_some() => return Err(DigitMapError { at, fault: DigitMapFault::BadSet }),
            ']' => return Ok(keys),
            '0'..='9' => {
                let digit = c as u8;
                if let Some(from) = range_from.take() {
                    if from > digit {
                        return Err(DigitMapError { at, fault: DigitMapFault::BadRange });
                    }
                    (from..=digit).for_each(|d| keys |= bit_of(d));
                    last_digit = None;
                } else {
                    keys |= bit_of(digit);
                    last_digit = Some(digit);
                }
            }
            '-' => match last_digit.take() {
                Some(from) => range_from = Some(from),
                None => return Err(DigitMapError { at, fault: DigitMapFault::BadRange }),
            },
            '*' | '#' | 'A'..='D' | 'a'..='d' => {
                if range_from.is_some() {
                    return Err(DigitMapError { at, fault: DigitMapFault::BadRange });
                }
                keys |= bit_of(c as u8);
                last_digit = None;
            }
            'x' | 'X' if range_from.is_none() => {
                keys |= DIGITS;
                last_digit = None;
            }
            _ => return Err(DigitMapError { at, fault: DigitMapFault::BadSet }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(map: &str, keys: &str) -> Verdict {
        let map = DigitMap::parse(map, &["112", "911"]).expect("the map of the test is well formed");
        map.verdict(&DialString::parse(keys).expect("keys"))
    }

    #[test]
    fn the_map_that_people_paste_tells_when_enough_was_dialled() {
        let map = "{ x+ | 2xxx | 3xxx | 0xx. | [2-9]11 | *xx | xxxxxT }";
        use Verdict::*;
        for (keys, expected) in [
            ("3", CompleteUnlessLonger),
            ("300", CompleteUnlessLonger),
            ("3001", Complete),
            ("411", Complete),
            ("211", CompleteUnlessLonger), // 2xxx is still possible
            ("01", CompleteUnlessLonger),
            ("*7", Partial),
            ("*72", Complete),
            ("*721", NoMatch),
            ("55555", CompleteAfterT),
            ("555555", CompleteUnlessLonger),
            ("#", NoMatch),
            ("A", NoMatch),
        ] {
            assert_eq!(verdict(map, keys), expected, "{keys}");
        }
    }

    #[test]
    fn emergency_numbers_are_complete_at_their_last_digit_whatever_the_rows_say() {
        for map in ["2xxx", "xxxxxxxT", "1xxxx|9xxxx", "112xxx | 911x. | x+"] {
            assert_eq!(verdict(map, "112"), Verdict::Complete, "{map}");
            assert_eq!(verdict(map, "911"), Verdict::Complete, "{map}");
            assert_ne!(verdict(map, "11"), Verdict::NoMatch, "{map}");
        }
        assert_eq!(verdict("2xxx", "113"), Verdict::NoMatch);
    }

    #[test]
    fn a_code_in_front_changes_nothing_of_what_follows() {
        let map = DigitMap::parse("2xxx | *xx | x+", &["911"]).expect("map").with_codes(caller_id_codes("us"));
        let verdict = |keys: &str| map.verdict(&DialString::parse(keys).expect("keys"));
        for (keys, expected) in [
            ("*", Verdict::Partial),
            ("*6", Verdict::Partial),
            ("*67", Verdict::Partial),
            ("*672", Verdict::CompleteUnlessLonger),
            ("*672001", Verdict::Complete),
            ("*823", Verdict::CompleteUnlessLonger),
            ("*67911", Verdict::Complete),
            ("*67*", Verdict::Partial),
            // A row of the map's own beside them.
            ("*98", Verdict::Complete),
            ("2001", Verdict::Complete),
        ] {
            assert_eq!(verdict(keys), expected, "{keys}");
        }
        let is_emergency = |keys: &str| map.is_emergency(&DialString::parse(keys).expect("keys"));
        assert!(is_emergency("*67911") && is_emergency("911") && !is_emergency("*67") && !is_emergency("*98911"));
        let without = DigitMap::parse("2xxx", &["911"]).expect("map");
        assert_eq!(without.verdict(&DialString::parse("*6").expect("keys")), Verdict::NoMatch, "the control");
    }

    #[test]
    fn a_dot_means_none_or_more_and_a_plus_one_or_more() {
        assert_eq!(verdict("0xx.", "0"), Verdict::Partial);
        assert_eq!(verdict("0xx.", "05"), Verdict::CompleteUnlessLonger);
        assert_eq!(verdict("0x+", "0"), Verdict::Partial);
        assert_eq!(verdict("0x+", "05"), Verdict::CompleteUnlessLonger);
        assert_eq!(verdict("9011x.T", "9011"), Verdict::CompleteAfterT);
        assert_eq!(verdict("8x.#", "8123#"), Verdict::CompleteUnlessLonger);
    }

    #[test]
    fn errors_name_the_place() {
        use DigitMapFault::*;
        for (text, at, fault) in [
            ("", 1, EmptyRow),
            ("{2xxx", 6, Unbalanced),
            ("2xxx}", 5, Unbalanced),
            ("{2xxx} 5", 8, Unbalanced),
            ("2xxx || 3", 7, EmptyRow),
            ("2x|+3", 4, NothingToRepeat),
            ("2x..", 4, NothingToRepeat),
            ("xT5", 3, TimerNotLast),
            ("[5-2]x", 4, BadRange),
            ("[2-", 1, BadSet),
            ("[]", 2, BadSet),
            ("<9:>x", 1, BadCharacter('<')),
        ] {
            assert_eq!(DigitMap::parse(text, &[]).map(|_| ()), Err(DigitMapError { at, fault }), "{text}");
        }
        assert_eq!(DigitMap::parse(&"x|".repeat(65), &[]).expect_err("too many").fault, TooManyRows);
        assert_eq!(DigitMap::parse(&"x".repeat(41), &[]).expect_err("too long").fault, RowTooLong);
        assert_eq!(DigitMap::parse("x", &["11z"]).expect_err("no number").fault, BadEmergencyNumber);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_parses_matches_without_panic(text in "[0-9xT.+|{}()#*A-D -]{0,60}|\\[[0-9*x-]{0,6}\\]?.{0,8}", keys in "[0-9*#A-D]{1,40}") {
            if let Ok(map) = DigitMap::parse(&text, &["112"]) {
                map.verdict(&DialString::parse(&keys).expect("keys"));
            }
        }

        #[test]
        fn what_a_row_completes_it_also_let_begin(keys in "[0-9]{4,8}") {
            let map = DigitMap::parse("xxxx | 5xxxxx | 77x. | 88xxxxT", &["112"]).expect("map");
            let mut dialled = DialString::new();
            let mut refused = false;
            for k in keys.bytes() {
                dialled.push(k).expect("short");
                let verdict = map.verdict(&dialled);
                prop_assert!(!refused || verdict == Verdict::NoMatch, "a refused beginning never completes: {dialled}");
                refused |= verdict == Verdict::NoMatch;
            }
        }
    }
}
