//! Where a phone is: Contact headers of a REGISTER read, contacts written (RFC 3261 s.10 and 20.10).

use super::Asked;
use crate::directory::registrar::Wish;
use crate::directory::{Binding, Instance};
use crate::limits::CONTACT_URI_BYTES_MAX;
use crate::sip::Transport;
use crate::sip::message::{Host, NameAddr, Scheme, Uri};
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

/// The contacts asked for.
pub(super) enum Contacts {
    /// `*`
    All,
    /// These.
    Some(Vec<Wish>),
}

/// Reads all contacts of a REGISTER, or says what is wrong with them.
pub(super) fn read(asked: &Asked<'_>) -> Result<Contacts, &'static str> {
    let expires = asked.message.headers.get("Expires").map(seconds);
    let values: Vec<&[u8]> = asked.message.headers.values("Contact").collect();
    if values.contains(&&b"*"[..]) {
        let alone = values.len() == 1 && expires == Some(Some(0));
        return if alone { Ok(Contacts::All) } else { Err("Contact * Needs Expires 0 and No Other") };
    }
    let wish = |value: &&[u8]| {
        let contact = NameAddr::parse(value).map_err(|f| f.words)?;
        let uri = &contact.uri;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err("Contact Is No SIP URI");
        }
        let text = core::str::from_utf8(uri.request_uri()).map_err(|_| "Malformed Contact")?;
        if text.len() > CONTACT_URI_BYTES_MAX {
            return Err("Contact Too Long");
        }
        let (address, hidden) = reached_at(uri, asked);
        // What cannot be read as a number counts as not said (RFC 3261 s.20.10 and 20.19).
        let lease_s = contact.params.get("expires").map_or(expires.flatten(), seconds);
        Ok(Wish {
            uri: text.into(),
            address,
            transport: if hidden { asked.src.transport } else { uri.transport().unwrap_or(default_transport(uri, asked)) },
            hidden,
            instance: contact.params.get("+sip.instance").and_then(instance),
            q: contact.params.get("q").and_then(thousandths).unwrap_or(1000),
            lease_s,
        })
    };
    values.iter().map(wish).collect::<Result<_, _>>().map(Contacts::Some)
}

/// UDP unless said (RFC 3261 s.19.1.2); a transport that we do not know (WebSocket) is reached the way that it came.
fn default_transport(uri: &Uri, asked: &Asked<'_>) -> Transport {
    if uri.params.has("transport") { asked.src.transport } else { Transport::Udp }
}

/// Where a contact is reached, and whether that is not what its URI says: the source of the REGISTER stands in for an address that is
/// worth nothing here.
fn reached_at(uri: &Uri, asked: &Asked<'_>) -> (SocketAddr, bool) {
    let source = asked.src.addr;
    let Some(Host::Addr(ip)) = uri.host else {
        // Names are not looked up here; the URI goes out as it came, the source is for those who need an address. `.invalid` names
        // (RFC 2606) are what browsers give that have none.
        let nowhere = matches!(&uri.host, Some(Host::Name(name)) if name.ends_with(".invalid"));
        return (source, nowhere);
    };
    let said = SocketAddr::new(ip, uri.port_or_default());
    let (here, there) = (source.ip().to_canonical(), ip.to_canonical());
    if here == there {
        return (said, false);
    }
    // It sends from another address than it believes to have: a NAT on the way. Otherwise the contact may well be another machine's.
    let believes = matches!(asked.via.host, Host::Addr(via) if via.to_canonical() == there);
    let hidden = there.is_unspecified() || (is_private(there) && (believes || !is_private(here)));
    if hidden { (source, true) } else { (said, false) }
}

/// An address that means nothing outside of its own network.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            // 100.64/10 is the network of carriers' NATs (RFC 6598).
            a.is_private() || a.is_loopback() || a.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(a) => a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local(),
    }
}

/// Seconds; more than fit are as many as fit. `None`: no number.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| core::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).unwrap_or(u32::MAX))
}

/// A qvalue: 0 to 1 with three decimals at most.
fn thousandths(text: &[u8]) -> Option<u16> {
    let text = core::str::from_utf8(text).ok()?.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1" | "") || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) || text.is_empty() {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    let q = if whole == "1" { 1000 + part } else { part };
    (q <= 1000).then_some(q)
}

/// `"<urn:uuid:..>"` (RFC 5626 s.4.1), its quotes already off.
fn instance(text: &[u8]) -> Option<Instance> {
    let text = core::str::from_utf8(text).ok()?.trim();
    let text = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
    // Some carry quotes or brackets inside, which would not come out again as they went in.
    if text.contains(['"', '<', '>', '\\']) { None } else { Instance::parse(text).ok() }
}

/// A contact as a REGISTER's answer lists it: as the phone wrote it, with what is left of its lease.
pub(super) fn listed(binding: &Binding, left_s: u32) -> String {
    let mut s = format!("<{}>;expires={left_s}", binding.uri);
    if binding.q < 1000 {
        let _ = write!(s, ";q=0.{:03}", binding.q);
    }
    if let Some(instance) = &binding.instance
        && !instance.as_str().contains(['"', '\\', '<', '>'])
    {
        let _ = write!(s, ";+sip.instance=\"<{instance}>\"");
    }
    s
}

/// A contact as a look-up's answer lists it: where it can be called from here, with this preference in thousandths.
pub(super) fn callable(binding: &Binding, q: u16, left_s: u32) -> String {
    let mut s = String::from("<");
    match Uri::parse(binding.uri.as_bytes()) {
        Ok(uri) if binding.hidden => {
            s.push_str(if uri.scheme == Scheme::Sips { "sips:" } else { "sip:" });
            if let Some(user) = uri.user().and_then(|u| core::str::from_utf8(u).ok()) {
                let _ = write!(s, "{user}@");
            }
            let _ = write!(s, "{}", binding.address);
            match binding.transport {
                Transport::Tcp => s.push_str(";transport=tcp"),
                Transport::Tls if uri.scheme == Scheme::Sip => s.push_str(";transport=tls"),
                Transport::Tls | Transport::Udp => {}
            }
        }
        _ => s.push_str(&binding.uri),
    }
    let _ = write!(s, ">;expires={left_s}");
    if q < 1000 {
        let _ = write!(s, ";q=0.{q:03}");
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_contacts_are_read_as_far_as_they_are_numbers() {
        assert_eq!([seconds(b"60"), seconds(b"99999999999"), seconds(b"-1"), seconds(b"")], [Some(60), Some(u32::MAX), None, None]);
        assert_eq!(["1", "0.7", "0.25", ".5", "1.000", "0"].map(|q| thousandths(q.as_bytes())), [1000, 700, 250, 500, 1000, 0].map(Some));
        assert_eq!(["1.1", "2", "0.1234", "", "-1", "0,5"].map(|q| thousandths(q.as_bytes())), [None; 6]);
        assert_eq!(instance(b"<urn:uuid:1>").unwrap().as_str(), "urn:uuid:1");
        assert!(instance(b"<\\\"x>").is_none());
    }
}
