//! What the breakers did, and what came of each outage.

use std::time::Duration;

use fusebox_breaker::{State, Transition};
use fusebox_orchestrator::{Engine, RtoOutage};
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A move of a breaker.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    /// The breaker, by its place among all.
    pub(crate) breaker: usize,
    /// When, from the beginning of the plan.
    pub(crate) at: Duration,
    pub(crate) to: State,
    pub(crate) reason: String,
}

/// An outage of an agent, over or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    /// The agent, by its place among all.
    pub(crate) agent: usize,
    pub(crate) told: RtoOutage,
}

/// Writes moves and outages down as they happen.
pub(crate) struct Moves {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Log>,
}

impl Moves {
    pub(crate) fn follow(engine: &Engine, breakers: &[String]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let log = Log {
            engine: engine.clone(),
            breakers: breakers.to_vec(),
            moves: Vec::new(),
            outages: Vec::new(),
        };
        let task = tokio::spawn(log.follow(engine.transitions(), stopped));
        Self { stop, task }
    }

    /// Everything up to now, with the outages that are not over.
    pub(crate) async fn end(self, engine: &Engine) -> (Vec<Move>, Vec<Outage>) {
        // What has happened and nobody has told yet.
        let accounts = engine.objectives();
        let _ = self.stop.send(());
        let mut log = self.task.await.expect("it only writes down");
        for (agent, account) in accounts.into_iter().enumerate() {
            if let Some(told) = account.current {
                log.outages.push(Outage { agent, told });
            }
        }
        (log.moves, log.outages)
    }
}

struct Log {
    engine: Engine,
    breakers: Vec<String>,
    moves: Vec<Move>,
    outages: Vec<Outage>,
}

impl Log {
    async fn follow(
        mut self,
        mut moves: Receiver<Transition>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Self {
        loop {
            let told = tokio::select! {
                biased;
                told = moves.recv() => told,
                _ = &mut stopped => break,
            };
            match told {
                Ok(transition) => self.write(&transition),
                // More than a thousand moves before anybody looked: the oldest are lost.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
        loop {
            match moves.try_recv() {
                Ok(transition) => self.write(&transition),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return self,
            }
        }
    }

    fn write(&mut self, transition: &Transition) {
        let mut names = self.breakers.iter();
        let breaker = names.position(|name| **name == *transition.breaker);
        let breaker = breaker.expect("an engine has the breakers that it began with");
        // The engine's clock began with the plan.
        let at = Duration::from_nanos(transition.at.as_nanos());
        if transition.to == State::Closed {
            // What agents depend on comes behind all of them, and has no objective.
            let accounts = self.engine.objectives();
            let account = accounts.get(breaker);
            if let Some(told) = account.and_then(|account| account.last) {
                let agent = breaker;
                self.outages.push(Outage { agent, told });
            }
        }
        self.moves.push(Move {
            breaker,
            at,
            to: transition.to,
            reason: transition.reason.to_string(),
        });
    }
}
