//! Bodies of the fuzz targets in `tests/fuzz`; ordinary tests replay `fixtures/corpus/sdp` through them.

use super::{Audio, LineAnswer, Local, Session, T38, answer};

/// One description: no panic, what is read goes round, and can be answered.
pub fn description(bytes: &[u8]) {
    let Ok(session) = Session::parse(bytes) else { return };
    let again = Session::parse(&session.emit()).expect("what was read can be written and read again");
    // Host names and addresses of closed lines aside, nothing may change.
    assert_eq!(again.media.len(), session.media.len());
    assert_eq!(Session::parse(&again.emit()).as_ref(), Ok(&again));
    let local = Local { address: [192, 0, 2, 1].into(), session_id: 1, version: 1 };
    let (audio, t38) = (Audio::default(), T38::default());
    for lines in [[LineAnswer::Audio(4000, &audio); 4], [LineAnswer::T38(4000, &t38); 4]] {
        if let Ok(answer) = answer(&local, &session, &lines) {
            assert_eq!(answer.media.len(), session.media.len());
            assert_eq!(Session::parse(&answer.emit()), Ok(answer));
        }
    }
}
