//! The answers to an operator. None has a secret but a new token, which is shown once.

use serde::{Deserialize, Serialize};
use vault_protocol::identity::Fingerprint;
use vault_protocol::messages::Status;
use vault_protocol::time::Timestamp;
use vault_protocol::{Policy, TenantId};
use vault_rules::Event;

use crate::tenants::tenant::Tenant;
use crate::tenants::token::TokenScope;

/// The answer to a request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Answer {
    /// A new token, shown this once.
    Token {
        /// As the app's backend holds it.
        token: String,
    },
    /// For [`Request::ListTenants`](super::Request::ListTenants).
    Tenants {
        /// In the order of their names.
        tenants: Vec<TenantSummary>,
    },
    /// For [`Request::ShowAccount`](super::Request::ShowAccount).
    Account {
        /// As devices see it.
        status: Status,
        /// The last events, oldest first; `None` if one of them is missing or does not open.
        events: Option<Vec<EventSummary>>,
    },
    /// The change is durable.
    Done,
    /// Devices pin it.
    Fingerprint {
        /// Of the vault's identity key.
        fingerprint: Fingerprint,
    },
    /// Of the administration socket alone: another vault was meant. Nothing was done.
    AnotherVault,
    /// Refused; nothing was changed.
    Refused {
        /// The cause, and the next step.
        reason: String,
    },
}

/// A tenant without its secrets.
#[derive(Serialize, Deserialize)]
pub struct TenantSummary {
    /// Its name.
    pub tenant: TenantId,
    /// Of new registrations.
    pub policy: Policy,
    /// Accounts with a record that is not destroyed.
    pub live_records: u64,
    /// Its valid tokens.
    pub tokens: Vec<TokenSummary>,
}

/// A token without its secret.
#[derive(Serialize, Deserialize)]
pub struct TokenSummary {
    /// Its number, to revoke it by.
    pub id: u32,
    /// The kinds of requests that it may be sent with.
    pub scopes: Vec<TokenScope>,
    /// By the server's clock.
    pub created_at: Timestamp,
}

/// An event in words.
#[derive(Serialize, Deserialize)]
pub struct EventSummary {
    /// By the server's clock.
    pub at: Timestamp,
    /// Of which record.
    pub generation: u64,
    /// For people; the words may change.
    pub event: String,
}

impl TenantSummary {
    pub(super) fn new(name: &TenantId, tenant: &Tenant) -> Self {
        let tokens = tenant.tokens.iter().map(|token| TokenSummary {
            id: token.id,
            scopes: token.scopes.clone(),
            created_at: token.created_at(),
        });
        Self {
            tenant: name.clone(),
            policy: tenant.policy.clone(),
            live_records: tenant.live_records,
            tokens: tokens.collect(),
        }
    }
}

impl From<&Event> for EventSummary {
    fn from(event: &Event) -> Self {
        use vault_rules::{EventKind as E, FailureCause as C};
        let words = match event.kind {
            E::Registered => "registered".to_owned(),
            E::Replaced => "replaced".to_owned(),
            E::Charged { attempt } => format!("charged: attempt {attempt}"),
            E::Succeeded { attempt } => format!("succeeded: attempt {attempt}"),
            E::Failed { attempt, cause } => {
                let cause = match cause {
                    C::WrongPassword => "wrong password",
                    C::Abandoned => "abandoned",
                    C::Expired => "expired",
                };
                format!("failed: attempt {attempt}, {cause}")
            }
            E::Waiting { until } => format!("waiting until {}", until.to_rfc3339()),
            E::Exhausted => "exhausted".to_owned(),
            E::Destroyed { reason } => format!("destroyed: {reason:?}").to_lowercase(),
            E::Deleted => "deleted".to_owned(),
            E::Reset => "reset".to_owned(),
        };
        Self {
            at: event.at,
            generation: event.generation,
            event: words,
        }
    }
}
