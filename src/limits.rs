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
/// Numbers a directory remembers, registered or not. A million terminals fit in well under a gigabyte; this is twice that.
pub const REGISTRATIONS_MAX: usize = 2_000_000;
/// Accounts of a directory, and reservations: one for each number.
pub const ACCOUNTS_MAX: usize = REGISTRATIONS_MAX;
/// Bytes of a user name. Mail addresses, which people use as such, are rarely longer.
pub const USER_BYTES_MAX: usize = 64;
/// Bytes of the name of a terminal: a `urn:uuid:` has 45, a key's fingerprint in hex 64.
pub const INSTANCE_BYTES_MAX: usize = 80;
/// Digest nonces whose use is remembered. At 20,000 fresh ones a second this still leaves each 3 s, and a refused old one costs its owner one
/// more round trip.
pub const NONCES_MAX: usize = 65_536;
/// Requests on one nonce that may overtake each other (at least 64; a busy gateway has up to two a port under way).
pub const NONCE_WINDOW: u32 = 256;
/// Sources of failed log-ins told apart. More at a time is an attack, and those share the log's general rate.
pub const LOGIN_FAILURES_MAX: usize = 1024;
/// Bytes of an Authorization or WWW-Authenticate value that is read.
pub const DIGEST_BYTES_MAX: usize = 2048;
/// Expired registrations handled in one turn of the directory.
pub const EXPIRIES_PER_TURN_MAX: usize = 1000;
/// Bytes of a request to the directory's API.
pub const API_BODY_BYTES_MAX: usize = 64 * 1024;
/// Writes waiting for the disk in a directory; more are refused with 503 before anything is changed.
pub const STORE_QUEUE: usize = 8192;
/// Records of one transaction of the store: at 500 a commit costs 8 us a record, and more brings little.
pub const STORE_BATCH: usize = 512;
/// Idle connections that a gateway keeps open to its directory.
pub const DIRECTORY_CONNECTIONS_KEPT: usize = 8;
