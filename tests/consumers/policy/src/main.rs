//! A flaky call under a policy: retried, cut off when it hangs, refused when too many wait.

use std::error::Error;
use std::future;
use std::io;
use std::time::Duration;

use fusebox_breaker::{Breaker, Config, State};
use fusebox_policy::{Bulkhead, CallError, DefaultClassify, Policy, Retry};
use tokio::time::Instant;

fn breaker(name: &str) -> Result<Breaker, Box<dyn Error>> {
    let config = Config::builder().consecutive_failures(4).build()?;
    Ok(Breaker::new(name, config))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let retry = Retry::new(3)
        .with_base(Duration::from_millis(100))
        .with_cap(Duration::from_secs(1));
    let policy = Policy::builder(breaker("search")?)
        .retry(retry)
        .attempt_timeout(Duration::from_secs(2))
        .total_timeout(Duration::from_secs(20))
        .build();

    // The third attempt succeeds.
    let answer = policy
        .call(&DefaultClassify, &(), async |attempt| {
            match attempt.number {
                3 => Ok("found"),
                n => Err(io::Error::other(format!("attempt {n} failed"))),
            }
        })
        .await?;
    assert_eq!((answer.value, answer.attempts), ("found", 3));

    // A call that hangs is cut off after two seconds, each time.
    let began = Instant::now();
    let hangs = policy
        .call(&DefaultClassify, &(), |_| {
            future::pending::<io::Result<()>>()
        })
        .await;
    assert!(
        matches!(&hangs, Err(CallError::TimedOut { attempts: 3, .. })),
        "{hangs:?}"
    );
    assert!(hangs.is_err_and(|error| error.may_have_run()));
    assert!(began.elapsed() >= Duration::from_secs(6));
    assert_eq!(policy.breaker().state(), State::Closed);

    // One at a time, and nobody waits: the second of two is refused and charged to nobody.
    let narrow = Policy::builder(breaker("model")?)
        .bulkhead(Bulkhead::new("gpu", 1))
        .build();
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, io::Error>(())
    };
    let (first, second) = tokio::join!(
        narrow.call(&DefaultClassify, &(), |_| slow()),
        narrow.call(&DefaultClassify, &(), |_| slow()),
    );
    assert!(first.is_ok());
    assert!(matches!(second, Err(CallError::BulkheadFull { .. })));
    assert_eq!(narrow.breaker().counts().failed, 0);

    println!("policy: 3 attempts to an answer, 3 hangs cut off, 1 call of 2 let through");
    Ok(())
}
