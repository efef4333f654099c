//! The order in which waiting calls get their turn, without a clock, a lock or a runtime.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Whose calls they are. Calls that name no tenant share one.
pub(super) type Tenant = Option<Arc<str>>;

/// How urgent a call is. Any level may be used; three have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// For what nobody waits for.
    pub const LOW: Self = Self(64);
    /// The default.
    pub const NORMAL: Self = Self(128);
    /// For what a person waits for.
    pub const HIGH: Self = Self(192);

    /// This level; higher goes first.
    pub const fn new(level: u8) -> Self {
        Self(level)
    }

    /// The level.
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// Waiting calls.
///
/// The highest priority goes first. Within it the tenants take turns, `weight` calls a turn, and each tenant's calls
/// go in order of arrival: a deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) whose packets all have
/// length 1. A tenant that starts to wait joins at the end of the round, so its first call waits for at most the sum
/// of the other tenants' weights, however many calls they have waiting.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    levels: BTreeMap<Priority, Level<T>>,
    len: usize,
    arrivals: u64,
}

/// The tenants that wait at one priority.
#[derive(Debug)]
struct Level<T> {
    lanes: HashMap<Tenant, Lane<T>>,
    /// Whose turn it is, from the first. Holds exactly the keys of `lanes`.
    round: BTreeMap<u64, Tenant>,
    turns: u64,
}

/// One tenant's calls at one priority; never empty.
#[derive(Debug)]
struct Lane<T> {
    /// By order of arrival.
    waiting: BTreeMap<u64, T>,
    weight: u32,
    /// Calls left in this turn; at least 1.
    credit: u32,
    turn: u64,
}

/// A call's place in the queue.
#[derive(Debug)]
pub(super) struct Ticket {
    priority: Priority,
    tenant: Tenant,
    arrival: u64,
}

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            levels: BTreeMap::new(),
            len: 0,
            arrivals: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Queues a call. `weight`, at least 1, counts if none of the tenant's calls waits at this priority yet.
    pub(super) fn push(
        &mut self,
        priority: Priority,
        tenant: Tenant,
        weight: u32,
        item: T,
    ) -> Ticket {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.len += 1;
        let level = self.levels.entry(priority).or_insert_with(Level::new);
        level.push(&tenant, weight, arrival, item);
        Ticket {
            priority,
            tenant,
            arrival,
        }
    }

    /// The call whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let mut level = self.levels.last_entry()?;
        let item = level.get_mut().pop();
        if level.get().lanes.is_empty() {
            level.remove();
        }
        self.len -= 1;
        Some(item)
    }

    /// Takes a call out; none if it has left already.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let level = self.levels.get_mut(&ticket.priority)?;
        let item = level.remove(&ticket.tenant, ticket.arrival)?;
        if level.lanes.is_empty() {
            self.levels.remove(&ticket.priority);
        }
        self.len -= 1;
        Some(item)
    }

    /// Takes out the call that should rather be shed than a newcomer; none if that is the newcomer itself.
    ///
    /// It is of the lowest priority, there of the tenant with the most calls for its weight, and of those the one that
    /// came last. A newcomer of the same priority must leave its own tenant with strictly fewer.
    pub(super) fn displace(
        &mut self,
        priority: Priority,
        tenant: &Tenant,
        weight: u32,
    ) -> Option<T> {
        let (lowest, level) = self.levels.first_key_value()?;
        if *lowest > priority {
            return None;
        }
        let (victim, lane) = level.fattest();
        if *lowest == priority {
            let newcomers = match level.lanes.get(tenant) {
                Some(lane) => lane.share(1),
                None => (1, weight),
            };
            if by_weight(lane.share(0), newcomers).is_le() {
                return None;
            }
        }
        let (arrival, _) = lane.waiting.last_key_value().expect("no lane is empty");
        let ticket = Ticket {
            priority: *lowest,
            tenant: victim.clone(),
            arrival: *arrival,
        };
        self.remove(&ticket)
    }
}

impl<T> Level<T> {
    fn new() -> Self {
        Self {
            lanes: HashMap::new(),
            round: BTreeMap::new(),
            turns: 0,
        }
    }

    fn push(&mut self, tenant: &Tenant, weight: u32, arrival: u64, item: T) {
        if let Some(lane) = self.lanes.get_mut(tenant) {
            lane.waiting.insert(arrival, item);
            return;
        }
        let turn = self.join(tenant.clone());
        let lane = Lane {
            waiting: BTreeMap::from([(arrival, item)]),
            weight,
            credit: weight,
            turn,
        };
        self.lanes.insert(tenant.clone(), lane);
    }

    fn pop(&mut self) -> T {
        let turn = self.round.first_entry().expect("no level is empty");
        let lane = self.lanes.get_mut(turn.get());
        let lane = lane.expect("who is in the round has a lane");
        let (_, item) = lane.waiting.pop_first().expect("no lane is empty");
        lane.credit -= 1;
        if lane.waiting.is_empty() {
            self.lanes.remove(&turn.remove());
        } else if lane.credit == 0 {
            lane.credit = lane.weight;
            let tenant = turn.remove();
            self.turns += 1;
            lane.turn = self.turns;
            self.round.insert(self.turns, tenant);
        }
        item
    }

    fn remove(&mut self, tenant: &Tenant, arrival: u64) -> Option<T> {
        let lane = self.lanes.get_mut(tenant)?;
        let item = lane.waiting.remove(&arrival)?;
        if lane.waiting.is_empty() {
            self.round.remove(&lane.turn);
            self.lanes.remove(tenant);
        }
        Some(item)
    }

    /// Puts a tenant at the end of the round.
    fn join(&mut self, tenant: Tenant) -> u64 {
        self.turns += 1;
        self.round.insert(self.turns, tenant);
        self.turns
    }

    /// The tenant with the most calls for its weight; of several the last in the round.
    fn fattest(&self) -> (&Tenant, &Lane<T>) {
        let lanes = self.round.values().map(|tenant| {
            let lane = self.lanes.get(tenant);
            (tenant, lane.expect("who is in the round has a lane"))
        });
        lanes
            .max_by(|(_, one), (_, other)| by_weight(one.share(0), other.share(0)))
            .expect("no level is empty")
    }
}

impl<T> Lane<T> {
    /// Calls, with so many more, and the weight they count by.
    fn share(&self, more: usize) -> (usize, u32) {
        (self.waiting.len() + more, self.weight)
    }
}

/// Compares calls per weight, exactly.
fn by_weight(one: (usize, u32), other: (usize, u32)) -> Ordering {
    let scaled = |calls: usize, weight: u32| calls as u128 * u128::from(weight);
    scaled(one.0, other.1).cmp(&scaled(other.0, one.1))
}

#[cfg(test)]
mod tests;
