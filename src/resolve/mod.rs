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

pub mod cache;
pub mod prefix;

use crate::clock::{Instant, WallMs, ms};
use crate::id::PortId;
use crate::limits::{BINDINGS_PER_NUMBER_MAX, LOOKUPS_MAX};
use crate::number::Number;
use cache::{LearnedRoute, RouteCache};
use prefix::{Outside, PrefixRoutes};
use std::collections::BTreeMap;
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

    fn as_learned(&self, wall: WallMs, several: bool) -> LearnedRoute {
        let Target { number, contact, fingerprint, signed, .. } = self.clone();
        LearnedRoute { number, contact, fingerprint, signed, learned_at: wall, several }
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
    waiting: BTreeMap<QueryId, (Number, Instant)>,
    next_query: u64,
    actions: Vec<Action>,
    answer_limit_ms: u64,
}

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
        }
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
        let query = QueryId(self.next_query);
        self.next_query += 1;
        self.waiting.insert(query, (number.clone(), now + ms(self.answer_limit_ms)));
        self.actions.push(Action::Ask(query, number.clone()));
        Step::Asked(query)
    }

    /// The directory's answer. `None` when the query is no longer waited for.
    pub fn handle_answer(&mut self, wall: WallMs, query: QueryId, answer: Answer) -> Option<Result<Route, NoRoute>> {
        let (dialled, _) = self.waiting.remove(&query)?;
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
        self.store(dialled, target.as_learned(wall, false));
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
        self.store(dialled, target.as_learned(wall, true));
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

    /// Adds a route by hand (`tipring routes add`).
    pub fn learn(&mut self, wall: WallMs, number: Number, contact: SocketAddr, fingerprint: Option<String>) {
        let target = Target { number: number.clone(), contact, fingerprint, signed: false, learned: false };
        self.store(number, target.as_learned(wall, false));
    }

    /// All learned routes, by number.
    pub fn learned(&self) -> impl Iterator<Item = (&Number, &LearnedRoute)> {
        self.cache.iter()
    }

    /// Queries whose time is up, each with what is known without the directory.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(QueryId, Result<Route, NoRoute>)> {
        let due: Vec<QueryId> = self.waiting.iter().filter(|(_, (_, at))| *at <= now).map(|(q, _)| *q).collect();
        let mut over = Vec::with_capacity(due.len());
        for query in due {
            if let Some((dialled, _)) = self.waiting.remove(&query) {
                over.push((query, self.without_directory(&dialled)));
            }
        }
        over
    }

    /// The earliest look-up deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|(_, at)| *at).min()
    }

    /// What the shell must do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() { None } else { Some(self.actions.remove(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(s: &str) -> Number {
        Number::parse(s).expect("test numbers are digits")
    }
    fn contact() -> SocketAddr {
        "192.0.2.7:5060".parse().expect("a literal address")
    }
    fn resolver() -> Resolver {
        Resolver::new(BTreeMap::from([(number("2001"), PortId(0))]), Some(number("9000")), RouteCache::new(4), 1500)
    }
    fn found() -> Answer {
        Answer::Found { number: number("3001"), contact: contact(), fingerprint: None, signed: false }
    }

    #[test]
    fn our_own_ports_come_first() {
        let mut r = resolver();
        assert_eq!(r.resolve(Instant::ZERO, &number("2001")), Step::Done(Ok(Route::Port(PortId(0)))));
        assert_eq!(r.resolve(Instant::ZERO, &number("9000")), Step::Done(Ok(Route::Echo)));
        assert_eq!(r.poll_action(), None);
    }

    #[test]
    fn an_answer_is_learned_and_the_next_call_asks_nobody() {
        let mut r = resolver();
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
        assert_eq!(r.poll_action(), Some(Action::Ask(q, number("3001"))));
        assert!(matches!(r.handle_answer(WallMs(5), q, found()), Some(Ok(Route::Peer(Target { learned: false, .. })))));
        assert!(matches!(r.poll_action(), Some(Action::Store(n, _)) if n == number("3001")));
        assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(Target { learned: true, .. })))));
        assert_eq!(r.poll_action(), None);
    }

    #[test]
    fn the_directory_can_take_a_number_back_but_its_silence_cannot() {
        let mut r = resolver();
        r.learn(WallMs(1), number("3001"), contact(), None);
        let Step::Asked(q) = r.ask_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
        assert_eq!(r.handle_timeout(Instant::from_ms(1500)), vec![(q, Err(NoRoute::DirectorySilent))]);
        assert_eq!(r.handle_answer(WallMs(2), q, found()), None, "too late");
        assert_eq!(r.learned().count(), 1);
        let Step::Asked(q) = r.ask_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
        assert_eq!(r.handle_answer(WallMs(2), q, Answer::No(NoRoute::Unknown)), Some(Err(NoRoute::Unknown)));
        assert_eq!(r.learned().count(), 0);
    }

    #[test]
    fn req_a1_a3_of_several_terminals_the_one_that_answered_is_learned_and_called_when_the_directory_is_silent() {
        let mut r = resolver();
        let (one, two): (SocketAddr, SocketAddr) = (contact(), "192.0.2.8:5060".parse().expect("a literal address"));
        let several = |at: &[SocketAddr]| Answer::Terminals {
            number: number("3001"),
            ring: Ring::All,
            at: at.iter().map(|a| (*a, None)).collect(),
            signed: false,
        };
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
        let Some(Ok(Route::Terminals(all))) = r.handle_answer(WallMs(1), q, several(&[one, two, one])) else { panic!("two places") };
        assert_eq!(all.at.iter().map(|t| t.contact).collect::<Vec<_>>(), [one, two]);
        assert_eq!(r.learned().count(), 0, "nobody has answered yet");
        r.learn_of_several(WallMs(2), number("3001"), &all.at[1]);
        // It is asked for each time: a call to the learned one alone would leave the others silent.
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("several are asked for each time") };
        let silent = r.handle_answer(WallMs(3), q, Answer::No(NoRoute::DirectorySilent));
        assert!(matches!(silent, Some(Ok(Route::Peer(Target { contact, learned: true, .. }))) if contact == two));
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
        assert!(matches!(&r.handle_timeout(Instant::from_ms(1500))[..], [(due, Ok(Route::Peer(_)))] if *due == q));
        // Only one is left: learned as ever, and then called directly (A-2).
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
        assert!(matches!(r.handle_answer(WallMs(4), q, several(&[one])), Some(Ok(Route::Peer(_)))));
        assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(Target { learned: true, .. })))));
    }

    #[test]
    fn a_number_has_so_many_terminals_and_no_more() {
        let mut r = resolver();
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
        let at = (1..=200u8).map(|n| (SocketAddr::from(([192, 0, 2, n], 5060)), None)).collect();
        let answer = r.handle_answer(WallMs(1), q, Answer::Terminals { number: number("3001"), ring: Ring::InOrder, at, signed: false });
        assert!(matches!(answer, Some(Ok(Route::Terminals(t))) if t.at.len() == BINDINGS_PER_NUMBER_MAX));
    }

    #[test]
    fn req_a8_a_route_follows_who_moved_and_nobody_else() {
        let mut r = resolver();
        let (old, new): (SocketAddr, SocketAddr) = (contact(), "192.0.2.8:5060".parse().expect("a literal address"));
        assert!(!r.follow(WallMs(2), &number("3001"), old, new), "nothing was learned");
        r.learn(WallMs(1), number("3001"), old, Some("f".into()));
        r.learn(WallMs(1), number("3002"), old, None);
        assert!(!r.follow(WallMs(2), &number("3001"), new, old), "it leads elsewhere already");
        assert!(r.follow(WallMs(2), &number("3001"), old, new));
        let at = |r: &Resolver, n: &str| r.learned().find(|(k, _)| **k == number(n)).map(|(_, r)| (r.contact, r.fingerprint.clone()));
        assert_eq!(at(&r, "3001"), Some((new, Some("f".into()))));
        assert_eq!(at(&r, "3002"), Some((old, None)));
    }

    fn with_routes(plan: bool) -> Resolver {
        let mut r = resolver();
        let mut routes = PrefixRoutes::new();
        let row = |prefix: &str, strip: usize| prefix::PrefixRoute {
            prefix: prefix.into(),
            strip,
            add: String::new(),
            way: prefix::Way::Account(crate::id::AccountId(0)),
        };
        routes.add(row("0", 1)).unwrap();
        routes.add(row("3", 0)).unwrap();
        if plan {
            routes.set_plan(crate::digit_map::DigitMap::parse("[2-8]xxx", &[]).unwrap());
        }
        r.set_prefix_routes(routes);
        r
    }
    fn is_outside(step: &Step, called: &str) -> bool {
        matches!(step, Step::Done(Ok(Route::Outside(o))) if o.number == called)
    }

    #[test]
    fn a_prefix_route_goes_before_the_directory_but_for_numbers_of_the_plan() {
        let mut r = with_routes(false);
        assert!(is_outside(&r.resolve(Instant::ZERO, &number("0301234")), "301234"));
        assert!(is_outside(&r.resolve(Instant::ZERO, &number("3001")), "3001"));
        assert_eq!(r.poll_action(), None, "the directory does not hear of it");
        // What is nearer comes first: our port, the echo service, a learned route.
        r.learn(WallMs(1), number("3001"), contact(), None);
        assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(_)))));
        let mut r = with_routes(true);
        assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Asked(_)));
        assert!(is_outside(&r.resolve(Instant::ZERO, &number("30012")), "30012"));
    }

    #[test]
    fn a_number_of_the_plan_goes_outside_only_when_the_directory_does_not_know_it() {
        for why in [NoRoute::Unknown, NoRoute::Away, NoRoute::Refused, NoRoute::DirectorySilent] {
            let mut r = with_routes(true);
            let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
            let answer = r.handle_answer(WallMs(2), q, Answer::No(why));
            assert_eq!(matches!(answer, Some(Ok(Route::Outside(_)))), why == NoRoute::Unknown, "{why:?}");
        }
    }

    #[test]
    fn a_number_that_no_route_names_never_goes_outside() {
        for plan in [false, true] {
            let mut r = with_routes(plan);
            // 4001 and 911 are named by no row; the empty table is the control that rows are what lets numbers out.
            for n in ["4001", "911", "1", "20011"] {
                let Step::Asked(q) = r.resolve(Instant::ZERO, &number(n)) else { panic!("{n}: only the directory may be asked") };
                assert_eq!(r.handle_answer(WallMs(2), q, Answer::No(NoRoute::Unknown)), Some(Err(NoRoute::Unknown)), "{n}");
            }
            r.set_prefix_routes(PrefixRoutes::new());
            assert!(matches!(r.resolve(Instant::ZERO, &number("0301234")), Step::Asked(_)));
        }
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_says_so() {
        let mut r = resolver();
        for (i, n) in ["3001", "3002", "3003", "3004", "3005"].iter().enumerate() {
            r.learn(WallMs(i as i64), number(n), contact(), None);
        }
        assert_eq!(r.learned().count(), 4);
        let actions: Vec<Action> = core::iter::from_fn(|| r.poll_action()).collect();
        assert!(actions.contains(&Action::Forget(number("3001"))));
    }
}
