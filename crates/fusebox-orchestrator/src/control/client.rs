//! The other end of the socket.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::protocol::{EngineInfo, Overview, Request, Response};
use super::spot::spots;
use crate::event::Event;

/// Where an engine listens, as its notice in the directory says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) socket: PathBuf,
    pub(super) engine: EngineInfo,
}

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It could not be reached, or went away. Whether the request was carried out is not known.
    #[error("the engine does not answer")]
    Gone(#[from] io::Error),
    /// It said something that is no answer: another version, perhaps.
    #[error("the engine's answer cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// It refused; nothing was done.
    #[error("{0}")]
    Refused(String),
}

/// An engine of this host.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    engine: EngineInfo,
}

/// How the notice of an engine ends.
pub(super) const KIND: &str = "json";

/// The engines that listen in `directory`, the oldest first. Notices of those that died are taken away; a directory
/// that is not there holds none.
pub async fn find(directory: &Path) -> Vec<Client> {
    let found = spots(directory, KIND, |found: &Found| &found.socket).await;
    let clients = found.into_iter().map(|(found, _)| Client {
        socket: found.socket,
        engine: found.engine,
    });
    let mut clients: Vec<_> = clients.collect();
    clients.sort_by_key(|client| (client.engine.started_ms, client.engine.pid));
    clients
}

impl Client {
    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> &EngineInfo {
        &self.engine
    }

    /// How the engine is.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn overview(&self) -> Result<Overview, ControlError> {
        self.ask(&Request::Overview).await
    }

    /// What the engine has counted since it began, and its gauges of this moment, as it tells them: a document of
    /// `fusebox_metrics::figures` where it counts so.
    ///
    /// # Errors
    /// See [`ControlError`]; refused where the engine does not count.
    pub async fn figures(&self) -> Result<serde_json::Value, ControlError> {
        self.ask(&Request::Figures).await
    }

    /// Has something done: [`Request::Operate`] or [`Request::Cancel`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn tell(&self, request: &Request) -> Result<(), ControlError> {
        self.ask(request).await
    }

    /// The engine's events from now on.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn watch(&self) -> Result<Watch, ControlError> {
        let (mut lines, writer) = self.send(&Request::Watch).await?;
        read::<()>(lines.next_line().await?)?;
        Ok(Watch {
            lines,
            _writer: writer,
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ControlError> {
        let (mut lines, _writer) = self.send(request).await?;
        read(lines.next_line().await?)
    }

    async fn send(
        &self,
        request: &Request,
    ) -> Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf), ControlError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        Ok((BufReader::new(reader).lines(), writer))
    }
}

fn read<T: DeserializeOwned>(line: Option<String>) -> Result<T, ControlError> {
    let line = line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let response: Response<serde_json::Value> = serde_json::from_str(&line)?;
    if let Some(error) = response.error {
        return Err(ControlError::Refused(error));
    }
    Ok(serde_json::from_value(response.ok.unwrap_or_default())?)
}

/// An engine's events as they come.
#[derive(Debug)]
pub struct Watch {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Hanging up ends the watch.
    _writer: OwnedWriteHalf,
}

/// What a watch is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Told {
    /// Something happened.
    Event(Box<Event>),
    /// So many events happened here that nobody can be told any more: the watch was too slow.
    Missed(u64),
}

/// A line of a watch.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Missed { missed: u64 },
    Event(Box<Event>),
}

impl Watch {
    /// What happened next; `None` once the engine has gone.
    ///
    /// # Errors
    /// See [`ControlError`].
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Told>, ControlError> {
        let Some(line) = self.lines.next_line().await? else {
            return Ok(None);
        };
        Ok(Some(match serde_json::from_str(&line)? {
            Line::Missed { missed } => Told::Missed(missed),
            Line::Event(event) => Told::Event(event),
        }))
    }
}
