//! A headless Chromium, driven over a pipe by the DevTools protocol.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait::{AT_MOST, eventually};

/// The variable that names the browser; without it the usual names are looked for.
const ENV: &str = "FUSEBOX_CHROMIUM";

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one page; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    _dir: TempDir,
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// Starts the browser.
    ///
    /// # Panics
    /// There is none.
    pub fn start() -> Self {
        let program = program().unwrap_or_else(|| {
            panic!(
                "no Chromium: install one, or name it in {ENV}; `cargo xtask test` leaves these tests out where there is none"
            )
        });
        let dir = tempfile::tempdir().expect("a directory for the browser");
        let [to, from] = ["to", "from"].map(|name| fifo(dir.path(), name));
        // The pipe is the file descriptors 3 and 4, which only a shell can give it.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\" 3<to 4>from", "sh"])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                // Nothing but this repository's own page is opened, and few build machines let it have a sandbox.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--disable-background-networking",
                "--no-first-run",
                "--no-proxy-server",
                "--hide-scrollbars",
                "about:blank",
            ])
            .arg(format!(
                "--user-data-dir={}",
                dir.path().join("profile").display()
            ))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("a shell");
        let mut browser = Self {
            _dir: dir,
            child,
            to,
            from: messages(from),
            session: None,
            asked: 0,
            complaints: Vec::new(),
        };
        browser.open_page();
        browser
    }

    /// Goes to an address.
    pub fn visit(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of a JavaScript expression; of a promise, what it comes to.
    ///
    /// # Panics
    /// It throws.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds.
    ///
    /// # Panics
    /// It does not within a minute; the message has the page's text.
    pub fn until(&mut self, expression: &str) {
        let limit = std::time::Instant::now() + AT_MOST;
        // While a page is loaded, most of what is asked about is not there.
        let tried = format!(
            "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        );
        while self.value(&tried) != true {
            if std::time::Instant::now() >= limit {
                let text = self.value("document.body?.innerText");
                panic!(
                    "never true: {expression}\n{}",
                    text.as_str().unwrap_or_default()
                );
            }
        }
    }

    /// Clicks on the first element that a selector finds, once it is there.
    pub fn click(&mut self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?})"));
        self.value(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Types into the first element that a selector finds.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.value(&format!(
            "{{ const it = document.querySelector({selector:?}); it.value = {text:?}; \
             it.dispatchEvent(new Event('input', {{ bubbles: true }})); \
             it.dispatchEvent(new Event('change', {{ bubbles: true }})); }}"
        ));
    }

    /// Presses a key, such as `?` or `Tab`.
    pub fn press(&mut self, key: &str) {
        let text = if key.len() == 1 { key } else { "" };
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { text };
        let down =
            json!({ "type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Makes the window so large.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Has the system prefer `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Keeps a picture of the window, or of the whole page, in `target/serve/NAME.png`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn picture(&mut self, name: &str, is_whole: bool) {
        let asked = json!({ "format": "png", "captureBeyondViewport": is_whole });
        let answer = self.call("Page.captureScreenshot", asked);
        let data = decode(answer["data"].as_str().expect("a picture"));
        keep(&format!("{name}.png"), &data);
    }

    /// Keeps a line of text in `target/serve/NAME.txt`, and prints it.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn note(&self, name: &str, text: &str) {
        keep(&format!("{name}.txt"), format!("{text}\n").as_bytes());
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// What the page has complained about on its console so far.
    pub fn complaints(&mut self) -> &[String] {
        // Whatever came before this answer is taken in with it.
        self.value("0");
        &self.complaints
    }

    fn open_page(&mut self) {
        let targets = eventually("a page of the browser", || {
            let answer = self.call("Target.getTargets", json!({}));
            let all = answer["targetInfos"].as_array()?.clone();
            all.into_iter().find(|target| target["type"] == "page")
        });
        let asked = json!({ "targetId": targets["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", asked);
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({}));
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .expect("the browser listens");
        loop {
            let answer = self.from.recv_timeout(AT_MOST);
            let answer = answer
                .unwrap_or_else(|error| panic!("{method}: the browser does not answer: {error}"));
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.complaints.extend(complaint(&answer));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In order, so that its children go too.
        let _ = self
            .to
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let is_over = crate::wait::within_limit(|| self.child.try_wait().ok().flatten());
        if is_over.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Where whoever looks after a test finds it.
fn keep(name: &str, bytes: &[u8]) {
    let test = std::env::current_exe().expect("a test runs from a file");
    let target = test.ancestors().nth(3).expect("TARGET/PROFILE/deps/TEST");
    let directory = target.join("serve");
    fs::create_dir_all(&directory).expect("the target directory can be written");
    fs::write(directory.join(name), bytes).expect("the target directory can be written");
}

/// Where the browser is.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(ENV).filter(|value| !value.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES
        .iter()
        .flat_map(|name| directories.iter().map(move |it| it.join(name)));
    found.into_iter().find(|path| path.is_file())
}

/// Open in both directions, so that nobody waits for the other side to open.
fn fifo(dir: &Path, name: &str) -> File {
    let path = dir.join(name);
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo is a standard tool").success());
    let fifo = OpenOptions::new().read(true).write(true).open(path);
    fifo.expect("a fifo opens in both directions")
}

fn messages(from: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.read_until(0, &mut bytes) {
            bytes.pop();
            let message = serde_json::from_slice(&bytes).unwrap_or_default();
            if sender.send(message).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

/// An error or warning of the page, an exception nobody caught, or a rule of its policy that was broken.
fn complaint(message: &Value) -> Option<String> {
    let params = &message["params"];
    let is_one = match message["method"].as_str()? {
        "Runtime.exceptionThrown" => true,
        "Runtime.consoleAPICalled" => matches!(
            params["type"].as_str(),
            Some("error" | "warning" | "assert")
        ),
        "Log.entryAdded" => params["entry"]["level"] == "error",
        _ => false,
    };
    is_one.then(|| params.to_string())
}

fn decode(base64: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = base64.trim_end_matches('=').bytes().map(digit).collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    });
    groups.collect()
}
