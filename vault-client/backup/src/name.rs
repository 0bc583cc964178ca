//! The key id in a backup's file name (PROTOCOL.md section 3): it tells a wrong key apart from a
//! damaged file.
//!
//! A name is not authenticated, so it is only ever asked *after* a key has failed to open a file.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use vault_protocol::KeyId;

/// The part of a name before the key id.
const PREFIX: &[u8] = b"backup-";

/// Hexadecimal digits of a key id.
const DIGITS: usize = 16;

/// The usual name of a backup made with this key: `backup-<key id>.age`.
pub fn file_name(key: KeyId) -> String {
    format!("backup-{key}.age")
}

/// The key id that a file's name carries: the first `backup-` with exactly 16 hexadecimal digits
/// behind it, anywhere in the name, so that `photos-backup-<key id> (1).age` is understood too.
pub fn key_id_in_name(file: &Path) -> Option<KeyId> {
    let name = file.file_name()?.as_bytes();
    (0..name.len()).find_map(|start| {
        let digits = name.get(start..)?.strip_prefix(PREFIX)?;
        let len = digits.iter().take_while(|c| c.is_ascii_hexdigit()).count();
        let text = std::str::from_utf8(digits.get(..len)?).ok()?;
        if len == DIGITS {
            text.parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: KeyId = KeyId([0x36, 0x96, 0x2e, 0xf6, 0xe0, 0x51, 0x64, 0x9d]);

    #[test]
    fn names_without_a_key_id_have_none() {
        for name in [
            "",
            "..",
            "backup-",
            "backup-.age",
            "backup-36962ef6e051649.age",
            "backup-36962ef6e051649d0.age",
            "backup-36962ef6e051649g.age",
            "36962ef6e051649d.age",
            "backup-36962ef6e051649d.age/other.age",
        ] {
            assert_eq!(key_id_in_name(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_usual_name_carries_the_key_id() {
        assert_eq!(file_name(ID), "backup-36962ef6e051649d.age");
        assert_eq!(key_id_in_name(Path::new(&file_name(ID))), Some(ID));
    }

    #[test]
    fn renamed_copies_are_understood() {
        for name in [
            "/a/b/photos-backup-36962ef6e051649d (1).age",
            "BACKUP-backup-36962EF6E051649D.AGE",
            "backup-old-backup-36962ef6e051649d",
        ] {
            assert_eq!(key_id_in_name(Path::new(name)), Some(ID), "{name}");
        }
    }
}
