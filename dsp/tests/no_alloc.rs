//! Nothing that runs in the tick allocates after construction: counted, not believed.
// A global allocator that counts is the one way to see every allocation, and implementing it is unsafe by nature.
#![allow(unsafe_code, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tipring_dsp::dtmf::{Generator, Sending};
use tipring_dsp::g711::Law;
use tipring_dsp::line_model::{LineModel, LineParams};
use tipring_dsp::noise::ComfortNoise;
use tipring_dsp::plc::Concealer;
use tipring_dsp::progress::ProgressDetector;
use tipring_dsp::tone::{AnsamGenerator, CNG, ToneGenerator};
use tipring_dsp::tone_plan::TonePlan;
use tipring_dsp::watch::Watch;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; the count is a thread-local integer without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise about `layout` is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: `p` came from `System.alloc` with this `layout`.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn ten_minutes_of_everything_allocate_nothing() {
    let plan = TonePlan::of("GB").expect("GB is a plan");
    let mut watch = Watch::new();
    let mut progress = ProgressDetector::new(plan);
    let mut line = LineModel::new(LineParams { clock_offset_ppm: 80.0, delay_samples: 40, ..LineParams::HOUSE }, 1);
    let mut generators =
        (ToneGenerator::new(&plan.ringback), ToneGenerator::new(&CNG), AnsamGenerator::new(-12.0), Generator::new(Sending::default()));
    let (mut plc, mut comfort) = (Concealer::new(), ComfortNoise::new(-60.0, 1));
    let (mut a, mut b, mut octets) = ([0; 160], [0; 160], [0; 160]);
    let before = COUNT.with(Cell::get);
    let mut findings = 0;
    for i in 0..30_000u32 {
        let mut f = [0; 160];
        match i / 200 % 5 {
            0 => generators.0.tx(&mut f),
            1 => generators.1.tx(&mut f),
            2 => generators.2.tx(&mut f),
            3 => {
                let _ = generators.3.push(b"0123456789*#"[(i % 12) as usize]);
                generators.3.tx(&mut f);
            }
            _ => comfort.tx(&mut f),
        }
        Law::A.encode_block(&f, &mut octets);
        Law::A.decode_block(&octets, &mut f);
        line.exchange(&f, &f, &mut a, &mut b);
        if i % 17 == 0 {
            plc.fill_in(&mut b)
        } else {
            plc.rx(&mut b)
        }
        comfort.rx(&b);
        findings += watch.rx(&b).len();
        let _ = progress.rx(&a);
    }
    assert_eq!(COUNT.with(Cell::get), before, "the tick allocates");
    assert!(findings > 100, "and it did its work: {findings}");
}
