//! The sweep carries out, without a request, what time alone decides (PROTOCOL.md section 7):
//! attempts expire, exhausted records are destroyed, abandoned registrations are dropped. The due
//! index says where to look; the account's own state decides.

use tokio::task::JoinSet;
use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable};
use vault_rules::{CommandTime, Sweep};

use super::Service;
use super::account::{self, AccountLeaf};
use crate::stored::leaf::{Leaf, Leaves};

/// How many accounts a sweep looks at together: few enough that requests do not wait long behind
/// them.
const PAGE: usize = 64;

impl Service {
    /// Applies to every account what is due.
    pub(crate) async fn sweep(&self) -> Result<(), CommitError> {
        let until = self.now();
        loop {
            let due = self
                .ledger
                .commit(move |batch| Ok(batch.due(until.millis(), PAGE)));
            let due = due.await?.into_inner();
            self.sweep_page(&due).await?;
            if due.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// The sweep of a start: looks at every account that has something due at any time, and, if the
    /// clock was set back since the last run, at every account. Times left in the future become now
    /// (PROTOCOL.md section 7 step 6). No other sweep would find them for as long as the clock was
    /// wrong.
    pub(crate) async fn sweep_at_start(&self, clock_was_set_back: bool) -> Result<(), CommitError> {
        self.sweep_pages(
            |batch, last| batch.scheduled_after(last, PAGE),
            |(_, key)| key,
        )
        .await?;
        if clock_was_set_back {
            tracing::warn!("the clock was set back since the last run: waits begin again");
            self.sweep_pages(
                |batch, last| batch.keys_after(last.as_ref(), PAGE),
                |key| key,
            )
            .await?;
        }
        Ok(())
    }

    /// Sweeps page by page, each read behind the last of the one before.
    async fn sweep_pages<P: Copy + Send + Sync + 'static>(
        &self,
        page_after: fn(&mut Batch<'_>, Option<P>) -> Vec<P>,
        key: fn(P) -> LeafKey,
    ) -> Result<(), CommitError> {
        let mut last = None;
        loop {
            let page = self.ledger.commit(move |batch| Ok(page_after(batch, last)));
            let page = page.await?.into_inner();
            let Some(end) = page.last().copied() else {
                return Ok(());
            };
            let keys: Vec<LeafKey> = page.into_iter().map(key).collect();
            self.sweep_page(&keys).await?;
            last = Some(end);
        }
    }

    /// Sweeps so many accounts at once: the writer commits them together. Those that the
    /// queue had no room for are tried again after the others, as often as a queue of one takes.
    async fn sweep_page(&self, keys: &[LeafKey]) -> Result<(), CommitError> {
        let mut left = keys.to_vec();
        for _ in 0..=keys.len() {
            left = self.sweep_together(left).await?;
            if left.is_empty() {
                return Ok(());
            }
        }
        Err(CommitError::Overloaded)
    }

    /// Returns those that the queue had no room for.
    async fn sweep_together(&self, keys: Vec<LeafKey>) -> Result<Vec<LeafKey>, CommitError> {
        let mut accounts = JoinSet::new();
        for key in keys {
            let service = self.clone();
            accounts.spawn(async move { (key, service.sweep_account(key).await) });
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

    async fn sweep_account(&self, key: LeafKey) -> Result<(), CommitError> {
        let time = self.time();
        let swept = self
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
                self.ledger.commit(forget).await.map(|_| ())
            }
            Err(error) => Err(error),
        }
    }
}

fn sweep_leaf(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    time: CommandTime,
) -> Result<(), LeafUnavailable> {
    let Some(stored) = batch.get(&Leaf::<AccountLeaf>::at(*key))? else {
        batch.schedule(key, None);
        return Ok(());
    };
    account::apply(batch, key, &stored.tenant, Sweep { time })
}
