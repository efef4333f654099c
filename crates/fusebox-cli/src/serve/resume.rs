//! Resuming a run from the page: in a process of its own, which outlives this one.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use fusebox::RunId;
use tokio::process::{Child, Command};

use super::App;
use super::problem::Problem;
use crate::output;
use crate::place::Place;

/// Where what a resumed run says on standard error goes, beside its reports.
const LOG: &str = "resume.log";

/// Starts `fusebox resume` and answers its process number. It is in a process group of its own, so neither Ctrl-C here
/// nor the end of this process stops it; who wants it stopped cancels the run.
pub(super) fn resume(app: &Arc<App>, run: &RunId) -> Result<u32, Problem> {
    let (child, log) = start(app, run).map_err(|error| Problem::unavailable(&error))?;
    let pid = child.id().unwrap_or_default();
    tokio::spawn(tell_the_end(
        Arc::clone(app),
        child,
        run.to_string(),
        pid,
        log,
    ));
    Ok(pid)
}

fn start(app: &App, run: &RunId) -> anyhow::Result<(Child, std::path::PathBuf)> {
    let directory = Place::artifacts_in(&app.place, run)?;
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("{} could not be made", directory.display()))?;
    let path = directory.join(LOG);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("{} could not be written", path.display()))?;
    let program = std::env::current_exe().context("this program is not found")?;
    let mut command = Command::new(program);
    command.arg("resume").arg(run.as_str());
    command.arg("--state-dir").arg(&app.place.state_dir);
    if let Some(url) = &app.place.state {
        command.arg("--state").arg(url);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    #[cfg(unix)]
    command.process_group(0);
    let child = command
        .spawn()
        .context("`fusebox resume` could not be started")?;
    Ok((child, path))
}

/// Says how it ended, on standard error and to those who listen.
async fn tell_the_end(
    app: Arc<App>,
    mut child: Child,
    run: String,
    pid: u32,
    log: std::path::PathBuf,
) {
    let status = child.wait().await;
    let code = status.ok().and_then(|status| status.code());
    let mut text = match code {
        Some(code) => format!("resume of {run} ended with code {code}"),
        None => format!("resume of {run} was killed"),
    };
    if let Some(1 | 2) = code {
        text += &format!(": {}", last_line(&log));
    }
    output::remark(&text);
    app.engines
        .feed
        .remark("resume_ended", pid, Some(&run), &text);
}

fn last_line(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or_default().to_owned()
}
