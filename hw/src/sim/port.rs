//! A simulated port: a [`Machine`] at the far end of a two-wire line.
//!
//! While the machine is on hook the loop is open: nothing passes, and a turn costs next to nothing.

use super::{Control, ControlError, Machine, SimEvent, Wire};
use crate::limits::HOOK_CHANGES_MAX;
use crate::{Capabilities, Frame, Port, PortCommand, PortEvent, PortKind};
use tipring_dsp::SILENCE;
use tipring_dsp::line_model::{LineModel, LineParams};

/// A machine on a line, as the gateway sees it.
pub struct SimPort<M: Machine> {
    machine: M,
    line: LineModel,
    wire: Wire,
    hears: Frame,
    events: heapless::Deque<PortEvent, HOOK_CHANGES_MAX>,
}

impl<M: Machine> SimPort<M> {
    /// A machine behind a line with these properties; the noise of the line comes from `seed`.
    pub fn new(machine: M, params: LineParams, seed: u64) -> Self {
        SimPort {
            machine,
            line: LineModel::new(params, seed),
            wire: Wire { ringing: false, battery: true, reversed: false },
            hears: SILENCE,
            events: heapless::Deque::new(),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }
}

impl<M: Machine> Port for SimPort<M> {
    fn capabilities(&self) -> Capabilities {
        Capabilities { kind: PortKind::Fxs, rings: true, reverses_polarity: true, times_hook: false }
    }

    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        let mut speaks = SILENCE;
        self.machine.turn(&self.hears, self.wire, &mut speaks);
        while let Some(change) = self.machine.poll_hook() {
            let at_ms = change.at_ms.min(19);
            let event = if change.closed { PortEvent::OffHook { at_ms } } else { PortEvent::OnHook { at_ms } };
            // Machines make no more changes than fit; the board drains after each turn.
            let _ = self.events.push_back(event);
        }
        if self.machine.is_off_hook() && self.wire.battery {
            self.line.exchange(to_line, &speaks, &mut self.hears, from_line);
        } else {
            self.hears = SILENCE;
            *from_line = SILENCE;
        }
    }

    fn poll_event(&mut self) -> Option<PortEvent> {
        self.events.pop_front()
    }

    fn command(&mut self, command: PortCommand) {
        match command {
            PortCommand::Ring(on) => self.wire.ringing = on,
            PortCommand::Polarity(reversed) => self.wire.reversed = reversed,
            PortCommand::Battery(fed) => self.wire.battery = fed,
        }
    }

    fn control(&mut self, control: Control) -> Result<(), ControlError> {
        self.machine.control(control)
    }

    fn poll_sim(&mut self) -> Option<SimEvent> {
        self.machine.poll_sim()
    }
}
