//! A run that waits for a person, from the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const FILE: &str = r#"
[workflow]
name = "release"

[agents.ship]
kind = "command"
command = ["echo", '"shipped"']

[[step]]
name = "go"
approval = { prompt = "ship it?" }

[[step]]
name = "ship"
requires = ["go"]
"#;

/// A directory of its own, removed at the end.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("fusebox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("release.toml"), FILE).unwrap();
        Self(directory)
    }

    fn fusebox(&self, arguments: &[&str]) -> (i32, Value) {
        let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_fusebox"))
            .args(arguments)
            .arg("--json")
            .current_dir(&self.0)
            .output()
            .unwrap();
        let document = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
        (status.code().unwrap(), document)
    }

    fn suspended(&self) {
        let (code, report) = self.fusebox(&["run", "release.toml", "--id", "r"]);
        assert_eq!(
            (code, &report["status"]),
            (6, &"suspended".into()),
            "{report}"
        );
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}

#[test]
fn a_suspended_run_goes_on_after_it_is_approved() {
    let sandbox = Sandbox::new("approved");
    sandbox.suspended();
    let (code, decided) = sandbox.fusebox(&["approve", "r", "go", "--by", "ada"]);
    assert_eq!(
        (code, &decided["status"]),
        (0, &"waiting".into()),
        "{decided}"
    );
    let (code, report) = sandbox.fusebox(&["resume", "r"]);
    assert_eq!(
        (code, &report["status"]),
        (0, &"completed".into()),
        "{report}"
    );
}

#[test]
fn a_rejected_run_fails_with_the_reason_that_was_given() {
    let sandbox = Sandbox::new("rejected");
    sandbox.suspended();
    let reject = [
        "approve", "r", "go", "--reject", "--reason", "too late", "--by", "ada",
    ];
    assert_eq!(sandbox.fusebox(&reject).0, 0);
    let (code, report) = sandbox.fusebox(&["resume", "r"]);
    assert_eq!(
        (code, &report["reason"]),
        (4, &"go: rejected by ada: too late".into()),
        "{report}"
    );
}

#[test]
fn what_cannot_be_decided_is_misuse() {
    let sandbox = Sandbox::new("misused");
    assert_eq!(
        sandbox.fusebox(&["approve", "r", "go"]).0,
        2,
        "there is no run"
    );
    sandbox.suspended();
    let (code, error) = sandbox.fusebox(&["approve", "r", "ship"]);
    assert_eq!(code, 2);
    assert!(
        error["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("those that do: go"),
        "{error}"
    );
    assert_eq!(sandbox.fusebox(&["approve", "r", "go"]).0, 0);
    assert_eq!(
        sandbox.fusebox(&["approve", "r", "go"]).0,
        2,
        "it is decided"
    );
}
