//! A port that misbehaves on purpose, by seed: lost frames, a stuck hook, a clock that slips, a device that vanishes and comes back.

use crate::{Capabilities, Control, ControlError, Frame, Port, PortCommand, PortEvent, SimEvent};
use tipring_dsp::SILENCE;
use tipring_dsp::noise::Gauss;

/// What goes wrong. All zero is a port in order.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Faults {
    /// Frames from the line that are lost (heard as silence), per thousand.
    pub lost_per_mille: u32,
    /// Hook changes that never arrive, per thousand.
    pub stuck_hook_per_mille: u32,
    /// Every so many turns one sample is left out of what is heard (the rest moves up, the last is repeated); 0 for never.
    pub slip_every_turns: u32,
    /// The device vanishes after so many turns; 0 for never.
    pub vanish_after_turns: u32,
    /// And comes back after so many more; 0 for never.
    pub back_after_turns: u32,
}

/// A port with faults.
pub struct Faulty<P: Port> {
    port: P,
    faults: Faults,
    chance: Gauss,
    turns: u32,
    gone: bool,
    own: heapless::Deque<PortEvent, 4>,
    lost: u32,
}

impl<P: Port> Faulty<P> {
    /// `port` with `faults`; when they strike comes from `seed`.
    pub fn new(port: P, faults: Faults, seed: u64) -> Self {
        Faulty { port, faults, chance: Gauss::new(seed), turns: 0, gone: false, own: heapless::Deque::new(), lost: 0 }
    }
    /// Frames lost till now.
    pub fn lost(&self) -> u32 {
        self.lost
    }
    fn strikes(&mut self, per_mille: u32) -> bool {
        // The upper half of the product maps 32 bits of chance to 0..1000.
        per_mille > 0 && (((self.chance.bits() >> 32) * 1000) >> 32) < u64::from(per_mille)
    }
}

impl<P: Port> Port for Faulty<P> {
    fn capabilities(&self) -> Capabilities {
        self.port.capabilities()
    }
    fn exchange(&mut self, to_line: &Frame, from_line: &mut Frame) {
        self.turns = self.turns.saturating_add(1);
        let f = self.faults;
        let gone = f.vanish_after_turns > 0
            && self.turns > f.vanish_after_turns
            && (f.back_after_turns == 0 || self.turns - f.vanish_after_turns <= f.back_after_turns);
        if gone != self.gone {
            self.gone = gone;
            let _ = self.own.push_back(if gone { PortEvent::Gone } else { PortEvent::Back });
        }
        if gone {
            *from_line = SILENCE;
            return;
        }
        self.port.exchange(to_line, from_line);
        if self.strikes(f.lost_per_mille) {
            *from_line = SILENCE;
            self.lost += 1;
        }
        if f.slip_every_turns > 0 && self.turns.is_multiple_of(f.slip_every_turns) {
            from_line.copy_within(1.., 0);
        }
    }
    fn poll_event(&mut self) -> Option<PortEvent> {
        if let Some(event) = self.own.pop_front() {
            return Some(event);
        }
        if self.gone {
            return None;
        }
        // Bounded: a port holds a few events.
        while let Some(event) = self.port.poll_event() {
            if !self.strikes(self.faults.stuck_hook_per_mille) {
                return Some(event);
            }
        }
        None
    }
    fn command(&mut self, command: PortCommand) {
        if !self.gone {
            self.port.command(command);
        }
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

    #[test]
    fn frames_are_lost_at_the_rate_asked_for_and_by_the_seed() {
        let run = |seed| {
            let (a, mut b) = pair();
            let mut a = Faulty::new(a, Faults { lost_per_mille: 100, ..Faults::default() }, seed);
            let mut heard = SILENCE;
            (0..5000)
                .map(|_| {
                    b.exchange(&[1; 160], &mut heard);
                    a.exchange(&SILENCE, &mut heard);
                    heard == SILENCE
                })
                .collect::<Vec<bool>>()
        };
        let lost = run(3).iter().filter(|l| **l).count();
        assert!((400..600).contains(&lost), "{lost}");
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn a_device_vanishes_and_comes_back() {
        let (a, _b) = pair();
        let mut a = Faulty::new(a, Faults { vanish_after_turns: 3, back_after_turns: 2, ..Faults::default() }, 1);
        let mut seen = vec![];
        for turn in 1..=8 {
            a.exchange(&SILENCE, &mut [0; 160]);
            while let Some(e) = a.poll_event() {
                seen.push((turn, e));
            }
        }
        assert_eq!(seen, [(4, PortEvent::Gone), (6, PortEvent::Back)]);
    }

    #[test]
    fn a_stuck_hook_says_nothing() {
        let (a, mut b) = pair();
        let mut a = Faulty::new(a, Faults { stuck_hook_per_mille: 1000, ..Faults::default() }, 1);
        b.set_far_hook(true);
        assert_eq!(a.poll_event(), None);
    }
}
