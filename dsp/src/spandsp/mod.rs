//! libspandsp behind a safe skin: a G3 fax machine ([`terminal`]) and a T.38 gateway ([`t38_gateway`]).
//!
//! Every object has one owner and is `Send`; C's callbacks only store into memory of that owner (bounded, no allocation, no panic) and
//! run only inside a call that holds `&mut`. What the C does not check is checked here or, for orders of packets, in
//! `tipring::fax::t38::filter`: bytes from a network never reach this module undecoded.

// C is called here and nowhere else in this package.
#![allow(unsafe_code)]

use core::fmt;

pub mod modems;
pub mod t38_gateway;
pub mod terminal;
pub mod tiff;

/// Why an object could not be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The C side found no memory.
    OutOfMemory,
    /// A path or an ident holds a NUL character or is too long for the C side.
    BadText(&'static str),
    /// No G3 modem has this rate.
    BadRate(u32),
    /// The C side refused this setting.
    Refused(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::OutOfMemory => f.write_str("no memory for a fax engine"),
            Error::BadText(what) => write!(f, "the {what} holds a NUL character or is too long"),
            Error::BadRate(bps) => write!(f, "no G3 fax modem runs at {bps} bit/s"),
            Error::Refused(what) => write!(f, "libspandsp refused to set {what}"),
        }
    }
}
impl std::error::Error for Error {}

// spandsp/t30.h, T30_SUPPORT_*.
const V27TER: i32 = 0x01;
const V29: i32 = 0x02;
const V17: i32 = 0x04;

/// The modems of a machine that does at most `max_bps`. V.27ter 2400 cannot be had without 4800, nor V.29 7200 without 9600.
fn modems_up_to(max_bps: u32) -> Result<i32, Error> {
    match max_bps {
        14400 | 12000 => Ok(V27TER | V29 | V17),
        9600 | 7200 => Ok(V27TER | V29),
        4800 | 2400 => Ok(V27TER),
        other => Err(Error::BadRate(other)),
    }
}
