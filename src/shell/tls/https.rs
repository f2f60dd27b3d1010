//! The client's side of HTTPS: whom a gateway believes to be its directory. A name proven to somebody it trusts, or one certificate pinned.

use super::{CertificateDer, ClientConfig, ParsedCertificate, RootCertStore, WebPkiSupportedAlgorithms, provider, roots_of, system_roots};
use super::{
    DigitallySignedStruct, HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier, ServerName, SignatureScheme, UnixTime,
};
use super::{verify_server_cert_signed_by_trust_anchor, verify_server_name, verify_tls12_signature, verify_tls13_signature};
use crate::key::Fingerprint;
use rustls::CertificateError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// Whom a client believes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Whom the system trusts.
    System,
    /// Who is certified by a certificate of this file, or is one of them.
    File(PathBuf),
    /// This certificate alone, whatever name it has.
    Pinned(Fingerprint),
}

/// The SHA-256 of a certificate.
pub fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Fingerprint::of(certificate)
}

/// What opens connections under this trust. Sessions are resumed (RFC 8446 s.2.2).
pub fn connector(trust: &Trust) -> Result<TlsConnector, String> {
    let believed = match trust {
        Trust::System => Believed::Certified { roots: system_roots(), themselves: Vec::new() },
        Trust::File(file) => {
            let (roots, themselves) = roots_of(file)?;
            Believed::Certified { roots, themselves }
        }
        Trust::Pinned(pinned) => Believed::Pinned(*pinned),
    };
    let verifier = Verifier { believed, algorithms: provider().signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The handshake with a server that is called by `name` (a domain or an address). The error says in words what is wrong with it.
pub async fn connect(connector: &TlsConnector, stream: TcpStream, name: &str) -> Result<client::TlsStream<TcpStream>, String> {
    let proven = ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name to prove"))?;
    connector.connect(proven, stream).await.map_err(|e| words(&e, name))
}

/// A failed handshake in words that say what to do.
fn words(e: &io::Error, name: &str) -> String {
    match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is by nobody whom [directory] ca, or without it the system, trusts".into()
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
            format!("its certificate is not for the name {name}")
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "its certificate has ended (or our clock is wrong)".into()
        }
        Some(rustls::Error::General(why)) => why.clone(),
        _ => format!("TLS: {e}"),
    }
}

#[derive(Debug)]
enum Believed {
    Certified { roots: RootCertStore, themselves: Vec<CertificateDer<'static>> },
    Pinned(Fingerprint),
}

#[derive(Debug)]
struct Verifier {
    believed: Believed,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (roots, themselves) = match &self.believed {
            Believed::Pinned(pinned) => {
                let shown = fingerprint(end_entity);
                // Public values: comparing them in any time tells nothing.
                if shown == *pinned {
                    return Ok(ServerCertVerified::assertion());
                }
                return Err(rustls::Error::General(format!(
                    "it shows the certificate {shown}, and the fingerprint we were given is {pinned}"
                )));
            }
            Believed::Certified { roots, themselves } => (roots, themselves),
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if !themselves.iter().any(|c| c.as_ref() == end_entity.as_ref()) {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all)?;
        }
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
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
