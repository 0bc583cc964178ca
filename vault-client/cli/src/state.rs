//! The file that this device's state is kept in: the command line's stand-in for a phone's secret
//! store. It is readable by its owner only, because another process that reads it has K.
//!
//! The file is replaced as a whole (a temporary name, fsync, rename), so a killed run leaves the old
//! or the new one. A lock file beside it keeps two runs apart.

mod version_1;

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vault_client::client::Storage;
use vault_client::device::{DeviceState, InvalidState, MAX_LEN};
use vault_client::error::Source;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::CliError;

/// Names the state file, where `--state` is not given.
const STATE_VARIABLE: &str = "VAULT_CLIENT_STATE";

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
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("no place for this device's state: give --state FILE, or set HOME")]
    NoPlace,
    #[error("another vault-client is using {}: wait until it has ended", .0.display())]
    Locked(PathBuf),
    #[error(
        "{} holds the backup key and others may read it: run chmod 600 on it, and make a new key if another user may have read it",
        .0.display()
    )]
    OpenToOthers(PathBuf),
    #[error("{} is not an ordinary file: name another one with --state", .0.display())]
    NotAFile(PathBuf),
    #[error("{} was written by a newer vault-client: update this one", .0.display())]
    Newer(PathBuf),
    #[error(
        "{} is not a state file or is damaged: move it away, then restore by password or by the 64 digits",
        .0.display()
    )]
    Damaged(PathBuf),
    #[error("cannot use {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// The option, the environment, or the user's configuration folder.
pub(crate) fn path(option: Option<PathBuf>) -> Result<PathBuf, StateError> {
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

    /// The state of a device that knows nothing, where there is no file.
    pub fn load(&self) -> Result<DeviceState, StateError> {
        match self.read()? {
            Some(text) => self.decode(&text),
            None => Ok(DeviceState::default()),
        }
    }

    /// On the disk when this returns.
    pub(crate) fn save(&mut self, state: &DeviceState) -> Result<(), CliError> {
        Ok(self.write(&state.to_json()?)?)
    }

    /// Removes the file, and the partial one of a run that was killed.
    pub(crate) fn remove(&mut self) -> Result<(), StateError> {
        remove_partial(&self.path)
            .and_then(|()| fs::remove_file(&self.path))
            .and_then(|()| File::open(folder_of(&self.path))?.sync_all())
            .map_err(|error| self.failed(error))
    }

    fn decode(&self, text: &[u8]) -> Result<DeviceState, StateError> {
        // The cause is left out: the JSON library's own words could repeat the digits.
        let damaged = || StateError::Damaged(self.path.clone());
        match DeviceState::from_json(text) {
            Ok(state) => Ok(state),
            Err(InvalidState::Older { .. }) => version_1::decode(text).ok_or_else(damaged),
            Err(InvalidState::Newer { .. }) => Err(StateError::Newer(self.path.clone())),
            Err(_) => Err(damaged()),
        }
    }

    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(StateError::NotAFile(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        }
        let file = File::open(&self.path).map_err(|error| self.failed(error))?;
        // Of the opened file, not of the name: another file may have the name by now.
        let metadata = file.metadata().map_err(|error| self.failed(error))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(StateError::OpenToOthers(self.path.clone()));
        }
        // Never grows, so that no copy of K is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_LEN + 2));
        // One more, so that a longer file is refused and not cut.
        let limit = u64::try_from(MAX_LEN + 1).unwrap_or(u64::MAX);
        let read = file.take(limit).read_to_end(&mut text);
        read.map_err(|error| self.failed(error))?;
        Ok(Some(text))
    }

    fn write(&mut self, text: &[u8]) -> Result<(), StateError> {
        let folder = folder_of(&self.path);
        if self.lock.is_none() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| StateError::Io(folder.clone(), error))?;
            self.lock = Some(lock(&self.path)?);
            // A faster run stays: its K is not to be lost.
            if self.read()?.is_some() {
                return Err(StateError::Locked(self.path.clone()));
            }
        }
        replace(&self.path, &folder, text).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> StateError {
        StateError::Io(self.path.clone(), error)
    }
}

impl Storage for StateFile {
    fn store(&mut self, state: &[u8]) -> Result<(), Source> {
        self.write(state)
            .map_err(|error| CliError::from(error).into())
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

/// Left by a killed run, perhaps with K. The lock is ours, so no other run is writing it.
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

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        Self::of(Code::Failure, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::OsRng;
    use std::os::unix::fs::symlink;
    use vault_client::device::Record;

    const VERSION_1: &str = include_str!("../tests/data/device-v1.json");
    const VERSION_2: &str = include_str!("../tests/data/device-v2.json");

    fn device() -> DeviceState {
        let mut state = DeviceState::new();
        state.use_digits(None, &mut OsRng).unwrap();
        state
    }

    fn stored() -> (tempfile::TempDir, PathBuf, DeviceState) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/device.json");
        let state = device();
        save(&path, &state).unwrap();
        (folder, path, state)
    }

    fn save(path: &Path, state: &DeviceState) -> Result<(), StateError> {
        StateFile::open(path)?.write(&state.to_json().unwrap())
    }

    fn load(path: &Path) -> Result<DeviceState, StateError> {
        StateFile::open(path)?.load()
    }

    fn is_same(one: &DeviceState, other: &DeviceState) -> bool {
        *one.to_json().unwrap() == *other.to_json().unwrap()
    }

    fn decode(text: &str) -> Result<DeviceState, StateError> {
        let path = PathBuf::from("device.json");
        StateFile { path, lock: None }.decode(text.as_bytes())
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
        save(&path, &fast).unwrap();
        let text = device().to_json().unwrap();
        assert!(matches!(slow.write(&text), Err(StateError::Locked(_))));
        drop(slow);
        assert!(is_same(&load(&path).unwrap(), &fast));
    }

    #[test]
    fn what_is_no_state_is_told_apart_from_a_newer_one() {
        let digits = "00112233445566778899aabbccddeeff".repeat(2);
        let damaged = [
            String::new(),
            "{}".to_owned(),
            r#"{"version":0}"#.to_owned(),
            r#"{"version":1,"places":[]}"#.to_owned(),
            r#"{"version":1,"protection":"key-only","places":[]}"#.to_owned(),
            format!(r#"{{"version":1,"key":"{digits}","places":[]}}"#),
            r#"{"version":1,"key":"12","protection":"key-only","places":[]}"#.to_owned(),
            format!(r#"{{"version":1,"key":"{digits}","protection":"none","places":[]}}"#),
            format!(r#"{{"version":1,"key":"{digits}","protection":"key-only"}}"#),
            format!(r#"{{"version":2,"key":"{digits}"}}"#),
        ];
        for text in damaged {
            let refused = decode(&text);
            assert!(matches!(refused, Err(StateError::Damaged(_))), "{text}");
        }
        let newer = decode(r#"{"version":3,"anything":[]}"#);
        assert!(matches!(newer, Err(StateError::Newer(_))));
    }

    // Fails if one of the nested types lacks `deny_unknown_fields`.
    #[test]
    fn an_unknown_field_is_refused_at_every_depth() {
        let version_1 = [
            "",
            "/protection/password",
            "/connection",
            "/connection/route/direct",
            "/connection/memory",
            "/connection/memory/seen",
            "/places/0",
        ];
        let version_2 = ["", "/record/registered", "/place", "/place/memory/seen"];
        let version_1 = version_1.map(|field| (VERSION_1, field));
        let version_2 = version_2.map(|field| (VERSION_2, field));
        for (text, field) in version_1.into_iter().chain(version_2) {
            let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(decode(&value.to_string()).is_ok());
            value.pointer_mut(field).unwrap()["other"] = 1.into();
            let refused = decode(&value.to_string());
            assert!(matches!(refused, Err(StateError::Damaged(_))), "{field}");
        }
    }

    // Fails if `read` stops before the longest state, or goes on for ever.
    #[test]
    fn what_is_written_is_read_again_up_to_the_longest() {
        let (_folder, path, _) = stored();
        let long = |len: usize| {
            let text = VERSION_2.replace("/etc/photos/token", &"t".repeat(len));
            decode(&text).map(|state| state.to_json().is_ok())
        };
        let longest = (0..MAX_LEN)
            .rev()
            .find(|&len| matches!(long(len), Ok(true)));
        let text = VERSION_2.replace("/etc/photos/token", &"t".repeat(longest.unwrap()));
        let state = decode(&text).unwrap();
        save(&path, &state).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), MAX_LEN as u64);
        assert!(is_same(&load(&path).unwrap(), &state));
        fs::write(&path, [b' '; MAX_LEN + 2]).unwrap();
        assert!(matches!(load(&path), Err(StateError::Damaged(_))));
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
        save(&path, &other).unwrap();
        assert!(is_same(&load(&path).unwrap(), &other));
        assert!(!beside(&path, ".partial").exists());
    }

    // Fails when a dropped state only closes its lock.
    #[test]
    fn a_state_is_free_again_although_a_copy_of_its_lock_is_open() {
        let (_folder, path, _) = stored();
        let first = StateFile::open(&path).unwrap();
        let _inherited = first.lock.as_ref().unwrap().try_clone().unwrap();
        drop(first);
        assert!(StateFile::open(&path).is_ok());
    }

    // Fails when `remove` removes the state alone.
    #[test]
    fn what_a_killed_run_left_is_forgotten_too() {
        let (_folder, path, _) = stored();
        fs::write(beside(&path, ".partial"), "{").unwrap();
        StateFile::open(&path).unwrap().remove().unwrap();
        assert!(!path.exists());
        assert!(!beside(&path, ".partial").exists());
    }

    #[test]
    fn the_file_and_its_folder_are_the_owners_alone() {
        let (folder, path, state) = stored();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        assert!(is_same(&load(&path).unwrap(), &state));
    }

    /// The format is a promise to later versions.
    #[test]
    fn a_stored_state_of_version_2_is_read_and_written_as_it_was() {
        let state = decode(VERSION_2).unwrap();
        assert_eq!(*state.to_json().unwrap(), *VERSION_2.as_bytes());
    }

    // Fails if `version_1` forgets the key, the registration or the way to the vault.
    #[test]
    fn a_state_of_version_1_becomes_one_of_version_2() {
        let state = decode(VERSION_1).unwrap();
        assert_eq!(*state.to_json().unwrap(), *VERSION_2.as_bytes());
    }

    // Fails if `version_1` forgets a place where there may be a record.
    #[test]
    fn every_place_of_version_1_is_asked_when_the_record_is_deleted() {
        let mut value: serde_json::Value = serde_json::from_str(VERSION_1).unwrap();
        let other = value["places"][0].to_string().replace("alice", "bob");
        let other: serde_json::Value = serde_json::from_str(&other).unwrap();
        let mut places = |protection: serde_json::Value| {
            value["protection"] = protection;
            value["places"] = serde_json::json!([other, value["connection"]]);
            let state = decode(&value.to_string()).unwrap();
            let here = state.place().unwrap().account.to_string();
            assert_eq!(here, "alice");
            let elsewhere: Vec<String> = state
                .elsewhere()
                .iter()
                .map(|place| place.account.to_string())
                .collect();
            assert_eq!(elsewhere, ["bob"]);
            state
        };
        let registered = serde_json::from_str::<serde_json::Value>(VERSION_1).unwrap();
        let registered = places(registered["protection"].clone());
        assert!(matches!(registered.record(), Record::Registered(_)));
        for (protection, is_used) in [("unfinished", false), ("key-only", true)] {
            let pending = places(protection.into());
            assert!(matches!(pending.record(), Record::Registering { .. }));
            assert_eq!(pending.is_used(), is_used);
        }
    }

    // Fails if `version_1` takes a connection for a place where a registration was sent.
    #[test]
    fn what_version_1_knew_of_the_vault_is_kept_without_a_record() {
        let mut value: serde_json::Value = serde_json::from_str(VERSION_1).unwrap();
        value["protection"] = "key-only".into();
        value["places"] = serde_json::json!([]);
        let state = decode(&value.to_string()).unwrap();
        assert!(state.place().is_some() && !state.may_be_registered());
        value["key"] = serde_json::Value::Null;
        value["protection"] = serde_json::Value::Null;
        let state = decode(&value.to_string()).unwrap();
        assert!(state.place().is_some() && state.key().is_none());
    }
}
