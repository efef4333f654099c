//! Programs as agents, each test once directly and once under a supervisor.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Context, ErrorKind, Task};
use fusebox_endpoints::{CommandAgent, OutputFormat};
use serde_json::{Value, json};
use support::{Mode, Witness};
use tokio::time::Instant;

/// Runs an async test body in both modes.
macro_rules! in_both_modes {
    ($($(#[$attribute:meta])* async fn $name:ident($mode:ident: Mode) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn body($mode: Mode) $body

            #[tokio::test]
            async fn direct() {
                body(Mode::Direct).await;
            }

            #[tokio::test]
            async fn supervised() {
                body(Mode::Supervised).await;
            }
        }
    )*};
}

fn cx() -> Context {
    Context::new("run-1", "step-1")
}

async fn output(agent: CommandAgent, input: Value) -> Value {
    let reply = agent.call(Task { input }, &cx()).await;
    reply.expect("the program does its work").output
}

async fn error(agent: CommandAgent) -> AgentError {
    let reply = agent.call(Task::default(), &cx()).await;
    reply.expect_err("the program fails")
}

in_both_modes! {
    async fn json_goes_in_and_json_comes_out(mode: Mode) {
        let agent = mode.sh(r#"read input; echo "{\"got\": $input}""#);
        assert_eq!(output(agent, json!({"a": [1, 2]})).await, json!({"got": {"a": [1, 2]}}));
    }

    async fn input_ends_so_that_a_program_that_reads_it_all_ends_too(mode: Mode) {
        assert_eq!(output(mode.agent("cat", &[]), json!("text")).await, json!("text"));
    }

    async fn lines_and_text_are_wrapped(mode: Mode) {
        let agent = mode.sh("echo one; echo two").with_output(OutputFormat::Lines);
        assert_eq!(output(agent, Value::Null).await, json!({"lines": ["one", "two"]}));
        let agent = mode.sh("echo one; echo two").with_output(OutputFormat::Text);
        assert_eq!(output(agent, Value::Null).await, json!({"text": "one\ntwo\n"}));
    }

    async fn lines_on_standard_error_are_progress(mode: Mode) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let cx = cx().with_progress(move |line| {
            sink.lock().expect("no panic").push(line.to_owned());
        });
        let agent = mode.sh("echo one >&2; echo 1; printf two >&2");
        agent.call(Task::default(), &cx).await.expect("an answer");
        assert_eq!(*seen.lock().expect("no panic"), ["one", "two"]);
    }

    async fn the_environment_says_what_the_call_is(mode: Mode) {
        let script = r#"echo "$FUSEBOX_RUN $FUSEBOX_STEP $FUSEBOX_ATTEMPT $FUSEBOX_IDEMPOTENCY_KEY \
${FUSEBOX_DEADLINE_MS-no deadline} ${FUSEBOX_ARTIFACTS-no artifacts} $MINE""#;
        let agent = mode.sh(script).with_output(OutputFormat::Text).with_env("MINE", "own");
        let told = |cx: Context| {
            let agent = &agent;
            async move { agent.call(Task::default(), &cx).await.expect("an answer").output }
        };
        assert_eq!(
            told(cx()).await,
            json!({"text": "run-1 step-1 1 run-1/step-1 no deadline no artifacts own\n"})
        );
        tokio::time::pause(); // the remaining time is exact then
        let full = cx()
            .with_attempt(3)
            .with_idempotency_key("key")
            .with_deadline(Instant::now() + Duration::from_secs(90))
            .with_artifacts("/artifacts");
        // Work on a blocking thread keeps the paused clock from running ahead to the deadline.
        let (finished, wait) = std::sync::mpsc::channel::<()>();
        let clock = tokio::task::spawn_blocking(move || wait.recv());
        let full = told(full).await;
        drop(finished);
        assert!(clock.await.expect("no panic").is_err());
        assert_eq!(full, json!({"text": "run-1 step-1 3 key 90000 /artifacts own\n"}));
    }

    async fn it_starts_in_its_directory(mode: Mode) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("answer"), "42").expect("a file");
        let agent = mode.agent("cat", &["answer"]).with_dir(dir.path());
        assert_eq!(output(agent, Value::Null).await, json!(42));
        let error = error(mode.agent("cat", &[]).with_dir(dir.path().join("none"))).await;
        assert!(error.message.contains("no such directory"), "{error}");
        assert_eq!(error.kind, ErrorKind::InvalidInput);
    }

    async fn arguments_need_not_be_utf_8(mode: Mode) {
        let argument = OsString::from_vec(b"a\xffb".to_vec());
        let script = OsString::from(r#"printf %s "$1" | od -An -tx1"#);
        let agent = CommandAgent::new("agent", "sh", ["-c".into(), script, "sh".into(), argument])
            .with_output(OutputFormat::Text);
        let agent = match mode {
            Mode::Direct => agent,
            Mode::Supervised => agent.with_supervisor(support::run_command()),
        };
        assert_eq!(output(agent, Value::Null).await, json!({"text": " 61 ff 62\n"}));
    }

    async fn another_exit_code_is_a_failure_with_the_last_words(mode: Mode) {
        let error = error(mode.sh("echo first >&2; echo second >&2; echo 1; exit 3")).await;
        assert_eq!(error.kind, ErrorKind::Failed);
        assert!(error.retryable && error.may_have_run);
        assert_eq!(
            error.message,
            "program `sh` exited with code 3; last on standard error: first | second"
        );
    }

    async fn an_exit_code_that_says_so_is_final_and_charges_nobody(mode: Mode) {
        let error = error(mode.sh("echo no such place >&2; exit 66")).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(!error.retryable && error.may_have_run);
        assert!(error.message.ends_with("no such place"), "{}", error.message);
    }

    async fn exit_code_127_of_the_program_itself_is_told_from_a_missing_program(mode: Mode) {
        let error = error(mode.sh("exit 127")).await;
        assert_eq!(error.message, "program `sh` exited with code 127");
    }

    async fn death_by_signal_is_a_crash_that_names_the_signal(mode: Mode) {
        for (name, text) in [("KILL", "9 (SIGKILL)"), ("TERM", "15 (SIGTERM)")] {
            let error = error(mode.sh(&format!("kill -{name} $$"))).await;
            assert_eq!(error.kind, ErrorKind::Crashed);
            assert_eq!(error.message, format!("program `sh` was killed by signal {text}"));
        }
    }

    async fn no_json_is_an_invalid_output_that_shows_what_came_instead(mode: Mode) {
        let error = error(mode.sh("echo hello; echo why >&2")).await;
        assert_eq!(error.kind, ErrorKind::InvalidOutput);
        assert_eq!(
            error.message,
            "program `sh` printed something that is not one json document: expected value at \
             line 1 column 1; it begins with \"hello\\n\"; last on standard error: why"
        );
    }

    async fn a_program_that_prints_without_end_is_stopped_at_the_limit(mode: Mode) {
        let witness = Witness::new();
        let script = format!("{} echo up >&9; while :; do echo x; done", Witness::HOLD);
        let agent = mode.sh(&script).with_env("WITNESS", witness.path()).with_max_output(1000);
        let error = error(agent).await;
        assert_eq!(error.kind, ErrorKind::InvalidOutput);
        assert!(!error.retryable);
        assert!(error.message.contains("more than 1000 bytes"), "{error}");
        assert_eq!(witness.first_line(), "up");
        witness.gone();
    }

    async fn a_program_that_is_not_there_is_the_callers_mistake(mode: Mode) {
        for program in ["no-such-program-anywhere", "/no/such/program", ""] {
            let error = error(mode.agent(program, &["argument"])).await;
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
            assert!(!error.retryable && !error.may_have_run);
            let expected = format!("program `{program}` cannot be started: No such file");
            assert!(error.message.starts_with(&expected), "{error}");
        }
    }

    async fn a_file_that_is_no_program_is_the_callers_mistake(mode: Mode) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("data.txt");
        std::fs::write(&file, "text").expect("a file");
        let error = error(mode.agent(&file.to_string_lossy(), &[])).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains("Permission denied"), "{error}");
    }

    async fn the_deadline_kills_the_program_and_its_children(mode: Mode) {
        let witness = Arc::new(Witness::new());
        let script = format!("{} sleep 1000 & echo up >&9; sleep 1000", Witness::HOLD);
        let agent = mode.sh(&script).with_env("WITNESS", witness.path());
        // The clock stands while the blocking thread waits for the program, then runs ahead.
        tokio::time::pause();
        let cx = cx().with_deadline(Instant::now() + Duration::from_secs(5));
        let up = Arc::clone(&witness);
        let up = tokio::task::spawn_blocking(move || up.first_line());
        let (reply, up) = tokio::join!(agent.call(Task::default(), &cx), up);
        assert_eq!(up.expect("no panic"), "up");
        let error = reply.expect_err("the deadline passed");
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert!(error.message.starts_with("program `sh` was killed: "), "{error}");
        witness.gone();
    }

    async fn cancellation_kills_the_program_and_its_children(mode: Mode) {
        let witness = Arc::new(Witness::new());
        let script = format!("{} sleep 1000 & echo up >&9; sleep 1000", Witness::HOLD);
        let agent = mode.sh(&script).with_env("WITNESS", witness.path());
        let cx = cx();
        let (up, token) = (Arc::clone(&witness), cx.cancellation().clone());
        let cancel = tokio::task::spawn_blocking(move || {
            up.first_line();
            token.cancel();
        });
        let (reply, cancel) = tokio::join!(agent.call(Task::default(), &cx), cancel);
        cancel.expect("no panic");
        assert_eq!(reply.expect_err("cancelled").kind, ErrorKind::Cancelled);
        witness.gone();
    }

    async fn dropping_the_call_kills_the_program_and_its_children(mode: Mode) {
        let witness = Arc::new(Witness::new());
        let script = format!("{} sleep 1000 & echo up >&9; sleep 1000", Witness::HOLD);
        let agent = mode.sh(&script).with_env("WITNESS", witness.path());
        let up = Arc::clone(&witness);
        let up = tokio::task::spawn_blocking(move || up.first_line());
        tokio::select! {
            reply = async { agent.call(Task::default(), &cx()).await } => panic!("{reply:?}"),
            up = up => assert_eq!(up.expect("no panic"), "up"),
        }
        witness.gone();
    }

    async fn stragglers_die_when_the_program_has_answered(mode: Mode) {
        let witness = Witness::new();
        let script = format!("{} sleep 1000 & echo up >&9; echo 1", Witness::HOLD);
        let agent = mode.sh(&script).with_env("WITNESS", witness.path());
        assert_eq!(output(agent, Value::Null).await, json!(1));
        assert_eq!(witness.first_line(), "up");
        witness.gone();
    }

    async fn a_process_that_left_the_group_does_not_hold_up_the_answer(mode: Mode) {
        let witness = Witness::new();
        let release = witness.dir().join("release");
        let script = format!(
            r#"{} mkfifo "$RELEASE"; setsid sh -c 'echo up >&9; read line <"$RELEASE"' & echo 1"#,
            Witness::HOLD
        );
        let agent = mode
            .sh(&script)
            .with_env("WITNESS", witness.path())
            .with_env("RELEASE", &release);
        assert_eq!(output(agent, Value::Null).await, json!(1));
        // Killed before it could leave, or gone once released.
        let up = witness.first_line();
        if up == "up" {
            std::fs::write(&release, "\n").expect("the fifo is read");
        }
        witness.gone();
    }

    async fn a_huge_input_goes_through(mode: Mode) {
        let input = json!("x".repeat(12 << 20));
        let agent = mode.agent("cat", &[]).with_max_output(16 << 20);
        assert!(output(agent, input.clone()).await == input);
    }

    async fn a_program_may_print_a_lot_before_it_reads(mode: Mode) {
        let noise = "head -c 300000 /dev/zero | tr '\\0' '\\n'";
        let agent = mode.sh(&format!("{noise} >&2; {noise}; cat"));
        let input = json!("x".repeat(1 << 20));
        assert!(output(agent, input.clone()).await == input);
    }

    async fn a_program_need_not_read_its_input(mode: Mode) {
        let input = json!("x".repeat(4 << 20));
        assert_eq!(output(mode.sh("echo 1"), input.clone()).await, json!(1));
        assert_eq!(output(mode.sh("exec <&-; echo 1"), input).await, json!(1));
    }

    async fn a_program_that_signals_its_whole_group_is_heard_to_the_end(mode: Mode) {
        let agent = mode.sh("trap '' TERM; kill -TERM 0; echo 1");
        assert_eq!(output(agent, Value::Null).await, json!(1));
    }

    async fn a_call_that_is_late_starts_nothing(mode: Mode) {
        let dir = tempfile::tempdir().expect("a directory");
        let trace = dir.path().join("trace");
        let agent = mode.agent("touch", &[&trace.to_string_lossy()]);
        let late = cx().with_deadline(Instant::now());
        let error = agent.call(Task::default(), &late).await.expect_err("late");
        assert_eq!((error.kind, error.may_have_run), (ErrorKind::TimedOut, false));
        let gone = cx();
        gone.cancellation().cancel();
        let error = agent.call(Task::default(), &gone).await.expect_err("gone");
        assert_eq!((error.kind, error.may_have_run), (ErrorKind::Cancelled, false));
        assert!(!trace.exists());
    }

    async fn calls_may_run_at_the_same_time(mode: Mode) {
        let agent = Arc::new(mode.agent("cat", &[]));
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..16 {
            let agent = Arc::clone(&agent);
            calls.spawn(async move {
                let reply = agent.call(Task::new(number), &cx()).await;
                assert_eq!(reply.expect("an answer").output, json!(number));
            });
        }
        calls.join_all().await;
    }

    #[cfg(target_os = "linux")]
    async fn a_program_inherits_no_file_of_the_agents(mode: Mode) {
        let kinds = |listing: &str| -> Vec<String> {
            let files = listing.lines().filter_map(|line| line.split_once(" -> "));
            let mut kinds: Vec<_> = files
                .map(|(_, file)| file.split([':', '/']).next().unwrap_or_default().to_owned())
                .collect();
            kinds.sort();
            kinds
        };
        let (program, args) = ("ls", ["-l", "/proc/self/fd"]);
        // Whatever started the tests may have left files open; those are inherited by anyone.
        let plain = std::process::Command::new(program)
            .args(args)
            .stdin(std::process::Stdio::piped())
            .output()
            .expect("ls is a standard tool");
        let agent = mode.agent(program, &args).with_output(OutputFormat::Text);
        let output = output(agent, Value::Null).await;
        let listing = output["text"].as_str().expect("text");
        assert_eq!(kinds(listing), kinds(&String::from_utf8_lossy(&plain.stdout)), "{listing}");
    }
}

#[test]
fn values_of_the_environment_do_not_show() {
    let agent = CommandAgent::new("agent", "sh", ["-c", "true"]).with_env("TOKEN", "hunter2");
    let shown = format!("{agent:?}");
    assert!(
        shown.contains("TOKEN") && shown.contains("[redacted]"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}
