//! The fixed parts of the age file around a backup (PROTOCOL.md section 3; the format is
//! <https://c2sp.org/age>), and a look at its beginning before age gets to parse it.

use age::secrecy::SecretString;
use vault_protocol::BackupKey;

/// log2 of scrypt's N, when writing and the most that is accepted when reading. The passphrase has
/// 256 bits, so stretching adds nothing; a hostile file must not be able to ask for more.
pub(crate) const WORK_FACTOR: u8 = 10;

/// The payload is encrypted in chunks of this many bytes...
pub(crate) const CHUNK: u64 = 64 * 1024;

/// ...which become this many. Only the last may be shorter.
pub(crate) const SEALED_CHUNK: u64 = CHUNK + 16;

/// The nonce between header and chunks.
pub(crate) const NONCE: u64 = 16;

/// Looked at before parsing. A header for one passphrase has about 150 bytes; age's parser would
/// buffer one without end.
pub(crate) const HEAD_LIMIT: usize = 1024;

/// The first line of every age file of version 1.
const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";

/// How the last line of a header begins...
const LAST_LINE: &[u8] = b"\n--- ";

/// ...before 43 characters of base64 and a line feed.
const MAC_AND_END: usize = 43 + 1;

/// The beginning of a file, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A whole header of this many bytes.
    Complete(u64),
    /// The beginning of a header, then the file ends.
    Truncated,
    /// No header of an age file, version 1.
    NotAge,
    /// A header too long to be one for a passphrase.
    TooLong,
}

/// Judges the first bytes of a file: all of it, or [`HEAD_LIMIT`] bytes.
pub(crate) fn examine(head: &[u8]) -> Head {
    if !head.starts_with(FIRST_LINE) {
        let begins_well = FIRST_LINE.starts_with(head);
        return if begins_well {
            Head::Truncated
        } else {
            Head::NotAge
        };
    }
    let last_line = head.windows(LAST_LINE.len()).position(|w| w == LAST_LINE);
    let end = last_line.map(|start| start + LAST_LINE.len() + MAC_AND_END);
    match end {
        Some(end) if end <= head.len() => Head::Complete(end as u64),
        Some(_) | None if head.len() < HEAD_LIMIT => Head::Truncated,
        Some(_) | None => Head::TooLong,
    }
}

/// The 64 digits.
pub(crate) fn passphrase(key: &BackupKey) -> SecretString {
    SecretString::from(key.digits().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
        --- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

    #[test]
    fn other_files_are_not_age_files() {
        for head in [
            "x",
            "age-encryption.org/v2\n",
            "\u{feff}age-encryption.org/v1\n",
        ] {
            assert_eq!(examine(head.as_bytes()), Head::NotAge, "{head}");
        }
        let armored = b"-----BEGIN AGE ENCRYPTED FILE-----\n";
        assert_eq!(examine(armored), Head::NotAge);
    }

    #[test]
    fn every_beginning_of_a_header_is_a_truncated_one() {
        for len in 0..HEADER.len() {
            assert_eq!(examine(&HEADER.as_bytes()[..len]), Head::Truncated, "{len}");
        }
    }

    #[test]
    fn a_header_that_goes_on_and_on_is_refused_unparsed() {
        let mut head = FIRST_LINE.to_vec();
        while head.len() < HEAD_LIMIT {
            head.extend_from_slice(b"-> X25519 AAAA\nAAAA\n");
        }
        assert_eq!(examine(&head[..HEAD_LIMIT]), Head::TooLong);
        head.truncate(HEAD_LIMIT - 10);
        head.extend_from_slice(b"\n--- AAAAA");
        assert_eq!(examine(&head), Head::TooLong);
    }

    // Fails with any other HEAD_LIMIT.
    #[test]
    fn a_header_has_at_most_1024_bytes() {
        for (len, expected) in [(1024, Head::Complete(1024)), (1025, Head::TooLong)] {
            let mut head = FIRST_LINE.to_vec();
            head.resize(len - LAST_LINE.len() - MAC_AND_END, b'A');
            head.extend_from_slice(LAST_LINE);
            head.resize(len, b'A');
            head.truncate(HEAD_LIMIT);
            assert_eq!(examine(&head), expected, "{len}");
        }
    }

    #[test]
    fn a_header_ends_after_its_mac() {
        let expected = Head::Complete(HEADER.len() as u64);
        assert_eq!(examine(HEADER.as_bytes()), expected);
        assert_eq!(examine(format!("{HEADER}payload").as_bytes()), expected);
    }
}
