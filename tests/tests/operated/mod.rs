//! A run of two steps that stand at a gate, so that it can be looked at and operated meanwhile.

use fusebox_tests::{Gate, Sandbox};

const FLOW: &str = r#"
[workflow]
name = "operated"

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "first"
agent = "gated"

[[step]]
name = "second"
agent = "gated"
requires = ["first"]
"#;

/// Starts it.
pub(crate) const RUN: [&str; 5] = ["run", "operated.toml", "--id", "operated", "--json"];

pub(crate) fn sandbox() -> (Sandbox, Gate) {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    sandbox.write("operated.toml", FLOW);
    (sandbox, gate)
}
