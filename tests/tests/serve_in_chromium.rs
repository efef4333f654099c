//! The page of `fusebox serve` in a browser: an outage seen from its opening to the recovery, actions by hand, a crowd.

#![cfg(target_os = "linux")]

mod serving;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fusebox::state::EmbeddedStore;
use fusebox::{Engine, Reply, Resilience, RunId, RunOptions, Step, Workflow, agent_fn};
use fusebox_tests::{Browser, FakeEngine, Sandbox};
use serde_json::{Value, json};
use serving::serve;

/// `search` is away while there is a file `outage`, `publish` waits for a person.
const FLOW: &str = r#"
[workflow]
name = "nightly"
outputs = ["report", "publish"]

[agents.fetch]
kind = "command"
command = ["sh", "-c", 'echo "{\"rows\": 3}"']

[agents.search]
kind = "command"
command = ["sh", "-c", 'test ! -e outage && echo "{}"']
consecutive_failures = 2
failure_rate_threshold = 1.0
wait_duration_in_open = "6s"
max_wait_duration_in_open = "6s"
successes_to_close = 1
max_attempts = 1
retry_cap = "100ms"
recovery_objective = "60s"

[agents.rank]
kind = "command"
command = ["sh", "-c", 'echo "{}"']

[agents.write]
kind = "command"
command = ["sh", "-c", 'echo "{}"']

[[step]]
name = "fetch"

[[step]]
name = "search"
requires = ["fetch"]

[[step]]
name = "rank"
requires = ["search"]

[[step]]
name = "summary"
agent = "write"
requires = ["fetch"]

[[step]]
name = "report"
agent = "write"
requires = ["rank", "summary"]

[[step]]
name = "publish"
requires = ["report"]
approval = { prompt = "publish the report?" }
"#;

fn state_of(agent: &str, state: &str) -> String {
    format!("document.querySelector('tr[data-agent={agent}]')?.dataset.state === '{state}'")
}

fn status_of(step: &str, status: &str) -> String {
    format!("document.querySelector('.node[data-step={step}]')?.dataset.status === '{status}'")
}

/// What is said of an agent's outage against its objective.
fn outage_of(agent: &str, text: &str) -> String {
    format!(
        "document.querySelector('#objectives-rows tr[data-agent={agent}]')?.lastElementChild.innerText.includes('{text}')"
    )
}

#[test]
fn an_outage_opens_shields_and_recovers_on_the_page_in_chromium() {
    let sandbox = Sandbox::new();
    sandbox.write("nightly.toml", FLOW);
    let outage = sandbox.write("outage", "");
    let (_serving, url) = serve(&sandbox, &[]);
    let mut browser = Browser::start();
    browser.resize(1440, 1000);
    browser.prefer("light");
    browser.visit(&url);
    browser.until("document.body.innerText.includes('no engine runs here')");
    browser.picture("idle", false);

    let run = sandbox.start(&["run", "nightly.toml", "--id", "tonight", "--json"]);
    browser.until(&state_of("search", "open"));
    browser.until(&status_of("rank", "shielded"));
    browser.until(&status_of("report", "shielded"));
    browser.until("document.querySelector('.node[data-step=rank]').textContent.includes('shielded by search')");
    // Not by colour alone: the word and the figures are there too.
    browser.until("document.querySelector('tr[data-agent=search]').innerText.includes('consecutive failures')");
    browser.until(
        "document.querySelector('tr[data-agent=search] .badge span').textContent === 'open'",
    );
    // The outage that goes on is told before anything is over.
    browser.until("document.querySelector('#objectives-count').textContent === '1 away now'");
    browser.until(&outage_of("search", "away since"));
    browser.until(&outage_of("search", "of 1 min, next probe"));
    browser.picture("outage-light", false);
    browser.prefer("dark");
    browser.picture("outage-dark", true);
    browser.resize(380, 800);
    browser.until("document.querySelector('#graph > .tall')");
    browser.until("document.documentElement.scrollWidth <= 380");
    browser.picture("outage-phone", true);
    browser.resize(1440, 1000);

    // A person refuses every call, with a reason that the engine then has.
    browser.click("tr[data-agent=search] button");
    browser.click("#act input[value=force-open]");
    browser.fill("#act-reason", "vendor called");
    browser.fill("#act-by", "ops");
    browser.picture("act-dark", false);
    browser.click("#act-go");
    browser.until(&state_of("search", "forced_open"));
    browser.until(
        "document.querySelector('tr[data-agent=search]').innerText.includes('vendor called')",
    );
    let engines = sandbox.fusebox(&["breakers", "--json"]).exited(0).json();
    let agents = engines["engines"][0]["health"]["agents"]
        .as_array()
        .cloned();
    let search = agents
        .into_iter()
        .flatten()
        .find(|it| it["agent"] == "search");
    assert_eq!(search.expect("it is there")["state"], "forced_open");

    // The outage ends, and so does the override.
    fs::remove_file(&outage).expect("it is there");
    browser.click("tr[data-agent=search] button");
    browser.click("#act input[value=release]");
    browser.fill("#act-reason", "vendor is back");
    browser.click("#act-go");
    browser.until(&status_of("search", "succeeded"));
    browser.until("document.querySelector('#events-rows').innerText.includes('recovered')");
    browser.until(&status_of("publish", "suspended"));
    run.wait().exited(6);

    // Suspended: a person decides on the page, and goes on there.
    browser.until("document.querySelector('#questions').innerText.includes('publish the report?')");
    browser.prefer("light");
    browser.picture("suspended-light", true);
    browser.click("#questions button");
    browser.fill("#act-reason", "read it");
    browser.click("#act-go");
    browser.until("!document.querySelector('#act').open");
    browser.click("#run-actions [data-action=resume]");
    browser.fill("#act-reason", "approved");
    browser.click("#act-go");
    browser.until(&status_of("publish", "succeeded"));
    browser.until("document.querySelector('#run-status').innerText.includes('completed')");
    browser.picture("completed-light", true);
    assert!(
        browser.complaints().is_empty(),
        "{:?}",
        browser.complaints()
    );
    let report = sandbox
        .fusebox(&["show", "tonight", "--json"])
        .exited(0)
        .json();
    assert_eq!(report["status"], "completed");
}

#[test]
fn the_page_is_used_with_the_keyboard_alone_in_chromium() {
    let sandbox = Sandbox::new();
    let agents = [
        FakeEngine::agent("alpha", "open", Some("3 consecutive failures")),
        FakeEngine::agent("beta", "closed", None),
    ];
    let engine = FakeEngine::start(&sandbox.state_dir(), 7, &agents);
    let (_serving, url) = serve(&sandbox, &[]);
    let mut browser = Browser::start();
    browser.resize(1280, 900);
    browser.visit(&url);
    browser.until("document.querySelectorAll('#breakers-rows tr').length === 2");
    browser.press("?");
    browser.until("document.querySelector('#help').open");
    browser.picture("keys", false);
    browser.press("Escape");
    browser.until("!document.querySelector('#help').open");
    browser.press("/");
    browser.until("document.activeElement.id === 'breakers-filter'");
    browser.press("b");
    browser.press("e");
    browser.until("document.querySelectorAll('#breakers-rows tr').length === 1");
    browser.press("Escape");
    browser.press("b");
    browser.until("document.activeElement.id === 'breakers'");
    // Into the filter, the states, the row.
    for _ in 0..3 {
        browser.press("Tab");
    }
    browser.until("document.activeElement.ariaLabel === 'Act on beta, which is closed'");
    // What has the focus can be seen to have it.
    browser.until("getComputedStyle(document.activeElement).outlineStyle === 'solid'");
    browser.press("Enter");
    browser.until("document.querySelector('#act').open");
    // Nothing is done without a reason.
    browser.click("#act-go");
    assert!(engine.asked().is_empty());
    browser.fill("#act-reason", "drill");
    browser.fill("#act-by", "ops");
    browser.click("#act-go");
    browser.until(
        "document.querySelector('#said').textContent.includes('trip beta: done in process 7')",
    );
    assert_eq!(engine.asked()[0]["agent"], "beta");
    assert_eq!(engine.asked()[0]["by"]["reason"], "drill");
    // A move is told to those who cannot see it.
    engine.tell(&moved("alpha", "half_open"));
    browser.until("document.querySelector('#live').textContent.includes('alpha')");
    assert!(
        browser.complaints().is_empty(),
        "{:?}",
        browser.complaints()
    );
}

#[test]
fn an_objective_at_risk_and_events_that_were_missed_are_told_in_chromium() {
    let sandbox = Sandbox::new();
    let away = |name: &str, away_ms: u64, verdict: &str, at_risk: bool| {
        let mut agent = FakeEngine::agent(name, "open", Some("3 consecutive failures"));
        agent["objective"]["current"] = json!({
            "detect_ms": 120, "isolate_ms": 0, "resume_ms": null, "verified_ms": null,
            "away_ms": away_ms, "verdict": verdict, "at_risk": at_risk,
        });
        agent["objective"]["breached"] = u64::from(verdict == "breached").into();
        agent
    };
    let mut recovered = FakeEngine::agent("recovered", "closed", None);
    recovered["objective"]["last"] = json!({
        "detect_ms": 120, "isolate_ms": 0, "resume_ms": 900, "verified_ms": 950,
        "away_ms": 950, "verdict": "met", "at_risk": false,
    });
    let agents = [
        away("calm", 2_000, "pending", false),
        away("pressed", 17_000, "pending", true),
        away("late", 65_000, "breached", true),
        recovered,
        FakeEngine::agent("well", "closed", None),
    ];
    let engine = FakeEngine::start(&sandbox.state_dir(), 7, &agents);
    engine.set_dependency("mcp.files", "the program ended");
    let (_serving, url) = serve(&sandbox, &[]);
    let mut browser = Browser::start();
    browser.resize(1280, 900);
    browser.prefer("light");
    browser.visit(&url);
    // What agents depend on is among the breakers, without an objective.
    browser.until(
        "document.querySelector('tr[data-agent=\\'mcp.files\\']').innerText.includes('the program ended')",
    );
    browser.until(
        "document.querySelector('#objectives-count').textContent.startsWith('3 away now; ')",
    );
    browser.until(&outage_of("calm", "of 20.0 s, next probe in"));
    browser.until(&outage_of("pressed", "objective at risk"));
    browser.until(&outage_of("late", "objective missed"));
    browser.until(&outage_of(
        "recovered",
        "last: detected after 120 ms, first answer 900 ms",
    ));
    browser.until(&outage_of("well", "no outage"));
    browser.until(&format!("!({})", outage_of("calm", "objective")));
    browser.until("document.querySelector('#link').textContent === 'live'");
    engine.tell(&json!({ "missed": 12 }));
    browser.until(
        "document.querySelector('#events-rows').innerText.includes('12 events of process 7 missed')",
    );
    browser.picture("objectives-light", true);
    browser.prefer("dark");
    browser.picture("objectives-dark", true);
    browser.resize(380, 800);
    browser.until("document.documentElement.scrollWidth <= 380");
    browser.picture("objectives-phone", true);
    assert!(
        browser.complaints().is_empty(),
        "{:?}",
        browser.complaints()
    );
}

#[test]
fn a_token_is_asked_for_and_kept_in_chromium() {
    let sandbox = Sandbox::new().with_env("SERVE_TOKEN", "a-token-of-24-characters");
    let _engine = FakeEngine::start(
        &sandbox.state_dir(),
        7,
        &[FakeEngine::agent("alpha", "closed", None)],
    );
    let (_serving, url) = serve(&sandbox, &["--token-env", "SERVE_TOKEN"]);
    let mut browser = Browser::start();
    browser.resize(1280, 900);
    browser.visit(&url);
    browser.until("document.querySelector('#token').open");
    browser.fill("#token-value", "not-the-token-at-all");
    browser.click("#token button");
    browser.until("document.querySelector('#token-error').textContent.includes('not the token')");
    browser.fill("#token-value", "a-token-of-24-characters");
    browser.click("#token button");
    browser.until(&state_of("alpha", "closed"));
    browser.visit(&url);
    browser.until(&state_of("alpha", "closed"));
    assert_eq!(
        browser.value("document.querySelector('#token').open"),
        false
    );
    assert_eq!(browser.value("localStorage.length"), 0);
}

/// How many breakers and runs a page has to cope with.
const BREAKERS: usize = 500;
const RUNS: usize = 1000;

#[test]
fn five_hundred_breakers_and_a_thousand_runs_stay_usable_in_chromium() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.state_dir()).expect("a directory");
    fill(&sandbox.state_dir().join("state.db"));
    let agent = |n: usize| FakeEngine::agent(&format!("agent-{n:03}"), "closed", None);
    let mut agents: Vec<Value> = (0..BREAKERS).map(agent).collect();
    let engine = FakeEngine::start(&sandbox.state_dir(), 7, &agents);
    let (_serving, url) = serve(&sandbox, &[]);
    let mut browser = Browser::start();
    browser.resize(1440, 1000);
    browser.visit(&url);
    browser.until("document.querySelector('#breakers-count').textContent.startsWith('500')");
    browser.until("document.querySelector('#runs-count').textContent.startsWith('1000')");
    browser.until("document.querySelector('#link').textContent === 'live'");
    // Lists are cut, and say how much they leave out.
    browser.until("document.querySelector('#breakers-more').textContent === 'Show 60 more of 440'");
    browser.fill("#runs-filter", "run-0777");
    browser.until("document.querySelectorAll('#runs-rows li').length === 1");
    browser.fill("#runs-filter", "");
    browser.value("performance.clearMeasures('fusebox-update')");
    for round in 0..20 {
        let n = round * 23 % BREAKERS;
        agents[n] = FakeEngine::agent(
            &format!("agent-{n:03}"),
            "open",
            Some("4 consecutive failures, threshold 4"),
        );
        engine.set(&agents);
        engine.tell(&moved(&format!("agent-{n:03}"), "open"));
        browser.until(&state_of(&format!("agent-{n:03}"), "open"));
    }
    let single = measured(&mut browser);
    // A storm: everything moves at once.
    for n in 0..BREAKERS {
        engine.tell(&moved(&format!("agent-{n:03}"), "open"));
    }
    browser.until("document.querySelector('#events-rows').innerText.includes('agent-499')");
    let storm = measured(&mut browser);
    browser.picture("crowd", false);
    // Reported and kept, not judged: a machine that does something else as well is slow at any time.
    let report = format!(
        "update to paint with {BREAKERS} breakers and {RUNS} runs: one at a time {}; {BREAKERS} at once {}",
        figures(&single),
        figures(&storm)
    );
    browser.note("update-to-paint", &report);
    assert!(
        browser.complaints().is_empty(),
        "{:?}",
        browser.complaints()
    );
}

/// How long each update took until it was painted, in milliseconds, shortest first; the next look begins anew.
fn measured(browser: &mut Browser) -> Vec<f64> {
    let all = browser.value(
        "{ const all = performance.getEntriesByName('fusebox-update').map((it) => it.duration); \
         performance.clearMeasures('fusebox-update'); all.sort((a, b) => a - b) }",
    );
    let all = all.as_array().into_iter().flatten();
    all.filter_map(Value::as_f64).collect()
}

fn figures(all: &[f64]) -> String {
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    let (median, most, longest) = (at(0.5), at(0.95), at(1.0));
    let drawn = all.len();
    format!(
        "median {median:.0} ms, 95th percentile {most:.0} ms, longest {longest:.0} ms, drawn {drawn} times"
    )
}

fn moved(agent: &str, to: &str) -> Value {
    json!({ "run": null, "kind": { "kind": "breaker_moved", "breaker": agent, "from": "closed", "to": to, "reason": "4 consecutive failures, threshold 4" } })
}

/// A store with so many runs.
fn fill(path: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let store = EmbeddedStore::open(path).expect("a store");
        let hello = agent_fn("hello", |_task, _cx| async {
            Ok(Reply::new(json!("hello")))
        });
        let engine = Engine::builder(Arc::new(store)).agent(hello, Resilience::default());
        let engine = engine
            .retention(Duration::from_secs(3600))
            .build()
            .expect("an engine");
        let workflow = Workflow::builder("greeting")
            .step(Step::new("hello"))
            .build();
        let workflow = workflow.expect("a workflow");
        for first in (0..RUNS).step_by(100) {
            let mut runs = tokio::task::JoinSet::new();
            for n in first..first + 100 {
                let (engine, workflow) = (engine.clone(), workflow.clone());
                let id: RunId = format!("run-{n:04}").parse().expect("a name");
                runs.spawn(async move {
                    engine
                        .run(&workflow, RunOptions::default().with_id(id))
                        .await
                });
            }
            while let Some(run) = runs.join_next().await {
                run.expect("no panic").expect("a report");
            }
        }
    });
}
