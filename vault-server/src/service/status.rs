//! How an account stands, in the words of the wire (PROTOCOL.md section 6).

use vault_protocol::messages::{AccountState, RetrievalAbandoned, Status};
use vault_protocol::{Policy, Timestamp};
use vault_rules::Standing;

/// The answer of a status; `tenant_policy` is shown where there is no record.
pub fn status(status: vault_rules::Status, tenant_policy: Policy) -> Status {
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
    match status.standing {
        Standing::Absent => {}
        Standing::Destroyed(tombstone) => {
            answer.state = AccountState::Destroyed;
            answer.destroyed_at = Some(tombstone.at);
            answer.reason = Some(tombstone.reason);
        }
        Standing::Live {
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
pub fn after_abandoning(status: &vault_rules::Status) -> RetrievalAbandoned {
    let (state, attempts_remaining, retry_at) = match &status.standing {
        Standing::Absent => (AccountState::Absent, 0, None),
        Standing::Destroyed(_) => (AccountState::Destroyed, 0, None),
        Standing::Live {
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
