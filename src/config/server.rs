//! `directory.api` of a gateway: where its directory is asked. One server or several, by address or by name, in the clear or by HTTPS.

use crate::limits::DIRECTORIES_MAX;
use core::fmt;
use core::str::FromStr;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::net::{IpAddr, SocketAddr};

/// One directory's API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// A name or an address.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// By HTTPS.
    pub tls: bool,
}

/// Who serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// At this address.
    Address(IpAddr),
    /// Where this name leads; asked for anew at each connection.
    Name(String),
}

impl Server {
    /// In the clear, at this address.
    pub fn plain(at: SocketAddr) -> Server {
        Server { host: Host::Address(at.ip()), port: at.port(), tls: false }
    }
    /// What stands in `Host:` (RFC 9110 s.7.2).
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Address(ip) => SocketAddr::new(*ip, self.port).to_string(),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
    /// Whether what is said there can be read on the way.
    pub fn crosses_the_network_in_the_clear(&self) -> bool {
        let loopback = match &self.host {
            Host::Address(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost",
        };
        !self.tls && !loopback
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.tls { "https://" } else { "" }, self.authority())
    }
}

/// A text is no server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoServer;
impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not ADDRESS:PORT or https://HOST:PORT")
    }
}

impl FromStr for Server {
    type Err = NoServer;
    fn from_str(text: &str) -> Result<Server, NoServer> {
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(NoServer),
            None => (false, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Ok(at) = rest.parse::<SocketAddr>() {
            return Ok(Server { host: Host::Address(at.ip()), port: at.port(), tls });
        }
        let (name, port) = rest.rsplit_once(':').ok_or(NoServer)?;
        let is_label = |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let name = name.trim_end_matches('.');
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(is_label) {
            return Err(NoServer);
        }
        let port = port.parse().ok().filter(|p| *p != 0).ok_or(NoServer)?;
        Ok(Server { host: Host::Name(name.to_ascii_lowercase()), port, tls })
    }
}

/// One server or a list of them, tried in turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Servers(Vec<Server>);

impl Servers {
    /// All of them, the first first. At least one.
    pub fn all(&self) -> &[Server] {
        &self.0
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Server::to_string).collect::<Vec<_>>().join(", "))
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Servers, D::Error> {
        struct Listed;
        fn server<E: Error>(text: &str) -> Result<Server, E> {
            text.parse().map_err(|e| E::custom(format!("{text:?} {e}")))
        }
        impl<'de> Visitor<'de> for Listed {
            type Value = Servers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ADDRESS:PORT, https://HOST:PORT, or a list of them")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Servers, E> {
                Ok(Servers(vec![server(text)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Servers, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(server(&text)?);
                }
                match all.len() {
                    1..=DIRECTORIES_MAX => Ok(Servers(all)),
                    n => Err(A::Error::custom(format!("{n} directories: 1 to {DIRECTORIES_MAX}"))),
                }
            }
        }
        from.deserialize_any(Listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_they_are_written() {
        for (text, shown, tls) in [
            ("127.0.0.1:6080", "127.0.0.1:6080", false),
            ("http://127.0.0.1:6080/", "127.0.0.1:6080", false),
            ("https://[2001:db8::1]:6081", "https://[2001:db8::1]:6081", true),
            ("https://Directory.LAN.test.:6081/", "https://directory.lan.test:6081", true),
            ("directory:80", "directory:80", false),
        ] {
            let server: Server = text.parse().expect(text);
            assert_eq!((server.to_string().as_str(), server.tls), (shown, tls), "{text}");
        }
        for bad in ["", "lan.test", "https://lan.test", "ftp://a:1", "a:0", "a:x", "a b:1", "1.2.3:5", "https://u@h:1", "a..b:1", "a:1/x"] {
            assert_eq!(bad.parse::<Server>(), Err(NoServer), "{bad}");
        }
        let clear = |t: &str| t.parse::<Server>().expect("a server").crosses_the_network_in_the_clear();
        assert_eq!(["127.0.0.1:1", "localhost:1", "https://h:1", "h:1", "10.0.0.1:1"].map(clear), [false, false, false, true, true]);
    }
}
