//! Scripts for whole partitions: heads, images, restores.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use redis::Script;

use super::scripts::{Call, Reply, channel, entry, script, text};
use crate::rules::ttl_ms;
use crate::{
    Durability, Fence, GiveUpOutcome, Head, Image, LeaseMark, MAX_IMAGE_BYTES, Partition,
    RememberedWrite, Restore, RestoreOutcome, StoreError, StoreId, TokenId, WriteId, random,
    record,
};

static HEAD: LazyLock<Script> = script!("head");
static IMAGE: LazyLock<Script> = script!("image");
static RESTORE: LazyLock<Script> = script!("restore");
static GIVE_UP: LazyLock<Script> = script!("give_up");
static IDENTITY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/identity.lua")));

pub(super) fn head(keys: Vec<String>) -> Call {
    Call {
        script: &HEAD,
        keys,
        args: Vec::new(),
    }
}

pub(super) fn image(keys: Vec<String>) -> Call {
    Call {
        script: &IMAGE,
        keys,
        args: vec![text(MAX_IMAGE_BYTES)],
    }
}

pub(super) fn give_up(keys: Vec<String>, fence: &Fence) -> Call {
    Call {
        script: &GIVE_UP,
        keys,
        args: vec![
            text(fence.epoch),
            fence.token.to_vec(),
            text(fence.token_id()),
        ],
    }
}

/// Where the store's name lies.
pub(super) fn identity_key(prefix: &str) -> String {
    format!("{prefix}:store")
}

/// Names the store, unless it has a name; answers the one it has then.
pub(super) fn identity(key: String) -> Call {
    Call {
        script: &IDENTITY,
        keys: vec![key],
        args: vec![text(StoreId::random())],
    }
}

pub(super) fn restore(
    keys: Vec<String>,
    prefix: &str,
    partition: &Partition,
    restore: &Restore,
) -> Call {
    let image = &restore.image;
    let (epoch, id) = match &restore.predecessor {
        Some(lease) => (text(lease.epoch), text(&lease.token_id)),
        None => (Vec::new(), Vec::new()),
    };
    let bytes: usize = image.entries.iter().map(|(_, e)| e.value.len()).sum();
    let mut args = vec![
        text(restore.fence.epoch),
        restore.fence.token.to_vec(),
        text(restore.fence.token_id()),
        text(&restore.owner),
        text(ttl_ms(restore.ttl)),
        epoch,
        id,
        text(u8::from(restore.onto_absent)),
        text(image.revision),
        text(image.version_floor),
        text(bytes),
        text(channel(prefix)),
        text(partition),
        restore.decided_for.as_ref().map_or_else(Vec::new, text),
        text(image.writes.len()),
    ];
    for write in &image.writes {
        args.push(text(write.revision));
        args.push(write.id.as_bytes().to_vec());
        args.push(write.digest.to_vec());
    }
    for (key, entry) in &image.entries {
        args.push(text(key));
        args.push(record::versioned(entry));
    }
    Call {
        script: &RESTORE,
        keys,
        args,
    }
}

impl Reply<'_> {
    pub(super) fn head(mut self) -> Result<Option<Head>, StoreError> {
        match &*self.word()? {
            "NONE" => return Ok(None),
            "HEAD" => {}
            other => return Err(self.unexpected(other)),
        }
        let mut head = Head::new(self.number()?);
        head.keys = self.number()?;
        head.value_bytes = self.number()?;
        head.changed = self
            .optional_number()?
            .map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
        head.expires_in = self.optional_number()?.map(Duration::from_millis);
        head.latest = <[u8; 16]>::try_from(self.part()?)
            .ok()
            .map(WriteId::from_bytes);
        if !self.is_at_end() {
            head.lease = Some(self.lease_parts()?);
        }
        Ok(Some(head))
    }

    pub(super) fn image(mut self) -> Result<Option<Image>, StoreError> {
        match &*self.word()? {
            "NONE" => return Ok(None),
            "IMAGE" => {}
            "LARGE" => {
                let size = self.number()?;
                return Err(StoreError::TooLarge {
                    what: "image of a partition in bytes".to_owned(),
                    size: usize::try_from(size).unwrap_or(usize::MAX),
                    limit: MAX_IMAGE_BYTES,
                });
            }
            other => return Err(self.unexpected(other)),
        }
        let mut image = Image {
            revision: self.number()?,
            version_floor: self.number()?,
            ..Image::default()
        };
        let (epoch, id) = (self.optional_number()?, self.string()?);
        image.lease = epoch.map(|epoch| LeaseMark {
            epoch,
            token_id: TokenId::new(id),
        });
        for _ in 0..self.number()? {
            image.writes.push(self.remembered_write()?);
        }
        while !self.is_at_end() {
            let key = self.key()?;
            let entry = entry(self.partition, &key, &self.part()?)?;
            image.entries.push((key, entry));
        }
        Ok(Some(image))
    }

    /// Id, digest and revision in one part.
    fn remembered_write(&mut self) -> Result<RememberedWrite, StoreError> {
        let part = self.part()?;
        let parsed = part.split_first_chunk::<16>().and_then(|(id, rest)| {
            let (digest, revision) = rest.split_first_chunk::<32>()?;
            let revision = std::str::from_utf8(revision).ok()?.parse().ok()?;
            Some(RememberedWrite {
                id: WriteId::from_bytes(*id),
                digest: *digest,
                revision,
            })
        });
        parsed.ok_or_else(|| self.unexpected(&random::hex(&part)))
    }

    pub(super) fn restore(mut self, durability: Durability) -> Result<RestoreOutcome, StoreError> {
        Ok(match &*self.word()? {
            "RESTORED" => RestoreOutcome::Restored { durability },
            "CURRENT" => RestoreOutcome::Current { durability },
            "AHEAD" => RestoreOutcome::Ahead {
                revision: self.number()?,
            },
            "STALE" => RestoreOutcome::StaleEpoch {
                current: self.optional_number()?,
            },
            "ABSENT" => RestoreOutcome::Absent,
            "OTHER" => RestoreOutcome::OtherStore,
            "GIVENUP" => RestoreOutcome::GivenUp,
            other => return Err(self.unexpected(other)),
        })
    }

    pub(super) fn give_up(mut self) -> Result<GiveUpOutcome, StoreError> {
        match &*self.word()? {
            "CURRENT" => Ok(GiveUpOutcome::Current),
            "RECORDED" => Ok(GiveUpOutcome::Recorded),
            other => Err(self.unexpected(other)),
        }
    }
}
