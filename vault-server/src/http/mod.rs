//! HTTP: the routes, the sealed channel, authentication. No SQL, no rules.

mod auth;
mod extract;
mod handlers;
mod ohttp;
mod problem;
mod request_log;
pub(crate) mod router;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
pub(crate) use axum::Router;
use tokio::sync::Semaphore;

use crate::channel::statement::Publication;
use crate::service::Service;
use crate::tenants::directory::Tenants;

/// The state that the handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) tenants: Tenants,
    /// The answers of `GET /v1/vault` and `GET /v1/ohttp-keys`.
    pub(crate) publication: Arc<ArcSwap<Publication>>,
    /// One permit for each sealed message that is worked on; without one, `overloaded`.
    pub(crate) permits: Arc<Semaphore>,
    /// How long a request's body may take to arrive.
    pub(crate) body_timeout: Duration,
}
