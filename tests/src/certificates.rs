// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates of an authority that only a test trusts, good ones and bad ones.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

/// An authority, and one below it that signs for it.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: CertifiedIssuer<'static, KeyPair>,
}

/// Certificates, in the order in which they are sent, and the key of the first.
#[derive(Clone)]
pub struct Identity {
    /// In PEM.
    pub chain: Vec<String>,
    /// In PEM.
    pub key: String,
}

impl Identity {
    /// Certificates and key as HAProxy's `crt` takes them.
    pub fn pem(&self) -> String {
        self.chain.concat() + &self.key
    }
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let root = CertifiedIssuer::self_signed(for_authority(name), key()).expect("a certificate");
        let middle = CertifiedIssuer::signed_by(for_authority(&format!("{name} 2")), key(), &root);
        Authority { root, middle: middle.expect("a certificate") }
    }

    /// What those have who trust it.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.root.der())
    }

    /// The authority in between.
    pub fn middle_pem(&self) -> String {
        pem("CERTIFICATE", self.middle.der())
    }

    /// A good identity for a host.
    pub fn identity(&self, host: &str) -> Identity {
        self.sign(for_host(host))
    }

    /// One that has expired.
    pub fn expired(&self, host: &str) -> Identity {
        let mut params = for_host(host);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// One that is not valid yet.
    pub fn early(&self, host: &str) -> Identity {
        let mut params = for_host(host);
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
        self.sign(params)
    }

    /// One for clients.
    pub fn client(&self) -> Identity {
        let mut params = for_host("lb1.example.com");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = key();
        let certificate = params.signed_by(&key, &self.middle).expect("a certificate");
        Identity {
            chain: vec![pem("CERTIFICATE", certificate.der()), self.middle_pem()],
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Encodes as PEM (RFC 7468): base64 in lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let lines = der.chunks(48).map(|bytes| STANDARD.encode(bytes) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}

fn for_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn for_host(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A directory with files that HAProxy reads, which is gone at the end.
pub struct Files(TempDir);

impl Default for Files {
    fn default() -> Self {
        let directory = TempDir::new().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        Files(directory)
    }
}

impl Files {
    /// A file that everybody may read.
    pub fn public(&self, name: &str, content: &str) -> PathBuf {
        self.file(name, content, 0o644)
    }

    /// A file that only its owner, root, may read.
    pub fn secret(&self, name: &str, content: &str) -> PathBuf {
        self.file(name, content, 0o600)
    }

    /// A file that takes the place of the one before it, as programs that refresh tokens do. Only this user may read it.
    pub fn secret_of(&self, user: u32, name: &str, content: &str) -> PathBuf {
        let new = self.file(&format!("{name}.new"), content, 0o600);
        chown(&new, Some(user), Some(user)).expect("another owner");
        let path = self.path().join(name);
        fs::rename(new, &path).expect("the file in its place");
        path
    }

    /// A file with this mode.
    pub fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
