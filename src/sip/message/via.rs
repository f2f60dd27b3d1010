//! The Via header (RFC 3261 s.20.42) with `received` and `rport` (RFC 3581).

use super::uri::{Host, HostPart, Span, split_port};
use super::{Fault, Params};
use crate::sip::Transport;
use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

/// One Via value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS` or another word, upper case.
    pub transport: Cow<'static, str>,
    /// Who says it sent the message.
    pub host: Host,
    /// The port it says, 5060 (TLS: 5061) if none.
    pub port: Option<u16>,
    /// branch, rport, received and the rest.
    pub params: Params,
}

/// What a branch of RFC 3261 begins with; something must follow.
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// The pieces of a Via where they stand, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViaParts {
    transport: Span,
    host: HostPart,
    port: Option<u16>,
    params: Span,
}

impl ViaParts {
    pub(super) fn parse(value: &[u8]) -> Result<ViaParts, Fault> {
        const BAD: Fault = Fault::bad("Malformed Via");
        let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
        let sent = &value[..end];
        let rest = match sent {
            // As everybody writes it.
            [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', rest @ ..] => rest,
            _ => {
                let mut parts = sent.splitn(3, |b| *b == b'/');
                let (Some(name), Some(version), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return Err(BAD) };
                if !name.trim_ascii().eq_ignore_ascii_case(b"SIP") || version.trim_ascii() != b"2.0" {
                    return Err(BAD);
                }
                rest
            }
        };
        let rest = rest.trim_ascii_start();
        let at = end - rest.len();
        let space = rest.iter().position(u8::is_ascii_whitespace).ok_or(BAD)?;
        let transport = &rest[..space];
        if transport.is_empty() || !transport.iter().all(|b| super::is_token(*b)) {
            return Err(BAD);
        }
        let sent_by = rest[space..].trim_ascii_start();
        let host_at = end - sent_by.len();
        let (host, port) = split_port(sent_by.trim_ascii_end()).ok_or(BAD)?;
        let host = HostPart::parse(value, host_at, host_at + host.len()).ok_or(BAD)?;
        let params = Span::new(end, value.len());
        Params::check(params.of(value)).map_err(|_| BAD)?;
        Ok(ViaParts { transport: Span::new(at, at + space), host, port, params })
    }

    /// The Via with memory of its own; `value` is what it was read from.
    pub(super) fn own(&self, value: &[u8]) -> Via {
        let transport = match self.transport.of(value) {
            b"UDP" => Cow::Borrowed("UDP"),
            b"TCP" => Cow::Borrowed("TCP"),
            b"TLS" => Cow::Borrowed("TLS"),
            // A token is ASCII.
            other => Cow::Owned(other.iter().map(|b| char::from(b.to_ascii_uppercase())).collect()),
        };
        Via { transport, host: self.host.own(value), port: self.port, params: Params::of_checked(self.params.of(value)) }
    }
}

impl Via {
    /// Reads one value of Via.
    pub fn parse(value: &[u8]) -> Result<Via, Fault> {
        Ok(ViaParts::parse(value)?.own(value))
    }

    /// The branch, if it is one that alone names a transaction (RFC 3261 s.17.2.3).
    pub fn branch(&self) -> Option<&[u8]> {
        let branch = self.params.get("branch")?;
        let head = branch.get(..MAGIC_COOKIE.len())?;
        (head.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len()).then_some(branch)
    }

    /// Notes where the message came from: `received` where the host differs, and `rport` where it was asked for.
    pub fn stamp(&mut self, source: SocketAddr) {
        let asked = self.params.has("rport");
        if asked || self.host != Host::Addr(source.ip()) {
            self.params.set("received", source.ip().to_string());
        }
        if asked {
            self.params.set("rport", source.port().to_string());
        }
    }

    /// Writes it as [`Via::stamp`] would leave it.
    pub fn emit_stamped(&self, source: SocketAddr, out: &mut Vec<u8>) {
        let asked = self.params.has("rport");
        let mut received = asked || self.host != Host::Addr(source.ip());
        let mut rport = asked;
        let address = |out: &mut Vec<u8>| out.extend_from_slice(source.ip().to_string().as_bytes());
        self.emit_head(out);
        for (name, value) in self.params.iter() {
            out.push(b';');
            out.extend_from_slice(name);
            if received && name.eq_ignore_ascii_case(b"received") {
                out.push(b'=');
                address(out);
                received = false;
            } else if rport && name.eq_ignore_ascii_case(b"rport") {
                out.push(b'=');
                super::push_decimal(out, usize::from(source.port()));
                rport = false;
            } else if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        if received {
            out.extend_from_slice(b";received=");
            address(out);
        }
    }

    /// Where a response to the stamped Via goes (RFC 3261 s.18.2.2, RFC 3581 s.4).
    pub fn response_addr(&self, source: SocketAddr) -> SocketAddr {
        if self.params.has("rport") {
            return source;
        }
        SocketAddr::new(source.ip(), self.port_or_default())
    }

    /// The port said, or that of the transport (RFC 3261 s.18.2.2).
    pub fn port_or_default(&self) -> u16 {
        let transport = Transport::parse(self.transport.as_bytes()).unwrap_or_default();
        self.port.unwrap_or_else(|| transport.default_port())
    }

    /// Whether the sender is seen from here under the address that it gives itself.
    pub fn is_honest(&self, source: SocketAddr) -> bool {
        match self.host {
            Host::Addr(ip) => ip == source.ip() && self.port_or_default() == source.port(),
            Host::Name(_) => false,
        }
    }

    /// `host:port`, for comparing.
    pub fn sent_by(&self) -> String {
        let port = self.port_or_default();
        match &self.host {
            Host::Name(name) => format!("{name}:{port}"),
            Host::Addr(IpAddr::V6(a)) => format!("[{a}]:{port}"),
            Host::Addr(a) => format!("{a}:{port}"),
        }
    }

    /// The bytes of the value.
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.emit_head(&mut out);
        self.params.emit(&mut out);
        out
    }

    fn emit_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0/");
        out.extend_from_slice(self.transport.as_bytes());
        out.push(b' ');
        match &self.host {
            Host::Name(name) => out.extend_from_slice(name.as_bytes()),
            Host::Addr(IpAddr::V6(a)) => out.extend_from_slice(format!("[{a}]").as_bytes()),
            Host::Addr(a) => out.extend_from_slice(a.to_string().as_bytes()),
        }
        if let Some(port) = self.port {
            out.push(b':');
            super::push_decimal(out, usize::from(port));
        }
    }
}
