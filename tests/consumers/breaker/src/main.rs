//! A flaky function behind a breaker: synchronous, no runtime.

use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Breaker, CallError, Config, ManualClock, State};

/// Fails until `heals_at` calls were made.
struct Flaky {
    calls: Cell<u32>,
    heals_at: u32,
}

impl Flaky {
    fn ask(&self) -> Result<u32, String> {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        if call < self.heals_at {
            Err(format!("call {call} failed"))
        } else {
            Ok(call)
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::builder()
        .consecutive_failures(3)
        .wait_duration_in_open(Duration::from_secs(10))
        .successes_to_close(1)
        .build()?;
    let clock = ManualClock::new();
    let breaker = Breaker::builder("flaky", config)
        .seed(7)
        .clock(Arc::new(clock.clone()))
        .build();
    let flaky = Flaky {
        calls: Cell::new(0),
        heals_at: 4,
    };

    for _ in 0..3 {
        let answer = breaker.call(|| flaky.ask());
        assert!(matches!(answer, Err(CallError::Failed(_))));
    }
    assert_eq!(breaker.state(), State::Open);

    // Refused at once: the function is not called, and the caller learns when to come back.
    let Err(CallError::NotPermitted(refused)) = breaker.call(|| flaky.ask()) else {
        panic!("an open breaker refuses");
    };
    let wait = refused
        .retry_after
        .expect("it opened by itself, so it is due back");
    assert_eq!(flaky.calls.get(), 3);

    clock.advance(wait);
    assert_eq!(breaker.call(|| flaky.ask()).ok(), Some(4));
    assert_eq!(breaker.state(), State::Closed);

    let counts = breaker.counts();
    assert_eq!(
        (counts.succeeded, counts.failed, counts.rejected),
        (1, 3, 1)
    );
    println!("breaker: opened after 3 failures, refused 1 call, closed after {wait:?}");
    Ok(())
}
