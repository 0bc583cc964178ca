//! The handle that the rest of a program holds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::thread::{self, JoinHandle, ThreadId};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::anchor::Locator;
use crate::engine::commit::Engine;
use crate::engine::open;
use crate::error::{CommitError, During, LeafUnavailable, LedgerFailed, OpenError, StorageError};
use crate::files::make_folder;
use crate::key::VaultIdentity;
use crate::options::{Options, Removed};
use crate::store::Folder;
use crate::writer::batch::Batch;
use crate::writer::leaves::Leaves;
use crate::writer::{Committed, Pending, Request, Shared, Status, Writer};

/// An open vault's state. Cheap to clone; dropping the last clone closes it, as [`Ledger::close`] does.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Request>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    writer_id: ThreadId,
    shared: Arc<Shared>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger(..)")
    }
}

impl Ledger {
    /// Makes a new, empty vault and opens it. Folders that are not there are made.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyExists`] if there is one in the folder, whatever its state;
    /// [`OpenError::AnchorExists`] if something is at an anchor's path; others as with
    /// [`Ledger::open`]. A creation that was interrupted leaves nothing that has to be cleaned up.
    pub fn create(options: Options, identity: VaultIdentity) -> Result<Ledger, OpenError> {
        let folder = Folder::create(&options.folder)?;
        open::create(&folder, &options, &identity)?;
        Ledger::open_locked(folder, &options, &identity)
    }

    /// Opens the folder's vault.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another process has it open, there is none, it belongs to another vault or
    /// keyring, is of another version, is not the latest one, its anchors are not those that are
    /// configured, it was tampered with, it is damaged, or the disk failed. Nothing that decides was
    /// changed.
    pub fn open(options: Options, identity: VaultIdentity) -> Result<Ledger, OpenError> {
        let folder = Folder::open(&options.folder)?;
        Ledger::open_locked(folder, &options, &identity)
    }

    /// Gives the vault one more anchor, at a path where there is none. `options` name the others.
    /// No process may have it open.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`] and [`Ledger::create`]. Interrupted, it was added or it was not; then
    /// [`Ledger::open`] says which.
    pub fn add_anchor(
        options: &Options,
        identity: &VaultIdentity,
        path: &Path,
    ) -> Result<(), OpenError> {
        let folder = Folder::open(&options.folder)?;
        let engine = open::open_adding(&folder, options, identity, &Locator::parse(path))?;
        Ok(engine.store.close()?)
    }

    /// Makes the vault go on without the anchors at these paths, there, sick, or lost, and erases
    /// those that are there. Says of each path, in their order, whether that was done. `options` name
    /// those that stay, at least one, and may name these too. No process may have it open.
    ///
    /// All that are lost have to be removed at once: the vault opens with none of them missing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`]; [`OpenError::AnchorUnknown`] if one is none of the vault's;
    /// [`OpenError::AnchorLocked`] if another process has one open; [`OpenError::AnchorTwice`] if two
    /// paths name one file. Interrupted, they were removed or they were not, all of them.
    pub fn remove_anchors(
        options: &Options,
        identity: &VaultIdentity,
        paths: &[PathBuf],
    ) -> Result<Vec<Removed>, OpenError> {
        let folder = Folder::open(&options.folder)?;
        let leaving: Vec<Locator> = paths.iter().map(Locator::parse).collect();
        let (engine, removed) = open::open_removing(&folder, options, identity, &leaving)?;
        engine.store.close()?;
        Ok(removed)
    }

    /// Refuses a folder with a database, as [`Ledger::create`] does: before other files are made for it.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyExists`]; [`OpenError::Storage`] if the folder cannot be read.
    pub fn refuse_existing(folder: &Path) -> Result<(), OpenError> {
        Folder::refuse_existing(folder)
    }

    /// Makes the data folder, and those above it that are not there, as [`Ledger::create`] does: for
    /// files that have to be in it before.
    pub fn make_folder(path: &Path) -> Result<(), StorageError> {
        make_folder(path).during("making the data folder")
    }

    /// Runs `change` on the writer's thread, in its turn, and answers when it is on the disk.
    ///
    /// Taken or refused when the future is first polled. From then on the change happens even if the
    /// future is dropped. It has to be quick, and must not wait for another change of this ledger:
    /// all others wait behind it. A change that panics stops the ledger.
    ///
    /// A refusal that counts (such as a wrong guess) is a value and belongs into `T`: `Err` leaves
    /// nothing of the change behind.
    ///
    /// # Errors
    ///
    /// [`CommitError::Overloaded`] at once if the queue is full; [`CommitError::Unavailable`] if the
    /// change returned [`LeafUnavailable`] or would overwrite a leaf that cannot be opened;
    /// [`CommitError::Stopped`] if the outcome is unknown.
    pub async fn commit<T, F>(&self, change: F) -> Result<Committed<T>, CommitError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Result<T, LeafUnavailable> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(change, move |outcome| drop(answer.send(outcome)))?;
        answered.await.unwrap_or(Err(CommitError::Stopped))
    }

    /// As [`Ledger::commit`], for a command line without a runtime: blocks the thread.
    ///
    /// Inside a runtime it does not panic but holds up the runtime's thread. Inside a change it would
    /// wait for itself for ever.
    pub fn commit_blocking<T, F>(&self, change: F) -> Result<Committed<T>, CommitError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Result<T, LeafUnavailable> + Send + 'static,
    {
        let (answer, answered) = blocking::sync_channel(1);
        self.submit(change, move |outcome| drop(answer.send(outcome)))?;
        answered.recv().unwrap_or(Err(CommitError::Stopped))
    }

    /// Whether changes are taken: not closed, and storage has not failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        *self.inner.shared.status.borrow() == Status::Running
    }

    /// How many reads found something that cannot be opened, since the start.
    #[must_use]
    pub fn unavailable_reads(&self) -> u64 {
        self.inner.shared.unavailable.load(Ordering::Relaxed)
    }

    /// Resolves when a storage error, or a panic in a change, has stopped the ledger. The process
    /// shall then answer nothing more and exit non-zero. Never resolves after an orderly close.
    pub async fn failed(&self) {
        let mut status = self.inner.shared.status.subscribe();
        // An error means that the sender is gone, and `self` holds it.
        drop(status.wait_for(|status| *status == Status::Failed).await);
    }

    /// Takes no more changes, also from other handles; commits those that wait; closes the database
    /// and releases its lock. Blocks until that is done.
    ///
    /// # Errors
    ///
    /// [`LedgerFailed`] if a storage error came first, or the last write to the database failed.
    pub fn close(self) -> Result<(), LedgerFailed> {
        self.inner.stop();
        match *self.inner.shared.status.borrow() {
            Status::Running | Status::Closed => Ok(()),
            Status::Failed => Err(LedgerFailed),
        }
    }

    /// Puts a change into the queue. Dropped without a call, `answer` stands for "stopped".
    fn submit<T, F, A>(&self, change: F, answer: A) -> Result<(), CommitError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Result<T, LeafUnavailable> + Send + 'static,
        A: FnOnce(Result<Committed<T>, CommitError>) + Send + 'static,
    {
        let request = Box::new(Pending::new(change, answer));
        let queue = locked(&self.inner.queue);
        let queue = queue.as_ref().ok_or(CommitError::Stopped)?;
        queue.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => CommitError::Overloaded,
            TrySendError::Closed(_) => CommitError::Stopped,
        })
    }

    fn open_locked(
        folder: Folder,
        options: &Options,
        identity: &VaultIdentity,
    ) -> Result<Ledger, OpenError> {
        let engine = open::open(&folder, options, identity)?;
        Ok(Ledger::start(engine, folder, options)?)
    }

    pub(crate) fn start(
        engine: Engine,
        folder: Folder,
        options: &Options,
    ) -> Result<Ledger, StorageError> {
        let (sender, queue) = mpsc::channel(options.queue_capacity.max(1));
        let shared = Arc::new(Shared {
            status: watch::Sender::new(Status::Running),
            unavailable: Arc::default(),
        });
        let writer = Writer {
            queue,
            batch_limit: options.batch_limit.max(1),
            shared: Arc::clone(&shared),
            leaves: Leaves::new(engine, Arc::clone(&shared.unavailable)),
            folder,
        };
        let thread = thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || writer.run())
            .during("starting the writer's thread")?;
        Ok(Ledger {
            inner: Arc::new(Inner {
                queue: Mutex::new(Some(sender)),
                writer_id: thread.thread().id(),
                writer: Mutex::new(Some(thread)),
                shared,
            }),
        })
    }
}

impl Inner {
    fn stop(&self) {
        locked(&self.queue).take();
        // A change may hold the last handle; the writer cannot wait for itself.
        if thread::current().id() == self.writer_id {
            return;
        }
        // Held while waiting, so that a second closing waits as well.
        let mut writer = locked(&self.writer);
        if let Some(thread) = writer.take()
            && thread.join().is_err()
        {
            // Only a destructor that panicked gets past the writer's own guard.
            self.shared.status.send_replace(Status::Failed);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The values behind these locks are replaced as a whole, so a panic leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
