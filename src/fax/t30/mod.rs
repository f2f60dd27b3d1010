//! T.30: the words fax machines exchange ([`frame`]), in plain words ([`words`]), and what an ear on the wire makes of them ([`observer`]).

pub mod frame;
pub mod observer;
pub mod words;
