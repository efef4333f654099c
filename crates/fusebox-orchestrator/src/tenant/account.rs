//! One run's share in its tenant's budget, as this process keeps it.

use std::sync::Arc;
use std::time::Duration;

use fusebox_policy::{Budget, Spend};
use fusebox_state::{Commit, CommitOutcome, Expect, Key, Partition, StateStore, WriteId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::sum::{Entry, Share, Sum};
use super::{Short, TenantBudget, at_ms, key, parse, partition};
use crate::record::HistoryError;
use crate::run_id::RunId;
use crate::spending::less;

/// Why nothing was set aside.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is not enough left.
    Short(Short),
    /// The store could not be asked. A limit that nobody can look at is none, so nothing is called.
    Away(String),
}

/// One run's share in its tenant's budget.
pub(crate) struct Account {
    store: Arc<dyn StateStore>,
    partition: Partition,
    /// Where the run's share is.
    own: Key,
    tenant: Arc<str>,
    budget: TenantBudget,
    patience: Duration,
    /// Which of the run's processes this is.
    process: u32,
    /// What the run has spent, over all processes.
    run: Budget,
    /// What it had spent when this process took it up. Where there is no share on record, that much was counted
    /// and its record removed at the run's end, or was spent before the tenant had a budget.
    before: Spend,
    /// What is set aside for its calls. One change at a time.
    in_flight: Mutex<Spend>,
}

/// What one write is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// To set this aside, if there is so much.
    SetAside(Spend),
    Settle,
    /// The run has ended and its share is settled: the record is not needed any more.
    Remove,
}

/// The records and the versions they have.
struct Known {
    now_ms: u64,
    sum: Sum,
    sum_version: Option<u64>,
    own: Option<Entry>,
    own_version: Option<u64>,
}

impl Account {
    pub(crate) fn new(
        (store, patience): (Arc<dyn StateStore>, Duration),
        (tenant, budget): (&Arc<str>, TenantBudget),
        (id, process): (&RunId, u32),
        run: Budget,
    ) -> Self {
        Self {
            store,
            partition: partition(tenant),
            own: key(&format!("run.{id}")),
            tenant: Arc::clone(tenant),
            budget,
            patience,
            process,
            before: run.spent(),
            run,
            in_flight: Mutex::default(),
        }
    }

    pub(crate) fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    pub(crate) fn budget(&self) -> &TenantBudget {
        &self.budget
    }

    /// What the budget has counted of the run so far; `None` where there is nothing on record. It knows of calls whose
    /// end the run's journal did not get.
    pub(crate) async fn counted(&self) -> Result<Option<Spend>, HistoryError> {
        let known = self.read().await?;
        Ok(known.own.map(|own| own.counted_in(own.since_ms).total()))
    }

    /// Sets the estimate of an attempt aside, in the store.
    pub(crate) async fn set_aside(&self, estimate: Spend) -> Result<(), Refusal> {
        let mut in_flight = self.in_flight.lock().await;
        let wanted = in_flight.saturating_add(estimate);
        self.write(wanted, Purpose::SetAside(estimate)).await?;
        *in_flight = wanted;
        Ok(())
    }

    /// A call is over that `set_aside` was held for. Where the store is away nothing is lost: what it cost is part of
    /// what the run has spent, which the next write tells.
    pub(crate) async fn settle(&self, set_aside: Spend) {
        let mut in_flight = self.in_flight.lock().await;
        *in_flight = less(*in_flight, set_aside);
        let _ = self.write(*in_flight, Purpose::Settle).await;
    }

    /// An attempt is over and another is to come, for which the same is set aside.
    pub(crate) async fn again(&self, estimate: Spend) -> Result<(), Refusal> {
        let in_flight = self.in_flight.lock().await;
        self.write(*in_flight, Purpose::SetAside(estimate)).await
    }

    /// No call is in flight any more. With `is_over` the run has ended, and what it has spent stays as it is.
    pub(crate) async fn close(&self, is_over: bool) {
        let mut in_flight = self.in_flight.lock().await;
        *in_flight = Spend::ZERO;
        // A share that stays is put right when the run is taken over.
        if self.write(Spend::ZERO, Purpose::Settle).await.is_ok() && is_over {
            let _ = self.write(Spend::ZERO, Purpose::Remove).await;
        }
    }

    async fn write(&self, in_flight: Spend, purpose: Purpose) -> Result<(), Refusal> {
        let (begun, mut sent) = (Instant::now(), None);
        loop {
            let known = match self.read().await {
                Ok(known) => known,
                Err(HistoryError::Store(error)) if error.is_transient() && self.has_time(begun) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(away(&error)),
            };
            let write = known.own.as_ref().map(|own| &own.write);
            if sent.is_some_and(|sent: WriteId| write == Some(&sent.to_string())) {
                return Ok(()); // Its answer was lost, and the store no longer remembered it.
            }
            let id = WriteId::random();
            let Some(commit) = self.prepare(&known, in_flight, purpose, id)? else {
                return Ok(());
            };
            sent = Some(id);
            if self.send(commit, begun).await? {
                return Ok(());
            }
        }
    }

    /// The write, if there is anything to write.
    fn prepare(
        &self,
        known: &Known,
        in_flight: Spend,
        purpose: Purpose,
        id: WriteId,
    ) -> Result<Option<Commit>, Refusal> {
        if known
            .own
            .as_ref()
            .is_some_and(|own| own.process > self.process)
        {
            let taken = "another process has taken the run over".to_owned();
            return Err(Refusal::Away(taken));
        }
        if matches!(purpose, Purpose::Remove) && known.own.is_none() {
            return Ok(None);
        }
        let (since_ms, _) = self.budget.period.around(known.now_ms);
        let sum = known.sum.in_period(since_ms);
        let before = known.own.as_ref().map_or(
            Share {
                spent: self.before,
                in_flight: Spend::ZERO,
            },
            |own| own.counted_in(sum.since_ms),
        );
        let after = Share {
            spent: self.run.spent(),
            in_flight,
        };
        let wanted = sum.replace(before, after);
        if let Purpose::SetAside(asked) = purpose {
            let without = sum.replace(
                before,
                Share {
                    in_flight: less(in_flight, asked),
                    ..after
                },
            );
            if !without.has_room(asked, &self.budget.allowance) {
                let short = Short::of(&without, asked, &self.budget, known.now_ms);
                return Err(Refusal::Short(short));
            }
        }
        let is_kept = !matches!(purpose, Purpose::Remove);
        if wanted == known.sum && before == after && known.own.is_some() == is_kept {
            return Ok(None);
        }
        let commit = Commit::new(id).put(key("sum"), expect(known.sum_version), json(&wanted));
        let own = Entry {
            since_ms: wanted.since_ms,
            spent: after.spent.into(),
            in_flight: after.in_flight.into(),
            process: self.process,
            write: id.to_string(),
        };
        let expected = expect(known.own_version);
        Ok(Some(match purpose {
            Purpose::Remove => commit.delete(self.own.clone(), expected),
            _ => commit.put(self.own.clone(), expected, json(&own)),
        }))
    }

    /// Answers whether it was written; if not, somebody else's write came first.
    async fn send(&self, commit: Commit, begun: Instant) -> Result<bool, Refusal> {
        loop {
            match self.store.commit(&self.partition, commit.clone()).await {
                Ok(CommitOutcome::Applied { .. } | CommitOutcome::Duplicate { .. }) => {
                    return Ok(true);
                }
                Ok(CommitOutcome::Conflict { .. }) => return Ok(false),
                Ok(other) => return Err(Refusal::Away(format!("the store answered {other:?}"))),
                Err(error) if error.is_transient() && self.has_time(begun) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(away(&error)),
            }
        }
    }

    async fn read(&self) -> Result<Known, HistoryError> {
        let (store, sum) = (&self.store, key("sum"));
        let (now, sum, own) = tokio::try_join!(
            store.now(),
            store.get(&self.partition, &sum),
            store.get(&self.partition, &self.own),
        )?;
        let (sum_version, own_version) = (
            sum.as_ref().map(|entry| entry.version),
            own.as_ref().map(|entry| entry.version),
        );
        let sum = sum.map(|entry| parse(&self.tenant, "sum", &entry.value));
        let own = own.map(|entry| parse(&self.tenant, self.own.as_str(), &entry.value));
        Ok(Known {
            now_ms: at_ms(now),
            sum: sum.transpose()?.unwrap_or_default(),
            sum_version,
            own: own.transpose()?,
            own_version,
        })
    }

    fn has_time(&self, begun: Instant) -> bool {
        begun.elapsed() + PAUSE < self.patience
    }
}

/// Between two tries of a store that does not answer.
const PAUSE: Duration = Duration::from_millis(100);

fn expect(version: Option<u64>) -> Expect {
    version.map_or(Expect::Absent, Expect::Version)
}

fn away(error: &dyn std::error::Error) -> Refusal {
    Refusal::Away(crate::run::chain(error))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records of a budget are plain data")
}
