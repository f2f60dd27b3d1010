//! The directory's HTTPS: its socket and its certificate, the same that SIP shows unless `[api]` names another.

use crate::config::directory::Config;
use crate::key::Fingerprint;
use crate::shell::directory::{StartError, listen};
use crate::shell::tls;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where HTTPS is accepted, and with what.
pub(super) struct Secure {
    pub listener: TcpListener,
    pub address: SocketAddr,
    pub acceptor: TlsAcceptor,
    pub fingerprint: Option<Fingerprint>,
}

impl Secure {
    /// Binds what the configuration names; `None` where it names nothing.
    pub async fn open(config: &Config) -> Result<Option<Secure>, StartError> {
        let Some(at) = config.api.tls_listen else { return Ok(None) };
        let settings = settings(config);
        let with_tls = |why: String| StartError::Tls(format!("api.tls_listen: {why}"));
        let fingerprint = tls::Identity::of(&settings).map_err(with_tls)?.fingerprint();
        let acceptor = TlsAcceptor::from(tls::server_config(&settings).map_err(with_tls)?);
        tokio::task::spawn_blocking(tls::warm_up);
        let (listener, address) = listen(at).await?;
        Ok(Some(Secure { listener, address, acceptor, fingerprint }))
    }
}

/// What this directory's certificate is made for beside the addresses of SIP.
pub(super) fn names(config: &Config) -> Vec<String> {
    let address = config.api.tls_listen.map(|a| a.ip().to_string());
    [config.domain.clone()].into_iter().chain(address).collect()
}

/// The certificate of `[api]`; no certificate is asked of clients, who show credentials.
pub(super) fn settings(config: &Config) -> tls::Settings {
    let names = names(config);
    let common = match &config.sip {
        Some(sip) => tls::Settings::of(sip, &config.state_dir, &names.iter().map(String::as_str).collect::<Vec<_>>()),
        None => tls::Settings { state: config.state_dir.clone(), names, ..tls::Settings::default() },
    };
    tls::Settings { certificate: config.api.certificate.clone(), ca: None, client_ca: None, trusts_any_server: false, ..common }
}
