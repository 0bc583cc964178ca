//! The requests of operators.

use serde::{Deserialize, Serialize};
use vault_protocol::{AccountId, Policy, TenantId};

use crate::tenants::token::TokenScope;

/// One request, over the socket or to a stopped vault.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "request")]
#[expect(
    missing_docs,
    reason = "variants and fields have the names of the commands and their arguments"
)]
pub enum Request {
    /// With a first token, which has these scopes.
    AddTenant {
        tenant: TenantId,
        /// New registrations get it.
        policy: Policy,
        scopes: Vec<TokenScope>,
    },
    /// With their tokens.
    ListTenants,
    AddToken {
        tenant: TenantId,
        /// `None` takes those of the tenant's other tokens, if they all have the same.
        scopes: Option<Vec<TokenScope>>,
    },
    RevokeToken {
        tenant: TenantId,
        id: u32,
    },
    /// Refused while the tenant has live records.
    RemoveTenant {
        tenant: TenantId,
    },
    /// Its state and last events.
    ShowAccount {
        tenant: TenantId,
        account: AccountId,
    },
    /// Destroys the record of exactly this generation.
    ResetAccount {
        tenant: TenantId,
        account: AccountId,
        generation: u64,
    },
    Fingerprint,
}
