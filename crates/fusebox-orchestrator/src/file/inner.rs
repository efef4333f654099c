//! Workflow files that are steps of another: which file, what it is given, what becomes of its agents.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use toml::Spanned;

use super::agent::to_json;
use super::diagnostic::{FileError, Source, suggestion};
use super::raw::{RawFeed, RawFile, RawStep};
use super::{AgentSpec, InputSpec, PoolSpec, WorkflowFile};
use crate::workflow::{Feed, Inner, MAX_DEPTH};

/// Files that one file includes, directly or through others, each as often as it is included.
const MAX_FILES: usize = 256;

/// A workflow file that is a step of another.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InnerFile {
    /// Where it is, from the directory of the outermost file on.
    pub path: PathBuf,
    /// What it may be given.
    pub inputs: Vec<InputSpec>,
    /// Where each of its inputs is from.
    pub feeds: BTreeMap<String, Feed>,
}

/// Gives the text of the file at a path, from the directory of the outermost file on; or why not.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// The files being read, each the reason for the next.
pub(super) struct Reading<'a> {
    read: Read<'a>,
    /// How the directory of the outermost file is called.
    home: PathBuf,
    chain: Vec<PathBuf>,
    files: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(name: &str, read: Read<'a>) -> Self {
        let outermost = Path::new(name);
        Self {
            read,
            home: outermost.parent().map(Path::to_owned).unwrap_or_default(),
            chain: vec![outermost.file_name().map(PathBuf::from).unwrap_or_default()],
            files: 0,
        }
    }

    pub(super) fn is_outermost(&self) -> bool {
        self.chain.len() == 1
    }

    /// The file that a step names, read and checked by itself.
    pub(super) fn include(
        &mut self,
        source: &Source,
        named: &Spanned<String>,
    ) -> Result<(PathBuf, WorkflowFile), Vec<FileError>> {
        let fault = |message: String, help: &str| vec![source.error(named.span(), message, help)];
        let here = self.chain.last().and_then(|file| file.parent());
        let path = plain(&here.unwrap_or(Path::new("")).join(named.get_ref()));
        if self.chain.contains(&path) {
            let message = format!("workflow files include each other: {}", self.links(&path));
            return Err(fault(message, "remove one of these steps"));
        }
        if self.chain.len() > MAX_DEPTH {
            let message = format!(
                "workflow files are too deep inside each other: {}",
                self.links(&path)
            );
            return Err(fault(message, "at most 8 may be inside the first"));
        }
        self.files += 1;
        if self.files > MAX_FILES {
            let message = format!("more than {MAX_FILES} workflow files are included");
            return Err(fault(message, "include fewer; each time counts"));
        }
        let text = (self.read)(&path).map_err(|why| {
            let message = format!(
                "workflow file `{}` could not be read: {why}",
                named.get_ref()
            );
            fault(message, "give its path from the directory of this file on")
        })?;
        let name = self.home.join(&path).display().to_string();
        self.chain.push(path.clone());
        let file = WorkflowFile::read(&name, &text, self);
        self.chain.pop();
        let file = file.map_err(super::FileErrors::into_errors)?;
        Ok((path, file))
    }

    fn links(&self, last: &Path) -> String {
        let files = self.chain.iter().map(PathBuf::as_path).chain([last]);
        let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
        files.join(" -> ")
    }
}

/// The path without detours, so that a file has one name.
fn plain(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        let before = parts.components().next_back();
        match (part, before) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts
}

/// A step's workflow, made a part of the file that has the step: its agents under the step's name.
pub(super) struct Included {
    pub(super) inner: Inner,
    pub(super) agents: BTreeMap<String, AgentSpec>,
    pub(super) files: BTreeMap<String, InnerFile>,
    pub(super) reports: Vec<String>,
    pub(super) pools: Vec<PoolSpec>,
}

pub(super) fn include(
    reading: &mut Reading<'_>,
    source: &Source,
    raw: &RawFile,
    step: &RawStep,
    named: &Spanned<String>,
) -> Result<Included, Vec<FileError>> {
    let (path, file) = reading.include(source, named)?;
    let feeds = feeds(source, raw, step, named, &file)?;
    let prefix = format!("{}/", step.name.get_ref());
    let under = |name: &String| format!("{prefix}{name}");
    let agents = file.agents.into_values().map(|agent| {
        let agent = agent.put_inside(step.name.get_ref());
        (agent.name.clone(), agent)
    });
    let mut files: BTreeMap<String, InnerFile> = file
        .inner
        .into_iter()
        .map(|(within, file)| (under(&within), file))
        .collect();
    let workflow = file.workflow.with_agents_under(&prefix);
    let mut inner = Inner::new(workflow);
    for (name, feed) in &feeds {
        inner = inner.with_input(name, feed.clone());
    }
    if feeds.is_empty() {
        inner = inner.without_input();
    }
    let own = InnerFile {
        path,
        inputs: file.inputs,
        feeds,
    };
    files.insert(step.name.get_ref().clone(), own);
    Ok(Included {
        inner,
        agents: agents.collect(),
        files,
        reports: file.reports.iter().map(under).collect(),
        pools: file
            .pools
            .into_iter()
            .map(|pool| PoolSpec {
                name: under(&pool.name),
                ..pool
            })
            .collect(),
    })
}

/// Where each input of an inner file is from: what the step gives, or the file's own default.
fn feeds(
    source: &Source,
    raw: &RawFile,
    step: &RawStep,
    named: &Spanned<String>,
    file: &WorkflowFile,
) -> Result<BTreeMap<String, Feed>, Vec<FileError>> {
    let mut errors = Vec::new();
    let declared = || file.inputs.iter().map(|input| input.name.as_str());
    for given in step.input.keys() {
        if !declared().any(|name| name == given.get_ref()) {
            let message = format!("`{}` has no input `{}`", named.get_ref(), given.get_ref());
            let help = suggestion("inputs", given.get_ref(), declared());
            errors.push(source.error(given.span(), message, help));
        }
    }
    let mut feeds = BTreeMap::new();
    for input in &file.inputs {
        let given = step
            .input
            .iter()
            .find(|(name, _)| *name.get_ref() == input.name);
        let feed = match (given, &input.default) {
            (Some((_, given)), _) => feed(source, raw, input, given),
            (None, Some(default)) if !input.is_directory => Ok(Feed::Value(default.clone().into())),
            (None, _) => {
                let (file, name) = (named.get_ref(), &input.name);
                let message =
                    format!("`{file}` needs input `{name}`, which the step does not give");
                let help = format!(
                    "add input.{name} = {{ input = … }}, {{ step = … }} or {{ value = … }}"
                );
                Err(source.error(named.span(), message, help))
            }
        };
        match feed {
            Ok(feed) => {
                feeds.insert(input.name.clone(), feed);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(feeds)
    } else {
        Err(errors)
    }
}

fn feed(
    source: &Source,
    raw: &RawFile,
    input: &InputSpec,
    given: &Spanned<RawFeed>,
) -> Result<Feed, FileError> {
    let fault = |message: String, help: &str| Err(source.error(given.span(), message, help));
    let directory = || {
        let message = format!(
            "input `{}` is a directory, and this may be none",
            input.name
        );
        fault(
            message,
            "give it an input of this file that is a directory too",
        )
    };
    let at = given.get_ref().at.as_ref().map(|at| at.get_ref().clone());
    match given.get_ref() {
        RawFeed {
            step: Some(step),
            input: None,
            value: None,
            ..
        } => Ok(Feed::step(step.get_ref(), at.unwrap_or_default())),
        RawFeed {
            step: None,
            input: Some(name),
            value: None,
            at: None,
        } => {
            let Some(known) = raw.input.get(name.get_ref()) else {
                let known = raw.input.keys().map(String::as_str);
                let message = format!("this file has no input `{}`", name.get_ref());
                let help = suggestion("inputs", name.get_ref(), known);
                return Err(source.error(name.span(), message, help));
            };
            if input.is_directory && !known.is_directory() {
                return directory();
            }
            let escaped = name.get_ref().replace('~', "~0").replace('/', "~1");
            Ok(Feed::input(format!("/{escaped}")))
        }
        RawFeed {
            step: None,
            input: None,
            value: Some(value),
            at: None,
        } => {
            if input.is_directory {
                return directory();
            }
            Ok(Feed::Value(to_json(value)))
        }
        _ => fault(
            format!("input `{}` needs one place that it is from", input.name),
            "give one of: { step, at }, { input }, { value }",
        ),
    }
}

impl WorkflowFile {
    /// The fields of an agent's input that are known before a run with `input` begins: for an agent of
    /// an inner file those that come from no step, for another one all of them.
    pub fn known_input(&self, agent: &AgentSpec, input: &Value) -> Value {
        let within = agent.within.as_deref();
        within.map_or_else(|| input.clone(), |within| self.known_within(within, input))
    }

    fn known_within(&self, within: &str, input: &Value) -> Value {
        let outer = match within.rsplit_once('/') {
            Some((outer, _)) => self.known_within(outer, input),
            None => input.clone(),
        };
        let known = self
            .inner
            .get(within)
            .into_iter()
            .flat_map(|file| &file.feeds);
        let known = known.filter_map(|(name, feed)| {
            let value = match feed {
                Feed::Value(value) => value.clone(),
                Feed::Input { at } => outer.pointer(at)?.clone(),
                Feed::Step { .. } => return None,
            };
            Some((name.clone(), value))
        });
        Value::Object(known.collect::<Map<String, Value>>())
    }

    /// The directory of the file that defines an agent, from that of the outermost file on.
    pub fn directory_of(&self, agent: &AgentSpec) -> &Path {
        let file = agent
            .within
            .as_ref()
            .and_then(|within| self.inner.get(within));
        let directory = file.and_then(|file| file.path.parent());
        directory.unwrap_or(Path::new(""))
    }
}

#[cfg(test)]
mod tests;
