//! Ringing: the cadence of the current on the wire. The first burst starts at once; what a lifted handset means is the line's business.

use crate::clock::{Instant, ms};

/// The shortest section of a cadence, ms: one turn of the board. A plan with a zero in it must not spin.
const SECTION_MIN_MS: u32 = 20;

/// Where in the cadence the line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ringing {
    /// On, off, on, off ... in ms.
    sections_ms: &'static [u32],
    section: usize,
}

impl Ringing {
    /// At the start of the first burst of `sections_ms` (on, off, on, off ..., repeated as a whole).
    pub(super) const fn start(sections_ms: &'static [u32]) -> Self {
        Ringing { sections_ms, section: 0 }
    }
    /// Is the current on?
    pub(super) const fn current(&self) -> bool {
        self.section.is_multiple_of(2)
    }
    /// When the section that begins `now` ends.
    pub(super) fn section_end(&self, now: Instant) -> Instant {
        now + ms(u64::from(self.sections_ms.get(self.section).copied().unwrap_or(SECTION_MIN_MS).max(SECTION_MIN_MS)))
    }
    /// Back to the start of the first burst.
    pub(super) fn restart(&mut self) {
        self.section = 0;
    }
    /// The next section.
    pub(super) fn advance(&mut self) {
        self.section = (self.section + 1) % self.sections_ms.len().max(2);
    }
}
