//! Every decoder of the table has a corpus, and no corpus grows without need.

use std::collections::BTreeSet;
use std::fs;

use vault_tests::decoders::corpus::{corpora, corpus_of};
use vault_tests::decoders::{DECODERS, Decoder};

/// Fails when a decoder is added to the table without first inputs (`corpus seed` makes them), or
/// removed without its corpus.
#[test]
fn every_decoder_has_a_corpus() {
    let archives: BTreeSet<String> = DECODERS
        .iter()
        .map(|decoder| format!("{}.tar.zst", decoder.name))
        .collect();
    assert_eq!(archives.len(), DECODERS.len(), "a name twice");
    let entries = fs::read_dir(corpora()).expect("the folder");
    let found: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, archives);
}

/// Fails when a corpus takes in all found inputs, and not only those that reach code of their own.
#[test]
fn the_corpora_stay_small() {
    let inputs = |decoder: &Decoder| corpus_of(decoder.name).unwrap();
    let bytes: usize = DECODERS.iter().flat_map(inputs).map(|i| i.len()).sum();
    assert!(
        bytes < 2 << 20,
        "{bytes} bytes: `fuzz/run --keep` takes few"
    );
}
