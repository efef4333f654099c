//! From what is written to what is meant, with every fault at its place.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fusebox_agent::{FaultKind, FaultRule};
use fusebox_orchestrator::Work;
use fusebox_orchestrator::file::{
    AgentKind, FileError, FileErrors, Source, Time as Written, WorkflowFile, suggestion,
};
use toml::Spanned;

use super::raw::{RawFault, RawLatency, RawPlan, RawStandIn};
use super::{Arrivals, MOST_RUNS, Plan, PlannedFault, StandIn, Targets, Time, Without, sample};
use crate::latency::Latency;

const DOCS: &str = "docs/lab.md";
/// The agent's table that holds for all.
const DEFAULT: &str = "default";
/// What a stand-in takes where the plan does not say.
const LATENCY: Latency = Latency::Fixed(Duration::from_millis(200));
const SEEDS: u64 = 10;
/// Longer than anybody asks for, and short enough that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn plan(
    name: &str,
    text: &str,
    read: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<Plan, FileErrors> {
    let source = Source::new(name, text);
    let raw: RawPlan = source.parse(DOCS)?;
    let mut checker = Checker {
        source,
        faults: Vec::new(),
    };
    let workflow = checker.workflow(name, &raw, read);
    let time = checker.time(&raw);
    let duration = checker.duration(&raw);
    let arrivals = checker.arrivals(&raw);
    let seeds = checker.seeds(&raw, time);
    let without = checker.without(&raw);
    let targets = checker.targets(&raw);
    let file = match workflow {
        Ok(file) => file,
        // What else there is to say needs the workflow.
        Err(others) => {
            FileErrors::check(checker.faults)?;
            return Err(others.expect("a workflow that is not there is a fault of the plan"));
        }
    };
    checker.limit(&raw, runs(duration, arrivals), seeds);
    checker.nobody_decides(&raw, &file);
    let faults = checker.planned(&raw, &file, duration);
    let stand_ins = checker.stand_ins(&raw, &file, time);
    let inputs = checker.inputs(&raw, &file);
    FileErrors::check(checker.faults)?;
    let file = with_stand_ins(file, time);
    Ok(Plan {
        name: name.to_owned(),
        workflow_path: PathBuf::from(raw.workflow.get_ref()),
        file,
        time,
        duration,
        seeds,
        arrivals,
        without,
        inputs,
        stand_ins,
        faults,
        targets,
    })
}

/// The workflow as stand-ins work it: a failover has their answers, which need not be what its agents would give.
fn with_stand_ins(mut file: WorkflowFile, time: Time) -> WorkflowFile {
    let agents = file.agents.values_mut().filter(|_| time == Time::Virtual);
    for spec in agents.filter(|spec| matches!(spec.kind, AgentKind::Failover(_))) {
        (spec.input_schema, spec.output_schema) = (None, None);
    }
    file
}

/// Runs of one side with one seed, on average; one at least.
pub(super) fn runs(duration: Duration, arrivals: Arrivals) -> u64 {
    match arrivals {
        Arrivals::Every(every) => {
            let runs = duration.as_nanos().div_ceil(every.as_nanos().max(1));
            u64::try_from(runs).unwrap_or(u64::MAX).max(1)
        }
        Arrivals::Rate(rate) => ((duration.as_secs_f64() * rate).ceil() as u64).max(1),
    }
}

struct Checker {
    source: Source,
    faults: Vec<FileError>,
}

impl Checker {
    fn fault<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, help: impl Into<String>) {
        let fault = self.source.error(at.span(), message, help);
        self.faults.push(fault);
    }

    /// The workflow file; if it has faults of its own, those.
    fn workflow(
        &mut self,
        name: &str,
        raw: &RawPlan,
        read: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<WorkflowFile, Option<FileErrors>> {
        let path = Path::new(raw.workflow.get_ref());
        let text = read(path).map_err(|why| {
            let message = format!("workflow file {} could not be read: {why}", path.display());
            let help = "give its path, from the directory of this plan on";
            self.fault(&raw.workflow, message, help);
        });
        let text = text.map_err(|()| None)?;
        let beside = |path: &Path| Path::new(name).parent().unwrap_or(path).join(path);
        let directory = path.parent().unwrap_or(Path::new(""));
        let inner = |inner: &Path| read(&plain(&directory.join(inner)));
        let shown = beside(path).display().to_string();
        WorkflowFile::parse_with(&shown, &text, &inner).map_err(Some)
    }

    fn time(&mut self, raw: &RawPlan) -> Time {
        let Some(time) = &raw.time else {
            return Time::Virtual;
        };
        match time.get_ref().as_str() {
            "virtual" => Time::Virtual,
            "real" => Time::Real,
            other => {
                let message = format!("time `{other}` does not exist");
                let known = ["virtual", "real"].into_iter();
                self.fault(time, message, suggestion("times", other, known));
                Time::Virtual
            }
        }
    }

    fn duration(&mut self, raw: &RawPlan) -> Duration {
        let Written(duration) = *raw.duration.get_ref();
        if duration.is_zero() {
            let help = "say how long runs begin, such as \"5m\"";
            self.fault(&raw.duration, "no run would ever begin", help);
        } else if duration > LONGEST {
            let help = "seven days are the most";
            self.fault(&raw.duration, "the plan is too long", help);
        }
        duration.min(LONGEST)
    }

    fn arrivals(&mut self, raw: &RawPlan) -> Arrivals {
        let second = Arrivals::Every(Duration::from_secs(1));
        let help = "say how often runs begin: every = \"500ms\", or rate = 2.0 a second at random";
        match (&raw.every, &raw.rate) {
            (Some(every), None) => match *every.get_ref() {
                Written(Duration::ZERO) => {
                    self.fault(every, "all runs would begin at once", help);
                    second
                }
                Written(every) => Arrivals::Every(every),
            },
            (None, Some(rate)) => match *rate.get_ref() {
                one if one > 0.0 && one.is_finite() => Arrivals::Rate(one),
                other => {
                    self.fault(rate, format!("{other} runs a second is no rate"), help);
                    second
                }
            },
            (Some(_), Some(rate)) => {
                self.fault(rate, "`every` and `rate` contradict each other", help);
                second
            }
            (None, None) => {
                self.fault(&raw.duration, "there is neither `every` nor `rate`", help);
                second
            }
        }
    }

    fn seeds(&mut self, raw: &RawPlan, time: Time) -> u64 {
        let given = raw.seeds.as_ref().map(|seeds| (seeds, *seeds.get_ref()));
        match (time, given) {
            (_, Some((seeds, 0))) => {
                self.fault(seeds, "no seed, no run", "give at least 1");
                1
            }
            (Time::Real, Some((seeds, 2..))) => {
                let help = "leave it out: real time has one go";
                self.fault(seeds, "real time cannot be repeated", help);
                1
            }
            (Time::Real, _) => 1,
            (Time::Virtual, given) => given.map_or(SEEDS, |(_, seeds)| seeds),
        }
    }

    fn without(&mut self, raw: &RawPlan) -> Without {
        let Some(without) = &raw.without else {
            return Without::Breakers;
        };
        match without.get_ref().as_str() {
            "breakers" => Without::Breakers,
            "breakers and waiting" => Without::BreakersAndWaiting,
            other => {
                let message = format!("the other side cannot go without `{other}`");
                let known = ["breakers", "breakers and waiting"].into_iter();
                self.fault(without, message, suggestion("choices", other, known));
                Without::Breakers
            }
        }
    }

    /// Refuses a plan that would not end soon.
    fn limit(&mut self, raw: &RawPlan, per_seed: u64, seeds: u64) {
        let all = u128::from(per_seed) * u128::from(seeds) * 2;
        if all > u128::from(MOST_RUNS) {
            let message = format!(
                "the plan needs {all} runs ({per_seed} for each of {seeds} seeds, on two sides), more than {MOST_RUNS}"
            );
            let help = "shorten `duration`, lower `seeds`, or let runs begin less often";
            self.fault(&raw.duration, message, help);
        }
    }

    fn nobody_decides(&mut self, raw: &RawPlan, file: &WorkflowFile) {
        let mut steps = file.workflow.steps().iter();
        if let Some(step) = steps.find(|step| matches!(step.work(), Work::Approval(_))) {
            let message = format!("step `{}` of it waits for a person", step.name());
            let help = "there is none in a lab: give a workflow without `approval`";
            self.fault(&raw.workflow, message, help);
        }
    }

    fn known_agent(&mut self, agent: &Spanned<String>, file: &WorkflowFile) -> bool {
        let name = agent.get_ref();
        if file.agents.contains_key(name) {
            return true;
        }
        let message = format!("the workflow has no agent `{name}`");
        let known = file.agents.keys().map(String::as_str);
        self.fault(agent, message, suggestion("agents", name, known));
        false
    }

    fn planned(
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
        if self.known_agent(&raw.agent, file)
            && matches!(file.agents[name].kind, AgentKind::Failover(_))
        {
            let message = format!("agent `{name}` only asks others");
            self.fault(&raw.agent, message, "name one of its targets");
        }
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

    /// A number in `0.0..=1.0`.
    fn share(&mut self, written: Option<&Spanned<f64>>) -> Option<f64> {
        let written = written?;
        let share = *written.get_ref();
        if !(0.0..=1.0).contains(&share) {
            let message = format!("{share} is no share");
            self.fault(written, message, "write 0.0 to 1.0, such as 0.99");
        }
        Some(share)
    }

    fn stand_ins(
        &mut self,
        raw: &RawPlan,
        file: &WorkflowFile,
        time: Time,
    ) -> BTreeMap<String, StandIn> {
        if time == Time::Real {
            if let Some((name, _)) = raw.agents.iter().next() {
                let message = "on real time the agents of the workflow answer themselves";
                self.fault(
                    name,
                    message,
                    "leave `[agents]` out, or make time \"virtual\"",
                );
            }
            return BTreeMap::new();
        }
        for name in raw.agents.keys().filter(|name| name.get_ref() != DEFAULT) {
            if self.known_agent(name, file)
                && matches!(file.agents[name.get_ref()].kind, AgentKind::Failover(_))
            {
                let message = format!("agent `{}` only asks others", name.get_ref());
                self.fault(name, message, "name one of its targets");
            }
        }
        let written = |wanted: &str| {
            let mut tables = raw.agents.iter();
            tables.find(|(name, _)| name.get_ref() == wanted)
        };
        let default = written(DEFAULT).map(|(_, table)| table);
        let latency_of_all = default.and_then(|table| self.latency(table));
        let mut stand_ins = BTreeMap::new();
        for (name, spec) in &file.agents {
            if matches!(spec.kind, AgentKind::Failover(_)) {
                continue;
            }
            let own = written(name).map(|(_, table)| table);
            let latency = own.and_then(|table| self.latency(table));
            let answer = own.and_then(|table| table.answer.as_ref());
            let answer = answer.or_else(|| default.and_then(|table| table.answer.as_ref()));
            let latency = latency.or(latency_of_all).unwrap_or(LATENCY);
            let given = answer.map(|answer| {
                serde_json::to_value(answer.get_ref()).expect("TOML values have a JSON form")
            });
            match sample::answer(given, spec.output_schema.as_ref()) {
                Ok((answer, output_schema)) => {
                    let stand_in = StandIn {
                        latency,
                        answer,
                        output_schema,
                    };
                    stand_ins.insert(name.clone(), stand_in);
                }
                Err(why) => {
                    let help = format!("give one: [agents.{name}] answer = …");
                    match answer {
                        Some(answer) => {
                            let message = format!("agent `{name}` could not answer so: {why}");
                            self.fault(answer, message, "see its `output_schema`");
                        }
                        None => {
                            let message = format!("no answer for agent `{name}`: {why}");
                            self.fault(&raw.workflow, message, help);
                        }
                    }
                }
            }
        }
        stand_ins
    }

    fn latency(&mut self, table: &RawStandIn) -> Option<Latency> {
        let written = table.latency.as_ref()?;
        match *written.get_ref() {
            RawLatency::Fixed(latency) => Some(Latency::Fixed(latency)),
            RawLatency::Lognormal { median, p99 } if median.is_zero() || p99 < median => {
                let message = "there is no such distribution of latencies";
                let help = "`median` is above zero and `p99` not below it";
                self.fault(written, message, help);
                None
            }
            RawLatency::Lognormal { median, p99 } => Some(Latency::Lognormal { median, p99 }),
        }
    }

    fn inputs(&mut self, raw: &RawPlan, file: &WorkflowFile) -> BTreeMap<String, String> {
        for name in raw.input.keys() {
            let mut known = file.inputs.iter().map(|input| input.name.as_str());
            if !known.any(|known| known == name.get_ref()) {
                let message = format!("the workflow has no input `{}`", name.get_ref());
                let known = file.inputs.iter().map(|input| input.name.as_str());
                let help = suggestion("inputs", name.get_ref(), known);
                self.fault(name, message, help);
            }
        }
        let given = raw.input.iter();
        given
            .map(|(name, value)| (name.get_ref().clone(), value.clone()))
            .collect()
    }

    fn targets(&mut self, raw: &RawPlan) -> Targets {
        let targets = &raw.targets;
        let p95 = targets.latency_p95.as_ref();
        Targets {
            availability: self.share(targets.availability.as_ref()),
            latency_p95: p95.map(|time| time.get_ref().0),
            calls_in_vain: targets.calls_in_vain.as_ref().map(|calls| *calls.get_ref()),
            objectives_met: self.share(targets.objectives_met.as_ref()),
        }
    }
}

/// A path without the detours that joining makes.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
