//! Asks a server who it is.

use std::io;
use std::time::Duration;

use crate::resp::{Connection, Reply};

/// How long one question may take where it is asked again anyway: a paused server must not hold up
/// what others agree on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The process id the server on `port` gives, once it answers a PING.
///
/// # Errors
/// Nobody listens, or the answer is not what a ready server says (it may still be loading).
pub(crate) fn process_id(port: u16, password: Option<&str>) -> io::Result<u32> {
    let mut server = connect(port, password, PATIENCE)?;
    expect(server.ask(&["PING"])?, "PONG")?;
    let info = server.ask(&["INFO", "server"])?;
    info.line("process_id")
        .and_then(|pid| pid.parse().ok())
        .ok_or_else(|| io::Error::other("INFO names no process_id"))
}

/// A connection that has given its password.
///
/// # Errors
/// Nobody listens or answers within `patience`, or the password is wrong.
pub(crate) fn connect(
    port: u16,
    password: Option<&str>,
    patience: Duration,
) -> io::Result<Connection> {
    let mut server = Connection::open(port)?;
    server.set_patience(patience)?;
    if let Some(password) = password {
        expect(server.ask(&["AUTH", password])?, "OK")?;
    }
    Ok(server)
}

fn expect(reply: Reply, wanted: &str) -> io::Result<()> {
    match reply.text() == wanted {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "`{}` instead of `{wanted}`",
            reply.text()
        ))),
    }
}
