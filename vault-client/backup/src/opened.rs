//! The reading half of a backup's envelope: age, then zstd. Tells apart why a file does not open.
//!
//! age authenticates every chunk of 64 KiB before it lets go of it, so that zstd and tar only ever
//! see what a holder of the key has written. Only that the end is missing shows at the end.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use age::DecryptError;
use age::stream::StreamReader;
use vault_protocol::{BackupKey, KeyId};

use crate::archive::BLOCK;
use crate::entries::{self, Content, Entry};
use crate::error::{BackupError, NotABackup};
use crate::faults::Faults;
use crate::header::{self, CHUNK, HEAD_LIMIT, Head, NONCE, SEALED_CHUNK, WORK_FACTOR};
use crate::name::key_id_in_name;
use crate::progress::Progress;
use crate::sealed::{PADDING_HEADER, PADDING_MAGIC};

/// log2 of the most memory that zstd may be asked for: 8 MiB. Level 3 writes with 2 MiB; up to
/// level 19 other programs stay within 8.
const WINDOW_LIMIT: u32 = 23;

/// A backup file that the key has opened.
pub(crate) struct Opened<'p> {
    zstd: zstd::Decoder<'static, BufReader<Authenticated<'p>>>,
    faults: Faults,
}

impl<'p> Opened<'p> {
    pub(crate) fn open(
        path: &Path,
        key: &BackupKey,
        progress: &'p mut dyn Progress,
    ) -> Result<Self, BackupError> {
        let unreadable = |error: io::Error| BackupError::unreadable(path, error);
        // Asked by name first: opening a pipe would wait for its other end.
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(BackupError::NotABackup(NotABackup::NotAge));
        }
        let claim = Claim {
            key: key.key_id(),
            file: key_id_in_name(path),
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut head = Vec::with_capacity(HEAD_LIMIT);
        (&mut file)
            .take(HEAD_LIMIT as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        let header_len = claim.header_len(&head)?;
        let faults = Faults::default();
        let position = Rc::new(Cell::new(0));
        let counted = CountedFile {
            bytes: Cursor::new(head).chain(file),
            path: path.to_path_buf(),
            len: metadata.len(),
            position: Rc::clone(&position),
            faults: faults.clone(),
            progress,
        };
        let payload = Authenticated {
            stream: claim.unlock(counted, key, &faults)?,
            start: header_len + NONCE,
            position,
            faults: faults.clone(),
        };
        let buffered = BufReader::with_capacity(CHUNK as usize, payload);
        let mut zstd = zstd::Decoder::with_buffer(buffered).map_err(unreadable)?;
        zstd.window_log_max(WINDOW_LIMIT).map_err(unreadable)?;
        Ok(Self {
            zstd: zstd.single_frame(),
            faults,
        })
    }

    /// Gives every entry of the archive to `visit`, in order.
    pub(crate) fn each_entry(
        &mut self,
        visit: &mut dyn FnMut(Entry, &mut Content<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        entries::each_entry(&mut self.zstd, &self.faults, visit)
    }

    /// Reads to the very end of the file, and makes sure that nothing else is there.
    pub(crate) fn finish(self) -> Result<(), BackupError> {
        let Self { mut zstd, faults } = self;
        end_of_archive(&mut zstd).map_err(|_| faults.explain())?;
        let mut rest = zstd.finish();
        let padded = end_of_payload(&mut rest).map_err(|_| faults.explain())?;
        match rest.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(faults.explain()),
            Err(_) => Err(match faults.explain() {
                // Nothing is missing: bytes that do not decrypt here were appended.
                BackupError::Truncated if padded => BackupError::Damaged,
                other => other,
            }),
        }
    }
}

/// Which key there is, and which one the file's name says it needs.
#[derive(Clone, Copy)]
struct Claim {
    key: KeyId,
    file: Option<KeyId>,
}

impl Claim {
    fn header_len(self, head: &[u8]) -> Result<u64, BackupError> {
        match header::examine(head) {
            Head::Complete(len) => Ok(len),
            Head::Truncated => Err(BackupError::Truncated),
            Head::NotAge => Err(self.foreign(NotABackup::NotAge)),
            Head::TooLong => Err(self.foreign(NotABackup::OtherRecipients)),
        }
    }

    fn unlock<'p>(
        self,
        file: CountedFile<'p>,
        key: &BackupKey,
        faults: &Faults,
    ) -> Result<StreamReader<CountedFile<'p>>, BackupError> {
        let locked = age::Decryptor::new(file).map_err(|error| self.not_opened(&error, faults))?;
        if !locked.is_scrypt() {
            return Err(self.foreign(NotABackup::OtherRecipients));
        }
        let mut identity = age::scrypt::Identity::new(header::passphrase(key));
        identity.set_max_work_factor(WORK_FACTOR);
        locked
            .decrypt(iter::once(&identity as &dyn age::Identity))
            .map_err(|error| self.not_opened(&error, faults))
    }

    /// age's own words are not used: they suggest remedies that do not apply here, and the text for
    /// `ExcessiveWork` computes with numbers from the file.
    fn not_opened(self, error: &DecryptError, faults: &Faults) -> BackupError {
        match error {
            DecryptError::Io(_) if faults.any() => faults.explain(),
            // The header is complete, so it is the nonce behind it that is not.
            DecryptError::Io(_) => BackupError::Truncated,
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => self.locked(),
            DecryptError::ExcessiveWork { .. } => self.foreign(NotABackup::WorkFactor),
            DecryptError::NoMatchingKeys => self.foreign(NotABackup::OtherRecipients),
            // The first line was looked at: an unknown format is a version 1 that cannot be parsed.
            DecryptError::UnknownFormat
            | DecryptError::InvalidHeader
            | DecryptError::InvalidMac => BackupError::Damaged,
        }
    }

    /// The key does not fit. A name with this very key's id says that it should.
    fn locked(self) -> BackupError {
        if self.file == Some(self.key) {
            BackupError::Damaged
        } else {
            BackupError::WrongKey {
                key: self.key,
                file: self.file,
            }
        }
    }

    /// Not a backup, unless the name says that it is one of this key.
    fn foreign(self, what: NotABackup) -> BackupError {
        if self.file == Some(self.key) {
            BackupError::Damaged
        } else {
            BackupError::NotABackup(what)
        }
    }
}

/// The file, with progress.
struct CountedFile<'p> {
    bytes: io::Chain<Cursor<Vec<u8>>, File>,
    path: PathBuf,
    len: u64,
    position: Rc<Cell<u64>>,
    faults: Faults,
    progress: &'p mut dyn Progress,
}

impl Read for CountedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.cancelled() {
            return Err(self.faults.note(BackupError::Cancelled));
        }
        match self.bytes.read(buffer) {
            Ok(read) => {
                let position = self.position.get() + read as u64;
                self.position.set(position);
                self.progress.advanced(position.min(self.len), self.len);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.faults.note(BackupError::unreadable(&self.path, error))),
        }
    }
}

/// The decrypted payload; notes why it does not decrypt.
struct Authenticated<'p> {
    stream: StreamReader<CountedFile<'p>>,
    /// Where the chunks begin in the file.
    start: u64,
    /// How much of the file was read.
    position: Rc<Cell<u64>>,
    faults: Faults,
}

impl Authenticated<'_> {
    /// Whether the chunk read last was cut off. age reads whole chunks as long as there are any.
    fn ends_within_a_chunk(&self) -> bool {
        !(self.position.get().saturating_sub(self.start)).is_multiple_of(SEALED_CHUNK)
    }
}

impl Read for Authenticated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.faults.any() {
            return Err(io::Error::other("reading has failed before"));
        }
        self.stream.read(buffer).map_err(|error| {
            let at_end = error.kind() == io::ErrorKind::UnexpectedEof;
            let fault = if at_end || self.ends_within_a_chunk() {
                BackupError::Truncated
            } else {
                BackupError::Damaged
            };
            // If reading the file itself has failed, that was noted first and stays.
            self.faults.note(fault)
        })
    }
}

/// An archive ends with two blocks of zeros, of which the first was read already, and programs add
/// more. Anything else behind it would be content that no `tar` shows.
fn end_of_archive(tar: &mut impl Read) -> io::Result<()> {
    let mut zeros: u64 = 0;
    let mut buffer = [0; 4096];
    loop {
        let read = tar.read(&mut buffer)?;
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("something is behind the archive"));
        }
        if read == 0 {
            break;
        }
        zeros += read as u64;
    }
    if zeros < BLOCK {
        return Err(io::Error::other("the archive does not end properly"));
    }
    Ok(())
}

/// Reads the padding, if there is any; whether there was.
fn end_of_payload(payload: &mut impl Read) -> io::Result<bool> {
    let mut frame = Vec::new();
    payload.take(PADDING_HEADER).read_to_end(&mut frame)?;
    if frame.is_empty() {
        return Ok(false);
    }
    let wrong = || io::Error::other("something is behind the archive");
    let len = frame.strip_prefix(&PADDING_MAGIC).ok_or_else(wrong)?;
    let len = u32::from_le_bytes(len.try_into().map_err(|_| wrong())?);
    let read = io::copy(&mut payload.take(len.into()), &mut io::sink())?;
    if read == u64::from(len) {
        Ok(true)
    } else {
        Err(wrong())
    }
}
