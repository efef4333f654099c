//! `tidy`: what the documents name exists, and the tree holds no leftovers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::no_arguments;
use crate::workspace::Workspace;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// The documents that name every crate.
const MAPS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

const NOT_OURS: [&str; 3] = [".git", "target", ".fusebox"];

// Written in two pieces, so that this file passes its own check.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
];
const UNFINISHED: [&str; 2] = [concat!("to", "do!("), concat!("unimple", "mented!(")];
const OPEN_TASK: &str = concat!("TO", "DO");

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let files = files()?;
    let workspace = Workspace::load()?;
    let crates: Vec<&str> = workspace
        .crates()
        .map(|package| package.name.as_str())
        .collect();
    let packages: BTreeSet<&str> = workspace
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for document in DOCUMENTS {
        let Ok(text) = fs::read_to_string(document) else {
            problems.push(format!("{document}: is missing"));
            continue;
        };
        problems.extend(in_document(document, &text, &packages, &files));
        if MAPS.contains(&document) {
            let unnamed = crates.iter().filter(|name| !names(&text, name));
            problems.extend(
                unnamed.map(|name| format!("{document}: does not name the crate `{name}`")),
            );
        }
    }
    for file in &files {
        // Images and the like have no lines.
        if let Ok(text) = fs::read_to_string(file) {
            problems.extend(in_file(file, &text));
        }
    }
    if problems.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    bail!("{}", problems.join("\n"));
}

/// All files of the tree, relative to its root, with `/` between the parts.
fn files() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        let path = if dir.is_empty() {
            Path::new(".")
        } else {
            Path::new(&dir)
        };
        for entry in
            fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if dir.is_empty() {
                name.clone()
            } else {
                format!("{dir}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                open.push(path);
            } else if kind.is_file() {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

fn in_document(
    document: &str,
    text: &str,
    packages: &BTreeSet<&str>,
    files: &BTreeSet<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (n, quoted) in quotations(text) {
        if is_crate_name(quoted) && !packages.contains(quoted) {
            problems.push(format!("{document}:{n}: there is no crate `{quoted}`"));
        }
        if is_path(quoted) && !exists(quoted, files) {
            problems.push(format!("{document}:{n}: there is no file `{quoted}`"));
        }
    }
    problems
}

/// What stands between single backticks, with its line; blocks of code are left out.
fn quotations(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (n, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|quoted| (n, quoted)));
        }
    }
    found
}

fn is_crate_name(word: &str) -> bool {
    word.strip_prefix("fusebox-").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    })
}

/// A name with an ending we use, or one below a directory of ours. Patterns, addresses,
/// placeholders, absolute paths and what a build leaves are none.
fn is_path(word: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        ".rs", ".md", ".toml", ".yml", ".yaml", ".json", ".sh", ".lock",
    ];
    const DIRECTORIES: [&str; 8] = [
        "crates/",
        "xtask/",
        "tests/",
        "docs/",
        "examples/",
        ".github/",
        ".ci/",
        "benches/",
    ];
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let local =
        !word.starts_with(['/', '-']) && !word.starts_with("target/") && !word.contains("..");
    // An ending alone, as in "a `.rs` file".
    let named = ENDINGS
        .iter()
        .any(|ending| word.ends_with(ending) && word.len() > ending.len());
    plain
        && local
        && (named
            || DIRECTORIES
                .iter()
                .any(|directory| word.starts_with(directory)))
}

/// Whether `word` is a file or directory of ours, from the root or from some place below.
fn exists(word: &str, files: &BTreeSet<String>) -> bool {
    let word = word.trim_end_matches('/');
    let inside = format!("/{word}/");
    files.iter().any(|file| {
        file == word || file.ends_with(&format!("/{word}")) || format!("/{file}").contains(&inside)
    })
}

/// Whether `name` stands in the text as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(part_of_word) && !text[at + name.len()..].starts_with(part_of_word)
    })
}

fn in_file(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let rust = file.ends_with(".rs");
    if rust && !text.trim_start().starts_with("//!") {
        problems.push(format!(
            "{file}:1: starts without a `//!` line that says what it is"
        ));
    }
    for (n, line) in (1..).zip(text.lines()) {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| line.contains(**path)) {
            problems.push(format!("{file}:{n}: `{path}` is a path of one machine"));
        }
        if rust && let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            problems.push(format!("{file}:{n}: `{word}…)` is unfinished"));
        }
        if rust && open_task_without_topic(line) {
            problems.push(format!(
                "{file}:{n}: {OPEN_TASK} without a topic; write {OPEN_TASK}(topic)"
            ));
        }
    }
    problems
}

fn open_task_without_topic(line: &str) -> bool {
    line.match_indices(OPEN_TASK).any(|(at, _)| {
        let whole_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let after = &line[at + OPEN_TASK.len()..];
        whole_word && !after.starts_with(|c: char| c.is_alphanumeric() || "_(".contains(c))
    })
}

#[cfg(test)]
mod tests;
