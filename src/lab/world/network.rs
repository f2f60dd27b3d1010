//! The network of a world: a link for each pair of hosts and direction, all under one seed, and the fingerprint of all that was sent.

use crate::clock::{Instant, Rng};
use crate::directory;
use crate::lab::netem::{Counters, Netem, Params};
use crate::resolve::QueryId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// A host: gateways in order, then the directory.
pub type Host = usize;

/// Whose answer a directory's reply is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ticket {
    /// A look-up's.
    Lookup(QueryId),
    /// A registration's: which port, which request.
    Registration(u16, u64),
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// UDP.
    Datagram {
        /// From.
        src: SocketAddr,
        /// To.
        dst: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// A request to the directory. `life` tells a restarted gateway that the answer is not its own.
    Ask {
        /// Who asks.
        site: usize,
        /// In which of its lives.
        life: u32,
        /// For what.
        ticket: Ticket,
        /// The request.
        request: directory::Request,
    },
    /// Its answer.
    Reply {
        /// Which life asked.
        life: u32,
        /// For what.
        ticket: Ticket,
        /// The answer.
        response: directory::Response,
    },
}

/// All links.
pub struct Network {
    links: BTreeMap<(Host, Host), Netem<Parcel>>,
    cut: BTreeSet<(Host, Host)>,
    fingerprint: u64,
    datagrams: u64,
    lost_in_cuts: u64,
    overheard: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
}

/// Datagrams that a listener on the network remembers, for those who send them again.
const OVERHEARD_MAX: usize = 64;

impl Network {
    /// Links between all `gateways` hosts, and between each and the directory behind them.
    pub fn new(gateways: usize, link: Params, directory_link: Params, rng: &mut Rng) -> Self {
        let hosts = gateways + 1;
        let mut links = BTreeMap::new();
        for from in 0..hosts {
            for to in (0..hosts).filter(|to| *to != from) {
                let params = if from == gateways || to == gateways { directory_link } else { link };
                links.insert((from, to), Netem::new(params, rng.next_u64()));
            }
        }
        Network {
            links,
            cut: BTreeSet::new(),
            fingerprint: 0xcbf2_9ce4_8422_2325,
            datagrams: 0,
            lost_in_cuts: 0,
            overheard: VecDeque::new(),
        }
    }

    /// Other faults on one direction from here on.
    pub fn set_link(&mut self, from: Host, to: Host, params: Params) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.set_params(params);
        }
    }

    /// Cuts or mends one direction. What is on its way arrives.
    pub fn set_cut(&mut self, from: Host, to: Host, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Something goes out.
    pub fn send(&mut self, now: Instant, from: Host, to: Host, parcel: Parcel) {
        self.note(now, from, to, &parcel);
        if self.cut.contains(&(from, to)) {
            self.lost_in_cuts += 1;
        } else if let Some(link) = self.links.get_mut(&(from, to)) {
            link.send(now, parcel);
        }
    }

    /// What has arrived by `now`: to whom, and what.
    pub fn poll(&mut self, now: Instant) -> Option<(Host, Host, Parcel)> {
        let (&(from, to), link) = self.links.iter_mut().find(|(_, l)| l.poll_timeout().is_some_and(|at| at <= now))?;
        link.poll(now).map(|parcel| (from, to, parcel))
    }

    /// Datagrams sent into a cut.
    pub fn lost_in_cuts(&self) -> u64 {
        self.lost_in_cuts
    }
    /// When something arrives next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.links.values().filter_map(Netem::poll_timeout).min()
    }

    /// What a link has done.
    pub fn counters(&self, from: Host, to: Host) -> Counters {
        self.links.get(&(from, to)).map(Netem::counters).unwrap_or_default()
    }

    /// The fingerprint of every datagram sent so far: when, by whom, to whom, and every byte. Two runs of one seed have the same.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
    /// One of the last datagrams, 0 for the newest.
    pub fn overheard(&self, age: usize) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.overheard.get(age).cloned()
    }
    /// Datagrams sent so far.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    fn note(&mut self, now: Instant, from: Host, to: Host, parcel: &Parcel) {
        self.datagrams += 1;
        self.mix(&now.as_us().to_be_bytes());
        self.mix(&[from as u8, to as u8]);
        match parcel {
            Parcel::Datagram { src, dst, bytes } => {
                self.mix(&src.port().to_be_bytes());
                self.mix(&dst.port().to_be_bytes());
                self.mix(bytes);
                self.overheard.truncate(OVERHEARD_MAX - 1);
                self.overheard.push_front((*src, *dst, bytes.clone()));
            }
            Parcel::Ask { request, .. } => self.mix(format!("{request:?}").as_bytes()),
            Parcel::Reply { response, .. } => self.mix(format!("{response:?}").as_bytes()),
        }
    }

    /// FNV-1a.
    fn mix(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
