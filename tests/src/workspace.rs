//! The main job and something small for it to review.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workflow file that the project ships.
pub const REVIEW: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../examples/workspace-review/workflow.toml"
);

const FILES: [(&str, &str); 6] = [
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"alpha\", \"beta\"]\n",
    ),
    (
        "Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"alpha\"\nversion = \"0.3.1\"\n\n[[package]]\nname = \"beta\"\nversion = \"1.2.0\"\n",
    ),
    (
        "alpha/Cargo.toml",
        "[package]\nname = \"alpha\"\nversion = \"0.3.1\"\nedition = \"2024\"\n",
    ),
    (
        "alpha/src/lib.rs",
        "//! Alpha.\n\npub fn one() -> u32 {\n    1\n}\n\n#[test]\nfn one_is_one() {\n    assert_eq!(one(), 1);\n}\n",
    ),
    (
        "beta/Cargo.toml",
        "[package]\nname = \"beta\"\nversion = \"1.2.0\"\nedition = \"2024\"\n",
    ),
    ("beta/src/main.rs", "//! Beta.\n\nfn main() {}\n"),
];

/// Makes a Cargo workspace under git in `dir/sample`: packages `alpha` 0.3.1 (10 lines, 1 test) and
/// `beta` 1.2.0 (3 lines, no test), no dependencies, two commits.
///
/// # Panics
/// The directory cannot be written, or there is no git.
pub fn sample_workspace(dir: &Path) -> PathBuf {
    let root = dir.join("sample");
    for (path, text) in FILES {
        let path = root.join(path);
        let parent = path.parent().expect("every file is below the root");
        fs::create_dir_all(parent).expect("the test's directory can be written");
        fs::write(path, text).expect("the test's directory can be written");
    }
    git(&root, &["init", "-q", "-b", "main"]);
    git(
        &root,
        &["add", "-A", "--", "Cargo.toml", "Cargo.lock", "alpha"],
    );
    git(&root, &["commit", "-q", "-m", "the first half"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "the second half"]);
    root
}

/// Git as nobody in particular has configured it.
fn git(dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(dir).args([
        "-c",
        "user.name=Tess Ter",
        "-c",
        "user.email=tess@example.org",
        "-c",
        "commit.gpgsign=false",
    ]);
    isolate(&mut command);
    let output = command.args(args).output().expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
}

/// Keeps the caller's git settings, and the repository of a hook that runs the tests, out of it.
pub(crate) fn isolate(command: &mut Command) {
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
}
