//! TLS for everything that speaks it: our certificate (given, or made at the first start), whom we believe, and the names that SIP wants
//! proven (RFC 5922). One library, one crypto provider: rustls with aws-lc-rs.

pub mod https;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// The certificate that we make for ourselves, in the state folder.
const OWN_CERTIFICATE: &str = "tls-certificate.pem";
/// Its key; readable for nobody else.
const OWN_KEY: &str = "tls-key.pem";

/// What the configuration says of TLS.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Our chain and its key (PEM). Without them our own of the state folder.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Who may certify servers; without it whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Who may certify clients, where clients must prove themselves.
    pub client_ca: Option<PathBuf>,
    /// Servers need prove nothing.
    pub trusts_any_server: bool,
    /// Where our own certificate is kept.
    pub state: PathBuf,
    /// The names it is made for: domains and addresses.
    pub names: Vec<String>,
}

impl Settings {
    /// What `[sip]` says; `names` are those of the daemon beside its addresses.
    pub fn of(sip: &crate::config::sip::Sip, state: &Path, names: &[&str]) -> Settings {
        let addresses = sip.addresses().map(|a| a.ip().to_string());
        Settings {
            certificate: sip.tls_cert.clone().zip(sip.tls_key.clone()),
            ca: sip.tls_ca.clone(),
            client_ca: sip.tls_client_ca.clone().filter(|_| sip.verifies_clients()),
            trusts_any_server: !sip.tls_verify_peer,
            state: state.to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).chain(addresses).collect(),
        }
    }

    /// What is wrong with the files that the configuration names, each with its key of `[sip]`.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut note = |key, outcome: Result<(), String>| faults.extend(outcome.err().map(|why| (key, why)));
        if let Some((certificate, key)) = &self.certificate {
            match Identity::read(certificate, key) {
                Ok(identity) => note("tls_cert", identity.fits()),
                Err((key, why)) => note(key, Err(why)),
            }
        }
        for (key, file) in [("tls_ca", &self.ca), ("tls_client_ca", &self.client_ca)] {
            note(key, file.as_deref().map_or(Ok(()), |file| roots_of(file).map(drop)));
        }
        faults
    }

    /// What an operator must be told.
    pub fn warnings(&self) -> Vec<String> {
        let any = self.trusts_any_server.then_some(
            "sip.tls_verify_peer = false: servers need not prove who they are; whoever sits in between can listen and answer in their place",
        );
        any.into_iter().map(str::to_owned).collect()
    }
}

/// A certificate chain with its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The one that is configured, or our own, made now if there is none yet.
    pub fn of(settings: &Settings) -> Result<Identity, String> {
        match &settings.certificate {
            Some((certificate, key)) => Identity::read(certificate, key).map_err(|(_, why)| why),
            None => Identity::own(&settings.state, &settings.names),
        }
    }

    /// The SHA-256 of the certificate, for who pins it.
    pub fn fingerprint(&self) -> Option<crate::key::Fingerprint> {
        self.chain.first().map(|c| https::fingerprint(c))
    }

    fn read(certificate: &Path, key: &Path) -> Result<Identity, (&'static str, String)> {
        let chain = certificates_of(certificate).map_err(|why| ("tls_cert", why))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| ("tls_key", format!("{}: {e}", key.display())))?;
        Ok(Identity { chain, key })
    }

    fn own(state: &Path, names: &[String]) -> Result<Identity, String> {
        let (certificate, key) = (state.join(OWN_CERTIFICATE), state.join(OWN_KEY));
        if !certificate.exists() {
            make(&certificate, &key, names)?;
        }
        Identity::read(&certificate, &key).map_err(|(_, why)| why)
    }

    fn fits(&self) -> Result<(), String> {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| e.to_string())?.with_no_client_auth();
        builder.with_single_cert(self.chain.clone(), self.key.clone_key()).map(drop).map_err(|e| format!("with its key: {e}"))
    }
}

/// Makes a certificate of our own: for peers that are told to trust exactly it (their `tls_ca`), or that verify nobody. The certificate is
/// put in place last, so that a start that was cut off is made good by the next.
fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), String> {
    let unmade = |e: &dyn std::fmt::Display| format!("{}: {e}", certificate.display());
    let pair = KeyPair::generate().map_err(|e| unmade(&e))?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(|e| unmade(&e))?;
    for domain in names.iter().filter(|n| n.parse::<IpAddr>().is_err()) {
        // RFC 5922 s.7.1: the SIP domain that it stands for.
        let uri = format!("sip:{domain}").try_into().map_err(|e| unmade(&e))?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("tipring", String::as_str));
    let made = params.self_signed(&pair).map_err(|e| unmade(&e))?;
    let put = |path: &Path, text: &str, mode: u32| {
        let fresh = path.with_extension("new");
        let _none_left_over = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        std::fs::rename(&fresh, path)
    };
    put(key, &pair.serialize_pem(), 0o600).map_err(|e| format!("{}: {e}", key.display()))?;
    put(certificate, &made.pem(), 0o644).map_err(|e| unmade(&e))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    };
    PROVIDER.get_or_init(make).clone()
}

fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|e| named(&e))?.collect();
    match all {
        Ok(all) if all.is_empty() => Err(named(&"no certificate in it")),
        other => other.map_err(|e| named(&e)),
    }
}

fn roots_of(file: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
    let certificates = certificates_of(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok((roots, certificates))
}

/// The server's side: our certificate, and whether clients must have one. For SIP and for HTTPS.
pub fn server_config(settings: &Settings) -> Result<Arc<ServerConfig>, String> {
    let identity = Identity::of(settings)?;
    let words = |e: rustls::Error| e.to_string();
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(words)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let (roots, _) = roots_of(file)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("{}: {e}", file.display()))?)
        }
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key).map_err(|e| format!("our certificate: {e}"))?;
    // Sessions are resumed from what the client keeps (RFC 8446 s.4.6.1, RFC 5077): a phone that lost its connection costs a third.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| format!("keys of session tickets: {e}"))?;
    // One is what a phone uses; the usual two cost as much again.
    config.send_tls13_tickets = 1;
    // AES-128 with SHA-256 first: processors hash that by themselves, and SHA-384 they do not, which a handshake feels; no attack tells the two apart.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// The client's side: whom we believe, and our certificate for servers that ask for one.
pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, String> {
    let (roots, pinned) = match &settings.ca {
        Some(file) => roots_of(file)?,
        None => (system_roots(), Vec::new()),
    };
    let algorithms = provider().signature_verification_algorithms;
    let verifier = SipServerVerifier { roots, pinned, algorithms, trusts_any: settings.trusts_any_server };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let has_own = settings.certificate.is_some() || settings.state.join(OWN_CERTIFICATE).exists();
    if !has_own {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let identity = Identity::of(settings)?;
    builder.with_client_auth_cert(identity.chain, identity.key).map(Arc::new).map_err(|e| format!("our certificate: {e}"))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for problem in &found.errors {
        tracing::warn!("certificates of the system: {problem}");
    }
    let (_taken, _unreadable) = roots.add_parsable_certificates(found.certs);
    roots
}

/// Checks a server as RFC 5922 s.7 wants it: a chain to somebody we believe, and the SIP domain among its names. A certificate that stands
/// itself in `tls_ca` is believed as it is, which is how self-made ones are used.
#[derive(Debug)]
struct SipServerVerifier {
    roots: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    trusts_any: bool,
}

impl ServerCertVerifier for SipServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trusts_any {
            return Ok(ServerCertVerified::assertion());
        }
        if !self.pinned.iter().any(|p| p.as_ref() == end_entity.as_ref()) {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        }
        if certifies(end_entity, &server_name.to_str()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate (DER) names this domain or address (RFC 5922 s.7.1, 7.2): a `sip:` URI without a user, a DNS name, or an address
/// among its alternative names. Wildcards are not for SIP domains, and the common name has not been a host's place for long.
pub fn certifies(certificate: &[u8], name: &str) -> bool {
    let certificate = CertificateDer::from(certificate);
    if name.parse::<IpAddr>().is_ok() {
        let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(&certificate), ServerName::try_from(name)) else { return false };
        return verify_server_name(&parsed, &name).is_ok();
    }
    let Ok(parsed) = webpki::EndEntityCert::try_from(&certificate) else { return false };
    let name = name.trim_end_matches('.');
    parsed.valid_dns_names().any(|dns| dns.trim_end_matches('.').eq_ignore_ascii_case(name))
        || parsed.valid_uri_names().filter_map(sip_domain).any(|domain| domain.eq_ignore_ascii_case(name))
}

/// The domain of a `sip:` URI that stands for a whole domain.
fn sip_domain(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let host = rest.split([';', '?', ':']).next()?;
    (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@')).then(|| host.trim_end_matches('.'))
}

/// The certificate that the other end showed.
pub fn peer_certificate(shown: Option<&[CertificateDer<'_>]>) -> Option<Arc<[u8]>> {
    shown?.first().map(|c| Arc::from(c.as_ref()))
}

/// Draws the first random bytes. The library gathers its entropy then, which takes a good part of a second: better at the start, beside
/// everything else, than while the first caller waits and the daemon with it.
pub fn warm_up() {
    let mut bytes = [0u8; 32];
    if provider().secure_random.fill(&mut bytes).is_err() {
        tracing::warn!("TLS: the cryptographic library has no random bytes yet");
    }
}

/// Both sides of TLS of one daemon. The client's is made when it is first needed: many daemons never call by TLS, and whom the system
/// trusts is a long list.
pub struct Sides {
    server: Option<TlsAcceptor>,
    client: OnceLock<Result<TlsConnector, String>>,
    settings: Settings,
}

impl Sides {
    /// The sides for these settings; the server's only where something `listens`.
    pub fn of(settings: &Settings, listens: bool) -> Result<Sides, String> {
        let server = if listens { Some(TlsAcceptor::from(server_config(settings)?)) } else { None };
        Ok(Sides { server, client: OnceLock::new(), settings: settings.clone() })
    }

    /// Whether servers must prove their name.
    pub fn verifies_servers(&self) -> bool {
        !self.settings.trusts_any_server
    }

    /// The server's handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let acceptor = self.server.as_ref().ok_or_else(|| io::Error::other("nothing here listens for TLS"))?;
        acceptor.accept(stream).await
    }

    /// The client's handshake with a server that must prove `name`, or where there is none the address that was called.
    pub async fn connect(&self, stream: TcpStream, ip: IpAddr, name: Option<&str>) -> io::Result<client::TlsStream<TcpStream>> {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| io::Error::other(format!("{name:?} is no name to prove")))?,
            None => ServerName::from(ip),
        };
        let made = self.client.get_or_init(|| client_config(&self.settings).map(TlsConnector::from));
        let connector = made.as_ref().map_err(|why| io::Error::other(why.clone()))?;
        connector.connect(name, stream).await
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
