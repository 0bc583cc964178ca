//! The fuzz targets and their corpora are those of the table of decoders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vault_tests::decoders::corpus::{corpora, corpus_of};
use vault_tests::decoders::{DECODERS, seeds};

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let stem = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    entries
        .filter_map(|entry| stem(&entry.expect("an entry").path()))
        .collect()
}

/// Fails when a decoder is added to the table without a target that fuzzes it.
#[test]
fn every_decoder_has_a_fuzz_target_and_a_corpus() {
    let names: BTreeSet<String> = DECODERS.iter().map(|d| d.name.to_owned()).collect();
    assert_eq!(names.len(), DECODERS.len(), "a name twice");
    assert_eq!(names_in(&corpora()), names);
    assert_eq!(names_in(&corpora().join("../fuzz_targets")), names);
    let manifest = fs::read_to_string(corpora().join("../Cargo.toml")).unwrap();
    for name in &names {
        let target = fs::read_to_string(corpora().join(format!("../fuzz_targets/{name}.rs")));
        let call = format!("named(\"{name}\")");
        assert!(target.unwrap().contains(&call), "{name} fuzzes another");
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{name} is not built");
    }
}

/// Fails when a corpus takes in all that was found, and not only what reaches code of its own.
#[test]
fn the_corpora_stay_small() {
    let inputs = |d: &vault_tests::decoders::Decoder| corpus_of(d.name).unwrap();
    let bytes: usize = DECODERS.iter().flat_map(inputs).map(|i| i.len()).sum();
    assert!(
        bytes < 2 << 20,
        "{bytes} bytes: `fuzz/run --keep` takes few"
    );
}

// For a new decoder: `cargo test -p vault-tests --test decoders -- --ignored`, then `fuzz/run`.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn writes_the_first_inputs_of_decoders_that_have_none() {
    for decoder in DECODERS {
        let folder = corpora().join(decoder.name);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds::seeds(decoder.name).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed).unwrap();
        }
    }
}
