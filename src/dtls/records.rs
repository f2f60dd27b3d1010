//! The record layer after the handshake, in the tick domain: opens and seals application data, with all its memory taken in `new`.
//!
//! It shares its keys with the engine that made the handshake, which may still have something to say under them (a repeated Finished, an
//! acknowledgement). A nonce must not be used twice, so the record numbers are parted: the engine's are below [`ENGINE_RECORDS`] (the
//! association sees to that), ours begin there. In DTLS 1.2 the explicit nonce is the record number, as RFC 9325 s.7.2.1 has it.
//!
//! What a datagram costs whoever forged it: one lookup in the replay window, then one AEAD check, and nothing is kept.

use super::Role;
use super::keys::{DirectionKeys, RecordHash, Secrets};
use crate::limits::DATAGRAM_BYTES_MAX;
use aws_lc_rs::aead::quic::{self, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Record numbers of the application's epoch that belong to the engine; ours begin behind them.
pub const ENGINE_RECORDS: u64 = 1024;
/// The most octets that sealing adds: header, explicit nonce and tag of DTLS 1.2.
pub const RECORD_OVERHEAD_MAX: usize = HEADER_12 + EXPLICIT_NONCE + TAG;

const HEADER_12: usize = 13;
/// Our headers in DTLS 1.3: 16 bits of record number and the length (RFC 9147 s.4).
const HEADER_13: usize = 5;
const EXPLICIT_NONCE: usize = 8;
const TAG: usize = 16;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const ACK: u8 = 26;
/// The epoch of application data.
const EPOCH_12: u64 = 1;
const EPOCH_13: u8 = 3;
/// Records sealed under one key: AES-GCM keeps its promises for 2^24.5 (RFC 9147 s.4.5.3). At 50 a second, two days.
const SEALED_MAX: u64 = 1 << 23;
/// alert level `fatal`, `warning`; `close_notify`, `bad_certificate` (RFC 5246 s.7.2).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const BAD_CERTIFICATE: [u8; 2] = [2, 42];

/// What was in a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// Records of application data that were handed on.
    pub data: u8,
    /// Records that were dropped: forged, repeated, too old, or not to be read.
    pub dropped: u8,
    /// There was something that is not application data: the whole datagram is for the association.
    pub for_association: bool,
    /// The peer has closed, or ended the association by an alert.
    pub closed: bool,
}

/// Opens and seals application data. `Send`; large, so it travels in a box.
pub struct Records {
    version: Version,
    write: Direction,
    read: Direction,
    next: u64,
    window: Window,
    closed: bool,
    dropped: u64,
    scratch: [u8; DATAGRAM_BYTES_MAX],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V12,
    V13,
}

struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    sn: Option<HeaderProtectionKey>,
}

impl Drop for Direction {
    fn drop(&mut self) {
        self.iv.fill(0);
        core::hint::black_box(&self.iv);
    }
}

impl Direction {
    fn new(hash: RecordHash, keys: &DirectionKeys) -> Direction {
        let (aead, header) = match hash {
            RecordHash::Sha256 => (&AES_128_GCM, &quic::AES_128),
            RecordHash::Sha384 => (&AES_256_GCM, &quic::AES_256),
        };
        let mut iv = [0; 12];
        iv[..keys.iv.len()].copy_from_slice(&keys.iv);
        let sn =
            (!keys.sn.is_empty()).then(|| HeaderProtectionKey::new(header, &keys.sn).expect("the schedule makes keys of the right length"));
        let key = UnboundKey::new(aead, &keys.key).expect("the schedule makes keys of the right length");
        Direction { key: LessSafeKey::new(key), iv, sn }
    }
    /// The nonce of DTLS 1.3 (RFC 8446 s.5.3).
    fn nonce_13(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(n, b)| *n ^= b);
        Nonce::assume_unique_for_key(nonce)
    }
    /// The nonce of DTLS 1.2 (RFC 5288 s.3).
    fn nonce_12(&self, explicit: &[u8]) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].copy_from_slice(explicit);
        Nonce::assume_unique_for_key(nonce)
    }
    /// Two octets to be laid over a record number (RFC 9147 s.4.2.3).
    fn mask(&self, ciphertext: &[u8]) -> Option<[u8; 2]> {
        let mask = self.sn.as_ref()?.new_mask(ciphertext.get(..16)?).ok()?;
        Some([mask[0], mask[1]])
    }
}

/// The last 64 record numbers, and which of them came (RFC 6347 s.4.1.2.6).
#[derive(Clone, Copy, Default)]
struct Window {
    /// One more than the highest number that came.
    next: u64,
    /// Bit 0 is `next - 1`.
    seen: u64,
}

impl Window {
    fn is_fresh(self, number: u64) -> bool {
        match self.next.checked_sub(number + 1) {
            None => true,
            Some(behind) => behind < 64 && self.seen >> behind & 1 == 0,
        }
    }
    fn note(&mut self, number: u64) {
        match self.next.checked_sub(number + 1) {
            None => {
                let ahead = number + 1 - self.next;
                self.seen = if ahead >= 64 { 0 } else { self.seen << ahead } | 1;
                self.next = number + 1;
            }
            Some(behind) if behind < 64 => self.seen |= 1 << behind,
            Some(_) => {}
        }
    }
    /// The whole number whose low `bits` are `low`: the nearest to the one that is next.
    fn nearest(self, low: u64, bits: u32) -> u64 {
        let span = 1u64 << bits;
        let base = self.next & !(span - 1);
        let candidates = [base.checked_sub(span), Some(base), base.checked_add(span)];
        let number = |b: u64| b | low;
        candidates.into_iter().flatten().map(number).min_by_key(|n| n.abs_diff(self.next)).unwrap_or(low)
    }
}

impl Records {
    /// The record layer behind a handshake, in our role.
    pub(super) fn new(secrets: &Secrets, role: Role) -> Records {
        let version = match secrets {
            Secrets::V12 { .. } => Version::V12,
            Secrets::V13 { .. } => Version::V13,
        };
        let (client, server) = secrets.directions();
        let (write, read) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        Records {
            version,
            write: Direction::new(secrets.hash(), &write),
            read: Direction::new(secrets.hash(), &read),
            next: ENGINE_RECORDS,
            window: Window::default(),
            closed: false,
            dropped: 0,
            scratch: [0; DATAGRAM_BYTES_MAX],
        }
    }

    /// Records that were dropped so far: forged, repeated, too old, or not to be read.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
    /// Whether one side has closed. Nothing is sealed or handed on after that.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether there is something for the association in it. What else is in it is used up.
    pub(super) fn peek(&mut self, datagram: &[u8]) -> bool {
        let closed = self.closed;
        let opened = self.open(datagram, &mut |_| {});
        // What closes is the engine's to report.
        self.closed = closed;
        opened.for_association || opened.closed
    }

    /// Takes a datagram apart; `data` is called with each payload.
    pub fn open(&mut self, datagram: &[u8], data: &mut impl FnMut(&[u8])) -> Opened {
        let mut opened = Opened::default();
        let mut rest = datagram;
        while !rest.is_empty() {
            let step = match self.version {
                Version::V12 => self.open_12(rest),
                Version::V13 => self.open_13(rest),
            };
            let Some((consumed, record)) = step else {
                opened.dropped = opened.dropped.saturating_add(1);
                self.dropped += 1;
                break;
            };
            match record {
                Record::Content(APPLICATION_DATA, n) if !self.closed => {
                    data(&self.scratch[..n]);
                    opened.data = opened.data.saturating_add(1);
                }
                Record::Content(ALERT, n) => {
                    // All alerts but `user_canceled` and, in DTLS 1.2, other warnings end the association.
                    let alert = [self.scratch[0], self.scratch[1]];
                    if n == 2 && (alert[1] == 0 || alert[0] == 2 || (self.version == Version::V13 && alert[1] != 90)) {
                        self.closed = true;
                        opened.closed = true;
                    }
                }
                Record::Content(..) | Record::Other => opened.for_association = true,
                Record::Dropped => {
                    opened.dropped = opened.dropped.saturating_add(1);
                    self.dropped += 1;
                }
            }
            rest = &rest[consumed..];
        }
        opened
    }

    fn open_12(&mut self, bytes: &[u8]) -> Option<(usize, Record)> {
        let header: &[u8; HEADER_12] = bytes.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let body = bytes.get(HEADER_12..HEADER_12 + length)?;
        let consumed = HEADER_12 + length;
        let number = u64::from_be_bytes([0, 0, header[5], header[6], header[7], header[8], header[9], header[10]]);
        let epoch = u64::from(u16::from_be_bytes([header[3], header[4]]));
        if epoch != EPOCH_12 || !matches!(header[0], APPLICATION_DATA | ALERT) {
            // The flight of a peer that did not hear the end of ours is of both epochs.
            let known = matches!(header[0], 20..=HANDSHAKE) && epoch <= EPOCH_12 && header[1] == 0xFE;
            return Some((consumed, if known { Record::Other } else { Record::Dropped }));
        }
        if header[1..3] != [0xFE, 0xFD] || length < EXPLICIT_NONCE + TAG || length > self.scratch.len() || !self.window.is_fresh(number) {
            return Some((consumed, Record::Dropped));
        }
        let plain = length - EXPLICIT_NONCE - TAG;
        let (explicit, sealed) = body.split_at(EXPLICIT_NONCE);
        let (ciphertext, tag) = sealed.split_at(plain);
        let aad = additional_12(header[0], number, plain);
        let nonce = self.read.nonce_12(explicit);
        if self.read.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut self.scratch[..plain]).is_err() {
            return Some((consumed, Record::Dropped));
        }
        self.window.note(number);
        Some((consumed, Record::Content(header[0], plain)))
    }

    fn open_13(&mut self, bytes: &[u8]) -> Option<(usize, Record)> {
        let first = *bytes.first()?;
        if first >> 5 != 1 {
            // In the clear: alerts prove nothing any more, handshakes may be a repeated flight.
            let length = usize::from(u16::from_be_bytes([*bytes.get(11)?, *bytes.get(12)?]));
            let consumed = HEADER_12 + length;
            return (bytes.len() >= consumed)
                .then_some((consumed, if matches!(first, HANDSHAKE | ACK) { Record::Other } else { Record::Dropped }));
        }
        let (wide, sized) = (first & 0b1000 != 0, first & 0b0100 != 0);
        let number_bytes = if wide { 2 } else { 1 };
        let header = 1 + number_bytes + if sized { 2 } else { 0 };
        if bytes.len() < header || first & 0b1_0000 != 0 {
            return None;
        }
        let length = if sized { usize::from(u16::from_be_bytes([bytes[header - 2], bytes[header - 1]])) } else { bytes.len() - header };
        let sealed = bytes.get(header..header + length)?;
        let consumed = header + length;
        if first & 0b11 != EPOCH_13 {
            return Some((consumed, Record::Other));
        }
        if length < TAG + 1 || length - TAG > self.scratch.len() {
            return Some((consumed, Record::Dropped));
        }
        let mask = self.read.mask(sealed)?;
        let mut clear = [0; HEADER_13];
        clear[..header].copy_from_slice(&bytes[..header]);
        clear[1..=number_bytes].iter_mut().zip(mask).for_each(|(b, m)| *b ^= m);
        let number = match wide {
            true => self.window.nearest(u64::from(u16::from_be_bytes([clear[1], clear[2]])), 16),
            false => self.window.nearest(u64::from(clear[1]), 8),
        };
        if !self.window.is_fresh(number) {
            // An engine's record may come late, and behind our own numbers: the association has a window for those.
            return Some((consumed, if number < ENGINE_RECORDS { Record::Other } else { Record::Dropped }));
        }
        let (ciphertext, tag) = sealed.split_at(length - TAG);
        let (nonce, plain) = (self.read.nonce_13(number), length - TAG);
        let aad = Aad::from(&clear[..header]);
        if self.read.key.open_separate_gather(nonce, aad, ciphertext, tag, &mut self.scratch[..plain]).is_err() {
            return Some((consumed, Record::Dropped));
        }
        self.window.note(number);
        // Content, its type, padding (RFC 8446 s.5.4).
        let Some(end) = self.scratch[..plain].iter().rposition(|b| *b != 0) else { return Some((consumed, Record::Dropped)) };
        Some((consumed, Record::Content(self.scratch[end], end)))
    }

    /// Puts a record with `payload` into `out`; `None` when it does not fit, one side has closed, or the key is used up. Octets of `out` used.
    pub fn seal(&mut self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.closed {
            return None;
        }
        self.seal_content(APPLICATION_DATA, payload, out)
    }
    /// Closes: puts `close_notify` into `out`. Nothing is sealed or handed on after that.
    pub fn close(&mut self, out: &mut [u8]) -> Option<usize> {
        if core::mem::replace(&mut self.closed, true) {
            return None;
        }
        self.seal_content(ALERT, &CLOSE_NOTIFY, out)
    }
    /// Ends the association because the peer is not who it should be: puts the alert into `out`.
    pub(super) fn refuse(&mut self, out: &mut [u8]) -> Option<usize> {
        self.closed = true;
        self.seal_content(ALERT, &BAD_CERTIFICATE, out)
    }

    fn seal_content(&mut self, content: u8, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let number = self.next;
        if number - ENGINE_RECORDS >= SEALED_MAX {
            return None;
        }
        let used = match self.version {
            Version::V12 => self.seal_12(content, number, payload, out)?,
            Version::V13 => self.seal_13(content, number, payload, out)?,
        };
        self.next += 1;
        Some(used)
    }

    fn seal_12(&self, content: u8, number: u64, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let total = HEADER_12 + EXPLICIT_NONCE + payload.len() + TAG;
        let out = out.get_mut(..total)?;
        let epoch_and_number = (EPOCH_12 << 48 | number).to_be_bytes();
        out[..3].copy_from_slice(&[content, 0xFE, 0xFD]);
        out[3..11].copy_from_slice(&epoch_and_number);
        out[11..HEADER_12].copy_from_slice(&u16::try_from(total - HEADER_12).ok()?.to_be_bytes());
        let (explicit, sealed) = out[HEADER_12..].split_at_mut(EXPLICIT_NONCE);
        explicit.copy_from_slice(&epoch_and_number);
        let (text, tag) = sealed.split_at_mut(payload.len());
        text.copy_from_slice(payload);
        let nonce = self.write.nonce_12(explicit);
        let made = self.write.key.seal_in_place_separate_tag(nonce, Aad::from(additional_12(content, number, payload.len())), text);
        tag.copy_from_slice(made.ok()?.as_ref());
        Some(total)
    }

    fn seal_13(&self, content: u8, number: u64, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let inner = payload.len() + 1;
        let total = HEADER_13 + inner + TAG;
        let out = out.get_mut(..total)?;
        let (header, sealed) = out.split_at_mut(HEADER_13);
        header[0] = 0b0010_1100 | EPOCH_13;
        header[1..3].copy_from_slice(&(number as u16).to_be_bytes());
        header[3..].copy_from_slice(&u16::try_from(inner + TAG).ok()?.to_be_bytes());
        let (text, tag) = sealed.split_at_mut(inner);
        text[..payload.len()].copy_from_slice(payload);
        text[payload.len()] = content;
        let made = self.write.key.seal_in_place_separate_tag(self.write.nonce_13(number), Aad::from(&*header), text);
        tag.copy_from_slice(made.ok()?.as_ref());
        let mask = self.write.mask(sealed)?;
        header[1] ^= mask[0];
        header[2] ^= mask[1];
        Some(total)
    }
}

enum Record {
    /// Of this type, and so many octets of the scratch.
    Content(u8, usize),
    /// For the association.
    Other,
    Dropped,
}

/// What is authenticated beside the content in DTLS 1.2 (RFC 5246 s.6.2.3.3).
fn additional_12(content: u8, number: u64, plain: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&(EPOCH_12 << 48 | number).to_be_bytes());
    aad[8..11].copy_from_slice(&[content, 0xFE, 0xFD]);
    aad[11..].copy_from_slice(&(plain as u16).to_be_bytes());
    aad
}

impl core::fmt::Debug for Records {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let version = if self.version == Version::V12 { "1.2" } else { "1.3" };
        write!(f, "Records(DTLS {version}, {} sealed, {} dropped)", self.next - ENGINE_RECORDS, self.dropped)
    }
}
