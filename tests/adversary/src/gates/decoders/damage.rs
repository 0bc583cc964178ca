//! Damaged copies of inputs, the same ones for the same random numbers.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The values that overwrite lengths and counts: none, one, and the ends of their ranges.
const TELLING: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/// A copy of one input, each in its turn, with up to four changes.
pub(super) fn damaged(corpus: &[Vec<u8>], number: usize, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = corpus[number % corpus.len()].clone();
    for _ in 0..rng.gen_range(1..=4) {
        let other = corpus.choose(rng).expect("the corpus is not empty");
        change(&mut bytes, other, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    let at = rng.gen_range(0..=bytes.len());
    let end = rng.gen_range(at..=bytes.len().min(at + 64));
    match rng.gen_range(0..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.gen_range(0..8),
        1 if at < bytes.len() => bytes[at] = TELLING.choose(rng).copied().unwrap_or_default(),
        2 => bytes[at..end].fill(TELLING.choose(rng).copied().unwrap_or_default()),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => bytes.extend_from_within(at..end),
        6 => {
            let new: [u8; 8] = rng.r#gen();
            let new = &new[..rng.gen_range(1..=new.len())];
            bytes.splice(at..at, new.iter().copied());
        }
        // The beginning of one, the end of another.
        _ => {
            let from = rng.gen_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}
