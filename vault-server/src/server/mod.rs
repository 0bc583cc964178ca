//! An open vault: ledger, keys, tenants and what is published, put together in the one right
//! order. Nothing listens before everything that is due has been carried out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use vault_ledger::{CommitError, Ledger, MasterKey, OpenError, Options, Removed, VaultIdentity};

use crate::admin::Admin;
use crate::channel::statement::{self, ChannelRotation, Publication};
use crate::config::Config;
use crate::http::App;
use crate::keyring::Keyring;
use crate::maintenance::{self, Schedule, UpkeepEnded};
use crate::process::clock::Clock;
use crate::service::Service;
use crate::stored::keys;
use crate::tenants::directory::Tenants;

/// A vault, ready to serve.
pub struct Vault {
    /// What the routes need.
    pub app: App,
    /// What administration needs.
    pub admin: Admin,
    schedule: Schedule,
}

/// The numbers of the configuration that a vault needs, however it is reached.
#[derive(Clone, Copy, Debug)]
pub struct VaultOptions {
    /// How often upkeep is done.
    pub schedule: Schedule,
    /// Sealed messages that are worked on at once.
    pub in_flight: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
}

/// Opens the ledger of the configured data folder.
pub fn open_ledger(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    Ledger::open(ledger_options(config), identity(keyring))
}

/// Opens it also where it is damaged, as a new database of what can be read.
pub fn open_damaged_ledger(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    let mut options = ledger_options(config);
    options.accept_damage = true;
    Ledger::open(options, identity(keyring))
}

/// Makes the ledger of the configured data folder.
pub fn create_ledger(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    Ledger::create(ledger_options(config), identity(keyring))
}

/// Makes a further anchor, and takes it into the vault, which nobody has open.
pub fn add_anchor(config: &Config, keyring: &Keyring, path: &Path) -> Result<(), OpenError> {
    let mut options = ledger_options(config);
    // It may be in the configuration already.
    options.anchors.retain(|other| other != path);
    Ledger::add_anchor(&options, &identity(keyring), path)
}

/// Takes anchors, there or lost, out of the vault, which nobody has open. Says what became of each.
pub fn remove_anchors(
    config: &Config,
    keyring: &Keyring,
    paths: &[PathBuf],
) -> Result<Vec<Removed>, OpenError> {
    Ledger::remove_anchors(&ledger_options(config), &identity(keyring), paths)
}

/// Who may open the ledger that belongs to this keyring.
pub fn identity(keyring: &Keyring) -> VaultIdentity {
    VaultIdentity {
        vault_id: keyring.vault_id().as_str().to_owned(),
        keyring_fingerprint: keyring.fingerprint(),
        master_key: MasterKey::new(keyring.master_key()),
    }
}

impl VaultOptions {
    /// From the configuration.
    pub fn new(config: &Config) -> Self {
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
    pub async fn start(
        ledger: Ledger,
        keyring: Keyring,
        clock: Clock,
        options: VaultOptions,
    ) -> Result<Self, CommitError> {
        let schedule = options.schedule;
        let ticket_keys = maintenance::current_ticket_keys(&ledger, &clock, schedule).await?;
        let tenants = Tenants::load(ledger.clone()).await?;
        let service = Service {
            keyring: Arc::new(keyring),
            ledger,
            clock,
            ticket_keys: Arc::new(ArcSwap::from_pointee(ticket_keys)),
        };
        let clock_was_set_back = statement::last_signed(&service).await? > service.now();
        let publication = Publication::renew(&service, schedule.channel).await?;
        maintenance::sweep_at_start(&service, clock_was_set_back).await?;
        let app = App {
            service: service.clone(),
            tenants: tenants.clone(),
            publication: Arc::new(ArcSwap::from_pointee(publication)),
            permits: Arc::new(Semaphore::new(options.in_flight)),
            body_timeout: options.body_timeout,
        };
        Ok(Self {
            app,
            admin: Admin::new(service, tenants),
            schedule,
        })
    }

    /// Does what is due, again and again, until it cannot go on.
    pub async fn upkeep(&self) -> UpkeepEnded {
        let (service, publication) = (self.app.service.clone(), self.app.publication.clone());
        maintenance::run(service, publication, self.schedule).await
    }
}

fn ledger_options(config: &Config) -> Options {
    let mut options = Options::new(&config.data_folder, &config.anchor.path);
    options.anchors.extend_from_slice(&config.anchor.mirrors);
    options.queue_capacity = config.limits.queue_capacity as usize;
    options.batch_limit = config.limits.batch_limit as usize;
    options.needed = keys::own().to_vec();
    options
}
