//! Large, deep, and without rights: some of it in a process of its own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use tempfile::tempdir;
use vault_backup::BackupError;

use crate::support::{NAMED, create_file, grow_tree, names, picture, restore, set_mode};

/// Names the working folder of a test that runs again in a process of its own.
const CHILD: &str = "BACKUP_TEST_FOLDER";

/// Runs `test` of this program again, with `folder` to work in, as another user if wanted.
pub fn run_again(test: &str, folder: &Path, user: Option<u32>) {
    // The other user may not be able to enter the folder that this program is in.
    let program = folder.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, folder)
        .current_dir("/");
    if let Some(user) = user {
        command.gid(user).uid(user);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub fn child_folder() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

// Fails with the whole content of a file, or of the backup, in memory.
#[test]
fn memory_does_not_grow_with_the_size_of_files() {
    const SIZE: u64 = 256 * 1024 * 1024;
    const ALLOWED_KIB: u64 = 64 * 1024;
    let Some(folder) = child_folder() else {
        let folder = tempdir().unwrap();
        run_again(
            "limits::memory_does_not_grow_with_the_size_of_files",
            folder.path(),
            None,
        );
        return;
    };
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    File::create(source.join("large"))
        .unwrap()
        .set_len(SIZE)
        .unwrap();
    let file = folder.join(NAMED);
    assert_eq!(create_file(&source, &file).unwrap().bytes, SIZE);
    let restored = restore(&file, &folder.join("restored")).unwrap();
    assert_eq!(restored.bytes, SIZE);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < ALLOWED_KIB, "{peak} KiB");
}

// Fails if folders get their modes when they are made, and without `make_removable`. Run as root,
// root's rights would hide both.
#[test]
fn read_only_folders_are_restored_without_special_rights() {
    let Some(folder) = child_folder() else {
        let folder = tempdir().unwrap();
        set_mode(folder.path(), 0o777);
        let nobody = rustix::process::geteuid().is_root().then_some(65_534);
        run_again(
            "limits::read_only_folders_are_restored_without_special_rights",
            folder.path(),
            nobody,
        );
        return;
    };
    let source = folder.join("source");
    grow_tree(&source);
    set_mode(&source, 0o555);
    let file = folder.join(NAMED);
    create_file(&source, &file).unwrap();
    restore(&file, &folder.join("restored")).unwrap();
    assert_eq!(picture(&folder.join("restored")), picture(&source));

    // A failure after folders have become read-only: the target is taken at the last moment.
    let before = names(&folder);
    let taken = folder.join("taken");
    let mut take = |done, total| {
        if done == total && !taken.exists() {
            fs::create_dir(&taken).unwrap();
            fs::write(taken.join("mine"), "mine").unwrap();
        }
    };
    let key = crate::support::key();
    let error = vault_backup::restore(&file, &taken, &key, &mut take).unwrap_err();
    assert!(matches!(error, BackupError::TargetExists(_)), "{error:?}");
    fs::remove_dir_all(&taken).unwrap();
    assert_eq!(names(&folder), before);

    cannot_be_read(&source, &folder.join("unreadable.age"));
    for name in ["source", "restored"] {
        make_removable(&folder.join(name));
    }
}

fn cannot_be_read(source: &Path, file: &Path) {
    let locked = source.join("sub/empty folder");
    for mode in [0o000, 0o300] {
        set_mode(&locked, mode);
        match create_file(source, file).unwrap_err() {
            BackupError::Unreadable { path, .. } => assert_eq!(path, locked),
            other => panic!("{other:?}"),
        }
    }
    set_mode(&locked, 0o700);
    let locked = source.join("secret");
    set_mode(&locked, 0o000);
    match create_file(source, file).unwrap_err() {
        BackupError::Unreadable { path, .. } => assert_eq!(path, locked),
        other => panic!("{other:?}"),
    }
    assert!(!file.exists());
}

fn make_removable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            make_removable(&entry.path());
        }
    }
}

// Fails if `Walk` lets pass what a restore refuses, or either refuses one less.
#[test]
fn a_tree_is_kept_up_to_a_thousand_names_deep() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut inner = rustix::fs::open(&source, flags, Mode::empty()).unwrap();
    for _ in 0..999 {
        rustix::fs::mkdirat(&inner, "a", Mode::RWXU).unwrap();
        inner = rustix::fs::openat(&inner, "a", flags, Mode::empty()).unwrap();
    }
    rustix::fs::symlinkat("reached", &inner, "bottom").unwrap();
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    assert_eq!((written.folders, written.links), (999, 1));
    let restored = restore(&file, &folder.path().join("restored")).unwrap();
    assert_eq!(restored, written);

    rustix::fs::mkdirat(&inner, "z", Mode::RWXU).unwrap();
    inner = rustix::fs::openat(&inner, "z", flags, Mode::empty()).unwrap();
    rustix::fs::symlinkat("not reached", &inner, "bottom").unwrap();
    let error = create_file(&source, &folder.path().join("deeper.age")).unwrap_err();
    assert!(matches!(error, BackupError::TooDeep(_)), "{error:?}");
}

#[test]
fn paths_longer_than_the_system_allows_are_kept() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let name = "a folder in a folder";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut inner = rustix::fs::open(&source, flags, Mode::empty()).unwrap();
    for _ in 0..300 {
        rustix::fs::mkdirat(&inner, name, Mode::RWXU).unwrap();
        inner = rustix::fs::openat(&inner, name, flags, Mode::empty()).unwrap();
    }
    rustix::fs::symlinkat("reached", &inner, "bottom").unwrap();
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    assert_eq!((written.folders, written.links), (300, 1));
    let target = folder.path().join("restored");
    assert_eq!(restore(&file, &target).unwrap(), written);
    let mut inner = rustix::fs::open(&target, flags, Mode::empty()).unwrap();
    for _ in 0..300 {
        inner = rustix::fs::openat(&inner, name, flags, Mode::empty()).unwrap();
    }
    let link = rustix::fs::readlinkat(&inner, "bottom", Vec::new()).unwrap();
    assert_eq!(link.as_bytes(), b"reached");
}
