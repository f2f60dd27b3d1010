//! Stop-watches that count this thread's CPU time only.

pub use crate::shell::sys::thread_cpu_ns as cpu_ns;

/// One run lasts at least so long, so that the clock's own cost (a system call) does not show.
const RUN_NS: u64 = 10_000_000;
/// Runs at least, however small the budget.
const RUNS_MIN: u32 = 3;

/// How much CPU time a part may take.
pub struct Budget {
    /// Nanoseconds.
    pub cpu_ns: u64,
}

/// Nanoseconds a unit in the best of several runs. `go` does `units` units of work.
pub fn best(budget: &Budget, units: u64, mut go: impl FnMut()) -> f64 {
    // Once untimed: caches, branch predictors, pages.
    go();
    let (mut best, mut spent, mut runs) = (f64::INFINITY, 0, 0);
    while runs < RUNS_MIN || spent < budget.cpu_ns {
        let (start, mut rounds) = (cpu_ns(), 0u64);
        let took = loop {
            go();
            rounds += 1;
            let took = cpu_ns() - start;
            if took >= RUN_NS {
                break took;
            }
        };
        best = best.min(took as f64 / (rounds * units) as f64);
        spent += took;
        runs += 1;
    }
    best
}

/// Quantiles over single turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turns {
    /// Half of the turns took no longer, us.
    pub p50_us: f64,
    /// 99 % of the turns took no longer, us.
    pub p99_us: f64,
    /// The longest, us.
    pub max_us: f64,
    /// How many there were.
    pub turns: usize,
}

impl Turns {
    /// Of the CPU time of each turn, ns.
    pub fn of(mut took_ns: Vec<u64>) -> Option<Turns> {
        took_ns.sort_unstable();
        let at = |q: f64| took_ns.get(((took_ns.len() as f64 * q).ceil() as usize).saturating_sub(1)).map(|ns| *ns as f64 / 1000.0);
        Some(Turns { p50_us: at(0.5)?, p99_us: at(0.99)?, max_us: at(1.0)?, turns: took_ns.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_turns() {
        let turns = Turns::of((1..=1000).rev().map(|n| n * 1000).collect()).expect("there are turns");
        assert_eq!(turns, Turns { p50_us: 500.0, p99_us: 990.0, max_us: 1000.0, turns: 1000 });
        assert_eq!(Turns::of(Vec::new()), None);
    }

    #[test]
    fn the_stop_watch_counts_work_and_not_sleep() {
        let before = cpu_ns();
        std::thread::park_timeout(std::time::Duration::from_millis(30));
        assert!(cpu_ns() - before < 10_000_000, "asleep");
        let before = cpu_ns();
        let mut x = 1u64;
        for i in 0..1_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(i | 1));
        }
        assert!(cpu_ns() > before, "at work: {x}");
    }
}
