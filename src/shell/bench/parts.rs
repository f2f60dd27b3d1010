//! The parts that cost about the same at every turn: signal processing and legs.

use super::Figure;
#[cfg(feature = "spandsp")]
use super::fax_call;
use super::measure::{Budget, best};
use super::signal;
use crate::clock::Instant;
use crate::media::{AudioConfig, AudioLeg, Channel, Direction, LineDigit, jitter};
use std::hint::black_box;
use std::net::SocketAddr;
use tipring_dsp::dtmf::receiver::{DigitEvents, Receiver};
use tipring_dsp::front::FrontEnd;
use tipring_dsp::g711::Law;
use tipring_dsp::plc::Concealer;
use tipring_dsp::resample::Resampler;
use tipring_dsp::v21::PreambleDetector;
use tipring_dsp::watch::Watch;
use tipring_dsp::{FRAME_SAMPLES, Frame, SILENCE};

/// Chooses all inputs.
const SEED: u64 = 2;
/// Length of the inputs that are not whole calls.
const SECONDS: usize = 20;

fn samples(frames: &[Frame]) -> u64 {
    (frames.len() * FRAME_SAMPLES) as u64
}

fn over(budget: &Budget, frames: &[Frame], mut each: impl FnMut(&Frame)) -> f64 {
    best(budget, samples(frames), || frames.iter().for_each(&mut each))
}

pub fn dtmf_rx(budget: &Budget) -> Result<Figure, String> {
    let (mut front, mut receiver) = (FrontEnd::new(), Receiver::new());
    let mut heard = 0;
    let ns = over(budget, &signal::speech_with_digits(SEED, SECONDS), |frame| {
        let mut events = DigitEvents::new();
        receiver.rx(front.rx(frame), &mut events);
        heard += events.len();
    });
    if heard == 0 { Err("no digit was heard".into()) } else { Ok(Figure::PerSample(ns)) }
}

/// Both sides of a fax call as their lines heard it, one after the other; speech where no fax machine is built in.
fn modem_signal() -> Result<Vec<Frame>, String> {
    #[cfg(feature = "spandsp")]
    {
        let [caller, called] = fax_call::record()?;
        Ok([caller.lines, called.lines].concat())
    }
    #[cfg(not(feature = "spandsp"))]
    Ok(signal::speech_with_digits(SEED, SECONDS))
}

pub fn watch_all(budget: &Budget) -> Result<Figure, String> {
    let mut dearest = 0f64;
    for frames in [signal::speech(SEED, SECONDS), modem_signal()?] {
        let mut watch = Watch::new();
        dearest = dearest.max(over(budget, &frames, |frame| {
            black_box(watch.rx(frame));
        }));
    }
    Ok(Figure::PerSample(dearest))
}

pub fn v21_rx(budget: &Budget) -> Result<Figure, String> {
    let (mut front, mut v21) = (FrontEnd::new(), PreambleDetector::new());
    let mut heard = 0;
    let ns = over(budget, &modem_signal()?, |frame| v21.rx(front.rx(frame), |_| heard += 1));
    if heard == 0 { Err("no preamble was heard".into()) } else { Ok(Figure::PerSample(ns)) }
}

#[cfg(feature = "spandsp")]
pub fn relay_call_mean(budget: &Budget) -> Result<Figure, String> {
    let scripts = fax_call::record()?;
    let mut total = 0.0;
    for script in &scripts {
        let mut fault = None;
        // Making the leg is the event domain's work; it is some microseconds of a call of half a minute.
        total += best(&Budget { cpu_ns: budget.cpu_ns / 2 }, samples(&script.lines), || match script.leg() {
            Ok(mut leg) => {
                script.play(&mut leg);
                if !script.agrees(&leg) {
                    fault = Some("a leg did not do the same again".into());
                }
            }
            Err(why) => fault = Some(why),
        });
        if let Some(why) = fault {
            return Err(why);
        }
    }
    Ok(Figure::PerSample(total / scripts.len() as f64))
}

fn audio_leg(here: u16, there: u16) -> AudioLeg {
    let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let config = AudioConfig {
        law: Law::Mu,
        payload_type: 0,
        telephone_event_pt: Some(101),
        remote_rtp: at(there),
        remote_rtcp: at(there + 1),
        rtcp_mux: false,
        direction: Direction::SendRecv,
        ssrc: u32::from(here) * 7919,
        first_sequence: here,
        first_timestamp: u32::from(there),
        cname: heapless::String::try_from("bench").expect("five bytes fit"),
        jitter: jitter::Limits::default(),
        watchdog_ms: 30_000,
        pass_through: false,
        protection: crate::media::Protection::Clear,
    };
    AudioLeg::new(config, SEED)
}

pub fn rtp_leg(budget: &Budget) -> Result<Figure, String> {
    let talk = [signal::speech(SEED, SECONDS), signal::speech(SEED + 1, SECONDS)];
    let ports = [4000u16, 5000];
    let mut legs = [audio_leg(ports[0], ports[1]), audio_leg(ports[1], ports[0])];
    // What is on its way to each leg: RTP of the last turn, and now and then RTCP.
    let mut wires: [heapless::Vec<(Channel, heapless::Vec<u8, 256>), 4>; 2] = Default::default();
    let (mut turn, mut carried) = (0u64, 0u64);
    let ns = best(budget, 2 * samples(&talk[0]), || {
        for n in 0..talk[0].len() {
            turn += 1;
            let now = Instant::from_ms(1000 + 20 * turn);
            for side in 0..2 {
                let arrived = std::mem::take(&mut wires[side]);
                for (channel, bytes) in &arrived {
                    let port = ports[1 - side] + u16::from(*channel == Channel::Rtcp);
                    legs[side].from_net(now, *channel, SocketAddr::from(([192, 0, 2, 1], port)), bytes);
                }
                carried += arrived.len() as u64;
                let mut to_line = SILENCE;
                let wire = &mut wires[1 - side];
                legs[side].tick(now, &talk[side][n], LineDigit::None, &mut to_line, &mut |channel, _, bytes| {
                    // G.711 is 172 bytes and a report less; a turn makes two datagrams at most.
                    if let Ok(bytes) = heapless::Vec::from_slice(bytes) {
                        let _two_fit = wire.push((channel, bytes));
                    }
                });
                black_box(&to_line);
            }
        }
    });
    if carried >= turn { Ok(Figure::PerSample(ns)) } else { Err("the legs did not hear each other".into()) }
}

pub fn g711_encode(budget: &Budget) -> Result<Figure, String> {
    Ok(Figure::PerSample(over(budget, &signal::speech(SEED, SECONDS), |frame| {
        let mut octets = [0u8; FRAME_SAMPLES];
        Law::Mu.encode_block(black_box(frame), &mut octets);
        black_box(&octets);
    })))
}

pub fn g711_decode(budget: &Budget) -> Result<Figure, String> {
    let coded: Vec<[u8; FRAME_SAMPLES]> = signal::speech(SEED, SECONDS)
        .iter()
        .map(|frame| {
            let mut octets = [0u8; FRAME_SAMPLES];
            Law::Mu.encode_block(frame, &mut octets);
            octets
        })
        .collect();
    let ns = best(budget, (coded.len() * FRAME_SAMPLES) as u64, || {
        for octets in &coded {
            let mut frame = SILENCE;
            Law::Mu.decode_block(black_box(octets), &mut frame);
            black_box(&frame);
        }
    });
    Ok(Figure::PerSample(ns))
}

pub fn plc(budget: &Budget) -> Result<Figure, String> {
    let mut concealer = Concealer::new();
    let mut n = 0u32;
    Ok(Figure::PerSample(over(budget, &signal::speech(SEED, SECONDS), |frame| {
        let mut frame = *frame;
        // One frame in twenty, and of those every other time two in a row.
        if matches!(n % 40, 3 | 4) {
            concealer.fill_in(&mut frame);
        } else {
            concealer.rx(&mut frame);
        }
        black_box(&frame);
        n += 1;
    })))
}

pub fn resample(budget: &Budget) -> Result<Figure, String> {
    let mut resampler = Resampler::new(100.0);
    Ok(Figure::PerSample(over(budget, &signal::speech(SEED, SECONDS), |frame| {
        let mut out = [0i16; FRAME_SAMPLES + 1];
        black_box(resampler.process(frame, &mut out));
        black_box(&out);
    })))
}
