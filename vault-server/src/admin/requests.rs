//! What an operator can ask for.

use serde::{Deserialize, Serialize};
use vault_protocol::{AccountId, Policy, TenantId};

use crate::tenants::token::TokenScope;

/// One request, over the socket or to a stopped vault.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "request")]
pub enum Request {
    /// Add a tenant with a first token.
    AddTenant {
        /// Its name.
        tenant: TenantId,
        /// For new registrations.
        policy: Policy,
        /// What the token allows.
        scopes: Vec<TokenScope>,
    },
    /// List tenants and their tokens.
    ListTenants,
    /// Add a token.
    AddToken {
        /// Whose.
        tenant: TenantId,
        /// What it allows; `None` is what the tenant's other tokens allow, if that is the same.
        scopes: Option<Vec<TokenScope>>,
    },
    /// Revoke a token.
    RevokeToken {
        /// Whose.
        tenant: TenantId,
        /// Its number.
        id: u32,
    },
    /// Remove a tenant without live records.
    RemoveTenant {
        /// Its name.
        tenant: TenantId,
    },
    /// Show an account's state and last events.
    ShowAccount {
        /// Its tenant.
        tenant: TenantId,
        /// Its id.
        account: AccountId,
    },
    /// Destroy the record of exactly this generation.
    ResetAccount {
        /// Its tenant.
        tenant: TenantId,
        /// Its id.
        account: AccountId,
        /// The generation.
        generation: u64,
    },
    /// The identity's fingerprint.
    Fingerprint,
}
