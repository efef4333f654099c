//! Each fault: what it needs, how it begins, strikes and ends.

use std::time::Duration;

use fusebox_test_server::{Builder, Reply, TestServer};

use super::{Parts, ask};
use crate::words::LONG;

/// Enough keys to be loading for as long as wished for: each is waited for, and after each the
/// server looks at what clients want.
const PADDING_KEYS: usize = 400;
const PADDING_BYTES: usize = 2048;

/// What is done to the server or to the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisFault {
    /// Killed with a request under way; its append-only file brings everything back.
    KilledKept,
    /// Killed with a request under way; it comes back empty.
    KilledEmpty,
    /// Stopped with SIGSTOP, for longer than the deadline.
    Paused,
    /// The connection is reset after the server was asked and before its reply arrives.
    ResetWhileAnswering,
    /// The server does as told, and no reply arrives.
    RepliesSwallowed,
    /// One reply does not arrive; the connection is reset.
    ReplyLost,
    /// Replies are late, within the deadline.
    Slow,
    /// Replies arrive byte by byte.
    Sliced,
    /// No memory is left, and nothing may be evicted.
    Full,
    /// Fewer replicas than the server wants for a write.
    TooFewReplicas,
    /// The server has become a replica.
    ReadOnly,
    /// The server reads its data and is not ready.
    Loading,
    /// The server has forgotten all scripts.
    ScriptsFlushed,
    /// Another password than the one we have.
    PasswordRotated,
    /// The user may not touch our keys and channels any more.
    RightsReduced,
    /// Somebody gave FLUSHALL.
    Emptied,
    /// Where TLS was spoken, it is not any more.
    TlsGone,
    /// Where our server was, there is one that our authority does not vouch for.
    TlsStranger,
}

impl RedisFault {
    /// For the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KilledKept => "killed, restarted with its append-only file",
            Self::KilledEmpty => "killed, restarted empty",
            Self::Paused => "stopped (SIGSTOP) past the deadline, continued",
            Self::ResetWhileAnswering => "connection reset with the reply on its way",
            Self::RepliesSwallowed => "applied, no reply arrives",
            Self::ReplyLost => "applied, one reply lost, connection reset",
            Self::Slow => "every reply 50 ms late",
            Self::Sliced => "replies byte by byte",
            Self::Full => "memory full (`maxmemory`, noeviction)",
            Self::TooFewReplicas => "too few replicas (`min-replicas-to-write`)",
            Self::ReadOnly => "demoted (`READONLY`)",
            Self::Loading => "loading its data (`LOADING`)",
            Self::ScriptsFlushed => "scripts forgotten (`NOSCRIPT`)",
            Self::PasswordRotated => "password changed, connections closed",
            Self::RightsReduced => "rights taken away (ACL)",
            Self::Emptied => "emptied (`FLUSHALL`)",
            Self::TlsGone => "TLS spoken to a plain port",
            Self::TlsStranger => "TLS, a stranger's certificate",
        }
    }

    /// Whether the server, or what stands in its place, answers all the while.
    pub(super) fn is_answered(self) -> bool {
        match self {
            Self::Slow
            | Self::Sliced
            | Self::Full
            | Self::TooFewReplicas
            | Self::ScriptsFlushed
            | Self::PasswordRotated
            | Self::RightsReduced
            | Self::Emptied
            | Self::TlsStranger => true,
            Self::KilledKept
            | Self::KilledEmpty
            | Self::Paused
            | Self::ResetWhileAnswering
            | Self::RepliesSwallowed
            | Self::ReplyLost
            | Self::ReadOnly
            | Self::Loading
            | Self::TlsGone => false,
        }
    }

    pub(super) fn server(self) -> Builder {
        let server = TestServer::builder();
        match self {
            Self::KilledKept => server.append_only(true),
            Self::PasswordRotated => server.password("first"),
            Self::Loading => [
                ["--enable-debug-command", "yes"],
                ["--loading-process-events-interval-bytes", "1024"],
                ["--rdbcompression", "no"],
            ]
            .into_iter()
            .fold(server, |server, [name, value]| server.arg(name).arg(value)),
            Self::TlsGone | Self::TlsStranger => server.tls(),
            _ => server,
        }
    }

    pub(super) fn needs_stranger(self) -> bool {
        self == Self::TlsStranger
    }

    pub(super) fn prepare(self, server: &TestServer) {
        match self {
            Self::RightsReduced => ask(server, "ACL SETUSER worker on >secret ~* &* +@all"),
            Self::Loading => {
                let mut connection = server.connect().expect("the server answers");
                for n in 0..PADDING_KEYS {
                    let words = ["SET", &format!("padding-{n}"), &"x".repeat(PADDING_BYTES)];
                    connection.ask(&words).expect("there is room");
                }
            }
            _ => {}
        }
    }

    /// Where the proxy leads.
    pub(super) fn port(self, server: &TestServer) -> u16 {
        match self {
            Self::TlsGone | Self::TlsStranger => server.tls().port(),
            _ => server.port(),
        }
    }

    /// Through the proxy.
    pub(super) fn url(self, server: &TestServer, port: u16) -> String {
        match self {
            Self::PasswordRotated => format!("redis://:first@127.0.0.1:{port}"),
            Self::RightsReduced => format!("redis://worker:secret@127.0.0.1:{port}"),
            Self::TlsGone | Self::TlsStranger => {
                let ca = server.dir().join("our-ca.pem");
                std::fs::write(&ca, server.tls().ca_pem()).expect("the directory can be written");
                format!("rediss://localhost:{port}?ca={}", ca.display())
            }
            _ => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub(super) fn begin(self, parts: &Parts) {
        let Parts { server, proxy, .. } = parts;
        match self {
            Self::KilledKept | Self::KilledEmpty | Self::Paused => server.pause(),
            Self::ResetWhileAnswering => proxy.delay(Duration::from_millis(500)),
            Self::RepliesSwallowed => proxy.drop_replies(),
            Self::ReplyLost => proxy.drop_next_reply(),
            Self::Slow => proxy.delay(Duration::from_millis(50)),
            Self::Sliced => proxy.slice(),
            Self::Full => parts.ask("CONFIG SET maxmemory 1"),
            Self::TooFewReplicas => parts.ask("CONFIG SET min-replicas-to-write 1"),
            // Nothing listens on port 1, so the replica waits for its primary.
            Self::ReadOnly => parts.ask("REPLICAOF 127.0.0.1 1"),
            Self::Loading => load(parts),
            Self::ScriptsFlushed => parts.ask("SCRIPT FLUSH"),
            Self::PasswordRotated => {
                parts.keep_admin();
                parts.ask_as_admin("CONFIG SET requirepass second");
                parts.ask_as_admin("CLIENT KILL TYPE normal");
                parts.ask_as_admin("CLIENT KILL TYPE pubsub");
            }
            Self::RightsReduced => parts.ask("ACL SETUSER worker resetkeys resetchannels"),
            Self::Emptied => parts.ask("FLUSHALL"),
            Self::TlsGone => lead(parts, server.port()),
            Self::TlsStranger => {
                let stranger = parts.stranger.as_ref().expect("started for this fault");
                lead(parts, stranger.tls().port());
            }
        }
    }

    pub(super) fn strike(self, parts: &Parts) {
        match self {
            Self::KilledKept | Self::KilledEmpty => {
                parts.wait_for_request();
                parts.server.kill();
                parts.server.restart().expect("the server starts again");
            }
            Self::ResetWhileAnswering => {
                parts.wait_for_request();
                parts.proxy.reset();
                parts.proxy.pass();
            }
            _ => {}
        }
    }

    pub(super) fn end(self, parts: &Parts) {
        let Parts { server, proxy, .. } = parts;
        match self {
            Self::Paused => server.resume(),
            Self::ResetWhileAnswering
            | Self::RepliesSwallowed
            | Self::ReplyLost
            | Self::Slow
            | Self::Sliced => proxy.pass(),
            Self::Full => parts.ask("CONFIG SET maxmemory 0"),
            Self::TooFewReplicas => parts.ask("CONFIG SET min-replicas-to-write 0"),
            Self::ReadOnly => parts.ask("REPLICAOF NO ONE"),
            Self::Loading => loaded(parts),
            Self::PasswordRotated => parts.ask_as_admin("CONFIG SET requirepass first"),
            Self::RightsReduced => parts.ask("ACL SETUSER worker ~* &*"),
            Self::TlsGone | Self::TlsStranger => lead(parts, server.tls().port()),
            Self::KilledKept | Self::KilledEmpty | Self::ScriptsFlushed | Self::Emptied => {}
        }
    }
}

/// Whoever is connected has to connect again, elsewhere.
fn lead(parts: &Parts, port: u16) {
    parts.proxy.lead_to(([127, 0, 0, 1], port));
    parts.proxy.reset();
}

/// Has the server read its data anew, slowly, and returns when it says so.
fn load(parts: &Parts) {
    parts.ask("CONFIG SET key-load-delay 50000");
    parts.keep_admin();
    let mut held = parts.held();
    let admin = held.admin.as_mut().expect("just kept");
    admin
        .send(&["DEBUG", "RELOAD"])
        .expect("the server listens");
    let mut other = parts.server.connect().expect("the server answers");
    other.set_patience(LONG).expect("more than zero");
    while !matches!(
        other.call(&["GET", "padding-0"]),
        Ok(Reply::Error(text)) if text.starts_with("LOADING")
    ) {
        std::thread::yield_now();
    }
}

/// Lets it go on at full speed, and returns when it is done.
fn loaded(parts: &Parts) {
    parts.ask("CONFIG SET key-load-delay 0");
    let mut held = parts.held();
    let mut admin = held.admin.take().expect("kept since it began");
    admin.read().expect("the server has loaded its data");
}
