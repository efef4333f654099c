//! The main job: the review of a Cargo workspace under git, with the workflow file as it is shipped.

#![cfg(target_os = "linux")]

use std::fs;

use fusebox_tests::{REVIEW, Sandbox, sample_workspace};
use serde_json::Value;

const STEPS: [&str; 6] = [
    "triage",
    "supervisor",
    "data",
    "optimization",
    "aggregation",
    "completion",
];

fn names(report: &Value) -> Vec<&str> {
    let steps = report["steps"].as_array().expect("a list of steps");
    steps
        .iter()
        .filter_map(|step| step["name"].as_str())
        .collect()
}

#[test]
fn a_review_of_a_small_workspace_ends_with_reports_that_hold_its_facts() {
    let sandbox = Sandbox::new();
    let sample = sample_workspace(sandbox.path());
    let path = format!("path={}", sample.display());
    let outcome = sandbox
        .fusebox(&["run", REVIEW, "--input", &path, "--id", "small"])
        .exited(0)
        .says("run small: completed")
        .complains("completion succeeded");
    assert!(
        !outcome.stdout.contains("started"),
        "progress on stdout: {outcome}"
    );
    let reports = sandbox.state_dir().join("runs/small");
    let markdown = fs::read_to_string(reports.join("report.md")).expect("a report");
    for fact in [
        "# Workspace review: sample",
        "2 packages, 2 source files, 13 lines of Rust, 1 tests. 0 direct dependencies, 2 packages locked, 0 of them",
        "| alpha | 0.3.1 | 1 | 10 | 1 |",
        "| beta | 1.2.0 | 1 | 3 | 0 |",
        "| alpha/src/lib.rs | 10 |",
    ] {
        assert!(
            markdown.contains(fact),
            "not in report.md: {fact}\n{markdown}"
        );
    }
    let html = fs::read_to_string(reports.join("report.html")).expect("a report");
    for fact in [
        "<title>Workspace review: sample</title>",
        "<td>alpha</td>",
        "</html>",
    ] {
        assert!(html.contains(fact), "not in report.html: {fact}\n{html}");
    }
    sandbox.assert_nobody_left();
}

#[test]
fn with_json_stdout_is_one_document_with_the_documented_fields() {
    let sandbox = Sandbox::new();
    let sample = sample_workspace(sandbox.path());
    let path = format!("path={}", sample.display());
    let outcome = sandbox
        .fusebox(&["run", REVIEW, "--input", &path, "--json"])
        .exited(0);
    let report = outcome.json();
    assert_eq!(report["workflow"], "workspace-review");
    assert_eq!(report["status"], "completed");
    assert!(
        report["run"]
            .as_str()
            .is_some_and(|run| run.starts_with("workspace-review-"))
    );
    let file = report["report"].as_str().expect("the path of the report");
    assert!(
        fs::metadata(file).is_ok_and(|data| data.len() > 0),
        "{file}"
    );
    assert_eq!(names(&report), STEPS);
    for step in report["steps"].as_array().expect("a list") {
        assert_eq!(step["status"], "succeeded", "{step}");
        assert_eq!(step["breaker"], "closed", "{step}");
        assert!(step["reason"].is_null(), "{step}");
        assert!(step["duration_ms"].is_u64(), "{step}");
        assert!(step["attempts"].as_u64() >= Some(1), "{step}");
        assert_eq!(step["executions"], step["attempts"], "{step}");
        let digest = step["output_sha256"].as_str().unwrap_or_default();
        assert_eq!(digest.len(), 64, "{step}");
    }
    assert_eq!(outcome.stderr, "", "nobody watches a run with --json");
}

#[test]
fn a_shown_run_is_the_run_that_was_reported() {
    let sandbox = Sandbox::new();
    let sample = sample_workspace(sandbox.path());
    let path = format!("path={}", sample.display());
    let run = ["run", REVIEW, "--input", &path, "--id", "seen", "--json"];
    let reported = sandbox.fusebox(&run).exited(0).json();
    let shown = sandbox
        .fusebox(&["show", "seen", "--json"])
        .exited(0)
        .json();
    for field in ["run", "workflow", "status", "report"] {
        assert_eq!(shown[field], reported[field], "{field}");
    }
    for (shown, reported) in shown["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(reported["steps"].as_array().into_iter().flatten())
    {
        for field in ["name", "status", "executions", "output_sha256"] {
            assert_eq!(shown[field], reported[field], "{field}");
        }
    }
    assert_eq!(names(&shown), STEPS);
    let listed = sandbox.fusebox(&["runs", "--json"]).exited(0).json();
    assert_eq!(listed["runs"][0]["run"], "seen");
    assert_eq!(listed["runs"][0]["status"], "completed");
}

#[test]
fn a_directory_that_is_not_under_git_is_refused_by_the_agent_and_the_reason_is_kept() {
    let sandbox = Sandbox::new();
    let bare = sandbox.path().join("bare");
    fs::create_dir(&bare).expect("the test's directory can be written");
    let path = format!("path={}", bare.display());
    // A repository around the directory for temporary files is none of ours.
    let ceiling = sandbox.path().to_owned();
    let sandbox = sandbox.with_env("GIT_CEILING_DIRECTORIES", ceiling);
    let report = sandbox
        .fusebox(&["run", REVIEW, "--input", &path, "--json"])
        .exited(4)
        .json();
    assert_eq!(
        report["steps"][0]["executions"], 1,
        "trying again will not help: {report}"
    );
    let reason = report["steps"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("is not under git; give another directory"),
        "{reason}"
    );
    assert_eq!(report["steps"][1]["status"], "shielded");
    assert!(report["report"].is_null(), "{report}");
}
