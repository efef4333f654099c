//! Where runs and their files are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fusebox::RunId;
use fusebox::orchestrator::retire_ended;
use fusebox::state::StateStore;

use crate::args::PlaceArgs;
use crate::failure::Failure;
use crate::journals::Journals;
use crate::output;
use crate::store_loss::{Fallback, OnStoreLoss, Waiting};

/// The opened store and the directory beside it.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn StateStore>,
    directory: PathBuf,
    /// Those of a server; a file has none.
    pub(crate) journals: Option<Journals>,
    /// What could not be delivered from them now.
    pub(crate) undelivered: Option<Waiting>,
}

impl Place {
    /// Opens the store; makes the directory where it is needed.
    pub(crate) async fn open(args: &PlaceArgs) -> Result<Self, Failure> {
        let directory = directory(args)?;
        if args.state.is_none() {
            make(&directory)?;
        }
        let url = url(args, &directory);
        Self::open_at(directory, &url).await
    }

    /// Opens the store to read in it; makes nothing. A place that does not exist holds no runs.
    pub(crate) async fn look(args: &PlaceArgs) -> Result<Self, Failure> {
        let directory = directory(args)?;
        let url = match &args.state {
            None if !directory.join(DATABASE).exists() => "memory:".to_owned(),
            _ => url(args, &directory),
        };
        Self::open_at(directory, &url).await
    }

    async fn open_at(directory: PathBuf, url: &str) -> Result<Self, Failure> {
        let store = fusebox::state::open(url).await;
        let store = store
            .context("the state store could not be opened")
            .map_err(Failure::environment)?;
        let is_server = store.describe().kind == "redis";
        let mut place = Self {
            journals: is_server.then(|| Journals::of(&*store, url, &directory)),
            store,
            directory,
            undelivered: None,
        };
        place.deliver().await;
        Ok(place)
    }

    /// Delivers what earlier processes could not. What goes wrong with that stops nobody: it is tried
    /// again with the next command.
    async fn deliver(&mut self) {
        let Some(journals) = &self.journals else {
            return;
        };
        let left = journals.count().left;
        if left == 0 {
            return;
        }
        let directory = journals.directory.display();
        match journals.deliver(&self.store).await {
            Ok(status) => {
                self.undelivered = Waiting::of(&status, Some(journals.directory.clone()));
                output::remark(&match (status.pending_commits, status.forks) {
                    (0, 0) => format!("delivered what {left} ended processes left in {directory}"),
                    (0, forks) => format!(
                        "of what {left} ended processes left in {directory}, {forks} partitions were \
                         another's by now and are kept apart: see fusebox state forks"
                    ),
                    (waiting, _) => {
                        format!("{waiting} commits in {directory} could not be delivered: {status}")
                    }
                });
                // Those who died before they could say how long their runs are kept.
                if let Err(error) = retire_ended(&*self.store).await {
                    output::remark(&format!(
                        "how long delivered runs are kept is not set: {error}"
                    ));
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                output::complain(&format!(
                    "the journals in {directory} are not delivered: {error:#}"
                ));
            }
        }
    }

    /// Puts something to fall back on behind a server; makes the directory where that needs it.
    pub(crate) async fn fall_back(
        &mut self,
        on_loss: Option<OnStoreLoss>,
    ) -> Result<Option<Fallback>, Failure> {
        let Some(journals) = self.journals.clone() else {
            return Ok(None);
        };
        let on_loss = on_loss.unwrap_or(OnStoreLoss::Durable);
        if on_loss == OnStoreLoss::Durable {
            make(&self.directory)?;
        }
        let fallback = Fallback::open(Arc::clone(&self.store), on_loss, journals).await?;
        self.store = Arc::clone(&fallback.store) as Arc<dyn StateStore>;
        Ok(Some(fallback))
    }

    /// Where a run's files are.
    pub(crate) fn artifacts(&self, run: &RunId) -> PathBuf {
        self.directory.join("runs").join(run.as_str())
    }

    /// The same, without opening the store.
    pub(crate) fn artifacts_in(args: &PlaceArgs, run: &RunId) -> anyhow::Result<PathBuf> {
        let directory = directory(args).map_err(Failure::into_error)?;
        Ok(directory.join("runs").join(run.as_str()))
    }

    /// Where the engines of this place listen.
    pub(crate) fn engines(&self) -> PathBuf {
        self.directory.join(ENGINES)
    }

    /// The same, without opening the store.
    pub(crate) fn engines_in(args: &PlaceArgs) -> Result<PathBuf, Failure> {
        Ok(directory(args)?.join(ENGINES))
    }

    /// Makes the directory for a run's files.
    pub(crate) fn make_artifacts(&self, run: &RunId) -> Result<PathBuf, Failure> {
        make(&self.directory)?;
        let path = self.artifacts(run);
        let made = std::fs::create_dir_all(&path)
            .with_context(|| format!("{} could not be made", path.display()));
        made.map_err(Failure::environment)?;
        Ok(path)
    }

    /// What to add to a `fusebox` command so that it looks at the same place.
    pub(crate) fn flags(args: &PlaceArgs) -> String {
        let mut flags = String::new();
        if args.state_dir != Path::new(".fusebox") {
            flags += &format!(" --state-dir {}", args.state_dir.display());
        }
        if args.state.is_some() {
            flags += " --state URL";
        }
        flags
    }
}

/// The file of the journals in the state directory.
const DATABASE: &str = "state.db";

/// The directory of the engines' sockets in the state directory.
const ENGINES: &str = "engines";

fn directory(args: &PlaceArgs) -> Result<PathBuf, Failure> {
    std::path::absolute(&args.state_dir)
        .with_context(|| format!("{} is no path", args.state_dir.display()))
        .map_err(Failure::environment)
}

fn url(args: &PlaceArgs, directory: &Path) -> String {
    let database = || format!("sqlite:{}", directory.join(DATABASE).display());
    args.state.clone().unwrap_or_else(database)
}

/// Makes the state directory, which keeps itself out of git.
fn make(directory: &Path) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let ignore = directory.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(ignore, "*\n")?;
        }
        Ok(())
    };
    let made = write().with_context(|| {
        format!(
            "the state directory {} could not be made; choose another with --state-dir",
            directory.display()
        )
    });
    made.map_err(Failure::environment)
}

/// The answer to a name that the store does not hold.
pub(crate) fn no_such_run(run: &RunId, place: &PlaceArgs) -> Failure {
    let flags = Place::flags(place);
    Failure::misuse(format!(
        "there is no run `{run}` in this store; `fusebox runs{flags}` lists those there are"
    ))
}
