//! What happens without being asked: keys are replaced, statements renewed, and what time alone
//! has decided about accounts is carried out.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::rngs::OsRng;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger};
use vault_protocol::time::Timestamp;
use vault_rules::{CommandTime, Sweep};

use crate::channel::statement::{ChannelRotation, Publication};
use crate::process::clock::Clock;
use crate::service::Service;
use crate::service::account;
use crate::service::ticket::TicketKeys;
use crate::stored::keys;

/// How many accounts a sweep looks at together: few enough that requests do not wait long behind
/// them.
const SWEEP_PAGE: usize = 64;

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
    let clock = clock.for_rules();
    let period = schedule.ticket_key_seconds;
    let keys = ledger
        .commit(move |batch| rotate_ticket_keys(batch, clock, period))
        .await?;
    Ok(keys.into_inner())
}

/// Why upkeep cannot go on. The process then ends, and says so: without it nothing would be
/// destroyed any more unless somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpkeepEnded {
    /// The ledger has stopped.
    #[error("the ledger has stopped")]
    LedgerStopped,
    /// What the vault keeps for itself cannot be read.
    #[error("the vault's own {0} cannot be read: the database was altered or is damaged")]
    Unreadable(&'static str),
}

/// Does all of it once. What the queue has no room for is left for the next time, each step for
/// itself.
pub async fn once(
    service: &Service,
    publication: &ArcSwap<Publication>,
    schedule: Schedule,
) -> Result<(), UpkeepEnded> {
    let keys = current_ticket_keys(&service.ledger, &service.clock, schedule).await;
    if let Some(keys) = or_later("ticket keys", keys)? {
        service.ticket_keys.store(Arc::new(keys));
    }
    if publication.load().is_due(service.clock.now()) {
        let renewed = Publication::renew(service, schedule.channel).await;
        if let Some(renewed) = or_later("channel keys or statement", renewed)? {
            publication.store(Arc::new(renewed));
        }
    }
    or_later("due index", sweep(service).await).map(|_| ())
}

/// Repeats [`once`] until it cannot go on.
pub async fn run(
    service: Service,
    publication: Arc<ArcSwap<Publication>>,
    schedule: Schedule,
) -> UpkeepEnded {
    let mut ticks = tokio::time::interval(Duration::from_secs(schedule.sweep_seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(ended) = once(&service, &publication, schedule).await {
            return ended;
        }
    }
}

fn or_later<T>(what: &'static str, done: Result<T, CommitError>) -> Result<Option<T>, UpkeepEnded> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(CommitError::Overloaded) => {
            tracing::warn!(what, "upkeep is delayed: the queue is full");
            Ok(None)
        }
        Err(CommitError::Unavailable) => Err(UpkeepEnded::Unreadable(what)),
        Err(CommitError::Stopped) => Err(UpkeepEnded::LedgerStopped),
    }
}

/// Applies to every account what is due (PROTOCOL.md section 7): attempts expire, exhausted
/// records are destroyed, abandoned registrations are dropped. The due index says where to look;
/// the account's own state decides.
pub async fn sweep(service: &Service) -> Result<(), CommitError> {
    let until = service.clock.now();
    loop {
        let due = due_accounts(service, until, SWEEP_PAGE).await?;
        sweep_page(service, &due).await?;
        if due.len() < SWEEP_PAGE {
            return Ok(());
        }
    }
}

/// The sweep of a start: looks at every account that has something due at any time, and, if the
/// clock was set back since the last run, at every account. Times left in the future become now
/// (PROTOCOL.md section 7 step 6); no other sweep would find them for as long as the clock was
/// wrong.
pub async fn sweep_at_start(
    service: &Service,
    clock_was_set_back: bool,
) -> Result<(), CommitError> {
    sweep_scheduled(service).await?;
    if clock_was_set_back {
        tracing::warn!("the clock was set back since the last run: waits begin again");
        sweep_everything(service).await?;
    }
    Ok(())
}

async fn sweep_scheduled(service: &Service) -> Result<(), CommitError> {
    let mut last = None;
    loop {
        let page = service
            .ledger
            .commit(move |batch| Ok(batch.scheduled_after(last, SWEEP_PAGE)));
        let page = page.await?.into_inner();
        let keys: Vec<LeafKey> = page.iter().map(|(_, key)| *key).collect();
        sweep_page(service, &keys).await?;
        match page.last() {
            Some(scheduled) => last = Some(*scheduled),
            None => return Ok(()),
        }
    }
}

async fn sweep_everything(service: &Service) -> Result<(), CommitError> {
    let mut last = None;
    loop {
        let page = service
            .ledger
            .commit(move |b| Ok(b.keys_after(last.as_ref(), SWEEP_PAGE)));
        let page = page.await?.into_inner();
        sweep_page(service, &page).await?;
        match page.last() {
            Some(key) => last = Some(*key),
            None => return Ok(()),
        }
    }
}

/// Sweeps so many accounts at once: the writer commits them together. What the queue has no room
/// for is tried again when the others are through, as often as it takes a queue of one.
async fn sweep_page(service: &Service, keys: &[LeafKey]) -> Result<(), CommitError> {
    let mut left = keys.to_vec();
    for _ in 0..=keys.len() {
        left = sweep_together(service, left).await?;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(CommitError::Overloaded)
}

/// Returns those that the queue had no room for.
async fn sweep_together(
    service: &Service,
    keys: Vec<LeafKey>,
) -> Result<Vec<LeafKey>, CommitError> {
    let mut accounts = JoinSet::new();
    for key in keys {
        let service = service.clone();
        accounts.spawn(async move { (key, sweep_account(&service, key).await) });
    }
    let mut left = Vec::new();
    while let Some(swept) = accounts.join_next().await {
        match swept {
            Ok((_, Ok(()))) => {}
            Ok((key, Err(CommitError::Overloaded))) => left.push(key),
            Ok((_, Err(error))) => return Err(error),
            Err(_) => return Err(CommitError::Stopped),
        }
    }
    Ok(left)
}

async fn due_accounts(
    service: &Service,
    until: Timestamp,
    at_most: usize,
) -> Result<Vec<LeafKey>, CommitError> {
    let due = service
        .ledger
        .commit(move |batch| Ok(batch.due(until.millis(), at_most)));
    Ok(due.await?.into_inner())
}

async fn sweep_account(service: &Service, key: LeafKey) -> Result<(), CommitError> {
    let time = service.rules_clock();
    let swept = service
        .ledger
        .commit(move |batch| sweep_leaf(batch, &key, time))
        .await;
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
    time: CommandTime,
) -> Result<(), LeafUnavailable> {
    let Some(leaf) = batch.read(key)? else {
        batch.schedule(key, None);
        return Ok(());
    };
    let (tenant, _) = account::decode(&leaf)?;
    account::apply(batch, key, &tenant, Sweep { time })
}

fn rotate_ticket_keys(
    batch: &mut Batch<'_>,
    clock: CommandTime,
    period_seconds: u64,
) -> Result<TicketKeys, LeafUnavailable> {
    let place = keys::ticket_keys();
    let mut keys = match batch.read(&place)? {
        Some(leaf) => TicketKeys::decode(&leaf).map_err(|_| LeafUnavailable)?,
        None => TicketKeys::default(),
    };
    if keys.rotate(clock, period_seconds, &mut OsRng) {
        batch.put(&place, keys.encode());
    }
    Ok(keys)
}
