//! Files that hold secrets: read only if no other user can read them, and made so that none ever
//! could.
//!
//! The *opened* file is checked, so that nothing can be swapped between check and use. Links are
//! followed: systemd credentials and Kubernetes secrets are links, and a user who may replace a
//! link in the folder could as well replace the file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use zeroize::Zeroizing;

/// Longest passphrase file, in bytes, line break included.
pub const MAX_PASSPHRASE_LEN: usize = 1024;

const ROOT: u32 = 0;
const GROUP_READ: u32 = 0o040;
const GROUP_OTHER_WRITE_EXECUTE: u32 = 0o033;
const OTHER_READ: u32 = 0o004;

/// A secret file was refused, or could not be read or written. The message names the file and says
/// what to do; it never contains anything of the content.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct SecretFileError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, pipe, socket or device.
    #[error("not a regular file")]
    NotAFile,
    /// Its owner could change it.
    #[error("belongs to user {owner}; {advice}")]
    ForeignOwner { owner: u32, advice: String },
    #[error("is accessible to group or others (mode {mode:04o}); run: chmod 600 {path}")]
    TooOpen { mode: u32, path: PathBuf },
    #[error("longer than {max_len} bytes")]
    TooLong { max_len: usize },
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    #[error("the passphrase is not UTF-8 text")]
    NotText,
    #[error("a key file holds exactly 32 bytes, or 64 hexadecimal digits and at most a line break")]
    NotAKey,
    #[error("exists already and is not overwritten")]
    Exists,
}

impl Fault {
    fn of(path: &Path) -> impl FnOnce(Self) -> SecretFileError {
        let path = path.to_owned();
        move |fault| SecretFileError { path, fault }
    }
}

/// Reads a secret file of at most `max_len` bytes.
///
/// It has to be a regular file that belongs to us or to root and that group and others can neither
/// read nor write. One exception: a file of root's may be readable by its group when we are not
/// root, since nothing else lets us read it; that is how systemd (an ACL, shown as group bits) and
/// Kubernetes (`fsGroup`) hand over secrets.
pub(crate) fn read(path: &Path, max_len: usize) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    read_checked(path, max_len).map_err(Fault::of(path))
}

fn read_checked(path: &Path, max_len: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut file = open_for_reading(path)?;
    check(path, &Facts::of(&file.metadata()?), geteuid().as_raw())?;
    // One buffer of the final size: growing it would leave copies of the secret behind.
    let mut buffer = Zeroizing::new(vec![0; max_len + 1]);
    let length = read_up_to(&mut file, &mut buffer)?;
    if length > max_len {
        return Err(Fault::TooLong { max_len });
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// Reads a passphrase: UTF-8 text, one trailing line break removed, not empty.
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let bytes = read(path, MAX_PASSPHRASE_LEN)?;
    let text = match std::str::from_utf8(without_line_break(&bytes)) {
        Ok("") => Err(Fault::EmptyPassphrase),
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Fault::NotText),
    };
    text.map_err(Fault::of(path))
}

/// Reads a key: exactly 32 bytes, or 64 hexadecimal digits and at most a line break.
pub fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretFileError> {
    read_32_bytes(path).map_err(Fault::of(path))
}

fn read_32_bytes(path: &Path) -> Result<Zeroizing<[u8; 32]>, Fault> {
    const LONGEST: usize = 64 + "\r\n".len();
    let bytes = read_checked(path, LONGEST).map_err(|fault| match fault {
        Fault::TooLong { .. } => Fault::NotAKey,
        other => other,
    })?;
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() == key.len() {
        key.copy_from_slice(&bytes);
    } else {
        decode_hex(without_line_break(&bytes), &mut key).ok_or(Fault::NotAKey)?;
    }
    Ok(key)
}

/// Creates a secret file, mode 0600, and makes it durable. An existing file, also a dangling link,
/// is never overwritten.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let refused = |cause: io::Error| {
        let exists = cause.kind() == io::ErrorKind::AlreadyExists;
        Fault::of(path)(if exists { Fault::Exists } else { cause.into() })
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(refused)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        // The name is durable only when its folder is.
        .and_then(|()| sync_folder_of(path));
    written.map_err(|error| {
        // Half a secret is of no use and would stand in the way of the next try.
        let _ = fs::remove_file(path);
        refused(error)
    })
}

/// The metadata that decide.
struct Facts {
    is_file: bool,
    owner: u32,
    mode: u32,
}

impl Facts {
    fn of(metadata: &Metadata) -> Self {
        Self {
            is_file: metadata.is_file(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        }
    }
}

fn check(path: &Path, facts: &Facts, us: u32) -> Result<(), Fault> {
    let Facts {
        is_file,
        owner,
        mode,
    } = *facts;
    if !is_file {
        return Err(Fault::NotAFile);
    }
    if owner != us && owner != ROOT {
        let advice = owner_advice(path, owner, us);
        return Err(Fault::ForeignOwner { owner, advice });
    }
    let handed_over_by_root = owner == ROOT && us != ROOT;
    let group_read = if handed_over_by_root { 0 } else { GROUP_READ };
    if mode & (group_read | GROUP_OTHER_WRITE_EXECUTE | OTHER_READ) != 0 {
        let path = path.to_owned();
        return Err(Fault::TooOpen { mode, path });
    }
    Ok(())
}

/// Root would take the file away from the vault by making it its own.
fn owner_advice(path: &Path, owner: u32, us: u32) -> String {
    if us == ROOT {
        return format!(
            "if that is the vault's user, run this as that user (setpriv --reuid {owner} --clear-groups COMMAND, or runuser)"
        );
    }
    let path = path.display();
    format!("a secret file must belong to the vault's user (chown {us} {path}) or to root")
}

/// Without O_NONBLOCK, opening a pipe without a writer would wait for ever.
fn open_for_reading(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("open flags fit an int");
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn without_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn decode_hex(digits: &[u8], key: &mut [u8; 32]) -> Option<()> {
    let length = key.len();
    let decoded = base16ct::mixed::decode(digits, key).ok()?;
    (decoded.len() == length).then_some(())
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    const US: u32 = 1000;

    fn folder() -> TempDir {
        TempDir::new().unwrap()
    }

    fn file(folder: &TempDir, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn fault<T: std::fmt::Debug>(refused: Result<T, SecretFileError>) -> Fault {
        refused.unwrap_err().fault
    }

    fn checked(owner: u32, mode: u32, us: u32) -> Result<(), SecretFileError> {
        let path = Path::new("/f");
        let facts = Facts {
            is_file: true,
            owner,
            mode,
        };
        check(path, &facts, us).map_err(Fault::of(path))
    }

    /// Fails without `OTHER_READ` (or another bit) in `check`.
    #[test]
    fn a_file_that_group_or_others_can_use_is_refused() {
        let folder = folder();
        for mode in [
            0o604, 0o640, 0o660, 0o602, 0o620, 0o610, 0o601, 0o644, 0o777,
        ] {
            let path = file(&folder, b"x", mode);
            let error = read(&path, 10).unwrap_err().to_string();
            let path = path.display();
            let expected = format!(
                "{path}: is accessible to group or others (mode {mode:04o}); run: chmod 600 {path}"
            );
            assert_eq!(error, expected);
        }
    }

    /// Fails without the comparison of the owner in `check`.
    #[test]
    fn a_file_of_another_user_is_refused() {
        let error = checked(1001, 0o600, US).unwrap_err().to_string();
        assert_eq!(
            error,
            "/f: belongs to user 1001; a secret file must belong to the vault's user \
             (chown 1000 /f) or to root"
        );
        // To make it root's would take it away from the vault.
        let error = checked(1001, 0o600, ROOT).unwrap_err().to_string();
        assert!(error.contains("setpriv --reuid 1001"), "{error}");
        assert!(!error.contains("chown"), "{error}");
    }

    #[test]
    fn the_group_may_read_only_what_root_hands_to_another_user() {
        assert!(checked(ROOT, 0o440, US).is_ok());
        assert!(checked(ROOT, 0o460, US).is_err());
        assert!(checked(ROOT, 0o444, US).is_err());
        assert!(checked(ROOT, 0o440, ROOT).is_err());
        assert!(checked(US, 0o440, US).is_err());
    }

    #[test]
    fn folders_and_pipes_are_refused_without_waiting() {
        let folder = folder();
        let refused = read(folder.path(), 10);
        assert!(matches!(fault(refused), Fault::NotAFile));
        let pipe = folder.path().join("pipe");
        let private = Mode::from_raw_mode(0o600);
        mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, private, 0).unwrap();
        assert!(matches!(fault(read(&pipe, 10)), Fault::NotAFile));
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let folder = folder();
        let path = file(&folder, b"12345", 0o600);
        let error = read(&path, 4).unwrap_err().to_string();
        assert_eq!(error, format!("{}: longer than 4 bytes", path.display()));
        assert_eq!(read(&path, 5).unwrap().as_slice(), b"12345");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/secret"), 4).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("/nowhere/secret: No such file")
        );
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let folder = folder();
        for empty in [&b""[..], b"\n", b"\r\n"] {
            let refused = read_passphrase(&file(&folder, empty, 0o600));
            assert!(matches!(fault(refused), Fault::EmptyPassphrase));
        }
        let refused = read_passphrase(&file(&folder, b"\xff", 0o600));
        assert!(matches!(fault(refused), Fault::NotText));
    }

    #[test]
    fn exactly_one_line_break_is_removed_from_a_passphrase() {
        let folder = folder();
        for (content, passphrase) in [
            ("a b", "a b"),
            ("a b\n", "a b"),
            ("a b\r\n", "a b"),
            (" a\n\n", " a\n"),
        ] {
            let read = read_passphrase(&file(&folder, content.as_bytes(), 0o600)).unwrap();
            assert_eq!(read.as_str(), passphrase);
        }
    }

    #[test]
    fn a_key_of_another_length_or_alphabet_is_refused() {
        let folder = folder();
        let digits = "0f".repeat(32);
        for bad in [
            "",
            &digits[..31],
            &digits[..63],
            &digits.replace('f', "g"),
            &format!("{digits}\n\n"),
            &format!("{digits}00"),
            &format!("+{}", &digits[1..]),
        ] {
            let refused = read_key(&file(&folder, bad.as_bytes(), 0o600));
            assert!(matches!(fault(refused), Fault::NotAKey), "{bad}");
        }
    }

    #[test]
    fn a_key_is_read_from_bytes_or_digits() {
        let folder = folder();
        let raw = read_key(&file(&folder, &[10; 32], 0o400)).unwrap();
        assert_eq!(*raw, [10; 32]);
        for digits in ["0f".repeat(32), "0F".repeat(32) + "\n"] {
            let key = read_key(&file(&folder, digits.as_bytes(), 0o600)).unwrap();
            assert_eq!(*key, [15; 32]);
        }
    }

    /// Fails with `create` and `truncate` in place of `create_new`.
    #[test]
    fn an_existing_file_or_link_is_never_overwritten() {
        let folder = folder();
        let path = file(&folder, b"old", 0o600);
        assert!(matches!(fault(create(&path, b"new")), Fault::Exists));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(fault(create(&link, b"new")), Fault::Exists));
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_created_file_is_ours_alone_and_can_be_read_back() {
        let folder = folder();
        let path = folder.path().join("new");
        create(&path, b"secret").unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        assert_eq!(read(&path, 10).unwrap().as_slice(), b"secret");
    }

    #[test]
    fn a_link_to_a_secret_file_is_followed() {
        let folder = folder();
        let path = file(&folder, b"secret", 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 10).unwrap().as_slice(), b"secret");
    }
}
