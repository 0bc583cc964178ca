//! The inputs that fuzzing has kept: `fuzz/corpus/NAME.tar.zst`, one archive a decoder.
//!
//! The same inputs always make the same archive. Each input is named by its content, as libFuzzer
//! names it, and the archive has neither times nor owners.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::seeds::seeds;
use super::table::Decoder;
use crate::paths::repository;

/// The strongest compression that is quick to read with little memory.
const LEVEL: i32 = 19;

/// An input, and the name of its file.
type Input = (String, Vec<u8>);

/// The folder with the archives.
pub fn corpora() -> PathBuf {
    repository().join("fuzz/corpus")
}

/// The stored inputs of a decoder, in the order of their names.
pub fn corpus_of(name: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(read(name)?.into_iter().map(|(_, bytes)| bytes).collect())
}

/// Writes the stored inputs of a decoder into a folder, a file each.
pub fn unpack(name: &str, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for (file, bytes) in read(name)? {
        fs::write(folder.join(file), bytes)?;
    }
    Ok(())
}

/// Stores the files of a folder as the inputs of a decoder, in place of the stored ones.
pub fn pack(name: &str, folder: &Path) -> anyhow::Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().into_string();
        let file = file.map_err(|name| anyhow::anyhow!("{} is not UTF-8", name.display()))?;
        inputs.push((file, fs::read(entry.path())?));
    }
    store(name, inputs)
}

/// Stores the first inputs of a decoder that has none. Returns whether it had none.
pub fn seed(decoder: &Decoder) -> anyhow::Result<bool> {
    if archive(decoder.name).exists() {
        return Ok(false);
    }
    let numbered = seeds(decoder.name).into_iter().enumerate();
    let inputs = numbered.map(|(number, bytes)| (format!("seed-{number:02}"), bytes));
    store(decoder.name, inputs.collect())?;
    Ok(true)
}

fn archive(name: &str) -> PathBuf {
    corpora().join(format!("{name}.tar.zst"))
}

fn read(name: &str) -> anyhow::Result<Vec<Input>> {
    let path = archive(name);
    let missing = || format!("{}: no corpus", path.display());
    let file = File::open(&path).with_context(missing)?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(file)?);
    let mut inputs = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let file = String::from_utf8(entry.path_bytes().into_owned())?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes)?;
        inputs.push((file, bytes));
    }
    Ok(inputs)
}

fn store(name: &str, inputs: Vec<Input>) -> anyhow::Result<()> {
    Ok(fs::write(archive(name), packed(inputs)?)?)
}

fn packed(mut inputs: Vec<Input>) -> anyhow::Result<Vec<u8>> {
    inputs.sort();
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), LEVEL)?);
    for (file, bytes) in inputs {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, file, bytes.as_slice())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_make_the_same_archive_in_any_order() {
        let inputs = || vec![("b".to_owned(), vec![2]), ("a".to_owned(), vec![])];
        let mut turned = inputs();
        turned.reverse();
        assert_eq!(packed(inputs()).unwrap(), packed(turned).unwrap());
    }
}
