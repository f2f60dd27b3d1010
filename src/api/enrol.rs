//! Enrolment at the directory: a terminal without an account asks for one.

use serde::{Deserialize, Serialize};

/// `POST /v1/enrol`: a terminal without an account asks for one (C-11).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Its name, the same after every restart.
    pub instance: String,
    /// Its hardware address, for the operator's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The directory's enrolment key, where it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What it is told, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// The account.
    pub user: String,
    /// Its password.
    pub password: String,
}
