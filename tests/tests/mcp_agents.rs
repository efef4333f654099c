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
