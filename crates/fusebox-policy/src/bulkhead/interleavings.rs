//! Every order of starting, waking, giving up, releasing and running out of time, for a few calls: no slot is lost, no
//! slot is given twice, and nobody waits while a slot is free.
//!
//! All that calls share lies behind one lock, and a slot handed over travels through one channel. So what threads can do
//! to each other is what these steps, one after the other, can do. Releasing is two of them, as others can come between
//! taking the next out of the queue and handing over to it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Bulkhead, Full, Priority, Shared, Slot};

const MAX_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Polls a call for the first time, or after it was woken.
    Poll(usize),
    /// Drops a call that waits, whether or not a slot is on its way.
    Drop(usize),
    /// Gives a slot back: the next, if anyone waits, leaves the queue.
    Release(usize),
    /// Hands the slot over to the one that left the queue.
    HandOver(usize),
    /// The maximum wait passes.
    Expire,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Acquiring = Pin<Box<dyn Future<Output = Result<Slot, Full>>>>;

enum Caller {
    New,
    Waiting(Acquiring, Arc<Woken>),
    Holding(Slot),
    Passing(Arc<Shared>, oneshot::Sender<Slot>),
    Gone,
}

struct World {
    runtime: tokio::runtime::Runtime,
    bulkhead: Bulkhead,
    callers: Vec<Caller>,
    expired: bool,
}

impl World {
    fn new(limit: usize, max_queue: usize, callers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        Self {
            runtime,
            bulkhead: Bulkhead::new("pool", limit)
                .with_max_wait(MAX_WAIT)
                .with_max_queue(max_queue),
            callers: (0..callers).map(|_| Caller::New).collect(),
            expired: false,
        }
    }

    /// What can happen next.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (number, caller) in self.callers.iter().enumerate() {
            match caller {
                Caller::New => steps.push(Step::Poll(number)),
                Caller::Waiting(_, woken) => {
                    if woken.0.load(Ordering::Relaxed) {
                        steps.push(Step::Poll(number));
                    }
                    steps.push(Step::Drop(number));
                }
                Caller::Holding(_) => steps.push(Step::Release(number)),
                Caller::Passing(..) => steps.push(Step::HandOver(number)),
                Caller::Gone => {}
            }
        }
        let anyone_waits = |caller: &Caller| matches!(caller, Caller::Waiting(..));
        if !self.expired && self.callers.iter().any(anyone_waits) {
            steps.push(Step::Expire);
        }
        steps
    }

    fn take(&mut self, step: Step) {
        let _time = match step {
            Step::Expire => {
                self.expired = true;
                self.runtime.block_on(tokio::time::advance(MAX_WAIT));
                return;
            }
            _ => self.runtime.enter(),
        };
        let (Step::Poll(number)
        | Step::Drop(number)
        | Step::Release(number)
        | Step::HandOver(number)) = step
        else {
            return;
        };
        let caller = std::mem::replace(&mut self.callers[number], Caller::Gone);
        self.callers[number] = match caller {
            Caller::Waiting(..) if step == Step::Drop(number) => Caller::Gone,
            Caller::Holding(mut slot) => release(slot.shared.take().expect("not passed on")),
            Caller::Passing(shared, next) => match super::hand_over(&shared, next) {
                true => Caller::Gone,
                false => release(shared),
            },
            caller => poll(caller, number, &self.bulkhead),
        };
    }

    /// What must hold between any two steps.
    fn check(&self, history: &[Step]) {
        let (mut holding, mut passing, mut waiting, mut asleep) = (0, 0, 0, 0);
        for caller in &self.callers {
            match caller {
                Caller::Holding(_) => holding += 1,
                Caller::Passing(..) => passing += 1,
                Caller::Waiting(_, woken) => {
                    waiting += 1;
                    asleep += usize::from(!woken.0.load(Ordering::Relaxed));
                }
                Caller::New | Caller::Gone => {}
            }
        }
        let (limit, in_use) = (self.bulkhead.limit(), self.bulkhead.in_use());
        assert!(in_use <= limit, "{history:?}");
        // The rest are on their way to calls that have been woken for them.
        let granted = in_use.checked_sub(holding + passing);
        assert!(
            granted.is_some_and(|n| n <= waiting - asleep),
            "{history:?}"
        );
        assert!(self.bulkhead.queued() <= waiting, "{history:?}");
        if in_use < limit {
            assert_eq!(self.bulkhead.queued(), 0, "{history:?}");
            assert!(asleep <= passing, "{history:?}");
        }
        if holding + passing + waiting == 0 {
            assert_eq!((in_use, self.bulkhead.queued()), (0, 0), "{history:?}");
        }
    }
}

fn release(shared: Arc<Shared>) -> Caller {
    match shared.next() {
        Some(next) => Caller::Passing(shared, next),
        None => Caller::Gone,
    }
}

fn poll(caller: Caller, number: usize, bulkhead: &Bulkhead) -> Caller {
    let (mut acquiring, woken) = match caller {
        Caller::New => {
            let bulkhead = bulkhead.clone();
            // Odd calls are another tenant's.
            let tenant = (number % 2 == 1).then(|| Arc::from("odd"));
            let acquiring: Acquiring =
                Box::pin(async move { bulkhead.acquire(Priority::NORMAL, &tenant, || ()).await });
            (acquiring, Arc::new(Woken(AtomicBool::new(false))))
        }
        Caller::Waiting(acquiring, woken) => (acquiring, woken),
        other => return other,
    };
    woken.0.store(false, Ordering::Relaxed);
    let waker = Waker::from(woken.clone());
    match acquiring.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Pending => Caller::Waiting(acquiring, woken),
        Poll::Ready(Ok(slot)) => Caller::Holding(slot),
        Poll::Ready(Err(_)) => Caller::Gone,
    }
}

/// Goes through every history, each from its beginning, as futures cannot be copied. Returns how many there are.
fn explore(world: &dyn Fn() -> World) -> usize {
    let (mut histories, mut open) = (0, vec![Vec::new()]);
    while let Some(history) = open.pop() {
        let mut now = world();
        for step in &history {
            now.take(*step);
        }
        now.check(&history);
        let steps = now.steps();
        histories += usize::from(steps.is_empty());
        open.extend(steps.into_iter().map(|step| {
            let mut longer = history.clone();
            longer.push(step);
            longer
        }));
    }
    histories
}

#[test]
fn no_order_of_steps_loses_a_slot_or_a_wake_up() {
    let histories = explore(&|| World::new(1, usize::MAX, 3));
    assert!(histories > 1_000, "{histories}");
    let histories = explore(&|| World::new(2, usize::MAX, 3));
    assert!(histories > 100, "{histories}");
}

#[test]
fn nor_does_any_order_in_which_a_full_queue_sheds() {
    let histories = explore(&|| World::new(1, 1, 3));
    assert!(histories > 1_000, "{histories}");
}
