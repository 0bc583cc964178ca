//! The memory of a running process, as its machine's root reads it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, ensure};

use crate::process::Running;
use rustix::process::Signal;

const PAGE: usize = 4096;

/// A mapping and its content.
pub struct Part {
    /// Its name in the kernel: `[heap]`, `[stack]`, or its addresses if it has no name.
    pub name: String,
    /// From its beginning to its end.
    pub bytes: Vec<u8>,
}

/// All memory that the process has written or could write: one part for each mapping. A mapping of a
/// file that cannot be written is the program itself, and is left out.
///
/// The process is stopped meanwhile. It is not dumpable, so only root may do this; for other users
/// the error is a [`io::ErrorKind::PermissionDenied`].
pub fn image(process: &Running) -> anyhow::Result<Vec<Part>> {
    let folder = format!("/proc/{}", process.pid().as_raw_nonzero());
    let memory = File::open(format!("{folder}/mem"))?;
    process.signal(Signal::STOP)?;
    let parts = fs::read_to_string(format!("{folder}/maps"))
        .map_err(anyhow::Error::from)
        .and_then(|maps| read(&memory, &maps));
    process.signal(Signal::CONT)?;
    let parts = parts?;
    ensure!(!parts.is_empty(), "a process without memory");
    Ok(parts)
}

fn read(memory: &File, maps: &str) -> anyhow::Result<Vec<Part>> {
    let mappings: Vec<_> = maps.lines().map(mapping).collect::<Result<_, _>>()?;
    let parts = mappings.into_iter().flatten();
    let read = |(start, end, name)| Part {
        name,
        bytes: pages(memory, start, end),
    };
    Ok(parts.map(read).collect())
}

/// Where a mapping of the interesting kind begins and ends, and its name.
fn mapping(line: &str) -> anyhow::Result<Option<(u64, u64, String)>> {
    let mut fields = line.split_whitespace();
    let mut field = || fields.next().context("a line of maps has five fields");
    let (range, rights) = (field()?, field()?);
    let (_offset, _device, file) = (field()?, field()?, field()?);
    let is_program = file != "0" && !rights.contains('w');
    if !rights.starts_with('r') || is_program {
        return Ok(None);
    }
    let name = fields.next().unwrap_or(range);
    let (start, end) = range.split_once('-').context("a range")?;
    let number = |text| u64::from_str_radix(text, 16);
    Ok(Some((number(start)?, number(end)?, name.to_owned())))
}

/// A page that cannot be read, as some of the kernel's own, is left as zeros.
fn pages(memory: &File, start: u64, end: u64) -> Vec<u8> {
    let length = usize::try_from(end - start).unwrap_or(0);
    let mut bytes = vec![0; length];
    if memory.read_exact_at(&mut bytes, start).is_err() {
        for (index, page) in bytes.chunks_mut(PAGE).enumerate() {
            let at = start + (index * PAGE) as u64;
            // The part that was read before the error stays.
            let _ = memory.read_exact_at(page, at);
        }
    }
    bytes
}

/// Whether the error says that only root may look.
pub fn is_not_allowed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::PermissionDenied)
}
