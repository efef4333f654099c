//! Who runs a run: an identity that tells a dead owner on this host from a living or a distant one.

use std::fmt;
use std::sync::OnceLock;

/// One incarnation of one process: host and process space, process id, start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    space: String,
    pid: u32,
    started: String,
}

impl Owner {
    /// This process. Looked up once: it takes three reads of the system, and every run asks.
    pub(crate) fn current() -> &'static Self {
        static CURRENT: OnceLock<Owner> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let pid = std::process::id();
            Self {
                space: process_space(),
                pid,
                started: process_start(pid).unwrap_or_default(),
            }
        })
    }

    /// Reads back what `Display` wrote; `None` for an owner written by something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let pid = parts.next()?.strip_prefix("pid-")?.parse().ok()?;
        let started = parts.next()?.to_owned();
        let space = parts.next()?.to_owned();
        Some(Self {
            space,
            pid,
            started,
        })
    }

    /// Whether the owner lives, as far as this process can know.
    pub(crate) fn life(&self) -> Life {
        // Process ids mean nothing across hosts, reboots or containers.
        if self.space.is_empty() || self.space != process_space() {
            return Life::Unknown;
        }
        match process_start(self.pid) {
            Some(started) if started == self.started => Life::Alive,
            _ => Life::Dead,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid-{}/{}/{}", self.pid, self.started, self.space)
    }
}

/// What can be said about another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    Dead,
    /// Elsewhere, or on a system that does not tell.
    Unknown,
}

/// Boot and process-id namespace; empty where the system does not tell.
fn process_space() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.trim().is_empty() {
        return String::new();
    }
    format!(
        "{}.{}",
        boot.trim(),
        namespace.to_string_lossy().replace(['[', ']', ':'], "")
    )
}

/// The start time of a living process in clock ticks since boot. A zombie is dead: it acts no more.
fn process_start(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let state = *fields.first()?;
    (state != "Z" && state != "X").then(|| fields.get(19).map(|ticks| (*ticks).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_back_what_it_wrote() {
        let owner = Owner::current();
        assert_eq!(Owner::parse(&owner.to_string()).as_ref(), Some(owner));
        assert_eq!(Owner::parse("somebody"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_lives_and_an_earlier_holder_of_its_id_does_not() {
        let me = Owner::current();
        assert_eq!(me.life(), Life::Alive);
        let before = Owner {
            started: "1".into(),
            ..me.clone()
        };
        assert_eq!(before.life(), Life::Dead);
        let elsewhere = Owner {
            space: "other".into(),
            ..me.clone()
        };
        assert_eq!(elsewhere.life(), Life::Unknown);
    }
}
