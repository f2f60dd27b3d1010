//! A tap: a port with a recorder clipped on. It keeps both directions and the events in bounded memory that is taken once, before the
//! first turn; when it is full it stops recording and says so, and the port goes on.

use crate::limits::TAP_EVENTS_MAX;
use crate::{Capabilities, Control, ControlError, Frame, Port, PortCommand, PortEvent, SimEvent};

/// What a tap saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tapped {
    /// The port reported this.
    Event(PortEvent),
    /// The port was told this.
    Command(PortCommand),
}

/// A port with a recorder.
pub struct Tap<P: Port> {
    port: P,
    to_line: Vec<i16>,
    from_line: Vec<i16>,
    samples_max: usize,
    events: heapless::Vec<(u64, Tapped), TAP_EVENTS_MAX>,
    turns: u64,
    full: bool,
}

impl<P: Port> Tap<P> {
    /// Records at most `samples_max` samples of each direction.
    pub fn new(port: P, samples_max: usize) -> Self {
        Tap {
            port,
            to_line: Vec::with_capacity(samples_max),
            from_line: Vec::with_capacity(samples_max),
            samples_max,
            events: heapless::Vec::new(),
            turns: 0,
            full: false,
        }
    }
    /// What the gateway sent.
    pub fn to_line(&self) -> &[i16] {
        &self.to_line
    }
    /// What the gateway heard.
    pub fn from_line(&self) -> &[i16] {
        &self.from_line
    }
    /// Events and commands with the turn they fell in.
    pub fn events(&self) -> &[(u64, Tapped)] {
        &self.events
    }
    /// Something found no room.
    pub fn is_full(&self) -> bool {
        self.full
    }
    /// The port, unclipped.
    pub fn into_inner(self) -> P {
        self.port
    }

    fn note(&mut self, what: Tapped) {
        self.full |= self.events.push((self.turns, what)).is_err();
    }
}

fn record(into: &mut Vec<i16>, frame: &Frame, samples_max: usize) -> bool {
    let n = (samples_max - into.len()).min(frame.len());
    into.extend_from_slice(&frame[..n]);
    n < frame.len()
}

impl<P: Port> Port for Tap<P> {
    fn capabilities(&self) -> Capabilities {
        self.port.capabilities()
    }
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        self.port.exchange(to_line, from_line);
        self.full |= record(&mut self.to_line, to_line, self.samples_max);
        self.full |= record(&mut self.from_line, from_line, self.samples_max);
        self.turns += 1;
    }
    fn poll_event(&mut self) -> Option<PortEvent> {
        let event = self.port.poll_event()?;
        self.note(Tapped::Event(event));
        Some(event)
    }
    fn command(&mut self, command: PortCommand) {
        self.note(Tapped::Command(command));
        self.port.command(command);
    }
    fn control(&mut self, control: Control) -> Result<(), ControlError> {
        self.port.control(control)
    }
    fn poll_sim(&mut self) -> Option<SimEvent> {
        self.port.poll_sim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::pair;
    use tipring_dsp::SILENCE;

    #[test]
    fn a_tap_records_both_directions_until_it_is_full_and_the_port_goes_on() {
        let (a, mut b) = pair();
        let mut a = Tap::new(a, 200);
        let mut heard = SILENCE;
        for n in 0..3 {
            b.exchange(&[n; 160], &mut heard);
            a.exchange(&[n + 10; 160], &mut heard);
            assert_eq!(heard, [n; 160]);
        }
        b.set_far_hook(true);
        assert!(a.poll_event().is_some());
        a.command(PortCommand::Ring(true));
        assert_eq!((a.from_line().len(), a.from_line()[199], a.to_line()[0]), (200, 1, 10));
        assert!(a.is_full());
        assert_eq!(a.events(), [(3, Tapped::Event(PortEvent::OffHook { at_ms: 0 })), (3, Tapped::Command(PortCommand::Ring(true)))]);
    }
}
