//! The fault injector: each fault does what it says, and nothing before it was asked for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fusebox_test_server::{Connection, Proxy, Reply, TestServer};

const SILENCE: Duration = Duration::from_millis(100);

fn pair() -> (TestServer, Proxy) {
    let server = TestServer::start().unwrap();
    let proxy = Proxy::to_port(server.port()).unwrap();
    (server, proxy)
}

fn ok() -> Reply {
    Reply::Status("OK".to_owned())
}

fn stored(server: &TestServer, key: &str) -> Reply {
    server.ask(&["GET", key]).unwrap()
}

/// A reply that came, or the kind of its absence.
fn within(connection: &mut Connection, patience: Duration) -> Result<Reply, ErrorKind> {
    connection.set_patience(patience).unwrap();
    connection.read().map_err(|error| error.kind())
}

fn is_silence<T: std::fmt::Debug>(result: Result<T, ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

#[test]
fn a_passing_proxy_forwards_to_redis_and_counts() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    assert_eq!(client.call(&["SET", "k", "v"]).unwrap(), ok());
    assert_eq!(client.call(&["GET", "k"]).unwrap().text(), "v");
    assert_eq!(stored(&server, "k").text(), "v");
    assert_eq!((proxy.connections(), proxy.requests()), (1, 2));
    assert_eq!(proxy.dropped_replies(), 0);
}

#[test]
fn refused_redis_connections_leave_open_ones_alone() {
    let (_server, proxy) = pair();
    let mut early = Connection::open(proxy.port()).unwrap();
    early.ask(&["PING"]).unwrap();
    proxy.refuse();
    let refused = Connection::open(proxy.port()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    early.ask(&["PING"]).unwrap();
    proxy.pass();
    let mut late = Connection::open(proxy.port()).unwrap();
    late.ask(&["PING"]).unwrap();
}

#[test]
fn a_reset_redis_connection_ends_with_an_rst_and_a_new_one_works() {
    let (_server, proxy) = pair();
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    client.read_exact(&mut [0; 7]).unwrap();
    proxy.reset();
    assert_eq!(proxy.open_connections(), 0);
    let end = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let mut late = Connection::open(proxy.port()).unwrap();
    late.ask(&["PING"]).unwrap();
}

#[test]
fn a_redis_write_whose_reply_is_dropped_was_done() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    client.ask(&["PING"]).unwrap();
    proxy.drop_replies();
    client.send(&["SET", "k", "v"]).unwrap();
    proxy.wait_for_dropped_replies(1);
    assert!(is_silence(within(&mut client, SILENCE)));
    assert_eq!(stored(&server, "k").text(), "v");
    // A later reply on this connection would answer the wrong request.
    proxy.pass();
    assert!(is_reset(&client.call(&["PING"]).unwrap_err()));
}

#[test]
fn one_dropped_redis_reply_resets_its_connection_and_no_other() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    let mut other = Connection::open(proxy.port()).unwrap();
    for connection in [&mut client, &mut other] {
        connection.ask(&["PING"]).unwrap();
    }
    proxy.drop_next_reply();
    let end = client.call(&["SET", "k", "v"]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert_eq!(stored(&server, "k").text(), "v");
    assert_eq!(other.ask(&["GET", "k"]).unwrap().text(), "v");
    assert_eq!(proxy.dropped_replies(), 1);
}

#[test]
fn held_redis_requests_are_done_after_release_and_not_before() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    client.ask(&["PING"]).unwrap();
    proxy.hold();
    client.send(&["SET", "k", "v"]).unwrap();
    let mut late = Connection::open(proxy.port()).unwrap();
    late.send(&["PING"]).unwrap();
    assert!(is_silence(within(&mut client, SILENCE)));
    assert!(is_silence(within(&mut late, SILENCE)));
    assert_eq!(stored(&server, "k"), Reply::Nil);
    proxy.pass();
    let patience = Duration::from_secs(10);
    assert_eq!(within(&mut client, patience), Ok(ok()));
    assert_eq!(within(&mut late, patience).unwrap().text(), "PONG");
    assert_eq!(stored(&server, "k").text(), "v");
}

#[test]
fn a_delayed_redis_reply_is_not_early() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    client.ask(&["PING"]).unwrap();
    let by = Duration::from_millis(300);
    proxy.delay(by);
    let sent = Instant::now();
    client.send(&["SET", "k", "v"]).unwrap();
    proxy.wait_for_requests(2);
    assert_eq!(within(&mut client, Duration::from_secs(10)), Ok(ok()));
    // A lower bound only: how late a reply may be is no promise.
    assert!(sent.elapsed() >= by);
    assert_eq!(stored(&server, "k").text(), "v");
}

#[test]
fn a_sliced_redis_reply_arrives_whole() {
    let (server, proxy) = pair();
    let value = "v\r\n".repeat(1_000);
    server.ask(&["SET", "k", &value]).unwrap();
    proxy.slice();
    let mut client = Connection::open(proxy.port()).unwrap();
    assert_eq!(client.ask(&["GET", "k"]).unwrap().text(), value);
    let reply = "$3000\r\n\r\n".len() + value.len();
    assert_eq!(proxy.slices(), u64::try_from(reply).unwrap());
}

#[test]
fn a_redis_server_behind_a_cut_is_silent_and_new_connections_are_forgotten() {
    let (server, proxy) = pair();
    let mut early = Connection::open(proxy.port()).unwrap();
    early.ask(&["PING"]).unwrap();
    proxy.cut();
    early.send(&["SET", "early", "v"]).unwrap();
    let mut lost = Connection::open(proxy.port()).unwrap();
    lost.send(&["SET", "lost", "v"]).unwrap();
    assert!(is_silence(within(&mut early, SILENCE)));
    assert!(is_silence(within(&mut lost, SILENCE)));
    assert_eq!(stored(&server, "early"), Reply::Nil);
    proxy.heal();
    assert_eq!(within(&mut early, Duration::from_secs(10)), Ok(ok()));
    assert_eq!(
        within(&mut lost, Duration::from_secs(10)),
        Err(ErrorKind::ConnectionReset)
    );
    assert_eq!(stored(&server, "lost"), Reply::Nil);
}

#[test]
fn a_killed_redis_server_ends_its_connections_through_the_proxy() {
    let (server, proxy) = pair();
    let mut client = Connection::open(proxy.port()).unwrap();
    client.ask(&["PING"]).unwrap();
    server.kill();
    assert!(
        within(&mut client, Duration::from_secs(10)).is_err_and(|kind| {
            matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        })
    );
    server.restart().unwrap();
    let mut late = Connection::open(proxy.port()).unwrap();
    late.ask(&["PING"]).unwrap();
}

#[test]
fn a_dropped_proxy_takes_its_redis_connections_along() {
    let (_server, proxy) = pair();
    let port = proxy.port();
    let mut client = Connection::open(port).unwrap();
    client.ask(&["PING"]).unwrap();
    proxy.hold();
    drop(proxy);
    assert!(client.call(&["PING"]).is_err());
    assert!(Connection::open(port).is_err());
}
