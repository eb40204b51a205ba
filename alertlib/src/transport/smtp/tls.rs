// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS with a relay: what it needs is read before the chroot, where the files are.

use crate::files;
use crate::settings::{Tls, Trust};
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{self, CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, InvalidMessage, RootCertStore, SignatureScheme,
};
use std::path::Path;
use std::sync::Arc;

/// Begins TLS sessions with one relay.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// Reads the files. `host`: whose name the relay's certificate must have, unless `tls` has another.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for the administrator.
    pub fn new(tls: &Tls, host: &str) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match &tls.trust {
            Trust::System => config.with_root_certificates(system_roots()?),
            Trust::File(path) => config.with_root_certificates(roots(path).map_err(about("ca-file", path))?),
            Trust::Anybody => {
                config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            }
        };
        let mut config = match &tls.identity {
            None => config.with_no_client_auth(),
            Some(path) => {
                let (chain, key) = identity(path).map_err(about("crt", path))?;
                config.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
            }
        };
        // A resumed session would not show a certificate: one that has expired would go unnoticed.
        config.resumption = Resumption::disabled();
        Ok(Client { config: Arc::new(config), name: server_name(tls.name.as_deref().unwrap_or(host))? })
    }

    /// A new session, before its handshake.
    ///
    /// # Errors
    ///
    /// What TLS cannot do with this configuration.
    pub fn begin(&self) -> Result<ClientConnection, String> {
        ClientConnection::new(self.config.clone(), self.name.clone()).map_err(|error| words_of(&error))
    }
}

/// Names the word and the file in front of what is wrong with it.
pub fn about<'a>(word: &'a str, path: &'a Path) -> impl Fn(String) -> String + 'a {
    move |why| format!("'{word}' file '{}' {why}", path.display())
}

/// The name that a certificate must have; an absolute one has no dot at its end there.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let name = host.strip_suffix('.').unwrap_or(host).to_owned();
    ServerName::try_from(name).map_err(|_| format!("'{host}' cannot be the name in a certificate"))
}

/// The authorities in a PEM file.
///
/// # Errors
///
/// What is wrong with it.
pub fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files::read(path)?)? {
        roots
            .add(certificate)
            .map_err(|error| format!("has a certificate that is none: {}", words_of(&error)))?;
    }
    Ok(roots)
}

/// The authorities that this machine trusts.
fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // What is none of ours to judge is left out: others' certificates do not need it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err("this machine has no certificates of authorities; install ca-certificates, or expected \
                     'ca-file <pem>'"
            .to_owned()),
    }
}

/// Our own certificate, those between it and its authority, and its key.
///
/// # Errors
///
/// What is wrong with the file.
pub fn identity(path: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let pem = files::read(path)?;
    let chain = certificates(&pem)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        match String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
            true => "has an encrypted private key; expected one that is not".to_owned(),
            false => "has no private key; expected one beside the certificate".to_owned(),
        }
    })?;
    match CertifiedKey::from_der(chain.clone(), key.clone_key(), &ring::default_provider()) {
        Ok(_) => Ok((chain, key)),
        Err(Error::InconsistentKeys(_)) => {
            Err("has a private key that is not that of its first certificate".to_owned())
        }
        Err(error) => Err(format!("has a certificate or key that is of no use: {}", words_of(&error))),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) if String::from_utf8_lossy(pem).contains("-----BEGIN ") => Err("has no certificate".to_owned()),
        _ => Err("is not PEM".to_owned()),
    }
}

/// Accepts every certificate: `insecure-no-verify`. That its owner is at the other end is still verified.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer,
        _intermediates: &[CertificateDer],
        _server_name: &ServerName,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong, such that the same trouble has the same words: those of rustls have the time in them.
pub fn words_of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => words_of_certificate(why),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the relay does not speak TLS here".to_owned()
        }
        Error::AlertReceived(alert) => format!("the relay ended TLS: {alert:?}"),
        _ => error.to_string(),
    }
}

fn words_of_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the relay's certificate has expired at {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the relay's certificate is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "the relay's certificate, or one between it and its authority, is of nobody who is trusted"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let others = match presented.is_empty() {
                true => String::new(),
                false => {
                    format!(
                        ", but for {}",
                        presented.iter().map(|name| bare_name(name)).collect::<Vec<_>>().join(", ")
                    )
                }
            };
            format!("the relay's certificate is not valid for name '{}'{others}", expected.to_str())
        }
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the relay's certificate is one for authorities, not for servers".to_owned()
        }
        _ => format!("the relay's certificate: {why}"),
    }
}

/// The name in rustls' `DnsName("mx1.example.com")`.
fn bare_name(presented: &str) -> &str {
    let name = presented.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")"));
    name.unwrap_or(presented)
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| "an impossible time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_certificate_may_be_a_name_or_an_address() {
        for host in ["mx1.example.com", "mx1.example.com.", "mx_1", "localhost", "192.0.2.1", "2001:db8::1"] {
            assert!(server_name(host).is_ok(), "{host}");
        }
        assert!(server_name("mx 1").is_err());
    }

    #[test]
    fn the_same_trouble_has_the_same_words() {
        let expired = |now: u64| {
            let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            words_of(&Error::InvalidCertificate(CertificateError::ExpiredContext {
                time: time(now),
                not_after: time(86_400),
            }))
        };
        assert_eq!(expired(1), "the relay's certificate has expired at 1970-01-02T00:00:00Z");
        assert_eq!(expired(1), expired(2));
    }
}
