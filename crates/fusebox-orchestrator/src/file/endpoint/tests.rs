//! Agents that are elsewhere, as files define them, and each fault their tables can have.

use std::time::Duration;

use super::*;
use crate::file::{AgentKind, WorkflowFile};

/// A file whose only agent has these lines.
fn file(lines: &str) -> String {
    format!("[workflow]\nname = \"w\"\n[agents.a]\n{lines}\n[[step]]\nname = \"a\"\n")
}

fn kind(lines: &str) -> AgentKind {
    let file = WorkflowFile::parse("f.toml", &file(lines)).expect("a good file");
    file.agents["a"].kind.clone()
}

/// The one error: line within the agent's table, column, all it says.
fn error(lines: &str) -> (usize, usize, String) {
    let errors = WorkflowFile::parse("f.toml", &file(lines)).expect_err(lines);
    assert_eq!(errors.errors().len(), 1, "{errors}");
    let error = &errors.errors()[0];
    (error.line - 3, error.column, error.to_string())
}

#[test]
fn a_service_needs_only_its_url() {
    let AgentKind::Http(spec) = kind("kind = \"http\"\nurl = \"https://host/x\"") else {
        panic!("another kind");
    };
    assert_eq!(spec.url, UrlSpec::Given("https://host/x".into()));
    assert_eq!((spec.method.as_str(), spec.bearer_env), ("post", None));
    assert_eq!(spec.wire, WireSpec::default());
}

#[test]
fn everything_a_service_can_have_is_read() {
    let lines = r#"kind = "http"
url_env = "ORDERS_URL"
method = "put"
bearer_env = "ORDERS_TOKEN"
headers = { x-team = "red" }
headers_env = { x-api-key = "ORDERS_KEY" }
certificates = "ca.pem"
redirects = "same_origin"
connect_timeout = "1s"
first_byte_timeout = "2s"
idle_timeout = "3s"
total_timeout = "4s"
max_body_bytes = 5"#;
    let AgentKind::Http(spec) = kind(lines) else {
        panic!("another kind");
    };
    assert_eq!(spec.url, UrlSpec::Env("ORDERS_URL".into()));
    assert_eq!(spec.method, "put");
    assert_eq!(spec.bearer_env.as_deref(), Some("ORDERS_TOKEN"));
    let seconds = |n| Some(Duration::from_secs(n));
    let expected = WireSpec {
        headers: [("x-team".to_owned(), "red".to_owned())].into(),
        secret_headers: vec![SecretHeader {
            name: "x-api-key".into(),
            env: "ORDERS_KEY".into(),
        }],
        certificates: Some("ca.pem".into()),
        follows_redirects: true,
        connect_timeout: seconds(1),
        first_byte_timeout: seconds(2),
        idle_timeout: seconds(3),
        total_timeout: seconds(4),
        max_body_bytes: Some(5),
    };
    assert_eq!(spec.wire, expected);
}

#[test]
fn everything_a_model_can_have_is_read() {
    let lines = r#"kind = "openai"
model = "m-1"
base_url = "http://127.0.0.1:8080/v1"
api_key_env = "MODEL_KEY"
system = "Be brief."
prompt = "Sum {/upstream/fetch/rows}."
max_completion_tokens = 50
parameters = { temperature = 0, stop = ["."] }
tools = [{ name = "add", description = "Adds.", parameters = { type = "object" } }, { name = "now" }]
streaming = false
dollars_per_million_tokens = { input = 0.15, output = 0.6 }
first_token_timeout = "20s""#;
    let AgentKind::OpenAi(spec) = kind(lines) else {
        panic!("another kind");
    };
    assert_eq!(spec.max_tokens, Some((50, true)));
    assert_eq!(spec.parameters["stop"], serde_json::json!(["."]));
    assert_eq!(
        spec.tools[0].parameters,
        serde_json::json!({"type": "object"})
    );
    assert_eq!(spec.tools[1].name, "now");
    let price = spec.price.expect("it was given");
    assert_eq!((price.input, price.output), (150_000, 600_000));
    assert_eq!(spec.first_token_timeout, Some(Duration::from_secs(20)));
    assert!(!spec.streaming && spec.system.is_some() && spec.prompt.is_some());
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let model = "kind = \"openai\"\nmodel = \"m\"\n";
    let service = "kind = \"http\"\n";
    for (lines, line) in [
        (format!("{model}api_key = \"sk-hunter2\""), 3),
        (format!("{model}api_key_env = \"sk-hunter2\""), 3),
        (
            format!("{model}headers_env = {{ x-key = \"sk-hunter2\" }}"),
            3,
        ),
        (
            format!("{service}url = \"https://host\"\nbearer = \"sk-hunter2\""),
            3,
        ),
        (
            format!("{service}url = \"https://host\"\nbearer_env = \"sk-hunter2\""),
            3,
        ),
        (format!("{service}url = \"https://me:sk-hunter2@host\""), 2),
        (format!("{service}url_env = \"https://sk-hunter2\""), 2),
    ] {
        let (at, _, text) = error(&lines);
        assert_eq!(at, line, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("[redacted]"), "{text}");
    }
    let (_, column, text) = error(&format!("{model}api_key = \"sk-hunter2\""));
    assert_eq!(column, 11);
    assert!(
        text.contains("= help: name the environment variable that holds it"),
        "{text}"
    );
}

#[test]
fn a_header_that_holds_a_secret_wherever_it_is_used_is_refused() {
    let (line, column, text) =
        error("kind = \"http\"\nurl = \"https://host\"\nheaders = { Authorization = \"Basic x\" }");
    assert_eq!((line, column), (3, 13));
    assert!(text.contains("headers_env"), "{text}");
}

#[test]
fn each_fault_points_at_its_place() {
    let service = "kind = \"http\"\nurl = \"https://host\"\n";
    let model = "kind = \"openai\"\nmodel = \"m\"\n";
    for (lines, line, column, says) in [
        (
            "kind = \"http\"".to_owned(),
            0,
            9,
            "this http agent has no `url`",
        ),
        (
            "kind = \"http\"\nurl = \"ftp://x\"".into(),
            2,
            7,
            "no URL of an HTTP service",
        ),
        (
            "kind = \"http\"\nurl = \"http:///x\"".into(),
            2,
            7,
            "names no host",
        ),
        (format!("{service}url_env = \"U\""), 3, 11, "given twice"),
        (
            format!("{service}method = \"pots\""),
            3,
            10,
            "did you mean `post`?",
        ),
        (
            format!("{service}redirects = \"follow\""),
            3,
            13,
            "redirects: refuse, same_origin",
        ),
        (
            format!("{service}idle_timeout = \"0s\""),
            3,
            16,
            "allow more than 0",
        ),
        (
            format!("{service}max_body_bytes = 0"),
            3,
            18,
            "allow at least 1",
        ),
        (
            format!("{service}model = \"m\""),
            3,
            9,
            "an http agent has no `model`",
        ),
        (
            format!("{service}dir = \"x\""),
            3,
            7,
            "`dir` is for agents of kind `command`",
        ),
        (
            "kind = \"openai\"".into(),
            0,
            9,
            "this openai agent has no `model`",
        ),
        (
            "kind = \"openai\"\nmodel = \" \"".into(),
            2,
            9,
            "the model has no name",
        ),
        (
            format!("{model}max_tokens = 0"),
            3,
            14,
            "no answer could have a token",
        ),
        (
            format!("{model}max_tokens = 1\nmax_completion_tokens = 1"),
            4,
            25,
            "given twice",
        ),
        (
            format!("{model}parameters = {{ stream = true }}"),
            3,
            14,
            "use the field streaming",
        ),
        (
            format!("{model}dollars_per_million_tokens = {{ input = -1, output = 0 }}"),
            3,
            30,
            "a price is a number of dollars",
        ),
        (
            format!("{model}command = [\"x\"]"),
            3,
            11,
            "an openai agent has no `command`",
        ),
        (
            "kind = \"opanai\"\nmodel = \"m\"".into(),
            1,
            8,
            "did you mean `openai`?",
        ),
    ] {
        let (at, place, text) = error(&lines);
        // An error about the table itself points at its name, the line before its first.
        assert_eq!((at, place), (line, column), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

const FAILOVER: &str = r#"[workflow]
name = "w"
[agents.a]
kind = "failover"
targets = ["far", "near"]
weights = [3, 1]
only_if_not_run = true
[agents.far]
kind = "command"
command = ["true"]
[agents.near]
kind = "command"
command = ["true"]
[[step]]
name = "a"
"#;

#[test]
fn a_failover_names_agents_of_its_file() {
    let file = WorkflowFile::parse("f.toml", FAILOVER).expect("a good file");
    let AgentKind::Failover(spec) = &file.agents["a"].kind else {
        panic!("another kind");
    };
    assert_eq!(spec.targets, ["far", "near"]);
    assert_eq!(spec.weights, Some(vec![3, 1]));
    assert!(spec.only_if_not_run);
}

#[test]
fn faults_of_a_failover_point_at_their_place() {
    for (from, to, at, says) in [
        ("\"near\"]", "\"neer\"]", (5, 19), "did you mean `near`?"),
        ("\"near\"]", "\"a\"]", (5, 19), "its own target"),
        (
            "targets = [\"far\", \"near\"]\n",
            "",
            (3, 9),
            "has no `targets`",
        ),
        ("[\"far\", \"near\"]", "[]", (5, 11), "no target to ask"),
        ("[3, 1]", "[3]", (6, 11), "1 weights do not suit 2 targets"),
        ("[3, 1]", "[0, 0]", (6, 11), "nobody is ever the first"),
        (
            "kind = \"command\"\ncommand = [\"true\"]\n[[step]]",
            "kind = \"failover\"\ntargets = [\"far\"]\n[[step]]",
            (5, 19),
            "target `near` is a failover itself",
        ),
        (
            "kind = \"command\"\ncommand = [\"true\"]\n[agents.near]",
            "kind = \"command\"\ncommand = [\"true\"]\nfallback = \"a\"\n[agents.near]",
            (11, 12),
            "fallback `a` is a failover",
        ),
    ] {
        assert!(FAILOVER.contains(from), "{from}");
        let text = FAILOVER.replacen(from, to, 1);
        let errors = WorkflowFile::parse("f.toml", &text).expect_err(says);
        let error = &errors.errors()[0];
        assert_eq!((error.line, error.column), at, "{errors}");
        assert!(errors.to_string().contains(says), "{errors}");
    }
}
