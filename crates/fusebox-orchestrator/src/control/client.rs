//! The other end of the socket.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::protocol::{EngineInfo, Overview, Request, Response};
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

/// The engines that listen in `directory`, the oldest first. Notices of those that died are taken away; a directory
/// that is not there holds none.
pub async fn find(directory: &Path) -> Vec<Client> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut clients = Vec::new();
    let notices = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for notice in notices.filter(|path| path.extension().is_some_and(|it| it == "json")) {
        let found = std::fs::read(&notice).ok();
        let found = found.and_then(|bytes| serde_json::from_slice::<Found>(&bytes).ok());
        let Some(Found { socket, engine }) = found else {
            continue;
        };
        match UnixStream::connect(&socket).await {
            Ok(_) => clients.push(Client { socket, engine }),
            // Nobody listens there any more.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                let _ = std::fs::remove_file(&notice);
                let _ = std::fs::remove_file(&socket);
            }
            Err(_) => {}
        }
    }
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

impl Watch {
    /// The next event; `None` once the engine has gone. Events that were missed because nobody asked for them are
    /// passed over.
    ///
    /// # Errors
    /// See [`ControlError`].
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, ControlError> {
        while let Some(line) = self.lines.next_line().await? {
            let document: serde_json::Value = serde_json::from_str(&line)?;
            if document.get("missed").is_none() {
                return Ok(Some(serde_json::from_value(document)?));
            }
        }
        Ok(None)
    }
}
