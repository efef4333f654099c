//! The execution log: who called which agent, written beside the journal.

/// One call of an agent, as `--execution-log` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The step it was made for.
    pub step: String,
    /// The attempt within its process, from 1.
    pub attempt: u32,
    /// The idempotency key the agent was given.
    pub key: String,
    /// The process that made it.
    pub pid: u32,
}

impl Call {
    /// Reads one line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let step = words.next()?.to_owned();
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Self {
            step,
            attempt: field("attempt")?.parse().ok()?,
            key: field("key")?.to_owned(),
            pid: field("pid")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_read_whole() {
        let call = Call::parse("run-1 data attempt=2 key=ab12 pid=77").unwrap();
        assert_eq!((call.step.as_str(), call.attempt), ("data", 2));
        assert_eq!((call.key.as_str(), call.pid), ("ab12", 77));
        assert_eq!(Call::parse("run-1 data attempt=2 key=ab12"), None);
    }
}
