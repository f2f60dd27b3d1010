//! The tables, their bounds and their deadlines.

use super::*;

impl Endpoint {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
    /// A word that nobody outside can guess from those that it has seen.
    pub(super) fn token(&mut self) -> Vec<u8> {
        format!("{:016x}", self.prints.number()).into_bytes()
    }
    /// A word that is the same for the same parts, and to be made by nobody else (RFC 3261 s.19.3 asks that of tags).
    pub(super) fn print(&self, parts: &[&[u8]]) -> Vec<u8> {
        format!("{:016x}", self.prints.of(parts)).into_bytes()
    }
    /// Transactions that each direction may have: what strangers send never takes the room of what we send.
    pub(super) fn half(&self) -> usize {
        self.config.transactions_max / 2
    }
    /// New requests of ours leave the last quarter of their half to BYE and CANCEL.
    pub(super) fn may_ask(&self) -> bool {
        self.clients.len() < self.half() * 3 / 4
    }
    /// New requests of strangers leave the last quarter of their half to those inside dialogs.
    pub(super) fn may_be_asked(&self) -> bool {
        self.servers.len() < self.half() * 3 / 4
    }
    /// The same for the memory that they hold.
    pub(super) fn may_hold(&self, new: bool) -> bool {
        let all = self.config.kept_bytes_max;
        self.kept < if new { all / 4 * 3 } else { all }
    }
    /// Calls to us leave the last quarter of the dialogs to calls from us.
    pub(super) fn may_be_called(&self) -> bool {
        self.inbound < self.config.dialogs_max * 3 / 4 && self.usages.len() < self.config.dialogs_max
    }

    pub(super) fn add_usage(&mut self, id: DialogId, call_id: Vec<u8>, local_tag: Vec<u8>, owner: bool, state: State) {
        self.usage_index.insert((call_id.clone(), local_tag.clone()), id);
        self.inbound += usize::from(!owner);
        let timers = TimerTable::new([
            Timer::Trying,
            Timer::Ring,
            Timer::Remind,
            Timer::Answer,
            Timer::AckWait,
            Timer::Reliable,
            Timer::PrackWait,
            Timer::UpdateWait,
            Timer::Refresh,
            Timer::Expiry,
        ]);
        let usage = Usage {
            call_id,
            local_tag,
            owner,
            state,
            timers,
            update: None,
            updated: None,
            refreshing: false,
            allows_update: false,
            allows_options: false,
            rseq: (0, 0),
            ack_due: None,
            words: session::Words::default(),
            session: session::Session::default(),
            login: None,
            q850: None,
            giving_up: EndCause::HungUp,
        };
        self.usages.insert(id, usage);
    }

    /// Says a dialog's last word and forgets it.
    pub(super) fn end(&mut self, id: DialogId, event: Event) {
        let Some(usage) = self.usages.remove(&id) else { return };
        self.inbound -= usize::from(!usage.owner);
        if let State::Ringing { progress, .. } = &usage.state {
            self.rings_no_more(progress.source);
        }
        self.usage_index.remove(&(usage.call_id, usage.local_tag));
        self.deadlines.set(Owner::Dialog(id), None);
        self.events.push_back(event);
    }

    pub(super) fn sync_client(&mut self, id: u64) {
        let at = self.clients.get(&id).and_then(ClientRecord::next_timer).map(|t| t.0);
        self.deadlines.set(Owner::Client(id), at);
    }
    pub(super) fn sync_server(&mut self, id: u64) {
        let at = self.servers.get(&id).and_then(ServerRecord::next_timer).map(|t| t.0);
        self.deadlines.set(Owner::Server(id), at);
    }
    pub(super) fn sync_dialog(&mut self, id: DialogId) {
        let at = self.usages.get(&id).and_then(|u| u.timers.next()).map(|t| t.0);
        self.deadlines.set(Owner::Dialog(id), at);
    }

    /// Counts again what a server transaction holds.
    pub(super) fn weigh_server(&mut self, id: u64) {
        let Some(record) = self.servers.get_mut(&id) else { return };
        // The names stand in the record and in the look-up table.
        let names = 2 * (record.key.branch.len() + record.key.sent_by.len() + record.merge.len());
        let kept = record.request_bytes + record.last.as_ref().map_or(0, Vec::len) + names;
        self.kept = self.kept - record.kept + kept;
        record.kept = kept;
    }

    pub(super) fn forget_client(&mut self, id: u64) {
        if let Some(record) = self.clients.remove(&id) {
            let method = record.request.method().expect("a client transaction holds a request").clone();
            self.client_index.remove(&(record.branch, method));
            for hop in record.hops {
                self.at_hop.remove(&(hop, Owner::Client(id)));
            }
        }
        self.deadlines.set(Owner::Client(id), None);
    }
    pub(super) fn forget_server(&mut self, id: u64) {
        if let Some(record) = self.servers.remove(&id) {
            self.server_index.remove(&record.key);
            self.at_hop.remove(&(record.back.to, Owner::Server(id)));
            self.kept -= record.kept;
            if self.merge_index.get(&record.merge) == Some(&id) {
                self.merge_index.remove(&record.merge);
            }
        }
        self.deadlines.set(Owner::Server(id), None);
    }
}
