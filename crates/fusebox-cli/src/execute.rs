//! `fusebox run` and `fusebox resume`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use fusebox::agent::Agent;
use fusebox::metrics::Meter;
use fusebox::orchestrator::control::Listener;
use fusebox::orchestrator::file::{AgentSpec, WorkflowFile};
use fusebox::orchestrator::load_run;
use fusebox::{Engine, RunId, RunOptions, RunReport};
use serde_json::{Value, json};

use crate::agents::{self, Wrapping};
use crate::args::{How, PlaceArgs, ResumeArgs, RunArgs};
use crate::collector::Collector;
use crate::execution_log::ExecutionLog;
use crate::failure::Failure;
use crate::mcp::Servers;
use crate::notify::Notifier;
use crate::output;
use crate::place::{self, Place};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::source::{self, Source};
use crate::store_log::StoreLog;
use crate::store_loss::{self, StoreAccount};
use crate::summary::{self, Document};

pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    store_loss::check(&args.how, args.place.state.as_deref())?;
    let source = Source::read(&args.file)?;
    let file = source.parse()?;
    let input = source::inputs(&file, &args.inputs)?;
    let id = args
        .id
        .unwrap_or_else(|| RunId::generate(file.workflow.name()));
    let job = Job {
        how: &args.how,
        place: &args.place,
        source,
        file,
        input,
        id,
    };
    job.execute(false).await
}

pub(crate) async fn resume(args: ResumeArgs) -> Result<ExitCode, Failure> {
    store_loss::check(&args.how, args.place.state.as_deref())?;
    let place = Place::look(&args.place).await?;
    let record = load_run(&*place.store, &args.run).await?;
    let record = record.ok_or_else(|| place::no_such_run(&args.run, &args.place))?;
    let source: Source = serde_json::from_value(record.attachment.clone())
        .context("the run was not started by this command, so its agents are not known here")
        .map_err(Failure::Misuse)?;
    drop(place);
    let file = source.parse()?;
    let job = Job {
        how: &args.how,
        place: &args.place,
        source,
        file,
        input: record.head.input,
        id: args.run,
    };
    job.execute(true).await
}

/// A run about to begin or to go on.
struct Job<'a> {
    how: &'a How,
    place: &'a PlaceArgs,
    source: Source,
    file: WorkflowFile,
    input: Value,
    id: RunId,
}

impl Job<'_> {
    async fn execute(self, resume: bool) -> Result<ExitCode, Failure> {
        let collector = self.how.otlp.as_deref().map(Collector::at).transpose()?;
        let wrapping = self.wrapping()?;
        let mut place = Place::open(self.place).await?;
        let fallback = place.fall_back(self.how.on_store_loss).await?;
        let engine = self.engine(&place, &wrapping)?;
        let artifacts = place.make_artifacts(&self.id)?;
        let mut options = self.options(artifacts.clone());
        if !resume {
            // A resumed run goes on with what it has on record.
            options.budget = options.budget.or(self.file.budget);
        }
        let cancellation = options.cancellation.clone();
        stop_on_signals(move || cancellation.cancel())?;
        let meter = Meter::start(&engine);
        let collector = collector.map(|collector| collector.look_at(&engine));
        let listener = listen(&engine, &place, meter.clone());
        let notifier = Notifier::start(&engine, self.how)?;
        let progress = (!self.how.json).then(|| Progress::start(&engine, &self.file, &self.id));
        let printer = progress.as_ref().map(Progress::printer);
        let log = fallback.as_ref().map(|fallback| {
            let show = move |text: &str| printer.iter().for_each(|printer| printer.say(text));
            StoreLog::start(Arc::clone(&fallback.store), show)
        });
        let result = if resume {
            engine.resume(&self.file.workflow, &self.id, options).await
        } else {
            engine.run(&self.file.workflow, options).await
        };
        if let Some(progress) = progress {
            progress.finish().await;
        }
        if let Some(notifier) = notifier {
            notifier.finish().await;
        }
        if let Some(collector) = collector {
            collector.finish().await;
        }
        let account = match fallback.zip(log).filter(|_| result.is_ok()) {
            Some((fallback, log)) => {
                fallback.settle(self.how.json).await;
                Some(fallback.account(log.finish().await))
            }
            None => None,
        };
        // Nothing more is counted from here on, whatever came of the run.
        if let Some(listener) = listener {
            listener.close().await;
        }
        let report = result?;
        if let Some(path) = &self.how.metrics {
            write(path, &meter).await;
        }
        self.conclude(report, &artifacts, account)
    }

    fn wrapping(&self) -> Result<Wrapping, Failure> {
        let faults = Wrapping::faults(&self.how.faults, &self.file)?;
        let log = self
            .how
            .execution_log
            .as_deref()
            .map(ExecutionLog::open)
            .transpose()?;
        Ok(Wrapping {
            faults,
            seed: self
                .how
                .seed
                .unwrap_or_else(|| u64::from(std::process::id())),
            execution_log: log.map(Arc::new),
            servers: Servers::default(),
        })
    }

    fn engine(&self, place: &Place, wrapping: &Wrapping) -> Result<Engine, Failure> {
        let mut builder = Engine::builder(Arc::clone(&place.store));
        builder = builder.retention(self.how.keep_finished);
        if let Some(seed) = self.how.seed {
            builder = builder.seed(seed);
        }
        if let Some(minimum) = self.how.min_durability {
            builder = builder.min_durability(minimum);
        }
        let builder = self
            .file
            .equip(builder, |spec| self.agent(spec, wrapping))?;
        Ok(builder.build()?)
    }

    fn agent(&self, spec: &AgentSpec, wrapping: &Wrapping) -> Result<Arc<dyn Agent>, Failure> {
        let directory = &self.source.directory;
        agents::make(spec, &self.file, directory, &self.input, wrapping)
    }

    fn options(&self, artifacts: PathBuf) -> RunOptions {
        let mut options = RunOptions::default()
            .with_id(self.id.clone())
            .with_input(self.input.clone());
        options.attachment = serde_json::to_value(&self.source).expect("a source is plain data");
        options.objective = self.how.objective;
        options.tenant.clone_from(&self.how.tenant);
        options.budget = self.how.budget;
        options.wait = !self.how.no_wait;
        options.artifacts = Some(artifacts);
        options
    }

    fn conclude(
        self,
        report: RunReport,
        artifacts: &Path,
        account: Option<StoreAccount>,
    ) -> Result<ExitCode, Failure> {
        let code = report.status.exit_code();
        let document = Document::new(report, &self.file, artifacts).with_store(account);
        if self.how.json {
            output::document(&document);
        } else {
            summary::print_report(&document, &self.file, &Place::flags(self.place));
        }
        Ok(ExitCode::from(code))
    }
}

/// What `--metrics` asks for. A file that cannot be written takes nothing from the run.
async fn write(path: &Path, meter: &Meter) {
    let page = meter.figures().await.render();
    if let Err(error) = tokio::fs::write(path, page).await {
        let path = path.display();
        output::complain(&format!("--metrics {path} could not be written: {error}"));
    }
}

/// The first signal stops the run in order, the second ends the process at once.
fn stop_on_signals(cancel: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::environment(error.into()))?;
    tokio::spawn(async move {
        signals.next().await;
        output::remark("stopping: what is finished is kept; once more to end at once");
        cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(())
}

/// Lets other commands look at the engine, operate it and read what it has counted. Where that cannot be, the run goes
/// on without.
fn listen(engine: &Engine, place: &Place, meter: Meter) -> Option<Listener> {
    let figures = move || {
        let meter = meter.clone();
        async move { json!(meter.figures().await) }
    };
    let listener = Listener::builder(engine).figures(figures);
    let listener = listener.start(&place.engines());
    listener
        .inspect_err(|error| {
            let path = place.engines();
            let path = path.display();
            output::remark(&format!(
                "no other command can reach this run: {path}: {error}"
            ));
        })
        .ok()
}
