// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS with a relay. Certificates and keys are read before the chroot.

use crate::credentials::{about, identity, roots, system_roots, tls_error_text};
use crate::settings::{Tls, Trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{self, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Begins TLS sessions with one relay.
pub struct Client {
    /// TLS begins with the STARTTLS command, not with the first byte.
    pub is_starttls: bool,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// Reads certificates and keys. `host`: the name that the relay's certificate must have, unless `tls` has one.
    ///
    /// # Errors
    ///
    /// A file cannot be used; the text is for the administrator.
    pub fn new(tls: &Tls, host: &str) -> Result<Self, String> {
        let provider = ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match &tls.trust {
            Trust::System => config.with_root_certificates(system_roots()?),
            Trust::File(path) => config.with_root_certificates(roots(path).map_err(about("ca-file", path))?),
            Trust::Unverified => {
                config.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(algorithms)))
            }
        };
        let mut config = match &tls.identity {
            None => config.with_no_client_auth(),
            Some(path) => {
                let key = identity(path).map_err(about("crt", path))?;
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        // In a resumed session the certificate is not verified again, so an expired one would go unnoticed.
        config.resumption = Resumption::disabled();
        let name = server_name(tls.name.as_deref().unwrap_or(host))?;
        Ok(Client { is_starttls: tls.is_starttls, config: Arc::new(config), name })
    }

    /// Creates a TLS session, before its handshake.
    ///
    /// # Errors
    ///
    /// TLS does not accept this configuration.
    pub fn begin(&self) -> Result<ClientConnection, String> {
        ClientConnection::new(self.config.clone(), self.name.clone()).map_err(|error| tls_error_text(&error))
    }
}

/// Returns the name that a certificate must have, without the final dot of an absolute name.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let name = host.strip_suffix('.').unwrap_or(host).to_owned();
    ServerName::try_from(name).map_err(|_| format!("'{host}' cannot be the name in a certificate"))
}

/// Accepts every certificate (`insecure-no-verify`). The peer must still prove that it has the certificate's key.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
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
        crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
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
}
