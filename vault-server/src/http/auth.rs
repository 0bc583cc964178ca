//! Authentication of callers: tenant tokens (RFC 6750, section 2.1), and the account that a relay
//! vouches for.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use vault_protocol::problem::Problem;
use vault_protocol::{AccountId, TenantId};
use zeroize::Zeroizing;

use super::App;
use super::problem::ProblemResponse;
use crate::tenants::token::{Token, TokenScope};

/// The header in which a relay names the account it vouches for.
static VAULT_ACCOUNT: HeaderName = HeaderName::from_static("vault-account");

/// The account that a relay vouches for, and the tenant of the relay's token.
#[derive(Clone)]
pub(crate) struct RelayedAccount {
    pub(crate) tenant: TenantId,
    /// From the header `Vault-Account`.
    pub(crate) account: AccountId,
}

/// Lets a relay's request through: token with scope `use`, one account.
pub(crate) async fn authenticate_relay(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ProblemResponse> {
    let tenant = authenticate(&app, request.headers(), TokenScope::Use)?;
    let account = relayed_account(request.headers())?;
    request
        .extensions_mut()
        .insert(RelayedAccount { tenant, account });
    Ok(next.run(request).await)
}

/// The tenant of the request's token, which must have this scope.
pub(crate) fn authenticate(
    app: &App,
    headers: &HeaderMap,
    scope: TokenScope,
) -> Result<TenantId, ProblemResponse> {
    let token = bearer(headers).ok_or(Problem::Unauthenticated)?;
    let (tenant, scopes) = app
        .tenants
        .authenticate(&token)
        .ok_or(Problem::Unauthenticated)?;
    if scopes.contains(&scope) {
        Ok(tenant)
    } else {
        Err(Problem::Forbidden.into())
    }
}

fn bearer(headers: &HeaderMap) -> Option<Token> {
    let value = single(headers, &AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().parse().ok())
        .flatten()
}

fn relayed_account(headers: &HeaderMap) -> Result<AccountId, ProblemResponse> {
    let value = single(headers, &VAULT_ACCOUNT);
    let account = value.and_then(|value| AccountId::new(value.as_str()).ok());
    account.ok_or_else(|| Problem::invalid_field("vault-account").into())
}

/// A header that must come once: with two, relay and vault could read different ones.
pub(super) fn single(headers: &HeaderMap, name: &HeaderName) -> Option<Zeroizing<String>> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    value
        .to_str()
        .ok()
        .map(|value| Zeroizing::new(value.to_owned()))
}
