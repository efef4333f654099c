//! A workflow file on disk, or as a journal remembers it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox::orchestrator::file::WorkflowFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The text of a workflow file, and the directory its relative paths begin at. Kept in the journal, so
/// that a resume needs no file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Source {
    name: String,
    pub(crate) directory: PathBuf,
    text: String,
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
        Ok(Self {
            name: path.display().to_string(),
            directory,
            text,
        })
    }

    /// Reads and checks the workflow, the Rust functions and placeholders it names included.
    pub(crate) fn parse(&self) -> Result<WorkflowFile, Failure> {
        let file = WorkflowFile::parse(&self.name, &self.text)?;
        crate::agents::check_functions(&file)?;
        crate::agents::check_placeholders(&file)?;
        crate::agents::check_schemas(&file)?;
        Ok(file)
    }
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
