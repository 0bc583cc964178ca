//! Where things are written to, and what happens when they cannot be.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};
use vault_backup::{BackupError, Quiet};

use crate::limits::{child_folder, run_again};
use crate::support::{NAMED, create_file, key, names, noise, restore};

/// A folder with a backup of one file.
fn with_backup() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let file = folder.path().join(NAMED);
    create_file(&source, &file).unwrap();
    fs::remove_dir_all(&source).unwrap();
    (folder, file)
}

// Fails if `StagedFolder::beside` asks for `metadata` instead of `symlink_metadata`. Without its look
// into the folder the rename still refuses, later.
#[test]
fn what_exists_is_not_restored_over() {
    let (folder, file) = with_backup();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/mine"), "mine").unwrap();
    fs::write(at("file"), "mine").unwrap();
    fs::create_dir(at("empty")).unwrap();
    symlink("empty", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let before = names(folder.path());
    for name in ["full", "file", "link", "dangling"] {
        let error = restore(&file, &at(name)).unwrap_err();
        assert!(
            matches!(error, BackupError::TargetExists(ref path) if *path == at(name)),
            "{error:?}"
        );
        assert_eq!(names(folder.path()), before);
    }
    assert_eq!(fs::read(at("full/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(at("file")).unwrap(), b"mine");
    assert!(names(&at("empty")).is_empty());
}

#[test]
fn an_empty_folder_is_restored_into() {
    let (folder, file) = with_backup();
    let target = folder.path().join("empty");
    fs::create_dir(&target).unwrap();
    restore(&file, &target).unwrap();
    assert_eq!(names(&target), ["file"]);
    assert_eq!(names(folder.path()), [NAMED, "empty"]);
}

#[test]
fn a_target_with_a_slash_behind_is_fine() {
    let (folder, file) = with_backup();
    restore(&file, &folder.path().join("new/")).unwrap();
    assert_eq!(names(&folder.path().join("new")), ["file"]);
}

#[test]
fn a_target_without_a_name_or_in_no_folder_is_unwritable() {
    let (folder, file) = with_backup();
    for target in ["missing/new", "missing/..", "/"] {
        let error = restore(&file, &folder.path().join(target)).unwrap_err();
        let expected = matches!(
            error,
            BackupError::Unwritable { .. } | BackupError::TargetExists(_)
        );
        assert!(expected, "{target}: {error:?}");
        assert_eq!(names(folder.path()), [NAMED]);
    }
}

#[test]
fn what_a_killed_restore_left_is_passed_over() {
    let (folder, file) = with_backup();
    fs::create_dir(folder.path().join(".restore-partial-0")).unwrap();
    fs::write(folder.path().join(".backup-partial-0"), "").unwrap();
    restore(&file, &folder.path().join("new")).unwrap();
    create_file(&folder.path().join("new"), &file).unwrap();
    let left = [".backup-partial-0", ".restore-partial-0", NAMED, "new"];
    assert_eq!(names(folder.path()), left);
}

// Fails if `StagedFolder::commit` removes the target before it renames.
#[test]
fn a_target_that_appears_meanwhile_is_not_replaced() {
    let (folder, file) = with_backup();
    let target = folder.path().join("new");
    // The last bytes are read after the target was looked at.
    let mut appear = |done, total| {
        if done == total && !target.exists() {
            fs::create_dir(&target).unwrap();
            fs::write(target.join("mine"), "mine").unwrap();
        }
    };
    let error = vault_backup::restore(&file, &target, &key(), &mut appear).unwrap_err();
    assert!(matches!(error, BackupError::TargetExists(_)), "{error:?}");
    assert_eq!(fs::read(target.join("mine")).unwrap(), b"mine");
    assert_eq!(names(folder.path()), [NAMED, "new"]);
}

#[test]
fn a_missing_source_is_named_and_no_file_is_made() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "").unwrap();
    symlink("missing", at("dangling")).unwrap();
    for name in ["missing", "file", "dangling"] {
        let error = create_file(&at(name), &at(NAMED)).unwrap_err();
        assert!(matches!(error, BackupError::SourceNotAFolder(ref path) if *path == at(name)));
        assert_eq!(names(folder.path()), ["dangling", "file"]);
    }
}

#[test]
fn a_backup_cannot_replace_a_folder() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for target in [
        source.clone(),
        folder.path().join("missing/file"),
        PathBuf::from("/"),
    ] {
        let error = create_file(&source, &target).unwrap_err();
        assert!(matches!(error, BackupError::Unwritable { .. }), "{error:?}");
    }
    assert_eq!(names(folder.path()), ["source"]);
    assert!(names(&source).is_empty());
}

// Fails without `remove_file` when a `StagedFile` is dropped.
#[test]
fn a_backup_that_fails_leaves_the_former_one_alone() {
    let (folder, file) = with_backup();
    let before = fs::read(&file).unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(200_000)).unwrap();
    let mut shrink = |done, _| {
        if done > 0 {
            fs::write(source.join("file"), "").unwrap();
        }
    };
    let error = vault_backup::create_file(&source, &file, &key(), &mut shrink).unwrap_err();
    assert!(matches!(error, BackupError::SourceChanged(_)), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(names(folder.path()), [NAMED, "source"]);
}

struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0 < 10 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[test]
fn a_full_disk_is_the_sinks_error_at_every_point() {
    let (folder, file) = with_backup();
    let source = folder.path().join("source");
    restore(&file, &source).unwrap();
    fs::write(source.join("noise"), noise(100_000)).unwrap();
    let mut complete = Vec::new();
    vault_backup::create(&source, &mut complete, &key(), &mut Quiet).unwrap();
    for room in [
        0,
        10,
        150,
        200,
        70_000,
        complete.len() - 1,
        complete.len(),
        complete.len() + 9,
    ] {
        let error = vault_backup::create(&source, Full(room), &key(), &mut Quiet).unwrap_err();
        assert!(matches!(error, BackupError::Sink(_)), "{room}: {error:?}");
    }
    vault_backup::create(&source, Full(complete.len() + 10), &key(), &mut Quiet).unwrap();
}

#[test]
fn relative_paths_and_the_working_folder_itself_are_fine() {
    let Some(folder) = child_folder() else {
        let folder = tempdir().unwrap();
        run_again(
            "targets::relative_paths_and_the_working_folder_itself_are_fine",
            folder.path(),
            None,
        );
        return;
    };
    fs::create_dir_all(folder.join("source/sub")).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    std::env::set_current_dir(&folder).unwrap();
    create_file("source".as_ref(), NAMED.as_ref()).unwrap();
    restore(NAMED.as_ref(), "new".as_ref()).unwrap();
    assert_eq!(names(&folder.join("new")), ["sub"]);
    std::env::set_current_dir("empty").unwrap();
    restore(&folder.join(NAMED), ".".as_ref()).unwrap();
    assert_eq!(names(&folder.join("empty")), ["sub"]);
    assert_eq!(names(&folder), [NAMED, "empty", "new", "program", "source"]);
}
