//! A gateway hears that the list of revoked keys is another, asks for it, and goes by it.

use super::{Daemon, FromDirectory};
use crate::audit::Event;
use crate::shell::log::Seldom;
use crate::shell::revoked_file::Revoked;

impl Daemon {
    /// Asks for the list, if the directory said that it is not the one that we have; one question at a time.
    pub(super) fn ask_revoked(&mut self) {
        let Some(directory) = self.directory.clone() else { return };
        if self.asks_revoked || directory.client().revocations_heard() == self.revoked.list.serial {
            return;
        }
        self.asks_revoked = true;
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let list = directory.revoked().await;
            let _nobody_waits = answers.send(FromDirectory::Revoked(list)).await;
        });
    }

    pub(super) fn take_revoked(&mut self, list: Result<Revoked, String>) {
        self.asks_revoked = false;
        let list = match list {
            Ok(list) => list,
            Err(why) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("the list of revoked keys is not known: {why} ({more} more were not logged)");
                }
                // The next answer of the directory makes us ask again.
                return;
            }
        };
        tracing::warn!("{} keys are revoked by the directory (list {})", list.keys.len(), list.serial);
        let before = &self.revoked.list.keys;
        for key in list.keys.iter().filter(|key| !before.contains(key)) {
            self.audit.write(Event::of_key("key-revoked", key, "the directory says so"));
        }
        for key in before.iter().filter(|key| !list.keys.contains(key)) {
            self.audit.write(Event::of_key("key-good-again", key, "the directory says so"));
        }
        self.gateway.set_revoked(&list.keys);
        if let Some(directory) = &self.directory {
            directory.client().hear_serial(list.serial);
        }
        if let Err(words) = self.revoked.replace(list) {
            tracing::error!("the list of revoked keys is not on disk: {words}");
        }
    }
}
