//! Results go to standard output, everything else to standard error. With `--json`
//! exactly one object on standard output, whatever happens.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};
use vault_client::BackupKey;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::CliError;

/// Standard output and error.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    json: bool,
}

/// The result of a command that succeeded, for people and for programs.
pub(crate) struct Outcome {
    /// Whole lines, without the last line break. May show the key.
    pub(crate) text: Zeroizing<String>,
    /// An object.
    pub(crate) json: Value,
}

impl Screen {
    /// `json`: for a program.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads along.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Tells the user something on the way.
    pub(crate) fn note(self, text: &str) {
        // Without a standard error there is no place for it.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Tells the user something they should act on.
    pub(crate) fn warn(self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Prints a part of the result that must be seen before the rest is done. With `--json` it is in
    /// the one object at the end.
    pub(crate) fn show(self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{text}")?;
        io::stdout().flush()
    }

    /// Prints the result.
    pub(crate) fn finish(self, outcome: &Outcome) -> ExitCode {
        let printed = if self.json {
            writeln!(io::stdout(), "{}", outcome.json)
        } else {
            writeln!(io::stdout(), "{}", outcome.text.as_str())
        };
        match printed.and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => self.fail(&unprintable(&error)),
        }
    }

    /// Prints the error, and gives the exit code.
    pub(crate) fn fail(self, error: &CliError) -> ExitCode {
        self.note(&format!("error: {}", error.message));
        if let Some(cause) = &error.cause {
            self.note(&format!("  because: {cause}"));
        }
        for hint in &error.hints {
            self.note(&format!("  {hint}"));
        }
        self.fail_silently(error)
    }

    /// The same for an error that the user has been told already.
    pub(crate) fn fail_silently(self, error: &CliError) -> ExitCode {
        if self.json {
            let _ = writeln!(io::stdout(), "{}", error.json());
        }
        ExitCode::from(error.code.number())
    }
}

/// Standard output takes nothing.
pub(crate) fn unprintable(error: &io::Error) -> CliError {
    CliError::new(
        Code::Failure,
        "cannot print the result: check standard output",
    )
    .because(error)
}

impl Outcome {
    /// For a result without secrets.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            json,
        }
    }
}

/// The 64 digits as they are shown: for writing down, and for a program.
pub(crate) fn show_digits(key: &BackupKey) -> (Zeroizing<String>, Value) {
    let grouped = key.grouped_digits();
    let mut lines = Zeroizing::new(String::with_capacity(128));
    for (index, group) in grouped.split(' ').enumerate() {
        let separator = match index % 4 {
            0 if index == 0 => "  ",
            0 => "\n  ",
            _ => " ",
        };
        lines.push_str(separator);
        lines.push_str(group);
    }
    (lines, json!(grouped.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_shown_in_four_lines_of_four_groups() {
        let key: BackupKey = "00112233445566778899aabbccddeeff"
            .repeat(2)
            .parse()
            .unwrap();
        let (lines, json) = show_digits(&key);
        let expected = "  0011 2233 4455 6677\n  8899 aabb ccdd eeff\n".repeat(2);
        assert_eq!(lines.as_str(), expected.trim_end_matches('\n'));
        assert_eq!(json.as_str().unwrap().split(' ').count(), 16);
    }
}
