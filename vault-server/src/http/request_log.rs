//! One log line for each request. It names the route's pattern, never the path: a path names a
//! person.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method};
use rand::RngCore;
use rand::rngs::OsRng;
use tracing::Instrument;

use super::App;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every request an id of its own, for the log and for the answer's `X-Request-Id`.
pub(crate) async fn log_request(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = format!("{:016x}", OsRng.next_u64());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id, method = known(request.method()), route);
    let started = app.service.now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let millis = app.service.now().millis().saturating_sub(started.millis());
    span.in_scope(|| tracing::info!(status = response.status().as_u16(), millis, "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    response
}

/// A method's name is anything that the other side likes to write.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}
