//! The relay engine allocates when it is made and never again: counted at `malloc` itself, since most of it is C.

#![cfg(all(feature = "spandsp", target_os = "linux", target_env = "gnu"))]
// The counting `malloc` of this binary is the one way to see what C does.
#![allow(unsafe_code)]

use core::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tipring_dsp::SILENCE;
use tipring_dsp::spandsp::t38_gateway::{Gateway, GatewayConfig};
use tipring_dsp::spandsp::terminal::{Terminal, TerminalConfig};
use tipring_dsp::spandsp::tiff::{self, Bitmap};

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: glibc's own allocator under its other names.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(n: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(p: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
}

// SAFETY: each passes its arguments on unchanged to the allocator that `free` belongs to.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Relaxed);
    unsafe { __libc_malloc(size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Relaxed);
    unsafe { __libc_calloc(n, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(p: *mut c_void, size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Relaxed);
    unsafe { __libc_realloc(p, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Relaxed);
    unsafe { __libc_memalign(align, size) }
}

#[test]
fn a_whole_call_through_two_gateways_costs_no_malloc() {
    let dir = std::env::temp_dir().join(format!("tipring-alloc-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let rows = (0..200).map(|y| (0..216).map(|i| if (i + y) % 5 == 0 { 0xFF } else { 0 }).collect());
    tiff::write(&dir.join("sent.tif"), &[Bitmap { width: 1728, rows: rows.collect(), x_dpi: 204, y_dpi: 98 }]).expect("written");
    let mut machines = [
        Terminal::new(&TerminalConfig { calling: true, send_tiff: Some(dir.join("sent.tif")), ..TerminalConfig::default() }).unwrap(),
        Terminal::new(&TerminalConfig { receive_tiff: Some(dir.join("got.tif")), ..TerminalConfig::default() }).unwrap(),
    ];
    let before = CALLS.load(Relaxed);
    let mut gateways = [Gateway::new(&GatewayConfig::default()).unwrap(), Gateway::new(&GatewayConfig::default()).unwrap()];
    assert!(CALLS.load(Relaxed) > before, "the count works");
    let (mut ticks, mut in_gateways, mut seq) = (0, 0, [0u16; 2]);
    while ticks < 50 * 120 && machines.iter().any(Terminal::active) {
        ticks += 1;
        for side in 0..2 {
            let (mut from_line, mut to_line) = (SILENCE, SILENCE);
            machines[side].tx(&mut from_line);
            let before = CALLS.load(Relaxed);
            gateways[side].rx(&from_line);
            while let Some(ifp) = gateways[side].poll_ifp() {
                gateways[1 - side].from_ifp(ifp.bytes(), seq[side]);
                seq[side] = seq[side].wrapping_add(1);
            }
            gateways[side].tx(&mut to_line);
            in_gateways += CALLS.load(Relaxed) - before;
            machines[side].rx(&to_line);
        }
    }
    let outcome = machines[1].outcome().expect("the call ended");
    assert_eq!((outcome.text, outcome.pages_received), ("OK", 1));
    assert_eq!(in_gateways, 0, "mallocs in {ticks} ticks");
    gateways[0].reset();
    std::fs::remove_dir_all(dir).ok();
}
