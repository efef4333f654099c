//! Certificates made for one server and the time it lives.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::StartError;

/// The name the server's certificate is for.
pub(crate) const HOST: &str = "localhost";

/// The name in [`ENV_ALL`](crate::ENV_ALL) of the server that is built with TLS.
pub(crate) const SERVER: &str = "redis-7.0";

/// What a client needs to speak TLS with a server, and what it must not be satisfied with.
///
/// All certificates are made anew for each server. Those in PEM are texts a client can be given as
/// they are.
#[derive(Debug)]
pub struct Tls {
    port: u16,
    url: String,
    authority: Authority,
    wrong_authority: Authority,
    client: Identity,
    wrong_client: Identity,
}

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate_pem", &self.certificate_pem)
            .field("key_pem", &"[redacted]")
            .finish()
    }
}

impl Tls {
    /// The port that speaks TLS. The same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `rediss://localhost:PORT`, with the password as it was given when there is one.
    ///
    /// The certificate is for `localhost` alone: by its address the server has a wrong name.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that signed the server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// An authority of the same name that did not: a client that trusts it alone must refuse.
    pub fn wrong_ca_pem(&self) -> &str {
        &self.wrong_authority.pem
    }

    /// A client's certificate that the server accepts.
    pub fn client(&self) -> &Identity {
        &self.client
    }

    /// A client's certificate by the wrong authority: a server that asks for one must refuse.
    pub fn wrong_client(&self) -> &Identity {
        &self.wrong_client
    }

    /// Makes all of it and writes what the server needs into `dir`.
    pub(crate) fn make(dir: &Path, port: u16, password: Option<&str>) -> Result<Self, StartError> {
        let failed = |error: rcgen::Error| StartError::Dir {
            path: dir.to_owned(),
            source: std::io::Error::other(error),
        };
        let authority = Authority::make().map_err(failed)?;
        let wrong_authority = Authority::make().map_err(failed)?;
        let server = authority.sign(HOST, true).map_err(failed)?;
        let files = [
            (CA_FILE, &authority.pem),
            (CERTIFICATE_FILE, &server.certificate_pem),
            (KEY_FILE, &server.key_pem),
        ];
        for (name, text) in files {
            fs::write(dir.join(name), text).map_err(|source| StartError::Dir {
                path: dir.join(name),
                source,
            })?;
        }
        let login = password.map_or_else(String::new, |password| format!(":{password}@"));
        Ok(Self {
            port,
            url: format!("rediss://{login}{HOST}:{port}"),
            client: authority.sign("client", false).map_err(failed)?,
            wrong_client: wrong_authority.sign("client", false).map_err(failed)?,
            authority,
            wrong_authority,
        })
    }
}

const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "server.pem";
const KEY_FILE: &str = "server.key";

/// The server's arguments for a TLS port; the files are those of [`Tls::make`].
pub(crate) fn arguments(dir: &Path, port: u16, client_certificate: bool) -> Vec<String> {
    let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let pairs = [
        ("--tls-port", port.to_string()),
        ("--tls-ca-cert-file", file(CA_FILE)),
        ("--tls-cert-file", file(CERTIFICATE_FILE)),
        ("--tls-key-file", file(KEY_FILE)),
        (
            "--tls-auth-clients",
            if client_certificate { "yes" } else { "no" }.to_owned(),
        ),
    ];
    let words = pairs.into_iter();
    words
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// One that signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("pem", &self.pem).finish()
    }
}

impl Authority {
    fn make() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "fusebox test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            pem,
            issuer: Issuer::new(params, key),
        })
    }

    fn sign(&self, name: &str, server: bool) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match server {
            true => ExtendedKeyUsagePurpose::ServerAuth,
            false => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        Ok(Identity {
            certificate_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}
