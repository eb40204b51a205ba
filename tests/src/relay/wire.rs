// SPDX-License-Identifier: MIT OR Apache-2.0
//! The relay's end of a connection, which may become a TLS one.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::certificates::{Authority, Identity};

/// What a relay needs for TLS.
pub type Tls = Arc<ServerConfig>;

/// TLS with this identity; with an authority, for clients that have a certificate of it.
pub fn tls(identity: &Identity, clients_of: Option<&Authority>) -> Tls {
    let certificate = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let chain = identity.chain.iter().map(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("TLS");
    let config = match clients_of {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&authority.pem())).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            config.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    // Whether they belong together is not looked at: the order may be the wrong one.
    let key = provider.key_provider.load_private_key(key).expect("a key of a known kind");
    let own = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    Arc::new(config.with_cert_resolver(Arc::new(own)))
}

/// One end of a connection.
pub enum Wire {
    /// Nothing hides what is said.
    Plain(TcpStream),
    /// TLS does; its handshake happens when something is read or written.
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// The connection beneath.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// The same connection, where TLS begins now.
    pub fn secured(&self, tls: &Tls) -> Self {
        let socket = self.socket().try_clone().expect("a second handle on the connection");
        let connection = ServerConnection::new(tls.clone()).expect("a TLS server");
        Wire::Tls(Box::new(StreamOwned::new(connection, socket)))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}
