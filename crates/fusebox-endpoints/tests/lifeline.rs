//! Nobody survives: the engine, its supervisor and the program die together, whatever kills them.

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;

use fusebox_agent::{Agent, Context, ErrorKind, Task};
use rustix::process::{Pid, Signal, kill_process};
use support::{Mode, Witness, run_command};

fn host(script: &str, witness: &Witness) -> Command {
    let mut host = Command::new(run_command());
    host.args(["sh", "-c", script])
        .env("WITNESS", witness.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    host
}

#[test]
fn an_engine_killed_with_sigkill_takes_program_and_grandchildren_with_it() {
    let witness = Witness::new();
    let script = format!("{} sleep 1000 & echo up >&9; sleep 1000", Witness::HOLD);
    let mut host = host(&script, &witness).spawn().expect("the host starts");
    assert_eq!(witness.first_line(), "up");
    host.kill().expect("the host runs");
    host.wait().expect("the host is ours");
    witness.gone();
}

#[test]
fn a_program_that_ignores_all_it_can_dies_with_the_engine() {
    let witness = Witness::new();
    let script = format!(
        "{} trap '' HUP INT TERM PIPE; exec <&- >&- 2>&-; echo up >&9; while :; do sleep 1000; done",
        Witness::HOLD
    );
    let mut host = host(&script, &witness).spawn().expect("the host starts");
    assert_eq!(witness.first_line(), "up");
    host.kill().expect("the host runs");
    host.wait().expect("the host is ours");
    witness.gone();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_supervisor_killed_from_outside_takes_the_program_with_it() {
    let witness = Arc::new(Witness::new());
    let script = format!(
        r#"{} sleep 1000 & echo "$PPID" >&9; sleep 1000"#,
        Witness::HOLD
    );
    let agent = Mode::Supervised
        .sh(&script)
        .with_env("WITNESS", witness.path());
    let up = Arc::clone(&witness);
    let kill = tokio::task::spawn_blocking(move || {
        let supervisor = up.first_line().parse().ok().and_then(Pid::from_raw);
        kill_process(supervisor.expect("a process number"), Signal::KILL)
    });
    let cx = Context::new("run", "step");
    let (reply, kill) = tokio::join!(agent.call(Task::default(), &cx), kill);
    kill.expect("no panic").expect("the supervisor ran");
    let error = reply.expect_err("nobody knows how the program would have ended");
    assert_eq!(error.kind, ErrorKind::Crashed);
    assert!(
        error
            .message
            .starts_with("the supervisor of program `sh` died"),
        "{error}"
    );
    witness.gone();
}

/// The kernel alone must do it: the engine, stopped, cannot lend a hand.
#[cfg(target_os = "linux")]
#[test]
fn a_program_dies_with_its_supervisor_without_help_from_the_engine() {
    let witness = Witness::new();
    let script = format!(r#"{} echo "$PPID" >&9; exec sleep 1000"#, Witness::HOLD);
    let mut host = host(&script, &witness).spawn().expect("the host starts");
    let supervisor = witness.first_line().parse().ok().and_then(Pid::from_raw);
    let engine = i32::try_from(host.id()).ok().and_then(Pid::from_raw);
    kill_process(engine.expect("a process number"), Signal::STOP).expect("the host runs");
    kill_process(supervisor.expect("a process number"), Signal::KILL).expect("it runs");
    witness.gone();
    host.kill().expect("the host is stopped, not gone");
    host.wait().expect("the host is ours");
}

#[test]
fn the_marker_counts_only_as_the_first_argument() {
    let output = Command::new(run_command())
        .args(["printf", "\"%s\"", "__fusebox-shim"])
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the host runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\"__fusebox-shim\"\n"
    );
}

#[test]
fn the_marker_without_a_stage_is_refused() {
    let output = Command::new(run_command()).arg("__fusebox-shim").output();
    let output = output.expect("the host runs");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("is for fusebox itself"), "{message}");
}

#[test]
fn a_supervisor_whose_engine_died_before_it_spoke_starts_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let status = Command::new(run_command())
        .args(["__fusebox-shim", "supervise", "touch"])
        .arg(&trace)
        .stdin(Stdio::null())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(2));
    assert!(!trace.exists());
}
