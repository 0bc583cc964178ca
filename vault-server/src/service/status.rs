//! An account's state and events, in the words of the wire (PROTOCOL.md section 6).

use vault_ledger::{CommitError, LeafKey};
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{AccountState, RetrievalAbandoned, Status};
use vault_protocol::{Policy, Timestamp};
use vault_rules::{AccountState as Stored, Event, ReadStatus};

use super::Service;
use super::error::ServiceError;

impl Service {
    /// `GET …`: the status. Costs no attempt.
    pub(crate) async fn status(&self, scope: &AccountScope) -> Result<Status, ServiceError> {
        let time = self.time();
        let read = self.run_for_tenant(scope, move |_| ReadStatus { time });
        let (stored, tenant) = read.await?;
        Ok(status(stored, tenant.policy))
    }

    /// The last events of an account, oldest first.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`] if one of them is missing or does not open.
    pub(crate) async fn events(
        &self,
        scope: &AccountScope,
        at_most: usize,
    ) -> Result<Vec<Event>, CommitError> {
        let key = LeafKey(self.account_key(scope));
        let read = self.ledger.commit(move |batch| batch.events(&key, at_most));
        let events = read.await?.into_inner();
        let decoded = events.iter().map(|event| Event::decode(event));
        decoded
            .collect::<Result<_, _>>()
            .map_err(|_| CommitError::Unavailable)
    }
}

/// The answer of a status; `tenant_policy` is shown where there is no record.
fn status(status: vault_rules::Status, tenant_policy: Policy) -> Status {
    let mut answer = Status {
        state: AccountState::Absent,
        generation: status.generation,
        attempts_remaining: 0,
        retry_at: None,
        destroyed_at: None,
        reason: None,
        stretching_profile: None,
        policy: tenant_policy,
    };
    match status.state {
        Stored::Absent => {}
        Stored::Destroyed(tombstone) => {
            answer.state = AccountState::Destroyed;
            answer.destroyed_at = Some(tombstone.at);
            answer.reason = Some(tombstone.reason);
        }
        Stored::Live {
            attempts_remaining,
            retry_at,
            stretching_profile,
            policy,
        } => {
            answer.state = live_state(retry_at);
            answer.attempts_remaining = attempts_remaining;
            answer.retry_at = retry_at;
            answer.stretching_profile = Some(stretching_profile);
            answer.policy = policy;
        }
    }
    answer
}

/// The answer of an abandoned attempt.
pub(super) fn after_abandoning(status: &vault_rules::Status) -> RetrievalAbandoned {
    let (state, attempts_remaining, retry_at) = match &status.state {
        Stored::Absent => (AccountState::Absent, 0, None),
        Stored::Destroyed(_) => (AccountState::Destroyed, 0, None),
        Stored::Live {
            attempts_remaining,
            retry_at,
            ..
        } => (live_state(*retry_at), *attempts_remaining, *retry_at),
    };
    RetrievalAbandoned {
        attempts_remaining,
        retry_at,
        state,
        generation: status.generation,
    }
}

fn live_state(retry_at: Option<Timestamp>) -> AccountState {
    if retry_at.is_some() {
        AccountState::Waiting
    } else {
        AccountState::Active
    }
}
