//! What goes in comes out.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode};
use tempfile::tempdir;
use vault_backup::{BackupError, Quiet, Skipped, SpecialKind, Summary, check_target};

use crate::support::{NAMED, create_file, grow_tree, key, names, noise, picture, restore};

// Fails without `fchmod`, without `futimens`, without the records for long names or times, with
// `add` following links.
#[test]
fn a_tree_comes_back_byte_for_byte_with_modes_times_and_links() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    grow_tree(&source);
    let before = picture(&source);
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    let target = folder.path().join("restored");
    let restored = restore(&file, &target).unwrap();

    assert_eq!(picture(&target), before);
    assert_eq!(picture(&source), before, "the source was changed");
    assert_eq!(restored, written);
    let count = |kind: &str| {
        before
            .values()
            .filter(|p| format!("{p:?}").contains(kind))
            .count()
    };
    assert_eq!(written.files, count("kind: \"file\"") as u64);
    assert_eq!(written.folders + 1, count("kind: \"folder\"") as u64);
    assert_eq!(written.links, count("kind: \"link\"") as u64);
    assert_eq!(written.skipped, []);
}

// Fails with PERMISSIONS = 0o7777.
#[test]
fn setuid_setgid_and_sticky_bits_are_dropped() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    grow_tree(&source);
    let file = folder.path().join(NAMED);
    create_file(&source, &file).unwrap();
    let target = folder.path().join("restored");
    restore(&file, &target).unwrap();
    for name in ["setuid", "sub", "sub/empty folder"] {
        assert_ne!(source.join(name).metadata().unwrap().mode() & 0o7000, 0);
        assert_eq!(
            target.join(name).metadata().unwrap().mode() & 0o7000,
            0,
            "{name}"
        );
    }
}

#[test]
fn an_empty_folder_comes_back_with_its_mode_and_time() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    crate::support::set_mode(&source, 0o711);
    crate::support::set_time(&source, 42, 43);
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    assert_eq!(written, Summary::default());
    restore(&file, &folder.path().join("restored")).unwrap();
    assert_eq!(picture(&folder.path().join("restored")), picture(&source));
}

#[test]
fn special_files_are_skipped_and_named() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("file"), "kept").unwrap();
    let _socket = UnixListener::bind(source.join("socket")).unwrap();
    rustix::fs::mknodat(CWD, source.join("sub/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    let skipped = |path: &str, kind| Skipped {
        path: PathBuf::from(path),
        kind,
    };
    let expected = [
        skipped("socket", SpecialKind::Socket),
        skipped("sub/pipe", SpecialKind::Pipe),
    ];
    assert_eq!(written.skipped, expected);
    let target = folder.path().join("restored");
    assert_eq!(restore(&file, &target).unwrap().skipped, []);
    assert_eq!(picture(&target), picture(&source));
    assert_eq!(names(&target), ["file", "sub"]);
}

// Fails if `inspect` looks through links (without AtFlags::SYMLINK_NOFOLLOW).
#[test]
fn links_are_not_followed_while_reading() {
    let folder = tempdir().unwrap();
    let (source, outside) = (folder.path().join("source"), folder.path().join("outside"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("private"), "not to be copied").unwrap();
    symlink(&outside, source.join("folder")).unwrap();
    symlink(outside.join("private"), source.join("file")).unwrap();
    let file = folder.path().join(NAMED);
    let written = create_file(&source, &file).unwrap();
    assert_eq!((written.files, written.folders, written.links), (0, 0, 2));
    assert_eq!(written.bytes, 0);
}

#[test]
fn the_folder_to_back_up_may_be_reached_through_a_link() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    symlink(&source, folder.path().join("link")).unwrap();
    let file = folder.path().join(NAMED);
    create_file(&folder.path().join("link"), &file).unwrap();
    let target = folder.path().join("restored");
    restore(&file, &target).unwrap();
    assert_eq!(picture(&target), picture(&source));
}

// Fails without `excluded` in `Walk::look_at`.
#[test]
fn a_backup_inside_the_folder_does_not_contain_itself_nor_the_one_it_replaces() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1000)).unwrap();
    let file = source.join(NAMED);
    for _ in 0..2 {
        let written = create_file(&source, &file).unwrap();
        assert_eq!((written.files, written.bytes), (1, 1000));
        assert_eq!(names(&source), [NAMED, "file"]);
    }
    let target = folder.path().join("restored");
    restore(&file, &target).unwrap();
    assert_eq!(names(&target), ["file"]);
}

#[test]
fn a_backup_file_is_readable_by_its_owner_only_and_a_multiple_of_chunks() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(100_000)).unwrap();
    let file = folder.path().join(NAMED);
    create_file(&source, &file).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    let header = bytes.windows(5).position(|w| w == b"\n--- ").unwrap() + 5 + 44;
    assert_eq!((bytes.len() - header - 16) % (64 * 1024 + 16), 0);
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    assert!(bytes[..header].windows(4).any(|w| w == b" 10\n"));
}

#[test]
fn a_backup_written_to_a_sink_is_the_same_kind_of_file() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    grow_tree(&source);
    let mut sink = Vec::new();
    let written = vault_backup::create(&source, &mut sink, &key(), &mut Quiet).unwrap();
    let file = folder.path().join("any name");
    fs::write(&file, &sink).unwrap();
    let target = folder.path().join("restored");
    assert_eq!(restore(&file, &target).unwrap(), written);
    assert_eq!(picture(&target), picture(&source));
}

#[test]
fn a_misleading_name_does_not_keep_the_right_key_out() {
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let file = folder.path().join("backup-0000000000000000.age");
    create_file(&source, &file).unwrap();
    restore(&file, &folder.path().join("restored")).unwrap();
}

// The way back from a tool's archive: names with `./`, records in the pax format.
#[test]
fn archives_of_other_programs_are_restored() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    archive.append_data(&mut header, "./", &b""[..]).unwrap();
    archive.append_data(&mut header, "./a/", &b""[..]).unwrap();
    let path = format!("a/{}", "p".repeat(200));
    let records: [(&str, &[u8]); 4] = [
        ("path", path.as_bytes()),
        ("mtime", b"1234.5"),
        ("comment", b"line\nfeed"),
        ("uid", b"1000"),
    ];
    let record: Vec<u8> = records.iter().flat_map(|(k, v)| pax(k, v)).collect();
    let mut extension = tar::Header::new_ustar();
    extension.set_entry_type(tar::EntryType::XHeader);
    extension.set_size(record.len() as u64);
    extension.set_cksum();
    archive.append(&extension, &*record).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o640);
    header.set_size(3);
    archive
        .append_data(&mut header, "short", &b"abc"[..])
        .unwrap();
    let archive = archive.into_inner().unwrap();

    let folder = tempdir().unwrap();
    let file = folder.path().join("made by hand");
    let payload = zstd::encode_all(&*archive, 19).unwrap();
    fs::write(&file, crate::support::age_file(&key(), &payload)).unwrap();
    let target = folder.path().join("restored");
    let restored = restore(&file, &target).unwrap();
    assert_eq!((restored.files, restored.folders), (1, 1));
    let metadata = target.join(&path).metadata().unwrap();
    assert_eq!(
        (metadata.mtime(), metadata.mtime_nsec()),
        (1234, 500_000_000)
    );
    assert_eq!(metadata.mode() & 0o777, 0o640);
}

fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = (1..).find(|d| (rest + d).to_string().len() == *d).unwrap();
    let mut record = format!("{} {key}=", rest + digits).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

// Fails if `check_target` looks at `target` alone: an attempt is spent before the restore fails.
#[test]
fn a_target_that_a_restore_would_refuse_is_refused_before_and_nothing_is_left() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/file"), "").unwrap();
    symlink("nowhere", path("link")).unwrap();
    for name in ["full", "full/file", "link"] {
        let refused = check_target(&path(name));
        assert!(
            matches!(refused, Err(BackupError::TargetExists(_))),
            "{name}"
        );
    }
    let refused = check_target(&path("missing/target"));
    assert!(matches!(refused, Err(BackupError::Unwritable { .. })));

    fs::create_dir(path("empty")).unwrap();
    check_target(&path("empty")).unwrap();
    check_target(&path("new")).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
