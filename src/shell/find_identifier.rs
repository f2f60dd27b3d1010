//! Where the gateway of a known key is now: asked of the second server, which may be the directory itself. Addresses change, identities do not.

use super::directory_client::ClientError;
use super::directory_pin::{Pins, Word};
use super::log::Seldom;
use super::registrations::Directory;
use crate::api::keys::successions;
use crate::key::Fingerprint;
use crate::number::Number;
use crate::proof::leads;
use crate::resolve::{Answer, NoRoute};
use std::net::IpAddr;

impl Directory {
    /// Where the gateway of this key is, that `number` was learned with. `near` as for [`Directory::look_up`].
    pub async fn find_identifier(&self, number: &Number, key: &str, near: Option<IpAddr>) -> Answer {
        match self.identified(number, key, near).await {
            Ok(answer) => answer,
            Err(why) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("look-up of {key}, that {number} was known by: {why} ({more} more were not logged)");
                }
                Answer::No(NoRoute::DirectorySilent)
            }
        }
    }

    async fn identified(&self, number: &Number, key: &str, near: Option<IpAddr>) -> Result<Answer, String> {
        let login = self.login.as_ref().ok_or("no account to ask with")?;
        let known = Fingerprint::parse(key).ok_or("this is no identifier")?;
        let own = self.client();
        let second = self.identifiers.as_ref().unwrap_or(&own);
        let nonce = Pins::nonce();
        let (answer, server) = match second.identifier_signed(login, key, Some(&nonce)).await {
            Ok(said) => said,
            Err(ClientError::Refused { code, .. }) if code == "unknown_identifier" => return Ok(Answer::No(NoRoute::Unknown)),
            Err(e) => return Err(e.to_string()),
        };
        let word = self.pins.judge(&server.to_string(), self.identifiers.is_none(), &nonce, &answer)?;
        if Fingerprint::parse(&answer.identifier) != Some(known) && word != Word::Unsigned {
            return Err(format!("{server} answers about another key"));
        }
        // A second server of its own may know gateways by other numbers; our directory knows this one, or it is not there any more.
        let of_number = answer.contacts.iter().find(|c| c.number == number.as_str());
        let found = of_number.or_else(|| answer.contacts.first().filter(|_| self.identifiers.is_some()));
        let Some(found) = found.map(|c| &c.contact) else { return Ok(Answer::No(NoRoute::Away)) };
        // The key that it has now: this one, or one that this one said would follow.
        let now = found.fingerprint.as_deref().and_then(Fingerprint::parse).ok_or("the gateway has no key")?;
        leads(known, now, &successions(&found.previous)).map_err(|_| format!("{now} is said to follow, and {known} did not say so"))?;
        let contact = found.private_address.filter(|_| near == Some(found.address.ip())).unwrap_or(found.address);
        Ok(Answer::Found { number: number.clone(), contact, fingerprint: Some(now.to_string()), signed: word != Word::Unsigned })
    }
}
