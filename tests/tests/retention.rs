//! What is over is gone once it has been kept for its time: nothing is left of it in the store.

#![cfg(target_os = "linux")]

use fusebox_test_server::{Reply, TestServer};
use fusebox_tests::{Sandbox, eventually};
use serde_json::Value;

const FLOW: &str = r#"
[workflow]
name = "short"

[agents.quick]
kind = "command"
command = ["sh", "-c", 'echo 1']

[[step]]
name = "quick"
"#;

/// How long a store knows that something was removed, so that nobody who was away puts it back.
const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

fn partitions(sandbox: &Sandbox) -> Value {
    let stats = sandbox
        .fusebox(&["state", "stats", "--json"])
        .exited(0)
        .json();
    let of = |kind: &str| stats[kind]["partitions"].clone();
    Value::Array(vec![of("runs"), of("forks"), of("other")])
}

fn runs(sandbox: &Sandbox) -> Vec<Value> {
    let runs = sandbox.fusebox(&["runs", "--json"]).exited(0).json();
    let runs = runs["runs"].as_array().expect("a list");
    runs.iter().map(|head| head["run"].clone()).collect()
}

/// One run that is over and kept for a second, one that is over and kept, one that waits.
fn three_runs(sandbox: &Sandbox) {
    sandbox.write("short.toml", FLOW);
    let run = |id: &str, keep: &str, more: &[&str], code| {
        let args = ["run", "short.toml", "--id", id, "--keep-finished", keep];
        let _ = sandbox.fusebox(&[&args[..], more].concat()).exited(code);
    };
    run("waits", "1s", &["--fault", "quick=api:1.0", "--no-wait"], 5);
    run("kept", "1h", &[], 0);
    run("gone", "1s", &[], 0);
}

fn only_what_is_over_goes(sandbox: &Sandbox) {
    three_runs(sandbox);
    eventually("the end of a run's retention", || {
        (!runs(sandbox).contains(&"gone".into())).then_some(())
    });
    // They are older, so their second has passed too.
    assert_eq!(runs(sandbox), ["kept", "waits"]);
    assert_eq!(partitions(sandbox), serde_json::json!([2, 0, 0]));
}

#[test]
fn of_what_is_over_nothing_is_left_and_what_waits_is_kept() {
    only_what_is_over_goes(&Sandbox::new());
}

#[test]
fn on_redis_of_what_is_over_nothing_is_left_and_what_waits_is_kept() {
    let server = TestServer::start().unwrap_or_else(|error| panic!("{error}"));
    only_what_is_over_goes(&Sandbox::new().with_store(server.url()));
}

#[test]
fn on_redis_a_run_that_is_over_leaves_only_the_note_that_it_was_removed_and_that_expires_too() {
    let server = TestServer::start().unwrap_or_else(|error| panic!("{error}"));
    let sandbox = Sandbox::new().with_store(server.url());
    sandbox.write("short.toml", FLOW);
    let run = ["run", "short.toml", "--id", "r", "--keep-finished", "1s"];
    let _ = sandbox.fusebox(&run).exited(0);
    let names = || format!("{:?}", server.ask(&["KEYS", "fusebox:*"]));
    let note = "fusebox:{run.r}:x";
    eventually("a server that forgets", || {
        let left = names().matches("fusebox:").count();
        (left <= 2).then_some(())
    });
    let left = names();
    assert!(left.contains("\"fusebox:store\""), "{left}");
    assert!(left.contains(note), "{left}");
    match server.ask(&["PTTL", note]).expect("it answers") {
        Reply::Integer(ms) => assert!((1..=WEEK_MS + 1000).contains(&ms), "{ms}"),
        other => panic!("{other:?}"),
    }
}
