//! An open vault: ledger, keys, tenants and publication, put together in the one right order.
//! Nothing listens before everything that is due has been carried out.

pub mod ledger;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use vault_ledger::{CommitError, Ledger};

use crate::admin::Admin;
use crate::channel::statement::ChannelRotation;
use crate::config::Config;
use crate::http::router::router;
use crate::http::{App, Router};
use crate::keyring::Keyring;
use crate::maintenance::{Maintenance, Schedule};
use crate::process::clock::Clock;
use crate::service::Service;
use crate::tenants::directory::Tenants;

/// A vault, ready to serve.
pub struct Vault {
    /// Carries out requests of operators.
    pub admin: Admin,
    /// Has to run as long as the vault is served.
    pub maintenance: Maintenance,
    app: App,
}

/// The numbers of the configuration that a vault needs, however it is reached.
#[derive(Clone, Copy, Debug)]
pub struct VaultOptions {
    /// How often maintenance is done.
    pub schedule: Schedule,
    /// Sealed messages that are worked on at once.
    pub in_flight: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
}

impl VaultOptions {
    pub(crate) fn new(config: &Config) -> Self {
        const HOUR: u64 = 60 * 60;
        const DAY: u64 = 24 * HOUR;
        let rotation = &config.rotation;
        Self {
            schedule: Schedule {
                sweep_seconds: u64::from(config.sweep.interval_seconds),
                ticket_key_seconds: u64::from(rotation.ticket_key_hours) * HOUR,
                channel: ChannelRotation {
                    period_seconds: u64::from(rotation.ohttp_keys_days) * DAY,
                    overlap_seconds: u64::from(rotation.ohttp_overlap_days) * DAY,
                },
            },
            in_flight: config.limits.queue_capacity as usize,
            body_timeout: Duration::from_secs(u64::from(config.limits.request_timeout_seconds)),
        }
    }
}

impl Vault {
    /// Brings keys and statement up to date, reads the tenants and sweeps once.
    ///
    /// # Errors
    /// [`CommitError`] if a value that the vault itself needs cannot be read or written.
    pub async fn start(
        ledger: Ledger,
        keyring: Keyring,
        clock: Clock,
        options: VaultOptions,
    ) -> Result<Self, CommitError> {
        let keyring = Arc::new(keyring);
        let tenants = Tenants::load(ledger.clone()).await?;
        let service = Service::new(Arc::clone(&keyring), ledger.clone(), clock);
        let started = Maintenance::start(service.clone(), ledger, keyring, options.schedule);
        let maintenance = started.await?;
        let app = App {
            service: service.clone(),
            tenants: tenants.clone(),
            publication: maintenance.publication(),
            permits: Arc::new(Semaphore::new(options.in_flight)),
            body_timeout: options.body_timeout,
        };
        Ok(Self {
            admin: Admin::new(service, tenants),
            maintenance,
            app,
        })
    }

    /// Everything that the vault serves over TLS.
    pub fn router(&self) -> Router {
        router(self.app.clone())
    }

    /// One permit for each sealed message that is worked on.
    pub fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.app.permits)
    }
}

/// The administration of a vault that is not served: no key is rotated, no statement signed, no
/// account swept.
pub(crate) async fn admin(
    ledger: Ledger,
    keyring: Keyring,
    clock: Clock,
) -> Result<Admin, CommitError> {
    let tenants = Tenants::load(ledger.clone()).await?;
    Ok(Admin::new(
        Service::new(Arc::new(keyring), ledger, clock),
        tenants,
    ))
}
