//! The server a test gets: it answers, obeys, and never stays behind.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fusebox_test_server::{StartError, TestServer};

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn ask(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut reply = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut reply).unwrap();
    if reply.starts_with('$') && reply.trim() != "$-1" {
        reply.clear();
        reader.read_line(&mut reply).unwrap();
    }
    reply.trim_end().to_owned()
}

#[test]
fn a_redis_server_is_gone_with_its_directory_after_drop() {
    let server = TestServer::start().unwrap();
    let (port, dir) = (server.port(), server.dir().to_owned());
    assert_eq!(server.url(), format!("redis://127.0.0.1:{port}"));
    assert_eq!(ask(&mut connect(&server), "PING"), "+PONG");
    assert!(dir.join("server.log").is_file());
    drop(server);
    assert!(!dir.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn redis_servers_run_side_by_side() {
    let servers: Vec<TestServer> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(TestServer::start)).collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap().unwrap())
            .collect()
    });
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(ask(&mut connect(server), &format!("SET who {n}")), "+OK");
    }
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(ask(&mut connect(server), "GET who"), n.to_string());
    }
}

#[test]
fn a_killed_redis_server_restarts_empty_on_its_port() {
    let server = TestServer::start().unwrap();
    assert_eq!(ask(&mut connect(&server), "SET k v"), "+OK");
    let (port, pid) = (server.port(), server.pid());
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(ask(&mut connect(&server), "GET k"), "$-1");
}

#[test]
fn an_append_only_redis_server_keeps_what_it_acknowledged() {
    let server = TestServer::builder().append_only(true).start().unwrap();
    assert_eq!(ask(&mut connect(&server), "SET k v"), "+OK");
    server.kill();
    server.restart().unwrap();
    assert_eq!(ask(&mut connect(&server), "GET k"), "v");
}

#[test]
fn a_redis_password_is_asked_for_and_stands_in_the_url() {
    let server = TestServer::builder().password("s3cret").start().unwrap();
    assert_eq!(
        server.url(),
        format!("redis://:s3cret@127.0.0.1:{}", server.port())
    );
    let mut stream = connect(&server);
    assert!(ask(&mut stream, "PING").starts_with("-NOAUTH"));
    assert_eq!(ask(&mut stream, "AUTH s3cret"), "+OK");
    assert_eq!(ask(&mut stream, "PING"), "+PONG");
}

#[test]
fn a_paused_redis_server_is_silent_until_it_resumes() {
    let server = TestServer::start().unwrap();
    let mut stream = connect(&server);
    server.pause();
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let silence = stream.read(&mut [0; 16]).unwrap_err();
    assert!(matches!(
        silence.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    server.resume();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn a_paused_redis_server_dies_all_the_same() {
    let server = TestServer::start().unwrap();
    server.pause();
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
}

#[test]
fn a_given_directory_stays_with_the_redis_log() {
    let own = TestServer::start().unwrap();
    let given = own.dir().join("given");
    drop(TestServer::builder().dir(&given).start().unwrap());
    assert!(given.join("server.log").is_file());
}

#[test]
fn a_redis_server_that_refuses_its_arguments_is_quoted() {
    let error = TestServer::builder()
        .arg("--no-such-option")
        .arg("1")
        .start()
        .unwrap_err();
    assert!(matches!(error, StartError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn a_program_that_is_no_server_is_refused_with_its_words() {
    let error = TestServer::builder()
        .binary("/bin/echo")
        .start()
        .unwrap_err();
    assert!(matches!(error, StartError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("--port"), "{error}");
}

/// A process that owns servers, and what it said about them.
struct Owner {
    child: Child,
    servers: Vec<(u16, PathBuf)>,
}

impl Owner {
    fn start(of: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fusebox-test-server"))
            .args(of)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let servers = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .map(|line| {
                let words: Vec<&str> = line.splitn(3, ' ').collect();
                let [url, _pid, dir] = words[..] else {
                    panic!("what is `{line}`?")
                };
                let port = url.rsplit(':').next().unwrap().parse().unwrap();
                (port, Path::new(dir).to_owned())
            })
            .collect();
        Self { child, servers }
    }
}

#[test]
fn no_redis_server_outlives_a_killed_test_process() {
    for (of, count) in [(&[][..], 1), (&["sentinel"], 6), (&["cluster"], 3)] {
        let mut owner = Owner::start(of);
        assert_eq!(owner.servers.len(), count, "{of:?}");
        let streams: Vec<TcpStream> = owner
            .servers
            .iter()
            .map(|(port, _)| TcpStream::connect(("127.0.0.1", *port)).unwrap())
            .collect();
        owner.child.kill().unwrap();
        owner.child.wait().unwrap();
        for mut stream in streams {
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            // The server's end closes the connection, so this returns when it has died.
            let end = stream.read(&mut [0; 16]);
            assert!(
                matches!(end, Ok(0))
                    || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
            );
        }
        for (_, dir) in &owner.servers {
            while dir.exists() {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn redis_servers_end_with_an_owner_that_ends_well() {
    for of in [&[][..], &["sentinel"], &["cluster"]] {
        let mut owner = Owner::start(of);
        assert!(!owner.servers.is_empty(), "{of:?}");
        drop(owner.child.stdin.take());
        assert!(owner.child.wait().unwrap().success());
        for (port, dir) in &owner.servers {
            assert!(TcpStream::connect(("127.0.0.1", *port)).is_err());
            assert!(!dir.exists());
        }
    }
}
