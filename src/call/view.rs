//! What a gateway tells of its calls and ports, for the command line and tests.

use super::session::Flow;
use super::{Call, Direction, Gateway, PeerSays, PortState};
use crate::clock::WallMs;
use crate::id::{CallId, PortId};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::resolve::Resolver;
use crate::sdp::Negotiation;
use crate::sip::Endpoint;
use std::net::SocketAddr;

/// A line for `tipring calls`.
#[derive(Clone, Debug)]
pub struct CallView {
    /// Our id.
    pub call: CallId,
    /// Which way.
    pub direction: Direction,
    /// Calling number.
    pub from: String,
    /// Called number.
    pub to: String,
    /// resolving, inviting, ringing, up, closing.
    pub state: &'static str,
    /// The codec, `t38`, `local` or empty.
    pub media: &'static str,
    /// When it began.
    pub started: WallMs,
    /// The peer gateway.
    pub peer: Option<SocketAddr>,
    /// What it answered when it was asked what it can do.
    pub peer_says: Option<PeerSays>,
    /// How a fax in it goes, and why so.
    pub fax_choice: Option<String>,
}

/// A line for `tipring ports`.
#[derive(Clone, Debug)]
pub struct PortView {
    /// Name in the configuration.
    pub name: String,
    /// Its number now.
    pub number: Option<Number>,
    /// idle, ringing, off hook, in call, gone.
    pub state: &'static str,
    /// The call it is in.
    pub call: Option<CallId>,
}

impl Gateway {
    /// All calls, oldest first.
    pub fn calls(&self) -> Vec<CallView> {
        let view = |(id, c): (&CallId, &Call)| CallView {
            call: *id,
            direction: c.record.direction,
            from: c.caller.clone(),
            to: c.dialled.clone(),
            state: c.state.word(),
            media: match c.talk.flow {
                Flow::None => "",
                Flow::Patch => "local",
                Flow::Audio(codec) | Flow::PassThrough(codec) => codec,
                Flow::T38 => "T.38",
            },
            started: c.record.started,
            peer: c.record.peer,
            peer_says: c.record.peer_says.clone(),
            fax_choice: c.record.fax_choice.clone(),
        };
        self.calls.iter().map(view).collect()
    }

    /// What was said in the dialog of a port's call, for tests.
    pub fn negotiation_of(&self, port: PortId) -> Option<&Negotiation> {
        self.call_of(port).and_then(|id| self.calls.get(&id)).map(|c| &c.talk.negotiation)
    }

    /// The calls there are, oldest first.
    pub fn call_ids(&self) -> impl Iterator<Item = CallId> {
        self.calls.keys().copied()
    }

    /// The call a port is in.
    pub fn call_of_port(&self, port: PortId) -> Option<CallId> {
        self.call_of(port)
    }

    /// Pairs of media sockets that no call has.
    pub fn free_legs(&self) -> usize {
        self.free_legs.len()
    }

    /// All ports, in order.
    pub fn ports(&self) -> Vec<PortView> {
        let view = |p: &PortState| PortView {
            name: p.name.clone(),
            number: p.number.clone(),
            state: match (p.present, p.call, p.off_hook) {
                (false, _, _) => "gone",
                (true, Some(_), true) => "in call",
                (true, Some(_), false) => "ringing",
                (true, None, true) => "off hook",
                (true, None, false) => "idle",
            },
            call: p.call,
        };
        self.ports.iter().map(view).collect()
    }

    /// The resolver chain, for `tipring routes`.
    pub fn resolver(&mut self) -> &mut Resolver {
        &mut self.resolver
    }

    /// These keys are worth nothing any more: what was learned under them is forgotten, and nobody is called by them.
    pub fn set_revoked(&mut self, keys: &[Fingerprint]) {
        self.revoked = keys.to_vec();
        let forgotten = self.resolver.set_revoked(keys.iter().map(ToString::to_string).collect());
        if forgotten > 0 {
            self.log(None, true, format!("{forgotten} learned routes are forgotten: their keys are revoked"));
        }
        self.drain_resolver();
    }

    /// Carries out what the resolver was told by hand.
    pub fn flush_routes(&mut self) {
        self.drain_resolver();
    }

    /// The SIP endpoint, for counters.
    pub fn sip(&self) -> &Endpoint {
        &self.sip
    }
}
