//! Breakers by target: made from templates when first asked for, bounded, dropped when nobody needs them.

mod parents;
mod target;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub use parents::{ParentRule, ParentVerdict};
pub use target::{Part, Target};

use crate::breaker::{Breaker, Env};
use crate::clock::{Clock, Time, Timestamp};
use crate::config::Config;
use crate::sync::{AtomicU64, Ordering, RwLock, RwLockWriteGuard};
use crate::tally::Params;
use crate::transition::TransitionQueue;
use parents::Parents;

/// Look-ups in different shards do not wait for each other.
const SHARDS: usize = if cfg!(loom) { 1 } else { 32 };

/// Entries looked at, at most, to find one to evict; the oldest of so many is old enough.
const EVICTION_SAMPLE: usize = 64;

/// Breakers by [`Target`]. Clones are handles on the same registry.
///
/// A look-up takes a shard's read lock; the breaker it gives takes none, so whoever calls often keeps the handle. At
/// most `capacity` breakers are kept: beyond it the least recently looked-up one that is closed, without calls in
/// flight and without a handle elsewhere gives way. A breaker that is not closed or in use is never evicted; if
/// all of the looked-at are, the registry grows past its capacity rather than forget an outage.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    shards: Box<[RwLock<Shard>]>,
    hash_seed: u64,
    templates: Vec<(Target, Arc<Params>)>,
    env: Arc<Env>,
    parents: Arc<Parents>,
    names: Arc<Names>,
    seed: u64,
    capacity: usize,
    idle_time_out: Option<Duration>,
    len: AtomicU64,
    evicted: AtomicU64,
}

/// Entries by the hash of their target, so that a look-up hashes once.
type Shard = HashMap<u64, Entry, AsIs>;

struct Entry {
    target: Target,
    breaker: Breaker,
    used: AtomicU64,
}

/// The keys are hashes already.
#[derive(Debug, Clone, Default)]
struct AsIs(u64);

impl BuildHasher for AsIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only whole hashes are ever written.
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Targets by the name of their breaker, for the events, which know only names. Empty without parent rules.
type Names = RwLock<HashMap<Arc<str>, Target>>;

impl Registry {
    /// A registry whose breakers all have these settings.
    pub fn new(config: Config) -> Self {
        Self::builder(config).build()
    }

    /// A registry with templates, bounds, clock or queue of its own.
    pub fn builder(config: Config) -> RegistryBuilder {
        RegistryBuilder {
            templates: vec![(Target::new(), config)],
            capacity: 100_000,
            idle_time_out: None,
            time: None,
            seed: None,
            transitions: None,
            parents: Vec::new(),
        }
    }

    /// The target's breaker, made from the template that names most of its parts if there is none yet.
    pub fn breaker(&self, target: &Target) -> Breaker {
        self.shared
            .get(target)
            .unwrap_or_else(|| self.shared.insert(target))
    }

    /// The target's breaker, if there is one. Counts as a use.
    pub fn find(&self, target: &Target) -> Option<Breaker> {
        self.shared.get(target)
    }

    /// Breakers kept.
    pub fn len(&self) -> usize {
        self.shared.len.load(Ordering::Relaxed) as usize
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Breakers evicted so far.
    pub fn evicted(&self) -> u64 {
        self.shared.evicted.load(Ordering::Relaxed)
    }

    /// Every breaker with its target, in no order.
    pub fn all(&self) -> Vec<(Target, Breaker)> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shared.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(
                shard
                    .values()
                    .map(|entry| (entry.target.clone(), entry.breaker.clone())),
            );
        }
        all
    }

    /// Evicts what nobody has looked up for the idle time-out, and answers how many. Does nothing without one.
    /// To be called now and then; each shard is locked for one pass over it.
    pub fn sweep(&self) -> usize {
        let Some(idle) = self.shared.idle_time_out else {
            return 0;
        };
        let now = self.shared.env.time.now();
        let mut evicted = 0;
        for shard in &self.shared.shards {
            let mut shard = write(shard);
            let idle: Vec<u64> = shard
                .iter()
                .filter(|(_, entry)| entry.is_idle(now, idle) && entry.is_dispensable())
                .map(|(hash, _)| *hash)
                .collect();
            for hash in idle {
                self.shared.evict(&mut shard, hash);
                evicted += 1;
            }
        }
        evicted
    }

    /// How the group of breakers stands whose parts are those of `parent`. None if no rule makes such a group or no
    /// breaker belongs to it.
    pub fn verdict(&self, parent: &Target) -> Option<ParentVerdict> {
        self.shared.parents.verdict(parent)
    }
}

impl Shared {
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The map inside takes its place from the lowest bits and a tag from the highest.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    fn get(&self, target: &Target) -> Option<Breaker> {
        let hash = target.hash_with(self.hash_seed);
        let shard = self
            .shard(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = &shard[&place(&shard, hash, target).ok()?];
        let now = self.env.time.now().as_nanos();
        // Written only when it says something new, so that readers of one key do not fight for it.
        if now.saturating_sub(entry.used.load(Ordering::Relaxed)) > 1_000_000 {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(entry.breaker.clone())
    }

    fn insert(&self, target: &Target) -> Breaker {
        let hash = target.hash_with(self.hash_seed);
        let mut shard = write(self.shard(hash));
        if let Ok(taken) = place(&shard, hash, target) {
            return shard[&taken].breaker.clone();
        }
        if self.len.load(Ordering::Relaxed) as usize >= self.capacity
            && let Some(oldest) = oldest(&shard)
        {
            self.evict(&mut shard, oldest);
        }
        let name: Arc<str> = target.to_string().into();
        let seed = self.seed ^ fnv(&name);
        let params = Arc::clone(self.template(target));
        let breaker = Breaker::with_env(Arc::clone(&name), params, Arc::clone(&self.env), seed);
        if !self.parents.is_empty() {
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            names.insert(name, target.clone());
            drop(names);
            self.parents.added(target);
        }
        let entry = Entry {
            target: target.clone(),
            breaker: breaker.clone(),
            used: AtomicU64::new(self.env.time.now().as_nanos()),
        };
        let (Ok(free) | Err(free)) = place(&shard, hash, target);
        shard.insert(free, entry);
        self.len.fetch_add(1, Ordering::Relaxed);
        breaker
    }

    /// The template that covers the target with most parts; of equals the later one.
    fn template(&self, target: &Target) -> &Arc<Params> {
        let covering = self
            .templates
            .iter()
            .filter(|(template, _)| template.covers(target));
        let found = covering.max_by_key(|(template, _)| template.depth());
        &found.expect("the first template covers everything").1
    }

    fn evict(&self, shard: &mut Shard, hash: u64) {
        let Some(entry) = shard.remove(&hash) else {
            return;
        };
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        if !self.parents.is_empty() {
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            names.remove(entry.breaker.name());
            drop(names);
            self.parents.removed(&entry.target);
        }
    }
}

impl Entry {
    fn is_idle(&self, now: Timestamp, time_out: Duration) -> bool {
        let used = Timestamp::from_nanos(self.used.load(Ordering::Relaxed));
        now.saturating_since(used) >= time_out
    }

    /// Whether it may go. Under the shard's write lock nobody can get a handle meanwhile, so a count of one stays one.
    fn is_dispensable(&self) -> bool {
        Arc::strong_count(&self.breaker.shared) == 1 && self.breaker.is_dispensable()
    }
}

/// Where the target is, or else where it would go. Two targets of one hash (one in 2^64) are told apart by taking the
/// next free one; if the first is evicted, the second starts anew with an empty window.
fn place(shard: &Shard, mut hash: u64, target: &Target) -> Result<u64, u64> {
    loop {
        match shard.get(&hash) {
            Some(entry) if entry.target == *target => return Ok(hash),
            Some(_) => hash = hash.wrapping_add(1),
            None => return Err(hash),
        }
    }
}

/// The least recently used of a sample that may go.
fn oldest(shard: &Shard) -> Option<u64> {
    let dispensable = shard
        .iter()
        .take(EVICTION_SAMPLE)
        .filter(|(_, entry)| entry.is_dispensable());
    let oldest = dispensable.min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
    oldest.map(|(hash, _)| *hash)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

/// FNV-1a: spreads the seeds of one registry's breakers.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len())
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

/// Collects what a [`Registry`] stands on.
#[derive(Debug)]
#[must_use = "a builder does nothing until built"]
pub struct RegistryBuilder {
    templates: Vec<(Target, Config)>,
    capacity: usize,
    idle_time_out: Option<Duration>,
    time: Option<Time>,
    seed: Option<u64>,
    transitions: Option<TransitionQueue>,
    parents: Vec<ParentRule>,
}

impl RegistryBuilder {
    /// Settings for the targets that `pattern` covers. The pattern with most parts wins; of equals the later one.
    pub fn template(mut self, pattern: Target, config: Config) -> Self {
        self.templates.push((pattern, config));
        self
    }

    /// Breakers kept, at least 1. Default 100,000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// Time without a look-up after which [`sweep`](Registry::sweep) evicts. Default none.
    pub fn idle_time_out(mut self, time_out: Duration) -> Self {
        self.idle_time_out = Some(time_out);
        self
    }

    /// Reads the time here. Default [`MonotonicClock`](crate::MonotonicClock).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time = Some(Time::Other(clock));
        self
    }

    /// Reads the time from the processor's time stamp counter.
    #[cfg(feature = "quanta")]
    pub fn fast_clock(mut self, clock: crate::clock::FastClock) -> Self {
        self.time = Some(Time::Fast(clock));
        self
    }

    /// Seeds the draws of every breaker, together with its name. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Emits the transitions of all breakers into this queue. Default: none.
    pub fn transitions(mut self, queue: TransitionQueue) -> Self {
        self.transitions = Some(queue);
        self
    }

    /// Adds up the trips of a group of breakers. May be called several times.
    pub fn parent(mut self, rule: ParentRule) -> Self {
        self.parents.push(rule);
        self
    }

    /// The registry, empty.
    pub fn build(self) -> Registry {
        let parents = Arc::new(Parents::new(self.parents));
        let names = Arc::new(Names::new(HashMap::new()));
        let watcher = (!parents.is_empty()).then(|| {
            let (parents, names) = (Arc::clone(&parents), Arc::clone(&names));
            let watch: crate::breaker::Watcher = Box::new(move |name, step| {
                let names = names.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(target) = names.get(name) {
                    parents.moved(target, step.from, step.to);
                }
            });
            watch
        });
        let env = Env {
            time: self.time.unwrap_or_default(),
            transitions: self.transitions,
            watcher,
        };
        let templates = self
            .templates
            .into_iter()
            .map(|(pattern, config)| (pattern, Arc::new(Params::of(&Arc::new(config)))))
            .collect();
        Registry {
            shared: Arc::new(Shared {
                shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect(),
                hash_seed: RandomState::new().hash_one(1),
                templates,
                env: Arc::new(env),
                parents,
                names,
                seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(0)),
                capacity: self.capacity,
                idle_time_out: self.idle_time_out,
                len: AtomicU64::new(0),
                evicted: AtomicU64::new(0),
            }),
        }
    }
}
