//! Long fuzzing of the relay without cargo-fuzz: `t38fuzz sequences|calls|raw|replay SECONDS SEED [CRASHFILE]`.
//!
//! `sequences` runs random command strings through `fuzz::t38_sequence`; `calls` mutates, drops, repeats and reorders IFP packets of live
//! calls between two fax machines; `raw` is `sequences` without the filter, straight into libspandsp: it shows what the filter is for.
//! What is about to run is written to CRASHFILE first, so a process that dies leaves the input behind.

#[cfg(not(feature = "spandsp"))]
fn main() {
    eprintln!("t38fuzz needs the feature `spandsp`");
}

#[cfg(feature = "spandsp")]
fn main() {
    run::main();
}

#[cfg(feature = "spandsp")]
#[allow(clippy::disallowed_methods)] // a tool may look at the clock
mod run {
    use core::net::SocketAddr;
    use std::collections::VecDeque;
    use std::time::{Duration, Instant as Wall};
    use tipring::clock::{Instant, Rng};
    use tipring::fax::t38::engine::{Engine, SpandspEngine, Step};
    use tipring::fax::t38::fuzz;
    use tipring::fax::t38::ifp::{self, Data, DataType, FieldType, Indicator, Packet, Syntax};
    use tipring::fax::t38::relay::{T38Config, T38Leg};
    use tipring::fax::t38::udptl::{self, Class, ErrorCorrection, Sender};
    use tipring_dsp::SILENCE;
    use tipring_dsp::spandsp::terminal::{Terminal, TerminalConfig};
    use tipring_dsp::spandsp::tiff::{self, Bitmap};

    pub fn main() {
        let args: Vec<String> = std::env::args().collect();
        let (Some(mode), Some(seconds)) = (args.get(1), args.get(2).and_then(|s| s.parse().ok())) else {
            eprintln!("t38fuzz sequences|calls|raw|replay SECONDS SEED [CRASHFILE]");
            std::process::exit(2);
        };
        let seed: u64 = args.get(3).and_then(|s| s.parse().ok()).unwrap_or(1);
        let crash = args.get(4).cloned().unwrap_or_else(|| format!("/tmp/t38fuzz-{mode}-{seed}"));
        if mode == "replay" {
            fuzz::t38_sequence(&std::fs::read(&crash).expect("the crash file can be read"));
            return;
        }
        let end = Wall::now() + Duration::from_secs(seconds);
        let mut rng = Rng::new(seed);
        let (mut runs, mut packets, mut ok) = (0u64, 0u64, 0u64);
        while Wall::now() < end {
            let input = rng.next_u64();
            match mode.as_str() {
                "calls" => {
                    std::fs::write(&crash, input.to_string()).expect("the crash file can be written");
                    let (n, good) = call(input);
                    packets += n;
                    ok += u64::from(good);
                }
                _ => {
                    let bytes = sequence(&mut Rng::new(input));
                    std::fs::write(&crash, &bytes).expect("the crash file can be written");
                    packets += bytes.len() as u64 / 3;
                    if mode == "raw" { raw(&bytes) } else { fuzz::t38_sequence(&bytes) }
                }
            }
            runs += 1;
        }
        std::fs::remove_file(&crash).ok();
        let cpu = cpu_seconds();
        println!("{mode} seed {seed}: {runs} runs, {packets} packets, {ok} calls intact, {cpu:.0} CPU-seconds, no crash");
    }

    /// User and system time of this process, from /proc (100 ticks a second).
    fn cpu_seconds() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or("").split(' ').filter_map(|f| f.parse().ok()).collect();
        // Behind the name and the state letter: field 14 and 15 of proc(5) are 10 and 11 here.
        (fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0)) / 100.0
    }

    /// A string of commands, biased to what gets deep: whole frames with names that change the state, carriers, long waits.
    fn sequence(rng: &mut Rng) -> Vec<u8> {
        const FCF: [u8; 16] = [0x01, 0x02, 0x04, 0x81, 0x41, 0xC1, 0x48, 0xC8, 0x21, 0x22, 0x23, 0x7D, 0x74, 0x31, 0x5F, 0x84];
        let mut s = vec![rng.next_u64() as u8];
        // Some fill the engine's queue of 256 faster than the line drains it.
        let flood = rng.chance(0.1);
        let commands = 1 + rng.below(if flood { 1500 } else { 60 });
        for _ in 0..commands {
            let line = if rng.chance(0.4) { 0x80 } else { 0 };
            let pick = |rng: &mut Rng| FCF[rng.below(16) as usize];
            match rng.below(10) {
                0..=2 => s.extend([line, rng.below(16) as u8]),
                3..=5 => {
                    // A whole V.21 frame: indicator, data, end.
                    s.extend([line, 3]);
                    let form = 2 | (rng.below(2) as u8) << 3 | line;
                    s.extend([form, 0, 8, pick(rng), [0x00, 0x04, 0x20, 0x24, 0x30][rng.below(5) as usize]]);
                    if form & 8 == 0 {
                        s.pop();
                    }
                    s.extend([2 | line | 0x10, [0x20, 0x40, 0x50, 0x10][rng.below(4) as usize], 0, 0]);
                    if rng.chance(if flood { 0.01 } else { 0.5 }) {
                        s.extend([6, rng.next_u64() as u8]);
                    }
                }
                6 => s.extend([2 | 0x10 | line, rng.next_u64() as u8, rng.next_u64() as u8, rng.next_u64() as u8]),
                7 => s.extend([
                    2 | 0x10 | line,
                    (1 + rng.below(8) as u8) | [0x00, 0x60, 0x20, 0x70][rng.below(4) as usize],
                    rng.next_u64() as u8,
                    0,
                ]),
                _ if flood && rng.chance(0.97) => {}
                _ => s.extend([6, rng.next_u64() as u8]),
            }
            if rng.chance(0.05) {
                s.push(rng.next_u64() as u8);
            }
        }
        s
    }

    /// The same commands without a filter.
    fn raw(bytes: &[u8]) {
        let config = tipring_dsp::spandsp::t38_gateway::GatewayConfig::default();
        let mut two = [SpandspEngine::new(&config).expect("an engine"), SpandspEngine::new(&config).expect("an engine")];
        let (mut a, mut b) = (SILENCE, SILENCE);
        let mut commands = bytes.iter().copied().skip(1);
        while let (Some(op), Some(arg)) = (commands.next(), commands.next()) {
            let who = &mut two[usize::from(op >> 7)];
            match op & 7 {
                0 | 1 => who.from_net(Step::Indicator(Indicator::ALL[usize::from(arg) % Indicator::ALL.len()])),
                2..=5 => {
                    let modem = DataType::ALL[usize::from(arg & 15) % DataType::ALL.len()];
                    let kind = FieldType::ALL[usize::from(arg >> 4) % FieldType::ALL.len()];
                    let len = usize::from(commands.next().unwrap_or(0));
                    let mut data = [0u8; 300];
                    match op >> 3 & 3 {
                        0 | 1 => data[..8].copy_from_slice(&[0xFF, 0xC8, commands.next().unwrap_or(0), 0, 0x04, 0x21, 0x20, 0]),
                        _ => data.fill(commands.next().unwrap_or(0)),
                    }
                    who.from_net(Step::Field { modem, kind, data: &data[..len] });
                }
                _ => {
                    for _ in 0..=arg >> 1 {
                        two[0].to_line(&mut a);
                        two[1].to_line(&mut b);
                        two[0].from_line(&b);
                        two[1].from_line(&a);
                        two.iter_mut().for_each(|e| while e.poll().is_some() {});
                    }
                }
            }
        }
    }

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n as u8], 4000))
    }

    /// A live call with a network that changes packets.
    fn call(seed: u64) -> (u64, bool) {
        let mut rng = Rng::new(seed);
        let dir = std::env::temp_dir().join(format!("t38fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let sent = dir.join("sent.tif");
        if !sent.exists() {
            let rows = (0..80).map(|y| (0..216).map(|i| if (i + y) % 7 < 2 { 0xF0 } else { 0 }).collect());
            let page = Bitmap { width: 1728, rows: rows.collect(), x_dpi: 204, y_dpi: 196 };
            tiff::write(&sent, &[page.clone(), page]).expect("written");
        }
        let ecm = rng.chance(0.5);
        let max_bps = [4800, 9600, 14400][rng.below(3) as usize];
        let machine = |calling| {
            let (send_tiff, receive_tiff) = if calling { (Some(sent.clone()), None) } else { (None, Some(dir.join("got.tif"))) };
            Terminal::new(&TerminalConfig { calling, send_tiff, receive_tiff, ecm, max_bps, ..TerminalConfig::default() })
                .expect("a machine")
        };
        let mut machines = [machine(true), machine(false)];
        let version = rng.below(2) as u8;
        let syntax = Syntax::of_version(version);
        let leg = |n: usize| T38Leg::new(&T38Config { version, ..T38Config::without_a_call(address(1 - n)) }).expect("a leg");
        let mut legs = [leg(0), leg(1)];
        let mut wires: [VecDeque<Vec<u8>>; 2] = Default::default();
        let mut senders = [Sender::new(ErrorCorrection::None, 1400), Sender::new(ErrorCorrection::None, 1400)];
        let mut history: VecDeque<Vec<u8>> = VecDeque::new();
        let rate = [0.0005, 0.005, 0.03, 0.2][rng.below(4) as usize];
        let mut packets = 0;
        for tick in 0..50 * 60u64 {
            let now = Instant::from_ms(tick * 20);
            for side in 0..2 {
                while let Some(d) = wires[side].pop_front() {
                    legs[side].from_net(now, address(1 - side), &d);
                }
                let (mut from_line, mut to_line) = (SILENCE, SILENCE);
                machines[side].tx(&mut from_line);
                let mut made: Vec<Vec<u8>> = Vec::new();
                legs[side].tick(now, &from_line, &mut to_line, &mut |_, o| {
                    if let Ok(d) = udptl::parse(o) {
                        made.push(d.primary.to_vec());
                    }
                });
                machines[side].rx(&to_line);
                for p in made {
                    history.push_back(p.clone());
                    if history.len() > 300 {
                        history.pop_front();
                    }
                    let mut burst = vec![p];
                    if rng.chance(rate) {
                        mutate(&mut rng, &mut burst, &history, syntax);
                    }
                    for p in burst {
                        packets += 1;
                        let mut out = [0u8; 1500];
                        if let Some(n) = senders[side].emit(&p, Class::Control, &mut out) {
                            wires[1 - side].push_back(out[..n].to_vec());
                        }
                    }
                }
            }
            if machines.iter().all(|m| !m.active()) {
                break;
            }
        }
        let ok = machines.iter().all(|m| m.outcome().is_some_and(|o| o.ok()));
        (packets, ok)
    }

    fn mutate(rng: &mut Rng, burst: &mut Vec<Vec<u8>>, history: &VecDeque<Vec<u8>>, syntax: Syntax) {
        let p = burst[0].clone();
        let old = |rng: &mut Rng| history[rng.below(history.len() as u64) as usize].clone();
        let indicator = |rng: &mut Rng| {
            let mut out = [0u8; 8];
            let n = Packet::Indicator(Indicator::ALL[rng.below(23) as usize]).emit(syntax, &mut out).unwrap_or(0);
            out[..n].to_vec()
        };
        match rng.below(9) {
            0 => burst.clear(),
            1 => burst.push(p),
            2 => burst.insert(0, old(rng)),
            3 => burst[0] = old(rng),
            4 => (0..1 + rng.below(40)).for_each(|_| burst.push(old(rng))),
            5 => burst.push(indicator(rng)),
            6 => {
                // The same data by another modem or of another kind.
                if let Ok(Packet::Data(d)) = ifp::parse(&p, syntax) {
                    let mut changed = Data::new(DataType::ALL[rng.below(9) as usize]);
                    for f in d.fields() {
                        let kind = if rng.chance(0.5) { FieldType::ALL[rng.below(8) as usize] } else { f.kind };
                        let _ = changed.push(kind, f.data);
                    }
                    let mut out = [0u8; 1400];
                    if let Ok(n) = Packet::Data(changed).emit(syntax, &mut out) {
                        burst.push(out[..n].to_vec());
                    }
                }
            }
            7 => {
                let i = rng.below(p.len() as u64) as usize;
                burst[0][i] ^= 1 << rng.below(8);
            }
            _ => {
                // A whole frame that changes the state, out of the blue.
                let fcf = [0x81, 0x41, 0xC1, 0x48, 0x21, 0x22, 0x74, 0x5F][rng.below(8) as usize];
                burst.push(vec![0x06]);
                for (kind, data) in [(FieldType::HdlcData, &[0xFF, 0xC8, fcf, 0, 0x04, 0x21, 0x20][..]), (FieldType::HdlcFcsOkSigEnd, &[])]
                {
                    let mut out = [0u8; 64];
                    if let Ok(n) = Data::one(DataType::V21, kind, data).and_then(|d| Packet::Data(d).emit(syntax, &mut out)) {
                        burst.push(out[..n].to_vec());
                    }
                }
                if rng.chance(0.7) {
                    burst.push(indicator(rng));
                    burst.push(old(rng));
                }
            }
        }
    }
}
