//! Passwords, keys and tokens come from files and prompts, never from arguments or the environment,
//! where other processes could see them.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use vault_client::strength::{self, MinimumStrength};
use vault_client::{BackupKey, Password};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::CliError;
use crate::output::Screen;

/// No password, key or token is longer, in bytes.
const MAX_LEN: usize = 64 * 1024;

/// How often a new password is asked for at a terminal.
const MAX_TRIES: usize = 3;

/// A password that a record is to have.
#[derive(Args, Debug)]
pub(crate) struct NewPassword {
    /// Take the password from a file (one line break at its end does not count)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The weakest password to accept, from 0 to 4
    #[arg(long, value_name = "SCORE", default_value = "3", value_parser = strength_score)]
    minimum_strength: MinimumStrength,
}

/// A key that is given as its 64 digits.
#[derive(Args, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct GivenKey {
    /// Ask for the 64 digits (spaces, hyphens and capitals do not matter)
    #[arg(long)]
    pub(crate) by_key: bool,
    /// Take the 64 digits from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

impl NewPassword {
    /// Whether it is read from a file, so that it can be checked before anything is sent.
    pub(crate) fn is_in_file(&self) -> bool {
        self.password_file.is_some()
    }

    /// Asks twice, or reads the file; refuses a password that is too easy to guess. An
    /// attacker tries the words of `about_user` first.
    pub(crate) fn choose(&self, about_user: &[&str], screen: Screen) -> Result<Password, CliError> {
        if let Some(file) = &self.password_file {
            let typed = read_file(file, "the password", screen)?;
            return self.check(&typed, about_user);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let typed = prompt("New password: ", "--password-file", screen)?;
            let result = if *typed == *prompt("The same again: ", "--password-file", screen)? {
                self.check(&typed, about_user)
            } else {
                Err(CliError::usage("the two passwords differ: start again"))
            };
            match result {
                Err(refused) if tries < MAX_TRIES => {
                    screen.note(&refused.message);
                    refused.hints.iter().for_each(|hint| screen.note(hint));
                }
                result => return result,
            }
        }
    }

    fn check(&self, typed: &str, about_user: &[&str]) -> Result<Password, CliError> {
        let password = prepare(typed)?;
        let minimum = self.minimum_strength;
        let verdict = strength::assess(password.expose_secret(), about_user, minimum);
        if verdict.sufficient {
            return Ok(password);
        }
        let (score, minimum) = (verdict.score, minimum.score());
        let mut weak = CliError::usage(format!(
            "the password is too easy to guess (strength {score} of 4, at least {minimum} is needed): choose another one"
        ));
        weak.hints
            .extend(verdict.advice.iter().map(|&line| line.to_owned()));
        Err(weak.details(json!({"score": score, "minimum": minimum, "advice": verdict.advice})))
    }
}

impl GivenKey {
    /// Whether a key is given at all.
    pub(crate) fn is_given(&self) -> bool {
        self.by_key || self.key_file.is_some()
    }

    /// Reads or asks for it; `None` if none is given.
    pub(crate) fn read(&self, screen: Screen) -> Result<Option<BackupKey>, CliError> {
        let digits = match &self.key_file {
            Some(file) => read_file(file, "the 64 digits", screen)?,
            None if self.by_key => prompt("The 64 digits: ", "--key-file", screen)?,
            None => return Ok(None),
        };
        Ok(Some(digits.parse::<BackupKey>()?))
    }
}

/// The password of an existing record.
pub(crate) fn password(file: Option<&Path>, screen: Screen) -> Result<Password, CliError> {
    let typed = match file {
        Some(file) => read_file(file, "the password", screen)?,
        None => prompt("Password: ", "--password-file", screen)?,
    };
    prepare(&typed)
}

fn prepare(typed: &str) -> Result<Password, CliError> {
    Password::prepare(typed)
        .map_err(|error| CliError::usage(format!("{error}: choose another one")))
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// There is no terminal. A program is not asked, it says so beforehand.
    Unasked,
}

/// Asks before something that cannot be undone, unless the options have said `yes` already.
pub(crate) async fn confirm(question: &str, yes: bool, screen: Screen) -> Result<(), CliError> {
    match ask(question, yes, screen).await? {
        Answer::Yes => Ok(()),
        Answer::No => Err(CliError::new(Code::Failure, "nothing was changed")),
        Answer::Unasked => Err(CliError::usage(format!("{question} Say so with --yes."))),
    }
}

/// The same for a question whose answer may be no.
pub(crate) async fn ask(question: &str, yes: bool, screen: Screen) -> Result<Answer, CliError> {
    if yes {
        return Ok(Answer::Yes);
    }
    if screen.is_json() || !io::stdin().is_terminal() {
        return Ok(Answer::Unasked);
    }
    screen.note(&format!("{question} Type yes to go on:"));
    // Off this thread, so that Ctrl-C is heard even if nothing has listened for it before.
    let answer = tokio::select! {
        answer = tokio::task::spawn_blocking(read_answer) => answer.context("cannot read the answer")?,
        _ = ctrl_c() => return Err(CliError::interrupted()),
    };
    let answer = answer.context("cannot read the answer")?;
    Ok(match answer.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" => Answer::Yes,
        _ => Answer::No,
    })
}

fn read_answer() -> io::Result<String> {
    let mut answer = String::new();
    io::stdin().lock().take(16).read_line(&mut answer)?;
    Ok(answer)
}

/// A file with one secret. One line break at the end does not count.
pub fn read_file(path: &Path, what: &str, screen: Screen) -> Result<Zeroizing<String>, CliError> {
    let unreadable = || format!("cannot read {what} from {}", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let metadata = file.metadata().with_context(unreadable)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        screen.warn(&format!(
            "others may read {what} in {path}: chmod 600 {path}"
        ));
    }
    // Never grows, so that no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    // One more, so that nothing behind the limit is passed over in silence.
    let limit = u64::try_from(MAX_LEN + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(&mut bytes)
        .with_context(unreadable)?;
    if bytes.len() > MAX_LEN {
        let path = path.display();
        return Err(anyhow!("{path} is longer than {MAX_LEN} bytes: check the file").into());
    }
    let text = std::str::from_utf8(&bytes)
        .ok()
        .with_context(|| format!("{} is not text in UTF-8: check the file", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Zeroizing::new(line.to_owned()))
}

fn prompt(text: &str, instead: &str, screen: Screen) -> Result<Zeroizing<String>, CliError> {
    if screen.is_json() {
        return Err(CliError::usage(format!(
            "with --json nothing is asked: give {instead} FILE"
        )));
    }
    // Without a listener Ctrl-C would end the process inside the prompt, and the terminal would stay
    // without echo.
    let _listening = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    match rpassword::prompt_password(text) {
        Ok(typed) => Ok(Zeroizing::new(typed)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(CliError::interrupted()),
        Err(_) => Err(CliError::usage(format!(
            "there is no terminal to ask at: give {instead} FILE"
        ))),
    }
}

fn strength_score(text: &str) -> Result<MinimumStrength, String> {
    let score = text
        .parse()
        .map_err(|_| "a number from 0 to 4".to_owned())?;
    MinimumStrength::new(score).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Zeroizing<String>, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        read_file(&path, "the password", Screen::new(false))
    }

    // Fails when `read_file` reads `MAX_LEN` bytes and looks no further: the rest, digits perhaps, would
    // not count.
    #[test]
    fn a_file_that_is_too_long_is_refused_and_not_cut() {
        assert!(read(&[b' '; MAX_LEN + 1]).is_err());
        assert_eq!(read(&[b' '; MAX_LEN]).unwrap().len(), MAX_LEN);
    }

    #[test]
    fn one_line_break_at_the_end_does_not_count_and_nothing_else_is_trimmed() {
        assert!(read(b"\xff").is_err());
        for (content, secret) in [
            (&b"a b"[..], "a b"),
            (b" a \n", " a "),
            (b"a\r\n", "a"),
            (b"a\n\n", "a\n"),
        ] {
            assert_eq!(read(content).unwrap().as_str(), secret);
        }
    }
}
