//! The engine's end of the socket.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::client::Found;
use super::protocol::{EngineInfo, LiveRunInfo, MAX_REQUEST, Overview, Request, Response};
use crate::engine::Engine;
use crate::time::{millis, now_ms};

/// The longest path a socket can have on every system, less some room.
const MAX_PATH: usize = 96;

/// Listens for those who want to look at an engine or operate it, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    notice: PathBuf,
    socket: PathBuf,
    task: JoinHandle<()>,
}

impl Listener {
    /// Lets `engine` be found in `directory`, which is made where it is missing, for its owner alone. Needs a tokio
    /// runtime with I/O.
    ///
    /// Where the directory's path is too long for a socket, that is made in the system's directory for temporary files.
    ///
    /// # Errors
    /// If the directory or the socket cannot be made.
    pub fn start(engine: &Engine, directory: &Path) -> io::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let directory = std::path::absolute(directory)?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory)?;
        let name = format!("{pid}-{number}");
        let near = directory.join(format!("{name}.sock"));
        let far = || std::env::temp_dir().join(format!("fusebox-{name}.sock"));
        let is_short = near.as_os_str().len() <= MAX_PATH;
        let socket = if is_short { near } else { far() };
        // Left by a process of the same number that died: nobody else can have made it.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
        let info = EngineInfo {
            pid,
            started_ms: now_ms(),
        };
        let notice = directory.join(format!("{name}.json"));
        let found = Found {
            socket: socket.clone(),
            engine: info.clone(),
        };
        // Written aside and moved, so that nobody reads half of it.
        let draft = directory.join(format!("{name}.new"));
        std::fs::write(
            &draft,
            serde_json::to_vec(&found).expect("it is plain data"),
        )?;
        std::fs::rename(&draft, &notice)?;
        let task = tokio::spawn(accept(listener, engine.clone(), info));
        Ok(Self {
            notice,
            socket,
            task,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever finds them all the same is told by the connection that nobody is there.
        let _ = std::fs::remove_file(&self.notice);
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn accept(listener: UnixListener, engine: Engine, info: EngineInfo) {
    // Those that talk now; they end with the listener.
    let mut talks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (engine, info) = (engine.clone(), info.clone());
                    // Whoever goes away in the middle of an answer has it no more.
                    talks.spawn(async move { let _ = talk(stream, &engine, info).await; });
                }
                // Out of file handles or the like: the next one may have more luck.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

async fn talk(stream: UnixStream, engine: &Engine, info: EngineInfo) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    reader.read_line(&mut line).await?;
    let done = match serde_json::from_str(&line) {
        Err(error) => Err(format!("the request cannot be read: {error}")),
        Ok(Request::Watch) => return watch(engine, reader, writer).await,
        Ok(Request::Overview) => return answer(&mut writer, Ok(overview(engine, info))).await,
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

fn overview(engine: &Engine, info: EngineInfo) -> Overview {
    let runs = engine.shared.runs.all().into_iter();
    let runs = runs.map(|(run, calls, quiet)| LiveRunInfo {
        run: run.to_string(),
        calls,
        quiet_ms: millis(quiet),
    });
    Overview {
        engine: info,
        health: engine.health(),
        runs: runs.collect(),
    }
}
