//! HTTP/2, with and without TLS.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_agent::{Agent, ErrorKind, Task};
use fusebox_endpoints::{HttpAgent, Phase, Secret};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::{context, logs, patient, told};

/// Answers every request of one connection with its own version and body.
async fn serve(io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let answer = format!(r#"{{"version": "{:?}"}}"#, request.version());
        let response = http::Response::builder().status(200).body(());
        let response = response.expect("a good response");
        let mut body = respond
            .send_response(response, false)
            .expect("headers go out");
        body.send_data(Bytes::from(answer), true)
            .expect("the body goes out");
    }
}

#[tokio::test]
async fn http_2_is_spoken_from_the_first_byte_where_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        serve(listener.accept().await.expect("a connection").0).await;
    });
    let agent = HttpAgent::builder("orders", url)
        .limits(patient())
        .only_http2();
    let agent = agent.build().expect("a good agent");
    let reply = agent
        .call(Task::new(1), &context())
        .await
        .expect("an answer");
    assert_eq!(reply.output, json!({"version": "HTTP/2.0"}));
    server.abort();
}

/// What speaks HTTP/2 logs frames and compressed headers, on both sides of this test.
#[tokio::test]
async fn no_log_of_http_2_names_a_token() {
    const TOKEN: &str = "t-hunter5hunter5";
    logs::listen();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        serve(listener.accept().await.expect("a connection").0).await;
    });
    let agent = HttpAgent::builder("orders", url)
        .bearer(Secret::new(TOKEN))
        .limits(patient())
        .only_http2();
    let agent = agent.build().expect("a good agent");
    agent
        .call(Task::new(1), &context())
        .await
        .expect("an answer");
    server.abort();
    let logs = logs::so_far();
    assert!(logs.contains("h2::codec"), "the control: frames are logged");
    let line = logs.lines().find(|line| line.contains(&TOKEN[..10]));
    assert_eq!(line, None);
}

/// A TLS server whose certificate nobody trusts who is not told to, and that certificate.
async fn tls() -> (String, String, tokio::task::JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("ring has the versions")
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key.into())
    .expect("a good certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    });
    (
        format!("https://localhost:{port}/"),
        made.cert.pem(),
        server,
    )
}

#[tokio::test]
async fn under_tls_http_2_is_agreed_upon_with_a_trusted_certificate() {
    let (url, certificate, server) = tls().await;
    let agent = HttpAgent::builder("orders", &url)
        .limits(patient())
        .certificates(certificate);
    let agent = agent.build().expect("a good agent");
    let reply = agent
        .call(Task::new(1), &context())
        .await
        .expect("an answer");
    assert_eq!(reply.output, json!({"version": "HTTP/2.0"}));
    server.abort();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let (url, _, server) = tls().await;
    let agent = HttpAgent::builder("orders", &url).limits(patient()).build();
    let agent = agent.expect("this machine has certificates to trust");
    let error = agent
        .call(Task::new(1), &context())
        .await
        .expect_err("not trusted");
    let expected = (
        Phase::Connect,
        ErrorKind::DependencyUnavailable,
        false,
        true,
    );
    assert_eq!(told(&error), expected);
    assert!(
        crate::wire(&error).to_string().contains("certificate"),
        "{error:?}"
    );
    server.abort();
}
