//! What cargo says about the workspace.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cmd;

/// Works from the root of the workspace, wherever we were called.
pub(crate) fn enter() -> Result<()> {
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = here.parent().context("xtask lies in a workspace")?;
    env::set_current_dir(root).with_context(|| format!("cannot enter `{}`", root.display()))
}

/// The packages of the workspace and where it builds.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target: PathBuf,
}

/// One package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root.
    pub(crate) manifest: PathBuf,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of its examples.
    pub(crate) examples: Vec<Example>,
}

/// One line under `[dependencies]` or a relative of it.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
}

/// When a dependency is needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// A program under `examples/` of a package.
pub(crate) struct Example {
    pub(crate) name: String,
    pub(crate) source: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let text = cmd::stdout(&mut cmd::cargo([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata is JSON")?;
        let root = PathBuf::from(str_of(&metadata["workspace_root"]));
        let packages = array(&metadata["packages"]).map(|package| Package::read(package, &root));
        Ok(Self {
            packages: packages.collect(),
            target: str_of(&metadata["target_directory"]).into(),
        })
    }

    /// The packages below `crates/`, which others may use.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.manifest.starts_with("crates"))
    }
}

impl Package {
    fn read(package: &Value, root: &Path) -> Self {
        let features: BTreeMap<String, Value> = package["features"]
            .as_object()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let examples = array(&package["targets"])
            .filter(|target| array(&target["kind"]).any(|kind| kind == "example"))
            .map(|target| Example {
                name: str_of(&target["name"]).to_owned(),
                source: str_of(&target["src_path"]).into(),
            });
        Self {
            name: str_of(&package["name"]).to_owned(),
            manifest: relative(str_of(&package["manifest_path"]), root),
            features: features.into_keys().collect(),
            dependencies: array(&package["dependencies"])
                .map(Dependency::read)
                .collect(),
            examples: examples.collect(),
        }
    }

    /// The manifest's text.
    pub(crate) fn manifest_text(&self) -> Result<String> {
        fs::read_to_string(&self.manifest)
            .with_context(|| format!("cannot read `{}`", self.manifest.display()))
    }
}

impl Dependency {
    fn read(dependency: &Value) -> Self {
        Self {
            name: str_of(&dependency["name"]).to_owned(),
            kind: match dependency["kind"].as_str() {
                Some("dev") => Kind::Dev,
                Some("build") => Kind::Build,
                _ => Kind::Normal,
            },
            optional: dependency["optional"].as_bool().unwrap_or_default(),
        }
    }
}

fn relative(path: &str, root: &Path) -> PathBuf {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
