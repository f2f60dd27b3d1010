//! A G3 fax machine: libspandsp's `fax_state`, from the answer tone to the disconnect. It reads its pages from a TIFF file and stores what
//! it receives in one. Read T.30 clause 5 for the phases.
//!
//! It opens and writes files inside `rx` and `tx`, so it belongs to simulated fax machines and tests, never to the gateway's own tick.

use super::{Error, modems_up_to};
use crate::{FRAME_SAMPLES, Frame};
use core::ffi::{CStr, c_int, c_void};
use core::ptr::NonNull;
use spandsp_sys as sys;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Characters of an ident: T.30 gives CSI, TSI and CIG 20.
pub const IDENT_MAX: usize = 20;
/// The C side keeps a path in 256 bytes.
const PATH_BYTES_MAX: usize = 255;

/// What a fax machine is set to.
#[derive(Clone, Debug)]
pub struct TerminalConfig {
    /// True for the machine that dialled: it sends CNG and waits for DIS.
    pub calling: bool,
    /// Pages to send.
    pub send_tiff: Option<PathBuf>,
    /// Where to store received pages.
    pub receive_tiff: Option<PathBuf>,
    /// The machine's own number as it appears in CSI or TSI, at most [`IDENT_MAX`] characters.
    pub ident: String,
    /// Error correction mode (T.30 annex A), and with it T.6.
    pub ecm: bool,
    /// The fastest modem: 14400 or 12000 (V.17), 9600 or 7200 (V.29), 4800 or 2400 (V.27ter), in bit/s.
    pub max_bps: u32,
    /// Codings the machine can do on the line.
    pub coding: Coding,
    /// The finest resolution the machine takes.
    pub resolution: Resolution,
    /// How received pages are stored.
    pub store: Store,
}

impl Default for TerminalConfig {
    fn default() -> Self {
        TerminalConfig {
            calling: false,
            send_tiff: None,
            receive_tiff: None,
            ident: String::new(),
            ecm: true,
            max_bps: 14400,
            coding: Coding::UpToT6,
            resolution: Resolution::Superfine,
            store: Store::T6,
        }
    }
}

/// Codings on the line, each including the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// T.4 one-dimensional (MH).
    T4OneD,
    /// T.4 two-dimensional (MR).
    UpToT4TwoD,
    /// T.6 (MMR), used only with ECM.
    UpToT6,
}

/// Resolutions, each including the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// R8 x 3.85 lines/mm.
    Standard,
    /// R8 x 7.7 lines/mm and 200 x 200 dpi.
    Fine,
    /// R8 x 15.4 and R16 x 15.4 lines/mm, 300 and 400 dpi.
    Superfine,
}

/// How received pages lie in the TIFF file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// T.4 one-dimensional.
    T4,
    /// T.6.
    T6,
}

/// Where in a fax call the machine stands (T.30 clause 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Phase {
    /// Call establishment: CNG, CED.
    #[default]
    A,
    /// Identification and training: DIS, DCS, TCF.
    B,
    /// The page.
    C,
    /// After the page: EOP, MCF.
    D,
    /// Release.
    E,
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// libspandsp's completion code; 0 is success.
    pub code: i32,
    /// libspandsp's words for it, which administrators know and search for.
    pub text: &'static str,
    /// Pages sent and confirmed.
    pub pages_sent: u32,
    /// Pages received.
    pub pages_received: u32,
    /// The rate of the image modem.
    pub bps: u32,
    /// Whether error correction was used.
    pub ecm: bool,
    /// What the other machine called itself.
    pub remote_ident: String,
    /// Rows of the last page that could not be decoded.
    pub bad_rows: u32,
}

impl Outcome {
    /// True if libspandsp calls it success.
    pub const fn ok(&self) -> bool {
        self.code == 0
    }
}

/// What C's callbacks write.
#[derive(Default)]
struct Seen {
    completion: Option<i32>,
    phase: Phase,
}

/// A fax machine.
pub struct Terminal {
    fax: NonNull<sys::fax_state_t>,
    /// Owned; a raw pointer because C holds a copy of it and writes through it during calls that we make with `&mut self`.
    seen: NonNull<Seen>,
}

// SAFETY: the C state and `seen` are reachable only from this value, libspandsp keeps no thread-local state, and no method works on `&self`
// while another thread could hold `&mut self`.
unsafe impl Send for Terminal {}

impl Terminal {
    /// A machine that has just gone off hook.
    pub fn new(config: &TerminalConfig) -> Result<Self, Error> {
        let modems = modems_up_to(config.max_bps)?;
        if config.ident.len() > IDENT_MAX {
            return Err(Error::BadText("ident"));
        }
        let ident = CString::new(config.ident.as_str()).map_err(|_| Error::BadText("ident"))?;
        let send = config.send_tiff.as_deref().map(c_path).transpose()?;
        let receive = config.receive_tiff.as_deref().map(c_path).transpose()?;
        // SAFETY: a null argument asks C to allocate; the result is checked.
        let fax = NonNull::new(unsafe { sys::fax_init(core::ptr::null_mut(), config.calling) }).ok_or(Error::OutOfMemory)?;
        let seen = NonNull::from(Box::leak(Box::default()));
        let terminal = Terminal { fax, seen };
        let t30 = terminal.t30();
        let user = terminal.seen.as_ptr().cast::<c_void>();
        // SAFETY: `t30` is alive inside `fax`; every text is NUL-terminated and copied by C (bounded above); the handlers match the
        // declared types and `user` outlives the C state (see `drop`).
        let refused = unsafe {
            sys::t30_set_tx_ident(t30, ident.as_ptr());
            if let Some(p) = &send {
                sys::t30_set_tx_file(t30, p.as_ptr(), -1, -1);
            }
            if let Some(p) = &receive {
                sys::t30_set_rx_file(t30, p.as_ptr(), -1);
            }
            sys::t30_set_phase_e_handler(t30, Some(phase_e), user);
            sys::t30_set_real_time_frame_handler(t30, Some(frame_seen), user);
            sys::fax_set_transmit_on_idle(fax.as_ptr(), 1);
            let widths = 0x01 | 0x02 | 0x04; // T4_SUPPORT_WIDTH_215MM, 255, 303
            let lengths = 0x10000 | 0x20000 | 0x40000 | 0x80000 | 0x100000; // unlimited, A4, B4, US letter, US legal
            [
                ("the modems", sys::t30_set_supported_modems(t30, modems)),
                ("ECM", sys::t30_set_ecm_capability(t30, config.ecm)),
                ("the codings", sys::t30_set_supported_compressions(t30, codings(config))),
                ("the resolutions", sys::t30_set_supported_bilevel_resolutions(t30, resolutions(config.resolution))),
                ("the page sizes", sys::t30_set_supported_image_sizes(t30, widths | lengths)),
                ("the stored coding", sys::t30_set_supported_output_compressions(t30, if config.store == Store::T6 { 0x08 } else { 0x02 })),
            ]
        };
        match refused.iter().find(|(_, code)| *code != 0) {
            Some((what, _)) => Err(Error::Refused(what)),
            None => Ok(terminal),
        }
    }
    fn t30(&self) -> *mut sys::t30_state_t {
        // SAFETY: `fax` is alive; C gives the address of a member of it.
        unsafe { sys::fax_get_t30_state(self.fax.as_ptr()) }
    }
    /// Hears 20 ms of the line.
    pub fn rx(&mut self, from_line: &Frame) {
        // C restores DC in place, so it gets a copy.
        let mut samples = *from_line;
        // SAFETY: the buffer holds exactly the samples announced.
        unsafe { sys::fax_rx(self.fax.as_ptr(), samples.as_mut_ptr(), FRAME_SAMPLES as c_int) };
    }
    /// Speaks 20 ms to the line; silence when it has nothing to say or the call is over.
    pub fn tx(&mut self, to_line: &mut Frame) {
        // SAFETY: C writes at most the samples announced.
        let n = unsafe { sys::fax_tx(self.fax.as_ptr(), to_line.as_mut_ptr(), FRAME_SAMPLES as c_int) };
        let n = usize::try_from(n).unwrap_or(0).min(FRAME_SAMPLES);
        to_line[n..].fill(0);
    }
    /// The line is gone: the machine ends its call at once.
    pub fn hang_up(&mut self) {
        // SAFETY: the T.30 machine is alive.
        unsafe { sys::t30_terminate(self.t30()) }
    }
    /// Where in the call the machine stands.
    pub fn phase(&self) -> Phase {
        // SAFETY: `seen` is alive and only written during `&mut self` calls.
        unsafe { self.seen.as_ref() }.phase
    }
    /// True while the machine still has something to do on the line. False a moment after the outcome is known, when DCN is sent.
    pub fn active(&self) -> bool {
        // SAFETY: the T.30 machine is alive.
        unsafe { sys::t30_call_active(self.t30()) != 0 }
    }
    /// How the call ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        // SAFETY: as in `phase`.
        let code = unsafe { self.seen.as_ref() }.completion?;
        // SAFETY: a plain struct of integers; C fills it.
        let stats = unsafe {
            let mut s: sys::t30_stats_t = core::mem::zeroed();
            sys::t30_get_transfer_statistics(self.t30(), &mut s);
            s
        };
        // SAFETY: C gives a NUL-terminated text of its own state or null; it is copied here.
        let remote_ident = unsafe {
            let p = sys::t30_get_rx_ident(self.t30());
            if p.is_null() { String::new() } else { CStr::from_ptr(p).to_string_lossy().into_owned() }
        };
        let count = |n: c_int| u32::try_from(n).unwrap_or(0);
        Some(Outcome {
            code,
            text: completion_text(code),
            pages_sent: count(stats.pages_tx),
            pages_received: count(stats.pages_rx),
            bps: count(stats.bit_rate),
            ecm: stats.error_correcting_mode != 0,
            remote_ident,
            bad_rows: count(stats.bad_rows),
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are freed once; the C side goes first, since freeing it may still call back.
        unsafe {
            sys::fax_free(self.fax.as_ptr());
            drop(Box::from_raw(self.seen.as_ptr()));
        }
    }
}

/// libspandsp's words for a completion code.
pub fn completion_text(code: i32) -> &'static str {
    // SAFETY: C gives a string literal for every code, also for unknown ones.
    unsafe {
        let p = sys::t30_completion_code_to_str(code);
        if p.is_null() { "" } else { CStr::from_ptr(p).to_str().unwrap_or("") }
    }
}

fn codings(config: &TerminalConfig) -> c_int {
    // T4_COMPRESSION_T4_1D, T4_2D, T6
    match config.coding {
        Coding::T4OneD => 0x02,
        Coding::UpToT4TwoD => 0x02 | 0x04,
        Coding::UpToT6 if config.ecm => 0x02 | 0x04 | 0x08,
        Coding::UpToT6 => 0x02 | 0x04,
    }
}

fn resolutions(finest: Resolution) -> c_int {
    // T4_RESOLUTION_*: R8 standard, 200x100; R8 fine, 200x200; R8 and R16 superfine, 200x400, 300x300, 400x400
    let standard = 0x1 | 0x20;
    let fine = standard | 0x2 | 0x40;
    match finest {
        Resolution::Standard => standard,
        Resolution::Fine => fine,
        Resolution::Superfine => fine | 0x4 | 0x8 | 0x80 | 0x100 | 0x400,
    }
}

fn c_path(path: &Path) -> Result<CString, Error> {
    let text = path.to_str().ok_or(Error::BadText("path"))?;
    if text.len() > PATH_BYTES_MAX {
        return Err(Error::BadText("path"));
    }
    CString::new(text).map_err(|_| Error::BadText("path"))
}

unsafe extern "C" fn phase_e(user: *mut c_void, completion_code: c_int) {
    // SAFETY: `user` is the `Seen` given in `new`, alive and not borrowed while C runs.
    let seen = unsafe { &mut *user.cast::<Seen>() };
    seen.completion = Some(completion_code);
    seen.phase = Phase::E;
}

unsafe extern "C" fn frame_seen(user: *mut c_void, _incoming: bool, msg: *const u8, len: c_int) {
    if msg.is_null() || len < 3 {
        return;
    }
    // SAFETY: as in `phase_e`; C announces at least three octets.
    let (seen, fcf) = unsafe { (&mut *user.cast::<Seen>(), *msg.add(2)) };
    // FCFs in libspandsp's octets: the first bit on the line is the least significant; the X bit of T.30 is bit 0.
    seen.phase = match fcf & 0xFE {
        0x84 => Phase::C,                                                  // CFR
        0x8E | 0x4E | 0x2E | 0x9E | 0x5E | 0x3E | 0xBE | 0xCE => Phase::D, // EOM, MPS, EOP, the PRI- three, PPS, EOR
        0xFA => Phase::E,                                                  // DCN
        _ if seen.phase == Phase::A => Phase::B,
        _ => seen.phase,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SILENCE;
    use crate::spandsp::tiff::{self, Bitmap};

    fn page(rows: usize, seed: u32) -> Bitmap {
        let mut x = seed;
        let rows = (0..rows).map(|y| {
            let mut row = vec![0u8; 216];
            for (i, b) in row.iter_mut().enumerate() {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Bars of a pitch that changes down the page, with specks: neither trivial nor incompressible.
                *b = if (i / (2 + y / 64)) % 3 == 0 { 0xF0 } else { 0 } ^ if x >> 24 == 0 { 0x18 } else { 0 };
            }
            row
        });
        Bitmap { width: 1728, rows: rows.collect(), x_dpi: 204, y_dpi: 196 }
    }

    fn call(dir: &str, ecm: bool, max_bps: u32, pages: usize) -> (Outcome, Outcome) {
        let dir = std::env::temp_dir().join(format!("tipring-terminal-{}-{dir}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for the test");
        let (sent, got) = (dir.join("sent.tif"), dir.join("got.tif"));
        let original: Vec<_> = (0..pages).map(|i| page(300, i as u32)).collect();
        tiff::write(&sent, &original).expect("written");
        let mut caller = Terminal::new(&TerminalConfig {
            calling: true,
            send_tiff: Some(sent),
            ident: "2001".into(),
            ecm,
            max_bps,
            ..TerminalConfig::default()
        })
        .expect("a caller");
        let mut called =
            Terminal::new(&TerminalConfig { receive_tiff: Some(got.clone()), ident: "3001".into(), ecm, ..TerminalConfig::default() })
                .expect("a called machine");
        let (mut a, mut b) = (SILENCE, SILENCE);
        for _ in 0..50 * 120 {
            caller.tx(&mut a);
            called.tx(&mut b);
            caller.rx(&b);
            called.rx(&a);
            if !caller.active() && !called.active() {
                break;
            }
        }
        let outcomes = (caller.outcome().expect("the caller is done"), called.outcome().expect("the called machine is done"));
        assert_eq!(caller.phase(), Phase::E);
        drop((caller, called));
        assert_eq!(tiff::read(&got, 5000).expect("stored"), original);
        std::fs::remove_dir_all(dir).ok();
        outcomes
    }

    #[test]
    fn a_page_crosses_the_line_without_error_correction() {
        let (sender, receiver) = call("plain", false, 9600, 1);
        assert_eq!((sender.ok(), sender.text, sender.pages_sent, sender.bps, sender.ecm), (true, "OK", 1, 9600, false));
        assert_eq!((receiver.pages_received, receiver.bad_rows, receiver.remote_ident.as_str()), (1, 0, "2001"));
        assert_eq!(sender.remote_ident, "3001");
    }

    #[test]
    fn two_pages_cross_the_line_with_error_correction() {
        let (sender, receiver) = call("ecm", true, 14400, 2);
        assert_eq!((sender.ok(), sender.pages_sent, sender.bps, sender.ecm), (true, 2, 14400, true));
        assert_eq!(receiver.pages_received, 2);
    }

    #[test]
    fn a_line_that_drops_is_reported_in_the_words_administrators_know() {
        let mut t = Terminal::new(&TerminalConfig { calling: true, ..TerminalConfig::default() }).expect("a machine");
        let mut frame = SILENCE;
        for _ in 0..100 {
            t.tx(&mut frame);
            t.rx(&SILENCE);
        }
        assert!(t.outcome().is_none());
        t.hang_up();
        assert_eq!(t.outcome().expect("ended").text, "The call dropped prematurely");
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let bad = |c: TerminalConfig| Terminal::new(&c).err();
        assert_eq!(bad(TerminalConfig { max_bps: 33600, ..TerminalConfig::default() }), Some(Error::BadRate(33600)));
        assert_eq!(bad(TerminalConfig { ident: "1".repeat(21), ..TerminalConfig::default() }), Some(Error::BadText("ident")));
        assert_eq!(bad(TerminalConfig { send_tiff: Some("a\0b".into()), ..TerminalConfig::default() }), Some(Error::BadText("path")));
    }
}
