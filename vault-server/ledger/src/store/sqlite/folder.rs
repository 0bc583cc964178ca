//! The data folder: its owner alone may read it, and one process at a time has it open.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{During, OpenError, StorageError};
use crate::files::{
    FOLDER_MODE, Locked, exists, make_file, make_folder, refuse_exposed_file, refuse_others,
    sync_folder,
};

const DATABASE: &str = "ledger.db";
const WAL: &str = "ledger.db-wal";
/// SQLite would roll this back into the database, and remove the file that it names. A database with a
/// WAL never has one.
const JOURNAL: &str = "ledger.db-journal";
/// A database in the making, and the files that SQLite puts beside it. It gets its name when it is
/// complete.
const UNFINISHED: &str = "ledger.db.new";
const BESIDE_UNFINISHED: [&str; 2] = ["ledger.db.new-journal", "ledger.db.new-wal"];
const LOCK: &str = "ledger.lock";

/// A data folder that this process alone has open, for as long as this value lives.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: Locked,
}

impl Folder {
    /// Makes the folder if there is none and locks it. Refuses one that holds a database.
    pub(crate) fn create(path: &Path) -> Result<Folder, OpenError> {
        make_folder(path).during("making the data folder")?;
        let folder = Folder::lock(path)?;
        // Under the lock, so that two creations at once cannot both find nothing.
        Folder::refuse_existing(&folder.path)?;
        // SQLite would take either for the new database's.
        folder.refuse_if_there(JOURNAL)?;
        folder.refuse_if_there(WAL)?;
        Ok(folder)
    }

    /// Refuses a folder that holds a database, without a trace in one that holds none.
    pub(crate) fn refuse_existing(path: &Path) -> Result<(), OpenError> {
        if exists(&path.join(DATABASE))? {
            return Err(OpenError::AlreadyExists(
                path.canonicalize().during("finding the data folder")?,
            ));
        }
        Ok(())
    }

    /// Locks a folder that holds a database.
    pub(crate) fn open(path: &Path) -> Result<Folder, OpenError> {
        // Before the lock, so that a mistyped folder is not given a lock file.
        if !exists(&path.join(DATABASE))? {
            return Err(OpenError::NotFound(path.to_owned()));
        }
        let folder = Folder::lock(path)?;
        for name in [DATABASE, WAL] {
            refuse_exposed_file(&folder.path.join(name))?;
        }
        folder.refuse_if_there(JOURNAL)?;
        Ok(folder)
    }

    fn lock(path: &Path) -> Result<Folder, OpenError> {
        // SQLite refuses symbolic links in its path (`SQLITE_OPEN_NOFOLLOW`). The folder's own path is
        // the operator's and may have some; names inside may not.
        let path = path.canonicalize().during("finding the data folder")?;
        let metadata = fs::metadata(&path).during("reading the data folder's mode")?;
        if !metadata.is_dir() {
            return Err(OpenError::WrongKind(path));
        }
        refuse_others(&path, &metadata, FOLDER_MODE)?;
        let lock = open_lock(&path.join(LOCK))?;
        match Locked::new(lock).during("locking the data folder")? {
            Some(lock) => Ok(Folder { path, _lock: lock }),
            None => Err(OpenError::Locked(path)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.path.join(WAL)
    }

    /// An empty file for a database in the making.
    pub(super) fn unfinished(&self) -> Result<PathBuf, StorageError> {
        self.remove_unfinished()?;
        let path = self.path.join(UNFINISHED);
        make_file(&path).during("making the database's file")?;
        Ok(path)
    }

    /// Removes the files of an interrupted creation or rebuild.
    pub(super) fn remove_unfinished(&self) -> Result<(), StorageError> {
        for name in [UNFINISHED].iter().chain(&BESIDE_UNFINISHED) {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).during("removing an unfinished database");
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Removes the WAL, durably. Its content has to be in the database.
    pub(super) fn remove_wal(&self) -> Result<(), StorageError> {
        fs::remove_file(self.wal()).during("removing the WAL")?;
        self.sync()
    }

    /// Gives a complete database its name, durably.
    pub(super) fn finish(&self, unfinished: &Path) -> Result<(), StorageError> {
        fs::rename(unfinished, self.database()).during("naming the database")?;
        self.sync()
    }

    fn refuse_if_there(&self, name: &str) -> Result<(), OpenError> {
        let path = self.path.join(name);
        match exists(&path)? {
            true => Err(OpenError::NotOurs(path)),
            false => Ok(()),
        }
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        sync_folder(&self.path).during("syncing the data folder")
    }
}

fn open_lock(path: &Path) -> Result<File, OpenError> {
    match make_file(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return Ok(made.during("making the lock file")?),
    }
    refuse_exposed_file(path)?;
    let opened = OpenOptions::new().write(true).open(path);
    Ok(opened.during("opening the lock file")?)
}
