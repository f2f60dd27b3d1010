//! C-1: a LAN telephone number is the server's management number followed by the terminal's. How many digits each has is configured.

use crate::number::{Number, NumberError};

/// How numbers of this directory look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberPlan {
    server: Number,
    terminal_digits: usize,
}

impl NumberPlan {
    /// Numbers of `terminal_digits` digits at the server `server`. `Err` when both together are longer than any number.
    pub fn new(server: Number, terminal_digits: usize) -> Result<Self, NumberError> {
        if terminal_digits == 0 {
            return Err(NumberError::Empty);
        }
        if server.as_str().len() + terminal_digits > crate::limits::NUMBER_DIGITS_MAX {
            return Err(NumberError::TooLong);
        }
        Ok(NumberPlan { server, terminal_digits })
    }
    /// The server's management number.
    pub fn server(&self) -> &Number {
        &self.server
    }
    /// Digits of a terminal number.
    pub fn terminal_digits(&self) -> usize {
        self.terminal_digits
    }
    /// The terminal number that `dialled` means here: as it stands when it has a terminal's length, without the server's number when it
    /// has that in front; `None` when it names nothing of this server.
    pub fn terminal(&self, dialled: &Number) -> Option<Number> {
        let digits = dialled.as_str();
        if digits.len() == self.terminal_digits {
            return Some(dialled.clone());
        }
        let rest = digits.strip_prefix(self.server.as_str())?;
        if rest.len() == self.terminal_digits { Number::parse(rest).ok() } else { None }
    }
    /// The full LAN telephone number of a terminal number.
    pub fn full(&self, terminal: &Number) -> Number {
        Number::parse(&format!("{}{terminal}", self.server)).expect("the plan was checked to fit into a number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn req_c1_short_and_full_form_name_the_same_terminal_with_any_number_of_digits() {
        for (server, digits, short, full) in [("1", 4, "2001", "12001"), ("075", 3, "201", "075201"), ("9", 7, "0000001", "90000001")] {
            let plan = NumberPlan::new(number(server), digits).unwrap();
            assert_eq!(plan.terminal(&number(short)), Some(number(short)));
            assert_eq!(plan.terminal(&number(full)), Some(number(short)));
            assert_eq!(plan.full(&number(short)), number(full));
            assert_eq!(plan.terminal(&number(&short[1..])), None);
        }
        assert_eq!(NumberPlan::new(number("1"), 4).unwrap().terminal(&number("22001")), None, "another server's");
        assert!(NumberPlan::new(number("1"), 24).is_err() && NumberPlan::new(number("1"), 0).is_err());
    }
}
