//! From what is written to what is meant, with every fault at its place.

mod faults;
mod stand_ins;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fusebox_orchestrator::Work;
use fusebox_orchestrator::file::{
    AgentKind, FileError, FileErrors, Source, Time as Written, WorkflowFile, suggestion,
};
use toml::Spanned;

use super::raw::RawPlan;
use super::{Arrivals, MOST_RUNS, Plan, Targets, Time, Without};

const DOCS: &str = "docs/lab.md";
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
        Err(None) => return Err(checker.told()),
        Err(Some(others)) if checker.faults.is_empty() => return Err(others),
        Err(Some(others)) => return Err(checker.told().and(others.errors().to_vec())),
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
    /// The faults found; there are some.
    fn told(self) -> FileErrors {
        FileErrors::check(self.faults).expect_err("somebody found fault with something")
    }

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

    /// Finds fault with a name that is no agent's, or that of one which only asks others.
    fn answers_itself(&mut self, agent: &Spanned<String>, file: &WorkflowFile) {
        let name = agent.get_ref();
        match file.agents.get(name).map(|spec| &spec.kind) {
            Some(AgentKind::Failover(_)) => {
                let message = format!("agent `{name}` only asks others");
                self.fault(agent, message, "name one of its targets");
            }
            Some(_) => {}
            None => {
                let message = format!("the workflow has no agent `{name}`");
                let known = file.agents.keys().map(String::as_str);
                self.fault(agent, message, suggestion("agents", name, known));
            }
        }
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
