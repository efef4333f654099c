//! The heads of requests and answers.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Most bytes of a head.
const HEAD_BYTES: u64 = 64 * 1024;
/// Most bytes of a request's body.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// The first line and the headers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

/// Headers that belong to a connection rather than to the message (RFC 9110, section 7.6.1), and
/// those that the proxy writes itself.
const OWN: [&str; 6] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "upgrade",
];

impl Head {
    /// Reads a head; `None` if there is none.
    pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut lines = from.take(HEAD_BYTES);
        let mut first = String::new();
        if lines.read_line(&mut first).await? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => break,
            }
        }
        let first = first.trim_end().to_owned();
        Ok(Some(Self { first, headers }))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// Whether an answer with this head has no body, whatever its headers say.
    pub(crate) fn is_bodiless(&self) -> bool {
        let status = self.first.split(' ').nth(1).unwrap_or_default();
        status.starts_with('1') || ["204", "304"].contains(&status)
    }

    /// The head as it goes on, with headers of the proxy's own in the place of those of the
    /// connection it came by.
    pub(crate) fn passed_on(&self, own: &str) -> String {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            if !OWN.contains(&name.as_str()) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        text + own + "connection: close\r\n\r\n"
    }
}

/// Reads the body of a request.
pub(crate) async fn request_body(
    head: &Head,
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.is_chunked() {
        loop {
            let mut size = String::new();
            from.read_line(&mut size).await?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let begin = body.len();
            bounded(begin + size)?;
            body.resize(begin + size, 0);
            from.read_exact(&mut body[begin..]).await?;
            from.read_line(&mut String::new()).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = head.length().unwrap_or_default();
    bounded(length)?;
    body.resize(length, 0);
    from.read_exact(&mut body).await?;
    Ok(body)
}

fn bounded(length: usize) -> io::Result<()> {
    match length {
        ..=BODY_BYTES => Ok(()),
        _ => Err(io::Error::other("the body is too large for this proxy")),
    }
}
