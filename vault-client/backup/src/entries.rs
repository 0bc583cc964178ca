//! Reads the tar archive inside a backup, entry by entry, and checks every name before anything is
//! done with it.
//!
//! The `tar` crate splits the archive into headers and contents. The records between them are read
//! here, with limits, since the crate would buffer a name of any length and cut a pax value at a
//! line feed.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header};

use crate::beneath::{Attributes, MAX_DEPTH, Modified};
use crate::error::{BackupError, NotABackup, Refusal};
use crate::faults::Faults;

/// The longest record about an entry, in bytes: far more than any system's longest path.
const RECORD_LIMIT: u64 = 1024 * 1024;

/// Something to restore.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Relative, of ordinary names only; empty for the folder that everything is in.
    pub(crate) path: PathBuf,
    pub(crate) kind: EntryKind,
    pub(crate) attributes: Attributes,
}

#[derive(Debug)]
pub(crate) enum EntryKind {
    File { size: u64 },
    Folder,
    Link { target: OsString },
}

/// The content of a file.
pub(crate) struct Content<'a> {
    reader: &'a mut dyn Read,
    faults: &'a Faults,
}

impl Content<'_> {
    /// Reads some bytes; 0 at the end, which may come before the announced size.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        self.reader.read(buffer).map_err(|_| self.faults.explain())
    }
}

/// Gives every entry to `visit`, in order.
pub(crate) fn each_entry(
    archive: &mut dyn Read,
    faults: &Faults,
    visit: &mut dyn FnMut(Entry, &mut Content<'_>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().map_err(|_| faults.explain())?;
    let mut records = Records::default();
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|_| faults.explain())?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader => {
                let data = read_record(&mut entry, faults)?;
                records.add(kind, data)?;
            }
            _ => {
                let size = entry.size();
                let described = std::mem::take(&mut records).describe(entry.header(), size)?;
                let mut content = Content {
                    reader: &mut entry,
                    faults,
                };
                visit(described, &mut content)?;
            }
        }
    }
    // The end may also be the file's.
    if faults.any() || !records.is_empty() {
        return Err(faults.explain());
    }
    Ok(())
}

fn read_record<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    faults: &Faults,
) -> Result<Vec<u8>, BackupError> {
    let size = entry.size();
    if size > RECORD_LIMIT {
        return Err(malformed());
    }
    let mut data = Vec::new();
    entry.read_to_end(&mut data).map_err(|_| faults.explain())?;
    if data.len() as u64 == size {
        Ok(data)
    } else {
        Err(faults.explain())
    }
}

/// The records' values for the entry that follows them.
#[derive(Default)]
struct Records {
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    pax_name: Option<Vec<u8>>,
    pax_link: Option<Vec<u8>>,
    pax_time: Option<Modified>,
    /// Something that changes how the content is to be read.
    unknown: bool,
}

impl Records {
    fn is_empty(&self) -> bool {
        let Self {
            gnu_name,
            gnu_link,
            pax_name,
            pax_link,
            pax_time,
            unknown,
        } = self;
        let names = [gnu_name, gnu_link, pax_name, pax_link];
        names.iter().all(|name| name.is_none()) && pax_time.is_none() && !unknown
    }

    fn add(&mut self, kind: EntryType, data: Vec<u8>) -> Result<(), BackupError> {
        match kind {
            EntryType::GNULongName => self.gnu_name = Some(unterminated(data)),
            EntryType::GNULongLink => self.gnu_link = Some(unterminated(data)),
            _ => self.add_pax(&data)?,
        }
        Ok(())
    }

    fn add_pax(&mut self, mut data: &[u8]) -> Result<(), BackupError> {
        while !data.is_empty() {
            let (key, value, rest) = pax_record(data).ok_or_else(malformed)?;
            match key {
                b"path" => self.pax_name = Some(value.to_vec()),
                b"linkpath" => self.pax_link = Some(value.to_vec()),
                b"mtime" => self.pax_time = Some(pax_time(value).ok_or_else(malformed)?),
                b"size" => self.unknown = true,
                // Owners, other times, comments: not kept anyway.
                other => self.unknown |= other.starts_with(b"GNU.sparse."),
            }
            data = rest;
        }
        Ok(())
    }

    fn describe(self, header: &Header, size: u64) -> Result<Entry, BackupError> {
        let name = self.gnu_name.or(self.pax_name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.gnu_link.or(self.pax_link);
        let link = link.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()));
        let refused = |reason| BackupError::Refused {
            entry: PathBuf::from(OsString::from_vec(name.clone())),
            reason,
        };
        let kind = match header.entry_type() {
            _ if self.unknown => return Err(refused(Refusal::Kind)),
            EntryType::Regular => EntryKind::File { size },
            EntryType::Directory => EntryKind::Folder,
            EntryType::Symlink => EntryKind::Link {
                target: link_target(link).ok_or_else(malformed)?,
            },
            _ => return Err(refused(Refusal::Kind)),
        };
        let path = inside(&name).ok_or_else(|| refused(Refusal::Outside))?;
        if path.iter().count() > MAX_DEPTH {
            return Err(refused(Refusal::TooDeep));
        }
        if path.as_os_str().is_empty() && !matches!(kind, EntryKind::Folder) {
            return Err(refused(Refusal::Outside));
        }
        let modified = match self.pax_time {
            Some(time) => time,
            None => header_time(header)?,
        };
        let mode = header.mode().map_err(|_| malformed())?;
        Ok(Entry {
            path,
            kind,
            attributes: Attributes::new(mode, modified),
        })
    }
}

/// The path that a name means below the folder, if it cannot leave it. `.` is passed over, since
/// `tar` programs write it.
fn inside(name: &[u8]) -> Option<PathBuf> {
    if name.is_empty() || name.contains(&0) {
        return None;
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Any target is kept as it is: nothing ever goes through the link.
fn link_target(link: Option<Vec<u8>>) -> Option<OsString> {
    let target = link?;
    let valid = !target.is_empty() && !target.contains(&0);
    valid.then(|| OsString::from_vec(target))
}

fn header_time(header: &Header) -> Result<Modified, BackupError> {
    let seconds = header.mtime().map_err(|_| malformed())?;
    Ok(Modified {
        seconds: i64::try_from(seconds).map_err(|_| malformed())?,
        nanoseconds: 0,
    })
}

/// Names in GNU records end with a zero byte.
fn unterminated(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}

/// Splits the first `<length> <key>=<value>\n` off. The length decides, so that values may contain
/// anything.
fn pax_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &data[length..]))
}

/// Decimal seconds since 1970, perhaps negative, perhaps with a fraction, which is cut off after
/// nanoseconds.
fn pax_time(value: &[u8]) -> Option<Modified> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let is_number = |digits: &str| digits.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Modified {
            seconds,
            nanoseconds,
        },
        (true, 0) => Modified {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Modified {
            seconds: (-seconds).checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn malformed() -> BackupError {
    BackupError::NotABackup(NotABackup::Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in [
            "",
            "/",
            "/etc",
            "..",
            "../x",
            "a/..",
            "a/../b",
            "a/../../b",
            "./../x",
            "//x",
            "a\0b",
        ] {
            assert_eq!(inside(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn dots_and_slashes_that_mean_nothing_are_passed_over() {
        for (name, path) in [
            ("./", ""),
            (".", ""),
            ("./a/./b//c/", "a/b/c"),
            ("...", "..."),
        ] {
            assert_eq!(inside(name.as_bytes()), Some(PathBuf::from(path)), "{name}");
        }
    }

    #[test]
    fn malformed_pax_records_are_no_records() {
        for data in [
            "", "x", "9", "9 ", "3 a", "5 a\n", "6 a=b", "7 a=b\n", "-6 a=b\n", "0 a=b\n",
        ] {
            assert_eq!(pax_record(data.as_bytes()), None, "{data:?}");
        }
        let huge = b"99999999999999999999999 a=b\n";
        assert_eq!(pax_record(huge), None);
    }

    #[test]
    fn a_pax_value_may_contain_line_feeds_and_equals_signs() {
        let record: (&[u8], &[u8], &[u8]) = (b"k", b"a\n=b", b"rest");
        assert_eq!(pax_record(b"9 k=a\n=b\nrest"), Some(record));
    }

    #[test]
    fn times_that_are_no_decimal_numbers_are_refused() {
        for text in [
            "",
            "-",
            ".5",
            "1.-5",
            "+1",
            "1e3",
            "--1",
            "99999999999999999999",
            "1.2.3",
        ] {
            assert_eq!(pax_time(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn times_before_1970_count_nanoseconds_forward() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("5.25", 5, 250_000_000),
            ("5.0000000019", 5, 1),
            ("-5", -5, 0),
            ("-0.25", -1, 750_000_000),
            ("-5.000000001", -6, 999_999_999),
        ] {
            let expected = Modified {
                seconds,
                nanoseconds,
            };
            assert_eq!(pax_time(text.as_bytes()), Some(expected), "{text}");
        }
    }
}
