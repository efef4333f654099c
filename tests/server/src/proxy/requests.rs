//! Counts the requests in a stream of bytes, wherever it is broken.

/// No line of a request is longer.
const LONGEST_LINE: usize = 64 * 1024;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    state: State,
    line: Vec<u8>,
    /// Arguments of the current request still to come.
    args: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Body {
        left: u64,
    },
    /// Not the protocol we know.
    Opaque,
}

impl Requests {
    /// How many requests end in `bytes`, which follow what was given before.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while !bytes.is_empty() {
            match &mut self.state {
                State::Opaque => break,
                State::Body { left } => {
                    let taken = bytes
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.state = State::Line;
                        self.args -= 1;
                        ended += u64::from(self.args == 0);
                    }
                }
                State::Line => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend(line);
                    bytes = rest;
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        ended += self.end_of_line(line.trim_ascii());
                    } else if self.line.len() > LONGEST_LINE {
                        self.state = State::Opaque;
                    }
                }
            }
        }
        ended
    }

    fn end_of_line(&mut self, line: &[u8]) -> u64 {
        match (line, self.args) {
            ([b'*', count @ ..], 0) => match number(count) {
                Some(count) => self.args = count,
                None => self.state = State::Opaque,
            },
            // An argument, with the end of its line.
            ([b'$', length @ ..], 1..) => match number(length) {
                Some(length) => self.state = State::Body { left: length + 2 },
                None => self.state = State::Opaque,
            },
            ([], 0) => {}
            // A command on one line.
            (line, 0) if line.iter().all(|byte| (b' '..=b'~').contains(byte)) => return 1,
            _ => self.state = State::Opaque,
        }
        0
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= u64::from(u32::MAX)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::Requests;

    const TWO: &[u8] = b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n";

    #[test]
    fn requests_are_counted_when_they_end() {
        assert_eq!(Requests::default().count(TWO), 2);
        assert_eq!(Requests::default().count(&TWO[..TWO.len() - 1]), 1);
        assert_eq!(Requests::default().count(b"PING\r\nSET a b\r\n\r\n"), 2);
    }

    #[test]
    fn a_stream_may_be_broken_anywhere() {
        for at in 0..=TWO.len() {
            let mut requests = Requests::default();
            let first = requests.count(&TWO[..at]);
            assert_eq!(first + requests.count(&TWO[at..]), 2, "broken at {at}");
        }
        let mut requests = Requests::default();
        let one_by_one: u64 = TWO.chunks(1).map(|byte| requests.count(byte)).sum();
        assert_eq!(one_by_one, 2);
    }

    #[test]
    fn nothing_is_counted_in_another_protocol() {
        let mut requests = Requests::default();
        assert_eq!(requests.count(b"\x16\x03\x01\x02\n\x00\xff\n"), 0);
        assert_eq!(requests.count(TWO), 0);
        assert_eq!(Requests::default().count(b"*x\r\nPING\r\n"), 0);
    }
}
