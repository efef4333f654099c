//! What a store is made to do wrong, and when.

use std::fmt;
use std::time::Duration;

use fusebox_state::StoreError;

/// An operation of a store, as its method is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// `StateStore::now`
    Now,
    /// `StateStore::get`
    Get,
    /// `StateStore::scan`
    Scan,
    /// `StateStore::partitions`
    Partitions,
    /// `StateStore::commit`
    Commit,
    /// `StateStore::acquire`
    Acquire,
    /// `StateStore::renew`
    Renew,
    /// `StateStore::release`
    Release,
    /// `StateStore::lease`
    Lease,
    /// `StateStore::expire`
    Expire,
    /// `StateStore::head`
    Head,
    /// `StateStore::image`
    Image,
    /// `StateStore::restore`
    Restore,
    /// `StateStore::give_up`
    GiveUp,
    /// `StateStore::watch`
    Watch,
    /// `StateStore::identity`
    Identity,
    /// `StateStore::health`
    Health,
}

impl Operation {
    /// Whether it changes what is stored.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::Commit
                | Self::Acquire
                | Self::Renew
                | Self::Release
                | Self::Expire
                | Self::Restore
                | Self::GiveUp
        )
    }

    /// Its method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Get => "get",
            Self::Scan => "scan",
            Self::Partitions => "partitions",
            Self::Commit => "commit",
            Self::Acquire => "acquire",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Lease => "lease",
            Self::Expire => "expire",
            Self::Head => "head",
            Self::Image => "image",
            Self::Restore => "restore",
            Self::GiveUp => "give_up",
            Self::Watch => "watch",
            Self::Identity => "identity",
            Self::Health => "health",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Before,
    After,
    Refused,
    DiesBefore,
    DiesAfter,
}

/// A fault of a [`FailingStore`](crate::FailingStore): what happens, to which operations, when.
/// Unless said otherwise it strikes every operation, from the first call on, for ever.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it does nothing until a store is given it"]
pub struct StoreFault {
    effect: Effect,
    operation: Option<Operation>,
    skipping: u64,
    times: u64,
    from: Duration,
    until: Option<Duration>,
}

impl StoreFault {
    /// The store is away: nothing is read or written, and the caller knows that nothing was.
    pub fn unavailable_before() -> Self {
        Self::of(Effect::Before)
    }

    /// The operation is made and its answer lost: a write is in the store and nobody confirmed it.
    pub fn unavailable_after() -> Self {
        Self::of(Effect::After)
    }

    /// The process dies before the operation is made: neither it nor any later one is answered, until
    /// the store is [healed](crate::FailingStore::heal) for the next process. Race what uses the store
    /// against [`died`](crate::FailingStore::died) and drop it there.
    pub fn dies_before() -> Self {
        Self::of(Effect::DiesBefore)
    }

    /// The same, after the operation was made: what it wrote is in the store.
    pub fn dies_after() -> Self {
        Self::of(Effect::DiesAfter)
    }

    /// The store answers that it takes no writes. Reads go through.
    pub fn refused() -> Self {
        Self::of(Effect::Refused)
    }

    /// Strikes this operation only.
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Lets the first `calls` go that it would strike.
    pub fn skipping(mut self, calls: u64) -> Self {
        self.skipping = calls;
        self
    }

    /// Strikes `times` calls, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Begins this long after the store was made, on tokio's clock; at exactly then it is on.
    pub fn from(mut self, from: Duration) -> Self {
        self.from = from;
        self
    }

    /// Ends this long after the store was made, on tokio's clock; at exactly then it is off.
    pub fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    fn of(effect: Effect) -> Self {
        Self {
            effect,
            operation: None,
            skipping: 0,
            times: u64::MAX,
            from: Duration::ZERO,
            until: None,
        }
    }
}

/// A fault that was planned, and what became of it.
#[derive(Debug)]
pub(crate) struct Planned {
    fault: StoreFault,
    let_go: u64,
    struck: u64,
}

impl Planned {
    pub(crate) fn new(fault: StoreFault) -> Self {
        Self {
            fault,
            let_go: 0,
            struck: 0,
        }
    }

    /// Whether it strikes this call, which is counted either way.
    pub(crate) fn strikes(&mut self, operation: Operation, age: Duration) -> Option<Effect> {
        let fault = &self.fault;
        let concerns = fault.operation.is_none_or(|wanted| wanted == operation)
            && (fault.effect != Effect::Refused || operation.is_write())
            && age >= fault.from
            && fault.until.is_none_or(|until| age < until);
        if !concerns || self.struck >= fault.times {
            return None;
        }
        if self.let_go < fault.skipping {
            self.let_go += 1;
            return None;
        }
        self.struck += 1;
        Some(fault.effect)
    }

    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    pub(crate) fn fault(&self) -> &StoreFault {
        &self.fault
    }
}

impl Effect {
    pub(crate) fn error(self, operation: Operation) -> StoreError {
        let (op, cause) = (
            operation.as_str(),
            "fault injected by fusebox-testkit".into(),
        );
        match self {
            Self::Refused => StoreError::Refused { op, cause },
            Self::Before | Self::After | Self::DiesBefore | Self::DiesAfter => {
                StoreError::Unavailable {
                    op,
                    cause,
                    may_have_applied: self == Self::After && operation.is_write(),
                }
            }
        }
    }
}
