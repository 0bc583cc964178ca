//! Registering K under a password (RFC 9807, section 5), new or in place of a live record.

use opaque_ke::{
    ClientRegistration, ClientRegistrationFinishParameters, Identifiers, RegistrationResponse,
};
use rand::{CryptoRng, RngCore};
use vault_protocol::management::ManagementSigner;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
};
use vault_protocol::password::Password;
use vault_protocol::suite::{self, Identities, REGISTRATION_RECORD_LEN, Suite};
use vault_protocol::{BackupKey, Binary, Policy, StretchingProfile, wrapping};
use zeroize::Zeroizing;

use super::checks::{check_policy, take_secret};
use crate::call::{InnerAnswer, InnerCall};
use crate::error::Error;
use crate::protection::RegistrationRef;
use crate::trust::VaultAccount;

/// A registration that has not been answered yet.
pub struct Registration {
    account: VaultAccount,
    password: Password,
    client: ClientRegistration<Suite>,
    request: Binary<{ suite::REGISTRATION_REQUEST_LEN }>,
}

/// The vault has evaluated the blinded password; the policy was accepted.
pub struct EvaluatedRegistration {
    account: VaultAccount,
    password: Password,
    client: ClientRegistration<Suite>,
    response: RegistrationResponse<Suite>,
    /// The vault's answer to the start.
    pending: RegistrationStarted,
}

/// The password is stretched and the record made; K is not wrapped yet.
pub struct StretchedRegistration {
    account: VaultAccount,
    record: Binary<REGISTRATION_RECORD_LEN>,
    export_key: Zeroizing<Vec<u8>>,
    pending: RegistrationStarted,
}

/// A finish that is ready to be sent, as often as it takes: the vault answers a repetition as it
/// did the first time. After an unknown outcome send this one again and nothing else.
pub struct PreparedRegistration {
    account: VaultAccount,
    message: RegistrationFinish,
    pending: RegistrationStarted,
}

/// A completed registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Stored by the device, to ask later whether K is still protected.
    pub registration: RegistrationRef,
    /// The policy that is binding for the record.
    pub policy: Policy,
}

impl Registration {
    /// Blinds the password.
    pub fn begin<R: RngCore + CryptoRng>(
        account: VaultAccount,
        password: Password,
        rng: &mut R,
    ) -> Self {
        let started = ClientRegistration::start(rng, password.expose_secret().as_bytes())
            .expect("a prepared password is short and hashes to a group element");
        let request = Binary::try_from(started.message.serialize().as_slice())
            .expect("a registration request has 32 bytes");
        Self {
            account,
            password,
            client: started.state,
            request,
        }
    }

    /// The request: the same bytes each time.
    pub fn request(&self) -> InnerCall {
        let message = RegistrationStart {
            registration_request: self.request,
        };
        InnerCall::question(self.account.scope(), "registration/start", &message)
    }

    /// Reads the answer; refuses a policy with larger limits than `maximum` before anything is
    /// registered.
    pub fn evaluated(
        self,
        answer: &InnerAnswer,
        maximum: &Policy,
    ) -> Result<EvaluatedRegistration, Error> {
        let started: RegistrationStarted = answer.read()?;
        check_policy(&started.policy, maximum)?;
        let response = suite::registration_response(&started.registration_response.0)
            .map_err(|_| Error::NotUnderstood)?;
        Ok(EvaluatedRegistration {
            account: self.account,
            password: self.password,
            client: self.client,
            response,
            pending: started,
        })
    }
}

impl EvaluatedRegistration {
    /// Stretches the password with the current profile and makes the record. Slow on purpose, and
    /// takes 64 MiB: call it off the threads that must stay responsive. Refuses a server key that
    /// the vault's statement does not name.
    pub fn stretch<R: RngCore + CryptoRng>(
        self,
        rng: &mut R,
    ) -> Result<StretchedRegistration, Error> {
        let identities = Identities::new(self.account.scope());
        let stretching = StretchingProfile::CURRENT
            .function()
            .expect("the current profile is known");
        let identifiers: Identifiers<'_> = identities.identifiers();
        let mut result = self
            .client
            .finish(
                rng,
                self.password.expose_secret().as_bytes(),
                self.response,
                ClientRegistrationFinishParameters::new(identifiers, Some(&stretching)),
            )
            .map_err(|_| Error::NotUnderstood)?;
        let export_key = take_secret(&mut result.export_key);
        self.account
            .check_server_key(&result.server_s_pk.serialize())?;
        let record = Binary::try_from(result.message.serialize().as_slice())
            .expect("a registration record has 192 bytes");
        Ok(StretchedRegistration {
            account: self.account,
            record,
            export_key,
            pending: self.pending,
        })
    }
}

impl StretchedRegistration {
    /// Wraps K and completes the finish. `current` is the key of the live record to replace: K
    /// itself when only the password changes. Without it a live record is not replaced.
    pub fn seal<R: RngCore + CryptoRng>(
        self,
        key: &BackupKey,
        current: Option<&BackupKey>,
        rng: &mut R,
    ) -> PreparedRegistration {
        let scope = self.account.scope();
        let mut message = RegistrationFinish {
            registration_ticket: self.pending.registration_ticket,
            registration_record: self.record,
            wrapped_key: wrapping::wrap_key(&self.export_key, scope, key, rng),
            stretching_profile: StretchingProfile::CURRENT,
            management_key: ManagementSigner::new(key).management_key(),
            replace_proof: None,
        };
        message.replace_proof = current.map(|current| {
            let signer = ManagementSigner::new(current);
            signer.sign_replacement(scope, self.pending.generation, &message.digest())
        });
        PreparedRegistration {
            message,
            account: self.account,
            pending: self.pending,
        }
    }
}

impl PreparedRegistration {
    /// The request: the same bytes each time.
    pub fn request(&self) -> InnerCall {
        InnerCall::post(self.account.scope(), "registration/finish", &self.message)
    }

    /// Reads the answer. The vault must have kept the policy and the generation of the start.
    pub fn finished(&self, answer: &InnerAnswer) -> Result<Registered, Error> {
        let finished: RegistrationFinished = answer.read()?;
        let is_next = self.pending.generation.checked_add(1) == Some(finished.generation);
        if !is_next || finished.policy != self.pending.policy {
            return Err(Error::NotUnderstood);
        }
        Ok(Registered {
            registration: RegistrationRef::new(self.account.scope(), finished.generation),
            policy: finished.policy,
        })
    }
}
