//! Which slot a key lies in, and what a cluster says about slots.

use redis::{Value, from_redis_value_ref};

use super::layout::Address;

/// Slots of a cluster.
pub(crate) const SLOTS: usize = 16384;

/// The slot of a key: of what stands between its first braces, if anything does.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let position = |of: u8, from: usize| {
        let found = key[from..].iter().position(|byte| *byte == of);
        found.map(|at| from + at)
    };
    let tag = position(b'{', 0).and_then(|open| {
        let close = position(b'}', open)?;
        (close > open + 1).then(|| &key[open + 1..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS as u16
}

/// CRC-16/XMODEM, as the Redis Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    })
}

/// Slots from `first` to `last` and who owns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) primary: Address,
}

/// Reads an answer to CLUSTER SLOTS. A server without a name is the one that was asked; one that
/// does not know its name yet is left out.
pub(crate) fn read(answer: &Value, asked: &Address) -> Vec<Range> {
    let Value::Array(ranges) = answer else {
        return Vec::new();
    };
    ranges
        .iter()
        .filter_map(|range| read_range(range, asked))
        .collect()
}

fn read_range(range: &Value, asked: &Address) -> Option<Range> {
    let Value::Array(range) = range else {
        return None;
    };
    let number = |at: usize| from_redis_value_ref::<u16>(range.get(at)?).ok();
    let (first, last) = (number(0)?, number(1)?);
    let Value::Array(primary) = range.get(2)? else {
        return None;
    };
    let host: Option<String> = from_redis_value_ref(primary.first()?).ok()?;
    let port: u16 = from_redis_value_ref(primary.get(1)?).ok()?;
    let primary = match (host.as_deref(), asked) {
        (Some("?"), _) => return None,
        (None | Some(""), Address::Tcp { host, .. }) => Address::tcp(host.clone(), port),
        (None | Some(""), Address::Unix(_)) => return None,
        (Some(host), _) => Address::tcp(host, port),
    };
    ((last as usize) < SLOTS && first <= last).then_some(Range {
        first,
        last,
        primary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_the_specification_puts_them() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"fusebox:{foo}:m"), 12182);
        assert_eq!(slot_of(b"{}foo"), crc16(b"{}foo") % 16384);
        assert_eq!(slot_of(b"{foo"), crc16(b"{foo") % 16384);
    }

    #[test]
    fn a_server_without_a_name_is_the_one_asked() {
        let server = |host: Value| Value::Array(vec![host, Value::Int(7001)]);
        let range = |host| Value::Array(vec![Value::Int(0), Value::Int(9), server(host)]);
        let asked = Address::tcp("asked", 1);
        let named = |text: &str| Value::BulkString(text.into());
        let answer = Value::Array(vec![
            range(named("other")),
            range(named("")),
            range(Value::Nil),
            range(named("?")),
        ]);
        let owners: Vec<_> = read(&answer, &asked)
            .into_iter()
            .map(|range| range.primary)
            .collect();
        let asked = Address::tcp("asked", 7001);
        assert_eq!(owners, [Address::tcp("other", 7001), asked.clone(), asked]);
        assert_eq!(read(&Value::Okay, &Address::tcp("x", 1)), []);
    }
}
