//! Bodies of the fuzz targets in `tests/fuzz`; ordinary tests replay `fixtures/corpus/sip` through them.

use super::message::{Message, stream_message_len};

/// One message: no panic, and what is read goes round.
pub fn message(bytes: &[u8]) {
    let _ = stream_message_len(bytes);
    let Ok(message) = Message::parse(bytes) else { return };
    let again = Message::parse(&message.emit());
    let mut wanted = message.clone();
    // Length lines are ours to write: several equal ones become one.
    wanted.headers.remove("Content-Length");
    let mut again = again.expect("what was read can be written and read again");
    again.headers.remove("Content-Length");
    assert_eq!(again, wanted);
    for v in message.headers.values("Via") {
        let _ = super::message::Via::parse(v);
    }
    let _ = (message.sdp(), message.contact(), message.max_forwards());
    message.request_uri().map(|u| u.user_text()).ok();
}
