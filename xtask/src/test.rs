//! `test`: every test there is, with a real Redis or Valkey server.
//!
//! Doc tests need no server: an example that talks to one is marked `no_run`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fusebox_test_server::{ENV, ENV_ALL};

use crate::counts::Counts;
use crate::stages::Stages;
use crate::workspace::Workspace;
use crate::{cmd, consumers, server};

/// Tests that start a server have this in their name.
const REDIS: &str = "redis";

/// Tests that need a server built with TLS have this in their name.
const TLS: &str = "tls_redis";

/// Tests that cut a network of servers have this in their name.
const CUT: &str = "cut_redis";

/// Tests that drive a browser have this in their name.
const CHROMIUM: &str = "in_chromium";

/// The variable that names the browser, and where it is looked for otherwise, as `tests/src/browser.rs` has it.
const BROWSER_ENV: &str = "FUSEBOX_CHROMIUM";
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

pub(crate) fn main(args: &[String]) -> Result<()> {
    let plan = Plan::read(args)?;
    let workspace = Workspace::load()?;
    let (server, mut skips) = match plan.no_redis {
        true => {
            println!("test server: none (--no-redis)");
            (None, vec![Skip::new(REDIS, "--no-redis")])
        }
        false => {
            let server = server::locate(&workspace)?;
            println!("test server: {server}");
            let all = server::locate_all(&workspace);
            all.report();
            let mut skips = Vec::new();
            if !all.speaks_tls() && !server.speaks_tls() {
                skips.push(Skip::new(TLS, "no server here is built with TLS"));
            }
            if !cfg!(target_os = "linux") {
                skips.push(Skip::new(CUT, "only Linux has the addresses it needs"));
            }
            let servers = Servers {
                default: server.path,
                all: all.variable(),
            };
            (Some(servers), skips)
        }
    };
    skips.extend(chromium());
    let mut stages = Stages::default();
    let mut binary = None;
    let built = stages.step("build what tests run", || {
        binary = Some(build_command()?);
        // Tests start some examples as programs; `cargo test` with chosen targets leaves them out.
        let examples = ["build", "--workspace", "--all-features", "--examples"];
        cmd::run(&mut cmd::cargo(examples))
    });
    if built {
        let suite = Suite {
            plan,
            nextest: cmd::has_subcommand("nextest"),
            server,
            skips,
            binary,
        };
        stages.tests("unit and integration tests", || suite.workspace());
        stages.tests("doc tests", || suite.docs());
        stages.tests("consumers", || {
            consumers::run(&workspace.target, &suite.plan.filters)
        });
    }
    stages.finish_tests()
}

/// Says which browser there is, or what is left out without one.
fn chromium() -> Option<Skip> {
    let found = browser();
    match &found {
        Some(path) => println!("browser: {}", path.display()),
        None => println!("browser: none (install chromium, or name one in {BROWSER_ENV})"),
    }
    found
        .is_none()
        .then(|| Skip::new(CHROMIUM, "there is no Chromium here"))
}

/// The browser that those tests find.
fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(BROWSER_ENV).filter(|value| !value.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let all = std::env::split_paths(&path)
        .flat_map(|directory| BROWSERS.map(|name| directory.join(name)))
        .collect::<Vec<_>>();
    all.into_iter().find(|path| path.is_file())
}

struct Plan {
    no_redis: bool,
    filters: Vec<String>,
}

impl Plan {
    fn read(args: &[String]) -> Result<Self> {
        let (flags, filters): (Vec<_>, Vec<_>) =
            args.iter().cloned().partition(|arg| arg.starts_with('-'));
        if let Some(flag) = flags.iter().find(|flag| *flag != "--no-redis") {
            bail!("`test` knows --no-redis only, not `{flag}`; see `cargo xtask help`");
        }
        Ok(Self {
            no_redis: !flags.is_empty(),
            filters,
        })
    }
}

/// What tests find in the variables of the same meaning.
struct Servers {
    default: PathBuf,
    all: String,
}

/// Tests that cannot run here.
struct Skip {
    /// Part of their names.
    pattern: &'static str,
    reason: &'static str,
}

impl Skip {
    fn new(pattern: &'static str, reason: &'static str) -> Self {
        Self { pattern, reason }
    }
}

struct Suite {
    plan: Plan,
    nextest: bool,
    server: Option<Servers>,
    skips: Vec<Skip>,
    binary: Option<PathBuf>,
}

impl Suite {
    fn workspace(&self) -> Result<(Counts, bool)> {
        let mut command = self.runner("run");
        if self.nextest {
            command
                .args(["--no-fail-fast", "--no-tests", "pass"])
                .args(["--test-threads", &at_once().to_string()])
                .args(&self.plan.filters);
            let skipped = self.skips.iter().map(|it| format!("test({})", it.pattern));
            let skipped: Vec<String> = skipped.collect();
            if !skipped.is_empty() {
                command.args(["-E", &format!("not ({})", skipped.join(" or "))]);
            }
        } else {
            command
                .args(["--no-fail-fast", "--"])
                .args(&self.plan.filters);
            for skip in &self.skips {
                command.args(["--skip", skip.pattern]);
            }
        }
        let result = cmd::run_counted(&mut command)?;
        if result.0.skipped > 0 && self.plan.filters.is_empty() {
            self.name_the_skipped()?;
        }
        Ok(result)
    }

    fn docs(&self) -> Result<(Counts, bool)> {
        let mut command = self.with_env(cmd::cargo([
            "test",
            "--doc",
            "--workspace",
            "--all-features",
        ]));
        command
            .args(["--no-fail-fast", "--"])
            .args(&self.plan.filters);
        cmd::run_counted(&mut command)
    }

    /// A test that did not run is named, with the reason.
    fn name_the_skipped(&self) -> Result<()> {
        println!();
        for Skip { pattern, reason } in &self.skips {
            for test in self.list(&["-E", &format!("test({pattern})")], &[pattern])? {
                println!("skipped ({reason}): {test}");
            }
        }
        for test in self.list(&["--run-ignored", "only"], &["--ignored"])? {
            println!("skipped (#[ignore]): {test}");
        }
        Ok(())
    }

    fn list(&self, nextest: &[&str], libtest: &[&str]) -> Result<Vec<String>> {
        let mut command = self.runner("list");
        if self.nextest {
            command.args(["--message-format", "oneline"]).args(nextest);
        } else {
            command.args(["--quiet", "--", "--list"]).args(libtest);
        }
        Ok(cmd::stdout(&mut command)?
            .lines()
            .filter_map(listed_test)
            .collect())
    }

    fn runner(&self, nextest_verb: &str) -> Command {
        let command = match self.nextest {
            true => cmd::cargo(["nextest", nextest_verb, "--workspace", "--all-features"]),
            false => {
                let targets = ["--lib", "--bins", "--tests"];
                cmd::cargo(
                    ["test", "--workspace", "--all-features"]
                        .iter()
                        .chain(&targets),
                )
            }
        };
        self.with_env(command)
    }

    fn with_env(&self, mut command: Command) -> Command {
        match &self.server {
            Some(servers) => command
                .env(ENV, &servers.default)
                .env(ENV_ALL, &servers.all),
            None => command.env("FUSEBOX_TEST_NO_REDIS", "1"),
        };
        if let Some(binary) = &self.binary {
            command.env("FUSEBOX_BIN", binary);
        }
        command
    }
}

/// How many tests run side by side. Two per core: many of them wait for a server to fail over.
fn at_once() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// One line of a list: `name: test` from cargo's runner, `binary name` from nextest; `None` for
/// what the former prints around its list.
fn listed_test(line: &str) -> Option<String> {
    match line.rsplit_once(": ") {
        Some((name, "test")) => Some(name.to_owned()),
        Some(_) => None,
        None if line.contains("::") || line.split(' ').count() == 2 => Some(line.to_owned()),
        None => None,
    }
}

/// Builds `fusebox` for the end-to-end tests; gives its path.
pub(crate) fn build_command() -> Result<PathBuf> {
    // Errors first in words for people; the messages for us would hide them.
    cmd::run(&mut cmd::cargo(["build", "--package", "fusebox-cli"]))?;
    let mut again = cmd::cargo(["build", "--quiet", "--package", "fusebox-cli"]);
    executable(&cmd::stdout(again.args(["--message-format", "json"]))?)
        .context("fusebox-cli builds no program called fusebox")
}

fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .find(|path| path.file_stem() == Path::new("fusebox").file_stem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_lists_are_read() {
        assert_eq!(
            listed_test("a::redis_test: test").as_deref(),
            Some("a::redis_test")
        );
        assert_eq!(
            listed_test("crate::binary some_test").as_deref(),
            Some("crate::binary some_test")
        );
        assert_eq!(
            listed_test("crate some_test").as_deref(),
            Some("crate some_test")
        );
        assert_eq!(listed_test("2 tests, 0 benchmarks"), None);
        assert_eq!(listed_test(""), None);
    }

    #[test]
    fn the_command_is_found_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
             {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/fusebox\"}\n";
        assert_eq!(
            executable(messages),
            Some(PathBuf::from("/t/debug/fusebox"))
        );
        assert_eq!(executable("{}"), None);
    }

    #[test]
    fn an_unknown_flag_is_refused_not_taken_for_a_filter() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(Plan::read(&words("--no-reddis store")).is_err());
        let plan = Plan::read(&words("store --no-redis")).unwrap();
        assert!(plan.no_redis && plan.filters == ["store"]);
    }
}
