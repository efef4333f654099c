//! A server that speaks TLS: to those who trust its authority and know its name, to nobody else.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use fusebox_test_server::{Identity, Proxy, StartError, TestServer, named_servers};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What a client trusts, whom it asks for, and who it says it is.
struct Client<'a> {
    ca_pem: &'a str,
    host: &'static str,
    identity: Option<&'a Identity>,
}

impl Client<'_> {
    /// The reply to a PING, or why there is none.
    fn ping(&self, port: u16) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let certificate = identity.certificate_pem.as_bytes();
                let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                config
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        let host = ServerName::try_from(self.host).unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let session = ClientConnection::new(Arc::new(config), host).unwrap();
        let mut stream = StreamOwned::new(session, tcp);
        let mut reply = [0; 7];
        stream
            .write_all(b"PING\r\n")
            .and_then(|()| stream.read_exact(&mut reply))
            .map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
    }
}

fn server() -> TestServer {
    TestServer::builder().tls().start().unwrap()
}

fn trusting(ca_pem: &str) -> Client<'_> {
    Client {
        ca_pem,
        host: "localhost",
        identity: None,
    }
}

#[test]
fn a_tls_redis_server_answers_who_trusts_its_authority() {
    let server = server();
    let tls = server.tls();
    assert_eq!(tls.url(), format!("rediss://localhost:{}", tls.port()));
    assert_eq!(trusting(tls.ca_pem()).ping(tls.port()).unwrap(), "+PONG");
    server.restart().unwrap();
    assert_eq!(trusting(tls.ca_pem()).ping(tls.port()).unwrap(), "+PONG");
}

#[test]
fn a_tls_redis_server_is_refused_by_who_trusts_another_authority() {
    let server = server();
    let refused = trusting(server.tls().wrong_ca_pem()).ping(server.tls().port());
    let refused = refused.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
}

#[test]
fn a_tls_redis_server_is_refused_under_a_name_it_does_not_have() {
    let server = server();
    let client = Client {
        host: "127.0.0.1",
        ..trusting(server.tls().ca_pem())
    };
    let refused = client.ping(server.tls().port()).unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[test]
fn a_tls_redis_server_that_asks_for_a_certificate_refuses_who_has_none_or_a_wrong_one() {
    let server = TestServer::builder()
        .tls_with_client_certificate()
        .start()
        .unwrap();
    let tls = server.tls();
    let ping = |identity| {
        let client = Client {
            identity,
            ..trusting(tls.ca_pem())
        };
        client.ping(tls.port())
    };
    assert_eq!(ping(Some(tls.client())).unwrap(), "+PONG");
    assert!(ping(None).is_err());
    assert!(ping(Some(tls.wrong_client())).is_err());
}

#[test]
fn a_plain_client_gets_nothing_from_a_tls_redis_port() {
    let server = server();
    let mut plain = TcpStream::connect(("127.0.0.1", server.tls().port())).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    plain.write_all(b"PING\r\n").unwrap();
    let mut reply = Vec::new();
    let end = plain.read_to_end(&mut reply).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)));
    assert!(!reply.starts_with(b"+PONG"), "{reply:?}");
}

#[test]
fn a_proxy_carries_a_tls_redis_connection_and_counts_no_requests() {
    let server = server();
    let proxy = Proxy::to_port(server.tls().port()).unwrap();
    let client = trusting(server.tls().ca_pem());
    assert_eq!(client.ping(proxy.port()).unwrap(), "+PONG");
    assert_eq!((proxy.connections(), proxy.requests()), (1, 0));
}

#[test]
fn a_redis_server_built_without_tls_says_which_one_is_needed() {
    for server in named_servers().unwrap() {
        let started = TestServer::builder().tls().binary(&server.path).start();
        match started {
            // Which servers have it depends on the machine; those that have it do it.
            Ok(with) => {
                let client = trusting(with.tls().ca_pem());
                assert_eq!(client.ping(with.tls().port()).unwrap(), "+PONG");
            }
            Err(error) => {
                assert!(matches!(error, StartError::NoTls { .. }), "{error}");
                assert!(error.to_string().contains("redis-7.0"), "{error}");
            }
        }
    }
}
