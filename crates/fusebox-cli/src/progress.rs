//! What happens while a run goes on, on stderr: live lines on a terminal, one line per event elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use fusebox::orchestrator::file::WorkflowFile;
use fusebox::orchestrator::{Event, EventKind};
use fusebox::{Engine, RunId, StepStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::output;
use crate::plain::plain;

/// Follows a run until its end.
pub(crate) struct Progress {
    task: JoinHandle<()>,
    printer: Printer,
}

/// Puts a line among those of a run, whichever way they are shown.
#[derive(Clone)]
pub(crate) enum Printer {
    /// Above the live lines.
    Live(MultiProgress),
    /// With the time since the start.
    Plain(Instant),
}

impl Printer {
    pub(crate) fn say(&self, text: &str) {
        let text = plain(text);
        match self {
            Self::Live(all) => {
                let _ = all.println(format!("  {text}"));
            }
            Self::Plain(begun) => {
                let elapsed = begun.elapsed().as_secs_f64();
                output::remark(&format!("{elapsed:>7.2}s  {text}"));
            }
        }
    }
}

impl Progress {
    /// Begins to listen, before anything happens.
    pub(crate) fn start(engine: &Engine, file: &WorkflowFile, id: &RunId) -> Self {
        let mut events = engine.subscribe();
        let (mut view, printer): (Box<dyn View>, _) = if std::io::stderr().is_terminal() {
            let live = Live::new(file, id);
            let printer = Printer::Live(live.all.clone());
            (Box::new(live), printer)
        } else {
            let printer = Printer::Plain(Instant::now());
            (Box::new(Plain(printer.clone())), printer)
        };
        let task = tokio::spawn(async move { follow(&mut events, &mut *view).await });
        Self { task, printer }
    }

    /// For what is no event of the run.
    pub(crate) fn printer(&self) -> Printer {
        self.printer.clone()
    }

    /// Waits until the last event is shown. A run that never began has none.
    pub(crate) async fn finish(self) {
        let _ = tokio::time::timeout(Duration::from_millis(200), self.task).await;
    }
}

/// Whether nothing follows the event.
fn is_last(event: &Event) -> bool {
    matches!(event.kind, EventKind::RunEnded { .. })
}

async fn follow(events: &mut Receiver<Event>, view: &mut dyn View) {
    loop {
        match events.recv().await {
            Ok(event) => {
                view.show(&event.kind);
                if is_last(&event) {
                    return view.end();
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return view.end(),
        }
    }
}

/// A way of showing events.
trait View: Send {
    fn show(&mut self, event: &EventKind);
    fn end(&mut self) {}
}

/// One line per event.
struct Plain(Printer);

impl View for Plain {
    fn show(&mut self, event: &EventKind) {
        if let Some(text) = describe(event) {
            self.0.say(&text);
        }
    }
}

/// A live line per step, remarks above them.
struct Live {
    all: MultiProgress,
    steps: BTreeMap<String, ProgressBar>,
    width: usize,
}

impl Live {
    fn new(file: &WorkflowFile, id: &RunId) -> Self {
        let all = MultiProgress::new();
        let _ = all.println(format!("run {id}"));
        let width = file
            .workflow
            .steps()
            .iter()
            .map(|step| step.name().len())
            .max()
            .unwrap_or(0);
        let mut steps = BTreeMap::new();
        for step in file.workflow.steps() {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style("  {prefix}  {msg}"));
            bar.set_prefix(format!("{:width$}", step.name()));
            bar.set_message("·");
            steps.insert(step.name().to_owned(), bar);
        }
        Self { all, steps, width }
    }

    fn set(&self, step: &str, running: bool, message: &str) {
        let Some(bar) = self.steps.get(step) else {
            return;
        };
        if running {
            bar.set_style(style("{spinner} {prefix}  {elapsed:>4} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_style(style("  {prefix}  {msg}"));
            bar.disable_steady_tick();
        }
        bar.set_message(plain(message));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are fixed and valid")
}

impl View for Live {
    fn show(&mut self, event: &EventKind) {
        match event {
            EventKind::StepStarted { step, .. } => {
                if let Some(bar) = self.steps.get(step) {
                    bar.reset_elapsed();
                }
                self.set(step, true, "running");
            }
            EventKind::StepProgress { step, message } => self.set(step, true, message),
            EventKind::StepRetrying {
                step,
                attempt,
                after_ms,
                ..
            } => {
                self.set(
                    step,
                    true,
                    &format!("attempt {attempt} in {}", time(*after_ms)),
                );
            }
            EventKind::StepWaiting {
                step,
                reason,
                due_in_ms,
            } => {
                self.set(
                    step,
                    true,
                    &format!("waiting {}: {reason}", time(*due_in_ms)),
                );
            }
            EventKind::StepShielded { step, by } => {
                self.set(step, false, &format!("shielded by {by}"))
            }
            EventKind::StepSuspended { step, prompt, .. } => {
                self.set(step, false, &format!("waits for a person: {prompt}"));
            }
            EventKind::PartEnded { step, part, .. } => {
                self.set(step, true, &format!("part {part} answered"));
            }
            EventKind::StepEnded {
                step,
                status,
                duration_ms,
                reason,
                ..
            } => {
                let reason = reason
                    .as_deref()
                    .map(|reason| format!(": {reason}"))
                    .unwrap_or_default();
                self.set(
                    step,
                    false,
                    &format!(
                        "{} {status} in {}{reason}",
                        mark(*status),
                        time(*duration_ms)
                    ),
                );
            }
            EventKind::RunResumed { kept } => {
                for step in kept {
                    self.set(step, false, "✓ kept from before");
                }
            }
            EventKind::RunStarted { .. } | EventKind::RunEnded { .. } => {}
            other => {
                if let Some(text) = describe(other) {
                    let _ =
                        self.all
                            .println(format!("  {:width$}  {text}", "", width = self.width));
                }
            }
        }
    }

    fn end(&mut self) {
        for bar in self.steps.values() {
            bar.abandon();
        }
    }
}

/// The sign of an outcome, so that colour is never needed.
pub(crate) fn mark(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Succeeded => "✓",
        StepStatus::Degraded => "~",
        StepStatus::Failed | StepStatus::Cancelled => "✗",
        StepStatus::Shielded | StepStatus::Skipped => "-",
        _ => "…",
    }
}

/// Milliseconds for a person.
pub(crate) fn time(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => humantime::format_duration(Duration::from_secs(ms / 1000)).to_string(),
    }
}

/// An event as one line, that acts on no terminal; `None` for what is not worth one.
pub(crate) fn describe(event: &EventKind) -> Option<String> {
    words(event).map(|text| plain(&text))
}

fn words(event: &EventKind) -> Option<String> {
    Some(match event {
        EventKind::RunStarted { workflow } => format!("run of {workflow} started"),
        EventKind::RunResumed { kept } if kept.is_empty() => {
            "run resumed, no step was finished".into()
        }
        EventKind::RunResumed { kept } => format!("run resumed, kept: {}", kept.join(", ")),
        EventKind::LeaseAwaited {
            owner,
            remaining_ms,
        } => {
            format!(
                "waiting {} for the lease of {owner}, which may still work on this run",
                time(*remaining_ms)
            )
        }
        EventKind::StepStarted { step, execution: 1 } => format!("{step} started"),
        EventKind::StepStarted { step, execution } => {
            format!("{step} started, execution {execution}")
        }
        EventKind::StepRetrying {
            step,
            attempt,
            after_ms,
            timed_out,
        } => {
            let what = if *timed_out { "timed out" } else { "failed" };
            format!("{step} {what}, attempt {attempt} in {}", time(*after_ms))
        }
        EventKind::StepProgress { step, message } => format!("{step}: {message}"),
        EventKind::StepWaiting {
            step,
            reason,
            due_in_ms,
        } => {
            format!("{step} waits {}: {reason}", time(*due_in_ms))
        }
        EventKind::StepSuspended {
            step,
            prompt,
            expires_in_ms,
        } => {
            let expires = expires_in_ms
                .map(|ms| format!(", for {}", time(ms)))
                .unwrap_or_default();
            format!("{step} waits for a person{expires}: {prompt}")
        }
        EventKind::StepDecided {
            step,
            approved,
            by,
            reason,
        } => {
            let verb = if *approved { "approved" } else { "rejected" };
            let reason = reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{step} {verb} by {by}{reason}")
        }
        EventKind::StepShielded { step, by } => format!("{step} shielded by {by}"),
        EventKind::StepRouted {
            step,
            taken: true,
            reason,
        } => format!("{step}: {reason}"),
        EventKind::PartEnded {
            step, part, reason, ..
        } => {
            let reason = reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{step}: part {part} answered{reason}")
        }
        EventKind::StepEnded {
            step,
            status: StepStatus::Shielded,
            reason,
            ..
        } => {
            format!(
                "- {step} shielded: {}",
                reason.as_deref().unwrap_or_default()
            )
        }
        EventKind::StepEnded {
            step,
            status,
            attempts,
            duration_ms,
            reason,
        } => {
            let took = time(*duration_ms);
            let attempts = match attempts {
                // It called nobody.
                0 => String::new(),
                1 => format!(" after 1 attempt in {took}"),
                _ => format!(" after {attempts} attempts in {took}"),
            };
            let reason = reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{} {step} {status}{attempts}{reason}", mark(*status))
        }
        EventKind::BreakerMoved {
            breaker,
            from,
            to,
            reason,
        } => {
            format!("breaker {breaker}: {from} -> {to} ({reason})")
        }
        EventKind::Recovered {
            agent,
            took_ms,
            objective_ms,
            verdict,
            ..
        } => {
            let objective = objective_ms
                .map(|ms| format!(", objective {}", time(ms)))
                .unwrap_or_default();
            format!(
                "{agent} recovered after {}{objective}: {verdict:?}",
                time(*took_ms)
            )
            .to_lowercase()
        }
        EventKind::ObjectiveAtRisk {
            agent,
            away_ms,
            objective_ms,
            ..
        } => format!(
            "{agent} has been away for {}, its objective of {} is at risk",
            time(*away_ms),
            time(*objective_ms)
        ),
        EventKind::ObjectiveBreached {
            agent,
            objective_ms,
            ..
        } => format!(
            "{agent} is still away after its objective of {}",
            time(*objective_ms)
        ),
        EventKind::StoreAway { cause } => {
            format!("the state store does not answer, trying again: {cause}")
        }
        EventKind::StoreBack => "the state store answers again".into(),
        EventKind::DurabilityAwaited { reached, minimum } => {
            format!("a commit is acknowledged as {reached}, waiting for {minimum}")
        }
        EventKind::RunEnded {
            status,
            reason: None,
            ..
        } => format!("run {status}"),
        EventKind::RunEnded {
            status,
            reason: Some(reason),
            ..
        } => format!("run {status}: {reason}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_an_agent_says_acts_on_the_terminal() {
        let event = EventKind::StepProgress {
            step: "a".into(),
            message: "\u{1b}[2J\u{202e}owned\nand more".into(),
        };
        assert_eq!(describe(&event).unwrap(), "a:  [2J owned and more");
    }
}
