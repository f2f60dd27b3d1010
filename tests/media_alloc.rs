//! The audio leg does not allocate in the tick: a counting allocator around ten thousand ticks of a bad network with digits and garbage.

#![allow(unsafe_code)] // GlobalAlloc is an unsafe trait; this one only counts and passes on.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;
use tipring::clock::{Instant, Rng, ms};
use tipring::media::{AudioLeg, Channel, LineDigit, fuzz};
use tipring_dsp::SILENCE;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn req_k6_an_audio_leg_does_not_allocate_after_it_is_made() {
    drop(core::hint::black_box(Box::new(7)));
    assert!(allocations() > 0, "the allocator counts");
    let mut config = fuzz::config();
    config.cname = "a".repeat(64).as_str().try_into().expect("64 bytes fit");
    let mut sender = AudioLeg::new(config.clone(), 1);
    config.ssrc = 5;
    let mut receiver = AudioLeg::new(config.clone(), 2);
    let mut rng = Rng::new(3);
    let mut to_line = SILENCE;
    let mut held = [0u8; 1500];
    let mut held_len = 0;
    let before = allocations();
    for n in 0..10_000u64 {
        let now = Instant::from_ms(1000 + n * 20);
        if n == 8_000 {
            receiver.set_pass_through(true);
        }
        let digit = match n % 20 {
            3 => LineDigit::Suspected,
            4..=6 => LineDigit::On(b'4'),
            7 => LineDigit::Ended { key: b'4', duration_ms: 70 },
            _ => LineDigit::None,
        };
        let mut frame = SILENCE;
        frame.iter_mut().for_each(|s| *s = rng.next_u64() as i16 / 8);
        sender.tick(now, &frame, digit, &mut to_line, &mut |channel, _, bytes| {
            // Lost, late by a tick, mutated, or as it is.
            match rng.below(10) {
                0 => {}
                1 => {
                    held[..bytes.len()].copy_from_slice(bytes);
                    held_len = bytes.len();
                }
                2 => {
                    let mut mutated = [0u8; 1500];
                    mutated[..bytes.len()].copy_from_slice(bytes);
                    mutated[rng.below(bytes.len() as u64) as usize] ^= 1 << rng.below(8);
                    receiver.from_net(now, channel, config.remote_rtp, &mutated[..bytes.len()]);
                }
                _ => receiver.from_net(now, channel, config.remote_rtp, bytes),
            }
        });
        let mut reports = [0u8; 1500];
        let mut reports_len = 0;
        receiver.tick(now + ms(9), &frame, LineDigit::None, &mut to_line, &mut |channel, _, bytes| {
            if channel == Channel::Rtcp {
                reports[..bytes.len()].copy_from_slice(bytes);
                reports_len = bytes.len();
            }
        });
        sender.from_net(now, Channel::Rtcp, config.remote_rtcp, &reports[..reports_len]);
        receiver.from_net(now + ms(10), Channel::Rtp, config.remote_rtp, &held[..held_len]);
        held_len = 0;
    }
    let stats = receiver.stats();
    assert_eq!(allocations() - before, 0);
    assert!(stats.digits_received > 400 && stats.rtcp_received > 10 && stats.garbage > 100, "{stats:?}");
}
