//! Why a use case was not carried out. `http::problem` maps each to one problem of PROTOCOL.md
//! section 8; nothing else does.

use vault_ledger::CommitError;
use vault_protocol::suite::Malformed;
use vault_rules::Refusal;

use crate::service::opaque::Unusable;

/// The service's errors.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The rules refused; the refusal has been committed.
    #[error("refused")]
    Refused(Refusal),
    /// A field of the request is not what it must be; nothing was charged.
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
    pub fn malformed(field: &'static str) -> impl FnOnce(Malformed) -> Self {
        move |Malformed| Self::InvalidField(field)
    }
}
