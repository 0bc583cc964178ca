//! The tenants of a vault: administered by commits, looked up in memory. The memory is a copy of
//! the committed state. One process alone writes, so the copy is never behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rand::rngs::OsRng;
use vault_ledger::{Batch, CommitError, LeafUnavailable, Ledger};
use vault_protocol::time::Timestamp;
use vault_protocol::{Policy, TenantId};

use super::tenant::{StoredToken, Tenant, TenantList, TooManyTokens};
use super::token::{Token, TokenScope};
use crate::stored::leaf::Leaves;

type ByName = BTreeMap<TenantId, Arc<Tenant>>;

/// All tenants of the vault. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenants {
    ledger: Ledger,
    known: Arc<ArcSwap<ByName>>,
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// A change of the tenants was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TenantError {
    #[error(
        "there is a tenant of that name already: choose another, or add a token to it with `tenant rotate-token`"
    )]
    Exists,
    #[error("there is no tenant of that name: see `tenant list`")]
    Unknown,
    #[error("the tenant has no token with that number: see `tenant list`")]
    UnknownToken,
    #[error(
        "the tenant has no tokens, or their scopes differ: give the scopes of the new one with --scopes, see `tenant list`"
    )]
    WhichScopes,
    #[error(transparent)]
    TooManyTokens(#[from] TooManyTokens),
    #[error(
        "users of the tenant still have {0} live record(s): they would lose their keys; it can be removed when they have deleted them or were reset"
    )]
    HasRecords(u64),
    /// The commit did not happen, or nothing is known of it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Tenants {
    /// Reads all tenants.
    pub(crate) async fn load(ledger: Ledger) -> Result<Self, CommitError> {
        let known = ledger.commit(read_all).await?.into_inner();
        Ok(Self {
            ledger,
            known: Arc::new(ArcSwap::from_pointee(known)),
            changing: Arc::default(),
        })
    }

    /// The token's tenant and scopes; `None` if it is not valid.
    pub(crate) fn authenticate(&self, token: &Token) -> Option<(TenantId, Vec<TokenScope>)> {
        let known = self.known.load();
        let tenant = known.get(token.tenant())?;
        let scopes = tenant.scopes_of(token)?;
        Some((token.tenant().clone(), scopes.to_vec()))
    }

    /// Whether there is a tenant of this name.
    pub(crate) fn exists(&self, tenant: &TenantId) -> bool {
        self.known.load().contains_key(tenant)
    }

    /// All tenants by name, with the count of live records as it is now.
    pub(crate) async fn list(&self) -> Result<ByName, CommitError> {
        Ok(self.ledger.commit(read_all).await?.into_inner())
    }

    /// Adds a tenant with its first token.
    pub(crate) async fn add(
        &self,
        name: TenantId,
        policy: Policy,
        scopes: Vec<TokenScope>,
        now: Timestamp,
    ) -> Result<Token, TenantError> {
        self.change(move |batch| {
            let leaf = Tenant::leaf(&name);
            // Also one that does not decode is there.
            if batch.read(&leaf.key())?.is_some() {
                return Ok(Err(TenantError::Exists));
            }
            let mut tenant = Tenant::new(policy);
            let token = match tenant.add_token(&name, scopes, now, &mut OsRng) {
                Ok(token) => token,
                Err(error) => return Ok(Err(error.into())),
            };
            batch.set(&leaf, &tenant);
            let mut list = read_list(batch)?;
            list.0.push(name);
            list.0.sort();
            batch.set(&TenantList::LEAF, &list);
            Ok(Ok(token))
        })
        .await
    }

    /// Adds a token, so that the old one can be revoked when every backend has the new one. Without
    /// scopes it gets those of the others.
    pub(crate) async fn add_token(
        &self,
        name: TenantId,
        scopes: Option<Vec<TokenScope>>,
        now: Timestamp,
    ) -> Result<Token, TenantError> {
        self.change(move |batch| {
            edit(batch, &name, |tenant| {
                let scopes = scopes.or_else(|| common_scopes(tenant));
                let scopes = scopes.ok_or(TenantError::WhichScopes)?;
                Ok(tenant.add_token(&name, scopes, now, &mut OsRng)?)
            })
        })
        .await
    }

    pub(crate) async fn revoke_token(&self, name: TenantId, id: u32) -> Result<(), TenantError> {
        self.change(move |batch| {
            edit(batch, &name, |tenant| {
                if tenant.revoke_token(id) {
                    Ok(())
                } else {
                    Err(TenantError::UnknownToken)
                }
            })
        })
        .await
    }

    /// Removes a tenant without live records. The tombstones of its accounts stay, so that their
    /// generations go on if the tenant comes back.
    pub(crate) async fn remove(&self, name: TenantId) -> Result<(), TenantError> {
        self.change(move |batch| {
            let leaf = Tenant::leaf(&name);
            let Some(tenant) = batch.get(&leaf)? else {
                return Ok(Err(TenantError::Unknown));
            };
            if tenant.live_records > 0 {
                return Ok(Err(TenantError::HasRecords(tenant.live_records)));
            }
            batch.remove(&leaf.key());
            let mut list = read_list(batch)?;
            list.0.retain(|other| *other != name);
            batch.set(&TenantList::LEAF, &list);
            Ok(Ok(()))
        })
        .await
    }

    /// Commits a change and takes over the committed state. One at a time, and to its end even if
    /// the caller has gone: the copy in memory must not miss a change or go back.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Batch<'_>) -> Result<Result<T, TenantError>, LeafUnavailable>
        + Send
        + 'static,
    ) -> Result<T, TenantError> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let _one_at_a_time = this.changing.lock().await;
            let commit = this.ledger.commit(|batch| {
                let changed = change(batch)?;
                Ok((changed, read_all(batch)?))
            });
            let (changed, known) = commit.await?.into_inner();
            this.known.store(Arc::new(known));
            changed
        });
        task.await
            .unwrap_or(Err(TenantError::Commit(CommitError::Stopped)))
    }
}

/// The scopes of every token, if they are the same.
fn common_scopes(tenant: &Tenant) -> Option<Vec<TokenScope>> {
    let (first, others) = tenant.tokens.split_first()?;
    let is_same = |other: &StoredToken| {
        other.scopes.len() == first.scopes.len()
            && other.scopes.iter().all(|s| first.scopes.contains(s))
    };
    others.iter().all(is_same).then(|| first.scopes.clone())
}

fn edit<T>(
    batch: &mut Batch<'_>,
    name: &TenantId,
    edit: impl FnOnce(&mut Tenant) -> Result<T, TenantError>,
) -> Result<Result<T, TenantError>, LeafUnavailable> {
    let leaf = Tenant::leaf(name);
    let Some(mut tenant) = batch.get(&leaf)? else {
        return Ok(Err(TenantError::Unknown));
    };
    let edited = edit(&mut tenant);
    if edited.is_ok() {
        batch.set(&leaf, &tenant);
    }
    Ok(edited)
}

/// A tenant that cannot be read is left out: its tokens are not valid then, and the others go on.
fn read_all(batch: &mut Batch<'_>) -> Result<ByName, LeafUnavailable> {
    let mut all = BTreeMap::new();
    for name in read_list(batch)?.0 {
        match batch.get(&Tenant::leaf(&name)) {
            Ok(Some(tenant)) => drop(all.insert(name, Arc::new(tenant))),
            Ok(None) | Err(LeafUnavailable) => {
                tracing::error!(tenant = %name, "a tenant cannot be read: its tokens are refused");
            }
        }
    }
    Ok(all)
}

fn read_list(batch: &mut Batch<'_>) -> Result<TenantList, LeafUnavailable> {
    Ok(batch.get(&TenantList::LEAF)?.unwrap_or_default())
}
