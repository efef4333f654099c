//! No spans: everything goes through as it comes.

use std::sync::Arc;

use fusebox_agent::Agent;

use crate::report::RunReport;
use crate::run::{Answered, Refused};
use crate::run_id::RunId;

pub(crate) fn run(
    _: &RunId,
    _: &str,
    work: impl Future<Output = RunReport>,
) -> impl Future<Output = RunReport> {
    work
}

pub(crate) struct StepSpan;

impl StepSpan {
    pub(crate) fn open(_: &RunId, _: &str, _: Option<u32>) -> Self {
        Self
    }

    pub(crate) fn around<F: Future<Output = Result<Answered, Refused>>>(self, call: F) -> F {
        call
    }
}

pub(crate) fn attempts(agent: Arc<dyn Agent>) -> Arc<dyn Agent> {
    agent
}
