//! The endpoints (PROTOCOL.md section 6): take typed input, call one use case, wrap the answer.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationStart, RegistrationStarted, Removed, Reset,
    RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished, RetrievalStart,
    RetrievalStarted, Status,
};
use vault_protocol::ohttp_keys::KEYS_MEDIA_TYPE;
use vault_protocol::problem::InvalidRequest;
use vault_protocol::statement::SignedStatement;

use super::App;
use super::extract::{Message, RelayedScope, ResetToken, StatusToken};
use super::problem::ProblemResponse;

type Answered<T> = Result<Json<T>, ProblemResponse>;

pub(crate) async fn start_registration(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RegistrationStart>,
) -> Answered<RegistrationStarted> {
    Ok(Json(app.service.start_registration(&scope, request).await?))
}

pub(crate) async fn finish_registration(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RegistrationFinish>,
) -> Result<Response, ProblemResponse> {
    let finished = app.service.finish_registration(&scope, request).await?;
    Ok((StatusCode::CREATED, Json(finished)).into_response())
}

pub(crate) async fn start_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalStart>,
) -> Answered<RetrievalStarted> {
    Ok(Json(app.service.start_retrieval(&scope, request).await?))
}

pub(crate) async fn finish_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalFinish>,
) -> Answered<RetrievalFinished> {
    Ok(Json(app.service.finish_retrieval(&scope, request).await?))
}

pub(crate) async fn abandon_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalAbandon>,
) -> Answered<RetrievalAbandoned> {
    Ok(Json(app.service.abandon_retrieval(&scope, request).await?))
}

pub(crate) async fn delete(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<Deletion>,
) -> Answered<Removed> {
    Ok(Json(app.service.delete(&scope, request).await?))
}

pub(crate) async fn status(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
) -> Answered<Status> {
    Ok(Json(app.service.status(&scope).await?))
}

/// Outside the sealed channel.
pub(crate) async fn backend_status(
    State(app): State<App>,
    StatusToken(scope): StatusToken,
) -> Answered<Status> {
    Ok(Json(app.service.status(&scope).await?))
}

pub(crate) async fn reset(
    State(app): State<App>,
    ResetToken(scope): ResetToken,
    Message(request): Message<Reset>,
) -> Answered<Removed> {
    Ok(Json(app.service.reset(&scope, request).await?))
}

pub(crate) async fn statement(State(app): State<App>) -> Json<SignedStatement> {
    Json(app.publication.load().statement.clone())
}

pub(crate) async fn key_list(State(app): State<App>) -> Response {
    let list = app.publication.load().key_list.clone();
    ([(header::CONTENT_TYPE, KEYS_MEDIA_TYPE)], list).into_response()
}

/// The process runs.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The vault can commit.
pub(crate) async fn readyz(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.service.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

pub(crate) async fn unknown_route() -> ProblemResponse {
    InvalidRequest::Route.into()
}

pub(crate) async fn other_method() -> ProblemResponse {
    InvalidRequest::Method.into()
}
