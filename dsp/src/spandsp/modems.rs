//! libspandsp's receivers of V.27ter, V.29 and V.17 behind [`ModemReceiver`], until our own fill the trait.
//!
//! Its carrier detector is absolute: set the cutoff from the level of what was heard before (the DCS). A receiver that fails to train
//! says nothing until the power has dropped below the cutoff, and then waits again, with the same kind of training.

use super::Error;
use crate::modem_receiver::{Modem, ModemReceiver, Output};
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use spandsp_sys as sys;

/// Samples given to C at a time. What one call can say is then bounded: 80 samples are 144 bits of V.17, and a few changes of status.
const CHUNK: usize = 80;
/// See [`CHUNK`].
const SAID_MAX: usize = 512;

// spandsp/async.h, SIG_STATUS_*.
const CARRIER_DOWN: c_int = -1;
const CARRIER_UP: c_int = -2;
const TRAINED: c_int = -4;
const TRAINING_FAILED: c_int = -5;

/// Bits and statuses as C says them.
type Said = heapless::Vec<i8, SAID_MAX>;

/// The three receivers, of which one listens at a time.
pub struct FaxModems {
    v27ter: NonNull<sys::v27ter_rx_state_t>,
    v29: NonNull<sys::v29_rx_state_t>,
    v17: NonNull<sys::v17_rx_state_t>,
    modem: Modem,
    /// Owned; a raw pointer because C holds copies of it and writes through it during calls that we make with `&mut self`.
    said: NonNull<Said>,
}

// SAFETY: the C states and `said` are reachable only from this value, libspandsp keeps no thread-local state, and nothing works on `&self`.
unsafe impl Send for FaxModems {}

impl FaxModems {
    /// Receivers that wait for nothing yet.
    pub fn new() -> Result<Self, Error> {
        let said = NonNull::from(Box::leak(Box::<Said>::default()));
        let user = said.as_ptr().cast::<c_void>();
        // SAFETY: a null argument asks C to allocate; the callback matches the declared type, and `user` outlives the states (see `drop`).
        let (v27ter, v29, v17) = unsafe {
            (
                sys::v27ter_rx_init(null_mut(), 4800, Some(say), user),
                sys::v29_rx_init(null_mut(), 9600, Some(say), user),
                sys::v17_rx_init(null_mut(), 14400, Some(say), user),
            )
        };
        match (NonNull::new(v27ter), NonNull::new(v29), NonNull::new(v17)) {
            (Some(v27ter), Some(v29), Some(v17)) => Ok(FaxModems { v27ter, v29, v17, modem: Modem::V17, said }),
            // What was made is leaked: the process has no memory left.
            _ => Err(Error::OutOfMemory),
        }
    }
}

impl ModemReceiver for FaxModems {
    fn restart(&mut self, modem: Modem, bps: u32, short: bool) -> bool {
        let Ok(rate) = c_int::try_from(bps) else { return false };
        self.modem = modem;
        // SAFETY: the states are alive; C refuses rates it does not know. The last argument of V.29 and V.27ter keeps the old training.
        let done = unsafe {
            match modem {
                Modem::V27ter => sys::v27ter_rx_restart(self.v27ter.as_ptr(), rate, false),
                Modem::V29 => sys::v29_rx_restart(self.v29.as_ptr(), rate, false),
                Modem::V17 => sys::v17_rx_restart(self.v17.as_ptr(), rate, c_int::from(short)),
            }
        };
        done == 0
    }
    fn set_cutoff_dbm0(&mut self, dbm0: f32) {
        // SAFETY: the states are alive.
        unsafe {
            sys::v27ter_rx_set_signal_cutoff(self.v27ter.as_ptr(), dbm0);
            sys::v29_rx_set_signal_cutoff(self.v29.as_ptr(), dbm0);
            sys::v17_rx_set_signal_cutoff(self.v17.as_ptr(), dbm0);
        }
    }
    fn rx(&mut self, samples: &[i16], tell: &mut dyn FnMut(Output)) {
        for chunk in samples.chunks(CHUNK) {
            let (amp, len) = (chunk.as_ptr(), chunk.len() as c_int);
            // SAFETY: the buffer holds exactly the samples announced and C only reads it; the callback writes `said`, which nobody borrows.
            unsafe {
                match self.modem {
                    Modem::V27ter => sys::v27ter_rx(self.v27ter.as_ptr(), amp, len),
                    Modem::V29 => sys::v29_rx(self.v29.as_ptr(), amp, len),
                    Modem::V17 => sys::v17_rx(self.v17.as_ptr(), amp, len),
                };
            }
            // SAFETY: C has returned; nobody else holds the pointer.
            let said = unsafe { self.said.as_mut() };
            for s in said.iter() {
                match c_int::from(*s) {
                    bit @ (0 | 1) => tell(Output::Bit(bit == 1)),
                    CARRIER_UP => tell(Output::CarrierUp),
                    TRAINED => tell(Output::Trained),
                    TRAINING_FAILED => tell(Output::TrainingFailed),
                    CARRIER_DOWN => tell(Output::CarrierDown),
                    _ => {}
                }
            }
            said.clear();
        }
    }
}

impl Drop for FaxModems {
    fn drop(&mut self) {
        // SAFETY: all were made in `new` and are freed once; the C side goes first.
        unsafe {
            sys::v27ter_rx_free(self.v27ter.as_ptr());
            sys::v29_rx_free(self.v29.as_ptr());
            sys::v17_rx_free(self.v17.as_ptr());
            drop(Box::from_raw(self.said.as_ptr()));
        }
    }
}

unsafe extern "C" fn say(user: *mut c_void, bit: c_int) {
    // SAFETY: `user` is the `Said` made in `new`, alive and not borrowed while C runs.
    let said = unsafe { &mut *user.cast::<Said>() };
    // Its room is several times what a chunk can say.
    let _ = said.push(bit.clamp(-128, 127) as i8);
}
