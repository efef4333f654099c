//! The Redis store keeps every rule on a real server, and what it does when the server does not.
#![cfg(all(feature = "redis", feature = "conformance"))]

mod redis {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use ::redis::aio::MultiplexedConnection;
    use ::redis::{Cmd, FromRedisValue, cmd};
    use fusebox_state::{
        Commit, CommitOutcome, Durability, Expect, Key, LeaseRequest, Partition, RedisConfig,
        RedisStore, StateStore, StoreError, StoreErrorKind, WriteId, open,
    };
    use fusebox_test_server::{Builder, TestServer};

    /// Long enough for a loaded machine, short enough to run into.
    const DEADLINE: Duration = Duration::from_millis(1500);

    fn server() -> TestServer {
        start(TestServer::builder())
    }

    fn start(builder: Builder) -> TestServer {
        builder.start().unwrap_or_else(|error| panic!("{error}"))
    }

    fn config(server: &TestServer) -> RedisConfig {
        RedisConfig::from_url(server.url()).unwrap()
    }

    /// With time to spare: for tests in which the server answers.
    async fn store(server: &TestServer) -> RedisStore {
        let config = config(server).with_deadline(Duration::from_secs(20));
        RedisStore::connect(config.with_connect_timeout(Duration::from_secs(10)))
            .await
            .unwrap()
    }

    /// For tests in which it does not.
    async fn impatient(server: &TestServer) -> RedisStore {
        RedisStore::connect(config(server).with_deadline(DEADLINE))
            .await
            .unwrap()
    }

    /// A connection past the store.
    async fn client(server: &TestServer) -> MultiplexedConnection {
        let client = ::redis::Client::open(server.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn ask<T: FromRedisValue>(server: &TestServer, command: &Cmd) -> T {
        command
            .query_async(&mut client(server).await)
            .await
            .unwrap()
    }

    fn partition(name: &str) -> Partition {
        Partition::try_new(name).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::try_new(name).unwrap()
    }

    fn put(name: &str, value: &[u8]) -> Commit {
        Commit::new(WriteId::random()).put(key(name), Expect::Any, value.to_vec())
    }

    /// Asks until the store answers. It must not take for an answer what it cannot know.
    async fn until_answered(store: &RedisStore, at: &Partition, commit: &Commit) -> CommitOutcome {
        loop {
            match store.commit(at, commit.clone()).await {
                Ok(outcome) => return outcome,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
    }

    fn cause(error: &StoreError) -> String {
        std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    mod conformance {
        use super::*;

        fusebox_state::conformance_tests!(|| async {
            let server = server();
            let store = store(&server).await;
            (Arc::new(store) as Arc<dyn StateStore>, server)
        });
    }

    #[tokio::test]
    async fn a_server_killed_mid_write_leaves_doubt_that_a_repeat_settles() {
        let server = start(TestServer::builder().append_only(true));
        let store = impatient(&server).await;
        let p = partition("run");
        let write = put("a", b"once");
        server.pause();
        let (outcome, ()) = tokio::join!(store.commit(&p, write.clone()), async { server.kill() });
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.may_have_applied(), "it was sent: {error:?}");
        let error = store.get(&p, &key("a")).await.unwrap_err();
        assert!(
            error.is_transient() && !error.may_have_applied(),
            "a read: {error:?}"
        );
        server.restart().unwrap();
        assert!(until_answered(&store, &p, &write).await.is_applied());
        assert_eq!(store.get(&p, &key("a")).await.unwrap().unwrap().version, 1);
    }

    #[tokio::test]
    async fn a_write_without_answer_is_applied_once_however_often_it_is_sent() {
        let server = server();
        let store = impatient(&server).await;
        let p = partition("run");
        assert!(
            store
                .commit(&p, put("a", b"before"))
                .await
                .unwrap()
                .is_applied()
        );
        let write = put("a", b"after");
        server.pause();
        let error = store.commit(&p, write.clone()).await.unwrap_err();
        assert!(error.may_have_applied(), "{error:?}");
        assert!(error.to_string().contains("same write id"), "{error}");
        assert!(
            cause(&error).contains("no answer from redis://127.0.0.1"),
            "{error:?}"
        );
        // The next one does not get a connection: surely not applied.
        let error = store.commit(&p, put("a", b"never")).await.unwrap_err();
        assert!(
            error.is_transient() && !error.may_have_applied(),
            "{error:?}"
        );
        server.resume();
        for _ in 0..3 {
            assert!(until_answered(&store, &p, &write).await.is_applied());
        }
        let entry = store.get(&p, &key("a")).await.unwrap().unwrap();
        assert_eq!((entry.value.as_slice(), entry.version), (&b"after"[..], 2));
    }

    #[tokio::test]
    async fn acknowledged_writes_survive_a_kill_of_an_append_only_server() {
        let server = start(TestServer::builder().append_only(true));
        let store = store(&server).await;
        let p = partition("run");
        for n in 0..50 {
            assert!(
                store
                    .commit(&p, put(&format!("k{n:02}"), b""))
                    .await
                    .unwrap()
                    .is_applied()
            );
        }
        server.kill();
        server.restart().unwrap();
        assert_eq!(
            store.scan(&p, "k", None, 100).await.unwrap().items.len(),
            50
        );
    }

    #[tokio::test]
    async fn scripts_that_were_flushed_are_loaded_again() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        for n in 1..=3 {
            assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
            let () = ask(&server, cmd("SCRIPT").arg("FLUSH")).await;
            assert_eq!(
                store.scan(&p, "", None, 10).await.unwrap().items[0]
                    .1
                    .version,
                n
            );
            let () = ask(&server, cmd("SCRIPT").arg("FLUSH")).await;
        }
    }

    #[tokio::test]
    async fn a_dropped_connection_is_made_again_without_an_error() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        for n in 1..=3 {
            assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
            let mut kill = cmd("CLIENT");
            let _: u64 = ask(&server, kill.arg("KILL").arg("TYPE").arg("normal")).await;
            assert_eq!(store.get(&p, &key("a")).await.unwrap().unwrap().version, n);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_that_find_the_connection_broken_make_one_new() {
        let server = server();
        let store = Arc::new(store(&server).await);
        server.restart().unwrap();
        let mut watcher = client(&server).await;
        let before = connections(&mut watcher).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let store = store.clone();
            tasks.spawn(async move { store.get(&partition("run"), &key("a")).await.unwrap() });
        }
        assert!(tasks.join_all().await.iter().all(Option::is_none));
        assert_eq!(connections(&mut watcher).await - before, 1);
    }

    async fn connections(watcher: &mut MultiplexedConnection) -> u64 {
        let info: String = cmd("INFO").arg("stats").query_async(watcher).await.unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_refused_login_is_a_configuration_error_and_shows_no_password() {
        let server = start(TestServer::builder().password("correcthorse"));
        let address = format!("127.0.0.1:{}", server.port());
        for url in [
            format!("redis://:battery@{address}"),
            format!("redis://{address}"),
        ] {
            let error = RedisStore::connect(RedisConfig::from_url(&url).unwrap())
                .await
                .unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
            assert!(
                error.to_string().contains("correct user and password"),
                "{error}"
            );
            assert!(
                !format!("{error:?} {error}").contains("battery"),
                "{error:?}"
            );
        }
        let config = config(&server);
        let store = RedisStore::connect(config.clone()).await.unwrap();
        let shown = format!(
            "{store:?} {config:?} {} {:?}",
            store.describe(),
            store.describe()
        );
        assert!(!shown.contains("correcthorse"), "{shown}");
        assert!(
            shown.contains("[redacted]") && shown.contains(&address),
            "{shown}"
        );
        let store = open(server.url()).await.unwrap();
        assert!(
            store
                .commit(&partition("run"), put("a", b""))
                .await
                .unwrap()
                .is_applied()
        );
        assert_eq!(store.describe().kind, "redis");
    }

    #[tokio::test]
    async fn nobody_listening_means_nothing_was_written() {
        let server = server();
        let config = config(&server);
        server.kill();
        let error = RedisStore::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(!error.may_have_applied());
        assert!(error.to_string().contains("nothing was written"), "{error}");
        assert!(cause(&error).contains("127.0.0.1"), "{error:?}");
    }

    #[tokio::test]
    async fn durability_is_what_the_server_is_set_to() {
        let every_second = start(TestServer::builder().append_only(true));
        assert_eq!(
            store(&every_second).await.describe().durability,
            Durability::Primary
        );
        let always = TestServer::builder()
            .append_only(true)
            .arg("--appendfsync")
            .arg("always");
        let always = start(always);
        let store = store(&always).await;
        assert_eq!(store.describe().durability, Durability::PrimaryFsync);
        let outcome = store
            .commit(&partition("run"), put("a", b""))
            .await
            .unwrap();
        assert_eq!(
            outcome,
            CommitOutcome::Applied {
                durability: Durability::PrimaryFsync,
                revision: 1
            }
        );
    }

    #[tokio::test]
    async fn health_names_settings_that_lose_state() {
        let risky = start(
            TestServer::builder()
                .arg("--maxmemory-policy")
                .arg("allkeys-lru"),
        );
        let warnings = store(&risky).await.health().await.unwrap().warnings;
        assert!(
            warnings.iter().any(|w| w.contains("allkeys-lru")),
            "{warnings:?}"
        );
        assert!(
            warnings.iter().any(|w| w.contains("appendonly is no")),
            "{warnings:?}"
        );
        let sound = start(TestServer::builder().append_only(true));
        assert_eq!(
            store(&sound).await.health().await.unwrap().warnings,
            Vec::<String>::new()
        );
    }

    #[tokio::test]
    async fn a_user_without_admin_rights_can_work_and_health_says_unknown() {
        let server = server();
        let mut user = cmd("ACL");
        user.arg("SETUSER")
            .arg("worker")
            .arg("on")
            .arg(">secretword")
            .arg("~fusebox:*");
        user.arg("+@all").arg("-config").arg("-info");
        let () = ask(&server, &user).await;
        let url = format!("redis://worker:secretword@127.0.0.1:{}", server.port());
        let store = open(&url).await.unwrap();
        assert_eq!(
            store.describe().durability,
            Durability::Primary,
            "the least is promised"
        );
        assert!(
            store
                .commit(&partition("run"), put("a", b""))
                .await
                .unwrap()
                .is_applied()
        );
        let warnings = store.health().await.unwrap().warnings;
        assert!(warnings.len() == 2 && warnings.iter().all(|w| w.contains("unknown")));
        let other = RedisConfig::from_url(&url).unwrap().with_prefix("other");
        let other = RedisStore::connect(other).await.unwrap();
        let error = other
            .commit(&partition("run"), put("a", b""))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        assert!(error.to_string().contains("~other:*"), "{error}");
    }

    #[tokio::test]
    async fn a_full_server_refuses_writes_whole_and_still_reads() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        assert!(
            store
                .commit(&p, put("a", b"kept"))
                .await
                .unwrap()
                .is_applied()
        );
        let () = ask(&server, cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
        let write = put("a", b"more").put(key("b"), Expect::Any, vec![]);
        let error = store.commit(&p, write.clone()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
        assert!(cause(&error).contains("OOM"), "{error:?}");
        assert_eq!(
            store.get(&p, &key("a")).await.unwrap().unwrap().value,
            b"kept"
        );
        assert_eq!(store.get(&p, &key("b")).await.unwrap(), None);
        let () = ask(&server, cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
        let outcome = store.commit(&p, write).await.unwrap();
        assert!(
            matches!(outcome, CommitOutcome::Applied { .. }),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn a_replica_takes_no_write_and_says_so() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        let write = put("a", b"");
        // Nothing listens on port 1, so the replica waits for its primary.
        let () = ask(&server, cmd("REPLICAOF").arg("127.0.0.1").arg(1)).await;
        let error = store.commit(&p, write.clone()).await.unwrap_err();
        assert!(
            error.is_transient() && !error.may_have_applied(),
            "{error:?}"
        );
        let () = ask(&server, cmd("REPLICAOF").arg("NO").arg("ONE")).await;
        assert!(store.commit(&p, write).await.unwrap().is_applied());
    }

    #[tokio::test]
    async fn data_of_others_under_our_keys_is_reported() {
        let server = server();
        let store = store(&server).await;
        let () = ask(&server, cmd("SET").arg("fusebox:{run}:m").arg("theirs")).await;
        let error = store
            .commit(&partition("run"), put("a", b""))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        assert!(error.to_string().contains("another prefix"), "{error}");
    }

    #[tokio::test]
    async fn damage_and_later_formats_are_told_apart() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        assert!(
            store
                .commit(&p, put("a", b"value"))
                .await
                .unwrap()
                .is_applied()
        );
        let records = "fusebox:{run}:d";
        let whole: Vec<u8> = ask(&server, cmd("HGET").arg(records).arg("a")).await;
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&flipped[..], &whole[..5], b""] {
            let () = ask(&server, cmd("HSET").arg(records).arg("a").arg(damaged)).await;
            let error = store.get(&p, &key("a")).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
            assert!(
                error.to_string().contains("key `a` in partition `run`"),
                "{error}"
            );
            assert!(store.scan(&p, "", None, 10).await.is_err());
        }
        let error = store.commit(&p, put("a", b"over it")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
        let () = ask(&server, cmd("HSET").arg("fusebox:{run}:m").arg("f").arg(3)).await;
        let error = store.commit(&p, put("a", b"")).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Format { found: 3, .. }),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn every_key_of_an_expiring_partition_has_the_same_end() {
        let server = server();
        let store = store(&server).await;
        let p = partition("run");
        let request = LeaseRequest::new("owner", Duration::from_secs(60));
        let held = store.acquire(&p, request).await.unwrap();
        let fusebox_state::AcquireOutcome::Acquired { fence, .. } = held else {
            panic!("{held:?}")
        };
        assert!(
            store
                .expire(&p, Some(Duration::from_secs(600)))
                .await
                .unwrap()
        );
        // The first write makes three keys that were not there when the deadline was set.
        assert!(
            store
                .commit(&p, put("a", b"").fenced(fence))
                .await
                .unwrap()
                .is_applied()
        );
        let mut ends = HashMap::new();
        for name in ask::<Vec<String>>(&server, cmd("KEYS").arg("*")).await {
            let end: i64 = ask(&server, cmd("PEXPIRETIME").arg(&name)).await;
            ends.insert(name, end);
        }
        let week = Duration::from_secs(7 * 24 * 3600).as_millis() as i64;
        let record = ends
            .remove("fusebox:{run}:x")
            .expect("the removal is on record");
        assert_eq!(ends.len(), 4, "{ends:?}");
        let first = *ends.values().next().unwrap();
        assert_eq!(record - first, week, "it outlives the partition");
        assert!(
            first > 0 && ends.values().all(|end| *end == first),
            "{ends:?}"
        );
        assert!(store.expire(&p, None).await.unwrap());
        for name in ends.keys() {
            assert_eq!(
                ask::<i64>(&server, cmd("PTTL").arg(name)).await,
                -1,
                "{name}"
            );
        }
        let record = cmd("EXISTS").arg("fusebox:{run}:x").clone();
        assert_eq!(ask::<i64>(&server, &record).await, 0, "it was called off");
    }

    #[tokio::test]
    async fn prefixes_keep_installations_apart() {
        let server = server();
        let config = config(&server);
        let one = RedisStore::connect(config.clone().with_prefix("one"))
            .await
            .unwrap();
        let two = RedisStore::connect(config.with_prefix("two"))
            .await
            .unwrap();
        let p = partition("run");
        assert!(one.commit(&p, put("a", b"")).await.unwrap().is_applied());
        assert_eq!(two.get(&p, &key("a")).await.unwrap(), None);
        assert!(two.partitions("", None, 10).await.unwrap().items.is_empty());
        assert_eq!(one.partitions("", None, 10).await.unwrap().items, [p]);
    }
}
