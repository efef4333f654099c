//! The last good output of a step, kept over runs for when its agent is not available.
//!
//! A courtesy beside the journal: kept after the commit that holds the output, outside the run, and
//! not written again where that fails. A run relies on it only as a degraded answer.

use std::time::Duration;

use fusebox_state::{
    Commit, CommitOutcome, Expect, Key, Partition, StateStore, StoreError, WriteId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256_hex;
use crate::run_id::RunId;
use crate::time::{millis, now_ms};

/// Where it is kept: one partition per workflow, step and input of the run.
#[derive(Debug, Clone)]
pub(crate) struct Place(Partition);

/// An output and its age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastGood {
    pub(crate) output: Value,
    /// When it was committed, in milliseconds since 1970 (UTC).
    at_ms: u64,
    /// In which run.
    run: String,
}

impl Place {
    /// An output is an answer to its run's input, so another input has a place of its own.
    pub(crate) fn of(workflow: &str, step: &str, input: &Value) -> Self {
        let digest = sha256_hex(format!("{workflow}\n{step}\n{input}").as_bytes());
        let name = format!("good.{}", &digest[..32]);
        Self(Partition::try_new(name).expect("it holds only plain characters"))
    }

    /// What is kept; `None` too for what this version cannot read.
    pub(crate) async fn load(
        &self,
        store: &dyn StateStore,
    ) -> Result<Option<LastGood>, StoreError> {
        let entry = store.get(&self.0, &key()).await?;
        Ok(entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
    }

    /// Keeps an output as the last good one. Answers whether it was written.
    pub(crate) async fn keep(
        &self,
        store: &dyn StateStore,
        value: &LastGood,
        max_age: Duration,
    ) -> Result<bool, StoreError> {
        let bytes = serde_json::to_vec(value).expect("a JSON value can be written");
        let commit = Commit::new(WriteId::random()).put(key(), Expect::Any, bytes);
        let outcome = store.commit(&self.0, commit).await?;
        store.expire(&self.0, Some(max_age)).await?;
        Ok(matches!(outcome, CommitOutcome::Applied { .. }))
    }
}

impl LastGood {
    pub(crate) fn now(output: Value, run: &RunId) -> Self {
        Self {
            output,
            at_ms: now_ms(),
            run: run.to_string(),
        }
    }

    /// Its age, if that is `max_age` at most.
    pub(crate) fn age(&self, max_age: Duration, now_ms: u64) -> Option<Duration> {
        // A clock that was ahead when it was written does not make it older than new.
        let age = now_ms.saturating_sub(self.at_ms);
        (age <= millis(max_age)).then(|| Duration::from_millis(age))
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }
}

fn key() -> Key {
    Key::try_new("value").expect("a plain name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_good_up_to_exactly_its_greatest_age() {
        let value = LastGood {
            output: Value::Null,
            at_ms: 1_000,
            run: "r".into(),
        };
        let age = |now| value.age(Duration::from_secs(2), now);
        assert_eq!(age(500), Some(Duration::ZERO));
        assert_eq!(age(3_000), Some(Duration::from_secs(2)));
        assert_eq!(age(3_001), None);
    }
}
