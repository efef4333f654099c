//! Carrying out what a key asked for.

use fusebox::orchestrator::By;
use tokio::sync::mpsc::Sender;

use super::feed::Update;
use super::model::Act;
use crate::args::PlaceArgs;
use crate::breakers;
use crate::cancel;
use crate::failure::Failure;
use crate::place::Place;
use crate::who::user;

/// Does things beside the view, which goes on meanwhile.
pub(super) struct Hands {
    place: PlaceArgs,
    updates: Sender<Update>,
}

impl Hands {
    pub(super) fn new(place: PlaceArgs, updates: Sender<Update>) -> Self {
        Self { place, updates }
    }

    pub(super) fn carry_out(&self, act: Act, reason: String) {
        let (place, updates) = (self.place.clone(), self.updates.clone());
        tokio::spawn(async move {
            let done = carry_out(act, By::new(user(), reason), &place).await;
            let done = done.map_err(|failure| failure.message());
            // The view may be gone by now.
            let _ = updates.send(Update::Done(done)).await;
        });
    }
}

async fn carry_out(act: Act, mut by: By, place: &PlaceArgs) -> Result<String, Failure> {
    match act {
        Act::Operate {
            agent,
            action,
            for_ms,
        } => {
            by.for_ms = for_ms;
            let pids = breakers::tell(&agent, action, &by, place).await?;
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            let pids = pids.join(", ");
            Ok(format!("{action} {agent}: done in process {pids}"))
        }
        Act::Cancel { run } => {
            let run = run
                .parse()
                .map_err(|error| Failure::misuse(format!("{error}")))?;
            let stopped = cancel::stop(&run, &by, &Place::look(place).await?, place).await?;
            Ok(stopped.to_string())
        }
    }
}
