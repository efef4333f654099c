//! An agent whose attempts are spans.

use std::pin::Pin;
use std::sync::Arc;

use fusebox_agent::{Agent, AgentError, Context, Description, ErrorKind, Probe, Reply, Task};
use fusebox_policy::{Meter, Spend};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::failed;

/// An agent whose attempts are spans.
pub(super) struct Traced {
    agent: Arc<dyn Agent>,
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, AgentError>> + Send + 'a>>;

impl Traced {
    pub(super) fn new(agent: Arc<dyn Agent>) -> Self {
        Self { agent }
    }

    fn attempt(&self, cx: &Context) -> Span {
        let Description { name, kind, .. } = self.agent.describe();
        info_span!(
            "attempt",
            otel.name = format_args!("invoke_agent {name}"),
            otel.status_code = Empty,
            otel.status_description = Empty,
            error.r#type = Empty,
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = name,
            gen_ai.conversation.id = cx.run_id(),
            fusebox.agent.kind = kind,
            fusebox.step = cx.step(),
            fusebox.attempt = i64::from(cx.attempt()),
            fusebox.idempotency_key = cx.idempotency_key(),
            fusebox.usage.tokens = Empty,
            fusebox.usage.micro_dollars = Empty,
        )
    }

    async fn call_within(&self, span: Span, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let meter = Meter::new();
        let cx = cx.clone().with_meter(meter.clone());
        let mut open = Open(Some(span));
        let result = self.agent.call(task, &cx).await;
        let span = open.0.take().expect("it was open");
        let Spend {
            tokens,
            micro_dollars,
            ..
        } = meter.total();
        if tokens > 0 {
            span.record("fusebox.usage.tokens", signed(tokens));
        }
        if micro_dollars > 0 {
            span.record("fusebox.usage.micro_dollars", signed(micro_dollars));
        }
        if let Err(error) = &result {
            span.record("error.type", error.kind.as_str());
            failed(&span, &error.to_string());
        }
        result
    }
}

/// The span of an attempt under way.
struct Open(Option<Span>);

impl Drop for Open {
    /// Nobody waited for its end: a limit of the policy, or of the run, was over.
    fn drop(&mut self) {
        if let Some(span) = &self.0 {
            span.record("error.type", ErrorKind::Cancelled.as_str());
            failed(span, "given up before it was over");
        }
    }
}

impl Agent for Traced {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    // Written out, so that nothing is boxed twice while nobody listens.
    fn call<'a, 'b, 'c>(&'a self, task: Task, cx: &'b Context) -> Answering<'c>
    where
        'a: 'c,
        'b: 'c,
    {
        let span = self.attempt(cx);
        if span.is_disabled() {
            return self.agent.call(task, cx);
        }
        let call = self.call_within(span.clone(), task, cx);
        Box::pin(call.instrument(span))
    }

    fn estimate(&self, task: &Task) -> Spend {
        self.agent.estimate(task)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        self.agent.probe()
    }
}

/// OpenTelemetry has no unsigned numbers; one would come as text.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
