//! The JSON of a gateway's local API: plain request and answer types. Scripts rely on the names; add beside them, never rename.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The configuration's name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// SIP address.
    pub sip: String,
    /// The SHA-256 of the certificate that it proves itself with, as `sha-256 AA:BB:..`: its identifier.
    #[serde(default)]
    pub identity: Option<String>,
    /// The keys that its directories are known by, by server.
    #[serde(default)]
    pub directory_keys: std::collections::BTreeMap<String, String>,
    /// Ports in all.
    pub ports: usize,
    /// Ports in a call.
    pub ports_in_call: usize,
    /// Calls now.
    pub calls: usize,
    /// Calls since the start.
    pub calls_total: u64,
    /// Of those, the ones that did what they were made for.
    pub calls_completed: u64,
    /// Pages that arrived or left, confirmed.
    pub fax_pages_total: u64,
    /// Learned routes.
    pub routes: usize,
    /// Registrations, one a port.
    pub registrations: Vec<Registration>,
    /// Accounts at outside SIP servers, and the servers that routes name.
    #[serde(default)]
    pub accounts: Vec<Account>,
    /// The media thread.
    pub media: MediaCounters,
    /// SIP datagrams that were no SIP.
    pub sip_garbage: u64,
    /// SIP messages that came to nothing, by cause, and what was sent.
    #[serde(default)]
    pub sip_messages: SipMessageCounters,
    /// SIP's sockets and connections.
    #[serde(default)]
    pub sip_transport: SipTransportCounters,
}

/// SIP messages since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SipMessageCounters {
    /// No SIP at all.
    pub garbage: u64,
    /// Requests answered 4xx or 5xx because of how they are written.
    pub malformed: u64,
    /// Responses to nothing that was asked.
    pub stray_responses: u64,
    /// ACKs to nothing that was answered.
    pub stray_acks: u64,
    /// Requests from outside any dialog that were refused and left nothing behind.
    pub refused: u64,
    /// Requests refused because a table is full.
    pub full: u64,
    /// Calls refused because so many of their source ring here already.
    pub crowded: u64,
    /// Requests refused because those before them hold all the memory that they may.
    pub heavy: u64,
    /// Messages sent, repeats included.
    pub sent: u64,
    /// Repeats among them.
    pub repeated: u64,
    /// Requests that went on to their next way.
    pub failovers: u64,
}

/// SIP's sockets and connections since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SipTransportCounters {
    /// Connections open now that others opened.
    pub open_in: usize,
    /// Connections open now, or being opened, by us.
    pub open_out: usize,
    /// Connections that others opened.
    pub accepted: u64,
    /// Connections turned away because there were too many, in all or from one source.
    pub refused: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections closed because what came was not SIP or too long.
    pub garbage: u64,
    /// Connections closed because something did not come in time.
    pub timed_out: u64,
    /// Keep-alives answered: pings of connections, STUN.
    pub keep_alives: u64,
    /// Datagrams that the system did not take.
    pub udp_not_sent: u64,
}

/// How one port stands with the directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// The port.
    pub port: String,
    /// Its number, once known.
    pub number: Option<String>,
    /// In words: `registered`, `registering`, `refused: why`, ...
    pub state: String,
}

/// How one account stands with its outside server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name; of a route's server without an account: its URI.
    pub account: String,
    /// `sip:USER@DOMAIN`.
    pub address: String,
    /// trying, registered, refused, failed, leaving, stopped; `not registering` or `no address` where it does not register.
    pub state: String,
    /// The server in use, and its address.
    pub server: Option<String>,
    /// Seconds until the lease ends.
    pub expires_in_s: Option<u64>,
    /// What went wrong last, while it lasts.
    pub words: Option<String>,
    /// Calls through it now.
    pub calls: usize,
}

/// Counters of the media thread. Times are at most 25 % above the true quantile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MediaCounters {
    /// Turns made.
    pub ticks: u64,
    /// Turns skipped because the machine stood still.
    pub ticks_skipped: u64,
    /// The gateway's own part of a turn.
    pub tick_us_p50: u64,
    /// The same at p99.
    pub tick_us_p99: u64,
    /// CPU time of the gateway's own part, at p99.
    pub tick_cpu_us_p99: u64,
    /// The ports' exchange: hardware, or simulated machines.
    pub exchange_us_p99: u64,
    /// How late the thread woke up.
    pub late_us_p99: u64,
    /// Events lost; not zero means a bug.
    pub events_lost: u64,
    /// Datagrams that found no leg.
    pub stray_datagrams: u64,
    /// Datagrams that the system did not take.
    pub send_errors: u64,
}

/// One row of `GET /v1/ports`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Name in the configuration.
    pub name: String,
    /// What is plugged in.
    pub kind: String,
    /// Its number.
    pub number: Option<String>,
    /// idle, ringing, off hook, in call, gone.
    pub state: String,
    /// The call it is in.
    pub call: Option<String>,
}

/// One row of `GET /v1/calls`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Our id.
    pub call: String,
    /// outgoing, incoming, local.
    pub direction: String,
    /// Calling number.
    pub from: String,
    /// Called number.
    pub to: String,
    /// resolving, inviting, ringing, up, closing.
    pub state: String,
    /// PCMU, PCMA, T.38, local, or empty.
    pub media: String,
    /// RFC 3339.
    pub started: String,
    /// The peer gateway.
    pub peer: Option<String>,
    /// What the peer answered when it was asked what it can do: `status` (SIP's), `t38` (null: it did not say), and where it said so
    /// `audio`, `vbd`, `telephone_event`.
    #[serde(default)]
    pub peer_says: Option<serde_json::Value>,
    /// How a fax in it goes, and why so.
    #[serde(default)]
    pub fax_choice: Option<String>,
}

/// One row of `GET /v1/routes`, and the body of `POST /v1/routes`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// As dialled.
    pub number: String,
    /// The peer's SIP address.
    pub contact: String,
    /// Its identifier.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The directory signed that number and identifier belong together; not read in a request.
    #[serde(default)]
    pub signed: bool,
    /// RFC 3339; not read in a request.
    #[serde(default)]
    pub learned_at: Option<String>,
    /// RFC 3339: it is not used after this, unless it is used before; null: made by hand, and kept. Not read in a request.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// In a request: it is kept for so many days without use; left out: until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// Body of `POST /v1/sim/{port}`: what a person at the phone or fax machine would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SimAction {
    /// Lift the receiver.
    OffHook,
    /// Hang up.
    OnHook,
    /// Press the hook for 300 ms.
    Flash,
    /// Press keys.
    Dial {
        /// The keys.
        digits: String,
        /// Dial pulses instead of DTMF.
        #[serde(default)]
        pulse: bool,
    },
    /// Speak a WAV file into the receiver.
    Play {
        /// Its path, as the gateway sees it.
        file: String,
    },
    /// Write what the receiver gives out to a WAV file, from now until the phone is hung up.
    Record {
        /// Its path, as the gateway sees it.
        file: String,
    },
    /// End the recording and write it.
    StopRecording,
    /// Put pages into the fax machine and dial.
    SendFax {
        /// The number.
        number: String,
        /// TIFF files, as the gateway sees them.
        pages: Vec<String>,
    },
    /// Dial, and receive what the called machine has to send.
    FetchFax {
        /// The number.
        number: String,
    },
    /// Where received faxes go (`received-N.tif`).
    Receive {
        /// A folder, as the gateway sees it.
        dir: String,
    },
}

/// One row of `GET /v1/sim/{port}`: what the simulated machine noticed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimNote {
    /// Counts up from 1 per port.
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// One word: dial-tone, ringback, busy, reorder, ringing, answered, recorded, fax-sent, fax-received ...
    pub what: String,
    /// The rest in words, or a path.
    pub detail: String,
    /// Of a fax: did it go well.
    #[serde(default)]
    pub ok: Option<bool>,
}
