//! Server-sent events, as bytes come.

/// Reads a stream of events. It holds at most the event that is on its way; what limits the whole
/// answer limits that as well.
///
/// Source: HTML Living Standard, 9.2.6, "Interpreting an event stream", of which it takes the
/// fields `event` and `data`.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The last line ended with CR: an LF right after it belongs to it.
    after_cr: bool,
    /// Whether the first line is over, which may begin with a byte order mark.
    begun: bool,
    name: String,
    data: Option<String>,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty for the usual ones.
    pub(super) name: String,
    pub(super) data: String,
}

impl Events {
    /// Takes the next bytes, and gives the events that are whole with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => events.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return self.data.take().map(|data| Event { name, data });
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment has an empty name.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(chunks: &[&str]) -> Vec<String> {
        let mut events = Events::default();
        let chunks = chunks.iter();
        let all = chunks.flat_map(|chunk| events.push(chunk.as_bytes()));
        all.map(|event| event.data).collect()
    }

    #[test]
    fn lines_end_in_any_of_the_three_ways() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\rdata: b\r\r",
            "data: a\r\n\r\ndata: b\r\n\r\n",
        ] {
            assert_eq!(data(&[text]), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn where_the_bytes_are_cut_makes_no_difference() {
        let text = "\u{feff}: hello\nevent: error\ndata:  zwölf\r\ndata\r\ndata:x\nid: 7\nretry: 5\n\n\n\ndata: end\n\n";
        let mut whole = Events::default();
        let expected = whole.push(text.as_bytes());
        assert_eq!(expected.len(), 2);
        assert_eq!(
            (expected[0].name.as_str(), expected[0].data.as_str()),
            ("error", " zwölf\n\nx")
        );
        for cut in 0..=text.len() {
            let (start, end) = text.as_bytes().split_at(cut);
            let mut events = Events::default();
            let mut got = events.push(start);
            got.extend(events.push(end));
            assert_eq!(got, expected, "cut at {cut}");
        }
    }

    proptest::proptest! {
        /// Of lines that matter, in pieces of any length.
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_events(
            text in "(data|event|: |id|\\PC|\r|\n|:| ){0,60}",
            cuts in proptest::collection::vec(0usize..400, 0..6),
        ) {
            let bytes = text.as_bytes();
            let expected = Events::default().push(bytes);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            let got: Vec<_> = pieces.flat_map(|piece| events.push(piece)).collect();
            proptest::prop_assert_eq!(got, expected);
        }

        #[test]
        fn bytes_that_are_no_text_do_no_harm(bytes in proptest::collection::vec(0u8.., 0..300)) {
            Events::default().push(&bytes);
        }
    }

    #[test]
    fn an_event_that_is_not_whole_is_none() {
        assert!(data(&["data: a\n"]).is_empty());
        assert!(
            data(&["event: x\n\n"]).is_empty(),
            "one without data neither"
        );
    }
}
