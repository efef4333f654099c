//! TLS: both sides are who they say they are, or they do not talk.

use std::path::PathBuf;

use fusebox_state::{RedisConfig, RedisStore, StateStore, StoreError, StoreErrorKind};
use fusebox_test_server::{Builder, Identity, TestServer};

use crate::named;
use crate::support::*;

const NAME: &str = "redis-7.0";

fn server(choose: impl FnOnce(Builder) -> Builder) -> Option<TestServer> {
    named(NAME, "TLS")?;
    Some(start(choose(TestServer::builder())))
}

/// A file in the server's directory, which goes with it.
fn file(server: &TestServer, name: &str, content: &str) -> PathBuf {
    let path = server.dir().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn ca(server: &TestServer) -> PathBuf {
    file(server, "our-ca.pem", server.tls().ca_pem())
}

fn identity(server: &TestServer, identity: &Identity) -> String {
    let cert = file(server, "our-cert.pem", &identity.certificate_pem);
    let key = file(server, "our-key.pem", &identity.key_pem);
    format!("&cert={}&key={}", cert.display(), key.display())
}

fn url(server: &TestServer, parameters: &str) -> String {
    let ca = ca(server);
    format!("{}?ca={}{parameters}", server.tls().url(), ca.display())
}

fn patient_config(url: &str) -> RedisConfig {
    config(url)
        .with_deadline(LONG)
        .with_connect_timeout(LONG / 4)
}

async fn refused(url: &str, why: &str) -> StoreError {
    let error = RedisStore::connect(patient_config(url)).await.unwrap_err();
    assert_eq!(
        error.kind(),
        StoreErrorKind::Misconfigured,
        "{url}: {error:?}"
    );
    assert!(error.to_string().contains(why), "{url}: {error} {error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_over_tls() {
    let Some(server) = server(Builder::tls) else {
        return;
    };
    keeps_every_rule(config(&url(&server, ""))).await;
}

#[tokio::test]
async fn writes_that_wait_listings_and_health_are_encrypted_too() {
    let Some(server) = server(|builder| builder.tls().append_only(true).password("correcthorse"))
    else {
        return;
    };
    let url = url(&server, "&replicas=1");
    let store = connected(config(&url).with_deadline(SHORT * 2)).await;
    let p = partition("run");
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    assert_eq!(store.partitions("", None, 10).await.unwrap().items, [p]);
    store.health().await.unwrap();
    assert!(!format!("{store:?} {}", store.describe()).contains("correcthorse"));
    assert!(store.describe().location.starts_with("rediss://localhost"));
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused_and_the_parameter_named() {
    let Some(server) = server(Builder::tls) else {
        return;
    };
    let tls = server.tls();
    refused(tls.url(), "?ca=PATH").await;
    let wrong = file(&server, "wrong-ca.pem", tls.wrong_ca_pem());
    refused(&format!("{}?ca={}", tls.url(), wrong.display()), "?ca=PATH").await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let Some(server) = server(Builder::tls) else {
        return;
    };
    let by_number = url(&server, "").replace("localhost", "127.0.0.1");
    refused(&by_number, "another name").await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_right_one_or_says_so() {
    let Some(server) = server(Builder::tls_with_client_certificate) else {
        return;
    };
    let tls = server.tls();
    refused(&url(&server, ""), "?cert=PATH&key=PATH").await;
    let wrong = identity(&server, tls.wrong_client());
    refused(&url(&server, &wrong), "does not accept our certificate").await;
    let right = identity(&server, tls.client());
    let store = connected(patient_config(&url(&server, &right))).await;
    store.now().await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_read_by_the_next_connection() {
    let Some(server) = server(Builder::tls_with_client_certificate) else {
        return;
    };
    let tls = server.tls();
    let right = identity(&server, tls.client());
    let store = connected(patient_config(&url(&server, &right))).await;
    identity(&server, tls.wrong_client());
    store.now().await.unwrap();
    ask(&server, "CLIENT KILL TYPE normal");
    let error = store.now().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    identity(&server, tls.client());
    store.now().await.unwrap();
}

#[tokio::test]
async fn a_plain_client_is_told_that_the_port_may_want_tls() {
    let Some(server) = server(Builder::tls) else {
        return;
    };
    let port = server.tls().port();
    let plain = config(&format!("redis://localhost:{port}")).with_deadline(SHORT);
    let error = RedisStore::connect(plain).await.unwrap_err();
    assert!(all_of(&error).contains("`rediss` for `redis`"), "{error:?}");
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named_before_anything_is_sent() {
    let Some(server) = server(Builder::tls) else {
        return;
    };
    let empty = file(&server, "empty.pem", "");
    let tls = server.tls().url();
    for path in [empty, PathBuf::from("/nonexistent/ca.pem")] {
        let error = refused(&format!("{tls}?ca={}", path.display()), "TLS").await;
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}
