//! Everything that touches the outside: files, sockets, threads, the clock.

pub mod png;
