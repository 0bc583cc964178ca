//! Which vault a device trusts (PROTOCOL.md section 5): the fingerprints it pins, and the memory it
//! remembers of the newest statement it has seen.

use serde::{Deserialize, Serialize};
use vault_protocol::identity::Fingerprint;
use vault_protocol::ohttp_keys;
use vault_protocol::statement::{SeenStatement, SignedStatement, Statement, StatementRefused};
use vault_protocol::{AccountId, AccountScope, Binary, TenantId, Timestamp, VaultId};

use crate::error::Error;

/// Decides whether a statement is believed.
#[derive(Clone, Debug)]
pub struct Trust {
    pins: Vec<Fingerprint>,
    vault: Option<VaultId>,
    seen: Option<SeenStatement>,
}

/// Stored by a device, so that an old statement is refused also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustMemory {
    /// The vault that has shown itself.
    pub vault: VaultId,
    /// Its newest statement: an older one is refused.
    pub seen: SeenStatement,
}

/// A vault whose statement was believed. Only [`Trust::accept`] makes one, and every sealed request
/// and every flow begins with one.
#[derive(Clone, Debug)]
pub struct VerifiedVault(pub(crate) Statement);

/// One account of a verified vault: a flow binds everything to it.
#[derive(Clone, Debug)]
pub struct VaultAccount {
    scope: AccountScope,
    server_key: Binary<32>,
}

impl Trust {
    /// Trusts vaults with one of these fingerprints; with none, no vault. Several are pinned while
    /// a vault's identity key is being replaced.
    pub fn new(pins: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self {
            pins: pins.into_iter().collect(),
            vault: None,
            seen: None,
        }
    }

    /// Accepts only the vault of this name. Without it, the first statement decides. The
    /// memory of another one is left aside.
    #[must_use]
    pub fn expecting(mut self, vault: VaultId) -> Self {
        if self.vault.as_ref() != Some(&vault) {
            self.seen = None;
        }
        self.vault = Some(vault);
        self
    }

    /// Goes on from a stored memory. That of another vault than the expected one is left aside: its
    /// serials say nothing about this one's.
    #[must_use]
    pub fn remembering(mut self, memory: TrustMemory) -> Self {
        if self
            .vault
            .as_ref()
            .is_none_or(|vault| *vault == memory.vault)
        {
            self.vault = Some(memory.vault);
            self.seen = Some(memory.seen);
        }
        self
    }

    /// Checks the body of `GET /v1/vault`: form, pin, signature, version, vault, time, serial. The
    /// statement is remembered only if it was believed.
    pub fn accept(&mut self, body: &[u8], now: Timestamp) -> Result<VerifiedVault, Error> {
        let signed: SignedStatement =
            serde_json::from_slice(body).map_err(|_| StatementRefused::Malformed)?;
        let (statement, seen) =
            signed.verify(&self.pins, self.vault.as_ref(), self.seen.as_ref(), now)?;
        // Found out here rather than in the middle of a flow.
        ohttp_keys::select(&statement.ohttp_keys)?;
        self.vault = Some(statement.vault_id.clone());
        self.seen = Some(seen);
        Ok(VerifiedVault(statement))
    }

    /// To be stored; `None` before the first statement was believed.
    pub fn memory(&self) -> Option<TrustMemory> {
        let vault = self.vault.clone()?;
        self.seen.map(|seen| TrustMemory { vault, seen })
    }
}

impl VerifiedVault {
    /// The vault's name.
    pub fn id(&self) -> &VaultId {
        &self.0.vault_id
    }

    /// Whether its statement has not expired meanwhile.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now < self.0.expires_at
    }

    /// An account of this vault.
    pub fn account(&self, tenant: &TenantId, account: &AccountId) -> VaultAccount {
        VaultAccount {
            scope: AccountScope {
                vault: self.0.vault_id.clone(),
                tenant: tenant.clone(),
                account: account.clone(),
            },
            server_key: self.0.opaque_server_public_key,
        }
    }
}

impl VaultAccount {
    /// Vault, tenant and account.
    pub fn scope(&self) -> &AccountScope {
        &self.scope
    }

    /// Refuses an OPAQUE server key that the signed statement does not name.
    pub(crate) fn check_server_key(&self, answered: &[u8]) -> Result<(), Error> {
        if answered == self.server_key.as_bytes() {
            Ok(())
        } else {
            Err(Error::ForeignVault)
        }
    }
}
