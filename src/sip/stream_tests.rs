//! The stream reader: any cutting yields the same; keep-alives; everything that must end a stream.

use super::*;
use proptest::prelude::*;

fn message(body: usize) -> Vec<u8> {
    let head = format!("MESSAGE sip:x@y SIP/2.0\r\nCall-ID: {body}\r\nContent-Length: {body}\r\n\r\n");
    [head.into_bytes(), vec![b'\r'; body]].concat()
}

fn read(pieces: &[&[u8]]) -> (Vec<Frame>, Option<Broken>) {
    crate::sip::fuzz::read(pieces.iter().copied())
}

#[test]
fn two_messages_in_one_piece_and_one_message_in_bytes() {
    let both = [message(0), message(7)].concat();
    let whole = read(&[&both]);
    assert_eq!(whole.0, [Frame::Message(message(0)), Frame::Message(message(7))]);
    assert_eq!(read(&both.chunks(1).collect::<Vec<_>>()), whole);
}

#[test]
fn line_ends_between_messages_are_pings_and_single_ones_mean_nothing() {
    let m = message(0);
    assert_eq!(read(&[b"\r\n\r\n"]).0, [Frame::Ping]);
    assert_eq!(read(&[b"\r", b"\n\r", b"\n"]).0, [Frame::Ping]);
    assert_eq!(read(&[b"\r\n", &m, b"\r\n"]).0, [Frame::Message(m.clone())], "halves on both sides of a message are no ping");
    assert_eq!(read(&[b"\r\n\r\n\r\n\r\n", &m]).0, [Frame::Ping, Frame::Ping, Frame::Message(m)]);
}

#[test]
fn a_single_line_end_is_the_pong_that_was_awaited() {
    let mut framer = Framer::new();
    framer.await_pong();
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Ok(Some(Frame::Pong)));
    framer.push(b"\r\n\r\n");
    assert_eq!(framer.next(), Ok(Some(Frame::Ping)), "the next is not awaited");
}

#[test]
fn lone_line_feeds_end_lines_and_heads() {
    for m in [&b"OPTIONS sip:a SIP/2.0\nA: b\n\n"[..], b"OPTIONS sip:a SIP/2.0\r\nA: b\n\r\n", b"OPTIONS sip:a SIP/2.0\nl: 2\r\n\nhi"] {
        let twice = [m, m].concat();
        let expected = (vec![Frame::Message(m.to_vec()); 2], None);
        assert_eq!(read(&[&twice]), expected);
        assert_eq!(read(&twice.chunks(1).collect::<Vec<_>>()), expected);
    }
}

#[test]
fn other_protocols_are_known_by_their_first_line() {
    for garbage in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01\n", b"hello\n", b" \r\n"] {
        assert_eq!(read(&[garbage]).1, Some(Broken::NotSip), "{garbage:?}");
    }
    assert_eq!(read(&[b"OPTIONS sip:a SIP/7.0\r\nContent-Length: 0\r\n\r\n"]).0.len(), 1, "505 is the endpoint's to say");
}

#[test]
fn too_long_ends_the_stream_wherever_it_shows() {
    let endless_line = vec![b'a'; SIP_HEAD_BYTES_MAX + 1];
    assert_eq!(read(&[&endless_line]).1, Some(Broken::NotSip));
    let endless_head = [b"OPTIONS sip:a SIP/2.0\r\n".to_vec(), b"X: y\r\n".repeat(12_000)].concat();
    let (frames, end) = read(&endless_head.chunks(100).collect::<Vec<_>>());
    assert!(frames.is_empty() && matches!(end, Some(Broken::NoEnd(head)) if head.len() <= SIP_HEAD_BYTES_MAX + 100));
    assert!(matches!(read(&[b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 66000\r\n\r\n"]).1, Some(Broken::NoEnd(_))));
    assert_eq!(read(&[&message(crate::limits::SIP_BYTES_MAX)]).0.len(), 1, "the longest that is read");
}

#[test]
fn a_length_that_cannot_be_told_gives_the_head_and_the_end() {
    for length in ["x", "-1", "1\r\nContent-Length: 2", "99999999999999999999999"] {
        let head = format!("OPTIONS sip:a SIP/2.0\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        assert_eq!(read(&[&head, &message(0)]), (vec![], Some(Broken::NoEnd(head.clone()))), "{length}");
    }
}

#[test]
fn nothing_comes_after_the_end_and_idling_holds_no_memory() {
    let mut framer = Framer::new();
    framer.push(b"hello\n");
    assert_eq!(framer.next(), Err(Broken::NotSip));
    framer.push(&message(0));
    assert_eq!((framer.next(), framer.is_inside_message()), (Ok(None), false));

    let mut framer = Framer::new();
    framer.push(&message(9000));
    assert!(matches!(framer.next(), Ok(Some(Frame::Message(_)))));
    assert_eq!((framer.next(), framer.buffer.capacity()), (Ok(None), 0));
}

proptest! {
    /// Whatever the pieces, the same messages and keep-alives come out, and the same end.
    #[test]
    fn any_cutting_yields_the_same(
        parts in prop::collection::vec(prop_oneof![
            (0usize..300).prop_map(message),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"OPTIONS sip:a SIP/2.0\nA: b\n\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ], 0..12),
        cuts in prop::collection::vec(1usize..200, 0..60),
    ) {
        let stream = parts.concat();
        let whole = read(&[&stream]);
        let (mut rest, mut pieces) = (&stream[..], Vec::new());
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        prop_assert_eq!(read(&pieces), whole.clone());
        prop_assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), whole);
    }

    /// What is emitted comes back whole, whatever stands between.
    #[test]
    fn messages_come_back_whole(bodies in prop::collection::vec(0usize..2000, 1..10), size in 1usize..1500) {
        let stream: Vec<u8> = bodies.iter().flat_map(|n| message(*n)).collect();
        let expected: Vec<Frame> = bodies.iter().map(|n| Frame::Message(message(*n))).collect();
        prop_assert_eq!(read(&stream.chunks(size).collect::<Vec<_>>()), (expected, None));
    }
}
