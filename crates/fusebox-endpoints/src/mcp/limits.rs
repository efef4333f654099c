//! What is asked of a server at most.

use std::time::Duration;

/// What an [`McpServer`](super::McpServer) may take: time, bytes, restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct McpLimits {
    pub(super) connect: Duration,
    pub(super) message_bytes: usize,
    pub(super) ping: Duration,
    pub(super) restart_base: Duration,
    pub(super) restart_cap: Duration,
    pub(super) stable_after: Duration,
}

impl Default for McpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            message_bytes: 8 * 1024 * 1024,
            ping: Duration::from_secs(2),
            restart_base: Duration::from_millis(200),
            restart_cap: Duration::from_secs(30),
            stable_after: Duration::from_secs(30),
        }
    }
}

impl McpLimits {
    /// Sets how long the start of a server and its handshake may take; default 10 s. It goes on
    /// when the call that wanted it gives up earlier, so a slow start is not begun over and over.
    #[must_use]
    pub fn with_connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Sets the most bytes of one message from the server; default 8 MiB. One byte more, and the
    /// connection is given up (stdio) or the answer refused (HTTP).
    #[must_use]
    pub fn with_message_bytes(mut self, bytes: usize) -> Self {
        self.message_bytes = bytes;
        self
    }

    /// Sets how long a server that let a call time out may take to answer a ping; default 2 s.
    /// Past it, its connection is given up, and a program is killed.
    #[must_use]
    pub fn with_ping(mut self, limit: Duration) -> Self {
        self.ping = limit;
        self
    }

    /// Sets the wait before a server that failed is started or reached again: `base` after the
    /// first failure, doubled by each further one up to `cap`, half of it drawn. Default 200 ms
    /// and 30 s. A call that comes earlier is refused at once, and told how long.
    #[must_use]
    pub fn with_restart(mut self, base: Duration, cap: Duration) -> Self {
        self.restart_base = base;
        self.restart_cap = cap.max(base);
        self
    }

    /// Sets how long a connection must have lasted for its end to count as the first failure;
    /// default 30 s. One that ends sooner adds to the failures before it, so that a server that
    /// dies of every call is not restarted at the pace of the calls.
    #[must_use]
    pub fn with_stable_after(mut self, duration: Duration) -> Self {
        self.stable_after = duration;
        self
    }
}
