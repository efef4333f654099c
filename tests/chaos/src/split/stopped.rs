//! An owner whose process is stopped past its lease and continued after another one took over.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fusebox_state::{AcquireOutcome, LeaseRequest, open};
use fusebox_test_server::TestServer;

use crate::backend::started;
use crate::words::{LONG, acquire, bounded, partition, put, until_answered};

/// The variable that names the owner's store.
pub const ENV_OWNER: &str = "FUSEBOX_CHAOS_OWNER";

const READY: &str = "ready";
/// Short enough to wait for.
const TTL: Duration = Duration::from_millis(500);

/// What the continued owner's write with a fence, and its write without one, were answered.
///
/// `test` names the test that calls [`own_until_told`].
///
/// # Panics
/// If a process or server does not do as it should.
pub async fn stopped(test: &str) -> [String; 2] {
    let server = started(TestServer::start());
    let store = started(open(server.url()).await);
    let program = std::env::current_exe().expect("a test has a program");
    let child = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(ENV_OWNER, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut owner = Owner(child.expect("this program starts again"));
    let mut said = BufReader::new(owner.0.stdout.take().expect("piped"));
    let ready = said
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(READY));
    assert!(ready, "the other process does not own anything");

    owner.stop();
    // What it is to do next waits for it: it will not look at its lease before.
    let mut told = owner.0.stdin.take().expect("piped");
    told.write_all(b"\n").expect("a pipe takes a line");
    let at = partition("run");
    let taking_over = async {
        loop {
            let request = LeaseRequest::new("second", Duration::from_secs(600));
            match store.acquire(&at, request).await.expect("an answer") {
                AcquireOutcome::Acquired { fence, .. } => return fence,
                AcquireOutcome::Held(_) => tokio::time::sleep(TTL / 10).await,
            }
        }
    };
    let fence = bounded("the lease runs out", taking_over).await;
    let second = put("a", b"second").fenced(fence);
    assert!(until_answered(&*store, &at, &second).await.is_applied());
    owner.signal("CONT");

    let mut rest = String::new();
    tokio::task::spawn_blocking(move || {
        said.read_to_string(&mut rest)
            .expect("it says what it was answered");
        drop((told, owner));
        let answer = |name: &str| {
            let line = rest.lines().find_map(|line| line.split_once(name));
            line.map(|(_, answer)| answer.to_owned())
                .unwrap_or_default()
        };
        [answer("fenced: "), answer("free: ")]
    })
    .await
    .expect("it ends")
}

/// What the owner's process does: acquires, says so, and writes once it is told to.
///
/// # Panics
/// If the store does not answer.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub async fn own_until_told(url: &str) {
    let store = started(open(url).await);
    let (at, free) = (partition("run"), partition("free"));
    let fence = acquire(&*store, &at, "first", TTL).await;
    println!("{READY}");
    let mut line = String::new();
    // The end of the parent is the end of the wait.
    let _ = std::io::stdin().read_line(&mut line);
    let fenced = until_answered(&*store, &at, &put("a", b"first").fenced(fence)).await;
    println!("fenced: {fenced:?}");
    let unfenced = until_answered(&*store, &free, &put("a", b"first")).await;
    println!("free: {unfenced:?}");
}

/// Ends with the test, stopped or not.
struct Owner(Child);

impl Owner {
    /// Stops the process and returns when it has: the signal takes its time to reach every thread.
    fn stop(&self) {
        self.signal("STOP");
        let began = Instant::now();
        while !self.has_stopped() {
            assert!(began.elapsed() < LONG, "the other process does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether all threads are in state `T`, which stands behind the name in parentheses.
    fn has_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id()));
        threads.expect("it runs").all(|thread| {
            let stat = std::fs::read_to_string(thread.expect("it runs").path().join("stat"));
            let stat = stat.unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is `kill`").success(), "{name} to {pid}");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
