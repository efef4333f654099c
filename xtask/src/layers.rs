//! `layers`: the arrows between our crates are those of the diagram.
//!
//! ```text
//! cli           ─► facade
//! facade        ─► all below
//! lab           ─► testkit, orchestrator
//! testkit       ─► orchestrator
//! orchestrator  ─► agent, state
//! endpoints     ─► agent
//! agent         ─► policy
//! policy        ─► breaker
//! metrics       ─► breaker        (orchestrator, state: behind features)
//! state         ─► nothing of ours (breaker: behind a feature)
//! breaker       ─► nothing of ours
//! ```
//!
//! An arrow is a line under `[dependencies]` or `[build-dependencies]`; it may skip a crate to the
//! right. What only tests need is free. A new arrow starts as a change of [`DIAGRAM`].

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{Dependency, Kind, Package, Workspace};
use crate::{cmd, no_arguments};

/// One row: a crate, where its arrows may point, and where only optional ones may.
struct Layer {
    name: &'static str,
    below: &'static [&'static str],
    optional: &'static [&'static str],
}

/// The diagram, with the crates that an arrow may skip to written out.
const DIAGRAM: [Layer; 11] = [
    Layer {
        name: "fusebox-cli",
        below: &["fusebox"],
        optional: &[],
    },
    Layer {
        name: "fusebox",
        below: &[
            "fusebox-orchestrator",
            "fusebox-endpoints",
            "fusebox-agent",
            "fusebox-policy",
            "fusebox-metrics",
            "fusebox-state",
            "fusebox-breaker",
            "fusebox-testkit",
        ],
        optional: &["fusebox-lab"],
    },
    Layer {
        name: "fusebox-lab",
        below: &[
            "fusebox-testkit",
            "fusebox-orchestrator",
            "fusebox-agent",
            "fusebox-policy",
            "fusebox-state",
            "fusebox-breaker",
        ],
        optional: &[],
    },
    Layer {
        name: "fusebox-testkit",
        below: &[
            "fusebox-orchestrator",
            "fusebox-agent",
            "fusebox-policy",
            "fusebox-state",
            "fusebox-breaker",
        ],
        optional: &[],
    },
    Layer {
        name: "fusebox-orchestrator",
        below: &[
            "fusebox-agent",
            "fusebox-policy",
            "fusebox-state",
            "fusebox-breaker",
        ],
        optional: &[],
    },
    Layer {
        name: "fusebox-endpoints",
        below: &["fusebox-agent", "fusebox-policy", "fusebox-breaker"],
        optional: &[],
    },
    Layer {
        name: "fusebox-agent",
        below: &["fusebox-policy", "fusebox-breaker"],
        optional: &[],
    },
    Layer {
        name: "fusebox-policy",
        below: &["fusebox-breaker"],
        optional: &[],
    },
    Layer {
        name: "fusebox-metrics",
        below: &["fusebox-breaker"],
        optional: &["fusebox-orchestrator", "fusebox-state"],
    },
    Layer {
        name: "fusebox-state",
        below: &[],
        optional: &["fusebox-breaker"],
    },
    Layer {
        name: "fusebox-breaker",
        below: &[],
        optional: &[],
    },
];

/// They look in from outside: free in what they use, used by nobody.
const OUTSIDE: [&str; 7] = [
    "xtask",
    "fusebox-tests",
    "fusebox-chaos-tests",
    "fusebox-properties",
    "fusebox-test-server",
    "fusebox-fault-proxy",
    "support-triage",
];

/// What the breaker must not bring along, however deep.
const RUNTIMES: [&str; 8] = [
    "tokio",
    "async-std",
    "smol",
    "async-executor",
    "async-io",
    "futures-executor",
    "compio",
    "glommio",
];

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let packages = Workspace::load()?.packages;
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for package in &packages {
        println!("{}", arrows(package, &ours));
        problems.extend(check_package(package, &ours)?);
    }
    let gone = DIAGRAM
        .iter()
        .map(|layer| layer.name)
        .chain(OUTSIDE)
        .filter(|name| !ours.contains(name));
    problems.extend(gone.map(|name| format!("the diagram has `{name}`, the workspace has not")));
    problems.extend(runtimes_below_breaker()?);
    if problems.is_empty() {
        println!(
            "layers: {} packages, every arrow is in the diagram",
            packages.len()
        );
        return Ok(());
    }
    bail!("{}", problems.join("\n"));
}

fn arrows(package: &Package, ours: &BTreeSet<&str>) -> String {
    let targets: Vec<String> = ours_among(package, ours)
        .map(|dependency| match dependency.optional {
            true => format!("{} (feature)", dependency.name),
            false => dependency.name.clone(),
        })
        .collect();
    let targets = if targets.is_empty() {
        "nothing of ours".to_owned()
    } else {
        targets.join(", ")
    };
    format!("{:<21} ─► {targets}", package.name)
}

fn ours_among<'a>(
    package: &'a Package,
    ours: &'a BTreeSet<&str>,
) -> impl Iterator<Item = &'a Dependency> {
    let of_users = |dependency: &&Dependency| dependency.kind != Kind::Dev;
    package
        .dependencies
        .iter()
        .filter(of_users)
        .filter(|dependency| ours.contains(dependency.name.as_str()))
}

fn check_package(package: &Package, ours: &BTreeSet<&str>) -> Result<Vec<String>> {
    let text = package.manifest_text()?;
    let mut problems: Vec<String> = ours_among(package, ours)
        .filter_map(|dependency| {
            let refusal = refuse(&package.name, dependency)?;
            let line = line_of(&text, &dependency.name);
            Some(format!("{}:{line}: {refusal}", package.manifest.display()))
        })
        .collect();
    if !OUTSIDE.contains(&package.name.as_str()) && layer(&package.name).is_none() {
        problems.push(format!(
            "{}: `{}` is not in the diagram (xtask/src/layers.rs)",
            package.manifest.display(),
            package.name
        ));
    }
    problems.extend(lints(&text, &package.manifest)?);
    Ok(problems)
}

fn layer(name: &str) -> Option<&'static Layer> {
    DIAGRAM.iter().find(|layer| layer.name == name)
}

/// Why there must be no such arrow; `None` if the diagram has it.
fn refuse(from: &str, to: &Dependency) -> Option<String> {
    let name = to.name.as_str();
    if OUTSIDE.contains(&from) {
        return None;
    }
    if OUTSIDE.contains(&name) {
        return Some(format!(
            "`{from}` ─► `{name}`: no crate depends on what looks in from outside"
        ));
    }
    let Layer {
        below, optional, ..
    } = layer(from)?;
    if below.contains(&name) || (optional.contains(&name) && to.optional) {
        return None;
    }
    if optional.contains(&name) {
        return Some(format!(
            "`{from}` ─► `{name}` must be `optional = true`, behind a feature"
        ));
    }
    let allowed: Vec<&str> = below.iter().chain(*optional).copied().collect();
    let allowed = if allowed.is_empty() {
        "nothing of ours".to_owned()
    } else {
        allowed.join(", ")
    };
    Some(format!(
        "`{from}` ─► `{name}` is not in the diagram; it may use {allowed}"
    ))
}

/// The line of the manifest on which `dependency` is first named as one; 1 if it hides.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let mut in_table = false;
    for (n, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            // Tables such as `[target.'cfg(unix)'.dependencies]` and `[dependencies.name]` too.
            in_table = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        let rest = line.strip_prefix(dependency).unwrap_or("x");
        let named =
            rest.starts_with(['.', ' ', '=']) || line.contains(&format!("\"{dependency}\""));
        let own_table = line.ends_with(&format!("dependencies.{dependency}]"));
        if in_table && (named || own_table) {
            return n;
        }
    }
    1
}

fn lints(manifest: &str, path: &Path) -> Result<Option<String>> {
    let table: toml::Table = manifest
        .parse()
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let inherits = table
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool)
        .unwrap_or_default();
    Ok((!inherits).then(|| {
        format!(
            "{}: does not inherit the lints; add `[lints]` with `workspace = true`",
            path.display()
        )
    }))
}

fn runtimes_below_breaker() -> Result<Vec<String>> {
    let tree = cmd::stdout(&mut cmd::cargo([
        "tree",
        "--package",
        "fusebox-breaker",
        "--edges",
        "normal",
        "--all-features",
        "--prefix",
        "none",
    ]))?;
    Ok(runtimes(&tree))
}

fn runtimes(tree: &str) -> Vec<String> {
    let found: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let bad = RUNTIMES.iter().filter(|runtime| found.contains(*runtime));
    bad.map(|runtime| {
        format!("crates/fusebox-breaker/Cargo.toml: the breaker has no async runtime, and this brings `{runtime}`")
    })
    .collect()
}

#[cfg(test)]
mod tests;
