//! Fax: what T.30 machines say to each other ([`t30`]) and how it crosses a packet network ([`t38`]).

pub mod t30;
pub mod t38;
