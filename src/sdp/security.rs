//! Security attributes of SDP, typed: `crypto` (RFC 4568), `fingerprint` and `setup` (RFC 8122, RFC 4145, RFC 5763) and `tls-id`
//! (RFC 8842). They are read and kept; what is done with keys is decided elsewhere. ICE and whatever cannot be read stays as it stands.

use core::fmt;

/// Attributes that belong here, and to nobody else.
const NAMES: [&str; 9] = ["crypto", "fingerprint", "setup", "tls-id", "key-mgmt", "ice-ufrag", "ice-pwd", "candidate", "connection"];

/// One `a=crypto` (RFC 4568 s.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Names the line in the answer.
    pub tag: u32,
    /// `AES_CM_128_HMAC_SHA1_80`, ...
    pub suite: String,
    /// The key parameters (`inline:...|2^31|1:4`), several parted by `;`. A secret: never printed by `Debug`.
    pub keys: String,
    /// The session parameters behind them, as they stand.
    pub parameters: Option<String>,
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crypto({} {} <{} characters of key> {:?})", self.tag, self.suite, self.keys.len(), self.parameters)
    }
}

impl Crypto {
    fn parse(text: &str) -> Option<Crypto> {
        let mut words = text.split_whitespace();
        let (tag, suite, keys) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        let rest = words.collect::<Vec<_>>().join(" ");
        Some(Crypto { tag, suite: suite.into(), keys: keys.into(), parameters: (!rest.is_empty()).then_some(rest) })
    }
    fn line(&self) -> String {
        let rest = self.parameters.as_ref().map_or_else(String::new, |p| format!(" {p}"));
        format!("crypto:{} {} {}{rest}", self.tag, self.suite, self.keys)
    }
}

/// One `a=fingerprint` (RFC 8122 s.5): the hash of the certificate that the DTLS handshake must show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// `sha-256`, in small letters.
    pub hash: String,
    /// Its octets.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    fn parse(text: &str) -> Option<Fingerprint> {
        let (hash, digest) = text.split_once(char::is_whitespace)?;
        let octet = |pair: &str| (pair.len() == 2 && pair.is_ascii()).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
        let digest = digest.trim().split(':').map(octet).collect::<Option<Vec<u8>>>()?;
        (!hash.is_empty() && digest.len() <= 64).then(|| Fingerprint { hash: hash.to_ascii_lowercase(), digest })
    }
    fn line(&self) -> String {
        let digest: Vec<String> = self.digest.iter().map(|b| format!("{b:02X}")).collect();
        format!("fingerprint:{} {}", self.hash, digest.join(":"))
    }
}

/// `a=setup` (RFC 4145 s.4): who begins the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Setup {
    Active,
    Passive,
    ActPass,
    HoldConn,
}

impl Setup {
    const ALL: [(Setup, &'static str); 4] =
        [(Setup::Active, "active"), (Setup::Passive, "passive"), (Setup::ActPass, "actpass"), (Setup::HoldConn, "holdconn")];

    fn parse(word: &str) -> Option<Setup> {
        Setup::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(s, _)| *s)
    }
    /// The attribute's word.
    pub fn as_str(self) -> &'static str {
        Setup::ALL[self as usize].1
    }
    /// What answers it (RFC 5763 s.5: who is free to choose becomes the client).
    pub fn answer(self) -> Setup {
        match self {
            Setup::ActPass | Setup::Passive => Setup::Active,
            Setup::Active => Setup::Passive,
            Setup::HoldConn => Setup::HoldConn,
        }
    }
}

/// The security attributes of a media line, or of the session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Security {
    /// `a=crypto`, in the order of preference.
    pub crypto: Vec<Crypto>,
    /// `a=fingerprint`.
    pub fingerprints: Vec<Fingerprint>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=tls-id`.
    pub tls_id: Option<String>,
    /// ICE, MIKEY, and what could not be read: raw, without `a=`.
    pub other: Vec<String>,
}

impl Security {
    /// Whether an attribute of this name belongs here.
    pub(super) fn owns(name: &str) -> bool {
        NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
    /// How many attributes are kept.
    pub fn len(&self) -> usize {
        self.crypto.len()
            + self.fingerprints.len()
            + self.other.len()
            + usize::from(self.setup.is_some())
            + usize::from(self.tls_id.is_some())
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Takes an attribute that belongs here; `raw` is the whole of it.
    pub(super) fn take(&mut self, name: &str, value: &str, raw: &str) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "crypto" => match Crypto::parse(value) {
                Some(crypto) => self.crypto.push(crypto),
                None => self.other.push(raw.into()),
            },
            "fingerprint" => match Fingerprint::parse(value) {
                Some(fingerprint) => self.fingerprints.push(fingerprint),
                None => self.other.push(raw.into()),
            },
            "setup" if self.setup.is_none() && Setup::parse(value).is_some() => self.setup = Setup::parse(value),
            "tls-id" if self.tls_id.is_none() && !value.is_empty() => self.tls_id = Some(value.into()),
            _ => self.other.push(raw.into()),
        }
    }
    /// The attributes as we write them, without `a=`.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let crypto = self.crypto.iter().map(Crypto::line);
        let fingerprints = self.fingerprints.iter().map(Fingerprint::line);
        let setup = self.setup.map(|s| format!("setup:{}", s.as_str()));
        let tls_id = self.tls_id.iter().map(|id| format!("tls-id:{id}"));
        crypto.chain(fingerprints).chain(setup).chain(tls_id).chain(self.other.iter().cloned())
    }
}
