//! TLS, if the build has it.

use std::path::PathBuf;

use crate::StoreError;

/// Files of certificates. They are read for every connection, so that a renewed one is picked up.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    /// Certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

#[cfg(feature = "redis-tls")]
pub(crate) use with_tls::advice;

#[cfg(feature = "redis-tls")]
mod with_tls {
    use std::error::Error;
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use redis::{
        Client, ClientTlsConfig, ConnectionInfo, RedisError, RedisResult, TlsCertificates,
    };
    use rustls::{AlertDescription, CertificateError};

    use super::{StoreError, Tls};

    impl Tls {
        pub(crate) fn try_new() -> Result<Self, StoreError> {
            // The program may have chosen its own; any serves us, and without one connecting panics.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Ok(Self {
                ca: None,
                identity: None,
            })
        }

        /// Files that cannot be used show before the first connection.
        pub(crate) fn check(&self) -> Result<(), StoreError> {
            let unusable = |error: RedisError| StoreError::Misconfigured {
                message: format!("TLS cannot be set up: {error}"),
                cause: None,
            };
            let certificates = self.certificates().map_err(unusable)?;
            let client = Client::build_with_tls("rediss://localhost", certificates);
            client.map(drop).map_err(unusable)
        }

        pub(crate) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
            match (&self.ca, &self.identity) {
                (None, None) => Client::open(info),
                _ => Client::build_with_tls(info, self.certificates()?),
            }
        }

        fn certificates(&self) -> RedisResult<TlsCertificates> {
            let client_tls = match &self.identity {
                None => None,
                Some((cert, key)) => Some(ClientTlsConfig {
                    client_cert: pem(cert)?,
                    client_key: pem(key)?,
                }),
            };
            let root_cert = self.ca.as_deref().map(pem).transpose()?;
            Ok(TlsCertificates {
                client_tls,
                root_cert,
            })
        }
    }

    fn pem(path: &Path) -> RedisResult<Vec<u8>> {
        let named = |reason: &dyn std::fmt::Display| {
            RedisError::from(io::Error::other(format!("`{}`: {reason}", path.display())))
        };
        let text = std::fs::read(path).map_err(|error| named(&error))?;
        // Without this an empty file means to trust nobody, and nobody would know why.
        match text.windows(11).any(|window| window == b"-----BEGIN ") {
            true => Ok(text),
            false => Err(named(&"is no PEM file")),
        }
    }

    /// What to change, if the other side's certificate or its view of ours is what failed.
    pub(crate) fn advice(error: &RedisError) -> Option<&'static str> {
        let inner = error
            .source()?
            .downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
        let cause = inner.downcast_ref::<io::Error>()?.get_ref()?;
        Some(match cause.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(reason) => match reason {
                // The second: one of the same name as the right one.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "the server's certificate is signed by an authority that is not trusted; name \
                     the right one with ?ca=PATH"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server's certificate has expired; renew it"
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "the server's certificate is not valid yet; check the clocks of both machines"
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    "the server's certificate is for another name; connect by a name it holds, or \
                     have it issued for this one"
                }
                _ => "the server's certificate is not acceptable; see the cause and replace it",
            },
            rustls::Error::InvalidMessage(_) => {
                "the server does not speak TLS on this port; write `redis` for `rediss`, or use \
                 its TLS port"
            }
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
            ) => "the server wants a certificate from us; give ?cert=PATH&key=PATH",
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError,
            ) => "the server does not accept our certificate; replace the one of ?cert=PATH",
            _ => return None,
        })
    }
}

#[cfg(not(feature = "redis-tls"))]
impl Tls {
    pub(crate) fn try_new() -> Result<Self, StoreError> {
        Err(StoreError::misconfigured(
            "this build cannot speak TLS to Redis; enable the feature `redis-tls` of \
             fusebox-state, or use `redis://` through a tunnel or a trusted network",
        ))
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    pub(crate) fn client(&self, info: redis::ConnectionInfo) -> redis::RedisResult<redis::Client> {
        redis::Client::open(info)
    }
}

#[cfg(not(feature = "redis-tls"))]
pub(crate) fn advice(_: &redis::RedisError) -> Option<&'static str> {
    None
}

#[cfg(all(test, feature = "redis-tls"))]
mod tests {
    use std::io;

    use redis::RedisError;
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

    fn advice(error: Error) -> Option<&'static str> {
        super::advice(&RedisError::from(io::Error::other(error)))
    }

    #[test]
    fn every_failed_handshake_says_what_to_change() {
        for (error, word) in [
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "?ca=",
            ),
            (
                Error::InvalidCertificate(CertificateError::Expired),
                "renew",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidYet),
                "clocks",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForName),
                "name",
            ),
            (
                Error::InvalidCertificate(CertificateError::Revoked),
                "replace",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "`redis`",
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "?cert=",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "our certificate",
            ),
        ] {
            let said = advice(error.clone()).unwrap_or_default();
            assert!(said.contains(word), "{error}: {said}");
        }
        assert_eq!(advice(Error::DecryptError), None);
    }
}
