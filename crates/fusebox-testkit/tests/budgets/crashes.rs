//! A process that dies at any commit, before or after it is made: what its calls cost is not forgotten, and what it
//! had acknowledged does not count twice.

use fusebox_orchestrator::{RunStatus, TenantBudget, tenant_spending};
use fusebox_testkit::{Operation, StoreFault, virtual_time};

use super::*;

const ESTIMATE: u64 = 100;
const BUDGET: u64 = 700;

/// What came of a run whose first process died.
struct Outcome {
    commits: u64,
    billed: u64,
    on_record: u64,
    /// By the tenant's budget, and of that in flight.
    counted: Option<(u64, u64)>,
}

/// A chain of three, of calls that cost `cost`, whose first process dies as `fault` says.
async fn run(time: VirtualTime, cost: u64, tenant: bool, fault: Option<StoreFault>) -> Outcome {
    let world = World::new(time, ESTIMATE, cost);
    let workflow = chain(3);
    if let Some(fault) = fault {
        world.store.inject(fault);
    }
    let engine = || {
        let budget = TenantBudget::new(tokens(BUDGET));
        let name = if tenant { "acme" } else { "another" };
        world.engine().tenant_budget(name, budget).build().unwrap()
    };
    let options = named("r").with_tenant("acme").with_budget(tokens(BUDGET));
    let first = engine();
    let report = tokio::select! {
        report = first.run(&workflow, options.clone()) => Some(report.unwrap()),
        () = world.store.died() => None,
    };
    let report = match report {
        Some(report) => report,
        None => {
            world.store.heal();
            time.pass(LEASE).await;
            let (second, id) = (engine(), "r".parse().unwrap());
            match second.resume(&workflow, &id, RunOptions::default()).await {
                Ok(report) => report,
                // It had not begun.
                Err(_) => second.run(&workflow, options).await.unwrap(),
            }
        }
    };
    assert_eq!(report.status, RunStatus::Completed);
    let sum = tenant_spending(&*world.store, "acme").await.unwrap();
    assert_eq!(sum.is_some(), tenant);
    Outcome {
        commits: world.store.calls(Operation::Commit),
        billed: world.bill.tokens(),
        on_record: spent(&report),
        counted: sum.map(|sum| (sum.counted.tokens, sum.in_flight.tokens)),
    }
}

/// Runs it with a death at each commit, before and after it is made.
fn sweep(cost: u64, tenant: bool) -> Vec<(String, Outcome)> {
    let undisturbed = virtual_time(1, async |time| run(time, cost, tenant, None).await);
    assert_eq!(undisturbed.billed, 3 * cost);
    assert_eq!(undisturbed.on_record, 3 * cost);
    let mut outcomes = Vec::new();
    for commit in 0..undisturbed.commits {
        for fault in [StoreFault::dies_before(), StoreFault::dies_after()] {
            let what = format!("{fault:?} at commit {commit}");
            let fault = fault.on(Operation::Commit).skipping(commit).times(1);
            let run = async |time| run(time, cost, tenant, Some(fault)).await;
            outcomes.push((what, virtual_time(commit + 1, run)));
        }
    }
    outcomes
}

#[test]
fn a_process_that_dies_anywhere_leaves_a_budget_that_knows_what_was_spent() {
    for tenant in [false, true] {
        let mut charged_as_estimated = 0;
        for (what, outcome) in sweep(70, tenant) {
            let Outcome {
                billed, on_record, ..
            } = outcome;
            let what = format!("{what}: billed {billed}, on record {on_record}");
            // Never less than was spent, and at most the one call in flight at its estimate.
            assert!((billed..=billed + ESTIMATE).contains(&on_record), "{what}");
            if let Some((counted, in_flight)) = outcome.counted {
                let what = format!("{what}, counted {counted}");
                assert!((billed..=billed + ESTIMATE).contains(&counted), "{what}");
                assert_eq!(in_flight, 0, "{what}");
            }
            charged_as_estimated += u32::from(on_record > billed);
        }
        assert!(
            charged_as_estimated > 0,
            "some death found a call in flight"
        );
    }
}

#[test]
fn what_the_tenants_budget_was_told_is_known_to_the_run_that_did_not_get_it() {
    let (cost, calls) = (130, 3);
    let short: Vec<_> = sweep(cost, true)
        .into_iter()
        .filter(|(_, outcome)| outcome.on_record < outcome.billed)
        .collect();
    for (what, outcome) in &short {
        let missing = outcome.billed - outcome.on_record;
        assert_eq!(missing, cost - ESTIMATE, "charged as estimated: {what}");
    }
    // Nobody was told of a call whose process died before it could be settled anywhere; of all others somebody was.
    assert_eq!(short.len(), calls);
}
