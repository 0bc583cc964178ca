//! HTTP: TLS, the accept loop, the sealed channel, the routes. No SQL, no rules.

mod auth;
mod extract;
mod handlers;
mod ohttp;
pub mod problem;
mod request_log;
pub mod router;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::channel::statement::Publication;
use crate::service::Service;
use crate::tenants::directory::Tenants;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The use cases.
    pub service: Service,
    /// Who may call them.
    pub tenants: Tenants,
    /// What is published.
    pub publication: Arc<ArcSwap<Publication>>,
    /// One permit for each sealed message that is worked on; without one, `overloaded`.
    pub permits: Arc<Semaphore>,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
}
