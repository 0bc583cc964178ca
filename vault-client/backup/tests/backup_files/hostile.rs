//! Archives made to do harm by an attacker that has the key. Every one is also a committed file, so that
//! what was refused once stays refused.

use std::fs;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};
use tempfile::tempdir;
use vault_backup::{BackupError, NotABackup, Refusal};

use crate::support::{age_file_of_archive, key, names, refusal, restore};

/// An archive in the making that sets every field as told, whether it makes sense or not.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(mut self, kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(0);
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str) -> Self {
        self.entry(b'0', name.as_bytes(), b"", b"harm")
    }

    fn folder(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    fn record(self, kind: u8, data: &[u8]) -> Self {
        self.entry(kind, b"record", b"", data)
    }
}

enum Expected {
    Refused(Refusal),
    Content,
}

fn vectors() -> Vec<(&'static str, Archive, Expected)> {
    let new = Archive::default;
    let mut vectors = Vec::new();
    let mut refused =
        |name, reason, archive| vectors.push((name, archive, Expected::Refused(reason)));

    use Refusal::{Kind, NoFolder, Outside, ThroughLink, TooDeep, Twice};
    refused("absolute", Outside, new().file("/tmp/harm"));
    refused("absolute-twice", Outside, new().file("//tmp/harm"));
    refused("parent", Outside, new().file("../harm"));
    refused(
        "parent-inside",
        Outside,
        new().folder("a").file("a/../../harm"),
    );
    refused(
        "parent-and-back",
        Outside,
        new().folder("a").file("a/../harm"),
    );
    refused("parent-alone", Outside, new().folder(".."));
    refused("parent-after-dot", Outside, new().file("./../harm"));
    refused("parent-link", Outside, new().link("../harm", "x"));
    refused(
        "parent-long-name",
        Outside,
        new().record(b'L', b"../harm\0").file("x"),
    );
    refused(
        "parent-pax-path",
        Outside,
        new().record(b'x', b"16 path=../harm\n").file("x"),
    );
    refused(
        "zero-in-name",
        Outside,
        new().record(b'L', b"x\0/../harm\0").file("x"),
    );
    refused("no-name", Outside, new().file(""));
    refused("root-is-a-file", Outside, new().file("./"));
    refused("root-is-a-link", Outside, new().link(".", "/tmp"));

    refused(
        "through-link",
        ThroughLink,
        new().link("l", "/tmp").file("l/harm"),
    );
    refused(
        "through-link-inside",
        ThroughLink,
        new().folder("a").link("l", "a").file("l/harm"),
    );
    refused(
        "through-link-up",
        ThroughLink,
        new().link("l", "..").folder("l/harm"),
    );
    refused(
        "through-link-link",
        ThroughLink,
        new().link("l", ".").link("l/m", "x"),
    );
    refused(
        "through-link-deep",
        ThroughLink,
        new().folder("a").link("a/l", "..").file("a/l/harm"),
    );
    refused("through-file", ThroughLink, new().file("f").file("f/harm"));
    refused("no-folder", NoFolder, new().file("a/b"));

    refused(
        "too-deep",
        TooDeep,
        new().record(b'L', "a/".repeat(1001).as_bytes()).folder("x"),
    );

    refused("over-link", Twice, new().link("l", "/tmp/harm").file("l"));
    refused(
        "over-link-folder",
        Twice,
        new().link("l", "/tmp").folder("l"),
    );
    refused("over-file", Twice, new().file("f").file("f"));
    refused("over-file-link", Twice, new().file("f").link("f", "x"));
    refused("over-folder", Twice, new().folder("a").folder("a"));
    refused(
        "over-folder-link",
        Twice,
        new().folder("a").link("a/", "/tmp"),
    );
    refused("root-twice", Twice, new().folder("./").folder("./"));

    refused(
        "hard-link",
        Kind,
        new().file("f").entry(b'1', b"h", b"f", b""),
    );
    refused(
        "hard-link-outside",
        Kind,
        new().entry(b'1', b"h", b"/etc/passwd", b""),
    );
    refused("character-device", Kind, new().entry(b'3', b"d", b"", b""));
    refused("block-device", Kind, new().entry(b'4', b"d", b"", b""));
    refused("pipe", Kind, new().entry(b'6', b"p", b"", b""));
    refused("continuous", Kind, new().entry(b'7', b"c", b"", b""));
    refused(
        "pax-global",
        Kind,
        new().record(b'g', b"16 path=../harm\n").file("x"),
    );
    refused("unknown-kind", Kind, new().entry(b'Z', b"z", b"", b""));
    refused(
        "pax-size",
        Kind,
        new().record(b'x', b"10 size=9\n").file("x"),
    );
    refused(
        "pax-sparse",
        Kind,
        new().record(b'x', b"22 GNU.sparse.major=1\n").file("x"),
    );

    let mut content = |name, archive| vectors.push((name, archive, Expected::Content));
    content("gnu-sparse-unreadable", {
        let mut archive = new().file("x");
        archive.0[124..136].copy_from_slice(b"zzzzzzzzzzz\0");
        checksum(&mut archive.0[..512]);
        archive
    });
    content("link-to-nothing", new().link("l", ""));
    content(
        "link-with-zero",
        new().record(b'K', b"a\0b\0").link("l", "x"),
    );
    content("record-without-entry", new().record(b'L', b"name\0"));
    content(
        "record-malformed",
        new().record(b'x', b"99 path=x\n").file("x"),
    );
    content(
        "record-time",
        new().record(b'x', b"13 mtime=1e9\n").file("x"),
    );
    content(
        "record-too-long",
        new().record(b'L', &vec![b'n'; 1024 * 1024 + 1]).file("x"),
    );
    content("checksum", {
        let mut archive = new().file("x");
        archive.0[0] ^= 1;
        archive
    });
    content("size-beyond-the-end", {
        let mut archive = new().file("x");
        archive.0[124..136].copy_from_slice(b"00000777777\0");
        checksum(&mut archive.0[..512]);
        archive
    });
    content("size-overflowing", {
        let mut archive = new().file("x");
        archive.0[124..136].copy_from_slice(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        checksum(&mut archive.0[..512]);
        archive
    });
    vectors
}

fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn folder_of_vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/refused")
}

// Fails without NOFOLLOW in `open_folder` (through-...), without EXCL in `Unpacker::file`
// (over-...), with `ParentDir` passed over in `inside` (parent-...).
#[test]
fn hostile_archives_are_refused_and_leave_nothing_behind() {
    let vectors = vectors();
    assert_eq!(names(&folder_of_vectors()).len(), vectors.len());
    for (name, _, expected) in vectors {
        let folder = tempdir().unwrap();
        let file = fs::read(folder_of_vectors().join(format!("{name}.age"))).unwrap();
        let error = refusal(folder.path(), "hostile", &file, &key());
        match (&error, expected) {
            (BackupError::Refused { reason, .. }, Expected::Refused(expected)) => {
                assert_eq!(*reason, expected, "{name}");
            }
            (BackupError::NotABackup(NotABackup::Content), Expected::Content) => {}
            _ => panic!("{name}: {error:?}"),
        }
        assert!(!Path::new("/tmp/harm").exists(), "{name}");
    }
}

// Fails with an arm for any other type in `describe`.
#[test]
fn every_other_type_of_entry_is_refused() {
    let folder = tempdir().unwrap();
    let types = (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z');
    for kind in types.filter(|kind| !b"025KLx".contains(kind)) {
        let archive = Archive::default().entry(kind, b"x", b"y", b"");
        let file = age_file_of_archive(&archive.0);
        let error = refusal(folder.path(), "hostile", &file, &key());
        let is_kind = matches!(
            error,
            BackupError::Refused {
                reason: Refusal::Kind,
                ..
            }
        );
        assert!(is_kind, "{}: {error:?}", kind as char);
    }
}

/// A file's header, one field of which is replaced.
fn with_field(place: std::ops::Range<usize>, bytes: &[u8]) -> Archive {
    let mut archive = Archive::default().file("x");
    archive.0[place].copy_from_slice(bytes);
    checksum(&mut archive.0[..512]);
    archive
}

// Fails if `describe` takes 0 for what it cannot read.
#[test]
fn modes_and_times_that_are_no_numbers_are_refused() {
    let folder = tempdir().unwrap();
    for (what, archive) in [
        ("mode", with_field(100..108, b"zzzzzzz\0")),
        ("time", with_field(136..148, b"zzzzzzzzzzz\0")),
        (
            "a time beyond 63 bits",
            with_field(136..148, b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
    ] {
        let file = age_file_of_archive(&archive.0);
        let error = refusal(folder.path(), "hostile", &file, &key());
        let is_content = matches!(error, BackupError::NotABackup(NotABackup::Content));
        assert!(is_content, "{what}: {error:?}");
    }
}

// Fails with a RECORD_LIMIT of one byte less; `record-too-long` is one byte more.
#[test]
fn a_record_of_1_mib_is_read() {
    let mut record = b"1048576 comment=".to_vec();
    record.resize(1024 * 1024 - 1, b'c');
    record.push(b'\n');
    let archive = Archive::default().record(b'x', &record).file("x");
    let folder = tempdir().unwrap();
    let (file, target) = (folder.path().join("long"), folder.path().join("restored"));
    fs::write(&file, age_file_of_archive(&archive.0)).unwrap();
    restore(&file, &target).unwrap();
    assert_eq!(names(&target), ["x"]);
}

/// Writes the files again: `cargo test -p vault-backup --test backup_files -- --ignored vectors`.
#[test]
#[ignore = "writes the committed files"]
fn write_the_hostile_vectors() {
    fs::create_dir_all(folder_of_vectors()).unwrap();
    for (name, archive, _) in vectors() {
        let file = folder_of_vectors().join(format!("{name}.age"));
        fs::write(file, age_file_of_archive(&archive.0)).unwrap();
    }
}
