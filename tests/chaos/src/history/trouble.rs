//! Callers at work while everything happens to the way to their server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fusebox_state::{
    AcquireOutcome, Commit, CommitOutcome, Expect, Fence, Lease, LeaseRequest, RedisConfig,
    RedisStore, RenewOutcome, StateStore, StoreError, TokenId, WriteId,
};
use fusebox_test_server::{Proxy, TestServer};
use tokio::task::JoinSet;

use super::{LeaseAnswer, LeaseCall, Operation, Recorder, RegisterAnswer, RegisterCall};
use crate::backend::started;
use crate::words::{bounded, key, partition};

/// Callers at once.
const CALLERS: usize = 5;
/// How often all of the trouble comes.
const ROUNDS: usize = 3;
/// Short, so that many calls are left without an answer.
const DEADLINE: Duration = Duration::from_millis(300);
/// Between two calls of one caller, so that a history is not all calm.
const PACE: Duration = Duration::from_millis(5);

/// What was recorded.
pub type History<C, A> = Vec<Operation<C, A>>;

/// A history of one key.
///
/// # Panics
/// If the server does not start, or answers what it must not.
pub async fn registers() -> History<RegisterCall, RegisterAnswer> {
    in_trouble(|store, recorder, number, over| async move {
        let mut known = (0, 0);
        let mut next = 0;
        while !over.load(Ordering::Relaxed) {
            let call = match next % 3 {
                0 => RegisterCall::Read,
                _ => RegisterCall::Swap {
                    expected: known.0,
                    value: (number * 1_000_000 + next) as u64,
                },
            };
            next += 1;
            match recorder.call(call, register(&*store, call)).await {
                Some(RegisterAnswer::Is(version, value)) => known = (version, value),
                Some(RegisterAnswer::Swapped) => known.0 += 1,
                Some(RegisterAnswer::Conflict(version)) => known.0 = version,
                None => {}
            }
            tokio::time::sleep(PACE).await;
        }
    })
    .await
}

/// A history of one lease.
///
/// # Panics
/// As [`registers`].
pub async fn leases() -> History<LeaseCall, LeaseAnswer> {
    in_trouble(|store, recorder, owner, over| async move {
        let mut takeover: Option<(u64, TokenId)> = None;
        while !over.load(Ordering::Relaxed) {
            let epoch = takeover.as_ref().map(|(epoch, _)| *epoch);
            let call = LeaseCall::Acquire {
                owner,
                takeover: epoch,
            };
            let mut found = Found::Nothing;
            let asked = acquire(&*store, owner, takeover.take(), &mut found);
            recorder.call(call, asked).await;
            match found {
                Found::Owned(fence) => own(&*store, &recorder, &fence).await,
                // An own acquisition whose answer was lost.
                Found::Held(lease) if lease.owner == owner.to_string() => {
                    takeover = Some((lease.epoch, lease.token_id));
                }
                Found::Held(_) | Found::Nothing => {}
            }
            tokio::time::sleep(PACE).await;
        }
    })
    .await
}

/// Writes twice, ends the lease, and writes once more, which nobody must mind.
async fn own(store: &dyn StateStore, recorder: &Recorder<LeaseCall, LeaseAnswer>, fence: &Fence) {
    for step in 0..4 {
        let call = match step {
            2 => LeaseCall::Release(fence.epoch),
            _ => LeaseCall::Write(fence.epoch),
        };
        let answer = match step {
            // It must end, or nobody else ever gets it.
            2 => loop {
                let answer = recorder.call(call, release(store, fence)).await;
                if answer.is_some() {
                    break answer;
                }
            },
            _ => recorder.call(call, write(store, fence)).await,
        };
        if answer == Some(LeaseAnswer::Lost) {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Starts callers and trouble, and waits for the end of both.
async fn in_trouble<C, A, F, Fut>(caller: F) -> History<C, A>
where
    C: Send + 'static,
    A: Send + Clone + 'static,
    F: Fn(Arc<dyn StateStore>, Arc<Recorder<C, A>>, usize, Arc<AtomicBool>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let server = started(TestServer::start());
    let proxy = started(Proxy::to_port(server.port()));
    let recorder = Arc::new(Recorder::default());
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let config = started(RedisConfig::from_url(&proxy.url()));
        let config = config
            .with_deadline(DEADLINE)
            .with_connect_timeout(DEADLINE);
        let store = Arc::new(started(RedisStore::connect(config).await));
        callers.spawn(caller(
            store,
            Arc::clone(&recorder),
            number,
            Arc::clone(&over),
        ));
    }
    let trouble = tokio::task::spawn_blocking(move || {
        trouble(&server, &proxy);
        (server, proxy)
    });
    let servers = bounded("the trouble ends", trouble)
        .await
        .expect("no panic");
    over.store(true, Ordering::Relaxed);
    bounded("callers end", async {
        while callers.join_next().await.is_some() {}
    })
    .await;
    drop(servers);
    let recorder = Arc::into_inner(recorder).expect("all callers have ended");
    recorder.into_operations()
}

/// Everything in turn. What is waited for are requests, and time only where time is the trouble.
fn trouble(server: &TestServer, proxy: &Proxy) {
    let some_requests = || proxy.wait_for_requests(proxy.requests() + 20);
    for _ in 0..ROUNDS {
        some_requests();
        proxy.reset();
        some_requests();
        proxy.drop_next_reply();
        some_requests();
        proxy.drop_replies();
        std::thread::sleep(DEADLINE + DEADLINE / 2);
        proxy.pass();
        some_requests();
        server.pause();
        std::thread::sleep(DEADLINE + DEADLINE / 2);
        server.resume();
    }
    some_requests();
}

async fn register(store: &dyn StateStore, call: RegisterCall) -> Option<RegisterAnswer> {
    let (at, n) = (partition("register"), key("n"));
    match call {
        RegisterCall::Read => {
            let entry = answered(store.get(&at, &n).await)?;
            Some(entry.map_or(RegisterAnswer::Is(0, 0), |entry| {
                let value = entry.value.try_into().expect("eight bytes");
                RegisterAnswer::Is(entry.version, u64::from_be_bytes(value))
            }))
        }
        RegisterCall::Swap { expected, value } => {
            let expect = match expected {
                0 => Expect::Absent,
                version => Expect::Version(version),
            };
            let write = Commit::new(WriteId::random());
            let write = write.put(n, expect, value.to_be_bytes().to_vec());
            match answered(store.commit(&at, write).await)? {
                CommitOutcome::Applied { .. } | CommitOutcome::Duplicate { .. } => {
                    Some(RegisterAnswer::Swapped)
                }
                CommitOutcome::Conflict { found, .. } => {
                    Some(RegisterAnswer::Conflict(found.unwrap_or(0)))
                }
                other => panic!("neither swapped nor a conflict: {other:?}"),
            }
        }
    }
}

enum Found {
    Owned(Fence),
    Held(Lease),
    Nothing,
}

async fn acquire(
    store: &dyn StateStore,
    owner: usize,
    takeover: Option<(u64, TokenId)>,
    found: &mut Found,
) -> Option<LeaseAnswer> {
    let request = LeaseRequest::new(owner.to_string(), Duration::from_secs(600));
    let request = match takeover {
        Some((_, token_id)) => request.with_takeover(token_id),
        None => request,
    };
    match answered(store.acquire(&partition("lease"), request).await)? {
        AcquireOutcome::Acquired { fence, .. } => {
            let epoch = fence.epoch;
            *found = Found::Owned(fence);
            Some(LeaseAnswer::Acquired(epoch))
        }
        AcquireOutcome::Held(lease) => {
            let by = lease.owner.parse().expect("a number");
            let answer = LeaseAnswer::Held(by, lease.epoch);
            *found = Found::Held(lease);
            Some(answer)
        }
    }
}

async fn write(store: &dyn StateStore, fence: &Fence) -> Option<LeaseAnswer> {
    let write = Commit::new(WriteId::random()).fenced(fence.clone());
    let write = write.put(key("n"), Expect::Any, Vec::new());
    match answered(store.commit(&partition("lease"), write).await)? {
        CommitOutcome::StaleEpoch { .. } => Some(LeaseAnswer::Lost),
        outcome if outcome.is_applied() => Some(LeaseAnswer::Done),
        other => panic!("neither written nor lost: {other:?}"),
    }
}

async fn release(store: &dyn StateStore, fence: &Fence) -> Option<LeaseAnswer> {
    match answered(store.release(&partition("lease"), fence).await)? {
        RenewOutcome::Released => Some(LeaseAnswer::Done),
        RenewOutcome::Lost { .. } => Some(LeaseAnswer::Lost),
        RenewOutcome::Renewed => panic!("a release renews nothing"),
    }
}

/// None for what has no answer.
fn answered<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) if error.is_transient() => None,
        Err(error) => panic!("{error:?}"),
    }
}
