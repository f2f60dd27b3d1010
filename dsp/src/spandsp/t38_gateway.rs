//! The engine of the first T.38 relay: libspandsp's `t38_gateway`, audio on one side, IFP packets (ASN.1 of 1998) on the other.
//!
//! `new` allocates once; `rx`, `tx`, `from_ifp` and `poll_ifp` do not (`tests/gateway_alloc.rs` counts). The C side trusts the *order* of
//! packets: its image modems for sending and receiving share one piece of memory, so an image carrier from the network while it
//! listens for one on the line makes it run code that is not there. Whoever calls [`Gateway::from_ifp`] has to keep such orders away;
//! in this product that is `tipring::fax::t38::filter`.

use super::{Error, modems_up_to};
use crate::{FRAME_SAMPLES, Frame};
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;
use spandsp_sys as sys;

/// The longest IFP packet the engine makes: a flushed ECM frame and its header.
pub const IFP_BYTES: usize = 272;
/// IFP packets held between two polls. A tick makes one or two; a carrier that comes or goes adds three.
pub const IFP_QUEUE: usize = 16;

/// What the gateway may let through.
#[derive(Clone, Copy, Debug)]
pub struct GatewayConfig {
    /// Lets the machines agree on ECM (and so on T.6); otherwise the bits are struck from DIS.
    pub ecm: bool,
    /// The fastest image modem, in bit/s: 14400, 9600 or 4800 (and the slower rate of each).
    pub max_bps: u32,
    /// `T38FaxFillBitRemoval`: fill bits of non-ECM pages are not sent to the network.
    pub fill_bit_removal: bool,
    /// Sends talker echo protection tones before image carriers.
    pub tep: bool,
    /// Milliseconds of modem data an IFP packet holds.
    pub packet_ms: u32,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig { ecm: true, max_bps: 14400, fill_bit_removal: false, tep: false, packet_ms: 30 }
    }
}

/// An IFP packet the gateway wants sent.
#[derive(Clone, Copy, Debug)]
pub struct Ifp {
    len: u16,
    /// How many times it should be sent: 3 for indicators and ends of carriers.
    pub copies: u8,
    bytes: [u8; IFP_BYTES],
}

impl Ifp {
    /// The packet, in the 1998 syntax.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What the gateway counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GatewayStats {
    /// Rate of the image modem, in bit/s.
    pub bps: u32,
    /// ECM in use.
    pub ecm: bool,
    /// Pages for which MCF was seen.
    pub pages: u32,
    /// Packets lost because the queue was full or they were longer than [`IFP_BYTES`]: a fault of ours.
    pub overflowed: u32,
    /// Packets from the network that C did not like.
    pub refused: u32,
}

struct Queue {
    waiting: heapless::Deque<Ifp, IFP_QUEUE>,
    overflowed: u32,
}

/// Audio to IFP and back.
pub struct Gateway {
    c: NonNull<sys::t38_gateway_state_t>,
    core: NonNull<sys::t38_core_state_t>,
    /// Owned; raw because C holds a copy and writes through it while we are in a call with `&mut self`.
    queue: NonNull<Queue>,
    refused: u32,
    config: GatewayConfig,
    modems: c_int,
}

// SAFETY: the C state and the queue are reachable only from this value; libspandsp has no thread-local state.
unsafe impl Send for Gateway {}

impl Gateway {
    /// A gateway whose line is silent.
    pub fn new(config: &GatewayConfig) -> Result<Self, Error> {
        let modems = modems_up_to(config.max_bps)?;
        let queue = NonNull::from(Box::leak(Box::new(Queue { waiting: heapless::Deque::new(), overflowed: 0 })));
        // SAFETY: null asks C to allocate; the handler has the declared type; `queue` outlives the C state (see `drop`).
        let c = unsafe { sys::t38_gateway_init(core::ptr::null_mut(), Some(packet_made), queue.as_ptr().cast::<c_void>()) };
        let core = NonNull::new(c).and_then(|c| {
            // SAFETY: `c` is alive; C gives the address of a member of it.
            NonNull::new(unsafe { sys::t38_gateway_get_t38_core_state(c.as_ptr()) })
        });
        let (Some(c), Some(core)) = (NonNull::new(c), core) else {
            // SAFETY: made above, nobody else has it.
            drop(unsafe { Box::from_raw(queue.as_ptr()) });
            return Err(Error::OutOfMemory);
        };
        let mut gateway = Gateway { c, core, queue, refused: 0, config: *config, modems };
        gateway.configure();
        Ok(gateway)
    }
    /// Begins anew with the line silent and nothing heard, in the same memory. Packets not yet polled are dropped.
    pub fn reset(&mut self) {
        // SAFETY: the C state is alive and of the right size; C takes it as new memory and allocates nothing.
        unsafe {
            sys::t38_gateway_init(self.c.as_ptr(), Some(packet_made), self.queue.as_ptr().cast::<c_void>());
            self.queue.as_mut().waiting.clear();
        }
        self.configure();
    }
    fn configure(&mut self) {
        let (config, g, t) = (self.config, self.c.as_ptr(), self.core.as_ptr());
        // Proprietary facilities (NSF, NSC, NSS) are made unrecognisable: a relay in the middle cannot follow what two machines of one
        // maker would agree on. The C side copies three octets more than it is told, hence the length of the array.
        let nobody = [0xFFu8, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: both states are alive; `nobody` is longer than the six octets read.
        unsafe {
            sys::t38_gateway_set_nsx_suppression(g, nobody.as_ptr(), 3, nobody.as_ptr(), 3);
            sys::t38_gateway_set_transmit_on_idle(g, true);
            sys::t38_gateway_set_supported_modems(g, self.modems);
            sys::t38_gateway_set_ecm_capability(g, config.ecm);
            sys::t38_gateway_set_fill_bit_removal(g, config.fill_bit_removal);
            sys::t38_gateway_set_tep_mode(g, config.tep);
            sys::t38_set_t38_version(t, 0);
            sys::t38_set_sequence_number_handling(t, true);
            sys::t38_set_tx_packet_interval(t, c_int::try_from(config.packet_ms.clamp(10, 60)).unwrap_or(30) * 1000);
        }
    }
    /// Hears the next samples of the line, at most a frame. In short pieces is better: C lets the image modem hear the whole piece and
    /// then the V.21 receiver, and when that believes to hear a carrier, a flag or an abort, the octets that the image modem has got since
    /// it was trained are thrown away. In pieces of 20 ms the page behind an FTT lost its first row that way.
    pub fn rx(&mut self, from_line: &[i16]) {
        // C restores DC in place.
        let mut samples = [0; FRAME_SAMPLES];
        let n = from_line.len().min(FRAME_SAMPLES);
        samples[..n].copy_from_slice(&from_line[..n]);
        // SAFETY: the buffer holds the samples announced.
        unsafe { sys::t38_gateway_rx(self.c.as_ptr(), samples.as_mut_ptr(), n as c_int) };
    }
    /// Speaks 20 ms to the line.
    pub fn tx(&mut self, to_line: &mut Frame) {
        // SAFETY: C writes at most the samples announced.
        let n = unsafe { sys::t38_gateway_tx(self.c.as_ptr(), to_line.as_mut_ptr(), FRAME_SAMPLES as c_int) };
        to_line[usize::try_from(n).unwrap_or(0).min(FRAME_SAMPLES)..].fill(0);
    }
    /// Takes one packet (1998 syntax) that our own codec has decoded and emitted again. `seq` counts them; a gap tells C that packets
    /// are missing, so that it does not pass off half a frame as a whole one.
    pub fn from_ifp(&mut self, ifp: &[u8], seq: u16) {
        let Ok(len) = c_int::try_from(ifp.len()) else { return };
        // SAFETY: the slice is alive for the call and C reads `len` octets of it.
        if unsafe { sys::t38_core_rx_ifp_packet(self.core.as_ptr(), ifp.as_ptr(), len, seq) } < 0 {
            self.refused = self.refused.saturating_add(1);
        }
    }
    /// The next packet to send, oldest first.
    pub fn poll_ifp(&mut self) -> Option<Ifp> {
        // SAFETY: C writes the queue only inside calls above, which hold `&mut self`.
        unsafe { self.queue.as_mut() }.waiting.pop_front()
    }
    /// What the gateway counts.
    pub fn stats(&self) -> GatewayStats {
        // SAFETY: a plain struct of integers that C fills; the queue is only written during `&mut self` calls.
        let (s, overflowed) = unsafe {
            let mut s: sys::t38_stats_t = core::mem::zeroed();
            sys::t38_gateway_get_transfer_statistics(self.c.as_ptr(), &mut s);
            (s, self.queue.as_ref().overflowed)
        };
        GatewayStats {
            bps: u32::try_from(s.bit_rate).unwrap_or(0),
            ecm: s.error_correcting_mode,
            pages: u32::try_from(s.pages_transferred).unwrap_or(0),
            overflowed,
            refused: self.refused,
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are freed once, the C side first.
        unsafe {
            sys::t38_gateway_free(self.c.as_ptr());
            drop(Box::from_raw(self.queue.as_ptr()));
        }
    }
}

unsafe extern "C" fn packet_made(_core: *mut sys::t38_core_state_t, user: *mut c_void, buf: *const u8, len: c_int, copies: c_int) -> c_int {
    // SAFETY: `user` is the queue given in `new`, alive and not borrowed while C runs.
    let queue = unsafe { &mut *user.cast::<Queue>() };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut ifp = Ifp { len: 0, copies: u8::try_from(copies.clamp(1, 3)).unwrap_or(1), bytes: [0; IFP_BYTES] };
    if buf.is_null() || len > IFP_BYTES {
        queue.overflowed = queue.overflowed.saturating_add(1);
        return -1;
    }
    // SAFETY: C announces `len` readable octets; the target has room, checked above.
    unsafe { core::ptr::copy_nonoverlapping(buf, ifp.bytes.as_mut_ptr(), len) };
    ifp.len = len as u16;
    if queue.waiting.push_back(ifp).is_err() {
        queue.overflowed = queue.overflowed.saturating_add(1);
        return -1;
    }
    0
}
