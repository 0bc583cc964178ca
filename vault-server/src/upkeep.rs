//! What happens without being asked: keys are replaced, statements renewed, and what time alone
//! has decided about accounts is carried out.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::rngs::OsRng;
use tokio::time::MissedTickBehavior;
use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger};
use vault_protocol::time::Timestamp;
use vault_rules::command::Sweep;

use crate::account_leaf;
use crate::clock::Clock;
use crate::places;
use crate::publication::{ChannelRotation, Publication};
use crate::service::Service;
use crate::ticket::TicketKeys;

/// How many accounts one commit of the sweep looks at: few enough that requests do not wait long
/// behind it.
const SWEEP_BATCH: usize = 64;

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

/// Reads the ticket keys and brings them up to date; the first step of every start.
pub async fn current_ticket_keys(
    ledger: &Ledger,
    clock: &Clock,
    schedule: Schedule,
) -> Result<TicketKeys, CommitError> {
    let (now, period) = (clock.now(), schedule.ticket_key_seconds);
    let keys = ledger.commit(move |batch| rotate_ticket_keys(batch, now, period)).await?;
    Ok(keys.into_inner())
}

/// Does all of it at once: before the vault listens, so that nothing that is due survives a
/// restart, and then at every tick.
pub async fn once(
    service: &Service,
    publication: &ArcSwap<Publication>,
    schedule: Schedule,
) -> Result<(), CommitError> {
    let keys = current_ticket_keys(&service.ledger, &service.clock, schedule).await?;
    service.ticket_keys.store(Arc::new(keys));
    if publication.load().is_due(service.clock.now()) {
        publication.store(Arc::new(Publication::renew(service, schedule.channel).await?));
    }
    sweep(service).await
}

/// Repeats [`once`] until the ledger stops. A full queue only delays it.
pub async fn run(service: Service, publication: Arc<ArcSwap<Publication>>, schedule: Schedule) {
    let mut ticks = tokio::time::interval(Duration::from_secs(schedule.sweep_seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match once(&service, &publication, schedule).await {
            Ok(()) => {}
            Err(CommitError::Overloaded) => tracing::warn!("upkeep delayed: the queue is full"),
            Err(CommitError::Unavailable) => {
                tracing::error!("upkeep found stored state that cannot be read");
            }
            Err(CommitError::Stopped) => return,
        }
    }
}

/// Applies to every account what is due (PROTOCOL.md section 7): attempts expire, exhausted
/// records are destroyed, abandoned registrations are dropped. The due index says where to look;
/// the account's own state decides.
pub async fn sweep(service: &Service) -> Result<(), CommitError> {
    let until = service.clock.now();
    loop {
        let due = due_accounts(service, until, SWEEP_BATCH).await?;
        for key in &due {
            sweep_account(service, *key).await?;
        }
        if due.len() < SWEEP_BATCH {
            return Ok(());
        }
    }
}

/// The sweep of a start: looks at every account that has something due at any time. A clock that
/// was set back since the last run has left times in the future, where no other sweep would look
/// for as long as it was wrong; here they become now (PROTOCOL.md section 7 step 6).
pub async fn sweep_at_start(service: &Service) -> Result<(), CommitError> {
    let end_of_time = Timestamp::from_millis(u64::MAX);
    for key in due_accounts(service, end_of_time, usize::MAX).await? {
        sweep_account(service, key).await?;
    }
    Ok(())
}

async fn due_accounts(
    service: &Service,
    until: Timestamp,
    at_most: usize,
) -> Result<Vec<LeafKey>, CommitError> {
    let due = service.ledger.commit(move |batch| Ok(batch.due(until.millis(), at_most)));
    Ok(due.await?.into_inner())
}

async fn sweep_account(service: &Service, key: LeafKey) -> Result<(), CommitError> {
    let clock = service.rules_clock();
    let swept = service.ledger.commit(move |batch| sweep_leaf(batch, &key, clock)).await;
    match swept {
        Ok(_) => Ok(()),
        // It stays unavailable to its owner too; the others must not wait for it.
        Err(CommitError::Unavailable) => {
            let forget = move |batch: &mut Batch<'_>| {
                batch.schedule(&key, None);
                Ok(())
            };
            service.ledger.commit(forget).await.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

fn sweep_leaf(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    clock: vault_rules::Clock,
) -> Result<(), LeafUnavailable> {
    let Some(leaf) = batch.read(key)? else {
        batch.schedule(key, None);
        return Ok(());
    };
    let (tenant, _) = account_leaf::decode(&leaf)?;
    account_leaf::apply(batch, key, &tenant, clock, |account| Sweep { clock }.apply(account))
}

fn rotate_ticket_keys(
    batch: &mut Batch<'_>,
    now: Timestamp,
    period_seconds: u64,
) -> Result<TicketKeys, LeafUnavailable> {
    let place = places::ticket_keys();
    let mut keys = match batch.read(&place)? {
        Some(leaf) => TicketKeys::decode(&leaf).map_err(|_| LeafUnavailable)?,
        None => TicketKeys::default(),
    };
    if keys.rotate(now, period_seconds, &mut OsRng) {
        batch.put(&place, keys.encode());
    }
    Ok(keys)
}
