//! Problems as responses (RFC 9457). `service::error` says which error is which problem.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use vault_protocol::problem::{InvalidRequest, PROBLEM_MEDIA_TYPE, Problem};
use vault_protocol::time::Timestamp;

use crate::service::error::ServiceError;

/// Seconds after which to come back when the vault is overloaded or cannot answer.
const RETRY_SECONDS: u64 = 1;

/// A problem as the response to a request.
#[derive(Debug)]
pub(crate) struct ProblemResponse(pub(crate) Problem);

impl From<Problem> for ProblemResponse {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Of no field in particular.
impl From<InvalidRequest> for ProblemResponse {
    fn from(kind: InvalidRequest) -> Self {
        Self(Problem::InvalidRequest { kind, field: None })
    }
}

impl From<ServiceError> for ProblemResponse {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ProblemResponse {
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
        // For `add_retry_after`.
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Adds `Retry-After`, in seconds (RFC 9110, section 10.2.3), where the problem says when.
pub(crate) fn add_retry_after(mut response: Response, now: Timestamp) -> Response {
    let seconds = match response.extensions().get() {
        Some(Problem::Waiting { retry_at }) => retry_at.seconds_since(now).max(1),
        Some(Problem::Overloaded | Problem::Unavailable) => RETRY_SECONDS,
        _ => return response,
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
