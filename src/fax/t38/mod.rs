//! T.38: real-time fax over IP.
//!
//! A datagram comes in as UDPTL ([`udptl`]: order, redundancy, FEC), carries IFP packets ([`ifp`]: indicators and data), which pass the
//! [`filter`] (only legal orders reach an engine) and reach the [`relay::Engine`], which speaks modem to the line. The way out is the
//! same backwards. Read T.38 clauses 7 (IFP), 9 (UDPTL) and annex A (ASN.1) before changing anything here.

pub mod engine;
pub mod filter;
pub mod fuzz;
pub mod ifp;
pub mod relay;
pub mod rtp;
pub mod transport;
pub mod udptl;
