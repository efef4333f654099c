//! How a value lies in a store that outlives the process: format, hash, value.

use sha2::{Digest, Sha256};

use crate::{StoreError, random};

/// Format of everything this version writes.
pub(crate) const FORMAT: u8 = 1;
const HASH_BYTES: usize = 8;

/// The first bytes of the value's SHA-256. They find damage and mix-ups, not forgery.
pub(crate) fn hash(value: &[u8]) -> [u8; HASH_BYTES] {
    random::prefix(&Sha256::digest(value))
}

/// Format byte, hash, value.
#[cfg(feature = "embedded")]
pub(crate) fn seal(value: &[u8]) -> Vec<u8> {
    [&[FORMAT][..], &hash(value), value].concat()
}

/// Format byte, version (8 bytes, big endian), hash, value.
#[cfg(feature = "redis")]
pub(crate) fn versioned(entry: &crate::Entry) -> Vec<u8> {
    let version = entry.version.to_be_bytes();
    [&[FORMAT][..], &version, &hash(&entry.value), &entry.value].concat()
}

/// The value of a record that [`seal`] made.
#[cfg(feature = "embedded")]
pub(crate) fn unseal(record: &[u8], what: impl Fn() -> String) -> Result<Vec<u8>, StoreError> {
    check_format(record, &what)?;
    verify(&record[1..], what)
}

/// Checks the first byte of a record.
pub(crate) fn check_format(record: &[u8], what: impl Fn() -> String) -> Result<(), StoreError> {
    match record.first() {
        Some(&FORMAT) => Ok(()),
        None => Err(damaged(what(), "it is empty")),
        Some(&found) => Err(StoreError::Format {
            what: what(),
            found: found.into(),
            supported: FORMAT.into(),
        }),
    }
}

/// The value behind a hash that fits it.
pub(crate) fn verify(hashed: &[u8], what: impl Fn() -> String) -> Result<Vec<u8>, StoreError> {
    match hashed.split_first_chunk::<HASH_BYTES>() {
        None => Err(damaged(what(), "it is cut short")),
        Some((stored, value)) if *stored == hash(value) => Ok(value.to_vec()),
        Some(_) => Err(damaged(what(), "it does not match its hash")),
    }
}

pub(crate) fn damaged(what: String, reason: &str) -> StoreError {
    StoreError::Corrupt {
        what,
        reason: reason.to_owned(),
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_found() {
        let record = seal(b"value");
        assert_eq!(unseal(&record, String::new).unwrap(), b"value");
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 0x40;
            assert!(unseal(&damaged, String::new).is_err(), "byte {at}");
        }
        for length in 0..record.len() {
            assert!(
                unseal(&record[..length], String::new).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut record = seal(b"");
        record[0] = 2;
        assert!(matches!(
            unseal(&record, String::new),
            Err(StoreError::Format {
                found: 2,
                supported: 1,
                ..
            })
        ));
    }
}
