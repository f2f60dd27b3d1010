//! What the daemons and their callers say to each other in JSON: plain request and answer types, and nothing else. Core types are not
//! serialisable; they are converted here.

pub mod directory;
pub mod enrol;
pub mod gateway;
pub mod keys;
pub mod numbers;
pub mod people;
pub mod revocations;

use serde::{Deserialize, Serialize};

/// What comes with every refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

/// An error, for programs and for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs: does not change.
    pub code: String,
    /// For people.
    pub message: String,
}
