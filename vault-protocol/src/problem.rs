//! The closed list of problems (PROTOCOL.md section 8), as `application/problem+json` (RFC 9457):
//! fixed titles, never text from inside.

use serde::{Deserialize, Serialize};

use crate::messages::DestructionReason;
use crate::time::Timestamp;

/// Media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// The URIs of our own types begin with it.
const PREFIX: &str = "urn:backup-key-vault:problem:";
/// RFC 9458, section 5.3.
const OHTTP_KEY: &str = "https://iana.org/assignments/http-problem-types#ohttp-key";

/// Why the request itself is refused, each with a status of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// A field or the JSON is wrong.
    Malformed = 400,
    /// No such route.
    Route = 404,
    /// The route has another method.
    Method = 405,
    /// The request did not arrive in time.
    Timeout = 408,
    /// Another media type is expected.
    MediaType = 415,
}

/// A problem. None of them carries text from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// 400 (404, 405, 408, 415): the request is wrong.
    InvalidRequest {
        /// The status tells which.
        kind: InvalidRequest,
        /// The field of the body or the header that is wrong.
        field: Option<String>,
    },
    /// 400: the message is for another account than the one that the relay vouches for.
    AccountMismatch,
    /// 400: the sealed message is for a key that the vault does not have: fetch the statement
    /// again.
    OhttpKey,
    /// 401: no valid tenant token.
    Unauthenticated,
    /// 403: the token lacks the scope, or a proof does not verify.
    Forbidden,
    /// 403: the password was wrong.
    WrongPassword {
        /// The smaller of both budgets.
        attempts_remaining: u64,
        /// When the next attempt may start; `None` is at once.
        retry_at: Option<Timestamp>,
    },
    /// 404: no registration was ever completed.
    NotRegistered,
    /// 409: a record is live.
    AlreadyRegistered {
        /// The live record's.
        generation: u64,
    },
    /// 409: the ticket is expired, used up, replaced, foreign or of another generation.
    TicketExpired,
    /// 410: the record is gone for good.
    Destroyed {
        /// The tombstone's time.
        destroyed_at: Timestamp,
        /// The rule that destroyed it.
        reason: DestructionReason,
        /// The one that was destroyed.
        generation: u64,
    },
    /// 413: the body is too large.
    TooLarge,
    /// 429: no attempt can be started yet; nothing was charged.
    Waiting {
        /// The end of the wait.
        retry_at: Timestamp,
    },
    /// 503: too many requests at once; this one was not carried out.
    Overloaded,
    /// 503: this account's state cannot be read, or the vault is stopping.
    Unavailable,
}

/// A problem as JSON (RFC 9457, section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// A URN of ours, or the URI of RFC 9458.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A fixed text for each type.
    pub title: String,
    /// The same as the answer's.
    pub status: u16,
    /// See [`Problem::InvalidRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// See [`Problem::WrongPassword`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_remaining: Option<u64>,
    /// See [`Problem::WrongPassword`], [`Problem::Waiting`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// See [`Problem::Destroyed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<Timestamp>,
    /// See [`Problem::Destroyed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DestructionReason>,
    /// See [`Problem::Destroyed`], [`Problem::AlreadyRegistered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl Problem {
    /// 400, with the name of the field at fault.
    pub fn invalid_field(field: impl Into<String>) -> Self {
        Self::InvalidRequest {
            kind: InvalidRequest::Malformed,
            field: Some(field.into()),
        }
    }

    /// 400, where no field can be named.
    pub fn malformed() -> Self {
        Self::InvalidRequest {
            kind: InvalidRequest::Malformed,
            field: None,
        }
    }

    /// Of HTTP.
    pub fn status(&self) -> u16 {
        self.describe().1
    }

    /// With the fields that this problem carries, and no others.
    pub fn details(&self) -> ProblemDetails {
        let (name, status, title) = self.describe();
        let type_uri = match self {
            Self::OhttpKey => OHTTP_KEY.to_owned(),
            _ => format!("{PREFIX}{name}"),
        };
        let mut details = ProblemDetails {
            type_uri,
            title: title.to_owned(),
            status,
            ..ProblemDetails::default()
        };
        match self {
            Self::InvalidRequest { field, .. } => details.field.clone_from(field),
            Self::WrongPassword {
                attempts_remaining,
                retry_at,
            } => {
                details.attempts_remaining = Some(*attempts_remaining);
                details.retry_at = *retry_at;
            }
            Self::AlreadyRegistered { generation } => details.generation = Some(*generation),
            Self::Destroyed {
                destroyed_at,
                reason,
                generation,
            } => {
                details.destroyed_at = Some(*destroyed_at);
                details.reason = Some(*reason);
                details.generation = Some(*generation);
            }
            Self::Waiting { retry_at } => details.retry_at = Some(*retry_at),
            _ => {}
        }
        details
    }

    /// `None` if the type is not in this list, or a field is missing that it must carry.
    pub fn from_details(details: &ProblemDetails) -> Option<Self> {
        if details.type_uri == OHTTP_KEY {
            return Some(Self::OhttpKey);
        }
        Some(match details.type_uri.strip_prefix(PREFIX)? {
            "invalid-request" => Self::InvalidRequest {
                kind: InvalidRequest::from_status(details.status)?,
                field: details.field.clone(),
            },
            "account-mismatch" => Self::AccountMismatch,
            "unauthenticated" => Self::Unauthenticated,
            "forbidden" => Self::Forbidden,
            "wrong-password" => Self::WrongPassword {
                attempts_remaining: details.attempts_remaining?,
                retry_at: details.retry_at,
            },
            "not-registered" => Self::NotRegistered,
            "already-registered" => Self::AlreadyRegistered {
                generation: details.generation?,
            },
            "ticket-expired" => Self::TicketExpired,
            "destroyed" => Self::Destroyed {
                destroyed_at: details.destroyed_at?,
                reason: details.reason?,
                generation: details.generation?,
            },
            "too-large" => Self::TooLarge,
            "waiting" => Self::Waiting {
                retry_at: details.retry_at?,
            },
            "overloaded" => Self::Overloaded,
            "unavailable" => Self::Unavailable,
            _ => return None,
        })
    }

    /// The name at the end of the URN, the status and the title.
    fn describe(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidRequest { kind, .. } => {
                ("invalid-request", kind.status(), "The request is not valid")
            }
            Self::AccountMismatch => (
                "account-mismatch",
                400,
                "The message is for another account",
            ),
            Self::OhttpKey => ("ohttp-key", 400, "The key identifier is unknown"),
            Self::Unauthenticated => ("unauthenticated", 401, "The token is not valid"),
            Self::Forbidden => ("forbidden", 403, "This is not allowed"),
            Self::WrongPassword { .. } => ("wrong-password", 403, "The password is wrong"),
            Self::NotRegistered => ("not-registered", 404, "There is no record"),
            Self::AlreadyRegistered { .. } => {
                ("already-registered", 409, "There is a record already")
            }
            Self::TicketExpired => ("ticket-expired", 409, "The ticket is no longer valid"),
            Self::Destroyed { .. } => ("destroyed", 410, "The record was destroyed"),
            Self::TooLarge => ("too-large", 413, "The request is too large"),
            Self::Waiting { .. } => ("waiting", 429, "The next attempt must wait"),
            Self::Overloaded => ("overloaded", 503, "The vault is overloaded"),
            Self::Unavailable => ("unavailable", 503, "The vault cannot answer this now"),
        }
    }
}

impl InvalidRequest {
    fn status(self) -> u16 {
        self as u16
    }

    fn from_status(status: u16) -> Option<Self> {
        [
            Self::Malformed,
            Self::Route,
            Self::Method,
            Self::Timeout,
            Self::MediaType,
        ]
        .into_iter()
        .find(|kind| kind.status() == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Problem> {
        let time = Timestamp::from_millis(1_800_000_000_000);
        vec![
            Problem::malformed(),
            Problem::invalid_field("proof"),
            Problem::InvalidRequest {
                kind: InvalidRequest::Route,
                field: None,
            },
            Problem::InvalidRequest {
                kind: InvalidRequest::Method,
                field: None,
            },
            Problem::InvalidRequest {
                kind: InvalidRequest::Timeout,
                field: None,
            },
            Problem::InvalidRequest {
                kind: InvalidRequest::MediaType,
                field: None,
            },
            Problem::AccountMismatch,
            Problem::OhttpKey,
            Problem::Unauthenticated,
            Problem::Forbidden,
            Problem::WrongPassword {
                attempts_remaining: 3,
                retry_at: None,
            },
            Problem::WrongPassword {
                attempts_remaining: 3,
                retry_at: Some(time),
            },
            Problem::NotRegistered,
            Problem::AlreadyRegistered { generation: 2 },
            Problem::TicketExpired,
            Problem::Destroyed {
                destroyed_at: time,
                reason: DestructionReason::Exhausted,
                generation: 2,
            },
            Problem::TooLarge,
            Problem::Waiting { retry_at: time },
            Problem::Overloaded,
            Problem::Unavailable,
        ]
    }

    #[test]
    fn a_problem_without_what_it_must_carry_is_none() {
        let mut details = Problem::Waiting {
            retry_at: Timestamp::from_millis(0),
        }
        .details();
        details.retry_at = None;
        assert_eq!(Problem::from_details(&details), None);
        details.type_uri = "about:blank".to_owned();
        assert_eq!(Problem::from_details(&details), None);
    }

    #[test]
    fn every_problem_is_read_as_it_was_written() {
        for problem in all() {
            let text = serde_json::to_string(&problem.details()).unwrap();
            let details: ProblemDetails = serde_json::from_str(&text).unwrap();
            assert_eq!(Problem::from_details(&details), Some(problem));
        }
    }
}
