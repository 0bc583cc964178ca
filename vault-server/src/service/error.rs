//! The errors of use cases, and the problem that each becomes (PROTOCOL.md section 8). Nothing else
//! maps errors to problems.

use vault_ledger::CommitError;
use vault_protocol::problem::Problem;
use vault_protocol::suite::Malformed;
use vault_rules::Refusal;

use super::opaque::Unusable;

/// A use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// The rules refused; the refusal has been committed.
    #[error("refused")]
    Refused(Refusal),
    /// A field of the request is malformed; nothing was charged.
    #[error("the field {0} is not valid")]
    InvalidField(&'static str),
    /// The tenant was removed while the request was under way.
    #[error("the tenant does not exist")]
    UnknownTenant,
    /// The commit did not happen, or nothing is known of it.
    #[error("the ledger did not commit")]
    Commit(#[from] CommitError),
    /// A stored record cannot be evaluated.
    #[error(transparent)]
    Damaged(#[from] Unusable),
}

impl ServiceError {
    /// An OPAQUE message in this field did not decode.
    pub(crate) fn malformed(field: &'static str) -> impl FnOnce(Malformed) -> Self {
        move |Malformed| Self::InvalidField(field)
    }
}

/// Nothing from inside leaves: a problem has a fixed title, and the cause is logged here, once.
impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusal) => refused(refusal),
            ServiceError::InvalidField(field) => Self::invalid_field(field),
            ServiceError::UnknownTenant => Self::Unauthenticated,
            ServiceError::Commit(CommitError::Overloaded) => Self::Overloaded,
            ServiceError::Commit(CommitError::Unavailable) => {
                tracing::error!("an account's state cannot be read");
                Self::Unavailable
            }
            ServiceError::Commit(CommitError::Stopped) => {
                tracing::error!("the ledger has stopped");
                Self::Unavailable
            }
            ServiceError::Damaged(unusable) => {
                tracing::error!(error = %unusable, "an attempt could not be evaluated");
                Self::Unavailable
            }
        }
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NotRegistered => Problem::NotRegistered,
        Refusal::Destroyed(tombstone) => Problem::Destroyed {
            destroyed_at: tombstone.at,
            reason: tombstone.reason,
            generation: tombstone.generation,
        },
        Refusal::Waiting { retry_at } => Problem::Waiting { retry_at },
        Refusal::TicketExpired => Problem::TicketExpired,
        Refusal::AlreadyRegistered { generation } => Problem::AlreadyRegistered { generation },
        Refusal::Forbidden => Problem::Forbidden,
        Refusal::WrongPassword {
            attempts_remaining,
            retry_at,
        } => Problem::WrongPassword {
            attempts_remaining,
            retry_at,
        },
    }
}
