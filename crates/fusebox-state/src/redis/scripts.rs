//! The scripts and what they answer.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Arg, Cmd, Script};

use crate::rules::ttl_ms;
use crate::{
    AcquireOutcome, Commit, CommitOutcome, Durability, Entry, Expect, Fence, Key, Lease,
    LeaseRequest, Page, Partition, RenewOutcome, StoreError, TokenId, record,
};

/// Format of a partition's head.
const FORMAT: u32 = 2;
/// Values of one page, in bytes, after which it ends early.
const PAGE_BYTES: usize = 4 << 20;
/// Greater than every character of a name.
const PAST_NAMES: char = '\u{7f}';

/// A script with the prelude before it.
macro_rules! script {
    ($name:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(
                include_str!("lua/prelude.lua"),
                include_str!(concat!("lua/", $name, ".lua"))
            ))
        })
    };
}

pub(super) use script;

static COMMIT: LazyLock<Script> = script!("commit");
static ACQUIRE: LazyLock<Script> = script!("acquire");
static RENEW: LazyLock<Script> = script!("renew");
static LEASE: LazyLock<Script> = script!("lease");
static EXPIRE: LazyLock<Script> = script!("expire");
static SCAN: LazyLock<Script> = script!("scan");

/// A script with its arguments; may be sent more than once.
pub(crate) struct Call {
    pub(super) script: &'static Script,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Vec<u8>>,
}

/// Anything that may be sent more than once without harm.
pub(crate) enum Request {
    Script(Call),
    Command(Cmd),
}

impl Request {
    pub(crate) fn command(name: &str, args: &[&str]) -> Self {
        let mut command = redis::cmd(name);
        command.arg(args);
        Self::Command(command)
    }

    /// As it is sent. A script goes by its hash and must have been loaded.
    pub(crate) fn to_command(&self) -> Cmd {
        match self {
            Self::Command(command) => command.clone(),
            Self::Script(call) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(call.script.get_hash()).arg(call.keys.len());
                command.arg(&call.keys).arg(&call.args);
                command
            }
        }
    }

    pub(crate) fn script(&self) -> Option<&'static Script> {
        match self {
            Self::Command(_) => None,
            Self::Script(call) => Some(call.script),
        }
    }

    /// The key that says where in a cluster it belongs; without one it belongs anywhere.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Command(command) => match command.args_iter().nth(1) {
                Some(Arg::Simple(key)) => Some(key),
                _ => None,
            },
            Self::Script(call) => Some(call.keys[0].as_bytes()),
        }
    }
}

/// The keys of one partition; the braces put them into one slot of a cluster.
pub(crate) fn keys(prefix: &str, partition: &Partition) -> Vec<String> {
    let key = |suffix| format!("{prefix}:{{{partition}}}:{suffix}");
    ["m", "d", "k", "w"].map(key).into()
}

/// The keys of one partition with the one that outlives it, for the scripts that look there. The
/// others leave it out: while a slot moves, a server turns away whoever names a key that it has
/// together with one that is not there.
pub(crate) fn keys_and_record(prefix: &str, partition: &Partition) -> Vec<String> {
    let mut keys = keys(prefix, partition);
    keys.push(format!("{prefix}:{{{partition}}}:x"));
    keys
}

/// Where changes are told.
pub(crate) fn channel(prefix: &str) -> String {
    format!("{prefix}:changes")
}

pub(crate) fn commit(
    keys: Vec<String>,
    prefix: &str,
    partition: &Partition,
    commit: &Commit,
) -> Call {
    let mut args = vec![commit.id().as_bytes().to_vec(), commit.digest().to_vec()];
    args.extend(fence(commit.fence()));
    args.push(commit.revision().map_or_else(Vec::new, text));
    let follows = commit.follows();
    args.push(follows.map_or_else(Vec::new, |write| write.as_bytes().to_vec()));
    args.push(text(channel(prefix)));
    args.push(text(partition));
    for change in commit.changes() {
        args.push(text(&change.key));
        args.push(if change.value.is_some() {
            b"p".to_vec()
        } else {
            b"d".to_vec()
        });
        args.push(match change.expect {
            Expect::Any => b"*".to_vec(),
            Expect::Absent => b"-".to_vec(),
            Expect::Version(version) => text(version),
        });
        let value = change.value.as_deref();
        args.push(value.map_or_else(Vec::new, |value| [&record::hash(value), value].concat()));
    }
    Call {
        script: &COMMIT,
        keys,
        args,
    }
}

pub(crate) fn acquire(mut keys: Vec<String>, request: &LeaseRequest, token: [u8; 16]) -> Call {
    only_head(&mut keys);
    let id = Fence { epoch: 0, token }.token_id();
    let takeover = request.takeover.as_ref().map_or("", TokenId::as_str);
    let args = vec![
        token.to_vec(),
        text(id),
        text(&request.owner),
        text(ttl_ms(request.ttl)),
        text(takeover),
        text(if request.first { "1" } else { "" }),
    ];
    Call {
        script: &ACQUIRE,
        keys,
        args,
    }
}

/// Leases lie in the head. A server that is giving a slot away turns back whoever names a key that
/// is there together with one that is not, so nothing else is named.
fn only_head(keys: &mut Vec<String>) {
    keys.truncate(1);
}

/// Renews for `ttl`, or releases.
pub(crate) fn renew(mut keys: Vec<String>, lease: &Fence, ttl: Option<Duration>) -> Call {
    only_head(&mut keys);
    let mut args = Vec::from(fence(Some(lease)));
    args.push(ttl.map_or_else(Vec::new, |ttl| text(ttl_ms(ttl))));
    Call {
        script: &RENEW,
        keys,
        args,
    }
}

pub(crate) fn lease(mut keys: Vec<String>) -> Call {
    only_head(&mut keys);
    Call {
        script: &LEASE,
        keys,
        args: Vec::new(),
    }
}

pub(crate) fn expire(keys: Vec<String>, ttl: Option<Duration>) -> Call {
    let ttl = ttl.map_or_else(Vec::new, |ttl| text(ttl_ms(ttl)));
    Call {
        script: &EXPIRE,
        keys,
        args: vec![ttl],
    }
}

pub(crate) fn scan(keys: Vec<String>, prefix: &str, after: Option<&Key>, limit: usize) -> Call {
    let lower = match after {
        Some(after) if after.as_str() >= prefix => format!("({after}"),
        _ => format!("[{prefix}"),
    };
    let upper = format!("({prefix}{PAST_NAMES}");
    let args = vec![text(lower), text(upper), text(limit), text(PAGE_BYTES)];
    Call {
        script: &SCAN,
        keys,
        args,
    }
}

/// What a script answered: a word, then its parts.
pub(crate) struct Reply<'a> {
    pub(super) op: &'static str,
    pub(super) partition: &'a Partition,
    parts: std::vec::IntoIter<Vec<u8>>,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(op: &'static str, partition: &'a Partition, parts: Vec<Vec<u8>>) -> Self {
        Self {
            op,
            partition,
            parts: parts.into_iter(),
        }
    }

    pub(crate) fn commit(mut self, durability: Durability) -> Result<CommitOutcome, StoreError> {
        Ok(match &*self.word()? {
            "APPLIED" => CommitOutcome::Applied {
                durability,
                revision: self.number()?,
            },
            "DUPLICATE" => CommitOutcome::Duplicate {
                durability,
                revision: self.number()?,
            },
            "REVISION" => CommitOutcome::RevisionConflict {
                found: self.number()?,
            },
            "DIFFERENT" => CommitOutcome::DuplicateDifferent,
            "STALE" => CommitOutcome::StaleEpoch {
                current: self.optional_number()?,
            },
            "CONFLICT" => CommitOutcome::Conflict {
                key: self.key()?,
                found: self.optional_number()?,
            },
            other => return Err(self.unexpected(other)),
        })
    }

    pub(crate) fn acquire(mut self, token: [u8; 16]) -> Result<AcquireOutcome, StoreError> {
        match &*self.word()? {
            "HELD" => Ok(AcquireOutcome::Held(self.lease_parts()?)),
            "ACQUIRED" => {
                let fence = Fence {
                    epoch: self.number()?,
                    token,
                };
                let has_previous = !self.is_at_end();
                let previous = has_previous.then(|| self.lease_parts()).transpose()?;
                Ok(AcquireOutcome::Acquired { fence, previous })
            }
            other => Err(self.unexpected(other)),
        }
    }

    pub(crate) fn renew(mut self, done: RenewOutcome) -> Result<RenewOutcome, StoreError> {
        match &*self.word()? {
            "DONE" => Ok(done),
            "LOST" => Ok(RenewOutcome::Lost {
                current_epoch: self.optional_number()?,
            }),
            other => Err(self.unexpected(other)),
        }
    }

    pub(crate) fn lease(mut self) -> Result<Option<Lease>, StoreError> {
        match &*self.word()? {
            "NONE" => Ok(None),
            "LEASE" => self.lease_parts().map(Some),
            other => Err(self.unexpected(other)),
        }
    }

    pub(crate) fn expire(mut self) -> Result<bool, StoreError> {
        match &*self.word()? {
            "NONE" => Ok(false),
            "DONE" => Ok(true),
            other => Err(self.unexpected(other)),
        }
    }

    pub(crate) fn scan(mut self) -> Result<Page<(Key, Entry)>, StoreError> {
        match &*self.word()? {
            "PAGE" => {}
            other => return Err(self.unexpected(other)),
        }
        let has_more = !self.part()?.is_empty();
        let mut items = Vec::new();
        while !self.is_at_end() {
            let key = self.key()?;
            let entry = entry(self.partition, &key, &self.part()?)?;
            items.push((key, entry));
        }
        let next = items
            .last()
            .filter(|_| has_more)
            .map(|(key, _)| key.to_string());
        Ok(Page::new(items, next))
    }

    /// The first part, unless it is one that every script may answer.
    pub(super) fn word(&mut self) -> Result<String, StoreError> {
        let word = self.string()?;
        match &*word {
            "FORMAT" => Err(StoreError::Format {
                what: format!("partition `{}`", self.partition),
                found: self.number()?.try_into().unwrap_or(u32::MAX),
                supported: FORMAT,
            }),
            "DAMAGED" => {
                let key = self.string()?;
                Err(record::damaged(
                    value_of(self.partition, &key),
                    "its head is not readable",
                ))
            }
            _ => Ok(word),
        }
    }

    pub(super) fn lease_parts(&mut self) -> Result<Lease, StoreError> {
        Ok(Lease {
            epoch: self.number()?,
            owner: self.string()?,
            remaining: Duration::from_millis(self.number()?),
            token_id: TokenId::new(self.string()?),
        })
    }

    pub(super) fn key(&mut self) -> Result<Key, StoreError> {
        let name = self.string()?;
        Key::try_new(&*name).map_err(|_| self.unexpected(&name))
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        let text = self.string()?;
        text.parse().map_err(|_| self.unexpected(&text))
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<u64>, StoreError> {
        let text = self.string()?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.unexpected(&text))
    }

    pub(super) fn string(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.part()?).map_err(|_| self.unexpected("bytes that are no text"))
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.parts.as_slice().is_empty()
    }

    pub(super) fn part(&mut self) -> Result<Vec<u8>, StoreError> {
        self.parts
            .next()
            .ok_or_else(|| self.unexpected("nothing more"))
    }

    // Somebody else writes under our prefix; there is no way for a script to answer this.
    pub(super) fn unexpected(&self, found: &str) -> StoreError {
        let reason = format!("`{}` met {found:?} where it cannot stand", self.op);
        record::damaged(format!("partition `{}`", self.partition), &reason)
    }
}

/// Reads a record: format byte, version (8 bytes, big endian), hash, value.
pub(crate) fn entry(partition: &Partition, key: &Key, stored: &[u8]) -> Result<Entry, StoreError> {
    let what = || value_of(partition, key.as_str());
    record::check_format(stored, what)?;
    let Some((version, hashed)) = stored[1..].split_first_chunk::<8>() else {
        return Err(record::damaged(what(), "it is cut short"));
    };
    Ok(Entry {
        version: u64::from_be_bytes(*version),
        value: record::verify(hashed, what)?,
    })
}

fn value_of(partition: &Partition, key: &str) -> String {
    format!("value of key `{key}` in partition `{partition}`")
}

fn fence(fence: Option<&Fence>) -> [Vec<u8>; 2] {
    match fence {
        Some(fence) => [text(fence.epoch), fence.token.to_vec()],
        None => [Vec::new(), Vec::new()],
    }
}

pub(super) fn text(text: impl ToString) -> Vec<u8> {
    text.to_string().into_bytes()
}
