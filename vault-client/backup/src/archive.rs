//! Writes the tar archive inside a backup: GNU headers; names of any length and bytes as GNU `L`
//! and `K` records; times of modification as pax records where whole seconds since 1970 do not
//! say them. `tar` programs read all of it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{EntryType, Header};

use crate::beneath::{Attributes, Modified};

/// Everything in a tar archive begins at a multiple of this many bytes.
pub(crate) const BLOCK: u64 = 512;

/// The name by which `tar` programs know GNU records.
const LONG_NAME: &[u8] = b"././@LongLink";

pub(crate) struct ArchiveWriter<W: Write> {
    sink: W,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink }
    }

    /// A folder; the empty path is the one that everything is in.
    pub(crate) fn folder(&mut self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        if name.is_empty() {
            name.push(b'.');
        }
        name.push(b'/');
        self.header(EntryType::Directory, &name, b"", 0, attributes)
    }

    /// A symbolic link, its target byte for byte.
    pub(crate) fn link(
        &mut self,
        path: &Path,
        target: &OsStr,
        attributes: Attributes,
    ) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        self.header(EntryType::Symlink, name, target.as_bytes(), 0, attributes)
    }

    /// The header of a file. Exactly `size` bytes of [`content`](Self::content) and
    /// [`end_of_file`](Self::end_of_file) must follow.
    pub(crate) fn file(
        &mut self,
        path: &Path,
        size: u64,
        attributes: Attributes,
    ) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        self.header(EntryType::Regular, name, b"", size, attributes)
    }

    pub(crate) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)
    }

    pub(crate) fn end_of_file(&mut self, size: u64) -> io::Result<()> {
        const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        let rest = size.next_multiple_of(BLOCK) - size;
        self.sink
            .write_all(&ZEROS[..usize::try_from(rest).expect("less than a block")])
    }

    /// The end of the archive: two blocks of zeros.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.sink.write_all(&[0; 2 * BLOCK as usize])
    }

    fn header(
        &mut self,
        kind: EntryType,
        name: &[u8],
        link: &[u8],
        size: u64,
        attributes: Attributes,
    ) -> io::Result<()> {
        let mut header = new_header(kind, size);
        let fields = header.as_gnu_mut().expect("made as a GNU header");
        let fits = put(&mut fields.name, name);
        let link_fits = put(&mut fields.linkname, link);
        header.set_mode(attributes.mode);
        header.set_mtime(u64::try_from(attributes.modified.seconds).unwrap_or(0));
        header.set_cksum();
        if let Some(record) = time_record(attributes.modified) {
            self.record(EntryType::XHeader, b"pax", &record)?;
        }
        if !link_fits {
            self.record(EntryType::GNULongLink, LONG_NAME, &terminated(link))?;
        }
        if !fits {
            self.record(EntryType::GNULongName, LONG_NAME, &terminated(name))?;
        }
        self.sink.write_all(header.as_bytes())
    }

    /// A record about the entry that follows.
    fn record(&mut self, kind: EntryType, name: &[u8], data: &[u8]) -> io::Result<()> {
        let size = data.len() as u64;
        let mut header = new_header(kind, size);
        put(
            &mut header.as_gnu_mut().expect("made as a GNU header").name,
            name,
        );
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        self.sink.write_all(header.as_bytes())?;
        self.sink.write_all(data)?;
        self.end_of_file(size)
    }
}

/// Owners are not kept: they mean nothing on another device and would name the user.
fn new_header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// Puts as much of `bytes` into a field as fits; whether that was all.
fn put(field: &mut [u8], bytes: &[u8]) -> bool {
    let len = bytes.len().min(field.len());
    field[..len].copy_from_slice(&bytes[..len]);
    len == bytes.len()
}

fn terminated(bytes: &[u8]) -> Vec<u8> {
    let mut terminated = bytes.to_vec();
    terminated.push(0);
    terminated
}

/// `<length> mtime=<seconds>[.<nanoseconds>]\n`, unless the header's whole seconds say it all.
fn time_record(modified: Modified) -> Option<Vec<u8>> {
    let Modified {
        seconds,
        nanoseconds,
    } = modified;
    if seconds >= 0 && nanoseconds == 0 {
        return None;
    }
    // The fraction counts away from zero: 0.25 s before 1970 is -1 s and 750,000,000 ns.
    let value = if seconds < 0 && nanoseconds > 0 {
        let whole = (seconds + 1).unsigned_abs();
        format!("-{whole}.{:09}", 1_000_000_000 - nanoseconds)
    } else {
        format!("{seconds}.{nanoseconds:09}")
    };
    let payload = format!(" mtime={value}\n");
    // The length counts its own digits; the payload has 18 to 41 bytes, so there are two.
    let length = payload.len() + 2;
    Some(format!("{length}{payload}").into_bytes())
}
