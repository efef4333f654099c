//! The process table, as far as a test has to do with it.
//!
//! A test gives each `fusebox` a variable of its own. Whatever that starts inherits it, directly or
//! over many generations, in whatever process group: whoever still has it was left behind.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

/// The variable that marks a test's processes.
pub(crate) const MARK: &str = "FUSEBOX_TEST_MARK";

/// A process that carries a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.command)
    }
}

/// The living processes that carry `mark`. One that has ended counts no more, reaped or not: its
/// environment is gone.
///
/// # Panics
/// There is no `/proc`.
pub fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let entries = fs::read_dir("/proc").expect("these tests look for processes in /proc");
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    numbers
        .filter(|pid| carries(*pid, wanted.as_bytes()))
        .map(|pid| Process {
            pid,
            command: command_line(pid),
        })
        .collect()
}

/// Sends a signal by the shell's own `kill`.
pub(crate) fn signal(name: &str, pid: u32) -> bool {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// A process of somebody else, or one that just ended, cannot be read and is none of ours.
fn carries(pid: u32, wanted: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted)
}

fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    words.join(" ").trim_end().to_owned()
}
