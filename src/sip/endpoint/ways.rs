//! What waits at which hop, so that a way that breaks costs what hangs on it, whatever else is alive: anybody may open and close
//! connections as fast as he likes. Requests of ours are found under where they are, their ACKs under where they were sent, and requests of
//! others that came on a connection under that.

use super::*;

impl Endpoint {
    /// A client transaction, or an ACK of it, is under way to there.
    pub(super) fn client_waits_at(&mut self, id: u64, hop: Hop) {
        if let Some(record) = self.clients.get_mut(&id)
            && !record.hops.contains(&hop)
        {
            record.hops.push(hop);
            self.at_hop.insert((hop, Owner::Client(id)));
        }
    }

    /// The client and the server transactions of a hop.
    pub(super) fn waiting_at(&self, hop: Hop) -> (Vec<u64>, Vec<u64>) {
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for (_, owner) in self.at_hop.range((hop, Owner::Client(0))..=(hop, Owner::Server(u64::MAX))) {
            match owner {
                Owner::Client(id) => clients.push(*id),
                Owner::Server(id) => servers.push(*id),
                Owner::Dialog(_) => {}
            }
        }
        (clients, servers)
    }
}
