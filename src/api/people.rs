//! People and their sessions, in the directory's API.

use crate::api::directory::BadField;
use crate::directory::{Person, Role, User};
use crate::number::Number;
use serde::{Deserialize, Serialize};

/// `POST /v1/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// The person's name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// The answer to a log-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAnswer {
    /// To be sent as `Authorization: Bearer TOKEN`.
    pub token: String,
    /// The person's name.
    pub user: String,
    /// `admin` or `member`.
    pub role: String,
    /// The session is over when it was not used for so long, in seconds.
    pub idle_s: u64,
}

/// `POST /v1/first-admin`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAdminRequest {
    /// The one-time token.
    pub token: String,
    /// The admin's name.
    pub user: String,
    /// The admin's password.
    pub password: String,
}

/// `POST /v1/me/password`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRequest {
    /// The password up to now.
    pub old: String,
    /// The password from now on.
    pub new: String,
}

/// `POST /v1/people`: makes or changes a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRequest {
    /// The name to log in with.
    pub user: String,
    /// The password; left out: that of the person who is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `admin` or `member`.
    pub role: String,
    /// The terminals' accounts that are this person's.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Numbers that are this person's beside those of the accounts.
    #[serde(default)]
    pub numbers: Vec<String>,
}

/// A row of `GET /v1/people`: never anything of the password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersonRow {
    /// The name.
    pub user: String,
    /// `admin` or `member`.
    pub role: String,
    /// The terminals' accounts.
    pub accounts: Vec<String>,
    /// Further numbers.
    pub numbers: Vec<String>,
}

/// `GET /v1/me`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeAnswer {
    /// Who.
    #[serde(flatten)]
    pub person: PersonRow,
    /// All numbers that are this person's, and how each stands.
    pub mine: Vec<MyNumber>,
}

/// A number of a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MyNumber {
    /// The terminal number.
    pub number: String,
    /// The full LAN telephone number.
    pub lan_number: String,
    /// `registered` or `away`.
    pub state: String,
    /// Seconds left of the registration.
    pub expires_in_s: Option<u32>,
}

impl PersonRequest {
    /// The person as the directory takes it, but for the password, which is hashed elsewhere.
    pub fn read(&self) -> Result<Person, BadField> {
        Ok(Person {
            user: User::parse(&self.user).map_err(|_| BadField("user"))?,
            password: Box::default(),
            role: Role::parse(&self.role).ok_or(BadField("role"))?,
            accounts: self.accounts.iter().map(|a| User::parse(a)).collect::<Result<_, _>>().map_err(|_| BadField("accounts"))?,
            numbers: self.numbers.iter().map(|n| Number::parse(n)).collect::<Result<_, _>>().map_err(|_| BadField("numbers"))?,
        })
    }
}

impl From<&Person> for PersonRow {
    fn from(p: &Person) -> Self {
        PersonRow {
            user: p.user.to_string(),
            role: p.role.as_str().into(),
            accounts: p.accounts.iter().map(User::to_string).collect(),
            numbers: p.numbers.iter().map(Number::to_string).collect(),
        }
    }
}
