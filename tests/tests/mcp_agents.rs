//! Tools of a Model Context Protocol server as agents of the command.

#![cfg(target_os = "linux")]

use fusebox_tests::Sandbox;

/// A server in a shell: it shakes hands, and answers each call with what it was called with.
const SERVER: &str = r#"
echo "started $1" >> "$WITNESS"
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}}\n' "$id" ;;
    *'"die"'*)
      echo 'out of paper' >&2; exit 3 ;;
    *'"break"'*)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"the index is broken"}}\n' "$id" ;;
    *'"tools/call"'*)
      text=$(printf '%s' "$line" | sed -n 's/.*"text":"\([^"]*\)".*/\1/p')
      echo "called with $text" >> "$WITNESS"
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":{"said":"%s"}}}\n' "$id" "$text" ;;
  esac
done
"#;

const FLOW: &str = r#"
[workflow]
name = "tools"

[input.word]

[mcp.shell]
command = ["sh", "server.sh", "{input.word}"]

[agents.first]
kind = "mcp"
server = "shell"
tool = "say"
arguments = { text = "{/input/word}" }
output_schema = { type = "object", required = ["said"] }

[agents.second]
kind = "mcp"
server = "shell"
tool = "say"
arguments = { text = "{/upstream/first/said} again" }

[[step]]
name = "first"

[[step]]
name = "second"
requires = ["first"]
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let witness = sandbox.path().join("witness");
    let sandbox = sandbox.with_env("WITNESS", witness);
    sandbox.write("server.sh", SERVER);
    sandbox.write("flow.toml", FLOW);
    sandbox
}

#[test]
fn two_tools_of_a_server_share_its_process_and_nobody_is_left() {
    let sandbox = sandbox();
    sandbox.fusebox(&["check", "flow.toml"]).exited(0);
    let run = [
        "run",
        "flow.toml",
        "--id",
        "one",
        "--input",
        "word=paper",
        "--json",
    ];
    let outcome = sandbox.fusebox(&run).exited(0);
    assert_eq!(outcome.json()["status"], "completed", "{outcome}");
    let witness = std::fs::read_to_string(sandbox.path().join("witness"));
    let expected = "started paper\ncalled with paper\ncalled with paper again\n";
    assert_eq!(witness.expect("it was started"), expected);
    sandbox.assert_nobody_left();
}

#[test]
fn a_server_that_dies_fails_its_step_in_its_own_words() {
    let sandbox = sandbox();
    let dying = FLOW.replacen("tool = \"say\"", "tool = \"die\"\nmax_attempts = 1", 1);
    sandbox.write("flow.toml", &dying);
    let run = [
        "run",
        "flow.toml",
        "--input",
        "word=x",
        "--no-wait",
        "--json",
    ];
    let outcome = sandbox.fusebox(&run).exited(5);
    let reason = outcome.json()["steps"][0]["reason"].to_string();
    assert!(reason.contains("exited with code 3"), "{reason}");
    assert!(reason.contains("out of paper"), "{reason}");
    sandbox.assert_nobody_left();
}

#[test]
fn a_placeholder_that_nothing_fills_is_an_error_of_the_file() {
    let sandbox = sandbox();
    sandbox.write("flow.toml", &FLOW.replace("{input.word}", "{input.none}"));
    let checked = sandbox.fusebox(&["check", "flow.toml"]).exited(2);
    let said = checked.to_string();
    assert!(said.contains("there is no input `none`"), "{said}");
}

/// `first` is a tool that fails so, and whose step goes on with a stand-in; then `second` is asked, which is well.
fn failing(tool: &str, breaker: &str) -> String {
    let stand_in = "fallback = \"stand_in\"\nmax_attempts = 2\nretry_base = \"1ms\"";
    let flow = FLOW
        .replacen(
            "tool = \"say\"",
            &format!("tool = \"{tool}\"\n{stand_in}"),
            1,
        )
        .replace("\n[agents.first]", &format!("{breaker}\n[agents.first]"));
    let command = r#"command = ["echo", '{ "said": "nothing" }']"#;
    format!("{flow}\n[agents.stand_in]\nkind = \"command\"\n{command}\n")
}

const BREAKER: &str = "breaker = { consecutive_failures = 2, wait_duration_in_open = \"60s\" }\n";

const RUN: [&str; 8] = [
    "run",
    "flow.toml",
    "--id",
    "one",
    "--input",
    "word=x",
    "--no-wait",
    "--json",
];

fn calls(sandbox: &Sandbox) -> usize {
    let witness = std::fs::read_to_string(sandbox.path().join("witness"));
    let witness = witness.expect("the server was started");
    witness.matches("called with").count()
}

#[test]
fn a_server_that_dies_opens_its_one_breaker_for_all_its_tools() {
    let sandbox = sandbox();
    sandbox.write("flow.toml", &failing("die", BREAKER));
    let outcome = sandbox.fusebox(&RUN).exited(5);
    let steps = &outcome.json()["steps"];
    // The second tool is well, and is not asked: the server is known to be away.
    assert_eq!(calls(&sandbox), 0);
    assert_eq!(steps[1]["status"], "waiting", "{outcome}");
    let reason = steps[1]["reason"].to_string();
    assert!(reason.contains("mcp.shell"), "{reason}");
    // Neither tool is to blame.
    assert_eq!(steps[0]["breaker"], "closed", "{outcome}");
    assert_eq!(steps[1]["breaker"], "closed", "{outcome}");
    let shown = sandbox.fusebox(&["show", "one"]).exited(0).to_string();
    assert!(shown.contains("mcp.shell"), "{shown}");
    // Another process that goes on with the run knows it.
    let resume = ["resume", "one", "--no-wait", "--json"];
    sandbox.fusebox(&resume).exited(5);
    assert_eq!(calls(&sandbox), 0);
    sandbox.assert_nobody_left();
}

#[test]
fn a_tool_that_fails_charges_itself_and_not_its_server() {
    let sandbox = sandbox();
    sandbox.write("flow.toml", &failing("break", BREAKER));
    let outcome = sandbox.fusebox(&RUN).exited(3);
    assert_eq!(
        outcome.json()["steps"][1]["status"],
        "succeeded",
        "{outcome}"
    );
    assert_eq!(calls(&sandbox), 1);
}

/// The control: without a breaker of its own, a server that is away is found out by each tool.
#[test]
fn a_server_without_a_breaker_is_asked_for_each_tool() {
    let sandbox = sandbox();
    // Time to be started again after its two deaths.
    let patient = failing("die", "").replace(
        "arguments = { text = \"{/upstream/first/said} again\" }",
        "arguments = { text = \"{/upstream/first/said} again\" }\nmax_attempts = 5\nretry_base = \"500ms\"",
    );
    sandbox.write("flow.toml", &patient);
    let outcome = sandbox.fusebox(&RUN).exited(3);
    assert_eq!(calls(&sandbox), 1, "{outcome}");
}

#[test]
fn what_is_wrong_with_a_breaker_of_a_server_is_told_where_it_stands() {
    let sandbox = sandbox();
    let wrong = "breaker = { preset = \"agnt\" }\n";
    sandbox.write("flow.toml", &failing("die", wrong));
    let said = sandbox
        .fusebox(&["check", "flow.toml"])
        .exited(2)
        .to_string();
    assert!(said.contains("preset `agnt` does not exist"), "{said}");
    assert!(said.contains("did you mean `agent`"), "{said}");
}
