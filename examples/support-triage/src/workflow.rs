//! The graph.

use std::time::Duration;

use fusebox::orchestrator::WorkflowError;
use fusebox::{OnUnavailable, Step, Workflow};

/// What follows what. Without its data an answer is worse and better than none, so the two data
/// steps may be left out; without a model there is none, so those steps wait for theirs.
///
/// # Errors
/// None: the graph is a good one.
pub fn workflow(objective: Duration) -> Result<Workflow, WorkflowError> {
    let data = ["orders", "runbook"];
    Workflow::builder("support-triage")
        .step(Step::new("triage"))
        .step(Step::new("supervisor").requires(["triage"]))
        .step(
            Step::new("orders")
                .requires(["supervisor"])
                .on_unavailable(OnUnavailable::Skip),
        )
        .step(
            Step::new("runbook")
                .requires(["supervisor"])
                .on_unavailable(OnUnavailable::Skip),
        )
        .step(
            Step::new("optimization")
                .requires(["triage", "supervisor"])
                .optional(data),
        )
        .step(
            Step::new("aggregation")
                .requires(["triage", "supervisor", "optimization"])
                .optional(data),
        )
        .step(Step::new("completion").requires(["aggregation"]))
        .outputs(["completion"])
        .objective(objective)
        .build()
}
