//! What the engines of this place have counted, those that have ended included.
//!
//! Each is asked at every look. One that ends tells the inbox before it is found no more, so that nothing it had
//! counted is missing, however short its life was; one that is killed leaves what the last look had seen of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use fusebox::metrics::figures::{Figures, Totals};
use fusebox::orchestrator::Health;
use fusebox::orchestrator::control::{Client, ControlError, Inbox, find};
use futures_util::future::join_all;

use super::{FRESH, Id, id};
use crate::control::PATIENCE;
use crate::output;

/// Between two looks that nobody asks for: at most so much is lost with an engine that is killed.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Stands for this process, which has no engine.
const NOBODY: Id = (0, 0);

/// Counts from its start on; counters begin anew with it.
#[derive(Default)]
pub(super) struct Counts {
    totals: Totals<Id>,
    inbox: Option<Inbox>,
    looked: Option<Instant>,
    /// An inbox that cannot be made is told of once.
    complained: bool,
}

impl Counts {
    /// Makes the inbox where there is none, once there is a place: looking at one that is not there makes nothing.
    pub(super) fn open_inbox(&mut self, directory: &Path) {
        if self.inbox.as_ref().is_some_and(Inbox::is_there) || !directory.exists() {
            return;
        }
        match Inbox::open(directory) {
            Ok(inbox) => self.inbox = Some(inbox),
            Err(error) if !self.complained => {
                self.complained = true;
                let path = directory.display();
                output::complain(&format!(
                    "{path}: {error}; what a run has counted since the last look is lost at its end"
                ));
            }
            Err(_) => {}
        }
    }

    /// Asks every engine, unless that was done a moment ago. Who does not answer in time is as it was at the last look.
    pub(super) async fn look(&mut self, directory: &Path) {
        if self.looked.is_some_and(|at| at.elapsed() < FRESH) {
            return self.take_last_words();
        }
        self.looked = Some(Instant::now());
        let clients = find(directory).await;
        let answers = clients.iter().map(|client| async {
            let figures = tokio::time::timeout(PATIENCE, ask(client)).await;
            Some((id(client.engine()), figures.ok()?.ok()?))
        });
        let answers = join_all(answers).await;
        // So that there is a page, and a health, where there is no engine.
        self.totals.set(NOBODY, Figures::of(&Health::default()));
        // In this order: an engine that is found no more has told the inbox before, and its last word counts.
        for (id, figures) in answers.into_iter().flatten() {
            self.totals.set(id, figures);
        }
        self.take_last_words();
        let there = clients.iter().map(|client| id(client.engine()));
        let there: BTreeSet<Id> = there.chain([NOBODY]).collect();
        let live: Vec<Id> = self.totals.live().copied().collect();
        for id in live.iter().filter(|id| !there.contains(id)) {
            self.totals.end(id);
        }
    }

    fn take_last_words(&mut self) {
        let inbox = self.inbox.iter_mut().flat_map(Inbox::take);
        for last in inbox.collect::<Vec<_>>() {
            // Another version's; what it said in words this one knows was taken at the looks.
            if let Ok(figures) = serde_json::from_value(last.figures) {
                self.totals.set(id(&last.engine), figures);
            }
        }
    }

    /// All as one, as of the last look.
    pub(super) fn figures(&self) -> Figures {
        self.totals.figures()
    }
}

/// What an engine has counted; of one that does not count, or in other words, the gauges that its health says.
async fn ask(client: &Client) -> Result<Figures, ControlError> {
    let counted = match client.figures().await {
        Err(ControlError::Gone(error)) => return Err(error.into()),
        told => told.ok(),
    };
    match counted.and_then(|document| serde_json::from_value(document).ok()) {
        Some(figures) => Ok(figures),
        None => Ok(Figures::of(&client.overview().await?.health)),
    }
}
