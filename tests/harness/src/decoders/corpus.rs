//! The inputs that fuzzing has kept.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::paths::repository;

/// Where every decoder's corpus is, in a folder of its name.
pub fn corpora() -> PathBuf {
    repository().join("fuzz/corpus")
}

/// The stored inputs of a decoder, in the order of their names.
pub fn corpus_of(name: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = corpora().join(name);
    let missing = || format!("{}: no corpus", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(missing)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let inputs = paths.into_iter().map(fs::read);
    Ok(inputs.collect::<Result<_, _>>()?)
}
