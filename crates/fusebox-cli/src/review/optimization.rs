//! Optimization: what to do first, ranked, each with the figures that speak for it.

use std::collections::BTreeMap;

use fusebox::agent::{AgentError, Context, Reply, Task};
use serde_json::{Value, json};

/// A file longer than this is worth a look; twice as long counts twice.
const LONG_FILE: u64 = 500;

/// A package with more code than this and no test is worth one.
const UNTESTED: u64 = 100;

struct Action {
    /// Higher comes first. One point is a minor nuisance.
    score: f64,
    title: String,
    why: String,
}

pub(super) async fn call(task: Task, cx: Context) -> Result<Reply, AgentError> {
    let data = super::upstream(&task, "data")?;
    let mut actions = Vec::new();
    doubled_versions(data, &mut actions);
    loose_sources(data, &mut actions);
    untested_packages(data, &mut actions);
    long_files(data, &mut actions);
    unlicensed(data, &mut actions);
    actions.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.title.cmp(&b.title))
    });
    cx.progress(&format!("{} actions ranked", actions.len()));
    let ranked: Vec<Value> = actions
        .iter()
        .enumerate()
        .map(|(index, action)| json!({ "rank": index + 1, "score": action.score, "title": action.title, "why": action.why }))
        .collect();
    Ok(Reply::new(json!({ "actions": ranked })))
}

fn doubled_versions(data: &Value, actions: &mut Vec<Action>) {
    let direct = &data["dependencies"]["users"];
    for (name, versions) in data["duplicates"]["more_than_one_version"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let versions: Vec<&str> = versions
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        // One's own dependency can be moved; one that others bring can only be waited for.
        let (score, whose) = match direct[name].as_u64() {
            Some(users) => (4.0, format!("a direct dependency of {users} packages here")),
            None => (1.0, "brought in by other packages".to_owned()),
        };
        actions.push(Action {
            score: score + 0.5 * versions.len() as f64,
            title: format!("Unify the {} versions of `{name}`", versions.len()),
            why: format!("{} are all built; it is {whose}", versions.join(", ")),
        });
    }
}

fn loose_sources(data: &Value, actions: &mut Vec<Action>) {
    for name in data["dependencies"]["git"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        actions.push(Action {
            score: 5.0,
            title: format!("Depend on a release of `{name}`"),
            why: "it comes from a git repository, which can change or vanish".to_owned(),
        });
    }
    for name in data["dependencies"]["wildcard"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        actions.push(Action {
            score: 6.0,
            title: format!("State a version of `{name}`"),
            why: "its requirement is `*`, which admits every breaking release".to_owned(),
        });
    }
}

fn untested_packages(data: &Value, actions: &mut Vec<Action>) {
    let packages: BTreeMap<String, Value> =
        serde_json::from_value(data["sizes"]["packages"].clone()).unwrap_or_default();
    for (name, size) in packages {
        let (lines, tests) = (
            size["lines"].as_u64().unwrap_or(0),
            size["tests"].as_u64().unwrap_or(0),
        );
        if tests == 0 && lines > UNTESTED {
            actions.push(Action {
                score: 3.0 + lines as f64 / 1000.0,
                title: format!("Write a first test for `{name}`"),
                why: format!("{lines} lines and no test"),
            });
        }
    }
}

fn long_files(data: &Value, actions: &mut Vec<Action>) {
    let churn = data["change"]["churn"].as_array().into_iter().flatten();
    let churn: Vec<(&str, u64)> = churn
        .filter_map(|entry| Some((entry["file"].as_str()?, entry["commits"].as_u64()?)))
        .collect();
    for entry in data["sizes"]["longest"].as_array().into_iter().flatten() {
        let (lines, file) = (
            entry["lines"].as_u64().unwrap_or(0),
            entry["file"].as_str().unwrap_or("?"),
        );
        if lines <= LONG_FILE {
            continue;
        }
        // A long file that many commits touch costs more than one that rests.
        let touched = churn.iter().find(|(name, _)| *name == file);
        let commits = touched.map_or(0, |(_, commits)| *commits);
        actions.push(Action {
            score: lines as f64 / LONG_FILE as f64 + commits as f64 / 10.0,
            title: format!("See whether `{file}` is still one idea"),
            why: match commits {
                0 => format!("{lines} lines"),
                1 => format!("{lines} lines, touched by 1 recent commit"),
                _ => format!("{lines} lines, touched by {commits} recent commits"),
            },
        });
    }
}

fn unlicensed(data: &Value, actions: &mut Vec<Action>) {
    for package in data["packages"].as_array().into_iter().flatten() {
        if package["license"].is_null() {
            actions.push(Action {
                score: 2.0,
                title: format!(
                    "State the licence of `{}`",
                    package["name"].as_str().unwrap_or("?")
                ),
                why: "its manifest has no `license`".to_owned(),
            });
        }
    }
}
