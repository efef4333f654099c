//! The queue against examples, a plain list, and its promise.

use std::sync::Arc;

use proptest::prelude::*;

use super::{FairQueue, Priority, Tenant, Ticket};

fn tenant(name: &str) -> Tenant {
    Some(Arc::from(name))
}

fn push(queue: &mut FairQueue<&'static str>, name: &'static str, weight: u32) -> Ticket {
    queue.push(Priority::NORMAL, tenant(name), weight, name)
}

fn drain<T>(queue: &mut FairQueue<T>) -> Vec<T> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn a_thousand_calls_of_one_tenant_hold_the_single_call_of_another_up_by_one() {
    let mut queue = FairQueue::new();
    for _ in 0..1_000 {
        push(&mut queue, "many", 1);
    }
    push(&mut queue, "one", 1);
    assert_eq!((queue.pop(), queue.pop()), (Some("many"), Some("one")));
    assert_eq!(queue.len(), 999);
}

#[test]
fn weights_share_the_turns_exactly() {
    let mut queue = FairQueue::new();
    for _ in 0..6 {
        push(&mut queue, "gold", 2);
        push(&mut queue, "iron", 1);
    }
    let order = drain(&mut queue);
    let round = ["gold", "gold", "iron"];
    assert_eq!(order[..9], [round, round, round].concat());
    assert_eq!(order[9..], ["iron"; 3]);
}

#[test]
fn a_higher_priority_goes_first_and_calls_without_a_tenant_share_one() {
    let mut queue = FairQueue::new();
    for (priority, item) in [
        (Priority::LOW, 1),
        (Priority::NORMAL, 2),
        (Priority::HIGH, 3),
        (Priority::NORMAL, 4),
        (Priority::new(255), 5),
    ] {
        queue.push(priority, None, 1, item);
    }
    assert_eq!(drain(&mut queue), [5, 3, 2, 4, 1]);
}

#[test]
fn leaving_and_coming_back_gains_no_turn() {
    let mut queue = FairQueue::new();
    let first = push(&mut queue, "leaver", 1);
    push(&mut queue, "a", 1);
    push(&mut queue, "b", 1);
    assert!(queue.remove(&first).is_some());
    assert!(queue.remove(&first).is_none());
    push(&mut queue, "leaver", 1);
    assert_eq!(drain(&mut queue), ["a", "b", "leaver"]);
}

#[test]
fn of_a_full_queue_the_tenant_with_the_most_calls_for_its_weight_sheds_its_last() {
    let mut queue = FairQueue::new();
    for number in 0..5 {
        queue.push(Priority::NORMAL, tenant("many"), 1, number);
    }
    queue.push(Priority::NORMAL, tenant("few"), 1, 10);
    assert_eq!(
        queue.displace(Priority::NORMAL, &tenant("many"), 1),
        None,
        "its own newcomer"
    );
    assert_eq!(queue.displace(Priority::NORMAL, &tenant("new"), 1), Some(4));
    assert_eq!(queue.displace(Priority::NORMAL, &tenant("few"), 1), Some(3));
    queue.push(Priority::NORMAL, tenant("few"), 1, 11);
    assert_eq!(
        queue.displace(Priority::NORMAL, &tenant("few"), 1),
        None,
        "three would be as many as the other has"
    );
    assert_eq!(drain(&mut queue), [0, 10, 1, 11, 2]);
}

#[test]
fn weight_buys_room_in_a_full_queue_too() {
    let mut queue = FairQueue::new();
    for number in 0..4 {
        queue.push(Priority::NORMAL, tenant("gold"), 4, number);
    }
    queue.push(Priority::NORMAL, tenant("iron"), 1, 10);
    queue.push(Priority::NORMAL, tenant("iron"), 1, 11);
    // 2 for a weight of 1 is more than 5 for a weight of 4.
    assert_eq!(
        queue.displace(Priority::NORMAL, &tenant("gold"), 4),
        Some(11)
    );
}

#[test]
fn the_lowest_priority_is_shed_first_and_a_lower_newcomer_sheds_nobody() {
    let mut queue = FairQueue::new();
    queue.push(Priority::NORMAL, tenant("a"), 1, 1);
    queue.push(Priority::LOW, tenant("b"), 1, 2);
    queue.push(Priority::HIGH, tenant("c"), 1, 3);
    assert_eq!(queue.displace(Priority::NORMAL, &tenant("d"), 1), Some(2));
    assert_eq!(queue.displace(Priority::LOW, &tenant("d"), 1), None);
    assert_eq!(queue.displace(Priority::HIGH, &tenant("d"), 1), Some(1));
    assert_eq!(queue.displace(Priority::HIGH, &tenant("d"), 1), None);
    assert_eq!(drain(&mut queue), [3]);
    assert_eq!(
        queue.displace(Priority::HIGH, &None, 1),
        None,
        "nobody waits"
    );
}

/// The same rules on one plain list: every question is answered by looking at all of it.
#[derive(Default)]
struct Naive {
    waiting: Vec<Waiting>,
    /// Who takes turns, per priority: (priority, tenant, credit), in the order of the round.
    round: Vec<(u8, u8, u32)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Waiting {
    priority: u8,
    tenant: u8,
    id: u64,
}

/// Tenant `n` has weight `n + 1`.
fn weight(tenant: u8) -> u32 {
    u32::from(tenant) + 1
}

impl Naive {
    fn push(&mut self, new: Waiting) {
        let turn = (new.priority, new.tenant);
        if !self.round.iter().any(|(p, t, _)| (*p, *t) == turn) {
            self.round
                .push((new.priority, new.tenant, weight(new.tenant)));
        }
        self.waiting.push(new);
    }

    fn pop(&mut self) -> Option<u64> {
        let priority = self.waiting.iter().map(|w| w.priority).max()?;
        let place = self.round.iter().position(|(p, ..)| *p == priority)?;
        let tenant = self.round[place].1;
        let of = |w: &Waiting| (w.priority, w.tenant) == (priority, tenant);
        let id = self.waiting.iter().find(|w| of(w))?.id;
        self.round[place].2 -= 1;
        if self.round[place].2 == 0 {
            self.round.remove(place);
            self.round.push((priority, tenant, weight(tenant)));
        }
        self.remove(id);
        Some(id)
    }

    fn remove(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|w| w.id != id);
        let waiting = &self.waiting;
        self.round
            .retain(|(p, t, _)| waiting.iter().any(|w| (w.priority, w.tenant) == (*p, *t)));
        before > self.waiting.len()
    }

    fn displace(&mut self, newcomer: Waiting) -> Option<u64> {
        let lowest = self.waiting.iter().map(|w| w.priority).min()?;
        let calls = |tenant| {
            let own = |w: &&Waiting| (w.priority, w.tenant) == (lowest, tenant);
            self.waiting.iter().filter(own).count() as u32
        };
        // Weights are 1 to 4, so twelfths compare them exactly.
        let share = |tenant, more| (calls(tenant) + more) * 12 / weight(tenant);
        let fattest = self
            .round
            .iter()
            .filter(|(p, ..)| *p == lowest)
            .max_by_key(|(_, tenant, _)| share(*tenant, 0))?
            .1;
        let goes_itself = lowest > newcomer.priority
            || lowest == newcomer.priority && share(fattest, 0) <= share(newcomer.tenant, 1);
        let mut victims = self.waiting.iter();
        let victim = victims.rfind(|w| (w.priority, w.tenant) == (lowest, fattest))?;
        let id = (!goes_itself).then_some(victim.id)?;
        self.remove(id);
        Some(id)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8, u8),
    PushFull(u8, u8),
    Pop,
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8, 0..4_u8).prop_map(|(priority, tenant)| Step::Push(priority, tenant)),
        2 => (0..3_u8, 0..4_u8).prop_map(|(priority, tenant)| Step::PushFull(priority, tenant)),
        3 => Just(Step::Pop),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Remove(index.index(1_000))),
    ];
    prop::collection::vec(step, 1..200)
}

fn named(tenant: u8) -> Tenant {
    Some(Arc::from(tenant.to_string()))
}

proptest! {
    #[test]
    fn it_serves_and_sheds_like_the_plain_list(steps in steps()) {
        let mut queue = FairQueue::new();
        let mut naive = Naive::default();
        let mut tickets = Vec::new();
        for (id, step) in (0_u64..).zip(steps) {
            match step {
                Step::Push(priority, tenant) => {
                    let ticket = queue.push(Priority::new(priority), named(tenant), weight(tenant), id);
                    tickets.push((id, ticket));
                    naive.push(Waiting { priority, tenant, id });
                }
                Step::PushFull(priority, tenant) => {
                    let newcomer = Waiting { priority, tenant, id };
                    let shed = queue.displace(Priority::new(priority), &named(tenant), weight(tenant));
                    prop_assert_eq!(shed, naive.displace(newcomer));
                    if shed.is_some() {
                        let ticket = queue.push(Priority::new(priority), named(tenant), weight(tenant), id);
                        tickets.push((id, ticket));
                        naive.push(newcomer);
                    }
                }
                Step::Pop => prop_assert_eq!(queue.pop(), naive.pop()),
                Step::Remove(index) if !tickets.is_empty() => {
                    let (id, ticket) = &tickets[index % tickets.len()];
                    prop_assert_eq!(queue.remove(ticket).is_some(), naive.remove(*id));
                }
                Step::Remove(_) => {}
            }
            prop_assert_eq!(queue.len(), naive.waiting.len());
        }
        let rest = std::iter::from_fn(|| naive.pop()).collect::<Vec<_>>();
        prop_assert_eq!(drain(&mut queue), rest);
        prop_assert!(queue.levels.is_empty(), "nothing is kept of who has left");
    }

    /// Whatever the others do meanwhile, short of a higher priority.
    #[test]
    fn a_tenants_first_call_waits_for_at_most_the_sum_of_the_others_weights(
        before in prop::collection::vec(1..4_u8, 0..200),
        meanwhile in prop::collection::vec(prop::collection::vec(1..4_u8, 0..5), 20),
    ) {
        let mut queue = FairQueue::new();
        for tenant in before {
            queue.push(Priority::NORMAL, named(tenant), weight(tenant), false);
        }
        queue.push(Priority::NORMAL, named(0), weight(0), true);
        let mut served = 0;
        for arrivals in meanwhile {
            if queue.pop().expect("it waits") {
                break;
            }
            served += 1;
            for tenant in arrivals {
                queue.push(Priority::NORMAL, named(tenant), weight(tenant), false);
            }
        }
        prop_assert!(served <= weight(1) + weight(2) + weight(3));
    }
}
