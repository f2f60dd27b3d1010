//! Call-progress tones and ringing by country, as data.
//!
//! The document to hold these rows against is ITU-T E.180 supplement 2 (various tones used in national networks); for GB also BT SIN
//! 350. Checked so far against a published list: US dial, ringback, busy, reorder and ringing; DE dial, stutter dial, ringback, busy,
//! reorder and call waiting. The other rows are written from general knowledge of those lists and are unchecked; least sure are the
//! howlers (where none is specified, a fast loud burst of the national frequency), stutter dial tones, JP and AU.
//! A frequency given there as `a x b` (modulated) is written as a sum of its carrier and side tones.
//! Levels are per frequency, at the line, before any loss plan.

use crate::tone::{Cadence, FOREVER_MS, Section};

/// The tones of one country.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TonePlan {
    /// ISO 3166-1 alpha-2 code.
    pub country: &'static str,
    /// Dial.
    pub dial: Cadence,
    /// Stutter dial: a message waits, or a feature was accepted.
    pub stutter_dial: Cadence,
    /// The far end rings.
    pub ringback: Cadence,
    /// The far end is busy.
    pub busy: Cadence,
    /// The call cannot be completed: reorder, congestion.
    pub reorder: Cadence,
    /// The receiver is off hook: howler.
    pub howler: Cadence,
    /// Another call waits.
    pub call_waiting: Cadence,
    /// Ringing current: on, off, on, off ... in ms, repeated.
    pub ring_ms: &'static [u32],
}

impl TonePlan {
    /// The plan of a country by its ISO code, in either case.
    pub fn of(country: &str) -> Option<&'static TonePlan> {
        PLANS.iter().find(|p| p.country.eq_ignore_ascii_case(country))
    }
}

/// Level of call-progress tones, each frequency, dBm0.
const TONE_DBM0: f32 = -13.0;
/// Level of a howler, each frequency, dBm0: as loud as a clean digital line takes.
const HOWLER_DBM0: f32 = -6.0;
/// Level of call waiting over speech, dBm0.
const WAITING_DBM0: f32 = -13.0;

const fn f1(a: f32) -> [f32; 4] {
    [a, 0.0, 0.0, 0.0]
}
const fn f2(a: f32, b: f32) -> [f32; 4] {
    [a, b, 0.0, 0.0]
}
const fn f3(a: f32, b: f32, c: f32) -> [f32; 4] {
    [a, b, c, 0.0]
}

macro_rules! sections {
    ($hz:expr; $($on:expr, $off:expr);+) => { &[$(Section::on($hz, $on), Section::off($off)),+] };
}
macro_rules! cadence {
    ($hz:expr; continuous) => { Cadence::cycle(&[Section::on($hz, FOREVER_MS)], TONE_DBM0) };
    ($hz:expr; $($on:expr, $off:expr);+) => { Cadence::cycle(sections!($hz; $($on, $off);+), TONE_DBM0) };
}
/// Three short bursts, then the dial tone.
macro_rules! stutter {
    ($hz:expr) => {
        Cadence {
            sections: &[
                Section::on($hz, 100),
                Section::off(100),
                Section::on($hz, 100),
                Section::off(100),
                Section::on($hz, 100),
                Section::off(100),
                Section::on($hz, FOREVER_MS),
            ],
            repeat_from: 6,
            level_dbm0: TONE_DBM0,
        }
    };
}
macro_rules! waiting {
    ($hz:expr; $($on:expr, $off:expr);+) => { Cadence::cycle(sections!($hz; $($on, $off);+), WAITING_DBM0) };
}

/// North America's howler: four frequencies, 100 ms on and off.
const HOWLER_US: Cadence = Cadence::cycle(sections!([1400.0, 2060.0, 2450.0, 2600.0]; 100, 100), HOWLER_DBM0);
/// Where no howler is specified: the reorder frequency, loud and quick.
const HOWLER_425: Cadence = Cadence::cycle(sections!(f1(425.0); 100, 100), HOWLER_DBM0);

/// Every plan.
pub static PLANS: [TonePlan; 14] = [
    TonePlan {
        country: "US",
        dial: cadence!(f2(350.0, 440.0); continuous),
        stutter_dial: stutter!(f2(350.0, 440.0)),
        ringback: cadence!(f2(440.0, 480.0); 2000, 4000),
        busy: cadence!(f2(480.0, 620.0); 500, 500),
        reorder: cadence!(f2(480.0, 620.0); 250, 250),
        howler: HOWLER_US,
        call_waiting: waiting!(f1(440.0); 300, 10000),
        ring_ms: &[2000, 4000],
    },
    TonePlan {
        country: "CA",
        dial: cadence!(f2(350.0, 440.0); continuous),
        stutter_dial: stutter!(f2(350.0, 440.0)),
        ringback: cadence!(f2(440.0, 480.0); 2000, 4000),
        busy: cadence!(f2(480.0, 620.0); 500, 500),
        reorder: cadence!(f2(480.0, 620.0); 250, 250),
        howler: HOWLER_US,
        call_waiting: waiting!(f1(440.0); 300, 10000),
        ring_ms: &[2000, 4000],
    },
    TonePlan {
        country: "GB",
        dial: cadence!(f2(350.0, 450.0); continuous),
        // BT SIN 350: special dial tone, 750 ms of both, 750 ms of 440 alone.
        stutter_dial: Cadence::cycle(&[Section::on(f2(350.0, 440.0), 750), Section::on(f1(440.0), 750)], TONE_DBM0),
        ringback: cadence!(f2(400.0, 450.0); 400, 200; 400, 2000),
        busy: cadence!(f1(400.0); 375, 375),
        reorder: cadence!(f1(400.0); 400, 350; 225, 525),
        howler: Cadence::cycle(&[Section::on(f2(800.0, 2500.0), 200), Section::on(f2(1000.0, 3200.0), 200)], HOWLER_DBM0),
        call_waiting: waiting!(f1(400.0); 100, 2500),
        ring_ms: &[400, 200, 400, 2000],
    },
    TonePlan {
        country: "DE",
        dial: cadence!(f1(425.0); continuous),
        stutter_dial: Cadence::cycle(&[Section::on(f2(400.0, 425.0), FOREVER_MS)], TONE_DBM0),
        ringback: cadence!(f1(425.0); 1000, 4000),
        busy: cadence!(f1(425.0); 480, 480),
        reorder: cadence!(f1(425.0); 240, 240),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 200, 200; 200, 5000),
        ring_ms: &[1000, 4000],
    },
    TonePlan {
        country: "FR",
        dial: cadence!(f1(440.0); continuous),
        stutter_dial: Cadence::cycle(&[Section::on(f2(330.0, 440.0), FOREVER_MS)], TONE_DBM0),
        ringback: cadence!(f1(440.0); 1500, 3500),
        busy: cadence!(f1(440.0); 500, 500),
        reorder: cadence!(f1(440.0); 250, 250),
        howler: Cadence::cycle(sections!(f1(440.0); 100, 100), HOWLER_DBM0),
        call_waiting: waiting!(f1(440.0); 300, 10000),
        ring_ms: &[1500, 3500],
    },
    TonePlan {
        country: "JP",
        dial: cadence!(f1(400.0); continuous),
        stutter_dial: cadence!(f1(400.0); 125, 125),
        // 400 Hz modulated by 16 Hz.
        ringback: cadence!(f3(384.0, 400.0, 416.0); 1000, 2000),
        busy: cadence!(f1(400.0); 500, 500),
        reorder: cadence!(f1(400.0); 250, 250),
        howler: Cadence::cycle(sections!(f1(400.0); 100, 100), HOWLER_DBM0),
        call_waiting: waiting!(f1(400.0); 64, 436; 64, 3436),
        ring_ms: &[1000, 2000],
    },
    TonePlan {
        country: "AU",
        // 425 Hz modulated by 25 Hz.
        dial: cadence!(f3(400.0, 425.0, 450.0); continuous),
        stutter_dial: cadence!(f3(400.0, 425.0, 450.0); 100, 40),
        ringback: cadence!(f3(400.0, 425.0, 450.0); 400, 200; 400, 2000),
        busy: cadence!(f1(425.0); 375, 375),
        reorder: cadence!(f1(425.0); 375, 375; 200, 575),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 200, 200; 200, 4400),
        ring_ms: &[400, 200, 400, 2000],
    },
    TonePlan {
        country: "NL",
        dial: cadence!(f1(425.0); continuous),
        stutter_dial: cadence!(f1(425.0); 500, 50),
        ringback: cadence!(f1(425.0); 1000, 4000),
        busy: cadence!(f1(425.0); 500, 500),
        reorder: cadence!(f1(425.0); 250, 250),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 500, 9500),
        ring_ms: &[1000, 4000],
    },
    TonePlan {
        country: "CH",
        dial: cadence!(f1(425.0); continuous),
        stutter_dial: Cadence::cycle(&[Section::on(f2(340.0, 425.0), 1100), Section::on(f1(425.0), 1100)], TONE_DBM0),
        ringback: cadence!(f1(425.0); 1000, 4000),
        busy: cadence!(f1(425.0); 500, 500),
        reorder: cadence!(f1(425.0); 200, 200),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 200, 200; 200, 4000),
        ring_ms: &[1000, 4000],
    },
    TonePlan {
        country: "IT",
        dial: cadence!(f1(425.0); 200, 200; 600, 1000),
        stutter_dial: Cadence::cycle(&[Section::on(f1(425.0), FOREVER_MS)], TONE_DBM0),
        ringback: cadence!(f1(425.0); 1000, 4000),
        busy: cadence!(f1(425.0); 500, 500),
        reorder: cadence!(f1(425.0); 200, 200),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 400, 100; 250, 100; 150, 14000),
        ring_ms: &[1000, 4000],
    },
    TonePlan {
        country: "ES",
        dial: cadence!(f1(425.0); continuous),
        stutter_dial: cadence!(f1(425.0); 1000, 100),
        ringback: cadence!(f1(425.0); 1500, 3000),
        busy: cadence!(f1(425.0); 200, 200),
        reorder: cadence!(f1(425.0); 200, 200; 200, 600),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 175, 175; 175, 3500),
        ring_ms: &[1500, 3000],
    },
    TonePlan {
        country: "SE",
        dial: cadence!(f1(425.0); continuous),
        stutter_dial: cadence!(f1(425.0); 320, 40),
        ringback: cadence!(f1(425.0); 1000, 5000),
        busy: cadence!(f1(425.0); 250, 250),
        reorder: cadence!(f1(425.0); 250, 750),
        howler: HOWLER_425,
        call_waiting: waiting!(f1(425.0); 200, 500; 200, 5000),
        ring_ms: &[1000, 5000],
    },
    TonePlan {
        country: "CN",
        dial: cadence!(f1(450.0); continuous),
        stutter_dial: cadence!(f1(450.0); 400, 40),
        ringback: cadence!(f1(450.0); 1000, 4000),
        busy: cadence!(f1(450.0); 350, 350),
        reorder: cadence!(f1(450.0); 700, 700),
        howler: Cadence::cycle(sections!(f1(950.0); 100, 100), HOWLER_DBM0),
        call_waiting: waiting!(f1(450.0); 400, 4000),
        ring_ms: &[1000, 4000],
    },
    TonePlan {
        country: "NZ",
        dial: cadence!(f1(400.0); continuous),
        stutter_dial: stutter!(f1(400.0)),
        ringback: cadence!(f2(400.0, 450.0); 400, 200; 400, 2000),
        busy: cadence!(f1(400.0); 500, 500),
        reorder: cadence!(f1(400.0); 250, 250),
        howler: Cadence::cycle(sections!(f1(400.0); 100, 100), HOWLER_DBM0),
        call_waiting: waiting!(f1(400.0); 200, 3000),
        ring_ms: &[400, 200, 400, 2000],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{SECTIONS_MAX, TONES_MAX, ToneGenerator};
    use crate::watch::Watch;

    #[test]
    fn countries_are_found_in_either_case_and_unknown_ones_are_not() {
        assert_eq!(TonePlan::of("de").map(|p| p.country), Some("DE"));
        assert!(TonePlan::of("XX").is_none() && TonePlan::of("").is_none());
        for p in &PLANS {
            assert_eq!(TonePlan::of(p.country), Some(p), "{} stands twice", p.country);
        }
    }

    #[test]
    fn every_plan_can_be_played_and_rung() {
        for p in &PLANS {
            for c in [p.dial, p.stutter_dial, p.ringback, p.busy, p.reorder, p.howler, p.call_waiting] {
                assert!(!c.sections.is_empty() && c.sections.len() <= SECTIONS_MAX && c.sections[0].sounds(), "{}", p.country);
                for s in c.sections {
                    let tones = s.hz.iter().take_while(|hz| **hz > 0.0).count();
                    assert!(s.hz[tones..].iter().all(|hz| *hz == 0.0) && tones <= TONES_MAX);
                    assert!(s.hz.iter().all(|hz| (0.0..3400.0).contains(hz)));
                }
            }
            assert!(p.ring_ms.len() % 2 == 0 && p.ring_ms.iter().all(|ms| (100..=6000).contains(ms)), "{}", p.country);
        }
    }

    #[test]
    fn no_progress_tone_of_any_country_is_taken_for_a_digit_or_a_fax() {
        for p in &PLANS {
            for c in [p.dial, p.stutter_dial, p.ringback, p.busy, p.reorder, p.howler, p.call_waiting] {
                let (mut g, mut w, mut f) = (ToneGenerator::new(&c), Watch::new(), [0; 160]);
                for _ in 0..400 {
                    g.tx(&mut f);
                    assert_eq!(w.rx(&f), [], "{}: {c:?}", p.country);
                }
            }
        }
    }
}
