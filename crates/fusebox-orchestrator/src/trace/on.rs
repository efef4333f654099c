//! The spans themselves.

mod agent;

use std::sync::Arc;

use fusebox_agent::Agent;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use self::agent::Traced;
use crate::report::RunReport;
use crate::run::{Answered, Refused};
use crate::run_id::RunId;

/// Opens a run's span around its work in this process.
pub(crate) async fn run(
    id: &RunId,
    workflow: &str,
    work: impl Future<Output = RunReport>,
) -> RunReport {
    let span = info_span!(
        "run",
        otel.name = format_args!("run {workflow}"),
        otel.status_code = Empty,
        otel.status_description = Empty,
        gen_ai.conversation.id = %id,
        fusebox.run = %id,
        fusebox.workflow = workflow,
        fusebox.status = Empty,
        fusebox.process = Empty,
    );
    let report = work.instrument(span.clone()).await;
    span.record("fusebox.status", report.status.to_string());
    span.record("fusebox.process", i64::from(report.processes));
    if !report.status.is_delivered() {
        failed(&span, report.reason.as_deref().unwrap_or("not delivered"));
    }
    report
}

/// The span of one call of a step, retries and queueing included. A step that waits for its agent has several.
pub(crate) struct StepSpan(Span);

impl StepSpan {
    /// Opens it within the present span, which is the run's.
    pub(crate) fn open(run: &RunId, name: &str, part: Option<u32>) -> Self {
        Self(info_span!(
            "step",
            otel.name = format_args!("step {name}"),
            otel.status_code = Empty,
            otel.status_description = Empty,
            fusebox.run = %run,
            fusebox.step = name,
            fusebox.part = part.map(i64::from),
            fusebox.attempts = Empty,
            fusebox.degraded = Empty,
            fusebox.refused_by = Empty,
        ))
    }

    pub(crate) async fn around(
        self,
        call: impl Future<Output = Result<Answered, Refused>>,
    ) -> Result<Answered, Refused> {
        let span = self.0;
        let result = call.instrument(span.clone()).await;
        match &result {
            Ok(answered) => {
                span.record("fusebox.attempts", i64::from(answered.attempts));
                span.record("fusebox.degraded", answered.degraded.as_deref());
            }
            Err(refused) => {
                span.record("fusebox.attempts", i64::from(refused.attempts));
                span.record("fusebox.refused_by", refused.by);
                failed(&span, &refused.reason);
            }
        }
        result
    }
}

/// Puts a span around each attempt at an agent.
pub(crate) fn attempts(agent: Arc<dyn Agent>) -> Arc<dyn Agent> {
    Arc::new(Traced::new(agent))
}

fn failed(span: &Span, why: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", why);
}
