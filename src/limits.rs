//! Every bound of the core, in one place, with how it was chosen and how it relates to the others.
//!
//! Full means: refuse, count, and say so; never grow, never drop silently.

/// Keys in one dial string. The longest real ones are E.164 (15) behind an international prefix and a feature code.
pub const DIAL_STRING_MAX: usize = 40;
/// Digits in a number: E.164 allows 15; private plans and carrier prefixes add a few.
pub const NUMBER_DIGITS_MAX: usize = 24;
/// Ports of one gateway (one board, one thread). Two 24-port cards.
pub const PORTS_MAX: usize = 96;
/// Calls that the echo service of one gateway may be set to take at a time. A thousand short calls a second overlap by some fifty.
pub const ECHO_PLACES_MAX: usize = 256;
/// Calls at a time in one gateway: two a port (call waiting) is ample, and one an echo place.
pub const CALLS_MAX: usize = 2 * PORTS_MAX + ECHO_PLACES_MAX;
/// Commands queued from the event domain to the tick domain.
pub const COMMAND_QUEUE: usize = 1024;
/// Events queued from the tick domain to the event domain.
pub const EVENT_QUEUE: usize = 1024;
/// Datagrams that every socket of a leg may bring in one tick, whatever the others do. 20 ms of audio is one or two.
pub const DATAGRAMS_PER_TICK_MAX: usize = 8;
/// Datagrams beyond those in one tick, all sockets together: strangers who flood a port must not make the peer's audio wait behind them.
/// 25,600 a second on one port, for half a millisecond of the tick.
pub const DATAGRAMS_FLOOD_MAX: usize = 512;
/// The largest datagram a media socket reads. RTP G.711 is 172 bytes; UDPTL with redundancy a few hundred.
pub const DATAGRAM_BYTES_MAX: usize = 1500;
/// SSRCs whose packets were authentic under one SRTP master key (both tables of a session: ours and the peer's). One is the rule; a PBX that takes a
/// call on and off hold takes another each time. A place costs 80 bytes, and what is in it can never be replayed, so none is given up.
pub const SRTP_SOURCES_MAX: usize = 32;
/// The largest SIP message on UDP that is read.
pub const SIP_BYTES_MAX: usize = 65_535;
/// Bytes of a SIP message before its body: start line and headers. The longest honest ones carry an Identity, a dozen Vias and a page of
/// tokens: some 8 kB. More is answered 513.
pub const SIP_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header lines of a SIP message. RFC 4475's long request has 40; one Via a proxy, and Max-Forwards starts at 70.
pub const SIP_HEADERS_MAX: usize = 256;
/// What the system may keep of SIP over UDP while we are busy: half a second of a thousand calls a second, or 4,000 telephones that register at
/// once, at 2.5 kB a datagram as it counts them.
pub const SIP_RECEIVE_BYTES: usize = 10 << 20;
/// SIP transactions alive at a time, both sides. On UDP those of an INVITE and of a BYE live on for 32 s (RFC 3261 timers J, RFC 6026 timer L):
/// a thousand calls a second hold 64,000, and half of the table is for requests of others. At most 1 kB each, the answer that is repeated.
pub const SIP_TRANSACTIONS_MAX: usize = 160_000;
/// Bytes of what peers asked and of our answers to it that are kept meanwhile. The half of the table that is theirs, at 1.2 kB each; only
/// long headers, of which a message may have 32 kB, reach this first.
pub const SIP_KEPT_BYTES_MAX: usize = 96 << 20;
/// Calls of one source (an IPv4 address, an IPv6 /64) that ring here and are not answered yet: two a port, should one proxy bring them all,
/// and a third of the places that calls to us have.
pub const SIP_RINGING_PER_SOURCE_MAX: usize = CALLS_MAX / 2;
/// Refused INVITEs remembered for their repeats: two thousand a second for the 32 s that they may be repeated, at some 60 bytes each.
pub const SIP_REFUSALS_MAX: usize = 65_536;
/// Bytes of a branch, a tag or a Call-ID of a request to us. Proxies that pack state into them write some 200.
pub const SIP_NAME_BYTES_MAX: usize = 512;
/// Sources of refused calls that are told apart in the log of a minute.
pub const REFUSED_SOURCES_MAX: usize = 1024;
/// SIP dialogs alive at a time.
pub const SIP_DIALOGS_MAX: usize = 2 * CALLS_MAX;
/// Forks of one outgoing call that are kept apart. A further one that answers gets no ACK and ends by its own 64*T1.
pub const SIP_FORKS_MAX: usize = 8;
/// Ways to a server that one request tries (RFC 3263): a few servers, each by two transports or families. More only delays the failure.
pub const SIP_TARGETS_MAX: usize = 8;
/// Provisional responses that wait for the PRACK of one before them.
pub const SIP_PROVISIONALS_MAX: usize = 4;
/// SIP datagrams waiting to be taken out. A driver that drains after each call never has more than a few; what does not fit is lost as
/// on the network, counted, and repeated by its transaction.
pub const SIP_TRANSMITS_MAX: usize = 4096;
/// SIP timers worked off in one call; the rest is due at once again.
pub const SIP_TIMERS_PER_CALL_MAX: usize = 256;
/// Addresses that SIP listens on, for each of `listen` and `tls_listen`: a few networks in both families.
pub const SIP_LISTENERS_MAX: usize = 8;
/// Connections (TCP, TLS) at a time that others opened: phones keep one each. An idle one costs a few kB and a descriptor.
pub const SIP_CONNECTIONS_IN_MAX: usize = 4096;
/// Of those, from one source (an IPv4 address, an IPv6 /64): a proxy needs a handful, an office behind one address a few dozens.
pub const SIP_CONNECTIONS_PER_SOURCE_MAX: usize = 256;
/// Connections at a time that we opened, apart from the above so that no crowd keeps us from calling.
pub const SIP_CONNECTIONS_OUT_MAX: usize = 1024;
/// Messages waiting to be written to one connection, and their bytes. A peer that reads so slowly is as good as gone.
pub const SIP_WRITES_QUEUED_MAX: usize = 256;
/// See [`SIP_WRITES_QUEUED_MAX`].
pub const SIP_WRITES_QUEUED_BYTES_MAX: usize = 512 * 1024;
/// Messages of all connections waiting to be taken by the daemon; connections wait with reading then.
pub const SIP_MESSAGES_QUEUED_MAX: usize = 1024;
/// Peers of UDP remembered with the socket that they came in by, where there are several.
pub const SIP_UDP_PEERS_MAX: usize = 4096;
/// Sources of broken connections told apart for the log; those beyond are counted only.
pub const SIP_TOLD_MAX: usize = 1024;
/// Records read of one DNS answer; more would not be tried before a caller loses patience.
pub const DNS_RECORDS_MAX: usize = 32;
/// DNS answers remembered: a gateway speaks with a handful of domains, some six questions each.
pub const DNS_CACHE_MAX: usize = 1024;
/// Servers of one domain whose addresses are asked for. SRV sets of providers have two to six.
pub const LOCATE_TARGETS_MAX: usize = 8;
/// Hops that one URI leads to at most: each may cost a caller seconds.
pub const LOCATE_HOPS_MAX: usize = 16;
/// Media lines in one session description. Audio and image, a second of either in odd offers; more is refused, not cut off.
pub const SDP_MEDIA_MAX: usize = 4;
/// Attributes kept of one media line, and of the session. Browsers send some sixty.
pub const SDP_ATTRIBUTES_MAX: usize = 96;
/// Formats of one media line. There are 32 dynamic payload types.
pub const SDP_FORMATS_MAX: usize = 32;
/// Outside numbers whose CSI a gateway keeps.
pub const CSI_KNOWN_MAX: usize = 10_000;
/// Learned routes kept by a gateway.
pub const ROUTES_MAX: usize = 10_000;
/// Prefix routes: a row a country code is some 250.
pub const PREFIX_ROUTES_MAX: usize = 512;
/// Accounts at outside SIP servers: one a port, and some that ports share.
pub const SIP_ACCOUNTS_MAX: usize = PORTS_MAX + 16;
/// Servers of one account, tried in order. Providers give two or three.
pub const ACCOUNT_SERVERS_MAX: usize = 8;
/// Addresses of one server that are tried. DNS may name more.
pub const SERVER_HOPS_MAX: usize = 8;
/// Realms whose challenges are remembered for one login: the registrar's, and a proxy's or two on the way.
pub const AUTH_REALMS_MAX: usize = 4;
/// Challenges answered for one request: a realm or two, each stale once. More is a server that never has enough.
pub const AUTH_ROUNDS_MAX: u8 = 5;
/// Route headers kept of a Service-Route (RFC 3608).
pub const SERVICE_ROUTES_MAX: usize = 8;
/// Outside calls of one port within an hour that can be counted, and so the highest cap.
pub const OUTSIDE_CALLS_PER_HOUR_MAX: u16 = 1000;
/// Outside calls of one account within an hour that can be counted, and so the highest cap: a dozen ports at theirs.
pub const ACCOUNT_CALLS_PER_HOUR_MAX: u16 = 12 * OUTSIDE_CALLS_PER_HOUR_MAX;
/// Networks whose word on who calls is believed: the servers of a few providers.
pub const TRUSTED_NETWORKS_MAX: usize = 64;
/// Look-ups waiting for the directory at a time.
pub const LOOKUPS_MAX: usize = CALLS_MAX;
/// Rows of the digit map.
pub const DIGIT_MAP_ROWS_MAX: usize = 64;
/// Emergency numbers of one place: the longest national list (police, fire, ambulance, coast guard, the common number) is five.
pub const EMERGENCY_NUMBERS_MAX: usize = 8;
/// Events of one line between two turns of the board. A turn carries at most a dozen hook changes, each of which makes at most two.
pub const LINE_EVENTS_MAX: usize = 32;
/// Handshakes kept for one call: before the answer each of a number's terminals may begin one, and an attacker on their hosts some more.
pub const HANDSHAKES_PER_CALL_MAX: usize = 2 * BINDINGS_PER_NUMBER_MAX;
/// Datagrams of handshakes that wait to be sent. Beyond, they are lost like any, and sent again by their timers.
pub const HANDSHAKE_DATAGRAMS_MAX: usize = 256;
/// DTLS datagrams that wait for the event domain: two whole flights of four peers in one turn. Beyond, they are lost, and sent again.
pub const HANDSHAKES_QUEUED_MAX: usize = 64;

/// Events that one turn of the board may leave behind. A port rarely makes more than two in 20 ms.
pub const BOARD_EVENTS_MAX: usize = 8 * PORTS_MAX;
/// Frames of line audio kept from the first sign of a fax answer on, for the T.38 relay that takes over: 1 s, longer than a re-INVITE
/// takes on any path on which fax works at all.
pub const PRIME_FRAMES: usize = 50;
/// Log lines that wait for the shell.
pub const LOG_LINES_MAX: usize = 256;
/// Samples of one leg's jitter buffer, a power of two: 512 ms, the longest playout (300 ms for pass-through) with a 60 ms packet ahead
/// and as much again for a burst after a stall.
pub const JITTER_SAMPLES: usize = 4096;
/// Packets that playout adaptation remembers: 5 s of 20 ms, so one bad second is forgotten in five.
pub const JITTER_WINDOW: usize = 256;
/// Samples in one audio packet that is accepted: 120 ms, twice the longest packet anyone sends.
pub const AUDIO_PACKET_SAMPLES_MAX: usize = 960;
/// Digits waiting to be played to the line, and digits not yet taken by the tick. A fast auto-dialler sends 10 a second.
pub const DIGITS_QUEUED_MAX: usize = 32;

const _: () = assert!(CALLS_MAX >= PORTS_MAX, "every port can be in a call");
const _: () = assert!(SIP_RINGING_PER_SOURCE_MAX >= 2 * PORTS_MAX, "all ports can ring for one proxy, with a call waiting each");
const _: () = assert!(SIP_DIALOGS_MAX >= CALLS_MAX, "every call can have its dialog");
const _: () = assert!(SIP_HEAD_BYTES_MAX < SIP_BYTES_MAX, "a message of the longest head has room for a body");
const _: () = assert!(COMMAND_QUEUE >= 8 * PORTS_MAX, "a burst of a few commands a port fits");
const _: () = assert!(JITTER_SAMPLES.is_power_of_two() && JITTER_SAMPLES >= 4 * AUDIO_PACKET_SAMPLES_MAX, "the ring is indexed by mask");
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
/// Numbers a directory remembers, registered or not. A million terminals fit in well under a gigabyte; this is twice that.
pub const REGISTRATIONS_MAX: usize = 2_000_000;
/// Accounts of a directory, and reservations: one for each number.
pub const ACCOUNTS_MAX: usize = REGISTRATIONS_MAX;
/// Numbers of the dynamic pool that one user may hold: instances are the terminal's own word, so without a bound one account empties the
/// pool by inventing them. A household's phones and adapters; a gateway's ports are one instance.
pub const DYNAMIC_NUMBERS_PER_USER_MAX: usize = 8;
/// People of a directory. Most numbers belong to nobody who logs in; a large office has some thousand who do.
pub const PEOPLE_MAX: usize = 100_000;
/// Accounts and numbers of one person.
pub const PERSON_NUMBERS_MAX: usize = 64;
/// People logged in at a time, counted by session.
pub const SESSIONS_MAX: usize = 4096;
/// Sessions of one person: a few browsers and a script or two.
pub const SESSIONS_PER_PERSON_MAX: usize = 16;
/// Passwords of people hashed at a time. Each takes 19 MiB and some 20 ms of a core, which the calls of others need too.
pub const PASSWORDS_HASHED_MAX: usize = 2;
/// Requests that wait for that, those under way included: half a second of them. More are told to come again.
pub const PASSWORDS_WAITING_MAX: usize = 32;
/// Of those that wait, from one source (an IPv4 address or a /64): one stranger does not keep everybody else out.
pub const PASSWORDS_PER_SOURCE_MAX: usize = 2;
/// Bytes of a person's password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Bytes of a user name. Mail addresses, which people use as such, are rarely longer.
pub const USER_BYTES_MAX: usize = 64;
/// Bytes of the name of a terminal: a `urn:uuid:` has 45, a key's fingerprint in hex 64.
pub const INSTANCE_BYTES_MAX: usize = 80;
/// Digest nonces whose use is remembered. At 20,000 fresh ones a second this still leaves each 3 s, and a refused old one costs its owner one
/// more round trip.
pub const NONCES_MAX: usize = 65_536;
/// Requests on one nonce that may overtake each other (at least 64; a busy gateway has up to two a port under way).
pub const NONCE_WINDOW: u32 = 256;
/// Contacts of one number: a household's phones, a desk phone and what its owner carries. Each stands in every answer to a look-up.
pub const BINDINGS_PER_NUMBER_MAX: usize = 8;
/// Other numbers at one address that a registration is told of. A whole office behind one address is a policy question, not a list to read.
pub const OTHERS_TOLD_MAX: usize = 8;
/// Keys remembered of one number: one a terminal that it has, and a few that it had.
pub const KEYS_PER_NUMBER_MAX: usize = 2 * BINDINGS_PER_NUMBER_MAX;
/// Accounts that terminals of a directory may have made by themselves, unless `[enrol]` says another number; each costs some 400 bytes for good.
pub const ENROLLED_DEFAULT: usize = 1000;
/// The most that `[enrol]` may say.
pub const ENROLLED_MAX: usize = 100_000;
/// Sources whose enrolments of the last minute are counted. More at a time are told to come again.
pub const ENROL_SOURCES_MAX: usize = 1024;
/// Enrolments that a source (an IPv4 address, an IPv6 /64) may try in a minute: two gateways with all their ports.
pub const ENROLMENTS_PER_SOURCE_MAX: u32 = 2 * PORTS_MAX as u32;
/// Other directories that one knows by their server numbers. Three digits' worth.
pub const SERVERS_MAX: usize = 1000;
/// Rotations of one key that a gateway (or a directory) can prove to who missed them: at one a quarter, two years.
pub const SUCCESSIONS_MAX: usize = 8;
/// Keys that a directory's operator can revoke. Gateways hold the whole list, and it comes in one answer of [`API_BODY_BYTES_MAX`].
pub const REVOCATIONS_MAX: usize = 512;
/// Bytes of the reason that stands beside one.
pub const REVOCATION_WHY_BYTES_MAX: usize = 200;
/// Calls whose key waits for a side: a second or two each, [`KEPT`](crate::directory::station_keys::KEPT_MS) at most.
pub const CALL_KEYS_MAX: usize = 4096;
/// Bytes of the name of a call that such a key is for.
pub const CALL_ID_BYTES_MAX: usize = 256;
/// Bytes of one file of the audit trail, beyond which the next is begun: some 20,000 events.
pub const AUDIT_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Events that wait for the disk; who makes more waits with them.
pub const AUDIT_QUEUE: usize = 1024;
/// Alarms waiting to be logged; more in one turn are counted only.
pub const ALARMS_MAX: usize = 64;
/// Bytes of a contact's URI. The longest honest ones carry a mapped address and an opaque token, some 150.
pub const CONTACT_URI_BYTES_MAX: usize = 300;
/// Answers to SIP requests with credentials that are kept for their repeats. They are kept 32 s (64*T1) as far as there is room: at 10,000
/// registrations a second 3 s, in which a phone has repeated its request twice.
pub const SIP_REPEATS_MAX: usize = 32_768;
/// Phones that were challenged and have not answered yet. Of more at a time those that give up at an unknown hash are not told apart.
pub const SIP_UNANSWERED_MAX: usize = 8192;
/// Sources, and accounts of sources, whose failed log-ins are counted. A source is banned long before it has filled this with names.
pub const BANS_MAX: usize = 16_384;
/// Sources of failed log-ins told apart. More at a time is an attack, and those share the log's general rate.
pub const LOGIN_FAILURES_MAX: usize = 1024;
/// Zones that a directory speaks for over DNS: its own, and one for each range of an office's numbers.
pub const DNS_ZONES_MAX: usize = 16;
/// Addresses that DNS listens on: a few networks in both families. Each has a thread.
pub const DNS_LISTENERS_MAX: usize = 8;
/// The largest datagram sent to who takes more than [`DNS_DATAGRAM_BYTES_SMALL`]: what passes any network unbroken.
pub const DNS_DATAGRAM_BYTES_MAX: usize = 1232;
/// The largest datagram sent to who does not say what it takes (RFC 1035 s.4.2.1).
pub const DNS_DATAGRAM_BYTES_SMALL: usize = 512;
/// The largest answer over TCP. The longest we have, eight contacts, is some 1000 bytes.
pub const DNS_ANSWER_BYTES_MAX: usize = 65_535;
/// Bytes of a query that is read: a name has 255, and options some dozens, padded to 468 by some.
pub const DNS_QUERY_BYTES_MAX: usize = 1232;
/// Connections at a time over which is asked. Resolvers keep one and close it.
pub const DNS_CONNECTIONS_MAX: usize = 256;
/// Of those, from one source (an IPv4 address, an IPv6 /64).
pub const DNS_CONNECTIONS_PER_SOURCE_MAX: usize = 16;
/// Places for sources of queries whose rate is watched; 24 bytes each.
pub const DNS_SOURCES_MAX: usize = 16_384;
/// Bytes of an Authorization or WWW-Authenticate value that is read.
pub const DIGEST_BYTES_MAX: usize = 2048;
/// Challenges looked at in one header. Three hashes, and as many again of a proxy on the way.
pub const CHALLENGES_MAX: usize = 8;
/// Expired registrations handled in one turn of the directory.
pub const EXPIRIES_PER_TURN_MAX: usize = 1000;
/// Bytes of a request to the directory's API.
pub const API_BODY_BYTES_MAX: usize = 64 * 1024;
/// Writes waiting for the disk in a directory; more are refused with 503 before anything is changed.
pub const STORE_QUEUE: usize = 8192;
/// Records of one transaction of the store: at 500 a commit costs 8 us a record, and more brings little.
pub const STORE_BATCH: usize = 512;
/// Connections to a directory's API at a time from one source (an IPv4 address, an IPv6 /64), loopback apart: an office of gateways behind
/// one address. The half of the usual `connections_max`, and a stranger cannot take them all.
pub const API_CONNECTIONS_PER_SOURCE_MAX: usize = 512;
/// Networks of one access list of a directory: the sites of a large office.
pub const ACCESS_NETWORKS_MAX: usize = 256;
/// Directories that a gateway asks in turn. Each may cost a caller a good part of a second.
pub const DIRECTORIES_MAX: usize = 8;
/// Idle connections that a gateway keeps open to its directory.
pub const DIRECTORY_CONNECTIONS_KEPT: usize = 8;
/// Fingerprints of one SDP media description that are read (RFC 8122). A peer in the middle of a rotation has two.
pub const FINGERPRINTS_MAX: usize = 8;
/// Datagrams of a DTLS association waiting to be taken out. A flight is one to four.
pub const DTLS_OUTGOING_MAX: usize = 16;
/// Datagrams that a DTLS engine may still send after its handshake, to a peer that did not hear the end of it. Each has a record or two, so
/// that together they stay below `dtls::ENGINE_RECORDS`.
pub const DTLS_AFTERWARDS_MAX: usize = 128;
/// The largest datagram of a DTLS flight, whatever the MTU.
pub const DTLS_FLIGHT_BYTES_MAX: usize = 1400;
