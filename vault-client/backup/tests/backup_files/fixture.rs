//! A backup of the first version: it must open for ever.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::tempdir;
use vault_backup::{file_name, key_id_in_name};

use crate::support::{NAMED, create_file, key, names, restore, set_mode, set_time};

const LONG: &str = "a name of more than one hundred bytes, for which the header of a tar archive \
    has no room, so that a record goes before it";

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(NAMED)
}

#[test]
fn the_first_backup_still_opens() {
    assert_eq!(file_name(key().key_id()), NAMED);
    assert_eq!(key_id_in_name(&committed()), Some(key().key_id()));
    let folder = tempdir().unwrap();
    let target = folder.path().join("restored");
    let restored = restore(&committed(), &target).unwrap();
    assert_eq!(
        (restored.files, restored.folders, restored.links),
        (2, 1, 1)
    );
    assert_eq!(restored.bytes, 21);
    assert_eq!(names(&target), ["folder", "link"]);
    assert_eq!(names(&target.join("folder")), [LONG, "file"]);
    assert_eq!(fs::read(target.join("folder/file")).unwrap(), b"content\n");
    assert_eq!(
        fs::read(target.join("folder").join(LONG)).unwrap(),
        b"more content\n"
    );
    assert_eq!(
        fs::read_link(target.join("link")).unwrap(),
        Path::new("folder/file")
    );
    for (name, mode, seconds, nanoseconds) in [
        ("folder/file", 0o600, 1_700_000_000, 123_456_789),
        ("folder", 0o500, 1_700_000_001, 0),
        ("", 0o711, -1, 500_000_000),
    ] {
        let metadata = target.join(name).metadata().unwrap();
        assert_eq!(metadata.mode() & 0o777, mode, "{name}");
        let time = (metadata.mtime(), metadata.mtime_nsec());
        assert_eq!(time, (seconds, nanoseconds), "{name}");
    }
}

#[test]
#[ignore = "writes the committed file; never replace it, a new version gets one of its own"]
fn write_the_fixture() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::write(source.join("folder/file"), "content\n").unwrap();
    fs::write(source.join("folder").join(LONG), "more content\n").unwrap();
    symlink("folder/file", source.join("link")).unwrap();
    set_mode(&source.join("folder/file"), 0o600);
    set_time(&source.join("folder/file"), 1_700_000_000, 123_456_789);
    set_mode(&source.join("folder"), 0o500);
    set_time(&source.join("folder"), 1_700_000_001, 0);
    set_mode(&source, 0o711);
    set_time(&source, -1, 500_000_000);
    assert!(!committed().exists());
    create_file(&source, &committed()).unwrap();
    set_mode(&source.join("folder"), 0o700);
}
