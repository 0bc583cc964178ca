//! The handle that the rest of a program holds.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::thread::{self, JoinHandle, ThreadId};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::batch::Batch;
use crate::error::{CommitError, During, LeafUnavailable, LedgerFailed, OpenError, StorageError};
use crate::folder::Folder;
use crate::key::Identity;
use crate::leaves::Leaves;
use crate::seal::Sealer;
use crate::store::{Meta, Store};
use crate::writer::{Committed, Pending, Request, Shared, Status, Writer};

/// Where a ledger is, and how much may wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder: mode 0700, files 0600.
    pub folder: PathBuf,
    /// How many changes may wait; one more is [`CommitError::Overloaded`]. 0 counts as 1.
    pub queue_capacity: usize,
    /// How many changes are committed together at most. 0 counts as 1.
    pub batch_limit: usize,
}

impl Options {
    /// The queue's capacity of [`Options::new`].
    pub const QUEUE_CAPACITY: usize = 1024;
    /// The limit of a batch of [`Options::new`].
    pub const BATCH_LIMIT: usize = 64;

    /// This folder, with the defaults.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            queue_capacity: Options::QUEUE_CAPACITY,
            batch_limit: Options::BATCH_LIMIT,
        }
    }
}

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
    /// Makes a new, empty vault and opens it. The folder is made if there is none.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyExists`] if there is one in the folder, whatever its state; others as with
    /// [`Ledger::open`]. A creation that was interrupted leaves nothing that has to be cleaned up.
    pub fn create(options: Options, identity: Identity) -> Result<Ledger, OpenError> {
        let folder = Folder::create(&options.folder)?;
        let meta = Meta {
            vault_id: identity.vault_id.clone(),
            keyring_fingerprint: identity.keyring_fingerprint,
        };
        Store::create(&folder, &meta)?;
        let parts = Parts::open(folder, identity)?;
        Ok(Ledger::start(parts, &options)?)
    }

    /// Opens the folder's vault.
    ///
    /// # Errors
    ///
    /// [`OpenError`], and nothing was changed: another process has it open, there is none, it belongs
    /// to another vault or keyring, is of a newer version, was tampered with, or the disk failed.
    pub fn open(options: Options, identity: Identity) -> Result<Ledger, OpenError> {
        let parts = Parts::open(Folder::open(&options.folder)?, identity)?;
        Ok(Ledger::start(parts, &options)?)
    }

    /// Runs `change` on the writer's thread, in its turn, and answers when it is on the disk.
    ///
    /// Taken or refused when the future is first polled. From then on the change happens even if the
    /// future is dropped. It has to be quick, and must not wait for another change of this ledger:
    /// everyone waits behind it. A change that panics stops the ledger.
    ///
    /// A refusal that counts (such as a wrong guess) is a value and belongs into `T`: `Err` leaves
    /// nothing of the change behind.
    ///
    /// # Errors
    ///
    /// [`CommitError::Overloaded`] at once if the queue is full; [`CommitError::Unavailable`] if the
    /// change returned [`LeafUnavailable`] or would overwrite a leaf that cannot be opened;
    /// [`CommitError::Stopped`] if nothing can be said.
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
    ///
    /// # Errors
    ///
    /// As [`Ledger::commit`].
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

    pub(crate) fn start(parts: Parts, options: &Options) -> Result<Ledger, StorageError> {
        let Parts {
            leaves,
            folder,
            unavailable,
        } = parts;
        let (sender, queue) = mpsc::channel(options.queue_capacity.max(1));
        let shared = Arc::new(Shared {
            status: watch::Sender::new(Status::Running),
            unavailable,
        });
        let writer = Writer {
            queue,
            batch_limit: options.batch_limit.max(1),
            shared: Arc::clone(&shared),
            leaves,
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

/// A vault that was opened and found in order, before anything runs.
pub(crate) struct Parts {
    pub(crate) leaves: Leaves,
    folder: Folder,
    unavailable: Arc<AtomicU64>,
}

impl Parts {
    pub(crate) fn open(folder: Folder, identity: Identity) -> Result<Parts, OpenError> {
        let store = Store::open(&folder)?;
        refuse_other(&store.meta()?, &identity)?;
        let unavailable = Arc::new(AtomicU64::new(0));
        let sealer = Sealer::new(identity.vault_id, identity.master_key);
        Ok(Parts {
            leaves: Leaves::new(store, sealer, Arc::clone(&unavailable)),
            folder,
            unavailable,
        })
    }
}

fn refuse_other(found: &Meta, identity: &Identity) -> Result<(), OpenError> {
    if found.vault_id != identity.vault_id {
        return Err(OpenError::OtherVault {
            found: found.vault_id.clone(),
            expected: identity.vault_id.clone(),
        });
    }
    if found.keyring_fingerprint != identity.keyring_fingerprint {
        return Err(OpenError::OtherKeyring);
    }
    Ok(())
}

/// What these locks protect is replaced as a whole, so a panic leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
