//! What holds of every graph, and the order of its steps.

use std::collections::BTreeSet;

use super::{Approval, Join, OnUnavailable, Repeat, Step, Work, WorkflowError, condition, inner};

/// The longest name, those of the workflows before it included: with what a journal adds it makes a key.
const MAX_NAME: usize = 160;

/// Every rule that does not ask for an order; the first fault found.
pub(super) fn steps(steps: &[Step]) -> Result<(), WorkflowError> {
    check_names(steps)?;
    steps.iter().try_for_each(inner::check)?;
    check_edges(steps)?;
    steps.iter().try_for_each(check_inside)?;
    steps.iter().try_for_each(check_join)?;
    steps.iter().try_for_each(check_conditions)?;
    steps.iter().try_for_each(check_work)?;
    steps.iter().try_for_each(check_policy)
}

/// Names are unique and can be keys; one with a `/` belongs to an inner workflow that begins and ends.
pub(super) fn check_names(steps: &[Step]) -> Result<(), WorkflowError> {
    let mut seen = BTreeSet::new();
    let enters: BTreeSet<&str> = named(steps, |work| matches!(work, Work::Enter(_)));
    let leaves: BTreeSet<&str> = named(steps, |work| *work == Work::Leave);
    for step in steps {
        let is_enter = enters.contains(&*step.name);
        let own = match step.name.strip_suffix('/') {
            Some(own) if is_enter => own,
            _ => &*step.name,
        };
        let known = own.split('/').all(is_plain)
            && is_enter == step.name.ends_with('/')
            && (!is_enter || leaves.contains(own))
            && (step.work != Work::Leave || enters.contains(&*format!("{own}/")))
            && inner::within(own).is_none_or(|within| leaves.contains(within));
        if !known {
            return Err(WorkflowError::BadName {
                step: step.name.clone(),
            });
        }
        if step.name.len() > MAX_NAME || inner::depth(&step.name) > inner::MAX_DEPTH {
            return Err(WorkflowError::TooDeep {
                step: step.name.clone(),
            });
        }
        if !seen.insert(&step.name) {
            return Err(WorkflowError::DuplicateStep {
                step: step.name.clone(),
            });
        }
    }
    Ok(())
}

fn named(steps: &[Step], wanted: impl Fn(&Work) -> bool) -> BTreeSet<&str> {
    let steps = steps.iter().filter(|step| wanted(&step.work));
    steps.map(|step| &*step.name).collect()
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

fn check_edges(steps: &[Step]) -> Result<(), WorkflowError> {
    let names: BTreeSet<&String> = steps.iter().map(|step| &step.name).collect();
    for step in steps {
        let mut seen = BTreeSet::new();
        for upstream in step.upstream() {
            let (step, upstream) = (step.name.clone(), upstream.clone());
            if !names.contains(&upstream) {
                return Err(WorkflowError::UnknownUpstream { step, upstream });
            }
            if !seen.insert(upstream.clone()) {
                return Err(WorkflowError::DuplicateEdge { step, upstream });
            }
        }
    }
    Ok(())
}

/// What is inside of a workflow comes after its beginning, and only its end is for those outside. So it
/// is built; a stored one may be damaged.
fn check_inside(step: &Step) -> Result<(), WorkflowError> {
    let within = step.within();
    let own_end = (step.work == Work::Leave).then_some(&*step.name);
    for upstream in step.upstream() {
        let begins = within.is_some_and(|within| upstream.strip_suffix('/') == Some(within));
        let beside = own_end.is_none() && inner::within(upstream) == within;
        let inside = own_end.is_some() && inner::within(upstream) == own_end;
        if !(begins && own_end.is_none() || beside && !upstream.ends_with('/') || inside) {
            let (step, upstream) = (step.name.clone(), upstream.clone());
            return Err(WorkflowError::UnknownUpstream { step, upstream });
        }
    }
    if (within.is_some() || own_end.is_some()) && step.requires.is_empty() {
        let step = step.name.clone();
        return Err(WorkflowError::NotBegun { step });
    }
    Ok(())
}

fn check_join(step: &Step) -> Result<(), WorkflowError> {
    let (name, required) = (step.name.clone(), step.requires.len());
    match step.join {
        Join::All => Ok(()),
        _ if required == 0 => Err(WorkflowError::JoinOfNothing { step: name }),
        Join::Quorum(quorum) if quorum == 0 || quorum as usize > required => {
            Err(WorkflowError::BadQuorum {
                step: name,
                quorum,
                required,
            })
        }
        _ => Ok(()),
    }
}

fn check_conditions(step: &Step) -> Result<(), WorkflowError> {
    for condition in &step.when {
        if !step.upstream().any(|up| up == condition.step()) {
            return Err(WorkflowError::ConditionOffEdge {
                step: step.name.clone(),
                asked: condition.step().to_owned(),
            });
        }
        check_pointer(step, condition.predicate().at())?;
    }
    Ok(())
}

fn check_work(step: &Step) -> Result<(), WorkflowError> {
    match &step.work {
        Work::Call | Work::Enter(_) | Work::Leave => Ok(()),
        Work::Map(map) => {
            if !step.requires.contains(&map.step) {
                return Err(WorkflowError::MapOffEdge {
                    step: step.name.clone(),
                    over: map.step.clone(),
                });
            }
            check_count(step, map.concurrency, "concurrency")?;
            check_pointer(step, &map.at)?;
            map.repeat
                .as_ref()
                .map_or(Ok(()), |repeat| check_repeat(step, repeat))
        }
        Work::Repeat(repeat) => check_repeat(step, repeat),
        Work::Approval(approval) => check_approval(step, approval),
    }
}

fn check_repeat(step: &Step, repeat: &Repeat) -> Result<(), WorkflowError> {
    check_count(step, repeat.at_most, "at_most")?;
    check_pointer(step, repeat.until.at())
}

fn check_count(step: &Step, count: u32, field: &'static str) -> Result<(), WorkflowError> {
    if count > 0 {
        return Ok(());
    }
    Err(WorkflowError::ZeroCalls {
        step: step.name.clone(),
        field,
    })
}

fn check_policy(step: &Step) -> Result<(), WorkflowError> {
    if step.on_unavailable == (OnUnavailable::LastGood { max_age_ms: 0 }) {
        return Err(WorkflowError::ZeroAge {
            step: step.name.clone(),
        });
    }
    Ok(())
}

fn check_approval(step: &Step, approval: &Approval) -> Result<(), WorkflowError> {
    let name = || step.name.clone();
    match (approval.expires_ms, &approval.fallback) {
        (Some(0), _) => Err(WorkflowError::ZeroExpiry { step: name() }),
        (None, Some(_)) => Err(WorkflowError::FallbackWithoutExpiry { step: name() }),
        _ => Ok(()),
    }
}

fn check_pointer(step: &Step, pointer: &str) -> Result<(), WorkflowError> {
    if condition::is_pointer(pointer) {
        return Ok(());
    }
    Err(WorkflowError::BadPointer {
        step: step.name.clone(),
        pointer: pointer.to_owned(),
    })
}

/// Kahn's algorithm, keeping the given order among steps that are free at the same time.
pub(super) fn topological(mut rest: Vec<Step>) -> Result<Vec<Step>, WorkflowError> {
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let Some(free) = rest
            .iter()
            .position(|step| step.upstream().all(|up| placed.contains(up)))
        else {
            return Err(WorkflowError::Cycle {
                steps: cycle_in(&rest, &placed),
            });
        };
        let step = rest.remove(free);
        placed.insert(step.name.clone());
        ordered.push(step);
    }
    Ok(ordered)
}

/// Walks upstream from any step that could not be placed until a step repeats.
fn cycle_in(rest: &[Step], placed: &BTreeSet<String>) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut at = &rest[0];
    loop {
        if let Some(start) = path.iter().position(|name| *name == at.name) {
            let mut cycle: Vec<String> = path[start..]
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            cycle.reverse();
            cycle.push(cycle[0].clone());
            return cycle;
        }
        path.push(&at.name);
        let next = at
            .upstream()
            .find(|up| !placed.contains(*up))
            .expect("an unplaced step waits for another");
        at = rest
            .iter()
            .find(|step| step.name == *next)
            .expect("edges have two ends, checked before");
    }
}

/// The steps that nothing takes from; those inside of an inner workflow belong to that.
pub(super) fn sinks(steps: &[Step]) -> Vec<String> {
    let taken: BTreeSet<&String> = steps.iter().flat_map(Step::upstream).collect();
    steps
        .iter()
        .filter(|step| !taken.contains(&step.name) && inner::within(&step.name).is_none())
        .map(|step| step.name.clone())
        .collect()
}
