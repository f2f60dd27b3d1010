//! From a dialled number to a place to call: the chain local port -> learned route -> prefix route or directory.
//!
//! ```text
//!   number --> one of our ports? ----------------------------------> Route::Port
//!          --> the echo service? ----------------------------------> Route::Echo
//!          --> a route learned before (and not known to be stale)? -> Route::Peer, called directly, no server in the path (A-2)
//!          --> named by a prefix route, and not of the plan? -------> Route::Outside, through an account at an outside SIP server
//!          --> ask the directory; learn the answer (A-3) -----------> Route::Peer or Route::Terminals, or why not
//!          --> unknown there, of the plan, and named by a route? ---> Route::Outside
//! ```
//!
//! *The plan* is the digit map `directory.numbers`, where there is one: those numbers are the directory's, so a short prefix (or an empty
//! one) cannot take them from it. Without it a prefix route goes before the directory, which then never hears what is called outside. A
//! number of the plan goes outside only on the directory's word that it does not exist: while the directory is silent, away or refusing,
//! it does not, for a call meant for the house must not reach a stranger. A number that no route names goes to no account, ever.
//!
//! *Several terminals* on one number (`Route::Terminals`) are asked for each time, for who is there changes without a word to us. The one that
//! answered is learned all the same (A-1): it is called when the directory is silent.
//!
//! Emergency calls are not resolved here at all (`call/outgoing.rs`).
//!
//! The chain asks; it does not call. When a learned route turns out stale (no answer, or the peer does not know the number), the call
//! comes back with [`Resolver::ask_again`] and the table is corrected (A-8).

mod again;
pub mod cache;
pub mod prefix;

use crate::clock::{Instant, WallMs, ms};
use crate::id::PortId;
use crate::limits::{BINDINGS_PER_NUMBER_MAX, LOOKUPS_MAX};
use crate::number::Number;
use again::Asked;
use cache::{LearnedRoute, RouteCache};
use prefix::{Outside, PrefixRoutes};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A question that the directory has been asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QueryId(pub u64);

/// A peer gateway that answers for a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The number as the directory knows it.
    pub number: Number,
    /// Where its gateway takes SIP.
    pub contact: SocketAddr,
    /// The gateway's identifier (fingerprint of its key), where it has one. Compared before pages leave (a later stop of the path).
    pub fingerprint: Option<String>,
    /// The directory signed that the number, this fingerprint and (when it was asked) this contact belong together.
    pub signed: bool,
    /// Called without asking anybody: the answer was learned earlier and may be stale.
    pub learned: bool,
}

impl Target {
    fn learned(route: &LearnedRoute) -> Target {
        let LearnedRoute { number, contact, fingerprint, signed, .. } = route.clone();
        Target { number, contact, fingerprint, signed, learned: true }
    }

    fn as_learned(&self, wall: WallMs, several: bool, life_ms: i64) -> LearnedRoute {
        let Target { number, contact, fingerprint, signed, .. } = self.clone();
        let expires_at = Some(WallMs(wall.0.saturating_add(life_ms)));
        LearnedRoute { number, contact, fingerprint, signed, learned_at: wall, several, expires_at }
    }
}

/// How the terminals of one number are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// All at once.
    All,
    /// One after the other.
    InOrder,
}

/// The terminals of one number: two at least.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terminals {
    /// How they are called.
    pub ring: Ring,
    /// The best first; at most [`BINDINGS_PER_NUMBER_MAX`].
    pub at: Vec<Target>,
}

/// Where a number leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// A port of this gateway.
    Port(PortId),
    /// The echo service.
    Echo,
    /// A peer gateway.
    Peer(Target),
    /// Several of them have the number.
    Terminals(Terminals),
    /// An outside server, by a prefix route.
    Outside(Outside),
}

/// Why a number leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoute {
    /// The directory does not know the number.
    Unknown,
    /// The number exists; nobody is registered for it now.
    Away,
    /// The directory refuses to tell us.
    Refused,
    /// The directory did not answer, and nothing was learned before.
    DirectorySilent,
    /// What answers is not the directory that we know.
    Forged,
    /// Too many look-ups are waiting.
    Overloaded,
}

impl NoRoute {
    /// For records and logs.
    pub fn words(self) -> &'static str {
        match self {
            NoRoute::Unknown => "no such number",
            NoRoute::Away => "nobody is registered for this number now",
            NoRoute::Refused => "the directory refuses the look-up",
            NoRoute::DirectorySilent => "the directory does not answer and no route was learned",
            NoRoute::Forged => "what answers is not signed by the key that the directory is known by",
            NoRoute::Overloaded => "too many look-ups are waiting",
        }
    }
}

/// What the chain says at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The answer.
    Done(Result<Route, NoRoute>),
    /// Wait for this query's answer; the shell has been told to ask.
    Asked(QueryId),
}

/// What the directory said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Registered there.
    Found {
        /// The number in the directory's own form.
        number: Number,
        /// Its gateway's SIP address.
        contact: SocketAddr,
        /// Its gateway's identifier.
        fingerprint: Option<String>,
        /// By the key that the directory is known by.
        signed: bool,
    },
    /// Registered at several places.
    Terminals {
        /// The number in the directory's own form.
        number: Number,
        /// How they are called.
        ring: Ring,
        /// SIP address and identifier of each one's gateway, the best first.
        at: Vec<(SocketAddr, Option<String>)>,
        /// By the key that the directory is known by.
        signed: bool,
    },
    /// Not there, for this reason.
    No(NoRoute),
}

/// What the shell must do for the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask the directory and bring the answer to [`Resolver::handle_answer`].
    Ask(QueryId, Number),
    /// Ask who knows identifiers where this number's gateway is now, and bring the answer there, too (A-6).
    AskIdentifier(QueryId, Number, String),
    /// Write the learned route to disk.
    Store(Number, LearnedRoute),
    /// Remove it from disk.
    Forget(Number),
}

/// The chain of one gateway.
pub struct Resolver {
    ports: BTreeMap<Number, PortId>,
    echo: Option<Number>,
    cache: RouteCache,
    prefixes: PrefixRoutes,
    waiting: BTreeMap<QueryId, Waiting>,
    next_query: u64,
    actions: Vec<Action>,
    answer_limit_ms: u64,
    /// A learned route that is not used for so long is no longer used.
    route_life_ms: i64,
    /// What time it is, as far as we were told.
    wall: WallMs,
    /// Identifiers that are worth nothing any more.
    revoked: BTreeSet<String>,
}

/// A question that has no answer yet.
struct Waiting {
    number: Number,
    until: Instant,
    asked: Asked,
}

/// A learned route lives for so long without being used, unless [`Resolver::set_route_life`] says otherwise, in milliseconds.
const ROUTE_LIFE_MS: i64 = 30 * DAY_MS;
/// A route whose end moved by less is not written again.
const DAY_MS: i64 = 86_400_000;

impl Resolver {
    /// A chain for these local numbers; `echo` is the service number answered by the gateway itself. A look-up that has no answer
    /// after `answer_limit_ms` counts as [`NoRoute::DirectorySilent`].
    pub fn new(ports: BTreeMap<Number, PortId>, echo: Option<Number>, cache: RouteCache, answer_limit_ms: u64) -> Self {
        Resolver {
            ports,
            echo,
            cache,
            prefixes: PrefixRoutes::new(),
            waiting: BTreeMap::new(),
            next_query: 1,
            actions: Vec::new(),
            answer_limit_ms,
            route_life_ms: ROUTE_LIFE_MS,
            wall: WallMs(0),
            revoked: BTreeSet::new(),
        }
    }

    /// How many days a learned route lives that nobody uses.
    pub fn set_route_life(&mut self, days: u32) {
        self.route_life_ms = i64::from(days) * DAY_MS;
    }

    /// Says what time it is: routes end by the wall clock. One that was never set ends none too early.
    pub fn set_wall(&mut self, wall: WallMs) {
        self.wall = wall;
    }

    /// Which numbers may go outside. Before this none does.
    pub fn set_prefix_routes(&mut self, routes: PrefixRoutes) {
        self.prefixes = routes;
    }

    /// The prefix route of a number that goes by it without asking the directory, should nothing nearer have it.
    pub fn outside_first(&self, number: &Number) -> Option<Outside> {
        if self.prefixes.is_of_the_plan(number) { None } else { self.prefixes.find(number) }
    }

    /// The prefix route of a number, whatever the rest of the chain says of it.
    pub fn prefix_route(&self, number: &Number) -> Option<Outside> {
        self.prefixes.find(number)
    }

    /// A port was given (or lost) its number by the directory.
    pub fn set_port_number(&mut self, port: PortId, number: Option<Number>) {
        self.ports.retain(|_, p| *p != port);
        if let Some(number) = number {
            self.ports.insert(number, port);
        }
    }

    /// The port that has this number.
    pub fn port_of(&self, number: &Number) -> Option<PortId> {
        self.ports.get(number).copied()
    }

    /// True for the echo service's number.
    pub fn is_echo(&self, number: &Number) -> bool {
        self.echo.as_ref() == Some(number)
    }

    /// Starts the chain for a dialled number.
    pub fn resolve(&mut self, now: Instant, number: &Number) -> Step {
        if let Some(port) = self.port_of(number) {
            return Step::Done(Ok(Route::Port(port)));
        }
        if self.is_echo(number) {
            return Step::Done(Ok(Route::Echo));
        }
        if self.cache.get(number).is_some_and(|route| route.is_over(self.wall)) {
            self.forget(number);
        }
        self.refresh(number);
        match self.cache.get(number) {
            Some(route) if route.several => return self.ask_again(now, number),
            Some(route) => return Step::Done(Ok(Route::Peer(Target::learned(route)))),
            None => {}
        }
        if let Some(outside) = self.outside_first(number) {
            return Step::Done(Ok(Route::Outside(outside)));
        }
        self.ask_again(now, number)
    }

    /// Goes straight to the directory: there is no learned route, or it proved stale.
    pub fn ask_again(&mut self, now: Instant, number: &Number) -> Step {
        if self.waiting.len() >= LOOKUPS_MAX {
            return Step::Done(Err(NoRoute::Overloaded));
        }
        let query = self.wait(now, number, Asked::Number);
        self.actions.push(Action::Ask(query, number.clone()));
        Step::Asked(query)
    }

    fn wait(&mut self, now: Instant, number: &Number, asked: Asked) -> QueryId {
        let query = QueryId(self.next_query);
        self.next_query += 1;
        let until = now + ms(self.answer_limit_ms);
        self.waiting.insert(query, Waiting { number: number.clone(), until, asked });
        query
    }

    /// The learned route is used: it lives on.
    fn refresh(&mut self, number: &Number) {
        let until = WallMs(self.wall.0.saturating_add(self.route_life_ms));
        let Some(route) = self.cache.get(number) else { return };
        if route.expires_at.is_some_and(|at| until.0.saturating_sub(at.0) >= DAY_MS) {
            let route = LearnedRoute { expires_at: Some(until), ..route.clone() };
            self.store(number.clone(), route);
        }
    }

    /// The directory's answer. `None` when the query is no longer waited for, or when there is more to ask.
    pub fn handle_answer(&mut self, wall: WallMs, query: QueryId, answer: Answer) -> Option<Result<Route, NoRoute>> {
        let Waiting { number: dialled, until, asked } = self.waiting.remove(&query)?;
        self.wall = wall;
        let answer = self.without_revoked(answer);
        if asked == Asked::Identifier && Resolver::is_no_place(&answer) {
            // Later than now by what is left of the time: whoever was answered quickly waits no longer than it was told.
            self.identifier_is_lost(query, dialled, until);
            return None;
        }
        Some(match answer {
            Answer::Found { number, contact, fingerprint, signed } => {
                Ok(self.found(wall, dialled, Target { number, contact, fingerprint, signed, learned: false }))
            }
            Answer::Terminals { number, ring, at, signed } => {
                let mut places: Vec<Target> = Vec::new();
                for (contact, fingerprint) in at {
                    // Two ports of one gateway are one place: it knows which of them has the number.
                    if places.len() < BINDINGS_PER_NUMBER_MAX && places.iter().all(|p| p.contact != contact) {
                        places.push(Target { number: number.clone(), contact, fingerprint, signed, learned: false });
                    }
                }
                match places.len() {
                    0 => Err(NoRoute::Away),
                    1 => Ok(self.found(wall, dialled, places.remove(0))),
                    _ => Ok(Route::Terminals(Terminals { ring, at: places })),
                }
            }
            // Whoever speaks in its place says nothing.
            Answer::No(why @ (NoRoute::DirectorySilent | NoRoute::Forged)) => self.without_directory(&dialled).map_err(|_| why),
            Answer::No(why) => {
                // The directory is the authority on what exists; its silence is no reason to forget.
                if matches!(why, NoRoute::Unknown | NoRoute::Away) {
                    self.forget(&dialled);
                }
                match self.prefixes.find(&dialled) {
                    Some(outside) if why == NoRoute::Unknown => return Some(Ok(Route::Outside(outside))),
                    Some(_) | None => {}
                }
                Err(why)
            }
        })
    }

    fn found(&mut self, wall: WallMs, dialled: Number, target: Target) -> Route {
        self.store(dialled, target.as_learned(wall, false, self.route_life_ms));
        Route::Peer(target)
    }

    fn store(&mut self, dialled: Number, route: LearnedRoute) {
        if let Some(evicted) = self.cache.learn(dialled.clone(), route.clone()) {
            self.actions.push(Action::Forget(evicted));
        }
        self.actions.push(Action::Store(dialled, route));
    }

    /// The directory is silent: of a number with several terminals the one that answered last is better than none.
    fn without_directory(&self, dialled: &Number) -> Result<Route, NoRoute> {
        let known = self.cache.get(dialled).filter(|route| route.several);
        known.map(|route| Route::Peer(Target::learned(route))).ok_or(NoRoute::DirectorySilent)
    }

    /// This one of a number's several terminals answered.
    pub fn learn_of_several(&mut self, wall: WallMs, dialled: Number, target: &Target) {
        self.store(dialled, target.as_learned(wall, true, self.route_life_ms));
    }

    /// Drops a learned route, here and on disk.
    pub fn forget(&mut self, number: &Number) -> bool {
        let known = self.cache.forget(number);
        if known {
            self.actions.push(Action::Forget(number.clone()));
        }
        known
    }

    /// The gateway that answered where the directory leads showed this key, and none was known (A-7): the learned route has it from now on.
    pub fn pin(&mut self, dialled: &Number, at: SocketAddr, key: crate::key::Fingerprint) {
        let Some(route) = self.cache.get(dialled).filter(|route| route.contact == at && route.fingerprint.is_none()) else { return };
        let route = LearnedRoute { fingerprint: Some(key.to_string()), ..route.clone() };
        // It is known already, so nothing is pushed out.
        let _nothing = self.cache.learn(dialled.clone(), route.clone());
        self.actions.push(Action::Store(dialled.clone(), route));
    }

    /// The peer of a call moved, and said so in the dialog: what was learned of this number and led to the old place leads there now (A-8).
    /// Whoever has a route to somewhere else by now (the directory was asked meanwhile) keeps it. True if something was corrected.
    pub fn follow(&mut self, wall: WallMs, dialled: &Number, from: SocketAddr, to: SocketAddr) -> bool {
        let Some(route) = self.cache.get(dialled).filter(|route| route.contact == from && from != to) else { return false };
        let route = LearnedRoute { contact: to, learned_at: wall, ..route.clone() };
        // It is known already, so nothing is pushed out.
        let _nothing = self.cache.learn(dialled.clone(), route.clone());
        self.actions.push(Action::Store(dialled.clone(), route));
        true
    }

    /// Adds a route by hand (`tipring routes add`), until it is taken away.
    pub fn learn(&mut self, wall: WallMs, number: Number, contact: SocketAddr, fingerprint: Option<String>) {
        self.learn_for(wall, number, contact, fingerprint, None);
    }

    /// The same, for so many days without use.
    pub fn learn_for(&mut self, wall: WallMs, number: Number, contact: SocketAddr, fingerprint: Option<String>, days: Option<u32>) {
        let target = Target { number: number.clone(), contact, fingerprint, signed: false, learned: false };
        let life_ms = days.map(|days| i64::from(days) * DAY_MS);
        let mut route = target.as_learned(wall, false, life_ms.unwrap_or_default());
        route.expires_at = route.expires_at.filter(|_| life_ms.is_some());
        self.store(number, route);
    }

    /// All learned routes, by number.
    pub fn learned(&self) -> impl Iterator<Item = (&Number, &LearnedRoute)> {
        self.cache.iter()
    }

    /// Queries whose time is up, each with what is known without the directory.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(QueryId, Result<Route, NoRoute>)> {
        let due: Vec<QueryId> = self.waiting.iter().filter(|(_, w)| w.until <= now).map(|(q, _)| *q).collect();
        let mut over = Vec::with_capacity(due.len());
        for query in due {
            match self.waiting.remove(&query) {
                Some(Waiting { number, asked: Asked::Identifier, .. }) => self.identifier_is_lost(query, number, now),
                Some(Waiting { number, asked: Asked::Number, .. }) => over.push((query, self.without_directory(&number))),
                None => {}
            }
        }
        over
    }

    /// The earliest look-up deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|w| w.until).min()
    }

    /// What the shell must do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() { None } else { Some(self.actions.remove(0)) }
    }
}

#[cfg(test)]
mod tests;
