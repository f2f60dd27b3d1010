//! `tipring bench`: what each part costs on this machine.
//!
//! Everything is CPU time of one thread (`CLOCK_THREAD_CPUTIME_ID`), so a busy machine makes the figures worse only through its caches.
//! Parts that cost the same at every turn are run over and over and the best run counts; the two `tick_gateway_48` parts are quantiles
//! over single turns. Inputs are made from a seed: speech with noise, or the line of a whole fax call between two simulated machines.

mod board;
mod directory;
mod dtls;
mod enum_query;
#[cfg(feature = "spandsp")]
mod fax_call;
mod measure;
mod parts;
mod signal;
mod sip;
mod sip_call;
mod srtp;

use super::cli::Outcome;

/// Options of `tipring bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Parts to measure; every part there is if none is named
    names: Vec<String>,
    /// Print one JSON line a part
    #[arg(long)]
    json: bool,
    /// CPU seconds given to each part
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
}

/// What was measured of a part.
enum Figure {
    /// Best run, nanoseconds of CPU a sample of one channel.
    PerSample(f64),
    /// Best run, nanoseconds of CPU for one of these: `message`.
    Per(&'static str, f64),
    /// Quantiles over single turns of a board, microseconds.
    Turns(measure::Turns),
}

/// One part.
struct Part {
    name: &'static str,
    /// Whose code it is: `ours`, or the library's name.
    engine: &'static str,
    /// What exactly is counted, for people.
    counts: &'static str,
    measure: fn(&measure::Budget) -> Result<Figure, String>,
}

const PARTS: &[Part] = &[
    Part { name: "dtmf_rx", engine: "ours", counts: "filter bank and DTMF receiver; speech, noise, digits", measure: parts::dtmf_rx },
    Part {
        name: "watch_all",
        engine: "ours",
        counts: "all detectors of a line; the dearer of speech and a fax call",
        measure: parts::watch_all,
    },
    Part { name: "v21_rx", engine: "ours", counts: "filter bank and V.21 preamble detector; a fax call", measure: parts::v21_rx },
    #[cfg(feature = "spandsp")]
    Part {
        name: "relay_call_mean",
        engine: "spandsp",
        counts: "one T.38 leg, mean over a whole call and both its legs",
        measure: parts::relay_call_mean,
    },
    #[cfg(feature = "spandsp")]
    Part { name: "relay_call_mean_dtls", engine: "spandsp", counts: "the same with UDPTL in DTLS 1.3", measure: dtls::relay_call_mean },
    Part { name: "dtls_handshake", engine: "dimpl", counts: "DTLS 1.3, both ends, with their certificates", measure: dtls::handshake_13 },
    Part { name: "dtls_handshake_12", engine: "dimpl", counts: "DTLS 1.2, both ends, OpenSSL as the server", measure: dtls::handshake_12 },
    Part { name: "dtls_record", engine: "ours", counts: "60 octets sealed and opened", measure: dtls::record },
    Part { name: "rtp_leg", engine: "ours", counts: "one audio leg, both ways, RTP in memory", measure: parts::rtp_leg },
    Part { name: "srtp_packet", engine: "ours", counts: "160 bytes protected and unprotected, AES_CM_128_HMAC_SHA1_80", measure: srtp::cm },
    Part {
        name: "srtp_packet_gcm_128",
        engine: "ours",
        counts: "160 bytes protected and unprotected, AEAD_AES_128_GCM",
        measure: srtp::gcm_128,
    },
    Part {
        name: "srtp_packet_gcm_256",
        engine: "ours",
        counts: "160 bytes protected and unprotected, AEAD_AES_256_GCM",
        measure: srtp::gcm_256,
    },
    Part {
        name: "srtp_forged",
        engine: "ours",
        counts: "a forged packet of 160 bytes refused, AES_CM_128_HMAC_SHA1_80",
        measure: srtp::forged,
    },
    Part { name: "g711_encode", engine: "ours", counts: "mu-law", measure: parts::g711_encode },
    Part { name: "g711_decode", engine: "ours", counts: "mu-law", measure: parts::g711_decode },
    Part { name: "plc", engine: "ours", counts: "concealer, 5 % of the frames lost", measure: parts::plc },
    Part { name: "resample", engine: "ours", counts: "100 ppm", measure: parts::resample },
    Part { name: "door_options", engine: "ours", counts: "the directory's SIP door: OPTIONS", measure: directory::options },
    Part { name: "door_lookup", engine: "ours", counts: "the directory's SIP door: INVITE answered 302", measure: directory::lookup },
    Part {
        name: "door_challenge",
        engine: "ours",
        counts: "the directory's SIP door: REGISTER answered 401",
        measure: directory::challenge,
    },
    Part {
        name: "door_register",
        engine: "ours",
        counts: "the directory's SIP door: REGISTER granted, without sockets and disk",
        measure: directory::register,
    },
    Part {
        name: "sip_parse",
        engine: "ours",
        counts: "an INVITE with SDP read; Via, From, To, CSeq and Contact made",
        measure: sip::parse,
    },
    Part {
        name: "sip_call",
        engine: "ours",
        counts: "the SIP endpoint's part of an answered call, INVITE to BYE and the end of its timers",
        measure: sip_call::call,
    },
    Part {
        name: "enum_query",
        engine: "ours",
        counts: "a query for NAPTR read, looked up in a small directory, and answered",
        measure: enum_query::query,
    },
    Part { name: "tick_gateway_48_idle", engine: "ours", counts: "commands, datagrams and tick; 48 ports on hook", measure: board::idle },
    #[cfg(feature = "spandsp")]
    Part {
        name: "tick_gateway_48_fax",
        engine: "spandsp",
        counts: "commands, datagrams and tick; 48 ports over T.38, turns in which all are",
        measure: board::fax,
    },
];

/// Parts that are promised and not there yet: asking for one is answered with this, not with a figure of something else.
const NOT_BUILT: &[&str] = &["v27ter_rx_4800", "v29_rx_9600", "v17_rx_14400", "v17_tx_14400", "relay_v17", "echo_256"];

/// Measures what was asked for.
pub(super) fn run(options: &Options) -> Outcome {
    if !(0.01..=600.0).contains(&options.seconds) {
        return Outcome::Unusable("--seconds: from 0.01 to 600".into());
    }
    let mut chosen = Vec::new();
    let mut not_built = false;
    for name in &options.names {
        match PARTS.iter().find(|p| p.name == name) {
            Some(part) => chosen.push(part),
            None if NOT_BUILT.contains(&name.as_str()) => {
                eprintln!("{name}: not built yet");
                not_built = true;
            }
            None => {
                let known: Vec<_> = PARTS.iter().map(|p| p.name).collect();
                return Outcome::Unusable(format!("{name}: no such part; there are {}", known.join(", ")));
            }
        }
    }
    if options.names.is_empty() {
        chosen.extend(PARTS);
    }
    if !options.json && !chosen.is_empty() {
        println!(
            "CPU time of one thread; best of several runs, quantiles for whole turns{}",
            if cfg!(debug_assertions) { " (debug build!)" } else { "" }
        );
    }
    let budget = measure::Budget { cpu_ns: (options.seconds * 1e9) as u64 };
    let mut failed = false;
    for part in chosen {
        match (part.measure)(&budget) {
            Ok(figure) => println!("{}", if options.json { json(part, &figure) } else { words(part, &figure) }),
            Err(why) => {
                eprintln!("{}: {why}", part.name);
                failed = true;
            }
        }
    }
    if not_built || failed { Outcome::No } else { Outcome::Yes }
}

/// 8000 samples a second leave 125,000 ns for each.
const NS_PER_SAMPLE_TIME: f64 = 125_000.0;

fn json(part: &Part, figure: &Figure) -> String {
    let head = format!(r#"{{"name":"{}","engine":"{}""#, part.name, part.engine);
    match figure {
        Figure::PerSample(ns) => format!(r#"{head},"ns_per_sample":{ns:.2},"channels_per_core":{:.0}}}"#, NS_PER_SAMPLE_TIME / ns),
        Figure::Per(unit, ns) => format!(r#"{head},"ns_per_{unit}":{ns:.0}}}"#),
        Figure::Turns(t) => {
            format!(r#"{head},"us_p50":{:.1},"us_p99":{:.1},"us_max":{:.1},"turns":{}}}"#, t.p50_us, t.p99_us, t.max_us, t.turns)
        }
    }
}

fn words(part: &Part, figure: &Figure) -> String {
    let amount = match figure {
        Figure::PerSample(ns) => format!("{ns:8.2} ns a sample, {:8.0} channels a core", NS_PER_SAMPLE_TIME / ns),
        Figure::Per(unit, ns) => format!("{ns:8.0} ns a {unit}"),
        Figure::Turns(t) => format!("p50 {:.1} us, p99 {:.1} us, max {:.1} us of {} turns", t.p50_us, t.p99_us, t.max_us, t.turns),
    };
    format!("{:<22} {:<8} {amount:<46}  {}", part.name, part.engine, part.counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str) -> Figure {
        let part = PARTS.iter().find(|p| p.name == name).expect("a part of this name");
        (part.measure)(&measure::Budget { cpu_ns: 1_000_000 }).expect("it can be measured")
    }

    #[test]
    fn every_part_that_costs_the_same_each_turn_gives_a_figure_above_zero() {
        for part in PARTS.iter().filter(|p| p.name != "tick_gateway_48_fax") {
            match measured(part.name) {
                Figure::PerSample(ns) => assert!(ns > 0.01 && ns < 100_000.0, "{}: {ns}", part.name),
                Figure::Per(_, ns) => assert!(ns > 10.0 && ns < 50_000_000.0, "{}: {ns}", part.name),
                Figure::Turns(t) => assert!(t.p50_us > 0.0 && t.p50_us <= t.p99_us && t.p99_us <= t.max_us, "{}: {t:?}", part.name),
            }
        }
    }

    #[test]
    #[ignore = "some ten seconds of CPU: 96 fax machines"]
    fn forty_eight_calls_between_two_boards_deliver_their_pages() {
        let Figure::Turns(t) = measured("tick_gateway_48_fax") else { panic!("turns") };
        assert!(t.turns > 1000, "{t:?}");
        println!("{t:?}");
    }

    #[test]
    fn a_line_of_json_has_the_keys_of_the_contract() {
        let line = json(&PARTS[0], &Figure::PerSample(25.0));
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["name"], "dtmf_rx");
        assert_eq!(value["engine"], "ours");
        assert_eq!((value["ns_per_sample"].as_f64(), value["channels_per_core"].as_u64()), (Some(25.0), Some(5000)));
        let value: serde_json::Value = serde_json::from_str(&json(&PARTS[0], &Figure::Per("message", 900.0))).expect("JSON");
        assert_eq!(value["ns_per_message"].as_f64(), Some(900.0));
    }

    #[test]
    fn what_is_not_built_is_said_and_not_measured() {
        let ask = |name: &str| run(&Options { names: vec![name.into()], json: true, seconds: 0.01 });
        assert!(matches!(ask("v17_rx_14400"), Outcome::No));
        assert!(matches!(ask("v18_rx"), Outcome::Unusable(_)));
        assert!(NOT_BUILT.iter().all(|n| PARTS.iter().all(|p| p.name != *n)));
    }
}
