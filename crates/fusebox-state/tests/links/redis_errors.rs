//! Each class of error on a real server: what the store does, and what it says.

use std::time::{Duration, Instant};

use fusebox_state::{StateStore, StoreErrorKind};
use fusebox_test_server::{Connection, Proxy, TestServer};

use crate::support::*;

/// Loading what it has takes about this long, and it answers meanwhile.
fn slow_to_load(load: Duration) -> TestServer {
    const KEYS: u32 = 3000;
    let server = TestServer::builder()
        .arg("--enable-debug-command")
        .arg("yes");
    let server = start(server);
    // It looks up from loading after each kibibyte.
    ask(
        &server,
        "CONFIG SET loading-process-events-interval-bytes 1024",
    );
    ask(&server, "CONFIG SET rdbcompression no");
    ask(&server, &format!("DEBUG POPULATE {KEYS} other 2000"));
    let per_key = (load / KEYS).as_micros();
    ask(&server, &format!("CONFIG SET key-load-delay {per_key}"));
    server
}

/// Loads again what it has, and returns when it is at it.
fn reload(server: &TestServer) -> Connection {
    let mut connection = server.connect().unwrap();
    connection.send(&["DEBUG", "RELOAD"]).unwrap();
    let until = Instant::now() + LONG;
    loop {
        let said = server.ask(&["GET", "x"]);
        if said
            .as_ref()
            .is_err_and(|error| error.to_string().contains("LOADING"))
        {
            return connection;
        }
        assert!(Instant::now() < until, "it does not load: {said:?}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let server = slow_to_load(Duration::from_millis(500));
    let store = patient(server.url()).await;
    let p = partition("run");
    let _loading = reload(&server);
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
}

#[tokio::test]
async fn a_server_that_loads_for_too_long_wrote_nothing_and_is_named() {
    let server = slow_to_load(LONG / 2);
    let store = connected(config(server.url()).with_deadline(SHORT)).await;
    let p = partition("run");
    let _loading = reload(&server);
    loop {
        let error = store.commit(&p, put("a", b"")).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(cause(&error).contains("LOADING"), "{error:?}");
        // Unless the deadline met the moment between a question and its answer.
        if !error.may_have_applied() {
            return;
        }
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_waited_for_and_not_one_that_stays_away() {
    let server = start(TestServer::builder().append_only(true));
    let store = patient(server.url()).await;
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    server.kill();
    let write = put("a", b"");
    let (outcome, ()) = tokio::join!(store.commit(&p, write), async {
        // The commit meets nobody first.
        tokio::task::yield_now().await;
        server.restart().unwrap();
    });
    assert!(outcome.unwrap().is_applied());
    assert_eq!(version(&store, &p, "a").await, 2);

    let store = connected(config(server.url()).with_deadline(SHORT)).await;
    server.kill();
    let error = store.commit(&p, put("a", b"")).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let error = store.commit(&p, put("a", b"")).await.unwrap_err();
    assert!(
        error.is_transient() && !error.may_have_applied(),
        "{error:?}"
    );
    assert!(cause(&error).contains("refused"), "{error:?}");
}

#[tokio::test]
async fn too_few_replicas_refuse_a_write_whole() {
    let server = start(TestServer::builder());
    let store = patient(server.url()).await;
    let p = partition("run");
    ask(&server, "CONFIG SET min-replicas-to-write 1");
    let write = put("a", b"");
    let error = store.commit(&p, write.clone()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert!(cause(&error).contains("NOREPLICAS"), "{error:?}");
    assert_eq!(version(&store, &p, "a").await, 0);
    ask(&server, "CONFIG SET min-replicas-to-write 0");
    assert!(store.commit(&p, write).await.unwrap().is_applied());
}

#[tokio::test]
async fn a_disk_that_fails_refuses_writes_whole() {
    // A snapshot cannot replace a directory.
    let server = start(
        TestServer::builder()
            .arg("--dbfilename")
            .arg("in-the-way")
            .arg("--save")
            .arg("3600 1"),
    );
    let obstacle = server.dir().join("in-the-way");
    std::fs::create_dir_all(obstacle.join("full")).unwrap();
    let store = patient(server.url()).await;
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    ask(&server, "BGSAVE");
    let until = Instant::now() + LONG;
    let failed = || {
        ask(&server, "INFO persistence")
            .text()
            .contains("rdb_last_bgsave_status:err")
    };
    while !failed() {
        assert!(Instant::now() < until, "the snapshot does not fail");
        std::thread::yield_now();
    }
    let error = store.commit(&p, put("a", b"")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert!(cause(&error).contains("MISCONF"), "{error:?}");
    assert_eq!(version(&store, &p, "a").await, 1);
    std::fs::remove_dir_all(obstacle).unwrap();
}

#[tokio::test]
async fn an_operation_is_one_command_and_one_more_for_each_wait() {
    let server = start(TestServer::builder().append_only(true));
    let proxy = Proxy::to_port(server.port()).unwrap();
    for (parameters, commands) in [("", 1), ("?fsync=1", 2)] {
        let store = patient(&format!("{}{parameters}", proxy.url())).await;
        let p = partition("run");
        // Makes connections and loads scripts.
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        let before = proxy.requests();
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        assert_eq!(proxy.requests() - before, commands, "{parameters}");
        version(&store, &p, "a").await;
        assert_eq!(proxy.requests() - before, commands + 1, "{parameters}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_applied_once() {
    let server = start(TestServer::builder());
    let proxy = Proxy::to_port(server.port()).unwrap();
    let store = patient(&proxy.url()).await;
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    for n in 2..=4 {
        proxy.drop_next_reply();
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        assert_eq!(version(&store, &p, "a").await, n);
    }
    assert_eq!(proxy.dropped_replies(), 3);
}

#[tokio::test]
async fn answers_that_never_come_leave_doubt_that_a_repeat_settles() {
    let server = start(TestServer::builder());
    let proxy = Proxy::to_port(server.port()).unwrap();
    let store = connected(config(&proxy.url()).with_deadline(SHORT)).await;
    let p = partition("run");
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    proxy.drop_replies();
    let write = put("a", b"");
    let error = store.commit(&p, write.clone()).await.unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
    proxy.pass();
    assert!(until_answered(&store, &p, &write).await.is_applied());
    assert_eq!(version(&store, &p, "a").await, 2);
}

#[tokio::test]
async fn a_network_that_comes_back_is_used_at_once_on_a_new_connection() {
    let server = start(TestServer::builder());
    let proxy = Proxy::to_port(server.port()).unwrap();
    let store = connected(config(&proxy.url()).with_deadline(SHORT)).await;
    let p = partition("run");
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    proxy.cut();
    let write = put("a", b"");
    let error = store.commit(&p, write.clone()).await.unwrap_err();
    assert!(error.may_have_applied(), "it was sent: {error:?}");
    let before = proxy.connections();
    proxy.heal();
    assert!(until_answered(&store, &p, &write).await.is_applied());
    assert!(proxy.connections() > before);
    assert_eq!(version(&store, &p, "a").await, 2);
}

#[tokio::test]
async fn sliced_answers_are_put_together() {
    let server = start(TestServer::builder());
    let proxy = Proxy::to_port(server.port()).unwrap();
    proxy.slice();
    let store = patient(&proxy.url()).await;
    let p = partition("run");
    assert!(
        store
            .commit(&p, put("a", b"some value"))
            .await
            .unwrap()
            .is_applied()
    );
    let entry = store.get(&p, &key("a")).await.unwrap().unwrap();
    assert_eq!(entry.value, b"some value");
    assert!(proxy.slices() > 0);
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_found_out_within_the_connect_timeout() {
    let server = start(TestServer::builder());
    let url = server.url().replace("redis://", "rediss://");
    let error = fusebox_state::RedisStore::connect(config(&url))
        .await
        .unwrap_err();
    assert!(all_of(&error).contains("`redis` for `rediss`"), "{error:?}");
}

#[cfg(not(feature = "redis-tls"))]
#[tokio::test]
async fn a_build_without_tls_says_which_feature_it_takes() {
    let error = fusebox_state::RedisConfig::from_url("rediss://redis.example").unwrap_err();
    assert!(error.to_string().contains("`redis-tls`"), "{error}");
}
