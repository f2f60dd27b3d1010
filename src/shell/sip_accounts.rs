//! The gateway's accounts at outside SIP servers: from the configuration to the calls, from names to addresses, and to `status`.

use super::clock;
use super::dns::Dns;
use crate::api::gateway::Account;
use crate::call::{AccountConfig, AccountView, CallerId, OutsideCaps, PortConfig};
use crate::config::accounts::{self as typed, Outside};
use crate::config::gateway::GatewayConfig;
use crate::number::Number;
use crate::resolve::{self, prefix::Way};
use crate::sip::Target;
use crate::sip::auth::Login;
use serde_json::{Value, json};

/// What runs: the accounts of the file, then the servers that routes name without one.
pub fn configs(config: &GatewayConfig) -> Vec<AccountConfig> {
    let accounts = config.accounts.iter().map(|a| account(config, a));
    let peer = |uri: String| {
        let domain = uri.split_once(':').and_then(|(_, rest)| rest.split(';').next()).unwrap_or_default().to_owned();
        AccountConfig {
            name: uri.clone(),
            servers: vec![uri],
            proxy: None,
            domain,
            user: None,
            login: None,
            register_s: None,
            caller_id: CallerId::Port,
            calls_max: None,
            calls_per_hour: None,
            fax: None,
            media: None,
            dtls: false,
        }
    };
    accounts.chain(Outside::of(config).peers().map(peer)).collect()
}

fn account(config: &GatewayConfig, a: &typed::Account) -> AccountConfig {
    let fax = config.ports.iter().any(|p| p.account.as_ref() == Some(&a.name) && p.is_fax());
    let login = a.login_user().zip(a.password.as_ref()).map(|(user, password)| {
        let login = Login::with_password(user, &password.0);
        a.realm.as_ref().map_or(login.clone(), |realm| login.only_for(realm))
    });
    AccountConfig {
        name: a.name.clone(),
        servers: a.server_uris(),
        proxy: a.proxy_uri(),
        domain: a.domain(),
        user: a.user.clone(),
        login,
        register_s: a.register.then_some(a.expires_s),
        caller_id: match a.caller_id {
            typed::CallerId::Account => CallerId::Account,
            typed::CallerId::Port => CallerId::Port,
        },
        calls_max: a.calls_max,
        calls_per_hour: a.calls_per_hour,
        fax: fax.then_some(if config.media.t38 { "t38" } else { "passthrough" }),
        media: a.media.map(crate::config::security::Media::policy),
        dtls: a.keys == crate::config::security::Keys::Dtls,
    }
}

/// The ports as the calls know them. Their configured numbers hold from the start, so that peers who have learned the way get through
/// while the directory is down; one that the directory refuses to us is dropped.
pub fn ports(config: &GatewayConfig) -> Vec<PortConfig> {
    let outside = Outside::of(config);
    let port = |p: &crate::config::gateway::Port| PortConfig {
        name: p.name.clone(),
        number: p.number.as_ref().and_then(|n| Number::parse(n).ok()),
        account: p.account.as_ref().and_then(|name| outside.named(name)),
        outside: OutsideCaps { at_once: p.outside_calls_max, per_hour: p.outside_calls_per_hour },
        fax: p.is_fax(),
        anonymous: p.anonymous,
    };
    config.ports.iter().map(port).collect()
}

/// The ways to a server that is named by host (RFC 3263); none where its name leads nowhere now.
pub async fn locate(dns: Dns, server: &str) -> Vec<Target> {
    match dns.locate_text(server).await {
        Ok(found) => found,
        Err(why) => {
            tracing::warn!("{server}: {why}");
            Vec::new()
        }
    }
}

/// A number that goes outside, as JSON.
pub fn lookup_json(accounts: &[String], outside: &resolve::prefix::Outside) -> Value {
    let account = match outside.way {
        Way::Account(id) => accounts.get(usize::from(id.0)).map_or("", String::as_str),
        Way::Own => typed::OWN,
    };
    json!({"found": true, "number": outside.number, "account": account, "by": "a prefix route"})
}

/// A row of `status`.
pub fn row(view: AccountView) -> Account {
    let now = clock::now();
    Account {
        account: view.name,
        address: view.address,
        state: view.state.into(),
        server: view.server,
        expires_in_s: view.expires_at.map(|at| at.ms_since(now) / 1000),
        words: view.words,
        calls: view.calls,
    }
}
