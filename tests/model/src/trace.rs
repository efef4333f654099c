//! A counterexample for people to read.

use std::fmt::Write as _;

use stateright::Path;

use crate::action::{Action, Fate};
use crate::store::Server;
use crate::system::System;

/// One line per step: what happened, and the servers after it.
pub(crate) fn describe(path: Path<System, Action>) -> String {
    let steps = path.into_vec();
    let mut text = String::new();
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else {
            continue;
        };
        let what = happened(before, *action);
        let _ = write!(text, "  {what:<58} primary {}", contents(&after.primary));
        if let Some(old) = &after.old_primary {
            let _ = write!(text, ", old primary {}", contents(old));
        }
        text.push('\n');
    }
    text
}

fn happened(before: &System, action: Action) -> String {
    let who = |owner: usize| match &before.owners[owner].seat {
        Some(seat) => format!("the owner under {:?}", seat.fence),
        None => "a newcomer".to_owned(),
    };
    match action {
        Action::Replicate => "the replica catches up".to_owned(),
        Action::FailOver => "the replica is promoted".to_owned(),
        Action::Split(owner) => format!("the replica is promoted, not for {}", who(owner)),
        Action::Heal => "the old primary drops what it has".to_owned(),
        Action::Empty => "the primary is emptied".to_owned(),
        Action::Delete => "an operator deletes the partition".to_owned(),
        Action::Vanish => "the lease's key expires".to_owned(),
        Action::Arrive => "the late request arrives".to_owned(),
        Action::WriteUnleased => "somebody without a lease writes".to_owned(),
        Action::Acquire(owner, fate) => format!("{} acquires{}", who(owner), ends(fate)),
        Action::Load(owner) => format!("{} reads", who(owner)),
        Action::Commit(owner, fate) => format!("{} writes{}", who(owner), ends(fate)),
        Action::Forget(owner) => format!("{} waits no longer", who(owner)),
        Action::Journal(owner) => format!("{} writes to its journal", who(owner)),
        Action::Replay(owner, fate) => format!("{} replays{}", who(owner), ends(fate)),
        Action::Look(owner) => format!("{} finds a difference", who(owner)),
        Action::Restore(owner, fate) => format!("{} restores{}", who(owner), ends(fate)),
        Action::Fork(owner, fate) => format!("{} forks{}", who(owner), ends(fate)),
        Action::Restart(owner) => format!("{} is restarted", who(owner)),
    }
}

const fn ends(fate: Fate) -> &'static str {
    match fate {
        Fate::Answered => "",
        Fate::AnswerLost => ", the answer is lost",
        Fate::Late => ", the request is late",
    }
}

fn contents(server: &Server) -> String {
    match &server.partition {
        None => "has nothing".to_owned(),
        Some(partition) => match partition.lease {
            Some(lease) => format!("{lease:?} {:?}", partition.history),
            None => format!("no lease {:?}", partition.history),
        },
    }
}
