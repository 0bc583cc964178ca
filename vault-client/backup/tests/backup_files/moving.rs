//! Folders that change while they are read, and users who change their minds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use vault_backup::{BackupError, Progress, Summary};

use crate::support::{NAMED, create_file, grow_tree, key, names, noise};

/// A folder in which `a` is read first; the rest comes after.
fn source() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), noise(300_000)).unwrap();
    fs::create_dir(source.join("b")).unwrap();
    fs::write(source.join("b/inside"), "inside").unwrap();
    fs::write(source.join("c"), noise(1000)).unwrap();
    (folder, source)
}

/// Backs up, and does something once the content of `a` is being read.
fn disturbed(folder: &Path, disturb: impl FnOnce()) -> Result<Summary, BackupError> {
    let mut disturb = Some(disturb);
    let mut progress = |done, _| {
        if done > 0
            && let Some(disturb) = disturb.take()
        {
            disturb();
        }
    };
    vault_backup::create_file(
        &folder.join("source"),
        &folder.join(NAMED),
        &key(),
        &mut progress,
    )
}

fn assert_changed(folder: &Path, result: Result<Summary, BackupError>, name: &str) {
    match result.unwrap_err() {
        BackupError::SourceChanged(path) => assert_eq!(path, folder.join("source").join(name)),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(folder), ["source"]);
}

// Fails without the second `stat` in `Packer::file`, which sees what sizes do not show.
#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    for change in [0, 1, 299_999, 300_001, 1_000_000] {
        let (folder, source) = source();
        let result = disturbed(folder.path(), || {
            fs::write(source.join("a"), noise(change)).unwrap()
        });
        assert_changed(folder.path(), result, "a");
    }
    let (folder, source) = source();
    let same_size = vec![1; 300_000];
    let result = disturbed(folder.path(), || {
        fs::write(source.join("a"), same_size).unwrap()
    });
    assert_changed(folder.path(), result, "a");
}

#[test]
fn what_disappears_while_the_folder_is_read_is_named() {
    let (folder, source) = source();
    let result = disturbed(folder.path(), || fs::remove_file(source.join("c")).unwrap());
    assert_changed(folder.path(), result, "c");
    let (folder, source) = self::source();
    let result = disturbed(folder.path(), || {
        fs::remove_dir_all(source.join("b")).unwrap()
    });
    assert_changed(folder.path(), result, "b");
}

#[test]
fn what_becomes_a_link_while_the_folder_is_read_is_not_followed() {
    let (folder, source) = source();
    let outside = tempdir().unwrap();
    fs::write(outside.path().join("private"), noise(5000)).unwrap();
    let result = disturbed(folder.path(), || {
        fs::remove_file(source.join("c")).unwrap();
        symlink(outside.path().join("private"), source.join("c")).unwrap();
        fs::remove_dir_all(source.join("b")).unwrap();
        symlink(outside.path(), source.join("b")).unwrap();
    });
    let written = result.unwrap();
    assert_eq!((written.files, written.folders, written.links), (1, 0, 2));
}

#[test]
fn the_folder_itself_may_be_moved_away() {
    let (folder, source) = source();
    let moved = folder.path().join("moved");
    let written = disturbed(folder.path(), || fs::rename(&source, &moved).unwrap()).unwrap();
    assert_eq!((written.files, written.folders), (3, 1));
}

#[derive(Default)]
struct Recorded {
    steps: Vec<(u64, u64)>,
    cancel_after: Option<usize>,
}

impl Progress for Recorded {
    fn advanced(&mut self, done: u64, total: u64) {
        self.steps.push((done, total));
    }

    fn cancelled(&mut self) -> bool {
        self.cancel_after
            .is_some_and(|steps| self.steps.len() >= steps)
    }
}

#[test]
fn progress_rises_to_the_total_both_ways() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    grow_tree(&source);
    let file = folder.path().join(NAMED);
    let mut written = Recorded::default();
    let summary = vault_backup::create_file(&source, &file, &key(), &mut written).unwrap();
    let mut restored = Recorded::default();
    vault_backup::restore(
        &file,
        &folder.path().join("restored"),
        &key(),
        &mut restored,
    )
    .unwrap();
    let len = file.metadata().unwrap().len();
    for (recorded, total) in [(written, summary.bytes), (restored, len)] {
        let steps = recorded.steps;
        assert!(steps.iter().all(|step| step.1 == total));
        assert!(steps.is_sorted());
        assert_eq!(steps.last(), Some(&(total, total)));
        assert!(steps.len() as u64 >= total / (64 * 1024));
    }
}

#[test]
fn progress_stays_within_the_total_when_files_appear() {
    let (folder, source) = source();
    let mut steps = Vec::new();
    let mut progress = |done, total| {
        steps.push((done, total));
        if done > 0 && !source.join("b/new").exists() {
            fs::write(source.join("b/new"), noise(500_000)).unwrap();
        }
    };
    let file = folder.path().join(NAMED);
    let written = vault_backup::create_file(&source, &file, &key(), &mut progress).unwrap();
    assert_eq!(written.files, 4);
    assert!(steps.is_sorted() && steps.iter().all(|(done, total)| done <= total));
}

// Fails without either question for `cancelled()`.
#[test]
fn cancelling_at_any_step_leaves_nothing_behind() {
    let (folder, source) = source();
    let file = folder.path().join(NAMED);
    for steps in [0, 1, 2, 5] {
        let mut progress = Recorded {
            cancel_after: Some(steps),
            ..Recorded::default()
        };
        let error = vault_backup::create_file(&source, &file, &key(), &mut progress).unwrap_err();
        assert!(matches!(error, BackupError::Cancelled), "{error:?}");
        assert_eq!(names(folder.path()), ["source"]);
    }
    create_file(&source, &file).unwrap();
    let target = folder.path().join("restored");
    for steps in [0, 1, 5, 10, 12] {
        let mut progress = Recorded {
            cancel_after: Some(steps),
            ..Recorded::default()
        };
        let error = vault_backup::restore(&file, &target, &key(), &mut progress).unwrap_err();
        assert!(
            matches!(error, BackupError::Cancelled),
            "{steps}: {error:?}"
        );
        assert_eq!(names(folder.path()), [NAMED, "source"]);
    }
}
