//! Files that people, other programs and other devices write.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::iter;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use tar::EntryType;
use tempfile::TempDir;
use vault_backup::Quiet;
use vault_client::client::Storage as _;
use vault_client_cli::{Screen, StateFile, read_secret_file};
use vault_protocol::BackupKey;
use vault_server::admin;
use vault_server::admin::socket;
use vault_server::config::Config;
use vault_server::process::secret_file::{self, MAX_PASSPHRASE_LEN};
use zeroize::Zeroizing;

use super::wire;

pub(super) fn config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let file = Some((Path::new("/vault.toml"), text));
    let config = Config::from_sources(file, iter::empty::<(OsString, OsString)>());
    is_sound(config)
}

/// Lines of `KEY=VALUE`; every variable's name begins as ours do.
pub(super) fn config_environment(bytes: &[u8]) -> bool {
    let variables = bytes.split(|byte| *byte == b'\n').map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let mut part = || parts.next().unwrap_or_default();
        let name = [b"VAULT_SERVER_", part()].concat();
        (
            OsString::from_vec(name),
            OsString::from_vec(part().to_vec()),
        )
    });
    is_sound(Config::from_sources(None, variables))
}

fn is_sound<E: std::fmt::Display>(config: Result<Config, E>) -> bool {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "says what to do");
            return false;
        }
    };
    assert!(config.data_folder.is_absolute());
    assert!(config.limits.idle_timeout_seconds > config.limits.request_timeout_seconds);
    assert!(config.sweep.interval_seconds > 0);
    true
}

pub(super) fn admin_request(json: &[u8]) -> bool {
    wire::is_read_again::<socket::Asked<admin::Request>>(json)
}

pub(super) fn admin_answer(json: &[u8]) -> bool {
    wire::is_read_again::<admin::Answer>(json)
}

/// As the server reads a key and a passphrase, and the command line a password.
pub(super) fn secret_file(bytes: &[u8]) -> bool {
    WORKSHOP.with_borrow(|workshop| {
        let path = workshop.write("secret", bytes);
        let key = secret_file::read_key(&path).ok();
        if let Some(key) = &key {
            let digits = base16ct::lower::encode_string(&key[..]).into_bytes();
            let is_spelled = is_line(&bytes.to_ascii_lowercase(), &digits);
            assert!(bytes == &key[..] || is_spelled, "another key");
        }
        let passphrase = secret_file::read_passphrase(&path).ok();
        if let Some(passphrase) = &passphrase {
            assert!(!passphrase.is_empty() && bytes.len() <= MAX_PASSPHRASE_LEN);
            assert!(is_line(bytes, passphrase.as_bytes()), "another passphrase");
            let typed = read_secret_file(&path, "it", Screen::new(true)).ok();
            assert_eq!(typed.as_ref(), Some(passphrase), "read in two ways");
        }
        key.is_some() || passphrase.is_some()
    })
}

/// Whether this is the whole text, and at most a line break.
fn is_line(bytes: &[u8], text: &[u8]) -> bool {
    let rest = bytes.strip_prefix(text);
    rest.is_some_and(|rest| [&b""[..], b"\n", b"\r\n", b"\r"].contains(&rest))
}

/// As the command line reads its state, of this and of the former version.
pub(super) fn device_state(bytes: &[u8]) -> bool {
    WORKSHOP.with_borrow(|workshop| {
        let path = workshop.write("device.json", bytes);
        let mut file =
            StateFile::open(&path).unwrap_or_else(|_| panic!("no other process is here"));
        let Ok(state) = file.load() else {
            return false;
        };
        // One that is too long to be written again stays as it is.
        if let Ok(text) = state.to_json() {
            file.store(&text).expect("our file");
            let again = file.load().expect("what was written is read");
            assert!(again.to_json().is_ok_and(|again| *again == *text));
        }
        true
    })
}

pub(super) fn backup_file(bytes: &[u8]) -> bool {
    WORKSHOP.with_borrow(|workshop| workshop.restores(bytes))
}

/// The plaintext of a backup file.
pub(super) fn backup_compressed(payload: &[u8]) -> bool {
    backup_file(&sealed(payload))
}

/// A tar archive.
pub(super) fn backup_archive(tar: &[u8]) -> bool {
    let compressed = zstd::encode_all(tar, 1).expect("into memory");
    backup_compressed(&compressed)
}

pub(super) fn sealed(payload: &[u8]) -> Vec<u8> {
    let passphrase = SecretString::from(key().digits().as_str());
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    // PROTOCOL.md section 3 fixes these.
    recipient.set_work_factor(10);
    let recipients = iter::once(&recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).expect("one passphrase");
    let mut sealed = Vec::new();
    let mut stream = encryptor.wrap_output(&mut sealed).expect("into memory");
    stream.write_all(payload).expect("into memory");
    stream.finish().expect("into memory");
    sealed
}

/// A folder with a file, a folder and a link; and one that leaves its folder.
pub(super) fn archives() -> Vec<Vec<u8>> {
    let mut good = tar::Builder::new(Vec::new());
    add(&mut good, ".", EntryType::Directory, b"");
    add(&mut good, "./a", EntryType::Regular, b"content");
    add(&mut good, "./b", EntryType::Directory, b"");
    add(&mut good, "./b/c", EntryType::Symlink, b"");
    let mut bad = tar::Builder::new(Vec::new());
    add(&mut bad, ".", EntryType::Directory, b"");
    add(&mut bad, "./b", EntryType::Symlink, b"");
    add(&mut bad, "./b/c", EntryType::Regular, b"content");
    [good, bad]
        .map(|archive| archive.into_inner().expect("into memory"))
        .to_vec()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, kind: EntryType, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o700);
    header.set_size(content.len() as u64);
    if kind == EntryType::Symlink {
        header.set_link_name("../x").expect("a short name");
    }
    archive
        .append_data(&mut header, path, content)
        .expect("into memory");
}

/// The key of the committed backup files.
fn key() -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new(std::array::from_fn(|at| at as u8)))
}

thread_local! {
    static WORKSHOP: RefCell<Workshop> = RefCell::new(Workshop::new());
}

/// A folder for one file after the other.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Self {
        Self(super::common::folder_in_memory())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        path
    }

    fn count(&self) -> usize {
        fs::read_dir(self.0.path()).expect("our folder").count()
    }

    /// Whether the file was restored. If it was, only into its target; if not, nothing is left.
    fn restores(&self, bytes: &[u8]) -> bool {
        let file = self.write("backup.age", bytes);
        let before = self.count();
        let yard = self.0.path().join("yard");
        DirBuilder::new()
            .mode(0o700)
            .create(&yard)
            .expect("a folder");
        let target = yard.join("target");
        let is_restored = vault_backup::restore(&file, &target, &key(), &mut Quiet).is_ok();
        let found = fs::read_dir(&yard).expect("our folder").count();
        assert_eq!(
            found,
            usize::from(is_restored),
            "something beside the target"
        );
        assert_eq!(target.is_dir(), is_restored);
        if is_restored {
            make_removable(&target);
        }
        fs::remove_dir_all(&yard).expect("our folder");
        assert_eq!(self.count(), before);
        is_restored
    }
}

/// Folders are restored with their permissions, which may keep their owner out.
fn make_removable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("our folder");
    for entry in fs::read_dir(folder).expect("our folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("its type").is_dir() {
            make_removable(&entry.path());
        }
    }
}
