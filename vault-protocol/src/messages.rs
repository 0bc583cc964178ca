//! Requests and answers (PROTOCOL.md section 6), as JSON. Requests with unknown or repeated fields
//! do not decode; unknown fields of answers are ignored.

use serde::{Deserialize, Serialize};

use crate::binary::{Binary, Ticket};
use crate::labelled::Labelled;
use crate::management::{ManagementKey, Proof};
use crate::policy::{self, Policy};
use crate::stretching::StretchingProfile;
use crate::suite::{
    KE1_LEN, KE2_LEN, KE3_LEN, REGISTRATION_RECORD_LEN, REGISTRATION_REQUEST_LEN,
    REGISTRATION_RESPONSE_LEN,
};
use crate::time::Timestamp;
use crate::wrapping::{ReleasedKey, WRAPPED_KEY_LEN, WrappedKey};

/// A random reference to a pending registration, 32 bytes.
pub type RegistrationTicket = Binary<32>;

/// `POST …/registration/start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationStart {
    /// RFC 9807, section 5.1: the blinded password.
    pub registration_request: Binary<REGISTRATION_REQUEST_LEN>,
}

/// Its answer, 200.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrationStarted {
    /// RFC 9807, section 5.1: the evaluated element and the vault's public key.
    pub registration_response: Binary<REGISTRATION_RESPONSE_LEN>,
    /// The finish refers to the registration by it.
    pub registration_ticket: RegistrationTicket,
    /// Binding for the record that a finish makes.
    #[serde(deserialize_with = "policy::of_answer")]
    pub policy: Policy,
    /// The generation that a finish would replace; 0 when there was none.
    pub generation: u64,
    /// 15 minutes after the start; from then on no finish is accepted.
    pub expires_at: Timestamp,
}

/// `POST …/registration/finish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationFinish {
    /// From the start.
    pub registration_ticket: RegistrationTicket,
    /// RFC 9807, section 5.1: the record, with the envelope.
    pub registration_record: Binary<REGISTRATION_RECORD_LEN>,
    /// K under the export key.
    pub wrapped_key: WrappedKey,
    /// The password was stretched under it.
    pub stretching_profile: StretchingProfile,
    /// Its holder may replace or delete the record.
    pub management_key: ManagementKey,
    /// By the live record's management key; only if a record is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_proof: Option<Proof>,
}

/// Its answer, 201.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrationFinished {
    /// One more than the former record's.
    pub generation: u64,
    /// As the start announced it.
    #[serde(deserialize_with = "policy::of_answer")]
    pub policy: Policy,
}

/// `POST …/retrieval/start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalStart {
    /// KE1 (RFC 9807, section 6.1).
    pub credential_request: Binary<KE1_LEN>,
}

/// Its answer, 200. The attempt has been charged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalStarted {
    /// KE2 (RFC 9807, section 6.1). It belongs to this ticket.
    pub credential_response: Binary<KE2_LEN>,
    /// The finish or the abandonment refers to the attempt by it.
    pub retrieval_ticket: Ticket,
    /// After this one.
    pub attempts_remaining: u64,
    /// The ticket is of no use for a later one.
    pub generation: u64,
}

/// `POST …/retrieval/finish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalFinish {
    /// From the start.
    pub retrieval_ticket: Ticket,
    /// KE3 (RFC 9807, section 6.1).
    pub credential_finalization: Binary<KE3_LEN>,
}

/// Its answer, 200.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalFinished {
    /// K's wrapping, sealed for the device that ran this login.
    pub released_key: ReleasedKey,
    /// Failures between the last success and this one. The client shows its user those that came
    /// from elsewhere.
    pub failures_since_success: u64,
    /// Failures of the whole generation before this success.
    pub failures_in_generation: u64,
    /// The last retrieval of the key before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// The released key is bound to it.
    pub generation: u64,
}

/// `POST …/retrieval/abandon`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalAbandon {
    /// From the start.
    pub retrieval_ticket: Ticket,
}

/// Its answer, 200. Nothing was refunded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrievalAbandoned {
    /// The smaller of both budgets.
    pub attempts_remaining: u64,
    /// When the next attempt may start; absent if at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// As it is after the failure.
    pub state: AccountState,
    /// The one that the ticket was for.
    pub generation: u64,
}

/// `POST …/deletion`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// By the record's management key.
    pub proof: Proof,
}

/// `POST …/reset`, outside the sealed channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Exactly this one is destroyed, and no registration that came after it.
    pub generation: u64,
}

/// The answer of a deletion and of a reset, 200.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// The generation that is destroyed.
    pub generation: u64,
}

/// The state of an account's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// No registration was ever completed.
    Absent,
    /// An attempt can be started.
    Active,
    /// No attempt can be started before `retry_at`.
    Waiting,
    /// Nothing is left but the generation, the time and the reason.
    Destroyed,
}

/// Why a record was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DestructionReason {
    /// One of the two budgets was used up.
    Exhausted,
    /// By the owner, who holds K.
    Deleted,
    /// By the app's operator.
    Reset,
}

/// The answer of `GET …`, 200. Asking costs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Which of the fields below are there depends on it.
    pub state: AccountState,
    /// 0 before the first completed registration.
    pub generation: u64,
    /// The smaller of both budgets; 0 when absent or destroyed.
    pub attempts_remaining: u64,
    /// The end of a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Of a destroyed record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<Timestamp>,
    /// Of a destroyed record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DestructionReason>,
    /// Of a live record: the device stretches the password under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretching_profile: Option<StretchingProfile>,
    /// The record's policy, or the tenant's when there is no record.
    #[serde(deserialize_with = "policy::of_answer")]
    pub policy: Policy,
}

/// SHA-256 over label `backup-key-vault/v1 finish` and the fields. By it the vault knows a finish
/// that is repeated, and gives the same answer.
pub fn finish_digest(
    registration_ticket: &[u8; 32],
    registration_record: &[u8; REGISTRATION_RECORD_LEN],
    wrapped_key: &[u8; WRAPPED_KEY_LEN],
    stretching_profile: StretchingProfile,
    management_key: &[u8; 32],
) -> [u8; 32] {
    Labelled::new("backup-key-vault/v1 finish")
        .bytes(registration_ticket)
        .bytes(registration_record)
        .bytes(wrapped_key)
        .integer(u64::from(stretching_profile.0))
        .bytes(management_key)
        .sha256()
}

impl RegistrationFinish {
    /// See [`finish_digest`].
    pub fn digest(&self) -> [u8; 32] {
        finish_digest(
            &self.registration_ticket.0,
            &self.registration_record.0,
            &self.wrapped_key.0,
            self.stretching_profile,
            &self.management_key.0,
        )
    }
}
