//! How hard a new password is to guess, with advice in words.
//!
//! The vault limits guessing to a few attempts. This check is for the day its secrets are stolen:
//! then only the password's strength and the stretching stand between the thief and the key
//! (PROTOCOL.md section 1). So an app asks for it when a password is chosen, and never when one is
//! entered.
//!
//! The estimate is zxcvbn's: it looks for words, names, dates, keyboard rows and repetitions. It
//! copies parts of the password into memory that it does not erase.

use std::collections::HashSet;

use zxcvbn::feedback::{Suggestion, Warning};

/// How many characters are looked at; the rest counts for nothing.
///
/// zxcvbn by itself looks at the first 100. Its time grows with the cube of the length in the worst
/// case (every substitution it knows of, such as `4` for `a`): 0.7 s for 100 characters, 0.3 s for
/// 64, and a few milliseconds for a usual password. And it searches repetitions with a regular expression
/// that gives up, with a panic, after a million steps; 64 characters cannot take so many.
pub const EXAMINED_CHARS: usize = 64;

/// The shortest part of a name or address that counts as a word of its own.
const SHORTEST_PART: usize = 3;

/// The weakest password an app accepts, as a score from 0 to 4.
///
/// | score | guesses needed |
/// |---|---|
/// | 0 | fewer than 10^3 |
/// | 1 | fewer than 10^6 |
/// | 2 | fewer than 10^8 |
/// | 3 | fewer than 10^10 |
/// | 4 | more |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinimumStrength(u8);

/// There is no such score. They go from 0 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password's strength goes from 0 to 4: choose a minimum of at most 4, not {0}")]
pub struct NoSuchScore(pub u8);

impl MinimumStrength {
    /// Accepts every score from this one on.
    ///
    /// # Errors
    ///
    /// [`NoSuchScore`] above 4.
    pub fn new(score: u8) -> Result<Self, NoSuchScore> {
        (score <= 4)
            .then_some(Self(score))
            .ok_or(NoSuchScore(score))
    }

    /// The score, 0 to 4.
    pub fn score(self) -> u8 {
        self.0
    }
}

/// Score 3, as zxcvbn advises: at least 10^8 guesses, each of which costs a thief one stretching
/// (PROTOCOL.md section 3).
impl Default for MinimumStrength {
    fn default() -> Self {
        Self(3)
    }
}

/// Whether a password is strong enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 0 (worst) to 4, see [`MinimumStrength`].
    pub score: u8,
    /// Whether the score reaches the minimum.
    pub sufficient: bool,
    /// Whole sentences, the most important first. Empty if the password is sufficient.
    pub advice: Vec<&'static str>,
}

/// Judges a new password.
///
/// `about_user` has the words that an attacker would try first: the account's name, a mail address, the app's
/// name. Its parts count as well. How long this takes is bounded by [`EXAMINED_CHARS`]. Whether the
/// password is allowed at all (PROTOCOL.md section 3) is not looked at.
pub fn assess(password: &str, about_user: &[&str], minimum: MinimumStrength) -> Verdict {
    let end = password
        .char_indices()
        .nth(EXAMINED_CHARS)
        .map_or(password.len(), |(index, _)| index);
    let examined = &password[..end];
    let words = guessable_words(about_user);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let estimate = zxcvbn::zxcvbn(examined, &words);
    let score = u8::from(estimate.score());
    let sufficient = score >= minimum.score();
    let mut advice = Vec::new();
    if !sufficient {
        let lowered = examined.to_lowercase();
        if words.iter().any(|word| lowered.contains(word)) {
            advice.push("Leave out your name, your account and the name of the app.");
        }
        if let Some(feedback) = estimate.feedback() {
            advice.extend(feedback.warning().map(warning_in_words));
            advice.extend(
                feedback
                    .suggestions()
                    .iter()
                    .filter_map(suggestion_in_words),
            );
        }
        advice.push("Use four or more words that have nothing to do with each other.");
        let mut seen = HashSet::new();
        advice.retain(|sentence| seen.insert(*sentence));
    }
    Verdict {
        score,
        sufficient,
        advice,
    }
}

/// The inputs and their parts in lower case: where the account is `maria.lopez@example.org`, `maria`
/// is among the first guesses.
fn guessable_words(about_user: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for input in about_user {
        let input = input.to_lowercase();
        words.extend(
            input
                .split(|c: char| !c.is_alphanumeric())
                .filter(|part| part.chars().count() >= SHORTEST_PART)
                .map(str::to_owned),
        );
        if input.chars().count() >= SHORTEST_PART {
            words.push(input);
        }
    }
    words
}

fn warning_in_words(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess => {
            "Rows of keys such as qwertz are among the first guesses."
        }
        Warning::ShortKeyboardPatternsAreEasyToGuess => {
            "Short patterns on the keyboard are among the first guesses."
        }
        Warning::RepeatsLikeAaaAreEasyToGuess => "Repeating a character adds next to nothing.",
        Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "Repeating a part is hardly harder to guess than the part once."
        }
        Warning::ThisIsATop10Password => "This is one of the ten most used passwords.",
        Warning::ThisIsATop100Password => "This is one of the hundred most used passwords.",
        Warning::ThisIsACommonPassword => "Many people use this password.",
        Warning::ThisIsSimilarToACommonlyUsedPassword => {
            "This is close to a password that many people use."
        }
        Warning::SequencesLikeAbcAreEasyToGuess => {
            "Sequences such as abc or 6543 are among the first guesses."
        }
        Warning::RecentYearsAreEasyToGuess => "Years are among the first guesses.",
        Warning::AWordByItselfIsEasyToGuess => "A single word is guessed from a dictionary.",
        Warning::DatesAreOftenEasyToGuess => "There are few dates: they are soon all tried.",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess => {
            "A name alone is guessed from a list of names."
        }
        Warning::CommonNamesAndSurnamesAreEasyToGuess => {
            "Common names are among the first guesses."
        }
    }
}

/// None where the closing sentence says the same.
fn suggestion_in_words(suggestion: &Suggestion) -> Option<&'static str> {
    match suggestion {
        Suggestion::UseAFewWordsAvoidCommonPhrases | Suggestion::AddAnotherWordOrTwo => None,
        Suggestion::NoNeedForSymbolsDigitsOrUppercaseLetters => {
            Some("Length counts: symbols, digits and capitals are not needed.")
        }
        Suggestion::CapitalizationDoesntHelpVeryMuch => {
            Some("A capital at the beginning hardly helps.")
        }
        Suggestion::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => {
            Some("Capitals throughout hardly help.")
        }
        Suggestion::ReversedWordsArentMuchHarderToGuess => {
            Some("Words spelled backwards are tried too.")
        }
        Suggestion::PredictableSubstitutionsDontHelpVeryMuch => {
            Some("Replacing letters, such as @ for a, hardly helps.")
        }
        Suggestion::UseALongerKeyboardPatternWithMoreTurns => {
            Some("Do not move along the keyboard.")
        }
        Suggestion::AvoidRepeatedWordsAndCharacters => Some("Do not repeat words or characters."),
        Suggestion::AvoidSequences => Some("Do not use sequences."),
        Suggestion::AvoidRecentYears => Some("Do not use years."),
        Suggestion::AvoidYearsThatAreAssociatedWithYou
        | Suggestion::AvoidDatesAndYearsThatAreAssociatedWithYou => {
            Some("Do not use dates from your life.")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(password: &str) -> u8 {
        assess(password, &[], MinimumStrength::default()).score
    }

    #[test]
    fn a_minimum_above_4_does_not_exist() {
        assert_eq!(MinimumStrength::new(5), Err(NoSuchScore(5)));
        assert_eq!(MinimumStrength::new(4).unwrap().score(), 4);
    }

    #[test]
    fn nothing_and_well_known_passwords_are_refused_with_advice() {
        for password in [
            "",
            "password",
            "P@ssw0rd",
            "qwertyuiop",
            "aaaaaaaaaaaaaaaa",
            "19871224",
        ] {
            let verdict = assess(password, &[], MinimumStrength::default());
            assert!(!verdict.sufficient, "{password}");
            assert!(!verdict.advice.is_empty(), "{password}");
            assert!(
                verdict.advice.iter().all(|s| s.ends_with('.')),
                "{password}"
            );
        }
    }

    // Fails without the parts of inputs: `words.extend(input.split(...))`.
    #[test]
    fn what_is_known_about_the_user_is_no_password() {
        let minimum = MinimumStrength::default();
        let about = ["thrandwyl.kvexomir@example.org", "Photo Album"];
        for password in [
            "thrandwylkvexomir",
            "Thrandwyl.Kvexomir@example.org",
            "albumkvexomir",
        ] {
            assert!(assess(password, &[], minimum).sufficient, "{password}");
            let verdict = assess(password, &about, minimum);
            assert!(!verdict.sufficient, "{password}");
            assert!(
                verdict.advice[0].starts_with("Leave out your name"),
                "{password}"
            );
        }
    }

    #[test]
    fn an_input_of_two_letters_does_not_spoil_a_password() {
        let minimum = MinimumStrength::default();
        let verdict = assess("correct horse battery staple", &["st", ""], minimum);
        assert!(verdict.sufficient);
    }

    #[test]
    fn a_few_words_are_sufficient_and_need_no_advice() {
        let verdict = assess(
            "correct horse battery staple",
            &["alice"],
            MinimumStrength::default(),
        );
        assert_eq!((verdict.score, verdict.sufficient), (4, true));
        assert!(verdict.advice.is_empty());
    }

    #[test]
    fn the_app_sets_the_minimum() {
        let password = "monkey-dragon";
        let score = score(password);
        assert!((1..4).contains(&score));
        for minimum in 0..=4 {
            let verdict = assess(password, &[], MinimumStrength::new(minimum).unwrap());
            assert_eq!(verdict.sufficient, minimum <= score);
            assert_eq!(verdict.advice.is_empty(), minimum <= score);
        }
    }

    // Fails with a larger bound, such as `.nth(100)`.
    #[test]
    fn characters_behind_the_bound_count_for_nothing() {
        let weak = "a".repeat(EXAMINED_CHARS);
        let longer = format!("{weak}correct horse battery staple");
        assert_eq!(score(&longer), score(&weak));
        let within = format!("{}correct horse battery staple", &weak[30..]);
        assert!(score(&within) > score(&weak));
    }

    #[test]
    fn the_bound_counts_characters_and_not_bytes() {
        assert_eq!(score(&"é".repeat(300)), score(&"é".repeat(EXAMINED_CHARS)));
    }

    #[test]
    fn the_worst_input_known_is_answered() {
        let substitutions = "48@({[<3691!|70$5+%2";
        let password: String = substitutions.chars().cycle().take(256).collect();
        assert_eq!(score(&password), 4);
        for repeating in ["a", "ab", "1", "😀", "İ"] {
            assert!(score(&repeating.repeat(256)) <= 1, "{repeating:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(password in ".{0,80}", about in ".{0,20}") {
            assess(&password, &[&about], MinimumStrength::default());
        }

        #[test]
        fn no_text_of_few_characters_makes_it_panic(password in "[ab1@ ]{0,100}") {
            assess(&password, &[], MinimumStrength::default());
        }
    }
}
