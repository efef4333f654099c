//! Runs other programs and says which.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::counts::{Counter, Counts};

/// The cargo that runs us, so that every step uses one toolchain.
pub(crate) fn cargo<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Whether cargo has the subcommand `name` (`nextest`, `deny`).
pub(crate) fn has_subcommand(name: &str) -> bool {
    cargo([name, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Runs in the foreground; a failure is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    echo(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs silently and gives back what it said, whether it succeeded or not.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))
}

/// Like [`capture`], a failure is an error; gives standard output.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = capture(command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "`{}` failed ({}):\n{}",
            line(command),
            output.status,
            said.trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", line(command)))
}

/// Runs in the foreground and counts the tests of the summaries that pass by. The flag tells
/// whether the command succeeded.
pub(crate) fn run_counted(command: &mut Command) -> Result<(Counts, bool)> {
    echo(command);
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let out = child.stdout.take().expect("it was piped");
    let err = child.stderr.take().expect("it was piped");
    // Test results come on standard output from one runner and on standard error from the other.
    let counts = thread::scope(|scope| {
        let out = scope.spawn(|| tee(out, io::stdout()));
        let err = tee(err, io::stderr());
        out.join().expect("the copying thread does not panic") + err
    });
    Ok((counts, child.wait()?.success()))
}

fn tee(mut from: impl Read, mut to: impl Write) -> Counts {
    let mut counter = Counter::default();
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        // A closed terminal must not hide the result.
        let _ = to.write_all(&buffer[..n]).and_then(|()| to.flush());
        counter.push(&buffer[..n]);
    }
    counter.finish()
}

fn echo(command: &Command) {
    eprintln!("$ {}", line(command));
}

/// The command as a user could type it.
pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    command.get_args().fold(name, |line, arg| {
        let arg = arg.to_string_lossy();
        let plain = !arg.is_empty() && !arg.contains([' ', '(', '"']);
        if plain {
            format!("{line} {arg}")
        } else {
            format!("{line} '{arg}'")
        }
    })
}
