//! Retrieving K with the password (RFC 9807, section 6). Beginning costs nothing; the vault charges
//! an attempt when it gets the credential request, and once only for the same one.

use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientLoginFinishResult, CredentialResponse,
};
use rand::{CryptoRng, RngCore};
use vault_protocol::messages::{
    AccountState, RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished,
    RetrievalStart, RetrievalStarted, Status,
};
use vault_protocol::password::Password;
use vault_protocol::suite::{self, Identities, KE1_LEN, KE3_LEN, Suite};
use vault_protocol::{BackupKey, Binary, Policy, StretchingProfile, Ticket, Timestamp, wrapping};
use zeroize::Zeroizing;

use super::checks::{check_policy, take_secret};
use super::status::destroyed;
use crate::call::{InnerAnswer, InnerCall};
use crate::error::Error;
use crate::protection::RegistrationRef;
use crate::trust::VaultAccount;

/// One guess: one credential request, which is sent again after a lost answer. There is no way to
/// make a second one of it.
pub struct Retrieval {
    account: VaultAccount,
    password: Password,
    login: ClientLogin<Suite>,
    request: Binary<KE1_LEN>,
    profile: StretchingProfile,
    generation: u64,
}

/// The vault has charged the attempt and evaluated the blinded password.
pub struct EvaluatedRetrieval {
    retrieval: Retrieval,
    response: CredentialResponse<Suite>,
    ticket: Ticket,
    attempts_remaining: u64,
}

/// Whether the envelope opened.
pub enum Opening {
    /// The password is right.
    Right(Box<ProvenRetrieval>),
    /// It is wrong; tell the vault, so that the outcome is known at once.
    Wrong(Abandonment),
}

/// The password is right; the vault has to be shown so.
pub struct ProvenRetrieval {
    account: VaultAccount,
    message: RetrievalFinish,
    session_key: Zeroizing<Vec<u8>>,
    export_key: Zeroizing<Vec<u8>>,
    generation: u64,
}

/// The password was wrong. Nothing is refunded.
pub struct Abandonment {
    account: VaultAccount,
    ticket: Ticket,
    attempts_remaining: u64,
}

/// K, and the vault's counters.
#[derive(Debug)]
pub struct Retrieved {
    /// K.
    pub key: BackupKey,
    /// Failures between the last success and this one. Show the user those that were not theirs.
    pub failures_since_success: u64,
    /// Failures since the registration, before this success.
    pub failures_in_generation: u64,
    /// When the key was retrieved before.
    pub last_success_at: Option<Timestamp>,
    /// Stored by the device, to ask later whether K is still protected.
    pub registration: RegistrationRef,
}

impl Retrieval {
    /// Checks the status that was just fetched, and blinds the password. An error means that
    /// nothing may be sent, and nothing was charged: no live record, a wait, a stretching profile
    /// that is not accepted here, or a policy with larger limits than `maximum`.
    pub fn begin<R: RngCore + CryptoRng>(
        account: VaultAccount,
        status: &Status,
        maximum: &Policy,
        password: Password,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let profile = check_status(status, maximum)?;
        let started = ClientLogin::start(rng, password.expose_secret().as_bytes())
            .expect("a prepared password is short and hashes to a group element");
        let request = Binary::try_from(started.message.serialize().as_slice())
            .expect("a credential request has 96 bytes");
        Ok(Self {
            account,
            password,
            login: started.state,
            request,
            profile,
            generation: status.generation,
        })
    }

    /// The request: the same bytes each time, so that a lost answer costs no second attempt.
    pub fn request(&self) -> InnerCall {
        let message = RetrievalStart {
            credential_request: self.request,
        };
        InnerCall::post(self.account.scope(), "retrieval/start", &message)
    }

    /// Reads the answer.
    pub fn evaluated(self, answer: &InnerAnswer) -> Result<EvaluatedRetrieval, Error> {
        let started: RetrievalStarted = answer.read()?;
        // Replaced since the status: the checks of the status do not hold for the new record.
        if started.generation != self.generation {
            return Err(Error::TicketExpired);
        }
        let response = suite::credential_response(&started.credential_response.0)
            .map_err(|_| Error::NotUnderstood)?;
        Ok(EvaluatedRetrieval {
            retrieval: self,
            response,
            ticket: started.retrieval_ticket,
            attempts_remaining: started.attempts_remaining,
        })
    }
}

impl EvaluatedRetrieval {
    /// Stretches the password and opens the envelope. Slow on purpose, and takes 64 MiB: call it
    /// off the threads that must stay responsive. Refuses a server key that the vault's statement
    /// does not name, and then nothing more may be sent.
    pub fn open<R: RngCore + CryptoRng>(self, rng: &mut R) -> Result<Opening, Error> {
        let retrieval = self.retrieval;
        let identities = Identities::new(retrieval.account.scope());
        let stretching = retrieval
            .profile
            .function()
            .ok_or(Error::UnsupportedStretching(retrieval.profile))?;
        let parameters =
            ClientLoginFinishParameters::new(None, identities.identifiers(), Some(&stretching));
        let password = retrieval.password.expose_secret().as_bytes();
        let opened = retrieval
            .login
            .finish(rng, password, self.response, parameters);
        match opened {
            Ok(mut result) => {
                let (account, generation) = (retrieval.account, retrieval.generation);
                let proven = ProvenRetrieval::new(account, generation, self.ticket, &mut result)?;
                Ok(Opening::Right(Box::new(proven)))
            }
            Err(ProtocolError::InvalidLoginError) => Ok(Opening::Wrong(Abandonment {
                account: retrieval.account,
                ticket: self.ticket,
                attempts_remaining: self.attempts_remaining,
            })),
            Err(
                ProtocolError::LibraryError(_)
                | ProtocolError::SerializationError
                | ProtocolError::SizeError { .. }
                | ProtocolError::ReflectedValueError,
            ) => Err(Error::NotUnderstood),
        }
    }
}

impl ProvenRetrieval {
    fn new(
        account: VaultAccount,
        generation: u64,
        ticket: Ticket,
        result: &mut ClientLoginFinishResult<Suite>,
    ) -> Result<Self, Error> {
        let session_key = take_secret(&mut result.session_key);
        let export_key = take_secret(&mut result.export_key);
        account.check_server_key(&result.server_s_pk.serialize())?;
        let finalization: Binary<KE3_LEN> = Binary::try_from(result.message.serialize().as_slice())
            .expect("a credential finalization has 64 bytes");
        Ok(Self {
            account,
            message: RetrievalFinish {
                retrieval_ticket: ticket,
                credential_finalization: finalization,
            },
            session_key,
            export_key,
            generation,
        })
    }

    /// The request: the same bytes each time. Repeating it changes nothing at the vault.
    pub fn request(&self) -> InnerCall {
        InnerCall::post(self.account.scope(), "retrieval/finish", &self.message)
    }

    /// Reads the answer and unwraps K. A key that was released to another login, account or
    /// generation does not open: [`Error::DamagedRecord`].
    pub fn finished(&self, answer: &InnerAnswer) -> Result<Retrieved, Error> {
        let finished: RetrievalFinished = answer.read()?;
        let scope = self.account.scope();
        let released = &finished.released_key;
        let wrapped =
            wrapping::open_released_key(&self.session_key, scope, self.generation, released)
                .map_err(|_| Error::DamagedRecord)?;
        let key = wrapping::unwrap_key(&self.export_key, scope, &wrapped)
            .map_err(|_| Error::DamagedRecord)?;
        Ok(Retrieved {
            key,
            failures_since_success: finished.failures_since_success,
            failures_in_generation: finished.failures_in_generation,
            last_success_at: finished.last_success_at,
            registration: RegistrationRef::new(scope, self.generation),
        })
    }
}

impl Abandonment {
    /// The request: the same bytes each time.
    pub fn request(&self) -> InnerCall {
        let message = RetrievalAbandon {
            retrieval_ticket: self.ticket.clone(),
        };
        InnerCall::post(self.account.scope(), "retrieval/abandon", &message)
    }

    /// The outcome, always [`Error::WrongPassword`]: from the answer if there is one that can be
    /// read, otherwise from the start's answer.
    pub fn outcome(self, answer: Option<&InnerAnswer>) -> Error {
        let read = answer.and_then(|answer| answer.read::<RetrievalAbandoned>().ok());
        match read {
            Some(abandoned) => Error::WrongPassword {
                attempts_remaining: abandoned.attempts_remaining,
                retry_at: abandoned.retry_at,
                state: Some(abandoned.state),
            },
            None => Error::WrongPassword {
                attempts_remaining: self.attempts_remaining,
                retry_at: None,
                state: None,
            },
        }
    }
}

/// Everything that can be known before an attempt is charged.
fn check_status(status: &Status, maximum: &Policy) -> Result<StretchingProfile, Error> {
    match status.state {
        AccountState::Absent => return Err(Error::NotRegistered),
        AccountState::Destroyed => return Err(destroyed(status)),
        AccountState::Waiting => {
            let retry_at = status.retry_at.ok_or(Error::NotUnderstood)?;
            return Err(Error::Waiting { retry_at });
        }
        AccountState::Active => {}
    }
    let profile = status.stretching_profile.ok_or(Error::NotUnderstood)?;
    if profile.function().is_none() {
        return Err(Error::UnsupportedStretching(profile));
    }
    check_policy(&status.policy, maximum)?;
    Ok(profile)
}
