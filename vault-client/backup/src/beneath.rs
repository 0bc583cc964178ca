//! Reaching files below a folder without ever following a symbolic link, whatever happens to the
//! tree meanwhile: every step is an `openat` that refuses links. One descriptor is open at a time,
//! so that neither deep trees nor paths longer than the system's limit are a problem.

use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

/// How many names a path may have. Each folder is reached from the root anew, and folders are removed
/// by recursion: without a limit a small archive could keep the device busy, or overflow the stack.
pub(crate) const MAX_DEPTH: usize = 1000;

/// The bits of a mode that are kept: the rights to read, write and execute. Not setuid, setgid, sticky.
const PERMISSIONS: u32 = 0o777;

/// The attributes that are kept of a file, folder or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits, at most `0o777`.
    pub(crate) mode: u32,
    pub(crate) modified: Modified,
}

/// When something was last modified: seconds since 1970 (negative before), and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modified {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Attributes {
    pub(crate) fn new(mode: u32, modified: Modified) -> Self {
        Self {
            mode: mode & PERMISSIONS,
            modified,
        }
    }

    // The widths of a `stat` differ between systems.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    pub(crate) fn of(stat: &Stat) -> Self {
        let modified = Modified {
            seconds: stat.st_mtime as i64,
            nanoseconds: stat.st_mtime_nsec as u32,
        };
        Self::new(u32::from(stat.st_mode), modified)
    }

    pub(crate) fn permissions(self) -> Mode {
        Mode::from_bits_truncate((self.mode & PERMISSIONS) as _)
    }

    /// For `futimens`: sets the time of modification, leaves that of access.
    pub(crate) fn times(self) -> Timestamps {
        let unchanged = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT as _,
        };
        Timestamps {
            last_access: unchanged,
            last_modification: Timespec {
                tv_sec: self.modified.seconds,
                tv_nsec: self.modified.nanoseconds as _,
            },
        }
    }
}

/// Opens the folder at `path`, as named by the user: links on the way are followed.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Opens a folder that this program has just made at `path`, and no link that took its place.
pub(crate) fn open_made(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Opens the folder `relative` below `root`, one name at a time.
///
/// `relative` has ordinary names only, or is empty for the root itself. A link or a file on the
/// way gives `ELOOP` or `ENOTDIR`.
pub(crate) fn open_folder(root: impl AsFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    for name in relative {
        folder = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
    }
    Ok(folder)
}
