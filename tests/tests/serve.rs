//! `fusebox serve` from outside: every route, every refusal, every action, on a real run.

#![cfg(target_os = "linux")]

mod operated;
mod serving;

use std::io::{BufRead as _, Read as _};

use fusebox_tests::{Ask, FakeEngine, Gate, Running, Sandbox, eventually};
use operated::{RUN, sandbox};
use serde_json::{Value, json};
use serving::serve;

/// A run that stands at its gate, and a server that shows it.
struct Scene {
    sandbox: Sandbox,
    gate: Gate,
    running: Running,
    serving: Running,
    url: String,
}

impl Scene {
    fn new() -> Self {
        let (sandbox, gate) = sandbox();
        let running = sandbox.start(&RUN);
        gate.arrived("first", 1);
        let (serving, url) = serve(&sandbox, &[]);
        Self {
            sandbox,
            gate,
            running,
            serving,
            url,
        }
    }

    fn get(&self, path: &str) -> Value {
        Ask::get(path).to(&self.url).has(200).json()
    }

    fn act(&self, path: &str) -> Value {
        Ask::act(path, &because()).to(&self.url).has(200).json()
    }
}

fn because() -> Value {
    json!({ "reason": "vendor called", "by": "ops" })
}

#[test]
fn the_page_is_one_program_s_own_and_may_load_nothing_else() {
    let sandbox = Sandbox::new();
    let (_serving, url) = serve(&sandbox, &[]);
    let page = Ask::get("/").to(&url).has(200);
    assert!(page.body.contains("<title>fusebox</title>"));
    let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
        connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for header in [
        policy,
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
    ] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    for (path, kind) in [
        ("/main.js", "text/javascript"),
        ("/page.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let file = Ask::get(path).to(&url).has(200);
        assert!(
            file.head.contains(&format!("content-type: {kind}")),
            "{}",
            file.head
        );
    }
    // A refusal has the same headers.
    let nothing = Ask::get("/nothing").to(&url).has(404);
    assert!(nothing.head.contains("x-content-type-options: nosniff"));
}

#[test]
fn without_engines_and_runs_every_route_says_that_there_are_none() {
    let sandbox = Sandbox::new();
    let (_serving, url) = serve(&sandbox, &[]);
    let get = |path: &str| Ask::get(path).to(&url).has(200).json();
    assert_eq!(get("/api/overview")["engines"], json!([]));
    assert_eq!(get("/api/overview")["status"], "healthy");
    assert_eq!(get("/api/runs")["total"], 0);
    assert_eq!(get("/healthz")["engines"], 0);
    Ask::get("/metrics").to(&url).has(200);
    for path in ["/api/runs/none", "/api/graph/none"] {
        let answer = Ask::get(path).to(&url).has(404);
        assert!(answer.error().contains("there is no run `none`"));
    }
    Ask::get("/api/runs/not%20a%20name").to(&url).has(400);
    // Looking makes nothing.
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn a_run_at_work_is_shown_with_its_engine_graph_and_journal() {
    let scene = Scene::new();
    let overview = scene.get("/api/overview");
    assert_eq!(overview["engines"][0]["engine"]["pid"], scene.running.pid());
    assert_eq!(
        overview["engines"][0]["health"]["agents"][0]["in_flight"],
        1
    );
    let runs = scene.get("/api/runs");
    assert_eq!(runs["runs"][0]["run"], "operated");
    assert_eq!(runs["runs"][0]["live"], scene.running.pid());
    assert_eq!(runs["statuses"]["running"], 1);
    assert_eq!(scene.get("/api/runs?q=other")["runs"], json!([]));
    assert_eq!(
        scene.get("/api/runs?status=running&limit=1")["runs"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let run = scene.get("/api/runs/operated");
    assert_eq!(run["report"]["steps"][0]["status"], "running");
    assert_eq!(run["events"][0]["text"], "run of operated started");
    let graph = scene.get("/api/graph/operated");
    assert_eq!(graph["nodes"][0]["status"], "running");
    assert_eq!(graph["nodes"][0]["breaker"], "closed");
    assert_eq!(
        graph["edges"],
        json!([{ "from": "first", "to": "second", "kind": "requires" }])
    );
    assert_eq!(scene.get("/healthz")["status"], "healthy");
    let metrics = Ask::get("/metrics").to(&scene.url).has(200);
    assert!(metrics.head.contains("text/plain; version=0.0.4"));
    for line in [
        "fusebox_breaker_state{breaker=\"gated\",state=\"closed\"} 1",
        "fusebox_breaker_in_flight{breaker=\"gated\"} 1",
        "fusebox_health{status=\"healthy\"} 1",
        "fusebox_runs_live 1",
    ] {
        assert!(
            metrics.body.lines().any(|it| it == line),
            "{line}\n{}",
            metrics.body
        );
    }
    scene.gate.open(2);
    assert_eq!(scene.running.wait().exited(0).json()["status"], "completed");
    // Once nobody works on it, the store says how it ended.
    let get = |path: &str| Ask::get(path).to(&scene.url).has(200).json();
    eventually("the engine to be gone", || {
        (get("/api/overview")["engines"] == json!([])).then_some(())
    });
    assert_eq!(
        get("/api/graph/operated")["nodes"][1]["status"],
        "succeeded"
    );
}

#[test]
fn a_breaker_is_forced_open_disabled_tripped_and_released_with_a_reason() {
    let mut scene = Scene::new();
    let state = |scene: &Scene| {
        let overview = scene.get("/api/overview");
        overview["engines"][0]["health"]["agents"][0].clone()
    };
    let done = scene.act("/api/breakers/gated/force-open");
    assert_eq!(done["processes"], json!([scene.running.pid()]));
    assert_eq!(state(&scene)["state"], "forced_open");
    assert!(
        state(&scene)["reason"]
            .as_str()
            .is_some_and(|it| it.contains("vendor called") && it.contains("ops"))
    );
    assert_eq!(scene.get("/healthz")["status"], "degraded");
    // What is done is told on standard error, with who and why.
    scene
        .serving
        .until("action \"force_open gated\" by \"ops\" from 127.0.0.1");
    scene.gate.open(1);
    // The second step is shielded from nothing: it is its own agent that is away.
    eventually("the second step to wait", || {
        (state(&scene)["waiting"] == 1).then_some(())
    });
    let second = scene.get("/api/graph/operated")["nodes"][1].clone();
    assert_eq!(
        (second["breaker"].clone(), second["status"].clone()),
        ("forced_open".into(), "waiting".into())
    );
    scene.act("/api/breakers/gated/disable");
    assert_eq!(state(&scene)["state"], "disabled");
    scene.act("/api/breakers/gated/release");
    scene.act("/api/breakers/gated/trip");
    assert_eq!(state(&scene)["state"], "open");
    let again = Ask::act("/api/breakers/gated/trip", &because())
        .to(&scene.url)
        .has(409);
    assert!(again.error().contains("nothing to trip"), "{}", again.body);
    let unknown = Ask::act("/api/breakers/other/trip", &because())
        .to(&scene.url)
        .has(409);
    assert!(
        unknown.error().contains("no agent `other`; it has: gated"),
        "{}",
        unknown.body
    );
    scene.act("/api/breakers/gated/release");
    scene.gate.arrived("second", 1);
    scene.gate.open(1);
    scene.running.wait().exited(0);
    let nobody = Ask::act("/api/breakers/gated/trip", &because())
        .to(&scene.url)
        .has(409);
    assert!(
        nobody.error().contains("no engine runs here"),
        "{}",
        nobody.body
    );
}

#[test]
fn an_override_holds_as_long_as_was_said() {
    let scene = Scene::new();
    let order = json!({ "reason": "drill", "by": "ops", "for_ms": 1 });
    Ask::act("/api/breakers/gated/force-open", &order)
        .to(&scene.url)
        .has(200);
    scene.gate.open(2);
    // Nobody releases it.
    scene.running.wait().exited(0);
}

#[test]
fn a_run_is_cancelled_by_its_engine_and_where_there_is_none_in_the_store() {
    let scene = Scene::new();
    let done = scene.act("/api/runs/operated/cancel");
    assert_eq!(done["process"], scene.running.pid());
    let report = scene.running.wait().exited(7).json();
    assert!(
        report["reason"]
            .as_str()
            .is_some_and(|it| it.starts_with("cancelled by ops: vendor called"))
    );
    let over = Ask::act("/api/runs/operated/cancel", &because())
        .to(&scene.url)
        .has(409);
    assert!(
        over.error().contains("is cancelled already"),
        "{}",
        over.body
    );
    let waits = [
        "run",
        "operated.toml",
        "--id",
        "late",
        "--no-wait",
        "--fault",
        "gated=api:1.0",
    ];
    scene.sandbox.fusebox(&waits).exited(5);
    let done = Ask::act("/api/runs/late/cancel", &because())
        .to(&scene.url)
        .has(200);
    assert_eq!(done.json()["status"], "cancelled");
    Ask::act("/api/runs/none/cancel", &because())
        .to(&scene.url)
        .has(404);
}

#[test]
fn a_run_is_resumed_by_a_process_that_outlives_the_server() {
    let scene = Scene::new();
    let busy = Ask::act("/api/runs/operated/resume", &because())
        .to(&scene.url)
        .has(409);
    assert!(busy.error().contains("is being worked on"), "{}", busy.body);
    scene.running.interrupt();
    scene.running.wait().exited(7);
    let resumed = Ask::act("/api/runs/operated/resume", &because())
        .to(&scene.url)
        .has(200);
    scene.gate.arrived("first", 2);
    let overview = Ask::get("/api/overview").to(&scene.url).json();
    assert_eq!(
        overview["engines"][0]["engine"]["pid"],
        resumed.json()["process"]
    );
    scene.serving.interrupt();
    scene.serving.wait().exited(0);
    scene.gate.open(2);
    let runs = || scene.sandbox.fusebox(&["runs", "--json"]).exited(0).json();
    eventually("the run to be completed", || {
        (runs()["runs"][0]["status"] == "completed").then_some(())
    });
    scene.sandbox.assert_nobody_left();
    let (_serving, url) = serve(&scene.sandbox, &[]);
    let over = Ask::act("/api/runs/operated/resume", &because())
        .to(&url)
        .has(409);
    assert!(over.error().contains("completed already"), "{}", over.body);
}

const ASKS: &str = r#"
[workflow]
name = "asks"

[agents.quick]
kind = "command"
command = ["sh", "-c", 'echo "{}"']

[[step]]
name = "release"
approval = { prompt = "publish it?" }

[[step]]
name = "publish"
agent = "quick"
requires = ["release"]
"#;

#[test]
fn a_step_is_approved_or_rejected_once() {
    let sandbox = Sandbox::new();
    sandbox.write("asks.toml", ASKS);
    for run in ["yes", "no"] {
        sandbox
            .fusebox(&["run", "asks.toml", "--id", run])
            .exited(6);
    }
    let (mut serving, url) = serve(&sandbox, &[]);
    let graph = Ask::get("/api/graph/yes").to(&url).has(200).json();
    assert_eq!(graph["nodes"][0]["prompt"], "publish it?");
    let done = Ask::act("/api/runs/yes/approve", &because())
        .to(&url)
        .has(200)
        .json();
    assert_eq!(
        (&done["step"], &done["decision"]["by"]),
        (&json!("release"), &json!("ops"))
    );
    let order = json!({ "reason": "not yet", "by": "ops", "step": "release" });
    Ask::act("/api/runs/no/reject", &order).to(&url).has(200);
    Ask::act("/api/runs/no/approve", &order).to(&url).has(409);
    let other = json!({ "reason": "x", "step": "publish" });
    let answer = Ask::act("/api/runs/yes/approve", &other).to(&url).has(409);
    assert!(
        answer.error().contains("does not wait for a decision"),
        "{}",
        answer.body
    );
    Ask::act("/api/runs/yes/resume", &because())
        .to(&url)
        .has(200);
    serving.until("resume of yes ended with code 0");
    sandbox.fusebox(&["resume", "no"]).exited(4);
}

#[test]
fn an_action_without_a_reason_or_with_a_body_that_is_none_does_nothing() {
    let sandbox = Sandbox::new();
    let engine = FakeEngine::start(
        &sandbox.state_dir(),
        7,
        &[FakeEngine::agent("alpha", "closed", None)],
    );
    let (_serving, url) = serve(&sandbox, &[]);
    let path = "/api/breakers/alpha/trip";
    let ask = Ask::act(path, &because());
    for (body, status) in [
        (String::new(), 400),
        ("{}".into(), 400),
        (json!({ "reason": "  " }).to_string(), 400),
        (json!({ "reason": "x", "for_ms": 0 }).to_string(), 400),
        (json!({ "reason": "x", "other": 1 }).to_string(), 400),
        (json!({ "reason": "x".repeat(1001) }).to_string(), 400),
        (json!({ "reason": "x".repeat(20_000) }).to_string(), 413),
    ] {
        ask.clone().saying(&body).to(&url).has(status);
    }
    Ask::act("/api/breakers/alpha/explode", &because())
        .to(&url)
        .has(404);
    Ask::act("/api/runs/some/explode", &because())
        .to(&url)
        .has(404);
    Ask::get(path).to(&url).has(405);
    assert_eq!(engine.asked(), Vec::<Value>::new());
    // The control: the same with a reason is done.
    ask.to(&url).has(200);
    assert_eq!(engine.asked().len(), 1);
}

#[test]
fn other_sites_and_other_names_are_refused() {
    let sandbox = Sandbox::new();
    let engine = FakeEngine::start(
        &sandbox.state_dir(),
        7,
        &[FakeEngine::agent("alpha", "closed", None)],
    );
    let (_serving, url) = serve(&sandbox, &[]);
    let act = Ask::act("/api/breakers/alpha/trip", &because());
    // A name that another site has made to point here.
    for ask in [Ask::get("/"), Ask::get("/api/overview"), act.clone()] {
        ask.with("host", "evil.example").to(&url).has(421);
    }
    // A page of another site in the same browser.
    act.clone()
        .with("origin", "http://evil.example")
        .to(&url)
        .has(403);
    act.clone().with("origin", "null").to(&url).has(403);
    act.clone()
        .with("sec-fetch-site", "cross-site")
        .to(&url)
        .has(403);
    act.clone()
        .with("sec-fetch-site", "same-site")
        .to(&url)
        .has(403);
    Ask::get("/api/events")
        .with("sec-fetch-site", "cross-site")
        .to(&url)
        .has(403);
    // What such a page can send without asking first: a form, and no header of its own.
    act.clone().without("x-fusebox-action").to(&url).has(403);
    act.clone()
        .with("content-type", "text/plain")
        .to(&url)
        .has(415);
    act.clone().without("content-type").to(&url).has(415);
    assert_eq!(engine.asked(), Vec::<Value>::new());
    // The control: its own page.
    act.with("origin", &url)
        .with("sec-fetch-site", "same-origin")
        .to(&url)
        .has(200);
    assert_eq!(engine.asked().len(), 1);
}

#[test]
fn with_a_token_nothing_but_the_bare_page_is_answered_without() {
    let token = "a-token-of-24-characters";
    let sandbox = Sandbox::new().with_env("SERVE_TOKEN", token);
    let engine = FakeEngine::start(
        &sandbox.state_dir(),
        7,
        &[FakeEngine::agent("alpha", "closed", None)],
    );
    sandbox.write("token", "a-token-of-24-characters\n");
    for given in [["--token-env", "SERVE_TOKEN"], ["--token-file", "token"]] {
        let (_serving, url) = serve(&sandbox, &given);
        Ask::get("/").to(&url).has(200);
        let act = Ask::act("/api/breakers/alpha/trip", &because());
        let all = [
            "/api/overview",
            "/api/runs",
            "/api/events",
            "/metrics",
            "/healthz",
        ]
        .map(Ask::get);
        let before = engine.asked().len();
        for ask in all.into_iter().chain([act.clone()]) {
            ask.clone().to(&url).has(401);
            ask.clone()
                .with("authorization", "Bearer a-token-of-24-characterS")
                .to(&url)
                .has(401);
        }
        assert_eq!(engine.asked().len(), before);
        let right = format!("Bearer {token}");
        Ask::get("/metrics")
            .with("authorization", &right)
            .to(&url)
            .has(200);
        // Who has the token may come by any name, but not from another site.
        let act = act
            .with("authorization", &right)
            .with("host", "ops.example");
        act.clone()
            .with("origin", "http://evil.example")
            .to(&url)
            .has(403);
        act.with("origin", "https://ops.example").to(&url).has(200);
        assert_eq!(engine.asked().len(), before + 1);
    }
}

#[test]
fn an_address_that_others_can_reach_needs_a_good_token() {
    let sandbox = Sandbox::new()
        .with_env("SHORT", "secret")
        .with_env("GOOD", "a-token-of-24-characters");
    let refused = |args: &[&str], why: &str| {
        let all = [&["serve", "--print-address"], args].concat();
        let outcome = sandbox.fusebox(&all).exited(2).complains(why);
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.contains("secret"),
            "{outcome}"
        );
    };
    refused(&["--listen", "0.0.0.0:0"], "a token is needed");
    refused(&["--listen", "[::]:0"], "a token is needed");
    refused(
        &["--listen", "0.0.0.0:0", "--token-env", "UNSET"],
        "UNSET is not set",
    );
    refused(
        &["--listen", "0.0.0.0:0", "--token-env", "SHORT"],
        "must have 16 or more characters",
    );
    refused(&["--token-file", "nothing"], "nothing could not be read");
    refused(&["--listen", "nowhere"], "--listen");
    // The control.
    let args = [
        "serve",
        "--print-address",
        "--listen",
        "0.0.0.0:0",
        "--token-env",
        "GOOD",
    ];
    let mut running = sandbox.start(&args);
    let url = running.line().replace("0.0.0.0", "127.0.0.1");
    Ask::get("/").to(&url).has(200);
    Ask::get("/api/overview").to(&url).has(401);
}

#[test]
fn events_of_all_engines_come_in_one_stream_and_engines_come_and_go() {
    let sandbox = Sandbox::new();
    let (_serving, url) = serve(&sandbox, &[]);
    let (head, events) = Ask::get("/api/events").open(&url);
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let mut events = events.lines().map_while(Result::ok);
    let mut next = |kind: &str| {
        let data = events.find_map(|line| {
            let data: Value = serde_json::from_str(line.strip_prefix("data: ")?).expect("JSON");
            (data["event"]["kind"] == kind).then_some(data)
        });
        data.expect("the stream goes on")
    };
    let agent = |name: &str| FakeEngine::agent(name, "closed", None);
    let one = FakeEngine::start(&sandbox.state_dir(), 1, &[agent("alpha")]);
    assert_eq!(next("engine_found")["pid"], 1);
    let other = FakeEngine::start(&sandbox.state_dir(), 2, &[agent("alpha")]);
    assert_eq!(next("engine_found")["pid"], 2);
    eventually("both to be watched", || {
        (one.watches() + other.watches() == 2).then_some(())
    });
    one.tell(&moved("alpha"));
    let first = next("breaker_moved");
    assert_eq!(
        (&first["pid"], &first["text"]),
        (&json!(1), &json!("breaker alpha: closed -> open (drill)"))
    );
    other.tell(&moved("alpha"));
    assert_eq!(next("breaker_moved")["pid"], 2);
    // An action goes to all that have the agent.
    let done = Ask::act("/api/breakers/alpha/trip", &because())
        .to(&url)
        .has(200);
    assert_eq!(done.json()["processes"], json!([1, 2]));
    drop(one);
    assert_eq!(next("engine_gone")["pid"], 1);
    let overview = Ask::get("/api/overview").to(&url).json();
    assert_eq!(overview["engines"].as_array().map(Vec::len), Some(1));
    // Who comes later hears what was told last.
    let (_, mut later) = Ask::get("/api/events").open(&url);
    let mut line = String::new();
    while !line.contains("engine_gone") {
        line.clear();
        assert!(later.read_line(&mut line).is_ok_and(|read| read > 0));
    }
}

#[test]
fn a_reader_that_is_slow_loses_events_is_told_and_holds_nobody_up() {
    let sandbox = Sandbox::new();
    let engine = FakeEngine::start(
        &sandbox.state_dir(),
        1,
        &[FakeEngine::agent("alpha", "closed", None)],
    );
    let (_serving, url) = serve(&sandbox, &[]);
    let (_, mut slow) = Ask::get("/api/events").open(&url);
    eventually("the engine to be watched", || {
        (engine.watches() == 1).then_some(())
    });
    // More than all the buffers between here and there hold.
    let name = "x".repeat(4000);
    for _ in 0..8000 {
        engine.tell(&moved(&name));
    }
    engine.tell(&moved("the last"));
    // Another hears the last of them while the first has read nothing.
    let (_, mut quick) = Ask::get("/api/events").open(&url);
    let mut line = String::new();
    while !line.contains("the last") {
        line.clear();
        assert!(quick.read_line(&mut line).is_ok_and(|read| read > 0));
    }
    let mut missed = 0;
    loop {
        line.clear();
        assert!(slow.read_line(&mut line).is_ok_and(|read| read > 0));
        if let Some(data) = line.strip_prefix("data: {\"missed\":") {
            missed += data
                .trim_end()
                .trim_end_matches('}')
                .parse::<u64>()
                .expect("a number");
        }
        if line.contains("the last") {
            break;
        }
    }
    assert!(missed > 0);
}

#[test]
fn a_store_that_cannot_be_opened_is_told_and_the_rest_goes_on() {
    let sandbox = Sandbox::new().with_store("mongodb://u:hunter2@host");
    let _engine = FakeEngine::start(
        &sandbox.state_dir(),
        7,
        &[FakeEngine::agent("alpha", "open", None)],
    );
    let (mut serving, url) = serve(&sandbox, &[]);
    serving.until("`mongodb` is no kind of store");
    let answer = Ask::get("/api/runs").to(&url).has(503);
    assert!(
        answer.error().contains("no kind of store") && !answer.body.contains("hunter2"),
        "{}",
        answer.body
    );
    assert_eq!(
        Ask::get("/api/overview").to(&url).json()["status"],
        "degraded"
    );
}

#[test]
fn ctrl_c_ends_it_at_once_though_somebody_listens() {
    let sandbox = Sandbox::new();
    let (serving, url) = serve(&sandbox, &[]);
    let (_, mut events) = Ask::get("/api/events").open(&url);
    serving.interrupt();
    serving.wait().exited(0);
    let mut rest = Vec::new();
    // The stream ends, in whichever way.
    let _ = events.read_to_end(&mut rest);
    sandbox.assert_nobody_left();
}

fn moved(agent: &str) -> Value {
    json!({ "run": null, "kind": { "kind": "breaker_moved", "breaker": agent, "from": "closed", "to": "open", "reason": "drill" } })
}
