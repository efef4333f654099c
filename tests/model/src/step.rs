//! What each action does: the protocol itself.

use crate::action::{Action, Fate};
use crate::conduct::{Delivery, Loads};
use crate::history::History;
use crate::milestone::{Milestone, Milestones};
use crate::owner::{Loaded, Owner, Seat, Trust};
use crate::rules::{Epochs, Rules};
use crate::store::{Commit, CommitAnswer, Restore, Server};
use crate::system::{Bounds, Letter, Request, Side, System};

/// One action, applied to a state of its own.
pub(crate) struct Step<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) bounds: &'a Bounds,
    pub(crate) milestones: &'a Milestones,
    pub(crate) system: System,
}

impl Step<'_> {
    /// The state after `action`; `None` if nothing changes.
    pub(crate) fn take(mut self, action: Action) -> Option<System> {
        match action {
            Action::Replicate => self.system.replica = self.system.primary,
            Action::FailOver => self.fail_over(),
            Action::Split(owner) => self.split(owner),
            Action::Heal => self.heal(),
            Action::Empty => self.empty(),
            Action::Delete => self.delete(),
            Action::Vanish => self.vanish(),
            Action::Arrive => self.arrive(),
            Action::WriteUnleased => self.write_unleased(),
            Action::Acquire(owner, fate) => self.acquire(owner, fate),
            Action::Load(owner) => self.load(owner)?,
            Action::Commit(owner, fate) => self.commit(owner, fate),
            Action::Forget(owner) => self.seat(owner).unanswered = None,
            Action::Journal(owner) => self.journal(owner),
            Action::Replay(owner, fate) => self.replay(owner, fate),
            Action::Look(owner) => self.look(owner)?,
            Action::Restore(owner, fate) => self.restore(owner, fate),
            Action::Fork(owner, fate) => self.fork(owner, fate),
            Action::Restart(owner) => self.restart(owner)?,
        }
        self.system.owners.sort_unstable();
        // States that differ only in a replica that nobody will look at are one state.
        if !self.bounds.leave_a_promotion(&self.system.spent) {
            self.system.replica = Server::default();
        }
        Some(self.system)
    }

    fn fail_over(&mut self) {
        self.system.spent.failovers += 1;
        self.promote();
        self.lose_letter_to(Side::Primary);
    }

    fn split(&mut self, owner: usize) {
        self.system.spent.splits += 1;
        self.system.old_primary = Some(self.system.primary);
        self.system.owners[owner].cut_off = true;
        if let Some(letter) = &mut self.system.late {
            letter.to = Side::OldPrimary;
        }
        self.promote();
    }

    fn promote(&mut self) {
        let system = &mut self.system;
        system.replica.behind = self.rules.epochs == Epochs::SkewedClock;
        system.primary = system.replica;
    }

    fn heal(&mut self) {
        self.system.old_primary = None;
        for owner in &mut self.system.owners {
            owner.cut_off = false;
        }
        self.lose_letter_to(Side::OldPrimary);
    }

    fn lose_letter_to(&mut self, side: Side) {
        self.system.late.take_if(|letter| letter.to == side);
    }

    fn empty(&mut self) {
        self.system.spent.emptied += 1;
        self.system.primary = Server {
            identity: self.system.spent.emptied,
            behind: self.system.primary.behind,
            ..Server::default()
        };
    }

    fn delete(&mut self) {
        self.system.spent.deletes += 1;
        self.system.primary.delete();
    }

    fn vanish(&mut self) {
        if let Some(partition) = &mut self.system.primary.partition {
            partition.lease = None;
        }
    }

    fn arrive(&mut self) {
        let Some(Letter { to, request }) = self.system.late.take() else {
            return;
        };
        match request {
            Request::Commit(commit) => {
                self.apply_commit(to, &commit);
            }
            Request::Restore(restore) => {
                self.apply_restore(to, &restore);
            }
        }
    }

    fn write_unleased(&mut self) {
        self.system.spent.unleased += 1;
        self.system.spent.writes += 1;
        let write = self.system.spent.writes;
        if self.system.primary.write_unleased(write) {
            self.system.ledger.acknowledges_unleased(write);
        }
    }

    /// An acquisition without an answer leaves a lease that nobody holds.
    fn acquire(&mut self, owner: usize, fate: Fate) {
        self.spend(fate);
        self.system.spent.acquisitions += 1;
        let token = self.system.spent.acquisitions;
        let server = self.system.reached(owner);
        let acquired = server.acquire(self.rules, token);
        let identity = server.identity;
        if fate == Fate::Answered {
            self.system.owners[owner].seat = Some(Seat::new(&self.rules.owner, acquired, identity));
        }
    }

    /// Reads the partition, after acquiring it or because there is more under the lease than the
    /// owner knows of.
    fn load(&mut self, owner: usize) -> Option<()> {
        let seat = *self.seat(owner);
        let server = *self.system.reached(owner);
        let own = server.is_led_by(self.rules, seat.fence);
        let more = server.history().revision() > seat.mirror.revision();
        let again = own && more && seat.trust == Trust::Sound && !seat.is_behind();
        let loaded = match (seat.loaded, own) {
            (Loaded::No, false) if self.rules.owner.loads == Loads::AfterLease => {
                Loaded::UnderAnother
            }
            (Loaded::No, _) => Loaded::UnderOwnLease,
            (Loaded::UnderOwnLease, _) if again => Loaded::UnderOwnLease,
            (Loaded::UnderOwnLease | Loaded::UnderAnother, _) => return None,
        };
        let seat = self.seat(owner);
        seat.loaded = loaded;
        seat.mirror = server.history();
        Some(())
    }

    fn commit(&mut self, owner: usize, fate: Fate) {
        let Some(write) = self.next_write(owner) else {
            return;
        };
        let repeated = self.seat(owner).unanswered.is_some();
        self.seat(owner).unanswered = Some(write);
        let conduct = &self.rules.owner;
        let mut commit = self.seat(owner).commit(conduct, write);
        if repeated && !self.rules.write_ids {
            // Without a name for the write there is only this: read again, write again.
            commit.expected = Some(self.system.reached(owner).history().revision());
        }
        self.send_commit(owner, &commit, fate);
    }

    fn replay(&mut self, owner: usize, fate: Fate) {
        let conduct = &self.rules.owner;
        if let Some(commit) = self.seat(owner).replay(conduct) {
            self.send_commit(owner, &commit, fate);
        }
    }

    fn send_commit(&mut self, owner: usize, commit: &Commit, fate: Fate) {
        self.spend(fate);
        let side = self.system.side(owner);
        if fate == Fate::Late {
            return self.delay(side, Request::Commit(*commit));
        }
        let answer = self.apply_commit(side, commit);
        if fate == Fate::Answered {
            self.hear(owner, commit, answer);
        }
    }

    fn hear(&mut self, owner: usize, commit: &Commit, answer: CommitAnswer) {
        let reads_again = self.rules.owner.loads != Loads::WithLease;
        let seat = self.seat(owner);
        let replayed = seat.is_behind();
        let revision = match answer {
            CommitAnswer::Applied(revision) | CommitAnswer::Duplicate(revision) => revision,
            // Without a mirror there is nothing to restore: its caller is told.
            CommitAnswer::Conflict(_) | CommitAnswer::Stale
                if seat.loaded == Loaded::UnderAnother =>
            {
                self.system.owners[owner].seat = None;
                return;
            }
            // An own write whose answer was lost: it reads again.
            CommitAnswer::Conflict(found) if reads_again && found > seat.mirror.revision() => {
                return;
            }
            // Rolled back, or another owner: looking again and the restore tell which.
            CommitAnswer::Conflict(_) | CommitAnswer::Stale => {
                seat.trust = Trust::Suspicious;
                return;
            }
        };
        seat.acknowledged(commit.write, revision);
        let journal = seat.journal;
        if seat.restarted && !seat.is_behind() {
            // The journal is settled. This process acquires anew before it writes anything else.
            self.system.owners[owner].seat = None;
        }
        let stored = self.system.reached(owner).history();
        let token = commit.fence.token;
        let ledger = &mut self.system.ledger;
        ledger.acknowledges(token, commit.write, revision, &stored, &journal);
        if matches!(answer, CommitAnswer::Duplicate(_)) {
            self.milestones.reach(Milestone::Duplicate);
        }
        if replayed {
            self.milestones.reach(Milestone::Replayed);
        }
    }

    fn journal(&mut self, owner: usize) {
        let Some(write) = self.next_write(owner) else {
            return;
        };
        self.system.spent.local += 1;
        let seat = self.seat(owner);
        seat.unanswered = None;
        // That it cannot reach the store makes it forget what it saw there, unless it remembers.
        seat.trust = Trust::Sound;
        if !seat.mirror.contains(write) {
            seat.journal.push(write);
        }
        let token = seat.fence.token;
        self.system.ledger.journals(token, write);
    }

    fn look(&mut self, owner: usize) -> Option<()> {
        let Seat { fence, mirror, .. } = *self.seat(owner);
        let server = self.system.reached(owner);
        server
            .is_rolled_back(self.rules, fence, &mirror)
            .then_some(())?;
        self.seat(owner).trust = Trust::Suspicious;
        Some(())
    }

    fn restore(&mut self, owner: usize, fate: Fate) {
        let conduct = &self.rules.owner;
        if !self.seat(owner).is_mirrored(conduct) {
            // It has nothing to restore.
            self.seat(owner).trust = Trust::Refused;
            return;
        }
        self.spend(fate);
        let side = self.system.side(owner);
        let found = self.system.reached(owner).identity;
        let restore = self.seat(owner).restore(conduct, found);
        if fate != Fate::Answered && !conduct.remembers_difference {
            self.seat(owner).trust = Trust::Sound;
        }
        if fate == Fate::Late {
            return self.delay(side, Request::Restore(restore));
        }
        match (self.apply_restore(side, &restore), fate) {
            (_, Fate::AnswerLost | Fate::Late) => {}
            (false, Fate::Answered) => self.seat(owner).trust = Trust::Refused,
            (true, Fate::Answered) => {
                let seat = self.seat(owner);
                seat.trust = Trust::Sound;
                seat.known = found;
                self.milestones.reach(Milestone::Restored);
                if conduct.delivery == Delivery::Whole {
                    self.delivered(owner, &restore);
                }
            }
        }
    }

    /// The store says that it has all that `restore` brought, the writes of the journal included.
    fn delivered(&mut self, owner: usize, restore: &Restore) {
        let stored = self.system.reached(owner).history();
        let seat = self.seat(owner);
        let journal = std::mem::take(&mut seat.journal);
        seat.mirror = restore.mirror;
        let token = restore.fence.token;
        for write in journal.writes() {
            let revision = restore.mirror.revision_of(*write);
            let revision = revision.expect("a whole delivery has the journal in it");
            let ledger = &mut self.system.ledger;
            ledger.acknowledges(token, *write, revision, &stored, &History::default());
            self.milestones.reach(Milestone::Replayed);
        }
    }

    /// Keeps apart what was acknowledged, reports it, and gives the lease up. A restore that
    /// arrived late may have made the lease current again: then there is nothing to give up.
    fn fork(&mut self, owner: usize, fate: Fate) {
        self.spend(fate);
        let fence = self.seat(owner).fence;
        let forked = self.system.reached(owner).fork(self.rules, fence);
        if fate != Fate::Answered {
            if !self.rules.owner.remembers_difference {
                self.seat(owner).trust = Trust::Sound;
            }
            return;
        }
        if !forked {
            self.seat(owner).trust = Trust::Suspicious;
            return;
        }
        self.system.owners[owner].seat = None;
        self.system.ledger.forks(fence.token);
        self.milestones.reach(Milestone::Forked);
    }

    fn restart(&mut self, owner: usize) -> Option<()> {
        let Owner { seat, .. } = &mut self.system.owners[owner];
        match seat {
            Some(journaled) if journaled.is_behind() => {
                if journaled.restarted {
                    return None;
                }
                journaled.restarted = true;
                journaled.unanswered = None;
            }
            _ => *seat = None,
        }
        Some(())
    }

    fn apply_commit(&mut self, side: Side, commit: &Commit) -> CommitAnswer {
        let before = *self.server(side);
        let mut after = before;
        let answer = after.commit(self.rules, commit);
        *self.server(side) = after;
        if matches!(answer, CommitAnswer::Applied(_)) {
            self.system.ledger.commits(&before, commit, side);
        }
        answer
    }

    fn apply_restore(&mut self, side: Side, restore: &Restore) -> bool {
        let before = *self.server(side);
        let mut after = before;
        let accepted = after.restore(self.rules, restore);
        *self.server(side) = after;
        if accepted && after != before {
            self.system.ledger.restores(&before, restore, side);
        }
        accepted
    }

    fn delay(&mut self, to: Side, request: Request) {
        self.system.late = Some(Letter { to, request });
    }

    fn spend(&mut self, fate: Fate) {
        match fate {
            Fate::Answered => {}
            Fate::AnswerLost => self.system.spent.lost_answers += 1,
            Fate::Late => self.system.spent.delays += 1,
        }
    }

    /// The write without an answer, or else a new one.
    fn next_write(&mut self, owner: usize) -> Option<u8> {
        let seat = self.system.owners[owner].seat.as_ref()?;
        Some(seat.unanswered.unwrap_or_else(|| {
            self.system.spent.writes += 1;
            self.system.spent.writes
        }))
    }

    fn server(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Primary => &mut self.system.primary,
            Side::OldPrimary => self
                .system
                .old_primary
                .as_mut()
                .expect("nothing is sent to an old primary that is gone"),
        }
    }

    fn seat(&mut self, owner: usize) -> &mut Seat {
        self.system.owners[owner]
            .seat
            .as_mut()
            .expect("only an owner with a seat does this")
    }
}
