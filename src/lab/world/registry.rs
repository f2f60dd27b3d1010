//! The directory as a host of the world: the machine, its disk, and the time between a decision and its being on disk.
//!
//! Killed, it loses what was not yet on disk, and with it the answers that had not left; what it had acknowledged is there again.

use super::network::{Parcel, Ticket};
use super::spec::DirectorySpec;
use crate::clock::{Instant, WallMs, ms};
use crate::directory::registrar::AddressConflict;
use crate::directory::{Directory, NumberPlan, Policy, Record, Request};
use crate::number::Number;
use std::collections::VecDeque;

struct Waiting {
    due: Instant,
    writes: Vec<Record>,
    to: usize,
    reply: Option<Parcel>,
}

/// The directory's host.
pub struct Registry {
    spec: DirectorySpec,
    machine: Option<Directory>,
    disk: Vec<Record>,
    waiting: VecDeque<Waiting>,
}

impl Registry {
    /// A directory that runs, with these accounts on disk.
    pub fn new(spec: DirectorySpec, now: Instant, wall: WallMs, disk: Vec<Record>) -> Self {
        let mut registry = Registry { spec, machine: None, disk, waiting: VecDeque::new() };
        registry.start(now, wall);
        registry
    }

    fn policy(&self) -> Policy {
        let number = |text: &str| Number::parse(text).expect("a literal number");
        Policy {
            lease_default_s: self.spec.lease_s,
            lease_min_s: 10,
            lease_max_s: self.spec.lease_s.max(10),
            address_conflict: AddressConflict::Report,
            dynamic: self.spec.dynamic.map(|(a, b)| (number(a), number(b))),
            dynamic_kept_s: self.spec.kept_s,
            ..Policy::new(NumberPlan::new(number("1"), 4).expect("five digits fit"))
        }
    }

    /// Starts (again) from the disk.
    pub fn start(&mut self, now: Instant, wall: WallMs) {
        let mut machine = Directory::new(self.policy());
        for record in &self.disk {
            machine.apply(now, wall, record.clone());
        }
        self.machine = Some(machine);
    }

    /// Power off.
    pub fn kill(&mut self) {
        self.machine = None;
        self.waiting.clear();
    }

    /// True while it runs.
    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// The machine, for looking.
    pub fn machine(&self) -> Option<&Directory> {
        self.machine.as_ref()
    }

    /// What is on disk.
    pub fn disk(&self) -> &[Record] {
        &self.disk
    }

    /// A request arrived.
    pub fn handle_request(&mut self, now: Instant, wall: WallMs, site: usize, life: u32, ticket: Ticket, request: Request) {
        let Some(machine) = &mut self.machine else { return };
        let decision = machine.handle(now, wall, request);
        let due = if decision.writes.is_empty() { now } else { now + ms(self.spec.commit_ms) };
        let reply = Some(Parcel::Reply { life, ticket, response: decision.response });
        self.waiting.push_back(Waiting { due, writes: decision.writes, to: site, reply });
    }

    /// Leases end.
    pub fn handle_timeout(&mut self, now: Instant, wall: WallMs) {
        let Some(machine) = &mut self.machine else { return };
        if machine.poll_timeout().is_some_and(|at| at <= now) {
            let writes = machine.handle_timeout(now, wall);
            if !writes.is_empty() {
                self.waiting.push_back(Waiting { due: now + ms(self.spec.commit_ms), writes, to: 0, reply: None });
            }
        }
    }

    /// What is on disk by now, and so may be answered.
    pub fn poll_reply(&mut self, now: Instant) -> Option<(usize, Parcel)> {
        while let Some(i) = self.waiting.iter().position(|w| w.due <= now) {
            let done = self.waiting.remove(i).expect("found just above");
            self.disk.extend(done.writes);
            if let Some(reply) = done.reply {
                return Some((done.to, reply));
            }
        }
        None
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let leases = self.machine.as_ref().and_then(Directory::poll_timeout);
        let writes = self.waiting.iter().map(|w| w.due).min();
        [leases, writes].into_iter().flatten().min()
    }
}
