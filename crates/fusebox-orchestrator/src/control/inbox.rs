//! Where engines that end leave their last figures.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::protocol::{EngineInfo, LastFigures};
use super::spot::{Spot, spots};

/// How the notice of an inbox ends.
const KIND: &str = "inbox";

/// The longest line an inbox takes: more than the figures of an engine with every label at its bound.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// Figures kept until they are taken. While there are as many, engines that end wait.
const KEPT: usize = 1024;

/// How long an engine that ends waits for the inboxes, and an inbox for one that talks to it.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Found {
    inbox: PathBuf,
}

/// Takes what engines of this host had counted when they ended, however short their life was: each that
/// [closes](super::Listener::close) in the directory tells every inbox there.
#[derive(Debug)]
pub struct Inbox {
    spot: Spot,
    received: mpsc::Receiver<LastFigures>,
    task: JoinHandle<()>,
}

impl Inbox {
    /// Can be found in `directory` from now on, which is made where it is missing, for its owner alone; until it is
    /// dropped. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// If the directory or the socket cannot be made.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let (spot, listener) = Spot::take(directory, KIND, |socket| Found {
            inbox: socket.to_owned(),
        })?;
        let (sender, received) = mpsc::channel(KEPT);
        let task = tokio::spawn(accept(listener, sender));
        Ok(Self {
            spot,
            received,
            task,
        })
    }

    /// What has come since the last call. What an engine that is not found any more had told is in it.
    pub fn take(&mut self) -> Vec<LastFigures> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }

    /// Whether engines can still find it: somebody may have taken the directory away.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.spot.is_there()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<LastFigures>) {
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let sender = sender.clone();
                    talks.spawn(tokio::time::timeout(PATIENCE, receive(stream, sender)));
                }
                // Out of file handles or the like: the next one may have more luck.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

async fn receive(stream: UnixStream, sender: mpsc::Sender<LastFigures>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_LINE));
    reader.read_line(&mut line).await?;
    let last: LastFigures = serde_json::from_str(&line)?;
    // It is only told that they are here once they are: then it may go.
    if sender.send(last).await.is_ok() {
        writer.write_all(b"{\"ok\":null}\n").await?;
    }
    Ok(())
}

/// Tells every inbox in `directory`, all at once. One that does not take them in time goes without.
pub(super) async fn hand_over(directory: &Path, engine: EngineInfo, figures: serde_json::Value) {
    let inboxes = spots(directory, KIND, |found: &Found| &found.inbox).await;
    if inboxes.is_empty() {
        return;
    }
    let last = LastFigures { engine, figures };
    let mut line = serde_json::to_vec(&last).expect("it is plain data");
    line.push(b'\n');
    let line: std::sync::Arc<[u8]> = line.into();
    let mut told = JoinSet::new();
    for mut stream in inboxes.into_iter().filter_map(|(_, stream)| stream) {
        let line = std::sync::Arc::clone(&line);
        told.spawn(tokio::time::timeout(PATIENCE, async move {
            stream.write_all(&line).await?;
            stream.read_u8().await
        }));
    }
    while told.join_next().await.is_some() {}
}
