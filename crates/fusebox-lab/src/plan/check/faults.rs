//! The faults of a plan.

use std::time::Duration;

use fusebox_agent::{FaultKind, FaultRule};
use fusebox_orchestrator::file::{WorkflowFile, suggestion};
use toml::Spanned;

use super::super::PlannedFault;
use super::super::raw::{RawFault, RawPlan};
use super::Checker;

impl Checker {
    pub(super) fn planned(
        &mut self,
        raw: &RawPlan,
        file: &WorkflowFile,
        duration: Duration,
    ) -> Vec<PlannedFault> {
        let faults = raw.faults.iter();
        faults
            .filter_map(|fault| self.one_fault(fault, file, duration))
            .collect()
    }

    fn one_fault(
        &mut self,
        whole: &Spanned<RawFault>,
        file: &WorkflowFile,
        duration: Duration,
    ) -> Option<PlannedFault> {
        let raw = whole.get_ref();
        let before = self.faults.len();
        let name = raw.agent.get_ref();
        self.answers_itself(&raw.agent, file);
        let kind = self.kind(&raw.kind);
        let from = raw
            .from
            .as_ref()
            .map_or(Duration::ZERO, |from| from.get_ref().0);
        if let Some(at) = raw.from.as_ref().filter(|_| from >= duration) {
            let message = "the fault begins when no run does any more";
            self.fault(at, message, "begin it before `duration` is over");
        }
        if let Some(lasts) = raw
            .lasts
            .as_ref()
            .filter(|lasts| lasts.get_ref().0.is_zero())
        {
            self.fault(
                lasts,
                "the fault would never be on",
                "say how long, such as \"90s\"",
            );
        }
        let ratio = self.share(raw.ratio.as_ref()).unwrap_or(1.0);
        let delay = raw.delay.as_ref().map(|delay| delay.get_ref().0);
        match (kind, &raw.delay) {
            (Some(FaultKind::Latency), None) => {
                let help = "say how late answers come: delay = \"3s\"";
                self.fault(&raw.kind, "a latency without `delay`", help);
            }
            (Some(FaultKind::Latency), Some(_)) | (_, None) => {}
            (_, Some(delay)) => {
                let help = "leave it out, or make the kind \"latency\"";
                self.fault(delay, "only a latency has a delay", help);
            }
        }
        if self.faults.len() > before {
            return None;
        }
        let rule = match (kind?, delay) {
            (FaultKind::Latency, Some(delay)) => FaultRule::latency(ratio, delay),
            (kind, _) => FaultRule::try_new(kind, ratio),
        };
        let rule = rule.and_then(|rule| rule.with_from(from));
        let until = raw
            .lasts
            .as_ref()
            .map(|lasts| from.saturating_add(lasts.get_ref().0));
        let rule = match until {
            Some(until) => rule.and_then(|rule| rule.with_until(until)),
            None => rule,
        };
        match rule {
            Ok(rule) => Some(PlannedFault {
                agent: name.clone(),
                rule,
            }),
            Err(error) => {
                self.fault(whole, error.to_string(), "");
                None
            }
        }
    }

    fn kind(&mut self, written: &Spanned<String>) -> Option<FaultKind> {
        let kind = written.get_ref().parse().ok();
        if kind.is_none() {
            let message = format!("fault `{}` does not exist", written.get_ref());
            let known = FaultKind::ALL.iter().map(|kind| kind.as_str());
            let help = suggestion("kinds", written.get_ref(), known);
            self.fault(written, message, help);
        }
        kind
    }
}
