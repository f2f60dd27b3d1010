//! The tick takes no memory and gives none back: not from Rust's allocator, not from the C library's, whose `malloc` this program replaces
//! by one that counts. Two boards with simulated machines at their ports run ten thousand turns each of idle lines, dialling, talking over
//! a bad network, and a fax over T.38 through libspandsp's engine; only `command`, `from_net` and `tick` are watched (the exchange with
//! the ports is the hardware's, or here the machines' own).

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(unsafe_code, missing_docs)] // The C library's allocator is replaced by symbols of the same name.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::net::SocketAddr;
use std::sync::Arc;
use tipring::clock::{Instant, Rng};
use tipring::digit_map::DigitMap;
use tipring::id::{LegId, PortId};
use tipring::line::{Command as LineCommand, Event as LineEvent, LineConfig};
use tipring::media::{AudioConfig, AudioLeg, Channel, LineDigit, Protection, fuzz};
use tipring::srtp::{Keys, MasterKey, Profile, Session};
use tipring::tick::{Board, Command, Event, Leg};
use tipring_dsp::line_model::LineParams;
use tipring_dsp::tone_plan::TonePlan;
use tipring_hw::Port;
use tipring_hw::sim::{Control, Happening, Phone, SimPort};

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    static GIVEN: Cell<u64> = const { Cell::new(0) };
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(n: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(at: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __libc_free(at: *mut c_void);
}

/// Counts on the thread that is being watched, while it is; both cells are without destructor and in static storage.
fn count(which: &'static std::thread::LocalKey<Cell<u64>>) {
    if ARMED.get() {
        which.set(which.get() + 1);
    }
}

// SAFETY (all seven): every call is passed unchanged to the C library's own function of that meaning.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count(&TAKEN);
    unsafe { __libc_malloc(size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    count(&TAKEN);
    unsafe { __libc_calloc(n, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(at: *mut c_void, size: usize) -> *mut c_void {
    count(&TAKEN);
    unsafe { __libc_realloc(at, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    count(&TAKEN);
    unsafe { __libc_memalign(align, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    count(&TAKEN);
    unsafe { __libc_memalign(align, size) }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(at: *mut *mut c_void, align: usize, size: usize) -> c_int {
    count(&TAKEN);
    let block = unsafe { __libc_memalign(align, size) };
    if block.is_null() {
        return 12; // ENOMEM
    }
    unsafe { *at = block };
    0
}
#[unsafe(no_mangle)]
unsafe extern "C" fn free(at: *mut c_void) {
    if !at.is_null() {
        count(&GIVEN);
    }
    unsafe { __libc_free(at) }
}

fn watched<R>(work: impl FnOnce() -> R) -> R {
    ARMED.set(true);
    let result = work();
    ARMED.set(false);
    result
}

/// Datagrams on their way from one board to the other: taken in the tick, so without taking memory.
struct Wire {
    slots: Vec<(Channel, usize, [u8; 1500])>,
    used: usize,
}
impl Wire {
    fn new() -> Self {
        Wire { slots: vec![(Channel::Rtp, 0, [0; 1500]); 64], used: 0 }
    }
    fn put(&mut self, channel: Channel, bytes: &[u8]) {
        if let Some(slot) = self.slots.get_mut(self.used) {
            (slot.0, slot.1) = (channel, bytes.len());
            slot.2[..bytes.len()].copy_from_slice(bytes);
            self.used += 1;
        }
    }
}

/// Two boards and the wires between their only legs.
struct Pair {
    boards: [Board; 2],
    ports: [Vec<Box<dyn Port>>; 2],
    wires: [Wire; 2],
    rng: Rng,
    /// Of ten datagrams, this many are lost, and as many arrive mutated.
    bad: u64,
    turn: u64,
    orders: [VecDeque<Command>; 2],
    happened: Vec<(usize, Event)>,
    /// What happened, in a word each, for the test's own eyes.
    seen: Vec<String>,
    /// What SRTP let through and dropped, in all.
    srtp_passed: u64,
    srtp_dropped: u64,
}

fn address(board: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, board as u8 + 1], 4000))
}

impl Pair {
    fn new(machines: impl Fn(usize) -> Vec<Box<dyn Port>>, bad: u64, seed: u64) -> Self {
        let plan = TonePlan::of("US").expect("a listed country");
        let map = Arc::new(DigitMap::parse("[2-8]xxx|x.T", &["911"]).expect("a map"));
        let ports = [machines(0), machines(1)];
        let board = |n: usize| Board::new((0..n).map(|_| LineConfig::new(plan, map.clone())).collect(), 1, 4, 5000);
        let boards = [board(ports[0].len()), board(ports[1].len())];
        let orders = [VecDeque::new(), VecDeque::new()];
        Pair {
            boards,
            ports,
            wires: [Wire::new(), Wire::new()],
            rng: Rng::new(seed),
            bad,
            turn: 0,
            orders,
            happened: Vec::new(),
            seen: Vec::new(),
            srtp_passed: 0,
            srtp_dropped: 0,
        }
    }

    fn order(&mut self, board: usize, command: Command) {
        self.orders[board].push_back(command);
    }

    fn simulate(&mut self, board: usize, port: u16, control: Control) {
        // By hand, not by command: the machine may take memory for it, the board may not.
        self.ports[board][usize::from(port)].control(control).expect("the machine can");
    }

    /// One turn of both boards. Events are kept for `happened`; memory they hold is given back outside of the watch.
    fn tick(&mut self) {
        self.turn += 1;
        let now = Instant::from_ms(1000 + self.turn * 20);
        for b in 0..2 {
            self.boards[b].gather(&mut self.ports[b]);
            let Pair { boards, ports, wires, rng, bad, orders, happened, .. } = self;
            let (board, ports) = (&mut boards[b], &mut ports[b]);
            let (first, second) = wires.split_at_mut(1);
            let (arriving, leaving) = if b == 0 { (&mut second[0], &mut first[0]) } else { (&mut first[0], &mut second[0]) };
            watched(|| {
                let mut out = |_: LegId, channel: Channel, _: SocketAddr, bytes: &[u8]| leaving.put(channel, bytes);
                while let Some(command) = orders[b].pop_front() {
                    board.command(now, command, ports, &mut out);
                }
                for (channel, n, bytes) in arriving.slots[..arriving.used].iter_mut() {
                    match rng.below(10) {
                        luck if luck < *bad => continue,
                        luck if luck < 2 * *bad => bytes[rng.below(*n as u64) as usize] ^= 1 << rng.below(8),
                        _ => {}
                    }
                    board.from_net(now, LegId(0), *channel, address(1 - b), &bytes[..*n]);
                }
                arriving.used = 0;
                board.tick(now, &mut out);
            });
            while let Some(event) = board.poll_event() {
                happened.push((b, event));
            }
        }
    }

    fn audio(&mut self, board: usize, port: u16, seed: u64) {
        self.audio_under(Protection::Clear, board, port, seed);
    }

    fn audio_under(&mut self, protection: Protection, board: usize, port: u16, seed: u64) {
        let mut config = fuzz::config();
        config.protection = protection;
        (config.remote_rtp, config.remote_rtcp) = (address(1 - board), address(1 - board));
        config.ssrc = seed as u32;
        let leg = Box::new(Leg::Audio(AudioLeg::new(config, seed)));
        self.order(board, Command::Connect { port: PortId(port), leg_id: LegId(0), leg });
    }

    /// What the event domain would do to make a call between port 0 of board 0 and port 0 of board 1; `joined` builds the legs.
    fn answer_events(&mut self, joined: &mut dyn FnMut(&mut Pair)) {
        for (b, event) in std::mem::take(&mut self.happened) {
            let word = match event {
                Event::Line(_, LineEvent::Dialled { .. }) if b == 0 => {
                    self.order(1, Command::Line(PortId(0), LineCommand::Ring { cadence_ms: None }));
                    self.order(0, Command::Line(PortId(0), LineCommand::Ringback));
                    "dialled".into()
                }
                Event::Line(_, LineEvent::Answered) => {
                    joined(self);
                    (0..2).for_each(|b| self.order(b, Command::Line(PortId(0), LineCommand::Connect)));
                    "answered".into()
                }
                Event::Line(_, LineEvent::WentOnHook) => {
                    (0..2).for_each(|b| self.order(b, Command::Disconnect(PortId(0))));
                    self.order(1 - b, Command::Line(PortId(0), LineCommand::FarEndGone));
                    "on hook".into()
                }
                Event::Line(_, other) => format!("{other:?}"),
                Event::Retired { leg, .. } => match *leg {
                    Leg::Audio(leg) => {
                        let s = leg.stats();
                        self.srtp_passed += s.srtp.passed;
                        self.srtp_dropped += s.srtp.not_authentic + s.srtp.replayed + s.srtp.malformed;
                        format!("audio received {} digits {}", s.received, s.digits_received)
                    }
                    Leg::T38(leg) => {
                        let s = leg.stats();
                        format!("t38 pages {} in {} out {}", s.record.pages, s.datagrams_in, s.datagrams_out)
                    }
                },
                Event::Sim(_, event) => match event.what {
                    Happening::FaxDone(report) => format!("fax {:?} ok {}", report.direction, report.ok),
                    _ => continue,
                },
                Event::V21Preamble(_) => "v21".into(),
                Event::Spent(_) => "spent".into(),
                Event::Cng(_) => "cng".into(),
                _ => continue,
            };
            self.seen.push(word);
        }
    }

    fn saw(&self, word: &str) -> usize {
        self.seen.iter().filter(|s| s.starts_with(word)).count()
    }

    fn took_nothing(&self, what: &str) {
        assert_eq!((TAKEN.get(), GIVEN.get()), (0, 0), "{what}: memory taken, given back");
        assert_eq!((self.boards[0].stats().events_lost, self.boards[1].stats().events_lost), (0, 0), "{what}: events lost");
    }
}

fn phones(n: usize) -> Vec<Box<dyn Port>> {
    let plan = TonePlan::of("US").expect("a listed country");
    (0..n).map(|i| Box::new(SimPort::new(Phone::new(plan), LineParams::HOUSE, i as u64)) as Box<dyn Port>).collect()
}

fn begin() {
    TAKEN.set(0);
    GIVEN.set(0);
    watched(|| drop(core::hint::black_box(Box::new(7u64))));
    assert_eq!((TAKEN.replace(0), GIVEN.replace(0)), (1, 1), "the counter counts Rust's memory");
    unsafe extern "C" {
        fn strdup(s: *const core::ffi::c_char) -> *mut core::ffi::c_char;
    }
    // SAFETY: a string literal, copied by the C library and freed as it says.
    watched(|| unsafe { free(core::hint::black_box(strdup(c"x".as_ptr())).cast()) });
    assert_eq!((TAKEN.replace(0), GIVEN.replace(0)), (1, 1), "the counter counts what the C library takes inside itself");
}

const TURNS: u64 = 10_000;

#[test]
fn req_k6_idle_and_ringing_lines_take_no_memory_in_the_tick() {
    begin();
    let mut pair = Pair::new(|_| phones(8), 0, 1);
    for turn in 0..TURNS {
        if turn % 1000 == 500 {
            pair.order(0, Command::Line(PortId(3), LineCommand::Ring { cadence_ms: None }));
            pair.order(0, Command::Line(PortId(4), LineCommand::MessagesWaiting(turn % 2000 == 500)));
        }
        if turn % 1000 == 900 {
            pair.order(0, Command::Line(PortId(3), LineCommand::StopRinging));
        }
        // Datagrams for legs that are not connected.
        pair.wires[0].put(Channel::Rtp, &[0x80; 172]);
        pair.tick();
        pair.happened.clear();
    }
    pair.took_nothing("idle");
    assert!(pair.boards[1].stats().stray_datagrams > 9000);
}

#[test]
fn req_k6_lifting_dialling_and_hanging_up_take_no_memory_in_the_tick() {
    begin();
    let mut pair = Pair::new(|_| phones(4), 0, 2);
    for turn in 0..TURNS {
        let (step, round) = (turn % 500, turn / 500);
        let dial = |digits: &str| match round % 2 {
            0 => Control::Dial { keys: digits.into(), on_ms: 60, off_ms: 60 },
            _ => Control::PulseDial { digits: digits.into(), pulses_per_second: 20, break_percent: 60 },
        };
        match step {
            10 => (0..4).for_each(|p| pair.simulate(0, p, Control::OffHook)),
            60 => (0..4).for_each(|p| {
                pair.simulate(
                    0,
                    p,
                    dial(["2345", "911", "1999#", "3"][usize::from(p)].trim_end_matches(if round % 2 == 1 { '#' } else { '~' })),
                )
            }),
            250 => pair.order(0, Command::Line(PortId(0), LineCommand::Busy)),
            255 => pair.order(0, Command::Line(PortId(1), LineCommand::Ringback)),
            260 => pair.order(0, Command::Patch(PortId(0), PortId(1))),
            261 => pair.order(0, Command::Line(PortId(1), LineCommand::Connect)),
            280 => pair.simulate(0, 1, Control::Flash { ms: 300 }),
            300 => pair.order(0, Command::Line(PortId(1), LineCommand::DialTone)),
            330 => pair.order(0, Command::Disconnect(PortId(0))),
            340 => pair.order(0, Command::Line(PortId(2), LineCommand::Reorder)),
            400 => (0..4).for_each(|p| pair.simulate(0, p, Control::OnHook)),
            _ => {}
        }
        pair.tick();
        for (_, event) in std::mem::take(&mut pair.happened) {
            if let Event::Line(_, event) = event {
                pair.seen.push(format!("{event:?}"));
            }
        }
    }
    pair.took_nothing("dialling");
    assert!(pair.saw("Dialled") >= 50 && pair.saw("Flash") >= 15 && pair.saw("WentOnHook") >= 60, "{:?}", pair.seen);
}

#[test]
fn req_k6_talking_over_a_bad_network_takes_no_memory_in_the_tick() {
    begin();
    let mut pair = Pair::new(|_| phones(1), 1, 3);
    pair.simulate(1, 0, Control::AutoAnswer { after_rings: Some(1) });
    let mut rng = Rng::new(9);
    for turn in 0..TURNS {
        match turn % 2500 {
            10 => pair.simulate(0, 0, Control::Call { number: "3001".into() }),
            700 => pair.simulate(0, 0, Control::Play { samples: (0..80_000).map(|_| rng.next_u64() as i16 / 4).collect() }),
            1300 => pair.simulate(0, 0, Control::Dial { keys: "0123456789".into(), on_ms: 80, off_ms: 80 }),
            1900 => pair.order(1, Command::PassThrough(PortId(0))),
            2300 => pair.simulate(0, 0, Control::OnHook),
            2320 => pair.simulate(1, 0, Control::OnHook),
            _ => {}
        }
        pair.tick();
        pair.answer_events(&mut |pair| {
            pair.audio(0, 0, turn);
            pair.audio(1, 0, turn + 1);
        });
    }
    pair.took_nothing("audio");
    assert_eq!(pair.saw("answered"), 4, "{:?}", pair.seen);
    // Ten keys a call; packets with a flipped bit add some. Nothing comes back to the board that sent them.
    let digits =
        |s: &String| s.strip_prefix("audio received ").and_then(|s| s.rsplit_once("digits ")).and_then(|(_, n)| n.parse::<u32>().ok());
    let digits: Vec<u32> = pair.seen.iter().filter_map(digits).collect();
    assert!(digits.len() == 8 && digits.chunks(2).all(|d| d[0] == 0 && d[1] >= 10), "{:?}", pair.seen);
}

/// Keys `n` of board `b`: the other has them the other way round.
fn session(n: u8, b: usize) -> Box<Session> {
    let profile = Profile::ALL[usize::from(n) % Profile::ALL.len()];
    let key = |own: bool| MasterKey::from_octets(profile, &[2 * n + u8::from(own == (b == 0)); 44][..MasterKey::octets_of(profile)]);
    Box::new(Session::new(&Keys::new(profile, key(true).expect("a key"), key(false).expect("a key")).expect("keys of one profile")))
}

#[test]
fn req_k5_k6_talking_behind_srtp_with_keys_that_change_takes_no_memory_in_the_tick() {
    begin();
    let mut pair = Pair::new(|_| phones(1), 1, 3);
    pair.simulate(1, 0, Control::AutoAnswer { after_rings: Some(1) });
    let mut keys = 0;
    for turn in 0..TURNS {
        match turn % 2500 {
            10 => pair.simulate(0, 0, Control::Call { number: "3001".into() }),
            // The legs begin without keys; then they have some, then others, and once a board is given keys for a leg that is not there.
            700 | 1200 | 1700 | 2450 => {
                keys += 1;
                (0..2).for_each(|b| pair.order(b, Command::Secure(PortId(0), session(keys, b))));
            }
            2300 => pair.simulate(0, 0, Control::OnHook),
            2320 => pair.simulate(1, 0, Control::OnHook),
            _ => {}
        }
        pair.tick();
        pair.answer_events(&mut |pair| (0..2).for_each(|b| pair.audio_under(Protection::Awaiting, b, 0, turn + b as u64)));
    }
    pair.took_nothing("SRTP");
    assert_eq!(pair.saw("answered"), 4, "{:?}", pair.seen);
    // Two of the three sets of keys of each call, and the one without a call, come back; on both sides.
    assert_eq!(pair.saw("spent"), 4 * 2 * 3, "{:?}", pair.seen);
    // 1,600 turns of each call, both ways, sent and heard, but for the tenth that was lost and the tenth that was mutated.
    assert!(pair.srtp_passed > 4 * 1600 * 2 * 17 / 10, "{}", pair.srtp_passed);
    assert!(pair.srtp_dropped > 4 * 1600 * 2 / 15, "{}", pair.srtp_dropped);
}

#[test]
fn forged_packets_of_300_000_sources_take_no_memory_and_at_most_a_tag_each() {
    begin();
    let config = AudioConfig { protection: fuzz::protection(1, 2), ..fuzz::config() };
    let (from, mut now) = (config.remote_rtp, Instant::from_ms(1000));
    let mut leg = AudioLeg::new(config, 1);
    let Protection::Srtp(mut peer) = fuzz::protection(2, 1) else { panic!("keys") };
    let mut to_line = tipring_dsp::SILENCE;
    let mut rng = Rng::new(7);
    let mut heard = 0;
    for n in 0..300_000u32 {
        let mut forged = [0u8; 182];
        forged.chunks_mut(8).for_each(|c| c.copy_from_slice(&rng.next_u64().to_be_bytes()[..c.len()]));
        // Half of it is RTP, half RTCP with its E bit set; each of another source.
        let (second, at) = if n % 2 == 0 { (0, 8) } else { (200, 4) };
        forged[..2].copy_from_slice(&[0x80, second]);
        forged[at..at + 4].copy_from_slice(&n.to_be_bytes());
        forged[168] |= 0x80;
        watched(|| leg.from_net(now, Channel::Rtp, from, &forged));
        // A thousand of them between any two packets of the peer's.
        if n % 1000 == 0 {
            now = now + tipring::clock::ms(20);
            let mut packet = [0x55; 200];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&((n / 1000) as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(n / 1000 * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&0xFEED_F00Du32.to_be_bytes());
            let n = peer.protect_rtp(&mut packet, 172).expect("room");
            watched(|| {
                leg.from_net(now, Channel::Rtp, from, &packet[..n]);
                leg.tick(now, &tipring_dsp::SILENCE, LineDigit::None, &mut to_line, &mut |_, _, _| {});
            });
            heard += 1;
        }
    }
    assert_eq!((TAKEN.get(), GIVEN.get()), (0, 0), "memory taken, given back");
    let stats = leg.stats();
    assert_eq!((stats.received, stats.srtp.not_authentic, heard), (300, 300_000, 300));
    // The very first came before anybody was known, and was tried on either side of a roll-over.
    assert!(stats.srtp.tags_checked <= 300_000 + 300 + 1, "{}", stats.srtp.tags_checked);
    assert_eq!((stats.ssrc_changes, stats.address_changes, stats.lost), (0, 0, 0));
}

#[cfg(feature = "spandsp")]
#[test]
fn req_k6_a_fax_over_t38_takes_no_memory_in_the_tick() {
    use tipring::fax::t38::relay::{T38Config, T38Leg};
    use tipring_dsp::page::{chart::Letter, tiff};
    use tipring_hw::sim::fax::{FaxMachine, FaxSettings};
    begin();
    let dir = std::env::temp_dir().join(format!("tipring-tick-alloc-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for the test");
    let pages: Vec<_> = (1..=2).map(|n| Letter::new(4, n, 2).with_rows(400).draw().expect("a page")).collect();
    let file = dir.join("sent.tif");
    std::fs::write(&file, tiff::write(&pages, tiff::Options::default())).expect("the pages are written");
    let machine = |b: usize| -> Box<dyn Port> {
        let settings = FaxSettings {
            plan: TonePlan::of("US").expect("a listed country"),
            ident: format!("{}003", b + 2),
            ecm: true,
            max_bps: 14_400,
            answer_after_rings: Some(1),
            receive_into: Some(dir.clone()),
            name: format!("fax{b}"),
        };
        Box::new(SimPort::new(FaxMachine::new(settings), LineParams::HOUSE, b as u64))
    };
    let mut pair = Pair::new(|b| vec![machine(b)], 0, 5);
    for turn in 0..TURNS {
        if turn % 5000 == 10 {
            let tiff = dir.join(format!("sent-{turn}.tif"));
            std::fs::copy(&file, &tiff).expect("the pages are copied");
            pair.simulate(0, 0, Control::SendFax { number: "3003".into(), tiff });
        }
        pair.tick();
        pair.answer_events(&mut |pair| {
            for b in 0..2 {
                let leg = T38Leg::new(&T38Config::without_a_call(address(1 - b))).expect("a leg");
                pair.order(b, Command::Connect { port: PortId(0), leg_id: LegId(0), leg: Box::new(Leg::T38(leg)) });
            }
        });
    }
    let _gone = std::fs::remove_dir_all(&dir);
    assert_eq!(pair.saw("fax Received ok true"), 2, "{:?}", pair.seen);
    assert_eq!(pair.saw("t38 pages 2"), 4, "{:?}", pair.seen);
    pair.took_nothing("T.38");
}
