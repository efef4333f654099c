//! SIGSTOP and SIGCONT through the shell's own `kill`: no unsafe code, and no program that a small
//! machine may lack.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Stops the process; on Linux also waits until it has stopped, at most one second.
pub(crate) fn stop(pid: u32) -> io::Result<()> {
    send("STOP", pid)?;
    let until = Instant::now() + Duration::from_secs(1);
    while runs(pid) {
        if Instant::now() > until {
            return Err(io::Error::other(
                "the signal was sent, the process still runs",
            ));
        }
        thread::yield_now();
    }
    Ok(())
}

pub(crate) fn resume(pid: u32) -> io::Result<()> {
    send("CONT", pid)
}

fn send(signal: &str, pid: u32) -> io::Result<()> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{signal} {pid}"))
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// Whether the kernel calls the process anything but stopped. Where there is no `/proc`, sent
/// counts as stopped.
fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name in parentheses may contain anything, so the state is what follows the last one.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('T'))
}
