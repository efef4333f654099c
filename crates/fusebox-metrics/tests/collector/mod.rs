//! A collector within the test: takes OTLP over HTTP and keeps what came.

#![allow(dead_code, reason = "each test binary uses a part")]

mod metric;
mod span;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[allow(unused_imports, reason = "each test binary uses a part")]
pub(crate) use self::metric::Row;
#[allow(unused_imports, reason = "each test binary uses a part")]
pub(crate) use self::span::{Seen, ancestry};

/// Everything that came, in the order in which it did.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Seen>,
    pub(crate) rows: Vec<Row>,
    /// As it was on the wire.
    pub(crate) bodies: Vec<u8>,
    /// What the senders say of themselves.
    pub(crate) resources: Vec<(String, String)>,
}

pub(crate) struct Collector {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Received>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (
            listener.local_addr().unwrap(),
            Arc::new(AtomicBool::new(false)),
        );
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut received = Received::default();
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                take(stream.unwrap(), &mut received);
            }
            received
        });
        Self {
            address,
            stop,
            thread,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(self) -> Received {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it from its wait for the next request.
        let _ = TcpStream::connect(self.address);
        self.thread.join().unwrap()
    }
}

/// Reads one request, answers it and hangs up.
fn take(mut stream: TcpStream, received: &mut Received) {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    match first.split(' ').nth(1) {
        Some("/v1/traces") => received.spans.extend(span::read(&body)),
        Some("/v1/metrics") => {
            let (rows, resource) = metric::read(&body);
            received.rows.extend(rows);
            received.resources.extend(resource);
        }
        other => panic!("nothing is sent to {other:?}"),
    }
    received.bodies.extend(body);
}
