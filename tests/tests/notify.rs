//! Others are told what happens in a run, and the run does not wait for them.

#![cfg(target_os = "linux")]

use fusebox_tests::{Sandbox, Service};
use serde_json::Value;

const FLOW: &str = r#"
[workflow]
name = "told"

[agents.data]
kind = "command"
command = ["echo", "{}"]
preset = "data"
consecutive_failures = 1
max_attempts = 1

[[step]]
name = "data"
"#;

/// Opens the breaker and ends as waiting.
const RUN: [&str; 5] = ["run", "told.toml", "--no-wait", "--fault", "data=api:1.0"];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("told.toml", FLOW);
    sandbox
}

/// What the events of several messages are, in order.
fn kinds(messages: &[Value]) -> Vec<String> {
    let events = messages
        .iter()
        .flat_map(|message| message["events"].as_array().unwrap());
    events
        .map(|event| event["kind"]["kind"].as_str().unwrap().to_owned())
        .collect()
}

fn body(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a header and a body");
    serde_json::from_str(body).expect("a JSON document")
}

#[test]
fn a_service_is_told_of_an_opening_and_of_an_end_that_is_none() {
    let sandbox = sandbox().with_env("HOOK", "");
    let service = Service::start(|_| (200, String::new(), "thanks".into()));
    let sandbox = sandbox
        .with_env("HOOK", service.url())
        .with_env("FUSEBOX_NOTIFY_TOKEN", "t0ken");
    let run = [&RUN[..], &["--notify-url", "env:HOOK"]].concat();
    let outcome = sandbox.fusebox(&run).exited(5);
    assert!(!outcome.stderr.contains("lost"), "{}", outcome.stderr);
    let requests = service.requests();
    let has_token = |it: &String| it.to_lowercase().contains("authorization: bearer t0ken");
    assert!(requests.iter().all(has_token), "{requests:?}");
    // One message if both happened within a second.
    let messages: Vec<Value> = requests.iter().map(|request| body(request)).collect();
    assert_eq!(kinds(&messages), ["breaker_moved", "run_ended"]);
    let first = &messages[0];
    assert_eq!(first["events"][0]["kind"]["to"], "open");
    assert_eq!(
        (&first["missed"], &first["events"][0]["run"]),
        (&0.into(), &Value::Null)
    );
}

#[test]
fn a_message_that_did_not_arrive_is_sent_again() {
    let sandbox = sandbox();
    let service = Service::start(|number| match number {
        0 => (503, String::new(), "{}".into()),
        _ => (200, String::new(), "{}".into()),
    });
    let url = service.url();
    let run = [&RUN[..], &["--notify-url", &url]].concat();
    let outcome = sandbox.fusebox(&run).exited(5);
    assert!(!outcome.stderr.contains("lost"), "{}", outcome.stderr);
    let requests = service.requests();
    assert_eq!(body(&requests[0]), body(&requests[1]), "the same, again");
    let arrived: Vec<Value> = requests[1..].iter().map(|request| body(request)).collect();
    assert_eq!(kinds(&arrived), ["breaker_moved", "run_ended"]);
}

#[test]
fn a_program_is_told_and_one_that_is_not_there_is_complained_of_and_changes_nothing() {
    let sandbox = sandbox();
    sandbox.write("hook.sh", "cat >> heard.json; echo >> heard.json\n");
    let hook = format!("sh {}/hook.sh", sandbox.path().display());
    let run = [&RUN[..], &["--notify-command", &hook]].concat();
    let _ = sandbox.fusebox(&run).exited(5);
    let heard = std::fs::read_to_string(sandbox.path().join("heard.json")).unwrap();
    let lines = heard.lines().filter(|line| !line.is_empty());
    let messages: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(kinds(&messages), ["breaker_moved", "run_ended"]);

    let run = [&RUN[..], &["--notify-command", "no-such-program-anywhere"]].concat();
    sandbox
        .fusebox(&run)
        .exited(5)
        .complains("a notification was lost");
    let run = [&RUN[..], &["--notify-url", "env:NOT_SET_ANYWHERE"]].concat();
    sandbox
        .fusebox(&run)
        .exited(2)
        .complains("NOT_SET_ANYWHERE");
}
