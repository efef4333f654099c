//! The engine's end of the socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::client::{Found, KIND};
use super::inbox::hand_over;
use super::protocol::{EngineInfo, LiveRunInfo, MAX_REQUEST, Overview, Request, Response};
use super::spot::Spot;
use crate::engine::Engine;
use crate::time::{millis, now_ms};

/// Answers with what was counted.
#[derive(Clone)]
struct Ask(Arc<dyn Fn() -> Answer + Send + Sync>);

type Answer = Pin<Box<dyn Future<Output = Value> + Send>>;

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

/// Listens for those who want to look at an engine or operate it, until it is closed or dropped.
#[derive(Debug)]
pub struct Listener {
    _spot: Spot,
    directory: PathBuf,
    host: Host,
    task: JoinHandle<()>,
}

/// A listener about to [start](Self::start).
#[derive(Debug)]
pub struct ListenerBuilder {
    engine: Engine,
    figures: Option<Ask>,
}

impl ListenerBuilder {
    /// Answers [`Request::Figures`] with what `ask` comes back with, and hands it over at the end. Without, an engine
    /// says that it does not count.
    ///
    /// `ask` is called once per request, and may be called by several at a time.
    #[must_use]
    pub fn figures<F>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Value> + Send + 'static,
    {
        self.figures = Some(Ask(Arc::new(move || Box::pin(ask()))));
        self
    }

    /// Lets the engine be found in `directory`, which is made where it is missing, for its owner alone. Needs a tokio
    /// runtime with I/O.
    ///
    /// Where the directory's path is too long for a socket, that is made in the system's directory for temporary files.
    ///
    /// # Errors
    /// If the directory or the socket cannot be made.
    pub fn start(self, directory: &Path) -> io::Result<Listener> {
        let info = EngineInfo {
            pid: std::process::id(),
            started_ms: next_start(),
        };
        let (spot, listener) = Spot::take(directory, KIND, |socket| Found {
            socket: socket.to_owned(),
            engine: info.clone(),
        })?;
        let host = Host {
            engine: self.engine,
            info,
            figures: self.figures,
        };
        Ok(Listener {
            _spot: spot,
            directory: directory.to_owned(),
            task: tokio::spawn(accept(listener, host.clone())),
            host,
        })
    }
}

impl Listener {
    /// For an engine that does not count; see [`ListenerBuilder::start`].
    ///
    /// # Errors
    /// If the directory or the socket cannot be made.
    pub fn start(engine: &Engine, directory: &Path) -> io::Result<Self> {
        Self::builder(engine).start(directory)
    }

    /// Says more than who listens.
    pub fn builder(engine: &Engine) -> ListenerBuilder {
        ListenerBuilder {
            engine: engine.clone(),
            figures: None,
        }
    }

    /// Hands what was counted over to every [`Inbox`](super::Inbox) of the directory, and then is found no more.
    ///
    /// To be called once nothing more is counted. It takes a second at most, where an inbox does not answer. Dropping
    /// the listener instead leaves nobody with more than they had asked for.
    ///
    /// # Cancellation
    /// The listener is dropped with the future.
    pub async fn close(self) {
        if let Some(figures) = &self.host.figures {
            hand_over(&self.directory, self.host.info.clone(), (figures.0)().await).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Now, in milliseconds; later for each call of a process, so that no two of its engines are taken for one.
fn next_start() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = now_ms();
    let next = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    last.ok().and_then(next).unwrap_or(now)
}

/// Who answers.
#[derive(Debug, Clone)]
struct Host {
    engine: Engine,
    info: EngineInfo,
    figures: Option<Ask>,
}

async fn accept(listener: UnixListener, host: Host) {
    // Those that talk now; they end with the listener.
    let mut talks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let host = host.clone();
                    // Whoever goes away in the middle of an answer has it no more.
                    talks.spawn(async move { let _ = talk(stream, &host).await; });
                }
                // Out of file handles or the like: the next one may have more luck.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

async fn talk(stream: UnixStream, host: &Host) -> io::Result<()> {
    let engine = &host.engine;
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    reader.read_line(&mut line).await?;
    let done = match serde_json::from_str(&line) {
        Err(error) => Err(format!("the request cannot be read: {error}")),
        Ok(Request::Watch) => return watch(engine, reader, writer).await,
        Ok(Request::Overview) => return answer(&mut writer, Ok(overview(host))).await,
        Ok(Request::Figures) => return answer(&mut writer, figures(host).await).await,
        Ok(Request::Operate { agent, action, by }) => {
            let done = engine.operate(&agent, action, &by);
            done.map_err(|error| error.to_string())
        }
        Ok(Request::Cancel { run, by }) => match run.parse() {
            Ok(run) => engine.cancel(&run, &by).map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error}")),
        },
    };
    answer(&mut writer, done).await
}

async fn answer<T: Serialize>(
    writer: &mut (impl AsyncWriteExt + Unpin),
    result: Result<T, String>,
) -> io::Result<()> {
    let response = match result {
        Ok(ok) => Response {
            ok: Some(ok),
            error: None,
        },
        Err(error) => Response {
            ok: None,
            error: Some(error),
        },
    };
    send(writer, &response).await
}

async fn send(
    writer: &mut (impl AsyncWriteExt + Unpin),
    document: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Tells every event until the other side goes. One that is too slow misses some and is told how many.
async fn watch(
    engine: &Engine,
    mut reader: impl AsyncReadExt + Unpin,
    mut writer: impl AsyncWriteExt + Unpin,
) -> io::Result<()> {
    let mut events = engine.subscribe();
    // Says that it listens from here on.
    answer(&mut writer, Ok(())).await?;
    let mut nothing = [0];
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => send(&mut writer, &event).await?,
                Err(RecvError::Lagged(missed)) => {
                    send(&mut writer, &serde_json::json!({ "missed": missed })).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
            // There is nothing to say to a watch: it hangs up, or it is no client of ours.
            _ = reader.read(&mut nothing) => return Ok(()),
        }
    }
}

async fn figures(host: &Host) -> Result<Value, String> {
    match &host.figures {
        Some(figures) => Ok((figures.0)().await),
        None => Err("this engine does not count".to_owned()),
    }
}

fn overview(host: &Host) -> Overview {
    let runs = host.engine.shared.runs.all().into_iter();
    let runs = runs.map(|(run, calls, quiet)| LiveRunInfo {
        run: run.to_string(),
        calls,
        quiet_ms: millis(quiet),
    });
    Overview {
        engine: host.info.clone(),
        health: host.engine.health(),
        runs: runs.collect(),
    }
}
