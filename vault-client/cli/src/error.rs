//! The error of a command, in one shape for people and programs. Nothing secret is in it.

use std::error::Error as StdError;
use std::iter;

use serde::Serialize;
use serde_json::{Map, Value, json};
use vault_backup::BackupError;
use vault_client::Timestamp;
use vault_client::device::DeviceError;
use vault_client::error::{Error, Source};
use vault_protocol::backup_key::InvalidDigits;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::statement::StatementRefused;

use crate::code::Code;
use crate::words;

/// The error that is printed, and that the exit code comes from.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    pub(crate) code: Code,
    /// One sentence: the error and its remedy.
    pub(crate) message: String,
    /// The chain of sources, if the message does not say so.
    pub(crate) cause: Option<String>,
    /// Remedies on this command line, a line each.
    pub(crate) hints: Vec<String>,
    /// Fields of the JSON object beside code, message and cause.
    pub(crate) details: Map<String, Value>,
}

/// A request that was sent and that the vault did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sent {
    Guess,
    Registration,
    Deletion,
}

impl CliError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            hints: Vec::new(),
            details: Map::new(),
        }
    }

    /// The error as the library words it, and its sources.
    pub(crate) fn of(code: Code, error: &dyn StdError) -> Self {
        let described = Self::new(code, error.to_string());
        match error.source() {
            Some(source) => described.because(source),
            None => described,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn no_key(message: &str) -> Self {
        Self::new(Code::NoKey, message)
    }

    pub(crate) fn interrupted() -> Self {
        let message = "stopped: nothing half-written is left on this device";
        Self::new(Code::Interrupted, message)
    }

    /// A guess or a change may have had its effect. `None` after Ctrl-C.
    pub(crate) fn unknown(sent: Sent, error: Option<&Error>) -> Self {
        let unknown = Self::new(Code::UnknownOutcome, describe_unknown(sent))
            .hint(ASK_FOR_THE_STATUS)
            .details(json!({ "sent": sent }));
        match error {
            // Of an outcome that is unknown the reason says more than the words for it.
            Some(error) => unknown.because(error.source().unwrap_or(error)),
            None => unknown,
        }
    }

    /// The error of a change, whose outcome may be unknown.
    pub(crate) fn change(sent: Sent, error: DeviceError) -> Self {
        match error {
            DeviceError::Vault(error @ (Error::UnknownOutcome(_) | Error::Unavailable)) => {
                Self::unknown(sent, Some(&error))
            }
            error => error.into(),
        }
    }

    /// The record was destroyed, and the user has not said that it may be registered again.
    pub(crate) fn after_destroyed(
        destroyed_at: Timestamp,
        reason: DestructionReason,
        generation: u64,
    ) -> Self {
        let password = match reason {
            DestructionReason::Exhausted => {
                ", and with another password than before: an attacker was guessing"
            }
            DestructionReason::Deleted | DestructionReason::Reset => "",
        };
        let message = format!(
            "the record was destroyed on {} ({}), and nothing was registered: if this device's key is to be protected by a password again, run the same command with --after-destroyed{password}",
            destroyed_at.to_rfc3339(),
            words::reason(reason),
        );
        Self::new(Code::Destroyed, message).details(destroyed(destroyed_at, reason, generation))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn details(mut self, details: Value) -> Self {
        if let Value::Object(details) = details {
            self.details.extend(details);
        }
        self
    }

    #[must_use]
    pub(crate) fn because(mut self, cause: &dyn StdError) -> Self {
        let chain = iter::successors(Some(cause), |&error| error.source());
        let texts: Vec<String> = chain.map(ToString::to_string).collect();
        self.cause = Some(texts.join(": "));
        self
    }

    /// For programs: `error`, `exit_code`, `message`, perhaps `cause`, and the details.
    pub(crate) fn json(&self) -> Value {
        let mut object = self.details.clone();
        object.insert("error".to_owned(), json!(self.code.name()));
        object.insert("exit_code".to_owned(), json!(self.code.number()));
        object.insert("message".to_owned(), json!(self.message));
        if let Some(cause) = &self.cause {
            object.insert("cause".to_owned(), json!(cause));
        }
        Value::Object(object)
    }
}

const ASK_FOR_THE_STATUS: &str = "What the vault has now: vault-client status (costs nothing).";

fn describe_unknown(sent: Sent) -> &'static str {
    match sent {
        Sent::Guess => {
            "the vault's answer did not come: an attempt may be used up; running this again uses another"
        }
        Sent::Registration => {
            "the vault's answer did not come: the key may be registered with this password or not; run the same command again with the same password: it repeats the same change"
        }
        Sent::Deletion => {
            "the vault's answer did not come: the record may be deleted or not; run the same command again: it repeats the same change"
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let (code, hint, details) = described(&error);
        let mut described = Self::of(code, &error).details(details);
        described.hints.extend(hint);
        described
    }
}

impl From<DeviceError> for CliError {
    fn from(error: DeviceError) -> Self {
        let code = match error {
            DeviceError::Vault(error) => return error.into(),
            // Of a file that cannot be written: says which one.
            DeviceError::NotStored(source) => return not_stored(source),
            DeviceError::OtherKey { .. }
            | DeviceError::RecordElsewhere
            | DeviceError::RegisteredSince => Code::AlreadyRegistered,
            DeviceError::NoKey | DeviceError::NoRecord => Code::NoKey,
            DeviceError::MayBeRegistered | DeviceError::TooLong => Code::Failure,
        };
        let hint = match &error {
            DeviceError::OtherKey {
                may_be_registered: true,
                ..
            } => {
                "Finish its registration: vault-client enable. Or remove it: vault-client disable --forget."
            }
            DeviceError::OtherKey { .. } => {
                "Its digits: vault-client show-key. Then remove it: vault-client disable --forget."
            }
            DeviceError::RecordElsewhere | DeviceError::MayBeRegistered => {
                "Delete it: vault-client disable. If the vault is gone: vault-client disable --leave-record."
            }
            DeviceError::RegisteredSince => {
                "Another password: vault-client change-password. If it is another key, vault-client disable leaves that one's record alone."
            }
            _ => return Self::new(code, error.to_string()),
        };
        Self::new(code, error.to_string()).hint(hint)
    }
}

/// The storage of the command line fails with errors of this type.
fn not_stored(source: Source) -> CliError {
    match source.downcast::<CliError>() {
        Ok(error) => *error,
        Err(source) => CliError::new(Code::Failure, "the state cannot be stored").because(&*source),
    }
}

fn described(error: &Error) -> (Code, Option<String>, Value) {
    let (code, hint, details) = match error {
        Error::WrongPassword {
            attempts_remaining,
            retry_at,
            state,
        } => {
            let code = match state {
                // It was the last attempt: there is nothing to try again.
                Some(AccountState::Destroyed) => Code::Destroyed,
                _ => Code::WrongPassword,
            };
            let details = json!({
                "attempts_remaining": attempts_remaining,
                "retry_at": retry_at,
                "state": state,
            });
            return (code, retry_at.map(next_attempt), details);
        }
        Error::Waiting { retry_at } => {
            let hint = Some(next_attempt(*retry_at));
            return (Code::Waiting, hint, json!({ "retry_at": retry_at }));
        }
        Error::Destroyed {
            destroyed_at,
            reason,
            generation,
        } => (
            Code::Destroyed,
            "With the 64 digits: vault-client restore --by-key. From a device that holds the key: vault-client enable --after-destroyed.",
            destroyed(*destroyed_at, *reason, *generation),
        ),
        Error::NotRegistered => (
            Code::NotRegistered,
            "Protect a key with: vault-client enable",
            Value::Null,
        ),
        Error::AlreadyRegistered { generation } => (
            Code::AlreadyRegistered,
            OF_ANOTHER_KEY,
            json!({ "generation": generation }),
        ),
        Error::NotThisKey => (Code::AlreadyRegistered, OF_ANOTHER_KEY, Value::Null),
        // Another device's change may have taken that long.
        Error::TicketExpired | Error::UnknownOutcome(_) => {
            (Code::UnknownOutcome, ASK_FOR_THE_STATUS, Value::Null)
        }
        error => return (plain_code(error), None, Value::Null),
    };
    (code, Some(hint.to_owned()), details)
}

const OF_ANOTHER_KEY: &str = "With its password: vault-client restore. On a device that holds it: vault-client change-password.";

/// Of an error whose message says all.
fn plain_code(error: &Error) -> Code {
    match error {
        Error::StatementRefused(StatementRefused::OtherProtocol) => Code::Failure,
        Error::StatementRefused(_) | Error::ForeignVault => Code::WrongVault,
        Error::Refused(_) => Code::Refused,
        Error::Overloaded | Error::Unavailable | Error::Network(_) => Code::Network,
        // The app has to be updated, or the operator has to act.
        _ => Code::Failure,
    }
}

fn next_attempt(time: Timestamp) -> String {
    format!("The next attempt: {}.", words::until(time))
}

fn destroyed(destroyed_at: Timestamp, reason: DestructionReason, generation: u64) -> Value {
    json!({
        "attempts_remaining": 0,
        "destroyed_at": destroyed_at,
        "reason": reason,
        "generation": generation,
    })
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        let code = match error {
            BackupError::Cancelled => return Self::interrupted(),
            BackupError::WrongKey { .. }
            | BackupError::Truncated
            | BackupError::Damaged
            | BackupError::NotABackup(_)
            | BackupError::Refused { .. } => Code::DamagedBackup,
            // Folders, files and the disk; and variants that a later version of the library adds.
            _ => Code::Failure,
        };
        let described = Self::of(code, &error);
        match &error {
            BackupError::WrongKey { key, file } => described.details(json!({
                "key_id": key.to_string(),
                "backup_key_id": file.map(|id| id.to_string()),
            })),
            _ => described,
        }
    }
}

impl From<InvalidDigits> for CliError {
    fn from(error: InvalidDigits) -> Self {
        Self::usage(error.to_string())
            .hint("Compare the digits with the ones written down; nothing was tried.")
    }
}

/// A file that cannot be read, a terminal that is missing, and the like.
impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::of(Code::Failure, &*error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_password_that_destroyed_the_record_counts_as_destroyed() {
        let code = |state| {
            let error = Error::WrongPassword {
                attempts_remaining: 0,
                retry_at: None,
                state,
            };
            CliError::from(error).code
        };
        assert_eq!(code(Some(AccountState::Destroyed)), Code::Destroyed);
        assert_eq!(code(Some(AccountState::Active)), Code::WrongPassword);
        assert_eq!(code(None), Code::WrongPassword);
    }

    // Fails if the password is not mentioned after too many wrong ones.
    #[test]
    fn after_a_destruction_the_flag_is_named_and_another_password_where_it_matters() {
        for (reason, asks) in [
            (DestructionReason::Exhausted, true),
            (DestructionReason::Deleted, false),
            (DestructionReason::Reset, false),
        ] {
            let error = CliError::after_destroyed(Timestamp::from_millis(0), reason, 2);
            assert_eq!(error.code, Code::Destroyed);
            let message = error.message;
            assert!(message.contains("--after-destroyed"), "{message}");
            assert_eq!(message.contains("another password"), asks, "{message}");
        }
    }

    #[test]
    fn a_guess_without_an_answer_is_not_taken_for_one_that_did_not_happen() {
        let busy = CliError::unknown(Sent::Guess, Some(&Error::Overloaded));
        assert!(busy.cause.unwrap().contains("too much to do"));
        let unknown = CliError::unknown(Sent::Guess, None);
        assert_eq!(unknown.code, Code::UnknownOutcome);
        assert!(unknown.message.contains("may be used up"));
        assert_eq!(unknown.json()["sent"], "guess");
    }

    // Fails if the way out of a refused move is not named.
    #[test]
    fn a_move_that_is_refused_says_how_to_go_on() {
        let error = CliError::from(DeviceError::RecordElsewhere);
        assert_eq!(error.code, Code::AlreadyRegistered);
        assert!(error.hints[0].contains("disable --leave-record"));
    }

    // Fails if `change` takes a change whose answer did not come for one that was refused.
    #[test]
    fn a_change_that_was_not_answered_is_not_taken_for_one_that_was_refused() {
        let code = |error| CliError::change(Sent::Deletion, DeviceError::Vault(error)).code;
        assert_eq!(code(Error::Unavailable), Code::UnknownOutcome);
        assert_eq!(code(Error::Overloaded), Code::Network);
        assert_eq!(code(Error::NotThisKey), Code::AlreadyRegistered);
    }

    #[test]
    fn an_error_for_programs_names_what_it_brings_along() {
        let error = Error::WrongPassword {
            attempts_remaining: 4,
            retry_at: None,
            state: Some(AccountState::Active),
        };
        let json = CliError::from(error).json();
        assert_eq!(json["error"], "wrong-password");
        assert_eq!(json["exit_code"], 3);
        assert_eq!(json["attempts_remaining"], 4);
        assert_eq!(json["state"], "active");
    }
}
