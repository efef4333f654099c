//! The view in the terminal, at a real terminal and a real run.

#![cfg(target_os = "linux")]

use fusebox_tests::{Gate, Running, Sandbox, Terminal, eventually};

const FLOW: &str = r#"
[workflow]
name = "watched"
objective = "10m"

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[agents.writer]
kind = "command"
command = ["echo", '"written"']

[[step]]
name = "first"
agent = "gated"

[[step]]
name = "second"
agent = "gated"
requires = ["first"]

[[step]]
name = "report"
agent = "writer"
requires = ["second"]
"#;

const TOP: [&str; 3] = ["top", "--state-dir", "state"];
const DOWN: &str = "\x1b[B";

/// A run whose first step waits at a gate.
fn run() -> (Sandbox, Gate, Running) {
    let sandbox = Sandbox::new().with_env("USER", "ops");
    let gate = Gate::new(sandbox.path());
    sandbox.write("watched.toml", FLOW);
    let running = sandbox.start(&["run", "watched.toml", "--id", "watched", "--json"]);
    gate.arrived("first", 1);
    (sandbox, gate, running)
}

fn state(sandbox: &Sandbox) -> serde_json::Value {
    let engines = sandbox.fusebox(&["breakers", "--json"]).exited(0).json();
    engines["engines"][0]["health"]["agents"][0].clone()
}

/// Presses `f`, gives a reason, and waits until the view shows what follows.
fn force_open(top: &mut Terminal) {
    top.until_all(&["✓ closed", "gated", "first"]);
    top.press("f");
    top.until("force gated open until it is released?");
    // Without a reason nothing is done.
    top.press("\r");
    top.press("vendor called\r");
    top.until_all(&["! forced_open", "vendor called"]);
}

#[test]
fn a_forced_breaker_is_seen_at_every_size_and_released_by_a_key() {
    for (columns, rows) in [(80, 24), (160, 50)] {
        let (sandbox, gate, running) = run();
        let mut top = sandbox.start_in_terminal(&TOP, columns, rows);
        force_open(&mut top);
        assert_eq!(state(&sandbox)["state"], "forced_open");
        gate.open(1);
        eventually("the second step to wait", || {
            (state(&sandbox)["waiting"] == 1).then_some(())
        });
        top.press("x");
        let screen = top.until_all(&["second waits", "0      1", "watched watched  0", "q quit"]);
        let kept = format!("{columns}x{rows}");
        assert_screen(&kept, &normalised(&screen, running.pid()));

        top.press("r");
        top.until("release gated?");
        top.press("it is back\r");
        gate.arrived("second", 1);
        assert_eq!(state(&sandbox)["state"], "closed");
        gate.open(1);
        let report = running.wait().exited(0).json();
        assert_eq!(report["status"], "completed");
        // The engine has gone, the run is in the store.
        top.until_all(&["no engine", "✓ completed"]);
        top.press("q");
        assert_eq!(top.wait(), Some(0));
        assert!(top.is_for_lines() && !top.is_covered());
        sandbox.assert_nobody_left();
    }
}

#[test]
fn a_breaker_is_only_judged_for_a_time_that_is_chosen() {
    let (sandbox, gate, running) = run();
    let mut top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until_all(&["✓ closed", "gated"]);
    top.press("m\t");
    top.until_all(&["judge gated without consequence for 5m?", "Tab changes"]);
    top.press("drill\r");
    top.until_all(&["- metrics_only", "drill"]);
    assert_eq!(state(&sandbox)["state"], "metrics_only");
    gate.open(2);
    running.wait().exited(0);
    top.press("q");
    assert_eq!(top.wait(), Some(0));
}

#[test]
fn a_run_is_cancelled_by_a_key() {
    let (sandbox, _gate, running) = run();
    let mut top = sandbox.start_in_terminal(&TOP, 100, 30);
    top.until_all(&["> running", "watched"]);
    top.press("\tc");
    top.until("cancel run watched?");
    top.press("wrong input\r");
    let report = running.wait().exited(7).json();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("cancelled by ops: wrong input"),
        "{reason}"
    );
    top.until("✗ cancelled");
    top.press("q");
    assert_eq!(top.wait(), Some(0));
}

#[test]
fn engines_come_and_go_while_it_is_looked_at() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    sandbox.write("watched.toml", FLOW);
    // Nothing is there yet, not even a directory.
    let mut top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until_all(&["no engine", "runs 0"]);
    let running = sandbox.start(&["run", "watched.toml", "--id", "late"]);
    gate.arrived("first", 1);
    top.until_all(&["1 engine", "late", "✓ closed"]);
    let _ = running.kill();
    top.until_all(&["no engine", "breakers 0"]);
    top.press("q");
    assert_eq!(top.wait(), Some(0));
}

#[test]
fn the_terminal_is_given_back_on_ctrl_c_and_on_a_signal() {
    let sandbox = Sandbox::new();
    let mut top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until("no engine");
    assert!(!top.is_for_lines() && top.is_covered());
    top.press("\x03");
    assert_eq!(top.wait(), Some(0));
    assert!(top.is_for_lines() && !top.is_covered());

    let mut top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until("no engine");
    top.terminate();
    assert_eq!(top.wait(), Some(0));
    assert!(top.is_for_lines() && !top.is_covered());
}

#[test]
fn it_is_drawn_without_colour_where_that_is_asked_for() {
    let (sandbox, _gate, _running) = run();
    let top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until_all(&["✓ closed", "✓ healthy"]);
    assert!(top.is_coloured(), "{top:?}");
    let sandbox = sandbox.with_env("NO_COLOR", "1");
    let top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until_all(&["✓ closed", "✓ healthy"]);
    assert!(!top.is_coloured(), "{top:?}");
}

#[test]
fn the_help_names_every_key_and_rows_can_be_filtered() {
    let (sandbox, _gate, _running) = run();
    let mut top = sandbox.start_in_terminal(&TOP, 80, 24);
    top.until_all(&["gated", "writer"]);
    top.press("?");
    top.until_all(&["force it open", "cancel a run"]);
    top.press(" /writ");
    top.until("show only: writ_");
    top.press("\r");
    let screen = top.until_all(&["breakers 1 of 2", "only: writ"]);
    assert!(!screen.contains("gated"), "{screen}");
    top.press("\x1b");
    top.until("breakers 2 ");
    top.press(DOWN);
    top.until("> ✓ closed       writer");
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let sandbox = Sandbox::new();
    sandbox
        .start_as_is(&TOP)
        .wait()
        .exited(2)
        .complains("needs a terminal")
        .complains("fusebox breakers");
}

/// Times and process numbers, by something that is always the same.
fn normalised(screen: &str, pid: u32) -> String {
    // In a column of 8, or at the end of a line.
    let screen = screen.replace(&format!("{pid:<8}"), &format!("{:8}", "PID"));
    let screen = screen.replace(&pid.to_string(), "PID");
    screen.lines().map(|line| times(line) + "\n").collect()
}

fn times(line: &str) -> String {
    let mut line = line.to_owned();
    // A clock.
    let bytes = line.clone().into_bytes();
    for (at, window) in bytes.windows(8).enumerate() {
        let fits = |(place, byte): (usize, &u8)| match place {
            2 | 5 => *byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if window.iter().enumerate().all(fits) {
            line.replace_range(at..at + 8, "00:00:00");
        }
    }
    // How long ago, in a column of 16, and how long it took.
    if let Some(end) = line.find(" ago") {
        let begin = line[..end].trim_end_matches([' ', '.', 'm', 's']);
        let begin = begin
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .len();
        let after = line.get(begin + 16..).unwrap_or_default().to_owned();
        line.truncate(begin);
        line = format!("{line}{:16}{after}", "TIME ago")
            .trim_end()
            .to_owned();
    }
    if let Some((before, _)) = line.split_once(" attempt in ") {
        line = format!("{before} attempt in TIME");
    }
    line
}

/// Compares with the kept screen. `FUSEBOX_KEEP_SCREENS=1` keeps this one instead.
fn assert_screen(name: &str, screen: &str) {
    let path = format!(
        "{}/tests/screens/top-{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("FUSEBOX_KEEP_SCREENS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, screen).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == screen,
        "{path} shows another screen; FUSEBOX_KEEP_SCREENS=1 keeps this one:\n{screen}"
    );
}
