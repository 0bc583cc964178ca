//! What a device keeps: K, how K is protected, and the vault's connection, which may be there before
//! there is a K: what was learnt of the vault is worth keeping. One JSON file, readable
//! by its owner only: the command line's stand-in for a phone's secret store. Whoever can read the
//! file has K.
//!
//! The file is replaced as a whole (a temporary name, fsync, rename), so a killed run leaves the old
//! or the new one. A lock file beside it keeps two runs apart.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fmt};

use serde::{Deserialize, Serialize};
use vault_client::BackupKey;
use vault_client::protection::RegistrationRef;
use zeroize::Zeroizing;

use super::connection::Connection;

/// Names the state file, where `--state` is not given.
pub const STATE_VARIABLE: &str = "VAULT_CLIENT_STATE";

/// The version of the file's format.
const VERSION: u64 = 1;

/// Far more than a device has to keep, in bytes.
const MAX_LEN: usize = 64 * 1024;

/// K and what belongs to it.
pub struct Device {
    /// K.
    pub key: BackupKey,
    /// What protects it.
    pub protection: Protection,
    /// Where the vault is, once that is known.
    pub connection: Option<Connection>,
    /// Every place where a vault may have a record of K, as far as this device knows. One is added
    /// before a registration is sent there, and taken out when the vault has said that there is none.
    pub places: Vec<Connection>,
}

/// How K outlives this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Not at all: K is new, its first registration was begun and not finished. Nothing is
    /// encrypted with it yet.
    Unfinished,
    /// By the 64 digits alone; and where there are places all the same, perhaps by a password too.
    KeyOnly,
    /// By a password, at a vault.
    Password(RegistrationRef),
}

/// The state file, locked. Where its folder does not exist there is no state and nothing to lock.
pub struct StateFile {
    path: PathBuf,
    lock: Option<File>,
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // Closing it is not enough: a program that this process is just starting has it open too for
            // a moment. After an error it is as if this were not here.
            let _ = lock.unlock();
        }
    }
}

/// Why the state file cannot be used.
#[derive(Debug)]
pub enum StateError {
    /// Nothing says where it should be.
    NoPlace,
    /// Another run has it.
    Locked(PathBuf),
    /// Others could read K.
    OpenToOthers(PathBuf),
    /// It is no file of its own.
    NotAFile(PathBuf),
    /// A later version wrote it.
    Newer(PathBuf),
    /// It is not what this program writes.
    Damaged(PathBuf),
    /// It would be too long to be read again.
    TooLong(PathBuf),
    /// The system's reason.
    Io(PathBuf, io::Error),
}

/// K and its protection are there both or neither.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    key: Option<Zeroizing<String>>,
    protection: Option<Protection>,
    connection: Option<Connection>,
    places: Vec<Connection>,
}

/// The file's content.
enum Content {
    Device(Device),
    /// No K yet.
    Connection(Connection),
}

/// Read first: a later version may have any other field.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// The option, the environment, or the user's configuration folder.
pub fn state_path(option: Option<PathBuf>) -> Result<PathBuf, StateError> {
    if let Some(path) = option.or_else(|| non_empty(STATE_VARIABLE)) {
        return Ok(path);
    }
    let folder = non_empty("XDG_CONFIG_HOME")
        // The XDG specification: relative paths are to be ignored.
        .filter(|folder| folder.is_absolute())
        .or_else(|| non_empty("HOME").map(|home| home.join(".config")))
        .ok_or(StateError::NoPlace)?;
    Ok(folder.join("backup-key-vault").join("device.json"))
}

impl Device {
    /// A record of K may be at `place` from now on.
    pub fn add_place(&mut self, place: &Connection) {
        self.learn(place);
        self.remove_place(place);
        self.places.push(place.clone());
    }

    /// No record of K is at `place`, and none can come of what was sent there.
    pub fn remove_place(&mut self, place: &Connection) {
        self.places.retain(|known| !known.is_at(place));
    }

    /// The same as [`Self::add_place`], for the one that this device talks to from now on.
    pub fn move_to(&mut self, place: Connection) {
        self.add_place(&place);
        self.connection = Some(place);
    }

    /// Takes over what `connection` knows of its vault.
    pub fn learn(&mut self, connection: &Connection) {
        let known = self.connection.iter_mut().chain(&mut self.places);
        known.for_each(|known| known.learn(connection));
    }
}

impl StateFile {
    /// Locks the state file at `path`.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let lock = match lock(path) {
            Ok(lock) => Some(lock),
            Err(StateError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Reads the device, if there is a K.
    pub fn load(&self) -> Result<Option<Device>, StateError> {
        Ok(match self.content()? {
            Some(Content::Device(device)) => Some(device),
            Some(Content::Connection(_)) | None => None,
        })
    }

    /// Reads the connection, whether or not there is a K.
    pub fn connection(&self) -> Result<Option<Connection>, StateError> {
        Ok(match self.content()? {
            Some(Content::Device(device)) => device.connection,
            Some(Content::Connection(connection)) => Some(connection),
            None => None,
        })
    }

    /// Replaces what is stored. On the disk when this returns.
    pub fn store(&mut self, device: &Device) -> Result<(), StateError> {
        let (key, protection) = (device.key.digits(), device.protection.clone());
        self.write(&Stored {
            version: VERSION,
            key: Some(key),
            protection: Some(protection),
            connection: device.connection.clone(),
            places: device.places.clone(),
        })
    }

    /// Keeps what `connection` has learnt of the vault. A connection that is stored stays; one that
    /// is not is stored, with or without a K.
    pub fn learn(&mut self, connection: &Connection) -> Result<(), StateError> {
        // Until the vault has shown itself there is nothing to keep.
        if connection.scope().is_none() {
            return Ok(());
        }
        match self.content()? {
            Some(Content::Device(mut device)) => {
                device.learn(connection);
                device.connection.get_or_insert_with(|| connection.clone());
                self.store(&device)
            }
            Some(Content::Connection(mut stored)) => {
                stored.learn(connection);
                self.store_connection(stored)
            }
            None => self.store_connection(connection.clone()),
        }
    }

    /// Removes K and keeps the connection, if there is one.
    pub fn forget_key(&mut self) -> Result<(), StateError> {
        match self.connection()?.filter(|stored| stored.scope().is_some()) {
            Some(connection) => self.store_connection(connection),
            None => self.forget(),
        }
    }

    fn store_connection(&mut self, connection: Connection) -> Result<(), StateError> {
        self.write(&Stored {
            version: VERSION,
            key: None,
            protection: None,
            connection: Some(connection),
            places: Vec::new(),
        })
    }

    fn content(&self) -> Result<Option<Content>, StateError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => read(&self.path).map(Some),
            Ok(_) => Err(StateError::NotAFile(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Io(self.path.clone(), error)),
        }
    }

    fn write(&mut self, stored: &Stored) -> Result<(), StateError> {
        let text = encode(stored, &self.path)?;
        let folder = folder_of(&self.path);
        if self.lock.is_none() {
            let failed = |error| StateError::Io(folder.clone(), error);
            let mut builder = DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(failed)?;
            self.lock = Some(lock(&self.path)?);
            // Whoever was faster stays: its K is not to be lost.
            if self.content()?.is_some() {
                return Err(StateError::Locked(self.path.clone()));
            }
        }
        replace(&self.path, &folder, &text)
            .map_err(|error| StateError::Io(self.path.clone(), error))
    }

    /// Removes what is stored, and what a run that was killed had begun to store.
    pub fn forget(&mut self) -> Result<(), StateError> {
        remove_partial(&self.path)
            .and_then(|()| fs::remove_file(&self.path))
            .and_then(|()| File::open(folder_of(&self.path))?.sync_all())
            .map_err(|error| StateError::Io(self.path.clone(), error))
    }
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `path` with something appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The lock ends with the process, however that ends; the empty file stays, because removing it
/// could take it from under a run that waits on it.
fn lock(path: &Path) -> Result<File, StateError> {
    let name = beside(path, ".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(|error| StateError::Io(name.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(StateError::Io(name, error)),
    }
}

fn read(path: &Path) -> Result<Content, StateError> {
    let failed = |error| StateError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    // Of the opened file, not of the name: what is read is what was looked at.
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(StateError::OpenToOthers(path.to_owned()));
    }
    // Never grows, so that no copy of K is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    let limit = u64::try_from(MAX_LEN).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(failed)?;
    decode(&text, path)
}

fn decode(text: &[u8], path: &Path) -> Result<Content, StateError> {
    // The JSON library's own words could repeat the digits.
    let damaged = || StateError::Damaged(path.to_owned());
    let versioned: Versioned = serde_json::from_slice(text).map_err(|_| damaged())?;
    if versioned.version > VERSION {
        return Err(StateError::Newer(path.to_owned()));
    }
    let stored: Stored = serde_json::from_slice(text).map_err(|_| damaged())?;
    if stored.version != VERSION {
        return Err(damaged());
    }
    match (stored.key, stored.protection, stored.connection) {
        (Some(key), Some(protection), connection) => Ok(Content::Device(Device {
            key: key.parse().map_err(|_| damaged())?,
            protection,
            connection,
            places: stored.places,
        })),
        // What has no key has no record.
        (None, None, Some(connection)) if stored.places.is_empty() => {
            Ok(Content::Connection(connection))
        }
        (None, _, _) | (_, None, _) => Err(damaged()),
    }
}

fn encode(stored: &Stored, path: &Path) -> Result<Zeroizing<Vec<u8>>, StateError> {
    // Cannot grow, so that no copy of K is left behind. `read` takes one byte more at most.
    let mut text = Zeroizing::new(vec![0; MAX_LEN - 1]);
    let mut free = text.as_mut_slice();
    // Fails for paths that are not UTF-8, and where there is no room left.
    let written = serde_json::to_writer_pretty(&mut free, stored)
        .map_err(io::Error::from)
        .and_then(|()| free.write_all(b"\n"));
    let unused = free.len();
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WriteZero => {
            return Err(StateError::TooLong(path.to_owned()));
        }
        Err(error) => return Err(StateError::Io(path.to_owned(), error)),
    }
    let len = text.len() - unused;
    text.truncate(len);
    Ok(text)
}

/// Left by a killed run, perhaps with K; nobody else is here, the lock is ours.
fn remove_partial(path: &Path) -> io::Result<()> {
    match fs::remove_file(beside(path, ".partial")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn replace(path: &Path, folder: &Path, text: &[u8]) -> io::Result<()> {
    remove_partial(path)?;
    let partial = beside(path, ".partial");
    let written = write_new(&partial, text).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => write!(
                f,
                "no place for this device's state: give --state FILE, or set HOME"
            ),
            Self::Locked(path) => write!(
                f,
                "another vault-client is using {}: wait until it has ended",
                path.display()
            ),
            Self::OpenToOthers(path) => write!(
                f,
                "{} holds the backup key and others may read it: run chmod 600 on it, and think about who may have read it",
                path.display()
            ),
            Self::NotAFile(path) => write!(
                f,
                "{} is not an ordinary file: name another one with --state",
                path.display()
            ),
            Self::Newer(path) => write!(
                f,
                "{} was written by a newer vault-client: update this one",
                path.display()
            ),
            Self::Damaged(path) => write!(
                f,
                "{} is not a state file or is damaged: move it away, then restore by password or by the 64 digits",
                path.display()
            ),
            Self::TooLong(path) => write!(
                f,
                "the connection is too long for {}, which stays as it was: give shorter paths or fewer fingerprints",
                path.display()
            ),
            Self::Io(path, _) => write!(f, "cannot use {}", path.display()),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::NoPlace
            | Self::Locked(_)
            | Self::OpenToOthers(_)
            | Self::NotAFile(_)
            | Self::Newer(_)
            | Self::Damaged(_)
            | Self::TooLong(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::OsRng;
    use std::os::unix::fs::symlink;

    fn device() -> Device {
        Device {
            key: BackupKey::generate(&mut OsRng),
            protection: Protection::KeyOnly,
            connection: None,
            places: Vec::new(),
        }
    }

    fn stored() -> (tempfile::TempDir, PathBuf, Device) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/device.json");
        let device = device();
        StateFile::open(&path).unwrap().store(&device).unwrap();
        (folder, path, device)
    }

    fn load(path: &Path) -> Result<Option<Device>, StateError> {
        StateFile::open(path)?.load()
    }

    // Fails if `read` does not look at the permissions.
    #[test]
    fn a_state_that_others_can_read_is_refused() {
        let (_folder, path, _) = stored();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load(&path), Err(StateError::OpenToOthers(_))));
        }
    }

    // Fails if `StateFile::open` takes no lock.
    #[test]
    fn two_runs_at_once_are_kept_apart() {
        let (_folder, path, _) = stored();
        let first = StateFile::open(&path).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::Locked(_))));
        drop(first);
        assert!(StateFile::open(&path).is_ok());
    }

    // Fails if `store` does not look again after it made the folder.
    #[test]
    fn of_two_first_runs_the_faster_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/device.json");
        let mut slow = StateFile::open(&path).unwrap();
        let fast = device();
        StateFile::open(&path).unwrap().store(&fast).unwrap();
        assert!(matches!(slow.store(&device()), Err(StateError::Locked(_))));
        drop(slow);
        assert!(load(&path).unwrap().unwrap().key.is_same(&fast.key));
    }

    #[test]
    fn what_is_no_state_is_told_apart_from_a_newer_one() {
        let (_folder, path, device) = stored();
        let digits = device.key.digits();
        let written = |text: &str| {
            fs::write(&path, text).unwrap();
            load(&path)
        };
        let damaged = [
            String::new(),
            "{}".to_owned(),
            r#"{"version":0}"#.to_owned(),
            r#"{"version":1,"places":[]}"#.to_owned(),
            r#"{"version":1,"protection":"key-only","places":[]}"#.to_owned(),
            format!(r#"{{"version":1,"key":"{}","places":[]}}"#, digits.as_str()),
            r#"{"version":1,"key":"12","protection":"key-only","places":[]}"#.to_owned(),
            format!(
                r#"{{"version":1,"key":"{}","protection":"none","places":[]}}"#,
                digits.as_str()
            ),
            format!(
                r#"{{"version":1,"key":"{}","protection":"key-only"}}"#,
                digits.as_str()
            ),
        ];
        for text in damaged {
            assert!(
                matches!(written(&text), Err(StateError::Damaged(_))),
                "{text}"
            );
        }
        let newer = written(r#"{"version":2,"anything":[]}"#);
        assert!(matches!(newer, Err(StateError::Newer(_))));
    }

    // Fails if one of the nested types lacks `deny_unknown_fields`.
    #[test]
    fn an_unknown_field_is_refused_at_every_depth() {
        let text = include_str!("../tests/data/device-v1.json");
        let path = Path::new("device.json");
        for place in [
            "",
            "/protection/password",
            "/connection",
            "/connection/route/direct",
            "/connection/memory",
            "/connection/memory/seen",
            "/places/0",
        ] {
            let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(decode(value.to_string().as_bytes(), path).is_ok());
            value.pointer_mut(place).unwrap()["other"] = 1.into();
            let refused = decode(value.to_string().as_bytes(), path);
            assert!(matches!(refused, Err(StateError::Damaged(_))), "{place}");
        }
    }

    // Fails if `encode` has room for any length: K could not be read again.
    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let (_folder, path, device) = stored();
        let text = include_str!("../tests/data/device-v1.json");
        let long = |len| {
            let text = text.replace("/etc/photos/token", &"t".repeat(len));
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            Device {
                connection: serde_json::from_value(value["connection"].take()).unwrap(),
                ..self::device()
            }
        };
        let refused = StateFile::open(&path).unwrap().store(&long(MAX_LEN));
        assert!(matches!(refused, Err(StateError::TooLong(_))));
        assert!(load(&path).unwrap().unwrap().key.is_same(&device.key));
        let new = path.with_file_name("folder").join("device.json");
        let refused = StateFile::open(&new).unwrap().store(&long(MAX_LEN));
        assert!(matches!(refused, Err(StateError::TooLong(_))));
        assert!(!folder_of(&new).exists());
        // Whatever is written is read.
        let longest = (0..MAX_LEN)
            .rev()
            .find(|&len| StateFile::open(&path).unwrap().store(&long(len)).is_ok());
        assert!(longest.is_some() && load(&path).unwrap().is_some());
        let written = fs::metadata(&path).unwrap().len();
        assert_eq!(written, u64::try_from(MAX_LEN).unwrap() - 1);
    }

    #[test]
    fn a_link_in_place_of_the_state_is_refused() {
        let (folder, path, _) = stored();
        let link = folder.path().join("link.json");
        symlink(&path, &link).unwrap();
        assert!(matches!(load(&link), Err(StateError::NotAFile(_))));
    }

    #[test]
    fn what_a_killed_run_left_is_no_obstacle() {
        let (_folder, path, _) = stored();
        fs::write(beside(&path, ".partial"), "{").unwrap();
        let other = device();
        StateFile::open(&path).unwrap().store(&other).unwrap();
        assert!(load(&path).unwrap().unwrap().key.is_same(&other.key));
        assert!(!beside(&path, ".partial").exists());
    }

    // Fails when `forget` removes the state alone.
    // Fails when a dropped state only closes its lock.
    #[test]
    fn a_state_is_free_again_although_a_copy_of_its_lock_is_open() {
        let (_folder, path, _) = stored();
        let first = StateFile::open(&path).unwrap();
        let _inherited = first.lock.as_ref().unwrap().try_clone().unwrap();
        drop(first);
        assert!(StateFile::open(&path).is_ok());
    }

    #[test]
    fn what_a_killed_run_left_is_forgotten_too() {
        let (_folder, path, _) = stored();
        fs::write(beside(&path, ".partial"), "{").unwrap();
        StateFile::open(&path).unwrap().forget().unwrap();
        assert!(!path.exists());
        assert!(!beside(&path, ".partial").exists());
    }

    #[test]
    fn the_file_and_its_folder_are_the_owners_alone() {
        let (folder, path, device) = stored();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        let loaded = load(&path).unwrap().unwrap();
        assert!(loaded.key.is_same(&device.key));
        assert_eq!(loaded.protection, device.protection);
    }

    /// The format is a promise to later versions.
    #[test]
    fn a_stored_state_of_version_1_is_read() {
        let text = include_str!("../tests/data/device-v1.json");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.json");
        write_new(&path, text.as_bytes()).unwrap();
        let device = load(&path).unwrap().unwrap();
        assert!(matches!(device.protection, Protection::Password(_)));
        StateFile::open(&path).unwrap().store(&device).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    // Fails if `learn` stores the whole connection or leaves a place out, or if `forget_key` removes the file.
    #[test]
    fn what_was_learnt_of_the_vault_is_kept_without_a_key_and_changes_nothing_else() {
        let text = include_str!("../tests/data/device-v1.json");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.json");
        write_new(&path, text.as_bytes()).unwrap();
        let mut file = StateFile::open(&path).unwrap();
        let stored = file.connection().unwrap().unwrap();
        let newer = text.replace("1795346668158", "1795346668159");
        let newer = newer.replace("/etc/photos/token", "/other/token");
        let Content::Device(other) = decode(newer.as_bytes(), &path).unwrap() else {
            panic!("there is a key");
        };
        file.learn(&other.connection.unwrap()).unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(kept, text.replace("1795346668158", "1795346668159"));

        file.forget_key().unwrap();
        assert!(file.load().unwrap().is_none());
        assert_eq!(file.connection().unwrap().unwrap().scope(), stored.scope());
        assert!(!fs::read_to_string(&path).unwrap().contains("00112233"));
    }
}
