//! Threads that own a connection and work off a queue.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, ReadError};
use super::place::Place;
use crate::StoreError;

/// Requests that wait before senders do.
const QUEUE: usize = 256;
/// Requests that share a transaction, so that the first of them does not wait for ever longer ones.
const BATCH: usize = 64;
/// Longest wait for requests that are likely to come: less than a flush takes on most disks.
const GATHER: Duration = Duration::from_micros(100);

/// A thread with a connection. Dropping it finishes what is queued and joins the thread.
pub(crate) struct Worker {
    // Both are there until the drop.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs its jobs in transactions and answers when they are on disk.
    pub(super) fn writer(connection: Connection, place: Place) -> io::Result<Self> {
        Self::spawn("fusebox-state-write", move |jobs| {
            write(&connection, &place, jobs);
        })
    }

    /// Runs its jobs one by one.
    pub(crate) fn reader(connection: Connection) -> io::Result<Self> {
        Self::spawn("fusebox-state-read", move |mut jobs| {
            while let Some(mut job) = jobs.blocking_recv() {
                job.run(&connection);
                job.answer(Ok(()));
            }
        })
    }

    fn spawn(
        name: &str,
        work: impl FnOnce(mpsc::Receiver<Box<dyn Job>>) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(queue))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs `work` on the thread and waits for its answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let gone = |may_have_applied| StoreError::Unavailable {
            op,
            cause: "the store's thread ended; open the store again".into(),
            may_have_applied,
        };
        let job = Task {
            op,
            work: Some(work),
            answer: None,
            reply,
        };
        self.queue()
            .send(Box::new(job))
            .await
            .map_err(|_| gone(false))?;
        answer.await.map_err(|_| gone(true))?
    }

    /// Has `work` run if there is room in the queue. Nobody learns what came of it.
    pub(crate) fn post(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> Result<(), ReadError> + Send + 'static,
    ) {
        let (reply, _) = oneshot::channel();
        let job = Posted(Task {
            op,
            work: Some(work),
            answer: None,
            reply,
        });
        // A full queue means there is more urgent work.
        let _ = self.queue().try_send(Box::new(job));
    }

    fn queue(&self) -> &mpsc::Sender<Box<dyn Job>> {
        self.jobs
            .as_ref()
            .expect("the queue is open until the drop")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its thread and answered to those who waited.
            let _ = thread.join();
        }
    }
}

/// A request that a worker runs and, once its fate is known, answers.
trait Job: Send {
    fn is_wanted(&self) -> bool;
    fn run(&mut self, connection: &Connection);
    fn failed(&self) -> bool;
    fn answer(self: Box<Self>, fate: Result<(), Fault>);
}

struct Task<T, W> {
    op: &'static str,
    work: Option<W>,
    answer: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, ReadError> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) {
        let work = self.work.take().expect("a job runs once");
        self.answer = Some(work(connection).map_err(|error| match error {
            ReadError::Store(error) => error,
            ReadError::Sqlite(error) => Fault::before_commit(&error).into_error(self.op),
        }));
    }

    fn failed(&self) -> bool {
        matches!(self.answer, Some(Err(_)))
    }

    fn answer(self: Box<Self>, fate: Result<(), Fault>) {
        let answer = match (self.answer, fate) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(fault)) => Err(fault.into_error(self.op)),
            (Some(answer), Ok(())) => answer,
            // Only a job nobody waits for is passed over in a transaction that succeeds.
            (None, Ok(())) => return,
        };
        // The caller may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

/// A task that runs although nobody waits for it.
struct Posted<J>(J);

impl<J: Job> Job for Posted<J> {
    fn is_wanted(&self) -> bool {
        true
    }

    fn run(&mut self, connection: &Connection) {
        self.0.run(connection);
    }

    fn failed(&self) -> bool {
        self.0.failed()
    }

    fn answer(self: Box<Self>, _: Result<(), Fault>) {}
}

fn write(connection: &Connection, place: &Place, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut expected = 1;
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        gather(&mut jobs, &mut batch, expected);
        expected = batch.len();
        let fate = match place.is_kept() {
            true => transact(connection, &mut batch),
            false => Err(Fault::gone()),
        };
        if !connection.is_autocommit() {
            // If even this fails, the next BEGIN does and says why.
            let _ = connection.execute_batch("ROLLBACK");
        }
        // Those that came while this one was under way and those that are answered now will be there
        // together.
        expected = (expected + jobs.len()).min(BATCH);
        for job in batch {
            job.answer(fate.clone());
        }
    }
}

/// Takes what waits. If more are `expected`, gives them a moment: writers that were just answered
/// are about to send their next request, and without them the flush would be for those few alone.
fn gather(jobs: &mut mpsc::Receiver<Box<dyn Job>>, batch: &mut Vec<Box<dyn Job>>, expected: usize) {
    let began = Instant::now();
    while batch.len() < BATCH {
        match jobs.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) if batch.len() >= expected || began.elapsed() >= GATHER => return,
            Err(_) => thread::yield_now(),
        }
    }
}

/// All of `batch` in one transaction, each job in a savepoint of its own.
fn transact(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), Fault> {
    let step = |sql: &str| run(connection, sql).map_err(|error| Fault::before_commit(&error));
    step("BEGIN IMMEDIATE")?;
    for job in batch.iter_mut().filter(|job| job.is_wanted()) {
        step("SAVEPOINT job")?;
        job.run(connection);
        // SQLite gives up the whole transaction on some errors, a full disk for one. What comes
        // after would be written outside of it.
        if connection.is_autocommit() {
            return Err(Fault::lost_transaction());
        }
        if job.failed() {
            step("ROLLBACK TO job")?;
        }
        step("RELEASE job")?;
    }
    run(connection, "COMMIT").map_err(|error| Fault::at_commit(&error))
}

/// Runs a statement that is needed for every batch.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
