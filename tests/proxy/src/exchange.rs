//! One request and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use crate::body::{Body, Finder};
use crate::fault::{At, Fault, Harm};
use crate::message::{Head, request_body};
use crate::plan::Plan;

/// Serves one connection. An error ends it, as the network would.
pub(crate) async fn serve(client: TcpStream, upstream: String, plan: Arc<Plan>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (reader, writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    let Some(head) = Head::read(&mut reader).await? else {
        return Ok(()); // it only looked whether somebody is there
    };
    let body = request_body(&head, &mut reader).await?;
    let mut client = Client { reader, writer };
    match plan.next() {
        Some(Fault::HangUp) => Ok(()),
        Some(Fault::Silence) => client.gone().await,
        Some(Fault::Answer {
            status,
            headers,
            body,
        }) => client.answer(status, &headers, &body).await,
        fault => {
            plan.count_forwarded();
            forward(client, &head, &body, &upstream, fault).await
        }
    }
}

async fn forward(
    mut client: Client,
    head: &Head,
    body: &[u8],
    upstream: &str,
    fault: Option<Fault>,
) -> io::Result<()> {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return client.answer(502, &[], "nobody is behind this proxy").await;
    };
    let length = format!("content-length: {}\r\n", body.len());
    server.write_all(head.passed_on(&length).as_bytes()).await?;
    server.write_all(body).await?;
    let mut server = BufReader::new(server);
    let relayed = relay(&mut client.writer, &mut server, fault);
    // A client that gives up must be seen by the service at once, as it would be without a proxy.
    let harm = tokio::select! {
        harm = relayed => harm?,
        _ = gone(&mut client.reader) => return Ok(()),
    };
    match harm {
        Some(Harm::Stall) => client.gone().await,
        Some(Harm::Reset) => client.reset(),
        Some(Harm::Cut) => Ok(()),
        Some(Harm::End) | None => {
            client.writer.write_all(b"0\r\n\r\n").await?;
            client.writer.shutdown().await
        }
    }
}

/// Passes an answer on, up to the point where it is to be harmed if there is one.
async fn relay(
    client: &mut OwnedWriteHalf,
    server: &mut BufReader<TcpStream>,
    fault: Option<Fault>,
) -> io::Result<Option<Harm>> {
    let head = Head::read(server)
        .await?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let (point, pause) = match fault {
        Some(Fault::Break { at, harm }) => (Some((at, harm)), None),
        Some(Fault::Drip(pause)) => (None, Some(pause)),
        _ => (None, None),
    };
    let chunked = "transfer-encoding: chunked\r\n";
    client.write_all(head.passed_on(chunked).as_bytes()).await?;
    let mut point = point.map(|(at, harm)| (Finder::new(at), at, harm));
    if let Some((_, At::Event(0) | At::Byte(0), harm)) = point {
        return Ok(Some(harm));
    }
    let mut body = Body::new(&head, server);
    loop {
        let piece = body.next().await?;
        if piece.is_empty() {
            return Ok(None);
        }
        let found = point.as_mut().and_then(|(finder, ..)| finder.find(&piece));
        let before = &piece[..found.unwrap_or(piece.len())];
        match pause {
            Some(pause) => drip(client, before, pause).await?,
            None => chunk(client, before).await?,
        }
        if let (Some(_), Some((.., harm))) = (found, point.as_ref()) {
            return Ok(Some(*harm));
        }
    }
}

async fn drip(client: &mut OwnedWriteHalf, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        chunk(client, std::slice::from_ref(byte)).await?;
        sleep(pause).await;
    }
    Ok(())
}

async fn chunk(client: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(()); // it would end the body
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    client.write_all(&chunk).await
}

/// The client's end of the connection.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// Waits until the client has gone.
    async fn gone(&mut self) -> io::Result<()> {
        gone(&mut self.reader).await
    }

    async fn answer(
        &mut self,
        status: u16,
        headers: &[(String, String)],
        body: &str,
    ) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} Injected\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        let length = body.len();
        text += &format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        text += &format!("connection: close\r\n\r\n{body}");
        self.writer.write_all(text.as_bytes()).await?;
        self.writer.shutdown().await
    }

    fn reset(self) -> io::Result<()> {
        let socket: &TcpStream = self.writer.as_ref();
        socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        // A dropped half says goodbye first.
        self.writer.forget();
        Ok(())
    }
}

async fn gone(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<()> {
    let mut rest = [0; 1024];
    while reader.read(&mut rest).await? > 0 {}
    Ok(())
}
