//! Data: the facts. Runs `cargo metadata` and `git ls-files`, reads the lock file and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fusebox::agent::{Agent, AgentError, Context, Reply, Task};
use fusebox::endpoints::{CommandAgent, OutputFormat};
use serde_json::{Value, json};

pub(super) async fn call(task: Task, cx: Context) -> Result<Reply, AgentError> {
    let path = super::path(&task)?;
    let supervisor = super::upstream(&task, "supervisor")?;
    let wanted: BTreeSet<&str> = supervisor["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["name"].as_str())
        .collect();
    let (metadata, files) = tokio::try_join!(metadata(&path, &cx), tracked_sources(&path, &cx))?;
    let mut facts = json!({
        "change": change(super::upstream(&task, "triage")?, &wanted),
        "packages": packages(&metadata),
        "dependencies": dependencies(&metadata),
        "sizes": sizes(&path, &files, &metadata),
    });
    if wanted.contains("duplicates") {
        facts["duplicates"] = duplicates(&path)?;
    }
    Ok(Reply::new(facts))
}

/// What triage found, as far as the checks want it: fields by name instead of by place.
fn change(triage: &Value, wanted: &BTreeSet<&str>) -> Value {
    let commits = triage["commits"].as_array().into_iter().flatten();
    let latest = commits.clone().take(10).map(|commit| {
        json!({ "hash": commit[0], "at": commit[1], "author": commit[2], "subject": commit[3] })
    });
    let churn = triage["churn"].as_array().into_iter().flatten();
    let churn = churn
        .filter(|_| wanted.contains("churn"))
        .filter_map(|file| {
            let commits: u64 = file[0].as_str()?.parse().ok()?;
            Some(json!({ "file": file[1], "commits": commits }))
        });
    json!({
        "branch": triage["branch"],
        "uncommitted": triage["uncommitted"],
        "commits": commits.count(),
        "latest": latest.collect::<Value>(),
        "churn": churn.collect::<Value>(),
    })
}

/// The workspace's own packages; their dependencies stay unresolved, so nothing is downloaded.
async fn metadata(path: &Path, cx: &Context) -> Result<Value, AgentError> {
    cx.progress("cargo metadata");
    let manifest = path.join("Cargo.toml").into_os_string();
    let cargo = CommandAgent::new(
        "cargo-metadata",
        "cargo",
        [
            "metadata".into(),
            "--format-version=1".into(),
            "--no-deps".into(),
            "--offline".into(),
            "--manifest-path".into(),
            manifest,
        ],
    );
    let reply = cargo
        .with_max_output(64 << 20)
        .call(Task::new(Value::Null), cx)
        .await?;
    Ok(reply.output)
}

async fn tracked_sources(path: &Path, cx: &Context) -> Result<Vec<String>, AgentError> {
    cx.progress("git ls-files");
    let git = CommandAgent::new("git-ls-files", "git", ["ls-files", "--", "*.rs"])
        .with_dir(path.to_owned())
        .with_output(OutputFormat::Lines);
    let reply = git.call(Task::new(Value::Null), cx).await?;
    let lines = reply.output["lines"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Ok(lines
        .iter()
        .filter_map(|line| line.as_str().map(str::to_owned))
        .collect())
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn packages(metadata: &Value) -> Value {
    let of = |package: &Value| {
        json!({
            "name": package["name"],
            "version": package["version"],
            "license": package["license"],
            "rust_version": package["rust_version"],
            "targets": package["targets"].as_array().map_or(0, Vec::len),
        })
    };
    members(metadata).map(of).collect()
}

/// Direct dependencies: how many, from where, and which requirements admit any version.
fn dependencies(metadata: &Value) -> Value {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut git, mut wildcard) = (BTreeSet::new(), BTreeSet::new());
    for package in members(metadata) {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let (Some(name), Some(user)) = (dependency["name"].as_str(), package["name"].as_str())
            else {
                continue;
            };
            if dependency["path"].is_string() {
                continue;
            }
            names.entry(name).or_default().insert(user);
            if dependency["source"]
                .as_str()
                .is_some_and(|source| source.starts_with("git+"))
            {
                git.insert(name);
            }
            if dependency["req"] == "*" {
                wildcard.insert(name);
            }
        }
    }
    let users: BTreeMap<_, _> = names
        .iter()
        .map(|(name, users)| (name, users.len()))
        .collect();
    json!({ "direct": names.len(), "users": users, "git": git, "wildcard": wildcard })
}

/// Packages of the lock file that are there in more than one version.
fn duplicates(path: &Path) -> Result<Value, AgentError> {
    let text = std::fs::read_to_string(path.join("Cargo.lock"))
        .map_err(|error| AgentError::failed("Cargo.lock could not be read").with_source(error))?;
    let lock: toml::Table = toml::from_str(&text).map_err(|error| {
        AgentError::invalid_input("Cargo.lock is not valid TOML").with_source(error)
    })?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &packages {
        let field = |name: &str| {
            package
                .get(name)
                .and_then(toml::Value::as_str)
                .map(str::to_owned)
        };
        if let (Some(name), Some(version)) = (field("name"), field("version")) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let doubled: BTreeMap<_, _> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .collect();
    Ok(json!({ "locked": packages.len(), "more_than_one_version": doubled }))
}

/// Lines, files and tests of each package, and the longest files.
fn sizes(root: &Path, files: &[String], metadata: &Value) -> Value {
    let homes: Vec<(String, String)> = members(metadata)
        .filter_map(|package| home(root, package))
        .collect();
    let mut by_package: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    let mut longest: Vec<(usize, &String)> = Vec::new();
    let mut unread = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            unread += 1;
            continue;
        };
        let lines = text.lines().count();
        let tests = text.lines().filter(|line| is_test(line)).count();
        longest.push((lines, file));
        // The deepest package whose directory holds the file.
        let owner = homes
            .iter()
            .filter(|(home, _)| file.starts_with(home.as_str()))
            .max_by_key(|(home, _)| home.len());
        let entry = by_package
            .entry(owner.map_or("(outside any package)", |(_, name)| name))
            .or_default();
        *entry = (entry.0 + 1, entry.1 + lines, entry.2 + tests);
    }
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let packages: BTreeMap<_, _> = by_package
        .into_iter()
        .map(|(name, (files, lines, tests))| {
            (
                name,
                json!({ "files": files, "lines": lines, "tests": tests }),
            )
        })
        .collect();
    let longest: Vec<_> = longest
        .into_iter()
        .take(20)
        .map(|(lines, file)| json!({ "file": file, "lines": lines }))
        .collect();
    json!({ "packages": packages, "longest": longest, "unread": unread })
}

/// The package's directory relative to `root` (with a final slash unless it is `root`), and its name.
fn home(root: &Path, package: &Value) -> Option<(String, String)> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let directory = manifest.parent()?.strip_prefix(root).ok()?.to_str()?;
    let home = if directory.is_empty() {
        String::new()
    } else {
        format!("{directory}/")
    };
    Some((home, package["name"].as_str()?.to_owned()))
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(…)]` and the like, and the `///` fences are not counted.
fn is_test(line: &str) -> bool {
    let line = line.trim();
    let Some(attribute) = line.strip_prefix("#[") else {
        return false;
    };
    let name = attribute.split([']', '(']).next().unwrap_or_default();
    name == "test" || name.ends_with("::test")
}

#[cfg(test)]
mod tests {
    use super::is_test;

    #[test]
    fn test_attributes_are_recognised() {
        for line in [
            "#[test]",
            "    #[tokio::test]",
            "#[tokio::test(flavor = \"current_thread\")]",
        ] {
            assert!(is_test(line), "{line}");
        }
        for line in ["// #[test]", "#[cfg(test)]", "fn test() {}", "#[testing]"] {
            assert!(!is_test(line), "{line}");
        }
    }
}
