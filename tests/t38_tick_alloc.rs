//! A T.38 leg takes all its memory in `new`: a whole call, with loss, costs no `malloc` in `tick` and `from_net`, in Rust or in C.
//!
//! With `TIPRING_PCAP=FILE` the datagrams are written there, for tshark as a second reader:
//! `tshark -r FILE -d udp.port==4001,t38 -d udp.port==4002,t38 -V`.

#![cfg(all(feature = "spandsp", target_os = "linux", target_env = "gnu"))]
// The counting `malloc` of this binary is the one way to see what C does.
#![allow(unsafe_code, clippy::disallowed_methods)]

use core::cell::Cell;
use core::ffi::c_void;
use core::net::SocketAddr;
use std::sync::Arc;
use tipring::clock::{Instant, Rng};
use tipring::dtls::fuzz::{certificate, params, speak};
use tipring::dtls::{Association, Certificate, Dimpl, Engine, Expected, Records, Role, SeededForSimulation};
use tipring::fax::t38::relay::{T38Config, T38Leg};
use tipring::fax::t38::rtp::RtpTerms;
use tipring::fax::t38::transport::Transport;
use tipring::fax::t38::udptl::ErrorCorrection;
use tipring_dsp::SILENCE;
use tipring_dsp::spandsp::terminal::{Terminal, TerminalConfig};
use tipring_dsp::spandsp::tiff::{self, Bitmap};

thread_local! {
    /// The thread that runs the call; the test harness has one of its own, which may allocate whenever it likes.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    if COUNTED.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: glibc's own allocator under its other names.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(n: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(p: *mut c_void, size: usize) -> *mut c_void;
}
// SAFETY: each passes its arguments on unchanged to the allocator that `free` belongs to.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    unsafe { __libc_malloc(size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    count();
    unsafe { __libc_calloc(n, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(p: *mut c_void, size: usize) -> *mut c_void {
    count();
    unsafe { __libc_realloc(p, size) }
}

fn pcap_record(file: &mut Vec<u8>, at_ms: u64, from: u16, to: u16, payload: &[u8]) {
    let ip_len = 28 + payload.len() as u16;
    file.extend(((at_ms / 1000) as u32).to_le_bytes());
    file.extend(((at_ms % 1000 * 1000) as u32).to_le_bytes());
    file.extend(u32::from(ip_len).to_le_bytes());
    file.extend(u32::from(ip_len).to_le_bytes());
    file.extend([0x45, 0, (ip_len >> 8) as u8, ip_len as u8, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    for field in [from, to, 8 + payload.len() as u16, 0] {
        file.extend(field.to_be_bytes());
    }
    file.extend(payload);
}

#[test]
fn a_whole_call_costs_no_malloc_in_the_tick() {
    COUNTED.set(true);
    assert!({
        let before = CALLS.get();
        drop(std::hint::black_box(Box::new(before)));
        CALLS.get() > before
    });
    let dir = std::env::temp_dir().join(format!("tipring-leg-alloc-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let rows = (0..400).map(|y| (0..216).map(|i| if (i + y) % 5 == 0 { 0xFF } else { 0 }).collect());
    tiff::write(&dir.join("sent.tif"), &[Bitmap { width: 1728, rows: rows.collect(), x_dpi: 204, y_dpi: 98 }]).expect("written");
    let kinds = [
        (0, ErrorCorrection::default(), false),
        (3, ErrorCorrection::Fec { span: 3, entries: 3 }, false),
        (0, ErrorCorrection::default(), true),
        (0, ErrorCorrection::None, false),
    ];
    let kinds = kinds.map(|(version, correction, dtls)| (version, correction, if dtls { "DTLS" } else { "UDPTL" }));
    let in_rtp = [(0, ErrorCorrection::default(), "SRTP"), (0, ErrorCorrection::None, "SRTP without copies")];
    for (version, correction, by) in kinds.into_iter().chain(in_rtp) {
        let mut machines = [
            Terminal::new(&TerminalConfig { calling: true, send_tiff: Some(dir.join("sent.tif")), ..TerminalConfig::default() }).unwrap(),
            Terminal::new(&TerminalConfig { receive_tiff: Some(dir.join("got.tif")), ..TerminalConfig::default() }).unwrap(),
        ];
        let at = |n: usize| SocketAddr::from(([192, 0, 2, n as u8 + 1], 4001 + n as u16));
        let mut transports = match by {
            "DTLS" => in_dtls(),
            "UDPTL" => [Transport::Udptl, Transport::Udptl],
            _ => in_srtp(by == "SRTP"),
        }
        .into_iter();
        let mut leg = |peer| {
            let config = T38Config { version, error_correction: correction, ..T38Config::without_a_call(at(peer)) };
            T38Leg::new(&config).unwrap().over(transports.next().expect("two"))
        };
        let mut legs = [leg(1), leg(0)];
        let mut wires: [heapless::Deque<heapless::Vec<u8, 1500>, 64>; 2] = Default::default();
        let mut pcap = vec![0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 101, 0, 0, 0];
        let mut rng = Rng::new(9);
        let (mut ticks, mut mallocs, mut spent) = (0u64, 0, std::time::Duration::ZERO);
        while ticks < 50 * 120 && machines.iter().any(Terminal::active) {
            ticks += 1;
            let now = Instant::from_ms(ticks * 20);
            for side in 0..2 {
                let (mut from_line, mut to_line) = (SILENCE, SILENCE);
                machines[side].tx(&mut from_line);
                let (began, before) = (std::time::Instant::now(), CALLS.get());
                while let Some(d) = wires[side].pop_front() {
                    legs[side].from_net(now, at(1 - side), &d);
                }
                let (wire, rng) = (&mut wires[1 - side], &mut rng);
                legs[side].tick(now, &from_line, &mut to_line, &mut |_, octets| {
                    if !rng.chance(0.02) {
                        let _ = wire.push_back(heapless::Vec::from_slice(octets).unwrap());
                    }
                });
                let _ = legs[side].stats();
                mallocs += CALLS.get() - before;
                spent += began.elapsed();
                machines[side].rx(&to_line);
                for d in wires[1 - side].iter() {
                    pcap_record(&mut pcap, ticks * 20, 4001 + side as u16, 4002 - side as u16, d);
                }
            }
        }
        let outcome = machines[1].outcome().expect("the call ended");
        assert_eq!((outcome.text, outcome.pages_received), ("OK", 1));
        assert_eq!(mallocs, 0, "mallocs in {ticks} ticks");
        let us = spent.as_secs_f64() * 1e6 / (2 * ticks) as f64;
        println!("version {version}, {correction:?}, {by}: {ticks} ticks, two legs, {us:.1} us a leg and tick");
        if let Some(file) = std::env::var_os("TIPRING_PCAP") {
            let mut name = file;
            name.push(format!(".v{version}"));
            std::fs::write(name, pcap).expect("the capture is written");
        }
    }
    std::fs::remove_dir_all(dir).ok();
}

/// The record layers of two ends that have proven each other.
fn proven(engine: &dyn Engine, certificates: [Certificate; 2]) -> [Box<Records>; 2] {
    let (certificates, now) = (certificates.map(Arc::new), Instant::from_ms(1000));
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let mut client = Association::new(now, params(Role::Client, &certificates[0], expected(1)), engine);
    let mut server = Association::new(now, params(Role::Server, &certificates[1], expected(0)), engine);
    speak(now, [&mut client, &mut server], &mut |_, _| true);
    [client, server].map(|mut a| a.take_records().expect("proven"))
}

fn in_srtp(red: bool) -> [Transport; 2] {
    [1, 2].map(|end| {
        let terms = RtpTerms { payload_type: 98, redundancy_pt: red.then_some(97), ssrc: end, first_sequence: 9, first_timestamp: 7 };
        Transport::rtp(terms, tipring::media::fuzz::protection(end as u8, 3 - end as u8))
    })
}

fn in_dtls() -> [Transport; 2] {
    proven(&Dimpl, [certificate(), certificate()]).map(|records| Transport::dtls(Some(records)))
}

#[test]
fn what_goes_by_dtls_costs_no_malloc_either() {
    COUNTED.set(true);
    let simulated = [1, 2].map(Certificate::for_simulation);
    for (engine, certificates) in [(&Dimpl as &dyn Engine, [certificate(), certificate()]), (&SeededForSimulation(1), simulated)] {
        let [mut a, mut b] = proven(engine, certificates);
        let (mut wire, mut heard) = ([0; 1500], 0);
        let before = CALLS.get();
        for i in 0..10_000usize {
            let n = a.seal(&{ wire }[..i % 1000], &mut wire).expect("it fits");
            if i % 7 == 0 {
                wire[n - 1] ^= 1;
            }
            b.open(&wire[..n], &mut |_| heard += 1);
        }
        assert_eq!(CALLS.get(), before, "mallocs in 10,000 records");
        assert_eq!(heard, 10_000 - 10_000usize.div_ceil(7));
    }
}
