//! The endpoints (PROTOCOL.md section 6): take typed input, call one use case, wrap the answer.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationStart, RegistrationStarted, Removed, Reset,
    RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished, RetrievalStart,
    RetrievalStarted, Status,
};
use vault_protocol::ohttp_keys::KEYS_MEDIA_TYPE;
use vault_protocol::problem::{InvalidRequest, Problem};
use vault_protocol::statement::SignedStatement;

use super::App;
use super::extract::{Answer, Message, RelayedScope, ResetToken, StatusToken};
use super::problem::ProblemResponse;

type Answered<T> = Result<Answer<T>, ProblemResponse>;

pub(crate) async fn start_registration(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RegistrationStart>,
) -> Answered<RegistrationStarted> {
    Ok(Answer(
        app.service.start_registration(&scope, request).await?,
    ))
}

pub(crate) async fn finish_registration(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RegistrationFinish>,
) -> Result<Response, ProblemResponse> {
    let finished = app.service.finish_registration(&scope, request).await?;
    Ok((StatusCode::CREATED, Answer(finished)).into_response())
}

pub(crate) async fn start_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalStart>,
) -> Answered<RetrievalStarted> {
    Ok(Answer(app.service.start_retrieval(&scope, request).await?))
}

pub(crate) async fn finish_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalFinish>,
) -> Answered<RetrievalFinished> {
    Ok(Answer(app.service.finish_retrieval(&scope, request).await?))
}

pub(crate) async fn abandon_retrieval(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<RetrievalAbandon>,
) -> Answered<RetrievalAbandoned> {
    Ok(Answer(
        app.service.abandon_retrieval(&scope, request).await?,
    ))
}

pub(crate) async fn delete(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
    Message(request): Message<Deletion>,
) -> Answered<Removed> {
    Ok(Answer(app.service.delete(&scope, request).await?))
}

pub(crate) async fn status(
    State(app): State<App>,
    RelayedScope(scope): RelayedScope,
) -> Answered<Status> {
    Ok(Answer(app.service.status(&scope).await?))
}

/// The status for backends, outside the sealed channel.
pub(crate) async fn backend_status(
    State(app): State<App>,
    StatusToken(scope): StatusToken,
) -> Answered<Status> {
    Ok(Answer(app.service.status(&scope).await?))
}

/// The reset for backends.
pub(crate) async fn reset(
    State(app): State<App>,
    ResetToken(scope): ResetToken,
    Message(request): Message<Reset>,
) -> Answered<Removed> {
    Ok(Answer(app.service.reset(&scope, request).await?))
}

pub(crate) async fn statement(State(app): State<App>) -> Answer<SignedStatement> {
    Answer(app.publication.load().statement.clone())
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
    Problem::InvalidRequest {
        kind: InvalidRequest::Route,
        field: None,
    }
    .into()
}

pub(crate) async fn other_method() -> ProblemResponse {
    Problem::InvalidRequest {
        kind: InvalidRequest::Method,
        field: None,
    }
    .into()
}
