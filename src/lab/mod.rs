//! The laboratory: the world around the product, made of seeds. Part of the product, since `tipring lab` and the tests run the same.

#[cfg(feature = "spandsp")]
pub mod attack;
pub mod city;
#[cfg(feature = "spandsp")]
pub mod fax;
pub mod hearing;
pub mod netem;
#[cfg(feature = "spandsp")]
pub mod takeover;
pub mod world;
