//! Configuration files: TOML, typed, and every problem named with file and line before anything runs.

pub mod directory;
pub mod error;
