//! Asks a server who it is, in the few words of the protocol needed for that.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(1);

/// The process id the server on `port` gives, once it answers a PING.
///
/// # Errors
/// Nobody listens, or the answer is not what a ready server says (it may still be loading).
pub(crate) fn process_id(port: u16, password: Option<&str>) -> io::Result<u32> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut server = BufReader::new(stream);
    if let Some(password) = password {
        expect(&ask(&mut server, &["AUTH", password])?, "OK")?;
    }
    expect(&ask(&mut server, &["PING"])?, "PONG")?;
    let info = ask(&mut server, &["INFO", "server"])?;
    info.lines()
        .find_map(|line| line.strip_prefix("process_id:"))
        .and_then(|pid| pid.trim().parse().ok())
        .ok_or_else(|| io::Error::other("INFO names no process_id"))
}

fn ask(server: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    server.get_mut().write_all(request.as_bytes())?;
    read_reply(server)
}

fn read_reply(server: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    server.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some(("-", text)) => Err(io::Error::other(text.to_owned())),
        Some(("$", length)) => {
            let length: u32 = length
                .parse()
                .map_err(|_| io::Error::other(format!("no length: {line}")))?;
            let mut body = String::new();
            server
                .take(u64::from(length) + 2)
                .read_to_string(&mut body)?;
            Ok(body)
        }
        _ => Err(io::Error::other(format!("not a reply: `{line}`"))),
    }
}

fn expect(reply: &str, wanted: &str) -> io::Result<()> {
    match reply == wanted {
        true => Ok(()),
        false => Err(io::Error::other(format!("`{reply}` instead of `{wanted}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::read_reply;

    #[test]
    fn replies_are_read_by_their_kind() {
        assert_eq!(read_reply(&mut &b"+PONG\r\n"[..]).unwrap(), "PONG");
        assert_eq!(
            read_reply(&mut &b"$3\r\na\nb\r\n"[..]).unwrap().trim(),
            "a\nb"
        );
        let refused = read_reply(&mut &b"-LOADING wait\r\n"[..]).unwrap_err();
        assert_eq!(refused.to_string(), "LOADING wait");
    }

    #[test]
    fn an_echo_is_not_a_server() {
        assert!(read_reply(&mut &b"*1\r\n$4\r\nPING\r\n"[..]).is_err());
        assert!(read_reply(&mut &b""[..]).is_err());
    }
}
