//! Files that are something else.

use std::fs;
use std::io::Write;
use std::iter;

use tempfile::tempdir;
use vault_backup::{BackupError, NotABackup, Quiet};

use crate::support::{NAMED, age_file, key, noise, refusal};

fn foreign(bytes: &[u8], expected: NotABackup) {
    let folder = tempdir().unwrap();
    match refusal(folder.path(), "a file", bytes, &key()) {
        BackupError::NotABackup(what) => assert_eq!(what, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_files_are_no_age_files() {
    foreign(&noise(5000), NotABackup::NotAge);
    foreign(b"Dear diary", NotABackup::NotAge);
    foreign(
        b"age-encryption.org/v2\n-> x\n\n--- y\n",
        NotABackup::NotAge,
    );
    foreign(
        b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
        NotABackup::NotAge,
    );
}

#[test]
fn a_folder_or_a_device_is_no_backup_and_a_missing_file_is_unreadable() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("restored");
    for path in [folder.path(), "/dev/zero".as_ref()] {
        let error = vault_backup::restore(path, &target, &key(), &mut Quiet).unwrap_err();
        assert!(
            matches!(error, BackupError::NotABackup(NotABackup::NotAge)),
            "{error:?}"
        );
    }
    let missing = folder.path().join("missing");
    let error = vault_backup::restore(&missing, &target, &key(), &mut Quiet).unwrap_err();
    assert!(matches!(error, BackupError::Unreadable { path, .. } if path == missing));
}

#[test]
fn an_empty_file_is_a_truncated_one() {
    let folder = tempdir().unwrap();
    let error = refusal(folder.path(), NAMED, b"", &key());
    assert!(matches!(error, BackupError::Truncated), "{error:?}");
}

#[test]
fn an_age_file_for_recipients_is_not_one_for_a_passphrase() {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    for count in [1, 30] {
        let recipients = iter::repeat_n(&recipient as &dyn age::Recipient, count);
        let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
        let mut file = Vec::new();
        let mut writer = encryptor.wrap_output(&mut file).unwrap();
        writer.write_all(b"content").unwrap();
        writer.finish().unwrap();
        foreign(&file, NotABackup::OtherRecipients);
    }
}

// Fails with `set_max_work_factor(WORK_FACTOR + 1)`. Without it, it would take minutes.
#[test]
fn a_file_that_asks_for_much_work_gets_none() {
    for work in ["11", "18", "22", "63", "64", "255"] {
        let header = format!(
            "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA {work}\n\
             AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
             --- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef"
        );
        foreign(header.as_bytes(), NotABackup::WorkFactor);
    }
}

#[test]
fn malformed_headers_are_damage() {
    let salt = "AAAAAAAAAAAAAAAAAAAAAA";
    let body = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for stanza in [
        format!("-> scrypt {salt} 0\n{body}"),
        format!("-> scrypt {salt} 256\n{body}"),
        format!("-> scrypt {salt} -1\n{body}"),
        format!("-> scrypt {salt}\n{body}"),
        format!("-> scrypt {salt} 10 10\n{body}"),
        format!("-> scrypt {} 10\n{body}", &salt[1..]),
        format!("-> scrypt {salt} 10\n{}", &body[4..]),
        format!("-> scrypt {salt} 10\n{body}\n-> scrypt {salt} 10\n{body}"),
        format!("-> X25519 {salt}\n{body}\n-> scrypt {salt} 10\n{body}"),
        "x".to_owned(),
        String::new(),
    ] {
        let file = format!("age-encryption.org/v1\n{stanza}\n--- {body}\n0123456789abcdef");
        let folder = tempdir().unwrap();
        let error = refusal(folder.path(), "a file", file.as_bytes(), &key());
        assert!(matches!(error, BackupError::Damaged), "{stanza}: {error:?}");
    }
}

/// An empty archive in a frame that asks for a window of this many bits.
fn wide(window_log: u32) -> Vec<u8> {
    let mut frame = zstd::Encoder::new(Vec::new(), 3).unwrap();
    frame.window_log(window_log).unwrap();
    frame.write_all(&[0; 2048]).unwrap();
    frame.finish().unwrap()
}

// Fails without either check of `end_of_archive`, with WINDOW_LIMIT = 24, without `single_frame`.
#[test]
fn a_payload_that_is_no_compressed_archive_is_refused() {
    let zipped = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let ended = |bytes: &[u8]| zipped(&[bytes, &[0; 1024]].concat());
    for payload in [
        Vec::new(),
        noise(3000),
        b"just text".to_vec(),
        // zstd around something else.
        zipped(b""),
        zipped(&noise(3000)),
        zipped(&noise(3000)[..512]),
        ended(&noise(512)),
        // Ends too early, or too late.
        zipped(&[0; 512]),
        ended(b"x"),
        zipped(&[&[0; 2048][..], b"x"].concat()),
        // More frames, and things that look like padding.
        [ended(b""), ended(b"")].concat(),
        [&ended(b"")[..], b"trailing"].concat(),
        [&ended(b"")[..], b"P*M\x18"].concat(),
        [&ended(b"")[..], b"P*M\x18\x05\0\0\0four"].concat(),
        [&ended(b"")[..], b"P*M\x18\x04\0\0\0four+"].concat(),
        [&ended(b"")[..], b"Q*M\x18\x04\0\0\0four"].concat(),
        [&ended(b"")[..], &b"P*M\x18\x04\0\0\0four".repeat(2)].concat(),
        [b"P*M\x18\x04\0\0\0four", &ended(b"")[..]].concat(),
        // Half a frame.
        ended(b"")[..10].to_vec(),
        // Wants 16 MiB, or 128.
        wide(24),
        wide(27),
    ] {
        foreign(&age_file(&key(), &payload), NotABackup::Content);
    }
}

// Fails with WINDOW_LIMIT = 22: other programs write so.
#[test]
fn a_window_of_8_mib_is_accepted() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("wide");
    fs::write(&file, age_file(&key(), &wide(23))).unwrap();
    vault_backup::restore(&file, &folder.path().join("out"), &key(), &mut Quiet).unwrap();
}

#[test]
fn a_payload_with_padding_of_any_length_is_accepted() {
    let archive = zstd::encode_all(&[0; 1024][..], 3).unwrap();
    for (name, padding) in [("none", &b""[..]), ("four", b"P*M\x18\x04\0\0\0four")] {
        let folder = tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, age_file(&key(), &[&archive, padding].concat())).unwrap();
        vault_backup::restore(&file, &folder.path().join("out"), &key(), &mut Quiet).unwrap();
    }
}
