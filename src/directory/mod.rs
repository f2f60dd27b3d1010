//! The number directory: which terminal number is where (C-1, C-2), for whom numbers are kept (C-6), and who may say so (D-2).
//!
//! It is the LAN telephone number server of requirement book C. [`Directory`] is the machine; whatever door a request comes through
//! (HTTP, SIP REGISTER, ENUM), it ends here. [`crate::digest`] checks who is asking; [`record`] is what is remembered.

pub mod bans;
pub mod contact;
pub mod logins;
pub mod people;
pub mod plan;
pub mod record;
pub mod referral;
pub mod registrar;
pub mod revocations;
mod rows;
pub mod servers;
pub mod sessions;
pub mod settings;
pub mod station_keys;

pub use contact::{Binding, Facts};
pub use people::{Person, Role};
pub use plan::NumberPlan;
pub use record::{Account, Capabilities, Instance, Mac, Record, Registration, Reservation, User};
pub use registrar::{Asker, Decision, Directory, Policy, Proof, Refusal, Register, Request, Response};
pub use servers::Server;
pub use settings::{Disclosure, Fixed, Ring, Settings};
