//! Pages between simulated fax machines.
#![cfg(feature = "spandsp")]

use crate::stage::*;
use std::path::PathBuf;
use tipring::call::CallRecord;
use tipring::lab::netem::Params;
use tipring::lab::world::{FaxSpec, GatewaySpec, PortSpec, World, WorldSpec};
use tipring_dsp::page::chart::Letter;
use tipring_dsp::page::{self, Page, tiff};
use tipring_hw::Control;
use tipring_hw::sim::{FaxReport, Happening};

/// A folder of its own for a test, removed at the end.
pub struct Tray(PathBuf);

impl Tray {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tipring-sim-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        Tray(folder)
    }
    pub fn put(&self, name: &str, pages: &[Page]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, tiff::write(pages, tiff::Options::default())).expect("a file for the test");
        path
    }
}
impl Drop for Tray {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub fn letters(seed: u64, pages: u32) -> Vec<Page> {
    (1..=pages).map(|n| Letter::new(seed, n, pages).with_rows(500).draw().expect("a letter")).collect()
}

/// Two gateways with a phone and a fax machine each: 2001, 2003; 3001, 3003.
pub fn fax_offices(seed: u64, tray: &Tray, ecm: bool) -> WorldSpec {
    let fax = || FaxSpec { ecm, max_bps: 14_400, receive_into: Some(tray.0.clone()) };
    WorldSpec::new(
        seed,
        vec![
            GatewaySpec::new("a", vec![PortSpec::phone("2001"), PortSpec::fax("2003", fax())]),
            GatewaySpec::new("b", vec![PortSpec::phone("3001"), PortSpec::fax("3003", fax())]),
        ],
    )
}

pub fn report(world: &mut World, site: usize, within_ms: u64) -> FaxReport {
    let find = |w: &World| w.happenings(site, 1).find_map(|(_, h)| if let Happening::FaxDone(r) = h { Some(r.clone()) } else { None });
    assert!(world.run_until(within_ms, |w| find(w).is_some()), "{}", story(world));
    find(world).expect("waited for")
}

/// Sends the pages from 2003 to 3003: both machines' reports and both gateways' records.
pub fn send(world: &mut World, tray: &Tray, pages: &[Page]) -> (FaxReport, FaxReport, CallRecord, CallRecord) {
    let tiff = tray.put("sent.tif", pages);
    world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
    let sent = report(world, A, 300_000);
    let received = report(world, B, 20_000);
    (sent, received, record(world, A, 0, 20_000), record(world, B, 0, 20_000))
}

pub fn assert_identical(sent: &[Page], received: &FaxReport) {
    let file = received.file.as_ref().expect("a file was received");
    let pages = tiff::read_all(&std::fs::read(file).expect("it can be read")).expect("it is a TIFF");
    assert_eq!(pages.len(), sent.len());
    for (sent, received) in sent.iter().zip(&pages) {
        let difference = page::compare(sent, &received.page);
        assert!(difference.is_none(), "{difference:?}");
    }
}

pub fn assert_delivered(world: &World, out: &(FaxReport, FaxReport, CallRecord, CallRecord), pages: &[Page], ecm: bool) {
    let (sent, received, a, b) = out;
    assert!(sent.ok && received.ok, "{sent:?} {received:?} {:?} {:?} {}", a.fax, b.fax, story(world));
    assert_identical(pages, received);
    for record in [a, b] {
        let fax = record.fax.as_ref().expect("a fax leg");
        assert!(record.completed && fax.record.delivered(), "{record:?}");
        assert_eq!((usize::from(fax.record.pages), fax.record.bps, fax.record.ecm), (pages.len(), 14_400, ecm), "{}", record.result);
        assert!(record.result.contains("V.17 14400") && record.result.contains("delivered"), "{}", record.result);
        assert!(record.audio.is_some(), "it began as audio");
    }
}

#[test]
fn req_k1_k3_a_fax_page_crosses_by_t38_and_is_the_same_pel_for_pel() {
    let tray = Tray::new("one");
    let pages = letters(11, 1);
    let mut world = registered(fax_offices(11, &tray, false));
    let out = send(&mut world, &tray, &pages);
    assert_delivered(&world, &out, &pages, false);
    comes_to_rest(&mut world);
}

#[test]
fn req_k1_k3_two_pages_with_ecm_cross_by_t38() {
    let tray = Tray::new("two");
    let pages = letters(12, 2);
    let mut world = registered(fax_offices(12, &tray, true));
    let out = send(&mut world, &tray, &pages);
    assert_delivered(&world, &out, &pages, true);
    comes_to_rest(&mut world);
}

#[test]
fn req_k1_k3_pages_cross_a_network_that_loses_packets() {
    for (seed, loss, ecm) in [(21, 0.01, true), (22, 0.03, true), (23, 0.01, false), (24, 0.03, false)] {
        let tray = Tray::new(&format!("loss{seed}"));
        let pages = letters(seed, 1);
        let mut spec = fax_offices(seed, &tray, ecm);
        spec.link =
            Params { loss, delay: core::time::Duration::from_millis(30), jitter: core::time::Duration::from_millis(10), ..spec.link };
        let mut world = registered(spec);
        let out = send(&mut world, &tray, &pages);
        assert_delivered(&world, &out, &pages, ecm);
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_b2_both_gateways_ask_each_other_when_the_call_comes_up_and_tell_what_was_said() {
    let tray = Tray::new("asked");
    let pages = letters(13, 1);
    let mut world = registered(fax_offices(13, &tray, true));
    let (sent, received, a, b) = send(&mut world, &tray, &pages);
    assert!(sent.ok && received.ok, "{sent:?} {received:?} {}", story(&world));
    for record in [&a, &b] {
        let says = record.peer_says.as_ref().expect("it was asked");
        let can = says.can.as_ref().expect("it said so");
        assert_eq!((says.status, can.t38, can.vbd, can.audio.join(" ").as_str()), (200, Some(true), true, "PCMU PCMA"));
    }
    // The called side chooses and says so in its re-INVITE; the calling side is told.
    assert_eq!(b.fax_choice.as_deref(), Some("T.38 offered: the peer says that it can"));
    assert_eq!(a.fax_choice.as_deref(), Some("T.38: the peer offered it"));
    // The answer was there long before V.21 could need it.
    let at = |w: &World, site: usize, words: &str| w.journal(site).logs.iter().find(|(_, l)| l.words.starts_with(words)).map(|(at, _)| *at);
    let (said, needed) = (at(&world, B, "the peer says that it can do T.38"), at(&world, B, "V.21 preamble heard"));
    let (said, needed) = (said.expect("it is logged"), needed.expect("it is logged"));
    assert!(needed.ms_since(said) > 1_000, "{said:?} {needed:?}");
    comes_to_rest(&mut world);
}

#[test]
fn req_b2_a_peer_that_says_it_has_no_t38_is_not_re_invited_to_it() {
    for without in [A, B] {
        let tray = Tray::new(&format!("none{without}"));
        let pages = letters(14, 1);
        let mut spec = fax_offices(14, &tray, true);
        spec.gateways[without].media.t38 = None;
        let mut world = registered(spec);
        let (sent, received, a, b) = send(&mut world, &tray, &pages);
        assert!(sent.ok && received.ok, "{sent:?} {received:?} {}", story(&world));
        assert_identical(&pages, &received);
        let (with, other) = if without == A { (&b, &a) } else { (&a, &b) };
        let can = with.peer_says.as_ref().and_then(|s| s.can.as_ref()).expect("it was asked and said so");
        assert!(can.t38 == Some(false) && with.fax_as_audio, "{with:?}");
        assert_eq!(with.fax_choice.as_deref(), Some("audio: the peer says that it has no T.38"));
        // Nothing was offered, so nothing was refused.
        assert_eq!(other.peer_says, None, "who has no T.38 does not ask");
        let refused = |w: &World, site: usize| w.journal(site).logs.iter().any(|(_, l)| l.words.contains("refuse"));
        assert!(!refused(&world, A) && !refused(&world, B), "{}", story(&world));
        comes_to_rest(&mut world);
    }
}

#[test]
fn req_k1_a_peer_without_t38_still_gets_the_page_as_audio() {
    for refuser in [A, B] {
        let tray = Tray::new(&format!("audio{refuser}"));
        let pages = letters(31, 1);
        let mut spec = fax_offices(31, &tray, true);
        spec.gateways[refuser].media.t38 = None;
        let mut world = registered(spec);
        let (sent, received, a, b) = send(&mut world, &tray, &pages);
        assert!(sent.ok && received.ok, "{sent:?} {received:?} {}", story(&world));
        assert_identical(&pages, &received);
        assert!(a.fax.is_none() && b.fax.is_none() && a.audio.is_some());
        comes_to_rest(&mut world);
    }
}

impl tipring::lab::fax::Tray for Tray {
    fn folder(&self) -> PathBuf {
        self.0.clone()
    }
    fn put(&mut self, tiff: &[u8]) -> std::io::Result<PathBuf> {
        let path = self.0.join("document.tif");
        std::fs::write(&path, tiff)?;
        Ok(path)
    }
    fn take(&mut self, file: &std::path::Path) -> std::io::Result<Vec<u8>> {
        let bytes = std::fs::read(file)?;
        std::fs::remove_file(file)?;
        Ok(bytes)
    }
}

/// The table *network x protection -> pages*, printed for the reader; the rows that are promised are asserted.
#[test]
fn the_laboratory_says_what_a_network_does_to_faxes() {
    use tipring::lab::fax::{FaxParams, Mode, run};
    let mut tray = Tray::new("lab");
    let usual = FaxParams { pages: letters(41, 1), runs: 3, seed: 41, delay_ms: 40, jitter_ms: 20, ..FaxParams::default() };
    let g711 = FaxParams { mode: Mode::G711, ..usual.clone() };
    let rows = [
        ("T.38 quiet", 3, usual.clone()),
        ("T.38 1 %", 3, FaxParams { loss: 0.01, ..usual.clone() }),
        ("T.38 3 %", 3, FaxParams { loss: 0.03, ..usual.clone() }),
        ("T.38 5 % bursts of 2", 2, FaxParams { loss: 0.05, burst: 2.0, ..usual.clone() }),
        ("T.38 1 %, no redundancy", 0, FaxParams { loss: 0.01, redundancy: Some(0), ..usual.clone() }),
        ("T.38 line 26 dB", 3, FaxParams { snr_db: Some(26.0), ..usual.clone() }),
        ("T.38 line 23 dB", 0, FaxParams { snr_db: Some(23.0), ..usual.clone() }),
        ("T.38 drift 50 ppm", 3, FaxParams { drift_ppm: 50.0, ..usual.clone() }),
        ("G.711 line 30 dB", 3, FaxParams { snr_db: Some(30.0), ..g711.clone() }),
        ("G.711 quiet", 3, g711.clone()),
        ("G.711 drift 40 ppm", 3, FaxParams { drift_ppm: 40.0, ..g711.clone() }),
        ("G.711 0.2 %", 0, FaxParams { loss: 0.002, ..g711 }),
    ];
    for (name, least, params) in rows {
        let out = run(&params, &mut tray).expect("these modes are built");
        println!(
            "{name:26} {}/{} completed, {}/{} pages identical, p50 {:.1} s, {} bit/s {:?}",
            out.completed, out.runs, out.pages_identical, out.pages_sent, out.seconds_p50, out.bps_p50, out.failures
        );
        assert!(out.completed >= least, "{name}: {out:?}");
    }
    let not_yet = FaxParams { mode: Mode::T38Dtls, ..usual };
    assert_eq!(run(&not_yet, &mut tray).unwrap_err().to_string(), "T.38 in DTLS is not built yet");
}

#[test]
fn a_fax_stopped_at_either_machine_frees_everything() {
    for (stopped, after_ms) in [(A, 3_000), (A, 9_000), (B, 9_000), (A, 16_000), (B, 16_000)] {
        let tray = Tray::new(&format!("stop{stopped}{after_ms}"));
        let pages = letters(51, 1);
        let mut world = registered(fax_offices(51, &tray, true));
        let tiff = tray.put("sent.tif", &pages);
        world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
        world.run_ms(after_ms);
        world.hang_up(stopped, 1);
        let sent = report(&mut world, A, 90_000);
        assert!(!sent.ok, "{sent:?}");
        let a = record(&mut world, A, 0, 30_000);
        // Stopped before T.38, it was a call like any other that the caller ended.
        assert_eq!(a.completed, a.fax.is_none(), "{a:?}");
        comes_to_rest(&mut world);
    }
}

#[test]
fn a_gateway_that_dies_in_the_middle_of_a_page_leaves_nothing_behind_at_the_other() {
    let tray = Tray::new("dies");
    let pages = letters(52, 1);
    let mut spec = fax_offices(52, &tray, true);
    spec.gateways[A].media.watchdog_ms = 5_000;
    let mut world = registered(spec);
    let tiff = tray.put("sent.tif", &pages);
    world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
    world.run_ms(15_000);
    world.kill(B);
    let a = record(&mut world, A, 0, 60_000);
    assert!(!a.completed, "{a:?}");
    world.start(B);
    assert!(world.run_until(120_000, |w| w.site(B).registered() == 2));
    comes_to_rest(&mut world);
}

#[test]
fn req_k1_with_ecm_a_page_survives_a_network_that_is_cut_for_a_moment() {
    let tray = Tray::new("cut");
    let pages = letters(53, 1);
    let mut world = registered(fax_offices(53, &tray, true));
    let tiff = tray.put("sent.tif", &pages);
    world.control(A, 1, Control::SendFax { number: "3003".into(), tiff });
    world.run_ms(14_900);
    world.partition(A, B, true);
    world.run_ms(400);
    world.partition(A, B, false);
    let (sent, received) = (report(&mut world, A, 120_000), report(&mut world, B, 30_000));
    assert!(sent.ok && received.ok, "{sent:?} {received:?} {}", story(&world));
    assert_identical(&pages, &received);
    let call = record(&mut world, B, 0, 10_000);
    let fax = call.fax.expect("a fax leg");
    assert!(fax.received.lost > 0 && fax.record.repeat_requests > 0, "the cut hit the page: {fax:?}");
    comes_to_rest(&mut world);
}
