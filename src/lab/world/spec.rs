//! What a world is made of: gateways with their ports and machines, a directory, links.

use super::nat::NatSpec;
use crate::call::EmergencyTarget;
use crate::directory::Ring;
use crate::identity;
use crate::lab::netem;
use crate::negotiate::{MediaPolicy, Policy, T38Policy};
use crate::number::CallerIdCodes;
use crate::sip::Network;
use std::net::SocketAddr;
use tipring_dsp::g711::Law;
use tipring_dsp::line_model::LineParams;

/// A whole world. Everything that happens in it follows from this and from what is done to it.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// Decides every tag, SSRC, phase, loss and noise.
    pub seed: u64,
    /// In order; the first is site 0.
    pub gateways: Vec<GatewaySpec>,
    /// Every link between two gateways, both ways.
    pub link: netem::Params,
    /// The links between gateways and directory. Requests on it are whole (HTTP over TCP): loss here is a request without an answer.
    pub directory_link: netem::Params,
    /// The directory; `None`: there is none, and ports have their numbers from the start.
    pub directory: Option<DirectorySpec>,
}

impl WorldSpec {
    /// These gateways and a directory on a quiet network.
    pub fn new(seed: u64, gateways: Vec<GatewaySpec>) -> Self {
        let near = netem::Params { delay: core::time::Duration::from_micros(500), ..netem::Params::default() };
        WorldSpec { seed, gateways, link: near, directory_link: near, directory: Some(DirectorySpec::default()) }
    }
}

/// The directory's part.
#[derive(Clone, Debug)]
pub struct DirectorySpec {
    /// Lease granted, in seconds.
    pub lease_s: u32,
    /// How long a write takes to be on disk, in milliseconds. Nothing is acknowledged before.
    pub commit_ms: u64,
    /// Numbers that the server may give by itself.
    pub dynamic: Option<(&'static str, &'static str)>,
    /// How long such a number is kept for a terminal that left, in seconds.
    pub kept_s: u32,
    /// Which terminals of these numbers ring.
    pub ring: Vec<(&'static str, Ring)>,
}

impl Default for DirectorySpec {
    fn default() -> Self {
        DirectorySpec { lease_s: 60, commit_ms: 4, dynamic: None, kept_s: 3600, ring: Vec::new() }
    }
}

/// One gateway and what is plugged into it.
#[derive(Clone, Debug)]
pub struct GatewaySpec {
    /// Its name in logs.
    pub name: &'static str,
    /// The site whose account it uses; `None`: its own.
    pub account_of: Option<usize>,
    /// In order.
    pub ports: Vec<PortSpec>,
    /// Codecs and T.38.
    pub media: MediaPolicy,
    /// It does not know the directory, and has its numbers by its own configuration.
    pub standalone: bool,
    /// Keys, and whom pages go to.
    pub security: SecuritySpec,
    /// Where emergency calls go, in order.
    pub emergency: Vec<EmergencySpec>,
    /// A target of theirs without a sign for so long is left for the next.
    pub emergency_silence_ms: u64,
    /// One that rings is given so long.
    pub emergency_no_answer_ms: u64,
    /// Peers whose word on who calls is believed.
    pub trusted: Vec<Network>,
    /// What is dialled in front of a number to withhold or show one's own.
    pub codes: CallerIdCodes,
    /// Echo places.
    pub services: usize,
    /// Pairs of media sockets.
    pub legs: usize,
    /// Calls at a time.
    pub calls_max: usize,
    /// A called line rings at most so long.
    pub no_answer_ms: u64,
    /// A learned route that says nothing for so long makes us ask the directory too.
    pub learned_silence_ms: u64,
    /// A look-up without an answer for so long has failed.
    pub lookup_ms: u64,
    /// The kernel's word of a changed address is heard. A gateway without it is what others are: the control of scenes in which it matters.
    pub hears_of_changes: bool,
    /// The NAT in front of it: then it asks the directory's STUN server how it is seen.
    pub nat: Option<NatSpec>,
    /// By how much the clock of its board is fast, parts per million: its 20 ms are shorter by so much.
    pub clock_ppm: f64,
    /// The system stamps datagrams as they arrive (SO_TIMESTAMPNS); without it they count as arrived when the media thread takes them.
    pub receive_timestamps: bool,
}

/// Keys of a gateway, and whom its pages go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecuritySpec {
    /// Whether media are encrypted.
    pub media: Policy,
    /// It has a key, which the directory knows.
    pub has_key: bool,
    /// Whom pages go to.
    pub identity: identity::Policy,
    /// Nobody reads its signalling, so that keys may stand there (SDES); the world has no TLS.
    pub private_signalling: bool,
}

impl SecuritySpec {
    /// What a gateway does that nobody has switched anything at.
    pub const USUAL: SecuritySpec = SecuritySpec {
        media: Policy::Preferred,
        has_key: true,
        private_signalling: false,
        identity: identity::Policy {
            peers: identity::Peers::Prove,
            foreign: identity::Foreign::Flag,
            limit_ms: identity::LIMIT_MS,
            check_is_off: false,
        },
    };
    /// Keys in the signalling, and none of its own: SRTP by SDES, and nothing in the clear.
    pub const SDES: SecuritySpec = SecuritySpec {
        media: Policy::Required,
        has_key: false,
        private_signalling: true,
        identity: identity::Policy { peers: identity::Peers::Flag, ..SecuritySpec::USUAL.identity },
    };
    /// The control of safety scenes: everything as usual, and whoever answers is let through.
    pub const CHECK_IS_OFF: SecuritySpec =
        SecuritySpec { identity: identity::Policy { check_is_off: true, ..SecuritySpec::USUAL.identity }, ..SecuritySpec::USUAL };
}

impl Default for SecuritySpec {
    /// In the clear, by a gateway without a key: for scenes about other things, which handshakes would only slow down.
    fn default() -> Self {
        let identity = identity::Policy { peers: identity::Peers::Flag, ..SecuritySpec::USUAL.identity };
        SecuritySpec { media: Policy::Off, has_key: false, identity, private_signalling: false }
    }
}

/// Where emergency calls go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmergencySpec {
    /// This port of the same gateway.
    Port(u16),
    /// This site.
    Site(usize),
    /// A host that is not of the world: the test plays it, or nobody does.
    Outside(SocketAddr),
}

impl EmergencySpec {
    pub(super) fn target(self, sip_of: impl Fn(usize) -> SocketAddr) -> EmergencyTarget {
        match self {
            EmergencySpec::Port(p) => EmergencyTarget::Port(crate::id::PortId(p)),
            EmergencySpec::Site(site) => EmergencyTarget::Peer(sip_of(site)),
            EmergencySpec::Outside(address) => EmergencyTarget::Peer(address),
        }
    }
}

impl GatewaySpec {
    /// A gateway with these ports and usual settings.
    pub fn new(name: &'static str, ports: Vec<PortSpec>) -> Self {
        let legs = 2 * ports.len() + 2;
        GatewaySpec {
            name,
            account_of: None,
            ports,
            media: MediaPolicy {
                laws: vec![Law::Mu, Law::A],
                jitter_max_ms: 200,
                watchdog_ms: 30_000,
                t38: Some(T38Policy { max_datagram: 400, redundancy_control: 3, redundancy_image: 2, ecm: true }),
            },
            standalone: false,
            security: SecuritySpec::default(),
            emergency: Vec::new(),
            emergency_silence_ms: 4_000,
            emergency_no_answer_ms: 40_000,
            trusted: Vec::new(),
            codes: CallerIdCodes::default(),
            services: 2,
            legs,
            calls_max: crate::limits::CALLS_MAX,
            no_answer_ms: 60_000,
            learned_silence_ms: 2_000,
            lookup_ms: 1_500,
            hears_of_changes: true,
            nat: None,
            clock_ppm: 0.0,
            receive_timestamps: true,
        }
    }
}

/// One port and the machine plugged into it.
#[derive(Clone, Debug)]
pub struct PortSpec {
    /// Name in logs and records.
    pub name: String,
    /// Its number.
    pub number: Option<&'static str>,
    /// Its number is withheld.
    pub anonymous: bool,
    /// The machine.
    pub machine: MachineSpec,
    /// The wire between.
    pub line: LineParams,
}

impl PortSpec {
    /// A telephone on a short line.
    pub fn phone(number: &'static str) -> Self {
        PortSpec {
            name: format!("phone-{number}"),
            number: Some(number),
            anonymous: false,
            machine: MachineSpec::Phone,
            line: LineParams::HOUSE,
        }
    }
    /// A fax machine on a short line.
    #[cfg(feature = "spandsp")]
    pub fn fax(number: &'static str, fax: FaxSpec) -> Self {
        PortSpec {
            name: format!("fax-{number}"),
            number: Some(number),
            anonymous: false,
            machine: MachineSpec::Fax(fax),
            line: LineParams::HOUSE,
        }
    }
}

/// What is plugged in.
#[derive(Clone, Debug)]
pub enum MachineSpec {
    /// A telephone.
    Phone,
    /// A G3 fax machine.
    #[cfg(feature = "spandsp")]
    Fax(FaxSpec),
}

/// How a fax machine is set up.
#[cfg(feature = "spandsp")]
#[derive(Clone, Debug)]
pub struct FaxSpec {
    /// Error correction.
    pub ecm: bool,
    /// Fastest modem, bit/s.
    pub max_bps: u32,
    /// Where received pages go; `None`: it does not answer.
    pub receive_into: Option<std::path::PathBuf>,
}
