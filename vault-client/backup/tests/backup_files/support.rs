//! A tree with everything in it, pictures of trees to compare, and files made by hand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Write;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use vault_backup::{BackupError, Quiet, Summary};
use vault_protocol::BackupKey;
use zeroize::Zeroizing;

/// The key of all fixtures: the bytes 00 to 1f.
pub fn key() -> BackupKey {
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
    BackupKey::from_bytes(&bytes)
}

pub fn other_key() -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new([7; 32]))
}

/// The name that carries the id of [`key`].
pub const NAMED: &str = "backup-36962ef6e051649d.age";

pub fn create_file(source: &Path, target: &Path) -> Result<Summary, BackupError> {
    vault_backup::create_file(source, target, &key(), &mut Quiet)
}

pub fn restore(file: &Path, target: &Path) -> Result<Summary, BackupError> {
    vault_backup::restore(file, target, &key(), &mut Quiet)
}

/// Restores what must not be restored, and makes sure that nothing remains.
pub fn refusal(folder: &Path, name: &str, bytes: &[u8], key: &BackupKey) -> BackupError {
    let file = folder.join(name);
    fs::write(&file, bytes).unwrap();
    let error =
        vault_backup::restore(&file, &folder.join("restored"), key, &mut Quiet).unwrap_err();
    assert_eq!(
        names(folder),
        [OsString::from(name)],
        "{error:?} left something behind"
    );
    fs::remove_file(&file).unwrap();
    error
}

pub fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}

/// What a backup has to keep of one file, folder or link.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    kind: &'static str,
    /// Content or target.
    bytes: Vec<u8>,
    /// Not of links, which have none of their own.
    mode: u32,
    seconds: i64,
    nanoseconds: i64,
}

/// Everything below `folder` and the folder itself, by relative path.
pub fn picture(folder: &Path) -> BTreeMap<PathBuf, Picture> {
    let mut pictures = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = if path.as_os_str().is_empty() {
            folder.to_path_buf()
        } else {
            folder.join(&path)
        };
        let metadata = full.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let (kind, bytes) = if kind.is_symlink() {
            (
                "link",
                fs::read_link(&full)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
            )
        } else if kind.is_dir() {
            pending.extend(names(&full).iter().map(|name| path.join(name)));
            ("folder", Vec::new())
        } else if kind.is_file() {
            ("file", fs::read(&full).unwrap())
        } else {
            assert!(kind.is_fifo() || kind.is_socket());
            continue;
        };
        let picture = Picture {
            kind,
            bytes,
            mode: if kind == "link" {
                0
            } else {
                metadata.mode() & 0o777
            },
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        };
        pictures.insert(path, picture);
    }
    pictures
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that do not compress (xorshift).
pub fn noise(len: usize) -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Fills `root` with all that a backup must keep.
pub fn grow_tree(root: &Path) {
    fs::create_dir_all(root.join("sub/empty folder")).unwrap();
    grow_files(root);
    grow_names(root);
    grow_links(root);
    // Folders last: what is made in them changes their times.
    fs::create_dir(root.join("read only")).unwrap();
    fs::write(root.join("read only/inside"), "still here").unwrap();
    fs::create_dir(root.join("read only/deeper")).unwrap();
    fs::write(root.join("read only/deeper/inside"), "here too").unwrap();
    set_mode(&root.join("read only/deeper"), 0o500);
    set_mode(&root.join("read only"), 0o555);
    set_mode(&root.join("sub"), 0o2751);
    set_mode(&root.join("sub/empty folder"), 0o1777);
    set_time(&root.join("read only/deeper"), 1_000_000_000, 5);
    set_time(&root.join("read only"), 1_000_000_001, 0);
    set_time(&root.join("sub/empty folder"), -1, 999_999_999);
    set_time(&root.join("sub"), 1_234_567_890, 123_456_789);
    set_mode(root, 0o750);
    set_time(root, 1_500_000_000, 1);
}

fn grow_files(root: &Path) {
    for len in [0, 1, 511, 512, 513, 65_535, 65_536, 65_537, 300_000] {
        fs::write(root.join(format!("noise of {len}")), noise(len)).unwrap();
    }
    fs::write(root.join("zeros"), vec![0; 2_000_000]).unwrap();
    for (name, mode) in [("secret", 0o400), ("program", 0o755), ("setuid", 0o6755)] {
        fs::write(root.join(name), name).unwrap();
        set_mode(&root.join(name), mode);
    }
    for (name, seconds, nanoseconds) in [
        ("at the epoch", 0, 0),
        ("before 1970", -1_000_000, 250_000_000),
        ("long before 1970", -2_000_000_000, 0),
        ("whole seconds", 1_600_000_000, 0),
        ("nanoseconds", 1_600_000_000, 1),
        ("after 2038", 4_000_000_000, 999_999_999),
    ] {
        fs::write(root.join(name), "").unwrap();
        set_time(&root.join(name), seconds, nanoseconds);
    }
    fs::write(root.join("hard"), "two names").unwrap();
    fs::hard_link(root.join("hard"), root.join("sub/hard too")).unwrap();
}

fn grow_names(root: &Path) {
    let odd: [&[u8]; 7] = [
        b"not \xff\xfe utf-8",
        b"line\nfeed",
        b"-rf",
        b"...",
        b" spaces ",
        b"back\\slash",
        "e\u{301} \u{e9} \u{1F512}".as_bytes(),
    ];
    for name in odd {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    for len in [99, 100, 101, 155, 255] {
        fs::write(root.join("n".repeat(len)), "long").unwrap();
        let folder = root.join("sub").join("f".repeat(len));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("inside"), "long").unwrap();
    }
    let mut deep = root.join("deep");
    for level in 0..60 {
        deep.push(format!("level {level} of a tree that is deep"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "reached").unwrap();
}

fn grow_links(root: &Path) {
    let long = "x/".repeat(500);
    let targets: [(&str, &[u8]); 8] = [
        ("to a file", b"secret"),
        ("to a folder", b"sub"),
        ("to nothing", b"./not//there/"),
        ("to the outside", b"../../.."),
        ("to the root", b"/"),
        ("to itself", b"to itself"),
        ("to not utf-8", b"\xff"),
        ("to something long", long.as_bytes()),
    ];
    for (name, target) in targets {
        symlink(OsStr::from_bytes(target), root.join(name)).unwrap();
        set_time(&root.join(name), 1_111_111_111, 222_222_222);
    }
}

/// A standard age file for `key` around any payload, not padded.
pub fn age_file(key: &BackupKey, payload: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(key.digits().as_str().into());
    recipient.set_work_factor(10);
    let recipients = iter::once(&recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).unwrap();
    writer.write_all(payload).unwrap();
    writer.finish().unwrap();
    file
}

/// The same around a compressed archive, with the two blocks of zeros at its end.
pub fn age_file_of_archive(archive: &[u8]) -> Vec<u8> {
    let ended = [archive, &[0; 1024]].concat();
    age_file(&key(), &zstd::encode_all(&*ended, 3).unwrap())
}

/// Whether a tool is there. Where all must be, a missing one fails the test.
pub fn has_tool(name: &str, arguments: &[&str]) -> bool {
    let status = std::process::Command::new(name)
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    let found = status.is_ok();
    let required = std::env::var_os("VAULT_TESTS_REQUIRE_TOOLS").is_some_and(|v| v == "1");
    assert!(found || !required, "{name} is missing and must not be");
    if !found {
        println!("skipped: {name} is not installed");
    }
    found
}
