//! An HTTP client that sends what it is told, however odd.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::wait::AT_MOST;

/// A request, line by line.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Ask {
    /// Looks at something.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".into(),
            path: path.into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Does something, as the page of `fusebox serve` would.
    pub fn act(path: &str, body: &Value) -> Self {
        Self {
            method: "POST".into(),
            body: body.to_string(),
            ..Self::get(path)
        }
        .with("content-type", "application/json")
        .with("x-fusebox-action", "1")
    }

    /// Adds a header, in the place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// With another body.
    #[must_use]
    pub fn saying(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it to `url`, such as `http://127.0.0.1:80`; reads the answer to its end.
    ///
    /// # Panics
    /// Nobody answers.
    pub fn to(&self, url: &str) -> Answer {
        let (head, mut reader) = self.open(url);
        let mut body = String::new();
        reader.read_to_string(&mut body).expect("a whole answer");
        Answer::of(head, body)
    }

    /// Sends it, and reads the answer as far as its body, which is left to come.
    ///
    /// # Panics
    /// Nobody answers.
    pub fn open(&self, url: &str) -> (String, BufReader<TcpStream>) {
        let address = url.strip_prefix("http://").expect("an address");
        let stream = TcpStream::connect(address).expect("somebody listens");
        let limit = stream.set_read_timeout(Some(AT_MOST));
        limit.expect("a socket has a time limit");
        let mut text = format!("{} {} HTTP/1.0\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            text += &format!("host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body);
        (&stream).write_all(text.as_bytes()).expect("a request");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = reader.read_line(&mut head).expect("an answer");
            assert!(read > 0, "the answer ends in its head: {head}");
        }
        (head.to_ascii_lowercase(), reader)
    }
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    fn of(head: String, body: String) -> Self {
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            status: status.expect("an answer begins with its status"),
            head,
            body,
        }
    }

    /// Requires a status.
    ///
    /// # Panics
    /// It is another.
    pub fn has(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}{}", self.head, self.body);
        self
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// What went wrong, in the server's words.
    ///
    /// # Panics
    /// It does not say.
    pub fn error(&self) -> String {
        let error = self.json()["error"].as_str().map(str::to_owned);
        error.unwrap_or_else(|| panic!("no error: {}", self.body))
    }
}
