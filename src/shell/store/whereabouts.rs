//! The contacts of a number in one column, a line each: short to write, quick to read, and a person with `sqlite3` can make sense of it.
//!
//! ```text
//! 10.0.0.7:5060 UDP - 1000 3600 1796000000000 81985529216486895 17 urn:uuid:.. - sip:2001@10.0.0.7:5060
//! address  transport nat q lease_s expires_ms call cseq terminal facts uri
//! ```

use crate::clock::WallMs;
use crate::directory::record::{Capabilities, Instance, Mac};
use crate::directory::{Binding, Facts};
use crate::key::Fingerprint;
use crate::proof::{Succession, base64};
use crate::sip::Transport;
use core::fmt::Write as _;

/// The column of these contacts.
pub(super) fn write(contacts: &[(Binding, WallMs)]) -> String {
    let mut out = String::with_capacity(160 * contacts.len());
    for (i, (b, expires)) in contacts.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let nat = if b.hidden { "nat" } else { "-" };
        let name = b.instance.as_ref().map_or("-", Instance::as_str);
        let (call, cseq) = b.order;
        let _ = write!(out, "{} {} {nat} {} {} {} {call} {cseq} {name} ", b.address, b.transport.as_str(), b.q, b.lease_s, expires.0);
        match &b.facts {
            None => out.push('-'),
            Some(facts) => write_facts(&mut out, facts),
        }
        let _ = write!(out, " {}", b.uri);
    }
    out
}

fn write_facts(out: &mut String, facts: &Facts) {
    let c = facts.capabilities;
    out.push_str("api");
    for (is, word) in [(c.voice, ",voice"), (c.fax, ",fax"), (c.srtp, ",srtp")] {
        if is {
            out.push_str(word);
        }
    }
    if let Some(version) = c.t38_version {
        let _ = write!(out, ",t38={version}");
    }
    if let Some(key) = &facts.fingerprint {
        let _ = write!(out, ",key={}", hex(key));
    }
    if facts.proven {
        out.push_str(",proven");
    }
    for s in &facts.successions {
        let _ = write!(out, ",follows={}:{}:{}", base64::encode(&s.certificate), hex(&s.new), base64::encode(&s.signature));
    }
    if let Some(private) = facts.private {
        let _ = write!(out, ",private={private}");
    }
    if let Some(mac) = facts.mac {
        let _ = write!(out, ",mac={mac}");
    }
}

/// The contacts of a column; `None` if somebody edited it into something else.
pub(super) fn read(text: &str) -> Option<Box<[(Binding, WallMs)]>> {
    text.lines().map(read_line).collect()
}

fn read_line(line: &str) -> Option<(Binding, WallMs)> {
    let mut fields = line.splitn(11, ' ');
    let address = fields.next()?.parse().ok()?;
    let transport = Transport::parse(fields.next()?.as_bytes())?;
    let hidden = match fields.next()? {
        "nat" => true,
        "-" => false,
        _ => return None,
    };
    let q = fields.next()?.parse().ok().filter(|q| *q <= 1000)?;
    let lease_s = fields.next()?.parse().ok()?;
    let expires = WallMs(fields.next()?.parse().ok()?);
    let order = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let instance = match fields.next()? {
        "-" => None,
        name => Some(Instance::parse(name).ok()?),
    };
    let facts = match fields.next()? {
        "-" => None,
        facts => Some(Box::new(read_facts(facts)?)),
    };
    let uri = fields.next().filter(|u| !u.is_empty())?.into();
    Some((Binding { uri, address, transport, hidden, instance, q, lease_s, order, facts }, expires))
}

fn read_facts(text: &str) -> Option<Facts> {
    let mut facts = Facts { capabilities: Capabilities::default(), ..Facts::default() };
    let mut successions = Vec::new();
    let mut words = text.split(',');
    if words.next() != Some("api") {
        return None;
    }
    for word in words {
        match word.split_once('=') {
            None if word == "voice" => facts.capabilities.voice = true,
            None if word == "fax" => facts.capabilities.fax = true,
            None if word == "proven" => facts.proven = true,
            Some(("follows", statement)) => successions.push(read_succession(statement)?),
            None if word == "srtp" => facts.capabilities.srtp = true,
            Some(("t38", version)) => facts.capabilities.t38_version = Some(version.parse().ok()?),
            Some(("key", key)) => facts.fingerprint = Some(Fingerprint::parse(key)?),
            Some(("private", address)) => facts.private = Some(address.parse().ok()?),
            Some(("mac", mac)) => facts.mac = Some(Mac::parse(mac)?),
            None | Some(_) => return None,
        }
    }
    facts.successions = successions.into();
    Some(facts)
}

fn read_succession(text: &str) -> Option<Succession> {
    let mut parts = text.split(':');
    let certificate = base64::decode(parts.next()?)?;
    let new = Fingerprint::parse(parts.next()?)?;
    Some(Succession { certificate, new, signature: base64::decode(parts.next()?)? })
}

fn hex(key: &Fingerprint) -> String {
    let mut out = String::with_capacity(64);
    for b in key.0 {
        let _ = write!(out, "{b:02x}");
    }
    out
}

/// The column of a number's keys.
pub(super) fn write_keys(keys: &[Fingerprint]) -> String {
    keys.iter().map(hex).collect::<Vec<_>>().join(" ")
}

/// The keys of a column.
pub(super) fn read_keys(text: &str) -> Option<Box<[Fingerprint]>> {
    text.split_ascii_whitespace().map(Fingerprint::parse).collect()
}
