//! Preparing a password so that every device types the same one (PROTOCOL.md section 3).
//!
//! The result depends on two Unicode tables: unicode-general-category 1.1.0 (Unicode 16.0.0) says
//! which characters are Cc and Zs, unicode-normalization 0.1.26 (Unicode 18.0.0) what NFC is. They
//! may differ in version, and from another device's: Cc can never change, Zs has not changed since
//! Unicode
//! 6.3, and NFC of a text whose characters are all assigned never changes (Unicode's stability
//! policies). Only a password with a code point that one of the devices does not know yet can come
//! out differently, when that code point turns out to be a combining mark or to decompose.

use std::fmt;

use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most code points a password can have, after preparation.
pub const MAX_CODE_POINTS: usize = 256;

/// A prepared password, as UTF-8. Erased when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

/// Why a password cannot be used. No message repeats any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// It has no character.
    #[error("the password is empty")]
    Empty,
    /// It has more than 256 code points.
    #[error("the password has more than {MAX_CODE_POINTS} characters")]
    TooLong,
    /// It has a character of Unicode's category Cc, a tab or a line break for example.
    #[error("the password has a control character (a tab or a line break, for example)")]
    ControlCharacter,
}

impl Password {
    /// Refuses control characters (Cc), maps each non-ASCII space (Zs) to U+0020, applies NFC, and
    /// requires 1 to 256 code points. Nothing is trimmed, no case changes. (Lone surrogates, which
    /// the rule also refuses, cannot occur in a `str`.)
    pub fn prepare(typed: &str) -> Result<Self, InvalidPassword> {
        if typed.chars().any(is_control) {
            return Err(InvalidPassword::ControlCharacter);
        }
        // NFC makes text at most three times as long in UTF-8; reserved at once, so that growing
        // leaves no copies behind.
        let mut prepared = Self(String::with_capacity(
            3 * typed.len().min(4 * MAX_CODE_POINTS) + 4,
        ));
        for (index, character) in typed.chars().map(plain_space).nfc().enumerate() {
            if index == MAX_CODE_POINTS {
                return Err(InvalidPassword::TooLong);
            }
            prepared.0.push(character);
        }
        if prepared.0.is_empty() {
            return Err(InvalidPassword::Empty);
        }
        Ok(prepared)
    }

    /// OPAQUE blinds these bytes.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

fn is_control(character: char) -> bool {
    get_general_category(character) == GeneralCategory::Control
}

fn plain_space(character: char) -> char {
    match get_general_category(character) {
        GeneralCategory::SpaceSeparator => ' ',
        _ => character,
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_passwords_are_refused() {
        assert_eq!(Password::prepare("").unwrap_err(), InvalidPassword::Empty);
        for bad in ["a\tb", "a\n", "\u{0}", "\u{85}", "\u{7f}"] {
            assert_eq!(
                Password::prepare(bad).unwrap_err(),
                InvalidPassword::ControlCharacter
            );
        }
        let long = "ä".repeat(257);
        assert_eq!(
            Password::prepare(&long).unwrap_err(),
            InvalidPassword::TooLong
        );
    }

    #[test]
    fn length_is_counted_after_composition() {
        let composed = Password::prepare(&"a\u{308}".repeat(256)).unwrap();
        assert_eq!(composed.expose_secret(), "ä".repeat(256));
    }

    // (typed, prepared): the published vectors of PROTOCOL.md section 3.
    const VECTORS: &[(&str, &str)] = &[
        ("correct horse", "correct horse"),
        ("  both ends  ", "  both ends  "),
        ("Caf\u{65}\u{301}", "Caf\u{e9}"),
        ("no\u{a0}break\u{3000}space", "no break space"),
        ("\u{212b}", "\u{c5}"),
        ("\u{fb01}", "\u{fb01}"),
        ("\u{1f510}\u{200d}", "\u{1f510}\u{200d}"),
        ("\u{1100}\u{1161}", "\u{ac00}"),
        ("STRASSE ß", "STRASSE ß"),
    ];

    #[test]
    fn preparation_gives_the_published_vectors() {
        for (typed, prepared) in VECTORS {
            assert_eq!(Password::prepare(typed).unwrap().expose_secret(), *prepared);
        }
    }
}
