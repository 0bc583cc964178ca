//! Work without a request: keys are rotated, statements renewed, and accounts swept.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::MissedTickBehavior;
use vault_ledger::{CommitError, Ledger};

use crate::channel::statement::{self, ChannelRotation, Publication};
use crate::keyring::Keyring;
use crate::service::Service;

/// How often all of it is done.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Seconds between two sweeps.
    pub sweep_seconds: u64,
    /// A ticket key seals for so many seconds.
    pub ticket_key_seconds: u64,
    /// The sealed channel's keys.
    pub channel: ChannelRotation,
}

/// Maintenance cannot go on. The process then ends, and logs the reason: without maintenance, time
/// alone would destroy nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceEnded {
    /// The ledger has stopped.
    #[error("the ledger has stopped")]
    LedgerStopped,
    /// A value that the vault itself needs cannot be read.
    #[error("the vault's own {0} cannot be read: the database was altered or is damaged")]
    Unreadable(&'static str),
}

/// The maintenance of one vault.
pub struct Maintenance {
    service: Service,
    ledger: Ledger,
    keyring: Arc<Keyring>,
    publication: Arc<ArcSwap<Publication>>,
    schedule: Schedule,
}

impl Maintenance {
    /// Carries out everything that is due, before the first request.
    pub(crate) async fn start(
        service: Service,
        ledger: Ledger,
        keyring: Arc<Keyring>,
        schedule: Schedule,
    ) -> Result<Self, CommitError> {
        service
            .rotate_ticket_keys(schedule.ticket_key_seconds)
            .await?;
        let clock_was_set_back = statement::last_signed(&ledger).await? > service.now();
        let renewed = Publication::renew(&ledger, &keyring, service.now(), schedule.channel);
        let publication = Arc::new(ArcSwap::from_pointee(renewed.await?));
        service.sweep_at_start(clock_was_set_back).await?;
        Ok(Self {
            service,
            ledger,
            keyring,
            publication,
            schedule,
        })
    }

    /// The answers of the public routes; maintenance replaces them.
    pub(crate) fn publication(&self) -> Arc<ArcSwap<Publication>> {
        Arc::clone(&self.publication)
    }

    /// Does all of it once. A step that finds the queue full is left for the next time.
    ///
    /// # Errors
    /// [`MaintenanceEnded`] if no later try can succeed.
    pub async fn once(&self) -> Result<(), MaintenanceEnded> {
        let period = self.schedule.ticket_key_seconds;
        or_later("ticket keys", self.service.rotate_ticket_keys(period).await)?;
        let now = self.service.now();
        if self.publication.load().is_due(now) {
            let rotation = self.schedule.channel;
            let renewed = Publication::renew(&self.ledger, &self.keyring, now, rotation).await;
            if let Some(renewed) = or_later("channel keys or statement", renewed)? {
                self.publication.store(Arc::new(renewed));
            }
        }
        or_later("due index", self.service.sweep().await).map(|_| ())
    }

    /// Repeats [`Maintenance::once`] until it cannot go on.
    pub async fn run(&self) -> MaintenanceEnded {
        let mut ticks = tokio::time::interval(Duration::from_secs(self.schedule.sweep_seconds));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(ended) = self.once().await {
                return ended;
            }
        }
    }

    /// Applies to every account what is due by now, and nothing else.
    ///
    /// # Errors
    /// [`CommitError`] if the ledger did not commit.
    pub async fn sweep(&self) -> Result<(), CommitError> {
        self.service.sweep().await
    }
}

fn or_later<T>(
    what: &'static str,
    done: Result<T, CommitError>,
) -> Result<Option<T>, MaintenanceEnded> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(CommitError::Overloaded) => {
            tracing::warn!(what, "maintenance is delayed: the queue is full");
            Ok(None)
        }
        Err(CommitError::Unavailable) => Err(MaintenanceEnded::Unreadable(what)),
        Err(CommitError::Stopped) => Err(MaintenanceEnded::LedgerStopped),
    }
}
