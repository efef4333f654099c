//! What a client sees of each fault.

use std::io::ErrorKind;
use std::time::Duration;

use fusebox_fault_proxy::{Fault, Harm, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const EVENTS: &str = "data: one\n\ndata: two\n\ndata: [DONE]\n\n";
const LONG: Duration = Duration::from_secs(60);

/// A service that streams three events, and tells of clients that have gone.
async fn service() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut read = vec![0; 4096];
                let length = client.read(&mut read).await.unwrap_or_default();
                let _ = sender.send(String::from_utf8_lossy(&read[..length]).into_owned());
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                let mut text = head.to_owned();
                for event in EVENTS.split_inclusive("\n\n") {
                    text += &format!("{:x}\r\n{event}\r\n", event.len());
                }
                text += "0\r\n\r\n";
                let _ = client.write_all(text.as_bytes()).await;
                let _ = client.shutdown().await;
            });
        }
    });
    (address, requests)
}

/// What came, and how it ended.
struct Answer {
    status: u16,
    head: String,
    /// The chunks put together.
    body: String,
    /// Whether the last chunk came.
    is_whole: bool,
    error: Option<ErrorKind>,
}

async fn connect(proxy: &Proxy) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address())
        .await
        .expect("it listens");
    let request = "POST /v1/chat HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\nauthorization: Bearer k\r\n\r\nhello";
    client
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    client
}

async fn ask(proxy: &Proxy) -> Answer {
    let mut client = connect(proxy).await;
    let mut bytes = Vec::new();
    let error = timeout(LONG, client.read_to_end(&mut bytes))
        .await
        .expect("it ends");
    let text = String::from_utf8(bytes).expect("it is text");
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let is_chunked = head.contains("transfer-encoding: chunked");
    let pieces = rest.split("\r\n").skip(1).step_by(2);
    Answer {
        status: status.unwrap_or_default(),
        head: head.to_owned(),
        body: if is_chunked {
            pieces.collect()
        } else {
            rest.to_owned()
        },
        is_whole: rest.ends_with("0\r\n\r\n"),
        error: error.err().map(|error| error.kind()),
    }
}

#[tokio::test]
async fn without_a_fault_all_passes() {
    let (upstream, mut requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    let answer = ask(&proxy).await;
    assert_eq!(
        (answer.status, &*answer.body, answer.is_whole),
        (200, EVENTS, true)
    );
    assert!(
        answer.head.contains("content-type: text/event-stream"),
        "{}",
        answer.head
    );
    let request = requests.recv().await.expect("it was passed on");
    assert!(
        request.starts_with("POST /v1/chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n")
    );
    assert_eq!((proxy.requests(), proxy.forwarded()), (1, 1));
}

#[tokio::test]
async fn a_refusal_has_its_status_and_headers_and_stays_away_from_the_service() {
    let (upstream, _requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    proxy.inject_times(Fault::rate_limit(3), 1);
    proxy.inject_times(Fault::status(503), 2);
    let answer = ask(&proxy).await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 3"), "{}", answer.head);
    assert_eq!(
        [ask(&proxy).await.status, ask(&proxy).await.status],
        [503, 503]
    );
    assert_eq!(ask(&proxy).await.status, 200);
    assert_eq!((proxy.requests(), proxy.forwarded()), (4, 1));
}

#[tokio::test]
async fn a_stream_ends_where_it_was_told_to_and_how() {
    let (upstream, _requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    for (fault, body, is_whole) in [
        (Fault::after_events(1, Harm::Cut), "data: one\n\n", false),
        (
            Fault::after_events(2, Harm::End),
            "data: one\n\ndata: two\n\n",
            true,
        ),
        (Fault::after_events(0, Harm::End), "", true),
        (Fault::after_bytes(4, Harm::Cut), "data", false),
    ] {
        proxy.inject_times(fault.clone(), 1);
        let answer = ask(&proxy).await;
        assert_eq!(
            (answer.status, &*answer.body, answer.is_whole),
            (200, body, is_whole),
            "{fault:?}"
        );
        assert_eq!(answer.error, None);
    }
}

#[tokio::test]
async fn a_reset_is_one() {
    let (upstream, _requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    proxy.inject(Fault::after_events(1, Harm::Reset));
    let answer = ask(&proxy).await;
    assert_eq!(
        (answer.error, answer.is_whole),
        (Some(ErrorKind::ConnectionReset), false)
    );
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_gives_up() {
    let (upstream, _requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    for (fault, comes) in [
        (Fault::Silence, ""),
        (Fault::after_events(0, Harm::Stall), "HTTP/1.1 200 OK"),
        (Fault::after_events(1, Harm::Stall), "data: one"),
    ] {
        proxy.inject_times(fault.clone(), 1);
        let mut client = connect(&proxy).await;
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(comes) {
            client.read_buf(&mut read).await.expect("it comes");
        }
        let more = timeout(Duration::from_millis(50), client.read_buf(&mut read)).await;
        let is_rest = more.is_err() || String::from_utf8_lossy(&read).ends_with("\r\n");
        assert!(is_rest, "{fault:?}: {}", String::from_utf8_lossy(&read));
        assert!(!String::from_utf8_lossy(&read).contains("data: two"));
    }
}

#[tokio::test]
async fn a_drip_takes_its_time_and_loses_nothing() {
    let (upstream, _requests) = service().await;
    let proxy = Proxy::start(upstream).await.expect("it starts");
    proxy.inject(Fault::Drip(Duration::from_millis(1)));
    let started = Instant::now();
    let answer = ask(&proxy).await;
    assert_eq!((&*answer.body, answer.is_whole), (EVENTS, true));
    let least = Duration::from_millis(EVENTS.len() as u64);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
}

#[tokio::test]
async fn hanging_up_gives_nothing_and_nobody_behind_it_is_a_502() {
    let proxy = Proxy::start("127.0.0.1:1").await.expect("it starts");
    assert_eq!(ask(&proxy).await.status, 502);
    proxy.inject(Fault::HangUp);
    let answer = ask(&proxy).await;
    assert_eq!((answer.status, &*answer.head), (0, ""));
}
