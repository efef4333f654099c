//! tower-resilience: a layer around a service. Its count window starts anew instead of sliding.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceExt};
use tower_resilience_circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerLayer, FailureClassifier,
    SlidingWindowType,
};

use crate::peer::{
    Answer, Candidate, CountSettings, Hang, Listener, Oops, Operation, Peer, SLOW, Shared,
    UNAVAILABLE, WAIT, poll_and_drop,
};

/// For its timers alone: each call is polled on the thread that makes it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_time().build();
    runtime.expect("a runtime")
});

enum Request {
    Run(Operation),
    Hang(Hang),
}

async fn serve(request: Request) -> Answer {
    match request {
        Request::Run(operation) => operation(),
        Request::Hang(hang) => hang.operation().await,
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// Made once per thread, so that it is not counted as an allocation of a call.
    static WAKER: Waker = Arc::new(Unpark(std::thread::current())).into();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let _timers = RUNTIME.enter();
    let (waker, mut future) = (WAKER.with(Waker::clone), pin!(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Plain<S>(Mutex<S>);

impl<S: Clone> Plain<S> {
    fn service(&self) -> S {
        let service = self.0.lock().expect("no thread panics while it clones");
        service.clone()
    }
}

impl<S> Peer for Plain<S>
where
    S: Service<Request, Response = u16, Error = CircuitBreakerError<Oops>> + Clone + Send,
{
    fn run(&self, operation: Operation) -> bool {
        let answer = block_on(self.service().oneshot(Request::Run(operation)));
        !matches!(answer, Err(CircuitBreakerError::OpenCircuit))
    }

    fn abandon(&self) -> bool {
        let _timers = RUNTIME.enter();
        poll_and_drop(|hang| self.service().oneshot(Request::Hang(hang)))
    }
}

fn of(calls: usize) -> CircuitBreakerConfigBuilder {
    CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(calls)
        .minimum_number_of_calls(calls)
        .permitted_calls_in_half_open(1)
        .wait_duration_in_open(WAIT)
}

fn over_time(window: Duration, minimum: usize) -> CircuitBreakerConfigBuilder {
    of(minimum)
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(window)
}

fn peer<C>(builder: CircuitBreakerConfigBuilder<C>) -> Shared
where
    C: FailureClassifier<u16, Oops> + Clone + Send + Sync + 'static,
{
    let layer = builder.build().expect("good settings");
    let service = layer.layer_fn(tower::service_fn(serve));
    Arc::new(Plain(Mutex::new(service)))
}

pub(super) struct Tower;

impl Candidate for Tower {
    fn name(&self) -> &'static str {
        "tower-resilience 0.14.0"
    }

    fn count_window(&self, settings: CountSettings) -> Shared {
        let builder = of(settings.window).permitted_calls_in_half_open(settings.probes);
        peer(builder.wait_duration_in_open(settings.wait))
    }

    fn time_window(&self, window: Duration) -> Option<Shared> {
        Some(peer(over_time(window, 10)))
    }

    /// Over time: its count window does not judge before it is full, whatever the minimum.
    fn minimum_apart(&self, minimum: usize) -> Option<Shared> {
        Some(peer(over_time(Duration::from_secs(60), minimum)))
    }

    /// It takes the place of the rate: they cannot stand side by side.
    fn row(&self, failures: usize) -> Option<Shared> {
        Some(peer(of(10).consecutive_failures(failures)))
    }

    fn slow_calls(&self) -> Option<Shared> {
        let builder = of(10).slow_call_duration_threshold(SLOW);
        Some(peer(builder.slow_call_rate_threshold(0.5)))
    }

    /// Its classifier says failure or not, and what is no failure is a success.
    fn judged_errors(&self) -> Option<Shared> {
        let classify = |answer: &Answer| !matches!(answer, Ok(_) | Err(Oops::Harmless));
        Some(peer(of(10).failure_classifier(classify)))
    }

    fn judged_answers(&self) -> Option<Shared> {
        let classify = |answer: &Answer| matches!(answer, Ok(UNAVAILABLE) | Err(_));
        Some(peer(of(10).failure_classifier(classify)))
    }

    /// In manual mode: else it would recover by itself. It opens by no rule then.
    fn forced_open(&self) -> Option<Shared> {
        let built = of(10).manual_mode().build_with_handle();
        let (layer, handle) = built.expect("good settings");
        block_on(handle.force_open());
        let service = layer.layer_fn(tower::service_fn(serve));
        Some(Arc::new(Plain(Mutex::new(service))))
    }

    fn try_ratio(&self, ratio: f64) {
        let layer = of(10).failure_rate_threshold(ratio).build();
        layer.expect("good settings");
    }

    fn listened(&self, listener: Listener) -> Option<Shared> {
        Some(peer(of(10).on_state_transition(move |_, to| {
            if to == tower_resilience_circuitbreaker::CircuitState::Open {
                listener();
            }
        })))
    }
}
