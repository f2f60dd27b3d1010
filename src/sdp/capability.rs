//! Capability sets (RFC 3407): what a side could do, said beside what it does. T.38 Annex D and V.152 lean on them: a gateway whose call
//! begins as audio says here that it could carry the fax as T.38.

use super::{Kind, Proto};

/// One `a=cdsc` with the `a=cpar` lines behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capability {
    /// The number of its first format; each further one counts one up.
    pub number: u16,
    /// What.
    pub kind: Kind,
    /// How.
    pub proto: Proto,
    /// Payload types or formats, as they stand.
    pub formats: Vec<String>,
    /// The values of `a=cpar`: whole lines such as `a=fmtp:96 0-16`.
    pub parameters: Vec<String>,
}

/// The capability set of the session or of a media line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// `a=sqn`, which counts the sets that were sent.
    pub sqn: Option<u8>,
    /// In the order of their numbers.
    pub list: Vec<Capability>,
}

impl Capabilities {
    /// What this names can do: kinds, protos and formats, numbered from 1.
    pub fn of(entries: &[(Kind, Proto, Vec<String>)]) -> Capabilities {
        let mut number = 1;
        let list = entries.iter().map(|(kind, proto, formats)| {
            let capability =
                Capability { number, kind: kind.clone(), proto: proto.clone(), formats: formats.clone(), parameters: Vec::new() };
            number += formats.len() as u16;
            capability
        });
        Capabilities { sqn: Some(0), list: list.collect() }
    }
    /// How many attributes are kept.
    pub fn len(&self) -> usize {
        self.list.iter().map(|c| 1 + c.parameters.len()).sum::<usize>() + usize::from(self.sqn.is_some())
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether it says that T.38 over UDPTL can be done.
    pub fn has_t38(&self) -> bool {
        let t38 =
            |c: &Capability| c.kind == Kind::Image && c.proto == Proto::Udptl && c.formats.iter().any(|f| f.eq_ignore_ascii_case("t38"));
        self.list.iter().any(t38)
    }
    /// Takes one attribute; false if it is none of these or cannot be read.
    pub(super) fn take(&mut self, name: &str, text: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "sqn" => match text.trim().parse() {
                Ok(n) => {
                    self.sqn = Some(n);
                    true
                }
                Err(_) => false,
            },
            "cdsc" => match read(text) {
                Some(capability) => {
                    self.list.push(capability);
                    true
                }
                None => false,
            },
            "cpar" => match self.list.last_mut() {
                Some(last) if !text.trim().is_empty() => {
                    last.parameters.push(text.trim().into());
                    true
                }
                Some(_) | None => false,
            },
            _ => false,
        }
    }
    /// The attributes as we write them, without `a=`.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.sqn.iter().map(|n| format!("sqn: {n}")).collect();
        for c in &self.list {
            lines.push(format!("cdsc: {} {} {} {}", c.number, c.kind.as_str(), c.proto.as_str(), c.formats.join(" ")));
            lines.extend(c.parameters.iter().map(|p| format!("cpar: {p}")));
        }
        lines
    }
}

fn read(text: &str) -> Option<Capability> {
    let mut words = text.split_whitespace();
    let (number, kind, proto) = (words.next()?.parse().ok()?, Kind::parse(words.next()?), Proto::parse(words.next()?));
    let formats: Vec<String> = words.map(Into::into).collect();
    let fits = !formats.is_empty() && formats.len() <= super::SDP_FORMATS_MAX;
    fits.then_some(Capability { number, kind, proto, formats, parameters: Vec::new() })
}
