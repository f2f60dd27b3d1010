//! Every bound of the ports, in one place, with how it was chosen.

/// Hook changes of a simulated machine in one turn: 22 dial pulses a second make one; a bouncing contact a few.
pub const HOOK_CHANGES_MAX: usize = 16;
/// Events that wait for whoever drives a simulated machine. It is polled every turn, which makes a handful at most.
pub const SIM_EVENTS_MAX: usize = 64;
/// Steps of a phone's script, planned hook changes included (a dial string of 40 zeros by pulses is 800).
pub const SCRIPT_STEPS_MAX: usize = 1024;
/// Longest recording or playback of a simulated phone or WAV port: ten minutes.
pub const RECORD_SAMPLES_MAX: usize = 10 * 60 * 8000;
/// Largest WAV file that is read: an hour of PCM16.
pub const WAV_BYTES_MAX: usize = 64 << 20;
/// Chunks of a WAV file that are looked at before its samples.
pub const WAV_CHUNKS_MAX: usize = 64;
/// Events that a tap keeps.
pub const TAP_EVENTS_MAX: usize = 256;
