//! What can go wrong: which exit code it has, and what is said about it to people and programs.

use std::error::Error as StdError;

use serde_json::{Map, Value, json};
use vault_backup::BackupError;
use vault_client::error::Error;
use vault_protocol::backup_key::InvalidDigits;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::password::InvalidPassword;
use vault_protocol::statement::StatementRefused;

use super::code::Code;
use super::commands::describe_reason;
use super::device::StateError;
use super::output::until;

/// What was sent to the vault when no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A password to try.
    Guess,
    /// A registration that the same command makes again.
    Registration,
    /// A registration over one that this device still believes in: the same command would find
    /// another generation than that one.
    Renewal,
    /// A deletion.
    Deletion,
}

/// Why a command did not do what it was asked to. Nothing secret is in any of them.
#[derive(Debug)]
pub enum Failure {
    /// The vault, or the way to it.
    Vault(Error),
    /// A guess or a change may have had its effect, and the vault did not say so. `None`: Ctrl-C.
    Unknown(Sent, Option<Error>),
    /// The vault destroyed the record, and nobody said that it may be registered again.
    AfterDestroyed(Error),
    /// A backup file, or a folder.
    Backup(BackupError),
    /// The device's state file.
    State(StateError),
    /// What was given as the key is not 64 digits.
    Digits(InvalidDigits),
    /// The password cannot be used by anybody.
    Password(InvalidPassword),
    /// The password is too easy to guess.
    Weak {
        /// Its score.
        score: u8,
        /// The least that is accepted.
        minimum: u8,
        /// Whole sentences.
        advice: Vec<&'static str>,
    },
    /// The options are not enough, or contradict one another.
    Usage(String),
    /// The device holds no key that the command could use.
    NoKey(&'static str),
    /// The device holds another key than the one given.
    AnotherKey(String),
    /// The vault shows none of the pinned fingerprints.
    OtherFingerprint(String),
    /// The user said no.
    Declined,
    /// Ctrl-C.
    Interrupted,
    /// A file that cannot be read, a terminal that is missing, and the like.
    Other(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> Code {
        match self {
            Self::Vault(error) => code_of(error),
            Self::Unknown(..) => Code::UnknownOutcome,
            Self::AfterDestroyed(_) => Code::Destroyed,
            Self::Backup(error) => code_of_backup(error),
            Self::State(_) => Code::DeviceState,
            Self::Digits(_) => Code::MalformedKey,
            Self::Password(_) | Self::Weak { .. } => Code::WeakPassword,
            Self::Usage(_) => Code::Usage,
            Self::NoKey(_) => Code::NoKey,
            Self::AnotherKey(_) => Code::AlreadyRegistered,
            Self::OtherFingerprint(_) => Code::WrongVault,
            Self::Interrupted => Code::Interrupted,
            Self::Declined | Self::Other(_) => Code::Failure,
        }
    }

    /// One sentence: what is wrong, and what to do.
    pub fn message(&self) -> String {
        match self {
            Self::Vault(error) => error.to_string(),
            Self::Unknown(sent, _) => describe_unknown(*sent).to_owned(),
            Self::AfterDestroyed(error) => describe_destroyed(error),
            Self::Backup(error) => error.to_string(),
            Self::State(error) => error.to_string(),
            Self::Digits(error) => error.to_string(),
            Self::Password(error) => format!("{error}: choose another one"),
            Self::Weak { score, minimum, .. } => format!(
                "the password is too easy to guess (strength {score} of 4, at least {minimum} is needed): choose another one"
            ),
            Self::Usage(text) | Self::AnotherKey(text) | Self::OtherFingerprint(text) => {
                text.clone()
            }
            Self::NoKey(text) => (*text).to_owned(),
            Self::Declined => "nothing was changed".to_owned(),
            Self::Interrupted => "stopped: nothing half-written is left on this device".to_owned(),
            Self::Other(error) => error.to_string(),
        }
    }

    /// What lies behind it, if the message does not say so.
    pub fn cause(&self) -> Option<String> {
        let source = match self {
            Self::Vault(error) | Self::AfterDestroyed(error) => error.source(),
            Self::Unknown(_, error) => {
                let error = error.as_ref()?;
                error.source().or(Some(error as &dyn StdError))
            }
            Self::Backup(error) => error.source(),
            Self::State(error) => error.source(),
            Self::Other(error) => error.source(),
            Self::Digits(_)
            | Self::Password(_)
            | Self::Weak { .. }
            | Self::Usage(_)
            | Self::NoKey(_)
            | Self::AnotherKey(_)
            | Self::OtherFingerprint(_)
            | Self::Declined
            | Self::Interrupted => None,
        };
        let chain = std::iter::successors(source, |&error| error.source());
        let texts: Vec<String> = chain.map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| texts.join(": "))
    }

    /// What to do on this command line.
    pub fn hints(&self) -> Vec<String> {
        let text: &str = match self {
            Self::Weak { advice, .. } => {
                return advice.iter().map(|&line| line.to_owned()).collect();
            }
            Self::Vault(Error::WrongPassword {
                retry_at: Some(time),
                ..
            })
            | Self::Vault(Error::Waiting { retry_at: time }) => {
                return vec![format!("The next attempt: {}.", until(*time))];
            }
            Self::Vault(Error::NotRegistered) => "Protect a key with: vault-client enable",
            Self::Vault(Error::Destroyed { .. }) => {
                "With the 64 digits: vault-client restore --by-key. From a device that holds the key: vault-client enable --after-destroyed."
            }
            Self::Vault(Error::AlreadyRegistered { .. } | Error::NotThisKey) => {
                "With its password: vault-client restore. On a device that holds it: vault-client change-password."
            }
            Self::Unknown(..) | Self::Vault(Error::TicketExpired) => {
                "What the vault has now: vault-client status (costs nothing)."
            }
            Self::Digits(_) => "Compare the digits with the ones written down; nothing was tried.",
            _ => return Vec::new(),
        };
        vec![text.to_owned()]
    }

    /// For programs: `error`, `message`, and what the kind of error brings along.
    pub fn json(&self) -> Value {
        let mut object = match self {
            Self::Vault(error) | Self::AfterDestroyed(error) => details(error),
            Self::Unknown(sent, _) => object(json!({ "sent": sent.name() })),
            Self::Weak {
                score,
                minimum,
                advice,
            } => object(json!({"score": score, "minimum": minimum, "advice": advice})),
            Self::Backup(BackupError::WrongKey { key, file }) => object(json!({
                "key_id": key.to_string(),
                "backup_key_id": file.map(|id| id.to_string()),
            })),
            _ => Map::new(),
        };
        object.insert("error".to_owned(), json!(self.code().name()));
        object.insert("exit_code".to_owned(), json!(self.code().number()));
        object.insert("message".to_owned(), json!(self.message()));
        if let Some(cause) = self.cause() {
            object.insert("cause".to_owned(), json!(cause));
        }
        Value::Object(object)
    }
}

fn code_of(error: &Error) -> Code {
    match error {
        // It was the last attempt: there is nothing to try again.
        Error::WrongPassword {
            state: Some(AccountState::Destroyed),
            ..
        }
        | Error::Destroyed { .. } => Code::Destroyed,
        Error::WrongPassword { .. } => Code::WrongPassword,
        Error::Waiting { .. } => Code::Waiting,
        Error::NotRegistered => Code::NotRegistered,
        Error::AlreadyRegistered { .. } | Error::NotThisKey => Code::AlreadyRegistered,
        Error::StatementRefused(StatementRefused::OtherProtocol) => Code::Incompatible,
        Error::StatementRefused(
            StatementRefused::Malformed
            | StatementRefused::NotPinned
            | StatementRefused::OtherVault
            | StatementRefused::Expired
            | StatementRefused::WrongClock
            | StatementRefused::Replayed,
        )
        | Error::ForeignVault => Code::WrongVault,
        Error::PolicyTooLoose { .. }
        | Error::UnsupportedStretching(_)
        | Error::NoUsableKey(_)
        | Error::NotUnderstood => Code::Incompatible,
        Error::DamagedRecord => Code::DamagedRecord,
        Error::Refused(_) => Code::Refused,
        Error::Overloaded | Error::Unavailable | Error::Network(_) => Code::Network,
        // Whatever took so long may have been another device's change.
        Error::TicketExpired | Error::UnknownOutcome(_) => Code::UnknownOutcome,
    }
}

fn code_of_backup(error: &BackupError) -> Code {
    match error {
        BackupError::Cancelled => Code::Interrupted,
        BackupError::WrongKey { .. } => Code::WrongKey,
        BackupError::Truncated
        | BackupError::Damaged
        | BackupError::NotABackup(_)
        | BackupError::Refused { .. } => Code::DamagedBackup,
        // Folders, files and the disk; and what a later version of the library adds.
        _ => Code::Failure,
    }
}

fn describe_unknown(sent: Sent) -> &'static str {
    match sent {
        Sent::Guess => {
            "the vault's answer did not come: an attempt may be used up; running this again uses another"
        }
        Sent::Registration => {
            "the vault's answer did not come: the key may be registered with this password or not; run the same command again with the same password: it repeats the same change"
        }
        Sent::Renewal => {
            "the vault's answer did not come: the key may be registered with this password or not; if vault-client status shows an active record, vault-client change-password sets the password, otherwise run the same command again"
        }
        Sent::Deletion => {
            "the vault's answer did not come: the record may be deleted or not; run the same command again: it repeats the same change"
        }
    }
}

fn describe_destroyed(error: &Error) -> String {
    let Error::Destroyed {
        destroyed_at,
        reason,
        ..
    } = error
    else {
        return error.to_string();
    };
    let password = match reason {
        DestructionReason::Exhausted => {
            ", and with another password than before: somebody was guessing"
        }
        DestructionReason::Deleted | DestructionReason::Reset => "",
    };
    format!(
        "the record was destroyed on {} ({}), and nothing was registered: if this device's key is to be protected by a password again, run the same command with --after-destroyed{password}",
        destroyed_at.to_rfc3339(),
        describe_reason(*reason),
    )
}

impl Sent {
    fn name(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Registration | Self::Renewal => "registration",
            Self::Deletion => "deletion",
        }
    }
}

fn details(error: &Error) -> Map<String, Value> {
    object(match error {
        Error::WrongPassword {
            attempts_remaining,
            retry_at,
            state,
        } => json!({
            "attempts_remaining": attempts_remaining,
            "retry_at": retry_at,
            "state": state,
        }),
        Error::Waiting { retry_at } => json!({ "retry_at": retry_at }),
        Error::Destroyed {
            destroyed_at,
            reason,
            generation,
        } => json!({
            "attempts_remaining": 0,
            "destroyed_at": destroyed_at,
            "reason": reason,
            "generation": generation,
        }),
        Error::AlreadyRegistered { generation } => json!({ "generation": generation }),
        _ => json!({}),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Vault(error)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Cancelled => Self::Interrupted,
            error => Self::Backup(error),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<InvalidDigits> for Failure {
    fn from(error: InvalidDigits) -> Self {
        Self::Digits(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_password_that_destroyed_the_record_counts_as_destroyed() {
        let wrong = |state| {
            Failure::Vault(Error::WrongPassword {
                attempts_remaining: 0,
                retry_at: None,
                state,
            })
        };
        assert_eq!(wrong(Some(AccountState::Destroyed)).code(), Code::Destroyed);
        assert_eq!(
            wrong(Some(AccountState::Active)).code(),
            Code::WrongPassword
        );
        assert_eq!(wrong(None).code(), Code::WrongPassword);
    }

    // Fails if the password is not mentioned after too many wrong ones.
    #[test]
    fn after_a_destruction_the_flag_is_named_and_another_password_where_it_matters() {
        let destroyed = |reason| {
            let error = Error::Destroyed {
                destroyed_at: vault_client::Timestamp::from_millis(0),
                reason,
                generation: 2,
            };
            Failure::AfterDestroyed(error)
        };
        for (reason, asks) in [
            (DestructionReason::Exhausted, true),
            (DestructionReason::Deleted, false),
            (DestructionReason::Reset, false),
        ] {
            let failure = destroyed(reason);
            assert_eq!(failure.code(), Code::Destroyed);
            let message = failure.message();
            assert!(message.contains("--after-destroyed"), "{message}");
            assert_eq!(message.contains("another password"), asks, "{message}");
        }
    }

    #[test]
    fn a_guess_without_an_answer_is_not_taken_for_one_that_did_not_happen() {
        let busy = Failure::Unknown(Sent::Guess, Some(Error::Overloaded));
        assert!(busy.cause().unwrap().contains("too much to do"));
        let unknown = Failure::Unknown(Sent::Guess, None);
        assert_eq!(unknown.code(), Code::UnknownOutcome);
        assert!(unknown.message().contains("may be used up"));
        assert_eq!(unknown.json()["sent"], "guess");
    }

    #[test]
    fn an_error_for_programs_names_what_it_brings_along() {
        let error = Error::WrongPassword {
            attempts_remaining: 4,
            retry_at: None,
            state: Some(AccountState::Active),
        };
        let json = Failure::Vault(error).json();
        assert_eq!(json["error"], "wrong-password");
        assert_eq!(json["exit_code"], 3);
        assert_eq!(json["attempts_remaining"], 4);
        assert_eq!(json["state"], "active");
    }
}
