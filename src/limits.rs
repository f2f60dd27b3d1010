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
/// Learned routes kept by a gateway.
pub const ROUTES_MAX: usize = 10_000;
/// Look-ups waiting for the directory at a time.
pub const LOOKUPS_MAX: usize = CALLS_MAX;
/// Rows of the digit map.
pub const DIGIT_MAP_ROWS_MAX: usize = 64;

const _: () = assert!(CALLS_MAX >= PORTS_MAX, "every port can be in a call");
const _: () = assert!(SIP_DIALOGS_MAX >= CALLS_MAX, "every call can have its dialog");
const _: () = assert!(COMMAND_QUEUE >= 8 * PORTS_MAX, "a burst of a few commands a port fits");
/// Bytes of one IFP packet. The longest honest one is an ECM frame (260) or a peer's whole `T38FaxMaxDatagram` (rarely above 400).
pub const IFP_BYTES_MAX: usize = 1024;
/// Fields of one IFP packet. One or two are usual (data, then its FCS); peers that batch send up to ten.
pub const IFP_FIELDS_MAX: usize = 16;
/// Secondary packets or FEC entries looked at in one datagram. Depth 3 is usual; some peers use 7.
pub const UDPTL_RECOVERY_MAX: usize = 16;
/// Packets a UDPTL receiver remembers: the reach of FEC (span x entries) and of reordering. A power of two, so sequence numbers index it.
pub const UDPTL_WINDOW: usize = 32;
/// Frames and signals that may wait in an engine for the line. libspandsp has room for 256 and does not look whether they are free; the
/// longest honest queue is a block of ECM that came faster than estimated.
pub const ENGINE_BACKLOG: usize = 200;
/// IFP packets an engine may hold ready within one tick. A tick of V.17 makes one; a carrier change makes three.
pub const IFP_QUEUE: usize = 16;
/// Octets of an HDLC frame between fax machines: an ECM frame is 256 octets of image, 4 of header.
pub const HDLC_FRAME_BYTES_MAX: usize = 260;

const _: () = assert!(UDPTL_WINDOW.is_power_of_two() && UDPTL_RECOVERY_MAX <= UDPTL_WINDOW, "what a datagram repairs fits the window");
const _: () = assert!(IFP_BYTES_MAX < DATAGRAM_BYTES_MAX, "an IFP packet fits a datagram");
