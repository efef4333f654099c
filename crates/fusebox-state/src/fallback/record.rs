//! What a journal says of a partition beside its content.

use std::time::Duration;

use super::owned::Owned;
use crate::{Fence, Predecessor, StoreError, StoreId, TokenId, random};

const HEADING: &str = "fusebox fallback 1";

/// Lines of text: a heading with the format, then one figure each.
pub(super) struct Record {
    pub(super) fence: Fence,
    pub(super) owner: String,
    pub(super) ttl: Duration,
    pub(super) predecessor: Option<Predecessor>,
    /// The revision that the primary had acknowledged.
    pub(super) base: u64,
    /// The primary's name then.
    pub(super) store: Option<StoreId>,
}

impl Record {
    pub(super) fn of(owned: &Owned, base: u64) -> Self {
        let data = owned.data();
        Self {
            fence: owned.fence.clone(),
            owner: owned.owner.clone(),
            ttl: data.ttl,
            predecessor: owned.predecessor.clone(),
            base,
            store: data.store.clone(),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (epoch, id) = match &self.predecessor {
            Some(lease) => (lease.epoch.to_string(), lease.token_id.to_string()),
            None => (String::new(), String::new()),
        };
        // The owner may hold anything but is last, so nothing is cut off by it.
        let store = self.store.as_ref().map_or("", StoreId::as_str);
        let lines = [
            HEADING.to_owned(),
            self.fence.epoch.to_string(),
            random::hex(&self.fence.token),
            self.ttl.as_millis().to_string(),
            epoch,
            id,
            self.base.to_string(),
            store.to_owned(),
            self.owner.clone(),
        ];
        lines.join("\n").into_bytes()
    }

    pub(super) fn parse(bytes: &[u8], what: impl Fn() -> String) -> Result<Self, StoreError> {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<_> = text.splitn(9, '\n').collect();
        let [
            heading,
            epoch,
            token,
            ttl,
            before,
            before_id,
            base,
            store,
            owner,
        ] = lines[..]
        else {
            return Err(damaged(what(), "it is cut short"));
        };
        if heading != HEADING {
            return Err(damaged(what(), "another version wrote it"));
        }
        let number = |text: &str| {
            text.parse()
                .map_err(|_| damaged(what(), "a number is none"))
        };
        let predecessor = match before {
            "" => None,
            epoch => Some(Predecessor {
                epoch: number(epoch)?,
                token_id: TokenId::new(before_id),
            }),
        };
        Ok(Self {
            fence: Fence {
                epoch: number(epoch)?,
                token: unhex(token).ok_or_else(|| damaged(what(), "its token is none"))?,
            },
            owner: owner.to_owned(),
            ttl: Duration::from_millis(number(ttl)?),
            predecessor,
            base: number(base)?,
            store: (!store.is_empty()).then(|| StoreId::new(store)),
        })
    }
}

fn damaged(what: String, reason: &str) -> StoreError {
    StoreError::Corrupt {
        what,
        reason: reason.to_owned(),
    }
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(predecessor: Option<Predecessor>) -> Record {
        Record {
            fence: Fence {
                epoch: 7,
                token: *b"0123456789abcdef",
            },
            owner: "a process\nof two lines".into(),
            ttl: Duration::from_millis(1500),
            predecessor,
            base: 42,
            store: Some(StoreId::new("a-store")),
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let lease = Predecessor {
            epoch: 3,
            token_id: TokenId::new("abc"),
        };
        for predecessor in [None, Some(lease)] {
            let written = record(predecessor);
            let read = Record::parse(&written.to_bytes(), String::new).unwrap();
            assert_eq!(read.fence, written.fence);
            assert_eq!(read.predecessor, written.predecessor);
            assert_eq!(
                (read.owner, read.ttl, read.base, read.store),
                (written.owner, written.ttl, written.base, written.store)
            );
        }
    }

    #[test]
    fn a_damaged_record_is_an_error_and_no_lease() {
        let bytes = record(None).to_bytes();
        for length in 0..bytes.len() - "a process\nof two lines".len() {
            assert!(
                Record::parse(&bytes[..length], String::new).is_err(),
                "cut to {length}"
            );
        }
        let other = String::from_utf8(bytes)
            .unwrap()
            .replace("fallback 1", "fallback 2");
        assert!(Record::parse(other.as_bytes(), String::new).is_err());
    }
}
