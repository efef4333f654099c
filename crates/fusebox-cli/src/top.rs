//! `fusebox top`: the breakers and runs of a place, live, in the terminal.
//!
//! What is seen is a pure function of the [`Model`](model::Model); [`feed`] and the keyboard change it, and nothing
//! else does.

mod act;
mod feed;
mod keys;
mod model;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use self::act::Hands;
use self::feed::{Feed, Update};
use self::keys::Order;
use self::model::Model;
use self::screen::{Input, Screen};
use crate::args::TopArgs;
use crate::failure::Failure;
use crate::place::Place;
use crate::signals::Signals;

/// How often times that count down are drawn anew.
const TICK: Duration = Duration::from_millis(500);

pub(crate) async fn top(args: TopArgs) -> Result<ExitCode, Failure> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::misuse(
            "fusebox top needs a terminal on standard input and output; fusebox breakers and fusebox runs say the same \
             once, with --json for a program",
        ));
    }
    // Before the screen is taken: it may have something to say.
    let place = Place::look(&args.place).await?;
    let mut model = Model::new(args.place.state_dir.display().to_string(), now_ms());
    model.colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (updates, mut received) = mpsc::channel(1024);
    let mut feed = Feed::start(&args.place, &place, updates.clone())?;
    let hands = Hands::new(args.place, updates);
    let signals = Signals::listen().and_then(Signals::and_hangup);
    let mut signals = signals.map_err(|error| Failure::environment(error.into()))?;
    let mut screen = Screen::enter()
        .context("the terminal cannot be drawn on")
        .map_err(Failure::environment)?;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        model.now_ms = now_ms();
        screen
            .draw(&model)
            .context("the terminal is gone")
            .map_err(Failure::environment)?;
        tokio::select! {
            Some(update) = received.recv() => {
                model.take(update);
                // What has come at once is drawn at once.
                while let Ok(update) = received.try_recv() {
                    model.take(update);
                }
            }
            input = screen.input() => match input {
                Some(Input::Key(key)) => match model.press(key) {
                    Some(Order::Quit) => break,
                    Some(Order::Act(act, reason)) => hands.carry_out(act, reason),
                    None => {}
                },
                Some(Input::Resized) => {}
                // Nobody is there to look at it any more.
                None => break,
            },
            _ = ticks.tick() => {}
            () = signals.next() => break,
            // It only ends by a fault of its own, which the panic has told.
            () = feed.ended() => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Model {
    fn take(&mut self, update: Update) {
        let now = now_ms();
        match update {
            Update::Engine(overview) => self.engine(*overview, now),
            Update::Gone(engine) => self.gone(&engine),
            Update::Event(pid, event) => self.event(pid, *event, now),
            Update::Missed(pid, missed) => self.missed(pid, missed, now),
            Update::Runs(heads) => self.heads(heads),
            Update::Done(done) => self.done(done),
        }
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
