//! The house's rules that a reader would otherwise have to remember: who may name whom, where `unsafe`, tokio and JSON live, what a file
//! is called and how long it may be. Rules are tables; a new arrow is a row here, in a commit of its own, with the reason.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What a folder or file of `src` may name of its own crate: `to`, or `to::Item` where only some items may cross.
/// Words (`clock digit_map id key limits number`) stand at the bottom and name only each other.
const ARROWS: &[(&str, &[&str])] = &[
    // Words.
    ("clock", &[]),
    ("digit_map", &["limits", "number"]),
    ("id", &[]),
    ("key", &["limits"]),
    ("limits", &[]),
    ("number", &["limits"]),
    // Lines that hold each other.
    ("audit", &["limits"]),
    // Signatures over texts; keys are known by their fingerprints.
    ("proof", &["key", "limits"]),
    // Tick domain: samples, 20 ms, nothing of calls or SIP. Of DTLS the records only; handshakes are the event domain's.
    ("line", &["clock", "digit_map", "limits", "number"]),
    // Packets and keys, no sockets: used by both kinds of legs, and by whoever settles what keys they get.
    ("srtp", &["limits"]),
    ("media", &["clock", "limits", "srtp"]),
    // A leg holds pages back until it is handed a clearance; how one is come by is not its business.
    (
        "fax",
        &[
            "clock",
            "dtls::RECORD_OVERHEAD_MAX",
            "dtls::Records",
            "identity::Clearance",
            "limits",
            "media::Protection",
            "media::rtp",
            "srtp",
        ],
    ),
    ("tick", &["clock", "dtls::Records", "dtls::is_dtls", "fax", "id", "identity::Clearance", "limits", "line", "media", "srtp"]),
    // Who is there: a verdict over what others have seen.
    ("identity", &["clock", "key"]),
    // Handshakes in the event domain, their records in the tick domain.
    ("dtls", &["clock", "key", "limits"]),
    // Event domain: deadlines, nothing of samples.
    ("sdp", &["clock", "limits"]),
    // `sip` answers challenges with it; the doors of the directory check answers.
    ("digest", &["clock", "limits"]),
    ("sip", &["clock", "digest", "limits"]),
    // Transaction ids are seen outside.
    ("stun", &["clock", "digest::Prints"]),
    // A contact of the directory is a SIP URI over a transport.
    (
        "directory",
        &["clock", "digest", "key", "limits", "number", "proof::Succession", "sip::Transport", "sip::message::Uri", "sip::source_of"],
    ),
    // The directory as SIP phones see it; as `shell::http` is for the API.
    ("sip_door", &["clock", "digest", "directory", "limits", "number", "sip"]),
    // And as resolvers see it.
    ("enum_door", &["clock", "directory", "limits", "number", "sip::Network", "sip::Transport", "sip::source_of"]),
    ("registration", &["clock", "directory", "key", "number"]),
    // Which numbers are the directory's is written as a digit map.
    ("resolve", &["clock", "digit_map", "id", "limits", "number"]),
    // Offer and answer settle what a leg is built from: values of configuration, no machines.
    (
        "negotiate",
        &[
            "sdp",
            // What may be said of keys, and what was agreed.
            "dtls::Role",
            "key::Fingerprint",
            "limits",
            "srtp",
            "media::AudioConfig",
            "media::Direction",
            "media::Protection",
            "media::jitter",
            "fax::t38::relay::SourcePolicy",
            "fax::t38::relay::T38Config",
            "fax::t38::udptl::ErrorCorrection",
        ],
    ),
    // Where the two domains meet. A leg is built here because memory comes from here; then it is the tick's (see src/tick/leg.rs).
    (
        "call",
        &[
            "audit::Event",
            "clock",
            // SSRCs and session ids are seen outside, so they are no raw draws.
            "digest::Prints",
            // Handshakes run beside the signalling.
            "dtls",
            "id",
            "identity",
            // Revoked ones.
            "key",
            "limits",
            "negotiate",
            "number",
            "resolve",
            "sdp",
            "sip",
            "line::Command",
            "line::Event",
            "tick::Command",
            "tick::command::Redirect",
            "tick::command::Retune",
            "tick::Event",
            "tick::Leg",
            "media::AudioLeg",
            "media::AudioStats",
            "media::leg::AudioLeg",
            "fax::t38::relay::FaxNews",
            "fax::t38::relay::FaxStats",
            "fax::t38::relay::T38Config",
            "fax::t38::relay::T38Leg",
            "fax::t38::rtp::RtpTerms",
            "fax::t38::transport::Transport",
            "media::Protection",
            "srtp",
        ],
    ),
    // Recordings and captures: reads what the protocol folders can parse, and no machine of the gateway.
    ("decode", &["clock", "fax", "limits", "media", "sdp", "sip", "srtp"]),
    // The other driver of the core, in virtual time.
    (
        "lab",
        &[
            "audit::Event",
            "call",
            "clock",
            "digest",
            "digit_map",
            "directory",
            "dtls",
            "fax",
            "id",
            "identity",
            "key",
            "limits",
            "line",
            "media",
            "negotiate",
            "number",
            "registration",
            "resolve",
            "sdp",
            "sip",
            "srtp",
            "stun",
            "tick",
        ],
    ),
    // The outside.
    ("api", &["directory", "key", "limits", "number", "proof", "sip::Transport"]),
    // Rules that the machines hold are asked there, so that a file is not refused by one word and run by another.
    (
        "config",
        &[
            "call::EmergencyPlan",
            "call::EmergencyTarget",
            "digest::Algorithm",
            // Whom the endpoint trusts.
            "sip::Network",
            "digit_map",
            "directory",
            // Names of zones, and what their digits become.
            "enum_door::Apex",
            "enum_door::Zone",
            "id",
            // Whom pages may go to.
            "identity",
            // Whom a gateway pins as its directory.
            "key",
            "limits",
            "negotiate::Policy",
            "negotiate::law",
            "number",
            "resolve::prefix",
            "sip::Transport",
            "sip::message",
        ],
    ),
    ("shell", &["*"]),
    ("bin", &["shell"]),
];

/// Who may name a crate from outside. Everyone may name `core`, `std`, `heapless`.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("tokio", &["shell"]),
    ("axum", &["shell"]),
    ("hyper", &["shell"]),
    ("rusqlite", &["shell"]),
    ("libc", &["shell"]),
    ("rustix", &["shell"]),
    ("socket2", &["shell"]),
    ("tracing", &["shell"]),
    ("clap", &["shell"]),
    ("png", &["shell"]),
    // TLS and DNS: the core knows names and hops only.
    ("rustls", &["shell"]),
    ("tokio_rustls", &["shell"]),
    ("webpki", &["shell"]),
    ("rcgen", &["shell"]),
    ("aws_lc_rs", &["dtls", "proof", "shell"]),
    ("hickory_resolver", &["shell"]),
    ("getrandom", &["shell"]),
    ("argon2", &["shell"]),
    ("prometheus_client", &["shell"]),
    ("sd_notify", &["shell"]),
    ("serde_json", &["shell", "api"]),
    ("serde", &["shell", "api", "config"]),
    ("toml", &["config"]),
    ("sdp_types", &["sdp"]),
    ("rtp_rs", &["media", "decode"]),
    // Digests: HTTP digest access (RFC 7616) and fingerprints.
    ("md5", &["digest"]),
    ("sha2", &["audit", "digest", "dtls", "key", "shell"]),
    ("dimpl", &["dtls"]),
    ("openssl", &["shell"]),
    ("aes", &["srtp"]),
    ("aes_gcm", &["srtp"]),
    ("hmac", &["digest", "srtp"]),
    ("sha1", &["srtp"]),
    ("tipring_hw", &["line", "tick", "lab", "shell"]),
    ("tipring_dsp", &["line", "media", "fax", "tick", "negotiate", "config", "lab", "decode", "shell"]),
];

/// The homes of `unsafe`, each opened by an `allow` with its reason.
const UNSAFE: &[&str] = &[
    "dsp/src/spandsp/",
    "hw/src/dahdi",
    "src/shell/sys/",
    // Counting allocators: the trait and the C library's symbols are unsafe by nature.
    "dsp/tests/no_alloc.rs",
    "dsp/tests/gateway_alloc.rs",
    "tests/tick_alloc.rs",
    "tests/t38_tick_alloc.rs",
];

/// Lines of a Rust file, and those that may be longer, with the reason.
const LINES_MAX: usize = 700;
const LONGER: &[(&str, usize, &str)] = &[
    ("src/media/tests.rs", 800, "tests of one machine"),
    ("tests/gateway.rs", 850, "one stage and its scenes; a second binary would cost another link"),
];

struct File {
    path: String,
    text: String,
}

/// Every tracked text file, or, outside a checkout, what lies in the source folders.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root).output();
    let mut names: Vec<String> = match listed {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if names.is_empty() {
        ["src", "hw", "dsp", "tests", "scripts", "fixtures"].iter().for_each(|top| walk(root, top, &mut names));
    }
    let read = |path: String| std::fs::read(root.join(&path)).ok().and_then(|b| String::from_utf8(b).ok()).map(|text| File { path, text });
    let files: Vec<File> = names.into_iter().filter_map(read).collect();
    assert!(files.len() > 100, "the rules saw only {} files", files.len());
    files
}

fn walk(root: &Path, folder: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true if name.ends_with("target") => {}
            true => walk(root, &name, names),
            false => names.push(name),
        }
    }
}

fn rust() -> Vec<File> {
    files().into_iter().filter(|f| f.path.ends_with(".rs")).collect()
}

/// The folder or file of `src` that a path belongs to.
fn room(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let room = below.split('/').next()?;
    Some(room.trim_end_matches(".rs"))
}

/// Tests beside the code may bring whatever stage they need.
fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("tests.rs")
        || path.ends_with("_tests.rs")
        || path.ends_with("on_the_wire.rs")
        || path.ends_with("/fuzz.rs")
}

/// The lines of a file that are code and no test: up to its `mod tests {`, comments taken off.
fn code(file: &File) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut test_next = false;
    for (i, line) in file.text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or("");
        if test_next && line.trim_start().starts_with("mod ") && line.contains('{') {
            break;
        }
        test_next = line.trim() == "#[cfg(test)]" || (test_next && line.trim().is_empty());
        lines.push((i + 1, line));
    }
    lines
}

/// Every path that begins with `root::` in a line, groups `{a, b::c}` unfolded one level.
fn named<'a>(line: &'a str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let starts = |at: usize| at == 0 || !line.as_bytes()[at - 1].is_ascii_alphanumeric() && !matches!(line.as_bytes()[at - 1], b'_' | b':');
    for (at, _) in line.match_indices(&format!("{root}::")) {
        if !starts(at) {
            continue;
        }
        let rest: &'a str = &line[at + root.len() + 2..];
        let stem: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')).collect();
        match rest[stem.len()..].strip_prefix('{') {
            Some(group) if stem.is_empty() || stem.ends_with("::") => {
                let group = group.split(['}', '{']).next().unwrap_or("");
                for item in group.split(',').map(|i| i.split_whitespace().next().unwrap_or("")).filter(|i| !i.is_empty()) {
                    let item = if item == "self" { "" } else { item };
                    found.push(format!("{stem}{item}").trim_end_matches("::").to_owned());
                }
            }
            _ => found.push(stem.trim_end_matches("::").to_owned()),
        }
    }
    found
}

/// `use` statements over several lines are read as one.
fn statements(file: &File) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (n, line) in code(file) {
        if open {
            let last = out.last_mut().expect("a statement is open");
            last.1.push_str(line.trim());
        } else {
            out.push((n, line.to_owned()));
        }
        let begins = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        open = (open || begins) && !line.contains(';');
    }
    out
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn folders_name_only_those_that_the_table_lets_them() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for file in rust() {
        let Some(room) = room(&file.path) else { continue };
        if room == "lib" || is_test(&file.path) {
            continue;
        }
        let Some(allowed) = table.get(room) else {
            faults.push(format!("{}: {room} has no row in the table of arrows", file.path));
            continue;
        };
        let root = if room == "bin" { "tipring" } else { "crate" };
        for (n, line) in statements(&file) {
            for path in named(&line, root) {
                if path.split("::").next() == Some(room) {
                    continue;
                }
                let arrow = allowed.iter().find(|a| **a == "*" || path == **a || path.starts_with(&format!("{a}::")));
                match arrow {
                    Some(arrow) => drop(used.insert((room.to_owned(), *arrow))),
                    None => faults.push(format!("{}:{n}: {room} must not name {path}", file.path)),
                }
            }
        }
    }
    assert!(used.len() > 40, "the table is not being read: {used:?}");
    none(faults);
}

#[test]
fn a_forbidden_arrow_is_seen_in_every_spelling() {
    assert_eq!(named("use crate::sip::Endpoint;", "crate"), ["sip::Endpoint"]);
    assert_eq!(named("use crate::{sip, call::Cause};", "crate"), ["sip", "call::Cause"]);
    assert_eq!(named("    let x = crate::fax::t38::ifp::parse(b);", "crate"), ["fax::t38::ifp::parse"]);
    assert_eq!(named("use crate::line::{self, Command as LineCommand};", "crate"), ["line", "line::Command"]);
    assert_eq!(named("use tokio::net::UdpSocket;", "tokio"), ["net::UdpSocket"]);
    assert!(named("my_tokio::x", "tokio").is_empty());
    let split = File {
        path: "x.rs".into(),
        text: "use crate::{\n    sip,\n    call::Cause,\n};\n#[cfg(test)]\nmod tests {\n use crate::shell;\n}\n".into(),
    };
    let all: Vec<String> = statements(&split).iter().flat_map(|(_, l)| named(l, "crate")).collect();
    assert_eq!(all, ["sip", "call::Cause"]);
}

#[test]
fn crates_from_outside_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for file in rust() {
        let Some(room) = room(&file.path) else { continue };
        if is_test(&file.path) {
            continue;
        }
        for (name, rooms) in OUTSIDE {
            for (n, line) in statements(&file) {
                if !named(&line, name).is_empty() && !rooms.contains(&room) {
                    faults.push(format!("{}:{n}: {name} is for {} only", file.path, rooms.join(", ")));
                }
            }
        }
    }
    none(faults);
}

#[test]
fn hw_and_dsp_do_not_know_what_stands_above_them() {
    let mut faults = Vec::new();
    for file in rust() {
        let above: &[&str] = match file.path.split('/').next() {
            Some("dsp") => &["tipring", "tipring_hw"],
            Some("hw") => &["tipring"],
            _ => continue,
        };
        for (n, line) in statements(&file) {
            for name in above.iter().filter(|name| !named(&line, name).is_empty()) {
                faults.push(format!("{}:{n}: names {name}", file.path));
            }
        }
    }
    none(faults);
}

#[test]
fn the_core_does_no_input_or_output() {
    // The clock is clippy's to watch (clippy.toml); these are what it cannot see by method.
    let banned = [
        "std::fs",
        "std::net::UdpSocket",
        "std::net::TcpStream",
        "std::net::TcpListener",
        "std::thread",
        "std::process",
        "std::env",
        "println!",
        "eprintln!",
        "print!(",
    ];
    let mut faults = Vec::new();
    for file in rust() {
        let Some(room) = room(&file.path) else { continue };
        // `config` reads its files; `bin` gives the exit code.
        if matches!(room, "shell" | "bin" | "config") || is_test(&file.path) {
            continue;
        }
        for (n, line) in code(&file) {
            faults.extend(banned.iter().filter(|b| line.contains(**b)).map(|b| format!("{}:{n}: {b}", file.path)));
        }
    }
    none(faults);
}

#[test]
fn unsafe_stays_at_home() {
    let mut faults = Vec::new();
    for file in rust() {
        let at_home = UNSAFE.iter().any(|home| file.path.starts_with(home)) || file.path == "tests/tidy.rs";
        let uses = file
            .text
            .lines()
            .map(|l| l.split("//").next().unwrap_or(""))
            .any(|l| l.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == "unsafe"));
        if uses && !at_home {
            faults.push(format!("{}: unsafe outside of its homes", file.path));
        }
        if file.text.contains("allow(unsafe_code)") && !at_home {
            faults.push(format!("{}: opens the door to unsafe", file.path));
        }
    }
    none(faults);
}

#[test]
fn files_are_named_for_what_they_are_and_can_be_read_at_a_sitting() {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "handler", "handlers", "misc", "types"];
    let mut faults = Vec::new();
    for file in rust() {
        let stems = file.path.trim_end_matches(".rs").split('/');
        faults
            .extend(stems.flat_map(|s| s.split('_')).filter(|s| vague.contains(s)).map(|s| format!("{}: {s:?} names nothing", file.path)));
        let lines = file.text.lines().count();
        let bound = LONGER.iter().find(|(path, ..)| *path == file.path).map_or(LINES_MAX, |(_, bound, _)| *bound);
        if lines > bound {
            faults.push(format!(
                "{}: {lines} lines, at most {bound}: find the second thing in it, or say in LONGER why it is one",
                file.path
            ));
        }
        let story = file.path.contains("/src/") || file.path.starts_with("src/");
        if story && !is_test(&file.path) && !file.text.trim_start().starts_with("//!") {
            faults.push(format!("{}: does not open with its story (//!)", file.path));
        }
    }
    none(faults);
}

#[test]
fn nothing_is_left_for_later_and_nothing_knows_this_machine() {
    // Spelled apart, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|w| w.concat());
    let machine = ["/wo", "rk/"].concat();
    let library = [".lib", "rary"].concat();
    let macros = [["dbg", "!("].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let mut faults = Vec::new();
    for file in files() {
        for (i, line) in file.text.lines().enumerate() {
            let at = || format!("{}:{}", file.path, i + 1);
            let is_word = |w: &String| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|x| x == w);
            faults.extend(words.iter().filter(|w| is_word(w)).map(|w| format!("{}: {w}", at())));
            if line.contains(&machine) || line.contains(&library) {
                faults.push(format!("{}: a path of one machine", at()));
            }
            if file.path.ends_with(".rs") {
                faults.extend(macros.iter().filter(|m| line.contains(m.as_str())).map(|m| format!("{}: {m}", at())));
            }
        }
    }
    none(faults);
}
