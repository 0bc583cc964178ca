//! The arguments of handlers: checked names, bounded bodies, parsed messages.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::HeaderMap;
use http::header;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use vault_protocol::problem::{InvalidRequest, Problem};
use vault_protocol::{AccountId, AccountScope, MAX_BODY_LEN, TenantId};

use super::App;
use super::auth::{RelayedAccount, authenticate, single};
use super::problem::ProblemResponse;
use crate::tenants::token::TokenScope;

/// Fields that a problem may name. A closed list: a problem never echoes the request.
const FIELDS: [&str; 12] = [
    "credential_finalization",
    "credential_request",
    "generation",
    "management_key",
    "proof",
    "registration_record",
    "registration_request",
    "registration_ticket",
    "replace_proof",
    "retrieval_ticket",
    "stretching_profile",
    "wrapped_key",
];

/// The account in the path of an inner request. The relay must vouch for the same one.
pub(crate) struct RelayedScope(pub(crate) AccountScope);

impl FromRequestParts<App> for RelayedScope {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ProblemResponse> {
        let (tenant, account) = names(parts).await?;
        let relayed = parts.extensions.get::<RelayedAccount>();
        if relayed.is_none_or(|relayed| relayed.tenant != tenant || relayed.account != account) {
            return Err(Problem::AccountMismatch.into());
        }
        Ok(Self(app.service.scope(tenant, account)))
    }
}

/// The account that a backend names, with a token that may read its status.
pub(crate) struct StatusToken(pub(crate) AccountScope);

impl FromRequestParts<App> for StatusToken {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ProblemResponse> {
        backend_scope(parts, app, TokenScope::Status)
            .await
            .map(Self)
    }
}

/// The account that a backend names, with a token that may reset it.
pub(crate) struct ResetToken(pub(crate) AccountScope);

impl FromRequestParts<App> for ResetToken {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ProblemResponse> {
        backend_scope(parts, app, TokenScope::Reset).await.map(Self)
    }
}

/// The path's tenant must be the token's.
async fn backend_scope(
    parts: &mut Parts,
    app: &App,
    needed: TokenScope,
) -> Result<AccountScope, ProblemResponse> {
    let token_tenant = authenticate(app, &parts.headers, needed)?;
    let (tenant, account) = names(parts).await?;
    if tenant != token_tenant {
        return Err(Problem::Forbidden.into());
    }
    Ok(app.service.scope(tenant, account))
}

/// Tenant and account of the path.
async fn names(parts: &mut Parts) -> Result<(TenantId, AccountId), ProblemResponse> {
    let path = Path::<(String, String)>::from_request_parts(parts, &()).await;
    let Ok(Path((tenant, account))) = path else {
        return Err(Problem::malformed().into());
    };
    let tenant = TenantId::new(tenant).map_err(|_| Problem::invalid_field("tenant"))?;
    let account = AccountId::new(account).map_err(|_| Problem::invalid_field("account"))?;
    Ok((tenant, account))
}

/// A JSON message: `application/json`, at most 8 KiB, no unknown or repeated fields.
pub(crate) struct Message<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Message<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, app: &App) -> Result<Self, ProblemResponse> {
        require_media_type(request.headers(), "application/json")?;
        let body = collect(request.into_body(), MAX_BODY_LEN, app.body_timeout).await?;
        parse(&body).map(Self)
    }
}

/// Refuses other media types; parameters are ignored.
pub(crate) fn require_media_type(
    headers: &HeaderMap,
    expected: &str,
) -> Result<(), ProblemResponse> {
    let value = single(headers, &header::CONTENT_TYPE);
    let essence = value.as_ref().and_then(|value| value.split(';').next());
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected)) {
        Ok(())
    } else {
        Err(InvalidRequest::MediaType.into())
    }
}

/// Reads a body of at most `limit` bytes that arrives within `timeout`.
pub(crate) async fn collect(
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, ProblemResponse> {
    let collecting = Limited::new(body, limit).collect();
    match tokio::time::timeout(timeout, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::TooLarge.into()),
        Ok(Err(_)) => Err(Problem::malformed().into()),
        Err(_) => Err(InvalidRequest::Timeout.into()),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemResponse> {
    // serde would take an array of the fields' values as well: a second spelling.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::malformed().into());
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (kind, field) = (InvalidRequest::Malformed, known_field(&error));
        Problem::InvalidRequest { kind, field }
    })?;
    reader.end().map_err(|_| Problem::malformed())?;
    Ok(parsed)
}

/// The field at fault, if it is one of ours.
fn known_field(error: &serde_path_to_error::Error<serde_json::Error>) -> Option<String> {
    let path = error.path().to_string();
    let inner = error.inner().to_string();
    let named = |field: &&&str| {
        path == **field
            || inner.starts_with(&format!("missing field `{field}`"))
            || inner.starts_with(&format!("duplicate field `{field}`"))
    };
    FIELDS.iter().find(named).map(|field| (*field).to_owned())
}
