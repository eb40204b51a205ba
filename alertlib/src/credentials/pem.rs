// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates and private keys in PEM files (RFC 7468).

use crate::files;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InvalidMessage, RootCertStore};
use std::path::Path;

/// Reads the certificates of authorities in a PEM file.
///
/// # Errors
///
/// The file is unreadable, is not PEM, or has an unusable certificate: the end of a sentence that begins with its name.
pub fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files::read(path)?)? {
        roots
            .add(certificate)
            .map_err(|error| format!("has a certificate that is none: {}", tls_error_text(&error)))?;
    }
    Ok(roots)
}

/// Reads the certificates of the authorities that this machine trusts.
///
/// # Errors
///
/// The machine has none: a complete sentence.
pub fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Certificates that rustls cannot parse are left out: the relays' certificates do not depend on them.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "this machine has no certificates of authorities; install ca-certificates, or expected 'ca-file <pem>'";
        return Err(why.to_owned());
    }
    Ok(roots)
}

/// Reads the client certificate, the intermediate certificates, and the private key, and checks that the key fits the certificate.
///
/// # Errors
///
/// The file is unreadable, lacks one of them, or its key is encrypted or of another certificate: the end of a sentence that begins
/// with the file's name.
pub fn identity(path: &Path) -> Result<CertifiedKey, String> {
    let pem = files::read(path)?;
    let chain = certificates(&pem)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        match String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
            true => "has an encrypted private key; expected one that is not",
            false => "has no private key; expected one beside the certificate",
        }
    })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            "has a private key that is not that of its first certificate".to_owned()
        }
        _ => format!("has a certificate or key that is of no use: {}", tls_error_text(&error)),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) if String::from_utf8_lossy(pem).contains("-----BEGIN ") => Err("has no certificate".to_owned()),
        _ => Err("is not PEM".to_owned()),
    }
}

/// Describes a TLS error. Equal errors have equal texts, so that a lasting error is logged once: rustls' own text contains the
/// current time.
pub fn tls_error_text(error: &Error) -> String {
    let why = match error {
        Error::InvalidCertificate(why) => why,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return "the relay does not speak TLS here".to_owned();
        }
        Error::AlertReceived(alert) => return format!("the relay ended TLS: {alert:?}"),
        _ => return error.to_string(),
    };
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
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            let other_names = match names.is_empty() {
                true => String::new(),
                false => format!(", but for {}", names.join(", ")),
            };
            format!("the relay's certificate is not valid for name '{}'{other_names}", expected.to_str())
        }
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the relay's certificate is one for authorities, not for servers".to_owned()
        }
        _ => format!("the relay's certificate: {why}"),
    }
}

/// Returns the name in rustls' `DnsName("mx1.example.com")`.
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
    fn equal_errors_have_equal_texts_at_any_time() {
        let expired = |now: u64| {
            let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            tls_error_text(&Error::InvalidCertificate(CertificateError::ExpiredContext {
                time: time(now),
                not_after: time(86_400),
            }))
        };
        assert_eq!(expired(1), "the relay's certificate has expired at 1970-01-02T00:00:00Z");
        assert_eq!(expired(1), expired(2));
    }
}
