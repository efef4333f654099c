//! An engine that is none: it listens where one would and says what the test has it say.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

/// Listens in the state directory of a test until it is dropped.
#[derive(Debug)]
pub struct FakeEngine {
    pid: u32,
    socket: PathBuf,
    notice: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    overview: Value,
    watches: Vec<UnixStream>,
    asked: Vec<Value>,
}

impl FakeEngine {
    /// Can be found as process `pid` from now on, with these agents.
    ///
    /// # Panics
    /// The directory cannot be written.
    pub fn start(state_dir: &Path, pid: u32, agents: &[Value]) -> Self {
        let directory = state_dir.join("engines");
        std::fs::create_dir_all(&directory).expect("the test's directory can be written");
        let socket = directory.join(format!("{pid}.sock"));
        let notice = directory.join(format!("{pid}.json"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let engine = json!({ "pid": pid, "started_ms": 1 });
        let overview = json!({ "engine": engine, "health": health(agents), "runs": [] });
        let shared = Arc::new(Mutex::new(Shared {
            overview,
            watches: Vec::new(),
            asked: Vec::new(),
        }));
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                talk(stream, &theirs);
            }
        });
        let found = json!({ "socket": socket, "engine": engine }).to_string();
        std::fs::write(&notice, found).expect("the test's directory can be written");
        Self {
            pid,
            socket,
            notice,
            shared,
        }
    }

    /// An agent as an engine tells of it.
    pub fn agent(name: &str, state: &str, reason: Option<&str>) -> Value {
        json!({
            "agent": name, "state": state, "reason": reason,
            "due_in_ms": (state == "open").then_some(4000),
            "in_flight": 0, "waiting": 0, "oldest_wait_ms": null, "queued": 0,
            "objective": {
                "agent": name, "objective_ms": 20_000, "met": 2, "breached": 0,
                "worst_ms": 900, "total_ms": 1500, "current": null, "last": null,
            },
        })
    }

    /// The agents are these from now on.
    pub fn set(&self, agents: &[Value]) {
        self.lock().overview["health"] = health(agents);
    }

    /// They depend on this from now on, and it is away.
    pub fn set_dependency(&self, name: &str, reason: &str) {
        self.lock().overview["health"]["dependencies"] = json!([{
            "dependency": name, "state": "open", "reason": reason, "due_in_ms": 4000, "in_flight": 0,
        }]);
    }

    /// Tells all who watch; those that went away are forgotten.
    pub fn tell(&self, event: &Value) {
        let line = format!("{event}\n");
        let mut shared = self.lock();
        shared
            .watches
            .retain_mut(|stream| stream.write_all(line.as_bytes()).is_ok());
    }

    /// How many watch.
    pub fn watches(&self) -> usize {
        self.lock().watches.len()
    }

    /// What it was asked to do so far.
    pub fn asked(&self) -> Vec<Value> {
        self.lock().asked.clone()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.notice);
        let _ = std::fs::remove_file(&self.socket);
        for watch in &self.lock().watches {
            let _ = watch.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn health(agents: &[Value]) -> Value {
    let is_well = agents.iter().all(|agent| agent["state"] == "closed");
    let status = if is_well { "healthy" } else { "degraded" };
    let reasons: &[&str] = if is_well {
        &[]
    } else {
        &["a breaker is not closed"]
    };
    json!({
        "status": status, "reasons": reasons, "agents": agents,
        "runs": { "live": 0, "stalled": [] },
    })
}

fn talk(stream: UnixStream, shared: &Mutex<Shared>) {
    let mut line = String::new();
    // Whoever only looks whether somebody listens says nothing.
    if !BufReader::new(&stream)
        .read_line(&mut line)
        .is_ok_and(|read| read > 0)
    {
        return;
    }
    let request: Value = serde_json::from_str(&line).unwrap_or_default();
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match request["op"].as_str() {
        Some("overview") => json!({ "ok": shared.overview }),
        Some("watch") => json!({ "ok": null }),
        Some("figures") => json!({ "error": "this engine does not count" }),
        _ => {
            shared.asked.push(request.clone());
            json!({ "ok": null })
        }
    };
    let told = (&stream).write_all(format!("{answer}\n").as_bytes());
    if told.is_ok() && request["op"] == "watch" {
        shared.watches.push(stream);
    }
}
