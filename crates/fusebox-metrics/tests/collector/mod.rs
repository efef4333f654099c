//! A collector within the test: takes OTLP over HTTP and keeps the spans.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

/// A span as it came.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
    pub(crate) is_error: bool,
    attributes: Vec<(String, Value)>,
}

impl Seen {
    fn of(span: Span) -> Self {
        let attributes = span.attributes.into_iter();
        let status = span.status.unwrap_or_default();
        Self {
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            is_error: status.code() == StatusCode::Error,
            attributes: attributes
                .filter_map(|attribute| Some((attribute.key, attribute.value?.value?)))
                .collect(),
        }
    }

    fn attribute(&self, key: &str) -> Option<&Value> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.attribute(key)? {
            Value::StringValue(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        match self.attribute(key)? {
            Value::IntValue(number) => Some(*number),
            _ => None,
        }
    }
}

/// The names from the outermost span to this one.
pub(crate) fn ancestry<'a>(seen: &'a [Seen], span: &'a Seen) -> Vec<&'a str> {
    let parent = |span: &&'a Seen| seen.iter().find(|other| other.id == span.parent);
    let mut names: Vec<&str> = std::iter::successors(Some(span), parent)
        .map(|span| span.name.as_str())
        .collect();
    names.reverse();
    names
}

pub(crate) struct Collector {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
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
            let mut seen = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                seen.extend(take(stream.unwrap()).into_iter().map(Seen::of));
            }
            seen
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

    /// Everything that came.
    pub(crate) fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it from its wait for the next request.
        let _ = TcpStream::connect(self.address);
        self.thread.join().unwrap()
    }
}

/// Reads one request, answers it and hangs up.
fn take(mut stream: TcpStream) -> Vec<Span> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
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
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let resources = request.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}
