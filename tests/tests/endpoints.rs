//! Services and models as agents of the command: answers, outages, and that no key is seen.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use fusebox_tests::{Sandbox, Service};
use serde_json::json;

const KEY: &str = "sk-hunter2hunter2";

const FLOW: &str = r#"
[workflow]
name = "answers"

[input.question]

[agents.orders]
kind = "http"
url_env = "ORDERS_URL"
headers_env = { x-api-key = "ORDERS_KEY" }
output_schema = { type = "object", required = ["rows"] }
max_attempts = 2
retry_base = "1ms"

[agents.sum]
kind = "failover"
targets = ["far", "near"]

[agents.far]
kind = "openai"
model = "far-1"
base_url_env = "FAR_URL"
api_key_env = "FAR_KEY"
prompt = "{/input/question} {/upstream/orders/rows}"
max_attempts = 1

[agents.near]
kind = "openai"
model = "near-1"
base_url_env = "NEAR_URL"
prompt = "{/input/question} {/upstream/orders/rows}"
output_schema = { type = "object", required = ["sum"] }
max_attempts = 1

[[step]]
name = "orders"

[[step]]
name = "sum"
requires = ["orders"]
"#;

fn no_headers(status: u16, body: impl ToString) -> (u16, String, String) {
    let headers = "content-type: application/json\r\n".to_owned();
    (status, headers, body.to_string())
}

/// Everything below a directory, as text.
fn everything(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all += &everything(&path);
        } else {
            all += &String::from_utf8_lossy(&fs::read(&path).expect("a file"));
        }
    }
    all
}

#[test]
fn a_service_and_the_second_choice_of_models_answer_and_no_key_is_seen() {
    // The first attempt is refused, and tells the key to everybody.
    let orders = Service::start(|number| match number {
        0 => no_headers(
            500,
            json!({"error": {"message": format!("key {KEY} is fine")}}),
        ),
        _ => no_headers(200, json!({"rows": [1, 2]})),
    });
    let far = Service::start(|_| {
        let (status, headers, body) = no_headers(429, json!({"error": {"message": KEY}}));
        (status, format!("{headers}retry-after: 20\r\n"), body)
    });
    let near = Service::start(|_| {
        let content = json!({"sum": 3}).to_string();
        let choice = json!({"message": {"content": content}, "finish_reason": "stop"});
        no_headers(200, json!({"choices": [choice]}))
    });
    let sandbox = Sandbox::new()
        .with_env("ORDERS_URL", orders.url())
        .with_env("ORDERS_KEY", KEY)
        .with_env("FAR_URL", format!("{}/v1", far.url()))
        .with_env("FAR_KEY", KEY)
        .with_env("NEAR_URL", near.url());
    sandbox.write("flow.toml", FLOW);
    sandbox.fusebox(&["check", "flow.toml"]).exited(0);
    let log = sandbox.execution_log();
    let run = [
        "run",
        "flow.toml",
        "--id",
        "one",
        "--input",
        "question=How many?",
        "--json",
        "--execution-log",
        &log,
        "--metrics",
        "metrics.txt",
    ];
    let outcome = sandbox.fusebox(&run).exited(0);
    let report = outcome.json();
    assert_eq!(report["status"], "completed", "{outcome}");
    assert_eq!(report["steps"][0]["executions"], 2, "{report}");

    // What went out: keys where they belong, one idempotency key for both attempts, the filled prompt.
    let asked = orders.requests();
    let key = |request: &str| {
        let line = request
            .lines()
            .find(|line| line.starts_with("idempotency-key: "));
        line.expect("an idempotency key").to_owned()
    };
    assert_eq!((asked.len(), key(&asked[0])), (2, key(&asked[1])));
    assert!(
        asked[0].contains(&format!("\r\nx-api-key: {KEY}\r\n")),
        "{}",
        asked[0]
    );
    let asked = far.requests();
    assert_eq!(asked.len(), 1, "it asked to be left alone");
    assert!(
        asked[0].starts_with("POST /v1/chat/completions "),
        "{}",
        asked[0]
    );
    assert!(
        asked[0].contains(&format!("\r\nauthorization: Bearer {KEY}\r\n")),
        "{}",
        asked[0]
    );
    assert!(
        near.requests()[0].contains("How many? [1,2]"),
        "{}",
        near.requests()[0]
    );

    // What is left: no key in what was printed, kept or logged.
    let shown = sandbox.fusebox(&["show", "one"]).exited(0);
    let shown_json = sandbox.fusebox(&["show", "one", "--json"]).exited(0);
    let kept = everything(&sandbox.state_dir());
    assert!(
        kept.contains("How many?"),
        "the control: the journal can be read as text"
    );
    let written = everything(sandbox.path());
    let all = format!("{outcome} {shown} {shown_json} {written}");
    assert!(!all.contains("hunter2"), "a key was seen");
}

#[test]
fn a_refused_key_is_tried_once_and_says_what_to_do() {
    let service = Service::start(|_| no_headers(401, json!({"error": {"message": KEY}})));
    let sandbox = Sandbox::new()
        .with_env("ORDERS_URL", service.url())
        .with_env("ORDERS_KEY", KEY);
    let flow = r#"
[workflow]
name = "one"
[agents.orders]
kind = "http"
url_env = "ORDERS_URL"
bearer_env = "ORDERS_KEY"
[[step]]
name = "orders"
"#;
    sandbox.write("flow.toml", flow);
    let outcome = sandbox.fusebox(&["run", "flow.toml", "--json"]).exited(4);
    let step = outcome.json()["steps"][0].clone();
    let reason = step["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("answered 401: it does not take the key"),
        "{reason}"
    );
    assert!(!outcome.to_string().contains("hunter2"), "{outcome}");
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn a_variable_that_is_not_set_is_named_before_anything_starts() {
    let sandbox = Sandbox::new().with_env("ORDERS_URL", "http://127.0.0.1:9/");
    sandbox.write("flow.toml", FLOW);
    sandbox
        .fusebox(&["run", "flow.toml", "--input", "question=x"])
        .exited(2)
        .complains("agent `far`: environment variable `FAR_URL`");
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let flow = FLOW.replace("api_key_env = \"FAR_KEY\"", &format!("api_key = \"{KEY}\""));
    sandbox.write("flow.toml", &flow);
    for args in [&["check", "flow.toml"][..], &["run", "flow.toml", "--json"]] {
        let outcome = sandbox.fusebox(args).exited(2);
        assert!(
            outcome.to_string().contains("a secret must not stand"),
            "{outcome}"
        );
        assert!(!outcome.to_string().contains("hunter2"), "{outcome}");
    }
}
