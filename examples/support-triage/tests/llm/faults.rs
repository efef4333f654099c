//! Each fault has its phase, its kind and its verdict.

use std::time::{Duration, SystemTime};

use fusebox::agent::ErrorKind;
use fusebox::breaker::{Availability, State};
use fusebox::endpoints::{Phase, WireLimits};
use fusebox::policy::CallError;
use fusebox::{AgentError, Context, Task};
use fusebox_fault_proxy::{Fault, Harm};

use crate::{LONG, agent, guard, line, patient, phase};

const SHORT: Duration = Duration::from_millis(300);

struct Case {
    fault: Fault,
    limits: WireLimits,
    phase: Phase,
    kind: ErrorKind,
}

fn cases() -> Vec<Case> {
    let case = |fault, phase, kind| Case {
        fault,
        limits: patient(),
        phase,
        kind,
    };
    let late = |fault, limits, phase| Case {
        fault,
        limits,
        phase,
        kind: ErrorKind::TimedOut,
    };
    let stall = |events| Fault::after_events(events, Harm::Stall);
    vec![
        case(Fault::rate_limit(2), Phase::Refused, ErrorKind::RateLimited),
        case(Fault::status(503), Phase::Refused, ErrorKind::Overloaded),
        case(Fault::status(529), Phase::Refused, ErrorKind::Overloaded),
        case(Fault::status(500), Phase::Refused, ErrorKind::Api),
        case(Fault::status(401), Phase::Refused, ErrorKind::Unauthorized),
        case(
            Fault::HangUp,
            Phase::FirstByte,
            ErrorKind::DependencyUnavailable,
        ),
        late(
            Fault::Silence,
            patient().with_first_byte(SHORT),
            Phase::FirstByte,
        ),
        late(
            stall(0),
            patient().with_first_token(SHORT),
            Phase::FirstToken,
        ),
        late(stall(3), patient().with_idle(SHORT), Phase::Idle),
        // It trickles, and is never silent for long: only the time for all of it is over.
        late(
            Fault::Drip(Duration::from_millis(50)),
            patient().with_idle(4 * SHORT).with_total(10 * SHORT),
            Phase::Total,
        ),
        case(
            Fault::after_events(3, Harm::Reset),
            Phase::Broken,
            ErrorKind::Api,
        ),
        case(
            Fault::after_events(3, Harm::Cut),
            Phase::Truncated,
            ErrorKind::Api,
        ),
        case(
            Fault::after_events(3, Harm::End),
            Phase::Truncated,
            ErrorKind::Api,
        ),
    ]
}

#[tokio::test]
async fn each_fault_has_its_phase_and_opens_the_breaker() {
    for case in cases() {
        let proxy = line().await;
        let guard = guard(agent(&proxy).limits(case.limits), LONG);
        proxy.inject_times(case.fault.clone(), 1);
        let ask = || {
            guard.call(
                Task::new("Tell me about the sea."),
                Context::new("run", "step"),
                &(),
            )
        };
        let error = ask().await.expect_err("it was harmed");
        let source = failed(error.cause());
        println!(
            "{:<60} {:<12} {}",
            format!("{:?}", case.fault),
            phase(source).map_or("-", Phase::as_str),
            source.kind
        );
        assert_eq!(
            (phase(source), source.kind),
            (Some(case.phase), case.kind),
            "{:?}: {source}",
            case.fault
        );
        assert_eq!(guard.breaker().state(), State::Open, "{:?}", case.fault);
        // While it is open, the model is left alone.
        assert_eq!(
            ask().await.expect_err("it is open").kind(),
            ErrorKind::BreakerOpen
        );
        assert_eq!(proxy.requests(), 1, "{:?}", case.fault);
    }
}

#[tokio::test]
async fn the_next_probe_is_due_within_the_hint_and_its_jitter() {
    let in_three = httpdate(SystemTime::now() + Duration::from_secs(3));
    let open = Duration::from_secs(1);
    for (name, value, hint, slack) in [
        ("retry-after", "3", 3.0, 0.0),
        // A date has whole seconds, and some time passes before it is read.
        ("retry-after", in_three.as_str(), 3.0, 2.0),
        ("retry-after-ms", "2500", 2.5, 0.0),
        ("x-ratelimit-reset-requests", "2s", 2.0, 0.0),
        ("x-ratelimit-reset-tokens", "1500ms", 1.5, 0.0),
    ] {
        let proxy = line().await;
        let guard = guard(agent(&proxy), open);
        proxy.inject_times(Fault::status(429).with_header(name, value), 1);
        let asked = std::time::Instant::now();
        let error = guard
            .call(Task::new("Hi"), Context::new("run", "step"), &())
            .await;
        error.expect_err("it was refused");
        let Availability::NotBefore(wait) = guard.breaker().availability() else {
            panic!("{name}: it is open");
        };
        // Half of the open time is drawn: the jitter.
        let (wait, passed) = (wait.as_secs_f64(), asked.elapsed().as_secs_f64());
        let latest = hint + open.as_secs_f64() / 2.0;
        println!("{name}: {value}: due in {wait:.2} s, within {hint:.2} and {latest:.2}");
        assert!(
            wait <= latest && wait >= hint - slack - passed,
            "{name}: {wait}"
        );
    }
}

#[tokio::test]
async fn a_model_that_is_back_is_asked_again_when_it_is_due() {
    let proxy = line().await;
    let guard = guard(agent(&proxy), Duration::from_millis(100));
    proxy.inject_times(Fault::status(429).with_header("retry-after-ms", "200"), 1);
    let ask = || guard.call(Task::new("Hi"), Context::new("run", "step"), &());
    ask().await.expect_err("it was refused");
    while let Availability::NotBefore(wait) = guard.breaker().availability() {
        tokio::time::sleep(wait).await;
    }
    ask().await.expect("it is back");
    assert_eq!((proxy.requests(), proxy.forwarded()), (2, 1));
}

fn failed(error: &CallError<AgentError>) -> &AgentError {
    match error {
        CallError::Failed { source, .. } => source,
        other => panic!("the agent itself should have failed: {other}"),
    }
}

/// A date as HTTP has it (RFC 9110, section 5.6.7), by the one program that is everywhere.
fn httpdate(at: SystemTime) -> String {
    let seconds = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let mut date = std::process::Command::new("date");
    date.env("LC_ALL", "C").args([
        "-u",
        "-d",
        &format!("@{seconds}"),
        "+%a, %d %b %Y %H:%M:%S GMT",
    ]);
    let printed = date.output().expect("date is a standard tool").stdout;
    String::from_utf8(printed).expect("text").trim().to_owned()
}
