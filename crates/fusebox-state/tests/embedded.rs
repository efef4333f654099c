//! The embedded store keeps every rule, across stores, processes' worth of them, and reopening.
#![cfg(all(feature = "embedded", feature = "conformance"))]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    AcquireOutcome, Commit, CommitOutcome, EmbeddedStore, Expect, Key, LeaseRequest, Partition,
    StateStore, StoreError, StoreErrorKind, WriteId, open,
};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for temporary files")
}

fn at(path: impl AsRef<Path>) -> EmbeddedStore {
    EmbeddedStore::open(path).expect("the file opens")
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

/// What SQLite itself sees in the file.
fn sql(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

mod conformance {
    use super::*;

    fusebox_state::conformance_tests!(|| async {
        let directory = directory();
        let store = at(directory.path().join("state.db"));
        (Arc::new(store) as Arc<dyn StateStore>, directory)
    });
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let (p, leased) = (partition("run"), partition("leased"));
    let write = put("a", b"kept");
    let fence = {
        let store = at(&path);
        assert!(store.commit(&p, write.clone()).await.unwrap().is_applied());
        let request = LeaseRequest::new("owner", Duration::from_secs(600));
        match store.acquire(&leased, request).await.unwrap() {
            AcquireOutcome::Acquired { fence, .. } => fence,
            AcquireOutcome::Held(lease) => panic!("{lease:?}"),
        }
    };
    let store = at(&path);
    assert_eq!(
        store.get(&p, &key("a")).await.unwrap().unwrap().value,
        b"kept"
    );
    let again = store.commit(&p, write).await.unwrap();
    assert!(
        matches!(again, CommitOutcome::Duplicate { .. }),
        "{again:?}"
    );
    let lease = store.lease(&leased).await.unwrap().unwrap();
    assert_eq!((lease.owner.as_str(), lease.epoch), ("owner", fence.epoch));
    assert!(
        store
            .commit(&leased, put("a", b"").fenced(fence))
            .await
            .unwrap()
            .is_applied()
    );
}

/// The file that the killed process writes to.
const CHILD_FILE: &str = "FUSEBOX_STATE_TEST_FILE";
const ACKNOWLEDGED: &str = "acknowledged ";

#[tokio::test]
async fn acknowledged_writes_survive_the_kill_of_their_process() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_killed", "--nocapture"])
        .env(CHILD_FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = lines
        .map(|line| line.unwrap())
        .filter_map(|line| line.split_once(ACKNOWLEDGED)?.1.parse::<u64>().ok());
    let mut last = acknowledged
        .by_ref()
        .take(100)
        .last()
        .expect("the child writes");
    child.kill().unwrap();
    // What it wrote into the pipe before it died was acknowledged too.
    last = acknowledged.last().unwrap_or(last);
    child.wait().unwrap();
    let entry = at(&path)
        .get(&partition("run"), &key("n"))
        .await
        .unwrap()
        .unwrap();
    assert!(
        entry.version > last,
        "{last} was acknowledged, {} is there",
        entry.version
    );
}

/// The process that `acknowledged_writes_survive_the_kill_of_their_process` kills. Started without
/// its variable, as with all other tests, there is nothing for it to do.
#[tokio::test]
async fn writes_until_killed() {
    let Some(path) = std::env::var_os(CHILD_FILE) else {
        return;
    };
    let store = at(path);
    for n in 0_u64.. {
        assert!(
            store
                .commit(&partition("run"), put("n", b""))
                .await
                .unwrap()
                .is_applied()
        );
        if writeln!(std::io::stdout(), "{ACKNOWLEDGED}{n}").is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_lose_no_increment() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let stores = [Arc::new(at(&path)), Arc::new(at(&path))];
    let p = partition("counter");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (store, p) = (stores[task % 2].clone(), p.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                loop {
                    let entry = store.get(&p, &key("n")).await.unwrap();
                    let (count, expect) = match entry {
                        Some(entry) => (entry.value[0], Expect::Version(entry.version)),
                        None => (0, Expect::Absent),
                    };
                    let next =
                        Commit::new(WriteId::random()).put(key("n"), expect, vec![count + 1]);
                    if store.commit(&p, next).await.unwrap().is_applied() {
                        break;
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    for store in stores {
        let entry = store.get(&p, &key("n")).await.unwrap().unwrap();
        assert_eq!((entry.value[0], entry.version), (200, 200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stores_make_the_same_new_file_at_once() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || at(path))
        })
        .collect();
    let stores: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let p = partition("run");
    assert!(
        stores[0]
            .commit(&p, put("a", b""))
            .await
            .unwrap()
            .is_applied()
    );
    for store in &stores {
        assert_eq!(store.get(&p, &key("a")).await.unwrap().unwrap().version, 1);
    }
}

#[tokio::test]
async fn a_lease_taken_in_one_store_holds_in_the_other() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let (one, other) = (at(&path), at(&path));
    let p = partition("run");
    let request = |owner| LeaseRequest::new(owner, Duration::from_secs(600));
    let first = one.acquire(&p, request("one")).await.unwrap();
    let AcquireOutcome::Acquired { fence, .. } = first else {
        panic!("{first:?}")
    };
    let held = other.acquire(&p, request("other")).await.unwrap();
    assert!(
        matches!(&held, AcquireOutcome::Held(lease) if lease.owner == "one"),
        "{held:?}"
    );
    let taken = other
        .acquire(&p, request("other").with_takeover(fence.token_id()))
        .await
        .unwrap();
    assert!(
        matches!(taken, AcquireOutcome::Acquired { .. }),
        "{taken:?}"
    );
    let late = one.commit(&p, put("a", b"").fenced(fence)).await.unwrap();
    assert!(
        matches!(late, CommitOutcome::StaleEpoch { current: Some(_) }),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_conflict_does_not_touch_writes_that_share_its_transaction() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let store = Arc::new(at(&path));
    // Nothing is committed while another connection holds the write lock, so all of these wait
    // in the queue and share transactions.
    let mut lock = sql(&path);
    let lock = lock
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let store = store.clone();
        tasks.spawn(async move {
            let expect = if n % 2 == 0 {
                Expect::Absent
            } else {
                Expect::Version(9)
            };
            let write = Commit::new(WriteId::random())
                .put(key("first"), Expect::Any, vec![n])
                .put(key("second"), expect, vec![n]);
            let p = partition(&format!("p{n}"));
            (
                n % 2 == 0,
                store.commit(&p, write).await.unwrap().is_applied(),
            )
        });
    }
    tokio::task::yield_now().await;
    drop(lock);
    for (expected, applied) in tasks.join_all().await {
        assert_eq!(expected, applied);
    }
    assert_eq!(
        store.partitions("p", None, 1000).await.unwrap().items.len(),
        50
    );
    let entries: i64 = sql(&path)
        .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
        .unwrap();
    assert_eq!(entries, 100, "nothing of a refused commit is left");
}

#[tokio::test]
async fn dropping_the_store_finishes_what_was_sent() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let store = at(&path);
    let p = partition("run");
    let write = put("a", b"");
    // Polled once: the request is in the queue, and its caller goes away.
    let mut pending = Box::pin(store.commit(&p, write.clone()));
    assert!(
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(pending.as_mut().poll(cx).is_pending())
        })
        .await
    );
    let answer = pending.await.unwrap();
    assert!(answer.is_applied());
    drop(store);
    // The last connection to close folds the log into the file: the threads are gone.
    assert!(!directory.path().join("state.db-wal").exists());
}

#[tokio::test]
async fn an_expired_partition_leaves_no_rows_behind() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let store = at(&path);
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    assert!(
        store
            .expire(&p, Some(Duration::from_millis(1)))
            .await
            .unwrap()
    );
    let rows = |table: &str| -> i64 {
        sql(&path)
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    while rows("partition") > 0 {
        assert!(store.partitions("", None, 10).await.unwrap().items.len() <= 1);
        tokio::task::yield_now().await;
    }
    assert_eq!((rows("entry"), rows("write_id")), (0, 0));
}

#[tokio::test]
async fn a_damaged_value_is_reported_and_its_neighbours_are_read() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let store = at(&path);
    let p = partition("run");
    for name in ["a", "b"] {
        assert!(
            store
                .commit(&p, put(name, b"value"))
                .await
                .unwrap()
                .is_applied()
        );
    }
    sql(&path)
        .execute(
            "UPDATE entry SET value = CAST(substr(value, 1, 9) || x'00' AS BLOB) WHERE key = 'a'",
            [],
        )
        .unwrap();
    let error = store.get(&p, &key("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(
        error.to_string().contains("key `a` in partition `run`"),
        "{error}"
    );
    assert!(store.get(&p, &key("b")).await.unwrap().is_some());
    assert!(store.scan(&p, "", None, 10).await.is_err());
}

#[test]
fn a_file_of_a_later_format_is_not_touched() {
    let directory = directory();
    let path = directory.path().join("state.db");
    drop(at(&path));
    sql(&path).pragma_update(None, "user_version", 7).unwrap();
    let error = EmbeddedStore::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Format {
                found: 7,
                supported: 2,
                ..
            }
        ),
        "says which format: {error:?}"
    );
}

#[test]
fn what_is_no_state_file_is_refused_and_left_alone() {
    let directory = directory();
    let text = directory.path().join("notes.txt");
    let content = "not a database, ".repeat(100);
    fs::write(&text, &content).unwrap();
    let error = EmbeddedStore::open(&text).unwrap_err();
    assert!(error.to_string().contains("is not a state file"), "{error}");
    assert_eq!(fs::read_to_string(&text).unwrap(), content);

    let other = directory.path().join("other.db");
    sql(&other)
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let before = fs::read(&other).unwrap();
    let error = EmbeddedStore::open(&other).unwrap_err();
    assert!(
        error.to_string().contains("database of another program"),
        "{error}"
    );
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn missing_directories_are_made_and_impossible_ones_named() {
    let directory = directory();
    drop(at(directory.path().join("a/b/state.db")));
    fs::write(directory.path().join("file"), "").unwrap();
    let error = EmbeddedStore::open(directory.path().join("file/state.db")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("cannot be made"), "{error}");
    let error = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(
        error.to_string().contains("cannot be opened for writing"),
        "{error}"
    );
    for path in ["", ":memory:"] {
        let error = EmbeddedStore::open(path).unwrap_err();
        assert!(error.to_string().contains("needs a file"), "{error}");
    }
}

#[tokio::test]
async fn opens_by_url_and_tells_when_the_file_is_gone() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let store = open(&format!("sqlite:{}", path.display())).await.unwrap();
    assert_eq!(store.describe().kind, "embedded");
    assert!(store.health().await.unwrap().warnings.is_empty());
    fs::remove_file(&path).unwrap();
    assert!(store.health().await.unwrap().warnings[0].contains("was removed while in use"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_removed_or_replaced_takes_no_more_writes() {
    let directory = directory();
    let path = directory.path().join("state.db");
    let p = partition("run");
    let store = at(&path);
    assert!(store.commit(&p, put("a", b"1")).await.unwrap().is_applied());
    let copy = directory.path().join("copy.db");
    fs::rename(&path, &copy).unwrap();
    let error = store.commit(&p, put("a", b"lost")).await.unwrap_err();
    assert!(!error.may_have_applied());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("removed or replaced"), "{cause}");
    fs::rename(&copy, &path).unwrap();
    assert!(store.commit(&p, put("a", b"2")).await.unwrap().is_applied());
    fs::rename(&path, &copy).unwrap();
    drop(at(&path));
    assert!(store.commit(&p, put("a", b"lost")).await.is_err());
}
