//! What goes where: results to standard output, everything else to standard error. With `--json`
//! exactly one object on standard output, whatever happens.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};
use vault_client::Timestamp;
use vault_client::http::system_clock;
use zeroize::Zeroizing;

use super::failure::Failure;

/// Standard output and error.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    json: bool,
}

/// What a command that succeeded has to say, for people and for programs.
pub struct Outcome {
    /// Whole lines, without the last line break. May show the key.
    pub text: Zeroizing<String>,
    /// An object.
    pub json: Value,
}

impl Screen {
    /// `json`: for a program.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads along.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Tells the user something on the way.
    pub fn note(self, text: &str) {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Tells the user something they should act on.
    pub fn warn(self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Prints a part of the result that must be seen before the rest is done. With `--json` it is in
    /// the one object at the end.
    pub fn show(self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{text}")?;
        io::stdout().flush()
    }

    /// Prints the result.
    pub fn finish(self, outcome: &Outcome) -> ExitCode {
        let printed = if self.json {
            writeln!(io::stdout(), "{}", outcome.json)
        } else {
            writeln!(io::stdout(), "{}", outcome.text.as_str())
        };
        match printed.and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => self.fail(&Failure::Other(error.into())),
        }
    }

    /// Prints what went wrong, and gives the exit code.
    pub fn fail(self, failure: &Failure) -> ExitCode {
        self.note(&format!("error: {}", failure.message()));
        if let Some(cause) = failure.cause() {
            self.note(&format!("  because: {cause}"));
        }
        for hint in failure.hints() {
            self.note(&format!("  {hint}"));
        }
        self.fail_silently(failure)
    }

    /// The same for what the user has been told already.
    pub fn fail_silently(self, failure: &Failure) -> ExitCode {
        if self.json {
            let _ = writeln!(io::stdout(), "{}", failure.json());
        }
        ExitCode::from(failure.code().number())
    }
}

impl Outcome {
    /// For a result without secrets.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            json,
        }
    }
}

/// The 64 digits as they are shown: for writing down, and for a program.
pub fn show_digits(key: &vault_client::BackupKey) -> (Zeroizing<String>, Value) {
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

/// A time to wait for, for a person who does not count in UTC: how far off it is, and RFC 3339.
pub fn until(time: Timestamp) -> String {
    let distance = duration(time.seconds_since(system_clock()));
    format!("{} (in {distance})", time.to_rfc3339())
}

/// The same for a time that has passed.
pub fn since(time: Timestamp) -> String {
    let distance = duration(system_clock().seconds_since(time));
    format!("{} ({distance} ago)", time.to_rfc3339())
}

/// Bytes for a person.
pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        _ => indicatif::BinaryBytes(bytes).to_string(),
    }
}

/// `1 file`, `2 files`.
pub fn count(number: u64, one: &str) -> String {
    let mut text = format!("{number} {one}");
    if number != 1 {
        // Writing to a string does not fail.
        let _ = write!(text, "s");
    }
    text
}

fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..120 => count(seconds, "second"),
        120..7200 => count((seconds + MINUTE / 2) / MINUTE, "minute"),
        7200..172_800 => count((seconds + HOUR / 2) / HOUR, "hour"),
        _ => count((seconds + DAY / 2) / DAY, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_client::BackupKey;

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

    #[test]
    fn durations_are_rounded_in_words() {
        for (seconds, words) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (121, "2 minutes"),
            (301, "5 minutes"),
            (86_400, "24 hours"),
            (172_801, "2 days"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }
}
