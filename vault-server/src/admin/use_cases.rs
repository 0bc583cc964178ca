//! Carries out the requests of operators.

use std::fmt::Display;

use vault_ledger::CommitError;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::Reset;
use vault_protocol::problem::Problem;
use vault_protocol::{AccountId, TenantId};

use super::answers::{Answer, EventSummary, TenantSummary};
use super::requests::Request;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::tenants::directory::{TenantError, Tenants};
use crate::tenants::token::Token;

/// How many events `account show` prints.
const SHOWN_EVENTS: usize = 20;

/// The administration of one vault. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    service: Service,
    tenants: Tenants,
}

impl Admin {
    pub(crate) fn new(service: Service, tenants: Tenants) -> Self {
        Self { service, tenants }
    }

    /// Carries a request out. A refusal is an answer.
    pub async fn answer(&self, request: Request) -> Answer {
        self.carry_out(request)
            .await
            .unwrap_or_else(|reason| Answer::Refused { reason })
    }

    async fn carry_out(&self, request: Request) -> Result<Answer, String> {
        let (tenants, now) = (&self.tenants, self.service.now());
        match request {
            Request::AddTenant {
                tenant,
                policy,
                scopes,
            } => token(tenants.add(tenant, policy, scopes, now).await),
            Request::ListTenants => self.list().await,
            Request::AddToken { tenant, scopes } => {
                token(tenants.add_token(tenant, scopes, now).await)
            }
            Request::RevokeToken { tenant, id } => done(tenants.revoke_token(tenant, id).await),
            Request::RemoveTenant { tenant } => done(tenants.remove(tenant).await),
            Request::ShowAccount { tenant, account } => self.show(tenant, account).await,
            Request::ResetAccount {
                tenant,
                account,
                generation,
            } => {
                let scope = self.scope(tenant, account)?;
                let reset = self.service.reset(&scope, Reset { generation }).await;
                reset.map(|_| Answer::Done).map_err(reason)
            }
            Request::Fingerprint => Ok(Answer::Fingerprint {
                fingerprint: self.service.fingerprint(),
            }),
        }
    }

    async fn list(&self) -> Result<Answer, String> {
        let all = self.tenants.list().await.map_err(in_words)?;
        let summaries = all
            .iter()
            .map(|(name, tenant)| TenantSummary::new(name, tenant));
        let tenants = summaries.collect();
        Ok(Answer::Tenants { tenants })
    }

    async fn show(&self, tenant: TenantId, account: AccountId) -> Result<Answer, String> {
        let scope = self.scope(tenant, account)?;
        let status = self.service.status(&scope).await.map_err(reason)?;
        let events = match self.service.events(&scope, SHOWN_EVENTS).await {
            Ok(events) => Some(events.iter().map(EventSummary::from).collect()),
            // Nothing is decided by them: the account is as its status says.
            Err(CommitError::Unavailable) => None,
            Err(error) => return Err(in_words(error)),
        };
        Ok(Answer::Account { status, events })
    }

    fn scope(&self, tenant: TenantId, account: AccountId) -> Result<AccountScope, String> {
        if !self.tenants.exists(&tenant) {
            return Err(in_words(TenantError::Unknown));
        }
        Ok(self.service.scope(tenant, account))
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

fn in_words(error: impl Display) -> String {
    error.to_string()
}

fn reason(error: ServiceError) -> String {
    let details = Problem::from(error).details();
    let generation = details.generation.map(|g| format!(" (generation {g})"));
    format!("{}{}", details.title, generation.unwrap_or_default())
}
