//! What stands between a machine and a gateway that may be started again: it tells the new one what it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tipring_hw::{Capabilities as PortCapabilities, Control, ControlError, Frame, Port, PortCommand, PortEvent, SimEvent};

/// A port whose hook state can be told again to a gateway that was away.
pub(super) struct Plug {
    inner: Box<dyn Port>,
    closed: bool,
    tell_again: Arc<AtomicBool>,
    told: Option<PortEvent>,
}

impl Plug {
    /// Around a machine; `tell_again` is set when a gateway starts.
    pub fn new(inner: Box<dyn Port>, tell_again: Arc<AtomicBool>) -> Plug {
        Plug { inner, closed: false, tell_again, told: None }
    }
}

impl Port for Plug {
    fn capabilities(&self) -> PortCapabilities {
        self.inner.capabilities()
    }
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        if self.tell_again.swap(false, Ordering::Relaxed) && self.closed {
            self.told = Some(PortEvent::OffHook { at_ms: 0 });
        }
        self.inner.exchange(to_line, from_line);
    }
    fn poll_event(&mut self) -> Option<PortEvent> {
        if let Some(event) = self.told.take() {
            return Some(event);
        }
        let event = self.inner.poll_event();
        match event {
            Some(PortEvent::OffHook { .. }) => self.closed = true,
            Some(PortEvent::OnHook { .. }) => self.closed = false,
            Some(PortEvent::Gone | PortEvent::Back) | None => {}
        }
        event
    }
    fn command(&mut self, command: PortCommand) {
        self.inner.command(command);
    }
    fn control(&mut self, control: Control) -> Result<(), ControlError> {
        self.inner.control(control)
    }
    fn poll_sim(&mut self) -> Option<SimEvent> {
        self.inner.poll_sim()
    }
}
