//! `fusebox lab`: plans played from the command line, on virtual time and on real time.

#![cfg(target_os = "linux")]

use fusebox_tests::{Gate, Sandbox};

const FLOW: &str = r#"
[workflow]
name = "small"
objective = "20s"

[agents.ask]
kind = "command"
command = ["sh", "-c", 'echo "{}"']
max_attempts = 1
retry_cap = "1s"
consecutive_failures = 2
window_size = 10
minimum_number_of_calls = 10
wait_duration_in_open = "2s"
successes_to_close = 1
recovery_objective = "15s"

[[step]]
name = "ask"
"#;

const OUTAGE: &str = r#"
workflow = "small.toml"
duration = "20s"
every = "500ms"
seeds = 2

[agents.ask]
latency = { median = "100ms", p99 = "1s" }

[[faults]]
agent = "ask"
kind = "api"
from = "5s"
for = "8s"

[targets]
availability = 0.99
calls_in_vain = 40
"#;

fn sandbox(plan: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", FLOW);
    sandbox.write("plan.toml", plan);
    sandbox
}

#[test]
fn a_plan_is_shown_as_a_table_with_both_sides_and_what_came_of_objectives_and_targets() {
    let outcome = sandbox(OUTAGE).fusebox(&["lab", "plan.toml"]).exited(0);
    for text in [
        "plan.toml: small (virtual time; stand-ins answer for the agents)",
        "runs: one every 500 ms for 20.0 s, 2 seeds; objective 20.0 s",
        "fault: ask: api, every attempt from 5.0 s to 13.0 s",
        "| protected | without breakers |",
        "✓ target met: availability 100.0 %, wanted at least 99.0 %",
        "✓ 15.0 s: met 2 of 2",
    ] {
        assert!(
            outcome.stdout.contains(text),
            "{text} in\n{}",
            outcome.stdout
        );
    }
}

#[test]
fn two_runs_of_the_command_give_the_same_document_to_the_byte() {
    let sandbox = sandbox(OUTAGE);
    let document = || {
        sandbox
            .fusebox(&["lab", "plan.toml", "--json"])
            .exited(0)
            .stdout
    };
    let (one, other) = (document(), document());
    assert!(one.len() > 1000 && one == other);
    // Other draws would have given another: sameness is not for want of chance.
    sandbox.write("plan.toml", &OUTAGE.replace("seeds = 2", "seeds = 3"));
    assert_ne!(one, document());
}

#[test]
fn a_missed_target_is_named_and_is_the_exit_code() {
    let plan = OUTAGE.replace("calls_in_vain = 40", "calls_in_vain = 2");
    let outcome = sandbox(&plan).fusebox(&["lab", "plan.toml"]).exited(1);
    let missed = "✗ target missed: calls in vain";
    assert!(outcome.stdout.contains(missed), "{}", outcome.stdout);
    let document = sandbox(&plan)
        .fusebox(&["lab", "plan.toml", "--json"])
        .exited(1)
        .json();
    assert_eq!(document["targets"][1]["is_met"], false);
    assert_eq!(document["targets"][0]["is_met"], true);
}

#[test]
fn faults_of_a_plan_are_told_with_their_places_and_nothing_is_played() {
    let plan = OUTAGE
        .replace("agent = \"ask\"", "agent = \"aks\"")
        .replace("0.99", "99");
    let sandbox = sandbox(&plan);
    sandbox
        .fusebox(&["lab", "plan.toml"])
        .exited(2)
        .complains("plan.toml:11:9: the workflow has no agent `aks`")
        .complains("did you mean `ask`?")
        .complains("plan.toml:17:16: 99 is no share");
    let document = sandbox
        .fusebox(&["lab", "plan.toml", "--json"])
        .exited(2)
        .json();
    assert_eq!(document["errors"][0]["line"], 11, "{document}");
    sandbox
        .fusebox(&["lab", "gone.toml"])
        .exited(2)
        .complains("give the path of a plan");
    sandbox.write("small.toml", &FLOW.replace("[[step]]", "[[stop]]"));
    sandbox
        .fusebox(&["lab", "plan.toml"])
        .exited(2)
        .complains("plan.toml:17:16: 99 is no share")
        .complains("small.toml:18:3: unknown field");
}

#[test]
fn a_page_has_the_figures_and_the_plots_and_runs_nothing() {
    let hostile = OUTAGE.replace("[[faults]]", "[input]\n\"<script>\" = \"1\"\n[[faults]]");
    let sandbox = sandbox(OUTAGE);
    sandbox
        .fusebox(&["lab", "plan.toml", "--html", "<plan>.html"])
        .exited(0)
        .says("page: <plan>.html");
    let page = std::fs::read_to_string(sandbox.path().join("<plan>.html")).unwrap();
    for tag in ["<script", "<img", "<link", "href=", "src="] {
        assert!(!page.contains(tag), "{tag} in {page}");
    }
    for part in [
        "What came out",
        "availability",
        "Over time",
        "Calls of ask a second",
        "Breakers",
        "met 2 of 2",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 5);
    sandbox.write("plan.toml", &hostile);
    sandbox
        .fusebox(&["lab", "plan.toml"])
        .exited(2)
        .complains("no input `<script>`");
}

#[test]
fn a_page_that_cannot_be_written_takes_nothing_from_what_was_measured() {
    let outcome =
        sandbox(OUTAGE).fusebox(&["lab", "plan.toml", "--json", "--html", "gone/page.html"]);
    let outcome = outcome
        .exited(1)
        .complains("give another file behind --html");
    assert_eq!(outcome.json()["sides"][0]["runs"]["begun"], 80);
}

/// The example of the README, with one seed of its ten.
#[test]
fn the_example_shows_what_the_breakers_buy() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/lab");
    let file = |name: &str| std::fs::read_to_string(format!("{directory}/{name}")).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("workflow.toml", &file("workflow.toml"));
    let plan = file("supervisor-outage.toml").replace("seeds = 10", "seeds = 1");
    sandbox.write("plan.toml", &plan);
    let document = sandbox
        .fusebox(&["lab", "plan.toml", "--json"])
        .exited(0)
        .json();
    let in_vain = |side: usize| {
        document["sides"][side]["calls"]["in_vain"]
            .as_u64()
            .unwrap()
    };
    assert!(
        100 * in_vain(0) < in_vain(1),
        "{} of {}",
        in_vain(0),
        in_vain(1)
    );
    assert_eq!(document["sides"][0]["runs"]["availability_ratio"], 1.0);
}

const REAL: &str = r#"
workflow = "small.toml"
time = "real"
duration = "400ms"
every = "100ms"
"#;

#[test]
fn real_agents_are_called_only_when_somebody_says_yes() {
    let sandbox = sandbox(REAL);
    sandbox
        .fusebox(&["lab", "plan.toml"])
        .exited(2)
        .complains("calls the real agents of `small`: about 4 runs with breakers, then 4 without")
        .complains("add --yes");
    let document = sandbox
        .fusebox(&["lab", "plan.toml", "--yes", "--json"])
        .exited(0)
        .json();
    assert_eq!(document["plan"]["answered_by"], "agents");
    for side in 0..2 {
        let figures = &document["sides"][side];
        assert_eq!(figures["runs"]["completed"], 4, "{document}");
        assert_eq!(figures["calls"]["made"], 4, "{document}");
    }
    sandbox.assert_nobody_left();
}

#[test]
fn faults_are_put_on_top_of_real_agents() {
    let fault = "[[faults]]\nagent = \"ask\"\nkind = \"api\"\n[targets]\navailability = 0.5";
    let sandbox = sandbox(&format!("{REAL}{fault}"));
    sandbox.write(
        "small.toml",
        &FLOW.replace("objective = \"20s\"", "objective = \"1s\""),
    );
    let document = sandbox
        .fusebox(&["lab", "plan.toml", "--yes", "--json"])
        .exited(1)
        .json();
    for side in 0..2 {
        let figures = &document["sides"][side];
        assert_eq!(figures["runs"]["availability_ratio"], 0.0, "{document}");
        assert_eq!(
            figures["calls"]["in_vain"], figures["calls"]["made"],
            "{document}"
        );
    }
}

#[test]
fn ctrl_c_ends_a_measurement_in_order_and_what_was_measured_is_told() {
    let sandbox = sandbox(&REAL.replace("400ms", "1h"));
    let gate = Gate::new(sandbox.path());
    let gated = FLOW.replace("\"-c\", 'echo \"{}\"'", "\"gated.sh\"");
    sandbox.write("small.toml", &gated);
    let running = sandbox.start(&["lab", "plan.toml", "--yes", "--json"]);
    gate.arrived("ask", 2);
    running.interrupt();
    let outcome = running
        .wait()
        .exited(7)
        .complains("stopping: what was measured is told");
    let document = outcome.json();
    assert_eq!(document["is_interrupted"], true);
    assert_eq!(document["sides"].as_array().unwrap().len(), 1);
    assert!(
        document["sides"][0]["runs"]["cut_off"].as_u64() >= Some(2),
        "{document}"
    );
    assert!(document["difference"].is_null());
    sandbox.assert_nobody_left();
}
