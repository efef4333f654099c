//! A gate that agents wait at until the test opens it, so that it knows where a run is.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wait::eventually;

/// A gate in a directory: agents that run `sh gated.sh` there write down the idempotency key they
/// were given, wait until somebody opens, and then answer `{"step": …}`. Each leaves a child of its
/// own behind that would sleep for long.
///
/// The test holds the FIFO open in both directions, so nothing blocks here, and agents that outlive
/// the test find its end.
#[derive(Debug)]
pub struct Gate {
    dir: PathBuf,
    fifo: File,
}

const SCRIPT: &str = r#"
sleep 1000 &
echo "$FUSEBOX_IDEMPOTENCY_KEY" >> "arrived.$FUSEBOX_STEP"
read -r _ < gate
printf '{"step": "%s"}' "$FUSEBOX_STEP"
"#;

impl Gate {
    /// Makes a closed gate.
    ///
    /// # Panics
    /// The directory cannot be written.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("gate");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo is a standard tool").success());
        let fifo = OpenOptions::new().read(true).write(true).open(path);
        fs::write(dir.join("gated.sh"), SCRIPT).expect("the test's directory can be written");
        Self {
            dir: dir.to_owned(),
            fifo: fifo.expect("a fifo opens in both directions"),
        }
    }

    /// Lets `agents` pass, those that wait or those that come.
    ///
    /// # Panics
    /// The FIFO cannot be written.
    pub fn open(&self, agents: usize) {
        let leaves = vec![b'\n'; agents];
        (&self.fifo).write_all(&leaves).expect("the fifo is open");
    }

    /// Waits until agents have come to the gate `times` for a step; gives the idempotency keys they had.
    ///
    /// # Panics
    /// Fewer come within a minute.
    pub fn arrived(&self, step: &str, times: usize) -> Vec<String> {
        let path = self.dir.join(format!("arrived.{step}"));
        eventually(
            &format!("agent {times} of step `{step}` at the gate"),
            || {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let keys: Vec<String> = text.lines().map(str::to_owned).collect();
                (keys.len() >= times && text.ends_with('\n')).then_some(keys)
            },
        )
    }
}
