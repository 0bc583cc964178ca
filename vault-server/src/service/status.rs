//! How an account stands, in the words of the wire (PROTOCOL.md section 6).

use vault_protocol::messages::{self, RetrievalAbandoned};
use vault_protocol::{Policy, Timestamp};
use vault_rules::{AccountState, Status};

/// The answer of a status; `tenant_policy` is shown where there is no record.
pub fn status(status: Status, tenant_policy: Policy) -> messages::Status {
    let mut answer = messages::Status {
        state: messages::AccountState::Absent,
        generation: status.generation,
        attempts_remaining: 0,
        retry_at: None,
        destroyed_at: None,
        reason: None,
        stretching_profile: None,
        policy: tenant_policy,
    };
    match status.state {
        AccountState::Absent => {}
        AccountState::Destroyed(tombstone) => {
            answer.state = messages::AccountState::Destroyed;
            answer.destroyed_at = Some(tombstone.at);
            answer.reason = Some(tombstone.reason);
        }
        AccountState::Live {
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
pub fn after_abandoning(status: &Status) -> RetrievalAbandoned {
    let (state, attempts_remaining, retry_at) = match &status.state {
        AccountState::Absent => (messages::AccountState::Absent, 0, None),
        AccountState::Destroyed(_) => (messages::AccountState::Destroyed, 0, None),
        AccountState::Live {
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

fn live_state(retry_at: Option<Timestamp>) -> messages::AccountState {
    if retry_at.is_some() {
        messages::AccountState::Waiting
    } else {
        messages::AccountState::Active
    }
}
