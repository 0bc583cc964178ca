//! Granted or refused. A refusal is a value like any other: the state that goes with it has to be
//! stored too, or a charge could be undone by the refusal that follows it.

use vault_protocol::Timestamp;

use crate::tombstone::Tombstone;

/// Granted, or refused for one of a closed list of reasons.
#[derive(Debug)]
pub enum Decision<T> {
    /// The command was carried out.
    Granted(T),
    /// Never an `Err`: that would roll back what the command has counted.
    Refused(Refusal),
}

/// Why a command was refused. One problem of PROTOCOL.md section 8 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No registration was ever completed.
    NotRegistered,
    /// The record was destroyed, and no registration was completed since.
    Destroyed(Tombstone),
    /// No attempt may start yet.
    Waiting {
        /// The first moment at which one may.
        retry_at: Timestamp,
    },
    /// The ticket is of no use: expired, ended, unknown, or of another generation.
    TicketExpired,
    /// A record is live, and the command brings nothing that allows to replace or destroy it.
    AlreadyRegistered {
        /// The live record's.
        generation: u64,
    },
    /// The proof does not verify.
    Forbidden,
    /// KE3 did not verify.
    WrongPassword {
        /// The smaller of both budgets.
        attempts_remaining: u64,
        /// When the next attempt may start; `None` is now.
        retry_at: Option<Timestamp>,
    },
}
