//! What holds of every graph, and the order of its steps.

use std::collections::BTreeSet;

use super::{Approval, Join, OnUnavailable, Step, Work, WorkflowError, condition};

/// Every rule that does not ask for an order; the first fault found.
pub(super) fn steps(steps: &[Step]) -> Result<(), WorkflowError> {
    check_names(steps)?;
    check_edges(steps)?;
    steps.iter().try_for_each(check_join)?;
    steps.iter().try_for_each(check_conditions)?;
    steps.iter().try_for_each(check_work)?;
    steps.iter().try_for_each(check_policy)
}

fn check_names(steps: &[Step]) -> Result<(), WorkflowError> {
    let mut seen = BTreeSet::new();
    for step in steps {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if step.name.is_empty() || step.name.len() > 64 || !step.name.chars().all(plain) {
            return Err(WorkflowError::BadName {
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
    let name = || step.name.clone();
    let (count, field, pointer) = match &step.work {
        Work::Call => return Ok(()),
        Work::Map(map) => {
            if !step.requires.contains(&map.step) {
                return Err(WorkflowError::MapOffEdge {
                    step: name(),
                    over: map.step.clone(),
                });
            }
            (map.concurrency, "concurrency", &*map.at)
        }
        Work::Approval(approval) => return check_approval(step, approval),
        Work::Repeat(repeat) => (repeat.at_most, "at_most", repeat.until.at()),
    };
    if count == 0 {
        return Err(WorkflowError::ZeroCalls {
            step: name(),
            field,
        });
    }
    check_pointer(step, pointer)
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

/// The steps that nothing takes from.
pub(super) fn sinks(steps: &[Step]) -> Vec<String> {
    let taken: BTreeSet<&String> = steps.iter().flat_map(Step::upstream).collect();
    steps
        .iter()
        .filter(|step| !taken.contains(&step.name))
        .map(|step| step.name.clone())
        .collect()
}
