//! The diagram refuses what it should.

use super::*;

fn arrow(to: &str, optional: bool) -> Dependency {
    Dependency {
        name: to.to_owned(),
        kind: Kind::Normal,
        optional,
    }
}

fn package(name: &str, dependencies: Vec<Dependency>) -> Package {
    Package {
        name: name.to_owned(),
        manifest: "Cargo.toml".into(),
        features: Vec::new(),
        dependencies,
        examples: Vec::new(),
    }
}

#[test]
fn arrows_of_the_diagram_pass() {
    for (from, to) in [
        ("fusebox-cli", "fusebox"),
        ("fusebox", "fusebox-breaker"),
        ("fusebox-orchestrator", "fusebox-state"),
        ("fusebox-endpoints", "fusebox-breaker"),
        ("fusebox-tests", "fusebox-testkit"),
    ] {
        assert_eq!(refuse(from, &arrow(to, false)), None, "{from} to {to}");
    }
}

#[test]
fn arrows_that_turn_back_or_aside_are_refused() {
    for (from, to) in [
        ("fusebox-breaker", "fusebox-policy"),
        ("fusebox-agent", "fusebox-state"),
        ("fusebox-state", "fusebox-agent"),
        ("fusebox-cli", "fusebox-breaker"),
        ("fusebox-policy", "fusebox"),
        ("fusebox-endpoints", "fusebox-state"),
        ("fusebox-breaker", "fusebox-test-server"),
        ("fusebox", "xtask"),
    ] {
        assert!(refuse(from, &arrow(to, false)).is_some(), "{from} to {to}");
        assert!(
            refuse(from, &arrow(to, true)).is_some(),
            "{from} to {to}, optional"
        );
    }
}

#[test]
fn an_arrow_behind_a_feature_must_be_optional() {
    assert_eq!(
        refuse("fusebox-metrics", &arrow("fusebox-orchestrator", true)),
        None
    );
    let refusal = refuse("fusebox-metrics", &arrow("fusebox-orchestrator", false)).unwrap();
    assert!(refusal.contains("optional = true"), "{refusal}");
}

#[test]
fn dependencies_of_tests_are_free() {
    let ours = BTreeSet::from(["fusebox-state", "fusebox-test-server"]);
    let mut dependency = arrow("fusebox-test-server", false);
    dependency.kind = Kind::Dev;
    let state = package("fusebox-state", vec![dependency]);
    assert_eq!(ours_among(&state, &ours).count(), 0);
    let mut dependency = arrow("fusebox-test-server", false);
    dependency.kind = Kind::Build;
    let state = package("fusebox-state", vec![dependency]);
    assert_eq!(ours_among(&state, &ours).count(), 1);
}

#[test]
fn the_diagram_has_no_circle() {
    // Each crate stands above those it points at, whether the arrow is optional or not.
    fn height(name: &str, above: &[&str]) -> usize {
        assert!(
            !above.contains(&name),
            "{name} leads back to itself: {above:?}"
        );
        let path: Vec<&str> = above.iter().copied().chain([name]).collect();
        let Layer {
            below, optional, ..
        } = layer(name).expect("arrows point at crates of the diagram");
        below
            .iter()
            .chain(*optional)
            .map(|next| 1 + height(next, &path))
            .max()
            .unwrap_or(0)
    }
    assert_eq!(height("fusebox-breaker", &[]), 0);
    assert!(height("fusebox-cli", &[]) > height("fusebox", &[]));
}

#[test]
fn a_refusal_names_the_line() {
    let manifest = "[package]\nname = \"x\"\n\n[dev-dependencies]\nfusebox.workspace = true\n\n\
         [dependencies]\nfusebox-agent.workspace = true\nfusebox = { path = \"..\" }\n";
    assert_eq!(line_of(manifest, "fusebox"), 9);
    assert_eq!(line_of(manifest, "fusebox-agent"), 8);
    let table = "[package]\n\n[dependencies.fusebox]\nworkspace = true\n";
    assert_eq!(line_of(table, "fusebox"), 3);
    let renamed = "[dependencies]\nother = { package = \"fusebox\" }\n";
    assert_eq!(line_of(renamed, "fusebox"), 2);
}

#[test]
fn lints_must_be_inherited() {
    let path = Path::new("Cargo.toml");
    assert_eq!(lints("[lints]\nworkspace = true\n", path).unwrap(), None);
    assert!(lints("[package]\nname = \"x\"\n", path).unwrap().is_some());
    assert!(
        lints("[lints.rust]\nunsafe_code = \"allow\"\n", path)
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_runtime_below_the_breaker_is_named() {
    assert!(runtimes("fusebox-breaker v0.1.0\nthiserror v2.0.21\ntokio-util v0.7.0\n").is_empty());
    let problems = runtimes("fusebox-breaker v0.1.0\ntokio v1.54.0\n");
    assert!(problems[0].contains("`tokio`"), "{problems:?}");
}
