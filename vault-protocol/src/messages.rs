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
    /// To finish with.
    pub registration_ticket: RegistrationTicket,
    /// What the record will be bound to.
    #[serde(deserialize_with = "policy::of_answer")]
    pub policy: Policy,
    /// The generation that a finish would replace; 0 when there was none.
    pub generation: u64,
    /// When the ticket expires.
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
    /// How the password was stretched.
    pub stretching_profile: StretchingProfile,
    /// Who may replace or delete the record.
    pub management_key: ManagementKey,
    /// By the live record's management key, when there is a live record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_proof: Option<Proof>,
}

/// Its answer, 201.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrationFinished {
    /// The new record's.
    pub generation: u64,
    /// The new record's.
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
    /// To finish or abandon with.
    pub retrieval_ticket: Ticket,
    /// How many are left after this one.
    pub attempts_remaining: u64,
    /// The record's.
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
    /// K's wrapping, for who ran this login.
    pub released_key: ReleasedKey,
    /// Failures between the last success and this one. The client shows its user those that were
    /// not theirs.
    pub failures_since_success: u64,
    /// Failures of the whole generation before this success.
    pub failures_in_generation: u64,
    /// When the key was retrieved before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// The record's.
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
    /// How many are left.
    pub attempts_remaining: u64,
    /// When the next may start, if not at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// What the failure made of the record.
    pub state: AccountState,
    /// The record's.
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
    /// Exactly the generation to destroy.
    pub generation: u64,
}

/// The answer of a deletion and of a reset, 200.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// The generation that is destroyed.
    pub generation: u64,
}

/// What an account's record is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// Never registered.
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
    /// Too many failures.
    Exhausted,
    /// By who holds K.
    Deleted,
    /// By the app's operator.
    Reset,
}

/// The answer of `GET …`, 200. Asking costs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// What the record is.
    pub state: AccountState,
    /// 0 when there never was one.
    pub generation: u64,
    /// The smaller of both budgets; 0 when absent or destroyed.
    pub attempts_remaining: u64,
    /// When waiting: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When destroyed: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<Timestamp>,
    /// When destroyed: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DestructionReason>,
    /// How the record's password is stretched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretching_profile: Option<StretchingProfile>,
    /// The record's policy, or the tenant's when there is no record.
    #[serde(deserialize_with = "policy::of_answer")]
    pub policy: Policy,
}

/// What identifies a finish, so that repeating it gives the same answer: SHA-256 over label
/// `backup-key-vault/v1 finish` and the fields.
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
