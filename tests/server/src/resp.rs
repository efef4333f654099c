//! Commands and replies over one plain connection: enough of the protocol to set servers up and to
//! look at them from outside, whatever client is being tested.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection waits for its peer by default: more than a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a server, or to what stands in front of one.
///
/// Plain TCP and RESP 2. Connecting, reading and writing each wait at most 10 s at a time.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// What a server answered.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK` and the like.
    Status(String),
    /// `-ERR ...`: the server refused.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several replies.
    Array(Vec<Reply>),
}

impl Connection {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// Nobody listens there, or does not take the connection within 10 s.
    pub fn open(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connection = Self {
            stream: BufReader::new(stream),
        };
        connection.set_patience(PATIENCE)?;
        Ok(connection)
    }

    /// How long a reply may take from now on.
    ///
    /// # Errors
    /// A duration of zero.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    /// Sends one command and reads its reply, a refusal ([`Reply::Error`]) included.
    ///
    /// # Errors
    /// The connection broke, the reply took too long, or it is none. The connection is of no more
    /// use then: the reply may still come.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.send(words)?;
        self.read()
    }

    /// Like [`call`](Self::call), and a refusal is an error with the server's words.
    ///
    /// # Errors
    /// As [`call`](Self::call), and what the server refuses.
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        match self.call(words)? {
            Reply::Error(text) => Err(io::Error::other(text)),
            reply => Ok(reply),
        }
    }

    /// Sends one command without waiting for its reply.
    ///
    /// # Errors
    /// The connection broke or takes nothing for 10 s.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Reads the next reply.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn read(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.stream)
    }
}

impl Reply {
    /// A status or a string as text; empty for anything else.
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The parts of an array; none for anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// What follows `name` in an array of names and values.
    pub fn field(&self, name: &str) -> Option<String> {
        self.items()
            .chunks_exact(2)
            .find(|pair| pair[0].text() == name)
            .map(|pair| pair[1].text())
    }

    /// What follows `name:` on a line of its own, as in the reply to INFO.
    pub fn line(&self, name: &str) -> Option<String> {
        self.text()
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    }
}

/// Bytes are shown as text: replies stand in the messages of failed tests.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Nil => f.write_str("nil"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}

fn read_reply(server: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if server.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+", text)) => Ok(Reply::Status(text.to_owned())),
        Some(("-", text)) => Ok(Reply::Error(text.to_owned())),
        Some((":", number)) => Ok(Reply::Integer(read_number(number)?)),
        Some(("$" | "*", "-1")) => Ok(Reply::Nil),
        Some(("$", length)) => {
            let length = usize::try_from(read_number(length)?).map_err(io::Error::other)?;
            let mut body = vec![0; length + 2];
            server.read_exact(&mut body)?;
            body.truncate(length);
            Ok(Reply::Bulk(body))
        }
        Some(("*", length)) => (0..read_number(length)?)
            .map(|_| read_reply(server))
            .collect::<io::Result<_>>()
            .map(Reply::Array),
        _ => Err(io::Error::other(format!("not a reply: `{line}`"))),
    }
}

fn read_number(text: &str) -> io::Result<i64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("not a number: `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::{Reply, read_reply};

    fn read(bytes: &str) -> Reply {
        read_reply(&mut bytes.as_bytes()).unwrap()
    }

    #[test]
    fn replies_are_read_by_their_kind() {
        assert_eq!(read("+PONG\r\n"), Reply::Status("PONG".to_owned()));
        assert_eq!(read("$4\r\na\r\nb\r\n"), Reply::Bulk(b"a\r\nb".to_vec()));
        assert_eq!(
            read("-LOADING wait\r\n"),
            Reply::Error("LOADING wait".to_owned())
        );
        assert_eq!(read("$-1\r\n"), Reply::Nil);
        assert_eq!(
            read("*2\r\n:7\r\n*0\r\n"),
            Reply::Array(vec![Reply::Integer(7), Reply::Array(Vec::new())])
        );
    }

    #[test]
    fn values_are_found_by_name() {
        let pairs = read("*4\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n$1\r\n7\r\n");
        assert_eq!(pairs.field("port").as_deref(), Some("7"));
        assert_eq!(pairs.field("a"), None);
        let info = read("$18\r\n# Server\r\nrole:x\r\n\r\n");
        assert_eq!(info.line("role").as_deref(), Some("x"));
        assert_eq!(info.line("ro"), None);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in ["", "PING\r\n", "$x\r\n", "$3\r\na"] {
            assert!(read_reply(&mut bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
