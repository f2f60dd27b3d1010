//! IP fragments put together again: long SIP messages and UDPTL with much redundancy come in pieces.
//!
//! Read RFC 791 clause 3.2 and RFC 8200 clause 4.5. Pieces may come in any order and more than once; of two that overlap the first counts. What never
//! becomes whole is counted. Bounded by [`DATAGRAMS_MAX`] and [`PIECES_MAX`]: the oldest gives way.

use core::net::IpAddr;

/// Datagrams in the making.
const DATAGRAMS_MAX: usize = 32;
/// Pieces of one datagram: 64 KiB in the smallest packets that any link carries.
const PIECES_MAX: usize = 128;
/// Bytes of an IP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// How long pieces wait for the rest, ns: RFC 8200 says 60 s.
const WAIT_NS: u64 = 60_000_000_000;

/// What pieces of one datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// From.
    pub source: IpAddr,
    /// To.
    pub destination: IpAddr,
    /// Protocol of what is inside.
    pub protocol: u8,
    /// Identification.
    pub id: u32,
}

/// One fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// Of this datagram.
    pub name: Name,
    /// Where it belongs, bytes.
    pub offset: usize,
    /// It is not the last.
    pub more: bool,
    /// Its bytes.
    pub data: &'a [u8],
}

#[derive(Debug)]
struct Waiting {
    name: Name,
    since_ns: u64,
    bytes: Vec<u8>,
    /// Stretches that are there: start and end.
    have: Vec<(usize, usize)>,
    /// Length of the whole, once the last piece has come.
    length: Option<usize>,
}

/// All datagrams in the making.
#[derive(Debug, Default)]
pub struct Fragments {
    waiting: Vec<Waiting>,
    left_out: u64,
}

impl Fragments {
    /// Takes a piece captured at `now_ns`; gives the datagram if that makes it whole.
    pub fn take(&mut self, now_ns: u64, piece: &Piece<'_>) -> Option<Vec<u8>> {
        let end = piece.offset + piece.data.len();
        // RFC 791: all but the last are multiples of eight bytes long.
        if piece.data.is_empty() || end > DATAGRAM_BYTES_MAX || piece.more && !piece.data.len().is_multiple_of(8) {
            self.left_out += 1;
            return None;
        }
        let left_out = &mut self.left_out;
        self.waiting.retain(|w| {
            let keep = now_ns.saturating_sub(w.since_ns) < WAIT_NS;
            *left_out += if keep { 0 } else { w.have.len() as u64 };
            keep
        });
        let at = match self.waiting.iter().position(|w| w.name == piece.name) {
            Some(at) => at,
            None => {
                if self.waiting.len() == DATAGRAMS_MAX {
                    self.left_out += self.waiting.remove(0).have.len() as u64;
                }
                self.waiting.push(Waiting { name: piece.name, since_ns: now_ns, bytes: Vec::new(), have: Vec::new(), length: None });
                self.waiting.len() - 1
            }
        };
        let w = &mut self.waiting[at];
        let overlaps = w.have.iter().any(|h| h.0 < end && piece.offset < h.1);
        let beyond = w.length.is_some_and(|n| end > n || !piece.more && end != n);
        if overlaps || beyond || w.have.len() == PIECES_MAX {
            // Captured twice as a rule (two interfaces): no loss.
            self.left_out += u64::from(!w.have.contains(&(piece.offset, end)));
            return None;
        }
        if w.bytes.len() < end {
            w.bytes.resize(end, 0);
        }
        w.bytes[piece.offset..end].copy_from_slice(piece.data);
        w.have.push((piece.offset, end));
        if !piece.more {
            w.length = Some(end);
        }
        // They do not overlap: if together they are as long as the whole, nothing is missing.
        let there: usize = w.have.iter().map(|h| h.1 - h.0).sum();
        (w.length == Some(there) && w.bytes.len() == there).then(|| self.waiting.remove(at).bytes)
    }
    /// Pieces whose datagram did not become whole.
    pub fn left_out(&self) -> u64 {
        self.left_out + self.waiting.iter().map(|w| w.have.len() as u64).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(id: u32) -> Name {
        Name { source: IpAddr::from([192, 0, 2, 1]), destination: IpAddr::from([192, 0, 2, 2]), protocol: 17, id }
    }

    #[test]
    fn pieces_in_any_order_and_twice_make_the_datagram_once() {
        let whole: Vec<u8> = (0..100).collect();
        let piece = |from: usize, to: usize| Piece { name: name(1), offset: from, more: to < 100, data: &whole[from..to] };
        let mut f = Fragments::default();
        assert_eq!(f.take(0, &piece(64, 100)), None);
        assert_eq!(f.take(0, &piece(0, 32)), None);
        assert_eq!(f.take(0, &piece(0, 32)), None);
        assert_eq!(f.take(0, &piece(32, 64)), Some(whole.clone()));
        assert_eq!(f.left_out(), 0);
        // The rest comes too late, and a wrong length cannot be.
        assert_eq!((f.take(0, &piece(0, 64)), f.take(WAIT_NS, &piece(64, 100)), f.left_out()), (None, None, 2));
        assert_eq!((f.take(WAIT_NS, &Piece { offset: 65_530, ..piece(0, 16) }), f.left_out()), (None, 3));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded(pieces in proptest::collection::vec((0u32..60, 0usize..9000, any::<bool>(), 0usize..3000), 0..400)) {
            let bytes = [7u8; 3000];
            let mut f = Fragments::default();
            for (id, eighth, more, n) in pieces {
                if let Some(whole) = f.take(0, &Piece { name: name(id), offset: 8 * eighth, more, data: &bytes[..n] }) {
                    prop_assert!(whole.iter().all(|b| *b == 7));
                }
            }
            prop_assert!(f.waiting.len() <= DATAGRAMS_MAX);
        }
    }
}
