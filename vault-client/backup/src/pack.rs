//! Reads a folder into an archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::FileType;

use crate::archive::ArchiveWriter;
use crate::beneath::Attributes;
use crate::error::BackupError;
use crate::progress::Progress;
use crate::summary::{Skipped, Summary};
use crate::walk::{FileId, Found, Kind, Walk};

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// The bytes in all files below `source`, by which the progress is measured.
pub(crate) fn scan(
    source: &Path,
    excluded: &[FileId],
    progress: &mut dyn Progress,
) -> Result<u64, BackupError> {
    let mut walk = Walk::new(source, excluded)?;
    let mut total: u64 = 0;
    while let Some(found) = walk.next()? {
        if progress.cancelled() {
            return Err(BackupError::Cancelled);
        }
        if let Kind::File { size } = found.kind {
            total = total.saturating_add(size);
        }
    }
    Ok(total)
}

/// Writes everything below `source` to `sink` as a tar archive.
pub(crate) fn pack(
    source: &Path,
    excluded: &[FileId],
    sink: impl Write,
    progress: &mut dyn Progress,
    total: u64,
) -> Result<Summary, BackupError> {
    let walk = Walk::new(source, excluded)?;
    let root = walk.root()?;
    let mut packer = Packer {
        walk,
        archive: ArchiveWriter::new(sink),
        piece: vec![0; PIECE],
        summary: Summary::default(),
        progress,
        total,
    };
    packer
        .archive
        .folder(&root.path, root.attributes)
        .map_err(BackupError::Sink)?;
    packer.advance(0)?;
    while let Some(found) = packer.walk.next()? {
        packer.add(found)?;
    }
    packer.archive.finish().map_err(BackupError::Sink)?;
    Ok(packer.summary)
}

struct Packer<'a, W: Write> {
    walk: Walk<'a>,
    archive: ArchiveWriter<W>,
    piece: Vec<u8>,
    summary: Summary,
    progress: &'a mut dyn Progress,
    total: u64,
}

impl<W: Write> Packer<'_, W> {
    fn add(&mut self, found: Found) -> Result<(), BackupError> {
        let Found {
            path,
            kind,
            attributes,
        } = found;
        match kind {
            Kind::File { .. } => return self.file(&path),
            Kind::Folder => {
                self.archive
                    .folder(&path, attributes)
                    .map_err(BackupError::Sink)?;
                self.summary.folders += 1;
            }
            Kind::Link { target } => {
                self.archive
                    .link(&path, &target, attributes)
                    .map_err(BackupError::Sink)?;
                self.summary.links += 1;
            }
            Kind::Special(kind) => self.summary.skipped.push(Skipped { path, kind }),
        }
        self.advance(0)
    }

    /// The header needs the size before the content. So a file that changes while it is read is an
    /// error: padding or cutting it would restore as something that never existed.
    fn file(&mut self, path: &Path) -> Result<(), BackupError> {
        let full = self.walk.full(path);
        let changed = || BackupError::SourceChanged(full.clone());
        let mut file = self.walk.open(path)?;
        let before = stat(&file, &full)?;
        if !before.is_file {
            return Err(changed());
        }
        self.archive
            .file(path, before.size, before.attributes)
            .map_err(BackupError::Sink)?;
        let mut left = before.size;
        loop {
            let read = match file.read(&mut self.piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(|error| BackupError::unreadable(&full, error))?,
            };
            // Reading goes on until nothing comes, so that a file that grew is noticed.
            if read == 0 {
                break;
            }
            left = left.checked_sub(read as u64).ok_or_else(changed)?;
            self.archive
                .content(&self.piece[..read])
                .map_err(BackupError::Sink)?;
            self.advance(read as u64)?;
        }
        if left != 0 || stat(&file, &full)? != before {
            return Err(changed());
        }
        self.archive
            .end_of_file(before.size)
            .map_err(BackupError::Sink)?;
        self.summary.files += 1;
        Ok(())
    }

    fn advance(&mut self, bytes: u64) -> Result<(), BackupError> {
        if self.progress.cancelled() {
            return Err(BackupError::Cancelled);
        }
        self.summary.bytes += bytes;
        // Files may have grown or appeared since the scan.
        let done = self.summary.bytes.min(self.total);
        self.progress.advanced(done, self.total);
        Ok(())
    }
}

/// The attributes that must be the same before and after a file is read.
#[derive(PartialEq, Eq)]
struct State {
    is_file: bool,
    size: u64,
    attributes: Attributes,
}

fn stat(file: &File, full: &Path) -> Result<State, BackupError> {
    let stat = rustix::fs::fstat(file).map_err(|errno| BackupError::unreadable(full, errno))?;
    Ok(State {
        is_file: FileType::from_raw_mode(stat.st_mode).is_file(),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        attributes: Attributes::of(&stat),
    })
}
