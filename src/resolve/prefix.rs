//! Prefix routes: which dialled numbers may leave for an outside SIP server, and through which account (`[[route]]`).
//!
//! Nothing leaves without a row here. The row with the longest prefix wins; two rows with one prefix are a fault of the configuration.

use crate::digit_map::{DigitMap, Verdict};
use crate::id::AccountId;
use crate::limits::PREFIX_ROUTES_MAX;
use crate::number::{DialString, Number};
use core::fmt;

/// Whose account a route uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// This one.
    Account(AccountId),
    /// That of the port that calls.
    Own,
}

/// One row: numbers that begin with `prefix` lose `strip` digits, get `add` in front, and go this way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrefixRoute {
    /// Digits; empty for every number.
    pub prefix: String,
    /// Digits taken from the front.
    pub strip: usize,
    /// Put in front: digits, or `+` and digits.
    pub add: String,
    /// Through which account.
    pub way: Way,
}

/// A number on its way out: as the outside server is to see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outside {
    /// Through which account.
    pub way: Way,
    /// What is called there.
    pub number: String,
}

/// Why a row cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowFault {
    /// The prefix is not of digits.
    Prefix,
    /// `add` is not of digits (with or without a `+`).
    Add,
    /// More digits to take off than the prefix has.
    Strip,
    /// Another row has this prefix.
    Twice,
    /// The table is full.
    Full,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowFault::Prefix => write!(f, "a prefix is made of digits (an empty one means every number)"),
            RowFault::Add => write!(f, "what is added is made of digits, with or without a + before them"),
            RowFault::Strip => write!(f, "more digits to strip than the prefix has"),
            RowFault::Twice => write!(f, "another route has this prefix"),
            RowFault::Full => write!(f, "more than {PREFIX_ROUTES_MAX} routes"),
        }
    }
}
impl std::error::Error for RowFault {}

/// The table of one gateway.
#[derive(Clone, Debug, Default)]
pub struct PrefixRoutes {
    /// Longest prefix first.
    rows: Vec<PrefixRoute>,
    plan: Option<DigitMap>,
}

impl PrefixRoutes {
    /// No rows: nothing leaves.
    pub fn new() -> Self {
        PrefixRoutes::default()
    }
    /// The numbers that are the directory's to answer, even where a row names them too.
    pub fn set_plan(&mut self, plan: DigitMap) {
        self.plan = Some(plan);
    }
    /// Adds a row.
    pub fn add(&mut self, row: PrefixRoute) -> Result<(), RowFault> {
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        match () {
            () if !digits(&row.prefix) => Err(RowFault::Prefix),
            () if !digits(row.add.strip_prefix('+').unwrap_or(&row.add)) => Err(RowFault::Add),
            () if row.strip > row.prefix.len() => Err(RowFault::Strip),
            () if self.rows.iter().any(|r| r.prefix == row.prefix) => Err(RowFault::Twice),
            () if self.rows.len() >= PREFIX_ROUTES_MAX => Err(RowFault::Full),
            () => {
                let at = self.rows.partition_point(|r| r.prefix.len() >= row.prefix.len());
                self.rows.insert(at, row);
                Ok(())
            }
        }
    }
    /// Where a number goes by the rows; `None`: nowhere outside.
    pub fn find(&self, number: &Number) -> Option<Outside> {
        let digits = number.as_str();
        let row = self.rows.iter().find(|r| digits.starts_with(&r.prefix))?;
        let number = format!("{}{}", row.add, digits.get(row.strip..)?);
        // Nothing is left to call: the prefix alone was dialled.
        (!number.trim_start_matches('+').is_empty()).then_some(Outside { way: row.way, number })
    }
    /// Whether the directory is asked before the rows.
    pub fn is_of_the_plan(&self, number: &Number) -> bool {
        let (Some(plan), Ok(keys)) = (&self.plan, DialString::parse(number.as_str())) else { return false };
        matches!(plan.verdict(&keys), Verdict::Complete | Verdict::CompleteAfterT | Verdict::CompleteUnlessLonger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(prefix: &str, strip: usize, add: &str, account: u16) -> PrefixRoute {
        PrefixRoute { prefix: prefix.into(), strip, add: add.into(), way: Way::Account(AccountId(account)) }
    }
    fn number(s: &str) -> Number {
        Number::parse(s).unwrap()
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order_of_the_rows() {
        let rows = [row("0", 1, "", 0), row("00", 2, "+", 1), row("0049", 4, "0", 2)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut table = PrefixRoutes::new();
            order.iter().for_each(|i| table.add(rows[*i].clone()).unwrap());
            let goes = |n: &str| table.find(&number(n)).map(|o| (o.way, o.number));
            assert_eq!(goes("0301234"), Some((Way::Account(AccountId(0)), "301234".into())));
            assert_eq!(goes("00441234"), Some((Way::Account(AccountId(1)), "+441234".into())));
            assert_eq!(goes("00493012"), Some((Way::Account(AccountId(2)), "03012".into())));
            // Negative control: what no row names stays here, and so does a prefix with nothing behind it.
            assert_eq!(goes("2001"), None);
            assert_eq!(goes("0"), None);
            assert_eq!(goes("00"), None);
        }
    }

    #[test]
    fn rows_that_mean_nothing_are_refused() {
        let mut table = PrefixRoutes::new();
        assert_eq!(table.add(row("0x", 0, "", 0)), Err(RowFault::Prefix));
        assert_eq!(table.add(row("0", 2, "", 0)), Err(RowFault::Strip));
        assert_eq!(table.add(row("0", 1, "1+", 0)), Err(RowFault::Add));
        assert_eq!(table.add(row("0", 1, "", 0)), Ok(()));
        assert_eq!(table.add(row("0", 0, "", 1)), Err(RowFault::Twice));
    }

    #[test]
    fn the_plan_is_a_digit_map() {
        let mut table = PrefixRoutes::new();
        assert!(!table.is_of_the_plan(&number("2001")));
        table.set_plan(DigitMap::parse("[2-8]xxx", &[]).unwrap());
        assert!(table.is_of_the_plan(&number("2001")));
        assert!(!table.is_of_the_plan(&number("20011")) && !table.is_of_the_plan(&number("9001")) && !table.is_of_the_plan(&number("200")));
    }
}
