//! Users, their permissions, and passwords that change.

use std::sync::{Arc, Mutex};

use fusebox_state::{Credentials, RedisStore, StateStore, StoreErrorKind};
use fusebox_test_server::TestServer;

use crate::support::*;

fn server_with_worker(password: &str) -> TestServer {
    let server = start(TestServer::builder());
    ask(
        &server,
        &format!("ACL SETUSER worker on >{password} ~fusebox:* &fusebox:* +@all"),
    );
    server
}

/// Ends every connection of the user, as a server does that forgets a user.
fn kill_connections(server: &TestServer) {
    ask(server, "CLIENT KILL USER worker");
}

#[tokio::test]
async fn a_rotated_password_is_used_by_the_next_connection() {
    let server = server_with_worker("firstword");
    let password = Arc::new(Mutex::new("firstword"));
    let provided = Arc::clone(&password);
    let url = format!("redis://127.0.0.1:{}?replicas=0", server.port());
    let config = config(&url).with_deadline(LONG).with_credentials(move || {
        Credentials::new(Some("worker"), Some(*provided.lock().unwrap()))
    });
    let store = connected(config).await;
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());

    ask(&server, "ACL SETUSER worker >secondword <firstword");
    // Connections that are open stay logged in.
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    kill_connections(&server);
    let error = store.get(&p, &key("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("refused the login"), "{error}");
    assert!(!all_of(&error).contains("firstword"), "{error:?}");

    *password.lock().unwrap() = "secondword";
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    assert_eq!(version(&store, &p, "a").await, 3);
    assert_eq!(store.partitions("", None, 10).await.unwrap().items, [p]);
    assert!(!format!("{store:?}").contains("secondword"));
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_command() {
    let server = server_with_worker("password");
    ask(&server, "ACL SETUSER worker -evalsha");
    let url = format!("redis://worker:password@127.0.0.1:{}", server.port());
    let store = patient(&url).await;
    let error = store
        .commit(&partition("run"), put("a", b""))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("+evalsha"), "{error}");

    // One that only a script uses.
    ask(&server, "ACL SETUSER worker +evalsha -hset");
    let error = store
        .commit(&partition("run"), put("a", b""))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("+hset"), "{error}");

    // What is granted counts at once.
    ask(&server, "ACL SETUSER worker +hset");
    let outcome = store
        .commit(&partition("run"), put("a", b""))
        .await
        .unwrap();
    assert!(outcome.is_applied());
}

#[tokio::test]
async fn many_denied_requests_make_no_new_connections() {
    let server = server_with_worker("password");
    ask(&server, "ACL SETUSER worker -hget");
    let url = format!("redis://worker:password@127.0.0.1:{}", server.port());
    let store = patient(&url).await;
    let p = partition("run");
    let received = || {
        let info = ask(&server, "INFO stats").line("total_connections_received");
        info.unwrap().parse::<u64>().unwrap()
    };
    // The question takes a connection too.
    let before = received() + 1;
    for _ in 0..20 {
        assert!(store.get(&p, &key("a")).await.is_err());
    }
    assert_eq!(received(), before);
}

#[tokio::test]
async fn a_password_with_special_characters_is_given_as_it_is_meant() {
    let server = start(TestServer::builder());
    ask(
        &server,
        "ACL SETUSER worker on >p@ss:w/rd? ~fusebox:* &fusebox:* +@all",
    );
    let address = format!("127.0.0.1:{}", server.port());
    let url = format!("redis://worker:p%40ss%3Aw%2Frd%3F@{address}");
    let store = patient(&url).await;
    store.now().await.unwrap();
    let url = format!("redis://worker:p%40ss@{address}");
    let error = RedisStore::connect(config(&url)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(!all_of(&error).contains("p@ss"), "{error:?}");
}
