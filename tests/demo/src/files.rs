//! The phone's files: the default folder of the backup, and whether a restored folder is the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use vault_tests::paths::repository;

/// Not part of the repository's files: its history, builds, installed packages.
const LEFT_OUT: [&str; 3] = [".git", "target", "tests/interop/node_modules"];

/// Copies this repository's files into `work`.
pub fn copy_of_repository(work: &Path) -> anyhow::Result<PathBuf> {
    let copy = work.join("notes");
    let left_out = LEFT_OUT.map(|name| repository().join(name));
    copy_folder(&repository(), &copy, &left_out).context("copying the repository's files")?;
    Ok(copy)
}

/// Compares two folders, every file byte for byte; returns how many files there are.
pub fn compare(original: &Path, restored: &Path) -> anyhow::Result<usize> {
    let (expected, found) = (entries(original)?, entries(restored)?);
    let names = |entries: &BTreeMap<PathBuf, Kind>| entries.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(&expected) == names(&found),
        "the restored folder has other names in it"
    );
    let mut files = 0;
    for (name, kind) in &expected {
        ensure!(
            found.get(name) == Some(kind),
            "{} became something else",
            name.display()
        );
        if *kind == Kind::File {
            files += 1;
            let same = same_content(&original.join(name), &restored.join(name))?;
            ensure!(same, "{} has another content", name.display());
        }
    }
    Ok(files)
}

#[derive(PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Link(PathBuf),
    /// Neither is kept in a backup.
    Special,
}

fn entries(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, Kind>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            let kind = kind_of(&entry.path(), entry.file_type()?)?;
            if kind == Kind::Folder {
                folders.push(name.clone());
            }
            if kind != Kind::Special {
                found.insert(name, kind);
            }
        }
    }
    Ok(found)
}

fn kind_of(path: &Path, file_type: fs::FileType) -> anyhow::Result<Kind> {
    Ok(if file_type.is_symlink() {
        Kind::Link(fs::read_link(path)?)
    } else if file_type.is_dir() {
        Kind::Folder
    } else if file_type.is_file() {
        Kind::File
    } else {
        Kind::Special
    })
}

fn same_content(a: &Path, b: &Path) -> anyhow::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = a.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

fn copy_folder(from: &Path, to: &Path, left_out: &[PathBuf]) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if left_out.contains(&entry.path()) {
            continue;
        }
        let target = to.join(entry.file_name());
        match kind_of(&entry.path(), entry.file_type()?)? {
            Kind::Folder => copy_folder(&entry.path(), &target, left_out)?,
            Kind::File => drop(fs::copy(entry.path(), target)?),
            Kind::Link(link) => symlink(link, target)?,
            Kind::Special => {}
        }
    }
    Ok(())
}
