//! Truncated, altered, opened with the wrong key: told apart, and nothing left behind.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vault_backup::{BackupError, file_name};

use crate::support::{NAMED, create_file, key, noise, other_key, refusal};

const SEALED_CHUNK: usize = 64 * 1024 + 16;

/// A backup of four chunks, and where the first begins.
fn sample(folder: &Path) -> (Vec<u8>, usize) {
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("noise"), noise(200_000)).unwrap();
    let file = folder.join("sample");
    create_file(&source, &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::remove_dir_all(&source).unwrap();
    fs::remove_file(&file).unwrap();
    let header = bytes.windows(5).position(|w| w == b"\n--- ").unwrap() + 5 + 44;
    let start = header + 16;
    assert_eq!(bytes.len(), start + 4 * SEALED_CHUNK);
    (bytes, start)
}

/// Every byte of the header and the nonce, and some around every seam of chunks and between.
fn places(start: usize, len: usize) -> impl Iterator<Item = usize> {
    let seams = (0..=4).flat_map(move |chunk| {
        let seam = start + chunk * SEALED_CHUNK;
        [0, 1, 15, 16, 17, 100]
            .into_iter()
            .flat_map(move |d| [seam - d, seam + d])
    });
    (0..start)
        .chain(seams)
        .chain((start..len).step_by(9_973))
        .filter(move |place| *place < len)
}

// Fails without the padding (`payload.write_all(&padding)`), which makes lengths tell.
#[test]
fn a_truncated_backup_is_truncated_wherever_it_ends() {
    let folder = tempdir().unwrap();
    let (bytes, start) = sample(folder.path());
    for len in places(start, bytes.len()) {
        for name in [NAMED, "unnamed"] {
            let error = refusal(folder.path(), name, &bytes[..len], &key());
            assert!(matches!(error, BackupError::Truncated), "{len}: {error:?}");
        }
    }
}

#[test]
fn an_altered_backup_is_damaged_wherever_it_was_altered() {
    let folder = tempdir().unwrap();
    let (mut bytes, start) = sample(folder.path());
    for place in places(start, bytes.len()) {
        let bit = 1 << (place % 8);
        bytes[place] ^= bit;
        let error = refusal(folder.path(), NAMED, &bytes, &key());
        assert!(matches!(error, BackupError::Damaged), "{place}: {error:?}");
        bytes[place] ^= bit;
    }
}

#[test]
fn an_altered_header_is_never_taken_for_anything_but_what_it_may_be() {
    let folder = tempdir().unwrap();
    let (mut bytes, start) = sample(folder.path());
    for place in 0..start {
        for bit in [1, 8, 128] {
            bytes[place] ^= bit;
            let error = refusal(folder.path(), "unnamed", &bytes, &key());
            let expected = matches!(
                error,
                BackupError::Damaged | BackupError::WrongKey { .. } | BackupError::NotABackup(_)
            );
            assert!(expected, "{place}: {error:?}");
            bytes[place] ^= bit;
        }
    }
}

// Fails without `match rest.read(&mut [0])` in `Opened::finish`.
#[test]
fn appended_bytes_are_damage() {
    let folder = tempdir().unwrap();
    let (bytes, start) = sample(folder.path());
    for len in [1, 16, 17, SEALED_CHUNK, SEALED_CHUNK + 1] {
        let longer = [&bytes[..], &noise(len)].concat();
        let error = refusal(folder.path(), NAMED, &longer, &key());
        assert!(matches!(error, BackupError::Damaged), "{len}: {error:?}");
    }
    let twice = [&bytes[..], &bytes[start..]].concat();
    let error = refusal(folder.path(), NAMED, &twice, &key());
    assert!(matches!(error, BackupError::Damaged), "{error:?}");
}

#[test]
fn exchanged_or_missing_chunks_are_damage() {
    let folder = tempdir().unwrap();
    let (bytes, start) = sample(folder.path());
    let chunk = |n: usize| &bytes[start + n * SEALED_CHUNK..start + (n + 1) * SEALED_CHUNK];
    let head = &bytes[..start];
    for pieces in [
        [head, chunk(1), chunk(0), chunk(2), chunk(3)].concat(),
        [head, chunk(0), chunk(2), chunk(3)].concat(),
        [head, chunk(3)].concat(),
        [head, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)].concat(),
    ] {
        let error = refusal(folder.path(), NAMED, &pieces, &key());
        assert!(matches!(error, BackupError::Damaged), "{error:?}");
    }
}

// Fails if `Claim::locked` always says `Damaged`, or always `WrongKey`.
#[test]
fn a_wrong_key_is_told_apart_from_a_damaged_file_by_the_name() {
    let folder = tempdir().unwrap();
    let (bytes, _) = sample(folder.path());
    let error = refusal(folder.path(), NAMED, &bytes, &other_key());
    let BackupError::WrongKey { key: tried, file } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*tried, other_key().key_id());
    assert_eq!(*file, Some(key().key_id()));
    let text = error.to_string();
    assert!(
        text.contains("36962ef6e051649d") && text.contains(&tried.to_string()),
        "{text}"
    );

    let error = refusal(folder.path(), "unnamed", &bytes, &other_key());
    assert!(
        matches!(error, BackupError::WrongKey { file: None, .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("the file's beginning is damaged")
    );

    let claimed = file_name(other_key().key_id());
    let error = refusal(folder.path(), &claimed, &bytes, &other_key());
    assert!(matches!(error, BackupError::Damaged), "{error:?}");
}

#[test]
fn errors_never_show_the_digits() {
    let folder = tempdir().unwrap();
    let (bytes, _) = sample(folder.path());
    let error = refusal(folder.path(), NAMED, &bytes, &other_key());
    let digits = other_key().digits();
    assert!(!format!("{error:?} {error}").contains(&digits.as_str()[..20]));
}
