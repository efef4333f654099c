//! Aggregation: facts and actions as one document.

use std::fmt::Write as _;

use fusebox::agent::{AgentError, Context, Reply, Task};
use serde_json::{Value, json};

pub(super) async fn call(task: Task, _cx: Context) -> Result<Reply, AgentError> {
    let data = super::upstream(&task, "data")?;
    let actions = &super::upstream(&task, "optimization")?["actions"];
    let path = super::path(&task)?;
    let name = path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mut text = format!("# Workspace review: {name}\n\n");
    overview(&mut text, data);
    ranked(&mut text, actions);
    changed(&mut text, &data["change"]);
    packages(&mut text, data);
    doubled(&mut text, data);
    longest(&mut text, data);
    Ok(Reply::new(
        json!({ "title": format!("Workspace review: {name}"), "markdown": text }),
    ))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

fn overview(text: &mut String, data: &Value) {
    let sizes = data["sizes"]["packages"].as_object();
    let sum = |field: &str| -> u64 {
        sizes
            .into_iter()
            .flatten()
            .map(|(_, size)| size[field].as_u64().unwrap_or(0))
            .sum()
    };
    let doubled = data["duplicates"]["more_than_one_version"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    let _ = writeln!(
        text,
        "{} packages, {} source files, {} lines of Rust, {} tests. {} direct dependencies, {} packages locked, {doubled} of them in more than one version.\n",
        list(&data["packages"]).count(),
        sum("files"),
        sum("lines"),
        sum("tests"),
        data["dependencies"]["direct"],
        data["duplicates"]["locked"]
            .as_u64()
            .map_or_else(|| "no".to_owned(), |locked| locked.to_string()),
    );
}

fn ranked(text: &mut String, actions: &Value) {
    text.push_str("## What to do first\n\n");
    if list(actions).next().is_none() {
        text.push_str("Nothing was found that is worth doing.\n");
    }
    for action in list(actions).take(15) {
        let _ = writeln!(
            text,
            "{}. **{}**: {}",
            action["rank"],
            text_of(&action["title"]),
            text_of(&action["why"])
        );
    }
    text.push('\n');
}

fn changed(text: &mut String, change: &Value) {
    text.push_str("## What changed lately\n\n");
    let branch = change["branch"]
        .as_str()
        .filter(|branch| !branch.is_empty());
    let _ = writeln!(
        text,
        "{} commits looked at, on {}; {} files with uncommitted changes.\n",
        change["commits"],
        branch.map_or_else(
            || "no branch".to_owned(),
            |branch| format!("branch `{branch}`")
        ),
        change["uncommitted"],
    );
    if list(&change["latest"]).next().is_some() {
        text.push_str("| commit | subject | author | date |\n|---|---|---|---|\n");
    }
    for commit in list(&change["latest"]) {
        let day = text_of(&commit["at"]).split('T').next().unwrap_or_default();
        let cell = |field: &str| text_of(&commit[field]).replace('|', "/");
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {day} |",
            cell("hash"),
            cell("subject"),
            cell("author")
        );
    }
    if list(&change["churn"]).next().is_some() {
        text.push_str("\n| most changed file | commits |\n|---|---|\n");
    }
    for entry in list(&change["churn"]).take(10) {
        let _ = writeln!(
            text,
            "| {} | {} |",
            text_of(&entry["file"]),
            entry["commits"]
        );
    }
    text.push('\n');
}

fn packages(text: &mut String, data: &Value) {
    text.push_str(
        "## Packages\n\n| package | version | files | lines | tests |\n|---|---|---|---|---|\n",
    );
    for package in list(&data["packages"]) {
        let name = text_of(&package["name"]);
        let size = &data["sizes"]["packages"][name];
        let count = |field: &str| size[field].as_u64().unwrap_or(0);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            text_of(&package["version"]),
            count("files"),
            count("lines"),
            count("tests")
        );
    }
    text.push('\n');
}

fn doubled(text: &mut String, data: &Value) {
    let Some(doubled) = data["duplicates"]["more_than_one_version"]
        .as_object()
        .filter(|map| !map.is_empty())
    else {
        return;
    };
    text.push_str("## In more than one version\n\n| package | versions |\n|---|---|\n");
    for (name, versions) in doubled {
        let versions: Vec<&str> = list(versions).filter_map(Value::as_str).collect();
        let _ = writeln!(text, "| {name} | {} |", versions.join(", "));
    }
    text.push('\n');
}

fn longest(text: &mut String, data: &Value) {
    text.push_str("## Longest files\n\n| file | lines |\n|---|---|\n");
    for entry in list(&data["sizes"]["longest"]).take(10) {
        let _ = writeln!(text, "| {} | {} |", text_of(&entry["file"]), entry["lines"]);
    }
}
