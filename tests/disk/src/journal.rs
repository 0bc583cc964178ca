//! The journal that the layer writes: a process's requests to its disk, in order.

use std::path::{Path, PathBuf};

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// The number of the call in its process, 0 for calls that are not counted.
    pub call: u64,
    /// Its effect, if it had one.
    pub event: Event,
}

/// An effect of a call. Paths are as the process's calls meant them, links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The records that follow are of a new process.
    ProcessBegins,
    /// An empty file.
    Create(PathBuf),
    /// An empty folder.
    MakeFolder(PathBuf),
    /// As many bytes as were written, which may be fewer than were asked for.
    Write {
        /// The file.
        path: PathBuf,
        /// From the file's beginning.
        offset: u64,
        /// The new content from there on.
        bytes: Vec<u8>,
    },
    /// A file is cut off, or lengthened by zeros.
    SetLength {
        /// The file.
        path: PathBuf,
        /// In bytes.
        length: u64,
    },
    /// Of a file or a folder.
    Sync(PathBuf),
    /// A file that was there under the new name is gone.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// A file or an empty folder.
    Remove(PathBuf),
    /// So many bytes through a connection.
    Sent(u64),
    /// A sync answered with an error.
    FailedSync(PathBuf),
    /// Another call answered with an error; it did nothing.
    Failed(PathBuf),
    /// A call that did nothing and was answered as if it had, or a name that was not there.
    Nothing(PathBuf),
    /// The process's own note of an answer that it gave.
    Note(String),
}

impl Event {
    /// Whether less may be lost after it than before.
    pub fn is_sync(&self) -> bool {
        matches!(self, Event::Sync(_) | Event::FailedSync(_))
    }

    /// Whether a call was answered with an error.
    pub fn is_failure(&self) -> bool {
        matches!(self, Event::FailedSync(_) | Event::Failed(_))
    }
}

/// Reads a whole journal.
pub fn read(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).expect("the layer wrote a journal");
    let (records, rest) = records(&bytes);
    assert!(rest.is_empty(), "every record of a journal is whole");
    records
}

/// Reads a journal that is still written: its last record may be half there, and there may be none.
pub fn read_so_far(path: &Path) -> Vec<Record> {
    records(&std::fs::read(path).unwrap_or_default()).0
}

fn records(bytes: &[u8]) -> (Vec<Record>, &[u8]) {
    let mut rest = bytes;
    let mut records = Vec::new();
    let mut behind = rest;
    while let Some(record) = record(&mut behind) {
        records.push(record);
        rest = behind;
    }
    (records, rest)
}

fn record(rest: &mut &[u8]) -> Option<Record> {
    let [kind] = take(rest)?;
    let call = u64::from_le_bytes(take(rest)?);
    let offset = u64::from_le_bytes(take(rest)?);
    let path_length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let data_length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let path = PathBuf::from(text(rest.split_off(..path_length)?)?);
    let data = rest.split_off(..data_length)?;
    let event = match kind {
        b'P' => Event::ProcessBegins,
        b'C' => Event::Create(path),
        b'D' => Event::MakeFolder(path),
        b'W' => Event::Write {
            path,
            offset,
            bytes: data.to_vec(),
        },
        b'T' => Event::SetLength {
            path,
            length: offset,
        },
        b'S' => Event::Sync(path),
        b'R' => Event::Rename {
            from: path,
            to: PathBuf::from(text(data)?),
        },
        b'U' | b'E' => Event::Remove(path),
        b'A' => Event::Sent(offset),
        b'f' => Event::FailedSync(path),
        b'x' => Event::Failed(path),
        b's' => Event::Nothing(path),
        b'N' => Event::Note(text(data)?),
        _ => return None,
    };
    Some(Record { call, event })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
