//! Two ports back to back: what goes out on one comes in on the other, one turn later. For hearing yourself, and for tests that need a
//! wire and nothing else.
//!
//! The two ends may live on different boards, so the wire between them is locked; the lock is held for the copy of a frame. Hook and
//! ringing do not cross: each end's hook is moved by whoever holds the other [`PairPort`], with [`PairPort::set_far_hook`].

use crate::{Capabilities, Frame, Port, PortCommand, PortEvent, PortKind};
use std::sync::{Arc, Mutex, PoisonError};
use tipring_dsp::SILENCE;

/// What crosses, by the end it is meant for.
struct Crossing {
    frames: [Frame; 2],
    events: [heapless::Deque<PortEvent, 16>; 2],
    off_hook: [bool; 2],
}

/// One of two ends.
pub struct PairPort {
    wire: Arc<Mutex<Crossing>>,
    end: usize,
}

/// Two ports, wired to each other, both on hook.
pub fn pair() -> (PairPort, PairPort) {
    let wire = Arc::new(Mutex::new(Crossing {
        frames: [SILENCE; 2],
        events: [heapless::Deque::new(), heapless::Deque::new()],
        off_hook: [false; 2],
    }));
    (PairPort { wire: wire.clone(), end: 0 }, PairPort { wire, end: 1 })
}

impl PairPort {
    fn with<T>(&self, act: impl FnOnce(&mut Crossing) -> T) -> T {
        // A panic while the lock was held leaves a frame half copied, which is no worse than a click.
        act(&mut self.wire.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lifts or hangs up the "phone" that the other port sees.
    pub fn set_far_hook(&mut self, off_hook: bool) {
        let far = 1 - self.end;
        self.with(|w| {
            if w.off_hook[far] != off_hook {
                w.off_hook[far] = off_hook;
                let event = if off_hook { PortEvent::OffHook { at_ms: 0 } } else { PortEvent::OnHook { at_ms: 0 } };
                // Full only if the far board does not drain; then the oldest is stale.
                if w.events[far].is_full() {
                    w.events[far].pop_front();
                }
                let _ = w.events[far].push_back(event);
            }
        });
    }
}

impl Port for PairPort {
    fn capabilities(&self) -> Capabilities {
        Capabilities { kind: PortKind::Fxs, rings: false, reverses_polarity: false, times_hook: false }
    }
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        let (here, far) = (self.end, 1 - self.end);
        self.with(|w| {
            w.frames[far] = *to_line;
            *from_line = core::mem::replace(&mut w.frames[here], SILENCE);
        });
    }
    fn poll_event(&mut self) -> Option<PortEvent> {
        let here = self.end;
        self.with(|w| w.events[here].pop_front())
    }
    fn command(&mut self, _command: PortCommand) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_on_one_comes_in_on_the_other() {
        let (mut a, mut b) = pair();
        let mut heard = SILENCE;
        a.exchange(&[7; 160], &mut heard);
        assert_eq!(heard, SILENCE);
        b.exchange(&[9; 160], &mut heard);
        assert_eq!(heard, [7; 160]);
        a.exchange(&SILENCE, &mut heard);
        assert_eq!(heard, [9; 160]);
        a.set_far_hook(true);
        a.set_far_hook(true);
        assert_eq!((b.poll_event(), b.poll_event(), a.poll_event()), (Some(PortEvent::OffHook { at_ms: 0 }), None, None));
    }
}
