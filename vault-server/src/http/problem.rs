//! The one place that maps errors to answers. Nothing from inside leaves: a problem has a fixed
//! title, and what went wrong inside is logged here, once.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use vault_ledger::CommitError;
use vault_protocol::problem::{PROBLEM_MEDIA_TYPE, Problem};
use vault_protocol::time::Timestamp;
use vault_rules::Refusal;

use crate::service::error::ServiceError;

/// Seconds after which to come back when the vault is overloaded or cannot answer.
const RETRY_SECONDS: u64 = 1;

/// A problem on its way out.
#[derive(Debug)]
pub struct Failure(pub Problem);

/// When to come back; [`add_retry_after`] turns it into a header.
#[derive(Clone, Copy)]
enum Retry {
    At(Timestamp),
    Soon,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self(match error {
            ServiceError::Refused(refusal) => refused(refusal),
            ServiceError::InvalidField(field) => Problem::invalid_field(field),
            ServiceError::UnknownTenant => Problem::Unauthenticated,
            ServiceError::Commit(CommitError::Overloaded) => Problem::Overloaded,
            ServiceError::Commit(CommitError::Unavailable) => {
                tracing::error!("an account's state cannot be read");
                Problem::Unavailable
            }
            ServiceError::Commit(CommitError::Stopped) => {
                tracing::error!("the ledger has stopped");
                Problem::Unavailable
            }
            ServiceError::Damaged(unusable) => {
                tracing::error!(error = %unusable, "an attempt could not be evaluated");
                Problem::Unavailable
            }
        })
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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let details = self.0.details();
        let body = serde_json::to_vec(&details).expect("a problem has only string keys");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(details.status).expect("problems have valid statuses");
        let media_type = HeaderValue::from_static(PROBLEM_MEDIA_TYPE);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        match self.0 {
            Problem::Waiting { retry_at } => {
                response.extensions_mut().insert(Retry::At(retry_at));
            }
            Problem::Overloaded | Problem::Unavailable => {
                response.extensions_mut().insert(Retry::Soon);
            }
            _ => {}
        }
        response
    }
}

/// Adds `Retry-After`, in seconds (RFC 9110, section 10.2.3), where the problem says when.
pub fn add_retry_after(mut response: Response, now: Timestamp) -> Response {
    let seconds = match response.extensions().get::<Retry>() {
        Some(Retry::At(time)) => time.seconds_since(now).max(1),
        Some(Retry::Soon) => RETRY_SECONDS,
        None => return response,
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
