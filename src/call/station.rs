//! The machine behind an outside number: nobody vouches for it, and it says who it is only in T.30's own words (A-4, A-7).
//!
//! ```text
//!   CED ... CSI, DIS ------> the T.38 leg tells (FaxNews::Station) ---> as ever, or as dialled: Command::Clear, DCS and pages go
//!           DCS <-- held by the filter meanwhile                   \--> another: the call ends (a BYE in place of DCN, T.30 s.5.3.6.1.7:
//!                   at most 8 s (FaxNews::PageHeld, Wait::Identity)      that is what DCN leads to), and not a pel has left
//! ```
//! A number whose machine has given a CSI before is held to it; one that has not is sent to and flagged, unless `[identity] foreign` says otherwise.
//! What is learned is learned from a fax that arrived. In a fax that goes as audio nobody here reads the CSI, and the log says so.

use super::session::Flow;
use super::{Action, Gateway};
use crate::clock::Instant;
use crate::fax::t38::relay::FaxNews;
use crate::id::{CallId, PortId};
use crate::identity::Csi;
use crate::limits::CSI_KNOWN_MAX;
use crate::number::Number;

impl Gateway {
    /// What was kept of machines behind outside numbers, at the start. More than [`CSI_KNOWN_MAX`] are not taken.
    pub fn set_known_csi(&mut self, known: impl IntoIterator<Item = (Number, String)>) {
        self.known_csi = known.into_iter().take(CSI_KNOWN_MAX).collect();
    }

    /// The operator knows that another machine is there now: the next one that answers is learned.
    pub fn forget_csi(&mut self, number: &Number) -> bool {
        let known = self.known_csi.remove(number).is_some();
        if known {
            self.actions.push_back(Action::Csi(number.clone(), None));
        }
        known
    }

    /// This call goes to an outside number, which is called so there.
    pub(super) fn expect_station(&mut self, id: CallId, outside: String) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let known = Number::parse(&call.dialled).ok().and_then(|dialled| self.known_csi.get(&dialled).cloned());
        let check = &mut call.talk.secrecy.check;
        *check = check.clone().of_station(outside, known);
    }

    /// The T.38 leg of a port has heard the called machine, or holds a page back.
    pub(super) fn fax_news(&mut self, now: Instant, port: PortId, news: FaxNews) {
        let Some(id) = self.call_of(port) else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.talk.flow == Flow::T38) else { return };
        let check = &mut call.talk.secrecy.check;
        match news {
            FaxNews::Station(csi) => check.csi(csi.map_or(Csi::None, |csi| Csi::Said(csi.as_str().to_owned()))),
            FaxNews::PageHeld => check.page_held(now),
        }
        self.judge(now, id);
        self.drain_sip(now);
    }

    /// A fax of this call goes as audio.
    pub(super) fn csi_is_not_read(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.talk.secrecy.check.waits_for_csi() && call.talk.secrecy.clearance.is_none() && !call.talk.secrecy.unread_told {
            call.talk.secrecy.unread_told = true;
            let words = format!("the fax to {} goes as audio, where the machine's CSI is not read: it is not verified", call.dialled);
            self.log(Some(id), true, words);
        }
    }

    /// A fax arrived at the machine that calls itself so.
    pub(super) fn learn_csi(&mut self, dialled: &str, csi: String) {
        let Ok(number) = Number::parse(dialled) else { return };
        if self.known_csi.len() >= CSI_KNOWN_MAX && !self.known_csi.contains_key(&number) {
            return self.log(None, true, format!("the CSI of {number} is not kept: there is room for {CSI_KNOWN_MAX}"));
        }
        self.known_csi.insert(number.clone(), csi.clone());
        self.actions.push_back(Action::Csi(number, Some(csi)));
    }
}
