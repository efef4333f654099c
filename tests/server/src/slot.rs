//! Which slot of a cluster a key lies in.

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// The slot of `key`: CRC-16/XMODEM of what stands in its first pair of braces if that is not
/// empty, otherwise of the whole key, modulo [`SLOTS`].
///
/// Source: *Redis cluster specification*, "Key distribution model" and "Hash tags".
pub fn key_slot(key: impl AsRef<[u8]>) -> u16 {
    crc16(tag(key.as_ref())) % SLOTS
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else {
        return key;
    };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        Some(end @ 1..) => &rest[..end],
        _ => key,
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc16, key_slot};

    #[test]
    fn the_checksum_is_the_published_one() {
        // The check value of CRC-16/XMODEM.
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn keys_of_one_tag_share_a_slot() {
        assert_eq!(key_slot("{user}.a"), key_slot("b{user}"));
        assert_eq!(key_slot("{user}.a"), key_slot("user"));
        assert_ne!(key_slot("{}user"), key_slot("user"));
        assert_ne!(key_slot("{user"), key_slot("user"));
    }
}
