//! A workflow file on disk, or as a journal remembers it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox::orchestrator::file::WorkflowFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The text of a workflow file and of those it includes, and the directory its relative paths begin at.
/// Kept in the journal, so that a resume needs no file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Source {
    name: String,
    pub(crate) directory: PathBuf,
    text: String,
    /// The files it includes, by their paths from the directory on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<PathBuf, Included>,
}

/// A file that another includes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Included {
    Text(String),
    /// Why it could not be read.
    Unread(String),
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let unread = |error: std::io::Error| {
            Failure::misuse(format!(
                "{} could not be read: {error}; give the path of a workflow file",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(path).map_err(unread)?;
        let full = path.canonicalize().map_err(unread)?;
        let directory = full.parent().map(Path::to_owned).unwrap_or_default();
        let name = path.display().to_string();
        let files = includes(&name, &text, &directory);
        Ok(Self {
            name,
            directory,
            text,
            files,
        })
    }

    /// Reads and checks the workflow, the Rust functions and placeholders it names included.
    pub(crate) fn parse(&self) -> Result<WorkflowFile, Failure> {
        let file =
            WorkflowFile::parse_with(&self.name, &self.text, &|path| match self.files.get(path) {
                Some(Included::Text(text)) => Ok(text.clone()),
                Some(Included::Unread(why)) => Err(why.clone()),
                None => Err("it was not kept with the others".to_owned()),
            })?;
        crate::agents::check_functions(&file)?;
        crate::agents::check_placeholders(&file)?;
        crate::agents::check_schemas(&file)?;
        Ok(file)
    }
}

/// The files that one includes, directly or through others, whether or not they are good.
fn includes(name: &str, text: &str, directory: &Path) -> BTreeMap<PathBuf, Included> {
    let files = RefCell::new(BTreeMap::new());
    let read = |path: &Path| {
        let read = std::fs::read_to_string(directory.join(path)).map_err(|e| e.to_string());
        let kept = match &read {
            Ok(text) => Included::Text(text.clone()),
            Err(why) => Included::Unread(why.clone()),
        };
        files.borrow_mut().insert(path.to_owned(), kept);
        read
    };
    // What is wrong with them is told when they are parsed in earnest.
    let _ = WorkflowFile::parse_with(name, text, &read);
    files.into_inner()
}

/// The run's input: what the file declares, filled with what the caller gave.
pub(crate) fn inputs(file: &WorkflowFile, given: &[(String, String)]) -> Result<Value, Failure> {
    let declared: Vec<&str> = file
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in given {
        if !declared.contains(&name.as_str()) {
            let known = if declared.is_empty() {
                "it has none".to_owned()
            } else {
                declared.join(", ")
            };
            return Err(Failure::misuse(format!(
                "this workflow has no input `{name}`; inputs: {known}"
            )));
        }
        if values.insert(name, value.clone()).is_some() {
            return Err(Failure::misuse(format!("input `{name}` is given twice")));
        }
    }
    for input in &file.inputs {
        let value = values
            .remove(input.name.as_str())
            .or_else(|| input.default.clone())
            .ok_or_else(|| {
                let what = input.description.as_deref().unwrap_or("it has no default");
                Failure::misuse(format!(
                    "input `{0}` is missing ({what}); give it with --input {0}=VALUE",
                    input.name
                ))
            })?;
        let value = if input.is_directory {
            directory(&input.name, &value)?
        } else {
            value
        };
        values.insert(&input.name, value);
    }
    Ok(json!(values))
}

fn directory(name: &str, value: &str) -> Result<String, Failure> {
    let path = std::fs::canonicalize(value).map_err(|error| {
        Failure::misuse(format!(
            "input `{name}`: {value}: {error}; give an existing directory"
        ))
    })?;
    if !path.is_dir() {
        return Err(Failure::misuse(format!(
            "input `{name}`: {value} is not a directory"
        )));
    }
    path.into_os_string().into_string().map_err(|_| {
        Failure::misuse(format!(
            "input `{name}`: {value} is not UTF-8; rename it or link to it"
        ))
    })
}
