//! Every bound of the core, in one place, with how it was chosen and how it relates to the others.
//!
//! Full means: refuse, count, and say so; never grow, never drop silently.

/// Keys in one dial string. The longest real ones are E.164 (15) behind an international prefix and a feature code.
pub const DIAL_STRING_MAX: usize = 40;
/// Digits in a number: E.164 allows 15; private plans and carrier prefixes add a few.
pub const NUMBER_DIGITS_MAX: usize = 24;
/// Ports of one gateway (one board, one thread). Two 24-port cards.
pub const PORTS_MAX: usize = 96;
/// Calls at a time in one gateway: two a port (call waiting) is ample.
pub const CALLS_MAX: usize = 2 * PORTS_MAX;
/// Commands queued from the event domain to the tick domain.
pub const COMMAND_QUEUE: usize = 1024;
/// Events queued from the tick domain to the event domain.
pub const EVENT_QUEUE: usize = 1024;
/// Datagrams that one leg takes from its socket in one tick; the rest waits for the next. 20 ms of audio is one or two.
pub const DATAGRAMS_PER_TICK_MAX: usize = 8;
/// The largest datagram a media socket reads. RTP G.711 is 172 bytes; UDPTL with redundancy a few hundred.
pub const DATAGRAM_BYTES_MAX: usize = 1500;
/// The largest SIP message on UDP that is read.
pub const SIP_BYTES_MAX: usize = 65_535;
/// SIP transactions alive at a time, both sides. Each call needs a handful.
pub const SIP_TRANSACTIONS_MAX: usize = 8 * CALLS_MAX;
/// SIP dialogs alive at a time.
pub const SIP_DIALOGS_MAX: usize = 2 * CALLS_MAX;
/// Forks of one outgoing call that are kept apart. A further one that answers gets no ACK and ends by its own 64*T1.
pub const SIP_FORKS_MAX: usize = 8;
/// SIP datagrams waiting to be taken out. A driver that drains after each call never has more than a few; what does not fit is lost as
/// on the network, counted, and repeated by its transaction.
pub const SIP_TRANSMITS_MAX: usize = 4096;
/// SIP timers worked off in one call; the rest is due at once again.
pub const SIP_TIMERS_PER_CALL_MAX: usize = 256;
/// Media lines in one session description. Audio and image, a second of either in odd offers; more is refused, not cut off.
pub const SDP_MEDIA_MAX: usize = 4;
/// Attributes kept of one media line, and of the session. Browsers send some sixty.
pub const SDP_ATTRIBUTES_MAX: usize = 96;
/// Formats of one media line. There are 32 dynamic payload types.
pub const SDP_FORMATS_MAX: usize = 32;
/// Learned routes kept by a gateway.
pub const ROUTES_MAX: usize = 10_000;
/// Look-ups waiting for the directory at a time.
pub const LOOKUPS_MAX: usize = CALLS_MAX;
/// Rows of the digit map.
pub const DIGIT_MAP_ROWS_MAX: usize = 64;

const _: () = assert!(CALLS_MAX >= PORTS_MAX, "every port can be in a call");
const _: () = assert!(SIP_DIALOGS_MAX >= CALLS_MAX, "every call can have its dialog");
const _: () = assert!(COMMAND_QUEUE >= 8 * PORTS_MAX, "a burst of a few commands a port fits");
