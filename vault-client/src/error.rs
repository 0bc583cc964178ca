//! Errors, one variant for each remedy. The message of each names the remedy. None repeats anything
//! secret, or anything that the other side wrote.

use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::ohttp_keys::NoUsableKey;
use vault_protocol::statement::StatementRefused;
use vault_protocol::{Problem, StretchingProfile, Timestamp};

/// Why a flow or a call of the client ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The attempt is used up. Let the user type it again; an app never tries by itself.
    #[error("{}", describe_wrong_password(*attempts_remaining, *retry_at, *state))]
    WrongPassword {
        /// The attempts that are left.
        attempts_remaining: u64,
        /// When the next attempt may start, if not at once.
        retry_at: Option<Timestamp>,
        /// The record's state after the failure: `Destroyed` if it was the last attempt. `None` if
        /// the vault's answer did not arrive; ask for the status.
        state: Option<AccountState>,
    },
    /// Nothing was charged.
    #[error("no attempt can be started before {}: wait, then try again", retry_at.to_rfc3339())]
    Waiting {
        /// Until when.
        retry_at: Timestamp,
    },
    /// The record is gone for good; no password brings it back.
    #[error(
        "the record was destroyed on {} ({}): use the 64 digits, or register the key again from a device that still holds it, with another password",
        destroyed_at.to_rfc3339(), describe_reason(*reason)
    )]
    Destroyed {
        /// Since when.
        destroyed_at: Timestamp,
        /// Why.
        reason: DestructionReason,
        /// Which generation it was.
        generation: u64,
    },
    /// The vault keeps nothing for this account.
    #[error(
        "no key is registered for this account: enable the protection first, or check the account"
    )]
    NotRegistered,
    /// Only a device that holds the key of a live record can replace it.
    #[error(
        "a key is already registered for this account: retrieve it with its password, or change the password on a device that holds the key"
    )]
    AlreadyRegistered {
        /// The live record's generation.
        generation: u64,
    },
    /// The vault's statement was refused: nothing was sent to it, nothing charged. The source names
    /// the remedy.
    #[error(transparent)]
    StatementRefused(#[from] StatementRefused),
    /// The answer was made with another OPAQUE key than the vault's signed statement names. Nothing
    /// more was sent.
    #[error(
        "another vault answered than the one that was pinned: do not go on, and tell the app's operator"
    )]
    ForeignVault,
    /// Nothing was charged and nothing registered. The operator lowers the tenant's limits, or the app
    /// raises its maximum.
    #[error(
        "the vault allows {limit} wrong passwords in a row and {total_limit} in all, more than this app accepts: tell the app's operator"
    )]
    PolicyTooLoose {
        /// Failures in a row that destroy the record.
        limit: u64,
        /// Failures of one generation that destroy it.
        total_limit: u64,
    },
    /// Nothing was charged.
    #[error("the record uses stretching profile {}, which this version does not accept: update the app", .0.0)]
    UnsupportedStretching(StretchingProfile),
    /// The released key does not open.
    #[error(
        "the password is right but the stored key is damaged: use the 64 digits, or register the key again from a device that holds it"
    )]
    DamagedRecord,
    /// The proof does not verify under the record's management key.
    #[error("another backup key is registered than the one given: retrieve that one first")]
    NotThisKey,
    /// An attempt that was charged stays charged.
    #[error("this took too long, or another device changed the record meanwhile: start again")]
    TicketExpired,
    /// The app's backend or the vault's front door refused a call on which nothing depends. The
    /// refusal says whether the user or the operator has to act. A relay's refusal of a guess or a
    /// change is [`Self::UnknownOutcome`] with [`NoAnswer::Refused`]. So is
    /// [`Refusal::AccountMismatch`], which the vault seals whenever the relay names another account.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The vault or the relay sheds load.
    #[error("the vault or the app's backend has too much to do: try again in a minute")]
    Overloaded,
    /// A guess or a change may have had its effect (the vault's storage can fail while it is stored):
    /// send the identical one again, as after [`Self::UnknownOutcome`].
    #[error(
        "the vault cannot answer for this account now: try again later, or tell the app's operator"
    )]
    Unavailable,
    /// No answer came, and nothing depends on it.
    #[error("no answer from the vault: check the network and try again")]
    Network(#[source] NoAnswer),
    /// A guess or a change was sent, and no sealed answer came: it may or may not have had its effect,
    /// whatever was said outside the seal. Send the identical one again, and nothing else; the object
    /// that made it gives the same bytes each time. A guess without that object may have cost an
    /// attempt, and another one costs another.
    #[error(
        "the vault's own answer did not come, the request may have had its effect: try the same again"
    )]
    UnknownOutcome(#[source] NoAnswer),
    /// Nothing was sent. Update the app.
    #[error(transparent)]
    NoUsableKey(#[from] NoUsableKey),
    /// An answer does not have the form of PROTOCOL.md.
    #[error("the vault and this version do not understand each other: update the app")]
    NotUnderstood,
}

/// Whether a registration or a deletion that ended with an error changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not sent, or the vault said that it did not make the change.
    Unchanged,
    /// It may have been made: it stays pending until the vault says more.
    Unknown,
}

impl Error {
    /// Whether the identical call may be answered in a few seconds. A refusal stays, also a relay's. A
    /// new guess is never the identical call.
    pub fn retry(&self) -> bool {
        match self {
            Self::UnknownOutcome(reason) => {
                !matches!(reason, NoAnswer::Refused(_) | NoAnswer::StatementRefused(_))
            }
            Self::Network(_) | Self::Overloaded | Self::Unavailable => true,
            _ => false,
        }
    }

    /// Of a registration or a deletion. (For a guess ask `AttemptFailed::may_be_charged`.)
    pub fn outcome(&self) -> Outcome {
        match self {
            // The vault may have been too busy for one copy of a change, and not for another. An
            // answer that was not understood may belong to a change that was made.
            Self::UnknownOutcome(_)
            | Self::Unavailable
            | Self::Overloaded
            | Self::NotUnderstood
            | Self::WrongPassword { .. }
            | Self::DamagedRecord => Outcome::Unknown,
            Self::Waiting { .. }
            | Self::Destroyed { .. }
            | Self::NotRegistered
            | Self::AlreadyRegistered { .. }
            | Self::StatementRefused(_)
            | Self::ForeignVault
            | Self::PolicyTooLoose { .. }
            | Self::UnsupportedStretching(_)
            | Self::NotThisKey
            | Self::TicketExpired
            | Self::Refused(_)
            | Self::Network(_)
            | Self::NoUsableKey(_) => Outcome::Unchanged,
        }
    }
}

/// A refusal, by the side that has to act. An outer answer is not authenticated: such a refusal is
/// the relay's claim. It says nothing about the account, and the vault may have got the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// HTTP status 401.
    #[error(
        "the app's backend does not accept this session (or the vault its token): sign in again"
    )]
    Unauthenticated,
    /// HTTP status 403: the token lacks the scope.
    #[error("the app's backend may not do this: tell the app's operator")]
    Forbidden,
    /// The vault says it, inside the seal.
    #[error("the app's backend vouches for another account: check which user is signed in")]
    AccountMismatch,
    /// Another status.
    #[error("the app's backend answered with HTTP status {0}: check the address")]
    Status(u16),
}

/// Why no answer of the vault arrived.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// No connection could be made; nothing was sent.
    #[error("the connection could not be made")]
    Unreachable(#[source] Source),
    /// The connection ended, or timed out, before the answer was complete.
    #[error("the connection was lost")]
    Lost(#[source] Source),
    /// The answer was longer than any the vault gives.
    #[error("the answer was too large")]
    TooLarge,
    /// The relay failed with this HTTP status.
    #[error("the app's backend failed with HTTP status {0}")]
    Status(u16),
    /// The answer was not sealed by the vault for this very request.
    #[error("the answer was not sealed by the vault for this request")]
    NotSealed,
    /// The relay refused, by its own account.
    #[error(transparent)]
    Refused(Refusal),
    /// The relay has too much to do, by its own account.
    #[error("the app's backend has too much to do")]
    Overloaded,
    /// The vault does not know the encryption key of its newest statement.
    #[error("the vault does not know the key of its own statement")]
    UnknownKey,
    /// A statement was fetched for the repetition, and refused: see [`Error::StatementRefused`].
    #[error(transparent)]
    StatementRefused(StatementRefused),
}

/// The cause, as a transport or a storage reports it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// An *inner* problem: it came through the sealed channel, so the vault said it.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::AccountMismatch => Self::Refused(Refusal::AccountMismatch),
            Problem::Unauthenticated => Self::Refused(Refusal::Unauthenticated),
            // Inside, it is a proof that did not verify.
            Problem::Forbidden => Self::NotThisKey,
            Problem::WrongPassword {
                attempts_remaining,
                retry_at,
            } => Self::WrongPassword {
                attempts_remaining,
                retry_at,
                state: None,
            },
            Problem::NotRegistered => Self::NotRegistered,
            Problem::AlreadyRegistered { generation } => Self::AlreadyRegistered { generation },
            Problem::TicketExpired => Self::TicketExpired,
            Problem::Destroyed {
                destroyed_at,
                reason,
                generation,
            } => Self::Destroyed {
                destroyed_at,
                reason,
                generation,
            },
            Problem::Waiting { retry_at } => Self::Waiting { retry_at },
            Problem::Overloaded => Self::Overloaded,
            Problem::Unavailable => Self::Unavailable,
            Problem::InvalidRequest { .. } | Problem::OhttpKey | Problem::TooLarge => {
                Self::NotUnderstood
            }
        }
    }
}

fn describe_wrong_password(
    attempts_remaining: u64,
    retry_at: Option<Timestamp>,
    state: Option<AccountState>,
) -> String {
    if state == Some(AccountState::Destroyed) {
        return "the password is wrong, and it was the last attempt: the record is destroyed; use the 64 digits, or a device that still holds the key".to_owned();
    }
    let left = match attempts_remaining {
        1 => "1 attempt is left".to_owned(),
        n => format!("{n} attempts are left"),
    };
    match retry_at {
        Some(time) => format!(
            "the password is wrong; {left}, the next at {}",
            time.to_rfc3339()
        ),
        None => format!("the password is wrong; {left}"),
    }
}

/// Of a destruction, in words.
pub fn describe_reason(reason: DestructionReason) -> &'static str {
    match reason {
        DestructionReason::Exhausted => "too many wrong passwords",
        DestructionReason::Deleted => "by a device that held the key",
        DestructionReason::Reset => "by the app's operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fails if `retry` gives up a vault that is busy: a right password is lost then.
    #[test]
    fn what_passes_is_waited_for_and_what_is_refused_is_not() {
        for error in [
            Error::UnknownOutcome(NoAnswer::Status(502)),
            Error::UnknownOutcome(NoAnswer::Overloaded),
            Error::Network(NoAnswer::NotSealed),
            Error::Overloaded,
            Error::Unavailable,
        ] {
            assert!(error.retry(), "{error:?}");
        }
        for error in [
            Error::UnknownOutcome(NoAnswer::Refused(Refusal::Unauthenticated)),
            Error::UnknownOutcome(NoAnswer::StatementRefused(StatementRefused::Replayed)),
            Error::Refused(Refusal::Forbidden),
            Error::NotThisKey,
        ] {
            assert!(!error.retry(), "{error:?}");
        }
    }

    // Fails if `outcome` counts a relay's refusal as unchanged: a key would be forgotten while it is
    // registered.
    #[test]
    fn a_change_that_may_have_been_made_is_not_called_unchanged() {
        for error in [
            Error::UnknownOutcome(NoAnswer::Refused(Refusal::AccountMismatch)),
            Error::Unavailable,
            Error::Overloaded,
            Error::NotUnderstood,
        ] {
            assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
        }
        for error in [
            Error::TicketExpired,
            Error::AlreadyRegistered { generation: 1 },
            Error::NotThisKey,
            Error::Network(NoAnswer::NotSealed),
        ] {
            assert_eq!(error.outcome(), Outcome::Unchanged, "{error:?}");
        }
    }
}
