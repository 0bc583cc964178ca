//! Administration: what an operator can ask of a vault, whether it is running (over its socket) or
//! stopped (by opening it). No answer has a secret but a new token, which is shown once.

use serde::{Deserialize, Serialize};
use vault_ledger::{CommitError, LeafKey};
use vault_protocol::identity::Fingerprint;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{Reset, Status};
use vault_protocol::time::Timestamp;
use vault_protocol::{AccountId, Policy, TenantId};
use vault_rules::Event;

use crate::http::problem::Failure;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::tenants::directory::{TenantError, Tenants};
use crate::tenants::tenant::{Scope, Tenant, Token};

/// How many events `account show` prints.
const SHOWN_EVENTS: usize = 20;

/// What can be asked.
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
        scopes: Vec<Scope>,
    },
    /// List tenants and their tokens.
    ListTenants,
    /// Add a token.
    AddToken {
        /// Whose.
        tenant: TenantId,
        /// What it allows; `None` is what the tenant's other tokens allow, if that is the same.
        scopes: Option<Vec<Scope>>,
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

/// What is answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Answer {
    /// A new token, shown this once.
    Token {
        /// The token.
        token: String,
    },
    /// All tenants.
    Tenants {
        /// By name.
        tenants: Vec<TenantSummary>,
    },
    /// An account.
    Account {
        /// As devices see it.
        status: Status,
        /// The last events, oldest first; `None` if one of them is missing or does not open.
        events: Option<Vec<EventSummary>>,
    },
    /// Done.
    Done,
    /// What devices pin.
    Fingerprint {
        /// 60 digits.
        fingerprint: Fingerprint,
    },
    /// Of the administration socket alone: another vault was meant. Nothing was done.
    AnotherVault,
    /// Refused; nothing was changed.
    Refused {
        /// Why, and what to do.
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
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Since when.
    pub created_at: Timestamp,
}

/// An event in words.
#[derive(Serialize, Deserialize)]
pub struct EventSummary {
    /// When.
    pub at: Timestamp,
    /// Of which record.
    pub generation: u64,
    /// What happened.
    pub event: String,
}

/// Carries requests out.
#[derive(Clone)]
pub struct Admin {
    service: Service,
    tenants: Tenants,
}

impl Admin {
    /// For this vault.
    pub fn new(service: Service, tenants: Tenants) -> Self {
        Self { service, tenants }
    }

    /// Carries a request out. A refusal is an answer.
    pub async fn answer(&self, request: Request) -> Answer {
        self.carry_out(request)
            .await
            .unwrap_or_else(|reason| Answer::Refused { reason })
    }

    async fn carry_out(&self, request: Request) -> Result<Answer, String> {
        let now = self.service.now();
        match request {
            Request::AddTenant {
                tenant,
                policy,
                scopes,
            } => token(self.tenants.add(tenant, policy, scopes, now).await),
            Request::ListTenants => {
                let all = self.tenants.list().await.map_err(in_words)?;
                let tenants = all
                    .iter()
                    .map(|(name, tenant)| summary(name, tenant))
                    .collect();
                Ok(Answer::Tenants { tenants })
            }
            Request::AddToken { tenant, scopes } => {
                token(self.tenants.add_token(tenant, scopes, now).await)
            }
            Request::RevokeToken { tenant, id } => {
                done(self.tenants.revoke_token(tenant, id).await)
            }
            Request::RemoveTenant { tenant } => done(self.tenants.remove(tenant).await),
            Request::ShowAccount { tenant, account } => self.show(tenant, account).await,
            Request::ResetAccount {
                tenant,
                account,
                generation,
            } => {
                let scope = self.scope(tenant, account)?;
                let reset = self.service.reset(&scope, Reset { generation }).await;
                reset.map(|_| Answer::Done).map_err(service_error)
            }
            Request::Fingerprint => {
                let fingerprint = self.service.keyring.identity().identity_key().fingerprint();
                Ok(Answer::Fingerprint { fingerprint })
            }
        }
    }

    async fn show(&self, tenant: TenantId, account: AccountId) -> Result<Answer, String> {
        let scope = self.scope(tenant, account)?;
        let status = self.service.status(&scope).await.map_err(service_error)?;
        let events = match self.events(&scope).await {
            Ok(events) => Some(events),
            // Nothing is decided by them: the account is as its status says.
            Err(CommitError::Unavailable) => None,
            Err(error) => return Err(error.to_string()),
        };
        Ok(Answer::Account { status, events })
    }

    async fn events(&self, scope: &AccountScope) -> Result<Vec<EventSummary>, CommitError> {
        let key = LeafKey(
            self.service
                .keyring
                .account_key(&scope.tenant, &scope.account),
        );
        let events = self
            .service
            .ledger
            .commit(move |batch| batch.events(&key, SHOWN_EVENTS));
        let events = events.await?.into_inner();
        let decoded = events.iter().map(|event| Event::decode(event));
        let decoded: Result<Vec<Event>, _> = decoded.collect();
        Ok(decoded
            .map_err(|_| CommitError::Unavailable)?
            .iter()
            .map(event_in_words)
            .collect())
    }

    fn scope(&self, tenant: TenantId, account: AccountId) -> Result<AccountScope, String> {
        if !self.tenants.exists(&tenant) {
            return Err(TenantError::Unknown.to_string());
        }
        Ok(AccountScope {
            vault: self.service.vault_id().clone(),
            tenant,
            account,
        })
    }
}

fn summary(name: &TenantId, tenant: &Tenant) -> TenantSummary {
    let tokens = tenant.tokens.iter().map(|token| TokenSummary {
        id: token.id,
        scopes: token.scopes.clone(),
        created_at: token.created_at(),
    });
    TenantSummary {
        tenant: name.clone(),
        policy: tenant.policy.clone(),
        live_records: tenant.live_records,
        tokens: tokens.collect(),
    }
}

fn event_in_words(event: &Event) -> EventSummary {
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
    EventSummary {
        at: event.at,
        generation: event.generation,
        event: words,
    }
}

fn token(added: Result<Token, TenantError>) -> Result<Answer, String> {
    let token = added.map_err(in_words)?;
    Ok(Answer::Token {
        token: token.expose_secret().to_string(),
    })
}

fn done(changed: Result<(), TenantError>) -> Result<Answer, String> {
    changed.map(|()| Answer::Done).map_err(in_words)
}

fn in_words(error: TenantError) -> String {
    error.to_string()
}

fn service_error(error: ServiceError) -> String {
    let details = Failure::from(error).0.details();
    let generation = details.generation.map(|g| format!(" (generation {g})"));
    format!("{}{}", details.title, generation.unwrap_or_default())
}
