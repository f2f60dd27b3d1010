//! The contacts of a number in one column, as JSON: they are read and written together with their number and never alone.

use crate::clock::WallMs;
use crate::directory::{Binding, Instance};
use crate::sip::Transport;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

#[derive(Serialize, Deserialize)]
struct Column<'a> {
    uri: std::borrow::Cow<'a, str>,
    address: SocketAddr,
    transport: std::borrow::Cow<'a, str>,
    hidden: bool,
    instance: Option<std::borrow::Cow<'a, str>>,
    q: u16,
    expires_ms: i64,
    lease_s: u32,
    call: u64,
    cseq: u32,
}

/// The column of these contacts.
pub(super) fn write(bindings: &[Binding]) -> String {
    let columns: Vec<Column<'_>> = bindings
        .iter()
        .map(|b| Column {
            uri: (&*b.uri).into(),
            address: b.address,
            transport: b.transport.as_str().into(),
            hidden: b.hidden,
            instance: b.instance.as_ref().map(|i| i.as_str().into()),
            q: b.q,
            expires_ms: b.expires.0,
            lease_s: b.lease_s,
            call: b.order.0,
            cseq: b.order.1,
        })
        .collect();
    serde_json::to_string(&columns).expect("plain structs with string keys")
}

/// The contacts of a column; `None` if somebody edited it into something else.
pub(super) fn read(text: &str) -> Option<Box<[Binding]>> {
    let columns: Vec<Column<'_>> = serde_json::from_str(text).ok()?;
    let binding = |c: Column<'_>| {
        Some(Binding {
            uri: c.uri.into_owned().into(),
            address: c.address,
            transport: Transport::parse(c.transport.as_bytes())?,
            hidden: c.hidden,
            instance: c.instance.map(|i| Instance::parse(&i)).transpose().ok()?,
            q: c.q,
            expires: WallMs(c.expires_ms),
            lease_s: c.lease_s,
            order: (c.call, c.cseq),
        })
    };
    columns.into_iter().map(binding).collect()
}
