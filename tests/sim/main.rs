//! The whole product in virtual time (`tipring::lab::world`): calls, faxes, registrations and faults, each test from fixed seeds.

mod callers;
mod calls;
mod chaos;
mod emergencies;
mod faxes;
mod identity;
mod moves;
mod nats;
mod offers;
mod peers;
mod registrations;
mod stage;
mod terminals;
