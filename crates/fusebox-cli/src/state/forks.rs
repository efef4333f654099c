//! `fusebox state forks`: what was kept apart, to be read or dropped. Nothing ever applies it.

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use fusebox::RunId;
use fusebox::state::{Entry, Fork, Key, StateStore, StoreError, forks as list};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{ForksArgs, PlaceArgs};
use crate::failure::Failure;
use crate::inspect::timestamp;
use crate::output;
use crate::place::Place;
use crate::plain::plain;
use crate::progress::time;

const PAGE: usize = 256;

pub(crate) async fn forks(args: &ForksArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
    let store = &*place.store;
    let found = list(store).await.map_err(unread)?;
    match (&args.read, &args.drop) {
        (Some(name), _) => {
            let fork = named(&found, name, &args.place)?;
            let entries = entries(store, fork).await.map_err(unread)?;
            read(fork, &entries, args.json);
        }
        (None, Some(name)) => {
            let fork = named(&found, name, &args.place)?;
            drop_fork(store, fork, args.json).await.map_err(unread)?;
        }
        (None, None) => {
            let mut holdings = Vec::new();
            for fork in &found {
                holdings.push(Holding::of(store, fork).await.map_err(unread)?);
            }
            show(&holdings, args);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unread(error: StoreError) -> Failure {
    let read = Err::<(), _>(error).context("the state store could not be read");
    Failure::environment(read.expect_err("it is an error"))
}

/// The fork of exactly this name.
fn named<'a>(found: &'a [Fork], name: &str, place: &PlaceArgs) -> Result<&'a Fork, Failure> {
    let fork = found.iter().find(|fork| fork.stored_as.as_str() == name);
    fork.ok_or_else(|| {
        let flags = Place::flags(place);
        Failure::misuse(format!(
            "there is no fork `{}` in this store; `fusebox state forks{flags}` lists those there are, \
             and a name has to be given whole",
            plain(name)
        ))
    })
}

/// What a fork holds, for the listing.
#[derive(Debug, Serialize)]
struct Holding {
    name: String,
    partition: String,
    /// The run it is a fork of, if it is one's.
    run: Option<String>,
    /// How that run stood, in the fork.
    status: Option<String>,
    epoch: u64,
    revision: u64,
    /// The epoch that took the partition over; none if it was removed.
    winner: Option<u64>,
    kept_ms: u64,
    expires_in_ms: Option<u64>,
    bytes: u64,
    keys: Vec<String>,
}

impl Holding {
    async fn of(store: &dyn StateStore, fork: &Fork) -> Result<Self, StoreError> {
        let head = store.head(&fork.stored_as).await?;
        let entries = entries(store, fork).await?;
        let run = RunId::of(&fork.partition);
        let status = entries.iter().find(|(key, _)| key.as_str() == "head");
        let status = status.and_then(|(_, entry)| {
            let head: Value = serde_json::from_slice(&entry.value).ok()?;
            Some(plain(head["status"].as_str()?))
        });
        let kept = fork.kept.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires_in = head.and_then(|head| head.expires_in);
        Ok(Self {
            name: fork.stored_as.to_string(),
            partition: fork.partition.to_string(),
            status: run.as_ref().and(status),
            run: run.map(|run| run.to_string()),
            epoch: fork.epoch,
            revision: fork.revision,
            winner: fork.winner,
            kept_ms: millis(kept),
            expires_in_ms: expires_in.map(millis),
            bytes: entries
                .iter()
                .map(|(_, entry)| entry.value.len() as u64)
                .sum(),
            keys: entries.iter().map(|(key, _)| key.to_string()).collect(),
        })
    }

    fn describe(&self) -> String {
        let of = match (&self.run, &self.status) {
            (Some(run), Some(status)) => format!("run {run}, {status}"),
            (Some(run), None) => format!("run {run}"),
            (None, _) => format!("partition {}", self.partition),
        };
        let taken = match self.winner {
            Some(epoch) => format!("taken over by epoch {epoch}"),
            None => "removed".to_owned(),
        };
        let goes = self.expires_in_ms.map_or_else(String::new, |left| {
            format!(", goes by itself in {}", time(left))
        });
        format!(
            "{}\n  {of}: {} keys, {} bytes, up to revision {} under epoch {}; {taken}\n  kept at {} (UTC){goes}",
            self.name,
            self.keys.len(),
            self.bytes,
            self.revision,
            self.epoch,
            timestamp(self.kept_ms)
        )
    }
}

fn show(holdings: &[Holding], args: &ForksArgs) {
    if args.json {
        return output::document(&json!({ "forks": holdings }));
    }
    if holdings.is_empty() {
        return output::say("no forks: nothing that was acknowledged had to be kept apart");
    }
    for holding in holdings {
        output::say(&holding.describe());
    }
    let flags = Place::flags(&args.place);
    output::say(&format!(
        "to read one: fusebox state forks{flags} --read NAME"
    ));
    output::say(&format!(
        "to drop one for good: fusebox state forks{flags} --drop NAME"
    ));
}

fn read(fork: &Fork, entries: &[(Key, Entry)], json: bool) {
    if json {
        let entry = |(key, entry): &(Key, Entry)| {
            let version = entry.version;
            json!({ "key": key.as_str(), "version": version, "value": value(&entry.value) })
        };
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        let name = fork.stored_as.as_str();
        return output::document(&json!({ "name": name, "entries": entries }));
    }
    output::say(&fork.to_string());
    for (key, entry) in entries {
        let bytes = entry.value.len();
        output::say(&format!("{key}, version {}, {bytes} bytes:", entry.version));
        let text = match value(&entry.value) {
            Value::String(text) => text,
            Value::Null => "bytes that are no text".to_owned(),
            value => serde_json::to_string_pretty(&value).unwrap_or_default(),
        };
        for line in text.lines() {
            output::say(&format!("  {}", plain(line)));
        }
    }
}

async fn drop_fork(store: &dyn StateStore, fork: &Fork, json: bool) -> Result<(), StoreError> {
    let dropped = store.expire(&fork.stored_as, Some(Duration::ZERO)).await?;
    match json {
        true => output::document(&json!({ "name": fork.stored_as.as_str(), "dropped": dropped })),
        false => output::say(&format!("dropped {}", fork.stored_as)),
    }
    Ok(())
}

async fn entries(store: &dyn StateStore, fork: &Fork) -> Result<Vec<(Key, Entry)>, StoreError> {
    let mut found: Vec<(Key, Entry)> = Vec::new();
    loop {
        let after = found.last().map(|(key, _)| key.clone());
        let page = store
            .scan(&fork.stored_as, "", after.as_ref(), PAGE)
            .await?;
        let is_last = page.next.is_none();
        found.extend(page.items);
        if is_last {
            return Ok(found);
        }
    }
}

/// JSON as it is, text as a string, anything else as null.
fn value(bytes: &[u8]) -> Value {
    let json = serde_json::from_slice(bytes).ok();
    let text = || std::str::from_utf8(bytes).ok().map(|text| json!(text));
    json.or_else(text).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
