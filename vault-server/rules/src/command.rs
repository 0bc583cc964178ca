//! What can be asked of an account. A command carries everything that its effect depends on, time
//! and randomness included, so that several machines which apply the same commands to the same
//! state reach the same state.
//!
//! Serialized commands contain the secrets they carry; who stores or sends one seals it.

use serde::{Deserialize, Serialize};
use vault_protocol::{AccountScope, Binary, Policy, StretchingProfile};

use crate::account::Account;
use crate::clock::Clock;
use crate::codec;
use crate::outcome::{Decision, Status as AccountStatus, Step};
use crate::registration::{Enrolment, Registration};
use crate::removal::Removed;
use crate::retrieval::{Charge, Release};
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};

/// `registration/start`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StartRegistration {
    /// When.
    pub clock: Clock,
    /// 32 fresh random bytes.
    #[serde(with = "codec::secret")]
    pub credential_identifier: CredentialIdentifier,
    /// 32 fresh random bytes, by which the finish refers to this registration.
    #[serde(with = "codec::binary")]
    pub registration_ticket: Binary<32>,
    /// The tenant's policy as it is now.
    pub policy: Policy,
}

/// `registration/finish`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FinishRegistration {
    /// When.
    pub clock: Clock,
    /// Whose account this is: the proof names it.
    #[serde(with = "codec::Scope")]
    pub scope: AccountScope,
    /// As the start returned it.
    #[serde(with = "codec::binary")]
    pub registration_ticket: Binary<32>,
    /// OPAQUE's registration record.
    #[serde(with = "codec::secret")]
    pub registration_record: RegistrationRecord,
    /// K, wrapped by the device.
    #[serde(with = "codec::secret")]
    pub wrapped_key: WrappedKey,
    /// How the device stretches the password.
    pub stretching_profile: StretchingProfile,
    /// The Ed25519 public key whose holder may replace or delete the record.
    #[serde(with = "codec::binary")]
    pub management_key: Binary<32>,
    /// The Ed25519 signature that allows to replace a live record.
    #[serde(with = "codec::optional_binary")]
    pub replace_proof: Option<Binary<64>>,
}

/// `retrieval/start`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StartRetrieval {
    /// When.
    pub clock: Clock,
    /// SHA-256 of the decoded KE1.
    #[serde(with = "codec::binary")]
    pub request_digest: Binary<32>,
}

/// `retrieval/finish`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FinishRetrieval {
    /// When.
    pub clock: Clock,
    /// From the ticket.
    pub generation: u64,
    /// From the ticket.
    pub attempt: u64,
    /// Whether KE3 verifies against the login state in the ticket. That depends on the ticket
    /// alone, so it is known before the account's state is looked at.
    pub verified: bool,
}

/// `retrieval/abandon`.
#[derive(Debug, Serialize, Deserialize)]
pub struct AbandonRetrieval {
    /// When.
    pub clock: Clock,
    /// From the ticket.
    pub generation: u64,
    /// From the ticket.
    pub attempt: u64,
}

/// `deletion`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delete {
    /// When.
    pub clock: Clock,
    /// Whose account this is: the proof names it.
    #[serde(with = "codec::Scope")]
    pub scope: AccountScope,
    /// An Ed25519 signature by the record's management key.
    #[serde(with = "codec::binary")]
    pub proof: Binary<64>,
}

/// `reset`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reset {
    /// When.
    pub clock: Clock,
    /// The generation whose record is to be destroyed.
    pub generation: u64,
}

/// The status.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// When.
    pub clock: Clock,
}

/// Nothing but what is due.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// When.
    pub clock: Clock,
}

/// Any command.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// See [`StartRegistration`].
    StartRegistration(StartRegistration),
    /// See [`FinishRegistration`].
    FinishRegistration(FinishRegistration),
    /// See [`StartRetrieval`].
    StartRetrieval(StartRetrieval),
    /// See [`FinishRetrieval`].
    FinishRetrieval(FinishRetrieval),
    /// See [`AbandonRetrieval`].
    AbandonRetrieval(AbandonRetrieval),
    /// See [`Delete`].
    Delete(Delete),
    /// See [`Reset`].
    Reset(Reset),
    /// See [`Status`].
    Status(Status),
    /// See [`Sweep`].
    Sweep(Sweep),
}

/// The outcome of any command.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`StartRegistration`].
    StartRegistration(Enrolment),
    /// Of [`FinishRegistration`].
    FinishRegistration(Decision<Registration>),
    /// Of [`StartRetrieval`].
    StartRetrieval(Decision<Charge>),
    /// Of [`FinishRetrieval`].
    FinishRetrieval(Decision<Release>),
    /// Of [`AbandonRetrieval`].
    AbandonRetrieval(Decision<AccountStatus>),
    /// Of [`Delete`].
    Delete(Decision<Removed>),
    /// Of [`Reset`].
    Reset(Decision<Removed>),
    /// Of [`Status`].
    Status(AccountStatus),
    /// Of [`Sweep`].
    Sweep,
}

/// Applies any command. Who knows which one it is calls its own `apply`, and gets its own outcome.
pub fn apply(account: Account, command: Command) -> Step<Outcome> {
    match command {
        Command::StartRegistration(c) => c.apply(account).map(Outcome::StartRegistration),
        Command::FinishRegistration(c) => c.apply(account).map(Outcome::FinishRegistration),
        Command::StartRetrieval(c) => c.apply(account).map(Outcome::StartRetrieval),
        Command::FinishRetrieval(c) => c.apply(account).map(Outcome::FinishRetrieval),
        Command::AbandonRetrieval(c) => c.apply(account).map(Outcome::AbandonRetrieval),
        Command::Delete(c) => c.apply(account).map(Outcome::Delete),
        Command::Reset(c) => c.apply(account).map(Outcome::Reset),
        Command::Status(c) => c.apply(account).map(Outcome::Status),
        Command::Sweep(c) => c.apply(account).map(|()| Outcome::Sweep),
    }
}
