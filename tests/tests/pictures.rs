//! A run as a page and as a picture of its graph.

#![cfg(target_os = "linux")]

use fusebox_tests::{Gate, Sandbox};

/// Agents that say what nobody should have to read, in outputs, reasons and questions.
const HOSTILE: &str = r#"
[workflow]
name = "hostile"
objective = "10s"

[agents.loud]
kind = "command"
command = ["echo", '"</pre><script>alert(1)</script><img src=x onerror=alert(2)>"']

[agents.bad]
kind = "command"
command = ["sh", "-c", "printf '</title><script>alert(3)</script>\\033[2J' >&2; exit 3"]
preset = "agent"
max_attempts = 2
retry_base = "1ms"
consecutive_failures = 1

[[step]]
name = "loud"

[[step]]
name = "bad"
requires = ["loud"]
on_unavailable = "skip"

[[step]]
name = "asked"
requires = ["loud"]
approval = { prompt = "<script>alert(4)</script> & \"go\"?" }
"#;

fn hostile() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "hostile.toml",
        &HOSTILE.replace("on_unavailable = \"fail\"\n", ""),
    );
    let run = ["run", "hostile.toml", "--id", "hostile", "--no-wait"];
    sandbox.fusebox(&run).exited(4);
    sandbox
}

#[test]
fn a_page_tells_the_run_and_runs_nothing_that_agents_said() {
    let sandbox = hostile();
    sandbox
        .fusebox(&["show", "hostile", "--html", "run.html"])
        .exited(0)
        .says("page: run.html");
    let page = std::fs::read_to_string(sandbox.path().join("run.html")).unwrap();
    let lower = page.to_lowercase();
    for tag in [
        "<script",
        "<img",
        "<iframe",
        "<link",
        "javascript:",
        "\u{1b}",
    ] {
        assert!(!lower.contains(tag), "{tag} in {page}");
    }
    // What they said is there to be read.
    for number in 1..=4 {
        let said = format!("alert({number})");
        assert!(page.contains(&said), "{said} is missing in {page}");
    }
    for part in [
        "<h2>Graph</h2>",
        "<h2>Timeline</h2>",
        "<h2>Steps</h2>",
        "What happened",
        "suspended",
        "- skipped",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    // It asks nobody for anything: the one address is the name of a format.
    let addresses: Vec<_> = lower.match_indices("http").collect();
    let formats = lower.matches("http://www.w3.org/2000/svg").count();
    let policy = lower.matches("http-equiv").count();
    assert_eq!(addresses.len(), formats + policy, "{page}");
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_page_goes_where_it_is_asked_to() {
    let sandbox = hostile();
    sandbox
        .fusebox(&["show", "hostile", "--html"])
        .exited(0)
        .says("page: hostile.html");
    assert!(sandbox.path().join("hostile.html").is_file());
    let page = sandbox
        .fusebox(&["show", "hostile", "--html", "-"])
        .exited(0);
    assert!(page.stdout.starts_with("<!doctype html>") && page.stdout.ends_with("</html>\n"));
    sandbox
        .fusebox(&["show", "hostile", "--html", "no/such/place.html"])
        .exited(1)
        .complains("give another file behind --html");
}

#[test]
fn a_graph_shows_how_the_steps_of_a_run_stand() {
    let sandbox = hostile();
    for (format, words) in [
        (
            "mermaid",
            ["✓ succeeded", "- skipped", "… suspended", "breaker open"],
        ),
        (
            "dot",
            ["✓ succeeded", "- skipped", "… suspended", "breaker open"],
        ),
        (
            "svg",
            ["✓ succeeded", "- skipped", "… suspended", "breaker open"],
        ),
    ] {
        let graph = [
            "graph",
            "hostile.toml",
            "--run",
            "hostile",
            "--format",
            format,
        ];
        let drawn = sandbox.fusebox(&graph).exited(0).stdout;
        for word in words {
            assert!(drawn.contains(word), "{word} is missing: {drawn}");
        }
        // A text of Graphviz is within quotes; the others end in a page.
        assert!(format == "dot" || !drawn.contains("<script"), "{drawn}");
        // The file is not needed.
        let graph = ["graph", "--run", "hostile", "--format", format];
        assert_eq!(sandbox.fusebox(&graph).exited(0).stdout, drawn);
    }
    sandbox.write("hostile.toml", "[workflow]\nname = \"another\"\n[agents.a]\nkind = \"command\"\ncommand = [\"true\"]\n[[step]]\nname = \"a\"\n");
    sandbox
        .fusebox(&["graph", "hostile.toml", "--run", "hostile"])
        .exited(2)
        .complains("did not begin with this file");
    sandbox
        .fusebox(&["graph", "--run", "nobody"])
        .exited(2)
        .complains("there is no run `nobody`");
}

#[test]
fn a_graph_shows_the_breakers_of_a_run_that_is_worked_on() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    let agents = "[agents.gated]\nkind = \"command\"\ncommand = [\"sh\", \"gated.sh\"]\n";
    let flow = format!(
        "[workflow]\nname = \"live\"\n{agents}[[step]]\nname = \"first\"\nagent = \"gated\"\n"
    );
    sandbox.write("live.toml", &flow);
    let running = sandbox.start(&["run", "live.toml", "--id", "live"]);
    gate.arrived("first", 1);
    let graph = ["graph", "live.toml", "--run", "live"];
    let drawn = sandbox.fusebox(&graph).exited(0).stdout;
    assert!(
        drawn.contains("… running") && !drawn.contains("breaker"),
        "{drawn}"
    );
    sandbox
        .fusebox(&["breakers", "force-open", "gated", "--reason", "x"])
        .exited(0);
    let drawn = sandbox.fusebox(&graph).exited(0).stdout;
    assert!(drawn.contains("breaker forced_open"), "{drawn}");
    gate.open(1);
    let _ = running.wait().exited(0);
    let drawn = sandbox.fusebox(&graph).exited(0).stdout;
    assert!(drawn.contains("✓ succeeded"), "{drawn}");
}
