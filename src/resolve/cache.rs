//! Learned routes: number -> where its gateway was when we last asked. Kept on disk by the shell; bounded here.

use crate::clock::WallMs;
use crate::number::Number;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One learned route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LearnedRoute {
    /// The number in the directory's own form (what the peer is called by).
    pub number: Number,
    /// Where the peer takes SIP.
    pub contact: SocketAddr,
    /// The peer's identifier.
    pub fingerprint: Option<String>,
    /// The directory signed that number and identifier belong together: the pin of this number.
    pub signed: bool,
    /// When it was learned.
    pub learned_at: WallMs,
    /// The number has several terminals, of which this one answered last: the directory is asked before it is called.
    pub several: bool,
    /// Not used after this, by the wall clock; each use moves it. `None`: made by hand, and kept until it is taken away.
    pub expires_at: Option<WallMs>,
}

impl LearnedRoute {
    /// Its time is over.
    pub fn is_over(&self, wall: WallMs) -> bool {
        self.expires_at.is_some_and(|at| at <= wall)
    }
}

/// The table. Full means: the route learned longest ago goes.
#[derive(Clone, Debug)]
pub struct RouteCache {
    routes: BTreeMap<Number, LearnedRoute>,
    max: usize,
}

impl RouteCache {
    /// An empty table of at most `max` routes.
    pub fn new(max: usize) -> Self {
        RouteCache { routes: BTreeMap::new(), max: max.max(1) }
    }
    /// Stores a route; returns the number that had to make room, if any.
    pub fn learn(&mut self, dialled: Number, route: LearnedRoute) -> Option<Number> {
        let full = self.routes.len() >= self.max && !self.routes.contains_key(&dialled);
        let oldest = if full { self.routes.iter().min_by_key(|(_, r)| r.learned_at).map(|(n, _)| n.clone()) } else { None };
        if let Some(n) = &oldest {
            self.routes.remove(n);
        }
        self.routes.insert(dialled, route);
        oldest
    }
    /// The route for a dialled number.
    pub fn get(&self, dialled: &Number) -> Option<&LearnedRoute> {
        self.routes.get(dialled)
    }
    /// Drops a route; true if there was one.
    pub fn forget(&mut self, dialled: &Number) -> bool {
        self.routes.remove(dialled).is_some()
    }
    /// All routes, by number.
    pub fn iter(&self) -> impl Iterator<Item = (&Number, &LearnedRoute)> {
        self.routes.iter()
    }
}
