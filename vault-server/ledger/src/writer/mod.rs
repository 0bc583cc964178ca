//! The writer: the one thread that owns the database.

pub(crate) mod batch;
mod committed;
pub(crate) mod draft;
pub(crate) mod leaves;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, watch};

use self::batch::Batch;
pub use self::committed::Committed;
use self::draft::Draft;
use self::leaves::Leaves;
use crate::engine::commit::Durable;
use crate::error::{CommitError, LeafUnavailable, StorageError};
use crate::store::Folder;

/// The state of the writer that its handles see.
pub(crate) struct Shared {
    pub(crate) status: watch::Sender<Status>,
    pub(crate) unavailable: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Closed,
    Failed,
}

/// A change on its way. Dropping one without answering tells its requester that the ledger stopped.
pub(crate) trait Request: Send {
    /// Runs the change and keeps its result back. `Err`: nothing that it did shall be stored.
    fn run(&mut self, leaves: &mut Leaves, earlier: &Draft) -> Result<Draft, LeafUnavailable>;

    /// Lets the result go.
    fn answer(self: Box<Self>, proof: &Durable);
}

/// A change with its result, when it has run, and the function that answers its requester.
pub(crate) struct Pending<T, F, A> {
    change: Option<F>,
    outcome: Result<T, LeafUnavailable>,
    answer: A,
}

impl<T, F, A> Pending<T, F, A> {
    pub(crate) fn new(change: F, answer: A) -> Pending<T, F, A> {
        Pending {
            change: Some(change),
            outcome: Err(LeafUnavailable),
            answer,
        }
    }
}

impl<T, F, A> Request for Pending<T, F, A>
where
    T: Send,
    F: FnOnce(&mut Batch<'_>) -> Result<T, LeafUnavailable> + Send,
    A: FnOnce(Result<Committed<T>, CommitError>) + Send,
{
    fn run(&mut self, leaves: &mut Leaves, earlier: &Draft) -> Result<Draft, LeafUnavailable> {
        let change = self.change.take().expect("a change runs once");
        let mut batch = Batch::new(leaves, earlier);
        let result = change(&mut batch)?;
        let draft = batch.into_draft()?;
        self.outcome = Ok(result);
        Ok(draft)
    }

    fn answer(self: Box<Self>, proof: &Durable) {
        let outcome = self
            .outcome
            .map(|result| Committed::new(result, proof))
            .map_err(|LeafUnavailable| CommitError::Unavailable);
        (self.answer)(outcome);
    }
}

/// Everything the writer's thread owns. The folder's lock comes last: it is released when the
/// database is closed.
pub(crate) struct Writer {
    pub(crate) queue: mpsc::Receiver<Box<dyn Request>>,
    pub(crate) batch_limit: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) leaves: Leaves,
    pub(crate) folder: Folder,
}

impl Writer {
    /// Serves the queue until every sender is gone or storage fails.
    pub(crate) fn run(mut self) {
        let mut requests = Vec::with_capacity(self.batch_limit);
        while self.take_waiting(&mut requests) {
            // A panic means that a change, or this crate, is wrong: as with a disk that is wrong,
            // no state can be relied on, so nothing is answered.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(&mut requests)));
            let panicked = |_| Err(StorageError::new("running a change", "it panicked"));
            if let Err(error) = turn.unwrap_or_else(panicked) {
                // Before `requests` is dropped, so that no requester is told of a stop that
                // `is_healthy` does not know of.
                stop(&self.shared, &error);
                return;
            }
        }
        self.close();
    }

    /// Waits for a change, and takes those that came with it.
    fn take_waiting(&mut self, requests: &mut Vec<Box<dyn Request>>) -> bool {
        let Some(first) = self.queue.blocking_recv() else {
            return false;
        };
        requests.push(first);
        while requests.len() < self.batch_limit
            && let Ok(request) = self.queue.try_recv()
        {
            requests.push(request);
        }
        true
    }

    /// One batch: run, commit, and only then answer.
    fn turn(&mut self, requests: &mut Vec<Box<dyn Request>>) -> Result<(), StorageError> {
        let mut batch = Draft::default();
        self.leaves.begin();
        for request in requests.iter_mut() {
            if let Ok(draft) = request.run(&mut self.leaves, &batch) {
                batch.absorb(draft);
            }
            self.leaves.check()?;
        }
        let proof = self.leaves.commit(batch)?;
        for request in requests.drain(..) {
            request.answer(&proof);
        }
        self.leaves.maintain()
    }

    fn close(self) {
        match self.leaves.close() {
            Ok(()) => drop(self.shared.status.send_replace(Status::Closed)),
            Err(error) => stop(&self.shared, &error),
        }
        drop(self.folder);
    }
}

fn stop(shared: &Shared, error: &StorageError) {
    // First: writing a log line may wait for its reader.
    shared.status.send_replace(Status::Failed);
    let reason = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%reason, "{error}; the ledger has stopped");
    if error.is_damage {
        tracing::error!(
            "a page of ledger.db is damaged; `vault-server serve --accept-damage` copies the readable \
             part into a new file, and goes on with that"
        );
    }
}
