//! Secrets that must not be found anywhere, in every form in which they could be written.

use aho_corasick::AhoCorasick;
use vault_protocol::BackupKey;
use vault_protocol::binary::to_base64url;

/// Names, and the bytes that they stand for.
#[derive(Default)]
pub struct Canaries {
    names: Vec<String>,
    patterns: Vec<Vec<u8>>,
}

impl Canaries {
    /// Hides a text, also as an encoding of it would show it.
    pub fn text(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    /// Hides bytes as they are, as hexadecimal, as base64 at any place of a longer value, and as
    /// `Debug` prints them.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.pattern(name, "as it is", bytes.to_vec());
        let hex = base16ct::lower::encode_string(bytes);
        self.pattern(name, "in hexadecimal", hex.to_uppercase().into());
        self.pattern(name, "in hexadecimal", hex.into());
        for before in 0..3 {
            let encoded = base64_inside(bytes, before);
            let standard = encoded.replace('-', "+").replace('_', "/");
            if standard != encoded {
                self.pattern(name, "in base64", standard.into());
            }
            self.pattern(name, "in base64url", encoded.into());
        }
        let list: Vec<String> = bytes.iter().take(8).map(u8::to_string).collect();
        self.pattern(name, "as a list of numbers", list.join(", ").into());
        self.pattern(name, "as a list of numbers", list.join(",").into());
    }

    /// Hides K, also as the 64 digits in groups.
    pub fn key(&mut self, name: &str, key: &BackupKey) {
        self.bytes(name, key.expose_secret());
        let digits = key.grouped_digits();
        self.pattern(name, "as 64 digits", digits.as_bytes().to_vec());
    }

    /// Which of them are there, each once.
    ///
    /// # Panics
    /// If there are more of them than can be looked for at once, which are millions.
    pub fn found_in(&self, place: &[u8]) -> Vec<&str> {
        let search = AhoCorasick::new(&self.patterns).expect("a few hundred patterns");
        let mut found: Vec<_> = search
            .find_overlapping_iter(place)
            .map(|hit| self.names[hit.pattern().as_usize()].as_str())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many patterns are looked for.
    pub fn count(&self) -> usize {
        self.patterns.len()
    }

    fn pattern(&mut self, name: &str, form: &str, pattern: Vec<u8>) {
        assert!(pattern.len() >= 8, "{name} would be found by chance");
        self.names.push(format!("{name} ({form})"));
        self.patterns.push(pattern);
    }
}

/// The characters that depend on these bytes alone when others stand before and behind them.
fn base64_inside(bytes: &[u8], before: usize) -> String {
    let encoded = to_base64url(&[vec![0; before], bytes.to_vec()].concat());
    let first = (before * 8).div_ceil(6);
    let last = (before + bytes.len()) * 8 / 6;
    encoded[first..last].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 16] = [
        0xfb, 0xef, 0xbe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xff,
    ];

    #[test]
    fn a_secret_is_found_in_every_form_and_at_every_place() {
        let mut canaries = Canaries::default();
        canaries.bytes("it", &SECRET);
        for before in 0..4 {
            let longer = [vec![7; before], SECRET.to_vec(), vec![9; 5]].concat();
            let base64url = to_base64url(&longer);
            let forms = [
                longer.clone(),
                base64url.replace('-', "+").replace('_', "/").into(),
                base64url.into(),
                format!("{longer:?}").into(),
                base16ct::lower::encode_string(&longer).into(),
            ];
            for form in forms {
                assert!(!canaries.found_in(&form).is_empty(), "{form:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut canaries = Canaries::default();
        canaries.bytes("it", &SECRET);
        assert!(canaries.found_in(&SECRET[..15]).is_empty());
        assert!(canaries.found_in(&[0; 4096]).is_empty());
    }
}
