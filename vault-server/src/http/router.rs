//! The routes (PROTOCOL.md section 6), outside the sealed channel and inside it.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use vault_protocol::problem::Problem;

use super::App;
use super::auth::authenticate_relay;
use super::handlers as h;
use super::ohttp;
use super::problem::{ProblemResponse, add_retry_after};
use super::request_log::log_request;

const ACCOUNT: &str = "/v1/tenants/{tenant}/accounts/{account}";

/// Everything that the vault serves over TLS.
pub(crate) fn router(app: App) -> Router {
    let account = Router::new()
        .route(ACCOUNT, get(h::backend_status))
        .route(&below("reset"), post(h::reset));
    Router::new()
        .route("/v1/vault", get(h::statement))
        .route("/v1/ohttp-keys", get(h::key_list))
        .route("/v1/ohttp", sealed(&app))
        .route("/healthz", get(h::healthz))
        .route("/readyz", get(h::readyz))
        .merge(account)
        .fallback(h::unknown_route)
        .method_not_allowed_fallback(h::other_method)
        .layer(middleware::from_fn(refuse_percent))
        .layer(middleware::from_fn_with_state(app.clone(), retry_after))
        .layer(middleware::from_fn_with_state(app.clone(), log_request))
        .with_state(app)
}

/// Registration and retrieval, which are only served inside the sealed channel.
fn inner(app: &App) -> Router {
    Router::new()
        .route(ACCOUNT, get(h::status))
        .route(&below("registration/start"), post(h::start_registration))
        .route(&below("registration/finish"), post(h::finish_registration))
        .route(&below("retrieval/start"), post(h::start_retrieval))
        .route(&below("retrieval/finish"), post(h::finish_retrieval))
        .route(&below("retrieval/abandon"), post(h::abandon_retrieval))
        .route(&below("deletion"), post(h::delete))
        .fallback(h::unknown_route)
        .method_not_allowed_fallback(h::other_method)
        .layer(middleware::from_fn(refuse_percent))
        .layer(middleware::from_fn_with_state(app.clone(), retry_after))
        .with_state(app.clone())
}

fn sealed(app: &App) -> MethodRouter<App> {
    let inner = inner(app);
    let exchange = async move |State(app): State<App>, request: Request| {
        ohttp::exchange(&app, inner, request).await
    };
    let relay = middleware::from_fn_with_state(app.clone(), authenticate_relay);
    post(exchange).layer(relay)
}

fn below(endpoint: &str) -> String {
    format!("{ACCOUNT}/{endpoint}")
}

/// No name needs percent-encoding, so two spellings of one path are never needed (PROTOCOL.md
/// section 2).
async fn refuse_percent(request: Request, next: Next) -> Result<Response, ProblemResponse> {
    if request.uri().path().contains('%') {
        return Err(Problem::malformed().into());
    }
    Ok(next.run(request).await)
}

async fn retry_after(State(app): State<App>, request: Request, next: Next) -> Response {
    add_retry_after(next.run(request).await, app.service.now())
}
