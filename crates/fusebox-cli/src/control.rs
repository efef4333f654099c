//! Having the engines of a place do something.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use fusebox::orchestrator::control::{Client, ControlError, Request};

/// How long an engine that does not answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why nothing was done, as far as is known.
#[derive(Debug)]
pub(crate) enum Untold {
    /// There is no engine.
    Nobody,
    /// Every engine there is refused; the last one's words.
    Refused(String),
    /// An engine may have done it, or do it yet.
    Silent { pid: u32, error: ControlError },
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str(
                "no engine runs here; breakers live in the process of `fusebox run` and `resume`",
            ),
            Self::Refused(why) => f.write_str(why),
            Self::Silent { pid, .. } => write!(
                f,
                "process {pid} gives no answer; it may have done it, or do it yet: look at it before trying again"
            ),
        }
    }
}

impl Error for Untold {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Silent { error, .. } => Some(error),
            Self::Nobody | Self::Refused(_) => None,
        }
    }
}

/// Every engine that can does it: to whoever operates, an agent is one. Answers with their processes, of which there
/// is at least one.
pub(crate) async fn tell_all(clients: &[Client], request: &Request) -> Result<Vec<u32>, Untold> {
    let (mut done, mut refused) = (Vec::new(), Untold::Nobody);
    for client in clients {
        match tell(client, request).await {
            Ok(()) => done.push(client.engine().pid),
            Err(Untold::Nobody) => {}
            Err(Untold::Refused(why)) => refused = Untold::Refused(why),
            Err(silent) => return Err(silent),
        }
    }
    if done.is_empty() {
        return Err(refused);
    }
    Ok(done)
}

/// The first engine that can does it. Answers with its process.
pub(crate) async fn tell_one(clients: &[Client], request: &Request) -> Result<u32, Untold> {
    let mut refused = Untold::Nobody;
    for client in clients {
        match tell(client, request).await {
            Ok(()) => return Ok(client.engine().pid),
            Err(Untold::Nobody) => {}
            Err(Untold::Refused(why)) => refused = Untold::Refused(why),
            Err(silent) => return Err(silent),
        }
    }
    Err(refused)
}

async fn tell(client: &Client, request: &Request) -> Result<(), Untold> {
    let told = tokio::time::timeout(PATIENCE, client.tell(request)).await;
    let told = told.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    told.map_err(|error| match error {
        ControlError::Refused(why) => Untold::Refused(why),
        // It has just ended.
        ControlError::Gone(gone) if gone.kind() != io::ErrorKind::TimedOut => Untold::Nobody,
        error => Untold::Silent {
            pid: client.engine().pid,
            error,
        },
    })
}
