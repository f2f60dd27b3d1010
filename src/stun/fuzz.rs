//! Body of the fuzz target `stun`; an ordinary test replays `fixtures/corpus/stun` through it. Any bytes as a STUN message, from both ends.

use super::{Client, binding_answer, binding_request, is_stun, read_answer};
use crate::clock::Instant;
use core::net::SocketAddr;

/// Reads `bytes` as whatever they are. What is answered can be read, and says what was seen.
pub fn message(bytes: &[u8]) {
    for source in [SocketAddr::from(([192, 0, 2, 1], 32_853)), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 5060))] {
        if let Some(answer) = binding_answer(bytes, source) {
            assert!(is_stun(&answer) && is_stun(bytes));
            let read = read_answer(&answer).expect("an answer of ours");
            assert!(read.mapped.is_none_or(|mapped| mapped == source));
            assert_eq!(binding_answer(&answer, source), None);
        }
    }
    if let Some(read) = read_answer(bytes) {
        assert!(binding_answer(bytes, SocketAddr::from(([192, 0, 2, 1], 1))).is_none());
        if let Some(mapped) = read.mapped {
            // Said by us, it is what was read.
            let again = binding_answer(&binding_request(read.transaction), mapped).expect("a request of ours");
            assert_eq!(read_answer(&again), Some(read));
        }
    }
    let mut client = Client::new(1);
    client.start(Instant::ZERO);
    let _asked = client.poll_transmit();
    let told = client.handle_answer(Instant::ZERO, bytes);
    assert!(told.is_none_or(|told| client.mapped() == Some(told)));
}
